//  test/unit/beat.h - what a node says of itself in a beat, for tests that play one
#ifndef UMBP_TEST_BEAT_H
#define UMBP_TEST_BEAT_H

#include "actors/members.h"

static inline umbp_msg_beat_t beat_of (const char *node, uint64_t epoch, const char *endpoint)
{
    return (umbp_msg_beat_t) {
        .cluster = umbp_text ("test"),
        .node = umbp_text (node),
        .node_epoch = epoch,
        .version = UMBP_PROTOCOL_VERSION,
        .endpoint = umbp_text (endpoint),
        .ready = true,
    };
}

#endif

//  test/unit/copies.h - asking a migrator for copies, and what it answers
#ifndef UMBP_TEST_COPIES_H
#define UMBP_TEST_COPIES_H

#include "test/unit/peer.h"

static words_t copies_keys;

//  The keys are to be copied from that node. Returns the id of the question.
static inline uint64_t copies_say (asker_t *peer, umbp_column_t keys, const char *node,
                                   uint32_t deadline_ms)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_copy, 0);
    msg.copy.keys = keys;
    msg.copy.node = umbp_text (node);
    msg.copy.tier = UMBP_TIER_DRAM;
    return asker_say (peer, &msg, NULL, 0, deadline_ms);
}

//  ... and wait for the answer. Returns its status.
static inline int copies_make (asker_t *peer, umbp_column_t keys, const char *node,
                               uint32_t deadline_ms)
{
    uint64_t id = copies_say (peer, keys, node, deadline_ms);
    CU_ASSERT_EQUAL_FATAL (asker_hear (peer, (int) deadline_ms + PEER_MS), id);
    return peer->msg.status;
}

//  Of a key of the last answer; 1 if it says nothing of it
static inline int copies_status (const asker_t *peer, size_t index)
{
    return peer->msg.type == UMBP_MSG_copy_ok && index < peer->msg.copy_ok.statuses.count
               ? umbp_s8s_at (peer->msg.copy_ok.statuses, index)
               : 1;
}

//  How many of the last answer have this status
static inline size_t copies_count (const asker_t *peer, int status)
{
    size_t count = 0;
    for (size_t index = 0; index < peer->msg.copy_ok.statuses.count; index++)
        count += copies_status (peer, index) == status;
    return count;
}

#endif

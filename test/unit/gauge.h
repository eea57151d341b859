//  test/unit/gauge.h - what an actor of a running node counts, asked over tcp as the console does
#ifndef UMBP_TEST_GAUGE_H
#define UMBP_TEST_GAUGE_H

#include <czmq.h>

#include "cluster/bulk/clock.h"
#include "proto/message.h"

#define GAUGE_MS 30000                  //  A busy machine has so long for anything

//  UINT64_MAX if nobody answers, or there is no such gauge
static inline uint64_t gauge (const char *endpoint, const char *actor, const char *name)
{
    uint8_t wire[256];
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat, 1);
    int size = umbp_msg_encode (&msg, wire, sizeof wire);
    zsock_t *sock = zsock_new_dealer (endpoint);
    assert (size > 0 && sock);
    zsock_set_linger (sock, 0);
    zsock_set_rcvtimeo (sock, GAUGE_MS);
    void *handle = zsock_resolve (sock);
    zmq_send (handle, actor, strlen (actor), ZMQ_SNDMORE);
    zmq_send (handle, "", 0, ZMQ_SNDMORE);
    zmq_send (handle, wire, (size_t) size, 0);
    zmsg_t *answer = zmsg_recv (sock);
    zframe_t *body = answer ? zmsg_last (answer) : NULL;
    uint64_t value = UINT64_MAX;
    size_t offset = 0;
    if (body && umbp_msg_decode (&msg, zframe_data (body), zframe_size (body)) > 0
        && msg.type == UMBP_MSG_stat_ok)
        for (size_t index = 0; index < msg.stat_ok.names.count; index++) {
            umbp_bytes_t item = umbp_column_next (&msg.stat_ok.names, index, &offset);
            if (umbp_text_is ((umbp_text_t) { (const char *) item.data, item.size }, name))
                value = umbp_u64s_at (msg.stat_ok.values, index);
        }
    zmsg_destroy (&answer);
    zsock_destroy (&sock);
    return value;
}

//  Wait until it has a value
static inline bool gauge_becomes (const char *endpoint, const char *actor, const char *name,
                                  uint64_t value)
{
    uint64_t now = gauge (endpoint, actor, name);
    for (int64_t end = umbp_clock_ms () + GAUGE_MS; now != value && umbp_clock_ms () < end;)
        now = gauge (endpoint, actor, name);
    if (now != value)
        printf ("\n    %s %s: %llu, wanted %llu\n", actor, name, (unsigned long long) now,
                (unsigned long long) value);
    return now == value;
}

#endif

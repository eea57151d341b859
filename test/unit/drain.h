//  test/unit/drain.h - who asks registries, migrators and tier managers of a small cluster about drains and copies
#ifndef UMBP_TEST_DRAIN_H
#define UMBP_TEST_DRAIN_H

#include <stdatomic.h>

#include "bin/talk.h"
#include "test/unit/nodes.h"

#define DRAIN_MS 90000                  //  For anything that has to come true

enum { DRAIN_NONE, DRAIN_MOVING, DRAIN_FULL, DRAIN_LEAVING, DRAIN_DONE };

typedef struct {
    umbp_talk_t *talk;
} drain_t;

static inline void drain_open (drain_t *self, const nodes_t *nodes, size_t number)
{
    int err;
    self->talk = umbp_talk_new (umbp_node_endpoint (nodes->nodes[number]), 30000, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->talk);
}

static inline void drain_close (drain_t *self)
{
    umbp_talk_destroy (&self->talk);
}

//  Returns a status
static inline int drain_ask (drain_t *self, const char *node, uint64_t action,
                             umbp_msg_drain_ok_t *at)
{
    char address[128];
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    snprintf (address, sizeof address, "registry@%s", node);
    umbp_msg_init (&msg, UMBP_MSG_drain, 0);
    msg.drain.action = action;
    int rc = umbp_talk_ask (self->talk, address, &msg, &answer);
    if (rc == 0)
        *at = answer->drain_ok;
    return rc;
}

//  Look until it is in a state. Returns false if that takes too long.
static inline bool drain_until (drain_t *self, const char *node, uint64_t state,
                                umbp_msg_drain_ok_t *at)
{
    int64_t end = umbp_clock_ms () + DRAIN_MS;
    *at = (umbp_msg_drain_ok_t) { .state = UINT64_MAX };
    while (umbp_clock_ms () < end && drain_ask (self, node, 0, at) == 0 && at->state != state)
        usleep (20000);
    if (at->state != state)
        printf ("\n    %s: state %d, %d blocks left\n", node, (int) at->state, (int) at->blocks);
    return at->state == state;
}

//  A counter of an actor; UINT64_MAX if there is none
static inline uint64_t drain_gauge (drain_t *self, const char *address, const char *name)
{
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    if (umbp_talk_ask (self->talk, address, &msg, &answer) != 0)
        return UINT64_MAX;
    size_t offset = 0;
    for (size_t index = 0; index < answer->stat_ok.names.count; index++) {
        umbp_bytes_t item = umbp_column_next (&answer->stat_ok.names, index, &offset);
        if (umbp_text_is ((umbp_text_t) { (const char *) item.data, item.size }, name))
            return umbp_u64s_at (answer->stat_ok.values, index);
    }
    return UINT64_MAX;
}

static inline uint64_t drain_blocks (drain_t *self, const char *node)
{
    char address[128];
    snprintf (address, sizeof address, "tier:dram@%s", node);
    return drain_gauge (self, address, "blocks");
}

//  What others know of a node's room
static inline bool drain_until_blocks (drain_t *self, const char *node, uint64_t blocks)
{
    int64_t end = umbp_clock_ms () + DRAIN_MS;
    uint64_t found = UINT64_MAX;
    while (umbp_clock_ms () < end && found != blocks) {
        umbp_msg_t msg;
        const umbp_msg_t *answer;
        umbp_msg_init (&msg, UMBP_MSG_topology, 0);
        if (umbp_talk_ask (self->talk, "registry", &msg, &answer) != 0)
            break;
        umbp_topology_t *topology = umbp_topology_new (&answer->topology_ok);
        int number = umbp_topology_find (topology, umbp_text (node));
        if (number >= 0)
            found = umbp_topology_member (topology, (size_t) number)->tiers[UMBP_TIER_DRAM].blocks;
        umbp_topology_destroy (&topology);
        usleep (20000);
    }
    return found == blocks;
}

//  Whether a node is in the ring, as the one we talk to sees it
static inline bool drain_in_ring (drain_t *self, const char *node)
{
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    umbp_msg_init (&msg, UMBP_MSG_topology, 0);
    if (umbp_talk_ask (self->talk, "registry", &msg, &answer) != 0)
        return false;
    umbp_topology_t *topology = umbp_topology_new (&answer->topology_ok);
    int number = umbp_topology_find (topology, umbp_text (node));
    bool in = number >= 0 && umbp_topology_member (topology, (size_t) number)->in_ring;
    umbp_topology_destroy (&topology);
    return in;
}

static inline bool drain_until_ring (drain_t *self, const char *node)
{
    int64_t end = umbp_clock_ms () + DRAIN_MS;
    while (umbp_clock_ms () < end && !drain_in_ring (self, node))
        usleep (20000);
    return drain_in_ring (self, node);
}

//  Copy one block. Returns its status.
static inline int drain_copy (drain_t *self, const char *key, const char *from, const char *to)
{
    char address[128];
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    uint16_t size = (uint16_t) strlen (key);
    snprintf (address, sizeof address, "migrator@%s", to);
    umbp_msg_init (&msg, UMBP_MSG_copy, 0);
    msg.copy.keys = (umbp_column_t) { (const uint8_t *) key, &size, size, 1 };
    msg.copy.node = umbp_text (from);
    msg.copy.tier = UMBP_TIER_DRAM;
    int rc = umbp_talk_ask (self->talk, address, &msg, &answer);
    return rc == 0 ? umbp_s8s_at (answer->copy_ok.statuses, 0) : rc;
}

//  On how many nodes the index says that a block is
static inline size_t drain_copies (drain_t *self, const char *key)
{
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    uint16_t size = (uint16_t) strlen (key);
    umbp_msg_init (&msg, UMBP_MSG_where, 0);
    msg.where.keys = (umbp_column_t) { (const uint8_t *) key, &size, size, 1 };
    return umbp_talk_ask (self->talk, "router", &msg, &answer) == 0 ? answer->where_ok.refs.count
                                                                    : 0;
}

#endif

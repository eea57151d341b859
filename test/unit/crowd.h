//  test/unit/crowd.h - a topology of a few nodes, as a registry says it, from one row per node. For the
//  actors under test, and for what they make of it. One thread at a time.
#ifndef UMBP_TEST_CROWD_H
#define UMBP_TEST_CROWD_H

#include <assert.h>
#include <stdio.h>

#include "cluster/topology.h"
#include "proto/message.h"

#define CROWD_MAX 64
#define CROWD_COPIES 2

typedef struct {
    const char *node;                   //  Rows are sorted by this
    uint64_t epoch;
    uint64_t total, used;               //  Of its dram, in bytes; total 0: it has none
    bool suspect, outside, draining;    //  outside: it is no part of the ring
    uint16_t load;
    const char *host;                   //  NULL: one of its own
    uint64_t swings;
    uint64_t disk;                      //  Bytes of its nvme; 0: it has none
} crowd_t;

//  A row: CROWD ("a", bytes, bytes in use), and what else there is to say, as .suspect = true
#define CROWD(id, bytes, taken, ...)                                                               \
    { .node = id, .epoch = 1, .total = bytes, .used = taken, __VA_ARGS__ }

typedef struct {
    char bytes[CROWD_MAX * UMBP_NAME_MAX];
    uint16_t sizes[CROWD_MAX];
    umbp_column_t column;
} crowd_texts_t;

static inline void crowd_text (crowd_texts_t *self, uint32_t index, const char *text)
{
    uint32_t at = index ? self->column.size : 0;
    self->sizes[index] = (uint16_t) strlen (text);
    assert (at + self->sizes[index] <= sizeof self->bytes);
    memcpy (self->bytes + at, text, self->sizes[index]);
    self->column =
        (umbp_column_t){ (uint8_t *) self->bytes, self->sizes, at + self->sizes[index], index + 1 };
}

//  What a registry says of these topologies
static bool crowd_unsettled;

//  The message; good until the next call
static inline umbp_msg_t *crowd_msg (const crowd_t *rows, uint32_t count, const char *self,
                                     uint64_t topo_epoch)
{
    static crowd_texts_t names, ends, hosts, none;
    static uint64_t epochs[CROWD_MAX], swings[CROWD_MAX];
    static uint64_t totals[2 * CROWD_MAX], useds[2 * CROWD_MAX], blocks[2 * CROWD_MAX];
    static uint8_t states[CROWD_MAX], rings[CROWD_MAX], counts[CROWD_MAX], tiers[2 * CROWD_MAX];
    static uint8_t drains[CROWD_MAX];
    static uint16_t loads[CROWD_MAX];
    static uint32_t silent_ms[CROWD_MAX];
    static umbp_msg_t msg;
    assert (count > 0 && count <= CROWD_MAX);
    uint32_t tier_count = 0;
    for (uint32_t index = 0; index < count; index++) {
        const crowd_t *row = &rows[index];
        char end[UMBP_NAME_MAX];
        snprintf (end, sizeof end, "tcp://127.0.0.1:%u", 1 + index);
        crowd_text (&names, index, row->node);
        crowd_text (&ends, index, end);
        crowd_text (&hosts, index, row->host ? row->host : row->node);
        crowd_text (&none, index, "");
        epochs[index] = row->epoch;
        swings[index] = row->swings;
        states[index] = row->suspect ? UMBP_MEMBER_SUSPECT : UMBP_MEMBER_ALIVE;
        rings[index] = !row->outside;
        drains[index] = row->draining;
        loads[index] = row->load;
        counts[index] = (uint8_t) ((row->total > 0) + (row->disk > 0));
        tiers[tier_count] = UMBP_TIER_DRAM;
        totals[tier_count] = row->total;
        useds[tier_count] = row->used;
        tier_count += row->total > 0;
        tiers[tier_count] = UMBP_TIER_NVME;
        totals[tier_count] = row->disk;
        useds[tier_count] = 0;
        tier_count += row->disk > 0;
    }
    umbp_msg_init (&msg, UMBP_MSG_topology_ok, 0);
    msg.topology_ok = (umbp_msg_topology_ok_t) {
        .topo_epoch = topo_epoch, .self = umbp_text (self),
        .nodes = names.column, .endpoints = ends.column, .bulks = none.column,
        .hosts = hosts.column, .doors = none.column,
        .epochs = { epochs, count }, .states = { states, count }, .rings = { rings, count },
        .drains = { drains, count },
        .loads = { loads, count }, .swings = { swings, count },
        .silent_ms = { silent_ms, count },
        .tier_counts = { counts, count }, .tiers = { tiers, tier_count },
        .totals = { totals, tier_count }, .useds = { useds, tier_count },
        .blocks = { blocks, tier_count },
        .copies = CROWD_COPIES, .vnodes = 40, .settled = !crowd_unsettled,
    };
    return &msg;
}

//  The same as a value
static inline umbp_topology_t *crowd_new (const crowd_t *rows, uint32_t count, const char *self,
                                          uint64_t topo_epoch)
{
    umbp_topology_t *topology =
        umbp_topology_new (&crowd_msg (rows, count, self, topo_epoch)->topology_ok);
    assert (topology);
    return topology;
}

#endif

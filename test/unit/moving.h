//  test/unit/moving.h - one node with little memory and a disk, whose blocks move between the two: blocks that say by
//  themselves what is in them, and evictions as the eviction actor asks for them
#ifndef UMBP_TEST_MOVING_H
#define UMBP_TEST_MOVING_H

#include "test/unit/disk.h"

#define BLOCK 16384
#define BATCH 100
#define STORM 1000                      //  Blocks of one name, at most
#define CAP_BLOCKS 64
#define CAP_BYTES MIB

typedef struct {
    disk_t disk;
    umbp_t *pool;
} moving_t;

//  Its options, for a test to change before it runs
static inline umbp_node_options_t *moving_prepare (moving_t *self, const char *admit)
{
    umbp_node_options_t *options = disk_prepare (&self->disk, WITH_DOORS, 64 * MIB);
    snprintf (options->nvme_admit, sizeof options->nvme_admit, "%s", admit);
    snprintf (options->policy, sizeof options->policy, "lru");
    options->nvme_staging_bytes = 32 * MIB;
    options->nvme_up_rate = 16 * MIB;   //  So that a thousand take a while
    options->migration_blocks = CAP_BLOCKS;
    options->migration_bytes = CAP_BYTES;
    return options;
}

static inline void moving_run (moving_t *self)
{
    disk_run (&self->disk);
    self->pool = nodes_connect (&self->disk.nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->pool);
}

static inline void moving_start (moving_t *self, const char *admit)
{
    moving_prepare (self, admit);
    moving_run (self);
}

static inline void moving_stop (moving_t *self)
{
    umbp_close (&self->pool);
    disk_stop (&self->disk);
}

static inline uint64_t moving_gauge (const moving_t *self, const char *tier, const char *name)
{
    return disk_gauge (&self->disk, tier, name);
}

static inline bool moving_until (const moving_t *self, const char *tier, const char *name,
                                 uint64_t least)
{
    return disk_until (&self->disk, tier, name, least);
}

static inline void moving_put (moving_t *self, const char *name, size_t count,
                               umbp_put_options_t how)
{
    for (size_t first = 0; first < count; first += BATCH)
        disk_put (self->pool, name, first, count - first < BATCH ? count - first : BATCH, BLOCK,
                  how);
}

//  All in one call. Returns how many are there; those have the right bytes.
static inline size_t moving_get (umbp_t *pool, const char *name, size_t count)
{
    return disk_get (pool, name, 0, count, BLOCK, DISK_MS, NULL);
}

//  --------------------------------------------------------------------------------------------------
//  Evictions, several at once, as the eviction actor asks for one

typedef struct {
    zsock_t *sock;
    size_t open;
} moving_evictions_t;

static inline void moving_evict (const moving_t *self, moving_evictions_t *evictions, size_t count,
                                 uint64_t bytes)
{
    evictions->sock = zsock_new_dealer (disk_endpoint (&self->disk));
    CU_ASSERT_PTR_NOT_NULL_FATAL (evictions->sock);
    zsock_set_linger (evictions->sock, 0);
    zsock_set_rcvtimeo (evictions->sock, DISK_MS);
    void *handle = zsock_resolve (evictions->sock);
    for (evictions->open = 0; evictions->open < count; evictions->open++) {
        uint8_t wire[256];
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_evict, evictions->open + 1);
        msg.deadline_ms = DISK_MS;
        msg.evict.tier = UMBP_TIER_DRAM;
        msg.evict.bytes = bytes;
        int size = umbp_msg_encode (&msg, wire, sizeof wire);
        CU_ASSERT_FATAL (size > 0);
        zmq_send (handle, "tier:dram", strlen ("tier:dram"), ZMQ_SNDMORE);
        zmq_send (handle, "", 0, ZMQ_SNDMORE);
        zmq_send (handle, wire, (size_t) size, 0);
    }
}

//  Wait for all. Returns how many blocks went.
static inline uint64_t moving_evicted (moving_evictions_t *evictions)
{
    uint64_t blocks = 0;
    for (; evictions->open > 0; evictions->open--) {
        umbp_msg_t msg;
        zmsg_t *answer = zmsg_recv (evictions->sock);
        zframe_t *body = answer ? zmsg_last (answer) : NULL;
        bool fine = body && umbp_msg_decode (&msg, zframe_data (body), zframe_size (body)) > 0
                    && msg.type == UMBP_MSG_evict_ok && msg.status == 0;
        CU_ASSERT (fine);
        blocks += fine ? msg.evict_ok.blocks : 0;
        zmsg_destroy (&answer);
        if (!fine)
            break;
    }
    zsock_destroy (&evictions->sock);
    return blocks;
}

#endif

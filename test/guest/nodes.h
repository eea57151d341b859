//  test/guest/nodes.h - real nodes at one end of a cable, clients at the other, and sets of blocks whose bytes
//  follow from their names. For tests of whole calls in the guest of guest.sh.
#ifndef UMBP_TEST_NODES_H
#define UMBP_TEST_NODES_H

#include "client/lane.h"
#include "test/guest/guest.h"
#include "test/guest/owner.h"

#include <spawn.h>

#define NODES 2                         //  That all tests have
#define BLOCKS 12
#define BLOCK_MAX ((size_t) 2 << 20)
#define LEASE_MS 1500

extern char **environ;
static pid_t nodes_pids[3];
static const char *const nodes_endpoints[] = { "tcp://127.0.0.1:7710", "tcp://127.0.0.1:7720",
                                               "tcp://127.0.0.1:7730" };
static const char *const nodes_names[] = { "a", "b", "c" };
static const char *nodes_ttl = "1500ms";                     //  Of leases and slots

//  ---- Nodes

//  The plug-in, which is the first argument, for us and for them. Returns false if none is named.
static inline bool nodes_load (int argc, char **argv)
{
    if (argc < 2)
        return false;
    guest_plugin = argv[1];
    return setenv ("UMBP_RDMA_PLUGIN", guest_plugin, 1) == 0;
}

//  $GUEST_WINDOWS off: as on devices that have no memory windows
static inline void nodes_start (size_t number, const char *device)
{
    const char *windows = getenv ("GUEST_WINDOWS");
    char *args[] = { "umbp-node",
                     "--node-id",
                     (char *) nodes_names[number],
                     "--network-listen",
                     (char *) nodes_endpoints[number],
                     "--cluster-seeds",
                     (char *) nodes_endpoints[!number],
                     "--dram-capacity",
                     "48MiB",
                     "--rdma-devices",
                     (char *) device,
                     "--rdma-plugin",
                     guest_plugin,
                     "--rdma-windows",
                     (char *) (windows ? windows : "auto"),
                     "--blocks-lease-ttl",
                     (char *) nodes_ttl,
                     "--blocks-slot-ttl",
                     (char *) nodes_ttl,
                     "--cluster-suspect",
                     "20s",
                     "--cluster-gone",
                     "60s",
                     "--index-keys",
                     "100000",
                     "--extkv-hashes",
                     "1000",
                     NULL };
    int rc = posix_spawn (&nodes_pids[number], "/bin/umbp-node", NULL, NULL, args, environ);
    assert (rc == 0);
}

static inline umbp_t *nodes_connect_by (size_t node, const char *paths, const char *devices,
                                        bool no_verify)
{
    umbp_options_t how = { .endpoints = nodes_endpoints[node],
                           .no_verify = no_verify,
                           .lanes = 2,
                           .paths = paths, .rdma_devices = devices, .timeout_ms = LONG_MS };
    int err = 0;
    umbp_t *pool = umbp_connect (&how, &err);
    if (!pool)
        printf ("connect: %s\n", umbp_strerror (err));
    assert (pool);
    return pool;
}

static inline umbp_t *nodes_connect (size_t node, const char *paths)
{
    return nodes_connect_by (node, paths, "rxa", false);
}

//  Until that one knows so many: a block put through one is found through the other
static inline void nodes_wait (size_t from, size_t wanted)
{
    umbp_t *pool = nodes_connect (from, "tcp");
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    umbp_lane_t *lane;
    size_t count = 0;
    while (count < wanted && umbp_clock_ms () < end_ms) {
        int rc = umbp_pool_enter (pool, 0, &lane);
        assert (rc == 0);
        if (umbp_lane_refresh (lane, umbp_lane_slice (lane, 0)) == 0)
            count = umbp_topology_count (lane->cluster->topology);
        umbp_pool_leave (pool, &lane);
        poll (NULL, 0, 100);
    }
    assert (count == wanted);
    umbp_close (&pool);
}

static inline int nodes_open (void)
{
    for (size_t number = 0; number < NODES; number++)
        nodes_start (number, "rxb");
    nodes_wait (0, NODES);
    return 0;
}

static inline int nodes_close (void)
{
    int bad = 0;
    for (size_t number = 0; number < NODES; number++) {
        int status = 0;
        kill (nodes_pids[number], SIGTERM);
        waitpid (nodes_pids[number], &status, 0);
        bad += status != 0;
    }
    return bad;
}

//  A gauge of an actor of a node
static inline uint64_t nodes_gauge_of (umbp_t *pool, const char *actor, const char *node,
                                       const char *name)
{
    umbp_lane_t *lane;
    umbp_msg_t msg;
    uint64_t value = 0;
    int rc = umbp_pool_enter (pool, 0, &lane);
    assert (rc == 0);
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    const umbp_answer_t *answer = umbp_wire_ask (lane, UMBP_WAY_WIRE, actor, node, &msg, NULL, 0,
                                                 UMBP_MSG_stat_ok, lane->deadline_ms, &rc);
    size_t at = 0;
    for (size_t index = 0; answer && index < answer->msg.stat_ok.names.count; index++) {
        umbp_bytes_t key = umbp_column_next (&answer->msg.stat_ok.names, index, &at);
        if (key.size == strlen (name) && memcmp (key.data, name, key.size) == 0)
            value = umbp_u64s_at (answer->msg.stat_ok.values, index);
    }
    umbp_pool_leave (pool, &lane);
    return value;
}

static inline uint64_t nodes_gauge (umbp_t *pool, const char *node, const char *name)
{
    return nodes_gauge_of (pool, "verbs", node, name);
}

//  ---- Blocks

typedef struct {
    char keys[BLOCKS][32];
    umbp_item_t items[BLOCKS];
    uint64_t seeds[BLOCKS];
    unsigned char *memory;
    size_t total;
} set_t;

//  Their bytes follow from the name of the set and the place
static inline void set_make (set_t *self, const char *name, size_t size)
{
    *self = (set_t) { .memory = malloc (BLOCKS * BLOCK_MAX) };
    assert (self->memory);
    for (size_t index = 0; index < BLOCKS; index++) {
        snprintf (self->keys[index], sizeof self->keys[index], "%.24s-%zu", name, index);
        self->seeds[index] = umbp_sum (self->keys[index], strlen (self->keys[index])) | 1;
        umbp_item_t *item = &self->items[index];
        item->key = (umbp_key_t) { self->keys[index], strlen (self->keys[index]) };
        item->data = self->memory + index * BLOCK_MAX;
        item->size = size ? size : 70000 + guest_random (BLOCK_MAX - 70000);
        self->total += item->size;
        owner_fill (item->data, item->size, self->seeds[index]);
    }
}

static inline void set_free (set_t *self)
{
    free (self->memory);
}

static inline bool set_is_right (const unsigned char *data, size_t size, uint64_t seed)
{
    unsigned char *wanted = malloc (size);
    assert (wanted);
    owner_fill (wanted, size, seed);
    bool same = memcmp (wanted, data, size) == 0;
    free (wanted);
    return same;
}

static inline void set_put (umbp_t *pool, set_t *set, umbp_strategy_t strategy)
{
    umbp_put_options_t options = { .strategy = strategy };
    CU_ASSERT_EQUAL (umbp_put_batch (pool, set->items, BLOCKS, &options, LONG_MS), BLOCKS);
    for (size_t index = 0; index < BLOCKS; index++)
        if (set->items[index].status != 0)
            printf ("put %s: %s\n", set->keys[index], umbp_strerror (set->items[index].status));
}

//  Get all and compare all bytes
static inline void set_get (umbp_t *pool, set_t *set)
{
    memset (set->memory, 0xa5, BLOCKS * BLOCK_MAX);
    CU_ASSERT_EQUAL (umbp_get_batch (pool, set->items, BLOCKS, LONG_MS), BLOCKS);
    for (size_t index = 0; index < BLOCKS; index++) {
        const umbp_item_t *item = &set->items[index];
        CU_ASSERT_EQUAL (item->status, 0);
        CU_ASSERT (item->status != 0 || set_is_right (item->data, item->size, set->seeds[index]));
    }
}

static inline void set_remove (umbp_t *pool, set_t *set)
{
    for (size_t index = 0; index < BLOCKS; index++)
        umbp_remove (pool, set->keys[index]);
}

static inline umbp_stats_t nodes_stats (umbp_t *pool)
{
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    return stats;
}

#endif

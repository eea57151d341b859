//  test/guest/blocks.c - put and get by RDMA, in the guest of guest.sh: two umbp-node at one end of a
//  cable, clients at the other. `blocks PLUGIN [SEED [TEST]]` runs the tests, `blocks PLUGIN bench
//  put|get BYTES COUNT` prints MB/s of the public calls.
#include "client/get.h"
#include "client/rdma.h"
#include "test/guest/owner.h"

#include <CUnit/Basic.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>

#define NODES 2
#define BLOCKS 12
#define BLOCK_MAX ((size_t) 2 << 20)
#define LONG_MS 60000                   //  Nothing here takes so long, even on a busy host
#define LEASE_MS 1500
#define ROUNDS 6
#define SLOW_KEYS 8

extern char **environ;
static char *s_plugin;
static uint64_t s_seed;
static pid_t s_nodes[NODES];
static const char *const s_endpoints[] = { "tcp://127.0.0.1:7710", "tcp://127.0.0.1:7720" };

static uint64_t s_random (uint64_t below)
{
    s_seed ^= s_seed << 13;
    s_seed ^= s_seed >> 7;
    s_seed ^= s_seed << 17;
    return (s_seed >> 11) % below;
}

//  ---- Nodes

static void s_start (size_t number)
{
    char *args[] = { "umbp-node",
                     "--node-id",
                     number ? "b" : "a",
                     "--network-listen",
                     (char *) s_endpoints[number],
                     "--cluster-seeds",
                     (char *) s_endpoints[!number],
                     "--dram-capacity",
                     "48MiB",
                     "--rdma-devices",
                     "rxb",
                     "--rdma-plugin",
                     s_plugin,
                     "--blocks-lease-ttl",
                     "1500ms",
                     "--blocks-slot-ttl",
                     "1500ms",
                     "--cluster-suspect",
                     "20s",
                     "--cluster-gone",
                     "60s",
                     "--index-keys",
                     "100000",
                     "--extkv-hashes",
                     "1000",
                     NULL };
    int rc = posix_spawn (&s_nodes[number], "/bin/umbp-node", NULL, NULL, args, environ);
    assert (rc == 0);
}

static umbp_t *s_connect_by (size_t node, const char *paths, const char *devices, bool no_verify)
{
    umbp_options_t how = { .endpoints = s_endpoints[node],
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

static umbp_t *s_connect (size_t node, const char *paths)
{
    return s_connect_by (node, paths, "rxa", false);
}

//  Until both know each other: a block put through one is found through the other
static void s_wait_nodes (void)
{
    umbp_t *pool = s_connect (0, "tcp");
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    umbp_lane_t *lane;
    size_t count = 0;
    while (count < NODES && umbp_clock_ms () < end_ms) {
        int rc = umbp_pool_enter (pool, 0, &lane);
        assert (rc == 0);
        if (umbp_lane_refresh (lane, umbp_lane_slice (lane, 0)) == 0)
            count = umbp_topology_count (lane->cluster->topology);
        umbp_pool_leave (pool, &lane);
        poll (NULL, 0, 100);
    }
    assert (count == NODES);
    umbp_close (&pool);
}

static int s_open (void)
{
    for (size_t number = 0; number < NODES; number++)
        s_start (number);
    s_wait_nodes ();
    return 0;
}

static int s_close (void)
{
    int bad = 0;
    for (size_t number = 0; number < NODES; number++) {
        int status = 0;
        kill (s_nodes[number], SIGTERM);
        waitpid (s_nodes[number], &status, 0);
        bad += status != 0;
    }
    return bad;
}

//  A gauge of the verbs actor of a node
static uint64_t s_gauge (umbp_t *pool, const char *node, const char *name)
{
    umbp_lane_t *lane;
    umbp_msg_t msg;
    uint64_t value = 0;
    int rc = umbp_pool_enter (pool, 0, &lane);
    assert (rc == 0);
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    const umbp_answer_t *answer = umbp_wire_ask (lane, UMBP_WAY_WIRE, "verbs", node, &msg, NULL, 0,
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

//  ---- Blocks

typedef struct {
    char keys[BLOCKS][32];
    umbp_item_t items[BLOCKS];
    uint64_t seeds[BLOCKS];
    unsigned char *memory;
    size_t total;
} set_t;

//  Their bytes follow from the name of the set and the place
static void s_make_set (set_t *self, const char *name, size_t size)
{
    *self = (set_t) { .memory = malloc (BLOCKS * BLOCK_MAX) };
    assert (self->memory);
    for (size_t index = 0; index < BLOCKS; index++) {
        snprintf (self->keys[index], sizeof self->keys[index], "%s-%zu", name, index);
        self->seeds[index] = umbp_sum (self->keys[index], strlen (self->keys[index])) | 1;
        umbp_item_t *item = &self->items[index];
        item->key = (umbp_key_t) { self->keys[index], strlen (self->keys[index]) };
        item->data = self->memory + index * BLOCK_MAX;
        item->size = size ? size : 70000 + s_random (BLOCK_MAX - 70000);
        self->total += item->size;
        owner_fill (item->data, item->size, self->seeds[index]);
    }
}

static void s_free_set (set_t *self)
{
    free (self->memory);
}

static bool s_is_right (const unsigned char *data, size_t size, uint64_t seed)
{
    unsigned char *wanted = malloc (size);
    assert (wanted);
    owner_fill (wanted, size, seed);
    bool same = memcmp (wanted, data, size) == 0;
    free (wanted);
    return same;
}

static void s_put (umbp_t *pool, set_t *set, umbp_strategy_t strategy)
{
    umbp_put_options_t options = { .strategy = strategy };
    CU_ASSERT_EQUAL (umbp_put_batch (pool, set->items, BLOCKS, &options, LONG_MS), BLOCKS);
    for (size_t index = 0; index < BLOCKS; index++)
        if (set->items[index].status != 0)
            printf ("put %s: %s\n", set->keys[index], umbp_strerror (set->items[index].status));
}

//  Get all and compare all bytes
static void s_get (umbp_t *pool, set_t *set)
{
    memset (set->memory, 0xa5, BLOCKS * BLOCK_MAX);
    CU_ASSERT_EQUAL (umbp_get_batch (pool, set->items, BLOCKS, LONG_MS), BLOCKS);
    for (size_t index = 0; index < BLOCKS; index++) {
        const umbp_item_t *item = &set->items[index];
        CU_ASSERT_EQUAL (item->status, 0);
        CU_ASSERT (item->status != 0 || s_is_right (item->data, item->size, set->seeds[index]));
    }
}

static void s_remove (umbp_t *pool, set_t *set)
{
    for (size_t index = 0; index < BLOCKS; index++)
        umbp_remove (pool, set->keys[index]);
}

static umbp_stats_t s_stats (umbp_t *pool)
{
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    return stats;
}

//  ---- Tests

static void test_forced (void)
{
    set_t set;
    s_make_set (&set, "forced", 0);
    umbp_t *writer = s_connect (0, "rdma"), *reader = s_connect (1, "rdma");
    s_put (writer, &set, UMBP_STRATEGY_LOCAL);
    umbp_stats_t stats = s_stats (writer);
    CU_ASSERT_EQUAL (stats.rdma_put_bytes, set.total);
    CU_ASSERT_EQUAL (stats.tcp_put_bytes, 0);
    s_get (reader, &set);
    stats = s_stats (reader);
    CU_ASSERT_EQUAL (stats.rdma_get_bytes, set.total);
    CU_ASSERT_EQUAL (stats.tcp_get_bytes, 0);
    CU_ASSERT_EQUAL (stats.checksum_errors, 0);
    CU_ASSERT (umbp_register (reader, set.memory, BLOCKS * BLOCK_MAX) == 0);   //  In place
    s_get (reader, &set);
    CU_ASSERT_EQUAL (s_stats (reader).rdma_get_bytes, 2 * set.total);
    CU_ASSERT (umbp_deregister (reader, set.memory) == 0);
    //  All that was open is closed again
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    while (s_gauge (reader, "a", "windows") > 0 && umbp_clock_ms () < end_ms)
        poll (NULL, 0, 20);
    CU_ASSERT_EQUAL (s_gauge (reader, "a", "windows"), 0);
    CU_ASSERT (s_gauge (reader, "a", "exposed") >= 3 * BLOCKS);
    CU_ASSERT_EQUAL (s_gauge (reader, "a", "links_fenced"), 0);
    s_remove (writer, &set);
    umbp_close (&writer);
    umbp_close (&reader);
    s_free_set (&set);
}

//  Parts of blocks, in buffers of all sizes, with the checksum and without
static void test_parts (void)
{
    set_t set;
    s_make_set (&set, "parts", 0);
    umbp_t *writer = s_connect (0, "rdma");
    s_put (writer, &set, UMBP_STRATEGY_MOST_FREE);
    for (int plain = 0; plain < 2; plain++) {
        umbp_t *reader = s_connect_by (0, "rdma", "rxa", plain);
        for (size_t index = 0; index < BLOCKS; index++) {
            size_t size = set.items[index].size, at = s_random (size), most = size - at;
            unsigned char *buffer = malloc (2 * size);
            assert (buffer);
            umbp_range_t ranges[] = { { buffer, 1 + s_random (most), at },
                                      { buffer + size, size, 0 } };
            umbp_vec_t vec = { .key = set.items[index].key, .ranges = ranges, .range_count = 2 };
            CU_ASSERT_EQUAL (umbp_get_v (reader, &vec, 1, LONG_MS), 1);
            CU_ASSERT (s_is_right (buffer + size, size, set.seeds[index]));
            CU_ASSERT (memcmp (buffer, buffer + size + at, ranges[0].size) == 0);
            free (buffer);
        }
        CU_ASSERT (s_stats (reader).rdma_get_bytes > 0);
        CU_ASSERT_EQUAL (s_stats (reader).tcp_get_bytes, 0);
        umbp_close (&reader);
    }
    s_remove (writer, &set);
    umbp_close (&writer);
    s_free_set (&set);
}

//  Without a word the devices are taken if there are some, else tcp
static void test_automatic (void)
{
    set_t set;
    s_make_set (&set, "auto", 0);
    umbp_t *with = s_connect (0, NULL), *without = s_connect_by (1, "auto", "none0", false);
    umbp_t *only = s_connect_by (1, "rdma", "none0", false);
    s_put (with, &set, UMBP_STRATEGY_LOCAL);
    s_get (with, &set);
    s_get (without, &set);
    umbp_stats_t stats = s_stats (with);
    CU_ASSERT_EQUAL (stats.rdma_put_bytes, set.total);
    CU_ASSERT_EQUAL (stats.rdma_get_bytes, set.total);
    CU_ASSERT_EQUAL (stats.tcp_put_bytes + stats.tcp_get_bytes, 0);
    stats = s_stats (without);
    CU_ASSERT_EQUAL (stats.tcp_get_bytes, set.total);
    CU_ASSERT_EQUAL (stats.rdma_get_bytes, 0);
    CU_ASSERT (umbp_get_batch (only, set.items, 1, 2000) < 0);         //  Forced, and not there
    CU_ASSERT (set.items[0].status == UMBP_EUNREACH);
    s_remove (with, &set);
    umbp_close (&with);
    umbp_close (&without);
    umbp_close (&only);
    s_free_set (&set);
}

static void *s_pull_soon (void *arg)
{
    poll (NULL, 0, *(int *) arg);
    int rc = system ("cable 0 down");
    CU_ASSERT_EQUAL (rc, 0);
    return NULL;
}

//  The cable goes while bytes are under way: each call ends well, by tcp
static void test_cut (void)
{
    set_t set, other;
    s_make_set (&set, "cut", BLOCK_MAX);
    umbp_t *pool = s_connect (0, "auto");
    s_put (pool, &set, UMBP_STRATEGY_LOCAL);
    for (int write = 0; write < 2; write++) {
        umbp_stats_t before = s_stats (pool), now = before;
        int delay_ms = 100 + (int) s_random (400);
        pthread_t puller;
        pthread_create (&puller, NULL, s_pull_soon, &delay_ms);
        int64_t end_ms = umbp_clock_ms () + LONG_MS;
        for (int turn = 0; umbp_clock_ms () < end_ms; turn++) {
            char name[32];
            snprintf (name, sizeof name, "cut%d-%d", write, turn);
            if (write) {
                s_make_set (&other, name, BLOCK_MAX);
                s_put (pool, &other, UMBP_STRATEGY_LOCAL);
                s_get (pool, &other);
                s_remove (pool, &other);
                s_free_set (&other);
            } else
                s_get (pool, &set);
            now = s_stats (pool);
            if (now.tcp_get_bytes + now.tcp_put_bytes > before.tcp_get_bytes + before.tcp_put_bytes)
                break;
        }
        pthread_join (puller, NULL);
        CU_ASSERT (now.tcp_get_bytes + now.tcp_put_bytes
                   > before.tcp_get_bytes + before.tcp_put_bytes);
        CU_ASSERT_EQUAL (now.checksum_errors, 0);
        CU_ASSERT_EQUAL (system ("cable 0 up"), 0);
        //  After a while the link is made anew
        before = s_stats (pool);
        while (s_stats (pool).rdma_get_bytes == before.rdma_get_bytes
               && umbp_clock_ms () < end_ms) {
            s_get (pool, &set);
            poll (NULL, 0, 200);
        }
        CU_ASSERT (s_stats (pool).rdma_get_bytes > before.rdma_get_bytes);
    }
    s_remove (pool, &set);
    umbp_close (&pool);
    s_free_set (&set);
}

//  ---- Leases and slots that are over

//  A link of our own to node a, and a block opened to it
typedef struct {
    const umbp_verbs_api_t *api;
    umbp_verbs_t *verbs;
    umbp_verbs_link_t *link;
    uint64_t number, token;
    umbp_verbs_memory_t memory;
    umbp_extent_t extent;
} raw_t;

static void s_raw_join (umbp_lane_t *lane, raw_t *self)
{
    umbp_verbs_description_t own, other = { .count = 1 };
    int rc;
    self->link = self->api->link_new (self->verbs, 1, UMBP_VERBS_KEEP, &rc);
    assert (self->link);
    self->api->link_describe (self->link, &own);
    const umbp_verbs_queue_t *queue = &own.queues[0];
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_join, 0);
    msg.join.session = lane->session;
    msg.join.numbers = (umbp_u32s_t) { &queue->number, 1 };
    msg.join.psns = (umbp_u32s_t) { &queue->psn, 1 };
    msg.join.lids = (umbp_u16s_t) { &queue->lid, 1 };
    msg.join.mtus = (umbp_u16s_t) { &queue->mtu, 1 };
    msg.join.reads = (umbp_u8s_t) { &queue->reads, 1 };
    msg.join.devices = (umbp_u8s_t) { &queue->device, 1 };
    msg.join.gids = (umbp_bytes_t) { queue->gid, 16 };
    const umbp_answer_t *answer = umbp_wire_ask (lane, UMBP_WAY_WIRE, "verbs", "a", &msg, NULL, 0,
                                                 UMBP_MSG_join_ok, lane->deadline_ms, &rc);
    CU_ASSERT_EQUAL_FATAL (rc, 0);
    const umbp_msg_join_ok_t *ok = &answer->msg.join_ok;
    self->number = ok->link;
    self->memory = (umbp_verbs_memory_t){
        umbp_u64s_at (ok->bases, 0), umbp_u64s_at (ok->sizes, 0), true, { 0 }
    };
    other.queues[0] = (umbp_verbs_queue_t){ umbp_u32s_at (ok->numbers, 0),
                                            umbp_u32s_at (ok->psns, 0),
                                            umbp_u16s_at (ok->lids, 0),
                                            umbp_u16s_at (ok->mtus, 0),
                                            umbp_u8s_at (ok->reads, 0),
                                            umbp_u8s_at (ok->devices, 0),
                                            { 0 } };
    memcpy (other.queues[0].gid, ok->gids.data, 16);
    CU_ASSERT_EQUAL_FATAL (self->api->link_connect (self->link, &other), 0);
}

//  Returns the status of the block
static int s_raw_expose (umbp_lane_t *lane, raw_t *self, bool write)
{
    uint32_t item = 0;
    umbp_msg_t msg;
    int rc;
    umbp_msg_init (&msg, UMBP_MSG_expose, 0);
    msg.expose.link = self->number;
    msg.expose.tokens = (umbp_u64s_t) { &self->token, 1 };
    msg.expose.items = (umbp_u32s_t) { &item, 1 };
    msg.expose.write = write;
    const umbp_answer_t *answer = umbp_wire_ask (lane, UMBP_WAY_WIRE, "verbs", "a", &msg, NULL, 0,
                                                 UMBP_MSG_expose_ok, lane->deadline_ms, &rc);
    if (rc != 0)
        return rc;
    const umbp_msg_expose_ok_t *ok = &answer->msg.expose_ok;
    if (umbp_s8s_at (ok->statuses, 0) != 0)
        return umbp_s8s_at (ok->statuses, 0);
    self->memory.keys[0] = umbp_u32s_at (ok->keys, 0);
    self->extent = (umbp_extent_t) { .page = umbp_u32s_at (ok->pages, 0),
                                     .count = umbp_u32s_at (ok->page_counts, 0), .generation = 1 };
    return 0;
}

static int s_raw_move (raw_t *self, bool write, void *base, size_t size)
{
    umbp_piece_t piece = { base, size };
    umbp_verbs_io_t io = { .memories = &self->memory,
                           .memory_count = 1,
                           .extents = &self->extent,
                           .extent_count = 1, .page_size = 65536, .pieces = &piece, .piece_count = 1 };
    int status = 1;
    (write ? self->api->write : self->api->read) (self->link, &io, 1, &status,
                                                  umbp_clock_ms () + LONG_MS);
    return status;
}

static raw_t s_raw_new (void)
{
    char why[UMBP_VERBS_WHY_MAX];
    umbp_verbs_options_t options = { .devices = "rxa", .silence_ms = 1500 };
    raw_t self = { .api = umbp_verbs_load (s_plugin, why) };
    assert (self.api);
    self.verbs = self.api->open (&options, NULL, why);
    assert (self.verbs);
    return self;
}

static void s_raw_destroy (raw_t *self)
{
    self->api->link_destroy (&self->link);
    self->api->close (&self->verbs);
}

//  Other blocks take the place of those that were there
static void s_refill (umbp_t *pool, int round)
{
    set_t set;
    char name[32];
    snprintf (name, sizeof name, "refill-%d", round);
    s_make_set (&set, name, 1 << 20);
    s_put (pool, &set, UMBP_STRATEGY_LOCAL);
    s_get (pool, &set);
    s_remove (pool, &set);
    s_free_set (&set);
}

//  A lease ends by its time while we have its keys: they are worth nothing then
static void test_expired_lease (void)
{
    umbp_t *pool = s_connect (0, "tcp");
    raw_t raw = s_raw_new ();
    umbp_lane_t *lane;
    umbp_found_t found;
    umbp_key_t key = { "expires", 7 };
    unsigned char *data = malloc (1 << 20), *seen = malloc (1 << 20);
    assert (data && seen);
    owner_fill (data, 1 << 20, 5);
    CU_ASSERT_EQUAL (umbp_put (pool, "expires", data, 1 << 20), 0);
    int rc = umbp_pool_enter (pool, 0, &lane);
    assert (rc == 0);
    CU_ASSERT_EQUAL_FATAL (umbp_get_ask (lane, UMBP_WAY_WIRE, &key, sizeof key, 1, 0, NULL, &found),
                           0);
    raw.token = found.owners[0].lease;
    s_raw_join (lane, &raw);
    CU_ASSERT_EQUAL (s_raw_expose (lane, &raw, true), UMBP_EDENIED);   //  A lease is not for writing
    CU_ASSERT_EQUAL (s_raw_expose (lane, &raw, false), 0);
    CU_ASSERT_EQUAL (s_raw_expose (lane, &raw, false), UMBP_EAGAIN);   //  Open already
    CU_ASSERT_EQUAL (s_raw_move (&raw, false, seen, 1 << 20), 0);
    CU_ASSERT (memcmp (seen, data, 1 << 20) == 0);
    CU_ASSERT (s_raw_move (&raw, true, seen, 4096) != 0);    //  Not by these keys
    s_raw_join (lane, &raw);            //  That cost us the link
    CU_ASSERT_EQUAL (s_raw_expose (lane, &raw, false), 0);
    umbp_pool_leave (pool, &lane);
    CU_ASSERT_EQUAL (umbp_remove (pool, "expires"), 0);
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    while (s_gauge (pool, "a", "windows") > 0 && umbp_clock_ms () < end_ms)
        poll (NULL, 0, 50);
    CU_ASSERT_EQUAL (s_gauge (pool, "a", "windows"), 0);     //  Its time has come
    s_refill (pool, 1);
    memset (seen, 0, 1 << 20);
    CU_ASSERT (s_raw_move (&raw, false, seen, 1 << 20) != 0);
    for (size_t index = 0; index < 1 << 20; index++)
        if (seen[index]) {
            CU_FAIL ("bytes came after the lease");
            break;
        }
    rc = umbp_pool_enter (pool, 0, &lane);
    assert (rc == 0);
    rc = s_raw_expose (lane, &raw, false);
    CU_ASSERT (rc == UMBP_ESTALE || rc == UMBP_ENOENT);      //  ENOENT: with the link
    umbp_pool_leave (pool, &lane);
    s_raw_destroy (&raw);
    umbp_close (&pool);
    free (data);
    free (seen);
}

//  A slot ends by its time while its writer goes on: what comes to lie there is not touched
static void test_expired_slot (void)
{
    umbp_t *pool = s_connect (0, "tcp");
    unsigned char *data = malloc (1 << 20);
    assert (data);
    memset (data, 0x77, 1 << 20);
    for (int round = 0; round < 2; round++) {
        raw_t raw = s_raw_new ();
        umbp_lane_t *lane;
        umbp_msg_t msg;
        char name[32];
        snprintf (name, sizeof name, "late-%d", round);
        int rc = umbp_pool_enter (pool, 0, &lane);
        assert (rc == 0);
        uint64_t fenced = 0;
        uint32_t size = 1 << 20;
        uint16_t length = (uint16_t) strlen (name);
        umbp_msg_init (&msg, UMBP_MSG_put, 0);
        msg.put.session = lane->session;
        msg.put.keys = (umbp_column_t) { (const uint8_t *) name, &length, length, 1 };
        msg.put.sizes = (umbp_u32s_t) { &size, 1 };
        msg.put.strategy = UMBP_STRATEGY_LOCAL;
        const umbp_answer_t *answer =
            umbp_wire_ask (lane, UMBP_WAY_WIRE, "router", NULL, &msg, NULL, 0, UMBP_MSG_put_ok,
                           lane->deadline_ms, &rc);
        CU_ASSERT_FATAL (answer != NULL && answer->msg.put_ok.slots.count == 1);
        raw.token = umbp_u64s_at (answer->msg.put_ok.slots, 0);
        s_raw_join (lane, &raw);
        CU_ASSERT_EQUAL (s_raw_expose (lane, &raw, true), 0);
        CU_ASSERT_EQUAL (s_raw_move (&raw, true, data, 1 << 20), 0);
        //  To be done is not to have said so: a commit now is too early, and the fence is the link
        uint64_t sum = umbp_sum (data, 1 << 20);
        umbp_msg_init (&msg, UMBP_MSG_commit, 0);
        msg.commit.slots = (umbp_u64s_t) { &raw.token, 1 };
        msg.commit.sums = (umbp_u64s_t) { &sum, 1 };
        if (round == 0) {
            answer = umbp_wire_ask (lane, UMBP_WAY_WIRE, "tier:dram", "a", &msg, NULL, 0,
                                    UMBP_MSG_commit_ok, lane->deadline_ms, &rc);
            CU_ASSERT_EQUAL (rc, 0);
            CU_ASSERT (answer && umbp_s8s_at (answer->msg.commit_ok.statuses, 0) == UMBP_ESTALE);
        }
        umbp_pool_leave (pool, &lane);
        int64_t end_ms = umbp_clock_ms () + LONG_MS;
        while (s_gauge (pool, "a", "windows") > 0 && umbp_clock_ms () < end_ms)
            poll (NULL, 0, 50);
        fenced = s_gauge (pool, "a", "links_fenced");
        CU_ASSERT (fenced >= 1);
        set_t set;
        snprintf (name, sizeof name, "after-%d", round);
        s_make_set (&set, name, 1 << 20);
        s_put (pool, &set, UMBP_STRATEGY_LOCAL);
        CU_ASSERT (s_raw_move (&raw, true, data, 1 << 20) != 0);
        s_get (pool, &set);
        s_remove (pool, &set);
        s_free_set (&set);
        s_raw_destroy (&raw);
    }
    umbp_close (&pool);
    free (data);
}

//  Someone who reads and writes by RDMA without comparing checksums, and knows what the bytes must be.
//  Exits with 1 if they ever were other ones, with 2 if RDMA took no part.
static void s_slow_worker (void)
{
    umbp_t *pool = s_connect_by (0, "auto", "rxa", true);
    unsigned char *buffer = malloc (1 << 20);
    assert (buffer);
    int wrong = 0;
    for (int64_t end_ms = umbp_clock_ms () + LONG_MS; umbp_clock_ms () < end_ms;) {
        char key[32];
        snprintf (key, sizeof key, "slow-%d", (int) s_random (SLOW_KEYS));
        uint64_t seed = umbp_sum (key, strlen (key)) | 1;
        long got = umbp_get (pool, key, buffer, 1 << 20);
        if (got == 1 << 20 && !s_is_right (buffer, 1 << 20, seed))
            wrong++;
        owner_fill (buffer, 1 << 20, seed);
        if (got == UMBP_ENOENT)
            umbp_put (pool, key, buffer, 1 << 20);
        if (wrong || getppid () == 1)
            break;
        if (access ("/tmp/slow-over", F_OK) == 0)
            break;
    }
    umbp_stats_t stats = s_stats (pool);
    printf ("slow worker: got %zu, put %zu MiB by RDMA, stale %zu, missed %zu, wrong %d\n",
            (size_t) (stats.rdma_get_bytes >> 20), (size_t) (stats.rdma_put_bytes >> 20),
            (size_t) stats.stale, (size_t) stats.misses, wrong);
    umbp_close (&pool);
    _exit (wrong ? 1 : stats.rdma_get_bytes && stats.rdma_put_bytes ? 0 : 2);
}

//  It stands still at any moment for longer than leases and slots last, while its pages go to others
static void test_stopped (void)
{
    unlink ("/tmp/slow-over");
    pid_t pid = fork ();
    assert (pid >= 0);
    if (pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        s_slow_worker ();
    }
    umbp_t *pool = s_connect (0, "auto");
    for (int round = 0; round < ROUNDS; round++) {
        poll (NULL, 0, 300 + (int) s_random (400));
        kill (pid, SIGSTOP);
        for (int key = 0; key < SLOW_KEYS; key++) {
            char name[32];
            snprintf (name, sizeof name, "slow-%d", key);
            umbp_remove (pool, name);
        }
        int64_t end_ms = umbp_clock_ms () + LEASE_MS + 500;
        for (int turn = 0; turn < 2 || umbp_clock_ms () < end_ms; turn++)
            s_refill (pool, 1000 * round + turn);
        kill (pid, SIGCONT);
    }
    CU_ASSERT_EQUAL (system (">/tmp/slow-over"), 0);
    int status = 0;
    waitpid (pid, &status, 0);
    CU_ASSERT_EQUAL (status, 0);
    umbp_close (&pool);
}

//  ---- Speed

static int s_bench (const char *what, size_t bytes, size_t count)
{
    umbp_t *pool = s_connect (0, "rdma");
    umbp_item_t *items = calloc (count, sizeof *items);
    char (*keys)[32] = calloc (count, sizeof *keys);
    unsigned char *memory = aligned_alloc (4096, bytes * count);
    assert (items && keys && memory);
    owner_fill (memory, bytes * count, 9);
    int rc = umbp_register (pool, memory, bytes * count);
    assert (rc == 0);
    for (size_t index = 0; index < count; index++) {
        snprintf (keys[index], sizeof *keys, "bench-%zu", index);
        items[index] = (umbp_item_t) { .key = { keys[index], strlen (keys[index]) },
                                       .data = memory + index * bytes, .size = bytes };
    }
    bool put = strcmp (what, "put") == 0;
    double best_mb = 0;
    rc = (int) count;
    for (int round = 0; round < 4 && rc == (int) count; round++) {    //  The first one makes the link
        int64_t start_ms = umbp_clock_ms ();
        if (put || round == 0)
            rc = umbp_put_batch (pool, items, count, NULL, LONG_MS);
        if (!put && rc == (int) count) {
            start_ms = umbp_clock_ms ();
            rc = umbp_get_batch (pool, items, count, LONG_MS);
        }
        int64_t took_ms = umbp_clock_ms () - start_ms;
        double mb = (double) (bytes * count) / 1000.0 / (double) (took_ms ? took_ms : 1);
        best_mb = round > 0 && mb > best_mb ? mb : best_mb;
        for (size_t index = 0; put && index < count; index++)
            umbp_remove (pool, keys[index]);
    }
    printf ("%.1f\n", best_mb);
    bool fine =
        rc == (int) count && s_stats (pool).tcp_get_bytes + s_stats (pool).tcp_put_bytes == 0;
    umbp_close (&pool);
    free (items);
    free (keys);
    free (memory);
    return fine ? 0 : 1;
}

int main (int argc, char **argv)
{
    if (argc < 2)
        return 2;
    s_plugin = argv[1];
    setenv ("UMBP_RDMA_PLUGIN", s_plugin, 1);
    if (argc == 6 && strcmp (argv[2], "bench") == 0) {
        s_seed = 1;
        s_start (0);
        int rc = s_bench (argv[3], strtoul (argv[4], NULL, 10), strtoul (argv[5], NULL, 10));
        kill (s_nodes[0], SIGTERM);
        waitpid (s_nodes[0], NULL, 0);
        return rc;
    }
    s_seed = argc > 2 ? strtoull (argv[2], NULL, 10) : (uint64_t) getpid ();
    s_seed = s_seed * 2654435761u + 1;
    printf ("seed %s\n", argc > 2 ? argv[2] : "of the pid");
    setbuf (stdout, NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("blocks", s_open, s_close);
    CU_ADD_TEST (suite, test_forced);
    CU_ADD_TEST (suite, test_parts);
    CU_ADD_TEST (suite, test_automatic);
    CU_ADD_TEST (suite, test_expired_lease);
    CU_ADD_TEST (suite, test_expired_slot);
    CU_ADD_TEST (suite, test_stopped);
    CU_ADD_TEST (suite, test_cut);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    if (argc > 3)
        CU_basic_run_test (suite, CU_get_test_by_name (argv[3], suite));
    else
        CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_storm.c - a thousand blocks that shall move between memory and disk at once, while clients read: what is
//  on its way stays within its bounds, all of it ends, nothing is lost, and every reader gets the right bytes. Then
//  what is worth a place on disk, and what just moved and stays. How much longer readers wait is printed.
#include <pthread.h>

#include "actors/tier/moves.h"
#include "test/unit/disk.h"

#define MIB (1 << 20)
#define BLOCK 16384
#define STORM 1000
#define WARM 200
#define READS 1500                      //  While it is quiet
#define BATCH 100
#define WAIT_MS 60000
#define CAP_BLOCKS 64
#define CAP_BYTES MIB
#define EVICTIONS 4                     //  At once, of up to 256 blocks each

static uint64_t s_seed;

typedef struct {
    nodes_t nodes;                      //  One
    char disk[64];
    umbp_t *pool;
} storm_t;

static void s_prepare (storm_t *self, const char *admit)
{
    memset (self, 0, sizeof *self);
    snprintf (self->nodes.run_dir, sizeof self->nodes.run_dir, "/tmp/umbp-storm-XXXXXX");
    snprintf (self->disk, sizeof self->disk, "/tmp/umbp-disk-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->nodes.run_dir));
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->disk));
    nodes_options (&self->nodes, 0, WITH_DOORS, 64 * MIB);
    umbp_node_options_t *options = &self->nodes.options[0];
    snprintf (options->nvme_dirs, sizeof options->nvme_dirs, "%s", self->disk);
    snprintf (options->nvme_admit, sizeof options->nvme_admit, "%s", admit);
    snprintf (options->policy, sizeof options->policy, "lru");
    options->nvme_bytes = 128 * MIB;
    options->nvme_segment_bytes = 4 * MIB;
    options->nvme_staging_bytes = 32 * MIB;
    options->nvme_up_rate = 16 * MIB;   //  So that a thousand take a while
    options->migration_blocks = CAP_BLOCKS;
    options->migration_bytes = CAP_BYTES;
}

static void s_run (storm_t *self)
{
    umbp_node_options_t *options = &self->nodes.options[0];
    self->nodes.nodes[0] = nodes_new (options);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[0]);
    self->nodes.count = 1;
    CU_ASSERT_FATAL (nodes_meet (&self->nodes));
    self->pool = nodes_connect (&self->nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->pool);
}

static void s_start (storm_t *self, const char *admit)
{
    s_prepare (self, admit);
    s_run (self);
}

static void s_stop (storm_t *self)
{
    umbp_close (&self->pool);
    nodes_stop (&self->nodes);
    disk_erase (self->disk);
}

static uint64_t s_gauge (const storm_t *self, const char *tier, const char *name)
{
    return gauge (umbp_node_endpoint (self->nodes.nodes[0]), tier, name);
}

//  --------------------------------------------------------------------------------------------------
//  Blocks: name-number, filled from the number and the first letter of the name

static uint64_t s_number (const char *name, size_t number)
{
    return s_seed + ((uint64_t) (unsigned char) *name << 32) + number;
}

typedef struct {
    char keys[STORM][24];
    umbp_item_t items[STORM];
    uint8_t *bytes;
} batch_t;

static batch_t *s_batch (const char *name, size_t first, size_t count)
{
    batch_t *batch = zmalloc (sizeof *batch);
    batch->bytes = zmalloc (count * BLOCK);
    for (size_t index = 0; index < count; index++) {
        snprintf (batch->keys[index], sizeof batch->keys[index], "%s-%zu", name, first + index);
        batch->items[index] =
            (umbp_item_t){ .key = { batch->keys[index], strlen (batch->keys[index]) },
                                             .data = batch->bytes + index * BLOCK, .size = BLOCK };
    }
    return batch;
}

static void s_free (batch_t *batch)
{
    free (batch->bytes);
    free (batch);
}

static void s_put (storm_t *self, const char *name, size_t count, umbp_put_options_t how)
{
    int64_t end = umbp_clock_ms () + WAIT_MS;
    for (size_t first = 0; first < count; first += BATCH) {
        batch_t *batch = s_batch (name, first, BATCH);
        for (size_t index = 0; index < BATCH; index++)
            nodes_fill (batch->items[index].data, BLOCK, s_number (name, first + index));
        int done = 0;
        while (done < BATCH && umbp_clock_ms () < end)
            done = umbp_put_batch (self->pool, batch->items, BATCH, &how, WAIT_MS);
        CU_ASSERT (done == BATCH);
        s_free (batch);
    }
}

//  All in one call. Returns how many are there; those have the right bytes.
static size_t s_get (umbp_t *pool, const char *name, size_t count)
{
    batch_t *batch = s_batch (name, 0, count);
    size_t found = 0, wrong = 0, failed = 0;
    umbp_get_batch (pool, batch->items, count, WAIT_MS);
    for (size_t index = 0; index < count; index++) {
        int status = batch->items[index].status;
        found += status == 0;
        failed += status != 0 && status != UMBP_ENOENT;
        wrong += status == 0
                 && !nodes_is_filled (batch->items[index].data, BLOCK, s_number (name, index));
    }
    CU_ASSERT (wrong == 0);
    CU_ASSERT (failed == 0);
    s_free (batch);
    return found;
}

//  --------------------------------------------------------------------------------------------------
//  Evictions, several at once, as the eviction actor asks for one

typedef struct {
    zsock_t *sock;
    size_t open;
} evictions_t;

static void s_evict (const storm_t *self, evictions_t *evictions, size_t count, uint64_t bytes)
{
    evictions->sock = zsock_new_dealer (umbp_node_endpoint (self->nodes.nodes[0]));
    CU_ASSERT_PTR_NOT_NULL_FATAL (evictions->sock);
    zsock_set_linger (evictions->sock, 0);
    zsock_set_rcvtimeo (evictions->sock, WAIT_MS);
    void *handle = zsock_resolve (evictions->sock);
    for (evictions->open = 0; evictions->open < count; evictions->open++) {
        uint8_t wire[256];
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_evict, evictions->open + 1);
        msg.deadline_ms = WAIT_MS;
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
static uint64_t s_evicted (evictions_t *evictions)
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

//  --------------------------------------------------------------------------------------------------
//  A client that reads all the time

typedef struct {
    umbp_t *pool;
    const char
        *names[3]; //  WARM blocks of the first are measured; STORM of the others are there too
    size_t reads;                       //  0: until it is told to stop
    bool stop;                          //  Atomically
    uint64_t state, *took_us;
    size_t count, missed, wrong;
} reader_t;

#define TOOK_MAX 200000

static bool s_read_one (reader_t *self, const char *name, size_t number, uint8_t *data)
{
    char key[32];
    snprintf (key, sizeof key, "%s-%zu", name, number);
    umbp_item_t item = { .key = { key, strlen (key) }, .data = data, .size = BLOCK };
    umbp_get_batch (self->pool, &item, 1, WAIT_MS);
    self->missed += item.status != 0;
    self->wrong += item.status == 0 && !nodes_is_filled (data, BLOCK, s_number (name, number));
    return item.status == 0;
}

static void *s_reader (void *arg)
{
    reader_t *self = arg;
    uint8_t *data = zmalloc (BLOCK);
    while (!__atomic_load_n (&self->stop, __ATOMIC_ACQUIRE) && self->count < TOOK_MAX
           && (!self->reads || self->count < self->reads)) {
        int64_t began = zclock_usecs ();
        if (s_read_one (self, self->names[0], umbp_splitmix (&self->state) % WARM, data))
            self->took_us[self->count++] = (uint64_t) (zclock_usecs () - began);
        else
            break;
        if (self->names[1] && self->count % 8 == 0)
            s_read_one (self, self->names[1 + umbp_splitmix (&self->state) % 2],
                        umbp_splitmix (&self->state) % STORM, data);
    }
    free (data);
    return NULL;
}

static int s_compare (const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *) one, b = *(const uint64_t *) other;
    return a < b ? -1 : a > b;
}

static uint64_t s_p95 (reader_t *self)
{
    CU_ASSERT (self->count > 0);
    CU_ASSERT (self->missed == 0);
    CU_ASSERT (self->wrong == 0);
    qsort (self->took_us, self->count, sizeof *self->took_us, s_compare);
    return self->count ? self->took_us[self->count - self->count / 20 - 1] : 1;
}

//  --------------------------------------------------------------------------------------------------
//  The storm

//  Look at what is on its way until nothing waits any more. Returns how often something was.
static size_t s_watch (const storm_t *self, const char *tier, const char *way)
{
    char open[32], blocks[32], bytes[32];
    const char *verb = streq (way, "promoting") ? "promotions" : "demotions";
    snprintf (open, sizeof open, "%s_open", verb);
    snprintf (blocks, sizeof blocks, "%s_blocks", way);
    snprintf (bytes, sizeof bytes, "%s_bytes", way);
    int64_t end = umbp_clock_ms () + WAIT_MS;
    size_t seen = 0;
    uint64_t left = 1;
    while (left > 0 && umbp_clock_ms () < end) {
        uint64_t now = s_gauge (self, tier, blocks);
        seen += now > 0;
        CU_ASSERT (now <= CAP_BLOCKS);
        CU_ASSERT (s_gauge (self, tier, bytes) <= CAP_BYTES);
        left = s_gauge (self, tier, open);
        usleep (5000);                  //  Readers have the cores, not we who look
    }
    CU_ASSERT (left == 0);
    snprintf (blocks, sizeof blocks, "%s_blocks_most", way);
    snprintf (bytes, sizeof bytes, "%s_bytes_most", way);
    uint64_t most = s_gauge (self, tier, blocks), most_bytes = s_gauge (self, tier, bytes);
    printf ("\n    %s: seen %zu times, at most %llu blocks of %d, %llu bytes of %d", way, seen,
            (unsigned long long) most, CAP_BLOCKS, (unsigned long long) most_bytes, CAP_BYTES);
    CU_ASSERT (most > 0 && most <= CAP_BLOCKS);
    CU_ASSERT (most_bytes > 0 && most_bytes <= CAP_BYTES);
    return seen;
}

static void test_storm (void)
{
    storm_t storm;
    s_start (&storm, "all");
    s_put (&storm, "hot", STORM, (umbp_put_options_t) { 0 });
    s_put (&storm, "cold", STORM, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    s_put (&storm, "warm", WARM, (umbp_put_options_t) { 0 });
    reader_t reader = { .names = { "warm" }, .reads = READS, .state = s_seed };
    reader.pool = nodes_connect (&storm.nodes, 0, (umbp_options_t) { .no_shm = true });
    reader.took_us = zmalloc (TOOK_MAX * sizeof *reader.took_us);
    s_reader (&reader);
    uint64_t quiet = s_p95 (&reader), p95;
    reader.names[1] = "cold";
    reader.names[2] = "hot";
    reader.reads = reader.count = 0;
    pthread_t thread;
    CU_ASSERT_FATAL (pthread_create (&thread, NULL, s_reader, &reader) == 0);

    //  Up: all that is on disk is read in one call
    CU_ASSERT (s_get (storm.pool, "cold", STORM) == STORM);
    CU_ASSERT (s_watch (&storm, "tier:nvme", "promoting") > 0);
    CU_ASSERT (s_gauge (&storm, "tier:nvme", "promoted") >= STORM);
    CU_ASSERT (s_gauge (&storm, "tier:nvme", "promotions_failed") == 0);

    //  Down: the oldest in memory, which were never on disk
    evictions_t evictions;
    s_evict (&storm, &evictions, EVICTIONS, STORM / EVICTIONS * BLOCK);
    s_watch (&storm, "tier:dram", "demoting");
    CU_ASSERT (s_evicted (&evictions) >= STORM);
    CU_ASSERT (gauge_becomes (umbp_node_endpoint (storm.nodes.nodes[0]), "tier:dram",
                              "demotions_open", 0));
    __atomic_store_n (&reader.stop, true, __ATOMIC_RELEASE);
    pthread_join (thread, NULL);
    size_t lost = s_gauge (&storm, "tier:dram", "evicted_without_copy");
    CU_ASSERT (lost > 0 || s_gauge (&storm, "tier:dram", "demoted") >= STORM / 4);
    if (lost > 0) {                     //  What a slow disk did not take in a second is a miss, and said to be
        printf ("\n    the disk was too slow for %zu blocks", lost);
        CU_ASSERT (reader.missed <= reader.count);
        reader.missed = 0;
    }
    p95 = s_p95 (&reader);
    printf (
        "\n    a read of memory: 95 of 100 in %llu us while it is quiet, %llu us in the storm, %.2f times; "
        "%zu reads\n    ",
        (unsigned long long) quiet, (unsigned long long) p95, (double) p95 / (double) quiet,
        reader.count);
    CU_ASSERT (s_get (storm.pool, "hot", STORM) + s_get (storm.pool, "cold", STORM)
                   + s_get (storm.pool, "warm", WARM) + lost
               >= 2 * STORM + WARM);
    CU_ASSERT (s_gauge (&storm, "tier:nvme", "disk_rotten") == 0);
    umbp_close (&reader.pool);
    free (reader.took_us);
    s_stop (&storm);
}

//  --------------------------------------------------------------------------------------------------
//  What is worth a place

static void s_evict_all (storm_t *storm, size_t blocks)
{
    evictions_t evictions;
    s_evict (storm, &evictions, 1, blocks * BLOCK);
    CU_ASSERT (s_evicted (&evictions) == blocks);
}

static void test_second_touch (void)
{
    storm_t storm;
    s_start (&storm, "second-touch");
    s_put (&storm, "a", 100, (umbp_put_options_t) { 0 });
    s_evict_all (&storm, 100);
    CU_ASSERT (s_gauge (&storm, "tier:dram", "not_admitted") == 100);
    CU_ASSERT (s_gauge (&storm, "tier:nvme", "blocks") == 0);
    CU_ASSERT (s_get (storm.pool, "a", 100) == 0);
    s_put (&storm, "a", 100, (umbp_put_options_t) { 0 });            //  Known from before
    s_evict_all (&storm, 100);
    size_t lost = s_gauge (&storm, "tier:dram", "evicted_without_copy");
    CU_ASSERT (s_gauge (&storm, "tier:dram", "not_admitted") == 100);
    CU_ASSERT (s_get (storm.pool, "a", 100) + lost >= 100);
    CU_ASSERT (s_gauge (&storm, "tier:dram", "reuse_ms") > 0);
    s_stop (&storm);
}

//  --------------------------------------------------------------------------------------------------
//  What just came up stays, if others can go. Proved only if it all happens while that counts.

static bool s_try_rest (void)
{
    storm_t storm;
    s_start (&storm, "all");
    s_put (&storm, "cold", 100, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    int64_t began = umbp_clock_ms ();
    CU_ASSERT (s_get (storm.pool, "cold", 100) == 100);
    s_watch (&storm, "tier:nvme", "promoting");
    s_put (&storm, "fresh", 100, (umbp_put_options_t) { 0 });
    s_evict_all (&storm, 50);           //  By age it would be those of "cold"
    uint64_t known = s_gauge (&storm, "tier:dram", "demoted_known"),
             rested = s_gauge (&storm, "tier:dram", "moves_rested");
    bool in_time = umbp_clock_ms () - began < UMBP_MOVES_REST_MS;
    if (in_time) {
        CU_ASSERT (known == 0);         //  Those of "cold" are on disk
        CU_ASSERT (rested >= 50);
    }
    s_evict_all (&storm, 150);          //  But nothing else is left: they go, rest or not
    CU_ASSERT (s_gauge (&storm, "tier:dram", "blocks") <= 1);
    s_stop (&storm);
    return in_time;
}

static void test_rest (void)
{
    bool in_time = false;
    for (int turn = 0; turn < 5 && !in_time; turn++)
        in_time = s_try_rest ();
    if (!in_time)
        printf ("\n    too slow here to see what rests for %d ms\n", UMBP_MOVES_REST_MS);
}

//  --------------------------------------------------------------------------------------------------
//  Readers of the disk that wait for longer than the target slow moves down both ways, until they are served

static bool s_share_is (const storm_t *storm, bool whole)
{
    uint64_t up = s_gauge (storm, "tier:nvme", "migration_share"),
             down = s_gauge (storm, "tier:dram", "migration_share");
    return whole ? up == 1000 && down == 1000 : up < 1000 && down < 1000;
}

static void test_slows_down (void)
{
    storm_t storm;
    s_prepare (&storm, "all");
    storm.nodes.options[0].migration_target_ms = 1;
    storm.nodes.options[0].nvme_up_rate =
        1; //  Nothing goes up: all is read from disk, again and again
    storm.nodes.options[0].nvme_staging_bytes = 10 * MIB;
    s_run (&storm);
    s_put (&storm, "cold", STORM, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    CU_ASSERT (s_share_is (&storm, true));
    int64_t end = umbp_clock_ms () + WAIT_MS;
    bool slowed = false;
    for (size_t first = 0; !slowed && umbp_clock_ms () < end; first ^= STORM / 2) {
        batch_t *batch = s_batch ("cold", first, STORM / 2);
        umbp_get_batch (storm.pool, batch->items, STORM / 2, WAIT_MS);
        s_free (batch);
        slowed = s_share_is (&storm, false);
    }
    CU_ASSERT (slowed);
    printf ("\n    p95 of the disk's readers %llu us, share %llu of 1000\n    ",
            (unsigned long long) s_gauge (&storm, "tier:nvme", "reads_p95_us"),
            (unsigned long long) s_gauge (&storm, "tier:nvme", "migration_share"));
    while (!s_share_is (&storm, true) && umbp_clock_ms () < end)
        usleep (20000);
    CU_ASSERT (s_share_is (&storm, true));
    s_stop (&storm);
}

int main (void)
{
    alarm (300);
    CU_initialize_registry ();
    s_seed = nodes_seed ("storm");
    CU_pSuite suite = CU_add_suite ("storm", NULL, NULL);
    CU_ADD_TEST (suite, test_storm);
    CU_ADD_TEST (suite, test_second_touch);
    CU_ADD_TEST (suite, test_rest);
    CU_ADD_TEST (suite, test_slows_down);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

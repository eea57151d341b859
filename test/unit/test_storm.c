//  test/unit/test_storm.c - a thousand blocks that shall move between memory and disk at once, while clients read: what is
//  on its way stays within its bounds, all of it ends, nothing is lost, and every reader gets the right bytes, one who reads
//  nothing but blocks that move included. It is known to be a storm, and to be over. Then
//  what is worth a place on disk, and what just moved and stays. How much longer readers wait is printed.
#include <pthread.h>

#include "actors/tier/moves.h"
#include "test/unit/moving.h"

#define WARM 200
#define READS 1500                      //  While it is quiet
#define EVICTIONS 4                     //  At once, of up to 256 blocks each

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
    umbp_get_batch (self->pool, &item, 1, DISK_MS);
    self->missed += item.status != 0;
    self->wrong += item.status == 0 && !nodes_is_filled (data, BLOCK, disk_number (name, number));
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

//  One that reads blocks of two names in turn, all of which move, or moved, or will
static void *s_chaser (void *arg)
{
    reader_t *self = arg;
    uint8_t *data = zmalloc (BLOCK);
    while (!__atomic_load_n (&self->stop, __ATOMIC_ACQUIRE)) {
        self->count += s_read_one (self, self->names[umbp_splitmix (&self->state) % 2],
                                   umbp_splitmix (&self->state) % STORM, data);
        usleep (1000);                  //  It is the moves whose price is measured, not this
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
static size_t s_watch (const moving_t *self, const char *tier, const char *way)
{
    char open[32], blocks[32], bytes[32];
    const char *verb = streq (way, "promoting") ? "promotions" : "demotions";
    snprintf (open, sizeof open, "%s_open", verb);
    snprintf (blocks, sizeof blocks, "%s_blocks", way);
    snprintf (bytes, sizeof bytes, "%s_bytes", way);
    int64_t end = umbp_clock_ms () + DISK_MS;
    size_t seen = 0;
    uint64_t left = 1;
    while (left > 0 && umbp_clock_ms () < end) {
        uint64_t now = moving_gauge (self, tier, blocks);
        seen += now > 0;
        CU_ASSERT (now <= CAP_BLOCKS);
        CU_ASSERT (moving_gauge (self, tier, bytes) <= CAP_BYTES);
        left = moving_gauge (self, tier, open);
        usleep (5000);                  //  Readers have the cores, not we who look
    }
    CU_ASSERT (left == 0);
    snprintf (blocks, sizeof blocks, "%s_blocks_most", way);
    snprintf (bytes, sizeof bytes, "%s_bytes_most", way);
    uint64_t most = moving_gauge (self, tier, blocks),
             most_bytes = moving_gauge (self, tier, bytes);
    printf ("\n    %s: seen %zu times, at most %llu blocks of %d, %llu bytes of %d", way, seen,
            (unsigned long long) most, CAP_BLOCKS, (unsigned long long) most_bytes, CAP_BYTES);
    CU_ASSERT (most > 0 && most <= CAP_BLOCKS);
    CU_ASSERT (most_bytes > 0 && most_bytes <= CAP_BYTES);
    return seen;
}

static void test_storm (void)
{
    moving_t storm;
    moving_start (&storm, "all");
    moving_put (&storm, "hot", STORM, (umbp_put_options_t) { 0 });
    moving_put (&storm, "cold", STORM, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    moving_put (&storm, "warm", WARM, (umbp_put_options_t) { 0 });
    reader_t reader = { .names = { "warm" }, .reads = READS, .state = disk_seed };
    reader.pool = nodes_connect (&storm.disk.nodes, 0, (umbp_options_t) { .no_shm = true });
    reader.took_us = zmalloc (TOOK_MAX * sizeof *reader.took_us);
    s_reader (&reader);
    uint64_t quiet = s_p95 (&reader), p95;
    reader.names[1] = "cold";
    reader.names[2] = "hot";
    reader.reads = reader.count = 0;
    pthread_t thread, chasing;
    CU_ASSERT_FATAL (pthread_create (&thread, NULL, s_reader, &reader) == 0);
    CU_ASSERT (moving_gauge (&storm, "tier:nvme", "storms") == 0);

    //  Up: all that is on disk is read in one call
    CU_ASSERT (moving_get (storm.pool, "cold", STORM) == STORM);
    CU_ASSERT (moving_until (&storm, "tier:nvme", "storms", 1));
    CU_ASSERT (moving_until (&storm, "tier:dram", "storm", 1));      //  It was told
    reader_t chaser = { .names = { "cold", "hot" }, .state = disk_seed + 1 };
    chaser.pool = nodes_connect (&storm.disk.nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT_FATAL (pthread_create (&chasing, NULL, s_chaser, &chaser) == 0);
    CU_ASSERT (s_watch (&storm, "tier:nvme", "promoting") > 0);
    CU_ASSERT (moving_gauge (&storm, "tier:nvme", "promoted") >= STORM);
    CU_ASSERT (moving_gauge (&storm, "tier:nvme", "promotions_failed") == 0);

    //  Down: the oldest in memory, which were never on disk
    moving_evictions_t evictions;
    moving_evict (&storm, &evictions, EVICTIONS, STORM / EVICTIONS * BLOCK);
    s_watch (&storm, "tier:dram", "demoting");
    CU_ASSERT (moving_evicted (&evictions) >= STORM);
    CU_ASSERT (gauge_becomes (disk_endpoint (&storm.disk), "tier:dram", "demotions_open", 0));
    __atomic_store_n (&reader.stop, true, __ATOMIC_RELEASE);
    pthread_join (thread, NULL);
    __atomic_store_n (&chaser.stop, true, __ATOMIC_RELEASE);
    pthread_join (chasing, NULL);
    umbp_close (&chaser.pool);
    CU_ASSERT (moving_gauge (&storm, "tier:dram", "demoted")
                   + moving_gauge (&storm, "tier:dram", "demoted_known")
               >= STORM);
    CU_ASSERT (moving_gauge (&storm, "tier:dram", "evicted_without_copy") == 0);
    CU_ASSERT (chaser.count > 0 && chaser.wrong == 0 && chaser.missed == 0);
    p95 = s_p95 (&reader);
    printf (
        "\n    a read of memory: 95 of 100 in %llu us while it is quiet, %llu us in the storm, %.2f times; "
        "%zu reads, and %zu of blocks that moved\n    ",
        (unsigned long long) quiet, (unsigned long long) p95, (double) p95 / (double) quiet,
        reader.count, chaser.count);
    CU_ASSERT (moving_get (storm.pool, "hot", STORM) == STORM);
    CU_ASSERT (moving_get (storm.pool, "cold", STORM) == STORM);
    CU_ASSERT (moving_get (storm.pool, "warm", WARM) == WARM);
    CU_ASSERT (moving_gauge (&storm, "tier:nvme", "disk_rotten") == 0);
    CU_ASSERT (moving_gauge (&storm, "tier:dram", "storms") >= 1);
    for (int tier = 0; tier < 2; tier++)
        CU_ASSERT (gauge_becomes (disk_endpoint (&storm.disk), tier ? "tier:dram" : "tier:nvme",
                                  "storm", 0));
    umbp_close (&reader.pool);
    free (reader.took_us);
    moving_stop (&storm);
}

//  --------------------------------------------------------------------------------------------------
//  In a storm a block comes up at its second read. Proved only if it lasts that long.

static bool s_try_second_read (void)
{
    moving_t storm;
    moving_prepare (&storm, "all")->nvme_up_rate =
        2 * MIB; //  Eight seconds for all that is asked for
    moving_run (&storm);
    moving_put (&storm, "cold", STORM, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    moving_put (&storm, "late", 40, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    CU_ASSERT (moving_get (storm.pool, "cold", STORM) == STORM);
    CU_ASSERT (moving_until (&storm, "tier:nvme", "storm", 1));
    uint64_t before = moving_gauge (&storm, "tier:nvme", "moves_asked");
    CU_ASSERT (before == STORM);
    CU_ASSERT (moving_get (storm.pool, "late", 40) == 40);
    uint64_t put_off = moving_gauge (&storm, "tier:nvme", "promotions_put_off"),
             once = moving_gauge (&storm, "tier:nvme", "moves_asked");
    CU_ASSERT (moving_get (storm.pool, "late", 40) == 40);
    CU_ASSERT (moving_until (&storm, "tier:nvme", "moves_asked", STORM + 40));
    bool in_time = moving_gauge (&storm, "tier:nvme", "storm") == 1;
    if (in_time) {
        CU_ASSERT (put_off == 40);
        CU_ASSERT (once == STORM);
    }
    moving_stop (&storm);
    return in_time;
}

static void test_second_read (void)
{
    bool in_time = false;
    for (int turn = 0; turn < 5 && !in_time; turn++)
        in_time = s_try_second_read ();
    if (!in_time)
        printf ("\n    too slow here to see what a storm puts off\n");
}

//  --------------------------------------------------------------------------------------------------
//  What is worth a place

static void s_evict_all (moving_t *storm, size_t blocks)
{
    moving_evictions_t evictions;
    moving_evict (storm, &evictions, 1, blocks * BLOCK);
    CU_ASSERT (moving_evicted (&evictions) == blocks);
}

static void test_second_touch (void)
{
    moving_t storm;
    moving_start (&storm, "second-touch");
    moving_put (&storm, "a", 100, (umbp_put_options_t) { 0 });
    s_evict_all (&storm, 100);
    CU_ASSERT (moving_gauge (&storm, "tier:dram", "not_admitted") == 100);
    CU_ASSERT (moving_gauge (&storm, "tier:nvme", "blocks") == 0);
    CU_ASSERT (moving_get (storm.pool, "a", 100) == 0);
    moving_put (&storm, "a", 100, (umbp_put_options_t) { 0 });            //  Known from before
    s_evict_all (&storm, 100);
    CU_ASSERT (moving_gauge (&storm, "tier:dram", "evicted_without_copy") == 0);
    CU_ASSERT (moving_gauge (&storm, "tier:dram", "not_admitted") == 100);
    CU_ASSERT (moving_get (storm.pool, "a", 100) == 100);
    CU_ASSERT (moving_gauge (&storm, "tier:dram", "reuse_ms") > 0);
    moving_stop (&storm);
}

//  --------------------------------------------------------------------------------------------------
//  What just came up stays, if others can go. Proved only if it all happens while that counts.

static bool s_try_rest (void)
{
    moving_t storm;
    moving_start (&storm, "all");
    moving_put (&storm, "cold", 100, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    int64_t began = umbp_clock_ms ();
    CU_ASSERT (moving_get (storm.pool, "cold", 100) == 100);
    s_watch (&storm, "tier:nvme", "promoting");
    moving_put (&storm, "fresh", 100, (umbp_put_options_t) { 0 });
    s_evict_all (&storm, 50);           //  By age it would be those of "cold"
    uint64_t known = moving_gauge (&storm, "tier:dram", "demoted_known"),
             rested = moving_gauge (&storm, "tier:dram", "moves_rested");
    bool in_time = umbp_clock_ms () - began < UMBP_MOVES_REST_MS;
    if (in_time) {
        CU_ASSERT (known == 0);         //  Those of "cold" are on disk
        CU_ASSERT (rested >= 50);
    }
    s_evict_all (&storm, 150);          //  But nothing else is left: they go, rest or not
    CU_ASSERT (moving_gauge (&storm, "tier:dram", "blocks") <= 1);
    moving_stop (&storm);
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

static bool s_share_is (const moving_t *storm, bool whole)
{
    uint64_t up = moving_gauge (storm, "tier:nvme", "migration_share"),
             down = moving_gauge (storm, "tier:dram", "migration_share");
    return whole ? up == 1000 && down == 1000 : up < 1000 && down < 1000;
}

static void test_slows_down (void)
{
    moving_t storm;
    umbp_node_options_t *options = moving_prepare (&storm, "all");
    options->migration_target_ms = 1;
    options->nvme_up_rate = 1;          //  Nothing goes up: all is read from disk, again and again
    options->nvme_staging_bytes = 10 * MIB;
    moving_run (&storm);
    moving_put (&storm, "cold", STORM, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    CU_ASSERT (s_share_is (&storm, true));
    int64_t end = umbp_clock_ms () + DISK_MS;
    bool slowed = false;
    for (size_t first = 0; !slowed && umbp_clock_ms () < end; first ^= STORM / 2) {
        disk_get (storm.pool, "cold", first, STORM / 2, BLOCK, DISK_MS, NULL);
        slowed = s_share_is (&storm, false);
    }
    CU_ASSERT (slowed);
    printf ("\n    p95 of the disk's readers %llu us, share %llu of 1000\n    ",
            (unsigned long long) moving_gauge (&storm, "tier:nvme", "reads_p95_us"),
            (unsigned long long) moving_gauge (&storm, "tier:nvme", "migration_share"));
    while (!s_share_is (&storm, true) && umbp_clock_ms () < end)
        usleep (20000);
    CU_ASSERT (s_share_is (&storm, true));
    moving_stop (&storm);
}

int main (void)
{
    alarm (300);
    CU_initialize_registry ();
    disk_seed = nodes_seed ("storm");
    CU_pSuite suite = CU_add_suite ("storm", NULL, NULL);
    CU_ADD_TEST (suite, test_storm);
    CU_ADD_TEST (suite, test_second_read);
    CU_ADD_TEST (suite, test_second_touch);
    CU_ADD_TEST (suite, test_rest);
    CU_ADD_TEST (suite, test_slows_down);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

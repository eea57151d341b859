//  test/unit/test_moves.c - what moves between memory and disk without anybody reading it: what a client says that it will
//  read, or never again; what would leave next, while nothing else moves. And what is read and evicted in turn does not
//  go to and fro.
#include <pthread.h>

#include "test/unit/moving.h"

#define TURN_MS 5000                    //  Of to and fro
#define WATCH_MS 3000

static size_t s_advise (moving_t *self, const char *name, size_t first, size_t count,
                        umbp_advice_t advice)
{
    batch_t batch = batch_new (name, first, count, 1);
    umbp_key_t *keys = zmalloc (count * sizeof *keys);
    int8_t *statuses = zmalloc (count);
    size_t there = 0;
    for (size_t index = 0; index < count; index++)
        keys[index] = batch.items[index].key;
    int done = umbp_advise (self->pool, keys, count, advice, statuses, DISK_MS);
    for (size_t index = 0; index < count; index++) {
        there += statuses[index] == 0;
        CU_ASSERT (statuses[index] == 0 || statuses[index] == UMBP_ENOENT);
    }
    CU_ASSERT (done == (int) there);
    free (statuses);
    free (keys);
    batch_destroy (&batch);
    return there;
}

//  How many of some blocks there are, without reading them
static size_t s_exist (moving_t *self, const char *name, size_t first, size_t count)
{
    size_t there = 0;
    for (size_t number = first; number < first + count; number++) {
        char key[32];
        snprintf (key, sizeof key, "%s-%zu", name, number);
        there += umbp_exists (self->pool, key) == 1;
    }
    return there;
}

static void s_evict (moving_t *self, size_t blocks)
{
    moving_evictions_t evictions;
    moving_evict (self, &evictions, 1, blocks * BLOCK);
    CU_ASSERT (moving_evicted (&evictions) == blocks);
}

//  --------------------------------------------------------------------------------------------------
//  What a client says

//  What is on disk comes up, though nobody reads it; what is up stays there; what is nowhere is said to be
static void test_need (void)
{
    moving_t moves;
    moving_start (&moves, "all");
    moving_put (&moves, "cold", 90, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    moving_put (&moves, "warm", 20, (umbp_put_options_t) { 0 });
    CU_ASSERT (s_advise (&moves, "cold", 0, 100, UMBP_ADVISE_NEED) == 90);
    CU_ASSERT (s_advise (&moves, "warm", 0, 20, UMBP_ADVISE_NEED) == 20);
    CU_ASSERT (moving_until (&moves, "tier:nvme", "promoted", 90));
    CU_ASSERT (moving_gauge (&moves, "tier:nvme", "advised_needed") == 90);
    CU_ASSERT (moving_gauge (&moves, "tier:dram", "advised_needed") == 20);
    uint64_t fetches = moving_gauge (&moves, "tier:nvme", "disk_fetches");
    CU_ASSERT (moving_get (moves.pool, "cold", 90) == 90);
    CU_ASSERT (moving_gauge (&moves, "tier:nvme", "disk_fetches") == fetches);       //  From memory
    CU_ASSERT (s_advise (&moves, "cold", 0, 90, UMBP_ADVISE_NEED) == 90);            //  It is there
    CU_ASSERT (moving_until (&moves, "tier:dram", "advised_needed", 110));
    CU_ASSERT (moving_gauge (&moves, "tier:nvme", "advised_needed") == 90);
    moving_stop (&moves);
}

//  What one will never read leaves before what is older, but not if somebody reads it all the same
static void test_cold (void)
{
    moving_t moves;
    moving_prepare (&moves, "all");
    moves.disk.nodes.options[0].nvme_dirs[0] = '\0';      //  What leaves is gone
    moving_run (&moves);
    moving_put (&moves, "old", 100, (umbp_put_options_t) { 0 });
    moving_put (&moves, "new", 100, (umbp_put_options_t) { 0 });
    CU_ASSERT (s_advise (&moves, "new", 0, 60, UMBP_ADVISE_COLD) == 60);
    CU_ASSERT (moving_until (&moves, "tier:dram", "advised_cold", 60));
    CU_ASSERT (s_advise (&moves, "new", 40, 10, UMBP_ADVISE_NEED) == 10);            //  After all
    CU_ASSERT (moving_until (&moves, "tier:dram", "advised_needed", 10));
    s_evict (&moves, 10);
    CU_ASSERT (s_exist (&moves, "new", 50, 10) == 0);        //  The tail goes first
    CU_ASSERT (s_exist (&moves, "new", 0, 50) == 50);
    s_evict (&moves, 40);
    CU_ASSERT (s_exist (&moves, "new", 0, 40) == 0);
    CU_ASSERT (s_exist (&moves, "old", 0, 100) == 100);
    s_evict (&moves, 20);               //  Then as ever
    CU_ASSERT (s_exist (&moves, "old", 0, 100) == 80);
    CU_ASSERT (s_exist (&moves, "new", 40, 60) == 50);
    CU_ASSERT (moving_get (moves.pool, "new", 100) == 50);
    moving_stop (&moves);
}

//  With a disk it is there before it has to leave, and then leaves without a wait
static void test_cold_goes_down (void)
{
    moving_t moves;
    moving_start (&moves, "all");
    moving_put (&moves, "old", 50, (umbp_put_options_t) { 0 });
    moving_put (&moves, "new", 50, (umbp_put_options_t) { 0 });
    CU_ASSERT (s_advise (&moves, "new", 0, 50, UMBP_ADVISE_COLD) == 50);
    CU_ASSERT (moving_until (&moves, "tier:dram", "idle_copied", 50));
    CU_ASSERT (moving_gauge (&moves, "tier:nvme", "blocks") == 50);
    CU_ASSERT (moving_gauge (&moves, "tier:dram", "blocks") == 100);
    s_evict (&moves, 50);
    CU_ASSERT (moving_gauge (&moves, "tier:dram", "demoted_known") == 50);
    CU_ASSERT (moving_gauge (&moves, "tier:dram", "demoted") == 50);                 //  Those of before
    CU_ASSERT (moving_get (moves.pool, "new", 50) == 50);
    CU_ASSERT (moving_get (moves.pool, "old", 50) == 50);
    moving_stop (&moves);
}

static void test_wrong_advice (void)
{
    moving_t moves;
    moving_start (&moves, "all");
    umbp_key_t key = { "a", 1 }, none = { "", 0 };
    int8_t status = 0;
    CU_ASSERT (umbp_advise (moves.pool, &key, 1, (umbp_advice_t) 0, &status, DISK_MS)
               == UMBP_EINVAL);
    CU_ASSERT (status == UMBP_EINVAL);
    CU_ASSERT (umbp_advise (moves.pool, &key, 1, (umbp_advice_t) 3, NULL, DISK_MS) == UMBP_EINVAL);
    CU_ASSERT (umbp_advise (moves.pool, &none, 1, UMBP_ADVISE_NEED, &status, DISK_MS) == 0);
    CU_ASSERT (status == UMBP_EINVAL);
    CU_ASSERT (umbp_advise (moves.pool, &key, 1, UMBP_ADVISE_COLD, &status, DISK_MS) == 0);
    CU_ASSERT (status == UMBP_ENOENT);
    moving_stop (&moves);
}

//  --------------------------------------------------------------------------------------------------
//  What would leave next

#define IDLE_BLOCKS 800                 //  Of the 1024 that there is memory for
#define IDLE_SOON 300                   //  About so many leave when it is full to the mark
#define COLD 40                         //  More than that is off by

static void s_start_idle (moving_t *self, unsigned percent)
{
    moving_prepare (self, "all");
    umbp_node_options_t *options = &self->disk.nodes.options[0];
    options->dram_bytes = IDLE_BLOCKS / 50 * MIB;
    options->region_bytes = options->dram_bytes;
    options->evict_low = 60;
    options->migration_idle = percent;
    options->migration_storm = 0;       //  Which would stop it, too
    options->nvme_up_rate = 1;
    moving_run (self);
}

//  The next to leave are on disk by themselves, no others; then eviction has nothing to write
static void test_idle (void)
{
    moving_t moves;
    s_start_idle (&moves, 100);
    moving_put (&moves, "a", 500, (umbp_put_options_t) { 0 });
    uint64_t far = moving_gauge (&moves, "tier:dram", "idle_copied");
    CU_ASSERT (far == 0);               //  Memory is not nearly full
    moving_put (&moves, "b", IDLE_BLOCKS - 500, (umbp_put_options_t) { 0 });
    CU_ASSERT (moving_until (&moves, "tier:dram", "idle_copied", IDLE_SOON));
    uint64_t passes = moving_gauge (&moves, "tier:dram", "idle_passes");
    CU_ASSERT (moving_until (&moves, "tier:dram", "idle_passes", passes + 2));
    uint64_t copied = moving_gauge (&moves, "tier:dram", "idle_copied");
    CU_ASSERT (copied >= IDLE_SOON && copied <= IDLE_SOON + 20);
    CU_ASSERT (moving_gauge (&moves, "tier:nvme", "blocks") == copied);
    CU_ASSERT (moving_gauge (&moves, "tier:dram", "blocks") == IDLE_BLOCKS);
    s_evict (&moves, 200);
    CU_ASSERT (moving_gauge (&moves, "tier:dram", "demoted_known") == 200);
    CU_ASSERT (moving_get (moves.pool, "a", 500) == 500);
    CU_ASSERT (moving_get (moves.pool, "b", IDLE_BLOCKS - 500) == IDLE_BLOCKS - 500);
    moving_stop (&moves);
}

//  No more of them a second than was said
static void test_idle_rate (void)
{
    moving_t moves;
    s_start_idle (&moves, 1);
    int64_t began = umbp_clock_ms ();
    moving_put (&moves, "a", IDLE_BLOCKS, (umbp_put_options_t) { 0 });
    CU_ASSERT (moving_until (&moves, "tier:dram", "idle_copied", 10));
    uint64_t copied = moving_gauge (&moves, "tier:dram", "idle_copied");
    uint64_t ms = (uint64_t) (umbp_clock_ms () - began);
    CU_ASSERT (copied <= IDLE_BLOCKS / 100 * (ms + 1000) / 1000 + 1);
    moving_stop (&moves);
}

//  One who reads from disk, block after block
typedef struct {
    umbp_t *pool;
    bool stop;                          //  Atomically
    size_t reads, failed;               //  reads: atomically
    int64_t longest_ms;                 //  From one to the next
} reader_t;

static void *s_reader (void *arg)
{
    reader_t *self = arg;
    uint8_t *data = zmalloc (BLOCK);
    for (int64_t before = umbp_clock_ms (); !__atomic_load_n (&self->stop, __ATOMIC_ACQUIRE);) {
        char key[32];
        snprintf (key, sizeof key, "cold-%zu", self->reads % 100);
        umbp_item_t item = { .key = { key, strlen (key) }, .data = data, .size = BLOCK };
        umbp_get_batch (self->pool, &item, 1, DISK_MS);
        self->failed += item.status != 0;
        int64_t now = umbp_clock_ms ();
        self->longest_ms = now - before > self->longest_ms ? now - before : self->longest_ms;
        before = now;
        __atomic_fetch_add (&self->reads, 1, __ATOMIC_RELEASE);
    }
    free (data);
    return NULL;
}

//  Nothing idle moves while somebody reads there, not even what is said to be cold; that goes when he is done. Proved only
//  if he never paused for so long that it looks like the end.
static bool s_try_reader (void)
{
    moving_t moves;
    s_start_idle (&moves, 100);
    moving_put (&moves, "cold", 100, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    reader_t reader = { .pool = nodes_connect (&moves.disk.nodes, 0, (umbp_options_t) { 0 }) };
    pthread_t thread;
    CU_ASSERT_FATAL (pthread_create (&thread, NULL, s_reader, &reader) == 0);
    CU_ASSERT (moving_until (&moves, "tier:dram", "reads_lately", 1));       //  It was told
    moving_put (&moves, "a", IDLE_BLOCKS, (umbp_put_options_t) { 0 });
    CU_ASSERT (s_advise (&moves, "a", IDLE_BLOCKS - COLD, COLD, UMBP_ADVISE_COLD) == COLD);
    for (int64_t end = umbp_clock_ms () + WATCH_MS / 2; umbp_clock_ms () < end;)
        usleep (20000);
    uint64_t meanwhile = moving_gauge (&moves, "tier:dram", "idle_copied");
    __atomic_store_n (&reader.stop, true, __ATOMIC_RELEASE);
    pthread_join (thread, NULL);
    umbp_close (&reader.pool);
    bool steady = reader.longest_ms < 500;
    CU_ASSERT (reader.failed == 0);
    if (steady)
        CU_ASSERT (meanwhile == 0);
    CU_ASSERT (moving_until (&moves, "tier:dram", "idle_copied", IDLE_SOON + COLD));
    moving_stop (&moves);
    return steady;
}

static void test_idle_gives_way (void)
{
    bool steady = false;
    for (int turn = 0; turn < 5 && !steady; turn++)
        steady = s_try_reader ();
    if (!steady)
        printf ("\n    too slow here to see who gives way to a reader\n");
}

//  --------------------------------------------------------------------------------------------------
//  What has to leave does not stand behind what waits for a budget, though it was asked for as such before

static void test_pressed_overtakes (void)
{
    moving_t moves;
    moving_prepare (&moves, "all");
    umbp_node_options_t *options = &moves.disk.nodes.options[0];
    snprintf (options->nvme_write, sizeof options->nvme_write, "through");
    options->nvme_down_rate = 1;        //  Nothing goes by itself
    moving_run (&moves);
    moving_put (&moves, "a", 100, (umbp_put_options_t) { 0 });
    CU_ASSERT (moving_until (&moves, "tier:dram", "demotions_open", 100));
    CU_ASSERT (moving_gauge (&moves, "tier:nvme", "blocks") == 0);
    s_evict (&moves, 50);
    CU_ASSERT (moving_gauge (&moves, "tier:dram", "evicted_without_copy") == 0);
    CU_ASSERT (moving_gauge (&moves, "tier:dram", "demoted") > 0);
    CU_ASSERT (moving_get (moves.pool, "a", 100) == 100);
    moving_stop (&moves);
}

//  --------------------------------------------------------------------------------------------------
//  To and fro

//  A block on disk is read, and all of memory evicted but the newest two, again and again. Others can go at each turn,
//  and are not worth a place on disk: whatever moves is that one.
static void test_to_and_fro (void)
{
    moving_t moves;
    moving_start (&moves, "second-touch");
    moving_put (&moves, "x", 1, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    moving_put (&moves, "a", 2, (umbp_put_options_t) { 0 });
    int64_t began = umbp_clock_ms (), now = began;
    size_t turns = 0;
    for (; now - began < TURN_MS; now = umbp_clock_ms (), turns++) {
        char name[16];
        snprintf (name, sizeof name, "f%zu", turns);
        CU_ASSERT (moving_get (moves.pool, "x", 1) == 1);
        moving_put (&moves, name, 3, (umbp_put_options_t) { 0 });
        uint64_t blocks = moving_gauge (&moves, "tier:dram", "blocks");
        moving_evictions_t evictions;
        moving_evict (&moves, &evictions, 1, (blocks - 2) * BLOCK);
        CU_ASSERT (moving_evicted (&evictions) == blocks - 2);
        usleep (20000);
    }
    uint64_t up = moving_gauge (&moves, "tier:nvme", "promoted"),
             down = moving_gauge (&moves, "tier:dram", "demoted")
                    + moving_gauge (&moves, "tier:dram", "demoted_known");
    uint64_t minutes = (uint64_t) (now - began) / 60000 + 1;
    printf ("\n    %zu turns: %llu times up, %llu down\n    ", turns, (unsigned long long) up,
            (unsigned long long) down);
    CU_ASSERT (up >= 1);
    CU_ASSERT (up + down <= 3 * minutes);
    CU_ASSERT (moving_get (moves.pool, "x", 1) == 1);
    moving_stop (&moves);
}

int main (void)
{
    alarm (300);
    CU_initialize_registry ();
    disk_seed = nodes_seed ("moves");
    CU_pSuite suite = CU_add_suite ("moves", NULL, NULL);
    CU_ADD_TEST (suite, test_need);
    CU_ADD_TEST (suite, test_cold);
    CU_ADD_TEST (suite, test_cold_goes_down);
    CU_ADD_TEST (suite, test_wrong_advice);
    CU_ADD_TEST (suite, test_idle);
    CU_ADD_TEST (suite, test_idle_rate);
    CU_ADD_TEST (suite, test_idle_gives_way);
    CU_ADD_TEST (suite, test_pressed_overtakes);
    CU_ADD_TEST (suite, test_to_and_fro);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

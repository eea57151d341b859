//  test/unit/test_slow_below.c - a node whose device memory is full, and its memory too, while its disk is slow: what was put
//  is there, as long as the disk takes some of it. If it takes nothing at all, blocks leave without a copy, and puts go
//  on. A node that ends while its blocks wait blames nobody.
#include <sys/wait.h>

#include "actors/tier/log_io.h"
#include "test/unit/disk.h"

#define BLOCK 98304                     //  More than rides in messages
#define HBM (4 * MIB)
#define DRAM (12 * MIB)
#define SLOW 2000000                    //  Bytes a second: a step of eviction takes longer than its patience
#define PATIENCE_MS 1000
#define BLOCKS 180                      //  6 MiB more than fits into both

typedef enum { FAST, SLOWLY, NEVER } speed_t;

static _Atomic int s_speed;             //  Set by the test, read by the tier's thread
static int64_t s_busy_until_us;         //  The disk's; of the tier's thread alone
static const umbp_put_options_t s_hot = { .tier = UMBP_TIER_HBM };

//  The disk takes one write after the other; or none
int umbp_log_fault (umbp_log_op_t op, int drive, uint64_t offset, size_t length)
{
    (void) drive;
    (void) offset;
    int64_t now = zclock_usecs ();
    if (op != UMBP_LOG_OP_WRITE || s_speed == FAST)
        return 0;
    if (s_speed == NEVER || now < s_busy_until_us)
        return -1;
    s_busy_until_us = now + (int64_t) length * 1000000 / SLOW;
    return 0;
}

static umbp_t *s_start (disk_t *self, unsigned patience_ms)
{
    s_speed = FAST;
    umbp_node_options_t *options = disk_prepare (self, WITH_DOORS, DRAM);
    snprintf (options->hbm_device, sizeof options->hbm_device, "mock:0");
    snprintf (options->policy, sizeof options->policy, "lru");
    options->hbm_bytes = HBM;
    options->hbm_staging_bytes = 2 * MIB;
    options->nvme_staging_bytes = 4 * MIB;           //  No write waits for 5 s
    options->migration_patience_ms = patience_ms;
    options->migration_idle = 0;        //  Nothing is there before it has to be
    disk_run (self);
    umbp_t *pool = nodes_connect (&self->nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    return pool;
}

static void s_put (umbp_t *pool, size_t count)
{
    for (size_t number = 0; number < count; number++)
        disk_put (pool, "k", number, 1, BLOCK, s_hot);
}

static uint64_t s_lost (const disk_t *self)
{
    return disk_gauge (self, "tier:hbm", "evicted_without_copy")
           + disk_gauge (self, "tier:dram", "evicted_without_copy");
}

//  From the device to memory, and from there to a disk that needs longer for it than anybody's patience
static void test_slow (void)
{
    disk_t disk;
    umbp_t *pool = s_start (&disk, PATIENCE_MS);
    s_speed = SLOWLY;
    s_put (pool, BLOCKS);
    uint64_t lost = s_lost (&disk), down = disk_gauge (&disk, "tier:dram", "demoted");
    printf ("(%llu lost, %llu went to disk) ", (unsigned long long) lost,
            (unsigned long long) down);
    CU_ASSERT (lost == 0);
    CU_ASSERT (down > 0 && disk_gauge (&disk, "tier:hbm", "demoted") > 0);
    s_speed = FAST;
    size_t found = 0;
    for (size_t number = 0; number < BLOCKS; number++)
        found += disk_get (pool, "k", number, 1, BLOCK, DISK_MS, NULL);
    CU_ASSERT (found == BLOCKS);
    umbp_close (&pool);
    disk_stop (&disk);
}

//  A disk that takes nothing is not waited for: puts go on, and the device keeps what memory lost
static void test_still (void)
{
    disk_t disk;
    umbp_t *pool = s_start (&disk, 200);
    s_speed = NEVER;
    s_put (pool, BLOCKS);
    CU_ASSERT (disk_gauge (&disk, "tier:dram", "evicted_without_copy") > 0);
    CU_ASSERT (disk_gauge (&disk, "tier:dram", "demoted") == 0);
    CU_ASSERT (disk_get (pool, "k", BLOCKS - 1, 1, BLOCK, DISK_MS, NULL) == 1);
    s_speed = FAST;
    umbp_close (&pool);
    disk_stop (&disk);
}

//  Put into memory, without waiting, until a gauge of it is more than nothing
static void s_fill_until (const disk_t *self, umbp_t *pool, const char *gauge)
{
    static uint8_t bytes[BLOCK];
    int64_t end = umbp_clock_ms () + DISK_MS;
    for (size_t number = 0; disk_gauge (self, "tier:dram", gauge) == 0; number++) {
        char key[32];
        snprintf (key, sizeof key, "d-%zu", number);
        umbp_item_t item = { .key = { key, strlen (key) }, .data = bytes, .size = BLOCK };
        CU_ASSERT_FATAL (umbp_clock_ms () < end);
        umbp_put_batch (pool, &item, 1, &(umbp_put_options_t) { 0 }, 50);
    }
}

//  Whether a line of the log of this file has some words
static bool s_says (FILE *log, const char *words)
{
    char line[1024];
    bool says = false;
    rewind (log);
    while (fgets (line, sizeof line, log))
        says |= strstr (line, words) != NULL;
    return says;
}

//  It is stopped while memory waits for the disk, long before its patience is over. In a process of its own, which keeps what
//  the disk still uses, and ends with it.
static void s_stop_here (void)
{
    disk_t disk;
    FILE *log = tmpfile ();
    CU_ASSERT_PTR_NOT_NULL_FATAL (log);
    umbp_t *pool = s_start (&disk, DISK_MS);
    zsys_set_logstream (log);
    s_speed = NEVER;
    s_put (pool, HBM / BLOCK);
    s_fill_until (&disk, pool, "demotions_pressed");
    umbp_close (&pool);
    nodes_stop (&disk.nodes);
    s_speed = FAST;
    zsys_warning ("the log is this one");
    zsys_set_logstream (stdout);
    fflush (log);
    CU_ASSERT (s_says (log, "the log is this one"));
    CU_ASSERT (!s_says (log, "the tier below took nothing"));
    disk_erase (disk.disk);
    _exit (CU_get_number_of_failures () > 0);
}

static void test_stop (void)
{
    int status = -1;
    pid_t child = fork ();
    if (child == 0) {
        execl ("/proc/self/exe", "test_slow_below", "stop", NULL);
        _exit (127);
    }
    CU_ASSERT (waitpid (child, &status, 0) == child);
    CU_ASSERT (WIFEXITED (status) && WEXITSTATUS (status) == 0);
}

//  ... and if it is over, the log says how long that was
static void test_words (void)
{
    disk_t disk;
    FILE *log = tmpfile ();
    CU_ASSERT_PTR_NOT_NULL_FATAL (log);
    umbp_t *pool = s_start (&disk, 200);
    zsys_set_logstream (log);
    s_speed = NEVER;
    s_fill_until (&disk, pool, "evicted_without_copy");
    zsys_set_logstream (stdout);
    fflush (log);
    CU_ASSERT (s_says (log, "tier:dram: the tier below took nothing in "));
    fclose (log);
    s_speed = FAST;
    umbp_close (&pool);
    disk_stop (&disk);
}

int main (int argc, char **argv)
{
    alarm (300);
    disk_seed = nodes_seed ("slow_below");
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("slow_below", NULL, NULL);
    if (argc == 2 && streq (argv[1], "stop"))
        CU_ADD_TEST (suite, s_stop_here);
    else {
        CU_ADD_TEST (suite, test_slow);
        CU_ADD_TEST (suite, test_still);
        CU_ADD_TEST (suite, test_stop);
        CU_ADD_TEST (suite, test_words);
    }
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

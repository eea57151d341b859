//  test/unit/test_shared.c - nodes and one directory: what one of them wrote is read there when it is dead, by exactly one
//  of the others; what was removed meanwhile stays away; its blocks are its own again when it is back. Seed: argument or
//  clock, printed.
//
//  The failure table of the tier (a row: what holds it)
//
//    crash before and after fdatasync, rename, sync of the folder, event   test_shelf_crash: each point, all modes
//    torn or flipped data                    test_shelf_faults: test_flipped; here: test_rotten
//    two writers of one segment's name       test_shelf_faults: test_rename
//    a reader that does not see a name       test_shelf_faults: test_reads_that_fail; test_shelf: test_two_nodes
//    close to open, a reader opens anew      test_shelf: test_two_nodes
//    ESTALE, EIO                             test_shelf_faults: test_reads_that_fail; test_shared_ill: test_errors
//    ENOSPC, EDQUOT                          test_shelf_faults: test_errors; test_shared_ill: test_errors
//    the mount hangs                         test_shelf_faults: test_hanging; test_shared_ill: test_hang
//    short reads and writes                  test_shelf_faults: test_reads_that_fail
//    the whole file system is lost           here: test_lost
#include "test/unit/shared.h"

//  ------------------------------------------------------------------------------------------------
//  The writer dies

//  What it published is read by whoever is asked, and read by one of the others alone; what is removed stays away when it
//  is back, and the rest is its own again
static void test_killed (void)
{
    shared_t shared;
    size_t others;
    shared_start (&shared, 3);
    shared_spawn (&shared);
    umbp_t *writer = shared_meet (shared.listen, 4);
    umbp_t *reader = shared_meet (umbp_node_endpoint (shared.nodes.nodes[0]), 4);
    CU_ASSERT (shared_put (writer, "kept", 100, UMBP_TIER_SHARED) == 100);
    CU_ASSERT (shared_put (writer, "gone", 40, UMBP_TIER_SHARED) == 40);
    CU_ASSERT (gauge (shared.listen, "tier:shared", "blocks") == 140);
    CU_ASSERT (shared_get (reader, "kept", 100, WAIT_MS, &others) == 100 && others == 0);
    CU_ASSERT (shared_sum (&shared, "adopted_blocks") == 0);
    umbp_close (&writer);
    spawn_kill (&shared.pid);
    CU_ASSERT (shared_until (&shared, "adopted_blocks", 140));
    CU_ASSERT (shared_until (&shared, "adopted_nodes", 1));
    CU_ASSERT (shared_get_all (reader, "kept", 100));
    CU_ASSERT (shared_get_all (reader, "gone", 40));
    CU_ASSERT (shared_sum (&shared, "hits") >= 140);
    CU_ASSERT (shared_sum (&shared, "used_bytes") == 0);  //  They count for nobody's capacity
    umbp_close (&reader);
    reader = shared_meet (umbp_node_endpoint (shared.nodes.nodes[0]),
                          3); //  It is given up: a remove waits for nobody
    CU_ASSERT (shared_remove (reader, "gone", 40) == 40);
    CU_ASSERT (shared_get (reader, "gone", 40, WAIT_MS, &others) == 0);
    CU_ASSERT (shared_until (&shared, "adopted_blocks", 100));
    shared_spawn (&shared);
    writer = shared_meet (shared.listen, 4);
    CU_ASSERT (shared_until (&shared, "adopted_blocks", 0));
    CU_ASSERT (gauge (shared.listen, "tier:shared", "disk_recovered") == 100);
    CU_ASSERT (shared_get_all (writer, "kept", 100));
    CU_ASSERT (shared_get_all (reader, "kept", 100));
    CU_ASSERT (shared_get (writer, "gone", 40, WAIT_MS, &others) == 0);
    CU_ASSERT (shared_remove (writer, "kept", 100) == 100);
    CU_ASSERT (shared_get (reader, "kept", 100, WAIT_MS, &others) == 0);
    umbp_close (&writer);
    umbp_close (&reader);
    shared_stop (&shared);
}

//  ------------------------------------------------------------------------------------------------
//  The directory is not what it was

static int s_flip (const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void) ftw;
    size_t size = strlen (path);
    if (type != FTW_F || size < 4 || strcmp (path + size - 4, ".seg") != 0)
        return 0;
    int file = open (path, O_RDWR);
    char byte = 0;
    off_t at = stat->st_size / 2;
    bool done = pread (file, &byte, 1, at) == 1;
    byte ^= 1;
    done = done && pwrite (file, &byte, 1, at) == 1;
    return close (file) == 0 && done ? 0 : 1;
}

//  Bytes that are other than they were: misses, and never bytes
static void test_rotten (void)
{
    shared_t shared;
    size_t others;
    shared_start (&shared, 1);
    umbp_t *pool = shared_connect (umbp_node_endpoint (shared.nodes.nodes[0]));
    CU_ASSERT (shared_put (pool, "kept", 60, UMBP_TIER_SHARED) == 60);
    umbp_close (&pool);
    shared_restart (&shared, 0);
    CU_ASSERT (nftw (shared.directory, s_flip, 8, FTW_PHYS) == 0);
    pool = shared_connect (umbp_node_endpoint (shared.nodes.nodes[0]));
    size_t found = shared_get (pool, "kept", 60, WAIT_MS, &others);
    CU_ASSERT (found < 60 && found > 30);
    CU_ASSERT (shared_get (pool, "kept", 60, WAIT_MS, &others) == found && others == 0);
    CU_ASSERT (shared_gauge (&shared, 0, "tier:shared", "blocks") == found);
    umbp_close (&pool);
    shared_stop (&shared);
}

static int s_unlink (const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void) stat;
    (void) ftw;
    return type == FTW_F ? remove (path) : 0;
}

//  All files are gone: misses only, and the index forgets
static void test_lost (void)
{
    shared_t shared;
    size_t others;
    shared_start (&shared, 2);
    umbp_t *pool = shared_connect (umbp_node_endpoint (shared.nodes.nodes[0]));
    CU_ASSERT (shared_put (pool, "kept", 60, UMBP_TIER_SHARED) == 60);
    umbp_close (&pool);
    shared_restart (&shared, 0);             //  Not from staging
    CU_ASSERT (nftw (shared.directory, s_unlink, 8, FTW_PHYS) == 0);
    pool = shared_connect (umbp_node_endpoint (shared.nodes.nodes[1]));
    CU_ASSERT (shared_get (pool, "kept", 60, WAIT_MS, &others) == 0 && others == 0);
    CU_ASSERT (shared_until (&shared, "blocks", 0));
    CU_ASSERT (shared_put (pool, "new", 20, UMBP_TIER_SHARED) == 20);
    CU_ASSERT (shared_get_all (pool, "new", 20));
    umbp_close (&pool);
    shared_stop (&shared);
}

//  ------------------------------------------------------------------------------------------------
//  Between tiers

static void s_chain (shared_t *self, const char *admit, char disk[64])
{
    shared_start (self, 1);
    umbp_node_options_t *options = &self->nodes.options[0];
    umbp_node_destroy (&self->nodes.nodes[0]);
    snprintf (disk, 64, "/dev/shm/umbp-disk-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (disk));
    snprintf (options->nvme_dirs, sizeof options->nvme_dirs, "%s", disk);
    snprintf (options->shared_admit, sizeof options->shared_admit, "%s", admit);
    options->nvme_bytes = 16 * MIB;
    options->nvme_segment_bytes = MIB;
    options->nvme_staging_bytes = 8 * MIB;
    self->nodes.nodes[0] = nodes_again (options);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[0]);
    CU_ASSERT_FATAL (nodes_meet (&self->nodes));
}

//  More than fits memory and disk: what leaves the disk is in the shared tier, and nothing is ever missing
static void test_chain (void)
{
    shared_t shared;
    char disk[64];
    size_t others;
    s_chain (&shared, "all", disk);
    umbp_t *pool = shared_connect (umbp_node_endpoint (shared.nodes.nodes[0]));
    int64_t end = umbp_clock_ms () + WAIT_MS;
    size_t put = 0;
    char name[32];
    while (shared_gauge (&shared, 0, "tier:nvme", "demoted") < 100 && umbp_clock_ms () < end
           && put < 20) {
        snprintf (name, sizeof name, "c%zu", put++);
        CU_ASSERT (shared_put (pool, name, 40, 0) == 40);
    }
    CU_ASSERT (shared_gauge (&shared, 0, "tier:nvme", "demoted") >= 100);
    size_t found = 0;
    for (size_t index = 0; index < put; index++) {
        snprintf (name, sizeof name, "c%zu", index);
        found += shared_get (pool, name, 40, WAIT_MS, &others);
        CU_ASSERT (others == 0);
    }
    size_t lost = shared_gauge (&shared, 0, "tier:dram", "evicted_without_copy")
                  + shared_gauge (&shared, 0, "tier:nvme", "evicted_without_copy");
    if (lost > 0)
        printf ("\n    the tiers below were too slow for %zu blocks\n", lost);
    CU_ASSERT (found + lost >= put * 40);
    CU_ASSERT (shared_gauge (&shared, 0, "tier:shared", "promoted")
                   + shared_gauge (&shared, 0, "tier:shared", "hits")
               > 0);
    umbp_close (&pool);
    shared_stop (&shared);
    nftw (disk, shared_erase, 8, FTW_DEPTH | FTW_PHYS);
}

//  For a second, until a block was copied to disk before it had to be: it is moved there once more when it has to leave
static bool s_was_idle (const shared_t *shared)
{
    int64_t end = umbp_clock_ms () + 1000;
    uint64_t copied = 0;
    while ((copied = shared_gauge (shared, 0, "tier:dram", "idle_copied")) == 0
           && umbp_clock_ms () < end)
        usleep (20000);
    return copied > 0;
}

//  What was never asked for again is not worth a place there; that it was moved twice is no asking
static void test_admit (void)
{
    shared_t shared;
    char disk[64];
    s_chain (&shared, "second-touch", disk);
    umbp_t *pool = shared_connect (umbp_node_endpoint (shared.nodes.nodes[0]));
    int64_t end = umbp_clock_ms () + WAIT_MS;
    char name[32];
    bool idle = false;
    for (size_t put = 0; put < 30 && umbp_clock_ms () < end
                         && shared_gauge (&shared, 0, "tier:nvme", "not_admitted") < 20;
         put++) {
        snprintf (name, sizeof name, "c%zu", put);
        CU_ASSERT (shared_put (pool, name, 40, 0) == 40);
        idle = idle || s_was_idle (&shared);
    }
    CU_ASSERT (idle);
    CU_ASSERT (shared_gauge (&shared, 0, "tier:dram", "demoted_known") > 0);
    CU_ASSERT (shared_gauge (&shared, 0, "tier:nvme", "not_admitted") >= 20);
    CU_ASSERT (shared_gauge (&shared, 0, "tier:shared", "blocks") == 0);
    umbp_close (&pool);
    shared_stop (&shared);
    nftw (disk, shared_erase, 8, FTW_DEPTH | FTW_PHYS);
}

int main (int argc, char **argv)
{
    alarm (300);
    CU_initialize_registry ();
    shared_seed = argc > 1 ? strtoull (argv[1], NULL, 0) : nodes_seed ("shared");
    CU_pSuite suite = CU_add_suite ("shared", NULL, NULL);
    CU_ADD_TEST (suite, test_killed);
    CU_ADD_TEST (suite, test_rotten);
    CU_ADD_TEST (suite, test_lost);
    CU_ADD_TEST (suite, test_chain);
    CU_ADD_TEST (suite, test_admit);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_hbm.c - a node with a tier in device memory: blocks go there and come back over shared memory and tcp,
//  go down to memory and disk when there is no room, come up when they are read again, and none is missing meanwhile. A
//  device that fails, forgets or hangs costs its blocks and nothing else.
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "test/unit/disk.h"

#define MIB (1 << 20)
#define BLOCK 98304                     //  More than rides in messages, and two pages of the device
#define THERE 131072
#define WAIT_MS 60000

static uint64_t s_seed;
static char s_script[] = "/tmp/umbp-hbm-XXXXXX";

static void s_say (const char *word)
{
    int file = open (s_script, O_WRONLY | O_TRUNC);
    CU_ASSERT_FATAL (file != -1 && write (file, word, strlen (word)) == (ssize_t) strlen (word));
    close (file);
}

typedef struct {
    uint64_t hbm, staging, dram, disk;  //  Bytes; disk 0: none
} sizes_t;

typedef struct {
    nodes_t nodes;                      //  One
    char disk[64];
} hot_t;

static void s_start (hot_t *self, sizes_t sizes)
{
    memset (self, 0, sizeof *self);
    s_say (".");
    snprintf (self->nodes.run_dir, sizeof self->nodes.run_dir, "/tmp/umbp-hot-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->nodes.run_dir));
    nodes_options (&self->nodes, 0, WITH_DOORS, sizes.dram);
    umbp_node_options_t *options = &self->nodes.options[0];
    snprintf (options->hbm_device, sizeof options->hbm_device, "mock:0");
    options->hbm_bytes = sizes.hbm;
    options->hbm_staging_bytes = sizes.staging;
    if (sizes.disk) {
        bool memory = access ("/dev/shm", W_OK) == 0;        //  A disk that keeps up
        snprintf (self->disk, sizeof self->disk, "%s/umbp-disk-XXXXXX",
                  memory ? "/dev/shm" : "/tmp");
        CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->disk));
        snprintf (options->nvme_dirs, sizeof options->nvme_dirs, "%s", self->disk);
        options->nvme_bytes = sizes.disk;
        options->nvme_segment_bytes = 2 * MIB;
        options->nvme_staging_bytes = 8 * MIB;
    }
    self->nodes.nodes[0] = nodes_new (options);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[0]);
    self->nodes.count = 1;
    CU_ASSERT_FATAL (nodes_meet (&self->nodes));
}

static void s_stop (hot_t *self)
{
    s_say (".");
    nodes_stop (&self->nodes);
    if (*self->disk)
        disk_erase (self->disk);
}

static uint64_t s_gauge (const hot_t *self, const char *tier, const char *name)
{
    return gauge (umbp_node_endpoint (self->nodes.nodes[0]), tier, name);
}

static bool s_until (const hot_t *self, const char *tier, const char *name, uint64_t least)
{
    int64_t end = umbp_clock_ms () + WAIT_MS;
    uint64_t is = s_gauge (self, tier, name);
    for (; is < least && umbp_clock_ms () < end; is = s_gauge (self, tier, name))
        usleep (10000);
    if (is < least)
        printf ("\n    %s: %s is %llu, wanted %llu\n", tier, name, (unsigned long long) is,
                (unsigned long long) least);
    return is >= least;
}

//  The state of the device, as an error
static bool s_becomes (const hot_t *self, int state)
{
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (s_gauge (self, "tier:hbm", "disk_state") != (uint64_t) -state && umbp_clock_ms () < end)
        usleep (10000);
    return s_gauge (self, "tier:hbm", "disk_state") == (uint64_t) -state;
}

//  Returns the status. What finds no room is tried again.
static int s_put_within (umbp_t *pool, unsigned number, umbp_put_options_t how, uint32_t timeout_ms)
{
    char key[32];
    static _Thread_local uint8_t bytes[BLOCK];
    snprintf (key, sizeof key, "block-%u", number);
    nodes_fill (bytes, BLOCK, s_seed + number);
    umbp_item_t item = { .key = { key, strlen (key) }, .data = bytes, .size = BLOCK };
    umbp_put_batch (pool, &item, 1, &how, timeout_ms);
    return item.status;
}

static int s_put (umbp_t *pool, unsigned number, umbp_put_options_t how)
{
    return s_put_within (pool, number, how, WAIT_MS);
}

//  Returns the status; UMBP_EIO also if the bytes are others than were put
static int s_get (umbp_t *pool, unsigned number, uint32_t timeout_ms)
{
    char key[32];
    static _Thread_local uint8_t bytes[BLOCK];
    snprintf (key, sizeof key, "block-%u", number);
    umbp_item_t item = { .key = { key, strlen (key) }, .data = bytes, .size = BLOCK };
    memset (bytes, 0, sizeof bytes);
    umbp_get_batch (pool, &item, 1, timeout_ms);
    if (item.status == 0 && !nodes_is_filled (bytes, BLOCK, s_seed + number))
        CU_FAIL ("other bytes");
    return item.status;
}

static const umbp_put_options_t s_hot = { .tier = 1 };

static void test_there_and_back (void)
{
    hot_t hot;
    umbp_stats_t stats;
    s_start (&hot, (sizes_t) { 16 * MIB, 2 * MIB, 16 * MIB, 0 });
    umbp_t *near = nodes_connect (&hot.nodes, 0, (umbp_options_t) { 0 });
    umbp_t *far = nodes_connect (&hot.nodes, 0, (umbp_options_t) { .no_shm = true });
    for (unsigned number = 0; number < 96; number++)         //  More than staging holds
        CU_ASSERT (s_put (number % 2 ? near : far, number, s_hot) == 0);
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "blocks") == 96);
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "used_bytes") == 96 * THERE);
    CU_ASSERT (s_gauge (&hot, "tier:dram", "blocks") == 0);
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "down_rate")
               == 0); //  That of a disk bounds what goes to the disk
    for (unsigned number = 0; number < 96; number++) {
        CU_ASSERT (s_get (near, number, WAIT_MS) == 0);
        CU_ASSERT (s_get (far, number, WAIT_MS) == 0);
    }
    umbp_stats (near, &stats);
    CU_ASSERT (stats.shm_get_bytes > 0 && stats.shm_put_bytes > 0);
    umbp_stats (far, &stats);
    CU_ASSERT (stats.tcp_get_bytes == 96 * BLOCK && stats.shm_get_bytes == 0);
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "disk_fetches") >= 96);
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "hits") >= 192);
    CU_ASSERT (umbp_remove (near, "block-5") == 0 && s_get (far, 5, WAIT_MS) == UMBP_ENOENT);
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "used_bytes") == 95 * THERE);
    umbp_close (&near);
    umbp_close (&far);
    s_stop (&hot);
}

//  ------------------------------------------------------------------------------------------------
//  Down and up, and a reader beside

typedef struct {
    hot_t *hot;
    atomic_uint put;                    //  Blocks that are there, from 0 on
    atomic_bool ends;
    unsigned reads, missing;
} reader_t;

static void *s_read_on (void *arg)
{
    reader_t *self = arg;
    uint64_t random = s_seed;
    umbp_t *pool = nodes_connect (&self->hot->nodes, 0, (umbp_options_t) { .no_shm = true });
    while (!atomic_load (&self->ends)) {
        unsigned put = atomic_load (&self->put);
        int status = put ? s_get (pool, (unsigned) (umbp_splitmix (&random) % put), WAIT_MS) : 0;
        self->reads += put > 0;
        if (put && status != 0 && self->missing++ < 4)
            printf ("\n    %s\n", umbp_strerror (status));
    }
    umbp_close (&pool);
    return NULL;
}

//  Blocks are put on the device until three times as much as fits was put, and go down; each is there all the time
static void s_overflow (sizes_t sizes, unsigned blocks)
{
    hot_t hot;
    s_start (&hot, sizes);
    reader_t reader = { .hot = &hot };
    pthread_t thread;
    CU_ASSERT_FATAL (pthread_create (&thread, NULL, s_read_on, &reader) == 0);
    umbp_t *pool = nodes_connect (&hot.nodes, 0, (umbp_options_t) { 0 });
    for (unsigned number = 0; number < blocks; number++) {
        CU_ASSERT (s_put (pool, number, s_hot) == 0);
        atomic_store (&reader.put, number + 1);
    }
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "demoted") > 0);
    unsigned gone = 0;
    for (unsigned number = 0; number < blocks; number++)
        gone += s_get (pool, number, WAIT_MS) != 0;
    atomic_store (&reader.ends, true);
    pthread_join (thread, NULL);
    uint64_t lost = s_gauge (&hot, "tier:hbm", "evicted_without_copy");
    if (sizes.disk)                     //  One that is too slow is not waited for, see doc/tiers.md
        lost += s_gauge (&hot, "tier:dram", "evicted_without_copy");
    printf ("(%u reads beside, %u missing, %u went down, %u found no room below) ", reader.reads,
            reader.missing, (unsigned) s_gauge (&hot, "tier:hbm", "demoted"), (unsigned) lost);
    CU_ASSERT (gone <= lost && (sizes.disk || lost == 0));
    CU_ASSERT (reader.reads > 0 && (lost > 0 || reader.missing == 0));
    if (sizes.disk)
        CU_ASSERT (s_gauge (&hot, "tier:nvme", "blocks") > 0);
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "used_bytes") <= sizes.hbm);
    umbp_close (&pool);
    s_stop (&hot);
}

static void test_down_to_memory (void)
{
    s_overflow ((sizes_t) { 8 * MIB, 4 * MIB, 64 * MIB, 0 }, 384);
}

static void test_down_to_disk (void)
{
    s_overflow ((sizes_t) { 6 * MIB, 4 * MIB, 20 * MIB, 192 * MIB }, 384);
}

//  From memory a block comes up the second time it is read, or the first if its writer said that it is read often
static void test_up (void)
{
    hot_t hot;
    s_start (&hot, (sizes_t) { 8 * MIB, 4 * MIB, 32 * MIB, 0 });
    umbp_t *pool = nodes_connect (&hot.nodes, 0, (umbp_options_t) { .no_shm = true });
    for (unsigned number = 0; number < 3; number++)
        CU_ASSERT (s_put (pool, number, (umbp_put_options_t) { 0 }) == 0);
    CU_ASSERT (s_put (pool, 3, (umbp_put_options_t) { .hint = UMBP_HINT_KEEP }) == 0);
    CU_ASSERT (s_get (pool, 0, WAIT_MS) == 0);       //  Once
    CU_ASSERT (s_get (pool, 1, WAIT_MS) == 0 && s_get (pool, 1, WAIT_MS) == 0);
    CU_ASSERT (s_get (pool, 3, WAIT_MS) == 0);
    CU_ASSERT (s_until (&hot, "tier:dram", "promoted", 2));
    CU_ASSERT (s_until (&hot, "tier:hbm", "blocks", 2));
    CU_ASSERT (umbp_flush (pool, WAIT_MS) == 0);
    CU_ASSERT (s_gauge (&hot, "tier:dram", "promotions_open") == 0);
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "blocks") == 2);
    CU_ASSERT (s_gauge (&hot, "tier:dram", "blocks") == 4);  //  They are in memory as well
    umbp_key_t keys[] = { { "block-0", 7 }, { "block-1", 7 }, { "block-2", 7 }, { "block-3", 7 } };
    umbp_t *near = nodes_connect (&hot.nodes, 0, (umbp_options_t) { 0 });
    int rc = 1;
    umbp_device_view_t *view = umbp_device_view_get (near, keys, 4, WAIT_MS, &rc);
    CU_ASSERT_FATAL (view != NULL);
    for (size_t index = 0; index < 4; index++)
        CU_ASSERT (umbp_device_view_info (view)->blocks[index].status
                   == (index % 2 ? 0 : UMBP_ENOENT));
    CU_ASSERT (umbp_device_view_release (&view) == 0);
    CU_ASSERT (umbp_remove (pool, "block-1") == 0);  //  From both
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "blocks") == 1);
    umbp_close (&near);
    umbp_close (&pool);
    s_stop (&hot);
}

//  ------------------------------------------------------------------------------------------------
//  Devices that fail

//  Blocks on the device, of which staging has the last ten, and one in memory
static void s_fill_device (hot_t *hot, umbp_t *pool)
{
    for (unsigned number = 0; number < 64; number++)
        CU_ASSERT (s_put (pool, number, s_hot) == 0);
    CU_ASSERT (s_put (pool, 100, (umbp_put_options_t) { 0 }) == 0);
    CU_ASSERT (s_gauge (hot, "tier:hbm", "blocks") == 64);
}

static const sizes_t s_small = { 16 * MIB, MIB, 16 * MIB, 0 };

static void test_fails (void)
{
    hot_t hot;
    s_start (&hot, s_small);
    umbp_t *pool = nodes_connect (&hot.nodes, 0, (umbp_options_t) { 0 });
    s_fill_device (&hot, pool);
    s_say ("fail");
    CU_ASSERT (s_get (pool, 0, WAIT_MS) == UMBP_ENOENT);     //  A miss, and no error
    CU_ASSERT (s_becomes (&hot, UMBP_EIO));
    CU_ASSERT (s_put (pool, 200, s_hot) == UMBP_EIO);
    CU_ASSERT (s_get (pool, 100, WAIT_MS) == 0);             //  The node goes on
    CU_ASSERT (s_put (pool, 101, (umbp_put_options_t) { 0 }) == 0);
    s_say (".");
    CU_ASSERT (s_get (pool, 1, WAIT_MS) == 0);
    CU_ASSERT (s_becomes (&hot, 0));
    CU_ASSERT (s_put (pool, 200, s_hot) == 0);
    s_say ("rot");
    CU_ASSERT (s_get (pool, 2, WAIT_MS) == UMBP_ENOENT);     //  Never other bytes
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "disk_rotten") == 1);
    s_say (".");
    CU_ASSERT (s_get (pool, 3, WAIT_MS) == 0);
    umbp_close (&pool);
    s_stop (&hot);
}

static void test_hangs (void)
{
    hot_t hot;
    s_start (&hot, s_small);
    umbp_t *pool = nodes_connect (&hot.nodes, 0, (umbp_options_t) { 0 });
    s_fill_device (&hot, pool);
    s_say ("hang");
    CU_ASSERT (s_get (pool, 0, WAIT_MS) == UMBP_ENOENT);     //  Once it is known to hang
    CU_ASSERT (s_becomes (&hot, UMBP_ETIMEDOUT));
    CU_ASSERT (s_get (pool, 1, WAIT_MS) == UMBP_ENOENT);     //  ... others at once
    CU_ASSERT (s_put (pool, 200, s_hot) == UMBP_EIO);
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "disk_stuck") == 1);
    CU_ASSERT (s_get (pool, 100, WAIT_MS) == 0);
    CU_ASSERT (s_put (pool, 101, (umbp_put_options_t) { 0 }) == 0);
    s_say (".");
    CU_ASSERT (s_becomes (&hot, 0));
    CU_ASSERT (s_gauge (&hot, "tier:hbm", "disk_stuck") == 0);
    CU_ASSERT (s_get (pool, 2, WAIT_MS) == 0);               //  What nobody asked for is there
    CU_ASSERT (s_put (pool, 200, s_hot) == 0);
    umbp_close (&pool);
    s_stop (&hot);
}

//  What the device has not taken is not there: who puts it again does not hear that the pool has it
static void test_hangs_while_it_is_put (void)
{
    hot_t hot;
    s_start (&hot, s_small);
    umbp_t *pool = nodes_connect (&hot.nodes, 0, (umbp_options_t) { 0 }),
           *other = nodes_connect (&hot.nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT (s_put (pool, 0, s_hot) == 0);
    s_say ("hang");
    for (int turn = 0; turn < 3; turn++) {
        int status = s_put_within (turn % 2 ? other : pool, 300, s_hot, 1500);
        CU_ASSERT (status < 0 && status != UMBP_EEXIST);
        CU_ASSERT (umbp_exists (other, "block-300") == 0);
    }
    s_say (".");
    CU_ASSERT (s_becomes (&hot, 0));
    int status = s_put (pool, 300, s_hot);
    CU_ASSERT (status == 0 || status == UMBP_EEXIST);
    CU_ASSERT (s_get (other, 300, WAIT_MS) == 0);
    umbp_close (&other);
    umbp_close (&pool);
    s_stop (&hot);
}

//  Of a process of its own, which keeps what the driver still uses, and ends with it
static void s_end_while_it_hangs (void)
{
    hot_t hot;
    s_start (&hot, s_small);
    umbp_t *pool = nodes_connect (&hot.nodes, 0, (umbp_options_t) { 0 });
    s_fill_device (&hot, pool);
    s_say ("hang");
    CU_ASSERT (s_get (pool, 0, 100) < 0);
    umbp_close (&pool);
    nodes_stop (&hot.nodes);
    unlink (s_script);
    _exit (CU_get_number_of_failures () > 0);
}

//  A node whose device hangs ends all the same
static void test_ends_while_it_hangs (void)
{
    int status = -1;
    pid_t child = fork ();
    if (child == 0) {
        execl ("/proc/self/exe", "test_hbm", "hang", NULL);
        _exit (127);
    }
    CU_ASSERT (waitpid (child, &status, 0) == child);
    CU_ASSERT (WIFEXITED (status) && WEXITSTATUS (status) == 0);
}

static void test_no_device (void)
{
    umbp_node_options_t options;
    int rc = 1;
    umbp_node_options_init (&options);
    snprintf (options.hbm_device, sizeof options.hbm_device, "gpu:0");
    options.log_level = 0;
    CU_ASSERT_PTR_NULL (umbp_node_new (&options, &rc));
    CU_ASSERT (rc == UMBP_EINVAL);
}

int main (int argc, char **argv)
{
    alarm (400);
    s_seed = nodes_seed ("hbm");
    int file = mkstemp (s_script);
    setenv ("UMBP_MOCK_HBM_SCRIPT", s_script, 1);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("hbm", NULL, NULL);
    if (argc == 2 && strcmp (argv[1], "hang") == 0) {
        CU_ADD_TEST (suite, s_end_while_it_hangs);
        CU_basic_run_tests ();
        return 1;                       //  It did not come to its end
    }
    CU_ADD_TEST (suite, test_there_and_back);
    CU_ADD_TEST (suite, test_down_to_memory);
    CU_ADD_TEST (suite, test_down_to_disk);
    CU_ADD_TEST (suite, test_up);
    CU_ADD_TEST (suite, test_fails);
    CU_ADD_TEST (suite, test_hangs);
    CU_ADD_TEST (suite, test_hangs_while_it_is_put);
    CU_ADD_TEST (suite, test_ends_while_it_hangs);
    CU_ADD_TEST (suite, test_no_device);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    close (file);
    unlink (s_script);
    return CU_get_number_of_failures () > 0;
}

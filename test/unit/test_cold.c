//  test/unit/test_cold.c - a node with a tier on disk: what does not fit memory is found there, comes up again when it is
//  read, outlives a restart of the node or its kill -9, and is gone for good once it was removed or let go.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test/unit/disk.h"

#define BLOCK 65536
#define BLOCKS 500                      //  31 MiB
#define MEMORY (8 * MIB)
#define BATCH 50

//  A node with little memory and a disk of so many bytes
static void s_start_with (disk_t *self, const char *write, doors_t doors, uint64_t bytes)
{
    umbp_node_options_t *options = disk_prepare (self, doors, MEMORY);
    snprintf (options->nvme_write, sizeof options->nvme_write, "%s", write);
    options->nvme_bytes = bytes;
    options->nvme_segment_bytes = bytes / 32 < 2 * MIB ? 2 * MIB : bytes / 32;
    disk_run (self);
}

static void s_start (disk_t *self, const char *write, doors_t doors)
{
    s_start_with (self, write, doors, 128 * MIB);
}

static char s_state (pid_t pid)
{
    char path[32], text[256];
    snprintf (path, sizeof path, "/proc/%d/stat", pid);
    int file = open (path, O_RDONLY);
    ssize_t size = read (file, text, sizeof text - 1);
    close (file);
    text[size > 0 ? size : 0] = '\0';
    const char *end = strrchr (text, ')');
    return end && end[1] ? end[2] : '?';
}

static bool s_copy (const char *from, const char *to)
{
    int source = open (from, O_RDONLY), target = open (to, O_WRONLY | O_CREAT, 0600);
    struct stat stat = { 0 };
    off_t left = source >= 0 && target >= 0 && fstat (source, &stat) == 0 ? stat.st_size : -1;
    while (left > 0) {
        ssize_t some = copy_file_range (source, NULL, target, NULL, (size_t) left, 0);
        left = some > 0 ? left - some : -1;
    }
    return left == 0 && close (source) == 0 && close (target) == 0;
}

//  Returns 0 if that was done while the process stood still
static int s_copy_stopped (pid_t pid, const char *from, const char *to)
{
    int64_t end = umbp_clock_ms () + DISK_MS;
    kill (pid, SIGSTOP);
    while (s_state (pid) != 'T' && umbp_clock_ms () < end)
        sched_yield ();
    bool done = s_state (pid) == 'T' && s_copy (from, to);
    kill (pid, SIGCONT);
    return done ? 0 : 1;
}

//  What a kill -9 at this moment would leave on the disk, in a folder of its own, which it is started with
static void s_crash (disk_t *self)
{
    char from[128], folder[64], to[128];
    disk_folder (folder, sizeof folder);
    snprintf (from, sizeof from, "%s/umbp.log", self->disk);
    snprintf (to, sizeof to, "%s/umbp.log", folder);
    pid_t pid = fork ();                //  Somebody else holds the node's threads, and copies meanwhile
    if (pid == 0)
        _exit (s_copy_stopped (getppid (), from, to));
    int status = -1;
    CU_ASSERT_FATAL (waitpid (pid, &status, 0) == pid && status == 0);
    umbp_node_destroy (&self->nodes.nodes[0]);
    disk_erase (self->disk);
    snprintf (self->disk, sizeof self->disk, "%s", folder);
    snprintf (self->nodes.options[0].nvme_dirs, sizeof self->nodes.options[0].nvme_dirs, "%s",
              folder);
    disk_again (self);
}

//  Put so many, some at a time
static void s_put (umbp_t *pool, const char *name, size_t count, umbp_put_options_t how)
{
    for (size_t first = 0; first < count; first += BATCH)
        disk_put (pool, name, first, count - first < BATCH ? count - first : BATCH, BLOCK, how);
}

//  Returns how many are there
static size_t s_get (umbp_t *pool, const char *name, size_t count)
{
    size_t found = 0;
    for (size_t first = 0; first < count; first += BATCH)
        found += disk_get (pool, name, first, count - first < BATCH ? count - first : BATCH, BLOCK,
                           DISK_MS, NULL);
    return found;
}

//  Four times what fits memory: all of it is found again, wherever it is
static void test_overflow (doors_t doors)
{
    disk_t cold;
    s_start (&cold, "back", doors);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    s_put (pool, "a", BLOCKS, (umbp_put_options_t) { 0 });
    CU_ASSERT (disk_gauge (&cold, "tier:dram", "demoted") >= BLOCKS - MEMORY / BLOCK);
    CU_ASSERT (s_get (pool, "a", BLOCKS) == BLOCKS);
    CU_ASSERT (disk_gauge (&cold, "tier:nvme", "disk_fetches") > 0);
    int64_t end = umbp_clock_ms () + DISK_MS;        //  What just went down rests there for 2 s
    while (disk_gauge (&cold, "tier:nvme", "promoted") < 10 && umbp_clock_ms () < end)
        CU_ASSERT (s_get (pool, "a", BLOCKS) == BLOCKS);
    CU_ASSERT (disk_gauge (&cold, "tier:nvme", "promoted") >= 10);
    CU_ASSERT (s_get (pool, "a", BLOCKS) == BLOCKS);
    CU_ASSERT (disk_gauge (&cold, "tier:dram", "evicted_without_copy") == 0);
    CU_ASSERT (disk_gauge (&cold, "tier:nvme", "evicted") == 0);
    CU_ASSERT (disk_gauge (&cold, "tier:nvme", "disk_failures") == 0);
    CU_ASSERT (disk_gauge (&cold, "tier:nvme", "disk_rotten") == 0);
    umbp_close (&pool);
    disk_stop (&cold);
}

static void test_overflow_doors (void)
{
    test_overflow (WITH_DOORS);
}

static void test_overflow_tcp (void)
{
    test_overflow (WITHOUT_DOORS);
}

//  What was written through, and what was put there at once, is there after a restart; what was removed is not
static void test_restart (void)
{
    disk_t cold;
    s_start (&cold, "through", WITH_DOORS);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    s_put (pool, "kept", 60, (umbp_put_options_t) { 0 });
    s_put (pool, "gone", 40, (umbp_put_options_t) { 0 });
    s_put (pool, "there", 30, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    CU_ASSERT (disk_until (&cold, "tier:nvme", "blocks", 130));
    CU_ASSERT (umbp_flush (pool, DISK_MS) == 0);
    for (size_t index = 0; index < 40; index++) {
        char key[32];
        snprintf (key, sizeof key, "gone-%zu", index);
        CU_ASSERT (umbp_remove (pool, key) == 0);
    }
    CU_ASSERT (s_get (pool, "gone", 40) == 0);
    umbp_close (&pool);
    for (int turn = 0; turn < 2; turn++) {
        disk_again (&cold);
        CU_ASSERT (disk_gauge (&cold, "tier:nvme", "disk_recovered") == 90);
        pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
        CU_ASSERT (s_get (pool, "kept", 60) == 60);
        CU_ASSERT (s_get (pool, "there", 30) == 30);
        CU_ASSERT (s_get (pool, "gone", 40) == 0);
        umbp_close (&pool);
    }
    disk_stop (&cold);
}

//  Removed, one by one and all at once; and then put with other bytes. Returns how many were removed.
static size_t s_remove (umbp_t *pool, const char *name, size_t count, bool batch)
{
    umbp_key_t keys[BATCH];
    char names[BATCH][32];
    size_t removed = 0;
    for (size_t index = 0; index < count; index++) {
        snprintf (names[index], sizeof names[index], "%s-%zu", name, index);
        keys[index] = (umbp_key_t) { names[index], strlen (names[index]) };
        removed += !batch && umbp_remove (pool, names[index]) == 0;
    }
    if (batch)
        removed = (size_t) umbp_remove_batch (pool, keys, count, NULL, DISK_MS);
    return removed;
}

//  Whose remove was answered is gone after a kill -9 in that very moment, and what was put there since is there
static void test_crash (const char *durability)
{
    disk_t cold;
    s_start_with (&cold, "through", WITH_DOORS, 16 * MIB);
    snprintf (cold.nodes.options[0].nvme_durability, sizeof cold.nodes.options[0].nvme_durability,
              "%s", durability);
    disk_again (&cold);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    s_put (pool, "kept", 20, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    uint64_t seed = disk_seed;
    for (int turn = 0; turn < 6; turn++) {
        disk_seed = seed + 1000 * (uint64_t) turn;
        s_put (pool, "x", 20, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
        if (turn % 3 < 2) {
            CU_ASSERT (s_remove (pool, "x", 20, turn % 3 == 0) == 20);
        } else
            CU_ASSERT (umbp_clear (pool, false, DISK_MS) >= 20);
        disk_seed += turn % 2 ? 500 : 0;
        if (turn % 2)                   //  Other bytes under the same keys
            s_put (pool, "x", 20, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
        umbp_close (&pool);
        s_crash (&cold);
        pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
        CU_ASSERT (s_get (pool, "x", 20) == (turn % 2 ? 20 : 0));
        disk_seed = seed;
        CU_ASSERT (s_get (pool, "kept", 20) == (turn < 2 ? 20 : 0));
        CU_ASSERT (s_remove (pool, "x", 20, true) == (turn % 2 ? 20 : 0));
    }
    umbp_close (&pool);
    disk_stop (&cold);
}

static void test_crash_relaxed (void)
{
    test_crash ("relaxed");
}

static void test_crash_strict (void)
{
    test_crash ("strict");
}

//  What is flushed was written: it is there after a kill -9
static void test_flush (void)
{
    disk_t cold;
    s_start_with (&cold, "back", WITH_DOORS, 16 * MIB);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    for (int turn = 0; turn < 4; turn++) {
        char name[8];
        snprintf (name, sizeof name, "f%d", turn);
        s_put (pool, name, 25, (umbp_put_options_t) { .tier = UMBP_TIER_NVME, .nowait = true });
        CU_ASSERT (umbp_flush (pool, DISK_MS) == 0);
        umbp_close (&pool);
        s_crash (&cold);
        pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
        CU_ASSERT (s_get (pool, name, 25) == 25);
    }
    umbp_close (&pool);
    disk_stop (&cold);
}

//  Ask the tier to let go of blocks of the default tenant
static void s_evict_own (const disk_t *self, uint64_t bytes)
{
    uint8_t wire[256];
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 1);
    msg.evict.tier = UMBP_TIER_NVME;
    msg.evict.bytes = bytes;
    msg.evict.own = true;
    int size = umbp_msg_encode (&msg, wire, sizeof wire);
    zsock_t *sock = zsock_new_dealer (umbp_node_endpoint (self->nodes.nodes[0]));
    zsock_set_linger (sock, 0);
    zsock_set_rcvtimeo (sock, GAUGE_MS);
    zmq_send (zsock_resolve (sock), "tier:nvme", 9, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (sock), "", 0, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (sock), wire, (size_t) size, 0);
    zmsg_t *answer = zmsg_recv (sock);
    CU_ASSERT_PTR_NOT_NULL (answer);
    zmsg_destroy (&answer);
    zsock_destroy (&sock);
}

//  What leaves the tier, for whatever reason, leaves the disk: it takes no room there, and does not come back
static void test_evicted_own (void)
{
    disk_t cold;
    s_start (&cold, "back", WITH_DOORS);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    s_put (pool, "old", 60, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    s_evict_own (&cold, 60 * (BLOCK + 4096));
    CU_ASSERT (disk_gauge (&cold, "tier:nvme", "blocks") == 0);
    CU_ASSERT (disk_gauge (&cold, "tier:nvme", "disk_live_bytes") == 0);
    uint64_t seed = disk_seed;
    disk_seed += 1000;
    s_put (pool, "old", 60, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    CU_ASSERT (s_remove (pool, "old", 50, true) == 50);
    umbp_close (&pool);
    disk_again (&cold);
    CU_ASSERT (disk_gauge (&cold, "tier:nvme", "disk_recovered") == 10);
    disk_seed = seed;
    disk_stop (&cold);
}

//  More than fits the disk: the oldest leave, all others are right, and it goes on
static void test_full_disk (void)
{
    disk_t cold;
    s_start (&cold, "back", WITH_DOORS);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    int64_t end = umbp_clock_ms () + DISK_MS;
    size_t count = 2000;                //  156 MiB, or more: a disk takes a while to be full
    do {
        count += 500;
        s_put (pool, "x", count, (umbp_put_options_t) { 0 });
    } while (umbp_clock_ms () < end && disk_gauge (&cold, "tier:nvme", "evicted") == 0);
    uint64_t used = disk_gauge (&cold, "tier:nvme", "used_bytes");
    uint64_t total = disk_gauge (&cold, "tier:nvme", "total_bytes");
    CU_ASSERT (used <= total);
    printf ("\n    used %llu of %llu ", (unsigned long long) used, (unsigned long long) total);
    size_t found = s_get (pool, "x", count), gone = disk_gauge (&cold, "tier:nvme", "evicted");
    CU_ASSERT (gone > 0);
    CU_ASSERT (disk_gauge (&cold, "tier:dram", "evicted_without_copy") == 0);
    CU_ASSERT (found > used / BLOCK / 2);            //  Reading brings blocks up, but loses none
    CU_ASSERT (found + gone >= count);
    CU_ASSERT (disk_gauge (&cold, "tier:nvme", "disk_rotten") == 0);
    umbp_close (&pool);
    disk_stop (&cold);
}

int main (void)
{
    CU_initialize_registry ();
    disk_seed = nodes_seed ("cold");
    CU_pSuite suite = CU_add_suite ("cold", NULL, NULL);
    CU_ADD_TEST (suite, test_overflow_doors);
    CU_ADD_TEST (suite, test_overflow_tcp);
    CU_ADD_TEST (suite, test_restart);
    CU_ADD_TEST (suite, test_crash_relaxed);
    CU_ADD_TEST (suite, test_crash_strict);
    CU_ADD_TEST (suite, test_flush);
    CU_ADD_TEST (suite, test_evicted_own);
    CU_ADD_TEST (suite, test_full_disk);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

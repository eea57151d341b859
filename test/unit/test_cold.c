//  test/unit/test_cold.c - a node with a tier on disk: what does not fit memory is found there, comes up again when it is
//  read, outlives a restart of the node or its kill -9, and is gone for good once it was removed or let go.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test/unit/disk.h"

#define MIB (1 << 20)
#define BLOCK 65536
#define BLOCKS 500                      //  31 MiB
#define BATCH 50
#define WAIT_MS 60000

static uint64_t s_seed;

typedef struct {
    nodes_t nodes;                      //  One
    char disk[64];
} cold_t;

//  A node with little memory and a disk of so many bytes
static void s_start_with (cold_t *self, const char *write, doors_t doors, uint64_t bytes)
{
    memset (self, 0, sizeof *self);
    snprintf (self->nodes.run_dir, sizeof self->nodes.run_dir, "/tmp/umbp-cold-XXXXXX");
    snprintf (self->disk, sizeof self->disk, "/tmp/umbp-disk-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->nodes.run_dir));
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->disk));
    nodes_options (&self->nodes, 0, doors, 8 * MIB);
    umbp_node_options_t *options = &self->nodes.options[0];
    snprintf (options->nvme_dirs, sizeof options->nvme_dirs, "%s", self->disk);
    snprintf (options->nvme_write, sizeof options->nvme_write, "%s", write);
    options->nvme_bytes = bytes;
    options->nvme_segment_bytes = bytes / 32 < 2 * MIB ? 2 * MIB : bytes / 32;
    options->nvme_staging_bytes = 8 * MIB;
    self->nodes.nodes[0] = nodes_new (options);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[0]);
    self->nodes.count = 1;
    CU_ASSERT_FATAL (nodes_meet (&self->nodes));
}

static void s_start (cold_t *self, const char *write, doors_t doors)
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
    int64_t end = umbp_clock_ms () + WAIT_MS;
    kill (pid, SIGSTOP);
    while (s_state (pid) != 'T' && umbp_clock_ms () < end)
        sched_yield ();
    bool done = s_state (pid) == 'T' && s_copy (from, to);
    kill (pid, SIGCONT);
    return done ? 0 : 1;
}

//  What a kill -9 at this moment would leave on the disk, in a folder of its own, which it is started with
static void s_crash (cold_t *self)
{
    char from[128], folder[64] = "/tmp/umbp-disk-XXXXXX", to[128];
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (folder));
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
    self->nodes.nodes[0] = nodes_again (&self->nodes.options[0]);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[0]);
    CU_ASSERT_FATAL (nodes_meet (&self->nodes));
}

static void s_restart (cold_t *self)
{
    umbp_node_destroy (&self->nodes.nodes[0]);
    self->nodes.nodes[0] = nodes_again (&self->nodes.options[0]);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[0]);
    CU_ASSERT_FATAL (nodes_meet (&self->nodes));
}

static void s_stop (cold_t *self)
{
    nodes_stop (&self->nodes);
    disk_erase (self->disk);
}

static uint64_t s_gauge (const cold_t *self, const char *tier, const char *name)
{
    return gauge (umbp_node_endpoint (self->nodes.nodes[0]), tier, name);
}

typedef struct {
    char keys[BATCH][32];
    umbp_item_t items[BATCH];
    uint8_t *bytes;
} batch_t;

static size_t s_batch (batch_t *batch, const char *name, size_t first, size_t end)
{
    size_t count = end - first < BATCH ? end - first : BATCH;
    for (size_t index = 0; index < count; index++) {
        snprintf (batch->keys[index], sizeof batch->keys[index], "%s-%zu", name, first + index);
        batch->items[index] =
            (umbp_item_t){ .key = { batch->keys[index], strlen (batch->keys[index]) },
                                             .data = batch->bytes + index * BLOCK, .size = BLOCK };
    }
    return count;
}

//  Put all; who finds no room tries again
static void s_put (umbp_t *pool, const char *name, size_t count, umbp_put_options_t how)
{
    batch_t batch = { .bytes = malloc ((size_t) BATCH * BLOCK) };
    int64_t end = umbp_clock_ms () + WAIT_MS;
    for (size_t first = 0; first < count; first += BATCH) {
        size_t some = s_batch (&batch, name, first, count);
        for (size_t index = 0; index < some; index++)
            nodes_fill (batch.items[index].data, BLOCK, s_seed + first + index);
        int done = 0;
        while (done < (int) some && umbp_clock_ms () < end)
            done = umbp_put_batch (pool, batch.items, some, &how, WAIT_MS);
        CU_ASSERT (done == (int) some);
    }
    free (batch.bytes);
}

//  Returns how many are there. Those that are have the right bytes.
static size_t s_get (umbp_t *pool, const char *name, size_t count)
{
    batch_t batch = { .bytes = malloc ((size_t) BATCH * BLOCK) };
    size_t found = 0, wrong = 0, failed = 0;
    for (size_t first = 0; first < count; first += BATCH) {
        size_t some = s_batch (&batch, name, first, count);
        memset (batch.bytes, 0, (size_t) BATCH * BLOCK);
        umbp_get_batch (pool, batch.items, some, WAIT_MS);
        for (size_t index = 0; index < some; index++) {
            int status = batch.items[index].status;
            found += status == 0;
            failed += status != 0 && status != UMBP_ENOENT;
            if (status != 0 && status != UMBP_ENOENT)
                printf ("\n    %s: %s\n", batch.keys[index], umbp_strerror (status));
            wrong += status == 0
                     && !nodes_is_filled (batch.items[index].data, BLOCK, s_seed + first + index);
        }
    }
    CU_ASSERT (wrong == 0);
    CU_ASSERT (failed == 0);
    free (batch.bytes);
    return found;
}

static bool s_until (const cold_t *self, const char *tier, const char *name, uint64_t value)
{
    int64_t end = umbp_clock_ms () + WAIT_MS;
    uint64_t is = s_gauge (self, tier, name);
    for (; is < value && umbp_clock_ms () < end; is = s_gauge (self, tier, name))
        usleep (20000);
    if (is < value)
        printf ("\n    %s: %s is %llu of %llu\n", tier, name, (unsigned long long) is,
                (unsigned long long) value);
    return is >= value;
}

//  All are there, but those that left memory since the disk was too slow for them
static void s_check_all (const cold_t *cold, umbp_t *pool)
{
    size_t found = s_get (pool, "a", BLOCKS);
    size_t lost = s_gauge (cold, "tier:dram", "evicted_without_copy");
    if (lost > 0)
        printf ("\n    the disk was too slow for %zu blocks\n", lost);
    CU_ASSERT (found + lost >= BLOCKS);
}

//  Four times what fits memory
static void test_overflow (doors_t doors)
{
    cold_t cold;
    s_start (&cold, "back", doors);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    int64_t end = umbp_clock_ms () + WAIT_MS;
    do                                  //  What a slow disk did not take is put again
        s_put (pool, "a", BLOCKS, (umbp_put_options_t) { 0 });
    while (s_gauge (&cold, "tier:dram", "demoted") <= BLOCKS / 2 && umbp_clock_ms () < end);
    CU_ASSERT (s_gauge (&cold, "tier:dram", "demoted") > BLOCKS / 2);
    s_check_all (&cold, pool);
    CU_ASSERT (s_gauge (&cold, "tier:nvme", "disk_fetches") > 0);
    end = umbp_clock_ms () + WAIT_MS;               //  What just went down rests there for 2 s
    while (s_gauge (&cold, "tier:nvme", "promoted") < 10 && umbp_clock_ms () < end)
        s_check_all (&cold, pool);
    CU_ASSERT (s_gauge (&cold, "tier:nvme", "promoted") >= 10);
    s_check_all (&cold, pool);
    CU_ASSERT (s_gauge (&cold, "tier:nvme", "disk_failures") == 0);
    CU_ASSERT (s_gauge (&cold, "tier:nvme", "disk_rotten") == 0);
    umbp_close (&pool);
    s_stop (&cold);
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
    cold_t cold;
    s_start (&cold, "through", WITH_DOORS);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    s_put (pool, "kept", 60, (umbp_put_options_t) { 0 });
    s_put (pool, "gone", 40, (umbp_put_options_t) { 0 });
    s_put (pool, "there", 30, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    CU_ASSERT (s_until (&cold, "tier:nvme", "blocks", 130));
    CU_ASSERT (umbp_flush (pool, WAIT_MS) == 0);
    for (size_t index = 0; index < 40; index++) {
        char key[32];
        snprintf (key, sizeof key, "gone-%zu", index);
        CU_ASSERT (umbp_remove (pool, key) == 0);
    }
    CU_ASSERT (s_get (pool, "gone", 40) == 0);
    umbp_close (&pool);
    for (int turn = 0; turn < 2; turn++) {
        s_restart (&cold);
        CU_ASSERT (s_gauge (&cold, "tier:nvme", "disk_recovered") == 90);
        pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
        CU_ASSERT (s_get (pool, "kept", 60) == 60);
        CU_ASSERT (s_get (pool, "there", 30) == 30);
        CU_ASSERT (s_get (pool, "gone", 40) == 0);
        umbp_close (&pool);
    }
    s_stop (&cold);
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
        removed = (size_t) umbp_remove_batch (pool, keys, count, NULL, WAIT_MS);
    return removed;
}

//  Whose remove was answered is gone after a kill -9 in that very moment, and what was put there since is there
static void test_crash (const char *durability)
{
    cold_t cold;
    s_start_with (&cold, "through", WITH_DOORS, 16 * MIB);
    snprintf (cold.nodes.options[0].nvme_durability, sizeof cold.nodes.options[0].nvme_durability,
              "%s", durability);
    s_restart (&cold);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    s_put (pool, "kept", 20, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    uint64_t seed = s_seed;
    for (int turn = 0; turn < 6; turn++) {
        s_seed = seed + 1000 * (uint64_t) turn;
        s_put (pool, "x", 20, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
        if (turn % 3 < 2) {
            CU_ASSERT (s_remove (pool, "x", 20, turn % 3 == 0) == 20);
        } else
            CU_ASSERT (umbp_clear (pool, false, WAIT_MS) >= 20);
        s_seed += turn % 2 ? 500 : 0;
        if (turn % 2)                   //  Other bytes under the same keys
            s_put (pool, "x", 20, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
        umbp_close (&pool);
        s_crash (&cold);
        pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
        CU_ASSERT (s_get (pool, "x", 20) == (turn % 2 ? 20 : 0));
        s_seed = seed;
        CU_ASSERT (s_get (pool, "kept", 20) == (turn < 2 ? 20 : 0));
        CU_ASSERT (s_remove (pool, "x", 20, true) == (turn % 2 ? 20 : 0));
    }
    umbp_close (&pool);
    s_stop (&cold);
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
    cold_t cold;
    s_start_with (&cold, "back", WITH_DOORS, 16 * MIB);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    for (int turn = 0; turn < 4; turn++) {
        char name[8];
        snprintf (name, sizeof name, "f%d", turn);
        s_put (pool, name, 25, (umbp_put_options_t) { .tier = UMBP_TIER_NVME, .nowait = true });
        CU_ASSERT (umbp_flush (pool, WAIT_MS) == 0);
        umbp_close (&pool);
        s_crash (&cold);
        pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
        CU_ASSERT (s_get (pool, name, 25) == 25);
    }
    umbp_close (&pool);
    s_stop (&cold);
}

//  Ask the tier to let go of blocks of the default tenant
static void s_evict_own (const cold_t *self, uint64_t bytes)
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
    cold_t cold;
    s_start (&cold, "back", WITH_DOORS);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    s_put (pool, "old", 60, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    s_evict_own (&cold, 60 * (BLOCK + 4096));
    CU_ASSERT (s_gauge (&cold, "tier:nvme", "blocks") == 0);
    CU_ASSERT (s_gauge (&cold, "tier:nvme", "disk_live_bytes") == 0);
    uint64_t seed = s_seed;
    s_seed += 1000;
    s_put (pool, "old", 60, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    CU_ASSERT (s_remove (pool, "old", 50, true) == 50);
    umbp_close (&pool);
    s_restart (&cold);
    CU_ASSERT (s_gauge (&cold, "tier:nvme", "disk_recovered") == 10);
    s_seed = seed;
    s_stop (&cold);
}

//  More than fits the disk: the oldest leave, all others are right, and it goes on
static void test_full_disk (void)
{
    cold_t cold;
    s_start (&cold, "back", WITH_DOORS);
    umbp_t *pool = nodes_connect (&cold.nodes, 0, (umbp_options_t) { 0 });
    int64_t end = umbp_clock_ms () + WAIT_MS;
    size_t count = 2500;                //  156 MiB, or more if the disk is too slow for all of that
    for (; umbp_clock_ms () < end && s_gauge (&cold, "tier:nvme", "evicted") == 0; count += 500)
        s_put (pool, "x", count, (umbp_put_options_t) { 0 });
    CU_ASSERT (s_gauge (&cold, "tier:nvme", "evicted") > 0);
    uint64_t used = s_gauge (&cold, "tier:nvme", "used_bytes");
    uint64_t total = s_gauge (&cold, "tier:nvme", "total_bytes");
    CU_ASSERT (used <= total);
    printf ("\n    used %llu of %llu ", (unsigned long long) used, (unsigned long long) total);
    CU_ASSERT (s_get (pool, "x", count) > 100);
    CU_ASSERT (s_gauge (&cold, "tier:nvme", "disk_rotten") == 0);
    umbp_close (&pool);
    s_stop (&cold);
}

int main (void)
{
    CU_initialize_registry ();
    s_seed = nodes_seed ("cold");
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

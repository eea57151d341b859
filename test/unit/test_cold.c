//  test/unit/test_cold.c - a node with a tier on disk: what does not fit memory is found there, comes up again when it is
//  read, outlives a restart of the node, and is gone for good once it was removed.
#include <dirent.h>
#include <sys/stat.h>

#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

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

static void s_erase (const char *folder)
{
    DIR *dir = opendir (folder);
    char path[512];
    for (struct dirent *entry; dir && (entry = readdir (dir));) {
        snprintf (path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink (path);
    }
    if (dir)
        closedir (dir);
    rmdir (folder);
}

//  A node with little memory and a disk
static void s_start (cold_t *self, const char *write, doors_t doors)
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
    options->nvme_bytes = 128 * MIB;
    options->nvme_segment_bytes = 4 * MIB;
    options->nvme_staging_bytes = 8 * MIB;
    self->nodes.nodes[0] = nodes_new (options);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[0]);
    self->nodes.count = 1;
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
    s_erase (self->disk);
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
        batch->items[index] = (umbp_item_t){ .key = { batch->keys[index],
                                                      strlen (batch->keys[index]) },
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
    s_put (pool, "a", BLOCKS, (umbp_put_options_t) { 0 });
    CU_ASSERT (s_gauge (&cold, "tier:dram", "demoted") > BLOCKS / 2);
    s_check_all (&cold, pool);
    CU_ASSERT (s_gauge (&cold, "tier:nvme", "disk_fetches") > 0);
    int64_t end = umbp_clock_ms () + WAIT_MS;       //  What just went down rests there for 2 s
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
    CU_ASSERT (used <= s_gauge (&cold, "tier:nvme", "total_bytes"));
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
    CU_ADD_TEST (suite, test_full_disk);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

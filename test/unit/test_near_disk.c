//  test/unit/test_near_disk.c - a client of the host of a node with a disk: it maps the staging pages of that tier as
//  it maps memory, reads and writes blocks of the disk there and not over tcp, and is told no wrong byte while
//  doors close under it and the node starts again.
#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>

#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

#define MIB (1 << 20)
#define BLOCK 98304                     //  More than comes inline
#define BLOCKS 160                      //  15 MiB, and 6 of staging
#define BATCH 20
#define WAIT_MS 60000

static uint64_t s_seed;

typedef struct {
    nodes_t nodes;                      //  One
    char disk[64];
} disk_t;

static void s_start (disk_t *self)
{
    memset (self, 0, sizeof *self);
    snprintf (self->nodes.run_dir, sizeof self->nodes.run_dir, "/tmp/umbp-near-XXXXXX");
    snprintf (self->disk, sizeof self->disk, "/tmp/umbp-near-disk-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->nodes.run_dir));
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->disk));
    nodes_options (&self->nodes, 0, WITH_DOORS, 8 * MIB);
    umbp_node_options_t *options = &self->nodes.options[0];
    snprintf (options->nvme_dirs, sizeof options->nvme_dirs, "%s", self->disk);
    options->nvme_bytes = 128 * MIB;
    options->nvme_segment_bytes = 4 * MIB;
    options->nvme_staging_bytes = 6 * MIB;
    options->nvme_up_rate = 1;          //  What was read stays where it is
    self->nodes.nodes[0] = nodes_new (options);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[0]);
    self->nodes.count = 1;
    CU_ASSERT_FATAL (nodes_meet (&self->nodes));
}

static void s_stop (disk_t *self)
{
    nodes_stop (&self->nodes);
    char path[512];
    snprintf (path, sizeof path, "%s/umbp.log", self->disk);
    CU_ASSERT (unlink (path) == 0);
    CU_ASSERT (rmdir (self->disk) == 0);
}

static uint64_t s_gauge (const disk_t *self, const char *name)
{
    return gauge (umbp_node_endpoint (self->nodes.nodes[0]), "tier:nvme", name);
}

//  As other programs do, over tcp and the doors: it stays when the node starts again
static umbp_t *s_connect (const disk_t *self)
{
    return nodes_connect (&self->nodes, 0,
                          (umbp_options_t) { .endpoints = self->nodes.options[0].listen });
}

typedef struct {
    char keys[BATCH][32];
    umbp_item_t items[BATCH];
    uint8_t *bytes;
} batch_t;

static void s_batch (batch_t *batch, size_t first)
{
    for (size_t index = 0; index < BATCH; index++) {
        snprintf (batch->keys[index], sizeof batch->keys[index], "block-%zu", first + index);
        batch->items[index] =
            (umbp_item_t){ .key = { batch->keys[index], strlen (batch->keys[index]) },
                                             .data = batch->bytes + index * BLOCK, .size = BLOCK };
    }
}

//  Blocks of one batch, straight to the disk
static void s_put (umbp_t *pool, size_t first)
{
    batch_t batch = { .bytes = malloc ((size_t) BATCH * BLOCK) };
    umbp_put_options_t how = { .tier = UMBP_TIER_NVME };
    int64_t end = umbp_clock_ms () + WAIT_MS;
    int done = 0;
    s_batch (&batch, first);
    for (size_t index = 0; index < BATCH; index++)
        nodes_fill (batch.items[index].data, BLOCK, s_seed + first + index);
    while (done < BATCH && umbp_clock_ms () < end)
        done = umbp_put_batch (pool, batch.items, BATCH, &how, WAIT_MS);
    CU_ASSERT (done == BATCH);
    free (batch.bytes);
}

static void s_put_all (umbp_t *pool)
{
    for (size_t first = 0; first < BLOCKS; first += BATCH)
        s_put (pool, first);
}

typedef struct {
    size_t found, wrong;
} got_t;

//  Blocks of one batch. What is found must be right.
static got_t s_get (umbp_t *pool, size_t first, uint32_t timeout_ms)
{
    batch_t batch = { .bytes = calloc (BATCH, BLOCK) };
    got_t got = { 0, 0 };
    s_batch (&batch, first);
    umbp_get_batch (pool, batch.items, BATCH, timeout_ms);
    for (size_t index = 0; index < BATCH; index++) {
        got.found += batch.items[index].status == 0;
        got.wrong += batch.items[index].status == 0
                     && !nodes_is_filled (batch.items[index].data, BLOCK, s_seed + first + index);
    }
    free (batch.bytes);
    return got;
}

static void s_get_all (umbp_t *pool)
{
    got_t all = { 0, 0 };
    for (size_t first = 0; first < BLOCKS; first += BATCH) {
        got_t got = s_get (pool, first, WAIT_MS);
        all.found += got.found;
        all.wrong += got.wrong;
    }
    CU_ASSERT (all.found == BLOCKS);
    CU_ASSERT (all.wrong == 0);
}

static umbp_stats_t s_stats (umbp_t *pool)
{
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    return stats;
}

//  ------------------------------------------------------------------------------------------------
//  The tests

//  The first message goes over tcp, and from then on none does, though more is read than staging has room for
static void test_maps_the_disk (void)
{
    disk_t disk;
    s_start (&disk);
    umbp_t *pool = s_connect (&disk);
    s_put (pool, 0);
    umbp_stats_t first = s_stats (pool);
    CU_ASSERT (first.tcp_put_bytes == (uint64_t) BATCH * BLOCK);
    s_put_all (pool);
    umbp_stats_t all = s_stats (pool);
    CU_ASSERT (all.tcp_put_bytes == first.tcp_put_bytes);
    CU_ASSERT (all.shm_put_bytes == (uint64_t) (BLOCKS - BATCH) * BLOCK);
    for (int turn = 0; turn < 2; turn++)
        s_get_all (pool);
    all = s_stats (pool);
    CU_ASSERT (all.tcp_get_bytes == 0);
    CU_ASSERT (all.shm_get_bytes == (uint64_t) 2 * BLOCKS * BLOCK);
    CU_ASSERT (s_gauge (&disk, "disk_fetches") > BLOCKS / 2);
    CU_ASSERT (s_gauge (&disk, "leases") == 0);
    CU_ASSERT (s_gauge (&disk, "slots") == 0);
    umbp_close (&pool);

    pool = nodes_connect (&disk.nodes, 0,
                          (umbp_options_t) { .endpoints = disk.nodes.options[0].listen,
                                             .no_shm = true });
    s_get_all (pool);                   //  Who may not map gets the same over tcp
    CU_ASSERT (s_stats (pool).shm_get_bytes == 0);
    umbp_close (&pool);
    s_stop (&disk);
}

//  A view shows a block of the disk, and its pages stay as they are while all others are read through the rest
static void test_views_the_disk (void)
{
    disk_t disk;
    s_start (&disk);
    umbp_t *pool = s_connect (&disk);
    s_put_all (pool);
    umbp_close (&pool);
    pool = s_connect (&disk);           //  One that has not mapped it yet
    int err = 0;
    umbp_view_t *view = umbp_view_get (pool, (umbp_key_t) { "block-7", 7 }, WAIT_MS, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL (view);
    for (int turn = 0; turn < 2; turn++) {
        s_get_all (pool);
        uint8_t *bytes = malloc (BLOCK);
        size_t count, used = 0;
        const umbp_span_t *spans = umbp_view_spans (view, &count);
        for (size_t index = 0; index < count; index++) {
            memcpy (bytes + used, spans[index].base, spans[index].size);
            used += spans[index].size;
        }
        CU_ASSERT (used == BLOCK);
        CU_ASSERT (nodes_is_filled (bytes, BLOCK, s_seed + 7));
        free (bytes);
    }
    umbp_view_release (&view);
    umbp_close (&pool);
    s_stop (&disk);
}

typedef struct {
    umbp_t *pool;
    bool stop;
    size_t turns, found, wrong;
} reader_t;

static void *s_read (void *arg)
{
    reader_t *self = arg;
    uint64_t random = s_seed;
    while (!__atomic_load_n (&self->stop, __ATOMIC_ACQUIRE)) {
        size_t first = umbp_splitmix (&random) % (BLOCKS / BATCH) * BATCH;
        got_t got = s_get (self->pool, first, 500);
        self->found += got.found;
        self->wrong += got.wrong;
        __atomic_add_fetch (&self->turns, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void s_await_turns (reader_t *reader, size_t turns)
{
    size_t from = __atomic_load_n (&reader->turns, __ATOMIC_ACQUIRE);
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (__atomic_load_n (&reader->turns, __ATOMIC_ACQUIRE) < from + turns
           && umbp_clock_ms () < end)
        usleep (2000);
}

//  Doors close while their memory is read, since the node ends, and it starts again with the blocks it had: its
//  new memory is mapped, and what is in it was the old one's is never believed
static void test_node_starts_again (void)
{
    disk_t disk;
    s_start (&disk);
    umbp_t *pool = s_connect (&disk);
    s_put_all (pool);
    reader_t readers[2] = { { .pool = pool }, { .pool = pool } };
    pthread_t threads[2];
    for (size_t index = 0; index < 2; index++)
        CU_ASSERT_FATAL (pthread_create (&threads[index], NULL, s_read, &readers[index]) == 0);
    for (int turn = 0; turn < 3; turn++) {
        s_await_turns (&readers[0], 5);
        umbp_node_destroy (&disk.nodes.nodes[0]);
        disk.nodes.nodes[0] = nodes_again (&disk.nodes.options[0]);
        CU_ASSERT_PTR_NOT_NULL_FATAL (disk.nodes.nodes[0]);
        CU_ASSERT_FATAL (nodes_meet (&disk.nodes));
    }
    size_t found = 0;
    for (size_t index = 0; index < 2; index++) {
        __atomic_store_n (&readers[index].stop, true, __ATOMIC_RELEASE);
        pthread_join (threads[index], NULL);
        CU_ASSERT (readers[index].wrong == 0);
        found += readers[index].found;
    }
    CU_ASSERT (found > 0);
    uint64_t before = s_stats (pool).shm_get_bytes, after = before;
    for (int64_t end = umbp_clock_ms () + WAIT_MS; after == before && umbp_clock_ms () < end;) {
        got_t got = s_get (pool, 0, WAIT_MS);        //  Its doors are tried once a second
        CU_ASSERT (got.found == BATCH && got.wrong == 0);
        after = s_stats (pool).shm_get_bytes;
    }
    CU_ASSERT (after > before);
    umbp_close (&pool);
    s_stop (&disk);
}

int main (void)
{
    CU_initialize_registry ();
    s_seed = nodes_seed ("near_disk");
    CU_pSuite suite = CU_add_suite ("near_disk", NULL, NULL);
    CU_ADD_TEST (suite, test_maps_the_disk);
    CU_ADD_TEST (suite, test_views_the_disk);
    CU_ADD_TEST (suite, test_node_starts_again);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

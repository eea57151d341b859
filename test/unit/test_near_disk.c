//  test/unit/test_near_disk.c - a client of the host of a node with a disk: it maps the staging pages of that tier as
//  it maps memory, reads and writes blocks of the disk there and not over tcp, and is told no wrong byte while
//  doors close under it and the node starts again.
#include <pthread.h>

#include "test/unit/disk.h"

#define BLOCK 98304                     //  More than comes inline
#define BLOCKS 160                      //  15 MiB, and 6 of staging
#define BATCH 20

static void s_start (disk_t *self)
{
    umbp_node_options_t *options = disk_prepare (self, WITH_DOORS, 8 * MIB);
    options->nvme_staging_bytes = 6 * MIB;
    options->nvme_up_rate = 1;          //  What was read stays where it is
    disk_run (self);
}

static uint64_t s_gauge (const disk_t *self, const char *name)
{
    return disk_gauge (self, "tier:nvme", name);
}

//  As other programs do, over tcp and the doors: it stays when the node starts again
static umbp_t *s_connect (const disk_t *self)
{
    return nodes_connect (&self->nodes, 0,
                          (umbp_options_t) { .endpoints = self->nodes.options[0].listen });
}

//  Blocks of one batch, straight to the disk
static void s_put (umbp_t *pool, size_t first)
{
    disk_put (pool, "block", first, BATCH, BLOCK, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
}

static void s_put_all (umbp_t *pool)
{
    for (size_t first = 0; first < BLOCKS; first += BATCH)
        s_put (pool, first);
}

//  Blocks of one batch. Returns how many were found.
static size_t s_get (umbp_t *pool, size_t first)
{
    return disk_get (pool, "block", first, BATCH, BLOCK, DISK_MS, NULL);
}

static void s_get_all (umbp_t *pool)
{
    for (size_t first = 0; first < BLOCKS; first += BATCH)
        CU_ASSERT (s_get (pool, first) == BATCH);
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
    disk_stop (&disk);
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
    umbp_view_t *view = umbp_view_get (pool, (umbp_key_t) { "block-7", 7 }, DISK_MS, &err);
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
        CU_ASSERT (nodes_is_filled (bytes, BLOCK, disk_number ("block", 7)));
        free (bytes);
    }
    umbp_view_release (&view);
    umbp_close (&pool);
    disk_stop (&disk);
}

typedef struct {
    umbp_t *pool;
    bool stop;
    size_t turns, found;
} reader_t;

static void *s_read (void *arg)
{
    reader_t *self = arg;
    uint64_t random = disk_seed;
    while (!__atomic_load_n (&self->stop, __ATOMIC_ACQUIRE)) {
        size_t first = umbp_splitmix (&random) % (BLOCKS / BATCH) * BATCH;
        size_t failed;                  //  While the node is away
        self->found += disk_get (self->pool, "block", first, BATCH, BLOCK, 500, &failed);
        __atomic_add_fetch (&self->turns, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void s_await_turns (reader_t *reader, size_t turns)
{
    size_t from = __atomic_load_n (&reader->turns, __ATOMIC_ACQUIRE);
    int64_t end = umbp_clock_ms () + DISK_MS;
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
        disk_again (&disk);
    }
    size_t found = 0;
    for (size_t index = 0; index < 2; index++) {
        __atomic_store_n (&readers[index].stop, true, __ATOMIC_RELEASE);
        pthread_join (threads[index], NULL);
        found += readers[index].found;
    }
    CU_ASSERT (found > 0);
    uint64_t before = s_stats (pool).shm_get_bytes, after = before;
    for (int64_t end = umbp_clock_ms () + DISK_MS; after == before && umbp_clock_ms () < end;) {
        CU_ASSERT (s_get (pool, 0) == BATCH);        //  Its doors are tried once a second
        after = s_stats (pool).shm_get_bytes;
    }
    CU_ASSERT (after > before);
    umbp_close (&pool);
    disk_stop (&disk);
}

int main (void)
{
    CU_initialize_registry ();
    disk_seed = nodes_seed ("near_disk");
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

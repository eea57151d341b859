//  test/unit/test_devmem.c - buffers of the caller that are memory of a device, over a real node: the mock's,
//  and CUDA's and HIP's over libraries that stand in for them (test/accel). These shift their addresses, so
//  that a processor that uses one faults, and copy when they are waited for and no sooner.
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "client/devmem.h"
#include "client/stager.h"
#include "test/unit/accel.h"
#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

#define SHIFT (UINT64_C (1) << 60)
#define AREA ((size_t) 24 << 20)        //  Of each device
#define HALF (AREA / 2)                 //  Puts come from the front, gets go to the back
#define MIB ((size_t) 1 << 20)

static nodes_t s_nodes;
static uint64_t s_stream;
static uint8_t s_bytes[HALF], s_back[HALF];

//  A device, as a test sees it
typedef struct {
    const char *kind;
    int number;
    void *library;                      //  NULL: the mock's memory is that of the process
    uint64_t base;
} gpu_t;

static gpu_t s_gpus[] = { { "mock", 0, NULL, 0 }, { "cuda", 1, NULL, 0 }, { "hip", 1, NULL, 0 } };
#define GPUS (sizeof s_gpus / sizeof *s_gpus)
#define CUDA (&s_gpus[1])

static uint64_t s_random (uint64_t below)
{
    return umbp_splitmix (&s_stream) % below;
}

static void s_poke (const gpu_t *gpu, uint64_t at, const void *from, size_t bytes)
{
    int (*poke) (uint64_t, const void *, size_t) = NULL;
    if (gpu->library)
        *(void **) &poke = dlsym (gpu->library, "fake_write");
    if (poke)
        CU_ASSERT (poke (gpu->base + at, from, bytes) == 0);
    if (!gpu->library)
        memcpy ((uint8_t *) (uintptr_t) gpu->base + at, from, bytes);
}

static void s_peek (const gpu_t *gpu, void *to, uint64_t at, size_t bytes)
{
    int (*peek) (void *, uint64_t, size_t) = NULL;
    if (gpu->library)
        *(void **) &peek = dlsym (gpu->library, "fake_read");
    if (peek)
        CU_ASSERT (peek (to, gpu->base + at, bytes) == 0);
    if (!gpu->library)
        memcpy (to, (const uint8_t *) (uintptr_t) gpu->base + at, bytes);
}

static void *s_address (const gpu_t *gpu, uint64_t at)
{
    return (void *) (uintptr_t) (gpu->base + at);
}

static umbp_t *s_connect (const char *paths, bool plain)
{
    umbp_options_t how = { .endpoints = umbp_node_endpoint (s_nodes.nodes[0]),
                           .paths = paths,
                           .rdma_devices = "none0",
                           .no_verify = plain,
                           .timeout_ms = 60000 };
    umbp_t *pool = umbp_connect (&how, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    return pool;
}

static void s_register (umbp_t *pool, const gpu_t *gpu)
{
    char why[256];
    int rc = umbp_register_device (pool, gpu->kind, gpu->number, s_address (gpu, 0), AREA, why,
                                   sizeof why);
    if (rc != 0)
        printf ("%s:%d: %s: %s\n", gpu->kind, gpu->number, umbp_strerror (rc), why);
    CU_ASSERT_EQUAL_FATAL (rc, 0);
    CU_ASSERT (*why == 0);
}

static umbp_stats_t s_stats (umbp_t *pool)
{
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    return stats;
}

//  ------------------------------------------------------------------------------------------------
//  Whole blocks, of all sizes, by all paths

static void s_carry (const gpu_t *gpu, const char *paths, bool plain)
{
    static const size_t sizes[] = { 1, 63, 4095, 65537, MIB + 1, UMBP_STAGER_BANK_BYTES,
                                    9 * MIB + 13 };
    umbp_t *pool = s_connect (paths, plain);
    s_register (pool, gpu);
    uint64_t total = 0;
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        size_t size = sizes[index], from = s_random (HALF - size),
               to = HALF + s_random (HALF - size);
        char key[64];
        snprintf (key, sizeof key, "%s-%s-%d-%zu", gpu->kind, paths, plain, size);
        nodes_fill (s_bytes, size, s_random (UINT64_MAX));
        s_poke (gpu, from, s_bytes, size);
        CU_ASSERT_EQUAL (umbp_put (pool, key, s_address (gpu, from), size), 0);
        CU_ASSERT_EQUAL (umbp_get (pool, key, s_back, size), (long) size);   //  As the host sees it
        CU_ASSERT (memcmp (s_bytes, s_back, size) == 0);
        memset (s_back, 0, size);
        CU_ASSERT_EQUAL (umbp_get (pool, key, s_address (gpu, to), size), (long) size);
        s_peek (gpu, s_back, to, size);
        CU_ASSERT (memcmp (s_bytes, s_back, size) == 0);
        CU_ASSERT_EQUAL (umbp_remove (pool, key), 0);
        total += size;
    }
    umbp_stats_t stats = s_stats (pool);
    CU_ASSERT_EQUAL (stats.device_put_bytes, total);
    CU_ASSERT_EQUAL (stats.device_get_bytes, total);
    CU_ASSERT (stats.device_direct_put_bytes == 0 && stats.device_direct_get_bytes == 0);
    CU_ASSERT_EQUAL (stats.checksum_errors, 0);
    bool shm = strcmp (paths, "shm") == 0;
    CU_ASSERT ((shm ? stats.shm_put_bytes : stats.tcp_put_bytes) == total);
    CU_ASSERT_EQUAL (umbp_deregister (pool, s_address (gpu, 0)), 0);
    umbp_close (&pool);
}

static void test_whole_blocks (void)
{
    s_stream = nodes_seed ("whole");
    for (size_t index = 0; index < GPUS; index++) {
        s_carry (&s_gpus[index], "shm", false);
        s_carry (&s_gpus[index], "tcp", false);
    }
    s_carry (CUDA, "tcp", true);
}

//  ------------------------------------------------------------------------------------------------
//  Pieces here and there

#define PIECES 40

//  A buffer cut at random, each piece on one of the devices or here
typedef struct {
    umbp_range_t ranges[PIECES];
    const gpu_t *where[PIECES];
    size_t count;
} pieces_t;

//  Room from an offset of each place on. whole: they tile the block.
static pieces_t s_cut (uint8_t *here, uint64_t at, size_t size, bool whole)
{
    pieces_t pieces = { .count = 1 + s_random (PIECES) };
    size_t done = 0;
    for (size_t index = 0; index < pieces.count; index++) {
        size_t left = size - done;
        size_t bytes = index + 1 == pieces.count ? left
                       : s_random (4) == 0       ? 0
                                                 : s_random (left + 1);
        const gpu_t *gpu = s_random (3) == 0 ? NULL : &s_gpus[s_random (GPUS)];
        uint64_t offset = whole ? done : s_random (size - bytes + 1);
        pieces.where[index] = gpu;
        pieces.ranges[index] =
            (umbp_range_t){ gpu ? s_address (gpu, at + done) : here + done, bytes, offset };
        done += bytes;
    }
    return pieces;
}

static void s_scatter (const pieces_t *pieces, const uint8_t *bytes)
{
    for (size_t index = 0; index < pieces->count; index++) {
        const umbp_range_t *range = &pieces->ranges[index];
        const gpu_t *gpu = pieces->where[index];
        if (gpu)
            s_poke (gpu, (uintptr_t) range->base - gpu->base, bytes + range->offset, range->size);
        else
            memcpy (range->base, bytes + range->offset, range->size);
    }
}

static bool s_is_there (const pieces_t *pieces, const uint8_t *bytes)
{
    static uint8_t piece[HALF];
    bool right = true;
    for (size_t index = 0; index < pieces->count; index++) {
        const umbp_range_t *range = &pieces->ranges[index];
        const gpu_t *gpu = pieces->where[index];
        if (gpu)
            s_peek (gpu, piece, (uintptr_t) range->base - gpu->base, range->size);
        else
            memcpy (piece, range->base, range->size);
        right &= memcmp (piece, bytes + range->offset, range->size) == 0;
    }
    return right;
}

//  Batches of blocks, in pieces on three devices and here, among plain ones
static void s_mix (const char *paths, bool plain, unsigned rounds)
{
    static uint8_t from_here[HALF], to_here[HALF];
    umbp_t *pool = s_connect (paths, plain);
    for (size_t index = 0; index < GPUS; index++)
        s_register (pool, &s_gpus[index]);
    for (unsigned round = 0; round < rounds; round++) {
        enum { BLOCKS = 5 };
        static const size_t most[BLOCKS] = { 300, 70000, 6 * MIB, 20000, MIB };
        umbp_vec_t puts[BLOCKS], gets[BLOCKS];
        pieces_t from[BLOCKS], to[BLOCKS];
        char keys[BLOCKS][64];
        size_t at = 0;
        for (size_t index = 0; index < BLOCKS; index++) {
            size_t size = 1 + s_random (most[index]);
            bool whole = s_random (2) == 0;
            snprintf (keys[index], sizeof *keys, "mix-%s-%d-%u-%zu", paths, plain, round, index);
            nodes_fill (s_bytes + at, size, s_random (UINT64_MAX));
            from[index] = s_cut (from_here + at, at, size, true);
            to[index] = s_cut (to_here + at, HALF + at, size, whole);
            s_scatter (&from[index], s_bytes + at);
            puts[index] = (umbp_vec_t) { .key = { keys[index], strlen (keys[index]) },
                                         .ranges = from[index].ranges,
                                         .range_count = from[index].count,
                                         .size = size };
            gets[index] = puts[index];
            gets[index].ranges = to[index].ranges;
            gets[index].range_count = to[index].count;
            at += most[index];
        }
        CU_ASSERT_EQUAL (umbp_put_v (pool, puts, BLOCKS, NULL, 0), BLOCKS);
        CU_ASSERT_EQUAL (umbp_get_v (pool, gets, BLOCKS, 0), BLOCKS);
        at = 0;
        for (size_t index = 0; index < BLOCKS; index++) {
            CU_ASSERT_EQUAL (gets[index].size, puts[index].size);
            CU_ASSERT (s_is_there (&to[index], s_bytes + at));
            CU_ASSERT_EQUAL (umbp_remove (pool, keys[index]), 0);
            at += most[index];
        }
    }
    CU_ASSERT_EQUAL (s_stats (pool).checksum_errors, 0);
    for (size_t index = 0; index < GPUS; index++)
        CU_ASSERT_EQUAL (umbp_deregister (pool, s_address (&s_gpus[index], 0)), 0);
    umbp_close (&pool);
}

static void test_pieces_of_several_devices (void)
{
    s_stream = nodes_seed ("pieces");
    s_mix ("shm", false, 6);
    s_mix ("tcp", false, 6);
    s_mix ("tcp", true, 6);
}

//  ------------------------------------------------------------------------------------------------
//  What may be registered

static int s_try (umbp_t *pool, const char *kind, int number, void *base, size_t size, char *why)
{
    return umbp_register_device (pool, kind, number, base, size, why, 256);
}

static void test_what_is_refused (void)
{
    char why[256];
    umbp_t *pool = s_connect ("shm", false);
    CU_ASSERT_EQUAL (s_try (pool, "abacus", 0, s_back, 9, why), UMBP_EINVAL);
    CU_ASSERT (strstr (why, "there are cuda, hip and mock") != NULL);
    CU_ASSERT_EQUAL (s_try (pool, "a kind with a long name", 0, s_back, 9, why), UMBP_EINVAL);
    CU_ASSERT_EQUAL (s_try (pool, "cuda", -1, s_back, 9, why), UMBP_EINVAL);
    CU_ASSERT_EQUAL (s_try (pool, NULL, 0, s_back, 9, NULL), UMBP_EINVAL);
    CU_ASSERT_EQUAL (s_try (pool, "cuda", 1, NULL, 9, why), UMBP_EINVAL);
    CU_ASSERT_EQUAL (s_try (pool, "cuda", 1, s_back, 0, why), UMBP_EINVAL);
    CU_ASSERT_EQUAL (s_try (pool, "cuda", 1, s_back, SIZE_MAX, why), UMBP_EINVAL);
    CU_ASSERT_EQUAL (s_try (pool, "cuda", 5, s_back, 9, why), UMBP_ENOENT);
    CU_ASSERT (strstr (why, "cuDeviceGet answers 101") != NULL);
    CU_ASSERT_EQUAL (s_try (pool, "cuda", 1, s_back, 9, why), UMBP_EINVAL); //  Not the device's
    CU_ASSERT (strstr (why, "are they this device's") != NULL);
    CU_ASSERT_EQUAL (s_try (pool, "cuda", 1, s_address (CUDA, 0), AREA + 1, why), UMBP_EINVAL);
    CU_ASSERT_EQUAL (s_try (pool, "cuda", 0, s_address (CUDA, 0), AREA, why), UMBP_EINVAL);

    s_register (pool, CUDA);
    CU_ASSERT_EQUAL (s_try (pool, "cuda", 1, s_address (CUDA, 77), 1, why), UMBP_EEXIST);
    CU_ASSERT (strstr (why, "overlap") != NULL);
    CU_ASSERT_EQUAL (umbp_register (pool, s_address (CUDA, AREA - 1), 9), UMBP_EEXIST);
    CU_ASSERT_EQUAL (umbp_register (pool, s_back, 4096), 0);
    CU_ASSERT_EQUAL (s_try (pool, "mock", 0, s_back, 4096, why), UMBP_EEXIST);
    CU_ASSERT_EQUAL (umbp_deregister (pool, s_back), 0);

    //  Neither in it nor outside
    CU_ASSERT_EQUAL (umbp_put (pool, "across", s_address (CUDA, AREA - 1000), 1001), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_put (pool, "across", s_address (CUDA, AREA - 100000), 100001),
                     UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_exists (pool, "across"), 0);
    CU_ASSERT_EQUAL (umbp_put (pool, "across", s_bytes, 2000), 0);
    CU_ASSERT_EQUAL (umbp_get (pool, "across", s_address (CUDA, AREA - 1999), 2000), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_get (pool, "across", s_address (CUDA, AREA - 1999), 1999), UMBP_ETOOBIG);
    CU_ASSERT_EQUAL (umbp_remove (pool, "across"), 0);

    CU_ASSERT_EQUAL (umbp_deregister (pool, s_address (CUDA, 1)), UMBP_ENOENT);
    CU_ASSERT_EQUAL (umbp_deregister (pool, s_address (CUDA, 0)), 0);
    CU_ASSERT_EQUAL (umbp_deregister (pool, s_address (CUDA, 0)), UMBP_ENOENT);
    umbp_close (&pool);
}

//  As many as there may be, each found, and one more
static void test_many_registrations (void)
{
    enum { SIZE = 16384 };
    char why[256], key[32];
    s_stream = nodes_seed ("many");
    umbp_t *pool = s_connect ("tcp", false);
    for (size_t index = 0; index < UMBP_DEVMEM_RANGES_MAX; index++) {
        size_t number = index * 389 % UMBP_DEVMEM_RANGES_MAX;         //  In no order
        CU_ASSERT_EQUAL_FATAL (s_try (pool, "cuda", 1, s_address (CUDA, number * SIZE), SIZE, why),
                               0);
    }
    CU_ASSERT_EQUAL (s_try (pool, "cuda", 1, s_address (CUDA, AREA - SIZE), SIZE, why),
                     UMBP_ENOSPC);
    CU_ASSERT (strstr (why, "1024") != NULL);
    for (size_t index = 0; index < 50; index++) {
        size_t at = s_random (UMBP_DEVMEM_RANGES_MAX) * SIZE + s_random (1000);
        nodes_fill (s_bytes, 15000, at);
        s_poke (CUDA, at, s_bytes, 15000);
        snprintf (key, sizeof key, "many-%zu", index);
        CU_ASSERT_EQUAL (umbp_put (pool, key, s_address (CUDA, at), 15000), 0);
        CU_ASSERT_EQUAL (umbp_get (pool, key, s_back, 15000), 15000);
        CU_ASSERT (memcmp (s_bytes, s_back, 15000) == 0);
        CU_ASSERT_EQUAL (umbp_remove (pool, key), 0);
    }
    for (size_t index = 0; index < UMBP_DEVMEM_RANGES_MAX; index++)
        CU_ASSERT_EQUAL (umbp_deregister (pool, s_address (CUDA, index * SIZE)), 0);
    umbp_close (&pool);
}

//  ------------------------------------------------------------------------------------------------
//  Devices that fail

static void s_fail (const char *name, int after)
{
    ACCEL_VARIABLE (CUDA->library, _Atomic int, name) = after;
}

//  Of a batch, a device fails in the middle of one block. The others go through, whether the driver
//  says so when a copy begins, or later; and the next try of that one does, too.
static void s_break (const char *paths, const char *what, int after)
{
    const char *endpoint = umbp_node_endpoint (s_nodes.nodes[0]);
    umbp_t *pool = s_connect (paths, false);
    s_register (pool, CUDA);
    nodes_fill (s_bytes, 10 * MIB, 5);
    s_poke (CUDA, 0, s_bytes, 10 * MIB);
    s_fail (what, after);
    CU_ASSERT_EQUAL (umbp_put (pool, "broken", s_address (CUDA, 0), 10 * MIB), 0);
    CU_ASSERT (s_stats (pool).retries > 0);
    s_fail (what, after);
    CU_ASSERT_EQUAL (umbp_get (pool, "broken", s_address (CUDA, HALF), 10 * MIB), 10 * MIB);
    s_peek (CUDA, s_back, HALF, 10 * MIB);
    CU_ASSERT (memcmp (s_bytes, s_back, 10 * MIB) == 0);
    CU_ASSERT_EQUAL (umbp_remove (pool, "broken"), 0);
    CU_ASSERT_EQUAL (s_stats (pool).checksum_errors, 0);
    CU_ASSERT (gauge_becomes (endpoint, "tier:dram", "slots", 0));
    umbp_close (&pool);
}

//  It fails for good: EIO, for its blocks alone, and nothing stays claimed
static void s_break_for_good (const char *paths)
{
    const char *endpoint = umbp_node_endpoint (s_nodes.nodes[0]);
    umbp_t *pool = s_connect (paths, false);
    s_register (pool, CUDA);
    nodes_fill (s_bytes, 6 * MIB, 6);
    umbp_item_t items[] = {
        { .key = { "here", 4 }, .data = s_bytes, .size = 100000 },
        { .key = { "gone", 4 }, .data = s_address (CUDA, 0), .size = 6 * MIB },
        { .key = { "also", 4 }, .data = s_bytes, .size = 200000 },
    };
    //  As if the memory had been freed beneath us
    int (*drop) (uint64_t), (*take) (uint64_t *, size_t);
    *(void **) &drop = dlsym (CUDA->library, "fake_drop");
    *(void **) &take = dlsym (CUDA->library, "fake_take");
    CU_ASSERT (drop (CUDA->base) == 0);
    CU_ASSERT_EQUAL (umbp_put_batch (pool, items, 3, NULL, 0), 2);
    CU_ASSERT (items[0].status == 0 && items[1].status == UMBP_EIO && items[2].status == 0);
    CU_ASSERT_EQUAL (umbp_exists (pool, "gone"), 0);
    CU_ASSERT (gauge_becomes (endpoint, "tier:dram", "slots", 0));
    items[0].data = s_address (CUDA, HALF);
    items[1] = (umbp_item_t) { .key = { "also", 4 }, .data = s_back, .size = 200000 };
    CU_ASSERT_EQUAL (umbp_get_batch (pool, items, 2, 0), 1);
    CU_ASSERT (items[0].status == UMBP_EIO && items[1].status == 0);
    CU_ASSERT (memcmp (s_back, s_bytes, 200000) == 0);
    CU_ASSERT_EQUAL (umbp_remove (pool, "here"), 0);
    CU_ASSERT_EQUAL (umbp_remove (pool, "also"), 0);
    CU_ASSERT (take (&CUDA->base, AREA) == 0);
    umbp_close (&pool);
}

static void test_devices_that_fail (void)
{
    static const char *const paths[] = { "shm", "tcp" };
    for (size_t index = 0; index < 2; index++) {
        s_break (paths[index], "fake_copies_left", 0);
        s_break (paths[index], "fake_copies_left", 1);       //  In the second bank
        s_break (paths[index], "fake_waits_left", 1);
        s_break_for_good (paths[index]);
    }
}

//  ------------------------------------------------------------------------------------------------
//  Threads

#define THREADS 7                       //  More than there are stagers
#define ROUNDS 12

typedef struct {
    umbp_t *pool;
    unsigned number;
    size_t wrong;
} worker_t;

//  Each has a part of the device of its own, which it registers and forgets
static void *s_work (void *arg)
{
    worker_t *self = arg;
    enum { PART = MIB, BACK = MIB / 2 };
    uint64_t at = self->number * (uint64_t) PART;
    uint8_t *bytes = malloc (2 * BACK), *back = bytes + BACK;
    assert (bytes);
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t size = BACK - 1000 * round - self->number;
        char key[32];
        snprintf (key, sizeof key, "thread-%u-%u", self->number, round);
        self->wrong +=
            umbp_register_device (self->pool, "cuda", 1, s_address (CUDA, at), PART, NULL, 0) != 0;
        nodes_fill (bytes, size, self->number * 1000 + round);
        s_poke (CUDA, at, bytes, size);
        self->wrong += umbp_put (self->pool, key, s_address (CUDA, at), size) != 0;
        self->wrong += umbp_get (self->pool, key, s_address (CUDA, at + BACK), size) != (long) size;
        s_peek (CUDA, back, at + BACK, size);
        self->wrong += memcmp (bytes, back, size) != 0;
        self->wrong += umbp_remove (self->pool, key) != 0;
        self->wrong += umbp_deregister (self->pool, s_address (CUDA, at)) != 0;
    }
    free (bytes);
    return NULL;
}

static void test_threads (void)
{
    static const char *const paths[] = { "shm", "tcp" };
    for (size_t row = 0; row < 2; row++) {
        umbp_t *pool = s_connect (paths[row], false);
        worker_t workers[THREADS];
        pthread_t threads[THREADS];
        for (unsigned index = 0; index < THREADS; index++) {
            workers[index] = (worker_t) { pool, index, 0 };
            CU_ASSERT_FATAL (pthread_create (&threads[index], NULL, s_work, &workers[index]) == 0);
        }
        for (unsigned index = 0; index < THREADS; index++) {
            pthread_join (threads[index], NULL);
            CU_ASSERT_EQUAL (workers[index].wrong, 0);
        }
        CU_ASSERT (s_stats (pool).device_put_bytes > 0);
        umbp_close (&pool);
    }
    //  All that was locked and opened was let go of
    CU_ASSERT_EQUAL (ACCEL_VARIABLE (CUDA->library, _Atomic int, "fake_pinned"), 0);
    CU_ASSERT_EQUAL (ACCEL_VARIABLE (CUDA->library, _Atomic int, "fake_retained"), 0);
    CU_ASSERT_EQUAL (ACCEL_VARIABLE (CUDA->library, size_t, "fake_blocks"), 1);
}

//  In use: not to be forgotten
static void test_what_is_in_use_stays (void)
{
    umbp_t *pool = s_connect ("tcp", false);
    s_register (pool, CUDA);
    umbp_piece_t pieces[] = { { s_address (CUDA, 9), 5 },
                              { s_back, 5 },
                              { s_address (CUDA, 99), 0 } };
    umbp_devmem_range_t *owners[3];
    CU_ASSERT_EQUAL (umbp_devmem_hold (pool, pieces, 3, owners), 1);
    CU_ASSERT (owners[0] && !owners[1] && !owners[2]);
    CU_ASSERT_EQUAL (umbp_deregister (pool, s_address (CUDA, 0)), UMBP_EAGAIN);
    umbp_devmem_release (pool, owners, 3);
    pieces[1] = (umbp_piece_t) { s_address (CUDA, AREA - 1), 2 };
    CU_ASSERT_EQUAL (umbp_devmem_hold (pool, pieces, 2, owners), UMBP_EINVAL);  //  Keeps none
    CU_ASSERT_EQUAL (umbp_deregister (pool, s_address (CUDA, 0)), 0);
    umbp_close (&pool);
}

//  A child lets go of what it got, and leaves the parent's devices alone
static void test_a_child (void)
{
    umbp_t *pool = s_connect ("shm", false);
    s_register (pool, CUDA);
    CU_ASSERT_EQUAL (umbp_put (pool, "parent", s_address (CUDA, 0), 100000), 0);
    int pinned = ACCEL_VARIABLE (CUDA->library, _Atomic int, "fake_pinned"), status = 1;
    pid_t child = fork ();
    if (child == 0) {
        int wrong = umbp_put (pool, "child", s_address (CUDA, 0), 10) != UMBP_EFORKED;
        wrong += s_try (pool, "cuda", 1, s_address (CUDA, 0), 9, NULL) != UMBP_EFORKED;
        wrong += umbp_deregister (pool, s_address (CUDA, 0)) != UMBP_EFORKED;
        umbp_close (&pool);
        wrong += ACCEL_VARIABLE (CUDA->library, _Atomic int, "fake_pinned") != pinned;
        _exit (wrong);
    }
    waitpid (child, &status, 0);
    CU_ASSERT (WIFEXITED (status) && WEXITSTATUS (status) == 0);
    CU_ASSERT_EQUAL (umbp_get (pool, "parent", s_address (CUDA, HALF), 100000), 100000);
    CU_ASSERT_EQUAL (umbp_remove (pool, "parent"), 0);
    umbp_close (&pool);
}

//  ------------------------------------------------------------------------------------------------

static int s_start (void)
{
    static const char *const names[] = { NULL, "cuda", "amdhip64" };
    for (size_t index = 0; index < GPUS; index++) {
        int (*take) (uint64_t *, size_t) = NULL;
        if (!names[index]) {
            s_gpus[index].base = (uint64_t) (uintptr_t) malloc (AREA);
            continue;
        }
        s_gpus[index].library = dlopen (VENDOR (names[index]), RTLD_NOW | RTLD_LOCAL);
        if (!s_gpus[index].library) {
            printf ("%s\n", dlerror ());
            return 1;
        }
        *(void **) &take = dlsym (s_gpus[index].library, "fake_take");
        ACCEL_VARIABLE (s_gpus[index].library, uint64_t, "fake_shift") = SHIFT;
        if (take (&s_gpus[index].base, AREA) != 0)
            return 1;
    }
    return nodes_start (&s_nodes, 1, WITH_DOORS, 128 << 20) ? 0 : 1;
}

static int s_stop (void)
{
    nodes_stop (&s_nodes);
    for (size_t index = 0; index < GPUS; index++) {
        int (*drop) (uint64_t) = NULL;
        if (!s_gpus[index].library)
            free (s_address (&s_gpus[index], 0));
        else {
            *(void **) &drop = dlsym (s_gpus[index].library, "fake_drop");
            drop (s_gpus[index].base);
        }
    }
    return 0;
}

int main (void)
{
    alarm (240);
    unsetenv ("UMBP_PATHS");
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("devmem", s_start, s_stop);
    CU_ADD_TEST (suite, test_whole_blocks);
    CU_ADD_TEST (suite, test_pieces_of_several_devices);
    CU_ADD_TEST (suite, test_what_is_refused);
    CU_ADD_TEST (suite, test_many_registrations);
    CU_ADD_TEST (suite, test_devices_that_fail);
    CU_ADD_TEST (suite, test_what_is_in_use_stays);
    CU_ADD_TEST (suite, test_a_child);
    CU_ADD_TEST (suite, test_threads);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0 || CU_get_number_of_suites_failed () > 0;
}

//  test/guest/devices.c - buffers that are memory of a device, by RDMA, in the guest of guest.sh. The device
//  is the mock, or CUDA over test/accel/cuda.c, whose addresses no processor can use. The cards of the guest
//  take no dma-bufs: what is done then is tested as it is; and that cards which do go straight to
//  the device, with cards that this program makes believe (ibv_reg_dmabuf_mr).
#include "test/guest/nodes.h"

#include <dlfcn.h>
#include <infiniband/verbs.h>

#define SHIFT (UINT64_C (1) << 60)
#define AREA (2 * BLOCKS * BLOCK_MAX)   //  Puts come from the first half, gets go to the other one
#define HALF (AREA / 2)

static void *s_cuda;
static uint64_t s_base;                 //  On the device
static enum { REFUSES, TAKES, TAKES_ANOTHER } s_card;
static unsigned char *s_other;          //  What such a card takes for it
static unsigned s_asked;

static int s_fake (const char *name)
{
    const _Atomic int *variable = dlsym (s_cuda, name);
    assert (variable);
    return *variable;
}

static void s_poke (uint64_t at, const void *from, size_t bytes)
{
    int (*poke) (uint64_t, const void *, size_t);
    *(void **) &poke = dlsym (s_cuda, "fake_write");
    CU_ASSERT (poke (s_base + at, from, bytes) == 0);
}

static void s_peek (void *to, uint64_t at, size_t bytes)
{
    int (*peek) (void *, uint64_t, size_t);
    *(void **) &peek = dlsym (s_cuda, "fake_read");
    CU_ASSERT (peek (to, s_base + at, bytes) == 0);
}

//  In front of that of libibverbs
struct ibv_mr *ibv_reg_dmabuf_mr (struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova,
                                  int fd, int access)
{
    struct ibv_mr *(*real) (struct ibv_pd *, uint64_t, size_t, uint64_t, int, int);
    s_asked++;
    if (s_card != REFUSES) {
        unsigned char *there = (unsigned char *) (uintptr_t) (iova - SHIFT);
        return ibv_reg_mr_iova (pd, s_card == TAKES ? there : s_other, length, iova, access);
    }
    *(void **) &real = dlsym (RTLD_NEXT, "ibv_reg_dmabuf_mr");
    struct ibv_mr *mr = real ? real (pd, offset, length, iova, fd, access) : NULL;
    printf ("\n    ibv_reg_dmabuf_mr of rxe: %s ", mr ? "takes it" : strerror (errno));
    return mr;
}

//  ---- Blocks on the device

static void *s_address (uint64_t at)
{
    return (void *) (uintptr_t) (s_base + at);
}

//  The set's bytes, at the same offsets of the first half
static void s_lay (set_t *set)
{
    for (size_t index = 0; index < BLOCKS; index++) {
        umbp_item_t *item = &set->items[index];
        s_poke (index * BLOCK_MAX, item->data, item->size);
        item->data = s_address (index * BLOCK_MAX);
    }
}

//  Gets go to the second half. Returns how many were got.
static int s_fetch (umbp_t *pool, set_t *set)
{
    static unsigned char zeros[BLOCK_MAX], bytes[BLOCK_MAX];
    for (size_t index = 0; index < BLOCKS; index++) {
        set->items[index].data = s_address (HALF + index * BLOCK_MAX);
        s_poke (HALF + index * BLOCK_MAX, zeros, set->items[index].size);
    }
    int got = umbp_get_batch (pool, set->items, BLOCKS, LONG_MS);
    for (size_t index = 0; index < BLOCKS; index++) {
        const umbp_item_t *item = &set->items[index];
        if (item->status != 0)
            continue;
        s_peek (bytes, HALF + index * BLOCK_MAX, item->size);
        CU_ASSERT (set_is_right (bytes, item->size, set->seeds[index]));
    }
    return got;
}

static void s_register (umbp_t *pool)
{
    char why[256];
    int rc = umbp_register_device (pool, "cuda", 1, s_address (0), AREA, why, sizeof why);
    if (rc != 0)
        printf ("%s: %s\n", umbp_strerror (rc), why);
    CU_ASSERT_EQUAL_FATAL (rc, 0);
}

//  ---- Tests

//  The cards refuse the dma-buf: the same call goes through staging, by RDMA
static void test_refused (void)
{
    set_t set;
    s_card = REFUSES;
    set_make (&set, "refused", 0);
    umbp_t *pool = nodes_connect (0, "rdma");
    s_register (pool);
    s_lay (&set);
    unsigned asked = s_asked;
    set_put (pool, &set, UMBP_STRATEGY_LOCAL);
    CU_ASSERT_EQUAL (s_asked, asked + 1);
    CU_ASSERT_EQUAL (s_fetch (pool, &set), BLOCKS);
    CU_ASSERT_EQUAL (s_asked, asked + 1);                    //  Once is enough
    umbp_stats_t stats = nodes_stats (pool);
    CU_ASSERT_EQUAL (stats.device_put_bytes, set.total);
    CU_ASSERT_EQUAL (stats.device_get_bytes, set.total);
    CU_ASSERT (stats.device_direct_put_bytes == 0 && stats.device_direct_get_bytes == 0);
    CU_ASSERT (stats.rdma_put_bytes == set.total && stats.rdma_get_bytes == set.total);
    CU_ASSERT_EQUAL (stats.tcp_put_bytes + stats.tcp_get_bytes, 0);
    CU_ASSERT_EQUAL (stats.retries + stats.checksum_errors, 0);
    set_remove (pool, &set);
    umbp_close (&pool);
    set_free (&set);
}

//  The mock has no dma-buf at all, and a block is larger than a bank
static void test_mock (void)
{
    size_t size = ((size_t) 9 << 20) + 5;
    unsigned char *memory = malloc (2 * size);
    assert (memory);
    umbp_t *pool = nodes_connect (0, "rdma");
    CU_ASSERT_EQUAL (umbp_register_device (pool, "mock", 0, memory, 2 * size, NULL, 0), 0);
    owner_fill (memory, size, 4711);
    CU_ASSERT_EQUAL (umbp_put (pool, "large", memory, size), 0);
    CU_ASSERT_EQUAL (umbp_get (pool, "large", memory + size, size), (long) size);
    CU_ASSERT (memcmp (memory, memory + size, size) == 0);
    umbp_range_t range = { memory + size, 100000, 5 << 20 };
    umbp_vec_t vec = { .key = { "large", 5 }, .ranges = &range, .range_count = 1 };
    CU_ASSERT_EQUAL (umbp_get_v (pool, &vec, 1, LONG_MS), 1);
    CU_ASSERT (memcmp (memory + (5 << 20), memory + size, 100000) == 0);
    umbp_stats_t stats = nodes_stats (pool);
    CU_ASSERT (stats.device_put_bytes == size && stats.device_get_bytes == size + 100000);
    CU_ASSERT (stats.rdma_put_bytes == size && stats.rdma_get_bytes == 2 * size);
    CU_ASSERT_EQUAL (stats.tcp_put_bytes + stats.tcp_get_bytes, 0);
    CU_ASSERT_EQUAL (umbp_remove (pool, "large"), 0);
    umbp_close (&pool);
    free (memory);
}

//  More pieces than a request has room for, in an order of their own
static void s_in_many_pieces (umbp_t *pool, const set_t *set)
{
    enum { PIECES = 37 };
    static unsigned char bytes[BLOCK_MAX], piece[BLOCK_MAX];
    umbp_range_t ranges[PIECES];
    size_t size = set->items[5].size, each = size / PIECES;
    for (size_t index = 0; index < PIECES; index++) {
        size_t bytes_here = index + 1 < PIECES ? each : size - index * each;
        ranges[index] = (umbp_range_t) { s_address (HALF + (PIECES - index) * (each + PIECES + 1)),
                                        bytes_here, index * each };
    }
    umbp_vec_t vec = { .key = set->items[5].key, .ranges = ranges, .range_count = PIECES };
    umbp_stats_t before = nodes_stats (pool);
    CU_ASSERT_EQUAL (umbp_get_v (pool, &vec, 1, LONG_MS), 1);
    CU_ASSERT_EQUAL (nodes_stats (pool).device_direct_get_bytes,
                     before.device_direct_get_bytes + size);
    s_peek (bytes, 5 * BLOCK_MAX, size);
    for (size_t index = 0; index < PIECES; index++) {
        s_peek (piece, (uintptr_t) ranges[index].base - s_base, ranges[index].size);
        CU_ASSERT (memcmp (piece, bytes + ranges[index].offset, ranges[index].size) == 0);
    }
    vec = (umbp_vec_t){
        .key = { "pieces", 6 }, .ranges = ranges, .range_count = PIECES, .size = size
    };
    CU_ASSERT_EQUAL (umbp_put_v (pool, &vec, 1, NULL, LONG_MS), 1);
    CU_ASSERT_EQUAL (umbp_get (pool, "pieces", piece, sizeof piece), (long) size);
    CU_ASSERT (memcmp (piece, bytes, size) == 0);
    CU_ASSERT_EQUAL (umbp_remove (pool, "pieces"), 0);
}

//  Cards that take it: READs and WRITEs go straight to the device. Its bytes are read for the sums alone.
static void test_straight (void)
{
    set_t set;
    s_card = TAKES;
    set_make (&set, "straight", 0);
    for (int plain = 0; plain < 2; plain++) {
        umbp_t *pool = nodes_connect_by (0, "rdma", "rxa", plain);
        s_register (pool);
        if (!plain)
            s_lay (&set);
        for (size_t index = 0; index < BLOCKS; index++)
            set.items[index].data = s_address (index * BLOCK_MAX);
        int flushes = s_fake ("fake_flushes");
        set_put (pool, &set, UMBP_STRATEGY_LOCAL);
        CU_ASSERT_EQUAL (s_fetch (pool, &set), BLOCKS);
        umbp_stats_t stats = nodes_stats (pool);
        CU_ASSERT_EQUAL (stats.device_direct_put_bytes, set.total);
        CU_ASSERT_EQUAL (stats.device_direct_get_bytes, set.total);
        CU_ASSERT_EQUAL (stats.device_summed_bytes, plain ? set.total : 2 * set.total);
        CU_ASSERT (stats.device_put_bytes == 0 && stats.device_get_bytes == 0);
        CU_ASSERT (stats.rdma_put_bytes == set.total && stats.rdma_get_bytes == set.total);
        CU_ASSERT_EQUAL (stats.tcp_put_bytes + stats.tcp_get_bytes, 0);
        CU_ASSERT_EQUAL (stats.retries + stats.checksum_errors, 0);
        CU_ASSERT (s_fake ("fake_flushes") > flushes);       //  In any case
        //  In pieces: here and there through staging, all there straight
        unsigned char here[5000], back[5000];
        umbp_range_t ranges[] = { { s_address (HALF), 30000, 0 }, { here, 5000, 30000 } };
        umbp_vec_t vec = { .key = set.items[3].key, .ranges = ranges, .range_count = 2 };
        CU_ASSERT_EQUAL (umbp_get_v (pool, &vec, 1, LONG_MS), 1);
        s_peek (back, 3 * BLOCK_MAX + 30000, 5000);
        CU_ASSERT (memcmp (here, back, 5000) == 0);
        s_peek (here, HALF + 25000, 5000);
        s_peek (back, 3 * BLOCK_MAX + 25000, 5000);
        CU_ASSERT (memcmp (here, back, 5000) == 0);
        s_in_many_pieces (pool, &set);
        set_remove (pool, &set);
        CU_ASSERT_EQUAL (umbp_deregister (pool, s_address (0)), 0);
        umbp_close (&pool);
    }
    set_free (&set);
}

//  A card that reads and writes other memory than the device's: nothing of that is taken for a block
static void test_wrong_bytes_are_seen (void)
{
    set_t set;
    set_make (&set, "wrong", 0);
    s_other = aligned_alloc (4096, AREA);            //  As the device's: cards want the same place in a page
    assert (s_other);
    memset (s_other, 0x55, AREA);
    s_card = TAKES;
    umbp_t *good = nodes_connect (0, "rdma");
    s_register (good);
    s_lay (&set);
    set_put (good, &set, UMBP_STRATEGY_LOCAL);
    s_card = TAKES_ANOTHER;
    umbp_t *bad = nodes_connect (0, "rdma");
    s_register (bad);
    CU_ASSERT_EQUAL (s_fetch (bad, &set), 0);
    for (size_t index = 0; index < BLOCKS; index++)
        CU_ASSERT_EQUAL (set.items[index].status, UMBP_ECHECKSUM);
    CU_ASSERT_EQUAL (s_fetch (good, &set), BLOCKS);
    set_remove (good, &set);
    for (size_t index = 0; index < BLOCKS; index++)
        set.items[index].data = s_address (index * BLOCK_MAX);
    set_put (bad, &set, UMBP_STRATEGY_LOCAL);        //  Wrong bytes under the right sums
    CU_ASSERT_EQUAL (s_fetch (good, &set), 0);
    for (size_t index = 0; index < BLOCKS; index++)
        CU_ASSERT_EQUAL (set.items[index].status, UMBP_ECHECKSUM);
    set_remove (good, &set);
    umbp_close (&good);
    umbp_close (&bad);
    free (s_other);
    set_free (&set);
    s_card = REFUSES;
}

static int s_open (void)
{
    int (*take) (uint64_t *, size_t);
    s_cuda = dlopen ("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!s_cuda || !dlsym (s_cuda, "fake_take")) {
        printf ("libcuda.so.1 is not the stand-in of test/accel: %s\n", dlerror ());
        return 1;
    }
    *(void **) &take = dlsym (s_cuda, "fake_take");
    *(uint64_t *) dlsym (s_cuda, "fake_shift") = SHIFT;
    *(_Atomic int *) dlsym (s_cuda, "fake_has_dmabuf") = 1;
    return take (&s_base, AREA) != 0 || nodes_open () != 0;
}

static const guest_test_t s_tests[] = {
    TEST (refused),
    TEST (mock),
    TEST (straight),
    TEST (wrong_bytes_are_seen),
};

int main (int argc, char **argv)
{
    if (!nodes_load (argc, argv))
        return 2;
    nodes_ttl = "20s";                  //  What takes long here need not fail
    return guest_run (argc, argv, "devices", s_tests, sizeof s_tests / sizeof *s_tests, s_open,
                      nodes_close);
}

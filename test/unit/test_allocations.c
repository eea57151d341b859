//  test/unit/test_allocations.c - the hot path makes no allocation per key: all calls of malloc and its like in this
//  process, client and node together, are counted while batches of one key and of many are put, got and asked for.
#include <malloc.h>
#include <stdatomic.h>

#include "test/unit/nodes.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTED 0
#else
#define COUNTED 1
#endif

static atomic_ulong s_count;

#if COUNTED
extern void *__libc_malloc (size_t size);
extern void *__libc_calloc (size_t count, size_t size);
extern void *__libc_realloc (void *old, size_t size);

void *malloc (size_t size)
{
    atomic_fetch_add_explicit (&s_count, 1, memory_order_relaxed);
    return __libc_malloc (size);
}

void *calloc (size_t count, size_t size)
{
    atomic_fetch_add_explicit (&s_count, 1, memory_order_relaxed);
    return __libc_calloc (count, size);
}

void *realloc (void *old, size_t size)
{
    atomic_fetch_add_explicit (&s_count, 1, memory_order_relaxed);
    return __libc_realloc (old, size);
}
#endif

#define BATCH 128
#define ROUNDS 40
#define SIZE 2000

static nodes_t s_nodes;

static int s_setup (void)
{
    return nodes_start (&s_nodes, 1, WITH_DOORS, 64u << 20) ? 0 : -1;
}

static int s_teardown (void)
{
    nodes_stop (&s_nodes);
    return 0;
}

typedef struct {
    umbp_item_t items[BATCH];
    umbp_key_t keys[BATCH];
    int8_t found[BATCH];
    char names[BATCH][32];
    uint8_t data[BATCH][SIZE];
} work_t;

typedef enum { PUT, GET, EXISTS, REMOVE, OPS } op_t;
static const char *const s_names[OPS] = { "put", "get", "exists", "remove" };

static bool s_do (umbp_t *pool, op_t op, work_t *work, size_t count, unsigned round)
{
    for (size_t index = 0; index < count; index++) {
        int size = snprintf (work->names[index], 32, "%zu-%u-%zu", count, round, index);
        work->keys[index] = (umbp_key_t) { work->names[index], (size_t) size };
        work->items[index] = (umbp_item_t) { .key = work->keys[index],
                                             .data = work->data[index], .size = SIZE };
    }
    int want = (int) count;
    switch (op) {
    case PUT: return umbp_put_batch (pool, work->items, count, NULL, 60000) == want;
    case GET: return umbp_get_batch (pool, work->items, count, 60000) == want;
    case EXISTS: return umbp_exists_batch (pool, work->keys, count, work->found, 60000) == want;
    default: return umbp_remove_batch (pool, work->keys, count, NULL, 60000) == want;
    }
}

//  Allocations of a call, the mean of many; the first ones make room that is kept
static double s_measure (umbp_t *pool, op_t op, work_t *work, size_t count)
{
    bool fine = true;
    unsigned long before = atomic_load (&s_count);
    for (unsigned round = 0; round < ROUNDS; round++)
        fine &= s_do (pool, op, work, count, round);
    CU_ASSERT_TRUE (fine);
    return (double) (atomic_load (&s_count) - before) / ROUNDS;
}

//  What more keys cost more, for each of them. A put or remove moves some entries of the index, which
//  keeps no room to spare; that is one in four, whatever the batch.
#define EACH_MAX 0.6
static void s_run (umbp_options_t how, const char *way)
{
    umbp_t *pool = nodes_connect (&s_nodes, 0, how);
    work_t *work = calloc (1, sizeof *work);
    CU_ASSERT_FATAL (pool && work);
    for (unsigned pass = 0; pass < 2; pass++)       //  The first one is for warming up
        for (op_t op = PUT; op < OPS; op++) {
            double one = s_measure (pool, op, work, 1), many = s_measure (pool, op, work, BATCH);
            double each = (many - one) / (BATCH - 1);
            if (pass == 0)
                continue;
            printf ("\n    %s, %s: %.1f a call of one key, %.1f of %d, %.3f for each more", way,
                    s_names[op], one, many, BATCH, each);
            CU_ASSERT_TRUE (each < (op == PUT || op == REMOVE ? EACH_MAX : 0.1));
        }
    free (work);
    umbp_close (&pool);
}

static void test_shared_memory (void)
{
    s_run ((umbp_options_t) { 0 }, "shared memory");
}

static void test_tcp (void)
{
    s_run ((umbp_options_t) { .endpoints = umbp_node_endpoint (s_nodes.nodes[0]), .no_shm = true },
           "tcp");
}

int main (void)
{
    alarm (240);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("allocations", s_setup, s_teardown);
    CU_ADD_TEST (suite, test_shared_memory);
    CU_ADD_TEST (suite, test_tcp);
    if (!COUNTED)
        printf ("allocations are not counted under a sanitizer\n");
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

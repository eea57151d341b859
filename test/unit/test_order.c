//  test/unit/test_order.c - the eviction order: ticks, depths, refusals, bounds, and a long random
//  run next to a sorted model. With the argument bench it measures instead.
#include "actors/tier/order.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof (array) / sizeof *(array))

//  The whole order has these items, oldest first
static void s_expect (umbp_order_t *order, const uint32_t *items, size_t count)
{
    uint32_t out[64];
    CU_ASSERT (umbp_order_count (order) == count);
    CU_ASSERT_FATAL (umbp_order_victims (order, COUNT (out), NULL, NULL, out) == count);
    CU_ASSERT (memcmp (out, items, count * sizeof *out) == 0);
}

#define LIST(...) ((const uint32_t[]){ __VA_ARGS__ })
#define EXPECT(order, ...) s_expect (order, LIST (__VA_ARGS__), COUNT (LIST (__VA_ARGS__)))

static void test_limits (void)
{
    CU_ASSERT_PTR_NULL (umbp_order_new (UMBP_ORDER_CAPACITY_MAX + 1));
    umbp_order_t *order = umbp_order_new (0);
    uint32_t out[4];
    CU_ASSERT (umbp_order_touch (order, 0, 0, 1) == UMBP_EINVAL);
    CU_ASSERT (umbp_order_remove (order, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_order_victims (order, 4, NULL, NULL, out) == 0);
    CU_ASSERT (umbp_order_resize (order, 3) == 0);
    CU_ASSERT (umbp_order_resize (order, 2) == UMBP_EINVAL);
    CU_ASSERT (umbp_order_resize (order, 3) == 0);
    CU_ASSERT (umbp_order_resize (order, UMBP_ORDER_CAPACITY_MAX + 1) == UMBP_EINVAL);
    CU_ASSERT (umbp_order_remove (order, 2) == UMBP_ENOENT);
    CU_ASSERT (umbp_order_touch (order, 3, 0, 1) == UMBP_EINVAL);
    CU_ASSERT (umbp_order_touch (order, UINT32_MAX, 0, 1) == UMBP_EINVAL);
    CU_ASSERT (umbp_order_touch (order, 2, 0, 1) == 0);
    CU_ASSERT (umbp_order_touch (order, 2, 0, 1) == 0);
    CU_ASSERT (umbp_order_count (order) == 1);
    CU_ASSERT (umbp_order_remove (order, 2) == 0);
    CU_ASSERT (umbp_order_remove (order, 2) == UMBP_ENOENT);
    CU_ASSERT (umbp_order_count (order) == 0);
    umbp_order_destroy (&order);
    CU_ASSERT_PTR_NULL (order);
    umbp_order_destroy (&order);
}

static void test_oldest_first (void)
{
    umbp_order_t *order = umbp_order_new (4);
    for (uint32_t item = 0; item < 4; item++)
        CU_ASSERT (umbp_order_touch (order, item, 9 - item, 10 + item) == 0);
    EXPECT (order, 0, 1, 2, 3);
    umbp_order_touch (order, 1, 0, 20);
    EXPECT (order, 0, 2, 3, 1);
    umbp_order_remove (order, 2);
    EXPECT (order, 0, 3, 1);
    CU_ASSERT (umbp_order_resize (order, 100) == 0);
    umbp_order_touch (order, 99, 0, 21);
    EXPECT (order, 0, 3, 1, 99);
    uint32_t out[2];
    CU_ASSERT (umbp_order_victims (order, 2, NULL, NULL, out) == 2 && out[0] == 0 && out[1] == 3);
    CU_ASSERT (umbp_order_victims (order, 0, NULL, NULL, out) == 0);
    umbp_order_destroy (&order);
}

static void test_deepest_first_in_a_tick (void)
{
    umbp_order_t *order = umbp_order_new (16);
    umbp_order_touch (order, 15, 0, 1);
    //  A chain from its root, another from its leaf, then some in between
    static const uint32_t depths[] = { 0, 1, 2, 3, 6, 4, 2, 0, 5, 3 };
    for (uint32_t item = 0; item < COUNT (depths); item++)
        umbp_order_touch (order, item, depths[item], 2);
    EXPECT (order, 15, 4, 8, 5, 3, 9, 2, 6, 1, 0, 7);
    umbp_order_touch (order, 4, 1, 2);      //  Again, and not as deep
    EXPECT (order, 15, 8, 5, 3, 9, 2, 6, 1, 4, 0, 7);
    umbp_order_touch (order, 10, 99, 3);
    EXPECT (order, 15, 8, 5, 3, 9, 2, 6, 1, 4, 0, 7, 10);
    umbp_order_destroy (&order);
}

static void test_older_tick_counts_as_newest (void)
{
    umbp_order_t *order = umbp_order_new (4);
    umbp_order_touch (order, 0, 5, 7);
    umbp_order_touch (order, 1, 4, 3);
    umbp_order_touch (order, 2, 6, 0);
    EXPECT (order, 2, 0, 1);
    umbp_order_destroy (&order);
}

//  Removing whatever the group hangs on leaves it whole
static void test_remove_inside_the_group (void)
{
    umbp_order_t *order = umbp_order_new (8);
    umbp_order_touch (order, 7, 0, 1);
    for (uint32_t item = 0; item < 3; item++)
        umbp_order_touch (order, item, item, 2);
    umbp_order_remove (order, 2);           //  First of the group and last touched
    umbp_order_touch (order, 3, 9, 2);
    EXPECT (order, 7, 3, 1, 0);
    umbp_order_remove (order, 3);
    umbp_order_remove (order, 1);
    umbp_order_remove (order, 0);
    umbp_order_touch (order, 4, 3, 2);      //  The group is empty, its tick goes on
    umbp_order_touch (order, 5, 4, 2);
    EXPECT (order, 7, 5, 4);
    umbp_order_remove (order, 7);
    EXPECT (order, 5, 4);
    umbp_order_destroy (&order);
}

//  Many chains in one batch, each from its root to its leaf: all the deepest go first
static void test_many_chains_in_a_tick (void)
{
    enum { CHAINS = 500, DEPTH = 20 };
    umbp_order_t *order = umbp_order_new (CHAINS * DEPTH);
    uint32_t *out = calloc (CHAINS * DEPTH, sizeof *out);
    for (uint32_t item = 0; item < CHAINS * DEPTH; item++)
        umbp_order_touch (order, item, item % DEPTH, 1);
    CU_ASSERT (umbp_order_victims (order, CHAINS * DEPTH, NULL, NULL, out) == CHAINS * DEPTH);
    for (uint32_t index = 0; index < CHAINS * DEPTH; index++) {
        uint32_t depth = DEPTH - 1 - index / CHAINS, chain = index % CHAINS;
        CU_ASSERT (out[index] == chain * DEPTH + depth);
    }
    free (out);
    umbp_order_destroy (&order);
}

//  With more of a depth than the search passes, ticks still stay apart and nothing is lost
static void test_past_the_search_bound (void)
{
    enum { MANY = UMBP_ORDER_SEARCH_MAX * 3 };
    umbp_order_t *order = umbp_order_new (MANY + 5);
    uint32_t out[MANY + 5];
    umbp_order_touch (order, MANY, 0, 1);
    umbp_order_touch (order, MANY + 1, 50, 2);
    for (uint32_t item = 0; item < MANY; item++)
        umbp_order_touch (order, item, 10, 2);
    umbp_order_touch (order, MANY + 2, 5, 2);
    umbp_order_touch (order, MANY + 3, 20, 2);
    umbp_order_touch (order, MANY + 4, 60, 3);
    CU_ASSERT (umbp_order_victims (order, MANY + 5, NULL, NULL, out) == MANY + 5);
    CU_ASSERT (out[0] == MANY && out[1] == MANY + 1);
    CU_ASSERT (out[MANY + 3] == MANY + 2 && out[MANY + 4] == MANY + 4);
    size_t at = 0;
    while (at < MANY + 5 && out[at] != MANY + 3)
        at++;
    CU_ASSERT (at == MANY + 2 - UMBP_ORDER_SEARCH_MAX);     //  From where 5 is, so far back
    umbp_order_destroy (&order);
}

static bool s_odd (void *arg, uint32_t item)
{
    ++*(size_t *) arg;
    return item % 2;
}

static bool s_from (void *arg, uint32_t item)
{
    return item >= *(uint32_t *) arg;
}

static void test_skips_refused (void)
{
    umbp_order_t *order = umbp_order_new (8);
    for (uint32_t item = 0; item < 8; item++)
        umbp_order_touch (order, item, 0, item);
    uint32_t out[8];
    size_t asked = 0;
    CU_ASSERT (umbp_order_victims (order, 2, s_odd, &asked, out) == 2);
    CU_ASSERT (out[0] == 1 && out[1] == 3 && asked == 4);
    CU_ASSERT (umbp_order_victims (order, 8, s_odd, &asked, out) == 4 && out[3] == 7);
    CU_ASSERT (umbp_order_count (order) == 8);
    umbp_order_destroy (&order);
}

//  However many may not go, a bounded number of calls gets at those that may
static void test_many_refused_hide_none (void)
{
    enum { CALLS = 5, STUCK = UMBP_ORDER_REFUSED_MAX * CALLS + 10 };
    umbp_order_t *order = umbp_order_new (STUCK + 1000);
    for (uint32_t item = 0; item < STUCK + 1000; item++)
        umbp_order_touch (order, item, 0, item);
    uint32_t from = STUCK, out[4];
    for (int call = 0; call < CALLS; call++)
        CU_ASSERT (umbp_order_victims (order, 4, s_from, &from, out) == 0);
    for (uint32_t call = 0; call < 20; call++) {
        CU_ASSERT (umbp_order_victims (order, 4, s_from, &from, out) == 4);
        CU_ASSERT (out[0] == STUCK + 4 * call && out[3] == out[0] + 3);
        for (size_t index = 0; index < 4; index++)
            CU_ASSERT (umbp_order_remove (order, out[index]) == 0);
    }
    //  Those behind us may go at last: within 64 calls they are found
    from = 0;
    int calls = 0;
    do {
        CU_ASSERT_FATAL (umbp_order_victims (order, 1, s_from, &from, out) == 1);
    } while (out[0] != 0 && ++calls < 100);
    CU_ASSERT (out[0] == 0 && calls < 64);
    umbp_order_destroy (&order);
}

//  The item that a search would go on from may leave, or be touched, like any other
static void test_resume_item_leaves (void)
{
    enum { STUCK = UMBP_ORDER_REFUSED_MAX };
    umbp_order_t *order = umbp_order_new (STUCK + 3);
    for (uint32_t item = 0; item < STUCK + 3; item++)
        umbp_order_touch (order, item, 0, item);
    uint32_t from = STUCK, out[4];
    CU_ASSERT (umbp_order_victims (order, 4, s_from, &from, out) == 0);
    CU_ASSERT (umbp_order_remove (order, STUCK) == 0);
    CU_ASSERT (umbp_order_touch (order, STUCK + 1, 0, STUCK + 9) == 0);
    CU_ASSERT (umbp_order_victims (order, 4, s_from, &from, out) == 2);
    CU_ASSERT (out[0] == STUCK + 2 && out[1] == STUCK + 1);
    //  That was the newest item, so it starts at the oldest again
    from = 0;
    CU_ASSERT (umbp_order_victims (order, 1, s_from, &from, out) == 1 && out[0] == 0);
    //  All refused, exactly as many as the bound
    CU_ASSERT (umbp_order_remove (order, STUCK + 1) == 0);
    CU_ASSERT (umbp_order_remove (order, STUCK + 2) == 0);
    from = STUCK;
    CU_ASSERT (umbp_order_victims (order, 4, s_from, &from, out) == 0);
    from = 0;
    CU_ASSERT (umbp_order_victims (order, 1, s_from, &from, out) == 1 && out[0] == 0);
    umbp_order_destroy (&order);
}

typedef struct {
    uint64_t tick, touched;
    uint32_t item, depth;
    bool there;
} entry_t;

static int s_compare (const void *left_p, const void *right_p)
{
    const entry_t *left = left_p, *right = right_p;
    if (left->there != right->there)
        return left->there ? -1 : 1;
    if (left->tick != right->tick)
        return left->tick < right->tick ? -1 : 1;
    if (left->depth != right->depth)
        return left->depth > right->depth ? -1 : 1;
    return left->touched < right->touched ? -1 : left->touched > right->touched;
}

enum { ITEMS = 300, STEPS = 200000 };

static void s_judge (umbp_order_t *order, const entry_t *model)
{
    entry_t sorted[ITEMS];
    uint32_t out[ITEMS];
    memcpy (sorted, model, sizeof sorted);
    qsort (sorted, ITEMS, sizeof *sorted, s_compare);
    size_t count = umbp_order_count (order);
    CU_ASSERT_FATAL (umbp_order_victims (order, ITEMS, NULL, NULL, out) == count);
    for (size_t index = 0; index < count; index++)
        CU_ASSERT (sorted[index].there && sorted[index].item == out[index]);
    CU_ASSERT (count == ITEMS || !sorted[count].there);
}

static void test_random_steps (void)
{
    struct timespec now;
    clock_gettime (CLOCK_REALTIME, &now);
    const char *given = getenv ("SEED");
    uint64_t seed =
        given ? strtoull (given, NULL, 0) : (uint64_t) now.tv_nsec ^ ((uint64_t) now.tv_sec << 30);
    printf (" seed=%" PRIu64 " ", seed);

    umbp_order_t *order = umbp_order_new (ITEMS);
    entry_t model[ITEMS] = { 0 };
    uint64_t tick = 0;
    int in_tick = 0;
    for (uint32_t item = 0; item < ITEMS; item++)
        model[item].item = item;
    for (int step = 0; step < STEPS; step++) {
        uint64_t random = umbp_splitmix (&seed);
        entry_t *entry = &model[random % ITEMS];
        if (random >> 60 == 0) {
            CU_ASSERT (umbp_order_remove (order, entry->item) == (entry->there ? 0 : UMBP_ENOENT));
            entry->there = false;
        } else {
            //  Groups smaller than the search bound, so that the order is exact
            if ((random >> 32) % 20 == 0 || in_tick == UMBP_ORDER_SEARCH_MAX - 1) {
                tick++;
                in_tick = 0;
            }
            in_tick++;
            uint32_t depth = random >> 40 & (random >> 50 & 1 ? 3 : 255);
            if (random >> 51 & 1)       //  Some that have an equal remainder by any power of two
                depth *= 4096;
            CU_ASSERT (umbp_order_touch (order, entry->item, depth, tick) == 0);
            *entry = (entry_t) { tick, (uint64_t) step, entry->item, depth, true };
        }
        if (step % 50 == 0)
            s_judge (order, model);
    }
    s_judge (order, model);
    umbp_order_destroy (&order);
}

static double s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

//  Random chains of so many blocks, touched from the root on, so many chains per tick; then all
//  leave
static void s_bench_chains (uint32_t depth, uint32_t chains)
{
    enum { BENCH_ITEMS = 1 << 20, TOUCHES = 4000000 };
    umbp_order_t *order = umbp_order_new (BENCH_ITEMS);
    uint64_t state = 3, tick = 0;
    double start = s_now_ns ();
    for (uint32_t done = 0; done < TOUCHES; tick++)
        for (uint32_t chain = 0; chain < chains; chain++) {
            uint32_t first = (uint32_t) (umbp_splitmix (&state) % (BENCH_ITEMS / depth)) * depth;
            for (uint32_t index = 0; index < depth; index++, done++)
                umbp_order_touch (order, first + index, index, tick);
        }
    double middle = s_now_ns ();
    size_t left = umbp_order_count (order), count, gone = 0;
    uint32_t out[64];
    while ((count = umbp_order_victims (order, COUNT (out), NULL, NULL, out)) > 0)
        for (size_t index = 0; index < count; index++, gone++)
            umbp_order_remove (order, out[index]);
    double end = s_now_ns ();
    CU_ASSERT (gone == left);
    printf ("order depth=%u chains=%u touch_ns=%.1f victim_ns=%.1f\n", depth, chains,
            (middle - start) / TOUCHES, (end - middle) / (double) gone);
    umbp_order_destroy (&order);
}

static void s_bench (void)
{
    printf ("\n");
    s_bench_chains (1, 1);
    s_bench_chains (32, 1);
    s_bench_chains (32, 32);
    s_bench_chains (32, 256);
}

int main (int argc, char **argv)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("order", NULL, NULL);
    if (argc > 1 && strcmp (argv[1], "bench") == 0) {
        CU_ADD_TEST (suite, s_bench);
        CU_basic_run_tests ();
        return CU_get_number_of_failures () > 0;
    }
    CU_ADD_TEST (suite, test_limits);
    CU_ADD_TEST (suite, test_oldest_first);
    CU_ADD_TEST (suite, test_deepest_first_in_a_tick);
    CU_ADD_TEST (suite, test_older_tick_counts_as_newest);
    CU_ADD_TEST (suite, test_remove_inside_the_group);
    CU_ADD_TEST (suite, test_many_chains_in_a_tick);
    CU_ADD_TEST (suite, test_past_the_search_bound);
    CU_ADD_TEST (suite, test_skips_refused);
    CU_ADD_TEST (suite, test_many_refused_hide_none);
    CU_ADD_TEST (suite, test_resume_item_leaves);
    CU_ADD_TEST (suite, test_random_steps);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

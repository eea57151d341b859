//  test/unit/test_async.c - batches in the background: outcomes as those of the calls, all of them once, deadlines that
//  count from the submit, bounds, a descriptor that says when, and an end with batches under way.
#include <inttypes.h>
#include <poll.h>
#include <sys/wait.h>

#include "test/unit/nodes.h"

#define BLOCK 100000
#define BATCH 4
#define BATCHES 200

static nodes_t s_nodes;

static int s_setup (void)
{
    return nodes_start (&s_nodes, 2, WITH_DOORS, 256u << 20) ? 0 : -1;
}

static int s_teardown (void)
{
    nodes_stop (&s_nodes);
    return 0;
}

typedef struct {
    umbp_item_t items[BATCH];
    char keys[BATCH][32];
    uint8_t data[BATCH][BLOCK];
    uint64_t id;
} work_t;

static void s_prepare (work_t *work, uint64_t number, bool fill)
{
    for (size_t index = 0; index < BATCH; index++) {
        int size = snprintf (work->keys[index], sizeof work->keys[index], "async-%" PRIu64,
                             number * BATCH + index);
        work->items[index] = (umbp_item_t) { .key = { work->keys[index], (size_t) size },
                                             .data = work->data[index], .size = BLOCK };
        memset (work->data[index], 0, BLOCK);
        if (fill)
            nodes_fill (work->data[index], BLOCK, number * BATCH + index);
    }
}

//  Wait for so many, each of which was submitted and has that result
static void s_drain (umbp_t *pool, size_t count, int result)
{
    umbp_done_t done[16];
    int64_t deadline_ms = umbp_clock_ms () + 60000;
    while (count > 0 && umbp_clock_ms () < deadline_ms) {
        int got = umbp_drain (pool, done, 16, 1000);
        CU_ASSERT_FATAL (got >= 0 && (size_t) got <= count);
        count -= (size_t) got;
        for (int index = 0; index < got; index++) {
            work_t *work = done[index].user;
            CU_ASSERT_EQUAL (done[index].result, result);
            CU_ASSERT_EQUAL (done[index].id, work->id);
            work->id = 0;               //  Twice would differ
        }
    }
    CU_ASSERT_EQUAL (count, 0);
}

static void test_many_batches_at_once (void)
{
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .lanes = 4 });
    umbp_t *other = nodes_connect (&s_nodes, 1, (umbp_options_t) { .no_shm = true });
    CU_ASSERT_FATAL (pool && other);
    work_t *works = calloc (BATCHES, sizeof *works);
    for (size_t index = 0; index < BATCHES; index++) {
        s_prepare (&works[index], index, true);
        CU_ASSERT_EQUAL (umbp_submit_put (pool, works[index].items, BATCH, NULL, 60000,
                                          &works[index], &works[index].id),
                         0);
    }
    s_drain (pool, BATCHES, BATCH);
    for (size_t index = 0; index < BATCHES; index++) {
        s_prepare (&works[index], index, false);
        CU_ASSERT_EQUAL (umbp_submit_get (other, works[index].items, BATCH, 60000, &works[index],
                                          &works[index].id),
                         0);
    }
    s_drain (other, BATCHES, BATCH);
    size_t wrong = 0;
    for (size_t index = 0; index < BATCHES * BATCH; index++)
        wrong += !nodes_is_filled (works[index / BATCH].data[index % BATCH], BLOCK, index);
    CU_ASSERT_EQUAL (wrong, 0);
    umbp_clear (pool, true, 0);
    umbp_close (&other);
    umbp_close (&pool);
    free (works);
}

static void test_ranges_and_misses (void)
{
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    uint8_t data[300], back[300];
    nodes_fill (data, sizeof data, 1);
    umbp_range_t out[] = { { data, 100, 0 }, { data + 100, 200, 100 } };
    umbp_range_t in[] = { { back + 200, 100, 200 }, { back, 200, 0 } };
    umbp_vec_t put = { .key = { "vec", 3 }, .ranges = out, .range_count = 2, .size = 300 };
    umbp_vec_t get[] = { { .key = { "vec", 3 }, .ranges = in, .range_count = 2 },
                         { .key = { "none", 4 }, .ranges = in, .range_count = 0 } };
    work_t work;
    CU_ASSERT_EQUAL (umbp_submit_put_v (pool, &put, 1, NULL, 0, &work, &work.id), 0);
    s_drain (pool, 1, 1);
    CU_ASSERT_EQUAL (umbp_submit_get_v (pool, get, 2, 0, &work, &work.id), 0);
    s_drain (pool, 1, 1);
    CU_ASSERT_EQUAL (get[0].status, 0);
    CU_ASSERT_EQUAL (get[1].status, UMBP_ENOENT);
    CU_ASSERT_EQUAL (memcmp (data, back, sizeof data), 0);
    CU_ASSERT_EQUAL (umbp_submit_get (pool, NULL, 1, 0, NULL, NULL), UMBP_EINVAL);
    umbp_close (&pool);
}

static bool s_is_readable (int fd, int timeout_ms)
{
    struct pollfd item = { .fd = fd, .events = POLLIN };
    return poll (&item, 1, timeout_ms) == 1;
}

static void test_the_descriptor_says_when (void)
{
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    int fd = umbp_done_fd (pool);
    CU_ASSERT_TRUE (fd >= 0 && !s_is_readable (fd, 0));
    work_t *works = calloc (2, sizeof *works);
    umbp_done_t done[2];
    for (size_t index = 0; index < 2; index++) {
        s_prepare (&works[index], 7000 + index, false);
        CU_ASSERT_EQUAL (
            umbp_submit_get (pool, works[index].items, BATCH, 0, &works[index], &works[index].id),
            0);
        CU_ASSERT_TRUE (s_is_readable (fd, 60000));
    }
    CU_ASSERT_TRUE (s_is_readable (fd, 0));
    int got = umbp_drain (pool, done, 1, 60000);
    CU_ASSERT_EQUAL (got, 1);
    for (int64_t until = umbp_clock_ms () + 60000; got < 2 && umbp_clock_ms () < until;)
        got += umbp_drain (pool, done, 2, 100);
    CU_ASSERT_EQUAL (got, 2);
    CU_ASSERT_FALSE (s_is_readable (fd, 0));
    CU_ASSERT_EQUAL (umbp_drain (pool, done, 2, 0), 0);
    CU_ASSERT_EQUAL (umbp_drain (pool, done, 2, 60000), 0);     //  Nothing is under way
    free (works);
    umbp_close (&pool);
}

//  With nobody to answer, in time and not later; then no more than there is room for
static void test_deadlines_and_bounds (void)
{
    umbp_options_t how = { .endpoints = umbp_node_endpoint (s_nodes.nodes[1]),
                           .no_shm = true, .lanes = 1 };
    umbp_t *pool = umbp_connect (&how, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    umbp_node_destroy (&s_nodes.nodes[1]);
    work_t *work = calloc (1, sizeof *work);
    s_prepare (work, 1, true);
    int rc = 0;
    size_t submitted = 0;
    while (submitted < 5000 && rc == 0) {
        rc = umbp_submit_get (pool, work->items, BATCH, 100, work, NULL);
        submitted += rc == 0;
    }
    CU_ASSERT_EQUAL (rc, UMBP_EAGAIN);
    CU_ASSERT_EQUAL (submitted, 1024);
    umbp_done_t done[64];
    size_t drained = 0, failed = 0;
    for (int64_t until = umbp_clock_ms () + 60000;
         drained < submitted && umbp_clock_ms () < until;) {
        int got = umbp_drain (pool, done, 64, 1000);
        for (int index = 0; index < got; index++)
            failed += done[index].result < 0;
        drained += (size_t) got;
    }
    CU_ASSERT_EQUAL (drained, submitted);
    CU_ASSERT_EQUAL (failed, submitted);
    CU_ASSERT_TRUE (work->items[0].status < 0);
    CU_ASSERT_EQUAL (umbp_submit_get (pool, work->items, BATCH, 100, work, NULL), 0);
    umbp_close (&pool);                 //  With one under way
    free (work);
    s_nodes.nodes[1] = nodes_again (&s_nodes.options[1]);
    CU_ASSERT_PTR_NOT_NULL (s_nodes.nodes[1]);
}

static void test_a_child_may_not (void)
{
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    work_t work = { .id = 0 };
    umbp_done_t done;
    umbp_item_t item = { .key = { "x", 1 }, .data = work.data[0], .size = BLOCK };
    CU_ASSERT_EQUAL (umbp_submit_get (pool, &item, 1, 0, &work, &work.id), 0);
    s_drain (pool, 1, 0);
    pid_t pid = fork ();
    if (pid == 0) {
        bool fine = umbp_submit_get (pool, &item, 1, 0, NULL, NULL) == UMBP_EFORKED
                    && umbp_drain (pool, &done, 1, 0) == UMBP_EFORKED
                    && umbp_done_fd (pool) == UMBP_EFORKED;
        umbp_close (&pool);
        _exit (fine && !pool ? 0 : 1);
    }
    int status = -1;
    CU_ASSERT_EQUAL (waitpid (pid, &status, 0), pid);
    CU_ASSERT_TRUE (WIFEXITED (status) && WEXITSTATUS (status) == 0);
    umbp_close (&pool);
}

int main (void)
{
    alarm (240);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("async", s_setup, s_teardown);
    CU_ADD_TEST (suite, test_many_batches_at_once);
    CU_ADD_TEST (suite, test_ranges_and_misses);
    CU_ADD_TEST (suite, test_the_descriptor_says_when);
    CU_ADD_TEST (suite, test_a_child_may_not);
    CU_ADD_TEST (suite, test_deadlines_and_bounds);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

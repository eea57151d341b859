//  test/unit/test_bench_worker.c - what a client process of the replay makes of the answers of a
//  pool, which is made up here: this program has the client library's calls instead of the library
#include "bin/bench_worker.h"

#include <CUnit/Basic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCKS 6
#define BYTES 512

struct umbp {
    uint32_t timeout_ms;                //  As it was connected
    uint32_t slow_ms;                   //  A put with a deadline before that is not done by then
    int status;                         //  Of the others
    umbp_put_options_t how;             //  Of the last put
    size_t puts;
};

static umbp_t s_pool;

umbp_t *umbp_connect (const umbp_options_t *options, int *err)
{
    s_pool.timeout_ms = options ? options->timeout_ms : 0;
    if (err)
        *err = 0;
    return &s_pool;
}

void umbp_close (umbp_t **self_p)
{
    *self_p = NULL;
}

void umbp_stats (umbp_t *self, umbp_stats_t *out)
{
    *out = (umbp_stats_t) { .puts = self->puts };
}

//  The first block is there, and is not when it is got
int umbp_exists_prefix (umbp_t *self, const umbp_key_t *keys, size_t count, uint32_t timeout_ms)
{
    (void) self, (void) keys, (void) count, (void) timeout_ms;
    return 1;
}

int umbp_get_batch (umbp_t *self, umbp_item_t *items, size_t count, uint32_t timeout_ms)
{
    (void) self, (void) timeout_ms;
    for (size_t index = 0; index < count; index++)
        items[index].status = UMBP_ENOENT;
    return 0;
}

int umbp_put_batch (umbp_t *self, umbp_item_t *items, size_t count,
                    const umbp_put_options_t *options, uint32_t timeout_ms)
{
    bool in_time = (timeout_ms ? timeout_ms : self->timeout_ms) >= self->slow_ms;
    for (size_t index = 0; index < count; index++)
        items[index].status = in_time ? self->status : UMBP_ETIMEDOUT;
    self->how = options ? *options : (umbp_put_options_t) { .full_ms = 0 };
    self->puts += count;
    return in_time && self->status == 0 ? (int) count : 0;
}

//  One request through a worker, and what it says of it
static umbp_bench_done_t s_replay (uint32_t slow_ms, int status, bool wait_full)
{
    static umbp_bench_sample_t samples[UMBP_BENCH_SAMPLES_MAX];
    static const uint64_t ids[BLOCKS] = { 1, 2, 3, 4, 5, 6 };
    static char keys[BLOCKS][UMBP_WORKLOAD_KEY_SIZE];
    umbp_bench_options_t options;
    umbp_bench_task_t task = { BLOCKS };
    umbp_bench_done_t done = { .blocks = 0 };
    int fds[2];
    s_pool = (umbp_t) { .slow_ms = slow_ms, .status = status };
    CU_ASSERT_FATAL (umbp_bench_options_init (&options, "replay") == 0);
    options.block_bytes = BYTES;
    options.wait_full = wait_full;
    CU_ASSERT_FATAL (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    CU_ASSERT (umbp_bench_write_all (fds[0], &task, sizeof task));
    CU_ASSERT (umbp_bench_write_all (fds[0], ids, sizeof ids));
    CU_ASSERT (umbp_bench_write_all (fds[0], keys, sizeof keys));
    CU_ASSERT (shutdown (fds[0], SHUT_WR) == 0);
    CU_ASSERT (umbp_bench_worker (&options, 0, fds[1]) == 0);
    CU_ASSERT (umbp_bench_read_all (fds[0], &done, sizeof done));
    CU_ASSERT_FATAL (done.samples <= UMBP_BENCH_SAMPLES_MAX);
    CU_ASSERT (umbp_bench_read_all (fds[0], samples, done.samples * sizeof *samples));
    CU_ASSERT (done.blocks == BLOCKS && done.said == 1 && done.lost == 1 && done.prefix == 0);
    CU_ASSERT (done.wrong == 0 && s_pool.puts == BLOCKS && done.stats.puts == BLOCKS);
    close (fds[0]);
    close (fds[1]);
    return done;
}

//  Errors other than one
static uint64_t s_other_errors (const umbp_bench_done_t *done, int status)
{
    uint64_t sum = 0;
    for (size_t place = 0; place < UMBP_BENCH_ERRORS; place++)
        sum += place == (size_t) -status ? 0 : done->errors[place];
    return sum;
}

//  A pool that is slow, and not full, has until the deadline of a call
static void test_slow (void)
{
    umbp_bench_done_t done = s_replay (9000, 0, false);
    CU_ASSERT (done.stored == BLOCKS && done.full == 0);
    CU_ASSERT (s_other_errors (&done, 0) == 0 && done.errors[0] == 0);
}

//  Past it, it has failed
static void test_too_slow (void)
{
    umbp_bench_done_t done = s_replay (11000, 0, false);
    CU_ASSERT (done.stored == 0 && done.full == 0);
    CU_ASSERT (done.errors[-UMBP_ETIMEDOUT] == BLOCKS);
    CU_ASSERT (s_other_errors (&done, UMBP_ETIMEDOUT) == 0);
}

//  Room is not waited for as long as that, unless it shall be; want of it is no error
static void test_full (void)
{
    umbp_bench_done_t done = s_replay (0, UMBP_EAGAIN, false);
    CU_ASSERT (done.stored == 0 && done.full == BLOCKS && s_other_errors (&done, 1) == 0);
    CU_ASSERT (s_pool.how.full_ms > 0 && s_pool.how.full_ms <= 1000);
    done = s_replay (0, UMBP_EAGAIN, true);
    CU_ASSERT (done.full == BLOCKS && s_pool.how.full_ms == 0);
}

static void test_other_outcomes (void)
{
    umbp_bench_done_t done = s_replay (0, UMBP_EEXIST, false);
    CU_ASSERT (done.already == BLOCKS && done.stored == 0 && s_other_errors (&done, 1) == 0);
    done = s_replay (0, UMBP_EUNREACH, false);
    CU_ASSERT (done.errors[-UMBP_EUNREACH] == BLOCKS && s_other_errors (&done, UMBP_EUNREACH) == 0);
    done = s_replay (0, -1000, false);
    CU_ASSERT (done.errors[0] == BLOCKS);
}

int main (void)
{
    alarm (30);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bench worker", NULL, NULL);
    CU_ADD_TEST (suite, test_slow);
    CU_ADD_TEST (suite, test_too_slow);
    CU_ADD_TEST (suite, test_full);
    CU_ADD_TEST (suite, test_other_outcomes);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

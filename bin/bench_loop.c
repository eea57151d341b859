//  bin/bench_loop.c - closed loops of put, get and exists, see bench_loop.h
//
//  Only calls are timed: filling blocks before a put and comparing them after a get is not. Blocks
//  are numbered; a number and the run's seed give its key and its bytes.
#include "bin/bench_loop.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bin/workload.h"
#include "proto/splitmix.h"

#define PAGE_BYTES ((size_t) 4096)      //  Where buffers begin, as those of engines do

typedef struct {
    const umbp_bench_options_t *options;
    umbp_t *pools[UMBP_BENCH_THREADS_MAX];          //  Of each thread; the first ones are ours
    uint64_t until_ns;
    uint64_t next;                      //  Number of the next block to put, of all threads
    uint64_t taken;                     //  Blocks asked for so far, of all threads
} run_t;

typedef int (step_fn) (void *thread, size_t count);

typedef struct {
    run_t *run;
    umbp_t *pool;
    step_fn *step;                      //  One call, or two. Returns 0, or what ends the thread
    umbp_bench_tally_t tally;
    uint64_t random;
    uint8_t *room;                      //  Of a batch of blocks
    umbp_item_t items[UMBP_BENCH_BATCH_MAX];
    umbp_key_t keys[UMBP_BENCH_BATCH_MAX];
    int8_t found[UMBP_BENCH_BATCH_MAX];
    uint64_t numbers[UMBP_BENCH_BATCH_MAX];
    char names[UMBP_BENCH_BATCH_MAX][UMBP_BENCH_KEY_SIZE];
    uint64_t seeds[UMBP_BENCH_BATCH_MAX];
    int end;                            //  0, or the error that ended it
} worker_t;

uint64_t umbp_bench_key (uint64_t seed, uint64_t number, char key[UMBP_BENCH_KEY_SIZE])
{
    uint64_t state = seed * 0xd1342543de82ef95u + number, first = 0;
    for (size_t word = 0; word < 4; word++) {
        uint64_t value = umbp_splitmix (&state);
        first = word ? first : value;
        for (size_t digit = 0; digit < 16; digit++)
            *key++ = "0123456789abcdef"[value >> 4 * digit & 15];
    }
    *key = 0;
    return first;
}

//  ------------------------------------------------------------------------------------------------
//  Batches

//  Name the blocks of a batch, whose numbers are there already
static void s_name (worker_t *self, size_t count)
{
    const umbp_bench_options_t *options = self->run->options;
    for (size_t index = 0; index < count; index++) {
        self->seeds[index] =
            umbp_bench_key (options->seed, self->numbers[index], self->names[index]);
        self->keys[index] = (umbp_key_t) { self->names[index], UMBP_BENCH_KEY_SIZE - 1 };
        self->items[index] = (umbp_item_t) { .key = self->keys[index],
                                             .data = self->room + index * options->block_bytes,
                                             .size = options->block_bytes };
    }
}

static void s_draw (worker_t *self, size_t count)
{
    for (size_t index = 0; index < count; index++)
        self->numbers[index] = umbp_splitmix (&self->random) % self->run->options->keys;
    s_name (self, count);
}

static void s_count_call (worker_t *self, umbp_bench_op_t op, uint64_t start_ns, size_t count)
{
    umbp_histogram_add (self->tally.calls[op], umbp_bench_now_ns () - start_ns);
    self->tally.items[op] += count;
}

//  Put the first blocks of the batch. Returns 0, or an error of all of them.
static int s_put (worker_t *self, size_t count)
{
    const umbp_bench_options_t *options = self->run->options;
    umbp_put_options_t how = { .strategy = umbp_bench_options_strategy (options) };
    for (size_t index = 0; index < count; index++)
        umbp_workload_fill (self->seeds[index], self->items[index].data, options->block_bytes);
    uint64_t start_ns = umbp_bench_now_ns ();
    int rc = umbp_put_batch (self->pool, self->items, count, &how, 0);
    s_count_call (self, UMBP_BENCH_PUT, start_ns, count);
    for (size_t index = 0; index < count; index++) {
        int status = self->items[index].status;
        if (status == 0)
            self->tally.bytes[UMBP_BENCH_PUT] += options->block_bytes;
        else if (status == UMBP_EEXIST)
            self->tally.already++;
        else
            umbp_bench_tally_error (&self->tally, status);
    }
    return rc < 0 ? rc : 0;
}

static void s_check (worker_t *self, size_t index)
{
    const umbp_item_t *item = &self->items[index];
    uint64_t bytes = self->run->options->block_bytes;
    self->tally.hits++;
    self->tally.bytes[UMBP_BENCH_GET] += item->size;
    if (item->size != bytes || !umbp_workload_verify (self->seeds[index], item->data, bytes))
        umbp_bench_tally_wrong (&self->tally, self->names[index]);
}

//  Get the batch and compare every byte. What is not there comes to the front of the batch; returns
//  how much that is, or an error of all.
static int s_get (worker_t *self, size_t count)
{
    uint64_t start_ns = umbp_bench_now_ns ();
    int rc = umbp_get_batch (self->pool, self->items, count, 0);
    s_count_call (self, UMBP_BENCH_GET, start_ns, count);
    size_t missing = 0;
    for (size_t index = 0; index < count; index++) {
        int status = self->items[index].status;
        if (status == 0)
            s_check (self, index);
        else if (status == UMBP_ENOENT)
            self->numbers[missing++] = self->numbers[index];
        else
            umbp_bench_tally_error (&self->tally, status);
    }
    self->tally.misses += missing;
    return rc < 0 && rc != UMBP_ENOENT ? rc : (int) missing;
}

static int s_exists (worker_t *self, size_t count)
{
    uint64_t start_ns = umbp_bench_now_ns ();
    int rc = umbp_exists_batch (self->pool, self->keys, count, self->found, 0);
    s_count_call (self, UMBP_BENCH_EXISTS, start_ns, count);
    for (size_t index = 0; index < count; index++) {
        self->tally.hits += self->found[index] == 1;
        self->tally.misses += self->found[index] == 0;
        if (self->found[index] < 0)
            umbp_bench_tally_error (&self->tally, self->found[index]);
    }
    return rc < 0 ? rc : 0;
}

//  ------------------------------------------------------------------------------------------------
//  Steps: one round of each command

//  So many of the next blocks of the run; fewer at its end
static size_t s_take_next (worker_t *self, size_t count)
{
    uint64_t keys = self->run->options->keys;
    uint64_t first = __atomic_fetch_add (&self->run->next, count, __ATOMIC_RELAXED);
    if (first >= keys)
        return 0;
    count = keys - first < count ? keys - first : count;
    for (size_t index = 0; index < count; index++)
        self->numbers[index] = first + index;
    s_name (self, count);
    return count;
}

static int s_step_put (void *thread, size_t count)
{
    worker_t *self = thread;
    count = s_take_next (self, count);
    return count ? s_put (self, count) : UMBP_ENOENT;
}

static int s_step_get (void *thread, size_t count)
{
    worker_t *self = thread;
    s_draw (self, count);
    int rc = s_get (self, count);
    return rc < 0 ? rc : 0;
}

static int s_step_exists (void *thread, size_t count)
{
    worker_t *self = thread;
    s_draw (self, count);
    return s_exists (self, count);
}

static int s_step_mixed (void *thread, size_t count)
{
    worker_t *self = thread;
    s_draw (self, count);
    if (umbp_splitmix (&self->random) % 100 >= self->run->options->gets_percent)
        return s_exists (self, count);
    int missing = s_get (self, count);
    if (missing <= 0)
        return missing;
    s_name (self, (size_t) missing);
    return s_put (self, (size_t) missing);
}

//  Before get and exists: put what is missing, and count nothing but errors
static int s_step_load (void *thread, size_t count)
{
    worker_t *self = thread;
    count = s_take_next (self, count);
    if (count == 0)
        return UMBP_ENOENT;
    int rc = s_exists (self, count);
    size_t missing = 0;
    for (size_t index = 0; index < count; index++)
        if (self->found[index] != 1)
            self->numbers[missing++] = self->numbers[index];
    s_name (self, missing);
    return rc == 0 && missing ? s_put (self, missing) : rc;
}

//  ------------------------------------------------------------------------------------------------
//  Threads

//  How many blocks may be asked for now; 0 ends the thread
static size_t s_allowed (worker_t *self)
{
    const umbp_bench_options_t *options = self->run->options;
    size_t count = options->batch;
    if (self->run->until_ns && umbp_bench_now_ns () >= self->run->until_ns)
        return 0;
    if (!options->count || !self->run->until_ns)
        return count;
    uint64_t taken = __atomic_fetch_add (&self->run->taken, count, __ATOMIC_RELAXED);
    if (taken >= options->count)
        return 0;
    return options->count - taken < count ? options->count - taken : count;
}

//  An error of a whole call ends the thread: the next would fail the same way
static void *s_thread (void *arg)
{
    worker_t *self = arg;
    size_t count;
    while ((count = s_allowed (self)) > 0 && self->end == 0)
        self->end = self->step (self, count);
    if (self->end == UMBP_ENOENT)
        self->end = 0;                  //  Nothing left to do
    return NULL;
}

static worker_t *s_new_worker (run_t *run, size_t number, step_fn *step)
{
    const umbp_bench_options_t *options = run->options;
    worker_t *self = calloc (1, sizeof *self);
    assert (self);
    self->run = run;
    self->pool = run->pools[number];
    self->step = step;
    self->random = options->seed + number * 0x9e3779b97f4a7c15u;
    size_t bytes = options->batch * options->block_bytes;
    self->room = aligned_alloc (PAGE_BYTES, (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
    assert (self->room);
    memset (self->room, 0, bytes);      //  Faulted in ahead of time
    umbp_bench_tally_init (&self->tally);
    return self;
}

//  All threads until they end. Returns 0, or an error that ended one of them.
static int s_run (run_t *run, step_fn *step, umbp_bench_tally_t *tally)
{
    size_t count = run->options->threads;
    worker_t *workers[UMBP_BENCH_THREADS_MAX] = { NULL };
    assert (count > 0);                 //  The options say so
    pthread_t threads[UMBP_BENCH_THREADS_MAX];
    for (size_t index = 0; index < count; index++)
        workers[index] = s_new_worker (run, index, step);
    for (size_t index = 1; index < count; index++) {
        int rc = pthread_create (&threads[index], NULL, s_thread, workers[index]);
        assert (rc == 0);
    }
    s_thread (workers[0]);
    int end = 0;
    for (size_t index = 0; index < count; index++) {
        if (index > 0)
            pthread_join (threads[index], NULL);
        end = workers[index]->end ? workers[index]->end : end;
        umbp_bench_tally_merge (tally, &workers[index]->tally);
        umbp_bench_tally_done (&workers[index]->tally);
        free (workers[index]->room);
        free (workers[index]);
    }
    return end;
}

//  ------------------------------------------------------------------------------------------------
//  The commands

static const struct {
    const char *name;
    step_fn *step;
    bool loads;
} s_commands[] = {
    { "put", s_step_put, false },
    { "get", s_step_get, true },
    { "exists", s_step_exists, true },
    { "mixed", s_step_mixed, false },
};

//  One client for each endpoint that is used. Returns how many, or 0 if one cannot connect.
static size_t s_connect (run_t *run)
{
    const umbp_bench_options_t *options = run->options;
    size_t endpoints = 1;
    for (const char *at = options->endpoints; *at; at++)
        endpoints += *at == ',';
    size_t pools = endpoints < options->threads ? endpoints : options->threads;
    for (size_t index = 0; index < options->threads; index++) {
        char endpoint[UMBP_BENCH_TEXT];
        int err = 0;
        umbp_bench_options_endpoint (options, index, endpoint, sizeof endpoint);
        umbp_options_t how = { .endpoints = *endpoint ? endpoint : NULL,
                               .timeout_ms = (uint32_t) options->timeout_ms,
                               .lanes = (unsigned) options->threads, .no_shm = options->no_shm };
        umbp_bench_options_secure (options, &how);
        umbp_bench_options_copies (options, &how);
        run->pools[index] = index < pools ? umbp_connect (&how, &err) : run->pools[index % pools];
        if (!run->pools[index]) {
            fprintf (stderr, "umbp-bench: %s: %s (%s)\n",
                     *endpoint ? endpoint : "no endpoint given", umbp_strerror (err),
                     umbp_errname (err));
            return 0;
        }
    }
    return pools;
}

static void s_add_stats (umbp_stats_t *to, umbp_t *pool)
{
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    to->shm_put_bytes += stats.shm_put_bytes;
    to->shm_get_bytes += stats.shm_get_bytes;
    to->tcp_put_bytes += stats.tcp_put_bytes;
    to->tcp_get_bytes += stats.tcp_get_bytes;
    to->rdma_put_bytes += stats.rdma_put_bytes;
    to->rdma_get_bytes += stats.rdma_get_bytes;
    to->inline_put_bytes += stats.inline_put_bytes;
    to->inline_get_bytes += stats.inline_get_bytes;
}

static void s_show (const run_t *run, const char *command, size_t pools,
                    const umbp_bench_tally_t *tally, double seconds)
{
    const umbp_bench_options_t *options = run->options;
    umbp_stats_t stats = { 0 };
    for (size_t index = 0; index < pools; index++)
        s_add_stats (&stats, run->pools[index]);
    if (options->json) {
        json_t *doc = umbp_bench_tally_json (tally, seconds);
        json_object_set_new (doc, "command", json_string (command));
        json_object_set_new (doc, "paths", umbp_bench_paths_json (&stats));
        json_dumpf (doc, stdout, JSON_INDENT (2));
        putchar ('\n');
        json_decref (doc);
        return;
    }
    printf ("%s: %.2f s, %" PRIu64 " thread(s), batches of %" PRIu64 "\n", command, seconds,
            options->threads, options->batch);
    umbp_bench_tally_print (tally, seconds, stdout);
    umbp_bench_paths_print (&stats, stdout);
}

//  Exit status, having said why it is not 0
static int s_verdict (const umbp_bench_tally_t *tally, int rc)
{
    if (tally->wrong)
        fprintf (stderr, "umbp-bench: WRONG BYTES in %" PRIu64 " block(s), the first is %s\n",
                 tally->wrong, tally->wrong_key);
    if (rc < 0)
        fprintf (stderr, "umbp-bench: stopped early: %s (%s)\n", umbp_strerror (rc),
                 umbp_errname (rc));
    return tally->wrong || rc < 0 ? 1 : 0;
}

static int s_measure (run_t *run, size_t command, size_t pools)
{
    umbp_bench_tally_t loading, tally;
    umbp_bench_tally_init (&loading);
    umbp_bench_tally_init (&tally);
    int rc = s_commands[command].loads ? s_run (run, s_step_load, &loading) : 0;
    uint64_t start_ns = umbp_bench_now_ns ();
    run->until_ns = start_ns + run->options->seconds_ms * 1000000;
    if (rc == 0)
        rc = s_run (run, s_commands[command].step, &tally);
    double seconds = (double) (umbp_bench_now_ns () - start_ns) / 1e9;
    for (size_t place = 0; place < UMBP_BENCH_ERRORS; place++)
        tally.errors[place] += loading.errors[place];
    s_show (run, s_commands[command].name, pools, &tally, seconds);
    int status = s_verdict (&tally, rc);
    umbp_bench_tally_done (&loading);
    umbp_bench_tally_done (&tally);
    return status;
}

int umbp_bench_loop (const char *command, const umbp_bench_options_t *options)
{
    size_t number = 0;
    while (strcmp (s_commands[number].name, command) != 0)
        number++;
    run_t run = { .options = options };
    size_t pools = s_connect (&run);
    int status = pools ? s_measure (&run, number, pools) : 1;
    for (size_t index = 0; index < pools; index++)
        umbp_close (&run.pools[index]);
    return status;
}

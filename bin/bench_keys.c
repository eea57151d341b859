//  bin/bench_keys.c - rows of the suite about many small blocks: how fast one asks which are there,
//  what the index of one costs in memory, how fast small ones come. Compared with redis on a UNIX
//  socket.
//
//  Three nodes, processes of their own, with a million blocks of 64 bytes spread over them; keys of
//  64 hex digits. Redis has the same keys, with a value that takes no memory. Both are asked for
//  the same keys, drawn at random, all of which are there. One client, which waits for each answer.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/bench_blank.h"
#include "bin/bench_loop.h"
#include "bin/bench_nodes.h"
#include "bin/bench_progress.h"
#include "bin/bench_redis.h"
#include "bin/bench_suite.h"
#include "bin/bench_tally.h"
#include "bin/workload.h"
#include "client/umbp.h"
#include "proto/splitmix.h"

#define NODES 3
#define BATCH UMBP_BENCH_REDIS_BATCH
#define DRAWN 512                       //  Batches that are drawn ahead, and asked for in turn
#define CALLS 1024                      //  In a measurement
#define ONE_CALLS 2000                  //  Of one key
#define TINY 64                         //  Bytes of a block
#define TOUCHED_MAX 2000000             //  More blocks than these are not written: each takes a page
#define SMALL 4096
#define SMALL_BLOCKS 8192
#define SMALL_CALLS 64
#define LOAD_BATCH 512
#define RUN_TINY 1                      //  Which keys: tiny blocks, small ones here, and spread
#define RUN_HERE 2
#define RUN_SPREAD 3
#define RUN_ABSENT 4
#define TIMEOUT_MS 30000
#define SPIN "100us"                    //  Of the nodes and the client, before they sleep

typedef char name_t[UMBP_BENCH_KEY_SIZE];

typedef struct {
    uint64_t keys;                      //  How many there are
    umbp_bench_cluster_t cluster;
    umbp_t *near, *far;                 //  To the first node: with shared memory, without
    umbp_talk_t *talk;
    umbp_bench_redis_t *redis;          //  NULL: there is none
    const char *why;                    //  ... for this reason
    double redis_key_bytes;
    name_t *names;                      //  Of DRAWN batches
    const char **texts;                 //  The same
    umbp_key_t *asked;                  //  The same
    name_t *absent_names;               //  As many that nobody has, and likewise
    const char **absent_texts;
    umbp_key_t *absent;
    name_t *small;                      //  Of small blocks here
    uint64_t random;
    size_t at;                          //  The next batch, or key
    uint8_t *room;                      //  Of a batch of small blocks
    bool checked[3];
} self_t;

//  ------------------------------------------------------------------------------------------------
//  Exists

static umbp_bench_probe_t s_failed (const char *what, long got)
{
    fprintf (stderr, "umbp-bench: %s: %ld\n", what, got);
    return (umbp_bench_probe_t) { .value = -1 };
}

static size_t s_next (self_t *self)
{
    return self->at++ % DRAWN * BATCH;
}

static umbp_bench_probe_t s_rate (uint64_t start_ns, uint64_t items)
{
    double seconds = (double) (umbp_bench_now_ns () - start_ns) / 1e9;
    return (umbp_bench_probe_t) { .value = (double) items / seconds };
}

static umbp_bench_probe_t s_exists_of (self_t *self, umbp_t *pool, const umbp_key_t *keys, int want)
{
    int8_t found[BATCH];
    uint64_t start_ns = umbp_bench_now_ns ();
    for (int call = 0; call < CALLS; call++) {
        int got = umbp_exists_batch (pool, keys + s_next (self), BATCH, found, TIMEOUT_MS);
        if (got != want)
            return s_failed ("exists", got);
    }
    return s_rate (start_ns, (uint64_t) CALLS * BATCH);
}

static umbp_bench_probe_t s_exists (void *arg)
{
    self_t *self = arg;
    return s_exists_of (self, self->near, self->asked, BATCH);
}

static umbp_bench_probe_t s_exists_far (void *arg)
{
    self_t *self = arg;
    return s_exists_of (self, self->far, self->asked, BATCH);
}

//  Of these no board can tell: the shards are asked
static umbp_bench_probe_t s_exists_absent (void *arg)
{
    self_t *self = arg;
    return s_exists_of (self, self->near, self->absent, 0);
}

//  As a client in another language would, which knows nothing but one endpoint
static umbp_bench_probe_t s_exists_router (void *arg)
{
    self_t *self = arg;
    uint64_t start_ns = umbp_bench_now_ns ();
    for (int call = 0; call < CALLS; call++) {
        const name_t *names = (const name_t *) self->names + s_next (self);
        uint8_t bytes[BATCH * UMBP_BENCH_KEY_SIZE];
        uint16_t sizes[BATCH];
        const uint32_t size = UMBP_BENCH_KEY_SIZE - 1;
        for (size_t index = 0; index < BATCH; index++) {
            memcpy (bytes + index * size, names[index], size);
            sizes[index] = (uint16_t) size;
        }
        umbp_msg_t question;
        const umbp_msg_t *answer;
        umbp_msg_init (&question, UMBP_MSG_exists, 0);
        question.exists.keys = (umbp_column_t) { bytes, sizes, BATCH * size, BATCH };
        int rc = umbp_talk_ask (self->talk, "router", &question, &answer);
        if (rc != 0 || answer->exists_ok.prefix != BATCH)
            return s_failed ("exists of the router", rc);
    }
    return s_rate (start_ns, (uint64_t) CALLS * BATCH);
}

static umbp_bench_probe_t s_redis_exists_of (self_t *self, const char **keys, long want,
                                             bool pipelined)
{
    uint64_t start_ns = umbp_bench_now_ns ();
    for (int call = 0; call < CALLS; call++) {
        long got = umbp_bench_redis_exists (self->redis, keys + s_next (self), BATCH, pipelined);
        if (got != want)
            return s_failed ("redis EXISTS", got);
    }
    return s_rate (start_ns, (uint64_t) CALLS * BATCH);
}

//  The better of its two ways
static umbp_bench_probe_t s_redis_better (self_t *self, const char **keys, long want)
{
    umbp_bench_probe_t pipelined = s_redis_exists_of (self, keys, want, true);
    umbp_bench_probe_t at_once = s_redis_exists_of (self, keys, want, false);
    if (pipelined.value < 0)
        return pipelined;
    return at_once.value < 0 || at_once.value > pipelined.value ? at_once : pipelined;
}

static umbp_bench_probe_t s_redis_exists (void *arg)
{
    self_t *self = arg;
    return s_redis_better (self, self->texts, BATCH);
}

static umbp_bench_probe_t s_redis_absent (void *arg)
{
    self_t *self = arg;
    return s_redis_better (self, self->absent_texts, 0);
}

//  ------------------------------------------------------------------------------------------------
//  One key

//  One call about one key. Returns false if it failed.
typedef bool (one_fn) (self_t *self);

static bool s_exists_one (self_t *self)
{
    int8_t found = 0;
    const umbp_key_t *key = self->asked + self->at % (DRAWN * BATCH);
    return umbp_exists_batch (self->near, key, 1, &found, TIMEOUT_MS) == 1;
}

static bool s_redis_exists_one (self_t *self)
{
    const char *const *key = self->texts + self->at % (DRAWN * BATCH);
    return umbp_bench_redis_exists (self->redis, key, 1, false) == 1;
}

static bool s_get_one (self_t *self)
{
    const char *name = self->small[self->at % SMALL_BLOCKS];
    umbp_item_t item = { .key = { name, UMBP_BENCH_KEY_SIZE - 1 },
                         .data = self->room, .size = SMALL };
    return umbp_get_batch (self->near, &item, 1, TIMEOUT_MS) == 1;
}

static bool s_redis_get_one (self_t *self)
{
    const char *name = self->small[self->at % SMALL_BLOCKS];
    return umbp_bench_redis_get (self->redis, &name, 1, self->room, SMALL) == 1;
}

static umbp_bench_probe_t s_one (self_t *self, one_fn *call, double percent)
{
    umbp_histogram_t *calls = umbp_histogram_new ();
    bool fine = calls != NULL;
    for (int count = 0; count < ONE_CALLS && fine; count++) {
        self->at++;
        uint64_t start_ns = umbp_bench_now_ns ();
        fine = call (self);
        umbp_histogram_add (calls, umbp_bench_now_ns () - start_ns);
    }
    double us = fine ? (double) umbp_histogram_percentile (calls, percent) / 1e3 : -1;
    umbp_histogram_destroy (&calls);
    return (umbp_bench_probe_t) { .value = us };
}

static umbp_bench_probe_t s_exists_p50 (void *arg)
{
    return s_one (arg, s_exists_one, 50);
}

static umbp_bench_probe_t s_exists_p99 (void *arg)
{
    return s_one (arg, s_exists_one, 99);
}

static umbp_bench_probe_t s_redis_exists_p50 (void *arg)
{
    return s_one (arg, s_redis_exists_one, 50);
}

static umbp_bench_probe_t s_redis_exists_p99 (void *arg)
{
    return s_one (arg, s_redis_exists_one, 99);
}

static umbp_bench_probe_t s_get_p50 (void *arg)
{
    return s_one (arg, s_get_one, 50);
}

static umbp_bench_probe_t s_get_p99 (void *arg)
{
    return s_one (arg, s_get_one, 99);
}

static umbp_bench_probe_t s_redis_get_p50 (void *arg)
{
    return s_one (arg, s_redis_get_one, 50);
}

static umbp_bench_probe_t s_redis_get_p99 (void *arg)
{
    return s_one (arg, s_redis_get_one, 99);
}

//  ------------------------------------------------------------------------------------------------
//  Small blocks

//  Keys of a batch of small blocks, drawn at random, as items
static void s_draw_small (self_t *self, uint64_t run, umbp_item_t *items, name_t *names,
                          uint64_t *seeds)
{
    uint64_t first = umbp_splitmix (&self->random);
    for (size_t index = 0; index < BATCH; index++) {
        seeds[index] = umbp_bench_key (run, (first + index * 61) % SMALL_BLOCKS, names[index]);
        items[index] = (umbp_item_t) { .key = { names[index], UMBP_BENCH_KEY_SIZE - 1 },
                                       .data = self->room + index * SMALL, .size = SMALL };
    }
}

static umbp_bench_probe_t s_small (self_t *self, umbp_t *pool, uint64_t run, bool *checked)
{
    umbp_item_t items[BATCH];
    name_t names[BATCH];
    uint64_t seeds[BATCH], ns = 0;
    for (int call = 0; call < SMALL_CALLS; call++) {
        s_draw_small (self, run, items, names, seeds);
        uint64_t start_ns = umbp_bench_now_ns ();
        int got = umbp_get_batch (pool, items, BATCH, TIMEOUT_MS);
        ns += umbp_bench_now_ns () - start_ns;
        if (got != BATCH)
            return s_failed ("get", got);
        for (size_t index = 0; index < BATCH && !*checked; index++)
            if (!umbp_workload_verify (seeds[index], items[index].data, SMALL))
                return s_failed ("get: WRONG BYTES", -1);
    }
    *checked = true;
    return (umbp_bench_probe_t) { .value = SMALL_CALLS * BATCH / ((double) ns / 1e9) };
}

static umbp_bench_probe_t s_small_near (void *arg)
{
    self_t *self = arg;
    return s_small (self, self->near, RUN_HERE, &self->checked[0]);
}

static umbp_bench_probe_t s_small_far (void *arg)
{
    self_t *self = arg;
    return s_small (self, self->far, RUN_HERE, &self->checked[1]);
}

static umbp_bench_probe_t s_small_spread (void *arg)
{
    self_t *self = arg;
    return s_small (self, self->near, RUN_SPREAD, &self->checked[2]);
}

static umbp_bench_probe_t s_redis_small (void *arg)
{
    self_t *self = arg;
    umbp_item_t items[BATCH];
    name_t names[BATCH];
    uint64_t seeds[BATCH], ns = 0;
    for (int call = 0; call < SMALL_CALLS; call++) {
        const char *texts[BATCH];
        s_draw_small (self, RUN_HERE, items, names, seeds);
        for (size_t index = 0; index < BATCH; index++)
            texts[index] = names[index];
        uint64_t start_ns = umbp_bench_now_ns ();
        long got = umbp_bench_redis_get (self->redis, texts, BATCH, self->room, SMALL);
        ns += umbp_bench_now_ns () - start_ns;
        if (got != BATCH)
            return s_failed ("redis MGET", got);
    }
    return (umbp_bench_probe_t) { .value = SMALL_CALLS * BATCH / ((double) ns / 1e9) };
}

//  ------------------------------------------------------------------------------------------------
//  Load

//  So many blocks of a run and size, into the pool and into redis. redis_value NULL: the same
//  bytes.
static bool s_load (self_t *self, uint64_t run, uint64_t blocks, size_t size,
                    const char *redis_value)
{
    umbp_strategy_t strategy = run == RUN_HERE ? UMBP_STRATEGY_LOCAL : UMBP_STRATEGY_MOST_FREE;
    static umbp_item_t items[LOAD_BATCH];
    static name_t names[LOAD_BATCH];
    const char *texts[LOAD_BATCH];
    umbp_put_options_t how = { .strategy = strategy, .nowait = true };
    for (uint64_t first = 0; first < blocks; first += LOAD_BATCH) {
        size_t count = blocks - first < LOAD_BATCH ? blocks - first : LOAD_BATCH;
        for (size_t index = 0; index < count; index++) {
            uint64_t seed = umbp_bench_key (run, first + index, names[index]);
            texts[index] = names[index];
            items[index] = (umbp_item_t) { .key = { names[index], UMBP_BENCH_KEY_SIZE - 1 },
                                           .data = self->room + index * size, .size = size };
            umbp_workload_fill (seed, items[index].data, size);
        }
        int put = umbp_put_batch (self->near, items, count, &how, TIMEOUT_MS);
        if (put != (int) count) {
            s_failed ("put", put);
            return false;
        }
        for (size_t index = 0; self->redis && !redis_value && index < count; index++)
            if (!umbp_bench_redis_set (self->redis, texts + index, 1, items[index].data, size))
                return false;
        if (self->redis && redis_value
            && !umbp_bench_redis_set (self->redis, texts, count, redis_value, strlen (redis_value)))
            return false;
    }
    int rc = umbp_flush (self->near, TIMEOUT_MS);
    if (rc != 0)
        s_failed ("flush", rc);
    return rc == 0;
}

static size_t s_blank_key (char key[UMBP_BENCH_BLANK_KEY_MAX], uint64_t number)
{
    umbp_bench_key (RUN_TINY, number, key);
    return UMBP_BENCH_KEY_SIZE - 1;
}

//  The same of as many keys as would not fit: a third of them on each node, zeros that nobody looks at
static bool s_load_blank (self_t *self)
{
    static name_t names[LOAD_BATCH];
    const char *texts[LOAD_BATCH];
    umbp_bench_progress_t progress;
    umbp_bench_progress_start (&progress, self->keys);
    for (uint64_t first = 0, turn = 0; first < self->keys; turn++) {
        uint64_t left = self->keys - first;
        uint64_t count = left < UMBP_BENCH_BLANK_BATCH ? left : UMBP_BENCH_BLANK_BATCH;
        if (!umbp_bench_blank_make (self->talk, self->cluster.nodes[turn % NODES].id, s_blank_key,
                                    first, count)) {
            s_failed ("put", (long) first);
            return false;
        }
        for (uint64_t done = 0; self->redis && done < count; done += LOAD_BATCH) {
            size_t some = count - done < LOAD_BATCH ? count - done : LOAD_BATCH;
            for (size_t index = 0; index < some; index++) {
                umbp_bench_key (RUN_TINY, first + done + index, names[index]);
                texts[index] = names[index];
            }
            if (!umbp_bench_redis_set (self->redis, texts, some, "1", 1))
                return false;
        }
        first += count;
        umbp_bench_progress_show (&progress, first, "keys put");
    }
    umbp_bench_progress_end (&progress, self->keys, "keys put");
    return true;
}

static void s_draw_keys (self_t *self)
{
    for (size_t index = 0; index < (size_t) DRAWN * BATCH; index++) {
        umbp_bench_key (RUN_TINY, umbp_splitmix (&self->random) % self->keys, self->names[index]);
        self->texts[index] = self->names[index];
        self->asked[index] = (umbp_key_t) { self->names[index], UMBP_BENCH_KEY_SIZE - 1 };
        umbp_bench_key (RUN_ABSENT, index, self->absent_names[index]);
        self->absent_texts[index] = self->absent_names[index];
        self->absent[index] = (umbp_key_t) { self->absent_names[index], UMBP_BENCH_KEY_SIZE - 1 };
    }
    for (uint64_t index = 0; index < SMALL_BLOCKS; index++)
        umbp_bench_key (RUN_HERE, index, self->small[index]);
}

static bool s_make_room (self_t *self)
{
    size_t drawn = (size_t) DRAWN * BATCH;
    self->names = calloc (drawn, sizeof *self->names);
    self->texts = calloc (drawn, sizeof *self->texts);
    self->asked = calloc (drawn, sizeof *self->asked);
    self->absent_names = calloc (drawn, sizeof *self->absent_names);
    self->absent_texts = calloc (drawn, sizeof *self->absent_texts);
    self->absent = calloc (drawn, sizeof *self->absent);
    self->small = calloc (SMALL_BLOCKS, sizeof *self->small);
    self->room = calloc (LOAD_BATCH, SMALL);
    return self->small && self->names && self->texts && self->asked && self->absent_names
           && self->absent_texts && self->absent && self->room;
}

static umbp_t *s_connect (const self_t *self, bool no_shm)
{
    int err = 0;
    const char *endpoint = self->cluster.nodes[0].endpoint;
    umbp_options_t how = { .endpoints = endpoint, .no_shm = no_shm, .timeout_ms = TIMEOUT_MS };
    umbp_t *pool = umbp_connect (&how, &err);
    if (!pool)
        s_failed ("connect", err);
    return pool;
}

//  Redis first: it has nothing but the keys when its memory is read
static bool s_fill (self_t *self)
{
    uint64_t before = self->redis ? umbp_bench_redis_memory (self->redis) : 0;
    if (self->keys > TOUCHED_MAX ? !s_load_blank (self)
                                 : !s_load (self, RUN_TINY, self->keys, TINY, "1"))
        return false;
    uint64_t after = self->redis ? umbp_bench_redis_memory (self->redis) : 0;
    self->redis_key_bytes = (double) (after - before) / (double) self->keys;
    s_draw_keys (self);
    return s_load (self, RUN_HERE, SMALL_BLOCKS, SMALL, NULL)
           && s_load (self, RUN_SPREAD, SMALL_BLOCKS, SMALL, NULL);
}

//  A page for each block and a tenth to spare
static bool s_start (self_t *self)
{
    char flags[320];
    uint64_t pages = self->keys + 4 * SMALL_BLOCKS;        //  Those here are not spread
    snprintf (flags, sizeof flags,
              "--dram-page 4KiB --dram-capacity %" PRIu64 " --dram-region 64GiB --dram-prefault=no "
              "--eviction-high 100 --eviction-low 99 --node-spin " SPIN,
              pages * SMALL / NODES * 11 / 10 + (16 << 20));
    int err;
    if (umbp_bench_cluster_start (&self->cluster, NODES, flags) != 0)
        return false;
    self->redis = umbp_bench_redis_new (self->cluster.folder, &self->why);
    self->talk = umbp_talk_new (self->cluster.nodes[0].endpoint, TIMEOUT_MS, &err);
    self->near = s_connect (self, false);
    self->far = s_connect (self, true);
    return self->talk && self->near && self->far && s_fill (self);
}

static void s_stop (umbp_bench_suite_t *suite, self_t *self)
{
    umbp_close (&self->near);
    umbp_close (&self->far);
    umbp_talk_destroy (&self->talk);
    umbp_bench_redis_destroy (&self->redis);
    if (umbp_bench_cluster_stop (&self->cluster) != 0)
        suite->failed = true;
    free (self->names);
    free (self->small);
    free (self->texts);
    free (self->asked);
    free (self->absent_names);
    free (self->absent_texts);
    free (self->absent);
    free (self->room);
    free (self);
}

//  ------------------------------------------------------------------------------------------------
//  The part

static const umbp_bench_row_t s_rows[] = {
    { "exists x 128, 3 nodes", "keys/s", "redis EXISTS x 128, better way", 3, false, s_exists,
      s_redis_exists },
    { "exists x 128, 3 nodes, none is there", "keys/s", "redis EXISTS x 128, better way", 0, false,
      s_exists_absent, s_redis_absent },
    { "exists x 128, 3 nodes, no doors", "keys/s", "redis EXISTS x 128, better way", 0, false,
      s_exists_far, s_redis_exists },
    { "exists x 128, by the router alone", "keys/s", "redis EXISTS x 128, better way", 0, false,
      s_exists_router, s_redis_exists },
    { "exists of one key, p50", "us", "redis EXISTS", 0, true, s_exists_p50, s_redis_exists_p50 },
    { "exists of one key, p99", "us", "redis EXISTS", 0, true, s_exists_p99, s_redis_exists_p99 },
    { "get of one 4 KiB block here, p50", "us", "redis GET", 1, true, s_get_p50, s_redis_get_p50 },
    { "get of one 4 KiB block here, p99", "us", "redis GET", 0, true, s_get_p99, s_redis_get_p99 },
    { "get 4 KiB x 128, shared memory, verified", "keys/s", "redis MGET x 128", 0, false,
      s_small_near, s_redis_small },
    { "get 4 KiB x 128, tcp, verified", "keys/s", "redis MGET x 128", 0, false, s_small_far,
      s_redis_small },
    { "get 4 KiB x 128, shared memory of 3 nodes", "keys/s", "redis MGET x 128", 0, false,
      s_small_spread, s_redis_small },
};

//  80 bytes, if a key of redis takes 125
static const umbp_bench_row_t s_memory[] = {
    { "index entry", "bytes", "redis key", 125.0 / 80, true, NULL, NULL },
    { "index of a key, all its copies", "bytes", "redis key", 0, true, NULL, NULL },
};

#define ROWS (sizeof s_rows / sizeof *s_rows)

static bool s_wants_memory (const umbp_bench_suite_t *suite)
{
    return umbp_bench_suite_wants (suite, s_memory[0].name)
           || umbp_bench_suite_wants (suite, s_memory[1].name);
}

//  What the index actors say of themselves
static void s_memory_rows (umbp_bench_suite_t *suite, self_t *self)
{
    uint64_t bytes = 0, entries = 0;
    for (size_t node = 0; node < NODES; node++) {
        char address[64];
        uint64_t some = 0, more = 0;
        snprintf (address, sizeof address, "index@%s", self->cluster.nodes[node].id);
        if (umbp_bench_stat (self->talk, address, "memory_bytes", &some) != 0
            || umbp_bench_stat (self->talk, address, "entries", &more) != 0) {
            umbp_bench_suite_miss (suite, address, "does not say how much memory it takes");
            return;
        }
        bytes += some;
        entries += more;
    }
    double peer = self->redis ? self->redis_key_bytes : -1;
    umbp_bench_suite_fact (suite, &s_memory[0], (double) bytes / (double) entries, peer);
    umbp_bench_suite_fact (suite, &s_memory[1],
                           (double) bytes / (double) (self->keys + 2 * SMALL_BLOCKS), peer);
}

static void s_measure (umbp_bench_suite_t *suite, self_t *self)
{
    if (!self->redis)
        printf ("No comparison with redis: %s\n", self->why);
    for (size_t index = 0; index < ROWS; index++) {
        umbp_bench_row_t row = s_rows[index];
        row.peer = self->redis ? row.peer : NULL;
        umbp_bench_suite_row (suite, &row, self);
    }
    if (s_wants_memory (suite))
        s_memory_rows (suite, self);
}

void umbp_bench_keys_rows (umbp_bench_suite_t *suite)
{
    bool any = s_wants_memory (suite) || umbp_bench_suite_wants_any (suite, s_rows, ROWS);
    self_t *self = any ? calloc (1, sizeof *self) : NULL;
    if (!self)
        return;
    self->keys = suite->options->keys;
    if (s_make_room (self) && s_start (self))
        s_measure (suite, self);
    else
        umbp_bench_suite_miss (suite, "many keys", "could not start");
    s_stop (suite, self);
}

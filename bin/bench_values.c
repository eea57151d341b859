//  bin/bench_values.c - rows of the suite about large values of this host, one key a call: what get
//  takes beside redis and memcached over UNIX sockets.
//
//  One node, a process of its own, and one client with shared memory. All have the same values under
//  the same keys, asked for in the same order. Each copies a value once, to the same buffer; ours is
//  verified against its checksum besides. Bytes are compared, by all, in the first round, which does
//  not count.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/bench_loop.h"
#include "bin/bench_memcached.h"
#include "bin/bench_nodes.h"
#include "bin/bench_redis.h"
#include "bin/bench_suite.h"
#include "bin/bench_tally.h"
#include "bin/workload.h"
#include "client/umbp.h"
#include "proto/splitmix.h"

#define TIMEOUT_MS 30000
#define SET ((size_t) 192 << 20)        //  Bytes of all values of a size, far more than a cache
#define MOVED ((size_t) 256 << 20)      //  ... of a measurement
#define SIZE_MAX_BYTES ((size_t) 2 << 20)
#define SIZES 2
#define SMALLEST ((size_t) 256 << 10)

typedef struct self self_t;

//  Get one value into the buffer. Returns false if it failed.
typedef bool (get_fn) (self_t *self, const char *name, size_t size);

struct self {
    umbp_bench_cluster_t cluster;
    umbp_t *pool;
    umbp_bench_redis_t *redis;          //  NULL: there is none
    umbp_bench_memcached_t *memcached;  //  NULL: there is none
    uint8_t *room;
    uint64_t random;
    bool checked[3][SIZES];             //  By whom bytes of which size were compared
};

//  ------------------------------------------------------------------------------------------------
//  Probes

static bool s_get_ours (self_t *self, const char *name, size_t size)
{
    umbp_item_t item = { .key = { name, UMBP_BENCH_KEY_SIZE - 1 },
                         .data = self->room,
                         .size = size };
    return umbp_get_batch (self->pool, &item, 1, TIMEOUT_MS) == 1;
}

static bool s_get_redis (self_t *self, const char *name, size_t size)
{
    return umbp_bench_redis_get (self->redis, &name, 1, self->room, size) == 1;
}

static bool s_get_memcached (self_t *self, const char *name, size_t size)
{
    return umbp_bench_memcached_get (self->memcached, name, self->room, size);
}

//  CPU time of all processes that may take part
static double s_cpu (const self_t *self)
{
    return umbp_bench_suite_cpu () + umbp_bench_cluster_cpu (&self->cluster)
           + (self->redis ? umbp_bench_redis_cpu (self->redis) : 0)
           + (self->memcached ? umbp_bench_memcached_cpu (self->memcached) : 0);
}

static uint64_t s_run (size_t size)
{
    return size == SMALLEST ? 21 : 22;
}

static umbp_bench_probe_t s_probe (self_t *self, get_fn *get, size_t size, int who)
{
    bool *checked = &self->checked[who][size == SMALLEST];
    double cpu_s = s_cpu (self);
    uint64_t ns = 0, values = SET / size;
    for (size_t moved = 0; moved < MOVED; moved += size) {
        char name[UMBP_BENCH_KEY_SIZE];
        uint64_t number = umbp_splitmix (&self->random) % values;
        uint64_t seed = umbp_bench_key (s_run (size), number, name);
        uint64_t start_ns = umbp_bench_now_ns ();
        bool fine = get (self, name, size);
        ns += umbp_bench_now_ns () - start_ns;
        if (!fine || (!*checked && !umbp_workload_verify (seed, self->room, size))) {
            fprintf (stderr, "umbp-bench: get of a value: %s\n", fine ? "WRONG BYTES" : "failed");
            return (umbp_bench_probe_t) { .value = -1 };
        }
    }
    *checked = true;
    double gb = (double) MOVED / 1e9;
    return (umbp_bench_probe_t) { .value = gb / ((double) ns / 1e9),
                                  .gb = gb,
                                  .cpu_s = s_cpu (self) - cpu_s };
}

static umbp_bench_probe_t s_ours_small (void *arg)
{
    return s_probe (arg, s_get_ours, SMALLEST, 0);
}

static umbp_bench_probe_t s_ours_large (void *arg)
{
    return s_probe (arg, s_get_ours, SIZE_MAX_BYTES, 0);
}

static umbp_bench_probe_t s_redis_small (void *arg)
{
    return s_probe (arg, s_get_redis, SMALLEST, 1);
}

static umbp_bench_probe_t s_redis_large (void *arg)
{
    return s_probe (arg, s_get_redis, SIZE_MAX_BYTES, 1);
}

static umbp_bench_probe_t s_memcached_small (void *arg)
{
    return s_probe (arg, s_get_memcached, SMALLEST, 2);
}

static umbp_bench_probe_t s_memcached_large (void *arg)
{
    return s_probe (arg, s_get_memcached, SIZE_MAX_BYTES, 2);
}

//  ------------------------------------------------------------------------------------------------
//  The part

static const umbp_bench_row_t s_rows[] = {
    { "get 256 KiB here, verified", "GB/s", "redis GET", 3, false, s_ours_small, s_redis_small },
    { "get 256 KiB here, verified, again", "GB/s", "memcached get", 3, false, s_ours_small,
      s_memcached_small },
    { "get 2 MiB here, verified", "GB/s", "redis GET", 3, false, s_ours_large, s_redis_large },
    { "get 2 MiB here, verified, again", "GB/s", "memcached get", 3, false, s_ours_large,
      s_memcached_large },
};

#define ROWS (sizeof s_rows / sizeof *s_rows)

static bool s_load (self_t *self, size_t size)
{
    umbp_put_options_t how = { .strategy = UMBP_STRATEGY_LOCAL };
    bool fine = true;
    for (uint64_t number = 0; number < SET / size && fine; number++) {
        char name[UMBP_BENCH_KEY_SIZE];
        const char *key = name;
        umbp_workload_fill (umbp_bench_key (s_run (size), number, name), self->room, size);
        umbp_item_t item = {
            .key = { name, UMBP_BENCH_KEY_SIZE - 1 }, .data = self->room, .size = size
        };
        fine = umbp_put_batch (self->pool, &item, 1, &how, TIMEOUT_MS) == 1
               && (!self->redis || umbp_bench_redis_set (self->redis, &key, 1, self->room, size))
               && (!self->memcached
                   || umbp_bench_memcached_set (self->memcached, name, self->room, size));
    }
    return fine;
}

static bool s_start (self_t *self)
{
    static const char flags[] =
        "--dram-capacity 512MiB --dram-region 512MiB --eviction-high 100 --eviction-low 99";
    const char *why = "";
    self->room = aligned_alloc (4096, SIZE_MAX_BYTES);
    if (!self->room || umbp_bench_cluster_start (&self->cluster, 1, flags) != 0)
        return false;
    self->redis = umbp_bench_redis_new (self->cluster.folder, &why);
    if (!self->redis)
        printf ("No comparison with redis: %s\n", why);
    self->memcached = umbp_bench_memcached_new (self->cluster.folder, &why);
    if (!self->memcached)
        printf ("No comparison with memcached: %s\n", why);
    int err = 0;
    umbp_options_t how = { .endpoints = self->cluster.nodes[0].endpoint, .timeout_ms = TIMEOUT_MS };
    self->pool = umbp_connect (&how, &err);
    return self->pool && s_load (self, SMALLEST) && s_load (self, SIZE_MAX_BYTES);
}

void umbp_bench_values_rows (umbp_bench_suite_t *suite)
{
    bool any = umbp_bench_suite_wants_any (suite, s_rows, ROWS);
    self_t *self = any ? calloc (1, sizeof *self) : NULL;
    if (!self)
        return;
    bool fine = s_start (self);
    if (!fine)
        umbp_bench_suite_miss (suite, "large values", "could not start");
    for (size_t index = 0; index < ROWS && fine; index++) {
        umbp_bench_row_t row = s_rows[index];
        bool there = index % 2 == 0 ? self->redis != NULL : self->memcached != NULL;
        row.peer = there ? row.peer : NULL;
        umbp_bench_suite_row (suite, &row, self);
    }
    umbp_close (&self->pool);
    umbp_bench_redis_destroy (&self->redis);
    umbp_bench_memcached_destroy (&self->memcached);
    if (umbp_bench_cluster_stop (&self->cluster) != 0)
        suite->failed = true;
    free (self->room);
    free (self);
}

//  bin/bench_lanes.c - rows of the suite about many calls side by side: 64 lanes of one client with
//  small blocks, and one with many large ones, beside Mooncake Store over tcp; and one, two, four and
//  eight clients, each beside half as many, since one more must never make all together slower.
//
//  One node, a process of its own. A lane is a thread that makes its next call once the last one
//  returned. What is put is new, and what the last measurement put is removed behind the clock. Bytes
//  are compared after each measurement of gets, from the first to the last.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/bench_loop.h"
#include "bin/bench_mooncake.h"
#include "bin/bench_nodes.h"
#include "bin/bench_suite.h"
#include "bin/bench_tally.h"
#include "bin/workload.h"
#include "client/umbp.h"

#define TIMEOUT_MS 60000
#define LANES_MAX 64
#define CLIENTS_MAX 8
#define BATCH_MAX 128

//  What is done by each lane
typedef struct {
    size_t lanes, calls, batch, size;
} shape_t;

static const shape_t s_small = { 64, 4, 32, 4096 };
static const shape_t s_large = { 1, 5, 16, (size_t) 16 << 20 };

typedef enum { PUT, GET, EXISTS } op_t;

typedef struct self self_t;

typedef struct {
    self_t *self;
    pthread_t thread;
    umbp_t *pool;
    const shape_t *shape;
    op_t op;
    uint64_t run, number;               //  Of the lane
    uint64_t first;                     //  Of its calls, among those of all lanes
    size_t calls, rooms;                //  Rooms are taken in turn by its calls
    size_t rounds;                      //  Times that each call is made
    uint8_t *room;
    bool fine;
} lane_t;

struct self {
    umbp_bench_cluster_t cluster;
    umbp_t *near, *far;                 //  With 64 lanes: by shared memory, over tcp
    umbp_t *clients[CLIENTS_MAX], *far_clients[CLIENTS_MAX];        //  With one lane each
    umbp_bench_mooncake_t *mooncake;    //  NULL: there is none
    pthread_barrier_t start;
    lane_t lanes[LANES_MAX];
    uint8_t *room;                      //  Of all lanes
    uint64_t runs;                      //  Given so far; each put has one of its own
    uint64_t put_run[2];                //  What lies there now, of s_small and of s_large; 0: nothing
};

//  ------------------------------------------------------------------------------------------------
//  One lane

//  Equal places of a room hold equal bytes, whichever call
static uint64_t s_seed (const lane_t *lane, size_t at)
{
    uint64_t room = lane->rooms == 1 ? lane->number : lane->first + at / lane->shape->batch;
    return room * BATCH_MAX + at % lane->shape->batch + 1;
}

static void s_fill (const lane_t *lane)
{
    for (size_t at = 0; at < lane->rooms * lane->shape->batch; at++)
        umbp_workload_fill (s_seed (lane, at), lane->room + at * lane->shape->size,
                            lane->shape->size);
}

static bool s_bytes_right (const lane_t *lane)
{
    for (size_t at = 0; at < lane->rooms * lane->shape->batch; at++)
        if (!umbp_workload_verify (s_seed (lane, at), lane->room + at * lane->shape->size,
                                   lane->shape->size))
            return false;
    return true;
}

static int s_call (lane_t *lane, size_t call)
{
    const shape_t *shape = lane->shape;
    char names[BATCH_MAX][UMBP_BENCH_KEY_SIZE];
    umbp_item_t items[BATCH_MAX];
    umbp_key_t keys[BATCH_MAX];
    int8_t found[BATCH_MAX];
    umbp_put_options_t how = { .strategy = UMBP_STRATEGY_LOCAL };
    uint8_t *room = lane->room + call % lane->rooms * shape->batch * shape->size;
    for (size_t place = 0; place < shape->batch; place++) {
        uint64_t block = (lane->first + call) * shape->batch + place;
        umbp_bench_key (lane->run, block, names[place]);
        keys[place] = (umbp_key_t) { names[place], UMBP_BENCH_KEY_SIZE - 1 };
        items[place] = (umbp_item_t) { .key = keys[place],
                                       .data = room + place * shape->size,
                                       .size = shape->size };
    }
    switch (lane->op) {
    case PUT: return umbp_put_batch (lane->pool, items, shape->batch, &how, TIMEOUT_MS);
    case GET: return umbp_get_batch (lane->pool, items, shape->batch, TIMEOUT_MS);
    case EXISTS: return umbp_exists_batch (lane->pool, keys, shape->batch, found, TIMEOUT_MS);
    }
    return UMBP_EINVAL;
}

static void *s_lane (void *arg)
{
    lane_t *lane = arg;
    pthread_barrier_wait (&lane->self->start);
    lane->fine = true;
    for (size_t call = 0; call < lane->rounds * lane->calls && lane->fine; call++) {
        int got = s_call (lane, call % lane->calls);
        lane->fine = got == (int) lane->shape->batch;
        if (!lane->fine)
            fprintf (stderr, "umbp-bench: lane %d: %d of %d\n", (int) lane->number, got,
                     (int) lane->shape->batch);
    }
    return NULL;
}

//  ------------------------------------------------------------------------------------------------
//  All lanes of a measurement

static double s_cpu (const self_t *self)
{
    return umbp_bench_suite_cpu () + umbp_bench_cluster_cpu (&self->cluster);
}

static umbp_bench_probe_t s_failed (void)
{
    return (umbp_bench_probe_t) { .value = -1 };
}

//  All calls of a shape, rounds times, by count lanes: the n-th with the n-th of the pools, or all
//  with the one that there is. rooms: of a lane; 0: one for each call, so that fewer lanes do not
//  mean fewer bytes in the caches. value is blocks a second.
static umbp_bench_probe_t s_crowd (self_t *self, umbp_t *const *pools, bool shared, size_t count,
                                   size_t rooms, const shape_t *shape, op_t op, uint64_t run,
                                   size_t rounds)
{
    size_t calls = shape->lanes * shape->calls / count;
    rooms = rooms ? rooms : calls;
    for (size_t number = 0; number < count; number++) {
        lane_t *lane = &self->lanes[number];
        *lane = (lane_t){ .self = self,
                          .pool = pools[shared ? 0 : number],
                          .shape = shape, .op = op, .run = run, .number = number,
                          .first = number * calls, .calls = calls, .rooms = rooms, .rounds = rounds,
                          .room = self->room + number * rooms * shape->batch * shape->size };
        if (op == PUT)
            s_fill (lane);
        else if (op == GET)
            memset (lane->room, 0, rooms * shape->batch * shape->size);
    }
    pthread_barrier_init (&self->start, NULL, (unsigned) count + 1);
    for (size_t number = 0; number < count; number++)
        if (pthread_create (&self->lanes[number].thread, NULL, s_lane, &self->lanes[number]) != 0)
            abort ();                   //  Those begun wait for ever for the others
    double cpu_s = s_cpu (self);
    pthread_barrier_wait (&self->start);
    uint64_t start_ns = umbp_bench_now_ns ();
    bool fine = true;
    for (size_t number = 0; number < count; number++) {
        pthread_join (self->lanes[number].thread, NULL);
        fine &= self->lanes[number].fine;
    }
    double seconds = (double) (umbp_bench_now_ns () - start_ns) / 1e9;
    cpu_s = s_cpu (self) - cpu_s;
    pthread_barrier_destroy (&self->start);
    for (size_t number = 0; number < count && fine && op == GET; number++)
        if (!s_bytes_right (&self->lanes[number])) {
            fprintf (stderr, "umbp-bench: lane %d: WRONG BYTES\n", (int) number);
            fine = false;
        }
    double blocks = (double) (count * rounds * calls * shape->batch);
    return fine
               ? (umbp_bench_probe_t){ .value = blocks / seconds,
                                         .gb = op == EXISTS ? 0 : blocks * (double) shape->size / 1e9,
                                         .cpu_s = cpu_s } /* clang-format on */
               : s_failed ();
}

static void s_remove (self_t *self, const shape_t *shape, uint64_t run)
{
    size_t blocks = shape->lanes * shape->calls * shape->batch;
    for (size_t first = 0; first < blocks; first += shape->batch) {
        char names[BATCH_MAX][UMBP_BENCH_KEY_SIZE];
        umbp_key_t keys[BATCH_MAX];
        for (size_t place = 0; place < shape->batch; place++) {
            umbp_bench_key (run, first + place, names[place]);
            keys[place] = (umbp_key_t) { names[place], UMBP_BENCH_KEY_SIZE - 1 };
        }
        umbp_remove_batch (self->near, keys, shape->batch, NULL, TIMEOUT_MS);
    }
}

//  Put anew what lies there of a shape, in place of what did
static umbp_bench_probe_t s_put (self_t *self, umbp_t *pool, const shape_t *shape)
{
    uint64_t *run = &self->put_run[shape == &s_large];
    if (*run)
        s_remove (self, shape, *run);
    *run = 100 + self->runs++;
    return s_crowd (self, &pool, true, shape->lanes, 1, shape, PUT, *run, 1);
}

static umbp_bench_probe_t s_get (self_t *self, umbp_t *pool, const shape_t *shape)
{
    uint64_t run = self->put_run[shape == &s_large];
    if (run == 0 && s_put (self, self->near, shape).value < 0)
        return s_failed ();
    return s_crowd (self, &pool, true, shape->lanes, 1, shape, GET,
                    self->put_run[shape == &s_large], 1);
}

//  ------------------------------------------------------------------------------------------------
//  Probes. Small blocks are told by their number, large ones by their bytes.

static umbp_bench_probe_t s_bytes (const shape_t *shape, umbp_bench_probe_t probe)
{
    if (probe.value >= 0)
        probe.value *= (double) shape->size / 1e9;
    return probe;
}

static umbp_bench_probe_t s_put_near (void *arg)
{
    self_t *self = arg;
    return s_put (self, self->near, &s_small);
}

static umbp_bench_probe_t s_get_near (void *arg)
{
    self_t *self = arg;
    return s_get (self, self->near, &s_small);
}

static umbp_bench_probe_t s_put_far (void *arg)
{
    self_t *self = arg;
    return s_put (self, self->far, &s_small);
}

static umbp_bench_probe_t s_get_far (void *arg)
{
    self_t *self = arg;
    return s_get (self, self->far, &s_small);
}

static umbp_bench_probe_t s_store (void *arg)
{
    self_t *self = arg;
    return s_bytes (&s_large, s_put (self, self->far, &s_large));
}

static umbp_bench_probe_t s_load (void *arg)
{
    self_t *self = arg;
    return s_bytes (&s_large, s_get (self, self->far, &s_large));
}

//  As many blocks, by as many lanes as serve it best
static const shape_t s_mooncake_small = { 8, 32, 32, 4096 };

static umbp_bench_probe_t s_mooncake (self_t *self, const shape_t *shape, bool put)
{
    double seconds, cpu_s;
    if (!umbp_bench_mooncake_run (self->mooncake, put, shape->lanes, shape->calls, shape->batch,
                                  shape->size, &seconds, &cpu_s))
        return s_failed ();
    double blocks = (double) (shape->lanes * shape->calls * shape->batch);
    return (umbp_bench_probe_t) { .value = blocks / seconds,
                                  .gb = blocks * (double) shape->size / 1e9,
                                  .cpu_s = cpu_s };
}

static umbp_bench_probe_t s_mooncake_put (void *arg)
{
    return s_mooncake (arg, &s_mooncake_small, true);
}

static umbp_bench_probe_t s_mooncake_get (void *arg)
{
    return s_mooncake (arg, &s_mooncake_small, false);
}

static umbp_bench_probe_t s_mooncake_store (void *arg)
{
    return s_bytes (&s_large, s_mooncake (arg, &s_large, true));
}

static umbp_bench_probe_t s_mooncake_load (void *arg)
{
    return s_bytes (&s_large, s_mooncake (arg, &s_large, false));
}

static const umbp_bench_row_t s_rows[] = {
    { "4 KiB x 32, 64 lanes, put, shared memory", "keys/s", "Mooncake Store, 8 lanes", 5, false,
      s_put_near, s_mooncake_put },
    { "4 KiB x 32, 64 lanes, get, shared memory", "keys/s", "Mooncake Store, 8 lanes", 5, false,
      s_get_near, s_mooncake_get },
    { "4 KiB x 32, 64 lanes, put, tcp", "keys/s", "Mooncake Store, 8 lanes", 5, false, s_put_far,
      s_mooncake_put },
    { "4 KiB x 32, 64 lanes, get, tcp", "keys/s", "Mooncake Store, 8 lanes", 5, false, s_get_far,
      s_mooncake_get },
    { "16 MiB x 80, store, tcp", "GB/s", "Mooncake Store, tcp", 2, false, s_store,
      s_mooncake_store },
    { "16 MiB x 80, load, tcp", "GB/s", "Mooncake Store, tcp", 2, false, s_load, s_mooncake_load },
};

#define ROWS (sizeof s_rows / sizeof *s_rows)

//  ------------------------------------------------------------------------------------------------
//  More and more clients. Each row is compared with half as many.

static const shape_t s_some = { CLIENTS_MAX, 4, 32, 4096 };
static const shape_t s_asked = { CLIENTS_MAX, 4, 128, 64 };
static const shape_t s_many_bytes = { CLIENTS_MAX, 1, 8, (size_t) 2 << 20 };

typedef struct {
    const char *name;
    const shape_t *shape;
    op_t op;
    bool far;
    uint64_t run;
    size_t rounds;                      //  Times that all calls are made
} kind_t;

static const kind_t s_kinds[] = {
    { "exists x 128", &s_asked, EXISTS, false, 31, 256 },
    { "get 4 KiB x 32, shared memory", &s_some, GET, false, 32, 256 },
    { "get 4 KiB x 32, tcp", &s_some, GET, true, 33, 8 },
    { "get 2 MiB x 8, tcp", &s_many_bytes, GET, true, 34, 12 },
};

#define KINDS (sizeof s_kinds / sizeof *s_kinds)

typedef struct {
    self_t *self;
    const kind_t *kind;
    size_t clients;
} scale_t;

static umbp_bench_probe_t s_clients (const scale_t *scale, size_t count)
{
    self_t *self = scale->self;
    const kind_t *kind = scale->kind;
    umbp_t *const *pools = kind->far ? self->far_clients : self->clients;
    return s_crowd (self, pools, false, count, 0, kind->shape, kind->op, kind->run, kind->rounds);
}

static umbp_bench_probe_t s_all_clients (void *arg)
{
    const scale_t *scale = arg;
    return s_clients (scale, scale->clients);
}

static umbp_bench_probe_t s_half_clients (void *arg)
{
    const scale_t *scale = arg;
    return s_clients (scale, scale->clients / 2);
}

static bool s_wants_clients (const umbp_bench_suite_t *suite, const kind_t *kind, size_t clients,
                             char *name, size_t size)
{
    snprintf (name, size, "clients: %s, %zu of them", kind->name, clients);
    return umbp_bench_suite_wants (suite, name);
}

static void s_clients_rows (umbp_bench_suite_t *suite, self_t *self)
{
    char name[96], half[64];
    for (size_t index = 0; index < KINDS; index++) {
        const kind_t *kind = &s_kinds[index];
        bool there = false;
        for (size_t clients = 2; clients <= CLIENTS_MAX; clients *= 2) {
            if (!s_wants_clients (suite, kind, clients, name, sizeof name))
                continue;
            if (!there)
                s_crowd (self, &self->near, true, CLIENTS_MAX, 0, kind->shape, PUT, kind->run, 1);
            there = true;
            snprintf (half, sizeof half, "%zu client%s", clients / 2, clients > 2 ? "s" : "");
            scale_t scale = { self, kind, clients };
            umbp_bench_row_t row = { name,  "keys/s",      half,          0.95,
                                     false, s_all_clients, s_half_clients };
            umbp_bench_suite_row (suite, &row, &scale);
        }
    }
}

//  ------------------------------------------------------------------------------------------------
//  The part

static umbp_t *s_connect (const self_t *self, bool no_shm, unsigned lanes)
{
    int err = 0;
    umbp_options_t how = { .endpoints = self->cluster.nodes[0].endpoint,
                           .no_shm = no_shm,
                           .lanes = lanes, .timeout_ms = TIMEOUT_MS };
    umbp_t *pool = umbp_connect (&how, &err);
    if (!pool)
        fprintf (stderr, "umbp-bench: connect: %s\n", umbp_errname (err));
    return pool;
}

static bool s_start (self_t *self)
{
    static const char flags[] = "--dram-capacity 2560MiB --dram-region 2560MiB --dram-page 64KiB "
                                "--eviction-high 100 --eviction-low 99";
    size_t bytes = s_large.batch * s_large.size;
    self->room = aligned_alloc (4096, bytes);
    if (!self->room || umbp_bench_cluster_start (&self->cluster, 1, flags) != 0)
        return false;
    memset (self->room, 1, bytes);
    self->near = s_connect (self, false, LANES_MAX);
    self->far = s_connect (self, true, LANES_MAX);
    bool fine = self->near && self->far;
    for (size_t index = 0; index < CLIENTS_MAX && fine; index++) {
        self->clients[index] = s_connect (self, false, 1);
        self->far_clients[index] = s_connect (self, true, 1);
        fine = self->clients[index] && self->far_clients[index];
    }
    return fine;
}

static void s_stop (umbp_bench_suite_t *suite, self_t *self)
{
    umbp_close (&self->near);
    umbp_close (&self->far);
    for (size_t index = 0; index < CLIENTS_MAX; index++) {
        umbp_close (&self->clients[index]);
        umbp_close (&self->far_clients[index]);
    }
    umbp_bench_mooncake_destroy (&self->mooncake);
    if (umbp_bench_cluster_stop (&self->cluster) != 0)
        suite->failed = true;
    free (self->room);
    free (self);
}

static void s_measure (umbp_bench_suite_t *suite, self_t *self, bool lanes)
{
    const char *why = "";
    self->mooncake = lanes ? umbp_bench_mooncake_new (self->cluster.folder, &why) : NULL;
    if (lanes && !self->mooncake)
        printf ("No comparison with Mooncake Store: %s\n", why);
    for (size_t index = 0; index < ROWS; index++) {
        umbp_bench_row_t row = s_rows[index];
        row.peer = self->mooncake ? row.peer : NULL;
        umbp_bench_suite_row (suite, &row, self);
    }
    umbp_bench_mooncake_destroy (&self->mooncake);
    for (size_t shape = 0; shape < 2; shape++)
        if (self->put_run[shape])
            s_remove (self, shape ? &s_large : &s_small, self->put_run[shape]);
    s_clients_rows (suite, self);
}

void umbp_bench_lanes_rows (umbp_bench_suite_t *suite)
{
    char name[96];
    bool lanes = false, any = false;
    for (size_t index = 0; index < ROWS; index++)
        lanes |= umbp_bench_suite_wants (suite, s_rows[index].name);
    for (size_t index = 0; index < KINDS; index++)
        for (size_t clients = 2; clients <= CLIENTS_MAX; clients *= 2)
            any |= s_wants_clients (suite, &s_kinds[index], clients, name, sizeof name);
    self_t *self = lanes || any ? calloc (1, sizeof *self) : NULL;
    if (!self)
        return;
    if (s_start (self))
        s_measure (suite, self, lanes);
    else
        umbp_bench_suite_miss (suite, "many lanes", "could not start");
    s_stop (suite, self);
}

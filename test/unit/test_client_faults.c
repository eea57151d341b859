//  test/unit/test_client_faults.c - the client library when things go wrong: nobody there, nodes
//  that leave, full pools, damaged blocks, forks, and many threads at once
#include "test/unit/nodes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define MIB ((size_t) 1 << 20)
#define SLACK_MS 5000                   //  Of a busy machine, over a deadline; half the default one

static nodes_t s_nodes;

static bool s_in_time (int64_t since_ms, int64_t timeout_ms)
{
    return umbp_clock_ms () - since_ms < timeout_ms + SLACK_MS;
}

//  ------------------------------------------------------------------------------------------------
//  Nobody there

static void test_connect_to_nothing (void)
{
    static const char *const endpoints[] = {
        "tcp://127.0.0.1:1", "inproc://nobody", "nonsense", ",",
        "tcp://127.0.0.1:1,inproc://nobody,tcp://127.0.0.1:2"
    };
    for (size_t index = 0; index < sizeof endpoints / sizeof *endpoints; index++) {
        umbp_options_t options = { .endpoints = endpoints[index], .timeout_ms = 300 };
        int64_t now_ms = umbp_clock_ms ();
        int err = 0;
        CU_ASSERT (umbp_connect (&options, &err) == NULL && err < 0);
        CU_ASSERT (s_in_time (now_ms, 300));
    }
    umbp_t *none = NULL;
    umbp_close (&none);
}

static void test_second_endpoint (void)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITH_DOORS, 16 * MIB));
    char endpoints[600];
    snprintf (endpoints, sizeof endpoints, "tcp://127.0.0.1:1, %s",
              umbp_node_endpoint (s_nodes.nodes[0]));
    umbp_t *pool = nodes_connect (&s_nodes, 0,
                                  (umbp_options_t){ .endpoints = endpoints,
                                                                  .timeout_ms = 4000 });
    CU_ASSERT_FATAL (pool != NULL);
    CU_ASSERT_STRING_EQUAL (umbp_node_name (pool), "node-0");
    CU_ASSERT (umbp_put (pool, "key", "value", 5) == 0);
    umbp_close (&pool);
    nodes_stop (&s_nodes);
}

//  ------------------------------------------------------------------------------------------------
//  Forks and lanes

//  A child has a client of its own, if it connects over tcp
static bool s_connect_as_child (void)
{
#ifdef __SANITIZE_THREAD__
    return true;                        //  It lets no child of threads have threads
#endif
    char room[100000];
    umbp_t *pool = nodes_connect (
        &s_nodes, 0, (umbp_options_t){ .endpoints = umbp_node_endpoint (s_nodes.nodes[0]) });
    bool fine = pool && umbp_get (pool, "key", room, sizeof room) == sizeof room
                && nodes_is_filled (room, sizeof room, 1) && umbp_put (pool, "child", "x", 1) == 0;
    umbp_close (&pool);
    return fine;
}

static int s_call_as_child (umbp_t *pool)
{
    char byte;
    umbp_key_t key = { "key", 3 };
    int8_t found = 0;
    int err = 0;
    umbp_item_t item = { .key = key, .data = &byte, .size = 1 };
    bool fine =
        umbp_get (pool, "key", &byte, 1) == UMBP_EFORKED
        && umbp_put_batch (pool, &item, 1, NULL, 0) == UMBP_EFORKED && item.status == UMBP_EFORKED
        && umbp_exists_batch (pool, &key, 1, &found, 0) == UMBP_EFORKED && found == UMBP_EFORKED
        && umbp_exists_prefix (pool, &key, 1, 0) == UMBP_EFORKED
        && umbp_remove (pool, "key") == UMBP_EFORKED && umbp_flush (pool, 0) == UMBP_EFORKED
        && umbp_clear (pool, false, 0) == UMBP_EFORKED && !umbp_view_get (pool, key, 0, &err)
        && err == UMBP_EFORKED && umbp_register (pool, &byte, 1) == UMBP_EFORKED;
    umbp_close (&pool);
    return fine && !pool && s_connect_as_child () ? 0 : 1;
}

static void s_fork (umbp_options_t options)
{
    umbp_t *pool = nodes_connect (&s_nodes, 0, options);
    static uint8_t data[100000], back[100000];
    nodes_fill (data, sizeof data, 1);
    CU_ASSERT (umbp_put (pool, "key", data, sizeof data) == 0);
    umbp_view_t *view = umbp_view_get (pool, (umbp_key_t) { "key", 3 }, 0, NULL);
    fflush (stdout);
    pid_t child = fork ();
    if (child == 0)
        _exit (s_call_as_child (pool));
    int status = -1;
    CU_ASSERT (waitpid (child, &status, 0) == child && status == 0);
    umbp_view_release (&view);
    CU_ASSERT (umbp_get (pool, "key", back, sizeof back) == sizeof back);
    CU_ASSERT (memcmp (back, data, sizeof back) == 0);
    CU_ASSERT (umbp_remove (pool, "key") == 0);
    umbp_remove (pool, "child");
    umbp_close (&pool);
}

static void test_fork (void)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITH_DOORS, 16 * MIB));
    s_fork ((umbp_options_t) { 0 });
    s_fork ((umbp_options_t) { .endpoints = umbp_node_endpoint (s_nodes.nodes[0]) });
    nodes_stop (&s_nodes);
}

static void test_no_lane_free (void)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITH_DOORS, 16 * MIB));
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .lanes = 1, .timeout_ms = 2000 });
    char byte = 'x';
    CU_ASSERT (umbp_put (pool, "key", "value", 5) == 0);
    umbp_view_t *view = umbp_view_get (pool, (umbp_key_t) { "key", 3 }, 10000, NULL);
    CU_ASSERT_FATAL (view != NULL);
    int64_t now_ms = umbp_clock_ms ();
    CU_ASSERT (umbp_get (pool, "key", &byte, 1) == UMBP_ETIMEDOUT);
    CU_ASSERT (s_in_time (now_ms, 2000) && umbp_clock_ms () - now_ms >= 2000);
    umbp_view_release (&view);
    CU_ASSERT (umbp_get (pool, "key", &byte, 1) == UMBP_ETOOBIG);
    umbp_close (&pool);
    nodes_stop (&s_nodes);
}

//  ------------------------------------------------------------------------------------------------
//  Damage

//  Change one byte of a block where it lies, behind everybody's back
static bool s_damage (umbp_t *pool, const uint8_t *data, size_t size)
{
    const umbp_shm_map_t *map = pool->memories->writes;
    for (size_t region = 0; region < umbp_shm_map_count (map); region++) {
        uint8_t *base = umbp_shm_map_base (map, region);
        for (size_t at = 0; at + size <= umbp_shm_map_bytes (map, region); at += PAGE)
            if (memcmp (base + at, data, size) == 0) {
                base[at + size / 2] ^= 1;
                return true;
            }
    }
    return false;
}

static void test_damaged_block (void)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITH_DOORS, 16 * MIB));
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .timeout_ms = 5000 });
    umbp_t *far = nodes_connect (&s_nodes, 0, (umbp_options_t) { .no_shm = true });
    umbp_t *blind = nodes_connect (&s_nodes, 0, (umbp_options_t) { .no_verify = true });
    static uint8_t data[200000], back[200000];
    nodes_fill (data, sizeof data, 1);
    CU_ASSERT (umbp_put (pool, "key", data, sizeof data) == 0);
    CU_ASSERT (umbp_get (far, "key", back, sizeof back) == sizeof back);
    CU_ASSERT_FATAL (s_damage (pool, data, sizeof data));
    umbp_range_t part = { back, 10, 0 };
    umbp_vec_t item = { .key = { "key", 3 }, .ranges = &part, .range_count = 1 };
    umbp_t *both[] = { pool, far };
    for (size_t index = 0; index < 2; index++) {
        CU_ASSERT (umbp_get (both[index], "key", back, sizeof back) == UMBP_ECHECKSUM);
        CU_ASSERT (umbp_get_v (both[index], &item, 1, 0) == 0 && item.status == UMBP_ECHECKSUM);
        umbp_stats_t stats;
        umbp_stats (both[index], &stats);
        CU_ASSERT (stats.checksum_errors == 6 && stats.retries == 4);
    }
    int err = 0;
    CU_ASSERT (!umbp_view_get (pool, item.key, 0, &err) && err == UMBP_ECHECKSUM);
    CU_ASSERT (umbp_get (blind, "key", back, sizeof back) == sizeof back);
    CU_ASSERT (umbp_get_v (blind, &item, 1, 0) == 1);
    umbp_close (&pool);
    umbp_close (&far);
    umbp_close (&blind);
    nodes_stop (&s_nodes);
}

//  ------------------------------------------------------------------------------------------------
//  Full pools

static void test_full_pool (void)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITH_DOORS, 4 * MIB));
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .timeout_ms = 5000 });
    enum { SIZE = 100000, COUNT = 300 };
    static uint8_t data[SIZE];
    size_t there = 0;
    char key[32];
    for (size_t index = 0; index < COUNT; index++) {         //  Seven times what fits
        snprintf (key, sizeof key, "full-%zu", index);
        nodes_fill (data, SIZE, index);
        CU_ASSERT (umbp_put (pool, key, data, SIZE) == 0);
    }
    for (size_t index = 0; index < COUNT; index++) {
        snprintf (key, sizeof key, "full-%zu", index);
        long got = umbp_get (pool, key, data, SIZE);
        CU_ASSERT (got == UMBP_ENOENT || (got == SIZE && nodes_is_filled (data, SIZE, index)));
        there += got == SIZE;
    }
    CU_ASSERT (there > 10 && there <= 42);

    //  What can never fit is refused by the deadline
    uint8_t *large = calloc (5, MIB);
    umbp_item_t item = { .key = { "large", 5 }, .data = large, .size = 5 * MIB };
    int64_t now_ms = umbp_clock_ms ();
    CU_ASSERT (umbp_put_batch (pool, &item, 1, NULL, 2000) == 0);
    CU_ASSERT (item.status == UMBP_EAGAIN || item.status == UMBP_ENOSPC);
    CU_ASSERT (s_in_time (now_ms, 2000));
    free (large);
    umbp_close (&pool);
    nodes_stop (&s_nodes);
}

//  Blocks that are held stay: then the pool really is full
static void test_full_of_views (void)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITH_DOORS, 4 * MIB));
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .lanes = 8 });
    enum { SIZE = 900000 };
    static uint8_t data[SIZE];
    umbp_view_t *views[4];
    umbp_item_t item = { .key = { "late", 4 }, .data = data, .size = SIZE };
    for (size_t index = 0; index < 4; index++) {
        char key[] = { 'v', (char) ('0' + index), 0 };
        nodes_fill (data, SIZE, index);
        CU_ASSERT (umbp_put (pool, key, data, SIZE) == 0);
        views[index] = umbp_view_get (pool, (umbp_key_t) { key, 2 }, 0, NULL);
        CU_ASSERT_FATAL (views[index] != NULL);
    }
    int64_t now_ms = umbp_clock_ms ();
    CU_ASSERT (umbp_put_batch (pool, &item, 1, NULL, 2000) == 0 && item.status == UMBP_EAGAIN);
    CU_ASSERT (s_in_time (now_ms, 2000) && umbp_clock_ms () - now_ms >= 200);
    for (size_t index = 0; index < 4; index++) {
        size_t count;
        const umbp_span_t *spans = umbp_view_spans (views[index], &count);
        CU_ASSERT (count > 1 || nodes_is_filled (spans[0].base, SIZE, index));
        umbp_view_release (&views[index]);
    }
    CU_ASSERT (umbp_put_batch (pool, &item, 1, NULL, 20000) == 1);
    umbp_close (&pool);
    nodes_stop (&s_nodes);
}

//  ------------------------------------------------------------------------------------------------
//  Many threads

#define THREADS 8
#define KEYS 400
#define BIG 150000

typedef struct {
    umbp_t *pool;
    uint64_t stream;
    unsigned rounds;
    bool tolerant;                      //  Nodes go away meanwhile
    uint32_t timeout_ms;
    atomic_bool *stop;
    unsigned wrong, late, errors, hits;
} worker_t;

static size_t s_size_of (uint64_t number)
{
    uint64_t random = umbp_splitmix (&number);
    return 1 + (random % 5 == 0 ? random / 5 % BIG : random / 5 % 9000);
}

//  A batch of distinct keys, put or got
static void s_do_batch (worker_t *self, uint8_t *room)
{
    enum { MOST = 12 };
    umbp_item_t items[MOST];
    char names[MOST][24];
    uint64_t numbers[MOST];
    size_t count = 1 + umbp_splitmix (&self->stream) % MOST;
    uint64_t base = umbp_splitmix (&self->stream);
    bool put = umbp_splitmix (&self->stream) % 2;
    for (size_t index = 0; index < count; index++) {
        numbers[index] = (base + index * 7) % KEYS;
        snprintf (names[index], sizeof names[index], "block-%llu",
                  (unsigned long long) numbers[index]);
        size_t size = s_size_of (numbers[index]);
        items[index] = (umbp_item_t) { .key = { names[index], strlen (names[index]) },
                                       .data = room + index * BIG, .size = put ? size : BIG };
        if (put)
            nodes_fill (items[index].data, size, numbers[index]);
    }
    int64_t now_ms = umbp_clock_ms ();
    if (put)
        umbp_put_batch (self->pool, items, count, NULL, self->timeout_ms);
    else
        umbp_get_batch (self->pool, items, count, self->timeout_ms);
    self->late += !s_in_time (now_ms, self->timeout_ms);
    for (size_t index = 0; index < count; index++) {
        int status = items[index].status;
        bool fine = status == 0 || (put ? status == UMBP_EEXIST : status == UMBP_ENOENT);
        self->errors += !fine;
        if (put || status != 0)
            continue;
        self->hits++;
        self->wrong += items[index].size != s_size_of (numbers[index])
                       || !nodes_is_filled (items[index].data, items[index].size, numbers[index]);
    }
}

static void s_do_other (worker_t *self)
{
    char name[24];
    uint64_t number = umbp_splitmix (&self->stream) % KEYS;
    snprintf (name, sizeof name, "block-%llu", (unsigned long long) number);
    umbp_key_t key = { name, strlen (name) };
    int8_t found;
    int64_t now_ms = umbp_clock_ms ();
    switch (umbp_splitmix (&self->stream) % 3) {
    case 0: umbp_remove_batch (self->pool, &key, 1, &found, self->timeout_ms); break;
    case 1: umbp_exists_batch (self->pool, &key, 1, &found, self->timeout_ms); break;
    default: {
        umbp_view_t *view = umbp_view_get (self->pool, key, self->timeout_ms, NULL);
        size_t count = 0;
        const umbp_span_t *spans = view ? umbp_view_spans (view, &count) : NULL;
        if (count == 1)
            self->wrong += !nodes_is_filled (spans[0].base, spans[0].size, number);
        umbp_view_release (&view);
        break;
    }
    }
    self->late += !s_in_time (now_ms, self->timeout_ms);
}

static void *s_work (void *arg)
{
    worker_t *self = arg;
    uint8_t *room = malloc ((size_t) 12 * BIG);
    for (unsigned round = 0; round < self->rounds && !atomic_load (self->stop); round++) {
        s_do_batch (self, room);
        if (round % 4 == 0)
            s_do_other (self);
    }
    free (room);
    return NULL;
}

static void s_start_workers (worker_t *workers, pthread_t *threads, umbp_t *pool, uint64_t seed,
                             unsigned rounds, uint32_t timeout_ms, atomic_bool *stop)
{
    for (size_t index = 0; index < THREADS; index++) {
        workers[index] = (worker_t){ .pool = pool,
                                     .stream = seed + index,
                                     .rounds = rounds,
                                      .timeout_ms = timeout_ms, .stop = stop };
        pthread_create (&threads[index], NULL, s_work, &workers[index]);
    }
}

static worker_t s_join_workers (worker_t *workers, pthread_t *threads)
{
    worker_t total = { 0 };
    for (size_t index = 0; index < THREADS; index++) {
        pthread_join (threads[index], NULL);
        total.wrong += workers[index].wrong;
        total.late += workers[index].late;
        total.errors += workers[index].errors;
        total.hits += workers[index].hits;
    }
    return total;
}

//  In a pool that holds about a third of the blocks
static void s_many_threads (size_t nodes, doors_t doors)
{
    uint64_t seed = nodes_seed ("threads");
    CU_ASSERT_FATAL (nodes_start (&s_nodes, nodes, doors, 6 * MIB));
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .lanes = 5 });
    worker_t workers[THREADS];
    pthread_t threads[THREADS];
    atomic_bool stop = false;
    s_start_workers (workers, threads, pool, seed, 150, 20000, &stop);
    worker_t total = s_join_workers (workers, threads);
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    printf ("[hits=%u retries=%llu stale=%llu errors=%u] ", total.hits,
            (unsigned long long) stats.retries, (unsigned long long) stats.stale, total.errors);
    CU_ASSERT (total.wrong == 0 && total.late == 0 && total.errors == 0 && total.hits > 100);
    CU_ASSERT (stats.checksum_errors == 0);
    umbp_close (&pool);
    nodes_stop (&s_nodes);
}

static void test_threads_one_node (void)
{
    s_many_threads (1, WITH_DOORS);
}

static void test_threads_three_nodes (void)
{
    s_many_threads (3, WITH_DOORS);
}

static void test_threads_tcp (void)
{
    s_many_threads (3, WITHOUT_DOORS);
}

//  ------------------------------------------------------------------------------------------------
//  Nodes that leave

//  The client's own node goes while it is used: all calls end in time, none with wrong bytes
static void s_node_leaves (doors_t doors, bool tcp)
{
    uint64_t seed = nodes_seed ("leaves");
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, doors, 16 * MIB));
    umbp_options_t options = { .timeout_ms = 2000 };
    if (tcp)
        options.endpoints = umbp_node_endpoint (s_nodes.nodes[0]);
    umbp_t *pool = nodes_connect (&s_nodes, 0, options);
    worker_t workers[THREADS];
    pthread_t threads[THREADS];
    atomic_bool stop = false;
    char byte;
    s_start_workers (workers, threads, pool, seed, 1000000, 2000, &stop);
    umbp_stats_t stats = { 0 };
    for (int64_t deadline_ms = umbp_clock_ms () + 60000;
         stats.hits < 200 && umbp_clock_ms () < deadline_ms;)
        umbp_stats (pool, &stats);
    umbp_node_destroy (&s_nodes.nodes[0]);
    int64_t now_ms = umbp_clock_ms ();
    long rc = umbp_get (pool, "key", &byte, 1);
    CU_ASSERT (rc < 0 && rc != UMBP_ENOENT && s_in_time (now_ms, 2000));
    CU_ASSERT (umbp_exists (pool, "key") < 0);
    atomic_store (&stop, true);
    worker_t total = s_join_workers (workers, threads);
    CU_ASSERT (total.wrong == 0 && total.late == 0 && total.hits > 0);
    now_ms = umbp_clock_ms ();
    umbp_close (&pool);
    CU_ASSERT (s_in_time (now_ms, 0));
    nodes_stop (&s_nodes);
}

static void test_node_leaves (void)
{
    s_node_leaves (WITH_DOORS, false);
    s_node_leaves (WITH_DOORS, true);
    s_node_leaves (WITHOUT_DOORS, true);
}

//  A node comes back at its place with nothing in its memory; its clients find that out by
//  themselves
static void test_node_returns (void)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITH_DOORS, 16 * MIB));
    char endpoint[256];
    snprintf (endpoint, sizeof endpoint, "%s", umbp_node_endpoint (s_nodes.nodes[0]));
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .endpoints = endpoint });
    static uint8_t data[100000], back[100000];
    for (uint64_t turn = 0; turn < 3; turn++) {
        nodes_fill (data, sizeof data, turn);
        int64_t deadline_ms = umbp_clock_ms () + 20000;
        do {                            //  Doors are tried once a second
            CU_ASSERT (umbp_exists (pool, "key") == 0);
        } while (!pool->memories && umbp_clock_ms () < deadline_ms);
        CU_ASSERT (umbp_get (pool, "key", back, sizeof back) == UMBP_ENOENT);
        CU_ASSERT (umbp_put (pool, "key", data, sizeof data) == 0);
        CU_ASSERT (umbp_get (pool, "key", back, sizeof back) == sizeof back);
        CU_ASSERT (memcmp (data, back, sizeof data) == 0);
        CU_ASSERT (pool->memories && !pool->memories->next);
        umbp_node_destroy (&s_nodes.nodes[0]);
        s_nodes.nodes[0] = nodes_again (&s_nodes.options[0]);
        CU_ASSERT_FATAL (s_nodes.nodes[0] && nodes_meet (&s_nodes));
    }
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    CU_ASSERT (stats.shm_put_bytes == 3 * sizeof data);
    umbp_close (&pool);
    nodes_stop (&s_nodes);
}

//  One of three goes: what it held is gone, the rest is there, and nothing hangs
static void s_one_of_three_leaves (doors_t doors)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 3, doors, 16 * MIB));
    umbp_t *pools[3];
    enum { COUNT = 60, SIZE = 70000 };
    static uint8_t data[SIZE];
    umbp_key_t keys[COUNT];
    static char names[COUNT][16];
    int8_t found[COUNT];
    for (size_t node = 0; node < 3; node++)
        pools[node] = nodes_connect (&s_nodes, node, (umbp_options_t) { .timeout_ms = 4000 });
    for (size_t index = 0; index < COUNT; index++) {         //  A third on each node
        snprintf (names[index], sizeof names[index], "third-%zu", index);
        keys[index] = (umbp_key_t) { names[index], strlen (names[index]) };
        nodes_fill (data, SIZE, index);
        CU_ASSERT (umbp_put (pools[index % 3], names[index], data, SIZE) == 0);
    }
    CU_ASSERT (umbp_exists_batch (pools[0], keys, COUNT, found, 0) == COUNT);
    umbp_close (&pools[2]);
    umbp_node_destroy (&s_nodes.nodes[2]);
    s_nodes.count = 2;
    for (size_t index = 0; index < COUNT; index++) {
        int64_t now_ms = umbp_clock_ms ();
        long got = umbp_get (pools[index % 2], names[index], data, SIZE);
        CU_ASSERT (s_in_time (now_ms, 4000));
        if (index % 3 == 2) {
            CU_ASSERT (got < 0);
        } else {
            CU_ASSERT (got == SIZE && nodes_is_filled (data, SIZE, index));
        }
    }
    int64_t now_ms = umbp_clock_ms ();
    CU_ASSERT (umbp_exists_batch (pools[1], keys, COUNT, found, 0) >= 40);
    CU_ASSERT (s_in_time (now_ms, 4000));
    for (size_t index = 0; index < COUNT; index++)
        CU_ASSERT (index % 3 == 2 || found[index] == 1);
    umbp_item_t item = { .key = { "new", 3 }, .data = data, .size = SIZE };
    umbp_put_options_t options = { .strategy = UMBP_STRATEGY_MOST_FREE };
    CU_ASSERT (umbp_put_batch (pools[0], &item, 1, &options, 0) == 1);
    CU_ASSERT (umbp_get (pools[1], "new", data, SIZE) == SIZE);
    umbp_close (&pools[0]);
    umbp_close (&pools[1]);
    nodes_stop (&s_nodes);
}

static void test_one_of_three_leaves (void)
{
    s_one_of_three_leaves (WITH_DOORS);
    s_one_of_three_leaves (WITHOUT_DOORS);
}

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IOLBF, 0);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("client faults", NULL, NULL);
    CU_ADD_TEST (suite, test_connect_to_nothing);
    CU_ADD_TEST (suite, test_second_endpoint);
    CU_ADD_TEST (suite, test_fork);
    CU_ADD_TEST (suite, test_no_lane_free);
    CU_ADD_TEST (suite, test_damaged_block);
    CU_ADD_TEST (suite, test_full_pool);
    CU_ADD_TEST (suite, test_full_of_views);
    CU_ADD_TEST (suite, test_threads_one_node);
    CU_ADD_TEST (suite, test_threads_three_nodes);
    CU_ADD_TEST (suite, test_threads_tcp);
    CU_ADD_TEST (suite, test_node_leaves);
    CU_ADD_TEST (suite, test_node_returns);
    CU_ADD_TEST (suite, test_one_of_three_leaves);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

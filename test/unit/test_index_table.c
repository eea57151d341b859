//  test/unit/test_index_table.c - the memory of an index shard against its contract and a naive
//  model
#include "actors/index_table.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BENCH_KEYS 1000000

static uint64_t s_stream;               //  Of random numbers

static uint64_t s_random (void)
{
    return umbp_splitmix (&s_stream);
}

//  Seed from UMBP_SEED or the clock, printed, so that a failure can be run again
static void s_seed (const char *test)
{
    const char *text = getenv ("UMBP_SEED");
    uint64_t clock = (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    s_stream = text ? strtoull (text, NULL, 10) : clock;
    printf ("[%s seed=%llu] ", test, (unsigned long long) s_stream);
}

static umbp_fingerprint_t s_any (void)
{
    uint64_t hi = s_random ();
    return (umbp_fingerprint_t) { .hi = hi, .lo = s_random () };
}

static int64_t s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C (1000000000) + now.tv_nsec;
}

static void test_first_writer_decides (void)
{
    umbp_index_table_t *table = umbp_index_table_new (4);
    umbp_fingerprint_t key = { .hi = 7, .lo = 9 }, other = { .hi = 7, .lo = 10 };
    umbp_place_t place = { .node = 3, .tier = 2, .size = 4096, .sum = 11 }, out[8];
    CU_ASSERT (!umbp_index_table_has (table, &key, NULL));
    CU_ASSERT (umbp_index_table_remove (table, &key, 3, 2) == UMBP_ENOENT);
    CU_ASSERT (umbp_index_table_add (table, &key, &place) == UMBP_OK);
    CU_ASSERT (umbp_index_table_add (table, &key, &place) == UMBP_OK);
    CU_ASSERT (umbp_index_table_count (table) == 1);
    place.tier = 3;
    CU_ASSERT (umbp_index_table_add (table, &key, &place) == UMBP_EEXIST);
    place.sum = 12;
    CU_ASSERT (umbp_index_table_add (table, &key, &place) == UMBP_ECHECKSUM);
    place.sum = 11;
    place.size = 4095;
    CU_ASSERT (umbp_index_table_add (table, &key, &place) == UMBP_ECHECKSUM);
    CU_ASSERT (umbp_index_table_add (table, &other, &place) == UMBP_OK);
    CU_ASSERT (umbp_index_table_count (table) == 3);
    CU_ASSERT (umbp_index_table_keys (table) == 2);
    CU_ASSERT (umbp_index_table_find (table, &key, out, 8) == 2);
    CU_ASSERT (out[0].tier == 2 && out[1].tier == 3 && out[1].node == 3 && out[1].size == 4096);
    CU_ASSERT (umbp_index_table_find (table, &key, out, 1) == 1);
    CU_ASSERT (umbp_index_table_find (table, &key, out, 0) == 0);
    CU_ASSERT (umbp_index_table_remove (table, &key, 3, 2) == UMBP_OK);
    CU_ASSERT (umbp_index_table_remove (table, &key, 3, 2) == UMBP_ENOENT);
    CU_ASSERT (umbp_index_table_keys (table) == 2);
    CU_ASSERT (umbp_index_table_remove (table, &key, 3, 3) == UMBP_OK);
    CU_ASSERT (umbp_index_table_keys (table) == 1);
    umbp_index_table_destroy (&table);
    CU_ASSERT (table == NULL);
    umbp_index_table_destroy (&table);
}

static void test_live_nodes_count (void)
{
    umbp_index_table_t *table = umbp_index_table_new (10);
    umbp_fingerprint_t key = { .hi = UINT64_MAX, .lo = UINT64_MAX };
    bool live[3] = { false };
    umbp_place_t place = { .node = 1, .tier = 1 };
    umbp_index_table_add (table, &key, &place);
    place.node = 2;
    umbp_index_table_add (table, &key, &place);
    CU_ASSERT (umbp_index_table_has (table, &key, NULL));
    CU_ASSERT (!umbp_index_table_has (table, &key, live));
    live[2] = true;
    CU_ASSERT (umbp_index_table_has (table, &key, live));
    umbp_index_table_destroy (&table);
}

static void test_limits (void)
{
    CU_ASSERT (umbp_index_table_new (0) == NULL);
    CU_ASSERT (umbp_index_table_new ((size_t) 1 << 32) == NULL);
    umbp_index_table_t *table = umbp_index_table_new (100);
    umbp_place_t place = { .node = 1, .tier = 1, .size = 1, .sum = 1 };
    for (uint64_t index = 0; index < 100; index++) {
        umbp_fingerprint_t key = { .hi = index << 56, .lo = index };
        CU_ASSERT (umbp_index_table_add (table, &key, &place) == UMBP_OK);
    }
    umbp_fingerprint_t known = { 0 }, fresh = { .hi = 1 };
    CU_ASSERT (umbp_index_table_add (table, &fresh, &place) == UMBP_ENOSPC);
    CU_ASSERT (umbp_index_table_add (table, &known, &place) == UMBP_OK);
    place.tier = 2;
    CU_ASSERT (umbp_index_table_add (table, &known, &place) == UMBP_ENOSPC);
    place.sum = 2;
    CU_ASSERT (umbp_index_table_add (table, &known, &place) == UMBP_ECHECKSUM);
    CU_ASSERT (umbp_index_table_count (table) == 100);
    place = (umbp_place_t) { .node = UMBP_INDEX_NODES_MAX, .tier = 1, .size = 1, .sum = 1 };
    CU_ASSERT (umbp_index_table_add (table, &known, &place) == UMBP_EINVAL);
    CU_ASSERT (umbp_index_table_remove (table, &known, UMBP_INDEX_NODES_MAX, 1) == UMBP_ENOENT);
    place.node = 1;
    place.tier = UMBP_INDEX_TIERS_MAX;
    CU_ASSERT (umbp_index_table_add (table, &known, &place) == UMBP_EINVAL);
    umbp_index_table_destroy (&table);
}

//  A peer that names one block in very many places, or fingerprints that are all neighbours, is
//  refused at a bound, and what was taken stays right
static void test_hostile_neighbours (void)
{
    umbp_index_table_t *table = umbp_index_table_new (100000);
    umbp_place_t place = { .tier = 1, .size = 1, .sum = 1 };
    umbp_fingerprint_t key = { .hi = UINT64_MAX, .lo = 5 };
    for (unsigned node = 0; node < UMBP_INDEX_REPLICAS_MAX; node++) {
        place.node = node;
        CU_ASSERT (umbp_index_table_add (table, &key, &place) == (node ? UMBP_EEXIST : UMBP_OK));
    }
    place.node = UMBP_INDEX_REPLICAS_MAX;
    CU_ASSERT (umbp_index_table_add (table, &key, &place) == UMBP_ENOSPC);
    size_t taken = 0;
    place.node = 0;
    for (uint64_t index = 0; index < 20000; index++) {
        umbp_fingerprint_t near = { .hi = UINT64_MAX, .lo = 1000 + index };
        taken += umbp_index_table_add (table, &near, &place) == UMBP_OK;
    }
    CU_ASSERT (taken > 1000 && taken < 20000);
    CU_ASSERT (umbp_index_table_count (table) == taken + UMBP_INDEX_REPLICAS_MAX);
    for (uint64_t index = 0; index < 20000; index++) {
        umbp_fingerprint_t near = { .hi = UINT64_MAX, .lo = 1000 + index };
        CU_ASSERT (umbp_index_table_has (table, &near, NULL) == (index < taken));
    }
    CU_ASSERT (umbp_index_table_drop_node (table, 0) == taken + 1);
    CU_ASSERT (umbp_index_table_keys (table) == 1);
    umbp_index_table_destroy (&table);
}

//  --- Against a model -------------------------------------------------------------------------

#define KEYS 2000
#define NODES 6
#define TIERS 3

typedef struct {
    umbp_fingerprint_t key;
    uint32_t sum, count;
    bool at[NODES][TIERS];
} model_t;

static model_t s_model[KEYS];

//  A third of the keys spread, a third close together, a third at the end of the last segment
static void s_model_start (void)
{
    memset (s_model, 0, sizeof s_model);
    for (size_t index = 0; index < KEYS; index++) {
        umbp_fingerprint_t key = s_any ();
        if (index % 3 == 1)
            key.hi = UINT64_C (0x8000000000000000) + index % 64;
        if (index % 3 == 2)
            key.hi = UINT64_MAX - index % 8;
        s_model[index].key = key;
    }
}

static int s_model_add (model_t *model, const umbp_place_t *place)
{
    uint32_t sum = place->sum + place->size;
    if (model->count > 0 && model->sum != sum)
        return UMBP_ECHECKSUM;
    if (model->at[place->node][place->tier])
        return UMBP_OK;
    model->at[place->node][place->tier] = true;
    model->sum = sum;
    return model->count++ ? UMBP_EEXIST : UMBP_OK;
}

static int s_model_remove (model_t *model, unsigned node, unsigned tier)
{
    if (!model->at[node][tier])
        return UMBP_ENOENT;
    model->at[node][tier] = false;
    model->count--;
    return UMBP_OK;
}

static void s_check_key (const umbp_index_table_t *table, const model_t *model)
{
    umbp_place_t out[NODES * TIERS + 1];
    size_t count = umbp_index_table_find (table, &model->key, out, NODES * TIERS + 1);
    bool live[NODES], any = false, seen[NODES][TIERS] = { { false } };
    CU_ASSERT (count == model->count);
    for (size_t index = 0; index < count; index++) {
        CU_ASSERT (model->at[out[index].node][out[index].tier]);
        CU_ASSERT (!seen[out[index].node][out[index].tier]);
        CU_ASSERT (out[index].sum + out[index].size == model->sum);
        seen[out[index].node][out[index].tier] = true;
    }
    for (unsigned node = 0; node < NODES; node++) {
        live[node] = s_random () % 2;
        for (unsigned tier = 0; tier < TIERS; tier++)
            any |= live[node] && model->at[node][tier];
    }
    CU_ASSERT (umbp_index_table_has (table, &model->key, live) == any);
    CU_ASSERT (umbp_index_table_has (table, &model->key, NULL) == (count > 0));
}

static size_t s_model_drop_node (unsigned node)
{
    size_t dropped = 0;
    for (size_t index = 0; index < KEYS; index++)
        for (unsigned tier = 0; tier < TIERS; tier++)
            dropped += s_model_remove (s_model + index, node, tier) == UMBP_OK;
    return dropped;
}

static void test_random_against_model (void)
{
    s_seed ("model");
    s_model_start ();
    umbp_index_table_t *table = umbp_index_table_new (KEYS * NODES * TIERS);
    for (int step = 0; step < 200000; step++) {
        model_t *model = s_model + s_random () % KEYS;
        umbp_place_t place = { .node = s_random () % NODES,
                               .tier = s_random () % TIERS,
                               .size = 100, .sum = s_random () % 16 ? 1 : 2 };
        unsigned what = s_random () % 1000;
        //  Tides, so that segments grow and shrink
        if (what < (step / 20000 % 2 ? 300u : 600u))
            CU_ASSERT (umbp_index_table_add (table, &model->key, &place)
                       == s_model_add (model, &place))
        else if (what < 900)
            CU_ASSERT (umbp_index_table_remove (table, &model->key, place.node, place.tier)
                       == s_model_remove (model, place.node, place.tier))
        else if (what < 999)
            s_check_key (table, model);
        else
            CU_ASSERT (umbp_index_table_drop_node (table, place.node)
                       == s_model_drop_node (place.node));
    }
    size_t entries = 0, keys = 0;
    for (size_t index = 0; index < KEYS; index++) {
        s_check_key (table, s_model + index);
        entries += s_model[index].count;
        keys += s_model[index].count > 0;
    }
    CU_ASSERT (umbp_index_table_count (table) == entries);
    CU_ASSERT (umbp_index_table_keys (table) == keys);
    umbp_index_table_destroy (&table);
}

//  --- Sweep -----------------------------------------------------------------------------------

#define STAY 20000                      //  Entries that are there throughout, known by their lo

typedef struct {
    uint8_t seen[STAY];
    uint32_t shown;                     //  In this call
} sweep_t;

//  Counts what stays, and drops half of what comes and goes
static bool s_look (void *arg, const umbp_fingerprint_t *key, const umbp_place_t *place)
{
    sweep_t *sweep = arg;
    sweep->shown++;
    if (key->lo < STAY) {
        sweep->seen[key->lo]++;
        return false;
    }
    return place->node == 1;
}

//  Adds and removes of other entries between the calls
static void s_stir (umbp_index_table_t *table, umbp_fingerprint_t *ring, size_t size, size_t *next)
{
    for (int turn = 0; turn < 40; turn++) {
        umbp_fingerprint_t *other = ring + (*next)++ % size;
        umbp_index_table_remove (table, other, 1, 1);
        umbp_index_table_remove (table, other, 2, 1);
        if (s_random () % 8 == 0)
            continue;
        *other = s_any ();
        other->lo |= UINT64_C (1) << 63;
        umbp_place_t place = { .node = 1 + s_random () % 2, .tier = 1 };
        umbp_index_table_add (table, other, &place);
    }
}

static void test_sweep_misses_nothing (void)
{
    s_seed ("sweep");
    umbp_index_table_t *table = umbp_index_table_new (1000000);
    umbp_fingerprint_t *ring = calloc (30000, sizeof (umbp_fingerprint_t));
    umbp_place_t place = { .node = 9, .tier = 1 };
    uint64_t hi = 0;
    for (uint64_t index = 0; index < STAY; index++) {
        umbp_fingerprint_t key = { .hi = index % 8 ? s_random () : hi + 1, .lo = index };
        if (index % 4 == 1)
            key.hi >>= 6;               //  Some segments have more, some cursors name two entries
        hi = key.hi;
        CU_ASSERT_FATAL (umbp_index_table_add (table, &key, &place) == UMBP_OK);
    }
    static const uint32_t budgets[] = { 0, 1, 3, 16, 100, 5000, UINT32_MAX };
    for (size_t index = 0; index < sizeof budgets / sizeof *budgets; index++) {
        sweep_t *sweep = calloc (1, sizeof (sweep_t));
        uint32_t cursor = 0, calls = 0, most = 0;
        size_t next = 0;
        do {
            sweep->shown = 0;
            umbp_index_table_sweep (table, &cursor, budgets[index], s_look, sweep);
            most = sweep->shown > most ? sweep->shown : most;
            if (calls++ % 16 == 0)
                s_stir (table, ring, calls < 20000 ? 30000 : 300, &next);
        } while (cursor > 0 && calls < 1000000);
        CU_ASSERT (cursor == 0);
        CU_ASSERT (most <= (uint64_t) budgets[index] + 8);
        size_t once = 0;
        for (size_t stay = 0; stay < STAY; stay++)
            once += sweep->seen[stay] == 1;
        CU_ASSERT (once == STAY);
        free (sweep);
    }
    free (ring);
    umbp_index_table_destroy (&table);
}

//  --- Figures ---------------------------------------------------------------------------------

static size_t s_heap (void)
{
    struct mallinfo2 info = mallinfo2 ();
    return info.uordblks + info.hblkhd;
}

//  Bytes per key as it fills, and the longest single add
static void s_fill (umbp_index_table_t *table, const umbp_fingerprint_t *keys)
{
    size_t before = s_heap ();
    double worst = 0;
    int64_t start = s_now_ns (), longest = 0, last = start;
    umbp_place_t place = { .node = 1, .tier = 2, .size = 65536, .sum = 5 };
    for (size_t index = 0; index < BENCH_KEYS; index++) {
        CU_ASSERT_FATAL (umbp_index_table_add (table, keys + index, &place) == UMBP_OK);
        int64_t now = s_now_ns ();
        longest = now - last > longest ? now - last : longest;
        last = now;
        if (index >= BENCH_KEYS / 10 && index % 1000 == 0) {
            double each = (double) umbp_index_table_bytes (table) / (double) (index + 1);
            worst = each > worst ? each : worst;
        }
    }
    double own = (double) umbp_index_table_bytes (table) / BENCH_KEYS;
    double heap = (double) (s_heap () - before) / BENCH_KEYS;
    printf ("\n    1 M keys: %.1f bytes per key (heap says %.1f, worst from 0.1 M on %.1f), "
            "add %.0f ns, longest %.0f us\n",
            own, heap, worst, (double) (last - start) / BENCH_KEYS, (double) longest / 1e3);
    CU_ASSERT (own <= 40 && heap <= 40 && worst <= 40);      //  Twice that, for two copies, is 80
}

//  Lookups of 128 at a time, as a batch comes; half of them are misses
static void s_look_up (const umbp_index_table_t *table, const umbp_fingerprint_t *keys,
                       bool prefetch)
{
    enum { BATCH = 128, ROUNDS = 4000 };
    static umbp_fingerprint_t batch[BATCH];
    size_t found = 0, wanted = 0;
    int64_t spent = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int index = 0; index < BATCH; index++) {
            batch[index] = index % 2 ? s_any () : keys[s_random () % BENCH_KEYS];
            wanted += index % 2 == 0;
        }
        int64_t start = s_now_ns ();
        for (int index = 0; prefetch && index < BATCH; index++)
            umbp_index_table_prefetch (table, batch + index);
        for (int index = 0; index < BATCH; index++)
            found += umbp_index_table_has (table, batch + index, NULL);
        spent += s_now_ns () - start;
    }
    CU_ASSERT (found == wanted);
    printf ("    128 lookups at once, %s prefetch: %.1f ns per key\n", prefetch ? "with" : "no",
            (double) spent / BATCH / ROUNDS);
}

static void test_bytes_and_speed (void)
{
    s_seed ("figures");
    umbp_fingerprint_t *keys = calloc (BENCH_KEYS, sizeof (umbp_fingerprint_t));
    for (size_t index = 0; index < BENCH_KEYS; index++)
        keys[index] = s_any ();
    umbp_index_table_t *table = umbp_index_table_new (BENCH_KEYS);
    s_fill (table, keys);
    s_look_up (table, keys, false);
    s_look_up (table, keys, true);
    int64_t start = s_now_ns ();
    CU_ASSERT (umbp_index_table_drop_node (table, 1) == BENCH_KEYS);
    printf ("    drop a node of 1 M entries: %.1f ms\n", (double) (s_now_ns () - start) / 1e6);
    CU_ASSERT (umbp_index_table_count (table) == 0 && umbp_index_table_keys (table) == 0);
    CU_ASSERT (umbp_index_table_bytes (table) < 1000000);
    umbp_index_table_destroy (&table);
    free (keys);
}

int main (void)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("index_table", NULL, NULL);
    CU_ADD_TEST (suite, test_first_writer_decides);
    CU_ADD_TEST (suite, test_live_nodes_count);
    CU_ADD_TEST (suite, test_limits);
    CU_ADD_TEST (suite, test_hostile_neighbours);
    CU_ADD_TEST (suite, test_random_against_model);
    CU_ADD_TEST (suite, test_sweep_misses_nothing);
    CU_ADD_TEST (suite, test_bytes_and_speed);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_kv_table.c - the external-KV index against its contract and a naive model
#include "actors/kv_table.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TTL 1000

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

static int64_t s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C (1000000000) + now.tv_nsec;
}

static int s_join (umbp_kv_table_t *table, const char *id, const char *address)
{
    return umbp_kv_table_engine (table, id, strlen (id), address, strlen (address));
}

static void test_engines_have_numbers (void)
{
    umbp_kv_table_t *table = umbp_kv_table_new (10, TTL);
    char text[200];
    memset (text, 'x', sizeof text);
    int one = s_join (table, "one", "tcp://a:1"), two = s_join (table, "two", "");
    CU_ASSERT (one >= 0 && two >= 0 && one != two);
    CU_ASSERT (s_join (table, "one", "tcp://b:2") == one);
    CU_ASSERT_STRING_EQUAL (umbp_kv_table_engine_id (table, one), "one");
    CU_ASSERT_STRING_EQUAL (umbp_kv_table_engine_address (table, one), "tcp://b:2");
    CU_ASSERT_STRING_EQUAL (umbp_kv_table_engine_address (table, two), "");
    CU_ASSERT (umbp_kv_table_find_engine (table, "two", 3) == two);
    CU_ASSERT (umbp_kv_table_find_engine (table, "tw", 2) == UMBP_ENOENT);
    CU_ASSERT (umbp_kv_table_find_engine (table, "", 0) == UMBP_ENOENT);
    CU_ASSERT (umbp_kv_table_engine (table, "", 0, "", 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_kv_table_engine (table, "a\0b", 3, "", 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_kv_table_engine (table, "a", 1, "\0", 1) == UMBP_EINVAL);
    CU_ASSERT (umbp_kv_table_engine (table, text, UMBP_KV_ENGINE_BYTES_MAX + 1, "", 0)
               == UMBP_ETOOBIG);
    CU_ASSERT (umbp_kv_table_engine (table, "a", 1, text, 129) == UMBP_ETOOBIG);
    int full = umbp_kv_table_engine (table, text, UMBP_KV_ENGINE_BYTES_MAX, text, 128);
    CU_ASSERT (strlen (umbp_kv_table_engine_id (table, full)) == UMBP_KV_ENGINE_BYTES_MAX);
    CU_ASSERT (strlen (umbp_kv_table_engine_address (table, full)) == 128);
    static const int none[] = { -1, 3, 4096, 100000, INT32_MIN, INT32_MAX };
    for (size_t index = 0; index < sizeof none / sizeof *none; index++) {
        CU_ASSERT (umbp_kv_table_engine_id (table, none[index]) == NULL);
        CU_ASSERT (umbp_kv_table_engine_address (table, none[index]) == NULL);
        CU_ASSERT (umbp_kv_table_report (table, none[index], "h", 1, 1) == UMBP_EINVAL);
        CU_ASSERT (umbp_kv_table_revoke_engine (table, none[index]) == 0);
        CU_ASSERT (umbp_kv_table_forget (table, none[index]) == 0);
    }
    umbp_kv_table_destroy (&table);
    CU_ASSERT (table == NULL);
    umbp_kv_table_destroy (&table);
}

static void test_engines_are_bounded_and_reused (void)
{
    umbp_kv_table_t *table = umbp_kv_table_new (10, TTL);
    char id[20];
    for (int index = 0; index < UMBP_KV_ENGINES_MAX; index++) {
        snprintf (id, sizeof id, "engine-%d", index);
        CU_ASSERT (s_join (table, id, "") >= 0);
    }
    CU_ASSERT (s_join (table, "late", "") == UMBP_ENOSPC);
    int left = umbp_kv_table_find_engine (table, "engine-77", 9);
    CU_ASSERT (umbp_kv_table_report (table, left, "h", 1, 1) == 1);
    CU_ASSERT (umbp_kv_table_forget (table, left) == 1);
    CU_ASSERT (umbp_kv_table_engine_id (table, left) == NULL);
    CU_ASSERT (umbp_kv_table_count (table) == 0);
    CU_ASSERT (umbp_kv_table_report (table, left, "h", 1, 1) == UMBP_EINVAL);
    CU_ASSERT (s_join (table, "late", "") == left);
    CU_ASSERT (umbp_kv_table_engine_count (table, left) == 0);
    umbp_kv_table_destroy (&table);
}

static void test_reports_add_up (void)
{
    umbp_kv_table_t *table = umbp_kv_table_new (10, TTL);
    int one = s_join (table, "one", ""), two = s_join (table, "two", "");
    umbp_kv_match_t out[4];
    CU_ASSERT (umbp_kv_table_match (table, "hash", 4, out, 4) == 0);
    CU_ASSERT (umbp_kv_table_report (table, one, "hash", 4, 1) == 1);
    CU_ASSERT (umbp_kv_table_report (table, one, "hash", 4, 1) == 0);
    CU_ASSERT (umbp_kv_table_report (table, one, "hash", 4, 8) == 1);
    CU_ASSERT (umbp_kv_table_report (table, two, "hash", 4, 2) == 1);
    CU_ASSERT (umbp_kv_table_match (table, "hash", 4, out, 4) == 2);
    CU_ASSERT (out[0].engine == two && out[0].tiers == UMBP_KV_TIER_BIT (2));
    CU_ASSERT (out[1].engine == one && out[1].tiers == 0x81);
    CU_ASSERT (umbp_kv_table_match (table, "hash", 4, out, 1) == 1);
    CU_ASSERT (umbp_kv_table_match (table, "has", 3, out, 4) == 0);
    CU_ASSERT (umbp_kv_table_match (table, "", 0, out, 4) == 0);
    CU_ASSERT (umbp_kv_table_revoke (table, one, "hash", 4, 3) == 0);
    CU_ASSERT (umbp_kv_table_revoke (table, one, "other", 5, 1) == 0);
    CU_ASSERT (umbp_kv_table_revoke (table, one, "hash", 4, 1) == 1);
    CU_ASSERT (umbp_kv_table_revoke (table, one, "hash", 4, 1) == 0);
    CU_ASSERT (umbp_kv_table_revoke_tier (table, one, 8) == 1);
    CU_ASSERT (umbp_kv_table_revoke_tier (table, one, 9) == 0);
    CU_ASSERT (umbp_kv_table_match (table, "hash", 4, out, 4) == 1 && out[0].engine == two);
    CU_ASSERT (umbp_kv_table_revoke_engine (table, two) == 1);
    CU_ASSERT (umbp_kv_table_count (table) == 0);
    umbp_kv_table_destroy (&table);
}

static void test_impossible_arguments (void)
{
    umbp_kv_table_t *table = umbp_kv_table_new (3, TTL);
    char text[UMBP_KV_HASH_BYTES_MAX + 1] = { 0 };
    int one = s_join (table, "one", ""), two = s_join (table, "two", "");
    CU_ASSERT (umbp_kv_table_new (0, TTL) == NULL);
    CU_ASSERT (umbp_kv_table_new ((size_t) UMBP_KV_HASHES_MAX + 1, TTL) == NULL);
    CU_ASSERT (umbp_kv_table_report (table, one, text, 0, 1) == UMBP_EINVAL);
    CU_ASSERT (umbp_kv_table_report (table, one, text, sizeof text, 1) == UMBP_ETOOBIG);
    CU_ASSERT (umbp_kv_table_report (table, one, text, 1, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_kv_table_report (table, one, text, 1, 9) == UMBP_EINVAL);
    CU_ASSERT (umbp_kv_table_hit (table, text, 0, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_kv_table_hit (table, text, sizeof text, 0) == UMBP_ETOOBIG);
    CU_ASSERT (umbp_kv_table_hits (table, text, sizeof text) == 0);
    for (size_t size = 126; size <= 128; size++)
        CU_ASSERT (umbp_kv_table_report (table, one, text, size, 1) == 1);
    CU_ASSERT (umbp_kv_table_report (table, one, text, 1, 1) == UMBP_ENOSPC);
    CU_ASSERT (umbp_kv_table_report (table, two, text, 128, 1) == 1);
    CU_ASSERT (umbp_kv_table_revoke (table, one, text, 126, 1) == 1);
    CU_ASSERT (umbp_kv_table_report (table, one, text, 1, 1) == 1);
    for (size_t size = 1; size <= 3; size++)
        CU_ASSERT (umbp_kv_table_hit (table, text, size, 0) == UMBP_OK);
    CU_ASSERT (umbp_kv_table_hit (table, text, 4, 0) == UMBP_ENOSPC);
    CU_ASSERT (umbp_kv_table_hit (table, text, 3, 0) == UMBP_OK);
    umbp_kv_table_destroy (&table);
}

//  Many engines on few hashes: the holdings have a limit of their own
static void test_holdings_are_bounded (void)
{
    umbp_kv_table_t *table = umbp_kv_table_new (2, TTL);
    int engines[9];
    for (int index = 0; index < 9; index++) {
        char id[2] = { 'a' + index, 0 };
        engines[index] = s_join (table, id, "");
        CU_ASSERT (umbp_kv_table_report (table, engines[index], "h", 1, 1)
                   == (index < 8 ? 1 : UMBP_ENOSPC));
    }
    CU_ASSERT (umbp_kv_table_report (table, engines[0], "new", 3, 1) == UMBP_ENOSPC);
    CU_ASSERT (umbp_kv_table_count (table) == 1);
    CU_ASSERT (umbp_kv_table_report (table, engines[0], "h", 1, 2) == 1);
    CU_ASSERT (umbp_kv_table_forget (table, engines[3]) == 1);
    CU_ASSERT (umbp_kv_table_report (table, engines[0], "new", 3, 1) == 1);
    umbp_kv_table_destroy (&table);
}

static void test_hits_outlive_holders (void)
{
    umbp_kv_table_t *table = umbp_kv_table_new (10, TTL);
    int one = s_join (table, "one", "");
    CU_ASSERT (umbp_kv_table_hits (table, "a", 1) == 0);
    umbp_kv_table_report (table, one, "a", 1, 1);
    umbp_kv_table_hit (table, "a", 1, 100);
    umbp_kv_table_hit (table, "a", 1, 200);
    umbp_kv_table_hit (table, "b", 1, 100);
    umbp_kv_table_forget (table, one);
    CU_ASSERT (umbp_kv_table_hits (table, "a", 1) == 2);
    CU_ASSERT (umbp_kv_table_gc (table, 0, 100) == 0);           //  A clock that stepped back
    CU_ASSERT (umbp_kv_table_gc (table, 1099, 100) == 0);
    CU_ASSERT (umbp_kv_table_gc (table, 1100, 100) == 1);
    CU_ASSERT (umbp_kv_table_hits (table, "b", 1) == 0);
    CU_ASSERT (umbp_kv_table_hits (table, "a", 1) == 2);
    CU_ASSERT (umbp_kv_table_hit (table, "a", 1, 1200) == UMBP_OK);
    CU_ASSERT (umbp_kv_table_hits (table, "a", 1) == 1);         //  Too old to go on counting
    CU_ASSERT (umbp_kv_table_gc (table, 2200, 1) + umbp_kv_table_gc (table, 2200, 1) == 1);
    CU_ASSERT (umbp_kv_table_hit_count (table) == 0);
    CU_ASSERT (umbp_kv_table_hit (table, "c", 1, 2300) == UMBP_OK);
    CU_ASSERT (umbp_kv_table_hits (table, "c", 1) == 1);
    umbp_kv_table_destroy (&table);
}

//  --- Against a model -------------------------------------------------------------------------

#define HASHES 400
#define HASHES_MAX 250
#define HOLDINGS_MAX (4 * HASHES_MAX)
#define ENGINES 12

static struct {
    unsigned char bytes[UMBP_KV_HASH_BYTES_MAX];
    size_t size;
    uint8_t tiers[ENGINES];
    uint64_t hits, last_ms;
} s_model[HASHES];
static size_t s_held, s_holdings, s_hit;

//  Every length, some of them only a prefix of another
static void s_model_start (void)
{
    memset (s_model, 0, sizeof s_model);
    s_held = s_holdings = s_hit = 0;
    for (size_t hash = 0; hash < HASHES; hash++) {
        s_model[hash].size = hash < 128 ? hash + 1 : 2 + s_random () % 127;
        for (size_t byte = 0; byte < s_model[hash].size; byte++)
            s_model[hash].bytes[byte] = hash < 128 ? 0 : s_random ();
        if (hash >= 128) {              //  No two are equal
            s_model[hash].bytes[0] = 1 + hash / 256;
            s_model[hash].bytes[1] = hash;
        }
    }
}

static size_t s_model_holders (size_t hash)
{
    size_t count = 0;
    for (size_t engine = 0; engine < ENGINES; engine++)
        count += s_model[hash].tiers[engine] > 0;
    return count;
}

//  Set the tiers of one engine, and count again
static void s_model_set (size_t hash, size_t engine, unsigned tiers)
{
    size_t before = s_model_holders (hash);
    s_model[hash].tiers[engine] = tiers;
    size_t after = s_model_holders (hash);
    s_holdings += after - before;
    s_held += (after > 0) - (before > 0);
}

static int s_model_report (size_t hash, size_t engine, int tier)
{
    unsigned tiers = s_model[hash].tiers[engine], bit = UMBP_KV_TIER_BIT (tier);
    if (!s_model_holders (hash) && s_held == HASHES_MAX)
        return UMBP_ENOSPC;
    if (!tiers && s_holdings == HOLDINGS_MAX)
        return UMBP_ENOSPC;
    s_model_set (hash, engine, tiers | bit);
    return !(tiers & bit);
}

//  Take tiers from an engine's hash. Returns 1 if it had one of them.
static int s_model_revoke (size_t hash, size_t engine, unsigned tiers)
{
    int had = (s_model[hash].tiers[engine] & tiers) > 0;
    s_model_set (hash, engine, s_model[hash].tiers[engine] & ~tiers);
    return had;
}

static size_t s_model_revoke_all (size_t engine, unsigned tiers)
{
    size_t count = 0;
    for (size_t hash = 0; hash < HASHES; hash++)
        count += s_model_revoke (hash, engine, tiers);
    return count;
}

static int s_model_hit (size_t hash, uint64_t now_ms)
{
    if (!s_model[hash].hits && s_hit == HASHES_MAX)
        return UMBP_ENOSPC;
    s_hit += !s_model[hash].hits;
    if (now_ms - s_model[hash].last_ms >= TTL)
        s_model[hash].hits = 0;
    s_model[hash].hits++;
    s_model[hash].last_ms = now_ms;
    return UMBP_OK;
}

static size_t s_model_gc (uint64_t now_ms)
{
    size_t count = 0;
    for (size_t hash = 0; hash < HASHES; hash++)
        if (s_model[hash].hits && now_ms - s_model[hash].last_ms >= TTL) {
            s_model[hash].hits = 0;
            count++;
        }
    s_hit -= count;
    return count;
}

static void s_check_hash (const umbp_kv_table_t *table, const int *engines, size_t hash)
{
    umbp_kv_match_t out[ENGINES + 1];
    size_t count = umbp_kv_table_match (table, s_model[hash].bytes, s_model[hash].size, out,
                                        ENGINES + 1),
           right = 0;
    for (size_t index = 0; index < count; index++)
        for (size_t engine = 0; engine < ENGINES; engine++)
            right += engines[engine] == out[index].engine && out[index].tiers > 0
                     && s_model[hash].tiers[engine] == out[index].tiers;
    CU_ASSERT (right == count && count == s_model_holders (hash));
    CU_ASSERT (umbp_kv_table_hits (table, s_model[hash].bytes, s_model[hash].size)
               == s_model[hash].hits);
}

//  One of the rarer things that happen to an engine
static void s_step_engine (umbp_kv_table_t *table, int *engines, size_t engine, int tier)
{
    int number = engines[engine];
    switch (s_random () % 3) {
    case 0:
        CU_ASSERT (umbp_kv_table_revoke_tier (table, number, tier)
                   == s_model_revoke_all (engine, UMBP_KV_TIER_BIT (tier)));
        break;
    case 1:
        CU_ASSERT (umbp_kv_table_revoke_engine (table, number)
                   == s_model_revoke_all (engine, 0xff));
        break;
    default:
        CU_ASSERT (umbp_kv_table_forget (table, number) == s_model_revoke_all (engine, 0xff));
        char id[20];
        snprintf (id, sizeof id, "again-%llu", (unsigned long long) s_random () % 1000000000);
        engines[engine] = s_join (table, id, id);
        CU_ASSERT_STRING_EQUAL (umbp_kv_table_engine_address (table, engines[engine]), id);
    }
}

static void s_step (umbp_kv_table_t *table, int *engines, uint64_t now_ms)
{
    size_t hash = s_random () % HASHES, engine = s_random () % ENGINES;
    int tier = 1 + s_random () % 8;
    const unsigned char *bytes = s_model[hash].bytes;
    size_t size = s_model[hash].size;
    unsigned what = s_random () % 1000;
    if (what < 500)
        CU_ASSERT (umbp_kv_table_report (table, engines[engine], bytes, size, tier)
                   == s_model_report (hash, engine, tier))
    else if (what < 700)
        CU_ASSERT (umbp_kv_table_revoke (table, engines[engine], bytes, size, tier)
                   == s_model_revoke (hash, engine, UMBP_KV_TIER_BIT (tier)))
    else if (what < 850)
        CU_ASSERT (umbp_kv_table_hit (table, bytes, size, now_ms) == s_model_hit (hash, now_ms))
    else if (what < 990)
        s_check_hash (table, engines, hash);
    else if (what < 998)
        CU_ASSERT (umbp_kv_table_gc (table, now_ms, SIZE_MAX) == s_model_gc (now_ms))
    else
        s_step_engine (table, engines, engine, tier);
}

static void test_random_against_model (void)
{
    s_seed ("model");
    s_model_start ();
    umbp_kv_table_t *table = umbp_kv_table_new (HASHES_MAX, TTL);
    int engines[ENGINES];
    for (int engine = 0; engine < ENGINES; engine++) {
        char id[2] = { 'a' + engine, 0 };
        engines[engine] = s_join (table, id, id);
    }
    uint64_t now_ms = 5000;
    for (int step = 0; step < 200000; step++) {
        now_ms += s_random () % 4;
        s_step (table, engines, now_ms);
    }
    for (size_t hash = 0; hash < HASHES; hash++)
        s_check_hash (table, engines, hash);
    CU_ASSERT (umbp_kv_table_count (table) == s_held);
    CU_ASSERT (umbp_kv_table_hit_count (table) == s_hit);
    size_t holdings = 0;
    for (int engine = 0; engine < ENGINES; engine++)
        holdings += umbp_kv_table_engine_count (table, engines[engine]);
    CU_ASSERT (holdings == s_holdings);
    umbp_kv_table_destroy (&table);
}

//  --- Figures ---------------------------------------------------------------------------------

#define BENCH_HASHES 1000000

//  A hash of its number, of up to 64 bytes: SGLang has 64 hex digits, vLLM 32 bytes
static void s_bench_hash (uint64_t index, size_t size, char *hash)
{
    uint64_t words[8];
    for (size_t word = 0; word < 8; word++)
        words[word] = (index + word) * 0x9e3779b97f4a7c15;
    memcpy (hash, words, size);
}

//  What a million hashes of one size take, and what one engine's leaving costs beside them
static void s_bench (size_t size)
{
    umbp_kv_table_t *table = umbp_kv_table_new (BENCH_HASHES, TTL);
    size_t empty = umbp_kv_table_bytes (table);
    int many = s_join (table, "many", ""), few = s_join (table, "few", "");
    char hash[64];
    int64_t start = s_now_ns ();
    for (size_t index = 0; index < BENCH_HASHES; index++) {
        s_bench_hash (index, size, hash);
        CU_ASSERT_FATAL (umbp_kv_table_report (table, many, hash, size, 1) == 1);
        if (index % 1000 == 0)
            umbp_kv_table_report (table, few, hash, size, 2);
    }
    int64_t reported = s_now_ns ();
    size_t bytes = umbp_kv_table_bytes (table), found = 0;
    umbp_kv_match_t out[2];
    int64_t counted = s_now_ns ();
    for (size_t index = 0; index < BENCH_HASHES; index++) {
        s_bench_hash (index * 7919 % BENCH_HASHES, size, hash);
        found += umbp_kv_table_match (table, hash, size, out, 2);
    }
    int64_t matched = s_now_ns ();
    CU_ASSERT (found == BENCH_HASHES + BENCH_HASHES / 1000);
    CU_ASSERT (umbp_kv_table_revoke_engine (table, few) == BENCH_HASHES / 1000);
    int64_t few_left = s_now_ns ();
    CU_ASSERT (umbp_kv_table_revoke_engine (table, many) == BENCH_HASHES);
    int64_t many_left = s_now_ns ();
    printf ("\n    1 M hashes of %zu bytes: %.1f bytes per hash (empty table %.1f MB), "
            "report %.0f ns, match %.0f ns,\n    an engine of 1000 leaves in %.2f ms, "
            "one of 1 M in %.0f ms",
            size, (double) bytes / BENCH_HASHES, (double) empty / 1e6,
            (double) (reported - start) / BENCH_HASHES, (double) (matched - counted) / BENCH_HASHES,
            (double) (few_left - matched) / 1e6, (double) (many_left - few_left) / 1e6);
    CU_ASSERT (bytes < BENCH_HASHES * (size + 100));
    CU_ASSERT (umbp_kv_table_count (table) == 0);
    umbp_kv_table_destroy (&table);
}

static void test_bytes_and_speed (void)
{
    s_bench (64);
    s_bench (32);
    s_bench (16);
}

int main (void)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("kv_table", NULL, NULL);
    CU_ADD_TEST (suite, test_engines_have_numbers);
    CU_ADD_TEST (suite, test_engines_are_bounded_and_reused);
    CU_ADD_TEST (suite, test_reports_add_up);
    CU_ADD_TEST (suite, test_impossible_arguments);
    CU_ADD_TEST (suite, test_holdings_are_bounded);
    CU_ADD_TEST (suite, test_hits_outlive_holders);
    CU_ADD_TEST (suite, test_random_against_model);
    CU_ADD_TEST (suite, test_bytes_and_speed);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

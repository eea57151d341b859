//  test/unit/test_bench_tally.c - what a bench counts, and what it says of it
#include <CUnit/Basic.h>
#include <string.h>
#include <unistd.h>

#include "bin/bench_loop.h"
#include "bin/bench_tally.h"

static double s_real (const json_t *doc, const char *one, const char *two, const char *three)
{
    json_t *at = json_object_get (doc, one);
    at = two ? json_object_get (at, two) : at;
    return json_number_value (three ? json_object_get (at, three) : at);
}

//  Two threads, merged
static void test_merge (void)
{
    umbp_bench_tally_t one, other;
    umbp_bench_tally_init (&one);
    umbp_bench_tally_init (&other);
    for (uint64_t us = 1; us <= 100; us++)
        umbp_histogram_add ((us % 2 ? one : other).calls[UMBP_BENCH_GET], us * 1000);
    one.items[UMBP_BENCH_GET] = other.items[UMBP_BENCH_GET] = 500;
    one.bytes[UMBP_BENCH_GET] = other.bytes[UMBP_BENCH_GET] = 1000000000;
    one.hits = 7, other.hits = 1, other.misses = 2, other.already = 3;
    umbp_bench_tally_error (&one, UMBP_EAGAIN);
    umbp_bench_tally_error (&other, UMBP_EAGAIN);
    umbp_bench_tally_error (&other, -999);
    umbp_bench_tally_error (&other, 5);
    umbp_bench_tally_wrong (&other, "first");
    umbp_bench_tally_wrong (&other, "second");
    umbp_bench_tally_merge (&one, &other);
    CU_ASSERT (umbp_bench_tally_errors (&one) == 4);
    CU_ASSERT (one.wrong == 2);
    CU_ASSERT_STRING_EQUAL (one.wrong_key, "first");

    json_t *doc = umbp_bench_tally_json (&one, 2);
    CU_ASSERT (s_real (doc, "get", "calls", NULL) == 100);
    CU_ASSERT (s_real (doc, "get", "keys_s", NULL) == 500);
    CU_ASSERT (s_real (doc, "get", "gb_s", NULL) == 1);
    CU_ASSERT_DOUBLE_EQUAL (s_real (doc, "get", "us", "p50"), 50, 1);
    CU_ASSERT_DOUBLE_EQUAL (s_real (doc, "get", "us", "p99"), 99, 2);
    CU_ASSERT (s_real (doc, "get", "us", "max") == 100);
    CU_ASSERT (json_object_get (doc, "put") == NULL);
    CU_ASSERT (s_real (doc, "hits", NULL, NULL) == 8);
    CU_ASSERT (s_real (doc, "errors", "EAGAIN", NULL) == 2);
    CU_ASSERT (s_real (doc, "errors", "E?", NULL) == 2);
    CU_ASSERT (s_real (doc, "wrong", NULL, NULL) == 2);
    json_decref (doc);
    umbp_bench_tally_done (&one);
    umbp_bench_tally_done (&other);
}

static void test_print (void)
{
    char *text = NULL;
    size_t size = 0;
    umbp_bench_tally_t tally;
    umbp_bench_tally_init (&tally);
    FILE *out = open_memstream (&text, &size);
    umbp_bench_tally_print (&tally, 1, out);
    umbp_histogram_add (tally.calls[UMBP_BENCH_PUT], 1500);
    umbp_bench_tally_error (&tally, UMBP_ETIMEDOUT);
    umbp_bench_tally_print (&tally, 1, out);
    umbp_bench_paths_print (&(umbp_stats_t) { .tcp_get_bytes = 1 << 20 }, out);
    fclose (out);
    CU_ASSERT (strstr (text, "errors: none\n") != NULL);
    CU_ASSERT (strstr (text, "ETIMEDOUT 1\n") != NULL);
    CU_ASSERT (strstr (text, "1.00 MiB\n") != NULL);
    free (text);
    umbp_bench_tally_done (&tally);
}

//  Keys of a run: all different, told by run and number alone
static void test_keys (void)
{
    char key[UMBP_BENCH_KEY_SIZE], again[UMBP_BENCH_KEY_SIZE], other[UMBP_BENCH_KEY_SIZE];
    uint64_t seed = umbp_bench_key (1, 2, key);
    CU_ASSERT (strlen (key) == 64 && strspn (key, "0123456789abcdef") == 64);
    CU_ASSERT (umbp_bench_key (1, 2, again) == seed && strcmp (key, again) == 0);
    CU_ASSERT (umbp_bench_key (1, 3, other) != seed && strcmp (key, other) != 0);
    CU_ASSERT (umbp_bench_key (2, 2, other) != seed && strcmp (key, other) != 0);
}

int main (void)
{
    alarm (30);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bench_tally", NULL, NULL);
    CU_ADD_TEST (suite, test_merge);
    CU_ADD_TEST (suite, test_print);
    CU_ADD_TEST (suite, test_keys);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_latency.c - how long answers take, in buckets
#include <CUnit/Basic.h>
#include <stdlib.h>

#include "cluster/latency.h"

static umbp_latency_t s_latency;

static uint64_t s_bucket (size_t row, size_t bucket)
{
    return s_latency.buckets[row * UMBP_LATENCY_BUCKETS + bucket];
}

//  Each time is in the first bucket whose bound is not below it
static void test_bounds (void)
{
    for (size_t bucket = 0; bucket + 1 < UMBP_LATENCY_BUCKETS; bucket++) {
        uint64_t bound_us = umbp_latency_bound_us (bucket);
        CU_ASSERT (bound_us == (uint64_t) 2 << bucket);
        memset (&s_latency, 0, sizeof s_latency);
        umbp_latency_add (&s_latency, UMBP_MSG_get, UMBP_PATH_DOOR, bound_us);
        CU_ASSERT (s_bucket (0, bucket) == 1);
        umbp_latency_add (&s_latency, UMBP_MSG_get, UMBP_PATH_DOOR, bound_us + 1);
        CU_ASSERT (s_bucket (0, bucket + 1) == 1);
        CU_ASSERT (s_latency.count == 1 && s_latency.sums_us[0] == 2 * bound_us + 1);
    }
    memset (&s_latency, 0, sizeof s_latency);
    umbp_latency_add (&s_latency, UMBP_MSG_get, UMBP_PATH_DOOR, 0);
    umbp_latency_add (&s_latency, UMBP_MSG_get, UMBP_PATH_DOOR, UINT64_MAX);
    CU_ASSERT (s_bucket (0, 0) == 1 && s_bucket (0, UMBP_LATENCY_BUCKETS - 1) == 1);
}

//  One row for each operation and path, in the order in which they came
static void test_rows (void)
{
    memset (&s_latency, 0, sizeof s_latency);
    umbp_latency_add (&s_latency, UMBP_MSG_put, UMBP_PATH_LINK, 10);
    umbp_latency_add (&s_latency, UMBP_MSG_get, UMBP_PATH_LINK, 10);
    umbp_latency_add (&s_latency, UMBP_MSG_put, UMBP_PATH_DOOR, 10);
    umbp_latency_add (&s_latency, UMBP_MSG_put, UMBP_PATH_LINK, 10);
    CU_ASSERT (s_latency.count == 3);
    CU_ASSERT (s_latency.types[0] == UMBP_MSG_put && s_latency.paths[0] == UMBP_PATH_LINK);
    CU_ASSERT (s_latency.types[1] == UMBP_MSG_get && s_latency.paths[2] == UMBP_PATH_DOOR);
    CU_ASSERT (s_latency.sums_us[0] == 20 && s_latency.sums_us[2] == 10);
}

//  More rows than there is room for are left out, and nothing else is hurt
static void test_full (void)
{
    umbp_latency_t *latency = calloc (1, sizeof *latency);   //  A sanitizer sees its end
    CU_ASSERT_FATAL (latency != NULL);
    for (unsigned type = 0; type < UMBP_MSG_LAST + 2; type++)
        for (unsigned path = 0; path < UMBP_PATH_COUNT + 1; path++)
            umbp_latency_add (latency, type, (umbp_path_t) path, 1);
    CU_ASSERT (latency->count == UMBP_LATENCY_ROWS);
    for (size_t row = 0; row < UMBP_LATENCY_ROWS; row++)
        CU_ASSERT (latency->sums_us[row] == 1);
    free (latency);
}

int main (void)
{
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("latency", NULL, NULL);
    CU_ADD_TEST (suite, test_bounds);
    CU_ADD_TEST (suite, test_rows);
    CU_ADD_TEST (suite, test_full);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

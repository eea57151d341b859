//  test/unit/test_policy_trace.c - what policies make of a real trace, 288,500 uses of blocks in an hour, and of made-up
//  conversations: the figures that others measured (doc/decisions.md), and that prefixes stay whole.
#include "bin/policy_sim.h"

#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRACE "../shared/data/conversation_trace.jsonl"
#define SIZES 6

static const double s_percents[SIZES] = { 1, 2.5, 5, 10, 20, 40 };
static umbp_sim_t *s_trace;

//  Prefix hits in percent of all blocks, by the cache's share of all different blocks
static const struct {
    const char *policy;
    double percents[SIZES], tolerance;
} s_rows[] = {
    { "belady", { 24.6, 33.4, 36.6, 36.6, 36.6, 36.6 }, 0.1 },
    { "lru", { 5.25, 9.94, 19.58, 27.89, 34.53, 36.04 }, 0.3 },
    { "clock", { 5.29, 10.17, 20.27, 28.26, 34.14, 36.02 }, 0.3 },
    { "s3fifo", { 8.80, 13.91, 21.26, 28.95, 32.92, 35.96 }, 0.3 },
    { "arc", { 6.49, 10.77, 21.02, 28.43, 32.01, 35.96 }, 0.3 },
    { "reuse", { 10.74, 16.77, 22.36, 29.02, 34.14, 36.05 }, 0.3 },
};

#define ROWS (sizeof s_rows / sizeof *s_rows)

static umbp_sim_result_t s_run (const umbp_sim_t *sim, const char *policy, double percent)
{
    umbp_sim_result_t result = { 0 };
    uint32_t capacity = (uint32_t) (percent / 100 * umbp_sim_distinct (sim));
    if (strcmp (policy, "belady") == 0)
        umbp_sim_belady (sim, capacity, &result);
    else
        CU_ASSERT_FATAL (umbp_sim_run (sim, policy, capacity, &result) == 0);
    return result;
}

static double s_prefix (const umbp_sim_result_t *result)
{
    return 100.0 * (double) result->prefix / (double) result->blocks;
}

static bool s_is_there (void)
{
    if (!s_trace)
        printf ("skipped, %s is not there ", TRACE);
    return s_trace;
}

static void test_rows (void)
{
    if (!s_is_there ())
        return;
    CU_ASSERT (umbp_sim_distinct (s_trace) == 182790);
    for (size_t row = 0; row < ROWS; row++)
        for (size_t size = 0; size < SIZES; size++) {
            umbp_sim_result_t result = s_run (s_trace, s_rows[row].policy, s_percents[size]);
            double off = s_prefix (&result) - s_rows[row].percents[size];
            if (fabs (off) > s_rows[row].tolerance)
                printf ("\n%s at %g %%: %.2f, off by %+.2f", s_rows[row].policy, s_percents[size],
                        s_prefix (&result), off);
            CU_ASSERT (fabs (off) <= s_rows[row].tolerance);
            CU_ASSERT (result.orphans < 0.01);
            CU_ASSERT (result.requests == 12031 && result.blocks == 288500);
        }
}

//  Nobody beats who knows the future, and in a cache that holds all nothing leaves
static void s_check_bounds (const umbp_sim_t *sim)
{
    umbp_sim_result_t most = s_run (sim, "belady", 100);
    for (size_t number = 0; umbp_policy_name (number); number++) {
        const char *name = umbp_policy_name (number);
        umbp_sim_result_t all = s_run (sim, name, 100);
        CU_ASSERT (all.prefix == most.prefix && all.evicted == 0 && all.orphans == 0);
        for (size_t size = 0; size < SIZES; size++) {
            umbp_sim_result_t result = s_run (sim, name, s_percents[size]);
            umbp_sim_result_t best = s_run (sim, "belady", s_percents[size]);
            CU_ASSERT (result.hits <= best.hits && result.prefix <= result.hits);
            CU_ASSERT (result.orphans < 0.01);
        }
    }
}

static void test_talks (void)
{
    char error[256] = "";
    umbp_talks_t talks = UMBP_TALKS_DEFAULT;
    talks.requests = 2000;
    umbp_workload_t *workload = umbp_workload_new_talks (&talks, error, sizeof error);
    CU_ASSERT_PTR_NOT_NULL_FATAL (workload);
    umbp_sim_t *sim = umbp_sim_new (workload, talks.requests, error, sizeof error);
    umbp_workload_destroy (&workload);
    CU_ASSERT_PTR_NOT_NULL_FATAL (sim);
    s_check_bounds (sim);
    umbp_sim_result_t result;
    CU_ASSERT (umbp_sim_run (sim, "mru", 10, &result) < 0);
    CU_ASSERT (umbp_sim_run (sim, "s3fifo", 1, &result) == 0 && result.evicted > 0);
    umbp_sim_destroy (&sim);
    CU_ASSERT_PTR_NULL (sim);
}

int main (void)
{
    char error[256] = "";
    alarm (120);
    umbp_workload_t *workload = umbp_workload_new_trace (TRACE, error, sizeof error);
    if (workload)
        s_trace = umbp_sim_new (workload, UINT32_MAX, error, sizeof error);
    umbp_workload_destroy (&workload);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("policy_trace", NULL, NULL);
    CU_ADD_TEST (suite, test_rows);
    CU_ADD_TEST (suite, test_talks);
    CU_basic_run_tests ();
    umbp_sim_destroy (&s_trace);
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_histogram.c - the latency histogram against sorted values
#include "bin/histogram.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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

static void test_empty (void)
{
    umbp_histogram_t *histogram = umbp_histogram_new ();
    CU_ASSERT (umbp_histogram_count (histogram) == 0);
    CU_ASSERT (umbp_histogram_min (histogram) == 0);
    CU_ASSERT (umbp_histogram_max (histogram) == 0);
    CU_ASSERT (umbp_histogram_mean (histogram) == 0);
    CU_ASSERT (umbp_histogram_percentile (histogram, 0) == 0);
    CU_ASSERT (umbp_histogram_percentile (histogram, 50) == 0);
    CU_ASSERT (umbp_histogram_percentile (histogram, 100) == 0);
    umbp_histogram_destroy (&histogram);
    CU_ASSERT (histogram == NULL);
    umbp_histogram_destroy (&histogram);
}

static void test_small_values_are_exact (void)
{
    umbp_histogram_t *histogram = umbp_histogram_new ();
    for (uint64_t value = 1; value <= 100; value++)
        umbp_histogram_add (histogram, value);
    for (int percent = 1; percent <= 100; percent++)
        CU_ASSERT (umbp_histogram_percentile (histogram, percent) == (uint64_t) percent);
    CU_ASSERT (umbp_histogram_percentile (histogram, 0) == 1);
    CU_ASSERT (umbp_histogram_percentile (histogram, -5) == 1);
    CU_ASSERT (umbp_histogram_percentile (histogram, NAN) == 1);
    CU_ASSERT (umbp_histogram_percentile (histogram, 5e-324) == 1);
    CU_ASSERT (umbp_histogram_percentile (histogram, 200) == 100);
    CU_ASSERT (umbp_histogram_mean (histogram) == 50.5);
    umbp_histogram_reset (histogram);
    CU_ASSERT (umbp_histogram_count (histogram) == 0 && umbp_histogram_min (histogram) == 0);
    umbp_histogram_destroy (&histogram);
}

//  One value alone comes back as itself, and with a larger beside it within 1/64
static void test_every_power_of_two (void)
{
    umbp_histogram_t *histogram = umbp_histogram_new ();
    for (int bit = 0; bit < 64; bit++)
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t value = (UINT64_C (1) << bit) + (uint64_t) delta;
            umbp_histogram_reset (histogram);
            umbp_histogram_add (histogram, value);
            CU_ASSERT (umbp_histogram_percentile (histogram, 50) == value);
            umbp_histogram_add (histogram, UINT64_MAX);
            uint64_t told = umbp_histogram_percentile (histogram, 50);
            CU_ASSERT (told >= value && told - value <= value / 64);
            CU_ASSERT (umbp_histogram_min (histogram) == value);
            CU_ASSERT (umbp_histogram_max (histogram) == UINT64_MAX);
            CU_ASSERT (umbp_histogram_percentile (histogram, 100) == UINT64_MAX);
        }
    umbp_histogram_destroy (&histogram);
}

static int s_compare (const void *one, const void *two)
{
    uint64_t left = *(const uint64_t *) one, right = *(const uint64_t *) two;
    return (left > right) - (left < right);
}

//  Two halves, merged, tell the same as all values sorted
static void test_random_merged (void)
{
    enum { COUNT = 100000 };
    s_seed ("merge");
    uint64_t *values = calloc (COUNT, sizeof (uint64_t));
    umbp_histogram_t *all = umbp_histogram_new (), *half = umbp_histogram_new ();
    double sum = 0;
    for (size_t index = 0; index < COUNT; index++) {
        values[index] = s_random () >> (20 + s_random () % 40);
        sum += (double) values[index];
        umbp_histogram_add (index % 2 ? all : half, values[index]);
    }
    umbp_histogram_merge (all, half);
    qsort (values, COUNT, sizeof (uint64_t), s_compare);
    CU_ASSERT (umbp_histogram_count (all) == COUNT);
    CU_ASSERT (umbp_histogram_min (all) == values[0]);
    CU_ASSERT (umbp_histogram_max (all) == values[COUNT - 1]);
    CU_ASSERT (fabs (umbp_histogram_mean (all) * COUNT - sum) <= sum * 1e-9);
    for (int permille = 1; permille <= 1000; permille++) {
        uint64_t right = values[(size_t) permille * COUNT / 1000 - 1];
        uint64_t told = umbp_histogram_percentile (all, permille / 10.0);
        CU_ASSERT (told >= right && told - right <= right / 64);
    }
    umbp_histogram_destroy (&all);
    umbp_histogram_destroy (&half);
    free (values);
}

static void test_speed (void)
{
    enum { COUNT = 10000000 };
    umbp_histogram_t *histogram = umbp_histogram_new ();
    struct timespec start, end;
    clock_gettime (CLOCK_MONOTONIC, &start);
    for (uint64_t index = 0; index < COUNT; index++)
        umbp_histogram_add (histogram, 1000 + (index * 0x9e3779b97f4a7c15 >> 44));
    clock_gettime (CLOCK_MONOTONIC, &end);
    printf ("[add: %.1f ns] ",
            ((double) (end.tv_sec - start.tv_sec) * 1e9 + (double) (end.tv_nsec - start.tv_nsec))
                / COUNT);
    CU_ASSERT (umbp_histogram_count (histogram) == COUNT);
    umbp_histogram_destroy (&histogram);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("histogram", NULL, NULL);
    CU_ADD_TEST (suite, test_empty);
    CU_ADD_TEST (suite, test_small_values_are_exact);
    CU_ADD_TEST (suite, test_every_power_of_two);
    CU_ADD_TEST (suite, test_random_merged);
    CU_ADD_TEST (suite, test_speed);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

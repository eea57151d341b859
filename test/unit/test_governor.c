//  test/unit/test_governor.c - the share of background work: on scripts of readers, exactly; and on random ones, what always
//  holds
#include "actors/tier/governor.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TARGET_US 20000
#define WHOLE UMBP_GOVERNOR_WHOLE
#define LEAST UMBP_GOVERNOR_SHARE_MIN

static umbp_governor_t *s_new (uint64_t target_us)
{
    umbp_governor_t *governor = umbp_governor_new (target_us, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL (governor);
    return governor;
}

static void s_reads (umbp_governor_t *governor, unsigned count, uint64_t took_us, int64_t now_ms)
{
    while (count-- > 0)
        umbp_governor_read (governor, took_us, now_ms);
}

//  A script: in each tenth of a second so many fast readers and so many slow ones; the share after it
typedef struct {
    unsigned fast, slow, share;
} step_t;

static void s_play (const step_t *steps, size_t count)
{
    umbp_governor_t *governor = s_new (TARGET_US);
    for (size_t index = 0; index < count; index++) {
        int64_t now = (int64_t) index * UMBP_GOVERNOR_STEP_MS;
        s_reads (governor, steps[index].fast, 1000, now);
        s_reads (governor, steps[index].slow, 50000, now + UMBP_GOVERNOR_STEP_MS - 1);
        unsigned share = umbp_governor_share (governor, now + UMBP_GOVERNOR_STEP_MS);
        if (share != steps[index].share)
            printf ("\n    step %zu: share %u, wanted %u\n", index, share, steps[index].share);
        CU_ASSERT (share == steps[index].share);
    }
    umbp_governor_destroy (&governor);
    CU_ASSERT_PTR_NULL (governor);
}

static void test_halves_and_grows (void)
{
    static const step_t steps[] = {
        { 20, 0, 1000 },                //  Nobody waits
        { 0, 20, 500 },                 //  Half of all wait
        { 0, 20, 250 },
        { 0, 20, 125 },
        { 20, 0, 125 },                 //  Nobody who came lately waits, but the second remembers others
        { 20, 0, 125 }, { 20, 0, 125 }, { 20, 0, 125 }, { 20, 0, 125 }, { 20, 0, 125 },
        { 20, 0, 125 },
        { 20, 0, 125 },                 //  One tenth of the slow is still in the second: 20 of 200
        { 20, 0, 125 },
        { 20, 0, 175 },                 //  The last of them is forgotten
        { 20, 0, 225 }, { 0, 0, 275 }, { 0, 0, 325 },
    };
    s_play (steps, sizeof steps / sizeof *steps);
}

//  The 95th percentile is what counts: 5 of 100 may wait, 6 may not
static void test_percentile (void)
{
    static const step_t fine[] = { { 95, 5, 1000 }, { 95, 5, 1000 } };
    static const step_t over[] = { { 94, 6, 500 }, { 94, 6, 250 } };
    s_play (fine, 2);
    s_play (over, 2);
}

static void test_few_say_nothing (void)
{
    static const step_t steps[] = { { 0, UMBP_GOVERNOR_READS_MIN - 1, 1000 }, { 0, 1, 500 } };
    s_play (steps, 2);
}

static void test_never_stands_still (void)
{
    umbp_governor_t *governor = s_new (TARGET_US);
    for (int64_t now = 0; now < 3000; now += UMBP_GOVERNOR_STEP_MS)
        s_reads (governor, 10, 1000000, now);
    CU_ASSERT (umbp_governor_share (governor, 3000) == LEAST);
    //  Nobody reads: nine steps hold what the second remembers, and then it grows
    CU_ASSERT (umbp_governor_share (governor, 3900) == LEAST);
    CU_ASSERT (umbp_governor_share (governor, 4000) == LEAST + WHOLE / 20);
    CU_ASSERT (umbp_governor_share (governor, 4000 + 100 * 60) == WHOLE);
    CU_ASSERT (umbp_governor_p95_us (governor) == 0);
    umbp_governor_destroy (&governor);
}

//  After a long silence all is as at the start, however long it was
static void test_long_silence (void)
{
    umbp_governor_t *governor = s_new (TARGET_US);
    s_reads (governor, 10, 1000000, 0);
    CU_ASSERT (umbp_governor_share (governor, 100) == WHOLE / 2);
    CU_ASSERT (umbp_governor_share (governor, INT64_C (1) << 50) == WHOLE);
    s_reads (governor, 10, 1000000, INT64_C (1) << 50);
    CU_ASSERT (umbp_governor_share (governor, (INT64_C (1) << 50) + 100) == WHOLE / 2);
    umbp_governor_destroy (&governor);
}

static void test_without_a_target (void)
{
    umbp_governor_t *governor = s_new (0);
    s_reads (governor, 100, 1000000, 0);
    CU_ASSERT (umbp_governor_share (governor, 100) == WHOLE);
    uint64_t p95 = umbp_governor_p95_us (governor);
    CU_ASSERT (p95 <= 1000000 && p95 > 1000000 - 1000000 / 8);
    umbp_governor_destroy (&governor);
}

static int s_compare (const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *) one, b = *(const uint64_t *) other;
    return a < b ? -1 : a > b;
}

//  Against sorted values of any size
static void test_random (void)
{
    const char *text = getenv ("UMBP_SEED");
    uint64_t seed =
        text ? strtoull (text, NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    uint64_t state = seed, values[400], wrong = 0;
    printf ("[governor seed=%llu] ", (unsigned long long) seed);
    for (int turn = 0; turn < 200; turn++) {
        umbp_governor_t *governor = s_new (TARGET_US);
        size_t count = UMBP_GOVERNOR_READS_MIN + umbp_splitmix (&state) % 390;
        for (size_t index = 0; index < count; index++) {
            values[index] = umbp_splitmix (&state) >> (30 + umbp_splitmix (&state) % 34);
            umbp_governor_read (governor, values[index], (int64_t) (index * 900 / count));
        }
        qsort (values, count, sizeof *values, s_compare);
        uint64_t is = umbp_governor_p95_us (governor), exact = values[count - count / 20 - 1];
        wrong += is > exact || is + is / 8 + 1 < exact;
        umbp_governor_destroy (&governor);
    }
    CU_ASSERT (wrong == 0);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("governor", NULL, NULL);
    CU_ADD_TEST (suite, test_halves_and_grows);
    CU_ADD_TEST (suite, test_percentile);
    CU_ADD_TEST (suite, test_few_say_nothing);
    CU_ADD_TEST (suite, test_never_stands_still);
    CU_ADD_TEST (suite, test_long_silence);
    CU_ADD_TEST (suite, test_without_a_target);
    CU_ADD_TEST (suite, test_random);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

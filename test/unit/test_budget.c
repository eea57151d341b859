//  test/unit/test_budget.c - bytes that may go between two tiers, whatever is asked for and when; how two classes that
//  want the same edge share it; and when there is a storm, on a clock of its own.
#include "actors/tier/budget.h"
#include "actors/tier/storm.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIB (1 << 20)
#define SENT_MAX 20000

static uint64_t s_seed;

//  What was sent, and when
typedef struct {
    int64_t at[SENT_MAX];
    uint64_t bytes[SENT_MAX];
    size_t count;
} sent_t;

static sent_t s_sent;

//  Whether between any two moments no more went than the rate, a burst and one block allow. Of all moments the worst to
//  begin with is that at which least had gone, compared with what could have: so one pass looks at all pairs.
static bool s_is_bounded (const sent_t *sent, uint64_t rate, uint64_t block)
{
    int64_t most = (int64_t) (rate * UMBP_BUDGET_BURST_MS + block * 1000);       //  Thousandths of bytes
    int64_t gone = 0, worst = INT64_MAX;
    for (size_t index = 0; index < sent->count; index++) {
        int64_t could = (int64_t) rate * (sent->at[index] - sent->at[0]);
        worst = gone - could < worst ? gone - could : worst;
        gone += (int64_t) sent->bytes[index] * 1000;
        if (gone - could - worst > most) {
            printf ("block %zu: %lld bytes too many at %llu a second\n    ", index,
                    (long long) (gone - could - worst - most) / 1000, (unsigned long long) rate);
            return false;
        }
    }
    return true;
}

//  Asked for at random moments, in bursts and after rests, beside what presses; the share changes, too
static void s_try (uint64_t seed)
{
    uint64_t rate = 100000 + umbp_splitmix (&seed) % (64 * MIB),
             block = 1 + umbp_splitmix (&seed) % (2 * MIB);
    int64_t now = (int64_t) (umbp_splitmix (&seed) % 1000000);
    umbp_budget_t budget = umbp_budget (rate, now);
    s_sent.count = 0;
    for (int turn = 0; turn < 1500; turn++) {
        uint64_t dice = umbp_splitmix (&seed);
        now += dice % 100 == 0 ? (int64_t) (dice >> 8) % 3000 : (int64_t) (dice >> 8) % 8;
        if (dice % 61 == 1)
            umbp_budget_set_share (&budget, 16 + (unsigned) (dice >> 16) % 985, now);
        umbp_budget_refill (&budget, now);
        if (dice % 17 == 2)
            umbp_budget_pay (&budget, false, 1 + (dice >> 24) % block);
        for (int tries = 0; tries < 8 && umbp_budget_may (&budget); tries++) {
            uint64_t bytes = 1 + umbp_splitmix (&seed) % block;
            umbp_budget_pay (&budget, true, bytes);
            CU_ASSERT_FATAL (s_sent.count < SENT_MAX);
            s_sent.at[s_sent.count] = now;
            s_sent.bytes[s_sent.count++] = bytes;
        }
    }
    CU_ASSERT (s_sent.count > 0);
    bool bounded = s_is_bounded (&s_sent, rate, block);
    CU_ASSERT (bounded);
}

static void test_any_window (void)
{
    uint64_t seed = s_seed;
    for (int round = 0; round < 40; round++)
        s_try (umbp_splitmix (&seed));
}

//  Bytes of either class in so many seconds, of which the first one takes its own part of the rate, and the other one all
//  that it gets
typedef struct {
    uint64_t pressed, calm;
} shares_t;

static shares_t s_contend (uint64_t rate, unsigned pressed_share, unsigned share, int seconds)
{
    const uint64_t block = 65536;
    umbp_budget_t budget = umbp_budget (rate, 0);
    umbp_budget_set_share (&budget, share, 0);
    shares_t sum = { 0, 0 };
    for (int64_t now = 0; now < 1000 * seconds; now += 5) {
        umbp_budget_refill (&budget, now);
        for (; sum.pressed + block <= rate * pressed_share / 1000 * (uint64_t) now / 1000;
             sum.pressed += block)
            umbp_budget_pay (&budget, false, block);
        for (; umbp_budget_may (&budget); sum.calm += block)
            umbp_budget_pay (&budget, true, block);
    }
    return sum;
}

static bool s_is_about (uint64_t bytes, uint64_t rate, unsigned share, int seconds)
{
    uint64_t want = rate * share / 1000 * (uint64_t) seconds, room = want / 20;      //  5 %
    if (bytes + room < want || bytes > want + room)
        printf ("%llu bytes, not %llu\n    ", (unsigned long long) bytes,
                (unsigned long long) want);
    return bytes + room >= want && bytes <= want + room;
}

static void test_classes_share (void)
{
    const uint64_t rate = 64 * MIB;
    shares_t sum = s_contend (rate, 0, 1000, 20);
    CU_ASSERT (s_is_about (sum.calm, rate, 1000, 20));
    sum = s_contend (rate, 300, 1000, 20);           //  What presses counts, and the rest is for the others
    CU_ASSERT (s_is_about (sum.pressed, rate, 300, 20));
    CU_ASSERT (s_is_about (sum.calm, rate, 700, 20));
    sum = s_contend (rate, 300, 500, 20);            //  ... and no more than their share
    CU_ASSERT (s_is_about (sum.calm, rate, 500, 20));
    sum = s_contend (rate, 800, 500, 20);
    CU_ASSERT (s_is_about (sum.pressed, rate, 800, 20));
    CU_ASSERT (s_is_about (sum.calm, rate, 200, 20));
    sum = s_contend (rate, 2000, 1000, 20);          //  Nothing is left, and pressure is not bound
    CU_ASSERT (s_is_about (sum.pressed, rate, 2000, 20));
    CU_ASSERT (sum.calm <= rate * UMBP_BUDGET_BURST_MS / 1000 + 65536);
}

static void test_debt (void)
{
    umbp_budget_t budget = umbp_budget (1000000, 0);
    umbp_budget_refill (&budget, 1000);
    CU_ASSERT (umbp_budget_is_full (&budget) && umbp_budget_may (&budget));
    CU_ASSERT (umbp_budget_debt_ms (&budget) == 0);
    umbp_budget_pay (&budget, false, 600000);
    CU_ASSERT (umbp_budget_debt_ms (&budget) == 500);        //  A tenth of a second was saved
    CU_ASSERT (!umbp_budget_may (&budget) && !umbp_budget_is_full (&budget));
    umbp_budget_refill (&budget, 1500);
    CU_ASSERT (!umbp_budget_may (&budget));
    umbp_budget_refill (&budget, 1510);
    CU_ASSERT (umbp_budget_may (&budget) && !umbp_budget_is_full (&budget));
    umbp_budget_refill (&budget, 1600);
    CU_ASSERT (umbp_budget_is_full (&budget));
    umbp_budget_pay (&budget, false, 50000000);              //  Not more than that is owed
    CU_ASSERT (umbp_budget_debt_ms (&budget) == UMBP_BUDGET_DEBT_MS);
    budget = umbp_budget (0, 0);
    umbp_budget_pay (&budget, true, UINT32_MAX);             //  No bound
    CU_ASSERT (umbp_budget_may (&budget) && umbp_budget_is_full (&budget));
    CU_ASSERT (umbp_budget_debt_ms (&budget) == 0);
}

//  --------------------------------------------------------------------------------------------------
//  Storms

static bool s_why_is (const umbp_storm_t *storm, const char *why)
{
    return strcmp (umbp_storm_stats (storm).why, why) == 0;
}

//  Many at once: both within a second, and not done
static void test_many (void)
{
    umbp_storm_t *storm = umbp_storm_new (100, 0);
    umbp_storm_ask (storm, 99, 10);
    CU_ASSERT (!umbp_storm_look (storm, 99, 0, 10));
    umbp_storm_ask (storm, 1, 20);
    CU_ASSERT (!umbp_storm_look (storm, 99, 0, 20));         //  One is done already
    CU_ASSERT (umbp_storm_look (storm, 100, 0, 20));
    CU_ASSERT (s_why_is (storm, "many at once"));
    CU_ASSERT (umbp_storm_stats (storm).storms == 1 && umbp_storm_stats (storm).asked == 100);
    CU_ASSERT (umbp_storm_look (storm, 50, 0, 900));         //  Half of it is not less than half
    CU_ASSERT (umbp_storm_look (storm, 49, 0, 1000));
    CU_ASSERT (umbp_storm_look (storm, 49, 0, 1000 + UMBP_STORM_CALM_MS - 1));
    CU_ASSERT (!umbp_storm_look (storm, 49, 0, 1000 + UMBP_STORM_CALM_MS));
    CU_ASSERT (!umbp_storm_stats (storm).on);
    for (int64_t now = 20000; now < 40000; now += 10) {      //  Ever so many, but each is done at once
        umbp_storm_ask (storm, 50, now);
        CU_ASSERT (!umbp_storm_look (storm, 50, 0, now));
    }
    CU_ASSERT (umbp_storm_stats (storm).lately >= 4500 && umbp_storm_stats (storm).lately <= 5000);
    CU_ASSERT (!umbp_storm_look (storm, 5000, 0, 41100));    //  Old ones, that were no burst
    CU_ASSERT (umbp_storm_stats (storm).lately == 0 && umbp_storm_stats (storm).storms == 1);
    umbp_storm_destroy (&storm);
    CU_ASSERT_PTR_NULL (storm);
}

static void test_waits (void)
{
    umbp_storm_t *storm = umbp_storm_new (100, 0);
    for (int number = 0; number < 40; number++)
        umbp_storm_sent (storm, number < 39 ? 200 : 5000, 100);
    CU_ASSERT (!umbp_storm_look (storm, 1, 0, 110));         //  One of forty
    for (int number = 0; number < 40; number++)
        umbp_storm_sent (storm, 320, 120);
    CU_ASSERT (umbp_storm_look (storm, 1, 0, 130));
    CU_ASSERT (s_why_is (storm, "long waits"));
    for (int64_t now = 1200; now < 11200; now += 100) {      //  Above half of it: it goes on
        for (int number = 0; number < 10; number++)
            umbp_storm_sent (storm, 160, now);
        CU_ASSERT (umbp_storm_look (storm, 1, 0, now));
    }
    int64_t end = 0;
    for (int64_t now = 11200; !end && now < 30000; now += 100)
        end = umbp_storm_look (storm, 0, 0, now) ? 0 : now;
    //  A second until that is forgotten, and then the calm
    CU_ASSERT (end >= 11100 + UMBP_STORM_CALM_MS && end <= 12400 + UMBP_STORM_CALM_MS);
    umbp_storm_destroy (&storm);
}

static void test_owing (void)
{
    umbp_storm_t *storm = umbp_storm_new (100, 0);
    CU_ASSERT (!umbp_storm_look (storm, 0, UMBP_STORM_DEBT_MS, 0));
    CU_ASSERT (umbp_storm_look (storm, 0, UMBP_STORM_DEBT_MS + 1, 10));
    CU_ASSERT (s_why_is (storm, "debt"));
    CU_ASSERT (umbp_storm_look (storm, 0, 0, 1000));
    CU_ASSERT (umbp_storm_look (storm, 0, UMBP_STORM_DEBT_MS / 2 + 1, 5000));        //  From the beginning
    CU_ASSERT (umbp_storm_look (storm, 0, 0, 5010));
    CU_ASSERT (umbp_storm_look (storm, 0, 0, 5000 + UMBP_STORM_CALM_MS));
    CU_ASSERT (!umbp_storm_look (storm, 0, 0, 5010 + UMBP_STORM_CALM_MS));
    umbp_storm_destroy (&storm);
    storm = umbp_storm_new (0, 0);      //  Never
    umbp_storm_ask (storm, 100000, 10);
    CU_ASSERT (!umbp_storm_look (storm, 100000, 100000, 10));
    umbp_storm_destroy (&storm);
}

int main (void)
{
    const char *text = getenv ("UMBP_SEED");
    s_seed = text ? strtoull (text, NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("[budget seed=%llu] ", (unsigned long long) s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("budget", NULL, NULL);
    CU_ADD_TEST (suite, test_any_window);
    CU_ADD_TEST (suite, test_classes_share);
    CU_ADD_TEST (suite, test_debt);
    CU_ADD_TEST (suite, test_many);
    CU_ADD_TEST (suite, test_waits);
    CU_ADD_TEST (suite, test_owing);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

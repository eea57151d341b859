//  test/unit/test_spin.c - whether a thread that waits spins or sleeps, by what it is told happened.
//  No clock here: all moments are given.
#include "cluster/bulk/spin.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_US 100
#define LOOK_US 10                      //  Of a look on a core of one's own
#define SLICE_US 3000                   //  ... on one that others got meanwhile
#define CALLS 20000

static umbp_spin_t s_spin;
static int64_t s_now;

static void s_start (void)
{
    umbp_spin_init (&s_spin, MAX_US);
    s_now = 1000000;
}

//  A message comes after so long: the thread spins for as long as it may, then sleeps, and hears of
//  the message. Returns whether it spun at all.
static bool s_message_after (int64_t us)
{
    int64_t there_us = s_now + us;
    bool again = umbp_spin_begin (&s_spin, s_now), spun = again;
    while (again && s_now < there_us) {
        s_now += LOOK_US;
        again = s_now >= there_us || umbp_spin_again (&s_spin, s_now);
    }
    s_now = s_now > there_us ? s_now : there_us;
    if (umbp_spin_waits (&s_spin))
        umbp_spin_found (&s_spin, s_now);
    return spun;
}

//  Somebody else gets the core while it spins
static void s_lose (void)
{
    CU_ASSERT (umbp_spin_begin (&s_spin, s_now));
    s_now += SLICE_US;
    CU_ASSERT (!umbp_spin_again (&s_spin, s_now));
}

//  ------------------------------------------------------------------------------------------------

static void test_never (void)
{
    umbp_spin_init (&s_spin, 0);
    CU_ASSERT (!umbp_spin_begin (&s_spin, 5));
    CU_ASSERT (!umbp_spin_waits (&s_spin));
    umbp_spin_found (&s_spin, 6);
    CU_ASSERT (s_spin.paid == 0 && s_spin.spent_us == 0);
}

static void test_pays (void)
{
    s_start ();
    for (int call = 0; call < 1000; call++)
        CU_ASSERT (s_message_after (MAX_US / 2));
    CU_ASSERT (s_spin.paid == 1000 && s_spin.vain == 0 && s_spin.rests == 0);
    CU_ASSERT (s_spin.spent_us == 1000 * (MAX_US / 2 - LOOK_US));        //  The last look found it
}

//  So long at most, and it is told what that cost
static void test_ends (void)
{
    s_start ();
    CU_ASSERT (umbp_spin_begin (&s_spin, s_now));
    CU_ASSERT (umbp_spin_again (&s_spin, s_now + MAX_US));
    CU_ASSERT (!umbp_spin_again (&s_spin, s_now + MAX_US + 1));
    CU_ASSERT (s_spin.vain == 1 && s_spin.spent_us == MAX_US + 1);
    CU_ASSERT (!umbp_spin_waits (&s_spin));                  //  Judged once
}

//  Messages too far apart: it stops, spends no more, and is back once they come soon again
static void test_vain (void)
{
    s_start ();
    for (int call = 0; call < UMBP_SPIN_SCORE_MAX; call++)
        CU_ASSERT (s_message_after (5000));
    uint64_t spent_us = s_spin.spent_us;
    for (int call = 0; call < 1000; call++)
        CU_ASSERT (!s_message_after (5000));
    CU_ASSERT (s_spin.spent_us == spent_us && s_spin.vain == UMBP_SPIN_SCORE_MAX);
    int asleep = 0;
    while (asleep < 100 && !s_message_after (MAX_US / 2))
        asleep++;
    CU_ASSERT (asleep == UMBP_SPIN_SCORE_BACK / UMBP_SPIN_GAIN);
    CU_ASSERT (s_message_after (MAX_US / 2));
}

//  A message that came soon, but was heard of late for the wake-up
static void test_wake (void)
{
    s_start ();
    while (s_message_after (5000))
        ;
    for (int call = 0; call < 100 && !s_message_after (MAX_US + UMBP_SPIN_WAKE_US); call++)
        ;
    CU_ASSERT (!s_spin.off);
    while (s_message_after (5000))
        ;
    for (int call = 0; call < 100; call++)
        CU_ASSERT (!s_message_after (MAX_US + UMBP_SPIN_WAKE_US + 1));
}

//  A core that others want: rests grow up to a bound, and what others used is not our CPU time
static void test_lost (void)
{
    s_start ();
    int64_t rest_us = UMBP_SPIN_REST_MIN_US;
    for (int turn = 0; turn < 10; turn++) {
        s_lose ();
        CU_ASSERT (s_spin.spent_us == 0 && s_spin.rests == (uint64_t) turn + 1);
        CU_ASSERT (!umbp_spin_begin (&s_spin, s_now + rest_us - 1));
        s_now += rest_us;
        rest_us *= rest_us < UMBP_SPIN_REST_MAX_US ? UMBP_SPIN_REST_FACTOR : 1;
    }
    CU_ASSERT (rest_us == UMBP_SPIN_REST_MAX_US);
    umbp_spin_begin (&s_spin, s_now);
    CU_ASSERT (umbp_spin_again (&s_spin, s_now + UMBP_SPIN_LOST_US)
               == (UMBP_SPIN_LOST_US <= MAX_US));
    CU_ASSERT (s_spin.rests == 10);     //  Just not that long
}

//  Rests get shorter again, a step for each row of spins that went well, and one that did not ends the row
static void test_reward (void)
{
    s_start ();
    s_lose ();
    s_now += s_spin.rest_end_us;
    s_lose ();
    s_now += s_spin.rest_end_us;
    uint32_t grown_us = s_spin.rest_us;
    CU_ASSERT (grown_us == UMBP_SPIN_REST_MIN_US * UMBP_SPIN_REST_FACTOR * UMBP_SPIN_REST_FACTOR);
    for (int call = 1; call < UMBP_SPIN_REWARD; call++)
        s_message_after (LOOK_US);
    CU_ASSERT (s_spin.rest_us == grown_us);
    s_message_after (LOOK_US);
    CU_ASSERT (s_spin.rest_us == grown_us / UMBP_SPIN_REST_FACTOR);
    for (int call = 0; call < 10 * UMBP_SPIN_REWARD; call++)
        s_message_after (LOOK_US);
    CU_ASSERT (s_spin.rest_us == UMBP_SPIN_REST_MIN_US);
}

//  Whatever happens: what is spent is bounded by what was looked for, rests and scores keep their
//  bounds, and in the end, when messages come soon and nobody else is there, it spins again
static void test_random (void)
{
    unsigned seed = (unsigned) time (NULL);
    printf ("seed %u ", seed);
    srand (seed);
    s_start ();
    uint64_t begun = 0;
    for (int call = 0; call < CALLS; call++) {
        int dice = rand () % 10;
        if (dice == 0 && umbp_spin_begin (&s_spin, s_now)) {
            s_now += SLICE_US;
            CU_ASSERT (!umbp_spin_again (&s_spin, s_now));
        } else
            begun += s_message_after (dice < 5 ? rand () % MAX_US : rand () % 100000);
        CU_ASSERT (s_spin.score <= UMBP_SPIN_SCORE_MAX);
        CU_ASSERT (s_spin.rest_us >= UMBP_SPIN_REST_MIN_US
                   && s_spin.rest_us <= UMBP_SPIN_REST_MAX_US);
        CU_ASSERT (s_spin.rest_end_us <= s_now + UMBP_SPIN_REST_MAX_US);
    }
    CU_ASSERT (s_spin.paid + s_spin.vain <= begun);
    CU_ASSERT (s_spin.spent_us <= begun * (MAX_US + LOOK_US));
    s_now += UMBP_SPIN_REST_MAX_US;
    for (int call = 0; call < UMBP_SPIN_SCORE_BACK; call++)
        s_message_after (MAX_US / 2);
    CU_ASSERT (s_message_after (MAX_US / 2));
}

int main (void)
{
    alarm (30);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("spin", NULL, NULL);
    CU_ADD_TEST (suite, test_never);
    CU_ADD_TEST (suite, test_pays);
    CU_ADD_TEST (suite, test_ends);
    CU_ADD_TEST (suite, test_vain);
    CU_ADD_TEST (suite, test_wake);
    CU_ADD_TEST (suite, test_lost);
    CU_ADD_TEST (suite, test_reward);
    CU_ADD_TEST (suite, test_random);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

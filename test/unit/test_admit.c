//  test/unit/test_admit.c - what is worth a place below, and what moved too lately or too often to move again
#include "actors/tier/admit.h"
#include "actors/tier/moves.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define GHOSTS 64

static umbp_admit_t *s_new (const char *rule)
{
    umbp_admit_t *admit = umbp_admit_new (rule, GHOSTS);
    CU_ASSERT_PTR_NOT_NULL_FATAL (admit);
    return admit;
}

static bool s_leaves (umbp_admit_t *admit, uint64_t print, int64_t now)
{
    umbp_admit_block_t block = { .print = print };
    return umbp_admit_leaves (admit, &block, false, now);
}

static void test_rules (void)
{
    CU_ASSERT_PTR_NULL (umbp_admit_new ("some", GHOSTS));
    CU_ASSERT_PTR_NULL (umbp_admit_new ("", GHOSTS));
    umbp_admit_t *admit = s_new ("all");
    for (uint64_t print = 1; print < 1000; print++)
        CU_ASSERT (s_leaves (admit, print, 0));
    CU_ASSERT (!umbp_admit_came (admit, 1, 0));      //  Who admits all remembers none
    umbp_admit_destroy (&admit);
    CU_ASSERT_PTR_NULL (admit);
}

//  Hints and origin count in each rule
static void test_hints (void)
{
    static const char *const rules[] = { "all", "second-touch", "auto" };
    for (size_t index = 0; index < 3; index++) {
        umbp_admit_t *admit = s_new (rules[index]);
        umbp_admit_block_t keep = { .print = 1, .keep = true }, once = { .print = 2, .once = true },
                           below = { .print = 3, .below = true },
                           read = { .print = 4, .touched = true },
                           both = { .print = 5, .once = true, .touched = true };
        CU_ASSERT (umbp_admit_leaves (admit, &keep, true, 1));
        CU_ASSERT (!umbp_admit_leaves (admit, &once, false, 1));
        CU_ASSERT (umbp_admit_leaves (admit, &below, true, 1));
        CU_ASSERT (umbp_admit_leaves (admit, &read, true, 1));
        CU_ASSERT (!umbp_admit_leaves (admit, &both, true, 1));
        CU_ASSERT (!umbp_admit_came (admit, 2, 2));  //  Nobody waits for it
        CU_ASSERT (umbp_admit_stats (admit).refused == 2);
        umbp_admit_destroy (&admit);
    }
}

static void test_second_touch (void)
{
    umbp_admit_t *admit = s_new ("second-touch");
    CU_ASSERT (umbp_admit_stats (admit).strict);
    CU_ASSERT (!umbp_admit_came (admit, 7, 0));
    CU_ASSERT (!s_leaves (admit, 7, 100));
    bool again = umbp_admit_came (admit, 7, 350);
    CU_ASSERT (again);
    umbp_admit_block_t block = { .print = 7, .touched = again };
    CU_ASSERT (umbp_admit_leaves (admit, &block, false, 400));
    umbp_admit_stats_t stats = umbp_admit_stats (admit);
    CU_ASSERT (stats.refused == 1 && stats.again == 1);
    CU_ASSERT (stats.reuse_ms >= 235 && stats.reuse_ms <= 250);
    for (uint64_t print = 100; print < 100 + GHOSTS; print++)        //  It is forgotten for others
        CU_ASSERT (!s_leaves (admit, print, 500));
    CU_ASSERT (!umbp_admit_came (admit, 7, 600));
    CU_ASSERT (umbp_admit_came (admit, 99 + GHOSTS, 600));
    umbp_admit_destroy (&admit);
}

//  All, unless blocks leave below before they are asked for again, or the budget is overdrawn
static void test_auto (void)
{
    umbp_admit_t *admit = s_new ("auto");
    CU_ASSERT (s_leaves (admit, 1, 0));              //  Nothing is known
    umbp_admit_set_stay (admit, 500);
    CU_ASSERT (s_leaves (admit, 2, 0));              //  Nor is when blocks are asked for again
    CU_ASSERT (umbp_admit_came (admit, 1, 1000));
    CU_ASSERT (!s_leaves (admit, 3, 1000));          //  Later than they stay
    CU_ASSERT (umbp_admit_stats (admit).strict);
    umbp_admit_set_stay (admit, 1000);
    CU_ASSERT (s_leaves (admit, 4, 1000));
    CU_ASSERT (!umbp_admit_stats (admit).strict);
    umbp_admit_block_t block = { .print = 5 };
    CU_ASSERT (!umbp_admit_leaves (admit, &block, true, 1000));
    CU_ASSERT (umbp_admit_leaves (admit, &block, false, 1000));
    //  The mean follows what comes
    for (uint64_t print = 10; print < 200; print++) {
        s_leaves (admit, print, 2000);
        CU_ASSERT (umbp_admit_came (admit, print, 6000));
    }
    uint64_t reuse = umbp_admit_stats (admit).reuse_ms;
    CU_ASSERT (reuse > 3900 && reuse <= 4000);
    umbp_admit_destroy (&admit);
}

//  --------------------------------------------------------------------------------------------------
//  Moves

static void test_rests (void)
{
    umbp_moves_t *moves = umbp_moves_new ();
    CU_ASSERT (!umbp_moves_rests (moves, 1, 0));
    CU_ASSERT (!umbp_moves_note (moves, 1, 0));
    CU_ASSERT (umbp_moves_rests (moves, 1, 0));
    CU_ASSERT (!umbp_moves_rests (moves, 2, 0));
    CU_ASSERT (umbp_moves_rests (moves, 1, UMBP_MOVES_REST_MS - 1));
    CU_ASSERT (!umbp_moves_rests (moves, 1, UMBP_MOVES_REST_MS));
    umbp_moves_destroy (&moves);
    CU_ASSERT_PTR_NULL (moves);
}

static void test_moves_too_often (void)
{
    umbp_moves_t *moves = umbp_moves_new ();
    for (int64_t now = 0; now < 30000; now += 10000)
        CU_ASSERT (!umbp_moves_note (moves, 5, now));
    CU_ASSERT (umbp_moves_rests (moves, 5, 25000));
    CU_ASSERT (umbp_moves_rests (moves, 5, 59999));
    CU_ASSERT (!umbp_moves_rests (moves, 5, 60000));
    CU_ASSERT (
        umbp_moves_note (moves, 5, 59999)); //  It had to, the fourth within a minute of the first
    CU_ASSERT (umbp_moves_rests (moves, 5, 59999 + UMBP_MOVES_MINUTE_MS - 1));
    CU_ASSERT (!umbp_moves_rests (moves, 5, 59999 + UMBP_MOVES_MINUTE_MS));
    for (int64_t now = 0; now < 400000; now += 20000)            //  Three in a minute, all the time
        CU_ASSERT (!umbp_moves_note (moves, 6, now));
    umbp_moves_destroy (&moves);
}

//  A mover that keeps to it: none moves more than so often in any minute, as long as the table knows it
static void test_ping_pong (void)
{
    const char *text = getenv ("UMBP_SEED");
    uint64_t seed =
        text ? strtoull (text, NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("[moves seed=%llu] ", (unsigned long long) seed);
    umbp_moves_t *moves = umbp_moves_new ();
    static int64_t at[16][2000];
    size_t counts[16] = { 0 }, most = 0;
    for (int64_t now = 0; now < 600000; now += 50) {
        uint64_t which = umbp_splitmix (&seed) % 16;
        if (umbp_moves_rests (moves, which * 1000003 + 1, now) || counts[which] == 2000)
            continue;
        umbp_moves_note (moves, which * 1000003 + 1, now);
        at[which][counts[which]++] = now;
    }
    for (size_t which = 0; which < 16; which++)
        for (size_t index = 0; index < counts[which]; index++) {
            size_t end = index;
            while (end < counts[which] && at[which][end] - at[which][index] < UMBP_MOVES_MINUTE_MS)
                end++;
            most = end - index > most ? end - index : most;
        }
    CU_ASSERT (most == UMBP_MOVES_IN_A_MINUTE);
    umbp_moves_destroy (&moves);
}

//  However many there are, it remembers no more than it has room for, and the latest first
static void test_bounded (void)
{
    umbp_moves_t *moves = umbp_moves_new ();
    size_t known = 0;
    for (uint64_t print = 1; print <= 10 * UMBP_MOVES_MAX; print++)
        umbp_moves_note (moves, print, (int64_t) print / 1000);
    for (uint64_t print = 1; print <= 10 * UMBP_MOVES_MAX; print++)
        known += umbp_moves_rests (moves, print, 50);
    CU_ASSERT (known > UMBP_MOVES_MAX / 2 && known <= UMBP_MOVES_MAX);
    CU_ASSERT (umbp_moves_rests (moves, 10 * UMBP_MOVES_MAX, 50));
    umbp_moves_destroy (&moves);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("admit", NULL, NULL);
    CU_ADD_TEST (suite, test_rules);
    CU_ADD_TEST (suite, test_hints);
    CU_ADD_TEST (suite, test_second_touch);
    CU_ADD_TEST (suite, test_auto);
    CU_ADD_TEST (suite, test_rests);
    CU_ADD_TEST (suite, test_moves_too_often);
    CU_ADD_TEST (suite, test_ping_pong);
    CU_ADD_TEST (suite, test_bounded);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

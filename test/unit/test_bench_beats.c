//  test/unit/test_bench_beats.c - a simulated cluster behaves as a real one has to: who is quiet stays
//  together and says no more than it must, who joins is known to all, who dies is gone when it is due
#include <CUnit/Basic.h>
#include <czmq.h>

#include "bin/bench_beats.h"

#define NODES 20
#define JOINS 5
#define SUSPECT 3
#define GONE 6
#define WAIT_MAX 20

static umbp_bench_beats_t *s_cluster (void)
{
    umbp_bench_beats_t *beats = umbp_bench_beats_new (SUSPECT, GONE, 7);
    for (size_t number = 0; number < NODES; number++)
        CU_ASSERT (umbp_bench_beats_add (beats) == number);
    return beats;
}

static unsigned s_until_agreed (umbp_bench_beats_t *beats)
{
    unsigned intervals = 0;
    do
        umbp_bench_beats_interval (beats);
    while (++intervals < WAIT_MAX && !umbp_bench_beats_agree (beats));
    CU_ASSERT (umbp_bench_beats_agree (beats));
    return intervals;
}

static void test_quiet (void)
{
    umbp_bench_beats_t *beats = s_cluster ();
    CU_ASSERT (!umbp_bench_beats_agree (beats));
    umbp_bench_beats_meet (beats);
    CU_ASSERT (umbp_bench_beats_agree (beats));
    umbp_bench_beats_tally (beats);
    for (int interval = 0; interval < 10; interval++)
        umbp_bench_beats_interval (beats);
    umbp_bench_beats_tally_t tally = umbp_bench_beats_tally (beats);
    CU_ASSERT (umbp_bench_beats_agree (beats));
    CU_ASSERT_EQUAL (tally.messages, 10 * NODES * (NODES - 1) * 2);
    CU_ASSERT (tally.bytes > tally.messages * 50 && tally.bytes < tally.messages * 500);
    tally = umbp_bench_beats_tally (beats);
    CU_ASSERT (tally.messages == 0 && tally.bytes == 0);
    umbp_bench_beats_destroy (&beats);
}

//  From nothing but one name each
static void test_forms_and_joins (void)
{
    umbp_bench_beats_t *beats = s_cluster ();
    s_until_agreed (beats);
    for (int number = 0; number < JOINS; number++)
        umbp_bench_beats_add (beats);
    CU_ASSERT (!umbp_bench_beats_agree (beats));
    s_until_agreed (beats);
    for (size_t number = 0; number < NODES + JOINS; number++)
        CU_ASSERT_EQUAL (umbp_members_count (umbp_bench_beats_members (beats, number)),
                         NODES + JOINS);
    const uint8_t *wire;
    umbp_msg_t msg;
    size_t size = umbp_bench_beats_topology (beats, 3, &wire);
    CU_ASSERT (umbp_msg_decode (&msg, wire, size) > 0);
    CU_ASSERT (msg.topology_ok.nodes.count == NODES + JOINS);
    umbp_bench_beats_destroy (&beats);
}

static void test_one_dies (void)
{
    umbp_bench_beats_t *beats = s_cluster ();
    umbp_bench_beats_meet (beats);
    umbp_bench_beats_interval (beats);
    umbp_bench_beats_kill (beats, 4);
    for (int interval = 0; interval < GONE - 1; interval++) {
        umbp_bench_beats_interval (beats);
        CU_ASSERT_EQUAL (umbp_members_count (umbp_bench_beats_members (beats, 0)), NODES);
    }
    CU_ASSERT_EQUAL (
        umbp_members_in_state (umbp_bench_beats_members (beats, 0), UMBP_MEMBER_SUSPECT), 1);
    CU_ASSERT (s_until_agreed (beats) <= 3);
    CU_ASSERT_EQUAL (umbp_members_count (umbp_bench_beats_members (beats, 0)), NODES - 1);
    umbp_bench_beats_destroy (&beats);
}

int main (void)
{
    zsys_set_logstream (NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bench_beats", NULL, NULL);
    CU_ADD_TEST (suite, test_quiet);
    CU_ADD_TEST (suite, test_forms_and_joins);
    CU_ADD_TEST (suite, test_one_dies);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

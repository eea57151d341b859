//  test/unit/test_settled.c - when the members of a cluster agree on the ring: all that are alive and in it say so,
//  and that their blocks are known to its shards. And that only nodes with the same settings come together.
#include <CUnit/Basic.h>
#include <czmq.h>

#include "actors/members.h"
#include "proto/splitmix.h"

#define START 1000000
#define SUSPECT_MS 3000

static uint64_t s_seed;

static const char *const s_ends[] = { "tcp://10.0.0.1:1", "tcp://10.0.0.2:1", "tcp://10.0.0.3:1" };
static const char *const s_names[] = { "a", "b", "c" };

static umbp_members_t *s_new (int number, unsigned copies, uint64_t seed)
{
    umbp_members_args_t args = {
        .cluster = "test", .node = s_names[number], .node_epoch = 1, .endpoint = s_ends[number],
        .heartbeat_ms = 1000, .suspect_ms = SUSPECT_MS, .gone_ms = 30000,
        .copies = copies, .vnodes = 150, .seed = seed, .tiers_expected = 1,
    };
    return umbp_members_new (&args, START);
}

//  Its tier says how full it is, and which ring it has told of its blocks
static void s_tier (umbp_members_t *members, uint64_t told)
{
    umbp_msg_capacity_t capacity = { .tier = UMBP_TIER_DRAM, .total = 100, .told_epoch = told };
    CU_ASSERT (umbp_members_capacity (members, &capacity) == 0);
}

static void s_told (umbp_members_t *members)
{
    s_tier (members, umbp_members_epoch (members));
}

static int s_beat (umbp_members_t *from, umbp_members_t *to, int64_t now)
{
    umbp_msg_beat_t beat;
    umbp_members_beat (from, &beat, false);
    return umbp_members_meet (to, &beat, now);
}

static bool s_is_settled (umbp_members_t *members)
{
    umbp_msg_topology_ok_t topology;
    umbp_members_topology (members, &topology, START);
    return topology.settled;
}

static void test_alone (void)
{
    umbp_members_t *a = s_new (0, 2, 1);
    s_tier (a, 0);                      //  In the ring now, which is another one
    CU_ASSERT (!s_is_settled (a));
    uint64_t changes = umbp_members_changes (a);
    s_told (a);
    CU_ASSERT (s_is_settled (a) && umbp_members_changes (a) > changes);
    changes = umbp_members_changes (a);
    s_told (a);
    CU_ASSERT (s_is_settled (a) && umbp_members_changes (a) == changes);
    umbp_members_destroy (&a);
}

static void test_two (void)
{
    umbp_members_t *a = s_new (0, 2, 1), *b = s_new (1, 2, 1);
    s_tier (a, 0);
    s_told (a);
    s_tier (b, 0);
    s_told (b);
    CU_ASSERT (s_beat (b, a, START) == 0 && !s_is_settled (a));
    s_told (a);
    CU_ASSERT (!s_is_settled (a));      //  b works with another ring
    CU_ASSERT (s_beat (a, b, START) == 0);
    CU_ASSERT (umbp_members_epoch (a) == umbp_members_epoch (b));
    CU_ASSERT (s_beat (b, a, START) == 0 && !s_is_settled (a));          //  But has told nobody
    s_told (b);
    CU_ASSERT (s_is_settled (b));
    uint64_t changes = umbp_members_changes (a);
    CU_ASSERT (s_beat (b, a, START) == 0 && s_is_settled (a) && umbp_members_changes (a) > changes);
    s_tier (b, 0);                      //  It takes that back
    CU_ASSERT (!s_is_settled (b) && s_beat (b, a, START) == 0 && !s_is_settled (a));
    umbp_members_destroy (&a);
    umbp_members_destroy (&b);
}

//  Nobody waits for a suspect, nor for somebody who is not in the ring; a restart begins anew
static void test_who_counts (void)
{
    umbp_members_t *a = s_new (0, 2, 1), *b = s_new (1, 2, 1), *c = s_new (2, 2, 1);
    s_tier (a, 0);
    s_tier (b, 0);
    CU_ASSERT (s_beat (b, a, START) == 0 && s_beat (c, a, START) == 0);
    CU_ASSERT (s_beat (a, b, START) == 0 && s_beat (c, b, START) == 0);
    s_told (a);
    s_told (b);
    CU_ASSERT (s_beat (b, a, START) == 0 && s_is_settled (a));           //  c has no tier yet
    s_tier (c, 0);
    CU_ASSERT (s_beat (c, a, START) == 0 && s_beat (c, b, START) == 0);
    s_told (a);
    s_told (b);
    CU_ASSERT (s_beat (b, a, START) == 0 && !s_is_settled (a));
    for (int64_t now = START; now <= START + SUSPECT_MS; now += 250) {
        CU_ASSERT (s_beat (b, a, now) == 0);
        umbp_members_tick (a, now, NULL, NULL);
    }
    CU_ASSERT (umbp_members_in_state (a, UMBP_MEMBER_SUSPECT) == 1 && s_is_settled (a));
    CU_ASSERT (s_beat (c, a, START + SUSPECT_MS) == 0 && !s_is_settled (a));
    uint64_t epoch = umbp_members_epoch (a);
    umbp_msg_beat_t beat;
    umbp_members_beat (b, &beat, false);
    beat.node_epoch++;
    CU_ASSERT (umbp_members_meet (a, &beat, START) == 0 && umbp_members_epoch (a) != epoch);
    umbp_members_destroy (&a);
    umbp_members_destroy (&b);
    umbp_members_destroy (&c);
}

//  What all nodes share is compared; one that says nothing about it is let in
static void test_settings (void)
{
    umbp_members_t *a = s_new (0, 2, 1), *copies = s_new (1, 3, 1), *seed = s_new (1, 2, 2);
    CU_ASSERT (s_beat (copies, a, START) == UMBP_EDENIED);
    CU_ASSERT_STRING_EQUAL (umbp_members_refusal (a)->field, "settings");
    CU_ASSERT (s_beat (seed, a, START) == UMBP_EDENIED && umbp_members_count (a) == 1);
    const char *gauge;
    CU_ASSERT (umbp_members_refused (a, UMBP_REFUSED_SETTINGS, &gauge) == 2);
    umbp_msg_beat_t beat;
    umbp_members_beat (seed, &beat, false);
    beat.settings = 0;
    CU_ASSERT (umbp_members_meet (a, &beat, START) == 0);
    umbp_members_destroy (&a);
    umbp_members_destroy (&copies);
    umbp_members_destroy (&seed);
}

//  -----------------------------------------------------------------------------------------------
//  Whatever happens, settled is what the rule says, looked up anew each time

#define PEERS 6

typedef struct {
    uint64_t topo_epoch, told_epoch;    //  What it said last
} said_t;

static bool s_rule (const umbp_members_t *members, const said_t *said, uint64_t own_told)
{
    uint64_t epoch = umbp_members_epoch (members);
    for (size_t index = 0; index < umbp_members_count (members); index++) {
        const umbp_member_t *member = umbp_members_at (members, index);
        const said_t *its = &said[member->node[1] - '0'];
        if (member->state != UMBP_MEMBER_ALIVE || !member->in_ring)
            continue;
        if (umbp_members_is_self (members, index)
                ? own_told != epoch
                : its->topo_epoch != epoch || its->told_epoch != epoch)
            return false;
    }
    return true;
}

static void s_random_event (umbp_members_t *members, said_t *said, uint64_t *own_told, int64_t *now)
{
    static uint64_t before;             //  A topology that once was
    char node[8], endpoint[48];
    unsigned who = (unsigned) (umbp_splitmix (&s_seed) % PEERS);
    uint64_t epoch = umbp_members_epoch (members);
    before = umbp_splitmix (&s_seed) % 20 == 0 ? epoch : before;
    snprintf (node, sizeof node, "p%u", who);
    snprintf (endpoint, sizeof endpoint, "tcp://10.0.1.%u:1", who);
    umbp_msg_beat_t beat = { .cluster = umbp_text ("test"),
                             .node = umbp_text (node),
                             .node_epoch = 1 + umbp_splitmix (&s_seed) % 50 / 49,
                             .version = UMBP_PROTOCOL_VERSION, .endpoint = umbp_text (endpoint),
                             .ready = umbp_splitmix (&s_seed) % 10 != 0,
                             .topo_epoch = umbp_splitmix (&s_seed) % 4 ? epoch : before,
                             .told_epoch = umbp_splitmix (&s_seed) % 4 ? epoch : before };
    switch (umbp_splitmix (&s_seed) % 40) {
    case 0: umbp_members_leave (members, beat.node, beat.node_epoch, *now); break;
    case 1: umbp_members_step_out (members, umbp_splitmix (&s_seed) % 2); break;
    case 2:
    case 3:
        *now += 250;
        umbp_members_tick (members, *now, NULL, NULL);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        *own_told = umbp_splitmix (&s_seed) % 8 ? epoch : before;
        s_tier (members, *own_told);
        break;
    default:
        if (umbp_members_meet (members, &beat, *now) == 0)
            said[who] = (said_t) { beat.topo_epoch, beat.told_epoch };
    }
}

static void test_random_events (void)
{
    umbp_members_args_t args = { .cluster = "test",
                                 .node = "z9",
                                 .node_epoch = 1,
                                 .endpoint = s_ends[0], .heartbeat_ms = 1000,
                                 .suspect_ms = SUSPECT_MS, .gone_ms = 9000, .copies = 2,
                                 .vnodes = 150, .seed = 1, .tiers_expected = 1 };
    said_t said[10] = { { 0, 0 } };
    uint64_t own_told = 0, settled = 0;
    int64_t now = START;
    umbp_members_t *members = umbp_members_new (&args, now);
    for (int event = 0; event < 50000; event++) {
        s_random_event (members, said, &own_told, &now);
        bool rule = s_rule (members, said, own_told);
        CU_ASSERT_FATAL (umbp_members_settled (members) == rule);
        settled += rule;
    }
    printf ("%d %% settled ", (int) (settled / 500));
    CU_ASSERT (settled > 500);          //  Else this showed little
    umbp_members_destroy (&members);
}

int main (void)
{
    alarm (60);
    zsys_init ();
    const char *given = getenv ("UMBP_SEED");
    s_seed = given ? strtoull (given, NULL, 0) : (uint64_t) zclock_usecs ();
    printf ("UMBP_SEED=0x%" PRIx64 " ", s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("settled", NULL, NULL);
    CU_ADD_TEST (suite, test_alone);
    CU_ADD_TEST (suite, test_two);
    CU_ADD_TEST (suite, test_who_counts);
    CU_ADD_TEST (suite, test_settings);
    CU_ADD_TEST (suite, test_random_events);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

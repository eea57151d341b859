//  test/unit/test_topology.c - the snapshot of a cluster: what a message says is what can be asked,
//  and what is impossible makes none
#include <CUnit/Basic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cluster/topology.h"

#define NODES 3

//  Three nodes, node-b suspect, node-c not in the ring; node-a has two tiers, node-c one
static uint64_t s_epochs[NODES] = { 11, 12, 13 };
static uint8_t s_states[NODES] = { UMBP_MEMBER_ALIVE, UMBP_MEMBER_SUSPECT, UMBP_MEMBER_ALIVE };
static uint8_t s_rings[NODES] = { 1, 1, 0 };
static uint16_t s_loads[NODES] = { 0, 500, 1000 };
static uint32_t s_silent_ms[NODES] = { 0, 3100, 40 };
static uint8_t s_tier_counts[NODES] = { 2, 0, 1 };
static uint8_t s_tiers[] = { UMBP_TIER_DRAM, UMBP_TIER_NVME, UMBP_TIER_HBM };
static uint64_t s_totals[] = { 1000, 2000, 3000 };
static uint64_t s_useds[] = { 1, 2, 3 };
static uint64_t s_blocks[] = { 10, 20, 30 };
static uint16_t s_name_sizes[NODES] = { 6, 6, 6 };
static uint16_t s_text_sizes[NODES] = { 1, 0, 2 };

static umbp_msg_topology_ok_t s_message (void)
{
    umbp_column_t texts = { (const uint8_t *) "xyz", s_text_sizes, 3, NODES };
    return (umbp_msg_topology_ok_t) {
        .topo_epoch = 77,
        .self = umbp_text ("node-b"),
        .nodes = { (const uint8_t *) "node-anode-bnode-c", s_name_sizes, 18, NODES },
        .epochs = { s_epochs, NODES },
        .endpoints = { (const uint8_t *) "tcp:/atcp:/btcp:/c", s_name_sizes, 18, NODES },
        .bulks = texts,
        .hosts = texts,
        .doors = texts,
        .states = { s_states, NODES },
        .rings = { s_rings, NODES },
        .loads = { s_loads, NODES },
        .silent_ms = { s_silent_ms, NODES },
        .tier_counts = { s_tier_counts, NODES },
        .tiers = { s_tiers, 3 },
        .totals = { s_totals, 3 },
        .useds = { s_useds, 3 },
        .blocks = { s_blocks, 3 },
        .copies = 2,
        .vnodes = 150,
    };
}

static void test_says_what_the_message_said (void)
{
    umbp_msg_topology_ok_t msg = s_message ();
    umbp_topology_t *topology = umbp_topology_new (&msg);
    CU_ASSERT_FATAL (topology != NULL);
    CU_ASSERT (umbp_topology_epoch (topology) == 77);
    CU_ASSERT (umbp_topology_count (topology) == NODES);
    CU_ASSERT (umbp_topology_copies (topology) == 2);
    CU_ASSERT (umbp_topology_self (topology) == 1);
    CU_ASSERT (umbp_topology_find (topology, umbp_text ("node-c")) == 2);
    CU_ASSERT (umbp_topology_find (topology, umbp_text ("node-")) == -1);
    const umbp_member_t *first = umbp_topology_member (topology, 0);
    const umbp_member_t *last = umbp_topology_member (topology, 2);
    CU_ASSERT_STRING_EQUAL (first->node, "node-a");
    CU_ASSERT_STRING_EQUAL (first->endpoint, "tcp:/a");
    CU_ASSERT_STRING_EQUAL (first->bulk, "x");
    CU_ASSERT_STRING_EQUAL (umbp_topology_member (topology, 1)->doors, "");
    CU_ASSERT_STRING_EQUAL (last->host, "yz");
    CU_ASSERT (first->epoch == 11 && first->in_ring && first->state == UMBP_MEMBER_ALIVE);
    CU_ASSERT (umbp_topology_member (topology, 1)->state == UMBP_MEMBER_SUSPECT);
    CU_ASSERT (umbp_topology_member (topology, 1)->silent_ms == 3100);
    CU_ASSERT (!last->in_ring && last->load == 1000);
    CU_ASSERT (first->tiers[UMBP_TIER_NVME].total == 2000);
    CU_ASSERT (first->tiers[UMBP_TIER_DRAM].used == 1);
    CU_ASSERT (first->tiers[UMBP_TIER_HBM].total == 0);
    CU_ASSERT (last->tiers[UMBP_TIER_HBM].blocks == 30);
    umbp_topology_destroy (&topology);
    CU_ASSERT_PTR_NULL (topology);
    umbp_topology_destroy (&topology);
}

//  Suspects keep their keys, those outside the ring have none
static void test_ring (void)
{
    umbp_msg_topology_ok_t msg = s_message ();
    umbp_topology_t *topology = umbp_topology_new (&msg);
    CU_ASSERT_FATAL (topology != NULL);
    const umbp_ring_t *ring = umbp_topology_ring (topology);
    CU_ASSERT (umbp_ring_node_count (ring) == 2);
    CU_ASSERT (umbp_ring_vnode_count (ring) == 300);
    for (uint64_t step = 0; step < 1000; step++) {
        uint16_t owners[UMBP_COPIES_MAX];
        uint64_t position = step * 0x9e3779b97f4a7c15u;
        CU_ASSERT (umbp_topology_owners (topology, position, owners) == 2);
        CU_ASSERT (owners[0] != owners[1] && owners[0] < 2 && owners[1] < 2);
    }
    umbp_topology_destroy (&topology);

    memset (s_rings, 0, sizeof s_rings);
    topology = umbp_topology_new (&msg);
    CU_ASSERT_FATAL (topology != NULL);
    uint16_t owners[UMBP_COPIES_MAX];
    CU_ASSERT (umbp_topology_owners (topology, 1, owners) == 0);
    umbp_topology_destroy (&topology);
    s_rings[0] = s_rings[1] = 1;
}

static void s_check_impossible (const umbp_msg_topology_ok_t *msg)
{
    umbp_topology_t *topology = umbp_topology_new (msg);
    CU_ASSERT_PTR_NULL (topology);
    umbp_topology_destroy (&topology);
}

static void test_impossible (void)
{
    umbp_msg_topology_ok_t msg = s_message ();
    msg.self = umbp_text ("node-d");                //  Not a member
    s_check_impossible (&msg);

    msg = s_message ();                             //  Fewer rows of tiers than were counted
    msg.tiers.count = msg.totals.count = msg.useds.count = msg.blocks.count = 2;
    s_check_impossible (&msg);

    msg = s_message ();                             //  More
    s_tier_counts[2] = 0;
    s_check_impossible (&msg);
    s_tier_counts[2] = 1;

    s_tiers[2] = UMBP_TIERS;                        //  No such tier
    s_check_impossible (&msg);
    s_tiers[2] = UMBP_TIER_HBM;

    msg.nodes.bytes = (const uint8_t *) "node-anode-anode-b";    //  Twice in the ring
    s_check_impossible (&msg);

    msg = s_message ();
    msg.vnodes = UMBP_RING_REPLICAS_MAX + 1;
    s_check_impossible (&msg);

    msg = s_message ();
    msg.nodes.count = 0;
    s_check_impossible (&msg);
}

//  Whatever passes the codec makes a topology or none, and reads no byte beyond the message
static void test_random_messages (void)
{
    static uint8_t arena[1 << 16], wire[1 << 18];
    const char *given = getenv ("UMBP_SEED");
    uint64_t seed = given ? strtoull (given, NULL, 0) : (uint64_t) getpid () * 0x9e3779b97f4a7c15u;
    printf ("UMBP_SEED=0x%llx ", (unsigned long long) seed);
    for (int round = 0; round < 2000; round++) {
        umbp_msg_t msg, again;
        CU_ASSERT_FATAL (umbp_msg_random (&msg, UMBP_MSG_topology_ok, &seed, arena, 1 << 13) == 0);
        int size = umbp_msg_encode (&msg, wire, sizeof wire);
        CU_ASSERT_FATAL (size > 0);
        uint8_t *exact = malloc ((size_t) size);    //  So that a sanitizer sees where it ends
        memcpy (exact, wire, (size_t) size);
        if (umbp_msg_decode (&again, exact, (size_t) size) > 0) {
            umbp_topology_t *topology = umbp_topology_new (&again.topology_ok);
            umbp_topology_destroy (&topology);
        }
        free (exact);
    }
}

//  Told again, with the ring of the former one, or, since somebody else is in it, with one of its own.
//  Whichever goes first: the other stays whole.
static void test_renew (void)
{
    umbp_msg_topology_ok_t msg = s_message ();
    umbp_topology_t *first = umbp_topology_renew (NULL, &msg);
    CU_ASSERT_FATAL (first != NULL);
    uint64_t whose = s_epochs[0];
    s_epochs[0] = 99;
    umbp_topology_t *again = umbp_topology_renew (first, &msg);
    s_epochs[0] = whose;
    CU_ASSERT_FATAL (again != NULL);
    CU_ASSERT (umbp_topology_ring (again) == umbp_topology_ring (first));
    CU_ASSERT (umbp_topology_member (again, 0)->epoch == 99);
    CU_ASSERT (umbp_topology_member (first, 0)->epoch == whose);
    umbp_topology_destroy (&first);
    CU_ASSERT (umbp_ring_node_count (umbp_topology_ring (again)) == 2);

    s_rings[2] = 1;
    umbp_topology_t *other = umbp_topology_renew (again, &msg);
    s_rings[2] = 0;
    CU_ASSERT_FATAL (other != NULL);
    CU_ASSERT (umbp_ring_node_count (umbp_topology_ring (other)) == 3);
    umbp_topology_destroy (&other);

    msg.vnodes = 10;
    other = umbp_topology_renew (again, &msg);
    CU_ASSERT_FATAL (other != NULL);
    CU_ASSERT (umbp_ring_vnode_count (umbp_topology_ring (other)) == 20);
    umbp_topology_destroy (&other);
    msg.vnodes = 150;
    msg.nodes.bytes = (const uint8_t *) "node-anode-bbode-c";
    s_name_sizes[1] = 7;
    s_name_sizes[2] = 5;
    msg.self = umbp_text ("node-a");
    other = umbp_topology_renew (again, &msg);
    s_name_sizes[1] = s_name_sizes[2] = 6;
    CU_ASSERT_FATAL (other != NULL);
    CU_ASSERT (umbp_topology_ring (other) != umbp_topology_ring (again));
    umbp_topology_destroy (&other);
    CU_ASSERT_PTR_NULL (
        umbp_topology_renew (again, &(umbp_msg_topology_ok_t){ .self = umbp_text ("node-a") }));
    umbp_topology_destroy (&again);
}

//  Threads that share a ring, each with topologies of its own: the last to let go of it frees it
static void *s_renew_often (void *arg)
{
    const umbp_topology_t *first = arg;
    umbp_msg_topology_ok_t msg = s_message ();
    umbp_topology_t *mine = umbp_topology_renew (first, &msg);
    for (int times = 0; mine && times < 100000; times++) {
        umbp_topology_t *next = umbp_topology_renew (mine, &msg);
        if (!next || umbp_topology_ring (next) != umbp_topology_ring (first))
            umbp_topology_destroy (&next);
        umbp_topology_destroy (&mine);
        mine = next;
    }
    return mine;
}

static void test_threads_share_a_ring (void)
{
    umbp_msg_topology_ok_t msg = s_message ();
    umbp_topology_t *first = umbp_topology_new (&msg);
    CU_ASSERT_FATAL (first != NULL);
    pthread_t threads[4];
    umbp_topology_t *last[4] = { NULL };
    for (size_t index = 0; index < 4; index++)
        CU_ASSERT_FATAL (pthread_create (&threads[index], NULL, s_renew_often, first) == 0);
    for (size_t index = 0; index < 4; index++)
        pthread_join (threads[index], (void **) &last[index]);
    const umbp_ring_t *ring = umbp_topology_ring (first);
    umbp_topology_destroy (&first);
    for (size_t index = 0; index < 4; index++) {
        CU_ASSERT_FATAL (last[index] != NULL);
        CU_ASSERT (umbp_topology_ring (last[index]) == ring);
        CU_ASSERT (umbp_ring_node_count (umbp_topology_ring (last[index])) == 2);
        umbp_topology_destroy (&last[index]);
    }
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("topology", NULL, NULL);
    CU_ADD_TEST (suite, test_says_what_the_message_said);
    CU_ADD_TEST (suite, test_renew);
    CU_ADD_TEST (suite, test_threads_share_a_ring);
    CU_ADD_TEST (suite, test_ring);
    CU_ADD_TEST (suite, test_impossible);
    CU_ADD_TEST (suite, test_random_messages);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

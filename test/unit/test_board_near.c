//  test/unit/test_board_near.c - exists by the boards of all nodes of a host: after some calls nobody is asked for what is
//  there, what was removed is absent at once, and what a node showed is void once it has gone.
#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

#define NODES 3
#define EACH 40                         //  Blocks of a node
#define BLOCKS (NODES * EACH)
#define CALLS_MAX 500                   //  Until all nodes have lent their boards

static nodes_t s_nodes;
static umbp_key_t s_keys[BLOCKS];
static char s_names[BLOCKS][32];
static int8_t s_found[BLOCKS];

static int s_setup (void)
{
    for (size_t index = 0; index < BLOCKS; index++) {
        int size = snprintf (s_names[index], sizeof s_names[index], "near-%zu", index);
        s_keys[index] = (umbp_key_t) { s_names[index], (size_t) size };
    }
    return nodes_start (&s_nodes, NODES, WITH_DOORS, 16u << 20) ? 0 : -1;
}

static int s_teardown (void)
{
    nodes_stop (&s_nodes);
    return 0;
}

static umbp_t *s_client (size_t node)
{
    umbp_options_t how = { .endpoints = umbp_node_endpoint (s_nodes.nodes[node]) };
    umbp_t *pool = nodes_connect (&s_nodes, node, how);
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    return pool;
}

//  Keys that all index shards were asked for
static uint64_t s_asked (size_t nodes)
{
    uint64_t sum = 0;
    for (size_t node = 0; node < nodes; node++)
        sum += gauge (umbp_node_endpoint (s_nodes.nodes[node]), "index", "keys_asked");
    return sum;
}

static int s_exists (umbp_t *pool)
{
    return umbp_exists_batch (pool, s_keys, BLOCKS, s_found, 20000);
}

//  Each node has EACH of the blocks
static void s_load (void)
{
    for (size_t node = 0; node < NODES; node++) {
        umbp_t *pool = s_client (node);
        umbp_put_options_t how = { .strategy = UMBP_STRATEGY_LOCAL };
        for (size_t index = node * EACH; index < (node + 1) * EACH; index++) {
            umbp_item_t item = { .key = s_keys[index], .data = s_names[index], .size = 32 };
            CU_ASSERT_EQUAL (umbp_put_batch (pool, &item, 1, &how, 20000), 1);
        }
        umbp_close (&pool);
    }
}

//  Ask until asking costs no message
static void s_warm (umbp_t *pool)
{
    uint64_t asked = 0, before = 1;
    for (int call = 0; call < CALLS_MAX && asked != before; call++) {
        before = s_asked (NODES);
        CU_ASSERT_EQUAL (s_exists (pool), BLOCKS);
        asked = s_asked (NODES);
    }
    CU_ASSERT_EQUAL (asked, before);
}

static void test_nobody_is_asked (void)
{
    umbp_t *pool = s_client (0);
    s_load ();
    s_warm (pool);
    uint64_t before = s_asked (NODES);
    for (int call = 0; call < 50; call++)
        CU_ASSERT_EQUAL (s_exists (pool), BLOCKS);
    CU_ASSERT_EQUAL (s_asked (NODES), before);
    umbp_key_t absent = { "nobody has this", 15 };
    int8_t found = 1;
    CU_ASSERT_EQUAL (umbp_exists_batch (pool, &absent, 1, &found, 20000), 0);
    CU_ASSERT_EQUAL (found, 0);
    CU_ASSERT_TRUE (s_asked (NODES) > before);     //  Only the index can say that
    umbp_close (&pool);
}

//  By a client of another node
static void test_what_was_removed_is_absent (void)
{
    umbp_t *pool = s_client (0), *other = s_client (1);
    s_warm (pool);
    for (size_t index = 0; index < BLOCKS; index += 7) {
        CU_ASSERT_EQUAL (umbp_remove_batch (other, &s_keys[index], 1, NULL, 20000), 1);
        CU_ASSERT_EQUAL (umbp_exists_batch (pool, &s_keys[index], 1, s_found, 20000), 0);
    }
    s_exists (pool);
    for (size_t index = 0; index < BLOCKS; index++)
        CU_ASSERT_EQUAL (s_found[index], index % 7 != 0);
    umbp_close (&other);
    umbp_close (&pool);
}

//  Its memory stays mapped for as long as somebody may look at it
static void test_a_board_ends_with_its_node (void)
{
    umbp_t *pool = s_client (0);
    umbp_clear (pool, true, 20000);
    s_load ();
    s_warm (pool);
    umbp_node_destroy (&s_nodes.nodes[NODES - 1]);
    int got = BLOCKS;
    for (int64_t end = umbp_clock_ms () + GAUGE_MS;
         got != BLOCKS - EACH && umbp_clock_ms () < end;) {
        got = s_exists (pool);
        for (size_t index = 0; index < BLOCKS - EACH; index++)
            CU_ASSERT_EQUAL (s_found[index], 1);
    }
    CU_ASSERT_EQUAL (got, BLOCKS - EACH);
    umbp_close (&pool);
}

int main (void)
{
    alarm (240);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("board_near", s_setup, s_teardown);
    CU_ADD_TEST (suite, test_nobody_is_asked);
    CU_ADD_TEST (suite, test_what_was_removed_is_absent);
    CU_ADD_TEST (suite, test_a_board_ends_with_its_node);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

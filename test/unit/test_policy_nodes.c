//  test/unit/test_policy_nodes.c - policies and hints through a pool: what a client says arrives, a block read often
//  outlives a crowd of others, and what comes back is known at whichever node
#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

#define MIB ((size_t) 1 << 20)
#define SIZE 65536
#define CROWD 300                       //  Blocks: more than two nodes hold, less than they remember
#define TURNS 10                        //  Until one goes as it mostly does
#define KNOWN 60                        //  Blocks that are put again at the other node

static nodes_t s_nodes;

//  As nodes_start, with a policy
static void s_start (size_t count, const char *policy)
{
    s_nodes = (nodes_t) { .count = count };
    for (size_t number = 0; number < count; number++) {
        umbp_node_options_t *options = &s_nodes.options[number];
        nodes_options (&s_nodes, number, WITHOUT_DOORS, 8 * MIB);
        snprintf (options->policy, sizeof options->policy, "%s", policy);
        s_nodes.nodes[number] = nodes_new (options);
        CU_ASSERT_PTR_NOT_NULL_FATAL (s_nodes.nodes[number]);
    }
    CU_ASSERT_FATAL (nodes_meet (&s_nodes));
}

static umbp_t *s_client (size_t number)
{
    umbp_t *pool = nodes_connect (&s_nodes, number, (umbp_options_t) { 0 });
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    return pool;
}

static uint64_t s_gauge (size_t number, const char *actor, const char *name)
{
    return gauge (umbp_node_endpoint (s_nodes.nodes[number]), actor, name);
}

static int s_put (umbp_t *pool, const char *key, const umbp_put_options_t *how)
{
    static char data[SIZE];
    umbp_item_t item = { .key = { key, strlen (key) }, .data = data, .size = sizeof data };
    umbp_put_batch (pool, &item, 1, how, GAUGE_MS);
    return item.status;
}

//  Returns how many were not there before
static size_t s_crowd (umbp_t *pool, const char *what, size_t count)
{
    size_t new = 0;
    for (size_t number = 0; number < count; number++) {
        char key[32];
        snprintf (key, sizeof key, "%s-%zu", what, number);
        int rc = s_put (pool, key, NULL);
        CU_ASSERT (rc == 0 || rc == UMBP_EEXIST);
        new += rc == 0;
    }
    return new;
}

//  ------------------------------------------------------------------------------------------------

static void test_keep (void)
{
    static const char *const policies[] = { "s3fifo", "lru" };
    for (size_t index = 0; index < 2; index++) {
        s_start (1, policies[index]);
        umbp_t *pool = s_client (0);
        umbp_put_options_t keep = { .hint = UMBP_HINT_KEEP }, none = { .hint = UMBP_HINT_NONE },
                           wrong = { .hint = 3 };
        CU_ASSERT (s_put (pool, "wrong", &wrong) == UMBP_EINVAL);
        CU_ASSERT (s_put (pool, "kept", &keep) == 0);
        CU_ASSERT (s_put (pool, "plain", &none) == 0);
        s_crowd (pool, "crowd", CROWD);
        CU_ASSERT (umbp_exists (pool, "plain") == 0);
        CU_ASSERT (umbp_exists (pool, "kept")
                   == (index == 0)); //  For lru it is as old as the other
        bool remembers = s_gauge (0, "tier:dram", "ghosts") > 0;
        CU_ASSERT (remembers == (index == 0));
        umbp_close (&pool);
        nodes_stop (&s_nodes);
    }
}

static uint64_t s_both (const char *name)
{
    return s_gauge (0, "tier:dram", name) + s_gauge (1, "tier:dram", name);
}

//  Blocks go where there is room, so what comes back does so to either node; one of two is another than it left. A
//  put that is told of no block of that key is told that it left, by a shard that remembers it: shards remember twice as
//  many as they have, so how many these are is a matter of who evicted when. Returns how many were known.
static uint64_t s_return (void)
{
    s_start (2, "s3fifo");
    umbp_t *first = s_client (0), *second = s_client (1);
    CU_ASSERT (s_crowd (first, "known", KNOWN) == KNOWN);
    CU_ASSERT (umbp_flush (first, 60000) == 0);
    CU_ASSERT (s_crowd (first, "crowd", CROWD) == CROWD);
    CU_ASSERT (umbp_flush (first, 60000) == 0);
    CU_ASSERT (s_both ("returned") == 0);
    size_t back = s_crowd (second, "known", KNOWN);
    CU_ASSERT (back > KNOWN / 2);
    uint64_t known = s_both ("returned");
    printf ("[%zu are back, %zu known] ", back, (size_t) known);
    CU_ASSERT (known <= back);
    CU_ASSERT (s_crowd (second, "new", KNOWN) == KNOWN);
    CU_ASSERT (s_both ("returned") == known);
    umbp_close (&second);
    umbp_close (&first);
    nodes_stop (&s_nodes);
    return known;
}

static void test_returns (void)
{
    uint64_t known = 0;
    for (int turn = 0; turn < TURNS && known <= KNOWN / 4; turn++)
        known = s_return ();
    CU_ASSERT (known > KNOWN / 4);
}

int main (void)
{
    alarm (300);
    zsys_init ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("policy_nodes", NULL, NULL);
    CU_ADD_TEST (suite, test_keep);
    CU_ADD_TEST (suite, test_returns);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

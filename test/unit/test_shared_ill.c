//  test/unit/test_shared_ill.c - nodes whose shared directory hangs, is full or fails: memory serves as before, they say
//  what is the matter, nothing is lost by it, and all is well when it answers again. Seed: argument or clock, printed.
#include "test/unit/shared.h"

static bool s_state (const shared_t *self, size_t number, int state)
{
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (shared_gauge (self, number, "tier:shared", "disk_state") != (uint64_t) -state
           && umbp_clock_ms () < end)
        usleep (20000);
    return shared_gauge (self, number, "tier:shared", "disk_state") == (uint64_t) -state;
}

//  Memory serves as before
static void s_check_memory (umbp_t *pool, const char *name)
{
    size_t others;
    CU_ASSERT (shared_put (pool, name, 20, 0) == 20);
    CU_ASSERT (shared_get (pool, name, 20, WAIT_MS, &others) == 20 && others == 0);
    CU_ASSERT (shared_remove (pool, name, 20) == 20);
}

//  Every call on files hangs: both nodes go on, say so, and are well when it answers again
static void test_hang (void)
{
    shared_t shared;
    size_t others;
    shared_deadline_ms = 2000;
    shared_start (&shared, 2);
    umbp_t *pools[2];
    for (size_t number = 0; number < 2; number++)
        pools[number] = shared_connect (umbp_node_endpoint (shared.nodes.nodes[number]));
    CU_ASSERT (shared_put (pools[0], "kept", 40, UMBP_TIER_SHARED) == 40);
    shared_set_ill ("all", -1);
    for (size_t number = 0; number < 2; number++) {
        CU_ASSERT (shared_put (pools[number], "hung", 20, UMBP_TIER_SHARED) == 0);
        CU_ASSERT (s_state (&shared, number, UMBP_ETIMEDOUT));
        CU_ASSERT (shared_gauge (&shared, number, "tier:shared", "shelf_hanging") > 0);
        s_check_memory (pools[number], number ? "m1" : "m0");
    }
    CU_ASSERT (shared_get (pools[1], "none", 20, WAIT_MS, &others) == 0 && others == 0);
    shared_set_ill (NULL, 0);
    for (size_t number = 0; number < 2; number++) {
        CU_ASSERT (s_state (&shared, number, 0));
        CU_ASSERT (shared_get_all (pools[number], "kept", 40));
        CU_ASSERT (shared_put (pools[number], number ? "b" : "a", 20, UMBP_TIER_SHARED) == 20);
        CU_ASSERT (shared_get_all (pools[number], number ? "b" : "a", 20));
    }
    CU_ASSERT (shared_sum (&shared, "shelf_hanging") == 0);
    for (size_t number = 0; number < 2; number++)
        umbp_close (&pools[number]);
    shared_stop (&shared);
}

//  A put that finds no space fails, and fails at once; so does one that finds an error; what is there is read
static void test_errors (void)
{
    shared_t shared;
    size_t others;
    shared_deadline_ms = 2000;
    shared_start (&shared, 1);
    umbp_t *pool = shared_connect (umbp_node_endpoint (shared.nodes.nodes[0]));
    CU_ASSERT (shared_put (pool, "kept", 40, UMBP_TIER_SHARED) == 40);
    shared_set_ill ("write", EIO);
    CU_ASSERT (shared_put (pool, "x", 20, UMBP_TIER_SHARED) == 0);
    CU_ASSERT (s_state (&shared, 0, UMBP_EIO));
    s_check_memory (pool, "m");
    shared_set_ill (NULL, 0);
    CU_ASSERT (s_state (&shared, 0, 0));
    CU_ASSERT (shared_put (pool, "x", 20, UMBP_TIER_SHARED) == 20);
    shared_set_ill ("write", ENOSPC);
    CU_ASSERT (shared_put (pool, "y", 20, UMBP_TIER_SHARED) == 0);
    CU_ASSERT (s_state (&shared, 0, UMBP_ENOSPC));
    s_check_memory (pool, "m");
    shared_set_ill (NULL, 0);
    CU_ASSERT (shared_get (pool, "kept", 40, WAIT_MS, &others) == 40);
    CU_ASSERT (shared_get (pool, "y", 20, WAIT_MS, &others) == 0 && others == 0);
    shared_restart (&shared, 0);             //  What was refused is not found
    umbp_close (&pool);
    pool = shared_connect (umbp_node_endpoint (shared.nodes.nodes[0]));
    CU_ASSERT (shared_gauge (&shared, 0, "tier:shared", "disk_recovered") == 60);
    shared_set_ill ("open", ESTALE);         //  An error of the mount: nothing is lost by it
    CU_ASSERT (shared_get (pool, "kept", 40, 2000, &others) == 0);
    shared_set_ill (NULL, 0);
    CU_ASSERT (shared_get_all (pool, "kept", 40));
    umbp_close (&pool);
    shared_stop (&shared);
}

int main (int argc, char **argv)
{
    alarm (300);
    CU_initialize_registry ();
    shared_seed = argc > 1 ? strtoull (argv[1], NULL, 0) : nodes_seed ("shared_ill");
    CU_pSuite suite = CU_add_suite ("shared ill", NULL, NULL);
    CU_ADD_TEST (suite, test_hang);
    CU_ADD_TEST (suite, test_errors);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

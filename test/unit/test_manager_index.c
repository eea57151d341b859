//  test/unit/test_manager_index.c - the tier manager as the index sees it: whose word it waits for, and
//  for how long, and what it does about what it hears
#include "test/unit/manager.h"

//  The number of the owner whose word decides about a key
static int s_primary (const char *key)
{
    static const crowd_t two[] = { CROWD ("a", 1, 0), CROWD ("b", 1, 0) };
    umbp_topology_t *topology = crowd_new (two, 2, "a", 1);
    uint16_t owners[UMBP_COPIES_MAX];
    uint64_t at = umbp_ring_position (umbp_topology_ring (topology), key, strlen (key));
    CU_ASSERT (umbp_topology_owners (topology, at, owners) == 2);
    umbp_topology_destroy (&topology);
    return owners[0];
}

static void test_first_shard_answers (void)
{
    manager_start_two ();
    for (int silent = 0; silent < 2; silent++) {
        manager_tier.shards[silent].silent = true;
        int64_t began = zclock_mono ();
        CU_ASSERT (tier_store (&manager_tier, silent ? "k1" : "k2", manager_data, PAGE) == 0);
        CU_ASSERT (zclock_mono () - began < PEER_MS / 2);
        CU_ASSERT (shard_has (&manager_tier.shards[!silent], silent ? "k1" : "k2"));
        manager_tier.shards[silent].silent = false;
        CU_ASSERT (tier_flush (&manager_tier));                    //  It is told again
        CU_ASSERT (shard_has (&manager_tier.shards[silent], silent ? "k1" : "k2"));
    }
    CU_ASSERT (tier_gauge (&manager_tier, "announce_repeats") >= 1);
    CU_ASSERT (manager_tier.shards[0].accounts == 1 && manager_tier.shards[1].accounts == 1);
    tier_stop (&manager_tier);
}

//  While a ring is not settled a put is done when owners in the old one and in the new one have heard of it
static void test_both_rings (void)
{
    static const crowd_t one[] = { CROWD ("a", 1, 0) };
    static const crowd_t both[] = { CROWD ("a", 1, 0), CROWD ("b", 1, 0), CROWD ("c", 1, 0) };
    tier_start (&manager_tier, (tier_options_t) { 0 });
    tier_shard (&manager_tier, "b");
    tier_shard (&manager_tier, "c");
    tier_push (&manager_tier, one, 1, 1);
    CU_ASSERT (tier_flush (&manager_tier));
    CU_ASSERT (tier_store (&manager_tier, "old", manager_data, PAGE) == 0);
    crowd_unsettled = true;
    tier_push (&manager_tier, both, 3, 2);
    CU_ASSERT (tier_flush (&manager_tier) && tier_gauge (&manager_tier, "rings_told") == 2);
    umbp_topology_t *topology = crowd_new (both, 3, "a", 2);
    char key[16];                       //  One that a, the owner of all until now, need not know in the new ring
    uint16_t owners[UMBP_COPIES_MAX] = { 0 };
    for (int number = 0; owners[0] == 0 || owners[1] == 0; number++) {
        snprintf (key, sizeof key, "k%d", number);
        uint64_t at = umbp_ring_position (umbp_topology_ring (topology), key, strlen (key));
        CU_ASSERT (umbp_topology_owners (topology, at, owners) == 2);
    }
    umbp_topology_destroy (&topology);
    manager_tier.shards[0].silent = true;
    CU_ASSERT (tier_store_as (&manager_tier, key, manager_data, PAGE, false, false, 400)
               == UMBP_EUNREACH);
    CU_ASSERT (shard_has (&manager_tier.shards[1], key)
               && shard_has (&manager_tier.shards[2], key));
    manager_tier.shards[0].silent = false;
    CU_ASSERT (tier_drop (&manager_tier, key) == 0 && tier_flush (&manager_tier));
    CU_ASSERT (tier_store (&manager_tier, key, manager_data, PAGE) == 0);
    CU_ASSERT (shard_has (&manager_tier.shards[0], key) && tier_flush (&manager_tier));
    CU_ASSERT (shard_has (&manager_tier.shards[0], "old"));
    crowd_unsettled = false;
    tier_push (&manager_tier, both, 3, 2);    //  Now everybody works with the new one
    CU_ASSERT (tier_settle (&manager_tier));
    CU_ASSERT (!shard_has (&manager_tier.shards[0], key)
               && shard_has (&manager_tier.shards[1], key));
    manager_tier.shards[0].silent = true;
    CU_ASSERT (tier_drop (&manager_tier, key) == 0);
    CU_ASSERT (tier_store_as (&manager_tier, key, manager_data, PAGE, false, false, 400) == 0);
    manager_tier.shards[0].silent = false;
    CU_ASSERT (tier_flush (&manager_tier));
    tier_stop (&manager_tier);
}

//  Of two that write the same key the first owner's choice wins: its word is waited for, but not for long
static void test_first_owner_is_waited_for (void)
{
    manager_start_two ();
    int first = s_primary ("key");
    manager_tier.shards[first].silent = true;
    int64_t began = zclock_mono ();
    CU_ASSERT (tier_store (&manager_tier, "key", manager_data, PAGE) == 0);
    CU_ASSERT (zclock_mono () - began >= 200);
    began = zclock_mono ();             //  It is known to be slow by now
    for (int number = 0; number < 20; number++)
        CU_ASSERT (tier_drop (&manager_tier, "key") == 0
                   && tier_store (&manager_tier, "key", manager_data, PAGE) == 0);
    CU_ASSERT (zclock_mono () - began < 40 * 200);
    manager_tier.shards[first].silent = false;
    CU_ASSERT (tier_flush (&manager_tier) && shard_has (&manager_tier.shards[first], "key"));
    tier_stop (&manager_tier);
}

//  A drop is answered when the shards have heard of it: who asks them then finds nothing
static void test_drop_is_heard (void)
{
    manager_start_two ();
    for (int number = 0; number < 50; number++) {
        CU_ASSERT (tier_store (&manager_tier, "key", manager_data, PAGE) == 0);
        CU_ASSERT (tier_drop (&manager_tier, "key") == 0);
        CU_ASSERT (!shard_has (&manager_tier.shards[0], "key")
                   && !shard_has (&manager_tier.shards[1], "key"));
    }
    tier_stop (&manager_tier);
}

//  No shard speaks in time: the block is there, which is said as "unreachable"; but nowait does not wait
static void test_no_shard_answers (void)
{
    manager_start_two ();
    manager_tier.shards[0].silent = manager_tier.shards[1].silent = true;
    CU_ASSERT (tier_store_as (&manager_tier, "k1", manager_data, PAGE, false, false, 200)
               == UMBP_EUNREACH);
    CU_ASSERT (manager_tier.peer.msg.status == 0);
    CU_ASSERT (tier_store_as (&manager_tier, "k2", manager_data, PAGE, true, false, 200) == 0);
    uint64_t slot = tier_slot_for (&manager_tier, SESSION, "k3", PAGE);
    CU_ASSERT (tier_commit_as (&manager_tier, slot, 1, true, false, 200) == 0);
    slot = tier_slot_for (&manager_tier, SESSION, "k4", PAGE);
    CU_ASSERT (tier_commit_as (&manager_tier, slot, 1, false, false, 200) == UMBP_EUNREACH);
    CU_ASSERT (tier_holds (&manager_tier, "k1", manager_data, PAGE)
               && tier_gauge (&manager_tier, "blocks") == 4);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_flush, 0);
    CU_ASSERT (tier_ask_with (&manager_tier, &msg, NULL, 0, 100) == UMBP_ETIMEDOUT);
    manager_tier.shards[0].silent = manager_tier.shards[1].silent = false;
    CU_ASSERT (tier_flush (&manager_tier));
    for (int shard = 0; shard < 2; shard++)
        CU_ASSERT (manager_tier.shards[shard].held == 4
                   && shard_has (&manager_tier.shards[shard], "k1"));
    tier_stop (&manager_tier);
}

//  However many commits there are of which a dead shard never speaks, they do not use up the places of others
static void test_many_unheard (void)
{
    manager_start_two ();
    manager_tier.shards[1].silent = true;
    for (int number = 0; number < 2 * 1024; number++)
        CU_ASSERT_FATAL (tier_store (&manager_tier, "key", manager_data, PAGE) == 0
                         && tier_drop (&manager_tier, "key") == 0);
    manager_tier.shards[1].silent = false;
    CU_ASSERT (tier_flush (&manager_tier) && manager_tier.shards[1].held == 0);
    tier_stop (&manager_tier);
}

//  Nobody was told before there is a topology; everybody is, once there is one
static void test_before_the_topology (void)
{
    tier_start (&manager_tier, (tier_options_t) { 0 });
    CU_ASSERT (tier_store (&manager_tier, "k1", manager_data, PAGE) == 0);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_flush, 0);
    CU_ASSERT (tier_ask_with (&manager_tier, &msg, NULL, 0, 50) == UMBP_ETIMEDOUT);
    tier_alone (&manager_tier);
    CU_ASSERT (shard_has (&manager_tier.shards[0], "k1"));
    tier_stop (&manager_tier);
}

//  What the first owner says of a copy decides; the other's word does not
static void test_verdicts (void)
{
    static const struct { int verdict; bool keep; int status, kept; } cases[] = {
        { UMBP_EEXIST, false, UMBP_EEXIST, false }, { UMBP_EEXIST, true, 0, true },
        { UMBP_ECHECKSUM, false, UMBP_EEXIST, false }, { UMBP_ECHECKSUM, true, UMBP_EEXIST, false },
        { UMBP_ENOSPC, false, 0, true },
    };
    manager_start_two ();
    for (size_t index = 0; index < COUNT_OF (cases); index++) {
        char key[16];
        snprintf (key, sizeof key, "key%zu", index);
        shard_t *first = &manager_tier.shards[s_primary (key)],
                *other = &manager_tier.shards[!s_primary (key)];
        other->silent = true;                                //  Else its word may come first
        first->verdict = cases[index].verdict;
        int rc = tier_store_as (&manager_tier, key, manager_data, PAGE, false, cases[index].keep,
                                PEER_MS);
        CU_ASSERT (rc == cases[index].status);
        CU_ASSERT (tier_holds (&manager_tier, key, manager_data, PAGE) == cases[index].kept);
        other->silent = false;
        first->verdict = 0;
        CU_ASSERT (tier_flush (&manager_tier));
        CU_ASSERT (shard_has (first, key) == cases[index].kept);
        CU_ASSERT (shard_has (other, key) == cases[index].kept);
        CU_ASSERT (tier_drop (&manager_tier, key) == (cases[index].kept ? 0 : UMBP_ENOENT));
        CU_ASSERT (tier_flush (&manager_tier));
        other->verdict = UMBP_ECHECKSUM;
        CU_ASSERT (tier_store_as (&manager_tier, key, manager_data, PAGE, false, false, PEER_MS)
                   == 0);
        CU_ASSERT (tier_flush (&manager_tier)
                   && tier_holds (&manager_tier, key, manager_data, PAGE));
        other->verdict = 0;
    }
    CU_ASSERT (tier_gauge (&manager_tier, "conflicts") == 2);
    tier_stop (&manager_tier);
}

//  Two nodes held other bytes under one key while they could not see each other. When the first owner is given a full
//  account it knows better, and the block goes.
static void test_verdict_on_account (void)
{
    manager_start_two ();
    shard_t *first = &manager_tier.shards[s_primary ("key")];
    CU_ASSERT (tier_store (&manager_tier, "key", manager_data, PAGE) == 0
               && tier_flush (&manager_tier));
    first->verdict = UMBP_ECHECKSUM;
    first->begun = false;               //  It forgot us
    CU_ASSERT (tier_store_as (&manager_tier, "other", manager_data, PAGE, true, true, PEER_MS)
               == 0);
    CU_ASSERT (tier_flush (&manager_tier) && tier_drop (&manager_tier, "key") == UMBP_ENOENT);
    first->verdict = 0;
    tier_drop (&manager_tier, "other");
    tier_stop (&manager_tier);
}

//  The word of the first owner comes after the answer was given: it still counts
static void test_late_verdict (void)
{
    manager_start_two ();
    shard_t *first = &manager_tier.shards[s_primary ("key")];
    first->silent = true;
    CU_ASSERT (tier_store (&manager_tier, "key", manager_data, PAGE) == 0);
    first->silent = false;
    first->verdict = UMBP_ECHECKSUM;
    CU_ASSERT (tier_becomes (&manager_tier, "blocks", 0));
    CU_ASSERT (tier_flush (&manager_tier) && tier_gauge (&manager_tier, "conflicts") == 1);
    CU_ASSERT (!shard_has (&manager_tier.shards[0], "key")
               && !shard_has (&manager_tier.shards[1], "key"));
    tier_stop (&manager_tier);
}

int main (void)
{
    alarm (200);
    manager_fill ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("manager_index", NULL, NULL);
    CU_ADD_TEST (suite, test_first_shard_answers);
    CU_ADD_TEST (suite, test_both_rings);
    CU_ADD_TEST (suite, test_first_owner_is_waited_for);
    CU_ADD_TEST (suite, test_drop_is_heard);
    CU_ADD_TEST (suite, test_no_shard_answers);
    CU_ADD_TEST (suite, test_many_unheard);
    CU_ADD_TEST (suite, test_before_the_topology);
    CU_ADD_TEST (suite, test_verdicts);
    CU_ADD_TEST (suite, test_verdict_on_account);
    CU_ADD_TEST (suite, test_late_verdict);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

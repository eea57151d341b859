//  test/unit/test_dispute.c - two contents of a key, or two copies of one: whose word decides, and when. A tier manager
//  among shards that the test plays.
#include <CUnit/Basic.h>

#include "test/unit/tier.h"

#define PAGE 4096
#define MANY 5000                       //  More disputes than are kept in mind

static tier_t s_tier;
static uint8_t s_data[PAGE];
static const crowd_t s_two[] = { CROWD ("a", 1, 0), CROWD ("b", 1, 0) };

static void s_push (uint64_t topo_epoch, bool settled)
{
    crowd_unsettled = !settled;
    tier_push (&s_tier, s_two, 2, topo_epoch);
    crowd_unsettled = false;
}

static void s_start_with (tier_options_t options, bool settled)
{
    tier_start (&s_tier, options);
    tier_shard (&s_tier, "b");
    s_push (1, settled);
    CU_ASSERT (tier_flush (&s_tier));
}

static void s_start (bool settled)
{
    s_start_with ((tier_options_t) { 0 }, settled);
}

//  Shard whose word decides about a key
static shard_t *s_first (const char *key)
{
    umbp_topology_t *topology = crowd_new (s_two, 2, "a", 1);
    uint16_t owners[UMBP_COPIES_MAX];
    uint64_t at = umbp_ring_position (umbp_topology_ring (topology), key, strlen (key));
    CU_ASSERT (umbp_topology_owners (topology, at, owners) == 2);
    umbp_topology_destroy (&topology);
    return &s_tier.shards[owners[0]];
}

static shard_t *s_other (const char *key)
{
    return s_first (key) == &s_tier.shards[0] ? &s_tier.shards[1] : &s_tier.shards[0];
}

static void s_refuse (int verdict)
{
    s_tier.shards[0].verdict = s_tier.shards[1].verdict = verdict;
}

//  Shards have heard of so many messages more
static bool s_hear_more (const shard_t *shard, unsigned messages)
{
    uint64_t wanted = shard->messages + messages;
    int64_t end = zclock_mono () + PEER_MS;
    while (shard->messages < wanted && zclock_mono () < end)
        tier_serve (&s_tier, 20);
    return shard->messages >= wanted;
}

//  --------------------------------------------------------------------------------------------------

//  While the ring is new two first owners may see it differently, and both copies would go: nothing goes. Once all is
//  settled the word is asked for again, and counts.
static void test_decided_when_settled (void)
{
    s_start (false);
    s_refuse (UMBP_ECHECKSUM);
    CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0);
    CU_ASSERT (s_hear_more (s_first ("key"), 2));            //  It is told again, and refuses again
    CU_ASSERT (tier_holds (&s_tier, "key", s_data, PAGE));
    CU_ASSERT (tier_becomes (&s_tier, "disputes", 2));
    CU_ASSERT (tier_gauge (&s_tier, "conflicts") == 0);
    s_push (1, true);
    CU_ASSERT (tier_becomes (&s_tier, "blocks", 0));
    CU_ASSERT (tier_gauge (&s_tier, "conflicts") == 1);
    s_refuse (0);
    CU_ASSERT (tier_becomes (&s_tier, "disputes", 0) && tier_flush (&s_tier));
    CU_ASSERT (!shard_has (&s_tier.shards[0], "key") && !shard_has (&s_tier.shards[1], "key"));
    tier_stop (&s_tier);
}

//  The first owner works with another ring, or does not know yet that ours is settled
static void test_other_ring (void)
{
    s_start (true);
    s_refuse (UMBP_ECHECKSUM);
    s_tier.shards[0].judges_by = s_tier.shards[1].judges_by = 7;
    CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0);
    s_tier.shards[0].judges_by = s_tier.shards[1].judges_by = 0;
    CU_ASSERT (s_hear_more (s_first ("key"), 2));
    CU_ASSERT (tier_holds (&s_tier, "key", s_data, PAGE));
    s_first ("key")->judges_by = 1;
    CU_ASSERT (tier_becomes (&s_tier, "blocks", 0));
    tier_stop (&s_tier);
}

//  A further owner heard of the other bytes first, and those lost: it takes ours when they have left it
static void test_others_are_told_again (void)
{
    s_start (true);
    shard_t *other = s_other ("key");
    other->verdict = UMBP_ECHECKSUM;
    CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0 && tier_flush (&s_tier));
    CU_ASSERT (shard_has (s_first ("key"), "key") && !shard_has (other, "key"));
    CU_ASSERT (s_hear_more (other, 2));
    CU_ASSERT (!shard_has (other, "key") && tier_holds (&s_tier, "key", s_data, PAGE));
    other->verdict = 0;
    for (int64_t end = zclock_mono () + PEER_MS; !shard_has (other, "key") && zclock_mono () < end;)
        tier_serve (&s_tier, 20);
    CU_ASSERT (shard_has (other, "key") && tier_flush (&s_tier));
    CU_ASSERT (tier_gauge (&s_tier, "disputes") == 0 && tier_gauge (&s_tier, "conflicts") == 0);
    tier_stop (&s_tier);
}

//  Nobody tells of a block that has left
static void test_dropped_meanwhile (void)
{
    s_start (false);
    s_refuse (UMBP_ECHECKSUM);
    CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0 && tier_drop (&s_tier, "key") == 0);
    s_refuse (0);
    CU_ASSERT (tier_becomes (&s_tier, "disputes", 0) && tier_flush (&s_tier));
    CU_ASSERT (!shard_has (&s_tier.shards[0], "key") && !shard_has (&s_tier.shards[1], "key"));
    tier_stop (&s_tier);
}

//  Two copies of one content: one goes, but not while another first owner may have told the other one the same
static void test_replicas (void)
{
    s_start (false);
    s_refuse (UMBP_EEXIST);
    CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0);
    CU_ASSERT (tier_holds (&s_tier, "key", s_data, PAGE) && tier_gauge (&s_tier, "disputes") == 0);
    s_push (1, true);
    CU_ASSERT (tier_store (&s_tier, "more", s_data, PAGE) == UMBP_EEXIST);
    CU_ASSERT (!tier_holds (&s_tier, "more", s_data, PAGE)
               && tier_holds (&s_tier, "key", s_data, PAGE));
    tier_stop (&s_tier);
}

//  More than are kept in mind: shards are given all anew
static void test_many (void)
{
    s_start_with ((tier_options_t) { .pages = MANY }, false);
    s_refuse (UMBP_ECHECKSUM);
    for (unsigned number = 0; number < MANY; number++) {
        char key[16];
        snprintf (key, sizeof key, "key%u", number);
        CU_ASSERT_FATAL (tier_store_as (&s_tier, key, s_data, 100, true, false, PEER_MS) == 0);
    }
    CU_ASSERT (tier_flush (&s_tier) && tier_becomes (&s_tier, "disputes", 4096));
    CU_ASSERT (s_tier.shards[0].held + s_tier.shards[1].held == 0);
    s_refuse (0);
    int64_t end = zclock_mono () + 3 * PEER_MS;
    while (s_tier.shards[0].held + s_tier.shards[1].held < 2 * MANY && zclock_mono () < end)
        tier_serve (&s_tier, 20);
    CU_ASSERT (s_tier.shards[0].held == MANY && s_tier.shards[1].held == MANY);
    CU_ASSERT (tier_gauge (&s_tier, "disputes") == 0 && tier_gauge (&s_tier, "blocks") == MANY);
    tier_stop (&s_tier);
}

int main (void)
{
    alarm (200);
    zsys_init ();
    zsys_set_logstream (NULL);          //  Each conflict is a warning
    for (size_t index = 0; index < sizeof s_data; index++)
        s_data[index] = (uint8_t) (index * 131 + index / 251);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("dispute", NULL, NULL);
    CU_ADD_TEST (suite, test_decided_when_settled);
    CU_ADD_TEST (suite, test_other_ring);
    CU_ADD_TEST (suite, test_others_are_told_again);
    CU_ADD_TEST (suite, test_dropped_meanwhile);
    CU_ADD_TEST (suite, test_replicas);
    CU_ADD_TEST (suite, test_many);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_router_blocks.c - puts and gets as the router sees them: who is asked, in which
//  order, and what becomes of answers good, bad and missing
#include "test/unit/route.h"

//  ------------------------------------------------------------------------------------------------
//  Put

//  Slots of several nodes: extents come in the order of the keys, whichever node answered first
static void test_put_order (void)
{
    static const uint32_t wanted[] = { 100, 200, 300, 101, 201, 301, 102 };
    route_start ();
    const char *key = route_key ("index", "index@b");
    char keys[128];
    snprintf (keys, sizeof keys, "%s %s %s %s %s %s %s", key, key, key, key, key, key, key);
    route_put (keys, 5, UMBP_PLACE_MOST_FREE, NULL);             //  a b c a b c a
    route_found (route_expect ("index", UMBP_MSG_lookup), "");
    asked_t *tier = route_expect ("tier:dram", UMBP_MSG_reserve);
    CU_ASSERT (tier && tier->msg.reserve.keys.count == 3);
    for (int node = 0; node < 2; node++)
        if (asked_hear (&route_link, PEER_MS))
            route_reserved (&route_link, 0, streq (route_link.address, "tier:dram@b") ? 200 : 300);
    route_reserved (tier, 0, 100);          //  The first one answers last
    CU_ASSERT (route_answer () == 0);
    const umbp_msg_put_ok_t *ok = &route_client.msg.put_ok;
    CU_ASSERT_FATAL (ok->pages.count == 7 && ok->nodes.count == 3);
    for (size_t index = 0; index < 7; index++) {
        static const char *const nodes[] = { "a", "b", "c" };
        CU_ASSERT (route_put_status (index) == 0 && umbp_u16s_at (ok->extent_counts, index) == 1);
        CU_ASSERT (umbp_u32s_at (ok->pages, index) == wanted[index]);
        CU_ASSERT (umbp_u64s_at (ok->slots, index) == wanted[index]);
        CU_ASSERT (column_is (ok->nodes, umbp_u16s_at (ok->refs, index), nodes[index % 3]));
    }
    route_stop ();
}

//  What exists needs no room; what has none here is tried elsewhere, and a dead node costs no
//  failure
static void test_put_elsewhere (void)
{
    route_start ();
    const char *key = route_key ("index", "index@b"), *there = route_key ("index@b", "index@c");
    char keys[64];
    snprintf (keys, sizeof keys, "%s %s", key, there);
    route_put (keys, 5, UMBP_PLACE_LOCAL, NULL);
    route_found (route_expect ("index", UMBP_MSG_lookup), "");
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "c");
    route_reserved (route_expect ("tier:dram", UMBP_MSG_reserve), UMBP_EAGAIN, 0);
    CU_ASSERT (route_expect ("tier:dram@b", UMBP_MSG_reserve) != NULL);    //  It says nothing
    route_reserved (route_expect ("tier:dram@c", UMBP_MSG_reserve), 0, 7);
    CU_ASSERT (route_answer () == 0);
    CU_ASSERT (route_put_status (0) == 0 && route_put_status (1) == UMBP_EEXIST);
    CU_ASSERT (column_is (route_client.msg.put_ok.nodes, 0, "c"));  //  Who gave none has no row
    CU_ASSERT (umbp_u16s_at (route_client.msg.put_ok.refs, 1) == UMBP_NO_REF);
    CU_ASSERT (asker_gauge (&route_client, "puts_rerouted") == 2);
    //  Nobody has room
    route_put (key, 5, UMBP_PLACE_LOCAL, NULL);
    route_found (route_expect ("index", UMBP_MSG_lookup), "");
    route_reserved (route_expect ("tier:dram", UMBP_MSG_reserve), UMBP_EAGAIN, 0);
    for (int node = 0; node < 2; node++)
        if (asked_hear (&route_link, PEER_MS))
            route_reserved (&route_link, UMBP_EAGAIN, 0);
    CU_ASSERT (route_answer () == 0 && route_put_status (0) == UMBP_EAGAIN);
    //  It fits nowhere
    route_put (key, 5, UMBP_PLACE_LOCAL, NULL);
    route_found (route_expect ("index", UMBP_MSG_lookup), "");
    route_reserved (route_expect ("tier:dram", UMBP_MSG_reserve), UMBP_ENOSPC, 0);
    for (int node = 0; node < 2; node++)
        if (asked_hear (&route_link, PEER_MS))
            route_reserved (&route_link, UMBP_ENOSPC, 0);
    CU_ASSERT (route_answer () == 0 && route_put_status (0) == UMBP_ENOSPC && route_quiet ());
    route_stop ();
}

//  While the ring is not settled all owners are asked whether a block exists. One that stands still then
//  costs a put a moment, and not the share of its time that a stage has
static void test_put_goes_on (void)
{
    static const crowd_t less[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0) };
    route_start ();
    route_push (less, 2, 2);
    const char *key = route_key ("index@b", "index@c");
    crowd_unsettled = true;
    route_push (route_abc, 3, 3);
    route_shard_epoch = 3;
    route_put_within (key, 5, UMBP_PLACE_LOCAL, NULL, 5 * DEADLINE_MS);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_found (route_expect ("index@c", UMBP_MSG_lookup), "");
    asked_t *last = route_expect ("index", UMBP_MSG_lookup);         //  It says nothing
    CU_ASSERT_FATAL (last != NULL);
    CU_ASSERT (last->msg.deadline_ms > 0 && last->msg.deadline_ms <= 1500);
    route_reserved (route_expect ("tier:dram", UMBP_MSG_reserve), 0, 7);
    CU_ASSERT (route_answer () == 0 && route_put_status (0) == 0 && route_quiet ());
    crowd_unsettled = false;
    route_shard_epoch = 1;
    route_stop ();
}

//  A value that was stored is not stored again elsewhere because no shard has spoken
static void test_put_stored_once (void)
{
    route_start ();
    const char *key = route_key ("index", "index@b");
    route_put (key, 0, 0, "0123456789");
    route_found (route_expect ("index", UMBP_MSG_lookup), "");
    asked_t *tier = route_expect ("tier:dram", UMBP_MSG_store);
    CU_ASSERT (tier && umbp_u64s_at (tier->msg.store.sums, 0) == umbp_sum ("0123456789", 10));
    route_status (tier, UMBP_MSG_store_ok, UMBP_EUNREACH);
    CU_ASSERT (route_answer () == 0 && route_put_status (0) == UMBP_EUNREACH && route_quiet ());
    //  But one that nobody has taken is
    route_put (key, 0, 0, "0123456789");
    route_found (route_expect ("index", UMBP_MSG_lookup), "");
    CU_ASSERT (route_expect ("tier:dram", UMBP_MSG_store) != NULL);
    CU_ASSERT (asked_hear (&route_link, PEER_MS) && route_link.msg.type == UMBP_MSG_store);
    route_status (&route_link, UMBP_MSG_store_ok, 0);
    CU_ASSERT (route_answer () == 0 && route_put_status (0) == 0);
    route_stop ();
}

static void test_put_bad (void)
{
    uint32_t sizes[] = { 10, 0 };
    uint64_t sums[] = { 1, 2 };
    route_start ();
    const char *key = route_key ("index", "index@b");
    char keys[64];
    snprintf (keys, sizeof keys, "%s %s", key, key);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_put, 0);
    msg.put.keys = words (&route_words, keys);
    msg.put.sizes = (umbp_u32s_t) { sizes, 2 };
    asker_say (&route_client, &msg, "0123456789", 9, DEADLINE_MS);
    CU_ASSERT (route_answer () == UMBP_EINVAL && route_client.msg.type == UMBP_MSG_refused);
    asker_say (&route_client, &msg, NULL, 0, DEADLINE_MS);
    CU_ASSERT (route_answer () == UMBP_EINVAL);
    msg.put.sums = (umbp_u64s_t) { sums, 1 };
    asker_say (&route_client, &msg, "0123456789", 10, DEADLINE_MS);
    CU_ASSERT (route_answer () < 0 && route_client.msg.type == UMBP_MSG_refused);
    msg.put.sums = (umbp_u64s_t) { NULL, 0 };
    msg.put.strategy = 5;
    asker_say (&route_client, &msg, "0123456789", 10, DEADLINE_MS);
    CU_ASSERT (route_answer () < 0 && route_client.msg.type == UMBP_MSG_refused);
    //  A size of 0 is refused by itself; its neighbour is not disturbed
    msg.put.strategy = 0;
    asker_say (&route_client, &msg, "0123456789", 10, DEADLINE_MS);
    route_found (route_expect ("index", UMBP_MSG_lookup), "");
    asked_t *tier = route_expect ("tier:dram", UMBP_MSG_store);
    CU_ASSERT (tier && tier->msg.store.keys.count == 1);
    route_status (tier, UMBP_MSG_store_ok, 0);
    CU_ASSERT (route_answer () == 0 && route_put_status (0) == 0
               && route_put_status (1) == UMBP_EINVAL);
    //  A tier that nobody has
    msg.put.tier = UMBP_TIER_NVME;
    asker_say (&route_client, &msg, "0123456789", 10, DEADLINE_MS);
    route_found (route_expect ("index", UMBP_MSG_lookup), "");
    CU_ASSERT (route_answer () == 0 && route_put_status (0) == UMBP_ENOTSUP);
    //  Nobody is ready yet: they may have it later
    static const crowd_t starting[] = { CROWD ("a", 0, 0, .outside = true) };
    route_push (starting, 1, 2);
    route_shard_epoch = 2;
    asker_say (&route_client, &msg, "0123456789", 10, DEADLINE_MS);
    CU_ASSERT (route_answer () == 0 && route_put_status (0) == UMBP_EAGAIN);
    route_shard_epoch = 1;
    CU_ASSERT (asker_gauge (&route_client, "EINVAL") >= 2 && route_quiet ());
    route_stop ();
}

//  ------------------------------------------------------------------------------------------------
//  Get

static void test_get_local (void)
{
    route_start ();
    route_get ("k1 k2", 5, 0, "");
    route_leased (route_expect ("tier:dram", UMBP_MSG_lease), 0, 40);
    CU_ASSERT (route_answer () == 0 && route_get_status (0) == 0 && route_get_status (1) == 0);
    const umbp_msg_get_ok_t *ok = &route_client.msg.get_ok;
    CU_ASSERT (route_got_from (0, "a") && route_got_from (1, "a") && ok->nodes.count == 1);
    CU_ASSERT (umbp_u32s_at (ok->items, 1) == 1 && umbp_u32s_at (ok->pages, 1) == 41);
    CU_ASSERT (umbp_u64s_at (ok->leases, 0) == 1040);
    route_get ("k1 k2", 0, 20, "");
    route_leased (route_expect ("tier:dram", UMBP_MSG_lease), 0, 40);
    CU_ASSERT (route_answer () == 0 && route_get_status (1) == 0 && route_quiet ());
    CU_ASSERT (route_client.payload_size == 20
               && memcmp (route_client.payload + 10, "0123456789", 10) == 0);
    CU_ASSERT (umbp_u16s_at (route_client.msg.get_ok.refs, 0) == UMBP_NO_REF);
    route_stop ();
}

//  Not here: the shard says where, and a replica that fails leaves it to the next one
static void test_get_failover (void)
{
    route_start ();
    const char *key = route_key ("index@b", "index@c");
    route_get (key, 5, 0, "");
    route_leased (route_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "b c");
    CU_ASSERT (route_expect ("tier:dram@b", UMBP_MSG_lease) != NULL);      //  It says nothing
    route_leased (route_expect ("tier:dram@c", UMBP_MSG_lease), 0, 3);
    CU_ASSERT (route_answer () == 0 && route_get_status (0) == 0 && route_got_from (0, "c"));
    CU_ASSERT (asker_gauge (&route_client, "gets_failed_over") == 1);
    //  None is left: not reached is not the same as not there
    route_get (key, 5, 0, "");
    route_leased (route_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "b");
    CU_ASSERT (route_expect ("tier:dram@b", UMBP_MSG_lease) != NULL);
    CU_ASSERT (route_answer () == 0 && route_get_status (0) == UMBP_EUNREACH);
    route_get (key, 5, 0, "");
    route_leased (route_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "b");
    route_leased (route_expect ("tier:dram@b", UMBP_MSG_lease), UMBP_ENOENT, 0);
    route_found (route_expect ("index@c", UMBP_MSG_lookup), "");     //  Asked once more: it is gone
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    CU_ASSERT (route_answer () == 0 && route_get_status (0) == UMBP_ENOENT && route_quiet ());
    CU_ASSERT (asker_gauge (&route_client, "gets_looked_again") == 1);
    route_stop ();
}

//  A block that moves while it is looked for: it is where the index says it is by then. That is asked twice more, each
//  time another shard than the one that was wrong, if there is one that knows of it, and then it is a miss
static void test_get_moved (void)
{
    route_start ();
    const char *key = route_key ("index@b", "index@c");
    route_get (key, 5, 0, "");
    route_leased (route_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "b");
    route_leased (route_expect ("tier:dram@b", UMBP_MSG_lease), UMBP_ENOENT, 0);
    route_found (route_expect ("index@c", UMBP_MSG_lookup), "c");
    route_leased (route_expect ("tier:dram@c", UMBP_MSG_lease), 0, 3);
    CU_ASSERT (route_answer () == 0 && route_get_status (0) == 0 && route_got_from (0, "c"));
    route_get (key, 5, 0, "");
    route_leased (route_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    for (int turn = 0; turn < 3; turn++) {
        if (turn > 0)
            route_found (route_expect ("index@c", UMBP_MSG_lookup), "");
        route_found (route_expect ("index@b", UMBP_MSG_lookup), "b");
        route_leased (route_expect ("tier:dram@b", UMBP_MSG_lease), UMBP_ENOENT, 0);
    }
    CU_ASSERT (route_answer () == 0 && route_get_status (0) == UMBP_ENOENT && route_quiet ());
    CU_ASSERT (asker_gauge (&route_client, "gets_looked_again") == 3);
    route_stop ();
}

//  What our own tier says is "later" or "too large" does not become a miss because no shard knows
//  it
static void test_get_is_no_miss (void)
{
    static const int statuses[] = { UMBP_EAGAIN, UMBP_ETOOBIG, UMBP_ENOENT };
    route_start ();
    const char *key = route_key ("index", "index@b");
    for (size_t index = 0; index < COUNT_OF (statuses); index++) {
        route_get (key, 5, 0, "");
        route_leased (route_expect ("tier:dram", UMBP_MSG_lease), statuses[index], 0);
        route_found (route_expect ("index", UMBP_MSG_lookup), "");
        route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
        CU_ASSERT (route_answer () == 0 && route_get_status (0) == statuses[index]);
    }
    //  No shard has spoken: unknown, not a miss
    route_get (key, 5, 0, "");
    route_leased (route_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    CU_ASSERT (route_answer () == 0 && route_get_status (0) == UMBP_EUNREACH);
    route_stop ();
}

//  The reader had trouble with an owner: others come first, this one is the last resort
static void test_get_avoid (void)
{
    route_start ();
    const char *key = route_key ("index@b", "index@c");
    route_get (key, 5, 0, "b nobody");
    route_leased (route_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "b c");
    route_leased (route_expect ("tier:dram@c", UMBP_MSG_lease), UMBP_ENOENT, 0);
    route_leased (route_expect ("tier:dram@b", UMBP_MSG_lease), 0, 3);
    CU_ASSERT (route_answer () == 0 && route_get_status (0) == 0 && route_got_from (0, "b"));
    //  This very node
    route_get (key, 5, 0, "a");
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "a b");
    route_leased (route_expect ("tier:dram@b", UMBP_MSG_lease), 0, 3);
    CU_ASSERT (route_answer () == 0 && route_got_from (0, "b") && route_quiet ());
    route_get (key, 5, 0, "a");
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_found (route_expect ("index@c", UMBP_MSG_lookup), "");
    route_leased (route_expect ("tier:dram", UMBP_MSG_lease), 0, 3);
    CU_ASSERT (route_answer () == 0 && route_get_status (0) == 0 && route_got_from (0, "a"));
    route_stop ();
}

//  More extents than a message may have: some items fail, and none of the others has a wrong one
static void test_get_too_many_extents (void)
{
    enum { MANY = 10000 };
    static uint16_t regions[MANY + 1];
    static uint32_t pages[MANY + 1], ones[MANY + 1];
    route_start ();
    for (uint32_t row = 0; row <= MANY; row++) {
        pages[row] = row;
        ones[row] = 1;
    }
    char keys[64];
    snprintf (keys, sizeof keys, "%s %s %s", route_key ("index", "index@b"),
              route_key ("index@b", "index@c"), route_key ("index@b", "index@c"));
    route_get (keys, 5, 0, "");
    route_leased (route_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    route_found (route_expect ("index", UMBP_MSG_lookup), "b");      //  One key at b, two at c
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "c");
    for (int node = 0; node < 2; node++) {
        CU_ASSERT (asked_hear (&route_link, PEER_MS));
        uint32_t count = route_link.msg.lease.keys.count;
        CU_ASSERT (count == (streq (route_link.address, "tier:dram@b") ? 1 : 2));
        int8_t statuses[] = { 0, 0 };
        uint8_t inlined[] = { 0, 0 };
        uint16_t counts[] = { MANY, 1 };
        uint32_t sizes[] = { MANY, 1 };
        uint64_t sums[] = { 1, 2 };
        uint32_t rows = count == 2 ? MANY + 1 : MANY;
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_lease_ok, 0);
        msg.lease_ok = (umbp_msg_lease_ok_t) {
            .statuses = { statuses, count }, .inlined = { inlined, count },
            .sizes = { sizes, count },
            .sums = { sums, count }, .extent_counts = { counts, count },
            .regions = { regions, rows }, .pages = { pages, rows }, .page_counts = { ones, rows },
            .generations = { ones, rows }, .lease = 77, .page_size = 1, .ttl_ms = 100,
        };
        asked_answer (&route_link, &msg, NULL, 0);
    }
    CU_ASSERT (route_answer () == 0);
    const umbp_msg_get_ok_t *ok = &route_client.msg.get_ok;
    size_t at = 0;
    for (size_t index = 0; index < 3; index++) {
        uint16_t count = umbp_u16s_at (ok->extent_counts, index);
        CU_ASSERT (route_get_status (index) == (count ? 0 : UMBP_EAGAIN));
        CU_ASSERT (index < 2 || count == 1);
        if (index == 2 && count == 1) {
            CU_ASSERT (umbp_u32s_at (ok->pages, at) == MANY);          //  The last row, its own
            CU_ASSERT (umbp_u32s_at (ok->items, index) == 1);          //  Second under its lease
        }
        at += count;
    }
    CU_ASSERT (at == ok->pages.count && at == MANY + 1);
    route_stop ();
}

//  Answers that no honest peer gives: wrong counts, columns that are not there, rows of nobody
static void test_bad_answers (void)
{
    route_start ();
    const char *key = route_key ("index@b", "index@c");
    int8_t statuses[] = { 0, 0 };
    uint8_t zeros[] = { 0, 0 };
    uint16_t counts[] = { 3, 3, 3 }, refs[] = { 9, 0, UMBP_NO_REF };
    uint32_t sizes[] = { 10, 10, 10 };
    uint64_t sums[] = { 1, 2 };
    uint8_t tiers[] = { UMBP_TIER_DRAM, 99, UMBP_TIER_DRAM }, found = 200;
    for (uint32_t turn = 0; turn < 6; turn++) {
        umbp_msg_t msg;
        route_get (key, 5, 100, "");
        asked_t *asked = route_expect ("tier:dram", UMBP_MSG_lease);
        umbp_msg_init (&msg, UMBP_MSG_lease_ok, 0);
        uint32_t count = turn == 0 ? 2 : 1, rows = turn < 3 ? turn : 3;
        uint8_t inlined = turn == 4;    //  Its bytes do not come along
        msg.lease_ok = (umbp_msg_lease_ok_t) {
            .statuses = { statuses, count }, .inlined = { turn == 4 ? &inlined : zeros, count },
            .sizes = { sizes, count }, .sums = { sums, count }, .extent_counts = { counts, count },
            .regions = { counts, rows }, .lease = turn == 5 ? 0 : 9, .page_size = 1, .ttl_ms = 1,
        };
        if (asked)
            asked_answer (asked, &msg, "abc", turn == 4 ? 3 : 0);
        umbp_msg_init (&msg, UMBP_MSG_lookup_ok, 0);
        msg.lookup_ok = (umbp_msg_lookup_ok_t) {
            .topo_epoch = 1, .found = { &found, 1 }, .refs = { refs, turn % 2 ? 3 : 0 },
            .sizes = { sizes, turn % 2 ? 3 : 0 },
            .tiers = { tiers, turn % 2 ? 3 : 0 }, .nodes = words (&route_more_words, "b"),
        };
        for (int shard = 0; shard < 2; shard++)
            if (asked_hear (&route_link, PEER_MS))
                asked_answer (&route_link, &msg, NULL, 0);
        CU_ASSERT (route_answer () == 0 && route_get_status (0) < 0
                   && route_get_status (0) != UMBP_ENOENT);
        CU_ASSERT (route_quiet ());
    }
    //  Another message altogether, and an error
    route_get (key, 5, 0, "");
    route_status (route_expect ("tier:dram", UMBP_MSG_lease), UMBP_MSG_drop_ok, 0);
    for (int shard = 0; shard < 2; shard++) {
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_ok, 0);
        msg.status = shard ? UMBP_EPROTO : 0;
        if (asked_hear (&route_link, PEER_MS))
            asked_answer (&route_link, &msg, NULL, 0);
    }
    CU_ASSERT (route_answer () == 0 && route_get_status (0) == UMBP_EUNREACH);
    route_stop ();
}

int main (void)
{
    alarm (200);
    zsys_init ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("router, blocks", NULL, NULL);
    CU_ADD_TEST (suite, test_put_order);
    CU_ADD_TEST (suite, test_put_elsewhere);
    CU_ADD_TEST (suite, test_put_goes_on);
    CU_ADD_TEST (suite, test_put_stored_once);
    CU_ADD_TEST (suite, test_put_bad);
    CU_ADD_TEST (suite, test_get_local);
    CU_ADD_TEST (suite, test_get_failover);
    CU_ADD_TEST (suite, test_get_moved);
    CU_ADD_TEST (suite, test_get_is_no_miss);
    CU_ADD_TEST (suite, test_get_avoid);
    CU_ADD_TEST (suite, test_get_too_many_extents);
    CU_ADD_TEST (suite, test_bad_answers);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

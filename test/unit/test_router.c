//  test/unit/test_router.c - lookups, removals and the life of the router: who is asked, in which
//  order, and what becomes of answers good, bad and missing
#include "test/unit/route.h"

//  ------------------------------------------------------------------------------------------------
//  Lookups

//  A block may be got as soon as one of its shards knows it: one that does not know it has not the
//  last word, but a put does not ask on, and a suspect is not asked what others denied
static void test_shards_are_asked_on (void)
{
    static const crowd_t suspect[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0),
                                       CROWD ("c", ROOM, 0, .suspect = true) };
    route_start ();
    const char *key = route_key ("index@b", "index@c");
    route_ask (UMBP_MSG_exists, key);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_found (route_expect ("index@c", UMBP_MSG_lookup), "a");
    CU_ASSERT (route_answer () == 0 && umbp_s8s_at (route_client.msg.exists_ok.found, 0) == 1);
    route_ask (UMBP_MSG_exists, key);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "a");
    CU_ASSERT (route_answer () == 0 && route_client.msg.exists_ok.prefix == 1);
    route_put (key, 5, UMBP_PLACE_LOCAL, NULL);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_reserved (route_expect ("tier:dram", UMBP_MSG_reserve), 0, 1);
    CU_ASSERT (route_answer () == 0 && route_quiet ());
    route_push (suspect, 3, 1);
    route_ask (UMBP_MSG_exists, key);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    CU_ASSERT (route_answer () == 0 && umbp_s8s_at (route_client.msg.exists_ok.found, 0) == 0
               && route_quiet ());
    route_ask (UMBP_MSG_exists, key);       //  But when the other one is silent
    CU_ASSERT (route_expect ("index@b", UMBP_MSG_lookup) != NULL);
    route_found (route_expect ("index@c", UMBP_MSG_lookup), "a");
    CU_ASSERT (route_answer () == 0 && umbp_s8s_at (route_client.msg.exists_ok.found, 0) == 1);
    route_stop ();
    //  And while the ring is new
    route_start_untold ();
    crowd_unsettled = true;
    route_push (suspect, 3, 1);
    crowd_unsettled = false;
    route_ask (UMBP_MSG_exists, key);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_found (route_expect ("index@c", UMBP_MSG_lookup), "a");
    CU_ASSERT (route_answer () == 0 && umbp_s8s_at (route_client.msg.exists_ok.found, 0) == 1);
    route_stop ();
}

//  What no shard knows is asked of the tiers that shards have not been told by, once; not for a put
static void test_untold (void)
{
    route_start ();
    const char *key = route_key ("index@b", "index@c");
    route_untold = "c";
    for (int turn = 0; turn < 2; turn++) {
        route_ask (UMBP_MSG_exists, key);
        route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
        route_found (route_expect ("index@c", UMBP_MSG_lookup), "");
        route_found (route_expect ("tier:dram@c", UMBP_MSG_lookup), turn ? "" : "c");
        CU_ASSERT (route_answer () == 0
                   && umbp_s8s_at (route_client.msg.exists_ok.found, 0) == !turn && route_quiet ());
    }
    route_ask (UMBP_MSG_exists, key);   //  A shard knows it
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "a");
    CU_ASSERT (route_answer () == 0 && route_client.msg.exists_ok.prefix == 1 && route_quiet ());
    route_put (key, 5, UMBP_PLACE_LOCAL, NULL);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_reserved (route_expect ("tier:dram", UMBP_MSG_reserve), 0, 1);
    CU_ASSERT (route_answer () == 0 && route_quiet ());
    route_untold = "";
    route_stop ();
}

//  While the ring is not settled, those who kept the entry before are asked too
static void test_former_rings (void)
{
    static const crowd_t less[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0) };
    route_start ();
    route_push (less, 2, 2);                //  All entries at a and b, and settled
    const char *key = route_key ("index@b", "index@c");
    crowd_unsettled = true;
    route_push (route_abc, 3, 3);
    route_shard_epoch = 3;
    for (int turn = 0; turn < 2; turn++) {
        route_ask (UMBP_MSG_exists, key);
        route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
        route_found (route_expect ("index@c", UMBP_MSG_lookup), "");
        route_found (route_expect ("index", UMBP_MSG_lookup), turn ? "" : "b");
        CU_ASSERT (route_answer () == 0);
        CU_ASSERT (umbp_s8s_at (route_client.msg.exists_ok.found, 0) == !turn);
    }
    crowd_unsettled = false;
    route_push (route_abc, 3, 3);
    route_ask (UMBP_MSG_exists, key);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_found (route_expect ("index@c", UMBP_MSG_lookup), "");
    CU_ASSERT (route_answer () == 0 && umbp_s8s_at (route_client.msg.exists_ok.found, 0) == 0);
    CU_ASSERT (route_quiet () && asker_gauge (&route_client, "doubts") == 0);
    route_shard_epoch = 1;
    route_stop ();
}

//  A shard that works with another ring, or that names a node we do not know, knows more than we do
//  or less: we ask again, with the ring that we have by then, but not for ever
static void test_doubts (void)
{
    static const crowd_t less[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0) };
    route_start ();
    route_push (less, 2, 2);
    route_shard_epoch = 1;                  //  They work with three already
    route_ask (UMBP_MSG_exists, route_key ("index@b", "index@c"));
    route_found (route_expect ("index", UMBP_MSG_lookup), "");
    route_push (route_abc, 3, 1);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_found (route_expect ("index@c", UMBP_MSG_lookup), "c");
    CU_ASSERT (route_answer () == 0 && umbp_s8s_at (route_client.msg.exists_ok.found, 0) == 1);
    CU_ASSERT (asker_gauge (&route_client, "doubts") == 1);
    const char *key = route_key ("index", "index@b");
    route_ask (UMBP_MSG_where, key);        //  Somebody new has it
    route_found (route_expect ("index", UMBP_MSG_lookup), "d");
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_found (route_expect ("index", UMBP_MSG_lookup), "d c");
    CU_ASSERT (route_answer () == 0 && umbp_u8s_at (route_client.msg.where_ok.counts, 0) == 1);
    route_shard_epoch = 9;
    int64_t began = zclock_mono ();
    route_ask (UMBP_MSG_exists, key);
    bool answered = false;
    while (!answered && zclock_mono () - began < PEER_MS) {
        if (asked_hear (&route_index, 10))
            route_found (&route_index, "");
        if (asked_hear (&route_link, 0))
            route_found (&route_link, "");
        answered = asker_hear (&route_client, 0) != 0;
    }
    CU_ASSERT (answered && umbp_s8s_at (route_client.msg.exists_ok.found, 0) == 0);
    CU_ASSERT (asker_gauge (&route_client, "doubts") > 4);
    route_shard_epoch = 1;
    route_stop ();
}

static void test_exists_and_where (void)
{
    route_start ();
    char keys[64];
    snprintf (keys, sizeof keys, "%s %s %s", route_key ("index", "index@b"),
              route_key ("index", "index@b"), route_key ("index@c", "index@b"));
    route_ask (UMBP_MSG_exists, keys);
    route_found (route_expect ("index", UMBP_MSG_lookup), "a b");
    CU_ASSERT (route_answer () == 0);       //  c and b say nothing: unknown
    const umbp_msg_exists_ok_t *ok = &route_client.msg.exists_ok;
    CU_ASSERT (umbp_s8s_at (ok->found, 0) == 1 && umbp_s8s_at (ok->found, 1) == 1);
    CU_ASSERT (umbp_s8s_at (ok->found, 2) == UMBP_EUNREACH && ok->prefix == 2);
    while (asked_hear (&route_link, 0))
        ;
    route_ask (UMBP_MSG_where, keys);
    route_found (route_expect ("index", UMBP_MSG_lookup), "c a");
    route_found (route_expect ("index@c", UMBP_MSG_lookup), "");
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    CU_ASSERT (route_answer () == 0);
    const umbp_msg_where_ok_t *where = &route_client.msg.where_ok;
    CU_ASSERT (umbp_u8s_at (where->counts, 0) == 2 && umbp_u8s_at (where->counts, 2) == 0);
    CU_ASSERT (umbp_s8s_at (where->statuses, 2) == UMBP_ENOENT && where->refs.count == 4);
    CU_ASSERT (column_is (where->nodes, umbp_u16s_at (where->refs, 2), "c"));
    CU_ASSERT (column_is (where->nodes, umbp_u16s_at (where->refs, 3), "a"));
    route_stop ();
}

//  ------------------------------------------------------------------------------------------------
//  Remove and clear

#define REMOVE_ROUNDS 4                 //  As in actors/router_keys.c

static int s_removed (size_t index)
{
    return umbp_s8s_at (route_client.msg.remove_ok.statuses, index);
}

//  The index has nothing more; the status of the answer to the client
static int s_nothing_is_left (void)
{
    asked_t *others[] = { &route_link, &route_index };
    for (int64_t end = zclock_mono () + DEADLINE_MS + PEER_MS; zclock_mono () < end;) {
        for (size_t index = 0; index < COUNT_OF (others); index++)
            if (asked_hear (others[index], 5)) {
                CU_ASSERT (others[index]->msg.type == UMBP_MSG_lookup);
                route_found (others[index], "");
            }
        if (asker_hear (&route_client, 0))
            return route_client.msg.status;
    }
    return 1;
}

//  A shard names one place of a key, which answers so when it is to drop it
static void s_is_named (const char *shard, const char *node, int status)
{
    char address[16];
    snprintf (address, sizeof address, "tier:dram@%s", node);
    route_found (route_expect (shard, UMBP_MSG_lookup), node);
    route_status (route_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, UMBP_ENOENT);
    route_status (route_expect (address, UMBP_MSG_drop), UMBP_MSG_drop_ok, (int8_t) status);
}

//  Only the other shard has heard of a copy: it is asked once the first one knows of none any more
static void test_remove_again (void)
{
    route_start ();
    const char *key = route_key ("index@b", "index@c");
    route_ask (UMBP_MSG_remove, key);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "c");
    route_status (route_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, UMBP_ENOENT);
    route_status (route_expect ("tier:dram@c", UMBP_MSG_drop), UMBP_MSG_drop_ok, 0);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_found (route_expect ("index@c", UMBP_MSG_lookup), "b");
    route_status (route_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, UMBP_ENOENT);
    route_status (route_expect ("tier:dram@b", UMBP_MSG_drop), UMBP_MSG_drop_ok, 0);
    CU_ASSERT (s_nothing_is_left () == 0 && s_removed (0) == 0);
    //  Shards that are slow to forget are asked in turn, and not for ever
    route_ask (UMBP_MSG_remove, key);
    for (int round = 0; round < REMOVE_ROUNDS; round++) {
        const char *shard = round < 2 || round == 3 ? "index@b" : "index@c";
        s_is_named (shard, "c", round == 0 ? 0 : UMBP_ENOENT);
    }
    CU_ASSERT (route_answer () == 0 && s_removed (0) == 0 && route_quiet ());
    //  While the ring is new, a copy may be told of in another one: everybody is asked
    crowd_unsettled = true;
    route_push (route_abc, 3, 2);
    crowd_unsettled = false;
    route_shard_epoch = 2;
    route_ask (UMBP_MSG_remove, key);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "c");
    route_status (route_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, UMBP_ENOENT);
    route_status (route_expect ("tier:dram@b", UMBP_MSG_drop), UMBP_MSG_drop_ok, 0);
    route_status (route_expect ("tier:dram@c", UMBP_MSG_drop), UMBP_MSG_drop_ok, 0);
    CU_ASSERT (s_nothing_is_left () == 0 && s_removed (0) == 0);
    route_shard_epoch = 1;
    route_stop ();
}

//  What is not where a shard says has moved: the other shard is asked first then, which knows where to
static void test_remove_moved (void)
{
    route_start ();
    const char *key = route_key ("index", "index@b");
    route_ask (UMBP_MSG_remove, key);
    s_is_named ("index", "b", UMBP_ENOENT);
    s_is_named ("index@b", "c", 0);
    CU_ASSERT (s_nothing_is_left () == 0 && s_removed (0) == 0);
    //  It moved while the other one was asked, too
    route_ask (UMBP_MSG_remove, key);
    s_is_named ("index", "b", UMBP_ENOENT);
    s_is_named ("index@b", "c", UMBP_ENOENT);
    s_is_named ("index", "b", 0);
    CU_ASSERT (s_nothing_is_left () == 0 && s_removed (0) == 0);
    //  One of two copies was where it was said to be, the other had moved
    route_ask (UMBP_MSG_remove, key);
    route_found (route_expect ("index", UMBP_MSG_lookup), "b c");
    route_status (route_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, UMBP_ENOENT);
    route_status (route_expect ("tier:dram@b", UMBP_MSG_drop), UMBP_MSG_drop_ok, 0);
    route_status (route_expect ("tier:dram@c", UMBP_MSG_drop), UMBP_MSG_drop_ok, UMBP_ENOENT);
    s_is_named ("index@b", "b", 0);
    CU_ASSERT (s_nothing_is_left () == 0 && s_removed (0) == 0);
    route_stop ();
}

//  What is nowhere after all: nobody knows of it any more, or they go on saying that it is where it is not, or they say
//  nothing any more
static void test_remove_gone (void)
{
    route_start ();
    const char *key = route_key ("index", "index@b");
    route_ask (UMBP_MSG_remove, key);
    s_is_named ("index", "c", UMBP_ENOENT);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    route_found (route_expect ("index", UMBP_MSG_lookup), "");
    CU_ASSERT (route_answer () == 0 && s_removed (0) == UMBP_ENOENT && route_quiet ());
    route_ask (UMBP_MSG_remove, key);
    for (int round = 0; round < REMOVE_ROUNDS; round++)
        s_is_named (round % 2 ? "index@b" : "index", "c", UMBP_ENOENT);
    CU_ASSERT (route_answer () == 0 && s_removed (0) == UMBP_ENOENT && route_quiet ());
    route_ask (UMBP_MSG_remove, key);
    s_is_named ("index", "c", UMBP_ENOENT);
    CU_ASSERT (route_answer () == 0 && s_removed (0) == UMBP_EUNREACH);
    while (asked_hear (&route_link, 0) || asked_hear (&route_index, 0))
        ;
    route_stop ();
}

static void test_remove (void)
{
    static const crowd_t more[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0),
                                    CROWD ("c", ROOM, 0), CROWD ("d", ROOM, 0, .outside = true),
                                    CROWD ("e", ROOM, 0, .outside = true) };
    route_start ();
    const char *key = route_key ("index@b", "index@c");
    route_ask (UMBP_MSG_remove, key);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "c");
    route_status (route_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, UMBP_ENOENT);
    route_status (route_expect ("tier:dram@c", UMBP_MSG_drop), UMBP_MSG_drop_ok, 0);
    CU_ASSERT (s_nothing_is_left () == 0 && s_removed (0) == 0);
    //  Of one place we do not hear: it may still be there
    route_ask (UMBP_MSG_remove, key);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "c");
    route_status (route_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, 0);
    CU_ASSERT (route_expect ("tier:dram@c", UMBP_MSG_drop) != NULL);
    CU_ASSERT (route_answer () == 0 && s_removed (0) == UMBP_EUNREACH);
    //  No shard has spoken: not here does not mean nowhere
    route_ask (UMBP_MSG_remove, key);
    route_status (route_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, UMBP_ENOENT);
    CU_ASSERT (route_answer () == 0 && s_removed (0) == UMBP_EUNREACH);
    while (asked_hear (&route_link, 0))
        ;
    //  More copies than one is told of: everybody is asked
    route_push (more, 5, 1);
    route_ask (UMBP_MSG_remove, key);
    route_found (route_expect ("index@b", UMBP_MSG_lookup), "a b c d");
    route_status (route_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, 0);
    static const char *const others[] = { "b", "c", "d", "e" };
    for (size_t node = 0; node < 4; node++) {
        char address[16];
        snprintf (address, sizeof address, "tier:dram@%s", others[node]);
        route_status (route_expect (address, UMBP_MSG_drop), UMBP_MSG_drop_ok,
                      node == 3 ? 0 : UMBP_ENOENT);
    }
    CU_ASSERT (s_nothing_is_left () == 0 && s_removed (0) == 0);
    route_stop ();
}

//  What a tier answers that had so many blocks
static void s_wiped (asked_t *asked, uint64_t blocks)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_wipe_ok, 0);
    msg.wipe_ok.blocks = blocks;
    msg.wipe_ok.bytes = blocks * 100;
    if (asked)
        asked_answer (asked, &msg, NULL, 0);
}

static void s_say_clear (bool everywhere)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_clear, 0);
    msg.clear.everywhere = everywhere;
    asker_say (&route_client, &msg, NULL, 0, DEADLINE_MS);
}

static bool s_cleared (int status, uint64_t blocks)
{
    return route_answer () == status && route_client.msg.clear_ok.blocks == blocks
           && route_client.msg.clear_ok.bytes == blocks * 100 && route_quiet ();
}

static void test_clear (void)
{
    route_start ();
    for (int turn = 0; turn < 3; turn++) {                   //  Here; everywhere; and one is silent
        static const uint64_t blocks[] = { 3, 9, 6 };
        s_say_clear (turn > 0);
        s_wiped (route_expect ("tier:dram", UMBP_MSG_wipe), 3);
        for (int node = 0; node < (turn ? 2 : 0); node++)
            if (asked_hear (&route_link, PEER_MS) && (turn == 1 || node == 0))
                s_wiped (&route_link, 3);
        CU_ASSERT (s_cleared (turn == 2 ? UMBP_EUNREACH : 0, blocks[turn]));
    }
    route_stop ();
}

//  A block goes down when the disk is wiped already and memory is not yet: the disk is wiped once more, memory is not,
//  as what is put there from now on is to stay
static void test_clear_below (void)
{
    static const crowd_t disk[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0, .disk = ROOM) };
    route_start ();
    route_push (disk, 2, 2);
    for (int turn = 0; turn < 2; turn++) {                   //  And when memory does not answer: that is said at once
        s_say_clear (true);
        s_wiped (route_expect ("tier:dram", UMBP_MSG_wipe), 3);
        CU_ASSERT (route_expect ("tier:dram@b", UMBP_MSG_wipe) != NULL);
        uint64_t memory = route_link.msg.id;
        s_wiped (route_expect ("tier:nvme@b", UMBP_MSG_wipe), 5);
        if (turn == 0) {
            CU_ASSERT (!asked_hear (&route_link, 100));
            umbp_msg_t msg;
            umbp_msg_init (&msg, UMBP_MSG_wipe_ok, 0);
            asked_answer_id (&route_link, memory, &msg, NULL, 0);
            s_wiped (route_expect ("tier:nvme@b", UMBP_MSG_wipe), 1);
        }
        CU_ASSERT (s_cleared (turn ? UMBP_EUNREACH : 0, turn ? 8 : 9));
    }
    route_stop ();
}

//  ------------------------------------------------------------------------------------------------
//  Life

//  Before the registry has spoken; and with requests under way at the end
static void test_ends (void)
{
    route_start_untold ();
    route_ask (UMBP_MSG_exists, "key");
    CU_ASSERT (route_answer () == UMBP_EAGAIN);
    CU_ASSERT (asker_gauge (&route_client, "refused_busy") == 1);
    route_push (route_abc, 3, 1);
    route_get ("k1 k2 k3", 5, 100, "");
    CU_ASSERT (route_expect ("tier:dram", UMBP_MSG_lease) != NULL);
    route_ask (UMBP_MSG_where, "k1 k2 k3 k4 k5 k6");
    route_push (route_abc, 2, 2);               //  They keep the topology that they began with
    CU_ASSERT (asker_gauge (&route_client, "requests_open") == 2);
    zactor_destroy (&route_router);
    asker_end (&route_client);
    asked_end (&route_index);
    asked_end (&route_tier);
    asked_end (&route_link);
}

int main (void)
{
    alarm (200);
    zsys_init ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("router", NULL, NULL);
    CU_ADD_TEST (suite, test_shards_are_asked_on);
    CU_ADD_TEST (suite, test_untold);
    CU_ADD_TEST (suite, test_former_rings);
    CU_ADD_TEST (suite, test_doubts);
    CU_ADD_TEST (suite, test_exists_and_where);
    CU_ADD_TEST (suite, test_remove);
    CU_ADD_TEST (suite, test_remove_again);
    CU_ADD_TEST (suite, test_remove_moved);
    CU_ADD_TEST (suite, test_remove_gone);
    CU_ADD_TEST (suite, test_clear);
    CU_ADD_TEST (suite, test_clear_below);
    CU_ADD_TEST (suite, test_ends);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

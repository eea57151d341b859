//  test/unit/test_router.c - the router, with the test in the place of all it asks: the index, the tiers and
//  the other nodes. Who is asked, in which order, and what becomes of answers good, bad and missing.
#include "actors/router.h"
#include "cluster/bulk/copy.h"
#include "test/unit/crowd.h"
#include "test/unit/peer.h"

#define ROOM (UINT64_C (1) << 30)
#define DEADLINE_MS 4000                //  Some tests wait for much of it; a busy machine needs the rest

static const crowd_t s_abc[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0), CROWD ("c", ROOM, 0) };

static zactor_t *s_router;
static asker_t s_client;
static asked_t s_index, s_tier, s_link;
static words_t s_words, s_more_words;
static uint64_t s_shard_epoch = 1;      //  The ring that shards work with

static void s_push (const crowd_t *rows, uint32_t count, uint64_t topo_epoch)
{
    asker_say (&s_client, crowd_msg (rows, count, "a", topo_epoch), NULL, 0, 0);
}

static void s_start_untold (void)
{
    static int number;                  //  A name is free again some time after its actor is gone
    char instance[32];
    snprintf (instance, sizeof instance, "router-%d", number++);
    umbp_home_t home;
    umbp_router_args_t args = { .home = home_of (&home, instance, "a"),
                                .strategy = UMBP_PLACE_LOCAL };
    asked_start (&s_index, instance, "index");
    asked_start (&s_tier, instance, "tier:dram");
    asked_start (&s_link, instance, "link");
    s_router = umbp_router_new (&args);
    CU_ASSERT_PTR_NOT_NULL_FATAL (s_router);
    asker_start (&s_client, instance, "router");
}

static void s_start (void)
{
    s_start_untold ();
    s_push (s_abc, 3, 1);
}

static void s_stop (void)
{
    CU_ASSERT (asker_gauge (&s_client, "requests_open") == 0);
    zactor_destroy (&s_router);
    asker_end (&s_client);
    asked_end (&s_index);
    asked_end (&s_tier);
    asked_end (&s_link);
}

//  --------------------------------------------------------------------------------------------------
//  Who is asked

//  The next request that the router makes: to "index", "tier:dram@b", ... and of this type. NULL if it is
//  another one, or none comes.
static asked_t *s_expect (const char *address, int type)
{
    asked_t *asked = strchr (address, '@')      ? &s_link
                     : streq (address, "index") ? &s_index
                                                : &s_tier;
    if (!asked_hear (asked, PEER_MS)) {
        printf ("\n    nothing for %s\n", address);
        CU_FAIL ("not asked");
        return NULL;
    }
    bool right = asked->msg.type == type && (asked != &s_link || streq (asked->address, address));
    if (!right)
        printf ("\n    wanted %s %s, came %s %s\n", address, umbp_msg_name (type), asked->address,
                umbp_msg_name (asked->msg.type));
    CU_ASSERT (right);
    return right ? asked : NULL;
}

static bool s_quiet (void)
{
    return !asked_hear (&s_link, 0) && !asked_hear (&s_index, 0) && !asked_hear (&s_tier, 0);
}

//  The status of the answer to the client; 1 if none comes
static int s_answer (void)
{
    return asker_hear (&s_client, DEADLINE_MS + PEER_MS) ? s_client.msg.status : 1;
}

//  The names of the shards of a key, first owner first: "index" or "index@<node>"
static void s_shards (const char *key, char (*out)[16])
{
    umbp_topology_t *topology = crowd_new (s_abc, 3, "a", 1);
    uint16_t owners[UMBP_COPIES_MAX];
    uint64_t at = umbp_ring_position (umbp_topology_ring (topology), key, strlen (key));
    size_t count = umbp_topology_owners (topology, at, owners), used = 0;
    CU_ASSERT (count == 2);
    for (int pass = 0; pass < 2; pass++)                     //  This node is asked first
        for (size_t index = 0; index < count; index++)
            if ((owners[index] == 0) == (pass == 0))
                snprintf (out[used++], 16, owners[index] ? "index@%s" : "index",
                          umbp_topology_member (topology, owners[index])->node);
    umbp_topology_destroy (&topology);
}

//  A key whose shards are these, some number later than the last one
static const char *s_key (const char *first, const char *second)
{
    static char key[4][16];
    static unsigned turn;
    char shards[2][16];
    char *out = key[turn++ % 4];
    for (unsigned number = turn * 1000;; number++) {
        snprintf (out, sizeof key[0], "key%u", number);
        s_shards (out, shards);
        if (streq (shards[0], first) && streq (shards[1], second))
            return out;
    }
}

//  --------------------------------------------------------------------------------------------------
//  What they say

//  Answer a lookup: the same places for all keys, "b c" or ""
static void s_found (asked_t *asked, const char *nodes)
{
    if (!asked)
        return;
    uint8_t found[UMBP_BATCH_MAX], tiers[256];
    uint16_t refs[256];
    uint32_t sizes[256], count = asked->msg.lookup.keys.count, rows = 0;
    bool places = asked->msg.lookup.places;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lookup_ok, 0);
    umbp_column_t names = words (&s_more_words, nodes);
    for (uint32_t index = 0; index < count; index++) {
        found[index] = (uint8_t) names.count;
        for (uint16_t name = 0; places && name < names.count; name++, rows++) {
            refs[rows] = name;
            tiers[rows] = UMBP_TIER_DRAM;
            sizes[rows] = 10;
        }
    }
    msg.lookup_ok.topo_epoch = s_shard_epoch;
    msg.lookup_ok.found = (umbp_u8s_t) { found, count };
    msg.lookup_ok.refs = (umbp_u16s_t) { refs, rows };
    msg.lookup_ok.tiers = (umbp_u8s_t) { tiers, rows };
    msg.lookup_ok.sizes = (umbp_u32s_t) { sizes, rows };
    if (places)
        msg.lookup_ok.nodes = names;
    asked_answer (asked, &msg, NULL, 0);
}

//  Answer a lease: all items with this status; those that are there have 10 bytes, in the payload if it
//  may be so, else in one page of this number
static void s_leased (asked_t *asked, int status, uint32_t page)
{
    if (!asked)
        return;
    int8_t statuses[256];
    uint8_t inlined[256];
    uint16_t counts[256], regions[256] = { 0 };
    uint32_t sizes[256], pages[256], ones[256], count = asked->msg.lease.keys.count;
    uint64_t sums[256];
    bool fits = status == 0 && asked->msg.lease.inline_max >= 10 * count;
    for (uint32_t index = 0; index < count; index++) {
        statuses[index] = (int8_t) status;
        inlined[index] = fits;
        counts[index] = status == 0 && !fits;
        sizes[index] = 10;
        sums[index] = umbp_sum ("0123456789", 10);
        pages[index] = page + index;
        ones[index] = 1;
    }
    uint32_t rows = status == 0 && !fits ? count : 0;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lease_ok, 0);
    msg.lease_ok = (umbp_msg_lease_ok_t) {
        .statuses = { statuses, count }, .inlined = { inlined, count }, .sizes = { sizes, count },
        .sums = { sums, count }, .extent_counts = { counts, count }, .regions = { regions, rows },
        .pages = { pages, rows }, .page_counts = { ones, rows }, .generations = { ones, rows },
        .lease = rows ? 1000 + page : 0, .page_size = 4096, .ttl_ms = 100, .bulk = umbp_text ("x:1"),
    };
    char payload[2560];
    for (uint32_t index = 0; index < count; index++)
        memcpy (payload + index * 10, "0123456789", 10);
    asked_answer (asked, &msg, payload, fits ? 10 * count : 0);
}

//  Answer a reservation: all items with this status, in pages from this number on
static void s_reserved (asked_t *asked, int status, uint32_t page)
{
    if (!asked)
        return;
    int8_t statuses[256];
    uint16_t counts[256], regions[256] = { 0 };
    uint32_t pages[256], ones[256], count = asked->msg.reserve.keys.count;
    uint64_t slots[256];
    for (uint32_t index = 0; index < count; index++) {
        statuses[index] = (int8_t) status;
        counts[index] = status == 0;
        slots[index] = status == 0 ? page + index : 0;
        pages[index] = page + index;
        ones[index] = 1;
    }
    uint32_t rows = status == 0 ? count : 0;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_reserve_ok, 0);
    msg.reserve_ok = (umbp_msg_reserve_ok_t) {
        .statuses = { statuses, count }, .slots = { slots, count }, .extent_counts = { counts, count },
        .regions = { regions, rows }, .pages = { pages, rows }, .page_counts = { ones, rows },
        .generations = { ones, rows }, .page_size = 4096, .ttl_ms = 100, .bulk = umbp_text ("x:1"),
    };
    asked_answer (asked, &msg, NULL, 0);
}

static void s_status (asked_t *asked, int type, int8_t status)
{
    if (!asked)
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, type, 0);
    if (type == UMBP_MSG_store_ok)
        msg.store_ok.statuses = (umbp_s8s_t) { &status, 1 };
    else
        msg.drop_ok.statuses = (umbp_s8s_t) { &status, 1 };
    asked_answer (asked, &msg, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  What the client says

static void s_put (const char *keys, uint64_t session, umbp_place_strategy_t strategy,
                   const void *payload)
{
    static uint32_t sizes[256];
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_put, 0);
    msg.put.session = session;
    msg.put.strategy = strategy;
    msg.put.keys = words (&s_words, keys);
    for (size_t index = 0; index < msg.put.keys.count; index++)
        sizes[index] = 10;
    msg.put.sizes = (umbp_u32s_t) { sizes, msg.put.keys.count };
    asker_say (&s_client, &msg, payload, payload ? 10 * msg.put.keys.count : 0, DEADLINE_MS);
}

static int s_put_status (size_t index)
{
    return umbp_s8s_at (s_client.msg.put_ok.statuses, index);
}

static void s_get (const char *keys, uint64_t session, uint64_t inline_max, const char *avoid)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_get, 0);
    msg.get.session = session;
    msg.get.inline_max = inline_max;
    msg.get.keys = words (&s_words, keys);
    msg.get.avoid = words (&s_more_words, avoid);
    asker_say (&s_client, &msg, NULL, 0, DEADLINE_MS);
}

static int s_get_status (size_t index)
{
    return umbp_s8s_at (s_client.msg.get_ok.statuses, index);
}

//  The node that a row of the answer refers to
static bool s_got_from (size_t index, const char *node)
{
    return column_is (s_client.msg.get_ok.nodes, umbp_u16s_at (s_client.msg.get_ok.refs, index),
                      node);
}

static int s_ask (int type, const char *keys)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, (umbp_msg_type_t) type, 0);
    if (type == UMBP_MSG_exists)
        msg.exists.keys = words (&s_words, keys);
    else if (type == UMBP_MSG_where)
        msg.where.keys = words (&s_words, keys);
    else if (type == UMBP_MSG_remove)
        msg.remove.keys = words (&s_words, keys);
    return asker_say (&s_client, &msg, NULL, 0, DEADLINE_MS) > 0;
}

//  --------------------------------------------------------------------------------------------------
//  Put

//  Slots of several nodes: extents come in the order of the keys, whichever node answered first
static void test_put_order (void)
{
    static const uint32_t wanted[] = { 100, 200, 300, 101, 201, 301, 102 };
    s_start ();
    const char *key = s_key ("index", "index@b");
    char keys[128];
    snprintf (keys, sizeof keys, "%s %s %s %s %s %s %s", key, key, key, key, key, key, key);
    s_put (keys, 5, UMBP_PLACE_MOST_FREE, NULL);             //  a b c a b c a
    s_found (s_expect ("index", UMBP_MSG_lookup), "");
    asked_t *tier = s_expect ("tier:dram", UMBP_MSG_reserve);
    CU_ASSERT (tier && tier->msg.reserve.keys.count == 3);
    for (int node = 0; node < 2; node++)
        if (asked_hear (&s_link, PEER_MS))
            s_reserved (&s_link, 0, streq (s_link.address, "tier:dram@b") ? 200 : 300);
    s_reserved (tier, 0, 100);          //  The first one answers last
    CU_ASSERT (s_answer () == 0);
    const umbp_msg_put_ok_t *ok = &s_client.msg.put_ok;
    CU_ASSERT_FATAL (ok->pages.count == 7 && ok->nodes.count == 3);
    for (size_t index = 0; index < 7; index++) {
        static const char *const nodes[] = { "a", "b", "c" };
        CU_ASSERT (s_put_status (index) == 0 && umbp_u16s_at (ok->extent_counts, index) == 1);
        CU_ASSERT (umbp_u32s_at (ok->pages, index) == wanted[index]);
        CU_ASSERT (umbp_u64s_at (ok->slots, index) == wanted[index]);
        CU_ASSERT (column_is (ok->nodes, umbp_u16s_at (ok->refs, index), nodes[index % 3]));
    }
    s_stop ();
}

//  What exists needs no room; what has none here is tried elsewhere, and a dead node costs no failure
static void test_put_elsewhere (void)
{
    s_start ();
    const char *key = s_key ("index", "index@b"), *there = s_key ("index@b", "index@c");
    char keys[64];
    snprintf (keys, sizeof keys, "%s %s", key, there);
    s_put (keys, 5, UMBP_PLACE_LOCAL, NULL);
    s_found (s_expect ("index", UMBP_MSG_lookup), "");
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "c");
    s_reserved (s_expect ("tier:dram", UMBP_MSG_reserve), UMBP_EAGAIN, 0);
    CU_ASSERT (s_expect ("tier:dram@b", UMBP_MSG_reserve) != NULL);    //  It says nothing
    s_reserved (s_expect ("tier:dram@c", UMBP_MSG_reserve), 0, 7);
    CU_ASSERT (s_answer () == 0);
    CU_ASSERT (s_put_status (0) == 0 && s_put_status (1) == UMBP_EEXIST);
    CU_ASSERT (column_is (s_client.msg.put_ok.nodes, 0, "c"));         //  Who gave none has no row
    CU_ASSERT (umbp_u16s_at (s_client.msg.put_ok.refs, 1) == UMBP_NO_REF);
    CU_ASSERT (asker_gauge (&s_client, "puts_rerouted") == 2);
    //  Nobody has room
    s_put (key, 5, UMBP_PLACE_LOCAL, NULL);
    s_found (s_expect ("index", UMBP_MSG_lookup), "");
    s_reserved (s_expect ("tier:dram", UMBP_MSG_reserve), UMBP_EAGAIN, 0);
    for (int node = 0; node < 2; node++)
        if (asked_hear (&s_link, PEER_MS))
            s_reserved (&s_link, UMBP_EAGAIN, 0);
    CU_ASSERT (s_answer () == 0 && s_put_status (0) == UMBP_EAGAIN);
    //  It fits nowhere
    s_put (key, 5, UMBP_PLACE_LOCAL, NULL);
    s_found (s_expect ("index", UMBP_MSG_lookup), "");
    s_reserved (s_expect ("tier:dram", UMBP_MSG_reserve), UMBP_ENOSPC, 0);
    for (int node = 0; node < 2; node++)
        if (asked_hear (&s_link, PEER_MS))
            s_reserved (&s_link, UMBP_ENOSPC, 0);
    CU_ASSERT (s_answer () == 0 && s_put_status (0) == UMBP_ENOSPC && s_quiet ());
    s_stop ();
}

//  A value that was stored is not stored again elsewhere because no shard has spoken
static void test_put_stored_once (void)
{
    s_start ();
    const char *key = s_key ("index", "index@b");
    s_put (key, 0, 0, "0123456789");
    s_found (s_expect ("index", UMBP_MSG_lookup), "");
    asked_t *tier = s_expect ("tier:dram", UMBP_MSG_store);
    CU_ASSERT (tier && umbp_u64s_at (tier->msg.store.sums, 0) == umbp_sum ("0123456789", 10));
    s_status (tier, UMBP_MSG_store_ok, UMBP_EUNREACH);
    CU_ASSERT (s_answer () == 0 && s_put_status (0) == UMBP_EUNREACH && s_quiet ());
    //  But one that nobody has taken is
    s_put (key, 0, 0, "0123456789");
    s_found (s_expect ("index", UMBP_MSG_lookup), "");
    CU_ASSERT (s_expect ("tier:dram", UMBP_MSG_store) != NULL);
    CU_ASSERT (asked_hear (&s_link, PEER_MS) && s_link.msg.type == UMBP_MSG_store);
    s_status (&s_link, UMBP_MSG_store_ok, 0);
    CU_ASSERT (s_answer () == 0 && s_put_status (0) == 0);
    s_stop ();
}

static void test_put_bad (void)
{
    uint32_t sizes[] = { 10, 0 };
    uint64_t sums[] = { 1, 2 };
    s_start ();
    const char *key = s_key ("index", "index@b");
    char keys[64];
    snprintf (keys, sizeof keys, "%s %s", key, key);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_put, 0);
    msg.put.keys = words (&s_words, keys);
    msg.put.sizes = (umbp_u32s_t) { sizes, 2 };
    asker_say (&s_client, &msg, "0123456789", 9, DEADLINE_MS);
    CU_ASSERT (s_answer () == UMBP_EINVAL && s_client.msg.type == UMBP_MSG_refused);
    asker_say (&s_client, &msg, NULL, 0, DEADLINE_MS);
    CU_ASSERT (s_answer () == UMBP_EINVAL);
    msg.put.sums = (umbp_u64s_t) { sums, 1 };
    asker_say (&s_client, &msg, "0123456789", 10, DEADLINE_MS);
    CU_ASSERT (s_answer () < 0 && s_client.msg.type == UMBP_MSG_refused);
    msg.put.sums = (umbp_u64s_t) { NULL, 0 };
    msg.put.strategy = 5;
    asker_say (&s_client, &msg, "0123456789", 10, DEADLINE_MS);
    CU_ASSERT (s_answer () < 0 && s_client.msg.type == UMBP_MSG_refused);
    //  A size of 0 is refused by itself; its neighbour is not disturbed
    msg.put.strategy = 0;
    asker_say (&s_client, &msg, "0123456789", 10, DEADLINE_MS);
    s_found (s_expect ("index", UMBP_MSG_lookup), "");
    asked_t *tier = s_expect ("tier:dram", UMBP_MSG_store);
    CU_ASSERT (tier && tier->msg.store.keys.count == 1);
    s_status (tier, UMBP_MSG_store_ok, 0);
    CU_ASSERT (s_answer () == 0 && s_put_status (0) == 0 && s_put_status (1) == UMBP_EINVAL);
    //  A tier that nobody has
    msg.put.tier = UMBP_TIER_NVME;
    asker_say (&s_client, &msg, "0123456789", 10, DEADLINE_MS);
    s_found (s_expect ("index", UMBP_MSG_lookup), "");
    CU_ASSERT (s_answer () == 0 && s_put_status (0) == UMBP_ENOTSUP);
    //  Nobody is ready yet: they may have it later
    static const crowd_t starting[] = { CROWD ("a", 0, 0, .outside = true) };
    s_push (starting, 1, 2);
    s_shard_epoch = 2;
    asker_say (&s_client, &msg, "0123456789", 10, DEADLINE_MS);
    CU_ASSERT (s_answer () == 0 && s_put_status (0) == UMBP_EAGAIN);
    s_shard_epoch = 1;
    CU_ASSERT (asker_gauge (&s_client, "EINVAL") >= 2 && s_quiet ());
    s_stop ();
}

//  --------------------------------------------------------------------------------------------------
//  Get

static void test_get_local (void)
{
    s_start ();
    s_get ("k1 k2", 5, 0, "");
    s_leased (s_expect ("tier:dram", UMBP_MSG_lease), 0, 40);
    CU_ASSERT (s_answer () == 0 && s_get_status (0) == 0 && s_get_status (1) == 0);
    const umbp_msg_get_ok_t *ok = &s_client.msg.get_ok;
    CU_ASSERT (s_got_from (0, "a") && s_got_from (1, "a") && ok->nodes.count == 1);
    CU_ASSERT (umbp_u32s_at (ok->items, 1) == 1 && umbp_u32s_at (ok->pages, 1) == 41);
    CU_ASSERT (umbp_u64s_at (ok->leases, 0) == 1040);
    s_get ("k1 k2", 0, 20, "");
    s_leased (s_expect ("tier:dram", UMBP_MSG_lease), 0, 40);
    CU_ASSERT (s_answer () == 0 && s_get_status (1) == 0 && s_quiet ());
    CU_ASSERT (s_client.payload_size == 20
               && memcmp (s_client.payload + 10, "0123456789", 10) == 0);
    CU_ASSERT (umbp_u16s_at (s_client.msg.get_ok.refs, 0) == UMBP_NO_REF);
    s_stop ();
}

//  Not here: the shard says where, and a replica that fails leaves it to the next one
static void test_get_failover (void)
{
    s_start ();
    const char *key = s_key ("index@b", "index@c");
    s_get (key, 5, 0, "");
    s_leased (s_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "b c");
    CU_ASSERT (s_expect ("tier:dram@b", UMBP_MSG_lease) != NULL);      //  It says nothing
    s_leased (s_expect ("tier:dram@c", UMBP_MSG_lease), 0, 3);
    CU_ASSERT (s_answer () == 0 && s_get_status (0) == 0 && s_got_from (0, "c"));
    CU_ASSERT (asker_gauge (&s_client, "gets_failed_over") == 1);
    //  None is left: not reached is not the same as not there
    s_get (key, 5, 0, "");
    s_leased (s_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "b");
    CU_ASSERT (s_expect ("tier:dram@b", UMBP_MSG_lease) != NULL);
    CU_ASSERT (s_answer () == 0 && s_get_status (0) == UMBP_EUNREACH);
    s_get (key, 5, 0, "");
    s_leased (s_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "b");
    s_leased (s_expect ("tier:dram@b", UMBP_MSG_lease), UMBP_ENOENT, 0);
    CU_ASSERT (s_answer () == 0 && s_get_status (0) == UMBP_ENOENT && s_quiet ());
    s_stop ();
}

//  What our own tier says is "later" or "too large" does not become a miss because no shard knows it
static void test_get_is_no_miss (void)
{
    static const int statuses[] = { UMBP_EAGAIN, UMBP_ETOOBIG, UMBP_ENOENT };
    s_start ();
    const char *key = s_key ("index", "index@b");
    for (size_t index = 0; index < COUNT_OF (statuses); index++) {
        s_get (key, 5, 0, "");
        s_leased (s_expect ("tier:dram", UMBP_MSG_lease), statuses[index], 0);
        s_found (s_expect ("index", UMBP_MSG_lookup), "");
        s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
        CU_ASSERT (s_answer () == 0 && s_get_status (0) == statuses[index]);
    }
    //  No shard has spoken: unknown, not a miss
    s_get (key, 5, 0, "");
    s_leased (s_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    CU_ASSERT (s_answer () == 0 && s_get_status (0) == UMBP_EUNREACH);
    s_stop ();
}

//  The reader had trouble with an owner: others come first, this one is the last resort
static void test_get_avoid (void)
{
    s_start ();
    const char *key = s_key ("index@b", "index@c");
    s_get (key, 5, 0, "b nobody");
    s_leased (s_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "b c");
    s_leased (s_expect ("tier:dram@c", UMBP_MSG_lease), UMBP_ENOENT, 0);
    s_leased (s_expect ("tier:dram@b", UMBP_MSG_lease), 0, 3);
    CU_ASSERT (s_answer () == 0 && s_get_status (0) == 0 && s_got_from (0, "b"));
    //  This very node
    s_get (key, 5, 0, "a");
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "a b");
    s_leased (s_expect ("tier:dram@b", UMBP_MSG_lease), 0, 3);
    CU_ASSERT (s_answer () == 0 && s_got_from (0, "b") && s_quiet ());
    s_get (key, 5, 0, "a");
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
    s_found (s_expect ("index@c", UMBP_MSG_lookup), "");
    s_leased (s_expect ("tier:dram", UMBP_MSG_lease), 0, 3);
    CU_ASSERT (s_answer () == 0 && s_get_status (0) == 0 && s_got_from (0, "a"));
    s_stop ();
}

//  More extents than a message may have: some items fail, and none of the others has a wrong one
static void test_get_too_many_extents (void)
{
    enum { MANY = 10000 };
    static uint16_t regions[MANY + 1];
    static uint32_t pages[MANY + 1], ones[MANY + 1];
    s_start ();
    for (uint32_t row = 0; row <= MANY; row++) {
        pages[row] = row;
        ones[row] = 1;
    }
    char keys[64];
    snprintf (keys, sizeof keys, "%s %s %s", s_key ("index", "index@b"),
              s_key ("index@b", "index@c"), s_key ("index@b", "index@c"));
    s_get (keys, 5, 0, "");
    s_leased (s_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    s_found (s_expect ("index", UMBP_MSG_lookup), "b");      //  One key at b, two at c
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "c");
    for (int node = 0; node < 2; node++) {
        CU_ASSERT (asked_hear (&s_link, PEER_MS));
        uint32_t count = s_link.msg.lease.keys.count;
        CU_ASSERT (count == (streq (s_link.address, "tier:dram@b") ? 1 : 2));
        int8_t statuses[] = { 0, 0 };
        uint8_t inlined[] = { 0, 0 };
        uint16_t counts[] = { MANY, 1 };
        uint32_t sizes[] = { MANY, 1 };
        uint64_t sums[] = { 1, 2 };
        uint32_t rows = count == 2 ? MANY + 1 : MANY;
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_lease_ok, 0);
        msg.lease_ok = (umbp_msg_lease_ok_t) {
            .statuses = { statuses, count }, .inlined = { inlined, count }, .sizes = { sizes, count },
            .sums = { sums, count }, .extent_counts = { counts, count },
            .regions = { regions, rows }, .pages = { pages, rows }, .page_counts = { ones, rows },
            .generations = { ones, rows }, .lease = 77, .page_size = 1, .ttl_ms = 100,
        };
        asked_answer (&s_link, &msg, NULL, 0);
    }
    CU_ASSERT (s_answer () == 0);
    const umbp_msg_get_ok_t *ok = &s_client.msg.get_ok;
    size_t at = 0;
    for (size_t index = 0; index < 3; index++) {
        uint16_t count = umbp_u16s_at (ok->extent_counts, index);
        CU_ASSERT (s_get_status (index) == (count ? 0 : UMBP_EAGAIN));
        CU_ASSERT (index < 2 || count == 1);
        if (index == 2 && count == 1) {
            CU_ASSERT (umbp_u32s_at (ok->pages, at) == MANY);          //  The last row, its own
            CU_ASSERT (umbp_u32s_at (ok->items, index) == 1);          //  Second under its lease
        }
        at += count;
    }
    CU_ASSERT (at == ok->pages.count && at == MANY + 1);
    s_stop ();
}

//  Answers that no honest peer gives: wrong counts, columns that are not there, rows of nobody
static void test_bad_answers (void)
{
    s_start ();
    const char *key = s_key ("index@b", "index@c");
    int8_t statuses[] = { 0, 0 };
    uint8_t zeros[] = { 0, 0 };
    uint16_t counts[] = { 3, 3, 3 }, refs[] = { 9, 0, UMBP_NO_REF };
    uint32_t sizes[] = { 10, 10, 10 };
    uint64_t sums[] = { 1, 2 };
    uint8_t tiers[] = { UMBP_TIER_DRAM, 99, UMBP_TIER_DRAM }, found = 200;
    for (uint32_t turn = 0; turn < 6; turn++) {
        umbp_msg_t msg;
        s_get (key, 5, 100, "");
        asked_t *asked = s_expect ("tier:dram", UMBP_MSG_lease);
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
            .topo_epoch = 1, .found = { &found, 1 }, .refs = { refs, turn % 2 ? 3 : 0 }, .sizes = { sizes, turn % 2 ? 3 : 0 },
            .tiers = { tiers, turn % 2 ? 3 : 0 }, .nodes = words (&s_more_words, "b"),
        };
        for (int shard = 0; shard < 2; shard++)
            if (asked_hear (&s_link, PEER_MS))
                asked_answer (&s_link, &msg, NULL, 0);
        CU_ASSERT (s_answer () == 0 && s_get_status (0) < 0 && s_get_status (0) != UMBP_ENOENT);
        CU_ASSERT (s_quiet ());
    }
    //  Another message altogether, and an error
    s_get (key, 5, 0, "");
    s_status (s_expect ("tier:dram", UMBP_MSG_lease), UMBP_MSG_drop_ok, 0);
    for (int shard = 0; shard < 2; shard++) {
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_ok, 0);
        msg.status = shard ? UMBP_EPROTO : 0;
        if (asked_hear (&s_link, PEER_MS))
            asked_answer (&s_link, &msg, NULL, 0);
    }
    CU_ASSERT (s_answer () == 0 && s_get_status (0) == UMBP_EUNREACH);
    s_stop ();
}

//  --------------------------------------------------------------------------------------------------
//  Lookups

//  A block may be got as soon as one of its shards knows it: one that does not know it has not the last
//  word, but a put does not ask on, and a suspect is not asked what others denied
static void test_shards_are_asked_on (void)
{
    static const crowd_t suspect[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0),
                                       CROWD ("c", ROOM, 0, .suspect = true) };
    s_start ();
    const char *key = s_key ("index@b", "index@c");
    s_ask (UMBP_MSG_exists, key);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
    s_found (s_expect ("index@c", UMBP_MSG_lookup), "a");
    CU_ASSERT (s_answer () == 0 && umbp_s8s_at (s_client.msg.exists_ok.found, 0) == 1);
    s_ask (UMBP_MSG_exists, key);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "a");
    CU_ASSERT (s_answer () == 0 && s_client.msg.exists_ok.prefix == 1);
    s_put (key, 5, UMBP_PLACE_LOCAL, NULL);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
    s_reserved (s_expect ("tier:dram", UMBP_MSG_reserve), 0, 1);
    CU_ASSERT (s_answer () == 0 && s_quiet ());
    s_push (suspect, 3, 1);
    s_ask (UMBP_MSG_exists, key);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
    CU_ASSERT (s_answer () == 0 && umbp_s8s_at (s_client.msg.exists_ok.found, 0) == 0
               && s_quiet ());
    s_ask (UMBP_MSG_exists, key);       //  But when the other one is silent
    CU_ASSERT (s_expect ("index@b", UMBP_MSG_lookup) != NULL);
    s_found (s_expect ("index@c", UMBP_MSG_lookup), "a");
    CU_ASSERT (s_answer () == 0 && umbp_s8s_at (s_client.msg.exists_ok.found, 0) == 1);
    s_stop ();
    //  And while the ring is new
    s_start_untold ();
    crowd_unsettled = true;
    s_push (suspect, 3, 1);
    crowd_unsettled = false;
    s_ask (UMBP_MSG_exists, key);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
    s_found (s_expect ("index@c", UMBP_MSG_lookup), "a");
    CU_ASSERT (s_answer () == 0 && umbp_s8s_at (s_client.msg.exists_ok.found, 0) == 1);
    s_stop ();
}

//  While the ring is not settled, those who kept the entry before are asked too
static void test_former_rings (void)
{
    static const crowd_t less[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0) };
    s_start ();
    s_push (less, 2, 2);                //  All entries at a and b, and settled
    const char *key = s_key ("index@b", "index@c");
    crowd_unsettled = true;
    s_push (s_abc, 3, 3);
    s_shard_epoch = 3;
    for (int turn = 0; turn < 2; turn++) {
        s_ask (UMBP_MSG_exists, key);
        s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
        s_found (s_expect ("index@c", UMBP_MSG_lookup), "");
        s_found (s_expect ("index", UMBP_MSG_lookup), turn ? "" : "b");
        CU_ASSERT (s_answer () == 0);
        CU_ASSERT (umbp_s8s_at (s_client.msg.exists_ok.found, 0) == !turn);
    }
    crowd_unsettled = false;
    s_push (s_abc, 3, 3);
    s_ask (UMBP_MSG_exists, key);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
    s_found (s_expect ("index@c", UMBP_MSG_lookup), "");
    CU_ASSERT (s_answer () == 0 && umbp_s8s_at (s_client.msg.exists_ok.found, 0) == 0);
    CU_ASSERT (s_quiet () && asker_gauge (&s_client, "doubts") == 0);
    s_shard_epoch = 1;
    s_stop ();
}

//  A shard that works with another ring, or that names a node we do not know, knows more than we do or less: we ask
//  again, with the ring that we have by then, but not for ever
static void test_doubts (void)
{
    static const crowd_t less[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0) };
    s_start ();
    s_push (less, 2, 2);
    s_shard_epoch = 1;                  //  They work with three already
    s_ask (UMBP_MSG_exists, s_key ("index@b", "index@c"));
    s_found (s_expect ("index", UMBP_MSG_lookup), "");
    s_push (s_abc, 3, 1);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
    s_found (s_expect ("index@c", UMBP_MSG_lookup), "c");
    CU_ASSERT (s_answer () == 0 && umbp_s8s_at (s_client.msg.exists_ok.found, 0) == 1);
    CU_ASSERT (asker_gauge (&s_client, "doubts") == 1);
    const char *key = s_key ("index", "index@b");
    s_ask (UMBP_MSG_where, key);        //  Somebody new has it
    s_found (s_expect ("index", UMBP_MSG_lookup), "d");
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
    s_found (s_expect ("index", UMBP_MSG_lookup), "d c");
    CU_ASSERT (s_answer () == 0 && umbp_u8s_at (s_client.msg.where_ok.counts, 0) == 1);
    s_shard_epoch = 9;
    int64_t began = zclock_mono ();
    s_ask (UMBP_MSG_exists, key);
    bool answered = false;
    while (!answered && zclock_mono () - began < PEER_MS) {
        if (asked_hear (&s_index, 10))
            s_found (&s_index, "");
        if (asked_hear (&s_link, 0))
            s_found (&s_link, "");
        answered = asker_hear (&s_client, 0) != 0;
    }
    CU_ASSERT (answered && umbp_s8s_at (s_client.msg.exists_ok.found, 0) == 0);
    CU_ASSERT (asker_gauge (&s_client, "doubts") > 4);
    s_shard_epoch = 1;
    s_stop ();
}

static void test_exists_and_where (void)
{
    s_start ();
    char keys[64];
    snprintf (keys, sizeof keys, "%s %s %s", s_key ("index", "index@b"), s_key ("index", "index@b"),
              s_key ("index@c", "index@b"));
    s_ask (UMBP_MSG_exists, keys);
    s_found (s_expect ("index", UMBP_MSG_lookup), "a b");
    CU_ASSERT (s_answer () == 0);       //  c and b say nothing: unknown
    const umbp_msg_exists_ok_t *ok = &s_client.msg.exists_ok;
    CU_ASSERT (umbp_s8s_at (ok->found, 0) == 1 && umbp_s8s_at (ok->found, 1) == 1);
    CU_ASSERT (umbp_s8s_at (ok->found, 2) == UMBP_EUNREACH && ok->prefix == 2);
    while (asked_hear (&s_link, 0))
        ;
    s_ask (UMBP_MSG_where, keys);
    s_found (s_expect ("index", UMBP_MSG_lookup), "c a");
    s_found (s_expect ("index@c", UMBP_MSG_lookup), "");
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "");
    CU_ASSERT (s_answer () == 0);
    const umbp_msg_where_ok_t *where = &s_client.msg.where_ok;
    CU_ASSERT (umbp_u8s_at (where->counts, 0) == 2 && umbp_u8s_at (where->counts, 2) == 0);
    CU_ASSERT (umbp_s8s_at (where->statuses, 2) == UMBP_ENOENT && where->refs.count == 4);
    CU_ASSERT (column_is (where->nodes, umbp_u16s_at (where->refs, 2), "c"));
    CU_ASSERT (column_is (where->nodes, umbp_u16s_at (where->refs, 3), "a"));
    s_stop ();
}

//  --------------------------------------------------------------------------------------------------
//  Remove and clear

static int s_removed (size_t index)
{
    return umbp_s8s_at (s_client.msg.remove_ok.statuses, index);
}

static void test_remove (void)
{
    static const crowd_t more[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0),
                                    CROWD ("c", ROOM, 0), CROWD ("d", ROOM, 0, .outside = true),
                                    CROWD ("e", ROOM, 0, .outside = true) };
    s_start ();
    const char *key = s_key ("index@b", "index@c");
    s_ask (UMBP_MSG_remove, key);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "c");
    s_status (s_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, UMBP_ENOENT);
    s_status (s_expect ("tier:dram@c", UMBP_MSG_drop), UMBP_MSG_drop_ok, 0);
    CU_ASSERT (s_answer () == 0 && s_removed (0) == 0);
    //  Of one place we do not hear: it may still be there
    s_ask (UMBP_MSG_remove, key);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "c");
    s_status (s_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, 0);
    CU_ASSERT (s_expect ("tier:dram@c", UMBP_MSG_drop) != NULL);
    CU_ASSERT (s_answer () == 0 && s_removed (0) == UMBP_EUNREACH);
    //  No shard has spoken: not here does not mean nowhere
    s_ask (UMBP_MSG_remove, key);
    s_status (s_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, UMBP_ENOENT);
    CU_ASSERT (s_answer () == 0 && s_removed (0) == UMBP_EUNREACH);
    while (asked_hear (&s_link, 0))
        ;
    //  More copies than one is told of: everybody is asked
    s_push (more, 5, 1);
    s_ask (UMBP_MSG_remove, key);
    s_found (s_expect ("index@b", UMBP_MSG_lookup), "a b c d");
    s_status (s_expect ("tier:dram", UMBP_MSG_drop), UMBP_MSG_drop_ok, 0);
    static const char *const others[] = { "b", "c", "d", "e" };
    for (size_t node = 0; node < 4; node++) {
        char address[16];
        snprintf (address, sizeof address, "tier:dram@%s", others[node]);
        s_status (s_expect (address, UMBP_MSG_drop), UMBP_MSG_drop_ok, node == 3 ? 0 : UMBP_ENOENT);
    }
    CU_ASSERT (s_answer () == 0 && s_removed (0) == 0);
    s_stop ();
}

static void test_clear (void)
{
    s_start ();
    for (int turn = 0; turn < 3; turn++) {                   //  Here; everywhere; and one is silent
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_clear, 0);
        msg.clear.everywhere = turn > 0;
        asker_say (&s_client, &msg, NULL, 0, DEADLINE_MS);
        umbp_msg_init (&msg, UMBP_MSG_wipe_ok, 0);
        msg.wipe_ok.blocks = 3;
        msg.wipe_ok.bytes = 300;
        asked_t *asked = s_expect ("tier:dram", UMBP_MSG_wipe);
        if (asked)
            asked_answer (asked, &msg, NULL, 0);
        for (int node = 0; node < (turn ? 2 : 0); node++)
            if (asked_hear (&s_link, PEER_MS) && (turn == 1 || node == 0))
                asked_answer (&s_link, &msg, NULL, 0);
        CU_ASSERT (s_answer () == (turn == 2 ? UMBP_EUNREACH : 0));
        static const uint64_t blocks[] = { 3, 9, 6 };
        CU_ASSERT (s_client.msg.clear_ok.blocks == blocks[turn]);
        CU_ASSERT (s_client.msg.clear_ok.bytes == blocks[turn] * 100 && s_quiet ());
    }
    s_stop ();
}

//  --------------------------------------------------------------------------------------------------
//  Life

//  Before the registry has spoken; and with requests under way at the end
static void test_ends (void)
{
    s_start_untold ();
    s_ask (UMBP_MSG_exists, "key");
    CU_ASSERT (s_answer () == UMBP_EAGAIN);
    CU_ASSERT (asker_gauge (&s_client, "refused_busy") == 1);
    s_push (s_abc, 3, 1);
    s_get ("k1 k2 k3", 5, 100, "");
    CU_ASSERT (s_expect ("tier:dram", UMBP_MSG_lease) != NULL);
    s_ask (UMBP_MSG_where, "k1 k2 k3 k4 k5 k6");
    s_push (s_abc, 2, 2);               //  They keep the topology that they began with
    CU_ASSERT (asker_gauge (&s_client, "requests_open") == 2);
    zactor_destroy (&s_router);
    asker_end (&s_client);
    asked_end (&s_index);
    asked_end (&s_tier);
    asked_end (&s_link);
}

int main (void)
{
    alarm (200);
    zsys_init ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("router", NULL, NULL);
    CU_ADD_TEST (suite, test_put_order);
    CU_ADD_TEST (suite, test_put_elsewhere);
    CU_ADD_TEST (suite, test_put_stored_once);
    CU_ADD_TEST (suite, test_put_bad);
    CU_ADD_TEST (suite, test_get_local);
    CU_ADD_TEST (suite, test_get_failover);
    CU_ADD_TEST (suite, test_get_is_no_miss);
    CU_ADD_TEST (suite, test_get_avoid);
    CU_ADD_TEST (suite, test_get_too_many_extents);
    CU_ADD_TEST (suite, test_bad_answers);
    CU_ADD_TEST (suite, test_shards_are_asked_on);
    CU_ADD_TEST (suite, test_former_rings);
    CU_ADD_TEST (suite, test_doubts);
    CU_ADD_TEST (suite, test_exists_and_where);
    CU_ADD_TEST (suite, test_remove);
    CU_ADD_TEST (suite, test_clear);
    CU_ADD_TEST (suite, test_ends);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

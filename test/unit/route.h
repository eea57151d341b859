//  test/unit/route.h - a router, with the test in the place of all it asks: the index, the tiers
//  and the other nodes. One at a time.
#ifndef UMBP_TEST_ROUTE_H
#define UMBP_TEST_ROUTE_H

#include "actors/router.h"
#include "cluster/bulk/copy.h"
#include "test/unit/crowd.h"
#include "test/unit/peer.h"

#define ROOM (UINT64_C (1) << 30)
#define DEADLINE_MS 4000                //  Some tests wait for much of it, busy machines need more

static const crowd_t route_abc[] = { CROWD ("a", ROOM, 0), CROWD ("b", ROOM, 0),
                                     CROWD ("c", ROOM, 0) };

static zactor_t *route_router;
static asker_t route_client;
static asked_t route_index, route_tier, route_link;
static words_t route_words, route_more_words;
static uint64_t route_shard_epoch = 1;  //  The ring that shards work with

static inline void route_push (const crowd_t *rows, uint32_t count, uint64_t topo_epoch)
{
    asker_say (&route_client, crowd_msg (rows, count, "a", topo_epoch), NULL, 0, 0);
}

static inline void route_start_untold (void)
{
    static int number;                  //  A name is free again some time after its actor is gone
    char instance[32];
    snprintf (instance, sizeof instance, "router-%d", number++);
    umbp_home_t home;
    umbp_router_args_t args = { .home = home_of (&home, instance, "a"),
                                .strategy = UMBP_PLACE_LOCAL };
    asked_start (&route_index, instance, "index");
    asked_start (&route_tier, instance, "tier:dram");
    asked_start (&route_link, instance, "link");
    route_router = umbp_router_new (&args);
    CU_ASSERT_PTR_NOT_NULL_FATAL (route_router);
    asker_start (&route_client, instance, "router");
}

static inline void route_start (void)
{
    route_start_untold ();
    route_push (route_abc, 3, 1);
}

static inline void route_stop (void)
{
    CU_ASSERT (asker_gauge (&route_client, "requests_open") == 0);
    zactor_destroy (&route_router);
    asker_end (&route_client);
    asked_end (&route_index);
    asked_end (&route_tier);
    asked_end (&route_link);
}

//  ------------------------------------------------------------------------------------------------
//  Who is asked

//  The next request that the router makes: to "index", "tier:dram@b", ... and of this type. NULL if
//  it is another one, or none comes.
static inline asked_t *route_expect (const char *address, int type)
{
    asked_t *asked = strchr (address, '@')      ? &route_link
                     : streq (address, "index") ? &route_index
                                                : &route_tier;
    if (!asked_hear (asked, PEER_MS)) {
        printf ("\n    nothing for %s\n", address);
        CU_FAIL ("not asked");
        return NULL;
    }
    bool right =
        asked->msg.type == type && (asked != &route_link || streq (asked->address, address));
    if (!right)
        printf ("\n    wanted %s %s, came %s %s\n", address, umbp_msg_name (type), asked->address,
                umbp_msg_name (asked->msg.type));
    CU_ASSERT (right);
    return right ? asked : NULL;
}

static inline bool route_quiet (void)
{
    return !asked_hear (&route_link, 0) && !asked_hear (&route_index, 0)
           && !asked_hear (&route_tier, 0);
}

//  The status of the answer to the client; 1 if none comes
static inline int route_answer (void)
{
    return asker_hear (&route_client, DEADLINE_MS + PEER_MS) ? route_client.msg.status : 1;
}

//  The names of the shards of a key, first owner first: "index" or "index@<node>"
static inline void route_shards (const char *key, char (*out)[16])
{
    umbp_topology_t *topology = crowd_new (route_abc, 3, "a", 1);
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
static inline const char *route_key (const char *first, const char *second)
{
    static char key[4][16];
    static unsigned turn;
    char shards[2][16];
    char *out = key[turn++ % 4];
    for (unsigned number = turn * 1000;; number++) {
        snprintf (out, sizeof key[0], "key%u", number);
        route_shards (out, shards);
        if (streq (shards[0], first) && streq (shards[1], second))
            return out;
    }
}

//  ------------------------------------------------------------------------------------------------
//  What they say

//  Members that shards say they have not been told by, as "b c"
static const char *route_untold = "";
static words_t route_untold_words;

//  Answer a lookup: the same places for all keys, "b c" or ""
static inline void route_found (asked_t *asked, const char *nodes)
{
    if (!asked)
        return;
    uint8_t found[UMBP_BATCH_MAX], tiers[256];
    uint16_t refs[256];
    uint32_t sizes[256], count = asked->msg.lookup.keys.count, rows = 0;
    bool places = asked->msg.lookup.places;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lookup_ok, 0);
    umbp_column_t names = words (&route_more_words, nodes);
    for (uint32_t index = 0; index < count; index++) {
        found[index] = (uint8_t) names.count;
        for (uint16_t name = 0; places && name < names.count; name++, rows++) {
            refs[rows] = name;
            tiers[rows] = UMBP_TIER_DRAM;
            sizes[rows] = 10;
        }
    }
    msg.lookup_ok.topo_epoch = route_shard_epoch;
    msg.lookup_ok.untold = words (&route_untold_words, route_untold);
    msg.lookup_ok.found = (umbp_u8s_t) { found, count };
    msg.lookup_ok.refs = (umbp_u16s_t) { refs, rows };
    msg.lookup_ok.tiers = (umbp_u8s_t) { tiers, rows };
    msg.lookup_ok.sizes = (umbp_u32s_t) { sizes, rows };
    if (places)
        msg.lookup_ok.nodes = names;
    asked_answer (asked, &msg, NULL, 0);
}

//  Answer a lease: all items with this status; those that are there have 10 bytes, in the payload
//  if it may be so, else in one page of this number
static inline void route_leased (asked_t *asked, int status, uint32_t page)
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
        .lease = rows ? 1000 + page : 0, .page_size = 4096, .ttl_ms = 100,
        .bulk = umbp_text ("x:1"),
    };
    char payload[2560];
    for (uint32_t index = 0; index < count; index++)
        memcpy (payload + index * 10, "0123456789", 10);
    asked_answer (asked, &msg, payload, fits ? 10 * count : 0);
}

//  Answer a reservation: all items with this status, in pages from this number on
static inline void route_reserved (asked_t *asked, int status, uint32_t page)
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
        .statuses = { statuses, count }, .slots = { slots, count },
        .extent_counts = { counts, count },
        .regions = { regions, rows }, .pages = { pages, rows }, .page_counts = { ones, rows },
        .generations = { ones, rows }, .page_size = 4096, .ttl_ms = 100, .bulk = umbp_text ("x:1"),
    };
    asked_answer (asked, &msg, NULL, 0);
}

static inline void route_status (asked_t *asked, int type, int8_t status)
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

//  ------------------------------------------------------------------------------------------------
//  What the client says

static inline void route_put_within (const char *keys, uint64_t session,
                                     umbp_place_strategy_t strategy, const void *payload,
                                     uint32_t deadline_ms)
{
    static uint32_t sizes[256];
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_put, 0);
    msg.put.session = session;
    msg.put.strategy = strategy;
    msg.put.keys = words (&route_words, keys);
    for (size_t index = 0; index < msg.put.keys.count; index++)
        sizes[index] = 10;
    msg.put.sizes = (umbp_u32s_t) { sizes, msg.put.keys.count };
    asker_say (&route_client, &msg, payload, payload ? 10 * msg.put.keys.count : 0, deadline_ms);
}

static inline void route_put (const char *keys, uint64_t session, umbp_place_strategy_t strategy,
                              const void *payload)
{
    route_put_within (keys, session, strategy, payload, DEADLINE_MS);
}

static inline int route_put_status (size_t index)
{
    return umbp_s8s_at (route_client.msg.put_ok.statuses, index);
}

static inline void route_get (const char *keys, uint64_t session, uint64_t inline_max,
                              const char *avoid)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_get, 0);
    msg.get.session = session;
    msg.get.inline_max = inline_max;
    msg.get.keys = words (&route_words, keys);
    msg.get.avoid = words (&route_more_words, avoid);
    asker_say (&route_client, &msg, NULL, 0, DEADLINE_MS);
}

static inline int route_get_status (size_t index)
{
    return umbp_s8s_at (route_client.msg.get_ok.statuses, index);
}

//  The node that a row of the answer refers to
static inline bool route_got_from (size_t index, const char *node)
{
    return column_is (route_client.msg.get_ok.nodes,
                      umbp_u16s_at (route_client.msg.get_ok.refs, index), node);
}

static inline int route_ask (int type, const char *keys)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, (umbp_msg_type_t) type, 0);
    if (type == UMBP_MSG_exists)
        msg.exists.keys = words (&route_words, keys);
    else if (type == UMBP_MSG_where)
        msg.where.keys = words (&route_words, keys);
    else if (type == UMBP_MSG_remove)
        msg.remove.keys = words (&route_words, keys);
    return asker_say (&route_client, &msg, NULL, 0, DEADLINE_MS) > 0;
}

#endif

//  test/unit/test_manager.c - the tier manager as routers and the index see it: slots, leases, what leaves,
//  and whom it waits for. How bytes get in and out is in test_manager_bulk.c.
#include "test/unit/tier.h"

#define PAGE 4096
#define SESSION 5

static tier_t s_tier;
static uint8_t s_data[64 * PAGE];
static uint64_t s_seed;

static void s_start (void)
{
    tier_start (&s_tier, (tier_options_t) { 0 });
    tier_alone (&s_tier);
}

//  Two nodes: each key is known to the shards of both
static void s_start_two (void)
{
    static const crowd_t two[] = { CROWD ("a", 1, 0), CROWD ("b", 1, 0) };
    tier_start (&s_tier, (tier_options_t) { 0 });
    tier_shard (&s_tier, "b");
    tier_push (&s_tier, two, 2, 1);
    CU_ASSERT (tier_flush (&s_tier));
}

//  Its sum over all bytes of a block of some pages
static uint64_t s_sum (uint32_t size)
{
    return umbp_sum (s_data, size);
}

//  The next message to an actor that only listens
static bool s_hears (asked_t *asked, int type)
{
    int64_t end = zclock_mono () + PEER_MS;
    while (zclock_mono () < end)
        if (asked_hear (asked, 100) && asked->msg.type == type)
            return true;
    return false;
}

//  --------------------------------------------------------------------------------------------------
//  Slots

static void test_reserve_and_commit (void)
{
    s_start ();
    CU_ASSERT (tier_reserve (&s_tier, SESSION, "k1 k2", 2 * PAGE + 1) == 0);
    const umbp_msg_reserve_ok_t *ok = &s_tier.peer.msg.reserve_ok;
    CU_ASSERT (tier_reserved (&s_tier, 0) == 0 && tier_reserved (&s_tier, 1) == 0);
    CU_ASSERT (ok->extent_counts.count == 2 && ok->regions.count == 2 && ok->pages.count == 2);
    CU_ASSERT (umbp_u32s_at (ok->page_counts, 0) == 3 && ok->page_size == PAGE);
    CU_ASSERT (umbp_text_is (ok->bulk, s_tier.bulk) && ok->ttl_ms == 60000);
    uint64_t first = tier_slot (&s_tier, 0), second = tier_slot (&s_tier, 1);
    CU_ASSERT (first != 0 && second != 0 && first != second);
    CU_ASSERT (tier_gauge (&s_tier, "slots") == 2 && tier_used_pages (&s_tier) == 6);
    CU_ASSERT (tier_lease (&s_tier, SESSION, "k1", 0) == 0);
    CU_ASSERT (tier_leased (&s_tier, 0) == UMBP_ENOENT);     //  Not before it is committed
    CU_ASSERT (tier_commit (&s_tier, first, 11) == 0);
    CU_ASSERT (shard_has (&s_tier.shards[0], "k1") && !shard_has (&s_tier.shards[0], "k2"));
    tier_abort (&s_tier, second);
    CU_ASSERT (tier_commit (&s_tier, second, 11) == UMBP_ESTALE);
    CU_ASSERT (tier_used_pages (&s_tier) == 3 && tier_gauge (&s_tier, "blocks") == 1);
    tier_abort (&s_tier, second);                            //  Once more does no harm
    tier_stop (&s_tier);
}

static void test_stale_commits (void)
{
    s_start ();
    CU_ASSERT (tier_commit (&s_tier, 12345, 1) == UMBP_ESTALE);
    CU_ASSERT (tier_commit (&s_tier, 0, 1) == UMBP_ESTALE);
    uint64_t slot = tier_slot_for (&s_tier, SESSION, "k1", PAGE);
    CU_ASSERT (tier_commit (&s_tier, slot ^ UINT64_C (1) << 50, 1) == UMBP_ESTALE);
    CU_ASSERT (tier_commit (&s_tier, slot, 1) == 0);
    CU_ASSERT (tier_commit (&s_tier, slot, 1) == UMBP_ESTALE);
    //  Twice in one message: the first one counts, and the others are not disturbed
    slot = tier_slot_for (&s_tier, SESSION, "k2", PAGE);
    uint64_t slots[] = { 77, slot, slot }, sums[] = { 1, 2, 3 };
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.commit.slots = (umbp_u64s_t) { slots, 3 };
    msg.commit.sums = (umbp_u64s_t) { sums, 3 };
    CU_ASSERT (tier_ask (&s_tier, &msg) == 0);
    static const int8_t wanted[] = { UMBP_ESTALE, 0, UMBP_ESTALE };
    for (size_t index = 0; index < 3; index++)
        CU_ASSERT (umbp_s8s_at (s_tier.peer.msg.commit_ok.statuses, index) == wanted[index]);
    CU_ASSERT (tier_gauge (&s_tier, "stale_commits") == 6);
    CU_ASSERT (tier_lease (&s_tier, SESSION, "k2", 0) == 0);
    CU_ASSERT (umbp_u64s_at (s_tier.peer.msg.lease_ok.sums, 0) == 2);
    tier_release (&s_tier, s_tier.peer.msg.lease_ok.lease);
    tier_stop (&s_tier);
}

//  Both have a slot for the key: the second to commit learns that, and its pages come back
static void test_two_writers (void)
{
    s_start ();
    uint64_t first = tier_slot_for (&s_tier, 1, "key", PAGE);
    uint64_t second = tier_slot_for (&s_tier, 2, "key", 3 * PAGE);
    CU_ASSERT (first && second && tier_used_pages (&s_tier) == 4);
    CU_ASSERT (tier_commit (&s_tier, second, 1) == 0);
    CU_ASSERT (tier_commit (&s_tier, first, 1) == UMBP_EEXIST);
    CU_ASSERT (tier_used_pages (&s_tier) == 3);
    CU_ASSERT (tier_reserve (&s_tier, 3, "key other", PAGE) == 0);
    CU_ASSERT (tier_reserved (&s_tier, 0) == UMBP_EEXIST && tier_slot (&s_tier, 0) == 0);
    CU_ASSERT (tier_reserved (&s_tier, 1) == 0);
    tier_abort (&s_tier, tier_slot (&s_tier, 1));
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  Values in messages

static void test_store (void)
{
    s_start ();
    CU_ASSERT (tier_store (&s_tier, "k1", s_data, 3 * PAGE - 5) == 0);
    CU_ASSERT (tier_store (&s_tier, "k2", s_data + 77, 1) == 0);
    CU_ASSERT (tier_store (&s_tier, "k1", s_data + 1, PAGE) == UMBP_EEXIST);
    CU_ASSERT (tier_holds (&s_tier, "k1", s_data, 3 * PAGE - 5));
    CU_ASSERT (tier_holds (&s_tier, "k2", s_data + 77, 1));
    CU_ASSERT (s_tier.peer.msg.lease_ok.lease == 0);         //  What was sent need not be held
    CU_ASSERT (tier_used_pages (&s_tier) == 4 && tier_gauge (&s_tier, "put_bytes") == 3 * PAGE - 4);
    //  As many as fit are sent, the others are leased; without a session that cannot be
    CU_ASSERT (tier_lease (&s_tier, SESSION, "k1 none k2", 2 * PAGE) == 0);
    const umbp_msg_lease_ok_t *ok = &s_tier.peer.msg.lease_ok;
    CU_ASSERT (umbp_u8s_at (ok->inlined, 0) == 0 && umbp_u8s_at (ok->inlined, 2) == 1);
    CU_ASSERT (tier_leased (&s_tier, 1) == UMBP_ENOENT && s_tier.peer.payload_size == 1);
    CU_ASSERT (umbp_u32s_at (ok->sizes, 0) == 3 * PAGE - 5 && ok->lease != 0);
    CU_ASSERT (umbp_u64s_at (ok->sums, 0) == s_sum (3 * PAGE - 5));
    tier_release (&s_tier, ok->lease);
    CU_ASSERT (tier_lease (&s_tier, 0, "k1 k2", 2 * PAGE) == 0);
    CU_ASSERT (tier_leased (&s_tier, 0) == UMBP_ETOOBIG && tier_leased (&s_tier, 1) == 0);
    tier_stop (&s_tier);
}

//  A sum that the bytes do not have: not kept, and its neighbours are
static void test_store_bad_sum (void)
{
    static words_t column;
    uint32_t sizes[] = { 10, 10, 10 };
    uint64_t sums[] = { umbp_sum (s_data, 10), 1, umbp_sum (s_data + 20, 10) };
    s_start ();
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_store, 0);
    msg.store.keys = words (&column, "k1 k2 k3");
    msg.store.sizes = (umbp_u32s_t) { sizes, 3 };
    msg.store.sums = (umbp_u64s_t) { sums, 3 };
    CU_ASSERT (tier_ask_with (&s_tier, &msg, s_data, 30, PEER_MS) == 0);
    static const int8_t wanted[] = { 0, UMBP_ECHECKSUM, 0 };
    for (size_t index = 0; index < 3; index++)
        CU_ASSERT (umbp_s8s_at (s_tier.peer.msg.store_ok.statuses, index) == wanted[index]);
    CU_ASSERT (tier_holds (&s_tier, "k3", s_data + 20, 10));
    CU_ASSERT (tier_gauge (&s_tier, "bad_checksums") == 1 && tier_used_pages (&s_tier) == 2);
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  Bad input: each has its error, and nothing is lost by it

static void test_bad_sizes (void)
{
    s_start ();
    CU_ASSERT (tier_reserve (&s_tier, SESSION, "k1", 0) == 0);
    CU_ASSERT (tier_reserved (&s_tier, 0) == UMBP_EINVAL && tier_slot (&s_tier, 0) == 0);
    CU_ASSERT (tier_reserve (&s_tier, SESSION, "k1", UINT32_MAX) == 0);
    CU_ASSERT (tier_reserved (&s_tier, 0) == UMBP_ENOSPC);
    CU_ASSERT (tier_reserve (&s_tier, 0, "k1", PAGE) == UMBP_EINVAL);          //  Who would write?
    CU_ASSERT (tier_store (&s_tier, "k1", s_data, 0) == UMBP_EINVAL);
    tier_stop (&s_tier);
}

static void test_bad_messages (void)
{
    static words_t column;
    static uint8_t long_key[UMBP_SCOPED_KEY_MAX + 1];
    uint32_t sizes[] = { 10, 20 };
    uint64_t sums[] = { 1, 2 };
    s_start ();
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_store, 0);
    msg.store.keys = words (&column, "k1 k2");
    msg.store.sizes = (umbp_u32s_t) { sizes, 2 };
    msg.store.sums = (umbp_u64s_t) { sums, 2 };
    CU_ASSERT (tier_ask_with (&s_tier, &msg, s_data, 29, PEER_MS) == UMBP_EINVAL);
    CU_ASSERT (tier_ask_with (&s_tier, &msg, s_data, 31, PEER_MS) == UMBP_EINVAL);
    CU_ASSERT (tier_ask (&s_tier, &msg) == UMBP_EINVAL);
    CU_ASSERT (s_tier.peer.msg.type == UMBP_MSG_refused && tier_gauge (&s_tier, "EINVAL") == 3);
    CU_ASSERT (tier_ask_with (&s_tier, &msg, s_data, UMBP_INLINE_MAX + 1, PEER_MS) == UMBP_ETOOBIG);
    uint64_t malformed = tier_gauge (&s_tier, "malformed");
    msg.store.sizes.count = 1;                               //  Fewer sizes than keys
    CU_ASSERT (tier_ask_with (&s_tier, &msg, s_data, 10, PEER_MS) < 0);
    umbp_msg_init (&msg, UMBP_MSG_drop, 0);
    memset (&column.column, 0, sizeof column.column);
    words_add (&column, long_key, sizeof long_key);
    msg.drop.keys = column.column;
    CU_ASSERT (tier_ask (&s_tier, &msg) < 0);
    memset (&column.column, 0, sizeof column.column);
    words_add (&column, "", 0);
    column.column.bytes = column.bytes;
    msg.drop.keys = column.column;
    CU_ASSERT (tier_ask (&s_tier, &msg) < 0);
    CU_ASSERT (tier_gauge (&s_tier, "malformed") == malformed + 3);
    umbp_msg_init (&msg, UMBP_MSG_attach, 0);                //  Not through a door
    msg.attach.session = SESSION;
    CU_ASSERT (tier_ask (&s_tier, &msg) == UMBP_ENOTSUP);
    umbp_msg_init (&msg, UMBP_MSG_get, 0);                   //  A router's
    msg.get.keys = words (&column, "k1");
    CU_ASSERT (tier_ask (&s_tier, &msg) == UMBP_ENOTSUP);
    uint64_t unknown[] = { 1, 2, UINT64_MAX };
    umbp_msg_init (&msg, UMBP_MSG_release, 0);
    msg.release.leases = (umbp_u64s_t) { unknown, 3 };
    CU_ASSERT (tier_ask (&s_tier, &msg) == 0);
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  Leases

//  A dropped block is found no more, and its pages are nobody else's until the last lease is over
static void test_lease_keeps_pages (void)
{
    s_start ();
    CU_ASSERT (tier_store (&s_tier, "key", s_data, 3 * PAGE) == 0);
    CU_ASSERT (tier_lease (&s_tier, 1, "key key", 0) == 0);
    uint64_t first = s_tier.peer.msg.lease_ok.lease;
    CU_ASSERT (s_tier.peer.msg.lease_ok.regions.count == 2);
    CU_ASSERT (tier_lease (&s_tier, 2, "key", 0) == 0);
    uint64_t second = s_tier.peer.msg.lease_ok.lease;
    CU_ASSERT (first && second && first != second && tier_gauge (&s_tier, "leases") == 2);
    CU_ASSERT (tier_drop (&s_tier, "key") == 0 && tier_drop (&s_tier, "key") == UMBP_ENOENT);
    CU_ASSERT (tier_flush (&s_tier) && !shard_has (&s_tier.shards[0], "key"));
    CU_ASSERT (tier_used_pages (&s_tier) == 3 && tier_gauge (&s_tier, "doomed_blocks") == 1);
    CU_ASSERT (tier_store (&s_tier, "key", s_data + 9, PAGE) == 0);
    CU_ASSERT (tier_holds (&s_tier, "key", s_data + 9, PAGE));
    CU_ASSERT (tier_used_pages (&s_tier) == 4);
    tier_release (&s_tier, first);
    tier_release (&s_tier, first);
    CU_ASSERT (tier_used_pages (&s_tier) == 4);
    tier_release (&s_tier, second);
    CU_ASSERT (tier_used_pages (&s_tier) == 1 && tier_gauge (&s_tier, "leases") == 0);
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  Waiting for the index

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
    s_start_two ();
    for (int silent = 0; silent < 2; silent++) {
        s_tier.shards[silent].silent = true;
        int64_t began = zclock_mono ();
        CU_ASSERT (tier_store (&s_tier, silent ? "k1" : "k2", s_data, PAGE) == 0);
        CU_ASSERT (zclock_mono () - began < PEER_MS / 2);
        CU_ASSERT (shard_has (&s_tier.shards[!silent], silent ? "k1" : "k2"));
        s_tier.shards[silent].silent = false;
        CU_ASSERT (tier_flush (&s_tier));                    //  It is told again
        CU_ASSERT (shard_has (&s_tier.shards[silent], silent ? "k1" : "k2"));
    }
    CU_ASSERT (tier_gauge (&s_tier, "announce_repeats") >= 1);
    CU_ASSERT (s_tier.shards[0].accounts == 1 && s_tier.shards[1].accounts == 1);
    tier_stop (&s_tier);
}

//  While a ring is not settled a put is done when owners in the old one and in the new one have heard of it
static void test_both_rings (void)
{
    static const crowd_t one[] = { CROWD ("a", 1, 0) };
    static const crowd_t both[] = { CROWD ("a", 1, 0), CROWD ("b", 1, 0), CROWD ("c", 1, 0) };
    tier_start (&s_tier, (tier_options_t) { 0 });
    tier_shard (&s_tier, "b");
    tier_shard (&s_tier, "c");
    tier_push (&s_tier, one, 1, 1);
    CU_ASSERT (tier_flush (&s_tier));
    CU_ASSERT (tier_store (&s_tier, "old", s_data, PAGE) == 0);
    crowd_unsettled = true;
    tier_push (&s_tier, both, 3, 2);
    CU_ASSERT (tier_flush (&s_tier) && tier_gauge (&s_tier, "rings_told") == 2);
    umbp_topology_t *topology = crowd_new (both, 3, "a", 2);
    char key[16];                       //  One that a, the owner of all until now, need not know in the new ring
    uint16_t owners[UMBP_COPIES_MAX] = { 0 };
    for (int number = 0; owners[0] == 0 || owners[1] == 0; number++) {
        snprintf (key, sizeof key, "k%d", number);
        uint64_t at = umbp_ring_position (umbp_topology_ring (topology), key, strlen (key));
        CU_ASSERT (umbp_topology_owners (topology, at, owners) == 2);
    }
    umbp_topology_destroy (&topology);
    s_tier.shards[0].silent = true;
    CU_ASSERT (tier_store_as (&s_tier, key, s_data, PAGE, false, false, 400) == UMBP_EUNREACH);
    CU_ASSERT (shard_has (&s_tier.shards[1], key) && shard_has (&s_tier.shards[2], key));
    s_tier.shards[0].silent = false;
    CU_ASSERT (tier_drop (&s_tier, key) == 0 && tier_flush (&s_tier));
    CU_ASSERT (tier_store (&s_tier, key, s_data, PAGE) == 0);
    CU_ASSERT (shard_has (&s_tier.shards[0], key) && tier_flush (&s_tier));
    CU_ASSERT (shard_has (&s_tier.shards[0], "old"));
    crowd_unsettled = false;
    tier_push (&s_tier, both, 3, 2);    //  Now everybody works with the new one
    CU_ASSERT (tier_settle (&s_tier));
    CU_ASSERT (!shard_has (&s_tier.shards[0], key) && shard_has (&s_tier.shards[1], key));
    s_tier.shards[0].silent = true;
    CU_ASSERT (tier_drop (&s_tier, key) == 0);
    CU_ASSERT (tier_store_as (&s_tier, key, s_data, PAGE, false, false, 400) == 0);
    s_tier.shards[0].silent = false;
    CU_ASSERT (tier_flush (&s_tier));
    tier_stop (&s_tier);
}

//  Of two that write the same key the first owner's choice wins: its word is waited for, but not for long
static void test_first_owner_is_waited_for (void)
{
    s_start_two ();
    int first = s_primary ("key");
    s_tier.shards[first].silent = true;
    int64_t began = zclock_mono ();
    CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0);
    CU_ASSERT (zclock_mono () - began >= 200);
    began = zclock_mono ();             //  It is known to be slow by now
    for (int number = 0; number < 20; number++)
        CU_ASSERT (tier_drop (&s_tier, "key") == 0
                   && tier_store (&s_tier, "key", s_data, PAGE) == 0);
    CU_ASSERT (zclock_mono () - began < 40 * 200);
    s_tier.shards[first].silent = false;
    CU_ASSERT (tier_flush (&s_tier) && shard_has (&s_tier.shards[first], "key"));
    tier_stop (&s_tier);
}

//  A drop is answered when the shards have heard of it: who asks them then finds nothing
static void test_drop_is_heard (void)
{
    s_start_two ();
    for (int number = 0; number < 50; number++) {
        CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0);
        CU_ASSERT (tier_drop (&s_tier, "key") == 0);
        CU_ASSERT (!shard_has (&s_tier.shards[0], "key") && !shard_has (&s_tier.shards[1], "key"));
    }
    tier_stop (&s_tier);
}

//  No shard speaks in time: the block is there, which is said as "unreachable"; but nowait does not wait
static void test_no_shard_answers (void)
{
    s_start_two ();
    s_tier.shards[0].silent = s_tier.shards[1].silent = true;
    CU_ASSERT (tier_store_as (&s_tier, "k1", s_data, PAGE, false, false, 200) == UMBP_EUNREACH);
    CU_ASSERT (s_tier.peer.msg.status == 0);
    CU_ASSERT (tier_store_as (&s_tier, "k2", s_data, PAGE, true, false, 200) == 0);
    uint64_t slot = tier_slot_for (&s_tier, SESSION, "k3", PAGE);
    CU_ASSERT (tier_commit_as (&s_tier, slot, 1, true, false, 200) == 0);
    slot = tier_slot_for (&s_tier, SESSION, "k4", PAGE);
    CU_ASSERT (tier_commit_as (&s_tier, slot, 1, false, false, 200) == UMBP_EUNREACH);
    CU_ASSERT (tier_holds (&s_tier, "k1", s_data, PAGE) && tier_gauge (&s_tier, "blocks") == 4);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_flush, 0);
    CU_ASSERT (tier_ask_with (&s_tier, &msg, NULL, 0, 100) == UMBP_ETIMEDOUT);
    s_tier.shards[0].silent = s_tier.shards[1].silent = false;
    CU_ASSERT (tier_flush (&s_tier));
    for (int shard = 0; shard < 2; shard++)
        CU_ASSERT (s_tier.shards[shard].held == 4 && shard_has (&s_tier.shards[shard], "k1"));
    tier_stop (&s_tier);
}

//  However many commits there are of which a dead shard never speaks, they do not use up the places of others
static void test_many_unheard (void)
{
    s_start_two ();
    s_tier.shards[1].silent = true;
    for (int number = 0; number < 2 * 1024; number++)
        CU_ASSERT_FATAL (tier_store (&s_tier, "key", s_data, PAGE) == 0
                         && tier_drop (&s_tier, "key") == 0);
    s_tier.shards[1].silent = false;
    CU_ASSERT (tier_flush (&s_tier) && s_tier.shards[1].held == 0);
    tier_stop (&s_tier);
}

//  Nobody was told before there is a topology; everybody is, once there is one
static void test_before_the_topology (void)
{
    tier_start (&s_tier, (tier_options_t) { 0 });
    CU_ASSERT (tier_store (&s_tier, "k1", s_data, PAGE) == 0);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_flush, 0);
    CU_ASSERT (tier_ask_with (&s_tier, &msg, NULL, 0, 50) == UMBP_ETIMEDOUT);
    tier_alone (&s_tier);
    CU_ASSERT (shard_has (&s_tier.shards[0], "k1"));
    tier_stop (&s_tier);
}

//  What the first owner says of a copy decides; the other's word does not
static void test_verdicts (void)
{
    static const struct { int verdict; bool keep; int status, kept; } cases[] = {
        { UMBP_EEXIST, false, UMBP_EEXIST, false }, { UMBP_EEXIST, true, 0, true },
        { UMBP_ECHECKSUM, false, UMBP_EEXIST, false }, { UMBP_ECHECKSUM, true, UMBP_EEXIST, false },
        { UMBP_ENOSPC, false, 0, true },
    };
    s_start_two ();
    for (size_t index = 0; index < COUNT_OF (cases); index++) {
        char key[16];
        snprintf (key, sizeof key, "key%zu", index);
        shard_t *first = &s_tier.shards[s_primary (key)], *other = &s_tier.shards[!s_primary (key)];
        other->silent = true;                                //  Else its word may come first
        first->verdict = cases[index].verdict;
        int rc = tier_store_as (&s_tier, key, s_data, PAGE, false, cases[index].keep, PEER_MS);
        CU_ASSERT (rc == cases[index].status);
        CU_ASSERT (tier_holds (&s_tier, key, s_data, PAGE) == cases[index].kept);
        other->silent = false;
        first->verdict = 0;
        CU_ASSERT (tier_flush (&s_tier));
        CU_ASSERT (shard_has (first, key) == cases[index].kept);
        CU_ASSERT (shard_has (other, key) == cases[index].kept);
        CU_ASSERT (tier_drop (&s_tier, key) == (cases[index].kept ? 0 : UMBP_ENOENT));
        CU_ASSERT (tier_flush (&s_tier));
        other->verdict = UMBP_ECHECKSUM;
        CU_ASSERT (tier_store_as (&s_tier, key, s_data, PAGE, false, false, PEER_MS) == 0);
        CU_ASSERT (tier_flush (&s_tier) && tier_holds (&s_tier, key, s_data, PAGE));
        other->verdict = 0;
    }
    CU_ASSERT (tier_gauge (&s_tier, "conflicts") == 2);
    tier_stop (&s_tier);
}

//  Two nodes held other bytes under one key while they could not see each other. When the first owner is given a full
//  account it knows better, and the block goes.
static void test_verdict_on_account (void)
{
    s_start_two ();
    shard_t *first = &s_tier.shards[s_primary ("key")];
    CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0 && tier_flush (&s_tier));
    first->verdict = UMBP_ECHECKSUM;
    first->begun = false;               //  It forgot us
    CU_ASSERT (tier_store_as (&s_tier, "other", s_data, PAGE, true, true, PEER_MS) == 0);
    CU_ASSERT (tier_flush (&s_tier) && tier_drop (&s_tier, "key") == UMBP_ENOENT);
    first->verdict = 0;
    tier_drop (&s_tier, "other");
    tier_stop (&s_tier);
}

//  The word of the first owner comes after the answer was given: it still counts
static void test_late_verdict (void)
{
    s_start_two ();
    shard_t *first = &s_tier.shards[s_primary ("key")];
    first->silent = true;
    CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0);
    first->silent = false;
    first->verdict = UMBP_ECHECKSUM;
    CU_ASSERT (tier_becomes (&s_tier, "blocks", 0));
    CU_ASSERT (tier_flush (&s_tier) && tier_gauge (&s_tier, "conflicts") == 1);
    CU_ASSERT (!shard_has (&s_tier.shards[0], "key") && !shard_has (&s_tier.shards[1], "key"));
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  What leaves

static void test_full (void)
{
    s_start ();
    CU_ASSERT (s_hears (&s_tier.registry, UMBP_MSG_capacity));
    uint32_t total = TIER_REGIONS * s_tier.pages;
    CU_ASSERT (s_tier.registry.msg.capacity.total == total * PAGE);
    CU_ASSERT (s_tier.registry.msg.capacity.tier == UMBP_TIER_DRAM);
    uint64_t slot = tier_slot_for (&s_tier, SESSION, "large", (total - 2) * PAGE);
    CU_ASSERT (tier_reserve (&s_tier, SESSION, "k1", 3 * PAGE) == 0);
    CU_ASSERT (tier_reserved (&s_tier, 0) == UMBP_EAGAIN);
    CU_ASSERT (s_hears (&s_tier.eviction, UMBP_MSG_pressure));
    const umbp_msg_pressure_t *pressure = &s_tier.eviction.msg.pressure;
    CU_ASSERT (pressure->tier == UMBP_TIER_DRAM && pressure->total == total * PAGE);
    CU_ASSERT (pressure->used == (total - 2) * PAGE);
    while (s_tier.eviction.msg.pressure.need == 0)           //  The tick may have told it before
        CU_ASSERT_FATAL (s_hears (&s_tier.eviction, UMBP_MSG_pressure));
    CU_ASSERT (s_tier.eviction.msg.pressure.need == 3 * PAGE);
    CU_ASSERT (tier_store (&s_tier, "k2", s_data, 3 * PAGE) == UMBP_EAGAIN);
    CU_ASSERT (tier_gauge (&s_tier, "full") == 2);
    tier_abort (&s_tier, slot);
    CU_ASSERT (tier_store (&s_tier, "k2", s_data, 3 * PAGE) == 0);
    tier_stop (&s_tier);
}

//  Eviction is not told twice in a moment; but what was too large in that moment is told after it
static void test_full_twice (void)
{
    s_start ();
    uint32_t total = TIER_REGIONS * s_tier.pages;
    uint64_t slot = tier_slot_for (&s_tier, SESSION, "large", (total - 2) * PAGE);
    for (uint32_t pages = 3; pages < 40; pages += 2) {
        CU_ASSERT (tier_reserve (&s_tier, SESSION, "k1", pages * PAGE) == 0);
        CU_ASSERT (tier_reserve (&s_tier, SESSION, "k2", (pages + 1) * PAGE) == 0);
        uint64_t need = 0;
        for (int64_t end = zclock_mono () + PEER_MS; need <= pages * PAGE && zclock_mono () < end;)
            if (asked_hear (&s_tier.eviction, 100) && s_tier.eviction.msg.type == UMBP_MSG_pressure)
                need = s_tier.eviction.msg.pressure.need;
        CU_ASSERT (need == (pages + 1) * PAGE);
        if (need == 0)
            break;
    }
    tier_abort (&s_tier, slot);
    tier_stop (&s_tier);
}

//  Some at a time, oldest first; what is leased stays
static void test_evict (void)
{
    tier_start (&s_tier, (tier_options_t) { .pages = 512 });
    tier_alone (&s_tier);
    char key[16];
    for (int number = 0; number < 600; number++) {
        snprintf (key, sizeof key, "key%d", number);
        CU_ASSERT (tier_store_as (&s_tier, key, s_data, PAGE, true, false, PEER_MS) == 0);
    }
    CU_ASSERT (tier_lease (&s_tier, SESSION, "key0", 0) == 0);
    uint64_t lease = s_tier.peer.msg.lease_ok.lease;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = UMBP_TIER_DRAM;
    msg.evict.bytes = 3 * PAGE - 1;
    CU_ASSERT (tier_ask (&s_tier, &msg) == 0);
    CU_ASSERT (s_tier.peer.msg.evict_ok.bytes == 3 * PAGE && s_tier.peer.msg.evict_ok.blocks == 3);
    CU_ASSERT (tier_holds (&s_tier, "key0", s_data, PAGE)
               && tier_holds (&s_tier, "key4", s_data, PAGE));
    CU_ASSERT (!tier_holds (&s_tier, "key1", s_data, PAGE)
               && !tier_holds (&s_tier, "key3", s_data, PAGE));
    uint64_t left = 597, steps = 0;
    msg.evict.bytes = UINT64_MAX;
    do {
        CU_ASSERT (tier_ask (&s_tier, &msg) == 0);
        CU_ASSERT (s_tier.peer.msg.evict_ok.blocks <= 256);
        left -= s_tier.peer.msg.evict_ok.blocks;
        steps++;
    } while (s_tier.peer.msg.evict_ok.blocks > 0);
    CU_ASSERT (left == 1 && steps >= 4 && tier_holds (&s_tier, "key0", s_data, PAGE));
    CU_ASSERT (tier_flush (&s_tier) && s_tier.shards[0].held == 1);
    CU_ASSERT (tier_gauge (&s_tier, "evicted") == 599);
    tier_release (&s_tier, lease);
    tier_stop (&s_tier);
}

static void test_wipe (void)
{
    s_start ();
    CU_ASSERT (tier_store (&s_tier, "k1", s_data, 2 * PAGE) == 0);
    CU_ASSERT (tier_store (&s_tier, "k2", s_data, PAGE - 1) == 0);
    uint64_t slot = tier_slot_for (&s_tier, SESSION, "k3", PAGE);
    CU_ASSERT (tier_lease (&s_tier, SESSION, "k1", 0) == 0);
    uint64_t lease = s_tier.peer.msg.lease_ok.lease;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_wipe, 0);
    CU_ASSERT (tier_ask (&s_tier, &msg) == 0);
    CU_ASSERT (s_tier.peer.msg.wipe_ok.blocks == 2
               && s_tier.peer.msg.wipe_ok.bytes == 3 * PAGE - 1);
    CU_ASSERT (tier_used_pages (&s_tier) == 3);              //  The leased block and the slot
    tier_release (&s_tier, lease);
    CU_ASSERT (tier_commit (&s_tier, slot, 1) == 0);         //  Slots are no blocks
    CU_ASSERT (tier_used_pages (&s_tier) == 1 && tier_flush (&s_tier));
    CU_ASSERT (s_tier.shards[0].held == 1 && shard_has (&s_tier.shards[0], "k3"));
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  Anything, for a while, against a list of what should be there

#define KEYS 24
#define OPEN 12

static struct { bool there; uint32_t size; } s_model[KEYS];
static struct { uint64_t token; int key; uint32_t size; } s_open[OPEN];
static uint64_t s_held[OPEN];

static void s_do_slot (uint64_t drawn)
{
    size_t place = drawn % OPEN;
    char key[16];
    snprintf (key, sizeof key, "%d", (int) (drawn >> 8) % KEYS);
    if (s_open[place].token) {
        int number = s_open[place].key;
        int rc = tier_commit_as (&s_tier, s_open[place].token, 1, true, false, PEER_MS);
        CU_ASSERT_FATAL (rc == (s_model[number].there ? UMBP_EEXIST : 0));
        if (rc == 0) {
            s_model[number].there = true;
            s_model[number].size = s_open[place].size;
        }
        s_open[place].token = 0;
        return;
    }
    uint32_t size = 1 + (uint32_t) (drawn >> 20) % (6 * PAGE);
    CU_ASSERT_FATAL (tier_reserve (&s_tier, 1 + place, key, size) == 0);
    int rc = tier_reserved (&s_tier, 0);
    CU_ASSERT_FATAL (rc == (s_model[atoi (key)].there ? UMBP_EEXIST : 0) || rc == UMBP_EAGAIN);
    if (rc == 0) {
        s_open[place].token = tier_slot (&s_tier, 0);
        s_open[place].key = atoi (key);
        s_open[place].size = size;
    }
}

static void s_do_lease (uint64_t drawn)
{
    size_t place = drawn % OPEN;
    if (s_held[place]) {
        tier_release (&s_tier, s_held[place]);
        s_held[place] = 0;
        return;
    }
    char key[16];
    int number = (int) (drawn >> 8) % KEYS;
    snprintf (key, sizeof key, "%d", number);
    CU_ASSERT_FATAL (tier_lease (&s_tier, 1, key, 0) == 0);
    CU_ASSERT_FATAL (tier_leased (&s_tier, 0) == (s_model[number].there ? 0 : UMBP_ENOENT));
    if (s_model[number].there)
        CU_ASSERT_FATAL (umbp_u32s_at (s_tier.peer.msg.lease_ok.sizes, 0) == s_model[number].size);
    s_held[place] = s_tier.peer.msg.lease_ok.lease;
}

static void s_do_drop (uint64_t drawn)
{
    char key[16];
    int number = (int) (drawn >> 8) % KEYS;
    snprintf (key, sizeof key, "%d", number);
    CU_ASSERT_FATAL (tier_drop (&s_tier, key) == (s_model[number].there ? 0 : UMBP_ENOENT));
    s_model[number].there = false;
}

static void test_random (void)
{
    uint64_t state = s_seed;
    printf ("(seed %llu) ", (unsigned long long) s_seed);
    tier_start (&s_tier, (tier_options_t) { .pages = 40 });
    tier_alone (&s_tier);
    for (int step = 0; step < 4000; step++) {
        uint64_t drawn = umbp_splitmix (&state);
        unsigned choice = (unsigned) (drawn >> 60);
        if (choice < 8)
            s_do_slot (drawn & UINT32_MAX);
        else if (choice < 13)
            s_do_lease (drawn & UINT32_MAX);
        else
            s_do_drop (drawn & UINT32_MAX);
    }
    CU_ASSERT (tier_flush (&s_tier));
    for (int number = 0; number < KEYS; number++) {
        char key[16];
        snprintf (key, sizeof key, "%d", number);
        CU_ASSERT (shard_has (&s_tier.shards[0], key) == s_model[number].there);
    }
    for (size_t place = 0; place < OPEN; place++) {
        if (s_open[place].token)
            tier_abort (&s_tier, s_open[place].token);
        tier_release (&s_tier, s_held[place]);
    }
    tier_stop (&s_tier);
}

int main (void)
{
    alarm (200);
    zsys_init ();
    s_seed = (uint64_t) zclock_usecs ();
    for (size_t index = 0; index < sizeof s_data; index++)
        s_data[index] = (uint8_t) (index * 131 + index / 251);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("manager", NULL, NULL);
    CU_ADD_TEST (suite, test_reserve_and_commit);
    CU_ADD_TEST (suite, test_stale_commits);
    CU_ADD_TEST (suite, test_two_writers);
    CU_ADD_TEST (suite, test_store);
    CU_ADD_TEST (suite, test_store_bad_sum);
    CU_ADD_TEST (suite, test_bad_sizes);
    CU_ADD_TEST (suite, test_bad_messages);
    CU_ADD_TEST (suite, test_lease_keeps_pages);
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
    CU_ADD_TEST (suite, test_full);
    CU_ADD_TEST (suite, test_full_twice);
    CU_ADD_TEST (suite, test_evict);
    CU_ADD_TEST (suite, test_wipe);
    CU_ADD_TEST (suite, test_random);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

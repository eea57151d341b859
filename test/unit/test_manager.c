//  test/unit/test_manager.c - the tier manager as routers see it: slots, leases, what leaves. Whom of the
//  index it waits for is in test_manager_index.c, how bytes get in and out in test_manager_bulk.c.
#include "test/unit/manager.h"

static uint64_t s_seed;

//  --------------------------------------------------------------------------------------------------
//  Slots

static void test_reserve_and_commit (void)
{
    manager_start ();
    CU_ASSERT (tier_reserve (&manager_tier, SESSION, "k1 k2", 2 * PAGE + 1) == 0);
    const umbp_msg_reserve_ok_t *ok = &manager_tier.peer.msg.reserve_ok;
    CU_ASSERT (tier_reserved (&manager_tier, 0) == 0 && tier_reserved (&manager_tier, 1) == 0);
    CU_ASSERT (ok->extent_counts.count == 2 && ok->regions.count == 2 && ok->pages.count == 2);
    CU_ASSERT (umbp_u32s_at (ok->page_counts, 0) == 3 && ok->page_size == PAGE);
    CU_ASSERT (umbp_text_is (ok->bulk, manager_tier.bulk) && ok->ttl_ms == 60000);
    uint64_t first = tier_slot (&manager_tier, 0), second = tier_slot (&manager_tier, 1);
    CU_ASSERT (first != 0 && second != 0 && first != second);
    CU_ASSERT (tier_gauge (&manager_tier, "slots") == 2 && tier_used_pages (&manager_tier) == 6);
    CU_ASSERT (tier_lease (&manager_tier, SESSION, "k1", 0) == 0);
    CU_ASSERT (tier_leased (&manager_tier, 0) == UMBP_ENOENT);     //  Not before it is committed
    CU_ASSERT (tier_commit (&manager_tier, first, 11) == 0);
    CU_ASSERT (shard_has (&manager_tier.shards[0], "k1")
               && !shard_has (&manager_tier.shards[0], "k2"));
    tier_abort (&manager_tier, second);
    CU_ASSERT (tier_commit (&manager_tier, second, 11) == UMBP_ESTALE);
    CU_ASSERT (tier_used_pages (&manager_tier) == 3 && tier_gauge (&manager_tier, "blocks") == 1);
    tier_abort (&manager_tier, second);                            //  Once more does no harm
    tier_stop (&manager_tier);
}

static void test_stale_commits (void)
{
    manager_start ();
    CU_ASSERT (tier_commit (&manager_tier, 12345, 1) == UMBP_ESTALE);
    CU_ASSERT (tier_commit (&manager_tier, 0, 1) == UMBP_ESTALE);
    uint64_t slot = tier_slot_for (&manager_tier, SESSION, "k1", PAGE);
    CU_ASSERT (tier_commit (&manager_tier, slot ^ UINT64_C (1) << 50, 1) == UMBP_ESTALE);
    CU_ASSERT (tier_commit (&manager_tier, slot, 1) == 0);
    CU_ASSERT (tier_commit (&manager_tier, slot, 1) == UMBP_ESTALE);
    //  Twice in one message: the first one counts, and the others are not disturbed
    slot = tier_slot_for (&manager_tier, SESSION, "k2", PAGE);
    uint64_t slots[] = { 77, slot, slot }, sums[] = { 1, 2, 3 };
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.commit.slots = (umbp_u64s_t) { slots, 3 };
    msg.commit.sums = (umbp_u64s_t) { sums, 3 };
    CU_ASSERT (tier_ask (&manager_tier, &msg) == 0);
    static const int8_t wanted[] = { UMBP_ESTALE, 0, UMBP_ESTALE };
    for (size_t index = 0; index < 3; index++)
        CU_ASSERT (umbp_s8s_at (manager_tier.peer.msg.commit_ok.statuses, index) == wanted[index]);
    CU_ASSERT (tier_gauge (&manager_tier, "stale_commits") == 6);
    CU_ASSERT (tier_lease (&manager_tier, SESSION, "k2", 0) == 0);
    CU_ASSERT (umbp_u64s_at (manager_tier.peer.msg.lease_ok.sums, 0) == 2);
    tier_release (&manager_tier, manager_tier.peer.msg.lease_ok.lease);
    tier_stop (&manager_tier);
}

//  Both have a slot for the key: the second to commit learns that, and its pages come back
static void test_two_writers (void)
{
    manager_start ();
    uint64_t first = tier_slot_for (&manager_tier, 1, "key", PAGE);
    uint64_t second = tier_slot_for (&manager_tier, 2, "key", 3 * PAGE);
    CU_ASSERT (first && second && tier_used_pages (&manager_tier) == 4);
    CU_ASSERT (tier_commit (&manager_tier, second, 1) == 0);
    CU_ASSERT (tier_commit (&manager_tier, first, 1) == UMBP_EEXIST);
    CU_ASSERT (tier_used_pages (&manager_tier) == 3);
    CU_ASSERT (tier_reserve (&manager_tier, 3, "key other", PAGE) == 0);
    CU_ASSERT (tier_reserved (&manager_tier, 0) == UMBP_EEXIST
               && tier_slot (&manager_tier, 0) == 0);
    CU_ASSERT (tier_reserved (&manager_tier, 1) == 0);
    tier_abort (&manager_tier, tier_slot (&manager_tier, 1));
    tier_stop (&manager_tier);
}

//  --------------------------------------------------------------------------------------------------
//  Values in messages

static void test_store (void)
{
    manager_start ();
    CU_ASSERT (tier_store (&manager_tier, "k1", manager_data, 3 * PAGE - 5) == 0);
    CU_ASSERT (tier_store (&manager_tier, "k2", manager_data + 77, 1) == 0);
    CU_ASSERT (tier_store (&manager_tier, "k1", manager_data + 1, PAGE) == UMBP_EEXIST);
    CU_ASSERT (tier_holds (&manager_tier, "k1", manager_data, 3 * PAGE - 5));
    CU_ASSERT (tier_holds (&manager_tier, "k2", manager_data + 77, 1));
    CU_ASSERT (manager_tier.peer.msg.lease_ok.lease == 0);         //  What was sent need not be held
    CU_ASSERT (tier_used_pages (&manager_tier) == 4
               && tier_gauge (&manager_tier, "put_bytes") == 3 * PAGE - 4);
    //  As many as fit are sent, the others are leased; without a session that cannot be
    CU_ASSERT (tier_lease (&manager_tier, SESSION, "k1 none k2", 2 * PAGE) == 0);
    const umbp_msg_lease_ok_t *ok = &manager_tier.peer.msg.lease_ok;
    CU_ASSERT (umbp_u8s_at (ok->inlined, 0) == 0 && umbp_u8s_at (ok->inlined, 2) == 1);
    CU_ASSERT (tier_leased (&manager_tier, 1) == UMBP_ENOENT
               && manager_tier.peer.payload_size == 1);
    CU_ASSERT (umbp_u32s_at (ok->sizes, 0) == 3 * PAGE - 5 && ok->lease != 0);
    CU_ASSERT (umbp_u64s_at (ok->sums, 0) == manager_sum (3 * PAGE - 5));
    tier_release (&manager_tier, ok->lease);
    CU_ASSERT (tier_lease (&manager_tier, 0, "k1 k2", 2 * PAGE) == 0);
    CU_ASSERT (tier_leased (&manager_tier, 0) == UMBP_ETOOBIG
               && tier_leased (&manager_tier, 1) == 0);
    tier_stop (&manager_tier);
}

//  A sum that the bytes do not have: not kept, and its neighbours are
static void test_store_bad_sum (void)
{
    static words_t column;
    uint32_t sizes[] = { 10, 10, 10 };
    uint64_t sums[] = { umbp_sum (manager_data, 10), 1, umbp_sum (manager_data + 20, 10) };
    manager_start ();
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_store, 0);
    msg.store.keys = words (&column, "k1 k2 k3");
    msg.store.sizes = (umbp_u32s_t) { sizes, 3 };
    msg.store.sums = (umbp_u64s_t) { sums, 3 };
    CU_ASSERT (tier_ask_with (&manager_tier, &msg, manager_data, 30, PEER_MS) == 0);
    static const int8_t wanted[] = { 0, UMBP_ECHECKSUM, 0 };
    for (size_t index = 0; index < 3; index++)
        CU_ASSERT (umbp_s8s_at (manager_tier.peer.msg.store_ok.statuses, index) == wanted[index]);
    CU_ASSERT (tier_holds (&manager_tier, "k3", manager_data + 20, 10));
    CU_ASSERT (tier_gauge (&manager_tier, "bad_checksums") == 1
               && tier_used_pages (&manager_tier) == 2);
    tier_stop (&manager_tier);
}

//  --------------------------------------------------------------------------------------------------
//  Bad input: each has its error, and nothing is lost by it

static void test_bad_sizes (void)
{
    manager_start ();
    CU_ASSERT (tier_reserve (&manager_tier, SESSION, "k1", 0) == 0);
    CU_ASSERT (tier_reserved (&manager_tier, 0) == UMBP_EINVAL
               && tier_slot (&manager_tier, 0) == 0);
    CU_ASSERT (tier_reserve (&manager_tier, SESSION, "k1", UINT32_MAX) == 0);
    CU_ASSERT (tier_reserved (&manager_tier, 0) == UMBP_ENOSPC);
    CU_ASSERT (tier_reserve (&manager_tier, 0, "k1", PAGE) == UMBP_EINVAL);          //  Who would write?
    CU_ASSERT (tier_store (&manager_tier, "k1", manager_data, 0) == UMBP_EINVAL);
    tier_stop (&manager_tier);
}

static void test_bad_messages (void)
{
    static words_t column;
    static uint8_t long_key[UMBP_SCOPED_KEY_MAX + 1];
    uint32_t sizes[] = { 10, 20 };
    uint64_t sums[] = { 1, 2 };
    manager_start ();
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_store, 0);
    msg.store.keys = words (&column, "k1 k2");
    msg.store.sizes = (umbp_u32s_t) { sizes, 2 };
    msg.store.sums = (umbp_u64s_t) { sums, 2 };
    CU_ASSERT (tier_ask_with (&manager_tier, &msg, manager_data, 29, PEER_MS) == UMBP_EINVAL);
    CU_ASSERT (tier_ask_with (&manager_tier, &msg, manager_data, 31, PEER_MS) == UMBP_EINVAL);
    CU_ASSERT (tier_ask (&manager_tier, &msg) == UMBP_EINVAL);
    CU_ASSERT (manager_tier.peer.msg.type == UMBP_MSG_refused
               && tier_gauge (&manager_tier, "EINVAL") == 3);
    CU_ASSERT (tier_ask_with (&manager_tier, &msg, manager_data, UMBP_INLINE_MAX + 1, PEER_MS)
               == UMBP_ETOOBIG);
    uint64_t malformed = tier_gauge (&manager_tier, "malformed");
    msg.store.sizes.count = 1;                               //  Fewer sizes than keys
    CU_ASSERT (tier_ask_with (&manager_tier, &msg, manager_data, 10, PEER_MS) < 0);
    umbp_msg_init (&msg, UMBP_MSG_drop, 0);
    memset (&column.column, 0, sizeof column.column);
    words_add (&column, long_key, sizeof long_key);
    msg.drop.keys = column.column;
    CU_ASSERT (tier_ask (&manager_tier, &msg) < 0);
    memset (&column.column, 0, sizeof column.column);
    words_add (&column, "", 0);
    column.column.bytes = column.bytes;
    msg.drop.keys = column.column;
    CU_ASSERT (tier_ask (&manager_tier, &msg) < 0);
    CU_ASSERT (tier_gauge (&manager_tier, "malformed") == malformed + 3);
    umbp_msg_init (&msg, UMBP_MSG_attach, 0);                //  Not through a door
    msg.attach.session = SESSION;
    CU_ASSERT (tier_ask (&manager_tier, &msg) == UMBP_ENOTSUP);
    umbp_msg_init (&msg, UMBP_MSG_get, 0);                   //  A router's
    msg.get.keys = words (&column, "k1");
    CU_ASSERT (tier_ask (&manager_tier, &msg) == UMBP_ENOTSUP);
    uint64_t unknown[] = { 1, 2, UINT64_MAX };
    umbp_msg_init (&msg, UMBP_MSG_release, 0);
    msg.release.leases = (umbp_u64s_t) { unknown, 3 };
    CU_ASSERT (tier_ask (&manager_tier, &msg) == 0);
    tier_stop (&manager_tier);
}

//  --------------------------------------------------------------------------------------------------
//  Leases

//  A dropped block is found no more, and its pages are nobody else's until the last lease is over
static void test_lease_keeps_pages (void)
{
    manager_start ();
    CU_ASSERT (tier_store (&manager_tier, "key", manager_data, 3 * PAGE) == 0);
    CU_ASSERT (tier_lease (&manager_tier, 1, "key key", 0) == 0);
    uint64_t first = manager_tier.peer.msg.lease_ok.lease;
    CU_ASSERT (manager_tier.peer.msg.lease_ok.regions.count == 2);
    CU_ASSERT (tier_lease (&manager_tier, 2, "key", 0) == 0);
    uint64_t second = manager_tier.peer.msg.lease_ok.lease;
    CU_ASSERT (first && second && first != second && tier_gauge (&manager_tier, "leases") == 2);
    CU_ASSERT (tier_drop (&manager_tier, "key") == 0
               && tier_drop (&manager_tier, "key") == UMBP_ENOENT);
    CU_ASSERT (tier_flush (&manager_tier) && !shard_has (&manager_tier.shards[0], "key"));
    CU_ASSERT (tier_used_pages (&manager_tier) == 3
               && tier_gauge (&manager_tier, "doomed_blocks") == 1);
    CU_ASSERT (tier_store (&manager_tier, "key", manager_data + 9, PAGE) == 0);
    CU_ASSERT (tier_holds (&manager_tier, "key", manager_data + 9, PAGE));
    CU_ASSERT (tier_used_pages (&manager_tier) == 4);
    tier_release (&manager_tier, first);
    tier_release (&manager_tier, first);
    CU_ASSERT (tier_used_pages (&manager_tier) == 4);
    tier_release (&manager_tier, second);
    CU_ASSERT (tier_used_pages (&manager_tier) == 1 && tier_gauge (&manager_tier, "leases") == 0);
    tier_stop (&manager_tier);
}

//  --------------------------------------------------------------------------------------------------
//  What leaves

static void test_full (void)
{
    manager_start ();
    CU_ASSERT (manager_hears (&manager_tier.registry, UMBP_MSG_capacity));
    uint32_t total = TIER_REGIONS * manager_tier.pages;
    CU_ASSERT (manager_tier.registry.msg.capacity.total == total * PAGE);
    CU_ASSERT (manager_tier.registry.msg.capacity.tier == UMBP_TIER_DRAM);
    uint64_t slot = tier_slot_for (&manager_tier, SESSION, "large", (total - 2) * PAGE);
    CU_ASSERT (tier_reserve (&manager_tier, SESSION, "k1", 3 * PAGE) == 0);
    CU_ASSERT (tier_reserved (&manager_tier, 0) == UMBP_EAGAIN);
    CU_ASSERT (manager_hears (&manager_tier.eviction, UMBP_MSG_pressure));
    const umbp_msg_pressure_t *pressure = &manager_tier.eviction.msg.pressure;
    CU_ASSERT (pressure->tier == UMBP_TIER_DRAM && pressure->total == total * PAGE);
    CU_ASSERT (pressure->used == (total - 2) * PAGE);
    while (manager_tier.eviction.msg.pressure.need == 0)           //  The tick may have told it before
        CU_ASSERT_FATAL (manager_hears (&manager_tier.eviction, UMBP_MSG_pressure));
    CU_ASSERT (manager_tier.eviction.msg.pressure.need == 3 * PAGE);
    CU_ASSERT (tier_store (&manager_tier, "k2", manager_data, 3 * PAGE) == UMBP_EAGAIN);
    CU_ASSERT (tier_gauge (&manager_tier, "full") == 2);
    tier_abort (&manager_tier, slot);
    CU_ASSERT (tier_store (&manager_tier, "k2", manager_data, 3 * PAGE) == 0);
    tier_stop (&manager_tier);
}

//  Eviction is not told twice in a moment; but what was too large in that moment is told after it
static void test_full_twice (void)
{
    manager_start ();
    uint32_t total = TIER_REGIONS * manager_tier.pages;
    uint64_t slot = tier_slot_for (&manager_tier, SESSION, "large", (total - 2) * PAGE);
    for (uint32_t pages = 3; pages < 40; pages += 2) {
        CU_ASSERT (tier_reserve (&manager_tier, SESSION, "k1", pages * PAGE) == 0);
        CU_ASSERT (tier_reserve (&manager_tier, SESSION, "k2", (pages + 1) * PAGE) == 0);
        uint64_t need = 0;
        for (int64_t end = zclock_mono () + PEER_MS; need <= pages * PAGE && zclock_mono () < end;)
            if (asked_hear (&manager_tier.eviction, 100)
                && manager_tier.eviction.msg.type == UMBP_MSG_pressure)
                need = manager_tier.eviction.msg.pressure.need;
        CU_ASSERT (need == (pages + 1) * PAGE);
        if (need == 0)
            break;
    }
    tier_abort (&manager_tier, slot);
    tier_stop (&manager_tier);
}

//  Some at a time, oldest first; what is leased stays
static void test_evict (void)
{
    tier_start (&manager_tier, (tier_options_t) { .pages = 512 });
    tier_alone (&manager_tier);
    char key[16];
    for (int number = 0; number < 600; number++) {
        snprintf (key, sizeof key, "key%d", number);
        CU_ASSERT (tier_store_as (&manager_tier, key, manager_data, PAGE, true, false, PEER_MS)
                   == 0);
    }
    CU_ASSERT (tier_lease (&manager_tier, SESSION, "key0", 0) == 0);
    uint64_t lease = manager_tier.peer.msg.lease_ok.lease;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = UMBP_TIER_DRAM;
    msg.evict.bytes = 3 * PAGE - 1;
    CU_ASSERT (tier_ask (&manager_tier, &msg) == 0);
    CU_ASSERT (manager_tier.peer.msg.evict_ok.bytes == 3 * PAGE
               && manager_tier.peer.msg.evict_ok.blocks == 3);
    CU_ASSERT (tier_holds (&manager_tier, "key0", manager_data, PAGE)
               && tier_holds (&manager_tier, "key4", manager_data, PAGE));
    CU_ASSERT (!tier_holds (&manager_tier, "key1", manager_data, PAGE)
               && !tier_holds (&manager_tier, "key3", manager_data, PAGE));
    uint64_t left = 597, steps = 0;
    msg.evict.bytes = UINT64_MAX;
    do {
        CU_ASSERT (tier_ask (&manager_tier, &msg) == 0);
        CU_ASSERT (manager_tier.peer.msg.evict_ok.blocks <= 256);
        left -= manager_tier.peer.msg.evict_ok.blocks;
        steps++;
    } while (manager_tier.peer.msg.evict_ok.blocks > 0);
    CU_ASSERT (left == 1 && steps >= 4 && tier_holds (&manager_tier, "key0", manager_data, PAGE));
    CU_ASSERT (tier_flush (&manager_tier) && manager_tier.shards[0].held == 1);
    CU_ASSERT (tier_gauge (&manager_tier, "evicted") == 599);
    tier_release (&manager_tier, lease);
    tier_stop (&manager_tier);
}

static void test_wipe (void)
{
    manager_start ();
    CU_ASSERT (tier_store (&manager_tier, "k1", manager_data, 2 * PAGE) == 0);
    CU_ASSERT (tier_store (&manager_tier, "k2", manager_data, PAGE - 1) == 0);
    uint64_t slot = tier_slot_for (&manager_tier, SESSION, "k3", PAGE);
    CU_ASSERT (tier_lease (&manager_tier, SESSION, "k1", 0) == 0);
    uint64_t lease = manager_tier.peer.msg.lease_ok.lease;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_wipe, 0);
    CU_ASSERT (tier_ask (&manager_tier, &msg) == 0);
    CU_ASSERT (manager_tier.peer.msg.wipe_ok.blocks == 2
               && manager_tier.peer.msg.wipe_ok.bytes == 3 * PAGE - 1);
    CU_ASSERT (tier_used_pages (&manager_tier) == 3);              //  The leased block and the slot
    tier_release (&manager_tier, lease);
    CU_ASSERT (tier_commit (&manager_tier, slot, 1) == 0);         //  Slots are no blocks
    CU_ASSERT (tier_used_pages (&manager_tier) == 1 && tier_flush (&manager_tier));
    CU_ASSERT (manager_tier.shards[0].held == 1 && shard_has (&manager_tier.shards[0], "k3"));
    tier_stop (&manager_tier);
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
        int rc = tier_commit_as (&manager_tier, s_open[place].token, 1, true, false, PEER_MS);
        CU_ASSERT_FATAL (rc == (s_model[number].there ? UMBP_EEXIST : 0));
        if (rc == 0) {
            s_model[number].there = true;
            s_model[number].size = s_open[place].size;
        }
        s_open[place].token = 0;
        return;
    }
    uint32_t size = 1 + (uint32_t) (drawn >> 20) % (6 * PAGE);
    CU_ASSERT_FATAL (tier_reserve (&manager_tier, 1 + place, key, size) == 0);
    int rc = tier_reserved (&manager_tier, 0);
    CU_ASSERT_FATAL (rc == (s_model[atoi (key)].there ? UMBP_EEXIST : 0) || rc == UMBP_EAGAIN);
    if (rc == 0) {
        s_open[place].token = tier_slot (&manager_tier, 0);
        s_open[place].key = atoi (key);
        s_open[place].size = size;
    }
}

static void s_do_lease (uint64_t drawn)
{
    size_t place = drawn % OPEN;
    if (s_held[place]) {
        tier_release (&manager_tier, s_held[place]);
        s_held[place] = 0;
        return;
    }
    char key[16];
    int number = (int) (drawn >> 8) % KEYS;
    snprintf (key, sizeof key, "%d", number);
    CU_ASSERT_FATAL (tier_lease (&manager_tier, 1, key, 0) == 0);
    CU_ASSERT_FATAL (tier_leased (&manager_tier, 0) == (s_model[number].there ? 0 : UMBP_ENOENT));
    if (s_model[number].there)
        CU_ASSERT_FATAL (umbp_u32s_at (manager_tier.peer.msg.lease_ok.sizes, 0)
                         == s_model[number].size);
    s_held[place] = manager_tier.peer.msg.lease_ok.lease;
}

static void s_do_drop (uint64_t drawn)
{
    char key[16];
    int number = (int) (drawn >> 8) % KEYS;
    snprintf (key, sizeof key, "%d", number);
    CU_ASSERT_FATAL (tier_drop (&manager_tier, key) == (s_model[number].there ? 0 : UMBP_ENOENT));
    s_model[number].there = false;
}

static void test_random (void)
{
    uint64_t state = s_seed;
    printf ("(seed %llu) ", (unsigned long long) s_seed);
    tier_start (&manager_tier, (tier_options_t) { .pages = 40 });
    tier_alone (&manager_tier);
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
    CU_ASSERT (tier_flush (&manager_tier));
    for (int number = 0; number < KEYS; number++) {
        char key[16];
        snprintf (key, sizeof key, "%d", number);
        CU_ASSERT (shard_has (&manager_tier.shards[0], key) == s_model[number].there);
    }
    for (size_t place = 0; place < OPEN; place++) {
        if (s_open[place].token)
            tier_abort (&manager_tier, s_open[place].token);
        tier_release (&manager_tier, s_held[place]);
    }
    tier_stop (&manager_tier);
}

int main (void)
{
    alarm (200);
    manager_fill ();
    s_seed = (uint64_t) zclock_usecs ();
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
    CU_ADD_TEST (suite, test_full);
    CU_ADD_TEST (suite, test_full_twice);
    CU_ADD_TEST (suite, test_evict);
    CU_ADD_TEST (suite, test_wipe);
    CU_ADD_TEST (suite, test_random);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_announce.c - what the shards of the index hear from a tier manager: numbered streams that
//  survive silence, lost counts, restarts and changes of the ring, and say no more than they must
#include "test/unit/tier.h"

#define PAGE 64

static const crowd_t s_ab[] = { CROWD ("a", 1, 0), CROWD ("b", 1, 0) };
static const crowd_t s_abc[] = { CROWD ("a", 1, 0), CROWD ("b", 1, 0), CROWD ("c", 1, 0) };
static const crowd_t s_0abc[] = { CROWD ("0", 1, 0), CROWD ("a", 1, 0), CROWD ("b", 1, 0),
                                  CROWD ("c", 1, 0) };

static tier_t s_tier;
static uint64_t s_topo;                 //  Number of the last topology
static uint8_t s_data[UMBP_INLINE_MAX];

enum { A, B, C, ZERO };                 //  Shards

static void s_push (const crowd_t *rows, uint32_t count)
{
    tier_push (&s_tier, rows, count, ++s_topo);
}

static void s_start (const crowd_t *rows, uint32_t count)
{
    tier_start (&s_tier, (tier_options_t) { .page_size = PAGE, .pages = 16384 });
    tier_shard (&s_tier, "b");
    tier_shard (&s_tier, "c");
    tier_shard (&s_tier, "0");
    s_push (rows, count);
    CU_ASSERT (tier_flush (&s_tier));
}

//  Store blocks "k<first>"..., without waiting for the index
static void s_store (size_t first, size_t count)
{
    static words_t column;
    static uint32_t sizes[UMBP_BATCH_MAX];
    static uint64_t sums[UMBP_BATCH_MAX];
    while (count > 0) {
        uint32_t batch = count < 2000 ? (uint32_t) count : 2000;
        for (uint32_t index = 0; index < batch; index++) {
            sizes[index] = 16;
            sums[index] = umbp_sum (s_data + index * 16, 16);
        }
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_store, 0);
        msg.store.keys = words_numbered (&column, "k", first, batch);
        msg.store.sizes = (umbp_u32s_t) { sizes, batch };
        msg.store.sums = (umbp_u64s_t) { sums, batch };
        msg.store.nowait = true;
        CU_ASSERT_FATAL (tier_ask_with (&s_tier, &msg, s_data, batch * 16, PEER_MS) == 0);
        first += batch;
        count -= batch;
    }
}

static void s_drop (size_t number)
{
    char key[16];
    snprintf (key, sizeof key, "k%zu", number);
    CU_ASSERT (tier_drop (&s_tier, key) == 0);
}

//  --------------------------------------------------------------------------------------------------
//  What should be where

//  Whether a node keeps the entry of a key
static bool s_owns (const umbp_topology_t *topology, const char *node, size_t number)
{
    char key[16];
    uint16_t owners[UMBP_COPIES_MAX];
    size_t size = (size_t) snprintf (key, sizeof key, "k%zu", number);
    uint64_t at = umbp_ring_position (umbp_topology_ring (topology), key, size);
    size_t count = umbp_topology_owners (topology, at, owners);
    for (size_t index = 0; index < count; index++)
        if (streq (umbp_topology_member (topology, owners[index])->node, node))
            return true;
    return false;
}

//  Keys below a number that a node owns in one ring and not in another; NULL: no ring at all
static size_t s_gained (const umbp_topology_t *now, const umbp_topology_t *before, const char *node,
                        size_t count)
{
    size_t gained = 0;
    for (size_t number = 0; number < count; number++)
        gained += s_owns (now, node, number) && !(before && s_owns (before, node, number));
    return gained;
}

//  Each shard of the ring holds its share of the keys that are there, and nothing else
static bool s_all_is_well (const crowd_t *rows, uint32_t count, const bool *there, size_t keys)
{
    umbp_topology_t *topology = crowd_new (rows, count, "a", 1);
    bool well = true;
    for (size_t shard = 0; shard < s_tier.shard_count; shard++) {
        const shard_t *self = &s_tier.shards[shard];
        if (umbp_topology_find (topology, umbp_text (self->node)) < 0)
            continue;
        size_t wanted = 0;
        for (size_t number = 0; number < keys; number++) {
            char key[16];
            snprintf (key, sizeof key, "k%zu", number);
            bool owns = (!there || there[number]) && s_owns (topology, self->node, number);
            wanted += owns;
            well = well && shard_has (self, key) == owns;
        }
        well = well && self->held == wanted;
        if (!well)
            printf ("\n    shard %s: %zu held, %zu wanted\n", self->node, self->held, wanted);
    }
    umbp_topology_destroy (&topology);
    return well;
}

static void s_reset_counts (void)
{
    for (size_t shard = 0; shard < s_tier.shard_count; shard++)
        s_tier.shards[shard].changes = s_tier.shards[shard].accounts = 0;
}

//  --------------------------------------------------------------------------------------------------
//  One stream

static void test_silence (void)
{
    s_start (s_ab, 2);
    shard_t *shard = &s_tier.shards[B];
    uint64_t next = shard->next, heard = shard->messages;
    shard->silent = true;
    s_store (0, 1);
    while (shard->messages == heard)
        tier_serve (&s_tier, 10);
    CU_ASSERT (shard->seq == next && shard->count == 1);
    s_store (1, 3);                     //  These wait behind it
    s_drop (0);
    while (shard->messages == heard + 1)
        tier_serve (&s_tier, 10);
    CU_ASSERT (shard->seq == next && shard->count == 5 && !shard->fresh);
    shard->silent = false;
    CU_ASSERT (tier_flush (&s_tier));
    CU_ASSERT (shard->next == next + 5 && shard->accounts == 1);
    CU_ASSERT (shard->held == 3 && s_tier.shards[A].held == 3);
    tier_stop (&s_tier);
}

//  Errors that say "later" bring the same again; those that say "I lost count" a full account
static void test_errors (void)
{
    static const struct { int status; uint64_t accounts; } cases[] = {
        { UMBP_EAGAIN, 1 }, { UMBP_EDENIED, 1 }, { UMBP_ESTALE, 2 }, { UMBP_EINVAL, 2 },
        { UMBP_EPROTO, 2 },
    };
    for (size_t index = 0; index < COUNT_OF (cases); index++) {
        s_start (s_ab, 2);
        shard_t *shard = &s_tier.shards[B];
        s_store (0, 5);
        CU_ASSERT (tier_flush (&s_tier));
        uint64_t heard = shard->messages;
        shard->status = cases[index].status;
        s_store (5, 1);
        while (shard->messages == heard)
            tier_serve (&s_tier, 10);
        shard->status = 0;
        CU_ASSERT (tier_flush (&s_tier) && shard->accounts == cases[index].accounts);
        CU_ASSERT (s_all_is_well (s_ab, 2, NULL, 6) && s_tier.shards[A].accounts == 1);
        tier_stop (&s_tier);
    }
}

//  The shard forgot all, though its node says that it is the same
static void test_lost_count (void)
{
    s_start (s_ab, 2);
    s_store (0, 3000);                  //  More than go into a message
    CU_ASSERT (tier_flush (&s_tier));
    shard_t *shard = &s_tier.shards[B];
    shard->begun = false;
    shard->held = 0;
    memset (shard->prints, 0, TIER_PRINTS * sizeof *shard->prints);
    s_drop (1);
    CU_ASSERT (tier_flush (&s_tier));
    CU_ASSERT (shard->accounts == 2 && shard->dones == 2 && shard->held == 2999);
    CU_ASSERT (tier_gauge (&s_tier, "accounts") == 3);
    tier_stop (&s_tier);
}

//  The same, and there is nothing to tell: the member had given us up for a while, which shows in its topology
//  alone. It is asked as soon as that came back, and until it has all again nobody is told that it had.
static void test_forgotten (void)
{
    static const crowd_t back[] = { CROWD ("a", 1, 0), CROWD ("b", 1, 0, .swings = 2) };
    s_start (s_ab, 2);
    s_store (0, 100);
    CU_ASSERT (tier_flush (&s_tier));
    shard_t *shard = &s_tier.shards[B];
    s_reset_counts ();
    shard->begun = false;
    shard->held = 0;
    memset (shard->prints, 0, TIER_PRINTS * sizeof *shard->prints);
    for (int turn = 0; turn < 2; turn++) {                   //  Once: the second time it is the same
        s_topo--;
        s_push (back, 2);
        CU_ASSERT (tier_flush (&s_tier));
        CU_ASSERT (shard->accounts == 1 && shard->held == 100);
        CU_ASSERT (s_tier.shards[A].accounts == 0 && s_tier.shards[A].changes == 0);
    }
    tier_stop (&s_tier);
}

//  More changes than it remembers for one member: that one gets an account, when it listens again
static void test_overflow (void)
{
    s_start (s_ab, 2);
    s_tier.shards[B].silent = true;
    for (size_t first = 0; first < 17000; first += 1000) {
        s_store (first, 1000);
        while (s_tier.shards[A].held < first + 1000)
            tier_serve (&s_tier, 10);   //  This one keeps up
    }
    s_drop (5);
    s_tier.shards[B].silent = false;
    CU_ASSERT (tier_flush (&s_tier));
    CU_ASSERT (s_tier.shards[B].accounts == 2 && s_tier.shards[B].held == 16999);
    CU_ASSERT (s_tier.shards[A].accounts == 1 && s_tier.shards[A].held == 16999);
    CU_ASSERT (tier_gauge (&s_tier, "announce_waiting") == 0);
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  The ring changes

//  Says to each member just what it gained and what it lost
static void test_moves (void)
{
    static const char *const names[] = { "a", "b", "c" };
    enum { KEYS = 3000 };
    umbp_topology_t *two = crowd_new (s_ab, 2, "a", 1), *three = crowd_new (s_abc, 3, "a", 2);
    s_start (s_ab, 2);
    s_store (0, KEYS);
    CU_ASSERT (tier_flush (&s_tier));
    for (int turn = 0; turn < 2; turn++) {                   //  c comes, and goes
        const umbp_topology_t *now = turn ? two : three, *before = turn ? three : two;
        s_reset_counts ();
        s_push (s_abc, turn ? 2 : 3);
        CU_ASSERT (tier_settle (&s_tier));
        for (int shard = A; shard <= (turn ? B : C); shard++) {
            size_t gained = s_gained (now, before, names[shard], KEYS);
            size_t lost = s_gained (before, now, names[shard], KEYS);
            CU_ASSERT (s_tier.shards[shard].changes == gained + lost);
            CU_ASSERT (s_tier.shards[shard].accounts == (shard == C));
            CU_ASSERT (shard == C || (gained > 0) == turn);
        }
        CU_ASSERT (s_all_is_well (s_abc, turn ? 2 : 3, NULL, KEYS));
    }
    umbp_topology_destroy (&two);
    umbp_topology_destroy (&three);
    tier_stop (&s_tier);
}

//  The same topology again, other loads and health; a member that is not in the ring: nothing is said
static void test_nothing_changed (void)
{
    static const crowd_t others[] = { CROWD ("a", 9, 3), CROWD ("b", 1, 0, .suspect = true) };
    static const crowd_t outside[] = { CROWD ("0", 1, 0, .outside = true), CROWD ("a", 9, 3),
                                       CROWD ("b", 1, 0) };
    s_start (s_ab, 2);
    s_store (0, 100);
    CU_ASSERT (tier_flush (&s_tier));
    s_reset_counts ();
    s_topo--;
    s_push (others, 2);
    s_push (outside, 3);
    s_store (100, 1);
    s_push (s_ab, 2);
    CU_ASSERT (tier_settle (&s_tier));
    CU_ASSERT (s_tier.shards[A].changes == 1 && s_tier.shards[A].accounts == 0);
    CU_ASSERT (s_tier.shards[B].changes == 1 && s_tier.shards[B].accounts == 0);
    tier_stop (&s_tier);
}

//  A member was restarted and knows nothing: it alone is told all
static void test_restart (void)
{
    static const crowd_t later[] = { CROWD ("a", 1, 0), { .node = "b", .epoch = 2, .total = 1 } };
    s_start (s_ab, 2);
    s_store (0, 50);
    CU_ASSERT (tier_flush (&s_tier));
    s_reset_counts ();
    s_tier.shards[B].begun = false;
    s_push (later, 2);
    CU_ASSERT (tier_flush (&s_tier));
    CU_ASSERT (s_tier.shards[A].changes == 0 && s_tier.shards[B].changes == 50);
    CU_ASSERT (s_tier.shards[B].accounts == 1 && s_all_is_well (later, 2, NULL, 50));
    tier_stop (&s_tier);
}

//  A member was out of sight for a while, and remembers our numbers. Its account must not look like what it
//  knows already: the shard asserts that numbers only grow.
static void test_flap (void)
{
    bool there[101] = { false };
    s_start (s_ab, 2);
    s_store (0, 100);
    CU_ASSERT (tier_flush (&s_tier));
    for (int turn = 0; turn < 3; turn++) {
        uint64_t next = s_tier.shards[B].next;
        s_push (s_ab, 1);
        if (turn == 0) {                //  As many as before, but not the same
            s_drop (7);
            s_store (100, 1);
        }
        CU_ASSERT (tier_flush (&s_tier));
        s_push (s_ab, 2);
        CU_ASSERT (tier_flush (&s_tier));
        CU_ASSERT (s_tier.shards[B].next >= next + 100);
        CU_ASSERT (s_tier.shards[B].held == 100 && s_tier.shards[A].held == 100);
    }
    for (size_t number = 0; number < 101; number++)
        there[number] = number != 7;
    CU_ASSERT (s_all_is_well (s_ab, 2, there, 101));
    tier_stop (&s_tier);
}

//  The next change of the ring comes before the first one was dealt with
static void test_changes_in_a_row (void)
{
    enum { KEYS = 5000 };               //  More than are looked at in a step
    bool there[KEYS + 1];
    memset (there, 1, sizeof there);
    s_start (s_ab, 2);
    s_store (0, KEYS);
    CU_ASSERT (tier_flush (&s_tier));
    s_push (s_abc, 3);
    s_push (s_0abc, 4);
    s_drop (3);
    s_push (s_abc, 3);
    s_store (KEYS, 1);
    s_drop (KEYS - 1);
    there[3] = there[KEYS - 1] = false;
    CU_ASSERT (tier_settle (&s_tier));
    CU_ASSERT (s_all_is_well (s_abc, 3, there, KEYS + 1));
    tier_stop (&s_tier);
}

//  A block that leaves while its move is still to come: old owners and new ones forget it
static void test_drop_while_moving (void)
{
    enum { KEYS = 5000 };
    bool there[KEYS];
    memset (there, 1, sizeof there);
    s_start (s_abc, 3);
    s_store (0, KEYS);
    CU_ASSERT (tier_flush (&s_tier));
    s_push (s_0abc, 4);
    for (size_t number = KEYS - 1; number > KEYS - 200; number--) {
        s_drop (number);
        there[number] = false;
    }
    CU_ASSERT (tier_settle (&s_tier) && s_all_is_well (s_0abc, 4, there, KEYS));
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  All of it, in any order

static void test_random (void)
{
    enum { KEYS = 400 };
    static const struct { const crowd_t *rows; uint32_t count; } rings[] = {
        { s_ab, 1 }, { s_ab, 2 }, { s_abc, 3 }, { s_0abc, 4 },
    };
    uint64_t seed = (uint64_t) zclock_usecs (), state = seed;
    printf ("(seed %llu) ", (unsigned long long) seed);
    bool there[KEYS] = { false };
    size_t ring = 1;
    s_start (s_ab, 2);
    for (int step = 0; step < 3000; step++) {
        uint64_t drawn = umbp_splitmix (&state);
        size_t number = (drawn >> 8) % KEYS, shard = (drawn >> 20) % 4;
        switch (drawn % 32) {
        case 0:
            ring = (drawn >> 30) % COUNT_OF (rings);
            s_push (rings[ring].rows, rings[ring].count);
            break;
        case 1: s_tier.shards[shard].begun = false; break;
        case 2: s_tier.shards[shard].status = UMBP_EAGAIN; break;
        case 3:
        case 4:
        case 5: s_tier.shards[shard].status = 0; break;
        default:
            if (there[number])
                s_drop (number);
            else
                s_store (number, 1);
            there[number] = !there[number];
        }
    }
    for (int shard = A; shard <= ZERO; shard++)
        s_tier.shards[shard].status = 0;
    s_push (s_0abc, 4);
    //  One that lost count without being told anything since does not know it: tell each of them something
    size_t numbers[64], told = 0;
    for (size_t number = 0; number < KEYS && told < COUNT_OF (numbers); number++)
        if (there[number])
            numbers[told++] = number;
    for (size_t index = 0; index < told; index++) {
        s_drop (numbers[index]);
        there[numbers[index]] = false;
    }
    CU_ASSERT (tier_settle (&s_tier) && s_all_is_well (s_0abc, 4, there, KEYS));
    CU_ASSERT (tier_gauge (&s_tier, "announce_waiting") == 0);
    tier_stop (&s_tier);
}

int main (void)
{
    alarm (200);
    zsys_init ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("announce", NULL, NULL);
    CU_ADD_TEST (suite, test_silence);
    CU_ADD_TEST (suite, test_errors);
    CU_ADD_TEST (suite, test_lost_count);
    CU_ADD_TEST (suite, test_forgotten);
    CU_ADD_TEST (suite, test_overflow);
    CU_ADD_TEST (suite, test_moves);
    CU_ADD_TEST (suite, test_nothing_changed);
    CU_ADD_TEST (suite, test_restart);
    CU_ADD_TEST (suite, test_flap);
    CU_ADD_TEST (suite, test_changes_in_a_row);
    CU_ADD_TEST (suite, test_drop_while_moving);
    CU_ADD_TEST (suite, test_random);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

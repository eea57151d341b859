//  test/unit/test_spread.c - whom a tier manager asks to take copies of a block that was put with replicas: nodes of
//  other hosts first, then those with most room, never one that has it, is drained, or failed already; and what the
//  writer is told of it
#include "test/unit/tier.h"

#define MIB (1 << 20)
#define NODES 4                         //  Of others: b, c, d, e

static tier_t s_tier;
static char s_asked[64];                //  Nodes that were asked for a copy, one letter each
static const char *s_known;             //  Nodes that the index says have it
static int s_says[NODES];               //  What each answers to copy; 1: nothing
static uint64_t s_copy;                 //  The last question for one
static uint64_t s_remembered;           //  Copies that the last copy is told of

static void s_answer_lookup (asked_t *asked)
{
    static uint16_t sizes[NODES], refs[NODES];
    static uint8_t found[1], tiers[NODES];
    static uint32_t bytes[NODES];
    uint32_t count = (uint32_t) strlen (s_known);
    found[0] = (uint8_t) count;
    for (uint32_t index = 0; index < count; index++) {
        sizes[index] = 1;
        refs[index] = (uint16_t) index;
        tiers[index] = UMBP_TIER_DRAM;
        bytes[index] = 100;
    }
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lookup_ok, 0);
    msg.lookup_ok.found = (umbp_u8s_t) { found, 1 };
    msg.lookup_ok.refs = (umbp_u16s_t) { refs, count };
    msg.lookup_ok.tiers = (umbp_u8s_t) { tiers, count };
    msg.lookup_ok.sizes = (umbp_u32s_t) { bytes, count };
    msg.lookup_ok.nodes = (umbp_column_t) { (const uint8_t *) s_known, sizes, count, count };
    CU_ASSERT (asked->msg.lookup.keys.count == 1 && asked->msg.lookup.places);
    asked_answer (asked, &msg, NULL, 0);
}

static void s_answer_copy (asked_t *asked)
{
    const umbp_msg_copy_t *copy = &asked->msg.copy;
    char node = strchr (asked->address, '@')[1];
    CU_ASSERT (umbp_text_is (copy->node, "a") && copy->tier == UMBP_TIER_DRAM);
    CU_ASSERT (strncmp (asked->address, "migrator@", 9) == 0 && copy->keys.count == 1);
    s_remembered = copy->replicas;
    s_copy = asked->msg.id;
    strncat (s_asked, &node, 1);
    int8_t status = (int8_t) s_says[node - 'b'];
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_copy_ok, 0);
    msg.copy_ok.statuses = (umbp_s8s_t) { &status, 1 };
    if (status != 1)
        asked_answer (asked, &msg, NULL, 0);
}

//  Be the index and the migrators, until the tier manager answers us
static bool s_serve (void)
{
    int64_t end = zclock_mono () + 60000;
    asked_t *others[] = { &s_tier.index, &s_tier.link };
    while (zclock_mono () < end) {
        zmq_pollitem_t items[] = { { zsock_resolve (s_tier.peer.sock), 0, ZMQ_POLLIN, 0 },
                                   { zsock_resolve (s_tier.index.sock), 0, ZMQ_POLLIN, 0 },
                                   { zsock_resolve (s_tier.link.sock), 0, ZMQ_POLLIN, 0 } };
        zmq_poll (items, 3, 10);
        for (size_t index = 0; index < COUNT_OF (others); index++) {
            if (!items[1 + index].revents || !tier_hear (others[index]))
                continue;
            if (others[index]->msg.type == UMBP_MSG_lookup)
                s_answer_lookup (others[index]);
            else if (others[index]->msg.type == UMBP_MSG_copy)
                s_answer_copy (others[index]);
            else
                tier_take (&s_tier, others[index]);
        }
        if (items[0].revents)
            return asker_hear (&s_tier.peer, 0) != 0;
    }
    return false;
}

//  Store a block with replicas. Returns how many copies are missing, or an error.
static int s_store (const char *key, uint64_t replicas, bool keep, uint32_t deadline_ms)
{
    static words_t column;
    uint8_t data[100] = { 1 };
    uint32_t size = sizeof data;
    uint64_t sum = umbp_sum (data, size);
    umbp_msg_t msg;
    *s_asked = 0;
    umbp_msg_init (&msg, UMBP_MSG_store, 0);
    msg.store.keys = words (&column, key);
    msg.store.sizes = (umbp_u32s_t) { &size, 1 };
    msg.store.sums = (umbp_u64s_t) { &sum, 1 };
    msg.store.replicas = replicas;
    msg.store.keep = keep;
    asker_say (&s_tier.peer, &msg, data, size, deadline_ms);
    if (!s_serve () || s_tier.peer.msg.type != UMBP_MSG_store_ok)
        return UMBP_EPROTO;
    const umbp_msg_store_ok_t *ok = &s_tier.peer.msg.store_ok;
    int status = umbp_s8s_at (ok->statuses, 0);
    return status < 0 ? status : ok->missing.count ? umbp_u8s_at (ok->missing, 0) : 0;
}

static void s_start (const crowd_t *rows, uint32_t count)
{
    tier_start (&s_tier, (tier_options_t) { 0 });
    for (uint32_t index = 1; index < count && index < TIER_SHARDS; index++)
        tier_shard (&s_tier, rows[index].node);
    tier_push (&s_tier, rows, count, 1);
    CU_ASSERT (tier_flush (&s_tier));
    s_known = "";
    memset (s_says, 0, sizeof s_says);
}

//  b shares our host; of the others c has most room
static const crowd_t s_rows[] = {
    CROWD ("a", 64 * MIB, 0, .host = "one"),
    CROWD ("b", 64 * MIB, 0, .host = "one"),
    CROWD ("c", 64 * MIB, 10 * MIB, .host = "two"),
    CROWD ("d", 64 * MIB, 40 * MIB, .host = "three"),
};

static void test_choice (void)
{
    s_start (s_rows, 4);
    CU_ASSERT (s_store ("k0", 0, false, PEER_MS) == 0 && streq (s_asked, ""));
    CU_ASSERT (s_store ("k1", 1, false, PEER_MS) == 0 && streq (s_asked, ""));
    CU_ASSERT (s_store ("k2", 2, false, PEER_MS) == 0 && streq (s_asked, "c") && s_remembered == 2);
    CU_ASSERT (s_store ("k3", 3, false, PEER_MS) == 0 && streq (s_asked, "cd"));
    CU_ASSERT (s_store ("k4", 4, false, PEER_MS) == 0 && streq (s_asked, "cdb"));
    CU_ASSERT (s_store ("kept", 4, true, PEER_MS) == 0
               && streq (s_asked, "")); //  It is a copy itself
    CU_ASSERT (tier_gauge (&s_tier, "replicas_made") == 6);
    CU_ASSERT (tier_gauge (&s_tier, "replicas_missing") == 0);
    tier_stop (&s_tier);
}

//  Who has it already counts; who cannot is replaced by the next best, and what then is missing is said
static void test_failures (void)
{
    s_start (s_rows, 4);
    s_known = "ac";
    CU_ASSERT (s_store ("k1", 2, false, PEER_MS) == 0 && streq (s_asked, ""));
    CU_ASSERT (s_store ("k2", 3, false, PEER_MS) == 0 && streq (s_asked, "d"));
    s_known = "";
    s_says[1] = UMBP_EIO;
    CU_ASSERT (s_store ("k3", 2, false, PEER_MS) == 0 && streq (s_asked, "cd"));
    s_says[2] = UMBP_EEXIST;            //  It has it, though the index did not say so
    CU_ASSERT (s_store ("k4", 2, false, PEER_MS) == 0 && streq (s_asked, "cd"));
    CU_ASSERT (s_store ("k5", 4, false, PEER_MS) == 1 && streq (s_asked, "cdb"));
    for (size_t index = 0; index < NODES; index++)
        s_says[index] = UMBP_ENOSPC;
    CU_ASSERT (s_store ("k6", 4, false, PEER_MS) == 3 && streq (s_asked, "cdb"));
    CU_ASSERT (tier_gauge (&s_tier, "replicas_missing") == 4);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 6);
    tier_stop (&s_tier);
}

//  Nobody but those in the ring, alive and not drained; and one who is silent costs the writer no more than its time
static void test_unfit (void)
{
    static const crowd_t rows[] = {
        CROWD ("a", 64 * MIB, 0),
        CROWD ("b", 64 * MIB, 0, .draining = true),
        CROWD ("c", 64 * MIB, 0, .suspect = true),
        CROWD ("d", 64 * MIB, 0, .outside = true),
    };
    s_start (rows, 4);
    CU_ASSERT (s_store ("k1", 2, false, PEER_MS) == 1 && streq (s_asked, ""));
    tier_stop (&s_tier);
    s_start (s_rows, 2);
    s_says[0] = 1;
    CU_ASSERT (s_store ("k1", 2, false, 1000) == 1 && streq (s_asked, "b"));
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 1);
    tier_stop (&s_tier);
}

//  A block is removed while another node copies it: that copy goes, too, whether we hear that it was made or not
static void test_removed_meanwhile (void)
{
    for (int heard = 0; heard <= 1; heard++) {
        s_start (s_rows, 2);
        s_says[0] = 1;                  //  It takes its time
        CU_ASSERT (s_store ("k1", 2, false, 1000) == 1 && streq (s_asked, "b"));
        asked_t *link = &s_tier.link;
        uint64_t copy = s_copy;
        CU_ASSERT (tier_drop (&s_tier, "k1") == 0);
        int8_t status = 0;
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_copy_ok, 0);
        msg.copy_ok.statuses = (umbp_s8s_t) { &status, 1 };
        if (heard)
            asked_answer_id (link, copy, &msg, NULL, 0);
        bool undone = false;
        for (int64_t end = zclock_mono () + 60000; !undone && zclock_mono () < end;) {
            if (!asked_hear (link, 100))
                continue;
            if (link->msg.type == UMBP_MSG_drop)
                undone = streq (link->address, "tier:dram@b") && link->msg.drop.keys.count == 1
                         && memcmp (link->msg.drop.keys.bytes, "k1", 2) == 0;
            else
                tier_take (&s_tier, link);
        }
        CU_ASSERT (undone && tier_gauge (&s_tier, "replicas_undone") == 1);
        tier_stop (&s_tier);
    }
}

int main (void)
{
    alarm (240);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("spread", NULL, NULL);
    CU_ADD_TEST (suite, test_choice);
    CU_ADD_TEST (suite, test_failures);
    CU_ADD_TEST (suite, test_unfit);
    CU_ADD_TEST (suite, test_removed_meanwhile);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

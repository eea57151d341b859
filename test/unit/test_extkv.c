//  test/unit/test_extkv.c - the external-KV actor as engines, clients and other nodes see it; and
//  the merging of answers against a plain model
#include "actors/extkv.h"
#include "actors/kv_merge.h"
#include "proto/splitmix.h"
#include "test/unit/peer.h"

typedef struct {
    zactor_t *actor;
    asker_t peer;
    asked_t link;                       //  All other nodes
} stage_t;

static void s_open (stage_t *self, const char *instance, uint64_t hashes, uint64_t hit_ttl_ms)
{
    umbp_home_t home;
    umbp_extkv_args_t args = { home_of (&home, instance, "a"), hashes, hit_ttl_ms };
    asked_start (&self->link, instance, "link");
    self->actor = umbp_extkv_new (&args);
    CU_ASSERT_FATAL (self->actor != NULL);
    asker_start (&self->peer, instance, "extkv");
}

static void s_close (stage_t *self)
{
    asker_end (&self->peer);
    zactor_destroy (&self->actor);
    asked_end (&self->link);
}

//  ------------------------------------------------------------------------------------------------
//  What is asked

static words_t s_words;

static int s_report (stage_t *self, const char *engine, const char *address, unsigned tier,
                     umbp_column_t hashes)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_report, 0);
    msg.kv_report.engine = umbp_text (engine);
    msg.kv_report.address = umbp_text (address);
    msg.kv_report.tier = tier;
    msg.kv_report.hashes = hashes;
    return asker_ask (&self->peer, &msg, PEER_MS);
}

static int s_revoke (stage_t *self, const char *engine, unsigned tier, const char *hashes)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_revoke, 0);
    msg.kv_revoke.engine = umbp_text (engine);
    msg.kv_revoke.tier = tier;
    msg.kv_revoke.hashes = words (&s_words, hashes);
    return asker_ask (&self->peer, &msg, PEER_MS);
}

static uint64_t s_revoke_all (stage_t *self, const char *engine, unsigned tier)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_revoke_all, 0);
    msg.kv_revoke_all.engine = umbp_text (engine);
    msg.kv_revoke_all.tier = tier;
    CU_ASSERT_EQUAL (asker_ask (&self->peer, &msg, PEER_MS), 0);
    return self->peer.msg.kv_revoke_all_ok.count;
}

static uint64_t s_say_match (stage_t *self, umbp_column_t hashes, bool count_as_hit, bool only_here,
                             uint32_t deadline_ms)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_match, 0);
    msg.kv_match.hashes = hashes;
    msg.kv_match.count_as_hit = count_as_hit;
    msg.kv_match.only_here = only_here;
    return asker_say (&self->peer, &msg, NULL, 0, deadline_ms);
}

static int s_match (stage_t *self, umbp_column_t hashes, bool count_as_hit, bool only_here)
{
    uint64_t id = s_say_match (self, hashes, count_as_hit, only_here, PEER_MS);
    CU_ASSERT_EQUAL_FATAL (asker_hear (&self->peer, PEER_MS), id);
    return self->peer.msg.status;
}

static uint64_t s_say_hits (stage_t *self, umbp_column_t hashes, bool only_here,
                            uint32_t deadline_ms)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_hits, 0);
    msg.kv_hits.hashes = hashes;
    msg.kv_hits.only_here = only_here;
    return asker_say (&self->peer, &msg, NULL, 0, deadline_ms);
}

static uint64_t s_hits (stage_t *self, const char *hash)
{
    uint64_t id = s_say_hits (self, words (&s_words, hash), true, PEER_MS);
    CU_ASSERT_EQUAL_FATAL (asker_hear (&self->peer, PEER_MS), id);
    return umbp_u64s_at (self->peer.msg.kv_hits_ok.counts, 0);
}

//  The hashes that an engine holds in a tier, as "0 2 5", in the last answer; NULL if there is no
//  row
static const char *s_row (const umbp_msg_kv_match_ok_t *answer, const char *engine, unsigned tier)
{
    static char text[1024];
    size_t at = 0;
    for (size_t row = 0; row < answer->refs.count; row++) {
        bool here = column_is (answer->engines, umbp_u16s_at (answer->refs, row), engine)
                    && umbp_u8s_at (answer->tiers, row) == tier;
        size_t used = 0;
        for (uint32_t left = umbp_u32s_at (answer->counts, row); left > 0; left--, at++)
            if (here && used < sizeof text - 8)
                used += (size_t) snprintf (text + used, 8, used ? " %u" : "%u",
                                           umbp_u16s_at (answer->matches, at));
        if (here)
            return text;
    }
    return NULL;
}

static bool s_row_is (stage_t *self, const char *engine, unsigned tier, const char *hashes)
{
    const char *row = s_row (&self->peer.msg.kv_match_ok, engine, tier);
    return row && hashes ? streq (row, hashes) : !row && !hashes;
}

//  ------------------------------------------------------------------------------------------------
//  One node

static void test_reports_add_up (void)
{
    stage_t stage;
    s_open (&stage, "extkv-1", 100, 0);
    CU_ASSERT_EQUAL (s_report (&stage, "e1", "tcp://e1", 1, words (&s_words, "h0 h1 h2")), 0);
    CU_ASSERT_EQUAL (s_report (&stage, "e1", "", 2, words (&s_words, "h2 h3 h3")), 0);
    CU_ASSERT_EQUAL (s_report (&stage, "e2", "", 1, words (&s_words, "h1")), 0);
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "h0 h1 h2 h3 h4"), false, false), 0);
    CU_ASSERT (s_row_is (&stage, "e1", 1, "0 1 2"));
    CU_ASSERT (s_row_is (&stage, "e1", 2, "2 3"));
    CU_ASSERT (s_row_is (&stage, "e2", 1, "1"));
    CU_ASSERT (s_row_is (&stage, "e2", 2, NULL));
    const umbp_msg_kv_match_ok_t *answer = &stage.peer.msg.kv_match_ok;
    CU_ASSERT_EQUAL (answer->refs.count, 3);
    CU_ASSERT (column_is (answer->addresses, column_is (answer->engines, 1, "e1"), "tcp://e1"));
    CU_ASSERT_EQUAL (answer->nodes_asked, 0);
    CU_ASSERT_EQUAL (answer->nodes_silent, 0);

    CU_ASSERT_EQUAL (s_revoke (&stage, "e1", 1, "h1 h1 nobody"), 0);
    CU_ASSERT_EQUAL (s_revoke (&stage, "stranger", 1, "h1"), 0);
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "h1 h2"), false, false), 0);
    CU_ASSERT (s_row_is (&stage, "e1", 1, "1"));
    CU_ASSERT (s_row_is (&stage, "e2", 1, "0"));
    CU_ASSERT_EQUAL (s_revoke_all (&stage, "e1", 2), 2);
    CU_ASSERT_EQUAL (s_revoke_all (&stage, "e1", 0), 2);
    CU_ASSERT_EQUAL (s_revoke_all (&stage, "e1", 0), 0);
    CU_ASSERT_EQUAL (s_revoke_all (&stage, "stranger", 3), 0);
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "h0 h2 h3 h4"), false, false), 0);
    CU_ASSERT_EQUAL (stage.peer.msg.kv_match_ok.engines.count, 0);
    CU_ASSERT_EQUAL (s_report (&stage, "e1", "", 1, words (&s_words, "")), 0);
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, ""), true, false), 0);
    CU_ASSERT_EQUAL (stage.peer.msg.kv_match_ok.engines.count, 0);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "hashes"), 1);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "engines"), 2);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "reports"), 4);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "matches"), 4);
    s_close (&stage);
}

static void test_duplicates_count_once (void)
{
    stage_t stage;
    s_open (&stage, "extkv-2", 100, 0);
    s_report (&stage, "e1", "", 1, words (&s_words, "x y"));
    s_report (&stage, "e2", "", 1, words (&s_words, "x"));
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "x x miss y x"), true, false), 0);
    CU_ASSERT (s_row_is (&stage, "e1", 1, "0 1 3 4"));
    CU_ASSERT (s_row_is (&stage, "e2", 1, "0 1 4"));
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "x"), false, false), 0);
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "x"), true, false), 0);
    CU_ASSERT_EQUAL (s_hits (&stage, "x"), 2);
    CU_ASSERT_EQUAL (s_hits (&stage, "y"), 1);
    CU_ASSERT_EQUAL (s_hits (&stage, "miss"), 0);
    s_revoke_all (&stage, "e1", 0);
    s_revoke_all (&stage, "e2", 0);
    uint64_t id = s_say_hits (&stage, words (&s_words, "x miss x y"), false, PEER_MS);
    CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
    static const uint64_t expected[] = { 2, 0, 2, 1 };       //  They outlive who held the hash
    for (size_t index = 0; index < 4; index++)
        CU_ASSERT_EQUAL (umbp_u64s_at (stage.peer.msg.kv_hits_ok.counts, index), expected[index]);
    s_close (&stage);
}

static void test_full_tables (void)
{
    stage_t stage;
    s_open (&stage, "extkv-3", 4, 0);
    CU_ASSERT_EQUAL (s_report (&stage, "e1", "", 1, words (&s_words, "a b c d e f")), UMBP_ENOSPC);
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "a b c d e f"), false, false), 0);
    CU_ASSERT (s_row_is (&stage, "e1", 1, "0 1 2 3"));
    CU_ASSERT_EQUAL (s_report (&stage, "e1", "", 2, words (&s_words, "a b e")), UMBP_ENOSPC);
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "a b e"), false, false), 0);
    CU_ASSERT (s_row_is (&stage, "e1", 2, "0 1"));
    CU_ASSERT_EQUAL (s_revoke (&stage, "e1", 1, "c"), 0);
    CU_ASSERT_EQUAL (s_report (&stage, "e1", "", 1, words (&s_words, "e")), 0);
    s_close (&stage);
}

//  Engines that hold nothing make room for others; those that hold something do not
static void test_engines_come_and_go (void)
{
    stage_t stage;
    s_open (&stage, "extkv-4", 10000, 0);
    char engine[32];
    for (int number = 0; number < 4096; number++) {
        snprintf (engine, sizeof engine, "e%d", number);
        CU_ASSERT_EQUAL (s_report (&stage, engine, "", 1, words (&s_words, engine)), 0);
    }
    CU_ASSERT_EQUAL (s_report (&stage, "late", "", 1, words (&s_words, "x")), UMBP_ENOSPC);
    CU_ASSERT_EQUAL (s_revoke (&stage, "e17", 1, "e17"), 0);
    CU_ASSERT_EQUAL (s_report (&stage, "late", "", 1, words (&s_words, "x")), 0);
    CU_ASSERT_EQUAL (s_report (&stage, "later", "", 1, words (&s_words, "x")), UMBP_ENOSPC);
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "x e17 e18"), false, false), 0);
    CU_ASSERT (s_row_is (&stage, "late", 1, "0"));
    CU_ASSERT (s_row_is (&stage, "e17", 1, NULL));
    CU_ASSERT (s_row_is (&stage, "e18", 1, "2"));
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "engines"), 4096);
    s_close (&stage);
}

//  A match that does not fit an answer is refused as a whole, and counts no hits
static void test_too_many_matches (void)
{
    stage_t stage;
    s_open (&stage, "extkv-5", 5000, 0);
    umbp_column_t all = words_numbered (&s_words, "h", 0, 4096);
    for (int number = 0; number < 16; number++) {
        char engine[32];
        snprintf (engine, sizeof engine, "e%d", number / 4);
        CU_ASSERT_EQUAL (s_report (&stage, engine, "", 1 + (unsigned) number % 4, all), 0);
    }
    CU_ASSERT_EQUAL (s_match (&stage, all, false, false), 0);
    CU_ASSERT_EQUAL (stage.peer.msg.kv_match_ok.matches.count, 65536);
    CU_ASSERT_EQUAL (s_report (&stage, "e0", "", 5, all), 0);
    CU_ASSERT_EQUAL (s_match (&stage, all, true, false), UMBP_ETOOBIG);
    CU_ASSERT_EQUAL (stage.peer.msg.type, UMBP_MSG_refused);
    CU_ASSERT_EQUAL (s_hits (&stage, "h7"), 0);
    CU_ASSERT_EQUAL (s_match (&stage, words_numbered (&s_words, "h", 0, 2048), true, false), 0);
    CU_ASSERT_EQUAL (s_hits (&stage, "h7"), 1);
    s_close (&stage);
}

static void test_hits_grow_old (void)
{
    stage_t stage;
    s_open (&stage, "extkv-6", 100, 1);
    s_report (&stage, "e1", "", 1, words (&s_words, "x y z"));
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "x y z"), true, false), 0);
    asker_wait_down (&stage.peer, "hit_counts", 0);
    CU_ASSERT_EQUAL (s_hits (&stage, "x"), 0);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "hashes"), 3);
    s_close (&stage);
}

//  ------------------------------------------------------------------------------------------------
//  Several nodes

typedef struct {
    const char *engines, *addresses;
    uint16_t refs[4];
    uint8_t tiers[4];
    uint32_t counts[4];
    uint32_t rows;
    uint16_t matches[8];
    uint32_t match_count;
} said_t;

static void s_answer_match (stage_t *self, uint64_t id, const said_t *said)
{
    static words_t engines, addresses;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_match_ok, 0);
    umbp_msg_kv_match_ok_t *ok = &msg.kv_match_ok;
    ok->engines = words (&engines, said->engines);
    ok->addresses = words (&addresses, said->addresses);
    ok->refs = (umbp_u16s_t) { said->refs, said->rows };
    ok->tiers = (umbp_u8s_t) { said->tiers, said->rows };
    ok->counts = (umbp_u32s_t) { said->counts, said->rows };
    ok->matches = (umbp_u16s_t) { said->matches, said->match_count };
    asked_answer_id (&self->link, id, &msg, NULL, 0);
}

//  The question that another node gets. Returns its id.
static uint64_t s_hear_question (stage_t *self, const char *address, uint16_t type)
{
    uint64_t id = asked_hear (&self->link, PEER_MS);
    const umbp_msg_t *msg = &self->link.msg;
    CU_ASSERT_FATAL (id != 0);
    CU_ASSERT_STRING_EQUAL (self->link.address, address);
    CU_ASSERT_EQUAL (msg->type, type);
    CU_ASSERT (type == UMBP_MSG_kv_match ? msg->kv_match.only_here : msg->kv_hits.only_here);
    CU_ASSERT (type != UMBP_MSG_kv_match || !msg->kv_match.count_as_hit);
    return id;
}

static const said_t s_nothing = { .engines = "", .addresses = "" };

static void test_merges_nodes (void)
{
    stage_t stage;
    s_open (&stage, "extkv-7", 100, 0);
    asker_push (&stage.peer, "a b c", "a", NULL, 1, 0);
    s_report (&stage, "e1", "here", 1, words (&s_words, "h0 h1"));
    uint64_t id = s_say_match (&stage, words (&s_words, "h0 h1 h2 h3 h2"), true, false, PEER_MS);
    uint64_t to_b = s_hear_question (&stage, "extkv@b", UMBP_MSG_kv_match);
    CU_ASSERT_EQUAL (stage.link.msg.kv_match.hashes.count, 5);
    CU_ASSERT (stage.link.msg.deadline_ms > 0 && stage.link.msg.deadline_ms <= PEER_MS * 3 / 4);
    uint64_t to_c = s_hear_question (&stage, "extkv@c", UMBP_MSG_kv_match);
    //  e1 is known there too: the same row again in part, and another tier
    s_answer_match (&stage, to_c,
                    &(said_t){ "e3 e1",
                               "there elsewhere",
                               { 1, 1, 0 },
                               { 1, 2, 1 },
                                              { 2, 1, 2 }, 3, { 1, 2, 1, 2, 4 }, 5 });
    s_answer_match (&stage, to_b, &(said_t) { "e2", "x", { 0 }, { 8 }, { 1 }, 1, { 0 }, 1 });
    CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
    CU_ASSERT (s_row_is (&stage, "e1", 1, "0 1 2"));
    CU_ASSERT (s_row_is (&stage, "e1", 2, "1"));
    CU_ASSERT (s_row_is (&stage, "e2", 8, "0"));
    CU_ASSERT (s_row_is (&stage, "e3", 1, "2 4"));
    const umbp_msg_kv_match_ok_t *ok = &stage.peer.msg.kv_match_ok;
    CU_ASSERT_EQUAL (ok->engines.count, 3);
    CU_ASSERT_EQUAL (ok->nodes_asked, 2);
    CU_ASSERT_EQUAL (ok->nodes_silent, 0);
    for (size_t index = 0; index < ok->engines.count; index++)
        if (column_is (ok->engines, index, "e1"))
            CU_ASSERT (column_is (ok->addresses, index, "here"));
    static const char *const hashes[] = { "h0", "h1", "h2", "h3" };
    static const uint64_t counts[] = { 1, 1, 1, 0 };         //  h2 matched elsewhere
    for (size_t index = 0; index < 4; index++)
        CU_ASSERT_EQUAL (s_hits (&stage, hashes[index]), counts[index]);
    //  only_here asks nobody
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "h0"), false, true), 0);
    CU_ASSERT_EQUAL (asked_hear (&stage.link, 0), 0);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "nodes_asked"), 2);
    s_close (&stage);
}

static void test_sums_hits (void)
{
    stage_t stage;
    s_open (&stage, "extkv-8", 100, 0);
    s_report (&stage, "e1", "", 1, words (&s_words, "x"));
    s_match (&stage, words (&s_words, "x"), true, false);
    asker_push (&stage.peer, "a b c d", "a", NULL, 1, 0);
    uint64_t id = s_say_hits (&stage, words (&s_words, "x y x z"), false, 3000);
    uint64_t to_b = s_hear_question (&stage, "extkv@b", UMBP_MSG_kv_hits);
    uint64_t to_c = s_hear_question (&stage, "extkv@c", UMBP_MSG_kv_hits);
    s_hear_question (&stage, "extkv@d", UMBP_MSG_kv_hits);   //  Who stays silent
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_hits_ok, 0);
    const uint64_t first[] = { 10, 5, 10, UINT64_MAX }, second[] = { 0, 1, 0, 7 };
    msg.kv_hits_ok.counts = (umbp_u64s_t) { first, 4 };
    asked_answer_id (&stage.link, to_b, &msg, NULL, 0);
    msg.kv_hits_ok.counts = (umbp_u64s_t) { second, 4 };
    asked_answer_id (&stage.link, to_c, &msg, NULL, 0);
    CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
    const umbp_msg_kv_hits_ok_t *ok = &stage.peer.msg.kv_hits_ok;
    static const uint64_t sums[] = { 11, 6, 11, UINT64_MAX };
    for (size_t index = 0; index < 4; index++)
        CU_ASSERT_EQUAL (umbp_u64s_at (ok->counts, index), sums[index]);
    CU_ASSERT_EQUAL (ok->nodes_asked, 3);
    CU_ASSERT_EQUAL (ok->nodes_silent, 1);
    s_close (&stage);
}

//  A silent node costs less than the asker's deadline; what it says later is nobody's
static void test_silent_nodes (void)
{
    enum { DEADLINE_MS = 4000, TRIES = 5 };
    static const said_t said = { "e2", "x", { 0 }, { 1 }, { 1 }, 1, { 1 }, 1 };
    stage_t stage;
    uint64_t id, to_c = 0, turns = 0;
    int64_t took_ms = DEADLINE_MS;
    s_open (&stage, "extkv-9", 100, 0);
    asker_push (&stage.peer, "a b c", "a", NULL, 1, 0);
    s_report (&stage, "e1", "", 1, words (&s_words, "h0"));
    for (; turns < TRIES && took_ms >= DEADLINE_MS; turns++) {
        int64_t start = zclock_mono ();  //  The machine may stall, but not every time
        id = s_say_match (&stage, words (&s_words, "h0 h1"), false, false, DEADLINE_MS);
        uint64_t to_b = s_hear_question (&stage, "extkv@b", UMBP_MSG_kv_match);
        to_c = s_hear_question (&stage, "extkv@c", UMBP_MSG_kv_match);
        s_answer_match (&stage, to_b, &said);
        CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
        took_ms = zclock_mono () - start;
    }
    CU_ASSERT (took_ms >= DEADLINE_MS * 7 / 10 && took_ms < DEADLINE_MS);
    CU_ASSERT (s_row_is (&stage, "e1", 1, "0"));
    CU_ASSERT (s_row_is (&stage, "e2", 1, "1"));
    CU_ASSERT_EQUAL (stage.peer.msg.kv_match_ok.nodes_asked, 2);
    CU_ASSERT_EQUAL (stage.peer.msg.kv_match_ok.nodes_silent, 1);
    s_answer_match (&stage, to_c, &said);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "silent"), turns);
    //  Next to no time: nobody is asked, what is here is answered
    id = s_say_match (&stage, words (&s_words, "h0"), false, false, 1);
    CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
    CU_ASSERT (s_row_is (&stage, "e1", 1, "0"));
    CU_ASSERT_EQUAL (stage.peer.msg.kv_match_ok.nodes_silent, 2);
    CU_ASSERT_EQUAL (asked_hear (&stage.link, 0), 0);
    s_close (&stage);
}

//  What cannot be right is not merged, not even in part
static void test_nonsense (void)
{
    static const said_t said[] = {
        { "e2", "x", { 1 }, { 1 }, { 1 }, 1, { 0 }, 1 },             //  No such engine
        { "e2", "x", { 0 }, { 9 }, { 1 }, 1, { 0 }, 1 },             //  No such tier
        { "e2", "x", { 0 }, { 0 }, { 1 }, 1, { 0 }, 1 },
        { "e2", "x", { 0 }, { 1 }, { 2 }, 1, { 0 }, 1 },             //  More than there are
        { "e2", "x", { 0 }, { 1 }, { 1 }, 1, { 0, 1 }, 2 },          //  Fewer
        { "e2", "x", { 0 }, { 1 }, { 2 }, 1, { 0, 2 }, 2 },          //  No such hash
        { "e2", "x", { 0, 0 }, { 1, 1 }, { UINT32_MAX, 2 }, 2, { 0 }, 1 },   //  Sums that wrap
    };
    stage_t stage;
    s_open (&stage, "extkv-10", 100, 0);
    asker_push (&stage.peer, "a b", "a", NULL, 1, 0);
    s_report (&stage, "e1", "", 1, words (&s_words, "h0"));
    for (size_t index = 0; index < COUNT_OF (said) + 3; index++) {
        uint64_t id = s_say_match (&stage, words (&s_words, "h0 h1"), false, false, PEER_MS);
        uint64_t question = s_hear_question (&stage, "extkv@b", UMBP_MSG_kv_match);
        umbp_msg_t msg;
        umbp_msg_init (&msg, index == COUNT_OF (said) ? UMBP_MSG_kv_revoke_all_ok : UMBP_MSG_ok, 0);
        if (index < COUNT_OF (said))
            s_answer_match (&stage, question, &said[index]);
        else {
            msg.status = (int16_t) (index == COUNT_OF (said) + 1 ? UMBP_EAGAIN : 0);
            asked_answer_id (&stage.link, question, &msg, NULL, 0);
        }
        CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
        CU_ASSERT_EQUAL (stage.peer.msg.status, 0);
        CU_ASSERT (s_row_is (&stage, "e1", 1, "0"));
        CU_ASSERT_EQUAL (stage.peer.msg.kv_match_ok.engines.count, 1);
        CU_ASSERT_EQUAL (stage.peer.msg.kv_match_ok.nodes_silent, 1);
    }
    //  A node with too much to say makes the whole too much
    uint64_t id = s_say_match (&stage, words (&s_words, "h0"), false, false, PEER_MS);
    uint64_t question = s_hear_question (&stage, "extkv@b", UMBP_MSG_kv_match);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_refused, 0);
    msg.status = UMBP_ETOOBIG;
    asked_answer_id (&stage.link, question, &msg, NULL, 0);
    CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
    CU_ASSERT_EQUAL (stage.peer.msg.status, UMBP_ETOOBIG);
    s_close (&stage);
}

static void test_bound_on_questions (void)
{
    stage_t stage;
    s_open (&stage, "extkv-11", 100, 0);
    asker_push (&stage.peer, "a b", "a", NULL, 1, 0);
    uint64_t ids[UMBP_EXTKV_MATCHES_MAX], questions[UMBP_EXTKV_MATCHES_MAX];
    for (size_t index = 0; index < UMBP_EXTKV_MATCHES_MAX; index++) {
        ids[index] = s_say_match (&stage, words (&s_words, "h0"), index & 1, false, 60000);
        questions[index] = s_hear_question (&stage, "extkv@b", UMBP_MSG_kv_match);
    }
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "h0"), false, false), UMBP_EAGAIN);
    CU_ASSERT_EQUAL (s_match (&stage, words (&s_words, "h0"), false, true), 0);
    s_answer_match (&stage, questions[100], &s_nothing);
    CU_ASSERT_EQUAL (asker_hear (&stage.peer, PEER_MS), ids[100]);
    ids[100] = s_say_match (&stage, words (&s_words, "h0"), false, false, 20000);
    questions[100] = s_hear_question (&stage, "extkv@b", UMBP_MSG_kv_match);
    for (size_t index = 0; index < UMBP_EXTKV_MATCHES_MAX; index++) {
        s_answer_match (&stage, questions[index], &s_nothing);
        CU_ASSERT_EQUAL (asker_hear (&stage.peer, PEER_MS), ids[index]);
    }
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "waiting"), 0);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "busy"), 1);
    s_close (&stage);
}

static void test_cannot_start (void)
{
    umbp_home_t home;
    umbp_extkv_args_t args = { home_of (&home, "extkv-12", "a"), 0, 0 };
    CU_ASSERT_PTR_NULL (umbp_extkv_new (&args));
    args.hashes = 10;
    zactor_t *actor = umbp_extkv_new (&args);
    CU_ASSERT_PTR_NOT_NULL (actor);
    CU_ASSERT_PTR_NULL (umbp_extkv_new (&args));             //  The name is taken
    zactor_destroy (&actor);
}

//  ------------------------------------------------------------------------------------------------
//  The merge, against a plain model: what is held[engine][tier][hash]

#define MODEL_ENGINES 12
#define MODEL_HASHES 40

static bool s_held[MODEL_ENGINES][9][MODEL_HASHES];

static void s_compare (const umbp_kv_merge_t *merge, umbp_kv_columns_t *columns)
{
    umbp_msg_kv_match_ok_t answer;
    CU_ASSERT_EQUAL_FATAL (umbp_kv_merge_write (merge, columns, &answer), 0);
    size_t at = 0, wrong = 0;
    for (size_t row = 0; row < answer.refs.count; row++)
        for (uint32_t left = umbp_u32s_at (answer.counts, row); left > 0; left--, at++) {
            size_t engine = 0;
            char name[8];
            do
                snprintf (name, sizeof name, "e%zu", engine);
            while (!column_is (answer.engines, umbp_u16s_at (answer.refs, row), name)
                   && ++engine < MODEL_ENGINES);
            CU_ASSERT_FATAL (engine < MODEL_ENGINES);
            bool *held =
                &s_held[engine][umbp_u8s_at (answer.tiers, row)][umbp_u16s_at (answer.matches, at)];
            wrong += !*held;            //  Not held, or seen twice
            *held = false;
        }
    CU_ASSERT_EQUAL (at, answer.matches.count);
    for (size_t index = 0; index < sizeof s_held; index++)
        wrong += ((const bool *) s_held)[index];
    CU_ASSERT_EQUAL (wrong, 0);
}

static void test_merge_model (void)
{
    uint64_t seed = (uint64_t) zclock_usecs (), state = seed;
    printf ("(seed %llu) ", (unsigned long long) seed);
    umbp_kv_merge_t *nodes[3], *all = umbp_kv_merge_new ();
    umbp_kv_columns_t *columns = zmalloc (sizeof (umbp_kv_columns_t));
    for (size_t node = 0; node < 3; node++)
        nodes[node] = umbp_kv_merge_new ();
    for (int round = 0; round < 200; round++) {
        memset (s_held, 0, sizeof s_held);
        umbp_kv_merge_reset (all, MODEL_HASHES);
        for (size_t node = 0; node < 3; node++) {
            umbp_kv_merge_reset (nodes[node], MODEL_HASHES);
            for (uint64_t count = umbp_splitmix (&state) % 100; count > 0; count--) {
                size_t engine = umbp_splitmix (&state) % MODEL_ENGINES;
                unsigned tier = 1 + umbp_splitmix (&state) % 8;
                size_t hash = umbp_splitmix (&state) % MODEL_HASHES;
                char name[8];
                snprintf (name, sizeof name, "e%zu", engine);
                int number = umbp_kv_merge_engine (nodes[node], umbp_text (name), umbp_text (""));
                CU_ASSERT_EQUAL (umbp_kv_merge_add (nodes[node], number, tier, hash), 0);
                s_held[engine][tier][hash] = true;
            }
            umbp_msg_kv_match_ok_t answer;
            CU_ASSERT_EQUAL (umbp_kv_merge_write (nodes[node], columns, &answer), 0);
            CU_ASSERT_EQUAL (umbp_kv_merge_answer (all, &answer), 0);
        }
        s_compare (all, columns);
    }
    for (size_t node = 0; node < 3; node++)
        umbp_kv_merge_destroy (&nodes[node]);
    umbp_kv_merge_destroy (&all);
    free (columns);
}

int main (void)
{
    alarm (240);
    zsys_set_logstream (NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("extkv", NULL, NULL);
    CU_ADD_TEST (suite, test_merge_model);
    CU_ADD_TEST (suite, test_reports_add_up);
    CU_ADD_TEST (suite, test_duplicates_count_once);
    CU_ADD_TEST (suite, test_full_tables);
    CU_ADD_TEST (suite, test_engines_come_and_go);
    CU_ADD_TEST (suite, test_too_many_matches);
    CU_ADD_TEST (suite, test_hits_grow_old);
    CU_ADD_TEST (suite, test_merges_nodes);
    CU_ADD_TEST (suite, test_sums_hits);
    CU_ADD_TEST (suite, test_silent_nodes);
    CU_ADD_TEST (suite, test_nonsense);
    CU_ADD_TEST (suite, test_bound_on_questions);
    CU_ADD_TEST (suite, test_cannot_start);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

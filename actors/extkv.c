//  actors/extkv.c - the external-KV actor.
//
//  State   a table: hash -> engines and tiers, for the engines of this node (kv_table.h); hit
//          counts of the matches that were asked here; one flight per question that other nodes
//          were asked.
//  Rules   Reports add up. A question is answered by its asker's deadline, with what came until
//          then: a node that is silent, or answers nonsense, is counted and not waited for. What is
//          asked on behalf of another node is answered from the table alone, so no question goes
//          in circles. A hit is counted on the node that was asked, once per call and hash.
#include "actors/extkv.h"

#include <xxhash.h>

#include "actors/kv_merge.h"
#include "actors/kv_table.h"
#include "cluster/origin.h"
#include "cluster/topology.h"
#include "proto/scope.h"

#define TICK_MS 100
#define GC_BUDGET 512                   //  Hit counts looked at per tick
#define MARGIN_MS 20                    //  For our answer to reach the asker, and for late timers
#define SCOPED_MAX (UMBP_SCOPED_HASH_MAX + UMBP_SCOPE_MAX)      //  What a hash may grow to
#define UNIQUE_SLOTS (2 * UMBP_BATCH_MAX)    //  A power of two

//  A question under way: kv_match if it merges, else kv_hits
typedef struct {
    umbp_origin_t origin;
    bool is_match, count_as_hit;
    uint32_t hash_count;
    uint32_t open, asked, silent;       //  Nodes
    bool too_big;                       //  A node's answer did not fit a message
    umbp_kv_merge_t *merge;
    uint64_t counts[UMBP_BATCH_MAX];
    uint8_t hashes[UMBP_BATCH_MAX * SCOPED_MAX];         //  Of the request, when hits are counted
    uint16_t sizes[UMBP_BATCH_MAX];
} flight_t;

typedef struct {
    umbp_post_t *post;
    char tenant[UMBP_NAME_MAX + 1];     //  Of the programs of this node
    uint8_t *scoped;                    //  Room for the hashes of a message, with their tenant
    uint16_t scoped_sizes[UMBP_BATCH_MAX];
    umbp_kv_table_t *table;
    umbp_topology_t *topology;

    //  Flights are made when first needed and then kept. Number 0 is for questions that are
    //  answered at once; the free ones are a stack, so few are ever touched.
    flight_t *flights[UMBP_EXTKV_MATCHES_MAX + 1];
    uint16_t free[UMBP_EXTKV_MATCHES_MAX];
    size_t free_count;

    umbp_kv_match_t found[UMBP_KV_ENGINES_MAX];
    int16_t numbers[UMBP_KV_ENGINES_MAX];        //  Of our engines in a merge, -1: not yet
    uint16_t unique[UNIQUE_SLOTS];      //  Hashes that were counted in this call, plus 1
    umbp_kv_columns_t columns;

    uint64_t reports, revokes, matches, matched, asked, silent, busy, full;
} self_t;

//  ------------------------------------------------------------------------------------------------
//  Tenants: hashes and engines have theirs in front of them, so that each sees its own alone

static umbp_column_t s_scope (self_t *self, const umbp_mail_t *mail, umbp_column_t hashes)
{
    umbp_user_t user;
    const char *tenant = umbp_origin_tenant (mail->origin, self->tenant, &user);
    return umbp_scope_column (hashes, tenant, self->scoped, self->scoped_sizes);
}

//  The id of an engine; room has UMBP_SCOPE_MAX + UMBP_NAME_MAX bytes. A text has no mark in it.
static umbp_text_t s_scope_engine (const self_t *self, const umbp_mail_t *mail, umbp_text_t id,
                                   char *room)
{
    umbp_user_t user;
    const char *tenant = umbp_origin_tenant (mail->origin, self->tenant, &user);
    if (!*tenant)
        return id;
    size_t size = umbp_scope_write (tenant, (uint8_t *) room);
    memcpy (room + size, id.data, id.size);
    return (umbp_text_t) { room, (uint32_t) size + id.size };
}

//  ------------------------------------------------------------------------------------------------
//  Reports

//  Make room for an engine by forgetting those that hold nothing
static void s_forget_idle (self_t *self)
{
    for (int engine = 0; engine < UMBP_KV_ENGINES_MAX; engine++)
        if (umbp_kv_table_engine_count (self->table, engine) == 0)
            umbp_kv_table_forget (self->table, engine);
}

//  The number of an engine, new or known; or UMBP_ENOSPC. Who gives no address keeps the old one.
static int s_engine (self_t *self, umbp_text_t id, umbp_text_t address)
{
    int engine = umbp_kv_table_find_engine (self->table, id.data, id.size);
    if (engine >= 0 && address.size == 0)
        return engine;
    engine = umbp_kv_table_engine (self->table, id.data, id.size, address.data, address.size);
    if (engine != UMBP_ENOSPC)
        return engine;
    s_forget_idle (self);
    return umbp_kv_table_engine (self->table, id.data, id.size, address.data, address.size);
}

static void s_on_report (void *arg, const umbp_mail_t *mail)
{
    self_t *self = arg;
    const umbp_msg_kv_report_t *report = &mail->msg->kv_report;
    char room[UMBP_SCOPE_MAX + UMBP_NAME_MAX];
    umbp_text_t id = s_scope_engine (self, mail, report->engine, room);
    umbp_column_t hashes = s_scope (self, mail, report->hashes);
    int engine = s_engine (self, id, report->address);
    int status = engine < 0 ? engine : UMBP_OK;
    size_t at = 0;
    for (size_t index = 0; engine >= 0 && index < hashes.count; index++) {
        umbp_bytes_t hash = umbp_column_next (&hashes, index, &at);
        int rc =
            umbp_kv_table_report (self->table, engine, hash.data, hash.size, (int) report->tier);
        status = rc < 0 ? rc : status;  //  And go on: what fits is kept
    }
    self->reports++;
    self->full += status == UMBP_ENOSPC;
    umbp_post_answer_status (self->post, mail->origin, status);
}

static void s_on_revoke (void *arg, const umbp_mail_t *mail)
{
    self_t *self = arg;
    const umbp_msg_kv_revoke_t *revoke = &mail->msg->kv_revoke;
    char room[UMBP_SCOPE_MAX + UMBP_NAME_MAX];
    umbp_text_t id = s_scope_engine (self, mail, revoke->engine, room);
    umbp_column_t hashes = s_scope (self, mail, revoke->hashes);
    int engine = umbp_kv_table_find_engine (self->table, id.data, id.size);
    size_t at = 0;
    for (size_t index = 0; engine >= 0 && index < hashes.count; index++) {
        umbp_bytes_t hash = umbp_column_next (&hashes, index, &at);
        umbp_kv_table_revoke (self->table, engine, hash.data, hash.size, (int) revoke->tier);
    }
    self->revokes++;
    umbp_post_answer_status (self->post, mail->origin, UMBP_OK);
}

static void s_on_revoke_all (void *arg, const umbp_mail_t *mail)
{
    self_t *self = arg;
    const umbp_msg_kv_revoke_all_t *revoke = &mail->msg->kv_revoke_all;
    char room[UMBP_SCOPE_MAX + UMBP_NAME_MAX];
    umbp_text_t id = s_scope_engine (self, mail, revoke->engine, room);
    int engine = umbp_kv_table_find_engine (self->table, id.data, id.size);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_revoke_all_ok, 0);
    if (engine >= 0)
        msg.kv_revoke_all_ok.count =
            revoke->tier ? umbp_kv_table_revoke_tier (self->table, engine, (int) revoke->tier)
                         : umbp_kv_table_forget (self->table, engine);
    self->revokes++;
    umbp_post_answer (self->post, mail->origin, &msg, NULL, 0);
}

//  ------------------------------------------------------------------------------------------------
//  Flights

static flight_t *s_flight (self_t *self, size_t number)
{
    if (!self->flights[number]) {
        self->flights[number] = zmalloc (sizeof (flight_t));
        self->flights[number]->merge = umbp_kv_merge_new ();
    }
    return self->flights[number];
}

static void s_begin (flight_t *flight, const umbp_mail_t *mail, const umbp_column_t *hashes)
{
    flight->origin = *mail->origin;
    flight->is_match = mail->msg->type == UMBP_MSG_kv_match;
    flight->count_as_hit = flight->is_match && mail->msg->kv_match.count_as_hit;
    flight->hash_count = hashes->count;
    flight->open = flight->asked = flight->silent = 0;
    flight->too_big = false;
    if (flight->is_match)
        umbp_kv_merge_reset (flight->merge, hashes->count);
    if (flight->count_as_hit
        && hashes->count) { //  They are needed again when all nodes have answered
        memcpy (flight->hashes, hashes->bytes, hashes->size);
        memcpy (flight->sizes, hashes->sizes, hashes->count * sizeof *flight->sizes);
    }
}

//  How long to wait for other nodes, so that our answer comes in time. 0: not at all.
static uint32_t s_patience_ms (int64_t expires)
{
    int64_t left = expires - zclock_mono ();
    int64_t patience = left * 3 / 4 < left - MARGIN_MS ? left * 3 / 4 : left - MARGIN_MS;
    return patience > 0 ? (uint32_t) patience : 0;
}

static void s_answer_match (self_t *self, flight_t *flight);
static void s_answer_hits (self_t *self, flight_t *flight);

static void s_end (self_t *self, size_t number)
{
    flight_t *flight = self->flights[number];
    self->asked += flight->asked;
    self->silent += flight->silent;
    if (flight->is_match)
        s_answer_match (self, flight);
    else
        s_answer_hits (self, flight);
    if (number > 0)
        self->free[self->free_count++] = (uint16_t) number;
}

//  Take another node's answer. Returns false if it says nothing that can be used.
static bool s_take (flight_t *flight, int status, const umbp_mail_t *mail)
{
    if (status == UMBP_ETOOBIG && mail) {
        flight->too_big = true;
        return true;
    }
    if (status != UMBP_OK || !mail)
        return false;
    if (flight->is_match)
        return mail->msg->type == UMBP_MSG_kv_match_ok
               && umbp_kv_merge_answer (flight->merge, &mail->msg->kv_match_ok) != UMBP_EPROTO;
    const umbp_msg_kv_hits_ok_t *hits = &mail->msg->kv_hits_ok;
    if (mail->msg->type != UMBP_MSG_kv_hits_ok || hits->counts.count != flight->hash_count)
        return false;
    for (size_t index = 0; index < flight->hash_count; index++) {
        uint64_t more = umbp_u64s_at (hits->counts, index);
        uint64_t *count = &flight->counts[index];
        *count = more > UINT64_MAX - *count ? UINT64_MAX : *count + more;
    }
    return true;
}

static void s_on_answer (void *arg, uint64_t number, int status, const umbp_mail_t *mail)
{
    self_t *self = arg;
    flight_t *flight = self->flights[number];
    flight->silent += !s_take (flight, status, mail);
    if (--flight->open == 0)
        s_end (self, number);
}

//  Ask every other member. One that cannot be asked is as good as silent.
static void s_ask_others (self_t *self, size_t number, umbp_msg_t *question, int64_t expires)
{
    flight_t *flight = self->flights[number];
    uint32_t patience_ms = s_patience_ms (expires);
    size_t own = umbp_topology_self (self->topology);
    for (size_t index = 0; index < umbp_topology_count (self->topology); index++) {
        if (index == own)
            continue;
        flight->asked++;
        if (patience_ms
            && umbp_post_ask (self->post, "extkv",
                              umbp_topology_member (self->topology, index)->node, question, NULL, 0,
                              patience_ms, s_on_answer, number)
                   == 0)
            flight->open++;
        else
            flight->silent++;
    }
}

//  ------------------------------------------------------------------------------------------------
//  kv_match

//  Our number of an engine in the merge, or UMBP_ETOOBIG
static int s_number (self_t *self, umbp_kv_merge_t *merge, uint16_t engine)
{
    if (self->numbers[engine] < 0) {
        const char *id = umbp_kv_table_engine_id (self->table, engine);
        const char *address = umbp_kv_table_engine_address (self->table, engine);
        umbp_bytes_t bare = umbp_scope_bare ((const uint8_t *) id, strlen (id));
        int number = umbp_kv_merge_engine (
            merge, (umbp_text_t) { (const char *) bare.data, bare.size }, umbp_text (address));
        if (number < 0)
            return number;
        self->numbers[engine] = (int16_t) number;
    }
    return self->numbers[engine];
}

//  Add what our own engines hold. Stops where it gets too big, which the merge keeps in mind.
static void s_match_here (self_t *self, flight_t *flight, const umbp_column_t *hashes)
{
    memset (self->numbers, 0xff, sizeof self->numbers);      //  -1
    size_t at = 0;
    for (size_t index = 0; index < hashes->count; index++) {
        umbp_bytes_t hash = umbp_column_next (hashes, index, &at);
        size_t count = umbp_kv_table_match (self->table, hash.data, hash.size, self->found,
                                            UMBP_KV_ENGINES_MAX);
        for (size_t row = 0; row < count; row++) {
            int number = s_number (self, flight->merge, self->found[row].engine);
            for (unsigned tier = 1; number >= 0 && tier <= UMBP_KV_TIERS_MAX; tier++)
                if (self->found[row].tiers & UMBP_KV_TIER_BIT (tier)
                    && umbp_kv_merge_add (flight->merge, number, tier, index) < 0)
                    number = UMBP_ETOOBIG;
            if (number < 0)
                return;
        }
    }
}

//  True the first time that these bytes are seen in this call
static bool s_is_new (self_t *self, const uint8_t *const *items, const uint16_t *sizes,
                      size_t number)
{
    for (size_t at = XXH3_64bits_withSeed (items[number], sizes[number], (uintptr_t) self);; at++) {
        uint16_t *slot = &self->unique[at % UNIQUE_SLOTS];
        if (*slot == 0) {
            *slot = (uint16_t) (number + 1);
            return true;
        }
        size_t other = *slot - 1u;
        if (sizes[other] == sizes[number]
            && memcmp (items[other], items[number], sizes[other]) == 0)
            return false;
    }
}

//  One hit for each hash that matched anywhere, however often the request names it
static void s_count_hits (self_t *self, const flight_t *flight)
{
    const uint8_t *items[UMBP_BATCH_MAX];
    size_t at = 0;
    memset (self->unique, 0, sizeof self->unique);
    uint64_t now = (uint64_t) zclock_mono ();
    for (size_t index = 0; index < flight->hash_count; index++) {
        items[index] = flight->hashes + at;
        at += flight->sizes[index];
        if (umbp_kv_merge_has (flight->merge, index) && s_is_new (self, items, flight->sizes, index)
            && umbp_kv_table_hit (self->table, items[index], flight->sizes[index], now)
                   == UMBP_ENOSPC)
            self->full++;
    }
}

static void s_answer_match (self_t *self, flight_t *flight)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_match_ok, 0);
    if (flight->too_big
        || umbp_kv_merge_write (flight->merge, &self->columns, &msg.kv_match_ok) < 0) {
        umbp_post_refuse (self->post, &flight->origin, UMBP_ETOOBIG, "hashes",
                          "the matches do not fit an answer, ask for fewer at a time");
        return;
    }
    msg.kv_match_ok.nodes_asked = flight->asked;
    msg.kv_match_ok.nodes_silent = flight->silent;
    for (size_t index = 0; index < flight->hash_count; index++)
        self->matched += umbp_kv_merge_has (flight->merge, index);
    if (flight->count_as_hit)
        s_count_hits (self, flight);
    umbp_post_answer (self->post, &flight->origin, &msg, NULL, 0);
}

//  ------------------------------------------------------------------------------------------------
//  kv_hits

static void s_hits_here (self_t *self, flight_t *flight, const umbp_column_t *hashes)
{
    size_t at = 0;
    for (size_t index = 0; index < hashes->count; index++) {
        umbp_bytes_t hash = umbp_column_next (hashes, index, &at);
        flight->counts[index] = umbp_kv_table_hits (self->table, hash.data, hash.size);
    }
}

static void s_answer_hits (self_t *self, flight_t *flight)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_hits_ok, 0);
    msg.kv_hits_ok.counts = (umbp_u64s_t) { flight->counts, flight->hash_count };
    msg.kv_hits_ok.nodes_asked = flight->asked;
    msg.kv_hits_ok.nodes_silent = flight->silent;
    umbp_post_answer (self->post, &flight->origin, &msg, NULL, 0);
}

//  ------------------------------------------------------------------------------------------------
//  Questions

//  Whether a client said that its hashes have a tenant; then it was refused
static bool s_is_forged (self_t *self, const umbp_mail_t *mail, bool scoped)
{
    umbp_user_t user;
    umbp_origin_user (mail->origin, &user);
    if (!scoped || user.kind != UMBP_USER_CLIENT)
        return false;
    umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "scoped",
                      "only nodes may name tenants");
    return true;
}

//  Answer a question from the table, and from the other nodes unless it says only_here. They get
//  the same question, with only_here.
static void s_question (self_t *self, const umbp_mail_t *mail, const umbp_column_t *hashes,
                        umbp_msg_t *question, bool only_here)
{
    bool alone = only_here || !self->topology || umbp_topology_count (self->topology) == 1;
    if (!alone && self->free_count == 0) {
        self->busy++;
        umbp_post_answer_status (self->post, mail->origin, UMBP_EAGAIN);
        return;
    }
    size_t number = alone ? 0 : self->free[--self->free_count];
    flight_t *flight = s_flight (self, number);
    s_begin (flight, mail, hashes);
    if (!alone)
        s_ask_others (self, number, question, mail->expires);
    if (flight->is_match)
        s_match_here (self, flight, hashes);
    else
        s_hits_here (self, flight, hashes);
    if (flight->open == 0)
        s_end (self, number);
}

static void s_on_match (void *arg, const umbp_mail_t *mail)
{
    self_t *self = arg;
    const umbp_msg_kv_match_t *match = &mail->msg->kv_match;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_kv_match, 0);
    if (s_is_forged (self, mail, match->scoped))
        return;
    umbp_column_t hashes = match->scoped ? match->hashes : s_scope (self, mail, match->hashes);
    question.kv_match.hashes = hashes;
    question.kv_match.only_here = question.kv_match.scoped = true;
    self->matches++;
    s_question (self, mail, &hashes, &question, match->only_here);
}

static void s_on_hits (void *arg, const umbp_mail_t *mail)
{
    const umbp_msg_kv_hits_t *hits = &mail->msg->kv_hits;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_kv_hits, 0);
    if (s_is_forged (arg, mail, hits->scoped))
        return;
    umbp_column_t hashes = hits->scoped ? hits->hashes : s_scope (arg, mail, hits->hashes);
    question.kv_hits.hashes = hashes;
    question.kv_hits.only_here = question.kv_hits.scoped = true;
    s_question (arg, mail, &hashes, &question, hits->only_here);
}

//  ------------------------------------------------------------------------------------------------
//  The actor

static void s_on_topology (void *arg, const umbp_mail_t *mail)
{
    self_t *self = arg;
    umbp_topology_t *topology = umbp_topology_renew (self->topology, &mail->msg->topology_ok);
    if (topology) {
        umbp_topology_destroy (&self->topology);
        self->topology = topology;
    }
    umbp_post_answer_status (self->post, mail->origin, topology ? UMBP_OK : UMBP_EINVAL);
}

static void s_start (void *arg, umbp_post_t *post, zloop_t *loop)
{
    (void) loop;
    ((self_t *) arg)->post = post;
}

static void s_tick (void *arg)
{
    umbp_kv_table_gc (((self_t *) arg)->table, (uint64_t) zclock_mono (), GC_BUDGET);
}

static void s_stat (void *arg, umbp_gauges_t *stats)
{
    self_t *self = arg;
    uint64_t engines = 0;
    for (int engine = 0; engine < UMBP_KV_ENGINES_MAX; engine++)
        engines += umbp_kv_table_engine_id (self->table, engine) != NULL;
    umbp_gauges_add (stats, "hashes", umbp_kv_table_count (self->table));
    umbp_gauges_add (stats, "engines", engines);
    umbp_gauges_add (stats, "hit_counts", umbp_kv_table_hit_count (self->table));
    umbp_gauges_add (stats, "waiting", UMBP_EXTKV_MATCHES_MAX - self->free_count);
    umbp_gauges_add (stats, "reports", self->reports);
    umbp_gauges_add (stats, "revokes", self->revokes);
    umbp_gauges_add (stats, "matches", self->matches);
    umbp_gauges_add (stats, "matched", self->matched);
    umbp_gauges_add (stats, "nodes_asked", self->asked);
    umbp_gauges_add (stats, "silent", self->silent);
    umbp_gauges_add (stats, "busy", self->busy);
    umbp_gauges_add (stats, "full", self->full);
}

static void s_destroy (void **self_p)
{
    self_t *self = *self_p;
    for (size_t number = 0; number <= UMBP_EXTKV_MATCHES_MAX; number++)
        if (self->flights[number]) {
            umbp_kv_merge_destroy (&self->flights[number]->merge);
            free (self->flights[number]);
        }
    umbp_kv_table_destroy (&self->table);
    free (self->scoped);
    umbp_topology_destroy (&self->topology);
    freen (*self_p);
}

static const umbp_op_t s_ops[] = {
    { UMBP_MSG_kv_report, s_on_report },
    { UMBP_MSG_kv_revoke, s_on_revoke },
    { UMBP_MSG_kv_revoke_all, s_on_revoke_all },
    { UMBP_MSG_kv_match, s_on_match },
    { UMBP_MSG_kv_hits, s_on_hits },
    { UMBP_MSG_topology_ok, s_on_topology },
    { 0, NULL },
};

zactor_t *umbp_extkv_new (const umbp_extkv_args_t *args)
{
    umbp_kv_table_t *table =
        umbp_kv_table_new (args->hashes, args->hit_ttl_ms ? args->hit_ttl_ms : UMBP_KV_HIT_TTL_MS);
    if (!table) {
        zsys_error ("extkv: cannot make a table hashes=%llu", (unsigned long long) args->hashes);
        return NULL;
    }
    self_t *self = zmalloc (sizeof (self_t));
    self->table = table;
    self->scoped = zmalloc (UMBP_BATCH_MAX * SCOPED_MAX);
    snprintf (self->tenant, sizeof self->tenant, "%s", args->home->tenant);
    for (size_t number = UMBP_EXTKV_MATCHES_MAX; number > 0; number--)
        self->free[self->free_count++] = (uint16_t) number;
    umbp_actor_args_t actor = {
        .name = "extkv",
        .home = args->home,
        .door = true,
        .ops = s_ops,
        .self = self,
        .start = s_start,
        .stat = s_stat,
        .tick = s_tick,
        .tick_ms = TICK_MS,
        .destroy = s_destroy,
    };
    return umbp_actor_new (&actor);
}

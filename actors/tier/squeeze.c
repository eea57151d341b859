//  actors/tier/squeeze.c - a tier manager under pressure. See squeeze.h.
#include "actors/tier/squeeze.h"

#include "cluster/bulk/clock.h"
#include "cluster/origin.h"
#include "proto/scope.h"

#define BLOCK_NS_FIRST 2000             //  Until we have seen how long it takes to let a block go,
#define PAUSE_NS_FIRST 120000           //  ... and from one step to the next
#define PAUSE_NS_MAX 50000000           //  Longer ones are no part of a round

#define MOVES_MAX 256                   //  Blocks of suspended tenants on their way elsewhere
#define MOVED_MAX 4096                  //  ... that are elsewhere, and about to go from here
#define MOVED_MS 500                    //  So long they stay, for readers who looked them up before
#define PASS_MS 5000                    //  Between two passes over blocks that could not go
#define STEP_MAX 4096                   //  Items that a pass looks at in one tick

struct umbp_squeeze {
    umbp_balloon_t *balloon;
    umbp_journal_t *journal;
    char suspended[UMBP_TENANTS_MAX][UMBP_NAME_MAX + 1];
    size_t count;
    bool refused;                       //  Since umbp_manager_refusal was asked last
    uint64_t refusals, level;
    int64_t evict_end;                  //  When the last step of an eviction was done, ns
    uint64_t block_ns, pause_ns;        //  What was measured, smoothed; 0: not yet
    uint64_t capacity;                  //  As the journal knows it
    bool passing;
    uint32_t cursor;
    int64_t pass_at;
    umbp_moved_t moved[MOVED_MAX];      //  A ring
    uint32_t moved_first, moved_count;
    uint64_t all_moved;
};

static int64_t s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t s_smooth (uint64_t before, uint64_t value)
{
    return before ? (3 * before + value) / 4 : value + (value == 0);
}

static void s_note (umbp_manager_t *self, umbp_event_t kind, const char *tenant, uint64_t amount)
{
    char name[UMBP_NAME_MAX + 1] = "";
    snprintf (name, sizeof name, "%s", tenant);
    umbp_journal_add (self->squeeze->journal, kind, name, amount);
}

static void s_note_block (umbp_manager_t *self, umbp_event_t kind, uint32_t item)
{
    const umbp_block_t *block = umbp_store_block (self->store, item);
    s_note (self, kind, umbp_tenants_at (umbp_store_tenants (self->store), block->tenant)->name,
            umbp_store_bytes (self->store, block->size));
}

//  The balloon lets a block go
static void s_drop (void *owner, uint32_t item)
{
    umbp_manager_t *self = owner;
    s_note_block (self, UMBP_EVENT_EVICT, item);
    umbp_manager_evict (self, item);
}

static void s_moved (void *owner, uint32_t item)
{
    s_note_block (owner, UMBP_EVENT_MOVE, item);
}

void umbp_manager_squeeze_new (umbp_manager_t *self)
{
    umbp_squeeze_t *squeeze = self->squeeze = zmalloc (sizeof (umbp_squeeze_t));
    umbp_balloon_args_t args = { .store = self->store,
                                 .regions = self->args.regions,
                                 .region_count = self->args.region_count,
                                 .pinned = self->args.pinned, .owner = self, .drop = s_drop,
                                 .moved = s_moved };
    squeeze->balloon = umbp_balloon_new (&args);
    squeeze->journal = umbp_journal_new ();
    umbp_store_set_journal (self->store, squeeze->journal);
    squeeze->capacity = umbp_store_counts (self->store).total_bytes;
    s_note (self, UMBP_EVENT_CAPACITY, "", squeeze->capacity);
}

void umbp_manager_squeeze_destroy (umbp_manager_t *self)
{
    if (!self->squeeze)
        return;
    umbp_balloon_destroy (&self->squeeze->balloon);
    umbp_journal_destroy (&self->squeeze->journal);
    freen (self->squeeze);
}

//  ------------------------------------------------------------------------------------------------
//  Blocks of suspended tenants go to other nodes, where there is room: as in a drain (keeper.c), a block is
//  dropped here only when another node has it and the index knows. Where nobody has room they stay. Only the word of
//  a node counts on which the tenant is not suspended, and only as long as it stays so here without a break: else
//  two nodes could each rely on the other.

static size_t s_find (const umbp_squeeze_t *self, umbp_text_t tenant);

static bool s_is_theirs (umbp_manager_t *self, const umbp_block_t *block)
{
    const umbp_squeeze_t *squeeze = self->squeeze;
    umbp_tenants_t *tenants = umbp_store_tenants (self->store);
    return block->state == UMBP_BLOCK_LIVE && !block->foreign
           && s_find (squeeze, umbp_text (umbp_tenants_at (tenants, block->tenant)->name))
                  < squeeze->count;
}

void umbp_manager_squeeze_spread (umbp_manager_t *self, const umbp_spread_end_t *end)
{
    umbp_squeeze_t *squeeze = self->squeeze;
    if (end->missing || end->gone || squeeze->count == 0 || squeeze->moved_count == MOVED_MAX)
        return;
    squeeze->moved[(squeeze->moved_first + squeeze->moved_count++) % MOVED_MAX] =
        (umbp_moved_t) { end->item, end->token, end->tag, zclock_mono () + MOVED_MS };
}

static void s_drop_moved (umbp_manager_t *self, int64_t now)
{
    umbp_squeeze_t *squeeze = self->squeeze;
    bool any = false;
    while (squeeze->moved_count > 0 && squeeze->moved[squeeze->moved_first].drop_at <= now) {
        umbp_moved_t moved = squeeze->moved[squeeze->moved_first];
        squeeze->moved_first = (squeeze->moved_first + 1) % MOVED_MAX;
        squeeze->moved_count--;
        const umbp_block_t *block = umbp_store_block (self->store, moved.item);
        if (block->token != moved.token || moved.turn != self->keeper.turn
            || !s_is_theirs (self, block))
            continue;                   //  Gone, or its tenant was resumed: then it stays here too
        squeeze->all_moved++;
        umbp_manager_drop (self, moved.item);
        any = true;
    }
    if (any)
        umbp_announce_send (self->announce);
}

static void s_move_away (umbp_manager_t *self, int64_t now)
{
    umbp_squeeze_t *squeeze = self->squeeze;
    const umbp_topology_t *members = self->keeper.before;
    if (self->keeper.draining || !members || umbp_topology_count (members) < 2)
        return;
    s_drop_moved (self, now);
    if (squeeze->count == 0 || (!squeeze->passing && now < squeeze->pass_at))
        return;
    squeeze->cursor = squeeze->passing ? squeeze->cursor : 0;
    squeeze->passing = true;
    uint32_t reach = umbp_store_reach (self->store), end = squeeze->cursor + STEP_MAX;
    for (; squeeze->cursor < reach && squeeze->cursor < end; squeeze->cursor++) {
        uint32_t open = (uint32_t) umbp_spread_open (self->spread, UMBP_SPREAD_DRAIN);
        if (open >= MOVES_MAX || squeeze->moved_count + open >= MOVED_MAX)
            return;
        if (s_is_theirs (self, umbp_store_block (self->store, squeeze->cursor))
            && !umbp_spread_add (self->spread, UMBP_SPREAD_DRAIN, squeeze->cursor,
                                 self->keeper.turn))
            return;
    }
    if (squeeze->cursor < reach || squeeze->moved_count > 0
        || umbp_spread_open (self->spread, UMBP_SPREAD_DRAIN) > 0)
        return;
    squeeze->passing = false;
    squeeze->pass_at = now + PASS_MS;
}

void umbp_manager_squeeze (umbp_manager_t *self)
{
    umbp_squeeze_t *squeeze = self->squeeze;
    s_move_away (self, zclock_mono ());
    uint64_t evicted = self->evicted;
    umbp_balloon_step (squeeze->balloon);
    if (self->evicted > evicted)
        umbp_announce_send (self->announce);
    uint64_t capacity = umbp_store_counts (self->store).total_bytes;
    if (capacity == squeeze->capacity)
        return;
    squeeze->capacity = capacity;
    s_note (self, UMBP_EVENT_CAPACITY, "", capacity);
}

//  ------------------------------------------------------------------------------------------------
//  Suspended tenants

static size_t s_find (const umbp_squeeze_t *self, umbp_text_t tenant)
{
    size_t place = 0;
    while (place < self->count && !umbp_text_is (tenant, self->suspended[place]))
        place++;
    return place;
}

bool umbp_manager_is_suspended (umbp_manager_t *self, umbp_bytes_t key, bool copy)
{
    umbp_squeeze_t *squeeze = self->squeeze;
    if (squeeze->count == 0
        || s_find (squeeze, umbp_scope_tenant (key.data, key.size)) == squeeze->count
        || (!copy && umbp_store_find (self->store, key.data, key.size) != UMBP_STORE_NONE))
        return false;
    squeeze->refused = true;
    squeeze->refusals++;
    return true;
}

umbp_text_t umbp_manager_refusal (umbp_manager_t *self)
{
    bool refused = self->squeeze->refused;
    self->squeeze->refused = false;
    return umbp_text (refused ? UMBP_SQUEEZE_REASON : "");
}

static bool s_is_foreign (umbp_manager_t *self, const umbp_mail_t *mail)
{
    if (!mail->origin->door && !mail->origin->origin_size)
        return false;
    umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "type",
                      "from this node only: ask its actor pressure");
    return true;
}

void umbp_manager_on_suspend (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    umbp_squeeze_t *squeeze = self->squeeze;
    const umbp_msg_suspend_t *ask = &mail->msg->suspend;
    if (s_is_foreign (self, mail))
        return;
    umbp_text_t tenant = ask->tenant.size ? ask->tenant : umbp_text ("");
    size_t place = s_find (squeeze, tenant);
    bool is = place < squeeze->count;
    if (ask->on && !is && squeeze->count == UMBP_TENANTS_MAX) {
        umbp_post_answer_status (self->post, mail->origin, UMBP_ENOSPC);
        return;
    }
    char name[UMBP_NAME_MAX + 1];
    umbp_text_copy (tenant, name, sizeof name);
    squeeze->passing = false;           //  From the start, and now
    squeeze->pass_at = 0;
    if (ask->on && !is)
        memcpy (squeeze->suspended[squeeze->count++], name, sizeof name);
    else if (!ask->on && is) {
        memmove (squeeze->suspended[place], squeeze->suspended[place + 1],
                 (--squeeze->count - place) * sizeof *squeeze->suspended);
        self->keeper.turn++;
    }
    if (ask->on != is) {
        s_note (self, ask->on ? UMBP_EVENT_SUSPEND : UMBP_EVENT_RESUME, name, 0);
        zsys_warning ("%s: tenant %s: %s", self->args.name, *name ? name : "(default)",
                      ask->on ? "suspended, it gets no new room" : "resumed");
    }
    umbp_post_answer_status (self->post, mail->origin, UMBP_OK);
}

//  ------------------------------------------------------------------------------------------------
//  What evictions take

void umbp_manager_was_full (umbp_manager_t *self, uint32_t size)
{
    s_note (self, UMBP_EVENT_FULL, "", size);
}

int64_t umbp_manager_evict_begin (umbp_manager_t *self)
{
    umbp_squeeze_t *squeeze = self->squeeze;
    int64_t now = s_now_ns (), pause = now - squeeze->evict_end;
    uint64_t known = squeeze->pause_ns ? squeeze->pause_ns : PAUSE_NS_FIRST;
    if (squeeze->evict_end && pause < PAUSE_NS_MAX)
        squeeze->pause_ns = s_smooth (
            squeeze->pause_ns,
            (uint64_t) pause < 4 * known ? (uint64_t) pause : 4 * known); //  A hiccup counts little
    return now;
}

void umbp_manager_evict_end (umbp_manager_t *self, int64_t begun, uint64_t blocks, uint64_t bytes)
{
    umbp_squeeze_t *squeeze = self->squeeze;
    squeeze->evict_end = s_now_ns ();
    if (blocks == 0)
        return;
    squeeze->block_ns =
        s_smooth (squeeze->block_ns, (uint64_t) (squeeze->evict_end - begun) / blocks);
    s_note (self, UMBP_EVENT_EVICT, "", bytes);
}

void umbp_manager_evict_pace (const umbp_manager_t *self, uint64_t *block_ns, uint64_t *pause_ns)
{
    const umbp_squeeze_t *squeeze = self->squeeze;
    *block_ns = squeeze->block_ns ? squeeze->block_ns : BLOCK_NS_FIRST;
    *pause_ns = squeeze->pause_ns ? squeeze->pause_ns : PAUSE_NS_FIRST;
}

//  ------------------------------------------------------------------------------------------------
//  Memory

void umbp_manager_on_balloon (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const char *why = "";
    if (s_is_foreign (self, mail))
        return;
    uint64_t capacity = mail->msg->balloon.capacity;
    int rc = capacity ? umbp_balloon_aim (self->squeeze->balloon, capacity, &why) : 0;
    if (rc < 0) {
        umbp_post_refuse (self->post, mail->origin, rc, "capacity", why);
        return;
    }
    umbp_balloon_stats_t stats = umbp_balloon_stats (self->squeeze->balloon);
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_balloon_ok, 0);
    answer.balloon_ok.capacity = stats.capacity;
    answer.balloon_ok.goal = stats.goal;
    answer.balloon_ok.made = stats.made;
    answer.balloon_ok.returned = stats.returned;
    answer.balloon_ok.leaving = stats.leaving;
    if (capacity)
        zsys_info ("%s: capacity: now=%" PRIu64 " goal=%" PRIu64 " made=%" PRIu64, self->args.name,
                   stats.capacity, stats.goal, stats.made);
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

void umbp_manager_on_relax (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    if (s_is_foreign (self, mail))
        return;
    if (self->squeeze->level != mail->msg->relax.level)
        s_note (self, UMBP_EVENT_LEVEL, "", mail->msg->relax.level);
    self->squeeze->level = mail->msg->relax.level;
    if (self->squeeze->level > 0 && !self->keeper.draining && self->keeper.moved_count == 0)
        freen (self->keeper.moved);     //  A drain makes it again
}

//  ------------------------------------------------------------------------------------------------
//  Who uses how much, and what happened

//  Names of tenants as a column
typedef struct {
    uint8_t names[UMBP_TENANTS_MAX * UMBP_NAME_MAX];
    uint16_t sizes[UMBP_TENANTS_MAX];
} names_t;

static void s_name (umbp_column_t *column, names_t *room, const char *name)
{
    size_t size = strlen (name);
    memcpy (room->names + column->size, name, size);
    column->size += (uint32_t) size;
    room->sizes[column->count++] = (uint16_t) size;
}

void umbp_manager_on_usage (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    umbp_tenants_t *tenants = umbp_store_tenants (self->store);
    umbp_sight_t sight = umbp_manager_sight (self, mail->origin);
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    names_t room;
    umbp_column_t names = { room.names, room.sizes, 0, 0 };
    uint64_t columns[3][UMBP_TENANTS_MAX];
    uint8_t qos[UMBP_TENANTS_MAX], suspended[UMBP_TENANTS_MAX];
    for (uint16_t row = 0; row < UMBP_TENANTS_MAX; row++) {
        const umbp_tenant_t *who = umbp_tenants_at (tenants, row);
        if (!who->used || (!sight.all && row != sight.row))
            continue;
        uint32_t at = names.count;
        s_name (&names, &room, who->name);
        columns[0][at] = who->bytes;
        columns[1][at] = who->limit;
        columns[2][at] = who->blocks;
        qos[at] = who->qos;
        suspended[at] = s_find (self->squeeze, umbp_text (who->name)) < self->squeeze->count;
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_usage_ok, 0);
    umbp_msg_usage_ok_t *ok = &answer.usage_ok;
    ok->total = counts.total_bytes;
    ok->used = counts.used_bytes;
    ok->made = umbp_balloon_stats (self->squeeze->balloon).made;
    ok->full = self->full;
    ok->next = umbp_journal_next (self->squeeze->journal);
    ok->names = names;
    ok->useds = (umbp_u64s_t) { columns[0], names.count };
    ok->limits = (umbp_u64s_t) { columns[1], names.count };
    ok->blocks = (umbp_u64s_t) { columns[2], names.count };
    ok->qos = (umbp_u8s_t) { qos, names.count };
    ok->suspended = (umbp_u8s_t) { suspended, names.count };
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

//  Rows of an answer: as many as fit into one that also fits a door
#define EVENTS_MAX 512

typedef struct {
    uint64_t numbers[EVENTS_MAX], times[EVENTS_MAX], amounts[EVENTS_MAX];
    uint8_t kinds[EVENTS_MAX], names[EVENTS_MAX * UMBP_NAME_MAX];
    uint16_t sizes[EVENTS_MAX];
    uint32_t count, size;
} events_t;

static void s_add_event (events_t *out, uint64_t number, const umbp_journal_row_t *row)
{
    uint32_t at = out->count++;
    size_t size = strlen (row->tenant);
    out->numbers[at] = number;
    out->times[at] = row->time_us;
    out->amounts[at] = row->amount;
    out->kinds[at] = row->kind;
    out->sizes[at] = (uint16_t) size;
    memcpy (out->names + out->size, row->tenant, size);
    out->size += (uint32_t) size;
}

//  A client of a tenant hears of that tenant alone
void umbp_manager_on_events (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_events_t *ask = &mail->msg->events;
    const umbp_journal_t *journal = self->squeeze->journal;
    umbp_sight_t sight = umbp_manager_sight (self, mail->origin);
    const char *only = "";
    if (!sight.all && sight.row != UMBP_TENANT_NONE)
        only = umbp_tenants_at (umbp_store_tenants (self->store), sight.row)->name;
    uint64_t oldest = umbp_journal_first (journal), next = umbp_journal_next (journal);
    uint64_t at = ask->first > oldest ? ask->first : oldest;
    uint64_t most = ask->most && ask->most < EVENTS_MAX ? ask->most : EVENTS_MAX;
    events_t out = { .count = 0 };
    for (; at < next && out.count < most; at++) {
        const umbp_journal_row_t *row = umbp_journal_at (journal, at);
        bool theirs = sight.row != UMBP_TENANT_NONE && streq (row->tenant, only)
                      && (*only || row->kind == UMBP_EVENT_ALLOC || row->kind == UMBP_EVENT_FREE);
        if (sight.all || theirs)
            s_add_event (&out, at, row);
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_events_ok, 0);
    umbp_msg_events_ok_t *ok = &answer.events_ok;
    ok->node_epoch = self->node_epoch;
    ok->first = oldest;
    ok->next = at < next ? at : next;
    ok->numbers = (umbp_u64s_t) { out.numbers, out.count };
    ok->times_us = (umbp_u64s_t) { out.times, out.count };
    ok->kinds = (umbp_u8s_t) { out.kinds, out.count };
    ok->amounts = (umbp_u64s_t) { out.amounts, out.count };
    ok->tenants = (umbp_column_t) { out.names, out.sizes, out.size, out.count };
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

void umbp_manager_squeeze_stat (umbp_manager_t *self, umbp_gauges_t *gauges)
{
    const umbp_squeeze_t *squeeze = self->squeeze;
    umbp_balloon_stats_t stats = umbp_balloon_stats (squeeze->balloon);
    umbp_gauges_add (gauges, "made_bytes", stats.made);
    umbp_gauges_add (gauges, "returned_bytes", stats.returned);
    umbp_gauges_add (gauges, "leaving_bytes", stats.leaving);
    umbp_gauges_add (gauges, "balloon_evicted", stats.evicted);
    umbp_gauges_add (gauges, "balloon_moved", stats.moved_blocks);
    umbp_gauges_add (gauges, "balloon_failed", stats.failed);
    umbp_gauges_add (gauges, "tenants_suspended", squeeze->count);
    umbp_gauges_add (gauges, "refused_suspended", squeeze->refusals);
    umbp_gauges_add (gauges, "suspended_moved", squeeze->all_moved);
    umbp_gauges_add (gauges, "events", umbp_journal_next (squeeze->journal) - 1);
}

//  actors/tier/transit.c - blocks that go from this tier to others of the same node: down, when they have to leave here, or
//  at once if puts are written through; and up, when they were read here and would be read faster there.
//
//  What has to leave goes down first, and from here once the tier below has it. That tier gets a moment for it: what it
//  has not taken by then leaves without a copy, since a cache that stands still is worse than one that forgets; and
//  if it took nothing at all, it is left alone for a while. The moment begins anew whenever the tier below takes a block, or
//  one further down does, UMBP_SHIFT_TURNS times at most: who is slow is waited for, who stands still is not. What is not worth a place there leaves without one too, and what
//  just came from there stays, if others can go: see govern.c.
#include "actors/move_point.h"
#include "actors/tier/manager_self.h"

#define YIELD_MS 1000                   //  For one eviction, unless it is set
#define YIELD_BATCH 256                 //  Blocks
#define LOOKS_MAX 8                     //  At the least useful ones: those that are on their way down may hide others
#define WAY_BYTES (4u << 20)            //  That go down at least, once blocks wait for room on the medium
#define WAY_OPEN_MAX 64                 //  Blocks on their way down that are enough for now
#define ABOVE_READS 255                 //  Of a block in memory, before the device is asked again whether it has it
#define ALONE_MS 2000                   //  A tier below that took nothing of an eviction is not asked for so long

//  --------------------------------------------------------------------------------------------------
//  Down

static uint64_t s_used (const umbp_manager_t *self)
{
    return umbp_store_counts (self->store).used_bytes;
}

//  The least useful blocks. Of a medium that gives room by the segment, those of one segment.
static size_t s_victims (umbp_manager_t *self, uint32_t victims[YIELD_BATCH])
{
    size_t count = self->depot ? umbp_depot_victims (self->depot, YIELD_BATCH, victims) : 0;
    return count > 0 ? count : umbp_manager_victims (self, YIELD_BATCH, victims);
}

//  Those that shall have a copy below go last
void umbp_manager_shed (umbp_manager_t *self, const uint32_t *victims, size_t count, uint64_t bytes)
{
    uint64_t before = s_used (self);
    for (int turn = 0; turn < 2; turn++)
        for (size_t index = 0; index < count && before - s_used (self) < bytes; index++) {
            const umbp_block_t *block = umbp_store_block (self->store, victims[index]);
            bool waits = block->sinking > 0;
            if (block->state != UMBP_BLOCK_LIVE || (waits && turn == 0))
                continue;
            self->transit.unsaved += waits;
            umbp_manager_evict (self, victims[index]);
        }
}

//  Let blocks go without a copy
static void s_shed (umbp_manager_t *self, uint64_t bytes)
{
    uint32_t victims[YIELD_BATCH];
    size_t count = s_victims (self, victims);
    umbp_manager_shed (self, victims, count, bytes);
}

static int64_t s_patience_ms (const umbp_manager_t *self)
{
    return self->args.patience_ms ? (int64_t) self->args.patience_ms : YIELD_MS;
}

static void s_yield_end (umbp_manager_t *self, umbp_yield_t *yield)
{
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_evict_ok, 0);
    answer.evict_ok.bytes = yield->bytes;
    answer.evict_ok.blocks = yield->blocks;
    yield->used = false;
    umbp_announce_send (self->announce);
    umbp_post_answer (self->post, &yield->origin, &answer, NULL, 0);
}

//  So long what shall leave is waited for: who takes something gets more time, but not for ever
static int64_t s_expires (const umbp_manager_t *self, const umbp_yield_t *yield)
{
    int64_t patience = s_patience_ms (self), last = yield->since + patience * UMBP_SHIFT_TURNS;
    int64_t since = self->transit.went_at > yield->since ? self->transit.went_at : yield->since;
    return since + patience < last ? since + patience : last;
}

//  What is missing leaves without a copy: first what was chosen, unless it is on its way just now, and so gives no room yet
static void s_yield_rest (umbp_manager_t *self, umbp_yield_t *yield, int64_t now)
{
    umbp_store_counts_t before = umbp_store_counts (self->store);
    uint64_t missing = yield->wanted - yield->bytes;
    uint32_t chosen[YIELD_BATCH];
    size_t count = umbp_shift_waiting (self->transit.down, UMBP_SHIFT_PRESSED, YIELD_BATCH, chosen);
    umbp_manager_shed (self, chosen, count, missing);
    uint64_t shed = before.used_bytes - s_used (self);
    if (shed < missing)
        s_shed (self, missing - shed);
    umbp_store_counts_t after = umbp_store_counts (self->store);
    if (self->transit.went == yield->went && before.live != after.live) {
        self->transit.alone_until = now + ALONE_MS;
        zsys_warning ("%s: the tier below took nothing in %" PRId64
                      " ms: blocks leave without a copy for %d s",
                      self->args.name, now - yield->since, ALONE_MS / 1000);
    }
    yield->bytes += before.used_bytes - after.used_bytes;
    yield->blocks += before.live - after.live;
}

//  Answer evictions that have what they asked for, or that nothing more comes for, or whose time is over
static void s_yield (umbp_manager_t *self, int64_t now)
{
    umbp_transit_t *transit = &self->transit;
    bool open = umbp_shift_open (transit->down, UMBP_SHIFT_PRESSED) > 0;
    for (size_t index = 0; index < UMBP_YIELDS_MAX; index++) {
        umbp_yield_t *yield = &transit->yields[index];
        if (!yield->used || (open && yield->bytes < yield->wanted && s_expires (self, yield) > now))
            continue;
        if (yield->bytes < yield->wanted && !transit->stopping)
            s_yield_rest (self, yield, now);
        s_yield_end (self, yield);
    }
}

//  A block went down, or was removed on its way: of the evictions that have not got enough the one that came first has it
static void s_credit (umbp_manager_t *self, uint64_t bytes)
{
    umbp_yield_t *first = NULL;
    for (size_t index = 0; index < UMBP_YIELDS_MAX; index++) {
        umbp_yield_t *yield = &self->transit.yields[index];
        if (yield->used && yield->bytes < yield->wanted && (!first || yield->since < first->since))
            first = yield;
    }
    if (first) {
        first->bytes += bytes;
        first->blocks++;
    }
}

//  Whether an eviction still waits for blocks that go down. A medium wants room without one.
static bool s_wants_room (const umbp_manager_t *self)
{
    bool wants = self->depot != NULL;
    for (size_t index = 0; index < UMBP_YIELDS_MAX && !wants; index++) {
        const umbp_yield_t *yield = &self->transit.yields[index];
        wants = yield->used && yield->bytes < yield->wanted;
    }
    return wants;
}

//  A job down ended: a block that had to leave does if its copy is there, and if its room is still wanted; or it stays
static void s_on_down (void *owner, const umbp_shift_end_t *end)
{
    umbp_manager_t *self = owner;
    umbp_block_t *block = umbp_store_block (self->store, end->item);
    umbp_manager_prepared (self, end);
    if (end->status == 0)
        umbp_manager_went (self);
    if (end->why != UMBP_SHIFT_PRESSED || block->state != UMBP_BLOCK_LIVE
        || block->token != end->token)
        return;
    block->leaving = false;
    if ((end->status != 0 && end->status != UMBP_EEXIST) || !s_wants_room (self))
        return;
    uint64_t bytes = umbp_store_bytes (self->store, block->size);
    umbp_manager_moved (self, end->item);
    umbp_manager_sink (self, end->item);
    umbp_move_pass ("retired");
    self->evicted++;
    s_credit (self, bytes);             //  Also if its readers are not done: nothing else shall leave for it
}

//  What an eviction chooses
typedef struct {
    uint64_t wanted, chosen;            //  Bytes
    size_t count;                       //  Blocks
    uint64_t bytes, blocks;             //  Of these, gone already: the tier below does not want them
    uint32_t resting[YIELD_BATCH];
    size_t rests;
    bool full;                          //  No more can go down now
} choice_t;

//  One block goes down, or is let go of
static void s_choose (umbp_manager_t *self, choice_t *choice, uint32_t item, int64_t now)
{
    umbp_block_t *block = umbp_store_block (self->store, item);
    uint64_t bytes = umbp_store_bytes (self->store, block->size);
    block->leaving = false;             //  If it rested
    if (umbp_manager_admits (self, item, now)) {
        choice->full = !umbp_shift_add (self->transit.down, UMBP_SHIFT_PRESSED, item);
        block->leaving = !choice->full;
    } else {
        uint64_t before = s_used (self);
        umbp_manager_let_go (self, item);
        choice->bytes += before - s_used (self);
        choice->blocks++;
    }
    choice->chosen += choice->full ? 0 : bytes;
    choice->count++;
}

static bool s_is_enough (const choice_t *choice)
{
    return choice->full || choice->chosen >= choice->wanted || choice->count >= YIELD_BATCH;
}

//  Of the least useful blocks, those that did not just come from the tier below, and do not wait for their copy there:
//  they can go at once, or nobody else saw to it. resting: note the others.
static void s_choose_some (umbp_manager_t *self, choice_t *choice, int64_t now)
{
    uint32_t victims[YIELD_BATCH];
    size_t count = s_victims (self, victims);
    for (size_t index = 0; index < count && !s_is_enough (choice) && choice->rests < YIELD_BATCH;
         index++) {
        umbp_block_t *block = umbp_store_block (self->store, victims[index]);
        if (block->sinking || umbp_manager_rests (self, victims[index], now)) {
            block->leaving = true;      //  Not to be named again
            choice->resting[choice->rests++] = victims[index];
        } else
            s_choose (self, choice, victims[index], now);
    }
}

//  Those that rest stay, unless the others are too few, or have no place among those that are to go
static void s_choose_all (umbp_manager_t *self, choice_t *choice, int64_t now)
{
    for (int look = 0; look < LOOKS_MAX && !s_is_enough (choice) && choice->rests < YIELD_BATCH;
         look++)
        s_choose_some (self, choice, now);
    bool full = choice->full;
    for (size_t index = 0; index < choice->rests; index++) {
        umbp_block_t *block = umbp_store_block (self->store, choice->resting[index]);
        choice->full = full && !block->sinking;     //  It has its place already
        if (s_is_enough (choice))
            block->leaving = false;
        else
            s_choose (self, choice, choice->resting[index], now);
        full |= choice->full;
    }
}

bool umbp_manager_yield (umbp_manager_t *self, const umbp_mail_t *mail)
{
    umbp_transit_t *transit = &self->transit;
    int64_t now = zclock_mono ();
    size_t place = 0;
    while (place < UMBP_YIELDS_MAX && transit->yields[place].used)
        place++;
    if (!transit->down || now < transit->alone_until || place == UMBP_YIELDS_MAX)
        return false;
    choice_t choice = { .wanted = mail->msg->evict.bytes };
    s_choose_all (self, &choice, now);
    if (choice.chosen == 0 && umbp_shift_open (transit->down, UMBP_SHIFT_PRESSED) == 0)
        return false;
    uint64_t wanted =
        choice.chosen && choice.chosen < choice.wanted ? choice.chosen : choice.wanted;
    transit->yields[place] = (umbp_yield_t){ *mail->origin, true,          now,          wanted,
                                             choice.bytes,  choice.blocks, transit->went };
    umbp_shift_pump (transit->down);
    s_yield (self, now);                //  If nothing goes down, that is all
    return true;
}

//  The medium has no room for blocks that came: some others go down for them, unless enough are on their way
static void s_make_way (umbp_manager_t *self, int64_t now)
{
    umbp_transit_t *transit = &self->transit;
    umbp_depot_set_sinks (self->depot, now >= transit->alone_until);
    uint64_t tight = umbp_depot_tight (self->depot);
    if (tight == 0 || umbp_shift_open (transit->down, UMBP_SHIFT_PRESSED) > WAY_OPEN_MAX)
        return;
    choice_t choice = { .wanted = tight < WAY_BYTES ? WAY_BYTES : tight };
    s_choose_all (self, &choice, now);
    umbp_announce_send (self->announce);
    umbp_shift_pump (transit->down);
}

void umbp_manager_write_through (umbp_manager_t *self, uint32_t item)
{
    if (self->transit.down && self->args.write_through)
        umbp_shift_add (self->transit.down, UMBP_SHIFT_COPY, item);
}

//  --------------------------------------------------------------------------------------------------
//  Up

static void s_on_up (void *owner, const umbp_shift_end_t *end)
{
    umbp_manager_t *self = owner;
    umbp_block_t *block = umbp_store_block (self->store, end->item);
    bool known = block->state == UMBP_BLOCK_LIVE && block->token == end->token
                 && (end->status == 0 || end->status == UMBP_EEXIST);
    self->transit.promoted += end->status == 0;
    if (known && end->status == 0)
        umbp_manager_moved (self, end->item);
    if (known && !self->depot)
        block->above = ABOVE_READS;
}

void umbp_manager_promote (umbp_manager_t *self, uint32_t item)
{
    umbp_block_t *block = umbp_store_block (self->store, item);
    bool again = block->hit, worth = self->depot || again || block->hint == UMBP_POLICY_HINT_KEEP;
    block->hit = true;
    if (block->above > 0) {             //  Memory is read first, also of what a device has
        block->above--;
        return;
    }
    if (!self->transit.up || !worth || self->keeper.draining
        || umbp_manager_rests (self, item, zclock_mono ()))
        return;
    if (again || !umbp_manager_in_storm (self))
        umbp_shift_add (self->transit.up, UMBP_SHIFT_COPY, item);
    else
        self->transit.put_off++;
}

//  --------------------------------------------------------------------------------------------------
//  Both

void umbp_manager_removed (umbp_manager_t *self, uint64_t print, umbp_undo_span_t *span)
{
    if (self->transit.down)
        umbp_shift_removed (self->transit.down, print, span);
    if (self->transit.up)
        umbp_shift_removed (self->transit.up, print, span);
}

void umbp_manager_wiped (umbp_manager_t *self, umbp_text_t tenant, umbp_undo_span_t *span)
{
    if (self->transit.down)
        umbp_shift_wiped (self->transit.down, tenant, span);
    if (self->transit.up)
        umbp_shift_wiped (self->transit.up, tenant, span);
}

void umbp_manager_leaves (umbp_manager_t *self, uint32_t item)
{
    const umbp_block_t *block = umbp_store_block (self->store, item);
    if (block->leaving && self->transit.down)        //  It makes the room that it was chosen for
        s_credit (self, umbp_store_bytes (self->store, block->size));
}

static void s_undo_at (umbp_manager_t *self, unsigned to, const umbp_column_t *keys,
                       umbp_undo_span_t *span)
{
    uint64_t number = umbp_undos_plan (self->undos, span);
    if (umbp_undos_send (self->undos, number, to, keys) < 0)
        span->unsafe = true;
}

//  What came from above went down from here, if anywhere; what came from elsewhere may have gone down or up
void umbp_manager_undo (umbp_manager_t *self, const umbp_msg_drop_t *ask, umbp_undo_span_t *span)
{
    const umbp_transit_t *transit = &self->transit;
    bool from_above = ask->tier && ask->tier < self->args.tier;
    if (transit->down && (ask->moved || umbp_shift_is_unsure (transit->down)))
        s_undo_at (self, self->args.below, &ask->keys, span);
    if (transit->up && ((ask->moved && !from_above) || umbp_shift_is_unsure (transit->up)))
        s_undo_at (self, self->args.above, &ask->keys, span);
}

void umbp_manager_went (umbp_manager_t *self)
{
    self->transit.went_at = zclock_mono ();
    self->transit.went++;
    umbp_shift_went (self->transit.down);
    umbp_manager_took (self);
}

//  What the migrator and the tier below do not answer from now on is no fault of theirs
void umbp_manager_stops (void *owner)
{
    ((umbp_manager_t *) owner)->transit.stopping = true;
}

void umbp_manager_start_transit (umbp_manager_t *self)
{
    const umbp_manager_args_t *args = &self->args;
    umbp_shift_args_t down = { self->node,          args->tier,         args->below,
                               args->down_rate,     args->flight_blocks, args->flight_bytes,
                               umbp_manager_on_sent, self->undos };
    umbp_shift_args_t up = { self->node,          args->tier,         args->above,
                             args->up_rate,       args->flight_blocks, args->flight_bytes,
                             umbp_manager_on_sent, self->undos };
    umbp_manager_start_govern (self);
    if (args->below)
        self->transit.down = umbp_shift_new (self->post, self->store, &down, self, s_on_down);
    if (self->transit.down)
        umbp_shift_set_patience (self->transit.down, (unsigned) (s_patience_ms (self) / 5 * 4));
    if (args->above)
        self->transit.up = umbp_shift_new (self->post, self->store, &up, self, s_on_up);
}

void umbp_manager_go_on_transit (umbp_manager_t *self, int64_t now)
{
    umbp_manager_govern (self, now);
    umbp_manager_scan (self, now);
    if (self->transit.down) {
        if (self->depot)
            s_make_way (self, now);
        umbp_shift_pump (self->transit.down);
        s_yield (self, now);
    }
    if (self->transit.up)
        umbp_shift_pump (self->transit.up);
}

void umbp_manager_stat_transit (const umbp_manager_t *self, umbp_gauges_t *gauges)
{
    umbp_shift_stats_t down = { 0 }, up = { 0 };
    if (!self->transit.down && !self->transit.up)
        return;
    if (self->transit.down)
        down = umbp_shift_stats (self->transit.down);
    if (self->transit.up)
        up = umbp_shift_stats (self->transit.up);
    umbp_gauges_add (gauges, "demoted", down.copies);
    umbp_gauges_add (gauges, "demoted_bytes", down.copy_bytes);
    umbp_gauges_add (gauges, "demoted_known", down.known);
    umbp_gauges_add (gauges, "demotions_failed", down.failures + down.full);
    umbp_gauges_add (gauges, "evicted_without_copy", self->transit.shed);
    umbp_gauges_add (gauges, "evicted_before_copy", self->transit.unsaved);
    umbp_gauges_add (gauges, "promoted", up.copies);
    umbp_gauges_add (gauges, "promoted_bytes", up.copy_bytes);
    umbp_gauges_add (gauges, "promotions_failed", up.failures + up.full);
    umbp_gauges_add (gauges, "shifts_undone", umbp_undos_sent (self->undos));
    umbp_manager_stat_govern (self, gauges);
    umbp_manager_stat_scan (self, gauges);
    umbp_manager_stat_advice (self, gauges);
}

void umbp_manager_end_transit (umbp_manager_t *self)
{
    umbp_shift_destroy (&self->transit.down);
    umbp_shift_destroy (&self->transit.up);
    umbp_manager_end_govern (self);
}

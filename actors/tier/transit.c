//  actors/tier/transit.c - blocks that go from this tier to others of the same node: down, when they have to leave here, or
//  at once if puts are written through; and up, when they were read here and would be read faster there.
//
//  What has to leave goes down first, and from here once the tier below has it. That tier gets a moment for it: what it
//  has not taken by then leaves without a copy, since a cache that stands still is worse than one that forgets; and
//  if it took nothing at all, it is left alone for a while. What is not worth a place there leaves without one too, and what
//  just came from there stays, if others can go: see govern.c.
#include "actors/tier/manager_self.h"

#define YIELD_MS 1000                   //  For one eviction
#define YIELD_BATCH 256                 //  Blocks
#define LOOKS_MAX 8                     //  At the least useful ones: those that are on their way down may hide others
#define ALONE_MS 2000                   //  A tier below that took nothing of an eviction is not asked for so long

//  --------------------------------------------------------------------------------------------------
//  Down

static uint64_t s_used (const umbp_manager_t *self)
{
    return umbp_store_counts (self->store).used_bytes;
}

//  Let blocks go without a copy
static void s_shed (umbp_manager_t *self, uint64_t bytes)
{
    uint32_t victims[YIELD_BATCH];
    size_t count = umbp_store_victims (self->store, YIELD_BATCH, victims);
    uint64_t before = s_used (self);
    for (size_t index = 0; index < count && before - s_used (self) < bytes; index++) {
        umbp_manager_evict (self, victims[index]);
    }
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

//  Answer evictions that have what they asked for, or that nothing more comes for, or whose time is over
static void s_yield (umbp_manager_t *self, int64_t now)
{
    umbp_transit_t *transit = &self->transit;
    bool open = umbp_shift_open (transit->down, UMBP_SHIFT_PRESSED) > 0;
    for (size_t index = 0; index < UMBP_YIELDS_MAX; index++) {
        umbp_yield_t *yield = &transit->yields[index];
        if (!yield->used || (open && yield->bytes < yield->wanted && yield->expires > now))
            continue;
        if (yield->bytes < yield->wanted) {
            umbp_store_counts_t before = umbp_store_counts (self->store);
            s_shed (self, yield->wanted - yield->bytes);
            umbp_store_counts_t after = umbp_store_counts (self->store);
            if (yield->sunk == transit->sunk && before.live != after.live) {
                transit->alone_until = now + ALONE_MS;
                zsys_warning (
                    "%s: the tier below took nothing in %d ms: blocks leave without a copy for %d s",
                    self->args.name, YIELD_MS, ALONE_MS / 1000);
            }
            yield->bytes += before.used_bytes - after.used_bytes;
            yield->blocks += before.live - after.live;
        }
        s_yield_end (self, yield);
    }
}

//  A block went down: of the evictions that have not got enough the one that ends first has it
static void s_credit (umbp_manager_t *self, uint64_t bytes)
{
    umbp_yield_t *first = NULL;
    self->transit.sunk++;
    for (size_t index = 0; index < UMBP_YIELDS_MAX; index++) {
        umbp_yield_t *yield = &self->transit.yields[index];
        if (yield->used && yield->bytes < yield->wanted
            && (!first || yield->expires < first->expires))
            first = yield;
    }
    if (first) {
        first->bytes += bytes;
        first->blocks++;
    }
}

//  A job down ended: a block that had to leave does if its copy is there, or stays for another try
static void s_on_down (void *owner, const umbp_shift_end_t *end)
{
    umbp_manager_t *self = owner;
    umbp_block_t *block = umbp_store_block (self->store, end->item);
    if (end->why != UMBP_SHIFT_PRESSED || block->state != UMBP_BLOCK_LIVE
        || block->token != end->token)
        return;
    block->leaving = false;
    if (end->status != 0 && end->status != UMBP_EEXIST)
        return;
    uint64_t before = s_used (self);
    umbp_manager_moved (self, end->item);
    umbp_manager_sink (self, end->item);
    self->evicted++;
    s_credit (self, before - s_used (self));
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
        self->evicted++;
        umbp_manager_evict (self, item);
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

//  Of the least useful blocks, those that did not just come from the tier below. resting: note the others.
static void s_choose_some (umbp_manager_t *self, choice_t *choice, int64_t now)
{
    uint32_t victims[YIELD_BATCH];
    size_t count = umbp_store_victims (self->store, YIELD_BATCH, victims);
    for (size_t index = 0; index < count && !s_is_enough (choice); index++)
        if (choice->rests < YIELD_BATCH && umbp_manager_rests (self, victims[index], now)) {
            umbp_store_block (self->store, victims[index])->leaving =
                true; //  Not to be named again
            choice->resting[choice->rests++] = victims[index];
        } else
            s_choose (self, choice, victims[index], now);
}

//  Those that rest stay, unless the others are too few
static void s_choose_all (umbp_manager_t *self, choice_t *choice, int64_t now)
{
    for (int look = 0; look < LOOKS_MAX && !s_is_enough (choice); look++)
        s_choose_some (self, choice, now);
    for (size_t index = 0; index < choice->rests; index++)
        if (s_is_enough (choice))
            umbp_store_block (self->store, choice->resting[index])->leaving = false;
        else
            s_choose (self, choice, choice->resting[index], now);
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
    transit->yields[place] = (umbp_yield_t){ *mail->origin, true,          now + YIELD_MS, wanted,
                                             choice.bytes,  choice.blocks, transit->sunk };
    umbp_shift_pump (transit->down);
    s_yield (self, now);                //  If nothing goes down, that is all
    return true;
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
    const umbp_block_t *block = umbp_store_block (self->store, end->item);
    self->transit.promoted += end->status == 0;
    if (end->status == 0 && block->state == UMBP_BLOCK_LIVE && block->token == end->token)
        umbp_manager_moved (self, end->item);
}

void umbp_manager_promote (umbp_manager_t *self, uint32_t item)
{
    if (self->transit.up && !self->keeper.draining
        && !umbp_manager_rests (self, item, zclock_mono ()))
        umbp_shift_add (self->transit.up, UMBP_SHIFT_COPY, item);
}

//  --------------------------------------------------------------------------------------------------
//  Both

bool umbp_manager_removed (umbp_manager_t *self, uint32_t item)
{
    umbp_spread_removed (self->spread, item);
    bool down = self->transit.down && umbp_shift_removed (self->transit.down, item);
    bool up = self->transit.up && umbp_shift_removed (self->transit.up, item);
    return down || up;
}

bool umbp_manager_undoing (const umbp_manager_t *self)
{
    return (self->transit.down && umbp_shift_undoing (self->transit.down) > 0)
           || (self->transit.up && umbp_shift_undoing (self->transit.up) > 0);
}

void umbp_manager_start_transit (umbp_manager_t *self)
{
    const umbp_manager_args_t *args = &self->args;
    umbp_shift_args_t down = { self->node,      args->tier,          args->below,
                               args->down_rate, args->flight_blocks, args->flight_bytes };
    umbp_shift_args_t up = { self->node,    args->tier,          args->above,
                             args->up_rate, args->flight_blocks, args->flight_bytes };
    umbp_manager_start_govern (self);
    if (args->below)
        self->transit.down = umbp_shift_new (self->post, self->store, &down, self, s_on_down);
    if (args->above)
        self->transit.up = umbp_shift_new (self->post, self->store, &up, self, s_on_up);
}

void umbp_manager_go_on_transit (umbp_manager_t *self, int64_t now)
{
    umbp_manager_govern (self, now);
    if (self->transit.down) {
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
    umbp_gauges_add (gauges, "promoted", up.copies);
    umbp_gauges_add (gauges, "promoted_bytes", up.copy_bytes);
    umbp_gauges_add (gauges, "promotions_failed", up.failures + up.full);
    umbp_gauges_add (gauges, "shifts_undone", down.undone + up.undone);
    umbp_manager_stat_govern (self, gauges);
}

void umbp_manager_end_transit (umbp_manager_t *self)
{
    umbp_shift_destroy (&self->transit.down);
    umbp_shift_destroy (&self->transit.up);
    umbp_manager_end_govern (self);
}

//  actors/tier/transit.c - blocks that go from this tier to others of the same node: down, when they have to leave here, or
//  at once if puts are written through; and up, when they were read here and would be read faster there.
//
//  What has to leave goes down first, and from here once the tier below has it. That tier gets a moment for it: what it
//  has not taken by then leaves without a copy, since a cache that stands still is worse than one that forgets; and
//  if it took nothing at all, it is left alone for a while.
#include "actors/tier/manager_self.h"

#define YIELD_MS 1000                   //  For one eviction
#define YIELD_BATCH 256                 //  Blocks
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
            if (yield->bytes == 0 && before.live != after.live) {
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
    umbp_manager_sink (self, end->item);
    self->evicted++;
    for (size_t index = 0; index < UMBP_YIELDS_MAX; index++)
        if (self->transit.yields[index].used) {
            self->transit.yields[index].bytes += before - s_used (self);
            self->transit.yields[index].blocks++;
            break;
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
    uint32_t victims[YIELD_BATCH];
    size_t count = umbp_store_victims (self->store, YIELD_BATCH, victims);
    uint64_t bytes = 0;
    for (size_t index = 0; index < count && bytes < mail->msg->evict.bytes; index++) {
        umbp_block_t *block = umbp_store_block (self->store, victims[index]);
        if (!umbp_shift_add (transit->down, UMBP_SHIFT_PRESSED, victims[index]))
            break;
        block->leaving = true;
        bytes += umbp_store_bytes (self->store, block->size);
    }
    if (bytes == 0 && umbp_shift_open (transit->down, UMBP_SHIFT_PRESSED) == 0)
        return false;
    bytes = bytes < mail->msg->evict.bytes && bytes ? bytes : mail->msg->evict.bytes;
    transit->yields[place] = (umbp_yield_t) { *mail->origin, true, now + YIELD_MS, bytes, 0, 0 };
    umbp_shift_pump (transit->down);
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
    self->transit.promoted += end->status == 0;
}

void umbp_manager_promote (umbp_manager_t *self, uint32_t item)
{
    if (self->transit.up && !self->keeper.draining)
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
    umbp_shift_args_t down = { self->node, args->tier, args->below, args->down_rate };
    umbp_shift_args_t up = { self->node, args->tier, args->above, args->up_rate };
    if (args->below)
        self->transit.down = umbp_shift_new (self->post, self->store, &down, self, s_on_down);
    if (args->above)
        self->transit.up = umbp_shift_new (self->post, self->store, &up, self, s_on_up);
}

void umbp_manager_go_on_transit (umbp_manager_t *self, int64_t now)
{
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
}

void umbp_manager_end_transit (umbp_manager_t *self)
{
    umbp_shift_destroy (&self->transit.down);
    umbp_shift_destroy (&self->transit.up);
}

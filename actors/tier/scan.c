//  actors/tier/scan.c - blocks that would be the next to leave are copied to the tier below beforehand, so that who needs
//  room does not wait for a disk. Only while nothing else moves between the two, nobody read from the tier below within
//  the last second, and there is room; at most a part of the blocks a second, and nothing leaves for them. As soon as
//  something else is to be done, those that still wait are let go of.
//
//  What would be the next to leave is what eviction will take when memory is full to its mark, and it is looked for once
//  memory is as full as eviction leaves it. Blocks are passed in that order, a few each tick, and from the beginning
//  again a second after the end; those that are below already cost a look. What clients said to be cold comes first.
#include "actors/tier/manager_self.h"

#define OPEN_MAX 64                     //  Blocks that wait or are on their way
#define LOOKS_MAX 512                   //  At blocks, in a tick
#define PAUSE_MS 1000                   //  Between two passes
#define FULL_MS 10000                   //  ... when the tier below has no room
#define BLOCK 1000                      //  Of credit

//  Whether something else moves, or is about to, or somebody reads there; or here, if that is from a disk
static bool s_is_quiet (const umbp_manager_t *self)
{
    const umbp_transit_t *transit = &self->transit;
    bool own = !transit->governor
               || (transit->told_share == UMBP_GOVERNOR_WHOLE && transit->told_reads == 0);
    return own && !umbp_manager_in_storm (self) && transit->heard_share == UMBP_GOVERNOR_WHOLE
           && transit->heard_reads == 0 && !self->keeper.draining
           && umbp_shift_open (transit->down, UMBP_SHIFT_PRESSED) == 0
           && umbp_shift_open (transit->down, UMBP_SHIFT_COPY) == 0;
}

static bool s_is_wanted (umbp_manager_t *self, uint32_t item)
{
    const umbp_block_t *block = umbp_store_block (self->store, item);
    return !block->below && !umbp_manager_came_up (self, item) && !block->sinking
           && block->holds == 0 && umbp_manager_would_admit (self, item);
}

void umbp_manager_prepare (umbp_manager_t *self, uint32_t item)
{
    umbp_shift_t *down = self->transit.down;
    if (down && s_is_quiet (self) && umbp_shift_open (down, UMBP_SHIFT_IDLE) < UMBP_COLD_MAX
        && s_is_wanted (self, item))
        umbp_shift_add (down, UMBP_SHIFT_IDLE, item);
}

//  A copy below was made, or not; of whatever reason
void umbp_manager_prepared (umbp_manager_t *self, const umbp_shift_end_t *end)
{
    umbp_block_t *block = umbp_store_block (self->store, end->item);
    if (block->state == UMBP_BLOCK_LIVE && block->token == end->token
        && (end->status == 0 || end->status == UMBP_EEXIST))
        block->below = true;
    if (end->why == UMBP_SHIFT_IDLE && end->status == UMBP_EAGAIN && s_is_quiet (self))
        self->transit.scan.wait_until = zclock_mono () + FULL_MS;
}

//  What may be chosen until now, a second's worth at most
static void s_earn (umbp_manager_t *self, int64_t now)
{
    umbp_scan_t *scan = &self->transit.scan;
    uint64_t rate = umbp_store_counts (self->store).live * self->args.idle_percent * BLOCK / 100;
    int64_t ms = now - scan->at < PAUSE_MS ? now - scan->at : PAUSE_MS;
    rate = rate > BLOCK ? rate : BLOCK; //  One at least
    scan->credit += rate * (uint64_t) ms / 1000;
    scan->credit = scan->credit < rate ? scan->credit : rate;
    scan->at = now;
}

//  Bytes that leave when memory is full to its mark; 0: that is far away
static uint64_t s_soon (const umbp_manager_t *self)
{
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    uint64_t part = counts.total_bytes / 100;
    bool near = counts.used_bytes >= part * self->args.evict_low;
    return near ? part * (self->args.evict_high - self->args.evict_low) : 0;
}

//  The next block of the pass; UMBP_STORE_NONE: it is at its end
static uint32_t s_next (umbp_manager_t *self, uint64_t soon)
{
    umbp_scan_t *scan = &self->transit.scan;
    uint32_t from = scan->passing ? scan->item : UMBP_STORE_NONE;
    if (scan->passing) {
        const umbp_block_t *last = umbp_store_block (self->store, from);
        if (last->state != UMBP_BLOCK_LIVE || last->token != scan->token)
            return UMBP_STORE_NONE;
    }
    uint32_t item =
        scan->passed_bytes < soon ? umbp_store_next (self->store, from) : UMBP_STORE_NONE;
    if (item == UMBP_STORE_NONE)
        return item;
    const umbp_block_t *block = umbp_store_block (self->store, item);
    scan->passing = true;
    scan->item = item;
    scan->token = block->token;
    scan->passed_bytes += umbp_store_bytes (self->store, block->size);
    scan->looked++;
    return item;
}

static void s_pass (umbp_manager_t *self, uint64_t soon, int64_t now)
{
    umbp_transit_t *transit = &self->transit;
    umbp_scan_t *scan = &transit->scan;
    for (int looks = 0; looks < LOOKS_MAX && scan->credit >= BLOCK
                        && umbp_shift_open (transit->down, UMBP_SHIFT_IDLE) < OPEN_MAX;
         looks++) {
        uint32_t item = s_next (self, soon);
        if (item == UMBP_STORE_NONE) {
            scan->passing = false;
            scan->passed_bytes = 0;
            scan->wait_until = now + PAUSE_MS;
            scan->passes++;
            return;
        }
        if (s_is_wanted (self, item) && umbp_shift_add (transit->down, UMBP_SHIFT_IDLE, item)) {
            scan->credit -= BLOCK;
            scan->chosen++;
        }
    }
}

//  What was said to be cold while something else moved
static void s_pass_cold (umbp_manager_t *self)
{
    const umbp_advice_t *advice = &self->advice;
    umbp_transit_t *transit = &self->transit;
    for (uint32_t looks = 0; looks < LOOKS_MAX && looks < advice->cold_count
                             && umbp_shift_open (transit->down, UMBP_SHIFT_IDLE) < OPEN_MAX;
         looks++) {
        uint32_t place = transit->scan.cold_at++ % advice->cold_count;
        uint32_t item = advice->cold[place].item;
        const umbp_block_t *block = umbp_store_block (self->store, item);
        if (block->state == UMBP_BLOCK_LIVE && block->token == advice->cold[place].token
            && block->cold && s_is_wanted (self, item))
            umbp_shift_add (transit->down, UMBP_SHIFT_IDLE, item);
    }
}

void umbp_manager_scan (umbp_manager_t *self, int64_t now)
{
    umbp_transit_t *transit = &self->transit;
    if (!transit->down)
        return;
    s_earn (self, now);
    if (!s_is_quiet (self)) {
        umbp_shift_cancel (transit->down);
        return;
    }
    if (now < transit->scan.wait_until || !umbp_shift_is_idle (transit->down))
        return;
    s_pass_cold (self);
    uint64_t soon = s_soon (self);
    if (self->args.idle_percent && soon)
        s_pass (self, soon, now);
}

void umbp_manager_stat_scan (const umbp_manager_t *self, umbp_gauges_t *gauges)
{
    const umbp_transit_t *transit = &self->transit;
    if (!transit->down)
        return;
    umbp_shift_stats_t stats = umbp_shift_stats (transit->down);
    umbp_gauges_add (gauges, "idle_open", umbp_shift_open (transit->down, UMBP_SHIFT_IDLE));
    umbp_gauges_add (gauges, "idle_copied", stats.idle);
    umbp_gauges_add (gauges, "idle_copied_bytes", stats.idle_bytes);
    umbp_gauges_add (gauges, "idle_cancelled", stats.cancelled);
    umbp_gauges_add (gauges, "idle_passes", transit->scan.passes);
}

//  actors/evict_plan.c - how much each tier should let go of. See evict_plan.h.
#include "actors/evict_plan.h"

#include <assert.h>
#include <stdlib.h>

#include "cluster/topology.h"
#include "proto/error.h"

typedef struct {
    unsigned low;                       //  Its mark
    uint64_t total, used;               //  total 0: nobody said. used follows what the steps free
    uint64_t need, demand;              //  Left of what failed, and of what was asked for
    bool draining;                      //  It was over the high mark and is not down at the low one
    bool running, stepping;             //  A round, and in it a step
    int64_t rests_until, settles_until;
} tier_t;

struct umbp_evict_plan {
    unsigned high;
    tier_t tiers[UMBP_TIERS];
    umbp_evict_stats_t stats;
};

umbp_evict_plan_t *umbp_evict_plan_new (unsigned high, unsigned low)
{
    if (low < 1 || low >= high || high > 100)
        return NULL;
    umbp_evict_plan_t *self = calloc (1, sizeof (umbp_evict_plan_t));
    assert (self);
    self->high = high;
    for (unsigned tier = 0; tier < UMBP_TIERS; tier++)
        self->tiers[tier].low = low;
    return self;
}

int umbp_evict_plan_set_low (umbp_evict_plan_t *self, unsigned tier, unsigned low)
{
    if (tier < 1 || tier >= UMBP_TIERS || low < 1 || low >= self->high)
        return UMBP_EINVAL;
    self->tiers[tier].low = low;
    return 0;
}

void umbp_evict_plan_destroy (umbp_evict_plan_t **self_p)
{
    assert (self_p);
    free (*self_p);
    *self_p = NULL;
}

//  A share of a number of bytes, without overflow; at most all of it
static uint64_t s_percent (uint64_t bytes, unsigned percent)
{
    return bytes / 100 * percent + bytes % 100 * percent / 100;
}

static uint64_t s_less (uint64_t bytes, uint64_t by)
{
    return bytes > by ? bytes - by : 0;
}

static uint64_t s_max (uint64_t one, uint64_t other)
{
    return one > other ? one : other;
}

static uint64_t s_min (uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static tier_t *s_tier (umbp_evict_plan_t *self, unsigned tier)
{
    return tier > 0 && tier < UMBP_TIERS ? &self->tiers[tier] : NULL;
}

static const tier_t *s_known (const umbp_evict_plan_t *self, unsigned tier)
{
    return tier > 0 && tier < UMBP_TIERS && self->tiers[tier].total ? &self->tiers[tier] : NULL;
}

//  How full the tier is. A reservation that would find room by now calls for nothing any more,
//  however scattered the room is; nor does a high mark that was passed, once the low one is met.
static void s_fill (tier_t *of, uint64_t total, uint64_t used)
{
    of->total = total;
    of->used = s_min (used, total);
    if (total - of->used >= of->need)
        of->need = 0;
    of->draining = of->draining && of->used > s_percent (total, of->low);
}

void umbp_evict_plan_pressure (umbp_evict_plan_t *self, unsigned tier, uint64_t total,
                               uint64_t used, uint64_t need, int64_t now_ms)
{
    tier_t *of = s_tier (self, tier);
    if (!of || total == 0)
        return;
    if (now_ms >= of->settles_until) {
        s_fill (of, total, used);
        of->draining |= of->used > s_percent (total, self->high);
    }
    if (need) {                         //  And a little, so that the next one does not fail at once
        need = s_min (need, total) + s_percent (total, 1);
        of->need = s_max (of->need, s_min (need, total));
    }
}

void umbp_evict_plan_capacity (umbp_evict_plan_t *self, unsigned tier, uint64_t total,
                               uint64_t used)
{
    tier_t *of = s_tier (self, tier);
    if (of && total && !of->running)
        s_fill (of, total, used);
}

bool umbp_evict_plan_knows (const umbp_evict_plan_t *self, unsigned tier)
{
    return s_known (self, tier) != NULL;
}

uint64_t umbp_evict_plan_excess (const umbp_evict_plan_t *self, unsigned tier)
{
    const tier_t *of = s_known (self, tier);
    return of ? s_less (of->used, s_percent (of->total, of->low)) : 0;
}

void umbp_evict_plan_demand (umbp_evict_plan_t *self, unsigned tier, uint64_t bytes)
{
    tier_t *of = s_tier (self, tier);
    if (of)
        of->demand = bytes;
}

//  Bytes that are called for, whatever the reason: what is freed counts for all of them
static uint64_t s_wanted (const umbp_evict_plan_t *self, unsigned tier)
{
    const tier_t *of = &self->tiers[tier];
    uint64_t wanted = s_max (of->need, of->demand);
    return of->draining ? s_max (wanted, umbp_evict_plan_excess (self, tier)) : wanted;
}

uint64_t umbp_evict_plan_step (umbp_evict_plan_t *self, unsigned tier, int64_t now_ms)
{
    tier_t *of = s_tier (self, tier);
    if (!of || of->stepping || now_ms < of->rests_until)
        return 0;
    uint64_t wanted = s_wanted (self, tier);
    if (wanted == 0)
        return 0;
    self->stats.rounds += !of->running;
    of->running = of->stepping = true;
    return wanted;
}

umbp_evict_outcome_t umbp_evict_plan_freed (umbp_evict_plan_t *self, unsigned tier, uint64_t bytes,
                                            uint64_t blocks, int64_t now_ms)
{
    tier_t *of = s_tier (self, tier);
    if (!of)
        return UMBP_EVICT_DONE;
    of->stepping = false;
    self->stats.bytes += bytes;
    self->stats.blocks += blocks;
    of->used = s_less (of->used, bytes);
    of->need = s_less (of->need, bytes);
    of->demand = s_less (of->demand, bytes);
    of->draining = of->draining && umbp_evict_plan_excess (self, tier) > 0;
    if (bytes > 0 && s_wanted (self, tier) > 0)
        return UMBP_EVICT_GOES_ON;
    of->running = false;
    if (bytes > 0) {
        of->settles_until = now_ms + UMBP_EVICT_SETTLE_MS;
        return UMBP_EVICT_DONE;
    }
    self->stats.futile++;
    of->need = of->demand = 0;
    of->draining = false;
    of->rests_until = now_ms + UMBP_EVICT_REST_MS;
    return UMBP_EVICT_FUTILE;
}

bool umbp_evict_plan_rests (const umbp_evict_plan_t *self, int64_t now_ms)
{
    for (unsigned tier = 1; tier < UMBP_TIERS; tier++)
        if (now_ms < self->tiers[tier].rests_until)
            return true;
    return false;
}

umbp_evict_stats_t umbp_evict_plan_stats (const umbp_evict_plan_t *self)
{
    return self->stats;
}

//  actors/tier/storm.c - whether more blocks shall move than can, see storm.h. How long they waited is kept by a governor
//  that governs nothing: a histogram of the last second.
#include "actors/tier/storm.h"

#include <assert.h>
#include <stdlib.h>

#include "actors/tier/governor.h"

#define SLICES 10
#define SLICE_MS 100

struct umbp_storm {
    uint32_t blocks;
    umbp_governor_t *waits;
    uint32_t counts[SLICES];            //  Blocks asked for, in each tenth of the last second
    int64_t slice;                      //  Number of that of now
    int64_t calm_since;                 //  All has been below half since then; 0: it is not
    umbp_storm_stats_t stats;
};

umbp_storm_t *umbp_storm_new (uint32_t blocks, int64_t now_ms)
{
    umbp_storm_t *self = calloc (1, sizeof (umbp_storm_t));
    assert (self);
    self->blocks = blocks;
    self->waits = umbp_governor_new (0, now_ms);
    self->slice = now_ms / SLICE_MS;
    self->stats.why = "";
    return self;
}

void umbp_storm_destroy (umbp_storm_t **self_p)
{
    assert (self_p);
    if (*self_p)
        umbp_governor_destroy (&(*self_p)->waits);
    free (*self_p);
    *self_p = NULL;
}

//  Forget what is a second old
static void s_catch_up (umbp_storm_t *self, int64_t now_ms)
{
    int64_t slice = now_ms / SLICE_MS;
    if (slice - self->slice > SLICES)
        self->slice = slice - SLICES;
    while (self->slice < slice) {
        uint32_t *count = &self->counts[++self->slice % SLICES];
        self->stats.lately -= *count;
        *count = 0;
    }
}

void umbp_storm_ask (umbp_storm_t *self, uint32_t count, int64_t now_ms)
{
    s_catch_up (self, now_ms);
    self->counts[self->slice % SLICES] += count;
    self->stats.lately += count;
    self->stats.asked += count;
}

void umbp_storm_sent (umbp_storm_t *self, int64_t waited_ms, int64_t now_ms)
{
    umbp_governor_read (self->waits, waited_ms > 0 ? (uint64_t) waited_ms : 0, now_ms);
}

//  Why there is one, by these marks; NULL: there is none
static const char *s_why (const umbp_storm_t *self, uint64_t open, int64_t debt_ms, unsigned part)
{
    const umbp_storm_stats_t *is = &self->stats;
    if (is->lately * part >= self->blocks && open * part >= self->blocks)
        return "many at once";
    if (is->wait_p95_ms * part > UMBP_STORM_WAIT_MS)
        return "long waits";
    return debt_ms * part > UMBP_STORM_DEBT_MS ? "debt" : NULL;
}

bool umbp_storm_look (umbp_storm_t *self, uint64_t open, int64_t debt_ms, int64_t now_ms)
{
    umbp_storm_stats_t *is = &self->stats;
    s_catch_up (self, now_ms);
    umbp_governor_share (self->waits, now_ms);       //  It forgets, too
    is->wait_p95_ms = umbp_governor_p95_us (self->waits);
    const char *why = s_why (self, open, debt_ms, is->on ? 2 : 1);
    if (!is->on && why && self->blocks) {
        is->on = true;
        is->storms++;
        is->why = why;
    }
    if (why || !is->on)
        self->calm_since = 0;
    else if (self->calm_since == 0)
        self->calm_since = now_ms ? now_ms : 1;
    else if (now_ms - self->calm_since >= UMBP_STORM_CALM_MS)
        is->on = false;
    return is->on;
}

umbp_storm_stats_t umbp_storm_stats (const umbp_storm_t *self)
{
    return self->stats;
}

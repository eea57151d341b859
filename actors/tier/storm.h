//  actors/tier/storm.h - whether more blocks shall move between tiers than can: a storm. Then what is not needed does not
//  move, until it is over; see govern.c for what that is.
//
//  It begins when, within a second, so many blocks were asked for as the owner says, and as many wait or are on their way
//  at once; when of twenty blocks that were sent within a second one waited for longer than UMBP_STORM_WAIT_MS; or when
//  more than UMBP_STORM_DEBT_MS of the budget went already (budget.h). It is over when all three have been below half of
//  that for UMBP_STORM_CALM_MS.
//
//  A value: one owner, no thread, and the time is the caller's, in milliseconds of a monotonic clock. 10 KiB.
#ifndef UMBP_STORM_H
#define UMBP_STORM_H

#include <stdbool.h>
#include <stdint.h>

#define UMBP_STORM_WAIT_MS 250
#define UMBP_STORM_DEBT_MS 1000
#define UMBP_STORM_CALM_MS 5000

typedef struct umbp_storm umbp_storm_t;

//  blocks 0: there never is one
umbp_storm_t *umbp_storm_new (uint32_t blocks, int64_t now_ms);
void umbp_storm_destroy (umbp_storm_t **self_p);

//  So many blocks shall move; one that waited so long was sent. O(1), but for what is due.
void umbp_storm_ask (umbp_storm_t *self, uint32_t count, int64_t now_ms);
void umbp_storm_sent (umbp_storm_t *self, int64_t waited_ms, int64_t now_ms);

//  How it is now, with so many blocks that wait or are on their way, and such a debt. Returns whether there is a storm.
bool umbp_storm_look (umbp_storm_t *self, uint64_t open, int64_t debt_ms, int64_t now_ms);

typedef struct {
    bool on;
    uint64_t storms;                    //  That began
    uint64_t asked;                     //  Blocks, ever
    uint64_t lately;                    //  ... within the last second
    uint64_t wait_p95_ms;               //  Of those sent within it; 0: too few were
    const char *why;                    //  What the present one, or the last, began with; "" there was none
} umbp_storm_stats_t;

umbp_storm_stats_t umbp_storm_stats (const umbp_storm_t *self);

#endif

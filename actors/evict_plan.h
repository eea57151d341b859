//  actors/evict_plan.h - how much each tier of a node should let go of, and when to ask it. Three
//  things call for eviction: a tier over its high mark, which is then brought down to the low one;
//  a reservation that found no room; and whoever asks for it. A round goes on, step by step, until
//  none of them is left. A step that frees nothing, since all that is left is leased, ends the
//  round and rests the tier for a moment.
//
//  A value: no thread, no sockets, and the time is the caller's, in milliseconds of a monotonic
//  clock.
#ifndef UMBP_EVICT_PLAN_H
#define UMBP_EVICT_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define UMBP_EVICT_REST_MS 50           //  After a step that freed nothing
#define UMBP_EVICT_SETTLE_MS 3          //  After a round

typedef struct umbp_evict_plan umbp_evict_plan_t;

typedef enum {
    UMBP_EVICT_GOES_ON,                 //  There is more to free: ask for the next step
    UMBP_EVICT_DONE,                    //  All is met
    UMBP_EVICT_FUTILE,                  //  Nothing could be freed; what was called for is forgotten
} umbp_evict_outcome_t;

typedef struct {
    uint64_t rounds, futile;            //  Begun; ended because nothing could be freed
    uint64_t bytes, blocks;             //  Freed
} umbp_evict_stats_t;

//  Marks in percent of a tier. Returns NULL unless 0 < low < high <= 100; a high mark of 100 leaves
//  failed reservations as the only reason.
umbp_evict_plan_t *umbp_evict_plan_new (unsigned high, unsigned low);
void umbp_evict_plan_destroy (umbp_evict_plan_t **self_p);

//  Another low mark for one tier. Returns 0, or UMBP_EINVAL unless 0 < low < high and there is such a tier.
int umbp_evict_plan_set_low (umbp_evict_plan_t *self, unsigned tier, unsigned low);

//  In all calls a tier is UMBP_TIER_*; another is ignored, or as one that nobody heard of.

//  The tier says how full it is, and how much a reservation did not get (0: none failed). Shortly
//  after a round it may still speak of the time before that, so then only the failure counts; a
//  tier that is over its mark says so again. What failed before is forgotten if there is room for it
//  now.
void umbp_evict_plan_pressure (umbp_evict_plan_t *self, unsigned tier, uint64_t total,
                               uint64_t used, uint64_t need, int64_t now_ms);

//  How full the tier was a while ago. Never starts a round, and is not looked at while one runs; may
//  show that what was called for before is not needed any more.
void umbp_evict_plan_capacity (umbp_evict_plan_t *self, unsigned tier, uint64_t total,
                               uint64_t used);

//  Whether anything is known of that tier, and how many bytes it holds above its low mark
bool umbp_evict_plan_knows (const umbp_evict_plan_t *self, unsigned tier);
uint64_t umbp_evict_plan_excess (const umbp_evict_plan_t *self, unsigned tier);

//  So many bytes are asked for, from now on. Replaces what was said here before.
void umbp_evict_plan_demand (umbp_evict_plan_t *self, unsigned tier, uint64_t bytes);

//  Bytes to ask the tier for now; 0: nothing, since there is no reason, or a step is under way, or
//  the tier rests. Else the step is under way until umbp_evict_plan_freed.
uint64_t umbp_evict_plan_step (umbp_evict_plan_t *self, unsigned tier, int64_t now_ms);

//  The step is over, and freed so much; 0 bytes also if it failed
umbp_evict_outcome_t umbp_evict_plan_freed (umbp_evict_plan_t *self, unsigned tier, uint64_t bytes,
                                            uint64_t blocks, int64_t now_ms);

//  True if any tier rests
bool umbp_evict_plan_rests (const umbp_evict_plan_t *self, int64_t now_ms);

umbp_evict_stats_t umbp_evict_plan_stats (const umbp_evict_plan_t *self);

#endif

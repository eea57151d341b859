//  actors/pressure/ladder.h - what to do next about a level of pressure, one step at a time:
//
//      1 relax      tell caches and clients to let go of what they could have again
//      2 reduce     let blocks go down to the low mark; if the host is short, give memory back to it
//      3 suspend    the lowest tenant gets no new room; its blocks go down a tier, where there is one
//      4 drop       the lowest tenant's blocks are dropped, and the pool shrinks as far as it may
//
//  At level L steps 1 to L are taken, in that order: none before those below it were tried, except step 4 when an
//  allocation failed. Steps 3 and 4 take one tenant each, at most one in UMBP_LADDER_VICTIM_MS, both together:
//  the lowest by its priority, then who is furthest over its limit, then whose blocks free most bytes each. A
//  critical tenant is one only when no other holds anything. When the level is below 3 again tenants are resumed,
//  the last one first. Operators suspend and resume beside all that.
//
//  A value: no thread, no sockets, the time is the caller's. Bounded: UMBP_TENANTS_MAX victims.
#ifndef UMBP_LADDER_H
#define UMBP_LADDER_H

#include "actors/pressure/level.h"
#include "proto/types.h"

#define UMBP_LADDER_VICTIM_MS 1000      //  Between two victims
#define UMBP_LADDER_RELAX_MS 10000      //  Step 1 is repeated so late
#define UMBP_LADDER_REDUCE_MS 1000      //  ... and step 2

typedef enum {
    UMBP_STEP_NONE = 0,
    UMBP_STEP_RELAX = 1,
    UMBP_STEP_REDUCE = 2,
    UMBP_STEP_SUSPEND = 3,
    UMBP_STEP_DROP = 4,
    UMBP_STEP_RESUME = 5,               //  A tenant that we suspended
    UMBP_STEP_GROW = 6,                 //  Of the pool, see pressure.c: the ladder does not decide that
} umbp_step_t;

//  A tenant as it is at the moment
typedef struct {
    char name[UMBP_NAME_MAX + 1];
    unsigned qos;                       //  UMBP_QOS_*
    uint64_t bytes, limit, blocks;      //  limit UINT64_MAX: none
} umbp_ladder_tenant_t;

typedef struct {
    umbp_step_t step;
    char tenant[UMBP_NAME_MAX + 1];     //  Of steps 3 to 5; empty: the default tenant
} umbp_action_t;

typedef struct umbp_ladder umbp_ladder_t;

umbp_ladder_t *umbp_ladder_new (void);
void umbp_ladder_destroy (umbp_ladder_t **self_p);

//  The next step, at once or after some time; call it again and again. Returns false if there is none now.
//  failed: an allocation failed since the last call.
bool umbp_ladder_next (umbp_ladder_t *self, int64_t now_ms, unsigned level, bool failed,
                       const umbp_ladder_tenant_t *tenants, size_t count, umbp_action_t *out);

//  How many tenants are suspended for pressure
size_t umbp_ladder_suspended (const umbp_ladder_t *self);

const char *umbp_step_name (unsigned step);

#endif

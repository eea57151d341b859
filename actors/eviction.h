//  actors/eviction.h - the eviction actor: hears from the tiers of its node that they are full, and
//  asks them, step by step, to let go of their least useful blocks. Which these are is the tier's
//  own choice. Nothing is polled.
#ifndef UMBP_EVICTION_H
#define UMBP_EVICTION_H

#include "actors/actor.h"

typedef struct {
    const umbp_home_t *home;
    unsigned high, low;                 //  Percent of a tier: over high, down to low; 0: 90, 70
    unsigned disk_low;                  //  ... of one on disk; 0: as low
    unsigned shared_low;                //  ... of the one on a file system of many nodes; 0: as low
    unsigned patience_ms;               //  So long a tier waits for the one below; 0: 1 s
} umbp_eviction_args_t;

//  Takes pressure and topology_ok; answers evict, to a tier of this node, with the sums of all
//  steps from then on: UMBP_OK if so much was freed, UMBP_EAGAIN if less, since the rest is leased,
//  UMBP_ETIMEDOUT if less until the asker's deadline. Has a door. Returns NULL if it cannot bind,
//  or unless 0 < low < high <= 100, and so for disk_low and shared_low.
zactor_t *umbp_eviction_new (const umbp_eviction_args_t *args);

#endif

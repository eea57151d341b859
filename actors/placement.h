//  actors/placement.h - where to put a block. A value without thread or message: it knows how full the members said
//  they are, and counts off what was placed since, so that a batch spreads and a burst does not pile up.
#ifndef UMBP_PLACEMENT_H
#define UMBP_PLACEMENT_H

#include "cluster/topology.h"

typedef enum {
    UMBP_PLACE_LOCAL = 1,               //  Here, but as most_free while we would have to evict and
                                        //  another member would not
    UMBP_PLACE_MOST_FREE,
    UMBP_PLACE_WEIGHTED,                //  At random, in proportion to free bytes
    UMBP_PLACE_SAME,                    //  A whole batch on one member if one can take it
} umbp_place_strategy_t;

#define UMBP_PLACE_TRIES 4              //  Members tried for one block

typedef struct {
    uint16_t members[UMBP_PLACE_TRIES];
    uint8_t count;
} umbp_tried_t;

typedef struct umbp_placement umbp_placement_t;

umbp_placement_t *umbp_placement_new (uint64_t seed);
void umbp_placement_destroy (umbp_placement_t **self_p);

//  Members evict once a tier is filled beyond high percent, down to low; 100 and 100 at first. What they can free
//  that way counts as free for most_free, so that full members take turns. Otherwise the one that evicted last
//  would have most free, and be given everything, and evict again: a pool of which only that one member forgets.
void umbp_placement_set_marks (umbp_placement_t *self, unsigned high, unsigned low);

//  Blocks take whole pages of so many bytes, 1 at first. All members are taken to have such pages.
void umbp_placement_set_page (umbp_placement_t *self, uint32_t bytes);

//  What the members say of themselves now; borrowed for the call
void umbp_placement_topology (umbp_placement_t *self, const umbp_topology_t *topology);

//  Begin a batch of total bytes: for UMBP_PLACE_SAME
void umbp_placement_batch (umbp_placement_t *self, unsigned tier, uint64_t total);

//  A member for a block of size bytes in a tier, none of those tried. Members without room come last: eviction
//  may make some. Returns its number, or UMBP_ENOSPC if there is nobody left, or UMBP_ENOTSUP if no member has
//  such a tier.
int umbp_placement_choose (umbp_placement_t *self, umbp_place_strategy_t strategy, unsigned tier,
                           uint32_t size, const umbp_tried_t *tried);

//  Number of a strategy by name ("local"), 0 if there is none
umbp_place_strategy_t umbp_place_strategy (const char *name);

#endif

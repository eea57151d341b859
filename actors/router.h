//  actors/router.h - the router actor: the door for clients. It decides where a block is put and from whom it is got,
//  and keeps nothing: what it knows are the topology, the index and the tier managers, and it asks them.
#ifndef UMBP_ROUTER_H
#define UMBP_ROUTER_H

#include "actors/actor.h"
#include "actors/placement.h"

typedef struct {
    const umbp_home_t *home;
    umbp_place_strategy_t strategy;     //  For puts that do not say
    unsigned evict_high;                //  Percent of a tier beyond which evictions begin,
    unsigned evict_low;                 //  and down to which they go; 0: 100
    uint32_t page_bytes;                //  Of the memory tiers; 0: not known
} umbp_router_args_t;

//  Answers put, get, exists, remove, where and clear; takes topology_ok. Has a door. NULL if it cannot start.
zactor_t *umbp_router_new (const umbp_router_args_t *args);

#endif

//  actors/tier/chain.h - lists through an array of links. Items are numbers below a capacity;
//  several lists share one array, and an item is in one of them at most. Of them are made the queues
//  of eviction policies (queue.h), the blocks of a tenant (tenants.c), what waits to be copied
//  (shift.c).
//
//  A value: one owner, no thread safety, never blocks. umbp_links_resize alone allocates.
#ifndef UMBP_TIER_CHAIN_H
#define UMBP_TIER_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#define UMBP_CHAIN_NONE UINT32_MAX      //  No item
#define UMBP_CHAIN_ABSENT (UINT32_MAX - 1)          //  As prev: the item is in no list
#define UMBP_CHAIN_CAPACITY_MAX (UINT32_MAX - 2)

//  An item, 16 bytes
typedef struct {
    uint32_t prev, next;                //  Towards the oldest, towards the newest
    uint32_t depth;                     //  The rest is its owner's own
    uint8_t place;
    uint8_t bits;
} umbp_link_t;

typedef struct {
    umbp_link_t *at;
    uint32_t capacity;
} umbp_links_t;

typedef struct {
    uint32_t oldest, newest;
} umbp_chain_t;

#define UMBP_CHAIN_EMPTY ((umbp_chain_t) { UMBP_CHAIN_NONE, UMBP_CHAIN_NONE })

//  Make room for higher numbers. Returns 0, or UMBP_EINVAL if capacity is less than now, or too
//  high.
int umbp_links_resize (umbp_links_t *self, uint32_t capacity);
void umbp_links_free (umbp_links_t *self);

//  Whether an item is below the capacity and in a list
static inline bool umbp_links_has (const umbp_links_t *self, uint32_t item)
{
    return item < self->capacity && self->at[item].prev != UMBP_CHAIN_ABSENT;
}

//  Enter an item, which is in no list, on the older side of another, or as the newest if that is
//  UMBP_CHAIN_NONE
static inline void umbp_chain_enter (umbp_chain_t *self, umbp_links_t *links, uint32_t item,
                                     uint32_t next)
{
    umbp_link_t *at = links->at;
    uint32_t prev = next == UMBP_CHAIN_NONE ? self->newest : at[next].prev;
    at[item].prev = prev;
    at[item].next = next;
    if (prev == UMBP_CHAIN_NONE)
        self->oldest = item;
    else
        at[prev].next = item;
    if (next == UMBP_CHAIN_NONE)
        self->newest = item;
    else
        at[next].prev = item;
}

//  Take an item out of this list
static inline void umbp_chain_leave (umbp_chain_t *self, umbp_links_t *links, uint32_t item)
{
    umbp_link_t *at = links->at;
    uint32_t prev = at[item].prev, next = at[item].next;
    if (prev == UMBP_CHAIN_NONE)
        self->oldest = next;
    else
        at[prev].next = next;
    if (next == UMBP_CHAIN_NONE)
        self->newest = prev;
    else
        at[next].prev = prev;
    at[item].prev = UMBP_CHAIN_ABSENT;
}

#endif

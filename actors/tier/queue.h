//  actors/tier/queue.h - lists of items in the order in which they leave: what eviction policies are made
//  of: lists of chain.h.
//
//  A queue runs from the oldest to the newest. What enters in one tick forms its newest group, which is kept
//  sorted by depth, the deepest first, so that a prefix outlives its suffix. The place of an item is known
//  if it is at either end of the group, which chains of blocks touched from root to leaf or back always are,
//  or if its depth is there already, which makes any number of chains in a batch O(1) each (unless depths
//  1024 apart alternate). Else it is sought from the last entered item on, over UMBP_QUEUE_SEARCH_MAX items
//  at most. Past that bound an item is put where the search ended: still in its tick, nearer to its place
//  than before, but wrongly ordered with some others of the same batch.
//
//  A value: one owner, no thread safety, never blocks.
#ifndef UMBP_TIER_QUEUE_H
#define UMBP_TIER_QUEUE_H

#include <stddef.h>

#include "actors/tier/chain.h"

#define UMBP_QUEUE_NONE UMBP_CHAIN_NONE      //  No item
#define UMBP_QUEUE_CAPACITY_MAX UMBP_CHAIN_CAPACITY_MAX
#define UMBP_QUEUE_SEARCH_MAX 64        //  Items passed by one that enters
#define UMBP_QUEUE_DEPTHS 1024          //  Depths further apart than this share an entry

//  The last entered of the items of one depth in a group, which is the last of them in the queue
typedef struct {
    uint64_t group;
    uint32_t item;
} umbp_latest_t;

typedef struct {
    umbp_links_t *links;
    umbp_chain_t chain;
    uint32_t count;
    uint32_t group;                     //  Oldest item of the newest group, all from here on are its, or NONE
    uint32_t finger;                    //  In the group: the last entered, or one next to it
    uint64_t tick;                      //  Of the group
    uint64_t number;                    //  Of the group, never used again
    umbp_latest_t latest[UMBP_QUEUE_DEPTHS];    //  By depth; those of another group mean nothing
} umbp_queue_t;

void umbp_queue_init (umbp_queue_t *self, umbp_links_t *links);

//  Enter an item, which is in no queue: in its place among those of the tick, which is the newest seen if
//  it is older; as the newest, behind all, in a group with nobody; or as the oldest. Depth is that of its
//  link. O(1).
void umbp_queue_enter (umbp_queue_t *self, uint32_t item, uint64_t tick);
void umbp_queue_enter_newest (umbp_queue_t *self, uint32_t item);
void umbp_queue_enter_oldest (umbp_queue_t *self, uint32_t item);

//  Take an item out of this queue
void umbp_queue_leave (umbp_queue_t *self, uint32_t item);

#endif

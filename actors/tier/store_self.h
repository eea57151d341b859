//  actors/tier/store_self.h - the blocks of a tier from inside, shared by store.c and store_facts.c. Nobody else includes this.
#ifndef UMBP_STORE_SELF_H
#define UMBP_STORE_SELF_H

#include "actors/tier/order.h"
#include "actors/tier/pages.h"
#include "actors/tier/store.h"
#include "cluster/slab.h"

struct umbp_store {
    umbp_pages_t *pages;
    umbp_policy_t *policy;
    umbp_tenants_t *tenants;
    umbp_block_t *blocks;
    umbp_slab_t *slab;                  //  Of their keys and extents
    uint32_t capacity, reach;           //  Items there is room for, items ever used
    uint32_t free_head, slot_head;
    uint32_t *buckets;                  //  First item by fingerprint
    uint32_t bucket_mask;
    umbp_journal_t *journal;            //  NULL: none
    umbp_board_t *board;                //  NULL: none
    char home[UMBP_NAME_MAX + 1];       //  The tenant whose blocks it shows
    uint64_t seed, token_state;
    uint64_t live, slots, doomed;
    umbp_order_t *raised;               //  Blocks with a place and pages; NULL: there is no depot
    uint64_t room, used;                //  Of the depot
    uint32_t unit, head;                //  What a block takes there: multiples of unit, and for its head
    uint64_t copies;                    //  Blocks and slots of what another node has too
};

#endif

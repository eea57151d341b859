//  actors/tier/tenants.h - who uses how much of a tier, and how much each may. Row 0 is the default
//  tenant; others get a row when they reserve for the first time, and lose it when another needs one
//  and they hold nothing. The blocks of a tenant that has a limit are also in a list of its own, in
//  the order in which they leave for its sake: least recently used first and, among those of one
//  tick, the deepest first. For all others touching a block costs a look at its row, and no more.
//
//  A value: one owner, no thread. Bounded: UMBP_TENANTS_MAX rows.
#ifndef UMBP_TIER_TENANTS_H
#define UMBP_TIER_TENANTS_H

#include "actors/tier/chain.h"
#include "cluster/quotas.h"

#define UMBP_TENANT_NONE UINT16_MAX     //  No row
#define UMBP_TENANTS_SEARCH_MAX 64      //  Items passed by one touch

typedef struct {
    char name[UMBP_NAME_MAX + 1];
    bool used;
    uint8_t qos;                        //  UMBP_QOS_*
    uint64_t bytes, doomed;             //  In use; of these, of blocks that are free when their last hold ends
    uint64_t blocks;                    //  Slots, live and doomed ones
    uint64_t guests;                    //  Blocks in the depot of another node: nobody pays for them
    uint64_t limit;                     //  UMBP_QUOTA_NONE: none
    uint64_t refused, evicted;          //  Counts for operators
    umbp_chain_t blocks_by_age;         //  Its list
    uint32_t group;                     //  The oldest item of the newest tick
    uint64_t tick;
} umbp_tenant_t;

typedef struct umbp_tenants umbp_tenants_t;

umbp_tenants_t *umbp_tenants_new (void);
void umbp_tenants_destroy (umbp_tenants_t **self_p);

//  The row of a tenant, new or known; UMBP_TENANT_NONE: all hold something
uint16_t umbp_tenants_row (umbp_tenants_t *self, umbp_text_t name);

//  The row of a known tenant, or UMBP_TENANT_NONE
uint16_t umbp_tenants_find (const umbp_tenants_t *self, umbp_text_t name);

//  Of a row that is in use
umbp_tenant_t *umbp_tenants_at (umbp_tenants_t *self, uint16_t row);

//  Bytes over the limit if so many more were used; 0: they fit
uint64_t umbp_tenants_excess (const umbp_tenants_t *self, uint16_t row, uint64_t bytes);

void umbp_tenants_charge (umbp_tenants_t *self, uint16_t row, uint64_t bytes);
void umbp_tenants_refund (umbp_tenants_t *self, uint16_t row, uint64_t bytes);

//  Whether a row has a list
bool umbp_tenants_is_listed (const umbp_tenants_t *self, uint16_t row);

//  A live block was made or used: the newest of its tenant, if that has a list. Or it is none any more.
void umbp_tenants_touch (umbp_tenants_t *self, uint16_t row, uint32_t item, uint16_t depth,
                         uint64_t tick);
void umbp_tenants_leave (umbp_tenants_t *self, uint16_t row, uint32_t item);

//  The same as a touch in a tick of its own: for the blocks of a row that has a list from now on. One
//  that is in a list already stays where it is.
void umbp_tenants_enter (umbp_tenants_t *self, uint16_t row, uint32_t item, uint16_t depth);

//  Walk a list: the oldest, and the one after; UINT32_MAX at the end
uint32_t umbp_tenants_oldest (const umbp_tenants_t *self, uint16_t row);
uint32_t umbp_tenants_after (const umbp_tenants_t *self, uint32_t item);

//  Limits of a tier from now on; takes the quotas. A row that had none and has one has an empty list:
//  the caller enters its blocks, oldest first. Returns whether there are such rows.
bool umbp_tenants_set_quotas (umbp_tenants_t *self, umbp_quotas_t **quotas_p, unsigned tier);

#endif

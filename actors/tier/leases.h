//  actors/tier/leases.h - who reads what, and until when. A lease is one reader's hold on a batch of blocks.
//
//  A value: it counts nothing and frees nothing; its owner does, with the items a lease gives back when it ends.
//  One allocation per lease. Numbers of leases are secrets and are never 0.
#ifndef UMBP_LEASES_H
#define UMBP_LEASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t number, session;
    int64_t expires;                    //  INT64_MAX: it lasts until its reader ends it, or goes away
    bool granted;                       //  The bulk server knows it as a token
    bool fencing;                       //  It ended; its items are given back when the fence is up
    uint32_t count;
    uint32_t *items;
} umbp_lease_t;

typedef struct umbp_leases umbp_leases_t;

umbp_leases_t *umbp_leases_new (uint32_t max);
void umbp_leases_destroy (umbp_leases_t **self_p);

//  File a lease on a copy of the items. Returns NULL if there are too many; else good until the next add.
umbp_lease_t *umbp_leases_add (umbp_leases_t *self, uint64_t session, const uint32_t *items,
                               uint32_t count, int64_t expires);

//  NULL if there is none of that number
umbp_lease_t *umbp_leases_find (umbp_leases_t *self, uint64_t number);

//  Forget a lease that was found
void umbp_leases_remove (umbp_leases_t *self, umbp_lease_t *lease);

//  Walk all: the next one at or after *cursor, which moves on; NULL at the end. Removing what it returned is fine.
umbp_lease_t *umbp_leases_next (umbp_leases_t *self, uint32_t *cursor);

uint32_t umbp_leases_count (const umbp_leases_t *self);

#endif

//  actors/tier/leases.c - who reads what, and until when.
#include "actors/tier/leases.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "proto/splitmix.h"

struct umbp_leases {
    umbp_lease_t *leases;               //  max of them; number 0: free
    uint32_t *free_slots;               //  A stack
    uint32_t max, count, reach;
    uint64_t state;
};

umbp_leases_t *umbp_leases_new (uint32_t max)
{
    umbp_leases_t *self = calloc (1, sizeof (umbp_leases_t));
    assert (self);
    self->max = max;
    self->leases = calloc (max, sizeof (umbp_lease_t));
    self->free_slots = malloc (max * sizeof (uint32_t));
    assert (self->leases && self->free_slots);
    for (uint32_t slot = 0; slot < max; slot++)
        self->free_slots[slot] = max - 1 - slot;
    if (getrandom (&self->state, sizeof self->state, 0) != sizeof self->state)
        self->state = (uint64_t) (uintptr_t) self;
    return self;
}

void umbp_leases_destroy (umbp_leases_t **self_p)
{
    umbp_leases_t *self = *self_p;
    if (!self)
        return;
    for (uint32_t slot = 0; slot < self->reach; slot++)
        free (self->leases[slot].items);
    free (self->leases);
    free (self->free_slots);
    free (self);
    *self_p = NULL;
}

//  32 bits nobody can guess over the place in the table
static uint64_t s_number (umbp_leases_t *self, uint32_t slot)
{
    return (umbp_splitmix (&self->state) | 1) << 32 | slot;
}

umbp_lease_t *umbp_leases_add (umbp_leases_t *self, uint64_t session, const uint32_t *items,
                               uint32_t count, int64_t expires)
{
    if (self->count == self->max)
        return NULL;
    uint32_t slot = self->free_slots[self->max - 1 - self->count++];
    self->reach = slot >= self->reach ? slot + 1 : self->reach;
    umbp_lease_t *lease = &self->leases[slot];
    *lease = (umbp_lease_t){ .number = s_number (self, slot),
                             .session = session,
                             .expires = expires,
                              .count = count, .items = malloc (count * sizeof *items) };
    assert (lease->items);
    memcpy (lease->items, items, count * sizeof *items);
    return lease;
}

umbp_lease_t *umbp_leases_find (umbp_leases_t *self, uint64_t number)
{
    uint32_t slot = (uint32_t) number;
    return number && slot < self->reach && self->leases[slot].number == number ? &self->leases[slot]
                                                                               : NULL;
}

void umbp_leases_remove (umbp_leases_t *self, umbp_lease_t *lease)
{
    free (lease->items);
    *lease = (umbp_lease_t) { .number = 0 };
    self->free_slots[self->max - self->count--] = (uint32_t) (lease - self->leases);
}

umbp_lease_t *umbp_leases_next (umbp_leases_t *self, uint32_t *cursor)
{
    while (*cursor < self->reach)
        if (self->leases[(*cursor)++].number)
            return &self->leases[*cursor - 1];
    return NULL;
}

uint32_t umbp_leases_count (const umbp_leases_t *self)
{
    return self->count;
}

//  actors/tier/chain.c - room for links. See chain.h.
#include "actors/tier/chain.h"
#include "proto/error.h"

#include <czmq.h>

int umbp_links_resize (umbp_links_t *self, uint32_t capacity)
{
    if (capacity < self->capacity || capacity > UMBP_CHAIN_CAPACITY_MAX)
        return UMBP_EINVAL;
    if (capacity == self->capacity)
        return 0;
    umbp_link_t *at = zmalloc (capacity * sizeof (umbp_link_t));
    if (self->capacity)
        memcpy (at, self->at, self->capacity * sizeof (umbp_link_t));
    for (uint32_t item = self->capacity; item < capacity; item++)
        at[item].prev = UMBP_CHAIN_ABSENT;
    free (self->at);
    self->at = at;
    self->capacity = capacity;
    return 0;
}

void umbp_links_free (umbp_links_t *self)
{
    free (self->at);
    *self = (umbp_links_t) { 0 };
}

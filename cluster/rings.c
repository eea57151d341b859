//  cluster/rings.c - the ring and those before it. See rings.h.
#include "cluster/rings.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT16_MAX

static void s_drop (umbp_rings_t *self, size_t index)
{
    size_t behind = --self->past_count - index;
    umbp_topology_destroy (&self->past[index]);
    free (self->numbers[index]);
    memmove (&self->past[index], &self->past[index + 1], behind * sizeof *self->past);
    memmove (&self->numbers[index], &self->numbers[index + 1], behind * sizeof *self->numbers);
    if (self->base > index)
        self->base--;
}

void umbp_rings_forget (umbp_rings_t *self)
{
    while (self->past_count > 0)
        s_drop (self, self->past_count - 1);
    self->base = 0;
    self->lost = false;
}

void umbp_rings_clear (umbp_rings_t *self)
{
    umbp_rings_forget (self);
    umbp_topology_destroy (&self->now);
}

//  Numbers of a former ring's members in the topology as it is
static void s_number (umbp_rings_t *self, size_t index)
{
    const umbp_topology_t *past = self->past[index];
    size_t count = umbp_topology_count (past);
    free (self->numbers[index]);
    self->numbers[index] = calloc (count, sizeof (uint16_t));
    assert (self->numbers[index]);
    for (size_t number = 0; number < count; number++) {
        int found =
            umbp_topology_find (self->now, umbp_text (umbp_topology_member (past, number)->node));
        self->numbers[index][number] = found < 0 ? NOBODY : (uint16_t) found;
    }
}

bool umbp_rings_take (umbp_rings_t *self, umbp_topology_t **topology_p)
{
    umbp_topology_t *before = self->now;
    self->now = *topology_p;
    *topology_p = NULL;
    if (!before)
        return true;
    if (umbp_topology_epoch (before) == umbp_topology_epoch (self->now)) {
        umbp_topology_destroy (&before);
        return false;
    }
    if (self->past_count == UMBP_PAST_MAX) {         //  Rather one between than the base
        s_drop (self, self->base == 0 ? 1 : 0);
        self->lost = true;
    }
    if (umbp_topology_settled (before))
        self->base = self->past_count;
    self->past[self->past_count] = before;
    self->numbers[self->past_count++] = NULL;
    for (size_t index = 0; index < self->past_count; index++)
        s_number (self, index);
    return true;
}

void umbp_rings_copy (const umbp_rings_t *self, umbp_rings_t *copy)
{
    *copy = *self;
    if (copy->now)
        umbp_topology_hold (copy->now);
    for (size_t index = 0; index < copy->past_count; index++) {
        umbp_topology_hold (copy->past[index]);
        copy->numbers[index] = NULL;
        s_number (copy, index);
    }
}

static size_t s_add (umbp_owner_t *owners, size_t count, uint16_t member, uint8_t in)
{
    for (size_t index = 0; index < count; index++)
        if (owners[index].member == member) {
            owners[index].in |= in;
            return count;
        }
    owners[count] = (umbp_owner_t) { member, in };
    return count + 1;
}

static size_t s_add_past (const umbp_rings_t *self, size_t index, uint64_t position,
                          umbp_owner_t *owners, size_t count)
{
    uint16_t walk[UMBP_COPIES_MAX];
    size_t found = umbp_topology_owners (self->past[index], position, walk);
    for (size_t owner = 0; owner < found; owner++)
        if (self->numbers[index][walk[owner]] != NOBODY)
            count = s_add (owners, count, self->numbers[index][walk[owner]], UMBP_IN_PAST (index));
    return count;
}

size_t umbp_rings_owners (const umbp_rings_t *self, uint64_t position, umbp_owner_t *owners)
{
    uint16_t walk[UMBP_COPIES_MAX];
    size_t count = umbp_topology_owners (self->now, position, walk);
    for (size_t owner = 0; owner < count; owner++)
        owners[owner] = (umbp_owner_t) { walk[owner], UMBP_IN_NOW };
    for (size_t index = self->past_count; index > 0; index--)
        count = s_add_past (self, index - 1, position, owners, count);
    return count;
}

bool umbp_rings_bereft (const umbp_rings_t *self, uint64_t position)
{
    for (size_t index = 0; index < self->past_count; index++) {
        uint16_t walk[UMBP_COPIES_MAX];
        size_t found = umbp_topology_owners (self->past[index], position, walk);
        for (size_t owner = 0; owner < found; owner++)
            if (self->numbers[index][walk[owner]] == NOBODY)
                return true;
    }
    return false;
}

uint8_t umbp_rings_needed (const umbp_rings_t *self)
{
    uint8_t needed = UMBP_IN_NOW;
    for (size_t index = self->base; index < self->past_count; index++)
        needed |= UMBP_IN_PAST (index);
    return needed;
}

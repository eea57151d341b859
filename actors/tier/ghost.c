//  actors/tier/ghost.c - fingerprints of what left, see ghost.h. The table is twice the ring, so that a search is short;
//  what is taken out closes up behind it, so that no marks are left.
#include "actors/tier/ghost.h"

#include <czmq.h>

#define ROOM_MIN 64

static uint32_t s_mask (const umbp_ghost_t *self)
{
    return 2 * self->room - 1;
}

//  Fingerprints are hashes, but who tests may give small numbers
static uint32_t s_home (const umbp_ghost_t *self, uint64_t print)
{
    return (uint32_t) (print * UINT64_C (0x9e3779b97f4a7c15) >> 32) & s_mask (self);
}

//  Where a fingerprint is in the table, or the free entry at which the search ended
static uint32_t s_seek (const umbp_ghost_t *self, uint64_t print)
{
    uint32_t at = s_home (self, print);
    while (self->table[at] && self->ring[self->table[at] - 1] != print)
        at = (at + 1) & s_mask (self);
    return at;
}

//  Free an entry, and move up those that were pushed past it
static void s_close (umbp_ghost_t *self, uint32_t hole)
{
    uint32_t mask = s_mask (self);
    for (uint32_t at = (hole + 1) & mask; self->table[at]; at = (at + 1) & mask) {
        uint32_t home = s_home (self, self->ring[self->table[at] - 1]);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        self->table[hole] = self->table[at];
        hole = at;
    }
    self->table[hole] = 0;
}

static void s_forget (umbp_ghost_t *self, uint32_t at)
{
    uint32_t place = self->table[at] - 1;
    s_close (self, at);
    self->ring[place] = 0;
    self->count--;
}

static void s_drop_oldest (umbp_ghost_t *self)
{
    uint64_t print = self->ring[self->first];
    if (print)
        s_forget (self, s_seek (self, print));
    self->first = (self->first + 1) & (self->room - 1);
    self->used--;
}

void umbp_ghost_resize (umbp_ghost_t *self, uint32_t room)
{
    uint32_t size = ROOM_MIN;
    while (size < room && size < 1u << 30)
        size *= 2;
    if (size <= self->room)
        return;
    umbp_ghost_t old = *self;
    *self = (umbp_ghost_t) { .room = size, .noted = old.noted };
    self->ring = zmalloc (size * sizeof *self->ring);
    self->notes = old.noted ? zmalloc (size * sizeof *self->notes) : NULL;
    self->table = zmalloc (2 * size * sizeof *self->table);
    for (uint32_t index = 0; index < old.used; index++) {
        uint32_t place = (old.first + index) & (old.room - 1);
        if (old.ring[place])
            umbp_ghost_add (self, old.ring[place], old.notes ? old.notes[place] : 0);
    }
    umbp_ghost_free (&old);
}

void umbp_ghost_free (umbp_ghost_t *self)
{
    free (self->ring);
    free (self->notes);
    free (self->table);
    *self = (umbp_ghost_t) { 0 };
}

void umbp_ghost_add (umbp_ghost_t *self, uint64_t print, uint64_t note)
{
    if (self->room == 0)
        return;
    print = print ? print : 1;
    uint32_t at = s_seek (self, print);
    if (self->table[at])
        s_forget (self, at);
    if (self->used == self->room)
        s_drop_oldest (self);
    uint32_t place = (self->first + self->used++) & (self->room - 1);
    self->ring[place] = print;
    if (self->notes)
        self->notes[place] = note;
    self->table[s_seek (self, print)] = place + 1;
    self->count++;
}

bool umbp_ghost_has (const umbp_ghost_t *self, uint64_t print)
{
    return self->count > 0 && self->table[s_seek (self, print ? print : 1)] != 0;
}

bool umbp_ghost_take (umbp_ghost_t *self, uint64_t print, uint64_t *note)
{
    if (self->count == 0)
        return false;
    uint32_t at = s_seek (self, print ? print : 1);
    if (!self->table[at])
        return false;
    *note = self->notes ? self->notes[self->table[at] - 1] : 0;
    s_forget (self, at);
    return true;
}

void umbp_ghost_trim (umbp_ghost_t *self, uint32_t count)
{
    while (self->count > count)
        s_drop_oldest (self);
}

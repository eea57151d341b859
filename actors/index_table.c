//  actors/index_table.c - fingerprint -> places, see the header. A segment maps fingerprints to
//  home slots in order, and an entry that finds its home taken moves to the right past the smaller
//  ones. So the used slots are sorted, and between an entry's home and its slot no slot is empty.
#include "actors/index_table.h"
#include "proto/error.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BITS_MIN 8                      //  Of the fingerprint, to choose one of 256 segments
#define BITS_MAX 16
#define SEGMENT_ENTRIES 8192            //  A segment's fair share, so that moving it is no pause
#define HOMES_MIN 16
#define SLACK 8                         //  Slots past the last home, for entries pushed over
#define RUN_MAX 4096                    //  Slots from a home to its furthest entry

typedef struct {
    uint64_t hi, lo;
    uint32_t sum, size;
    uint16_t node;
    uint8_t tier;
    bool used;
    uint32_t pad;                       //  To half a cache line
} entry_t;

_Static_assert(sizeof (entry_t) == 32, "two entries to a cache line");

typedef struct {
    entry_t *slots;
    uint32_t homes, limit, count;       //  Home slots, all slots, used slots
} segment_t;

struct umbp_index_table {
    segment_t *segments;
    unsigned bits;                      //  There are 1 << bits segments
    size_t max_entries, entries, keys, slots;
};

umbp_index_table_t *umbp_index_table_new (size_t max_entries)
{
    if (max_entries < 1 || max_entries > UINT32_MAX)
        return NULL;
    umbp_index_table_t *self = calloc (1, sizeof (umbp_index_table_t));
    if (!self)
        return NULL;
    self->max_entries = max_entries;
    self->bits = BITS_MIN;
    while (self->bits < BITS_MAX && max_entries >> self->bits > SEGMENT_ENTRIES)
        self->bits++;
    self->segments = calloc ((size_t) 1 << self->bits, sizeof (segment_t));
    if (!self->segments)
        umbp_index_table_destroy (&self);
    return self;
}

void umbp_index_table_destroy (umbp_index_table_t **self_p)
{
    assert (self_p);
    umbp_index_table_t *self = *self_p;
    if (!self)
        return;
    for (size_t number = 0; self->segments && number < (size_t) 1 << self->bits; number++)
        free (self->segments[number].slots);
    free (self->segments);
    free (self);
    *self_p = NULL;
}

static segment_t *s_segment (const umbp_index_table_t *self, uint64_t hi)
{
    return self->segments + (hi >> (64 - self->bits));
}

//  The home of a fingerprint among that many: its bits after those that chose the segment, scaled
static uint32_t s_home (const umbp_index_table_t *self, uint64_t hi, uint32_t homes)
{
    return (hi << self->bits >> 32) * homes >> 32;
}

static bool s_is (const entry_t *entry, uint64_t hi, uint64_t lo)
{
    return entry->used && entry->hi == hi && entry->lo == lo;
}

//  The first slot, from the key's home on, that is not taken by a smaller key: its first place, or
//  where that would go. May be the limit, where there is no slot.
static uint32_t s_seek (const umbp_index_table_t *self, const segment_t *segment, uint64_t hi,
                        uint64_t lo)
{
    uint32_t slot = s_home (self, hi, segment->homes);
    for (; slot < segment->limit; slot++) {
        const entry_t *entry = segment->slots + slot;
        if (!entry->used || entry->hi > hi || (entry->hi == hi && entry->lo >= lo))
            break;
    }
    return slot;
}

//  How many slots the entries of a segment take if it has that many homes
static uint32_t s_extent (const umbp_index_table_t *self, const segment_t *segment, uint32_t homes)
{
    uint32_t next = 0;
    for (uint32_t slot = 0; slot < segment->limit; slot++)
        if (segment->slots[slot].used) {
            uint32_t home = s_home (self, segment->slots[slot].hi, homes);
            next = (home > next ? home : next) + 1;
        }
    return next > homes ? next : homes;
}

//  Move a segment to a new number of homes. Order stays, so it is one walk.
static int s_resize (umbp_index_table_t *self, segment_t *segment, uint32_t homes)
{
    uint32_t limit = s_extent (self, segment, homes) + SLACK;
    limit += limit & 1;                 //  Whole cache lines
    entry_t *slots = aligned_alloc (64, limit * sizeof (entry_t));
    if (!slots)
        return UMBP_ENOSPC;
    memset (slots, 0, limit * sizeof (entry_t));
    uint32_t next = 0;
    for (uint32_t slot = 0; slot < segment->limit; slot++)
        if (segment->slots[slot].used) {
            uint32_t home = s_home (self, segment->slots[slot].hi, homes);
            next = home > next ? home : next;
            slots[next++] = segment->slots[slot];
        }
    self->slots += limit;
    self->slots -= segment->limit;
    free (segment->slots);
    segment->slots = slots;
    segment->homes = homes;
    segment->limit = limit;
    return UMBP_OK;
}

//  Make room for one more: at most three of four homes' worth of entries
static int s_reserve (umbp_index_table_t *self, segment_t *segment)
{
    if (segment->count < segment->homes / 4 * 3)
        return UMBP_OK;
    uint32_t homes = segment->homes + segment->homes / 2;
    return s_resize (self, segment, homes > HOMES_MIN ? homes : HOMES_MIN);
}

//  Give memory back after many removals. If there is none to move to, stay.
static void s_shrink (umbp_index_table_t *self, segment_t *segment)
{
    if (segment->homes > HOMES_MIN && segment->count < segment->homes / 8) {
        uint32_t homes = segment->count * 2;
        s_resize (self, segment, homes > HOMES_MIN ? homes : HOMES_MIN);
    }
}

//  Free a slot by moving the entries after it to the right, up to the first empty slot
static int s_open (umbp_index_table_t *self, segment_t *segment, uint32_t slot)
{
    uint32_t end = slot;
    while (end < segment->limit && segment->slots[end].used)
        end++;
    if (end == segment->limit) {        //  Over the end: the same again with more slack
        int rc = s_resize (self, segment, segment->homes);
        if (rc)
            return rc;
    }
    memmove (segment->slots + slot + 1, segment->slots + slot, (end - slot) * sizeof (entry_t));
    return UMBP_OK;
}

//  Remove an entry by moving those after it to the left, up to the first that is at home
static void s_close (umbp_index_table_t *self, segment_t *segment, uint32_t slot)
{
    entry_t *slots = segment->slots;
    uint64_t hi = slots[slot].hi, lo = slots[slot].lo;
    bool others = (slot > 0 && s_is (slots + slot - 1, hi, lo))
                  || (slot + 1 < segment->limit && s_is (slots + slot + 1, hi, lo));
    uint32_t end = slot + 1;
    while (end < segment->limit && slots[end].used
           && s_home (self, slots[end].hi, segment->homes) < end)
        end++;
    memmove (slots + slot, slots + slot + 1, (end - slot - 1) * sizeof (entry_t));
    memset (slots + end - 1, 0, sizeof (entry_t));
    segment->count--;
    self->entries--;
    self->keys -= !others;
}

//  Put a new entry into its slot; first says that its key has no other
static int s_insert (umbp_index_table_t *self, segment_t *segment, uint32_t slot, bool first,
                     const umbp_fingerprint_t *key, const umbp_place_t *place)
{
    if (self->entries == self->max_entries)
        return UMBP_ENOSPC;
    if (slot - s_home (self, key->hi, segment->homes) >= RUN_MAX)
        return UMBP_ENOSPC;
    int rc = s_open (self, segment, slot);
    if (rc)
        return rc;
    segment->slots[slot] = (entry_t) {
        .hi = key->hi, .lo = key->lo, .sum = place->sum, .size = place->size,
        .node = place->node, .tier = place->tier, .used = true,
    };
    segment->count++;
    self->entries++;
    self->keys += first;
    return UMBP_OK;
}

int umbp_index_table_add (umbp_index_table_t *self, const umbp_fingerprint_t *key,
                          const umbp_place_t *place)
{
    segment_t *segment = s_segment (self, key->hi);
    if (self->entries < self->max_entries) {
        int rc = s_reserve (self, segment);          //  First, as it moves the slots
        if (rc)
            return rc;
    }
    uint32_t first = s_seek (self, segment, key->hi, key->lo), slot = first;
    for (; slot < segment->limit && s_is (segment->slots + slot, key->hi, key->lo); slot++) {
        const entry_t *entry = segment->slots + slot;
        if (entry->sum != place->sum || entry->size != place->size)
            return UMBP_ECHECKSUM;
        if (entry->node == place->node && entry->tier == place->tier)
            return UMBP_OK;
    }
    if (slot - first >= UMBP_INDEX_REPLICAS_MAX)
        return UMBP_ENOSPC;
    int rc = s_insert (self, segment, slot, slot == first, key, place);
    return rc || slot == first ? rc : UMBP_EEXIST;
}

int umbp_index_table_remove (umbp_index_table_t *self, const umbp_fingerprint_t *key, uint16_t node,
                             uint8_t tier)
{
    segment_t *segment = s_segment (self, key->hi);
    uint32_t slot = s_seek (self, segment, key->hi, key->lo);
    for (; slot < segment->limit && s_is (segment->slots + slot, key->hi, key->lo); slot++)
        if (segment->slots[slot].node == node && segment->slots[slot].tier == tier) {
            s_close (self, segment, slot);
            s_shrink (self, segment);
            return UMBP_OK;
        }
    return UMBP_ENOENT;
}

static umbp_place_t s_place (const entry_t *entry)
{
    return (umbp_place_t){ .node = entry->node,
                           .tier = entry->tier,
                           .size = entry->size,
                            .sum = entry->sum };
}

size_t umbp_index_table_find (const umbp_index_table_t *self, const umbp_fingerprint_t *key,
                              umbp_place_t *out, size_t max)
{
    const segment_t *segment = s_segment (self, key->hi);
    uint32_t slot = s_seek (self, segment, key->hi, key->lo);
    size_t count = 0;
    for (; count < max && slot < segment->limit; slot++) {
        if (!s_is (segment->slots + slot, key->hi, key->lo))
            break;
        out[count++] = s_place (segment->slots + slot);
    }
    return count;
}

bool umbp_index_table_has (const umbp_index_table_t *self, const umbp_fingerprint_t *key,
                           const bool *live)
{
    const segment_t *segment = s_segment (self, key->hi);
    uint32_t slot = s_seek (self, segment, key->hi, key->lo);
    for (; slot < segment->limit && s_is (segment->slots + slot, key->hi, key->lo); slot++)
        if (!live || live[segment->slots[slot].node])
            return true;
    return false;
}

void umbp_index_table_prefetch (const umbp_index_table_t *self, const umbp_fingerprint_t *key)
{
    const segment_t *segment = s_segment (self, key->hi);
    if (!segment->limit)
        return;
    const entry_t *home = segment->slots + s_home (self, key->hi, segment->homes);
    __builtin_prefetch (home);
    __builtin_prefetch (home + 2);      //  The mean entry is at most 1.5 slots from home
}

//  Sweep one segment from *from on, until its end or the end of the budget; leaves in *from where
//  to go on. Entries with the same 32 first bits go together, since a cursor cannot tell them
//  apart.
static size_t s_sweep (umbp_index_table_t *self, uint64_t *from, uint32_t *budget,
                       umbp_index_drop_fn *drop, void *arg)
{
    segment_t *segment = s_segment (self, *from);
    uint64_t group = *from >> 32, next = (*from >> (64 - self->bits)) + 1;
    uint32_t slot = s_seek (self, segment, *from, 0);
    size_t dropped = 0;
    *from = next << (64 - self->bits);  //  The next segment, 0 after the last
    while (slot < segment->limit) {
        const entry_t *entry = segment->slots + slot;
        bool gone = false;
        if (entry->used) {
            if (*budget == 0 && entry->hi >> 32 != group) {
                *from = entry->hi >> 32 << 32;
                break;
            }
            group = entry->hi >> 32;
            umbp_fingerprint_t key = { .hi = entry->hi, .lo = entry->lo };
            umbp_place_t place = s_place (entry);
            gone = drop (arg, &key, &place);
        }
        *budget -= *budget > 0;
        if (gone) {
            s_close (self, segment, slot);           //  The next one has come into this slot
            dropped++;
        } else
            slot++;
    }
    s_shrink (self, segment);
    return dropped;
}

size_t umbp_index_table_sweep (umbp_index_table_t *self, uint32_t *cursor, uint32_t budget,
                               umbp_index_drop_fn *drop, void *arg)
{
    uint64_t from = (uint64_t) *cursor << 32;
    size_t dropped = 0;
    do {
        dropped += s_sweep (self, &from, &budget, drop, arg);
        budget -= budget > 0;           //  Empty segments cost something too
    } while (budget > 0 && from > 0);
    *cursor = from >> 32;
    return dropped;
}

static bool s_of_node (void *arg, const umbp_fingerprint_t *key, const umbp_place_t *place)
{
    (void) key;
    return place->node == *(const uint16_t *) arg;
}

size_t umbp_index_table_drop_node (umbp_index_table_t *self, uint16_t node)
{
    uint32_t cursor = 0;
    size_t dropped = 0;
    do
        dropped += umbp_index_table_sweep (self, &cursor, UINT32_MAX, s_of_node, &node);
    while (cursor > 0);
    return dropped;
}

size_t umbp_index_table_count (const umbp_index_table_t *self)
{
    return self->entries;
}

size_t umbp_index_table_keys (const umbp_index_table_t *self)
{
    return self->keys;
}

size_t umbp_index_table_bytes (const umbp_index_table_t *self)
{
    return sizeof *self + (sizeof (segment_t) << self->bits) + self->slots * sizeof (entry_t);
}

//  actors/index_table.c - fingerprint -> places, see the header. Linear hashing (Litwin, Linear Hashing: A New Tool for
//  File and Table Addressing, 1980) by the first bits of the fingerprint, so that segments are in order: those below
//  split have one bit more than the others. A segment is one sorted array without gaps, and since fingerprints are
//  even, where one lies in it can be guessed.
#include "actors/index_table.h"
#include "proto/error.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define BITS_MIN 4                      //  Of the fingerprint, to choose one of 16 segments
#define BITS_MAX 28
#define FILL_MAX 24                     //  Entries of a segment in the mean: more, and one is split
#define FILL_MIN 8                      //  Fewer, and two become one
#define STEP 4                          //  Entries by which a segment grows
#define SEGMENT_MAX 8192                //  Entries; even fingerprints never come near
#define STEPS_MAX 16                    //  From where an entry ought to be; then it is searched for

typedef struct __attribute__ ((packed)) {
    uint64_t hi, lo;
    uint32_t sum, size;
    uint16_t place;                     //  node << 3 | tier
} entry_t;

_Static_assert(sizeof (entry_t) == 26, "nothing in it but what it says");

typedef struct {
    entry_t *entries;
    uint32_t count, room;
} segment_t;

struct umbp_index_table {
    segment_t *low;                     //  1 << bits of them; those below split are void
    segment_t *high;                    //  2 << bits of them, NULL if split is 0; good below 2 * split
    unsigned bits;
    size_t split;
    size_t max_entries, entries, keys, heap;
};

//  ---------------------------------------------------------------------------------------------
//  Memory, as the heap counts it

static void *s_take (umbp_index_table_t *self, size_t count, size_t size)
{
    void *memory = calloc (count, size);
    self->heap += memory ? malloc_usable_size (memory) + sizeof (size_t) : 0;
    return memory;
}

static void s_give (umbp_index_table_t *self, void *memory)
{
    self->heap -= memory ? malloc_usable_size (memory) + sizeof (size_t) : 0;
    free (memory);
}

//  Room for so many entries, in whole steps; it may hold more already. Returns false without memory.
static bool s_room (umbp_index_table_t *self, segment_t *segment, uint32_t count)
{
    uint32_t room = (count + STEP - 1) / STEP * STEP;
    if (room == segment->room)
        return true;
    size_t before = segment->entries ? malloc_usable_size (segment->entries) + sizeof (size_t) : 0;
    if (room == 0) {
        free (segment->entries);
        segment->entries = NULL;
    } else {
        entry_t *entries = realloc (segment->entries, room * sizeof (entry_t));
        if (!entries)
            return false;
        segment->entries = entries;
        self->heap += malloc_usable_size (entries) + sizeof (size_t);
    }
    self->heap -= before;
    segment->room = room;
    return true;
}

umbp_index_table_t *umbp_index_table_new (size_t max_entries)
{
    if (max_entries < 1 || max_entries > UINT32_MAX)
        return NULL;
    umbp_index_table_t *self = calloc (1, sizeof (umbp_index_table_t));
    if (!self)
        return NULL;
    self->max_entries = max_entries;
    self->bits = BITS_MIN;
    self->low = s_take (self, (size_t) 1 << BITS_MIN, sizeof (segment_t));
    if (!self->low)
        umbp_index_table_destroy (&self);
    return self;
}

void umbp_index_table_destroy (umbp_index_table_t **self_p)
{
    assert (self_p);
    umbp_index_table_t *self = *self_p;
    if (!self)
        return;
    for (size_t number = self->split; self->low && number < (size_t) 1 << self->bits; number++)
        free (self->low[number].entries);
    for (size_t number = 0; number < 2 * self->split; number++)
        free (self->high[number].entries);
    free (self->low);
    free (self->high);
    free (self);
    *self_p = NULL;
}

//  ---------------------------------------------------------------------------------------------
//  Segments

static size_t s_segments (const umbp_index_table_t *self)
{
    return ((size_t) 1 << self->bits) + self->split;
}

//  The segment of a fingerprint, and how many of its bits chose it
static segment_t *s_segment (const umbp_index_table_t *self, uint64_t hi, unsigned *bits)
{
    size_t number = hi >> (64 - self->bits);
    *bits = self->bits + (number < self->split);
    return number < self->split ? &self->high[hi >> (63 - self->bits)] : &self->low[number];
}

static bool s_is_less (const entry_t *entry, uint64_t hi, uint64_t lo)
{
    return entry->hi < hi || (entry->hi == hi && entry->lo < lo);
}

static bool s_is (const segment_t *segment, size_t at, uint64_t hi, uint64_t lo)
{
    return at < segment->count && segment->entries[at].hi == hi && segment->entries[at].lo == lo;
}

//  Where a fingerprint would lie in its segment if all were even
static size_t s_guess (const segment_t *segment, uint64_t hi, unsigned bits)
{
    return (hi << bits >> 32) * segment->count >> 32;
}

//  The first entry that is not less than the key: its first place, or where that would go. It is
//  mostly a step or two from the guess.
static size_t s_seek (const segment_t *segment, uint64_t hi, uint64_t lo, unsigned bits)
{
    const entry_t *entries = segment->entries;
    size_t at = s_guess (segment, hi, bits), from = 0, to = segment->count;
    if (at < to && s_is_less (&entries[at], hi, lo)) {
        for (int step = 0; step < STEPS_MAX && at < to && s_is_less (&entries[at], hi, lo); step++)
            from = ++at;
        if (at == to || !s_is_less (&entries[at], hi, lo))
            return at;
    } else {
        to = at;
        for (int step = 0; step < STEPS_MAX && at > 0 && !s_is_less (&entries[at - 1], hi, lo);
             step++)
            to = --at;
        if (at == 0 || s_is_less (&entries[at - 1], hi, lo))
            return at;
    }
    while (from < to) {
        size_t middle = (from + to) / 2;
        if (s_is_less (&entries[middle], hi, lo))
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

//  Move entries; without any there may be no array
static void s_move (entry_t *entries, size_t at, const entry_t *from, size_t count)
{
    if (entries && from && count > 0)
        memmove (entries + at, from, count * sizeof (entry_t));
}

//  Entries of one segment become those of another, which has none
static bool s_copy (umbp_index_table_t *self, segment_t *to, const entry_t *entries, uint32_t count)
{
    if (!s_room (self, to, count))
        return false;
    s_move (to->entries, 0, entries, count);
    to->count = count;
    return true;
}

//  Split the next segment in two. Without memory they stay as they are: slower, not wrong.
static void s_split (umbp_index_table_t *self)
{
    if (self->split == 0)
        self->high = s_take (self, (size_t) 2 << self->bits, sizeof (segment_t));
    if (!self->high)
        return;
    segment_t *from = &self->low[self->split], *to = &self->high[2 * self->split];
    uint32_t half = 0;
    while (half < from->count && !(from->entries[half].hi << self->bits >> 63))
        half++;
    if (!s_copy (self, &to[0], from->entries, half)
        || !s_copy (self, &to[1], from->entries + half, from->count - half)) {
        s_room (self, &to[0], 0);
        to[0].count = 0;
        if (self->split == 0) {
            s_give (self, self->high);
            self->high = NULL;
        }
        return;
    }
    s_room (self, from, 0);
    from->count = 0;
    if (++self->split < (size_t) 1 << self->bits)
        return;
    s_give (self, self->low);
    self->low = self->high;
    self->high = NULL;
    self->bits++;
    self->split = 0;
}

//  Make one of the last two that were split
static void s_merge (umbp_index_table_t *self)
{
    if (self->split == 0) {
        segment_t *low = s_take (self, (size_t) 1 << (self->bits - 1), sizeof (segment_t));
        if (!low)
            return;
        self->high = self->low;
        self->low = low;
        self->bits--;
        self->split = (size_t) 1 << self->bits;
    }
    segment_t *to = &self->low[self->split - 1], *from = &self->high[2 * (self->split - 1)];
    uint32_t count = from[0].count + from[1].count;
    if (!s_room (self, to, count))
        return;
    s_move (to->entries, 0, from[0].entries, from[0].count);
    s_move (to->entries, from[0].count, from[1].entries, from[1].count);
    to->count = count;
    for (int half = 0; half < 2; half++) {
        s_room (self, &from[half], 0);
        from[half].count = 0;
    }
    if (--self->split > 0)
        return;
    s_give (self, self->high);
    self->high = NULL;
}

//  After an entry came, or some went
static void s_balance (umbp_index_table_t *self)
{
    if (self->entries > s_segments (self) * FILL_MAX && self->bits < BITS_MAX)
        s_split (self);
    for (int turn = 0; turn < 2; turn++) //  Twice as fast as entries go, so that it is done in time
        if (self->entries < s_segments (self) * FILL_MIN && s_segments (self) > 1u << BITS_MIN)
            s_merge (self);
}

//  ---------------------------------------------------------------------------------------------
//  Entries

static uint16_t s_pack (uint16_t node, uint8_t tier)
{
    return (uint16_t) (node << 3 | tier);
}

static umbp_place_t s_place (const entry_t *entry)
{
    return (umbp_place_t){ .node = entry->place >> 3,
                           .tier = entry->place & 7,
                           .size = entry->size,
                           .sum = entry->sum };
}

static void s_remove (umbp_index_table_t *self, segment_t *segment, size_t at)
{
    uint64_t hi = segment->entries[at].hi, lo = segment->entries[at].lo;
    bool others = (at > 0 && s_is (segment, at - 1, hi, lo)) || s_is (segment, at + 1, hi, lo);
    segment->count--;
    memmove (&segment->entries[at], &segment->entries[at + 1],
             (segment->count - at) * sizeof (entry_t));
    self->entries--;
    self->keys -= !others;
}

//  Put a new entry into its place; first says that its key has no other
static int s_insert (umbp_index_table_t *self, segment_t *segment, size_t at, bool first,
                     const umbp_fingerprint_t *key, const umbp_place_t *place)
{
    if (self->entries == self->max_entries || segment->count == SEGMENT_MAX
        || (segment->count == segment->room && !s_room (self, segment, segment->count + 1)))
        return UMBP_ENOSPC;
    assert (segment->entries);          //  There is room
    s_move (segment->entries, at + 1, segment->entries + at, segment->count - at);
    segment->entries[at] = (entry_t){ .hi = key->hi,
                                      .lo = key->lo,
                                       .sum = place->sum, .size = place->size,
                                       .place = s_pack (place->node, place->tier) };
    segment->count++;
    self->entries++;
    self->keys += first;
    return UMBP_OK;
}

int umbp_index_table_add (umbp_index_table_t *self, const umbp_fingerprint_t *key,
                          const umbp_place_t *place)
{
    if (place->node >= UMBP_INDEX_NODES_MAX || place->tier >= UMBP_INDEX_TIERS_MAX)
        return UMBP_EINVAL;
    unsigned bits;
    segment_t *segment = s_segment (self, key->hi, &bits);
    size_t first = s_seek (segment, key->hi, key->lo, bits), at = first;
    uint16_t packed = s_pack (place->node, place->tier);
    for (; s_is (segment, at, key->hi, key->lo); at++) {
        const entry_t *entry = &segment->entries[at];
        if (entry->sum != place->sum || entry->size != place->size)
            return UMBP_ECHECKSUM;
        if (entry->place == packed)
            return UMBP_OK;
    }
    if (at - first >= UMBP_INDEX_REPLICAS_MAX)
        return UMBP_ENOSPC;
    int rc = s_insert (self, segment, at, at == first, key, place);
    if (rc == UMBP_OK)
        s_balance (self);
    return rc || at == first ? rc : UMBP_EEXIST;
}

int umbp_index_table_remove (umbp_index_table_t *self, const umbp_fingerprint_t *key, uint16_t node,
                             uint8_t tier)
{
    if (node >= UMBP_INDEX_NODES_MAX || tier >= UMBP_INDEX_TIERS_MAX)
        return UMBP_ENOENT;
    unsigned bits;
    segment_t *segment = s_segment (self, key->hi, &bits);
    uint16_t packed = s_pack (node, tier);
    for (size_t at = s_seek (segment, key->hi, key->lo, bits); s_is (segment, at, key->hi, key->lo);
         at++)
        if (segment->entries[at].place == packed) {
            s_remove (self, segment, at);
            s_room (self, segment, segment->count);
            s_balance (self);
            return UMBP_OK;
        }
    return UMBP_ENOENT;
}

size_t umbp_index_table_find (const umbp_index_table_t *self, const umbp_fingerprint_t *key,
                              umbp_place_t *out, size_t max)
{
    unsigned bits;
    const segment_t *segment = s_segment (self, key->hi, &bits);
    size_t count = 0;
    for (size_t at = s_seek (segment, key->hi, key->lo, bits);
         count < max && s_is (segment, at, key->hi, key->lo); at++)
        out[count++] = s_place (&segment->entries[at]);
    return count;
}

bool umbp_index_table_has (const umbp_index_table_t *self, const umbp_fingerprint_t *key,
                           const bool *live)
{
    unsigned bits;
    const segment_t *segment = s_segment (self, key->hi, &bits);
    for (size_t at = s_seek (segment, key->hi, key->lo, bits); s_is (segment, at, key->hi, key->lo);
         at++)
        if (!live || live[segment->entries[at].place >> 3])
            return true;
    return false;
}

void umbp_index_table_prefetch (const umbp_index_table_t *self, const umbp_fingerprint_t *key)
{
    unsigned bits;
    const segment_t *segment = s_segment (self, key->hi, &bits);
    if (segment->count == 0)
        return;
    const entry_t *guess = segment->entries + s_guess (segment, key->hi, bits);
    for (int line = -2; line <= 2; line++)           //  The search begins a little to both sides
        __builtin_prefetch ((const char *) guess + 64 * line);
}

//  ---------------------------------------------------------------------------------------------
//  Sweeps

//  Sweep one segment from *from on, until its end or the end of the budget; leaves in *from where
//  to go on. Entries with the same 32 first bits go together, since a cursor cannot tell them
//  apart.
static size_t s_sweep (umbp_index_table_t *self, uint64_t *from, uint32_t *budget,
                       umbp_index_drop_fn *drop, void *arg)
{
    unsigned bits;
    segment_t *segment = s_segment (self, *from, &bits);
    uint64_t group = *from >> 32, next = (*from >> (64 - bits)) + 1;
    size_t at = s_seek (segment, *from, 0, bits), dropped = 0;
    *from = next << (64 - bits);        //  The next segment, 0 after the last
    while (at < segment->count) {
        const entry_t *entry = &segment->entries[at];
        if (*budget == 0 && entry->hi >> 32 != group) {
            *from = entry->hi >> 32 << 32;
            break;
        }
        group = entry->hi >> 32;
        umbp_fingerprint_t key = { .hi = entry->hi, .lo = entry->lo };
        umbp_place_t place = s_place (entry);
        *budget -= *budget > 0;
        if (drop (arg, &key, &place)) {
            s_remove (self, segment, at);            //  The next one has come to its place
            dropped++;
        } else
            at++;
    }
    s_room (self, segment, segment->count);
    return dropped;
}

size_t umbp_index_table_sweep (umbp_index_table_t *self, uint32_t *cursor, uint32_t budget,
                               umbp_index_drop_fn *drop, void *arg)
{
    uint64_t from = (uint64_t) *cursor << 32;
    size_t dropped = 0;
    do {
        size_t gone = s_sweep (self, &from, &budget, drop, arg);
        dropped += gone;
        budget -= budget > 0;           //  Empty segments cost something too
        for (size_t turn = 0; turn < gone; turn++)
            s_balance (self);
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
    return sizeof *self + self->heap;
}

//  cluster/bulk/verbs_cache.c - registered parts of announced buffers. See verbs_cache.h.
//
//  Parts in the table are sorted by their base, and none lies inside another, so their ends are
//  sorted too: of all that begin at or before an address, the last one reaches furthest, and a look
//  at it alone tells whether a range is covered.
#include "cluster/bulk/verbs_cache.h"

#include "proto/error.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct s_entry s_entry_t;

struct s_entry {
    umbp_cache_part_t part;             //  First, so that a part is its entry
    uint32_t users;
    bool retired;                       //  In the table no more, lives until its last user is gone
    s_entry_t *next;                    //  Of the retired ones
    uint64_t used;                      //  When, in holds
    uint64_t counted;                   //  Bytes of the budget
};

typedef struct {
    char *base;
    size_t bytes;
    bool forgotten;
    s_entry_t *whole;                   //  Of a dma-buf; in no table
} s_buffer_t;

struct umbp_cache {
    umbp_cache_ops_t ops;
    size_t count_max, count, buffer_count;
    uint64_t bytes_max, clock;
    umbp_cache_stats_t stats;           //  bytes and count: retired ones too
    s_buffer_t buffers[UMBP_CACHE_BUFFERS_MAX];
    s_entry_t *retired;
    s_entry_t *entries[];
};

umbp_cache_t *umbp_cache_new (const umbp_cache_ops_t *ops, size_t count_max, uint64_t bytes_max)
{
    assert (count_max > 0);
    umbp_cache_t *self = calloc (1, sizeof (umbp_cache_t) + count_max * sizeof (s_entry_t *));
    assert (self);
    self->ops = *ops;
    self->count_max = count_max;
    self->bytes_max = bytes_max;
    return self;
}

static void s_free (umbp_cache_t *self, s_entry_t *entry)
{
    assert (entry->users == 0);
    self->stats.bytes -= entry->counted;
    self->stats.count--;
    self->ops.drop (self->ops.arg, entry->part.handle);
    free (entry);
}

//  Out of the table; freed now, or once nobody uses it
static void s_remove (umbp_cache_t *self, size_t at)
{
    s_entry_t *entry = self->entries[at];
    self->count--;
    memmove (self->entries + at, self->entries + at + 1, (self->count - at) * sizeof (entry));
    if (entry->users == 0) {
        s_free (self, entry);
        return;
    }
    entry->retired = true;
    entry->next = self->retired;
    self->retired = entry;
}

void umbp_cache_destroy (umbp_cache_t **self_p)
{
    umbp_cache_t *self = *self_p;
    if (!self)
        return;
    while (self->count)
        s_remove (self, self->count - 1);
    for (size_t index = 0; index < self->buffer_count; index++)
        if (self->buffers[index].whole)
            s_free (self, self->buffers[index].whole);
    assert (self->stats.count == 0);
    free (self);
    *self_p = NULL;
}

static s_buffer_t *s_buffer (umbp_cache_t *self, const char *base, size_t bytes)
{
    for (size_t index = 0; index < self->buffer_count; index++) {
        s_buffer_t *buffer = &self->buffers[index];
        if (base < buffer->base + buffer->bytes && buffer->base < base + bytes)
            return buffer;
    }
    return NULL;
}

int umbp_cache_announce (umbp_cache_t *self, void *base, size_t bytes)
{
    if (bytes == 0 || (uintptr_t) base > UINTPTR_MAX - bytes || s_buffer (self, base, bytes))
        return UMBP_EINVAL;
    if (self->buffer_count == UMBP_CACHE_BUFFERS_MAX)
        return UMBP_EAGAIN;
    self->buffers[self->buffer_count++] = (s_buffer_t) { .base = base, .bytes = bytes };
    return 0;
}

int umbp_cache_announce_dmabuf (umbp_cache_t *self, void *base, size_t bytes, int fd,
                                uint64_t offset)
{
    umbp_cache_part_t part = { .base = base, .bytes = bytes };
    int rc = self->ops.add_dmabuf ? umbp_cache_announce (self, base, bytes) : UMBP_ENOTSUP;
    if (rc != 0)
        return rc;
    s_buffer_t *buffer = &self->buffers[self->buffer_count - 1];
    if (self->ops.add_dmabuf (self->ops.arg, base, bytes, fd, offset, &part.handle) != 0) {
        self->buffer_count--;
        self->stats.refusals++;
        return UMBP_ENOTSUP;
    }
    buffer->whole = calloc (1, sizeof (s_entry_t));
    assert (buffer->whole);
    buffer->whole->part = part;
    self->stats.count++;
    return 0;
}

int umbp_cache_forget (umbp_cache_t *self, void *base, size_t bytes)
{
    s_buffer_t *buffer = s_buffer (self, base, bytes);
    if (!buffer || buffer->base != (char *) base || buffer->bytes != bytes)
        return UMBP_EINVAL;
    buffer->forgotten = true;
    bool used = buffer->whole && buffer->whole->users > 0;
    for (const s_entry_t *entry = self->retired; entry; entry = entry->next)
        used =
            used || (entry->part.base >= buffer->base && entry->part.base < buffer->base + bytes);
    for (size_t index = self->count; index-- > 0;) {
        s_entry_t *entry = self->entries[index];
        if (entry->part.base < buffer->base || entry->part.base >= buffer->base + bytes)
            continue;
        if (entry->users)
            used = true;
        else
            s_remove (self, index);
    }
    if (used)
        return UMBP_EAGAIN;
    if (buffer->whole)
        s_free (self, buffer->whole);
    *buffer = self->buffers[--self->buffer_count];
    return 0;
}

//  How many entries begin at or before an address
static size_t s_upto (const umbp_cache_t *self, const char *base)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (self->entries[middle]->part.base <= base)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

//  Let go of the one that was not used for longest. Returns false if all are in use.
static bool s_evict (umbp_cache_t *self)
{
    size_t oldest = self->count;
    for (size_t index = 0; index < self->count; index++)
        if (self->entries[index]->users == 0
            && (oldest == self->count || self->entries[index]->used < self->entries[oldest]->used))
            oldest = index;
    if (oldest == self->count)
        return false;
    s_remove (self, oldest);
    self->stats.evictions++;
    return true;
}

//  Register within the budget. What the device refuses is tried once more with a quarter less.
static int s_add (umbp_cache_t *self, umbp_cache_part_t *part)
{
    while (self->count == self->count_max || self->stats.bytes + part->bytes > self->bytes_max)
        if (part->bytes > self->bytes_max || !s_evict (self))
            return UMBP_EAGAIN;
    int rc = self->ops.add (self->ops.arg, part->base, part->bytes, &part->handle);
    if (rc == 0)
        return 0;
    size_t some = self->count / 4 + 1;
    while (some > 0 && s_evict (self))
        some--;
    return self->ops.add (self->ops.arg, part->base, part->bytes, &part->handle);
}

//  The part of a buffer that has a range: whole grains, but nothing outside the buffer
static umbp_cache_part_t s_part (const s_buffer_t *buffer, const char *base, size_t bytes)
{
    uintptr_t from = (uintptr_t) base / UMBP_CACHE_GRAIN * UMBP_CACHE_GRAIN;
    uintptr_t to =
        ((uintptr_t) base + bytes + UMBP_CACHE_GRAIN - 1) / UMBP_CACHE_GRAIN * UMBP_CACHE_GRAIN;
    uintptr_t first = (uintptr_t) buffer->base, end = first + buffer->bytes;
    from = from < first ? first : from;
    to = to > end || to < from ? end : to;
    return (umbp_cache_part_t) { .base = buffer->base + (from - first), .bytes = to - from };
}

static s_entry_t *s_insert (umbp_cache_t *self, const umbp_cache_part_t *part)
{
    s_entry_t *entry = calloc (1, sizeof (s_entry_t));
    assert (entry);
    entry->part = *part;
    entry->counted = part->bytes;
    self->stats.bytes += part->bytes;
    self->stats.count++;
    size_t at = s_upto (self, part->base);
    while (at > 0 && self->entries[at - 1]->part.base == part->base)
        s_remove (self, --at);          //  A smaller one: no hit, so ours covers it
    while (at < self->count
           && self->entries[at]->part.base + self->entries[at]->part.bytes
                  <= part->base + part->bytes)
        s_remove (self, at);
    assert (self->count < self->count_max);
    memmove (self->entries + at + 1, self->entries + at, (self->count - at) * sizeof (entry));
    self->entries[at] = entry;
    self->count++;
    return entry;
}

const umbp_cache_part_t *umbp_cache_hold (umbp_cache_t *self, void *base, size_t bytes)
{
    const char *from = base;
    const s_buffer_t *buffer = s_buffer (self, base, bytes);
    if (!buffer || buffer->forgotten || from < buffer->base
        || (uint64_t) (from - buffer->base) + bytes > buffer->bytes)
        return NULL;
    size_t at = buffer->whole ? 0 : s_upto (self, from);
    s_entry_t *entry = buffer->whole ? buffer->whole : at ? self->entries[at - 1] : NULL;
    if (entry && from + bytes <= entry->part.base + entry->part.bytes)
        self->stats.hits++;
    else {
        self->stats.misses++;
        umbp_cache_part_t part = s_part (buffer, from, bytes);
        if (s_add (self, &part) != 0) {
            self->stats.refusals++;
            return NULL;
        }
        entry = s_insert (self, &part);
    }
    entry->users++;
    entry->used = ++self->clock;
    return &entry->part;
}

void umbp_cache_release (umbp_cache_t *self, const umbp_cache_part_t *part)
{
    s_entry_t *entry = (s_entry_t *) part;
    assert (entry->users > 0);
    entry->users--;
    if (entry->users || !entry->retired)
        return;
    s_entry_t **link = &self->retired;
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    s_free (self, entry);
}

void umbp_cache_stats (const umbp_cache_t *self, umbp_cache_stats_t *stats)
{
    *stats = self->stats;
}

//  proto/key.c - fingerprints and columns of keys.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proto/key.h"

#define HASH_SIZE 64                    //  Most keys: a SHA-256 in hex

static umbp_fingerprint_t s_fingerprint (XXH128_hash_t hash)
{
    return (umbp_fingerprint_t) { hash.high64, hash.low64 };
}

umbp_fingerprint_t umbp_fingerprint (const void *key, size_t size, uint64_t seed)
{
    if (size == HASH_SIZE)              //  With a constant the compiler keeps one path of many
        return s_fingerprint (XXH3_128bits_withSeed (key, HASH_SIZE, seed));
    return s_fingerprint (XXH3_128bits_withSeed (key, size, seed));
}

uint64_t umbp_key_seed (const char *cluster_secret)
{
    return cluster_secret ? XXH3_64bits (cluster_secret, strlen (cluster_secret))
                          : XXH3_64bits ("", 0);
}

void umbp_column_build_init (umbp_column_build_t *self, void *buffer, size_t size)
{
    *self = (umbp_column_build_t) { .buffer = buffer, .size = size };
}

//  Where the size of an item lies: the first one at the end of the buffer, the others before it
static uint8_t *s_size_at (const umbp_column_build_t *self, size_t index)
{
    return self->buffer + self->size - (index + 1) * sizeof (uint16_t);
}

int umbp_column_build_add (umbp_column_build_t *self, const void *data, uint16_t size)
{
    size_t taken = UMBP_COLUMN_BUILD_SIZE (self->count + 1, (size_t) self->used + size);
    if (self->count == UMBP_BATCH_MAX || taken > self->size)
        return UMBP_ETOOBIG;
    if (size > 0)
        memcpy (self->buffer + self->used, data, size);
    memcpy (s_size_at (self, self->count), &size, sizeof size);
    self->used += size;
    self->count++;
    return 0;
}

//  Sizes were written from the last to the first, so now they change places
umbp_column_t umbp_column_build_finish (umbp_column_build_t *self)
{
    umbp_column_t column = { .bytes = self->buffer, .size = self->used, .count = self->count };
    for (size_t low = 0, high = self->count; low + 1 < high; low++, high--) {
        uint16_t one, other;
        memcpy (&one, s_size_at (self, low), sizeof one);
        memcpy (&other, s_size_at (self, high - 1), sizeof other);
        memcpy (s_size_at (self, low), &other, sizeof other);
        memcpy (s_size_at (self, high - 1), &one, sizeof one);
    }
    if (self->count > 0)
        column.sizes = s_size_at (self, self->count - 1);
    *self = (umbp_column_build_t) { .buffer = NULL };
    return column;
}

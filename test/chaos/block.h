//  test/chaos/block.h - what a block of the chaos test is: its key says all, its size and each of
//  its bytes. So whoever gets it can tell whether it is right, and nobody has to remember.
#ifndef UMBP_CHAOS_BLOCK_H
#define UMBP_CHAOS_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <xxhash.h>

#include "proto/splitmix.h"

#define CHAOS_BLOCK_MAX (256u << 10)

static inline uint64_t chaos_seed (const char *key)
{
    return XXH3_64bits (key, strlen (key));
}

//  Of all orders, so that blocks ride in messages and beside them; keys that begin with "fill" are
//  large
static inline size_t chaos_size (const char *key)
{
    static const size_t most[] = { 4096, 4096, 65536, 65536, CHAOS_BLOCK_MAX };
    uint64_t state = chaos_seed (key), kind = umbp_splitmix (&state) % 5;
    if (strncmp (key, "fill", 4) == 0)
        return CHAOS_BLOCK_MAX;
    return 1 + (size_t) (umbp_splitmix (&state) % most[kind]);
}

//  Keys that begin with "dual" name one of two contents: whichever was first. All others name one
#define CHAOS_VARIANTS 2

static inline unsigned chaos_variants (const char *key)
{
    return strncmp (key, "dual/", 5) == 0 ? CHAOS_VARIANTS : 1;
}

static inline void chaos_fill_as (const char *key, unsigned variant, uint8_t *out, size_t size)
{
    uint64_t state = ~chaos_seed (key) + variant;
    for (size_t at = 0; at < size; at += sizeof state) {
        uint64_t word = umbp_splitmix (&state);
        memcpy (out + at, &word, size - at < sizeof word ? size - at : sizeof word);
    }
}

static inline void chaos_fill (const char *key, uint8_t *out, size_t size)
{
    chaos_fill_as (key, 0, out, size);
}

static inline bool chaos_is_as (const char *key, unsigned variant, const uint8_t *bytes,
                                size_t size)
{
    uint64_t state = ~chaos_seed (key) + variant;
    for (size_t at = 0; at < size; at += sizeof state) {
        uint64_t word = umbp_splitmix (&state);
        if (memcmp (bytes + at, &word, size - at < sizeof word ? size - at : sizeof word) != 0)
            return false;
    }
    return true;
}

//  Which of its contents these bytes are, all of them: from 0, or -1 if they are none
static inline int chaos_variant (const char *key, const uint8_t *bytes, size_t size)
{
    for (unsigned variant = 0; size == chaos_size (key) && variant < chaos_variants (key);
         variant++)
        if (chaos_is_as (key, variant, bytes, size))
            return (int) variant;
    return -1;
}

//  Whether these are the bytes of that key, all of them
static inline bool chaos_is_right (const char *key, const uint8_t *bytes, size_t size)
{
    return chaos_variant (key, bytes, size) >= 0;
}

#endif

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

static inline void chaos_fill (const char *key, uint8_t *out, size_t size)
{
    uint64_t state = ~chaos_seed (key);
    for (size_t at = 0; at < size; at += sizeof state) {
        uint64_t word = umbp_splitmix (&state);
        memcpy (out + at, &word, size - at < sizeof word ? size - at : sizeof word);
    }
}

//  Whether these are the bytes of that key, all of them
static inline bool chaos_is_right (const char *key, const uint8_t *bytes, size_t size)
{
    uint64_t state = ~chaos_seed (key);
    if (size != chaos_size (key))
        return false;
    for (size_t at = 0; at < size; at += sizeof state) {
        uint64_t word = umbp_splitmix (&state);
        if (memcmp (bytes + at, &word, size - at < sizeof word ? size - at : sizeof word) != 0)
            return false;
    }
    return true;
}

#endif

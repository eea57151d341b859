//  cluster/bulk/parts.h - XXH3-64 of a long run of bytes, in parts that need not be summed one after
//  the other, nor by one thread.
//
//  XXH3 goes through a long input in parts of 1024 bytes. What a part adds to the eight lanes of the
//  state does not depend on the state; only then the lanes are scrambled, and the next part comes.
//  So parts can be summed in any order (take), and joined in theirs, which takes 64 bytes of each and
//  a hundredth of the time. The value is that of the library for the same bytes, umbp_sum.
//
//  A part is copied while it is summed: each byte is loaded once, and what was copied is what was
//  summed, whoever changes the source meanwhile. Thread-safe: state lies with the caller. Nothing
//  here blocks or allocates.
#ifndef UMBP_PARTS_H
#define UMBP_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UMBP_PART_BYTES ((size_t) 1024)
#define UMBP_PARTS_LAST ((size_t) 64 + UMBP_PART_BYTES)     //  Bytes that umbp_parts_end wants to see
#define UMBP_PARTS_MIN (2 * UMBP_PARTS_LAST)                //  Shorter runs are for the library

//  What one part adds; also the state that parts are joined to
typedef struct {
    uint64_t lanes[8];
} umbp_part_t;

//  True if this processor has what makes parts as fast as the library is: else they work, slowly
bool umbp_parts_are_fast (void);

//  How many parts a run of size bytes has. The last 1..UMBP_PART_BYTES bytes are in none of them.
static inline size_t umbp_parts_count (uint64_t size)
{
    return (size_t) ((size - 1) / UMBP_PART_BYTES);
}

//  Sum count parts that lie one after the other, and copy them to dst unless that is NULL. stream:
//  past the caches, where dst lies on a cache line.
void umbp_parts_take (umbp_part_t *parts, void *dst, const void *src, size_t count, bool stream);

//  The state before the first part; the same after count more parts that were taken; and both at
//  once, for who sums them in order.
void umbp_parts_begin (umbp_part_t *sum);
void umbp_parts_join (umbp_part_t *sum, const umbp_part_t *parts, size_t count);
void umbp_parts_chain (umbp_part_t *sum, void *dst, const void *src, size_t count, bool stream);

//  The checksum, once all umbp_parts_count (size) parts are in. last: the last UMBP_PARTS_LAST bytes
//  of the run, which is of UMBP_PARTS_MIN bytes at least.
uint64_t umbp_parts_end (const umbp_part_t *sum, const void *last, uint64_t size);

#ifdef __cplusplus
}
#endif

#endif

//  actors/digest.h - a set of places in a few numbers, so that two nodes can find out what one of them
//  lacks without naming all they know. A place goes by its hash into one of some buckets, which count
//  sums; who is told another's sums names what it has in those buckets that differ. A value: no
//  thread, no socket, no memory of its own.
//
//  What is told of a bucket are 16 bits, salted: two that differ look the same once in 65536 times,
//  and not with the next salt. So nothing stays hidden for long.
#ifndef UMBP_DIGEST_H
#define UMBP_DIGEST_H

#include <stddef.h>

#include "proto/types.h"

typedef struct {
    uint64_t sums[UMBP_DIGEST_MAX];     //  Of the hashes in each bucket
} umbp_digest_t;

//  Which buckets differ
typedef struct {
    size_t buckets;                     //  There are so many
    bool differ[UMBP_DIGEST_MAX];
} umbp_digest_diff_t;

uint64_t umbp_digest_hash (const char *place);

//  A place comes or goes, by its hash. One that is there twice counts twice.
void umbp_digest_add (umbp_digest_t *self, uint64_t hash);
void umbp_digest_remove (umbp_digest_t *self, uint64_t hash);

//  One number for the whole set, never 0: equal for equal sets
uint64_t umbp_digest_all (const umbp_digest_t *self);

//  The set in so many buckets as suit so many places, written to out. Returns how many, at most
//  UMBP_DIGEST_MAX.
size_t umbp_digest_write (const umbp_digest_t *self, size_t places, uint64_t salt, uint16_t *out);

//  Compare with what another one wrote. Returns how many buckets differ, or UMBP_EINVAL if that is
//  no power of two up to UMBP_DIGEST_MAX.
int umbp_digest_compare (const umbp_digest_t *self, umbp_u16s_t theirs, uint64_t salt,
                         umbp_digest_diff_t *diff);

//  Whether a place is in a bucket that differs
bool umbp_digest_differs (const umbp_digest_diff_t *diff, uint64_t hash);

#endif

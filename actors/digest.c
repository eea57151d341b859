//  actors/digest.c - a set of places in a few numbers. See digest.h.
#include "actors/digest.h"

#include <string.h>
#include <xxhash.h>

#include "proto/error.h"
#include "proto/splitmix.h"

#define BUCKETS_MIN 16

uint64_t umbp_digest_hash (const char *place)
{
    return XXH3_64bits (place, strlen (place));
}

void umbp_digest_add (umbp_digest_t *self, uint64_t hash)
{
    self->sums[hash % UMBP_DIGEST_MAX] += hash;
}

void umbp_digest_remove (umbp_digest_t *self, uint64_t hash)
{
    self->sums[hash % UMBP_DIGEST_MAX] -= hash;
}

//  Of all buckets whose numbers are the same modulo a power of two
static uint64_t s_sum (const umbp_digest_t *self, size_t bucket, size_t buckets)
{
    uint64_t sum = 0;
    for (size_t index = bucket; index < UMBP_DIGEST_MAX; index += buckets)
        sum += self->sums[index];
    return sum;
}

static uint16_t s_short (const umbp_digest_t *self, size_t bucket, size_t buckets, uint64_t salt)
{
    uint64_t state = s_sum (self, bucket, buckets) ^ salt;
    return (uint16_t) (umbp_splitmix (&state) >> 48);
}

uint64_t umbp_digest_all (const umbp_digest_t *self)
{
    uint64_t state = s_sum (self, 0, 1), all = umbp_splitmix (&state);
    return all ? all : 1;
}

size_t umbp_digest_write (const umbp_digest_t *self, size_t places, uint64_t salt, uint16_t *out)
{
    size_t buckets = BUCKETS_MIN;
    while (buckets < places / 2 && buckets < UMBP_DIGEST_MAX)
        buckets *= 2;
    for (size_t bucket = 0; bucket < buckets; bucket++)
        out[bucket] = s_short (self, bucket, buckets, salt);
    return buckets;
}

int umbp_digest_compare (const umbp_digest_t *self, umbp_u16s_t theirs, uint64_t salt,
                         umbp_digest_diff_t *diff)
{
    size_t buckets = theirs.count;
    int count = 0;
    diff->buckets = buckets;
    if (buckets == 0 || buckets > UMBP_DIGEST_MAX || (buckets & (buckets - 1)) != 0)
        return UMBP_EINVAL;
    for (size_t bucket = 0; bucket < buckets; bucket++) {
        diff->differ[bucket] =
            umbp_u16s_at (theirs, bucket) != s_short (self, bucket, buckets, salt);
        count += diff->differ[bucket];
    }
    return count;
}

bool umbp_digest_differs (const umbp_digest_diff_t *diff, uint64_t hash)
{
    return diff->differ[hash % diff->buckets];
}

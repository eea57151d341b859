//  bin/histogram.c - latencies in logarithmic buckets, see the header. Each power of two is cut
//  into 64 equal buckets; below 128 a bucket is one value.
#include "bin/histogram.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP_BITS 6                     //  64 buckets to each power of two
#define BUCKETS ((64 - STEP_BITS + 1) << STEP_BITS)

struct umbp_histogram {
    uint64_t count, min, max;
    double sum;
    uint64_t buckets[BUCKETS];
};

//  How many low bits of a value its bucket does not tell
static unsigned s_lost (uint64_t value)
{
    unsigned bits = 64 - __builtin_clzll (value | 1);
    return bits > STEP_BITS + 1 ? bits - STEP_BITS - 1 : 0;
}

static size_t s_bucket (uint64_t value)
{
    unsigned lost = s_lost (value);
    return ((size_t) lost << STEP_BITS) + (value >> lost);
}

//  The largest value of a bucket
static uint64_t s_last (size_t bucket)
{
    if (bucket < 2 << STEP_BITS)
        return bucket;
    unsigned lost = (bucket >> STEP_BITS) - 1;
    uint64_t head = bucket - ((size_t) lost << STEP_BITS);
    return (head << lost) + ((UINT64_C (1) << lost) - 1);
}

umbp_histogram_t *umbp_histogram_new (void)
{
    umbp_histogram_t *self = malloc (sizeof (umbp_histogram_t));
    if (self)
        umbp_histogram_reset (self);
    return self;
}

void umbp_histogram_destroy (umbp_histogram_t **self_p)
{
    assert (self_p);
    free (*self_p);
    *self_p = NULL;
}

void umbp_histogram_add (umbp_histogram_t *self, uint64_t value)
{
    self->buckets[s_bucket (value)]++;
    self->count++;
    self->sum += (double) value;
    self->min = value < self->min ? value : self->min;
    self->max = value > self->max ? value : self->max;
}

void umbp_histogram_merge (umbp_histogram_t *self, const umbp_histogram_t *other)
{
    for (size_t bucket = 0; bucket < BUCKETS; bucket++)
        self->buckets[bucket] += other->buckets[bucket];
    self->count += other->count;
    self->sum += other->sum;
    self->min = other->min < self->min ? other->min : self->min;
    self->max = other->max > self->max ? other->max : self->max;
}

void umbp_histogram_reset (umbp_histogram_t *self)
{
    memset (self, 0, sizeof *self);
    self->min = UINT64_MAX;
}

uint64_t umbp_histogram_count (const umbp_histogram_t *self)
{
    return self->count;
}

uint64_t umbp_histogram_min (const umbp_histogram_t *self)
{
    return self->count ? self->min : 0;
}

uint64_t umbp_histogram_max (const umbp_histogram_t *self)
{
    return self->max;
}

double umbp_histogram_mean (const umbp_histogram_t *self)
{
    return self->count ? self->sum / (double) self->count : 0;
}

uint64_t umbp_histogram_percentile (const umbp_histogram_t *self, double percent)
{
    if (!(percent > 0))                 //  Not a number counts as 0
        return umbp_histogram_min (self);
    double share = percent < 100 ? nextafter (percent, 0) / 100 : 1;    //  99.9 % of 1000 are 999
    double wanted = ceil (share * (double) self->count);
    uint64_t rank = wanted < (double) self->count ? (uint64_t) wanted : self->count, seen = 0;
    size_t bucket = 0;
    rank += rank == 0 && self->count > 0;
    while (bucket < BUCKETS - 1 && (seen += self->buckets[bucket]) < rank)
        bucket++;
    uint64_t last = s_last (bucket);
    return last < self->max ? last : self->max;
}

//  bin/histogram.h - counts latencies in buckets that grow with the value, in the manner of
//  HdrHistogram. Debian 12 has that library for Java and Go alone, not for C, and this is all that
//  the programs here need of it, so it is ours.
//
//  Any 64-bit value fits, ns as a rule. Values below 128 are kept exactly, others within 1/64. The
//  memory is fixed, some 30 KB, and adding takes a few ns. Not thread-safe: one per thread, merged
//  at the end. Nothing blocks.
#ifndef UMBP_HISTOGRAM_H
#define UMBP_HISTOGRAM_H

#include <stdint.h>

typedef struct umbp_histogram umbp_histogram_t;

//  NULL if memory is out
umbp_histogram_t *umbp_histogram_new (void);
void umbp_histogram_destroy (umbp_histogram_t **self_p);

//  Count a value; add all counts of another, which stays as it is; start again
void umbp_histogram_add (umbp_histogram_t *self, uint64_t value);
void umbp_histogram_merge (umbp_histogram_t *self, const umbp_histogram_t *other);
void umbp_histogram_reset (umbp_histogram_t *self);

//  How many values, and their exact smallest, largest and mean; all 0 if there are none
uint64_t umbp_histogram_count (const umbp_histogram_t *self);
uint64_t umbp_histogram_min (const umbp_histogram_t *self);
uint64_t umbp_histogram_max (const umbp_histogram_t *self);
double umbp_histogram_mean (const umbp_histogram_t *self);

//  The value that percent (0..100, others are taken as the nearer of these) of all values do not
//  exceed: at least the true one, at most 1/64 more. 0 if there are none.
uint64_t umbp_histogram_percentile (const umbp_histogram_t *self, double percent);

#endif

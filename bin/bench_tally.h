//  bin/bench_tally.h - what a bench counts: calls and how long they took, blocks and bytes, hits
//  and misses, errors by name, wrong bytes. One per thread, merged at the end. Nothing blocks.
#ifndef UMBP_BENCH_TALLY_H
#define UMBP_BENCH_TALLY_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "bin/histogram.h"
#include "client/umbp.h"

typedef enum { UMBP_BENCH_PUT, UMBP_BENCH_GET, UMBP_BENCH_EXISTS, UMBP_BENCH_OPS } umbp_bench_op_t;

#define UMBP_BENCH_ERRORS (1 - UMBP_ERR_LAST)       //  By number without its sign; 0: unknown
#define UMBP_BENCH_KEY_SIZE 65          //  64 hex digits and a zero, as in workload.h

typedef struct {
    umbp_histogram_t *calls[UMBP_BENCH_OPS];        //  ns
    uint64_t items[UMBP_BENCH_OPS];     //  Blocks that were asked for
    uint64_t bytes[UMBP_BENCH_OPS];     //  That arrived
    uint64_t hits, misses, already;
    uint64_t errors[UMBP_BENCH_ERRORS];
    uint64_t wrong;                     //  Blocks with a wrong byte or size
    char wrong_key[UMBP_BENCH_KEY_SIZE];             //  The first of them
} umbp_bench_tally_t;

//  Aborts if memory is out
void umbp_bench_tally_init (umbp_bench_tally_t *self);
void umbp_bench_tally_done (umbp_bench_tally_t *self);
void umbp_bench_tally_merge (umbp_bench_tally_t *self, const umbp_bench_tally_t *other);

void umbp_bench_tally_error (umbp_bench_tally_t *self, int status);
void umbp_bench_tally_wrong (umbp_bench_tally_t *self, const char *key);

//  Sum of the errors
uint64_t umbp_bench_tally_errors (const umbp_bench_tally_t *self);

//  Name of an error by its place in errors
const char *umbp_bench_tally_error_name (size_t place);

//  A document of all that, after so many seconds: for each operation that was called items, keys_s,
//  gb_s and its percentiles in us, and hits, misses, already, errors, wrong
json_t *umbp_bench_tally_json (const umbp_bench_tally_t *self, double seconds);

//  The same for people: a line for each operation, then hits and errors
void umbp_bench_tally_print (const umbp_bench_tally_t *self, double seconds, FILE *out);

//  One line about how the bytes of blocks travelled, and the same as JSON
json_t *umbp_bench_paths_json (const umbp_stats_t *stats);
void umbp_bench_paths_print (const umbp_stats_t *stats, FILE *out);

static inline uint64_t umbp_bench_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

#endif

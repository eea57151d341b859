//  bin/bench_suite.h - the command suite of umbp-bench: rows that compare the pool with what it
//  cannot beat, a memcpy and a socket, and with what others use, redis. Starts all it needs itself.
#ifndef UMBP_BENCH_SUITE_H
#define UMBP_BENCH_SUITE_H

#include <jansson.h>
#include <stdbool.h>

#include "bin/bench_options.h"

//  Runs, prints a table and writes the rows to options->out. Returns the exit status: 1 if a byte
//  was wrong or something could not be started; a floor that is missed is said, and no failure.
int umbp_bench_suite (const umbp_bench_options_t *options);

//  ------------------------------------------------------------------------------------------------
//  For the rows

typedef struct {
    const umbp_bench_options_t *options;
    json_t *rows;
    bool failed;                        //  A row could not be measured
} umbp_bench_suite_t;

//  One measurement. value below 0: it failed, and has said why.
typedef struct {
    double value;                       //  In the unit of its row
    double gb, cpu_s;                   //  Moved, and the CPU time of all processes; 0: not told
} umbp_bench_probe_t;

typedef umbp_bench_probe_t umbp_bench_probe_fn (void *arg);

typedef struct {
    const char *name, *unit, *peer_name;
    double floor;                       //  Of the ratio; 0: none
    bool less_is_better;                //  Then the ratio is peer by ours, else ours by peer
    umbp_bench_probe_fn *ours, *peer;   //  peer NULL: there is none
} umbp_bench_row_t;

//  Whether the row was asked for
bool umbp_bench_suite_wants (const umbp_bench_suite_t *self, const char *name);

//  Whether one of them was
bool umbp_bench_suite_wants_any (const umbp_bench_suite_t *self, const umbp_bench_row_t *rows,
                                 size_t count);

//  Measure both in turns after one of each for nothing, and print and keep the medians. arg goes to
//  the probes. Nothing if the row was not asked for.
void umbp_bench_suite_row (umbp_bench_suite_t *self, const umbp_bench_row_t *row, void *arg);

//  Keep a row of one measurement; peer below 0: there is none
void umbp_bench_suite_fact (umbp_bench_suite_t *self, const umbp_bench_row_t *row, double ours,
                            double peer);

//  Say why a part of the suite is missing; it then failed
void umbp_bench_suite_miss (umbp_bench_suite_t *self, const char *part, const char *why);

//  CPU seconds of this process so far
double umbp_bench_suite_cpu (void);

//  The parts: bench_bulk.c, large blocks; bench_values.c, large values of this host; bench_lanes.c, many
//  calls side by side; bench_keys.c, many small blocks
void umbp_bench_bulk_rows (umbp_bench_suite_t *self);
void umbp_bench_values_rows (umbp_bench_suite_t *self);
void umbp_bench_lanes_rows (umbp_bench_suite_t *self);
void umbp_bench_keys_rows (umbp_bench_suite_t *self);

//  bench_disk.c: blocks on disk beside fio, and the restart of a node that has some
void umbp_bench_disk_rows (umbp_bench_suite_t *self);

#endif

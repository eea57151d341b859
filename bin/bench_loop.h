//  bin/bench_loop.h - the commands put, get, exists and mixed of umbp-bench: threads that call,
//  each the next once the last returned, until the time is over or all is done.
#ifndef UMBP_BENCH_LOOP_H
#define UMBP_BENCH_LOOP_H

#include "bin/bench_options.h"
#include "bin/bench_tally.h"

//  The key of a block of a run: 64 hex digits, and what its bytes follow from (umbp_workload_fill)
uint64_t umbp_bench_key (uint64_t seed, uint64_t number, char key[UMBP_BENCH_KEY_SIZE]);

//  Runs and prints. Returns the exit status.
int umbp_bench_loop (const char *command, const umbp_bench_options_t *options);

#endif

//  bin/bench_suite.h - the command suite of umbp-bench: rows that compare the pool with what it cannot
//  beat, a memcpy, a socket, and with what others use, redis. Starts all it needs itself.
#ifndef UMBP_BENCH_SUITE_H
#define UMBP_BENCH_SUITE_H

#include "bin/bench_options.h"

//  Runs, prints a table and writes the rows to options->out. Returns the exit status: 1 if a byte was
//  wrong or something could not be started; a floor that is missed is said, and no failure.
int umbp_bench_suite (const umbp_bench_options_t *options);

#endif

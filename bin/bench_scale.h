//  bin/bench_scale.h - the command scale of umbp-bench: what a cluster of up to 1024 nodes costs each of
//  them, and how it grows, in one process and without sockets. doc/scale.md says what it told.
#ifndef UMBP_BENCH_SCALE_H
#define UMBP_BENCH_SCALE_H

#include "bin/bench_options.h"

//  Runs and prints rows, or with json an array of them. Returns the exit status: 1 if the nodes did not
//  come to agree, or memory ran out.
int umbp_bench_scale (const umbp_bench_options_t *options);

#endif

//  bin/bench_policy.h - what each eviction policy makes of a workload, and what nobody can beat. Needs no node.
#ifndef UMBP_BENCH_POLICY_H
#define UMBP_BENCH_POLICY_H

#include "bin/bench_options.h"

//  Exit status: 0, or 1 if the workload cannot be read
int umbp_bench_policy (const umbp_bench_options_t *options);

#endif

//  bin/bench_replay.h - the command replay of umbp-bench: several client processes do what an
//  engine does with a workload's requests, which are dealt to whoever is free, in their order.
#ifndef UMBP_BENCH_REPLAY_H
#define UMBP_BENCH_REPLAY_H

#include "bin/bench_options.h"

//  Runs and prints. Returns the exit status: 1 also if any byte was wrong or any call failed for
//  another reason than a miss or a full pool.
int umbp_bench_replay (const umbp_bench_options_t *options);

#endif

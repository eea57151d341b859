//  bin/bench_log.h - umbp-bench log: the segment log of the NVMe tier beside fio, on the same disk in the same run.
#ifndef UMBP_BENCH_LOG_H
#define UMBP_BENCH_LOG_H

#include "bin/bench_options.h"

//  Writes and reads so many bytes of blocks, in turns with fio with the same engine, block size and depth; opens the
//  log again, and compares every byte. Prints as it goes. Returns 0, or 1 if a byte was wrong or it failed.
int umbp_bench_log (const umbp_bench_options_t *options);

#endif

//  bin/bench_iperf.h - one stream of iperf3 over loopback, to compare with. Blocks for as long as a
//  run takes, 60 s at most.
#ifndef UMBP_BENCH_IPERF_H
#define UMBP_BENCH_IPERF_H

#include <stddef.h>

//  Send gib GiB in writes of write_bytes, with that congestion control, between two processes of
//  iperf3; their log goes to folder. Returns GB/s as the receiver saw it, and the CPU seconds of
//  both; or -1, with *why: there is no iperf3, or it failed.
double umbp_bench_iperf (const char *folder, unsigned gib, size_t write_bytes,
                         const char *congestion, double *cpu_s, const char **why);

#endif

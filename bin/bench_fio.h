//  bin/bench_fio.h - fio, to compare with on the same disk
#ifndef UMBP_BENCH_FIO_H
#define UMBP_BENCH_FIO_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *file;                   //  Written by an earlier run if it is to be read
    bool reads;                         //  In the order in which it lies there; else writes
    bool uring;                         //  io_uring with registered buffers and files; else a thread for each
                                        //  request in flight, as many as the log of a tier at most
    uint64_t bytes, block_bytes, depth;
} umbp_bench_fio_t;

//  One run with O_DIRECT, without a sync before its clock stops. Returns MB/s, or -1 if there is no fio or it failed.
double umbp_bench_fio (const umbp_bench_fio_t *what);

#endif

//  bin/bench_worker.h - a client process of the replay, and what it and its parent say to each
//  other over a socket pair, in the byte order of this host.
//
//  Down: an umbp_bench_task_t, then that many ids, then that many keys; a task of 0 blocks is fine,
//  and the end of the stream is the end of the work. Up: an umbp_bench_done_t for each task, in
//  their order, then that many samples.
//
//  What is done with a request is what an engine does: ask how long a prefix of its blocks is
//  there, get that, compute and put all others. Batches go from the last to the first, so that a
//  prefix outlives its suffix where the pool goes by age.
#ifndef UMBP_BENCH_WORKER_H
#define UMBP_BENCH_WORKER_H

#include "bin/bench_options.h"
#include "bin/bench_tally.h"
#include "bin/workload.h"

//  Calls for one request: one exists, and one or more for each full or started batch
#define UMBP_BENCH_SAMPLES_MAX (2 * UMBP_WORKLOAD_BLOCKS_MAX + 3)

typedef struct {
    uint32_t blocks;
} umbp_bench_task_t;

typedef struct {
    uint32_t op;
    uint32_t items;
    uint64_t ns;
} umbp_bench_sample_t;

typedef struct {
    uint32_t blocks;                    //  Of the request
    uint32_t said;                      //  Prefix that exists_prefix promised
    uint32_t prefix;                    //  Prefix that get then had
    uint32_t hits;                      //  Blocks that were got
    uint32_t lost;                      //  Blocks that were promised and not there
    uint32_t stored, already;           //  Blocks that were put, or found there by put
    uint32_t full;                      //  Blocks that were not put, for want of room
    uint32_t wrong;                     //  Blocks with a wrong byte
    uint32_t samples;                   //  That follow
    uint64_t errors[UMBP_BENCH_ERRORS]; //  Other than these
    char wrong_key[UMBP_BENCH_KEY_SIZE];
    umbp_stats_t stats;                 //  Of the client since its start
} umbp_bench_done_t;

//  Read or write all of it. Returns false at the end of the stream or after an error; a blocking
//  write raises no SIGPIPE.
bool umbp_bench_read_all (int fd, void *data, size_t size);
bool umbp_bench_write_all (int fd, const void *data, size_t size);

//  Work until the stream ends. Returns the exit status of the process: 0, 1 if it cannot connect or
//  is not understood.
int umbp_bench_worker (const umbp_bench_options_t *options, size_t number, int fd);

#endif

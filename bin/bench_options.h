//  bin/bench_options.h - what umbp-bench is told on its command line. A value: no threads, nothing
//  blocks. After umbp_bench_options_read returned 0 every member keeps its range.
#ifndef UMBP_BENCH_OPTIONS_H
#define UMBP_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/umbp.h"

#define UMBP_BENCH_BATCH_MAX 1024       //  Blocks in a call
#define UMBP_BENCH_THREADS_MAX 64
#define UMBP_BENCH_CLIENTS_MAX 64
#define UMBP_BENCH_ROOM_MAX (UINT64_C (16) << 30)     //  Bytes of all buffers together
#define UMBP_BENCH_COPY_AUTO UINT64_MAX
#define UMBP_BENCH_TEXT 1024            //  Room for a text

typedef struct {
    //  All
    char certificate[UMBP_BENCH_TEXT], server_certificate[UMBP_BENCH_TEXT];     //  Empty: none said
    char endpoints[UMBP_BENCH_TEXT];    //  "tcp://host:port,..."; empty: as umbp_connect finds one
    uint64_t timeout_ms;                //  Of a call
    uint64_t seed;
    bool json;
    //  Calls
    uint64_t threads, batch, block_bytes, keys;
    uint64_t seconds_ms, count;         //  The first of both ends it. count 0: time alone
    uint64_t gets_percent;              //  Of mixed calls
    bool no_shm;
    uint64_t copy_threads;              //  Of the client's own; UMBP_BENCH_COPY_AUTO: as it chooses
    uint64_t tcp_streams;               //  0: as the client chooses
    char strategy[16];
    //  Replay
    char trace[UMBP_BENCH_TEXT];        //  Empty: the generator
    uint64_t clients, far_clients, requests, talks, lru_blocks;
    bool wait_full;                     //  Put again until the deadline what found no room
    //  Suite
    char out[UMBP_BENCH_TEXT];
    uint64_t samples;
    char rows[64];                      //  Only rows whose name holds this; empty: all
    //  Scale
    uint64_t nodes, joins, intervals, gone;
    uint64_t cluster;                   //  Real nodes to count messages with; 0: none
    //  Log
    char directory[UMBP_BENCH_TEXT], engine[16];
    uint64_t bytes, depth;
} umbp_bench_options_t;

//  The defaults of a command. Returns 0, or UMBP_EINVAL if there is no such command.
int umbp_bench_options_init (umbp_bench_options_t *self, const char *command);

//  Read arguments, "--name value" or "--name=value", into a set that init has made. Returns 0, or
//  UMBP_EINVAL, and error, of error_size bytes, says which and what is allowed.
int umbp_bench_options_read (umbp_bench_options_t *self, const char *command, int argc,
                             char *const *argv, char *error, size_t error_size);

//  All commands and their options
void umbp_bench_options_help (FILE *out);

//  Name the certificates that were given
void umbp_bench_options_secure (const umbp_bench_options_t *self, umbp_options_t *how);

//  How a client of this run moves large blocks
void umbp_bench_options_copies (const umbp_bench_options_t *self, umbp_options_t *how);

//  The n-th of the endpoints, from the front again after the last, written to out; "" if none is
//  given. Returns out.
char *umbp_bench_options_endpoint (const umbp_bench_options_t *self, size_t number, char *out,
                                   size_t size);

//  Number of the strategy, as umbp.h has it
int umbp_bench_options_strategy (const umbp_bench_options_t *self);

#endif

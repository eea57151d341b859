//  bin/bench_mooncake.h - a Mooncake Store of our own over tcp, to compare with: a master, a process
//  that lends memory and a client, which deploy/bench-mooncake.py starts and drives. One thread.
#ifndef UMBP_BENCH_MOONCAKE_H
#define UMBP_BENCH_MOONCAKE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct umbp_bench_mooncake umbp_bench_mooncake_t;

//  Start it, with its files in that folder. $UMBP_MOONCAKE is the python that has the package.
//  Returns NULL with *why, a few words, if there is none or it does not start within 60 s.
umbp_bench_mooncake_t *umbp_bench_mooncake_new (const char *folder, const char **why);
void umbp_bench_mooncake_destroy (umbp_bench_mooncake_t **self_p);

//  Many lanes at once, each the next call once the last returned: put new objects, in place of those
//  of the last such put, or get what such a put left. Tells how long it took, and the CPU seconds of
//  all its processes. Blocks for 120 s at most. Returns false on failure, and has said why.
bool umbp_bench_mooncake_run (umbp_bench_mooncake_t *self, bool put, size_t lanes, size_t calls,
                              size_t batch, size_t size, double *seconds, double *cpu_s);

#endif

//  bin/bench_memcached.h - a memcached of our own on a UNIX socket, to compare with, spoken to in its
//  text protocol. Calls block for 10 s at most. One thread.
#ifndef UMBP_BENCH_MEMCACHED_H
#define UMBP_BENCH_MEMCACHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct umbp_bench_memcached umbp_bench_memcached_t;

//  Start it, with its socket in that folder, and room for values of 4 MiB, 1 GiB in all. Returns
//  NULL with *why, a few words, if there is no memcached.
umbp_bench_memcached_t *umbp_bench_memcached_new (const char *folder, const char **why);
void umbp_bench_memcached_destroy (umbp_bench_memcached_t **self_p);

//  Store a value. Returns false on failure.
bool umbp_bench_memcached_set (umbp_bench_memcached_t *self, const char *key, const void *value,
                               size_t size);

//  Get a value of that size, into out. Returns false on failure, or if it is not there.
bool umbp_bench_memcached_get (umbp_bench_memcached_t *self, const char *key, void *out,
                               size_t size);

//  CPU seconds of the server so far
double umbp_bench_memcached_cpu (const umbp_bench_memcached_t *self);

#endif

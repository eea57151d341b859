//  bin/bench_redis.h - a redis-server of our own on a UNIX socket, without persistence, to compare
//  with. Calls block for 10 s at most. One thread.
#ifndef UMBP_BENCH_REDIS_H
#define UMBP_BENCH_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_BENCH_REDIS_BATCH 128      //  Most keys of a call

typedef struct umbp_bench_redis umbp_bench_redis_t;

//  Start it, with its socket in that folder. Returns NULL with *why, a few words, if there is no
//  redis-server or this program was built without its client library.
umbp_bench_redis_t *umbp_bench_redis_new (const char *folder, const char **why);
void umbp_bench_redis_destroy (umbp_bench_redis_t **self_p);

//  Store that value under each of the keys. Returns false on failure.
bool umbp_bench_redis_set (umbp_bench_redis_t *self, const char *const *keys, size_t count,
                           const void *value, size_t size);

//  How many of the keys are there: asked one by one in a pipeline, or all in one command; -1 on
//  failure
long umbp_bench_redis_exists (umbp_bench_redis_t *self, const char *const *keys, size_t count,
                              bool pipelined);

//  The values, copied one behind the other. Returns how many there are, all of that size; -1 on
//  failure.
long umbp_bench_redis_get (umbp_bench_redis_t *self, const char *const *keys, size_t count,
                           void *out, size_t size);

//  CPU seconds of the server so far
double umbp_bench_redis_cpu (const umbp_bench_redis_t *self);

//  used_memory of its INFO; 0 on failure
uint64_t umbp_bench_redis_memory (umbp_bench_redis_t *self);

#endif

//  bin/bench_redis.c - a redis-server to compare with, see bench_redis.h. Without libhiredis, which
//  UMBP_HIREDIS says is there, it can only say so.
#include "bin/bench_redis.h"

#ifdef UMBP_HIREDIS

#include <hiredis/hiredis.h>
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "bin/bench_nodes.h"
#include "cluster/bulk/clock.h"

#define START_MS 10000
#define END_MS 10000
#define CALL_S 10

struct umbp_bench_redis {
    pid_t pid;
    redisContext *context;
};

static redisContext *s_connect (pid_t pid, const char *path)
{
    int64_t until_ms = umbp_clock_ms () + START_MS;
    redisContext *context = NULL;
    while (!context && umbp_clock_ms () < until_ms && waitpid (pid, NULL, WNOHANG) == 0) {
        context = redisConnectUnixWithTimeout (path, (struct timeval) { .tv_sec = CALL_S });
        if (context && context->err) {
            redisFree (context);
            context = NULL;
            nanosleep (&(struct timespec) { .tv_nsec = 5000000 }, NULL);
        }
    }
    if (context)
        redisSetTimeout (context, (struct timeval) { .tv_sec = CALL_S });
    return context;
}

umbp_bench_redis_t *umbp_bench_redis_new (const char *folder, const char **why)
{
    char path[100], log[100];
    snprintf (path, sizeof path, "%s/redis.sock", folder);
    snprintf (log, sizeof log, "%s/redis.log", folder);
    char *argv[] = { "redis-server", "--port", "0", "--unixsocket", path, "--save", "",
                     "--appendonly", "no", "--daemonize", "no", NULL };
    umbp_bench_redis_t *self = calloc (1, sizeof *self);
    assert (self);
    self->pid = umbp_bench_start_process (argv, log, NULL);
    self->context = self->pid > 0 ? s_connect (self->pid, path) : NULL;
    if (!self->context) {
        *why = "there is no redis-server, or it does not start";
        umbp_bench_redis_destroy (&self);
    }
    return self;
}

void umbp_bench_redis_destroy (umbp_bench_redis_t **self_p)
{
    umbp_bench_redis_t *self = *self_p;
    if (!self)
        return;
    if (self->context)
        redisFree (self->context);
    if (self->pid > 0)
        umbp_bench_end_process (self->pid, SIGTERM, END_MS);
    free (self);
    *self_p = NULL;
}

//  Take the answer of a command; NULL if it is none of that type
static redisReply *s_take (umbp_bench_redis_t *self, int type)
{
    void *reply = NULL;
    if (redisGetReply (self->context, &reply) != REDIS_OK)
        return NULL;
    if (((redisReply *) reply)->type == type)
        return reply;
    freeReplyObject (reply);
    return NULL;
}

bool umbp_bench_redis_set (umbp_bench_redis_t *self, const char *const *keys, size_t count,
                           const void *value, size_t size)
{
    for (size_t index = 0; index < count; index++)
        redisAppendCommand (self->context, "SET %s %b", keys[index], value, size);
    bool fine = true;
    for (size_t index = 0; index < count; index++) {
        redisReply *reply = s_take (self, REDIS_REPLY_STATUS);
        fine &= reply != NULL;
        freeReplyObject (reply);
    }
    return fine;
}

//  One command with all keys
static void s_append (umbp_bench_redis_t *self, const char *command, const char *const *keys,
                      size_t count)
{
    const char *words[UMBP_BENCH_REDIS_BATCH + 1] = { command };
    assert (count <= UMBP_BENCH_REDIS_BATCH);
    memcpy (words + 1, keys, count * sizeof *keys);
    redisAppendCommandArgv (self->context, (int) count + 1, words, NULL);
}

static long s_take_integer (umbp_bench_redis_t *self)
{
    redisReply *reply = s_take (self, REDIS_REPLY_INTEGER);
    long value = reply ? (long) reply->integer : -1;
    freeReplyObject (reply);
    return value;
}

long umbp_bench_redis_exists (umbp_bench_redis_t *self, const char *const *keys, size_t count,
                              bool pipelined)
{
    if (!pipelined) {
        s_append (self, "EXISTS", keys, count);
        return s_take_integer (self);
    }
    long found = 0;
    for (size_t index = 0; index < count; index++)
        s_append (self, "EXISTS", keys + index, 1);
    for (size_t index = 0; index < count; index++) {
        long one = s_take_integer (self);
        found = one < 0 || found < 0 ? -1 : found + one;
    }
    return found;
}

long umbp_bench_redis_get (umbp_bench_redis_t *self, const char *const *keys, size_t count,
                           void *out, size_t size)
{
    s_append (self, "MGET", keys, count);
    redisReply *reply = s_take (self, REDIS_REPLY_ARRAY);
    long found = reply ? 0 : -1;
    for (size_t index = 0; reply && index < reply->elements; index++) {
        const redisReply *value = reply->element[index];
        if (value->type != REDIS_REPLY_STRING || value->len != size)
            continue;
        memcpy ((char *) out + (size_t) found * size, value->str, size);
        found++;
    }
    freeReplyObject (reply);
    return found;
}

double umbp_bench_redis_cpu (const umbp_bench_redis_t *self)
{
    return umbp_bench_cpu (self->pid);
}

uint64_t umbp_bench_redis_memory (umbp_bench_redis_t *self)
{
    uint64_t bytes = 0;
    redisAppendCommand (self->context, "INFO memory");
    redisReply *reply = s_take (self, REDIS_REPLY_STRING);
    const char *at = reply ? strstr (reply->str, "used_memory:") : NULL;
    if (at)
        bytes = strtoull (at + strlen ("used_memory:"), NULL, 10);
    freeReplyObject (reply);
    return bytes;
}

#else

umbp_bench_redis_t *umbp_bench_redis_new (const char *folder, const char **why)
{
    (void) folder;
    *why = "built without libhiredis";
    return NULL;
}

void umbp_bench_redis_destroy (umbp_bench_redis_t **self_p)
{
    *self_p = NULL;
}

bool umbp_bench_redis_set (umbp_bench_redis_t *self, const char *const *keys, size_t count,
                           const void *value, size_t size)
{
    (void) self, (void) keys, (void) count, (void) value, (void) size;
    return false;
}

long umbp_bench_redis_exists (umbp_bench_redis_t *self, const char *const *keys, size_t count,
                              bool pipelined)
{
    (void) self, (void) keys, (void) count, (void) pipelined;
    return -1;
}

long umbp_bench_redis_get (umbp_bench_redis_t *self, const char *const *keys, size_t count,
                           void *out, size_t size)
{
    (void) self, (void) keys, (void) count, (void) out, (void) size;
    return -1;
}

double umbp_bench_redis_cpu (const umbp_bench_redis_t *self)
{
    (void) self;
    return 0;
}

uint64_t umbp_bench_redis_memory (umbp_bench_redis_t *self)
{
    (void) self;
    return 0;
}

#endif

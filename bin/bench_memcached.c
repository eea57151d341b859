//  bin/bench_memcached.c - a memcached to compare with, see bench_memcached.h. Values are received
//  where they belong: no client library could be faster.
#include "bin/bench_memcached.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bin/bench_nodes.h"

#define START_MS 10000
#define END_MS 10000
#define CALL_S 10
#define LINE 512                        //  Longest first line of an answer

struct umbp_bench_memcached {
    pid_t pid;
    int sock;                           //  -1: none
};

umbp_bench_memcached_t *umbp_bench_memcached_new (const char *folder, const char **why)
{
    char path[100], log[100];
    snprintf (path, sizeof path, "%s/memcached.sock", folder);
    snprintf (log, sizeof log, "%s/memcached.log", folder);
    char *argv[] = { "memcached", "-s", path, "-m",
                     "1024",      "-I", "4m", geteuid () == 0 ? "-u" : NULL,
                     "root",      NULL };
    umbp_bench_memcached_t *self = calloc (1, sizeof *self);
    assert (self);
    self->pid = umbp_bench_start_process (argv, log, NULL);
    self->sock = self->pid > 0 ? umbp_bench_dial (self->pid, path, START_MS, CALL_S) : -1;
    if (self->sock == -1) {
        *why = "there is no memcached, or it does not start";
        umbp_bench_memcached_destroy (&self);
    }
    return self;
}

void umbp_bench_memcached_destroy (umbp_bench_memcached_t **self_p)
{
    umbp_bench_memcached_t *self = *self_p;
    if (!self)
        return;
    if (self->sock >= 0)
        close (self->sock);
    if (self->pid > 0)
        umbp_bench_end_process (self->pid, SIGTERM, END_MS);
    free (self);
    *self_p = NULL;
}

static bool s_send (int sock, const void *data, size_t size, int flags)
{
    for (const char *at = data; size > 0;) {
        ssize_t sent = send (sock, at, size, MSG_NOSIGNAL | flags);
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t) sent;
    }
    return true;
}

static bool s_receive (int sock, void *data, size_t size)
{
    return size == 0 || recv (sock, data, size, MSG_WAITALL) == (ssize_t) size;
}

//  Whether exactly these words come
static bool s_expect (int sock, const char *words)
{
    char got[32];
    size_t size = strlen (words);
    return size <= sizeof got && s_receive (sock, got, size) && memcmp (got, words, size) == 0;
}

bool umbp_bench_memcached_set (umbp_bench_memcached_t *self, const char *key, const void *value,
                               size_t size)
{
    char line[LINE];
    int length = snprintf (line, sizeof line, "set %s 0 0 %zu\r\n", key, size);
    return s_send (self->sock, line, (size_t) length, MSG_MORE)
           && s_send (self->sock, value, size, MSG_MORE) && s_send (self->sock, "\r\n", 2, 0)
           && s_expect (self->sock, "STORED\r\n");
}

bool umbp_bench_memcached_get (umbp_bench_memcached_t *self, const char *key, void *out,
                               size_t size)
{
    char line[LINE], wanted[LINE];
    int length = snprintf (line, sizeof line, "get %s\r\n", key);
    int head = snprintf (wanted, sizeof wanted, "VALUE %s 0 %zu\r\n", key, size);
    return s_send (self->sock, line, (size_t) length, 0)
           && s_receive (self->sock, line, (size_t) head)
           && memcmp (line, wanted, (size_t) head) == 0 && s_receive (self->sock, out, size)
           && s_expect (self->sock, "\r\nEND\r\n");
}

double umbp_bench_memcached_cpu (const umbp_bench_memcached_t *self)
{
    return umbp_bench_cpu (self->pid);
}

//  bin/bench_mooncake.c - Mooncake Store to compare with, see bench_mooncake.h. What is said to its
//  driver is told in deploy/bench-mooncake.py.
#include "bin/bench_mooncake.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bin/bench_nodes.h"

#define DRIVER "deploy/bench-mooncake.py"           //  From the root of the project
#define START_MS 60000
#define END_MS 20000
#define CALL_S 120

struct umbp_bench_mooncake {
    pid_t pid;
    FILE *talk;                         //  NULL: none
};

umbp_bench_mooncake_t *umbp_bench_mooncake_new (const char *folder, const char **why)
{
    const char *python = getenv ("UMBP_MOONCAKE");
    if (!python || !*python || access (DRIVER, R_OK) != 0) {
        *why =
            "$UMBP_MOONCAKE names no python that has it, or this is not the root of umbp: try make bench";
        return NULL;
    }
    char log[100], path[100];
    snprintf (log, sizeof log, "%s/mooncake.log", folder);
    snprintf (path, sizeof path, "%s/mooncake.sock", folder);
    char *argv[] = { (char *) python, DRIVER, (char *) folder, NULL };
    umbp_bench_mooncake_t *self = calloc (1, sizeof *self);
    assert (self);
    self->pid = umbp_bench_start_process (argv, log, NULL);
    int sock = self->pid > 0 ? umbp_bench_dial (self->pid, path, START_MS, CALL_S) : -1;
    self->talk = sock >= 0 ? fdopen (sock, "r") : NULL;
    if (!self->talk) {
        *why = "it does not start";
        umbp_bench_mooncake_destroy (&self);
    }
    return self;
}

void umbp_bench_mooncake_destroy (umbp_bench_mooncake_t **self_p)
{
    umbp_bench_mooncake_t *self = *self_p;
    if (!self)
        return;
    if (self->talk) {
        shutdown (fileno (self->talk), SHUT_RDWR);
        fclose (self->talk);
    }
    if (self->pid > 0)
        umbp_bench_end_process (self->pid, self->talk ? 0 : SIGTERM, END_MS);
    free (self);
    *self_p = NULL;
}

bool umbp_bench_mooncake_run (umbp_bench_mooncake_t *self, bool put, size_t lanes, size_t calls,
                              size_t batch, size_t size, double *seconds, double *cpu_s)
{
    char line[512];
    if (dprintf (fileno (self->talk), "%s %zu %zu %zu %zu\n", put ? "put" : "get", lanes, calls,
                 batch, size)
            < 0
        || !fgets (line, sizeof line, self->talk)) {
        fprintf (stderr, "umbp-bench: mooncake: no answer\n");
        return false;
    }
    if (sscanf (line, "%lf %lf", seconds, cpu_s) == 2)
        return true;
    fprintf (stderr, "umbp-bench: mooncake: %s", line);
    return false;
}

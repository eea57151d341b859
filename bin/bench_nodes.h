//  bin/bench_nodes.h - processes that a bench starts and ends: nodes of a cluster on loopback, and
//  servers to compare with. Everything waits up to a deadline. A process that is left over when the
//  bench ends is killed by the system.
#ifndef UMBP_BENCH_NODES_H
#define UMBP_BENCH_NODES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bin/talk.h"

#define UMBP_BENCH_NODES_MAX 8

//  Start a program, by its path or found in $PATH; its stderr goes to the file log. *out is where
//  its stdout can be read, unless out is NULL: then that goes to log too. Returns its process, or
//  -1.
pid_t umbp_bench_start_process (char *const *argv, const char *log, int *out);

//  Send a signal, unless that is 0, and wait up to so long; then kill. Returns the exit status, 128
//  and the signal that ended it, or -1 if it had to be killed.
int umbp_bench_end_process (pid_t pid, int signal, int timeout_ms);

//  Connect to the UNIX socket at path once the process listens there, at most so long; each send and
//  receive may take call_s. Returns a blocking socket, or -1.
int umbp_bench_dial (pid_t pid, const char *path, int timeout_ms, int call_s);

//  CPU seconds that a process has used; 0 if there is none
double umbp_bench_cpu (pid_t pid);

typedef struct {
    char folder[64];                    //  Temporary: logs, doors
    size_t count;
    struct {
        pid_t pid;
        char id[16], endpoint[128];
    } nodes[UMBP_BENCH_NODES_MAX];
} umbp_bench_cluster_t;

//  Start so many umbp-node, the one next to this program, with these flags, between spaces, besides
//  those that make them one cluster. Returns 0 once all see each other, or -1 after saying why not;
//  then nothing runs.
int umbp_bench_cluster_start (umbp_bench_cluster_t *self, size_t count, const char *flags);

//  Start one more, with flags as above. Returns 0 once it is ready, or -1.
int umbp_bench_cluster_add (umbp_bench_cluster_t *self, const char *flags);

//  End them in good order. Returns 0 if each exited with 0.
int umbp_bench_cluster_stop (umbp_bench_cluster_t *self);

//  CPU seconds of all nodes so far
double umbp_bench_cluster_cpu (const umbp_bench_cluster_t *self);

//  Wait until the node says that so many are alive and in the ring. Returns 0 or UMBP_ETIMEDOUT.
int umbp_bench_wait_members (umbp_talk_t *talk, size_t count, int timeout_ms);

//  What each tier of each node holds, as its cluster's registry says: an array of node, tier,
//  used_bytes, total_bytes, used_percent, blocks. NULL if nobody answers there; endpoint may be "".
json_t *umbp_bench_tiers (const char *endpoint);

//  A counter of an actor. Returns 0, or an error: UMBP_ENOENT if it has no such counter.
int umbp_bench_stat (umbp_talk_t *talk, const char *address, const char *name, uint64_t *value);

#endif

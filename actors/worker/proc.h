//  actors/worker/proc.h - what /proc tells of a process: whether it is the one we think of, and in
//  which container it runs. All takes the folder that is /proc, so that tests can make one.
//  Functions without state; they read a few small files.
#ifndef UMBP_WORKER_PROC_H
#define UMBP_WORKER_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define UMBP_PROC_TEXT_MAX 256
#define UMBP_PROC_BOOT_MAX 40

typedef struct {
    char state;                         //  R, S, D, Z, ...
    pid_t session;
    uint64_t start_ticks;               //  Since the host started: a pid that comes again has another
} umbp_proc_stat_t;

//  Returns 0, or UMBP_ENOENT if there is no such process
int umbp_proc_stat (const char *root, pid_t pid, umbp_proc_stat_t *out);

//  Id of this run of the kernel; empty if there is none. Returns out.
char *umbp_proc_boot (const char *root, char *out);

//  A variable of its environment as it began. Returns false if it has none of that name.
bool umbp_proc_environ (const char *root, pid_t pid, const char *name, char *out, size_t size);

//  The oldest process that leads its session and whose environment has both variables; 0: none
pid_t umbp_proc_find (const char *root, const char *name, const char *value, const char *name2,
                      const char *value2);

//  Where a process runs. Empty texts and 0 where /proc does not say.
typedef struct {
    char pod[UMBP_PROC_TEXT_MAX];       //  "namespace_pod_container", from its environment
    char pod_uid[64];                   //  From its cgroup
    char container[80];                 //  Id, from its cgroup
    pid_t inner_pid;                    //  In the innermost namespace of pids
} umbp_proc_map_t;

//  Returns 0, or UMBP_ENOENT if there is no such process
int umbp_proc_map (const char *root, pid_t pid, umbp_proc_map_t *out);

#endif

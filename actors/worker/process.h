//  actors/worker/process.h - one process that is kept running: started without a shell, ended by
//  SIGTERM and after a grace by SIGKILL, started again after a pause that doubles with each exit,
//  and taken over again by whoever comes after us.
//
//  Contract: a signal goes to the very process that was started or adopted, never to one that got
//  its number later (pidfd). It leads a session of its own, and its descriptors are stdin from
//  /dev/null and the log. What it leaves of its session when it ends is killed. It outlives this
//  value: umbp_process_destroy lets it go on.
//  A value: one owner, no thread; times are monotonic ms, given by the caller. Nothing waits for
//  the process.
#ifndef UMBP_WORKER_PROCESS_H
#define UMBP_WORKER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct {
    int64_t backoff_ms;                 //  Pause after the first exit; doubles with each
    int64_t backoff_max_ms;
    int64_t healthy_ms;                 //  After so long a run the next exit counts as the first
    int64_t grace_ms;                   //  Between SIGTERM and SIGKILL
    int64_t pause_ms;                   //  Between an end that was asked for and the next start
} umbp_process_times_t;

//  3 s x 2^n up to 60 s, forgotten after 60 s; grace 5 s, pause 100 ms: all in proportion to backoff,
//  the grace as given
umbp_process_times_t umbp_process_times (int64_t backoff_ms, int64_t grace_ms);

typedef struct umbp_process umbp_process_t;

//  No process yet. root is /proc.
umbp_process_t *umbp_process_new (const umbp_process_times_t *times, const char *root);
void umbp_process_destroy (umbp_process_t **self_p);

//  argv and envp end with a NULL. The path is looked up in PATH if it has no slash, and is relative
//  to folder, where the process begins (NULL: where we are). log is made, for us alone, and must not
//  be there. Returns 0; or UMBP_EIO, which counts as an exit, and why.
int umbp_process_start (umbp_process_t *self, char *const *argv, char *const *envp,
                        const char *folder, const char *log, int64_t now, char *why, size_t size);

//  Take over a process that runs already, if it is the one that started at these ticks. Returns 0, or
//  UMBP_ENOENT if it is gone or another one.
int umbp_process_adopt (umbp_process_t *self, pid_t pid, uint64_t start_ticks, int64_t now);

//  0: none runs. Ticks tell it from others of its number.
pid_t umbp_process_pid (const umbp_process_t *self);
uint64_t umbp_process_ticks (const umbp_process_t *self);

//  Readable when it ended; -1: none runs, or ask umbp_process_look from time to time
int umbp_process_fd (const umbp_process_t *self);

//  Ask it to end. Goes on with umbp_process_look.
void umbp_process_stop (umbp_process_t *self, int64_t now);
bool umbp_process_is_stopping (const umbp_process_t *self);

//  Stop it in its tracks with all of its session, or let it go on. It stays so if somebody else takes it
//  over, and ends with it; who is asked to end goes on first. Returns 0, or UMBP_ENOENT: none runs.
int umbp_process_freeze (umbp_process_t *self, bool frozen);
bool umbp_process_is_frozen (const umbp_process_t *self);

//  Do what is due. Returns true if it has ended since the last look: then umbp_process_code is its exit
//  status, 128 and the number of the signal that ended it, or -1 if nobody can tell.
bool umbp_process_look (umbp_process_t *self, int64_t now);
int umbp_process_code (const umbp_process_t *self);

//  When it may be started again, and after how many exits in a row
int64_t umbp_process_next (const umbp_process_t *self);
unsigned umbp_process_exits (const umbp_process_t *self);

//  Start again as soon as somebody wants
void umbp_process_forgive (umbp_process_t *self);

#endif

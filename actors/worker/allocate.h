//  actors/worker/allocate.h - which worker has which devices, in which isolation mode.
//
//  Rules, of each device. Its policy, or else that of the node, is one mode (static): only workers of
//  that mode, as many as it has room for; or dynamic: it has the mode of its workers, these do not
//  mix, a shared one has it alone, and partitioned is refused. A worker gets all its devices or none.
//  Who has them asks again and gets the same.
//
//  Partitions are made and taken back by somebody else, whom we do not know and who takes his time:
//  umbp_allocator_next says what is to be asked, umbp_allocator_done takes the answer. If one of
//  them fails, those that were made for the same worker are taken back, each once.
//  One that could not be taken back for now (EAGAIN, EUNREACH, ETIMEDOUT) is asked for again; one
//  that is not there any more is back.
//  A value: one owner, no thread, nothing blocks. Bounded: UMBP_HOLDS_MAX, UMBP_DEVICE_ROWS_MAX.
#ifndef UMBP_WORKER_ALLOCATE_H
#define UMBP_WORKER_ALLOCATE_H

#include "actors/worker/record.h"

#define UMBP_HOLDS_MAX 256              //  Workers with devices

typedef struct {
    const char *uid;
    const char (*devices)[UMBP_DEVICE_ID_MAX];      //  Lower case, none twice
    size_t count;
    umbp_isolation_t mode;
    const char *template;               //  Of partitions; empty: none
    const umbp_worker_part_t *parts;    //  Partitions it has from before we started
    size_t part_count;
    bool keeps;                         //  It has them since before we started: however they are
} umbp_claim_t;

//  A device or a partition that workers have
typedef struct {
    char uuid[UMBP_DEVICE_ID_MAX];      //  Lower case
    char name[UMBP_DEVICE_ID_MAX];      //  As it is written
    char parent[UMBP_DEVICE_ID_MAX];    //  Of a partition: its device
    unsigned workers;
} umbp_device_use_t;

typedef enum {
    UMBP_HOLD_NONE,
    UMBP_HOLD_SPLITTING,                //  Partitions are being made
    UMBP_HOLD_HELD,
    UMBP_HOLD_UNDOING,                  //  ... taken back
} umbp_hold_state_t;

typedef struct {
    uint64_t ticket;
    bool join;                          //  Take partition back; else make one of device by template
    char device[UMBP_DEVICE_ID_MAX];    //  As it is written
    char template[UMBP_DEVICE_ID_MAX];
    char partition[UMBP_DEVICE_ID_MAX];
} umbp_device_job_t;

typedef struct umbp_allocator umbp_allocator_t;

//  policy: of devices that have none of their own. can_split: there is somebody who makes partitions.
umbp_allocator_t *umbp_allocator_new (umbp_isolation_t policy, bool can_split);
void umbp_allocator_destroy (umbp_allocator_t **self_p);

//  These devices are there now. A worker keeps one that is gone, which nobody else gets then. Returns
//  how many rows were left out for want of room.
size_t umbp_allocator_set_devices (umbp_allocator_t *self, const umbp_device_record_t *rows,
                                   size_t count);
size_t umbp_allocator_devices (const umbp_allocator_t *self);

//  NULL if it is not there
const umbp_device_record_t *umbp_allocator_device (const umbp_allocator_t *self, const char *uuid);

//  Returns 0: held, now or since long; 1: partitions have to be made first. UMBP_EEXIST: it has other
//  devices. UMBP_ENOENT: no such device. UMBP_EINVAL: never allowed so. UMBP_ENOTSUP: this device
//  cannot. UMBP_EAGAIN: others have it in a way that forbids it, or it is not well. UMBP_ENOSPC: too
//  many workers.
int umbp_allocator_claim (umbp_allocator_t *self, const umbp_claim_t *claim, char *why,
                          size_t size);

//  Returns 0: free, now or before; 1: partitions have to be taken back first
int umbp_allocator_release (umbp_allocator_t *self, const char *uid);

umbp_hold_state_t umbp_allocator_state (const umbp_allocator_t *self, const char *uid);

//  How many hold something
size_t umbp_allocator_holds (const umbp_allocator_t *self);

//  Whether a device of a worker is gone or failed, and why says which
bool umbp_allocator_lost (const umbp_allocator_t *self, const char *uid, char *why, size_t size);

//  What workers have, at most UMBP_DEVICE_ROWS_MAX; returns how many. Other than before if the number
//  of changes is.
size_t umbp_allocator_uses (const umbp_allocator_t *self, umbp_device_use_t *uses);
uint64_t umbp_allocator_changes (const umbp_allocator_t *self);

//  Partitions of a worker, of which some may be on their way back; returns how many
size_t umbp_allocator_parts (const umbp_allocator_t *self, const char *uid,
                             umbp_worker_part_t *parts);

//  The next question to whoever makes partitions. Returns false if there is none for now.
bool umbp_allocator_next (umbp_allocator_t *self, umbp_device_job_t *job);

//  And its answer, once. Returns 0 with the uid of the worker, and in *err why its allocation failed
//  (0: it did not); UMBP_ENOENT for a ticket that is not open.
int umbp_allocator_done (umbp_allocator_t *self, uint64_t ticket, int status, const char *partition,
                         char *uid, int *err);

//  Partitions that could not be taken back
uint64_t umbp_allocator_leaked (const umbp_allocator_t *self);

//  Variables that a worker's process needs to find its devices, and to keep within its limits
typedef void (umbp_env_fn) (void *arg, const char *name, const char *value);
void umbp_allocator_env (const umbp_allocator_t *self, const umbp_worker_record_t *record,
                         umbp_env_fn *fn, void *arg);

#endif

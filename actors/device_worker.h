//  actors/device_worker.h - the thread in which an accelerator library is called, as a driver may
//  hang in any call. It is told what to do over a pipe of bytes and answers there; nothing is shared.
//  Its owner never waits for it: who hangs for ever is left behind at the end, asleep in the driver.
//  One job at a time. Before each call into the library the worker says which it is.
#ifndef UMBP_DEVICE_WORKER_H
#define UMBP_DEVICE_WORKER_H

#include "accel/find.h"
#include "accel/library.h"

typedef enum {
    UMBP_JOB_NONE,
    UMBP_JOB_OPEN,                      //  Load the library of path
    UMBP_JOB_DISCOVER,                  //  devices, peers
    UMBP_JOB_POLL,                      //  metrics of the devices found last, processes, the count
    UMBP_JOB_SPLIT,                     //  uuid of a device, template: uuid of the partition
    UMBP_JOB_JOIN,                      //  uuid of a device, template: uuid of the partition
    UMBP_JOB_QUIT,                      //  Shut the library down and end
} umbp_job_kind_t;

typedef struct {
    umbp_job_kind_t kind;
    uint64_t tag;                       //  Comes back
    char path[UMBP_FIND_PATH_MAX];
    char uuid[UMBP_DEVICE_UUID_MAX], template[UMBP_DEVICE_UUID_MAX];
} umbp_job_t;

//  What a job became. Rows beyond the counts are of former reports.
typedef struct {
    umbp_job_kind_t kind;
    uint64_t tag;
    int status;                         //  0, or an error with why
    int processes_status, peers_status; //  The same; these may fail on their own
    unsigned generation;
    uint64_t left_out;                  //  Devices beyond those that are taken
    int device_total;                   //  POLL: how many there are now, negative: unknown
    char why[UMBP_LIBRARY_WHY_MAX];
    char uuid[UMBP_DEVICE_UUID_MAX];
    uint32_t device_count, metrics_count, process_count, peer_count;
    umbp_device_t devices[UMBP_DEVICES_MAX];
    umbp_device_metrics_t metrics[UMBP_DEVICES_MAX];
    umbp_device_process_t processes[UMBP_PROCESSES_MAX];
    umbp_device_peer_t peers[UMBP_DEVICE_PEERS_MAX];
} umbp_device_report_t;

typedef struct umbp_device_worker umbp_device_worker_t;

//  NULL if there is no thread or descriptor left
umbp_device_worker_t *umbp_device_worker_new (void);

//  Tell it to end, and wait for that at most so long if it is not in a call that hangs; else it is
//  left alone. Leaves a NULL.
void umbp_device_worker_destroy (umbp_device_worker_t **self_p, int wait_ms);

//  Readable once there is something to read
int umbp_device_worker_fd (const umbp_device_worker_t *self);

//  True from a job until its report was read
bool umbp_device_worker_busy (const umbp_device_worker_t *self);

//  The call into the library that is under way, "" if none is; and since when, monotonic ms
const char *umbp_device_worker_call (const umbp_device_worker_t *self, int64_t *since);

//  Give it a job. Returns 0; UMBP_EAGAIN if it has one; UMBP_EIO if it is gone.
int umbp_device_worker_do (umbp_device_worker_t *self, const umbp_job_t *job);

//  Read what there is, without waiting. Returns the report if one is whole, good until the next
//  call; else NULL.
const umbp_device_report_t *umbp_device_worker_read (umbp_device_worker_t *self);

#endif

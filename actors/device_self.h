//  actors/device_self.h - the state of the device actor, shared by device.c (its library, its jobs),
//  device_say.c and device_use.c (its answers). Nobody else includes this.
#ifndef UMBP_DEVICE_SELF_H
#define UMBP_DEVICE_SELF_H

#include "actors/device.h"
#include "actors/device_table.h"
#include "actors/device_worker.h"

#define UMBP_DEVICE_ASKS_MAX 16         //  Splits and joins that wait for the library
#define UMBP_DEVICE_SCRATCH_BYTES (3u << 20)

//  As in devices_ok
typedef enum {
    UMBP_DEVICE_NONE,
    UMBP_DEVICE_STARTS,
    UMBP_DEVICE_ANSWERS,
    UMBP_DEVICE_STALE,
    UMBP_DEVICE_REFUSED,
} umbp_device_state_t;

//  Somebody who waits for a job
typedef struct {
    bool used, given;                   //  Given to the worker already
    bool late;                          //  Nobody waits for it: a partition that is not wanted any more
    uint64_t tag;
    umbp_job_kind_t kind;
    char key[UMBP_DEVICE_UUID_MAX];     //  Of the device
    char uuid[UMBP_DEVICE_UUID_MAX], template[UMBP_DEVICE_UUID_MAX];
    int64_t expires;
    umbp_origin_t origin;
} umbp_device_ask_t;

typedef struct {
    umbp_post_t *post;
    zloop_t *loop;
    umbp_find_args_t find;
    char setting[UMBP_FIND_PATH_MAX], folder[UMBP_FIND_PATH_MAX];
    char path[UMBP_FIND_PATH_MAX];      //  Of the library, empty: none
    char why[UMBP_LIBRARY_WHY_MAX];
    umbp_device_worker_t *worker;
    bool opened, hangs, refused, seeks, tells;
    int64_t tell_next;                  //  When pressure hears how full devices are
    unsigned generation;
    int64_t discover_ms, poll_ms, patience_ms;
    int64_t opened_at, found_at, processes_at;      //  Of the last success, 0: never
    int64_t discover_next, poll_next, blame_next;
    umbp_device_table_t *table;
    uint32_t process_count, peer_count;
    umbp_device_process_t processes[UMBP_PROCESSES_MAX];
    umbp_device_peer_t peers[UMBP_DEVICE_PEERS_MAX];
    umbp_device_ask_t asks[UMBP_DEVICE_ASKS_MAX];
    uint64_t tags;
    uint8_t *scratch;                   //  Columns of an answer
    uint64_t discoveries, discoveries_failed, polls, polls_failed, calls_hung, left_out;
    uint64_t splits, joins, undone;
} umbp_device_self_t;

umbp_device_state_t umbp_device_state (const umbp_device_self_t *self);

//  Answers
umbp_op_fn umbp_device_on_devices, umbp_device_on_metrics, umbp_device_on_processes;
umbp_op_fn umbp_device_on_topology, umbp_device_on_events;
void umbp_device_stat (void *owner, umbp_gauges_t *gauges);

//  Tell the actor pressure how full the fullest device is, of those that are known well enough
void umbp_device_tell (umbp_device_self_t *self, int64_t now);

#endif

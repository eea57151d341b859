//  actors/device_table.h - the accelerators of a node as the device actor knows them: who is there,
//  how each is, what it said last, and what changed. A value: no thread, no socket, no library;
//  times are monotonic ms.
//
//  Health of a device:
//
//      unknown ── first good poll ──▶ ok ── bad poll, missing, errors ──▶ suspect
//      suspect ── 3 good polls in a row ──▶ ok;  3 bad polls ──▶ failed;  fatal error: at once
//      failed, missing ── a discovery finds the same uuid, then a good poll ──▶ ok
//      not found by 3 discoveries: removed, or missing as long as a tier claims memory of it or a
//      worker has it
//
//  Partitions are not found by discoveries, so these do not miss them: they go with split and join,
//  and share the health of their device.
#ifndef UMBP_DEVICE_TABLE_H
#define UMBP_DEVICE_TABLE_H

#include "accel/device.h"
#include "proto/types.h"

#define UMBP_DEVICE_EVENTS_MAX 256      //  Remembered
#define UMBP_DEVICE_REASON_MAX 96
#define UMBP_DEVICE_PATIENCE 3          //  Bad polls, good polls, discoveries in vain

typedef enum {
    UMBP_HEALTH_UNKNOWN,
    UMBP_HEALTH_OK,
    UMBP_HEALTH_SUSPECT,
    UMBP_HEALTH_FAILED,
    UMBP_HEALTH_MISSING,
    UMBP_HEALTHS,
} umbp_device_health_t;

typedef enum {
    UMBP_DEVICE_ADDED = 1,
    UMBP_DEVICE_REMOVED,
    UMBP_DEVICE_CHANGED,
    UMBP_DEVICE_HEALTH,
    UMBP_DEVICE_DONE,
} umbp_device_kind_t;

typedef struct {
    umbp_device_t device;
    char parent[UMBP_DEVICE_UUID_MAX];  //  Key of its device; empty: it is one
    umbp_device_health_t health;
    int64_t since;                      //  Of this health
    unsigned good, bad, missed;
    bool present, rediscovered;
    umbp_device_metrics_t metrics;      //  The last that were known
    int64_t measured_at;                //  0: never
    double errors;                      //  As its library counted them last
    uint64_t claimed_bytes, own_bytes;  //  By our tiers; by our process, as its library says
    unsigned workers;                   //  Of this node that have it
} umbp_device_row_t;

typedef struct {
    uint64_t number;                    //  From 1
    umbp_device_kind_t kind;
    char uuid[UMBP_DEVICE_UUID_MAX];
    umbp_device_health_t before, now;
    char reason[UMBP_DEVICE_REASON_MAX];
    int64_t at;
} umbp_device_event_t;

typedef struct umbp_device_table umbp_device_table_t;

umbp_device_table_t *umbp_device_table_new (void);
void umbp_device_table_destroy (umbp_device_table_t **self_p);

//  A discovery found these. Ends with an event done if anything changed, or the first time.
void umbp_device_table_found (umbp_device_table_t *self, const umbp_device_t *devices, size_t count,
                              int64_t now);

//  A poll: rows as umbp_library_metrics gave them, for any devices; who is not among them, or not
//  known there, had a bad poll
void umbp_device_table_polled (umbp_device_table_t *self, const umbp_device_metrics_t *rows,
                               size_t count, int64_t now);

//  A poll, or a discovery, that failed as a whole: bad for all
void umbp_device_table_failed (umbp_device_table_t *self, const char *reason, int64_t now);

//  Who uses the devices; own is our pid
void umbp_device_table_processes (umbp_device_table_t *self, const umbp_device_process_t *rows,
                                  size_t count, uint32_t own);

//  A partition was made of a device, or taken back. Return 0; UMBP_ENOENT if there is no such
//  device, UMBP_ENOSPC if there is no row left, UMBP_EAGAIN if a tier still claims memory of it
//  or a worker has it, UMBP_EEXIST for a uuid that is known.
int umbp_device_table_split (umbp_device_table_t *self, const char *key, const char *uuid,
                             int64_t now);
int umbp_device_table_may_join (const umbp_device_table_t *self, const char *key);
int umbp_device_table_join (umbp_device_table_t *self, const char *key, int64_t now);

//  So much of a device's memory is in use by our tiers. Returns 0 or UMBP_ENOENT.
int umbp_device_table_claim (umbp_device_table_t *self, const char *key, uint64_t bytes,
                             int64_t now);

//  What workers have, all of it: a device or a partition. One that is not known, of a device that is, was
//  made before our time, and is one from now on.
typedef struct {
    char uuid[UMBP_DEVICE_UUID_MAX], parent[UMBP_DEVICE_UUID_MAX];      //  In any letters
    unsigned workers;
} umbp_device_hold_t;

void umbp_device_table_hold (umbp_device_table_t *self, const umbp_device_hold_t *holds,
                             size_t count, int64_t now);

//  Memory in use by others than us
uint64_t umbp_device_row_foreign (const umbp_device_row_t *row);

size_t umbp_device_table_count (const umbp_device_table_t *self);
const umbp_device_row_t *umbp_device_table_row (const umbp_device_table_t *self, size_t index);

//  NULL if there is none; key in lower case
const umbp_device_row_t *umbp_device_table_find (const umbp_device_table_t *self, const char *key);

//  True while a device is looked for that the last discovery did not find
bool umbp_device_table_seeks (const umbp_device_table_t *self);

//  Number of the last event, 0: none yet; and the first one that is still remembered
uint64_t umbp_device_table_last (const umbp_device_table_t *self);
uint64_t umbp_device_table_first (const umbp_device_table_t *self);

//  The event of a number between these
const umbp_device_event_t *umbp_device_table_event (const umbp_device_table_t *self,
                                                    uint64_t number);

#endif

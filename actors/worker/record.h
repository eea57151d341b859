//  actors/worker/record.h - one worker of workers.json and one device of devices.json, as C. The
//  JSON stays the truth: what we do not know in it stays there, and what we change is written back
//  into it. Keys are those of the Go program whose files these are, letter by letter.
//  Values without threads; nothing blocks.
#ifndef UMBP_WORKER_RECORD_H
#define UMBP_WORKER_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster/quotas.h"
#include "proto/types.h"

#define UMBP_WORKER_DEVICES_MAX 16      //  Of one worker
#define UMBP_DEVICE_ID_MAX 64           //  Bytes of a uuid, with its end
#define UMBP_WORKER_ARGS_MAX 128        //  Arguments of a process, and variables that a record adds

//  Only forward: a worker that is terminated stays so
typedef enum {
    UMBP_WORKER_PENDING,
    UMBP_WORKER_ALLOCATING,
    UMBP_WORKER_RUNNING,
    UMBP_WORKER_TERMINATED,
    UMBP_WORKER_STATES,
} umbp_worker_state_t;

typedef enum {
    UMBP_ISOLATION_SHARED,              //  Time slices, no control; what a record is that names none
    UMBP_ISOLATION_SOFT,
    UMBP_ISOLATION_HARD,
    UMBP_ISOLATION_PARTITIONED,
    UMBP_ISOLATIONS,
    UMBP_ISOLATION_DYNAMIC =
        UMBP_ISOLATIONS, //  As a policy: each device has the mode of its workers
} umbp_isolation_t;

typedef struct {
    char device[UMBP_DEVICE_ID_MAX];
    char partition[UMBP_DEVICE_ID_MAX];
} umbp_worker_part_t;

typedef struct {
    char uid[UMBP_NAME_MAX + 1];
    umbp_worker_state_t state;
    umbp_isolation_t mode;
    unsigned qos;                       //  UMBP_QOS_* of quotas.h
    size_t device_count;
    char devices[UMBP_WORKER_DEVICES_MAX][UMBP_DEVICE_ID_MAX];       //  Lower case
    size_t part_count;                  //  Partitions that were made for it before
    umbp_worker_part_t parts[UMBP_WORKER_DEVICES_MAX];
    char template[UMBP_DEVICE_ID_MAX];  //  Kind of partition
    double tflops_limit;                //  0: none
    uint64_t vram_limit;                //  Bytes, 0: none
    bool deleted;
    bool stopped;                       //  Its process is not to run for now
    int64_t pid;                        //  That the file knows of, 0: none
    uint64_t start_ticks;               //  ... 0: not known
    char boot[40];
    uint64_t restarts;
    int64_t exit_code;
    unsigned port;                      //  For <port> among its arguments, 0: none yet
    json_t *json;                       //  Owned
} umbp_worker_record_t;

typedef struct {
    char uuid[UMBP_DEVICE_ID_MAX];      //  Lower case
    char name[UMBP_DEVICE_ID_MAX];      //  As it is written: vendors' programs want it so
    char vendor[32];
    char parent[UMBP_DEVICE_ID_MAX];    //  Of a partition: its device
    unsigned index;
    uint64_t memory_bytes;
    double tflops;
    char model[128], driver[128], firmware[128], file[UMBP_DEVICE_ID_MAX];   //  For devices.json
    int numa;                           //  -1: unknown
    uint64_t units;
    unsigned pcie_gen, pcie_width;
    char ill[16];                       //  Why nobody gets it now, a word; empty: it is well
    bool lost;                          //  ... nor is a process started there again
    bool limits_self;                   //  Soft and hard limits are kept by the process alone
    bool known;                         //  What it can do is known, and is as follows
    bool partitions, soft, hard;
    unsigned partitions_max, workers_max;       //  0: no limit
    umbp_isolation_t policy;            //  The one mode it has, or UMBP_ISOLATION_DYNAMIC
    bool has_policy;
} umbp_device_record_t;

//  Names as files and messages have them; static text
const char *umbp_worker_state_name (umbp_worker_state_t state);
const char *umbp_isolation_name (umbp_isolation_t mode);

//  Number of a name, or -1
int umbp_isolation_of (const char *name);

//  "0", "312", "1.5", "24Gi", "500m": a Kubernetes quantity. Returns false if it is none.
bool umbp_quantity (const char *text, double *value);

//  Read one element. Returns 0, with a reference to json; or UMBP_EINVAL, and why says what is wrong
//  with which key. umbp_worker_record_end lets go of json.
int umbp_worker_record_read (umbp_worker_record_t *self, json_t *json, char *why, size_t size);
void umbp_worker_record_end (umbp_worker_record_t *self);
int umbp_device_record_read (umbp_device_record_t *self, const json_t *json, char *why,
                             size_t size);

//  Write what is ours into json: status, partitions and, if there is a WorkerRunningInfo, how its
//  process is. Returns true if that changed json.
bool umbp_worker_record_write (const umbp_worker_record_t *self, json_t *json);

//  Whether two elements mean the same process: executable, arguments, environment, folder
bool umbp_worker_record_same_process (const umbp_worker_record_t *one,
                                      const umbp_worker_record_t *other);

//  Whether they mean the same devices, used in the same way
bool umbp_worker_record_same_devices (const umbp_worker_record_t *one,
                                      const umbp_worker_record_t *other);

//  Whether they are equal but for what umbp_worker_record_write writes
bool umbp_worker_record_same (const umbp_worker_record_t *one, const umbp_worker_record_t *other);

//  Text of a member, "" if there is none
const char *umbp_record_text (const json_t *json, const char *key);

//  The element of a worker without anything but a name, as a message makes it
json_t *umbp_worker_record_make (const char *uid, umbp_isolation_t mode, const char *template,
                                 const char *const *devices, size_t count);

#endif

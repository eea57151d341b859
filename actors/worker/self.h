//  actors/worker/self.h - what the files of the worker actor share: its value, and who does what.
//
//      worker.c    messages, the loop          rows.c      the life of one worker
//      files.c     reading and writing         launch.c    how a process begins
//      events.c    what happened, and who waits to hear of it
#ifndef UMBP_WORKER_SELF_H
#define UMBP_WORKER_SELF_H

#include "actors/worker.h"
#include "actors/worker/allocate.h"
#include "actors/worker/process.h"
#include "actors/worker/state.h"

#define UMBP_WORKER_PROC "/proc"
#define UMBP_WORKER_RETRY_MS 30000      //  An allocation that failed is tried again, or at any change
#define UMBP_WORKER_LISTENERS_MAX 16
#define UMBP_WORKER_LOGS_MAX 8          //  Kept, of each worker

//  Names of variables by which a process is known to be ours
#define UMBP_WORKER_ID "WORKER_ID"
#define UMBP_WORKER_HOME "TENSOR_FUSION_STATE_DIR"

typedef enum {
    UMBP_WORKER_ADDED = 1,
    UMBP_WORKER_REMOVED,
    UMBP_WORKER_CHANGED,
    UMBP_WORKER_STATE,
    UMBP_WORKER_STARTED,
    UMBP_WORKER_ADOPTED,
    UMBP_WORKER_ENDED,
    UMBP_WORKER_FAILED,
    UMBP_WORKER_LOST,                   //  A device of it is gone or failed
    UMBP_WORKER_RETURNED,               //  ... and is back
    UMBP_WORKER_FROZEN,
    UMBP_WORKER_THAWED,
} umbp_worker_event_kind_t;

typedef struct {
    umbp_worker_event_kind_t kind;
    char uid[UMBP_NAME_MAX + 1];
    umbp_worker_state_t state;
    pid_t pid;
    char reason[UMBP_TEXT_MAX];
    int64_t at;
} umbp_worker_event_t;

//  The last events, and who waits for the next one
typedef struct {
    umbp_worker_event_t ring[UMBP_WORKERS_MAX];
    uint64_t last;                      //  Number of the last one, from 1
    struct {
        umbp_origin_t origin;
        uint64_t since;
        int64_t until;                  //  0: the place is free
    } listeners[UMBP_WORKER_LISTENERS_MAX];
} umbp_worker_events_t;

typedef struct {
    umbp_worker_record_t record;        //  As it is; json NULL: the row is free
    umbp_worker_record_t next;          //  As it shall be once its process and devices let it; or NULL
    bool gone;                          //  It is no more in the file; next: there is another one of its name
    bool over;                          //  It is to be terminated
    bool made;                          //  By a message, and not allocated yet
    bool fresh;                         //  ... and not written yet
    bool freeing;                       //  Its devices are on their way back
    bool seen;                          //  While the file is read
    bool lost;                          //  A device that it has is gone or failed
    bool waits;                         //  reason says why it has no devices
    bool keeps;                         //  It had its devices before we started
    bool splits;                        //  Its record may name partitions of this hold
    umbp_process_t *process;
    int fd;                             //  Of the process, while our loop knows it; -1
    int64_t retry_at;                   //  When its allocation is tried again
    char reason[UMBP_TEXT_MAX];         //  Why it does not go on
    umbp_origin_t asker;                //  Waits for an allocation, an end, or a stop
    bool asked, settled;                //  ... and is answered once the files are written
    int64_t ask_until;                  //  ... if he has not given up
} umbp_worker_row_t;

struct umbp_worker_sink {
    umbp_post_t *post;
    zloop_t *loop;
    umbp_state_t *state;
    umbp_allocator_t *allocator;
    umbp_worker_provider_t provider;
    bool has_provider;
    char folder[PATH_MAX / 4], logs[PATH_MAX / 4], boot[40];
    umbp_process_times_t times;
    unsigned poll_ms;
    int64_t look_at, list_at, bad_since, said_at;
    int64_t ask_at;                     //  Until then the provider is not asked for partitions
    uint64_t uses_said;                 //  Changes of the allocator that the provider has heard of
    char wait[UMBP_TEXT_MAX];           //  Why nobody knows the devices yet
    bool dirty;                         //  Rows differ from workers.json
    bool starting, turning, again;
    umbp_worker_row_t rows[UMBP_WORKERS_MAX];
    umbp_device_record_t found[UMBP_DEVICE_ROWS_MAX];       //  By the provider
    size_t found_count;
    bool listed, silent;                //  It has said so once; it cannot tell
    umbp_worker_events_t events;
    struct {
        uint64_t added, removed, updated, started, adopted, exits, refused_moves, bad_files,
            bad_records, saves, save_failures, merges, failed, rereads, lost;
    } counts;
};

typedef umbp_worker_sink_t umbp_worker_t;

//  rows.c. A turn does for all rows what can be done now, writes the files, and answers; whoever
//  changed something calls it, also from within one
void umbp_worker_turn (umbp_worker_t *self);
umbp_worker_row_t *umbp_worker_find (umbp_worker_t *self, const char *uid);

//  NULL if there is no room. Takes the reference of the record.
umbp_worker_row_t *umbp_worker_add (umbp_worker_t *self, const umbp_worker_record_t *record);

//  To whoever waits for this row: done, or why not
void umbp_worker_refuse (umbp_worker_t *self, umbp_worker_row_t *row, int status, const char *why);

//  worker.c: the answer to who waits for a row, which is done
void umbp_worker_answer (umbp_worker_t *self, umbp_worker_row_t *row);

//  files.c
void umbp_worker_read (umbp_worker_t *self);
void umbp_worker_write (umbp_worker_t *self);
void umbp_worker_set_devices (umbp_worker_t *self);
void umbp_worker_write_devices (umbp_worker_t *self);

//  launch.c: returns 0 or UMBP_EIO with why
int umbp_worker_launch (umbp_worker_t *self, umbp_worker_row_t *row, int64_t now, char *why,
                        size_t size);
bool umbp_worker_has_process (const umbp_worker_record_t *record);

//  events.c
void umbp_worker_say (umbp_worker_t *self, umbp_worker_event_kind_t kind,
                      const umbp_worker_row_t *row, const char *reason);
void umbp_worker_listen (umbp_worker_t *self, const umbp_mail_t *mail);
void umbp_worker_tell (umbp_worker_t *self, int64_t now);

#endif

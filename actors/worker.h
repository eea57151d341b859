//  actors/worker.h - the actor "worker": the processes that use this host's accelerators. It reads
//  workers.json and devices.json, which other programs write too, gives devices to workers, keeps
//  their processes running, writes back how they are, and tells whoever asks what changed.
//
//  Contract: a process is started without a shell. It outlives us: a node that starts again takes
//  it over. Devices of a worker are free only once its process has ended. Which program runs comes
//  from workers.json alone, never from a message.
//  The actor's thread waits for the disk when it reads or writes these files, and for nothing else.
#ifndef UMBP_WORKER_H
#define UMBP_WORKER_H

#include "actors/actor.h"
#include "actors/worker/allocate.h"

typedef struct umbp_worker_sink umbp_worker_sink_t;

//  Who knows the devices of this node, and makes partitions of them. All of it is called in the
//  worker's thread. What is asked is answered later, or at once, through the sink; split and join
//  exactly once for each ticket. A negative return is that answer, too.
typedef struct {
    void *self;
    void (*start) (void *self, umbp_post_t *post, umbp_worker_sink_t *sink);   //  Before all else
    void (*list) (void *self);          //  Now and then: what is there? Answer: umbp_worker_found,
                                        //  also if that is nothing: before it nobody gets any
    int (*split) (void *self, uint64_t ticket, const char *device, const char *template);
    int (*join) (void *self, uint64_t ticket, const char *partition);
    //  Workers have these, and no others. Said when that changes, and again if it fails. May be NULL.
    int (*hold) (void *self, const umbp_device_use_t *uses, size_t count);
    void (*destroy) (void **self_p);
} umbp_worker_provider_t;

//  These devices are there; partitions have a parent. Who was there before and is not named is gone.
//  rows NULL: nobody can tell, so devices.json is right.
void umbp_worker_found (umbp_worker_sink_t *sink, const umbp_device_record_t *rows, size_t count);

//  Nobody can tell as yet, and nobody gets any devices till then; why
void umbp_worker_wait (umbp_worker_sink_t *sink, const char *why);

//  A partition was made (its uuid) or taken back (NULL), or not: status
void umbp_worker_done (umbp_worker_sink_t *sink, uint64_t ticket, int status,
                       const char *partition);

typedef struct {
    const umbp_home_t *home;
    const char *folder;                 //  Of the files; copied
    const char *logs;                   //  Of what processes say; empty: logs in folder; copied
    const char *policy;                 //  Of devices that have none: dynamic, shared, soft, hard, partitioned
    int64_t backoff_ms, grace_ms;       //  See actors/worker/process.h
    unsigned poll_ms;                   //  How often files are looked at where nothing tells of changes
    const umbp_worker_provider_t *provider;     //  NULL: devices.json alone; copied
} umbp_worker_args_t;

//  Returns NULL if the folder cannot be had, and has logged why
zactor_t *umbp_worker_new (const umbp_worker_args_t *args);

#endif

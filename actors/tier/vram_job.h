//  actors/tier/vram_job.h - what the thread of a vram does for it: every call of the driver. See vram.h; nobody else
//  includes this.
#ifndef UMBP_VRAM_JOB_H
#define UMBP_VRAM_JOB_H

#include <pthread.h>

#include "actors/tier/hands.h"
#include "actors/tier/vram.h"
#include "cluster/bulk/extent.h"

//  The device. Whoever calls its driver holds the lock; nobody waits for it, since a call may never return.
typedef struct {
    pthread_mutex_t lock;
    char kind[8];
    int number;
    umbp_memory_t *memory;              //  NULL: it is not open
    umbp_memory_block_t chunks[UMBP_VRAM_CHUNKS_MAX];
    umbp_memory_handle_t handles[UMBP_VRAM_CHUNKS_MAX];
    uint64_t chunk_bytes[UMBP_VRAM_CHUNKS_MAX];      //  Wanted
    size_t chunk_count;
    bool lends;                         //  Others can map its chunks
} umbp_vram_driver_t;

typedef enum {
    UMBP_VRAM_IDLE,
    UMBP_VRAM_OPEN,                     //  Start the driver, take and export the chunks
    UMBP_VRAM_WRITE,                    //  Copy a block there
    UMBP_VRAM_READ,                     //  ... and back
    UMBP_VRAM_LOOK,                     //  How much memory the device has left
    UMBP_VRAM_CLOSE,                    //  Give all back
} umbp_vram_what_t;

//  Belongs to the thread from when it is given until it comes back, but for the last part
typedef struct {
    umbp_task_t task;                   //  First
    umbp_vram_what_t what;
    umbp_vram_driver_t *driver;
    const umbp_extent_t *extents;       //  Of a block; held for as long as this takes
    size_t extent_count;
    struct iovec data[UMBP_MEDIUM_PIECES_MAX];
    size_t data_count;
    uint64_t offset, bytes;             //  In the block
    int status;                         //  Out, as all that follows
    uint64_t total, left;               //  Of LOOK
    char why[UMBP_VRAM_WHY_MAX];        //  Of OPEN

    uint64_t tag, at;                   //  The owner's
    uint32_t item, next;
} umbp_vram_job_t;

//  Made ready for a thread
void umbp_vram_job_run (umbp_task_t *task);

#endif

//  actors/migrator_worker.h - the thread that waits for a migrator's bytes, since an actor never
//  waits. It moves the rows of one transfer at a time (mover.h) and gives them back with their
//  statuses.
#ifndef UMBP_MIGRATOR_WORKER_H
#define UMBP_MIGRATOR_WORKER_H

#include <czmq.h>

#include "actors/mover.h"

#define UMBP_TRANSFER_ROWS_MAX 256

typedef struct {
    umbp_mover_job_t job;
    uint32_t count;
    bool broken;                        //  Out: a connection broke, see umbp_mover_run
    umbp_mover_row_t rows[UMBP_TRANSFER_ROWS_MAX];
} umbp_transfer_t;

//  Starts the thread. It takes transfers from sock, one frame each, and answers each with one
//  frame, as it came but for the statuses. sock is its from now on: the other end of a PAIR. Ask
//  again only when it has answered.
zactor_t *umbp_migrator_worker_new (zsock_t **sock_p, size_t buffer_bytes);

#endif

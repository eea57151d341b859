//  actors/migrator_worker.h - the thread that waits for a migrator's bytes, since an actor never
//  waits. It moves the rows of one transfer at a time (mover.h) and gives them back with their
//  statuses. Where there is RDMA it has errands meanwhile: messages to other nodes.
#ifndef UMBP_MIGRATOR_WORKER_H
#define UMBP_MIGRATOR_WORKER_H

#include <czmq.h>

#include "actors/mover.h"

#define UMBP_TRANSFER_ROWS_MAX 256

typedef struct {
    umbp_mover_job_t job;
    uint32_t count;
    bool broken;                        //  Out: a connection broke, see umbp_mover_run
    uint64_t rdma_bytes, tcp_bytes;     //  Out: read by either
    uint64_t here_bytes;                //  Out: moved within this process
    umbp_mover_row_t rows[UMBP_TRANSFER_ROWS_MAX];
} umbp_transfer_t;

#define UMBP_ERRAND_MAX (128u << 10)    //  Bytes of a message

//  Asked of the migrator in front of a frame with an encoded message, while a transfer is under way: say
//  this to the verbs actor of a node
typedef struct {
    uint64_t number;
    char node[UMBP_NAME_MAX + 1];
    uint32_t patience_ms;               //  0: no answer is wanted, and none comes
} umbp_errand_t;

//  Its answer, in front of a frame with the encoded answer of the node, which is empty if rc is not 0
typedef struct {
    uint64_t number;
    int32_t rc;
} umbp_errand_ok_t;

//  Starts the thread. It takes transfers from sock, one frame each, and answers each with one
//  frame, as it came but for the statuses. sock is its from now on: the other end of a PAIR. Ask
//  again only when it has answered. rdma: devices, borrowed; NULL: none. here: tiers of this process,
//  borrowed.
zactor_t *umbp_migrator_worker_new (zsock_t **sock_p, size_t buffer_bytes,
                                    const umbp_verbs_api_t *rdma_api, umbp_verbs_t *rdma,
                                    const umbp_here_t *here, size_t here_count);

#endif

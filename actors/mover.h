//  actors/mover.h - moves blocks from the pages of one node to those of another, by RDMA or from and to
//  their bulk servers, through a buffer of its own, and compares the checksum of every block on the way. A block in a slot whose
//  row ended well has the bytes that its sum says; of one whose row failed, nothing is known.
//
//  For one thread. umbp_mover_run blocks, until its deadline at most, and no longer than a few
//  seconds after stop says true, whatever the servers do. Connections are kept for the next run.
#ifndef UMBP_MOVER_H
#define UMBP_MOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actors/mover_here.h"
#include "cluster/bulk/far.h"
#include "cluster/bulk/tcp_wire.h"
#include "proto/types.h"

typedef struct umbp_mover umbp_mover_t;

//  Asked between transfers: shall the run end early?
typedef bool (umbp_mover_stop_fn) (void *arg);

typedef struct {
    uint64_t sum;                       //  XXH3-64 that the bytes must have
    uint64_t slot;                      //  Token to write under
    uint32_t item;                      //  Of the lease
    uint32_t size;                      //  Bytes
    int32_t status;                     //  Out: 0, UMBP_ECHECKSUM, UMBP_ECLOSED if it was stopped,
                                        //  or what the transfer says (tcp_client.h)
    uint32_t key;                       //  The caller's own, not looked at
} umbp_mover_row_t;

typedef struct {
    char from[UMBP_TEXT_MAX + 1], to[UMBP_TEXT_MAX + 1];     //  "host:port"
    char node[UMBP_NAME_MAX + 1];       //  That has them
    uint64_t session;                   //  To read and write as; another one than before closes all
                                        //  connections
    uint8_t from_key[UMBP_BULK_KEY_BYTES], to_key[UMBP_BULK_KEY_BYTES];     //  Of the session, there
    uint64_t lease;                     //  Token to read under
    int64_t deadline_ms;                //  clock.h
} umbp_mover_job_t;

umbp_mover_t *umbp_mover_new (size_t buffer_bytes, umbp_mover_stop_fn *stop, void *arg);
void umbp_mover_destroy (umbp_mover_t **self_p);

//  Read by RDMA where that node serves it, from now on. What RDMA does not read is read over tcp in the
//  same run.
void umbp_mover_use_rdma (umbp_mover_t *self, const umbp_far_ops_t *ops);

//  Bulk servers of this process, borrowed: from now on what lies behind them is not read and written through a
//  socket, but where it lies.
void umbp_mover_use_here (umbp_mover_t *self, const umbp_here_t *here, size_t count);

//  How many bytes the last run moved from pages of this process to others of it
uint64_t umbp_mover_here_bytes (const umbp_mover_t *self);

//  How many bytes the last run read by either
void umbp_mover_bytes (const umbp_mover_t *self, uint64_t *rdma_p, uint64_t *tcp_p);

//  Move the rows, in their order, and set the status of each. Returns true if no connection broke.
//  If one did, a server may hear of it late and end what the session was granted meanwhile: take
//  another session from then on.
bool umbp_mover_run (umbp_mover_t *self, const umbp_mover_job_t *job, umbp_mover_row_t *rows,
                     size_t count);

#endif

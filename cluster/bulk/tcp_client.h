//  cluster/bulk/tcp_client.h - one connection to the bulk server of one node. Reads and writes
//  blocks in batches, straight between the socket and the caller's buffers. For one thread at a
//  time. Calls block, until their deadline at most, whatever the server does. What is said is in
//  tcp_wire.h.
#ifndef UMBP_TCP_CLIENT_H
#define UMBP_TCP_CLIENT_H

#include "cluster/bulk/piece.h"
#include "cluster/bulk/tcp_wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct umbp_bulk_client umbp_bulk_client_t;

//  One transfer: part of an item that a token gives access to, and the buffers for it. Its size is
//  that of the pieces together.
typedef struct {
    uint64_t token;
    uint32_t item;
    uint64_t offset;                    //  In the item, in bytes
    const umbp_piece_t *pieces;
    size_t piece_count;
    bool want_sum;
    bool device;                        //  Pieces are a device's: by RDMA alone, see verbs.h
    uint64_t sum;                       //  Out, if wanted: umbp_sum (copy.h) of what moved
} umbp_bulk_io_t;

//  Who speaks to whom. The key is that of the session at this server (tcp_auth.h).
typedef struct {
    const char *endpoint;               //  "host:port", an address in numbers
    uint64_t session;
    const uint8_t *key;                 //  UMBP_BULK_KEY_BYTES; NULL: the node gave none
} umbp_bulk_peer_t;

//  Connect. Blocks until deadline_ms (clock.h). Returns NULL if it cannot; *rc_p, unless it is
//  NULL, says why: UMBP_EINVAL (endpoint), UMBP_EUNREACH, UMBP_ETIMEDOUT, UMBP_ECLOSED (also if the
//  server has too many connections), UMBP_EPROTO (no bulk server answers there), UMBP_EDENIED (who
//  answers there does not know the key: another node, or the same one after a restart), UMBP_EAGAIN
//  (it has too many sessions), UMBP_ENOTSUP (it speaks another version, or gave no key), UMBP_EIO
//  (see errno).
umbp_bulk_client_t *umbp_bulk_client_new (const umbp_bulk_peer_t *peer, int64_t deadline_ms,
                                          int *rc_p);
void umbp_bulk_client_destroy (umbp_bulk_client_t **self_p);

//  False once a call has failed: the connection is closed, and every further call returns
//  UMBP_ECLOSED.
bool umbp_bulk_client_is_open (const umbp_bulk_client_t *self);

//  Whether it is open and both ends are on one host
bool umbp_bulk_client_is_here (const umbp_bulk_client_t *self);

//  Read or write a batch. Each item has its own outcome in status[]: 0, UMBP_ESTALE or UMBP_EDENIED
//  (refused by the server), UMBP_ETOOBIG (more than the server takes in one request), or, if the
//  connection failed first, why it did: UMBP_ETIMEDOUT, UMBP_ECLOSED, UMBP_EPROTO, UMBP_EIO.
//  Returns how many items succeeded, or the error that closed the connection.
//  Buffers of items that failed hold anything. A failed write may have changed part of the block.
int umbp_bulk_client_read (umbp_bulk_client_t *self, umbp_bulk_io_t *items, size_t count,
                           int *status, int64_t deadline_ms);
int umbp_bulk_client_write (umbp_bulk_client_t *self, umbp_bulk_io_t *items, size_t count,
                            int *status, int64_t deadline_ms);

//  One of the two above
typedef int (umbp_bulk_transfer_fn) (umbp_bulk_client_t *, umbp_bulk_io_t *, size_t, int *,
                                     int64_t);

//  The same, on a connection that is kept: *client_p may be NULL, and is made if there is none. A
//  server may close it at any time between two batches, and one that is new for many others that
//  have no proof: then on another one, a few times. Connecting may take connect_ms at most. Returns
//  the same; if there was no connection it is NULL, and all items have the reason.
int umbp_bulk_client_run (umbp_bulk_client_t **client_p, const umbp_bulk_peer_t *peer,
                          int64_t connect_ms, umbp_bulk_transfer_fn *transfer,
                          umbp_bulk_io_t *items, size_t count, int *status, int64_t deadline_ms);

#ifdef __cplusplus
}
#endif

#endif

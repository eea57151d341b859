//  client/streams.h - bytes of blocks to or from one node over tcp, on several connections at once.
//  Private to client/.
//
//  One connection is moved by one thread, which copies each byte between the kernel and the caller's
//  buffers and sums it: that core is the bound. A large batch is cut into shares of whole transfers.
//  Each connection has a thread of the crew (crew.h), the first one the caller's, and takes the next
//  share when it has done its own: who is slow, or gets no core, takes less. What one connection
//  could not do, since the node had no room for it or cut it, is done again on another one.
#ifndef UMBP_STREAMS_H
#define UMBP_STREAMS_H

#include "client/lane.h"

#define UMBP_STREAMS_MIN_BYTES ((uint64_t) 16 << 20)        //  Less goes over one connection

//  Returns as umbp_bulk_client_run does: each transfer gets its status
int umbp_streams_move (umbp_lane_t *lane, umbp_bulk_t *bulk, const umbp_bulk_peer_t *peer,
                       bool write, umbp_bulk_io_t *ios, size_t count, int *statuses,
                       int64_t deadline_ms);

#endif

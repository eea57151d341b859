//  client/rdma.h - blocks of other hosts by RDMA: devices of the client, and links of a lane to nodes
//  (cluster/bulk/far.h). Private to client/.
#ifndef UMBP_CLIENT_RDMA_H
#define UMBP_CLIENT_RDMA_H

#include "client/lane.h"

//  For the pool. open: once, when it is first needed. Returns NULL if there is no RDMA here. announce:
//  memory that was registered just now. forget: before it is gone; returns 0, or UMBP_EAGAIN if a
//  transfer is under way in it. Both under the pool's lock, or once umbp_rdma_is_open said so.
umbp_verbs_t *umbp_rdma_open (umbp_t *pool);
void umbp_rdma_close (umbp_t *pool);
bool umbp_rdma_is_open (umbp_t *pool);               //  Takes that lock
void umbp_rdma_announce (umbp_t *pool, void *base, size_t size);
int umbp_rdma_forget (umbp_t *pool, void *base, size_t size);

//  Move what can be moved to or from a node. Each item that was gets status 0 and, if wanted, its sum;
//  all others keep the status that they had. Returns how many were moved. Nothing of the others is
//  under way any more when it returns, here and there, or their slot can not be committed.
size_t umbp_rdma_move (umbp_lane_t *lane, const umbp_place_t *place, umbp_bulk_io_t *ios,
                       size_t count, int *statuses, int64_t deadline_ms);

//  End all links of a lane: its session is over. forget: in a forked child, memory alone.
void umbp_rdma_drop (umbp_lane_t *lane);
void umbp_rdma_forget_links (umbp_lane_t *lane);

#endif

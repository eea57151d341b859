//  client/devmem.h - buffers of the caller that are memory of a device: which addresses these are, and
//  how their bytes come and go. Private to client/.
//
//  No processor reads or writes them. Bytes go through staging memory (stager.h), of which a client
//  has a bounded number: one bank is copied by the device while the other is read, written or sent. Sums
//  are of what lies in staging. With RDMA, and a dma-buf that the network cards took, transfers go
//  straight to the device, and what is to be summed is read into staging for that alone.
#ifndef UMBP_DEVMEM_H
#define UMBP_DEVMEM_H

#include "client/lane.h"

#define UMBP_DEVMEM_RANGES_MAX 1024     //  Registered at a time
#define UMBP_DEVMEM_STAGERS_MAX 4       //  Of a client; who comes next waits for one

typedef struct umbp_devmem_range umbp_devmem_range_t;       //  A registration

umbp_devmem_t *umbp_devmem_new (void);
void umbp_devmem_destroy (umbp_devmem_t **self_p, bool forked);

//  True once something was registered: without, nothing below need be asked. Thread-safe.
bool umbp_devmem_any (const umbp_t *pool);

//  True if addresses overlap a registration
bool umbp_devmem_overlaps (umbp_t *pool, const void *base, size_t size);

//  Find the registrations that pieces lie in, and keep them; those of memory of the host get a NULL.
//  Returns how many pieces are a device's, or UMBP_EINVAL if one lies in a registration in part, and
//  then none is kept.
int umbp_devmem_hold (umbp_t *pool, const umbp_piece_t *pieces, size_t count,
                      umbp_devmem_range_t **owners);
void umbp_devmem_release (umbp_t *pool, umbp_devmem_range_t **owners, size_t count);

//  Offer all registrations to RDMA that were not yet. The devices of RDMA are open.
void umbp_devmem_announce (umbp_t *pool);

//  Forget one, if it was offered. Returns 0, or UMBP_EAGAIN if a transfer is under way in it.
int umbp_devmem_deregister (umbp_t *pool, const void *base);

//  True if RDMA reaches all of these pieces, each of which a device owns
bool umbp_devmem_is_direct (umbp_devmem_range_t *const *owners, size_t count);

//  What RDMA wrote there is what is read there from now on. Returns 0 or an error.
int umbp_devmem_settle (umbp_lane_t *lane, umbp_devmem_range_t *const *owners, size_t count);

//  One item: pieces, of which some are a device's
typedef struct {
    const umbp_piece_t *pieces;
    umbp_devmem_range_t **owners;       //  Held
    uint64_t size;                      //  Of the pieces
    bool want_sum;
    uint64_t sum;                       //  Out, if wanted
    int status;                         //  Out: 0, or an error
} umbp_devmem_io_t;

//  A part of an item, in staging
typedef struct {
    size_t item;
    uint64_t offset;                    //  In the item
    uint8_t *base;
    size_t bytes;
    int status;                         //  0, or an error, which becomes that of the item
} umbp_segment_t;

//  What to do with a bank: take bytes out of it, or put them in. Called in the order of the items and
//  of their bytes; those of an item that failed are left out.
typedef void (umbp_devmem_pass_fn) (void *arg, umbp_segment_t *segments, size_t count);

//  Move items, from pieces to pass, or from pass to pieces; pass NULL: nowhere, for the sums. All have
//  their outcome when it returns: UMBP_EIO if a device failed, UMBP_ETIMEDOUT (the deadline of the lane),
//  UMBP_ENOSPC (no memory), or what pass said; and no device copies any more.
typedef enum {
    UMBP_DEVMEM_OUT,                    //  Of the devices
    UMBP_DEVMEM_IN
} umbp_devmem_way_t;
void umbp_devmem_run (umbp_lane_t *lane, umbp_devmem_way_t way, umbp_devmem_io_t *ios, size_t count,
                      umbp_devmem_pass_fn *pass, void *arg);

#endif

//  client/copies.h - copies of blocks, each with its checksum, by as many threads as do good. Private
//  to client/.
//
//  Few bytes are copied by the caller alone. Of many blocks each is copied by one thread of the crew
//  (crew.h), of a few large ones pieces are. Whatever is copied, all of it is summed in the same pass:
//  the sum is that of the bytes that were written. Where one side is memory of a device, the caller
//  alone copies, through staging, and the sum is of what is there.
//
//  What goes into the pool is copied past the caches. What comes out of it is read soon, and buffers
//  are used again and again, so that stays in them unless it is too much at once.
#ifndef UMBP_COPIES_H
#define UMBP_COPIES_H

#include "client/lane.h"

#define UMBP_COPIES_SHARED_MIN ((uint64_t) 512 << 10)       //  Fewer bytes are the caller's alone

typedef struct {
    const umbp_piece_t *to, *from;      //  Both hold size bytes
    size_t to_count, from_count;
    uint64_t size;
    bool read;                          //  Out of the pool
    bool past;                          //  Chosen here: past the caches
    uint64_t sum;                       //  Out
    int rc;                             //  Out, 0 before: an error of a device, see devmem.h
} umbp_copy_t;

//  Do them all, with the crew of the lane's client and its scratch memory.
void umbp_copies_run (umbp_lane_t *lane, umbp_copy_t *copies, size_t count);

//  Copy a part of a block out of its pieces, as umbp_scatter_read, also to a device. Returns 0 or an
//  error of the device.
int umbp_copies_read (umbp_lane_t *lane, const umbp_piece_t *pieces, const umbp_range_t *range);

#endif

//  client/get.h - asking the router where blocks can be read, as gets and views do. Private to
//  client/.
#ifndef UMBP_CLIENT_GET_H
#define UMBP_CLIENT_GET_H

#include "client/batch.h"

//  An owner, one row of get_ok.nodes
typedef struct {
    const char *node, *bulk, *actor;
    const uint8_t *bulk_key;            //  Of our session there, NULL: it gave none
    umbp_memory_t *memory;              //  Where its blocks are, NULL: over there
    uint32_t page_size, ttl_ms;
    uint64_t lease;                     //  On all blocks there, 0: none
    uint64_t call;                      //  That it is a part of, for logs
    bool failed;                        //  To be avoided from now on
} umbp_owner_t;

//  Where blocks are, as the router said. The columns are good until the lane asks again.
typedef struct {
    const umbp_msg_get_ok_t *msg;
    umbp_extents_t extents;
    umbp_owner_t *owners;               //  In scratch memory
    size_t owner_count;
    const uint8_t *payload;
    size_t payload_size;
    int64_t asked_ms;                   //  Leases count from here at the latest
    uint64_t session;                   //  That they are given to
} umbp_found_t;

//  Ask for so many keys. avoid names owners that failed, NULL: none. Returns 0 or an error; then
//  there is nothing to release.
int umbp_get_ask (umbp_lane_t *lane, umbp_way_t way, const umbp_key_t *keys, size_t stride,
                  size_t count, size_t inline_max, const umbp_column_t *avoid, umbp_found_t *found);

//  Where a block is that lies in memory of this host: pieces in scratch memory. Returns how many,
//  or UMBP_EPROTO. row is its first row in the extents.
int umbp_get_locate (umbp_lane_t *lane, const umbp_found_t *found, size_t index, size_t row,
                     umbp_piece_t **pieces_p);

//  Let go of the lease at an owner, if there is one
void umbp_get_release (umbp_lane_t *lane, umbp_owner_t *owner);

#endif

//  client/get_self.h - a get under way, shared by the files that make it up: get.c (windows, and what the router says) and
//  get_bytes.c (how bytes come to the caller). Nobody else includes this.
#ifndef UMBP_CLIENT_GET_SELF_H
#define UMBP_CLIENT_GET_SELF_H

#include "client/get.h"

#define UMBP_GET_OPEN 1                 //  Status of a block without an outcome yet
#define UMBP_GET_AVOID_MAX 16           //  Owners that failed, which one call remembers

typedef struct {
    umbp_key_t key;
    const umbp_range_t *ranges;
    size_t range_count;
    bool whole;                         //  One buffer with room for ranges->size bytes of the block
    int *status;
    size_t *size_p;                     //  The caller's: receives the size of the block
    uint64_t size, sum;                 //  Of the block
    uint32_t number;                    //  In its lease
    uint16_t ref;                       //  Owner, or UMBP_NO_REF
    uint8_t tries;
} umbp_get_job_t;

typedef struct {
    umbp_lane_t *lane;
    umbp_way_t way;                     //  To the router
    size_t items_max;                   //  In a message, less after one was too large
    char avoid[UMBP_GET_AVOID_MAX][UMBP_NAME_MAX + 1];
    size_t avoid_count;
} umbp_get_call_t;

//  Give the caller bytes of a block that are here. Returns the job's status.
int umbp_get_deliver (umbp_get_call_t *call, const umbp_get_job_t *job, const umbp_piece_t *from,
                      size_t from_count);

//  Blocks that our node shows on its board. Moves the jobs that are left to the front. Returns how many.
size_t umbp_get_read_shown (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count);

//  Blocks on which we have a lease, wherever they are: each has its status then
void umbp_get_read_all (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count,
                        umbp_found_t *found);

#endif

//  cluster/latency.h - how long an actor takes to answer: a histogram for each operation and path, in
//  buckets whose bounds double. A value of fixed size: counting is a few instructions, and allocates
//  nothing. One thread.
#ifndef UMBP_LATENCY_H
#define UMBP_LATENCY_H

#include "proto/message.h"

#define UMBP_LATENCY_BUCKETS 25         //  Within 2, 4, 8, ... 2^24 us; the last one: later
#define UMBP_LATENCY_ROWS 72            //  Operations times paths; more are not counted

typedef enum {
    UMBP_PATH_ACTOR = 1,                //  Asked by an actor of this node
    UMBP_PATH_LINK,                     //  Through the link: other nodes, clients over tcp or inproc
    UMBP_PATH_DOOR,                     //  Through the door: clients of this host
    UMBP_PATH_COUNT,
} umbp_path_t;

typedef struct {
    size_t count;                       //  Rows in use
    uint8_t row_of[UMBP_MSG_LAST][UMBP_PATH_COUNT]; //  And one more; 0: none yet
    uint8_t types[UMBP_LATENCY_ROWS], paths[UMBP_LATENCY_ROWS];
    uint64_t sums_us[UMBP_LATENCY_ROWS];
    uint64_t buckets[UMBP_LATENCY_ROWS * UMBP_LATENCY_BUCKETS];
} umbp_latency_t;

//  A request of this type that came this way was answered after so long
void umbp_latency_add (umbp_latency_t *self, unsigned type, umbp_path_t path, uint64_t took_us);

//  Upper bound of a bucket in us, of all but the last one
static inline uint64_t umbp_latency_bound_us (size_t bucket)
{
    return UINT64_C (2) << bucket;
}

#endif

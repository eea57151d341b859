//  client/put_self.h - a put under way, shared by the files that make it up: put.c (windows, what the router says),
//  put_bytes.c (how bytes come into slots) and put_commit.c (what tier managers are told). Nobody else includes this.
#ifndef UMBP_CLIENT_PUT_SELF_H
#define UMBP_CLIENT_PUT_SELF_H

#include "client/batch.h"

typedef struct {
    umbp_key_t key;
    const umbp_piece_t *pieces;
    size_t piece_count;
    uint64_t size, sum, slot;
    int *status;                        //  The caller's
    uint16_t depth, ref;
    uint8_t tries;
    bool written;
} umbp_put_job_t;

//  A node that gave slots, one row of put_ok.nodes
typedef struct {
    const char *node, *bulk, *actor;
    const uint8_t *bulk_key;            //  Of our session there, NULL: it gave none
    umbp_memory_t *memory;              //  Where its slots are, NULL: over there
    uint32_t page_size;
    bool disk;                          //  They are staging: a block is stored when the disk has it
} umbp_put_group_t;

//  A commit that was sent to a node: the slots of some jobs that were written
typedef struct {
    uint64_t question;
    umbp_put_job_t *jobs;
    size_t count, written;
    uint16_t ref;
} umbp_put_commit_t;

typedef struct {
    umbp_put_commit_t *list;            //  Room for as many as are sent
    size_t count;                       //  Without an answer yet
} umbp_put_commits_t;

typedef struct {
    umbp_lane_t *lane;
    umbp_put_options_t options;
    umbp_way_t way;                     //  To the router
    size_t items_max;                   //  In a message, less after one was too large
    uint64_t id;                        //  Of this call in the logs of nodes, as the router says; 0 yet
    uint64_t session;                   //  That the slots of the message under way are given to
    bool full;                          //  The deadline was spent waiting for room
    int64_t full_until_ms;              //  End of waiting for room; 0: there is enough, or no end
} umbp_put_call_t;

//  The slots in memory of this host, of the jobs first to end - 1, whose rows begin at one. Returns where those of the next
//  one do.
size_t umbp_put_fill_here (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t first, size_t end,
                           const umbp_put_group_t *groups, const umbp_extents_t *extents,
                           size_t row);

//  All slots of one node, by RDMA or tcp, pipelined
void umbp_put_fill_there (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t count,
                          const umbp_put_group_t *group, uint16_t ref);

//  Give back those slots of one node that were not written
void umbp_put_abort (umbp_put_call_t *call, const umbp_put_job_t *jobs, size_t count,
                     const umbp_put_group_t *group, uint16_t ref);

//  Tell one node of its slots; the answer is waited for later
void umbp_put_commit (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t count,
                      const umbp_put_group_t *group, uint16_t ref, umbp_put_commits_t *commits);

//  Wait for the answers of all; then each job has its status
void umbp_put_commits_wait (umbp_put_call_t *call, umbp_put_commits_t *commits);

//  Of stored blocks, the copies that could not be made
void umbp_put_count_missing (umbp_put_call_t *call, const umbp_u8s_t *missing);

#endif

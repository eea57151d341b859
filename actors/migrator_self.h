//  actors/migrator_self.h - the state of a migrator, shared by the files that make it up:
//  migrator.c (its requests), migrator_round.c (how the blocks of one are fetched) and
//  migrator_errand.c (what its workers ask). Nobody else includes this.
#ifndef UMBP_MIGRATOR_SELF_H
#define UMBP_MIGRATOR_SELF_H

#include "actors/migrator.h"
#include "actors/migrator_worker.h"
#include "cluster/topology.h"

#define UMBP_LANES 4                    //  Rounds at a time: a silent node holds up one of them
#define UMBP_ROUND_MAX UMBP_TRANSFER_ROWS_MAX  //  Keys
#define UMBP_ANSWER_MARGIN_MS 20        //  For an answer to reach its asker, and for late timers

//  A request. Copying is no hot path, so each has memory of its own size: one piece, with its
//  columns.
typedef struct {
    umbp_origin_t origin;
    int64_t answer_by;
    char node[UMBP_NAME_MAX + 1];
    unsigned tier, to;                  //  Of that node, of ours
    uint8_t replicas;                   //  What the copies here shall remember
    bool calm;                          //  Nothing here shall leave for them
    uint8_t hint;                       //  What becomes of them here, as in reserve
    uint32_t count, done;               //  Keys, and those that have their status
    uint32_t done_bytes;                //  Where in keys the next round starts
    uint64_t bytes;                     //  Fetched
    uint16_t *sizes;                    //  Of the keys
    int8_t *statuses;
    uint8_t *keys;
} umbp_copy_t;

//  A part of a copy that is under way. Keys are numbered from the round's first.
typedef struct {
    uint32_t count;
    umbp_column_t keys;
    int8_t statuses[UMBP_ROUND_MAX];
    uint32_t sizes[UMBP_ROUND_MAX];     //  Of the blocks
    uint64_t sums[UMBP_ROUND_MAX];
    uint16_t depths[UMBP_ROUND_MAX];
    uint16_t small[UMBP_ROUND_MAX];     //  Keys whose blocks came along
    uint32_t small_count;
    uint16_t large[UMBP_ROUND_MAX];     //  Keys whose blocks are leased, or some that got a slot
    uint32_t large_count;
    uint64_t lease;                     //  0: none, or released
    unsigned open;                      //  Chains of questions that are not at their end
    int64_t read_by;                    //  The lease ends then
    char source[UMBP_TEXT_MAX + 1];     //  Bulk server of the owner
    uint8_t source_key[UMBP_BULK_KEY_BYTES];       //  Of our session there
} umbp_round_t;

typedef struct {
    zactor_t *worker;
    zsock_t *sock;                      //  To the worker
    uint64_t session;                   //  Its own: a session may end with any of its connections
    umbp_copy_t *copy;                  //  NULL: idle
    umbp_round_t round;
    umbp_transfer_t transfer;
} umbp_lane_t;

typedef struct {
    umbp_post_t *post;
    zloop_t *loop;
    umbp_home_t home;
    umbp_topology_t *topology;
    size_t share_bytes;                 //  A round's
    const umbp_verbs_api_t *rdma_api;
    umbp_verbs_t *rdma;                 //  Devices of the workers; NULL: there are none
    umbp_here_t here[UMBP_HERE_MAX];    //  Tiers of this process
    size_t here_count;
    umbp_lane_t lanes[UMBP_LANES];
    umbp_copy_t *queue[UMBP_MIGRATOR_COPIES_MAX];  //  A ring
    size_t queue_first, queue_count;
    size_t copy_count;                  //  In the queue and in lanes
    int timer;                          //  -1: not running

    //  Columns of a question, while it is put together
    uint8_t keys[UMBP_ROUND_MAX * (UMBP_SCOPED_KEY_MAX + UMBP_SCOPE_MAX)];
    uint16_t key_sizes[UMBP_ROUND_MAX], depths[UMBP_ROUND_MAX];
    uint32_t sizes[UMBP_ROUND_MAX];
    uint64_t sums[UMBP_ROUND_MAX], slots[UMBP_ROUND_MAX], aborted[UMBP_ROUND_MAX];
    uint8_t payload[UMBP_INLINE_MAX];
    uint8_t errand[UMBP_ERRAND_MAX];    //  An answer for a worker

    uint64_t rdma_bytes, tcp_bytes;     //  Read from other nodes, whatever became of them
    uint64_t here_bytes;                //  Moved between tiers of ours
    uint64_t requests, rounds, copies, bytes, misses, failures, busy;
} umbp_migrator_t;

//  migrator.c: the lane's round is over. rest is 0, or why there is no use in going on with its
//  copy.
void umbp_migrator_round_over (umbp_migrator_t *self, umbp_lane_t *lane, int rest);

//  migrator_round.c: begin a round of a copy in an idle lane; the worker has answered
void umbp_migrator_round (umbp_migrator_t *self, umbp_lane_t *lane, umbp_copy_t *copy);
int umbp_migrator_on_worker (zloop_t *loop, zsock_t *sock, void *arg);

//  migrator_errand.c: ask or tell another node for a worker
void umbp_migrator_errand (umbp_migrator_t *self, umbp_lane_t *lane, const umbp_errand_t *errand,
                           const void *wire, size_t size);

//  migrator_round.c: read and write as somebody else from now on
void umbp_lane_new_session (umbp_lane_t *lane);

//  How much longer the copy may take, in milliseconds; 0 or less: it is late
static inline int64_t umbp_copy_left_ms (const umbp_copy_t *copy)
{
    return copy->answer_by - zclock_mono ();
}

#endif

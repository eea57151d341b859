//  actors/tier/spread_self.h - copies that are asked for, from inside: shared by spread.c and spread_place.c. Nobody else
//  includes this.
#ifndef UMBP_SPREAD_SELF_H
#define UMBP_SPREAD_SELF_H

#include "actors/tier/spread.h"
#include "proto/scope.h"

#define UMBP_SPREAD_FLIGHTS_MAX 8                   //  Questions under way
#define UMBP_SPREAD_BATCH_MAX 256                   //  Blocks in one
#define UMBP_SPREAD_NOTED_MAX 8                     //  Nodes a job remembers

typedef enum { FREE, LOOK, PLACE, ASKED } job_state_t;

typedef struct {
    uint64_t tag, token;
    int64_t not_before;
    uint64_t known[UMBP_SPREAD_NOTED_MAX],
        tried[UMBP_SPREAD_NOTED_MAX]; //  Nodes, as hashes of their names
    uint32_t item, next;
    uint8_t why, state, looks, known_count, tried_count, busy;
    uint8_t missing;
    bool full;
} umbp_spread_job_t;

typedef struct {
    bool used, copy;
    char node[UMBP_NAME_MAX + 1];
    uint64_t turn;
    uint32_t count, jobs[UMBP_SPREAD_BATCH_MAX];
    uint64_t prints[UMBP_SPREAD_BATCH_MAX];
} flight_t;

//  How full a member said it is before we placed anything there, and what we placed since. What it says comes late,
//  so the sum counts, until nothing was placed for a while.
typedef struct {
    uint64_t base, placed;
    int64_t placed_at;
} room_t;

struct umbp_spread {
    umbp_post_t *post;
    umbp_store_t *store;
    void *owner;
    umbp_spread_fn *fn;
    umbp_spread_args_t args;
    char node[UMBP_NAME_MAX + 1];
    umbp_topology_t *topology;
    uint64_t ids[UMBP_NODES_MAX];       //  Of the members
    room_t rooms[UMBP_NODES_MAX];       //  Of the members
    umbp_spread_job_t *jobs;
    uint32_t free_head, ready_head, ready_tail;      //  Lists of jobs, by number
    size_t open[UMBP_SPREAD_REASONS];
    flight_t flights[UMBP_SPREAD_FLIGHTS_MAX];
    //  Keys whose copies are to go again; size 0: none
    uint16_t undo_sizes[UMBP_SPREAD_FLIGHTS_MAX][UMBP_SPREAD_BATCH_MAX];
    uint8_t undo_keys[UMBP_SPREAD_FLIGHTS_MAX][UMBP_SPREAD_BATCH_MAX][UMBP_SCOPED_KEY_MAX];
    uint64_t turns;
    int64_t budget, budget_at;          //  Bytes that may be sent now, below 0 a debt; since when
    bool pumping;
    umbp_spread_stats_t stats;
    uint8_t keys[UMBP_SPREAD_BATCH_MAX * UMBP_SCOPED_KEY_MAX];
    uint16_t key_sizes[UMBP_SPREAD_BATCH_MAX];
};

static inline bool umbp_spread_is_noted (const uint64_t *ids, size_t count, uint64_t id)
{
    for (size_t index = 0; index < count; index++)
        if (ids[index] == id)
            return true;
    return false;
}

//  spread_place.c
//  The shard to ask about a block: its owners one after the other, those alone that are alive. -1 if all were.
int umbp_spread_shard (const umbp_spread_t *self, umbp_spread_job_t *job);

//  Who shall have the next copy. -1 if there is nobody.
int umbp_spread_target (const umbp_spread_t *self, umbp_spread_job_t *job);

//  What a block takes there
uint64_t umbp_spread_taken (const umbp_spread_t *self, const umbp_block_t *block);

#endif

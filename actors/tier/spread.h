//  actors/tier/spread.h - copies of our blocks on other nodes: who has one already is asked of the index, who shall
//  have one is chosen here, and the migrator there fetches it from us. A copy counts once that node has said that
//  it holds the block, and that the index has heard of it.
//
//  Three reasons: a put that wants replicas; a loss that left us with the last copy; a drain, which wants the
//  block elsewhere before it goes from here. Jobs are bounded, go in batches, and end each exactly once.
//
//  A value of its tier manager's thread. What it asks runs over the manager's post.
#ifndef UMBP_SPREAD_H
#define UMBP_SPREAD_H

#include "actors/tier/store.h"
#include "cluster/post.h"
#include "cluster/topology.h"

#define UMBP_SPREAD_JOBS_MAX 16384

typedef struct umbp_spread umbp_spread_t;

typedef enum {
    UMBP_SPREAD_PUT,                    //  As many copies as the block's record says
    UMBP_SPREAD_LOSS,                   //  The same, but only if ours is the last one; within the budget
    UMBP_SPREAD_DRAIN,                  //  One elsewhere
    UMBP_SPREAD_REASONS
} umbp_spread_why_t;

//  How a job ended
typedef struct {
    umbp_spread_why_t why;
    uint64_t tag;                       //  As given
    uint32_t item;
    uint64_t token;                     //  Of the block when it was given
    unsigned missing;                   //  Copies that are wanted and not there
    bool full;                          //  ... since no node that could be asked has room for it
    bool gone;                          //  The block has left us meanwhile
} umbp_spread_end_t;

//  Called once per job, never from within umbp_spread_add
typedef void (umbp_spread_fn) (void *owner, const umbp_spread_end_t *end);

typedef struct {
    const char *node;                   //  Ours
    unsigned tier;
    unsigned high;                      //  Percent of a tier beyond which nodes evict: not for a loss or a drain
    uint64_t budget;                    //  Bytes a second after losses; 0: no bound
} umbp_spread_args_t;

//  The store is borrowed
umbp_spread_t *umbp_spread_new (umbp_post_t *post, umbp_store_t *store,
                                const umbp_spread_args_t *args, void *owner, umbp_spread_fn *fn);
void umbp_spread_destroy (umbp_spread_t **self_p);

//  There is a newer topology; it is held
void umbp_spread_topology (umbp_spread_t *self, umbp_topology_t *topology);

//  A live block is to have copies. Returns false if there are too many jobs.
bool umbp_spread_add (umbp_spread_t *self, umbp_spread_why_t why, uint32_t item, uint64_t tag);

//  Jobs of one reason that have not ended
size_t umbp_spread_open (const umbp_spread_t *self, umbp_spread_why_t why);

//  Go on; call after adding, and every few milliseconds
void umbp_spread_pump (umbp_spread_t *self);

//  End all jobs of a reason that are not under way, as missing nothing
void umbp_spread_cancel (umbp_spread_t *self, umbp_spread_why_t why);

//  A block is removed, whether it is here or not: so shall be those copies of it that are on their way
void umbp_spread_removed (umbp_spread_t *self, umbp_bytes_t key, uint64_t print);

typedef struct {
    uint64_t copies, copy_bytes;        //  That other nodes made
    uint64_t known;                     //  That they had already
    uint64_t failures;                  //  Answers that were none, or an error
    uint64_t undone;                    //  Copies of what was removed while they were made
} umbp_spread_stats_t;

umbp_spread_stats_t umbp_spread_stats (const umbp_spread_t *self);

#endif

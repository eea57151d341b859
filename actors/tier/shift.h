//  actors/tier/shift.h - copies of our blocks in another tier of this node: the blocks are chosen by our tier manager, and
//  the migrator moves them. A copy counts once the other tier has said that it holds the block; what was removed
//  here meanwhile is removed there.
//
//  Bounded: UMBP_SHIFT_JOBS_MAX blocks that wait or are on their way, a few batches at a time, a budget of bytes a second
//  for those that are not pressed (a token bucket, J. Turner, "New Directions in Communications", IEEE Communications
//  Magazine 24(10), 1986). A block is shifted by one job at a time.
//
//  What presses is bound by no budget, but counts: what is not pressed waits until that is made up for, a second's worth at
//  most, and has a share of the budget that its owner sets. Blocks and bytes on their way are bounded, and of a way
//  down a quarter of that is kept for what presses.
//
//  A value of its tier manager's thread. What it asks runs over the manager's post.
#ifndef UMBP_SHIFT_H
#define UMBP_SHIFT_H

#include "actors/tier/store.h"
#include "cluster/post.h"

#define UMBP_SHIFT_JOBS_MAX 8192

typedef struct umbp_shift umbp_shift_t;

typedef enum {
    UMBP_SHIFT_PRESSED,                 //  It shall leave us: first of all, and without a budget
    UMBP_SHIFT_COPY,                    //  It stays: as fast as the budget allows
    UMBP_SHIFT_REASONS
} umbp_shift_why_t;

//  How a job ended. status: 0 or UMBP_EEXIST: it is there; UMBP_ENOENT: it was removed here; UMBP_EAGAIN: no room there
//  now; or why it could not be moved.
typedef struct {
    umbp_shift_why_t why;
    uint32_t item;
    uint64_t token;                     //  Of the block when it was given
    int status;
} umbp_shift_end_t;

//  Called once per job, never from within umbp_shift_add
typedef void (umbp_shift_fn) (void *owner, const umbp_shift_end_t *end);

typedef struct {
    const char *node;                   //  Ours
    unsigned from, to;                  //  Tiers, from is ours
    uint64_t budget;                    //  Bytes a second; 0: no bound
    uint32_t flight_blocks;             //  On their way at a time; 0: as many as four batches have
    uint64_t flight_bytes;              //  ... and their bytes, unless it is one block; 0: the same
} umbp_shift_args_t;

//  The store is borrowed
umbp_shift_t *umbp_shift_new (umbp_post_t *post, umbp_store_t *store, const umbp_shift_args_t *args,
                              void *owner, umbp_shift_fn *fn);
void umbp_shift_destroy (umbp_shift_t **self_p);

//  A live block is to have a copy there. Returns false if there are too many jobs. One that has a job already has
//  no second one: then that job ends for both, as the more pressing of them.
bool umbp_shift_add (umbp_shift_t *self, umbp_shift_why_t why, uint32_t item);

//  Jobs of one reason that have not ended
size_t umbp_shift_open (const umbp_shift_t *self, umbp_shift_why_t why);

//  So much of the budget may be used by what is not pressed, per mille
void umbp_shift_set_share (umbp_shift_t *self, unsigned share);

//  Whether more went than the budget allows
bool umbp_shift_in_debt (umbp_shift_t *self);

//  Go on; call after adding, and every few milliseconds
void umbp_shift_pump (umbp_shift_t *self);

//  A live block is about to be removed for good: so shall be its copy, if that is on its way: then true
bool umbp_shift_removed (umbp_shift_t *self, uint32_t item);

//  Copies of what was removed that may still be there
size_t umbp_shift_undoing (const umbp_shift_t *self);

typedef struct {
    uint64_t copies, copy_bytes;        //  That were made
    uint64_t known;                     //  That were there already
    uint64_t failures;                  //  Neither, and not for want of room
    uint64_t full;                      //  For want of room
    uint64_t undone;                    //  Copies of what was removed while they were made
    uint64_t flying, flying_bytes;      //  On their way now
    uint64_t most, most_bytes;          //  ... at any time
} umbp_shift_stats_t;

umbp_shift_stats_t umbp_shift_stats (const umbp_shift_t *self);

#endif

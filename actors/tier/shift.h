//  actors/tier/shift.h - copies of our blocks in another tier of this node: the blocks are chosen by our tier manager, and
//  the migrator moves them. A copy counts once the other tier has said that it holds the block; what was removed
//  here meanwhile is removed there.
//
//  Bounded: UMBP_SHIFT_JOBS_MAX blocks that wait or are on their way, a few batches at a time, a budget of bytes a second
//  for those that are not pressed (budget.h). A block is shifted by one job at a time, and by one of the other way.
//
//  What presses is bound by no budget, but counts: what is not pressed waits until that is made up for, two seconds' worth
//  at most, and has a share of the budget that its owner sets. Blocks and bytes on their way are bounded, and of a way
//  down a quarter of that is kept for what presses. What is idle goes when nothing else waits, and is let go of when its
//  owner says so. Who waits longest is sent first, in each class; one that becomes more pressing leaves the others behind.
//
//  A value of its tier manager's thread. What it asks runs over the manager's post.
#ifndef UMBP_SHIFT_H
#define UMBP_SHIFT_H

#include "actors/tier/store.h"
#include "actors/tier/undos.h"
#include "cluster/post.h"

#define UMBP_SHIFT_JOBS_MAX 8192
#define UMBP_SHIFT_TURNS 10             //  Times its patience, at most, as long as others get there

//  Work: bytes that are copied, and for each block so many more, since to ask for one takes about as long as to copy these
#define UMBP_SHIFT_ASK_BYTES (16u << 10)

typedef struct umbp_shift umbp_shift_t;

typedef enum {
    UMBP_SHIFT_PRESSED,                 //  It shall leave us: first of all, and without a budget
    UMBP_SHIFT_COPY,                    //  It stays: as fast as the budget allows
    UMBP_SHIFT_IDLE,                    //  The same, but only while nothing else goes
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

//  A block was sent that had waited so long; of those that are not idle
typedef void (umbp_shift_sent_fn) (void *owner, int64_t waited_ms);

typedef struct {
    const char *node;                   //  Ours
    unsigned from, to;                  //  Tiers, from is ours
    uint64_t budget;                    //  Bytes a second; 0: no bound
    uint32_t flight_blocks;             //  On their way at a time; 0: as many as four batches have
    uint64_t flight_bytes;              //  ... and their bytes, unless it is one block; 0: the same
    umbp_shift_sent_fn *sent;           //  NULL: nobody wants to know
    umbp_undos_t *undos;                //  Borrowed
} umbp_shift_args_t;

//  The store is borrowed
umbp_shift_t *umbp_shift_new (umbp_post_t *post, umbp_store_t *store, const umbp_shift_args_t *args,
                              void *owner, umbp_shift_fn *fn);
void umbp_shift_destroy (umbp_shift_t **self_p);

//  What is pressed and finds no room there is asked about for so long, instead of 800 ms: since it was given, or since
//  that tier took anything, UMBP_SHIFT_TURNS times as long at most
void umbp_shift_set_patience (umbp_shift_t *self, unsigned pressed_ms);

//  The tier there took a block now, whosever it was
void umbp_shift_went (umbp_shift_t *self);

//  A live block is to have a copy there. Returns false if there are too many jobs. One that has a job already has
//  no second one: then that job ends for both, as the more pressing of them.
bool umbp_shift_add (umbp_shift_t *self, umbp_shift_why_t why, uint32_t item);

//  Jobs of one reason that have not ended
size_t umbp_shift_open (const umbp_shift_t *self, umbp_shift_why_t why);

//  So much of the budget may be used by what is not pressed, per mille
void umbp_shift_set_share (umbp_shift_t *self, unsigned share);

//  Whether more went than the budget allows; for how long that much would have been enough; whether nothing went lately
bool umbp_shift_in_debt (umbp_shift_t *self);
int64_t umbp_shift_debt_ms (umbp_shift_t *self);
bool umbp_shift_is_idle (umbp_shift_t *self);

//  Work a second that this way does lately, while something presses; if nothing did yet, while anything moves; until that,
//  the guess
uint64_t umbp_shift_pace (const umbp_shift_t *self, uint64_t guess);

//  Work of what presses and is not there yet
uint64_t umbp_shift_backlog (const umbp_shift_t *self);

//  Bytes that may go until this way is in debt, INT64_MAX: it has no budget; below 0: it is
int64_t umbp_shift_credit (umbp_shift_t *self);

//  Idle blocks that wait do so no more: their jobs end with UMBP_EAGAIN. Returns how many. Not from within the owner's
//  functions.
size_t umbp_shift_cancel (umbp_shift_t *self);

//  Go on; call after adding, and every few milliseconds
void umbp_shift_pump (umbp_shift_t *self);

//  The block of a key is removed for good, or was here once and shall be nowhere: so shall be its copies that are on their
//  way. The span has their undos.
void umbp_shift_removed (umbp_shift_t *self, uint64_t print, umbp_undo_span_t *span);

//  The same of all blocks of a tenant
void umbp_shift_wiped (umbp_shift_t *self, umbp_text_t tenant, umbp_undo_span_t *span);

//  Nothing was heard of some copy lately: it may be there, or be made yet
bool umbp_shift_is_unsure (const umbp_shift_t *self);

//  Blocks of one reason that are not on their way yet, who waits longest first. Returns how many.
size_t umbp_shift_waiting (const umbp_shift_t *self, umbp_shift_why_t why, size_t max,
                           uint32_t *items);

typedef struct {
    uint64_t copies, copy_bytes;        //  That were made
    uint64_t known;                     //  That were there already
    uint64_t failures;                  //  Neither, and not for want of room
    uint64_t full;                      //  For want of room
    uint64_t asked;                     //  Jobs that are not idle, ever
    uint64_t idle, idle_bytes;          //  Of the copies, those of idle jobs
    uint64_t cancelled;
    uint64_t flying, flying_bytes;      //  On their way now
    uint64_t most, most_bytes;          //  ... at any time
} umbp_shift_stats_t;

umbp_shift_stats_t umbp_shift_stats (const umbp_shift_t *self);

#endif

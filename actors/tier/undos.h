//  actors/tier/undos.h - copies of blocks that were removed meanwhile: they are in another tier of this node, or about to be,
//  and have to go from there, too. Who removed the block waits for that, and hears if it could not be done.
//
//  A copy that is on its way gets a number when its block is removed, and is removed when it has arrived. Each number is
//  open until that tier has answered; who waits has a span of numbers, and waits for those alone.
//
//  A value of its tier manager's thread. What it says runs over the manager's post.
#ifndef UMBP_UNDOS_H
#define UMBP_UNDOS_H

#include "cluster/post.h"

#define UMBP_UNDOS_MAX 2048             //  Open ones

typedef struct umbp_undos umbp_undos_t;

//  What somebody waits for
typedef struct {
    uint64_t first, last;               //  Numbers; 0: none
    bool unsafe;                        //  One could not be done: what was removed may be back
} umbp_undo_span_t;

//  Called when one could not be done
typedef void (umbp_undos_fn) (void *owner, uint64_t number);

//  tier: ours
umbp_undos_t *umbp_undos_new (umbp_post_t *post, unsigned tier, void *owner, umbp_undos_fn *failed);
void umbp_undos_destroy (umbp_undos_t **self_p);

//  One more has to be done, and the span has it. Returns its number, UMBP_UNDOS_MAX open ones at most; beyond that 0,
//  and the span is unsafe.
uint64_t umbp_undos_plan (umbp_undos_t *self, umbp_undo_span_t *span);

//  The span has this one, too
void umbp_undos_join (umbp_undo_span_t *span, uint64_t number);

//  Now is the time: blocks are removed in that tier, if the migrator brought them there, and wherever they went from there.
//  Returns 0; or an error, and that one is not open any more.
int umbp_undos_send (umbp_undos_t *self, uint64_t number, unsigned to, const umbp_column_t *keys);

//  None of the span is open any more
bool umbp_undos_are_done (const umbp_undos_t *self, const umbp_undo_span_t *span);

//  So many were sent, ever
uint64_t umbp_undos_sent (const umbp_undos_t *self);

#endif

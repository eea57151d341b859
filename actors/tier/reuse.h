//  actors/tier/reuse.h - after how long blocks are used again, learned from what is seen, and what that makes a block
//  worth. Time is counted in uses of any block. Blocks are told apart by how often they were used: classes.
//
//  Each use begins a life, which the next use of that block ends. From the ages at which lives ended, and how many
//  are old enough to have ended so, follows with which chance a block of some age is used within any further
//  time; its worth is the most hits per time that keeping it can give, over all times for which one might keep it
//  (a Gittins index). It may grow with age: a block whose next use is due soon is worth more than a new one.
//
//  A value: no allocation after umbp_reuse_new, no thread.
#ifndef UMBP_TIER_REUSE_H
#define UMBP_TIER_REUSE_H

#include <stdint.h>

#define UMBP_REUSE_CLASSES 4            //  Used once, twice, three times, oftener
#define UMBP_REUSE_AGES 96              //  Steps of age, four for each doubling, from 64 uses on
#define UMBP_REUSE_SLOTS 512            //  Stretches of time that are told apart; what is older is one

typedef struct umbp_reuse umbp_reuse_t;

umbp_reuse_t *umbp_reuse_new (void);
void umbp_reuse_destroy (umbp_reuse_t **self_p);

//  So many blocks there are: from these follow how long slots are, and how soon the past is forgotten. Returns whether
//  slots are longer than before.
int umbp_reuse_scale (umbp_reuse_t *self, uint64_t blocks);

//  Another use: returns its time, from 1 on
uint64_t umbp_reuse_tick (umbp_reuse_t *self);

uint64_t umbp_reuse_now (const umbp_reuse_t *self);

//  A life began now, or ended now that began then
void umbp_reuse_begin (umbp_reuse_t *self, unsigned kind);
void umbp_reuse_end (umbp_reuse_t *self, unsigned kind, uint64_t began);

//  Number of the slot of a time, and the oldest that is told apart: older times are in that one
uint64_t umbp_reuse_slot (const umbp_reuse_t *self, uint64_t time);
uint64_t umbp_reuse_first_slot (const umbp_reuse_t *self);

//  Uses since the middle of a slot
uint64_t umbp_reuse_age (const umbp_reuse_t *self, uint64_t slot);

//  What a block is worth whose last use was in that slot
double umbp_reuse_worth (const umbp_reuse_t *self, unsigned kind, uint64_t slot);

#endif

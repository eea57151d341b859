//  actors/tier/admit.h - what of that which leaves a tier is worth a place in the one below.
//
//    all            everything
//    second-touch   what was asked for twice: read since it came, or known from before it left the last time
//    auto           all, while blocks stay below for longer than it takes until they are asked for again; else, while
//                   more is written there than its budget allows, and in a storm (storm.h), second-touch
//
//  Whatever the rule: a block whose writer said that it is read often is admitted, one that is read once is not; and
//  what came from below is, since it is there still and costs nothing.
//
//  What left is remembered by fingerprint (ghost.h) with its time: that is how one that comes again is known, and how
//  long that took. A value: one owner, no thread, and the time is the caller's, in milliseconds.
#ifndef UMBP_ADMIT_H
#define UMBP_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#define UMBP_ADMIT_NAMES "all|second-touch|auto"

typedef struct umbp_admit umbp_admit_t;

typedef struct {
    uint64_t print;
    bool keep, once;                    //  Hints of its writer
    bool below;                         //  It came from there
    bool touched;                       //  Read since it came, or umbp_admit_came was true of it
} umbp_admit_block_t;

typedef struct {
    uint64_t refused;
    uint64_t again;                     //  Blocks that came back while they were remembered
    uint64_t reuse_ms;                  //  How long that took, about; 0: none did
    uint64_t stay_ms;                   //  How long blocks stay below, as was said last
    bool strict;                        //  second-touch is the rule now
} umbp_admit_stats_t;

//  NULL if there is no rule of that name. Remembers as many blocks as are given.
umbp_admit_t *umbp_admit_new (const char *rule, uint32_t ghosts);
void umbp_admit_destroy (umbp_admit_t **self_p);

//  A block came, from wherever. Returns whether it was here before, as far as is remembered.
bool umbp_admit_came (umbp_admit_t *self, uint64_t print, int64_t now_ms);

//  How long blocks stay below until they leave there for want of room; 0: none did yet
void umbp_admit_set_stay (umbp_admit_t *self, uint64_t stay_ms);

//  A block leaves. in_debt: more than the budget was written below, or there is a storm. Returns whether it goes there.
bool umbp_admit_leaves (umbp_admit_t *self, const umbp_admit_block_t *block, bool in_debt,
                        int64_t now_ms);

//  Whether it would, were it to leave now
bool umbp_admit_would (const umbp_admit_t *self, const umbp_admit_block_t *block, bool in_debt);

umbp_admit_stats_t umbp_admit_stats (const umbp_admit_t *self);

#endif

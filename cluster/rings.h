//  cluster/rings.h - the ring as it is, and those before it that still matter. While nodes move from one ring to the
//  next, they do not all work with the same one. Until all of them have said that they do, and that its shards know
//  every block ("settled"), two rules keep a block from being missed:
//
//      a writer   tells the owners in the ring it sees and in each one since the last that was settled, has heard
//                 from one of each before a put is done, and takes nothing back from former owners;
//      a reader   asks the owners in the ring it sees and in each one since the last that was settled.
//
//  If the reader is behind, its ring is one of the writer's, since neither can be behind a ring that was settled; if
//  the writer is behind, its ring is one of the reader's. The idea is joint consensus (Ongaro and Ousterhout, In
//  Search of an Understandable Consensus Algorithm, 2014, section 6), with one answer from each ring in place of
//  majorities: the index only remembers.
#ifndef UMBP_RINGS_H
#define UMBP_RINGS_H

#include "cluster/topology.h"

#define UMBP_PAST_MAX 6                 //  Rings before this one
#define UMBP_OWNERS_MAX (UMBP_COPIES_MAX * (UMBP_PAST_MAX + 1))

//  Rings as bits: the one that is now, and past[index]
#define UMBP_IN_NOW 1
#define UMBP_IN_PAST(index) ((uint8_t) (2 << (index)))

typedef struct {
    uint16_t member;                    //  Number in the topology as it is
    uint8_t in;                         //  The rings in which it is an owner
} umbp_owner_t;

//  All zero: none yet. A value of one thread.
typedef struct {
    umbp_topology_t *now;
    umbp_topology_t *past[UMBP_PAST_MAX];            //  Oldest first
    uint16_t *numbers[UMBP_PAST_MAX];   //  Of their members in now; NOBODY: is none any more
    size_t past_count, base;            //  past[base] was the last that was settled, if there is any past
    bool lost;                          //  There were more than fit
} umbp_rings_t;

//  There is a newer topology: takes it. Returns true if it is another ring.
bool umbp_rings_take (umbp_rings_t *self, umbp_topology_t **topology_p);

//  Whether an owner of that position in a former ring has left: it may have been the only one who had heard of a key
bool umbp_rings_bereft (const umbp_rings_t *self, uint64_t position);

//  The rings that a put has to be heard of in: the present one, and those from the base on
uint8_t umbp_rings_needed (const umbp_rings_t *self);

//  The past matters no more
void umbp_rings_forget (umbp_rings_t *self);

void umbp_rings_copy (const umbp_rings_t *self, umbp_rings_t *copy);
void umbp_rings_clear (umbp_rings_t *self);

//  Who keeps, or kept, the index entry of a key at this position, each member once: owners in the ring as it is in
//  its order, so that the first decides between two writers; then those before, latest rings first. Returns how many.
size_t umbp_rings_owners (const umbp_rings_t *self, uint64_t position, umbp_owner_t *owners);

#endif

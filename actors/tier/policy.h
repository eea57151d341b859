//  actors/tier/policy.h - which blocks leave a memory tier: a table of a few functions, so that a tier can be given
//  another policy. Items are numbers below a capacity, which the caller gives to its blocks.
//
//    lru      least recently used first, see order.h
//    clock    first in, first out; who was used meanwhile gets another round
//    s3fifo   S3-FIFO: 40 % of the blocks are on probation in a small queue, from which those that were used move
//             to the main one and the others leave. Of what left, twice as many fingerprints as there are blocks
//             are remembered, and who comes back from there is put into main at once. A use sets one bit
//    arc      ARC: used once, used oftener, and what left of either, each in its order of use; the share of the
//             former follows what comes back
//
//  In all of them the blocks of one tick leave the deepest first, so that a prefix outlives its suffix. Shares are
//  counted in blocks, not in bytes: they say how long a block may wait for its second use, and blocks that
//  leave in the order in which they came wait as long whatever their size. An engine's blocks have one size anyway.
//
//  An item that may not go when it is its turn is in use, and counts as used: it goes behind all others.
//  (lru leaves it where it is, and passes over it.) So no number of these can hide those that may go.
//
//  A value: one owner, no thread safety, never blocks, no time of its own. umbp_policy_resize alone allocates:
//  16 bytes an item, and 16 for each fingerprint; reuse 24 and 24; and umbp_policy_peek, for its own time. hit is O(1), add and remove too; victims is O(1) for each item
//  it returns, refuses, or reprieves, of which there is one for each hit at most, and UMBP_POLICY_REPRIEVES_MAX
//  in a call.
#ifndef UMBP_TIER_POLICY_H
#define UMBP_TIER_POLICY_H

#include "actors/tier/order.h"

#define UMBP_POLICY_NONE UMBP_QUEUE_NONE
#define UMBP_POLICY_CAPACITY_MAX (1u << 29)
#define UMBP_POLICY_REFUSED_MAX UMBP_ORDER_REFUSED_MAX
#define UMBP_POLICY_REPRIEVES_MAX 65536 //  In one umbp_policy_victims; after that uses do not count

//  What the writer expects of a block. A hint changes where a block begins, not the rules: a wrong one costs
//  hits, and no block can be made to stay.
typedef enum {
    UMBP_POLICY_HINT_NONE = 0,
    UMBP_POLICY_HINT_ONCE,                     //  Read once: then it goes first, and is not remembered
    UMBP_POLICY_HINT_KEEP,                     //  Read oftener: no probation
    UMBP_POLICY_HINTS
} umbp_policy_hint_t;

typedef struct {
    uint64_t ghosts;                    //  Fingerprints remembered now
    uint64_t ghost_hits;                //  Blocks that came back while they were
    uint64_t promotions;                //  Small to main; used once to used oftener
    uint64_t reprieves;                 //  Would have left, but were used
    uint64_t small;                     //  On probation, or used once, now
} umbp_policy_stats_t;

typedef struct umbp_policy umbp_policy_t;

//  A search that changes nothing notes here, in their order, whom it would have put behind all others: it comes to them
//  when it is through with those
typedef struct {
    uint32_t *items;
    size_t count, next;
} umbp_policy_aside_t;

//  What a policy does. victims: aside is NULL, or nothing is changed. The functions below say what of each.
typedef struct {
    const char *name;
    umbp_policy_t *(*make) (void);
    void (*destroy) (umbp_policy_t *self);
    int (*resize) (umbp_policy_t *self, uint32_t capacity);
    void (*add) (umbp_policy_t *self, uint32_t item, uint64_t print, uint32_t depth, uint64_t tick,
                 umbp_policy_hint_t hint);
    void (*hit) (umbp_policy_t *self, uint32_t item, uint64_t tick);
    void (*remove) (umbp_policy_t *self, uint32_t item, const uint64_t *ghost);
    size_t (*victims) (umbp_policy_t *self, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                       uint32_t *out, umbp_policy_aside_t *aside);
    uint32_t (*next) (const umbp_policy_t *self, uint32_t item);
    size_t (*count) (const umbp_policy_t *self);
    void (*stats) (const umbp_policy_t *self, umbp_policy_stats_t *stats);
} umbp_policy_ops_t;

//  Begins the state of each
struct umbp_policy {
    const umbp_policy_ops_t *ops;
};

//  A policy by its name, with room for no items; NULL if there is none of that name
umbp_policy_t *umbp_policy_new (const char *name);
void umbp_policy_destroy (umbp_policy_t **self_p);

//  Names of all, by comma; and the n-th, NULL after the last
#define UMBP_POLICY_NAMES "s3fifo|lru|clock|arc|reuse"
const char *umbp_policy_name (size_t number);

//  Make room for higher numbers. Returns 0, or UMBP_EINVAL if capacity is less than now or too high.
int umbp_policy_resize (umbp_policy_t *self, uint32_t capacity);

//  A new block, which is below the capacity and not there yet. print: a hash of its key. Ticks are the caller's,
//  one per batch; one before the newest seen counts as that.
void umbp_policy_add (umbp_policy_t *self, uint32_t item, uint64_t print, uint32_t depth,
                      uint64_t tick, umbp_policy_hint_t hint);

//  It was used
void umbp_policy_hit (umbp_policy_t *self, uint32_t item, uint64_t tick);

//  It is gone: evicted, and remembered by its print; or dropped, with NULL: then nobody shall think that it
//  might have stayed
void umbp_policy_remove (umbp_policy_t *self, uint32_t item, const uint64_t *ghost);

//  Write the items that should leave first, of those that may go, NULL meaning any, to out, which has room
//  for max; returns how many. They stay until the caller removes them; those it does not remove are among the
//  first of the next call, unless used meanwhile. Gives up after UMBP_POLICY_REFUSED_MAX refused ones; the next
//  calls go on behind these.
size_t umbp_policy_victims (umbp_policy_t *self, size_t max, umbp_order_may_go_fn *may_go,
                            void *arg, uint32_t *out);

//  What umbp_policy_victims would write if it were called now, and return. Changes nothing, so that who asks what would
//  leave has no part in it. Allocates some 256 KiB meanwhile.
size_t umbp_policy_peek (umbp_policy_t *self, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                         uint32_t *out);

//  Walk all, about in the order in which they would leave if none were used: from UMBP_POLICY_NONE, to it. Changes
//  nothing.
uint32_t umbp_policy_next (const umbp_policy_t *self, uint32_t item);

size_t umbp_policy_count (const umbp_policy_t *self);
umbp_policy_stats_t umbp_policy_stats (const umbp_policy_t *self);

//  For these: the search is through with all others, and comes to the next it put aside. False: there is none.
static inline bool umbp_policy_aside_next (umbp_policy_aside_t *self, uint32_t *item)
{
    if (!self || self->next == self->count)
        return false;
    *item = self->items[self->next++];
    return true;
}

//  The tables, each in a file of its own
extern const umbp_policy_ops_t umbp_policy_lru, umbp_policy_clock, umbp_policy_s3fifo,
    umbp_policy_arc, umbp_policy_reuse;

#endif

//  actors/tier/policy_s3fifo.c - S3-FIFO (Yang and others, SOSP 2023): a small queue for those that were not used yet, a
//  main one, and ghosts of what left the small one. See policy.h. Two constants differ from the paper's, 10 % and
//  a counter of two bits: doc/decisions.md tells why.
#include "actors/tier/ghost.h"
#include "actors/tier/policy.h"

#include <czmq.h>

#define NONE UMBP_QUEUE_NONE
#define SMALL_PERCENT 40
#define GHOSTS 2                        //  For each block
#define USED 1                          //  Bits of an item
#define ONCE 2

enum { SMALL, MAIN };

typedef struct {
    umbp_policy_t base;
    umbp_links_t links;
    umbp_queue_t queues[2];
    umbp_ghost_t ghost;
    umbp_policy_stats_t stats;
} s3fifo_t;

//  A search for victims: what is still to be looked at
typedef struct {
    uint32_t at[2];                     //  Next to look at
    uint64_t left[2];                   //  Not chosen yet
    size_t refused, reprieves;
    bool stuck;                         //  The last one of main had to stay
    umbp_policy_aside_t *aside;         //  NULL: for real
} sweep_t;

static umbp_policy_t *s_make (void)
{
    s3fifo_t *self = zmalloc (sizeof (s3fifo_t));
    umbp_queue_init (&self->queues[SMALL], &self->links);
    umbp_queue_init (&self->queues[MAIN], &self->links);
    return &self->base;
}

static void s_destroy (umbp_policy_t *base)
{
    s3fifo_t *self = (s3fifo_t *) base;
    umbp_links_free (&self->links);
    umbp_ghost_free (&self->ghost);
    free (self);
}

static int s_resize (umbp_policy_t *base, uint32_t capacity)
{
    s3fifo_t *self = (s3fifo_t *) base;
    int rc = umbp_links_resize (&self->links, capacity);
    if (rc == 0)
        umbp_ghost_resize (&self->ghost, GHOSTS * capacity);
    return rc;
}

static void s_add (umbp_policy_t *base, uint32_t item, uint64_t print, uint32_t depth,
                   uint64_t tick, umbp_policy_hint_t hint)
{
    s3fifo_t *self = (s3fifo_t *) base;
    assert (item < self->links.capacity && !umbp_links_has (&self->links, item));
    uint64_t note;
    bool back = umbp_ghost_take (&self->ghost, print, &note);
    self->stats.ghost_hits += back;
    bool proven = (back || hint == UMBP_POLICY_HINT_KEEP) && hint != UMBP_POLICY_HINT_ONCE;
    umbp_link_t *link = &self->links.at[item];
    link->depth = depth;
    link->bits = hint == UMBP_POLICY_HINT_ONCE ? ONCE : 0;
    link->place = proven ? MAIN : SMALL;
    umbp_queue_enter (&self->queues[link->place], item, tick);
}

static void s_hit (umbp_policy_t *base, uint32_t item, uint64_t tick)
{
    s3fifo_t *self = (s3fifo_t *) base;
    umbp_link_t *link = &self->links.at[item];
    (void) tick;
    if (!(link->bits & ONCE)) {
        link->bits |= USED;
        return;
    }
    umbp_queue_leave (&self->queues[link->place], item);
    link->place = SMALL;
    umbp_queue_enter_oldest (&self->queues[SMALL], item);
}

static void s_remove (umbp_policy_t *base, uint32_t item, const uint64_t *ghost)
{
    s3fifo_t *self = (s3fifo_t *) base;
    if (!umbp_links_has (&self->links, item))
        return;
    const umbp_link_t *link = &self->links.at[item];
    umbp_queue_leave (&self->queues[link->place], item);
    if (!ghost || link->place == MAIN || link->bits & ONCE)
        return;
    umbp_ghost_add (&self->ghost, *ghost, 0);
    uint64_t count = (uint64_t) self->queues[SMALL].count + self->queues[MAIN].count + 1;
    umbp_ghost_trim (&self->ghost, (uint32_t) (GHOSTS * count));
}

//  An item in small or main that is used, or must stay, goes to the newest end of main
static void s_reprieve (s3fifo_t *self, sweep_t *sweep, unsigned from, uint32_t item)
{
    umbp_link_t *link = &self->links.at[item];
    sweep->left[from]--;
    sweep->left[MAIN]++;
    if (sweep->aside) {
        sweep->aside->items[sweep->aside->count++] = item;
        return;
    }
    umbp_queue_leave (&self->queues[from], item);
    self->stats.promotions += from == SMALL;
    self->stats.reprieves++;
    link->place = MAIN;
    link->bits &= (uint8_t) ~USED;
    umbp_queue_enter_newest (&self->queues[MAIN], item);
    if (sweep->at[MAIN] == NONE)
        sweep->at[MAIN] = item;
}

//  The queue that is to shrink. If main does not let go of its oldest, small has to.
static unsigned s_side (const sweep_t *sweep)
{
    uint64_t all = sweep->left[SMALL] + sweep->left[MAIN];
    bool small =
        sweep->left[MAIN] == 0 || sweep->stuck || sweep->left[SMALL] * 100 >= all * SMALL_PERCENT;
    return small && sweep->left[SMALL] > 0 ? SMALL : MAIN;
}

//  The next of a queue, and whether it was used since it came there
static uint32_t s_take (const s3fifo_t *self, sweep_t *sweep, unsigned from, bool *used)
{
    uint32_t item = sweep->at[from];
    *used = false;
    if (item == NONE) {                 //  Of main, since some are left
        bool known = umbp_policy_aside_next (sweep->aside, &item);
        assert (known);
        return item;
    }
    sweep->at[from] = self->links.at[item].next;
    *used = self->links.at[item].bits & USED;
    return item;
}

static size_t s_victims (umbp_policy_t *base, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                         uint32_t *out, umbp_policy_aside_t *aside)
{
    s3fifo_t *self = (s3fifo_t *) base;
    umbp_queue_t *queues = self->queues;
    sweep_t sweep = { .at = { queues[SMALL].chain.oldest, queues[MAIN].chain.oldest },
                      .left = { queues[SMALL].count, queues[MAIN].count },
                      .aside = aside };
    size_t found = 0;
    while (found < max && sweep.refused < UMBP_POLICY_REFUSED_MAX
           && sweep.left[SMALL] + sweep.left[MAIN] > 0) {
        unsigned from = s_side (&sweep);
        bool used;
        uint32_t item = s_take (self, &sweep, from, &used);
        if (used && sweep.reprieves++ < UMBP_POLICY_REPRIEVES_MAX)
            s_reprieve (self, &sweep, from, item);
        else if (may_go && !may_go (arg, item)) {
            sweep.refused++;
            sweep.stuck = from == MAIN;
            s_reprieve (self, &sweep, from, item);
        } else {
            out[found++] = item;
            sweep.left[from]--;
            sweep.stuck = false;
        }
    }
    return found;
}

//  From an item on, along its queue, the first that was used, or was not
static uint32_t s_seek (const s3fifo_t *self, uint32_t item, bool used)
{
    assert (item == NONE || self->links.at);
    while (item != NONE && (bool) (self->links.at[item].bits & USED) != used)
        item = self->links.at[item].next;
    return item;
}

//  Small, then main: first those that were not used, then those that were
static uint32_t s_next (const umbp_policy_t *base, uint32_t item)
{
    const s3fifo_t *self = (const s3fifo_t *) base;
    unsigned place = item == NONE ? SMALL : self->links.at[item].place;
    bool used = item != NONE && self->links.at[item].bits & USED;
    uint32_t next = item == NONE ? self->queues[SMALL].chain.oldest : self->links.at[item].next;
    next = s_seek (self, next, used);
    while (next == NONE && (place == SMALL || !used)) {
        used = used || place == MAIN;
        place = place == SMALL ? MAIN : SMALL;
        next = s_seek (self, self->queues[place].chain.oldest, used);
    }
    return next;
}

static size_t s_count (const umbp_policy_t *base)
{
    const s3fifo_t *self = (const s3fifo_t *) base;
    return (size_t) self->queues[SMALL].count + self->queues[MAIN].count;
}

static void s_stats (const umbp_policy_t *base, umbp_policy_stats_t *stats)
{
    const s3fifo_t *self = (const s3fifo_t *) base;
    *stats = self->stats;
    stats->ghosts = self->ghost.count;
    stats->small = self->queues[SMALL].count;
}

const umbp_policy_ops_t umbp_policy_s3fifo = { "s3fifo", s_make,  s_destroy, s_resize,
                                               s_add,    s_hit,   s_remove,  s_victims,
                                               s_next,   s_count, s_stats };

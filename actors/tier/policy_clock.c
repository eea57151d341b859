//  actors/tier/policy_clock.c - CLOCK: a queue in the order in which items came, and a bit for those that were used, which
//  gives them another round. See policy.h.
#include "actors/tier/policy.h"

#include <czmq.h>

#define NONE UMBP_QUEUE_NONE
#define USED 1                          //  Bits of an item
#define ONCE 2

typedef struct {
    umbp_policy_t base;
    umbp_links_t links;
    umbp_queue_t queue;
    umbp_policy_stats_t stats;
} ring_t;

static umbp_policy_t *s_make (void)
{
    ring_t *self = zmalloc (sizeof (ring_t));
    umbp_queue_init (&self->queue, &self->links);
    return &self->base;
}

static void s_destroy (umbp_policy_t *base)
{
    ring_t *self = (ring_t *) base;
    umbp_links_free (&self->links);
    free (self);
}

static int s_resize (umbp_policy_t *base, uint32_t capacity)
{
    return umbp_links_resize (&((ring_t *) base)->links, capacity);
}

static void s_add (umbp_policy_t *base, uint32_t item, uint64_t print, uint32_t depth,
                   uint64_t tick, umbp_policy_hint_t hint)
{
    ring_t *self = (ring_t *) base;
    (void) print;
    assert (item < self->links.capacity && !umbp_links_has (&self->links, item));
    umbp_link_t *link = &self->links.at[item];
    link->depth = depth;
    link->bits = hint == UMBP_POLICY_HINT_ONCE ? ONCE : hint == UMBP_POLICY_HINT_KEEP ? USED : 0;
    umbp_queue_enter (&self->queue, item, tick);
}

static void s_hit (umbp_policy_t *base, uint32_t item, uint64_t tick)
{
    ring_t *self = (ring_t *) base;
    umbp_link_t *link = &self->links.at[item];
    (void) tick;
    if (!(link->bits & ONCE)) {
        link->bits |= USED;
        return;
    }
    umbp_queue_leave (&self->queue, item);
    umbp_queue_enter_oldest (&self->queue, item);
}

static void s_remove (umbp_policy_t *base, uint32_t item, const uint64_t *ghost)
{
    ring_t *self = (ring_t *) base;
    (void) ghost;
    if (umbp_links_has (&self->links, item))
        umbp_queue_leave (&self->queue, item);
}

//  Another round. at: the next to look at.
static void s_reprieve (ring_t *self, uint32_t item, uint32_t *at)
{
    self->stats.reprieves++;
    self->links.at[item].bits &= (uint8_t) ~USED;
    umbp_queue_leave (&self->queue, item);
    umbp_queue_enter_newest (&self->queue, item);
    if (*at == NONE)
        *at = item;
}

static size_t s_victims (umbp_policy_t *base, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                         uint32_t *out, umbp_policy_aside_t *aside)
{
    ring_t *self = (ring_t *) base;
    size_t found = 0, refused = 0, reprieves = 0;
    uint32_t at = self->queue.chain.oldest, item = NONE;
    while (found < max && refused < UMBP_POLICY_REFUSED_MAX) {
        bool back = at == NONE;
        if (back && !umbp_policy_aside_next (aside, &item))
            break;
        item = back ? item : at;
        at = back ? NONE : self->links.at[item].next;
        bool used =
            !back && self->links.at[item].bits & USED && reprieves++ < UMBP_POLICY_REPRIEVES_MAX;
        if (!used && (!may_go || may_go (arg, item))) {
            out[found++] = item;
            continue;
        }
        refused += !used;
        if (aside)
            aside->items[aside->count++] = item;
        else
            s_reprieve (self, item, &at);
    }
    return found;
}

//  First those that were not used, then those that were
static uint32_t s_next (const umbp_policy_t *base, uint32_t item)
{
    const ring_t *self = (const ring_t *) base;
    bool used = item != NONE && self->links.at[item].bits & USED;
    uint32_t next = item == NONE ? self->queue.chain.oldest : self->links.at[item].next;
    for (;;) {
        while (next != NONE && (bool) (self->links.at[next].bits & USED) != used)
            next = self->links.at[next].next;
        if (next != NONE || used)
            return next;
        used = true;
        next = self->queue.chain.oldest;
    }
}

static size_t s_count (const umbp_policy_t *base)
{
    return ((const ring_t *) base)->queue.count;
}

static void s_stats (const umbp_policy_t *base, umbp_policy_stats_t *stats)
{
    *stats = ((const ring_t *) base)->stats;
}

const umbp_policy_ops_t umbp_policy_clock = { "clock", s_make,  s_destroy, s_resize,
                                              s_add,   s_hit,   s_remove,  s_victims,
                                              s_next,  s_count, s_stats };

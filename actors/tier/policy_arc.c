//  actors/tier/policy_arc.c - ARC (Megiddo and Modha, FAST 2003): those that were used once, those that were used oftener, each
//  in its order of use, and ghosts of both. What comes back from a ghost list moves the share of the first towards
//  that list's side. See policy.h. How many blocks fit is not known here: as many as there are when one leaves.
#include "actors/tier/ghost.h"
#include "actors/tier/policy.h"

#include <czmq.h>

#define NONE UMBP_QUEUE_NONE
#define ONCE 1                          //  Bit of an item: the hint

enum { RECENT, FREQUENT };

typedef struct {
    umbp_policy_t base;
    umbp_links_t links;
    umbp_queue_t queues[2];
    umbp_ghost_t ghosts[2];
    double target;                      //  Blocks that the first queue should have
    umbp_policy_stats_t stats;
} arc_t;

static umbp_policy_t *s_make (void)
{
    arc_t *self = zmalloc (sizeof (arc_t));
    umbp_queue_init (&self->queues[RECENT], &self->links);
    umbp_queue_init (&self->queues[FREQUENT], &self->links);
    return &self->base;
}

static void s_destroy (umbp_policy_t *base)
{
    arc_t *self = (arc_t *) base;
    umbp_links_free (&self->links);
    umbp_ghost_free (&self->ghosts[RECENT]);
    umbp_ghost_free (&self->ghosts[FREQUENT]);
    free (self);
}

static int s_resize (umbp_policy_t *base, uint32_t capacity)
{
    arc_t *self = (arc_t *) base;
    int rc = umbp_links_resize (&self->links, capacity);
    if (rc == 0) {
        umbp_ghost_resize (&self->ghosts[RECENT], capacity);
        umbp_ghost_resize (&self->ghosts[FREQUENT], 2 * capacity);
    }
    return rc;
}

static uint64_t s_blocks (const arc_t *self)
{
    return (uint64_t) self->queues[RECENT].count + self->queues[FREQUENT].count;
}

//  One came back that had left this queue: its queue was too short
static void s_learn (arc_t *self, unsigned from)
{
    double ours = self->ghosts[from].count + 1, others = self->ghosts[!from].count;
    double step = others > ours ? others / ours : 1;
    double most = (double) s_blocks (self) + 1;
    self->target += from == RECENT ? step : -step;
    self->target = self->target < 0 ? 0 : self->target > most ? most : self->target;
    self->stats.ghost_hits++;
}

static void s_add (umbp_policy_t *base, uint32_t item, uint64_t print, uint32_t depth,
                   uint64_t tick, umbp_policy_hint_t hint)
{
    arc_t *self = (arc_t *) base;
    assert (item < self->links.capacity && !umbp_links_has (&self->links, item));
    bool back = false;
    uint64_t note;
    for (unsigned from = RECENT; from <= FREQUENT && !back; from++)
        if ((back = umbp_ghost_take (&self->ghosts[from], print, &note)))
            s_learn (self, from);
    umbp_link_t *link = &self->links.at[item];
    link->depth = depth;
    link->bits = hint == UMBP_POLICY_HINT_ONCE ? ONCE : 0;
    bool proven = (back || hint == UMBP_POLICY_HINT_KEEP) && hint != UMBP_POLICY_HINT_ONCE;
    link->place = proven ? FREQUENT : RECENT;
    umbp_queue_enter (&self->queues[link->place], item, tick);
}

static void s_hit (umbp_policy_t *base, uint32_t item, uint64_t tick)
{
    arc_t *self = (arc_t *) base;
    umbp_link_t *link = &self->links.at[item];
    umbp_queue_leave (&self->queues[link->place], item);
    if (link->bits & ONCE) {
        link->place = RECENT;
        umbp_queue_enter_oldest (&self->queues[RECENT], item);
        return;
    }
    self->stats.promotions += link->place == RECENT;
    link->place = FREQUENT;
    umbp_queue_enter (&self->queues[FREQUENT], item, tick);
}

static void s_remove (umbp_policy_t *base, uint32_t item, const uint64_t *ghost)
{
    arc_t *self = (arc_t *) base;
    if (!umbp_links_has (&self->links, item))
        return;
    const umbp_link_t *link = &self->links.at[item];
    uint64_t size = s_blocks (self);
    umbp_queue_leave (&self->queues[link->place], item);
    if (!ghost || link->bits & ONCE)
        return;
    umbp_ghost_add (&self->ghosts[link->place], *ghost, 0);
    uint64_t recent = self->queues[RECENT].count;
    umbp_ghost_trim (&self->ghosts[RECENT], (uint32_t) (size > recent ? size - recent : 0));
    uint64_t all = s_blocks (self) + self->ghosts[RECENT].count;
    umbp_ghost_trim (&self->ghosts[FREQUENT], (uint32_t) (2 * size > all ? 2 * size - all : 0));
}

//  It goes behind all that were used oftener
static void s_reprieve (arc_t *self, unsigned from, uint32_t item)
{
    self->stats.reprieves++;
    umbp_queue_leave (&self->queues[from], item);
    self->links.at[item].place = FREQUENT;
    umbp_queue_enter_newest (&self->queues[FREQUENT], item);
}

static size_t s_victims (umbp_policy_t *base, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                         uint32_t *out, umbp_policy_aside_t *aside)
{
    arc_t *self = (arc_t *) base;
    uint32_t at[2] = { self->queues[RECENT].chain.oldest, self->queues[FREQUENT].chain.oldest };
    uint64_t left[2] = { self->queues[RECENT].count, self->queues[FREQUENT].count };
    size_t found = 0, refused = 0;
    bool stuck = false;                 //  The last one used oftener had to stay: so one used once has to go
    while (found < max && refused < UMBP_POLICY_REFUSED_MAX && left[RECENT] + left[FREQUENT] > 0) {
        bool recent = left[FREQUENT] == 0 || stuck || (double) left[RECENT] > self->target;
        unsigned from = recent && left[RECENT] > 0 ? RECENT : FREQUENT;
        uint32_t item = at[from];
        if (item != NONE)
            at[from] = self->links.at[item].next;
        else if (!umbp_policy_aside_next (aside, &item))
            break;
        left[from]--;
        if (!may_go || may_go (arg, item)) {
            out[found++] = item;
            stuck = false;
            continue;
        }
        refused++;
        stuck = from == FREQUENT;
        left[FREQUENT]++;
        if (aside) {
            aside->items[aside->count++] = item;
            continue;
        }
        s_reprieve (self, from, item);
        if (at[FREQUENT] == NONE)
            at[FREQUENT] = item;
    }
    return found;
}

//  Those used once, then the others
static uint32_t s_next (const umbp_policy_t *base, uint32_t item)
{
    const arc_t *self = (const arc_t *) base;
    unsigned place = item == NONE ? RECENT : self->links.at[item].place;
    uint32_t next = item == NONE ? self->queues[RECENT].chain.oldest : self->links.at[item].next;
    return next == NONE && place == RECENT ? self->queues[FREQUENT].chain.oldest : next;
}

static size_t s_count (const umbp_policy_t *base)
{
    return s_blocks ((const arc_t *) base);
}

static void s_stats (const umbp_policy_t *base, umbp_policy_stats_t *stats)
{
    const arc_t *self = (const arc_t *) base;
    *stats = self->stats;
    stats->ghosts = (uint64_t) self->ghosts[RECENT].count + self->ghosts[FREQUENT].count;
    stats->small = self->queues[RECENT].count;
}

const umbp_policy_ops_t umbp_policy_arc = { "arc",    s_make,    s_destroy, s_resize, s_add,  s_hit,
                                            s_remove, s_victims, s_next,    s_count,  s_stats };

//  actors/tier/policy_reuse.c - the block leaves that is worth least by what reuse.c has learned. Blocks of a class are in a
//  queue in the order of their last use, and each slot of time is a stretch of it, whose blocks are worth the
//  same: the oldest stretch of the least worth leaves first. See policy.h.
#include "actors/tier/ghost.h"
#include "actors/tier/policy.h"
#include "actors/tier/reuse.h"

#include <czmq.h>
#include <math.h>

#define NONE UMBP_QUEUE_NONE
#define GHOSTS 4                        //  For each block
#define SPENT UMBP_REUSE_CLASSES        //  Another queue: read, and not to be read again
#define HELD (UMBP_REUSE_CLASSES + 1)   //  Another: could not go when it was its turn
#define QUEUES (UMBP_REUSE_CLASSES + 2)
#define SLOTS UMBP_REUSE_SLOTS
#define HOLD 64                         //  Blocks that leave one slot before the others are looked at again
#define ONCE 1                          //  Bit of an item: the hint
#define KIND_SHIFT 1                    //  Above it: the class of one that is held
#define HELD_USES 4                     //  Looked at again after a use for each so many blocks

typedef struct {
    umbp_policy_t base;
    umbp_links_t links;
    uint64_t *lasts;                    //  By item: time of the last use, that of the first in its tick
    umbp_queue_t queues[QUEUES];
    uint32_t heads[QUEUES][SLOTS];      //  Oldest item of each slot, or NONE
    uint64_t firsts[QUEUES];            //  Slots before this one were joined to it
    umbp_ghost_t ghost;
    umbp_reuse_t *reuse;
    uint64_t tick, tick_time;
    unsigned best_queue;                //  From where blocks leave, and how many more
    uint64_t best_slot;
    int held;
    umbp_policy_stats_t stats;
} policy_t;

static umbp_policy_t *s_make (void)
{
    policy_t *self = zmalloc (sizeof (policy_t));
    for (unsigned queue = 0; queue < QUEUES; queue++)
        umbp_queue_init (&self->queues[queue], &self->links);
    memset (self->heads, 0xff, sizeof self->heads);
    self->ghost.noted = true;
    self->reuse = umbp_reuse_new ();
    return &self->base;
}

static void s_destroy (umbp_policy_t *base)
{
    policy_t *self = (policy_t *) base;
    umbp_links_free (&self->links);
    umbp_ghost_free (&self->ghost);
    umbp_reuse_destroy (&self->reuse);
    free (self->lasts);
    free (self);
}

static int s_resize (umbp_policy_t *base, uint32_t capacity)
{
    policy_t *self = (policy_t *) base;
    int rc = umbp_links_resize (&self->links, capacity);
    if (rc < 0)
        return rc;
    self->lasts = realloc (self->lasts, ((size_t) capacity + 1) * sizeof *self->lasts);
    assert (self->lasts);
    umbp_ghost_resize (&self->ghost, GHOSTS * capacity);
    return 0;
}

static uint64_t s_count_all (const policy_t *self)
{
    uint64_t count = 0;
    for (unsigned queue = 0; queue < QUEUES; queue++)
        count += self->queues[queue].count;
    return count;
}

//  ------------------------------------------------------------------------------------------------
//  Stretches of a queue

static uint64_t s_slot (const policy_t *self, uint32_t item)
{
    return umbp_reuse_slot (self->reuse, self->lasts[item]);
}

static uint32_t *s_head (policy_t *self, unsigned queue, uint64_t slot)
{
    return &self->heads[queue][slot % SLOTS];
}

//  Slots that are not told apart any more become one with the first that is
static void s_join_old (policy_t *self, unsigned queue)
{
    uint64_t first = umbp_reuse_first_slot (self->reuse);
    uint64_t from = self->firsts[queue];
    if (first == from)
        return;
    self->firsts[queue] = first;
    uint64_t until = first - from < SLOTS ? first : from + SLOTS;
    for (uint64_t slot = from; slot < until; slot++)
        *s_head (self, queue, slot) = NONE;
    uint32_t oldest = self->queues[queue].chain.oldest;
    if (oldest != NONE)
        *s_head (self, queue, s_slot (self, oldest)) = oldest;
}

static void s_leave (policy_t *self, uint32_t item)
{
    const umbp_link_t *link = &self->links.at[item];
    unsigned queue = link->place;
    s_join_old (self, queue);
    uint64_t slot = s_slot (self, item);
    uint32_t *head = s_head (self, queue, slot), next = link->next;
    if (*head == item)
        *head = next != NONE && s_slot (self, next) == slot ? next : NONE;
    umbp_queue_leave (&self->queues[queue], item);
}

//  Enter an item that was used at a time; behind all others if it is not of a tick. Times never go back along a queue.
static void s_enter (policy_t *self, uint32_t item, unsigned queue, uint64_t time, bool ticked)
{
    umbp_link_t *link = &self->links.at[item];
    s_join_old (self, queue);
    link->place = (uint8_t) queue;
    if (ticked)
        umbp_queue_enter (&self->queues[queue], item, self->tick);
    else
        umbp_queue_enter_newest (&self->queues[queue], item);
    if (link->next != NONE && self->lasts[link->next] < time)
        time = self->lasts[link->next];
    if (link->prev != NONE && self->lasts[link->prev] > time)
        time = self->lasts[link->prev];
    self->lasts[item] = time;
    uint64_t slot = s_slot (self, item);
    if (link->prev == NONE || s_slot (self, link->prev) != slot)
        *s_head (self, queue, slot) = item;
}

//  Slots are longer now: find the first of each again
static void s_find_heads (policy_t *self)
{
    memset (self->heads, 0xff, sizeof self->heads);
    self->held = 0;
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        self->firsts[queue] = umbp_reuse_first_slot (self->reuse);
        uint32_t item = self->queues[queue].chain.newest;
        for (; item != NONE; item = self->links.at[item].prev)
            *s_head (self, queue, s_slot (self, item)) = item;
    }
}

//  ------------------------------------------------------------------------------------------------
//  Uses

//  An item was used, for the first time that is known or after others: a life begins
static void s_use (policy_t *self, uint32_t item, unsigned queue, uint64_t now, uint64_t tick)
{
    if (tick > self->tick || self->tick_time == 0) {
        self->tick = tick > self->tick ? tick : self->tick;
        self->tick_time = now;
    }
    if (queue < SPENT)
        umbp_reuse_begin (self->reuse, queue);
    s_enter (self, item, queue, self->tick_time, true);
}

//  How often an item was used
static unsigned s_kind (const umbp_link_t *link)
{
    return link->place < SPENT ? link->place : link->bits >> KIND_SHIFT;
}

static unsigned s_after (unsigned kind)
{
    return kind + 1 < UMBP_REUSE_CLASSES ? kind + 1 : kind;
}

static void s_add (umbp_policy_t *base, uint32_t item, uint64_t print, uint32_t depth,
                   uint64_t tick, umbp_policy_hint_t hint)
{
    policy_t *self = (policy_t *) base;
    assert (item < self->links.capacity && !umbp_links_has (&self->links, item));
    if (umbp_reuse_scale (self->reuse, s_count_all (self) + 1))
        s_find_heads (self);
    uint64_t now = umbp_reuse_tick (self->reuse), note;
    unsigned kind = hint == UMBP_POLICY_HINT_KEEP ? 1 : 0;
    if (umbp_ghost_take (&self->ghost, print, &note)) {
        unsigned before = (unsigned) (note % UMBP_REUSE_CLASSES);
        umbp_reuse_end (self->reuse, before, note / UMBP_REUSE_CLASSES);
        kind = s_after (before);
        self->stats.ghost_hits++;
    }
    umbp_link_t *link = &self->links.at[item];
    link->depth = depth;
    link->bits = hint == UMBP_POLICY_HINT_ONCE ? ONCE : 0;
    s_use (self, item, kind, now, tick);
}

static void s_hit (umbp_policy_t *base, uint32_t item, uint64_t tick)
{
    policy_t *self = (policy_t *) base;
    const umbp_link_t *link = &self->links.at[item];
    uint64_t now = umbp_reuse_tick (self->reuse);
    unsigned kind = link->place;
    s_leave (self, item);
    if (kind < SPENT)
        umbp_reuse_end (self->reuse, kind, self->lasts[item]);
    else
        kind = s_kind (link);           //  When it was used last is not known any more
    self->stats.promotions += kind == 0;
    if (link->bits & ONCE)
        self->held = 0;                 //  It goes before what is leaving now
    s_use (self, item, link->bits & ONCE ? SPENT : s_after (kind), now, tick);
}

static void s_remove (umbp_policy_t *base, uint32_t item, const uint64_t *ghost)
{
    policy_t *self = (policy_t *) base;
    if (!umbp_links_has (&self->links, item))
        return;
    const umbp_link_t *link = &self->links.at[item];
    s_leave (self, item);
    if (!ghost || link->bits & ONCE)
        return;
    umbp_ghost_add (&self->ghost, *ghost, self->lasts[item] * UMBP_REUSE_CLASSES + s_kind (link));
    umbp_ghost_trim (&self->ghost, (uint32_t) (GHOSTS * (s_count_all (self) + 1)));
}

//  ------------------------------------------------------------------------------------------------
//  Victims

//  One that could not go is looked at after all others, until some time has passed
static double s_worth (const policy_t *self, unsigned queue, uint64_t slot)
{
    if (queue == SPENT)
        return -1;
    if (queue < SPENT)
        return umbp_reuse_worth (self->reuse, queue, slot);
    bool early = slot + 1 >= umbp_reuse_slot (self->reuse, umbp_reuse_now (self->reuse))
                 || umbp_reuse_age (self->reuse, slot) < s_count_all (self) / HELD_USES;
    return early ? INFINITY : -1;
}

//  Find the stretch of least worth: of equal ones that of the class used least, then the oldest. Returns false if all were looked at.
static bool s_find_best (policy_t *self, uint32_t at[QUEUES][SLOTS])
{
    double least = 0;
    bool found = false;
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        s_join_old (self, queue);
        uint64_t last = self->firsts[queue] + SLOTS;
        for (uint64_t slot = self->firsts[queue]; slot < last; slot++) {
            if (at[queue][slot % SLOTS] == NONE)
                continue;
            double worth = s_worth (self, queue, slot);
            if (found && worth >= least)
                continue;
            found = true;
            least = worth;
            self->best_queue = queue;
            self->best_slot = slot;
        }
    }
    self->held = HOLD;
    return found;
}

static void s_put_aside (policy_t *self, uint32_t item)
{
    umbp_link_t *link = &self->links.at[item];
    unsigned kind = s_kind (link);
    s_leave (self, item);
    link->bits = (uint8_t) (kind << KIND_SHIFT | (link->bits & ONCE));
    s_enter (self, item, HELD, umbp_reuse_now (self->reuse), false);
}

static size_t s_search (policy_t *self, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                        uint32_t *out, bool peeks)
{
    uint32_t at[QUEUES][SLOTS];
    size_t found = 0, refused = 0;
    for (unsigned queue = 0; queue < QUEUES; queue++)
        s_join_old (self, queue);
    memcpy (at, self->heads, sizeof at);
    while (found < max && refused < UMBP_POLICY_REFUSED_MAX) {
        uint32_t *next = &at[self->best_queue][self->best_slot % SLOTS];
        bool known = self->held > 0 && self->best_slot >= self->firsts[self->best_queue];
        if (!known || *next == NONE) {
            if (!s_find_best (self, at))
                break;
            next = &at[self->best_queue][self->best_slot % SLOTS];
        }
        uint32_t item = *next, after = self->links.at[item].next;
        *next = after != NONE && s_slot (self, after) == self->best_slot ? after : NONE;
        self->held--;
        if (!may_go || may_go (arg, item)) {
            out[found++] = item;
            continue;
        }
        refused++;
        if (peeks)
            continue;
        self->stats.reprieves++;
        s_put_aside (self, item);
    }
    return found;
}

//  Nobody is looked at twice. From where blocks leave is as before if nothing shall change.
static size_t s_victims (umbp_policy_t *base, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                         uint32_t *out, umbp_policy_aside_t *aside)
{
    policy_t *self = (policy_t *) base;
    unsigned queue = self->best_queue;
    uint64_t slot = self->best_slot;
    int held = self->held;
    size_t found = s_search (self, max, may_go, arg, out, aside != NULL);
    if (aside) {
        self->best_queue = queue;
        self->best_slot = slot;
        self->held = held;
    }
    return found;
}

//  ------------------------------------------------------------------------------------------------
//  The rest

//  Those used once, twice and so on
static uint32_t s_next (const umbp_policy_t *base, uint32_t item)
{
    const policy_t *self = (const policy_t *) base;
    unsigned queue = item == NONE ? 0 : self->links.at[item].place;
    uint32_t next = item == NONE ? self->queues[0].chain.oldest : self->links.at[item].next;
    while (next == NONE && ++queue < QUEUES)
        next = self->queues[queue].chain.oldest;
    return next;
}

static size_t s_count (const umbp_policy_t *base)
{
    return s_count_all ((const policy_t *) base);
}

static void s_stats (const umbp_policy_t *base, umbp_policy_stats_t *stats)
{
    const policy_t *self = (const policy_t *) base;
    *stats = self->stats;
    stats->ghosts = self->ghost.count;
    stats->small = self->queues[0].count;
}

const umbp_policy_ops_t umbp_policy_reuse = { "reuse", s_make,  s_destroy, s_resize,
                                              s_add,   s_hit,   s_remove,  s_victims,
                                              s_next,  s_count, s_stats };

//  actors/tier/policy.c - policies by name, and LRU, which is order.c behind the same table
#include "actors/tier/policy.h"
#include "proto/error.h"

#include <czmq.h>

static const umbp_policy_ops_t *const s_policies[] = { &umbp_policy_s3fifo, &umbp_policy_lru,
                                                       &umbp_policy_clock, &umbp_policy_arc,
                                                       &umbp_policy_reuse };

#define ASIDE_MAX (UMBP_POLICY_REPRIEVES_MAX + UMBP_POLICY_REFUSED_MAX)
#define POLICIES (sizeof s_policies / sizeof *s_policies)

const char *umbp_policy_name (size_t number)
{
    return number < POLICIES ? s_policies[number]->name : NULL;
}

umbp_policy_t *umbp_policy_new (const char *name)
{
    for (size_t number = 0; number < POLICIES; number++)
        if (streq (s_policies[number]->name, name)) {
            umbp_policy_t *self = s_policies[number]->make ();
            self->ops = s_policies[number];
            return self;
        }
    return NULL;
}

void umbp_policy_destroy (umbp_policy_t **self_p)
{
    assert (self_p);
    if (*self_p)
        (*self_p)->ops->destroy (*self_p);
    *self_p = NULL;
}

int umbp_policy_resize (umbp_policy_t *self, uint32_t capacity)
{
    return capacity > UMBP_POLICY_CAPACITY_MAX ? UMBP_EINVAL : self->ops->resize (self, capacity);
}

void umbp_policy_add (umbp_policy_t *self, uint32_t item, uint64_t print, uint32_t depth,
                      uint64_t tick, umbp_policy_hint_t hint)
{
    self->ops->add (self, item, print, depth, tick, hint);
}

void umbp_policy_hit (umbp_policy_t *self, uint32_t item, uint64_t tick)
{
    self->ops->hit (self, item, tick);
}

void umbp_policy_remove (umbp_policy_t *self, uint32_t item, const uint64_t *ghost)
{
    self->ops->remove (self, item, ghost);
}

size_t umbp_policy_victims (umbp_policy_t *self, size_t max, umbp_order_may_go_fn *may_go,
                            void *arg, uint32_t *out)
{
    return self->ops->victims (self, max, may_go, arg, out, NULL);
}

size_t umbp_policy_peek (umbp_policy_t *self, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                         uint32_t *out)
{
    umbp_policy_aside_t aside = { NULL, 0, 0 };
    aside.items = malloc (ASIDE_MAX * sizeof *aside.items);
    assert (aside.items);
    size_t count = self->ops->victims (self, max, may_go, arg, out, &aside);
    free (aside.items);
    return count;
}

uint32_t umbp_policy_next (const umbp_policy_t *self, uint32_t item)
{
    return self->ops->next (self, item);
}

size_t umbp_policy_count (const umbp_policy_t *self)
{
    return self->ops->count (self);
}

umbp_policy_stats_t umbp_policy_stats (const umbp_policy_t *self)
{
    umbp_policy_stats_t stats = { 0 };
    self->ops->stats (self, &stats);
    return stats;
}

//  ------------------------------------------------------------------------------------------------
//  lru

typedef struct {
    umbp_policy_t base;
    umbp_order_t *order;
    uint8_t *once;                      //  By item: the hint
    uint32_t capacity;
} lru_t;

static umbp_policy_t *s_make (void)
{
    lru_t *self = zmalloc (sizeof (lru_t));
    self->order = umbp_order_new (0);
    return &self->base;
}

static void s_destroy (umbp_policy_t *base)
{
    lru_t *self = (lru_t *) base;
    umbp_order_destroy (&self->order);
    free (self->once);
    free (self);
}

static int s_resize (umbp_policy_t *base, uint32_t capacity)
{
    lru_t *self = (lru_t *) base;
    int rc = umbp_order_resize (self->order, capacity);
    if (rc < 0 || capacity == self->capacity)
        return rc;
    self->once = realloc (self->once, capacity);
    assert (self->once);
    memset (self->once + self->capacity, 0, capacity - self->capacity);
    self->capacity = capacity;
    return 0;
}

static void s_add (umbp_policy_t *base, uint32_t item, uint64_t print, uint32_t depth,
                   uint64_t tick, umbp_policy_hint_t hint)
{
    lru_t *self = (lru_t *) base;
    (void) print;
    assert (item < self->capacity);
    self->once[item] = hint == UMBP_POLICY_HINT_ONCE;
    umbp_order_touch (self->order, item, depth, tick);
}

static void s_hit (umbp_policy_t *base, uint32_t item, uint64_t tick)
{
    lru_t *self = (lru_t *) base;
    uint32_t depth = umbp_order_depth (self->order, item);
    if (self->once[item])
        umbp_order_age (self->order, item, depth);
    else
        umbp_order_touch (self->order, item, depth, tick);
}

static void s_remove (umbp_policy_t *base, uint32_t item, const uint64_t *ghost)
{
    (void) ghost;
    umbp_order_remove (((lru_t *) base)->order, item);
}

static size_t s_victims (umbp_policy_t *base, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                         uint32_t *out, umbp_policy_aside_t *aside)
{
    umbp_order_t *order = ((lru_t *) base)->order;
    return aside ? umbp_order_peek (order, max, may_go, arg, out)
                 : umbp_order_victims (order, max, may_go, arg, out);
}

static uint32_t s_next (const umbp_policy_t *base, uint32_t item)
{
    const umbp_order_t *order = ((const lru_t *) base)->order;
    return item == UMBP_POLICY_NONE ? umbp_order_first (order) : umbp_order_after (order, item);
}

static size_t s_count (const umbp_policy_t *base)
{
    return umbp_order_count (((const lru_t *) base)->order);
}

static void s_stats (const umbp_policy_t *base, umbp_policy_stats_t *stats)
{
    (void) base;
    (void) stats;
}

const umbp_policy_ops_t umbp_policy_lru = { "lru",    s_make,    s_destroy, s_resize, s_add,  s_hit,
                                            s_remove, s_victims, s_next,    s_count,  s_stats };

//  actors/tier/order.c - eviction order: a list through an array, and where its newest tick begins
#include "actors/tier/order.h"
#include "proto/error.h"

#include <czmq.h>

#define NONE UINT32_MAX                 //  No item
#define ABSENT (UINT32_MAX - 1)         //  As prev: the item is not in the order
#define LATEST_DEPTHS 1024              //  Depths further apart than this share an entry
#define RESUMES_MAX 64                  //  Searches for victims that start behind refused items

typedef struct {
    uint32_t prev, next;                //  Towards the oldest, towards the newest
    uint32_t depth;
} item_t;

//  The last touched of the items of one depth in the newest tick, which is the last of them in
//  the list
typedef struct {
    uint64_t tick;
    uint32_t item;
} latest_t;

struct umbp_order {
    item_t *items;
    uint32_t capacity, count;
    uint32_t oldest, newest;
    uint64_t tick;                      //  The newest
    uint32_t group;                     //  Its oldest item, all from here on are its, or NONE
    uint32_t finger;                    //  In the group: the last touched, or one next to it
    latest_t latest[LATEST_DEPTHS];     //  By depth; those of another tick mean nothing
    uint32_t resume;                    //  Where to look for victims, or NONE for the oldest
    unsigned resumes;                   //  How many more calls may start there
};

static void s_clear (item_t *items, uint32_t first, uint32_t last)
{
    for (uint32_t item = first; item < last; item++)
        items[item].prev = ABSENT;
}

umbp_order_t *umbp_order_new (uint32_t capacity)
{
    if (capacity > UMBP_ORDER_CAPACITY_MAX)
        return NULL;
    umbp_order_t *self = zmalloc (sizeof (umbp_order_t));
    self->oldest = self->newest = self->group = self->finger = self->resume = NONE;
    for (size_t depth = 0; depth < LATEST_DEPTHS; depth++)
        self->latest[depth].item = NONE;
    int rc = umbp_order_resize (self, capacity);
    assert (rc == 0);
    return self;
}

void umbp_order_destroy (umbp_order_t **self_p)
{
    assert (self_p);
    if (!*self_p)
        return;
    free ((*self_p)->items);
    freen (*self_p);
}

int umbp_order_resize (umbp_order_t *self, uint32_t capacity)
{
    if (capacity < self->capacity || capacity > UMBP_ORDER_CAPACITY_MAX)
        return UMBP_EINVAL;
    if (capacity == self->capacity)
        return 0;
    item_t *items = zmalloc (capacity * sizeof (item_t));
    if (self->capacity)
        memcpy (items, self->items, self->capacity * sizeof (item_t));
    s_clear (items, self->capacity, capacity);
    free (self->items);
    self->items = items;
    self->capacity = capacity;
    return 0;
}

static latest_t *s_latest (umbp_order_t *self, uint32_t depth)
{
    return &self->latest[depth % LATEST_DEPTHS];
}

static void s_unlink (umbp_order_t *self, uint32_t item)
{
    uint32_t prev = self->items[item].prev, next = self->items[item].next;
    uint32_t depth = self->items[item].depth;
    latest_t *latest = s_latest (self, depth);
    if (latest->item == item) {
        bool same = self->group != item && prev != NONE && self->items[prev].depth == depth;
        latest->item = same ? prev : NONE;
    }
    if (self->finger == item)
        self->finger = self->group == item ? next : prev;
    if (self->group == item)
        self->group = next;
    if (self->resume == item)
        self->resume = next;
    if (prev == NONE)
        self->oldest = next;
    else
        self->items[prev].next = next;
    if (next == NONE)
        self->newest = prev;
    else
        self->items[next].prev = prev;
    self->items[item].prev = ABSENT;
    self->count--;
}

//  Enter an item on the older side of another, or as the newest if that is NONE
static void s_link (umbp_order_t *self, uint32_t item, uint32_t next)
{
    uint32_t prev = next == NONE ? self->newest : self->items[next].prev;
    self->items[item].prev = prev;
    self->items[item].next = next;
    if (prev == NONE)
        self->oldest = item;
    else
        self->items[prev].next = item;
    if (next == NONE)
        self->newest = item;
    else
        self->items[next].prev = item;
    if (self->group == next)            //  It comes first in the group, or is all of it
        self->group = item;
    self->finger = item;
    *s_latest (self, self->items[item].depth) = (latest_t) { self->tick, item };
    self->count++;
}

//  The item of the newest group that one of this depth comes right before, or NONE for its end
static uint32_t s_place (umbp_order_t *self, uint32_t depth)
{
    const item_t *items = self->items;
    if (self->group == NONE || depth <= items[self->newest].depth)
        return NONE;
    if (depth > items[self->group].depth)
        return self->group;
    const latest_t *latest = s_latest (self, depth);
    if (latest->tick == self->tick && latest->item != NONE && items[latest->item].depth == depth)
        return items[latest->item].next;
    uint32_t at = self->finger;
    bool older = items[at].depth < depth;
    for (int steps = 0; steps < UMBP_ORDER_SEARCH_MAX; steps++) {
        if (older) {
            if (at == self->group || items[items[at].prev].depth >= depth)
                break;
            at = items[at].prev;
        } else {
            if (at == NONE || items[at].depth < depth)
                break;
            at = items[at].next;
        }
    }
    return at;
}

int umbp_order_touch (umbp_order_t *self, uint32_t item, uint32_t depth, uint64_t tick)
{
    if (item >= self->capacity)
        return UMBP_EINVAL;
    if (self->items[item].prev != ABSENT)
        s_unlink (self, item);
    if (tick > self->tick) {
        self->tick = tick;
        self->group = self->finger = NONE;
    }
    self->items[item].depth = depth;
    s_link (self, item, s_place (self, depth));
    return 0;
}

int umbp_order_remove (umbp_order_t *self, uint32_t item)
{
    if (item >= self->capacity)
        return UMBP_EINVAL;
    if (self->items[item].prev == ABSENT)
        return UMBP_ENOENT;
    s_unlink (self, item);
    return 0;
}

size_t umbp_order_victims (umbp_order_t *self, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                           uint32_t *out)
{
    if (self->resumes == 0)
        self->resume = NONE;
    else
        self->resumes--;
    uint32_t at = self->resume == NONE ? self->oldest : self->resume;
    size_t found = 0, refused = 0;
    for (; at != NONE && found < max && refused < UMBP_ORDER_REFUSED_MAX;
         at = self->items[at].next) {
        if (!may_go || may_go (arg, at))
            out[found++] = at;
        else
            refused++;
    }
    if (refused == UMBP_ORDER_REFUSED_MAX) {
        self->resume = at;
        self->resumes = RESUMES_MAX;
    } else if (at == NONE)
        self->resume = NONE;
    return found;
}

size_t umbp_order_count (const umbp_order_t *self)
{
    return self->count;
}

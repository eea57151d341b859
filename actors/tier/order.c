//  actors/tier/order.c - eviction order, least recently used first: a queue, and where the search for victims goes on
#include "actors/tier/order.h"
#include "proto/error.h"

#include <czmq.h>

#define NONE UMBP_QUEUE_NONE
#define RESUMES_MAX 64                  //  Searches for victims that start behind refused items

struct umbp_order {
    umbp_links_t links;
    umbp_queue_t queue;
    uint32_t resume;                    //  Where to look for victims, or NONE for the oldest
    unsigned resumes;                   //  How many more calls may start there
};

umbp_order_t *umbp_order_new (uint32_t capacity)
{
    if (capacity > UMBP_ORDER_CAPACITY_MAX)
        return NULL;
    umbp_order_t *self = zmalloc (sizeof (umbp_order_t));
    umbp_queue_init (&self->queue, &self->links);
    self->resume = NONE;
    int rc = umbp_links_resize (&self->links, capacity);
    assert (rc == 0);
    return self;
}

void umbp_order_destroy (umbp_order_t **self_p)
{
    assert (self_p);
    if (!*self_p)
        return;
    umbp_links_free (&(*self_p)->links);
    freen (*self_p);
}

int umbp_order_resize (umbp_order_t *self, uint32_t capacity)
{
    return umbp_links_resize (&self->links, capacity);
}

static void s_leave (umbp_order_t *self, uint32_t item)
{
    if (self->resume == item)
        self->resume = self->links.at[item].next;
    umbp_queue_leave (&self->queue, item);
}

int umbp_order_touch (umbp_order_t *self, uint32_t item, uint32_t depth, uint64_t tick)
{
    if (item >= self->links.capacity)
        return UMBP_EINVAL;
    if (umbp_links_has (&self->links, item))
        s_leave (self, item);
    self->links.at[item].depth = depth;
    umbp_queue_enter (&self->queue, item, tick);
    return 0;
}

int umbp_order_age (umbp_order_t *self, uint32_t item, uint32_t depth)
{
    if (item >= self->links.capacity)
        return UMBP_EINVAL;
    if (umbp_links_has (&self->links, item))
        s_leave (self, item);
    self->links.at[item].depth = depth;
    umbp_queue_enter_oldest (&self->queue, item);
    return 0;
}

int umbp_order_remove (umbp_order_t *self, uint32_t item)
{
    if (item >= self->links.capacity)
        return UMBP_EINVAL;
    if (!umbp_links_has (&self->links, item))
        return UMBP_ENOENT;
    s_leave (self, item);
    return 0;
}

size_t umbp_order_victims (umbp_order_t *self, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                           uint32_t *out)
{
    if (self->resumes == 0)
        self->resume = NONE;
    else
        self->resumes--;
    uint32_t at = self->resume == NONE ? self->queue.oldest : self->resume;
    size_t found = 0, refused = 0;
    for (; at != NONE && found < max && refused < UMBP_ORDER_REFUSED_MAX;
         at = self->links.at[at].next) {
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

uint32_t umbp_order_first (const umbp_order_t *self)
{
    return self->queue.oldest;
}

uint32_t umbp_order_after (const umbp_order_t *self, uint32_t item)
{
    return self->links.at[item].next;
}

uint32_t umbp_order_depth (const umbp_order_t *self, uint32_t item)
{
    return self->links.at[item].depth;
}

size_t umbp_order_count (const umbp_order_t *self)
{
    return self->queue.count;
}

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

typedef struct {
    uint32_t at;                        //  Next to look at
    size_t found, refused;
} search_t;

static search_t s_search (const umbp_order_t *self, size_t max, umbp_order_may_go_fn *may_go,
                          void *arg, uint32_t *out)
{
    bool resumes = self->resumes > 0 && self->resume != NONE;
    search_t search = { resumes ? self->resume : self->queue.chain.oldest, 0, 0 };
    while (search.at != NONE && search.found < max && search.refused < UMBP_ORDER_REFUSED_MAX) {
        if (!may_go || may_go (arg, search.at))
            out[search.found++] = search.at;
        else
            search.refused++;
        search.at = self->links.at[search.at].next;
    }
    return search;
}

size_t umbp_order_peek (const umbp_order_t *self, size_t max, umbp_order_may_go_fn *may_go,
                        void *arg, uint32_t *out)
{
    return s_search (self, max, may_go, arg, out).found;
}

size_t umbp_order_victims (umbp_order_t *self, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                           uint32_t *out)
{
    search_t search = s_search (self, max, may_go, arg, out);
    if (self->resumes == 0)
        self->resume = NONE;
    else
        self->resumes--;
    if (search.refused == UMBP_ORDER_REFUSED_MAX) {
        self->resume = search.at;
        self->resumes = RESUMES_MAX;
    } else if (search.at == NONE)
        self->resume = NONE;
    return search.found;
}

uint32_t umbp_order_first (const umbp_order_t *self)
{
    return self->queue.chain.oldest;
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

//  actors/tier/queue.c - lists, and where the newest group of each begins. See queue.h.
#include "actors/tier/queue.h"

#include <czmq.h>

#define NONE UMBP_QUEUE_NONE

void umbp_queue_init (umbp_queue_t *self, umbp_links_t *links)
{
    *self = (umbp_queue_t){ .links = links,
                            .chain = UMBP_CHAIN_EMPTY,
                             .group = NONE, .finger = NONE, .number = 1 };
}

static umbp_latest_t *s_latest (umbp_queue_t *self, uint32_t depth)
{
    return &self->latest[depth % UMBP_QUEUE_DEPTHS];
}

//  Enter an item on the older side of another, or as the newest if that is NONE
static void s_link (umbp_queue_t *self, uint32_t item, uint32_t next)
{
    umbp_chain_enter (&self->chain, self->links, item, next);
    self->count++;
}

//  Begin another group: what is in the queue stays before what comes
static void s_close_group (umbp_queue_t *self)
{
    self->group = self->finger = NONE;
    self->number++;
}

//  The item of the newest group that one of this depth comes right before, or NONE for its end
static uint32_t s_place (umbp_queue_t *self, uint32_t depth)
{
    const umbp_link_t *items = self->links->at;
    if (self->group == NONE || depth <= items[self->chain.newest].depth)
        return NONE;
    if (depth > items[self->group].depth)
        return self->group;
    const umbp_latest_t *latest = s_latest (self, depth);
    if (latest->group == self->number && latest->item != NONE && items[latest->item].depth == depth)
        return items[latest->item].next;
    uint32_t at = self->finger;
    bool older = items[at].depth < depth;
    for (int steps = 0; steps < UMBP_QUEUE_SEARCH_MAX; steps++) {
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

void umbp_queue_enter (umbp_queue_t *self, uint32_t item, uint64_t tick)
{
    if (tick > self->tick) {
        self->tick = tick;
        s_close_group (self);
    }
    uint32_t depth = self->links->at[item].depth, next = s_place (self, depth);
    s_link (self, item, next);
    if (self->group == next)            //  It comes first in the group, or is all of it
        self->group = item;
    self->finger = item;
    *s_latest (self, depth) = (umbp_latest_t) { self->number, item };
}

void umbp_queue_enter_newest (umbp_queue_t *self, uint32_t item)
{
    s_close_group (self);
    s_link (self, item, NONE);
}

void umbp_queue_enter_oldest (umbp_queue_t *self, uint32_t item)
{
    s_link (self, item, self->chain.oldest);
}

void umbp_queue_leave (umbp_queue_t *self, uint32_t item)
{
    const umbp_link_t *at = self->links->at;
    uint32_t prev = at[item].prev, next = at[item].next, depth = at[item].depth;
    umbp_latest_t *latest = s_latest (self, depth);
    if (latest->item == item) {
        bool same = self->group != item && prev != NONE && at[prev].depth == depth;
        latest->item = same ? prev : NONE;
    }
    if (self->finger == item)
        self->finger = self->group == item ? next : prev;
    if (self->group == item)
        self->group = next;
    umbp_chain_leave (&self->chain, self->links, item);
    self->count--;
}

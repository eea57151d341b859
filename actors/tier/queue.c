//  actors/tier/queue.c - lists through an array, and where the newest group of each begins. See queue.h.
#include "actors/tier/queue.h"
#include "proto/error.h"

#include <czmq.h>

#define NONE UMBP_QUEUE_NONE
#define ABSENT (UINT32_MAX - 1)         //  As prev: the item is in no queue

int umbp_links_resize (umbp_links_t *self, uint32_t capacity)
{
    if (capacity < self->capacity || capacity > UMBP_QUEUE_CAPACITY_MAX)
        return UMBP_EINVAL;
    if (capacity == self->capacity)
        return 0;
    umbp_link_t *at = zmalloc (capacity * sizeof (umbp_link_t));
    if (self->capacity)
        memcpy (at, self->at, self->capacity * sizeof (umbp_link_t));
    for (uint32_t item = self->capacity; item < capacity; item++)
        at[item].prev = ABSENT;
    free (self->at);
    self->at = at;
    self->capacity = capacity;
    return 0;
}

void umbp_links_free (umbp_links_t *self)
{
    free (self->at);
    *self = (umbp_links_t) { 0 };
}

bool umbp_links_has (const umbp_links_t *self, uint32_t item)
{
    return item < self->capacity && self->at[item].prev != ABSENT;
}

void umbp_queue_init (umbp_queue_t *self, umbp_links_t *links)
{
    *self = (umbp_queue_t){ .links = links,
                            .oldest = NONE,
                            .newest = NONE,
                             .group = NONE, .finger = NONE, .number = 1 };
}

static umbp_latest_t *s_latest (umbp_queue_t *self, uint32_t depth)
{
    return &self->latest[depth % UMBP_QUEUE_DEPTHS];
}

//  Enter an item on the older side of another, or as the newest if that is NONE
static void s_link (umbp_queue_t *self, uint32_t item, uint32_t next)
{
    umbp_link_t *at = self->links->at;
    uint32_t prev = next == NONE ? self->newest : at[next].prev;
    at[item].prev = prev;
    at[item].next = next;
    if (prev == NONE)
        self->oldest = item;
    else
        at[prev].next = item;
    if (next == NONE)
        self->newest = item;
    else
        at[next].prev = item;
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
    if (self->group == NONE || depth <= items[self->newest].depth)
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
    s_link (self, item, self->oldest);
}

void umbp_queue_leave (umbp_queue_t *self, uint32_t item)
{
    umbp_link_t *at = self->links->at;
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
    if (prev == NONE)
        self->oldest = next;
    else
        at[prev].next = next;
    if (next == NONE)
        self->newest = prev;
    else
        at[next].prev = prev;
    at[item].prev = ABSENT;
    self->count--;
}

//  actors/placement.c - where to put a block.
#include "actors/placement.h"

#include <stdlib.h>

#include "proto/splitmix.h"

typedef struct {
    uint64_t free[UMBP_TIERS], total[UMBP_TIERS];
    int64_t spare[UMBP_TIERS];          //  Free, or so after an eviction. Below 0: placed beyond that
    bool usable;
} room_t;

struct umbp_placement {
    uint64_t random;
    size_t count, self;
    int sticky;                         //  Member of the batch, -1 none yet
    unsigned high, low;                 //  Percent of a tier: beyond high, evictions go down to low
    uint32_t page_bytes;                //  What a block takes is a multiple of this
    room_t rooms[UMBP_NODES_MAX];
};

umbp_placement_t *umbp_placement_new (uint64_t seed)
{
    umbp_placement_t *self = calloc (1, sizeof (umbp_placement_t));
    if (self) {
        self->random = seed;
        self->sticky = -1;
        self->high = self->low = 100;
        self->page_bytes = 1;
    }
    return self;
}

void umbp_placement_destroy (umbp_placement_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

void umbp_placement_set_marks (umbp_placement_t *self, unsigned high, unsigned low)
{
    self->high = high < 100 ? high : 100;
    self->low = low < 100 ? low : 100;
}

void umbp_placement_set_page (umbp_placement_t *self, uint32_t bytes)
{
    self->page_bytes = bytes ? bytes : 1;
}

void umbp_placement_topology (umbp_placement_t *self, const umbp_topology_t *topology)
{
    self->count = umbp_topology_count (topology);
    self->self = umbp_topology_self (topology);
    self->sticky = -1;
    for (size_t index = 0; index < self->count; index++) {
        const umbp_member_t *member = umbp_topology_member (topology, index);
        room_t *room = &self->rooms[index];
        room->usable = member->in_ring && !member->draining && member->state == UMBP_MEMBER_ALIVE;
        for (unsigned tier = 0; tier < UMBP_TIERS; tier++) {
            const umbp_tier_room_t *said = &member->tiers[tier];
            room->total[tier] = said->total;
            room->free[tier] = said->total > said->used ? said->total - said->used : 0;
            uint64_t evicted = said->total / 100 * (100 - self->low);
            room->spare[tier] = (int64_t) (room->free[tier] > evicted ? room->free[tier] : evicted);
        }
    }
}

static bool s_may (const umbp_placement_t *self, size_t member, unsigned tier,
                   const umbp_tried_t *tried)
{
    if (!self->rooms[member].usable || self->rooms[member].total[tier] == 0)
        return false;
    for (size_t index = 0; tried && index < tried->count; index++)
        if (tried->members[index] == member)
            return false;
    return true;
}

static int s_most_free (const umbp_placement_t *self, unsigned tier, const umbp_tried_t *tried)
{
    int best = -1;
    for (size_t member = 0; member < self->count; member++)
        if (s_may (self, member, tier, tried)
            && (best < 0 || self->rooms[member].spare[tier] > self->rooms[best].spare[tier]))
            best = (int) member;
    return best;
}

//  Whether a block fits without an eviction
static bool s_fits (const umbp_placement_t *self, size_t member, unsigned tier, uint32_t size)
{
    const room_t *room = &self->rooms[member];
    return room->free[tier] >= size + room->total[tier] / 100 * (100 - self->high);
}

static bool s_fits_elsewhere (const umbp_placement_t *self, unsigned tier, uint32_t size,
                              const umbp_tried_t *tried)
{
    for (size_t member = 0; member < self->count; member++)
        if (member != self->self && s_may (self, member, tier, tried)
            && s_fits (self, member, tier, size))
            return true;
    return false;
}

//  Draw by free bytes among those with room; without room anywhere as most_free
static int s_weighted (umbp_placement_t *self, unsigned tier, uint32_t size,
                       const umbp_tried_t *tried)
{
    uint64_t sum = 0;
    for (size_t member = 0; member < self->count; member++)
        if (s_may (self, member, tier, tried) && self->rooms[member].free[tier] >= size)
            sum += self->rooms[member].free[tier];
    if (sum == 0)
        return s_most_free (self, tier, tried);
    uint64_t drawn = umbp_splitmix (&self->random) % sum;
    for (size_t member = 0; member < self->count; member++) {
        uint64_t free = self->rooms[member].free[tier];
        if (!s_may (self, member, tier, tried) || free < size)
            continue;
        if (drawn < free)
            return (int) member;
        drawn -= free;
    }
    return -1;
}

void umbp_placement_batch (umbp_placement_t *self, unsigned tier, uint64_t total)
{
    int most = s_most_free (self, tier, NULL);
    self->sticky = most >= 0 && self->rooms[most].free[tier] >= total ? most : -1;
}

static int s_pick (umbp_placement_t *self, umbp_place_strategy_t strategy, unsigned tier,
                   uint32_t size, const umbp_tried_t *tried)
{
    switch (strategy) {
    case UMBP_PLACE_LOCAL:
        if (s_may (self, self->self, tier, tried)
            && (s_fits (self, self->self, tier, size)
                || !s_fits_elsewhere (self, tier, size, tried)))
            return (int) self->self;
        return s_most_free (self, tier, tried);
    case UMBP_PLACE_WEIGHTED: return s_weighted (self, tier, size, tried);
    case UMBP_PLACE_SAME:
        if (self->sticky < 0 || !s_may (self, (size_t) self->sticky, tier, tried)
            || self->rooms[self->sticky].free[tier] < size)
            self->sticky = s_most_free (self, tier, tried);
        return self->sticky;
    case UMBP_PLACE_MOST_FREE: return s_most_free (self, tier, tried);
    }
    return -1;
}

//  Count off what was placed, in whole pages. What does not fit may well be refused there, and what never does is.
static void s_count_off (umbp_placement_t *self, room_t *room, unsigned tier, uint32_t size)
{
    uint64_t pages = ((uint64_t) size + self->page_bytes - 1) / self->page_bytes;
    uint64_t taken = pages * self->page_bytes;
    if (taken > room->total[tier])
        return;
    if (room->free[tier] >= size)
        room->free[tier] -= room->free[tier] > taken ? taken : room->free[tier];
    room->spare[tier] -= (int64_t) taken;
}

int umbp_placement_choose (umbp_placement_t *self, umbp_place_strategy_t strategy, unsigned tier,
                           uint32_t size, const umbp_tried_t *tried)
{
    int member = s_pick (self, strategy, tier, size, tried);
    if (member >= 0) {
        s_count_off (self, &self->rooms[member], tier, size);
        return member;
    }
    return tried && tried->count > 0 ? UMBP_ENOSPC : UMBP_ENOTSUP;
}

umbp_place_strategy_t umbp_place_strategy (const char *name)
{
    static const char *const names[] = { "", "local", "most_free", "weighted", "same" };
    for (unsigned index = 1; index < sizeof names / sizeof *names; index++)
        if (strcmp (names[index], name) == 0)
            return (umbp_place_strategy_t) index;
    return (umbp_place_strategy_t) 0;
}

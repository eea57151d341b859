//  actors/tier/spread_place.c - where copies of our blocks go: which shard knows who has one, and who shall have the next.
#include "actors/tier/spread_self.h"

//  The shard to ask about a block: its owners one after the other, those alone that are alive. -1 if all were.
int umbp_spread_shard (const umbp_spread_t *self, umbp_spread_job_t *job)
{
    const umbp_block_t *block = umbp_store_block (self->store, job->item);
    const umbp_ring_t *ring = umbp_topology_ring (self->topology);
    uint16_t owners[UMBP_COPIES_MAX];
    umbp_bytes_t key = umbp_scope_bare (block->key, block->key_size);
    size_t count = umbp_topology_owners (self->topology,
                                         umbp_ring_position (ring, key.data, key.size), owners);
    for (; job->looks < count; job->looks++)
        if (umbp_topology_member (self->topology, owners[job->looks])->state == UMBP_MEMBER_ALIVE)
            return owners[job->looks];
    return -1;
}

static bool s_may (const umbp_spread_t *self, const umbp_spread_job_t *job, size_t member)
{
    const umbp_member_t *seen = umbp_topology_member (self->topology, member);
    return member != umbp_topology_self (self->topology) && seen->in_ring && !seen->draining
           && seen->state == UMBP_MEMBER_ALIVE && seen->tiers[UMBP_TIER_DRAM].total > 0
           && !umbp_spread_is_noted (job->tried, job->tried_count, self->ids[member]);
}

//  Whether another host than ours, and those of all that are known to have it
static bool s_is_apart (const umbp_spread_t *self, const umbp_spread_job_t *job, const char *host)
{
    for (size_t member = 0; member < umbp_topology_count (self->topology); member++) {
        bool has = member == umbp_topology_self (self->topology)
                   || umbp_spread_is_noted (job->known, job->known_count, self->ids[member]);
        if (has && streq (umbp_topology_member (self->topology, member)->host, host))
            return false;
    }
    return true;
}

//  What a block takes: whole pages, which are ours in size there too, as far as we know
uint64_t umbp_spread_taken (const umbp_spread_t *self, const umbp_block_t *block)
{
    uint32_t page_size = umbp_store_page_size (self->store);
    return umbp_extent_page_count (block->size, page_size) * page_size;
}

//  Free bytes below the mark where evictions begin, less what was placed there; below 0: none
static int64_t s_room (const umbp_spread_t *self, size_t member)
{
    const umbp_tier_room_t *tier =
        &umbp_topology_member (self->topology, member)->tiers[UMBP_TIER_DRAM];
    uint64_t ours = self->rooms[member].base + self->rooms[member].placed;
    uint64_t taken = tier->used > ours ? tier->used : ours;
    return (int64_t) (tier->total / 100 * self->args.high) - (int64_t) taken;
}

//  Who shall have the next copy: one that has it and must only say so; else another host before another node, and
//  the one with most room. A put may make others evict, as the put itself may. -1 if there is nobody.
int umbp_spread_target (const umbp_spread_t *self, umbp_spread_job_t *job)
{
    int64_t size = (int64_t) umbp_spread_taken (self, umbp_store_block (self->store, job->item));
    int64_t best_room = 0;
    int best = -1;
    bool best_apart = false;
    job->full = false;
    for (size_t member = 0; member < umbp_topology_count (self->topology); member++) {
        if (!s_may (self, job, member))
            continue;
        if (job->why == UMBP_SPREAD_DRAIN
            && umbp_spread_is_noted (job->known, job->known_count, self->ids[member]))
            return (int) member;
        if (umbp_spread_is_noted (job->known, job->known_count, self->ids[member]))
            continue;
        const umbp_member_t *seen = umbp_topology_member (self->topology, member);
        int64_t room = s_room (self, member);
        bool apart = s_is_apart (self, job, seen->host);
        bool fits = job->why == UMBP_SPREAD_PUT
                        ? seen->tiers[UMBP_TIER_DRAM].total >= (uint64_t) size
                        : room >= size;
        job->full |= !fits;
        if (!fits || (best >= 0 && (apart != best_apart ? !apart : room <= best_room)))
            continue;
        best = (int) member;
        best_room = room;
        best_apart = apart;
    }
    job->full |= best < 0 && job->tried_count == 0;
    return best;
}

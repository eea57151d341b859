//  actors/tier/announce_dispute.c - who decides when a key has two contents, or two copies of one.
//
//  Each shard goes by what it heard first. So that exactly one copy stays, the word of one shard counts: of the first
//  owner on the ring, and only if it judged by the ring that we work with, and all is settled. Then everybody agrees on
//  who that is, and whatever was dropped by an earlier ring has been heard of by all. Else the block stays as it is, and
//  is told once more, until the shard takes it or the word decides.
#include "actors/tier/announce_self.h"

#define AGAIN_MS 500

static bool s_decides (const umbp_stream_t *stream, const umbp_change_t *change,
                       uint64_t topo_epoch)
{
    const umbp_announce_t *self = stream->parent;
    const umbp_topology_t *now = self->rings.now;
    umbp_owner_t owners[UMBP_OWNERS_MAX];
    return topo_epoch != 0 && topo_epoch == umbp_topology_epoch (now) && umbp_topology_settled (now)
           && umbp_announce_owners (self, change->item, owners) > 0
           && streq (umbp_topology_member (now, owners[0].member)->node, stream->node);
}

static void s_add (umbp_stream_t *stream, const umbp_change_t *change)
{
    umbp_announce_t *self = stream->parent;
    if (!self->disputes)
        self->disputes = zmalloc (UMBP_DISPUTES_MAX * sizeof (umbp_dispute_t));
    if (self->dispute_count == UMBP_DISPUTES_MAX) {
        self->disputes_missed = true;
        return;
    }
    self->disputes[(self->first_dispute + self->dispute_count++) % UMBP_DISPUTES_MAX] =
        (umbp_dispute_t) { stream->turn, change->token, change->item, zclock_mono () + AGAIN_MS };
}

int umbp_dispute_judge (umbp_stream_t *stream, const umbp_change_t *change, int verdict,
                        uint64_t topo_epoch)
{
    const umbp_block_t *block = umbp_store_block (stream->parent->store, change->item);
    if (verdict != UMBP_ECHECKSUM && verdict != UMBP_EEXIST)
        return verdict;
    if (block->state != UMBP_BLOCK_LIVE || block->token != change->token)
        return 0;                       //  It has left us meanwhile
    if (s_decides (stream, change, topo_epoch))
        return verdict;
    if (verdict == UMBP_ECHECKSUM)
        s_add (stream, change);
    return 0;
}

//  An account that was begun since tells it anyway
static void s_tell (umbp_announce_t *self, const umbp_dispute_t *dispute)
{
    umbp_stream_t *stream = umbp_stream_of (self, dispute->turn);
    const umbp_block_t *block = umbp_store_block (self->store, dispute->item);
    if (!stream || block->state != UMBP_BLOCK_LIVE || block->token != dispute->token)
        return;
    umbp_owner_t owners[UMBP_OWNERS_MAX];
    size_t count = umbp_announce_owners (self, dispute->item, owners);
    for (size_t index = 0; index < count; index++)
        if (self->streams[owners[index].member] == stream)
            umbp_stream_push (stream, dispute->item, UMBP_HOLDS,
                              umbp_announce_shard (self, owners, index), 0, self->serial + 1);
}

void umbp_dispute_pump (umbp_announce_t *self, int64_t now)
{
    while (self->dispute_count > 0 && self->disputes[self->first_dispute].due <= now) {
        umbp_dispute_t dispute = self->disputes[self->first_dispute];
        self->first_dispute = (self->first_dispute + 1) % UMBP_DISPUTES_MAX;
        self->dispute_count--;
        s_tell (self, &dispute);
    }
    if (self->dispute_count > 0 || !self->disputes_missed)
        return;
    self->disputes_missed = false;
    for (size_t index = 0; index < umbp_topology_count (self->rings.now); index++)
        if (self->streams[index])
            umbp_stream_account (self->streams[index]);
}

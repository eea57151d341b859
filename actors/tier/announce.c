//  actors/tier/announce.c - tells the index what a tier holds: which blocks to whom, from one ring to the next. See
//  announce.h for the rules.
#include "actors/tier/announce_self.h"

#include <assert.h>

#include "proto/scope.h"

//  Blocks: an account of so few is no burden, and waits for no turn
#define SMALL_MAX UMBP_CHANGES_MAX
#define SETTLE_MS 1000                  //  Former owners are asked for so long after all is settled

umbp_announce_t *umbp_announce_new (umbp_post_t *post, umbp_store_t *store, const char *node,
                                    uint64_t node_epoch, unsigned tier, void *owner,
                                    umbp_word_fn *word, umbp_heard_fn *on_heard)
{
    umbp_announce_t *self = zmalloc (sizeof (umbp_announce_t));
    self->post = post;
    self->store = store;
    self->owner = owner;
    self->word = word;
    self->on_heard = on_heard;
    self->node_epoch = node_epoch;
    self->tier = tier;
    snprintf (self->node, sizeof self->node, "%s", node);
    return self;
}

void umbp_announce_destroy (umbp_announce_t **self_p)
{
    umbp_announce_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < UMBP_NODES_MAX; index++)
        umbp_stream_destroy (&self->streams[index]);
    umbp_rings_clear (&self->rings);
    free (self->disputes);
    freen (*self_p);
}

void umbp_announce_set_pace (umbp_announce_t *self, unsigned accounts, int64_t window_ms)
{
    umbp_pace_set (&self->pace, accounts, window_ms);
}

//  All who keep the entry of a block, or kept it in a ring that still matters. Returns how many.
size_t umbp_announce_owners (const umbp_announce_t *self, uint32_t item, umbp_owner_t *owners)
{
    const umbp_block_t *block = umbp_store_block (self->store, item);
    const umbp_ring_t *ring = umbp_topology_ring (self->rings.now);
    umbp_bytes_t key = umbp_scope_bare (block->key, block->key_size);
    return umbp_rings_owners (&self->rings, umbp_ring_position (ring, key.data, key.size), owners);
}

//  Of the owners in their order, what one is to a block; 0 in it: it need not know
umbp_shard_t umbp_announce_shard (const umbp_announce_t *self, const umbp_owner_t *owners,
                                  size_t index)
{
    return (umbp_shard_t) { owners[index].in & umbp_rings_needed (&self->rings), index == 0 };
}

static umbp_stream_t *s_first_waiting (const umbp_announce_t *self)
{
    umbp_stream_t *first = NULL;
    for (size_t index = 0; index < umbp_topology_count (self->rings.now); index++) {
        umbp_stream_t *stream = self->streams[index];
        if (stream && stream->ticket && (!first || stream->ticket < first->ticket))
            first = stream;
    }
    return first;
}

//  Accounts whose turn has come. They go in the order in which they were begun, so none waits for ever.
static void s_admit (umbp_announce_t *self, int64_t now)
{
    bool small = umbp_store_counts (self->store).live <= SMALL_MAX;
    umbp_stream_t *stream = s_first_waiting (self);
    while (stream && (small || umbp_pace_take (&self->pace, now))) {
        stream->ticket = 0;
        stream = s_first_waiting (self);
    }
}

//  --------------------------------------------------------------------------------------------------
//  Changes

umbp_audience_t umbp_announce_add (umbp_announce_t *self, uint32_t item, uint64_t tag)
{
    umbp_audience_t audience = { 0 };
    umbp_owner_t owners[UMBP_OWNERS_MAX];
    size_t count = self->rings.now ? umbp_announce_owners (self, item, owners) : 0;
    self->serial++;
    for (size_t index = 0; index < count; index++) {
        umbp_shard_t shard = umbp_announce_shard (self, owners, index);
        umbp_stream_t *stream = self->streams[owners[index].member];
        if (!stream || !shard.in)
            continue;
        umbp_stream_push (stream, item, UMBP_HOLDS, shard, tag, self->serial);
        audience.shards++;
        audience.in |= shard.in;
        audience.primary |= shard.primary && !umbp_stream_is_slow (stream);
    }
    return audience;
}

static void s_tell_gone (umbp_announce_t *self, uint32_t item, uint8_t kind)
{
    umbp_owner_t owners[UMBP_OWNERS_MAX];
    size_t count = self->rings.now ? umbp_announce_owners (self, item, owners) : 0;
    self->serial++;
    for (size_t index = 0; index < count; index++)
        if (self->streams[owners[index].member])
            umbp_stream_push (self->streams[owners[index].member], item, kind, (umbp_shard_t){ 0 },
                              0, self->serial);
}

void umbp_announce_drop (umbp_announce_t *self, uint32_t item)
{
    s_tell_gone (self, item, UMBP_DROPPED);
}

void umbp_announce_evict (umbp_announce_t *self, uint32_t item)
{
    s_tell_gone (self, item, UMBP_EVICTED);
}

void umbp_announce_send (umbp_announce_t *self)
{
    for (size_t index = 0; self->rings.now && index < umbp_topology_count (self->rings.now);
         index++)
        if (self->streams[index])
            umbp_stream_send (self->streams[index]);
}

//  --------------------------------------------------------------------------------------------------
//  Topology

//  One block after a change of the ring: say it to owners who did not have it in the base
static void s_tell (umbp_announce_t *self, uint32_t item, const umbp_owner_t *owners, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        umbp_stream_t *stream = self->streams[owners[index].member];
        bool told = owners[index].in & UMBP_IN_PAST (self->rings.base);
        if (stream && owners[index].in & UMBP_IN_NOW && !told && !umbp_stream_comes (stream, item))
            umbp_stream_push (stream, item, UMBP_HOLDS, umbp_announce_shard (self, owners, index),
                              0, self->serial + 1);
    }
}

//  One block when all is settled: unsay it to those who were owners
static void s_trim (umbp_announce_t *self, uint32_t item, const umbp_owner_t *owners, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        umbp_stream_t *stream = self->streams[owners[index].member];
        if (stream && !(owners[index].in & UMBP_IN_NOW))
            umbp_stream_push (stream, item, UMBP_DROPPED, (umbp_shard_t) { 0 }, 0, self->serial + 1);
    }
}

static bool s_is_calm (const umbp_announce_t *self)
{
    for (size_t index = 0; index < umbp_topology_count (self->rings.now); index++)
        if (self->streams[index] && self->streams[index]->count > UMBP_QUEUE_CALM)
            return false;
    return true;
}

//  A step over the blocks. Returns true when all were passed.
static bool s_pass (umbp_announce_t *self,
                    void (*fn) (umbp_announce_t *, uint32_t, const umbp_owner_t *, size_t))
{
    uint32_t reach = umbp_store_reach (self->store), limit = self->cursor + UMBP_WALK_MAX;
    while (self->cursor < reach && self->cursor < limit && s_is_calm (self)) {
        umbp_owner_t owners[UMBP_OWNERS_MAX];
        for (uint32_t end = self->cursor + 64; self->cursor < end && self->cursor < reach;
             self->cursor++)
            if (umbp_store_is_stored (self->store, self->cursor))
                fn (self, self->cursor, owners, umbp_announce_owners (self, self->cursor, owners));
    }
    return self->cursor >= reach;
}

uint64_t umbp_announce_mark (umbp_announce_t *self)
{
    return ++self->serial;
}

//  Whether a member that is alive waits for the rest of its account, or may need one
static bool s_accounts (const umbp_announce_t *self)
{
    for (size_t index = 0; index < umbp_topology_count (self->rings.now); index++)
        if (self->streams[index]
            && (self->streams[index]->account || umbp_stream_is_unsure (self->streams[index]))
            && umbp_topology_member (self->rings.now, index)->state == UMBP_MEMBER_ALIVE)
            return true;
    return false;
}

//  After a change of the ring: TELL its shards what they have not heard yet; WAIT until they have, and until everybody
//  says the same; then TRIM what former owners need no more, and REST.
static void s_walk (umbp_announce_t *self, int64_t now)
{
    if (self->phase == TELL && s_pass (self, s_tell)) {
        self->phase = WAIT;
        self->told_serial = umbp_announce_mark (self);
    }
    if (self->phase == WAIT && !self->told_epoch
        && umbp_announce_heard (self, self->told_serial, true) && !s_accounts (self))
        self->told_epoch = umbp_topology_epoch (self->rings.now);
    if (self->phase == WAIT && self->told_epoch && self->settled_at
        && now - self->settled_at >= SETTLE_MS) {
        self->phase = TRIM;
        self->cursor = 0;
    }
    if (self->phase != TRIM || !s_pass (self, s_trim))
        return;
    self->phase = REST;
    for (size_t index = 0; self->rings.lost && index < umbp_topology_count (self->rings.now);
         index++)
        if (self->streams[index])
            umbp_stream_account (self->streams[index]);
    umbp_rings_forget (&self->rings);
}

//  A stream for each member of the ring; one that is new or was restarted is given a full account
static void s_restream (umbp_announce_t *self, const umbp_topology_t *before)
{
    umbp_stream_t *old[UMBP_NODES_MAX];
    memcpy (old, self->streams, sizeof old);
    memset (self->streams, 0, sizeof self->streams);
    for (size_t index = 0; index < umbp_topology_count (self->rings.now); index++) {
        const umbp_member_t *member = umbp_topology_member (self->rings.now, index);
        if (!member->in_ring)
            continue;
        int was = before ? umbp_topology_find (before, umbp_text (member->node)) : -1;
        if (was >= 0 && old[was] && old[was]->epoch == member->epoch) {
            self->streams[index] = old[was];
            old[was] = NULL;
        } else
            self->streams[index] = umbp_stream_new (self, member);
    }
    for (size_t index = 0; index < UMBP_NODES_MAX; index++)
        umbp_stream_destroy (&old[index]);
}

const umbp_topology_t *umbp_announce_now (const umbp_announce_t *self)
{
    return self->rings.now;
}

void umbp_announce_topology (umbp_announce_t *self, umbp_topology_t **topology_p)
{
    umbp_topology_t *before = self->rings.now ? umbp_topology_hold (self->rings.now) : NULL;
    if (umbp_rings_take (&self->rings, topology_p)) {
        s_restream (self, before);
        self->phase = TELL;
        self->cursor = 0;
        self->told_epoch = 0;
        self->settled_at = 0;
    }
    for (size_t index = 0; index < umbp_topology_count (self->rings.now); index++)
        if (self->streams[index])
            self->streams[index]->swings = umbp_topology_member (self->rings.now, index)->swings;
    if (!umbp_topology_settled (self->rings.now))
        self->settled_at = 0;
    else if (self->settled_at == 0)
        self->settled_at = zclock_mono ();
    umbp_topology_destroy (&before);
}

void umbp_announce_pump (umbp_announce_t *self)
{
    if (!self->rings.now)
        return;
    s_admit (self, zclock_mono ());
    s_walk (self, zclock_mono ());
    umbp_dispute_pump (self, zclock_mono ());
    for (size_t index = 0; index < umbp_topology_count (self->rings.now); index++) {
        if (!self->streams[index])
            continue;
        umbp_stream_walk (self->streams[index]);
        umbp_stream_send (self->streams[index]);
    }
}

bool umbp_announce_heard (const umbp_announce_t *self, uint64_t mark, bool patient)
{
    for (size_t index = 0; self->rings.now && index < umbp_topology_count (self->rings.now);
         index++) {
        const umbp_stream_t *stream = self->streams[index];
        if (!stream || umbp_topology_member (self->rings.now, index)->state != UMBP_MEMBER_ALIVE)
            continue;
        if (!patient && umbp_stream_is_slow (stream))
            continue;
        if ((stream->account && !stream->ticket && mark <= stream->account_serial)
            || (stream->count > 0 && stream->queue[stream->head].serial <= mark))
            return false;
    }
    return true;
}

bool umbp_announce_quiet (const umbp_announce_t *self)
{
    return self->told_epoch && !s_accounts (self);
}

uint64_t umbp_announce_told (const umbp_announce_t *self)
{
    return self->told_epoch && !s_accounts (self) ? self->told_epoch : 0;
}

umbp_announce_stats_t umbp_announce_stats (const umbp_announce_t *self)
{
    umbp_announce_stats_t stats = self->stats;
    stats.disputes = self->dispute_count;
    stats.rings = self->rings.now ? 1 + self->rings.past_count : 0;
    for (size_t index = 0; index < UMBP_NODES_MAX; index++)
        stats.accounts_waiting += self->streams[index] && self->streams[index]->ticket;
    return stats;
}

//  actors/tier/announce.c - tells the index what a tier holds. See announce.h for the rules.
#include "actors/tier/announce.h"

#include <assert.h>

#include "actors/tier/pace.h"
#include "proto/scope.h"

#define BATCH_MAX 1024                  //  Changes in a message
#define QUEUE_MAX 16384                 //  Changes that wait, per member; beyond: a full account later
#define QUEUE_CALM (QUEUE_MAX / 2)      //  A walk goes on only while all queues are shorter
#define WALK_MAX 4096                   //  Blocks looked at in one step of a walk over the store
#define ASK_MS 1000
#define RETRY_MS 50
#define SMALL_MAX BATCH_MAX             //  Blocks: an account of so few is no burden, and waits for no turn
#define SETTLE_MS 1000                  //  Former owners are asked for so long after all is settled
#define HOLDS 1
#define DROPPED 2

typedef struct {
    umbp_fingerprint_t print;
    uint64_t serial, tag, token;
    uint32_t item, size, sum;
    uint8_t kind;
    umbp_shard_t shard;
} change_t;

typedef struct {
    umbp_announce_t *parent;
    char node[UMBP_NAME_MAX + 1];
    uint64_t epoch;                     //  Its incarnation: another one knows nothing
    uint64_t turn;                      //  Of this stream, so that answers to an older one are passed over
    uint64_t next;                      //  Number of the change at the head of the queue
    change_t *queue;                    //  QUEUE_MAX of them, a ring
    uint32_t head, count;
    uint32_t flying;                    //  Changes of the head that are under way
    bool asked;                         //  A message is under way
    bool begin, end;                    //  The next message begins a full account; the account is walked through
    bool account;                       //  A full account is being given
    uint64_t ticket;                    //  The account waits for its turn, lower ones go first; 0: it does not
    uint32_t cursor;                    //  Items of the store that the account has passed
    uint64_t account_serial;            //  Of the last change that the account stands for
    bool last_flying;                   //  The message under way ends the account
    int64_t retry_at;
    int64_t waiting_since;              //  The head is said, and not acknowledged; 0: nothing is
    uint64_t swings, swings_flying,
        swings_sure; //  Of its topology: now, when the message under way was sent, when it last knew us
} stream_t;

struct umbp_announce {
    umbp_post_t *post;
    umbp_store_t *store;
    void *owner;
    umbp_word_fn *word;
    umbp_heard_fn *on_heard;
    char node[UMBP_NAME_MAX + 1];
    uint64_t node_epoch, turns;
    uint64_t floor;                     //  No number below this is said for the first time: a member may come back
    uint64_t serial;                    //  Of the last change, whoever is to hear of it
    unsigned tier;
    umbp_rings_t rings;
    enum { TELL, WAIT, TRIM, REST } phase;           //  Of a new ring, see s_walk
    uint32_t cursor;                    //  Items of the store that the walk has passed
    uint64_t told_serial,
        told_epoch; //  When this one is heard all shards of the ring know all; 0: not yet
    int64_t settled_at;                 //  0: not settled
    stream_t *streams[UMBP_NODES_MAX];  //  By member number
    umbp_pace_t pace;                   //  Of full accounts
    uint64_t tickets;
    umbp_announce_stats_t stats;
    uint8_t prints[BATCH_MAX * sizeof (umbp_fingerprint_t)];
    uint32_t sizes[BATCH_MAX], sums[BATCH_MAX];
    uint8_t kinds[BATCH_MAX];
};

static void s_send (stream_t *stream);

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

static void s_stream_free (stream_t **stream_p)
{
    stream_t *stream = *stream_p;
    if (!stream)
        return;
    umbp_announce_t *self = stream->parent;
    uint64_t end = stream->next + stream->count;
    self->floor = end > self->floor ? end : self->floor;
    self->stats.waiting -= stream->count;
    free (stream->queue);
    freen (*stream_p);
}

void umbp_announce_destroy (umbp_announce_t **self_p)
{
    umbp_announce_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < UMBP_NODES_MAX; index++)
        s_stream_free (&self->streams[index]);
    umbp_rings_clear (&self->rings);
    freen (*self_p);
}

//  --------------------------------------------------------------------------------------------------
//  Streams

static void s_pass_on (umbp_announce_t *self, const change_t *change, int verdict)
{
    umbp_word_t word = { change->tag, change->item, change->token, change->shard, verdict };
    self->word (self->owner, &word);
}

//  What somebody waits for stays at the head of the queue, and what takes it back; the account brings the rest
static void s_compact (stream_t *stream)
{
    umbp_announce_t *self = stream->parent;
    uint32_t kept = 0;
    for (uint32_t index = 0; index < stream->count; index++) {
        const change_t *change = &stream->queue[(stream->head + index) % QUEUE_MAX];
        bool wanted = change->tag || (kept > 0 && change->kind == DROPPED);
        if (wanted && kept < QUEUE_CALM)
            stream->queue[(stream->head + kept++) % QUEUE_MAX] = *change;
        else if (change->tag)
            s_pass_on (self, change, UMBP_EUNREACH);
    }
    self->stats.waiting -= stream->count - kept;
    stream->count = kept;
}

void umbp_announce_set_pace (umbp_announce_t *self, unsigned accounts, int64_t window_ms)
{
    umbp_pace_set (&self->pace, accounts, window_ms);
}

//  Start over with all that the member ought to know. The stream begins at once, so that it takes what changes from
//  now on; the blocks that are here follow when it is its turn.
static void s_account (stream_t *stream)
{
    umbp_announce_t *self = stream->parent;
    self->stats.accounts++;
    stream->account_serial = self->serial;
    stream->turn = ++self->turns;
    stream->next += stream->count + 1;  //  Numbers only ever grow
    s_compact (stream);
    stream->flying = 0;
    stream->asked = false;
    stream->begin = stream->account = true;
    stream->end = false;
    stream->ticket = ++self->tickets;
    stream->cursor = 0;
    stream->retry_at = 0;
}

static stream_t *s_stream_new (umbp_announce_t *self, const umbp_member_t *member)
{
    stream_t *stream = zmalloc (sizeof (stream_t));
    stream->parent = self;
    stream->queue = zmalloc (QUEUE_MAX * sizeof (change_t));
    stream->next = self->floor;
    stream->epoch = member->epoch;
    stream->swings = member->swings;
    snprintf (stream->node, sizeof stream->node, "%s", member->node);
    s_account (stream);
    return stream;
}

//  What an account or a walk over the blocks says counts as part of the change after the last one
static void s_push (stream_t *stream, uint32_t item, uint8_t kind, umbp_shard_t shard, uint64_t tag,
                    uint64_t serial)
{
    umbp_announce_t *self = stream->parent;
    const umbp_block_t *block = umbp_store_block (self->store, item);
    if (stream->count == QUEUE_MAX)
        s_account (stream);             //  It is far behind: what it missed comes with the account
    stream->queue[(stream->head + stream->count++) % QUEUE_MAX] =
        (change_t){ /* clang-format off */
        .print = block->print, .serial = serial, .tag = tag, .token = block->token,
        .item = item, .size = block->size, .sum = (uint32_t) block->sum,
        .kind = kind, .shard = shard };
    self->stats.waiting++;
}

//  All who keep the entry of a block, or kept it in a ring that still matters. Returns how many.
static size_t s_owners (const umbp_announce_t *self, uint32_t item, umbp_owner_t *owners)
{
    const umbp_block_t *block = umbp_store_block (self->store, item);
    const umbp_ring_t *ring = umbp_topology_ring (self->rings.now);
    umbp_bytes_t key = umbp_scope_bare (block->key, block->key_size);
    return umbp_rings_owners (&self->rings, umbp_ring_position (ring, key.data, key.size), owners);
}

//  Of the owners in their order, what one is to a block; 0 in it: it need not know
static umbp_shard_t s_shard (const umbp_announce_t *self, const umbp_owner_t *owners, size_t index)
{
    return (umbp_shard_t) { owners[index].in & umbp_rings_needed (&self->rings), index == 0 };
}

static stream_t *s_first_waiting (const umbp_announce_t *self)
{
    stream_t *first = NULL;
    for (size_t index = 0; index < umbp_topology_count (self->rings.now); index++) {
        stream_t *stream = self->streams[index];
        if (stream && stream->ticket && (!first || stream->ticket < first->ticket))
            first = stream;
    }
    return first;
}

//  Accounts whose turn has come. They go in the order in which they were begun, so none waits for ever.
static void s_admit (umbp_announce_t *self, int64_t now)
{
    bool small = umbp_store_counts (self->store).live <= SMALL_MAX;
    stream_t *stream = s_first_waiting (self);
    while (stream && (small || umbp_pace_take (&self->pace, now))) {
        stream->ticket = 0;
        stream = s_first_waiting (self);
    }
}

//  Put what is due of the account into the queue. The walk goes on later when its step is used up.
static void s_walk_account (stream_t *stream)
{
    umbp_announce_t *self = stream->parent;
    if (!stream->account || stream->end || stream->ticket)
        return;
    int member = umbp_topology_find (self->rings.now, umbp_text (stream->node));
    uint32_t reach = umbp_store_reach (self->store), limit = stream->cursor + WALK_MAX;
    while (stream->cursor < reach && stream->cursor < limit && stream->count < BATCH_MAX) {
        uint32_t item = stream->cursor++;
        if (umbp_store_block (self->store, item)->state != UMBP_BLOCK_LIVE)
            continue;
        umbp_owner_t owners[UMBP_OWNERS_MAX];
        size_t count = s_owners (self, item, owners);
        for (size_t index = 0; index < count; index++)
            if (owners[index].member == member && s_shard (self, owners, index).in)
                s_push (stream, item, HOLDS, s_shard (self, owners, index), 0, self->serial + 1);
    }
    stream->end = stream->cursor >= reach;
}

//  --------------------------------------------------------------------------------------------------
//  Messages

//  Whether the member may have forgotten us since it was heard of last: it might have given us up, dropped our
//  entries, and taken us in again, while we noticed nothing. Then it is asked, with a change that changes nothing.
static bool s_is_unsure (const stream_t *stream)
{
    return stream->swings_sure != stream->swings;
}

//  The changes at the head were heard: tell who wants to know, and go on
static void s_acknowledge (stream_t *stream, const umbp_msg_change_ok_t *answer)
{
    umbp_announce_t *self = stream->parent;
    uint32_t flying = stream->flying;
    uint64_t turn = stream->turn;
    stream->flying = 0;
    for (uint32_t index = 0; index < flying && stream->turn == turn; index++) {
        change_t change = stream->queue[stream->head];
        stream->head = (stream->head + 1) % QUEUE_MAX;
        stream->count--;
        stream->next++;
        self->stats.waiting--;
        self->stats.acknowledged++;
        int verdict = index < answer->verdicts.count ? umbp_s8s_at (answer->verdicts, index) : 0;
        if (change.kind == HOLDS)
            s_pass_on (self, &change, verdict);
    }
}

static stream_t *s_stream_of (umbp_announce_t *self, uint64_t turn)
{
    for (size_t index = 0; index < UMBP_NODES_MAX; index++)
        if (self->streams[index] && self->streams[index]->turn == turn)
            return self->streams[index];
    return NULL;
}

static void s_on_answer (void *part, uint64_t turn, int status, const umbp_mail_t *mail)
{
    umbp_announce_t *self = part;
    stream_t *stream = s_stream_of (self, turn);
    if (!stream)
        return;                         //  It was started over, or its member left
    stream->asked = false;
    if (status == UMBP_ESTALE || status == UMBP_EINVAL || status == UMBP_EPROTO) {
        s_account (stream);
        stream->retry_at = zclock_mono () + RETRY_MS;
        return;
    }
    if (status != 0 || !mail || mail->msg->type != UMBP_MSG_change_ok) {
        self->stats.repeats++;
        stream->flying = 0;
        stream->retry_at = zclock_mono () + RETRY_MS;
        return;
    }
    stream->begin = false;
    stream->waiting_since = 0;
    stream->swings_sure = stream->swings_flying;
    if (stream->last_flying)
        stream->account = false;
    stream->last_flying = false;
    s_acknowledge (stream, &mail->msg->change_ok);
    if (s_stream_of (self, turn) == stream) {
        s_walk_account (stream);
        s_send (stream);
    }
    self->on_heard (self->owner);
}

static void s_fill (stream_t *stream, umbp_msg_t *msg)
{
    umbp_announce_t *self = stream->parent;
    uint32_t count = stream->count < BATCH_MAX ? stream->count : BATCH_MAX;
    for (uint32_t index = 0; index < count; index++) {
        const change_t *change = &stream->queue[(stream->head + index) % QUEUE_MAX];
        memcpy (self->prints + index * sizeof change->print, &change->print, sizeof change->print);
        self->kinds[index] = change->kind;
        self->sizes[index] = change->size;
        self->sums[index] = change->sum;
    }
    stream->flying = count;
    stream->last_flying = stream->account && stream->end && count == stream->count;
    umbp_msg_init (msg, UMBP_MSG_change, 0);
    msg->change.node = umbp_text (self->node);
    msg->change.node_epoch = self->node_epoch;
    msg->change.seq = stream->next;
    msg->change.fresh = stream->begin;
    msg->change.done = stream->last_flying;
    msg->change.tier = self->tier;
    msg->change.kinds = (umbp_u8s_t) { self->kinds, count };
    msg->change.prints =
        (umbp_bytes_t){ self->prints, count * (uint32_t) sizeof (umbp_fingerprint_t) };
    msg->change.sizes = (umbp_u32s_t) { self->sizes, count };
    msg->change.sums = (umbp_u32s_t) { self->sums, count };
}

//  Send what waits, unless a message is under way or it is too early to say it again
static void s_send (stream_t *stream)
{
    umbp_announce_t *self = stream->parent;
    if (stream->asked || zclock_mono () < stream->retry_at)
        return;
    if (stream->count == 0 && !(stream->account && (stream->begin || stream->end))
        && !s_is_unsure (stream))
        return;
    umbp_msg_t msg;
    s_fill (stream, &msg);
    if (umbp_post_ask_for (self->post, self, "index", stream->node, &msg, NULL, 0, ASK_MS,
                           s_on_answer, stream->turn)
        == 0) {
        stream->asked = true;
        stream->swings_flying = stream->swings;
        if (stream->waiting_since == 0)
            stream->waiting_since = zclock_mono ();
        self->stats.sent += stream->flying;
    } else {
        stream->flying = 0;
        stream->retry_at = zclock_mono () + RETRY_MS;
    }
}

//  --------------------------------------------------------------------------------------------------
//  Changes

static bool s_is_slow (const stream_t *stream)
{
    return stream->waiting_since && zclock_mono () - stream->waiting_since > UMBP_PATIENCE_MS;
}

umbp_audience_t umbp_announce_add (umbp_announce_t *self, uint32_t item, uint64_t tag)
{
    umbp_audience_t audience = { 0 };
    umbp_owner_t owners[UMBP_OWNERS_MAX];
    size_t count = self->rings.now ? s_owners (self, item, owners) : 0;
    self->serial++;
    for (size_t index = 0; index < count; index++) {
        umbp_shard_t shard = s_shard (self, owners, index);
        stream_t *stream = self->streams[owners[index].member];
        if (!stream || !shard.in)
            continue;
        s_push (stream, item, HOLDS, shard, tag, self->serial);
        audience.shards++;
        audience.in |= shard.in;
        audience.primary |= shard.primary && !s_is_slow (stream);
    }
    return audience;
}

void umbp_announce_drop (umbp_announce_t *self, uint32_t item)
{
    umbp_owner_t owners[UMBP_OWNERS_MAX];
    size_t count = self->rings.now ? s_owners (self, item, owners) : 0;
    self->serial++;
    for (size_t index = 0; index < count; index++)
        if (self->streams[owners[index].member])
            s_push (self->streams[owners[index].member], item, DROPPED, (umbp_shard_t) { 0 }, 0,
                    self->serial);
}

void umbp_announce_send (umbp_announce_t *self)
{
    for (size_t index = 0; self->rings.now && index < umbp_topology_count (self->rings.now);
         index++)
        if (self->streams[index])
            s_send (self->streams[index]);
}

//  --------------------------------------------------------------------------------------------------
//  Topology

//  Whether the account that is being given to a member will come to an item: then it is not said twice
static bool s_comes (const stream_t *stream, uint32_t item)
{
    return stream->account && !stream->end && stream->cursor <= item;
}

//  One block after a change of the ring: say it to owners who did not have it in the base
static void s_tell (umbp_announce_t *self, uint32_t item, const umbp_owner_t *owners, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        stream_t *stream = self->streams[owners[index].member];
        bool told = owners[index].in & UMBP_IN_PAST (self->rings.base);
        if (stream && owners[index].in & UMBP_IN_NOW && !told && !s_comes (stream, item))
            s_push (stream, item, HOLDS, s_shard (self, owners, index), 0, self->serial + 1);
    }
}

//  One block when all is settled: unsay it to those who were owners
static void s_trim (umbp_announce_t *self, uint32_t item, const umbp_owner_t *owners, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        stream_t *stream = self->streams[owners[index].member];
        if (stream && !(owners[index].in & UMBP_IN_NOW))
            s_push (stream, item, DROPPED, (umbp_shard_t) { 0 }, 0, self->serial + 1);
    }
}

static bool s_is_calm (const umbp_announce_t *self)
{
    for (size_t index = 0; index < umbp_topology_count (self->rings.now); index++)
        if (self->streams[index] && self->streams[index]->count > QUEUE_CALM)
            return false;
    return true;
}

//  A step over the blocks. Returns true when all were passed.
static bool s_pass (umbp_announce_t *self,
                    void (*fn) (umbp_announce_t *, uint32_t, const umbp_owner_t *, size_t))
{
    uint32_t reach = umbp_store_reach (self->store), limit = self->cursor + WALK_MAX;
    while (self->cursor < reach && self->cursor < limit && s_is_calm (self)) {
        umbp_owner_t owners[UMBP_OWNERS_MAX];
        for (uint32_t end = self->cursor + 64; self->cursor < end && self->cursor < reach;
             self->cursor++)
            if (umbp_store_block (self->store, self->cursor)->state == UMBP_BLOCK_LIVE)
                fn (self, self->cursor, owners, s_owners (self, self->cursor, owners));
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
            && (self->streams[index]->account || s_is_unsure (self->streams[index]))
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
            s_account (self->streams[index]);
    umbp_rings_forget (&self->rings);
}

//  A stream for each member of the ring; one that is new or was restarted is given a full account
static void s_restream (umbp_announce_t *self, const umbp_topology_t *before)
{
    stream_t *old[UMBP_NODES_MAX];
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
            self->streams[index] = s_stream_new (self, member);
    }
    for (size_t index = 0; index < UMBP_NODES_MAX; index++)
        s_stream_free (&old[index]);
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
    for (size_t index = 0; index < umbp_topology_count (self->rings.now); index++) {
        if (!self->streams[index])
            continue;
        s_walk_account (self->streams[index]);
        s_send (self->streams[index]);
    }
}

bool umbp_announce_heard (const umbp_announce_t *self, uint64_t mark, bool patient)
{
    for (size_t index = 0; self->rings.now && index < umbp_topology_count (self->rings.now);
         index++) {
        const stream_t *stream = self->streams[index];
        if (!stream || umbp_topology_member (self->rings.now, index)->state != UMBP_MEMBER_ALIVE)
            continue;
        if (!patient && s_is_slow (stream))
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
    stats.rings = self->rings.now ? 1 + self->rings.past_count : 0;
    for (size_t index = 0; index < UMBP_NODES_MAX; index++)
        stats.accounts_waiting += self->streams[index] && self->streams[index]->ticket;
    return stats;
}

//  actors/tier/announce.c - tells the index what a tier holds. See announce.h for the rules.
#include "actors/tier/announce.h"

#include <assert.h>

#define BATCH_MAX 1024                  //  Changes in a message
#define QUEUE_MAX 16384                 //  Changes that wait, per member; beyond: a full account later
#define WALK_MAX 4096                   //  Blocks looked at in one step of a walk over the store
#define ASK_MS 1000
#define RETRY_MS 100
#define HOLDS 1
#define DROPPED 2

typedef struct {
    umbp_fingerprint_t print;
    uint64_t tag;
    uint32_t size, sum;
    uint8_t kind;
    bool primary;
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
    uint32_t cursor;                    //  Items of the store that the account has passed
    bool last_flying;                   //  The message under way ends the account
    int64_t retry_at;
} stream_t;

struct umbp_announce {
    umbp_post_t *post;
    umbp_store_t *store;
    void *owner;
    umbp_verdict_fn *verdict;
    char node[UMBP_NAME_MAX + 1];
    uint64_t node_epoch, turns;
    uint64_t floor;                     //  No number below this is said for the first time: a member may come back
    unsigned tier;
    umbp_topology_t *now, *before;      //  before: while keys whose owners changed are said again
    uint32_t move_cursor;
    stream_t *streams[UMBP_NODES_MAX];  //  By member number of now
    umbp_announce_stats_t stats;
    uint8_t prints[BATCH_MAX * sizeof (umbp_fingerprint_t)];
    uint32_t sizes[BATCH_MAX], sums[BATCH_MAX];
    uint8_t kinds[BATCH_MAX];
};

static void s_send (stream_t *stream);

umbp_announce_t *umbp_announce_new (umbp_post_t *post, umbp_store_t *store, const char *node,
                                    uint64_t node_epoch, unsigned tier, void *owner,
                                    umbp_verdict_fn *verdict)
{
    umbp_announce_t *self = zmalloc (sizeof (umbp_announce_t));
    self->post = post;
    self->store = store;
    self->owner = owner;
    self->verdict = verdict;
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
    umbp_topology_destroy (&self->now);
    umbp_topology_destroy (&self->before);
    freen (*self_p);
}

//  --------------------------------------------------------------------------------------------------
//  Streams

//  Start over with all that the member ought to know
static void s_account (stream_t *stream)
{
    umbp_announce_t *self = stream->parent;
    self->stats.waiting -= stream->count;
    self->stats.accounts++;
    stream->turn = ++self->turns;
    stream->next += stream->count + 1;  //  Numbers only ever grow
    stream->head = stream->count = stream->flying = 0;
    stream->asked = false;
    stream->begin = stream->account = true;
    stream->end = false;
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
    snprintf (stream->node, sizeof stream->node, "%s", member->node);
    s_account (stream);
    return stream;
}

static void s_push (stream_t *stream, const umbp_block_t *block, uint8_t kind, bool primary,
                    uint64_t tag)
{
    umbp_announce_t *self = stream->parent;
    if (stream->count == QUEUE_MAX) {
        s_account (stream);             //  It is far behind: what it missed comes with the account
        return;
    }
    stream->queue[(stream->head + stream->count++) % QUEUE_MAX] =
        (change_t) { block->print, tag, block->size, (uint32_t) block->sum, kind, primary };
    self->stats.waiting++;
}

static bool s_is_owner (const uint16_t *owners, size_t count, size_t member)
{
    for (size_t index = 0; index < count; index++)
        if (owners[index] == member)
            return true;
    return false;
}

static size_t s_owners (const umbp_topology_t *topology, const umbp_block_t *block,
                        uint16_t *owners)
{
    uint64_t position =
        umbp_ring_position (umbp_topology_ring (topology), block->key, block->key_size);
    return umbp_topology_owners (topology, position, owners);
}

//  Put what is due of the account into the queue. The walk goes on later when its step is used up.
static void s_walk_account (stream_t *stream)
{
    umbp_announce_t *self = stream->parent;
    int member = umbp_topology_find (self->now, umbp_text (stream->node));
    if (!stream->account || stream->end || member < 0)
        return;
    uint32_t reach = umbp_store_reach (self->store), limit = stream->cursor + WALK_MAX;
    while (stream->cursor < reach && stream->cursor < limit && stream->count < BATCH_MAX) {
        const umbp_block_t *block = umbp_store_block (self->store, stream->cursor++);
        if (block->state != UMBP_BLOCK_LIVE)
            continue;
        uint16_t owners[UMBP_COPIES_MAX];
        size_t count = s_owners (self->now, block, owners);
        if (s_is_owner (owners, count, (size_t) member))
            s_push (stream, block, HOLDS, owners[0] == member, 0);
    }
    stream->end = stream->cursor >= reach;
}

//  --------------------------------------------------------------------------------------------------
//  Messages

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
        if (change.kind == HOLDS && change.tag)
            self->verdict (self->owner, change.tag, change.primary, verdict);
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
    if (stream->last_flying)
        stream->account = false;
    stream->last_flying = false;
    s_acknowledge (stream, &mail->msg->change_ok);
    if (s_stream_of (self, turn) == stream) {
        s_walk_account (stream);
        s_send (stream);
    }
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
    if (stream->count == 0 && !(stream->account && (stream->begin || stream->end)))
        return;
    umbp_msg_t msg;
    s_fill (stream, &msg);
    if (umbp_post_ask_for (self->post, self, "index", stream->node, &msg, NULL, 0, ASK_MS,
                           s_on_answer, stream->turn)
        == 0) {
        stream->asked = true;
        self->stats.sent += stream->flying;
    } else {
        stream->flying = 0;
        stream->retry_at = zclock_mono () + RETRY_MS;
    }
}

//  --------------------------------------------------------------------------------------------------
//  Changes

size_t umbp_announce_add (umbp_announce_t *self, const umbp_block_t *block, uint64_t tag)
{
    if (!self->now)
        return 0;
    uint16_t owners[UMBP_COPIES_MAX];
    size_t count = s_owners (self->now, block, owners);
    for (size_t index = 0; index < count; index++)
        s_push (self->streams[owners[index]], block, HOLDS, index == 0, tag);
    for (size_t index = 0; index < count; index++)
        s_send (self->streams[owners[index]]);
    return count;
}

void umbp_announce_drop (umbp_announce_t *self, const umbp_block_t *block)
{
    if (!self->now)
        return;
    uint16_t owners[UMBP_COPIES_MAX];
    size_t count = s_owners (self->now, block, owners);
    for (size_t index = 0; index < count; index++)
        s_push (self->streams[owners[index]], block, DROPPED, false, 0);
    if (!self->before)
        return;
    uint16_t old[UMBP_COPIES_MAX];
    size_t old_count = s_owners (self->before, block, old);
    for (size_t index = 0; index < old_count; index++) {
        int member = umbp_topology_find (
            self->now, umbp_text (umbp_topology_member (self->before, old[index])->node));
        if (member >= 0 && self->streams[member] && !s_is_owner (owners, count, (size_t) member))
            s_push (self->streams[member], block, DROPPED, false, 0);
    }
}

//  --------------------------------------------------------------------------------------------------
//  Topology

//  Whether the account that is being given to a member will come to an item: then it is not said twice
static bool s_comes (const stream_t *stream, uint32_t item)
{
    return stream->account && !stream->end && stream->cursor <= item;
}

//  One block whose owners may have changed: say it to those who are new, unsay it to those who were
static void s_move (umbp_announce_t *self, uint32_t item)
{
    const umbp_block_t *block = umbp_store_block (self->store, item);
    uint16_t owners[UMBP_COPIES_MAX], old[UMBP_COPIES_MAX], kept[UMBP_COPIES_MAX];
    size_t count = s_owners (self->now, block, owners);
    size_t old_count = s_owners (self->before, block, old), kept_count = 0;
    for (size_t index = 0; index < old_count; index++) {
        const umbp_member_t *was = umbp_topology_member (self->before, old[index]);
        int member = umbp_topology_find (self->now, umbp_text (was->node));
        if (member < 0 || !self->streams[member])
            continue;
        kept[kept_count++] = (uint16_t) member;
        if (!s_is_owner (owners, count, (size_t) member))
            s_push (self->streams[member], block, DROPPED, false, 0);
    }
    for (size_t index = 0; index < count; index++)
        if (!s_is_owner (kept, kept_count, owners[index])
            && !s_comes (self->streams[owners[index]], item))
            s_push (self->streams[owners[index]], block, HOLDS, index == 0, 0);
}

//  A step of the walk over all blocks after the ring has changed
static void s_walk_move (umbp_announce_t *self)
{
    uint32_t reach = umbp_store_reach (self->store), limit = self->move_cursor + WALK_MAX;
    while (self->move_cursor < reach && self->move_cursor < limit) {
        uint32_t item = self->move_cursor++;
        if (umbp_store_block (self->store, item)->state == UMBP_BLOCK_LIVE)
            s_move (self, item);
    }
    if (self->move_cursor >= reach)
        umbp_topology_destroy (&self->before);
}

//  Carry the streams over to the numbers of the new topology. A member that is new or was restarted is given
//  a full account.
static void s_restream (umbp_announce_t *self, const umbp_topology_t *fresh)
{
    stream_t *old[UMBP_NODES_MAX];
    memcpy (old, self->streams, sizeof old);
    memset (self->streams, 0, sizeof self->streams);
    for (size_t index = 0; index < umbp_topology_count (fresh); index++) {
        const umbp_member_t *member = umbp_topology_member (fresh, index);
        if (!member->in_ring)
            continue;
        int was = self->now ? umbp_topology_find (self->now, umbp_text (member->node)) : -1;
        if (was >= 0 && old[was] && old[was]->epoch == member->epoch) {
            self->streams[index] = old[was];
            old[was] = NULL;
        } else
            self->streams[index] = s_stream_new (self, member);
    }
    for (size_t index = 0; index < UMBP_NODES_MAX; index++)
        s_stream_free (&old[index]);
}

void umbp_announce_topology (umbp_announce_t *self, umbp_topology_t **topology_p)
{
    umbp_topology_t *fresh = *topology_p;
    *topology_p = NULL;
    bool same_ring = self->now && umbp_topology_epoch (self->now) == umbp_topology_epoch (fresh);
    s_restream (self, fresh);
    if (same_ring) {                    //  Members may have other numbers, or have been restarted
        umbp_topology_destroy (&self->now);
        self->now = fresh;
        return;
    }
    if (self->before)                   //  It changed again before we were through: everybody gets an account
        for (size_t index = 0; index < UMBP_NODES_MAX; index++)
            if (self->streams[index])
                s_account (self->streams[index]);
    umbp_topology_destroy (&self->before);
    self->before = self->now;
    self->now = fresh;
    self->move_cursor = 0;
}

bool umbp_announce_pump (umbp_announce_t *self)
{
    if (!self->now)
        return false;
    if (self->before)
        s_walk_move (self);
    bool busy = self->before != NULL;
    for (size_t index = 0; index < umbp_topology_count (self->now); index++) {
        stream_t *stream = self->streams[index];
        if (!stream)
            continue;
        s_walk_account (stream);
        s_send (stream);
        busy |= stream->count > 0 || stream->account;
    }
    return busy;
}

bool umbp_announce_quiet (const umbp_announce_t *self)
{
    if (!self->now || self->before)
        return false;
    for (size_t index = 0; index < umbp_topology_count (self->now); index++) {
        const stream_t *stream = self->streams[index];
        if (stream && (stream->count > 0 || stream->account)
            && umbp_topology_member (self->now, index)->state == UMBP_MEMBER_ALIVE)
            return false;
    }
    return true;
}

umbp_announce_stats_t umbp_announce_stats (const umbp_announce_t *self)
{
    return self->stats;
}

//  actors/tier/announce_stream.c - one numbered stream of changes, to the shard of one member: what waits, what is
//  under way, and full accounts. See announce.h for the rules.
#include "actors/tier/announce_self.h"

#define ASK_MS 1000
#define RETRY_MS 50

void umbp_stream_destroy (umbp_stream_t **stream_p)
{
    umbp_stream_t *stream = *stream_p;
    if (!stream)
        return;
    umbp_announce_t *self = stream->parent;
    uint64_t end = stream->next + stream->count;
    self->floor = end > self->floor ? end : self->floor;
    self->stats.waiting -= stream->count;
    free (stream->queue);
    freen (*stream_p);
}

static void s_pass_on (umbp_announce_t *self, const umbp_change_t *change, int verdict)
{
    umbp_word_t word = { change->tag, change->item, change->token, change->shard, verdict };
    self->word (self->owner, &word);
}

//  What somebody waits for stays at the head of the queue, and what takes it back; the account brings the rest
static void s_compact (umbp_stream_t *stream)
{
    umbp_announce_t *self = stream->parent;
    uint32_t kept = 0;
    for (uint32_t index = 0; index < stream->count; index++) {
        const umbp_change_t *change = &stream->queue[(stream->head + index) % UMBP_QUEUE_MAX];
        bool wanted = change->tag || (kept > 0 && change->kind != UMBP_HOLDS);
        if (wanted && kept < UMBP_QUEUE_CALM)
            stream->queue[(stream->head + kept++) % UMBP_QUEUE_MAX] = *change;
        else if (change->tag)
            s_pass_on (self, change, UMBP_EUNREACH);
    }
    self->stats.waiting -= stream->count - kept;
    stream->count = kept;
}

//  Start over with all that the member ought to know. The stream begins at once, so that it takes what changes from
//  now on; the blocks that are here follow when it is its turn.
void umbp_stream_account (umbp_stream_t *stream)
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

umbp_stream_t *umbp_stream_new (umbp_announce_t *self, const umbp_member_t *member)
{
    umbp_stream_t *stream = zmalloc (sizeof (umbp_stream_t));
    stream->parent = self;
    stream->queue = zmalloc (UMBP_QUEUE_MAX * sizeof (umbp_change_t));
    stream->next = self->floor;
    stream->epoch = member->epoch;
    stream->swings = member->swings;
    snprintf (stream->node, sizeof stream->node, "%s", member->node);
    umbp_stream_account (stream);
    return stream;
}

//  What an account or a walk over the blocks says counts as part of the change after the last one
void umbp_stream_push (umbp_stream_t *stream, uint32_t item, uint8_t kind, umbp_shard_t shard,
                       uint64_t tag, uint64_t serial)
{
    umbp_announce_t *self = stream->parent;
    const umbp_block_t *block = umbp_store_block (self->store, item);
    if (stream->count == UMBP_QUEUE_MAX)
        umbp_stream_account (stream);   //  It is far behind: what it missed comes with the account
    stream->queue[(stream->head + stream->count++) % UMBP_QUEUE_MAX] =
        (umbp_change_t){ /* clang-format off */
        .print = block->print, .serial = serial, .tag = tag, .token = block->token,
        .item = item, .size = block->size, .sum = (uint32_t) block->sum,
        .kind = kind, .shard = shard };
    self->stats.waiting++;
}

//  Put what is due of the account into the queue. The walk goes on later when its step is used up.
void umbp_stream_walk (umbp_stream_t *stream)
{
    umbp_announce_t *self = stream->parent;
    if (!stream->account || stream->end || stream->ticket)
        return;
    int member = umbp_topology_find (self->rings.now, umbp_text (stream->node));
    uint32_t reach = umbp_store_reach (self->store), limit = stream->cursor + UMBP_WALK_MAX;
    while (stream->cursor < reach && stream->cursor < limit && stream->count < UMBP_CHANGES_MAX) {
        uint32_t item = stream->cursor++;
        if (!umbp_store_is_stored (self->store, item))
            continue;
        umbp_owner_t owners[UMBP_OWNERS_MAX];
        size_t count = umbp_announce_owners (self, item, owners);
        for (size_t index = 0; index < count; index++)
            if (owners[index].member == member && umbp_announce_shard (self, owners, index).in)
                umbp_stream_push (stream, item, UMBP_HOLDS,
                                  umbp_announce_shard (self, owners, index), 0, self->serial + 1);
    }
    stream->end = stream->cursor >= reach;
}

//  Whether the account that is being given to a member will come to an item: then it is not said twice
bool umbp_stream_comes (const umbp_stream_t *stream, uint32_t item)
{
    return stream->account && !stream->end && stream->cursor <= item;
}

bool umbp_stream_is_slow (const umbp_stream_t *stream)
{
    return stream->waiting_since && zclock_mono () - stream->waiting_since > UMBP_PATIENCE_MS;
}

//  --------------------------------------------------------------------------------------------------
//  Messages

//  Whether the member may have forgotten us since it was heard of last: it might have given us up, dropped our
//  entries, and taken us in again, while we noticed nothing. Then it is asked, with a change that changes nothing.
bool umbp_stream_is_unsure (const umbp_stream_t *stream)
{
    return stream->swings_sure != stream->swings;
}

//  The changes at the head were heard: tell who wants to know, and go on
static void s_acknowledge (umbp_stream_t *stream, const umbp_msg_change_ok_t *answer)
{
    umbp_announce_t *self = stream->parent;
    uint32_t flying = stream->flying;
    uint64_t turn = stream->turn;
    stream->flying = 0;
    for (uint32_t index = 0; index < flying && stream->turn == turn; index++) {
        umbp_change_t change = stream->queue[stream->head];
        stream->head = (stream->head + 1) % UMBP_QUEUE_MAX;
        stream->count--;
        stream->next++;
        self->stats.waiting--;
        self->stats.acknowledged++;
        int verdict = index < answer->verdicts.count ? umbp_s8s_at (answer->verdicts, index) : 0;
        if (change.kind == UMBP_HOLDS)
            s_pass_on (self, &change,
                       umbp_dispute_judge (stream, &change, verdict, answer->topo_epoch));
    }
}

umbp_stream_t *umbp_stream_of (umbp_announce_t *self, uint64_t turn)
{
    for (size_t index = 0; index < UMBP_NODES_MAX; index++)
        if (self->streams[index] && self->streams[index]->turn == turn)
            return self->streams[index];
    return NULL;
}

static void s_on_answer (void *part, uint64_t turn, int status, const umbp_mail_t *mail)
{
    umbp_announce_t *self = part;
    umbp_stream_t *stream = umbp_stream_of (self, turn);
    if (!stream)
        return;                         //  It was started over, or its member left
    stream->asked = false;
    if (status == UMBP_ESTALE || status == UMBP_EINVAL || status == UMBP_EPROTO) {
        umbp_stream_account (stream);
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
    if (umbp_stream_of (self, turn) == stream) {
        umbp_stream_walk (stream);
        umbp_stream_send (stream);
    }
    self->on_heard (self->owner);
}

static void s_fill (umbp_stream_t *stream, umbp_msg_t *msg)
{
    umbp_announce_t *self = stream->parent;
    uint32_t count = stream->count < UMBP_CHANGES_MAX ? stream->count : UMBP_CHANGES_MAX;
    for (uint32_t index = 0; index < count; index++) {
        const umbp_change_t *change = &stream->queue[(stream->head + index) % UMBP_QUEUE_MAX];
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
void umbp_stream_send (umbp_stream_t *stream)
{
    umbp_announce_t *self = stream->parent;
    if (stream->asked || zclock_mono () < stream->retry_at)
        return;
    if (stream->count == 0 && !(stream->account && (stream->begin || stream->end))
        && !umbp_stream_is_unsure (stream))
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

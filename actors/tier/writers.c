//  actors/tier/writers.c - slots: who may write where, and when what was written becomes a block.
//
//  A slot is given back in one of three ways, and its pages are used again only when its writer cannot reach them
//  any more: the writer commits or aborts it; it was written over tcp and its token is fenced; it was written
//  through shared memory and the writer's door is closed. A deadline alone never frees pages.
#include "actors/tier/squeeze.h"
#include "cluster/bulk/copy.h"
#include "proto/scope.h"

//  --------------------------------------------------------------------------------------------------
//  reserve

//  Let the session write over tcp, unless it maps our memory. Returns 0 or an error.
static int s_grant (umbp_manager_t *self, umbp_block_t *block)
{
    if (umbp_manager_attached (self, block->session))
        return 0;
    umbp_grant_item_t item = { block->extents, block->extent_count, block->size };
    umbp_grant_t grant = { .token = block->token,
                           .session = block->session,
                           .write = true,
                           .deadline_ms = block->expires, .items = &item, .item_count = 1 };
    int rc = umbp_bulk_server_grant (self->args.bulk, &grant);
    block->granted = rc == 0;
    return rc;
}

//  A block that somebody wants to write
typedef struct {
    umbp_bytes_t key;
    uint32_t size;
    uint16_t depth;
    uint64_t session, replicas;
    bool calm;                          //  Nothing shall leave for it
    uint64_t hint;                      //  As in the message
    bool left;                          //  It was in the pool lately, and left for want of room
} wish_t;

static bool s_is_calm (const umbp_manager_t *self, uint32_t size)
{
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    return counts.used_bytes + umbp_store_bytes (self->store, size)
           <= counts.total_bytes / 100 * self->args.evict_high;
}

//  Whether blocks have to leave for it. Else all pages of a tier whose blocks rest on disk are on their way there.
static bool s_is_full (const umbp_manager_t *self, uint32_t size)
{
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    return !self->depot
           || counts.used_bytes + umbp_store_bytes (self->store, size) > counts.total_bytes;
}

static int s_make_slot (umbp_manager_t *self, const wish_t *wish, uint32_t *item_p)
{
    return umbp_store_reserve (self->store, wish->key.data, wish->key.size, wish->size, wish->depth,
                               item_p);
}

//  Whether the message says of a block that it was here lately
static bool s_left (const umbp_u8s_t *left, uint32_t index)
{
    return index < left->count && umbp_u8s_at (*left, index) > 0;
}

//  What came back from wherever it left has proven itself, as if our own policy remembered it
static void s_set_hints (umbp_manager_t *self, const wish_t *wish, uint32_t item)
{
    bool copy = wish->hint == UMBP_HINT_COPY;
    uint64_t hint = copy ? UMBP_POLICY_HINT_NONE : wish->hint;
    self->returned += wish->left;
    if (wish->left && hint == UMBP_POLICY_HINT_NONE)
        hint = UMBP_POLICY_HINT_KEEP;
    umbp_store_set_hints (self->store, item, (umbp_policy_hint_t) hint, copy);
}

static int s_reserve (umbp_manager_t *self, const wish_t *wish, uint32_t *item_p)
{
    if (self->keeper.draining)
        return UMBP_EAGAIN;             //  Also of what is here: soon it will not be
    if (umbp_manager_is_suspended (self, wish->key))
        return UMBP_EAGAIN;
    if (wish->calm && !s_is_calm (self, wish->size)
        && umbp_store_find (self->store, wish->key.data, wish->key.size) == UMBP_STORE_NONE)
        return UMBP_EAGAIN;
    int rc = s_make_slot (self, wish, item_p);
    if (rc == UMBP_EQUOTA && wish->calm)
        return UMBP_EAGAIN;
    if (rc == UMBP_EQUOTA) {
        rc = umbp_manager_make_room (self, umbp_scope_tenant (wish->key.data, wish->key.size),
                                     wish->size);
        if (rc == 0)
            rc = s_make_slot (self, wish, item_p);
    }
    if (rc == UMBP_EEXIST)
        umbp_store_touch (self->store, *item_p, self->tick);
    if (rc == UMBP_EAGAIN) {
        self->full++;
        umbp_manager_was_full (self, wish->size);
        if (!wish->calm && s_is_full (self, wish->size))
            umbp_manager_press (self, wish->size);
    }
    if (rc < 0)
        return rc;
    umbp_block_t *block = umbp_store_block (self->store, *item_p);
    block->session = wish->session;
    block->replicas = (uint8_t) wish->replicas;
    block->expires = zclock_mono () + self->args.slot_ttl_ms;
    s_set_hints (self, wish, *item_p);
    return 0;
}

void umbp_manager_on_reserve (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_reserve_t *ask = &mail->msg->reserve;
    if (ask->session == 0) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EINVAL, "session",
                          "0 cannot write to a slot");
        return;
    }
    uint64_t session = umbp_bulk_alias (ask->session);
    self->tick++;
    self->extents = 0;
    size_t offset = 0;
    for (size_t index = 0; index < ask->keys.count; index++) {
        umbp_bytes_t key = umbp_column_next (&ask->keys, index, &offset);
        uint16_t depth = ask->depths.count ? umbp_u16s_at (ask->depths, index) : 0;
        uint32_t item, extents = self->extents;
        wish_t wish = { key,           umbp_u32s_at (ask->sizes, index),
                        depth,         session,
                        ask->replicas, ask->calm,
                        ask->hint,     s_left (&ask->left, index) };
        int rc = s_reserve (self, &wish, &item);
        umbp_block_t *block = rc == 0 ? umbp_store_block (self->store, item) : NULL;
        if (block && !umbp_manager_add_extents (self, block, index))
            rc = UMBP_ETOOBIG;
        else if (block)
            rc = s_grant (self, block);
        self->slots[index] = 0;
        if (rc == 0 && block)
            self->slots[index] = block->token;
        else {
            self->extent_counts[index] = 0;
            self->extents = extents;
            if (block)
                umbp_store_drop (self->store, item);
        }
        self->statuses[index] = (int8_t) rc;
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_reserve_ok, 0);
    umbp_msg_reserve_ok_t *ok = &answer.reserve_ok;
    uint32_t count = ask->keys.count;
    ok->statuses = (umbp_s8s_t) { self->statuses, count };
    ok->slots = (umbp_u64s_t) { self->slots, count };
    ok->extent_counts = (umbp_u16s_t) { self->extent_counts, count };
    ok->regions = (umbp_u16s_t) { self->regions, self->extents };
    ok->pages = (umbp_u32s_t) { self->pages, self->extents };
    ok->page_counts = (umbp_u32s_t) { self->page_counts, self->extents };
    ok->generations = (umbp_u32s_t) { self->generations, self->extents };
    ok->page_size = self->args.page_size;
    ok->ttl_ms = self->args.slot_ttl_ms;
    ok->bulk = umbp_text (self->bulk);
    ok->bulk_key = umbp_manager_bulk_key (self, session);
    ok->reason = umbp_manager_refusal (self);
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  The end of a slot

//  Take the writer's right away. Returns true if that is done; else the slot is held until the fence is up.
static bool s_fence (umbp_manager_t *self, uint32_t item)
{
    umbp_block_t *block = umbp_store_block (self->store, item);
    if (!block->granted)
        return true;
    block->granted = false;
    if (umbp_bulk_server_revoke (self->args.bulk, block->token) <= 0)
        return true;
    self->fences_waited++;
    umbp_store_hold (self->store, item);
    return false;
}

void umbp_manager_end_slot (umbp_manager_t *self, uint32_t item)
{
    s_fence (self, item);
    umbp_store_drop (self->store, item);
}

void umbp_manager_end_slots_of (umbp_manager_t *self, uint64_t session)
{
    uint32_t item = umbp_store_slots (self->store);
    while (item != UMBP_STORE_NONE) {
        const umbp_block_t *block = umbp_store_block (self->store, item);
        uint32_t after = block->slot_after;
        if (block->session == session)
            umbp_manager_end_slot (self, item);
        item = after;
    }
}

//  Slots of writers over tcp end with their time. One of an attached writer is past its time too, so commit refuses
//  it, but its pages wait until the writer lets go.
void umbp_manager_expire_slots (umbp_manager_t *self, int64_t now)
{
    uint32_t item = umbp_store_slots (self->store);
    while (item != UMBP_STORE_NONE) {
        const umbp_block_t *block = umbp_store_block (self->store, item);
        uint32_t after = block->slot_after;
        if (block->expires <= now && !umbp_manager_attached (self, block->session)) {
            self->expired_slots++;
            umbp_manager_end_slot (self, item);
        }
        item = after;
    }
}

void umbp_manager_on_abort (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_abort_t *ask = &mail->msg->abort;
    umbp_sight_t sight = umbp_manager_sight (self, mail->origin);
    for (size_t index = 0; index < ask->slots.count; index++) {
        uint32_t item = umbp_store_slot (self->store, umbp_u64s_at (ask->slots, index));
        if (item != UMBP_STORE_NONE && umbp_manager_sees (self, sight, item))
            umbp_manager_end_slot (self, item);
    }
    umbp_post_answer_status (self->post, mail->origin, UMBP_OK);
}

//  --------------------------------------------------------------------------------------------------
//  Waiting for the index

void umbp_manager_free_waiter (umbp_waiter_t *waiter)
{
    free (waiter->needs);               //  One piece of memory with all that is per item,
    free (waiter->wanted);             //  ... and one for those that want copies
}

static void s_waiter_free (umbp_waiter_t *waiter)
{
    umbp_manager_free_waiter (waiter);
    *waiter = (umbp_waiter_t) { .turn = waiter->turn + 1 };
}

//  Nobody will wait for it any more. Copies that were not asked for yet still are.
static void s_waiter_end (umbp_manager_t *self, umbp_waiter_t *waiter)
{
    for (uint32_t index = 0; waiter->wanted && index < waiter->count; index++)
        if (waiter->wanted[index].due
            && !umbp_spread_add (self->spread, UMBP_SPREAD_PUT, waiter->wanted[index].item, 0))
            self->keeper.missing += waiter->missing[index];
    s_waiter_free (waiter);
}

//  A free place. If all are taken, one whose commit is answered: a word about it may still come, from a shard that
//  is slow or gone, and finds nobody. NULL if all wait for their answer.
static umbp_waiter_t *s_waiter_place (umbp_manager_t *self)
{
    umbp_waiter_t *oldest = NULL;
    for (size_t index = 0; index < UMBP_WAITERS_MAX; index++) {
        umbp_waiter_t *waiter = &self->waiters[index];
        if (!waiter->used)
            return waiter;
        if (waiter->answered && (!oldest || waiter->expires < oldest->expires))
            oldest = waiter;
    }
    if (oldest)
        s_waiter_end (self, oldest);
    return oldest;
}

//  Room for what a commit of count items has to remember. Returns NULL if too many wait.
static umbp_waiter_t *s_waiter_new (umbp_manager_t *self, const umbp_mail_t *mail,
                                    uint16_t answer_type, bool keep, uint32_t count)
{
    umbp_waiter_t *waiter = s_waiter_place (self);
    if (!waiter)
        return NULL;
    waiter->origin = *mail->origin;
    waiter->used = true;
    waiter->keep = keep;
    waiter->answer_type = answer_type;
    waiter->count = count;
    waiter->unheard = waiter->outstanding = 1;       //  Us, until it is sealed
    int64_t now = zclock_mono (), wait = mail->expires - now;
    waiter->expires = now + wait - wait / 4;         //  Answer before the asker gives up
    waiter->patient_until = now + UMBP_PATIENCE_MS;
    waiter->needs = zmalloc (count * (sizeof *waiter->needs + 1) + 1);
    waiter->statuses = (int8_t *) (waiter->needs + count);
    return waiter;
}

static void s_waiter_answer (umbp_manager_t *self, umbp_waiter_t *waiter)
{
    umbp_msg_t answer;
    umbp_msg_init (&answer, (umbp_msg_type_t) waiter->answer_type, 0);
    umbp_s8s_t statuses = { waiter->statuses, waiter->count };
    umbp_u8s_t missing = { waiter->missing, waiter->wanted ? waiter->count : 0 };
    if (waiter->answer_type == UMBP_MSG_commit_ok) {
        answer.commit_ok.statuses = statuses;
        answer.commit_ok.missing = missing;
    } else {
        answer.store_ok.statuses = statuses;
        answer.store_ok.missing = missing;
        answer.store_ok.reason = umbp_text (waiter->suspended ? UMBP_SQUEEZE_REASON : "");
    }
    waiter->answered = true;
    umbp_post_answer (self->post, &waiter->origin, &answer, NULL, 0);
}

//  The item wants copies on other nodes: the commit waits for them too
static void s_want (umbp_waiter_t *waiter, uint32_t index, uint32_t item, unsigned replicas)
{
    if (!waiter->wanted) {
        waiter->wanted = zmalloc (waiter->count * (sizeof (umbp_wanted_t) + 1));
        waiter->missing = (uint8_t *) (waiter->wanted + waiter->count);
    }
    waiter->wanted[index] = (umbp_wanted_t) { item, true };
    waiter->missing[index] = (uint8_t) (replicas - 1);
    waiter->unheard++;
    waiter->outstanding++;
}

//  Of an item all has been heard that is needed: copies are made from now on. So the index knows this one as the first.
static void s_spread (umbp_manager_t *self, umbp_waiter_t *waiter, uint32_t index, uint64_t tag)
{
    if (!waiter->wanted || !waiter->wanted[index].due)
        return;
    waiter->wanted[index].due = false;
    if (umbp_spread_add (self->spread, UMBP_SPREAD_PUT, waiter->wanted[index].item, tag))
        return;
    self->keeper.missing += waiter->missing[index];  //  Too much at once
    waiter->unheard--;
    waiter->outstanding--;
}

static uint64_t s_tag (const umbp_manager_t *self, const umbp_waiter_t *waiter, uint32_t index)
{
    return (uint64_t) (waiter - self->waiters + 1) << 48 | (uint64_t) index << 32 | waiter->turn;
}

//  Tell the index of a block that became live, as item index of this commit
static void s_announce (umbp_manager_t *self, umbp_waiter_t *waiter, uint32_t index, uint32_t item)
{
    uint64_t tag = s_tag (self, waiter, index);
    int rc = self->depot ? umbp_depot_save (self->depot, item, tag) : 0;
    if (rc < 0) {
        waiter->statuses[index] = (int8_t) rc;
        umbp_store_drop (self->store, item);
        return;
    }
    umbp_audience_t audience = umbp_announce_add (self->announce, item, tag);
    waiter->outstanding += (uint32_t) audience.shards + (self->depot != NULL);
    waiter->needs[index] = (uint16_t) (audience.in | (audience.primary ? UMBP_NEEDS_PRIMARY : 0)
                                       | (self->depot ? UMBP_NEEDS_DISK : 0));
    waiter->unheard += audience.shards > 0 || self->depot;
    unsigned replicas = umbp_store_block (self->store, item)->replicas;
    if (replicas > 1 && !waiter->keep)
        s_want (waiter, index, item, replicas);
    if (audience.shards == 0 && !self->depot)
        s_spread (self, waiter, index, tag);
    umbp_manager_write_through (self, item);
    self->puts++;
    self->put_bytes += umbp_store_block (self->store, item)->size;
}

//  All items are announced: answer now if nobody needs to be heard, and forget it if nobody will speak
static void s_waiter_seal (umbp_manager_t *self, umbp_waiter_t *waiter, bool nowait)
{
    umbp_announce_send (self->announce);
    if (nowait && waiter->wanted)       //  They come later, and nobody is told
        memset (waiter->missing, 0, waiter->count);
    if (--waiter->unheard == 0 || nowait)
        s_waiter_answer (self, waiter);
    if (--waiter->outstanding == 0)
        s_waiter_free (waiter);
}

static void s_met (umbp_manager_t *self, umbp_waiter_t *waiter, uint32_t index, uint16_t needs)
{
    uint16_t left = waiter->needs[index] & (uint16_t) ~needs;
    bool last = waiter->needs[index] != 0 && left == 0;
    waiter->unheard -= last;
    waiter->needs[index] = left;
    if (last)
        s_spread (self, waiter, index, s_tag (self, waiter, index));
}

//  Whether the block of this word has to go: who decides knew another. One that nobody waits for any more, or that
//  came with an account, goes only if its bytes are other ones.
static bool s_has_lost (umbp_manager_t *self, const umbp_word_t *word, const umbp_waiter_t *waiter)
{
    if (word->verdict == UMBP_EEXIST)   //  One that wants copies is one itself
        return waiter && !waiter->keep && umbp_store_block (self->store, word->item)->replicas < 2;
    if (word->verdict != UMBP_ECHECKSUM)
        return false;
    self->conflicts++;
    zsys_warning ("%s: two writers gave one key other bytes, the first one stays: size=%u",
                  self->args.name, umbp_store_block (self->store, word->item)->size);
    return true;
}

//  Who waits for a word with this tag; NULL if nobody does any more
static umbp_waiter_t *s_waiter_of (umbp_manager_t *self, uint64_t tag)
{
    if (tag == 0)
        return NULL;
    umbp_waiter_t *waiter = &self->waiters[(tag >> 48) - 1];
    return waiter->used && waiter->turn == (uint32_t) tag ? waiter : NULL;
}

void umbp_manager_on_word (void *owner, const umbp_word_t *word)
{
    umbp_manager_t *self = owner;
    umbp_waiter_t *waiter = s_waiter_of (self, word->tag);
    uint32_t index = word->tag >> 32 & 0xffff;
    bool lost = s_has_lost (self, word, waiter);
    const umbp_block_t *block = umbp_store_block (self->store, word->item);
    if (lost && block->state == UMBP_BLOCK_LIVE && block->token == word->token) {
        self->dropped++;
        umbp_manager_drop (self, word->item);
    }
    if (!waiter)
        return;
    waiter->outstanding--;
    if (lost)
        waiter->statuses[index] = UMBP_EEXIST;
    s_met (self, waiter, index,
           (uint16_t) ((word->verdict == UMBP_EUNREACH ? 0 : word->shard.in)
                       | (word->shard.primary ? UMBP_NEEDS_PRIMARY : 0)));
    if (waiter->unheard == 0 && !waiter->answered)
        s_waiter_answer (self, waiter);
    if (waiter->outstanding == 0)
        s_waiter_free (waiter);
}

//  A block is on disk, or could not be written there: then it goes
void umbp_manager_saved (umbp_manager_t *self, const umbp_depot_word_t *word)
{
    umbp_waiter_t *waiter = s_waiter_of (self, word->tag);
    uint32_t index = word->tag >> 32 & 0xffff;
    if (word->status < 0 && umbp_store_block (self->store, word->item)->state == UMBP_BLOCK_LIVE)
        umbp_manager_drop (self, word->item);
    if (!waiter)
        return;
    waiter->outstanding--;
    if (word->status < 0 && waiter->statuses[index] == 0)
        waiter->statuses[index] = (int8_t) word->status;
    s_met (self, waiter, index, UMBP_NEEDS_DISK);
    if (waiter->unheard == 0 && !waiter->answered)
        s_waiter_answer (self, waiter);
    if (waiter->outstanding == 0)
        s_waiter_free (waiter);
}

//  The copies of an item are made, or cannot be
void umbp_manager_on_copies (umbp_manager_t *self, const umbp_spread_end_t *end)
{
    umbp_waiter_t *waiter = s_waiter_of (self, end->tag);
    uint32_t index = end->tag >> 32 & 0xffff;
    self->keeper.missing += end->missing;
    if (!waiter || !waiter->wanted)
        return;
    waiter->missing[index] = (uint8_t) end->missing;
    waiter->outstanding--;
    if (--waiter->unheard == 0 && !waiter->answered)
        s_waiter_answer (self, waiter);
    if (waiter->outstanding == 0)
        s_waiter_free (waiter);
}

//  Others have heard of it: that is enough now
static void s_waiter_hurry (umbp_manager_t *self, umbp_waiter_t *waiter)
{
    for (uint32_t index = 0; index < waiter->count; index++)
        s_met (self, waiter, index, UMBP_NEEDS_PRIMARY);
    if (waiter->unheard == 0)
        s_waiter_answer (self, waiter);
}

void umbp_manager_expire_waiters (umbp_manager_t *self, int64_t now)
{
    for (size_t number = 0; number < UMBP_WAITERS_MAX; number++) {
        umbp_waiter_t *waiter = &self->waiters[number];
        if (waiter->used && !waiter->answered && waiter->patient_until <= now)
            s_waiter_hurry (self, waiter);
        if (!waiter->used || waiter->expires > now)
            continue;
        for (uint32_t index = 0; index < waiter->count && !waiter->answered; index++)
            if (waiter->needs[index] && waiter->statuses[index] == 0)
                waiter->statuses[index] =            //  Stored, and told as soon as a shard listens
                    waiter->needs[index] & UMBP_NEEDS_DISK ? UMBP_ETIMEDOUT : UMBP_EUNREACH;
        if (!waiter->answered)
            s_waiter_answer (self, waiter);
        s_waiter_end (self, waiter);
    }
}

//  --------------------------------------------------------------------------------------------------
//  commit

//  Make one slot a block. Returns 0, UMBP_EEXIST or UMBP_ESTALE.
static int s_commit (umbp_manager_t *self, umbp_sight_t sight, uint64_t token, uint64_t sum,
                     uint32_t *item_p)
{
    uint32_t item = umbp_store_slot (self->store, token);
    if (item == UMBP_STORE_NONE || !umbp_manager_sees (self, sight, item)) {
        self->stale++;
        return UMBP_ESTALE;
    }
    if (umbp_store_block (self->store, item)->expires <= zclock_mono () || !s_fence (self, item)) {
        self->stale++;                  //  Too late, or it still writes while it says that it is done
        umbp_manager_end_slot (self, item);
        return UMBP_ESTALE;
    }
    *item_p = item;
    return umbp_store_commit (self->store, item, sum, self->tick);
}

void umbp_manager_on_commit (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_commit_t *ask = &mail->msg->commit;
    uint32_t count = ask->slots.count;
    umbp_waiter_t *waiter = s_waiter_new (self, mail, UMBP_MSG_commit_ok, ask->keep, count);
    if (!waiter) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EAGAIN, "commit",
                          "too many wait for the index");
        return;
    }
    self->tick++;
    umbp_sight_t sight = umbp_manager_sight (self, mail->origin);
    for (uint32_t index = 0; index < count; index++) {
        uint32_t item = UMBP_STORE_NONE;
        int rc = s_commit (self, sight, umbp_u64s_at (ask->slots, index),
                           umbp_u64s_at (ask->sums, index), &item);
        waiter->statuses[index] = (int8_t) rc;
        if (rc == 0)
            s_announce (self, waiter, index, item);
    }
    s_waiter_seal (self, waiter, ask->nowait);
}

//  --------------------------------------------------------------------------------------------------
//  store: reserve, write and commit in one, of values that came with the message

static int s_store (umbp_manager_t *self, const wish_t *wish, uint64_t sum, const uint8_t *data,
                    uint32_t *item_p)
{
    uint32_t size = wish->size;
    if (umbp_sum (data, size) != sum) {
        self->bad_sums++;
        return UMBP_ECHECKSUM;
    }
    int rc = s_reserve (self, wish, item_p);
    if (rc < 0)
        return rc;
    const umbp_block_t *block = umbp_store_block (self->store, *item_p);
    uint64_t left = size;
    for (size_t index = 0; index < block->extent_count; index++) {
        uint64_t bytes = umbp_extent_bytes (&block->extents[index], self->args.page_size, left);
        memcpy (umbp_manager_at (self, &block->extents[index]), data + (size - left), bytes);
        left -= bytes;
    }
    return umbp_store_commit (self->store, *item_p, sum, self->tick);
}

void umbp_manager_on_store (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_store_t *ask = &mail->msg->store;
    uint32_t count = ask->keys.count;
    uint64_t total = 0;
    for (uint32_t index = 0; index < count; index++)
        total += umbp_u32s_at (ask->sizes, index);
    if (total != mail->payload_size) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EINVAL, "payload",
                          "its size is not that of the blocks");
        return;
    }
    umbp_waiter_t *waiter = s_waiter_new (self, mail, UMBP_MSG_store_ok, ask->keep, count);
    if (!waiter) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EAGAIN, "store",
                          "too many wait for the index");
        return;
    }
    self->tick++;
    size_t offset = 0;
    const uint8_t *data = mail->payload;
    for (uint32_t index = 0; index < count; index++) {
        umbp_bytes_t key = umbp_column_next (&ask->keys, index, &offset);
        uint32_t size = umbp_u32s_at (ask->sizes, index), item = UMBP_STORE_NONE;
        uint16_t depth = ask->depths.count ? umbp_u16s_at (ask->depths, index) : 0;
        wish_t wish = { key,           size,      depth,     0,
                        ask->replicas, ask->calm, ask->hint, s_left (&ask->left, index) };
        int rc = s_store (self, &wish, umbp_u64s_at (ask->sums, index), data, &item);
        data += size;
        waiter->statuses[index] = (int8_t) rc;
        if (rc == 0)
            s_announce (self, waiter, index, item);
    }
    waiter->suspended = umbp_manager_refusal (self).size > 0;
    s_waiter_seal (self, waiter, ask->nowait);
}

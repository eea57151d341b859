//  actors/tier/waiters.c - answers of commits and stores that are held back until the shards have heard of the blocks, the
//  disk has them where there is one, and the copies that were asked for are made
#include "actors/tier/squeeze.h"

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
umbp_waiter_t *umbp_manager_waiter (umbp_manager_t *self, const umbp_mail_t *mail,
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

//  Tell the index of a block. Who waits for it waits for the shards too.
static void s_tell (umbp_manager_t *self, umbp_waiter_t *waiter, uint32_t index, uint32_t item,
                    uint64_t tag)
{
    umbp_audience_t audience = umbp_announce_add (self->announce, item, tag);
    if (!waiter)
        return;
    waiter->outstanding += (uint32_t) audience.shards;
    waiter->needs[index] |= (uint16_t) (audience.in | (audience.primary ? UMBP_NEEDS_PRIMARY : 0));
}

//  A block became live, as item index of this commit. What rests in a depot is told of when it is there: else who puts it
//  once more would hear that the pool has it, and it might be lost yet.
void umbp_manager_announce (umbp_manager_t *self, umbp_waiter_t *waiter, uint32_t index,
                            uint32_t item)
{
    uint64_t tag = s_tag (self, waiter, index);
    int rc = self->depot ? umbp_depot_save (self->depot, item, tag) : 0;
    if (rc < 0) {
        waiter->statuses[index] = (int8_t) rc;
        umbp_store_drop (self->store, item);
        return;
    }
    waiter->needs[index] = self->depot ? UMBP_NEEDS_DISK : 0;
    waiter->outstanding += self->depot != NULL;
    if (!self->depot)
        s_tell (self, waiter, index, item, tag);
    waiter->unheard += waiter->needs[index] != 0;
    unsigned replicas = umbp_store_block (self->store, item)->replicas;
    if (replicas > 1 && !waiter->keep)
        s_want (waiter, index, item, replicas);
    if (waiter->needs[index] == 0)
        s_spread (self, waiter, index, tag);
    umbp_manager_came (self, item, &waiter->origin, waiter->keep);
    umbp_manager_write_through (self, item);
    self->puts++;
    self->put_bytes += umbp_store_block (self->store, item)->size;
}

//  All items are announced: answer now if nobody needs to be heard, and forget it if nobody will speak
void umbp_manager_seal (umbp_manager_t *self, umbp_waiter_t *waiter, bool nowait)
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

//  A block is on disk, or could not be written there: then it goes. Was it removed meanwhile (UMBP_ENOENT), then it was
//  put before that.
void umbp_manager_saved (umbp_manager_t *self, const umbp_depot_word_t *word)
{
    umbp_waiter_t *waiter = s_waiter_of (self, word->tag);
    uint32_t index = word->tag >> 32 & 0xffff;
    if (word->status < 0 && umbp_store_block (self->store, word->item)->state == UMBP_BLOCK_LIVE) {
        umbp_manager_drop (self, word->item);
        self->dropped++;
    }
    if (word->status == 0) {
        umbp_manager_took (self);
        if (umbp_store_is_stored (self->store, word->item))
            s_tell (self, waiter, index, word->item, word->tag);
    }
    if (!waiter)
        return;
    waiter->outstanding--;
    if (word->status < 0 && word->status != UMBP_ENOENT && waiter->statuses[index] == 0)
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

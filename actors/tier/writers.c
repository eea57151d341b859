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
    bool moves;                         //  From another tier or node: nobody asked for it
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
    if (umbp_manager_is_suspended (self, wish->key, wish->calm || wish->hint == UMBP_HINT_COPY))
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
    if (rc == UMBP_EEXIST && !umbp_store_is_stored (self->store, *item_p))
        return UMBP_EAGAIN;             //  It is on its way to the disk, and may not get there
    if (rc == UMBP_EEXIST) {
        (wish->moves ? umbp_store_freshen : umbp_store_touch) (self->store, *item_p, self->tick);
        umbp_store_block (self->store, *item_p)->above = 0;     //  Maybe it leaves there
    }
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
        wish_t wish = { key,
                        umbp_u32s_at (ask->sizes, index),
                        depth,
                        session,
                        ask->replicas,
                        ask->calm,
                        ask->hint,
                        s_left (&ask->left, index),
                        ask->keep && umbp_manager_is_actor (mail->origin) };
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
//  commit

//  Make one slot a block. Returns 0, UMBP_EEXIST, UMBP_EAGAIN or UMBP_ESTALE.
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
    const umbp_block_t *block = umbp_store_block (self->store, item);
    uint32_t known = umbp_store_find (self->store, block->key, block->key_size);
    int rc = umbp_store_commit (self->store, item, sum, self->tick);
    return rc == UMBP_EEXIST && !umbp_store_is_stored (self->store, known) ? UMBP_EAGAIN : rc;
}

void umbp_manager_on_commit (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_commit_t *ask = &mail->msg->commit;
    uint32_t count = ask->slots.count;
    umbp_waiter_t *waiter = umbp_manager_waiter (self, mail, UMBP_MSG_commit_ok, ask->keep, count);
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
            umbp_manager_announce (self, waiter, index, item);
    }
    umbp_manager_seal (self, waiter, ask->nowait);
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
    umbp_waiter_t *waiter = umbp_manager_waiter (self, mail, UMBP_MSG_store_ok, ask->keep, count);
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
        wish_t wish = { key,
                        size,
                        depth,
                        0,
                        ask->replicas,
                        ask->calm,
                        ask->hint,
                        s_left (&ask->left, index),
                        ask->keep && umbp_manager_is_actor (mail->origin) };
        int rc = s_store (self, &wish, umbp_u64s_at (ask->sums, index), data, &item);
        data += size;
        waiter->statuses[index] = (int8_t) rc;
        if (rc == 0)
            umbp_manager_announce (self, waiter, index, item);
    }
    waiter->suspended = umbp_manager_refusal (self).size > 0;
    umbp_manager_seal (self, waiter, ask->nowait);
}

//  actors/tier/readers.c - leases: who may read what. A leased block's pages are neither freed nor used again.
//
//  An attached reader's lease lasts until it is released or the reader's door closes, however it dies. That of a
//  reader over tcp also ends with its time, and in any case only when its token is fenced.
#include "actors/tier/manager_self.h"

#include "cluster/origin.h"

//  --------------------------------------------------------------------------------------------------
//  lease

//  Copy a block behind the payload
static void s_inline (umbp_manager_t *self, const umbp_block_t *block, uint32_t *used)
{
    uint64_t left = block->size;
    for (size_t index = 0; index < block->extent_count; index++) {
        uint64_t bytes = umbp_extent_bytes (&block->extents[index], self->args.page_size, left);
        memcpy (self->payload + *used, umbp_manager_at (self, &block->extents[index]), bytes);
        *used += (uint32_t) bytes;
        left -= bytes;
    }
}

//  A row of the answer: the block's bytes if they fit, else its extents. Returns true if it must be held.
static bool s_row (umbp_manager_t *self, uint32_t item, size_t index, const umbp_reader_t *reader,
                   uint32_t *used)
{
    const umbp_block_t *block = umbp_store_block (self->store, item);
    self->sizes[index] = block->size;
    self->sums[index] = block->sum;
    self->depths[index] = block->depth;
    self->hit_bytes += block->size;
    if (*used + (uint64_t) block->size <= reader->inline_max) {
        s_inline (self, block, used);
        self->inlined[index] = 1;
        return false;
    }
    self->statuses[index] =
        (int8_t) (reader->session == 0                            ? UMBP_ETOOBIG
                  : umbp_manager_add_extents (self, block, index) ? 0
                                                                  : UMBP_EAGAIN);
    return self->statuses[index] == 0;
}

static void s_unhold_items (umbp_manager_t *self, const uint32_t *items, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++)
        umbp_store_unhold (self->store, items[index]);
}

//  Hold the items for the session, and let it read them over tcp unless it maps our memory. Returns the number
//  of the lease, 0 if there are too many.
static uint64_t s_hold (umbp_manager_t *self, uint64_t session, const uint32_t *items,
                        uint32_t count)
{
    bool attached = umbp_manager_attached (self, session);
    int64_t expires = attached ? INT64_MAX : zclock_mono () + self->args.lease_ttl_ms;
    umbp_lease_t *lease = umbp_leases_add (self->leases, session, items, count, expires);
    if (!lease)
        return 0;
    for (uint32_t index = 0; index < count; index++)
        umbp_store_hold (self->store, items[index]);
    if (attached)
        return lease->number;
    for (uint32_t index = 0; index < count; index++) {
        const umbp_block_t *block = umbp_store_block (self->store, items[index]);
        self->grants[index] =
            (umbp_grant_item_t){ block->extents, block->extent_count, block->size };
    }
    umbp_grant_t grant = { .token = lease->number,
                           .session = session,
                           .deadline_ms = expires,
                           .items = self->grants, .item_count = count };
    if (umbp_bulk_server_grant (self->args.bulk, &grant) == 0) {
        lease->granted = true;
        return lease->number;
    }
    s_unhold_items (self, lease->items, lease->count);
    umbp_leases_remove (self->leases, lease);
    return 0;
}

//  Rows for what is there. Returns how many items must be held.
static uint32_t s_rows (umbp_manager_t *self, const umbp_reader_t *reader, uint32_t *used)
{
    uint32_t held = 0;
    for (size_t index = 0; index < reader->count; index++) {
        uint32_t item = reader->items[index];
        self->statuses[index] = reader->statuses[index];
        self->inlined[index] = 0;
        self->sizes[index] = 0;
        self->sums[index] = 0;
        self->depths[index] = 0;
        self->extent_counts[index] = 0;
        if (reader->statuses[index] == 0 && s_row (self, item, index, reader, used))
            self->items[held++] = item;
    }
    return held;
}

//  Blocks that a client read by itself. Tail before head, as if it had asked.
void umbp_manager_on_touch (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_u32s_t *items = &mail->msg->touch.items;
    if (mail->msg->touch.keys.count) {
        umbp_manager_advise (self, mail);
        return;
    }
    if (!self->board || !mail->origin->door)
        return;
    self->tick++;
    for (size_t index = items->count; index-- > 0;) {
        uint32_t item = umbp_u32s_at (*items, index);
        if (item >= umbp_store_reach (self->store)
            || umbp_store_block (self->store, item)->state != UMBP_BLOCK_LIVE)
            continue;                   //  It left meanwhile
        umbp_store_touch (self->store, item, self->tick);
        umbp_manager_promote (self, item);
        self->board_hits++;
        self->hits++;
        self->hit_bytes += umbp_store_block (self->store, item)->size;
    }
}

void umbp_manager_answer_lease (umbp_manager_t *self, const umbp_reader_t *reader)
{
    uint32_t count = reader->count, used = 0;
    if (reader->began_us)
        umbp_manager_waited (self, reader);
    self->extents = 0;
    uint32_t held = s_rows (self, reader, &used);
    uint64_t lease = held ? s_hold (self, reader->session, self->items, held) : 0;
    if (held && !lease)
        for (uint32_t index = 0; index < count; index++)
            if (self->statuses[index] == 0 && !self->inlined[index]) {
                self->statuses[index] = UMBP_EAGAIN;
                self->extent_counts[index] = 0;
            }
    if (held && !lease)
        self->extents = 0;
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_lease_ok, 0);
    umbp_msg_lease_ok_t *ok = &answer.lease_ok;
    ok->statuses = (umbp_s8s_t) { self->statuses, count };
    ok->inlined = (umbp_u8s_t) { self->inlined, count };
    ok->sizes = (umbp_u32s_t) { self->sizes, count };
    ok->sums = (umbp_u64s_t) { self->sums, count };
    ok->depths = (umbp_u16s_t) { self->depths, reader->calm ? count : 0 };
    ok->extent_counts = (umbp_u16s_t) { self->extent_counts, count };
    ok->regions = (umbp_u16s_t) { self->regions, self->extents };
    ok->pages = (umbp_u32s_t) { self->pages, self->extents };
    ok->page_counts = (umbp_u32s_t) { self->page_counts, self->extents };
    ok->generations = (umbp_u32s_t) { self->generations, self->extents };
    ok->lease = lease;
    ok->page_size = self->args.page_size;
    ok->ttl_ms = self->args.lease_ttl_ms;
    ok->bulk = umbp_text (self->bulk);
    if (lease)
        ok->bulk_key = umbp_manager_bulk_key (self, reader->session);
    umbp_post_answer (self->post, &reader->origin, &answer, self->payload, used);
}

void umbp_manager_on_lease (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_lease_t *ask = &mail->msg->lease;
    uint32_t found[UMBP_BATCH_MAX];
    int8_t statuses[UMBP_BATCH_MAX];
    umbp_reader_t reader = { .origin = *mail->origin,
                             .session = ask->session ? umbp_bulk_alias (ask->session) : 0,
                             .inline_max = ask->inline_max, .calm = ask->calm,
                             .began_us = ask->calm ? 0 : umbp_manager_clock_us (self),
                             .count = ask->keys.count, .items = found, .statuses = statuses };
    self->tick++;
    size_t offset = 0;
    for (size_t index = 0; index < reader.count; index++) {
        umbp_bytes_t key = umbp_column_next (&ask->keys, index, &offset);
        found[index] = umbp_store_find (self->store, key.data, key.size);
        statuses[index] = (int8_t) (found[index] == UMBP_STORE_NONE ? UMBP_ENOENT : 0);
        self->misses += found[index] == UMBP_STORE_NONE;
        self->hits += found[index] != UMBP_STORE_NONE;
    }
    for (size_t index = reader.count;
         index-- > 0 && !ask->calm;) //  Tail before head: a prefix outlives its suffix
        if (found[index] != UMBP_STORE_NONE) {
            umbp_store_touch (self->store, found[index], self->tick);
            umbp_manager_promote (self, found[index]);
        }
    if (self->depot)
        umbp_manager_wake (self, &reader, mail->expires);
    else
        umbp_manager_answer_lease (self, &reader);
}

//  --------------------------------------------------------------------------------------------------
//  lookup: what is here, for who asked shards that we have not told everything. No lease, and no longer life.

void umbp_manager_on_lookup (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_lookup_t *ask = &mail->msg->lookup;
    const umbp_topology_t *topology = umbp_announce_now (self->announce);
    umbp_user_t user;
    umbp_origin_user (mail->origin, &user);
    if (user.kind == UMBP_USER_CLIENT || !ask->scoped) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "scoped",
                          "only routers ask here: ask the index");
        return;
    }
    uint32_t rows = 0, here = 0;
    size_t offset = 0;
    for (size_t index = 0; index < ask->keys.count; index++) {
        umbp_bytes_t key = umbp_column_next (&ask->keys, index, &offset);
        uint32_t item = umbp_store_find (self->store, key.data, key.size);
        if (item != UMBP_STORE_NONE && !umbp_store_is_stored (self->store, item))
            item = UMBP_STORE_NONE;
        self->inlined[index] = item != UMBP_STORE_NONE;
        here += item != UMBP_STORE_NONE;
        if (item == UMBP_STORE_NONE || !ask->places)
            continue;
        self->regions[rows] = 0;        //  The first name
        self->tiers[rows] = (uint8_t) self->args.tier;
        self->sizes[rows++] = umbp_store_block (self->store, item)->size;
    }
    self->asked += ask->keys.count;
    self->asked_here += here;
    uint16_t size = (uint16_t) strlen (self->node);
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_lookup_ok, 0);
    answer.lookup_ok.topo_epoch = topology ? umbp_topology_epoch (topology) : 0;
    answer.lookup_ok.found = (umbp_u8s_t) { self->inlined, ask->keys.count };
    answer.lookup_ok.refs = (umbp_u16s_t) { self->regions, rows };
    answer.lookup_ok.tiers = (umbp_u8s_t) { self->tiers, rows };
    answer.lookup_ok.sizes = (umbp_u32s_t) { self->sizes, rows };
    if (rows > 0)
        answer.lookup_ok.nodes = (umbp_column_t) { (const uint8_t *) self->node, &size, size, 1 };
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  The end of a lease

//  The fence is up: nobody reads these blocks under this lease any more
void umbp_manager_lease_fenced (umbp_manager_t *self, umbp_lease_t *lease)
{
    s_unhold_items (self, lease->items, lease->count);
    umbp_leases_remove (self->leases, lease);
}

void umbp_manager_end_lease (umbp_manager_t *self, umbp_lease_t *lease)
{
    if (lease->fencing)
        return;
    if (lease->granted && umbp_bulk_server_revoke (self->args.bulk, lease->number) > 0) {
        lease->fencing = true;
        self->fences_waited++;
        return;
    }
    umbp_manager_lease_fenced (self, lease);
}

void umbp_manager_end_leases_of (umbp_manager_t *self, uint64_t session)
{
    uint32_t cursor = 0;
    umbp_lease_t *lease;
    while ((lease = umbp_leases_next (self->leases, &cursor)))
        if (lease->session == session)
            umbp_manager_end_lease (self, lease);
}

void umbp_manager_expire_leases (umbp_manager_t *self, int64_t now)
{
    uint32_t cursor = 0;
    umbp_lease_t *lease;
    while ((lease = umbp_leases_next (self->leases, &cursor)))
        if (lease->expires <= now && !lease->fencing) {
            self->expired_leases++;
            umbp_manager_end_lease (self, lease);
        }
}

void umbp_manager_on_release (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_release_t *ask = &mail->msg->release;
    umbp_sight_t sight = umbp_manager_sight (self, mail->origin);
    for (size_t index = 0; index < ask->leases.count; index++) {
        umbp_lease_t *lease = umbp_leases_find (self->leases, umbp_u64s_at (ask->leases, index));
        if (lease && lease->count > 0 && umbp_manager_sees (self, sight, lease->items[0]))
            umbp_manager_end_lease (self, lease);
    }
    umbp_post_answer_status (self->post, mail->origin, UMBP_OK);
}

//  actors/tier/keeper.c - blocks that must not be lost: those of a node that is drained go elsewhere before they go
//  from here; and of those that were put with replicas, a last copy that a loss left with us gets company again.
//
//  A drained block goes in this order: another node fetches it and verifies it, the index hears of the copy, a moment
//  passes for readers who looked it up before, and then it is dropped here. A reader who still comes too late looks
//  it up again (router_get.c). Only the word of a node that holds it, and is not drained itself, counts: a tier
//  that is drained refuses copies, also of what it has.
#include "actors/tier/squeeze.h"

#define MOVES_MAX 1024                  //  Blocks on their way elsewhere
#define MOVED_MS 500                    //  So long a block that is elsewhere too stays
#define PASS_MS 500                     //  Between two passes over blocks that could not go
#define RESTORES_MAX 256                //  Last copies that are looked up or copied
#define AGAIN_MS 30000                  //  Copies that could not be made after a loss are tried again so late
#define STEP_MAX 4096                   //  Items that a walk passes in one tick

//  --------------------------------------------------------------------------------------------------
//  Drain

static void s_begin (umbp_manager_t *self)
{
    umbp_keeper_t *keeper = &self->keeper;
    if (keeper->draining)
        return;
    if (!keeper->moved)
        keeper->moved = zmalloc (UMBP_MOVED_MAX * sizeof (umbp_moved_t));
    keeper->draining = true;
    keeper->turn++;
    keeper->passing = keeper->stuck = false;
    keeper->pass_at = keeper->empty_since = 0;
    keeper->moved_blocks = keeper->moved_bytes = 0;
    zsys_info ("%s: drain begins: blocks=%" PRIu64, self->args.name,
               umbp_store_counts (self->store).live);
}

//  What is elsewhere already stays here too
static void s_cancel (umbp_manager_t *self)
{
    umbp_keeper_t *keeper = &self->keeper;
    if (!keeper->draining)
        return;
    keeper->draining = keeper->passing = keeper->stuck = false;
    keeper->moved_count = 0;
    keeper->turn++;
    umbp_spread_cancel (self->spread, UMBP_SPREAD_DRAIN);
    zsys_info ("%s: drain is taken back: blocks=%" PRIu64, self->args.name,
               umbp_store_counts (self->store).live);
}

//  Drop what is elsewhere for long enough
static void s_drop_moved (umbp_manager_t *self, int64_t now)
{
    umbp_keeper_t *keeper = &self->keeper;
    bool any = false;
    while (keeper->moved_count > 0 && keeper->moved[keeper->moved_first].drop_at <= now) {
        umbp_moved_t moved = keeper->moved[keeper->moved_first];
        keeper->moved_first = (keeper->moved_first + 1) % UMBP_MOVED_MAX;
        keeper->moved_count--;
        const umbp_block_t *block = umbp_store_block (self->store, moved.item);
        if (block->state != UMBP_BLOCK_LIVE || block->token != moved.token
            || moved.turn != keeper->turn)
            continue;
        keeper->moved_blocks++;
        keeper->moved_bytes += block->size;
        keeper->all_moved++;
        keeper->all_moved_bytes += block->size;
        umbp_manager_drop (self, moved.item);
        any = true;
    }
    if (any)
        umbp_announce_send (self->announce);
}

//  Ask for a new place for each block, some at a time
static void s_pass (umbp_manager_t *self)
{
    umbp_keeper_t *keeper = &self->keeper;
    uint32_t reach = umbp_store_reach (self->store), limit = keeper->cursor + STEP_MAX;
    while (keeper->cursor < reach && keeper->cursor < limit
           && umbp_spread_open (self->spread, UMBP_SPREAD_DRAIN) < MOVES_MAX
           && keeper->moved_count + MOVES_MAX < UMBP_MOVED_MAX) {
        uint32_t item = keeper->cursor;
        const umbp_block_t *block = umbp_store_block (self->store, item);
        if (block->state == UMBP_BLOCK_LIVE && !block->foreign
            && !umbp_spread_add (self->spread, UMBP_SPREAD_DRAIN, item, keeper->turn))
            return;
        keeper->cursor++;
    }
}

static void s_drain (umbp_manager_t *self, int64_t now)
{
    umbp_keeper_t *keeper = &self->keeper;
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    keeper->empty_since = counts.live > 0 ? 0 : keeper->empty_since ? keeper->empty_since : now;
    if (!keeper->passing && counts.live > 0 && now >= keeper->pass_at) {
        keeper->passing = true;
        keeper->cursor = 0;
        keeper->pass_moved = keeper->pass_full = 0;
    }
    if (!keeper->passing)
        return;
    s_pass (self);
    if (keeper->cursor < umbp_store_reach (self->store) || keeper->moved_count > 0
        || umbp_spread_open (self->spread, UMBP_SPREAD_DRAIN) > 0)
        return;
    bool stuck = keeper->pass_moved == 0 && keeper->pass_full > 0;
    if (stuck && !keeper->stuck)
        zsys_warning ("%s: drain: no other node has room: blocks=%" PRIu64 " bytes=%" PRIu64,
                      self->args.name, counts.live, counts.used_bytes);
    keeper->stuck = stuck;
    keeper->passing = false;
    keeper->pass_at = now + PASS_MS;
}

//  Nothing is here any more, and nobody writes or reads, or has had long enough to. Copies of what was removed
//  meanwhile are waited for: they go too, and nobody else would see to that.
static bool s_is_empty (const umbp_manager_t *self)
{
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    unsigned patience_ms = self->args.slot_ttl_ms > self->args.lease_ttl_ms
                               ? self->args.slot_ttl_ms
                               : self->args.lease_ttl_ms;
    if (counts.live > 0 || self->keeper.empty_since == 0
        || umbp_spread_open (self->spread, UMBP_SPREAD_DRAIN) > 0)
        return false;
    return (counts.slots == 0 && counts.doomed == 0)
           || zclock_mono () - self->keeper.empty_since > (int64_t) patience_ms;
}

//  From this node's registry, again and again for as long as the drain lasts
void umbp_manager_on_drain (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    umbp_keeper_t *keeper = &self->keeper;
    if (mail->origin->door || mail->origin->origin_size) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "type",
                          "from this node only: ask its registry");
        return;
    }
    uint64_t action = mail->msg->drain.action;
    if (action == 1 || action == 2)
        s_begin (self);
    else if (action == 3)
        s_cancel (self);
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_drain_ok, 0);
    answer.drain_ok.state = !keeper->draining ? 0 : s_is_empty (self) ? 4 : keeper->stuck ? 2 : 1;
    answer.drain_ok.blocks = counts.live;
    answer.drain_ok.bytes = counts.used_bytes;
    answer.drain_ok.moved_blocks = keeper->moved_blocks;
    answer.drain_ok.moved_bytes = keeper->moved_bytes;
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  Losses

//  Whether a member left, or came back with nothing
static bool s_is_loss (const umbp_topology_t *before, const umbp_topology_t *now)
{
    for (size_t index = 0; before && index < umbp_topology_count (before); index++) {
        const umbp_member_t *member = umbp_topology_member (before, index);
        int number = umbp_topology_find (now, umbp_text (member->node));
        if (number < 0 || umbp_topology_member (now, (size_t) number)->epoch != member->epoch)
            return true;
    }
    return false;
}

void umbp_manager_watch (umbp_manager_t *self, umbp_topology_t *topology)
{
    umbp_keeper_t *keeper = &self->keeper;
    if (s_is_loss (keeper->before, topology)) {
        keeper->losses++;
        keeper->lost = self->args.replicate_last;
    }
    umbp_topology_destroy (&keeper->before);
    keeper->before = umbp_topology_hold (topology);
}

//  Look for last copies among the blocks that were put with more than one. Only when the ring is settled: before,
//  the index may not know of all copies.
static void s_restore (umbp_manager_t *self, int64_t now)
{
    umbp_keeper_t *keeper = &self->keeper;
    if (keeper->lost_again_at && now >= keeper->lost_again_at) {
        keeper->lost = true;
        keeper->lost_again_at = 0;
    }
    if (!keeper->before || !umbp_topology_settled (keeper->before) || keeper->draining)
        return;
    if (keeper->lost) {                 //  Another loss on the way: from the start
        keeper->lost = false;
        keeper->restoring = true;
        keeper->lost_cursor = 0;
    }
    uint32_t reach = umbp_store_reach (self->store), limit = keeper->lost_cursor + STEP_MAX;
    while (keeper->restoring && keeper->lost_cursor < reach && keeper->lost_cursor < limit
           && umbp_spread_open (self->spread, UMBP_SPREAD_LOSS) < RESTORES_MAX) {
        const umbp_block_t *block = umbp_store_block (self->store, keeper->lost_cursor);
        if (block->state == UMBP_BLOCK_LIVE && block->replicas > 1 && !block->foreign
            && !umbp_spread_add (self->spread, UMBP_SPREAD_LOSS, keeper->lost_cursor, 0))
            return;
        keeper->lost_cursor++;
    }
    keeper->restoring = keeper->restoring && keeper->lost_cursor < reach;
}

//  --------------------------------------------------------------------------------------------------
//  Both

void umbp_manager_on_spread (void *owner, const umbp_spread_end_t *end)
{
    umbp_manager_t *self = owner;
    umbp_keeper_t *keeper = &self->keeper;
    switch (end->why) {
    case UMBP_SPREAD_PUT: umbp_manager_on_copies (self, end); return;
    case UMBP_SPREAD_LOSS:
        keeper->missing += end->missing;
        if (end->missing && keeper->lost_again_at == 0)
            keeper->lost_again_at = zclock_mono () + AGAIN_MS;
        return;
    case UMBP_SPREAD_DRAIN:
        if (end->tag != keeper->turn)
            return;
        if (!keeper->draining) {
            umbp_manager_squeeze_spread (self, end);
            return;
        }
        keeper->pass_full += end->missing && end->full;
        if (end->missing || end->gone || keeper->moved_count == UMBP_MOVED_MAX)
            return;                     //  What found no place here is asked about in the next pass
        keeper->pass_moved++;
        keeper->moved[(keeper->moved_first + keeper->moved_count++) % UMBP_MOVED_MAX] =
            (umbp_moved_t) { end->item, end->token, end->tag, zclock_mono () + MOVED_MS };
        return;
    case UMBP_SPREAD_REASONS: break;
    }
}

void umbp_manager_keep (umbp_manager_t *self, int64_t now)
{
    if (self->keeper.draining) {
        s_drop_moved (self, now);
        s_drain (self, now);
    }
    if (self->args.replicate_last)
        s_restore (self, now);
    umbp_spread_pump (self->spread);
}

void umbp_manager_keep_nothing (umbp_manager_t *self)
{
    umbp_topology_destroy (&self->keeper.before);
    free (self->keeper.moved);
}

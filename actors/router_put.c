//  actors/router_put.c - the life of a put, as the router sees it: ask the shards what exists, choose a node for the
//  rest, ask its tier manager for slots (or give it the values, if they came along), try elsewhere what had no room.
#include "actors/router_self.h"

#include "cluster/bulk/copy.h"

#define SUSPENDED "a node is short of memory and suspended this tenant: try again later"

static void s_place (umbp_req_t *req);

//  --------------------------------------------------------------------------------------------------
//  The answer

static void s_answer (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_put_ok, 0);
    umbp_msg_put_ok_t *ok = &answer.put_ok;
    uint32_t count = req->count;
    for (uint32_t index = 0; index < count; index++) {
        const umbp_part_t *part = &req->parts[index];
        bool given = part->status == 0 && part->row != UMBP_NO_REF;
        self->statuses[index] = part->status;
        self->refs[index] = given ? part->row : UMBP_NO_REF;
        self->slots[index] = given ? part->slot : 0;
        self->payload[index] = part->missing;
    }
    if (req->by_payload && req->wanted_replicas > 1)
        ok->missing = (umbp_u8s_t) { self->payload, count };
    ok->statuses = (umbp_s8s_t) { self->statuses, count };
    if (!req->by_payload) {
        ok->refs = (umbp_u16s_t) { self->refs, count };
        ok->slots = (umbp_u64s_t) { self->slots, count };
        uint32_t extents = umbp_router_gather_extents (req);
        ok->extent_counts = (umbp_u16s_t) { self->counts16, count };
        ok->regions = (umbp_u16s_t) { self->regions, extents };
        ok->pages = (umbp_u32s_t) { self->pages, extents };
        ok->page_counts = (umbp_u32s_t) { self->page_counts, extents };
        ok->generations = (umbp_u32s_t) { self->generations, extents };
        umbp_router_node_columns (req, &ok->nodes, &ok->bulks, &ok->bulk_keys);
        for (uint16_t row = 0; row < req->row_count; row++) {
            self->bytes[row] = req->rows[row].tier;
            self->sizes[row] = req->rows[row].page_size;
            self->numbers[row] = req->rows[row].ttl_ms;
        }
        ok->tiers = (umbp_u8s_t) { self->bytes, req->row_count };
        ok->page_sizes = (umbp_u32s_t) { self->sizes, req->row_count };
        ok->ttls_ms = (umbp_u32s_t) { self->numbers, req->row_count };
    }
    for (uint32_t index = 0; index < count && req->suspended; index++)
        if (self->statuses[index] == UMBP_EAGAIN)
            ok->reason = umbp_text (SUSPENDED);
    ok->level = self->strain;
    umbp_router_finish (req, &answer, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  What a tier manager said

//  Take a member's word for one part; 1 is no word at all. No room, or no word: another may do better.
static void s_take_status (umbp_sub_t *sub, umbp_part_t *part, int8_t said)
{
    bool full = said == UMBP_EQUOTA && part->tried.count > 0 && part->status == UMBP_EAGAIN;
    if (!full)                          //  Where it is only full now, it may well fit later
        part->status = (int8_t) (said == 1 ? UMBP_EUNREACH : said);
    if (said != 1 && said != UMBP_EAGAIN && said != UMBP_ENOSPC && said != UMBP_EQUOTA)
        return;
    part->wanted = part->tried.count < UMBP_PLACE_TRIES;
    if (part->wanted)
        part->tried.members[part->tried.count++] = sub->member;
    sub->req->router->rerouted += part->wanted;
}

static void s_on_reserved (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    (void) owner;
    umbp_sub_t *sub = (umbp_sub_t *) (uintptr_t) tag;
    umbp_req_t *req = sub->req;
    const umbp_msg_reserve_ok_t *ok = status == 0 && mail && mail->msg->type == UMBP_MSG_reserve_ok
                                          ? &mail->msg->reserve_ok
                                          : NULL;
    if (ok && ok->statuses.count != sub->count)
        ok = NULL;
    if (!ok)
        umbp_router_expect_late (sub);
    req->suspended |= ok && ok->reason.size > 0;
    uint16_t row = UMBP_NO_REF;         //  Made for the first slot
    size_t at = 0;
    for (uint32_t index = 0; index < sub->count; index++) {
        umbp_part_t *part = &req->parts[sub->items[index]];
        int8_t said = ok ? umbp_s8s_at (ok->statuses, index) : 1;
        if (said == 0 && row == UMBP_NO_REF)
            row = umbp_router_row (req, sub, ok->bulk, ok->bulk_key, (uint32_t) ok->page_size,
                                   (uint32_t) ok->ttl_ms, 0);
        if (said == 0) {
            part->row = row;
            part->slot = umbp_u64s_at (ok->slots, index);
            bool fits = umbp_router_take_extents (req, part, ok->extent_counts, index, ok->regions,
                                                  ok->pages, ok->page_counts, ok->generations, &at);
            if (!fits || row == UMBP_NO_REF) {
                umbp_router_abort (req->router, umbp_router_tier_name (sub->tier),
                                   umbp_topology_member (req->view->topology, sub->member)->node,
                                   (umbp_u64s_t) { &part->slot, 1 });
                said = UMBP_ETOOBIG;
            }
        }
        s_take_status (sub, part, said);
    }
    umbp_router_sub_done (sub);
}

static void s_on_stored (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    (void) owner;
    umbp_sub_t *sub = (umbp_sub_t *) (uintptr_t) tag;
    bool fine = status == 0 && mail && mail->msg->type == UMBP_MSG_store_ok
                && mail->msg->store_ok.statuses.count == sub->count;
    sub->req->suspended |= fine && mail->msg->store_ok.reason.size > 0;
    for (uint32_t index = 0; index < sub->count; index++) {
        umbp_part_t *part = &sub->req->parts[sub->items[index]];
        bool counted = fine && mail->msg->store_ok.missing.count == sub->count;
        part->missing = counted ? umbp_u8s_at (mail->msg->store_ok.missing, index) : 0;
        s_take_status (sub, part, fine ? umbp_s8s_at (mail->msg->store_ok.statuses, index) : 1);
    }
    umbp_router_sub_done (sub);
}

//  --------------------------------------------------------------------------------------------------
//  Asking one

static void s_columns (umbp_router_t *self, const umbp_sub_t *sub)
{
    for (uint32_t index = 0; index < sub->count; index++) {
        const umbp_part_t *part = &sub->req->parts[sub->items[index]];
        self->sizes[index] = part->size;
        self->sums[index] = part->sum;
        self->counts16[index] = part->depth;
        self->lefts[index] = part->left;
    }
}

static void s_reserve (umbp_sub_t *sub)
{
    umbp_router_t *self = sub->req->router;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_reserve, 0);
    s_columns (self, sub);
    msg.reserve.session = sub->req->session;
    msg.reserve.replicas = sub->req->wanted_replicas;
    msg.reserve.hint = sub->req->hint;
    msg.reserve.left = (umbp_u8s_t) { self->lefts, sub->count };
    msg.reserve.keys = umbp_router_keys (self, sub);
    msg.reserve.sizes = (umbp_u32s_t) { self->sizes, sub->count };
    msg.reserve.depths = (umbp_u16s_t) { self->counts16, sub->count };
    umbp_router_ask (sub, umbp_router_tier_name (sub->tier), &msg, NULL, 0, s_on_reserved);
}

static void s_store (umbp_sub_t *sub)
{
    umbp_router_t *self = sub->req->router;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_store, 0);
    s_columns (self, sub);
    uint32_t used = 0;
    for (uint32_t index = 0; index < sub->count; index++) {
        const umbp_part_t *part = &sub->req->parts[sub->items[index]];
        memcpy (self->payload + used, sub->req->payload + part->inline_at, part->size);
        used += part->size;
    }
    msg.store.keys = umbp_router_keys (self, sub);
    msg.store.sizes = (umbp_u32s_t) { self->sizes, sub->count };
    msg.store.sums = (umbp_u64s_t) { self->sums, sub->count };
    msg.store.depths = (umbp_u16s_t) { self->counts16, sub->count };
    msg.store.nowait = sub->req->nowait;
    msg.store.replicas = sub->req->wanted_replicas;
    msg.store.hint = sub->req->hint;
    msg.store.left = (umbp_u8s_t) { self->lefts, sub->count };
    umbp_router_ask (sub, umbp_router_tier_name (sub->tier), &msg, self->payload, used,
                     s_on_stored);
}

//  --------------------------------------------------------------------------------------------------
//  Stages

//  Whether a put that nobody takes may well be tried again: the cluster is starting, or nodes are being drained
static bool s_may_pass (const umbp_topology_t *topology)
{
    bool may = umbp_ring_node_count (umbp_topology_ring (topology)) == 0;
    for (size_t index = 0; index < umbp_topology_count (topology) && !may; index++)
        may = umbp_topology_member (topology, index)->draining;
    return may;
}

//  Choose a member for each wanted part and ask them all. Parts that nobody can take keep what was said last.
static void s_place (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    umbp_sub_t *subs[UMBP_NODES_MAX] = { NULL };
    uint8_t tier = (uint8_t) (req->tier ? req->tier : UMBP_TIER_DRAM);
    bool any = false;
    umbp_router_refresh (req);          //  Placement counts members as they are now
    for (uint32_t index = 0; index < req->count; index++) {
        umbp_part_t *part = &req->parts[index];
        if (!part->wanted)
            continue;
        part->wanted = false;
        int member =
            umbp_placement_choose (self->placement, req->strategy, tier, part->size, &part->tried);
        if (member < 0 || (size_t) member >= umbp_topology_count (req->view->topology)) {
            int nobody = s_may_pass (req->view->topology) ? UMBP_EAGAIN : UMBP_ENOTSUP;
            part->status = part->tried.count ? part->status : (int8_t) nobody;
            continue;
        }
        if (!subs[member])
            subs[member] = umbp_router_sub (req, (uint16_t) member, tier, req->count);
        subs[member]->items[subs[member]->count++] = index;
        any = true;
    }
    if (!any) {
        s_answer (req);
        return;
    }
    req->pending = 1;
    req->next = s_place;
    for (size_t member = 0; member < UMBP_NODES_MAX; member++) {
        if (!subs[member])
            continue;
        if (req->by_payload)
            s_store (subs[member]);
        else
            s_reserve (subs[member]);
    }
    if (--req->pending == 0)
        s_place (req);
}

//  What exists needs no room; the rest is to be placed
static void s_looked_up (umbp_req_t *req)
{
    uint64_t total = 0;
    for (uint32_t index = 0; index < req->count; index++) {
        umbp_part_t *part = &req->parts[index];
        part->wanted = part->replica_count == 0 && part->size > 0;
        part->status = (int8_t) (part->size == 0 ? UMBP_EINVAL
                                 : part->wanted  ? UMBP_EAGAIN
                                                 : UMBP_EEXIST);
        total += part->wanted ? part->size : 0;
    }
    umbp_placement_batch (req->router->placement, req->tier ? req->tier : UMBP_TIER_DRAM, total);
    s_place (req);
}

//  Copy the values, and sum those that came without a sum. Returns false if they do not match the payload.
static bool s_take_payload (umbp_req_t *req, const umbp_mail_t *mail)
{
    uint64_t used = 0;
    for (uint32_t index = 0; index < req->count; index++) {
        req->parts[index].inline_at = (uint32_t) used;
        used += req->parts[index].size;
    }
    if (used != mail->payload_size)
        return false;
    uint8_t *copy = zmalloc (used + 1);
    if (used)
        memcpy (copy, mail->payload, used);
    req->payload = copy;
    req->payload_size = (uint32_t) used;
    bool summed = mail->msg->put.sums.count > 0;
    for (uint32_t index = 0; index < req->count && !summed; index++) {
        umbp_part_t *part = &req->parts[index];
        part->sum = umbp_sum (copy + part->inline_at, part->size);
    }
    return true;
}

void umbp_router_on_put (void *owner, const umbp_mail_t *mail)
{
    umbp_router_t *self = owner;
    const umbp_msg_put_t *put = &mail->msg->put;
    bool summed = put->sums.count > 0, by_payload = summed || put->session == 0;
    if (summed && put->sums.count != put->keys.count) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EINVAL, "sums", "not one for each key");
        return;
    }
    umbp_req_t *req = umbp_router_request (self, mail, &put->keys);
    if (!req)
        return;
    self->puts++;
    req->session = put->session;
    req->strategy = put->strategy ? (umbp_place_strategy_t) put->strategy : self->strategy;
    req->tier = (unsigned) put->tier;
    req->nowait = put->nowait;
    req->wanted_replicas = (uint8_t) put->replicas;
    req->hint = (uint8_t) put->hint;
    req->by_payload = by_payload;
    for (uint32_t index = 0; index < req->count; index++) {
        umbp_part_t *part = &req->parts[index];
        part->size = umbp_u32s_at (put->sizes, index);
        part->sum = summed ? umbp_u64s_at (put->sums, index) : 0;
        part->depth = put->depths.count ? umbp_u16s_at (put->depths, index) : 0;
        part->wanted = part->size > 0;
    }
    if (by_payload && !s_take_payload (req, mail)) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EINVAL, "payload",
                          "its size is not that of the blocks");
        umbp_router_done (req);
        return;
    }
    umbp_router_lookup (req, false, s_looked_up);
}

//  actors/router_get.c - the life of a get, as the router sees it: ask this node's own tiers; for what is not there
//  ask the shards where it is, and the best replica's tier manager for a lease; then the next best; then it is a
//  miss. Local blocks are found without the help of any other node.
#include "actors/router_self.h"

#define LOOKS_MAX 2                     //  More lookups for a block that was not where it should be
#define ROUNDS_MAX 4                    //  Replicas tried, this node's own tier included

//  --------------------------------------------------------------------------------------------------
//  The answer

static uint32_t s_gather_payload (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    uint32_t used = 0;
    for (uint32_t index = 0; index < req->count; index++) {
        const umbp_part_t *part = &req->parts[index];
        if (part->status != 0 || !part->inlined)
            continue;
        memcpy (self->payload + used, req->payload + part->inline_at, part->size);
        used += part->size;
    }
    return used;
}

static void s_answer (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_get_ok, 0);
    umbp_msg_get_ok_t *ok = &answer.get_ok;
    uint32_t count = req->count;
    for (uint32_t index = 0; index < count; index++) {
        const umbp_part_t *part = &req->parts[index];
        bool there = part->status == 0;
        self->statuses[index] = part->status;
        self->refs[index] = there ? part->row : UMBP_NO_REF;
        self->sizes[index] = there ? part->size : 0;
        self->sums[index] = there ? part->sum : 0;
        self->numbers[index] = there ? part->number : 0;
    }
    ok->statuses = (umbp_s8s_t) { self->statuses, count };
    ok->refs = (umbp_u16s_t) { self->refs, count };
    ok->sizes = (umbp_u32s_t) { self->sizes, count };
    ok->sums = (umbp_u64s_t) { self->sums, count };
    uint32_t extents = umbp_router_gather_extents (req);
    ok->extent_counts = (umbp_u16s_t) { self->counts16, count };
    ok->regions = (umbp_u16s_t) { self->regions, extents };
    ok->pages = (umbp_u32s_t) { self->pages, extents };
    ok->page_counts = (umbp_u32s_t) { self->page_counts, extents };
    ok->generations = (umbp_u32s_t) { self->generations, extents };
    ok->items = (umbp_u32s_t) { self->numbers, count };
    umbp_router_node_columns (req, &ok->nodes, &ok->bulks, &ok->bulk_keys);
    uint32_t page_sizes[UMBP_ROWS_MAX], ttls[UMBP_ROWS_MAX];
    for (uint16_t row = 0; row < req->row_count; row++) {
        self->bytes[row] = req->rows[row].tier;
        page_sizes[row] = req->rows[row].page_size;
        ttls[row] = req->rows[row].ttl_ms;
        self->slots[row] = req->rows[row].lease;
    }
    ok->tiers = (umbp_u8s_t) { self->bytes, req->row_count };
    ok->page_sizes = (umbp_u32s_t) { page_sizes, req->row_count };
    ok->leases = (umbp_u64s_t) { self->slots, req->row_count };
    ok->ttls_ms = (umbp_u32s_t) { ttls, req->row_count };
    umbp_router_finish (req, &answer, self->payload, s_gather_payload (req));
}

//  --------------------------------------------------------------------------------------------------
//  What a tier manager said

//  Copy an inlined value; *offset moves on in any case. Returns false if the answer does not hold it.
static bool s_take_inlined (umbp_req_t *req, umbp_part_t *part, const umbp_mail_t *mail,
                            size_t *offset)
{
    size_t from = *offset;
    *offset += part->size;
    if (part->size == 0 || *offset > mail->payload_size
        || part->size > req->payload_room - req->payload_size)
        return false;
    memcpy ((uint8_t *) req->payload + req->payload_size, mail->payload + from, part->size);
    part->inlined = true;
    part->inline_at = req->payload_size;
    req->payload_size += part->size;
    return true;
}

static void s_take (umbp_sub_t *sub, const umbp_mail_t *mail)
{
    umbp_req_t *req = sub->req;
    const umbp_msg_lease_ok_t *ok = &mail->msg->lease_ok;
    uint16_t row =
        ok->lease ? umbp_router_row (req, sub, ok->bulk, ok->bulk_key, (uint32_t) ok->page_size,
                                     (uint32_t) ok->ttl_ms, ok->lease)
                  : UMBP_NO_REF;
    if (row == UMBP_NO_REF)
        umbp_router_release (req->router, umbp_router_tier_name (sub->tier),
                             umbp_topology_member (req->view->topology, sub->member)->node,
                             ok->lease);
    size_t at = 0, offset = 0;
    uint32_t number = 0;                //  Of the items under the lease, whether we can take them or not
    for (uint32_t index = 0; index < sub->count; index++) {
        umbp_part_t *part = &req->parts[sub->items[index]];
        part->status = umbp_s8s_at (ok->statuses, index);
        if (part->status != 0)
            continue;
        part->size = umbp_u32s_at (ok->sizes, index);
        part->sum = umbp_u64s_at (ok->sums, index);
        bool fine = false;
        if (umbp_u8s_at (ok->inlined, index))
            fine = s_take_inlined (req, part, mail, &offset);
        else {
            fine = umbp_router_take_extents (req, part, ok->extent_counts, index, ok->regions,
                                             ok->pages, ok->page_counts, ok->generations, &at)
                   && row != UMBP_NO_REF;
            part->row = row;
            part->number = number++;
        }
        part->status = (int8_t) (fine ? 0 : UMBP_EAGAIN);
    }
}

static void s_on_leased (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    umbp_router_t *self = owner;
    umbp_sub_t *sub = (umbp_sub_t *) (uintptr_t) tag;
    if (status == 0 && mail && mail->msg->type == UMBP_MSG_lease_ok
        && mail->msg->lease_ok.statuses.count == sub->count)
        s_take (sub, mail);
    else {
        self->unheard++;
        umbp_router_expect_late (sub);
        for (uint32_t index = 0; index < sub->count; index++)
            sub->req->parts[sub->items[index]].status = UMBP_EUNREACH;
    }
    umbp_router_sub_done (sub);
}

//  --------------------------------------------------------------------------------------------------
//  Stages

static void s_lease (umbp_sub_t *sub, uint64_t inline_max)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lease, 0);
    msg.lease.session = sub->req->session;
    msg.lease.keys = umbp_router_keys (sub->req->router, sub);
    msg.lease.inline_max = inline_max;
    umbp_router_ask (sub, umbp_router_tier_name (sub->tier), &msg, NULL, 0, s_on_leased);
}

static bool s_is_avoided (const umbp_req_t *req, size_t member)
{
    for (uint8_t index = 0; index < req->avoid_count; index++)
        if (req->avoid[index] == member)
            return true;
    return false;
}

//  How fast a block comes to memory from a tier: from a device it is copied to memory first
static unsigned s_distance (unsigned tier)
{
    static const uint8_t distances[UMBP_TIERS] = { [UMBP_TIER_DRAM] = 0,
                                                   [UMBP_TIER_HBM] = 1,
                                                   [UMBP_TIER_NVME] = 2, [UMBP_TIER_SHARED] = 3 };
    return tier < UMBP_TIERS ? distances[tier] : UMBP_TIERS;
}

//  Better first: not to be avoided, alive, faster tier, on this host, less loaded
static bool s_better (const umbp_req_t *req, const umbp_replica_t *one, const umbp_replica_t *other)
{
    const umbp_topology_t *topology = req->view->topology;
    const umbp_member_t *self = umbp_topology_member (topology, umbp_topology_self (topology));
    const umbp_member_t *a = umbp_topology_member (topology, one->member);
    const umbp_member_t *b = umbp_topology_member (topology, other->member);
    bool avoid_a = s_is_avoided (req, one->member), avoid_b = s_is_avoided (req, other->member);
    if (avoid_a != avoid_b)
        return avoid_b;
    if (a->state != b->state)
        return a->state < b->state;
    if (one->tier != other->tier)
        return s_distance (one->tier) < s_distance (other->tier);
    bool near_a = streq (a->host, self->host), near_b = streq (b->host, self->host);
    if (near_a != near_b)
        return near_a;
    return a->load < b->load;
}

static void s_sort_replicas (const umbp_req_t *req, umbp_part_t *part)
{
    for (int index = 1; index < part->replica_count; index++)
        for (int at = index; at > 0 && s_better (req, &part->replicas[at], &part->replicas[at - 1]);
             at--) {
            umbp_replica_t swap = part->replicas[at];
            part->replicas[at] = part->replicas[at - 1];
            part->replicas[at - 1] = swap;
        }
}

//  Whether all items have another replica that is still to be tried
static bool s_is_replaceable (const umbp_sub_t *sub)
{
    bool may = sub->req->rounds + 1 < ROUNDS_MAX;
    for (uint32_t index = 0; index < sub->count && may; index++) {
        const umbp_part_t *part = &sub->req->parts[sub->items[index]];
        may = part->replica_next < part->replica_count;
    }
    return may;
}

static void s_looked_up (umbp_req_t *req);

//  A block that was where the index said a moment ago may have moved: then the index knows where to, though maybe not
//  yet the shard that was asked, which comes last this time. Returns false if there is no such block, or we looked
//  often enough.
static bool s_look_again (umbp_req_t *req)
{
    bool any = false;
    if (req->looks++ == LOOKS_MAX || zclock_mono () >= req->expires)
        return false;
    for (uint32_t index = 0; index < req->count; index++) {
        umbp_part_t *part = &req->parts[index];
        part->wanted = part->status == UMBP_ENOENT && part->replica_count > 0;
        any |= part->wanted;
    }
    if (!any)
        return false;
    for (uint32_t index = 0; index < req->count; index++) {
        umbp_part_t *part = &req->parts[index];
        part->replica_count = part->replica_next = part->owners_asked = 0;
        part->misled_by = part->wanted ? part->named_by : 0;
        part->heard &= !part->wanted;
        part->doubted = false;
    }
    req->router->relooks++;
    req->rounds = 0;
    umbp_router_refresh (req);
    umbp_router_lookup (req, true, s_looked_up);
    return true;
}

//  Ask for what is still wanted at the next best replica of each; one message per member and tier
static void s_try_replicas (umbp_req_t *req)
{
    umbp_sub_t *subs[UMBP_ROWS_MAX];
    uint16_t count = 0;
    req->rounds++;
    for (uint32_t index = 0; index < req->count && req->rounds < ROUNDS_MAX; index++) {
        umbp_part_t *part = &req->parts[index];
        if (part->status == 0 || part->replica_next >= part->replica_count)
            continue;
        req->router->failovers += part->replica_next > 0;
        umbp_replica_t *replica = &part->replicas[part->replica_next++];
        uint16_t at = 0;
        while (at < count
               && (subs[at]->member != replica->member || subs[at]->tier != replica->tier))
            at++;
        if (at == UMBP_ROWS_MAX)
            continue;
        if (at == count)
            subs[count++] = umbp_router_sub (req, replica->member, replica->tier, req->count);
        subs[at]->items[subs[at]->count++] = index;
    }
    if (count == 0) {
        if (!s_look_again (req))
            s_answer (req);
        return;
    }
    req->pending = 1;
    req->next = s_try_replicas;
    uint64_t room = (req->payload_room - req->payload_size) / count;
    for (uint16_t at = 0; at < count; at++) {
        subs[at]->replaceable = s_is_replaceable (subs[at]);
        s_lease (subs[at], room);
    }
    if (--req->pending == 0)
        s_try_replicas (req);
}

//  Our own tier, passed over before, is a last resort even if no shard knows of it
static void s_add_here (umbp_req_t *req, umbp_part_t *part)
{
    uint16_t here = (uint16_t) umbp_topology_self (req->view->topology);
    for (uint8_t index = 0; index < part->replica_count; index++)
        if (part->replicas[index].member == here)
            return;
    if (part->replica_count < UMBP_PLACES_MAX)
        part->replicas[part->replica_count++] = (umbp_replica_t) { here, UMBP_TIER_DRAM, 0 };
}

static void s_looked_up (umbp_req_t *req)
{
    bool passed_over = s_is_avoided (req, umbp_topology_self (req->view->topology));
    for (uint32_t index = 0; index < req->count; index++) {
        umbp_part_t *part = &req->parts[index];
        if (part->status == 0)
            continue;
        if (part->status == UMBP_ENOENT && !part->heard)
            part->status = UMBP_EUNREACH;            //  What our own tier said else is better known
        if (passed_over)
            s_add_here (req, part);
        s_sort_replicas (req, part);
    }
    s_try_replicas (req);
}

//  This node's tier has spoken: look for the rest elsewhere
static void s_local_over (umbp_req_t *req)
{
    bool any = false;
    for (uint32_t index = 0; index < req->count; index++) {
        req->parts[index].wanted = req->parts[index].status != 0;
        any |= req->parts[index].wanted;
    }
    if (any)
        umbp_router_lookup (req, true, s_looked_up);
    else
        s_answer (req);
}

//  Ask our own tier about everything, without the help of any other node
static void s_ask_here (umbp_req_t *req)
{
    req->next = s_local_over;
    req->pending = 1;
    size_t here = umbp_topology_self (req->view->topology);
    umbp_sub_t *sub = umbp_router_sub (req, (uint16_t) here, UMBP_TIER_DRAM, req->count);
    for (uint32_t index = 0; index < req->count; index++)
        sub->items[sub->count++] = index;
    s_lease (sub, req->payload_room);
    if (--req->pending == 0)
        s_local_over (req);
}

//  Members among those the reader wants to avoid; of others than members there is nothing to ask
static void s_take_avoid (umbp_req_t *req, const umbp_column_t *names)
{
    size_t offset = 0;
    for (size_t index = 0; index < names->count && req->avoid_count < UMBP_AVOID_MAX; index++) {
        umbp_bytes_t name = umbp_column_next (names, index, &offset);
        int member = umbp_topology_find (req->view->topology,
                                         (umbp_text_t) { (const char *) name.data, name.size });
        if (member >= 0)
            req->avoid[req->avoid_count++] = (uint16_t) member;
    }
}

void umbp_router_on_get (void *owner, const umbp_mail_t *mail)
{
    umbp_router_t *self = owner;
    umbp_req_t *req = umbp_router_request (self, mail, &mail->msg->get.keys);
    if (!req)
        return;
    self->gets++;
    req->session = mail->msg->get.session;
    req->payload_room = (uint32_t) mail->msg->get.inline_max;
    if (req->payload_room)
        req->payload = zmalloc (req->payload_room);
    s_take_avoid (req, &mail->msg->get.avoid);
    if (s_is_avoided (req, umbp_topology_self (req->view->topology)))
        s_local_over (req);
    else
        s_ask_here (req);
}

//  actors/router_keys.c - requests that are about keys, and move no bytes: exists, where, remove, clear.
#include "actors/router_self.h"
#include "cluster/origin.h"

//  --------------------------------------------------------------------------------------------------
//  exists

static void s_exists_answer (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_exists_ok, 0);
    bool unbroken = true;
    for (uint32_t index = 0; index < req->count; index++) {
        const umbp_part_t *part = &req->parts[index];
        self->statuses[index] = (int8_t) (part->replica_count ? 1
                                          : part->heard       ? 0
                                                              : UMBP_EUNREACH);
        unbroken = unbroken && part->replica_count;
        answer.exists_ok.prefix += unbroken;
    }
    answer.exists_ok.found = (umbp_s8s_t) { self->statuses, req->count };
    umbp_router_finish (req, &answer, NULL, 0);
}

void umbp_router_on_exists (void *owner, const umbp_mail_t *mail)
{
    umbp_router_t *self = owner;
    self->exists++;
    umbp_req_t *req = umbp_router_request (self, mail, &mail->msg->exists.keys);
    if (req)
        umbp_router_lookup (req, false, s_exists_answer);
}

//  --------------------------------------------------------------------------------------------------
//  where

static void s_where_answer (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    uint32_t rows = 0;
    uint16_t row_of[UMBP_NODES_MAX];
    memset (row_of, 0xff, sizeof row_of);
    umbp_column_t nodes = { .bytes = self->keys, .sizes = self->sizes16 };
    for (uint32_t index = 0; index < req->count; index++) {
        const umbp_part_t *part = &req->parts[index];
        self->statuses[index] = (int8_t) (part->replica_count ? 0
                                          : part->heard       ? UMBP_ENOENT
                                                              : UMBP_EUNREACH);
        self->payload[index] = part->replica_count;
        for (uint8_t replica = 0; replica < part->replica_count; replica++, rows++) {
            const umbp_replica_t *at = &part->replicas[replica];
            if (row_of[at->member] == UMBP_NO_REF) {
                const char *node = umbp_topology_member (req->view->topology, at->member)->node;
                row_of[at->member] = (uint16_t) nodes.count;
                self->sizes16[nodes.count++] = (uint16_t) strlen (node);
                memcpy (self->keys + nodes.size, node, strlen (node));
                nodes.size += (uint32_t) strlen (node);
            }
            self->refs[rows] = row_of[at->member];
            self->bytes[rows] = at->tier;
            self->sizes[rows] = at->size;
        }
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_where_ok, 0);
    answer.where_ok.statuses = (umbp_s8s_t) { self->statuses, req->count };
    answer.where_ok.counts = (umbp_u8s_t) { self->payload, req->count };
    answer.where_ok.refs = (umbp_u16s_t) { self->refs, rows };
    answer.where_ok.tiers = (umbp_u8s_t) { self->bytes, rows };
    answer.where_ok.sizes = (umbp_u32s_t) { self->sizes, rows };
    answer.where_ok.nodes = nodes;
    umbp_router_finish (req, &answer, NULL, 0);
}

void umbp_router_on_where (void *owner, const umbp_mail_t *mail)
{
    umbp_req_t *req = umbp_router_request (owner, mail, &mail->msg->where.keys);
    if (req)
        umbp_router_lookup (req, true, s_where_answer);
}

//  --------------------------------------------------------------------------------------------------
//  remove: every place the index knows, and this node, which may know better. Then the index is asked again about
//  what was somewhere: of a copy that had just been made, only another shard may have heard.

#define REMOVE_ROUNDS 3

static void s_remove_answer (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    for (uint32_t index = 0; index < req->count; index++) {
        const umbp_part_t *part = &req->parts[index];
        bool unknown = part->status == UMBP_ENOENT && !part->heard;
        self->statuses[index] = (int8_t) (unknown ? UMBP_EUNREACH : part->status);
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_remove_ok, 0);
    answer.remove_ok.statuses = (umbp_s8s_t) { self->statuses, req->count };
    umbp_router_finish (req, &answer, NULL, 0);
}

static void s_on_dropped (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    (void) owner;
    umbp_sub_t *sub = (umbp_sub_t *) (uintptr_t) tag;
    bool fine = status == 0 && mail && mail->msg->type == UMBP_MSG_drop_ok
                && mail->msg->drop_ok.statuses.count == sub->count;
    for (uint32_t index = 0; index < sub->count; index++) {
        umbp_part_t *part = &sub->req->parts[sub->items[index]];
        int8_t said = fine ? umbp_s8s_at (mail->msg->drop_ok.statuses, index) : UMBP_EUNREACH;
        if (said == 0 && part->status == UMBP_ENOENT)
            part->status = 0;
        if (!fine)
            part->status = UMBP_EUNREACH;
        else if (said == UMBP_ETIMEDOUT && part->status != UMBP_EUNREACH)
            part->status = UMBP_ETIMEDOUT;           //  It is gone there, and may be back after a crash
    }
    umbp_router_sub_done (sub);
}

//  Whether it may be there: of many replicas we were not told all; nor while the ring is new, as those who have one
//  may tell shards of a ring that we do not know
static bool s_is_at (const umbp_req_t *req, const umbp_part_t *part, uint16_t member, uint8_t tier)
{
    bool settled = umbp_topology_settled (req->view->topology) && req->view->rings.past_count == 0;
    if (part->replica_count == UMBP_PLACES_MAX || (part->replica_count > 0 && !settled))
        return true;
    for (uint8_t replica = 0; replica < part->replica_count; replica++)
        if (part->replicas[replica].member == member && part->replicas[replica].tier == tier)
            return true;
    return false;
}

static void s_remove_from (umbp_req_t *req, uint16_t member, uint8_t tier)
{
    bool here = member == umbp_topology_self (req->view->topology);
    umbp_sub_t *sub = umbp_router_sub (req, member, tier, req->count);
    for (uint32_t index = 0; index < req->count; index++)
        if (here || s_is_at (req, &req->parts[index], member, tier))
            sub->items[sub->count++] = index;
    if (sub->count == 0) {
        umbp_router_sub_free (sub);
        return;
    }
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_drop, 0);
    msg.drop.keys = umbp_router_keys (req->router, sub);
    umbp_router_ask (sub, umbp_router_tier_name (tier), &msg, NULL, 0, s_on_dropped);
}

//  End a stage that was begun with one pending more than it asked, so that it cannot end before
static void s_sealed (umbp_req_t *req)
{
    if (--req->pending == 0)
        req->next (req);
}

static void s_remove_all (umbp_req_t *req);

//  What is still somewhere is removed there, too
static void s_remove_rest (umbp_req_t *req)
{
    for (uint32_t index = 0; index < req->count; index++)
        if (req->parts[index].replica_count > 0) {
            s_remove_all (req);
            return;
        }
    s_remove_answer (req);
}

static void s_remove_again (umbp_req_t *req)
{
    bool any = false;
    umbp_router_refresh (req);
    for (uint32_t index = 0; index < req->count; index++) {
        umbp_part_t *part = &req->parts[index];
        part->wanted = part->status == 0;
        part->replica_count = part->owners_asked = 0;
        part->doubted = false;
        any |= part->wanted;
    }
    if (any && ++req->rounds < REMOVE_ROUNDS)
        umbp_router_lookup (req, true, s_remove_rest);
    else
        s_remove_answer (req);
}

static void s_remove_all (umbp_req_t *req)
{
    req->pending = 1;
    req->next = s_remove_again;
    for (size_t member = 0; member < umbp_topology_count (req->view->topology); member++)
        for (uint8_t tier = 1; tier < UMBP_TIERS; tier++)
            if (umbp_topology_member (req->view->topology, member)->tiers[tier].total > 0)
                s_remove_from (req, (uint16_t) member, tier);
    s_sealed (req);
}

void umbp_router_on_remove (void *owner, const umbp_mail_t *mail)
{
    umbp_router_t *self = owner;
    self->removes++;
    umbp_req_t *req = umbp_router_request (self, mail, &mail->msg->remove.keys);
    if (req)
        umbp_router_lookup (req, true, s_remove_all);
}

//  --------------------------------------------------------------------------------------------------
//  clear

static void s_clear_answer (umbp_req_t *req)
{
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_clear_ok, 0);
    answer.status = req->nowait ? UMBP_EUNREACH : 0;         //  Some node did not answer
    answer.clear_ok.blocks = req->blocks;
    answer.clear_ok.bytes = req->bytes;
    umbp_router_finish (req, &answer, NULL, 0);
}

static void s_on_wiped (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    (void) owner;
    umbp_sub_t *sub = (umbp_sub_t *) (uintptr_t) tag;
    if (status == 0 && mail && mail->msg->type == UMBP_MSG_wipe_ok) {
        sub->req->blocks += mail->msg->wipe_ok.blocks;
        sub->req->bytes += mail->msg->wipe_ok.bytes;
    } else
        sub->req->nowait = true;
    umbp_router_sub_done (sub);
}

void umbp_router_on_clear (void *owner, const umbp_mail_t *mail)
{
    bool everywhere = mail->msg->clear.everywhere;
    umbp_user_t user;
    const char *tenant =
        umbp_origin_tenant (mail->origin, ((umbp_router_t *) owner)->tenant, &user);
    umbp_req_t *req = umbp_router_request (owner, mail, NULL);
    if (!req)
        return;
    req->pending = 1;
    req->next = s_clear_answer;
    const umbp_topology_t *topology = req->view->topology;
    for (size_t member = 0; member < umbp_topology_count (topology); member++)
        for (uint8_t tier = 1; tier < UMBP_TIERS; tier++) {
            if ((!everywhere && member != umbp_topology_self (topology))
                || umbp_topology_member (topology, member)->tiers[tier].total == 0)
                continue;
            umbp_msg_t msg;
            umbp_msg_init (&msg, *tenant ? UMBP_MSG_wipe_tenant : UMBP_MSG_wipe, 0);
            if (*tenant)
                msg.wipe_tenant.tenant = umbp_text (tenant);
            umbp_sub_t *sub = umbp_router_sub (req, (uint16_t) member, tier, 0);
            if (!umbp_router_ask (sub, umbp_router_tier_name (tier), &msg, NULL, 0, s_on_wiped))
                req->nowait = true;
        }
    s_sealed (req);
}

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

//  Whether a place of a block is the one to hear of it. What will be needed need not come up where it is up already.
static bool s_is_advised (const umbp_req_t *req, const umbp_part_t *part, uint16_t member,
                          uint8_t tier)
{
    bool here = false, faster = false;
    for (uint8_t replica = 0; replica < part->replica_count; replica++) {
        const umbp_replica_t *at = &part->replicas[replica];
        here |= at->member == member && at->tier == tier;
        faster |= at->member == member && at->tier < tier;
    }
    return here && !(faster && req->advice == UMBP_ADVICE_NEED);
}

static void s_advise_at (umbp_req_t *req, uint16_t member, uint8_t tier)
{
    umbp_sub_t *sub = umbp_router_sub (req, member, tier, req->count);
    for (uint32_t index = 0; index < req->count; index++)
        if (s_is_advised (req, &req->parts[index], member, tier))
            sub->items[sub->count++] = index;
    if (sub->count > 0) {
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_touch, 0);
        msg.call = req->origin.call;
        msg.touch.keys = umbp_router_keys (req->router, sub);
        msg.touch.advice = req->advice;
        umbp_post_tell (req->router->post, umbp_router_tier_name (tier),
                        umbp_topology_member (req->view->topology, member)->node, &msg);
    }
    umbp_router_sub_free (sub);
}

//  Tell the tiers that have the blocks what the client said of them. Nobody answers.
static void s_advise (umbp_req_t *req)
{
    for (size_t member = 0; member < umbp_topology_count (req->view->topology); member++)
        for (uint8_t tier = 1; tier < UMBP_TIERS; tier++)
            if (umbp_topology_member (req->view->topology, member)->tiers[tier].total > 0)
                s_advise_at (req, (uint16_t) member, tier);
}

static void s_where_answer (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    if (req->advice)
        s_advise (req);
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
    uint8_t advice = (uint8_t) mail->msg->where.advice;
    umbp_req_t *req = umbp_router_request (owner, mail, &mail->msg->where.keys);
    if (!req)
        return;
    req->advice = advice;
    umbp_router_lookup (req, true, s_where_answer);
}

//  --------------------------------------------------------------------------------------------------
//  remove: every place the index knows, and this node, which may know better. Then the index is asked again about
//  what was somewhere: of a copy that had just been made, only another shard may have heard. What was not where a
//  shard had said has moved, or is gone: others know where to, since a copy counts once one of its shards has heard
//  of it, so they are asked before that one. If they do not know either, what they are told takes a moment.

#define REMOVE_ROUNDS 4
#define REMOVE_PAUSE_MS 20              //  Before a round when two shards, one after the other, were behind

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

static bool s_is_named (const umbp_part_t *part, uint16_t member, uint8_t tier)
{
    for (uint8_t replica = 0; replica < part->replica_count; replica++)
        if (part->replicas[replica].member == member && part->replicas[replica].tier == tier)
            return true;
    return false;
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
        part->misled |= said == UMBP_ENOENT && s_is_named (part, sub->member, sub->tier);
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
    return s_is_named (part, member, tier);
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

//  A share of the time that is left at most
static size_t s_pause_ms (const umbp_req_t *req)
{
    uint32_t left = umbp_router_left (req, 30);
    return left < REMOVE_PAUSE_MS ? left : REMOVE_PAUSE_MS;
}

static int s_remove_later (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    umbp_router_refresh (arg);
    umbp_router_lookup (arg, true, s_remove_rest);
    return 0;
}

//  A part that this round was about is wanted again if it was somewhere, by our word or that of a shard
static void s_want_again (umbp_part_t *part)
{
    bool moved = part->status == UMBP_ENOENT && part->replica_count > 0;
    part->wanted = moved || part->status == 0;
    part->heard &= !moved;              //  It is no miss yet
    part->misled_by = part->misled ? part->named_by : 0;
    part->replica_count = part->owners_asked = 0;
    part->doubted = part->misled = false;
}

static void s_remove_again (umbp_req_t *req)
{
    bool any = false, misled = false;
    bool last = ++req->rounds == REMOVE_ROUNDS || zclock_mono () >= req->expires;
    umbp_router_refresh (req);
    for (uint32_t index = 0; index < req->count && !last; index++) {
        misled |= req->parts[index].misled;
        s_want_again (&req->parts[index]);
        any |= req->parts[index].wanted;
    }
    if (!any)
        s_remove_answer (req);
    else if (misled && req->rounds > 1)
        zloop_timer (req->router->loop, s_pause_ms (req), 1, s_remove_later, req);
    else
        umbp_router_lookup (req, true, s_remove_rest);
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
//  clear: all tiers at once, each in its own time. What went down from memory to a tier that had been wiped before it
//  outlives that, if its move had ended before it could be undone: so those below memory are wiped once more after all
//  have answered. Memory is not: a client that gave up on us may be putting blocks there again.

#define CLEAR_ROUNDS 2

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

static void s_clear_again (umbp_req_t *req);

static void s_clear_at (umbp_req_t *req, uint16_t member, uint8_t tier)
{
    umbp_msg_t msg;
    umbp_user_t user;
    const char *tenant = umbp_origin_tenant (&req->origin, req->router->tenant, &user);
    umbp_msg_init (&msg, *tenant ? UMBP_MSG_wipe_tenant : UMBP_MSG_wipe, 0);
    if (*tenant)
        msg.wipe_tenant.tenant = umbp_text (tenant);
    umbp_sub_t *sub = umbp_router_sub (req, member, tier, 0);
    if (!umbp_router_ask (sub, umbp_router_tier_name (tier), &msg, NULL, 0, s_on_wiped))
        req->nowait = true;
}

static void s_clear_all (umbp_req_t *req)
{
    const umbp_topology_t *topology = req->view->topology;
    uint8_t first = req->rounds == 0 ? 1 : UMBP_TIER_DRAM + 1;
    req->pending = 1;
    req->next = s_clear_again;
    for (size_t member = 0; member < umbp_topology_count (topology); member++)
        for (uint8_t tier = first; tier < UMBP_TIERS; tier++)
            if ((req->everywhere || member == umbp_topology_self (topology))
                && umbp_topology_member (topology, member)->tiers[tier].total > 0)
                s_clear_at (req, (uint16_t) member, tier);
    s_sealed (req);
}

static void s_clear_again (umbp_req_t *req)
{
    bool last = ++req->rounds == CLEAR_ROUNDS || zclock_mono () >= req->expires;
    umbp_router_refresh (req);
    if (last || req->nowait)
        s_clear_answer (req);
    else
        s_clear_all (req);
}

void umbp_router_on_clear (void *owner, const umbp_mail_t *mail)
{
    bool everywhere = mail->msg->clear.everywhere;
    umbp_req_t *req = umbp_router_request (owner, mail, NULL);
    if (!req)
        return;
    req->everywhere = everywhere;
    s_clear_all (req);
}

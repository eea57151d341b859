//  actors/router.c - the router: its life, and what all its requests are made of.
#include "actors/router_self.h"
#include "cluster/origin.h"
#include "proto/scope.h"

#define REQUESTS_MAX 4096               //  At once

//  --------------------------------------------------------------------------------------------------
//  Requests

static void s_view_release (umbp_view_of_t *view)
{
    if (view && --view->users == 0) {
        umbp_rings_clear (&view->rings);
        free (view);
    }
}

//  A request with one part per key. Refuses, and returns NULL, if there are too many or no topology yet.
umbp_req_t *umbp_router_request (umbp_router_t *self, const umbp_mail_t *mail,
                                 const umbp_column_t *said)
{
    if (self->request_count == REQUESTS_MAX || !self->view) {
        self->refused_busy++;
        umbp_post_refuse (self->post, mail->origin, UMBP_EAGAIN, "router",
                          self->view ? "too many requests at once" : "the node is still starting");
        return NULL;
    }
    umbp_user_t user;
    umbp_column_t keys = { NULL, NULL, 0, 0 };
    const char *tenant = umbp_origin_tenant (mail->origin, self->tenant, &user);
    if (said)
        keys = umbp_scope_column (*said, tenant, self->scoped, self->scoped_sizes);
    uint32_t count = keys.count;
    umbp_req_t *req = zmalloc (sizeof (umbp_req_t) + count * sizeof (umbp_part_t) + keys.size);
    uint8_t *bytes = (uint8_t *) &req->parts[count];
    req->router = self;
    req->origin = *mail->origin;
    req->type = mail->msg->type;
    req->expires = mail->expires;
    req->view = self->view;
    req->view->users++;
    req->count = count;
    req->after = self->requests;
    if (req->after)
        req->after->before = req;
    self->requests = req;
    self->request_count++;
    if (count)
        memcpy (bytes, keys.bytes, keys.size);
    const umbp_ring_t *ring = umbp_topology_ring (req->view->topology);
    for (uint32_t index = 0; index < count; index++) {
        umbp_part_t *part = &req->parts[index];
        part->key = bytes;
        part->key_size = umbp_column_size_at (&keys, index);
        umbp_bytes_t bare = umbp_scope_bare (part->key, part->key_size);
        part->position = umbp_ring_position (ring, bare.data, bare.size);
        part->row = UMBP_NO_REF;
        part->status = UMBP_ENOENT;
        part->wanted = true;
        bytes += part->key_size;
    }
    return req;
}

//  The numbers that members have in another topology; those who left it have none
static void s_renumber (const umbp_topology_t *from, const umbp_topology_t *to, uint16_t *members,
                        size_t count)
{
    for (size_t index = 0; index < count; index++) {
        if (members[index] == UMBP_NO_REF)
            continue;
        const char *node = umbp_topology_member (from, members[index])->node;
        int number = umbp_topology_find (to, umbp_text (node));
        members[index] = number < 0 ? UMBP_NO_REF : (uint16_t) number;
    }
}

bool umbp_router_refresh (umbp_req_t *req)
{
    umbp_view_of_t *fresh = req->router->view;
    bool other = umbp_topology_epoch (fresh->topology) != umbp_topology_epoch (req->view->topology);
    s_renumber (req->view->topology, fresh->topology, req->avoid, other ? req->avoid_count : 0);
    for (uint32_t index = 0; other && index < req->count; index++) {
        s_renumber (req->view->topology, fresh->topology, req->parts[index].tried.members,
                    req->parts[index].tried.count);
        req->parts[index].named_by = req->parts[index].misled_by = 0;
    }
    s_view_release (req->view);
    req->view = fresh;
    req->view->users++;
    return other;
}

void umbp_router_done (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    if (req->before)
        req->before->after = req->after;
    else
        self->requests = req->after;
    if (req->after)
        req->after->before = req->before;
    self->request_count--;
    s_view_release (req->view);
    free (req->rows);
    free (req->regions);
    free (req->pages);
    free (req->page_counts);
    free (req->generations);
    free ((void *) req->payload);
    free (req);
}

void umbp_router_finish (umbp_req_t *req, umbp_msg_t *answer, const void *payload, size_t size)
{
    umbp_post_answer (req->router->post, &req->origin, answer, payload, size);
    umbp_router_done (req);
}

//  A share in percent of the time the request has left, with a little kept back for the answer's way
uint32_t umbp_router_left (const umbp_req_t *req, unsigned share)
{
    int64_t left = req->expires - zclock_mono ();
    left -= left / 10;
    return left > 1 ? (uint32_t) (left * share / 100) + 1 : 1;
}

//  --------------------------------------------------------------------------------------------------
//  Asking for parts of a request

umbp_sub_t *umbp_router_sub (umbp_req_t *req, uint16_t member, uint8_t tier, uint32_t count_max)
{
    umbp_router_t *self = req->router;
    umbp_sub_t *sub = zmalloc (sizeof (umbp_sub_t) + count_max * sizeof (uint32_t));
    sub->req = req;
    sub->member = member;
    sub->tier = tier;
    sub->after = self->subs;
    if (sub->after)
        sub->after->before = sub;
    self->subs = sub;
    return sub;
}

void umbp_router_sub_free (umbp_sub_t *sub)
{
    umbp_router_t *self = sub->req->router;
    if (sub->before)
        sub->before->after = sub->after;
    else
        self->subs = sub->after;
    if (sub->after)
        sub->after->before = sub->before;
    free (sub);
}

//  Returns false if it could not even be asked: its items are to be tried again, and the sub is freed
bool umbp_router_ask (umbp_sub_t *sub, const char *actor, umbp_msg_t *msg, const void *payload,
                      size_t size, umbp_answer_fn *fn)
{
    umbp_req_t *req = sub->req;
    const char *node = umbp_topology_member (req->view->topology, sub->member)->node;
    req->pending++;
    msg->call = req->origin.call;
    uint32_t patience_ms = umbp_router_left (req, 40);
    if (sub->replaceable && patience_ms > UMBP_ANOTHER_MS)
        patience_ms = UMBP_ANOTHER_MS;
    if (umbp_post_ask (req->router->post, actor, node, msg, payload, size, patience_ms, fn,
                       (uint64_t) (uintptr_t) sub)
        == 0)
        return true;
    req->router->unheard++;
    req->pending--;
    for (uint32_t index = 0; index < sub->count; index++)
        req->parts[sub->items[index]].status = UMBP_EAGAIN;
    umbp_router_sub_free (sub);
    return false;
}

void umbp_router_sub_done (umbp_sub_t *sub)
{
    umbp_req_t *req = sub->req;
    umbp_router_sub_free (sub);
    if (--req->pending == 0)
        req->next (req);
}

//  The keys of a sub's items as a column, in the router's room
umbp_column_t umbp_router_keys (umbp_router_t *self, const umbp_sub_t *sub)
{
    uint32_t used = 0;
    for (uint32_t index = 0; index < sub->count; index++) {
        const umbp_part_t *part = &sub->req->parts[sub->items[index]];
        memcpy (self->keys + used, part->key, part->key_size);
        self->sizes16[index] = part->key_size;
        used += part->key_size;
    }
    return (umbp_column_t) { self->keys, self->sizes16, used, sub->count };
}

const char *umbp_router_tier_name (unsigned tier)
{
    static const char *const names[] = { "", "tier:hbm", "tier:dram", "tier:nvme", "tier:shared" };
    return names[tier < UMBP_TIERS ? tier : 0];
}

//  --------------------------------------------------------------------------------------------------
//  Rows and extents of an answer

//  A new row for what a member gave. Returns its number, UMBP_NO_REF if there are too many.
uint16_t umbp_router_row (umbp_req_t *req, const umbp_sub_t *sub, umbp_text_t bulk,
                          umbp_bytes_t bulk_key, uint32_t page_size, uint32_t ttl_ms,
                          uint64_t lease)
{
    if (!req->rows)
        req->rows = zmalloc (UMBP_ROWS_MAX * sizeof (umbp_row_t));
    if (req->row_count == UMBP_ROWS_MAX)
        return UMBP_NO_REF;
    umbp_row_t *row = &req->rows[req->row_count];
    const umbp_member_t *member = umbp_topology_member (req->view->topology, sub->member);
    snprintf (row->node, sizeof row->node, "%s", member->node);
    umbp_text_copy (bulk, row->bulk, sizeof row->bulk);
    row->has_key = bulk_key.size == sizeof row->bulk_key;
    if (row->has_key)
        memcpy (row->bulk_key, bulk_key.data, sizeof row->bulk_key);
    row->tier = sub->tier;
    row->page_size = page_size;
    row->ttl_ms = ttl_ms;
    row->lease = lease;
    return req->row_count++;
}

static void s_extent_room (umbp_req_t *req, uint32_t more)
{
    if (req->extent_count + more <= req->extent_room)
        return;
    uint32_t room = req->extent_room * 2 > req->extent_count + more ? req->extent_room * 2
                                                                    : req->extent_count + more + 64;
    req->regions = realloc (req->regions, room * sizeof (uint16_t));
    req->pages = realloc (req->pages, room * sizeof (uint32_t));
    req->page_counts = realloc (req->page_counts, room * sizeof (uint32_t));
    req->generations = realloc (req->generations, room * sizeof (uint32_t));
    assert (req->regions && req->pages && req->page_counts && req->generations);
    req->extent_room = room;
}

bool umbp_router_take_extents (umbp_req_t *req, umbp_part_t *part, umbp_u16s_t counts, size_t index,
                               umbp_u16s_t regions, umbp_u32s_t pages, umbp_u32s_t page_counts,
                               umbp_u32s_t generations, size_t *at)
{
    uint16_t count = counts.count ? umbp_u16s_at (counts, index) : 0;
    size_t from = *at;
    *at += count;                       //  Also of an item that gets none: the next one's rows follow
    if (*at > regions.count || *at > pages.count || *at > page_counts.count
        || *at > generations.count || req->extent_count + count > UMBP_EXTENTS_MAX)
        return false;
    s_extent_room (req, count);
    part->extent_first = req->extent_count;
    part->extent_count = count;
    for (; from < *at; from++, req->extent_count++) {
        req->regions[req->extent_count] = umbp_u16s_at (regions, from);
        req->pages[req->extent_count] = umbp_u32s_at (pages, from);
        req->page_counts[req->extent_count] = umbp_u32s_at (page_counts, from);
        req->generations[req->extent_count] = umbp_u32s_at (generations, from);
    }
    return true;
}

uint32_t umbp_router_gather_extents (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    uint32_t used = 0;
    for (uint32_t index = 0; index < req->count; index++) {
        const umbp_part_t *part = &req->parts[index];
        uint16_t count = part->status == 0 && part->row != UMBP_NO_REF ? part->extent_count : 0;
        self->counts16[index] = count;
        if (count == 0)
            continue;
        uint32_t first = part->extent_first;
        memcpy (self->regions + used, req->regions + first, count * sizeof *self->regions);
        memcpy (self->pages + used, req->pages + first, count * sizeof *self->pages);
        memcpy (self->page_counts + used, req->page_counts + first,
                count * sizeof *self->page_counts);
        memcpy (self->generations + used, req->generations + first,
                count * sizeof *self->generations);
        used += count;
    }
    return used;
}

//  A column as long as its last key needs: where nobody needs one it is empty
static umbp_bytes_t s_bulk_keys (const umbp_req_t *req, uint8_t *at)
{
    umbp_bytes_t keys = { at, 0 };
    for (uint16_t row = 0; row < req->row_count; row++, at += UMBP_BULK_KEY_BYTES) {
        memcpy (at, req->rows[row].bulk_key, UMBP_BULK_KEY_BYTES);
        if (req->rows[row].has_key)
            keys.size = (row + 1u) * UMBP_BULK_KEY_BYTES;
    }
    return keys;
}

void umbp_router_node_columns (umbp_req_t *req, umbp_column_t *nodes, umbp_column_t *bulks,
                               umbp_bytes_t *bulk_keys)
{
    umbp_router_t *self = req->router;
    uint8_t *at = self->keys;
    *nodes = (umbp_column_t) { at, self->sizes16, 0, req->row_count };
    for (uint16_t row = 0; row < req->row_count; row++) {
        self->sizes16[row] = (uint16_t) strlen (req->rows[row].node);
        memcpy (at, req->rows[row].node, self->sizes16[row]);
        at += self->sizes16[row];
        nodes->size += self->sizes16[row];
    }
    uint16_t *sizes = self->sizes16 + UMBP_ROWS_MAX;
    *bulks = (umbp_column_t) { at, sizes, 0, req->row_count };
    for (uint16_t row = 0; row < req->row_count; row++) {
        sizes[row] = (uint16_t) strlen (req->rows[row].bulk);
        memcpy (at, req->rows[row].bulk, sizes[row]);
        at += sizes[row];
        bulks->size += sizes[row];
    }
    *bulk_keys = s_bulk_keys (req, at);
}

//  --------------------------------------------------------------------------------------------------
//  Life

//  From this node's pressure actor; clients hear of it with their next put
static void s_on_relax (void *owner, const umbp_mail_t *mail)
{
    umbp_router_t *self = owner;
    if (!mail->origin->door && !mail->origin->origin_size)
        self->strain = (unsigned) mail->msg->relax.level;
}

static void s_on_topology (void *owner, const umbp_mail_t *mail)
{
    umbp_router_t *self = owner;
    const umbp_topology_t *former = self->view ? self->view->topology : NULL;
    umbp_topology_t *topology = umbp_topology_renew (former, &mail->msg->topology_ok);
    if (!topology)
        return;
    umbp_view_of_t *view = zmalloc (sizeof (umbp_view_of_t));
    if (self->view)
        umbp_rings_copy (&self->view->rings, &view->rings);
    if (umbp_rings_take (&view->rings, &topology))
        umbp_router_doubt (self);
    if (umbp_topology_settled (view->rings.now))
        umbp_rings_forget (&view->rings);
    view->topology = view->rings.now;
    view->users = 1;
    s_view_release (self->view);
    self->view = view;
    umbp_placement_topology (self->placement, view->topology);
}

static void s_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    umbp_router_t *self = owner;
    self->post = post;
    self->loop = loop;
}

static void s_stat (void *owner, umbp_gauges_t *gauges)
{
    umbp_router_t *self = owner;
    umbp_gauges_add (gauges, "requests_open", self->request_count);
    umbp_gauges_add (gauges, "puts", self->puts);
    umbp_gauges_add (gauges, "gets", self->gets);
    umbp_gauges_add (gauges, "exists", self->exists);
    umbp_gauges_add (gauges, "removes", self->removes);
    umbp_gauges_add (gauges, "puts_rerouted", self->rerouted);
    umbp_gauges_add (gauges, "gets_failed_over", self->failovers);
    umbp_gauges_add (gauges, "gets_looked_again", self->relooks);
    umbp_gauges_add (gauges, "unheard", self->unheard);
    umbp_gauges_add (gauges, "doubts", self->doubts);
    umbp_gauges_add (gauges, "refused_busy", self->refused_busy);
    umbp_gauges_add (gauges, "tiers_asked", self->tiers_asked);
}

static void s_destroy (void **self_p)
{
    umbp_router_t *self = *self_p;
    for (umbp_sub_t *sub = self->subs, *after; sub; sub = after) {
        after = sub->after;
        free (sub);
    }
    for (umbp_req_t *req = self->requests, *after; req; req = after) {
        after = req->after;
        umbp_router_done (req);
    }
    s_view_release (self->view);
    umbp_placement_destroy (&self->placement);
    free (self->keys);
    free (self->scoped);
    freen (*self_p);
}

zactor_t *umbp_router_new (const umbp_router_args_t *args)
{
    static const umbp_op_t ops[] = {
        { UMBP_MSG_get, umbp_router_on_get },
        { UMBP_MSG_put, umbp_router_on_put },
        { UMBP_MSG_exists, umbp_router_on_exists },
        { UMBP_MSG_where, umbp_router_on_where },
        { UMBP_MSG_remove, umbp_router_on_remove },
        { UMBP_MSG_clear, umbp_router_on_clear },
        { UMBP_MSG_topology_ok, s_on_topology },
        { UMBP_MSG_relax, s_on_relax },
        { 0, NULL },
    };
    umbp_router_t *self = zmalloc (sizeof (umbp_router_t));
    self->strategy = args->strategy;
    self->placement = umbp_placement_new (args->home->node_epoch);
    umbp_placement_set_marks (self->placement, args->evict_high ? args->evict_high : 100,
                              args->evict_low ? args->evict_low : 100);
    umbp_placement_set_page (self->placement, args->page_bytes);
    self->keys = zmalloc (UMBP_BATCH_MAX * UMBP_SCOPED_KEY_MAX);
    self->scoped = zmalloc (UMBP_BATCH_MAX * UMBP_SCOPED_KEY_MAX);
    snprintf (self->tenant, sizeof self->tenant, "%s", args->home->tenant);
    umbp_actor_args_t actor = { .name = "router",
                                .home = args->home,
                                .door = true,
                                .ops = ops,
                                .self = self, .start = s_start, .stat = s_stat, .destroy = s_destroy };
    return umbp_actor_new (&actor);
}

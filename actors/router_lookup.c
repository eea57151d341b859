//  actors/router_lookup.c - asking the shards. Each key has R owners on the ring; one that is this node is asked
//  first, then those that are alive, then suspects. Whoever does not answer leaves the word to the next owner, and
//  so does whoever knows nothing: a block may be got as soon as one shard has heard of it. Only a put does not ask
//  on, since it finds out anyway, and nobody asks suspects what others denied, unless the ring is new.
#include "actors/router_self.h"

//  The owners of a part, best first. Returns how many.
static size_t s_owners (const umbp_req_t *req, const umbp_part_t *part, uint16_t *owners)
{
    const umbp_topology_t *topology = req->view->topology;
    uint16_t walk[UMBP_COPIES_MAX];
    size_t count = umbp_topology_owners (topology, part->position, walk), used = 0;
    for (size_t index = 0; index < count; index++)
        if (walk[index] == umbp_topology_self (topology))
            owners[used++] = walk[index];
    for (unsigned state = UMBP_MEMBER_ALIVE; state <= UMBP_MEMBER_SUSPECT; state++)
        for (size_t index = 0; index < count; index++)
            if (walk[index] != umbp_topology_self (topology)
                && umbp_topology_member (topology, walk[index])->state == state)
                owners[used++] = walk[index];
    return used;
}

//  Places of one part from an answer; *row moves on
static void s_take_places (umbp_part_t *part, const umbp_msg_lookup_ok_t *ok, uint8_t count,
                           const int *members, size_t *row)
{
    for (; count > 0 && *row < ok->refs.count; count--, (*row)++) {
        uint16_t ref = umbp_u16s_at (ok->refs, *row);
        uint8_t tier = umbp_u8s_at (ok->tiers, *row);
        if (ref >= ok->nodes.count || members[ref] < 0 || tier == 0 || tier >= UMBP_TIERS
            || part->replica_count == UMBP_PLACES_MAX)
            continue;
        part->replicas[part->replica_count++] =
            (umbp_replica_t) { (uint16_t) members[ref], tier, umbp_u32s_at (ok->sizes, *row) };
    }
}

//  Whether the next owner of a part that nobody knows of yet is worth asking
static bool s_ask_on (const umbp_req_t *req, const umbp_part_t *part)
{
    uint16_t owners[UMBP_COPIES_MAX];
    if (zclock_mono () < req->router->settled_at)
        return true;
    return req->type != UMBP_MSG_put && part->owners_asked < s_owners (req, part, owners)
           && umbp_topology_member (req->view->topology, owners[part->owners_asked])->state
                  == UMBP_MEMBER_ALIVE;
}

static void s_take (umbp_sub_t *sub, const umbp_msg_lookup_ok_t *ok)
{
    umbp_req_t *req = sub->req;
    int members[UMBP_NODES_MAX];
    size_t offset = 0, row = 0;
    for (size_t index = 0; index < ok->nodes.count && index < UMBP_NODES_MAX; index++) {
        umbp_bytes_t name = umbp_column_next (&ok->nodes, index, &offset);
        members[index] = umbp_topology_find (req->view->topology,
                                             (umbp_text_t) { (const char *) name.data, name.size });
    }
    for (uint32_t index = 0; index < sub->count; index++) {
        umbp_part_t *part = &req->parts[sub->items[index]];
        uint8_t found = umbp_u8s_at (ok->found, index);
        part->heard = true;
        if (req->places)
            s_take_places (part, ok, found, members, &row);
        else
            part->replica_count = found > 0;
        part->wanted = part->replica_count == 0 && s_ask_on (req, part);
    }
}

static void s_on_answer (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    umbp_router_t *self = owner;
    umbp_sub_t *sub = (umbp_sub_t *) (uintptr_t) tag;
    if (status == 0 && mail && mail->msg->type == UMBP_MSG_lookup_ok
        && mail->msg->lookup_ok.found.count == sub->count
        && mail->msg->lookup_ok.refs.count == mail->msg->lookup_ok.tiers.count
        && mail->msg->lookup_ok.refs.count == mail->msg->lookup_ok.sizes.count)
        s_take (sub, &mail->msg->lookup_ok);
    else
        self->unheard++;
    umbp_router_sub_done (sub);
}

//  One round: every wanted part at its next owner
static void s_round (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    umbp_sub_t *subs[UMBP_NODES_MAX] = { NULL };
    size_t reach = umbp_topology_count (req->view->topology);
    bool any = false;
    for (uint32_t index = 0; index < req->count; index++) {
        umbp_part_t *part = &req->parts[index];
        uint16_t owners[UMBP_COPIES_MAX];
        if (!part->wanted || part->owners_asked >= s_owners (req, part, owners)) {
            part->wanted = false;
            continue;
        }
        uint16_t member = owners[part->owners_asked++];
        if (!subs[member])
            subs[member] = umbp_router_sub (req, member, 0, req->count);
        subs[member]->items[subs[member]->count++] = index;
        any = true;
    }
    if (!any) {
        req->after_lookup (req);
        return;
    }
    req->pending = 1;
    req->next = s_round;                //  Until nobody is wanted, or all owners were asked
    for (size_t member = 0; member < reach; member++) {
        if (!subs[member])
            continue;
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_lookup, 0);
        msg.lookup.keys = umbp_router_keys (self, subs[member]);
        msg.lookup.places = req->places;
        umbp_router_ask (subs[member], "index", &msg, NULL, 0, s_on_answer);
    }
    if (--req->pending == 0)
        s_round (req);
}

void umbp_router_lookup (umbp_req_t *req, bool places, void (*next) (umbp_req_t *req))
{
    req->places = places;
    req->after_lookup = next;
    s_round (req);
}

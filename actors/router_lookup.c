//  actors/router_lookup.c - asking the shards. Each key has R owners on the ring; one that is this node is asked
//  first, then those that are alive, then the one that named places where the block was not, then those that gave no
//  answer lately, then suspects; and if the ring is not settled, those of the rings before it.
//  Whoever does not answer leaves the word to the next owner, and so does whoever knows nothing: a block may be got
//  as soon as one shard has heard of it. Only a put does not ask on, since it finds out anyway, and nobody asks
//  suspects what others denied, unless the ring is new.
//
//  A node that has just joined, or just heard that another has, may work with a ring that others do not. So what is
//  denied by a shard that works with another ring is asked again for a moment, with the newest ring we know. So is
//  what an owner might know who has just left, since the tier managers are about to tell the others; and what nobody
//  could be asked about.
//
//  A shard that has just started, or that had given a member up which is back now, names the members whose blocks it
//  has not been told of. What no shard knows is asked of their tiers before anybody says that it is a miss.
#include "actors/router_self.h"

#define DOUBTS_MS 2000                  //  So long another ring than ours is news
#define DOUBT_MS 500                    //  So long one request is delayed by doubts, at most
#define AGAIN_MS 20                     //  Between two times
#define RANKS 5
#define ODD_MS DOUBTS_MS                //  A ring that nobody worked with for so long is forgotten

static bool s_is_settled (const umbp_view_of_t *view)
{
    return umbp_topology_settled (view->topology) && view->rings.past_count == 0;
}

//  In which order a member is asked
static int s_rank (const umbp_req_t *req, const umbp_part_t *part, uint16_t member)
{
    const umbp_topology_t *topology = req->view->topology;
    bool here = member == umbp_topology_self (topology);
    if (!here && umbp_topology_member (topology, member)->state != UMBP_MEMBER_ALIVE)
        return 4;
    if (!here && req->silent[member])
        return 3;
    return part->misled_by == member + 1 ? 2 : here ? 0 : 1;
}

//  Owners in the present ring, or those before it, best first. Returns how many there are now.
static size_t s_sort (const umbp_req_t *req, const umbp_part_t *part, const umbp_owner_t *all,
                      size_t count, bool now, uint16_t *owners, size_t used)
{
    for (int rank = 0; rank < RANKS; rank++)
        for (size_t index = 0; index < count; index++)
            if (s_rank (req, part, all[index].member) == rank
                && (bool) (all[index].in & UMBP_IN_NOW) == now)
                owners[used++] = all[index].member;
    return used;
}

//  Who was silent lately. It stays so until all owners were asked, since their order counts.
static void s_note_silent (umbp_req_t *req)
{
    const umbp_topology_t *topology = req->view->topology;
    int64_t now = zclock_mono ();
    if (req->any_silent)
        memset (req->silent, 0, sizeof req->silent);
    req->any_silent = umbp_silence_any (&req->router->silence, now);
    for (size_t member = 0; req->any_silent && member < umbp_topology_count (topology); member++)
        req->silent[member] = umbp_silence_is (&req->router->silence,
                                               umbp_topology_member (topology, member)->node, now);
}

//  The owners of a part, best first. Returns how many.
static size_t s_owners (const umbp_req_t *req, const umbp_part_t *part, uint16_t *owners)
{
    umbp_owner_t all[UMBP_OWNERS_MAX];
    size_t count = umbp_rings_owners (&req->view->rings, part->position, all);
    size_t used = s_sort (req, part, all, count, true, owners, 0);
    return s_sort (req, part, all, count, false, owners, used);
}

//  --------------------------------------------------------------------------------------------------
//  Doubts

void umbp_router_doubt (umbp_router_t *self)
{
    self->doubts_until = zclock_mono () + DOUBTS_MS;
}

//  A shard works with another ring than we do. That is news the first time, and when it was forgotten: rings return
//  with the nodes that make them up.
static void s_odd (umbp_router_t *self, uint64_t epoch)
{
    int64_t now = zclock_mono ();
    umbp_odd_t *odd = NULL;
    for (size_t index = 0; index < UMBP_ODD_MAX && !odd; index++)
        if (self->odd[index].epoch == epoch)
            odd = &self->odd[index];
    bool news = !odd || now - odd->seen_at > ODD_MS;
    if (!odd)
        odd = &self->odd[self->odd_next++ % UMBP_ODD_MAX];
    *odd = (umbp_odd_t) { epoch, now };
    if (news)
        umbp_router_doubt (self);
}

static void s_round (umbp_req_t *req);

//  Look up again what was not found; all of it if the ring is another one by now
static int s_again (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    umbp_req_t *req = arg;
    bool other = umbp_router_refresh (req);
    s_note_silent (req);
    for (uint32_t index = 0; index < req->count; index++) {
        umbp_part_t *part = &req->parts[index];
        if (!part->looked || (part->replica_count > 0 && !other))
            continue;
        part->replica_count = part->owners_asked = 0;
        part->doubted = false;
        part->wanted = true;
    }
    s_round (req);
    return 0;
}

//  Whether a part that was not found may be found in a moment: nobody could be asked; or somebody's word is in doubt,
//  while that is news
static bool s_is_doubtful (const umbp_req_t *req, const umbp_part_t *part, int64_t now)
{
    if (!part->looked || part->replica_count > 0 || req->type == UMBP_MSG_put)
        return false;
    bool doubted = part->doubted || umbp_rings_bereft (&req->view->rings, part->position);
    return !part->heard || (doubted && now < req->router->doubts_until);
}

//  Everybody was asked. Go on, or ask once more.
static void s_conclude (umbp_req_t *req)
{
    umbp_router_t *self = req->router;
    int64_t now = zclock_mono ();
    bool doubted = false;
    if (req->doubts_until == 0)
        req->doubts_until = now + umbp_router_left (req, 30);
    if (req->doubts_until > now + DOUBT_MS)
        req->doubts_until = now + DOUBT_MS;
    for (uint32_t index = 0; index < req->count; index++)
        doubted |= s_is_doubtful (req, &req->parts[index], now);
    if (doubted && now < req->doubts_until) {
        self->doubts++;
        zloop_timer (self->loop, AGAIN_MS, 1, s_again, req);
    } else
        req->after_lookup (req);
}

//  --------------------------------------------------------------------------------------------------
//  Tiers whose blocks the shards have not been told of

//  Members that a shard names. Returns false if there may be more than are remembered.
static bool s_add_untold (umbp_req_t *req, const umbp_column_t *names)
{
    size_t offset = 0;
    bool all = names->count < UMBP_UNTOLD_MAX;
    for (size_t index = 0; index < names->count; index++) {
        umbp_bytes_t name = umbp_column_next (names, index, &offset);
        int member = umbp_topology_find (req->view->topology,
                                         (umbp_text_t) { (const char *) name.data, name.size });
        bool known = false;
        for (uint8_t other = 0; other < req->untold_count; other++)
            known |= req->untold[other] == member;
        if (member >= 0 && !known && req->untold_count < UMBP_UNTOLD_MAX)
            req->untold[req->untold_count++] = (uint16_t) member;
        else
            all = all && known;
    }
    return all;
}

static void s_on_answer (void *owner, uint64_t tag, int status, const umbp_mail_t *mail);

//  Whether it is still sought. A put finds out anyway.
static bool s_is_sought (const umbp_req_t *req, const umbp_part_t *part)
{
    return part->looked && part->replica_count == 0 && req->type != UMBP_MSG_put;
}

//  Nobody knows what a tier holds that says nothing. Those that are found elsewhere are in no doubt.
static void s_doubt_all (umbp_req_t *req)
{
    for (uint32_t index = 0; index < req->count; index++)
        req->parts[index].doubted |= s_is_sought (req, &req->parts[index]);
}

//  Ask them all at once for what was not found
static void s_ask_tiers (umbp_req_t *req)
{
    const umbp_topology_t *topology = req->view->topology;
    req->pending = 1;
    req->next = s_conclude;
    for (uint8_t index = 0; index < req->untold_count; index++)
        for (uint8_t tier = 1; tier < UMBP_TIERS; tier++) {
            if (umbp_topology_member (topology, req->untold[index])->tiers[tier].total == 0)
                continue;
            umbp_sub_t *sub = umbp_router_sub (req, req->untold[index], tier, req->count);
            for (uint32_t part = 0; part < req->count; part++)
                if (s_is_sought (req, &req->parts[part]))
                    sub->items[sub->count++] = part;
            if (sub->count == 0) {
                umbp_router_sub_free (sub);
                continue;
            }
            umbp_msg_t msg;
            umbp_msg_init (&msg, UMBP_MSG_lookup, 0);
            msg.lookup.keys = umbp_router_keys (req->router, sub);
            msg.lookup.places = req->places;
            msg.lookup.scoped = true;
            sub->replaceable = true;    //  A shard will know soon
            req->router->tiers_asked++;
            if (!umbp_router_ask (sub, umbp_router_tier_name (tier), &msg, NULL, 0, s_on_answer))
                s_doubt_all (req);
        }
    req->untold_count = 0;
    if (--req->pending == 0)
        s_conclude (req);
}

//  --------------------------------------------------------------------------------------------------
//  Answers

//  Places of one part from an answer; *row moves on. A node that we do not know yet makes it doubtful.
static void s_take_places (umbp_part_t *part, const umbp_msg_lookup_ok_t *ok, uint8_t count,
                           const int *members, size_t *row)
{
    for (; count > 0 && *row < ok->refs.count; count--, (*row)++) {
        uint16_t ref = umbp_u16s_at (ok->refs, *row);
        uint8_t tier = umbp_u8s_at (ok->tiers, *row);
        bool wrong = ref >= ok->nodes.count, strange = !wrong && members[ref] < 0;
        part->doubted |= strange;
        if (wrong || strange || tier == 0 || tier >= UMBP_TIERS
            || part->replica_count == UMBP_PLACES_MAX)
            continue;
        part->replicas[part->replica_count++] =
            (umbp_replica_t) { (uint16_t) members[ref], tier, umbp_u32s_at (ok->sizes, *row) };
    }
}

//  Whether the next owner of a part that nobody knows of yet is worth asking
static bool s_ask_on (const umbp_req_t *req, const umbp_part_t *part)
{
    uint16_t owners[UMBP_OWNERS_MAX];
    if (!s_is_settled (req->view))
        return true;
    return req->type != UMBP_MSG_put && part->owners_asked < s_owners (req, part, owners)
           && umbp_topology_member (req->view->topology, owners[part->owners_asked])->state
                  == UMBP_MEMBER_ALIVE;
}

//  What a shard, or a tier, said. Of tiers several speak of one part.
static void s_take (umbp_sub_t *sub, const umbp_msg_lookup_ok_t *ok)
{
    umbp_req_t *req = sub->req;
    int members[UMBP_NODES_MAX];
    size_t offset = 0, row = 0;
    bool odd = ok->topo_epoch != umbp_topology_epoch (req->view->topology);
    if (odd)
        s_odd (req->router, ok->topo_epoch);
    odd |= !s_add_untold (req, &ok->untold);
    for (size_t index = 0; index < ok->nodes.count && index < UMBP_NODES_MAX; index++) {
        umbp_bytes_t name = umbp_column_next (&ok->nodes, index, &offset);
        members[index] = umbp_topology_find (req->view->topology,
                                             (umbp_text_t) { (const char *) name.data, name.size });
    }
    for (uint32_t index = 0; index < sub->count; index++) {
        umbp_part_t *part = &req->parts[sub->items[index]];
        uint8_t found = umbp_u8s_at (ok->found, index);
        part->heard = true;
        part->left |= ok->left.count == sub->count && umbp_u8s_at (ok->left, index) > 0;
        part->doubted |= odd;
        if (req->places)
            s_take_places (part, ok, found, members, &row);
        else
            part->replica_count |= found > 0;
        part->named_by = sub->tier ? 0 : (uint16_t) (sub->member + 1);
        part->wanted = part->replica_count == 0 && s_ask_on (req, part);
    }
}

static bool s_is_answer (const umbp_sub_t *sub, int status, const umbp_mail_t *mail)
{
    return status == 0 && mail && mail->msg->type == UMBP_MSG_lookup_ok
           && mail->msg->lookup_ok.found.count == sub->count
           && mail->msg->lookup_ok.refs.count == mail->msg->lookup_ok.tiers.count
           && mail->msg->lookup_ok.refs.count == mail->msg->lookup_ok.sizes.count;
}

static void s_on_answer (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    umbp_router_t *self = owner;
    umbp_sub_t *sub = (umbp_sub_t *) (uintptr_t) tag;
    if (s_is_answer (sub, status, mail))
        s_take (sub, &mail->msg->lookup_ok);
    else {
        self->unheard++;
        if (sub->tier)
            s_doubt_all (sub->req);
        else if (!mail)
            umbp_silence_note (&self->silence,
                               umbp_topology_member (sub->req->view->topology, sub->member)->node,
                               zclock_mono ());
    }
    umbp_router_sub_done (sub);
}

//  Whether the word of one more owner is worth no more of a put's time: it only spares the room for a block that
//  exists, which the shards find out at the commit as well
static bool s_put_may_go_on (const umbp_req_t *req, const umbp_part_t *part)
{
    return req->type == UMBP_MSG_put && part->heard;
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
        uint16_t owners[UMBP_OWNERS_MAX];
        size_t count = part->wanted ? s_owners (req, part, owners) : 0;
        if (part->owners_asked >= count) {
            part->wanted = false;
            continue;
        }
        uint16_t member = owners[part->owners_asked++];
        if (!subs[member]) {
            subs[member] = umbp_router_sub (req, member, 0, req->count);
            subs[member]->replaceable = true;
        }
        subs[member]->replaceable &= part->owners_asked < count || s_put_may_go_on (req, part);
        subs[member]->items[subs[member]->count++] = index;
        any = true;
    }
    if (!any) {
        s_ask_tiers (req);
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
        msg.lookup.scoped = true;
        umbp_router_ask (subs[member], "index", &msg, NULL, 0, s_on_answer);
    }
    if (--req->pending == 0)
        s_round (req);
}

void umbp_router_lookup (umbp_req_t *req, bool places, void (*next) (umbp_req_t *req))
{
    req->places = places;
    req->untold_count = 0;
    req->after_lookup = next;
    s_note_silent (req);
    for (uint32_t index = 0; index < req->count; index++)
        req->parts[index].looked = req->parts[index].wanted;
    s_round (req);
}

//  actors/members_vet.c - the rules of membership: who may come in, who is heard, who has left. See members.h.
#include "actors/members.h"

#include <czmq.h>

#include "actors/members_self.h"
#include "cluster/endpoint.h"

static const umbp_refusal_t s_refusals[UMBP_REFUSED_KINDS] = {
    [UMBP_REFUSED_CLUSTER] = { UMBP_EDENIED, "cluster", "this is another one", "refused_cluster" },
    [UMBP_REFUSED_VERSION] = { UMBP_ENOTSUP, "version", "this node speaks another one",
                               "refused_version" },
    [UMBP_REFUSED_NAME] = { UMBP_EINVAL, "node", "letters, digits, '.', '_' and '-' only",
                            "refused_name" },
    [UMBP_REFUSED_ID] = { UMBP_EEXIST, "node", "that id is taken", "refused_id" },
    [UMBP_REFUSED_STALE] = { UMBP_ESTALE, "node_epoch", "a later one came, or this one has left",
                             "refused_stale" },
    [UMBP_REFUSED_ENDPOINT] = { UMBP_EINVAL, "endpoint", "must be tcp://host:port",
                                "refused_endpoint" },
    [UMBP_REFUSED_FULL] = { UMBP_ENOSPC, "node", "this cluster is full", "refused_full" },
    [UMBP_REFUSED_SETTINGS] = { UMBP_EDENIED, "settings",
                                "the secret or index copies, vnodes or ring are others than here",
                                "refused_settings" },
};

bool umbp_members_name_ok (umbp_text_t name)
{
    if (name.size == 0 || name.size > UMBP_NAME_MAX)
        return false;
    for (size_t index = 0; index < name.size; index++) {
        char c = name.data[index];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !strchr ("._-", c))
            return false;
    }
    return true;
}

//  -----------------------------------------------------------------------------------------------
//  Who may come in

static int s_refuse (umbp_members_t *self, umbp_refused_t kind)
{
    self->refused[kind]++;
    self->refusal = &s_refusals[kind];
    return self->refusal->status;
}

static bool s_has_left (const umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now)
{
    for (size_t index = 0; index < UMBP_LEFT_MAX; index++) {
        const umbp_left_t *left = &self->left[index];
        if (left->until > now && beat->node_epoch <= left->epoch
            && umbp_text_is (beat->node, left->node))
            return true;
    }
    return false;
}

//  An operator has to give one of the two another id. Said once for as long as it goes on.
static int s_clash (umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now)
{
    if (!self->clash)
        zsys_error ("registry: node=%s is also claimed from %.*s, change one of them",
                    self->self->seen.node, (int) beat->endpoint.size, beat->endpoint.data);
    self->clash = true;
    self->clashed = now;
    return s_refuse (self, UMBP_REFUSED_ID);
}

static bool s_is_same (const umbp_entry_t *entry, const umbp_msg_beat_t *beat)
{
    return beat->node_epoch == entry->seen.epoch
           && umbp_text_is (beat->endpoint, entry->seen.endpoint);
}

//  Returns 0 if this may be a member, 1 if it is ourselves, or why not
static int s_vet (umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now)
{
    if (!umbp_text_is (beat->cluster, self->cluster))
        return s_refuse (self, UMBP_REFUSED_CLUSTER);
    if (beat->version != UMBP_PROTOCOL_VERSION)
        return s_refuse (self, UMBP_REFUSED_VERSION);
    if (beat->settings && beat->settings != self->settings)
        return s_refuse (self, UMBP_REFUSED_SETTINGS);
    if (!umbp_members_name_ok (beat->node))
        return s_refuse (self, UMBP_REFUSED_NAME);
    if (!umbp_endpoint_ok (beat->endpoint))
        return s_refuse (self, UMBP_REFUSED_ENDPOINT);
    const umbp_entry_t *entry = umbp_members_entry (self, beat->node);
    if (entry == self->self)
        return s_is_same (entry, beat) ? 1 : s_clash (self, beat, now);
    if (s_has_left (self, beat, now) || (entry && beat->node_epoch < entry->seen.epoch))
        return s_refuse (self, UMBP_REFUSED_STALE);
    if (!entry && self->count == UMBP_NODES_MAX)
        return s_refuse (self, UMBP_REFUSED_FULL);
    return 0;
}

static void s_read_tiers (umbp_member_t *seen, const umbp_msg_beat_t *beat)
{
    memset (seen->tiers, 0, sizeof seen->tiers);
    for (size_t index = 0; index < beat->tiers.count; index++) {
        unsigned tier = umbp_u8s_at (beat->tiers, index);
        if (tier > 0 && tier < UMBP_TIERS && index < beat->totals.count && index < beat->useds.count
            && index < beat->blocks.count)
            seen->tiers[tier] = (umbp_tier_room_t) { umbp_u64s_at (beat->totals, index),
                                                    umbp_u64s_at (beat->useds, index),
                                                    umbp_u64s_at (beat->blocks, index) };
    }
}

//  A sign of life, with news about load and room
static void s_hear (umbp_members_t *self, umbp_entry_t *entry, const umbp_msg_beat_t *beat,
                    int64_t now)
{
    if (entry->heard && (uint64_t) (now - entry->heard) > self->gap_ms && now > entry->heard)
        self->gap_ms = (uint64_t) (now - entry->heard);
    entry->heard = now;
    if (entry->topo_epoch != beat->topo_epoch) {
        entry->seen.swings++;           //  It may have given us up for a while, and forgotten us
        self->changes++;
    }
    entry->topo_epoch = beat->topo_epoch;
    entry->told_epoch = beat->told_epoch;
    entry->members = beat->members;
    entry->seen.load = (uint16_t) (beat->load < 1000 ? beat->load : 1000);
    s_read_tiers (&entry->seen, beat);
    self->changes += entry->seen.draining != beat->draining;
    entry->seen.draining = beat->draining;
    if (entry->seen.state == UMBP_MEMBER_ALIVE && entry->ready == beat->ready) {
        umbp_members_recount (self, entry);
        return;
    }
    if (entry->seen.state == UMBP_MEMBER_SUSPECT)
        zsys_info ("registry: alive again node=%s", entry->seen.node);
    entry->seen.state = UMBP_MEMBER_ALIVE;
    entry->seen.in_ring = entry->ready = beat->ready;
    umbp_members_changed (self);
}

int umbp_members_greet (umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now)
{
    int rc = s_vet (self, beat, now);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    umbp_entry_t *entry = umbp_members_entry (self, beat->node);
    if (!entry || !s_is_same (entry, beat))
        return 1;
    s_hear (self, entry, beat, now);
    return 0;
}

//  Who it is and where; the rest comes with each sign of life
static void s_describe (umbp_entry_t *entry, const umbp_msg_beat_t *beat)
{
    umbp_member_t *seen = &entry->seen;
    umbp_text_copy (beat->node, seen->node, sizeof seen->node);
    umbp_text_copy (beat->endpoint, seen->endpoint, sizeof seen->endpoint);
    umbp_text_copy (beat->bulk, seen->bulk, sizeof seen->bulk);
    umbp_text_copy (beat->host, seen->host, sizeof seen->host);
    umbp_text_copy (beat->doors, seen->doors, sizeof seen->doors);
    entry->heard = 0;
    seen->epoch = beat->node_epoch;
    seen->state = UMBP_MEMBER_ALIVE;
    seen->in_ring = entry->ready = beat->ready;
}

int umbp_members_meet (umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now)
{
    int rc = s_vet (self, beat, now);
    if (rc != 0)
        return rc;
    umbp_entry_t *entry = umbp_members_entry (self, beat->node);
    bool joins = !entry, returns = entry && !s_is_same (entry, beat);
    if (joins) {
        entry = zmalloc (sizeof (umbp_entry_t));
        s_describe (entry, beat);
        umbp_members_insert (self, entry);
    } else if (returns) {
        umbp_members_leave_endpoint (self, entry);
        s_describe (entry, beat);
        umbp_members_take_endpoint (self, entry);
    }
    if (joins || returns) {
        zsys_info ("registry: %s node=%s endpoint=%s", joins ? "joined" : "restarted",
                   entry->seen.node, entry->seen.endpoint);
        umbp_members_changed (self);
    }
    s_hear (self, entry, beat, now);
    return 0;
}

int umbp_members_leave (umbp_members_t *self, umbp_text_t node, uint64_t epoch, int64_t now)
{
    int number = umbp_members_find (self, node);
    if (number < 0 || self->entries[number] == self->self)
        return UMBP_ENOENT;
    const umbp_member_t *seen = &self->entries[number]->seen;
    if (seen->epoch != epoch)
        return UMBP_ESTALE;
    umbp_left_t *left = &self->left[self->left_next++ % UMBP_LEFT_MAX];
    *left = (umbp_left_t) { .epoch = epoch, .until = now + self->gone_ms };
    snprintf (left->node, sizeof left->node, "%s", seen->node);
    zsys_info ("registry: left node=%s", seen->node);
    umbp_members_remove (self, (size_t) number);
    umbp_members_changed (self);
    return 0;
}

const umbp_refusal_t *umbp_members_refusal (const umbp_members_t *self)
{
    return self->refusal;
}

uint64_t umbp_members_refused (const umbp_members_t *self, umbp_refused_t kind, const char **gauge)
{
    *gauge = s_refusals[kind].gauge;
    return self->refused[kind];
}

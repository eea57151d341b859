//  actors/members_say.c - the rules of membership: what is said of members, to others and to our own
//  actors. See members.h.
#include "actors/members.h"

#include "actors/members_self.h"
#include "proto/splitmix.h"

#define NAMED_MAX 64                    //  Endpoints named in one answer: as many as are tried at once

//  Whom we know, in short
static void s_add_digest (umbp_members_t *self, umbp_msg_beat_t *beat)
{
    beat->salt = umbp_splitmix (&self->random);
    size_t buckets = umbp_digest_write (&self->digest, self->count, beat->salt, self->told);
    beat->digest = (umbp_u16s_t) { self->told, (uint32_t) buckets };
}

void umbp_members_beat (umbp_members_t *self, umbp_msg_beat_t *beat, bool with_digest)
{
    const umbp_member_t *me = &self->self->seen;
    *beat = (umbp_msg_beat_t) {
        .cluster = umbp_text (self->cluster),
        .node = umbp_text (me->node),
        .node_epoch = me->epoch,
        .topo_epoch = self->epoch,
        .version = UMBP_PROTOCOL_VERSION,
        .endpoint = umbp_text (me->endpoint),
        .bulk = umbp_text (me->bulk),
        .host = umbp_text (me->host),
        .doors = umbp_text (me->doors),
        .ready = self->self->ready,
        .draining = me->draining,
        .settings = self->settings,
        .told_epoch = umbp_members_told (self),
        .load = me->load,
        .members = umbp_digest_all (&self->digest),
    };
    umbp_sheet_clear (self->sheet);
    umbp_sheet_add_tiers (self->sheet, me);
    umbp_sheet_beat (self->sheet, beat);
    if (with_digest)
        s_add_digest (self, beat);
}

//  Members in buckets that differ, or all: at most so many, from anywhere in the table on, so that all
//  have their turn whatever the other end makes of them
static void s_name (umbp_members_t *self, const umbp_digest_diff_t *diff, umbp_text_t asker,
                    size_t most)
{
    size_t start = umbp_splitmix (&self->random) % self->count, named = 0;
    for (size_t index = 0; index < self->count && named < most; index++) {
        const umbp_entry_t *entry = self->entries[(start + index) % self->count];
        if (entry == self->self || umbp_text_is (asker, entry->seen.node)
            || (diff && !umbp_digest_differs (diff, entry->hash)))
            continue;
        umbp_sheet_add_endpoint (self->sheet, &entry->seen);
        named++;
    }
    self->named += named;
}

//  Who understands digests and sent none did not know yet that we differ, and sends one next time
void umbp_members_answer (umbp_members_t *self, umbp_msg_beat_t *answer,
                          const umbp_msg_beat_t *theirs)
{
    umbp_digest_diff_t diff;
    umbp_members_beat (self, answer, false);
    if (theirs->topo_epoch == self->epoch || theirs->members == answer->members)
        return;
    if (theirs->members == 0)
        s_name (self, NULL, theirs->node, UMBP_NODES_MAX);
    else if (umbp_digest_compare (&self->digest, theirs->digest, theirs->salt, &diff) > 0)
        s_name (self, &diff, theirs->node, NAMED_MAX);
    umbp_sheet_beat (self->sheet, answer);
}

void umbp_members_topology (umbp_members_t *self, umbp_msg_topology_ok_t *out, int64_t now)
{
    *out = (umbp_msg_topology_ok_t) {
        .topo_epoch = self->epoch,
        .self = umbp_text (self->self->seen.node),
        .copies = self->copies,
        .vnodes = self->vnodes,
        .hash = self->ring_plain ? UMBP_RING_PLAIN : UMBP_RING_MIXED,
        .settled = self->settled,
    };
    umbp_sheet_clear (self->sheet);
    for (size_t index = 0; index < self->count; index++) {
        const umbp_entry_t *entry = self->entries[index];
        umbp_sheet_add (self->sheet, &entry->seen, entry == self->self ? 0 : now - entry->heard);
    }
    umbp_sheet_topology (self->sheet, out);
}

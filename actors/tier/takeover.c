//  actors/tier/takeover.c - a tier on a shelf serves what other nodes wrote there while these do not: their estates.
//
//  Nobody has to agree with anybody. Each node looks who has a folder in the directory, and who of these is alive and has
//  the tier, as its registry says. The estate of one that has not been alive for a while is had by the one among those
//  that ranks highest for it (rendezvous hashing, Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6(1), 1998):
//  it lists the segments, tells the index of their blocks as of its own, and reads them where they are. Two nodes that see
//  different members may both do so for a while: they read the same bytes. When the owner is alive again the
//  blocks are given back: nothing was moved. What was removed meanwhile is named by a file beside its segment.
#include "actors/tier/manager_self.h"

#include <xxhash.h>

#define LOOK_MS 1000                    //  Between looks at the directory
#define ADOPT_MAX 512                   //  Blocks in a tick, so that others get their turn
#define OTHER_MS 10000                  //  So long after another node should have it, it has it

//  --------------------------------------------------------------------------------------------------
//  Who has what

uint64_t umbp_takeover_rank (const char *node, const char *candidate)
{
    return XXH3_64bits_withSeed (candidate, strlen (candidate), XXH3_64bits (node, strlen (node)));
}

//  A node that serves what it has there itself; NULL: it does not
static const umbp_member_t *s_serves (const umbp_manager_t *self, const char *node)
{
    const umbp_topology_t *topology = umbp_announce_now (self->announce);
    int index = umbp_topology_find (topology, umbp_text (node));
    const umbp_member_t *member =
        index < 0 ? NULL : umbp_topology_member (topology, (size_t) index);
    return member && member->state == UMBP_MEMBER_ALIVE && member->tiers[self->args.tier].total > 0
               ? member
               : NULL;
}

//  Whether nobody who could has a better claim than we
static bool s_is_heir (const umbp_manager_t *self, const char *node)
{
    uint64_t rank = umbp_takeover_rank (node, self->node);
    for (size_t index = 0; index < self->takeover->count; index++) {
        const umbp_estate_t *other = &self->takeover->estates[index];
        const umbp_member_t *member = s_serves (self, other->node);
        if (member && !member->draining && umbp_takeover_rank (node, other->node) > rank)
            return false;
    }
    return true;
}

//  NULL: no node can have this name (lost+found, say), or there are too many
static umbp_estate_t *s_estate (umbp_takeover_t *takeover, const char *node)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (strspn (node, allowed) != strlen (node) || strlen (node) > UMBP_NAME_MAX)
        return NULL;
    size_t index = 0;
    while (index < takeover->count && strneq (takeover->estates[index].node, node))
        index++;
    if (index == UMBP_ESTATES_MAX)
        return NULL;
    umbp_estate_t *estate = &takeover->estates[index];
    if (index == takeover->count) {
        takeover->count++;
        *estate = (umbp_estate_t) { .absent_since = 0 };
        snprintf (estate->node, sizeof estate->node, "%s", node);
    }
    return estate;
}

//  --------------------------------------------------------------------------------------------------
//  The directory

//  What was found there. Nodes that have no folder any more are forgotten.
static void s_note_folders (umbp_manager_t *self)
{
    umbp_takeover_t *takeover = self->takeover;
    for (size_t index = 0; index < takeover->count; index++)
        takeover->estates[index].seen = false;
    const char *folder = NULL;
    while ((folder = umbp_shelf_folder (takeover->shelf, folder))) {
        umbp_estate_t *estate = streq (folder, self->node) ? NULL : s_estate (takeover, folder);
        if (estate)
            estate->seen = true;
    }
    for (size_t index = takeover->count; index-- > 0;) {
        umbp_estate_t *estate = &takeover->estates[index];
        if (estate->seen || estate->ours || takeover->scanned)
            continue;
        *estate = takeover->estates[--takeover->count];
    }
}

static void s_look (umbp_manager_t *self, int64_t now)
{
    umbp_takeover_t *takeover = self->takeover;
    if (takeover->looking && !umbp_shelf_looking (takeover->shelf)) {
        takeover->looking = false;
        takeover->look_at = now + LOOK_MS;
        s_note_folders (self);
    }
    if (!takeover->looking && now >= takeover->look_at)
        takeover->looking = umbp_shelf_look (takeover->shelf) == 0;
}

//  --------------------------------------------------------------------------------------------------
//  Adoption

static void s_give_back (umbp_manager_t *self, umbp_estate_t *estate, const char *why)
{
    umbp_takeover_t *takeover = self->takeover;
    if (takeover->scanned == estate && umbp_shelf_scan_status (takeover->shelf) == 1)
        return;                         //  Once that has ended
    if (takeover->scanned == estate)
        takeover->scanned = NULL;
    umbp_shelf_disown (takeover->shelf, estate->node);
    estate->ours = false;
    estate->absent_since = estate->other_since = 0;
    takeover->returned++;
    zsys_info ("%s: gives back what %s has on the shared file system: %s", self->args.name,
               estate->node, why);
}

static void s_take (umbp_manager_t *self, umbp_estate_t *estate)
{
    if (umbp_shelf_scan (self->takeover->shelf, estate->node, UMBP_SHELF_SILENT) < 0)
        return;
    estate->ours = true;
    estate->other_since = 0;
    self->takeover->scanned = estate;
    self->takeover->takeovers++;
}

//  One block of an estate. What we have ourselves is not needed a second time.
static void s_adopt (umbp_manager_t *self, const umbp_medium_record_t *record, uint64_t at)
{
    umbp_block_t known = { .key = record->key,
                           .key_size = (uint16_t) record->key_size,
                           .size = record->size, .sum = record->sum, .depth = record->depth,
                           .replicas = record->replicas, .place = at, .foreign = true };
    uint32_t item;
    if (umbp_store_adopt (self->store, &known, self->tick, &item) < 0) {
        umbp_shelf_forget (self->takeover->shelf, at);
        return;
    }
    umbp_shelf_set_item (self->takeover->shelf, at, item);
    umbp_announce_add (self->announce, item, 0);
}

//  Some of what the scan found. It ends with all of it, or with what could not be read.
static void s_adopt_some (umbp_manager_t *self)
{
    umbp_takeover_t *takeover = self->takeover;
    umbp_medium_record_t record;
    uint64_t at, bytes;
    int status = umbp_shelf_scan_status (takeover->shelf);
    if (!takeover->scanned || status == 1)
        return;
    size_t count = 0;
    while (status == 0 && count < ADOPT_MAX && umbp_shelf_adopted (takeover->shelf, &record, &at)) {
        s_adopt (self, &record, at);
        count++;
    }
    umbp_announce_send (self->announce);
    if (count == ADOPT_MAX)
        return;
    if (status < 0) {                   //  Tried again, with the time that it was absent from now on
        takeover->failed++;
        takeover->scanned->ours = false;
        takeover->scanned->absent_since = 0;
    } else
        zsys_info ("%s: serves what %s has on the shared file system: blocks_of_others=%" PRIu64,
                   self->args.name, takeover->scanned->node,
                   umbp_shelf_adopted_count (takeover->shelf, &bytes));
    takeover->scanned = NULL;
}

static void s_judge (umbp_manager_t *self, umbp_estate_t *estate, int64_t now)
{
    bool serves = s_serves (self, estate->node) != NULL;
    if (serves)
        estate->absent_since = 0;
    else if (estate->absent_since == 0)
        estate->absent_since = now;
    bool due = !serves && now - estate->absent_since >= self->args.takeover_ms;
    if (estate->ours && serves)
        s_give_back (self, estate, "it is back");
    else if (estate->ours && self->keeper.draining)
        s_give_back (self, estate, "this node is drained");
    else if (estate->ours) {
        bool heir = s_is_heir (self, estate->node);
        estate->other_since = heir ? 0 : estate->other_since ? estate->other_since : now;
        if (!heir && now - estate->other_since >= OTHER_MS)
            s_give_back (self, estate, "another node has it");
    } else if (due && !self->takeover->scanned && !self->keeper.draining
               && s_is_heir (self, estate->node))
        s_take (self, estate);
}

void umbp_manager_take_over (umbp_manager_t *self, int64_t now)
{
    umbp_takeover_t *takeover = self->takeover;
    if (!takeover || !umbp_announce_now (self->announce) || self->args.takeover_ms == 0)
        return;
    s_look (self, now);
    for (size_t index = 0; index < takeover->count; index++)
        s_judge (self, &takeover->estates[index], now);
    s_adopt_some (self);
}

//  --------------------------------------------------------------------------------------------------
//  Life

void umbp_manager_start_takeover (umbp_manager_t *self)
{
    umbp_shelf_t *shelf = self->args.medium.calls ? umbp_shelf_of (&self->args.medium) : NULL;
    if (!shelf)
        return;
    self->takeover = zmalloc (sizeof (umbp_takeover_t));
    self->takeover->shelf = shelf;
}

void umbp_manager_stat_takeover (const umbp_manager_t *self, umbp_gauges_t *gauges)
{
    const umbp_takeover_t *takeover = self->takeover;
    if (!takeover)
        return;
    uint64_t bytes, estates = 0, blocks = umbp_shelf_adopted_count (takeover->shelf, &bytes);
    for (size_t index = 0; index < takeover->count; index++)
        estates += takeover->estates[index].ours;
    umbp_gauges_add (gauges, "shelf_hanging", umbp_shelf_hanging (takeover->shelf));
    umbp_gauges_add (gauges, "shelf_nodes", takeover->count);
    umbp_gauges_add (gauges, "adopted_nodes", estates);
    umbp_gauges_add (gauges, "adopted_blocks", blocks);
    umbp_gauges_add (gauges, "adopted_bytes", bytes);
    umbp_gauges_add (gauges, "takeovers", takeover->takeovers);
    umbp_gauges_add (gauges, "takeovers_failed", takeover->failed);
    umbp_gauges_add (gauges, "estates_returned", takeover->returned);
}

void umbp_manager_on_shelf (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_takeover_t *takeover = self->takeover;
    bool all = umbp_manager_sight (self, mail->origin).all;
    if (!takeover || !all) {
        umbp_post_refuse (self->post, mail->origin, all ? UMBP_ENOTSUP : UMBP_EDENIED, "shelf",
                          all ? "this tier is not on a file system of many nodes"
                              : "not to clients of a tenant");
        return;
    }
    char *names = zmalloc (UMBP_ESTATES_MAX * UMBP_NAME_MAX + 1);
    uint16_t sizes[UMBP_ESTATES_MAX];
    uint8_t states[UMBP_ESTATES_MAX];
    size_t bytes = 0;
    for (size_t index = 0; index < takeover->count; index++) {
        const umbp_estate_t *estate = &takeover->estates[index];
        sizes[index] = (uint16_t) strlen (estate->node);
        memcpy (names + bytes, estate->node, sizes[index]);
        bytes += sizes[index];
        states[index] = estate->ours ? 2 : estate->absent_since != 0;
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_shelf_ok, 0);
    answer.shelf_ok.mount = umbp_text (umbp_shelf_mount (takeover->shelf));
    answer.shelf_ok.hanging = umbp_shelf_hanging (takeover->shelf);
    answer.shelf_ok.nodes = (umbp_column_t){ (const uint8_t *) names, sizes, (uint32_t) bytes,
                                             (uint32_t) takeover->count };
    answer.shelf_ok.states = (umbp_u8s_t) { states, (uint32_t) takeover->count };
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
    free (names);
}

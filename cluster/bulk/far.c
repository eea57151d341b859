//  cluster/bulk/far.c - blocks of other nodes by RDMA. See far.h.
#include "cluster/bulk/far.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/bulk/clock.h"
#include "cluster/bulk/pairs.h"

#define BATCH_MAX UMBP_WINDOWS_MAX      //  Blocks in one message: each has a window, or more
#define ASK_MS 2000                     //  For an answer: later tcp is the better way
#define AGAIN_MS 5000                   //  A node whose link failed is tried again so late
#define ABSENT_MS 30000                 //  ... and one that has no RDMA

//  A node
typedef struct {
    char node[UMBP_NAME_MAX + 1];
    umbp_verbs_link_t *link;            //  NULL: there is none
    uint64_t number;                    //  Of the link, there
    size_t queues, region_count;
    uint32_t page_size;
    uint64_t bases[UMBP_REGIONS_MAX], sizes[UMBP_REGIONS_MAX];
    int64_t retry_ms;                   //  Not to be tried again before that
    uint64_t used;                      //  Higher: later
} peer_t;

struct umbp_far {
    umbp_far_ops_t ops;
    peer_t peers[UMBP_FAR_PEERS_MAX];
    uint64_t clock, joined;

    //  What is opened with one message: a part of a batch
    uint64_t tokens[BATCH_MAX];         //  By block
    uint32_t items[BATCH_MAX];
    size_t open_count;
    int8_t opened[BATCH_MAX];           //  What the node said
    uint32_t first[BATCH_MAX + 1];      //  Its first window; one more at the end
    umbp_extent_t extents[UMBP_WINDOWS_MAX];           //  By window
    umbp_verbs_memory_t memories[UMBP_WINDOWS_MAX];
    uint32_t whose[BATCH_MAX];          //  By transfer, its block
    umbp_verbs_io_t ios[BATCH_MAX];     //  Transfers of blocks that are open
    uint32_t places[BATCH_MAX];         //  Where in the batch each of them is
    int statuses[BATCH_MAX];
};

//  A part of a batch
typedef struct {
    const umbp_far_way_t *way;
    peer_t *peer;
    umbp_bulk_io_t *ios;
    int *statuses;                      //  The caller's
    size_t count;
} batch_t;

umbp_far_t *umbp_far_new (const umbp_far_ops_t *ops)
{
    umbp_far_t *self = calloc (1, sizeof *self);
    assert (self);
    self->ops = *ops;
    return self;
}

//  ------------------------------------------------------------------------------------------------
//  Links

static void s_unlink (umbp_far_t *self, peer_t *peer, int64_t pause_ms)
{
    if (peer->link)
        self->ops.api->link_destroy (&peer->link);
    peer->number = 0;
    peer->retry_ms = umbp_clock_ms () + pause_ms;
}

//  Ours ends first; the other end need not wait to find that out
static void s_leave (umbp_far_t *self, peer_t *peer, int64_t pause_ms)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_conceal, 0);
    msg.conceal.link = peer->number;
    s_unlink (self, peer, pause_ms);
    if (msg.conceal.link)
        self->ops.tell (self->ops.arg, peer->node, &msg);
}

void umbp_far_drop (umbp_far_t *self)
{
    for (size_t index = 0; index < UMBP_FAR_PEERS_MAX; index++)
        if (self->peers[index].link)
            s_leave (self, &self->peers[index], 0);
}

void umbp_far_destroy (umbp_far_t **self_p)
{
    umbp_far_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < UMBP_FAR_PEERS_MAX; index++)
        s_unlink (self, &self->peers[index], 0);
    umbp_far_forget (self_p);
}

void umbp_far_forget (umbp_far_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

//  The place of a node, else that which was not used for longest
static peer_t *s_place (umbp_far_t *self, const char *node)
{
    peer_t *best = &self->peers[0];
    for (size_t index = 0; index < UMBP_FAR_PEERS_MAX; index++) {
        peer_t *peer = &self->peers[index];
        if (strcmp (peer->node, node) == 0)
            return peer;
        if (peer->used < best->used)
            best = peer;
    }
    s_leave (self, best, 0);
    *best = (peer_t) { 0 };
    snprintf (best->node, sizeof best->node, "%s", node);
    return best;
}

static int s_ask (umbp_far_t *self, const peer_t *peer, umbp_msg_t *msg, int expected,
                  int64_t deadline_ms, const umbp_msg_t **answer_p)
{
    int64_t soon = umbp_clock_ms () + ASK_MS;
    return self->ops.ask (self->ops.arg, peer->node, msg, expected,
                          soon < deadline_ms ? soon : deadline_ms, answer_p);
}

//  Take what the node said of its end. Returns false if that cannot be.
static bool s_take_join (peer_t *peer, const umbp_msg_join_ok_t *ok,
                         umbp_verbs_description_t *other)
{
    umbp_pairs_t pairs = UMBP_PAIRS_OF (ok);
    if (!umbp_pairs_read (&pairs, other) || ok->bases.count > UMBP_REGIONS_MAX)
        return false;
    peer->number = ok->link;
    peer->queues = other->count;
    peer->page_size = (uint32_t) ok->page_size;
    peer->region_count = ok->bases.count;
    for (size_t index = 0; index < peer->region_count; index++) {
        peer->bases[index] = umbp_u64s_at (ok->bases, index);
        peer->sizes[index] = umbp_u64s_at (ok->sizes, index);
    }
    return true;
}

static void s_join (umbp_far_t *self, peer_t *peer, const umbp_far_way_t *way)
{
    const umbp_verbs_api_t *api = self->ops.api;
    umbp_verbs_description_t own, other;
    umbp_pairs_room_t room;
    int rc = 0;
    peer->link = api->link_new (self->ops.verbs, 0, UMBP_VERBS_KEEP, &rc);
    if (!peer->link) {
        s_unlink (self, peer, AGAIN_MS);
        return;
    }
    api->link_describe (peer->link, &own);
    umbp_pairs_t pairs = umbp_pairs_write (&own, &room);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_join, 0);
    msg.join.session = way->session;
    UMBP_PAIRS_INTO (&msg.join, pairs);
    const umbp_msg_t *answer = NULL;
    rc = s_ask (self, peer, &msg, UMBP_MSG_join_ok, way->deadline_ms, &answer);
    if (rc != 0) {                      //  EUNREACH at once: there is no such actor, or no such node
        s_unlink (self, peer, rc == UMBP_EUNREACH || rc == UMBP_ENOTSUP ? ABSENT_MS : AGAIN_MS);
        return;
    }
    if (!s_take_join (peer, &answer->join_ok, &other)
        || api->link_connect (peer->link, &other) != 0)
        s_leave (self, peer, AGAIN_MS);
    else
        self->joined++;
}

//  The node, with a link that works; NULL: there is none for the moment
static peer_t *s_peer (umbp_far_t *self, const umbp_far_way_t *way)
{
    peer_t *peer = s_place (self, way->node);
    peer->used = ++self->clock;
    if (peer->link && self->ops.api->link_alive (peer->link) < peer->queues)
        s_leave (self, peer, 0);
    if (!peer->link && umbp_clock_ms () >= peer->retry_ms)
        s_join (self, peer, way);
    return peer->link ? peer : NULL;
}

uint64_t umbp_far_joined (const umbp_far_t *self)
{
    return self->joined;
}

//  ------------------------------------------------------------------------------------------------
//  Open blocks

//  Which blocks the transfers are of: several in a row may be parts of one
static void s_list (umbp_far_t *self, const batch_t *batch)
{
    self->open_count = 0;
    for (size_t index = 0; index < batch->count; index++) {
        const umbp_bulk_io_t *io = &batch->ios[index];
        size_t last = self->open_count - 1;
        if (self->open_count == 0 || self->tokens[last] != io->token
            || self->items[last] != io->item) {
            last = self->open_count++;
            self->tokens[last] = io->token;
            self->items[last] = io->item;
        }
        self->whose[index] = (uint32_t) last;
    }
}

//  Take what the answer says of each block and window. Returns false if it cannot be.
static bool s_take_expose (umbp_far_t *self, const peer_t *peer, const umbp_msg_expose_ok_t *ok)
{
    size_t rows = ok->regions.count, row = 0;
    if (ok->statuses.count != self->open_count || ok->counts.count != self->open_count
        || rows > UMBP_WINDOWS_MAX || ok->keys.count != rows * peer->queues)
        return false;
    for (size_t index = 0; index < self->open_count; index++) {
        self->opened[index] = umbp_s8s_at (ok->statuses, index);
        self->first[index] = (uint32_t) row;
        row += umbp_u16s_at (ok->counts, index);
    }
    self->first[self->open_count] = (uint32_t) row;
    if (row != rows)
        return false;
    for (row = 0; row < rows; row++) {
        size_t region = umbp_u16s_at (ok->regions, row);
        if (region >= peer->region_count)
            return false;
        self->extents[row] = (umbp_extent_t) { .region = (uint16_t) row,
                                               .page = umbp_u32s_at (ok->pages, row),
                                               .count = umbp_u32s_at (ok->page_counts, row),
                                               .generation = 1 };
        self->memories[row] = (umbp_verbs_memory_t) { .base = peer->bases[region],
                                                      .bytes = peer->sizes[region],
                                                      .per_queue = true };
        for (size_t queue = 0; queue < peer->queues; queue++)
            self->memories[row].keys[queue] = umbp_u32s_at (ok->keys, row * peer->queues + queue);
    }
    return true;
}

//  Returns 0; UMBP_ENOENT if the node has forgotten the link; or an error after which it is gone
static int s_expose (umbp_far_t *self, const batch_t *batch)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_expose, 0);
    msg.expose.link = batch->peer->number;
    msg.expose.tokens = (umbp_u64s_t) { self->tokens, (uint32_t) self->open_count };
    msg.expose.items = (umbp_u32s_t) { self->items, (uint32_t) self->open_count };
    msg.expose.write = batch->way->write;
    const umbp_msg_t *answer = NULL;
    int rc = s_ask (self, batch->peer, &msg, UMBP_MSG_expose_ok, batch->way->deadline_ms, &answer);
    if (rc == 0 && !s_take_expose (self, batch->peer, &answer->expose_ok))
        rc = UMBP_EPROTO;
    if (rc != 0)                        //  Also if it was opened, and we did not hear of it
        s_leave (self, batch->peer, rc == UMBP_ENOENT ? 0 : AGAIN_MS);
    return rc;
}

//  Say that nothing is under way any more. What is not heard of is no harm: then slots cannot be
//  committed, and leases that are open still go over tcp.
static void s_conceal (umbp_far_t *self, const batch_t *batch, bool clean)
{
    umbp_msg_t msg;
    const umbp_msg_t *answer = NULL;
    umbp_msg_init (&msg, UMBP_MSG_conceal, 0);
    msg.conceal.link = batch->peer->number;
    msg.conceal.tokens = (umbp_u64s_t) { self->tokens, (uint32_t) self->open_count };
    msg.conceal.clean = clean;
    if (batch->way->write)
        s_ask (self, batch->peer, &msg, UMBP_MSG_ok, batch->way->end_ms, &answer);
    else
        self->ops.tell (self->ops.arg, batch->peer->node, &msg);
}

//  ------------------------------------------------------------------------------------------------
//  Move

//  Transfers of the blocks that are open. Returns how many.
static size_t s_list_ios (umbp_far_t *self, const batch_t *batch)
{
    size_t used = 0;
    for (size_t index = 0; index < batch->count; index++) {
        const umbp_bulk_io_t *io = &batch->ios[index];
        size_t block = self->whose[index];
        if (self->opened[block] != 0)
            continue;
        size_t first = self->first[block];
        self->places[used] = (uint32_t) index;
        self->ios[used++] = (umbp_verbs_io_t) {
            .memories = self->memories,
            .memory_count = self->first[self->open_count],
            .extents = self->extents + first,
            .extent_count = self->first[block + 1] - first,
            .page_size = batch->peer->page_size,
            .offset = io->offset,
            .pieces = io->pieces,
            .piece_count = io->piece_count,
            .want_sum = io->want_sum,
            .device = io->device,
        };
    }
    return used;
}

static size_t s_run (umbp_far_t *self, const batch_t *batch)
{
    const umbp_verbs_api_t *api = self->ops.api;
    const umbp_far_way_t *way = batch->way;
    peer_t *peer = batch->peer;
    size_t count = s_list_ios (self, batch), done = 0;
    if (count > 0)
        (way->write ? api->write : api->read) (peer->link, self->ios, count, self->statuses,
                                               way->deadline_ms);
    for (size_t index = 0; index < count; index++)
        if (self->statuses[index] == 0) {
            batch->statuses[self->places[index]] = 0;
            batch->ios[self->places[index]].sum = self->ios[index].sum;
            done++;
        }
    bool whole = api->link_alive (peer->link) == peer->queues;
    if (way->write || (way->again && whole))
        s_conceal (self, batch, whole && done == count);
    if (!whole || (way->write && done < count))
        s_leave (self, peer, done < count ? AGAIN_MS : 0);
    return done;
}

static size_t s_move (umbp_far_t *self, batch_t *batch)
{
    int rc = UMBP_ENOENT;
    s_list (self, batch);
    for (int tries = 0; rc == UMBP_ENOENT && tries < 2; tries++) {   //  The link may be gone since
        batch->peer = s_peer (self, batch->way);
        rc = batch->peer ? s_expose (self, batch) : UMBP_EUNREACH;
    }
    return rc == 0 ? s_run (self, batch) : 0;
}

size_t umbp_far_move (umbp_far_t *self, const umbp_far_way_t *way, umbp_bulk_io_t *ios,
                      size_t count, int *statuses)
{
    size_t done = 0;
    for (size_t at = 0; at < count && umbp_clock_ms () < way->deadline_ms; at += BATCH_MAX) {
        size_t left = count - at;
        batch_t batch = { .way = way,
                          .ios = ios + at,
                          .statuses = statuses + at,
                          .count = left < BATCH_MAX ? left : BATCH_MAX };
        done += s_move (self, &batch);
    }
    return done;
}

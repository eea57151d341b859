//  client/rdma.c - blocks of other hosts by RDMA. See rdma.h.
#include "client/rdma.h"

#include <assert.h>
#include <stdlib.h>

#include "client/batch.h"
#include "cluster/bulk/clock.h"

#define PEERS_MAX 64
#define REGIONS_MAX 64
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
    uint64_t bases[REGIONS_MAX], sizes[REGIONS_MAX];
    int64_t retry_ms;                   //  Not to be tried again before that
    uint64_t used;                      //  Higher: later
} peer_t;

struct umbp_rdma_peers {
    peer_t peers[PEERS_MAX];
    uint64_t clock;
};

//  A part of a batch: what is opened with one message
typedef struct {
    peer_t *peer;
    bool write;
    umbp_bulk_io_t *ios;
    int *statuses;                      //  The caller's
    size_t count;
    uint64_t *tokens;                   //  To open: one for each block of the ios
    uint32_t *items, *whose;            //  whose: by io, its place among these
    size_t open_count;
    int8_t *opened;                     //  By block, what the node said
    umbp_extent_t *extents;             //  Of all blocks, a window each
    uint32_t *first;                    //  By block, its first one; one more at the end
    umbp_verbs_memory_t *memories;      //  By window
} batch_t;

//  ------------------------------------------------------------------------------------------------
//  Devices

umbp_verbs_t *umbp_rdma_open (umbp_t *pool)
{
    if (!pool->rdma_wanted)
        return NULL;
    pthread_mutex_lock (&pool->rdma_lock);
    if (!pool->rdma_tried) {
        char why[UMBP_VERBS_WHY_MAX];
        umbp_verbs_options_t options = { .devices = pool->rdma_devices,
                                         .gid_index = pool->rdma_gid };
        const umbp_verbs_api_t *api = umbp_verbs_load (getenv ("UMBP_RDMA_PLUGIN"), why);
        umbp_verbs_t *verbs = api ? api->open (&options, NULL, why) : NULL;
        pthread_mutex_lock (&pool->lock);
        pool->rdma_api = api;
        pool->rdma = verbs;
        if (verbs)
            umbp_ranges_announce (pool);
        pthread_mutex_unlock (&pool->lock);
        pool->rdma_tried = true;
    }
    umbp_verbs_t *verbs = pool->rdma;
    pthread_mutex_unlock (&pool->rdma_lock);
    return verbs;
}

void umbp_rdma_close (umbp_t *pool)
{
    if (pool->rdma)
        pool->rdma_api->close (&pool->rdma);
}

void umbp_rdma_announce (umbp_t *pool, void *base, size_t size)
{
    if (pool->rdma)                     //  One too many goes through staging, like all that is not known
        pool->rdma_api->announce (pool->rdma, base, size);
}

int umbp_rdma_forget (umbp_t *pool, void *base, size_t size)
{
    int rc = pool->rdma ? pool->rdma_api->forget (pool->rdma, base, size) : 0;
    return rc == UMBP_EAGAIN ? rc : 0;  //  It was not announced: fine
}

//  ------------------------------------------------------------------------------------------------
//  Links

static void s_unlink (umbp_lane_t *lane, peer_t *peer, int64_t pause_ms)
{
    if (peer->link)
        lane->pool->rdma_api->link_destroy (&peer->link);
    peer->number = 0;
    peer->retry_ms = umbp_clock_ms () + pause_ms;
}

//  Ours ends first; the other end need not wait to find that out
static void s_leave (umbp_lane_t *lane, peer_t *peer, int64_t pause_ms)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_conceal, 0);
    msg.conceal.link = peer->number;
    s_unlink (lane, peer, pause_ms);
    if (msg.conceal.link)
        umbp_wire_tell (lane, UMBP_WAY_WIRE, "verbs", peer->node, &msg);
}

//  The place of a node, else that which was not used for longest
static peer_t *s_place (umbp_lane_t *lane, const char *node)
{
    if (!lane->rdma)
        lane->rdma = zmalloc (sizeof *lane->rdma);
    peer_t *best = &lane->rdma->peers[0];
    for (size_t index = 0; index < PEERS_MAX; index++) {
        peer_t *peer = &lane->rdma->peers[index];
        if (streq (peer->node, node))
            return peer;
        if (peer->used < best->used)
            best = peer;
    }
    s_leave (lane, best, 0);
    *best = (peer_t) { 0 };
    snprintf (best->node, sizeof best->node, "%s", node);
    return best;
}

static int64_t s_soon (int64_t deadline_ms)
{
    int64_t soon = umbp_clock_ms () + ASK_MS;
    return soon < deadline_ms ? soon : deadline_ms;
}

static const umbp_answer_t *s_ask (umbp_lane_t *lane, const peer_t *peer, umbp_msg_t *msg,
                                   int expected, int64_t deadline_ms, int *rc_p)
{
    return umbp_wire_ask (lane, UMBP_WAY_WIRE, "verbs", peer->node, msg, NULL, 0, expected,
                          s_soon (deadline_ms), rc_p);
}

static const umbp_answer_t *s_ask_join (umbp_lane_t *lane, const peer_t *peer,
                                        const umbp_verbs_description_t *own, int64_t deadline_ms,
                                        int *rc_p)
{
    uint32_t numbers[UMBP_VERBS_QUEUES_MAX], psns[UMBP_VERBS_QUEUES_MAX], count = own->count;
    uint16_t lids[UMBP_VERBS_QUEUES_MAX], mtus[UMBP_VERBS_QUEUES_MAX];
    uint8_t reads[UMBP_VERBS_QUEUES_MAX], devices[UMBP_VERBS_QUEUES_MAX];
    uint8_t gids[16 * UMBP_VERBS_QUEUES_MAX];
    for (size_t index = 0; index < count; index++) {
        const umbp_verbs_queue_t *queue = &own->queues[index];
        numbers[index] = queue->number;
        psns[index] = queue->psn;
        lids[index] = queue->lid;
        mtus[index] = queue->mtu;
        reads[index] = queue->reads;
        devices[index] = queue->device;
        memcpy (gids + 16 * index, queue->gid, 16);
    }
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_join, 0);
    msg.join.session = lane->session;
    msg.join.numbers = (umbp_u32s_t) { numbers, count };
    msg.join.psns = (umbp_u32s_t) { psns, count };
    msg.join.lids = (umbp_u16s_t) { lids, count };
    msg.join.mtus = (umbp_u16s_t) { mtus, count };
    msg.join.reads = (umbp_u8s_t) { reads, count };
    msg.join.devices = (umbp_u8s_t) { devices, count };
    msg.join.gids = (umbp_bytes_t) { gids, 16 * count };
    return s_ask (lane, peer, &msg, UMBP_MSG_join_ok, deadline_ms, rc_p);
}

//  Take what the node said of its end. Returns false if that cannot be.
static bool s_take_join (peer_t *peer, const umbp_msg_join_ok_t *ok,
                         umbp_verbs_description_t *other)
{
    *other = (umbp_verbs_description_t) { .count = ok->numbers.count };
    if (other->count > UMBP_VERBS_QUEUES_MAX || ok->gids.size != 16 * (size_t) other->count
        || ok->bases.count > REGIONS_MAX)
        return false;
    for (size_t index = 0; index < other->count; index++) {
        umbp_verbs_queue_t *queue = &other->queues[index];
        *queue = (umbp_verbs_queue_t) { .number = umbp_u32s_at (ok->numbers, index),
                                        .psn = umbp_u32s_at (ok->psns, index),
                                        .lid = umbp_u16s_at (ok->lids, index),
                                        .mtu = umbp_u16s_at (ok->mtus, index),
                                        .reads = umbp_u8s_at (ok->reads, index),
                                        .device = umbp_u8s_at (ok->devices, index) };
        memcpy (queue->gid, ok->gids.data + 16 * index, 16);
    }
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

static void s_join (umbp_lane_t *lane, peer_t *peer, int64_t deadline_ms)
{
    const umbp_verbs_api_t *api = lane->pool->rdma_api;
    umbp_verbs_description_t own, other;
    int rc = 0;
    peer->link = api->link_new (lane->pool->rdma, 0, UMBP_VERBS_KEEP, &rc);
    if (!peer->link) {
        s_unlink (lane, peer, AGAIN_MS);
        return;
    }
    api->link_describe (peer->link, &own);
    const umbp_answer_t *answer = s_ask_join (lane, peer, &own, deadline_ms, &rc);
    if (!answer) {                      //  EUNREACH at once: there is no such actor, or no such node
        s_unlink (lane, peer, rc == UMBP_EUNREACH || rc == UMBP_ENOTSUP ? ABSENT_MS : AGAIN_MS);
        return;
    }
    if (!s_take_join (peer, &answer->msg.join_ok, &other)
        || api->link_connect (peer->link, &other) != 0)
        s_leave (lane, peer, AGAIN_MS);
    else
        lane->stats.rdma_links++;
}

//  The node, with a link that works; NULL: there is none for the moment
static peer_t *s_peer (umbp_lane_t *lane, const char *node, int64_t deadline_ms)
{
    peer_t *peer = s_place (lane, node);
    peer->used = ++lane->rdma->clock;
    if (peer->link && lane->pool->rdma_api->link_alive (peer->link) < peer->queues)
        s_leave (lane, peer, 0);
    if (!peer->link && umbp_clock_ms () >= peer->retry_ms)
        s_join (lane, peer, deadline_ms);
    return peer->link ? peer : NULL;
}

void umbp_rdma_drop (umbp_lane_t *lane)
{
    for (size_t index = 0; lane->rdma && index < PEERS_MAX; index++)
        if (lane->rdma->peers[index].link)
            s_leave (lane, &lane->rdma->peers[index], 0);
}

void umbp_rdma_forget_links (umbp_lane_t *lane)
{
    free (lane->rdma);
    lane->rdma = NULL;
}

//  ------------------------------------------------------------------------------------------------
//  Open blocks

//  Which blocks the transfers are of: several in a row may be parts of one
static void s_list (umbp_lane_t *lane, batch_t *batch)
{
    batch->tokens = umbp_lane_take (lane, batch->count, sizeof *batch->tokens);
    batch->items = umbp_lane_take (lane, batch->count, sizeof *batch->items);
    batch->whose = umbp_lane_take (lane, batch->count, sizeof *batch->whose);
    for (size_t index = 0; index < batch->count; index++) {
        const umbp_bulk_io_t *io = &batch->ios[index];
        size_t last = batch->open_count - 1;
        if (batch->open_count == 0 || batch->tokens[last] != io->token
            || batch->items[last] != io->item) {
            last = batch->open_count++;
            batch->tokens[last] = io->token;
            batch->items[last] = io->item;
        }
        batch->whose[index] = (uint32_t) last;
    }
}

//  Copy what the answer says, so that later answers may overwrite it. Returns false if it cannot be.
static bool s_take_expose (umbp_lane_t *lane, batch_t *batch, const umbp_msg_expose_ok_t *ok)
{
    const peer_t *peer = batch->peer;
    size_t rows = ok->regions.count, row = 0;
    if (ok->statuses.count != batch->open_count || ok->keys.count != rows * peer->queues)
        return false;
    batch->opened = umbp_lane_take (lane, batch->open_count, 1);
    batch->first = umbp_lane_take (lane, batch->open_count + 1, sizeof *batch->first);
    batch->extents = umbp_lane_take (lane, rows, sizeof *batch->extents);
    batch->memories = umbp_lane_take (lane, rows, sizeof *batch->memories);
    for (size_t index = 0; index < batch->open_count; index++) {
        batch->opened[index] = umbp_s8s_at (ok->statuses, index);
        batch->first[index] = (uint32_t) row;
        row += umbp_u16s_at (ok->counts, index);
    }
    batch->first[batch->open_count] = (uint32_t) row;
    if (row != rows)
        return false;
    for (row = 0; row < rows; row++) {
        size_t region = umbp_u16s_at (ok->regions, row);
        if (region >= peer->region_count)
            return false;
        batch->extents[row] = (umbp_extent_t) { .region = (uint16_t) row,
                                                .page = umbp_u32s_at (ok->pages, row),
                                                .count = umbp_u32s_at (ok->page_counts, row),
                                                .generation = 1 };
        batch->memories[row] = (umbp_verbs_memory_t) { .base = peer->bases[region],
                                                       .bytes = peer->sizes[region],
                                                       .per_queue = true };
        for (size_t queue = 0; queue < peer->queues; queue++)
            batch->memories[row].keys[queue] = umbp_u32s_at (ok->keys, row * peer->queues + queue);
    }
    return true;
}

//  Returns 0; UMBP_ENOENT if the node has forgotten the link; or an error after which it is gone
static int s_expose (umbp_lane_t *lane, batch_t *batch, int64_t deadline_ms)
{
    umbp_msg_t msg;
    int rc;
    umbp_msg_init (&msg, UMBP_MSG_expose, 0);
    msg.expose.link = batch->peer->number;
    msg.expose.tokens = (umbp_u64s_t) { batch->tokens, (uint32_t) batch->open_count };
    msg.expose.items = (umbp_u32s_t) { batch->items, (uint32_t) batch->open_count };
    msg.expose.write = batch->write;
    const umbp_answer_t *answer =
        s_ask (lane, batch->peer, &msg, UMBP_MSG_expose_ok, deadline_ms, &rc);
    if (answer && !s_take_expose (lane, batch, &answer->msg.expose_ok))
        rc = UMBP_EPROTO;
    if (rc != 0)                        //  Also if it was opened, and we did not hear of it
        s_leave (lane, batch->peer, rc == UMBP_ENOENT ? 0 : AGAIN_MS);
    return rc;
}

//  Say that nothing is under way to the slots any more. What is not heard of is no harm: then they
//  cannot be committed.
static void s_conceal (umbp_lane_t *lane, batch_t *batch, bool clean, int64_t deadline_ms)
{
    umbp_msg_t msg;
    int rc;
    umbp_msg_init (&msg, UMBP_MSG_conceal, 0);
    msg.conceal.link = batch->peer->number;
    msg.conceal.tokens = (umbp_u64s_t) { batch->tokens, (uint32_t) batch->open_count };
    msg.conceal.clean = clean;
    s_ask (lane, batch->peer, &msg, UMBP_MSG_ok, deadline_ms, &rc);
}

//  ------------------------------------------------------------------------------------------------
//  Move

//  Transfers of the blocks that are open. Returns how many; whose says which io each is.
static size_t s_list_ios (umbp_lane_t *lane, const batch_t *batch, umbp_verbs_io_t **ios_p,
                          uint32_t **whose_p)
{
    umbp_verbs_io_t *ios = *ios_p = umbp_lane_take (lane, batch->count, sizeof *ios);
    uint32_t *whose = *whose_p = umbp_lane_take (lane, batch->count, sizeof *whose);
    size_t used = 0;
    assert (batch->opened);             //  s_expose went well
    for (size_t index = 0; index < batch->count; index++) {
        const umbp_bulk_io_t *io = &batch->ios[index];
        size_t block = batch->whose[index], first = 0;
        if (batch->opened[block] != 0)
            continue;
        first = batch->first[block];
        whose[used] = (uint32_t) index;
        ios[used++] = (umbp_verbs_io_t) {
            .memories = batch->memories,
            .memory_count = batch->first[batch->open_count],
            .extents = batch->extents + first,
            .extent_count = batch->first[block + 1] - first,
            .page_size = batch->peer->page_size,
            .offset = io->offset,
            .pieces = io->pieces,
            .piece_count = io->piece_count,
            .want_sum = io->want_sum,
        };
    }
    return used;
}

static size_t s_run (umbp_lane_t *lane, batch_t *batch, int64_t deadline_ms)
{
    const umbp_verbs_api_t *api = lane->pool->rdma_api;
    peer_t *peer = batch->peer;
    umbp_verbs_io_t *ios;
    uint32_t *whose;
    size_t count = s_list_ios (lane, batch, &ios, &whose), done = 0;
    int *statuses = umbp_lane_take (lane, count, sizeof *statuses);
    if (count > 0)
        (batch->write ? api->write : api->read) (peer->link, ios, count, statuses, deadline_ms);
    for (size_t index = 0; index < count; index++)
        if (statuses[index] == 0) {
            batch->statuses[whose[index]] = 0;
            batch->ios[whose[index]].sum = ios[index].sum;
            done++;
        }
    bool whole = api->link_alive (peer->link) == peer->queues;
    if (batch->write)
        s_conceal (lane, batch, whole && done == count, umbp_lane_slice (lane, 0));
    if (!whole || (batch->write && done < count))
        s_leave (lane, peer, done < count ? AGAIN_MS : 0);
    return done;
}

static size_t s_move (umbp_lane_t *lane, const char *node, batch_t *batch, int64_t deadline_ms)
{
    umbp_mark_t mark = umbp_lane_mark (lane);
    size_t done = 0;
    int rc = UMBP_ENOENT;
    s_list (lane, batch);
    for (int tries = 0; rc == UMBP_ENOENT && tries < 2; tries++) {   //  The link may be gone since
        batch->peer = s_peer (lane, node, deadline_ms);
        rc = batch->peer ? s_expose (lane, batch, deadline_ms) : UMBP_EUNREACH;
    }
    if (rc == 0)
        done = s_run (lane, batch, deadline_ms);
    umbp_lane_rewind (lane, mark);
    return done;
}

size_t umbp_rdma_move (umbp_lane_t *lane, const char *node, bool write, umbp_bulk_io_t *ios,
                       size_t count, int *statuses, int64_t deadline_ms)
{
    size_t done = 0;
    if (count == 0 || !umbp_rdma_open (lane->pool))
        return 0;
    for (size_t at = 0; at < count && umbp_clock_ms () < deadline_ms; at += UMBP_WINDOW_ITEMS) {
        size_t left = count - at;
        batch_t batch = { .write = write,
                          .ios = ios + at,
                          .statuses = statuses + at,
                          .count = left < UMBP_WINDOW_ITEMS ? left : UMBP_WINDOW_ITEMS };
        done += s_move (lane, node, &batch, deadline_ms);
    }
    return done;
}

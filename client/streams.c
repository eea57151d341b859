//  client/streams.c - several bulk connections to one node. See streams.h.
#include "client/streams.h"

#include <assert.h>
#include <stdatomic.h>

#include "client/crew.h"

#define SHARE_MIN_BYTES ((uint64_t) 4 << 20)        //  Some pause lies between two shares
#define SHARES_MAX 128

typedef struct {
    size_t first, count;
    bool done;
} share_t;

typedef struct {
    umbp_bulk_t *bulk;
    const umbp_bulk_peer_t *peer;
    umbp_bulk_transfer_fn *transfer;
    umbp_bulk_io_t *ios;
    int *statuses;
    int64_t deadline_ms;
    share_t shares[SHARES_MAX];
    size_t share_count;
    atomic_size_t next;                 //  The share that is taken next
} move_t;

static uint64_t s_bytes (const umbp_bulk_io_t *io)
{
    return umbp_piece_total (io->pieces, io->piece_count);
}

//  Large shares first, smaller ones towards the end, so that all end at about the same time
static void s_cut (move_t *move, size_t count, uint64_t left, unsigned streams)
{
    for (size_t at = 0; at < count;) {
        uint64_t least = left / (2 * streams), bytes = 0;
        bool last = move->share_count == SHARES_MAX - 1;
        share_t *share = &move->shares[move->share_count++];
        *share = (share_t) { .first = at };
        least = least > SHARE_MIN_BYTES ? least : SHARE_MIN_BYTES;
        while (at < count && (bytes < least || last))
            bytes += s_bytes (&move->ios[at++]);
        share->count = at - share->first;
        left -= bytes;
    }
}

static int s_run (move_t *move, size_t stream, share_t *share)
{
    int rc = umbp_bulk_client_run (&move->bulk->clients[stream], move->peer, INT32_MAX,
                                   move->transfer, move->ios + share->first, share->count,
                                   move->statuses + share->first, move->deadline_ms);
    share->done = rc >= 0;
    return rc;
}

//  One connection, until nothing is left or it fails
static void s_stream (void *arg, size_t stream)
{
    move_t *move = arg;
    for (;;) {
        size_t number = atomic_fetch_add (&move->next, 1);
        if (number >= move->share_count || s_run (move, stream, &move->shares[number]) < 0)
            return;
    }
}

//  A connection that is open becomes the first one: a node may have had room for it alone
static void s_find_open (umbp_bulk_t *bulk)
{
    for (size_t stream = 0; stream < UMBP_STREAMS_MAX; stream++) {
        umbp_bulk_client_t *client = bulk->clients[stream];
        if (!client || !umbp_bulk_client_is_open (client))
            continue;
        bulk->clients[stream] = bulk->clients[0];
        bulk->clients[0] = client;
        return;
    }
}

//  What was not done, or not begun, on one connection. A node that is gone says so soon; then nobody
//  need ask it for the rest.
static int s_run_rest (move_t *move)
{
    int rc = 0;
    s_find_open (move->bulk);
    for (size_t number = 0; number < move->share_count; number++) {
        share_t *share = &move->shares[number];
        if (!share->done && rc >= 0)
            rc = s_run (move, 0, share);
        else if (!share->done)
            for (size_t index = 0; index < share->count; index++)
                move->statuses[share->first + index] = rc;
    }
    return rc;
}

//  How many do good. Before the first one is open nobody knows where they go.
static unsigned s_streams (const umbp_t *pool, const umbp_bulk_t *bulk)
{
    const umbp_bulk_client_t *first = bulk->clients[0];
    bool far = first && umbp_bulk_client_is_open (first) && !umbp_bulk_client_is_here (first);
    return !far && pool->streams_here < pool->streams ? pool->streams_here : pool->streams;
}

int umbp_streams_move (umbp_lane_t *lane, umbp_bulk_t *bulk, const umbp_bulk_peer_t *peer,
                       bool write, umbp_bulk_io_t *ios, size_t count, int *statuses,
                       int64_t deadline_ms)
{
    unsigned streams = s_streams (lane->pool, bulk);
    uint64_t bytes = 0;
    for (size_t index = 0; index < count; index++)
        bytes += s_bytes (&ios[index]);
    umbp_bulk_transfer_fn *transfer = write ? umbp_bulk_client_write : umbp_bulk_client_read;
    if (streams < 2 || count < 2 || bytes < UMBP_STREAMS_MIN_BYTES)
        return umbp_bulk_client_run (&bulk->clients[0], peer, INT32_MAX, transfer, ios, count,
                                     statuses, deadline_ms);
    umbp_mark_t mark = umbp_lane_mark (lane);
    move_t *move = umbp_lane_take (lane, 1, sizeof *move);
    *move = (move_t) { .bulk = bulk,
                       .peer = peer,
                       .transfer = transfer,
                       .ios = ios,
                       .statuses = statuses,
                       .deadline_ms = deadline_ms };
    s_cut (move, count, bytes, streams);
    umbp_crew_run (lane->pool->crew, s_stream, move, streams);
    int rc = s_run_rest (move), done = 0;
    for (size_t index = 0; index < count; index++)
        done += statuses[index] == 0;
    umbp_lane_rewind (lane, mark);
    return rc < 0 ? rc : done;
}

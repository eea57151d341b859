//  actors/mover.c - moves blocks between nodes, and tiers of one. See mover.h. The buffer is filled with as
//  many blocks, or as much of one, as it takes; these are read in one batch, checked, and written
//  in one.
#include "actors/mover.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"
#include "cluster/bulk/tcp_auth.h"
#include "cluster/bulk/tcp_client.h"
#include "proto/error.h"

#define PARTS_MAX 64                    //  Transfers in a batch
#define LINES_MAX 8                     //  Connections that are kept
#define CONNECT_MS 1000
#define STALL_MS 2000                   //  For a batch: one that is slower is as good as dead

//  A connection
typedef struct {
    umbp_bulk_client_t *client;
    char endpoint[UMBP_TEXT_MAX + 1];
    uint64_t turn;                      //  When it was used last
} line_t;

//  What lies in the buffer: a block, or some of it
typedef struct {
    umbp_mover_row_t *row;
    uint32_t offset;                    //  In the block
    umbp_piece_t piece;                 //  In the buffer
} part_t;

struct umbp_mover {
    uint64_t session;
    bool broken;                        //  A connection failed in this run
    uint8_t *buffer;
    size_t buffer_bytes;
    umbp_mover_stop_fn *stop;
    void *arg;
    line_t lines[LINES_MAX];
    uint64_t turn;
    part_t parts[PARTS_MAX];
    size_t part_count;
    umbp_sum_t sum;                     //  Of the block that is under way
    umbp_far_ops_t rdma;
    umbp_far_t *far;                    //  Links to nodes; NULL: no RDMA
    uint64_t rdma_bytes, tcp_bytes;     //  Read in this run
    const umbp_here_t *here;            //  Tiers of this process
    size_t here_count;
    uint64_t here_bytes;                //  Moved from one of these to another in this run
};

umbp_mover_t *umbp_mover_new (size_t buffer_bytes, umbp_mover_stop_fn *stop, void *arg)
{
    assert (buffer_bytes && stop);
    umbp_mover_t *self = aligned_alloc (_Alignof(umbp_mover_t), sizeof (umbp_mover_t));
    assert (self);
    memset (self, 0, sizeof *self);
    self->buffer = malloc (buffer_bytes);
    assert (self->buffer);
    self->buffer_bytes = buffer_bytes;
    self->stop = stop;
    self->arg = arg;
    return self;
}

static void s_hang_up (umbp_mover_t *self)
{
    for (size_t index = 0; index < LINES_MAX; index++)
        umbp_bulk_client_destroy (&self->lines[index].client);
    if (self->far)
        umbp_far_drop (self->far);
}

void umbp_mover_use_rdma (umbp_mover_t *self, const umbp_far_ops_t *ops)
{
    assert (!self->far);
    self->rdma = *ops;
    self->far = umbp_far_new (ops);
    ops->api->announce (ops->verbs, self->buffer, self->buffer_bytes);     //  Else it is staged
}

void umbp_mover_use_here (umbp_mover_t *self, const umbp_here_t *here, size_t count)
{
    self->here = here;
    self->here_count = count;
}

uint64_t umbp_mover_here_bytes (const umbp_mover_t *self)
{
    return self->here_bytes;
}

void umbp_mover_bytes (const umbp_mover_t *self, uint64_t *rdma_p, uint64_t *tcp_p)
{
    *rdma_p = self->rdma_bytes;
    *tcp_p = self->tcp_bytes;
}

void umbp_mover_destroy (umbp_mover_t **self_p)
{
    assert (self_p);
    umbp_mover_t *self = *self_p;
    if (!self)
        return;
    s_hang_up (self);
    if (self->far) {
        umbp_far_destroy (&self->far);
        self->rdma.api->forget (self->rdma.verbs, self->buffer, self->buffer_bytes);
    }
    free (self->buffer);
    free (self);
    *self_p = NULL;
}

//  ------------------------------------------------------------------------------------------------
//  Transfers

static int64_t s_soon (int64_t deadline_ms, int64_t limit_ms)
{
    int64_t limit = umbp_clock_ms () + limit_ms;
    return limit < deadline_ms ? limit : deadline_ms;
}

//  The connection to an endpoint, else the one that was not used for longest
static line_t *s_line (umbp_mover_t *self, const char *endpoint)
{
    line_t *line = &self->lines[0];
    for (size_t index = 0; index < LINES_MAX; index++) {
        if (self->lines[index].client && strcmp (self->lines[index].endpoint, endpoint) == 0)
            return &self->lines[index];
        if (self->lines[index].turn < line->turn)
            line = &self->lines[index];
    }
    return line;
}

//  Run a batch. A connection that was kept may have been closed meanwhile: then on a new one.
static void s_transfer (umbp_mover_t *self, const char *endpoint, const uint8_t *key,
                        umbp_bulk_transfer_fn *run, umbp_bulk_io_t *items, size_t count,
                        int *statuses, int64_t deadline_ms)
{
    line_t *line = s_line (self, endpoint);
    const umbp_bulk_peer_t peer = { endpoint, umbp_bulk_alias (self->session), key };
    if (line->client && strcmp (line->endpoint, endpoint) != 0)
        umbp_bulk_client_destroy (&line->client);
    snprintf (line->endpoint, sizeof line->endpoint, "%s", endpoint);
    line->turn = ++self->turn;
    self->broken |= umbp_bulk_client_run (&line->client, &peer, CONNECT_MS, run, items, count,
                                          statuses, s_soon (deadline_ms, STALL_MS))
                    < 0;
}

//  ------------------------------------------------------------------------------------------------
//  One bufferful

//  Take parts from the rows, from this row and offset on, until the buffer is full; both move on.
//  A block that failed in an earlier bufferful is passed over.
static void s_fill (umbp_mover_t *self, umbp_mover_row_t *rows, size_t count, size_t *row_p,
                    uint32_t *offset_p)
{
    size_t used = 0;
    self->part_count = 0;
    while (*row_p < count && self->part_count < PARTS_MAX && used < self->buffer_bytes) {
        umbp_mover_row_t *row = &rows[*row_p];
        size_t size = row->status < 0 ? 0 : row->size - *offset_p;
        if (size > self->buffer_bytes - used)
            size = self->buffer_bytes - used;
        if (size)
            self->parts[self->part_count++] =
                (part_t) { row, *offset_p, { self->buffer + used, size } };
        used += size;
        *offset_p += (uint32_t) size;
        if (row->status < 0 || *offset_p == row->size) {
            ++*row_p;
            *offset_p = 0;
        }
    }
}

//  By RDMA, in half of the time that there is. more: of the lease, in another bufferful. What is not read
//  keeps its status.
static void s_read_far (umbp_mover_t *self, const umbp_mover_job_t *job, umbp_bulk_io_t *items,
                        int *statuses, bool more)
{
    int64_t now_ms = umbp_clock_ms (), half_ms = now_ms + (job->deadline_ms - now_ms) / 2;
    const umbp_far_way_t way = { .node = job->node,
                                 .session = job->session,
                                 .again = more,
                                 .deadline_ms = s_soon (half_ms, STALL_MS),
                                 .end_ms = s_soon (half_ms, STALL_MS) };
    umbp_far_move (self->far, &way, items, self->part_count, statuses);
}

//  What is left, over tcp
static void s_read_rest (umbp_mover_t *self, const umbp_mover_job_t *job,
                         const umbp_bulk_io_t *items, int *statuses)
{
    umbp_bulk_io_t rest[PARTS_MAX];
    size_t whose[PARTS_MAX], count = 0;
    int ends[PARTS_MAX];
    for (size_t index = 0; index < self->part_count; index++)
        if (statuses[index] != 0) {
            rest[count] = items[index];
            ends[count] = UMBP_EUNREACH;
            whose[count++] = index;
        }
    if (count == 0)
        return;
    s_transfer (self, job->from, job->from_key, umbp_bulk_client_read, rest, count, ends,
                job->deadline_ms);
    for (size_t index = 0; index < count; index++) {
        statuses[whose[index]] = ends[index];
        if (ends[index] == 0)
            self->tcp_bytes += rest[index].pieces->size;
    }
}

//  Read all parts; one that fails is its block's failure
static void s_read (umbp_mover_t *self, const umbp_mover_job_t *job, bool more)
{
    umbp_bulk_io_t items[PARTS_MAX] = { 0 };
    int statuses[PARTS_MAX] = { 0 };
    for (size_t index = 0; index < self->part_count; index++) {
        const part_t *part = &self->parts[index];
        items[index] = (umbp_bulk_io_t) { .token = job->lease,
                                          .item = part->row->item,
                                          .offset = part->offset,
                                          .pieces = &part->piece,
                                          .piece_count = 1 };
        statuses[index] = UMBP_EUNREACH;
    }
    if (self->far)
        s_read_far (self, job, items, statuses, more);
    for (size_t index = 0; index < self->part_count; index++)
        if (statuses[index] == 0)
            self->rdma_bytes += self->parts[index].piece.size;
    s_read_rest (self, job, items, statuses);
    for (size_t index = 0; index < self->part_count; index++)
        if (statuses[index] != 0 && self->parts[index].row->status == 0)
            self->parts[index].row->status = statuses[index] < 0 ? statuses[index] : UMBP_EPROTO;
}

//  Add what was read to the sums; at its last part, a block's must be right
static void s_check (umbp_mover_t *self)
{
    for (size_t index = 0; index < self->part_count; index++) {
        const part_t *part = &self->parts[index];
        umbp_mover_row_t *row = part->row;
        if (row->status < 0)
            continue;
        if (part->offset == 0)
            umbp_sum_init (&self->sum, row->size);
        umbp_sum_update (&self->sum, part->piece.base, part->piece.size);
        if (part->offset + part->piece.size == row->size && umbp_sum_final (&self->sum) != row->sum)
            row->status = UMBP_ECHECKSUM;
    }
}

//  Into our own pages
static void s_write_here (umbp_mover_t *self, umbp_bulk_server_t *server,
                          const umbp_mover_job_t *job)
{
    for (size_t index = 0; index < self->part_count; index++) {
        const part_t *part = &self->parts[index];
        const umbp_here_block_t to = { server, umbp_bulk_alias (job->session), part->row->slot, 0 };
        if (part->row->status == 0)
            part->row->status =
                umbp_here_write (&to, part->offset, part->piece.base, part->piece.size);
    }
}

//  Write the parts of blocks that are well so far
static void s_write (umbp_mover_t *self, const umbp_mover_job_t *job)
{
    umbp_bulk_io_t items[PARTS_MAX] = { 0 };
    umbp_mover_row_t *rows[PARTS_MAX];
    int statuses[PARTS_MAX] = { 0 };
    size_t count = 0;
    umbp_bulk_server_t *server = umbp_here_find (self->here, self->here_count, job->to);
    if (server) {
        s_write_here (self, server, job);
        return;
    }
    for (size_t index = 0; index < self->part_count; index++) {
        const part_t *part = &self->parts[index];
        if (part->row->status < 0)
            continue;
        rows[count] = part->row;
        items[count++] = (umbp_bulk_io_t){ .token = part->row->slot,
                                           .offset = part->offset,
                                            .pieces = &part->piece, .piece_count = 1 };
    }
    if (count == 0)
        return;
    s_transfer (self, job->to, job->to_key, umbp_bulk_client_write, items, count, statuses,
                job->deadline_ms);
    for (size_t index = 0; index < count; index++)
        if (statuses[index] != 0 && rows[index]->status == 0)
            rows[index]->status = statuses[index] < 0 ? statuses[index] : UMBP_EPROTO;
}

//  Why a run shall end now, or 0
static int s_end (umbp_mover_t *self, const umbp_mover_job_t *job)
{
    if (self->stop (self->arg))
        return UMBP_ECLOSED;
    return umbp_clock_ms () >= job->deadline_ms ? UMBP_ETIMEDOUT : 0;
}

//  From pages of ours to others of ours
static void s_run_here (umbp_mover_t *self, const umbp_mover_job_t *job, umbp_bulk_server_t *from,
                        umbp_bulk_server_t *to, umbp_mover_row_t *rows, size_t count)
{
    uint64_t session = umbp_bulk_alias (job->session);
    int end = 0;
    for (size_t index = 0; index < count; index++) {
        umbp_mover_row_t *row = &rows[index];
        end = end < 0 ? end : s_end (self, job);
        const umbp_here_block_t source = { from, session, job->lease, row->item };
        const umbp_here_block_t target = { to, session, row->slot, 0 };
        row->status = end < 0 ? end : umbp_here_copy (&source, &target, row->size, row->sum);
        if (row->status == 0)
            self->here_bytes += row->size;
    }
}

bool umbp_mover_run (umbp_mover_t *self, const umbp_mover_job_t *job, umbp_mover_row_t *rows,
                     size_t count)
{
    umbp_bulk_server_t *from = umbp_here_find (self->here, self->here_count, job->from);
    umbp_bulk_server_t *to = umbp_here_find (self->here, self->here_count, job->to);
    if (self->session != job->session)
        s_hang_up (self);
    self->session = job->session;
    self->broken = false;
    self->rdma_bytes = self->tcp_bytes = self->here_bytes = 0;
    if (from && to) {
        s_run_here (self, job, from, to, rows, count);
        return true;
    }
    for (size_t index = 0; index < count; index++)
        rows[index].status = 0;
    size_t row = 0;
    uint32_t offset = 0;
    int end = 0;
    while (row < count) {
        end = s_end (self, job);
        if (end < 0)
            break;
        s_fill (self, rows, count, &row, &offset);
        if (self->part_count == 0)
            continue;
        s_read (self, job, row < count);
        s_check (self);
        s_write (self, job);
    }
    for (; row < count; row++)
        if (rows[row].status == 0)
            rows[row].status = end;
    return !self->broken;
}

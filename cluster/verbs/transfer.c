//  cluster/verbs/transfer.c - reads and writes of blocks: cut into requests, spread over the queue
//  pairs of a link within their limits, sent again by another one if theirs failed. See inner.h.
#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"
#include "cluster/verbs/inner.h"
#include "proto/error.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 16                    //  Requests handed to a queue pair at once
#define CHAIN_BYTES (64 * 1024)         //  and no more of them once they have so many bytes
#define SUM_BYTES (256u * 1024)         //  Summed at once, while the devices have something to do
#define SUM_OPS 1024                    //  Looked at for that; of more requests the sum comes last

//  One call
typedef struct {
    umbp_verbs_link_t *link;
    umbp_verbs_io_t *items;
    size_t count, item;                 //  item: the one that is being cut
    int *status;
    bool write, cutting;
    umbp_cut_t cut;
    uint64_t total;                     //  Bytes of the item that is being cut
    size_t summing;                     //  The item whose checksum is under way
    bool begun;
    umbp_sum_t sum;
    umbp_cursor_t unsummed;
} s_job_t;

//  Requests for one queue pair
typedef struct {
    struct ibv_send_wr wrs[CHAIN_MAX];
    struct ibv_sge sges[CHAIN_MAX][UMBP_VERBS_SGE_MAX];
    size_t count, bytes;
} s_chain_t;

static bool s_inlined (const s_job_t *job, const umbp_queue_t *queue, const umbp_chunk_t *chunk)
{
    return job->write && chunk->bytes <= queue->inline_bytes && chunk->vector_count <= queue->sges
           && !job->items[job->item].device;
}

//  Give back what a request holds: registrations, its place in staging
static void s_let_go (umbp_verbs_link_t *link, umbp_op_t *op)
{
    if (op->held_count) {
        pthread_mutex_lock (&link->verbs->lock);
        while (op->held_count)
            umbp_cache_release (link->verbs->cache, op->held[--op->held_count]);
        pthread_mutex_unlock (&link->verbs->lock);
    }
    if (op->stage)
        link->stages[link->stage_count++] = op->stage;
    op->stage = NULL;
    op->live = false;
    umbp_link_give_op (link, op);
}

//  Hold the registrations of all its pieces. Returns false, and holds nothing, if one has none.
static bool s_hold (umbp_verbs_link_t *link, umbp_op_t *op)
{
    const umbp_chunk_t *chunk = &op->chunk;
    umbp_cache_t *cache = link->verbs->cache;
    op->held_count = 0;
    if (chunk->vector_count > link->queues[0].sges)
        return false;
    pthread_mutex_lock (&link->verbs->lock);
    while (op->held_count < chunk->vector_count) {
        const struct iovec *vector = &chunk->vectors[op->held_count];
        op->held[op->held_count] = umbp_cache_hold (cache, vector->iov_base, vector->iov_len);
        if (!op->held[op->held_count])
            break;
        op->held_count++;
    }
    bool all = op->held_count == chunk->vector_count;
    while (!all && op->held_count)
        umbp_cache_release (cache, op->held[--op->held_count]);
    pthread_mutex_unlock (&link->verbs->lock);
    return all;
}

//  Staging is made when it is first needed. Returns 0, UMBP_ENOSPC or UMBP_EIO.
static int s_make_staging (umbp_verbs_link_t *link)
{
    if (link->staging)
        return 0;
    size_t count = link->verbs->options.staging_bytes / link->stage_bytes;
    count = count > link->op_count ? link->op_count : count;
    if (posix_memalign ((void **) &link->staging, 4096, count * link->stage_bytes) != 0)
        return UMBP_ENOSPC;
    int rc = umbp_mrs_add (link->verbs, link->staging, count * link->stage_bytes,
                           IBV_ACCESS_LOCAL_WRITE, &link->staging_mrs);
    if (rc != 0) {
        free (link->staging);
        link->staging = NULL;
        return rc;
    }
    while (link->stage_count < count) {
        link->stages[link->stage_count] = link->staging + link->stage_count * link->stage_bytes;
        link->stage_count++;
    }
    return 0;
}

static void s_gather (umbp_op_t *op)
{
    char *at = op->stage;
    for (uint32_t index = 0; index < op->chunk.vector_count; index++) {
        memcpy (at, op->chunk.vectors[index].iov_base, op->chunk.vectors[index].iov_len);
        at += op->chunk.vectors[index].iov_len;
    }
}

static void s_scatter (const umbp_op_t *op)
{
    const char *at = op->stage;
    for (uint32_t index = 0; index < op->chunk.vector_count; index++) {
        memcpy (op->chunk.vectors[index].iov_base, at, op->chunk.vectors[index].iov_len);
        at += op->chunk.vectors[index].iov_len;
    }
}

//  Cut the request again, small enough for staging. Returns 1, 0 if there is no place free (the cut
//  is as before), or an error.
static int s_stage (s_job_t *job, umbp_op_t *op, const umbp_cut_t *before)
{
    umbp_verbs_link_t *link = job->link;
    job->cut = *before;
    int rc = s_make_staging (link);
    if (rc != 0 || link->stage_count == 0)
        return rc;
    umbp_cut_next (&job->cut, link->stage_bytes, &op->chunk);
    op->stage = link->stages[--link->stage_count];
    if (job->write)
        s_gather (op);
    link->stats.staged_bytes += op->chunk.bytes;
    return 1;
}

//  Whether the owner's memory has the bytes of a request. Later, keys are all that is checked.
static bool s_inside (const umbp_verbs_io_t *io, const umbp_chunk_t *chunk)
{
    return chunk->region < io->memory_count && chunk->offset <= io->memories[chunk->region].bytes
           && chunk->bytes <= io->memories[chunk->region].bytes - chunk->offset;
}

//  Go to an item that has bytes left. Returns false if there is none.
static bool s_open_item (s_job_t *job)
{
    while (job->item < job->count) {
        umbp_verbs_io_t *io = &job->items[job->item];
        int *status = &job->status[job->item];
        if (!job->cutting) {
            *status = umbp_cut_init (&job->cut, io->extents, io->extent_count, io->page_size,
                                     io->offset, io->pieces, io->piece_count);
            job->cutting = true;
            job->total = umbp_piece_total (io->pieces, io->piece_count);
        }
        if (*status == 0 && job->cut.local.left)
            return true;
        job->cutting = false;
        job->item++;
    }
    return false;
}

//  Cut off a request. One with more pieces than it has room for is staged, which a device's cannot be:
//  that one is cut again, shorter.
static void s_cut (s_job_t *job, umbp_op_t *op, const umbp_cut_t *before)
{
    umbp_verbs_link_t *link = job->link;
    umbp_cut_next (&job->cut, link->verbs->options.chunk_bytes, &op->chunk);
    uint32_t sges = link->queues[0].sges, bytes = 0;
    if (!job->items[job->item].device || op->chunk.vector_count <= sges)
        return;
    for (uint32_t index = 0; index < sges; index++)
        bytes += (uint32_t) op->chunk.vectors[index].iov_len;
    job->cut = *before;
    umbp_cut_next (&job->cut, bytes, &op->chunk);
}

//  The next request: one whose queue pair failed, or one more of the blocks. Returns NULL if there
//  is none, or no room for it now.
static umbp_op_t *s_next (s_job_t *job)
{
    umbp_verbs_link_t *link = job->link;
    while (link->again) {
        umbp_op_t *op = link->again;
        link->again = op->next;
        if (job->status[op->item] == 0)
            return op;
        s_let_go (link, op);
    }
    while (link->free && s_open_item (job)) {
        umbp_op_t *op = umbp_link_take_op (link);
        umbp_cut_t before = job->cut;
        op->item = job->item;
        op->at = job->total - job->cut.local.left;
        s_cut (job, op, &before);
        int rc = UMBP_EINVAL;
        if (s_inside (&job->items[op->item], &op->chunk))
            rc = s_inlined (job, &link->queues[0], &op->chunk) || s_hold (link, op) ? 1
                 : job->items[op->item].device                                      ? UMBP_ENOTSUP
                                               : s_stage (job, op, &before);
        op->live = rc == 1;
        if (rc == 1)
            return op;
        umbp_link_give_op (link, op);
        if (rc == 0)
            return NULL;
        job->status[job->item] = rc;
    }
    return NULL;
}

//  The local side of a request, for the device of a queue pair. Returns how many entries.
static int s_local (const s_job_t *job, const umbp_queue_t *queue, const umbp_op_t *op,
                    struct ibv_sge *sges)
{
    const umbp_verbs_link_t *link = job->link;
    size_t device = queue->device->number;
    if (op->stage) {
        sges[0] = (struct ibv_sge) {
            .addr = (uintptr_t) op->stage,
            .length = op->chunk.bytes,
            .lkey = link->staging_mrs.mrs[device]->lkey,
        };
        return 1;
    }
    for (uint32_t index = 0; index < op->chunk.vector_count; index++) {
        const struct iovec *vector = &op->chunk.vectors[index];
        sges[index] = (struct ibv_sge) {
            .addr = (uintptr_t) vector->iov_base,
            .length = (uint32_t) vector->iov_len,
        };
        if (index < op->held_count) {
            const umbp_mrs_t *mrs = op->held[index]->handle;
            sges[index].lkey = mrs->mrs[device]->lkey;
        }
    }
    return (int) op->chunk.vector_count;
}

static void s_add (s_job_t *job, umbp_queue_t *queue, umbp_op_t *op, s_chain_t *chain)
{
    umbp_verbs_link_t *link = job->link;
    const umbp_verbs_memory_t *memory = &job->items[op->item].memories[op->chunk.region];
    size_t key = memory->per_queue ? (size_t) (queue - link->queues) : queue->peer_device;
    struct ibv_send_wr *wr = &chain->wrs[chain->count];
    *wr = (struct ibv_send_wr) {
        .wr_id = (uintptr_t) op,
        .sg_list = chain->sges[chain->count],
        .num_sge = s_local (job, queue, op, chain->sges[chain->count]),
        .opcode = job->write ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ,
        .send_flags = IBV_SEND_SIGNALED,
        .wr.rdma = { .remote_addr = memory->base + op->chunk.offset, .rkey = memory->keys[key] },
    };
    if (job->write && op->held_count == 0 && !op->stage) {
        wr->send_flags |= IBV_SEND_INLINE;
        link->stats.inlined++;
    }
    if (chain->count)
        chain->wrs[chain->count - 1].next = wr;
    chain->count++;
    chain->bytes += op->chunk.bytes;
}

//  Whether a request would fail by any other queue pair as well. All else is its neighbour's fault,
//  or that of the way there, and each time it costs a queue pair, so it cannot go on for ever.
static bool s_own_fault (enum ibv_wc_status status)
{
    return status == IBV_WC_REM_ACCESS_ERR || status == IBV_WC_REM_INV_REQ_ERR
           || status == IBV_WC_REM_OP_ERR || status == IBV_WC_LOC_PROT_ERR
           || status == IBV_WC_LOC_LEN_ERR;
}

//  One request is over
static void s_finish (void *arg, umbp_op_t *op, enum ibv_wc_status status)
{
    s_job_t *job = arg;
    umbp_verbs_link_t *link = job->link;
    int *outcome = &job->status[op->item];
    if (status == IBV_WC_SUCCESS) {
        if (!job->write && op->stage && *outcome == 0)
            s_scatter (op);
        *(job->write ? &link->stats.bytes_written : &link->stats.bytes_read) += op->chunk.bytes;
    } else if (*outcome == 0 && link->alive && !s_own_fault (status)) {
        op->next = link->again;
        link->again = op;
        link->stats.resent++;
        return;
    } else if (*outcome == 0)
        *outcome = link->last_error;
    s_let_go (link, op);
}

static uint32_t s_room (const s_job_t *job, const umbp_queue_t *queue)
{
    uint32_t limit = job->write || queue->depth < queue->reads ? queue->depth : queue->reads;
    return queue->broken || queue->busy >= limit ? 0 : limit - queue->busy;
}

//  Give one queue pair what it has room for, in small portions. Returns how many requests.
static size_t s_feed (s_job_t *job, umbp_queue_t *queue)
{
    s_chain_t chain;
    chain.count = chain.bytes = 0;
    uint32_t room = s_room (job, queue);
    while (chain.count < room && chain.count < CHAIN_MAX && chain.bytes < CHAIN_BYTES) {
        umbp_op_t *op = s_next (job);
        if (!op)
            break;
        s_add (job, queue, op, &chain);
    }
    if (chain.count)
        umbp_link_post (job->link, queue, chain.wrs, s_finish, job);
    return chain.count;
}

static void s_feed_all (s_job_t *job)
{
    umbp_verbs_link_t *link = job->link;
    for (size_t idle = 0; idle < link->queue_count && link->alive;) {
        umbp_queue_t *queue = &link->queues[link->turn++ % link->queue_count];
        idle = s_feed (job, queue) ? 0 : idle + 1;
    }
}

//  How many bytes of an item can be summed: of a write all, of a read those in front of the first one
//  that is still on its way
static uint64_t s_summable (const s_job_t *job, size_t item, uint64_t total)
{
    const umbp_verbs_link_t *link = job->link;
    if (item > job->item || (item == job->item && !job->cutting))
        return 0;
    if (job->write)
        return total;
    uint64_t upto = item == job->item ? total - job->cut.local.left : total;
    for (size_t index = 0; index < link->op_count; index++) {
        const umbp_op_t *op = &link->ops[index];
        if (op->live && op->item == item && op->at < upto)
            upto = op->at;
    }
    return upto;
}

//  Sum some more, so that it is not left for the end. Returns false if there is nothing to be summed.
static bool s_sum_some (s_job_t *job)
{
    while (job->summing < job->count) {
        umbp_verbs_io_t *io = &job->items[job->summing];
        if (!io->want_sum || job->status[job->summing] != 0) {
            job->summing++;
            job->begun = false;
            continue;
        }
        uint64_t total = umbp_piece_total (io->pieces, io->piece_count);
        if (!job->begun) {
            umbp_sum_init (&job->sum, total);
            umbp_cursor_set (&job->unsummed, io->pieces, 0, total);
            job->begun = true;
        }
        uint64_t ready = s_summable (job, job->summing, total) - (total - job->unsummed.left);
        struct iovec vectors[UMBP_CUT_VECTORS_MAX];
        size_t bytes = 0, max = ready < SUM_BYTES ? ready : SUM_BYTES;
        size_t count =
            max ? umbp_cursor_vectors (&job->unsummed, vectors, UMBP_CUT_VECTORS_MAX, max, &bytes)
                : 0;
        for (size_t index = 0; index < count; index++)
            umbp_sum_update (&job->sum, vectors[index].iov_base, vectors[index].iov_len);
        umbp_cursor_skip (&job->unsummed, bytes);
        if (job->unsummed.left || job->summing == job->item)
            return bytes > 0;
        io->sum = umbp_sum_final (&job->sum);
        job->summing++;
        job->begun = false;
    }
    return false;
}

//  The devices are busy meanwhile: there is time for checksums
static void s_run (s_job_t *job, int64_t deadline_ms)
{
    umbp_verbs_link_t *link = job->link;
    bool early = job->write || link->op_count <= SUM_OPS;
    for (;;) {
        umbp_link_poll (link, s_finish, job);
        s_feed_all (job);
        if (link->busy == 0 && (link->alive == 0 || (!link->again && job->item == job->count)))
            break;
        if (umbp_clock_ms () >= deadline_ms)
            umbp_link_abandon (link, UMBP_ETIMEDOUT, "the deadline passed", s_finish, job);
        else if (link->busy && !(early && s_sum_some (job)))
            umbp_link_wait (link, s_finish, job, deadline_ms);
    }
}

//  What was not sent before the last queue pair failed
static void s_fail_rest (s_job_t *job)
{
    umbp_verbs_link_t *link = job->link;
    while (link->again) {
        umbp_op_t *op = link->again;
        link->again = op->next;
        if (job->status[op->item] == 0)
            job->status[op->item] = link->last_error;
        s_let_go (link, op);
    }
    while (s_open_item (job))
        job->status[job->item] = link->last_error;
}

static void s_add_stats (umbp_verbs_link_t *link)
{
    umbp_verbs_stats_t *sum = &link->verbs->stats;
    pthread_mutex_lock (&link->verbs->lock);
    sum->bytes_read += link->stats.bytes_read;
    sum->bytes_written += link->stats.bytes_written;
    sum->requests += link->stats.requests;
    sum->staged_bytes += link->stats.staged_bytes;
    sum->inlined += link->stats.inlined;
    sum->resent += link->stats.resent;
    sum->queues_lost += link->stats.queues_lost;
    sum->sleeps += link->stats.sleeps;
    if (sum->busiest < link->stats.busiest)
        sum->busiest = link->stats.busiest;
    pthread_mutex_unlock (&link->verbs->lock);
    link->stats = (umbp_verbs_stats_t) { 0 };
}

static int s_transfer (s_job_t *job, int64_t deadline_ms)
{
    umbp_verbs_link_t *link = job->link;
    int result = 0;
    memset (job->status, 0, job->count * sizeof *job->status);
    umbp_link_check (link);
    if (link->alive == 0 || link->rights & UMBP_VERBS_ALONE) {
        int rc = link->alive == 0 ? UMBP_ECLOSED : UMBP_ENOTSUP;
        for (size_t index = 0; index < job->count; index++)
            job->status[index] = rc;
        return rc;
    }
    s_run (job, deadline_ms);
    s_fail_rest (job);
    while (s_sum_some (job))
        continue;
    s_add_stats (link);
    for (size_t index = 0; index < job->count; index++)
        result += job->status[index] == 0;
    return link->alive == 0 && (size_t) result < job->count ? link->last_error : result;
}

int umbp_verbs_read (umbp_verbs_link_t *self, umbp_verbs_io_t *items, size_t count, int *status,
                     int64_t deadline_ms)
{
    s_job_t job = { .link = self, .items = items, .count = count, .status = status };
    return s_transfer (&job, deadline_ms);
}

int umbp_verbs_write (umbp_verbs_link_t *self, umbp_verbs_io_t *items, size_t count, int *status,
                      int64_t deadline_ms)
{
    s_job_t job = {
        .link = self, .items = items, .count = count, .status = status, .write = true,
    };
    return s_transfer (&job, deadline_ms);
}

//  client/get_bytes.c - how the bytes of blocks come to the caller: from memory of this host, under a lease or as the board
//  shows them, and from elsewhere through the bulk server of their owner. Every byte is summed on its way and compared.
#include "client/get_self.h"

#include <stdlib.h>

#include "client/copies.h"
#include "client/scatter.h"
#include "cluster/bulk/clock.h"

#define NOT_SHOWN 2                     //  A block that the board does not show
#define TOGETHER_MAX 64                 //  Blocks that are copied together

//  ------------------------------------------------------------------------------------------------
//  Give bytes to the caller

//  Buffers that take the whole block in its order, in scratch memory. Returns how many; 0 if the
//  caller wants parts only; UMBP_ETOOBIG or UMBP_EINVAL if it does not fit what was asked for.
static int s_room (umbp_lane_t *lane, const umbp_get_job_t *job, umbp_piece_t **pieces_p)
{
    umbp_piece_t *pieces = *pieces_p = umbp_lane_take (lane, job->range_count + 1, sizeof *pieces);
    if (job->whole) {
        pieces[0] = (umbp_piece_t) { job->ranges->base, job->size };
        return job->ranges->size < job->size ? UMBP_ETOOBIG : 1;
    }
    for (size_t index = 0; index < job->range_count; index++) {
        const umbp_range_t *range = &job->ranges[index];
        if (range->size > job->size || range->offset > job->size - range->size)
            return UMBP_EINVAL;
    }
    bool tiles = umbp_scatter_tiles (job->ranges, job->range_count, job->size, pieces);
    return tiles ? (int) job->range_count : 0;
}

//  From where it lies in our address space. Returns the job's status, or UMBP_GET_OPEN if a copy is to be made,
//  which gets its pieces; from stays the caller's.
static int s_prepare (umbp_get_call_t *call, const umbp_get_job_t *job, const umbp_piece_t *from,
                      size_t from_count, umbp_copy_t *copy)
{
    umbp_piece_t *to;
    int count = s_room (call->lane, job, &to);
    if (count < 0)
        return count;
    *copy = (umbp_copy_t) { .to = to,
                            .to_count = (size_t) count,
                            .from = from,
                            .from_count = from_count,
                            .size = job->size,
                            .read = true };
    if (count > 0)
        return UMBP_GET_OPEN;
    bool verify = call->lane->pool->verify;
    uint64_t sum = verify ? umbp_scatter_sum (from, from_count, job->size) : job->sum;
    if (sum != job->sum)
        return UMBP_ECHECKSUM;
    int rc = 0;
    for (size_t index = 0; index < job->range_count && rc == 0; index++)
        rc = umbp_copies_read (call->lane, from, &job->ranges[index]);
    return rc;
}

//  The status of a job whose copy was made
static int s_judge (const umbp_get_call_t *call, const umbp_get_job_t *job, const umbp_copy_t *copy)
{
    if (copy->rc != 0)
        return copy->rc;
    return !call->lane->pool->verify || copy->sum == job->sum ? 0 : UMBP_ECHECKSUM;
}

int umbp_get_deliver (umbp_get_call_t *call, const umbp_get_job_t *job, const umbp_piece_t *from,
                      size_t from_count)
{
    umbp_copy_t copy;
    int status = s_prepare (call, job, from, from_count, &copy);
    if (status != UMBP_GET_OPEN)
        return status;
    umbp_copies_run (call->lane, &copy, 1);
    return s_judge (call, job, &copy);
}

//  How many of the jobs are copied together: one after the other, unless they are worth the crew
static size_t s_together (const umbp_get_job_t *jobs, size_t count)
{
    uint64_t room = 0;
    for (size_t index = 0; index < count && room < UMBP_COPIES_SHARED_MIN; index++)
        for (size_t range = 0; range < jobs[index].range_count; range++)
            room += jobs[index].ranges[range].size;
    return room < UMBP_COPIES_SHARED_MIN ? 1 : TOGETHER_MAX;
}

//  ------------------------------------------------------------------------------------------------
//  Blocks in memory of this host

//  Copies that wait to be made together
typedef struct {
    umbp_copy_t *copies;
    umbp_get_job_t **jobs;
    size_t count, max;
} together_t;

static void s_copy_together (umbp_get_call_t *call, together_t *together)
{
    umbp_copies_run (call->lane, together->copies, together->count);
    for (size_t index = 0; index < together->count; index++) {
        umbp_get_job_t *job = together->jobs[index];
        *job->status = s_judge (call, job, &together->copies[index]);
        if (*job->status == 0)
            call->lane->stats.shm_get_bytes += job->size;
    }
    together->count = 0;
}

static void s_read_here (umbp_get_call_t *call, umbp_get_job_t *job, const umbp_found_t *found,
                         size_t index, size_t row, together_t *together)
{
    umbp_piece_t *from;
    int count = umbp_get_locate (call->lane, found, index, row, &from);
    umbp_copy_t *copy = &together->copies[together->count];
    *job->status = count < 0 ? count : s_prepare (call, job, from, (size_t) count, copy);
    if (*job->status == UMBP_GET_OPEN)
        together->jobs[together->count++] = job;
    else if (*job->status == 0)
        call->lane->stats.shm_get_bytes += job->size;
}

static void s_read_all_here (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count,
                             const umbp_found_t *found)
{
    umbp_lane_t *lane = call->lane;
    together_t together = { .max = s_together (jobs, count) };
    together.copies = umbp_lane_take (lane, together.max, sizeof *together.copies);
    together.jobs = umbp_lane_take (lane, together.max, sizeof (umbp_get_job_t *));
    umbp_mark_t mark = umbp_lane_mark (lane);
    size_t row = 0;
    for (size_t index = 0; index < count; index++) {
        umbp_get_job_t *job = &jobs[index];
        if (*job->status == UMBP_GET_OPEN && found->owners[job->ref].memory)
            s_read_here (call, job, found, index, row, &together);
        row += found->extents.counts.count ? umbp_u16s_at (found->extents.counts, index) : 0;
        if (together.count == together.max || index + 1 == count) {
            s_copy_together (call, &together);
            umbp_lane_rewind (lane, mark);
        }
    }
}

//  The leases were good if the doors they are tied to are open still
static void s_check_here (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count,
                          umbp_found_t *found)
{
    for (size_t ref = 0; ref < found->owner_count; ref++) {
        umbp_owner_t *owner = &found->owners[ref];
        if (!owner->memory
            || umbp_memory_of (call->lane, owner->actor, owner->node) == owner->memory)
            continue;
        for (size_t index = 0; index < count; index++)
            if (jobs[index].ref == ref && *jobs[index].status == 0)
                *jobs[index].status = UMBP_ECLOSED;
    }
}

//  ------------------------------------------------------------------------------------------------
//  Blocks that our node shows on its board: nobody is asked, and no lease taken

//  A block on its way from the board
typedef struct {
    umbp_notice_t notice;
    umbp_piece_t from[UMBP_BOARD_EXTENTS_MAX];
    const umbp_copy_t *copy;            //  If its status is UMBP_GET_OPEN
    int status;
} shown_t;

//  Returns as s_prepare does, or NOT_SHOWN
static int s_look (umbp_get_call_t *call, umbp_get_job_t *job, const umbp_memory_t *memory,
                   shown_t *shown, umbp_copy_t *copy)
{
    shown->copy = copy;
    if (!umbp_board_look (memory->board, job->key.key, job->key.key_size, &shown->notice))
        return NOT_SHOWN;
    job->size = shown->notice.size;
    job->sum = shown->notice.sum;
    int count = umbp_memory_place (memory, &shown->notice, shown->from);
    return count < 0 ? count : s_prepare (call, job, shown->from, (size_t) count, copy);
}

//  Returns whether the job has its outcome. If not, what was copied may be anything, and is written
//  over or never looked at.
static bool s_take_shown (umbp_get_call_t *call, umbp_get_job_t *job, const umbp_memory_t *memory,
                          const shown_t *shown)
{
    umbp_lane_t *lane = call->lane;
    int status = shown->status == UMBP_GET_OPEN ? s_judge (call, job, shown->copy) : shown->status;
    if (status == NOT_SHOWN || status == UMBP_EPROTO || status == UMBP_ECHECKSUM
        || status == UMBP_EIO           //  A device: once more, in order
        || !umbp_board_still (memory->board, &shown->notice))
        return false;
    *job->status = status;
    if (status == 0 || status == UMBP_ETOOBIG)
        *job->size_p = job->size;
    if (status == 0) {
        lane->stats.shm_get_bytes += job->size;
        lane->stats.board_hits++;
        umbp_memory_touched (lane, shown->notice.item);
    }
    return true;
}

//  Looks, copies together, and believes what was copied if its notice is still up. Moves the jobs that
//  are left to where left says. Returns that, behind them.
static size_t s_read_some_shown (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count,
                                 umbp_get_job_t *left)
{
    const umbp_memory_t *memory = call->lane->near;
    shown_t one, *shown = &one;         //  Small ones come one by one, and fast
    umbp_copy_t copy, *copies = &copy;
    if (count > 1) {
        shown = umbp_lane_take (call->lane, count, sizeof *shown);
        copies = umbp_lane_take (call->lane, count, sizeof *copies);
    }
    size_t copied = 0, kept = 0;
    for (size_t index = 0; index < count; index++) {
        shown[index].status = s_look (call, &jobs[index], memory, &shown[index], &copies[copied]);
        copied += shown[index].status == UMBP_GET_OPEN;
    }
    umbp_copies_run (call->lane, copies, copied);
    for (size_t index = 0; index < count; index++) {
        if (s_take_shown (call, &jobs[index], memory, &shown[index]))
            continue;
        if (left + kept != &jobs[index])
            left[kept] = jobs[index];
        kept++;
    }
    return kept;
}

size_t umbp_get_read_shown (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count)
{
    umbp_lane_t *lane = call->lane;
    if (!lane->near || !lane->near->board)
        return count;
    size_t left = 0, max = s_together (jobs, count);
    umbp_mark_t mark = umbp_lane_mark (lane);
    for (size_t at = 0; at < count; at += max) {
        size_t some = count - at < max ? count - at : max;
        left += s_read_some_shown (call, jobs + at, some, jobs + left);
        umbp_lane_rewind (lane, mark);
    }
    return left;
}

//  ------------------------------------------------------------------------------------------------
//  Blocks over there

//  Transfers that read one batch of jobs from one owner
typedef struct {
    umbp_bulk_io_t *ios;
    int *statuses;
    size_t *whose;                      //  Number of the job of each
    size_t count;
} reads_t;

static void s_add_read (reads_t *reads, const umbp_owner_t *owner, const umbp_get_job_t *job,
                        size_t whose, uint64_t offset, const umbp_piece_t *pieces,
                        size_t piece_count, bool want_sum)
{
    reads->ios[reads->count] = (umbp_bulk_io_t){ .token = owner->lease,
                                                 .item = job->number,
                                                  .offset = offset, .pieces = pieces,
                                                  .piece_count = piece_count, .want_sum = want_sum };
    reads->whose[reads->count++] = whose;
}

static reads_t s_reads (umbp_lane_t *lane, size_t max)
{
    return (reads_t) { .ios = umbp_lane_take (lane, max, sizeof (umbp_bulk_io_t)),
                       .statuses = umbp_lane_take (lane, max, sizeof (int)),
                       .whose = umbp_lane_take (lane, max, sizeof (size_t)) };
}

//  Each read gets an outcome. An owner that could not be spoken to has failed, whatever the reason.
static void s_run_reads (umbp_get_call_t *call, reads_t *reads, umbp_owner_t *owner)
{
    const umbp_place_t place = { .node = owner->node,
                                 .bulk = owner->bulk,
                                 .bulk_key = owner->bulk_key };
    owner->failed |=
        umbp_lane_move (call->lane, &place, reads->ios, reads->count, reads->statuses) < 0;
}

//  Whole blocks, straight to where they belong
static void s_finish_whole (umbp_get_call_t *call, umbp_get_job_t *jobs, const reads_t *reads)
{
    for (size_t index = 0; index < reads->count; index++) {
        umbp_get_job_t *job = &jobs[reads->whose[index]];
        bool differs = call->lane->pool->verify && reads->ios[index].sum != job->sum;
        int status = reads->statuses[index];
        *job->status = status != 0 ? status : differs ? UMBP_ECHECKSUM : 0;
    }
}

//  A block of which parts are wanted, with all of it verified: read aside, then copied
static void s_read_aside (umbp_get_call_t *call, umbp_get_job_t *job, umbp_owner_t *owner)
{
    uint8_t *aside = malloc (job->size);
    if (!aside) {
        *job->status = UMBP_ENOSPC;
        return;
    }
    umbp_piece_t piece = { aside, job->size };
    reads_t reads = s_reads (call->lane, 1);
    s_add_read (&reads, owner, job, 0, 0, &piece, 1, false);       //  Summed as it is copied
    s_run_reads (call, &reads, owner);
    *job->status =
        reads.statuses[0] != 0 ? reads.statuses[0] : umbp_get_deliver (call, job, &piece, 1);
    free (aside);
}

//  Nothing but the parts, unverified
static void s_read_parts (umbp_get_call_t *call, umbp_get_job_t *job, umbp_owner_t *owner)
{
    umbp_lane_t *lane = call->lane;
    reads_t reads = s_reads (lane, job->range_count);
    umbp_piece_t *pieces = umbp_lane_take (lane, job->range_count, sizeof *pieces);
    for (size_t index = 0; index < job->range_count; index++) {
        pieces[index] = (umbp_piece_t) { job->ranges[index].base, job->ranges[index].size };
        s_add_read (&reads, owner, job, 0, job->ranges[index].offset, &pieces[index], 1, false);
    }
    s_run_reads (call, &reads, owner);
    int status = 0;
    for (size_t index = 0; index < reads.count && status == 0; index++)
        status = reads.statuses[index];
    *job->status = status;
}

//  All blocks of one owner: the whole ones pipelined, the others one by one
static void s_read_there (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count,
                          umbp_owner_t *owner, uint16_t ref)
{
    umbp_lane_t *lane = call->lane;
    reads_t reads = s_reads (lane, count);
    for (size_t index = 0; index < count; index++) {
        umbp_get_job_t *job = &jobs[index];
        if (job->ref != ref || *job->status != UMBP_GET_OPEN)
            continue;
        umbp_piece_t *to;
        int rc = s_room (lane, job, &to);
        if (rc > 0)
            s_add_read (&reads, owner, job, index, 0, to, (size_t) rc, lane->pool->verify);
        else if (rc < 0)
            *job->status = rc;
        else if (lane->pool->verify)
            s_read_aside (call, job, owner);
        else
            s_read_parts (call, job, owner);
    }
    if (reads.count > 0)
        s_run_reads (call, &reads, owner);
    s_finish_whole (call, jobs, &reads);
}

//  What came after the lease had ended may be anything
static void s_check_there (umbp_get_job_t *jobs, size_t count, const umbp_found_t *found,
                           uint16_t ref)
{
    int64_t took_ms = umbp_clock_ms () - found->asked_ms;
    if (took_ms < (int64_t) found->owners[ref].ttl_ms)
        return;
    for (size_t index = 0; index < count; index++)
        if (jobs[index].ref == ref && *jobs[index].status == 0)
            *jobs[index].status = UMBP_ESTALE;
}

//  The lane goes on as another session: nobody over there knows it
static void s_give_up_there (umbp_get_job_t *jobs, size_t count)
{
    for (size_t index = 0; index < count; index++)
        if (*jobs[index].status == UMBP_GET_OPEN)
            *jobs[index].status = UMBP_ECLOSED;
}

void umbp_get_read_all (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count,
                        umbp_found_t *found)
{
    s_read_all_here (call, jobs, count, found);
    s_check_here (call, jobs, count, found);
    if (call->lane->session != found->session) {
        s_give_up_there (jobs, count);
        return;
    }
    for (size_t ref = 0; ref < found->owner_count; ref++)
        if (!found->owners[ref].memory) {
            s_read_there (call, jobs, count, &found->owners[ref], (uint16_t) ref);
            s_check_there (jobs, count, found, (uint16_t) ref);
        }
}

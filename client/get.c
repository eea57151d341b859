//  client/get.c - getting blocks. A window of keys goes to the router in one message; it answers
//  with the bytes of small blocks, and with leases on the others. Blocks in memory that we have
//  mapped are copied from there, others come through the bulk server of their owner, straight into
//  the caller's buffers. Every byte is summed on its way and compared; what fails is asked for
//  again, with the owner that failed named, so that the router takes another replica if there is
//  one.
#include "client/get.h"

#include <stdlib.h>

#include "client/copies.h"
#include "client/scatter.h"
#include "cluster/bulk/clock.h"

#define OPEN 1                          //  Status of a block without an outcome yet
#define NOT_SHOWN 2                     //  ... that the board does not show
#define TRIES_MAX 3                     //  For one block
#define TOGETHER_MAX 64                 //  Blocks that are copied together
#define AVOID_MAX 16                    //  Owners that failed, which one call remembers
#define INLINE_SHARED_MAX (16u << 10)   //  Where memory is mapped, more is better read there

typedef struct {
    umbp_key_t key;
    const umbp_range_t *ranges;
    size_t range_count;
    bool whole;                         //  One buffer with room for ranges->size bytes of the block
    int *status;
    size_t *size_p;                     //  The caller's: receives the size of the block
    uint64_t size, sum;                 //  Of the block
    uint32_t number;                    //  In its lease
    uint16_t ref;                       //  Owner, or UMBP_NO_REF
    uint8_t tries;
} job_t;

typedef struct {
    umbp_lane_t *lane;
    umbp_way_t way;                     //  To the router
    size_t items_max;                   //  In a message, less after one was too large
    char avoid[AVOID_MAX][UMBP_NAME_MAX + 1];
    size_t avoid_count;
} call_t;

//  ------------------------------------------------------------------------------------------------
//  Give bytes to the caller

//  Buffers that take the whole block in its order, in scratch memory. Returns how many; 0 if the
//  caller wants parts only; UMBP_ETOOBIG or UMBP_EINVAL if it does not fit what was asked for.
static int s_room (umbp_lane_t *lane, const job_t *job, umbp_piece_t **pieces_p)
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

//  From where it lies in our address space. Returns the job's status, or OPEN if a copy is to be made,
//  which gets its pieces; from stays the caller's.
static int s_prepare (call_t *call, const job_t *job, const umbp_piece_t *from, size_t from_count,
                      umbp_copy_t *copy)
{
    umbp_piece_t *to;
    int count = s_room (call->lane, job, &to);
    if (count < 0)
        return count;
    *copy = (umbp_copy_t) { .to = to,
                            .to_count = (size_t) count,
                            .from = from,
                            .from_count = from_count,
                            .size = job->size };
    if (count > 0)
        return OPEN;
    bool verify = call->lane->pool->verify;
    uint64_t sum = verify ? umbp_scatter_sum (from, from_count, job->size) : job->sum;
    for (size_t index = 0; index < job->range_count; index++)
        umbp_scatter_read (from, &job->ranges[index]);
    return sum == job->sum ? 0 : UMBP_ECHECKSUM;
}

//  The status of a job whose copy was made
static int s_judge (const call_t *call, const job_t *job, const umbp_copy_t *copy)
{
    return !call->lane->pool->verify || copy->sum == job->sum ? 0 : UMBP_ECHECKSUM;
}

//  Both at once. Returns the job's status.
static int s_deliver (call_t *call, const job_t *job, const umbp_piece_t *from, size_t from_count)
{
    umbp_copy_t copy;
    int status = s_prepare (call, job, from, from_count, &copy);
    if (status != OPEN)
        return status;
    umbp_copies_run (call->lane, &copy, 1);
    return s_judge (call, job, &copy);
}

//  How many of the jobs are copied together: one after the other, unless they are worth the crew
static size_t s_together (const job_t *jobs, size_t count)
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
    job_t **jobs;
    size_t count, max;
} together_t;

static void s_copy_together (call_t *call, together_t *together)
{
    umbp_copies_run (call->lane, together->copies, together->count);
    for (size_t index = 0; index < together->count; index++) {
        job_t *job = together->jobs[index];
        *job->status = s_judge (call, job, &together->copies[index]);
        if (*job->status == 0)
            call->lane->stats.shm_get_bytes += job->size;
    }
    together->count = 0;
}

static void s_read_here (call_t *call, job_t *job, const umbp_found_t *found, size_t index,
                         size_t row, together_t *together)
{
    umbp_piece_t *from;
    int count = umbp_get_locate (call->lane, found, index, row, &from);
    umbp_copy_t *copy = &together->copies[together->count];
    *job->status = count < 0 ? count : s_prepare (call, job, from, (size_t) count, copy);
    if (*job->status == OPEN)
        together->jobs[together->count++] = job;
    else if (*job->status == 0)
        call->lane->stats.shm_get_bytes += job->size;
}

static void s_read_all_here (call_t *call, job_t *jobs, size_t count, const umbp_found_t *found)
{
    umbp_lane_t *lane = call->lane;
    together_t together = { .max = s_together (jobs, count) };
    together.copies = umbp_lane_take (lane, together.max, sizeof *together.copies);
    together.jobs = umbp_lane_take (lane, together.max, sizeof (job_t *));
    umbp_mark_t mark = umbp_lane_mark (lane);
    size_t row = 0;
    for (size_t index = 0; index < count; index++) {
        job_t *job = &jobs[index];
        if (*job->status == OPEN && found->owners[job->ref].memory)
            s_read_here (call, job, found, index, row, &together);
        row += found->extents.counts.count ? umbp_u16s_at (found->extents.counts, index) : 0;
        if (together.count == together.max || index + 1 == count) {
            s_copy_together (call, &together);
            umbp_lane_rewind (lane, mark);
        }
    }
}

//  The leases were good if the doors they are tied to are open still
static void s_check_here (call_t *call, job_t *jobs, size_t count, umbp_found_t *found)
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
    const umbp_copy_t *copy;            //  If its status is OPEN
    int status;
} shown_t;

//  Returns as s_prepare does, or NOT_SHOWN
static int s_look (call_t *call, job_t *job, const umbp_memory_t *memory, shown_t *shown,
                   umbp_copy_t *copy)
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
static bool s_take_shown (call_t *call, job_t *job, const umbp_memory_t *memory,
                          const shown_t *shown)
{
    umbp_lane_t *lane = call->lane;
    int status = shown->status == OPEN ? s_judge (call, job, shown->copy) : shown->status;
    if (status == NOT_SHOWN || status == UMBP_EPROTO || status == UMBP_ECHECKSUM
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
static size_t s_read_some_shown (call_t *call, job_t *jobs, size_t count, job_t *left)
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
        copied += shown[index].status == OPEN;
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

//  Moves the jobs that are left to the front. Returns how many.
static size_t s_read_all_shown (call_t *call, job_t *jobs, size_t count)
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

static void s_add_read (reads_t *reads, const umbp_owner_t *owner, const job_t *job, size_t whose,
                        uint64_t offset, const umbp_piece_t *pieces, size_t piece_count,
                        bool want_sum)
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
static void s_run_reads (call_t *call, reads_t *reads, umbp_owner_t *owner)
{
    const umbp_place_t place = { .node = owner->node,
                                 .bulk = owner->bulk,
                                 .bulk_key = owner->bulk_key };
    owner->failed |=
        umbp_lane_move (call->lane, &place, reads->ios, reads->count, reads->statuses) < 0;
}

//  Whole blocks, straight to where they belong
static void s_finish_whole (call_t *call, job_t *jobs, const reads_t *reads)
{
    for (size_t index = 0; index < reads->count; index++) {
        job_t *job = &jobs[reads->whose[index]];
        bool differs = call->lane->pool->verify && reads->ios[index].sum != job->sum;
        int status = reads->statuses[index];
        *job->status = status != 0 ? status : differs ? UMBP_ECHECKSUM : 0;
    }
}

//  A block of which parts are wanted, with all of it verified: read aside, then copied
static void s_read_aside (call_t *call, job_t *job, umbp_owner_t *owner)
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
    *job->status = reads.statuses[0] != 0 ? reads.statuses[0] : s_deliver (call, job, &piece, 1);
    free (aside);
}

//  Nothing but the parts, unverified
static void s_read_parts (call_t *call, job_t *job, umbp_owner_t *owner)
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
static void s_read_there (call_t *call, job_t *jobs, size_t count, umbp_owner_t *owner,
                          uint16_t ref)
{
    umbp_lane_t *lane = call->lane;
    reads_t reads = s_reads (lane, count);
    for (size_t index = 0; index < count; index++) {
        job_t *job = &jobs[index];
        if (job->ref != ref || *job->status != OPEN)
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
static void s_check_there (job_t *jobs, size_t count, const umbp_found_t *found, uint16_t ref)
{
    int64_t took_ms = umbp_clock_ms () - found->asked_ms;
    if (took_ms < (int64_t) found->owners[ref].ttl_ms)
        return;
    for (size_t index = 0; index < count; index++)
        if (jobs[index].ref == ref && *jobs[index].status == 0)
            *jobs[index].status = UMBP_ESTALE;
}

//  ------------------------------------------------------------------------------------------------
//  One message to the router

//  What the router said of one block. Returns false if it comes as payload that is not there.
static bool s_take_status (call_t *call, job_t *job, const umbp_found_t *found, size_t index,
                           size_t *payload_at)
{
    const umbp_msg_get_ok_t *msg = found->msg;
    int status = umbp_s8s_at (msg->statuses, index);
    job->ref = UMBP_NO_REF;
    *job->status = status > 0 ? UMBP_EPROTO : status;
    if (status != 0)
        return true;
    job->size = umbp_u32s_at (msg->sizes, index);
    job->sum = umbp_u64s_at (msg->sums, index);
    uint16_t ref = msg->refs.count ? umbp_u16s_at (msg->refs, index) : UMBP_NO_REF;
    if (ref == UMBP_NO_REF) {
        if (job->size > found->payload_size - *payload_at)
            return false;
        umbp_piece_t from = { (uint8_t *) found->payload + *payload_at, job->size };
        *payload_at += job->size;
        *job->status = s_deliver (call, job, &from, 1);
        if (*job->status == 0)
            call->lane->stats.inline_get_bytes += job->size;
        return true;
    }
    bool named = ref < found->owner_count && job->size > 0 && job->size <= UMBP_BLOCK_MAX
                 && found->owners[ref].lease && found->owners[ref].actor;
    *job->status = named ? OPEN : UMBP_EPROTO;
    job->ref = named ? ref : UMBP_NO_REF;
    job->number = msg->items.count ? umbp_u32s_at (msg->items, index) : 0;
    return true;
}

static void s_fail (job_t *jobs, size_t count, int status)
{
    for (size_t index = 0; index < count; index++)
        *jobs[index].status = status;
}

static void s_read_all (call_t *call, job_t *jobs, size_t count, umbp_found_t *found)
{
    s_read_all_here (call, jobs, count, found);
    s_check_here (call, jobs, count, found);
    for (size_t ref = 0; ref < found->owner_count; ref++)
        if (!found->owners[ref].memory) {
            s_read_there (call, jobs, count, &found->owners[ref], (uint16_t) ref);
            s_check_there (jobs, count, found, (uint16_t) ref);
        }
}

//  Remember an owner that failed us; the oldest is forgotten for it
static void s_avoid (call_t *call, const char *node)
{
    for (size_t index = 0; index < call->avoid_count && index < AVOID_MAX; index++)
        if (streq (call->avoid[index], node))
            return;
    snprintf (call->avoid[call->avoid_count++ % AVOID_MAX], sizeof *call->avoid, "%s", node);
}

//  Let go of the leases, and remember who failed
static void s_release_all (call_t *call, const job_t *jobs, size_t count, umbp_found_t *found)
{
    for (size_t index = 0; index < count; index++)
        if (jobs[index].ref != UMBP_NO_REF && *jobs[index].status == UMBP_ECHECKSUM)
            found->owners[jobs[index].ref].failed = true;
    for (size_t ref = 0; ref < found->owner_count; ref++) {
        umbp_owner_t *owner = &found->owners[ref];
        umbp_get_release (call->lane, owner);
        if (owner->failed) {
            s_avoid (call, owner->node);
            call->lane->doubts = true;
        } else if (!owner->memory && owner->actor)
            umbp_memory_attach (call->lane, owner->actor, owner->node);        //  Faster from next time on
    }
}

static void s_follow (call_t *call, job_t *jobs, size_t count, umbp_found_t *found)
{
    size_t payload_at = 0;
    bool fits = true;
    for (size_t index = 0; index < count && fits; index++)
        fits = s_take_status (call, &jobs[index], found, index, &payload_at);
    if (fits)
        s_read_all (call, jobs, count, found);
    else
        s_fail (jobs, count, UMBP_EPROTO);
    for (size_t index = 0; index < count; index++)
        if (jobs[index].size > 0
            && (*jobs[index].status == 0 || *jobs[index].status == UMBP_ETOOBIG))
            *jobs[index].size_p = jobs[index].size;
    s_release_all (call, jobs, count, found);
}

//  How many bytes may come as payload: what was asked for, if that is little
static size_t s_inline_max (call_t *call, const job_t *jobs, size_t count)
{
    uint64_t room = 0;
    for (size_t index = 0; index < count; index++) {
        if (!jobs[index].whole)
            return 0;                   //  Who wants parts may have large blocks
        room += jobs[index].ranges->size;
    }
    bool shared = umbp_memory_of (call->lane, UMBP_SHARED_ACTOR, call->lane->pool->node);
    return room <= (shared ? INLINE_SHARED_MAX : UMBP_INLINE_MAX) ? (size_t) room : 0;
}

static const umbp_column_t *s_avoided (call_t *call, umbp_column_t *column)
{
    umbp_key_t names[AVOID_MAX];
    size_t count = call->avoid_count < AVOID_MAX ? call->avoid_count : AVOID_MAX;
    for (size_t index = 0; index < count; index++)
        names[index] = (umbp_key_t) { call->avoid[index], strlen (call->avoid[index]) };
    *column = umbp_key_column (call->lane, names, sizeof *names, NULL, count);
    return count > 0 ? column : NULL;
}

//  Returns how many jobs it dealt with, 0 if the message was too large and a smaller one is to be
//  tried
static size_t s_get_message (call_t *call, job_t *jobs, size_t count)
{
    umbp_mark_t mark = umbp_lane_mark (call->lane);
    umbp_found_t found;
    umbp_column_t avoid;
    int rc = umbp_get_ask (call->lane, call->way, &jobs->key, sizeof *jobs, count,
                           s_inline_max (call, jobs, count), s_avoided (call, &avoid), &found);
    if (rc == 0)
        s_follow (call, jobs, count, &found);
    else if (umbp_batch_shrink (rc, &call->way, &call->items_max, count))
        count = 0;
    else
        s_fail (jobs, count, rc);
    umbp_lane_rewind (call->lane, mark);
    return count;
}

//  ------------------------------------------------------------------------------------------------
//  Windows and tries

//  Move the jobs that shall be tried again to the front. Returns how many.
static size_t s_keep_open (call_t *call, job_t *jobs, size_t count)
{
    size_t open = 0;
    for (size_t index = 0; index < count; index++) {
        job_t *job = &jobs[index];
        call->lane->stats.stale += *job->status == UMBP_ESTALE;
        call->lane->stats.checksum_errors += *job->status == UMBP_ECHECKSUM;
        if (!umbp_is_passing (*job->status))
            continue;
        if (*job->status != UMBP_EAGAIN && ++job->tries == TRIES_MAX)
            continue;
        if (open != index)
            jobs[open] = *job;
        open++;
    }
    return open;
}

static void s_get_window (call_t *call, job_t *jobs, size_t count)
{
    count = s_read_all_shown (call, jobs, count);
    for (unsigned tries = 0; count > 0; tries++) {
        for (size_t at = 0; at < count;) {
            size_t taken = umbp_window (call->lane, &jobs[at].key, sizeof *jobs, count - at);
            taken = taken < call->items_max ? taken : call->items_max;
            assert (taken > 0 && taken <= count - at);
            at += s_get_message (call, jobs + at, taken);
        }
        count = s_keep_open (call, jobs, count);
        if (count == 0 || umbp_lane_left (call->lane) == 0)
            return;
        call->lane->stats.retries += count;
        umbp_lane_pause (call->lane, tries);
    }
}

//  ------------------------------------------------------------------------------------------------
//  What callers see

//  Make a job of an item of the caller's. Returns 0, or why it cannot be one.
typedef int (make_fn) (umbp_lane_t *lane, void *item, job_t *job);

static size_t s_make_window (call_t *call, const umbp_items_t *items, size_t *next_p, make_fn *make,
                             job_t *jobs)
{
    size_t count = 0;
    uint64_t bytes = 0;
    while (*next_p < items->count && count < UMBP_WINDOW_ITEMS && bytes < UMBP_WINDOW_BYTES) {
        job_t *job = &jobs[count];
        size_t index = (*next_p)++;
        *job = (job_t) { .status = umbp_items_status (items, index) };
        *job->status = make (call->lane, umbp_items_at (items, index), job);
        if (*job->status != 0)
            continue;
        *job->status = OPEN;
        for (size_t range = 0; range < job->range_count; range++)
            bytes += job->ranges[range].size;
        count++;
    }
    return count;
}

static int s_get (umbp_t *self, const umbp_items_t *items, make_fn *make, uint32_t timeout_ms)
{
    call_t call = { .items_max = UMBP_WINDOW_ITEMS };
    if (!items->items)
        return items->count ? UMBP_EINVAL : 0;
    int rc = umbp_pool_enter (self, timeout_ms, &call.lane);
    if (rc != 0)
        return umbp_items_fail (items, rc);
    umbp_mark_t mark = umbp_lane_mark (call.lane);
    for (size_t next = 0; next < items->count;) {
        job_t *jobs = umbp_lane_take (call.lane, UMBP_WINDOW_ITEMS, sizeof *jobs);
        size_t count = s_make_window (&call, items, &next, make, jobs);
        s_get_window (&call, jobs, count);
        umbp_lane_rewind (call.lane, mark);
    }
    umbp_stats_t *stats = &call.lane->stats;
    stats->gets += items->count;
    stats->hits += umbp_items_count (items, UMBP_OK);
    stats->misses += umbp_items_count (items, UMBP_ENOENT);
    umbp_pool_leave (self, &call.lane);
    return umbp_items_result (items);
}

static int s_make_whole (umbp_lane_t *lane, void *item_p, job_t *job)
{
    umbp_item_t *item = item_p;
    if (umbp_key_check (&item->key, UMBP_KEY_MAX) != 0 || (!item->data && item->size > 0))
        return UMBP_EINVAL;
    umbp_range_t *range = umbp_lane_take (lane, 1, sizeof *range);
    *range = (umbp_range_t) { item->data, item->size, 0 };
    job->key = item->key;
    job->ranges = range;
    job->range_count = 1;
    job->whole = true;
    job->size_p = &item->size;
    return 0;
}

static int s_make_scattered (umbp_lane_t *lane, void *item_p, job_t *job)
{
    (void) lane;
    umbp_vec_t *item = item_p;
    if (umbp_key_check (&item->key, UMBP_KEY_MAX) != 0 || item->range_count > UMBP_RANGES_MAX
        || (!item->ranges && item->range_count > 0))
        return UMBP_EINVAL;
    job->key = item->key;
    job->ranges = item->ranges;
    job->range_count = item->range_count;
    job->size_p = &item->size;
    return 0;
}

int umbp_get_batch (umbp_t *self, umbp_item_t *items, size_t count, uint32_t timeout_ms)
{
    const umbp_items_t all = { items, count, sizeof *items, offsetof (umbp_item_t, status) };
    return s_get (self, &all, s_make_whole, timeout_ms);
}

int umbp_get_v (umbp_t *self, umbp_vec_t *items, size_t count, uint32_t timeout_ms)
{
    const umbp_items_t all = { items, count, sizeof *items, offsetof (umbp_vec_t, status) };
    return s_get (self, &all, s_make_scattered, timeout_ms);
}

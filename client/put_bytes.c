//  client/put_bytes.c - how the bytes of blocks come into their slots: those in memory that we have mapped are filled right
//  there, those elsewhere through the bulk servers of their nodes. They are summed on their way.
#include "client/put_self.h"

#include "client/copies.h"

#define TOGETHER_MAX 64                 //  Slots that are filled together

//  Where a job's bytes go. Returns whether they can; if not the job has its status.
static bool s_aim (umbp_put_call_t *call, umbp_put_job_t *job, const umbp_put_group_t *group,
                   const umbp_extents_t *extents, size_t row, size_t rows, umbp_copy_t *copy)
{
    umbp_piece_t *pieces = umbp_lane_take (call->lane, rows, sizeof *pieces);
    int count =
        group->page_size == group->memory->page_size
            ? umbp_memory_locate (group->memory, true, extents, row, rows, job->size, pieces)
            : UMBP_EPROTO;
    if (count < 0) {
        *job->status = count;
        return false;
    }
    *copy = (umbp_copy_t) { .to = pieces,
                            .to_count = (size_t) count,
                            .from = job->pieces,
                            .from_count = job->piece_count,
                            .size = job->size };
    return true;
}

static void s_fill_together (umbp_put_call_t *call, umbp_put_job_t **jobs, umbp_copy_t *copies,
                             size_t count)
{
    umbp_copies_run (call->lane, copies, count);
    for (size_t index = 0; index < count; index++) {
        if (copies[index].rc != 0) {    //  Of its device: the slot is let go of
            *jobs[index]->status = copies[index].rc;
            continue;
        }
        jobs[index]->sum = copies[index].sum;
        jobs[index]->written = true;
        call->lane->stats.shm_put_bytes += copies[index].size;
    }
}

size_t umbp_put_fill_here (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t first, size_t end,
                           const umbp_put_group_t *groups, const umbp_extents_t *extents,
                           size_t row)
{
    umbp_lane_t *lane = call->lane;
    umbp_copy_t *copies = umbp_lane_take (lane, TOGETHER_MAX, sizeof *copies);
    umbp_put_job_t **whose = umbp_lane_take (lane, TOGETHER_MAX, sizeof (umbp_put_job_t *));
    umbp_mark_t mark = umbp_lane_mark (lane);
    size_t used = 0;
    for (size_t index = first; index < end; index++) {
        umbp_put_job_t *job = &jobs[index];
        size_t rows = extents->counts.count ? umbp_u16s_at (extents->counts, index) : 0;
        if (job->slot && groups[job->ref].memory) {
            whose[used] = job;
            used += s_aim (call, job, &groups[job->ref], extents, row, rows, &copies[used]);
        }
        row += rows;
        if (used == TOGETHER_MAX || index + 1 == end) {
            s_fill_together (call, whose, copies, used);
            umbp_lane_rewind (lane, mark);
            used = 0;
        }
    }
    return row;
}

//  All slots of one node, by RDMA or tcp, pipelined
void umbp_put_fill_there (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t count,
                          const umbp_put_group_t *group, uint16_t ref)
{
    umbp_bulk_io_t *ios = umbp_lane_take (call->lane, count, sizeof *ios);
    int *statuses = umbp_lane_take (call->lane, count, sizeof *statuses);
    size_t *whose = umbp_lane_take (call->lane, count, sizeof *whose), used = 0;
    for (size_t index = 0; index < count; index++) {
        const umbp_put_job_t *job = &jobs[index];
        if (!job->slot || job->ref != ref)
            continue;
        ios[used] = (umbp_bulk_io_t){ .token = job->slot,
                                      .pieces = job->pieces,
                                       .piece_count = job->piece_count, .want_sum = true };
        whose[used++] = index;
    }
    if (used == 0)
        return;
    const umbp_place_t place = { .node = group->node,
                                 .bulk = group->bulk,
                                 .bulk_key = group->bulk_key, .write = true };
    umbp_lane_move (call->lane, &place, ios, used, statuses);
    for (size_t index = 0; index < used; index++) {
        umbp_put_job_t *job = &jobs[whose[index]];
        job->written = statuses[index] == 0;
        job->sum = ios[index].sum;
        if (!job->written)
            *job->status = statuses[index];
    }
}

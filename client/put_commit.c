//  client/put_commit.c - the end of a put: tier managers are told which slots are filled, and with what checksums, and those
//  that are not are given back. All nodes at once, and several slices of what one node was given.
#include "client/put_self.h"

//  Name the slots of one node that were written, or those that were not. Returns how many.
static size_t s_slots (umbp_lane_t *lane, const umbp_put_job_t *jobs, size_t count, uint16_t ref,
                       bool written, uint64_t **slots_p, uint64_t **sums_p)
{
    uint64_t *slots = umbp_lane_take (lane, count, sizeof *slots);
    uint64_t *sums = umbp_lane_take (lane, count, sizeof *sums);
    size_t used = 0;
    for (size_t index = 0; index < count; index++) {
        const umbp_put_job_t *job = &jobs[index];
        if (!job->slot || job->ref != ref || job->written != written)
            continue;
        slots[used] = job->slot;
        sums[used++] = job->sum;
    }
    *slots_p = slots;
    *sums_p = sums;
    return used;
}

//  Memory is written through a door, and committed through the same: see memory.c
static umbp_way_t s_way (const umbp_put_group_t *group)
{
    return group->memory ? UMBP_WAY_DOOR : UMBP_WAY_ANY;
}

static void s_settle (const umbp_put_commit_t *commit, const umbp_s8s_t *statuses, int rc)
{
    size_t row = 0;
    for (size_t index = 0; index < commit->count; index++) {
        umbp_put_job_t *job = &commit->jobs[index];
        if (job->slot && job->ref == commit->ref && job->written)
            *job->status = rc != 0 ? rc : umbp_s8s_at (*statuses, row++);
    }
}

void umbp_put_abort (umbp_put_call_t *call, const umbp_put_job_t *jobs, size_t count,
                     const umbp_put_group_t *group, uint16_t ref)
{
    umbp_msg_t msg;
    uint64_t *slots, *sums;
    size_t used = s_slots (call->lane, jobs, count, ref, false, &slots, &sums);
    if (used == 0)
        return;
    umbp_msg_init (&msg, UMBP_MSG_abort, 0);
    msg.call = call->id;
    msg.abort.slots = (umbp_u64s_t) { slots, (uint32_t) used };
    umbp_wire_tell (call->lane, s_way (group), group->actor, group->node, &msg);
}

void umbp_put_commit (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t count,
                      const umbp_put_group_t *group, uint16_t ref, umbp_put_commits_t *commits)
{
    umbp_lane_t *lane = call->lane;
    umbp_msg_t msg;
    uint64_t *slots, *sums;
    umbp_put_abort (call, jobs, count, group, ref);
    size_t written = s_slots (lane, jobs, count, ref, true, &slots, &sums);
    if (written == 0)
        return;
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.call = call->id;
    msg.commit.slots = (umbp_u64s_t) { slots, (uint32_t) written };
    msg.commit.sums = (umbp_u64s_t) { sums, (uint32_t) written };
    msg.commit.nowait = call->options.nowait;
    int rc = umbp_wire_send (lane, s_way (group), group->actor, group->node, &msg, NULL, 0,
                             umbp_lane_slice (lane, 0));
    umbp_put_commit_t commit = { msg.id, jobs, count, written, ref };
    if (rc != 0)
        s_settle (&commit, NULL, rc);
    else
        commits->list[commits->count++] = commit;
    if (call->options.nowait)
        umbp_pool_note_unheard (lane->pool, group->node);
}

void umbp_put_count_missing (umbp_put_call_t *call, const umbp_u8s_t *missing)
{
    for (size_t index = 0; index < missing->count; index++)
        call->lane->stats.replicas_missing += umbp_u8s_at (*missing, index);
}

static void s_take_commit (umbp_put_call_t *call, umbp_put_commits_t *commits,
                           const umbp_answer_t *answer)
{
    for (size_t index = 0; index < commits->count; index++) {
        const umbp_put_commit_t *commit = &commits->list[index];
        if (commit->question != answer->id)
            continue;
        const umbp_s8s_t *statuses = &answer->msg.commit_ok.statuses;
        int rc = answer->status;
        if (rc == 0
            && (answer->msg.type != UMBP_MSG_commit_ok || statuses->count != commit->written))
            rc = UMBP_EPROTO;
        s_settle (commit, statuses, rc);
        if (rc == 0)
            umbp_put_count_missing (call, &answer->msg.commit_ok.missing);
        commits->list[index] = commits->list[--commits->count];
        return;
    }
}

void umbp_put_commits_wait (umbp_put_call_t *call, umbp_put_commits_t *commits)
{
    umbp_lane_t *lane = call->lane;
    int64_t deadline_ms = umbp_lane_slice (lane, 0);
    while (lane->question_count > 0) {
        const umbp_answer_t *answer = umbp_wire_wait (lane, deadline_ms);
        if (!answer)
            break;
        s_take_commit (call, commits, answer);
    }
    for (size_t index = 0; index < commits->count; index++) {
        lane->stats.timeouts++;
        s_settle (&commits->list[index], NULL, UMBP_ETIMEDOUT);
        umbp_lane_renew (lane);         //  Whether its slots are still ours is not known
    }
}

//  client/put.c - putting blocks. A window of blocks goes to the router in one message, small ones
//  as payload. For the others the router names slots: those in memory that we have mapped are
//  filled right there, those elsewhere through the bulk servers of their nodes; then each tier
//  manager is told which are filled, and with what checksum. What fails for a passing reason goes
//  to the router again, until the deadline.
#include "client/batch.h"
#include "client/copies.h"
#include "client/scatter.h"
#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"

#define OPEN 1                          //  Status of a block without an outcome yet
#define TRIES_MAX 4                     //  For one block, not counting those when the pool was full
#define PIECES_MAX 65536                //  In a window
#define TOGETHER_MAX 64                 //  Slots that are filled together
#define INLINE_SHARED_MAX (32u << 10)   //  Where memory is mapped, more is better written there

typedef struct {
    umbp_key_t key;
    const umbp_piece_t *pieces;
    size_t piece_count;
    uint64_t size, sum, slot;
    int *status;                        //  The caller's
    uint16_t depth, ref;
    uint8_t tries;
    bool written;
} job_t;

//  A node that gave slots, one row of put_ok.nodes
typedef struct {
    const char *node, *bulk, *actor;
    const uint8_t *bulk_key;            //  Of our session there, NULL: it gave none
    umbp_memory_t *memory;              //  Where its slots are, NULL: over there
    uint32_t page_size;
    uint64_t question;                  //  Our commit, 0: none
    size_t written;
} group_t;

typedef struct {
    umbp_lane_t *lane;
    umbp_put_options_t options;
    umbp_way_t way;                     //  To the router
    size_t items_max;                   //  In a message, less after one was too large
    uint64_t id;                        //  Of this call in the logs of nodes, as the router says; 0 yet
    bool full;                          //  The deadline was spent waiting for room
    int64_t full_until_ms;              //  End of waiting for room; 0: there is enough, or no end
} call_t;

//  ------------------------------------------------------------------------------------------------
//  Fill slots

//  Where a job's bytes go. Returns whether they can; if not the job has its status.
static bool s_aim (call_t *call, job_t *job, const group_t *group, const umbp_extents_t *extents,
                   size_t row, size_t rows, umbp_copy_t *copy)
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

static void s_fill_together (call_t *call, job_t **jobs, umbp_copy_t *copies, size_t count)
{
    umbp_copies_run (call->lane, copies, count);
    for (size_t index = 0; index < count; index++) {
        jobs[index]->sum = copies[index].sum;
        jobs[index]->written = true;
        call->lane->stats.shm_put_bytes += copies[index].size;
    }
}

static void s_fill_all_here (call_t *call, job_t *jobs, size_t count, const group_t *groups,
                             const umbp_extents_t *extents)
{
    umbp_lane_t *lane = call->lane;
    umbp_copy_t *copies = umbp_lane_take (lane, TOGETHER_MAX, sizeof *copies);
    job_t **whose = umbp_lane_take (lane, TOGETHER_MAX, sizeof (job_t *));
    umbp_mark_t mark = umbp_lane_mark (lane);
    size_t row = 0, used = 0;
    for (size_t index = 0; index < count; index++) {
        job_t *job = &jobs[index];
        size_t rows = extents->counts.count ? umbp_u16s_at (extents->counts, index) : 0;
        if (job->slot && groups[job->ref].memory) {
            whose[used] = job;
            used += s_aim (call, job, &groups[job->ref], extents, row, rows, &copies[used]);
        }
        row += rows;
        if (used == TOGETHER_MAX || index + 1 == count) {
            s_fill_together (call, whose, copies, used);
            umbp_lane_rewind (lane, mark);
            used = 0;
        }
    }
}

//  All slots of one node, by RDMA or tcp, pipelined
static void s_fill_there (call_t *call, job_t *jobs, size_t count, const group_t *group,
                          uint16_t ref)
{
    umbp_bulk_io_t *ios = umbp_lane_take (call->lane, count, sizeof *ios);
    int *statuses = umbp_lane_take (call->lane, count, sizeof *statuses);
    size_t *whose = umbp_lane_take (call->lane, count, sizeof *whose), used = 0;
    for (size_t index = 0; index < count; index++) {
        const job_t *job = &jobs[index];
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
        job_t *job = &jobs[whose[index]];
        job->written = statuses[index] == 0;
        job->sum = ios[index].sum;
        if (!job->written)
            *job->status = statuses[index];
    }
}

//  ------------------------------------------------------------------------------------------------
//  Commit

//  Name the slots of one node that were written, or those that were not. Returns how many.
static size_t s_slots (umbp_lane_t *lane, const job_t *jobs, size_t count, uint16_t ref,
                       bool written, uint64_t **slots_p, uint64_t **sums_p)
{
    uint64_t *slots = umbp_lane_take (lane, count, sizeof *slots);
    uint64_t *sums = umbp_lane_take (lane, count, sizeof *sums);
    size_t used = 0;
    for (size_t index = 0; index < count; index++) {
        const job_t *job = &jobs[index];
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
static umbp_way_t s_way (const group_t *group)
{
    return group->memory ? UMBP_WAY_DOOR : UMBP_WAY_ANY;
}

static void s_settle (job_t *jobs, size_t count, uint16_t ref, const umbp_s8s_t *statuses, int rc)
{
    size_t row = 0;
    for (size_t index = 0; index < count; index++)
        if (jobs[index].slot && jobs[index].ref == ref && jobs[index].written)
            *jobs[index].status = rc != 0 ? rc : umbp_s8s_at (*statuses, row++);
}

static void s_send_commit (call_t *call, job_t *jobs, size_t count, group_t *group, uint16_t ref)
{
    umbp_lane_t *lane = call->lane;
    umbp_msg_t msg;
    uint64_t *slots, *sums;
    size_t used = s_slots (lane, jobs, count, ref, false, &slots, &sums);
    if (used > 0) {
        umbp_msg_init (&msg, UMBP_MSG_abort, 0);
        msg.call = call->id;
        msg.abort.slots = (umbp_u64s_t) { slots, (uint32_t) used };
        umbp_wire_tell (lane, s_way (group), group->actor, group->node, &msg);
    }
    group->written = s_slots (lane, jobs, count, ref, true, &slots, &sums);
    if (group->written == 0)
        return;
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.call = call->id;
    msg.commit.slots = (umbp_u64s_t) { slots, (uint32_t) group->written };
    msg.commit.sums = (umbp_u64s_t) { sums, (uint32_t) group->written };
    msg.commit.nowait = call->options.nowait;
    int rc = umbp_wire_send (lane, s_way (group), group->actor, group->node, &msg, NULL, 0,
                             umbp_lane_slice (lane, 0));
    if (rc != 0)
        s_settle (jobs, count, ref, NULL, rc);
    else
        group->question = msg.id;
    if (call->options.nowait)
        umbp_pool_note_unheard (lane->pool, group->node);
}

//  Of stored blocks, the copies that could not be made
static void s_count_missing (call_t *call, const umbp_u8s_t *missing)
{
    for (size_t index = 0; index < missing->count; index++)
        call->lane->stats.replicas_missing += umbp_u8s_at (*missing, index);
}

static void s_take_commit (call_t *call, job_t *jobs, size_t count, group_t *groups,
                           size_t group_count, const umbp_answer_t *answer)
{
    for (size_t ref = 0; ref < group_count; ref++) {
        group_t *group = &groups[ref];
        if (group->question != answer->id)
            continue;
        const umbp_s8s_t *statuses = &answer->msg.commit_ok.statuses;
        int rc = answer->status;
        if (rc == 0
            && (answer->msg.type != UMBP_MSG_commit_ok || statuses->count != group->written))
            rc = UMBP_EPROTO;
        s_settle (jobs, count, (uint16_t) ref, statuses, rc);
        if (rc == 0)
            s_count_missing (call, &answer->msg.commit_ok.missing);
        group->question = 0;
        return;
    }
}

//  All nodes at once
static void s_commit (call_t *call, job_t *jobs, size_t count, group_t *groups, size_t group_count)
{
    umbp_lane_t *lane = call->lane;
    int64_t deadline_ms = umbp_lane_slice (lane, 0);
    for (size_t ref = 0; ref < group_count; ref++)
        s_send_commit (call, jobs, count, &groups[ref], (uint16_t) ref);
    while (lane->question_count > 0) {
        const umbp_answer_t *answer = umbp_wire_wait (lane, deadline_ms);
        if (!answer)
            break;
        s_take_commit (call, jobs, count, groups, group_count, answer);
    }
    for (size_t ref = 0; ref < group_count; ref++)
        if (groups[ref].question) {
            lane->stats.timeouts++;
            s_settle (jobs, count, (uint16_t) ref, NULL, UMBP_ETIMEDOUT);
            umbp_lane_renew (lane);     //  Whether its slots are still ours is not known
        }
}

//  ------------------------------------------------------------------------------------------------
//  One message to the router

//  Whether its columns fit each other
static bool s_is_whole (const umbp_msg_put_ok_t *msg, const umbp_extents_t *extents, size_t count)
{
    size_t nodes = msg->nodes.count;
    bool rows = msg->refs.count == 0 || msg->refs.count == count;
    bool slots = msg->slots.count == 0 || (msg->slots.count == count && msg->refs.count == count);
    bool tables = nodes == 0
                  || ((msg->bulks.count == 0 || msg->bulks.count == nodes)
                      && (msg->tiers.count == 0 || msg->tiers.count == nodes)
                      && (msg->page_sizes.count == 0 || msg->page_sizes.count == nodes));
    return msg->statuses.count == count && rows && slots && tables && nodes <= UMBP_NODES_MAX
           && (extents->counts.count == 0 || umbp_extents_are_whole (extents, count));
}

static group_t *s_groups (umbp_lane_t *lane, const umbp_msg_put_ok_t *msg)
{
    group_t *groups = umbp_lane_take (lane, msg->nodes.count, sizeof *groups);
    for (size_t ref = 0; ref < msg->nodes.count; ref++) {
        unsigned tier = msg->tiers.count ? umbp_u8s_at (msg->tiers, ref) : UMBP_TIER_DRAM;
        group_t *group = &groups[ref];
        *group = (group_t){ .node = umbp_column_text (lane, &msg->nodes, ref),
                            .bulk = "",
                             .actor = umbp_tier_actor (tier) };
        if (msg->bulks.count)
            group->bulk = umbp_column_text (lane, &msg->bulks, ref);
        group->bulk_key = umbp_lane_bulk_key (lane, msg->bulk_keys, ref);
        group->memory = umbp_memory_of (lane, group->actor, group->node);
        group->page_size = msg->page_sizes.count ? umbp_u32s_at (msg->page_sizes, ref) : 0;
    }
    return groups;
}

//  What the router said of one block
static void s_take_status (call_t *call, job_t *job, const umbp_msg_put_ok_t *msg, size_t index,
                           bool inlined, const group_t *groups)
{
    int status = umbp_s8s_at (msg->statuses, index);
    uint16_t ref = msg->refs.count ? umbp_u16s_at (msg->refs, index) : UMBP_NO_REF;
    bool named = ref < msg->nodes.count;
    *job->status = status > 0 ? UMBP_EPROTO : status;
    if (status != 0)
        return;
    if (inlined) {
        call->lane->stats.inline_put_bytes += job->size;
        if (call->options.nowait)
            umbp_pool_note_unheard (call->lane->pool, named ? groups[ref].node : NULL);
        return;
    }
    job->slot = msg->slots.count ? umbp_u64s_at (msg->slots, index) : 0;
    job->ref = ref;
    if (!job->slot || !named || !groups[ref].actor) {
        job->slot = 0;
        *job->status = UMBP_EPROTO;
    }
}

//  Read the answer, fill what it names, commit
static void s_follow (call_t *call, job_t *jobs, size_t count, bool inlined,
                      const umbp_answer_t *answer)
{
    const umbp_msg_put_ok_t *msg = &answer->msg.put_ok;
    umbp_pool_note_strain (call->lane->pool, (unsigned) msg->level);
    umbp_extents_t extents = { msg->extent_counts, msg->regions, msg->pages, msg->page_counts,
                               msg->generations };
    if (!s_is_whole (msg, &extents, count)) {
        for (size_t index = 0; index < count; index++)
            *jobs[index].status = UMBP_EPROTO;
        return;
    }
    size_t group_count = msg->nodes.count;
    call->id = answer->msg.call;
    group_t *groups = s_groups (call->lane, msg);
    for (size_t index = 0; index < count; index++)
        s_take_status (call, &jobs[index], msg, index, inlined, groups);
    if (inlined) {
        s_count_missing (call, &msg->missing);
        return;
    }
    s_fill_all_here (call, jobs, count, groups, &extents);
    for (size_t ref = 0; ref < group_count; ref++)
        if (!groups[ref].memory)
            s_fill_there (call, jobs, count, &groups[ref], (uint16_t) ref);
    s_commit (call, jobs, count, groups, group_count);
    for (size_t ref = 0; ref < group_count; ref++)
        if (!groups[ref].memory && groups[ref].actor)                  //  Faster from next time on
            umbp_memory_attach (call->lane, groups[ref].actor, groups[ref].node);
}

//  Whether the blocks come along as payload: one round trip, but more copies on the way than into
//  memory that is mapped
static bool s_is_inline (call_t *call, const job_t *jobs, size_t count)
{
    uint64_t bytes = 0;
    for (size_t index = 0; index < count; index++)
        bytes += jobs[index].size;
    bool shared = umbp_memory_of (call->lane, UMBP_SHARED_ACTOR, call->lane->pool->node);
    return bytes <= (shared ? INLINE_SHARED_MAX : UMBP_INLINE_MAX);
}

static const uint8_t *s_payload (umbp_lane_t *lane, job_t *jobs, size_t count, size_t *size_p)
{
    uint64_t size = 0;
    for (size_t index = 0; index < count; index++)
        size += jobs[index].size;
    uint8_t *payload = umbp_lane_take (lane, size, 1), *at = payload;
    for (size_t index = 0; index < count; index++) {
        umbp_piece_t room = { at, jobs[index].size };
        jobs[index].sum = umbp_scatter_copy (&room, 1, jobs[index].pieces, jobs[index].piece_count,
                                             jobs[index].size);
        at += jobs[index].size;
    }
    *size_p = size;
    return payload;
}

static void s_fill_message (call_t *call, const job_t *jobs, size_t count, bool inlined,
                            umbp_msg_t *msg)
{
    umbp_lane_t *lane = call->lane;
    uint32_t *sizes = umbp_lane_take (lane, count, sizeof *sizes);
    uint64_t *sums = umbp_lane_take (lane, count, sizeof *sums);
    uint16_t *depths = umbp_lane_take (lane, count, sizeof *depths);
    bool deep = false;
    for (size_t index = 0; index < count; index++) {
        sizes[index] = (uint32_t) jobs[index].size;
        sums[index] = jobs[index].sum;
        depths[index] = jobs[index].depth;
        deep |= jobs[index].depth > 0;
    }
    umbp_msg_init (msg, UMBP_MSG_put, 0);
    msg->put.session = lane->session;
    msg->put.keys = umbp_key_column (lane, &jobs->key, sizeof *jobs, NULL, count);
    msg->put.sizes = (umbp_u32s_t) { sizes, (uint32_t) count };
    if (inlined)
        msg->put.sums = (umbp_u64s_t) { sums, (uint32_t) count };
    if (deep)
        msg->put.depths = (umbp_u16s_t) { depths, (uint32_t) count };
    msg->put.strategy = (uint64_t) call->options.strategy;
    msg->put.tier = call->options.tier;
    msg->put.nowait = call->options.nowait;
    msg->put.replicas = call->options.replicas;
    msg->put.hint = call->options.hint;
}

//  Returns how many jobs it dealt with, 0 if the message was too large and a smaller one is to be
//  tried
static size_t s_put_message (call_t *call, job_t *jobs, size_t count)
{
    umbp_lane_t *lane = call->lane;
    umbp_mark_t mark = umbp_lane_mark (lane);
    bool inlined = s_is_inline (call, jobs, count);
    size_t payload_size = 0;
    const uint8_t *payload = inlined ? s_payload (lane, jobs, count, &payload_size) : NULL;
    umbp_msg_t msg;
    s_fill_message (call, jobs, count, inlined, &msg);
    msg.call = call->id;                //  0, or we try again
    for (size_t index = 0; index < count; index++) {
        jobs[index].slot = 0;
        jobs[index].written = false;
    }
    int rc;
    const umbp_answer_t *answer =
        umbp_wire_ask (lane, call->way, "router", NULL, &msg, payload, payload_size,
                       UMBP_MSG_put_ok, lane->deadline_ms, &rc);
    if (!answer && !inlined)
        umbp_lane_renew (lane);         //  It may have been given slots nevertheless
    if (answer)
        s_follow (call, jobs, count, inlined, answer);
    else if (umbp_batch_shrink (rc, &call->way, &call->items_max, count))
        count = 0;
    else {
        for (size_t index = 0; index < count; index++) {
            bool waited = *jobs[index].status == UMBP_EAGAIN || call->full;
            *jobs[index].status = waited && rc == UMBP_ETIMEDOUT ? UMBP_EAGAIN : rc;
        }
    }
    umbp_lane_rewind (lane, mark);
    return count;
}

//  ------------------------------------------------------------------------------------------------
//  Windows and tries

//  After a try. Returns true if what found no room has waited for it as long as the caller wants,
//  counted from the last time that everything found some.
static bool s_has_waited (call_t *call, const job_t *jobs, size_t count)
{
    size_t full = 0;
    while (full < count && *jobs[full].status != UMBP_EAGAIN)
        full++;
    if (full == count || call->options.full_ms == 0) {
        call->full_until_ms = 0;
        return false;
    }
    int64_t now_ms = umbp_clock_ms ();
    if (call->full_until_ms == 0)
        call->full_until_ms = now_ms + call->options.full_ms;
    return now_ms >= call->full_until_ms;
}

//  Move the jobs that shall be tried again to the front. Returns how many.
static size_t s_keep_open (call_t *call, job_t *jobs, size_t count)
{
    bool waited = s_has_waited (call, jobs, count);
    size_t open = 0;
    for (size_t index = 0; index < count; index++) {
        job_t *job = &jobs[index];
        call->lane->stats.stale += *job->status == UMBP_ESTALE;
        if (!umbp_is_passing (*job->status))
            continue;
        if (*job->status == UMBP_EAGAIN ? waited : ++job->tries == TRIES_MAX)
            continue;
        if (open != index)
            jobs[open] = *job;
        open++;
    }
    return open;
}

static void s_put_window (call_t *call, job_t *jobs, size_t count)
{
    umbp_lane_t *lane = call->lane;
    for (unsigned tries = 0; count > 0;) {
        for (size_t at = 0; at < count;) {
            size_t taken = umbp_window (lane, &jobs[at].key, sizeof *jobs, count - at);
            taken = taken < call->items_max ? taken : call->items_max;
            assert (taken > 0 && taken <= count - at);
            at += s_put_message (call, jobs + at, taken);
        }
        size_t open = s_keep_open (call, jobs, count);
        tries = open < count ? 0 : tries + 1;
        count = open;
        if (count == 0)
            return;
        lane->stats.retries += count;
        if (!umbp_lane_pause (lane, tries))
            break;
    }
    for (size_t index = 0; index < count; index++)
        call->full |= *jobs[index].status == UMBP_EAGAIN;
}

//  ------------------------------------------------------------------------------------------------
//  What callers see

//  Make a job of an item of the caller's. Returns 0, or why it cannot be one.
typedef int (make_fn) (umbp_lane_t *lane, void *item, job_t *job);

//  As many items as make a window; those that are no jobs have their status at once
static size_t s_make_window (call_t *call, const umbp_items_t *items, size_t *next_p, make_fn *make,
                             job_t *jobs)
{
    size_t count = 0, pieces = 0;
    uint64_t bytes = 0;
    while (*next_p < items->count && count < UMBP_WINDOW_ITEMS && bytes < UMBP_WINDOW_BYTES
           && pieces < PIECES_MAX) {
        job_t *job = &jobs[count];
        size_t index = (*next_p)++;
        *job = (job_t) { .status = umbp_items_status (items, index) };
        *job->status = make (call->lane, umbp_items_at (items, index), job);
        if (*job->status != 0)
            continue;
        *job->status = OPEN;
        bytes += job->size;
        pieces += job->piece_count;
        count++;
    }
    return count;
}

static int s_put (umbp_t *self, const umbp_items_t *items, make_fn *make,
                  const umbp_put_options_t *options, uint32_t timeout_ms)
{
    call_t call = { .items_max = UMBP_WINDOW_ITEMS };
    if (!items->items)
        return items->count ? UMBP_EINVAL : 0;
    if (options)
        call.options = *options;
    if (call.options.strategy > UMBP_STRATEGY_SAME || call.options.tier >= UMBP_TIERS
        || call.options.replicas > UMBP_REPLICAS_MAX || call.options.hint > UMBP_HINT_KEEP)
        return umbp_items_fail (items, UMBP_EINVAL);
    int rc = umbp_pool_enter (self, timeout_ms, &call.lane);
    if (rc != 0)
        return umbp_items_fail (items, rc);
    umbp_mark_t mark = umbp_lane_mark (call.lane);
    for (size_t next = 0; next < items->count;) {
        job_t *jobs = umbp_lane_take (call.lane, UMBP_WINDOW_ITEMS, sizeof *jobs);
        size_t count = s_make_window (&call, items, &next, make, jobs);
        s_put_window (&call, jobs, count);
        umbp_lane_rewind (call.lane, mark);
    }
    umbp_stats_t *stats = &call.lane->stats;
    stats->puts += items->count;
    stats->already += umbp_items_count (items, UMBP_EEXIST);
    umbp_pool_leave (self, &call.lane);
    return umbp_items_result (items);
}

static int s_check (const umbp_key_t *key, uint64_t size)
{
    if (umbp_key_check (key, UMBP_KEY_MAX) != 0 || size == 0)
        return UMBP_EINVAL;
    return size > UMBP_BLOCK_MAX ? UMBP_ETOOBIG : 0;
}

static int s_make_whole (umbp_lane_t *lane, void *item_p, job_t *job)
{
    const umbp_item_t *item = item_p;
    int rc = s_check (&item->key, item->size);
    if (rc != 0 || !item->data)
        return rc != 0 ? rc : UMBP_EINVAL;
    umbp_piece_t *piece = umbp_lane_take (lane, 1, sizeof *piece);
    *piece = (umbp_piece_t) { item->data, item->size };
    job->key = item->key;
    job->pieces = piece;
    job->piece_count = 1;
    job->size = item->size;
    job->depth = item->depth;
    return 0;
}

static int s_make_scattered (umbp_lane_t *lane, void *item_p, job_t *job)
{
    const umbp_vec_t *item = item_p;
    int rc = s_check (&item->key, item->size);
    if (rc != 0 || !item->ranges || item->range_count > UMBP_RANGES_MAX)
        return rc != 0 ? rc : UMBP_EINVAL;
    umbp_piece_t *pieces = umbp_lane_take (lane, item->range_count, sizeof *pieces);
    if (!umbp_scatter_tiles (item->ranges, item->range_count, item->size, pieces))
        return UMBP_EINVAL;
    job->key = item->key;
    job->pieces = pieces;
    job->piece_count = item->range_count;
    job->size = item->size;
    job->depth = item->depth;
    return 0;
}

int umbp_put_batch (umbp_t *self, umbp_item_t *items, size_t count,
                    const umbp_put_options_t *options, uint32_t timeout_ms)
{
    const umbp_items_t all = { items, count, sizeof *items, offsetof (umbp_item_t, status) };
    return s_put (self, &all, s_make_whole, options, timeout_ms);
}

int umbp_put_v (umbp_t *self, umbp_vec_t *items, size_t count, const umbp_put_options_t *options,
                uint32_t timeout_ms)
{
    const umbp_items_t all = { items, count, sizeof *items, offsetof (umbp_vec_t, status) };
    return s_put (self, &all, s_make_scattered, options, timeout_ms);
}

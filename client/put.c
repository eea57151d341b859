//  client/put.c - putting blocks. A window of blocks goes to the router in one message, small ones
//  as payload. For the others the router names slots: those in memory that we have mapped are
//  filled right there, those elsewhere through the bulk servers of their nodes (put_bytes.c); then
//  each tier manager is told which are filled (put_commit.c). A disk is told after each slice, so that
//  it works while we fill the next one. What fails for a passing reason goes to the router again, until
//  the deadline.
#include "client/devmem.h"
#include "client/put_self.h"

#include "client/scatter.h"
#include "cluster/bulk/clock.h"

#define OPEN 1                          //  Status of a block without an outcome yet
#define TRIES_MAX 4                     //  For one block, not counting those when the pool was full
#define PIECES_MAX 65536                //  In a window
#define INLINE_SHARED_MAX (32u << 10)   //  Where memory is mapped, more is better written there
#define SLICES_MAX 16                   //  Of a window that goes to disk ...
#define SLICE_BYTES (16u << 20)         //  ... each of so many bytes at least

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

//  Looking at doors may close one, and with it those that were found open before: see s_void
static umbp_put_group_t *s_groups (umbp_lane_t *lane, const umbp_msg_put_ok_t *msg)
{
    umbp_put_group_t *groups = umbp_lane_take (lane, msg->nodes.count, sizeof *groups);
    for (size_t ref = 0; ref < msg->nodes.count; ref++) {
        unsigned tier = msg->tiers.count ? umbp_u8s_at (msg->tiers, ref) : UMBP_TIER_DRAM;
        umbp_put_group_t *group = &groups[ref];
        *group = (umbp_put_group_t){ .node = umbp_column_text (lane, &msg->nodes, ref),
                                 .bulk = "",
                                 .actor = umbp_tier_actor (tier),
                                 .disk = tier == UMBP_TIER_NVME || tier == UMBP_TIER_SHARED };
        if (msg->bulks.count)
            group->bulk = umbp_column_text (lane, &msg->bulks, ref);
        group->bulk_key = umbp_lane_bulk_key (lane, msg->bulk_keys, ref);
        group->memory = umbp_memory_of (lane, group->actor, group->node);
        group->page_size = msg->page_sizes.count ? umbp_u32s_at (msg->page_sizes, ref) : 0;
    }
    return groups;
}

//  What the router said of one block
static void s_take_status (umbp_put_call_t *call, umbp_put_job_t *job, const umbp_msg_put_ok_t *msg,
                           size_t index, bool inlined, const umbp_put_group_t *groups)
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

//  The end of the slice that begins with a job: of all, unless they go to one disk of this host. One
//  more than SLICES_MAX is never needed: each slice but the last has its part of the bytes.
static size_t s_slice (const umbp_put_job_t *jobs, size_t first, size_t count,
                       const umbp_put_group_t *groups, size_t group_count)
{
    if (group_count != 1 || !groups->memory || !groups->disk)
        return count;
    uint64_t all = 0, bytes = 0;
    for (size_t index = 0; index < count; index++)
        all += jobs[index].size;
    uint64_t part = all / SLICES_MAX > SLICE_BYTES ? all / SLICES_MAX : SLICE_BYTES;
    size_t end = first;
    while (end < count && bytes < part)
        bytes += jobs[end++].size;
    return end;
}

//  Between two slices. Slots that were lent through a door end with it, and their pages may be others' by then: nothing
//  is written there any more. Returns whether it is open.
static bool s_is_lent (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t count,
                       const umbp_put_group_t *group)
{
    if (umbp_memory_of (call->lane, group->actor, group->node) == group->memory)
        return true;
    for (size_t index = 0; index < count; index++)
        if (jobs[index].slot) {
            jobs[index].slot = 0;
            *jobs[index].status = UMBP_ECLOSED;
        }
    return false;
}

//  A door was found closed, and the lane goes on as another session: the slots have ended, or will, and pages that we
//  could still write to may be others' by now. So nothing is written; who keeps a slot for us hears that we do not want it.
static void s_void (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t count,
                    umbp_put_group_t *groups, size_t group_count)
{
    for (size_t ref = 0; ref < group_count; ref++) {
        groups[ref].memory = NULL;
        if (groups[ref].actor)
            umbp_put_abort (call, jobs, count, &groups[ref], (uint16_t) ref);
    }
    for (size_t index = 0; index < count; index++)
        if (jobs[index].slot) {
            jobs[index].slot = 0;
            *jobs[index].status = UMBP_ECLOSED;
        }
}

//  Fill all slots, and commit them
static void s_store (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t count,
                     umbp_put_group_t *groups, size_t group_count, const umbp_extents_t *extents)
{
    size_t most = group_count > SLICES_MAX + 1 ? group_count : SLICES_MAX + 1;
    umbp_put_commits_t commits = { umbp_lane_take (call->lane, most, sizeof *commits.list), 0 };
    for (size_t first = 0, row = 0; first < count;) {
        if (first > 0 && !s_is_lent (call, jobs + first, count - first, groups))
            break;
        size_t end = s_slice (jobs, first, count, groups, group_count);
        row = umbp_put_fill_here (call, jobs, first, end, groups, extents, row);
        for (size_t ref = 0; ref < group_count; ref++)
            if (!groups[ref].memory)
                umbp_put_fill_there (call, jobs + first, end - first, &groups[ref], (uint16_t) ref);
        for (size_t ref = 0; ref < group_count; ref++)
            umbp_put_commit (call, jobs + first, end - first, &groups[ref], (uint16_t) ref,
                             &commits);
        first = end;
    }
    umbp_put_commits_wait (call, &commits);
}

//  Read the answer, fill what it names, commit
static void s_follow (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t count, bool inlined,
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
    umbp_put_group_t *groups = s_groups (call->lane, msg);
    for (size_t index = 0; index < count; index++)
        s_take_status (call, &jobs[index], msg, index, inlined, groups);
    if (inlined) {
        umbp_put_count_missing (call, &msg->missing);
        return;
    }
    if (call->lane->session == call->session)
        s_store (call, jobs, count, groups, group_count, &extents);
    else
        s_void (call, jobs, count, groups, group_count);
    for (size_t ref = 0; ref < group_count; ref++)
        if (!groups[ref].memory && groups[ref].actor)                  //  Faster from next time on
            umbp_memory_attach (call->lane, groups[ref].actor, groups[ref].node);
}

static bool s_some_of_devices (umbp_t *pool, const umbp_put_job_t *jobs, size_t count)
{
    for (size_t index = 0; index < count && umbp_devmem_any (pool); index++)
        for (size_t piece = 0; piece < jobs[index].piece_count; piece++)
            if (jobs[index].pieces[piece].size > 0
                && umbp_devmem_overlaps (pool, jobs[index].pieces[piece].base,
                                         jobs[index].pieces[piece].size))
                return true;
    return false;
}

//  Whether the blocks come along as payload: one round trip, but more copies on the way than into
//  memory that is mapped
static bool s_is_inline (umbp_put_call_t *call, const umbp_put_job_t *jobs, size_t count)
{
    uint64_t bytes = 0;
    for (size_t index = 0; index < count; index++)
        bytes += jobs[index].size;
    if (bytes <= UMBP_INLINE_MAX && s_some_of_devices (call->lane->pool, jobs, count))
        return false;                   //  A device that fails would fail the others too
    bool shared = umbp_memory_of (call->lane, UMBP_SHARED_ACTOR, call->lane->pool->node);
    return bytes <= (shared ? INLINE_SHARED_MAX : UMBP_INLINE_MAX);
}

static const uint8_t *s_payload (umbp_lane_t *lane, umbp_put_job_t *jobs, size_t count,
                                 size_t *size_p)
{
    uint64_t size = 0;
    for (size_t index = 0; index < count; index++)
        size += jobs[index].size;
    uint8_t *payload = umbp_lane_take (lane, size, 1), *at = payload;
    for (size_t index = 0; index < count; index++) {
        umbp_piece_t room = { at, jobs[index].size };
        jobs[index].sum = umbp_scatter_copy (&room, 1, jobs[index].pieces, jobs[index].piece_count,
                                             jobs[index].size, false);
        at += jobs[index].size;
    }
    *size_p = size;
    return payload;
}

static void s_fill_message (umbp_put_call_t *call, const umbp_put_job_t *jobs, size_t count,
                            bool inlined, umbp_msg_t *msg)
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
    msg->put.session = call->session = lane->session;
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
static size_t s_put_message (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t count)
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
static bool s_has_waited (umbp_put_call_t *call, const umbp_put_job_t *jobs, size_t count)
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
static size_t s_keep_open (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t count)
{
    bool waited = s_has_waited (call, jobs, count);
    size_t open = 0;
    for (size_t index = 0; index < count; index++) {
        umbp_put_job_t *job = &jobs[index];
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

static void s_put_window (umbp_put_call_t *call, umbp_put_job_t *jobs, size_t count)
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
typedef int (make_fn) (umbp_lane_t *lane, void *item, umbp_put_job_t *job);

//  As many items as make a window; those that are no jobs have their status at once
static size_t s_make_window (umbp_put_call_t *call, const umbp_items_t *items, size_t *next_p,
                             make_fn *make, umbp_put_job_t *jobs)
{
    size_t count = 0, pieces = 0;
    uint64_t bytes = 0;
    while (*next_p < items->count && count < UMBP_WINDOW_ITEMS && bytes < UMBP_WINDOW_BYTES
           && pieces < PIECES_MAX) {
        umbp_put_job_t *job = &jobs[count];
        size_t index = (*next_p)++;
        *job = (umbp_put_job_t) { .status = umbp_items_status (items, index) };
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
    umbp_put_call_t call = { .items_max = UMBP_WINDOW_ITEMS };
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
        umbp_put_job_t *jobs = umbp_lane_take (call.lane, UMBP_WINDOW_ITEMS, sizeof *jobs);
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

static int s_make_whole (umbp_lane_t *lane, void *item_p, umbp_put_job_t *job)
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

static int s_make_scattered (umbp_lane_t *lane, void *item_p, umbp_put_job_t *job)
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

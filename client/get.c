//  client/get.c - getting blocks. A window of keys goes to the router in one message; it answers
//  with the bytes of small blocks, and with leases on the others. Blocks in memory that we have
//  mapped are copied from there, others come through the bulk server of their owner, straight into
//  the caller's buffers. Every byte is summed on its way and compared; what fails is asked for
//  again, with the owner that failed named, so that the router takes another replica if there is
//  one.
#include "client/get_self.h"

#include "client/scatter.h"

#define TRIES_MAX 3                     //  For one block
#define INLINE_SHARED_MAX (16u << 10)   //  Where memory is mapped, more is better read there

//  ------------------------------------------------------------------------------------------------
//  One message to the router

//  What the router said of one block. Returns false if it comes as payload that is not there.
static bool s_take_status (umbp_get_call_t *call, umbp_get_job_t *job, const umbp_found_t *found,
                           size_t index, size_t *payload_at)
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
        *job->status = umbp_get_deliver (call, job, &from, 1);
        if (*job->status == 0)
            call->lane->stats.inline_get_bytes += job->size;
        return true;
    }
    bool named = ref < found->owner_count && job->size > 0 && job->size <= UMBP_BLOCK_MAX
                 && found->owners[ref].lease && found->owners[ref].actor;
    *job->status = named ? UMBP_GET_OPEN : UMBP_EPROTO;
    job->ref = named ? ref : UMBP_NO_REF;
    job->number = msg->items.count ? umbp_u32s_at (msg->items, index) : 0;
    return true;
}

static void s_fail (umbp_get_job_t *jobs, size_t count, int status)
{
    for (size_t index = 0; index < count; index++)
        *jobs[index].status = status;
}

//  Remember an owner that failed us; the oldest is forgotten for it
static void s_avoid (umbp_get_call_t *call, const char *node)
{
    for (size_t index = 0; index < call->avoid_count && index < UMBP_GET_AVOID_MAX; index++)
        if (streq (call->avoid[index], node))
            return;
    snprintf (call->avoid[call->avoid_count++ % UMBP_GET_AVOID_MAX], sizeof *call->avoid, "%s",
              node);
}

//  Let go of the leases, and remember who failed
static void s_release_all (umbp_get_call_t *call, const umbp_get_job_t *jobs, size_t count,
                           umbp_found_t *found)
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

static void s_follow (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count,
                      umbp_found_t *found)
{
    size_t payload_at = 0;
    bool fits = true;
    for (size_t index = 0; index < count && fits; index++)
        fits = s_take_status (call, &jobs[index], found, index, &payload_at);
    if (fits)
        umbp_get_read_all (call, jobs, count, found);
    else
        s_fail (jobs, count, UMBP_EPROTO);
    for (size_t index = 0; index < count; index++)
        if (jobs[index].size > 0
            && (*jobs[index].status == 0 || *jobs[index].status == UMBP_ETOOBIG))
            *jobs[index].size_p = jobs[index].size;
    s_release_all (call, jobs, count, found);
}

//  How many bytes may come as payload: what was asked for, if that is little
static size_t s_inline_max (umbp_get_call_t *call, const umbp_get_job_t *jobs, size_t count)
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

static const umbp_column_t *s_avoided (umbp_get_call_t *call, umbp_column_t *column)
{
    umbp_key_t names[UMBP_GET_AVOID_MAX];
    size_t count = call->avoid_count < UMBP_GET_AVOID_MAX ? call->avoid_count : UMBP_GET_AVOID_MAX;
    for (size_t index = 0; index < count; index++)
        names[index] = (umbp_key_t) { call->avoid[index], strlen (call->avoid[index]) };
    *column = umbp_key_column (call->lane, names, sizeof *names, NULL, count);
    return count > 0 ? column : NULL;
}

//  Returns how many jobs it dealt with, 0 if the message was too large and a smaller one is to be
//  tried
static size_t s_get_message (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count)
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
static size_t s_keep_open (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count)
{
    size_t open = 0;
    for (size_t index = 0; index < count; index++) {
        umbp_get_job_t *job = &jobs[index];
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

static void s_get_window (umbp_get_call_t *call, umbp_get_job_t *jobs, size_t count)
{
    count = umbp_get_read_shown (call, jobs, count);
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
typedef int (make_fn) (umbp_lane_t *lane, void *item, umbp_get_job_t *job);

static size_t s_make_window (umbp_get_call_t *call, const umbp_items_t *items, size_t *next_p,
                             make_fn *make, umbp_get_job_t *jobs)
{
    size_t count = 0;
    uint64_t bytes = 0;
    while (*next_p < items->count && count < UMBP_WINDOW_ITEMS && bytes < UMBP_WINDOW_BYTES) {
        umbp_get_job_t *job = &jobs[count];
        size_t index = (*next_p)++;
        *job = (umbp_get_job_t) { .status = umbp_items_status (items, index) };
        *job->status = make (call->lane, umbp_items_at (items, index), job);
        if (*job->status != 0)
            continue;
        *job->status = UMBP_GET_OPEN;
        for (size_t range = 0; range < job->range_count; range++)
            bytes += job->ranges[range].size;
        count++;
    }
    return count;
}

static int s_get (umbp_t *self, const umbp_items_t *items, make_fn *make, uint32_t timeout_ms)
{
    umbp_get_call_t call = { .items_max = UMBP_WINDOW_ITEMS };
    if (!items->items)
        return items->count ? UMBP_EINVAL : 0;
    int rc = umbp_pool_enter (self, timeout_ms, &call.lane);
    if (rc != 0)
        return umbp_items_fail (items, rc);
    umbp_mark_t mark = umbp_lane_mark (call.lane);
    for (size_t next = 0; next < items->count;) {
        umbp_get_job_t *jobs = umbp_lane_take (call.lane, UMBP_WINDOW_ITEMS, sizeof *jobs);
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

static int s_make_whole (umbp_lane_t *lane, void *item_p, umbp_get_job_t *job)
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

static int s_make_scattered (umbp_lane_t *lane, void *item_p, umbp_get_job_t *job)
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

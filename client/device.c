//  client/device.c - seeing blocks where they lie in the memory of a device of this host. A device view is a lease of our
//  node's tier:hbm, and keeps the lane through whose door it was given: with that door it ends.
#include <assert.h>
#include <stdlib.h>

#include "client/batch.h"
#include "cluster/bulk/clock.h"

#define ACTOR "tier:hbm"
#define HANDLE_BYTES 64

struct umbp_device_view {
    umbp_lane_t *lane;
    uint64_t lease;
    int64_t expires_ms;
    umbp_device_info_t info;
    char kind[UMBP_NAME_MAX + 1];
};

//  Whether the columns of the answer fit each other, and spans their blocks and chunks
static bool s_is_whole (const umbp_msg_device_lease_ok_t *ok, size_t count)
{
    size_t rows = 0, chunks = ok->chunk_bytes.count;
    if (ok->statuses.count != count || ok->handles.size != chunks * HANDLE_BYTES
        || ok->chunks.count != ok->offsets.count || ok->bytes.count != ok->offsets.count)
        return false;
    for (size_t index = 0; index < count; index++) {
        size_t spans = umbp_u16s_at (ok->counts, index);
        uint64_t bytes = 0;
        if (spans > ok->chunks.count - rows
            || (spans > 0) != (umbp_s8s_at (ok->statuses, index) == 0))
            return false;
        for (size_t end = rows + spans; rows < end; rows++) {
            uint16_t chunk = umbp_u16s_at (ok->chunks, rows);
            uint64_t size = chunk < chunks ? umbp_u64s_at (ok->chunk_bytes, chunk) : 0;
            uint64_t offset = umbp_u64s_at (ok->offsets, rows),
                     some = umbp_u64s_at (ok->bytes, rows);
            if (offset > size || some > size - offset)
                return false;
            bytes += some;
        }
        if (spans > 0 && bytes != umbp_u32s_at (ok->sizes, index))
            return false;
    }
    return rows == ok->chunks.count;
}

//  All of a view in one piece of memory, as it is freed by whoever ends the client before the view
static umbp_device_view_t *s_new (umbp_lane_t *lane, const umbp_msg_device_lease_ok_t *ok,
                                  int64_t asked_ms)
{
    size_t count = ok->statuses.count, spans = ok->chunks.count, chunks = ok->chunk_bytes.count;
    umbp_device_view_t *self =
        zmalloc (sizeof (umbp_device_view_t) + count * sizeof (umbp_device_block_t)
                 + spans * sizeof (umbp_device_span_t) + chunks * sizeof (umbp_device_handle_t));
    umbp_device_block_t *block = (umbp_device_block_t *) (self + 1);
    umbp_device_handle_t *handle = (umbp_device_handle_t *) (block + count);
    umbp_device_span_t *span = (umbp_device_span_t *) (handle + chunks);
    self->lane = lane;
    self->lease = ok->lease;
    self->expires_ms = asked_ms + (int64_t) ok->ttl_ms;
    umbp_text_copy (ok->kind, self->kind, sizeof self->kind);
    self->info = (umbp_device_info_t){ .kind = self->kind,
                                       .device = (int) ok->device,
                                       .ttl_ms = (uint32_t) ok->ttl_ms,
                                       .handles = handle, .handle_count = chunks,
                                       .blocks = block, .count = count };
    for (size_t row = 0; row < chunks; row++) {
        memcpy (handle[row].bytes, ok->handles.data + row * HANDLE_BYTES, HANDLE_BYTES);
        handle[row].block_bytes = umbp_u64s_at (ok->chunk_bytes, row);
    }
    for (size_t index = 0, row = 0; index < count; index++) {
        block[index] = (umbp_device_block_t){ .status = umbp_s8s_at (ok->statuses, index),
                                              .size = umbp_u32s_at (ok->sizes, index),
                                              .sum = umbp_u64s_at (ok->sums, index),
                                              .spans = span + row,
                                              .span_count = umbp_u16s_at (ok->counts, index) };
        for (size_t end = row + block[index].span_count; row < end; row++)
            span[row] = (umbp_device_span_t){ umbp_u16s_at (ok->chunks, row),
                                              umbp_u64s_at (ok->offsets, row),
                                              umbp_u64s_at (ok->bytes, row) };
    }
    return self;
}

//  The tier of our node as the snapshot has it: without one nobody is asked
static bool s_is_there (const umbp_lane_t *lane)
{
    const umbp_topology_t *topology = lane->cluster->topology;
    int member = umbp_topology_find (topology, umbp_text (lane->pool->node));
    return member >= 0
           && umbp_topology_member (topology, (size_t) member)->tiers[UMBP_TIER_HBM].total > 0;
}

static int s_ask (umbp_lane_t *lane, const umbp_key_t *keys, size_t count,
                  umbp_device_view_t **view_p)
{
    int rc;
    umbp_msg_t msg;
    if (umbp_door_open (lane, ACTOR, lane->pool->node) == UMBP_NO_DOOR)
        return s_is_there (lane) && lane->pool->shm ? UMBP_EUNREACH : UMBP_ENOTSUP;
    umbp_msg_init (&msg, UMBP_MSG_device_lease, 0);
    msg.device_lease.keys = umbp_key_column (lane, keys, sizeof *keys, NULL, count);
    int64_t asked_ms = umbp_clock_ms ();
    const umbp_answer_t *answer =
        umbp_wire_ask (lane, UMBP_WAY_DOOR, ACTOR, lane->pool->node, &msg, NULL, 0,
                       UMBP_MSG_device_lease_ok, lane->deadline_ms, &rc);
    if (!answer)
        return rc;
    const umbp_msg_device_lease_ok_t *ok = &answer->msg.device_lease_ok;
    if (!s_is_whole (ok, count))
        return UMBP_EPROTO;
    if (ok->lease == 0)                 //  Nothing is held: why, as of the first block
        return umbp_s8s_at (ok->statuses, 0);
    *view_p = s_new (lane, ok, asked_ms);
    return 0;
}

umbp_device_view_t *umbp_device_view_get (umbp_t *self, const umbp_key_t *keys, size_t count,
                                          uint32_t timeout_ms, int *err)
{
    umbp_lane_t *lane = NULL;
    umbp_device_view_t *view = NULL;
    int rc = count == 0 || !keys ? UMBP_EINVAL : count > UMBP_DEVICE_VIEW_MAX ? UMBP_ETOOBIG : 0;
    for (size_t index = 0; rc == 0 && index < count; index++)
        rc = umbp_key_check (&keys[index], UMBP_KEY_MAX);
    if (rc == 0)
        rc = umbp_pool_enter (self, timeout_ms, &lane);
    if (rc == 0) {
        umbp_mark_t mark = umbp_lane_mark (lane);
        for (unsigned tries = 0;; tries++) {
            umbp_lane_rewind (lane, mark);
            rc = s_ask (lane, keys, count, &view);
            if ((rc != UMBP_EAGAIN && rc != UMBP_ECLOSED) || !umbp_lane_pause (lane, tries))
                break;
        }
        lane->view = view;
        if (!view)
            umbp_pool_leave (self, &lane);
    }
    if (err)
        *err = rc;
    return view;
}

const umbp_device_info_t *umbp_device_view_info (const umbp_device_view_t *view)
{
    return &view->info;
}

//  Returns 0 if the lease held until the owner got our question, UMBP_ESTALE if it did not, or nobody can say
static int s_check (umbp_device_view_t *view, bool release)
{
    umbp_lane_t *lane = view->lane;
    umbp_msg_t msg;
    int rc;
    umbp_mark_t mark = umbp_lane_mark (lane);
    int64_t left = view->expires_ms - umbp_clock_ms ();
    umbp_msg_init (&msg, UMBP_MSG_device_check, 0);
    msg.device_check.leases = (umbp_u64s_t) { &view->lease, 1 };
    msg.device_check.release = release;
    if (left <= 0) {
        umbp_wire_tell (lane, UMBP_WAY_DOOR, ACTOR, lane->pool->node, &msg);
        return UMBP_ESTALE;
    }
    lane->deadline_ms = umbp_clock_ms () + (lane->pool->timeout_ms ? lane->pool->timeout_ms : left);
    umbp_wire_ask (lane, UMBP_WAY_DOOR, ACTOR, lane->pool->node, &msg, NULL, 0, UMBP_MSG_ok,
                   lane->deadline_ms, &rc);
    umbp_lane_rewind (lane, mark);
    return rc == 0 ? 0 : UMBP_ESTALE;
}

int umbp_device_view_check (umbp_device_view_t *view)
{
    return umbp_pool_is_forked (view->lane->pool) ? UMBP_EFORKED : s_check (view, false);
}

int umbp_device_view_release (umbp_device_view_t **view_p)
{
    assert (view_p);
    umbp_device_view_t *view = *view_p;
    if (!view)
        return 0;
    *view_p = NULL;
    umbp_lane_t *lane = view->lane;
    if (umbp_pool_is_forked (lane->pool))
        return UMBP_EFORKED;
    int rc = s_check (view, true);
    lane->view = NULL;
    umbp_pool_leave (lane->pool, &lane);
    free (view);
    return rc;
}

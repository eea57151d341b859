//  client/view.c - seeing a block where it lies. A view is a lease in memory that we have mapped,
//  and keeps the lane through whose door it was given.
#include <assert.h>
#include <stdlib.h>

#include "client/get.h"
#include "client/scatter.h"

#define TRIES_MAX 3

struct umbp_view {
    umbp_lane_t *lane;
    umbp_owner_t owner;                 //  Its lease; node and actor are ours
    char node[UMBP_NAME_MAX + 1];
    uint64_t size;
    size_t count;
    umbp_span_t spans[];
};

static umbp_view_t *s_new (umbp_lane_t *lane, const umbp_owner_t *owner, uint64_t size,
                           const umbp_piece_t *pieces, size_t count)
{
    umbp_view_t *self = zmalloc (sizeof (umbp_view_t) + count * sizeof (umbp_span_t));
    self->lane = lane;
    self->owner = *owner;
    snprintf (self->node, sizeof self->node, "%s", owner->node);
    self->owner.node = self->node;
    self->size = size;
    self->count = count;
    for (size_t index = 0; index < count; index++)
        self->spans[index] = (umbp_span_t) { pieces[index].base, pieces[index].size };
    return self;
}

//  The router found the block. Returns 0 and the view, which holds the lease then, or an error.
static int s_see (umbp_lane_t *lane, const umbp_found_t *found, umbp_view_t **view_p)
{
    const umbp_msg_get_ok_t *msg = found->msg;
    int status = umbp_s8s_at (msg->statuses, 0);
    uint16_t ref = status == 0 && msg->refs.count ? umbp_u16s_at (msg->refs, 0) : UMBP_NO_REF;
    if (status != 0)
        return status < 0 ? status : UMBP_EPROTO;
    umbp_owner_t *owner = ref < found->owner_count ? &found->owners[ref] : NULL;
    if (!owner || !owner->memory || !owner->lease)
        return UMBP_ENOTSUP;
    umbp_piece_t *pieces;
    int count = umbp_get_locate (lane, found, 0, 0, &pieces);
    if (count < 0)
        return count;
    uint64_t size = umbp_u32s_at (msg->sizes, 0);
    if (lane->pool->verify
        && umbp_scatter_sum (pieces, (size_t) count, size) != umbp_u64s_at (msg->sums, 0))
        return UMBP_ECHECKSUM;
    if (umbp_memory_of (lane, owner->actor, owner->node) != owner->memory)
        return UMBP_ECLOSED;
    *view_p = s_new (lane, owner, size, pieces, (size_t) count);
    owner->lease = 0;
    return 0;
}

static int s_try (umbp_lane_t *lane, const umbp_key_t *key, umbp_view_t **view_p)
{
    umbp_found_t found;
    int rc = umbp_get_ask (lane, UMBP_WAY_ANY, key, sizeof *key, 1, 0, NULL, &found);
    if (rc == UMBP_ETOOBIG)             //  Too many extents for a door
        rc = umbp_get_ask (lane, UMBP_WAY_WIRE, key, sizeof *key, 1, 0, NULL, &found);
    if (rc != 0)
        return rc;
    rc = s_see (lane, &found, view_p);
    bool lent = false;
    for (size_t ref = 0; ref < found.owner_count; ref++) {
        umbp_owner_t *owner = &found.owners[ref];
        umbp_get_release (lane, owner);
        if (rc != UMBP_ENOTSUP || owner->memory || !owner->actor)
            continue;
        umbp_memory_attach (lane, owner->actor, owner->node);
        lent |= umbp_memory_of (lane, owner->actor, owner->node) != NULL;
    }
    if (rc == 0 && lane->session != found.session) {         //  Our own door went with another's
        free (*view_p);
        *view_p = NULL;
        return UMBP_ECLOSED;
    }
    return lent ? UMBP_ECLOSED : rc;    //  A tier that we had not mapped yet: once more
}

umbp_view_t *umbp_view_get (umbp_t *self, umbp_key_t key, uint32_t timeout_ms, int *err)
{
    umbp_lane_t *lane = NULL;
    umbp_view_t *view = NULL;
    int rc = umbp_key_check (&key, UMBP_KEY_MAX);
    if (rc == 0)
        rc = umbp_pool_enter (self, timeout_ms, &lane);
    if (rc == 0) {
        umbp_mark_t mark = umbp_lane_mark (lane);
        bool again = true;
        for (unsigned tries = 0; again; tries++) {
            umbp_lane_rewind (lane, mark);
            rc = s_try (lane, &key, &view);
            lane->stats.checksum_errors += rc == UMBP_ECHECKSUM;
            again = rc == UMBP_EAGAIN || (umbp_is_passing (rc) && tries + 1 < TRIES_MAX);
            again = again && umbp_lane_pause (lane, tries);
        }
        lane->stats.gets++;
        lane->stats.hits += rc == 0;
        lane->stats.misses += rc == UMBP_ENOENT;
        lane->view = view;
        if (!view)
            umbp_pool_leave (self, &lane);
    }
    if (err)
        *err = rc;
    return view;
}

const umbp_span_t *umbp_view_spans (const umbp_view_t *view, size_t *count)
{
    *count = view->count;
    return view->spans;
}

size_t umbp_view_size (const umbp_view_t *view)
{
    return view->size;
}

void umbp_view_release (umbp_view_t **view_p)
{
    assert (view_p);
    umbp_view_t *view = *view_p;
    if (!view)
        return;
    umbp_lane_t *lane = view->lane;
    if (!umbp_pool_is_forked (lane->pool)) {
        umbp_get_release (lane, &view->owner);
        lane->stats.shm_get_bytes += view->size;
        lane->view = NULL;
        umbp_pool_leave (lane->pool, &lane);
        free (view);
    }
    *view_p = NULL;
}

//  cluster/verbs/window.c - a part of a region for one link: memory windows of type 2, one for each
//  queue pair, bound and taken back by a request of its own. Where a device has none: a registration of
//  that part alone, in the domain of the link, which has no other queue pairs. See inner.h.
#include "cluster/bulk/clock.h"
#include "cluster/verbs/inner.h"
#include "proto/error.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define BIND_MS 5000                    //  A bind only concerns our own device

struct umbp_verbs_window {
    umbp_verbs_link_t *link;
    umbp_verbs_region_t *region;
    uint64_t offset, bytes;
    struct ibv_mw *windows[UMBP_VERBS_QUEUES_MAX];
    struct ibv_mr *mrs[UMBP_VERBS_DEVICES_MAX];    //  Of devices without windows
    uint32_t keys[UMBP_VERBS_QUEUES_MAX];
};

//  A request of a window: arg of s_finish
typedef struct {
    umbp_verbs_link_t *link;
    size_t failed;
} s_round_t;

static void s_finish (void *arg, umbp_op_t *op, enum ibv_wc_status status)
{
    s_round_t *round = arg;
    round->failed += status != IBV_WC_SUCCESS;
    umbp_link_give_op (round->link, op);
}

//  Send a request to each working queue pair that has a window, and wait for all
static bool s_round (umbp_verbs_window_t *self, struct ibv_send_wr *wrs)
{
    umbp_verbs_link_t *link = self->link;
    s_round_t round = { .link = link };
    for (size_t index = 0; index < link->queue_count; index++) {
        umbp_queue_t *queue = &link->queues[index];
        umbp_op_t *op = queue->broken || !self->windows[index] ? NULL : umbp_link_take_op (link);
        if (!op)
            continue;
        wrs[index].wr_id = (uintptr_t) op;
        wrs[index].send_flags = IBV_SEND_SIGNALED;
        umbp_link_post (link, queue, &wrs[index], s_finish, &round);
    }
    int64_t deadline_ms = umbp_clock_ms () + BIND_MS;
    while (link->busy && umbp_clock_ms () < deadline_ms)
        umbp_link_wait (link, s_finish, &round, deadline_ms);
    if (link->busy)
        umbp_link_abandon (link, UMBP_EIO, "a window was not bound in time", s_finish, &round);
    return round.failed == 0;
}

//  The part as a registration. One for all queue pairs of a device. Returns 0 or an error.
static int s_register (umbp_verbs_window_t *self, size_t index, int right)
{
    umbp_device_t *device = self->link->queues[index].device;
    struct ibv_mr **mr = &self->mrs[device->number];
    unsigned access = right == UMBP_VERBS_WRITE ? IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE
                                                : IBV_ACCESS_REMOTE_READ;
    if (!*mr)
        *mr = ibv_reg_mr (self->link->pds[device->number], self->region->base + self->offset,
                          self->bytes, (int) access);
    if (!*mr)
        return errno == ENOMEM || errno == EAGAIN ? UMBP_ENOSPC : UMBP_EIO;
    self->keys[index] = (*mr)->rkey;
    return 0;
}

static int s_make_window (umbp_verbs_window_t *self, size_t index, int right,
                          struct ibv_send_wr *wr)
{
    umbp_device_t *device = self->link->queues[index].device;
    self->windows[index] = ibv_alloc_mw (device->pd, IBV_MW_TYPE_2);
    if (!self->windows[index])
        return UMBP_EIO;
    self->keys[index] = ibv_inc_rkey (self->windows[index]->rkey);
    wr->opcode = IBV_WR_BIND_MW;
    wr->bind_mw.mw = self->windows[index];
    wr->bind_mw.rkey = self->keys[index];
    wr->bind_mw.bind_info = (struct ibv_mw_bind_info) {
        .mr = self->region->mrs.mrs[device->number],
        .addr = (uintptr_t) self->region->base + self->offset,
        .length = self->bytes,
        .mw_access_flags = right == UMBP_VERBS_WRITE ? IBV_ACCESS_REMOTE_WRITE
                                                     : IBV_ACCESS_REMOTE_READ,
    };
    return 0;
}

//  Returns 0 or an error
static int s_open (umbp_verbs_window_t *self, int right)
{
    umbp_verbs_link_t *link = self->link;
    struct ibv_send_wr wrs[UMBP_VERBS_QUEUES_MAX] = { 0 };
    int rc = 0;
    for (size_t index = 0; index < link->queue_count && rc == 0; index++)
        if (!link->queues[index].broken)
            rc = link->queues[index].device->windows
                     ? s_make_window (self, index, right, &wrs[index])
                     : s_register (self, index, right);
    if (rc != 0)
        return rc;
    return s_round (self, wrs) ? 0 : UMBP_EIO;
}

umbp_verbs_window_t *umbp_verbs_window_new (umbp_verbs_link_t *link, umbp_verbs_region_t *region,
                                            uint64_t offset, uint64_t bytes, int right, int *rc_p)
{
    umbp_verbs_window_t *self = calloc (1, sizeof (umbp_verbs_window_t));
    assert (self);
    *self = (umbp_verbs_window_t) {
        .link = link, .region = region, .offset = offset, .bytes = bytes,
    };
    int rc = 0;
    for (size_t index = 0; index < link->queue_count; index++)
        if (!link->queues[index].device->windows && !(link->rights & UMBP_VERBS_ALONE))
            rc = UMBP_ENOTSUP;
    if (rc == 0 && (bytes == 0 || offset > region->bytes || bytes > region->bytes - offset))
        rc = UMBP_EINVAL;
    if (rc == 0 && link->alive == 0)
        rc = UMBP_ECLOSED;
    if (rc == 0)
        rc = s_open (self, right);
    if (rc != 0)
        umbp_verbs_window_destroy (&self);
    if (rc_p)
        *rc_p = rc;
    return self;
}

int umbp_verbs_window_destroy (umbp_verbs_window_t **self_p)
{
    umbp_verbs_window_t *self = *self_p;
    if (!self)
        return 0;
    struct ibv_send_wr wrs[UMBP_VERBS_QUEUES_MAX] = { 0 };
    for (size_t index = 0; index < self->link->queue_count; index++) {
        wrs[index].opcode = IBV_WR_LOCAL_INV;
        wrs[index].invalidate_rkey = self->keys[index];
    }
    s_round (self, wrs);                //  What fails here ends with its queue pair
    int rc = 0;
    for (size_t index = 0; index < self->link->queue_count; index++)
        if (self->windows[index] && ibv_dealloc_mw (self->windows[index]) != 0)
            rc = UMBP_EIO;
    for (size_t index = 0; index < UMBP_VERBS_DEVICES_MAX; index++)
        if (self->mrs[index] && ibv_dereg_mr (self->mrs[index]) != 0)
            rc = UMBP_EIO;
    free (self);
    *self_p = NULL;
    return rc;
}

void umbp_verbs_window_describe (const umbp_verbs_window_t *self, umbp_verbs_memory_t *memory)
{
    *memory = (umbp_verbs_memory_t) {
        .base = (uintptr_t) self->region->base,
        .bytes = self->region->bytes,
        .per_queue = true,
    };
    for (size_t index = 0; index < self->link->queue_count; index++)
        memory->keys[index] = self->keys[index];
}

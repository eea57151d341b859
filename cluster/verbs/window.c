//  cluster/verbs/window.c - parts of regions for one link: memory windows of type 2, one for each queue
//  pair, bound and taken back by requests, a few of them at once. Where a device has none: a registration
//  of that part alone, in the domain of the link, which has no other queue pairs. See inner.h.
#include "cluster/bulk/clock.h"
#include "cluster/verbs/inner.h"
#include "proto/error.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define BIND_MS 5000                    //  A bind only concerns our own device
#define ROUND_MAX 16                    //  Requests for each queue pair at once

struct umbp_verbs_window {
    umbp_verbs_link_t *link;
    umbp_verbs_region_t *region;
    uint64_t offset, bytes;
    struct ibv_mw *windows[UMBP_VERBS_QUEUES_MAX];
    struct ibv_mr *mrs[UMBP_VERBS_DEVICES_MAX];    //  Of devices without windows
    uint32_t keys[UMBP_VERBS_QUEUES_MAX];
};

//  Requests of some windows: arg of s_finish
typedef struct {
    umbp_verbs_link_t *link;
    bool failed[ROUND_MAX];             //  By window
} s_round_t;

//  Writes the request of a window for a queue pair
typedef void (s_write_t) (const umbp_verbs_window_t *self, size_t queue, int right,
                          struct ibv_send_wr *wr);

static void s_write_bind (const umbp_verbs_window_t *self, size_t queue, int right,
                          struct ibv_send_wr *wr)
{
    wr->opcode = IBV_WR_BIND_MW;
    wr->bind_mw.mw = self->windows[queue];
    wr->bind_mw.rkey = self->keys[queue];
    wr->bind_mw.bind_info = (struct ibv_mw_bind_info) {
        .mr = self->region->mrs.mrs[self->link->queues[queue].device->number],
        .addr = (uintptr_t) self->region->base + self->offset,
        .length = self->bytes,
        .mw_access_flags = right == UMBP_VERBS_WRITE ? IBV_ACCESS_REMOTE_WRITE
                                                     : IBV_ACCESS_REMOTE_READ,
    };
}

static void s_write_end (const umbp_verbs_window_t *self, size_t queue, int right,
                         struct ibv_send_wr *wr)
{
    (void) right;
    wr->opcode = IBV_WR_LOCAL_INV;
    wr->invalidate_rkey = self->keys[queue];
}

static void s_finish (void *arg, umbp_op_t *op, enum ibv_wc_status status)
{
    s_round_t *round = arg;
    round->failed[op->item] |= status != IBV_WC_SUCCESS;
    umbp_link_give_op (round->link, op);
}

//  Hand a queue pair a chain of requests, one for each window that it has
static void s_post (s_round_t *round, size_t queue, umbp_verbs_window_t **windows, size_t count,
                    s_write_t *write, int right)
{
    struct ibv_send_wr wrs[ROUND_MAX];
    size_t used = 0;
    for (size_t index = 0; index < count; index++) {
        umbp_op_t *op = windows[index] && windows[index]->windows[queue]
                            ? umbp_link_take_op (round->link)
                            : NULL;
        if (!op)
            continue;
        op->item = index;
        wrs[used] = (struct ibv_send_wr) { .wr_id = (uintptr_t) op,
                                           .send_flags = IBV_SEND_SIGNALED };
        write (windows[index], queue, right, &wrs[used]);
        if (used)
            wrs[used - 1].next = &wrs[used];
        used++;
    }
    if (used)
        umbp_link_post (round->link, &round->link->queues[queue], wrs, s_finish, round);
}

//  Send a request of each window to each working queue pair, and wait for all
static void s_round (s_round_t *round, umbp_verbs_window_t **windows, size_t count,
                     s_write_t *write, int right)
{
    umbp_verbs_link_t *link = round->link;
    for (size_t queue = 0; queue < link->queue_count; queue++)
        if (!link->queues[queue].broken)
            s_post (round, queue, windows, count, write, right);
    int64_t deadline_ms = umbp_clock_ms () + BIND_MS;
    while (link->busy && umbp_clock_ms () < deadline_ms)
        umbp_link_wait (link, s_finish, round, deadline_ms);
    if (link->busy)
        umbp_link_abandon (link, UMBP_EIO, "a window was not bound in time", s_finish, round);
}

//  How many requests all queue pairs have room for
static size_t s_share (const umbp_verbs_link_t *link)
{
    size_t least = ROUND_MAX;
    for (size_t queue = 0; queue < link->queue_count; queue++)
        if (link->queues[queue].depth < least)
            least = link->queues[queue].depth;
    return least;
}

//  The part as a registration. One for all queue pairs of a device. Returns 0 or an error.
static int s_register (umbp_verbs_window_t *self, size_t queue, int right)
{
    umbp_device_t *device = self->link->queues[queue].device;
    struct ibv_mr **mr = &self->mrs[device->number];
    unsigned access = right == UMBP_VERBS_WRITE ? IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE
                                                : IBV_ACCESS_REMOTE_READ;
    if (!*mr)
        *mr = ibv_reg_mr (self->link->pds[device->number], self->region->base + self->offset,
                          self->bytes, (int) access);
    if (!*mr)
        return errno == ENOMEM || errno == EAGAIN ? UMBP_ENOSPC : UMBP_EIO;
    self->keys[queue] = (*mr)->rkey;
    return 0;
}

static int s_allocate (umbp_verbs_window_t *self, size_t queue)
{
    self->windows[queue] = ibv_alloc_mw (self->link->queues[queue].device->pd, IBV_MW_TYPE_2);
    if (!self->windows[queue])
        return UMBP_EIO;
    self->keys[queue] = ibv_inc_rkey (self->windows[queue]->rkey);
    return 0;
}

static int s_judge (const umbp_verbs_link_t *link, const umbp_verbs_part_t *part)
{
    for (size_t queue = 0; queue < link->queue_count; queue++)
        if (!link->queues[queue].device->windows && !(link->rights & UMBP_VERBS_ALONE))
            return UMBP_ENOTSUP;
    if (part->bytes == 0 || part->offset > part->region->bytes
        || part->bytes > part->region->bytes - part->offset)
        return UMBP_EINVAL;
    return link->alive == 0 ? UMBP_ECLOSED : 0;
}

//  All but the binding. Sets the part's window and rc.
static void s_make (umbp_verbs_link_t *link, umbp_verbs_part_t *part)
{
    part->window = NULL;
    part->rc = s_judge (link, part);
    if (part->rc != 0)
        return;
    umbp_verbs_window_t *self = part->window = calloc (1, sizeof (umbp_verbs_window_t));
    assert (self);
    *self = (umbp_verbs_window_t) {
        .link = link, .region = part->region, .offset = part->offset, .bytes = part->bytes,
    };
    for (size_t queue = 0; queue < link->queue_count && part->rc == 0; queue++)
        if (!link->queues[queue].broken)
            part->rc = link->queues[queue].device->windows ? s_allocate (self, queue)
                                                           : s_register (self, queue, part->right);
}

//  Nobody reaches it any more
static int s_free (umbp_verbs_window_t **self_p)
{
    umbp_verbs_window_t *self = *self_p;
    int rc = 0;
    if (!self)
        return 0;
    for (size_t queue = 0; queue < self->link->queue_count; queue++)
        if (self->windows[queue] && ibv_dealloc_mw (self->windows[queue]) != 0)
            rc = UMBP_EIO;
    for (size_t index = 0; index < UMBP_VERBS_DEVICES_MAX; index++)
        if (self->mrs[index] && ibv_dereg_mr (self->mrs[index]) != 0)
            rc = UMBP_EIO;
    free (self);
    *self_p = NULL;
    return rc;
}

//  A few parts of one right
static size_t s_open (umbp_verbs_link_t *link, umbp_verbs_part_t *parts, size_t count)
{
    s_round_t round = { .link = link };
    umbp_verbs_window_t *windows[ROUND_MAX] = { NULL };
    size_t done = 0;
    for (size_t index = 0; index < count; index++) {
        s_make (link, &parts[index]);
        windows[index] = parts[index].rc == 0 ? parts[index].window : NULL;
    }
    s_round (&round, windows, count, s_write_bind, parts->right);
    for (size_t index = 0; index < count; index++) {
        if (parts[index].rc == 0 && round.failed[index])
            parts[index].rc = UMBP_EIO;
        if (parts[index].rc != 0)
            umbp_verbs_windows_destroy (&parts[index].window, 1);
        done += parts[index].rc == 0;
    }
    return done;
}

size_t umbp_verbs_windows_new (umbp_verbs_link_t *link, umbp_verbs_part_t *parts, size_t count)
{
    size_t done = 0, share = s_share (link);
    for (size_t at = 0; at < count;) {
        size_t some = 1;
        while (some < share && at + some < count && parts[at + some].right == parts[at].right)
            some++;
        done += s_open (link, parts + at, some);
        at += some;
    }
    return done;
}

int umbp_verbs_windows_destroy (umbp_verbs_window_t **windows, size_t count)
{
    umbp_verbs_link_t *link = NULL;
    for (size_t index = 0; index < count && !link; index++)
        link = windows[index] ? windows[index]->link : NULL;
    int rc = 0;
    size_t share = link ? s_share (link) : 0;
    for (size_t at = 0; link && at < count; at += share) {
        s_round_t round = { .link = link };
        size_t some = count - at < share ? count - at : share;
        s_round (&round, windows + at, some, s_write_end,
                 0); //  What fails ends with its queue pair
        for (size_t index = at; index < at + some; index++)
            if (s_free (&windows[index]) != 0)
                rc = UMBP_EIO;
    }
    return rc;
}

void umbp_verbs_window_describe (const umbp_verbs_window_t *self, umbp_verbs_memory_t *memory)
{
    *memory = (umbp_verbs_memory_t) {
        .base = (uintptr_t) self->region->base,
        .bytes = self->region->bytes,
        .per_queue = true,
    };
    for (size_t queue = 0; queue < self->link->queue_count; queue++)
        memory->keys[queue] = self->keys[queue];
}

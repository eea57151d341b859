//  cluster/verbs/wait.c - requests to queue pairs, and their completions: polled for a moment that
//  adapts itself, then waited for. See inner.h.
#include "cluster/bulk/clock.h"
#include "cluster/verbs/inner.h"
#include "proto/error.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#define BATCH_MAX 16                    //  Completions fetched at once
#define NAP_MS 100                      //  Another thread may have heard of a port before us
#define DRAIN_MS 2000                   //  For a failed queue pair to give its requests back

//  What a failed request means for its queue pair
static int s_error (enum ibv_wc_status status)
{
    switch (status) {
    case IBV_WC_REM_ACCESS_ERR:
    case IBV_WC_REM_INV_REQ_ERR:
    case IBV_WC_REM_OP_ERR: return UMBP_EDENIED;
    case IBV_WC_RETRY_EXC_ERR: return UMBP_EUNREACH;
    case IBV_WC_RNR_RETRY_EXC_ERR: return UMBP_EAGAIN;
    case IBV_WC_WR_FLUSH_ERR: return UMBP_ECLOSED;
    default: return UMBP_EIO;
    }
}

void umbp_link_post (umbp_verbs_link_t *self, umbp_queue_t *queue, struct ibv_send_wr *chain,
                     umbp_finish_t *finish, void *arg)
{
    struct ibv_send_wr *refused = NULL;
    for (struct ibv_send_wr *wr = chain; wr; wr = wr->next) {
        ((umbp_op_t *) (uintptr_t) wr->wr_id)->queue = queue;
        queue->busy++;
        self->busy++;
        self->stats.requests++;
    }
    if (self->stats.busiest < queue->busy)
        self->stats.busiest = queue->busy;
    int error = ibv_post_send (queue->qp, chain, &refused);
    if (error == 0)
        return;
    umbp_link_lose (self, queue, UMBP_EIO, strerror (error));
    for (; refused; refused = refused->next) {
        umbp_op_t *op = (umbp_op_t *) (uintptr_t) refused->wr_id;
        op->queue = NULL;
        queue->busy--;
        self->busy--;
        finish (arg, op, IBV_WC_WR_FLUSH_ERR);
    }
}

static int s_poll_queue (umbp_verbs_link_t *self, umbp_queue_t *queue, umbp_finish_t *finish,
                         void *arg)
{
    struct ibv_wc done[BATCH_MAX];
    int count = queue->busy ? ibv_poll_cq (queue->cq, BATCH_MAX, done) : 0;
    for (int index = 0; index < count; index++) {
        umbp_op_t *op = (umbp_op_t *) (uintptr_t) done[index].wr_id;
        op->queue = NULL;
        queue->busy--;
        self->busy--;
        if (done[index].status != IBV_WC_SUCCESS)
            umbp_link_lose (self, queue, s_error (done[index].status),
                            ibv_wc_status_str (done[index].status));
        finish (arg, op, done[index].status);
    }
    return count < 0 ? 0 : count;
}

size_t umbp_link_poll (umbp_verbs_link_t *self, umbp_finish_t *finish, void *arg)
{
    size_t count = 0;
    for (size_t index = 0; index < self->queue_count; index++)
        count += (size_t) s_poll_queue (self, &self->queues[index], finish, arg);
    return count;
}

static int64_t s_now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C (1000000) + now.tv_nsec / 1000;
}

//  Ask for an event on each queue that has work; what completed before is found by polling again
static size_t s_arm (umbp_verbs_link_t *self, struct pollfd *fds)
{
    size_t count = 0;
    for (size_t index = 0; index < self->queue_count; index++) {
        umbp_queue_t *queue = &self->queues[index];
        if (queue->busy == 0)
            continue;
        if (!queue->armed)
            queue->armed = ibv_req_notify_cq (queue->cq, 0) == 0;
        fds[count++] = (struct pollfd) { .fd = queue->channel->fd, .events = POLLIN };
    }
    for (size_t index = 0; index < self->verbs->device_count; index++)
        fds[count++] = (struct pollfd) {
            .fd = self->verbs->devices[index].context->async_fd,
            .events = POLLIN,
        };
    return count;
}

//  Take the event that woke us off its channel
static void s_disarm (umbp_verbs_link_t *self, const struct pollfd *fds)
{
    for (size_t index = 0; index < self->queue_count; index++) {
        umbp_queue_t *queue = &self->queues[index];
        struct ibv_cq *cq;
        void *context;
        if (queue->busy == 0)
            continue;
        if ((fds++)->revents && ibv_get_cq_event (queue->channel, &cq, &context) == 0) {
            ibv_ack_cq_events (cq, 1);
            queue->armed = false;
        }
    }
}

static void s_sleep (umbp_verbs_link_t *self, umbp_finish_t *finish, void *arg, int64_t deadline_ms)
{
    struct pollfd fds[UMBP_VERBS_QUEUES_MAX + UMBP_VERBS_DEVICES_MAX];
    size_t count = s_arm (self, fds);
    if (umbp_link_poll (self, finish, arg))
        return;                         //  Events that come yet find their queue armed
    int64_t left_ms = deadline_ms - umbp_clock_ms ();
    self->stats.sleeps++;
    int ready = poll (fds, count, left_ms < 0 ? 0 : left_ms > NAP_MS ? NAP_MS : (int) left_ms);
    if (ready > 0)
        s_disarm (self, fds);
    umbp_link_check (self);
    umbp_link_poll (self, finish, arg);
}

void umbp_link_wait (umbp_verbs_link_t *self, umbp_finish_t *finish, void *arg, int64_t deadline_ms)
{
    uint32_t max_us = self->verbs->options.spin_us;
    int64_t start_us = s_now_us (), end_us = start_us + self->spin_us;
    do
        if (umbp_link_poll (self, finish, arg))
            return;
    while (s_now_us () < end_us);
    s_sleep (self, finish, arg, deadline_ms);
    //  Longer, where a bit more of it would have been enough; shorter where it was in vain
    if (s_now_us () - start_us < max_us)
        self->spin_us = self->spin_us * 2 + 1 < max_us ? self->spin_us * 2 + 1 : max_us;
    else
        self->spin_us /= 2;
}

void umbp_link_abandon (umbp_verbs_link_t *self, int error, const char *why, umbp_finish_t *finish,
                        void *arg)
{
    for (size_t index = 0; index < self->queue_count; index++)
        umbp_link_lose (self, &self->queues[index], error, why);
    int64_t deadline_ms = umbp_clock_ms () + DRAIN_MS;
    while (self->busy && umbp_clock_ms () < deadline_ms)
        s_sleep (self, finish, arg, deadline_ms);
    if (self->busy == 0)
        return;
    for (size_t index = 0; index < self->queue_count; index++)
        umbp_queue_drop (&self->queues[index]);
    for (size_t index = 0; index < self->op_count; index++)
        if (self->ops[index].queue) {
            self->ops[index].queue->busy--;
            self->busy--;
            self->ops[index].queue = NULL;
            finish (arg, &self->ops[index], IBV_WC_WR_FLUSH_ERR);
        }
}

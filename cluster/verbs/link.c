//  cluster/verbs/link.c - queue pairs to one peer, over all devices: their life. See inner.h.
#include "cluster/verbs/inner.h"
#include "proto/error.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define STAGE_BYTES_MAX (256u * 1024)   //  Small enough to copy one while the device has another

umbp_op_t *umbp_link_take_op (umbp_verbs_link_t *self)
{
    umbp_op_t *op = self->free;
    if (op)
        self->free = op->next;
    return op;
}

void umbp_link_give_op (umbp_verbs_link_t *self, umbp_op_t *op)
{
    op->next = self->free;
    op->queue = NULL;
    self->free = op;
}

//  Where the queue pairs of a device belong to. Without windows the keys of a lease are registrations,
//  which are good for all of a domain: then the link has one to itself.
static struct ibv_pd *s_domain (umbp_verbs_link_t *self, umbp_device_t *device)
{
    if (!(self->rights & UMBP_VERBS_ALONE) || device->windows)
        return device->pd;
    struct ibv_pd **own = &self->pds[device->number];
    if (!*own)
        *own = ibv_alloc_pd (device->context);
    return *own;
}

//  Queue pairs go over the devices in turn, those whose port is down left out if others are up
static int s_make_queues (umbp_verbs_link_t *self, uint32_t count)
{
    umbp_device_t *devices[UMBP_VERBS_DEVICES_MAX];
    size_t device_count = 0;
    for (int any = 0; any < 2 && device_count == 0; any++)
        for (size_t index = 0; index < self->verbs->device_count; index++) {
            umbp_device_t *device = &self->verbs->devices[index];
            umbp_device_events (device);
            if (any || atomic_load (&device->up))
                devices[device_count++] = device;
        }
    assert (device_count > 0 && count > 0);
    int rc = 0;
    while (rc == 0 && self->queue_count < count) {
        umbp_device_t *device = devices[self->queue_count % device_count];
        struct ibv_pd *pd = s_domain (self, device);
        rc = pd ? umbp_queue_init (&self->queues[self->queue_count], device, pd,
                                   &self->verbs->options, self->rights)
                : UMBP_EIO;
        if (rc == 0)
            self->queue_count++;
    }
    return rc;
}

//  A request is made before its queue pair is known, so it has to suit the least of them
static void s_level (umbp_verbs_link_t *self)
{
    umbp_queue_t least = self->queues[0];
    for (size_t index = 1; index < self->queue_count; index++) {
        const umbp_queue_t *queue = &self->queues[index];
        if (queue->inline_bytes < least.inline_bytes)
            least.inline_bytes = queue->inline_bytes;
        if (queue->sges < least.sges)
            least.sges = queue->sges;
    }
    for (size_t index = 0; index < self->queue_count; index++) {
        self->queues[index].inline_bytes = least.inline_bytes;
        self->queues[index].sges = least.sges;
    }
}

static void s_make_ops (umbp_verbs_link_t *self)
{
    for (size_t index = 0; index < self->queue_count; index++)
        self->op_count += self->queues[index].depth;
    assert (self->op_count > 0);
    self->ops = calloc (self->op_count, sizeof (umbp_op_t));
    self->stages = calloc (self->op_count, sizeof (char *));
    assert (self->ops && self->stages);
    for (size_t index = 0; index < self->op_count; index++)
        umbp_link_give_op (self, &self->ops[index]);
}

umbp_verbs_link_t *umbp_verbs_link_new (umbp_verbs_t *verbs, uint32_t queues, int rights, int *rc_p)
{
    const umbp_verbs_options_t *options = &verbs->options;
    umbp_verbs_link_t *self = calloc (1, sizeof (umbp_verbs_link_t));
    assert (self);
    self->verbs = verbs;
    self->rights = rights;
    self->spin_us = options->spin_us;
    self->stage_bytes =
        options->chunk_bytes < STAGE_BYTES_MAX ? options->chunk_bytes : STAGE_BYTES_MAX;
    if (self->stage_bytes > options->staging_bytes)
        self->stage_bytes = options->staging_bytes;
    queues = queues ? queues : options->queues;
    int rc = queues > UMBP_VERBS_QUEUES_MAX ? UMBP_EINVAL : s_make_queues (self, queues);
    if (rc == 0) {
        s_level (self);
        s_make_ops (self);
    } else
        umbp_verbs_link_destroy (&self);
    if (rc_p)
        *rc_p = rc;
    return self;
}

void umbp_verbs_link_destroy (umbp_verbs_link_t **self_p)
{
    umbp_verbs_link_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < self->queue_count; index++) {
        umbp_device_events (self->queues[index].device);     //  Or destroying one waits for them
        umbp_queue_drop (&self->queues[index]);
    }
    for (size_t index = 0; index < UMBP_VERBS_DEVICES_MAX; index++)
        if (self->pds[index])
            ibv_dealloc_pd (self->pds[index]);
    umbp_mrs_drop (&self->staging_mrs);
    free (self->staging);
    free (self->stages);
    free (self->ops);
    free (self);
    *self_p = NULL;
}

void umbp_verbs_link_describe (const umbp_verbs_link_t *self, umbp_verbs_description_t *description)
{
    *description = (umbp_verbs_description_t) { .count = (uint32_t) self->queue_count };
    for (size_t index = 0; index < self->queue_count; index++)
        umbp_queue_describe (&self->queues[index], &description->queues[index]);
}

int umbp_verbs_link_connect (umbp_verbs_link_t *self, const umbp_verbs_description_t *peer)
{
    if (peer->count != self->queue_count || self->connected)
        return UMBP_EPROTO;
    self->connected = true;
    for (size_t index = 0; index < self->queue_count; index++) {
        int rc =
            umbp_queue_connect (&self->queues[index], &peer->queues[index], &self->verbs->options);
        if (rc != 0)
            return rc;
    }
    self->alive = self->queue_count;
    return 0;
}

void umbp_link_lose (umbp_verbs_link_t *self, umbp_queue_t *queue, int error, const char *why)
{
    if (queue->broken)
        return;
    umbp_queue_fail (queue);
    self->alive--;
    self->stats.queues_lost++;
    self->last_error = error;
    snprintf (self->why, sizeof self->why, "queue pair %u of %s: %s",
              queue->qp ? queue->qp->qp_num : 0, queue->device->name, why);
}

void umbp_link_check (umbp_verbs_link_t *self)
{
    for (size_t index = 0; index < self->queue_count; index++) {
        umbp_queue_t *queue = &self->queues[index];
        umbp_device_events (queue->device);
        if (self->alive && !queue->broken && !atomic_load (&queue->device->up))
            umbp_link_lose (self, queue, UMBP_EUNREACH, "the port is down");
    }
}

//  Where we only answer no completion tells us that a queue pair failed: ask the device
size_t umbp_verbs_link_alive (umbp_verbs_link_t *self)
{
    umbp_link_check (self);
    for (size_t index = 0; index < self->queue_count && self->alive; index++) {
        umbp_queue_t *queue = &self->queues[index];
        struct ibv_qp_attr attr;
        struct ibv_qp_init_attr init;
        if (!queue->broken && ibv_query_qp (queue->qp, &attr, IBV_QP_STATE, &init) == 0
            && attr.qp_state != IBV_QPS_RTS)
            umbp_link_lose (self, queue, UMBP_ECLOSED, "the peer broke the rules of its keys");
    }
    return self->alive;
}

const char *umbp_verbs_link_why (const umbp_verbs_link_t *self)
{
    return self->why;
}

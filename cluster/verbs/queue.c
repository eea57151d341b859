//  cluster/verbs/queue.c - one reliable queue pair: made, described, connected, ended. See inner.h.
#include "cluster/bulk/verbs_gid.h"
#include "cluster/verbs/inner.h"
#include "proto/error.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define CONTROL_MAX 4                   //  Requests for windows, over the depth
#define RNR_TIMER 12                    //  0.64 ms until a receiver not ready is asked again
#define RNR_TRIES 6                     //  7 would be for ever
#define HOPS_MAX 64

static uint32_t s_least (uint32_t one, uint32_t other)
{
    return one < other ? one : other;
}

static enum ibv_mtu s_mtu (uint32_t bytes)
{
    enum ibv_mtu mtu = IBV_MTU_256;
    for (; bytes > 256; bytes /= 2)
        mtu++;
    return mtu;
}

static unsigned s_access (int rights)
{
    return (rights & UMBP_VERBS_READ ? IBV_ACCESS_REMOTE_READ : 0u)
           | (rights & UMBP_VERBS_WRITE ? IBV_ACCESS_REMOTE_WRITE : 0u);
}

//  Make the queue pair. A device that has no room for inline bytes gets none.
static int s_make (umbp_queue_t *self, struct ibv_pd *pd, const umbp_verbs_options_t *options)
{
    umbp_device_t *device = self->device;
    self->depth = s_least (options->depth, device->depth);
    self->sges = s_least (UMBP_VERBS_SGE_MAX, device->sges);
    self->inline_bytes = options->inline_bytes;
    self->channel = ibv_create_comp_channel (device->context);
    if (self->channel)
        self->cq = ibv_create_cq (device->context, (int) self->depth + CONTROL_MAX + 1, NULL,
                                  self->channel, 0);
    struct ibv_qp_init_attr attr = {
        .send_cq = self->cq,
        .recv_cq = self->cq,
        .qp_type = IBV_QPT_RC,
        .cap = {
            .max_send_wr = self->depth + CONTROL_MAX,
            .max_recv_wr = 1,
            .max_send_sge = self->sges,
            .max_recv_sge = 1,
            .max_inline_data = self->inline_bytes,
        },
    };
    if (self->cq)
        self->qp = ibv_create_qp (pd, &attr);
    if (!self->qp && self->cq && self->inline_bytes) {
        self->inline_bytes = attr.cap.max_inline_data = 0;
        self->qp = ibv_create_qp (pd, &attr);
    }
    if (self->qp)
        return 0;
    return errno == ENOMEM ? UMBP_ENOSPC : UMBP_EIO;
}

int umbp_queue_init (umbp_queue_t *self, umbp_device_t *device, struct ibv_pd *pd,
                     const umbp_verbs_options_t *options, int rights)
{
    *self = (umbp_queue_t) { .device = device };
    self->mtu = umbp_verbs_mtu (options->mtu, device->mtu, 4096);
    self->reads = s_least (options->reads, device->reads);
    if (getrandom (&self->psn, sizeof self->psn, 0) != sizeof self->psn)
        return UMBP_EIO;
    self->psn &= 0xffffff;
    int rc = s_make (self, pd, options);
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_INIT,
        .port_num = device->port,
        .qp_access_flags = s_access (rights),
    };
    if (rc == 0
        && ibv_modify_qp (self->qp, &attr,
                          IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS)
               != 0)
        rc = UMBP_EIO;
    if (rc != 0)
        umbp_queue_drop (self);
    return rc;
}

void umbp_queue_drop (umbp_queue_t *self)
{
    if (self->qp)
        ibv_destroy_qp (self->qp);
    if (self->cq)
        ibv_destroy_cq (self->cq);
    if (self->channel)
        ibv_destroy_comp_channel (self->channel);
    self->qp = NULL;
    self->cq = NULL;
    self->channel = NULL;
    self->broken = true;
}

void umbp_queue_describe (const umbp_queue_t *self, umbp_verbs_queue_t *description)
{
    *description = (umbp_verbs_queue_t) {
        .number = self->qp->qp_num,
        .psn = self->psn,
        .lid = self->device->lid,
        .mtu = (uint16_t) self->mtu,
        .reads = (uint8_t) s_least (self->reads, 255),
        .device = self->device->number,
    };
    memcpy (description->gid, self->device->gid, 16);
}

//  Returns 0, or what ibv_modify_qp did: an error number
static int s_ready_to_receive (umbp_queue_t *self, const umbp_verbs_queue_t *peer, uint32_t mtu)
{
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_RTR,
        .path_mtu = s_mtu (mtu),
        .dest_qp_num = peer->number,
        .rq_psn = peer->psn,
        .max_dest_rd_atomic = (uint8_t) s_least (self->reads, 255),
        .min_rnr_timer = RNR_TIMER,
        .ah_attr = {
            .is_global = 1,
            .dlid = peer->lid,
            .port_num = self->device->port,
            .grh = { .sgid_index = self->device->gid_index, .hop_limit = HOPS_MAX },
        },
    };
    memcpy (attr.ah_attr.grh.dgid.raw, peer->gid, 16);
    return ibv_modify_qp (self->qp, &attr,
                          IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN
                              | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
}

int umbp_queue_connect (umbp_queue_t *self, const umbp_verbs_queue_t *peer,
                        const umbp_verbs_options_t *options)
{
    uint32_t mtu = umbp_verbs_mtu (0, self->mtu, peer->mtu);
    if (mtu == 0 || peer->number > 0xffffff || peer->psn > 0xffffff || peer->reads == 0
        || peer->device >= UMBP_VERBS_DEVICES_MAX)
        return UMBP_EPROTO;
    int error = s_ready_to_receive (self, peer, mtu);
    if (error)
        return error == EINVAL || error == ENETUNREACH || error == EHOSTUNREACH ? UMBP_EUNREACH
                                                                                : UMBP_EIO;
    self->reads = s_least (self->reads, peer->reads);
    self->peer_device = peer->device;
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_RTS,
        .timeout = umbp_verbs_timeout (options->silence_ms, UMBP_VERBS_TRIES + 1),
        .retry_cnt = UMBP_VERBS_TRIES,
        .rnr_retry = RNR_TRIES,
        .sq_psn = self->psn,
        .max_rd_atomic = (uint8_t) self->reads,
    };
    error = ibv_modify_qp (self->qp, &attr,
                           IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY
                               | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
    return error ? UMBP_EIO : 0;
}

void umbp_queue_fail (umbp_queue_t *self)
{
    struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };
    if (self->qp)
        ibv_modify_qp (self->qp, &attr, IBV_QP_STATE);
    self->broken = true;
}

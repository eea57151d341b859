//  actors/migrator_errand.c - a migrator's worker has no post, and it may wait: what it wants to ask
//  the verbs actor of another node, or to tell it, goes through here. Nothing waits here.
#include "actors/migrator_self.h"

#define NUMBER_BITS 56                  //  Of a tag; the lane is above

//  Two frames: what became of it, and the answer, if there is one
static void s_return (umbp_lane_t *lane, uint64_t number, int rc, const void *wire, size_t size)
{
    const umbp_errand_ok_t ok = { .number = number, .rc = rc };
    void *sock = zsock_resolve (lane->sock);
    if (zmq_send (sock, &ok, sizeof ok, ZMQ_SNDMORE | ZMQ_DONTWAIT) == sizeof ok)
        zmq_send (sock, wire, size, ZMQ_DONTWAIT);
}

static void s_on_answer (void *arg, uint64_t tag, int status, const umbp_mail_t *mail)
{
    umbp_migrator_t *self = arg;
    umbp_lane_t *lane = &self->lanes[tag >> NUMBER_BITS];
    uint64_t number = tag & ((UINT64_C (1) << NUMBER_BITS) - 1);
    int rc = status, size = 0;
    if (status == 0 && mail) {
        size = umbp_msg_encode (mail->msg, self->errand, sizeof self->errand);
        rc = size < 0 ? size : 0;
    }
    s_return (lane, number, rc, self->errand, size < 0 ? 0 : (size_t) size);
}

void umbp_migrator_errand (umbp_migrator_t *self, umbp_lane_t *lane, const umbp_errand_t *errand,
                           const void *wire, size_t size)
{
    umbp_msg_t msg;
    int rc = umbp_msg_decode (&msg, wire, size);
    assert (rc >= 0);                   //  Our own worker wrote it
    msg.call = lane->copy ? lane->copy->origin.call : 0;
    if (errand->patience_ms == 0) {
        umbp_post_tell (self->post, "verbs", errand->node, &msg);
        return;
    }
    uint64_t tag = (uint64_t) (lane - self->lanes) << NUMBER_BITS | errand->number;
    rc = umbp_post_ask (self->post, "verbs", errand->node, &msg, NULL, 0, errand->patience_ms,
                        s_on_answer, tag);
    if (rc < 0)
        s_return (lane, errand->number, rc, NULL, 0);
}

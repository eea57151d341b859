//  actors/migrator_worker.c - the thread that waits for a migrator's bytes. See migrator_worker.h.
#include "actors/migrator_worker.h"

#include "cluster/bulk/clock.h"
#include "proto/error.h"

#define GRACE_MS 1000                   //  For an answer to come from the migrator

typedef struct {
    zsock_t *pipe, *sock;
    size_t buffer_bytes;
    umbp_mover_t *mover;
    umbp_transfer_t transfer;           //  The one under way
    umbp_far_ops_t rdma;                //  verbs NULL: there is no RDMA
    const umbp_here_t *here;
    size_t here_count;
    uint64_t errands;
    zmq_msg_t frame;                    //  Of the last answer
    umbp_msg_t answer;                  //  A view of it
    uint8_t wire[UMBP_ERRAND_MAX];      //  A message to be sent
} self_t;

//  Our parent wants to end us: nothing else ever comes by the pipe
static bool s_stop (void *arg)
{
    return (zsock_events (((self_t *) arg)->pipe) & ZMQ_POLLIN) != 0;
}

static int s_on_pipe (zloop_t *loop, zsock_t *pipe, void *arg)
{
    (void) loop;
    (void) pipe;
    (void) arg;
    return -1;
}

static int s_on_transfer (zloop_t *loop, zsock_t *sock, void *arg)
{
    (void) loop;
    self_t *self = arg;
    void *handle = zsock_resolve (sock);
    int size = zmq_recv (handle, &self->transfer, sizeof self->transfer, ZMQ_DONTWAIT);
    if (size == sizeof (umbp_errand_ok_t))
        zsock_flush (sock);             //  An answer for which nobody waits any more
    if (size == -1 || size == sizeof (umbp_errand_ok_t))
        return 0;
    assert (size == sizeof self->transfer && self->transfer.count <= UMBP_TRANSFER_ROWS_MAX);
    umbp_transfer_t *transfer = &self->transfer;
    transfer->broken =
        !umbp_mover_run (self->mover, &transfer->job, transfer->rows, transfer->count);
    umbp_mover_bytes (self->mover, &transfer->rdma_bytes, &transfer->tcp_bytes);
    transfer->here_bytes = umbp_mover_here_bytes (self->mover);
    zmq_send (handle, &self->transfer, sizeof self->transfer, ZMQ_DONTWAIT);
    return 0;
}

//  --------------------------------------------------------------------------------------------------
//  Errands

static int s_send (self_t *self, const char *node, umbp_msg_t *msg, uint32_t patience_ms)
{
    umbp_errand_t errand = { .number = ++self->errands, .patience_ms = patience_ms };
    snprintf (errand.node, sizeof errand.node, "%s", node);
    int size = umbp_msg_encode (msg, self->wire, sizeof self->wire);
    if (size < 0)
        return size;
    void *sock = zsock_resolve (self->sock);
    if (zmq_send (sock, &errand, sizeof errand, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1)
        return UMBP_EAGAIN;
    return zmq_send (sock, self->wire, (size_t) size, ZMQ_DONTWAIT) == -1 ? UMBP_EAGAIN : 0;
}

//  Take two frames, if they are there. Returns true if they are the answer to our errand.
static bool s_take (self_t *self, umbp_errand_ok_t *ok)
{
    void *sock = zsock_resolve (self->sock);
    zmq_msg_t first;
    zmq_msg_init (&first);
    bool fine = zmq_msg_recv (&first, sock, ZMQ_DONTWAIT) == sizeof *ok && zmq_msg_more (&first)
                && zmq_msg_recv (&self->frame, sock, ZMQ_DONTWAIT) != -1;
    if (fine)
        memcpy (ok, zmq_msg_data (&first), sizeof *ok);
    zmq_msg_close (&first);
    return fine && ok->number == self->errands;      //  Else it is late
}

//  The migrator answers in time, unless it is about to end
static int s_await (self_t *self, int64_t until_ms, umbp_errand_ok_t *ok)
{
    zmq_pollitem_t items[] = { { .socket = zsock_resolve (self->sock), .events = ZMQ_POLLIN },
                               { .socket = zsock_resolve (self->pipe), .events = ZMQ_POLLIN } };
    for (int64_t left_ms = 1; left_ms > 0;) {
        left_ms = until_ms - umbp_clock_ms ();
        if (zmq_poll (items, 2, left_ms > 0 ? (long) left_ms : 0) == -1
            || items[1].revents & ZMQ_POLLIN)
            return UMBP_ECLOSED;
        if (items[0].revents & ZMQ_POLLIN && s_take (self, ok))
            return 0;
    }
    return UMBP_ETIMEDOUT;
}

static int s_ask (void *arg, const char *node, umbp_msg_t *msg, int expected, int64_t deadline_ms,
                  const umbp_msg_t **answer_p)
{
    self_t *self = arg;
    umbp_errand_ok_t ok;
    int64_t left_ms = deadline_ms - umbp_clock_ms ();
    int rc = left_ms > 0 ? s_send (self, node, msg, (uint32_t) left_ms) : UMBP_ETIMEDOUT;
    if (rc == 0)
        rc = s_await (self, deadline_ms + GRACE_MS, &ok);
    if (rc == 0)
        rc = ok.rc;
    if (rc == 0
        && (umbp_msg_decode (&self->answer, zmq_msg_data (&self->frame),
                             zmq_msg_size (&self->frame))
                < 0
            || self->answer.type != expected))
        rc = UMBP_EPROTO;
    *answer_p = rc == 0 ? &self->answer : NULL;
    return rc;
}

static void s_tell (void *arg, const char *node, umbp_msg_t *msg)
{
    s_send (arg, node, msg, 0);
}

//  --------------------------------------------------------------------------------------------------
//  The thread

static void s_worker (zsock_t *pipe, void *arg)
{
    self_t *self = arg;
    self->pipe = pipe;
    self->mover = umbp_mover_new (self->buffer_bytes, s_stop, self);
    umbp_mover_use_here (self->mover, self->here, self->here_count);
    zmq_msg_init (&self->frame);
    if (self->rdma.verbs)
        umbp_mover_use_rdma (self->mover, &self->rdma);
    zsock_signal (pipe, 0);
    zloop_t *loop = zloop_new ();
    zloop_set_nonstop (loop, true);     //  Only $TERM ends us; signals are for main
    zloop_reader (loop, pipe, s_on_pipe, self);
    zloop_reader (loop, self->sock, s_on_transfer, self);
    zloop_start (loop);
    zloop_destroy (&loop);
    umbp_mover_destroy (&self->mover);
    zmq_msg_close (&self->frame);
    zsock_destroy (&self->sock);
    free (self);
}

zactor_t *umbp_migrator_worker_new (zsock_t **sock_p, size_t buffer_bytes,
                                    const umbp_verbs_api_t *rdma_api, umbp_verbs_t *rdma,
                                    const umbp_here_t *here, size_t here_count)
{
    self_t *self = zmalloc (sizeof (self_t));
    self->sock = *sock_p;
    self->buffer_bytes = buffer_bytes;
    self->here = here;
    self->here_count = here_count;
    self->rdma = (umbp_far_ops_t){ .api = rdma_api,
                                   .verbs = rdma,
                                   .ask = s_ask,
                                   .tell = s_tell,
                                    .arg = self };
    *sock_p = NULL;
    return zactor_new (s_worker, self);
}

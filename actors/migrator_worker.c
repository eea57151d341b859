//  actors/migrator_worker.c - the thread that waits for a migrator's bytes. See migrator_worker.h.
#include "actors/migrator_worker.h"

typedef struct {
    zsock_t *pipe, *sock;
    size_t buffer_bytes;
    umbp_mover_t *mover;
    umbp_transfer_t transfer;           //  The one under way
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
    if (size == -1)
        return 0;
    assert (size == sizeof self->transfer && self->transfer.count <= UMBP_TRANSFER_ROWS_MAX);
    umbp_transfer_t *transfer = &self->transfer;
    transfer->broken =
        !umbp_mover_run (self->mover, &transfer->job, transfer->rows, transfer->count);
    zmq_send (handle, &self->transfer, sizeof self->transfer, ZMQ_DONTWAIT);
    return 0;
}

static void s_worker (zsock_t *pipe, void *arg)
{
    self_t *self = arg;
    self->pipe = pipe;
    self->mover = umbp_mover_new (self->buffer_bytes, s_stop, self);
    zsock_signal (pipe, 0);
    zloop_t *loop = zloop_new ();
    zloop_set_nonstop (loop, true);     //  Only $TERM ends us; signals are for main
    zloop_reader (loop, pipe, s_on_pipe, self);
    zloop_reader (loop, self->sock, s_on_transfer, self);
    zloop_start (loop);
    zloop_destroy (&loop);
    umbp_mover_destroy (&self->mover);
    zsock_destroy (&self->sock);
    free (self);
}

zactor_t *umbp_migrator_worker_new (zsock_t **sock_p, size_t buffer_bytes)
{
    self_t *self = zmalloc (sizeof (self_t));
    self->sock = *sock_p;
    self->buffer_bytes = buffer_bytes;
    *sock_p = NULL;
    return zactor_new (s_worker, self);
}

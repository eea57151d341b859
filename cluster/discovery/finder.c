//  cluster/discovery/finder.c - the shape all ways of discovery share. See finder.h.
#include "cluster/discovery/finder.h"

#include "cluster/endpoint.h"
#include "cluster/post.h"

#define WIRE_MAX (UMBP_TEXT_MAX + 64)   //  Bytes in a found message

struct umbp_finder {
    zsock_t *registry;                  //  DEALER
    char endpoint[UMBP_TEXT_MAX + 1];
};

typedef struct {
    void *self;
    void (*start) (void *self, zloop_t *loop);
    void (*destroy) (void **self_p);
} shell_t;

umbp_finder_t *umbp_finder_new (const char *instance, const char *endpoint)
{
    umbp_finder_t *self = zmalloc (sizeof (umbp_finder_t));
    char inproc[2 * UMBP_TEXT_MAX];
    self->registry = zsock_new (ZMQ_DEALER);
    zsock_set_linger (self->registry, 0);
    zsock_connect (self->registry, "%s",
                   umbp_post_inproc (instance, "registry", inproc, sizeof inproc));
    snprintf (self->endpoint, sizeof self->endpoint, "%s", endpoint);
    return self;
}

void umbp_finder_destroy (umbp_finder_t **self_p)
{
    assert (self_p);
    if (*self_p)
        zsock_destroy (&(*self_p)->registry);
    freen (*self_p);
}

//  If the registry's queue is full, it has been told enough
void umbp_finder_found (umbp_finder_t *self, const char *endpoint)
{
    if (streq (endpoint, self->endpoint) || !umbp_endpoint_ok (umbp_text (endpoint)))
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_found, 0);
    msg.found.endpoint = umbp_text (endpoint);
    byte wire[WIRE_MAX];
    int size = umbp_msg_encode (&msg, wire, sizeof wire);
    void *handle = zsock_resolve (self->registry);
    if (size > 0 && zmq_send (handle, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) != -1)
        zmq_send (handle, wire, (size_t) size, ZMQ_DONTWAIT);
}

static int s_on_pipe (zloop_t *loop, zsock_t *pipe, void *arg)
{
    (void) loop;
    (void) arg;
    char *command = zstr_recv (pipe);
    int rc = !command || streq (command, "$TERM") ? -1 : 0;
    freen (command);
    return rc;
}

static void s_actor (zsock_t *pipe, void *arg)
{
    shell_t *shell = arg;
    zsock_signal (pipe, 0);
    zloop_t *loop = zloop_new ();
    zloop_set_nonstop (loop, true);     //  Only $TERM ends us; signals are for main
    zloop_reader (loop, pipe, s_on_pipe, NULL);
    shell->start (shell->self, loop);
    zloop_start (loop);
    zloop_destroy (&loop);
    shell->destroy (&shell->self);
    free (shell);
}

zactor_t *umbp_finder_actor (void *self, void (*start) (void *self, zloop_t *loop),
                             void (*destroy) (void **self_p))
{
    shell_t *shell = zmalloc (sizeof (shell_t));
    *shell = (shell_t) { self, start, destroy };
    return zactor_new (s_actor, shell);
}

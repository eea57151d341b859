//  cluster/discovery/gossip.c - nodes found by zgossip. See gossip.h.
//
//  A tuple: the id of a node -> "<hash of the cluster's name, 16 hex digits>/<endpoint>"
#include "cluster/discovery/gossip.h"

#include <inttypes.h>
#include <xxhash.h>

#include "cluster/discovery/finder.h"
#include "cluster/endpoint.h"
#include "proto/error.h"

#define REPEAT_MS 10000
#define RETRY_MS 1000                   //  Names that were not found, and a zgossip that broke
#define PREFIX_SIZE 17                  //  Of the hash and the slash
#define HEARD_MAX UMBP_NODES_MAX
#define DRAIN_MAX 64

typedef struct {
    umbp_finder_t *finder;
    zactor_t *gossip;                   //  NULL: broke, to be started anew
    char prefix[PREFIX_SIZE + 1];
    char *node, *endpoint, *bind, *connect;
    const char *at;                     //  The rest of the list to connect to
    bool missed;                        //  A name of the list was not found
    zhashx_t *connected;                //  Endpoints that zgossip was told
    zhashx_t *heard;                    //  Node -> its endpoint
    int port;
    unsigned repeat_ms;
} self_t;

static void s_text_free (void **item)
{
    free (*item);
    *item = NULL;
}

//  -----------------------------------------------------------------------------------------------
//  zgossip itself

static int s_port (zactor_t *gossip)
{
    char *reply = NULL, *port = NULL;
    int number = -1;
    zstr_sendx (gossip, "PORT", NULL);
    //  Nothing was published yet, so that the first thing it says is the answer
    if (zstr_recvx (gossip, &reply, &port, NULL) == 2 && streq (reply, "PORT"))
        number = atoi (port);
    zstr_free (&reply);
    zstr_free (&port);
    return number;
}

//  Had we left the choice of the port to zgossip, it has to stay the same from now on
static void s_keep_port (self_t *self)
{
    char endpoint[2 * UMBP_TEXT_MAX];
    char *colon = strrchr (self->bind, ':');
    int host_size = (int) (colon ? colon - self->bind : 0);
    snprintf (endpoint, sizeof endpoint, "%.*s:%d", host_size, self->bind, self->port);
    free (self->bind);
    self->bind = strdup (endpoint);
}

//  Starts zgossip, and binds and publishes. Returns false if it cannot bind.
static bool s_open (self_t *self)
{
    char value[PREFIX_SIZE + UMBP_TEXT_MAX + 1];
    snprintf (value, sizeof value, "%s%s", self->prefix, self->endpoint);
    self->gossip = zactor_new (zgossip, "gossip");
    zsock_set_rcvtimeo (self->gossip, 5000);
    if (*self->bind) {
        zstr_sendx (self->gossip, "BIND", self->bind, NULL);
        self->port = s_port (self->gossip);
    }
    if (*self->bind && self->port <= 0) {
        zactor_destroy (&self->gossip);
        return false;
    }
    if (*self->bind)
        s_keep_port (self);
    zhashx_purge (self->connected);
    zstr_sendx (self->gossip, "PUBLISH", self->node, value, NULL);
    self->at = self->connect;
    return true;
}

//  Node and value of a tuple
static void s_deliver (self_t *self, const char *node, const char *value)
{
    size_t size = strlen (node);
    if (size == 0 || size > UMBP_NAME_MAX || strncmp (value, self->prefix, PREFIX_SIZE) != 0
        || !umbp_endpoint_ok (umbp_text (value + PREFIX_SIZE))
        || (zhashx_size (self->heard) >= HEARD_MAX && !zhashx_lookup (self->heard, node)))
        return;
    zhashx_update (self->heard, node, strdup (value + PREFIX_SIZE));
    umbp_finder_found (self->finder, value + PREFIX_SIZE);
}

static int s_on_turn (zloop_t *loop, int timer, void *arg);

//  What zgossip says. Its thread ends with a signal, then it has broken.
static int s_on_gossip (zloop_t *loop, zsock_t *sock, void *arg)
{
    self_t *self = arg;
    for (int budget = DRAIN_MAX; budget > 0 && self->gossip; budget--) {
        if (!(zsock_events (sock) & ZMQ_POLLIN))
            break;
        zmsg_t *msg = zmsg_recv (sock);
        if (!msg)
            break;
        bool broke = zmsg_signal (msg) >= 0;
        char *what = zmsg_popstr (msg), *node = zmsg_popstr (msg), *value = zmsg_popstr (msg);
        if (!broke && what && node && value && streq (what, "DELIVER"))
            s_deliver (self, node, value);
        zstr_free (&what);
        zstr_free (&node);
        zstr_free (&value);
        zmsg_destroy (&msg);
        if (broke) {
            zsys_warning ("gossip: broke, it is started anew");
            zloop_reader_end (loop, sock);
            zactor_destroy (&self->gossip);
            zloop_timer (loop, RETRY_MS, 1, s_on_turn, self);
        }
    }
    return 0;
}

//  -----------------------------------------------------------------------------------------------
//  Turns: one step each, so that a slow name server keeps us from the pipe for one look-up only

//  Connect to the next of the list. Returns false if there is no more.
static bool s_connect_next (self_t *self)
{
    umbp_text_t peer = umbp_endpoint_next (&self->at);
    if (peer.size == 0)
        return false;
    char name[UMBP_TEXT_MAX + 1], endpoint[UMBP_TEXT_MAX + 1];
    umbp_text_copy (peer, name, sizeof name);
    if (umbp_endpoint_resolve (name, endpoint, sizeof endpoint) < 0)
        self->missed = true;
    else if (zhashx_insert (self->connected, endpoint, self) == 0)
        zstr_sendx (self->gossip, "CONNECT", endpoint, NULL);
    return true;
}

static int s_on_turn (zloop_t *loop, int timer, void *arg)
{
    (void) timer;
    self_t *self = arg;
    unsigned delay_ms = 0;
    if (!self->gossip) {
        if (s_open (self))
            zloop_reader (loop, zactor_sock (self->gossip), s_on_gossip, self);
        else
            delay_ms = RETRY_MS;
    } else if (!s_connect_next (self)) {
        if (!self->missed)
            return 0;
        self->missed = false;
        self->at = self->connect;
        delay_ms = RETRY_MS;
    }
    zloop_timer (loop, delay_ms, 1, s_on_turn, self);
    return 0;
}

static int s_on_repeat (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    self_t *self = arg;
    for (const char *endpoint = zhashx_first (self->heard); endpoint;
         endpoint = zhashx_next (self->heard))
        umbp_finder_found (self->finder, endpoint);
    return 0;
}

//  -----------------------------------------------------------------------------------------------
//  Life

static void s_start (void *owner, zloop_t *loop)
{
    self_t *self = owner;
    zloop_reader (loop, zactor_sock (self->gossip), s_on_gossip, self);
    zloop_timer (loop, 0, 1, s_on_turn, self);
    zloop_timer (loop, self->repeat_ms, 0, s_on_repeat, self);
}

static void s_destroy (void **self_p)
{
    self_t *self = *self_p;
    zactor_destroy (&self->gossip);
    umbp_finder_destroy (&self->finder);
    zhashx_destroy (&self->heard);
    zhashx_destroy (&self->connected);
    free (self->node);
    free (self->endpoint);
    free (self->bind);
    free (self->connect);
    freen (*self_p);
}

static bool s_is_list (const char *list)
{
    umbp_text_t peer = umbp_endpoint_next (&list);
    while (peer.size > 0 && umbp_endpoint_ok (peer))
        peer = umbp_endpoint_next (&list);
    return peer.size == 0;
}

zactor_t *umbp_gossip_new (const umbp_gossip_args_t *args, int *port_p)
{
    const char *connect = args->connect ? args->connect : "";
    if (!s_is_list (connect)) {
        zsys_error ("gossip: not a list of tcp://host:port: '%s'", connect);
        return NULL;
    }
    self_t *self = zmalloc (sizeof (self_t));
    snprintf (self->prefix, sizeof self->prefix, "%016" PRIx64 "/",
              (uint64_t) XXH3_64bits (args->cluster, strlen (args->cluster)));
    self->finder = umbp_finder_new (args->instance, args->endpoint);
    self->node = strdup (args->node);
    self->endpoint = strdup (args->endpoint);
    self->bind = strdup (args->bind ? args->bind : "");
    self->connect = strdup (connect);
    self->repeat_ms = args->repeat_ms ? args->repeat_ms : REPEAT_MS;
    self->connected = zhashx_new ();
    self->heard = zhashx_new ();
    zhashx_set_destructor (self->heard, s_text_free);
    if (!s_open (self)) {
        zsys_error ("gossip: cannot listen on %s", self->bind);
        void *owner = self;
        s_destroy (&owner);
        return NULL;
    }
    if (port_p)
        *port_p = self->port;
    return umbp_finder_actor (self, s_start, s_destroy);
}

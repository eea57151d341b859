//  cluster/link.c - carries messages between nodes. See link.h for the contract.
#include "cluster/link.h"

#include "cluster/clients.h"
#include "cluster/endpoint.h"
#include "cluster/link_sockets.h"
#include "cluster/origin.h"
#include "cluster/post.h"
#include "cluster/ways.h"
#include "proto/message.h"

#define DRAIN_MAX 256
#define FRAMES_MAX 6
#define LINGER_MS 250                   //  At the end, for what was said last

typedef struct link link_t;

struct link {
    char instance[UMBP_TEXT_MAX], node[UMBP_NAME_MAX + 1], actors[4 * UMBP_TEXT_MAX];
    zsock_t *pipe, *local;
    void *context, *wire;               //  A ZeroMQ socket in a context of its own; NULL: in CZMQ's
    umbp_curve_t curve;                 //  Our own keys; off: all links are plain
    umbp_keyring_t *keys;               //  Who may speak to us, as the gate says
    zsock_t *gate;                      //  Its end of a pair; NULL: there is none
    umbp_link_report_t report;          //  What the gate is told
    zloop_t *loop;
    umbp_ways_t *ways;
    zhashx_t *nodes;                    //  Id of a member -> its endpoint
    umbp_clients_t *clients;            //  What they have under way
    umbp_msg_t msg;
    uint64_t malformed, unreachable, lost, crowded;
};

static void s_text_free (void **item)
{
    free (*item);
    *item = NULL;
}

//  -----------------------------------------------------------------------------------------------
//  Frames

typedef struct {
    zmq_msg_t frames[FRAMES_MAX];
    size_t count;                       //  More than FRAMES_MAX: some were thrown away
} parcel_t;

static bool s_receive (void *handle, parcel_t *parcel)
{
    parcel->count = 0;
    bool more = true;
    while (more) {
        zmq_msg_t spare;
        zmq_msg_t *frame = parcel->count < FRAMES_MAX ? &parcel->frames[parcel->count] : &spare;
        zmq_msg_init (frame);
        if (zmq_msg_recv (frame, handle, ZMQ_DONTWAIT) == -1) {
            zmq_msg_close (frame);
            return parcel->count > 0;
        }
        more = zmq_msg_more (frame);
        if (frame == &spare)
            zmq_msg_close (frame);
        parcel->count++;
    }
    return true;
}

static void s_discard (parcel_t *parcel)
{
    for (size_t index = 0; index < parcel->count && index < FRAMES_MAX; index++)
        zmq_msg_close (&parcel->frames[index]);
}

//  The frames from first on, as they are, the last of them without MORE. Returns false if the queue
//  is full.
static bool s_pass_on (void *handle, parcel_t *parcel, size_t first)
{
    for (size_t index = first; index < parcel->count; index++)
        if (zmq_msg_send (&parcel->frames[index], handle,
                          ZMQ_DONTWAIT | (index + 1 < parcel->count ? ZMQ_SNDMORE : 0))
            == -1)
            return false;
    return true;
}

static bool s_send (void *handle, const void *data, size_t size)
{
    return zmq_send (handle, size ? data : "", size, ZMQ_DONTWAIT | ZMQ_SNDMORE) != -1;
}

//  Put the sender of a request on top of its origin. Returns the new size, 0 if it does not fit.
static size_t s_push (parcel_t *parcel, char side, const umbp_pass_t *pass, uint8_t *origin)
{
    uint8_t user[UMBP_ORIGIN_USER_MAX];
    umbp_origin_entry_t entry = { .side = side,
                                  .id = zmq_msg_data (&parcel->frames[0]),
                                  .id_size = zmq_msg_size (&parcel->frames[0]),
                                  .user = user,
                                  .user_size = pass ? umbp_origin_write_user (pass, user) : 0,
                                  .rest = zmq_msg_data (&parcel->frames[2]),
                                  .rest_size = zmq_msg_size (&parcel->frames[2]) };
    return umbp_origin_push (&entry, origin);
}

//  The last entry is the first one that was put there
bool umbp_link_from_client (const uint8_t *origin, size_t size)
{
    umbp_origin_entry_t entry = { .side = UMBP_SIDE_LOCAL };
    while (size > 0 && umbp_origin_pop (origin, size, &entry)) {
        origin = entry.rest;
        size = entry.rest_size;
    }
    return entry.side == UMBP_SIDE_WIRE || entry.side == UMBP_SIDE_SECURE;
}

//  -----------------------------------------------------------------------------------------------
//  Requests: [sender][address][origin][message][payload]

//  Answer in the place of somebody who cannot be reached
static void s_refuse (link_t *self, void *handle, parcel_t *parcel, int status, const char *reason)
{
    zmq_msg_t *frame = &parcel->frames[3];
    umbp_msg_decode (&self->msg, zmq_msg_data (frame), zmq_msg_size (frame));
    uint64_t id = self->msg.id;
    if (id == 0)
        return;
    umbp_msg_init (&self->msg, UMBP_MSG_refused, id);
    self->msg.status = (int16_t) status;
    self->msg.refused.reason = umbp_text (reason);
    uint8_t wire[2 * UMBP_TEXT_MAX];
    int size = umbp_msg_encode (&self->msg, wire, sizeof wire);
    if (size < 0 || zmq_msg_send (&parcel->frames[0], handle, ZMQ_DONTWAIT | ZMQ_SNDMORE) == -1
        || !s_send (handle, "", 0)
        || zmq_msg_send (&parcel->frames[2], handle, ZMQ_DONTWAIT | ZMQ_SNDMORE) == -1
        || zmq_send (handle, wire, (size_t) size, ZMQ_DONTWAIT) == -1)
        self->lost++;
}

static bool s_is_listed (const char *list, const char *name)
{
    size_t size = strlen (name);
    for (const char *at = list; *at; at += *at == ',') {
        size_t length = strcspn (at, ",");
        if (length == size && memcmp (at, name, size) == 0)
            return true;
        at += length;
    }
    return false;
}

//  The way to an actor; node NULL or our own is here. Only our own actors may name an endpoint in
//  place of a node, or anybody could make us connect anywhere. Returns NULL if there is none, and
//  says why.
static umbp_way_t *s_route (link_t *self, const char *actor, const char *node, char side,
                            const char **why)
{
    char inproc[2 * UMBP_TEXT_MAX];
    if (!node || streq (node, self->node)) {
        *why = "address: no such actor";
        if (!s_is_listed (self->actors, actor))
            return NULL;
        return umbp_ways_to (self->ways,
                             umbp_post_inproc (self->instance, actor, inproc, sizeof inproc),
                             UMBP_WAY_ACTOR);
    }
    *why = "address: no such node in this cluster";
    const char *endpoint = zhashx_lookup (self->nodes, node);
    if (!endpoint && (side != UMBP_SIDE_LOCAL || !umbp_endpoint_ok (umbp_text (node))))
        return NULL;
    if (self->curve.on)
        *why = "certificate: none in security/nodes is for that endpoint";
    return umbp_ways_to (self->ways, endpoint ? endpoint : node,
                         endpoint ? UMBP_WAY_MEMBER : UMBP_WAY_STRANGER);
}

static void s_learn (link_t *self, zmq_msg_t *frame);

//  A request with this origin has its end
static void s_let_go (link_t *self, const uint8_t *origin, size_t size)
{
    umbp_origin_entry_t entry;
    if (umbp_origin_pop (origin, size, &entry) && entry.side != UMBP_SIDE_LOCAL
        && entry.rest_size == 0)        //  It began at a client of ours
        umbp_clients_end (self->clients, entry.id, entry.id_size, zclock_mono ());
}

//  Split [address] at the @ into actor and node, which is NULL if there is none. Returns false if
//  it is malformed.
static bool s_read_address (parcel_t *parcel, char *room, const char **node)
{
    size_t size = parcel->count > 1 ? zmq_msg_size (&parcel->frames[1]) : 0;
    if (parcel->count < 4 || parcel->count > 5 || size == 0 || size > UMBP_ADDRESS_MAX)
        return false;
    memcpy (room, zmq_msg_data (&parcel->frames[1]), size);
    room[size] = 0;
    char *at = strchr (room, '@');
    *node = at ? at + 1 : NULL;
    if (at)
        *at = 0;
    size_t actor_size = strlen (room);
    return actor_size > 0 && actor_size <= UMBP_NAME_MAX && (at || actor_size == size);
}

//  Whose certificate a message came with: the gate let its key in when it connected. NULL if it is
//  not good any more.
static const umbp_pass_t *s_sender (link_t *self, parcel_t *parcel)
{
    uint8_t key[UMBP_CURVE_KEY];
    const char *text = zmq_msg_gets (&parcel->frames[1], "User-Id");
    if (!text || strlen (text) != UMBP_CURVE_TEXT - 1 || !zmq_z85_decode (key, text))
        return NULL;
    const umbp_pass_t *pass = umbp_keyring_find (self->keys, key);
    if (!pass)
        memcpy (self->report.removed_key, key, sizeof key);
    return pass;
}

static void s_report (link_t *self)
{
    self->report.unnamed = umbp_ways_unnamed (self->ways);
    if (self->gate)
        zmq_send (zsock_resolve (self->gate), &self->report, sizeof self->report, ZMQ_DONTWAIT);
}

//  The id of a message, as our own encoder writes it: first the type, a number, then the id if there
//  is one. Others may write it elsewhere.
static uint64_t s_id (link_t *self, zmq_msg_t *frame)
{
    const uint8_t *data = zmq_msg_data (frame);
    size_t size = zmq_msg_size (frame), at = size > 1 && data[0] == 0xb8 ? 2 : 1;
    if (size > at + 4 && data[0] >= 0xa1 && data[0] <= 0xb8 && data[at] == 0) {
        at += data[at + 1] < 24 ? 2 : data[at + 1] == 24 ? 3 : size;
        if (at + 1 < size && data[at] == 1 && data[at + 1] <= 27)
            return data[at + 1] != 0;   //  Not in its shortest form: asked for all the same
    }
    umbp_msg_decode (&self->msg, data, size);
    return self->msg.id;
}

//  Requests of clients of ours wait in queues that all share, and no client may fill one. What wants
//  no answer is not counted, since nobody says when it is done. Returns false if it is not to be
//  passed on.
static bool s_let_in (link_t *self, char side, parcel_t *parcel, bool *counted_p)
{
    *counted_p = false;
    zmq_msg_t *sender = &parcel->frames[0], *body = &parcel->frames[3];
    if (side == UMBP_SIDE_LOCAL || zmq_msg_size (&parcel->frames[2]) > 0 || s_id (self, body) == 0)
        return true;
    size_t bytes = zmq_msg_size (body);
    bytes += parcel->count > 4 ? zmq_msg_size (&parcel->frames[4]) : 0;
    *counted_p = umbp_clients_begin (self->clients, zmq_msg_data (sender), zmq_msg_size (sender),
                                     bytes, zclock_mono ());
    return *counted_p;
}

static void s_request (link_t *self, void *handle, char side, parcel_t *parcel)
{
    char actor[UMBP_ADDRESS_MAX + 1];
    uint8_t origin[UMBP_ORIGIN_MAX];
    const char *node, *why = NULL;
    size_t origin_size = 0;
    if (!s_read_address (parcel, actor, &node)) {
        self->malformed++;
        return;
    }
    const umbp_pass_t *pass = side == UMBP_SIDE_SECURE ? s_sender (self, parcel) : NULL;
    if (side == UMBP_SIDE_SECURE && !pass) {
        self->report.removed++;
        s_report (self);
        s_refuse (self, handle, parcel, UMBP_EDENIED,
                  "certificate: it was taken away from security/nodes or security/clients");
        return;
    }
    if ((origin_size = s_push (parcel, side, pass, origin)) == 0) {
        self->malformed++;
        return;
    }
    bool counted, here = !node || streq (node, self->node);
    if (here && side == UMBP_SIDE_LOCAL && streq (actor, "link")) {
        s_learn (self, &parcel->frames[3]);
        return;
    }
    if (!s_let_in (self, side, parcel, &counted)) {
        self->crowded++;
        s_refuse (self, handle, parcel, UMBP_EAGAIN, "client: too many at once from one client");
        return;
    }
    umbp_way_t *way = s_route (self, actor, node, side, &why);
    if (way && (here || s_send (way->handle, actor, strlen (actor)))
        && s_send (way->handle, origin, origin_size) && s_pass_on (way->handle, parcel, 3))
        return;
    self->unreachable++;
    s_report (self);
    if (counted)
        s_let_go (self, origin, origin_size);
    s_refuse (self, handle, parcel, UMBP_EUNREACH, way ? "address: the queue to it is full" : why);
}

static int s_drain (link_t *self, void *handle, char side, int budget)
{
    parcel_t parcel;
    for (; budget > 0 && s_receive (handle, &parcel); budget--) {
        s_request (self, handle, side, &parcel);
        s_discard (&parcel);
    }
    return 0;
}

static int s_on_local (zloop_t *loop, zsock_t *sock, void *arg)
{
    (void) loop;
    return s_drain (arg, zsock_resolve (sock), UMBP_SIDE_LOCAL, DRAIN_MAX);
}

static int s_on_wire (zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void) loop;
    link_t *self = arg;
    return s_drain (self, item->socket, self->curve.on ? UMBP_SIDE_SECURE : UMBP_SIDE_WIRE,
                    DRAIN_MAX);
}

//  -----------------------------------------------------------------------------------------------
//  Answers: [origin][message][payload] from our actors, behind an empty address from other nodes

static void s_answer (link_t *self, parcel_t *parcel, size_t first)
{
    size_t size = parcel->count > first ? zmq_msg_size (&parcel->frames[first]) : 0;
    const uint8_t *origin = size ? zmq_msg_data (&parcel->frames[first]) : NULL;
    umbp_origin_entry_t entry;
    if (size == 0 || !umbp_origin_pop (origin, size, &entry) || parcel->count < first + 2
        || parcel->count > first + 3) {
        self->malformed++;
        return;
    }
    void *handle = entry.side == UMBP_SIDE_LOCAL ? zsock_resolve (self->local) : self->wire;
    s_let_go (self, origin, size);
    if (!s_send (handle, entry.id, entry.id_size) || !s_send (handle, "", 0)
        || !s_send (handle, entry.rest, entry.rest_size) || !s_pass_on (handle, parcel, first + 1))
        self->lost++;
}

static int s_on_way (zloop_t *loop, zsock_t *sock, void *arg)
{
    (void) loop;
    (void) sock;
    umbp_way_t *way = arg;
    parcel_t parcel;
    way->asked = 0;
    for (int budget = DRAIN_MAX; budget > 0 && s_receive (way->handle, &parcel); budget--) {
        s_answer (way->owner, &parcel, way->kind == UMBP_WAY_ACTOR ? 0 : 1);
        s_discard (&parcel);
    }
    return 0;
}

//  -----------------------------------------------------------------------------------------------
//  The topology

//  Where the members are. Ways to those who left are closed, and what still waited there is lost.
static void s_learn (link_t *self, zmq_msg_t *frame)
{
    umbp_msg_t *msg = &self->msg;
    if (umbp_msg_decode (msg, zmq_msg_data (frame), zmq_msg_size (frame)) < 0
        || msg->type != UMBP_MSG_topology_ok) {
        self->malformed++;
        return;
    }
    zhashx_t *fresh = zhashx_new ();
    zhashx_set_destructor (fresh, s_text_free);
    size_t node_offset = 0, endpoint_offset = 0;
    for (size_t index = 0; index < msg->topology_ok.nodes.count; index++) {
        umbp_bytes_t node = umbp_column_next (&msg->topology_ok.nodes, index, &node_offset);
        umbp_bytes_t endpoint =
            umbp_column_next (&msg->topology_ok.endpoints, index, &endpoint_offset);
        char id[UMBP_NAME_MAX + 1], where[UMBP_TEXT_MAX + 1];
        umbp_text_copy ((umbp_text_t) { (const char *) node.data, node.size }, id, sizeof id);
        umbp_text_copy ((umbp_text_t){ (const char *) endpoint.data, endpoint.size }, where,
                        sizeof where);
        zhashx_insert (fresh, id, strdup (where));
    }
    umbp_ways_sort (self->ways, self->nodes, fresh);
    zhashx_destroy (&self->nodes);
    self->nodes = fresh;
}

//  -----------------------------------------------------------------------------------------------
//  Keys

//  The gate says who may speak to us from now on: all passes, in one frame
static int s_on_gate (zloop_t *loop, zsock_t *sock, void *arg)
{
    (void) loop;
    link_t *self = arg;
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    if (zmq_msg_recv (&frame, zsock_resolve (sock), ZMQ_DONTWAIT) != -1) {
        const umbp_pass_t *passes = zmq_msg_data (&frame);
        umbp_keyring_destroy (&self->keys);
        self->keys = umbp_keyring_new ();
        for (size_t index = 0; index < zmq_msg_size (&frame) / sizeof *passes; index++)
            umbp_keyring_add (self->keys, &passes[index]);
        umbp_ways_renew (self->ways);
    }
    zmq_msg_close (&frame);
    return 0;
}

//  -----------------------------------------------------------------------------------------------
//  Life

static int s_on_pipe (zloop_t *loop, zsock_t *pipe, void *arg)
{
    (void) loop;
    (void) arg;
    char *command = zstr_recv (pipe);
    int rc = !command || streq (command, "$TERM") ? -1 : 0;
    freen (command);
    return rc;
}

//  What our actors said before we were stopped, a leave above all, still goes out
static void s_finish (link_t *self)
{
    s_drain (self, zsock_resolve (self->local), UMBP_SIDE_LOCAL, UMBP_LINK_QUEUE_MAX);
    int linger_ms = LINGER_MS;
    zmq_setsockopt (self->wire, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    umbp_ways_linger (self->ways, LINGER_MS);
}

static void s_destroy (link_t **self_p)
{
    link_t *self = *self_p;
    umbp_clients_destroy (&self->clients);
    umbp_ways_destroy (&self->ways);
    zhashx_destroy (&self->nodes);
    zsock_destroy (&self->local);
    zsock_destroy (&self->gate);
    umbp_link_wire_close (self->context, &self->wire);
    umbp_keyring_destroy (&self->keys);
    memset (&self->curve, 0, sizeof self->curve);
    freen (*self_p);
}

static void s_actor (zsock_t *pipe, void *args)
{
    link_t *self = args;
    self->pipe = pipe;
    self->loop = zloop_new ();
    zsock_signal (pipe, 0);
    zloop_set_nonstop (self->loop, true);
    zloop_reader (self->loop, pipe, s_on_pipe, self);
    zloop_reader (self->loop, self->local, s_on_local, self);
    zmq_pollitem_t wire = { .socket = self->wire, .events = ZMQ_POLLIN };
    zloop_poller (self->loop, &wire, s_on_wire, self);
    if (self->gate)
        zloop_reader (self->loop, self->gate, s_on_gate, self);
    umbp_ways_start (self->ways, self->loop, s_on_way, self);
    zloop_start (self->loop);
    s_finish (self);
    zloop_destroy (&self->loop);
    if (self->malformed + self->unreachable + self->lost + self->crowded > 0)
        zsys_info ("link: malformed=%" PRIu64 " unreachable=%" PRIu64 " lost=%" PRIu64
                   " crowded=%" PRIu64,
                   self->malformed, self->unreachable, self->lost, self->crowded);
    s_destroy (&self);
}

//  Returns false if the gate is not there
static bool s_secure (link_t *self, const umbp_link_security_t *security)
{
    char inproc[2 * UMBP_TEXT_MAX];
    size_t count;
    const umbp_pass_t *passes = umbp_keyring_passes (security->keys, &count);
    self->keys = umbp_keyring_new ();
    for (size_t index = 0; index < count; index++)
        umbp_keyring_add (self->keys, &passes[index]);
    self->curve = *security->curve;
    umbp_ways_secure (self->ways, &self->curve, &self->keys);
    self->gate = zsock_new (ZMQ_PAIR);
    zsock_set_linger (self->gate, 0);
    umbp_post_inproc (self->instance, UMBP_LINK_GATE, inproc, sizeof inproc);
    return umbp_link_guard (self->wire, &self->curve)
           && zsock_connect (self->gate, "%s", inproc) != -1;
}

zactor_t *umbp_link_new (const umbp_link_args_t *args, char *endpoint, size_t size)
{
    return umbp_link_new_secure (args, NULL, endpoint, size);
}

zactor_t *umbp_link_new_secure (const umbp_link_args_t *args, const umbp_link_security_t *security,
                                char *endpoint, size_t size)
{
    link_t *self = zmalloc (sizeof (link_t));
    snprintf (self->instance, sizeof self->instance, "%s", args->instance);
    snprintf (self->node, sizeof self->node, "%s", args->node);
    snprintf (self->actors, sizeof self->actors, "%s",
              args->actors ? args->actors : UMBP_LINK_ACTORS);
    self->clients = umbp_clients_new (UMBP_CLIENT_LINK_MAX, UMBP_CLIENT_LINK_BYTES);
    self->ways = umbp_ways_new ();
    self->nodes = zhashx_new ();
    zhashx_set_destructor (self->nodes, s_text_free);
    self->context = security ? security->context : NULL;
    self->local = umbp_link_local ();
    self->wire = umbp_link_wire (self->context);
    char inproc[2 * UMBP_TEXT_MAX];
    umbp_post_inproc (args->instance, "link", inproc, sizeof inproc);
    if ((!security || s_secure (self, security)) && zsock_bind (self->local, "%s", inproc) != -1
        && zmq_bind (self->wire, args->listen) != -1) {
        //  Not zsock_bind: its port * counts up from 49152, into the ports of those who just left
        zmq_getsockopt (self->wire, ZMQ_LAST_ENDPOINT, endpoint, &size);
        return zactor_new (s_actor, self);
    }
    zsys_error ("link: cannot listen on %s: %s", args->listen, strerror (errno));
    s_destroy (&self);
    return NULL;
}

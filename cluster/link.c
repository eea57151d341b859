//  cluster/link.c - carries messages between nodes. See link.h for the contract.
#include "cluster/link.h"

#include "cluster/clients.h"
#include "cluster/endpoint.h"
#include "cluster/post.h"
#include "proto/message.h"

#define DRAIN_MAX 256
#define FRAMES_MAX 6
#define QUEUE_MAX 20000
#define PARCEL_MAX (UMBP_MESSAGE_MAX + UMBP_INLINE_MAX)     //  Bytes in a frame
#define STRANGERS_MAX 64                //  Ways to endpoints of no member
#define STRANGER_IDLE_MS 30000          //  They are closed when nobody used them for so long
#define LINGER_MS 250                   //  At the end, for what was said last
#define SIDE_LOCAL 'L'                  //  On the origin stack: which ROUTER the way back begins at
#define SIDE_WIRE 'W'

typedef enum {
    WAY_ACTOR,                          //  To an actor of this node
    WAY_MEMBER,                         //  To another node
    WAY_STRANGER,                       //  To an endpoint nobody has named yet
} way_kind_t;

typedef struct link link_t;

typedef struct {
    link_t *link;
    zsock_t *sock;                      //  DEALER
    void *handle;
    way_kind_t kind;
    bool member;                        //  While sorting: still one
    int64_t used;
    char endpoint[2 * UMBP_TEXT_MAX];
} way_t;

struct link {
    char instance[UMBP_TEXT_MAX], node[UMBP_NAME_MAX + 1], actors[4 * UMBP_TEXT_MAX];
    zsock_t *pipe, *local, *wire;
    zloop_t *loop;
    zhashx_t *ways;                     //  By endpoint, way_t
    size_t strangers;                   //  Ways of that kind
    zhashx_t *nodes;                    //  Id of a member -> its endpoint
    umbp_clients_t *clients;            //  What they have under way
    umbp_msg_t msg;
    uint64_t malformed, unreachable, lost, crowded;
};

static void s_way_free (void **item)
{
    way_t *way = *item;
    zsock_destroy (&way->sock);
    free (way);
    *item = NULL;
}

static void s_text_free (void **item)
{
    free (*item);
    *item = NULL;
}

static int s_on_way (zloop_t *loop, zsock_t *sock, void *arg);

static void s_way_drop (link_t *self, way_t *way)
{
    self->strangers -= way->kind == WAY_STRANGER;
    zloop_reader_end (self->loop, way->sock);
    zhashx_delete (self->ways, way->endpoint);
}

//  The stranger that nobody used for the longest time
static way_t *s_oldest_stranger (link_t *self)
{
    way_t *oldest = NULL;
    for (way_t *way = zhashx_first (self->ways); way; way = zhashx_next (self->ways))
        if (way->kind == WAY_STRANGER && (!oldest || way->used < oldest->used))
            oldest = way;
    return oldest;
}

static zsock_t *s_dealer (void)
{
    zsock_t *sock = zsock_new (ZMQ_DEALER);
    zsock_set_linger (sock, 0);
    zsock_set_sndhwm (sock, QUEUE_MAX);
    zsock_set_rcvhwm (sock, QUEUE_MAX);
    zsock_set_maxmsgsize (sock, PARCEL_MAX);
    zsock_set_reconnect_ivl_max (sock, 1000);
    zsock_set_heartbeat_ivl (sock, 2000);       //  A silent wire is given up and made anew
    zsock_set_heartbeat_timeout (sock, 6000);
    return sock;
}

//  There are as many ways as actors in the list, members and strangers, each of which is bounded
static way_t *s_way (link_t *self, const char *endpoint, way_kind_t kind)
{
    way_t *way = zhashx_lookup (self->ways, endpoint);
    if (!way) {
        if (kind == WAY_STRANGER && self->strangers == STRANGERS_MAX)
            s_way_drop (self, s_oldest_stranger (self));
        zsock_t *sock = s_dealer ();
        if (zsock_connect (sock, "%s", endpoint) == -1) {
            zsock_destroy (&sock);
            return NULL;
        }
        way = zmalloc (sizeof (way_t));
        *way = (way_t) { .link = self, .sock = sock, .handle = zsock_resolve (sock), .kind = kind };
        snprintf (way->endpoint, sizeof way->endpoint, "%s", endpoint);
        self->strangers += kind == WAY_STRANGER;
        zhashx_insert (self->ways, endpoint, way);
        zloop_reader (self->loop, sock, s_on_way, way);
    }
    way->used = zclock_mono ();
    return way;
}

static int s_on_sweep (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    link_t *self = arg;
    way_t *way;
    while ((way = s_oldest_stranger (self)) && zclock_mono () - way->used > STRANGER_IDLE_MS)
        s_way_drop (self, way);
    return 0;
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
static size_t s_push (const parcel_t *parcel, char side, uint8_t *origin)
{
    size_t id_size = zmq_msg_size ((zmq_msg_t *) &parcel->frames[0]);
    size_t rest = zmq_msg_size ((zmq_msg_t *) &parcel->frames[2]);
    if (id_size > 40 || 2 + id_size + rest > UMBP_ORIGIN_MAX)
        return 0;
    origin[0] = (uint8_t) side;
    origin[1] = (uint8_t) id_size;
    memcpy (origin + 2, zmq_msg_data ((zmq_msg_t *) &parcel->frames[0]), id_size);
    memcpy (origin + 2 + id_size, zmq_msg_data ((zmq_msg_t *) &parcel->frames[2]), rest);
    return 2 + id_size + rest;
}

//  The last entry is the first one that was put there
bool umbp_link_from_client (const uint8_t *origin, size_t size)
{
    char side = 0;
    for (size_t at = 0; at + 2 <= size; at += 2u + origin[at + 1])
        side = (char) origin[at];
    return side == SIDE_WIRE;
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
static way_t *s_route (link_t *self, const char *actor, const char *node, char side,
                       const char **why)
{
    char inproc[2 * UMBP_TEXT_MAX];
    if (!node || streq (node, self->node)) {
        *why = "address: no such actor";
        if (!s_is_listed (self->actors, actor))
            return NULL;
        return s_way (self, umbp_post_inproc (self->instance, actor, inproc, sizeof inproc),
                      WAY_ACTOR);
    }
    *why = "address: no such node in this cluster";
    const char *endpoint = zhashx_lookup (self->nodes, node);
    if (endpoint)
        return s_way (self, endpoint, WAY_MEMBER);
    if (side == SIDE_WIRE || !umbp_endpoint_ok (umbp_text (node)))
        return NULL;
    return s_way (self, node, WAY_STRANGER);
}

static void s_learn (link_t *self, zmq_msg_t *frame);

//  A request with this origin has its end
static void s_let_go (link_t *self, const uint8_t *origin, size_t size)
{
    if (origin[0] == SIDE_WIRE && size == 2u + origin[1])    //  It began at a client of ours
        umbp_clients_end (self->clients, origin + 2, origin[1], zclock_mono ());
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
    if (side != SIDE_WIRE || zmq_msg_size (&parcel->frames[2]) > 0 || s_id (self, body) == 0)
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
    if (!s_read_address (parcel, actor, &node)
        || (origin_size = s_push (parcel, side, origin)) == 0) {
        self->malformed++;
        return;
    }
    bool counted, here = !node || streq (node, self->node);
    if (here && side == SIDE_LOCAL && streq (actor, "link")) {
        s_learn (self, &parcel->frames[3]);
        return;
    }
    if (!s_let_in (self, side, parcel, &counted)) {
        self->crowded++;
        s_refuse (self, handle, parcel, UMBP_EAGAIN, "client: too many at once from one client");
        return;
    }
    way_t *way = s_route (self, actor, node, side, &why);
    if (way && (here || s_send (way->handle, actor, strlen (actor)))
        && s_send (way->handle, origin, origin_size) && s_pass_on (way->handle, parcel, 3))
        return;
    self->unreachable++;
    if (counted)
        s_let_go (self, origin, origin_size);
    s_refuse (self, handle, parcel, UMBP_EUNREACH, way ? "address: the queue to it is full" : why);
}

static int s_on_router (zloop_t *loop, zsock_t *sock, void *arg)
{
    (void) loop;
    link_t *self = arg;
    void *handle = zsock_resolve (sock);
    parcel_t parcel;
    for (int budget = DRAIN_MAX; budget > 0 && s_receive (handle, &parcel); budget--) {
        s_request (self, handle, sock == self->local ? SIDE_LOCAL : SIDE_WIRE, &parcel);
        s_discard (&parcel);
    }
    return 0;
}

//  -----------------------------------------------------------------------------------------------
//  Answers: [origin][message][payload] from our actors, behind an empty address from other nodes

static void s_answer (link_t *self, parcel_t *parcel, size_t first)
{
    size_t size = parcel->count > first ? zmq_msg_size (&parcel->frames[first]) : 0;
    const uint8_t *origin = size ? zmq_msg_data (&parcel->frames[first]) : NULL;
    if (size < 2 || size < 2u + origin[1] || parcel->count < first + 2
        || parcel->count > first + 3) {
        self->malformed++;
        return;
    }
    void *handle = zsock_resolve (origin[0] == SIDE_LOCAL ? self->local : self->wire);
    size_t rest = size - 2 - origin[1];
    s_let_go (self, origin, size);
    if (!s_send (handle, origin + 2, origin[1]) || !s_send (handle, "", 0)
        || !s_send (handle, origin + 2 + origin[1], rest) || !s_pass_on (handle, parcel, first + 1))
        self->lost++;
}

static int s_on_way (zloop_t *loop, zsock_t *sock, void *arg)
{
    (void) loop;
    (void) sock;
    way_t *way = arg;
    parcel_t parcel;
    for (int budget = DRAIN_MAX; budget > 0 && s_receive (way->handle, &parcel); budget--) {
        s_answer (way->link, &parcel, way->kind == WAY_ACTOR ? 0 : 1);
        s_discard (&parcel);
    }
    return 0;
}

//  -----------------------------------------------------------------------------------------------
//  The topology

//  Which ways lead to members now. Those to former ones are closed, unless another member is there.
static void s_sort_ways (link_t *self, zhashx_t *fresh)
{
    for (const char *old = zhashx_first (self->nodes); old; old = zhashx_next (self->nodes)) {
        way_t *way = zhashx_lookup (self->ways, old);
        if (way && way->kind == WAY_MEMBER)
            way->member = false;
    }
    for (const char *now = zhashx_first (fresh); now; now = zhashx_next (fresh)) {
        way_t *way = zhashx_lookup (self->ways, now);
        if (!way)
            continue;
        self->strangers -= way->kind == WAY_STRANGER;
        way->kind = WAY_MEMBER;
        way->member = true;
    }
    for (const char *old = zhashx_first (self->nodes); old; old = zhashx_next (self->nodes)) {
        way_t *way = zhashx_lookup (self->ways, old);
        if (way && way->kind == WAY_MEMBER && !way->member)
            s_way_drop (self, way);
    }
}

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
    s_sort_ways (self, fresh);
    zhashx_destroy (&self->nodes);
    self->nodes = fresh;
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
    parcel_t parcel;
    void *handle = zsock_resolve (self->local);
    for (int budget = QUEUE_MAX; budget > 0 && s_receive (handle, &parcel); budget--) {
        s_request (self, handle, SIDE_LOCAL, &parcel);
        s_discard (&parcel);
    }
    zsock_set_linger (self->wire, LINGER_MS);
    for (way_t *way = zhashx_first (self->ways); way; way = zhashx_next (self->ways))
        if (way->kind != WAY_ACTOR)
            zsock_set_linger (way->sock, LINGER_MS);
}

static void s_actor (zsock_t *pipe, void *args)
{
    link_t *self = args;
    self->pipe = pipe;
    self->loop = zloop_new ();
    zsock_signal (pipe, 0);
    zloop_set_nonstop (self->loop, true);
    zloop_reader (self->loop, pipe, s_on_pipe, self);
    zloop_reader (self->loop, self->local, s_on_router, self);
    zloop_reader (self->loop, self->wire, s_on_router, self);
    zloop_timer (self->loop, STRANGER_IDLE_MS / 4, 0, s_on_sweep, self);
    zloop_start (self->loop);
    s_finish (self);
    zloop_destroy (&self->loop);
    if (self->malformed + self->unreachable + self->lost + self->crowded > 0)
        zsys_info ("link: malformed=%" PRIu64 " unreachable=%" PRIu64 " lost=%" PRIu64
                   " crowded=%" PRIu64,
                   self->malformed, self->unreachable, self->lost, self->crowded);
    umbp_clients_destroy (&self->clients);
    zhashx_destroy (&self->ways);
    zhashx_destroy (&self->nodes);
    zsock_destroy (&self->local);
    zsock_destroy (&self->wire);
    free (self);
}

static zsock_t *s_router (void)
{
    zsock_t *sock = zsock_new (ZMQ_ROUTER);
    zsock_set_linger (sock, 0);
    zsock_set_router_mandatory (sock, 1);
    zsock_set_sndhwm (sock, QUEUE_MAX);
    zsock_set_rcvhwm (sock, QUEUE_MAX);
    zsock_set_maxmsgsize (sock, PARCEL_MAX);    //  Drops a peer that sends more
    return sock;
}

zactor_t *umbp_link_new (const umbp_link_args_t *args, char *endpoint, size_t size)
{
    link_t *self = zmalloc (sizeof (link_t));
    snprintf (self->instance, sizeof self->instance, "%s", args->instance);
    snprintf (self->node, sizeof self->node, "%s", args->node);
    snprintf (self->actors, sizeof self->actors, "%s",
              args->actors ? args->actors : UMBP_LINK_ACTORS);
    self->clients = umbp_clients_new (UMBP_CLIENT_LINK_MAX, UMBP_CLIENT_LINK_BYTES);
    self->ways = zhashx_new ();
    zhashx_set_destructor (self->ways, s_way_free);
    self->nodes = zhashx_new ();
    zhashx_set_destructor (self->nodes, s_text_free);
    self->local = s_router ();
    self->wire = s_router ();
    zsock_set_rcvhwm (self->wire, UMBP_CLIENT_LINK_MAX);     //  Of each peer; more waits at its end
    zsock_set_backlog (self->wire, 256);
    zsock_set_tcp_keepalive (self->wire, 1);    //  A host that vanished leaves nothing behind
    zsock_set_tcp_keepalive_idle (self->wire, 30);
    zsock_set_tcp_keepalive_intvl (self->wire, 10);
    zsock_set_tcp_keepalive_cnt (self->wire, 3);
    char inproc[2 * UMBP_TEXT_MAX];
    if (zsock_bind (self->local, "%s",
                    umbp_post_inproc (args->instance, "link", inproc, sizeof inproc))
            != -1
        && zmq_bind (zsock_resolve (self->wire), args->listen) != -1) {
        //  Not zsock_bind: its port * counts up from 49152, into the ports of those who just left
        char *bound = zsock_last_endpoint (self->wire);
        snprintf (endpoint, size, "%s", bound);
        freen (bound);
        return zactor_new (s_actor, self);
    }
    zsys_error ("link: cannot listen on %s: %s", args->listen, strerror (errno));
    umbp_clients_destroy (&self->clients);
    zhashx_destroy (&self->ways);
    zhashx_destroy (&self->nodes);
    zsock_destroy (&self->local);
    zsock_destroy (&self->wire);
    free (self);
    return NULL;
}

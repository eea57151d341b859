//  cluster/post.c - how one actor speaks. See post.h for the contract.
#include "cluster/post.h"

#include <sched.h>

#include "cluster/bulk/shm.h"
#include "cluster/bulk/spin.h"
#include "cluster/clients.h"
#include "cluster/doors.h"
#include "cluster/late.h"
#include "cluster/link.h"
#include "cluster/questions.h"

#define DEADLINE_MS 5000                //  Of an asker that gives none
#define DRAIN_MAX 64                    //  Messages per wake-up and source, so that none starves another
#define PEERS_MAX 32                    //  Local actors that one actor speaks to
#define SWEEP_MS 10                     //  How late a deadline may be noticed
#define QUEUE_MAX 20000                 //  Messages waiting between two actors
#define SPIN_TURNS_MAX 4096             //  Wake-ups served in one spin, so that timers get their turn
#define DATAGRAM_MAX UMBP_SHM_DATA_MAX  //  Through a door

typedef struct {
    char name[UMBP_NAME_MAX + 1];
    zsock_t *sock;                      //  DEALER
    void *handle;
    bool link;
} peer_t;

struct umbp_post {
    char instance[UMBP_TEXT_MAX], actor[UMBP_NAME_MAX + 1], node[UMBP_NAME_MAX + 1];
    zsock_t *inbox;
    void *inbox_handle;
    zloop_t *loop;
    void *shell, *owner;
    umbp_request_fn *request;
    umbp_closed_fn *closed;

    peer_t peers[PEERS_MAX];
    size_t peer_count;

    umbp_questions_t *questions;
    int sweep_timer;                    //  -1: not running
    umbp_late_t *late;                  //  NULL until there is one
    uint64_t ending;                    //  Question whose end without an answer is being told, 0: none
    void *ending_owner;
    umbp_clients_t *clients;

    umbp_doors_t *doors;                //  NULL: none

    umbp_spin_t spin;
    unsigned log_level;
    uint64_t next_call;                 //  0: none are given
    uint64_t call;                      //  Of the request that is being served, 0: none is
    umbp_post_stats_t stats;
    umbp_msg_t msg;                     //  What was decoded last
    uint8_t *wire;                      //  Room to encode a message
};

char *umbp_post_inproc (const char *instance, const char *actor, char *out, size_t size)
{
    snprintf (out, size, "inproc://umbp/%s/%s", instance, actor);
    return out;
}

//  --------------------------------------------------------------------------------------------------
//  Life

static bool s_on_datagram (void *arg, uint64_t door, const void *data, size_t size);
static void s_on_door_closed (void *arg, uint64_t door);

umbp_post_t *umbp_post_new (const char *instance, const char *actor, const char *door_path)
{
    umbp_post_t *self = zmalloc (sizeof (umbp_post_t));
    snprintf (self->instance, sizeof self->instance, "%s", instance);
    snprintf (self->actor, sizeof self->actor, "%s", actor);
    self->wire = zmalloc (UMBP_MESSAGE_MAX + UMBP_INLINE_MAX);
    self->questions = umbp_questions_new ();
    self->clients = umbp_clients_new (UMBP_CLIENT_OPEN_MAX, SIZE_MAX);
    self->sweep_timer = -1;
    self->log_level = 2;

    char endpoint[2 * UMBP_TEXT_MAX];
    umbp_post_inproc (instance, actor, endpoint, sizeof endpoint);
    self->inbox = zsock_new (ZMQ_ROUTER);
    zsock_set_rcvhwm (self->inbox, QUEUE_MAX);
    zsock_set_sndhwm (self->inbox, QUEUE_MAX);
    zsock_set_router_mandatory (self->inbox, 1);
    zsock_set_linger (self->inbox, 0);
    if (zsock_bind (self->inbox, "%s", endpoint) == -1) {
        zsys_error ("post: cannot bind %s: %s", endpoint, strerror (errno));
        umbp_post_destroy (&self);
        return NULL;
    }
    self->inbox_handle = zsock_resolve (self->inbox);
    self->doors =
        door_path ? umbp_doors_new (door_path, s_on_datagram, s_on_door_closed, self) : NULL;
    if (door_path && !self->doors)
        umbp_post_destroy (&self);
    return self;
}

void umbp_post_destroy (umbp_post_t **self_p)
{
    umbp_post_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < self->peer_count; index++)
        zsock_destroy (&self->peers[index].sock);
    zsock_destroy (&self->inbox);
    umbp_doors_destroy (&self->doors);
    umbp_late_destroy (&self->late);
    umbp_clients_destroy (&self->clients);
    umbp_questions_destroy (&self->questions);
    free (self->wire);
    freen (*self_p);
}

void umbp_post_set_node (umbp_post_t *self, const char *node)
{
    snprintf (self->node, sizeof self->node, "%s", node);
}

void umbp_post_set_spin (umbp_post_t *self, unsigned spin_us)
{
    umbp_spin_init (&self->spin, spin_us);
}

void umbp_post_set_calls (umbp_post_t *self, uint64_t first)
{
    self->next_call = first;
}

void umbp_post_set_log (umbp_post_t *self, unsigned level)
{
    self->log_level = level;
}

const umbp_post_stats_t *umbp_post_stats (umbp_post_t *self)
{
    if (self->doors) {
        self->stats.doors_open = umbp_doors_stats (self->doors)->open;
        self->stats.doors_refused = umbp_doors_stats (self->doors)->refused;
    }
    self->stats.spin_us = self->spin.spent_us;
    self->stats.spins_paid = self->spin.paid;
    self->stats.spins_vain = self->spin.vain;
    self->stats.spin_rests = self->spin.rests;
    return &self->stats;
}

static void s_log (const umbp_post_t *self, const char *what, const umbp_msg_t *msg)
{
    if (self->log_level < 3)
        return;
    char line[1024];
    umbp_msg_print (msg, line, sizeof line);
    zsys_debug ("%s: %s %s", self->actor, what, line);
}

//  --------------------------------------------------------------------------------------------------
//  Send

static int s_send_frame (void *handle, const void *data, size_t size, int flags)
{
    return zmq_send (handle, size ? data : "", size, flags | ZMQ_DONTWAIT) == -1 ? UMBP_EAGAIN : 0;
}

//  Message and payload, behind the frames that were sent already
static int s_send_body (void *handle, const void *wire, size_t size, const void *payload,
                        size_t payload_size)
{
    int rc = s_send_frame (handle, wire, size, payload_size ? ZMQ_SNDMORE : 0);
    return rc == 0 && payload_size ? s_send_frame (handle, payload, payload_size, 0) : rc;
}

static int s_on_peer (zloop_t *loop, zsock_t *sock, void *arg);

//  The socket to an actor of this node, made on first use; the link is one of them
static peer_t *s_peer (umbp_post_t *self, const char *actor)
{
    for (size_t index = 0; index < self->peer_count; index++)
        if (streq (self->peers[index].name, actor))
            return &self->peers[index];
    if (self->peer_count == PEERS_MAX)
        return NULL;
    char endpoint[2 * UMBP_TEXT_MAX];
    umbp_post_inproc (self->instance, actor, endpoint, sizeof endpoint);
    zsock_t *sock = zsock_new (ZMQ_DEALER);
    zsock_set_rcvhwm (sock, QUEUE_MAX);
    zsock_set_sndhwm (sock, QUEUE_MAX);
    zsock_set_linger (sock, 0);
    if (zsock_connect (sock, "%s", endpoint) == -1) {
        zsock_destroy (&sock);
        return NULL;
    }
    peer_t *peer = &self->peers[self->peer_count++];
    snprintf (peer->name, sizeof peer->name, "%s", actor);
    peer->sock = sock;
    peer->handle = zsock_resolve (sock);
    peer->link = streq (actor, "link");
    if (self->loop)
        zloop_reader (self->loop, sock, s_on_peer, self);
    return peer;
}

static bool s_is_remote (const umbp_post_t *self, const char *node)
{
    return node && *node && strneq (node, self->node);
}

static void s_count_bytes (umbp_post_t *self, int size)
{
    if (size > 0 && (uint64_t) size > self->stats.bytes_max)
        self->stats.bytes_max = (uint64_t) size;
}

static int s_send (umbp_post_t *self, const char *actor, const char *node, umbp_msg_t *msg,
                   const void *payload, size_t payload_size)
{
    if (msg->call == 0)
        msg->call = self->call;
    int size = umbp_msg_encode (msg, self->wire, UMBP_MESSAGE_MAX);
    if (size < 0)
        return size;
    s_count_bytes (self, size);
    bool remote = s_is_remote (self, node);
    peer_t *peer = s_peer (self, remote ? "link" : actor);
    if (!peer)
        return UMBP_EAGAIN;
    s_log (self, "says", msg);
    int rc = 0;
    if (peer->link) {
        char address[UMBP_ADDRESS_MAX + 1];
        int length = remote ? snprintf (address, sizeof address, "%s@%s", actor, node)
                            : snprintf (address, sizeof address, "%s", actor);
        rc = s_send_frame (peer->handle, address, (size_t) length, ZMQ_SNDMORE);
    }
    if (rc == 0)
        rc = s_send_frame (peer->handle, "", 0, ZMQ_SNDMORE);
    return rc == 0 ? s_send_body (peer->handle, self->wire, (size_t) size, payload, payload_size)
                   : rc;
}

int umbp_post_tell (umbp_post_t *self, const char *actor, const char *node, umbp_msg_t *msg)
{
    msg->id = 0;
    return s_send (self, actor, node, msg, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  Questions

//  Tell whoever asked how it ended; the question is out of the table already
static void s_conclude (umbp_post_t *self, const umbp_question_t *question, int status,
                        const umbp_mail_t *mail)
{
    self->ending = mail ? 0 : question->id;
    self->ending_owner = question->owner;
    question->fn (question->owner, question->tag, status, mail);
    self->ending = 0;
}

void umbp_post_expect_late (umbp_post_t *self, const char *actor, const char *node,
                            umbp_late_fn *fn)
{
    if (self->ending == 0)
        return;                         //  It ended with an answer: there is none to come
    if (!self->late)
        self->late = umbp_late_new ();
    umbp_late_question_t question = { .id = self->ending,
                                      .fn = (umbp_late_any_fn *) fn, .owner = self->ending_owner };
    snprintf (question.actor, sizeof question.actor, "%s", actor);
    snprintf (question.node, sizeof question.node, "%s", node ? node : "");
    umbp_late_keep (self->late, &question, zclock_mono ());
}

//  An answer whose question has ended
static void s_undo (umbp_post_t *self, const umbp_mail_t *mail)
{
    umbp_late_question_t question;
    if (!self->late || !umbp_late_take (self->late, mail->msg->id, zclock_mono (), &question)
        || mail->msg->status != 0)
        return;
    self->stats.late++;
    ((umbp_late_fn *) question.fn) (question.owner, question.actor, question.node, mail);
}

static int s_on_sweep (zloop_t *loop, int timer, void *arg)
{
    umbp_post_t *self = arg;
    umbp_question_t question;
    uint32_t cursor = 0, left = umbp_questions_count (self->questions);
    int64_t now = zclock_mono ();
    while (umbp_questions_expired (self->questions, now, &cursor, &left, &question)) {
        self->stats.timeouts++;
        s_conclude (self, &question, question.remote ? UMBP_EUNREACH : UMBP_ETIMEDOUT, NULL);
    }
    if (umbp_questions_count (self->questions) == 0) {
        zloop_timer_end (loop, timer);
        self->sweep_timer = -1;
    }
    return 0;
}

int umbp_post_ask (umbp_post_t *self, const char *actor, const char *node, umbp_msg_t *msg,
                   const void *payload, size_t payload_size, uint32_t deadline_ms,
                   umbp_answer_fn *fn, uint64_t tag)
{
    return umbp_post_ask_for (self, self->owner, actor, node, msg, payload, payload_size,
                              deadline_ms, fn, tag);
}

int umbp_post_ask_for (umbp_post_t *self, void *part, const char *actor, const char *node,
                       umbp_msg_t *msg, const void *payload, size_t payload_size,
                       uint32_t deadline_ms, umbp_answer_fn *fn, uint64_t tag)
{
    msg->id = umbp_questions_next (self->questions);
    if (msg->id == 0)
        return UMBP_EAGAIN;
    msg->deadline_ms = deadline_ms ? deadline_ms : 1;
    int rc = s_send (self, actor, node, msg, payload, payload_size);
    if (rc < 0)
        return rc;
    self->stats.asked++;
    umbp_question_t question = { .id = msg->id,
                                 .fn = fn,
                                 .owner = part,
                                 .tag = tag,
                                 .call = msg->call, .remote = s_is_remote (self, node),
                                 .expires = zclock_mono () + msg->deadline_ms };
    umbp_questions_begin (self->questions, &question);
    if (self->sweep_timer == -1 && self->loop)
        self->sweep_timer = zloop_timer (self->loop, SWEEP_MS, 0, s_on_sweep, self);
    return 0;
}

static void s_take_answer (umbp_post_t *self, const zmq_msg_t *frame, const zmq_msg_t *payload)
{
    umbp_msg_t *msg = &self->msg;
    int rc = umbp_msg_decode (msg, zmq_msg_data ((zmq_msg_t *) frame), zmq_msg_size (frame));
    if (rc < 0)
        self->stats.malformed++;
    umbp_mail_t mail = { .msg = msg };
    if (payload) {
        mail.payload = zmq_msg_data ((zmq_msg_t *) payload);
        mail.payload_size = zmq_msg_size (payload);
    }
    umbp_question_t question;
    if (!umbp_questions_end (self->questions, msg->id, &question)) {
        if (rc >= 0)
            s_undo (self, &mail);       //  Too late, the question has ended
        return;
    }
    if (msg->call == 0)
        msg->call = question.call;      //  Of those that do not send it back
    s_log (self, "hears", msg);
    s_conclude (self, &question, rc < 0 ? rc : msg->status, rc < 0 ? NULL : &mail);
}

//  --------------------------------------------------------------------------------------------------
//  Answers

static umbp_path_t s_path (const umbp_origin_t *origin)
{
    return origin->door ? UMBP_PATH_DOOR : origin->origin_size ? UMBP_PATH_LINK : UMBP_PATH_ACTOR;
}

//  What a client is known by: its door, or its way here through links. False for actors.
static bool s_client (const umbp_origin_t *origin, const void **name, size_t *size)
{
    *name = origin->door ? (const void *) &origin->door : origin->origin;
    *size = origin->door ? sizeof origin->door : origin->origin_size;
    return origin->door || umbp_link_from_client (origin->origin, origin->origin_size);
}

static void s_count_answer (umbp_post_t *self, const umbp_origin_t *origin, const umbp_msg_t *msg)
{
    const void *name;
    size_t size;
    if (origin->counted && s_client (origin, &name, &size))
        umbp_clients_end (self->clients, name, size, zclock_mono ());
    self->stats.answers++;
    if (msg->status < 0 && msg->status >= UMBP_ERR_LAST)
        self->stats.errors[-msg->status]++;
    int64_t took_us = zclock_usecs () - origin->taken_us;
    if (origin->type && msg->status != UMBP_ENOTSUP)
        umbp_latency_add (&self->stats.latency, origin->type, s_path (origin),
                          took_us > 0 ? (uint64_t) took_us : 0);
}

static void s_answer (umbp_post_t *self, const umbp_origin_t *origin, umbp_msg_t *msg,
                      const void *payload, size_t payload_size, const int *fds, size_t count)
{
    if (origin->id == 0)
        return;
    msg->id = origin->id;
    msg->call = origin->call;
    s_log (self, "answers", msg);
    int size = umbp_msg_encode (msg, self->wire, UMBP_MESSAGE_MAX);
    bool fits = size >= 0 && (!origin->door || (size_t) size + payload_size <= DATAGRAM_MAX);
    if (!fits) {
        umbp_post_refuse (self, origin, UMBP_ETOOBIG, "answer",
                          "does not fit a message, split the batch");
        return;
    }
    s_count_answer (self, origin, msg);
    s_count_bytes (self, size);
    if (origin->door) {
        if (payload_size)
            memcpy (self->wire + size, payload, payload_size);
        if (!umbp_doors_send (self->doors, origin->door, self->wire, (size_t) size + payload_size,
                              fds, count))
            self->stats.lost++;
        return;
    }
    void *to = self->inbox_handle;
    if (s_send_frame (to, origin->sender, origin->sender_size, ZMQ_SNDMORE) < 0
        || s_send_frame (to, origin->origin, origin->origin_size, ZMQ_SNDMORE) < 0
        || s_send_body (to, self->wire, (size_t) size, payload, payload_size) < 0)
        self->stats.lost++;
}

void umbp_post_answer (umbp_post_t *self, const umbp_origin_t *origin, umbp_msg_t *msg,
                       const void *payload, size_t payload_size)
{
    s_answer (self, origin, msg, payload, payload_size, NULL, 0);
}

void umbp_post_answer_fds (umbp_post_t *self, const umbp_origin_t *origin, umbp_msg_t *msg,
                           const int *fds, size_t count)
{
    if (origin->door)
        s_answer (self, origin, msg, NULL, 0, fds, count);
    else
        umbp_post_refuse (self, origin, UMBP_ENOTSUP, "attach",
                          "descriptors pass through a door only");
}

void umbp_post_answer_status (umbp_post_t *self, const umbp_origin_t *origin, int status)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ok, 0);
    msg.status = (int16_t) status;
    umbp_post_answer (self, origin, &msg, NULL, 0);
}

void umbp_post_refuse (umbp_post_t *self, const umbp_origin_t *origin, int status,
                       const char *field, const char *why)
{
    char reason[UMBP_TEXT_MAX];
    snprintf (reason, sizeof reason, "%s: %s", field, why);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_refused, 0);
    msg.status = (int16_t) status;
    msg.refused.reason = umbp_text (reason);
    umbp_post_answer (self, origin, &msg, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  Requests

//  Whether the client may have one more request open
static bool s_let_in (umbp_post_t *self, umbp_origin_t *origin, int64_t now)
{
    const void *name;
    size_t size;
    if (origin->id == 0 || !s_client (origin, &name, &size))
        return true;
    origin->counted = umbp_clients_begin (self->clients, name, size, 0, now);
    self->stats.crowded += !origin->counted;
    return origin->counted;
}

//  Decode and hand over one request; what is malformed is refused here
static void s_take_request (umbp_post_t *self, umbp_origin_t *origin, const void *data, size_t size,
                            const void *payload, size_t payload_size)
{
    umbp_msg_t *msg = &self->msg;
    int used = umbp_msg_decode (msg, data, size);
    origin->id = msg->id;
    self->stats.requests++;
    if (used < 0) {
        self->stats.malformed++;
        umbp_post_refuse (self, origin, used, msg->fault_field, msg->fault);
        return;
    }
    if (origin->door) {                 //  There the payload follows the message in the same datagram
        payload = (const uint8_t *) data + used;
        payload_size = size - (size_t) used;
    } else if ((size_t) used != size) {
        self->stats.malformed++;
        umbp_post_refuse (self, origin, UMBP_EPROTO, "message", "bytes follow the CBOR item");
        return;
    }
    if (msg->type == UMBP_MSG_topology_ok && (origin->door || origin->origin_size > 0)) {
        umbp_post_refuse (self, origin, UMBP_EDENIED, "type",
                          "only the registry of this node says so");
        return;
    }
    if (payload_size > UMBP_INLINE_MAX) {
        self->stats.malformed++;
        umbp_post_refuse (self, origin, UMBP_ETOOBIG, "payload", "more than a message may carry");
        return;
    }
    self->stats.received[msg->type]++;
    if (msg->call == 0 && msg->id != 0 && self->next_call != 0)
        msg->call = self->next_call++;
    origin->call = msg->call;
    origin->type = msg->type;
    origin->taken_us = zclock_usecs ();
    s_log (self, "is asked", msg);
    int64_t now = zclock_mono ();
    if (!s_let_in (self, origin, now)) {
        umbp_post_refuse (self, origin, UMBP_EAGAIN, "client", "too many at once from one client");
        return;
    }
    uint32_t patience_ms = msg->deadline_ms ? msg->deadline_ms : DEADLINE_MS;
    umbp_mail_t mail = { msg, payload, payload_size, origin, now + patience_ms };
    self->call = msg->call;
    self->request (self->shell, &mail);
    self->call = 0;
}

//  All frames of one message, up to max. Returns how many there were, more than max if some were thrown away,
//  0 if nothing is waiting.
static size_t s_receive (void *handle, zmq_msg_t *frames, size_t max)
{
    size_t count = 0;
    bool more = true;
    while (more) {
        zmq_msg_t spare, *frame = count < max ? &frames[count] : &spare;
        zmq_msg_init (frame);
        if (zmq_msg_recv (frame, handle, ZMQ_DONTWAIT) == -1) {
            zmq_msg_close (frame);
            return count;
        }
        more = zmq_msg_more (frame);
        if (frame == &spare)
            zmq_msg_close (&spare);
        count++;
    }
    return count;
}

static void s_close_frames (zmq_msg_t *frames, size_t count, size_t max)
{
    for (size_t index = 0; index < count && index < max; index++)
        zmq_msg_close (&frames[index]);
}

//  A message is there: how long we waited for it says whether spinning pays
static void s_found (umbp_post_t *self)
{
    if (umbp_spin_waits (&self->spin))
        umbp_spin_found (&self->spin, zclock_usecs ());
}

static bool s_inbox_once (umbp_post_t *self)
{
    zmq_msg_t frames[4];                //  Sender, origin, message, payload
    size_t count = s_receive (self->inbox_handle, frames, 4);
    if (count == 0)
        return false;
    s_found (self);
    size_t sender_size = zmq_msg_size (&frames[0]);
    size_t origin_size = count > 1 ? zmq_msg_size (&frames[1]) : 0;
    umbp_origin_t origin = { 0 };
    if (count < 3 || count > 4 || origin_size > UMBP_ORIGIN_MAX
        || sender_size > sizeof origin.sender)
        self->stats.malformed++;
    else {
        origin.sender_size = (uint8_t) sender_size;
        origin.origin_size = (uint8_t) origin_size;
        memcpy (origin.sender, zmq_msg_data (&frames[0]), sender_size);
        memcpy (origin.origin, zmq_msg_data (&frames[1]), origin_size);
        s_take_request (self, &origin, zmq_msg_data (&frames[2]), zmq_msg_size (&frames[2]),
                        count == 4 ? zmq_msg_data (&frames[3]) : NULL,
                        count == 4 ? zmq_msg_size (&frames[3]) : 0);
    }
    s_close_frames (frames, count, 4);
    return true;
}

static bool s_peer_once (umbp_post_t *self, const peer_t *peer)
{
    zmq_msg_t frames[4];                //  Address from the link only, origin, message, payload
    size_t count = s_receive (peer->handle, frames, 4);
    if (count == 0)
        return false;
    s_found (self);
    size_t body = peer->link ? 2 : 1;
    if (count < body + 1 || count > body + 2)
        self->stats.malformed++;
    else
        s_take_answer (self, &frames[body], count > body + 1 ? &frames[body + 1] : NULL);
    s_close_frames (frames, count, 4);
    return true;
}

static bool s_on_datagram (void *arg, uint64_t door, const void *data, size_t size)
{
    umbp_post_t *self = arg;
    s_found (self);
    if (size > DATAGRAM_MAX) {
        self->stats.malformed++;
        return false;
    }
    umbp_origin_t origin = { .door = door };
    s_take_request (self, &origin, data, size, NULL, 0);
    return true;
}

static void s_on_door_closed (void *arg, uint64_t door)
{
    umbp_post_t *self = arg;
    if (self->closed)
        self->closed (self->shell, door);
}

//  --------------------------------------------------------------------------------------------------
//  The loop calls us

static bool s_drain_once (umbp_post_t *self)
{
    bool any = s_inbox_once (self);
    for (size_t index = 0; index < self->peer_count; index++)
        any |= s_peer_once (self, &self->peers[index]);
    if (self->doors)
        any |= umbp_doors_once (self->doors);
    return any;
}

//  Waking a sleeping core costs more than a small message: look again for a moment before going to sleep, where
//  that pays
static void s_spin (void *arg)
{
    umbp_post_t *self = arg;
    if (self->spin.max_us == 0)
        return;
    bool again = umbp_spin_begin (&self->spin, zclock_usecs ());
    for (int turn = 0; again && turn < SPIN_TURNS_MAX; turn++) {
        if (s_drain_once (self))
            again = umbp_spin_begin (&self->spin, zclock_usecs ());
        else {
            sched_yield ();
            again = umbp_spin_again (&self->spin, zclock_usecs ());
        }
    }
}

static int s_on_inbox (zloop_t *loop, zsock_t *sock, void *arg)
{
    (void) loop;
    (void) sock;
    umbp_post_t *self = arg;
    for (int budget = DRAIN_MAX; budget > 0 && s_inbox_once (self); budget--)
        ;
    s_spin (self);
    return 0;
}

static int s_on_peer (zloop_t *loop, zsock_t *sock, void *arg)
{
    (void) loop;
    umbp_post_t *self = arg;
    for (size_t index = 0; index < self->peer_count; index++)
        if (self->peers[index].sock == sock)
            for (int budget = DRAIN_MAX; budget > 0 && s_peer_once (self, &self->peers[index]);
                 budget--)
                ;
    s_spin (self);
    return 0;
}

void umbp_post_start (umbp_post_t *self, zloop_t *loop, void *shell, void *owner,
                      umbp_request_fn *request, umbp_closed_fn *closed)
{
    self->loop = loop;
    self->shell = shell;
    self->owner = owner;
    self->request = request;
    self->closed = closed;
    zloop_reader (loop, self->inbox, s_on_inbox, self);
    for (size_t index = 0; index < self->peer_count; index++)
        zloop_reader (loop, self->peers[index].sock, s_on_peer, self);
    if (umbp_questions_count (self->questions) > 0)     //  Asked before there was a loop
        self->sweep_timer = zloop_timer (loop, SWEEP_MS, 0, s_on_sweep, self);
    if (self->doors)
        umbp_doors_start (self->doors, loop, s_spin);
}

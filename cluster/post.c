//  cluster/post.c - how one actor speaks: sockets, questions of its own, the loop. See post.h for the contract, and
//  post_requests.c for what others ask of it.
#include "cluster/post_self.h"

#include <sched.h>

#include "cluster/bulk/shm.h"
#include "cluster/link.h"

#define DRAIN_MAX 64                    //  Messages per wake-up and source, so that none starves another
#define SWEEP_MS 10                     //  How late a deadline may be noticed
#define QUEUE_MAX 20000                 //  Messages waiting between two actors
#define SPIN_TURNS_MAX 4096             //  Wake-ups served in one spin, so that timers get their turn

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

void umbp_post_log (const umbp_post_t *self, const char *what, const umbp_msg_t *msg)
{
    if (self->log_level < 3)
        return;
    char line[1024];
    umbp_msg_print (msg, line, sizeof line);
    zsys_debug ("%s: %s %s", self->actor, what, line);
}

//  --------------------------------------------------------------------------------------------------
//  Send

int umbp_post_send_frame (void *handle, const void *data, size_t size, int flags)
{
    return zmq_send (handle, size ? data : "", size, flags | ZMQ_DONTWAIT) == -1 ? UMBP_EAGAIN : 0;
}

//  Message and payload, behind the frames that were sent already
int umbp_post_send_body (void *handle, const void *wire, size_t size, const void *payload,
                         size_t payload_size)
{
    int rc = umbp_post_send_frame (handle, wire, size, payload_size ? ZMQ_SNDMORE : 0);
    return rc == 0 && payload_size ? umbp_post_send_frame (handle, payload, payload_size, 0) : rc;
}

static int s_on_peer (zloop_t *loop, zsock_t *sock, void *arg);

//  The socket to an actor of this node, made on first use; the link is one of them
static umbp_post_peer_t *s_peer (umbp_post_t *self, const char *actor)
{
    for (size_t index = 0; index < self->peer_count; index++)
        if (streq (self->peers[index].name, actor))
            return &self->peers[index];
    if (self->peer_count == UMBP_POST_PEERS_MAX)
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
    umbp_post_peer_t *peer = &self->peers[self->peer_count++];
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

void umbp_post_count_bytes (umbp_post_t *self, int size)
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
    umbp_post_count_bytes (self, size);
    bool remote = s_is_remote (self, node);
    umbp_post_peer_t *peer = s_peer (self, remote ? "link" : actor);
    if (!peer)
        return UMBP_EAGAIN;
    umbp_post_log (self, "says", msg);
    int rc = 0;
    if (peer->link) {
        char address[UMBP_ADDRESS_MAX + 1];
        int length = remote ? snprintf (address, sizeof address, "%s@%s", actor, node)
                            : snprintf (address, sizeof address, "%s", actor);
        rc = umbp_post_send_frame (peer->handle, address, (size_t) length, ZMQ_SNDMORE);
    }
    if (rc == 0)
        rc = umbp_post_send_frame (peer->handle, "", 0, ZMQ_SNDMORE);
    return rc == 0 ? umbp_post_send_body (peer->handle, self->wire, (size_t) size, payload,
                                          payload_size)
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
    umbp_post_log (self, "hears", msg);
    s_conclude (self, &question, rc < 0 ? rc : msg->status, rc < 0 ? NULL : &mail);
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
        umbp_post_take_request (self, &origin, zmq_msg_data (&frames[2]), zmq_msg_size (&frames[2]),
                                count == 4 ? zmq_msg_data (&frames[3]) : NULL,
                                count == 4 ? zmq_msg_size (&frames[3]) : 0);
    }
    s_close_frames (frames, count, 4);
    return true;
}

static bool s_peer_once (umbp_post_t *self, const umbp_post_peer_t *peer)
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
    if (size > UMBP_SHM_DATA_MAX) {
        self->stats.malformed++;
        return false;
    }
    umbp_origin_t origin = { .door = door };
    umbp_post_take_request (self, &origin, data, size, NULL, 0);
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

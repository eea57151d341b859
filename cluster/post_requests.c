//  cluster/post_requests.c - what others ask of an actor: taken in, as far as its client may have so many, handed over, and
//  answered.
#include "cluster/post_self.h"

#include "cluster/bulk/shm.h"
#include "cluster/link.h"

#define DEADLINE_MS 5000                //  Of an asker that gives none

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
    umbp_post_log (self, "answers", msg);
    int size = umbp_msg_encode (msg, self->wire, UMBP_MESSAGE_MAX);
    bool fits = size >= 0 && (!origin->door || (size_t) size + payload_size <= UMBP_SHM_DATA_MAX);
    if (!fits) {
        umbp_post_refuse (self, origin, UMBP_ETOOBIG, "answer",
                          "does not fit a message, split the batch");
        return;
    }
    s_count_answer (self, origin, msg);
    umbp_post_count_bytes (self, size);
    if (origin->door) {
        if (payload_size)
            memcpy (self->wire + size, payload, payload_size);
        if (!umbp_doors_send (self->doors, origin->door, self->wire, (size_t) size + payload_size,
                              fds, count))
            self->stats.lost++;
        return;
    }
    void *to = self->inbox_handle;
    if (umbp_post_send_frame (to, origin->sender, origin->sender_size, ZMQ_SNDMORE) < 0
        || umbp_post_send_frame (to, origin->origin, origin->origin_size, ZMQ_SNDMORE) < 0
        || umbp_post_send_body (to, self->wire, (size_t) size, payload, payload_size) < 0)
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
void umbp_post_take_request (umbp_post_t *self, umbp_origin_t *origin, const void *data,
                             size_t size, const void *payload, size_t payload_size)
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
    umbp_post_log (self, "is asked", msg);
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

//  bin/talk.c - questions to a cluster and their answers, see talk.h
#include "bin/talk.h"

#include <czmq.h>

#include "cluster/curve.h"
#include "cluster/post.h"

#define FRAMES 4                        //  Address, origin, message, payload

struct umbp_talk {
    zsock_t *sock;                      //  DEALER
    void *handle;
    uint32_t timeout_ms;
    uint64_t last_id;
    zmq_msg_t frame;                    //  Of the answer: what it points to
    umbp_msg_t answer;
    char endpoint[UMBP_TEXT_MAX + 1];
    char node[UMBP_NAME_MAX + 1], cluster[UMBP_NAME_MAX + 1];
    char reason[UMBP_TEXT_MAX + 1];
    uint8_t *wire;
};

void umbp_talk_destroy (umbp_talk_t **self_p)
{
    assert (self_p);
    umbp_talk_t *self = *self_p;
    if (!self)
        return;
    zmq_msg_close (&self->frame);
    zsock_destroy (&self->sock);
    free (self->wire);
    freen (*self_p);
}

void umbp_talk_set_timeout (umbp_talk_t *self, uint32_t timeout_ms)
{
    self->timeout_ms = timeout_ms;
}

const char *umbp_talk_endpoint (const umbp_talk_t *self)
{
    return self->endpoint;
}

const char *umbp_talk_node (const umbp_talk_t *self)
{
    return self->node;
}

const char *umbp_talk_cluster (const umbp_talk_t *self)
{
    return self->cluster;
}

const char *umbp_talk_reason (const umbp_talk_t *self)
{
    return self->reason;
}

//  ------------------------------------------------------------------------------------------------
//  One question

static int s_send (umbp_talk_t *self, const char *address, umbp_msg_t *question)
{
    if (!*address || strlen (address) > UMBP_ADDRESS_MAX)
        return UMBP_EINVAL;
    question->deadline_ms = self->timeout_ms;
    int size = umbp_msg_check (question);
    if (size == 0)
        size = umbp_msg_encode (question, self->wire, UMBP_MESSAGE_MAX);
    if (size < 0)
        return size;
    if (zmq_send (self->handle, address, strlen (address), ZMQ_DONTWAIT | ZMQ_SNDMORE) == -1
        || zmq_send (self->handle, "", 0, ZMQ_DONTWAIT | ZMQ_SNDMORE) == -1
        || zmq_send (self->handle, self->wire, (size_t) size, ZMQ_DONTWAIT) == -1)
        return UMBP_EAGAIN;
    return 0;
}

//  Take a message in, and keep its third frame. Returns false if it has none.
static bool s_take_frames (umbp_talk_t *self)
{
    size_t count = 0;
    bool more = true;
    for (; more; count++) {
        zmq_msg_t spare;
        zmq_msg_init (&spare);
        zmq_msg_t *frame = count == 2 ? &self->frame : &spare;
        if (zmq_msg_recv (frame, self->handle, ZMQ_DONTWAIT) == -1)
            more = false;
        else
            more = zmq_msg_more (frame);
        zmq_msg_close (&spare);
    }
    return count > 2 && count <= FRAMES;
}

//  The type that answers a question: its namesake with _ok behind, or plain ok
static int s_expected (int type)
{
    char name[UMBP_NAME_MAX];
    snprintf (name, sizeof name, "%s_ok", umbp_msg_name (type));
    const char *next = umbp_msg_name (type + 1);
    return next && streq (name, next) ? type + 1 : UMBP_MSG_ok;
}

//  What the answer at hand says to a question of that type
static int s_verdict (umbp_talk_t *self, int type)
{
    const umbp_msg_t *answer = &self->answer;
    if (answer->status < 0) {
        if (answer->type == UMBP_MSG_refused)
            umbp_text_copy (answer->refused.reason, self->reason, sizeof self->reason);
        return answer->status;
    }
    return answer->type == s_expected (type) ? 0 : UMBP_EPROTO;
}

//  Wait for an answer to one of the ids first..last. Returns its id, with *status; 0 if none came
//  until then.
static uint64_t s_receive (umbp_talk_t *self, uint64_t first, uint64_t last, int type,
                           int64_t until, int *status)
{
    while (true) {
        int64_t left = until - zclock_mono ();
        zmq_pollitem_t item = { .socket = self->handle, .events = ZMQ_POLLIN };
        if (left <= 0)
            return 0;
        if (zmq_poll (&item, 1, (long) left) <= 0 || !s_take_frames (self))
            continue;
        int rc = umbp_msg_decode (&self->answer, zmq_msg_data (&self->frame),
                                  zmq_msg_size (&self->frame));
        if (self->answer.id < first || self->answer.id > last)
            continue;                   //  Too late for its question
        *status = rc < 0 ? rc : s_verdict (self, type);
        return self->answer.id;
    }
}

int umbp_talk_ask (umbp_talk_t *self, const char *address, umbp_msg_t *question,
                   const umbp_msg_t **answer)
{
    *answer = NULL;
    self->reason[0] = 0;
    question->id = ++self->last_id;
    int status = s_send (self, address, question);
    if (status < 0)
        return status;
    int64_t until = zclock_mono () + self->timeout_ms;
    if (!s_receive (self, question->id, question->id, question->type, until, &status))
        return UMBP_ETIMEDOUT;
    if (status == 0)
        *answer = &self->answer;
    return status;
}

//  ------------------------------------------------------------------------------------------------
//  Many questions

void umbp_talk_ask_each (umbp_talk_t *self, const char *const *addresses, size_t count,
                         umbp_msg_t *question, umbp_talk_fn *fn, void *arg)
{
    self->reason[0] = 0;
    uint64_t first = self->last_id + 1;
    self->last_id += count;
    bool *open = zmalloc (count + 1);
    size_t waiting = 0;
    for (size_t index = 0; index < count; index++) {
        question->id = first + index;
        int status = s_send (self, addresses[index], question);
        open[index] = status == 0;
        if (open[index])
            waiting++;
        else
            fn (arg, index, status, NULL);
    }
    int64_t until = zclock_mono () + self->timeout_ms;
    while (waiting > 0) {
        int status;
        uint64_t id = s_receive (self, first, first + count - 1, question->type, until, &status);
        if (id == 0)
            break;
        if (!open[id - first])
            continue;                   //  Answered twice
        open[id - first] = false;
        waiting--;
        fn (arg, id - first, status, status == 0 ? &self->answer : NULL);
    }
    for (size_t index = 0; index < count; index++)
        if (open[index])
            fn (arg, index, UMBP_ETIMEDOUT, NULL);
    free (open);
}

//  ------------------------------------------------------------------------------------------------
//  Connect

//  Ask one endpoint who it is, up to so long. Returns 0 or an error, without a socket then.
static int s_try (umbp_talk_t *self, uint32_t timeout_ms, const umbp_curve_t *curve)
{
    uint32_t later_ms = self->timeout_ms;
    umbp_msg_t question;
    const umbp_msg_t *answer = NULL;
    self->sock = zsock_new (ZMQ_DEALER);
    zsock_set_linger (self->sock, 0);
    zsock_set_maxmsgsize (self->sock, UMBP_MESSAGE_MAX + UMBP_INLINE_MAX);
    self->handle = zsock_resolve (self->sock);
    int rc = UMBP_EINVAL;
    if (umbp_curve_apply (curve, self->handle)
        && zsock_connect (self->sock, "%s", self->endpoint) != -1) {
        umbp_msg_init (&question, UMBP_MSG_who, 0);
        self->timeout_ms = timeout_ms;
        rc = umbp_talk_ask (self, "registry", &question, &answer);
        self->timeout_ms = later_ms;
    }
    if (rc < 0) {
        zsock_destroy (&self->sock);
        return rc == UMBP_EINVAL || rc == UMBP_EDENIED ? rc : UMBP_EUNREACH;
    }
    umbp_text_copy (answer->who_ok.node, self->node, sizeof self->node);
    umbp_text_copy (answer->who_ok.cluster, self->cluster, sizeof self->cluster);
    return 0;
}

umbp_talk_t *umbp_talk_new (const char *endpoints, uint32_t timeout_ms, int *err)
{
    char why[1];
    return umbp_talk_new_secure (endpoints, NULL, NULL, timeout_ms, err, why, sizeof why);
}

umbp_talk_t *umbp_talk_new_secure (const char *endpoints, const char *certificate,
                                   const char *server, uint32_t timeout_ms, int *err, char *why,
                                   size_t why_size)
{
    umbp_curve_t curve;
    *why = 0;
    umbp_talk_t *self = zmalloc (sizeof (umbp_talk_t));
    self->timeout_ms = timeout_ms;
    self->wire = zmalloc (UMBP_MESSAGE_MAX);
    zmq_msg_init (&self->frame);
    size_t count = 1;
    for (const char *at = endpoints; *at; at++)
        count += *at == ',';
    uint32_t share_ms = timeout_ms / (uint32_t) count + 1;
    *err = UMBP_EINVAL;
    for (const char *at = endpoints; *err < 0 && count > 0; count--) {
        size_t size = strcspn (at, ",");
        umbp_text_copy ((umbp_text_t) { at, (uint32_t) size }, self->endpoint,
                        sizeof self->endpoint);
        *err = size < sizeof self->endpoint
                   ? umbp_curve_client (&curve, certificate, server, self->endpoint, why, why_size)
                   : UMBP_EINVAL;
        if (*err == 0)
            *err = s_try (self, share_ms, &curve);
        at += size + (at[size] == ',');
    }
    if (*err < 0)
        umbp_talk_destroy (&self);
    return self;
}

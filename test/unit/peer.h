//  test/unit/peer.h - the other side of an actor under test: somebody who asks it, and somebody
//  whom it asks. Both live in the test's own thread, so a test decides who answers what, when, or
//  never. Nothing here waits longer than it is told.
#ifndef UMBP_TEST_PEER_H
#define UMBP_TEST_PEER_H

#include <CUnit/Basic.h>
#include <czmq.h>

#include "actors/actor.h"
#include "proto/splitmix.h"

#define PEER_MS 20000                   //  Longer than anything here takes, on a busy machine too
#define COUNT_OF(array) (sizeof (array) / sizeof *(array))

//  ------------------------------------------------------------------------------------------------
//  Columns

typedef struct {
    uint8_t bytes[UMBP_BATCH_MAX * 64];
    uint16_t sizes[UMBP_BATCH_MAX];
    umbp_column_t column;
} words_t;

static inline void words_add (words_t *self, const void *data, size_t size)
{
    assert (self->column.count < UMBP_BATCH_MAX && self->column.size + size <= sizeof self->bytes);
    memcpy (self->bytes + self->column.size, data, size);
    self->sizes[self->column.count++] = (uint16_t) size;
    self->column.size += (uint32_t) size;
    self->column.bytes = self->bytes;
    self->column.sizes = self->sizes;
}

//  Words from a text, separated by one space. The result is good until the next call on self.
static inline umbp_column_t words (words_t *self, const char *text)
{
    memset (&self->column, 0, sizeof self->column);
    while (*text) {
        size_t size = strcspn (text, " ");
        if (size)
            words_add (self, text, size);
        text += size + (text[size] != 0);
    }
    return self->column;
}

//  Words with a number, from first on
static inline umbp_column_t words_numbered (words_t *self, const char *prefix, size_t first,
                                            size_t count)
{
    memset (&self->column, 0, sizeof self->column);
    for (size_t number = first; number < first + count; number++) {
        char word[64];
        words_add (self, word, (size_t) snprintf (word, sizeof word, "%s%zu", prefix, number));
    }
    return self->column;
}

static inline bool column_is (umbp_column_t column, size_t index, const char *text)
{
    size_t at = 0;
    umbp_bytes_t item = { NULL, 0 };
    for (size_t number = 0; number <= index && number < column.count; number++)
        item = umbp_column_next (&column, number, &at);
    return index < column.count && item.size == strlen (text)
           && memcmp (item.data, text, item.size) == 0;
}

//  ------------------------------------------------------------------------------------------------
//  Frames

typedef struct {
    zmq_msg_t frames[6];
    size_t count;
} mail_t;

static inline void mail_close (mail_t *self)
{
    while (self->count > 0)
        zmq_msg_close (&self->frames[--self->count]);
}

//  Receive one message. Returns false if none came in time; then the last one stays as it is.
static inline bool mail_recv (mail_t *self, zsock_t *sock, int timeout_ms)
{
    zmq_pollitem_t item = { zsock_resolve (sock), 0, ZMQ_POLLIN, 0 };
    if (zmq_poll (&item, 1, timeout_ms) <= 0)
        return false;
    mail_close (self);
    do {
        assert (self->count < COUNT_OF (self->frames));
        zmq_msg_init (&self->frames[self->count]);
        int rc = zmq_msg_recv (&self->frames[self->count], zsock_resolve (sock), 0);
        assert (rc != -1);
    } while (zmq_msg_more (&self->frames[self->count++]));
    return true;
}

static inline void mail_send (zsock_t *sock, const umbp_msg_t *msg, const void *payload,
                              size_t size)
{
    static uint8_t wire[UMBP_MESSAGE_MAX];
    int used = umbp_msg_encode (msg, wire, sizeof wire);
    assert (used > 0);
    int rc = zmq_send (zsock_resolve (sock), wire, (size_t) used, size ? ZMQ_SNDMORE : 0);
    if (size)
        rc = zmq_send (zsock_resolve (sock), payload, size, 0);
    assert (rc != -1);
}

//  ------------------------------------------------------------------------------------------------
//  Who asks

typedef struct {
    zsock_t *sock;
    mail_t mail;
    umbp_msg_t msg;                     //  The last answer: views of mail
    const uint8_t *payload;
    size_t payload_size;
    uint64_t last_id;
    bool link;
} asker_t;

static inline void asker_start (asker_t *self, const char *instance, const char *actor)
{
    char endpoint[2 * UMBP_TEXT_MAX];
    memset (self, 0, sizeof *self);
    self->link = streq (actor, "link");
    self->sock = zsock_new (ZMQ_DEALER);
    int rc = zsock_connect (self->sock, "%s",
                            umbp_post_inproc (instance, actor, endpoint, sizeof endpoint));
    assert (rc != -1);
}

static inline void asker_end (asker_t *self)
{
    mail_close (&self->mail);
    zsock_destroy (&self->sock);
}

//  Say it; with an answer if the deadline is not 0. Returns the id.
static inline uint64_t asker_say (asker_t *self, umbp_msg_t *msg, const void *payload, size_t size,
                                  uint32_t deadline_ms)
{
    msg->id = deadline_ms ? ++self->last_id : 0;
    msg->deadline_ms = deadline_ms;
    if (self->link)                     //  What is said to the link itself
        zmq_send (zsock_resolve (self->sock), "link", 4, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (self->sock), "", 0, ZMQ_SNDMORE);
    mail_send (self->sock, msg, payload, size);
    return msg->id;
}

//  The next answer. Returns its id, 0 if none came in time.
static inline uint64_t asker_hear (asker_t *self, int timeout_ms)
{
    if (!mail_recv (&self->mail, self->sock, timeout_ms))
        return 0;
    assert (self->mail.count >= 2);
    zmq_msg_t *frame = &self->mail.frames[1];
    int rc = umbp_msg_decode (&self->msg, zmq_msg_data (frame), zmq_msg_size (frame));
    CU_ASSERT (rc > 0);
    self->payload = self->mail.count > 2 ? zmq_msg_data (&self->mail.frames[2]) : NULL;
    self->payload_size = self->mail.count > 2 ? zmq_msg_size (&self->mail.frames[2]) : 0;
    return self->msg.id;
}

//  Ask and wait for the answer. Returns its status, or 1 if none came.
static inline int asker_ask (asker_t *self, umbp_msg_t *msg, uint32_t deadline_ms)
{
    uint64_t id = asker_say (self, msg, NULL, 0, deadline_ms);
    uint64_t heard = asker_hear (self, (int) deadline_ms + PEER_MS);
    CU_ASSERT_EQUAL (heard, id);
    return heard == id ? self->msg.status : 1;
}

//  The value of a gauge of the actor, UINT64_MAX if there is none of that name
static inline uint64_t asker_gauge (asker_t *self, const char *name)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    if (asker_ask (self, &msg, PEER_MS) != 0)
        return UINT64_MAX;
    for (size_t index = 0; index < self->msg.stat_ok.names.count; index++)
        if (column_is (self->msg.stat_ok.names, index, name))
            return umbp_u64s_at (self->msg.stat_ok.values, index);
    return UINT64_MAX;
}

//  Ask until a gauge is at least this, or the test has failed
static inline void asker_wait (asker_t *self, const char *name, uint64_t least)
{
    int64_t end = zclock_mono () + PEER_MS;
    uint64_t value = asker_gauge (self, name);
    while (value < least && zclock_mono () < end)
        value = asker_gauge (self, name);
    CU_ASSERT (value >= least && value != UINT64_MAX);
}

//  ... or at most this
static inline void asker_wait_down (asker_t *self, const char *name, uint64_t most)
{
    int64_t end = zclock_mono () + PEER_MS;
    uint64_t value = asker_gauge (self, name);
    while (value > most && zclock_mono () < end)
        value = asker_gauge (self, name);
    CU_ASSERT (value <= most);
}

//  Push a topology as the registry does: node names sorted, in one text. bulks may be NULL; the
//  tier is that of self, a dram of so many bytes.
static inline void asker_push (asker_t *peer, const char *nodes, const char *self,
                               const char *endpoints, uint64_t total, uint64_t used)
{
    static words_t names, ends;
    static const uint64_t zeros[UMBP_NODES_MAX];
    static const uint16_t none[UMBP_NODES_MAX];
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_topology_ok, 0);
    umbp_msg_topology_ok_t *topology = &msg.topology_ok;
    topology->nodes = words (&names, nodes);
    topology->endpoints = endpoints ? words (&ends, endpoints) : topology->nodes;
    uint32_t count = topology->nodes.count;
    assert (topology->endpoints.count == count);
    uint8_t ones[UMBP_NODES_MAX], counts[UMBP_NODES_MAX] = { 0 }, tier = 2;
    memset (ones, 1, sizeof ones);
    for (size_t index = 0; index < count; index++)
        counts[index] = column_is (topology->nodes, index, self);
    topology->topo_epoch = 1;
    topology->self = umbp_text (self);
    topology->epochs = (umbp_u64s_t) { zeros, count };
    topology->bulks = topology->hosts = topology->doors = (umbp_column_t) { NULL, none, 0, count };
    topology->states = topology->rings = (umbp_u8s_t) { ones, count };
    topology->loads = (umbp_u16s_t) { none, count };
    topology->silent_ms = (umbp_u32s_t) { zeros, count };
    topology->tier_counts = (umbp_u8s_t) { counts, count };
    topology->tiers = (umbp_u8s_t) { &tier, 1 };
    topology->totals = (umbp_u64s_t) { &total, 1 };
    topology->useds = (umbp_u64s_t) { &used, 1 };
    topology->blocks = (umbp_u64s_t) { zeros, 1 };
    topology->copies = 2;
    topology->vnodes = 4;
    asker_say (peer, &msg, NULL, 0, 0);
}

//  ------------------------------------------------------------------------------------------------
//  Who is asked: an actor of the node, or, as its link, all actors of all other nodes

typedef struct {
    zsock_t *sock;
    bool link;
    mail_t mail;
    umbp_msg_t msg;                     //  The last request: views of mail
    char address[UMBP_ADDRESS_MAX + 1]; //  To the link: for whom it is
    int64_t came_at;
} asked_t;

static inline void asked_start (asked_t *self, const char *instance, const char *actor)
{
    char endpoint[2 * UMBP_TEXT_MAX];
    memset (self, 0, sizeof *self);
    self->link = streq (actor, "link");
    self->sock = zsock_new (ZMQ_ROUTER);
    int rc = zsock_bind (self->sock, "%s",
                         umbp_post_inproc (instance, actor, endpoint, sizeof endpoint));
    assert (rc != -1);
}

static inline void asked_end (asked_t *self)
{
    mail_close (&self->mail);
    zsock_destroy (&self->sock);
}

//  The next request. Returns its id (for one that wants no answer: UINT64_MAX), 0 if none came in
//  time.
static inline uint64_t asked_hear (asked_t *self, int timeout_ms)
{
    if (!mail_recv (&self->mail, self->sock, timeout_ms))
        return 0;
    size_t body = self->link ? 3 : 2;
    assert (self->mail.count > body);
    if (self->link)
        umbp_text_copy ((umbp_text_t) { zmq_msg_data (&self->mail.frames[1]),
                                       (uint32_t) zmq_msg_size (&self->mail.frames[1]) },
                        self->address, sizeof self->address);
    zmq_msg_t *frame = &self->mail.frames[body];
    int rc = umbp_msg_decode (&self->msg, zmq_msg_data (frame), zmq_msg_size (frame));
    CU_ASSERT (rc > 0);
    self->came_at = zclock_mono ();
    return self->msg.id ? self->msg.id : UINT64_MAX;
}

//  Answer the last request, or, since all come from the one actor under test, another by its id
static inline void asked_answer_id (asked_t *self, uint64_t id, umbp_msg_t *msg,
                                    const void *payload, size_t size)
{
    void *handle = zsock_resolve (self->sock);
    msg->id = id;
    zmq_send (handle, zmq_msg_data (&self->mail.frames[0]), zmq_msg_size (&self->mail.frames[0]),
              ZMQ_SNDMORE);
    if (self->link)
        zmq_send (handle, "", 0, ZMQ_SNDMORE);
    zmq_send (handle, "", 0, ZMQ_SNDMORE);
    mail_send (self->sock, msg, payload, size);
}

static inline void asked_answer (asked_t *self, umbp_msg_t *msg, const void *payload, size_t size)
{
    asked_answer_id (self, self->msg.id, msg, payload, size);
}

//  ------------------------------------------------------------------------------------------------
//  A home for the actor under test; each test has its own instance
static inline umbp_home_t *home_of (umbp_home_t *home, const char *instance, const char *node)
{
    memset (home, 0, sizeof *home);
    snprintf (home->instance, sizeof home->instance, "%s", instance);
    snprintf (home->node, sizeof home->node, "%s", node);
    home->node_epoch = 1;
    home->log_level = 0;
    return home;
}

#endif

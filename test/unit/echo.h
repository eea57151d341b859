//  test/unit/echo.h - two nodes in this process, each with an actor that answers, and us, an actor
//  of the first. One thread at a time.
#ifndef UMBP_TEST_ECHO_H
#define UMBP_TEST_ECHO_H

#include <CUnit/Basic.h>
#include <czmq.h>
#include <unistd.h>

#include "actors/actor.h"
#include "cluster/link.h"
#include "test/unit/loopback.h"

#define WAIT_MS 20000                   //  The machine may be slow; nothing takes so long by design
#define LONG_MS 10000                   //  A deadline that nothing here may need

//  -----------------------------------------------------------------------------------------------
//  An actor to speak to

typedef struct {
    umbp_post_t *post;
    uint64_t told, closed;
} echo_t;

static inline void echo_do_store (void *owner, const umbp_mail_t *mail)
{
    echo_t *self = owner;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ok, 0);
    umbp_post_answer (self->post, mail->origin, &msg, mail->payload, mail->payload_size);
}

//  Told, or asked and never answered
static inline void echo_do_pressure (void *owner, const umbp_mail_t *mail)
{
    (void) mail;
    echo_t *self = owner;
    self->told++;
}

//  An answer of any size: as many bytes as the asker wants
static inline void echo_do_evict (void *owner, const umbp_mail_t *mail)
{
    static uint8_t bytes[2 * UMBP_MESSAGE_MAX];
    echo_t *self = owner;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ok, 0);
    umbp_post_answer (self->post, mail->origin, &msg, bytes, mail->msg->evict.bytes);
}

static inline void echo_do_attach (void *owner, const umbp_mail_t *mail)
{
    echo_t *self = owner;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ok, 0);
    int fd = fileno (stdin);
    umbp_post_answer_fds (self->post, mail->origin, &msg, &fd, 1);
}

static const umbp_op_t echo_ops[] = {
    { UMBP_MSG_store, echo_do_store },
    { UMBP_MSG_pressure, echo_do_pressure },
    { UMBP_MSG_evict, echo_do_evict },
    { UMBP_MSG_attach, echo_do_attach },
    { UMBP_MSG_topology_ok, echo_do_pressure },
    { 0, NULL },
};

static inline void echo_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    (void) loop;
    ((echo_t *) owner)->post = post;
}

static inline void echo_stat (void *owner, umbp_gauges_t *stats)
{
    echo_t *self = owner;
    umbp_gauges_add (stats, "told", self->told);
    umbp_gauges_add (stats, "closed", self->closed);
}

static inline void echo_closed (void *owner, uint64_t door)
{
    CU_ASSERT (door > 0);
    ((echo_t *) owner)->closed++;
}

static inline void echo_destroy (void **self_p)
{
    freen (*self_p);
}

//  -----------------------------------------------------------------------------------------------
//  Two nodes, and us: an actor of the first

typedef struct {
    umbp_home_t home;
    char endpoint[UMBP_TEXT_MAX + 1];
    zactor_t *link, *echo;
} echo_node_t;

typedef struct {
    int status;
    uint16_t type;
    uint64_t value;
    size_t payload_size;
    unsigned count;                     //  How often we were called
} echo_reply_t;

static echo_node_t echo_a, echo_b;
static char echo_folder[64];
static zloop_t *echo_loop;
static umbp_post_t *echo_post;
static echo_reply_t echo_replies[2 * 8192];
static unsigned echo_wanted, echo_got;
static int64_t echo_patience;

static inline void echo_node_start (echo_node_t *node, const char *name)
{
    *node = (echo_node_t) { .home.node_epoch = 1, .home.log_level = 2 };
    snprintf (node->home.instance, sizeof node->home.instance, "post-%s", name);
    snprintf (node->home.node, sizeof node->home.node, "%s", name);
    snprintf (node->home.doors, sizeof node->home.doors, "%s/%s", echo_folder, name);
    zsys_dir_create ("%s", node->home.doors);
    umbp_link_args_t args = { node->home.instance, name, loopback_tcp (), "echo,tester" };
    node->link = umbp_link_new (&args, node->endpoint, sizeof node->endpoint);
    CU_ASSERT_FATAL (node->link != NULL);
    node->echo = umbp_actor_new (&(umbp_actor_args_t) {
        .name = "echo",
        .home = &node->home,
        .door = true,
        .ops = echo_ops,
        .self = zmalloc (sizeof (echo_t)),
        .start = echo_start,
        .stat = echo_stat,
        .closed = echo_closed,
        .destroy = echo_destroy,
    });
    CU_ASSERT_FATAL (node->echo != NULL);
}

static inline void echo_node_stop (echo_node_t *node)
{
    zactor_destroy (&node->echo);
    zactor_destroy (&node->link);
}

static inline void echo_on_request (void *owner, const umbp_mail_t *mail)
{
    (void) owner;
    umbp_post_answer_status (echo_post, mail->origin, UMBP_OK);
}

//  Tell the first link who is where
typedef struct {
    const char *node, *endpoint;
} echo_place_t;

static inline void echo_teach (const echo_place_t *places, size_t count)
{
    uint8_t nodes[512], endpoints[1024];
    uint16_t node_sizes[8], endpoint_sizes[8], none[8] = { 0 };
    uint8_t ones[8] = { 1, 1, 1, 1, 1, 1, 1, 1 }, zeros[8] = { 0 };
    uint16_t loads[8] = { 0 };
    uint32_t silent_ms[8] = { 0 }, n = (uint32_t) count, nodes_used = 0, endpoints_used = 0;
    uint64_t epochs[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    for (size_t index = 0; index < count; index++) {
        node_sizes[index] = (uint16_t) strlen (places[index].node);
        endpoint_sizes[index] = (uint16_t) strlen (places[index].endpoint);
        memcpy (nodes + nodes_used, places[index].node, node_sizes[index]);
        memcpy (endpoints + endpoints_used, places[index].endpoint, endpoint_sizes[index]);
        nodes_used += node_sizes[index];
        endpoints_used += endpoint_sizes[index];
    }
    umbp_column_t empty = { zeros, none, 0, n };
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_topology_ok, 0);
    msg.topology_ok = (umbp_msg_topology_ok_t) {
        .topo_epoch = 1, .self = umbp_text ("a"), .nodes = { nodes, node_sizes, nodes_used, n },
        .epochs = { epochs, n }, .endpoints = { endpoints, endpoint_sizes, endpoints_used, n },
        .bulks = empty, .hosts = empty, .doors = empty, .states = { ones, n },
        .rings = { ones, n }, .loads = { loads, n }, .silent_ms = { silent_ms, n },
        .tier_counts = { zeros, n }, .tiers = { zeros, 0 }, .totals = { zeros, 0 },
        .useds = { zeros, 0 }, .blocks = { zeros, 0 }, .copies = 1, .vnodes = 1,
    };
    CU_ASSERT (umbp_msg_check (&msg) == 0);
    CU_ASSERT (umbp_post_tell (echo_post, "link", NULL, &msg) == 0);
}

static inline void echo_on_answer (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    CU_ASSERT (owner == &echo_post);
    echo_reply_t *reply = &echo_replies[tag];
    reply->count++;
    reply->status = status;
    reply->type = mail ? mail->msg->type : 0;
    reply->payload_size = mail ? mail->payload_size : 0;
    reply->value = 0;
    if (mail && mail->payload_size >= sizeof reply->value)
        memcpy (&reply->value, mail->payload, sizeof reply->value);
    echo_got++;
}

static inline int echo_on_look (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    (void) arg;
    return echo_got >= echo_wanted || zclock_mono () > echo_patience ? -1 : 0;
}

//  Run our loop until so many questions have ended. Returns how many ms that took.
static inline int64_t echo_run (unsigned wanted)
{
    int64_t start = zclock_mono ();
    echo_wanted = wanted;
    echo_patience = start + WAIT_MS;
    int timer = zloop_timer (echo_loop, 1, 0, echo_on_look, NULL);
    zloop_start (echo_loop);
    zloop_timer_end (echo_loop, timer);
    CU_ASSERT (echo_got == wanted);
    return zclock_mono () - start;
}

static inline void echo_forget_replies (void)
{
    memset (echo_replies, 0, sizeof echo_replies);
    echo_got = 0;
}

//  Ask one question and wait for its end. Returns its status.
static inline int echo_ask (const char *actor, const char *node, umbp_msg_t *msg,
                            const void *payload, size_t payload_size, uint32_t deadline_ms)
{
    echo_forget_replies ();
    int rc = umbp_post_ask (echo_post, actor, node, msg, payload, payload_size, deadline_ms,
                            echo_on_answer, 0);
    CU_ASSERT (rc == 0);
    echo_run (1);
    CU_ASSERT (echo_replies[0].count == 1);
    return echo_replies[0].status;
}

static inline int echo_ping (const char *actor, const char *node, uint32_t deadline_ms)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ping, 0);
    return echo_ask (actor, node, &msg, NULL, 0, deadline_ms);
}

//  A store of one block with a payload; the message itself does not matter to the echo
static inline void echo_store (umbp_msg_t *msg, const void *payload, size_t size)
{
    static const uint16_t key_size = 1;
    static uint32_t sizes;
    static uint64_t sum;
    umbp_msg_init (msg, UMBP_MSG_store, 0);
    sizes = (uint32_t) size;
    msg->store.keys = (umbp_column_t) { (const uint8_t *) "k", &key_size, 1, 1 };
    msg->store.sizes = (umbp_u32s_t) { &sizes, 1 };
    msg->store.sums = (umbp_u64s_t) { &sum, 1 };
    (void) payload;
    CU_ASSERT (umbp_msg_check (msg) == 0);
}

static inline void echo_evict (umbp_msg_t *msg, uint64_t bytes)
{
    umbp_msg_init (msg, UMBP_MSG_evict, 0);
    msg->evict.tier = 2;
    msg->evict.bytes = bytes;
    CU_ASSERT (umbp_msg_check (msg) == 0);
}

static uint64_t echo_stat_value;
static const char *echo_stat_name;

static inline void echo_on_stat (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    size_t offset = 0;
    CU_ASSERT (status == 0 && mail && mail->msg->type == UMBP_MSG_stat_ok);
    for (size_t index = 0; mail && index < mail->msg->stat_ok.names.count; index++) {
        umbp_bytes_t item = umbp_column_next (&mail->msg->stat_ok.names, index, &offset);
        if (umbp_text_is ((umbp_text_t) { (const char *) item.data, item.size }, echo_stat_name))
            echo_stat_value = umbp_u64s_at (mail->msg->stat_ok.values, index);
    }
    echo_on_answer (owner, tag, status, mail);
}

static inline uint64_t echo_gauge (const char *node, const char *name)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    echo_forget_replies ();
    echo_stat_name = name;
    echo_stat_value = UINT64_MAX;
    CU_ASSERT (umbp_post_ask (echo_post, "echo", node, &msg, NULL, 0, LONG_MS, echo_on_stat, 0)
               == 0);
    echo_run (1);
    return echo_stat_value;
}

//  The gauge reaches a value sooner or later
static inline bool echo_gauge_becomes (const char *node, const char *name, uint64_t value)
{
    int64_t end = zclock_mono () + WAIT_MS;
    while (zclock_mono () < end)
        if (echo_gauge (node, name) == value)
            return true;
    return false;
}

//  The first test of a program, and the last one
static inline void test_nodes_start (void)
{
    snprintf (echo_folder, sizeof echo_folder, "/tmp/umbp-post-%d", (int) getpid ());
    echo_node_start (&echo_a, "a");
    echo_node_start (&echo_b, "b");
    echo_loop = zloop_new ();
    echo_post = umbp_post_new (echo_a.home.instance, "tester", NULL);
    umbp_post_set_node (echo_post, "a");
    umbp_post_start (echo_post, echo_loop, NULL, &echo_post, echo_on_request, NULL);
    echo_teach ((echo_place_t[]) { { "a", echo_a.endpoint }, { "b", echo_b.endpoint } }, 2);
}

static inline void test_nodes_stop (void)
{
    umbp_post_destroy (&echo_post);
    zloop_destroy (&echo_loop);
    echo_node_stop (&echo_b);
    echo_node_stop (&echo_a);
    zsys_dir_delete ("%s/a", echo_folder);
    zsys_dir_delete ("%s/b", echo_folder);
    zsys_dir_delete ("%s", echo_folder);
}

#if defined(__SANITIZE_THREAD__)
//  Long enough for it to know that a message was handed over by libzmq, see deploy/tsan.supp
const char *__tsan_default_options (void);

const char *__tsan_default_options (void)
{
    return "history_size=7";
}
#endif

#endif

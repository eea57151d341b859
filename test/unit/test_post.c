//  test/unit/test_post.c - how actors speak: to actors of the same node, through the links of two
//  nodes in this process, and through a door; and what becomes of those who break the rules
#include <CUnit/Basic.h>
#include <czmq.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actors/actor.h"
#include "cluster/bulk/shm.h"
#include "cluster/link.h"

#define WAIT_MS 20000                   //  The machine may be slow; nothing takes so long by design
#define LONG_MS 10000                   //  A deadline that nothing here may need
#define MANY 1000
#define WIRE_MAX (UMBP_MESSAGE_MAX + UMBP_INLINE_MAX)

//  -----------------------------------------------------------------------------------------------
//  An actor to speak to

typedef struct {
    umbp_post_t *post;
    uint64_t told, closed;
} echo_t;

static void s_do_store (void *owner, const umbp_mail_t *mail)
{
    echo_t *self = owner;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ok, 0);
    umbp_post_answer (self->post, mail->origin, &msg, mail->payload, mail->payload_size);
}

//  Told, or asked and never answered
static void s_do_pressure (void *owner, const umbp_mail_t *mail)
{
    (void) mail;
    echo_t *self = owner;
    self->told++;
}

//  An answer of any size: as many bytes as the asker wants
static void s_do_evict (void *owner, const umbp_mail_t *mail)
{
    static uint8_t bytes[2 * UMBP_MESSAGE_MAX];
    echo_t *self = owner;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ok, 0);
    umbp_post_answer (self->post, mail->origin, &msg, bytes, mail->msg->evict.bytes);
}

static void s_do_attach (void *owner, const umbp_mail_t *mail)
{
    echo_t *self = owner;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ok, 0);
    int fd = fileno (stdin);
    umbp_post_answer_fds (self->post, mail->origin, &msg, &fd, 1);
}

static const umbp_op_t s_ops[] = {
    { UMBP_MSG_store, s_do_store },
    { UMBP_MSG_pressure, s_do_pressure },
    { UMBP_MSG_evict, s_do_evict },
    { UMBP_MSG_attach, s_do_attach },
    { UMBP_MSG_topology_ok, s_do_pressure },
    { 0, NULL },
};

static void s_echo_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    (void) loop;
    ((echo_t *) owner)->post = post;
}

static void s_echo_stat (void *owner, umbp_gauges_t *stats)
{
    echo_t *self = owner;
    umbp_gauges_add (stats, "told", self->told);
    umbp_gauges_add (stats, "closed", self->closed);
}

static void s_echo_closed (void *owner, uint64_t door)
{
    CU_ASSERT (door > 0);
    ((echo_t *) owner)->closed++;
}

static void s_echo_destroy (void **self_p)
{
    freen (*self_p);
}

//  -----------------------------------------------------------------------------------------------
//  Two nodes, and us: an actor of the first

typedef struct {
    umbp_home_t home;
    char endpoint[UMBP_TEXT_MAX + 1];
    zactor_t *link, *echo;
} node_t;

typedef struct {
    int status;
    uint16_t type;
    uint64_t value;
    size_t payload_size;
    unsigned count;                     //  How often we were called
} reply_t;

static node_t s_a, s_b;
static char s_folder[64];
static zloop_t *s_loop;
static umbp_post_t *s_post;
static reply_t s_replies[2 * 8192];
static unsigned s_wanted, s_got;
static int64_t s_patience;

static void s_node_start (node_t *node, const char *name)
{
    *node = (node_t) { .home.node_epoch = 1, .home.log_level = 2 };
    snprintf (node->home.instance, sizeof node->home.instance, "post-%s", name);
    snprintf (node->home.node, sizeof node->home.node, "%s", name);
    snprintf (node->home.doors, sizeof node->home.doors, "%s/%s", s_folder, name);
    zsys_dir_create ("%s", node->home.doors);
    umbp_link_args_t args = { node->home.instance, name, "tcp://127.0.0.1:*", "echo,tester" };
    node->link = umbp_link_new (&args, node->endpoint, sizeof node->endpoint);
    CU_ASSERT_FATAL (node->link != NULL);
    node->echo = umbp_actor_new (&(umbp_actor_args_t) {
        .name = "echo",
        .home = &node->home,
        .door = true,
        .ops = s_ops,
        .self = zmalloc (sizeof (echo_t)),
        .start = s_echo_start,
        .stat = s_echo_stat,
        .closed = s_echo_closed,
        .destroy = s_echo_destroy,
    });
    CU_ASSERT_FATAL (node->echo != NULL);
}

static void s_node_stop (node_t *node)
{
    zactor_destroy (&node->echo);
    zactor_destroy (&node->link);
}

static void s_on_request (void *owner, const umbp_mail_t *mail)
{
    (void) owner;
    umbp_post_answer_status (s_post, mail->origin, UMBP_OK);
}

//  Tell the first link who is where
typedef struct {
    const char *node, *endpoint;
} place_t;

static void s_teach (const place_t *places, size_t count)
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
    CU_ASSERT (umbp_post_tell (s_post, "link", NULL, &msg) == 0);
}

static void s_on_answer (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    CU_ASSERT (owner == &s_post);
    reply_t *reply = &s_replies[tag];
    reply->count++;
    reply->status = status;
    reply->type = mail ? mail->msg->type : 0;
    reply->payload_size = mail ? mail->payload_size : 0;
    reply->value = 0;
    if (mail && mail->payload_size >= sizeof reply->value)
        memcpy (&reply->value, mail->payload, sizeof reply->value);
    s_got++;
}

static int s_on_look (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    (void) arg;
    return s_got >= s_wanted || zclock_mono () > s_patience ? -1 : 0;
}

//  Run our loop until so many questions have ended. Returns how many ms that took.
static int64_t s_run (unsigned wanted)
{
    int64_t start = zclock_mono ();
    s_wanted = wanted;
    s_patience = start + WAIT_MS;
    int timer = zloop_timer (s_loop, 1, 0, s_on_look, NULL);
    zloop_start (s_loop);
    zloop_timer_end (s_loop, timer);
    CU_ASSERT (s_got == wanted);
    return zclock_mono () - start;
}

static void s_forget_replies (void)
{
    memset (s_replies, 0, sizeof s_replies);
    s_got = 0;
}

//  Ask one question and wait for its end. Returns its status.
static int s_ask (const char *actor, const char *node, umbp_msg_t *msg, const void *payload,
                  size_t payload_size, uint32_t deadline_ms)
{
    s_forget_replies ();
    int rc = umbp_post_ask (s_post, actor, node, msg, payload, payload_size, deadline_ms,
                            s_on_answer, 0);
    CU_ASSERT (rc == 0);
    s_run (1);
    CU_ASSERT (s_replies[0].count == 1);
    return s_replies[0].status;
}

static int s_ping (const char *actor, const char *node, uint32_t deadline_ms)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ping, 0);
    return s_ask (actor, node, &msg, NULL, 0, deadline_ms);
}

//  A store of one block with a payload; the message itself does not matter to the echo
static void s_store (umbp_msg_t *msg, const void *payload, size_t size)
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

static void s_evict (umbp_msg_t *msg, uint64_t bytes)
{
    umbp_msg_init (msg, UMBP_MSG_evict, 0);
    msg->evict.tier = 2;
    msg->evict.bytes = bytes;
    CU_ASSERT (umbp_msg_check (msg) == 0);
}

static uint64_t s_stat_value;
static const char *s_stat_name;

static void s_on_stat (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    size_t offset = 0;
    CU_ASSERT (status == 0 && mail && mail->msg->type == UMBP_MSG_stat_ok);
    for (size_t index = 0; mail && index < mail->msg->stat_ok.names.count; index++) {
        umbp_bytes_t item = umbp_column_next (&mail->msg->stat_ok.names, index, &offset);
        if (umbp_text_is ((umbp_text_t) { (const char *) item.data, item.size }, s_stat_name))
            s_stat_value = umbp_u64s_at (mail->msg->stat_ok.values, index);
    }
    s_on_answer (owner, tag, status, mail);
}

static uint64_t s_gauge (const char *node, const char *name)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    s_forget_replies ();
    s_stat_name = name;
    s_stat_value = UINT64_MAX;
    CU_ASSERT (umbp_post_ask (s_post, "echo", node, &msg, NULL, 0, LONG_MS, s_on_stat, 0) == 0);
    s_run (1);
    return s_stat_value;
}

//  The gauge reaches a value sooner or later
static bool s_gauge_becomes (const char *node, const char *name, uint64_t value)
{
    int64_t end = zclock_mono () + WAIT_MS;
    while (zclock_mono () < end)
        if (s_gauge (node, name) == value)
            return true;
    return false;
}

//  -----------------------------------------------------------------------------------------------
//  Asking and telling

static void test_ask_here_and_there (void)
{
    static const char *const nodes[] = { NULL, "", "a", "b" };
    uint64_t value = 0;
    for (size_t index = 0; index < sizeof nodes / sizeof *nodes; index++) {
        umbp_msg_t msg;
        value += 1000 + index;
        s_store (&msg, &value, sizeof value);
        CU_ASSERT (s_ask ("echo", nodes[index], &msg, &value, sizeof value, LONG_MS) == 0);
        CU_ASSERT (s_replies[0].type == UMBP_MSG_ok && s_replies[0].value == value);
        CU_ASSERT (s_ping ("echo", nodes[index], LONG_MS) == 0);
        CU_ASSERT (s_replies[0].payload_size == 0);
        umbp_msg_init (&msg, UMBP_MSG_who, 0);          //  An actor that takes no such message
        CU_ASSERT (s_ask ("echo", nodes[index], &msg, NULL, 0, LONG_MS) == UMBP_ENOTSUP);
        CU_ASSERT (s_replies[0].type == UMBP_MSG_refused);
        umbp_msg_init (&msg, UMBP_MSG_attach, 0);       //  Descriptors pass through doors only
        msg.attach.session = 1;
        CU_ASSERT (s_ask ("echo", nodes[index], &msg, NULL, 0, LONG_MS) == UMBP_ENOTSUP);
    }
    CU_ASSERT (s_ping ("echo", s_b.endpoint, LONG_MS) == 0);    //  By endpoint, without a name
    CU_ASSERT (s_ping ("echo", s_a.endpoint, LONG_MS) == 0);    //  ... which may be our own
}

static void test_tell (void)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_pressure, 0);
    msg.pressure.tier = 2;
    CU_ASSERT (umbp_msg_check (&msg) == 0);
    uint64_t here = s_gauge (NULL, "told"), there = s_gauge ("b", "told");
    for (int times = 0; times < 10; times++) {
        CU_ASSERT (umbp_post_tell (s_post, "echo", NULL, &msg) == 0);
        CU_ASSERT (umbp_post_tell (s_post, "echo", "b", &msg) == 0);
    }
    CU_ASSERT (s_gauge (NULL, "told") == here + 10);    //  Behind them in the same queue
    CU_ASSERT (s_gauge ("b", "told") == there + 10);
    CU_ASSERT (umbp_post_tell (s_post, "echo", "nobody", &msg) == 0);
    CU_ASSERT (s_ping ("echo", NULL, LONG_MS) == 0);
}

//  Who cannot be reached is said at once where that is known, and at the deadline where it is not
static void test_unreachable (void)
{
    int64_t start = zclock_mono ();
    CU_ASSERT (s_ping ("echo", "nobody", LONG_MS) == UMBP_EUNREACH);
    CU_ASSERT (s_ping ("nobody", "b", LONG_MS) == UMBP_EUNREACH);
    CU_ASSERT (s_ping ("echo", "tcp://no:port", LONG_MS) == UMBP_EUNREACH);
    CU_ASSERT (s_ping ("echo", "ipc:///tmp/x", LONG_MS) == UMBP_EUNREACH);
    CU_ASSERT (s_ping ("echo", "inproc://umbp/post-b/echo", LONG_MS) == UMBP_EUNREACH);
    CU_ASSERT (zclock_mono () - start < LONG_MS);

    //  An actor that never answers, here and there
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_pressure, 0);
    msg.pressure.tier = 2;
    start = zclock_mono ();
    CU_ASSERT (s_ask ("echo", NULL, &msg, NULL, 0, 200) == UMBP_ETIMEDOUT);
    CU_ASSERT (zclock_mono () - start >= 200);
    CU_ASSERT (s_ask ("echo", "b", &msg, NULL, 0, 200) == UMBP_EUNREACH);

    //  Nobody listens; and somebody listens who says nothing
    int silent = socket (AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
    CU_ASSERT_FATAL (bind (silent, (struct sockaddr *) &address, size) == 0);
    CU_ASSERT_FATAL (listen (silent, 8) == 0);
    CU_ASSERT_FATAL (getsockname (silent, (struct sockaddr *) &address, &size) == 0);
    char endpoint[64];
    snprintf (endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", ntohs (address.sin_port));
    start = zclock_mono ();
    CU_ASSERT (s_ping ("echo", "tcp://127.0.0.1:1", 200) == UMBP_EUNREACH);
    CU_ASSERT (s_ping ("echo", endpoint, 200) == UMBP_EUNREACH);
    CU_ASSERT (zclock_mono () - start >= 400);
    close (silent);
}

//  Each of many questions ends once, with the answer to itself
static void test_many_in_flight (void)
{
    s_forget_replies ();
    for (uint64_t tag = 0; tag < 2 * MANY; tag++) {
        umbp_msg_t msg;
        uint64_t value = tag * 7919;
        s_store (&msg, &value, sizeof value);
        CU_ASSERT (umbp_post_ask (s_post, "echo", tag < MANY ? "b" : NULL, &msg, &value,
                                  sizeof value, WAIT_MS, s_on_answer, tag)
                   == 0);
    }
    int64_t took_ms = s_run (2 * MANY);
    printf ("%d questions in %d ms ", 2 * MANY, (int) took_ms);
    for (uint64_t tag = 0; tag < 2 * MANY; tag++)
        CU_ASSERT (s_replies[tag].count == 1 && s_replies[tag].status == 0
                   && s_replies[tag].value == tag * 7919);
}

//  The table of open questions is bounded, and all of them end
static void test_too_many (void)
{
    umbp_msg_t msg;
    s_forget_replies ();
    unsigned asked = 0;
    int rc = 0;
    for (uint64_t tag = 0; rc == 0 && tag < 10000; tag++) {
        umbp_msg_init (&msg, UMBP_MSG_ping, 0);
        rc = umbp_post_ask (s_post, "echo", NULL, &msg, NULL, 0, WAIT_MS, s_on_answer, tag);
        asked += rc == 0;
    }
    CU_ASSERT (rc == UMBP_EAGAIN && asked == 8192);
    s_run (asked);
    for (unsigned tag = 0; tag < asked; tag++)
        CU_ASSERT (s_replies[tag].count == 1 && s_replies[tag].status == 0);
    CU_ASSERT (s_ping ("echo", NULL, LONG_MS) == 0);
}

static void test_large (void)
{
    static uint8_t bytes[UMBP_INLINE_MAX + 1];
    umbp_msg_t msg;
    s_store (&msg, bytes, UMBP_INLINE_MAX);
    CU_ASSERT (s_ask ("echo", "b", &msg, bytes, UMBP_INLINE_MAX, LONG_MS) == 0);
    CU_ASSERT (s_replies[0].payload_size == UMBP_INLINE_MAX);
    s_store (&msg, bytes, UMBP_INLINE_MAX);
    CU_ASSERT (s_ask ("echo", "b", &msg, bytes, UMBP_INLINE_MAX + 1, LONG_MS) == UMBP_ETOOBIG);
    s_store (&msg, bytes, UMBP_INLINE_MAX);
    CU_ASSERT (s_ask ("echo", NULL, &msg, bytes, UMBP_INLINE_MAX + 1, LONG_MS) == UMBP_ETOOBIG);
    CU_ASSERT (s_ping ("echo", "b", LONG_MS) == 0);
}

//  Two members at one endpoint, as after a restart under another id: the end of the first does not
//  cut off the second, whose answer is on its way
static void test_shared_way (void)
{
    place_t places[] = { { "a", s_a.endpoint }, { "b", s_b.endpoint }, { "old", s_b.endpoint } };
    s_teach (places, 3);
    CU_ASSERT (s_ping ("echo", "old", LONG_MS) == 0);
    s_forget_replies ();
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ping, 0);
    for (uint64_t tag = 0; tag < 100; tag++)
        CU_ASSERT (umbp_post_ask (s_post, "echo", "b", &msg, NULL, 0, WAIT_MS, s_on_answer, tag)
                   == 0);
    s_teach (places, 2);
    s_run (100);
    for (uint64_t tag = 0; tag < 100; tag++)
        CU_ASSERT (s_replies[tag].status == 0);
    CU_ASSERT (s_ping ("echo", "old", LONG_MS) == UMBP_EUNREACH);
}

//  Endpoints that nobody has named cost a bounded number of sockets, and members none of theirs
static void test_many_strangers (void)
{
    umbp_msg_t msg;
    char endpoint[64];
    s_forget_replies ();
    for (unsigned tag = 0; tag < 200; tag++) {
        snprintf (endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", tag % 9 + 1);
        if (tag >= 100)
            snprintf (endpoint, sizeof endpoint, "tcp://127.0.%u.1:1", tag);
        umbp_msg_init (&msg, UMBP_MSG_ping, 0);
        CU_ASSERT (umbp_post_ask (s_post, "echo", endpoint, &msg, NULL, 0, 300, s_on_answer, tag)
                   == 0);
    }
    s_run (200);
    for (unsigned tag = 0; tag < 200; tag++)
        CU_ASSERT (s_replies[tag].count == 1 && s_replies[tag].status == UMBP_EUNREACH);
    CU_ASSERT (s_ping ("echo", "b", LONG_MS) == 0);
}

//  -----------------------------------------------------------------------------------------------
//  Those who break the rules, over inproc and tcp

static zsock_t *s_raw (const char *endpoint)
{
    zsock_t *sock = zsock_new (ZMQ_DEALER);
    zsock_set_linger (sock, 0);
    zsock_set_rcvtimeo (sock, WAIT_MS);
    CU_ASSERT_FATAL (zsock_connect (sock, "%s", endpoint) == 0);
    return sock;
}

static void s_frame (zsock_t *sock, const void *data, size_t size, bool more)
{
    zmq_send (zsock_resolve (sock), size ? data : "", size, more ? ZMQ_SNDMORE : 0);
}

//  The next answer: its origin and its message, which is good until the next call
static bool s_hear (zsock_t *sock, bool routed, umbp_msg_t *msg, zframe_t **origin)
{
    static zframe_t *last;
    zframe_destroy (&last);
    zmsg_t *parts = zmsg_recv (sock);
    CU_ASSERT (parts != NULL);
    if (!parts)
        return false;
    zframe_t *address = routed ? zmsg_pop (parts) : NULL;
    CU_ASSERT (!routed || (address && zframe_size (address) == 0));
    zframe_destroy (&address);
    *origin = zmsg_pop (parts);
    last = zmsg_pop (parts);
    zmsg_destroy (&parts);
    CU_ASSERT (*origin && last);
    return last && umbp_msg_decode (msg, zframe_data (last), zframe_size (last)) > 0;
}

static size_t s_ping_wire (uint64_t id, byte *wire, size_t size)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ping, id);
    int used = umbp_msg_encode (&msg, wire, size);
    CU_ASSERT_FATAL (used > 0);
    return (size_t) used;
}

static void s_check_answer (zsock_t *sock, bool routed, uint64_t id, int status, const void *origin,
                            size_t origin_size)
{
    umbp_msg_t msg;
    zframe_t *back = NULL;
    CU_ASSERT (s_hear (sock, routed, &msg, &back));
    CU_ASSERT (msg.id == id && msg.status == status);
    CU_ASSERT (back && zframe_size (back) == origin_size);
    if (back && zframe_size (back) == origin_size)
        CU_ASSERT (memcmp (zframe_data (back), origin_size ? origin : "", origin_size) == 0);
    zframe_destroy (&back);
}

//  Straight into an inbox: malformed messages are refused, malformed frames are counted
static void test_malformed_inbox (void)
{
    char inproc[2 * UMBP_TEXT_MAX];
    zsock_t *raw = s_raw (umbp_post_inproc (s_a.home.instance, "echo", inproc, sizeof inproc));
    byte wire[64], junk[256];
    memset (junk, 0xff, sizeof junk);
    size_t size = s_ping_wire (5, wire, sizeof wire);
    uint64_t malformed = s_gauge (NULL, "malformed");

    s_frame (raw, wire, size, false);                   //  No origin
    s_frame (raw, "", 0, true);                         //  Too many frames
    s_frame (raw, wire, size, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, "", 0, false);
    s_frame (raw, junk, UMBP_ORIGIN_MAX + 1, true);     //  An origin too long
    s_frame (raw, wire, size, false);
    s_frame (raw, "", 0, true);                         //  No CBOR: nobody to answer to
    s_frame (raw, junk, sizeof junk, false);
    s_frame (raw, "", 0, true);                         //  Bytes behind the message
    wire[size] = 0;
    s_frame (raw, wire, size + 1, false);
    s_check_answer (raw, false, 5, UMBP_EPROTO, NULL, 0);
    s_frame (raw, junk, UMBP_ORIGIN_MAX, true);         //  Any origin comes back as it was
    s_frame (raw, wire, size, false);
    s_check_answer (raw, false, 5, UMBP_OK, junk, UMBP_ORIGIN_MAX);
    CU_ASSERT (s_gauge (NULL, "malformed") == malformed + 5);
    zsock_destroy (&raw);
}

//  From another node: addresses and origins of all kinds
static void test_forged (void)
{
    static const char *const nowhere[] = {
        "nobody",
        "link",
        "echo@nobody",
        "link@a",
        "echo@tcp://127.0.0.1:1",
        "tester@ipc:///tmp/x",
        "echo@inproc://umbp/post-a/echo",
        "echo@",
        "registry",
        "echo@@a",
        "ech",
        "echo,tester",
        "echo@pgm://x",
        "echo@tcp://",
        "%s%n@%s",
    };
    zsock_t *raw = s_raw (s_a.endpoint);
    byte wire[64], origin[UMBP_ORIGIN_MAX];
    uint64_t id = 1;
    for (size_t index = 0; index < sizeof nowhere / sizeof *nowhere; index++, id++) {
        size_t size = s_ping_wire (id, wire, sizeof wire);
        s_frame (raw, nowhere[index], strlen (nowhere[index]), true);
        s_frame (raw, "", 0, true);
        s_frame (raw, wire, size, false);
        s_check_answer (raw, true, id, UMBP_EUNREACH, NULL, 0);
    }

    //  Names cost nothing, however many there are
    for (int times = 0; times < 3000; times++, id++) {
        char name[32];
        int length = snprintf (name, sizeof name, times % 2 ? "x%d" : "echo@x%d", times);
        size_t size = s_ping_wire (id, wire, sizeof wire);
        s_frame (raw, name, (size_t) length, true);
        s_frame (raw, "", 0, true);
        s_frame (raw, wire, size, false);
        s_check_answer (raw, true, id, UMBP_EUNREACH, NULL, 0);
    }

    //  An origin is ours: it comes back untouched, even if it looks like the link's own, L and W
    for (size_t origin_size = 0; origin_size <= UMBP_ORIGIN_MAX - 7; origin_size++, id++) {
        memset (origin, "LW\0\5\xff"[origin_size % 5], sizeof origin);
        size_t size = s_ping_wire (id, wire, sizeof wire);
        s_frame (raw, origin_size % 2 ? "echo" : "echo@a", origin_size % 2 ? 4 : 6, true);
        s_frame (raw, origin, origin_size, true);
        s_frame (raw, wire, size, false);
        s_check_answer (raw, true, id, UMBP_OK, origin, origin_size);
    }

    //  What is not framed as it should be is dropped; 6 bytes of origin are no room for its sender
    byte junk[UMBP_ADDRESS_MAX + 1];
    memset (junk, 'x', sizeof junk);
    size_t size = s_ping_wire (id, wire, sizeof wire);
    s_frame (raw, "echo", 4, true);
    s_frame (raw, junk, UMBP_ORIGIN_MAX - 6, true);
    s_frame (raw, wire, size, false);
    s_frame (raw, junk, sizeof junk, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, wire, size, false);
    s_frame (raw, "echo\0x", 6, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, wire, size, false);
    s_frame (raw, "@a", 2, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, wire, size, false);
    s_frame (raw, "", 0, false);
    for (int count = 0; count < 12; count++)
        s_frame (raw, "echo", 4, count < 11);
    s_frame (raw, "echo", 4, true);                     //  No id, no answer
    s_frame (raw, "", 0, true);
    s_frame (raw, junk, sizeof junk, false);
    s_frame (raw, "echo@b", 6, true);                   //  By way of a to b, and back
    s_frame (raw, "mine", 4, true);
    s_frame (raw, wire, size, false);
    s_check_answer (raw, true, id, UMBP_OK, "mine", 4);
    zsock_destroy (&raw);
    CU_ASSERT (s_ping ("echo", "b", LONG_MS) == 0);
}

//  Only the registry of a node says what the topology is, and it is no stranger
static void test_forged_topology (void)
{
    static byte arena[4096], wire[8192];
    umbp_msg_t msg;
    uint64_t seed = 1, told = s_gauge ("a", "told");
    CU_ASSERT_FATAL (umbp_msg_random (&msg, UMBP_MSG_topology_ok, &seed, arena, sizeof arena) == 0);
    msg.id = 77;
    msg.status = 0;
    int size = umbp_msg_encode (&msg, wire, sizeof wire);
    CU_ASSERT_FATAL (size > 0);
    zsock_t *raw = s_raw (s_a.endpoint);
    s_frame (raw, "echo", 4, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, wire, (size_t) size, false);
    s_check_answer (raw, true, 77, UMBP_EDENIED, NULL, 0);
    s_frame (raw, "link", 4, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, wire, (size_t) size, false);
    s_check_answer (raw, true, 77, UMBP_EUNREACH, NULL, 0);
    zsock_destroy (&raw);
    CU_ASSERT (s_gauge ("a", "told") == told);
    CU_ASSERT (s_ping ("echo", "b", LONG_MS) == 0);     //  The routes are as they were
}

//  Bytes that are no ZMTP, and a message larger than any
static void test_garbage_on_tcp (void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
    address.sin_port = htons ((uint16_t) atoi (strrchr (s_b.endpoint, ':') + 1));
    static const byte greeting[32] = {
        0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0, 'N', 'U', 'L', 'L'
    };
    uint64_t seed = 42;
    for (int times = 0; times < 20; times++) {
        int fd = socket (AF_INET, SOCK_STREAM, 0);
        CU_ASSERT (connect (fd, (struct sockaddr *) &address, sizeof address) == 0);
        byte bytes[4096];
        for (size_t index = 0; index < sizeof bytes; index++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[index] = (byte) (seed >> 56);
        }
        if (times % 2)                                  //  A greeting, then garbage
            memcpy (bytes, greeting, sizeof greeting);
        send (fd, bytes, sizeof bytes, MSG_NOSIGNAL);
        close (fd);
    }
    CU_ASSERT (s_ping ("echo", "b", LONG_MS) == 0);

    static byte big[WIRE_MAX + 1];
    zsock_t *raw = s_raw (s_b.endpoint);
    byte wire[64];
    size_t size = s_ping_wire (1, wire, sizeof wire);
    s_frame (raw, "echo", 4, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, big, sizeof big, false);              //  The connection is given up, and renewed
    s_frame (raw, "echo", 4, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, wire, size, false);
    zsock_destroy (&raw);
    CU_ASSERT (s_ping ("echo", "b", LONG_MS) == 0);
    raw = s_raw (s_b.endpoint);
    s_frame (raw, "echo", 4, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, wire, size, false);
    s_check_answer (raw, true, 1, UMBP_OK, NULL, 0);
    zsock_destroy (&raw);
}

//  -----------------------------------------------------------------------------------------------
//  Through the door

static int s_door (void)
{
    char path[UMBP_TEXT_MAX + 16];
    snprintf (path, sizeof path, "%s/echo.sock", s_a.home.doors);
    int door = umbp_shm_connect (path, WAIT_MS, NULL);
    CU_ASSERT_FATAL (door >= 0);
    return door;
}

//  Ask through it. Returns the status of the answer, 1 if the door was closed instead.
static int s_ask_door (int door, umbp_msg_t *msg, const void *payload, size_t payload_size,
                       size_t *answer_size, int *fds, size_t *fd_count)
{
    static byte data[UMBP_SHM_DATA_MAX];
    size_t none = 0;
    msg->id = 9;
    int size = umbp_msg_encode (msg, data, sizeof data);
    CU_ASSERT_FATAL (size > 0 && (size_t) size + payload_size <= sizeof data);
    if (payload_size)
        memcpy (data + size, payload, payload_size);
    CU_ASSERT (umbp_shm_send (door, data, (size_t) size + payload_size, NULL, 0) == 0);
    size = umbp_shm_recv (door, data, sizeof data, fds, fd_count ? fd_count : &none, WAIT_MS);
    if (size == UMBP_ECLOSED)
        return 1;
    CU_ASSERT (size > 0);
    int used = umbp_msg_decode (msg, data, size > 0 ? (size_t) size : 0);
    CU_ASSERT (used > 0 && msg->id == 9);
    if (answer_size)
        *answer_size = (size_t) (size - used);
    return msg->status;
}

static void test_door (void)
{
    static byte bytes[UMBP_SHM_DATA_MAX];
    umbp_msg_t msg;
    size_t payload = 0, fd_count = 4;
    int fds[4], door = s_door (), other = s_door ();
    umbp_msg_init (&msg, UMBP_MSG_ping, 0);
    CU_ASSERT (s_ask_door (door, &msg, NULL, 0, NULL, NULL, NULL) == 0);
    s_store (&msg, bytes, 60000);
    CU_ASSERT (s_ask_door (other, &msg, bytes, 60000, &payload, NULL, NULL) == 0);
    CU_ASSERT (payload == 60000);
    umbp_msg_init (&msg, UMBP_MSG_attach, 0);
    msg.attach.session = 1;
    CU_ASSERT (s_ask_door (door, &msg, NULL, 0, NULL, fds, &fd_count) == 0);
    CU_ASSERT (fd_count == 1);
    umbp_shm_close (fds, fd_count);

    //  An answer that is larger than a door is refused, and the door stays open
    s_evict (&msg, UMBP_SHM_DATA_MAX);
    CU_ASSERT (s_ask_door (door, &msg, NULL, 0, NULL, NULL, NULL) == UMBP_ETOOBIG);
    umbp_msg_init (&msg, UMBP_MSG_ping, 0);
    CU_ASSERT (s_ask_door (door, &msg, NULL, 0, NULL, NULL, NULL) == 0);

    //  Nobody at a door says what the topology is
    static byte arena[4096];
    uint64_t seed = 1;
    CU_ASSERT_FATAL (umbp_msg_random (&msg, UMBP_MSG_topology_ok, &seed, arena, sizeof arena) == 0);
    CU_ASSERT (s_ask_door (door, &msg, NULL, 0, NULL, NULL, NULL) == UMBP_EDENIED);

    //  Garbage has no id to be answered by, and does no harm
    memset (bytes, 0xff, sizeof bytes);
    CU_ASSERT (umbp_shm_send (door, bytes, sizeof bytes, NULL, 0) == 0);
    umbp_msg_init (&msg, UMBP_MSG_ping, 0);
    CU_ASSERT (s_ask_door (door, &msg, NULL, 0, NULL, NULL, NULL) == 0);

    CU_ASSERT (s_gauge (NULL, "doors_open") == 2);
    uint64_t closed = s_gauge (NULL, "closed");
    close (door);
    CU_ASSERT (s_gauge_becomes (NULL, "closed", closed + 1));
    close (other);
    CU_ASSERT (s_gauge_becomes (NULL, "closed", closed + 2));
    CU_ASSERT (s_gauge (NULL, "doors_open") == 0);
}

//  More doors than there may be, and clients that ask and do not read
static void test_door_limits (void)
{
    enum { DOORS = 300 };
    int doors[DOORS];
    uint64_t closed = s_gauge (NULL, "closed");
    for (int index = 0; index < DOORS; index++)
        doors[index] = s_door ();
    CU_ASSERT (s_gauge_becomes (NULL, "doors_refused", DOORS - 256));
    for (int index = 0; index < DOORS; index++)
        close (doors[index]);
    CU_ASSERT (s_gauge_becomes (NULL, "closed", closed + 256));

    umbp_msg_t msg;
    byte wire[64];
    int door = s_door ();
    s_evict (&msg, 60000);
    msg.id = 1;
    int size = umbp_msg_encode (&msg, wire, sizeof wire), rc = 0;
    for (int times = 0; times < 1000 && rc != UMBP_ECLOSED; times++)
        rc = umbp_shm_send (door, wire, (size_t) size, NULL, 0);
    CU_ASSERT (s_gauge_becomes (NULL, "closed", closed + 257));
    CU_ASSERT (s_gauge (NULL, "lost") > 0);
    close (door);

    //  One that asked a lot and went away: all is served, and its end is noticed
    uint64_t told = s_gauge (NULL, "told");
    unsigned sent = 0;
    door = s_door ();
    umbp_msg_init (&msg, UMBP_MSG_pressure, 0);
    msg.pressure.tier = 2;
    size = umbp_msg_encode (&msg, wire, sizeof wire);
    for (int times = 0; times < 1000; times++)
        sent += umbp_shm_send (door, wire, (size_t) size, NULL, 0) == 0;
    close (door);
    CU_ASSERT (s_gauge_becomes (NULL, "closed", closed + 258));
    CU_ASSERT (s_gauge (NULL, "told") == told + sent);
}

//  -----------------------------------------------------------------------------------------------
//  Beginning and end

//  What was asked before there was a loop ends too
static void test_asked_before_start (void)
{
    umbp_post_t *post = umbp_post_new (s_a.home.instance, "early", NULL);
    CU_ASSERT_FATAL (post != NULL);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_pressure, 0);
    msg.pressure.tier = 2;
    s_forget_replies ();
    CU_ASSERT (umbp_post_ask_for (post, &s_post, "echo", NULL, &msg, NULL, 0, 100, s_on_answer, 3)
               == 0);
    zloop_t *loop = zloop_new (), *usual = s_loop;
    umbp_post_start (post, loop, NULL, &s_post, s_on_request, NULL);
    s_loop = loop;
    s_run (1);
    s_loop = usual;
    CU_ASSERT (s_replies[3].status == UMBP_ETIMEDOUT && s_replies[3].count == 1);
    umbp_post_destroy (&post);
    zloop_destroy (&loop);
    CU_ASSERT_PTR_NULL (umbp_post_new (s_a.home.instance, "echo", NULL));    //  The name is taken
    CU_ASSERT_PTR_NULL (umbp_post_new (s_a.home.instance, "lost", "/nowhere/x.sock"));
}

//  A node goes while it is being asked: each question ends, and the link goes on
static void test_node_ends (void)
{
    s_forget_replies ();
    umbp_msg_t msg;
    for (uint64_t tag = 0; tag < 100; tag++) {
        umbp_msg_init (&msg, UMBP_MSG_ping, 0);
        CU_ASSERT (umbp_post_ask (s_post, "echo", "b", &msg, NULL, 0, 500, s_on_answer, tag) == 0);
        if (tag == 50)
            s_node_stop (&s_b);
    }
    s_run (100);
    for (uint64_t tag = 0; tag < 100; tag++)
        CU_ASSERT (s_replies[tag].count == 1
                   && (s_replies[tag].status == 0 || s_replies[tag].status == UMBP_EUNREACH));
    CU_ASSERT (s_replies[99].status == UMBP_EUNREACH);
    CU_ASSERT (s_ping ("echo", NULL, LONG_MS) == 0);
    umbp_link_args_t args = { "post-x", "x", "tcp://203.0.113.1:1", NULL };
    char endpoint[64];
    CU_ASSERT_PTR_NULL (umbp_link_new (&args, endpoint, sizeof endpoint));  //  Not our address
}

static void test_nodes_start (void)
{
    snprintf (s_folder, sizeof s_folder, "/tmp/umbp-post-%d", (int) getpid ());
    s_node_start (&s_a, "a");
    s_node_start (&s_b, "b");
    s_loop = zloop_new ();
    s_post = umbp_post_new (s_a.home.instance, "tester", NULL);
    umbp_post_set_node (s_post, "a");
    umbp_post_start (s_post, s_loop, NULL, &s_post, s_on_request, NULL);
    s_teach ((place_t[]) { { "a", s_a.endpoint }, { "b", s_b.endpoint } }, 2);
}

static void test_nodes_stop (void)
{
    umbp_post_destroy (&s_post);
    zloop_destroy (&s_loop);
    s_node_stop (&s_b);
    s_node_stop (&s_a);
    zsys_dir_delete ("%s/a", s_folder);
    zsys_dir_delete ("%s/b", s_folder);
    zsys_dir_delete ("%s", s_folder);
}

#if defined(__SANITIZE_THREAD__)
//  Long enough for it to know that a message was handed over by libzmq, see deploy/tsan.supp
const char *__tsan_default_options (void);

const char *__tsan_default_options (void)
{
    return "history_size=7";
}
#endif

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IONBF, 0);
    zsys_set_logstream (getenv ("UMBP_LOG") ? stdout : NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("post", NULL, NULL);
    CU_ADD_TEST (suite, test_nodes_start);
    CU_ADD_TEST (suite, test_ask_here_and_there);
    CU_ADD_TEST (suite, test_tell);
    CU_ADD_TEST (suite, test_unreachable);
    CU_ADD_TEST (suite, test_many_in_flight);
    CU_ADD_TEST (suite, test_too_many);
    CU_ADD_TEST (suite, test_large);
    CU_ADD_TEST (suite, test_shared_way);
    CU_ADD_TEST (suite, test_many_strangers);
    CU_ADD_TEST (suite, test_malformed_inbox);
    CU_ADD_TEST (suite, test_forged);
    CU_ADD_TEST (suite, test_forged_topology);
    CU_ADD_TEST (suite, test_garbage_on_tcp);
    CU_ADD_TEST (suite, test_door);
    CU_ADD_TEST (suite, test_door_limits);
    CU_ADD_TEST (suite, test_asked_before_start);
    CU_ADD_TEST (suite, test_node_ends);
    CU_ADD_TEST (suite, test_nodes_stop);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

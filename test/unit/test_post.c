//  test/unit/test_post.c - how actors speak: to actors of the same node, through the links of two
//  nodes in this process, and through a door
#include <arpa/inet.h>
#include <sys/socket.h>

#include "cluster/bulk/shm.h"
#include "test/unit/echo.h"

#define MANY 1000

//  -----------------------------------------------------------------------------------------------
//  Asking and telling

static void test_ask_here_and_there (void)
{
    static const char *const nodes[] = { NULL, "", "a", "b" };
    uint64_t value = 0;
    for (size_t index = 0; index < sizeof nodes / sizeof *nodes; index++) {
        umbp_msg_t msg;
        value += 1000 + index;
        echo_store (&msg, &value, sizeof value);
        CU_ASSERT (echo_ask ("echo", nodes[index], &msg, &value, sizeof value, LONG_MS) == 0);
        CU_ASSERT (echo_replies[0].type == UMBP_MSG_ok && echo_replies[0].value == value);
        CU_ASSERT (echo_ping ("echo", nodes[index], LONG_MS) == 0);
        CU_ASSERT (echo_replies[0].payload_size == 0);
        umbp_msg_init (&msg, UMBP_MSG_who, 0);          //  An actor that takes no such message
        CU_ASSERT (echo_ask ("echo", nodes[index], &msg, NULL, 0, LONG_MS) == UMBP_ENOTSUP);
        CU_ASSERT (echo_replies[0].type == UMBP_MSG_refused);
        umbp_msg_init (&msg, UMBP_MSG_attach, 0);       //  Descriptors pass through doors only
        msg.attach.session = 1;
        CU_ASSERT (echo_ask ("echo", nodes[index], &msg, NULL, 0, LONG_MS) == UMBP_ENOTSUP);
    }
    CU_ASSERT (echo_ping ("echo", echo_b.endpoint, LONG_MS) == 0);  //  By endpoint, without a name
    CU_ASSERT (echo_ping ("echo", echo_a.endpoint, LONG_MS) == 0);  //  ... which may be our own
}

//  An actor that asks another node before it answers; its answer has the call it asked with
typedef struct {
    umbp_post_t *post;
    umbp_origin_t origin;
} relay_t;

static void s_relay_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    (void) loop;
    ((relay_t *) owner)->post = post;
}

static void s_relay_on_answer (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    (void) tag;
    relay_t *self = owner;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict_ok, 0);
    msg.status = (int16_t) status;
    msg.evict_ok.bytes = mail ? mail->msg->call : 0;
    umbp_post_answer (self->post, &self->origin, &msg, NULL, 0);
}

static void s_relay_on_evict (void *owner, const umbp_mail_t *mail)
{
    relay_t *self = owner;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ping, 0);
    self->origin = *mail->origin;
    umbp_post_ask (self->post, "echo", "b", &msg, NULL, 0, LONG_MS, s_relay_on_answer, 0);
}

static uint64_t s_call, s_relayed;

static void s_on_call (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    s_call = mail ? mail->msg->call : 0;
    s_relayed = mail && mail->msg->type == UMBP_MSG_evict_ok ? mail->msg->evict_ok.bytes : 0;
    echo_on_answer (owner, tag, status, mail);
}

//  Returns the call that the answer is of
static uint64_t s_ask_call (const char *actor, const char *node, umbp_msg_t *msg, uint64_t call)
{
    echo_forget_replies ();
    msg->call = call;
    CU_ASSERT (umbp_post_ask (echo_post, actor, node, msg, NULL, 0, LONG_MS, s_on_call, 0) == 0);
    echo_run (1);
    return s_call;
}

//  A request is part of a call: the asker's, or one that the first actor makes up. It comes back, and goes to all that
//  are asked while the request is served.
static void test_calls (void)
{
    static const umbp_op_t ops[] = { { UMBP_MSG_evict, s_relay_on_evict }, { 0, NULL } };
    static const char *const nodes[] = { NULL, "b" };
    umbp_msg_t msg;
    uint64_t before = 0;
    for (size_t index = 0; index < 2; index++) {
        umbp_msg_init (&msg, UMBP_MSG_ping, 0);
        CU_ASSERT (s_ask_call ("echo", nodes[index], &msg, UINT64_MAX) == UINT64_MAX);
        umbp_msg_init (&msg, UMBP_MSG_who, 0);       //  Refused
        CU_ASSERT (s_ask_call ("echo", nodes[index], &msg, 7) == 7);
        umbp_msg_init (&msg, UMBP_MSG_ping, 0);
        uint64_t first = s_ask_call ("echo", nodes[index], &msg, 0);
        uint64_t second = s_ask_call ("echo", nodes[index], &msg, 0);
        CU_ASSERT (first != 0 && second == first + 1);
        CU_ASSERT (first >> 32 != before >> 32);     //  Of another node
        before = first;
    }
    zactor_t *relay = umbp_actor_new (&(umbp_actor_args_t){ /* clang-format off */
        .name = "relay", .home = &echo_a.home, .ops = ops, .self = zmalloc (sizeof (relay_t)),
        .start = s_relay_start, .destroy = echo_destroy });
    CU_ASSERT_FATAL (relay != NULL);
    echo_evict (&msg, 1);
    CU_ASSERT (s_ask_call ("relay", NULL, &msg, 0) != 0 && s_relayed == s_call);
    CU_ASSERT (s_ask_call ("relay", NULL, &msg, 9) == 9 && s_relayed == 9);
    zactor_destroy (&relay);
}

static void test_tell (void)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_pressure, 0);
    msg.pressure.tier = 2;
    CU_ASSERT (umbp_msg_check (&msg) == 0);
    uint64_t here = echo_gauge (NULL, "told"), there = echo_gauge ("b", "told");
    for (int times = 0; times < 10; times++) {
        CU_ASSERT (umbp_post_tell (echo_post, "echo", NULL, &msg) == 0);
        CU_ASSERT (umbp_post_tell (echo_post, "echo", "b", &msg) == 0);
    }
    CU_ASSERT (echo_gauge (NULL, "told") == here + 10);    //  Behind them in the same queue
    CU_ASSERT (echo_gauge ("b", "told") == there + 10);
    CU_ASSERT (umbp_post_tell (echo_post, "echo", "nobody", &msg) == 0);
    CU_ASSERT (echo_ping ("echo", NULL, LONG_MS) == 0);
}

//  Who cannot be reached is said at once where that is known, and at the deadline where it is not
static void test_unreachable (void)
{
    int64_t start = zclock_mono ();
    CU_ASSERT (echo_ping ("echo", "nobody", LONG_MS) == UMBP_EUNREACH);
    CU_ASSERT (echo_ping ("nobody", "b", LONG_MS) == UMBP_EUNREACH);
    CU_ASSERT (echo_ping ("echo", "tcp://no:port", LONG_MS) == UMBP_EUNREACH);
    CU_ASSERT (echo_ping ("echo", "ipc:///tmp/x", LONG_MS) == UMBP_EUNREACH);
    CU_ASSERT (echo_ping ("echo", "inproc://umbp/post-b/echo", LONG_MS) == UMBP_EUNREACH);
    CU_ASSERT (zclock_mono () - start < LONG_MS);

    //  An actor that never answers, here and there
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_pressure, 0);
    msg.pressure.tier = 2;
    start = zclock_mono ();
    CU_ASSERT (echo_ask ("echo", NULL, &msg, NULL, 0, 200) == UMBP_ETIMEDOUT);
    CU_ASSERT (zclock_mono () - start >= 200);
    CU_ASSERT (echo_ask ("echo", "b", &msg, NULL, 0, 200) == UMBP_EUNREACH);

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
    CU_ASSERT (echo_ping ("echo", "tcp://127.0.0.1:1", 200) == UMBP_EUNREACH);
    CU_ASSERT (echo_ping ("echo", endpoint, 200) == UMBP_EUNREACH);
    CU_ASSERT (zclock_mono () - start >= 400);
    close (silent);
}

//  Each of many questions ends once, with the answer to itself
static void test_many_in_flight (void)
{
    echo_forget_replies ();
    for (uint64_t tag = 0; tag < 2 * MANY; tag++) {
        umbp_msg_t msg;
        uint64_t value = tag * 7919;
        echo_store (&msg, &value, sizeof value);
        CU_ASSERT (umbp_post_ask (echo_post, "echo", tag < MANY ? "b" : NULL, &msg, &value,
                                  sizeof value, WAIT_MS, echo_on_answer, tag)
                   == 0);
    }
    int64_t took_ms = echo_run (2 * MANY);
    printf ("%d questions in %d ms ", 2 * MANY, (int) took_ms);
    for (uint64_t tag = 0; tag < 2 * MANY; tag++)
        CU_ASSERT (echo_replies[tag].count == 1 && echo_replies[tag].status == 0
                   && echo_replies[tag].value == tag * 7919);
}

//  The table of open questions is bounded, and all of them end
static void test_too_many (void)
{
    umbp_msg_t msg;
    echo_forget_replies ();
    unsigned asked = 0;
    int rc = 0;
    for (uint64_t tag = 0; rc == 0 && tag < 10000; tag++) {
        umbp_msg_init (&msg, UMBP_MSG_ping, 0);
        rc = umbp_post_ask (echo_post, "echo", NULL, &msg, NULL, 0, WAIT_MS, echo_on_answer, tag);
        asked += rc == 0;
    }
    CU_ASSERT (rc == UMBP_EAGAIN && asked == 8192);
    echo_run (asked);
    for (unsigned tag = 0; tag < asked; tag++)
        CU_ASSERT (echo_replies[tag].count == 1 && echo_replies[tag].status == 0);
    CU_ASSERT (echo_ping ("echo", NULL, LONG_MS) == 0);
}

static void test_large (void)
{
    static uint8_t bytes[UMBP_INLINE_MAX + 1];
    umbp_msg_t msg;
    echo_store (&msg, bytes, UMBP_INLINE_MAX);
    CU_ASSERT (echo_ask ("echo", "b", &msg, bytes, UMBP_INLINE_MAX, LONG_MS) == 0);
    CU_ASSERT (echo_replies[0].payload_size == UMBP_INLINE_MAX);
    echo_store (&msg, bytes, UMBP_INLINE_MAX);
    CU_ASSERT (echo_ask ("echo", "b", &msg, bytes, UMBP_INLINE_MAX + 1, LONG_MS) == UMBP_ETOOBIG);
    echo_store (&msg, bytes, UMBP_INLINE_MAX);
    CU_ASSERT (echo_ask ("echo", NULL, &msg, bytes, UMBP_INLINE_MAX + 1, LONG_MS) == UMBP_ETOOBIG);
    CU_ASSERT (echo_ping ("echo", "b", LONG_MS) == 0);
}

//  Two members at one endpoint, as after a restart under another id: the end of the first does not
//  cut off the second, whose answer is on its way
static void test_shared_way (void)
{
    echo_place_t places[] = { { "a", echo_a.endpoint },
                              { "b", echo_b.endpoint },
                              { "old", echo_b.endpoint } };
    echo_teach (places, 3);
    CU_ASSERT (echo_ping ("echo", "old", LONG_MS) == 0);
    echo_forget_replies ();
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ping, 0);
    for (uint64_t tag = 0; tag < 100; tag++)
        CU_ASSERT (
            umbp_post_ask (echo_post, "echo", "b", &msg, NULL, 0, WAIT_MS, echo_on_answer, tag)
            == 0);
    echo_teach (places, 2);
    echo_run (100);
    for (uint64_t tag = 0; tag < 100; tag++)
        CU_ASSERT (echo_replies[tag].status == 0);
    CU_ASSERT (echo_ping ("echo", "old", LONG_MS) == UMBP_EUNREACH);
}

//  Endpoints that nobody has named cost a bounded number of sockets, and members none of theirs
static void test_many_strangers (void)
{
    umbp_msg_t msg;
    char endpoint[64];
    echo_forget_replies ();
    for (unsigned tag = 0; tag < 200; tag++) {
        snprintf (endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", tag % 9 + 1);
        if (tag >= 100)
            snprintf (endpoint, sizeof endpoint, "tcp://127.0.%u.1:1", tag);
        umbp_msg_init (&msg, UMBP_MSG_ping, 0);
        CU_ASSERT (
            umbp_post_ask (echo_post, "echo", endpoint, &msg, NULL, 0, 300, echo_on_answer, tag)
            == 0);
    }
    echo_run (200);
    for (unsigned tag = 0; tag < 200; tag++)
        CU_ASSERT (echo_replies[tag].count == 1 && echo_replies[tag].status == UMBP_EUNREACH);
    CU_ASSERT (echo_ping ("echo", "b", LONG_MS) == 0);
}

//  -----------------------------------------------------------------------------------------------
//  Through the door

static int s_door (void)
{
    char path[UMBP_TEXT_MAX + 16];
    snprintf (path, sizeof path, "%s/echo.sock", echo_a.home.doors);
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
    echo_store (&msg, bytes, 60000);
    CU_ASSERT (s_ask_door (other, &msg, bytes, 60000, &payload, NULL, NULL) == 0);
    CU_ASSERT (payload == 60000);
    umbp_msg_init (&msg, UMBP_MSG_attach, 0);
    msg.attach.session = 1;
    CU_ASSERT (s_ask_door (door, &msg, NULL, 0, NULL, fds, &fd_count) == 0);
    CU_ASSERT (fd_count == 1);
    umbp_shm_close (fds, fd_count);

    //  An answer that is larger than a door is refused, and the door stays open
    echo_evict (&msg, UMBP_SHM_DATA_MAX);
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

    CU_ASSERT (echo_gauge (NULL, "doors_open") == 2);
    uint64_t closed = echo_gauge (NULL, "closed");
    close (door);
    CU_ASSERT (echo_gauge_becomes (NULL, "closed", closed + 1));
    close (other);
    CU_ASSERT (echo_gauge_becomes (NULL, "closed", closed + 2));
    CU_ASSERT (echo_gauge (NULL, "doors_open") == 0);
}

//  More doors than there may be, and clients that ask and do not read
static void test_door_limits (void)
{
    enum { DOORS = 300 };
    int doors[DOORS];
    uint64_t closed = echo_gauge (NULL, "closed");
    for (int index = 0; index < DOORS; index++)
        doors[index] = s_door ();
    CU_ASSERT (echo_gauge_becomes (NULL, "doors_refused", DOORS - 256));
    for (int index = 0; index < DOORS; index++)
        close (doors[index]);
    CU_ASSERT (echo_gauge_becomes (NULL, "closed", closed + 256));

    umbp_msg_t msg;
    byte wire[64];
    int door = s_door ();
    echo_evict (&msg, 60000);
    msg.id = 1;
    int size = umbp_msg_encode (&msg, wire, sizeof wire), rc = 0;
    for (int times = 0; times < 1000 && rc != UMBP_ECLOSED; times++)
        rc = umbp_shm_send (door, wire, (size_t) size, NULL, 0);
    CU_ASSERT (echo_gauge_becomes (NULL, "closed", closed + 257));
    CU_ASSERT (echo_gauge (NULL, "lost") > 0);
    close (door);

    //  One that asked a lot and went away: all is served, and its end is noticed
    uint64_t told = echo_gauge (NULL, "told");
    unsigned sent = 0;
    door = s_door ();
    umbp_msg_init (&msg, UMBP_MSG_pressure, 0);
    msg.pressure.tier = 2;
    size = umbp_msg_encode (&msg, wire, sizeof wire);
    for (int times = 0; times < 1000; times++)
        sent += umbp_shm_send (door, wire, (size_t) size, NULL, 0) == 0;
    close (door);
    CU_ASSERT (echo_gauge_becomes (NULL, "closed", closed + 258));
    CU_ASSERT (echo_gauge (NULL, "told") == told + sent);
}

//  -----------------------------------------------------------------------------------------------
//  Beginning and end

//  What was asked before there was a loop ends too
static void test_asked_before_start (void)
{
    umbp_post_t *post = umbp_post_new (echo_a.home.instance, "early", NULL);
    CU_ASSERT_FATAL (post != NULL);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_pressure, 0);
    msg.pressure.tier = 2;
    echo_forget_replies ();
    CU_ASSERT (
        umbp_post_ask_for (post, &echo_post, "echo", NULL, &msg, NULL, 0, 100, echo_on_answer, 3)
        == 0);
    zloop_t *loop = zloop_new (), *usual = echo_loop;
    umbp_post_start (post, loop, NULL, &echo_post, echo_on_request, NULL);
    echo_loop = loop;
    echo_run (1);
    echo_loop = usual;
    CU_ASSERT (echo_replies[3].status == UMBP_ETIMEDOUT && echo_replies[3].count == 1);
    umbp_post_destroy (&post);
    zloop_destroy (&loop);
    CU_ASSERT_PTR_NULL (umbp_post_new (echo_a.home.instance, "echo", NULL));     //  It is taken
    CU_ASSERT_PTR_NULL (umbp_post_new (echo_a.home.instance, "lost", "/nowhere/x.sock"));
}

//  A node goes while it is being asked: each question ends, and the link goes on
static void test_node_ends (void)
{
    echo_forget_replies ();
    umbp_msg_t msg;
    for (uint64_t tag = 0; tag < 100; tag++) {
        umbp_msg_init (&msg, UMBP_MSG_ping, 0);
        CU_ASSERT (umbp_post_ask (echo_post, "echo", "b", &msg, NULL, 0, 500, echo_on_answer, tag)
                   == 0);
        if (tag == 50)
            echo_node_stop (&echo_b);
    }
    echo_run (100);
    for (uint64_t tag = 0; tag < 100; tag++)
        CU_ASSERT (echo_replies[tag].count == 1
                   && (echo_replies[tag].status == 0 || echo_replies[tag].status == UMBP_EUNREACH));
    CU_ASSERT (echo_replies[99].status == UMBP_EUNREACH);
    CU_ASSERT (echo_ping ("echo", NULL, LONG_MS) == 0);
    umbp_link_args_t args = { "post-x", "x", "tcp://203.0.113.1:1", NULL };
    char endpoint[64];
    CU_ASSERT_PTR_NULL (umbp_link_new (&args, endpoint, sizeof endpoint));  //  Not our address
}

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IONBF, 0);
    zsys_set_logstream (getenv ("UMBP_LOG") ? stdout : NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("post", NULL, NULL);
    CU_ADD_TEST (suite, test_nodes_start);
    CU_ADD_TEST (suite, test_ask_here_and_there);
    CU_ADD_TEST (suite, test_calls);
    CU_ADD_TEST (suite, test_tell);
    CU_ADD_TEST (suite, test_unreachable);
    CU_ADD_TEST (suite, test_many_in_flight);
    CU_ADD_TEST (suite, test_too_many);
    CU_ADD_TEST (suite, test_large);
    CU_ADD_TEST (suite, test_shared_way);
    CU_ADD_TEST (suite, test_many_strangers);
    CU_ADD_TEST (suite, test_door);
    CU_ADD_TEST (suite, test_door_limits);
    CU_ADD_TEST (suite, test_asked_before_start);
    CU_ADD_TEST (suite, test_node_ends);
    CU_ADD_TEST (suite, test_nodes_stop);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

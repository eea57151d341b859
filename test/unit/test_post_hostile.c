//  test/unit/test_post_hostile.c - what becomes of those who break the rules by which actors speak,
//  over inproc and tcp
#include <arpa/inet.h>
#include <sys/socket.h>

#include "proto/splitmix.h"
#include "test/unit/echo.h"

#define WIRE_MAX (UMBP_MESSAGE_MAX + UMBP_INLINE_MAX)

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
    zsock_t *raw = s_raw (umbp_post_inproc (echo_a.home.instance, "echo", inproc, sizeof inproc));
    byte wire[64], junk[256];
    memset (junk, 0xff, sizeof junk);
    size_t size = s_ping_wire (5, wire, sizeof wire);
    uint64_t malformed = echo_gauge (NULL, "malformed");

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
    CU_ASSERT (echo_gauge (NULL, "malformed") == malformed + 5);
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
    zsock_t *raw = s_raw (echo_a.endpoint);
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
    CU_ASSERT (echo_ping ("echo", "b", LONG_MS) == 0);
}

//  Only the registry of a node says what the topology is, and it is no stranger
static void test_forged_topology (void)
{
    static byte arena[4096], wire[8192];
    umbp_msg_t msg;
    uint64_t seed = 1, told = echo_gauge ("a", "told");
    CU_ASSERT_FATAL (umbp_msg_random (&msg, UMBP_MSG_topology_ok, &seed, arena, sizeof arena) == 0);
    msg.id = 77;
    msg.status = 0;
    int size = umbp_msg_encode (&msg, wire, sizeof wire);
    CU_ASSERT_FATAL (size > 0);
    zsock_t *raw = s_raw (echo_a.endpoint);
    s_frame (raw, "echo", 4, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, wire, (size_t) size, false);
    s_check_answer (raw, true, 77, UMBP_EDENIED, NULL, 0);
    s_frame (raw, "link", 4, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, wire, (size_t) size, false);
    s_check_answer (raw, true, 77, UMBP_EUNREACH, NULL, 0);
    zsock_destroy (&raw);
    CU_ASSERT (echo_gauge ("a", "told") == told);
    CU_ASSERT (echo_ping ("echo", "b", LONG_MS) == 0);     //  The routes are as they were
}

//  Bytes that are no ZMTP, and a message larger than any
static void test_garbage_on_tcp (void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    CU_ASSERT (inet_pton (AF_INET, loopback_host (), &address.sin_addr) == 1);
    address.sin_port = htons ((uint16_t) atoi (strrchr (echo_b.endpoint, ':') + 1));
    static const byte greeting[32] = {
        0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0, 'N', 'U', 'L', 'L'
    };
    uint64_t seed = 42;
    for (int times = 0; times < 20; times++) {
        int fd = socket (AF_INET, SOCK_STREAM, 0);
        CU_ASSERT (connect (fd, (struct sockaddr *) &address, sizeof address) == 0);
        byte bytes[4096];
        for (size_t index = 0; index < sizeof bytes; index++) {
            bytes[index] = (byte) umbp_splitmix (&seed);
        }
        if (times % 2)                                  //  A greeting, then garbage
            memcpy (bytes, greeting, sizeof greeting);
        send (fd, bytes, sizeof bytes, MSG_NOSIGNAL);
        close (fd);
    }
    CU_ASSERT (echo_ping ("echo", "b", LONG_MS) == 0);

    static byte big[WIRE_MAX + 1];
    zsock_t *raw = s_raw (echo_b.endpoint);
    byte wire[64];
    size_t size = s_ping_wire (1, wire, sizeof wire);
    s_frame (raw, "echo", 4, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, big, sizeof big, false);              //  The connection is given up, and renewed
    s_frame (raw, "echo", 4, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, wire, size, false);
    zsock_destroy (&raw);
    CU_ASSERT (echo_ping ("echo", "b", LONG_MS) == 0);
    raw = s_raw (echo_b.endpoint);
    s_frame (raw, "echo", 4, true);
    s_frame (raw, "", 0, true);
    s_frame (raw, wire, size, false);
    s_check_answer (raw, true, 1, UMBP_OK, NULL, 0);
    zsock_destroy (&raw);
}

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IONBF, 0);
    zsys_set_logstream (getenv ("UMBP_LOG") ? stdout : NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("post_hostile", NULL, NULL);
    CU_ADD_TEST (suite, test_nodes_start);
    CU_ADD_TEST (suite, test_malformed_inbox);
    CU_ADD_TEST (suite, test_forged);
    CU_ADD_TEST (suite, test_forged_topology);
    CU_ADD_TEST (suite, test_garbage_on_tcp);
    CU_ADD_TEST (suite, test_nodes_stop);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

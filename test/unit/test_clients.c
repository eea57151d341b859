//  test/unit/test_clients.c - the share that each client has of an actor's requests
#include <poll.h>

#include "cluster/bulk/shm.h"
#include "cluster/clients.h"
#include "test/unit/echo.h"

#define MANY 32

static void test_bound (void)
{
    umbp_clients_t *clients = umbp_clients_new (UMBP_CLIENT_OPEN_MAX, SIZE_MAX);
    for (int index = 0; index < UMBP_CLIENT_OPEN_MAX; index++)
        CU_ASSERT (umbp_clients_begin (clients, "one", 3, 9, 1000));
    for (int index = 0; index < 3; index++)
        CU_ASSERT (!umbp_clients_begin (clients, "one", 3, 9, 1000));
    umbp_clients_end (clients, "one", 3, 1000);
    CU_ASSERT (umbp_clients_begin (clients, "one", 3, 9, 1000));
    CU_ASSERT (!umbp_clients_begin (clients, "one", 3, 9, 1000));
    for (int index = 0; index < 2 * UMBP_CLIENT_OPEN_MAX; index++)
        umbp_clients_end (clients, "one", 3, 1000);          //  More than there were is none
    for (int index = 0; index < UMBP_CLIENT_OPEN_MAX; index++)
        CU_ASSERT (umbp_clients_begin (clients, "one", 3, 9, 1000));
    CU_ASSERT (!umbp_clients_begin (clients, "one", 3, 9, 1000));
    umbp_clients_destroy (&clients);
    umbp_clients_destroy (&clients);
}

//  One that is full leaves the others alone; two of so many may fall together
static void test_others (void)
{
    umbp_clients_t *clients = umbp_clients_new (UMBP_CLIENT_OPEN_MAX, SIZE_MAX);
    int let_in = 0;
    for (int index = 0; index < UMBP_CLIENT_OPEN_MAX; index++)
        CU_ASSERT (umbp_clients_begin (clients, "flood", 5, 9, 1000));
    for (uint64_t name = 0; name < MANY; name++)
        let_in += umbp_clients_begin (clients, &name, sizeof name, 9, 1000);
    CU_ASSERT (let_in >= MANY - 2);
    umbp_clients_destroy (&clients);
}

static void test_bytes (void)
{
    umbp_clients_t *clients = umbp_clients_new (4, 100);
    CU_ASSERT (umbp_clients_begin (clients, "one", 3, 1000, 0));     //  Alone it may be larger
    CU_ASSERT (!umbp_clients_begin (clients, "one", 3, 1, 0));
    umbp_clients_end (clients, "one", 3, 0);
    CU_ASSERT (umbp_clients_begin (clients, "one", 3, 90, 0));
    CU_ASSERT (umbp_clients_begin (clients, "one", 3, 10, 0));
    CU_ASSERT (!umbp_clients_begin (clients, "one", 3, 1, 0));
    umbp_clients_end (clients, "one", 3, 0);
    CU_ASSERT (!umbp_clients_begin (clients, "one", 3, 51, 0));
    CU_ASSERT (umbp_clients_begin (clients, "one", 3, 50, 0));
    umbp_clients_end (clients, "one", 3, 0);
    umbp_clients_end (clients, "one", 3, 0);
    CU_ASSERT (umbp_clients_begin (clients, "one", 3, 100, 0));
    CU_ASSERT (!umbp_clients_begin (clients, "one", 3, 1, 60000));
    CU_ASSERT (umbp_clients_begin (clients, "one", 3, 1, 60001));
    umbp_clients_destroy (&clients);
}

//  What nobody answers is forgiven, but not as long as others of its client are answered
static void test_forgiven (void)
{
    umbp_clients_t *clients = umbp_clients_new (UMBP_CLIENT_OPEN_MAX, SIZE_MAX);
    for (int index = 0; index < UMBP_CLIENT_OPEN_MAX; index++)
        CU_ASSERT (umbp_clients_begin (clients, "lost", 4, 9, 1000));
    CU_ASSERT (!umbp_clients_begin (clients, "lost", 4, 9, 61000));
    umbp_clients_end (clients, "lost", 4, 30000);
    CU_ASSERT (umbp_clients_begin (clients, "lost", 4, 9, 61000));
    CU_ASSERT (!umbp_clients_begin (clients, "lost", 4, 9, 61001));
    CU_ASSERT (!umbp_clients_begin (clients, "lost", 4, 9, 90000));
    for (int index = 0; index < UMBP_CLIENT_OPEN_MAX; index++)
        CU_ASSERT (umbp_clients_begin (clients, "lost", 4, 9, 90001));
    CU_ASSERT (!umbp_clients_begin (clients, "lost", 4, 9, 90001));
    umbp_clients_destroy (&clients);
}

//  ------------------------------------------------------------------------------------------------
//  The share at an actor: of requests that it never answers one client has so many open, and then is
//  refused, while others are not

static size_t s_encode (uint8_t *wire, size_t room, umbp_msg_type_t type, uint64_t id)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, type, id);
    if (type == UMBP_MSG_pressure)
        msg.pressure.tier = 2;
    int size = umbp_msg_encode (&msg, wire, room);
    CU_ASSERT_FATAL (size > 0);
    return (size_t) size;
}

//  The status of the answer to a question, 1 if it is not that
static int s_status (const void *data, size_t size, uint64_t id)
{
    umbp_msg_t msg;
    if (umbp_msg_decode (&msg, data, size) <= 0 || msg.id != id)
        return 1;
    bool crowded = msg.status == UMBP_EAGAIN;
    CU_ASSERT (!crowded
               || umbp_text_is (msg.refused.reason, "client: too many at once from one client"));
    return msg.status;
}

static void s_say_tcp (zsock_t *sock, umbp_msg_type_t type, uint64_t id)
{
    uint8_t wire[256];
    size_t size = s_encode (wire, sizeof wire, type, id);
    zmq_send (zsock_resolve (sock), "echo", 4, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (sock), "", 0, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (sock), wire, size, 0);
}

static int s_ping_tcp (zsock_t *sock)
{
    s_say_tcp (sock, UMBP_MSG_ping, 9999);
    zmsg_t *answer = zmsg_recv (sock);
    zframe_t *body = answer ? zmsg_last (answer) : NULL;
    int status = body ? s_status (zframe_data (body), zframe_size (body), 9999) : 1;
    zmsg_destroy (&answer);
    return status;
}

static void test_tcp (void)
{
    zsock_t *flood = zsock_new_dealer (echo_b.endpoint),
            *other = zsock_new_dealer (echo_b.endpoint);
    zsock_set_rcvtimeo (flood, WAIT_MS);
    zsock_set_rcvtimeo (other, WAIT_MS);
    uint64_t crowded = echo_gauge ("b", "crowded");
    for (uint64_t id = 1; id <= UMBP_CLIENT_OPEN_MAX; id++) {
        CU_ASSERT (id % 32 || s_ping_tcp (flood) == 0);      //  It is answered, and not open
        s_say_tcp (flood, UMBP_MSG_pressure, id);
        s_say_tcp (flood, UMBP_MSG_pressure, 0);             //  Who wants no answer has none open
    }
    CU_ASSERT (s_ping_tcp (flood) == UMBP_EAGAIN);
    CU_ASSERT (s_ping_tcp (flood) == UMBP_EAGAIN);
    CU_ASSERT (s_ping_tcp (other) == 0);
    CU_ASSERT (echo_ping ("echo", "b", LONG_MS) == 0);       //  Actors are not counted
    CU_ASSERT (echo_gauge ("b", "crowded") == crowded + 2);
    zsock_destroy (&flood);
    zsock_destroy (&other);
}

static void s_say_door (int door, umbp_msg_type_t type, uint64_t id)
{
    uint8_t wire[256];
    size_t size = s_encode (wire, sizeof wire, type, id);
    struct pollfd item = { .fd = door, .events = POLLOUT };
    CU_ASSERT (poll (&item, 1, WAIT_MS) == 1);
    CU_ASSERT (umbp_shm_send (door, wire, size, NULL, 0) == 0);
}

static int s_ping_door (int door)
{
    uint8_t wire[1024];
    s_say_door (door, UMBP_MSG_ping, 9999);
    size_t count = 0;
    int size = umbp_shm_recv (door, wire, sizeof wire, NULL, &count, WAIT_MS);
    return size > 0 ? s_status (wire, (size_t) size, 9999) : 1;
}

static void test_door (void)
{
    char path[128];
    snprintf (path, sizeof path, "%s/a/echo.sock", echo_folder);
    int flood = umbp_shm_connect (path, WAIT_MS, NULL),
        other = umbp_shm_connect (path, WAIT_MS, NULL);
    CU_ASSERT_FATAL (flood >= 0 && other >= 0);
    for (uint64_t id = 1; id <= UMBP_CLIENT_OPEN_MAX; id++)
        s_say_door (flood, UMBP_MSG_pressure, id);
    CU_ASSERT (s_ping_door (flood) == UMBP_EAGAIN);
    CU_ASSERT (s_ping_door (other) == 0);
    close (flood);
    close (other);
    flood = umbp_shm_connect (path, WAIT_MS, NULL);          //  Another door is another client
    CU_ASSERT (s_ping_door (flood) == 0);
    close (flood);
}

int main (void)
{
    alarm (200);
    zsys_init ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("clients", NULL, NULL);
    CU_ADD_TEST (suite, test_bound);
    CU_ADD_TEST (suite, test_others);
    CU_ADD_TEST (suite, test_bytes);
    CU_ADD_TEST (suite, test_forgiven);
    CU_ADD_TEST (suite, test_nodes_start);
    CU_ADD_TEST (suite, test_tcp);
    CU_ADD_TEST (suite, test_door);
    CU_ADD_TEST (suite, test_nodes_stop);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

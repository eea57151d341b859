//  test/unit/test_client_late.c - a client whose router answers too late: what it was given by that
//  answer, it gives back. Between client and node there is a relay that holds answers of one type.
#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

#include <pthread.h>
#include <stdatomic.h>

#define MIB ((size_t) 1 << 20)
#define SIZE 200000                     //  More than what rides in a message

//  ------------------------------------------------------------------------------------------------
//  The relay, for one client with one lane

typedef struct {
    zsock_t *front, *back;              //  ROUTER to the client, DEALER to the node
    const char *endpoint;
    pthread_t thread;
    atomic_int hold;                    //  UMBP_MSG_*, 0: none
    atomic_int held;
    atomic_bool stop;
    zframe_t *sender;
    zmsg_t *kept;
} relay_t;

static int s_type (zmsg_t *mail)
{
    umbp_msg_t msg;
    zmsg_first (mail);
    zmsg_next (mail);
    zframe_t *body = zmsg_next (mail);  //  Behind address and origin
    return body && umbp_msg_decode (&msg, zframe_data (body), zframe_size (body)) > 0 ? msg.type
                                                                                      : 0;
}

static void s_back (relay_t *self, zmsg_t **mail)
{
    zframe_t *sender = zframe_dup (self->sender);
    zmsg_prepend (*mail, &sender);
    zmsg_send (mail, self->front);
}

static void *s_relay (void *arg)
{
    relay_t *self = arg;
    zpoller_t *poller = zpoller_new (self->front, self->back, NULL);
    while (!atomic_load (&self->stop)) {
        void *from = zpoller_wait (poller, 5);
        zmsg_t *mail = from ? zmsg_recv (from) : NULL;
        if (from == self->front) {
            zframe_destroy (&self->sender);
            self->sender = zmsg_pop (mail);
            zmsg_send (&mail, self->back);
        } else if (mail && !self->kept && s_type (mail) == atomic_load (&self->hold)) {
            self->kept = mail;
            atomic_store (&self->held, 1);
        } else if (mail)
            s_back (self, &mail);
        if (self->kept && atomic_load (&self->hold) == 0) {
            s_back (self, &self->kept);
            atomic_store (&self->held, 0);
        }
    }
    zpoller_destroy (&poller);
    return NULL;
}

static void s_relay_start (relay_t *self, const char *node)
{
    *self = (relay_t) { .front = zsock_new (ZMQ_ROUTER), .back = zsock_new_dealer (node) };
    CU_ASSERT_FATAL (self->front && self->back
                     && zsock_bind (self->front, "%s", loopback_tcp ()) > 0);
    self->endpoint = zsock_endpoint (self->front);
    CU_ASSERT_FATAL (pthread_create (&self->thread, NULL, s_relay, self) == 0);
}

static void s_relay_stop (relay_t *self)
{
    atomic_store (&self->stop, true);
    pthread_join (self->thread, NULL);
    zframe_destroy (&self->sender);
    zmsg_destroy (&self->kept);
    zsock_destroy (&self->front);
    zsock_destroy (&self->back);
}

static bool s_holds (relay_t *self, int held)
{
    for (int64_t end = umbp_clock_ms () + GAUGE_MS; umbp_clock_ms () < end; zclock_sleep (1))
        if (atomic_load (&self->held) == held)
            return true;
    return false;
}

//  ------------------------------------------------------------------------------------------------

static nodes_t s_nodes;
static uint8_t s_data[SIZE], s_room[SIZE];

static void s_late (relay_t *relay, umbp_t *pool, int type, const char *what)
{
    const char *node = umbp_node_endpoint (s_nodes.nodes[0]);
    umbp_item_t item = { .key = { "key", 3 }, .data = s_room, .size = SIZE };
    bool put = type == UMBP_MSG_put_ok;
    if (put)
        item = (umbp_item_t){ .key = { "other", 5 }, .data = s_data, .size = SIZE };
    atomic_store (&relay->hold, type);
    int rc =
        put ? umbp_put_batch (pool, &item, 1, NULL, 300) : umbp_get_batch (pool, &item, 1, 300);
    CU_ASSERT (rc == 0 || rc == UMBP_ETIMEDOUT);
    CU_ASSERT (item.status == UMBP_ETIMEDOUT);
    CU_ASSERT (s_holds (relay, 1));
    CU_ASSERT (gauge_becomes (node, "tier:dram", what, 1));
    atomic_store (&relay->hold, 0);
    CU_ASSERT (s_holds (relay, 0));
    CU_ASSERT (gauge (node, "tier:dram", what) == 1);        //  Nobody has heard of it yet
    CU_ASSERT (umbp_exists (pool, "key") == 1);              //  The client now does, on its way
    CU_ASSERT (gauge_becomes (node, "tier:dram", what, 0));
}

static void test_late (void)
{
    relay_t relay;
    s_nodes = (nodes_t) { .count = 1 };
    nodes_options (&s_nodes, 0, WITHOUT_DOORS, 16 * MIB);
    s_nodes.options[0].lease_ttl_ms = s_nodes.options[0].slot_ttl_ms = 600000;
    s_nodes.nodes[0] = nodes_new (&s_nodes.options[0]);
    CU_ASSERT_FATAL (s_nodes.nodes[0] && nodes_meet (&s_nodes));
    s_relay_start (&relay, umbp_node_endpoint (s_nodes.nodes[0]));
    umbp_options_t near = { .no_shm = true }, far = { .endpoints = relay.endpoint,
                                                      .lanes = 1,
                                                      .no_shm = true, .timeout_ms = GAUGE_MS };
    umbp_t *other = nodes_connect (&s_nodes, 0, near), *pool = nodes_connect (&s_nodes, 0, far);
    CU_ASSERT_FATAL (other && pool);
    nodes_fill (s_data, SIZE, 1);
    CU_ASSERT (umbp_put (other, "key", s_data, SIZE) == 0);
    s_late (&relay, pool, UMBP_MSG_get_ok, "leases");
    s_late (&relay, pool, UMBP_MSG_put_ok, "slots");
    CU_ASSERT (umbp_get (pool, "key", s_room, SIZE) == SIZE && nodes_is_filled (s_room, SIZE, 1));
    CU_ASSERT (umbp_exists (pool, "other") == 0);
    umbp_close (&pool);
    umbp_close (&other);
    s_relay_stop (&relay);
    nodes_stop (&s_nodes);
}

int main (void)
{
    alarm (200);
    zsys_init ();
    CU_initialize_registry ();
    CU_ADD_TEST (CU_add_suite ("client, late", NULL, NULL), test_late);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

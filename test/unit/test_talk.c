//  test/unit/test_talk.c - questions to a cluster that answers well, badly, late or not at all
#include <CUnit/Basic.h>
#include <czmq.h>

#include "bin/talk.h"
#include "test/unit/loopback.h"

#define QUICK_MS 100                    //  For questions that nobody answers
#define PART_MS 2000                    //  ... and others that are answered, on a busy machine too
#define LONG_MS 20000

//  A node of one thread, which does what the address asks for
typedef struct {
    zsock_t *router;
} node_t;

static void s_answer (zsock_t *router, zframe_t *sender, umbp_msg_t *msg)
{
    uint8_t wire[1024];
    int size = umbp_msg_encode (msg, wire, sizeof wire);
    CU_ASSERT_FATAL (size > 0);
    zframe_send (&sender, router, ZFRAME_MORE | ZFRAME_REUSE);
    zmq_send (zsock_resolve (router), "", 0, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (router), "", 0, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (router), wire, (size_t) size, 0);
}

static void s_send_odd (zsock_t *router, zframe_t *sender, const char *one, const char *two,
                        const char *three)
{
    zframe_send (&sender, router, ZFRAME_MORE | ZFRAME_REUSE);
    zsock_send (router, "sss", one, two, three);
}

static void s_serve (zsock_t *router, zframe_t *sender, const char *address, uint64_t id)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ok, id);
    if (streq (address, "registry")) {
        umbp_msg_init (&msg, UMBP_MSG_who_ok, id);
        msg.who_ok.cluster = umbp_text ("test");
        msg.who_ok.node = umbp_text ("node-0");
        msg.who_ok.node_epoch = msg.who_ok.version = 1;
        s_answer (router, sender, &msg);
    } else if (streq (address, "refuses")) {
        umbp_msg_init (&msg, UMBP_MSG_refused, id);
        msg.status = UMBP_ENOSPC;
        msg.refused.reason = umbp_text ("field: too much");
        s_answer (router, sender, &msg);
    } else if (streq (address, "fails")) {
        msg.status = UMBP_EIO;
        s_answer (router, sender, &msg);
    } else if (streq (address, "mistakes")) {       //  Another type than the question's answer
        umbp_msg_init (&msg, UMBP_MSG_clear_ok, id);
        s_answer (router, sender, &msg);
    } else if (streq (address, "rambles")) {        //  Nonsense, an old answer twice, the right one
        s_send_odd (router, sender, "", "", "\x01\x02");
        zframe_send (&sender, router, ZFRAME_MORE | ZFRAME_REUSE);
        zstr_send (router, "one frame");
        zframe_send (&sender, router, ZFRAME_MORE | ZFRAME_REUSE);
        zstr_sendx (router, "1", "2", "3", "4", "5", "6", NULL);
        msg.id = id - 1;
        s_answer (router, sender, &msg);
        s_answer (router, sender, &msg);
        msg.id = id;
        s_answer (router, sender, &msg);
        s_answer (router, sender, &msg);
    } else if (strneq (address, "silent"))
        s_answer (router, sender, &msg);
}

static void s_node (zsock_t *pipe, void *arg)
{
    node_t *node = arg;
    zpoller_t *poller = zpoller_new (pipe, node->router, NULL);
    zpoller_set_nonstop (poller, true);
    zsock_signal (pipe, 0);
    while (zpoller_wait (poller, -1) == node->router) {
        zmsg_t *request = zmsg_recv (node->router);
        zframe_t *sender = zmsg_pop (request);
        char *address = zmsg_popstr (request);
        zframe_t *origin = zmsg_pop (request), *body = zmsg_pop (request);
        umbp_msg_t msg;
        assert (origin && body && zframe_size (origin) == 0);
        CU_ASSERT (umbp_msg_decode (&msg, zframe_data (body), zframe_size (body)) > 0);
        CU_ASSERT (msg.deadline_ms > 0);
        s_serve (node->router, sender, address, msg.id);
        zframe_destroy (&sender);
        zframe_destroy (&origin);
        zframe_destroy (&body);
        freen (address);
        zmsg_destroy (&request);
    }
    zpoller_destroy (&poller);
}

static node_t s_peer;
static zactor_t *s_actor;
static char s_endpoint[256];

static int s_start (void)
{
    s_peer.router = zsock_new (ZMQ_ROUTER);
    zsock_set_linger (s_peer.router, 0);
    if (zsock_bind (s_peer.router, "%s", loopback_tcp ()) == -1)
        return -1;
    snprintf (s_endpoint, sizeof s_endpoint, "%s", zsock_endpoint (s_peer.router));
    s_actor = zactor_new (s_node, &s_peer);
    return 0;
}

static int s_stop (void)
{
    zactor_destroy (&s_actor);
    zsock_destroy (&s_peer.router);
    return 0;
}

static int s_ask (umbp_talk_t *talk, const char *address, uint32_t timeout_ms)
{
    umbp_msg_t question;
    const umbp_msg_t *answer;
    umbp_msg_init (&question, UMBP_MSG_ping, 0);
    umbp_talk_set_timeout (talk, timeout_ms);
    int status = umbp_talk_ask (talk, address, &question, &answer);
    CU_ASSERT ((status == 0) == (answer != NULL));
    return status;
}

static void test_asks (void)
{
    int err;
    umbp_talk_t *talk = umbp_talk_new (s_endpoint, LONG_MS, &err);
    CU_ASSERT_FATAL (talk != NULL);
    CU_ASSERT_STRING_EQUAL (umbp_talk_endpoint (talk), s_endpoint);
    CU_ASSERT_STRING_EQUAL (umbp_talk_node (talk), "node-0");
    CU_ASSERT_STRING_EQUAL (umbp_talk_cluster (talk), "test");
    CU_ASSERT (s_ask (talk, "index@node-1", LONG_MS) == 0);
    CU_ASSERT (s_ask (talk, "fails", LONG_MS) == UMBP_EIO);
    CU_ASSERT_STRING_EQUAL (umbp_talk_reason (talk), "");
    CU_ASSERT (s_ask (talk, "refuses", LONG_MS) == UMBP_ENOSPC);
    CU_ASSERT_STRING_EQUAL (umbp_talk_reason (talk), "field: too much");
    CU_ASSERT (s_ask (talk, "mistakes", LONG_MS) == UMBP_EPROTO);
    CU_ASSERT_STRING_EQUAL (umbp_talk_reason (talk), "");
    CU_ASSERT (s_ask (talk, "silent", QUICK_MS) == UMBP_ETIMEDOUT);
    CU_ASSERT (s_ask (talk, "rambles", LONG_MS) == 0);
    CU_ASSERT (s_ask (talk, "index", LONG_MS) == 0);
    CU_ASSERT (s_ask (talk, "", LONG_MS) == UMBP_EINVAL);
    char address[UMBP_TEXT_MAX + UMBP_NAME_MAX + 3];
    memset (address, 'a', sizeof address);
    address[sizeof address - 1] = 0;
    CU_ASSERT (s_ask (talk, address, LONG_MS) == UMBP_EINVAL);
    umbp_talk_destroy (&talk);
    CU_ASSERT (talk == NULL);
    umbp_talk_destroy (&talk);
}

static void s_note (void *arg, size_t index, int status, const umbp_msg_t *answer)
{
    int *statuses = arg;
    CU_ASSERT (statuses[index] == 1);             //  Once each
    CU_ASSERT ((status == 0) == (answer != NULL));
    statuses[index] = status;
}

static void test_asks_many (void)
{
    static const char *const addresses[] = {
        "index", "router", "rambles", "", "refuses", "silent"
    };
    int err, statuses[6] = { 1, 1, 1, 1, 1, 1 };
    umbp_talk_t *talk = umbp_talk_new (s_endpoint, LONG_MS, &err);
    CU_ASSERT_FATAL (talk != NULL);
    umbp_talk_set_timeout (talk, PART_MS);
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_ping, 0);
    umbp_talk_ask_each (talk, addresses, 6, &question, s_note, statuses);
    CU_ASSERT (statuses[0] == 0 && statuses[1] == 0 && statuses[2] == 0);
    CU_ASSERT (statuses[3] == UMBP_EINVAL && statuses[4] == UMBP_ENOSPC
               && statuses[5] == UMBP_ETIMEDOUT);
    CU_ASSERT (s_ask (talk, "index", LONG_MS) == 0);
    umbp_talk_ask_each (talk, addresses, 0, &question, s_note, statuses);
    umbp_talk_destroy (&talk);
}

static void test_finds_an_endpoint (void)
{
    char list[600];
    int err;
    zsock_t *mute = zsock_new (ZMQ_ROUTER);       //  Listens, and says nothing
    CU_ASSERT (zsock_bind (mute, "%s", loopback_tcp ()) != -1);
    snprintf (list, sizeof list, "nonsense,%s,%s", zsock_endpoint (mute), s_endpoint);
    umbp_talk_t *talk = umbp_talk_new (list, 3 * PART_MS, &err);
    CU_ASSERT (talk && strcmp (umbp_talk_endpoint (talk), s_endpoint) == 0);
    umbp_talk_destroy (&talk);
    CU_ASSERT (umbp_talk_new (zsock_endpoint (mute), QUICK_MS, &err) == NULL);
    CU_ASSERT (err == UMBP_EUNREACH);
    CU_ASSERT (umbp_talk_new ("nonsense", QUICK_MS, &err) == NULL && err == UMBP_EINVAL);
    CU_ASSERT (umbp_talk_new ("", QUICK_MS, &err) == NULL && err == UMBP_EINVAL);
    CU_ASSERT (umbp_talk_new (",,", QUICK_MS, &err) == NULL && err == UMBP_EINVAL);
    zsock_destroy (&mute);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("talk", s_start, s_stop);
    CU_ADD_TEST (suite, test_asks);
    CU_ADD_TEST (suite, test_asks_many);
    CU_ADD_TEST (suite, test_finds_an_endpoint);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_secure.c - nodes of this process with certificates, clients with good and bad
//  ones, and what each of them may say. Who may not must get an error within his deadline.
#include "test/unit/sealed.h"

#define SHORT_MS 1000                   //  For those who get no answer

//  Wait until a gauge is more than it was
static bool s_grows (umbp_talk_t *talk, const char *actor, const char *name, uint64_t was)
{
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    while (sealed_gauge (talk, actor, name) <= was) {
        if (umbp_clock_ms () > deadline_ms)
            return false;
        poll (NULL, 0, 5);              //  Between two looks: the others need the cores too
    }
    return true;
}

static void test_starts (void)
{
    sealed_name ();
    sealed_client ("alice", "");
    sealed_client ("bob", "");
    certs_make ("eve", (umbp_curve_words_t){ 0 });
    sealed_start (sealed_options);
}

static void test_members_and_blocks (void)
{
    int err = 0;
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    size_t met = 0;
    while (met != NODES && umbp_clock_ms () < deadline_ms) {
        umbp_t *pool =
            sealed_connect (met, certs_path ("alice"), certs_path ("nodes"), LONG_MS, &err);
        CU_ASSERT_FATAL (pool != NULL);
        met += nodes_in_ring (pool) == NODES;
        umbp_close (&pool);
    }
    CU_ASSERT_FATAL (met == NODES);
    char small[] = "inline", back[8192], large[8192];
    nodes_fill (large, sizeof large, 5);
    umbp_t *one = sealed_connect (1, certs_path ("alice"), certs_path ("node-1"), LONG_MS, &err);
    umbp_t *two =
        sealed_connect (2, certs_path ("bob"), certs_path ("nodes/node-2"), LONG_MS, &err);
    umbp_t *door = umbp_connect (
        &(umbp_options_t){ .endpoints = umbp_node_endpoint_inproc (sealed_nodes[0]) }, &err);
    CU_ASSERT_FATAL (one && two && door);
    CU_ASSERT (umbp_put (one, "small", small, sizeof small) == 0);
    CU_ASSERT (umbp_put (one, "large", large, sizeof large) == 0);      //  Through the bulk port
    CU_ASSERT (umbp_get (two, "small", back, sizeof back) == sizeof small);
    CU_ASSERT (umbp_get (two, "large", back, sizeof back) == sizeof large);
    CU_ASSERT (nodes_is_filled (back, sizeof back, 5));
    CU_ASSERT (umbp_get (door, "large", back, sizeof back) == sizeof large);
    umbp_close (&one);
    umbp_close (&two);
    umbp_close (&door);
}

static void test_strangers (void)
{
    static const struct {
        const char *own, *server, *gauge;
    } strangers[] = {
        { "eve", "nodes/node-0", "refused_key" },            //  Nobody knows her
        { "alice", "nodes/node-1", "refused_handshake" },    //  It is not node-1 whom she asks
        { "", "", "refused_handshake" },                     //  No certificate
    };
    umbp_talk_t *talk = sealed_talk (0, certs_path ("bob"));
    for (size_t index = 0; index < sizeof strangers / sizeof *strangers; index++) {
        uint64_t was = sealed_gauge (talk, "gate", strangers[index].gauge);
        const char *own = *strangers[index].own ? certs_path (strangers[index].own) : "";
        const char *server = *own ? certs_path (strangers[index].server) : "";
        int err = 0;
        int64_t begin_ms = umbp_clock_ms ();
        CU_ASSERT_PTR_NULL (sealed_connect (0, own, server, SHORT_MS, &err));
        CU_ASSERT (err == UMBP_EUNREACH || err == UMBP_ETIMEDOUT);
        CU_ASSERT (umbp_clock_ms () - begin_ms < LONG_MS);
        CU_ASSERT (s_grows (talk, "gate", strangers[index].gauge, was));
    }
    umbp_talk_destroy (&talk);
}

static void test_bad_files (void)
{
    int err = 0;
    CU_ASSERT_PTR_NULL (
        sealed_connect (0, certs_path ("none"), certs_path ("nodes"), LONG_MS, &err));
    CU_ASSERT (err == UMBP_ENOENT);
    CU_ASSERT_PTR_NULL (sealed_connect (0, certs_path ("alice"), "", LONG_MS, &err));
    CU_ASSERT (err == UMBP_EINVAL);
    CU_ASSERT_PTR_NULL (
        sealed_connect (0, certs_path ("clients/alice"), certs_path ("nodes"), LONG_MS, &err));
    CU_ASSERT (err == UMBP_ENOENT);     //  Its secret part is elsewhere
    CU_ASSERT_PTR_NULL (
        sealed_connect (0, certs_path ("alice"), certs_path ("clients"), LONG_MS, &err));
    CU_ASSERT (err == UMBP_ENOENT);     //  Two that name no endpoint
}

//  A client's certificate is not a node's, whoever passes its words on; and a node's is its own
static void test_roles (void)
{
    umbp_talk_t *client = sealed_talk (0, certs_path ("alice")),
                *node = sealed_talk (0, certs_path ("node-1"));
    const umbp_msg_t *answer;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_leave, 0);
    msg.leave.node = umbp_text ("node-2");
    msg.leave.node_epoch = 1;
    CU_ASSERT (umbp_talk_ask (client, "registry", &msg, &answer) == UMBP_EDENIED);
    CU_ASSERT (strstr (umbp_talk_reason (client), "client") != NULL);
    CU_ASSERT (umbp_talk_ask (client, "registry@node-1", &msg, &answer) == UMBP_EDENIED);
    CU_ASSERT (umbp_talk_ask (node, "registry", &msg, &answer) == UMBP_EDENIED);
    CU_ASSERT (strstr (umbp_talk_reason (node), "another node") != NULL);
    msg.leave.node = umbp_text ("node-1");
    CU_ASSERT (umbp_talk_ask (node, "registry", &msg, &answer) != UMBP_EDENIED);    //  Only stale
    umbp_msg_init (&msg, UMBP_MSG_wipe, 0);
    CU_ASSERT (umbp_talk_ask (client, "tier:dram@node-1", &msg, &answer) == UMBP_EDENIED);
    CU_ASSERT (sealed_gauge (client, "registry", "members_alive") == NODES);
    umbp_talk_destroy (&client);
    umbp_talk_destroy (&node);
}

//  Taken away while connected: refused at once, by name; put back: served again, on the same socket
//  or a new one
static void test_removed (void)
{
    int err = 0, rc = 0;
    umbp_talk_t *talk = sealed_talk (0, certs_path ("alice"));
    umbp_t *pool = sealed_connect (0, certs_path ("bob"), certs_path ("nodes"), LONG_MS, &err);
    CU_ASSERT_FATAL (pool != NULL && umbp_put (pool, "bob's", "x", 1) == 0);
    uint64_t reads = sealed_gauge (talk, "gate", "rereads"),
             removed = sealed_gauge (talk, "gate", "refused_removed");
    unlink (certs_path ("clients/bob"));
    CU_ASSERT (s_grows (talk, "gate", "rereads", reads));
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    while ((rc = umbp_exists (pool, "bob's")) != UMBP_EDENIED && umbp_clock_ms () < deadline_ms)
        CU_ASSERT (rc == 1);            //  The link hears of it a moment later
    CU_ASSERT (rc == UMBP_EDENIED);
    CU_ASSERT (umbp_put (pool, "more", "x", 1) < 0);
    CU_ASSERT (s_grows (talk, "gate", "refused_removed", removed));
    CU_ASSERT_PTR_NULL (
        sealed_connect (0, certs_path ("bob"), certs_path ("nodes"), SHORT_MS, &err));

    certs_hand_out (certs_path ("bob"), certs_path ("clients/bob"));
    CU_ASSERT (s_grows (talk, "gate", "rereads", reads + 1));
    deadline_ms = umbp_clock_ms () + LONG_MS;
    while ((rc = umbp_exists (pool, "bob's")) != 1 && umbp_clock_ms () < deadline_ms)
        CU_ASSERT (rc == UMBP_EDENIED);
    CU_ASSERT (rc == 1);
    umbp_close (&pool);
    umbp_talk_destroy (&talk);
}

//  Taken away, then the node restarts: its ZeroMQ refuses to shake hands, and ours dials no more by
//  itself. Every call must end in time, and once the certificate is back one must succeed.
static void test_removed_and_restarted (void)
{
    int err = 0, rc = 0;
    umbp_node_options_t options;
    umbp_t *pool = sealed_connect (2, certs_path ("bob"), certs_path ("nodes"), SHORT_MS, &err);
    CU_ASSERT_FATAL (pool != NULL && umbp_put (pool, "bob's other", "x", 1) == 0);
    unlink (certs_path ("clients/bob"));
    umbp_node_destroy (&sealed_nodes[2]);
    sealed_options (&options, 2);
    sealed_nodes[2] = umbp_node_new (&options, NULL);
    CU_ASSERT_FATAL (sealed_nodes[2] != NULL);
    umbp_talk_t *talk = sealed_talk (2, certs_path ("alice"));
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    while (sealed_gauge (talk, "gate", "refused_key") < 2 && umbp_clock_ms () < deadline_ms) {
        rc = umbp_put (pool, "bob's third", "x", 1);         //  Twice refused: it dialled again
        CU_ASSERT (rc == UMBP_EUNREACH || rc == UMBP_ETIMEDOUT);
    }
    CU_ASSERT (sealed_gauge (talk, "gate", "refused_key") >= 2);
    certs_hand_out (certs_path ("bob"), certs_path ("clients/bob"));
    while ((rc = umbp_put (pool, "bob's fourth", "x", 1)) < 0 && umbp_clock_ms () < deadline_ms)
        CU_ASSERT (rc != UMBP_EDENIED);
    CU_ASSERT (rc == 0);
    umbp_close (&pool);
    umbp_talk_destroy (&talk);
}

//  A node whose key the others do not know: it becomes no member, and does once they do
static void test_late_node (void)
{
    umbp_talk_t *talk = sealed_talk (0, certs_path ("alice"));
    char end[64];
    umbp_curve_words_t words = { .node = "late" };
    snprintf (end, sizeof end, "tcp://%s:21099", loopback_host ());
    snprintf (words.endpoint, sizeof words.endpoint, "%s", end);
    certs_make ("late", words);
    umbp_node_options_t options;
    sealed_options (&options, 1);
    snprintf (options.node, sizeof options.node, "late");
    snprintf (options.listen, sizeof options.listen, "%s", end);
    snprintf (options.certificate, sizeof options.certificate, "%s", certs_path ("late"));
    options.suspect_ms = 1000;          //  So long it waits for an answer
    uint64_t was = sealed_gauge (talk, "gate", "refused_key");
    umbp_node_t *node = umbp_node_new (&options, NULL);
    CU_ASSERT_FATAL (node != NULL);
    CU_ASSERT (s_grows (talk, "gate", "refused_key", was + 1));         //  Twice: it does not give up
    CU_ASSERT (sealed_gauge (talk, "registry", "members_alive") == NODES);
    certs_hand_out (certs_path ("late"), certs_path ("nodes/late"));
    CU_ASSERT (s_grows (talk, "registry", "members_alive", NODES));
    umbp_node_destroy (&node);
    umbp_talk_destroy (&talk);
}

static void s_refused (const umbp_node_options_t *options, const char *expected)
{
    char why[1024] = "";
    CU_ASSERT (umbp_node_options_check (options, why, sizeof why) == UMBP_EINVAL);
    CU_ASSERT (strstr (why, expected) != NULL);
    if (!strstr (why, expected))
        printf ("%s\n", why);
}

static void test_options (void)
{
    static const char *const ours[] = { "tcp://127.0.0.1:1", "tcp://localhost:*", "tcp://[::1]:7",
                                        "tcp://127.255.3.4:1", "tcp://lo:1" };
    static const char *const open[] = { "tcp://10.0.0.1:1",
                                        "tcp://128.0.0.1:1",
                                        "tcp://eth0:1",
                                        "tcp://host:*",
                                        "tcp://127.0.0.1.example.org:1",
                                        "tcp://[::2]:1" };
    umbp_node_options_t options;
    for (size_t index = 0; index < sizeof ours / sizeof *ours; index++) {
        umbp_node_options_init (&options);
        snprintf (options.listen, sizeof options.listen, "%s", ours[index]);
        CU_ASSERT (umbp_node_options_check (&options, NULL, 0) == 0);
    }
    for (size_t index = 0; index < sizeof open / sizeof *open; index++) {
        umbp_node_options_init (&options);
        snprintf (options.listen, sizeof options.listen, "%s", open[index]);
        s_refused (&options, "listen: ");
        s_refused (&options, "security/insecure");
        options.insecure = true;
        CU_ASSERT (umbp_node_options_check (&options, NULL, 0) == 0);
    }
    umbp_node_options_init (&options);
    snprintf (options.bulk_host, sizeof options.bulk_host, "0.0.0.0");
    s_refused (&options, "bulk_host: ");
    umbp_node_options_init (&options);
    snprintf (options.gossip_bind, sizeof options.gossip_bind, "tcp://10.0.0.1:5");
    s_refused (&options, "gossip_bind: ");
    umbp_node_options_init (&options);
    snprintf (options.clients_dir, sizeof options.clients_dir, "/tmp");
    s_refused (&options, "clients_dir: ");

    sealed_options (&options, 1);
    snprintf (options.listen, sizeof options.listen, "tcp://10.0.0.1:1");
    CU_ASSERT (umbp_node_options_check (&options, NULL, 0) == 0);
    options.insecure = true;
    s_refused (&options, "insecure: ");
    sealed_options (&options, 1);
    snprintf (options.node, sizeof options.node, "node-9");
    s_refused (&options, "certificate: ");
    sealed_options (&options, 1);
    snprintf (options.nodes_dir, sizeof options.nodes_dir, "%s", certs_path ("nowhere"));
    s_refused (&options, "nowhere");
    sealed_options (&options, 1);
    snprintf (options.certificate, sizeof options.certificate, "%s", certs_path ("nodes/node-1"));
    s_refused (&options, "node-1_secret");
}

int main (void)
{
    alarm (280);
    sealed_alone ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("secure", certs_start, sealed_stop);
    CU_ADD_TEST (suite, test_starts);
    CU_ADD_TEST (suite, test_members_and_blocks);
    CU_ADD_TEST (suite, test_strangers);
    CU_ADD_TEST (suite, test_bad_files);
    CU_ADD_TEST (suite, test_roles);
    CU_ADD_TEST (suite, test_removed);
    CU_ADD_TEST (suite, test_removed_and_restarted);
    CU_ADD_TEST (suite, test_late_node);
    CU_ADD_TEST (suite, test_options);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0 || CU_get_error () != CUE_SUCCESS;
}

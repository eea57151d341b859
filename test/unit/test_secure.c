//  test/unit/test_secure.c - nodes of this process with certificates, clients with good and bad
//  ones, and what each of them may say. Who may not must get an error within his deadline.
#include "bin/talk.h"
#include "test/unit/certs.h"
#include "test/unit/nodes.h"

#include <poll.h>

#define NODES 3
#define SHORT_MS 1000                   //  For those who get no answer
#define LONG_MS 60000

static umbp_node_t *s_nodes[NODES];
static char s_ends[NODES][64];

static const char *s_cert (const char *name)
{
    return certs_path (name);
}

static void s_options (umbp_node_options_t *options, size_t number)
{
    umbp_node_options_init (options);
    snprintf (options->node, sizeof options->node, "node-%zu", number);
    snprintf (options->cluster, sizeof options->cluster, "test-%d", (int) getpid ());
    snprintf (options->listen, sizeof options->listen, "%s", s_ends[number]);
    snprintf (options->certificate, sizeof options->certificate, "%s/node-%zu", certs_room, number);
    snprintf (options->nodes_dir, sizeof options->nodes_dir, "%s/nodes", certs_room);
    snprintf (options->clients_dir, sizeof options->clients_dir, "%s/clients", certs_room);
    if (number > 0)
        snprintf (options->seeds, sizeof options->seeds, "%s", s_ends[0]);
    options->heartbeat_ms = 50;
    options->suspect_ms = 10000;        //  Nobody here falls silent but by a busy machine
    options->gone_ms = 40000;
    options->dram_bytes = options->region_bytes = 4 << 20;
    options->page_bytes = PAGE;
    options->index_keys = options->kv_hashes = 10000;
    options->log_level = 1;
}

//  A client of a node, with these certificates. Returns NULL and *err.
static umbp_t *s_connect (size_t number, const char *own, const char *server, uint32_t timeout_ms,
                          int *err)
{
    umbp_options_t how = { .endpoints = s_ends[number],
                           .timeout_ms = timeout_ms, .no_shm = true, .lanes = 1,
                           .certificate = own, .server_certificate = server };
    return umbp_connect (&how, err);
}

//  One of a node's gauges
static uint64_t s_gauge (umbp_talk_t *talk, const char *actor, const char *name)
{
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    CU_ASSERT_FATAL (umbp_talk_ask (talk, actor, &msg, &answer) == 0);
    size_t offset = 0;
    for (size_t index = 0; index < answer->stat_ok.names.count; index++) {
        umbp_bytes_t item = umbp_column_next (&answer->stat_ok.names, index, &offset);
        if (item.size == strlen (name) && memcmp (item.data, name, item.size) == 0)
            return umbp_u64s_at (answer->stat_ok.values, index);
    }
    CU_FAIL_FATAL ("no such gauge");
    return 0;
}

static umbp_talk_t *s_talk (size_t number, const char *own)
{
    int err;
    char why[512];
    umbp_talk_t *talk = umbp_talk_new_secure (s_ends[number], own, s_cert ("nodes"), LONG_MS, &err,
                                              why, sizeof why);
    CU_ASSERT_FATAL (talk != NULL);
    return talk;
}

//  Wait until a gauge is more than it was
static bool s_grows (umbp_talk_t *talk, const char *actor, const char *name, uint64_t was)
{
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    while (s_gauge (talk, actor, name) <= was) {
        if (umbp_clock_ms () > deadline_ms)
            return false;
        poll (NULL, 0, 5);              //  Between two looks: the others need the cores too
    }
    return true;
}

static void test_starts (void)
{
    certs_folder ("nodes");
    certs_folder ("clients");
    for (size_t number = 0; number < NODES; number++) {
        char name[64];
        umbp_curve_words_t words = { 0 };
        snprintf (s_ends[number], sizeof s_ends[number], "tcp://%s:%zu", loopback_host (),
                  21000 + number);
        snprintf (words.node, sizeof words.node, "node-%zu", number);
        snprintf (words.endpoint, sizeof words.endpoint, "%s", s_ends[number]);
        snprintf (name, sizeof name, "nodes/node-%zu", number);
        certs_hand_out (certs_make (words.node, words), s_cert (name));
    }
    certs_hand_out (certs_make ("alice", (umbp_curve_words_t){ 0 }), s_cert ("clients/alice"));
    certs_hand_out (certs_make ("bob", (umbp_curve_words_t){ 0 }), s_cert ("clients/bob"));
    certs_make ("eve", (umbp_curve_words_t){ 0 });
    for (size_t number = 0; number < NODES; number++) {
        umbp_node_options_t options;
        s_options (&options, number);
        s_nodes[number] = umbp_node_new (&options, NULL);
        CU_ASSERT_FATAL (s_nodes[number] != NULL);
    }
}

static int s_stop (void)
{
    for (size_t number = NODES; number-- > 0;)
        umbp_node_destroy (&s_nodes[number]);
    return certs_stop ();
}

static void test_members_and_blocks (void)
{
    int err = 0;
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    size_t met = 0;
    while (met != NODES && umbp_clock_ms () < deadline_ms) {
        umbp_t *pool = s_connect (met, s_cert ("alice"), s_cert ("nodes"), LONG_MS, &err);
        CU_ASSERT_FATAL (pool != NULL);
        met += nodes_in_ring (pool) == NODES;
        umbp_close (&pool);
    }
    CU_ASSERT_FATAL (met == NODES);
    char small[] = "inline", back[8192], large[8192];
    nodes_fill (large, sizeof large, 5);
    umbp_t *one = s_connect (1, s_cert ("alice"), s_cert ("node-1"), LONG_MS, &err);
    umbp_t *two = s_connect (2, s_cert ("bob"), s_cert ("nodes/node-2"), LONG_MS, &err);
    umbp_t *door = umbp_connect (
        &(umbp_options_t){ .endpoints = umbp_node_endpoint_inproc (s_nodes[0]) }, &err);
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
    umbp_talk_t *talk = s_talk (0, s_cert ("bob"));
    for (size_t index = 0; index < sizeof strangers / sizeof *strangers; index++) {
        uint64_t was = s_gauge (talk, "gate", strangers[index].gauge);
        const char *own = *strangers[index].own ? s_cert (strangers[index].own) : "";
        const char *server = *own ? s_cert (strangers[index].server) : "";
        int err = 0;
        int64_t begin_ms = umbp_clock_ms ();
        CU_ASSERT_PTR_NULL (s_connect (0, own, server, SHORT_MS, &err));
        CU_ASSERT (err == UMBP_EUNREACH || err == UMBP_ETIMEDOUT);
        CU_ASSERT (umbp_clock_ms () - begin_ms < LONG_MS);
        CU_ASSERT (s_grows (talk, "gate", strangers[index].gauge, was));
    }
    umbp_talk_destroy (&talk);
}

static void test_bad_files (void)
{
    int err = 0;
    CU_ASSERT_PTR_NULL (s_connect (0, s_cert ("none"), s_cert ("nodes"), LONG_MS, &err));
    CU_ASSERT (err == UMBP_ENOENT);
    CU_ASSERT_PTR_NULL (s_connect (0, s_cert ("alice"), "", LONG_MS, &err));
    CU_ASSERT (err == UMBP_EINVAL);
    CU_ASSERT_PTR_NULL (s_connect (0, s_cert ("clients/alice"), s_cert ("nodes"), LONG_MS, &err));
    CU_ASSERT (err == UMBP_ENOENT);     //  Its secret part is elsewhere
    CU_ASSERT_PTR_NULL (s_connect (0, s_cert ("alice"), s_cert ("clients"), LONG_MS, &err));
    CU_ASSERT (err == UMBP_ENOENT);     //  Two that name no endpoint
}

//  A client's certificate is not a node's, whoever passes its words on; and a node's is its own
static void test_roles (void)
{
    umbp_talk_t *client = s_talk (0, s_cert ("alice")), *node = s_talk (0, s_cert ("node-1"));
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
    CU_ASSERT (s_gauge (client, "registry", "members_alive") == NODES);
    umbp_talk_destroy (&client);
    umbp_talk_destroy (&node);
}

//  Taken away while connected: refused at once, by name; put back: served again, on the same socket
//  or a new one
static void test_removed (void)
{
    int err = 0, rc = 0;
    umbp_talk_t *talk = s_talk (0, s_cert ("alice"));
    umbp_t *pool = s_connect (0, s_cert ("bob"), s_cert ("nodes"), LONG_MS, &err);
    CU_ASSERT_FATAL (pool != NULL && umbp_put (pool, "bob's", "x", 1) == 0);
    uint64_t reads = s_gauge (talk, "gate", "rereads"),
             removed = s_gauge (talk, "gate", "refused_removed");
    unlink (s_cert ("clients/bob"));
    CU_ASSERT (s_grows (talk, "gate", "rereads", reads));
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    while ((rc = umbp_exists (pool, "bob's")) != UMBP_EDENIED && umbp_clock_ms () < deadline_ms)
        CU_ASSERT (rc == 1);            //  The link hears of it a moment later
    CU_ASSERT (rc == UMBP_EDENIED);
    CU_ASSERT (umbp_put (pool, "more", "x", 1) < 0);
    CU_ASSERT (s_grows (talk, "gate", "refused_removed", removed));
    CU_ASSERT_PTR_NULL (s_connect (0, s_cert ("bob"), s_cert ("nodes"), SHORT_MS, &err));

    certs_hand_out (s_cert ("bob"), s_cert ("clients/bob"));
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
    umbp_t *pool = s_connect (2, s_cert ("bob"), s_cert ("nodes"), SHORT_MS, &err);
    CU_ASSERT_FATAL (pool != NULL && umbp_put (pool, "bob's other", "x", 1) == 0);
    unlink (s_cert ("clients/bob"));
    umbp_node_destroy (&s_nodes[2]);
    s_options (&options, 2);
    s_nodes[2] = umbp_node_new (&options, NULL);
    CU_ASSERT_FATAL (s_nodes[2] != NULL);
    umbp_talk_t *talk = s_talk (2, s_cert ("alice"));
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    while (s_gauge (talk, "gate", "refused_key") < 2 && umbp_clock_ms () < deadline_ms) {
        rc = umbp_put (pool, "bob's third", "x", 1);         //  Twice refused: it dialled again
        CU_ASSERT (rc == UMBP_EUNREACH || rc == UMBP_ETIMEDOUT);
    }
    CU_ASSERT (s_gauge (talk, "gate", "refused_key") >= 2);
    certs_hand_out (s_cert ("bob"), s_cert ("clients/bob"));
    while ((rc = umbp_put (pool, "bob's fourth", "x", 1)) < 0 && umbp_clock_ms () < deadline_ms)
        CU_ASSERT (rc != UMBP_EDENIED);
    CU_ASSERT (rc == 0);
    umbp_close (&pool);
    umbp_talk_destroy (&talk);
}

//  A node whose key the others do not know: it becomes no member, and does once they do
static void test_late_node (void)
{
    umbp_talk_t *talk = s_talk (0, s_cert ("alice"));
    char end[64];
    umbp_curve_words_t words = { .node = "late" };
    snprintf (end, sizeof end, "tcp://%s:21099", loopback_host ());
    snprintf (words.endpoint, sizeof words.endpoint, "%s", end);
    certs_make ("late", words);
    umbp_node_options_t options;
    s_options (&options, 1);
    snprintf (options.node, sizeof options.node, "late");
    snprintf (options.listen, sizeof options.listen, "%s", end);
    snprintf (options.certificate, sizeof options.certificate, "%s", s_cert ("late"));
    options.suspect_ms = 1000;          //  So long it waits for an answer
    uint64_t was = s_gauge (talk, "gate", "refused_key");
    umbp_node_t *node = umbp_node_new (&options, NULL);
    CU_ASSERT_FATAL (node != NULL);
    CU_ASSERT (s_grows (talk, "gate", "refused_key", was + 1));         //  Twice: it does not give up
    CU_ASSERT (s_gauge (talk, "registry", "members_alive") == NODES);
    certs_hand_out (s_cert ("late"), s_cert ("nodes/late"));
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

    s_options (&options, 1);
    snprintf (options.listen, sizeof options.listen, "tcp://10.0.0.1:1");
    CU_ASSERT (umbp_node_options_check (&options, NULL, 0) == 0);
    options.insecure = true;
    s_refused (&options, "insecure: ");
    s_options (&options, 1);
    snprintf (options.node, sizeof options.node, "node-9");
    s_refused (&options, "certificate: ");
    s_options (&options, 1);
    snprintf (options.nodes_dir, sizeof options.nodes_dir, "%s", s_cert ("nowhere"));
    s_refused (&options, "nowhere");
    s_options (&options, 1);
    snprintf (options.certificate, sizeof options.certificate, "%s", s_cert ("nodes/node-1"));
    s_refused (&options, "node-1_secret");
}

int main (void)
{
    alarm (280);
    unsetenv ("UMBP_CERTIFICATE");
    unsetenv ("UMBP_SERVER_CERTIFICATE");
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("secure", certs_start, s_stop);
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

//  test/unit/test_registry.c - registries that meet, part and refuse each other over tcp. UMBP_LOG
//  shows what is logged meanwhile.
#include <CUnit/Basic.h>
#include <czmq.h>

#include "actors/digest.h"
#include "actors/registry.h"
#include "cluster/link.h"
#include "test/unit/beat.h"
#include "test/unit/loopback.h"

#define WAIT_MS 30000                   //  The machine may be slow; nothing takes so long by design

typedef struct {
    umbp_home_t home;
    char endpoint[UMBP_TEXT_MAX + 1];
    zactor_t *link, *registry;
    zsock_t *watch;                     //  ROUTER: an actor of that node, told of the topology
    zsock_t *own;                       //  DEALER: an actor of that node, speaking to its registry
    umbp_topology_t *topology;          //  What it was told last
} node_t;

typedef struct {
    const char *cluster;                //  NULL: "test"
    unsigned suspect_ms, gone_ms;       //  0: so long that nothing here waits for it
    unsigned tiers;
    uint64_t epoch;                     //  0: 1
    const char *listen;                 //  NULL: any port
} how_t;

static unsigned s_nodes;

static void s_start (node_t *node, const char *name, how_t how)
{
    static const char *const actors[] = { "watch", NULL };
    char inproc[2 * UMBP_TEXT_MAX];
    *node = (node_t) { .home.node_epoch = how.epoch ? how.epoch : 1, .home.log_level = 2 };
    snprintf (node->home.instance, sizeof node->home.instance, "registry-%u", s_nodes++);
    snprintf (node->home.node, sizeof node->home.node, "%s", name);
    node->watch = zsock_new (ZMQ_ROUTER);
    zsock_set_rcvtimeo (node->watch, 100);
    zsock_bind (node->watch, "%s",
                umbp_post_inproc (node->home.instance, "watch", inproc, sizeof inproc));
    umbp_link_args_t link = { node->home.instance, name, how.listen, NULL };
    link.listen = how.listen ? how.listen : loopback_tcp ();
    node->link = umbp_link_new (&link, node->endpoint, sizeof node->endpoint);
    CU_ASSERT_FATAL (node->link != NULL);
    umbp_registry_args_t args = {
        .home = &node->home,
        .cluster = how.cluster ? how.cluster : "test",
        .endpoint = node->endpoint,
        .heartbeat_ms = 100,
        .suspect_ms = how.suspect_ms ? how.suspect_ms : 3 * WAIT_MS,
        .gone_ms = how.gone_ms ? how.gone_ms : 4 * WAIT_MS,
        .tiers = how.tiers,
        .actors = actors,
    };
    node->registry = umbp_registry_new (&args);
    CU_ASSERT_FATAL (node->registry != NULL);
    node->own = zsock_new (ZMQ_DEALER);
    zsock_set_rcvtimeo (node->own, WAIT_MS);
    zsock_connect (node->own, "%s",
                   umbp_post_inproc (node->home.instance, "registry", inproc, sizeof inproc));
}

//  In good order, the registry takes leave; otherwise it has no time for that
static void s_stop (node_t *node, bool in_order)
{
    if (!in_order)
        zactor_destroy (&node->link);
    zactor_destroy (&node->registry);
    zactor_destroy (&node->link);
    zsock_destroy (&node->watch);
    zsock_destroy (&node->own);
    umbp_topology_destroy (&node->topology);
}

static void s_tell (node_t *node, umbp_msg_t *msg)
{
    byte wire[4096];
    int size = umbp_msg_encode (msg, wire, sizeof wire);
    CU_ASSERT_FATAL (size > 0);
    zmq_send (zsock_resolve (node->own), "", 0, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (node->own), wire, (size_t) size, 0);
}

static void s_find (node_t *node, const char *endpoint)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_found, 0);
    msg.found.endpoint = umbp_text (endpoint);
    s_tell (node, &msg);
}

//  The next topology it is told, if any comes soon
static void s_listen (node_t *node)
{
    zmsg_t *parts = zmsg_recv (node->watch);
    if (!parts)
        return;
    zframe_t *frame = zmsg_last (parts);
    umbp_msg_t msg;
    CU_ASSERT (umbp_msg_decode (&msg, zframe_data (frame), zframe_size (frame)) > 0);
    if (msg.type == UMBP_MSG_topology_ok) {
        umbp_topology_destroy (&node->topology);
        node->topology = umbp_topology_new (&msg.topology_ok);
        CU_ASSERT (node->topology != NULL);
    }
    zmsg_destroy (&parts);
}

static size_t s_count_state (const umbp_topology_t *topology, unsigned state)
{
    size_t count = 0;
    for (size_t index = 0; index < umbp_topology_count (topology); index++)
        count += umbp_topology_member (topology, index)->state == state;
    return count;
}

//  Until it sees so many alive, suspect and in the ring. Returns how many ms that took, -1 if it
//  never did.
static int64_t s_wait (node_t *node, size_t alive, size_t suspect, size_t ring)
{
    int64_t start = zclock_mono ();
    while (zclock_mono () - start < WAIT_MS) {
        const umbp_topology_t *seen = node->topology;
        if (seen && s_count_state (seen, UMBP_MEMBER_ALIVE) == alive
            && s_count_state (seen, UMBP_MEMBER_SUSPECT) == suspect
            && umbp_ring_node_count (umbp_topology_ring (seen)) == ring)
            return zclock_mono () - start;
        s_listen (node);
    }
    return -1;
}

//  What it has been told before is old: wait for news only
static void s_forget (node_t *node)
{
    zsock_set_rcvtimeo (node->watch, 0);
    for (zmsg_t *msg = zmsg_recv (node->watch); msg; msg = zmsg_recv (node->watch))
        zmsg_destroy (&msg);
    zsock_set_rcvtimeo (node->watch, 100);
    umbp_topology_destroy (&node->topology);
}

//  Ask over tcp as a stranger does: the frame of the answer, decoded into msg; NULL if none came
static zframe_t *s_ask (zsock_t *peer, umbp_msg_t *msg)
{
    byte wire[4096];
    msg->id = 7;
    int size = umbp_msg_encode (msg, wire, sizeof wire);
    CU_ASSERT_FATAL (size > 0);
    zmq_send (zsock_resolve (peer), "registry", 8, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (peer), "", 0, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (peer), wire, (size_t) size, 0);
    zmsg_t *parts = zmsg_recv (peer);
    CU_ASSERT (parts != NULL);
    if (!parts)
        return NULL;
    CU_ASSERT (zmsg_size (parts) == 3);
    zframe_t *frame = zframe_dup (zmsg_last (parts));
    zmsg_destroy (&parts);
    CU_ASSERT (umbp_msg_decode (msg, zframe_data (frame), zframe_size (frame)) > 0);
    return frame;
}

static zsock_t *s_stranger (const node_t *node)
{
    zsock_t *peer = zsock_new (ZMQ_DEALER);
    zsock_set_rcvtimeo (peer, WAIT_MS);
    zsock_set_linger (peer, 0);
    CU_ASSERT (zsock_connect (peer, "%s", node->endpoint) == 0);
    return peer;
}

static uint64_t s_gauge (zsock_t *peer, const char *name)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    zframe_t *frame = s_ask (peer, &msg);
    uint64_t value = UINT64_MAX;
    size_t offset = 0;
    CU_ASSERT (frame && msg.type == UMBP_MSG_stat_ok);
    for (size_t index = 0; frame && index < msg.stat_ok.names.count; index++) {
        umbp_bytes_t item = umbp_column_next (&msg.stat_ok.names, index, &offset);
        if (umbp_text_is ((umbp_text_t) { (const char *) item.data, item.size }, name))
            value = umbp_u64s_at (msg.stat_ok.values, index);
    }
    zframe_destroy (&frame);
    return value;
}

//  B is told of A alone, C of B alone; soon all know all, and call the topology by one number
static void test_three_meet (void)
{
    node_t a, b, c;
    s_start (&a, "a", (how_t) { 0 });
    s_start (&b, "b", (how_t) { 0 });
    s_start (&c, "c", (how_t) { 0 });
    CU_ASSERT (s_wait (&a, 1, 0, 1) >= 0);
    s_find (&b, a.endpoint);
    s_find (&c, b.endpoint);
    CU_ASSERT (s_wait (&a, 3, 0, 3) >= 0);
    CU_ASSERT (s_wait (&b, 3, 0, 3) >= 0);
    CU_ASSERT (s_wait (&c, 3, 0, 3) >= 0);
    CU_ASSERT (umbp_topology_epoch (a.topology) == umbp_topology_epoch (b.topology));
    CU_ASSERT (umbp_topology_epoch (a.topology) == umbp_topology_epoch (c.topology));
    CU_ASSERT (umbp_topology_self (a.topology) == 0 && umbp_topology_self (c.topology) == 2);

    //  In good order: the others do not have to wait for its silence, which would take longer than
    //  we wait
    s_forget (&a);
    s_stop (&b, true);
    int64_t took_ms = s_wait (&a, 2, 0, 2);
    printf ("leave seen after %d ms ", (int) took_ms);
    CU_ASSERT (took_ms >= 0);
    CU_ASSERT (s_wait (&c, 2, 0, 2) >= 0);
    s_stop (&c, true);
    s_stop (&a, true);
}

//  One end is gone without a word: suspect, and still in the ring; then gone. Later it is back.
static void test_silent_node (void)
{
    node_t a, b;
    how_t how = { .suspect_ms = 1000, .gone_ms = 2500 };
    s_start (&a, "a", how);
    s_start (&b, "b", how);
    s_find (&b, a.endpoint);
    CU_ASSERT (s_wait (&a, 2, 0, 2) >= 0);
    char listen[UMBP_TEXT_MAX + 1];
    snprintf (listen, sizeof listen, "%s", b.endpoint);
    s_stop (&b, false);
    CU_ASSERT (s_wait (&a, 1, 1, 2) >= 0);
    CU_ASSERT (s_wait (&a, 1, 0, 1) >= 0);

    //  At the same place, so that A finds it by itself: it looks for those that fell silent
    how.epoch = 2;
    how.listen = listen;
    s_start (&b, "b", how);
    CU_ASSERT (s_wait (&a, 2, 0, 2) >= 0);
    CU_ASSERT (umbp_topology_member (a.topology, 1)->epoch == 2);
    s_stop (&b, true);
    s_stop (&a, true);
}

//  A restart that was too quick for anybody to notice its absence
static void test_restart (void)
{
    node_t a, b;
    how_t how = { 0 };
    s_start (&a, "a", how);
    s_start (&b, "b", how);
    s_find (&b, a.endpoint);
    CU_ASSERT (s_wait (&a, 2, 0, 2) >= 0);
    s_stop (&b, false);
    how.epoch = 2;
    s_start (&b, "b", how);                                 //  At another port
    s_find (&b, a.endpoint);
    int64_t start = zclock_mono ();
    while (zclock_mono () - start < WAIT_MS && umbp_topology_member (a.topology, 1)->epoch != 2)
        s_listen (&a);
    CU_ASSERT (umbp_topology_count (a.topology) == 2);
    CU_ASSERT (umbp_topology_member (a.topology, 1)->epoch == 2);
    CU_ASSERT_STRING_EQUAL (umbp_topology_member (a.topology, 1)->endpoint, b.endpoint);
    s_stop (&b, true);
    s_stop (&a, true);
}

static void s_check_beat_refused (zsock_t *peer, const umbp_msg_beat_t *beat, int status,
                                  const char *reason)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_beat, 0);
    msg.beat = *beat;
    zframe_t *frame = s_ask (peer, &msg);
    char text[UMBP_TEXT_MAX + 1] = "";
    CU_ASSERT (msg.type == UMBP_MSG_refused && msg.status == status);
    if (msg.type == UMBP_MSG_refused)
        umbp_text_copy (msg.refused.reason, text, sizeof text);
    CU_ASSERT (strncmp (text, reason, strlen (reason)) == 0);
    zframe_destroy (&frame);
}

static void s_check_denied (zsock_t *peer, umbp_msg_t *msg)
{
    zframe_t *frame = s_ask (peer, msg);
    CU_ASSERT (msg->type == UMBP_MSG_refused && msg->status == UMBP_EDENIED);
    zframe_destroy (&frame);
}

//  What a stranger says over tcp: it is refused by name, and changes nothing
static void test_strangers (void)
{
    node_t a;
    s_start (&a, "a", (how_t) { 0 });
    zsock_t *peer = s_stranger (&a);
    umbp_msg_beat_t beat = beat_of ("b", 1, "tcp://127.0.0.1:9");
    beat.cluster = umbp_text ("other");
    s_check_beat_refused (peer, &beat, UMBP_EDENIED, "cluster: ");
    beat = beat_of ("b", 1, "tcp://127.0.0.1:9");
    beat.version = 9;
    s_check_beat_refused (peer, &beat, UMBP_ENOTSUP, "version: ");
    beat = beat_of ("a", 9, "tcp://127.0.0.1:9");
    s_check_beat_refused (peer, &beat, UMBP_EEXIST, "node: that id is taken");

    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_found, 0);
    msg.found.endpoint = umbp_text ("tcp://127.0.0.1:9");
    s_check_denied (peer, &msg);
    umbp_msg_init (&msg, UMBP_MSG_capacity, 0);
    msg.capacity.tier = UMBP_TIER_DRAM;
    s_check_denied (peer, &msg);

    //  A node that does not answer where it says it is
    umbp_msg_init (&msg, UMBP_MSG_beat, 0);
    msg.beat = beat_of ("ghost", 1, "tcp://127.0.0.1:9");
    zframe_t *frame = s_ask (peer, &msg);
    CU_ASSERT (msg.type == UMBP_MSG_beat_ok && umbp_text_is (msg.beat_ok.node, "a"));
    zframe_destroy (&frame);
    umbp_msg_init (&msg, UMBP_MSG_topology, 0);
    frame = s_ask (peer, &msg);
    CU_ASSERT (msg.type == UMBP_MSG_topology_ok && msg.topology_ok.nodes.count == 1);
    zframe_destroy (&frame);

    umbp_msg_init (&msg, UMBP_MSG_who, 0);
    frame = s_ask (peer, &msg);
    CU_ASSERT (msg.type == UMBP_MSG_who_ok && umbp_text_is (msg.who_ok.node, "a"));
    CU_ASSERT (umbp_text_is (msg.who_ok.endpoint, a.endpoint) && msg.who_ok.node_epoch == 1);
    CU_ASSERT (umbp_text_is (msg.who_ok.cluster, "test"));
    zframe_destroy (&frame);

    umbp_msg_init (&msg, UMBP_MSG_leave, 0);                //  We leave on no stranger's word
    msg.leave.node = umbp_text ("a");
    msg.leave.node_epoch = 1;
    frame = s_ask (peer, &msg);
    CU_ASSERT (msg.status == UMBP_ENOENT);
    zframe_destroy (&frame);

    CU_ASSERT (s_gauge (peer, "members_alive") == 1);
    CU_ASSERT (s_gauge (peer, "refused_cluster") == 1);
    CU_ASSERT (s_gauge (peer, "refused_version") == 1);
    CU_ASSERT (s_gauge (peer, "refused_id") == 1);
    CU_ASSERT (s_gauge (peer, "probes") == 1);
    zsock_destroy (&peer);
    s_stop (&a, true);
}

//  Two clusters find each other, and two nodes of one name do
static void test_apart (void)
{
    node_t a, b, twin;
    s_start (&a, "a", (how_t) { 0 });
    s_start (&b, "b", (how_t) { .cluster = "other" });
    s_start (&twin, "a", (how_t) { .epoch = 5 });
    zsock_t *peer = s_stranger (&a), *other = s_stranger (&b);
    s_find (&a, b.endpoint);
    s_find (&a, twin.endpoint);
    s_find (&a, a.endpoint);                                //  Ourselves: no matter
    int64_t start = zclock_mono ();
    while (s_gauge (peer, "probes_failed") < 2 && zclock_mono () - start < WAIT_MS)
        s_listen (&a);
    CU_ASSERT (s_gauge (peer, "probes_failed") >= 2);
    CU_ASSERT (s_gauge (other, "refused_cluster") >= 1);
    CU_ASSERT (s_gauge (peer, "members_alive") == 1);
    CU_ASSERT (s_gauge (other, "members_alive") == 1);
    zsock_destroy (&peer);
    zsock_destroy (&other);
    s_stop (&twin, true);
    s_stop (&b, true);
    s_stop (&a, true);
}

//  A name for a node that is at home elsewhere: it is met there, and is not asked here again
static void test_alias (void)
{
    node_t a, b;
    how_t how = { .listen = "tcp://127.0.0.1:*" };
    s_start (&a, "a", how);
    CU_ASSERT (s_wait (&a, 1, 0, 1) >= 0);
    char alias[64];
    snprintf (alias, sizeof alias, "tcp://localhost:%s", strrchr (a.endpoint, ':') + 1);
    s_start (&b, "b", how);
    s_find (&b, alias);
    CU_ASSERT (s_wait (&b, 2, 0, 2) >= 0);
    zsock_t *peer = s_stranger (&b);
    uint64_t probes = s_gauge (peer, "probes");
    for (int times = 0; times < 5; times++)
        s_find (&b, alias);
    snprintf (alias, sizeof alias, "tcp://localhost:%s", strrchr (b.endpoint, ':') + 1);
    for (int times = 0; times < 5; times++)
        s_find (&b, alias);                                 //  That is b itself: asked once
    s_forget (&b);
    CU_ASSERT (s_wait (&b, 2, 0, 2) >= 0);
    CU_ASSERT (s_gauge (peer, "probes") == probes + 1);
    CU_ASSERT (s_gauge (peer, "members_alive") == 2);
    zsock_destroy (&peer);
    s_stop (&b, true);
    s_stop (&a, true);
}

//  In the ring, on both nodes, once the tier manager has said what it has
static void test_gate_across (void)
{
    node_t a, b;
    s_start (&a, "a", (how_t) { 0 });
    s_start (&b, "b", (how_t) { .tiers = 1 });
    s_find (&b, a.endpoint);
    CU_ASSERT (s_wait (&a, 2, 0, 1) >= 0);
    CU_ASSERT (s_wait (&b, 2, 0, 1) >= 0);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_capacity, 0);
    msg.capacity = (umbp_msg_capacity_t) {
        .tier = UMBP_TIER_DRAM, .total = 4096, .used = 1024, .blocks = 3, .load = 250,
    };
    s_tell (&b, &msg);
    CU_ASSERT (s_wait (&b, 2, 0, 2) >= 0);
    CU_ASSERT (s_wait (&a, 2, 0, 2) >= 0);
    int64_t start = zclock_mono ();
    while (umbp_topology_member (a.topology, 1)->load != 250 && zclock_mono () - start < WAIT_MS)
        s_listen (&a);
    const umbp_member_t *member = umbp_topology_member (a.topology, 1);
    CU_ASSERT (member->load == 250 && member->tiers[UMBP_TIER_DRAM].used == 1024);
    s_stop (&b, true);
    s_stop (&a, true);
}

//  How many endpoints are named to a beat. Its members and topo_epoch are then those of the node.
static size_t s_named (zsock_t *peer, umbp_msg_beat_t *beat)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_beat, 0);
    msg.beat = *beat;
    zframe_t *frame = s_ask (peer, &msg);
    CU_ASSERT_FATAL (msg.type == UMBP_MSG_beat_ok);
    size_t named = msg.beat_ok.known.count;
    beat->members = msg.beat_ok.members;
    beat->topo_epoch = msg.beat_ok.topo_epoch;
    zframe_destroy (&frame);
    return named;
}

//  What is named to whom over tcp: all to one of former times, to others what they lack by their digest
static void test_naming (void)
{
    node_t a, b;
    s_start (&a, "a", (how_t) { 0 });
    s_start (&b, "b", (how_t) { 0 });
    s_find (&b, a.endpoint);
    CU_ASSERT (s_wait (&a, 2, 0, 2) >= 0);
    zsock_t *peer = s_stranger (&a);
    umbp_msg_beat_t beat = beat_of ("c", 1, "tcp://127.0.0.1:9");
    CU_ASSERT (s_named (peer, &beat) == 1);                 //  Says neither hash nor digest
    CU_ASSERT (beat.members != 0 && beat.topo_epoch != 0);
    umbp_msg_beat_t same = beat, knows_the_same = beat;
    same.members = 1;
    CU_ASSERT (s_named (peer, &same) == 0);                 //  Sees the same topology
    knows_the_same.topo_epoch = 1;
    CU_ASSERT (s_named (peer, &knows_the_same) == 0);

    uint16_t told[16] = { 0 };
    umbp_digest_t digest = { .sums = { 0 } };
    beat.topo_epoch = 1;
    beat.members = 1;
    CU_ASSERT (s_named (peer, &beat) == 0);                 //  Sends its digest next time
    umbp_digest_add (&digest, umbp_digest_hash (a.endpoint));
    beat.topo_epoch = 1;
    beat.members = umbp_digest_all (&digest);
    size_t named = 0;
    for (uint64_t salt = 1; salt <= 3 && named == 0; salt++) {
        beat.salt = salt;
        beat.digest.data = told;
        beat.digest.count = (uint32_t) umbp_digest_write (&digest, 1, beat.salt, told);
        named = s_named (peer, &beat);
        beat.topo_epoch = 1;
        beat.members = umbp_digest_all (&digest);
    }
    CU_ASSERT (named == 1);
    beat.digest.count = 3;                                  //  No power of two: not understood
    CU_ASSERT (s_named (peer, &beat) == 0);
    CU_ASSERT (s_gauge (peer, "members_named") >= 2);
    zsock_destroy (&peer);
    s_stop (&b, true);
    s_stop (&a, true);
}

static void test_impossible_settings (void)
{
    umbp_home_t home = { .instance = "registry-none", .node = "a", .node_epoch = 1 };
    umbp_registry_args_t args = {
        .home = &home, .cluster = "test", .endpoint = "tcp://127.0.0.1:1", .suspect_ms = 2000,
    };
    CU_ASSERT_PTR_NULL (umbp_registry_new (&args));         //  Two heartbeats of a second
    args.suspect_ms = 0;
    zactor_t *registry = umbp_registry_new (&args);
    CU_ASSERT (registry != NULL);
    CU_ASSERT_PTR_NULL (umbp_registry_new (&args));         //  The name is taken
    zactor_destroy (&registry);
}

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IONBF, 0);
    zsys_set_logstream (getenv ("UMBP_LOG") ? stdout : NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("registry", NULL, NULL);
    CU_ADD_TEST (suite, test_impossible_settings);
    CU_ADD_TEST (suite, test_three_meet);
    CU_ADD_TEST (suite, test_silent_node);
    CU_ADD_TEST (suite, test_restart);
    CU_ADD_TEST (suite, test_strangers);
    CU_ADD_TEST (suite, test_apart);
    CU_ADD_TEST (suite, test_alias);
    CU_ADD_TEST (suite, test_gate_across);
    CU_ADD_TEST (suite, test_naming);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_discovery.c - the ways to find other nodes: seeds, gossip, and beacons in a
//  network namespace of our own. We play the registry that they speak to. UMBP_LOG shows what is
//  logged.
#include <CUnit/Basic.h>
#include <czmq.h>

#include <arpa/inet.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>

#include "cluster/discovery/beacon.h"
#include "cluster/discovery/gossip.h"
#include "cluster/discovery/seeds.h"
#include "cluster/endpoint.h"
#include "cluster/post.h"
#include "test/unit/loopback.h"

#define WAIT_MS 20000                   //  The machine may be slow; nothing takes so long by design
#define TIMES 20
#define BEACON_PORT 5677
#define OWN "tcp://10.77.0.1:7710"

static bool s_network;                  //  We have a namespace with an interface that can broadcast

//  zgossip turns the log on again
static void s_quiet (void)
{
    zsys_set_logstream (getenv ("UMBP_LOG") ? stdout : NULL);
}

//  -----------------------------------------------------------------------------------------------
//  Endpoints

static void test_endpoints (void)
{
    static const char *const good[] = {
        "tcp://h:1",     "tcp://10.0.0.1:65535",      "tcp://a-b_c.example.org:7710",
        "tcp://[::1]:1", "tcp://[fe80::1%eth0]:7710",
    };
    static const char *const bad[] = {
        "",
        "tcp://",
        "tcp://:1",
        "tcp://h",
        "tcp://h:",
        "tcp://h:0",
        "tcp://h:65536",
        "tcp://h:1x",
        "tcp://h:123456",
        "tcp://*:1",
        "tcp://0.0.0.0:1",
        "tcp://[::]:1",
        "tcp://[]:1",
        "tcp://::1:1",
        "tcp://a b:1",
        "tcp://a;b:1",
        "tcp://a/b:1",
        "tcp://a@b:1",
        "udp://h:1",
        "ipc:///x",
        "h:1",
        "TCP://h:1",
        "tcp://[h:1",
    };
    for (size_t index = 0; index < sizeof good / sizeof *good; index++)
        CU_ASSERT (umbp_endpoint_ok (umbp_text (good[index])));
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++)
        CU_ASSERT (!umbp_endpoint_ok (umbp_text (bad[index])));
    char large[400];
    snprintf (large, sizeof large, "tcp://h%0380d:1", 0);
    CU_ASSERT (!umbp_endpoint_ok (umbp_text (large)));
    CU_ASSERT (!umbp_endpoint_ok ((umbp_text_t) { NULL, 0 }));
}

static void test_resolve (void)
{
    char out[UMBP_TEXT_MAX];
    CU_ASSERT (umbp_endpoint_resolve ("tcp://127.0.0.1:80", out, sizeof out) == 0);
    CU_ASSERT_STRING_EQUAL (out, "tcp://127.0.0.1:80");
    CU_ASSERT (umbp_endpoint_resolve ("tcp://localhost:80", out, sizeof out) == 0);
    CU_ASSERT_STRING_EQUAL (out, "tcp://127.0.0.1:80");
    CU_ASSERT (umbp_endpoint_resolve ("tcp://[::1]:80", out, sizeof out) == 0);
    CU_ASSERT_STRING_EQUAL (out, "tcp://[::1]:80");
    CU_ASSERT (umbp_endpoint_resolve ("tcp://127.0.0.1:80", out, 18) == UMBP_ETOOBIG);
    CU_ASSERT (umbp_endpoint_resolve ("tcp://127.0.0.1", out, sizeof out) == UMBP_EINVAL);
    if (s_network) {                    //  Where no name server is near
        int rc = umbp_endpoint_resolve ("tcp://nowhere.invalid:80", out, sizeof out);
        CU_ASSERT (rc == UMBP_ENOENT || rc == UMBP_EAGAIN);
    }
}

static void test_list (void)
{
    static const char *const items[] = { "a", "b:1", "c" };
    const char *list = " ,a, b:1,,\tc ,";
    for (size_t index = 0; index < 3; index++)
        CU_ASSERT (umbp_text_is (umbp_endpoint_next (&list), items[index]));
    CU_ASSERT (umbp_endpoint_next (&list).size == 0);
    CU_ASSERT (umbp_endpoint_next (&list).size == 0);
}

//  -----------------------------------------------------------------------------------------------
//  The registry, which is us

static zsock_t *s_registry (const char *instance)
{
    char inproc[2 * UMBP_TEXT_MAX];
    zsock_t *registry = zsock_new (ZMQ_ROUTER);
    zsock_set_rcvtimeo (registry, WAIT_MS);
    CU_ASSERT_FATAL (
        zsock_bind (registry, "%s", umbp_post_inproc (instance, "registry", inproc, sizeof inproc))
        == 0);
    return registry;
}

//  The next found. Returns false if none came.
static bool s_next (zsock_t *registry, char *endpoint)
{
    zmsg_t *parts = zmsg_recv (registry);
    *endpoint = 0;
    if (!parts)
        return false;
    CU_ASSERT (zmsg_size (parts) == 3);
    zframe_t *frame = zmsg_last (parts);
    umbp_msg_t msg;
    CU_ASSERT (umbp_msg_decode (&msg, zframe_data (frame), zframe_size (frame)) > 0);
    CU_ASSERT (msg.type == UMBP_MSG_found && msg.id == 0);
    umbp_text_copy (msg.found.endpoint, endpoint, UMBP_TEXT_MAX + 1);
    zmsg_destroy (&parts);
    return true;
}

//  Until that one is found; none of the others may be. Returns whether it was.
static bool s_wait (zsock_t *registry, const char *wanted)
{
    char endpoint[UMBP_TEXT_MAX + 1];
    while (s_next (registry, endpoint)) {
        CU_ASSERT (strncmp (endpoint, "tcp://foreign", 13) != 0);
        CU_ASSERT_STRING_NOT_EQUAL (endpoint, OWN);
        if (streq (endpoint, wanted))
            return true;
    }
    return false;
}

//  -----------------------------------------------------------------------------------------------
//  Seeds

static void test_seeds (void)
{
    zsock_t *registry = s_registry ("seeds-1");
    umbp_seeds_args_t args = {
        "seeds-1",
        "tcp://127.0.0.1:7710",
        "tcp://10.77.0.2:1, tcp://127.0.0.1:7710,tcp://localhost:7710,tcp://localhost:2",
    };
    int64_t start = zclock_mono ();
    zactor_t *seeds = umbp_seeds_new (&args);
    CU_ASSERT_FATAL (seeds != NULL);
    char endpoint[UMBP_TEXT_MAX + 1];
    for (int round = 0; round < 2; round++) {
        CU_ASSERT (s_next (registry, endpoint));
        CU_ASSERT_STRING_EQUAL (endpoint, "tcp://10.77.0.2:1");
        CU_ASSERT (s_next (registry, endpoint));
        CU_ASSERT_STRING_EQUAL (endpoint, "tcp://127.0.0.1:2");
    }
    CU_ASSERT (zclock_mono () - start >= 1000);         //  The second round
    zactor_destroy (&seeds);
    zsock_destroy (&registry);

    static const char *const bad[] = { "", " , ", "tcp://h", "tcp://h:1,x", "ipc:///tmp/x" };
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
        args.seeds = bad[index];
        CU_ASSERT_PTR_NULL (umbp_seeds_new (&args));
    }
}

static void test_seeds_start_and_stop (void)
{
    int64_t start = zclock_mono ();
    umbp_seeds_args_t args = { "seeds-2", OWN, "tcp://127.0.0.1:1,tcp://localhost:2" };
    for (int times = 0; times < TIMES; times++) {
        zactor_t *seeds = umbp_seeds_new (&args);       //  Nobody is there to listen
        CU_ASSERT (seeds != NULL);
        zactor_destroy (&seeds);
    }
    CU_ASSERT (zclock_mono () - start < WAIT_MS);
}

//  -----------------------------------------------------------------------------------------------
//  Gossip

typedef struct {
    zsock_t *registry;
    zactor_t *gossip;
    int port;
} gossip_t;

//  With a peer it does not listen itself, or it might take a port that another one shall keep
static void s_gossip (gossip_t *self, const char *name, const char *cluster, const char *endpoint,
                      int peer)
{
    char connect[64] = "";
    if (peer)
        snprintf (connect, sizeof connect, "tcp://%s:%d", loopback_host (), peer);
    self->registry = s_registry (name);
    umbp_gossip_args_t args = { name, cluster, name, endpoint, NULL, connect, 200 };
    if (!peer)
        args.bind = loopback_tcp ();
    self->gossip = umbp_gossip_new (&args, &self->port);
    CU_ASSERT_FATAL (self->gossip != NULL);
    s_quiet ();
    CU_ASSERT (peer || self->port > 0);
}

static void s_gossip_end (gossip_t *self)
{
    zactor_destroy (&self->gossip);
    zsock_destroy (&self->registry);
}

//  B and C know A alone, and hear of each other; those of another cluster are passed over
static void test_gossip (void)
{
    gossip_t a, b, c, foreign;
    s_gossip (&a, "gossip-a", "test", "tcp://host-a:1", 0);
    s_gossip (&foreign, "gossip-f", "other", "tcp://foreign:1", a.port);
    s_gossip (&b, "gossip-b", "test", "tcp://host-b:1", a.port);
    s_gossip (&c, "gossip-c", "test", "tcp://host-c:1", a.port);
    CU_ASSERT (s_wait (a.registry, "tcp://host-b:1"));
    CU_ASSERT (s_wait (a.registry, "tcp://host-c:1"));
    CU_ASSERT (s_wait (b.registry, "tcp://host-c:1"));
    CU_ASSERT (s_wait (c.registry, "tcp://host-b:1"));
    CU_ASSERT (s_wait (b.registry, "tcp://host-a:1"));  //  Said again, also if it was said before
    s_gossip_end (&c);
    s_gossip_end (&b);
    s_gossip_end (&foreign);
    s_gossip_end (&a);
}

//  Whatever a peer sends, gossip goes on: if zgossip itself did not survive it, by starting it anew
static void test_gossip_garbage (void)
{
    static const byte hostile[][8] = {
        { 0 }, { 0xff, 0xff }, { 0xAA, 0xA0 | 0, 1, 1 }, { 0xAA, 0xA0, 2, 1, 0xff, 0xff },
        { 0xAA, 0xA0, 99 }, { 0xAA, 0xA0, 2, 1, 3, 'x', 'y', 'z' },
    };
    gossip_t a, b;
    s_gossip (&a, "gossip-d", "test", "tcp://host-d:1", 0);
    zsock_t *raw = zsock_new (ZMQ_DEALER);
    zsock_set_linger (raw, 1000);
    CU_ASSERT (zsock_connect (raw, "tcp://%s:%d", loopback_host (), a.port) == 0);
    for (size_t index = 0; index < sizeof hostile / sizeof *hostile; index++)
        for (size_t size = 0; size <= sizeof hostile[index]; size += 2)
            zmq_send (zsock_resolve (raw), hostile[index], size, 0);
    s_gossip (&b, "gossip-e", "test", "tcp://host-e:1", a.port);
    CU_ASSERT (s_wait (a.registry, "tcp://host-e:1"));
    CU_ASSERT (s_wait (b.registry, "tcp://host-d:1"));
    zsock_destroy (&raw);
    s_gossip_end (&b);
    s_gossip_end (&a);
}

static void test_gossip_start_and_stop (void)
{
    int64_t start = zclock_mono ();
    const char *peers = "tcp://127.0.0.1:1,tcp://localhost:2";
    umbp_gossip_args_t args = { "gossip-x", "test", "x", OWN, loopback_tcp (), peers, 0 };
    for (int times = 0; times < TIMES; times++) {
        zactor_t *gossip = umbp_gossip_new (&args, NULL);
        CU_ASSERT (gossip != NULL);
        s_quiet ();
        zactor_destroy (&gossip);
    }
    CU_ASSERT (zclock_mono () - start < WAIT_MS);
    args.bind = "tcp://203.0.113.1:1";                  //  Not our address
    CU_ASSERT_PTR_NULL (umbp_gossip_new (&args, NULL));
    args.bind = NULL;
    args.connect = "tcp://h";
    CU_ASSERT_PTR_NULL (umbp_gossip_new (&args, NULL));
    s_quiet ();
    args.connect = NULL;                                //  Neither is no use, but no error
    zactor_t *gossip = umbp_gossip_new (&args, NULL);
    CU_ASSERT (gossip != NULL);
    s_quiet ();
    zactor_destroy (&gossip);
}

//  -----------------------------------------------------------------------------------------------
//  Beacons

static zactor_t *s_beacon (const char *instance, const char *cluster, const char *endpoint)
{
    umbp_beacon_args_t args = { instance, cluster, endpoint, "umbp0", BEACON_PORT, 50 };
    zactor_t *beacon = umbp_beacon_new (&args);
    CU_ASSERT_FATAL (beacon != NULL);
    return beacon;
}

//  Datagrams that are no beacons, or broken ones of our own cluster
static void s_shout_garbage (void)
{
    int fd = socket (AF_INET, SOCK_DGRAM, 0), on = 1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons (BEACON_PORT) };
    inet_pton (AF_INET, "10.77.0.255", &address.sin_addr);
    CU_ASSERT (setsockopt (fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) == 0);
    static const byte broken[] = { 'f', 'o', 'r', 'e', 'i', 'g', 'n', 0, ':', '1' };
    byte bytes[1000] = { 'U', 'M', 'B', 'P', UMBP_BEACON_VERSION };
    uint64_t hash = XXH3_64bits ("test", 4);
    for (int index = 0; index < 8; index++)
        bytes[5 + index] = (byte) (hash >> (56 - 8 * index));
    memset (bytes + 13, 0xff, sizeof bytes - 13);
    for (size_t size = 0; size <= sizeof bytes; size += 13)
        CU_ASSERT (sendto (fd, bytes, size, 0, (struct sockaddr *) &address, sizeof address) != -1);
    memcpy (bytes + 13, broken, sizeof broken);
    CU_ASSERT (sendto (fd, bytes, 23, 0, (struct sockaddr *) &address, sizeof address) == 23);
    bytes[0] = 'X';
    CU_ASSERT (sendto (fd, bytes, 30, 0, (struct sockaddr *) &address, sizeof address) == 30);
    close (fd);
}

static void test_beacon (void)
{
    if (!s_network) {
        printf ("skipped: no network namespace, ");
        return;
    }
    zsock_t *ours = s_registry ("beacon-a"), *theirs = s_registry ("beacon-b");
    zactor_t *a = s_beacon ("beacon-a", "test", OWN);
    zactor_t *foreign = s_beacon ("beacon-f", "other", "tcp://foreign:1");
    s_shout_garbage ();
    zactor_t *b = s_beacon ("beacon-b", "test", "tcp://10.77.0.2:7710");
    s_shout_garbage ();
    for (int times = 0; times < 3; times++) {
        CU_ASSERT (s_wait (ours, "tcp://10.77.0.2:7710"));
        char endpoint[UMBP_TEXT_MAX + 1];
        CU_ASSERT (s_next (theirs, endpoint));
        CU_ASSERT_STRING_EQUAL (endpoint, OWN);
    }
    zactor_destroy (&b);
    zactor_destroy (&foreign);
    zactor_destroy (&a);
    zsock_destroy (&ours);
    zsock_destroy (&theirs);
}

static void test_beacon_start_and_stop (void)
{
    char large[300];
    snprintf (large, sizeof large, "tcp://h%0243d:1", 0);
    umbp_beacon_args_t args = { "beacon-x", "test", large, "nowhere0", BEACON_PORT, 50 };
    CU_ASSERT_PTR_NULL (umbp_beacon_new (&args));       //  Too long
    args.endpoint = OWN;
    CU_ASSERT_PTR_NULL (umbp_beacon_new (&args));       //  No such interface
    args.interface = "lo";
    CU_ASSERT_PTR_NULL (umbp_beacon_new (&args));       //  That one has no broadcast
    args.port = 0;
    CU_ASSERT_PTR_NULL (umbp_beacon_new (&args));
    args.port = BEACON_PORT;
    if (!s_network) {
        printf ("skipped in part: no network namespace, ");
        return;
    }
    args.interface = NULL;                              //  The system's choice
    int64_t start = zclock_mono ();
    for (int times = 0; times < TIMES; times++) {
        zactor_t *beacon = umbp_beacon_new (&args);
        CU_ASSERT (beacon != NULL);
        zactor_destroy (&beacon);
    }
    CU_ASSERT (zclock_mono () - start < WAIT_MS);
}

//  A network of our own: nothing we shout is heard outside. Before any thread is there.
static bool s_enter_network (void)
{
    return (unshare (CLONE_NEWNET) == 0 || unshare (CLONE_NEWUSER | CLONE_NEWNET) == 0)
           && system ("exec 2>/dev/null; ip link set lo up"
                      " && ip link add umbp0 type veth peer name umbp1"
                      " && ip addr add 10.77.0.1/24 brd 10.77.0.255 dev umbp0"
                      " && ip link set umbp0 up && ip link set umbp1 up")
                  == 0;
}

#if defined(__SANITIZE_THREAD__)
//  Long enough for it to know that a message was handed over by libzmq, see deploy/tsan.supp
const char *__tsan_default_options (void);

const char *__tsan_default_options (void)
{
    return "history_size=7";
}

//  zbeacon and zgossip hand strings over inside czmq, by way of libzmq
const char *__tsan_default_suppressions (void);

const char *__tsan_default_suppressions (void)
{
    return "race:zframe_strdup\nrace:zframe_data\nrace:zframe_new\n";
}
#endif

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IONBF, 0);
    s_network = s_enter_network ();
    s_quiet ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("discovery", NULL, NULL);
    CU_ADD_TEST (suite, test_endpoints);
    CU_ADD_TEST (suite, test_resolve);
    CU_ADD_TEST (suite, test_list);
    CU_ADD_TEST (suite, test_seeds);
    CU_ADD_TEST (suite, test_seeds_start_and_stop);
    CU_ADD_TEST (suite, test_gossip);
    CU_ADD_TEST (suite, test_gossip_garbage);
    CU_ADD_TEST (suite, test_gossip_start_and_stop);
    CU_ADD_TEST (suite, test_beacon);
    CU_ADD_TEST (suite, test_beacon_start_and_stop);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

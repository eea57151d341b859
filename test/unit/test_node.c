//  test/unit/test_node.c - the options of a node: what is refused, and that what is not can start;
//  how nodes of one process are told apart; and what their doors are called
#include <CUnit/Basic.h>
#include <czmq.h>
#include <sys/stat.h>

#include "actors/umbp_node.h"
#include "client/umbp.h"
#include "proto/types.h"
#include "test/unit/loopback.h"

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)
#define TIB (1024 * 1024 * MIB)
#define DOOR_PATH_MAX 107

//  A node of little memory on any port, which nobody else finds
static umbp_node_options_t s_small (void)
{
    umbp_node_options_t options;
    umbp_node_options_init (&options);
    snprintf (options.cluster, sizeof options.cluster, "test-node-%d", (int) getpid ());
    snprintf (options.node, sizeof options.node, "a");
    snprintf (options.listen, sizeof options.listen, "%s", loopback_tcp ());
    options.dram_bytes = options.region_bytes = MIB;
    options.page_bytes = 4 * KIB;
    options.index_keys = options.kv_hashes = 1000;
    options.log_level = 0;
    return options;
}

//  What is said about options; "" if they will do
static const char *s_why (const umbp_node_options_t *options)
{
    static char why[UMBP_TEXT_MAX];
    why[0] = 0;
    int rc = umbp_node_options_check (options, why, sizeof why);
    CU_ASSERT (rc == (*why ? UMBP_EINVAL : 0));
    CU_ASSERT (umbp_node_options_check (options, NULL, 0) == rc);
    return why;
}

//  One member of the options of s_small has this value. Then they are refused for this reason, or
//  fine if that is "".
#define JUDGE(member, value, reason)                          \
    do {                                                      \
        umbp_node_options_t judged = s_small ();              \
        judged.member = value;                                \
        CU_ASSERT_STRING_EQUAL (s_why (&judged), reason);     \
    } while (0)

#define JUDGE_TEXT(member, value, reason)                     \
    do {                                                      \
        umbp_node_options_t judged = s_small ();              \
        CU_ASSERT_FATAL (sizeof judged.member > strlen (value)); \
        memcpy (judged.member, value, strlen (value) + 1);    \
        CU_ASSERT_STRING_EQUAL (s_why (&judged), reason);     \
    } while (0)

static void test_numbers (void)
{
    JUDGE (index_keys, 0, "index_keys: allowed are 1 to 4294967295");
    JUDGE (index_keys, UINT32_MAX, "");
    JUDGE (index_keys, UINT64_C (1) << 32, "index_keys: allowed are 1 to 4294967295");
    JUDGE (kv_hashes, 0, "kv_hashes: allowed are 1 to 268435456");
    JUDGE (kv_hashes, 1 << 28, "");
    JUDGE (kv_hashes, (1 << 28) + 1, "kv_hashes: allowed are 1 to 268435456");
    JUDGE (kv_hashes, UINT32_MAX, "kv_hashes: allowed are 1 to 268435456");
    JUDGE (spin_us, 1000000, "");
    JUDGE (spin_us, 1000001, "spin_us: allowed are 0 to 1000000");
    JUDGE (log_level, 4, "log_level: allowed are 0 to 3");
    JUDGE (bulk_port, 65536, "bulk_port: allowed are 0 to 65535");
    JUDGE (beacon_port, 65536, "beacon_port: allowed are 0 to 65535");
    JUDGE (heartbeat_ms, 9, "heartbeat_ms: allowed are 10 to 60000");
    JUDGE (heartbeat_ms, 60001, "heartbeat_ms: allowed are 10 to 60000");
    JUDGE (heartbeat_ms, 1001, "suspect_ms: must be at least 3 times heartbeat_ms");
    JUDGE (gone_ms, 2999, "gone_ms: must be at least suspect_ms");
    JUDGE (copies, 4, "copies: allowed are 1 to 3");
    JUDGE (vnodes, 4097, "vnodes: allowed are 1 to 4096");
    JUDGE (evict_low, 90, "evict_low, evict_high: must be 1 <= low < high <= 100");
    JUDGE (slot_ttl_ms, 99, "slot_ttl_ms, lease_ttl_ms: must be 100 or more");
}

static void test_memory (void)
{
    JUDGE (page_bytes, 4097, "page_bytes: allowed are multiples of 4 KiB up to 1 GiB");
    JUDGE (page_bytes, 2 * MIB, "dram_bytes, region_bytes: must hold one page at least");
    JUDGE (dram_bytes, 64 * MIB, "");
    JUDGE (dram_bytes, 64 * MIB + 1,
           "region_bytes: too small, dram_bytes would need more than 64 regions");
    JUDGE (dram_bytes, UINT64_MAX,
           "region_bytes: too small, dram_bytes would need more than 64 regions");
    //  Pages are counted in 32 bits
    umbp_node_options_t options = s_small ();
    options.region_bytes = TIB;
    options.dram_bytes = 16 * TIB - 512 * MIB;
    CU_ASSERT_STRING_EQUAL (s_why (&options), "");
    options.dram_bytes = 16 * TIB;
    CU_ASSERT_STRING_EQUAL (s_why (&options), "page_bytes: too small, dram_bytes would need more "
                                              "than 4294901760 pages");
    options.page_bytes = 8 * KIB;
    CU_ASSERT_STRING_EQUAL (s_why (&options), "");
}

static void test_texts (void)
{
    JUDGE_TEXT (node, "no spaces", "node: allowed are 1 to 64 of A-Z a-z 0-9 . _ -");
    JUDGE_TEXT (cluster, "", "cluster: allowed are 1 to 64 of A-Z a-z 0-9 . _ -");
    JUDGE_TEXT (listen, "udp://127.0.0.1:1", "listen: must be tcp://host:port, port * for any");
    JUDGE_TEXT (listen, "tcp://*:7710",
                "advertise: needed when listen is all interfaces: tcp://host:port");
    JUDGE_TEXT (advertise, "tcp://*:7710", "advertise: must be tcp://host:port");
    JUDGE_TEXT (strategy, "random", "strategy: allowed are local, most_free, weighted, same");
    JUDGE_TEXT (seeds, "tcp://a:1,tcp://[::1]:2", "");
    JUDGE_TEXT (seeds, "tcp://a:1,tcp://*:2", "seeds: must be tcp://host:port,... of single hosts");
    JUDGE_TEXT (seeds, " , ", "seeds: must be tcp://host:port,... of single hosts");
    JUDGE_TEXT (gossip_connect, "tcp://0.0.0.0:2",
                "gossip_connect: must be tcp://host:port,... of single hosts");
}

//  The same for all numbers at the far ends of their ranges, as far as a small machine can
static void test_ends_start (void)
{
    umbp_node_options_t options = s_small ();
    options.index_keys = UINT32_MAX;
    options.heartbeat_ms = 60000;
    options.suspect_ms = options.gone_ms = 180000;
    options.vnodes = 4096;
    options.copies = 3;
    options.page_bytes = options.dram_bytes;
    options.evict_high = 100;
    options.evict_low = 99;
    options.slot_ttl_ms = options.lease_ttl_ms = UINT32_MAX;
    int err = 1;
    umbp_node_t *node = umbp_node_new (&options, &err);
    CU_ASSERT (node != NULL && err == 0);
    umbp_node_destroy (&node);
    CU_ASSERT_PTR_NULL (node);
    options = s_small ();
    options.index_keys = options.kv_hashes = options.vnodes = options.copies = 1;
    options.heartbeat_ms = 10;
    options.suspect_ms = options.gone_ms = 30;
    options.evict_high = 2;
    options.evict_low = 1;
    options.slot_ttl_ms = options.lease_ttl_ms = 100;
    node = umbp_node_new (&options, &err);
    CU_ASSERT (node != NULL && err == 0);
    umbp_node_destroy (&node);
}

//  An interface in place of an address: bulk bytes are served there too
static void test_listens_on_an_interface (void)
{
    umbp_node_options_t options = s_small ();
    snprintf (options.listen, sizeof options.listen, "tcp://lo:*");
    umbp_node_t *node = umbp_node_new (&options, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (node);
    CU_ASSERT (strncmp (umbp_node_endpoint (node), "tcp://127.0.0.1:", 16) == 0);
    umbp_options_t how = { .endpoints = umbp_node_endpoint (node), .no_shm = true };
    umbp_t *pool = umbp_connect (&how, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    static char block[200000], back[sizeof block];
    memset (block, 'x', sizeof block);
    int rc;                             //  It is tried again until all actors know the memory
    while ((rc = umbp_put (pool, "large", block, sizeof block)) == UMBP_EAGAIN)
        ;
    CU_ASSERT (rc == 0);
    CU_ASSERT (umbp_get (pool, "large", back, sizeof back) == (long) sizeof back);
    CU_ASSERT (memcmp (block, back, sizeof back) == 0);
    umbp_close (&pool);
    umbp_node_destroy (&node);
}

//  Whoever still holds the address of a node that is gone reaches no other
static void test_instances_never_repeat (void)
{
    enum { ROUNDS = 8 };
    char seen[ROUNDS][UMBP_TEXT_MAX];
    umbp_node_options_t options = s_small ();
    for (int round = 0; round < ROUNDS; round++) {
        umbp_node_t *node = umbp_node_new (&options, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL (node);
        snprintf (seen[round], sizeof seen[round], "%s", umbp_node_endpoint_inproc (node));
        umbp_node_destroy (&node);
        for (int other = 0; other < round; other++)
            CU_ASSERT_STRING_NOT_EQUAL (seen[round], seen[other]);
    }
}

//  ------------------------------------------------------------------------------------------------
//  Doors

//  A folder of this run, with a name of so many bytes in it
static void s_fill_run_dir (umbp_node_options_t *options, const char *room, size_t bytes)
{
    CU_ASSERT_FATAL (bytes > strlen (room) + 1 && bytes < sizeof options->run_dir);
    memset (options->run_dir, 'x', bytes);
    options->run_dir[bytes] = 0;
    memcpy (options->run_dir, room, strlen (room));
    options->run_dir[strlen (room)] = '/';
}

//  How long a run_dir may be follows from the name of the node, and just so long a one will do
static void test_run_dir_is_as_long_as_can_be (void)
{
    char room[] = "/tmp/umbp-test-XXXXXX", path[UMBP_TEXT_MAX], wanted[UMBP_TEXT_MAX];
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (room));
    umbp_node_options_t options = s_small ();
    size_t most = DOOR_PATH_MAX - strlen ("/a/tier:dram.sock");
    s_fill_run_dir (&options, room, most + 1);
    CU_ASSERT_STRING_EQUAL (s_why (&options), "run_dir: run_dir/a/tier:dram.sock has 108 bytes, "
                                              "a UNIX socket path has at most 107");
    CU_ASSERT_PTR_NULL (umbp_node_new (&options, NULL));

    s_fill_run_dir (&options, room, most);
    CU_ASSERT_STRING_EQUAL (s_why (&options), "");
    umbp_node_t *node = umbp_node_new (&options, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (node);
    snprintf (path, sizeof path, "%s/a/tier:dram.sock", options.run_dir);
    struct stat status;
    CU_ASSERT (strlen (path) == DOOR_PATH_MAX);
    CU_ASSERT (stat (path, &status) == 0 && S_ISSOCK (status.st_mode));
    umbp_node_destroy (&node);
    CU_ASSERT (rmdir (options.run_dir) == 0);        //  And nothing is left in it

    //  Without an id it is the name made of host and port, or of host and time
    char host[41] = "";
    gethostname (host, 40);
    options.node[0] = 0;
    snprintf (options.listen, sizeof options.listen, "tcp://127.0.0.1:7710");
    snprintf (wanted, sizeof wanted, "run_dir: run_dir/%s-7710/tier:dram.sock has 108 bytes, ",
              host);
    most = DOOR_PATH_MAX - strlen ("/") - strlen (host) - strlen ("-7710/tier:dram.sock");
    s_fill_run_dir (&options, room, most + 1);
    CU_ASSERT (strncmp (s_why (&options), wanted, strlen (wanted)) == 0);
    s_fill_run_dir (&options, room, most);
    CU_ASSERT_STRING_EQUAL (s_why (&options), "");
    snprintf (options.listen, sizeof options.listen, "tcp://127.0.0.1:*");
    CU_ASSERT (strstr (s_why (&options), "has 116 bytes") != NULL);
    rmdir (room);
}

//  What fails late at the start is an error too
static void test_says_why_it_cannot_start (void)
{
    char room[] = "/tmp/umbp-test-XXXXXX", path[UMBP_TEXT_MAX];
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (room));
    umbp_node_options_t options = s_small ();
    snprintf (options.run_dir, sizeof options.run_dir, "%s", room);
    snprintf (path, sizeof path, "%s/a", room);
    CU_ASSERT (mkdir (path, 0700) == 0);
    snprintf (path, sizeof path, "%s/a/extkv.sock", room);   //  Somebody put a folder there
    CU_ASSERT (mkdir (path, 0700) == 0);
    int err = 1;
    umbp_node_t *node = umbp_node_new (&options, &err);
    CU_ASSERT_PTR_NULL (node);
    CU_ASSERT (err == UMBP_EIO);
    rmdir (path);
    snprintf (path, sizeof path, "%s/a", room);
    rmdir (path);
    CU_ASSERT (rmdir (room) == 0);
}

int main (void)
{
    alarm (120);
    zsys_set_logstream (NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("node", NULL, NULL);
    CU_ADD_TEST (suite, test_numbers);
    CU_ADD_TEST (suite, test_memory);
    CU_ADD_TEST (suite, test_texts);
    CU_ADD_TEST (suite, test_ends_start);
    CU_ADD_TEST (suite, test_listens_on_an_interface);
    CU_ADD_TEST (suite, test_instances_never_repeat);
    CU_ADD_TEST (suite, test_run_dir_is_as_long_as_can_be);
    CU_ADD_TEST (suite, test_says_why_it_cannot_start);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

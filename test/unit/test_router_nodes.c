//  test/unit/test_router_nodes.c - a cluster of three nodes as a client without a library sees it: two of them
//  in this process, and one in another, which dies. All through raw messages to the links.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "actors/umbp_node.h"
#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"
#include "cluster/bulk/tcp_auth.h"
#include "cluster/bulk/tcp_client.h"
#include "actors/placement.h"
#include "test/unit/loopback.h"
#include "test/unit/peer.h"

#define NODES 3
#define OTHER 2                         //  The node in another process
#define PAGE 4096
#define DRAM_BYTES (4 << 20)
#define DEADLINE_MS 4000
#define MEET_MS 30000
#define SESSION 5

static pid_t s_child;
static char s_child_endpoint[256];
static umbp_node_t *s_nodes[NODES];     //  The last one is not ours
static asker_t s_clients[NODES];
static asker_t *s_got;                  //  Who got the last answer
static words_t s_words;
static uint8_t s_data[1 << 16];

//  --------------------------------------------------------------------------------------------------
//  Nodes

static umbp_node_t *s_node (int number, const char *seeds, pid_t cluster)
{
    umbp_node_options_t options;
    umbp_node_options_init (&options);
    snprintf (options.node, sizeof options.node, "node-%d", number);
    snprintf (options.cluster, sizeof options.cluster, "routers-%d", (int) cluster);
    snprintf (options.listen, sizeof options.listen, "%s", loopback_tcp ());
    snprintf (options.seeds, sizeof options.seeds, "%s", seeds);
    options.heartbeat_ms = 100;
    options.suspect_ms = 2000;
    options.gone_ms = 6000;
    options.dram_bytes = DRAM_BYTES;
    options.region_bytes = DRAM_BYTES / 2;
    options.page_bytes = PAGE;
    options.index_keys = 10000;
    options.kv_hashes = 1000;
    options.log_level = 0;
    return umbp_node_new (&options, NULL);
}

//  The other process: says where its node listens, and lives until it is killed
static void s_live (int out, pid_t cluster)
{
    umbp_node_t *node = s_node (OTHER, "", cluster);
    const char *endpoint = node ? umbp_node_endpoint (node) : "";
    if (write (out, endpoint, strlen (endpoint) + 1) < 0 || !node)
        _exit (1);
    for (;;)
        pause ();
}

//  Before anything here has a thread
static void s_start_other (void)
{
    int ends[2], rc = pipe (ends);
    pid_t cluster = getpid ();
    assert (rc == 0);
    s_child = fork ();
    if (s_child == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);                   //  Whatever becomes of us
        s_live (ends[1], cluster);
    }
    close (ends[1]);
    ssize_t size = read (ends[0], s_child_endpoint, sizeof s_child_endpoint - 1);
    assert (size > 6);
    close (ends[0]);
}

static void s_client_start (int number, const char *endpoint)
{
    memset (&s_clients[number], 0, sizeof s_clients[number]);
    s_clients[number].sock = zsock_new (ZMQ_DEALER);
    zsock_set_linger (s_clients[number].sock, 0);
    CU_ASSERT_FATAL (zsock_connect (s_clients[number].sock, "%s", endpoint) == 0);
}

//  --------------------------------------------------------------------------------------------------
//  Messages

//  Ask an actor of the cluster by way of a node. Returns the status, or 1 if no answer came in time.
static int s_ask (int way, const char *address, umbp_msg_t *msg, const void *payload, size_t size)
{
    s_got = &s_clients[way];
    msg->id = ++s_got->last_id;
    msg->deadline_ms = DEADLINE_MS;
    zmq_send (zsock_resolve (s_got->sock), address, strlen (address), ZMQ_SNDMORE);
    zmq_send (zsock_resolve (s_got->sock), "", 0, ZMQ_SNDMORE);
    mail_send (s_got->sock, msg, payload, size);
    while (mail_recv (&s_got->mail, s_got->sock, DEADLINE_MS + 500)) {
        CU_ASSERT_FATAL (s_got->mail.count >= 3);
        zmq_msg_t *frame = &s_got->mail.frames[2];
        CU_ASSERT (umbp_msg_decode (&s_got->msg, zmq_msg_data (frame), zmq_msg_size (frame)) > 0);
        bool more = s_got->mail.count > 3;
        s_got->payload = more ? zmq_msg_data (&s_got->mail.frames[3]) : NULL;
        s_got->payload_size = more ? zmq_msg_size (&s_got->mail.frames[3]) : 0;
        if (s_got->msg.id == s_got->last_id)
            return s_got->msg.status;
    }
    return 1;
}

//  Put one block as payload. Returns its status.
static int s_put_by (int way, const char *key, const void *data, uint32_t size,
                     umbp_place_strategy_t strategy)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_put, 0);
    msg.put.keys = words (&s_words, key);
    msg.put.sizes = (umbp_u32s_t) { &size, 1 };
    msg.put.strategy = strategy;
    int rc = s_ask (way, "router", &msg, data, size);
    return rc == 0 ? umbp_s8s_at (s_got->msg.put_ok.statuses, 0) : rc;
}

static int s_put (int way, const char *key, const void *data, uint32_t size)
{
    return s_put_by (way, key, data, size, UMBP_PLACE_LOCAL);
}

//  Get one block as payload. Returns its status, UMBP_ECHECKSUM if it is another one.
static int s_get (int way, const char *key, const void *data, uint32_t size)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_get, 0);
    msg.get.keys = words (&s_words, key);
    msg.get.inline_max = UMBP_INLINE_MAX;
    int rc = s_ask (way, "router", &msg, NULL, 0);
    rc = rc == 0 ? umbp_s8s_at (s_got->msg.get_ok.statuses, 0) : rc;
    if (rc == 0 && (s_got->payload_size != size || memcmp (s_got->payload, data, size) != 0))
        rc = UMBP_ECHECKSUM;
    return rc;
}

static int s_remove (int way, const char *key)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_remove, 0);
    msg.remove.keys = words (&s_words, key);
    int rc = s_ask (way, "router", &msg, NULL, 0);
    return rc == 0 ? umbp_s8s_at (s_got->msg.remove_ok.statuses, 0) : rc;
}

//  How many nodes have a block, by their own word; an error if nobody knows
static int s_where (int way, const char *key)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_where, 0);
    msg.where.keys = words (&s_words, key);
    int rc = s_ask (way, "router", &msg, NULL, 0);
    rc = rc == 0 ? umbp_s8s_at (s_got->msg.where_ok.statuses, 0) : rc;
    return rc == 0 ? umbp_u8s_at (s_got->msg.where_ok.counts, 0) : rc;
}

//  Put it on this very node. That may take a while: others are asked until it has said that it has room.
static bool s_put_here (int way, const char *key, const void *data, uint32_t size)
{
    char node[16];
    snprintf (node, sizeof node, "node-%d", way);
    int64_t end = zclock_mono () + MEET_MS;
    while (zclock_mono () < end) {
        if (s_put (way, key, data, size) == 0 && s_where (way, key) == 1
            && column_is (s_got->msg.where_ok.nodes, 0, node))
            return true;
        s_remove (way, key);
    }
    return false;
}

//  Wait until a block is said to have so many copies
static bool s_has_copies (int way, const char *key, int count)
{
    int64_t end = zclock_mono () + MEET_MS;
    while (zclock_mono () < end)
        if (s_where (way, key) == count)
            return true;
    return false;
}

//  Members in the ring, and alive, as a node sees it
static uint32_t s_members (int way)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_topology, 0);
    if (s_ask (way, "registry", &msg, NULL, 0) != 0)
        return 0;
    const umbp_msg_topology_ok_t *topology = &s_got->msg.topology_ok;
    uint32_t count = 0;
    for (size_t index = 0; index < topology->nodes.count; index++)
        count += umbp_u8s_at (topology->states, index) == UMBP_MEMBER_ALIVE
                 && umbp_u8s_at (topology->rings, index);
    return count;
}

static bool s_meet (int ways, uint32_t count)
{
    int64_t end = zclock_mono () + MEET_MS;
    for (int way = 0; way < ways; way++)
        while (s_members (way) != count)
            if (zclock_mono () > end)
                return false;
    return true;
}

//  Blocks and pages of a node's tier
static uint64_t s_gauge (int way, const char *address, const char *name)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    if (s_ask (way, address, &msg, NULL, 0) != 0)
        return UINT64_MAX;
    for (size_t index = 0; index < s_got->msg.stat_ok.names.count; index++)
        if (column_is (s_got->msg.stat_ok.names, index, name))
            return umbp_u64s_at (s_got->msg.stat_ok.values, index);
    return 0;
}

static bool s_clear (void)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_clear, 0);
    msg.clear.everywhere = true;
    return s_ask (0, "router", &msg, NULL, 0) == 0;
}

//  --------------------------------------------------------------------------------------------------

static void test_meet (void)
{
    for (int number = 0; number < OTHER; number++) {
        s_nodes[number] = s_node (number, s_child_endpoint, getpid ());
        CU_ASSERT_PTR_NOT_NULL_FATAL (s_nodes[number]);
        s_client_start (number, umbp_node_endpoint_inproc (s_nodes[number]));
    }
    s_client_start (OTHER, s_child_endpoint);
    CU_ASSERT_FATAL (s_meet (NODES, NODES));
    int64_t end = zclock_mono () + MEET_MS;
    for (int way = 0; way < NODES; way++)                    //  Its router has heard of it too
        while (s_put (way, "probe", s_data, 1) != 0 && zclock_mono () < end)
            s_remove (way, "probe");
    CU_ASSERT_FATAL (s_clear ());
}

//  Put on each, got from each, at once
static void test_put_and_get (void)
{
    for (int number = 0; number < 30; number++) {
        char key[16];
        uint32_t size = (uint32_t) number * 2000 + 1;
        snprintf (key, sizeof key, "key%d", number);
        CU_ASSERT (s_put (number % NODES, key, s_data + number, size) == 0);
        for (int way = 0; way < NODES; way++)
            CU_ASSERT (s_get (way, key, s_data + number, size) == 0);
        CU_ASSERT (s_put ((number + 1) % NODES, key, s_data, size) == UMBP_EEXIST);
    }
    CU_ASSERT (s_get (0, "nobody", s_data, 1) == UMBP_ENOENT);
    CU_ASSERT (s_clear ());
}

static void test_exists_where_remove (void)
{
    umbp_msg_t msg;
    CU_ASSERT (s_put_here (0, "k1", s_data, 100) && s_put_here (1, "k2", s_data, 100));
    CU_ASSERT (s_put_here (2, "k4", s_data, 100));
    for (int way = 0; way < NODES; way++) {
        umbp_msg_init (&msg, UMBP_MSG_exists, 0);
        msg.exists.keys = words (&s_words, "k1 k2 k3 k4");
        CU_ASSERT (s_ask (way, "router", &msg, NULL, 0) == 0);
        static const int8_t wanted[] = { 1, 1, 0, 1 };
        for (size_t index = 0; index < 4; index++)
            CU_ASSERT (umbp_s8s_at (s_got->msg.exists_ok.found, index) == wanted[index]);
        CU_ASSERT (s_got->msg.exists_ok.prefix == 2);
        CU_ASSERT (s_where (way, "k2") == 1);
        CU_ASSERT (column_is (s_got->msg.where_ok.nodes, 0, "node-1"));
        CU_ASSERT (umbp_u32s_at (s_got->msg.where_ok.sizes, 0) == 100);
        CU_ASSERT (s_where (way, "k3") == UMBP_ENOENT);
    }
    CU_ASSERT (s_remove (2, "k1") == 0 && s_get (0, "k1", s_data, 100) == UMBP_ENOENT);
    CU_ASSERT (s_remove (0, "k4") == 0 && s_get (2, "k4", s_data, 100) == UMBP_ENOENT);
    CU_ASSERT (s_remove (0, "k3") == UMBP_ENOENT);
    CU_ASSERT (s_get (2, "k2", s_data, 100) == 0);
    CU_ASSERT (s_clear ());
    CU_ASSERT (s_got->msg.clear_ok.blocks == 1 && s_got->msg.clear_ok.bytes == 100);
    CU_ASSERT (s_get (2, "k2", s_data, 100) == UMBP_ENOENT);
}

//  A session that no node has heard of writes over tcp, and reads from another node
static void test_slots (void)
{
    uint32_t size = 300000;
    uint8_t *data = zmalloc (size), *out = zmalloc (size);
    memcpy (data, s_data, sizeof s_data);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_put, 0);
    msg.put.session = SESSION;
    msg.put.strategy = UMBP_PLACE_LOCAL;
    msg.put.keys = words (&s_words, "large");
    msg.put.sizes = (umbp_u32s_t) { &size, 1 };
    CU_ASSERT (s_ask (1, "router", &msg, NULL, 0) == 0);
    const umbp_msg_put_ok_t *put = &s_got->msg.put_ok;
    CU_ASSERT (umbp_s8s_at (put->statuses, 0) == 0 && column_is (put->nodes, 0, "node-1"));
    CU_ASSERT (umbp_u32s_at (put->page_sizes, 0) == PAGE && umbp_u8s_at (put->tiers, 0) == 2);
    uint64_t slot = umbp_u64s_at (put->slots, 0), sum = umbp_sum (data, size);
    char bulk[256];
    umbp_text_copy ((umbp_text_t){ (const char *) put->bulks.bytes, put->bulks.size }, bulk,
                    sizeof bulk);
    int64_t deadline_ms = umbp_clock_ms () + DEADLINE_MS;
    CU_ASSERT_EQUAL_FATAL (put->bulk_keys.size, UMBP_BULK_KEY_BYTES);
    const umbp_bulk_peer_t peer = { bulk, umbp_bulk_alias (SESSION), put->bulk_keys.data };
    umbp_bulk_client_t *client = umbp_bulk_client_new (&peer, deadline_ms, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (client);
    umbp_piece_t piece = { data, size };
    umbp_bulk_io_t io = { .token = slot, .pieces = &piece, .piece_count = 1 };
    int status;
    CU_ASSERT (umbp_bulk_client_write (client, &io, 1, &status, deadline_ms) == 1);
    CU_ASSERT (s_get (0, "large", data, size) == UMBP_ENOENT);
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.commit.slots = (umbp_u64s_t) { &slot, 1 };
    msg.commit.sums = (umbp_u64s_t) { &sum, 1 };
    CU_ASSERT (s_ask (0, "tier:dram@node-2", &msg, NULL, 0) == 0);     //  Somebody else's
    CU_ASSERT (umbp_s8s_at (s_got->msg.commit_ok.statuses, 0) == UMBP_ESTALE);
    CU_ASSERT (s_ask (0, "tier:dram@node-1", &msg, NULL, 0) == 0);
    CU_ASSERT (umbp_s8s_at (s_got->msg.commit_ok.statuses, 0) == 0);

    CU_ASSERT (s_get (0, "large", data, size) == UMBP_ETOOBIG);        //  It cannot come as payload
    umbp_msg_init (&msg, UMBP_MSG_get, 0);
    msg.get.session = SESSION;
    msg.get.keys = words (&s_words, "large");
    CU_ASSERT (s_ask (2, "router", &msg, NULL, 0) == 0);
    const umbp_msg_get_ok_t *get = &s_got->msg.get_ok;
    CU_ASSERT (umbp_s8s_at (get->statuses, 0) == 0 && umbp_u64s_at (get->sums, 0) == sum);
    CU_ASSERT (umbp_u32s_at (get->sizes, 0) == size && column_is (get->nodes, 0, "node-1"));
    io.token = umbp_u64s_at (get->leases, 0);
    piece.base = out;
    CU_ASSERT (umbp_bulk_client_read (client, &io, 1, &status, deadline_ms) == 1);
    CU_ASSERT (memcmp (data, out, size) == 0);
    umbp_msg_init (&msg, UMBP_MSG_release, 0);
    msg.release.leases = (umbp_u64s_t) { &io.token, 1 };
    CU_ASSERT (s_ask (2, "tier:dram@node-1", &msg, NULL, 0) == 0);
    umbp_bulk_client_destroy (&client);
    free (data);
    free (out);
    CU_ASSERT (s_clear () && s_gauge (0, "tier:dram@node-1", "used_bytes") == 0);
}

static void test_strategies (void)
{
    for (int strategy = UMBP_PLACE_LOCAL; strategy <= UMBP_PLACE_SAME; strategy++)
        for (int number = 0; number < 20; number++) {
            char key[32];
            snprintf (key, sizeof key, "s%d-%d", strategy, number);
            CU_ASSERT (s_put_by (1, key, s_data, PAGE, (umbp_place_strategy_t) strategy) == 0);
            CU_ASSERT (s_get (number % NODES, key, s_data, PAGE) == 0);
        }
    uint64_t blocks[NODES], total = 0;
    for (int node = 0; node < NODES; node++) {
        char address[32];
        snprintf (address, sizeof address, "tier:dram@node-%d", node);
        total += blocks[node] = s_gauge (0, address, "blocks");
    }
    CU_ASSERT (total == 80 && blocks[1] >= 20 && blocks[0] > 0 && blocks[2] > 0);
    CU_ASSERT (s_clear ());
}

//  One key, two contents, past the routers: one of them wins, everywhere
static void test_two_writers (void)
{
    for (int turn = 0; turn < 10; turn++) {
        char key[16];
        snprintf (key, sizeof key, "race%d", turn);
        int rc[2];
        for (int node = 0; node < 2; node++) {
            const uint8_t *data = s_data + 100 * (node ^ turn % 2);
            uint32_t size = 100;
            uint64_t sum = umbp_sum (data, size);
            umbp_msg_t msg;
            umbp_msg_init (&msg, UMBP_MSG_store, 0);
            msg.store.keys = words (&s_words, key);
            msg.store.sizes = (umbp_u32s_t) { &size, 1 };
            msg.store.sums = (umbp_u64s_t) { &sum, 1 };
            CU_ASSERT (s_ask (2, node ? "tier:dram@node-1" : "tier:dram@node-0", &msg, data, size)
                       == 0);
            rc[node] = umbp_s8s_at (s_got->msg.store_ok.statuses, 0);
        }
        CU_ASSERT (rc[0] == 0 && (rc[1] == UMBP_EEXIST || rc[1] == 0));
        CU_ASSERT (s_has_copies (2, key, 1));
        //  The first owner on the ring decides, and may hear of the second writer first: whoever
        //  wins there wins everywhere
        const uint8_t *winner = s_get (0, key, s_data, 100) == 0 ? s_data : s_data + 100;
        for (int way = 0; way < NODES; way++) {
            int64_t end = zclock_mono () + DEADLINE_MS;
            while (s_get (way, key, winner, 100) != 0 && zclock_mono () < end)
                ;                       //  Its word may come a moment later
            CU_ASSERT (s_get (way, key, winner, 100) == 0);
        }
    }
    CU_ASSERT (s_clear ());
}

static void test_bad_input (void)
{
    static uint8_t long_key[UMBP_KEY_MAX + 1];
    uint32_t size = 10;
    umbp_msg_t msg;
    uint64_t malformed = s_gauge (0, "router", "malformed");
    umbp_msg_init (&msg, UMBP_MSG_put, 0);
    memset (&s_words.column, 0, sizeof s_words.column);
    words_add (&s_words, long_key, sizeof long_key);
    msg.put.keys = s_words.column;
    msg.put.sizes = (umbp_u32s_t) { &size, 1 };
    CU_ASSERT (s_ask (0, "router", &msg, s_data, 10) < 0);
    CU_ASSERT (s_got->msg.type == UMBP_MSG_refused && s_got->msg.refused.reason.size > 0);
    msg.put.keys = words (&s_words, "k1 k2");
    CU_ASSERT (s_ask (0, "router", &msg, s_data, 10) < 0);
    CU_ASSERT (s_gauge (0, "router", "malformed") == malformed + 2);
    CU_ASSERT (s_put (0, "k1", s_data, 0) == UMBP_EINVAL);
    CU_ASSERT (s_ask (0, "nobody", &msg, NULL, 0) < 0);
    CU_ASSERT (s_ask (0, "router@nowhere", &msg, NULL, 0) < 0);
    CU_ASSERT (s_put (0, "k1", s_data, 10) == 0 && s_get (1, "k1", s_data, 10) == 0);
    CU_ASSERT (s_clear ());
}

//  --------------------------------------------------------------------------------------------------
//  The end of nodes

//  A replica on another node, by request
static int s_copy (int to, const char *keys, const char *from)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_copy, 0);
    msg.copy.keys = words (&s_words, keys);
    msg.copy.node = umbp_text (from);
    msg.copy.tier = UMBP_TIER_DRAM;
    int rc = s_ask (to, "migrator", &msg, NULL, 0);
    return rc == 0 ? umbp_s8s_at (s_got->msg.copy_ok.statuses, 0) : rc;
}

//  The registry knows first who is gone; until the router and the index have heard, it is out of reach
static bool s_becomes_miss (int way, const char *key)
{
    int64_t end = zclock_mono () + MEET_MS;
    while (zclock_mono () < end)
        if (s_get (way, key, s_data, 1) == UMBP_ENOENT)
            return true;
    return false;
}

//  A node dies without a word. What it alone had is out of reach, in time, and later a miss; what has a
//  replica is got; all else goes on.
static void test_node_dies (void)
{
    CU_ASSERT (s_put_here (OTHER, "lost", s_data, 5000));
    CU_ASSERT (s_put_here (OTHER, "saved", s_data + 1, 5000));
    CU_ASSERT (s_put_here (0, "here", s_data + 2, 5000));
    CU_ASSERT (s_copy (1, "saved", "node-2") == 0);
    CU_ASSERT (s_copy (1, "nobody", "node-2") == UMBP_ENOENT);
    CU_ASSERT (s_has_copies (0, "saved", 2) && s_where (0, "lost") == 1);
    kill (s_child, SIGKILL);
    CU_ASSERT (waitpid (s_child, NULL, 0) == s_child);
    s_child = 0;
    asker_end (&s_clients[OTHER]);
    int64_t began = zclock_mono ();
    int rc = s_get (0, "lost", s_data, 5000);
    CU_ASSERT (rc == UMBP_EUNREACH || rc == UMBP_ENOENT);
    CU_ASSERT (zclock_mono () - began < DEADLINE_MS);
    for (int way = 0; way < OTHER; way++) {
        CU_ASSERT (s_get (way, "saved", s_data + 1, 5000) == 0);
        CU_ASSERT (s_get (way, "here", s_data + 2, 5000) == 0);
    }
    for (int number = 0; number < 20; number++) {            //  Whichever shards they have
        char key[16];
        snprintf (key, sizeof key, "after%d", number);
        CU_ASSERT (s_put (number % 2, key, s_data, 1000) == 0);
        CU_ASSERT (s_get ((number + 1) % 2, key, s_data, 1000) == 0);
    }
    CU_ASSERT (s_meet (OTHER, OTHER));
    CU_ASSERT (s_becomes_miss (0, "lost"));
    CU_ASSERT (s_has_copies (0, "saved", 1) && s_get (0, "saved", s_data + 1, 5000) == 0);
}

//  A node leaves in good order; the last one still has what it has
static void test_node_leaves (void)
{
    asker_end (&s_clients[1]);
    umbp_node_destroy (&s_nodes[1]);
    CU_ASSERT (s_get (0, "here", s_data + 2, 5000) == 0);
    CU_ASSERT (s_meet (1, 1));
    CU_ASSERT (s_get (0, "here", s_data + 2, 5000) == 0);
    CU_ASSERT (s_becomes_miss (0, "saved"));
    CU_ASSERT (s_put (0, "alone", s_data, 10) == 0 && s_get (0, "alone", s_data, 10) == 0);
}

//  The last node is full of slots: nobody has room. Then there is some again.
static void test_full (void)
{
    uint32_t size = DRAM_BYTES / 8, huge = 2 * DRAM_BYTES, sizes[8];
    uint64_t slots[8];
    umbp_msg_t msg;
    CU_ASSERT (s_clear ());
    for (size_t index = 0; index < 8; index++)
        sizes[index] = size;
    umbp_msg_init (&msg, UMBP_MSG_reserve, 0);
    msg.reserve.session = SESSION;
    msg.reserve.keys = words (&s_words, "f0 f1 f2 f3 f4 f5 f6 f7");
    msg.reserve.sizes = (umbp_u32s_t) { sizes, 8 };
    CU_ASSERT (s_ask (0, "tier:dram", &msg, NULL, 0) == 0);
    memcpy (slots, s_got->msg.reserve_ok.slots.data, sizeof slots);
    for (int strategy = UMBP_PLACE_LOCAL; strategy <= UMBP_PLACE_SAME; strategy++)
        CU_ASSERT (s_put_by (0, "more", s_data, PAGE, (umbp_place_strategy_t) strategy)
                   == UMBP_EAGAIN);
    umbp_msg_init (&msg, UMBP_MSG_put, 0);
    msg.put.session = SESSION;
    msg.put.keys = words (&s_words, "huge");
    msg.put.sizes = (umbp_u32s_t) { &huge, 1 };
    CU_ASSERT (s_ask (0, "router", &msg, NULL, 0) == 0);
    CU_ASSERT (umbp_s8s_at (s_got->msg.put_ok.statuses, 0) == UMBP_ENOSPC);
    umbp_msg_init (&msg, UMBP_MSG_abort, 0);
    msg.abort.slots = (umbp_u64s_t) { slots, 8 };
    CU_ASSERT (s_ask (0, "tier:dram", &msg, NULL, 0) == 0);
    CU_ASSERT (s_gauge (0, "tier:dram", "used_bytes") == 0);
    CU_ASSERT (s_put (0, "more", s_data, PAGE) == 0);
}

static void test_end (void)
{
    asker_end (&s_clients[0]);
    umbp_node_destroy (&s_nodes[0]);
    CU_ASSERT_PTR_NULL (s_nodes[0]);
}

int main (void)
{
    alarm (250);
    s_start_other ();
    zsys_init ();
    zsys_set_logstream (NULL);          //  Two registries that log at once share the C library's clock
    for (size_t index = 0; index < sizeof s_data; index++)
        s_data[index] = (uint8_t) (index * 131 + index / 251);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("router, nodes", NULL, NULL);
    CU_ADD_TEST (suite, test_meet);
    CU_ADD_TEST (suite, test_put_and_get);
    CU_ADD_TEST (suite, test_exists_where_remove);
    CU_ADD_TEST (suite, test_slots);
    CU_ADD_TEST (suite, test_strategies);
    CU_ADD_TEST (suite, test_two_writers);
    CU_ADD_TEST (suite, test_bad_input);
    CU_ADD_TEST (suite, test_node_dies);
    CU_ADD_TEST (suite, test_node_leaves);
    CU_ADD_TEST (suite, test_full);
    CU_ADD_TEST (suite, test_end);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    if (s_child > 0)
        kill (s_child, SIGKILL);
    return CU_get_number_of_failures () > 0;
}

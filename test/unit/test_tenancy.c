//  test/unit/test_tenancy.c - nodes of this process with certificates, and clients of two tenants and
//  of none: what each of them sees, and what a message of the one does to the other. The same keys
//  are used by all.
#include "bin/talk.h"
#include "test/unit/certs.h"
#include "test/unit/nodes.h"

#include <poll.h>

#define NODES 3
#define LONG_MS 60000
#define BLOCK (3 * PAGE)
#define LIMIT (16 * BLOCK)              //  Of the tenant green, on each node

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
    snprintf (options->tenants_file, sizeof options->tenants_file, "%s/tenants", certs_room);
    if (number > 0)
        snprintf (options->seeds, sizeof options->seeds, "%s", s_ends[0]);
    if (number == 2) {                  //  Programs of its host are red
        snprintf (options->tenant, sizeof options->tenant, "red");
        snprintf (options->run_dir, sizeof options->run_dir, "%s/doors", certs_room);
    }
    options->heartbeat_ms = 50;
    options->suspect_ms = 10000;        //  Nobody here falls silent but by a busy machine
    options->gone_ms = 40000;
    options->dram_bytes = options->region_bytes = 4 << 20;
    options->page_bytes = PAGE;
    options->index_keys = options->kv_hashes = 10000;
    options->log_level = 1;
}

static umbp_t *s_connect (size_t number, const char *own)
{
    umbp_options_t how = { .endpoints = s_ends[number],
                           .timeout_ms = LONG_MS, .no_shm = true, .lanes = 1,
                           .certificate = s_cert (own), .server_certificate = s_cert ("nodes") };
    umbp_t *pool = umbp_connect (&how, NULL);
    CU_ASSERT_FATAL (pool != NULL);
    return pool;
}

static umbp_talk_t *s_talk (size_t number, const char *own)
{
    int err;
    char why[512];
    umbp_talk_t *talk = umbp_talk_new_secure (s_ends[number], s_cert (own), s_cert ("nodes"),
                                              LONG_MS, &err, why, sizeof why);
    CU_ASSERT_FATAL (talk != NULL);
    return talk;
}

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

//  What a tier says of one tenant
typedef struct {
    bool there;
    uint64_t used, limit, blocks, refused, evicted;
} account_t;

static account_t s_account (umbp_talk_t *talk, const char *tier, const char *tenant, uint64_t *sum,
                            size_t *rows)
{
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    account_t account = { .there = false };
    umbp_msg_init (&msg, UMBP_MSG_tenants, 0);
    CU_ASSERT_FATAL (umbp_talk_ask (talk, tier, &msg, &answer) == 0);
    const umbp_msg_tenants_ok_t *ok = &answer->tenants_ok;
    size_t offset = 0;
    if (rows)
        *rows = ok->names.count;
    for (size_t index = 0; index < ok->names.count; index++) {
        umbp_bytes_t name = umbp_column_next (&ok->names, index, &offset);
        if (sum)
            *sum += umbp_u64s_at (ok->useds, index);
        if (umbp_text_is ((umbp_text_t) { (const char *) name.data, name.size }, tenant))
            account = (account_t) { true,
                                   umbp_u64s_at (ok->useds, index),
                                   umbp_u64s_at (ok->limits, index),
                                   umbp_u64s_at (ok->blocks, index),
                                   umbp_u64s_at (ok->refused, index),
                                   umbp_u64s_at (ok->evicted, index) };
    }
    return account;
}

static void s_quotas (const char *text)
{
    certs_write (s_cert ("tenants"), text);
}

static void s_client (const char *name, const char *tenant)
{
    char path[64];
    umbp_curve_words_t words = { 0 };
    snprintf (words.tenant, sizeof words.tenant, "%s", tenant);
    snprintf (path, sizeof path, "clients/%s", name);
    certs_hand_out (certs_make (name, words), s_cert (path));
}

static void test_starts (void)
{
    char text[128];
    certs_folder ("nodes");
    certs_folder ("clients");
    for (size_t number = 0; number < NODES; number++) {
        char name[64];
        umbp_curve_words_t words = { 0 };
        snprintf (s_ends[number], sizeof s_ends[number], "tcp://%s:%zu", loopback_host (),
                  22000 + number);
        snprintf (words.node, sizeof words.node, "node-%zu", number);
        snprintf (words.endpoint, sizeof words.endpoint, "%s", s_ends[number]);
        snprintf (name, sizeof name, "nodes/node-%zu", number);
        certs_hand_out (certs_make (words.node, words), s_cert (name));
    }
    s_client ("red-1", "red");
    s_client ("red-2", "red");
    s_client ("blue", "blue");
    s_client ("green", "green");
    s_client ("plain", "");
    snprintf (text, sizeof text, "tenant = green\n    dram = %d\n", LIMIT);
    s_quotas (text);
    for (size_t number = 0; number < NODES; number++) {
        umbp_node_options_t options;
        s_options (&options, number);
        s_nodes[number] = umbp_node_new (&options, NULL);
        CU_ASSERT_FATAL (s_nodes[number] != NULL);
    }
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    size_t met = 0;
    while (met != NODES && umbp_clock_ms () < deadline_ms) {
        umbp_t *pool = s_connect (met, "plain");
        met += nodes_in_ring (pool) == NODES && umbp_put (pool, "are you there", "yes", 3) == 0
               && umbp_remove (pool, "are you there") == 0;
        umbp_close (&pool);
    }
    CU_ASSERT_FATAL (met == NODES);
}

static int s_stop (void)
{
    for (size_t number = NODES; number-- > 0;)
        umbp_node_destroy (&s_nodes[number]);
    return certs_stop ();
}

//  --------------------------------------------------------------------------------------------------
//  Who sees what

//  A number for the bytes of a key of a tenant
static uint64_t s_number (const char *tenant, size_t key)
{
    return (uint64_t) tenant[0] * 1000 + key + 1;
}

#define KEYS 24

static void s_key (char *key, size_t number)
{
    sprintf (key, "block-%zu", number);
}

//  Sizes above and below what rides inside a message
static size_t s_size (size_t number)
{
    return number % 3 == 0 ? 100 : number % 3 == 1 ? BLOCK : 20 * PAGE;
}

static void s_put_all (umbp_t *pool, const char *tenant)
{
    for (size_t number = 0; number < KEYS; number++) {
        char key[32], *data = malloc (s_size (number));
        s_key (key, number);
        nodes_fill (data, s_size (number), s_number (tenant, number));
        CU_ASSERT (umbp_put (pool, key, data, s_size (number)) == 0);
        free (data);
    }
}

static size_t s_see (umbp_t *pool, const char *tenant)
{
    static char data[20 * PAGE];
    size_t seen = 0;
    for (size_t number = 0; number < KEYS; number++) {
        char key[32];
        s_key (key, number);
        int exists = umbp_exists (pool, key);
        long got = umbp_get (pool, key, data, sizeof data);
        CU_ASSERT (got == UMBP_ENOENT ? exists == 0 : exists == 1);
        if (got == UMBP_ENOENT)
            continue;
        CU_ASSERT (got == (long) s_size (number));
        CU_ASSERT (nodes_is_filled (data, s_size (number), s_number (tenant, number)));
        seen++;
    }
    return seen;
}

static void test_same_keys (void)
{
    umbp_t *red = s_connect (0, "red-1"), *blue = s_connect (1, "blue"),
           *plain = s_connect (2, "plain"), *other = s_connect (1, "red-2");
    umbp_key_t keys[KEYS];
    char names[KEYS][32], data[BLOCK];
    for (size_t number = 0; number < KEYS; number++) {
        s_key (names[number], number);
        keys[number] = (umbp_key_t) { names[number], strlen (names[number]) };
    }
    s_put_all (red, "red");
    CU_ASSERT (s_see (blue, "blue") == 0);
    CU_ASSERT (s_see (plain, "plain") == 0);
    CU_ASSERT (umbp_exists_prefix (blue, keys, KEYS, LONG_MS) == 0);
    CU_ASSERT (umbp_exists_prefix (other, keys, KEYS, LONG_MS) == KEYS);
    s_put_all (blue, "blue");
    s_put_all (plain, "plain");
    CU_ASSERT (s_see (red, "red") == KEYS);
    CU_ASSERT (s_see (other, "red") == KEYS);        //  Another client and node, the same tenant
    CU_ASSERT (s_see (blue, "blue") == KEYS);
    CU_ASSERT (s_see (plain, "plain") == KEYS);
    CU_ASSERT (umbp_put (other, "block-0", "x", 1) == UMBP_EEXIST
               || umbp_put (other, "block-0", "x", 1) == 0);
    CU_ASSERT (s_see (red, "red") == KEYS);

    //  A program of node-2 over inproc is red
    umbp_t *local = umbp_connect (
        &(umbp_options_t){ .endpoints = umbp_node_endpoint_inproc (s_nodes[2]), .no_shm = true },
        NULL);
    CU_ASSERT_FATAL (local != NULL);
    CU_ASSERT (s_see (local, "red") == KEYS);
    umbp_close (&local);

    //  So is one at its doors, also where it reads its memory without a message
    umbp_stats_t stats;
    local = umbp_connect (&(umbp_options_t){ .endpoints = umbp_node_endpoint_inproc (s_nodes[2]) },
                          NULL);
    CU_ASSERT_FATAL (local != NULL);
    CU_ASSERT (s_see (local, "red") == KEYS);
    nodes_fill (data, sizeof data, 7);
    CU_ASSERT (umbp_put (local, "by the door", data, sizeof data) == 0);
    CU_ASSERT (umbp_get (local, "by the door", data, sizeof data) == sizeof data);
    CU_ASSERT (nodes_is_filled (data, sizeof data, 7));
    umbp_stats (local, &stats);
    CU_ASSERT (stats.shm_get_bytes > 0);
    CU_ASSERT (umbp_exists (other, "by the door") == 1);
    CU_ASSERT (umbp_exists (blue, "by the door") == 0);
    CU_ASSERT (umbp_exists (plain, "by the door") == 0);
    CU_ASSERT (umbp_remove (local, "by the door") == 0);
    CU_ASSERT (umbp_put (plain, "nobody's", data, sizeof data) == 0);
    CU_ASSERT (umbp_exists (local, "nobody's") == 0);
    CU_ASSERT (umbp_get (local, "nobody's", data, sizeof data) == UMBP_ENOENT);
    CU_ASSERT (umbp_remove (plain, "nobody's") == 0);
    umbp_close (&local);

    //  Nobody removes what is another's
    CU_ASSERT (umbp_remove (blue, "block-1") == 0);
    CU_ASSERT (umbp_remove (blue, "block-1") == UMBP_ENOENT);
    CU_ASSERT (s_see (red, "red") == KEYS);
    CU_ASSERT (s_see (plain, "plain") == KEYS);
    CU_ASSERT (s_see (blue, "blue") == KEYS - 1);
    CU_ASSERT (umbp_clear (blue, true, LONG_MS) == KEYS - 1);
    CU_ASSERT (s_see (blue, "blue") == 0);
    CU_ASSERT (s_see (red, "red") == KEYS);
    CU_ASSERT (umbp_clear (plain, true, LONG_MS) == KEYS);
    CU_ASSERT (s_see (red, "red") == KEYS);
    CU_ASSERT (s_see (plain, "plain") == 0);
    umbp_close (&red);
    umbp_close (&other);
    umbp_close (&blue);
    umbp_close (&plain);
}

//  Keys that look like those of another tenant, as tiers keep them
static void test_forged_keys (void)
{
    uint8_t key[64] = "\xffumbp-t\xfe\x03redblock-0";
    umbp_key_t forged = { key, 8 + 1 + 3 + 7 };
    int8_t found = 9;
    char data[BLOCK];
    umbp_t *red = s_connect (0, "red-1"), *plain = s_connect (1, "plain"),
           *blue = s_connect (2, "blue");
    umbp_t *all[] = { plain, blue, red };
    for (size_t index = 0; index < 3; index++) {
        umbp_item_t item = { .key = forged, .data = data, .size = sizeof data };
        CU_ASSERT (umbp_exists_batch (all[index], &forged, 1, &found, LONG_MS) == 0 && found == 0);
        umbp_get_batch (all[index], &item, 1, LONG_MS);
        CU_ASSERT (item.status == UMBP_ENOENT);
        item = (umbp_item_t) { .key = forged, .data = data, .size = 10 + index };
        memset (data, (int) index, sizeof data);
        umbp_put_batch (all[index], &item, 1, NULL, LONG_MS);
        CU_ASSERT (item.status == 0);
        CU_ASSERT (umbp_exists_batch (all[index], &forged, 1, &found, LONG_MS) == 1 && found == 1);
        item = (umbp_item_t) { .key = forged, .data = data, .size = sizeof data };
        umbp_get_batch (all[index], &item, 1, LONG_MS);
        CU_ASSERT (item.status == 0 && item.size == 10 + index && data[0] == (char) index);
    }
    CU_ASSERT (s_see (red, "red") == KEYS);
    for (size_t index = 0; index < 3; index++)
        CU_ASSERT (umbp_remove_batch (all[index], &forged, 1, NULL, LONG_MS) == 1);
    umbp_close (&red);
    umbp_close (&plain);
    umbp_close (&blue);

    //  And messages that say that keys are as tiers keep them
    umbp_talk_t *talk = s_talk (0, "blue"), *node = s_talk (0, "node-1");
    uint16_t size = (uint16_t) forged.key_size;
    umbp_column_t column = { key, &size, size, 1 };
    const umbp_msg_t *answer;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lookup, 0);
    msg.lookup.keys = column;
    msg.lookup.scoped = true;
    for (size_t number = 0; number < NODES; number++) {
        char address[32];
        snprintf (address, sizeof address, "index@node-%zu", number);
        CU_ASSERT (umbp_talk_ask (talk, address, &msg, &answer) == UMBP_EDENIED);
    }
    size_t known = 0;
    for (size_t number = 0; number < NODES; number++) {
        char address[32];
        snprintf (address, sizeof address, "index@node-%zu", number);
        CU_ASSERT_FATAL (umbp_talk_ask (node, address, &msg, &answer) == 0);
        known += umbp_u8s_at (answer->lookup_ok.found, 0);
    }
    CU_ASSERT (known > 0);              //  A node may, and the key is the right one
    //  A node that knows nothing of tenants, and so says nothing of them, means the default one
    msg.lookup.scoped = false;
    for (size_t number = 0; number < NODES; number++) {
        char address[32];
        snprintf (address, sizeof address, "index@node-%zu", number);
        CU_ASSERT_FATAL (umbp_talk_ask (node, address, &msg, &answer) == 0);
        CU_ASSERT (umbp_u8s_at (answer->lookup_ok.found, 0) == 0);
    }
    umbp_msg_init (&msg, UMBP_MSG_copy, 0);
    msg.copy.keys = column;
    msg.copy.scoped = true;
    msg.copy.node = umbp_text ("node-1");
    msg.copy.tier = UMBP_TIER_DRAM;
    CU_ASSERT (umbp_talk_ask (talk, "migrator", &msg, &answer) == UMBP_EDENIED);
    umbp_msg_init (&msg, UMBP_MSG_kv_match, 0);
    msg.kv_match.hashes = column;
    msg.kv_match.scoped = true;
    CU_ASSERT (umbp_talk_ask (talk, "extkv", &msg, &answer) == UMBP_EDENIED);
    umbp_msg_init (&msg, UMBP_MSG_lease, 0);
    msg.lease.keys = column;
    CU_ASSERT (umbp_talk_ask (talk, "tier:dram", &msg, &answer) == UMBP_EDENIED);
    umbp_msg_init (&msg, UMBP_MSG_wipe_tenant, 0);
    msg.wipe_tenant.tenant = umbp_text ("red");
    CU_ASSERT (umbp_talk_ask (talk, "tier:dram", &msg, &answer) == UMBP_EDENIED);
    umbp_msg_init (&msg, UMBP_MSG_quotas, 0);
    CU_ASSERT (umbp_talk_ask (talk, "tier:dram@node-2", &msg, &answer) == UMBP_EDENIED);
    CU_ASSERT (umbp_talk_ask (node, "tier:dram@node-2", &msg, &answer) == UMBP_EDENIED);
    umbp_msg_init (&msg, UMBP_MSG_drain, 0);
    CU_ASSERT (umbp_talk_ask (talk, "registry", &msg, &answer) == UMBP_EDENIED);
    umbp_talk_destroy (&talk);
    umbp_talk_destroy (&node);
}

//  Slots and leases of the one, said by the other
static void test_replayed_numbers (void)
{
    umbp_talk_t *red = s_talk (0, "red-1"), *blue = s_talk (0, "blue"), *near = s_talk (1, "blue");
    const umbp_msg_t *answer;
    umbp_msg_t msg;
    uint16_t size = 4, large = 7;
    uint32_t bytes = BLOCK;
    uint64_t slot, lease, sum = 1, was = s_gauge (red, "tier:dram", "not_theirs");
    umbp_msg_init (&msg, UMBP_MSG_put, 0);
    msg.put.session = 77;
    msg.put.keys = (umbp_column_t) { (const uint8_t *) "slot", &size, size, 1 };
    msg.put.sizes = (umbp_u32s_t) { &bytes, 1 };
    msg.put.strategy = UMBP_STRATEGY_LOCAL;
    CU_ASSERT_FATAL (umbp_talk_ask (red, "router", &msg, &answer) == 0);
    CU_ASSERT_FATAL (umbp_s8s_at (answer->put_ok.statuses, 0) == 0);
    slot = umbp_u64s_at (answer->put_ok.slots, 0);
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.commit.slots = (umbp_u64s_t) { &slot, 1 };
    msg.commit.sums = (umbp_u64s_t) { &sum, 1 };
    CU_ASSERT (umbp_talk_ask (blue, "tier:dram", &msg, &answer) == 0);
    CU_ASSERT (umbp_s8s_at (answer->commit_ok.statuses, 0) == UMBP_ESTALE);     //  As if unknown
    CU_ASSERT (umbp_talk_ask (near, "tier:dram@node-0", &msg, &answer) == 0);
    CU_ASSERT (umbp_s8s_at (answer->commit_ok.statuses, 0) == UMBP_ESTALE);
    umbp_msg_init (&msg, UMBP_MSG_abort, 0);
    msg.abort.slots = (umbp_u64s_t) { &slot, 1 };
    CU_ASSERT (umbp_talk_ask (blue, "tier:dram", &msg, &answer) == 0);
    CU_ASSERT (s_gauge (red, "tier:dram", "slots") == 1);
    CU_ASSERT (s_gauge (red, "tier:dram", "not_theirs") == was + 3);
    CU_ASSERT (umbp_talk_ask (red, "tier:dram", &msg, &answer) == 0);
    CU_ASSERT (s_gauge (red, "tier:dram", "slots") == 0);

    umbp_msg_init (&msg, UMBP_MSG_get, 0);
    msg.get.session = 77;
    msg.get.keys = (umbp_column_t) { (const uint8_t *) "block-1", &large, large, 1 };
    CU_ASSERT_FATAL (umbp_talk_ask (red, "router", &msg, &answer) == 0);
    CU_ASSERT_FATAL (umbp_s8s_at (answer->get_ok.statuses, 0) == 0);
    lease = umbp_u64s_at (answer->get_ok.leases, 0);
    CU_ASSERT (s_gauge (red, "tier:dram", "leases") == 1);
    umbp_msg_init (&msg, UMBP_MSG_release, 0);
    msg.release.leases = (umbp_u64s_t) { &lease, 1 };
    CU_ASSERT (umbp_talk_ask (blue, "tier:dram", &msg, &answer) == 0);
    CU_ASSERT (s_gauge (red, "tier:dram", "leases") == 1);
    CU_ASSERT (umbp_talk_ask (red, "tier:dram", &msg, &answer) == 0);
    CU_ASSERT (s_gauge (red, "tier:dram", "leases") == 0);
    umbp_talk_destroy (&red);
    umbp_talk_destroy (&blue);
    umbp_talk_destroy (&near);
}

//  --------------------------------------------------------------------------------------------------
//  What leaves

static size_t s_where (umbp_talk_t *talk, const char *key)
{
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    uint16_t size = (uint16_t) strlen (key);
    umbp_msg_init (&msg, UMBP_MSG_where, 0);
    msg.where.keys = (umbp_column_t) { (const uint8_t *) key, &size, size, 1 };
    CU_ASSERT_FATAL (umbp_talk_ask (talk, "router", &msg, &answer) == 0);
    return answer->where_ok.refs.count;
}

static void test_evict (void)
{
    umbp_talk_t *red = s_talk (0, "red-1"), *blue = s_talk (0, "blue");
    umbp_t *pool = s_connect (0, "red-1"), *mine = s_connect (0, "blue");
    const umbp_msg_t *answer;
    umbp_msg_t msg;
    CU_ASSERT (s_where (red, "block-1") > 0);
    CU_ASSERT (s_where (blue, "block-1") == 0);
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = UMBP_TIER_DRAM;
    msg.evict.bytes = 1 << 20;
    CU_ASSERT (umbp_talk_ask (blue, "eviction", &msg, &answer) == UMBP_EAGAIN);
    CU_ASSERT (umbp_talk_ask (blue, "tier:dram", &msg, &answer) == 0);
    CU_ASSERT (answer->evict_ok.blocks == 0);
    msg.evict.own = true;               //  Nor by saying whose
    msg.evict.tenant = umbp_text ("red");
    CU_ASSERT (umbp_talk_ask (blue, "tier:dram", &msg, &answer) == 0);
    CU_ASSERT (answer->evict_ok.blocks == 0);
    CU_ASSERT (s_see (pool, "red") == KEYS);
    char data[BLOCK] = "blue";
    CU_ASSERT (umbp_put (mine, "to go", data, sizeof data) == 0);
    msg.evict.own = false;
    msg.evict.bytes = 1;
    CU_ASSERT (umbp_talk_ask (blue, "eviction", &msg, &answer) == 0);
    CU_ASSERT (answer->evict_ok.blocks == 1 && answer->evict_ok.bytes == BLOCK);
    CU_ASSERT (s_see (pool, "red") == KEYS);
    umbp_close (&pool);
    umbp_close (&mine);
    umbp_talk_destroy (&red);
    umbp_talk_destroy (&blue);
}

static void test_external (void)
{
    umbp_t *red = s_connect (0, "red-1"), *far = s_connect (1, "red-2"),
           *blue = s_connect (1, "blue"), *plain = s_connect (0, "plain");
    umbp_key_t hash = { "hash", 4 };
    umbp_t *others[] = { blue, plain };
    size_t rows;
    int err;
    CU_ASSERT (umbp_kv_report (red, "engine", "red:1", 1, &hash, 1, LONG_MS) == 0);
    for (size_t index = 0; index < 2; index++) {
        umbp_kv_match_t *match = umbp_kv_match (others[index], &hash, 1, true, LONG_MS, &err);
        CU_ASSERT_FATAL (match != NULL);
        umbp_kv_match_rows (match, &rows);
        CU_ASSERT (rows == 0 && umbp_kv_match_silent (match) == 0);
        umbp_kv_match_destroy (&match);
        CU_ASSERT (umbp_kv_revoke (others[index], "engine", 1, &hash, 1, LONG_MS) == 0);
        CU_ASSERT (umbp_kv_revoke_all (others[index], "engine", 0, LONG_MS) == 0);
    }
    CU_ASSERT (umbp_kv_report (plain, "engine", "plain:1", 2, &hash, 1, LONG_MS) == 0);
    CU_ASSERT (umbp_kv_report (blue, "engine", "blue:1", 3, &hash, 1, LONG_MS) == 0);
    umbp_t *all[] = { far, blue, plain };
    static const char *const addresses[] = { "red:1", "blue:1", "plain:1" };
    static const unsigned tiers[] = { 1, 3, 2 };
    for (size_t index = 0; index < 3; index++) {
        uint64_t hits = 9;
        umbp_kv_match_t *match = umbp_kv_match (all[index], &hash, 1, true, LONG_MS, &err);
        CU_ASSERT_FATAL (match != NULL);
        const umbp_kv_row_t *row = umbp_kv_match_rows (match, &rows);
        CU_ASSERT_FATAL (rows == 1);
        CU_ASSERT_STRING_EQUAL (row->engine, "engine");
        CU_ASSERT_STRING_EQUAL (row->address, addresses[index]);
        CU_ASSERT (row->tier == tiers[index] && row->count == 1);
        umbp_kv_match_destroy (&match);
        CU_ASSERT (umbp_kv_hits (all[index], &hash, 1, &hits, LONG_MS) == 0 && hits == 1);
    }
    CU_ASSERT (umbp_kv_revoke_all (red, "engine", 0, LONG_MS) == 1);
    CU_ASSERT (umbp_kv_revoke_all (plain, "engine", 0, LONG_MS) == 1);
    CU_ASSERT (umbp_kv_revoke_all (blue, "engine", 0, LONG_MS) == 1);
    umbp_close (&red);
    umbp_close (&far);
    umbp_close (&blue);
    umbp_close (&plain);
}

//  --------------------------------------------------------------------------------------------------
//  Quotas

//  Wait until a tenant's limit on all nodes is this
static bool s_limited (umbp_talk_t *talk, const char *tenant, uint64_t limit)
{
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    for (size_t number = 0; number < NODES && umbp_clock_ms () < deadline_ms;) {
        char address[32];
        snprintf (address, sizeof address, "tier:dram@node-%zu", number);
        account_t account = s_account (talk, address, tenant, NULL, NULL);
        if (account.there && account.limit == limit)
            number++;
        else
            poll (NULL, 0, 10);
    }
    return umbp_clock_ms () < deadline_ms;
}

//  The sum of what tenants use is what is used
static void s_check_sums (umbp_talk_t *talk)
{
    for (size_t number = 0; number < NODES; number++) {
        char address[32];
        uint64_t sum = 0;
        snprintf (address, sizeof address, "tier:dram@node-%zu", number);
        s_account (talk, address, "", &sum, NULL);
        CU_ASSERT (sum == s_gauge (talk, address, "used_bytes"));
    }
}

static void test_quota (void)
{
    umbp_t *green = s_connect (0, "green"), *red = s_connect (0, "red-1");
    umbp_talk_t *node = s_talk (0, "node-0"), *own = s_talk (0, "green");
    umbp_put_options_t local = { .strategy = UMBP_STRATEGY_LOCAL };
    char key[32], data[BLOCK], large[LIMIT + PAGE];
    for (size_t number = 0; number < 40; number++) {
        umbp_item_t item = { .key = { key, (size_t) sprintf (key, "green-%zu", number) },
                             .data = data, .size = sizeof data };
        nodes_fill (data, sizeof data, number);
        umbp_put_batch (green, &item, 1, &local, LONG_MS);
        CU_ASSERT (item.status == 0);
    }
    account_t account = s_account (node, "tier:dram", "green", NULL, NULL);
    CU_ASSERT (account.there && account.limit == LIMIT && account.used == LIMIT);
    CU_ASSERT (account.blocks == 16 && account.evicted == 24 && account.refused == 0);
    for (size_t number = 0; number < 40; number++) {
        sprintf (key, "green-%zu", number);
        CU_ASSERT (umbp_exists (green, key) == (number >= 24));      //  The oldest left
    }
    CU_ASSERT (s_see (red, "red") == KEYS);
    s_check_sums (node);

    //  One that never fits; on each of the nodes it is refused
    memset (large, 1, sizeof large);
    CU_ASSERT (umbp_put (green, "never", large, sizeof large) == UMBP_EQUOTA);
    CU_ASSERT (strstr (umbp_strerror (UMBP_EQUOTA), "quota") != NULL);
    account = s_account (node, "tier:dram", "green", NULL, NULL);
    CU_ASSERT (account.refused == 1 && account.evicted == 24);       //  And nothing left for it
    CU_ASSERT (s_gauge (node, "tier:dram", "over_quota") == 1);

    //  A client hears of its own tenant alone
    size_t rows = 0;
    uint64_t sum = 0;
    CU_ASSERT (s_account (own, "tier:dram", "green", &sum, &rows).there && rows == 1);
    CU_ASSERT (sum == LIMIT);
    umbp_close (&green);
    umbp_close (&red);
    umbp_talk_destroy (&node);
    umbp_talk_destroy (&own);
}

//  All that green has is being read: nothing of it can leave, and so nothing new can come
static void test_quota_leased (void)
{
    umbp_talk_t *green = s_talk (0, "green");
    umbp_t *red = s_connect (0, "red-1");
    const umbp_msg_t *answer;
    umbp_msg_t msg;
    uint8_t keys[16 * 16];
    uint16_t sizes[16];
    uint32_t used = 0, bytes = BLOCK;
    for (size_t index = 0; index < 16; index++) {
        sizes[index] = (uint16_t) sprintf ((char *) keys + used, "green-%zu", 24 + index);
        used += sizes[index];
    }
    umbp_msg_init (&msg, UMBP_MSG_get, 0);
    msg.get.session = 99;
    msg.get.keys = (umbp_column_t) { keys, sizes, used, 16 };
    CU_ASSERT_FATAL (umbp_talk_ask (green, "router", &msg, &answer) == 0);
    for (size_t index = 0; index < 16; index++)
        CU_ASSERT (umbp_s8s_at (answer->get_ok.statuses, index) == 0);
    uint64_t lease = umbp_u64s_at (answer->get_ok.leases, 0);
    uint16_t size = 3;
    umbp_msg_t put;
    umbp_msg_init (&put, UMBP_MSG_put, 0);
    put.put.session = 99;
    put.put.keys = (umbp_column_t) { (const uint8_t *) "new", &size, size, 1 };
    put.put.sizes = (umbp_u32s_t) { &bytes, 1 };
    put.put.strategy = UMBP_STRATEGY_SAME;
    int status = 0;
    //  Other nodes have room under the limit of their own; here there is none
    umbp_msg_init (&msg, UMBP_MSG_reserve, 0);
    umbp_talk_t *node = s_talk (0, "node-1");
    uint8_t scoped[32] = "\xffumbp-t\xfe\x05greennew";
    uint16_t scoped_size = 8 + 1 + 5 + 3;
    msg.reserve.session = 99;
    msg.reserve.keys = (umbp_column_t) { scoped, &scoped_size, scoped_size, 1 };
    msg.reserve.sizes = (umbp_u32s_t) { &bytes, 1 };
    CU_ASSERT_FATAL (umbp_talk_ask (node, "tier:dram", &msg, &answer) == 0);
    status = umbp_s8s_at (answer->reserve_ok.statuses, 0);
    CU_ASSERT (status == UMBP_EQUOTA);
    CU_ASSERT_FATAL (umbp_talk_ask (green, "router", &put, &answer) == 0);
    CU_ASSERT_FATAL (umbp_s8s_at (answer->put_ok.statuses, 0) == 0); //  Elsewhere
    char address[UMBP_TEXT_MAX];
    uint64_t slot = umbp_u64s_at (answer->put_ok.slots, 0);
    umbp_msg_t abort;
    umbp_msg_init (&abort, UMBP_MSG_abort, 0);
    abort.abort.slots = (umbp_u64s_t) { &slot, 1 };
    snprintf (address, sizeof address, "tier:dram@%.*s", (int) answer->put_ok.nodes.size,
              (const char *) answer->put_ok.nodes.bytes);
    CU_ASSERT (strcmp (address, "tier:dram@node-0") != 0);
    CU_ASSERT (umbp_talk_ask (green, address, &abort, &answer) == 0);
    CU_ASSERT (s_see (red, "red") == KEYS);
    umbp_msg_t release;
    umbp_msg_init (&release, UMBP_MSG_release, 0);
    release.release.leases = (umbp_u64s_t) { &lease, 1 };
    CU_ASSERT (umbp_talk_ask (green, "tier:dram", &release, &answer) == 0);
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    do {                                //  A fence may take a moment
        CU_ASSERT_FATAL (umbp_talk_ask (node, "tier:dram", &msg, &answer) == 0);
        status = umbp_s8s_at (answer->reserve_ok.statuses, 0);
    } while (status == UMBP_EQUOTA && umbp_clock_ms () < deadline_ms);
    CU_ASSERT (status == 0);
    slot = umbp_u64s_at (answer->reserve_ok.slots, 0);
    CU_ASSERT (umbp_talk_ask (node, "tier:dram", &abort, &answer) == 0);
    s_check_sums (node);
    umbp_close (&red);
    umbp_talk_destroy (&green);
    umbp_talk_destroy (&node);
}

//  The file changes: lower limits are met, higher ones give room, a bad file changes nothing
static void test_quota_reread (void)
{
    umbp_talk_t *node = s_talk (0, "node-0");
    umbp_t *green = s_connect (0, "green"), *red = s_connect (0, "red-1");
    char text[128];
    snprintf (text, sizeof text, "tenant = green\n    dram = %d\ntenant = *\n    dram = 1GiB\n",
              4 * BLOCK);
    s_quotas (text);
    CU_ASSERT (s_limited (node, "green", 4 * BLOCK));
    CU_ASSERT (s_account (node, "tier:dram", "red", NULL, NULL).limit == 1 << 30);
    CU_ASSERT (s_account (node, "tier:dram", "", NULL, NULL).limit == UINT64_MAX);
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    account_t account = { .used = 1 << 30 };
    while (account.used > 4 * BLOCK && umbp_clock_ms () < deadline_ms)
        account = s_account (node, "tier:dram", "green", NULL, NULL);
    CU_ASSERT (account.used <= 4 * BLOCK);
    CU_ASSERT (umbp_exists (green, "green-24") == 1);        //  The newest: it was read last
    CU_ASSERT (umbp_exists (green, "green-38") == 0);
    CU_ASSERT (s_see (red, "red") == KEYS);
    uint64_t bad = s_gauge (node, "gate", "bad_files");
    s_quotas ("tenant = green\n    drum = 1GiB\n");
    while (s_gauge (node, "gate", "bad_files") == bad && umbp_clock_ms () < deadline_ms)
        poll (NULL, 0, 10);
    CU_ASSERT (s_gauge (node, "gate", "bad_files") == bad + 1);
    CU_ASSERT (s_account (node, "tier:dram", "green", NULL, NULL).limit == 4 * BLOCK);
    s_quotas ("");
    CU_ASSERT (s_limited (node, "green", UINT64_MAX));
    s_check_sums (node);
    umbp_close (&green);
    umbp_close (&red);
    umbp_talk_destroy (&node);
}

//  --------------------------------------------------------------------------------------------------
//  Between nodes

static void test_replicas_and_drain (void)
{
    umbp_t *red = s_connect (1, "red-1"), *blue = s_connect (0, "blue"),
           *plain = s_connect (0, "plain");
    umbp_talk_t *node = s_talk (0, "node-0"), *talk = s_talk (1, "red-1");
    umbp_put_options_t two = { .replicas = 2, .strategy = UMBP_STRATEGY_LOCAL };
    const umbp_msg_t *answer;
    umbp_msg_t msg;
    char key[32], data[BLOCK];
    for (size_t number = 0; number < 8; number++) {
        size_t size = number % 2 ? sizeof data : 200;
        umbp_item_t item = { .key = { key, (size_t) sprintf (key, "copied-%zu", number) },
                             .data = data, .size = size };
        nodes_fill (data, size, 500 + number);
        umbp_put_batch (red, &item, 1, &two, LONG_MS);
        CU_ASSERT (item.status == 0);
        CU_ASSERT (s_where (talk, key) == 2);
        CU_ASSERT (umbp_exists (blue, key) == 0);
        CU_ASSERT (umbp_exists (plain, key) == 0);
    }
    umbp_msg_init (&msg, UMBP_MSG_drain, 0);
    msg.drain.action = 1;
    CU_ASSERT_FATAL (umbp_talk_ask (node, "registry@node-1", &msg, &answer) == 0);
    msg.drain.action = 0;
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    while (answer->drain_ok.state != 4 && umbp_clock_ms () < deadline_ms) {
        poll (NULL, 0, 20);
        CU_ASSERT_FATAL (umbp_talk_ask (node, "registry@node-1", &msg, &answer) == 0);
    }
    CU_ASSERT (answer->drain_ok.state == 4);
    CU_ASSERT (s_gauge (node, "tier:dram@node-1", "blocks") == 0);
    for (size_t number = 0; number < 8; number++) {
        size_t size = number % 2 ? sizeof data : 200;
        sprintf (key, "copied-%zu", number);
        CU_ASSERT (umbp_get (red, key, data, sizeof data) == (long) size);
        CU_ASSERT (nodes_is_filled (data, size, 500 + number));
        CU_ASSERT (umbp_exists (blue, key) == 0);
        CU_ASSERT (umbp_exists (plain, key) == 0);
    }
    CU_ASSERT (s_see (red, "red") == KEYS);
    s_check_sums (node);
    umbp_close (&red);
    umbp_close (&blue);
    umbp_close (&plain);
    umbp_talk_destroy (&node);
    umbp_talk_destroy (&talk);
}

//  Random puts, gets and removals of all tenants under tight limits: what is used is always the sum
static void test_conservation (void)
{
    static const char *const who[] = { "red-2", "blue", "green", "plain" };
    uint64_t seed = nodes_seed ("conservation");
    umbp_t *pools[4];
    umbp_talk_t *node = s_talk (0, "node-0");
    char text[256];
    snprintf (text, sizeof text,
              "tenant = green\n    dram = %d\ntenant = \"\"\n    dram = %d\ntenant = blue\n"
              "    dram = %d\n",
              LIMIT, 4 * BLOCK, 2 * BLOCK + PAGE);
    s_quotas (text);
    CU_ASSERT (s_limited (node, "", 4 * BLOCK));
    for (size_t index = 0; index < 4; index++)
        pools[index] = s_connect (index % 2 ? 2 : 0, who[index]);
    for (size_t turn = 0; turn < 400; turn++) {
        uint64_t draw = umbp_splitmix (&seed);
        size_t tenant = draw & 3, size = 1 + (draw >> 8) % (4 * BLOCK);
        char key[32];
        static char data[4 * BLOCK], back[4 * BLOCK];
        sprintf (key, "random-%d", (int) (draw >> 32) % 30);
        int action = (int) (draw >> 16 & 3);
        if (action < 2) {
            memset (data, (int) tenant + 1, size);
            int rc = umbp_put (pools[tenant], key, data, size);
            CU_ASSERT (rc == 0 || (rc == UMBP_EQUOTA && tenant != 0));
            if (rc != 0 && rc != UMBP_EQUOTA)
                printf ("[put %s: %s] ", who[tenant], umbp_errname (rc));
        } else if (action == 2) {
            long got = umbp_get (pools[tenant], key, back, sizeof back);
            CU_ASSERT (got == UMBP_ENOENT || (got > 0 && back[0] == (char) tenant + 1));
        } else {
            int rc = umbp_remove (pools[tenant], key);
            CU_ASSERT (rc == 0 || rc == UMBP_ENOENT);
        }
        if (turn % 20 == 0)
            s_check_sums (node);
    }
    for (size_t number = 0; number < NODES; number++) {
        char address[32];
        snprintf (address, sizeof address, "tier:dram@node-%zu", number);
        CU_ASSERT (s_account (node, address, "green", NULL, NULL).used <= LIMIT);
        CU_ASSERT (s_account (node, address, "blue", NULL, NULL).used <= 2 * BLOCK + PAGE);
        CU_ASSERT (s_account (node, address, "", NULL, NULL).used <= 4 * BLOCK);
    }
    CU_ASSERT (s_see (pools[0], "red") == KEYS);
    for (size_t index = 0; index < 4; index++) {
        CU_ASSERT (umbp_clear (pools[index], true, LONG_MS) >= 0);
        umbp_close (&pools[index]);
    }
    for (size_t number = 0; number < NODES; number++) {
        char address[32];
        snprintf (address, sizeof address, "tier:dram@node-%zu", number);
        CU_ASSERT (s_gauge (node, address, "blocks") == 0);
    }
    s_check_sums (node);
    umbp_talk_destroy (&node);
}

int main (void)
{
    alarm (280);
    unsetenv ("UMBP_CERTIFICATE");
    unsetenv ("UMBP_SERVER_CERTIFICATE");
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("tenancy", certs_start, s_stop);
    CU_ADD_TEST (suite, test_starts);
    CU_ADD_TEST (suite, test_same_keys);
    CU_ADD_TEST (suite, test_forged_keys);
    CU_ADD_TEST (suite, test_replayed_numbers);
    CU_ADD_TEST (suite, test_evict);
    CU_ADD_TEST (suite, test_external);
    CU_ADD_TEST (suite, test_quota);
    CU_ADD_TEST (suite, test_quota_leased);
    CU_ADD_TEST (suite, test_quota_reread);
    CU_ADD_TEST (suite, test_replicas_and_drain);
    CU_ADD_TEST (suite, test_conservation);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0 || CU_get_error () != CUE_SUCCESS;
}

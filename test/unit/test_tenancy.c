//  test/unit/test_tenancy.c - clients of two tenants and of none: what each of them sees, and what a
//  message of the one does to the other. What tenants may use is in test_tenancy_quota.c.
#include "test/unit/tenancy.h"

static void test_same_keys (void)
{
    umbp_t *red = tenancy_connect (0, "red-1"), *blue = tenancy_connect (1, "blue"),
           *plain = tenancy_connect (2, "plain"), *other = tenancy_connect (1, "red-2");
    umbp_key_t keys[KEYS];
    char names[KEYS][32], data[BLOCK];
    for (size_t number = 0; number < KEYS; number++) {
        tenancy_key (names[number], number);
        keys[number] = (umbp_key_t) { names[number], strlen (names[number]) };
    }
    tenancy_put_all (red, "red");
    CU_ASSERT (tenancy_see (blue, "blue") == 0);
    CU_ASSERT (tenancy_see (plain, "plain") == 0);
    CU_ASSERT (umbp_exists_prefix (blue, keys, KEYS, LONG_MS) == 0);
    CU_ASSERT (umbp_exists_prefix (other, keys, KEYS, LONG_MS) == KEYS);
    tenancy_put_all (blue, "blue");
    tenancy_put_all (plain, "plain");
    CU_ASSERT (tenancy_see (red, "red") == KEYS);
    CU_ASSERT (tenancy_see (other, "red") == KEYS);        //  Another client and node, the same tenant
    CU_ASSERT (tenancy_see (blue, "blue") == KEYS);
    CU_ASSERT (tenancy_see (plain, "plain") == KEYS);
    CU_ASSERT (umbp_put (other, "block-0", "x", 1) == UMBP_EEXIST
               || umbp_put (other, "block-0", "x", 1) == 0);
    CU_ASSERT (tenancy_see (red, "red") == KEYS);

    //  A program of node-2 over inproc is red
    umbp_t *local =
        umbp_connect (&(umbp_options_t){ .endpoints = umbp_node_endpoint_inproc (sealed_nodes[2]),
                                         .no_shm = true },
                      NULL);
    CU_ASSERT_FATAL (local != NULL);
    CU_ASSERT (tenancy_see (local, "red") == KEYS);
    umbp_close (&local);

    //  So is one at its doors, also where it reads its memory without a message
    umbp_stats_t stats;
    local = umbp_connect (
        &(umbp_options_t){ .endpoints = umbp_node_endpoint_inproc (sealed_nodes[2]) }, NULL);
    CU_ASSERT_FATAL (local != NULL);
    CU_ASSERT (tenancy_see (local, "red") == KEYS);
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
    CU_ASSERT (tenancy_see (red, "red") == KEYS);
    CU_ASSERT (tenancy_see (plain, "plain") == KEYS);
    CU_ASSERT (tenancy_see (blue, "blue") == KEYS - 1);
    CU_ASSERT (umbp_clear (blue, true, LONG_MS) == KEYS - 1);
    CU_ASSERT (tenancy_see (blue, "blue") == 0);
    CU_ASSERT (tenancy_see (red, "red") == KEYS);
    CU_ASSERT (umbp_clear (plain, true, LONG_MS) == KEYS);
    CU_ASSERT (tenancy_see (red, "red") == KEYS);
    CU_ASSERT (tenancy_see (plain, "plain") == 0);
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
    umbp_t *red = tenancy_connect (0, "red-1"), *plain = tenancy_connect (1, "plain"),
           *blue = tenancy_connect (2, "blue");
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
    CU_ASSERT (tenancy_see (red, "red") == KEYS);
    for (size_t index = 0; index < 3; index++)
        CU_ASSERT (umbp_remove_batch (all[index], &forged, 1, NULL, LONG_MS) == 1);
    umbp_close (&red);
    umbp_close (&plain);
    umbp_close (&blue);

    //  And messages that say that keys are as tiers keep them
    umbp_talk_t *talk = tenancy_talk (0, "blue"), *node = tenancy_talk (0, "node-1");
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
    umbp_msg_init (&msg, UMBP_MSG_worker_release, 0);   //  Any actor says so, before it looks
    msg.worker_release.uid = umbp_text ("w");
    CU_ASSERT (umbp_talk_ask (talk, "registry", &msg, &answer) == UMBP_EDENIED);
    CU_ASSERT (umbp_talk_ask (node, "registry", &msg, &answer) == UMBP_ENOTSUP);
    umbp_talk_destroy (&talk);
    umbp_talk_destroy (&node);
}

//  Slots and leases of the one, said by the other
static void test_replayed_numbers (void)
{
    umbp_talk_t *red = tenancy_talk (0, "red-1"), *blue = tenancy_talk (0, "blue"),
                *near = tenancy_talk (1, "blue");
    const umbp_msg_t *answer;
    umbp_msg_t msg;
    uint16_t size = 4, large = 7;
    uint32_t bytes = BLOCK;
    uint64_t slot, lease, sum = 1, was = sealed_gauge (red, "tier:dram", "not_theirs");
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
    CU_ASSERT (sealed_gauge (red, "tier:dram", "slots") == 1);
    CU_ASSERT (sealed_gauge (red, "tier:dram", "not_theirs") == was + 3);
    CU_ASSERT (umbp_talk_ask (red, "tier:dram", &msg, &answer) == 0);
    CU_ASSERT (sealed_gauge (red, "tier:dram", "slots") == 0);

    umbp_msg_init (&msg, UMBP_MSG_get, 0);
    msg.get.session = 77;
    msg.get.keys = (umbp_column_t) { (const uint8_t *) "block-1", &large, large, 1 };
    CU_ASSERT_FATAL (umbp_talk_ask (red, "router", &msg, &answer) == 0);
    CU_ASSERT_FATAL (umbp_s8s_at (answer->get_ok.statuses, 0) == 0);
    lease = umbp_u64s_at (answer->get_ok.leases, 0);
    CU_ASSERT (sealed_gauge (red, "tier:dram", "leases") == 1);
    umbp_msg_init (&msg, UMBP_MSG_release, 0);
    msg.release.leases = (umbp_u64s_t) { &lease, 1 };
    CU_ASSERT (umbp_talk_ask (blue, "tier:dram", &msg, &answer) == 0);
    CU_ASSERT (sealed_gauge (red, "tier:dram", "leases") == 1);
    CU_ASSERT (umbp_talk_ask (red, "tier:dram", &msg, &answer) == 0);
    CU_ASSERT (sealed_gauge (red, "tier:dram", "leases") == 0);
    umbp_talk_destroy (&red);
    umbp_talk_destroy (&blue);
    umbp_talk_destroy (&near);
}

static void test_evict (void)
{
    umbp_talk_t *red = tenancy_talk (0, "red-1"), *blue = tenancy_talk (0, "blue");
    umbp_t *pool = tenancy_connect (0, "red-1"), *mine = tenancy_connect (0, "blue");
    const umbp_msg_t *answer;
    umbp_msg_t msg;
    CU_ASSERT (tenancy_where (red, "block-1") > 0);
    CU_ASSERT (tenancy_where (blue, "block-1") == 0);
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
    CU_ASSERT (tenancy_see (pool, "red") == KEYS);
    char data[BLOCK] = "blue";
    CU_ASSERT (umbp_put (mine, "to go", data, sizeof data) == 0);
    msg.evict.own = false;
    msg.evict.bytes = 1;
    CU_ASSERT (umbp_talk_ask (blue, "eviction", &msg, &answer) == 0);
    CU_ASSERT (answer->evict_ok.blocks == 1 && answer->evict_ok.bytes == BLOCK);
    CU_ASSERT (tenancy_see (pool, "red") == KEYS);
    umbp_close (&pool);
    umbp_close (&mine);
    umbp_talk_destroy (&red);
    umbp_talk_destroy (&blue);
}

static void test_external (void)
{
    umbp_t *red = tenancy_connect (0, "red-1"), *far = tenancy_connect (1, "red-2"),
           *blue = tenancy_connect (1, "blue"), *plain = tenancy_connect (0, "plain");
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

int main (void)
{
    alarm (280);
    sealed_alone ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("tenancy", certs_start, sealed_stop);
    CU_ADD_TEST (suite, tenancy_start);
    CU_ADD_TEST (suite, test_same_keys);
    CU_ADD_TEST (suite, test_forged_keys);
    CU_ADD_TEST (suite, test_replayed_numbers);
    CU_ADD_TEST (suite, test_evict);
    CU_ADD_TEST (suite, test_external);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0 || CU_get_error () != CUE_SUCCESS;
}

//  test/unit/test_tenancy_quota.c - what tenants may use: own blocks leave for it, or it is refused,
//  and other tenants lose nothing, nor by copies and drains. The sum of what they use is what is used.
#include "test/unit/tenancy.h"

static void test_starts (void)
{
    tenancy_start ();
    umbp_t *red = tenancy_connect (0, "red-1");
    tenancy_put_all (red, "red");       //  Which nobody here may take away
    umbp_close (&red);
}

//  Wait until a tenant's limit on all nodes is this
static bool s_limited (umbp_talk_t *talk, const char *tenant, uint64_t limit)
{
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    for (size_t number = 0; number < NODES && umbp_clock_ms () < deadline_ms;) {
        char address[32];
        snprintf (address, sizeof address, "tier:dram@node-%zu", number);
        account_t account = tenancy_account (talk, address, tenant, NULL, NULL);
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
        tenancy_account (talk, address, "", &sum, NULL);
        CU_ASSERT (sum == sealed_gauge (talk, address, "used_bytes"));
    }
}

static void test_quota (void)
{
    umbp_t *green = tenancy_connect (0, "green"), *red = tenancy_connect (0, "red-1");
    umbp_talk_t *node = tenancy_talk (0, "node-0"), *own = tenancy_talk (0, "green");
    umbp_put_options_t local = { .strategy = UMBP_STRATEGY_LOCAL };
    char key[32], data[BLOCK], large[LIMIT + PAGE];
    for (size_t number = 0; number < 40; number++) {
        umbp_item_t item = { .key = { key, (size_t) sprintf (key, "green-%zu", number) },
                             .data = data, .size = sizeof data };
        nodes_fill (data, sizeof data, number);
        umbp_put_batch (green, &item, 1, &local, LONG_MS);
        CU_ASSERT (item.status == 0);
    }
    account_t account = tenancy_account (node, "tier:dram", "green", NULL, NULL);
    CU_ASSERT (account.there && account.limit == LIMIT && account.used == LIMIT);
    CU_ASSERT (account.blocks == 16 && account.evicted == 24 && account.refused == 0);
    for (size_t number = 0; number < 40; number++) {
        sprintf (key, "green-%zu", number);
        CU_ASSERT (umbp_exists (green, key) == (number >= 24));      //  The oldest left
    }
    CU_ASSERT (tenancy_see (red, "red") == KEYS);
    s_check_sums (node);

    //  One that never fits; on each of the nodes it is refused
    memset (large, 1, sizeof large);
    CU_ASSERT (umbp_put (green, "never", large, sizeof large) == UMBP_EQUOTA);
    CU_ASSERT (strstr (umbp_strerror (UMBP_EQUOTA), "quota") != NULL);
    account = tenancy_account (node, "tier:dram", "green", NULL, NULL);
    CU_ASSERT (account.refused == 1 && account.evicted == 24);       //  And nothing left for it
    CU_ASSERT (sealed_gauge (node, "tier:dram", "over_quota") == 1);

    //  A client hears of its own tenant alone
    size_t rows = 0;
    uint64_t sum = 0;
    CU_ASSERT (tenancy_account (own, "tier:dram", "green", &sum, &rows).there && rows == 1);
    CU_ASSERT (sum == LIMIT);
    umbp_close (&green);
    umbp_close (&red);
    umbp_talk_destroy (&node);
    umbp_talk_destroy (&own);
}

//  All that green has is being read: nothing of it can leave, and so nothing new can come
static void test_quota_leased (void)
{
    umbp_talk_t *green = tenancy_talk (0, "green");
    umbp_t *red = tenancy_connect (0, "red-1");
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
    umbp_talk_t *node = tenancy_talk (0, "node-1");
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
    CU_ASSERT (tenancy_see (red, "red") == KEYS);
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
    umbp_talk_t *node = tenancy_talk (0, "node-0");
    umbp_t *green = tenancy_connect (0, "green"), *red = tenancy_connect (0, "red-1");
    char text[128];
    snprintf (text, sizeof text, "tenant = green\n    dram = %d\ntenant = *\n    dram = 1GiB\n",
              4 * BLOCK);
    tenancy_quotas (text);
    CU_ASSERT (s_limited (node, "green", 4 * BLOCK));
    CU_ASSERT (tenancy_account (node, "tier:dram", "red", NULL, NULL).limit == 1 << 30);
    CU_ASSERT (tenancy_account (node, "tier:dram", "", NULL, NULL).limit == UINT64_MAX);
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    account_t account = { .used = 1 << 30 };
    while (account.used > 4 * BLOCK && umbp_clock_ms () < deadline_ms)
        account = tenancy_account (node, "tier:dram", "green", NULL, NULL);
    CU_ASSERT (account.used <= 4 * BLOCK);
    CU_ASSERT (umbp_exists (green, "green-24") == 1);        //  The newest: it was read last
    CU_ASSERT (umbp_exists (green, "green-38") == 0);
    CU_ASSERT (tenancy_see (red, "red") == KEYS);
    uint64_t bad = sealed_gauge (node, "gate", "bad_files");
    tenancy_quotas ("tenant = green\n    drum = 1GiB\n");
    while (sealed_gauge (node, "gate", "bad_files") == bad && umbp_clock_ms () < deadline_ms)
        poll (NULL, 0, 10);
    CU_ASSERT (sealed_gauge (node, "gate", "bad_files") == bad + 1);
    CU_ASSERT (tenancy_account (node, "tier:dram", "green", NULL, NULL).limit == 4 * BLOCK);
    tenancy_quotas ("");
    CU_ASSERT (s_limited (node, "green", UINT64_MAX));
    s_check_sums (node);
    umbp_close (&green);
    umbp_close (&red);
    umbp_talk_destroy (&node);
}

static void test_replicas_and_drain (void)
{
    umbp_t *red = tenancy_connect (1, "red-1"), *blue = tenancy_connect (0, "blue"),
           *plain = tenancy_connect (0, "plain");
    umbp_talk_t *node = tenancy_talk (0, "node-0"), *talk = tenancy_talk (1, "red-1");
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
        CU_ASSERT (tenancy_where (talk, key) == 2);
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
    CU_ASSERT (sealed_gauge (node, "tier:dram@node-1", "blocks") == 0);
    for (size_t number = 0; number < 8; number++) {
        size_t size = number % 2 ? sizeof data : 200;
        sprintf (key, "copied-%zu", number);
        CU_ASSERT (umbp_get (red, key, data, sizeof data) == (long) size);
        CU_ASSERT (nodes_is_filled (data, size, 500 + number));
        CU_ASSERT (umbp_exists (blue, key) == 0);
        CU_ASSERT (umbp_exists (plain, key) == 0);
    }
    CU_ASSERT (tenancy_see (red, "red") == KEYS);
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
    umbp_talk_t *node = tenancy_talk (0, "node-0");
    char text[256];
    snprintf (text, sizeof text,
              "tenant = green\n    dram = %d\ntenant = \"\"\n    dram = %d\ntenant = blue\n"
              "    dram = %d\n",
              LIMIT, 4 * BLOCK, 2 * BLOCK + PAGE);
    tenancy_quotas (text);
    CU_ASSERT (s_limited (node, "", 4 * BLOCK));
    for (size_t index = 0; index < 4; index++)
        pools[index] = tenancy_connect (index % 2 ? 2 : 0, who[index]);
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
        CU_ASSERT (tenancy_account (node, address, "green", NULL, NULL).used <= LIMIT);
        CU_ASSERT (tenancy_account (node, address, "blue", NULL, NULL).used <= 2 * BLOCK + PAGE);
        CU_ASSERT (tenancy_account (node, address, "", NULL, NULL).used <= 4 * BLOCK);
    }
    CU_ASSERT (tenancy_see (pools[0], "red") == KEYS);
    for (size_t index = 0; index < 4; index++) {
        CU_ASSERT (umbp_clear (pools[index], true, LONG_MS) >= 0);
        umbp_close (&pools[index]);
    }
    for (size_t number = 0; number < NODES; number++) {
        char address[32];
        snprintf (address, sizeof address, "tier:dram@node-%zu", number);
        CU_ASSERT (sealed_gauge (node, address, "blocks") == 0);
    }
    s_check_sums (node);
    umbp_talk_destroy (&node);
}

int main (void)
{
    alarm (280);
    sealed_alone ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("tenancy_quota", certs_start, sealed_stop);
    CU_ADD_TEST (suite, test_starts);
    CU_ADD_TEST (suite, test_quota);
    CU_ADD_TEST (suite, test_quota_leased);
    CU_ADD_TEST (suite, test_quota_reread);
    CU_ADD_TEST (suite, test_replicas_and_drain);
    CU_ADD_TEST (suite, test_conservation);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0 || CU_get_error () != CUE_SUCCESS;
}

//  test/unit/tenancy.h - three nodes with certificates, and clients of the tenants red, blue and green
//  and of none. They all use the same keys. green has a limit.
#ifndef UMBP_TEST_TENANCY_H
#define UMBP_TEST_TENANCY_H

#include "test/unit/sealed.h"

#define BLOCK (3 * PAGE)
#define LIMIT (16 * BLOCK)              //  Of the tenant green, on each node
#define KEYS 24

static inline void tenancy_options (umbp_node_options_t *options, size_t number)
{
    sealed_options (options, number);
    snprintf (options->tenants_file, sizeof options->tenants_file, "%s/tenants", certs_room);
    if (number == 2) {                  //  Programs of its host are red
        snprintf (options->tenant, sizeof options->tenant, "red");
        snprintf (options->run_dir, sizeof options->run_dir, "%s/doors", certs_room);
    }
}

static inline umbp_t *tenancy_connect (size_t number, const char *own)
{
    umbp_t *pool = sealed_connect (number, certs_path (own), certs_path ("nodes"), LONG_MS, NULL);
    CU_ASSERT_FATAL (pool != NULL);
    return pool;
}

static inline umbp_talk_t *tenancy_talk (size_t number, const char *own)
{
    return sealed_talk (number, certs_path (own));
}

//  What a tier says of one tenant
typedef struct {
    bool there;
    uint64_t used, limit, blocks, refused, evicted;
} account_t;

static inline account_t tenancy_account (umbp_talk_t *talk, const char *tier, const char *tenant,
                                         uint64_t *sum, size_t *rows)
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

static inline void tenancy_quotas (const char *text)
{
    certs_write (certs_path ("tenants"), text);
}

//  The nodes, which have met
static inline void tenancy_start (void)
{
    char text[128];
    sealed_name ();
    sealed_client ("red-1", "red");
    sealed_client ("red-2", "red");
    sealed_client ("blue", "blue");
    sealed_client ("green", "green");
    sealed_client ("plain", "");
    snprintf (text, sizeof text, "tenant = green\n    dram = %d\n", LIMIT);
    tenancy_quotas (text);
    sealed_start (tenancy_options);
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    size_t met = 0;
    while (met != NODES && umbp_clock_ms () < deadline_ms) {
        umbp_t *pool = tenancy_connect (met, "plain");
        met += nodes_in_ring (pool) == NODES && umbp_put (pool, "are you there", "yes", 3) == 0
               && umbp_remove (pool, "are you there") == 0;
        umbp_close (&pool);
    }
    CU_ASSERT_FATAL (met == NODES);
}

//  A number for the bytes of a key of a tenant
static inline uint64_t tenancy_number (const char *tenant, size_t key)
{
    return (uint64_t) tenant[0] * 1000 + key + 1;
}

static inline void tenancy_key (char *key, size_t number)
{
    sprintf (key, "block-%zu", number);
}

//  Sizes above and below what rides inside a message
static inline size_t tenancy_size (size_t number)
{
    return number % 3 == 0 ? 100 : number % 3 == 1 ? BLOCK : 20 * PAGE;
}

static inline void tenancy_put_all (umbp_t *pool, const char *tenant)
{
    for (size_t number = 0; number < KEYS; number++) {
        char key[32], *data = malloc (tenancy_size (number));
        tenancy_key (key, number);
        nodes_fill (data, tenancy_size (number), tenancy_number (tenant, number));
        CU_ASSERT (umbp_put (pool, key, data, tenancy_size (number)) == 0);
        free (data);
    }
}

static inline size_t tenancy_see (umbp_t *pool, const char *tenant)
{
    static char data[20 * PAGE];
    size_t seen = 0;
    for (size_t number = 0; number < KEYS; number++) {
        char key[32];
        tenancy_key (key, number);
        int exists = umbp_exists (pool, key);
        long got = umbp_get (pool, key, data, sizeof data);
        CU_ASSERT (got == UMBP_ENOENT ? exists == 0 : exists == 1);
        if (got == UMBP_ENOENT)
            continue;
        CU_ASSERT (got == (long) tenancy_size (number));
        CU_ASSERT (nodes_is_filled (data, tenancy_size (number), tenancy_number (tenant, number)));
        seen++;
    }
    return seen;
}

//  In how many places a key is
static inline size_t tenancy_where (umbp_talk_t *talk, const char *key)
{
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    uint16_t size = (uint16_t) strlen (key);
    umbp_msg_init (&msg, UMBP_MSG_where, 0);
    msg.where.keys = (umbp_column_t) { (const uint8_t *) key, &size, size, 1 };
    CU_ASSERT_FATAL (umbp_talk_ask (talk, "router", &msg, &answer) == 0);
    return answer->where_ok.refs.count;
}

#endif

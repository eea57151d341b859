//  test/unit/test_tenants.c - scopes of keys, the file of quotas, and who pays for what in a tier
#include "actors/tier/store.h"
#include "proto/error.h"
#include "proto/key.h"
#include "proto/scope.h"
#include "proto/splitmix.h"
#include "test/unit/certs.h"

#include <time.h>
#include <unistd.h>

#define PAGE 4096

static umbp_text_t s_text (const char *string)
{
    return umbp_text (string);
}

//  --------------------------------------------------------------------------------------------------
//  Scopes

static size_t s_scoped (const char *tenant, const void *key, uint16_t size, uint8_t *out)
{
    uint16_t sizes[1];
    umbp_column_t in = { key, &size, size, 1 };
    umbp_column_t column = umbp_scope_column (in, tenant, out, sizes);
    if (column.bytes != out)
        memcpy (out, column.bytes, column.size);
    CU_ASSERT (column.count == 1 && umbp_column_size_at (&column, 0) == column.size);
    return column.size;
}

//  Any two pairs of tenant and key are kept under different keys, and both can be told from them
static void test_scopes (void)
{
    static const char *const tenants[] = {
        "", "a", "ab", "b", "0123456789012345678901234567890123456789012345678901234567890123"
    };
    uint8_t keys[64][700];
    size_t sizes[64], count = 0;
    uint8_t marked[40] = "\xffumbp-t\xfe\x01"
                         "axyz";
    const struct {
        const void *bytes;
        uint16_t size;
    } words[] = { { "x", 1 },
                  { "axyz", 4 },
                  { marked, 13 },
                  { marked, 9 },
                  { marked, 8 },   { marked, 7 }, { "\xff", 1 },  { "bx", 2 } };
    for (size_t tenant = 0; tenant < 5; tenant++)
        for (size_t word = 0; word < sizeof words / sizeof *words; word++, count++) {
            sizes[count] =
                s_scoped (tenants[tenant], words[word].bytes, words[word].size, keys[count]);
            umbp_text_t whose = umbp_scope_tenant (keys[count], sizes[count]);
            umbp_bytes_t bare = umbp_scope_bare (keys[count], sizes[count]);
            CU_ASSERT (umbp_text_is (whose, tenants[tenant]));
            CU_ASSERT (bare.size == words[word].size
                       && memcmp (bare.data, words[word].bytes, bare.size) == 0);
            for (size_t other = 0; other < count; other++)
                CU_ASSERT (sizes[other] != sizes[count]
                           || memcmp (keys[other], keys[count], sizes[count]) != 0);
        }
    CU_ASSERT (s_scoped ("", "plain", 5, keys[0]) == 5);     //  The default tenant's stay as they are
    uint8_t cut[] = { 0xff, 'u', 'm', 'b', 'p', '-', 't', 0xfe, 200, 'a', 'b' };
    for (size_t size = 1; size <= sizeof cut; size++)        //  What no client can make is no scope
        CU_ASSERT (umbp_scope_size (cut, size) == 0);
}

static void test_random_scopes (void)
{
    uint64_t seed = (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    const char *text = getenv ("UMBP_SEED");
    seed = text ? strtoull (text, NULL, 10) : seed;
    printf ("[scopes seed=%llu] ", (unsigned long long) seed);
    for (int turn = 0; turn < 20000; turn++) {
        uint8_t key[UMBP_KEY_MAX], out[UMBP_SCOPED_KEY_MAX];
        char tenant[8] = "";
        uint64_t draw = umbp_splitmix (&seed);
        size_t size = 1 + draw % 40, marked = draw >> 8 & 1, prefix = (draw >> 9) % 12;
        for (size_t at = 0; at < size; at++)
            key[at] = (uint8_t) umbp_splitmix (&seed);
        if (marked)
            memcpy (key, "\xffumbp-t\xfe\x02zz", prefix < size ? prefix : size);
        if (draw >> 20 & 1)
            snprintf (tenant, sizeof tenant, "t%d", (int) (draw >> 24 & 255));
        size_t scoped = s_scoped (tenant, key, (uint16_t) size, out);
        umbp_bytes_t bare = umbp_scope_bare (out, scoped);
        CU_ASSERT (umbp_text_is (umbp_scope_tenant (out, scoped), tenant));
        CU_ASSERT (bare.size == size && memcmp (bare.data, key, size) == 0);
    }
}

//  --------------------------------------------------------------------------------------------------
//  Quotas

static void test_file (void)
{
    char why[512];
    const char *path = certs_path ("quotas");
    certs_write (path, "#  Who may use what\n\ntenant = team-a\n    dram = 20GiB   #  a lot\n"
                       "    nvme = 1TiB\ntenant = *\n\tdram = 500MiB\ntenant = \"\"\n    dram = 7\n"
                       "tenant = none\n    dram = 0\n");
    umbp_quotas_t *quotas = umbp_quotas_read (path, why, sizeof why);
    CU_ASSERT_FATAL (quotas != NULL);
    CU_ASSERT (umbp_quotas_limit (quotas, s_text ("team-a"), 2) == (uint64_t) 20 << 30);
    CU_ASSERT (umbp_quotas_limit (quotas, s_text ("team-a"), 3) == (uint64_t) 1 << 40);
    CU_ASSERT (umbp_quotas_limit (quotas, s_text ("team-a"), 1) == UMBP_QUOTA_NONE);
    CU_ASSERT (umbp_quotas_limit (quotas, s_text ("other"), 2) == (uint64_t) 500 << 20);
    CU_ASSERT (umbp_quotas_limit (quotas, s_text (""), 2) == 7);
    CU_ASSERT (umbp_quotas_limit (quotas, s_text ("none"), 2) == 0);
    CU_ASSERT (umbp_quotas_qos (quotas, s_text ("team-a")) == UMBP_QOS_MEDIUM);
    umbp_quotas_destroy (&quotas);
    certs_write (path, "tenant = a\n    qos = low\n    dram = 1\ntenant = b\n    qos = critical\n"
                       "tenant = *\n    qos = high\n");
    quotas = umbp_quotas_read (path, why, sizeof why);
    CU_ASSERT_FATAL (quotas != NULL);
    CU_ASSERT (umbp_quotas_qos (quotas, s_text ("a")) == UMBP_QOS_LOW);
    CU_ASSERT (umbp_quotas_qos (quotas, s_text ("b")) == UMBP_QOS_CRITICAL);
    CU_ASSERT (umbp_quotas_qos (quotas, s_text ("c")) == UMBP_QOS_HIGH);
    CU_ASSERT (umbp_quotas_qos (quotas, s_text ("")) == UMBP_QOS_MEDIUM);
    umbp_quotas_destroy (&quotas);
    static const struct {
        const char *text, *said;
    } wrong[] = {
        { "tenant = a\n    drum = 1GiB\n", "quotas:2: unknown tier: drum; allowed: hbm, dram" },
        { "tenant = a\n    dram = 1GB\n", "quotas:2: dram: not a size: 1GB" },
        { "tenant = a\n    dram = -1\n", "not a size" },
        { "tenant = a\n    dram = 99999999TiB\n", "not a size" },
        { "tenant = a\n    dram =\n", "not a size" },
        { "\n    dram = 1\n", "quotas:2: dram: whose?" },
        { "tenant = a\ntenant = a\n", "quotas:2: tenant a was named before" },
        { "tenant = a\n    dram = 1\n    dram = 2\n", "quotas:3: dram was said before" },
        { "tenant = a b\n", "allowed are 64 of" },
        { "qos = low\n", "unknown: qos; allowed: tenant = NAME" },
        { "\n    qos = low\n", "quotas:2: qos: whose?" },
        { "tenant = a\n    qos = lots\n", "quotas:2: qos: unknown: lots; allowed: low, medium" },
        { "tenant = a\n    qos = low\n    qos = high\n", "quotas:3: qos was said before" },
        { "tenants = a\n", "unknown: tenants; allowed: tenant = NAME" },
        { "tenant a\n", "not NAME = VALUE" },
    };
    for (size_t index = 0; index < sizeof wrong / sizeof *wrong; index++) {
        certs_write (path, wrong[index].text);
        *why = 0;
        CU_ASSERT_PTR_NULL (umbp_quotas_read (path, why, sizeof why));
        CU_ASSERT (strstr (why, wrong[index].said) != NULL);
        if (!strstr (why, wrong[index].said))
            printf ("[%s] ", why);
    }
    CU_ASSERT_PTR_NULL (umbp_quotas_read (certs_path ("nothing"), why, sizeof why));
    CU_ASSERT (strstr (why, "cannot be read") != NULL);
    uint64_t stamp = umbp_quotas_stamp (path);
    certs_write (path, "tenant = longer than before\n");
    CU_ASSERT (umbp_quotas_stamp (path) != stamp);
    CU_ASSERT (umbp_quotas_stamp ("") == 1 && umbp_quotas_stamp (certs_path ("nothing")) == 0);
}

//  --------------------------------------------------------------------------------------------------
//  A tier

static umbp_store_t *s_store (uint32_t pages, const char *tenant, uint64_t limit)
{
    umbp_store_t *store = umbp_store_new (PAGE, &pages, 1, 5);
    umbp_quotas_t *quotas = umbp_quotas_new ();
    if (tenant)
        umbp_quotas_set (quotas, tenant, 2, limit);
    umbp_store_set_quotas (store, &quotas, 2);
    return store;
}

static int s_reserve (umbp_store_t *store, const char *tenant, uint64_t number, uint32_t size,
                      uint16_t depth, uint32_t *item)
{
    uint8_t key[200];
    size_t used = s_scoped (tenant, &number, sizeof number, key);
    return umbp_store_reserve (store, key, used, size, depth, item);
}

static uint32_t s_put (umbp_store_t *store, const char *tenant, uint64_t number, uint32_t size,
                       uint16_t depth, uint64_t tick)
{
    uint32_t item = UMBP_STORE_NONE;
    CU_ASSERT_FATAL (s_reserve (store, tenant, number, size, depth, &item) == 0);
    CU_ASSERT_FATAL (umbp_store_commit (store, item, 1, tick) == 0);
    return item;
}

static const umbp_tenant_t *s_row (umbp_store_t *store, const char *tenant)
{
    umbp_tenants_t *tenants = umbp_store_tenants (store);
    uint16_t row = umbp_tenants_find (tenants, s_text (tenant));
    CU_ASSERT_FATAL (row != UMBP_TENANT_NONE);
    return umbp_tenants_at (tenants, row);
}

static void test_charge (void)
{
    uint32_t item;
    umbp_store_t *store = s_store (100, "red", 10 * PAGE);
    uint32_t held = s_put (store, "red", 1, 3 * PAGE - 5, 0, 1);
    CU_ASSERT (s_row (store, "red")->bytes == 3 * PAGE);
    CU_ASSERT (s_reserve (store, "red", 2, 7 * PAGE + 1, 0, &item) == UMBP_EQUOTA);
    CU_ASSERT (s_reserve (store, "red", 2, 7 * PAGE, 0, &item) == 0);        //  A slot counts
    CU_ASSERT (s_reserve (store, "red", 3, 1, 0, &item) == UMBP_EQUOTA);
    CU_ASSERT (s_reserve (store, "red", 1, 1, 0, &item) == UMBP_EEXIST);     //  No room is needed
    s_put (store, "blue", 1, 50 * PAGE, 0, 1);               //  The same key; nobody limits it
    s_put (store, "", 1, 2 * PAGE, 0, 1);
    CU_ASSERT (s_row (store, "blue")->bytes == 50 * PAGE && s_row (store, "")->bytes == 2 * PAGE);
    CU_ASSERT (s_row (store, "red")->blocks == 2);
    umbp_store_hold (store, held);
    umbp_store_drop (store, held);
    CU_ASSERT (s_row (store, "red")->bytes == 10 * PAGE);    //  Until its reader is done
    CU_ASSERT (s_row (store, "red")->doomed == 3 * PAGE);
    CU_ASSERT (s_reserve (store, "red", 3, PAGE, 0, &item) == UMBP_EQUOTA);
    umbp_store_unhold (store, held);
    CU_ASSERT (s_row (store, "red")->doomed == 0 && s_row (store, "red")->bytes == 7 * PAGE);
    CU_ASSERT (s_reserve (store, "red", 3, 3 * PAGE, 0, &item) == 0);
    umbp_store_destroy (&store);
}

//  Own victims: least recently used first, deepest of a tick first, held ones not
static void test_order (void)
{
    umbp_store_t *store = s_store (200, "red", 100 * PAGE);
    uint32_t items[8], victims[16];
    for (uint64_t number = 0; number < 4; number++)          //  A chain, root first, in one tick
        items[number] = s_put (store, "red", number, 1, (uint16_t) number, 1);
    s_put (store, "blue", 0, 1, 0, 1);
    for (uint64_t number = 4; number < 8; number++)
        items[number] = s_put (store, "red", number, 1, (uint16_t) (8 - number), 2);
    uint16_t red = umbp_tenants_find (umbp_store_tenants (store), s_text ("red"));
    static const size_t first[] = { 3, 2, 1, 0, 4, 5, 6, 7 };
    CU_ASSERT (umbp_store_own_victims (store, red, 16, victims) == 8);
    for (size_t index = 0; index < 8; index++)
        CU_ASSERT (victims[index] == items[first[index]]);
    umbp_store_touch (store, items[3], 3);
    umbp_store_hold (store, items[2]);
    CU_ASSERT (umbp_store_own_victims (store, red, 16, victims) == 7);
    CU_ASSERT (victims[0] == items[1] && victims[6] == items[3]);
    umbp_store_unhold (store, items[2]);

    //  The limit goes, and comes again: the order is that of all blocks
    umbp_quotas_t *quotas = umbp_quotas_new ();
    umbp_store_set_quotas (store, &quotas, 2);
    CU_ASSERT (umbp_store_own_victims (store, red, 16, victims) == 8);
    umbp_store_touch (store, items[1], 4);
    quotas = umbp_quotas_new ();
    umbp_quotas_set (quotas, "*", 2, 100 * PAGE);
    umbp_store_set_quotas (store, &quotas, 2);
    static const size_t second[] = { 2, 0, 4, 5, 6, 7, 3, 1 };
    CU_ASSERT (umbp_store_own_victims (store, red, 16, victims) == 8);
    for (size_t index = 0; index < 8; index++)
        CU_ASSERT (victims[index] == items[second[index]]);
    umbp_store_touch (store, items[2], 5);
    CU_ASSERT (umbp_store_own_victims (store, red, 16, victims) == 8);
    CU_ASSERT (victims[0] == items[0] && victims[7] == items[2]);
    umbp_store_destroy (&store);
}

static void test_rows (void)
{
    umbp_store_t *store = s_store (4000, NULL, 0);
    uint32_t item;
    char name[16];
    for (int number = 1; number < UMBP_TENANTS_MAX; number++) {
        snprintf (name, sizeof name, "t-%d", number);
        s_put (store, name, 1, 1, 0, 1);
    }
    CU_ASSERT (s_reserve (store, "one more", 1, 1, 0, &item) == UMBP_EQUOTA);
    uint8_t key[64];
    uint64_t one = 1;
    size_t used = s_scoped ("t-9", &one, sizeof one, key);
    umbp_store_drop (store, umbp_store_find (store, key, used));
    CU_ASSERT (s_reserve (store, "one more", 1, 1, 0, &item) == 0);
    CU_ASSERT (umbp_tenants_find (umbp_store_tenants (store), s_text ("t-9")) == UMBP_TENANT_NONE);
    umbp_store_destroy (&store);
}

//  Whatever happens to blocks of any tenant, what they use adds up to what is used
static void test_conservation (void)
{
    static const char *const names[] = { "", "red", "blue", "green", "white" };
    const char *text = getenv ("UMBP_SEED");
    uint64_t seed =
        text ? strtoull (text, NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("[conservation seed=%llu] ", (unsigned long long) seed);
    umbp_store_t *store = s_store (400, "red", 60 * PAGE);
    uint32_t held[64], held_count = 0, quota = 0;
    for (uint64_t turn = 0; turn < 60000; turn++) {
        uint64_t draw = umbp_splitmix (&seed);
        const char *name = names[draw % 5];
        uint32_t item = UMBP_STORE_NONE, size = 1 + (uint32_t) (draw >> 8) % (12 * PAGE);
        uint64_t number = draw >> 48 & 31;
        int rc = s_reserve (store, name, number, size, (uint16_t) (draw >> 40 & 7), &item);
        quota += rc == UMBP_EQUOTA;
        uint32_t reach = umbp_store_reach (store),
                 any = reach ? (uint32_t) (draw >> 20) % reach : 0;
        if (rc == 0 && draw >> 60 & 7)
            umbp_store_commit (store, item, 1, turn);
        else if (rc == 0)
            umbp_store_drop (store, item);
        else if (rc == UMBP_EEXIST)
            umbp_store_touch (store, item, turn);
        if (reach && draw >> 56 & 1 && umbp_store_block (store, any)->state == UMBP_BLOCK_LIVE) {
            if (draw >> 57 & 1 && held_count < 64) {
                umbp_store_hold (store, any);
                held[held_count++] = any;
            } else
                umbp_store_drop (store, any);
        }
        if (held_count && (draw >> 58 & 3) == 0)
            umbp_store_unhold (store, held[--held_count]);
        if (turn % 1000 == 999) {
            umbp_quotas_t *quotas = umbp_quotas_new ();
            umbp_quotas_set (quotas, "red", 2, (40 + (draw & 63)) * PAGE);
            if (draw >> 7 & 1)
                umbp_quotas_set (quotas, "*", 2, 50 * PAGE);
            umbp_store_set_quotas (store, &quotas, 2);
        }
        uint64_t sum = 0, blocks = 0;
        for (uint16_t row = 0; row < 8; row++) {
            const umbp_tenant_t *who = umbp_tenants_at (umbp_store_tenants (store), row);
            sum += who->used ? who->bytes : 0;
            blocks += who->used ? who->blocks : 0;
        }
        umbp_store_counts_t counts = umbp_store_counts (store);
        CU_ASSERT_FATAL (sum == counts.used_bytes);
        CU_ASSERT_FATAL (blocks == counts.live + counts.slots + counts.doomed);
    }
    CU_ASSERT (quota > 0);
    while (held_count)
        umbp_store_unhold (store, held[--held_count]);
    uint32_t victims[512];
    for (uint16_t row = 0; row < 5; row++)
        for (size_t count; (count = umbp_store_own_victims (store, row, 512, victims)) > 0;)
            while (count > 0)
                umbp_store_drop (store, victims[--count]);
    CU_ASSERT (umbp_store_counts (store).used_bytes == 0);
    umbp_store_destroy (&store);
}

int main (void)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("tenants", certs_start, certs_stop);
    CU_ADD_TEST (suite, test_scopes);
    CU_ADD_TEST (suite, test_random_scopes);
    CU_ADD_TEST (suite, test_file);
    CU_ADD_TEST (suite, test_charge);
    CU_ADD_TEST (suite, test_order);
    CU_ADD_TEST (suite, test_rows);
    CU_ADD_TEST (suite, test_conservation);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0 || CU_get_error () != CUE_SUCCESS;
}

//  test/unit/test_policy_store.c - the policy of a store: which there are, who is remembered, copies before last copies,
//  one tenant's blocks among those of all
#include "actors/tier/store.h"
#include "proto/error.h"
#include "proto/scope.h"
#include "proto/types.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 64

static umbp_store_t *s_store (const char *policy)
{
    static const uint32_t pages[] = { PAGES };
    umbp_store_t *store = umbp_store_new (PAGE, pages, 1, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL (store);
    CU_ASSERT (umbp_store_set_policy (store, policy) == 0);
    return store;
}

static uint32_t s_put (umbp_store_t *store, const void *key, size_t size, umbp_policy_hint_t hint,
                       bool copy, uint64_t tick)
{
    uint32_t item = UMBP_STORE_NONE;
    CU_ASSERT_FATAL (umbp_store_reserve (store, key, size, PAGE, 0, &item) == 0);
    umbp_store_set_hints (store, item, hint, copy);
    CU_ASSERT_FATAL (umbp_store_commit (store, item, 1, tick) == 0);
    return item;
}

static uint32_t s_put_number (umbp_store_t *store, uint32_t number, bool copy)
{
    char key[16];
    snprintf (key, sizeof key, "%u", number);
    return s_put (store, key, strlen (key), UMBP_POLICY_HINT_NONE, copy, number + 1);
}

static void test_which (void)
{
    umbp_store_t *store = s_store ("s3fifo");
    CU_ASSERT (umbp_store_set_policy (store, "fifo") == UMBP_EINVAL);
    CU_ASSERT (umbp_store_set_policy (store, "arc") == 0);
    s_put_number (store, 1, false);
    CU_ASSERT (umbp_store_set_policy (store, "lru")
               == UMBP_EINVAL); //  It knows nothing of that block
    umbp_store_destroy (&store);
}

//  What left for want of room comes back without probation; what was removed does not
static void test_remembers (void)
{
    umbp_store_t *store = s_store ("s3fifo");
    uint32_t one = s_put_number (store, 1, false), two = s_put_number (store, 2, false);
    CU_ASSERT (umbp_store_evict (store, one));
    CU_ASSERT (umbp_store_drop (store, two));
    CU_ASSERT (umbp_store_policy_stats (store).ghosts == 1);
    s_put_number (store, 2, false);
    CU_ASSERT (umbp_store_policy_stats (store).small == 1);
    s_put_number (store, 1, false);
    CU_ASSERT (umbp_store_policy_stats (store).small == 1);
    CU_ASSERT (umbp_store_policy_stats (store).ghost_hits == 1);
    umbp_store_destroy (&store);
}

//  Blocks 0 to 29, of which every third is a copy, are asked for ten at a time
static void test_copies_first (void)
{
    for (size_t number = 0; umbp_policy_name (number); number++) {
        umbp_store_t *store = s_store (umbp_policy_name (number));
        uint32_t items[30], victims[10];
        for (uint32_t index = 0; index < 30; index++)
            items[index] = s_put_number (store, index, index % 3 == 1);
        CU_ASSERT_FATAL (umbp_store_victims (store, 10, victims) == 10);
        for (uint32_t index = 0; index < 10; index++)
            //  Copies among the 20 that should leave first: 1, 4 .. 19; then 0, 2, 3
            CU_ASSERT (umbp_store_block (store, victims[index])->copy == (index < 7));
        CU_ASSERT (victims[0] == items[1] && victims[6] == items[19] && victims[7] == items[0]);
        umbp_store_hold (store, items[1]);
        umbp_store_hold (store, items[0]);
        CU_ASSERT_FATAL (umbp_store_victims (store, 10, victims) == 10);
        for (uint32_t index = 0; index < 10; index++)
            CU_ASSERT (victims[index] != items[0] && victims[index] != items[1]);
        CU_ASSERT (umbp_store_victims (store, 1, victims) == 1 && victims[0] == items[2]);
        umbp_store_destroy (&store);
    }
}

//  One tenant's blocks without a limit are found among those of all, oldest first, and others stay as they are
static void test_own (void)
{
    umbp_store_t *store = s_store ("s3fifo");
    for (uint32_t index = 0; index < 20; index++) {
        uint8_t key[UMBP_SCOPED_KEY_MAX];
        size_t size = umbp_scope_write (index % 2 ? "green" : "blue", key);
        key[size++] = (uint8_t) ('a' + index);
        s_put (store, key, size, UMBP_POLICY_HINT_NONE, false, index + 1);
    }
    uint16_t row = umbp_tenants_find (umbp_store_tenants (store), umbp_text ("green"));
    uint32_t own[8], first = UMBP_STORE_NONE;
    umbp_policy_stats_t before = umbp_store_policy_stats (store);
    CU_ASSERT_FATAL (umbp_store_own_victims (store, row, 8, own) == 8);
    for (uint32_t index = 0; index < 8; index++)
        CU_ASSERT (umbp_store_block (store, own[index])->tenant == row);
    CU_ASSERT (own[0] < own[7]);
    umbp_policy_stats_t after = umbp_store_policy_stats (store);
    CU_ASSERT (memcmp (&before, &after, sizeof before) == 0);
    CU_ASSERT (umbp_store_victims (store, 1, &first) == 1 && first != own[0]);
    umbp_store_destroy (&store);
}

int main (void)
{
    alarm (30);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("policy_store", NULL, NULL);
    CU_ADD_TEST (suite, test_which);
    CU_ADD_TEST (suite, test_remembers);
    CU_ADD_TEST (suite, test_copies_first);
    CU_ADD_TEST (suite, test_own);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

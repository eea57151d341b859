//  test/unit/test_leases.c - the table of leases
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "actors/tier/leases.h"
#include "proto/splitmix.h"

#define MAX 100

static void test_one (void)
{
    static const uint32_t items[] = { 7, 7, 9 };
    umbp_leases_t *leases = umbp_leases_new (2);
    CU_ASSERT (umbp_leases_count (leases) == 0);
    CU_ASSERT_PTR_NULL (umbp_leases_find (leases, 0));
    CU_ASSERT_PTR_NULL (umbp_leases_find (leases, UINT64_C (1) << 32));
    umbp_lease_t *lease = umbp_leases_add (leases, 5, items, 3, 1000);
    CU_ASSERT_FATAL (lease != NULL && lease->number != 0);
    CU_ASSERT (lease->session == 5 && lease->expires == 1000 && lease->count == 3);
    CU_ASSERT (lease->items != items && memcmp (lease->items, items, sizeof items) == 0);
    CU_ASSERT (!lease->granted && !lease->fencing);
    uint64_t number = lease->number;
    CU_ASSERT (umbp_leases_find (leases, number) == lease);
    CU_ASSERT_PTR_NULL (umbp_leases_find (leases, number + (UINT64_C (1) << 32)));
    CU_ASSERT_PTR_NULL (umbp_leases_find (leases, number + 1));
    umbp_leases_remove (leases, lease);
    CU_ASSERT (umbp_leases_count (leases) == 0);
    CU_ASSERT_PTR_NULL (umbp_leases_find (leases, number));
    lease = umbp_leases_add (leases, 6, items, 1, INT64_MAX);
    CU_ASSERT (lease->number != number);                     //  The same place, another name
    umbp_leases_destroy (&leases);
    CU_ASSERT_PTR_NULL (leases);
    umbp_leases_destroy (&leases);
}

static void test_full (void)
{
    static const uint32_t item = 1;
    umbp_leases_t *leases = umbp_leases_new (2);
    umbp_lease_t *first = umbp_leases_add (leases, 1, &item, 1, 1);
    CU_ASSERT (first && umbp_leases_add (leases, 2, &item, 1, 1));
    CU_ASSERT_PTR_NULL (umbp_leases_add (leases, 3, &item, 1, 1));
    umbp_leases_remove (leases, first);
    CU_ASSERT_PTR_NOT_NULL (umbp_leases_add (leases, 3, &item, 1, 1));
    CU_ASSERT_PTR_NULL (umbp_leases_add (leases, 4, &item, 1, 1));
    umbp_leases_destroy (&leases);
}

//  All are seen once, also if each is removed as it is seen
static void test_walk (void)
{
    umbp_leases_t *leases = umbp_leases_new (MAX);
    for (uint32_t number = 0; number < MAX; number++)
        umbp_leases_add (leases, number % 3, &number, 1, 1);
    uint32_t cursor = 0, seen = 0;
    umbp_lease_t *lease;
    while ((lease = umbp_leases_next (leases, &cursor))) {
        CU_ASSERT (lease->items[0] == seen++);
        if (lease->session == 1)
            umbp_leases_remove (leases, lease);
    }
    CU_ASSERT (seen == MAX);
    seen = cursor = 0;
    while ((lease = umbp_leases_next (leases, &cursor))) {
        CU_ASSERT (lease->session != 1);
        seen++;
    }
    CU_ASSERT (seen == umbp_leases_count (leases) && seen == MAX - MAX / 3);
    umbp_leases_destroy (&leases);
}

//  Against a list of what should be there
static void test_random (void)
{
    uint64_t seed = (uint64_t) time (NULL), state = seed;
    printf ("(seed %llu) ", (unsigned long long) seed);
    umbp_leases_t *leases = umbp_leases_new (MAX);
    uint64_t numbers[MAX];
    uint32_t count = 0;
    for (int step = 0; step < 100000; step++) {
        uint32_t drawn = (uint32_t) umbp_splitmix (&state), item = drawn % 1000;
        if (drawn >> 31) {
            umbp_lease_t *lease = umbp_leases_add (leases, item, &item, 1, 1);
            CU_ASSERT_FATAL ((lease == NULL) == (count == MAX));
            if (lease)
                numbers[count++] = lease->number;
        } else if (count > 0) {
            uint32_t which = drawn % count;
            umbp_lease_t *lease = umbp_leases_find (leases, numbers[which]);
            CU_ASSERT_FATAL (lease && lease->session == lease->items[0]);
            umbp_leases_remove (leases, lease);
            CU_ASSERT_PTR_NULL_FATAL (umbp_leases_find (leases, numbers[which]));
            numbers[which] = numbers[--count];
        }
        CU_ASSERT_FATAL (umbp_leases_count (leases) == count);
    }
    umbp_leases_destroy (&leases);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("leases", NULL, NULL);
    CU_ADD_TEST (suite, test_one);
    CU_ADD_TEST (suite, test_full);
    CU_ADD_TEST (suite, test_walk);
    CU_ADD_TEST (suite, test_random);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

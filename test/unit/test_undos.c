//  test/unit/test_undos.c - removals of copies that are open: who waits for which, and their bound
#include <CUnit/Basic.h>

#include "actors/tier/undos.h"

static uint64_t s_not_done;

static void s_on_failed (void *owner, uint64_t number)
{
    (void) owner;
    s_not_done = number;
}

//  Whoever waits has those numbers alone that were planned for it, or that it joined
static void test_spans (void)
{
    umbp_undos_t *undos = umbp_undos_new (NULL, 2, NULL, s_on_failed);
    umbp_undo_span_t none = { 0 }, one = { 0 }, two = { 0 };
    uint64_t first = umbp_undos_plan (undos, &one);
    CU_ASSERT (umbp_undos_plan (undos, &two) == first + 1);
    CU_ASSERT (one.first == first && one.last == first);
    CU_ASSERT (two.first == first + 1 && two.last == first + 1);
    umbp_undos_join (&two, first);
    CU_ASSERT (two.first == first && two.last == first + 1);
    CU_ASSERT (umbp_undos_are_done (undos, &none));
    CU_ASSERT (!umbp_undos_are_done (undos, &one) && !umbp_undos_are_done (undos, &two));
    umbp_undo_span_t other = { .first = first + 2, .last = first + 9 };
    CU_ASSERT (umbp_undos_are_done (undos, &other));
    umbp_undos_destroy (&undos);
}

//  Beyond the bound nothing is waited for, and who asked knows that it is not safe
static void test_bound (void)
{
    umbp_undos_t *undos = umbp_undos_new (NULL, 2, NULL, s_on_failed);
    umbp_undo_span_t span = { 0 }, beyond = { 0 };
    for (unsigned count = 0; count < UMBP_UNDOS_MAX; count++)
        CU_ASSERT (umbp_undos_plan (undos, &span) > 0);
    CU_ASSERT (!span.unsafe && span.last - span.first + 1 == UMBP_UNDOS_MAX);
    CU_ASSERT (umbp_undos_plan (undos, &beyond) == 0);
    CU_ASSERT (beyond.unsafe && beyond.first == 0);
    CU_ASSERT (s_not_done == 0);
    umbp_undos_destroy (&undos);
}

int main (void)
{
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("undos", NULL, NULL);
    CU_ADD_TEST (suite, test_spans);
    CU_ADD_TEST (suite, test_bound);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

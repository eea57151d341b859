//  test/unit/test_probes.c - which endpoints a registry tries, and when, with time passed in
#include <CUnit/Basic.h>
#include <czmq.h>

#include "actors/probes.h"
#include "proto/error.h"
#include "proto/types.h"

#define START 5000000                   //  When our clock begins; the rules must not care

static void test_probes_wait_longer (void)
{
    static const int64_t waits[] = { 1000, 2000, 4000, 8000, 10000, 10000 };
    umbp_probes_t *probes = umbp_probes_new (1000);
    const char *endpoint = "tcp://h:1";
    uint64_t tag = umbp_probes_tag (endpoint);
    int64_t now = START;
    for (size_t index = 0; index < sizeof waits / sizeof *waits; index++) {
        CU_ASSERT (umbp_probes_begin (probes, endpoint, now));
        CU_ASSERT (!umbp_probes_begin (probes, endpoint, now));
        CU_ASSERT (umbp_probes_failed (probes, tag, UMBP_EUNREACH, now) == (index == 0));
        CU_ASSERT (!umbp_probes_begin (probes, endpoint, now + waits[index] - 1));
        now += waits[index];
    }
    CU_ASSERT (umbp_probes_begin (probes, endpoint, now));
    CU_ASSERT (umbp_probes_failed (probes, tag, UMBP_EDENIED, now));        //  That is news
    CU_ASSERT (!umbp_probes_failed (probes, tag, UMBP_EDENIED, now));       //  None was under way
    umbp_probes_met (probes, tag);                          //  All is forgotten
    CU_ASSERT (umbp_probes_begin (probes, endpoint, now));
    CU_ASSERT (umbp_probes_open (probes) == 1);
    umbp_probes_alias (probes, tag, "node-a", now);
    CU_ASSERT (umbp_probes_open (probes) == 0);
    CU_ASSERT_STRING_EQUAL (umbp_probes_node (probes, endpoint), "node-a");
    CU_ASSERT_PTR_NULL (umbp_probes_node (probes, "tcp://h:2"));
    umbp_probes_destroy (&probes);
}

//  Who speaks to us need not wait until we try again by ourselves; nor is it tried at each of its words
static void test_probes_hear (void)
{
    static const char *const endpoint = "tcp://h:1";
    uint64_t tag = umbp_probes_tag (endpoint);
    umbp_probes_t *probes = umbp_probes_new (1000);
    int64_t now = START;
    umbp_probes_heard (probes, endpoint);                   //  Unknown: nothing to hurry
    for (int turn = 0; turn < 5; turn++, now += 10000) {
        CU_ASSERT (umbp_probes_begin (probes, endpoint, now));
        umbp_probes_failed (probes, tag, UMBP_ESTALE, now);
    }
    now -= 10000;
    CU_ASSERT (!umbp_probes_begin (probes, endpoint, now + 1000));
    umbp_probes_heard (probes, endpoint);
    CU_ASSERT (!umbp_probes_begin (probes, endpoint, now + 999));
    CU_ASSERT (umbp_probes_begin (probes, endpoint, now + 1000));
    umbp_probes_destroy (&probes);
}

static void test_probes_are_bounded (void)
{
    umbp_probes_t *probes = umbp_probes_new (1000);
    char endpoint[32];
    umbp_probes_lost (probes, "tcp://kept:1", START + 100000, START);
    for (int index = 0; index < 3 * UMBP_PROBES_MAX; index++) {
        snprintf (endpoint, sizeof endpoint, "tcp://h:%d", index + 1);
        CU_ASSERT (umbp_probes_begin (probes, endpoint, START) == (index < UMBP_PROBES_OPEN_MAX));
    }
    CU_ASSERT (umbp_probes_open (probes) == UMBP_PROBES_OPEN_MAX);
    for (int index = 0; index < 3 * UMBP_PROBES_MAX; index++) {
        snprintf (endpoint, sizeof endpoint, "tcp://h:%d", index + 1);
        umbp_probes_failed (probes, umbp_probes_tag (endpoint), UMBP_EUNREACH, START);
        CU_ASSERT (umbp_probes_begin (probes, endpoint, START) == (index >= UMBP_PROBES_OPEN_MAX));
        umbp_probes_failed (probes, umbp_probes_tag (endpoint), UMBP_EUNREACH, START);
    }
    CU_ASSERT (umbp_probes_open (probes) == 0);
    size_t cursor = 0;
    CU_ASSERT_STRING_EQUAL (umbp_probes_due (probes, &cursor, START), "tcp://kept:1");
    CU_ASSERT_PTR_NULL (umbp_probes_due (probes, &cursor, START));
    cursor = 0;
    CU_ASSERT_PTR_NULL (umbp_probes_due (probes, &cursor, START + 100000));
    umbp_probes_destroy (&probes);
}

int main (void)
{
    alarm (30);
    setvbuf (stdout, NULL, _IONBF, 0);
    zsys_set_logstream (getenv ("UMBP_LOG") ? stdout : NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("probes", NULL, NULL);
    CU_ADD_TEST (suite, test_probes_wait_longer);
    CU_ADD_TEST (suite, test_probes_hear);
    CU_ADD_TEST (suite, test_probes_are_bounded);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/guest/guest.h - what all tests in the guest of guest.sh share: the seed, the plug-in, the main.
//  `PROGRAM PLUGIN [SEED [TEST]]` runs the tests, or one of them.
#ifndef UMBP_TEST_GUEST_H
#define UMBP_TEST_GUEST_H

#include "cluster/bulk/verbs.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LONG_MS 60000                   //  Nothing here takes so long, even on a busy host

static char *guest_plugin;
static uint64_t guest_seed = 1;

static inline uint64_t guest_random (uint64_t below)
{
    guest_seed ^= guest_seed << 13;
    guest_seed ^= guest_seed >> 7;
    guest_seed ^= guest_seed << 17;
    return (guest_seed >> 11) % below;
}

typedef struct {
    const char *name;
    void (*test) (void);
} guest_test_t;

#define TEST(name)                                                                                 \
    {                                                                                              \
        #name, test_##name                                                                         \
    }

//  Returns the exit status
static inline int guest_run (int argc, char **argv, const char *name, const guest_test_t *tests,
                             size_t count, CU_InitializeFunc open, CU_CleanupFunc close)
{
    setvbuf (stdout, NULL, _IONBF, 0);
    guest_seed =
        argc > 2 ? strtoull (argv[2], NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid ();
    printf ("seed %ju\n", (uintmax_t) guest_seed);
    guest_seed = guest_seed * UINT64_C (0x9e3779b97f4a7c15) | 1;
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite (name, open, close);
    for (size_t index = 0; index < count; index++)
        if (argc < 4 || !strcmp (argv[3], tests[index].name))
            CU_add_test (suite, tests[index].name, tests[index].test);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    int failed = CU_get_number_of_failures () > 0 || CU_get_number_of_tests_run () == 0
                 || CU_get_number_of_suites_failed () > 0;
    CU_cleanup_registry ();
    return failed;
}

#endif

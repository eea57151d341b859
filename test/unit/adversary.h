//  test/unit/adversary.h - random rounds of somebody who does the wrong thing: how many, and drawn
//  from which seed. $UMBP_ROUNDS says how many of each kind, $UMBP_SEED repeats a run, and an
//  argument runs only the tests whose name has it, or "list"s them: `make check-adversary` runs them
//  side by side.
#ifndef UMBP_TEST_ADVERSARY_H
#define UMBP_TEST_ADVERSARY_H

#include <CUnit/Basic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/splitmix.h"

static uint64_t adversary_state;

//  Begin a test: print its seed. Returns how many rounds it has.
static inline unsigned adversary_begin (const char *test, unsigned rounds)
{
    const char *seed = getenv ("UMBP_SEED"), *many = getenv ("UMBP_ROUNDS");
    adversary_state = seed ? strtoull (seed, NULL, 10)
                           : (uint64_t) time (NULL) * 1000003 ^ (uint64_t) getpid () << 32;
    if (many && atoi (many) > 0)
        rounds = (unsigned) atoi (many);
    printf ("[%s: %u rounds, seed=%llu] ", test, rounds, (unsigned long long) adversary_state);
    fflush (stdout);
    return rounds;
}

//  0 .. below - 1
static inline uint64_t adversary_draw (uint64_t below)
{
    return umbp_splitmix (&adversary_state) % below;
}

//  How long a program may run; none, if somebody wants many rounds
static inline void adversary_alarm (unsigned seconds)
{
    alarm (getenv ("UMBP_ROUNDS") ? 0 : seconds);
}

typedef struct {
    const char *name;
    void (*test) (void);
} adversary_test_t;

//  Returns what main returns
static inline int adversary_run (const char *name, const adversary_test_t *tests, size_t count,
                                 int argc, char **argv)
{
    if (argc > 1 && strcmp (argv[1], "list") == 0) {
        for (size_t index = 0; index < count; index++)
            puts (tests[index].name);
        return 0;
    }
    adversary_alarm (280);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite (name, NULL, NULL);
    for (size_t index = 0; index < count; index++)
        if (argc < 2 || strstr (tests[index].name, argv[1]))
            CU_add_test (suite, tests[index].name, tests[index].test);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_tests_run () == 0 || CU_get_number_of_failures () > 0;
}

//  The bytes of the block of a number
static inline void adversary_fill (uint8_t *out, size_t size, uint64_t number)
{
    for (size_t at = 0; at < size; at++)
        out[at] = (uint8_t) (at % 8 ? out[at - 1] * 5 + 1 + at / 8 : umbp_splitmix (&number));
}

#endif

//  test/unit/test_slab.c - memory by sizes: nobody's bytes are another's, all is aligned, and what was given back
//  serves again.
#include <CUnit/Basic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cluster/slab.h"
#include "proto/splitmix.h"

#define THINGS 500

typedef struct {
    uint8_t *memory;
    size_t size;
    uint8_t mark;
} thing_t;

static bool s_is_intact (const thing_t *thing)
{
    for (size_t at = 0; at < thing->size; at++)
        if (thing->memory[at] != thing->mark)
            return false;
    return true;
}

static void test_things_do_not_touch (void)
{
    uint64_t seed = (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32, state = seed;
    printf ("[seed=%llu] ", (unsigned long long) seed);
    umbp_slab_t *slab = umbp_slab_new ();
    thing_t things[THINGS] = { { 0 } };
    size_t damaged = 0, crooked = 0;
    for (unsigned turn = 0; turn < 200000; turn++) {
        thing_t *thing = &things[umbp_splitmix (&state) % THINGS];
        if (thing->memory) {
            damaged += !s_is_intact (thing);
            umbp_slab_give (slab, thing->memory, thing->size);
            thing->memory = NULL;
            continue;
        }
        thing->size = umbp_splitmix (&state) % (turn % 50 == 0 ? 3 * UMBP_SLAB_LARGEST : 400);
        thing->mark = (uint8_t) turn;
        thing->memory = umbp_slab_take (slab, thing->size);
        crooked += (uintptr_t) thing->memory % 16 != 0;
        memset (thing->memory, thing->mark, thing->size);
    }
    for (size_t index = 0; index < THINGS; index++) {
        damaged += things[index].memory && !s_is_intact (&things[index]);
        umbp_slab_give (slab, things[index].memory, things[index].size);
    }
    CU_ASSERT_EQUAL (damaged, 0);
    CU_ASSERT_EQUAL (crooked, 0);
    umbp_slab_destroy (&slab);
    CU_ASSERT_PTR_NULL (slab);
}

static void test_serves_again (void)
{
    umbp_slab_t *slab = umbp_slab_new ();
    for (size_t size = 0; size <= UMBP_SLAB_LARGEST; size++) {
        void *first = umbp_slab_take (slab, size);
        umbp_slab_give (slab, first, size);
        void *second = umbp_slab_take (slab, size);
        CU_ASSERT_PTR_EQUAL (first, second);
        umbp_slab_give (slab, second, size);
    }
    umbp_slab_give (slab, NULL, 100);
    umbp_slab_destroy (&slab);
    umbp_slab_destroy (&slab);
}

int main (void)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("slab", NULL, NULL);
    CU_ADD_TEST (suite, test_things_do_not_touch);
    CU_ADD_TEST (suite, test_serves_again);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

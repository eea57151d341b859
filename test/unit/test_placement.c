//  test/unit/test_placement.c - where blocks are put: what each strategy chooses from what the members say
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <unistd.h>

#include "actors/placement.h"
#include "test/unit/crowd.h"

#define DRAM UMBP_TIER_DRAM
#define COUNT_OF(array) (sizeof (array) / sizeof *(array))

static const umbp_place_strategy_t s_all[] = { UMBP_PLACE_LOCAL, UMBP_PLACE_MOST_FREE,
                                               UMBP_PLACE_WEIGHTED, UMBP_PLACE_SAME };

static umbp_placement_t *s_placement (const crowd_t *rows, uint32_t count, const char *self)
{
    umbp_topology_t *topology = crowd_new (rows, count, self, 1);
    umbp_placement_t *placement = umbp_placement_new (42);
    umbp_placement_topology (placement, topology);
    umbp_topology_destroy (&topology);
    return placement;
}

static void test_names (void)
{
    CU_ASSERT (umbp_place_strategy ("local") == UMBP_PLACE_LOCAL);
    CU_ASSERT (umbp_place_strategy ("most_free") == UMBP_PLACE_MOST_FREE);
    CU_ASSERT (umbp_place_strategy ("weighted") == UMBP_PLACE_WEIGHTED);
    CU_ASSERT (umbp_place_strategy ("same") == UMBP_PLACE_SAME);
    CU_ASSERT (umbp_place_strategy ("") == 0);
    CU_ASSERT (umbp_place_strategy ("Local") == 0);
}

//  Here while there is room, then where most is free; what was placed counts at once
static void test_local (void)
{
    static const crowd_t rows[] = { CROWD ("a", 100, 40), CROWD ("b", 100, 80),
                                    CROWD ("c", 100, 0) };
    umbp_placement_t *placement = s_placement (rows, 3, "b");
    umbp_place_strategy_t local = UMBP_PLACE_LOCAL;
    CU_ASSERT (umbp_placement_choose (placement, local, DRAM, 15, NULL) == 1);
    CU_ASSERT (umbp_placement_choose (placement, local, DRAM, 15, NULL) == 2);       //  5 are left
    CU_ASSERT (umbp_placement_choose (placement, local, DRAM, 5, NULL) == 1);
    CU_ASSERT (umbp_placement_choose (placement, local, DRAM, 50, NULL) == 2);
    CU_ASSERT (umbp_placement_choose (placement, local, DRAM, 50, NULL) == 0);       //  c: 35, a: 60
    umbp_placement_destroy (&placement);
    CU_ASSERT_PTR_NULL (placement);
    umbp_placement_destroy (&placement);
}

//  A member that would have to evict gives way to one that would not; when all would, it is here again
static void test_local_before_eviction (void)
{
    static const crowd_t rows[] = { CROWD ("a", 1000, 895), CROWD ("b", 1000, 0) };
    umbp_topology_t *topology = crowd_new (rows, 2, "a", 1);
    umbp_placement_t *placement = umbp_placement_new (42);
    umbp_placement_set_marks (placement, 90, 70);
    umbp_placement_topology (placement, topology);
    umbp_topology_destroy (&topology);
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_LOCAL, DRAM, 5, NULL) == 0);
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_LOCAL, DRAM, 5, NULL) == 1);
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_LOCAL, DRAM, 890, NULL) == 1);
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_LOCAL, DRAM, 10, NULL) == 0);
    umbp_placement_destroy (&placement);
}

static void test_most_free (void)
{
    static const crowd_t rows[] = { CROWD ("a", 100, 50), CROWD ("b", 100, 0),
                                    CROWD ("c", 100, 30) };
    umbp_placement_t *placement = s_placement (rows, 3, "a");
    static const int wanted[] = { 1, 1, 2, 1, 0, 2 };        //  Free: 50, 100, 70, and 20 go each time
    for (size_t index = 0; index < COUNT_OF (wanted); index++)
        CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_MOST_FREE, DRAM, 20, NULL)
                   == wanted[index]);
    umbp_placement_destroy (&placement);
}

//  Members above the mark that evictions go down to take turns, however full each is just now
static void test_full_take_turns (void)
{
    static const crowd_t rows[] = { CROWD ("a", 1000, 990), CROWD ("b", 1000, 900),
                                    CROWD ("c", 1000, 950) };
    umbp_topology_t *topology = crowd_new (rows, 3, "a", 1);
    umbp_placement_t *placement = umbp_placement_new (42);
    umbp_placement_set_marks (placement, 100, 90);
    umbp_placement_topology (placement, topology);
    for (int block = 0; block < 300; block++)                //  Also beyond what they could free
        CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_MOST_FREE, DRAM, 2, NULL)
                   == block % 3);
    umbp_topology_destroy (&topology);
    umbp_placement_destroy (&placement);
}

//  Small blocks count as what they take, whole pages
static void test_pages (void)
{
    static const crowd_t rows[] = { CROWD ("a", 1000, 0), CROWD ("b", 1000, 600) };
    umbp_placement_t *placement = s_placement (rows, 2, "a");
    umbp_placement_set_page (placement, 100);
    for (int block = 0; block < 10; block++)
        CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_MOST_FREE, DRAM, 1, NULL)
                   == (block < 6 || block % 2 == 0 ? 0 : 1));
    umbp_placement_destroy (&placement);
}

//  A batch goes to the one member that has room for all of it, as long as it has
static void test_same (void)
{
    static const crowd_t rows[] = { CROWD ("a", 100, 90), CROWD ("b", 100, 20),
                                    CROWD ("c", 100, 30) };
    umbp_placement_t *placement = s_placement (rows, 3, "a");
    umbp_placement_batch (placement, DRAM, 80);
    for (int block = 0; block < 4; block++)
        CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_SAME, DRAM, 20, NULL) == 1);
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_SAME, DRAM, 20, NULL) == 2);
    umbp_placement_batch (placement, DRAM, 50);
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_SAME, DRAM, 25, NULL) == 2);
    umbp_tried_t tried = { { 2 }, 1 };                       //  It could not after all: they stay together
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_SAME, DRAM, 5, &tried) == 0);
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_SAME, DRAM, 5, &tried) == 0);
    umbp_placement_destroy (&placement);
}

//  Draws are in proportion to what is free. 10000 draws, 10:30:60 per cent: five sigma is under 2.5
static void test_weighted (void)
{
    static const crowd_t rows[] = { CROWD ("a", 1ull << 40, (1ull << 40) - 10000000),
                                    CROWD ("b", 1ull << 40, (1ull << 40) - 30000000),
                                    CROWD ("c", 1ull << 40, (1ull << 40) - 60000000),
                                    CROWD ("d", 1ull << 40, 1ull << 40) };
    umbp_placement_t *placement = s_placement (rows, 4, "a");
    int hits[4] = { 0 };
    for (int draw = 0; draw < 10000; draw++) {
        int member = umbp_placement_choose (placement, UMBP_PLACE_WEIGHTED, DRAM, 1, NULL);
        CU_ASSERT_FATAL (member >= 0 && member < 4);
        hits[member]++;
    }
    CU_ASSERT (abs (hits[0] - 1000) < 250);
    CU_ASSERT (abs (hits[1] - 3000) < 250);
    CU_ASSERT (abs (hits[2] - 6000) < 250);
    CU_ASSERT (hits[3] == 0);
    //  Only the largest has room for this one
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_WEIGHTED, DRAM, 50000000, NULL) == 2);
    umbp_placement_destroy (&placement);
}

//  A block that fits nowhere uses up nobody's room
static void test_misfit (void)
{
    static const crowd_t rows[] = { CROWD ("a", 100, 50), CROWD ("b", 100, 0) };
    for (size_t strategy = 0; strategy < COUNT_OF (s_all); strategy++) {
        umbp_placement_t *placement = s_placement (rows, 2, "a");
        umbp_tried_t tried = { .count = 0 };
        while (tried.count < 2) {
            int member = umbp_placement_choose (placement, s_all[strategy], DRAM, 1000, &tried);
            CU_ASSERT_FATAL (member >= 0);
            tried.members[tried.count++] = (uint16_t) member;
        }
        CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_LOCAL, DRAM, 50, NULL) == 0);
        CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_MOST_FREE, DRAM, 100, NULL) == 1);
        umbp_placement_destroy (&placement);
    }
}

//  Whoever was tried is not tried again; those without room are tried, last of all; then it is over
static void test_tried_and_full (void)
{
    static const crowd_t rows[] = { CROWD ("a", 100, 100), CROWD ("b", 100, 95),
                                    CROWD ("c", 100, 60) };
    for (size_t strategy = 0; strategy < COUNT_OF (s_all); strategy++) {
        umbp_placement_t *placement = s_placement (rows, 3, "a");
        umbp_tried_t tried = { .count = 0 };
        bool seen[3] = { false };
        for (int turn = 0; turn < 3; turn++) {
            int member = umbp_placement_choose (placement, s_all[strategy], DRAM, 20, &tried);
            CU_ASSERT_FATAL (member >= 0 && member < 3);
            CU_ASSERT (!seen[member]);
            CU_ASSERT (turn > 0 || member == 2);             //  The only one with room comes first
            seen[member] = true;
            tried.members[tried.count++] = (uint16_t) member;
        }
        CU_ASSERT (umbp_placement_choose (placement, s_all[strategy], DRAM, 20, &tried)
                   == UMBP_ENOSPC);
        umbp_placement_destroy (&placement);
    }
}

//  Suspects, nodes outside the ring and nodes without the tier are given nothing
static void test_unusable (void)
{
    static const crowd_t rows[] = { CROWD ("a", 100, 0, .suspect = true), CROWD ("b", 100, 99),
                                    CROWD ("c", 100, 0, .outside = true), CROWD ("d", 0, 0) };
    for (size_t strategy = 0; strategy < COUNT_OF (s_all); strategy++) {
        umbp_placement_t *placement = s_placement (rows, 4, "a");
        for (int turn = 0; turn < 3; turn++)
            CU_ASSERT (umbp_placement_choose (placement, s_all[strategy], DRAM, 7, NULL) == 1);
        CU_ASSERT (umbp_placement_choose (placement, s_all[strategy], UMBP_TIER_NVME, 7, NULL)
                   == UMBP_ENOTSUP);
        umbp_placement_destroy (&placement);
    }
}

//  What members say anew replaces what was counted off
static void test_new_topology (void)
{
    static const crowd_t rows[] = { CROWD ("a", 100, 0), CROWD ("b", 100, 10) };
    static const crowd_t later[] = { CROWD ("b", 100, 120) };         //  More than it has: none free
    umbp_placement_t *placement = s_placement (rows, 2, "a");
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_LOCAL, DRAM, 95, NULL) == 0);
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_LOCAL, DRAM, 10, NULL) == 1);
    umbp_topology_t *topology = crowd_new (rows, 2, "a", 2);
    umbp_placement_topology (placement, topology);
    umbp_topology_destroy (&topology);
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_LOCAL, DRAM, 95, NULL) == 0);
    topology = crowd_new (later, 1, "b", 3);
    umbp_placement_topology (placement, topology);
    umbp_topology_destroy (&topology);
    umbp_tried_t tried = { { 0 }, 1 };
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_LOCAL, DRAM, 95, NULL) == 0);
    CU_ASSERT (umbp_placement_choose (placement, UMBP_PLACE_LOCAL, DRAM, 95, &tried)
               == UMBP_ENOSPC);
    umbp_placement_destroy (&placement);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("placement", NULL, NULL);
    CU_ADD_TEST (suite, test_names);
    CU_ADD_TEST (suite, test_local);
    CU_ADD_TEST (suite, test_local_before_eviction);
    CU_ADD_TEST (suite, test_most_free);
    CU_ADD_TEST (suite, test_full_take_turns);
    CU_ADD_TEST (suite, test_pages);
    CU_ADD_TEST (suite, test_same);
    CU_ADD_TEST (suite, test_weighted);
    CU_ADD_TEST (suite, test_misfit);
    CU_ADD_TEST (suite, test_tried_and_full);
    CU_ADD_TEST (suite, test_unusable);
    CU_ADD_TEST (suite, test_new_topology);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

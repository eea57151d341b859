//  test/unit/test_board.c - the notice board: what is put up is found, what was taken down is not, and a reader that
//  copies while the owner gives pages to other blocks never takes other bytes for those of its block.
#include <CUnit/Basic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cluster/bulk/board.h"
#include "cluster/bulk/clock.h"
#include "proto/splitmix.h"

static const void *s_base (const umbp_board_t *board)
{
    return umbp_region_base (umbp_board_region (board));
}

static umbp_notice_t s_block (uint32_t item)
{
    return (umbp_notice_t) { .item = item,
                             .size = item * 3 + 1, .sum = item * UINT64_C (0x9e3779b97f4a7c15),
                             .extent_count = 2,
                             .extents = { { 1, item, 2, 0 }, { 63, UINT32_MAX - item, 1, 0 } } };
}

static void s_found_is (const umbp_notice_t *found, uint32_t item)
{
    umbp_notice_t block = s_block (item);
    CU_ASSERT_EQUAL (found->item, item);
    CU_ASSERT_EQUAL (found->size, block.size);
    CU_ASSERT_EQUAL (found->sum, block.sum);
    CU_ASSERT_EQUAL (found->extent_count, 2);
    for (size_t index = 0; index < 2; index++) {
        CU_ASSERT_EQUAL (found->extents[index].region, block.extents[index].region);
        CU_ASSERT_EQUAL (found->extents[index].page, block.extents[index].page);
        CU_ASSERT_EQUAL (found->extents[index].count, block.extents[index].count);
    }
}

//  Keys of all lengths, those that differ in their last byte or length only
static void test_finds_what_is_up (void)
{
    umbp_board_t *board = umbp_board_new (4096);
    uint8_t key[UMBP_BOARD_KEY_MAX + 1];
    memset (key, 'k', sizeof key);
    umbp_notice_t found, block;
    for (uint32_t size = 1; size <= UMBP_BOARD_KEY_MAX; size++) {
        block = s_block (size);
        CU_ASSERT_TRUE (umbp_board_add (board, key, size, &block));
    }
    CU_ASSERT_FALSE (umbp_board_add (board, key, UMBP_BOARD_KEY_MAX + 1, &block));
    CU_ASSERT_FALSE (umbp_board_add (board, key, 0, &block));
    block.extent_count = UMBP_BOARD_EXTENTS_MAX + 1;
    CU_ASSERT_FALSE (umbp_board_add (board, "other", 5, &block));
    CU_ASSERT_EQUAL (umbp_board_count (board), UMBP_BOARD_KEY_MAX);
    for (uint32_t size = 1; size <= UMBP_BOARD_KEY_MAX; size++) {
        CU_ASSERT_TRUE (umbp_board_look (s_base (board), key, size, &found));
        s_found_is (&found, size);
        CU_ASSERT_TRUE (umbp_board_still (s_base (board), &found));
        umbp_board_drop (board, key, size);
        CU_ASSERT_FALSE (umbp_board_still (s_base (board), &found));
        CU_ASSERT_FALSE (umbp_board_look (s_base (board), key, size, &found));
    }
    CU_ASSERT_EQUAL (umbp_board_count (board), 0);
    CU_ASSERT_FALSE (umbp_board_look (s_base (board), key, UMBP_BOARD_KEY_MAX + 1, &found));
    umbp_board_probe_t probes[] = { { .key = key, .there = true },
                                    { .key = key, .key_size = sizeof key, .there = true } };
    umbp_board_find (s_base (board), probes, 2);
    CU_ASSERT_FALSE (probes[0].there || probes[1].there);
    umbp_board_destroy (&board);
}

//  All keys at once: the same answers as one by one. Returns how many are wrong.
static size_t s_find_all (const umbp_board_t *board, const uint32_t *items, size_t count)
{
    umbp_board_probe_t *probes = calloc (count, sizeof *probes);
    char (*keys)[32] = calloc (count, sizeof *keys);
    size_t wrong = 0;
    for (size_t number = 0; number < count; number++)
        probes[number] = (umbp_board_probe_t) {
            .key = keys[number],
            .key_size = (size_t) snprintf (keys[number], sizeof keys[number], "block-%zu", number),
            .there = number % 2,
        };
    umbp_board_find (s_base (board), probes, count);
    for (size_t number = 0; number < count; number++)
        wrong += probes[number].there != (items[number] != 0);
    free (keys);
    free (probes);
    return wrong;
}

//  A model beside it: what the board says is always right, and most of what there is it has
static void test_agrees_with_a_model (void)
{
    enum { KEYS = 3000, TURNS = 200000 };
    uint64_t seed = (uint64_t) time (NULL), state = seed;
    printf ("\n    seed %llu ", (unsigned long long) seed);
    umbp_board_t *board = umbp_board_new (2048);
    uint32_t *items = calloc (KEYS, sizeof *items);
    size_t up = 0, refused = 0, wrong = 0;
    for (uint32_t turn = 1; turn <= TURNS; turn++) {
        uint32_t number = (uint32_t) (umbp_splitmix (&state) % KEYS);
        char key[32];
        size_t size = (size_t) snprintf (key, sizeof key, "block-%u", number);
        umbp_notice_t found, block = s_block (turn);
        bool there = umbp_board_look (s_base (board), key, size, &found);
        wrong += there != (items[number] != 0) || (there && found.item != items[number]);
        if (items[number]) {
            umbp_board_drop (board, key, size);
            items[number] = 0;
            up--;
        } else if (umbp_board_add (board, key, size, &block)) {
            items[number] = turn;
            up++;
        } else
            refused++;
        if (turn % 10000 == 0)
            wrong += s_find_all (board, items, KEYS);
    }
    CU_ASSERT_EQUAL (wrong, 0);
    CU_ASSERT_EQUAL (umbp_board_count (board), up);
    CU_ASSERT_TRUE (refused < TURNS / 10);
    free (items);
    umbp_board_destroy (&board);
}

//  Nearly all of as many blocks as there are notices find room
static void test_is_well_filled (void)
{
    enum { NOTICES = 1 << 16 };
    umbp_board_t *board = umbp_board_new (NOTICES);
    size_t refused = 0;
    for (uint32_t number = 0; number < NOTICES; number++) {
        char key[32];
        umbp_notice_t block = s_block (number);
        size_t size = (size_t) snprintf (key, sizeof key, "block-%u", number);
        refused += !umbp_board_add (board, key, size, &block);
    }
    printf ("%zu of %d refused ", refused, NOTICES);
    CU_ASSERT_TRUE (refused < NOTICES / 20);
    CU_ASSERT_EQUAL (umbp_board_count (board), NOTICES - refused);
    umbp_board_destroy (&board);
}

static void test_refuses_what_is_no_board (void)
{
    umbp_board_t *board = umbp_board_new (1);
    size_t bytes = umbp_region_bytes (umbp_board_region (board));
    uint64_t *base = umbp_region_base (umbp_board_region (board));
    CU_ASSERT_TRUE (umbp_board_check (base, bytes));
    CU_ASSERT_FALSE (umbp_board_check (base, bytes / 2));
    CU_ASSERT_FALSE (umbp_board_check (base, 8));
    uint64_t buckets = base[2];
    const uint64_t bad[] = { 0, buckets + 1, buckets * 2, UINT64_MAX, UINT64_C (1) << 63 };
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
        base[2] = bad[index];
        CU_ASSERT_FALSE (umbp_board_check (base, bytes));
    }
    base[2] = buckets;
    base[0]++;
    CU_ASSERT_FALSE (umbp_board_check (base, bytes));
    umbp_board_destroy (&board);
}

//  ------------------------------------------------------------------------------------------------
//  Readers in processes of their own, while pages change hands

#define PAGES 64
#define PAGE_WORDS 512
#define BLOCKS 200
#define ROUNDS 1000000
#define ROUNDS_MS 5000                  //  Fewer are made if they take longer

//  Who copied a block and finds the notice up has its bytes, all of them
static int s_read_for (const void *board, const uint64_t *pages, const _Atomic int *over,
                       uint64_t state)
{
    uint64_t copy[PAGE_WORDS], good = 0, late = 0;
    while (!atomic_load (over) || good + late == 0) {
        uint32_t number = (uint32_t) (umbp_splitmix (&state) % BLOCKS);
        char key[32];
        umbp_notice_t found;
        size_t size = (size_t) snprintf (key, sizeof key, "block-%u", number);
        if (!umbp_board_look (board, key, size, &found))
            continue;
        if (found.extents[0].page >= PAGES)
            return 2;
        memcpy (copy, pages + (size_t) found.extents[0].page * PAGE_WORDS, sizeof copy);
        if (!umbp_board_still (board, &found)) {
            late++;
            continue;
        }
        good++;
        for (size_t word = 0; word < PAGE_WORDS; word++)
            if (copy[word] != found.sum || found.sum % BLOCKS != number)
                return 1;
    }
    return good > 0 ? 0 : 3;
}

static void test_readers_never_take_other_bytes (void)
{
    uint64_t seed = (uint64_t) time (NULL), state = seed, owner_of[PAGES];
    printf ("\n    seed %llu ", (unsigned long long) seed);
    umbp_board_t *board = umbp_board_new (PAGES);
    umbp_region_t *memory = umbp_region_new ("pages", PAGES * PAGE_WORDS * 8, false, true, NULL);
    umbp_region_t *flag = umbp_region_new ("flag", 4096, false, true, NULL);
    uint64_t *pages = umbp_region_base (memory);
    _Atomic int *over = umbp_region_base (flag);
    bool up[BLOCKS] = { false };
    memset (owner_of, 0xff, sizeof owner_of);
    pid_t pids[3];
    for (size_t index = 0; index < 3; index++)
        if ((pids[index] = fork ()) == 0)
            _exit (s_read_for (s_base (board), pages, over, seed + index + 1));
    int64_t until_ms = umbp_clock_ms () + ROUNDS_MS;
    for (uint64_t round = 0; round < ROUNDS && umbp_clock_ms () < until_ms; round++) {
        size_t page = umbp_splitmix (&state) % PAGES;
        uint64_t number = umbp_splitmix (&state) % BLOCKS;
        char key[32];
        if (owner_of[page] != UINT64_MAX) {         //  The page leaves its block first
            int size = snprintf (key, sizeof key, "block-%u", (unsigned) owner_of[page]);
            umbp_board_drop (board, key, (size_t) size);
            up[owner_of[page]] = false;
            owner_of[page] = UINT64_MAX;
        }
        if (up[number])
            continue;
        uint64_t value = round * BLOCKS + number;
        for (size_t word = 0; word < PAGE_WORDS; word++)
            pages[page * PAGE_WORDS + word] = value;
        umbp_notice_t block = { .sum = value,
                                .size = PAGE_WORDS * 8,
                                .extent_count = 1,
                                .extents = { { 0, (uint32_t) page, 1, 0 } } };
        int size = snprintf (key, sizeof key, "block-%u", (unsigned) number);
        if (umbp_board_add (board, key, (size_t) size, &block)) {
            up[number] = true;
            owner_of[page] = number;
        }
    }
    atomic_store (over, 1);
    for (size_t index = 0; index < 3; index++) {
        int status = -1;
        CU_ASSERT_EQUAL (waitpid (pids[index], &status, 0), pids[index]);
        CU_ASSERT_TRUE (WIFEXITED (status));
        CU_ASSERT_EQUAL (WEXITSTATUS (status), 0);
    }
    umbp_region_destroy (&flag);
    umbp_region_destroy (&memory);
    umbp_board_destroy (&board);
}

int main (void)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("board", NULL, NULL);
    CU_ADD_TEST (suite, test_finds_what_is_up);
    CU_ADD_TEST (suite, test_agrees_with_a_model);
    CU_ADD_TEST (suite, test_is_well_filled);
    CU_ADD_TEST (suite, test_refuses_what_is_no_board);
    CU_ADD_TEST (suite, test_readers_never_take_other_bytes);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

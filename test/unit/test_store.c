//  test/unit/test_store.c - the blocks of a memory tier: their lives, and who owns which page
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "actors/tier/store.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#define PAGE 4096
#define REGIONS 3
#define REGION_PAGES 40
#define PAGES (REGIONS * REGION_PAGES)
#define NONE UMBP_STORE_NONE

static umbp_store_t *s_store (void)
{
    static const uint32_t pages[REGIONS] = { REGION_PAGES, REGION_PAGES, REGION_PAGES };
    umbp_store_t *store = umbp_store_new (PAGE, pages, REGIONS, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL (store);
    return store;
}

static int s_reserve (umbp_store_t *store, const char *key, uint32_t size, uint32_t *item)
{
    return umbp_store_reserve (store, key, strlen (key), size, 0, item);
}

static uint32_t s_find (const umbp_store_t *store, const char *key)
{
    return umbp_store_find (store, key, strlen (key));
}

//  A live block
static uint32_t s_put (umbp_store_t *store, const char *key, uint32_t size, uint64_t tick)
{
    uint32_t item = NONE;
    CU_ASSERT_FATAL (s_reserve (store, key, size, &item) == 0);
    CU_ASSERT_FATAL (umbp_store_commit (store, item, tick, tick) == 0);
    return item;
}

static bool s_counts_are (const umbp_store_t *store, uint64_t pages, uint64_t slots, uint64_t live,
                          uint64_t doomed)
{
    umbp_store_counts_t counts = umbp_store_counts (store);
    return counts.total_bytes == PAGES * PAGE && counts.used_bytes == pages * PAGE
           && counts.slots == slots && counts.live == live && counts.doomed == doomed;
}

//  --------------------------------------------------------------------------------------------------

static void test_life (void)
{
    umbp_store_t *store = s_store ();
    CU_ASSERT (umbp_store_page_size (store) == PAGE && umbp_store_reach (store) == 0);
    CU_ASSERT (s_counts_are (store, 0, 0, 0, 0));
    uint32_t item = NONE;
    CU_ASSERT (s_reserve (store, "key", 2 * PAGE + 1, &item) == 0);
    umbp_block_t *block = umbp_store_block (store, item);
    CU_ASSERT (block->state == UMBP_BLOCK_SLOT && block->token != 0 && block->size == 2 * PAGE + 1);
    CU_ASSERT (block->extent_count == 1 && block->extents[0].count == 3);
    CU_ASSERT (s_counts_are (store, 3, 1, 0, 0));
    CU_ASSERT (s_find (store, "key") == NONE);               //  Not yet
    CU_ASSERT (umbp_store_slot (store, block->token) == item && umbp_store_slots (store) == item);
    CU_ASSERT (umbp_store_commit (store, item, 99, 1) == 0);
    CU_ASSERT (s_find (store, "key") == item && s_find (store, "ke") == NONE);
    CU_ASSERT (block->sum == 99 && block->state == UMBP_BLOCK_LIVE);
    CU_ASSERT (umbp_store_slot (store, block->token) == NONE && umbp_store_slots (store) == NONE);
    CU_ASSERT (s_counts_are (store, 3, 0, 1, 0));
    CU_ASSERT (umbp_store_drop (store, item));
    CU_ASSERT (s_find (store, "key") == NONE && s_counts_are (store, 0, 0, 0, 0));
    umbp_store_destroy (&store);
    CU_ASSERT_PTR_NULL (store);
    umbp_store_destroy (&store);
}

static void test_refuses (void)
{
    umbp_store_t *store = s_store ();
    uint32_t item = 7, held = s_put (store, "there", 1, 1);
    CU_ASSERT (s_reserve (store, "empty", 0, &item) == UMBP_EINVAL);
    CU_ASSERT (s_reserve (store, "there", 1, &item) == UMBP_EEXIST && item == held);
    CU_ASSERT (s_reserve (store, "huge", PAGES * PAGE + 1, &item) == UMBP_ENOSPC);
    CU_ASSERT (s_reserve (store, "huge", UINT32_MAX, &item) == UMBP_ENOSPC);
    CU_ASSERT (s_reserve (store, "now", PAGES * PAGE, &item) == UMBP_EAGAIN);
    CU_ASSERT (s_counts_are (store, 1, 0, 1, 0));
    CU_ASSERT (s_reserve (store, "rest", (PAGES - 1) * PAGE, &item) == 0);
    CU_ASSERT (umbp_store_block (store, item)->extent_count == REGIONS);
    CU_ASSERT (s_reserve (store, "one", 1, &item) == UMBP_EAGAIN);
    umbp_store_destroy (&store);
    static const uint32_t no_pages[1] = { 0 };
    CU_ASSERT_PTR_NULL (umbp_store_new (0, no_pages, 1, 1));
    store = umbp_store_new (PAGE, no_pages, 1, 1);           //  Useless, but no reason to fall over
    CU_ASSERT (s_reserve (store, "one", 1, &item) == UMBP_ENOSPC);
    umbp_store_destroy (&store);
}

//  Two writers have slots for one key: who commits first wins, the other's pages come back
static void test_two_writers (void)
{
    umbp_store_t *store = s_store ();
    uint32_t first = NONE, second = NONE;
    CU_ASSERT (s_reserve (store, "key", PAGE, &first) == 0);
    CU_ASSERT (s_reserve (store, "key", 3 * PAGE, &second) == 0);
    uint64_t token = umbp_store_block (store, first)->token;
    CU_ASSERT (token != umbp_store_block (store, second)->token);
    CU_ASSERT (umbp_store_commit (store, second, 2, 1) == 0);
    CU_ASSERT (umbp_store_commit (store, first, 1, 1) == UMBP_EEXIST);
    CU_ASSERT (umbp_store_slot (store, token) == NONE);
    CU_ASSERT (s_find (store, "key") == second && s_counts_are (store, 3, 0, 1, 0));
    //  A slot that is held by a fence waits for it
    CU_ASSERT (s_reserve (store, "other", PAGE, &first) == 0);
    umbp_store_hold (store, first);
    CU_ASSERT (!umbp_store_drop (store, first) && s_counts_are (store, 4, 0, 1, 1));
    CU_ASSERT (umbp_store_unhold (store, first) && s_counts_are (store, 3, 0, 1, 0));
    umbp_store_destroy (&store);
}

//  A number that was used again has another token
static void test_tokens (void)
{
    umbp_store_t *store = s_store ();
    uint64_t before = 0;
    for (int turn = 0; turn < 1000; turn++) {
        uint32_t item = NONE;
        CU_ASSERT_FATAL (s_reserve (store, "key", 1, &item) == 0 && item == 0);
        uint64_t token = umbp_store_block (store, item)->token;
        CU_ASSERT (token != before && umbp_store_slot (store, before) == NONE);
        CU_ASSERT (umbp_store_slot (store, token) == item);
        CU_ASSERT (umbp_store_slot (store, token ^ UINT64_C (1) << 40) == NONE);
        umbp_store_drop (store, item);
        before = token;
    }
    CU_ASSERT (umbp_store_slot (store, 0) == NONE);
    CU_ASSERT (umbp_store_slot (store, UINT64_MAX) == NONE);
    umbp_store_destroy (&store);
}

//  A dropped block that is held is found by nobody, and its pages belong to nobody else
static void test_doomed (void)
{
    umbp_store_t *store = s_store ();
    uint32_t item = s_put (store, "key", 100 * PAGE, 1), victim;
    umbp_store_hold (store, item);
    umbp_store_hold (store, item);
    CU_ASSERT (umbp_store_victims (store, 1, &victim) == 0);
    CU_ASSERT (!umbp_store_drop (store, item));
    CU_ASSERT (s_find (store, "key") == NONE && s_counts_are (store, 100, 0, 0, 1));
    uint32_t again = s_put (store, "key", 20 * PAGE, 2), more = NONE;
    CU_ASSERT (again != item);
    CU_ASSERT (s_reserve (store, "more", PAGE, &more) == UMBP_EAGAIN);
    CU_ASSERT (!umbp_store_unhold (store, item));
    umbp_store_touch (store, item, 3);                       //  Comes to nothing
    CU_ASSERT (umbp_store_unhold (store, item));
    CU_ASSERT (s_counts_are (store, 20, 0, 1, 0) && s_find (store, "key") == again);
    CU_ASSERT (umbp_store_victims (store, 1, &victim) == 1 && victim == again);
    umbp_store_destroy (&store);
}

//  Oldest first; of one tick the deepest first
static void test_victims (void)
{
    umbp_store_t *store = s_store ();
    uint32_t items[6], out[6];
    for (uint32_t number = 0; number < 6; number++) {
        char key[2] = { (char) ('a' + number), 0 };
        CU_ASSERT (umbp_store_reserve (store, key, 1, 1, (uint16_t) number, &items[number]) == 0);
        CU_ASSERT (umbp_store_commit (store, items[number], 1, number < 3 ? 1 : 2) == 0);
    }
    umbp_store_touch (store, items[1], 3);
    CU_ASSERT (umbp_store_victims (store, 6, out) == 6);
    static const uint32_t wanted[] = { 2, 0, 5, 4, 3, 1 };
    for (size_t index = 0; index < 6; index++)
        CU_ASSERT (out[index] == items[wanted[index]]);
    umbp_store_hold (store, items[2]);
    CU_ASSERT (umbp_store_victims (store, 1, out) == 1 && out[0] == items[0]);
    umbp_store_destroy (&store);
}

//  --------------------------------------------------------------------------------------------------
//  Against a model that knows every page

#define KEYS 48
#define BLOCKS 256

typedef struct {
    umbp_block_state_t state;
    uint32_t item, pages, holds;
    int key;
} model_block_t;

static umbp_store_t *s_tested;
static model_block_t s_blocks[BLOCKS];
static int s_owner[REGIONS][REGION_PAGES];                   //  1 + number of the block, 0: free
static uint32_t s_used;

static int s_pick (uint64_t drawn, unsigned states)
{
    int start = (int) (drawn % BLOCKS);
    for (int step = 0; step < BLOCKS; step++) {
        int number = (start + step) % BLOCKS;
        if (1u << s_blocks[number].state & states)
            return number;
    }
    return -1;
}

static int s_live (int key)
{
    for (int number = 0; number < BLOCKS; number++)
        if (s_blocks[number].state == UMBP_BLOCK_LIVE && s_blocks[number].key == key)
            return number;
    return -1;
}

//  The pages of a block change hands: from one owner to another, and nobody else's
static void s_own (int number, int from, int to)
{
    const umbp_block_t *block = umbp_store_block (s_tested, s_blocks[number].item);
    uint32_t pages = 0;
    for (size_t index = 0; index < block->extent_count; index++)
        for (uint32_t page = 0; page < block->extents[index].count; page++, pages++) {
            int *owner = &s_owner[block->extents[index].region][block->extents[index].page + page];
            CU_ASSERT_FATAL (*owner == from);
            *owner = to;
        }
    CU_ASSERT_FATAL (pages == s_blocks[number].pages);
    s_used = to ? s_used + pages : s_used - pages;
}

static void s_free (int number)
{
    s_blocks[number].state = UMBP_BLOCK_FREE;
}

static void s_do_reserve (uint64_t drawn)
{
    int key = (int) (drawn % KEYS), number = s_pick (0, 1u << UMBP_BLOCK_FREE);
    uint32_t pages = 1 + (drawn >> 8) % 20, item = NONE;
    if (number < 0)
        return;
    uint32_t size = pages * PAGE - (uint32_t) ((drawn >> 16) % PAGE);
    int rc = umbp_store_reserve (s_tested, &key, sizeof key, size, (uint16_t) key, &item);
    int wanted = s_live (key) >= 0 ? UMBP_EEXIST : pages > PAGES - s_used ? UMBP_EAGAIN : 0;
    CU_ASSERT_FATAL (rc == wanted);
    if (rc == 0) {
        s_blocks[number] = (model_block_t) { UMBP_BLOCK_SLOT, item, pages, 0, key };
        s_own (number, 0, number + 1);
    }
}

static void s_do_commit (uint64_t drawn)
{
    int number = s_pick (drawn, 1u << UMBP_BLOCK_SLOT);
    if (number < 0)
        return;
    model_block_t *block = &s_blocks[number];
    bool twice = s_live (block->key) >= 0;
    if (twice && block->holds == 0)
        s_own (number, number + 1, 0);
    CU_ASSERT_FATAL (umbp_store_commit (s_tested, block->item, drawn, drawn % 7 ? drawn >> 40 : 0)
                     == (twice ? UMBP_EEXIST : 0));
    if (!twice)
        block->state = UMBP_BLOCK_LIVE;
    else if (block->holds > 0)
        block->state = UMBP_BLOCK_DOOMED;
    else
        s_free (number);
}

static void s_do_drop (int number)
{
    if (number < 0)
        return;
    model_block_t *block = &s_blocks[number];
    if (block->holds == 0)
        s_own (number, number + 1, 0);
    CU_ASSERT_FATAL (umbp_store_drop (s_tested, block->item) == (block->holds == 0));
    block->state = block->holds ? UMBP_BLOCK_DOOMED : UMBP_BLOCK_FREE;
}

static void s_do_hold (uint64_t drawn)
{
    int number = s_pick (drawn, ~(1u << UMBP_BLOCK_FREE));
    if (number < 0)
        return;
    umbp_store_hold (s_tested, s_blocks[number].item);
    s_blocks[number].holds++;
}

static void s_do_unhold (uint64_t drawn)
{
    int number = -1;
    for (int step = 0; step < BLOCKS && number < 0; step++)
        if (s_blocks[(drawn + step) % BLOCKS].state && s_blocks[(drawn + step) % BLOCKS].holds)
            number = (int) ((drawn + step) % BLOCKS);
    if (number < 0)
        return;
    model_block_t *block = &s_blocks[number];
    bool last = block->holds == 1 && block->state == UMBP_BLOCK_DOOMED;
    if (last)
        s_own (number, number + 1, 0);
    CU_ASSERT_FATAL (umbp_store_unhold (s_tested, block->item) == last);
    block->holds--;
    if (last)
        s_free (number);
}

//  All that may go are offered, each once; one of them goes
static void s_do_victims (uint64_t drawn)
{
    uint32_t items[BLOCKS], wanted = 0;
    size_t count = umbp_store_victims (s_tested, BLOCKS, items);
    int number_of[BLOCKS];
    for (size_t index = 0; index < count; index++) {
        number_of[index] = -1;
        for (int number = 0; number < BLOCKS; number++)
            if (s_blocks[number].state == UMBP_BLOCK_LIVE && s_blocks[number].item == items[index])
                number_of[index] = number;
        CU_ASSERT_FATAL (number_of[index] >= 0 && s_blocks[number_of[index]].holds == 0);
        for (size_t other = 0; other < index; other++)
            CU_ASSERT_FATAL (items[other] != items[index]);
    }
    for (int number = 0; number < BLOCKS; number++)
        wanted += s_blocks[number].state == UMBP_BLOCK_LIVE && s_blocks[number].holds == 0;
    CU_ASSERT_FATAL (count == wanted);
    if (count > 0)
        s_do_drop (number_of[drawn % count]);
}

static void s_check_all (void)
{
    uint32_t of[UMBP_BLOCK_DOOMED + 1] = { 0 }, seen = 0, walked = 0;
    for (int number = 0; number < BLOCKS; number++) {
        of[s_blocks[number].state]++;
        if (s_blocks[number].state == UMBP_BLOCK_FREE)
            continue;
        umbp_block_state_t state = umbp_store_block (s_tested, s_blocks[number].item)->state;
        CU_ASSERT_FATAL (state == s_blocks[number].state);
    }
    CU_ASSERT_FATAL (s_counts_are (s_tested, s_used, of[UMBP_BLOCK_SLOT], of[UMBP_BLOCK_LIVE],
                                   of[UMBP_BLOCK_DOOMED]));
    for (uint32_t item = 0; item < umbp_store_reach (s_tested); item++)
        seen += umbp_store_block (s_tested, item)->state == UMBP_BLOCK_LIVE;
    CU_ASSERT_FATAL (seen == of[UMBP_BLOCK_LIVE]);
    for (uint32_t item = umbp_store_slots (s_tested); item != NONE;
         item = umbp_store_block (s_tested, item)->slot_after)
        CU_ASSERT_FATAL (++walked <= of[UMBP_BLOCK_SLOT]);
    CU_ASSERT_FATAL (walked == of[UMBP_BLOCK_SLOT]);
    for (int key = 0; key < KEYS; key++) {
        int number = s_live (key);
        CU_ASSERT_FATAL (umbp_store_find (s_tested, &key, sizeof key)
                         == (number < 0 ? NONE : s_blocks[number].item));
    }
}

static void s_do_touch (uint64_t drawn)
{
    int number = s_pick (drawn, ~(1u << UMBP_BLOCK_FREE));
    if (number >= 0)
        umbp_store_touch (s_tested, s_blocks[number].item, drawn >> 32);
}

static void test_random (void)
{
    uint64_t seed = (uint64_t) time (NULL), state = seed;
    printf ("(seed %llu) ", (unsigned long long) seed);
    s_tested = s_store ();
    for (int step = 0; step < 100000; step++) {
        uint64_t choice = umbp_splitmix (&state) % 100, drawn = umbp_splitmix (&state);
        if (choice < 35)
            s_do_reserve (drawn);
        else if (choice < 60)
            s_do_commit (drawn);
        else if (choice < 68)
            s_do_drop (s_pick (drawn, 1u << UMBP_BLOCK_SLOT | 1u << UMBP_BLOCK_LIVE));
        else if (choice < 78)
            s_do_hold (drawn);
        else if (choice < 90)
            s_do_unhold (drawn);
        else if (choice < 96)
            s_do_touch (drawn);
        else
            s_do_victims (drawn);
        CU_ASSERT_FATAL (umbp_store_counts (s_tested).used_bytes == (uint64_t) s_used * PAGE);
        if (step % 100 == 0)
            s_check_all ();
    }
    //  Let go of all: nothing is left
    for (int number = 0; number < BLOCKS; number++) {
        if (s_blocks[number].state == UMBP_BLOCK_SLOT || s_blocks[number].state == UMBP_BLOCK_LIVE)
            s_do_drop (number);
        while (s_blocks[number].state && s_blocks[number].holds)
            s_do_unhold ((uint64_t) number);
    }
    CU_ASSERT (s_counts_are (s_tested, 0, 0, 0, 0));
    umbp_store_destroy (&s_tested);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("store", NULL, NULL);
    CU_ADD_TEST (suite, test_life);
    CU_ADD_TEST (suite, test_refuses);
    CU_ADD_TEST (suite, test_two_writers);
    CU_ADD_TEST (suite, test_tokens);
    CU_ADD_TEST (suite, test_doomed);
    CU_ADD_TEST (suite, test_victims);
    CU_ADD_TEST (suite, test_random);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

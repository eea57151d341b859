//  test/unit/test_store_rest.c - a store whose blocks rest in a depot: more blocks than pages, pages that go from those at
//  rest to those in use, and nothing counted wrongly whatever comes in whatever order
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "actors/tier/store.h"
#include "proto/error.h"
#include "proto/scope.h"
#include "proto/splitmix.h"

#define PAGE 4096
#define PAGES 16
#define ROOM (1 << 20)                  //  Bytes of the depot

static uint64_t s_seed;

static umbp_store_t *s_new (void)
{
    uint32_t pages = PAGES;
    umbp_store_t *store = umbp_store_new (PAGE, &pages, 1, 1);
    umbp_store_set_depot (store, ROOM);
    return store;
}

//  A live block of a number; UMBP_STORE_NONE if there is no room
static uint32_t s_put (umbp_store_t *store, unsigned number, uint32_t size)
{
    uint32_t item;
    if (umbp_store_reserve (store, &number, sizeof number, size, 0, &item) != 0)
        return UMBP_STORE_NONE;
    CU_ASSERT (umbp_store_commit (store, item, number, number) == 0);
    return item;
}

static void test_more_blocks_than_pages (void)
{
    umbp_store_t *store = s_new ();
    uint32_t items[100];
    for (unsigned number = 0; number < 100; number++) {
        items[number] = s_put (store, number, PAGE);
        CU_ASSERT_FATAL (items[number] != UMBP_STORE_NONE);
        umbp_store_rest (store, items[number], 1000 + number);
    }
    umbp_store_counts_t counts = umbp_store_counts (store);
    CU_ASSERT (counts.live == 100 && counts.raised == PAGES);
    CU_ASSERT (counts.total_bytes == ROOM);
    CU_ASSERT (counts.used_bytes == 100 * umbp_store_bytes (store, PAGE));
    CU_ASSERT (counts.page_bytes == PAGES * PAGE && counts.paged_bytes == PAGES * PAGE);
    CU_ASSERT (umbp_store_block (store, items[0])->extent_count == 0);
    CU_ASSERT (!umbp_store_block (store, items[0])->filled);
    CU_ASSERT (umbp_store_block (store, items[99])->filled);
    unsigned first = 0;                 //  Found all the same, with all that was said of it
    uint32_t found = umbp_store_find (store, &first, sizeof first);
    CU_ASSERT (found == items[0]);
    CU_ASSERT (umbp_store_block (store, found)->place == 1000
               && umbp_store_block (store, found)->sum == 0
               && umbp_store_block (store, found)->size == PAGE);
    CU_ASSERT (umbp_store_raise (store, items[0]) == 0);
    CU_ASSERT (umbp_store_block (store, items[0])->extent_count == 1);
    CU_ASSERT (!umbp_store_block (store, items[0])->filled);
    CU_ASSERT (umbp_store_counts (store).raised == PAGES);
    umbp_store_destroy (&store);
}

//  Those read last keep their pages; those that are held, or not at rest yet, in any case
static void test_whose_pages_go (void)
{
    umbp_store_t *store = s_new ();
    uint32_t items[PAGES];
    for (unsigned number = 0; number < PAGES; number++)
        items[number] = s_put (store, number, PAGE);
    CU_ASSERT (s_put (store, 100, PAGE) == UMBP_STORE_NONE);         //  None rests
    for (unsigned number = 0; number < PAGES; number++)
        umbp_store_rest (store, items[number], number);
    umbp_store_hold (store, items[0]);
    umbp_store_touch (store, items[1], 1000);
    CU_ASSERT (s_put (store, 100, PAGE) != UMBP_STORE_NONE);
    CU_ASSERT (umbp_store_block (store, items[0])->filled);
    CU_ASSERT (umbp_store_block (store, items[1])->filled);
    CU_ASSERT (!umbp_store_block (store, items[2])->filled);
    for (unsigned number = 1; number < PAGES; number++)
        umbp_store_hold (store, items[number]);
    CU_ASSERT (umbp_store_raise (store, items[2])
               == UMBP_EAGAIN); //  Held, or on its way to the disk
    umbp_store_destroy (&store);
}

static void test_full (void)
{
    umbp_store_t *store = s_new ();
    uint32_t item;
    unsigned number = 0;
    for (; (item = s_put (store, number, 8 * PAGE)) != UMBP_STORE_NONE; number++)
        umbp_store_rest (store, item, number);
    CU_ASSERT (number == ROOM / (9 * PAGE));
    CU_ASSERT (umbp_store_reserve (store, &number, sizeof number, 8 * PAGE, 0, &item)
               == UMBP_EAGAIN);
    CU_ASSERT (umbp_store_reserve (store, &number, sizeof number, PAGES * PAGE + 1, 0, &item)
               == UMBP_ENOSPC);
    unsigned first = 0;
    CU_ASSERT (umbp_store_drop (store, umbp_store_find (store, &first, sizeof first)));
    CU_ASSERT (s_put (store, number, 8 * PAGE) != UMBP_STORE_NONE);
    umbp_store_destroy (&store);
}

static void test_adopt (void)
{
    umbp_store_t *store = s_new ();
    umbp_block_t known = { .key = (const uint8_t *) "key",
                           .key_size = 3,
                           .size = 5000,
                           .sum = 77,
                           .depth = 9, .replicas = 2, .place = 42 };
    uint32_t item, again;
    CU_ASSERT (umbp_store_adopt (store, &known, 1, &item) == 0);
    CU_ASSERT (umbp_store_adopt (store, &known, 1, &again) == UMBP_EEXIST);
    CU_ASSERT (umbp_store_find (store, "key", 3) == item);
    const umbp_block_t *block = umbp_store_block (store, item);
    CU_ASSERT (block->sum == 77 && block->depth == 9 && block->replicas == 2 && block->place == 42);
    CU_ASSERT (block->state == UMBP_BLOCK_LIVE && block->extent_count == 0 && !block->filled);
    CU_ASSERT (umbp_store_raise (store, item) == 0);
    CU_ASSERT (umbp_store_drop (store, item));
    umbp_store_counts_t counts = umbp_store_counts (store);
    CU_ASSERT (counts.live == 0 && counts.used_bytes == 0 && counts.paged_bytes == 0
               && counts.raised == 0);
    umbp_store_destroy (&store);
}

//  A block of some tenant in another node's depot
static int s_adopt_guest (umbp_store_t *store, unsigned tenant, uint32_t *item)
{
    uint8_t key[UMBP_SCOPED_KEY_MAX];
    char name[16];
    snprintf (name, sizeof name, "guest-%u", tenant);
    size_t size = umbp_scope_write (name, key);
    key[size++] = 'k';
    umbp_block_t known = { .key = key,
                           .key_size = (uint16_t) size,
                           .size = 5000,
                           .place = tenant,
                           .foreign = true };
    return umbp_store_adopt (store, &known, 1, item);
}

//  They are their tenants', though these pay for nothing: also when others need rows
static void test_guests (void)
{
    umbp_store_t *store = s_new ();
    umbp_tenants_t *tenants = umbp_store_tenants (store);
    uint32_t items[UMBP_TENANTS_MAX];
    for (unsigned tenant = 1; tenant < UMBP_TENANTS_MAX; tenant++)
        CU_ASSERT_FATAL (s_adopt_guest (store, tenant, &items[tenant]) == 0);
    CU_ASSERT (s_adopt_guest (store, UMBP_TENANTS_MAX, &items[0]) == UMBP_EQUOTA);
    for (unsigned tenant = 1; tenant < UMBP_TENANTS_MAX; tenant++) {
        char name[16];
        snprintf (name, sizeof name, "guest-%u", tenant);
        uint16_t row = umbp_store_block (store, items[tenant])->tenant;
        CU_ASSERT (row == umbp_tenants_find (tenants, umbp_text (name)));
        CU_ASSERT (umbp_tenants_at (tenants, row)->blocks == 0);
    }
    CU_ASSERT (umbp_store_counts (store).used_bytes == 0);
    CU_ASSERT (umbp_store_drop (store, items[7]));
    CU_ASSERT (s_adopt_guest (store, UMBP_TENANTS_MAX, &items[7]) == 0);
    umbp_store_destroy (&store);
}

//  A block of the model: what the store should know of a number
typedef struct {
    uint32_t item, size, holds;
    bool live, rests, raised;
} model_t;

//  Any order of put, rest, raise, hold, unhold, drop: the store and the model agree on what is there, and when all is
//  gone no page and no byte is in use
static void test_any_order (void)
{
    uint64_t state = s_seed;
    umbp_store_t *store = s_new ();
    model_t model[64] = { 0 };
    for (int step = 0; step < 200000; step++) {
        unsigned number = (unsigned) (umbp_splitmix (&state) % 64);
        model_t *block = &model[number];
        switch (umbp_splitmix (&state) % 6) {
        case 0:
            if (block->live || block->holds)
                break;
            block->size = (uint32_t) (1 + umbp_splitmix (&state) % (5 * PAGE));
            block->item = s_put (store, number, block->size);
            block->live = block->item != UMBP_STORE_NONE;
            block->rests = false;
            break;
        case 1:
            if (block->live && !block->rests)
                umbp_store_rest (store, block->item, number);
            block->rests = block->live;
            break;
        case 2:
            if (block->live && umbp_store_raise (store, block->item) == 0)
                CU_ASSERT (umbp_store_block (store, block->item)->extent_count > 0);
            break;
        case 3:
            if (block->live && block->holds < 3) {
                umbp_store_hold (store, block->item);
                block->holds++;
            }
            break;
        case 4:
            if (block->holds) {
                umbp_store_unhold (store, block->item);
                block->holds--;
            }
            break;
        default:
            if (block->live && umbp_splitmix (&state) % 4 == 0) {
                umbp_store_drop (store, block->item);
                block->live = false;
            }
        }
        uint32_t found = umbp_store_find (store, &number, sizeof number);
        CU_ASSERT_FATAL (found == (block->live ? block->item : UMBP_STORE_NONE));
        if (block->live && !block->rests)
            CU_ASSERT_FATAL (umbp_store_block (store, found)->extent_count > 0);
        if (block->live)
            CU_ASSERT_FATAL (umbp_store_block (store, found)->size == block->size);
    }
    for (unsigned number = 0; number < 64; number++) {
        for (; model[number].holds; model[number].holds--)
            umbp_store_unhold (store, model[number].item);
        if (model[number].live)
            umbp_store_drop (store, model[number].item);
    }
    umbp_store_counts_t counts = umbp_store_counts (store);
    CU_ASSERT (counts.live == 0 && counts.doomed == 0 && counts.used_bytes == 0
               && counts.paged_bytes == 0 && counts.raised == 0);
    umbp_store_destroy (&store);
}

int main (void)
{
    const char *text = getenv ("UMBP_SEED");
    s_seed = text ? strtoull (text, NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("[store_rest seed=%llu]\n", (unsigned long long) s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("store_rest", NULL, NULL);
    CU_ADD_TEST (suite, test_more_blocks_than_pages);
    CU_ADD_TEST (suite, test_whose_pages_go);
    CU_ADD_TEST (suite, test_full);
    CU_ADD_TEST (suite, test_adopt);
    CU_ADD_TEST (suite, test_guests);
    CU_ADD_TEST (suite, test_any_order);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

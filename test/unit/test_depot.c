//  test/unit/test_depot.c - blocks of a store on their way to the disk and back: who reads does not wait for who writes;
//  room that is asked for again and again is made once; what was dropped while it was written does not come back.
#include "test/unit/log.h"

#include "actors/tier/depot.h"
#include "cluster/bulk/copy.h"

#define PAGE 131072
#define PAGES 256
#define BLOCK (PAGE - 4096)             //  More than the log packs: each is a request of its own

typedef struct {
    char folder[256];
    test_log_how_t how;
    umbp_store_t *store;
    umbp_depot_t *depot;
    uint8_t *memory;
    uint64_t saved, failed, left, fetched;
    uint64_t saved_before;              //  ... the first was fetched
} depot_t;

static void s_on_word (void *owner, const umbp_depot_word_t *word)
{
    depot_t *self = owner;
    if (word->what == UMBP_DEPOT_SAVED)
        word->status == 0 ? self->saved++ : self->failed++;
    else if (word->what == UMBP_DEPOT_FETCHED) {
        CU_ASSERT (word->status == 0);
        if (self->fetched++ == 0)
            self->saved_before = self->saved;
    } else {
        self->left++;
        umbp_store_evict (self->store, word->item);
    }
}

static void s_start (depot_t *self)
{
    char why[256] = "";
    uint32_t pages = PAGES;
    umbp_log_t *log = test_log_open (self->folder, &self->how, why, sizeof why);
    if (!log)
        printf ("%s\n", why);
    CU_ASSERT_PTR_NOT_NULL_FATAL (log);
    self->store = umbp_store_new (PAGE, &pages, 1, 1);
    umbp_store_set_depot (self->store, umbp_depot_room (log));
    umbp_piece_t region = { self->memory, (uint64_t) PAGE * PAGES };
    umbp_depot_args_t args = { .store = self->store,
                               .regions = &region,
                               .region_count = 1,
                               .owner = self, .fn = s_on_word };
    self->depot = umbp_depot_new (&args, &log, 1);
}

static void s_end (depot_t *self)
{
    CU_ASSERT (umbp_depot_destroy (&self->depot));
    umbp_store_destroy (&self->store);
}

static void s_new (depot_t *self, uint64_t capacity)
{
    memset (self, 0, sizeof *self);
    self->how = (test_log_how_t){ .engine = "posix",
                                  .directories = 1,
                                  .capacity = capacity,
                                   .segment_bytes = MIB };
    self->memory = test_log_memory ((size_t) PAGE * PAGES);
    test_log_folder (self->folder, sizeof self->folder);
    s_start (self);
}

static void s_destroy (depot_t *self)
{
    s_end (self);
    test_log_remove (self->folder);
    free (self->memory);
}

static void s_work (depot_t *self)
{
    poll (&(struct pollfd) { .fd = umbp_depot_fd (self->depot), .events = POLLIN }, 1, 20);
    umbp_depot_tick (self->depot, umbp_clock_ms ());
}

//  A live block that is to be saved
static uint32_t s_save (depot_t *self, unsigned number)
{
    uint32_t item = UMBP_STORE_NONE;
    CU_ASSERT_FATAL (umbp_store_reserve (self->store, &number, sizeof number, BLOCK, 0, &item)
                     == 0);
    const umbp_block_t *block = umbp_store_block (self->store, item);
    uint8_t *bytes = self->memory + (size_t) block->extents[0].page * PAGE;
    CU_ASSERT_FATAL (block->extent_count == 1);
    test_log_fill (bytes, BLOCK, number);
    CU_ASSERT (umbp_store_commit (self->store, item, umbp_sum (bytes, BLOCK), number) == 0);
    CU_ASSERT_FATAL (umbp_depot_save (self->depot, item, 0) == 0);
    return item;
}

static bool s_until (depot_t *self, const uint64_t *count, uint64_t value)
{
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (*count < value && umbp_clock_ms () < end)
        s_work (self);
    return *count >= value;
}

static void test_reads_first (void)
{
    depot_t depot;
    s_new (&depot, 96 * MIB);
    uint32_t first = s_save (&depot, 0);
    for (unsigned number = 1; number < PAGES; number++)
        s_save (&depot, number);
    CU_ASSERT (s_until (&depot, &depot.saved, PAGES));
    for (unsigned number = PAGES; number < 2 * PAGES - 8; number++)
        s_save (&depot, number);        //  Those before give their pages, the oldest first
    CU_ASSERT (!umbp_store_block (depot.store, first)->filled);
    umbp_store_hold (depot.store, first);
    CU_ASSERT (umbp_depot_fetch (depot.depot, first) == 1);
    CU_ASSERT (s_until (&depot, &depot.fetched, 1));
    printf ("(%d writes before the read) ", (int) (depot.saved_before - PAGES));
    CU_ASSERT (depot.saved_before - PAGES < 160);   //  64 were under way, 248 were to come
    umbp_store_unhold (depot.store, first);
    CU_ASSERT (s_until (&depot, &depot.saved, 2 * PAGES - 8));
    CU_ASSERT (depot.failed == 0);
    s_destroy (&depot);
}

static void test_asked_again (void)
{
    depot_t depot;
    s_new (&depot, 64 * MIB);
    for (unsigned number = 0; number < PAGES; number++)
        s_save (&depot, number);
    CU_ASSERT (s_until (&depot, &depot.saved, PAGES));
    for (int turn = 0; turn < 8; turn++)            //  2 MiB, 16 blocks
        umbp_depot_evict (depot.depot, 2 * MIB);
    CU_ASSERT (s_until (&depot, &depot.left, 10));
    int64_t end = umbp_clock_ms () + WAIT_MS;       //  Nobody else writes: until it rests
    for (uint64_t before = 0; before != depot.left && umbp_clock_ms () < end;) {
        before = depot.left;
        for (int turn = 0; turn < 20; turn++)
            s_work (&depot);
    }
    printf ("(%d left) ", (int) depot.left);
    CU_ASSERT (depot.left < 40);        //  Whole segments
    s_destroy (&depot);
}

//  Also if the process ends in that very moment
static void test_dropped (void)
{
    depot_t depot;
    s_new (&depot, 16 * MIB);
    uint32_t items[20];
    for (unsigned number = 0; number < 20; number++)
        items[number] = s_save (&depot, number);
    umbp_depot_work (depot.depot);      //  Some are being written
    for (unsigned number = 0; number < 20; number += 2) {
        umbp_depot_drop (depot.depot, items[number]);
        umbp_store_drop (depot.store, items[number]);
    }
    umbp_depot_mark_t mark = umbp_depot_mark (depot.depot);
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (!umbp_depot_is_past (depot.depot, &mark) && umbp_clock_ms () < end)
        s_work (&depot);
    CU_ASSERT (umbp_depot_is_past (depot.depot, &mark));
    CU_ASSERT (depot.saved + depot.failed == 20);
    CU_ASSERT (umbp_store_counts (depot.store).doomed == 0);
    depot_t after = { .how = depot.how, .memory = depot.memory };
    test_log_folder (after.folder, sizeof after.folder);
    char command[900];
    snprintf (command, sizeof command, "mkdir %s/0 && cp %s/0/umbp.log %s/0", after.folder,
              depot.folder, after.folder);
    CU_ASSERT (system (command) == 0);
    s_start (&after);
    CU_ASSERT (umbp_store_counts (after.store).live == 10);
    for (unsigned number = 0; number < 20; number++)
        CU_ASSERT ((umbp_store_find (after.store, &number, sizeof number) == UMBP_STORE_NONE)
                   == (number % 2 == 0));
    s_end (&after);
    test_log_remove (after.folder);
    s_destroy (&depot);
}

int main (void)
{
    alarm (300);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("depot", NULL, NULL);
    CU_ADD_TEST (suite, test_reads_first);
    CU_ADD_TEST (suite, test_asked_again);
    CU_ADD_TEST (suite, test_dropped);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

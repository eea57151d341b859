//  test/unit/test_depot.c - blocks of a store on their way to the disk and back: who reads does not wait for who writes;
//  room that is asked for again and again is made once; what was dropped while it was written does not come back.
#include "test/unit/depot.h"

#include <time.h>

#define PAGE 131072
#define PAGES 256
#define BLOCK (PAGE - 4096)             //  More than the log packs: each is a request of its own

static void s_new (depot_t *self, uint64_t capacity)
{
    *self = (depot_t) { .how = { .capacity = capacity, .segment_bytes = MIB },
                        .page_bytes = PAGE,
                        .pages = PAGES,
                        .block_bytes = BLOCK };
    depot_new (self);
}

//  A live block that is to be saved
static uint32_t s_save (depot_t *self, unsigned number)
{
    uint32_t item = depot_put (self, number);
    CU_ASSERT_FATAL (umbp_depot_save (self->depot, item, 0) == 0);
    return item;
}

static void test_reads_first (void)
{
    depot_t depot;
    s_new (&depot, 96 * MIB);
    uint32_t first = s_save (&depot, 0);
    for (unsigned number = 1; number < PAGES; number++)
        s_save (&depot, number);
    CU_ASSERT (depot_until (&depot, &depot.saved, PAGES));
    for (unsigned number = PAGES; number < 2 * PAGES - 8; number++)
        s_save (&depot, number);        //  Those before give their pages, the oldest first
    CU_ASSERT (!umbp_store_block (depot.store, first)->filled);
    umbp_store_hold (depot.store, first);
    CU_ASSERT (umbp_depot_fetch (depot.depot, first) == 1);
    CU_ASSERT (depot_until (&depot, &depot.fetched, 1));
    printf ("(%d writes before the read) ", (int) (depot.saved_before - PAGES));
    CU_ASSERT (depot.saved_before - PAGES < 160);   //  64 were under way, 248 were to come
    umbp_store_unhold (depot.store, first);
    CU_ASSERT (depot_until (&depot, &depot.saved, 2 * PAGES - 8));
    CU_ASSERT (depot.failed == 0);
    depot_destroy (&depot);
}

static void test_asked_again (void)
{
    depot_t depot;
    s_new (&depot, 64 * MIB);
    for (unsigned number = 0; number < PAGES; number++)
        s_save (&depot, number);
    CU_ASSERT (depot_until (&depot, &depot.saved, PAGES));
    for (int turn = 0; turn < 8; turn++)            //  2 MiB, 16 blocks
        umbp_depot_evict (depot.depot, 2 * MIB);
    CU_ASSERT (depot_until (&depot, &depot.left, 10));
    int64_t end = umbp_clock_ms () + WAIT_MS;       //  Nobody else writes: until it rests
    for (uint64_t before = 0; before != depot.left && umbp_clock_ms () < end;) {
        before = depot.left;
        for (int turn = 0; turn < 20; turn++)
            depot_work (&depot);
    }
    printf ("(%d left) ", (int) depot.left);
    CU_ASSERT (depot.left < 40);        //  Whole segments
    depot_destroy (&depot);
}

//  Also if the process ends in that very moment
#define KEPT 100
#define USED 20                         //  More than are copied at a time

//  What was used since it was looked at last stays, and is known to have been: so it is worth a place in the tier below
static void test_kept (void)
{
    uint32_t items[KEPT];
    depot_t depot = { .how = { .capacity = 16 * MIB, .segment_bytes = 2 * MIB },
                      .page_bytes = 65536,
                      .pages = KEPT,
                      .block_bytes = 65536 };
    depot_new (&depot);
    for (unsigned number = 0; number < KEPT; number++) {
        items[number] = depot_put (&depot, number);
        CU_ASSERT_FATAL (umbp_depot_save (depot.depot, items[number], number) == 0);
    }
    CU_ASSERT_FATAL (depot_until (&depot, &depot.saved, KEPT));
    for (unsigned number = 0; number < USED; number++)
        umbp_store_touch (depot.store, items[number], KEPT + 1);
    umbp_depot_evict (depot.depot, MIB);
    CU_ASSERT_FATAL (depot_until (&depot, &depot.left, 1));
    for (int turn = 0; turn < 25; turn++)
        depot_work (&depot);
    for (unsigned number = 0; number < USED; number++) {
        const umbp_block_t *block = umbp_store_block (depot.store, items[number]);
        CU_ASSERT (block->state == UMBP_BLOCK_LIVE);
        CU_ASSERT (block->used || block->again);
    }
    depot_destroy (&depot);
}

//  --------------------------------------------------------------------------------------------------
//  Looks for victims, of which the owner takes few or none: what was used stays for a round

#define LOOK 64                         //  Blocks named at most
#define ROUND_LOOKS 1000                //  More than any round of these tests takes

//  Blocks from a number on, on disk
static void s_fill (depot_t *self, uint32_t *items, unsigned from, unsigned count)
{
    for (unsigned number = from; number < from + count; number++) {
        items[number] = depot_put (self, number);
        CU_ASSERT_FATAL (umbp_depot_save (self->depot, items[number], number) == 0);
        if (number % 32 == 31 || number + 1 == from + count)
            CU_ASSERT_FATAL (depot_until (self, &self->saved, number + 1));
    }
    for (int turn = 0; turn < 25; turn++)            //  Segments that are full are closed
        depot_work (self);
}

static void s_touch (depot_t *self, const uint32_t *items, unsigned count)
{
    for (unsigned number = 0; number < count; number++)
        umbp_store_touch (self->store, items[number], UINT32_MAX);
}

static void s_take (depot_t *self, uint32_t item)
{
    umbp_depot_drop (self->depot, item);
    umbp_store_drop (self->store, item);
}

//  How many of those that a look named are of the first so many blocks
static size_t s_count_of (const depot_t *self, const uint32_t *named, size_t count, unsigned first)
{
    size_t found = 0;
    for (size_t index = 0; index < count; index++) {
        unsigned number;
        memcpy (&number, umbp_store_block (self->store, named[index])->key, sizeof number);
        found += number < first;
    }
    return found;
}

//  As long as there are others none of the first so many is named, however often is asked and few are taken. Returns how many others there were.
static unsigned s_take_others (depot_t *self, unsigned first)
{
    uint32_t named[LOOK];
    unsigned taken = 0, looks = 0;
    for (; looks < ROUND_LOOKS; looks++) {
        size_t count = umbp_depot_victims (self->depot, looks % 3 ? 2 : LOOK, named);
        if (s_count_of (self, named, count, first) > 0)
            return taken;
        for (size_t index = 0; index < count && index < looks % 5 * 4; index++, taken++)
            s_take (self, named[index]);
    }
    CU_FAIL ("nothing but others came");
    return taken;
}

static void s_small (depot_t *self, uint64_t capacity, unsigned pages, unsigned directories)
{
    *self = (depot_t) { .how = { .capacity = capacity, .segment_bytes = MIB },
                        .page_bytes = 4096,
                        .pages = pages,
                        .block_bytes = 4096 };
    self->how.engine = "posix";
    self->how.directories = directories;
    self->memory = test_log_memory ((size_t) self->page_bytes * self->pages);
    test_log_folder (self->folder, sizeof self->folder);
    depot_start (self);
}

//  Small blocks on disk, of which the first were used
static void s_start_used (depot_t *self, uint32_t *items, unsigned count, unsigned used)
{
    s_small (self, 64 * MIB, count, 1);
    s_fill (self, items, 0, count);
    s_touch (self, items, used);
}

//  Blocks 0 to 29 were used
static void test_used_stay (void)
{
    enum { COUNT = 1200, TOUCHED = 30 };
    static uint32_t items[COUNT];
    depot_t depot;
    s_start_used (&depot, items, COUNT, TOUCHED);
    uint32_t named[2];
    for (int look = 0; look < 20; look++) {
        CU_ASSERT_FATAL (umbp_depot_victims (depot.depot, 2, named) == 2);
        CU_ASSERT (s_count_of (&depot, named, 2, TOUCHED) == 0);
    }
    unsigned others = s_take_others (&depot, TOUCHED);
    printf ("(%u others) ", others);
    CU_ASSERT (others > COUNT / 2);     //  All but those of the segment that is being filled
    s_touch (&depot, items, TOUCHED);   //  All that are left are in use: then some of these go
    CU_ASSERT (umbp_depot_victims (depot.depot, 2, named) == 2);
    CU_ASSERT (s_count_of (&depot, named, 2, TOUCHED) == 2);
    const umbp_block_t *block = umbp_store_block (depot.store, named[0]);
    CU_ASSERT (block->used || block->again);        //  So the tier below admits it
    depot_destroy (&depot);
}

//  Looks do not make cleaning let go of what was used
static void test_looks_and_kept (void)
{
    enum { COUNT = 1200, TOUCHED = 30 };
    static uint32_t items[COUNT];
    depot_t depot;
    s_start_used (&depot, items, COUNT, TOUCHED);
    static uint32_t named[COUNT];
    for (int look = 0; look < 20; look++)
        CU_ASSERT (umbp_depot_victims (depot.depot, COUNT, named) > COUNT / 2);
    umbp_depot_evict (depot.depot, MIB);
    CU_ASSERT_FATAL (depot_until (&depot, &depot.left, 10));
    for (unsigned number = 0; number < TOUCHED; number++)
        CU_ASSERT (umbp_store_find (depot.store, &number, sizeof number) == items[number]);
    depot_destroy (&depot);
}

//  More used ones than are looked at in a moment do not hide the others
static void test_many_used (void)
{
    enum { TOUCHED = 5000, COUNT = TOUCHED + 1200 };
    static uint32_t items[COUNT];
    depot_t depot;
    s_start_used (&depot, items, COUNT, TOUCHED);
    unsigned others = s_take_others (&depot, TOUCHED);
    printf ("(%u others) ", others);
    CU_ASSERT (others > 600);
    depot_destroy (&depot);
}

//  Segments of two directories that are equally old are both looked at, also if some in either have to stay
static void test_two_directories (void)
{
    enum { COUNT = 2400, HELD = 10 };
    static uint32_t items[COUNT];
    depot_t depot;
    s_small (&depot, 64 * MIB, COUNT, 2);
    s_fill (&depot, items, 0, COUNT);
    for (unsigned number = 0; number < COUNT; number += HELD)
        umbp_store_hold (depot.store, items[number]);
    uint32_t named[LOOK];
    unsigned taken = 0;
    for (size_t count; (count = umbp_depot_victims (depot.depot, LOOK, named)) > 0;)
        for (size_t index = 0; index < count; index++, taken++)
            s_take (&depot, named[index]);
    printf ("(%u taken) ", taken);
    CU_ASSERT (taken
               > COUNT * 2 / 3); //  All but every tenth, and those of two segments of some 250
    for (unsigned number = 0; number < COUNT; number += HELD)
        umbp_store_unhold (depot.store, items[number]);
    depot_destroy (&depot);
}

//  Each that is named is live and on disk, is held by nobody, and is named once
static void s_check_named (depot_t *self, const uint32_t *named, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        umbp_block_t *block = umbp_store_block (self->store, named[index]);
        CU_ASSERT_FATAL (block->state == UMBP_BLOCK_LIVE && block->place != UMBP_STORE_NOWHERE);
        CU_ASSERT (block->holds == 0 && !block->leaving);
        block->leaving = true;
    }
    for (size_t index = 0; index < count; index++)
        umbp_store_block (self->store, named[index])->leaving = false;
}

//  Looks while blocks come, are used, leave by themselves and are let go of: so segments are cleaned under the hand
static void test_looks_meanwhile (void)
{
    enum { COUNT = 900, STEPS = 6000 };
    const char *said = getenv ("UMBP_SEED");
    uint64_t random = said ? strtoull (said, NULL, 0) : (uint64_t) time (NULL);
    printf ("(seed %llu) ", (unsigned long long) random);
    depot_t depot;
    s_small (&depot, 12 * MIB, COUNT, 2);
    uint64_t named_all = 0, taken = 0, put = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        uint32_t item, named[LOOK];
        if (umbp_store_reserve (depot.store, &step, sizeof step, 4096, 0, &item) == 0) {
            test_log_fill (depot_bytes (&depot, item), 4096, step);
            uint64_t sum = umbp_sum (depot_bytes (&depot, item), 4096);
            CU_ASSERT_FATAL (umbp_store_commit (depot.store, item, sum, step) == 0);
            put += umbp_depot_save (depot.depot, item, 0) == 0;
        }
        unsigned other = (unsigned) (umbp_splitmix (&random) % (step + 1));
        if ((item = umbp_store_find (depot.store, &other, sizeof other)) != UMBP_STORE_NONE)
            umbp_store_touch (depot.store, item, step);
        if (umbp_splitmix (&random) % 300 == 0)
            umbp_depot_evict (depot.depot, 256 << 10);
        umbp_depot_tick (depot.depot, umbp_clock_ms ());
        size_t max = 1 + umbp_splitmix (&random) % LOOK;
        size_t count = umbp_depot_victims (depot.depot, max, named);
        s_check_named (&depot, named, count);
        named_all += count;
        for (size_t take = umbp_splitmix (&random) % 2; take > 0 && take <= count; take--, taken++)
            s_take (&depot, named[take - 1]);
        if (step % 8 == 0)
            depot_work (&depot);
    }
    printf ("(%d put, %d named, %d taken, %d left) ", (int) put, (int) named_all, (int) taken,
            (int) depot.left);
    CU_ASSERT (named_all > 0 && taken > 0);
    depot_destroy (&depot);
}

#define FULL_MS 500                     //  So long a block surely waits for others to go elsewhere

//  The next block that finds no room; 0: it was left alone for so long that it does not wait in this way any more
static uint64_t s_tight (depot_t *depot, unsigned *number_p)
{
    uint64_t tight = 0, saved = depot->saved;
    int64_t since = 0, end = umbp_clock_ms () + WAIT_MS;
    while (tight == 0 && umbp_clock_ms () < end) {
        if (depot->saved == saved) {    //  The one before
            since = umbp_clock_ms ();
            s_save (depot, (*number_p)++);
            saved++;
        }
        depot_work (depot);
        tight = umbp_depot_tight (depot->depot);
    }
    for (int turn = 0; turn < 50; turn++)
        umbp_depot_work (depot->depot);
    tight = umbp_depot_tight (depot->depot);
    return umbp_clock_ms () - since < FULL_MS ? tight : 0;
}

//  What waits for room is counted once, however often it is tried until somebody asks
static void test_tight (void)
{
    depot_t depot;
    s_new (&depot, 16 * MIB);
    umbp_depot_set_sinks (depot.depot, true);
    unsigned number = 0;
    uint64_t tight = 0;
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (tight == 0 && umbp_clock_ms () < end)
        tight = s_tight (&depot, &number);
    printf ("(%u blocks, %d bytes) ", number, (int) tight);
    CU_ASSERT (tight == PAGE);
    s_save (&depot, number++);          //  Behind it
    for (int turn = 0; turn < 50; turn++)
        umbp_depot_work (depot.depot);
    tight = umbp_depot_tight (depot.depot);
    CU_ASSERT (tight == 2 * PAGE || tight == PAGE || tight == 0);    //  Fewer if this was slow
    CU_ASSERT (depot_until (&depot, &depot.saved, number));
    CU_ASSERT (umbp_depot_tight (depot.depot) == 0 && depot.failed == 0);
    depot_destroy (&depot);
}

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
        depot_work (&depot);
    CU_ASSERT (umbp_depot_is_past (depot.depot, &mark));
    CU_ASSERT (depot.saved + depot.failed == 20);
    CU_ASSERT (umbp_store_counts (depot.store).doomed == 0);
    depot_t after = depot;
    test_log_folder (after.folder, sizeof after.folder);
    char command[900];
    snprintf (command, sizeof command, "mkdir %s/0 && cp %s/0/umbp.log %s/0", after.folder,
              depot.folder, after.folder);
    CU_ASSERT (system (command) == 0);
    depot_start (&after);
    CU_ASSERT (umbp_store_counts (after.store).live == 10);
    for (unsigned number = 0; number < 20; number++)
        CU_ASSERT ((umbp_store_find (after.store, &number, sizeof number) == UMBP_STORE_NONE)
                   == (number % 2 == 0));
    depot_end (&after);
    test_log_remove (after.folder);
    depot_destroy (&depot);
}

int main (void)
{
    alarm (300);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("depot", NULL, NULL);
    CU_ADD_TEST (suite, test_reads_first);
    CU_ADD_TEST (suite, test_asked_again);
    CU_ADD_TEST (suite, test_kept);
    CU_ADD_TEST (suite, test_used_stay);
    CU_ADD_TEST (suite, test_looks_and_kept);
    CU_ADD_TEST (suite, test_many_used);
    CU_ADD_TEST (suite, test_two_directories);
    CU_ADD_TEST (suite, test_looks_meanwhile);
    CU_ADD_TEST (suite, test_tight);
    CU_ADD_TEST (suite, test_dropped);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

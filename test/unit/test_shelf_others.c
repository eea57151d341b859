//  test/unit/test_shelf_others.c - what another node has on a shelf becomes ours to read and to remove, and is given back:
//  next to a model of two nodes that die, return and take over from each other. Marks of what was removed. Seed: argument or
//  clock, printed.
#include "test/unit/shelf_ill.h"

#define TURNS 60

static umbp_shelf_t *s_open_as (const char *node, uint64_t epoch)
{
    umbp_shelf_t *shelf = test_shelf_open (shelf_directory, node, epoch, UMBP_SHELF_COMMIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
    return shelf;
}

//  What a node has there is ours; the places of its blocks. Returns how many.
static size_t s_adopt (umbp_shelf_t *shelf, const char *node, uint64_t ats[COUNT])
{
    umbp_medium_record_t record;
    umbp_medium_event_t event;
    uint64_t at;
    size_t count = 0;
    memset (ats, 0, COUNT * sizeof *ats);
    CU_ASSERT_FATAL (umbp_shelf_scan (shelf, node, UMBP_SHELF_SILENT) == 0);
    for (int64_t end = umbp_clock_ms () + WAIT_MS;
         umbp_shelf_scan_status (shelf) == 1 && umbp_clock_ms () < end;) {
        CU_ASSERT (!umbp_shelf_event (shelf, &event));
        poll (&(struct pollfd) { .fd = umbp_shelf_fd (shelf), .events = POLLIN }, 1, 10);
        umbp_shelf_tick (shelf, umbp_clock_ms ());
    }
    CU_ASSERT_FATAL (umbp_shelf_scan_status (shelf) == 0);
    while (umbp_shelf_adopted (shelf, &record, &at)) {
        uint32_t number = test_shelf_number (&record);
        CU_ASSERT_FATAL (number < COUNT && ats[number] == 0);
        umbp_shelf_set_item (shelf, at, number);
        ats[number] = at;
        count++;
    }
    return count;
}

//  Until all that was removed so far is on disk
static void s_pass_mark (umbp_shelf_t *shelf)
{
    umbp_medium_event_t event;
    uint64_t mark = umbp_shelf_mark (shelf);
    for (int64_t end = umbp_clock_ms () + WAIT_MS;
         !umbp_shelf_is_past (shelf, mark) && umbp_clock_ms () < end;) {
        umbp_shelf_tick (shelf, umbp_clock_ms ());
        while (umbp_shelf_event (shelf, &event))
            continue;
        poll (&(struct pollfd) { .fd = umbp_shelf_fd (shelf), .events = POLLIN }, 1, 5);
    }
    CU_ASSERT (umbp_shelf_is_past (shelf, mark));
}

//  Removed, and past its mark: it stays away whoever looks, also when nobody closed anything
static void test_marks (void)
{
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1), *other = s_open_as ("node-2", 1);
    uint64_t ats[COUNT], theirs[COUNT];
    for (uint32_t number = 0; number < 10; number++)
        ats[number] = shelf_put (shelf, number).at;
    CU_ASSERT (umbp_shelf_mark (shelf) == 0 && umbp_shelf_is_past (shelf, 0));
    for (uint32_t number = 0; number < 6; number++)
        CU_ASSERT (umbp_shelf_remove (shelf, ats[number]) == 0);
    uint64_t mark = umbp_shelf_mark (shelf);
    CU_ASSERT (mark > 0 && !umbp_shelf_is_past (shelf, mark));
    s_pass_mark (shelf);
    CU_ASSERT (s_adopt (other, "node-1", theirs) == 4);
    CU_ASSERT (umbp_shelf_close (&other));
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

//  Ours to read and to remove; nothing of it counts for our room, or leaves for it; given back it is no longer there, and
//  its node finds all but what was removed
static void test_adopted (void)
{
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1), *other = s_open_as ("node-2", 1);
    uint64_t ats[COUNT], bytes;
    for (uint32_t number = 0; number < 20; number++)
        CU_ASSERT (shelf_put (shelf, number).status == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    CU_ASSERT (s_adopt (other, "node-1", ats) == 20);
    CU_ASSERT (umbp_shelf_adopted_count (other, &bytes) == 20 && bytes > 0);
    CU_ASSERT (umbp_shelf_stats (other).records == 0 && umbp_shelf_stats (other).live_bytes == 0);
    umbp_shelf_evict (other, UINT64_MAX);
    for (uint32_t number = 0; number < 20; number++)
        CU_ASSERT (shelf_read (other, ats[number], number) == 0);
    for (uint32_t number = 0; number < 12; number++)
        CU_ASSERT (umbp_shelf_remove (other, ats[number]) == 0);
    CU_ASSERT (shelf_read (other, ats[3], 3) == UMBP_ENOENT);
    s_pass_mark (other);
    size_t files = test_shelf_files (shelf_directory, "node-1", ".seg");
    CU_ASSERT (files > 0);
    umbp_shelf_disown (other, "node-1");
    size_t left = 0;
    umbp_medium_event_t event;
    while (umbp_shelf_event (other, &event))
        left += event.type == UMBP_MEDIUM_LEFT && event.status == UMBP_ENOENT && event.item >= 12
                && event.item < 20;
    CU_ASSERT (left == 8);
    CU_ASSERT (umbp_shelf_adopted_count (other, &bytes) == 0 && bytes == 0);
    CU_ASSERT (shelf_read (other, ats[15], 15) == UMBP_ENOENT);
    CU_ASSERT (test_shelf_files (shelf_directory, "node-1", ".seg") == files);
    shelf = shelf_open (2);
    CU_ASSERT (shelf_found (shelf, ats) == 8 && ats[12] && ats[19] && !ats[11]);
    CU_ASSERT (shelf_read (shelf, ats[19], 19) == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    CU_ASSERT (umbp_shelf_close (&other));
    shelf_end ();
}

//  Who has a folder there
static void test_folders (void)
{
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1), *other = s_open_as ("node-2", 1);
    umbp_medium_event_t event;
    CU_ASSERT_PTR_NULL (umbp_shelf_folder (shelf, NULL));
    CU_ASSERT (umbp_shelf_look (shelf) == 0 && umbp_shelf_look (shelf) == UMBP_EAGAIN);
    for (int64_t end = umbp_clock_ms () + WAIT_MS;
         umbp_shelf_looking (shelf) && umbp_clock_ms () < end;)
        CU_ASSERT (!umbp_shelf_event (shelf, &event));
    const char *folder = NULL;
    size_t ours = 0, theirs = 0, all = 0;
    while ((folder = umbp_shelf_folder (shelf, folder))) {
        ours += strcmp (folder, "node-1") == 0;
        theirs += strcmp (folder, "node-2") == 0;
        all++;
    }
    CU_ASSERT (ours == 1 && theirs == 1 && all == 2);
    CU_ASSERT (umbp_shelf_close (&shelf));
    CU_ASSERT (umbp_shelf_close (&other));
    shelf_end ();
}

//  One writes and removes, dies, another one takes over, removes some and gives back, or dies itself and a third one takes
//  over: at each moment there is what was put and not removed, and nothing else
static void test_takeovers (void)
{
    static const char *const heirs[] = { "node-2", "node-3" };
    shelf_begin ();
    bool there[COUNT] = { false };
    uint64_t ats[COUNT], epoch = 1;
    for (int turn = 0; turn < TURNS; turn++, epoch++) {
        bool ours = turn % 2 == 0;
        umbp_shelf_t *shelf = ours ? shelf_open (epoch) : s_open_as (heirs[shelf_draw (2)], epoch);
        size_t count = ours ? shelf_found (shelf, ats) : s_adopt (shelf, "node-1", ats), should = 0;
        for (uint32_t number = 0; number < COUNT; number++) {
            should += there[number];
            CU_ASSERT ((ats[number] != 0) == there[number]);
        }
        CU_ASSERT (count == should);
        for (uint32_t number = 0; number < COUNT; number++)
            if (there[number] && shelf_draw (3) == 0) {
                CU_ASSERT (umbp_shelf_remove (shelf, ats[number]) == 0);
                there[number] = false;
            } else if (there[number] && shelf_draw (4) == 0)
                CU_ASSERT (shelf_read (shelf, ats[number], number) == 0);
        for (uint32_t number = 0; ours && number < COUNT; number++)
            if (!there[number] && shelf_draw (3) == 0) {
                CU_ASSERT (shelf_put (shelf, number).status == 0);
                there[number] = true;
            }
        CU_ASSERT (umbp_shelf_close (&shelf));
    }
    shelf_end ();
}

int main (int argc, char **argv)
{
    static void (*const tests[]) (void) = {
        test_marks, test_adopted, test_folders, test_takeovers, NULL,
    };
    static const char *const names[] = {
        "test_marks",
        "test_adopted",
        "test_folders",
        "test_takeovers",
    };
    return shelf_main (argc, argv, "shelf others", tests, names);
}

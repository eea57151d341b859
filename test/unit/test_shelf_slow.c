//  test/unit/test_shelf_slow.c - a shelf on a mount that answers, but slowly, while it has much of its own to do: blocks are
//  read and written meanwhile. Seed: argument or clock, printed.
#include "test/unit/shelf_ill.h"

#define SLOW 120                        //  Segments

//  What was said of a read and a put, 1: nothing yet
typedef struct {
    int read, written;
} said_t;

static void s_hear (umbp_shelf_t *shelf, said_t *said, int64_t now)
{
    umbp_medium_event_t event;
    umbp_shelf_tick (shelf, now);
    while (umbp_shelf_event (shelf, &event)) {
        said->read = event.type == UMBP_MEDIUM_READ ? event.status : said->read;
        said->written = event.type == UMBP_MEDIUM_WRITTEN ? event.status : said->written;
    }
}

//  The shelf has SLOW files of its own to see to, and a mount that answers each such call a second late. Not all are asked
//  for at once: readers and writers are served meanwhile, and nothing is said to be ill. No time passes for the shelf but
//  those seconds.
static void s_see_to (umbp_shelf_t *shelf, uint64_t at)
{
    said_t said = { 1, 1 };
    uint32_t size = shelf_size (0);
    struct iovec data = { shelf_memory[1], size };
    int64_t now = umbp_clock_ms () + shelf_ahead, until = umbp_clock_ms () + WAIT_MS;
    for (int turn = 0; shelf_passed () < SLOW && umbp_clock_ms () < until; turn++) {
        CU_ASSERT (umbp_shelf_stats (shelf).waiting <= 18);
        CU_ASSERT (umbp_shelf_stats (shelf).state == 0);
        if (turn == 3)
            CU_ASSERT (umbp_shelf_read (shelf, at, 0, size, &data, 1, 5) == 0);
        if (turn == 7)                      //  Longer than what waits may wait
            CU_ASSERT (test_shelf_append (shelf, shelf_memory[2], 1000, 1000, shelf_seed) == 0);
        unsigned left = SLOW - shelf_passed ();
        while (shelf_hangs () < (left < UMBP_SHELF_THREADS ? left : UMBP_SHELF_THREADS)
               && umbp_clock_ms () < until) {
            poll (&(struct pollfd) { .fd = umbp_shelf_fd (shelf), .events = POLLIN }, 1, 1);
            s_hear (shelf, &said, now);
        }
        now += 1000;
        shelf_ahead += 1000;
        s_hear (shelf, &said, now);
        shelf_turn ();
    }
    shelf_set_ill (NULL, 0, 0);
    while ((umbp_shelf_stats (shelf).waiting > 0 || said.written == 1)
           && umbp_clock_ms () < until) {
        s_hear (shelf, &said, now);
        usleep (1000);
    }
    CU_ASSERT (said.read == 0 && said.written == 0);
    CU_ASSERT (umbp_shelf_stats (shelf).timeouts == 0 && umbp_shelf_stats (shelf).io_errors == 0);
    CU_ASSERT (umbp_shelf_stats (shelf).state == 0);
}

//  Many segments are deleted
static void test_slow_deletes (void)
{
    shelf_begin ();
    umbp_shelf_t *shelf = test_shelf_open (shelf_directory, "node-1", 1, UMBP_SHELF_STRICT);
    CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
    uint64_t ats[SLOW], stays = shelf_put (shelf, 0).at;
    for (uint32_t number = 0; number < SLOW; number++) {
        CU_ASSERT_FATAL (test_shelf_append (shelf, shelf_memory[0], 100 + number, 1000, number)
                         == 0);
        ats[number] = shelf_await (shelf, UMBP_MEDIUM_WRITTEN).at;
    }
    shelf_settle (shelf);
    shelf_set_ill ("unlink", -2, -1);
    shelf_set_ending (".seg");
    for (uint32_t number = 0; number < SLOW; number++)
        CU_ASSERT (umbp_shelf_remove (shelf, ats[number]) == 0);
    uint64_t mark = umbp_shelf_mark (shelf);
    s_see_to (shelf, stays);
    CU_ASSERT (shelf_is_safe (shelf, mark, WAIT_MS));
    CU_ASSERT (test_shelf_files (shelf_directory, "node-1", ".seg") == 2);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

//  Of many segments a part is removed
static void test_slow_removals (void)
{
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1);
    uint64_t ats[SLOW], stays = shelf_put (shelf, 0).at;
    for (uint32_t number = 0; number < SLOW; number++) {
        for (uint32_t each = 0; each < 2; each++)
            CU_ASSERT_FATAL (
                test_shelf_append (shelf, shelf_memory[each], 100 + 2 * number + each, 1000, number)
                == 0);
        shelf_pass (shelf, UMBP_SHELF_CLOSE_MS);         //  A segment for these two
        for (uint32_t each = 0; each < 2; each++)
            ats[number] = shelf_await (shelf, UMBP_MEDIUM_WRITTEN).at;
    }
    shelf_settle (shelf);
    CU_ASSERT (test_shelf_files (shelf_directory, "node-1", ".seg") == SLOW + 1);
    shelf_set_ill ("fdatasync", -2, -1);
    shelf_set_ending (".gone.tmp");
    for (uint32_t number = 0; number < SLOW; number++)
        CU_ASSERT (umbp_shelf_remove (shelf, ats[number]) == 0);
    uint64_t mark = umbp_shelf_mark (shelf);
    shelf_pass (shelf, 200);
    s_see_to (shelf, stays);
    CU_ASSERT (shelf_is_safe (shelf, mark, WAIT_MS));
    CU_ASSERT (test_shelf_files (shelf_directory, "node-1", ".gone") == SLOW);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

int main (int argc, char **argv)
{
    static void (*const tests[]) (void) = { test_slow_deletes, test_slow_removals, NULL };
    static const char *const names[] = { "test_slow_deletes", "test_slow_removals" };
    return shelf_main (argc, argv, "shelf slow", tests, names);
}

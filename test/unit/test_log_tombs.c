//  test/unit/test_log_tombs.c - tombstones that cleaning carries out of a segment: until they are on disk elsewhere the
//  segment stays as it is, whatever else was written meanwhile, also if they cannot be written at first. Else a process
//  that dies in that moment leaves blocks behind that were removed long ago, and said to be.
#include "test/unit/log.h"

#define SMALL 1000u                     //  Of block 0
//  Of all others: four in a segment, with room for tombstones, which is less than is worth cleaning
#define BLOCK (240u << 10)
#define BLOCKS 10                       //  0 to 4 in the first segment, 5 to 8 in the next one, and one more
#define BLOCKS_MOST 64
#define TURNS 50                        //  Of a log that has nothing to do

static const test_log_how_t s_how = {
    .engine = "posix", .directories = 1, .capacity = 8 * MIB, .segment_bytes = MIB, .depth = 4,
};
static char s_folder[256], s_copy[256];
static uint8_t *s_out;
static int64_t s_skew;

//  What passed, and the write of tombstones that is kept back: the first one after cleaning began
static struct {
    unsigned sealed, cleaned, freed, copied;
    unsigned before;                    //  Tombstones that were being written when the first record was copied
    bool armed, next, held;
    uint64_t offset;
    int verdict;                        //  -1: it waits
} s_seen;

//  What is on disk in this moment is what a process that dies in it leaves behind
static void s_take_copy (void)
{
    char command[900];
    snprintf (command, sizeof command, "mkdir %s/0 && cp %s/0/umbp.log %s/0", s_copy, s_folder,
              s_copy);
    CU_ASSERT (system (command) == 0);
}

void umbp_log_point (const char *name)
{
    s_seen.sealed += strcmp (name, "sealed") == 0;
    s_seen.cleaned += strcmp (name, "clean") == 0;
    s_seen.before += s_seen.cleaned && s_seen.copied == 0 && strcmp (name, "inner") == 0;
    s_seen.copied += strcmp (name, "copy") == 0;
    s_seen.next |= s_seen.armed && !s_seen.held && s_seen.cleaned && strcmp (name, "inner") == 0;
    if (strcmp (name, "freed") == 0 && s_seen.freed++ == 0)
        s_take_copy ();
}

int umbp_log_fault (umbp_log_op_t op, int drive, uint64_t offset, size_t length)
{
    (void) drive;
    (void) length;
    if (op != UMBP_LOG_OP_WRITE)
        return 0;
    if (s_seen.next) {                  //  It comes right after the point
        s_seen.next = false;
        s_seen.held = true;
        s_seen.offset = offset;
    }
    return s_seen.held && offset == s_seen.offset ? s_seen.verdict : 0;
}

static void s_turn (umbp_log_t *log)
{
    umbp_medium_event_t event;
    poll (&(struct pollfd) { .fd = umbp_log_fd (log), .events = POLLIN }, 1, 5);
    umbp_log_tick (log, umbp_clock_ms () + s_skew);
    while (umbp_log_event (log, &event))
        CU_ASSERT (event.type == UMBP_MEDIUM_MOVED);
}

//  Turns until a number is as high as that, or cannot be
#define UNTIL(log, number, value)                                                                  \
    for (int64_t until = umbp_clock_ms () + WAIT_MS;                                               \
         (number) < (value) && umbp_clock_ms () < until;)                                          \
        s_turn (log);                                                                              \
    CU_ASSERT_FATAL ((number) >= (value))

//  Its name; 0: no room
static uint64_t s_put (umbp_log_t *log, uint32_t number)
{
    uint32_t size = number ? BLOCK : SMALL;
    test_log_fill (s_out, size, number);
    umbp_medium_record_t record = { .key = &number,
                                 .key_size = sizeof number,
                                 .size = size,
                                 .sum = XXH3_64bits (s_out, size) };
    umbp_medium_event_t event;
    int rc = umbp_log_append (log, &record, &(struct iovec) { s_out, size }, 1, number, number);
    CU_ASSERT_FATAL (rc == 0 || rc == UMBP_ENOSPC);
    if (rc < 0)
        return 0;
    CU_ASSERT_FATAL (test_log_wait (log, &event));
    CU_ASSERT_FATAL (event.type == UMBP_MEDIUM_WRITTEN && event.status == 0);
    return event.at;
}

//  Which are found in a folder, as bits
static uint64_t s_found (const char *folder)
{
    umbp_medium_record_t record;
    uint64_t at;
    uint64_t found = 0;
    umbp_log_t *log = test_log_begin (folder, &s_how);
    while (umbp_log_recovered (log, &record, &at)) {
        uint32_t number;
        memcpy (&number, record.key, sizeof number);
        CU_ASSERT_FATAL (record.key_size == sizeof number && number < BLOCKS_MOST);
        found |= UINT64_C (1) << number;
    }
    CU_ASSERT (umbp_log_close (&log));
    return found;
}

static void s_begin_test (void)
{
    memset (&s_seen, 0, sizeof s_seen);
    s_skew = 0;
    test_log_folder (s_folder, sizeof s_folder);
    test_log_folder (s_copy, sizeof s_copy);
}

//  A log whose second segment has the tombstone of block 0, which is in the first one, and blocks 5 to 8. Returns how
//  many blocks there are, at most that many.
static uint32_t s_fill (umbp_log_t **log_p, uint64_t *ats, uint32_t most)
{
    umbp_medium_record_t record;
    uint64_t at;
    umbp_log_t *log = *log_p = test_log_begin (s_folder, &s_how);
    CU_ASSERT_FATAL (!umbp_log_recovered (log, &record, &at));
    for (uint32_t number = 0; number < most; number++) {
        ats[number] = s_put (log, number);
        if (ats[number] == 0)
            return number;
        if (number == 5) {              //  The first one in the second segment
            CU_ASSERT (umbp_log_remove (log, ats[0]) == 0);
            uint64_t mark = umbp_log_mark (log);
            UNTIL (log, umbp_log_is_past (log, mark), true);
        }
    }
    return most;
}

//  The tombstones that are carried are written late, after others, and fail at first
static void test_carried_late (void)
{
    uint64_t ats[BLOCKS];
    umbp_log_t *log;
    s_begin_test ();
    s_seen.verdict = -1;
    CU_ASSERT_FATAL (s_fill (&log, ats, BLOCKS) == BLOCKS);
    UNTIL (log, s_seen.sealed, 2);
    CU_ASSERT (umbp_log_stats (log).tombstones == 1 && s_seen.cleaned == 0);
    for (uint32_t number = 5; number < 9; number++)
        CU_ASSERT (umbp_log_remove (log, ats[number]) == 0);
    umbp_log_mark (log);                //  These go before cleaning begins
    s_seen.armed = true;
    UNTIL (log, s_seen.held, true);
    UNTIL (log, umbp_log_stats (log).tombstones, 5);
    CU_ASSERT (umbp_log_remove (log, ats[1]) == 0);
    umbp_log_mark (log);
    UNTIL (log, umbp_log_stats (log).tombstones, 6);
    for (int turn = 0; turn < TURNS && s_seen.freed == 0; turn++)
        s_turn (log);
    CU_ASSERT (s_seen.cleaned == 1);
    CU_ASSERT (s_seen.freed == 0);      //  What it carried is not on disk
    s_seen.verdict = EIO;
    UNTIL (log, umbp_log_stats (log).io_errors, 1);
    for (int turn = 0; turn < TURNS && s_seen.freed == 0; turn++)
        s_turn (log);
    CU_ASSERT (s_seen.freed == 0);
    s_seen.verdict = 0;
    s_skew += 6000;                     //  The directory is tried again
    UNTIL (log, s_seen.freed, 1);
    CU_ASSERT (umbp_log_close (&log));
    CU_ASSERT (s_found (s_copy) == (1u << 2 | 1u << 3 | 1u << 4 | 1u << 9));
    CU_ASSERT (s_found (s_folder) == (1u << 2 | 1u << 3 | 1u << 4 | 1u << 9));
    test_log_remove (s_copy);
    test_log_remove (s_folder);
}

//  They are the first to get what room there is: records that are copied come after them
static void test_carried_first (void)
{
    uint64_t ats[BLOCKS_MOST];
    umbp_log_t *log;
    s_begin_test ();
    uint32_t count = s_fill (&log, ats, BLOCKS_MOST);
    CU_ASSERT_FATAL (count > BLOCKS && count < BLOCKS_MOST);
    UNTIL (log, s_seen.sealed, 2);
    CU_ASSERT (s_seen.cleaned == 0);
    for (uint32_t number = 6; number < 9; number++)
        CU_ASSERT (umbp_log_remove (log, ats[number]) == 0);
    umbp_log_mark (log);
    UNTIL (log, s_seen.freed, 1);
    CU_ASSERT (s_seen.cleaned == 1 && s_seen.copied == 1);
    CU_ASSERT (s_seen.before > 0);
    CU_ASSERT (umbp_log_close (&log));
    uint64_t all = ((UINT64_C (1) << count) - 1) & ~(UINT64_C (1) | 7u << 6);
    CU_ASSERT (s_found (s_copy) == all);
    CU_ASSERT (s_found (s_folder) == all);
    test_log_remove (s_copy);
    test_log_remove (s_folder);
}

int main (void)
{
    alarm (280);
    s_out = test_log_memory (BLOCK);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("log_tombs", NULL, NULL);
    CU_ADD_TEST (suite, test_carried_late);
    CU_ADD_TEST (suite, test_carried_first);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    free (s_out);
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

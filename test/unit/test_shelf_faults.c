//  test/unit/test_shelf_faults.c - a shelf on files whose calls fail, hang, stop short, or give other bytes: nothing of
//  what was refused is there later, and it goes on. Seed: argument or clock, printed.
#include "actors/tier/shelf_file.h"
#include "test/unit/shelf_ill.h"

//  Nothing is there of what was refused, it is not said to be there, and it goes on afterwards
static void s_fail (const char *call, int error, int status)
{
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1);
    CU_ASSERT (shelf_put (shelf, 0).status == 0);
    shelf_set_ill (call, error, 1);
    int said = shelf_put (shelf, 1).status;
    if (said != status)
        printf ("[%s, %d: %d] ", call, error, said);
    CU_ASSERT (said == status);
    shelf_set_ill (NULL, 0, 0);
    CU_ASSERT (umbp_shelf_stats (shelf).state < 0);
    CU_ASSERT (shelf_put (shelf, 2).status < 0);         //  For a while
    shelf_pass (shelf, 31000);
    CU_ASSERT (umbp_shelf_stats (shelf).state == 0);
    CU_ASSERT (shelf_put (shelf, 3).status == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf = shelf_open (2);
    uint64_t ats[COUNT];
    CU_ASSERT (shelf_found (shelf, ats) == 2 && ats[0] && ats[3]);
    CU_ASSERT (test_shelf_files (shelf_directory, "node-1", ".tmp") == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

static void test_errors (void)
{
    static const char *const calls[] = {
        "create", "write", "fdatasync", "close", "rename", "fsync"
    };
    for (size_t index = 0; index < sizeof calls / sizeof *calls; index++) {
        s_fail (calls[index], ENOSPC, UMBP_ENOSPC);
        s_fail (calls[index], EDQUOT, UMBP_ENOSPC);
        s_fail (calls[index], EIO, UMBP_EIO);
        s_fail (calls[index], ESTALE, UMBP_ESTALE);
        s_fail (calls[index], EROFS, UMBP_EDENIED);
    }
}

//  A file whose head could not be written is closed, once: its number may be that of another by now
static void test_head (void)
{
    shelf_begin ();
    char path[UMBP_SHELF_PATH_MAX];
    snprintf (path, sizeof path, "%s/head", shelf_directory);
    umbp_log_head_t head = { .id = 1, .seq = 1, .index = 1 };
    int file = -1;
    shelf_set_ill ("write", EIO, 1);
    CU_ASSERT (umbp_shelf_create (path, &head, false, &file) == EIO);
    CU_ASSERT (file == -1 && access (path, F_OK) == -1);
    CU_ASSERT (umbp_shelf_create (path, &head, false, &file) == 0);
    CU_ASSERT (close (file) == 0 && unlink (path) == 0);
    shelf_end ();
}

//  A kernel without RENAME_NOREPLACE there: link and unlink; and never over what is there
static void test_rename (void)
{
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1);
    shelf_set_ill ("rename", EINVAL, 1);
    umbp_medium_event_t event = shelf_put (shelf, 0);
    CU_ASSERT (event.status == 0 && shelf_read (shelf, event.at, 0) == 0);
    CU_ASSERT (test_shelf_files (shelf_directory, "node-1", ".tmp") == 0);
    umbp_shelf_where_t where;
    CU_ASSERT_FATAL (umbp_shelf_where (shelf, event.at, &where));
    for (int turn = 0; turn < 2; turn++) {
        char name[UMBP_SHELF_NAME_MAX], path[UMBP_SHELF_PATH_MAX];
        umbp_shelf_name (name, "node-1", 1, where.counter + 1 + (uint64_t) turn, "seg");
        snprintf (path, sizeof path, "%s/node-1/%s", shelf_directory, name);
        FILE *file = fopen (path, "w");
        CU_ASSERT_PTR_NOT_NULL_FATAL (file);
        CU_ASSERT (fputs ("another's", file) >= 0);
        fclose (file);
        shelf_set_ill (turn ? "rename" : NULL, EINVAL, 1);
        CU_ASSERT (shelf_put (shelf, 1).status == UMBP_EIO);
        char text[16] = "";
        file = fopen (path, "r");
        CU_ASSERT_PTR_NOT_NULL_FATAL (file);
        CU_ASSERT_PTR_NOT_NULL (fgets (text, sizeof text, file));
        fclose (file);
        CU_ASSERT_STRING_EQUAL (text, "another's");
        shelf_pass (shelf, 6000);
    }
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

static void test_reads_that_fail (void)
{
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1);
    umbp_medium_event_t event = shelf_put (shelf, 0);
    CU_ASSERT_FATAL (event.status == 0);
    shelf_set_ill ("open", ESTALE, 1);
    CU_ASSERT (shelf_read (shelf, event.at, 0) == 0);    //  Once: opened anew
    shelf_set_ill ("read", EIO, 1);
    CU_ASSERT (shelf_read (shelf, event.at, 0) == 0);
    CU_ASSERT (umbp_shelf_stats (shelf).state == 0);
    shelf_set_ill ("open", ESTALE, -1);
    CU_ASSERT (shelf_read (shelf, event.at, 0) == UMBP_EUNREACH);
    CU_ASSERT (umbp_shelf_stats (shelf).state == UMBP_EIO);
    shelf_set_ill (NULL, 0, 0);
    CU_ASSERT (shelf_read (shelf, event.at, 0) == 0);
    shelf_ill.cut = true;                   //  Transfers that stop short
    CU_ASSERT (shelf_read (shelf, event.at, 0) == 0);
    shelf_pass (shelf, 6000);
    event = shelf_put (shelf, 2);
    shelf_ill.cut = false;
    CU_ASSERT (event.status == 0 && shelf_read (shelf, event.at, 2) == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

//  Each byte of a segment flipped in turn, some at a time: what is read is right, or said to be damaged
static void test_flipped (void)
{
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1);
    for (uint32_t number = 0; number < 3; number++)
        CU_ASSERT_FATAL (test_shelf_append (shelf, shelf_memory[number], number,
                                            shelf_size (number), shelf_seed + number)
                         == 0);
    umbp_shelf_where_t where;
    for (uint32_t number = 0; number < 3; number++)
        CU_ASSERT (umbp_shelf_where (shelf, shelf_await (shelf, UMBP_MEDIUM_WRITTEN).at, &where));
    CU_ASSERT (umbp_shelf_close (&shelf));
    char name[UMBP_SHELF_NAME_MAX], path[UMBP_SHELF_PATH_MAX];
    umbp_shelf_name (name, "node-1", where.epoch, where.counter, "seg");
    snprintf (path, sizeof path, "%s/node-1/%s", shelf_directory, name);
    uint8_t *bytes, *bad;
    size_t size;
    CU_ASSERT_FATAL (umbp_shelf_get_file (path, &bytes, &size) == 0);
    bad = malloc (size);
    size_t right = 0, damaged = 0;
    for (uint64_t turn = 0; turn < 60; turn++) {
        memcpy (bad, bytes, size);
        size_t at = turn < 20   ? shelf_draw (8192)
                    : turn < 40 ? size - 1 - shelf_draw (8192)
                                : shelf_draw (size);
        bad[at] ^= (uint8_t) (1 << shelf_draw (8));
        FILE *file = fopen (path, "w");
        CU_ASSERT_FATAL (file && fwrite (bad, 1, size, file) == size && fclose (file) == 0);
        shelf = shelf_open (2 + turn);
        uint64_t ats[COUNT];
        shelf_found (shelf, ats);
        for (uint32_t number = 0; number < 3; number++) {
            int status = ats[number] ? shelf_read (shelf, ats[number], number) : UMBP_ENOENT;
            CU_ASSERT (status == 0 || status == UMBP_ECHECKSUM || status == UMBP_ENOENT);
            right += status == 0;
            damaged += status != 0;
        }
        CU_ASSERT (umbp_shelf_close (&shelf));
    }
    printf ("[%zu right, %zu damaged] ", right, damaged);
    CU_ASSERT (right > 60 && damaged > 5);
    free (bytes);
    free (bad);
    shelf_end ();
}

//  A mount that hangs: what waits ends, nothing more is begun, and all is well once it answers
static void s_hang (const char *call, bool reads)
{
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1);
    umbp_medium_event_t event = shelf_put (shelf, 0);
    uint64_t at = event.at;
    CU_ASSERT_FATAL (event.status == 0);
    shelf_set_ill (call, -1, -1);
    shelf_set_skip (strcmp (call, "write") == 0);       //  The head is written
    uint32_t size = shelf_size (0);
    struct iovec data = { shelf_memory[1], size };
    CU_ASSERT_FATAL (
        (reads ? umbp_shelf_read (shelf, at, 0, size, &data, 1, 1)
               : test_shelf_append (shelf, shelf_memory[1], 1, shelf_size (1), shelf_seed + 1))
        == 0);
    for (int turn = 0; turn < 3000 && !shelf_hangs (); turn++) {
        umbp_shelf_tick (shelf, umbp_clock_ms ());
        umbp_shelf_event (shelf, &event);
        usleep (10000);
    }
    CU_ASSERT_FATAL (shelf_hangs ());
    umbp_shelf_tick (shelf, umbp_clock_ms ());
    event = test_shelf_event (shelf, 6000);
    bool memory = reads || strcmp (call, "write") == 0;
    CU_ASSERT (event.type == (reads ? UMBP_MEDIUM_READ : UMBP_MEDIUM_WRITTEN) && event.tag == 1);
    CU_ASSERT (event.status == UMBP_ETIMEDOUT || (!memory && event.status == UMBP_EIO));
    bool owed = event.status == UMBP_ETIMEDOUT;
    CU_ASSERT (umbp_shelf_stats (shelf).state == UMBP_ETIMEDOUT && umbp_shelf_hanging (shelf) > 0);
    CU_ASSERT (test_shelf_append (shelf, shelf_memory[2], 2, shelf_size (2), shelf_seed)
               == UMBP_EIO);
    CU_ASSERT (umbp_shelf_read (shelf, at, 0, size, &data, 1, 1) == UMBP_EUNREACH);
    shelf_set_ill (NULL, 0, 0);
    shelf_ahead = 13000;
    int64_t until = umbp_clock_ms () + WAIT_MS;
    while ((owed || umbp_shelf_stats (shelf).state < 0 || umbp_shelf_stats (shelf).waiting > 0)
           && umbp_clock_ms () < until) {
        umbp_shelf_tick (shelf, umbp_clock_ms () + shelf_ahead);
        while (umbp_shelf_event (shelf, &event))
            owed = owed && !(event.type == UMBP_MEDIUM_RELEASED && event.tag == 1);
        usleep (1000);
    }
    CU_ASSERT (!owed && umbp_shelf_hanging (shelf) == 0 && umbp_shelf_stats (shelf).state == 0);
    CU_ASSERT (shelf_read (shelf, at, 0) == 0);
    event = shelf_put (shelf, 3);
    CU_ASSERT (event.status == 0 && shelf_read (shelf, event.at, 3) == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf = shelf_open (2);                 //  What was said to be not there is not there
    uint64_t ats[COUNT];
    CU_ASSERT (shelf_found (shelf, ats) == 2 && ats[0] && ats[3]);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

static void test_hanging (void)
{
    static const char *const calls[] = { "create", "write", "fdatasync", "rename", "fsync" };
    for (size_t index = 0; index < sizeof calls / sizeof *calls; index++)
        s_hang (calls[index], false);
    s_hang ("read", true);
    s_hang ("open", true);
}

//  All of a segment is removed: its file is gone for good, also when the power is lost, before that counts as safe and
//  before the file of its removals goes; if that cannot be, it is tried again
static void test_deleted_for_good (void)
{
    for (int mode = UMBP_SHELF_RELAXED; mode <= UMBP_SHELF_STRICT; mode++) {
        shelf_begin ();
        umbp_shelf_t *shelf = test_shelf_open (shelf_directory, "node-1", 1, mode);
        CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
        umbp_medium_event_t event = shelf_put (shelf, 0), other = shelf_put (shelf, 1);
        CU_ASSERT_FATAL (event.status == 0 && other.status == 0);
        shelf_settle (shelf);
        size_t from = shelf_calls ();
        CU_ASSERT (umbp_shelf_remove (shelf, event.at) == 0);
        CU_ASSERT (shelf_is_safe (shelf, umbp_shelf_mark (shelf), WAIT_MS));
        size_t seg = shelf_called (from, "unlink", ".seg");
        size_t sync = shelf_called (seg, "fsync", "/node-1");
        size_t gone = shelf_called (seg, "unlink", ".gone");
        CU_ASSERT (seg < gone && gone < CALLS);
        CU_ASSERT (mode == UMBP_SHELF_RELAXED ? sync == CALLS : seg < sync && sync < gone);
        if (mode != UMBP_SHELF_RELAXED) {
            shelf_settle (shelf);
            from = shelf_calls ();
            shelf_set_ill ("fsync", EIO, 1);
            CU_ASSERT (umbp_shelf_remove (shelf, other.at) == 0);
            uint64_t mark = umbp_shelf_mark (shelf);
            shelf_settle (shelf);
            CU_ASSERT (!umbp_shelf_is_past (shelf, mark));
            CU_ASSERT (shelf_called (from, "unlink", ".gone") == CALLS);
            shelf_pass (shelf, 6000);
            CU_ASSERT (shelf_is_safe (shelf, mark, WAIT_MS));
            CU_ASSERT (shelf_called (from, "unlink", ".gone") < CALLS);
        }
        CU_ASSERT (umbp_shelf_close (&shelf));
        CU_ASSERT (test_shelf_files (shelf_directory, "node-1", ".seg")
                   == (mode == UMBP_SHELF_RELAXED));
        shelf_end ();
    }
}

//  What is given up while it gets its name is deleted, and that for good as well
static void test_discarded_for_good (void)
{
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1);
    CU_ASSERT (shelf_put (shelf, 0).status == 0);
    shelf_settle (shelf);
    size_t from = shelf_calls ();
    shelf_set_ill ("write", EIO, 1);
    shelf_set_skip (1);                     //  The head is written
    CU_ASSERT (shelf_put (shelf, 1).status == UMBP_EIO);
    shelf_settle (shelf);
    size_t seg = shelf_called (from, "unlink", ".seg");
    CU_ASSERT (seg < CALLS && shelf_called (seg, "fsync", "/node-1") < CALLS);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

//  A start as the files are now: how many blocks, segments that cannot be read, and files of segments afterwards there are
static void s_expect_start (uint64_t epoch, size_t blocks, uint64_t bad, size_t files)
{
    uint64_t ats[COUNT];
    umbp_shelf_t *shelf = shelf_open (epoch);
    CU_ASSERT (umbp_shelf_stats (shelf).bad_headers == bad);
    CU_ASSERT (shelf_found (shelf, ats) == blocks && (blocks == 0 || (ats[1] && ats[2])));
    CU_ASSERT (umbp_shelf_close (&shelf));
    CU_ASSERT (test_shelf_files (shelf_directory, "node-1", ".seg") == files);
}

//  What another node finds there. Returns how many.
static size_t s_scan (umbp_shelf_t *shelf)
{
    umbp_medium_record_t record;
    umbp_shelf_where_t where;
    size_t count = 0;
    CU_ASSERT (umbp_shelf_scan (shelf, "node-1", 1) == 0);
    CU_ASSERT (shelf_await (shelf, UMBP_MEDIUM_READ).status == 0);
    while (umbp_shelf_scanned (shelf, &record, &where))
        count++;
    return count;
}

//  A segment of three blocks, of which one was removed; by another node
static void s_make_gone (bool others)
{
    uint64_t ats[3], at;
    umbp_medium_record_t record;
    umbp_shelf_t *shelf = shelf_open (1), *other = NULL;
    for (uint32_t number = 0; number < 3; number++)
        CU_ASSERT_FATAL (test_shelf_append (shelf, shelf_memory[number], number,
                                            shelf_size (number), shelf_seed + number)
                         == 0);
    for (uint32_t number = 0; number < 3; number++) {
        umbp_medium_event_t event = shelf_await (shelf, UMBP_MEDIUM_WRITTEN);
        CU_ASSERT_FATAL (event.status == 0 && event.item < 3);
        ats[event.item] = event.at;
    }
    CU_ASSERT (others || umbp_shelf_remove (shelf, ats[0]) == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    if (others) {
        other = test_shelf_open (shelf_directory, "node-2", 1, UMBP_SHELF_COMMIT);
        CU_ASSERT_FATAL (other && umbp_shelf_scan (other, "node-1", 1) == 0);
        CU_ASSERT (shelf_await (other, UMBP_MEDIUM_READ).status == 0);
        while (umbp_shelf_adopted (other, &record, &at))
            CU_ASSERT (test_shelf_number (&record) > 0 || umbp_shelf_remove (other, at) == 0);
        CU_ASSERT (umbp_shelf_close (&other));
    }
}

//  Which blocks were removed cannot be read: none of the segment is there, for its node nor for others. It stays, for a
//  start that can. What was replaced while it was opened is opened anew.
static void test_gone_unread (void)
{
    static const int errors[] = { EIO, ETIMEDOUT, EACCES, EMFILE, ESTALE };
    for (int others = 0; others < 2; others++) {
        char ending[32] = ".gone";
        shelf_begin ();
        s_make_gone (others);
        umbp_shelf_t *other = test_shelf_open (shelf_directory, "node-2", 2, UMBP_SHELF_COMMIT);
        CU_ASSERT_PTR_NOT_NULL_FATAL (other);
        if (others)
            umbp_shelf_gone_suffix (ending, "node-2");
        for (size_t index = 0; index < sizeof errors / sizeof *errors; index++) {
            int times = errors[index] == ESTALE ? 2 : 1;
            shelf_set_ill ("open", errors[index], times);
            shelf_set_ending (ending);
            s_expect_start (2 + index, 0, 1, 1);
            shelf_set_ill ("open", errors[index], times);
            shelf_set_ending (ending);
            CU_ASSERT (s_scan (other) == 0);
        }
        shelf_set_ill ("open", ESTALE, 1);
        shelf_set_ending (ending);
        s_expect_start (20, 2, 0, 1);
        CU_ASSERT (s_scan (other) == 2);
        CU_ASSERT (umbp_shelf_close (&other));
        shelf_end ();
    }
}

//  ... or is damaged
static void test_gone_damaged (void)
{
    shelf_begin ();
    s_make_gone (false);
    uint8_t *bytes;
    size_t size;
    char path[UMBP_SHELF_PATH_MAX], name[UMBP_SHELF_NAME_MAX];
    umbp_shelf_name (name, "node-1", 1, 1, "gone");
    snprintf (path, sizeof path, "%s/node-1/%s", shelf_directory, name);
    CU_ASSERT_FATAL (umbp_shelf_get_file (path, &bytes, &size) == 0);
    for (uint64_t turn = 0; turn < 20; turn++) {
        size_t bad = turn == 0 ? 0 : turn % 2 ? size : shelf_draw (size);
        size_t flipped = shelf_draw (size);
        bytes[flipped] ^= bad == size ? 1 : 0;
        FILE *file = fopen (path, "w");
        CU_ASSERT_FATAL (file && fwrite (bytes, 1, bad, file) == bad && fclose (file) == 0);
        bytes[flipped] ^= bad == size ? 1 : 0;
        s_expect_start (2 + turn, 0, 1, 1);
    }
    FILE *file = fopen (path, "w");
    CU_ASSERT_FATAL (file && fwrite (bytes, 1, size, file) == size && fclose (file) == 0);
    s_expect_start (30, 2, 0, 1);
    free (bytes);
    shelf_end ();
}

//  A folder of which only a part can be listed is not listed
static void test_listed_in_part (void)
{
    shelf_begin ();
    s_make_gone (false);
    char why[512] = "";
    umbp_shelf_args_t args = { .directory = shelf_directory,
                               .node = "node-1",
                               .epoch = 2,
                               .capacity_bytes = 64 * MIB };
    shelf_set_ill ("readdir", EIO, 1);
    shelf_set_skip (2);
    CU_ASSERT_PTR_NULL (umbp_shelf_open (&args, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "cannot be read"));
    s_expect_start (3, 2, 0, 1);
    umbp_shelf_t *other = test_shelf_open (shelf_directory, "node-2", 1, UMBP_SHELF_COMMIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL (other);
    for (int turn = 0; turn < 3; turn++) {
        umbp_medium_event_t event;
        shelf_set_ill (turn == 1 ? "readdir" : NULL, EIO, 1);
        CU_ASSERT (umbp_shelf_look (other) == 0);
        shelf_settle (other);
        CU_ASSERT (!umbp_shelf_event (other, &event) && !umbp_shelf_looking (other));
        const char *folder = umbp_shelf_folder (other, NULL);
        CU_ASSERT (folder && umbp_shelf_folder (other, folder));
    }
    shelf_set_ill ("readdir", EIO, 1);
    CU_ASSERT (umbp_shelf_scan (other, "node-1", 1) == 0);
    CU_ASSERT (shelf_await (other, UMBP_MEDIUM_READ).status < 0);
    CU_ASSERT (umbp_shelf_close (&other));
    shelf_end ();
}

static void test_hanging_start (void)
{
    shelf_begin ();
    char why[512] = "";
    umbp_shelf_args_t args = { .directory = shelf_directory,
                               .node = "node-1",
                               .epoch = 1,
                               .capacity_bytes = 64 * MIB, .deadline_ms = 300 };
    shelf_set_ill ("list", -1, -1);
    CU_ASSERT_PTR_NULL (umbp_shelf_open (&args, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "says nothing"));
    shelf_set_ill (NULL, 0, 0);
    shelf_end ();
}

int main (int argc, char **argv)
{
    static void (*const tests[]) (void) = {
        test_errors,
        test_head,
        test_rename,
        test_reads_that_fail,
        test_flipped,
        test_hanging,
        test_hanging_start,
        test_deleted_for_good,
        test_discarded_for_good,
        test_gone_unread,
        test_gone_damaged,
        test_listed_in_part,
        NULL,
    };
    static const char *const names[] = {
        "test_errors",
        "test_head",
        "test_rename",
        "test_reads_that_fail",
        "test_flipped",
        "test_hanging",
        "test_hanging_start",
        "test_deleted_for_good",
        "test_discarded_for_good",
        "test_gone_unread",
        "test_gone_damaged",
        "test_listed_in_part",
    };
    return shelf_main (argc, argv, "shelf faults", tests, names);
}

//  test/unit/test_log_faults.c - the segment log on a disk that fails: errors of writes, syncs and reads, no room, a disk
//  that hangs, transfers that stop short, flipped bits. What was acknowledged stays, what is found has its own bytes
//  or is seen to be damaged, and the log goes on when the disk does. Seed: argument or clock, printed.
#include "test/unit/log.h"

#include <signal.h>
#include <sys/resource.h>

#define COUNT 24

static struct {
    bool on;
    umbp_log_op_t op;
    int what;                           //  errno, or -1: hangs
    uint64_t from, until;               //  Offsets it is about
} s_fault;
static uint64_t s_seed, s_random, s_skew;
static uint8_t *s_out, *s_in;
static char s_folder[256];

int umbp_log_fault (umbp_log_op_t op, int drive, uint64_t offset, size_t length)
{
    (void) drive;
    (void) length;
    return s_fault.on && op == s_fault.op && offset >= s_fault.from && offset < s_fault.until
               ? s_fault.what
               : 0;
}

static void s_set_fault (umbp_log_op_t op, int what)
{
    s_fault.op = op;
    s_fault.what = what;
    s_fault.from = 0;
    s_fault.until = UINT64_MAX;
    s_fault.on = true;
}

static uint64_t s_draw (uint64_t below)
{
    return umbp_splitmix (&s_random) % below;
}

static umbp_log_t *s_open (const char *engine)
{
    test_log_how_t how = { .engine = engine,
                           .directories = 1,
                           .capacity = 12 * MIB,
                           .segment_bytes = MIB, .strict = true };
    s_skew = 0;
    return test_log_begin (s_folder, &how);
}

static int64_t s_now (void)
{
    return umbp_clock_ms () + (int64_t) s_skew;
}

//  The next event of a kind
static umbp_medium_event_t s_await (umbp_log_t *log, umbp_medium_event_type_t type)
{
    umbp_medium_event_t event = { .status = 1 };
    int64_t until = umbp_clock_ms () + WAIT_MS;
    for (;;) {
        while (umbp_log_event (log, &event))
            if (event.type == type)
                return event;
        CU_ASSERT_FATAL (umbp_clock_ms () < until);
        poll (&(struct pollfd) { .fd = umbp_log_fd (log), .events = POLLIN }, 1, 10);
        umbp_log_tick (log, s_now ());
    }
}

//  Until nothing is under way: what the fault is about has met it
static void s_rest (umbp_log_t *log)
{
    int64_t until = umbp_clock_ms () + WAIT_MS;
    umbp_medium_event_t event;
    do {
        CU_ASSERT_FATAL (umbp_clock_ms () < until);
        umbp_log_tick (log, s_now ());
        poll (&(struct pollfd) { .fd = umbp_log_fd (log), .events = POLLIN }, 1, 5);
        while (umbp_log_event (log, &event))
            CU_ASSERT (event.type != UMBP_MEDIUM_LEFT);
    } while (umbp_log_stats (log).waiting > 0);
}

static uint32_t s_size (uint32_t number)
{
    return number % 2 ? 3000 + number : 70000 + number * 100;
}

static int s_begin (umbp_log_t *log, uint32_t number)
{
    char key[32];
    snprintf (key, sizeof key, "%u", number);
    uint32_t size = s_size (number);
    test_log_fill (s_out, size, number + s_seed);
    umbp_medium_record_t record = { .key = key,
                                 .key_size = strlen (key),
                                 .size = size,
                                 .sum = XXH3_64bits (s_out, size) };
    return umbp_log_append (log, &record, &(struct iovec) { s_out, size }, 1, number, number);
}

static umbp_medium_event_t s_put (umbp_log_t *log, uint32_t number)
{
    CU_ASSERT_FATAL (s_begin (log, number) == 0);
    umbp_medium_event_t event = s_await (log, UMBP_MEDIUM_WRITTEN);
    CU_ASSERT (event.tag == number);
    return event;
}

static bool s_right (umbp_log_t *log, uint64_t at, uint32_t number)
{
    uint32_t size = s_size (number);
    CU_ASSERT_FATAL (umbp_log_read (log, at, 0, size, &(struct iovec) { s_in, size }, 1, 5) == 0);
    umbp_medium_event_t event = s_await (log, UMBP_MEDIUM_READ);
    test_log_fill (s_out, size, number + s_seed);
    return event.status == 0 && memcmp (s_in, s_out, size) == 0;
}

//  Which are there, as bits, all with the right bytes; *wrong_p counts those whose sum shows that they are damaged
static uint32_t s_found (umbp_log_t *log, unsigned *wrong_p, uint64_t *ats)
{
    umbp_medium_record_t record;
    uint64_t at;
    uint32_t found = 0;
    while (umbp_log_recovered (log, &record, &at)) {
        char key[32] = "";
        memcpy (key, record.key, record.key_size < 31 ? record.key_size : 31);
        uint32_t number = (uint32_t) strtoul (key, NULL, 10);
        uint64_t sum = record.sum;
        CU_ASSERT_FATAL (number < COUNT && record.size == s_size (number));
        umbp_log_set_item (log, at, number);
        ats[number] = at;
        bool right = s_right (log, at, number);
        CU_ASSERT (right
                   || XXH3_64bits (s_in, record.size) != sum); //  Else a wrong byte goes unseen
        if (right)
            found |= 1u << number;
        else
            ++*wrong_p;
    }
    return found;
}

static uint32_t s_reopen (umbp_log_t **log_p, const char *engine, unsigned *wrong_p, uint64_t *ats)
{
    s_fault.on = false;
    CU_ASSERT (umbp_log_close (log_p));
    *log_p = s_open (engine);
    return s_found (*log_p, wrong_p, ats);
}

static void s_begin_test (void)
{
    s_skew = 0;
    s_fault.on = false;
    test_log_folder (s_folder, sizeof s_folder);
}

static void s_failing_writes (const char *engine, umbp_log_op_t op, int error, int status)
{
    s_begin_test ();
    uint64_t ats[COUNT];
    unsigned wrong = 0;
    umbp_log_t *log = s_open (engine);
    CU_ASSERT (s_found (log, &wrong, ats) == 0);
    uint64_t at = s_put (log, 0).at;
    for (uint32_t number = 1; number < 3; number++) {           //  A small one, a large one
        s_set_fault (op, error);
        CU_ASSERT (s_put (log, number).status == status);
        CU_ASSERT (umbp_log_stats (log).state == status);
        CU_ASSERT (s_begin (log, 4) == status);                 //  Not even tried
        CU_ASSERT (s_right (log, at, 0));
        s_rest (log);
        s_fault.on = false;
        s_skew += 6000;
        umbp_log_tick (log, s_now ());
        CU_ASSERT (s_put (log, 10 + number).status == 0);
        CU_ASSERT (umbp_log_stats (log).state == 0);
        s_rest (log);
    }
    CU_ASSERT (s_reopen (&log, engine, &wrong, ats) == (1u | 1u << 11 | 1u << 12));
    CU_ASSERT (wrong == 0);
    CU_ASSERT (umbp_log_close (&log));
    test_log_remove (s_folder);
}

static void test_failing_disk (void)
{
    static const char *engines[] = { "auto", "posix" };
    for (size_t index = 0; index < 2; index++) {
        s_failing_writes (engines[index], UMBP_LOG_OP_WRITE, EIO, UMBP_EIO);
        s_failing_writes (engines[index], UMBP_LOG_OP_WRITE, ENOSPC, UMBP_ENOSPC);
        s_failing_writes (engines[index], UMBP_LOG_OP_WRITE, EROFS, UMBP_EDENIED);
        s_failing_writes (engines[index], UMBP_LOG_OP_SYNC, EIO, UMBP_EIO);
    }
}

static void test_failing_reads (void)
{
    s_begin_test ();
    uint64_t ats[COUNT];
    unsigned wrong = 0;
    umbp_log_t *log = s_open ("auto");
    CU_ASSERT (s_found (log, &wrong, ats) == 0);
    for (uint32_t number = 0; number < 2; number++) {
        uint64_t at = s_put (log, number).at;
        s_set_fault (UMBP_LOG_OP_READ, EIO);
        CU_ASSERT (!s_right (log, at, number));
        s_fault.on = false;
        CU_ASSERT (s_right (log, at, number));
    }
    CU_ASSERT (umbp_log_stats (log).io_errors == 2);
    CU_ASSERT (umbp_log_close (&log));
    test_log_remove (s_folder);
}

//  The owner is told in time, and again when the memory is its own
static void test_hanging_disk (void)
{
    s_begin_test ();
    uint64_t ats[COUNT];
    unsigned wrong = 0;
    umbp_log_t *log = s_open ("auto");
    CU_ASSERT (s_found (log, &wrong, ats) == 0);
    uint64_t at = s_put (log, 0).at;
    s_set_fault (UMBP_LOG_OP_READ, -1);
    CU_ASSERT (umbp_log_read (log, at, 0, 10, &(struct iovec) { s_in, 10 }, 1, 77) == 0);
    umbp_log_tick (log, s_now ());
    s_skew += 5100;
    umbp_medium_event_t event = s_await (log, UMBP_MEDIUM_READ);
    CU_ASSERT (event.status == UMBP_ETIMEDOUT && event.tag == 77);
    CU_ASSERT (umbp_log_stats (log).state == UMBP_EIO && umbp_log_stats (log).timeouts == 1);
    s_fault.on = false;
    CU_ASSERT (s_await (log, UMBP_MEDIUM_RELEASED).tag == 77);
    s_skew += 6000;
    umbp_log_tick (log, s_now ());
    for (uint32_t number = 1; number < 3; number++) {
        s_set_fault (UMBP_LOG_OP_WRITE, -1);
        CU_ASSERT (s_begin (log, number) == 0);
        umbp_log_tick (log, s_now ());
        s_skew += 5100;
        event = s_await (log, UMBP_MEDIUM_WRITTEN);
        CU_ASSERT (event.status == UMBP_ETIMEDOUT && event.tag == number);
        s_fault.on = false;
        CU_ASSERT (s_await (log, UMBP_MEDIUM_RELEASED).tag == number);
        s_skew += 6000;
        umbp_log_tick (log, s_now ());
    }
    CU_ASSERT (s_put (log, 3).status == 0);
    CU_ASSERT (s_reopen (&log, "auto", &wrong, ats) == (1u | 1u << 3));
    CU_ASSERT (umbp_log_close (&log));
    test_log_remove (s_folder);
}

//  Flip a bit of so many bytes
static void s_flip (uint64_t offset, uint64_t length, unsigned times)
{
    char path[300];
    snprintf (path, sizeof path, "%s/0/umbp.log", s_folder);
    int file = open (path, O_RDWR);
    for (unsigned index = 0; index < times; index++) {
        uint8_t byte;
        uint64_t at = offset + s_draw (length);
        CU_ASSERT (pread (file, &byte, 1, (off_t) at) == 1);
        byte ^= (uint8_t) (1u << s_draw (8));
        CU_ASSERT (pwrite (file, &byte, 1, (off_t) at) == 1);
    }
    CU_ASSERT (fsync (file) == 0);
    close (file);
}

static umbp_log_t *s_filled (uint32_t *all_p)
{
    uint64_t ats[COUNT];
    unsigned wrong = 0;
    umbp_log_t *log = s_open ("auto");
    CU_ASSERT (s_found (log, &wrong, ats) == 0);
    *all_p = 0;
    for (uint32_t number = 0; number < COUNT; number++) {
        CU_ASSERT (s_put (log, number).status == 0);
        *all_p |= 1u << number;
    }
    return log;
}

//  A damaged head, trailer or table costs no block; nor does one of the superblocks
static void test_flipped_heads (void)
{
    for (uint64_t at = 0; at < 4; at++) {
        s_begin_test ();
        uint32_t all;
        uint64_t ats[COUNT];
        unsigned wrong = 0;
        umbp_log_t *log = s_filled (&all);
        CU_ASSERT (umbp_log_close (&log));
        if (at == 0)
            s_flip (0, 64, 1);
        for (uint64_t segment = 0; segment < 2 && at > 0; segment++) {
            uint64_t base = UMBP_LOG_SUPER_BYTES + segment * MIB;
            s_flip (at == 1   ? base
                    : at == 2 ? base + MIB - UMBP_LOG_BLOCK
                              : base + MIB - 2 * UMBP_LOG_BLOCK,
                    64, 1);
        }
        log = s_open ("auto");
        CU_ASSERT (s_found (log, &wrong, ats) == all);
        CU_ASSERT (wrong == 0);
        CU_ASSERT (umbp_log_close (&log));
        log = s_open ("auto");          //  It was made whole again
        CU_ASSERT (s_found (log, &wrong, ats) == all && umbp_log_stats (log).bad_headers == 0);
        CU_ASSERT (umbp_log_close (&log));
        test_log_remove (s_folder);
    }
}

static void test_flipped_bits (void)
{
    unsigned damaged = 0, gone = 0;
    for (int round = 0; round < 20; round++) {
        s_begin_test ();
        uint32_t all;
        uint64_t ats[COUNT];
        umbp_log_t *log = s_filled (&all);
        CU_ASSERT (umbp_log_close (&log));
        s_flip (UMBP_LOG_SUPER_BYTES, 3 * MIB, 1 + (unsigned) s_draw (6));
        log = s_open ("auto");
        unsigned wrong = 0;
        uint32_t found = s_found (log, &wrong, ats);
        damaged += wrong;
        gone += (unsigned) __builtin_popcount (all & ~found) - wrong;
        CU_ASSERT (umbp_log_close (&log));
        test_log_remove (s_folder);
    }
    printf ("[%u seen to be damaged, %u gone] ", damaged, gone);
    CU_ASSERT (damaged > 0);
}

//  Cleaning meets a damaged record: it lets that go and says so, and copies the others
static void test_damaged_in_cleaning (void)
{
    s_begin_test ();
    uint32_t all;
    uint64_t ats[COUNT];
    unsigned wrong = 0;
    umbp_log_t *log = s_filled (&all);
    CU_ASSERT (umbp_log_close (&log));
    s_flip (UMBP_LOG_SUPER_BYTES + UMBP_LOG_BLOCK + UMBP_LOG_BLOCK + 5000, 1000,
            1); //  Data of the first
    char why[256];
    uint64_t records;
    char path[300];
    snprintf (path, sizeof path, "%s/0", s_folder);
    CU_ASSERT (umbp_log_verify (path, &records, why, sizeof why) == 1 && records == COUNT);
    log = s_open ("auto");
    uint32_t found = s_found (log, &wrong, ats);
    CU_ASSERT (wrong == 1 && found == (all & ~1u));
    CU_ASSERT (umbp_log_close (&log));
    log = s_open ("auto");
    umbp_medium_record_t record;
    uint64_t at;
    while (umbp_log_recovered (log, &record, &at))
        umbp_log_set_item (log, at, record.size == s_size (0) ? 0 : 1);
    //  All but a few of the first segment go, so that it is cleaned for its dead space once room is short
    umbp_medium_event_t event = { .type = UMBP_MEDIUM_READ };
    for (uint32_t number = 100; event.type != UMBP_MEDIUM_LEFT && number < 2000; number++) {
        int rc = s_begin (log, number);
        if (rc == UMBP_ENOSPC)
            umbp_log_evict (log, MIB);
        CU_ASSERT_FATAL (test_log_wait (log, &event));
        while (event.type != UMBP_MEDIUM_WRITTEN && event.type != UMBP_MEDIUM_LEFT)
            CU_ASSERT_FATAL (test_log_wait (log, &event));
    }
    CU_ASSERT (event.type == UMBP_MEDIUM_LEFT);
    CU_ASSERT (umbp_log_close (&log));
    test_log_remove (s_folder);
}

static void test_short_transfers (void)
{
    struct iovec iov[2] = { { s_out, 100 }, { s_in, 50 } };
    umbp_log_part_t part = { .iov = iov, .count = 2, .offset = 1000 };
    int error;
    CU_ASSERT (!umbp_log_io_went (&part, UMBP_LOG_OP_READ, -EINTR, &error) && error == 0);
    CU_ASSERT (!umbp_log_io_went (&part, UMBP_LOG_OP_READ, -EAGAIN, &error) && error == 0);
    CU_ASSERT (!umbp_log_io_went (&part, UMBP_LOG_OP_READ, 30, &error) && error == 0);
    CU_ASSERT (part.offset == 1030 && part.iov->iov_len == 70 && part.count == 2);
    CU_ASSERT (!umbp_log_io_went (&part, UMBP_LOG_OP_READ, 80, &error) && error == 0);
    CU_ASSERT (part.offset == 1110 && part.iov->iov_base == s_in + 10 && part.count == 1);
    umbp_log_part_t end = part;
    CU_ASSERT (umbp_log_io_went (&end, UMBP_LOG_OP_READ, 0, &error) && error == EIO);
    CU_ASSERT (umbp_log_io_went (&end, UMBP_LOG_OP_WRITE, 0, &error) && error == ENOSPC);
    CU_ASSERT (umbp_log_io_went (&end, UMBP_LOG_OP_WRITE, -EIO, &error) && error == EIO);
    CU_ASSERT (umbp_log_io_went (&part, UMBP_LOG_OP_READ, 40, &error) && error == 0);
}

//  The kernel refuses so large a file: said when the log is opened, not when it is full
static void test_no_room (void)
{
    s_begin_test ();
    struct rlimit before, small;
    signal (SIGXFSZ, SIG_IGN);
    CU_ASSERT (getrlimit (RLIMIT_FSIZE, &before) == 0);
    small = before;
    small.rlim_cur = 4 * MIB;
    CU_ASSERT (setrlimit (RLIMIT_FSIZE, &small) == 0);
    char why[256] = "";
    test_log_how_t how = { .engine = "auto",
                           .directories = 1,
                           .capacity = 12 * MIB,
                           .segment_bytes = MIB };
    CU_ASSERT_PTR_NULL (test_log_open (s_folder, &how, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "cannot be had"));
    CU_ASSERT (setrlimit (RLIMIT_FSIZE, &before) == 0);
    test_log_remove (s_folder);
}

int main (int argc, char **argv)
{
    alarm (280);
    s_seed = argc > 1 ? strtoull (argv[1], NULL, 10) : (uint64_t) umbp_clock_ms ();
    s_random = s_seed;
    printf ("seed %" PRIu64 "\n", s_seed);
    s_out = test_log_memory (SIZE_MOST);
    s_in = test_log_memory (SIZE_MOST);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("log_faults", NULL, NULL);
    CU_ADD_TEST (suite, test_short_transfers);
    CU_ADD_TEST (suite, test_failing_disk);
    CU_ADD_TEST (suite, test_failing_reads);
    CU_ADD_TEST (suite, test_hanging_disk);
    CU_ADD_TEST (suite, test_flipped_heads);
    CU_ADD_TEST (suite, test_flipped_bits);
    CU_ADD_TEST (suite, test_damaged_in_cleaning);
    CU_ADD_TEST (suite, test_no_room);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    free (s_out);
    free (s_in);
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

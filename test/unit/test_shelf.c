//  test/unit/test_shelf.c - a shelf as its owner sees it: what is put is there, for other nodes too, and after a restart;
//  what is removed is not; for room the oldest leave. A random model; mounts that fail, hang, stop short. Seed: argument
//  or clock, printed.
#include "test/unit/shelf.h"

#include <pthread.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "actors/tier/hands.h"
#include "actors/tier/mount.h"

#define SLOTS 16
#define COUNT 40

static uint64_t s_seed, s_random;
static uint8_t *s_memory[SLOTS], *s_other;
static char s_directory[256];
static int64_t s_ahead;                 //  Of the clock

//  ------------------------------------------------------------------------------------------------
//  Faults: of which call, how often, and what comes of it; -1: it hangs until let go

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    const char *call;
    int error, times, skip;             //  skip: so many calls first
    unsigned hanging;
    atomic_bool cut;
} s_ill = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0, 0, 0, 0, false };

int umbp_shelf_fault (const char *call, const char *path)
{
    (void) path;
    int error = 0;
    pthread_mutex_lock (&s_ill.lock);
    bool is = s_ill.call && strcmp (call, s_ill.call) == 0 && s_ill.times != 0;
    if (is && s_ill.skip > 0)
        s_ill.skip--;
    else if (is) {
        s_ill.times -= s_ill.times > 0;
        error = s_ill.error;
        s_ill.hanging += error == -1;
        while (error == -1 && s_ill.call)
            pthread_cond_wait (&s_ill.more, &s_ill.lock);
        if (error == -1) {
            s_ill.hanging--;
            error = 0;
        }
    }
    pthread_mutex_unlock (&s_ill.lock);
    return error;
}

size_t umbp_shelf_short (size_t bytes)
{
    return s_ill.cut && bytes > 1 ? 1 + bytes / 3 : bytes;
}

//  times -1: always; call NULL: well again
static void s_set_ill (const char *call, int error, int times)
{
    pthread_mutex_lock (&s_ill.lock);
    s_ill.call = call;
    s_ill.error = error;
    s_ill.times = times;
    s_ill.skip = 0;
    pthread_cond_broadcast (&s_ill.more);
    pthread_mutex_unlock (&s_ill.lock);
}

static void s_set_skip (int skip)
{
    pthread_mutex_lock (&s_ill.lock);
    s_ill.skip = skip;
    pthread_mutex_unlock (&s_ill.lock);
}

static bool s_hangs (void)
{
    pthread_mutex_lock (&s_ill.lock);
    bool hangs = s_ill.hanging > 0;
    pthread_mutex_unlock (&s_ill.lock);
    return hangs;
}

static void s_begin (void)
{
    test_shelf_folder (s_directory, sizeof s_directory);
    s_set_ill (NULL, 0, 0);
    s_ahead = 0;
}

//  Time passes
static void s_pass (umbp_shelf_t *shelf, int64_t ms)
{
    s_ahead += ms;
    umbp_shelf_tick (shelf, umbp_clock_ms () + s_ahead);
}

static void s_end (void)
{
    test_shelf_remove (s_directory);
}

static uint64_t s_draw (uint64_t below)
{
    return umbp_splitmix (&s_random) % below;
}

static uint32_t s_size (uint32_t number)
{
    return number % 2 ? 1000 + number : 70000 + number * 100;
}

static umbp_shelf_t *s_open (uint64_t epoch)
{
    umbp_shelf_t *shelf = test_shelf_open (s_directory, "node-1", epoch, UMBP_SHELF_COMMIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
    return shelf;
}

static umbp_log_event_t s_await (umbp_shelf_t *shelf, umbp_log_event_type_t type)
{
    umbp_log_event_t event = test_shelf_event (shelf, s_ahead);
    while (event.status <= 0 && event.type != type)
        event = test_shelf_event (shelf, s_ahead);
    CU_ASSERT_FATAL (event.status <= 0);
    return event;
}

static umbp_log_event_t s_put (umbp_shelf_t *shelf, uint32_t number)
{
    int rc = test_shelf_append (shelf, s_memory[0], number, s_size (number), s_seed + number);
    if (rc < 0)
        return (umbp_log_event_t) { .status = rc };
    umbp_log_event_t event = s_await (shelf, UMBP_LOG_WRITTEN);
    CU_ASSERT (event.tag == number && event.item == number);
    return event;
}

//  Returns the read's status; with 0 the bytes are right
static int s_read (umbp_shelf_t *shelf, uint64_t at, uint32_t number)
{
    uint32_t size = s_size (number);
    memset (s_memory[1], 0, size);
    int rc = umbp_shelf_read (shelf, at, 0, size, &(struct iovec) { s_memory[1], size }, 1, 5);
    if (rc < 0)
        return rc;
    umbp_log_event_t event = s_await (shelf, UMBP_LOG_READ);
    test_log_fill (s_memory[2], size, s_seed + number);
    CU_ASSERT (event.status < 0 || memcmp (s_memory[1], s_memory[2], size) == 0);
    return event.status;
}

//  Which are there after a start; their places
static size_t s_found (umbp_shelf_t *shelf, uint64_t ats[COUNT])
{
    umbp_log_record_t record;
    uint64_t at;
    size_t count = 0;
    memset (ats, 0, COUNT * sizeof *ats);
    while (umbp_shelf_recovered (shelf, &record, &at)) {
        uint32_t number = test_shelf_number (&record);
        CU_ASSERT_FATAL (number < COUNT && record.size == s_size (number) && record.depth == 7
                         && record.replicas == 2);
        CU_ASSERT (ats[number] == 0);
        umbp_shelf_set_item (shelf, at, number);
        ats[number] = at;
        count++;
    }
    return count;
}

//  ------------------------------------------------------------------------------------------------
//  What it is for

static void test_modes (void)
{
    static const umbp_shelf_mode_t modes[] = { UMBP_SHELF_RELAXED, UMBP_SHELF_COMMIT,
                                               UMBP_SHELF_STRICT };
    for (size_t mode = 0; mode < 3; mode++) {
        s_begin ();
        s_end ();
        test_log_folder (s_directory, sizeof s_directory);           //  On a disk
        umbp_shelf_t *shelf = test_shelf_open (s_directory, "node-1", 1, modes[mode]);
        CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
        CU_ASSERT (strstr (umbp_shelf_mount (shelf), " at /") != NULL);
        uint64_t ats[COUNT];
        for (uint32_t number = 0; number < 8; number++)
            CU_ASSERT_FATAL (test_shelf_append (shelf, s_memory[number], number, s_size (number),
                                                s_seed + number)
                             == 0);
        for (uint32_t number = 0; number < 8; number++) {
            umbp_log_event_t event = s_await (shelf, UMBP_LOG_WRITTEN);
            CU_ASSERT_FATAL (event.status == 0 && event.tag < 8);
            ats[event.tag] = event.at;
        }
        for (uint32_t number = 0; number < 8; number++)
            CU_ASSERT (s_read (shelf, ats[number], number) == 0);
        size_t files = test_shelf_files (s_directory, "node-1", ".seg");
        CU_ASSERT (modes[mode] == UMBP_SHELF_STRICT ? files == 8 : files >= 1 && files < 8);
        CU_ASSERT (test_shelf_files (s_directory, "node-1", ".tmp") == 0);
        for (uint32_t number = 0; number < 6; number++)
            CU_ASSERT (umbp_shelf_remove (shelf, ats[number]) == 0);
        CU_ASSERT (umbp_shelf_remove (shelf, ats[0]) == UMBP_ENOENT);
        CU_ASSERT (s_read (shelf, ats[0], 0) == UMBP_ENOENT);
        CU_ASSERT (umbp_shelf_close (&shelf));
        for (uint64_t epoch = 2; epoch < 4; epoch++) {
            shelf = s_open (epoch);
            CU_ASSERT (s_found (shelf, ats) == 2);
            CU_ASSERT (ats[6] && s_read (shelf, ats[6], 6) == 0);
            CU_ASSERT (ats[7] && s_read (shelf, ats[7], 7) == 0);
            CU_ASSERT (umbp_shelf_close (&shelf));
        }
        shelf = s_open (4);
        CU_ASSERT (s_found (shelf, ats) == 2);
        umbp_shelf_remove (shelf, ats[6]);
        umbp_shelf_remove (shelf, ats[7]);
        CU_ASSERT (umbp_shelf_close (&shelf));
        CU_ASSERT (test_shelf_files (s_directory, "node-1", ".seg") == 0);
        CU_ASSERT (test_shelf_files (s_directory, "node-1", ".gone") == 0);
        s_end ();
    }
}

//  Another process, which has the directory and nothing else of the writer
static int s_reader (const umbp_shelf_where_t *where)
{
    umbp_shelf_t *shelf = test_shelf_open (s_directory, "node-2", 1, UMBP_SHELF_COMMIT);
    umbp_log_record_t record;
    umbp_shelf_where_t found;
    if (!shelf || umbp_shelf_scan (shelf, "node-1", 9) != 0)
        return 2;
    umbp_log_event_t event = test_shelf_event (shelf, 0);
    if (event.type != UMBP_LOG_READ || event.status != 0 || event.tag != 9)
        return 3;
    size_t seen = 0, same = 0;
    for (; umbp_shelf_scanned (shelf, &record, &found); seen++) {
        uint32_t number = test_shelf_number (&record), size = record.size;
        same += memcmp (&found, &where[number], sizeof found) == 0;
        if (umbp_shelf_fetch (shelf, &found, &record, &(struct iovec) { s_memory[0], size }, 1, 1)
            != 0)
            return 4;
        event = test_shelf_event (shelf, 0);
        test_log_fill (s_memory[1], size, s_seed + number);
        if (event.status != 0 || memcmp (s_memory[0], s_memory[1], size) != 0)
            return 5;
    }
    if (seen != 10 || same != 10)
        return 6;
    umbp_log_record_t other = { .key = "another", .key_size = 7, .size = s_size (3) };
    struct iovec data = { s_memory[0], s_size (3) };
    if (umbp_shelf_fetch (shelf, &where[3], &other, &data, 1, 1) != 0
        || test_shelf_event (shelf, 0).status != UMBP_ECHECKSUM)
        return 7;
    found = where[3];
    found.counter += 1000;
    if (umbp_shelf_fetch (shelf, &found, &other, &data, 1, 1) != 0
        || test_shelf_event (shelf, 0).status != UMBP_ENOENT)
        return 8;
    return umbp_shelf_close (&shelf) ? 0 : 9;
}

static void test_two_nodes (void)
{
    s_begin ();
    umbp_shelf_where_t where[10];
    int ends[2];
    memset (where, 0, sizeof where);
    CU_ASSERT_FATAL (pipe (ends) == 0);
    fflush (NULL);
    pid_t pid = fork ();                //  While we have no threads
    if (pid == 0)
        _exit (read (ends[0], where, sizeof where) == sizeof where ? s_reader (where) : 1);
    umbp_shelf_t *shelf = s_open (1);
    for (uint32_t number = 0; number < 10; number++) {
        umbp_log_event_t event = s_put (shelf, number);
        CU_ASSERT_FATAL (event.status == 0);
        CU_ASSERT (umbp_shelf_where (shelf, event.at, &where[number]));
    }
    CU_ASSERT (write (ends[1], where, sizeof where) == sizeof where);
    close (ends[0]);
    close (ends[1]);
    int status;
    CU_ASSERT (waitpid (pid, &status, 0) == pid);
    if (!WIFEXITED (status) || WEXITSTATUS (status))
        printf ("[reader: %x] ", (unsigned) status);
    CU_ASSERT (WIFEXITED (status) && WEXITSTATUS (status) == 0);
    char why[512] = "";                 //  The name is taken while we live
    umbp_shelf_args_t args = { .directory = s_directory,
                               .node = "node-1",
                               .epoch = 2,
                               .capacity_bytes = 64 * MIB };
    CU_ASSERT_PTR_NULL (umbp_shelf_open (&args, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "does another node"));
    CU_ASSERT (umbp_shelf_close (&shelf));
    s_end ();
}

//  More than there is room for: the oldest leave, but those that are wanted
static bool s_keep (void *arg, uint32_t item)
{
    (void) arg;
    return item == 0;
}

static void test_full (void)
{
    s_begin ();
    umbp_shelf_t *shelf = s_open (1);
    umbp_shelf_set_keep (shelf, s_keep, NULL);
    size_t left = 0, written = 0;
    bool first_left = false, pending = false;
    int64_t until = umbp_clock_ms () + WAIT_MS;
    for (uint32_t number = 0; number < 60 && umbp_clock_ms () < until;) {
        if (!pending) {
            int rc = test_shelf_append (shelf, s_memory[0], number, 2 * MIB, number);
            CU_ASSERT_FATAL (rc == 0 || rc == UMBP_EAGAIN);
            pending = rc == 0;
        }
        poll (&(struct pollfd) { .fd = umbp_shelf_fd (shelf), .events = POLLIN }, 1, 10);
        umbp_shelf_tick (shelf, umbp_clock_ms ());
        for (umbp_log_event_t event; umbp_shelf_event (shelf, &event);) {
            CU_ASSERT_FATAL (event.status == 0);
            left += event.type == UMBP_LOG_LEFT;
            first_left |= event.type == UMBP_LOG_LEFT && event.item == 0;
            if (event.type == UMBP_LOG_WRITTEN) {
                written++;
                number++;
                pending = false;
            }
        }
        CU_ASSERT (umbp_shelf_stats (shelf).live_bytes <= 64 * MIB);
    }
    CU_ASSERT (written == 60 && left >= 28 && left < 40 && !first_left);
    umbp_shelf_evict (shelf, 4 * MIB);
    CU_ASSERT (umbp_shelf_stats (shelf).records == 60 - left - 2);
    CU_ASSERT (umbp_shelf_close (&shelf));
    s_end ();
}

//  Memory of a block that is being written stays as it is
static void s_free_slot (umbp_shelf_t *shelf, uint32_t slot, uint64_t ats[COUNT],
                         bool pending[COUNT])
{
    for (uint32_t each = slot; each < COUNT; each += SLOTS)
        while (pending[each]) {
            umbp_log_event_t event = s_await (shelf, UMBP_LOG_WRITTEN);
            ats[event.item] = event.at;
            pending[event.item] = false;
        }
}

//  Blocks come, go and are read at random, with restarts: as if it were a table in memory
static void test_model (void)
{
    s_begin ();
    uint64_t ats[COUNT] = { 0 };
    bool pending[COUNT] = { false };
    umbp_shelf_t *shelf = s_open (1);
    for (uint64_t step = 0, epoch = 2; step < 400; step++) {
        uint32_t number = (uint32_t) s_draw (COUNT);
        if (s_draw (40) == 0) {
            CU_ASSERT (umbp_shelf_close (&shelf));
            shelf = s_open (epoch++);
            uint64_t found[COUNT];
            s_found (shelf, found);
            for (uint32_t each = 0; each < COUNT; each++) {
                CU_ASSERT (pending[each] || (found[each] != 0) == (ats[each] != 0));
                ats[each] = found[each];
                pending[each] = false;
            }
        } else if (pending[number]) {
            umbp_log_event_t event = s_await (shelf, UMBP_LOG_WRITTEN);
            CU_ASSERT (event.status == 0);
            ats[event.item] = event.at;
            pending[event.item] = false;
        } else if (!ats[number]) {
            s_free_slot (shelf, number % SLOTS, ats, pending);
            pending[number] = test_shelf_append (shelf, s_memory[number % SLOTS], number,
                                                 s_size (number), s_seed + number)
                              == 0;
        } else if (s_draw (2)) {
            CU_ASSERT (umbp_shelf_remove (shelf, ats[number]) == 0);
            ats[number] = 0;
        } else {
            umbp_log_event_t event;
            uint32_t size = s_size (number), from = (uint32_t) s_draw (size);
            CU_ASSERT_FATAL (umbp_shelf_read (shelf, ats[number], from, size - from,
                                              &(struct iovec) { s_other, size }, 1, 77)
                             == 0);
            while ((event = test_shelf_event (shelf, 0)).type != UMBP_LOG_READ) {
                CU_ASSERT_FATAL (event.type == UMBP_LOG_WRITTEN && event.status == 0);
                ats[event.item] = event.at;
                pending[event.item] = false;
            }
            uint8_t *right = s_other + SIZE_MOST / 2;
            test_log_fill (right, size, s_seed + number);
            CU_ASSERT (event.status == 0 && memcmp (s_other, right + from, size - from) == 0);
        }
    }
    CU_ASSERT (umbp_shelf_close (&shelf));
    s_end ();
}

//  ------------------------------------------------------------------------------------------------
//  What fails

//  Nothing is there of what was refused, it is not said to be there, and it goes on afterwards
static void s_fail (const char *call, int error, int status)
{
    s_begin ();
    umbp_shelf_t *shelf = s_open (1);
    CU_ASSERT (s_put (shelf, 0).status == 0);
    s_set_ill (call, error, 1);
    int said = s_put (shelf, 1).status;
    if (said != status)
        printf ("[%s, %d: %d] ", call, error, said);
    CU_ASSERT (said == status);
    s_set_ill (NULL, 0, 0);
    CU_ASSERT (umbp_shelf_stats (shelf).state < 0);
    CU_ASSERT (s_put (shelf, 2).status < 0);         //  For a while
    s_pass (shelf, 31000);
    CU_ASSERT (umbp_shelf_stats (shelf).state == 0);
    CU_ASSERT (s_put (shelf, 3).status == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf = s_open (2);
    uint64_t ats[COUNT];
    CU_ASSERT (s_found (shelf, ats) == 2 && ats[0] && ats[3]);
    CU_ASSERT (test_shelf_files (s_directory, "node-1", ".tmp") == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    s_end ();
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

//  A kernel without RENAME_NOREPLACE there: link and unlink; and never over what is there
static void test_rename (void)
{
    s_begin ();
    umbp_shelf_t *shelf = s_open (1);
    s_set_ill ("rename", EINVAL, 1);
    umbp_log_event_t event = s_put (shelf, 0);
    CU_ASSERT (event.status == 0 && s_read (shelf, event.at, 0) == 0);
    CU_ASSERT (test_shelf_files (s_directory, "node-1", ".tmp") == 0);
    umbp_shelf_where_t where;
    CU_ASSERT_FATAL (umbp_shelf_where (shelf, event.at, &where));
    for (int turn = 0; turn < 2; turn++) {
        char name[UMBP_SHELF_NAME_MAX], path[UMBP_SHELF_PATH_MAX];
        umbp_shelf_name (name, "node-1", 1, where.counter + 1 + (uint64_t) turn, "seg");
        snprintf (path, sizeof path, "%s/node-1/%s", s_directory, name);
        FILE *file = fopen (path, "w");
        CU_ASSERT_PTR_NOT_NULL_FATAL (file);
        CU_ASSERT (fputs ("another's", file) >= 0);
        fclose (file);
        s_set_ill (turn ? "rename" : NULL, EINVAL, 1);
        CU_ASSERT (s_put (shelf, 1).status == UMBP_EIO);
        char text[16] = "";
        file = fopen (path, "r");
        CU_ASSERT_PTR_NOT_NULL_FATAL (file);
        CU_ASSERT_PTR_NOT_NULL (fgets (text, sizeof text, file));
        fclose (file);
        CU_ASSERT_STRING_EQUAL (text, "another's");
        s_pass (shelf, 6000);
    }
    CU_ASSERT (umbp_shelf_close (&shelf));
    s_end ();
}

static void test_reads_that_fail (void)
{
    s_begin ();
    umbp_shelf_t *shelf = s_open (1);
    umbp_log_event_t event = s_put (shelf, 0);
    CU_ASSERT_FATAL (event.status == 0);
    s_set_ill ("open", ESTALE, 1);
    CU_ASSERT (s_read (shelf, event.at, 0) == 0);    //  Once: opened anew
    s_set_ill ("read", EIO, 1);
    CU_ASSERT (s_read (shelf, event.at, 0) == 0);
    CU_ASSERT (umbp_shelf_stats (shelf).state == 0);
    s_set_ill ("open", ESTALE, -1);
    CU_ASSERT (s_read (shelf, event.at, 0) == UMBP_ESTALE);
    CU_ASSERT (umbp_shelf_stats (shelf).state == UMBP_EIO);
    s_set_ill (NULL, 0, 0);
    CU_ASSERT (s_read (shelf, event.at, 0) == 0);
    s_ill.cut = true;                   //  Transfers that stop short
    CU_ASSERT (s_read (shelf, event.at, 0) == 0);
    s_pass (shelf, 6000);
    event = s_put (shelf, 2);
    s_ill.cut = false;
    CU_ASSERT (event.status == 0 && s_read (shelf, event.at, 2) == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    s_end ();
}

//  Each byte of a segment flipped in turn, some at a time: what is read is right, or said to be damaged
static void test_flipped (void)
{
    s_begin ();
    umbp_shelf_t *shelf = s_open (1);
    for (uint32_t number = 0; number < 3; number++)
        CU_ASSERT_FATAL (
            test_shelf_append (shelf, s_memory[number], number, s_size (number), s_seed + number)
            == 0);
    umbp_shelf_where_t where;
    for (uint32_t number = 0; number < 3; number++)
        CU_ASSERT (umbp_shelf_where (shelf, s_await (shelf, UMBP_LOG_WRITTEN).at, &where));
    CU_ASSERT (umbp_shelf_close (&shelf));
    char name[UMBP_SHELF_NAME_MAX], path[UMBP_SHELF_PATH_MAX];
    umbp_shelf_name (name, "node-1", where.epoch, where.counter, "seg");
    snprintf (path, sizeof path, "%s/node-1/%s", s_directory, name);
    uint8_t *bytes, *bad;
    size_t size;
    CU_ASSERT_FATAL (umbp_shelf_get_file (path, &bytes, &size) == 0);
    bad = malloc (size);
    size_t right = 0, damaged = 0;
    for (uint64_t turn = 0; turn < 60; turn++) {
        memcpy (bad, bytes, size);
        size_t at = turn < 20   ? s_draw (8192)
                    : turn < 40 ? size - 1 - s_draw (8192)
                                : s_draw (size);
        bad[at] ^= (uint8_t) (1 << s_draw (8));
        FILE *file = fopen (path, "w");
        CU_ASSERT_FATAL (file && fwrite (bad, 1, size, file) == size && fclose (file) == 0);
        shelf = s_open (2 + turn);
        uint64_t ats[COUNT];
        s_found (shelf, ats);
        for (uint32_t number = 0; number < 3; number++) {
            int status = ats[number] ? s_read (shelf, ats[number], number) : UMBP_ENOENT;
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
    s_end ();
}

//  A mount that hangs: what waits ends, nothing more is begun, and all is well once it answers
static void s_hang (const char *call, bool reads)
{
    s_begin ();
    umbp_shelf_t *shelf = s_open (1);
    umbp_log_event_t event = s_put (shelf, 0);
    uint64_t at = event.at;
    CU_ASSERT_FATAL (event.status == 0);
    s_set_ill (call, -1, -1);
    s_set_skip (strcmp (call, "write") == 0);       //  The head is written
    uint32_t size = s_size (0);
    struct iovec data = { s_memory[1], size };
    CU_ASSERT_FATAL ((reads ? umbp_shelf_read (shelf, at, 0, size, &data, 1, 1)
                            : test_shelf_append (shelf, s_memory[1], 1, s_size (1), s_seed + 1))
                     == 0);
    for (int turn = 0; turn < 3000 && !s_hangs (); turn++) {
        umbp_shelf_tick (shelf, umbp_clock_ms ());
        umbp_shelf_event (shelf, &event);
        usleep (10000);
    }
    CU_ASSERT_FATAL (s_hangs ());
    umbp_shelf_tick (shelf, umbp_clock_ms ());
    event = test_shelf_event (shelf, 6000);
    bool memory = reads || strcmp (call, "write") == 0;
    CU_ASSERT (event.type == (reads ? UMBP_LOG_READ : UMBP_LOG_WRITTEN) && event.tag == 1);
    CU_ASSERT (event.status == UMBP_ETIMEDOUT || (!memory && event.status == UMBP_EIO));
    bool owed = event.status == UMBP_ETIMEDOUT;
    CU_ASSERT (umbp_shelf_stats (shelf).state == UMBP_EIO && umbp_shelf_hanging (shelf) > 0);
    CU_ASSERT (test_shelf_append (shelf, s_memory[2], 2, s_size (2), s_seed) == UMBP_EIO);
    CU_ASSERT (umbp_shelf_read (shelf, at, 0, size, &data, 1, 1) == UMBP_EAGAIN);
    s_set_ill (NULL, 0, 0);
    s_ahead = 13000;
    int64_t until = umbp_clock_ms () + WAIT_MS;
    while ((owed || umbp_shelf_stats (shelf).state < 0 || umbp_shelf_stats (shelf).waiting > 0)
           && umbp_clock_ms () < until) {
        umbp_shelf_tick (shelf, umbp_clock_ms () + s_ahead);
        while (umbp_shelf_event (shelf, &event))
            owed = owed && !(event.type == UMBP_LOG_RELEASED && event.tag == 1);
        usleep (1000);
    }
    CU_ASSERT (!owed && umbp_shelf_hanging (shelf) == 0 && umbp_shelf_stats (shelf).state == 0);
    CU_ASSERT (s_read (shelf, at, 0) == 0);
    event = s_put (shelf, 3);
    CU_ASSERT (event.status == 0 && s_read (shelf, event.at, 3) == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf = s_open (2);                 //  What was said to be not there is not there
    uint64_t ats[COUNT];
    CU_ASSERT (s_found (shelf, ats) == 2 && ats[0] && ats[3]);
    CU_ASSERT (umbp_shelf_close (&shelf));
    s_end ();
}

static void test_hanging (void)
{
    static const char *const calls[] = { "create", "write", "fdatasync", "rename", "fsync" };
    for (size_t index = 0; index < sizeof calls / sizeof *calls; index++)
        s_hang (calls[index], false);
    s_hang ("read", true);
    s_hang ("open", true);
}

static void test_hanging_start (void)
{
    s_begin ();
    char why[512] = "";
    umbp_shelf_args_t args = { .directory = s_directory,
                               .node = "node-1",
                               .epoch = 1,
                               .capacity_bytes = 64 * MIB, .deadline_ms = 300 };
    s_set_ill ("list", -1, -1);
    CU_ASSERT_PTR_NULL (umbp_shelf_open (&args, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "says nothing"));
    s_set_ill (NULL, 0, 0);
    s_end ();
}

//  What former lives left under temporary names goes once it is old; ours, and what is new, stays
static void test_sweep (void)
{
    static const struct { uint64_t epoch; const char *suffix; bool old, stays; } files[] = {
        { 1, "tmp", true, false },  { 1, "tmp", false, true },   { 9, "tmp", true, true },
        { 1, "gone", false, false }, { 1, "gone.tmp", true, false },
    };
    s_begin ();
    umbp_shelf_t *shelf = s_open (1);
    CU_ASSERT (umbp_shelf_close (&shelf));
    char name[UMBP_SHELF_NAME_MAX], path[UMBP_SHELF_PATH_MAX];
    for (int look = 0; look < 2; look++) {
        for (size_t index = 0; index < sizeof files / sizeof *files; index++) {
            umbp_shelf_name (name, "node-1", files[index].epoch, 100 + index, files[index].suffix);
            snprintf (path, sizeof path, "%s/node-1/%s", s_directory, name);
            if (look)
                CU_ASSERT ((access (path, F_OK) == 0) == files[index].stays);
            FILE *file = look ? NULL : fopen (path, "w");
            struct timeval times[2] = { { time (NULL) - 3700, 0 }, { time (NULL) - 3700, 0 } };
            if (file)
                CU_ASSERT (fclose (file) == 0 && (!files[index].old || utimes (path, times) == 0));
        }
        if (look == 0) {
            shelf = s_open (9);
            CU_ASSERT (umbp_shelf_close (&shelf));
        }
    }
    s_end ();
}

static void test_mounts (void)
{
    static const char table[] =
        "/dev/vda / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\n"
        "srv:/kv /mnt/kv nfs4 rw,vers=4.2,soft,timeo=600 0 0\n"
        "w /mnt/kv\\040two wekafs rw,readcache 0 0\nold /mnt/x xfs rw 0 0\n"
        "10.0.0.1@tcp:/l /mnt/x lustre ro,flock 0 0\nz /mnt/odd strangefs rw 0 0\n";
    static const struct { const char *path, *type; bool known, many, read_only; } rows[] = {
        { "/", "ext4", true, false, false },
        { "/mnt/kvx", "ext4", true, false, false },
        { "/mnt/kv/a/b", "nfs4", true, true, false },
        { "/mnt/kv two", "wekafs", true, true, false },
        { "/mnt/x/1", "lustre", true, true, true },
        { "/mnt/odd", "strangefs", false, false, false },
    };
    umbp_mount_t mount;
    char text[1024];
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++) {
        umbp_mount_find (&mount, table, rows[index].path);
        CU_ASSERT_STRING_EQUAL (mount.type, rows[index].type);
        CU_ASSERT (mount.known == rows[index].known && mount.many_hosts == rows[index].many
                   && mount.read_only == rows[index].read_only);
    }
    umbp_mount_find (&mount, table, "/mnt/kv");
    umbp_mount_print (&mount, text, sizeof text);
    CU_ASSERT (strstr (text, "nfs4 at /mnt/kv (rw,vers=4.2,soft") == text
               && strstr (text, "soft mount"));
    umbp_mount_find (&mount, "", "/x");
    CU_ASSERT (*mount.type == '\0' && !mount.known);
}

int main (int argc, char **argv)
{
    alarm (280);
    s_seed = argc > 1 ? strtoull (argv[1], NULL, 10) : (uint64_t) umbp_clock_ms ();
    s_random = s_seed;
    printf ("seed %" PRIu64 "\n", s_seed);
    for (size_t slot = 0; slot < SLOTS; slot++)
        s_memory[slot] = test_log_memory (SIZE_MOST);
    s_other = test_log_memory (SIZE_MOST);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("shelf", NULL, NULL);
    CU_ADD_TEST (suite, test_modes);
    CU_ADD_TEST (suite, test_two_nodes);
    CU_ADD_TEST (suite, test_full);
    CU_ADD_TEST (suite, test_model);
    CU_ADD_TEST (suite, test_errors);
    CU_ADD_TEST (suite, test_rename);
    CU_ADD_TEST (suite, test_reads_that_fail);
    CU_ADD_TEST (suite, test_flipped);
    CU_ADD_TEST (suite, test_hanging);
    CU_ADD_TEST (suite, test_hanging_start);
    CU_ADD_TEST (suite, test_sweep);
    CU_ADD_TEST (suite, test_mounts);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    for (size_t slot = 0; slot < SLOTS; slot++)
        free (s_memory[slot]);
    free (s_other);
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

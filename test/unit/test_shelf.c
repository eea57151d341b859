//  test/unit/test_shelf.c - a shelf as its owner sees it: what is put is there, for other nodes too, and after a restart;
//  what is removed is not; for room the oldest leave. A random model. Seed: argument or clock, printed.
#include "test/unit/shelf_ill.h"

#include <sys/time.h>
#include <sys/wait.h>

#include "actors/tier/mount.h"

//  ------------------------------------------------------------------------------------------------
//  What it is for

static void test_modes (void)
{
    static const umbp_shelf_mode_t modes[] = { UMBP_SHELF_RELAXED, UMBP_SHELF_COMMIT,
                                               UMBP_SHELF_STRICT };
    for (size_t mode = 0; mode < 3; mode++) {
        shelf_begin ();
        shelf_end ();
        test_log_folder (shelf_directory, sizeof shelf_directory);           //  On a disk
        umbp_shelf_t *shelf = test_shelf_open (shelf_directory, "node-1", 1, modes[mode]);
        CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
        CU_ASSERT (strstr (umbp_shelf_mount (shelf), " at /") != NULL);
        uint64_t ats[COUNT];
        for (uint32_t number = 0; number < 8; number++)
            CU_ASSERT_FATAL (test_shelf_append (shelf, shelf_memory[number], number,
                                                shelf_size (number), shelf_seed + number)
                             == 0);
        for (uint32_t number = 0; number < 8; number++) {
            umbp_medium_event_t event = shelf_await (shelf, UMBP_MEDIUM_WRITTEN);
            CU_ASSERT_FATAL (event.status == 0 && event.tag < 8);
            ats[event.tag] = event.at;
        }
        for (uint32_t number = 0; number < 8; number++)
            CU_ASSERT (shelf_read (shelf, ats[number], number) == 0);
        size_t files = test_shelf_files (shelf_directory, "node-1", ".seg");
        CU_ASSERT (modes[mode] == UMBP_SHELF_STRICT ? files == 8 : files >= 1 && files < 8);
        CU_ASSERT (test_shelf_files (shelf_directory, "node-1", ".tmp") == 0);
        for (uint32_t number = 0; number < 6; number++)
            CU_ASSERT (umbp_shelf_remove (shelf, ats[number]) == 0);
        CU_ASSERT (umbp_shelf_remove (shelf, ats[0]) == UMBP_ENOENT);
        CU_ASSERT (shelf_read (shelf, ats[0], 0) == UMBP_ENOENT);
        CU_ASSERT (umbp_shelf_close (&shelf));
        for (uint64_t epoch = 2; epoch < 4; epoch++) {
            shelf = shelf_open (epoch);
            CU_ASSERT (shelf_found (shelf, ats) == 2);
            CU_ASSERT (ats[6] && shelf_read (shelf, ats[6], 6) == 0);
            CU_ASSERT (ats[7] && shelf_read (shelf, ats[7], 7) == 0);
            CU_ASSERT (umbp_shelf_close (&shelf));
        }
        shelf = shelf_open (4);
        CU_ASSERT (shelf_found (shelf, ats) == 2);
        umbp_shelf_remove (shelf, ats[6]);
        umbp_shelf_remove (shelf, ats[7]);
        CU_ASSERT (umbp_shelf_close (&shelf));
        CU_ASSERT (test_shelf_files (shelf_directory, "node-1", ".seg") == 0);
        CU_ASSERT (test_shelf_files (shelf_directory, "node-1", ".gone") == 0);
        shelf_end ();
    }
}

//  Another process, which has the directory and nothing else of the writer
static int s_reader (const umbp_shelf_where_t *where)
{
    umbp_shelf_t *shelf = test_shelf_open (shelf_directory, "node-2", 1, UMBP_SHELF_COMMIT);
    umbp_medium_record_t record;
    umbp_shelf_where_t found;
    if (!shelf || umbp_shelf_scan (shelf, "node-1", 9) != 0)
        return 2;
    umbp_medium_event_t event = test_shelf_event (shelf, 0);
    if (event.type != UMBP_MEDIUM_READ || event.status != 0 || event.tag != 9)
        return 3;
    size_t seen = 0, same = 0;
    for (; umbp_shelf_scanned (shelf, &record, &found); seen++) {
        uint32_t number = test_shelf_number (&record), size = record.size;
        same += memcmp (&found, &where[number], sizeof found) == 0;
        if (umbp_shelf_fetch (shelf, &found, &record, &(struct iovec){ shelf_memory[0], size }, 1,
                              1)
            != 0)
            return 4;
        event = test_shelf_event (shelf, 0);
        test_log_fill (shelf_memory[1], size, shelf_seed + number);
        if (event.status != 0 || memcmp (shelf_memory[0], shelf_memory[1], size) != 0)
            return 5;
    }
    if (seen != 10 || same != 10)
        return 6;
    umbp_medium_record_t other = { .key = "another", .key_size = 7, .size = shelf_size (3) };
    struct iovec data = { shelf_memory[0], shelf_size (3) };
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
    shelf_begin ();
    umbp_shelf_where_t where[10];
    int ends[2];
    memset (where, 0, sizeof where);
    CU_ASSERT_FATAL (pipe (ends) == 0);
    fflush (NULL);
    pid_t pid = fork ();                //  While we have no threads
    if (pid == 0)
        _exit (read (ends[0], where, sizeof where) == sizeof where ? s_reader (where) : 1);
    umbp_shelf_t *shelf = shelf_open (1);
    for (uint32_t number = 0; number < 10; number++) {
        umbp_medium_event_t event = shelf_put (shelf, number);
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
    umbp_shelf_args_t args = { .directory = shelf_directory,
                               .node = "node-1",
                               .epoch = 2,
                               .capacity_bytes = 64 * MIB };
    CU_ASSERT_PTR_NULL (umbp_shelf_open (&args, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "does another node"));
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

//  More than there is room for: the oldest leave, but those that are wanted
static bool s_keep (void *arg, uint32_t item)
{
    (void) arg;
    return item == 0;
}

static void test_full (void)
{
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1);
    umbp_shelf_set_keep (shelf, s_keep, NULL);
    size_t left = 0, written = 0;
    bool first_left = false, pending = false;
    int64_t until = umbp_clock_ms () + WAIT_MS;
    for (uint32_t number = 0; number < 60 && umbp_clock_ms () < until;) {
        if (!pending) {
            int rc = test_shelf_append (shelf, shelf_memory[0], number, 2 * MIB, number);
            CU_ASSERT_FATAL (rc == 0 || rc == UMBP_EAGAIN);
            pending = rc == 0;
        }
        poll (&(struct pollfd) { .fd = umbp_shelf_fd (shelf), .events = POLLIN }, 1, 10);
        umbp_shelf_tick (shelf, umbp_clock_ms ());
        for (umbp_medium_event_t event; umbp_shelf_event (shelf, &event);) {
            CU_ASSERT_FATAL (event.status == 0);
            left += event.type == UMBP_MEDIUM_LEFT;
            first_left |= event.type == UMBP_MEDIUM_LEFT && event.item == 0;
            if (event.type == UMBP_MEDIUM_WRITTEN) {
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
    shelf_end ();
}

//  More segments than there may be: as many leave as have to, nothing that is put is refused
static void test_many_segments (void)
{
    shelf_begin ();
    char why[512] = "";
    umbp_shelf_args_t args = { .directory = shelf_directory,
                               .node = "node-1",
                               .epoch = 1,
                               .capacity_bytes = 64 * MIB,
                               .segments = 68,  //  Less those that may be under way: 36
                               .mode = UMBP_SHELF_STRICT };
    umbp_shelf_t *shelf = umbp_shelf_open (&args, why, sizeof why);
    CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
    uint32_t put = 0, written = 0, left = 0, refused = 0;
    umbp_medium_event_t event;
    int64_t until = umbp_clock_ms () + WAIT_MS;
    while (written < 150 && refused == 0 && umbp_clock_ms () < until) {
        while (put < 150 && put < written + SLOTS && refused == 0) {
            int rc = test_shelf_append (shelf, shelf_memory[put % SLOTS], put, 1000, put);
            if (rc == UMBP_EAGAIN)
                break;
            refused += rc != 0;
            put++;
        }
        poll (&(struct pollfd) { .fd = umbp_shelf_fd (shelf), .events = POLLIN }, 1, 10);
        umbp_shelf_tick (shelf, umbp_clock_ms ());
        while (umbp_shelf_event (shelf, &event)) {
            CU_ASSERT_FATAL (event.status == 0);
            written += event.type == UMBP_MEDIUM_WRITTEN;
            left += event.type == UMBP_MEDIUM_LEFT;
        }
        CU_ASSERT (umbp_shelf_stats (shelf).segments <= 68);
    }
    printf ("[%u written, %u refused, %u left] ", written, refused, left);
    CU_ASSERT (refused == 0 && written == 150);
    CU_ASSERT (umbp_shelf_stats (shelf).records == 150 - left);
    CU_ASSERT (left >= 150 - 68 && left <= 150 - 35);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

//  Who is asked whether a block is wanted says so once for each use
typedef struct {
    bool used[COUNT];
    unsigned asked;
} wanted_t;

static bool s_is_wanted (void *arg, uint32_t item)
{
    wanted_t *wanted = arg;
    bool used = wanted->used[item];
    wanted->used[item] = false;
    wanted->asked++;
    return used;
}

//  So many bytes leave. Returns which items, by bits.
static uint64_t s_evict (umbp_shelf_t *shelf, uint64_t bytes)
{
    uint64_t items = 0;
    umbp_medium_event_t event;
    umbp_shelf_evict (shelf, bytes);
    while (umbp_shelf_event (shelf, &event))
        items |= event.type == UMBP_MEDIUM_LEFT ? UINT64_C (1) << event.item : 0;
    return items;
}

//  A block that was used since the last look stays as long as others leave that were not, however many leave at once
static void test_used_stay (void)
{
    shelf_begin ();
    wanted_t wanted = { .used = { true, true, true } };
    umbp_shelf_t *shelf = test_shelf_open (shelf_directory, "node-1", 1, UMBP_SHELF_STRICT);
    CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
    umbp_shelf_set_keep (shelf, s_is_wanted, &wanted);
    for (uint32_t number = 0; number < 12; number++) {
        CU_ASSERT_FATAL (test_shelf_append (shelf, shelf_memory[0], number, 5000, number) == 0);
        CU_ASSERT_FATAL (shelf_await (shelf, UMBP_MEDIUM_WRITTEN).status == 0);
    }
    uint64_t one = umbp_shelf_stats (shelf).live_bytes / 12;
    CU_ASSERT (s_evict (shelf, 3 * one) == 0x38);
    CU_ASSERT (s_evict (shelf, one) == 0x40);
    wanted.used[7] = true;
    CU_ASSERT (s_evict (shelf, one) == 0x100);
    wanted.used[0] = true;
    CU_ASSERT (s_evict (shelf, 3 * one) == 0xe00);       //  It is not asked before its turn
    CU_ASSERT (s_evict (shelf, one) == 0x2);             //  All others had theirs: as in a ring
    CU_ASSERT (s_evict (shelf, 3 * one) == 0x85);
    CU_ASSERT (umbp_shelf_stats (shelf).records == 0);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

//  If all are wanted the oldest leave, and nobody is asked again and again meanwhile
static void test_all_used (void)
{
    shelf_begin ();
    wanted_t wanted;
    memset (wanted.used, true, sizeof wanted.used);
    wanted.asked = 0;
    umbp_shelf_t *shelf = test_shelf_open (shelf_directory, "node-1", 1, UMBP_SHELF_STRICT);
    CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
    umbp_shelf_set_keep (shelf, s_is_wanted, &wanted);
    for (uint32_t number = 0; number < COUNT; number++) {
        CU_ASSERT_FATAL (test_shelf_append (shelf, shelf_memory[0], number, 5000, number) == 0);
        CU_ASSERT_FATAL (shelf_await (shelf, UMBP_MEDIUM_WRITTEN).status == 0);
    }
    CU_ASSERT (s_evict (shelf, umbp_shelf_stats (shelf).live_bytes / 2) == 0xfffff);
    CU_ASSERT (wanted.asked <= 2 * COUNT);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

//  A segment of which little is left leaves before older ones, also after a start
static void test_little_left (void)
{
    shelf_begin ();
    wanted_t wanted = { .used = { false } };
    umbp_shelf_t *shelf = shelf_open (1);
    uint64_t ats[COUNT];
    for (uint32_t number = 0; number < 24; number++) {
        CU_ASSERT_FATAL (test_shelf_append (shelf, shelf_memory[number % 8], number,
                                            shelf_size (number), shelf_seed + number)
                         == 0);
        for (uint32_t turn = 0; number % 8 == 7 && turn < 8; turn++) {
            umbp_medium_event_t event = shelf_await (shelf, UMBP_MEDIUM_WRITTEN);
            CU_ASSERT_FATAL (event.status == 0 && event.item < 24);
            ats[event.item] = event.at;
        }
    }
    for (uint32_t number = 9; number < 24; number++)
        CU_ASSERT (number == 17 || umbp_shelf_remove (shelf, ats[number]) == 0);
    umbp_shelf_set_keep (shelf, s_is_wanted, &wanted);
    wanted.used[8] = wanted.used[17] = true;
    uint64_t first = s_evict (shelf, 1);
    CU_ASSERT (first == 0x100 || first == 0x20000);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf = shelf_open (2);
    CU_ASSERT (shelf_found (shelf, ats) == 9);
    umbp_shelf_set_keep (shelf, s_is_wanted, &wanted);
    wanted.used[8] = wanted.used[17] = true;
    CU_ASSERT (s_evict (shelf, 1) == (0x20100 ^ first));
    CU_ASSERT (s_evict (shelf, 1) == 0xff);
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

//  Memory of a block that is being written stays as it is
static void s_free_slot (umbp_shelf_t *shelf, uint32_t slot, uint64_t ats[COUNT],
                         bool pending[COUNT])
{
    for (uint32_t each = slot; each < COUNT; each += SLOTS)
        while (pending[each]) {
            umbp_medium_event_t event = shelf_await (shelf, UMBP_MEDIUM_WRITTEN);
            ats[event.item] = event.at;
            pending[event.item] = false;
        }
}

//  Blocks come, go and are read at random, with restarts: as if it were a table in memory
static void test_model (void)
{
    shelf_begin ();
    uint64_t ats[COUNT] = { 0 };
    bool pending[COUNT] = { false };
    umbp_shelf_t *shelf = shelf_open (1);
    for (uint64_t step = 0, epoch = 2; step < 400; step++) {
        uint32_t number = (uint32_t) shelf_draw (COUNT);
        if (shelf_draw (40) == 0) {
            CU_ASSERT (umbp_shelf_close (&shelf));
            shelf = shelf_open (epoch++);
            uint64_t found[COUNT];
            shelf_found (shelf, found);
            for (uint32_t each = 0; each < COUNT; each++) {
                CU_ASSERT (pending[each] || (found[each] != 0) == (ats[each] != 0));
                ats[each] = found[each];
                pending[each] = false;
            }
        } else if (pending[number]) {
            umbp_medium_event_t event = shelf_await (shelf, UMBP_MEDIUM_WRITTEN);
            CU_ASSERT (event.status == 0);
            ats[event.item] = event.at;
            pending[event.item] = false;
        } else if (!ats[number]) {
            s_free_slot (shelf, number % SLOTS, ats, pending);
            pending[number] = test_shelf_append (shelf, shelf_memory[number % SLOTS], number,
                                                 shelf_size (number), shelf_seed + number)
                              == 0;
        } else if (shelf_draw (2)) {
            CU_ASSERT (umbp_shelf_remove (shelf, ats[number]) == 0);
            ats[number] = 0;
        } else {
            umbp_medium_event_t event;
            uint32_t size = shelf_size (number), from = (uint32_t) shelf_draw (size);
            CU_ASSERT_FATAL (umbp_shelf_read (shelf, ats[number], from, size - from,
                                              &(struct iovec) { shelf_other, size }, 1, 77)
                             == 0);
            while ((event = test_shelf_event (shelf, 0)).type != UMBP_MEDIUM_READ) {
                CU_ASSERT_FATAL (event.type == UMBP_MEDIUM_WRITTEN && event.status == 0);
                ats[event.item] = event.at;
                pending[event.item] = false;
            }
            uint8_t *right = shelf_other + SIZE_MOST / 2;
            test_log_fill (right, size, shelf_seed + number);
            CU_ASSERT (event.status == 0 && memcmp (shelf_other, right + from, size - from) == 0);
        }
    }
    CU_ASSERT (umbp_shelf_close (&shelf));
    shelf_end ();
}

//  What former lives left under temporary names goes once it is old; ours, and what is new, stays
static void test_sweep (void)
{
    static const struct { uint64_t epoch; const char *suffix; bool old, stays; } files[] = {
        { 1, "tmp", true, false },  { 1, "tmp", false, true },   { 9, "tmp", true, true },
        { 1, "gone", false, false }, { 1, "gone.tmp", true, false },
    };
    shelf_begin ();
    umbp_shelf_t *shelf = shelf_open (1);
    CU_ASSERT (umbp_shelf_close (&shelf));
    char name[UMBP_SHELF_NAME_MAX], path[UMBP_SHELF_PATH_MAX];
    for (int look = 0; look < 2; look++) {
        for (size_t index = 0; index < sizeof files / sizeof *files; index++) {
            umbp_shelf_name (name, "node-1", files[index].epoch, 100 + index, files[index].suffix);
            snprintf (path, sizeof path, "%s/node-1/%s", shelf_directory, name);
            if (look)
                CU_ASSERT ((access (path, F_OK) == 0) == files[index].stays);
            FILE *file = look ? NULL : fopen (path, "w");
            struct timeval times[2] = { { time (NULL) - 3700, 0 }, { time (NULL) - 3700, 0 } };
            if (file)
                CU_ASSERT (fclose (file) == 0 && (!files[index].old || utimes (path, times) == 0));
        }
        if (look == 0) {
            shelf = shelf_open (9);
            CU_ASSERT (umbp_shelf_close (&shelf));
        }
    }
    shelf_end ();
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
    static void (*const tests[]) (void) = {
        test_modes,    test_two_nodes,   test_full,  test_many_segments, test_used_stay,
        test_all_used, test_little_left, test_model, test_sweep,         test_mounts,
        NULL,
    };
    static const char *const names[] = {
        "test_modes",    "test_two_nodes",   "test_full",  "test_many_segments", "test_used_stay",
        "test_all_used", "test_little_left", "test_model", "test_sweep",         "test_mounts",
    };
    return shelf_main (argc, argv, "shelf", tests, names);
}

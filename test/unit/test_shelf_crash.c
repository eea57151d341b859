//  test/unit/test_shelf_crash.c - the shelf of a process that is killed, at each named point of publishing and removing in
//  turn, and opened again, twice: what was acknowledged is there with the right bytes, nothing is there that nobody
//  wrote, another node sees the same, and the second time is as the first. Arguments: seed, rounds per point.
#include "test/unit/killed.h"
#include "test/unit/shelf.h"

#define KEYS 400
#define SLOTS 8
#define STEPS 1500
#define TRIES_MAX 12                    //  Until one is killed at its point

enum { ABSENT, HANDED_IN, DURABLE, REMOVED };

//  What a dead process leaves to its parent
typedef struct {
    uint8_t states[KEYS];
    uint32_t next;                      //  Key that was not used yet
    killed_t killed;
} shared_t;

static shared_t *s_shared;
static uint8_t *s_memory[SLOTS];
static uint64_t s_seed, s_random;
static char s_directory[256];
static umbp_shelf_mode_t s_mode;

static uint64_t s_draw (uint64_t below)
{
    return umbp_splitmix (&s_random) % below;
}

//  Also called by threads of the shelf
void umbp_shelf_point (const char *name)
{
    killed_pass (&s_shared->killed, name);
}

static uint32_t s_size (uint32_t key)
{
    return key % 3 ? 1 + key * 37 % 20000 : 65537 + key * 100;
}

//  ------------------------------------------------------------------------------------------------
//  Who dies

typedef struct {
    umbp_shelf_t *shelf;
    uint64_t ats[KEYS];
    bool busy[SLOTS];
} victim_t;

static void s_heed (victim_t *self)
{
    umbp_medium_event_t event;
    while (umbp_shelf_event (self->shelf, &event)) {
        if (event.type != UMBP_MEDIUM_WRITTEN || event.status != 0)
            _exit (4);
        s_shared->states[event.item] = DURABLE;
        self->ats[event.item] = event.at;
        self->busy[event.item % SLOTS] = false;
    }
}

static void s_remove (victim_t *self, uint32_t key)
{
    if (self->ats[key] == 0)
        return;
    s_shared->states[key] = REMOVED;
    if (umbp_shelf_remove (self->shelf, self->ats[key]) != 0)
        _exit (5);
    self->ats[key] = 0;
}

//  Lives until its point comes, or all is done
static void s_live (uint64_t epoch, const char *point, uint64_t passes)
{
    victim_t *self = calloc (1, sizeof *self);
    self->shelf = test_shelf_open (s_directory, "node-1", epoch, s_mode);
    if (!self->shelf)
        _exit (3);
    umbp_medium_record_t record;
    uint64_t at;
    while (umbp_shelf_recovered (self->shelf, &record, &at)) {
        uint32_t key = test_shelf_number (&record);
        umbp_shelf_set_item (self->shelf, at, key);
        self->ats[key] = at;
    }
    killed_arm (&s_shared->killed, point, passes);
    for (int step = 0; step < STEPS && s_shared->next < KEYS; step++) {
        uint32_t key = s_shared->next;
        if (s_draw (16) == 0)           //  All of some segments, so that they are deleted
            for (uint32_t first = (uint32_t) s_draw (KEYS), each = first;
                 each < KEYS && each < first + 6 * SLOTS; each++)
                s_remove (self, each);
        else if (s_draw (4) == 0)
            s_remove (self, (uint32_t) s_draw (KEYS));
        else if (!self->busy[key % SLOTS]) {
            s_shared->states[key] = HANDED_IN;
            self->busy[key % SLOTS] = true;
            s_shared->next++;
            if (test_shelf_append (self->shelf, s_memory[key % SLOTS], key, s_size (key),
                                   s_seed + key)
                != 0)
                _exit (6);
        } else
            poll (&(struct pollfd) { .fd = umbp_shelf_fd (self->shelf), .events = POLLIN }, 1, 5);
        umbp_shelf_tick (self->shelf, umbp_clock_ms ());
        s_heed (self);
    }
    umbp_shelf_close (&self->shelf);
    _exit (0);
}

//  ------------------------------------------------------------------------------------------------
//  Who looks afterwards

static bool s_is_right (umbp_shelf_t *shelf, uint64_t at, uint32_t key)
{
    uint32_t size = s_size (key);
    CU_ASSERT_FATAL (
        umbp_shelf_read (shelf, at, 0, size, &(struct iovec){ s_memory[0], size }, 1, 0) == 0);
    umbp_medium_event_t event = test_shelf_event (shelf, 0);
    test_log_fill (s_memory[1], size, s_seed + key);
    return event.status == 0 && memcmp (s_memory[0], s_memory[1], size) == 0;
}

//  What another node finds there, without us
static size_t s_scan (void)
{
    umbp_shelf_t *shelf = test_shelf_open (s_directory, "node-2", 1, UMBP_SHELF_COMMIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
    CU_ASSERT (umbp_shelf_scan (shelf, "node-1", 1) == 0);
    CU_ASSERT (test_shelf_event (shelf, 0).status == 0);
    umbp_medium_record_t record;
    umbp_shelf_where_t where;
    size_t count = 0;
    while (umbp_shelf_scanned (shelf, &record, &where))
        count++;
    CU_ASSERT (umbp_shelf_close (&shelf));
    return count;
}

static void s_look (const char *point, uint64_t epoch, bool found[KEYS])
{
    umbp_shelf_t *shelf = test_shelf_open (s_directory, "node-1", epoch, s_mode);
    CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
    umbp_medium_record_t record;
    uint64_t ats[KEYS] = { 0 }, at;
    size_t count = 0;
    for (; umbp_shelf_recovered (shelf, &record, &at); count++) {
        uint32_t key = test_shelf_number (&record);
        CU_ASSERT_FATAL (key < KEYS && ats[key] == 0 && record.size == s_size (key));
        ats[key] = at;
    }
    for (uint32_t key = 0; key < KEYS; key++) {
        uint8_t state = s_shared->states[key];
        found[key] = ats[key] != 0;
        bool fine = found[key] ? state != ABSENT : state != DURABLE;
        if (!fine)
            printf ("[%s: key %u: %d, %d] ", point, key, found[key], state);
        CU_ASSERT (fine);
        if (found[key])
            CU_ASSERT (s_is_right (shelf, ats[key], key));
    }
    CU_ASSERT (umbp_shelf_close (&shelf));
    CU_ASSERT (s_scan () == count);
}

//  One process at the point; false: it was not killed there
static bool s_round (const char *point, uint64_t epoch, uint64_t passes)
{
    umbp_splitmix (&s_random);
    pid_t pid = killed_fork ();
    if (pid == 0)
        s_live (epoch, point, passes);
    bool killed = killed_wait (&s_shared->killed, pid);
    bool found[KEYS], again[KEYS];
    s_look (point, epoch + 1, found);
    s_look (point, epoch + 2, again);
    CU_ASSERT (memcmp (found, again, sizeof found) == 0);
    for (uint32_t key = 0; key < KEYS; key++)        //  What came back is there from now on
        s_shared->states[key] = found[key] ? DURABLE : ABSENT;
    return killed;
}

static void s_die_at (const char *point, int rounds)
{
    memset (s_shared, 0, sizeof *s_shared);
    test_shelf_folder (s_directory, sizeof s_directory);
    int killed = 0;
    for (int round = 0; round < rounds || (killed == 0 && round < TRIES_MAX); round++)
        killed += s_round (point, 1 + 3 * (uint64_t) round, 1 + s_draw (killed ? 4 : 2));
    if (killed == 0)
        printf ("[%s: never] ", point);
    CU_ASSERT (killed > 0);
    test_shelf_remove (s_directory);
}

static int s_rounds = 2;

//  The seven of publishing, in their order; and those of removing
static const char *const s_points[] = {
    "opened",    "written", "tabled",       "synced",       "renamed",
    "published", "told",    "gone-written", "gone-renamed", "unlinked",
};

static void test_commit (void)
{
    s_mode = UMBP_SHELF_COMMIT;
    for (size_t index = 0; index < sizeof s_points / sizeof *s_points; index++)
        s_die_at (s_points[index], s_rounds);
}

static void test_strict (void)
{
    s_mode = UMBP_SHELF_STRICT;
    for (size_t index = 0; index < 7; index++)
        s_die_at (s_points[index], s_rounds);
}

int main (int argc, char **argv)
{
    alarm (argc > 2 ? 3000 : 280);
    s_seed = argc > 1 ? strtoull (argv[1], NULL, 10) : (uint64_t) umbp_clock_ms ();
    s_rounds = argc > 2 ? atoi (argv[2]) : s_rounds;
    s_random = s_seed;
    printf ("seed %" PRIu64 "\n", s_seed);
    s_shared = killed_share (sizeof *s_shared);
    for (size_t slot = 0; slot < SLOTS; slot++)
        s_memory[slot] = test_log_memory (SIZE_MOST);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("shelf_crash", NULL, NULL);
    CU_ADD_TEST (suite, test_commit);
    CU_ADD_TEST (suite, test_strict);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    for (size_t slot = 0; slot < SLOTS; slot++)
        free (s_memory[slot]);
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

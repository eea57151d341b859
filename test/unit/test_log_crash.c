//  test/unit/test_log_crash.c - the segment log of a process that is killed, at each named point in turn, and of a
//  machine that loses power there: of what was written since the last sync that ended, a random half of the sectors
//  is as it was before. What was acknowledged as durable is found again with the right bytes, of each key the newest;
//  what was removed, and said to be past, is not; nothing is found that nobody wrote. Arguments: seed, rounds per point.
#include "actors/tier/log_self.h"
#include "test/unit/killed.h"
#include "test/unit/log.h"

#define KEYS 64
#define VERSIONS_MAX 8192
#define WRITES_MAX 4096
#define ARENA (UINT64_C (96) << 20)
#define STEPS_MAX 1500
#define SLOTS 8
#define TRIES_MAX 12                    //  Until one is killed at its point

//  What a dead process leaves to its parent
typedef struct {
    struct {
        uint32_t durable;               //  Newest version that was acknowledged; 0: none
        uint32_t newest;                //  ... that was handed in
        bool removed;                   //  Since: it may be there or not
        bool left;                      //  Cleaning let it go
        uint32_t gone;                  //  This version and those before it were said to stay away
    } keys[KEYS];
    uint32_t sizes[KEYS][VERSIONS_MAX / KEYS];
    struct {
        uint64_t offset, length, arena;
    } writes[WRITES_MAX];               //  Not synced, and what was there before
    uint64_t write_first, write_count, arena_used, sync_at;
    uint64_t acknowledged, past;
    killed_t killed;
} shared_t;

static shared_t *s_shared;
static uint8_t *s_arena, *s_memory[SLOTS];
static int s_file = -1;
static bool s_armed;
static uint64_t s_seed, s_random;
static char s_folder[256];

static uint64_t s_draw (uint64_t below)
{
    return umbp_splitmix (&s_random) % below;
}

typedef struct {
    umbp_log_t *log;
    uint64_t at[KEYS];
    bool pending[KEYS];
    uint32_t of_slot[SLOTS];            //  1 + key
    uint64_t mark;                      //  0: none is waited for
    uint32_t removed[KEYS], marked[KEYS];          //  Newest version that was; ... before the mark
} victim_t;

static victim_t *s_victim;

//  What cleaning let go of, and did not say yet: so it does with what is to stay as well, if there is no room to copy it to
static void s_note_left (void)
{
    for (uint32_t key = 0; s_victim && key < KEYS; key++) {
        uint64_t at = s_victim->at[key];
        if (at == 0)
            continue;
        const umbp_log_slot_t *slot = umbp_log_slot (s_victim->log, (uint32_t) at - 1);
        bool there = slot->state == UMBP_LOG_RECORD_LIVE || slot->state == UMBP_LOG_RECORD_COPYING;
        if (!there || slot->turn != at >> 32)
            s_shared->keys[key].left = true;
    }
}

void umbp_log_point (const char *name)
{
    if (!s_armed)
        return;
    if (strcmp (name, "synced") == 0) { //  What was handed in before it began is on disk
        s_shared->write_first = s_shared->sync_at;
        if (s_shared->write_first == s_shared->write_count)
            s_shared->write_first = s_shared->write_count = s_shared->arena_used = 0;
        s_shared->sync_at = s_shared->write_first;
    }
    s_note_left ();
    killed_pass (&s_shared->killed, name);
}

int umbp_log_fault (umbp_log_op_t op, int drive, uint64_t offset, size_t length)
{
    (void) drive;
    if (!s_armed || op == UMBP_LOG_OP_READ)
        return 0;
    if (op == UMBP_LOG_OP_SYNC) {
        s_shared->sync_at = s_shared->write_count;
        return 0;
    }
    if (s_shared->write_count < WRITES_MAX && s_shared->arena_used + length <= ARENA
        && pread (s_file, s_arena + s_shared->arena_used, length, (off_t) offset)
               == (ssize_t) length) {
        s_shared->writes[s_shared->write_count].offset = offset;
        s_shared->writes[s_shared->write_count].length = length;
        s_shared->writes[s_shared->write_count++].arena = s_shared->arena_used;
        s_shared->arena_used += length;
    }
    return 0;
}

static uint64_t s_content (uint32_t key, uint32_t version)
{
    return (uint64_t) key << 32 | version;
}

static const test_log_how_t s_how = {
    .engine = "auto", .directories = 1, .capacity = 8 * MIB, .segment_bytes = MIB, .strict = true,
    .depth = SLOTS,
};

static bool s_keep (void *arg, uint32_t item)
{
    (void) arg;
    return item % 4 != 0;
}

//  ------------------------------------------------------------------------------------------------
//  Who dies

static void s_heed (victim_t *self)
{
    umbp_medium_event_t event;
    while (umbp_log_event (self->log, &event)) {
        uint32_t key = event.item;
        if (event.type == UMBP_MEDIUM_WRITTEN) {
            self->pending[key] = false;
            self->of_slot[event.tag] = 0;
            if (event.status == 0) {
                self->at[key] = event.at;
                s_shared->keys[key].durable = s_shared->keys[key].newest;
                s_shared->keys[key].removed = s_shared->keys[key].left = false;
                s_shared->acknowledged++;
            }
        } else if (event.type == UMBP_MEDIUM_LEFT && self->at[key] == event.at) {
            self->at[key] = 0;
            s_shared->keys[key].left = true;
        }
    }
}

//  What was removed before a mark that we are past stays away
static void s_mark (victim_t *self)
{
    if (self->mark && umbp_log_is_past (self->log, self->mark)) {
        for (uint32_t key = 0; key < KEYS; key++)
            if (self->marked[key] > s_shared->keys[key].gone)
                s_shared->keys[key].gone = self->marked[key];
        self->mark = 0;
        s_shared->past++;
    } else if (!self->mark && s_draw (4) == 0) {
        memcpy (self->marked, self->removed, sizeof self->marked);
        self->mark = umbp_log_mark (self->log);
    }
}

static void s_put (victim_t *self, uint32_t key, unsigned slot)
{
    uint32_t version = s_shared->keys[key].newest + 1;
    if (version >= VERSIONS_MAX / KEYS)
        return;
    uint32_t size = (uint32_t) (s_draw (3) ? 1 + s_draw (20000) : 65537 + s_draw (200000));
    char name[32];
    snprintf (name, sizeof name, "key %u", key);
    test_log_fill (s_memory[slot], size, s_content (key, version));
    umbp_medium_record_t record = { .key = name,
                                 .key_size = strlen (name),
                                 .size = size,
                                 .sum = XXH3_64bits (s_memory[slot], size),
                                 .depth = (uint16_t) version };
    s_shared->sizes[key][version] = size;
    uint32_t before = s_shared->keys[key].newest;
    s_shared->keys[key].newest = version;
    struct iovec data = { s_memory[slot], size };
    int rc = umbp_log_append (self->log, &record, &data, 1, key, slot);
    if (rc < 0) {
        s_shared->keys[key].newest = before;
        if (rc == UMBP_ENOSPC)
            umbp_log_evict (self->log, MIB);
        return;
    }
    self->pending[key] = true;
    self->of_slot[slot] = 1 + key;
}

//  Lives until its point comes, or all is done
static void s_live (void)
{
    char why[256], path[300];
    victim_t *self = s_victim = calloc (1, sizeof *self);
    snprintf (path, sizeof path, "%s/0/umbp.log", s_folder);
    s_file = open (path, O_RDONLY | O_DIRECT);     //  The page cache may lag behind
    s_armed = true;
    self->log = test_log_open (s_folder, &s_how, why, sizeof why);
    if (!self->log) {
        fprintf (stderr, "%s\n", why);
        _exit (3);
    }
    umbp_medium_record_t record;
    uint64_t at;
    while (umbp_log_recovered (self->log, &record, &at)) {
        uint32_t key = (uint32_t) strtoul ((const char *) record.key + 4, NULL, 10);
        umbp_log_set_item (self->log, at, key);
        self->at[key] = at;
    }
    umbp_log_set_keep (self->log, s_keep, self);
    for (int step = 0; step < STEPS_MAX; step++) {
        uint32_t key = (uint32_t) s_draw (KEYS);
        unsigned slot = (unsigned) s_draw (SLOTS);
        if (self->pending[key] || self->of_slot[slot])
            poll (&(struct pollfd) { .fd = umbp_log_fd (self->log), .events = POLLIN }, 1, 5);
        else if (self->at[key]) {
            if (umbp_log_remove (self->log, self->at[key]) == 0) {
                s_shared->keys[key].removed = true;
                self->removed[key] = s_shared->keys[key].newest;
                self->at[key] = 0;
            }
        } else
            s_put (self, key, slot);
        s_heed (self);
        s_mark (self);
        umbp_log_tick (self->log, umbp_clock_ms ());
    }
    umbp_log_close (&self->log);
    _exit (0);
}

//  ------------------------------------------------------------------------------------------------
//  Who looks afterwards

//  The power fails as well: sectors that no sync had reached may be old
static void s_lose_power (void)
{
    char path[300];
    snprintf (path, sizeof path, "%s/0/umbp.log", s_folder);
    int file = open (path, O_RDWR | O_DIRECT);
    for (uint64_t index = s_shared->write_first; index < s_shared->write_count; index++) {
        uint64_t how = s_draw (4);      //  None of it, all of it, some sectors
        for (uint64_t at = 0; at < s_shared->writes[index].length; at += 512)
            if (how == 0 || (how >= 2 && s_draw (2)))
                CU_ASSERT (pwrite (file, s_arena + s_shared->writes[index].arena + at, 512,
                                   (off_t) (s_shared->writes[index].offset + at))
                           == 512);
    }
    CU_ASSERT (fsync (file) == 0);
    close (file);
}

static bool s_matches (umbp_log_t *log, uint64_t at, uint32_t key, uint32_t version, uint32_t size)
{
    umbp_medium_event_t event;
    struct iovec data = { s_memory[0], size };
    CU_ASSERT_FATAL (umbp_log_read (log, at, 0, size, &data, 1, 0) == 0);
    do {
        CU_ASSERT_FATAL (test_log_wait (log, &event));
    } while (event.type != UMBP_MEDIUM_READ);
    test_log_fill (s_memory[1], size, s_content (key, version));
    return event.status == 0 && memcmp (s_memory[0], s_memory[1], size) == 0;
}

static void s_look (const char *point)
{
    umbp_log_t *log = test_log_begin (s_folder, &s_how);
    uint32_t found[KEYS] = { 0 };
    uint64_t ats[KEYS], at;
    umbp_medium_record_t record;
    while (umbp_log_recovered (log, &record, &at)) {
        CU_ASSERT_FATAL (record.key_size > 4 && record.key_size < 8);
        char name[16] = "";
        memcpy (name, record.key, record.key_size);
        uint32_t key = (uint32_t) strtoul (name + 4, NULL, 10);
        CU_ASSERT_FATAL (key < KEYS);
        CU_ASSERT (found[key] == 0);
        CU_ASSERT_FATAL (record.depth > 0 && record.depth <= s_shared->keys[key].newest);
        CU_ASSERT_FATAL (record.size == s_shared->sizes[key][record.depth]);
        found[key] = record.depth;
        ats[key] = at;
    }
    for (uint32_t key = 0; key < KEYS; key++) {
        uint32_t durable = s_shared->keys[key].durable;
        bool may_be_gone = s_shared->keys[key].removed || s_shared->keys[key].left;
        bool fine = found[key] >= durable || (found[key] == 0 && may_be_gone);
        if (!fine)
            printf ("[%s: key %u: version %u, not %u] ", point, key, found[key], durable);
        CU_ASSERT (fine);
        if (found[key] && found[key] <= s_shared->keys[key].gone) {
            printf ("[%s: key %u: version %u is back] ", point, key, found[key]);
            CU_FAIL ("what was removed for good came back");
        }
        if (found[key])
            CU_ASSERT (
                s_matches (log, ats[key], key, found[key], s_shared->sizes[key][found[key]]));
        s_shared->keys[key].durable = found[key];
        s_shared->keys[key].removed = s_shared->keys[key].left = false;
    }
    CU_ASSERT (umbp_log_stats (log).io_errors == 0);
    CU_ASSERT (umbp_log_close (&log));
}

static void s_die_at (const char *point, int rounds, bool power)
{
    memset (s_shared, 0, sizeof *s_shared);
    test_log_folder (s_folder, sizeof s_folder);
    int killed = 0;
    uint64_t acknowledged = 0;
    bool fresh = true;                  //  There are versions left to write
    for (int round = 0; fresh && (round < rounds || (killed == 0 && round < TRIES_MAX)); round++) {
        bool now = round >= rounds || strcmp (point, "reopen") == 0;
        killed_arm (&s_shared->killed, point, now ? 1 : 1 + s_draw (round % 2 ? 60 : 4));
        s_shared->write_first = s_shared->write_count = 0;
        s_shared->arena_used = s_shared->sync_at = 0;
        for (uint32_t key = 0; key < KEYS; key++)
            fresh = fresh && s_shared->keys[key].newest < VERSIONS_MAX / KEYS - 24;
        umbp_splitmix (&s_random);
        pid_t pid = killed_fork ();
        if (pid == 0)
            s_live ();
        bool dead = killed_wait (&s_shared->killed, pid);
        killed += dead;
        acknowledged += s_shared->acknowledged;
        s_shared->acknowledged = 0;
        if (power && dead)
            s_lose_power ();
        s_look (point);
    }
    printf ("[%s: %d killed, %" PRIu64 " acknowledged, %" PRIu64 " times past] ", point, killed,
            acknowledged, s_shared->past);
    CU_ASSERT (killed > 0);
    test_log_remove (s_folder);
}

static int s_rounds = 2;

//  So many rounds, some at a time in the same folder
static void s_die_often (const char *point, bool power)
{
    for (int left = s_rounds; left > 0; left -= 4)
        s_die_at (point, left < 4 ? left : 4, power);
}

static const char *const s_points[] = {
    "append", "written", "head",  "sync", "synced", "table", "sealed", "pack",
    "packed", "inner",   "clean", "copy", "copied", "free",  "freed",  "reopen",
};

static void test_killed (void)
{
    for (size_t index = 0; index < sizeof s_points / sizeof *s_points; index++)
        s_die_often (s_points[index], false);
}

static void test_power_lost (void)
{
    for (size_t index = 0; index < sizeof s_points / sizeof *s_points; index++)
        s_die_often (s_points[index], true);
}

int main (int argc, char **argv)
{
    alarm (argc > 2 ? 3000 : 280);
    s_seed = argc > 1 ? strtoull (argv[1], NULL, 10) : (uint64_t) umbp_clock_ms ();
    s_rounds = argc > 2 ? atoi (argv[2]) : s_rounds;
    s_random = s_seed;
    printf ("seed %" PRIu64 "\n", s_seed);
    s_shared = killed_share (sizeof *s_shared);
    s_arena = killed_share (ARENA);
    for (size_t slot = 0; slot < SLOTS; slot++)
        s_memory[slot] = test_log_memory (SIZE_MOST);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("log_crash", NULL, NULL);
    CU_ADD_TEST (suite, test_killed);
    CU_ADD_TEST (suite, test_power_lost);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

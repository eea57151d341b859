//  test/unit/shelf_ill.h - a shelf of a test, whose clock runs ahead, on files whose calls can fail, hang or stop short
#ifndef UMBP_TEST_SHELF_ILL_H
#define UMBP_TEST_SHELF_ILL_H

#include <pthread.h>

#include "actors/tier/hands.h"
#include "test/unit/shelf.h"

#define SLOTS 16
#define COUNT 40

static uint64_t shelf_seed, shelf_random;
static uint8_t *shelf_memory[SLOTS], *shelf_other;
static char shelf_directory[256];
static int64_t shelf_ahead;                 //  Of the clock

//  ------------------------------------------------------------------------------------------------
//  Faults: of which call, how often, and what comes of it; -1: it hangs until let go, -2: or until the next turn. All calls
//  are written down.

#define CALLS 4096

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    const char *call;
    int error, times, skip;             //  skip: so many calls first
    unsigned hanging, turn, passed;     //  passed: have hung
    atomic_bool cut;
    const char *ending;                 //  Of the path; NULL: whichever
    struct {
        char call[16], path[240];       //  path: the last of it
    } calls[CALLS];
    size_t count;
} shelf_ill = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };

static inline bool shelf_ends (const char *path, const char *ending)
{
    size_t size = strlen (path), end = strlen (ending);
    return size >= end && strcmp (path + size - end, ending) == 0;
}

int umbp_shelf_fault (const char *call, const char *path)
{
    int error = 0;
    pthread_mutex_lock (&shelf_ill.lock);
    if (shelf_ill.count < CALLS) {
        size_t size = strlen (path), most = sizeof shelf_ill.calls->path - 1,
               at = shelf_ill.count++;
        snprintf (shelf_ill.calls[at].call, sizeof shelf_ill.calls->call, "%s", call);
        snprintf (shelf_ill.calls[at].path, most + 1, "%s", path + (size > most ? size - most : 0));
    }
    bool is = shelf_ill.call && strcmp (call, shelf_ill.call) == 0 && shelf_ill.times != 0
              && (!shelf_ill.ending || shelf_ends (path, shelf_ill.ending));
    if (is && shelf_ill.skip > 0)
        shelf_ill.skip--;
    else if (is) {
        shelf_ill.times -= shelf_ill.times > 0;
        error = shelf_ill.error;
        unsigned turn = shelf_ill.turn;
        shelf_ill.hanging += error < 0;
        while (error < 0 && shelf_ill.call && (error == -1 || turn == shelf_ill.turn))
            pthread_cond_wait (&shelf_ill.more, &shelf_ill.lock);
        if (error < 0 && turn == shelf_ill.turn) {
            shelf_ill.hanging--;
            shelf_ill.passed++;
        }
        error = error < 0 ? 0 : error;
    }
    pthread_mutex_unlock (&shelf_ill.lock);
    return error;
}

size_t umbp_shelf_short (size_t bytes)
{
    return shelf_ill.cut && bytes > 1 ? 1 + bytes / 3 : bytes;
}

//  times -1: always; call NULL: well again
static inline void shelf_set_ill (const char *call, int error, int times)
{
    pthread_mutex_lock (&shelf_ill.lock);
    shelf_ill.call = call;
    shelf_ill.error = error;
    shelf_ill.times = times;
    shelf_ill.skip = 0;
    shelf_ill.ending = NULL;
    shelf_ill.passed = 0;
    pthread_cond_broadcast (&shelf_ill.more);
    pthread_mutex_unlock (&shelf_ill.lock);
}

//  Only of paths that end so
static inline void shelf_set_ending (const char *ending)
{
    pthread_mutex_lock (&shelf_ill.lock);
    shelf_ill.ending = ending;
    pthread_mutex_unlock (&shelf_ill.lock);
}

//  The first call from there on with such a path; its place, CALLS: none
static inline size_t shelf_called (size_t from, const char *call, const char *ending)
{
    pthread_mutex_lock (&shelf_ill.lock);
    size_t at = from;
    while (at < shelf_ill.count
           && (strcmp (shelf_ill.calls[at].call, call) != 0
               || !shelf_ends (shelf_ill.calls[at].path, ending)))
        at++;
    at = at < shelf_ill.count ? at : CALLS;
    pthread_mutex_unlock (&shelf_ill.lock);
    return at;
}

static inline size_t shelf_calls (void)
{
    pthread_mutex_lock (&shelf_ill.lock);
    size_t count = shelf_ill.count;
    pthread_mutex_unlock (&shelf_ill.lock);
    return count;
}

static inline void shelf_set_skip (int skip)
{
    pthread_mutex_lock (&shelf_ill.lock);
    shelf_ill.skip = skip;
    pthread_mutex_unlock (&shelf_ill.lock);
}

static inline unsigned shelf_locked (const unsigned *count)
{
    pthread_mutex_lock (&shelf_ill.lock);
    unsigned value = *count;
    pthread_mutex_unlock (&shelf_ill.lock);
    return value;
}

//  How many calls hang
static inline unsigned shelf_hangs (void)
{
    return shelf_locked (&shelf_ill.hanging);
}

//  How many have hung
static inline unsigned shelf_passed (void)
{
    return shelf_locked (&shelf_ill.passed);
}

//  Those that hang until the next turn come back; those that come now hang until the one after
static inline void shelf_turn (void)
{
    pthread_mutex_lock (&shelf_ill.lock);
    shelf_ill.turn++;
    shelf_ill.passed += shelf_ill.hanging;
    shelf_ill.hanging = 0;
    pthread_cond_broadcast (&shelf_ill.more);
    pthread_mutex_unlock (&shelf_ill.lock);
}

static inline void shelf_begin (void)
{
    test_shelf_folder (shelf_directory, sizeof shelf_directory);
    shelf_set_ill (NULL, 0, 0);
    pthread_mutex_lock (&shelf_ill.lock);
    shelf_ill.count = 0;
    pthread_mutex_unlock (&shelf_ill.lock);
    shelf_ahead = 0;
}

//  Time passes
static inline void shelf_pass (umbp_shelf_t *shelf, int64_t ms)
{
    shelf_ahead += ms;
    umbp_shelf_tick (shelf, umbp_clock_ms () + shelf_ahead);
}

static inline void shelf_end (void)
{
    test_shelf_remove (shelf_directory);
}

static inline uint64_t shelf_draw (uint64_t below)
{
    return umbp_splitmix (&shelf_random) % below;
}

static inline uint32_t shelf_size (uint32_t number)
{
    return number % 2 ? 1000 + number : 70000 + number * 100;
}

static inline umbp_shelf_t *shelf_open (uint64_t epoch)
{
    umbp_shelf_t *shelf = test_shelf_open (shelf_directory, "node-1", epoch, UMBP_SHELF_COMMIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL (shelf);
    return shelf;
}

static inline umbp_medium_event_t shelf_await (umbp_shelf_t *shelf, umbp_medium_event_type_t type)
{
    umbp_medium_event_t event = test_shelf_event (shelf, shelf_ahead);
    while (event.status <= 0 && event.type != type)
        event = test_shelf_event (shelf, shelf_ahead);
    CU_ASSERT_FATAL (event.status <= 0);
    return event;
}

static inline umbp_medium_event_t shelf_put (umbp_shelf_t *shelf, uint32_t number)
{
    int rc = test_shelf_append (shelf, shelf_memory[0], number, shelf_size (number),
                                shelf_seed + number);
    if (rc < 0)
        return (umbp_medium_event_t) { .status = rc };
    umbp_medium_event_t event = shelf_await (shelf, UMBP_MEDIUM_WRITTEN);
    CU_ASSERT (event.tag == number && event.item == number);
    return event;
}

//  Returns the read's status; with 0 the bytes are right
static inline int shelf_read (umbp_shelf_t *shelf, uint64_t at, uint32_t number)
{
    uint32_t size = shelf_size (number);
    memset (shelf_memory[1], 0, size);
    int rc = umbp_shelf_read (shelf, at, 0, size, &(struct iovec) { shelf_memory[1], size }, 1, 5);
    if (rc < 0)
        return rc;
    umbp_medium_event_t event = shelf_await (shelf, UMBP_MEDIUM_READ);
    test_log_fill (shelf_memory[2], size, shelf_seed + number);
    CU_ASSERT (event.status < 0 || memcmp (shelf_memory[1], shelf_memory[2], size) == 0);
    return event.status;
}

//  Which are there after a start; their places
static inline size_t shelf_found (umbp_shelf_t *shelf, uint64_t ats[COUNT])
{
    umbp_medium_record_t record;
    uint64_t at;
    size_t count = 0;
    memset (ats, 0, COUNT * sizeof *ats);
    while (umbp_shelf_recovered (shelf, &record, &at)) {
        uint32_t number = test_shelf_number (&record);
        CU_ASSERT_FATAL (number < COUNT && record.size == shelf_size (number) && record.depth == 7
                         && record.replicas == 2);
        CU_ASSERT (ats[number] == 0);
        umbp_shelf_set_item (shelf, at, number);
        ats[number] = at;
        count++;
    }
    return count;
}

//  The mark of all that was removed is past, at most some s later. False: it is not
static inline bool shelf_is_safe (umbp_shelf_t *shelf, uint64_t mark, int64_t wait_ms)
{
    umbp_medium_event_t event;
    int64_t until = umbp_clock_ms () + wait_ms;
    while (!umbp_shelf_is_past (shelf, mark) && umbp_clock_ms () < until) {
        poll (&(struct pollfd) { .fd = umbp_shelf_fd (shelf), .events = POLLIN }, 1, 10);
        umbp_shelf_tick (shelf, umbp_clock_ms () + shelf_ahead);
        while (umbp_shelf_event (shelf, &event))
            continue;
    }
    return umbp_shelf_is_past (shelf, mark);
}

//  Until nothing is under way
static inline void shelf_settle (umbp_shelf_t *shelf)
{
    umbp_medium_event_t event;
    int64_t until = umbp_clock_ms () + WAIT_MS;
    while (umbp_shelf_stats (shelf).waiting > 0 && umbp_clock_ms () < until) {
        poll (&(struct pollfd) { .fd = umbp_shelf_fd (shelf), .events = POLLIN }, 1, 10);
        while (umbp_shelf_event (shelf, &event))
            continue;
    }
    CU_ASSERT (umbp_shelf_stats (shelf).waiting == 0);
}

//  Runs the tests of a suite. The seed: argument or clock, printed.
static inline int shelf_main (int argc, char **argv, const char *name, void (*const *tests) (void),
                              const char *const *names)
{
    alarm (280);
    shelf_seed = argc > 1 ? strtoull (argv[1], NULL, 10) : (uint64_t) umbp_clock_ms ();
    shelf_random = shelf_seed;
    printf ("seed %" PRIu64 "\n", shelf_seed);
    for (size_t slot = 0; slot < SLOTS; slot++)
        shelf_memory[slot] = test_log_memory (SIZE_MOST);
    shelf_other = test_log_memory (SIZE_MOST);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite (name, NULL, NULL);
    for (size_t index = 0; tests[index]; index++)
        CU_add_test (suite, names[index], tests[index]);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    for (size_t slot = 0; slot < SLOTS; slot++)
        free (shelf_memory[slot]);
    free (shelf_other);
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

#endif

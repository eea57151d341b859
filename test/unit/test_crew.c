//  test/unit/test_crew.c - the crew: all work is done, once, with any number of helpers and callers;
//  nobody waits for pieces of others; what has to be joined is joined, also beside a fork
#include "client/crew.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIECES_MAX 1000
#define CALLERS 4
#define ROUNDS 300

static uint64_t s_seed;

//  Work that counts, and takes some time if it is told to
typedef struct {
    atomic_uint done[PIECES_MAX];
    unsigned turns;
} tally_t;

static void s_count (void *arg, size_t piece)
{
    tally_t *tally = arg;
    for (volatile unsigned turn = 0; turn < tally->turns; turn++)
        ;
    atomic_fetch_add (&tally->done[piece], 1);
}

//  Returns whether pieces 0 to count - 1 were done once each, and no other
static bool s_run (umbp_crew_t *crew, tally_t *tally, size_t count, unsigned turns)
{
    for (size_t piece = 0; piece < PIECES_MAX; piece++)
        atomic_store (&tally->done[piece], 0);
    tally->turns = turns;
    umbp_crew_run (crew, s_count, tally, count);
    bool fine = true;
    for (size_t piece = 0; piece < PIECES_MAX; piece++)
        fine &= atomic_load (&tally->done[piece]) == (piece < count);
    return fine;
}

static void test_all_is_done_once (void)
{
    static tally_t tally;
    for (unsigned helpers = 0; helpers <= 3; helpers++) {
        umbp_crew_t *crew = umbp_crew_new (helpers);
        CU_ASSERT (umbp_crew_helpers (crew) == helpers);
        for (size_t count = 0; count < 10; count++)
            CU_ASSERT (s_run (crew, &tally, count, 0));
        for (int round = 0; round < ROUNDS; round++)
            CU_ASSERT (s_run (crew, &tally, umbp_splitmix (&s_seed) % PIECES_MAX,
                              umbp_splitmix (&s_seed) % 200));
        umbp_crew_destroy (&crew, false);
        CU_ASSERT (crew == NULL);
    }
}

//  ------------------------------------------------------------------------------------------------
//  Many callers

typedef struct {
    umbp_crew_t *crew;
    uint64_t seed;
    tally_t tally;
    bool fine;
} caller_t;

static void *s_call (void *arg)
{
    caller_t *caller = arg;
    caller->fine = true;
    for (int round = 0; round < ROUNDS; round++)
        caller->fine &=
            s_run (caller->crew, &caller->tally, umbp_splitmix (&caller->seed) % PIECES_MAX,
                   umbp_splitmix (&caller->seed) % 100);
    return NULL;
}

static void test_many_callers (void)
{
    static caller_t callers[CALLERS];
    pthread_t threads[CALLERS];
    for (unsigned helpers = 1; helpers <= 3; helpers++) {
        umbp_crew_t *crew = umbp_crew_new (helpers);
        for (size_t index = 0; index < CALLERS; index++) {
            callers[index].crew = crew;
            callers[index].seed = umbp_splitmix (&s_seed);
            CU_ASSERT_FATAL (!pthread_create (&threads[index], NULL, s_call, &callers[index]));
        }
        for (size_t index = 0; index < CALLERS; index++) {
            pthread_join (threads[index], NULL);
            CU_ASSERT (callers[index].fine);
        }
        umbp_crew_destroy (&crew, false);
    }
}

//  ------------------------------------------------------------------------------------------------
//  Pieces that end when they are let

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    unsigned inside, wanted;            //  Who is in a piece; how many have to be before one ends
    bool open;
    pthread_t threads[8];
    sigset_t blocked[8];
} gate_t;

static void s_pass (void *arg, size_t piece)
{
    gate_t *gate = arg;
    pthread_mutex_lock (&gate->lock);
    gate->threads[piece] = pthread_self ();
    pthread_sigmask (SIG_BLOCK, NULL, &gate->blocked[piece]);
    gate->inside++;
    pthread_cond_broadcast (&gate->change);
    while (gate->inside < gate->wanted || !gate->open)
        pthread_cond_wait (&gate->change, &gate->lock);
    pthread_mutex_unlock (&gate->lock);
}

//  Each piece waits for all others: every helper takes part, a thread of its own, without signals
static void test_helpers_take_part (void)
{
    umbp_crew_t *crew = umbp_crew_new (3);
    for (int round = 0; round < 50; round++) {
        gate_t gate = { .wanted = 4, .open = true };
        pthread_mutex_init (&gate.lock, NULL);
        pthread_cond_init (&gate.change, NULL);
        umbp_crew_run (crew, s_pass, &gate, 4);
        CU_ASSERT (gate.inside == 4);
        for (size_t one = 0; one < 4; one++) {
            bool ours = pthread_equal (gate.threads[one], pthread_self ());
            CU_ASSERT (sigismember (&gate.blocked[one], SIGTERM) == !ours);
            for (size_t other = 0; other < one; other++)
                CU_ASSERT (!pthread_equal (gate.threads[one], gate.threads[other]));
        }
    }
    umbp_crew_destroy (&crew, false);
}

typedef struct {
    umbp_crew_t *crew;
    gate_t *gate;
} stuck_t;

static void *s_be_stuck (void *arg)
{
    stuck_t *stuck = arg;
    umbp_crew_run (stuck->crew, s_pass, stuck->gate, 2);
    return NULL;
}

//  The one helper is in a piece of another caller's that does not end: all work goes on without it
static void test_nobody_waits_for_others (void)
{
    static tally_t tally;
    umbp_crew_t *crew = umbp_crew_new (1);
    gate_t gate = { .wanted = 2 };
    pthread_mutex_init (&gate.lock, NULL);
    pthread_cond_init (&gate.change, NULL);
    stuck_t stuck = { crew, &gate };
    pthread_t thread;
    CU_ASSERT_FATAL (pthread_create (&thread, NULL, s_be_stuck, &stuck) == 0);
    pthread_mutex_lock (&gate.lock);
    while (gate.inside < 2)
        pthread_cond_wait (&gate.change, &gate.lock);
    pthread_mutex_unlock (&gate.lock);
    for (int round = 0; round < 20; round++)
        CU_ASSERT (s_run (crew, &tally, 100, 10));
    pthread_mutex_lock (&gate.lock);
    gate.open = true;
    pthread_cond_broadcast (&gate.change);
    pthread_mutex_unlock (&gate.lock);
    pthread_join (thread, NULL);
    umbp_crew_destroy (&crew, false);
}

static void *s_begin (void *arg)
{
    umbp_crew_t *crew = arg;
    return umbp_crew_begin (crew) ? crew : NULL;
}

//  As many callers as there are helpers offer what they have, whoever they are; others do it alone
static void test_cores_are_shared (void)
{
    for (unsigned helpers = 0; helpers <= 3; helpers++) {
        umbp_crew_t *crew = umbp_crew_new (helpers);
        for (int turn = 0; turn < 2; turn++) {
            for (unsigned caller = 0; caller < 5; caller++) {
                pthread_t thread;
                void *offers;
                CU_ASSERT_FATAL (pthread_create (&thread, NULL, s_begin, crew) == 0);
                pthread_join (thread, &offers);
                CU_ASSERT ((offers != NULL) == (caller < helpers));
            }
            for (unsigned caller = 0; caller < 5; caller++)
                umbp_crew_end (crew);
        }
        umbp_crew_destroy (&crew, false);
    }
}

//  ------------------------------------------------------------------------------------------------
//  Ends

//  At any moment of its helpers' lives: before they exist, as they start, look for work or sleep
static void test_ends_at_any_moment (void)
{
    static tally_t tally;
    for (int round = 0; round < 200; round++) {
        umbp_crew_t *crew = umbp_crew_new (1 + round % 3);
        for (int turn = 0; turn < round % 4; turn++)
            CU_ASSERT (s_run (crew, &tally, 5, 10));
        if (round % 8 == 7)
            usleep ((useconds_t) (umbp_splitmix (&s_seed) % 1000));
        umbp_crew_destroy (&crew, false);
    }
    umbp_crew_t *none = NULL;
    umbp_crew_destroy (&none, false);
}

//  A child has none of the threads, and perhaps a lock that they hold
static void test_a_child_frees_it (void)
{
    static tally_t tally;
    umbp_crew_t *crew = umbp_crew_new (3);
    fflush (stdout);
    for (int round = 0; round < 20; round++) {
        CU_ASSERT (s_run (crew, &tally, 50, 10));
        pid_t child = fork ();
        if (child == 0) {
            umbp_crew_destroy (&crew, true);
            _exit (crew ? 1 : 0);
        }
        int status = -1;
        CU_ASSERT (waitpid (child, &status, 0) == child && status == 0);
    }
    CU_ASSERT (s_run (crew, &tally, 50, 10));
    umbp_crew_destroy (&crew, false);
}

static void test_fits_the_cores (void)
{
    cpu_set_t all, one;
    CU_ASSERT_FATAL (sched_getaffinity (0, sizeof all, &all) == 0);
    int cores = CPU_COUNT (&all), core = 0;
    CU_ASSERT (umbp_crew_fitting () == (unsigned) (cores > 4 ? 3 : cores - 1));
    while (!CPU_ISSET (core, &all))
        core++;
    CPU_ZERO (&one);
    CPU_SET (core, &one);
    CU_ASSERT_FATAL (sched_setaffinity (0, sizeof one, &one) == 0);
    CU_ASSERT (umbp_crew_fitting () == 0);
    static tally_t tally;
    umbp_crew_t *crew = umbp_crew_new (3);              //  All on this one core
    for (int round = 0; round < 50; round++)
        CU_ASSERT (s_run (crew, &tally, 100, 100));
    umbp_crew_destroy (&crew, false);
    sched_setaffinity (0, sizeof all, &all);
}

int main (void)
{
    alarm (250);
    s_seed = (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("seed %llu\n", (unsigned long long) s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("crew", NULL, NULL);
    CU_ADD_TEST (suite, test_all_is_done_once);
    CU_ADD_TEST (suite, test_many_callers);
    CU_ADD_TEST (suite, test_helpers_take_part);
    CU_ADD_TEST (suite, test_nobody_waits_for_others);
    CU_ADD_TEST (suite, test_cores_are_shared);
    CU_ADD_TEST (suite, test_ends_at_any_moment);
    CU_ADD_TEST (suite, test_a_child_frees_it);
    CU_ADD_TEST (suite, test_fits_the_cores);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

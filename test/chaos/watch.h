//  test/chaos/watch.h - how long a call took, less the time in which this process did not run at
//  all though it wanted to: for that nobody is blamed. chaos_watch_start () once, first.
#ifndef UMBP_CHAOS_WATCH_H
#define UMBP_CHAOS_WATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define CHAOS_LATE_MS 6000              //  More than the deadline: no excuse even on a busy machine
#define CHAOS_TICK_MS 100

typedef struct {
    int64_t begun_ms, stalled_ms;
} chaos_watch_t;

static inline int64_t chaos_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void chaos_sleep (unsigned ms)
{
    struct timespec pause = { ms / 1000, ms % 1000 * 1000000L };
    nanosleep (&pause, NULL);
}

static pthread_mutex_t s_tick_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t s_ticked_ms, s_stalled_ms;

//  Under the lock: how late the next tick is
static inline int64_t s_tick_late (int64_t now_ms)
{
    int64_t late = now_ms - s_ticked_ms - CHAOS_TICK_MS;
    return late > CHAOS_TICK_MS ? late : 0;
}

static void *s_tick (void *arg)
{
    (void) arg;
    while (true) {
        chaos_sleep (CHAOS_TICK_MS);
        pthread_mutex_lock (&s_tick_lock);
        int64_t now_ms = chaos_now_ms ();
        s_stalled_ms += s_tick_late (now_ms);
        s_ticked_ms = now_ms;
        pthread_mutex_unlock (&s_tick_lock);
    }
    return NULL;
}

//  Up to now: after a stop the ticker may be the last thread to run again
static inline int64_t s_stalled (void)
{
    pthread_mutex_lock (&s_tick_lock);
    int64_t sum = s_stalled_ms + s_tick_late (chaos_now_ms ());
    pthread_mutex_unlock (&s_tick_lock);
    return sum;
}

//  Returns 0 or an error number
static inline int chaos_watch_start (void)
{
    pthread_t ticker;
    s_ticked_ms = chaos_now_ms ();
    return pthread_create (&ticker, NULL, s_tick, NULL);
}

static inline chaos_watch_t chaos_watch_begin (void)
{
    return (chaos_watch_t) { chaos_now_ms (), s_stalled () };
}

//  How long since, in ms; and how long of that the process stood still
static inline int64_t chaos_watch_took (const chaos_watch_t *self, int64_t *stalled_ms)
{
    int64_t took = chaos_now_ms () - self->begun_ms;
    *stalled_ms = s_stalled () - self->stalled_ms;
    return took;
}

#endif

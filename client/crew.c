//  client/crew.c - threads that help with large copies. See crew.h.
//
//  The list of what is offered is under a lock, taken once when work is offered and once when it is
//  done; pieces are claimed by an atomic counter. A piece of work lies on its caller's stack: a helper
//  enters it under the lock, and the caller stays until all have left.
#include "client/crew.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cluster/bulk/spin.h"

#define SPIN_US 30                      //  Of a helper without work, and of a caller at the end

typedef struct work {
    umbp_crew_fn *fn;
    void *arg;
    size_t count;
    atomic_size_t next;                 //  The piece that is begun next
    atomic_uint inside;                 //  Helpers in it. Changed under the lock
    struct work *after;
} work_t;

struct umbp_crew {
    unsigned helpers;
    atomic_uint offered;                //  Counts all work: changes tell that there is some
    atomic_uint works;                  //  In the list
    atomic_uint callers;                //  Between begin and end
    pthread_mutex_t lock;               //  All below
    pthread_cond_t wake, left;
    work_t *first, *last;
    unsigned asleep;
    bool ending, failed;                //  failed: no more threads can be made
    unsigned thread_count;
    pthread_t threads[UMBP_CREW_MAX];
};

static int64_t s_now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void s_relax (void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause ();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

//  ------------------------------------------------------------------------------------------------
//  The list, under the lock

static void s_append (umbp_crew_t *self, work_t *work)
{
    work->after = NULL;
    *(self->first ? &self->last->after : &self->first) = work;
    self->last = work;
}

static void s_remove (umbp_crew_t *self, const work_t *work)
{
    work_t *before = NULL;
    for (work_t *at = self->first; at != work; at = at->after)
        before = at;
    *(before ? &before->after : &self->first) = work->after;
    if (self->last == work)
        self->last = before;
}

//  The first one with pieces left, which becomes the last one. NULL: there is none.
static work_t *s_choose (umbp_crew_t *self)
{
    work_t *work = self->first;
    while (work && atomic_load (&work->next) >= work->count)
        work = work->after;
    if (work) {
        s_remove (self, work);
        s_append (self, work);
    }
    return work;
}

//  ------------------------------------------------------------------------------------------------
//  Helpers

//  Do the next piece. Returns false if none is left.
static bool s_do_piece (work_t *work)
{
    size_t piece = atomic_fetch_add (&work->next, 1);
    if (piece < work->count)
        work->fn (work->arg, piece);
    return piece < work->count;
}

//  Until it is done, or one piece if there is other work too. Called and left under the lock.
static void s_help (umbp_crew_t *self, work_t *work)
{
    atomic_fetch_add (&work->inside, 1);
    pthread_mutex_unlock (&self->lock);
    while (s_do_piece (work) && atomic_load (&self->works) == 1)
        ;
    pthread_mutex_lock (&self->lock);
    if (atomic_fetch_sub (&work->inside, 1) == 1)
        pthread_cond_broadcast (&self->left);
}

//  Look for a moment whether more is offered than was seen. Returns whether it is.
static bool s_look (umbp_crew_t *self, umbp_spin_t *spin, unsigned seen)
{
    if (!umbp_spin_begin (spin, s_now_us ()))
        return false;
    do {
        for (int pause = 0; pause < 16; pause++) {
            if (atomic_load_explicit (&self->offered, memory_order_relaxed) != seen)
                return true;
            s_relax ();
        }
    } while (umbp_spin_again (spin, s_now_us ()));
    return false;
}

//  Under the lock: until there may be work
static void s_await (umbp_crew_t *self, umbp_spin_t *spin)
{
    unsigned seen = atomic_load (&self->offered);
    pthread_mutex_unlock (&self->lock);
    bool found = s_look (self, spin, seen);
    pthread_mutex_lock (&self->lock);
    if (!found && atomic_load (&self->offered) == seen && !self->ending) {
        self->asleep++;
        pthread_cond_wait (&self->wake, &self->lock);
        self->asleep--;
    }
    umbp_spin_found (spin, s_now_us ());
}

static void *s_thread (void *arg)
{
    umbp_crew_t *self = arg;
    umbp_spin_t spin;
    umbp_spin_init (&spin, SPIN_US);
    pthread_mutex_lock (&self->lock);
    while (!self->ending) {
        work_t *work = s_choose (self);
        if (work)
            s_help (self, work);
        else
            s_await (self, &spin);
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

//  Under the lock: all of them, or as many as there can be
static void s_have_threads (umbp_crew_t *self)
{
    if (self->thread_count == self->helpers || self->failed)
        return;
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    while (self->thread_count < self->helpers && !self->failed)
        if (pthread_create (&self->threads[self->thread_count], NULL, s_thread, self) == 0)
            self->thread_count++;
        else
            self->failed = true;
    pthread_sigmask (SIG_SETMASK, &before, NULL);
}

//  ------------------------------------------------------------------------------------------------
//  Callers

static void s_offer (umbp_crew_t *self, work_t *work)
{
    pthread_mutex_lock (&self->lock);
    s_have_threads (self);
    s_append (self, work);
    atomic_fetch_add (&self->works, 1);
    atomic_fetch_add (&self->offered, 1);
    for (size_t woken = 0; woken < self->asleep && woken + 1 < work->count; woken++)
        pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
}

//  Nobody comes any more; wait for those who are in it
static void s_withdraw (umbp_crew_t *self, work_t *work)
{
    pthread_mutex_lock (&self->lock);
    s_remove (self, work);
    atomic_fetch_sub (&self->works, 1);
    bool busy = atomic_load (&work->inside) > 0;
    pthread_mutex_unlock (&self->lock);
    if (!busy)
        return;
    for (int64_t until_us = s_now_us () + SPIN_US; s_now_us () < until_us;)
        for (int pause = 0; pause < 16; pause++) {
            if (atomic_load (&work->inside) == 0)
                return;
            s_relax ();
        }
    pthread_mutex_lock (&self->lock);
    while (atomic_load (&work->inside) > 0)
        pthread_cond_wait (&self->left, &self->lock);
    pthread_mutex_unlock (&self->lock);
}

bool umbp_crew_begin (umbp_crew_t *self)
{
    return atomic_fetch_add (&self->callers, 1) < self->helpers;
}

void umbp_crew_end (umbp_crew_t *self)
{
    atomic_fetch_sub (&self->callers, 1);
}

void umbp_crew_run (umbp_crew_t *self, umbp_crew_fn *fn, void *arg, size_t count)
{
    work_t work = { .fn = fn, .arg = arg, .count = count };
    bool shared = self->helpers > 0 && count > 1;
    if (shared)
        s_offer (self, &work);
    while (s_do_piece (&work))
        ;
    if (shared)
        s_withdraw (self, &work);
}

//  ------------------------------------------------------------------------------------------------
//  Life

unsigned umbp_crew_fitting (void)
{
    cpu_set_t set;
    CPU_ZERO (&set);
    bool known = sched_getaffinity (0, sizeof set, &set) == 0;       //  Not if it has no room for all
    long cores = known ? CPU_COUNT (&set) : sysconf (_SC_NPROCESSORS_ONLN);
    if (cores < 2)
        return 0;
    return cores - 1 < UMBP_CREW_AUTO_MAX ? (unsigned) (cores - 1) : UMBP_CREW_AUTO_MAX;
}

umbp_crew_t *umbp_crew_new (unsigned helpers)
{
    umbp_crew_t *self = calloc (1, sizeof *self);
    assert (self);
    self->helpers = helpers < UMBP_CREW_MAX ? helpers : UMBP_CREW_MAX;
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->wake, NULL);
    pthread_cond_init (&self->left, NULL);
    return self;
}

void umbp_crew_destroy (umbp_crew_t **self_p, bool forked)
{
    umbp_crew_t *self = *self_p;
    if (!self)
        return;
    if (!forked) {                      //  There somebody may have held the lock at the fork
        pthread_mutex_lock (&self->lock);
        assert (!self->first);
        self->ending = true;
        atomic_fetch_add (&self->offered, 1);
        pthread_cond_broadcast (&self->wake);
        pthread_mutex_unlock (&self->lock);
        for (unsigned index = 0; index < self->thread_count; index++)
            pthread_join (self->threads[index], NULL);
        pthread_cond_destroy (&self->wake);
        pthread_cond_destroy (&self->left);
        pthread_mutex_destroy (&self->lock);
    }
    free (self);
    *self_p = NULL;
}

unsigned umbp_crew_helpers (const umbp_crew_t *self)
{
    return self->helpers;
}

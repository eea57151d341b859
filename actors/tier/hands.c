//  actors/tier/hands.c - threads for calls that may never return. See hands.h.
#include "actors/tier/hands.h"

#include <czmq.h>
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>

#define THREADS_MAX 16

typedef struct {
    umbp_task_t *first, **end;
} list_t;

typedef struct {
    umbp_hands_t *hands;
    umbp_task_t *task;                  //  NULL: idle
    bool used, lost, held;              //  held: it has to be joined
    pthread_t thread;
} slot_t;

struct umbp_hands {
    pthread_mutex_t lock;
    pthread_cond_t more, gone;
    list_t todo, done;
    slot_t slots[THREADS_MAX + UMBP_HANDS_LOST_MAX];
    unsigned wanted, alive, lost, pending;
    bool ends, orphan;                  //  orphan: the last thread frees it
    int event;
};

static void s_add (list_t *list, umbp_task_t *task)
{
    task->next = NULL;
    *list->end = task;
    list->end = &task->next;
}

static umbp_task_t *s_take (list_t *list)
{
    umbp_task_t *task = list->first;
    if (task) {
        list->first = task->next;
        if (!list->first)
            list->end = &list->first;
    }
    return task;
}

static void s_free (umbp_hands_t *self)
{
    close (self->event);
    pthread_cond_destroy (&self->more);
    pthread_cond_destroy (&self->gone);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

//  Run a task; with the lock before and after
static void s_serve (umbp_hands_t *self, slot_t *slot, umbp_task_t *task)
{
    task->begun = true;
    task->since = 0;                    //  Its own time begins now, not while it waited
    slot->task = task;
    pthread_mutex_unlock (&self->lock);
    task->run (task);
    pthread_mutex_lock (&self->lock);
    slot->task = NULL;
    if (slot->lost)
        self->lost--;
    else
        self->pending--;
    slot->lost = false;
    if (self->orphan)
        return;                         //  Nobody will take it
    s_add (&self->done, task);
    eventfd_write (self->event, 1);
}

static void *s_thread (void *arg)
{
    slot_t *slot = arg;
    umbp_hands_t *self = slot->hands;
    pthread_mutex_lock (&self->lock);
    for (;;) {
        if (self->alive - self->lost > self->wanted)
            break;                      //  Another took our place meanwhile
        umbp_task_t *task = s_take (&self->todo);
        if (task)
            s_serve (self, slot, task);
        else if (self->ends)
            break;
        else
            pthread_cond_wait (&self->more, &self->lock);
    }
    slot->used = false;
    if (!self->ends) {                  //  Nobody waits for this one
        pthread_detach (pthread_self ());
        slot->held = false;
    }
    self->alive--;
    bool last = self->orphan && self->alive == 0;
    pthread_cond_signal (&self->gone);
    pthread_mutex_unlock (&self->lock);
    if (last)
        s_free (self);
    return NULL;
}

//  One more thread, with the lock. Returns false if none can be had.
static bool s_hire (umbp_hands_t *self)
{
    size_t place = 0;
    while (place < THREADS_MAX + UMBP_HANDS_LOST_MAX && self->slots[place].used)
        place++;
    if (place == THREADS_MAX + UMBP_HANDS_LOST_MAX || self->lost > UMBP_HANDS_LOST_MAX)
        return false;
    self->slots[place] = (slot_t) { .hands = self, .used = true };
    sigset_t all, before;
    sigfillset (&all);                  //  Signals are for main
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int rc = pthread_create (&self->slots[place].thread, NULL, s_thread, &self->slots[place]);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    self->slots[place].used = self->slots[place].held = rc == 0;
    self->alive += rc == 0;
    return rc == 0;
}

umbp_hands_t *umbp_hands_new (unsigned threads)
{
    int event = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event == -1)
        return NULL;
    umbp_hands_t *self = zmalloc (sizeof (umbp_hands_t));
    pthread_condattr_t clock;
    pthread_condattr_init (&clock);
    pthread_condattr_setclock (&clock, CLOCK_MONOTONIC);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->more, NULL);
    pthread_cond_init (&self->gone, &clock);
    pthread_condattr_destroy (&clock);
    self->todo.end = &self->todo.first;
    self->done.end = &self->done.first;
    self->event = event;
    self->wanted = threads < THREADS_MAX ? threads : THREADS_MAX;
    pthread_mutex_lock (&self->lock);
    while (self->alive < self->wanted && s_hire (self))
        continue;
    bool any = self->alive > 0;
    pthread_mutex_unlock (&self->lock);
    if (any)
        return self;
    s_free (self);
    errno = EAGAIN;
    return NULL;
}

bool umbp_hands_destroy (umbp_hands_t **self_p, int wait_ms)
{
    umbp_hands_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return true;
    struct timespec until;
    clock_gettime (CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock (&self->lock);
    self->ends = true;
    pthread_cond_broadcast (&self->more);
    int rc = 0;
    while (self->alive > self->lost && rc == 0)
        rc = pthread_cond_timedwait (&self->gone, &self->lock, &until);
    bool clean = self->alive == 0;
    self->orphan = !clean;
    pthread_t ended[THREADS_MAX + UMBP_HANDS_LOST_MAX];
    size_t count = 0;
    for (size_t place = 0; place < THREADS_MAX + UMBP_HANDS_LOST_MAX; place++) {
        const slot_t *slot = &self->slots[place];
        if (slot->held && slot->used)
            pthread_detach (slot->thread);
        else if (slot->held)
            ended[count++] = slot->thread;
    }
    pthread_mutex_unlock (&self->lock);
    while (count > 0)
        pthread_join (ended[--count], NULL);
    if (clean)
        s_free (self);                  //  Else a thread that waits for the mount, perhaps for ever, uses it
    return clean;
}

int umbp_hands_fd (const umbp_hands_t *self)
{
    return self->event;
}

void umbp_hands_wake (umbp_hands_t *self)
{
    eventfd_write (self->event, 1);
}

void umbp_hands_clear (umbp_hands_t *self)
{
    eventfd_t value;
    eventfd_read (self->event, &value);
}

void umbp_hands_give (umbp_hands_t *self, umbp_task_t *task)
{
    task->begun = task->late = false;
    task->since = 0;
    atomic_store (&task->beats, false);
    pthread_mutex_lock (&self->lock);
    s_add (&self->todo, task);
    self->pending++;
    pthread_cond_signal (&self->more);
    pthread_mutex_unlock (&self->lock);
}

umbp_task_t *umbp_hands_take (umbp_hands_t *self)
{
    pthread_mutex_lock (&self->lock);
    umbp_task_t *task = s_take (&self->done);
    pthread_mutex_unlock (&self->lock);
    return task;
}

//  Is its time over? It begins with the first look at it, however late that is.
static bool s_is_over (umbp_task_t *task, int64_t now_ms, int64_t deadline_ms)
{
    if (task->since == 0 || atomic_exchange (&task->beats, false))
        task->since = now_ms;
    return !task->late && now_ms - task->since >= deadline_ms;
}

static umbp_task_t *s_overdue (umbp_hands_t *self, int64_t now_ms, int64_t deadline_ms)
{
    for (size_t place = 0; place < THREADS_MAX + UMBP_HANDS_LOST_MAX; place++) {
        slot_t *slot = &self->slots[place];
        if (!slot->used || !slot->task || !s_is_over (slot->task, now_ms, deadline_ms))
            continue;
        slot->task->late = slot->lost = true;
        self->lost++;
        self->pending--;
        s_hire (self);
        return slot->task;
    }
    for (umbp_task_t **at = &self->todo.first; *at; at = &(*at)->next) {
        umbp_task_t *task = *at;
        if (!s_is_over (task, now_ms, deadline_ms))
            continue;
        task->late = true;
        *at = task->next;
        if (!*at)
            self->todo.end = at;
        self->pending--;
        return task;
    }
    return NULL;
}

umbp_task_t *umbp_hands_overdue (umbp_hands_t *self, int64_t now_ms, int64_t deadline_ms)
{
    pthread_mutex_lock (&self->lock);
    umbp_task_t *task = s_overdue (self, now_ms, deadline_ms);
    pthread_mutex_unlock (&self->lock);
    return task;
}

void umbp_task_beat (umbp_task_t *task)
{
    atomic_store (&task->beats, true);
}

unsigned umbp_hands_lost (const umbp_hands_t *self)
{
    umbp_hands_t *own = (umbp_hands_t *) self;
    pthread_mutex_lock (&own->lock);
    unsigned lost = own->lost;
    pthread_mutex_unlock (&own->lock);
    return lost;
}

unsigned umbp_hands_pending (const umbp_hands_t *self)
{
    umbp_hands_t *own = (umbp_hands_t *) self;
    pthread_mutex_lock (&own->lock);
    unsigned pending = own->pending;
    pthread_mutex_unlock (&own->lock);
    return pending;
}

//  client/async.c - batches in the background: a queue of what was submitted, threads that make the
//  calls, and a queue of what is done. A batch is one allocation; how many there are is bounded.
#include <czmq.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/pool.h"
#include "cluster/bulk/clock.h"

#define BATCHES_MAX 1024                //  Submitted and not drained

typedef enum { PUT, GET, PUT_V, GET_V } kind_t;

typedef struct batch {
    struct batch *next;
    kind_t kind;
    void *items;
    size_t count;
    umbp_put_options_t how;
    int64_t deadline_ms;
    umbp_done_t done;
} batch_t;

//  First in, first out
typedef struct {
    batch_t *head, *tail;
} queue_t;

struct umbp_async {
    umbp_t *pool;
    pthread_mutex_t lock;               //  All below
    pthread_cond_t submitted, finished;
    queue_t waiting, done;
    unsigned queued, idle;              //  Batches that wait; threads that do
    unsigned batches;                   //  Not drained
    uint64_t last_id;
    bool ending;
    int fd;
    pthread_t threads[UMBP_LANES_MAX];
    unsigned thread_count;
};

static void s_push (queue_t *queue, batch_t *batch)
{
    batch->next = NULL;
    if (queue->head)
        queue->tail->next = batch;
    else
        queue->head = batch;
    queue->tail = batch;
}

static batch_t *s_pop (queue_t *queue)
{
    batch_t *batch = queue->head;
    if (batch)
        queue->head = batch->next;
    return batch;
}

//  ------------------------------------------------------------------------------------------------
//  Threads

static int s_fail (batch_t *batch, int status)
{
    bool vec = batch->kind == PUT_V || batch->kind == GET_V;
    for (size_t index = 0; index < batch->count; index++)
        *(vec ? &((umbp_vec_t *) batch->items)[index].status
              : &((umbp_item_t *) batch->items)[index].status) = status;
    return status;
}

static int s_run (umbp_t *pool, batch_t *batch)
{
    int64_t left = batch->deadline_ms - umbp_clock_ms ();
    if (left <= 0)
        return s_fail (batch, UMBP_ETIMEDOUT);
    uint32_t timeout_ms = (uint32_t) left;
    switch (batch->kind) {
    case PUT: return umbp_put_batch (pool, batch->items, batch->count, &batch->how, timeout_ms);
    case GET: return umbp_get_batch (pool, batch->items, batch->count, timeout_ms);
    case PUT_V: return umbp_put_v (pool, batch->items, batch->count, &batch->how, timeout_ms);
    default: return umbp_get_v (pool, batch->items, batch->count, timeout_ms);
    }
}

static void s_tell (umbp_async_t *self)
{
    uint64_t one = 1;
    ssize_t rc = write (self->fd, &one, sizeof one);        //  Full it is readable as well
    (void) rc;
}

static void *s_work (void *arg)
{
    umbp_async_t *self = arg;
    pthread_mutex_lock (&self->lock);
    for (;;) {
        batch_t *batch = s_pop (&self->waiting);
        if (batch) {
            self->queued--;
            pthread_mutex_unlock (&self->lock);
            batch->done.result = s_run (self->pool, batch);
            pthread_mutex_lock (&self->lock);
            s_push (&self->done, batch);
            s_tell (self);
            pthread_cond_signal (&self->finished);
        } else if (self->ending)
            break;
        else {
            self->idle++;
            pthread_cond_wait (&self->submitted, &self->lock);
            self->idle--;
        }
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

//  One more if all are busy. Returns false if there is none at all.
static bool s_have_thread (umbp_async_t *self)
{
    if (self->queued < self->idle || self->thread_count >= self->pool->lanes_max)
        return true;
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    if (pthread_create (&self->threads[self->thread_count], NULL, s_work, self) == 0)
        self->thread_count++;
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    return self->thread_count > 0;
}

//  ------------------------------------------------------------------------------------------------
//  Life

umbp_async_t *umbp_async_new (umbp_t *pool)
{
    umbp_async_t *self = zmalloc (sizeof (umbp_async_t));
    self->pool = pool;
    self->fd = -1;
    pthread_condattr_t attributes;
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->submitted, NULL);
    pthread_cond_init (&self->finished, &attributes);
    pthread_condattr_destroy (&attributes);
    return self;
}

static void s_free_all (queue_t *queue)
{
    for (batch_t *batch = s_pop (queue); batch; batch = s_pop (queue))
        free (batch);
}

void umbp_async_destroy (umbp_async_t **self_p, bool forked)
{
    umbp_async_t *self = *self_p;
    if (!self)
        return;
    if (!forked) {
        pthread_mutex_lock (&self->lock);
        s_free_all (&self->waiting);
        self->queued = 0;
        self->ending = true;
        pthread_cond_broadcast (&self->submitted);
        pthread_mutex_unlock (&self->lock);
        for (unsigned index = 0; index < self->thread_count; index++)
            pthread_join (self->threads[index], NULL);
        pthread_cond_destroy (&self->submitted);
        pthread_cond_destroy (&self->finished);
        pthread_mutex_destroy (&self->lock);
    }
    s_free_all (&self->waiting);
    s_free_all (&self->done);
    if (self->fd >= 0)
        close (self->fd);
    freen (*self_p);
}

//  Under the lock. Returns false if there is no descriptor to be had.
static bool s_have_fd (umbp_async_t *self)
{
    if (self->fd < 0)
        self->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    return self->fd >= 0;
}

//  ------------------------------------------------------------------------------------------------
//  What callers see

static batch_t s_batch (kind_t kind, void *items, size_t count, void *user)
{
    return (batch_t) { .kind = kind, .items = items, .count = count, .done.user = user };
}

static int s_submit (umbp_t *pool, batch_t batch, const umbp_put_options_t *options,
                     uint32_t timeout_ms, uint64_t *id)
{
    umbp_async_t *self = pool->async;
    if (umbp_pool_is_forked (pool))
        return UMBP_EFORKED;
    if (!batch.items && batch.count > 0)
        return UMBP_EINVAL;
    batch_t *copy = malloc (sizeof *copy);
    if (!copy)
        return UMBP_EAGAIN;
    *copy = batch;
    copy->how = options ? *options : (umbp_put_options_t) { 0 };
    copy->deadline_ms = umbp_clock_ms () + (timeout_ms ? timeout_ms : pool->timeout_ms);
    pthread_mutex_lock (&self->lock);
    int rc = self->batches == BATCHES_MAX ? UMBP_EAGAIN
             : !s_have_fd (self) || !s_have_thread (self) ? UMBP_EIO
                                                          : 0;
    if (rc == 0) {
        copy->done.id = ++self->last_id;
        if (id)
            *id = copy->done.id;
        self->batches++;
        self->queued++;
        s_push (&self->waiting, copy);
        pthread_cond_signal (&self->submitted);
    }
    pthread_mutex_unlock (&self->lock);
    if (rc != 0)
        free (copy);
    return rc;
}

int umbp_submit_put (umbp_t *self, umbp_item_t *items, size_t count,
                     const umbp_put_options_t *options, uint32_t timeout_ms, void *user,
                     uint64_t *id)
{
    return s_submit (self, s_batch (PUT, items, count, user), options, timeout_ms, id);
}

int umbp_submit_get (umbp_t *self, umbp_item_t *items, size_t count, uint32_t timeout_ms,
                     void *user, uint64_t *id)
{
    return s_submit (self, s_batch (GET, items, count, user), NULL, timeout_ms, id);
}

int umbp_submit_put_v (umbp_t *self, umbp_vec_t *items, size_t count,
                       const umbp_put_options_t *options, uint32_t timeout_ms, void *user,
                       uint64_t *id)
{
    return s_submit (self, s_batch (PUT_V, items, count, user), options, timeout_ms, id);
}

int umbp_submit_get_v (umbp_t *self, umbp_vec_t *items, size_t count, uint32_t timeout_ms,
                       void *user, uint64_t *id)
{
    return s_submit (self, s_batch (GET_V, items, count, user), NULL, timeout_ms, id);
}

//  Under the lock: wait for the first one that is done
static void s_await (umbp_async_t *self, uint32_t timeout_ms)
{
    struct timespec until;
    clock_gettime (CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long) (timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!self->done.head && self->batches > 0
           && pthread_cond_timedwait (&self->finished, &self->lock, &until) != ETIMEDOUT)
        ;
}

int umbp_drain (umbp_t *pool, umbp_done_t *done, size_t max, uint32_t timeout_ms)
{
    umbp_async_t *self = pool->async;
    if (umbp_pool_is_forked (pool))
        return UMBP_EFORKED;
    size_t count = 0;
    pthread_mutex_lock (&self->lock);
    if (timeout_ms > 0 && max > 0)
        s_await (self, timeout_ms);
    while (count < max && self->done.head) {
        batch_t *batch = s_pop (&self->done);
        done[count++] = batch->done;
        self->batches--;
        free (batch);
    }
    uint64_t told;
    if (!self->done.head && self->fd >= 0 && read (self->fd, &told, sizeof told) < 0)
        errno = 0;                      //  Nothing was told
    pthread_mutex_unlock (&self->lock);
    return (int) count;
}

int umbp_done_fd (umbp_t *pool)
{
    umbp_async_t *self = pool->async;
    if (umbp_pool_is_forked (pool))
        return UMBP_EFORKED;
    pthread_mutex_lock (&self->lock);
    int fd = s_have_fd (self) ? self->fd : UMBP_EIO;
    pthread_mutex_unlock (&self->lock);
    return fd;
}

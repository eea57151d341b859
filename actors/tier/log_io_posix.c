//  actors/tier/log_io_posix.c - the segment log's I/O by preadv and pwritev in a few threads, see log_io.h
//
//  The threads see jobs and nothing else of the log. A job belongs to the thread that took it from the list of those
//  to do until it is in the list of those done.
#include "actors/tier/log_io.h"

#include <czmq.h>
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>

#define THREADS_MAX 16
#define FILES_MAX (UMBP_LOG_PARTS_MAX * 2)

typedef struct {
    umbp_log_job_t *first, **end;
} list_t;

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    list_t todo, done;
    bool ends;
    int event;
    int files[FILES_MAX];
    pthread_t threads[THREADS_MAX];
    unsigned thread_count;
} posix_t;

static void s_add (list_t *list, umbp_log_job_t *job)
{
    job->next = NULL;
    *list->end = job;
    list->end = &job->next;
}

static umbp_log_job_t *s_take (list_t *list)
{
    umbp_log_job_t *job = list->first;
    if (job) {
        list->first = job->next;
        if (!list->first)
            list->end = &list->first;
    }
    return job;
}

static void s_run (const posix_t *self, umbp_log_job_t *job)
{
    umbp_log_part_t part = { job, job->iov, job->count, job->offset };
    int file = self->files[job->drive];
    for (;;) {
        int count = part.count < IOV_MAX ? (int) part.count : IOV_MAX;
        ssize_t result = job->op == UMBP_LOG_OP_SYNC   ? fdatasync (file)
                         : job->op == UMBP_LOG_OP_READ
                             ? preadv (file, part.iov, count, (off_t) part.offset)
                             : pwritev (file, part.iov, count, (off_t) part.offset);
        if (umbp_log_io_went (&part, job->op, result < 0 ? -errno : result, &job->error))
            return;
    }
}

static void *s_thread (void *arg)
{
    posix_t *self = arg;
    pthread_mutex_lock (&self->lock);
    for (;;) {
        umbp_log_job_t *job = s_take (&self->todo);
        if (job) {
            pthread_mutex_unlock (&self->lock);
            s_run (self, job);
            pthread_mutex_lock (&self->lock);
            s_add (&self->done, job);
            eventfd_write (self->event, 1);
        } else if (self->ends)
            break;
        else
            pthread_cond_wait (&self->more, &self->lock);
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

static void s_destroy (void *value, bool idle)
{
    posix_t *self = value;
    pthread_mutex_lock (&self->lock);
    self->ends = true;
    pthread_cond_broadcast (&self->more);
    pthread_mutex_unlock (&self->lock);
    if (!idle)
        return;                         //  A thread waits for the disk, perhaps for ever, and uses all this
    for (unsigned index = 0; index < self->thread_count; index++)
        pthread_join (self->threads[index], NULL);
    pthread_cond_destroy (&self->more);
    pthread_mutex_destroy (&self->lock);
    freen (self);
}

static void *s_new (const umbp_log_io_args_t *args, int event)
{
    posix_t *self = zmalloc (sizeof (posix_t));
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->more, NULL);
    self->todo.end = &self->todo.first;
    self->done.end = &self->done.first;
    self->event = event;
    memcpy (self->files, args->files, args->file_count * sizeof *args->files);
    unsigned wanted = args->depth < THREADS_MAX ? args->depth : THREADS_MAX;
    sigset_t all, before;
    sigfillset (&all);                  //  Signals are for main
    pthread_sigmask (SIG_SETMASK, &all, &before);
    while (self->thread_count < wanted
           && pthread_create (&self->threads[self->thread_count], NULL, s_thread, self) == 0)
        self->thread_count++;
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (self->thread_count > 0)
        return self;
    s_destroy (self, true);
    errno = EAGAIN;
    return NULL;
}

static void s_submit (void *value, umbp_log_job_t *job)
{
    posix_t *self = value;
    pthread_mutex_lock (&self->lock);
    s_add (&self->todo, job);
    pthread_cond_signal (&self->more);
    pthread_mutex_unlock (&self->lock);
}

static void s_kick (void *value)
{
    (void) value;                       //  The threads are on it
}

static umbp_log_job_t *s_reap (void *value)
{
    posix_t *self = value;
    pthread_mutex_lock (&self->lock);
    umbp_log_job_t *job = s_take (&self->done);
    pthread_mutex_unlock (&self->lock);
    return job;
}

static bool s_registered (const void *value)
{
    (void) value;
    return false;
}

const umbp_log_engine_t umbp_log_posix = {
    "posix", s_new, s_destroy, s_submit, s_kick, s_reap, s_registered,
};

//  actors/tier/log_io.c - which engine, and what all have in common; see log_io.h
#include "actors/tier/log_io.h"

#include <czmq.h>
#include <errno.h>
#include <sys/eventfd.h>

struct umbp_log_io {
    const umbp_log_engine_t *engine;
    void *value;
    int event;
    size_t pending;
    umbp_log_job_t *failed, **failed_end;       //  By a test
    umbp_log_job_t *held;               //  ... which keeps them back
};

umbp_log_io_t *umbp_log_io_new (const char *engine, const umbp_log_io_args_t *args)
{
    static const umbp_log_engine_t *const engines[] = { &umbp_log_uring, &umbp_log_posix };
    int event = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event < 0)
        return NULL;
    errno = EINVAL;                     //  No such engine
    for (size_t index = 0; index < 2; index++) {
        if (strcmp (engine, "auto") != 0 && strcmp (engine, engines[index]->name) != 0)
            continue;
        void *value = engines[index]->new (args, event);
        if (!value)
            continue;
        umbp_log_io_t *self = zmalloc (sizeof (umbp_log_io_t));
        *self = (umbp_log_io_t) { .engine = engines[index], .value = value, .event = event };
        self->failed_end = &self->failed;
        return self;
    }
    int error = errno;
    close (event);
    errno = error;
    return NULL;
}

void umbp_log_io_destroy (umbp_log_io_t **self_p)
{
    assert (self_p);
    umbp_log_io_t *self = *self_p;
    if (!self)
        return;
    self->engine->destroy (self->value, self->pending == 0);
    if (self->pending == 0)
        close (self->event);            //  Else a thread may still write to it
    freen (*self_p);
}

const char *umbp_log_io_name (const umbp_log_io_t *self)
{
    return self->engine->name;
}

bool umbp_log_io_registered (const umbp_log_io_t *self)
{
    return self->engine->registered (self->value);
}

int umbp_log_io_fd (const umbp_log_io_t *self)
{
    return self->event;
}

void umbp_log_io_wake (umbp_log_io_t *self)
{
    eventfd_write (self->event, 1);
}

void umbp_log_io_clear (umbp_log_io_t *self)
{
    eventfd_t count;
    eventfd_read (self->event, &count);
}

static size_t s_length (const umbp_log_job_t *job)
{
    size_t length = 0;
    for (unsigned index = 0; index < job->count; index++)
        length += job->iov[index].iov_len;
    return length;
}

static void s_start (umbp_log_io_t *self, umbp_log_job_t *job)
{
    job->next = NULL;
    int fault =
        umbp_log_fault ? umbp_log_fault (job->op, job->drive, job->offset, s_length (job)) : 0;
    if (fault > 0) {
        job->error = fault;
        *self->failed_end = job;
        self->failed_end = &job->next;
        umbp_log_io_wake (self);
    } else if (fault < 0) {
        job->next = self->held;
        self->held = job;
    } else
        self->engine->submit (self->value, job);
}

void umbp_log_io_submit (umbp_log_io_t *self, umbp_log_job_t *job)
{
    self->pending++;
    job->error = 0;
    s_start (self, job);
}

void umbp_log_io_kick (umbp_log_io_t *self)
{
    self->engine->kick (self->value);
}

umbp_log_job_t *umbp_log_io_reap (umbp_log_io_t *self)
{
    umbp_log_job_t *job = self->held;
    for (self->held = NULL; job;) {     //  Perhaps it lets go of them now
        umbp_log_job_t *next = job->next;
        s_start (self, job);
        job = next;
    }
    job = self->failed;
    if (job) {
        self->failed = job->next;
        if (!self->failed)
            self->failed_end = &self->failed;
    } else
        job = self->engine->reap (self->value);
    if (job)
        self->pending--;
    return job;
}

size_t umbp_log_io_pending (const umbp_log_io_t *self)
{
    return self->pending;
}

bool umbp_log_io_went (umbp_log_part_t *part, umbp_log_op_t op, ssize_t result, int *error_p)
{
    *error_p = 0;
    if (result == -EINTR || result == -EAGAIN)
        return false;
    if (result < 0 || op == UMBP_LOG_OP_SYNC) {
        *error_p = result < 0 ? (int) -result : 0;
        return true;
    }
    size_t left = (size_t) result;
    part->offset += left;
    while (part->count > 0 && left >= part->iov->iov_len) {
        left -= part->iov->iov_len;
        part->iov++;
        part->count--;
    }
    if (part->count == 0)
        return true;
    if (result == 0) {                  //  The end of the file, or of the room
        *error_p = op == UMBP_LOG_OP_READ ? EIO : ENOSPC;
        return true;
    }
    part->iov->iov_base = (uint8_t *) part->iov->iov_base + left;
    part->iov->iov_len -= left;
    return false;
}

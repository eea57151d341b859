//  actors/tier/log_io.h - reads, writes and syncs of the segment log, asked for and reaped later: by io_uring, with
//  registered buffers and files where that works, or by a few threads. Short transfers go on where they ended and
//  interrupted ones are repeated, so a job ends whole or with an error.
//
//  A value, used from one thread at a time.
#ifndef UMBP_LOG_IO_H
#define UMBP_LOG_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define UMBP_LOG_PARTS_MAX 8            //  Submissions of one job

typedef enum { UMBP_LOG_OP_READ, UMBP_LOG_OP_WRITE, UMBP_LOG_OP_SYNC } umbp_log_op_t;

typedef struct umbp_log_job umbp_log_job_t;

typedef struct {
    umbp_log_job_t *job;
    struct iovec *iov;                  //  What is left of it
    unsigned count;
    uint64_t offset;
} umbp_log_part_t;

//  A request. Who asks fills in the first half, and leaves all as it is until the job is reaped.
struct umbp_log_job {
    umbp_log_op_t op;
    int drive;                          //  Index of the file
    uint64_t offset;
    struct iovec *iov;                  //  Changes as it goes
    unsigned count;
    void *owner;

    int error;                          //  0, or the errno it failed with
    unsigned pending;
    umbp_log_part_t parts[UMBP_LOG_PARTS_MAX];
    umbp_log_job_t *next;
};

typedef struct {
    const int *files;
    size_t file_count;
    const struct iovec *buffers;        //  To register
    size_t buffer_count;
    unsigned depth;                     //  Jobs at a time, at most
} umbp_log_io_args_t;

typedef struct umbp_log_io umbp_log_io_t;

//  One kind of engine. new: NULL with an errno if it does not work here.
typedef struct {
    const char *name;
    void *(*new) (const umbp_log_io_args_t *args, int event);
    void (*destroy) (void *self, bool idle);   //  idle: no job is under way; else what they use stays
    void (*submit) (void *self, umbp_log_job_t *job);
    void (*kick) (void *self);          //  Jobs submitted since go to the kernel
    umbp_log_job_t *(*reap) (void *self);
    bool (*registered) (const void *self);
} umbp_log_engine_t;

extern const umbp_log_engine_t umbp_log_uring, umbp_log_posix;

//  "auto" takes io_uring where it works. NULL with an errno.
umbp_log_io_t *umbp_log_io_new (const char *engine, const umbp_log_io_args_t *args);
void umbp_log_io_destroy (umbp_log_io_t **self_p);
const char *umbp_log_io_name (const umbp_log_io_t *self);
bool umbp_log_io_registered (const umbp_log_io_t *self);

int umbp_log_io_fd (const umbp_log_io_t *self);          //  Readable when jobs ended, or woken
void umbp_log_io_wake (umbp_log_io_t *self);
void umbp_log_io_clear (umbp_log_io_t *self);            //  No longer readable for what came so far

void umbp_log_io_submit (umbp_log_io_t *self, umbp_log_job_t *job);
void umbp_log_io_kick (umbp_log_io_t *self);
umbp_log_job_t *umbp_log_io_reap (umbp_log_io_t *self);  //  NULL: none ended
size_t umbp_log_io_pending (const umbp_log_io_t *self);

//  After a transfer of so many bytes: true if the part is done. A negative errno, or nothing transferred though
//  something was left, goes to *error_p; false with 0 there: submit the rest.
bool umbp_log_io_went (umbp_log_part_t *part, umbp_log_op_t op, ssize_t result, int *error_p);

//  Tests define these; nobody else does. A named point was passed; and what comes of a job: 0 as it is, an errno
//  with which it fails, though nothing of it is done, or -1: it hangs, until asked again.
void umbp_log_point (const char *name) __attribute__ ((weak));
int umbp_log_fault (umbp_log_op_t op, int drive, uint64_t offset, size_t length)
    __attribute__ ((weak));

static inline void umbp_log_pass (const char *name)
{
    if (umbp_log_point)
        umbp_log_point (name);
}

#endif

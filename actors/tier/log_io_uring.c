//  actors/tier/log_io_uring.c - the segment log's I/O by io_uring, see log_io.h
//
//  A job whose few pieces all lie in registered buffers is submitted piece by piece, so that the kernel need not pin
//  their pages; else as one vector. A ring is never full: it has room for all parts of all jobs.
#include "actors/tier/log_io.h"

#include <czmq.h>
#include <errno.h>
#include <liburing.h>

#define BUFFERS_MAX 256
#define REGISTER_MAX (UINT64_C (1) << 30)       //  Of one buffer: the kernel's bound
#define VECTOR_MAX 1024                         //  iovecs of one submission: the kernel's bound
#define ENTRIES_MAX 16384

typedef struct {
    struct io_uring ring;
    struct iovec buffers[BUFFERS_MAX];
    unsigned buffer_count;
    int files[UMBP_LOG_PARTS_MAX * 2];
    bool fixed_files;
} uring_t;

//  The regions, cut to what can be registered. They are used as they are if it does not work, which is usual for
//  want of lockable memory.
static void s_register (uring_t *self, const umbp_log_io_args_t *args)
{
    for (size_t index = 0; index < args->buffer_count; index++) {
        uint8_t *base = args->buffers[index].iov_base;
        size_t left = args->buffers[index].iov_len;
        while (left > 0 && self->buffer_count < BUFFERS_MAX) {
            size_t length = left < REGISTER_MAX ? left : REGISTER_MAX;
            self->buffers[self->buffer_count++] = (struct iovec) { base, length };
            base += length;
            left -= length;
        }
    }
    if (self->buffer_count > 0
        && io_uring_register_buffers (&self->ring, self->buffers, self->buffer_count) != 0)
        self->buffer_count = 0;
    self->fixed_files =
        io_uring_register_files (&self->ring, self->files, (unsigned) args->file_count) == 0;
}

//  Whether the kernel knows what we use
static bool s_probe (struct io_uring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring (ring);
    static const int ops[] = { IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_READ_FIXED,
                               IORING_OP_WRITE_FIXED, IORING_OP_FSYNC };
    bool known = probe != NULL;
    for (size_t index = 0; known && index < sizeof ops / sizeof *ops; index++)
        known = io_uring_opcode_supported (probe, ops[index]);
    io_uring_free_probe (probe);
    return known;
}

static void *s_new (const umbp_log_io_args_t *args, int event)
{
    uring_t *self = zmalloc (sizeof (uring_t));
    unsigned entries = args->depth * 2;
    struct io_uring_params params = { .flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP };
    params.cq_entries = args->depth * UMBP_LOG_PARTS_MAX;
    if (params.cq_entries > ENTRIES_MAX)
        params.cq_entries = ENTRIES_MAX;
    int rc = io_uring_queue_init_params (entries, &self->ring, &params);
    if (rc < 0) {
        freen (self);
        errno = -rc;
        return NULL;
    }
    memcpy (self->files, args->files, args->file_count * sizeof *args->files);
    if (!s_probe (&self->ring) || io_uring_register_eventfd (&self->ring, event) < 0) {
        io_uring_queue_exit (&self->ring);
        freen (self);
        errno = ENOSYS;
        return NULL;
    }
    s_register (self, args);
    return self;
}

static void s_destroy (void *value, bool idle)
{
    uring_t *self = value;
    if (!idle)
        return;                         //  The kernel would wait for what does not end
    io_uring_queue_exit (&self->ring);
    freen (self);
}

//  Index of the registered buffer that holds the piece, -1 if none
static int s_buffer (const uring_t *self, const struct iovec *piece)
{
    const uint8_t *first = piece->iov_base;
    for (unsigned index = 0; index < self->buffer_count; index++) {
        const uint8_t *base = self->buffers[index].iov_base;
        if (first >= base && first + piece->iov_len <= base + self->buffers[index].iov_len)
            return (int) index;
    }
    return -1;
}

static void s_push (uring_t *self, umbp_log_part_t *part)
{
    umbp_log_job_t *job = part->job;
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe (&self->ring)))
        io_uring_submit (&self->ring);
    int file = self->fixed_files ? job->drive : self->files[job->drive];
    int buffer = part->count == 1 ? s_buffer (self, part->iov) : -1;
    unsigned length = buffer < 0 ? 0 : (unsigned) part->iov->iov_len;
    unsigned count = part->count < VECTOR_MAX ? part->count : VECTOR_MAX;
    bool reads = job->op == UMBP_LOG_OP_READ;
    if (job->op == UMBP_LOG_OP_SYNC)
        io_uring_prep_fsync (sqe, file, IORING_FSYNC_DATASYNC);
    else if (buffer >= 0 && reads)
        io_uring_prep_read_fixed (sqe, file, part->iov->iov_base, length, part->offset, buffer);
    else if (buffer >= 0)
        io_uring_prep_write_fixed (sqe, file, part->iov->iov_base, length, part->offset, buffer);
    else if (reads)
        io_uring_prep_readv (sqe, file, part->iov, count, part->offset);
    else
        io_uring_prep_writev (sqe, file, part->iov, count, part->offset);
    if (self->fixed_files)
        sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data (sqe, part);
}

static void s_submit (void *value, umbp_log_job_t *job)
{
    uring_t *self = value;
    bool fixed = job->count > 0 && job->count <= UMBP_LOG_PARTS_MAX;
    for (unsigned index = 0; fixed && index < job->count; index++)
        fixed = s_buffer (self, job->iov + index) >= 0;
    unsigned parts = fixed ? job->count : 1;
    uint64_t offset = job->offset;
    job->pending = parts;
    for (unsigned index = 0; index < parts; index++) {
        umbp_log_part_t *part = &job->parts[index];
        *part = (umbp_log_part_t) { job, job->iov + index, fixed ? 1 : job->count, offset };
        offset += fixed ? job->iov[index].iov_len : 0;
        s_push (self, part);
    }
}

static void s_kick (void *value)
{
    uring_t *self = value;
    while (io_uring_sq_ready (&self->ring) > 0)
        if (io_uring_submit (&self->ring) < 0)
            break;                      //  Out of memory, or completions first: at the next kick
}

//  Ends a part, or submits what is left of it. True: the job has ended.
static bool s_ended (uring_t *self, umbp_log_part_t *part, int result)
{
    int error;
    if (!umbp_log_io_went (part, part->job->op, result, &error)) {
        s_push (self, part);
        s_kick (self);
        return false;
    }
    if (error && !part->job->error)
        part->job->error = error;
    return --part->job->pending == 0;
}

static umbp_log_job_t *s_reap (void *value)
{
    uring_t *self = value;
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe (&self->ring, &cqe) == 0 && cqe) {
        umbp_log_part_t *part = io_uring_cqe_get_data (cqe);
        int result = cqe->res;
        io_uring_cqe_seen (&self->ring, cqe);
        umbp_log_job_t *job = part->job;
        if (s_ended (self, part, result))
            return job;
    }
    return NULL;
}

static bool s_registered (const void *value)
{
    return ((const uring_t *) value)->buffer_count > 0;
}

const umbp_log_engine_t umbp_log_uring = {
    "io_uring", s_new, s_destroy, s_submit, s_kick, s_reap, s_registered,
};

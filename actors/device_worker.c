//  actors/device_worker.c - the thread in which an accelerator library is called. See
//  device_worker.h.
#include "actors/device_worker.h"

#include <czmq.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define STACK_BYTES (8u << 20)          //  Some libraries put whole topologies there

//  Parts of a report, one after the other: its front and as many rows as it says
typedef enum { PART_FRONT, PART_DEVICES, PART_METRICS, PART_PROCESSES, PART_PEERS, PARTS } part_t;

//  What comes before a report, or says that a call begins
typedef struct {
    char call[32];                      //  Empty: a report follows
} mark_t;

struct umbp_device_worker {
    int fd;                             //  Our end
    pthread_t thread;
    bool busy, gone;
    char call[32];
    int64_t since;
    mark_t mark;
    size_t mark_got;                    //  Of the mark,
    part_t part;                        //  ... then of the parts of the report
    size_t part_got;
    umbp_device_report_t report;
};

//  Everything of the thread's; it frees it itself, as nobody else may while it lives
typedef struct {
    int fd;
    umbp_library_t *library;
    umbp_device_report_t report;
    char failed[UMBP_LIBRARY_WHY_MAX];
} worker_t;

//  Where a part lies in a report
static void *s_part (umbp_device_report_t *report, part_t part, size_t *size)
{
    switch (part) {
    case PART_FRONT: *size = offsetof (umbp_device_report_t, devices); return report;
    case PART_DEVICES:
        *size = report->device_count * sizeof *report->devices;
        return report->devices;
    case PART_METRICS:
        *size = report->metrics_count * sizeof *report->metrics;
        return report->metrics;
    case PART_PROCESSES:
        *size = report->process_count * sizeof *report->processes;
        return report->processes;
    case PART_PEERS: *size = report->peer_count * sizeof *report->peers; return report->peers;
    case PARTS: break;
    }
    *size = 0;
    return NULL;
}

//  --------------------------------------------------------------------------------------------------
//  The thread

static bool s_write (int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t sent = send (fd, at, size, MSG_NOSIGNAL);
        if (sent == -1 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;               //  Nobody listens any more
        at += sent;
        size -= (size_t) sent;
    }
    return true;
}

static void s_begin (worker_t *self, const char *call)
{
    mark_t mark = { .call = "" };
    snprintf (mark.call, sizeof mark.call, "%s", call);
    s_write (self->fd, &mark, sizeof mark);
}

static void s_open (worker_t *self, const umbp_job_t *job)
{
    s_begin (self, "Init");
    umbp_library_close (&self->library);
    self->library = umbp_library_open (job->path, self->report.why);
    self->report.status = self->library ? UMBP_OK : UMBP_EINVAL;
}

static void s_discover (worker_t *self)
{
    umbp_device_report_t *report = &self->report;
    char why[UMBP_LIBRARY_WHY_MAX];
    size_t left_out = 0;
    s_begin (self, "GetAllDevices");
    int rc = umbp_library_devices (self->library, report->devices, &left_out, report->why);
    report->status = rc < 0 ? rc : 0;
    report->device_count = rc < 0 ? 0 : (uint32_t) rc;
    report->left_out = left_out;
    report->generation = umbp_library_generation (self->library);
    report->peers_status = UMBP_ENOTSUP;
    if (report->device_count < 2)
        return;
    s_begin (self, "GetAllDevicesTopology");
    rc = umbp_library_topology (self->library, report->devices, report->device_count, report->peers,
                                why);
    report->peers_status = rc < 0 ? rc : 0;
    report->peer_count = rc < 0 ? 0 : (uint32_t) rc;
    if (rc < 0 && rc != UMBP_ENOTSUP && strneq (why, self->failed)) {
        snprintf (self->failed, sizeof self->failed, "%s", why);
        zsys_warning ("device: no topology: %s", why);
    }
}

//  The devices are those of the discovery before: they stay in our report. So their rows are not
//  sent again.
static void s_poll (worker_t *self, uint32_t devices)
{
    umbp_device_report_t *report = &self->report;
    s_begin (self, "GetDeviceCount");
    report->device_total = umbp_library_count (self->library);
    s_begin (self, "GetDeviceMetrics");
    int rc = umbp_library_metrics (self->library, report->devices, devices, report->metrics);
    report->status = rc < 0 ? rc : 0;
    report->metrics_count = devices;
    if (rc < 0)
        snprintf (report->why, sizeof report->why, "GetDeviceMetrics: %s", umbp_strerror (rc));
    s_begin (self, "GetProcessInformation");
    rc = umbp_library_processes (self->library, report->processes);
    report->processes_status = rc < 0 ? rc : 0;
    report->process_count = rc < 0 ? 0 : (uint32_t) rc;
}

static void s_do (worker_t *self, const umbp_job_t *job, uint32_t *devices)
{
    umbp_device_report_t *report = &self->report;
    report->kind = job->kind;
    report->tag = job->tag;
    report->status = report->processes_status = report->peers_status = 0;
    report->device_total = -1;
    report->why[0] = report->uuid[0] = 0;
    report->device_count = report->metrics_count = report->process_count = report->peer_count = 0;
    if (job->kind == UMBP_JOB_OPEN)
        s_open (self, job);
    else if (!self->library)
        report->status = UMBP_ECLOSED;
    else if (job->kind == UMBP_JOB_DISCOVER) {
        s_discover (self);
        *devices = report->device_count;
    } else if (job->kind == UMBP_JOB_POLL)
        s_poll (self, *devices);
    else if (job->kind == UMBP_JOB_SPLIT) {
        s_begin (self, "AssignPartition");
        report->status = umbp_library_split (self->library, job->uuid, job->template, report->uuid);
    } else if (job->kind == UMBP_JOB_JOIN) {
        s_begin (self, "RemovePartition");
        report->status = umbp_library_join (self->library, job->uuid, job->template);
        snprintf (report->uuid, sizeof report->uuid, "%s", job->template);
    }
}

static bool s_report (worker_t *self)
{
    mark_t mark = { .call = "" };
    bool fine = s_write (self->fd, &mark, sizeof mark);
    for (int part = 0; fine && part < PARTS; part++) {
        size_t size;
        const void *at = s_part (&self->report, (part_t) part, &size);
        fine = s_write (self->fd, at, size);
    }
    return fine;
}

static void *s_thread (void *arg)
{
    worker_t *self = arg;
    umbp_job_t job;
    uint32_t devices = 0;
    while (recv (self->fd, &job, sizeof job, MSG_WAITALL) == sizeof job
           && job.kind != UMBP_JOB_QUIT) {
        s_do (self, &job, &devices);
        if (!s_report (self))
            break;
    }
    umbp_library_close (&self->library);
    close (self->fd);                   //  Our owner sees that
    free (self);
    return NULL;
}

//  --------------------------------------------------------------------------------------------------
//  Its owner

//  With all signals blocked: they are for main
static bool s_start (umbp_device_worker_t *self, worker_t *worker)
{
    pthread_attr_t attr;
    sigset_t all, before;
    sigfillset (&all);
    pthread_attr_init (&attr);
    pthread_attr_setstacksize (&attr, STACK_BYTES);
    pthread_sigmask (SIG_BLOCK, &all, &before);
    int rc = pthread_create (&self->thread, &attr, s_thread, worker);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    pthread_attr_destroy (&attr);
    return rc == 0;
}

umbp_device_worker_t *umbp_device_worker_new (void)
{
    int pair[2];
    if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
        return NULL;
    umbp_device_worker_t *self = zmalloc (sizeof (umbp_device_worker_t));
    worker_t *worker = zmalloc (sizeof (worker_t));
    self->fd = pair[0];
    worker->fd = pair[1];
    if (!s_start (self, worker)) {
        close (pair[0]);
        close (pair[1]);
        free (worker);
        freen (self);
    }
    return self;
}

void umbp_device_worker_destroy (umbp_device_worker_t **self_p, int wait_ms)
{
    umbp_device_worker_t *self = *self_p;
    if (!self)
        return;
    umbp_job_t quit = { .kind = UMBP_JOB_QUIT };
    int64_t end = zclock_mono () + wait_ms;
    send (self->fd, &quit, sizeof quit, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (!self->gone && zclock_mono () < end) {
        struct pollfd item = { .fd = self->fd, .events = POLLIN };
        if (poll (&item, 1, (int) (end - zclock_mono ())) > 0)
            umbp_device_worker_read (self);
    }
    close (self->fd);
    if (self->gone)
        pthread_join (self->thread, NULL);
    else
        pthread_detach (self->thread);
    freen (*self_p);
}

int umbp_device_worker_fd (const umbp_device_worker_t *self)
{
    return self->fd;
}

bool umbp_device_worker_busy (const umbp_device_worker_t *self)
{
    return self->busy;
}

const char *umbp_device_worker_call (const umbp_device_worker_t *self, int64_t *since)
{
    *since = self->since;
    return self->call;
}

int umbp_device_worker_do (umbp_device_worker_t *self, const umbp_job_t *job)
{
    if (self->gone)
        return UMBP_EIO;
    if (self->busy)
        return UMBP_EAGAIN;
    //  A job fits into the socket's buffer, which is empty
    if (send (self->fd, job, sizeof *job, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof *job)
        return UMBP_EIO;
    self->busy = true;
    return UMBP_OK;
}

//  Some bytes. Returns false if there are none now, or no more at all.
static bool s_read (umbp_device_worker_t *self, void *to, size_t size, size_t *got)
{
    if (*got == size)
        return true;
    ssize_t read = recv (self->fd, (char *) to + *got, size - *got, MSG_DONTWAIT);
    if (read == 0 || (read == -1 && errno != EAGAIN && errno != EINTR))
        self->gone = true;
    if (read <= 0)
        return false;
    *got += (size_t) read;
    return true;
}

//  The mark, and then the parts; true once the report is whole
static bool s_read_step (umbp_device_worker_t *self, bool *more)
{
    size_t size = sizeof self->mark;
    if (self->mark_got < size) {
        *more = s_read (self, &self->mark, size, &self->mark_got);
        if (self->mark_got == size) {
            memcpy (self->call, self->mark.call, sizeof self->call);
            self->since = zclock_mono ();
            self->mark_got = *self->call ? 0 : size;
        }
        return false;
    }
    void *at = s_part (&self->report, self->part, &size);
    *more = s_read (self, at, size, &self->part_got);
    if (self->part_got < size)
        return false;
    self->part_got = 0;
    return ++self->part == PARTS;
}

const umbp_device_report_t *umbp_device_worker_read (umbp_device_worker_t *self)
{
    bool more = true;
    while (more && !self->gone)
        if (s_read_step (self, &more)) {
            self->mark_got = 0;
            self->part = PART_FRONT;
            self->busy = false;
            return &self->report;
        }
    return NULL;
}

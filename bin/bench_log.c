//  bin/bench_log.c - the segment log beside fio, see bench_log.h
//
//  Both write fresh files (allocated, never written), both read in the order in which was written, both without a sync before the clock stops
//  (relaxed), with O_DIRECT. fio of io_uring registers its buffers and files as the log does; for posix it has a
//  thread for each request in flight, as many as the log at most.
#include "bin/bench_log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "actors/tier/log.h"
#include "bin/bench_fio.h"
#include "cluster/bulk/clock.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#define EVENT_MS 30000
#define SAMPLES_MAX 101

typedef struct {
    const umbp_bench_options_t *options;
    char folder[UMBP_BENCH_TEXT + 16], fio_file[UMBP_BENCH_TEXT + 32];
    umbp_log_args_t args;
    struct iovec region;
    uint64_t *sums;                     //  Of each buffer
    uint64_t *ats;                      //  Of each block
    uint64_t count;
    double rates[4][SAMPLES_MAX];       //  MB/s: log and fio, write and read
    unsigned samples;
    const char *engine;
} bench_t;

enum { LOG_WRITE, FIO_WRITE, LOG_READ, FIO_READ };

static double s_seconds (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

//  ------------------------------------------------------------------------------------------------
//  fio

//  MB/s, or -1 if there is no fio or it failed
static double s_fio (const bench_t *self, bool reads)
{
    const umbp_bench_fio_t what = { .file = self->fio_file,
                                    .reads = reads,
                                    .uring = strcmp (self->engine, "io_uring") == 0,
                                    .bytes = self->options->bytes,
                                    .block_bytes = self->options->block_bytes,
                                    .depth = self->options->depth };
    return umbp_bench_fio (&what);
}

//  ------------------------------------------------------------------------------------------------
//  The log

static struct iovec s_buffer (const bench_t *self, uint64_t number)
{
    uint64_t bytes = self->options->block_bytes;
    return (struct iovec) { (uint8_t *) self->region.iov_base + number * bytes, bytes };
}

//  The next event, NULL in time
static bool s_wait (umbp_log_t *log, umbp_medium_event_t *event)
{
    int64_t until = umbp_clock_ms () + EVENT_MS, ticked = 0;
    while (!umbp_log_event (log, event)) {
        poll (&(struct pollfd) { .fd = umbp_log_fd (log), .events = POLLIN }, 1, 20);
        int64_t now = umbp_clock_ms ();
        if (now - ticked >= 20)
            umbp_log_tick (log, ticked = now);
        if (now > until)
            return false;
    }
    return true;
}

static int s_begin (bench_t *self, umbp_log_t *log, uint64_t block, uint64_t buffer, bool reads)
{
    struct iovec data = s_buffer (self, buffer);
    uint32_t bytes = (uint32_t) data.iov_len;
    if (reads)
        return umbp_log_read (log, self->ats[block], 0, bytes, &data, 1, block * 1024 + buffer);
    char key[32];
    snprintf (key, sizeof key, "block %" PRIu64, block);
    umbp_medium_record_t record = { .key = key,
                                 .key_size = strlen (key),
                                 .size = bytes,
                                 .sum = self->sums[buffer] };
    return umbp_log_append (log, &record, &data, 1, (uint32_t) block, block * 1024 + buffer);
}

//  All blocks once, depth at a time. checks: compare with what was written. MB/s, or -1
static double s_pass (bench_t *self, umbp_log_t *log, bool reads, bool checks)
{
    uint64_t next = 0, done = 0, depth = self->options->depth;
    double start = s_seconds ();
    for (; next < depth && next < self->count; next++)
        if (s_begin (self, log, next, next, reads) < 0)
            return -1;
    while (done < self->count) {
        umbp_medium_event_t event;
        if (!s_wait (log, &event) || event.status)
            return -1;
        uint64_t block = event.tag / 1024, buffer = event.tag % 1024;
        done++;
        if (!reads)
            self->ats[block] = event.at;
        if (checks) {
            struct iovec data = s_buffer (self, buffer);
            bool right = false;
            for (uint64_t index = 0; !right && index < depth; index++)
                right = XXH3_64bits (data.iov_base, data.iov_len) == self->sums[index];
            if (!right) {
                printf ("block %" PRIu64 ": wrong bytes\n", block);
                return -1;
            }
        }
        if (next < self->count && s_begin (self, log, next++, buffer, reads) < 0)
            return -1;
    }
    return (double) (self->count * self->options->block_bytes) / 1e6 / (s_seconds () - start);
}

static void s_fill (bench_t *self)
{
    uint64_t state = self->options->seed;
    uint64_t *words = self->region.iov_base;
    for (size_t index = 0; index < self->region.iov_len / 8; index++)
        words[index] = umbp_splitmix (&state);
    for (uint64_t buffer = 0; buffer < self->options->depth; buffer++) {
        struct iovec data = s_buffer (self, buffer);
        self->sums[buffer] = XXH3_64bits (data.iov_base, data.iov_len);
    }
}

static void s_remove (bench_t *self)
{
    char path[UMBP_BENCH_TEXT + 64];
    snprintf (path, sizeof path, "%s/umbp.log", self->folder);
    unlink (path);
    rmdir (self->folder);
    unlink (self->fio_file);
    int folder = open (self->options->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {                  //  What the file system does with it is not to count for who is next
        syncfs (folder);
        close (folder);
        nanosleep (&(struct timespec) { .tv_sec = 1 }, NULL);
    }
}

//  One turn: 0, or 1
static int s_sample (bench_t *self)
{
    char why[512];
    unsigned sample = self->samples;
    s_remove (self);
    umbp_log_t *log = umbp_log_open (&self->args, why, sizeof why);
    if (!log) {
        printf ("%s\n", why);
        return 1;
    }
    umbp_medium_stats_t stats = umbp_log_stats (log);
    self->engine = stats.engine;
    umbp_medium_record_t record;
    uint64_t at, found = 0;
    while (umbp_log_recovered (log, &record, &at))
        found++;
    s_fill (self);
    for (int reads = 0; reads < 2; reads++)
        for (unsigned turn = 0; turn < 2; turn++)          //  Who begins changes
            if ((turn + sample) % 2 == 0)
                self->rates[reads ? LOG_READ : LOG_WRITE][sample] =
                    s_pass (self, log, reads, false);
            else
                self->rates[reads ? FIO_READ : FIO_WRITE][sample] = s_fio (self, reads);
    self->samples++;
    printf ("%u: write %.0f MB/s, fio %.0f; read %.0f, fio %.0f (%s%s%s)\n", sample + 1,
            self->rates[LOG_WRITE][sample], self->rates[FIO_WRITE][sample],
            self->rates[LOG_READ][sample], self->rates[FIO_READ][sample], self->engine,
            stats.direct ? ", O_DIRECT" : "", stats.registered ? ", registered" : "");
    bool failed = self->rates[LOG_WRITE][sample] < 0 || self->rates[LOG_READ][sample] < 0;
    umbp_log_close (&log);
    return failed;
}

//  Open what the last turn left, and compare every byte
static int s_recover (bench_t *self)
{
    char why[512];
    double start = s_seconds ();
    umbp_log_t *log = umbp_log_open (&self->args, why, sizeof why);
    double opened_s = s_seconds () - start;
    if (!log) {
        printf ("%s\n", why);
        return 1;
    }
    umbp_medium_record_t record;
    uint64_t at, found = 0;
    while (umbp_log_recovered (log, &record, &at)) {
        if (found < self->count)
            self->ats[found] = at;
        found++;
    }
    double all_s = s_seconds () - start,
           gib = (double) (found * self->options->block_bytes) / (1 << 30);
    printf ("recovery: %" PRIu64
            " blocks, %.1f GiB, opened in %.0f ms, all told in %.0f ms: %.0f GiB/s, "
            "%.0f blocks/s\n",
            found, gib, opened_s * 1e3, all_s * 1e3, gib / all_s, (double) found / all_s);
    double rate = found == self->count ? s_pass (self, log, true, true) : -1;
    umbp_log_close (&log);
    printf ("after it: %s\n", rate < 0 ? "blocks are missing or wrong" : "every byte is right");
    return rate < 0;
}

static int s_compare (const void *one, const void *other)
{
    double first = *(const double *) one, second = *(const double *) other;
    return first < second ? -1 : first > second;
}

static double s_median (bench_t *self, int which)
{
    qsort (self->rates[which], self->samples, sizeof (double), s_compare);
    return self->rates[which][self->samples / 2];
}

static void s_print (bench_t *self, const char *name, int ours, int theirs)
{
    double log = s_median (self, ours), fio = s_median (self, theirs);
    if (fio > 0)
        printf ("%s: %.0f MB/s, fio %.0f MB/s: %.0f %%\n", name, log, fio, 100 * log / fio);
    else
        printf ("%s: %.0f MB/s; there is no fio, or it failed\n", name, log);
}

int umbp_bench_log (const umbp_bench_options_t *options)
{
    if (!*options->directory) {
        printf ("--directory: name a folder on the disk that is to be measured\n");
        return 1;
    }
    bench_t *self = calloc (1, sizeof *self);
    if (!self)
        return 1;
    self->options = options;
    snprintf (self->folder, sizeof self->folder, "%s/umbp-bench.d", options->directory);
    snprintf (self->fio_file, sizeof self->fio_file, "%s/umbp-bench.fio", options->directory);
    self->count = options->bytes / options->block_bytes;
    uint64_t record = options->block_bytes + 8192;
    uint64_t segments = self->count * record / (UMBP_LOG_SEGMENT_BYTES - record - (4 << 20)) + 4;
    const char *directories[] = { self->folder };
    self->region.iov_len = options->depth * options->block_bytes;
    self->region.iov_base = mmap (NULL, self->region.iov_len, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    self->sums = calloc (options->depth, sizeof *self->sums);
    self->ats = calloc (self->count + 1, sizeof *self->ats);
    self->args = (umbp_log_args_t) {
        .directories = directories, .directory_count = 1, .depth = (unsigned) options->depth,
        .capacity_bytes = (segments + 1) * UMBP_LOG_SEGMENT_BYTES, .engine = options->engine,
        .buffers = &self->region, .buffer_count = 1,
    };
    int status = self->region.iov_base == MAP_FAILED || !self->sums || !self->ats;
    for (uint64_t sample = 0; status == 0 && sample < options->samples; sample++)
        status = s_sample (self);
    if (status == 0) {
        s_print (self, "write", LOG_WRITE, FIO_WRITE);
        s_print (self, "read", LOG_READ, FIO_READ);
        status = s_recover (self);
    }
    s_remove (self);
    free (self->sums);
    free (self->ats);
    if (self->region.iov_base != MAP_FAILED)
        munmap (self->region.iov_base, self->region.iov_len);
    free (self);
    return status;
}

//  actors/tier/log_open.c - the segment log: opening its files, closing them; see log.h
#include "actors/tier/log_self.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "cluster/bulk/clock.h"
#include "proto/error.h"

#define LOCK_MS 5000                    //  The kernel may hold on to the files of who was just killed

//  ------------------------------------------------------------------------------------------------
//  Opening

static bool s_refuse (char *why, size_t size, const char *what, const char *path, const char *how)
{
    snprintf (why, size, "%s: %s: %s", path, what, how);
    return false;
}

static bool s_make_folder (const char *path, char *why, size_t why_size)
{
    if (mkdir (path, 0700) == 0 || errno == EEXIST)
        return true;
    int error = errno;
    return s_refuse (why, why_size, strerror (error), path,
                     "the folder cannot be made: make it, or name another in tier.nvme");
}

static bool s_lock (umbp_log_drive_t *drive, char *why, size_t why_size)
{
    int64_t until = umbp_clock_ms () + LOCK_MS;
    while (flock (drive->file, LOCK_EX | LOCK_NB) != 0) {
        if (umbp_clock_ms () >= until)
            return s_refuse (why, why_size, "another process has it locked", drive->path,
                             "end that one, or name another directory");
        nanosleep (&(struct timespec) { .tv_nsec = 5000000 }, NULL);
    }
    return true;
}

//  O_DIRECT where the file system has it; a read-only one is good for reading
static bool s_open_file (umbp_log_drive_t *drive, char *why, size_t why_size)
{
    static const int ways[] = { O_RDWR | O_CREAT | O_DIRECT, O_RDWR | O_CREAT, O_RDONLY | O_DIRECT,
                                O_RDONLY };
    int error = 0;
    for (size_t index = 0; index < 4; index++) {
        if (index >= 2 && error != EROFS)
            break;
        drive->file = open (drive->path, ways[index] | O_CLOEXEC, 0600);
        drive->direct = index % 2 == 0;
        drive->read_only = index >= 2;
        if (drive->file >= 0)
            return s_lock (drive, why, why_size);
        error = index < 2 ? errno : error;
    }
    return s_refuse (why, why_size, strerror (error), drive->path,
                     error == EROFS ? "nothing there yet, and the file system is mounted read-only"
                                    : "the log's file cannot be opened: look at its rights");
}

static bool s_make_super (umbp_log_t *self, umbp_log_drive_t *drive, char *why, size_t why_size)
{
    umbp_log_super_t super = { .segment_bytes = self->segment_bytes };
    uint8_t *blocks = aligned_alloc (UMBP_LOG_BLOCK, UMBP_LOG_SUPER_BYTES);
    bool made = blocks && getrandom (&super.id, sizeof super.id, 0) == sizeof super.id;
    if (made) {
        umbp_log_put_super (&super, blocks);
        umbp_log_put_super (&super, blocks + UMBP_LOG_BLOCK);
        umbp_log_pass ("super");
        made = pwrite (drive->file, blocks, UMBP_LOG_SUPER_BYTES, 0) == UMBP_LOG_SUPER_BYTES
               && fsync (drive->file) == 0;
    }
    int error = errno;
    free (blocks);
    drive->id = super.id;
    return made
           || s_refuse (why, why_size, strerror (error), drive->path,
                        "a new log cannot be written");
}

//  Room for all segments, so that there is room when it is needed
static bool s_allocate (umbp_log_t *self, umbp_log_drive_t *drive, char *why, size_t why_size)
{
    off_t bytes = (off_t) (UMBP_LOG_SUPER_BYTES + drive->count * self->segment_bytes);
    struct stat now;
    if (drive->read_only)
        return true;
    int rc = fallocate (drive->file, 0, 0, bytes);
    if (rc != 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        rc = ftruncate (drive->file, bytes);        //  Then it is found out when it is full
    else if (rc != 0 && errno == EINTR)
        rc = fallocate (drive->file, 0, 0, bytes);
    if (rc == 0 && fstat (drive->file, &now) == 0 && now.st_size > bytes)
        rc = ftruncate (drive->file, bytes);
    int error = errno;
    if (rc != 0)
        snprintf (why, why_size,
                  "%s: %s: %lld MiB cannot be had there: free some, or lower the capacity",
                  drive->path, strerror (error), (long long) (bytes >> 20));
    return rc == 0;
}

static bool s_open_drive (umbp_log_t *self, umbp_log_drive_t *drive, const char *folder, char *why,
                          size_t why_size)
{
    size_t room = strlen (folder) + 16;
    drive->path = zmalloc (room);
    snprintf (drive->path, room, "%s/umbp.log", folder);
    if (!s_make_folder (folder, why, why_size) || !s_open_file (drive, why, why_size))
        return false;
    umbp_log_super_t super;
    bool blank;
    if (umbp_log_read_super (drive->file, &super, &blank)) {
        drive->id = super.id;
        if (super.segment_bytes != self->segment_bytes) {
            snprintf (
                why, why_size,
                "%s: made with segments of %llu bytes, not %llu: set that, or remove the file",
                drive->path, (unsigned long long) super.segment_bytes,
                (unsigned long long) self->segment_bytes);
            return false;
        }
        return s_allocate (self, drive, why, why_size);
    }
    if (!blank)
        return s_refuse (why, why_size, "neither empty nor a log that this version reads",
                         drive->path, "move the file away, or name another directory");
    if (drive->read_only)
        return s_refuse (why, why_size, "read-only and empty", drive->path, "mount it for writing");
    return s_allocate (self, drive, why, why_size) && s_make_super (self, drive, why, why_size);
}

static bool s_open_drives (umbp_log_t *self, const umbp_log_args_t *args, char *why,
                           size_t why_size)
{
    uint64_t share = args->capacity_bytes / args->directory_count;
    uint64_t count =
        share < UMBP_LOG_SUPER_BYTES ? 0 : (share - UMBP_LOG_SUPER_BYTES) / self->segment_bytes;
    if (count < UMBP_LOG_SEGMENTS_MIN || count * args->directory_count >= UMBP_LOG_NONE / 2) {
        snprintf (why, why_size,
                  "capacity of %llu bytes: room for %llu segments of %llu bytes in each of %zu "
                  "directories: at least %d are needed: raise the capacity",
                  (unsigned long long) args->capacity_bytes, (unsigned long long) count,
                  (unsigned long long) self->segment_bytes, args->directory_count,
                  UMBP_LOG_SEGMENTS_MIN);
        return false;
    }
    self->segments = zmalloc (count * args->directory_count * sizeof (umbp_log_segment_t));
    for (size_t index = 0; index < args->directory_count; index++) {
        umbp_log_drive_t *drive = &self->drives[index];
        *drive = (umbp_log_drive_t) {
            .index = (unsigned) index, .file = -1, .first = self->segment_count,
            .count = (uint32_t) count, .next_seq = 1,
        };
        self->drive_count++;
        self->segment_count += drive->count;
        if (!s_open_drive (self, drive, args->directories[index], why, why_size))
            return false;
    }
    return true;
}

static uint8_t *s_carve (uint8_t **from, size_t bytes)
{
    uint8_t *at = *from;
    *from += bytes;
    return at;
}

//  All buffers in one piece, which is registered with the callers'
static void s_make_buffers (umbp_log_t *self)
{
    self->memory_bytes = self->depth * (size_t) UMBP_LOG_STAGE
                         + (size_t) UMBP_LOG_BOUNCES * UMBP_LOG_BOUNCE
                         + (size_t) UMBP_LOG_PACKS * UMBP_LOG_PACK
                         + (size_t) UMBP_LOG_COPIES * (UMBP_LOG_COPY + UMBP_LOG_BLOCK);
    self->memory =
        mmap (NULL, self->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert (self->memory != MAP_FAILED);
    uint8_t *at = self->memory;
    self->requests = zmalloc (self->depth * sizeof (umbp_log_request_t));
    for (unsigned index = self->depth; index-- > 0;) {
        umbp_log_request_t *request = &self->requests[index];
        request->stage = s_carve (&at, UMBP_LOG_STAGE);
        request->iov = zmalloc ((UMBP_LOG_PIECES + UMBP_MEDIUM_PIECES_MAX) * sizeof (struct iovec));
        request->data = request->iov + UMBP_LOG_PIECES;
        umbp_log_give_request (self, request);
    }
    for (size_t index = 0; index < UMBP_LOG_BOUNCES; index++)
        self->bounces[self->bounce_count++] = s_carve (&at, UMBP_LOG_BOUNCE);
    for (size_t index = 0; index < UMBP_LOG_PACKS; index++) {
        self->packs[index].request.stage = s_carve (&at, UMBP_LOG_PACK);
        self->packs[index].records = zmalloc (UMBP_LOG_PACK_RECORDS * sizeof (umbp_log_packed_t));
    }
    for (size_t index = 0; index < UMBP_LOG_COPIES; index++) {
        self->copies[index].stage = s_carve (&at, UMBP_LOG_COPY + UMBP_LOG_BLOCK);
        self->copies[index].iov = self->copies[index].own;
        self->copies[index].sum = aligned_alloc (64, umbp_log_up (sizeof (XXH3_state_t), 64));
        assert (self->copies[index].sum);
    }
}

static bool s_start (umbp_log_t *self, const umbp_log_args_t *args, char *why, size_t why_size)
{
    int files[UMBP_LOG_DIRECTORIES_MAX];
    for (size_t index = 0; index < self->drive_count; index++)
        files[index] = self->drives[index].file;
    struct iovec *buffers = zmalloc ((args->buffer_count + 1) * sizeof (struct iovec));
    buffers[0] = (struct iovec) { self->memory, self->memory_bytes };
    if (args->buffer_count)
        memcpy (buffers + 1, args->buffers, args->buffer_count * sizeof *buffers);
    const char *engine = args->engine ? args->engine : "auto";
    umbp_log_io_args_t io = {
        .files = files, .file_count = self->drive_count, .buffers = buffers,
        .buffer_count = args->buffer_count + 1,
        .depth = self->depth + UMBP_LOG_PACKS + UMBP_LOG_COPIES + 4 * (unsigned) self->drive_count,
    };
    self->io = umbp_log_io_new (engine, &io);
    int error = errno;
    free (buffers);
    if (!self->io)
        snprintf (why, why_size, "I/O engine %s: %s: say auto, io_uring or posix", engine,
                  strerror (error));
    return self->io != NULL;
}

//  Frees all but what the kernel may still use
static void s_free (umbp_log_t *self, bool idle)
{
    umbp_log_forget_tables (self);
    for (size_t index = 0; index < self->drive_count; index++) {
        umbp_log_drive_t *drive = &self->drives[index];
        if (idle && drive->file >= 0)
            close (drive->file);
        free (drive->path);
        free (drive->tombs);
        if (drive->open) {
            drive->open->next = drive->closing;
            drive->closing = drive->open;
        }
        while (idle && drive->closing) {
            umbp_log_open_t *open = drive->closing;
            drive->closing = open->next;
            free (open->table);
            free (open);
        }
    }
    for (uint32_t index = 0; index < self->chunk_count; index++)
        free (self->chunks[index]);
    free (self->chunks);
    free (self->segments);
    umbp_completions_free (&self->completions);
    if (!idle)
        return;
    for (unsigned index = 0; self->requests && index < self->depth; index++)
        free (self->requests[index].iov);
    free (self->requests);
    for (size_t index = 0; index < UMBP_LOG_PACKS; index++)
        free (self->packs[index].records);
    for (size_t index = 0; index < UMBP_LOG_COPIES; index++)
        free (self->copies[index].sum);
    if (self->memory)
        munmap (self->memory, self->memory_bytes);
    free (self);
}

static bool s_args_sound (const umbp_log_args_t *args, uint64_t segment_bytes, char *why,
                          size_t why_size)
{
    if (args->directory_count == 0 || args->directory_count > UMBP_LOG_DIRECTORIES_MAX)
        snprintf (why, why_size, "%zu directories: allowed are 1 to %d", args->directory_count,
                  UMBP_LOG_DIRECTORIES_MAX);
    else if (segment_bytes < UMBP_LOG_SEGMENT_BYTES_MIN
             || segment_bytes > UMBP_LOG_SEGMENT_BYTES_MAX || segment_bytes % UMBP_LOG_BLOCK)
        snprintf (why, why_size,
                  "segments of %llu bytes: allowed are 1 MiB to 16 GiB, in steps of 4 KiB",
                  (unsigned long long) segment_bytes);
    else if (args->depth > UMBP_LOG_DEPTH_MAX)
        snprintf (why, why_size, "depth %u: allowed are 1 to %d", args->depth, UMBP_LOG_DEPTH_MAX);
    else
        return true;
    return false;
}

umbp_log_t *umbp_log_open (const umbp_log_args_t *args, char *why, size_t why_size)
{
    uint64_t segment_bytes = args->segment_bytes ? args->segment_bytes : UMBP_LOG_SEGMENT_BYTES;
    if (!s_args_sound (args, segment_bytes, why, why_size))
        return NULL;
    umbp_log_t *self = zmalloc (sizeof (umbp_log_t));
    *self = (umbp_log_t) {
        .strict = args->strict, .recovering = true, .segment_bytes = segment_bytes,
        .hand = { .record = UMBP_LOG_NONE },
        .clean_rate = args->clean_rate, .depth = args->depth ? args->depth : 64,
        .record_free = UMBP_LOG_NONE, .now = umbp_clock_ms (),
        .era = 1,
    };
    int64_t begin = umbp_clock_ms ();
    bool opened = s_open_drives (self, args, why, why_size);
    if (opened) {
        uint64_t most = self->segment_count * (self->segment_bytes / (UMBP_LOG_RECORD_BYTES + 16));
        most = most / UMBP_LOG_CHUNK + 2;
        self->chunk_max =
            (uint32_t) (most < UMBP_LOG_NONE / UMBP_LOG_CHUNK ? most
                                                              : UMBP_LOG_NONE / UMBP_LOG_CHUNK);
        self->chunks = zmalloc (self->chunk_max * sizeof *self->chunks);
        s_make_buffers (self);
        umbp_log_recover (self);
        opened = s_start (self, args, why, why_size);
    }
    if (!opened) {
        s_free (self, true);
        return NULL;
    }
    self->stats.recover_us = (uint64_t) (umbp_clock_ms () - begin) * 1000;
    return self;
}

//  ------------------------------------------------------------------------------------------------
//  Closing

//  Nothing is under way, and there is nothing that could be written
static bool s_idle (const umbp_log_t *self)
{
    bool idle = umbp_log_io_pending (self->io) == 0 && !(self->pack && self->pack->count);
    for (size_t index = 0; index < self->drive_count; index++) {
        const umbp_log_drive_t *drive = &self->drives[index];
        bool cleans = drive->tomb_count > 0 && drive->phase != UMBP_LOG_CLEAN_IDLE;
        idle = idle && !drive->waiting && (drive->read_only || drive->state || !cleans);
    }
    return idle;
}

static bool s_quiet (const umbp_log_t *self)
{
    bool quiet = s_idle (self);
    for (size_t index = 0; index < self->drive_count; index++) {
        const umbp_log_drive_t *drive = &self->drives[index];
        quiet = quiet && (drive->state || (!drive->open && !drive->closing));
    }
    return quiet;
}

static void s_wait (umbp_log_t *self)
{
    struct pollfd item = { .fd = umbp_log_io_fd (self->io), .events = POLLIN };
    self->completions.count = 0;              //  Nobody asks for them any more
    poll (&item, 1, 10);
    umbp_log_io_clear (self->io);
    self->now = umbp_clock_ms ();
    umbp_log_reap (self);
    for (size_t index = 0; index < self->drive_count; index++)
        umbp_log_settle (self, &self->drives[index]);
    umbp_log_clean (self);
    umbp_log_io_kick (self->io);
}

bool umbp_log_close (umbp_log_t **self_p)
{
    umbp_log_t *self = *self_p;
    if (!self)
        return true;
    int64_t until = umbp_clock_ms () + UMBP_LOG_DEADLINE_MS;
    self->closing = true;
    do {
        umbp_log_flush (self);
        for (size_t index = 0; index < self->drive_count; index++)
            umbp_log_flush_tombs (self, &self->drives[index]);
        if (s_idle (self))
            for (size_t index = 0; index < self->drive_count; index++)
                umbp_log_close_open (self, &self->drives[index]);
        umbp_log_io_kick (self->io);
        s_wait (self);
    } while (!s_quiet (self) && umbp_clock_ms () < until);
    for (size_t index = 0; index < self->drive_count; index++)
        if (!self->drives[index].read_only && umbp_log_io_pending (self->io) == 0)
            fdatasync (self->drives[index].file);
    bool idle = umbp_log_io_pending (self->io) == 0;
    umbp_log_io_destroy (&self->io);
    s_free (self, idle);
    *self_p = NULL;
    return idle;
}

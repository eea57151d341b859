//  actors/tier/log.c - the segment log: its life, its records, what it says; see log.h
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

#define LOCK_MS 2000                    //  The kernel may hold on to the files of who was just killed
#define EVENTS_ROOM 1024                //  To begin with
#define REAPED_MAX 256                  //  In a turn

//  ------------------------------------------------------------------------------------------------
//  Records

uint64_t umbp_log_room (const umbp_log_slot_t *slot)
{
    umbp_log_note_t note = {
        .type = slot->packed ? UMBP_LOG_TYPE_PACKED : UMBP_LOG_TYPE_LARGE,
        .key_size = slot->key_size, .size = slot->size,
    };
    return umbp_log_note_room (&note);
}

uint64_t umbp_log_at (const umbp_log_t *self, uint32_t record)
{
    return (uint64_t) umbp_log_slot (self, record)->turn << 32 | (record + 1);
}

uint32_t umbp_log_take_record (umbp_log_t *self)
{
    if (self->record_free == UMBP_LOG_NONE) {
        if (self->chunk_count == self->chunk_max)
            return UMBP_LOG_NONE;
        uint32_t first = self->chunk_count * UMBP_LOG_CHUNK;
        self->chunks[self->chunk_count++] = zmalloc (UMBP_LOG_CHUNK * sizeof (umbp_log_slot_t));
        for (uint32_t index = UMBP_LOG_CHUNK; index-- > 0;) {
            umbp_log_slot (self, first + index)->next = self->record_free;
            self->record_free = first + index;
        }
    }
    uint32_t record = self->record_free;
    umbp_log_slot_t *slot = umbp_log_slot (self, record);
    self->record_free = slot->next;
    *slot = (umbp_log_slot_t){ .turn = slot->turn,
                               .item = UMBP_LOG_NONE,
                                .state = UMBP_LOG_RECORD_WRITING };
    return record;
}

void umbp_log_give_record (umbp_log_t *self, uint32_t record)
{
    umbp_log_slot_t *slot = umbp_log_slot (self, record);
    slot->state = UMBP_LOG_RECORD_FREE;
    slot->turn++;
    slot->next = self->record_free;
    self->record_free = record;
}

void umbp_log_link (umbp_log_t *self, uint32_t record)
{
    umbp_log_slot_t *slot = umbp_log_slot (self, record);
    umbp_log_segment_t *segment = &self->segments[slot->segment];
    slot->state = UMBP_LOG_RECORD_LIVE;
    slot->prev = UMBP_LOG_NONE;
    slot->next = segment->first;
    if (segment->first != UMBP_LOG_NONE)
        umbp_log_slot (self, segment->first)->prev = record;
    segment->first = record;
    segment->live_records++;
    segment->live_bytes += umbp_log_room (slot);
}

void umbp_log_unlink (umbp_log_t *self, uint32_t record)
{
    umbp_log_slot_t *slot = umbp_log_slot (self, record);
    umbp_log_segment_t *segment = &self->segments[slot->segment];
    if (slot->next != UMBP_LOG_NONE)
        umbp_log_slot (self, slot->next)->prev = slot->prev;
    if (slot->prev != UMBP_LOG_NONE)
        umbp_log_slot (self, slot->prev)->next = slot->next;
    else
        segment->first = slot->next;
    segment->live_records--;
    segment->live_bytes -= umbp_log_room (slot);
}

//  NULL: no such record, or not any more
static umbp_log_slot_t *s_slot (const umbp_log_t *self, uint64_t at)
{
    uint32_t record = (uint32_t) at - 1;
    if (record / UMBP_LOG_CHUNK >= self->chunk_count)
        return NULL;
    umbp_log_slot_t *slot = umbp_log_slot (self, record);
    bool there = slot->state == UMBP_LOG_RECORD_LIVE || slot->state == UMBP_LOG_RECORD_COPYING;
    return slot->turn == at >> 32 && there ? slot : NULL;
}

void umbp_log_set_item (umbp_log_t *self, uint64_t at, uint32_t item)
{
    umbp_log_slot_t *slot = s_slot (self, at);
    if (slot)
        slot->item = item;
}

int umbp_log_remove (umbp_log_t *self, uint64_t at)
{
    umbp_log_slot_t *slot = s_slot (self, at);
    if (!slot)
        return UMBP_ENOENT;
    if (slot->state == UMBP_LOG_RECORD_COPYING) {
        slot->state = UMBP_LOG_RECORD_DOOMED;       //  Buried at both places once the copy ended
        return 0;
    }
    uint32_t record = (uint32_t) at - 1;
    umbp_log_bury (self, slot->segment, slot->place8);
    umbp_log_unlink (self, record);
    umbp_log_give_record (self, record);
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  Requests

int umbp_log_status (int error)
{
    switch (error) {
    case 0: return 0;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return UMBP_ENOSPC;
    case EROFS:
    case EACCES:
    case EPERM: return UMBP_EDENIED;
    default: return UMBP_EIO;
    }
}

umbp_log_request_t *umbp_log_take_request (umbp_log_t *self, umbp_log_request_kind_t kind)
{
    umbp_log_request_t *request = self->request_free;
    self->request_free = request->next;
    request->kind = kind;
    request->late = false;
    request->status = 0;
    request->done = 0;
    request->tail = 0;
    request->since = 0;                 //  From the next tick on
    request->open = NULL;
    return request;
}

void umbp_log_give_request (umbp_log_t *self, umbp_log_request_t *request)
{
    if (request->bounce)
        self->bounces[self->bounce_count++] = request->bounce;
    request->bounce = NULL;
    request->kind = UMBP_LOG_REQUEST_NONE;
    request->next = self->request_free;
    self->request_free = request;
}

void umbp_log_submit (umbp_log_t *self, umbp_log_request_t *request, umbp_log_op_t op,
                      uint64_t offset, unsigned count)
{
    request->job = (umbp_log_job_t) {
        .op = op, .drive = (int) request->drive->index, .offset = offset, .iov = request->iov,
        .count = count, .owner = request,
    };
    umbp_log_io_submit (self->io, &request->job);
}

void umbp_log_gather (const struct iovec *data, unsigned count, uint64_t offset, uint8_t *out,
                      size_t length)
{
    for (unsigned index = 0; index < count && length > 0; index++) {
        if (offset >= data[index].iov_len) {
            offset -= data[index].iov_len;
            continue;
        }
        size_t part = data[index].iov_len - offset;
        part = part < length ? part : length;
        memcpy (out, (const uint8_t *) data[index].iov_base + offset, part);
        out += part;
        length -= part;
        offset = 0;
    }
}

void umbp_log_scatter (const struct iovec *data, unsigned count, uint64_t offset,
                       const uint8_t *bytes, size_t length)
{
    for (unsigned index = 0; index < count && length > 0; index++) {
        if (offset >= data[index].iov_len) {
            offset -= data[index].iov_len;
            continue;
        }
        size_t part = data[index].iov_len - offset;
        part = part < length ? part : length;
        memcpy ((uint8_t *) data[index].iov_base + offset, bytes, part);
        bytes += part;
        length -= part;
        offset = 0;
    }
}

//  ------------------------------------------------------------------------------------------------
//  Events

void umbp_log_say (umbp_log_t *self, umbp_log_event_type_t type, int status, uint32_t item,
                   uint64_t tag, uint64_t at)
{
    if (self->event_count == self->event_room) {
        umbp_log_event_t *events = zmalloc (2 * self->event_room * sizeof *events);
        for (size_t index = 0; index < self->event_count; index++)
            events[index] = self->events[(self->event_first + index) % self->event_room];
        free (self->events);
        self->events = events;
        self->event_first = 0;
        self->event_room *= 2;
    }
    size_t last = (self->event_first + self->event_count++) % self->event_room;
    self->events[last] = (umbp_log_event_t) { type, status, item, tag, at };
    if (self->event_count == 1)
        umbp_log_io_wake (self->io);
}

int umbp_log_fd (umbp_log_t *self)
{
    return umbp_log_io_fd (self->io);
}

static void s_ended (umbp_log_t *self, umbp_log_request_t *request)
{
    switch (request->kind) {
    case UMBP_LOG_REQUEST_READ: umbp_log_read_ended (self, request); break;
    case UMBP_LOG_REQUEST_APPEND: umbp_log_appended (self, request); break;
    case UMBP_LOG_REQUEST_COPY: umbp_log_copied (self, request); break;
    case UMBP_LOG_REQUEST_HEAD: umbp_log_headed (self, request); break;
    case UMBP_LOG_REQUEST_TABLE: umbp_log_tabled (self, request); break;
    case UMBP_LOG_REQUEST_SYNC: umbp_log_synced (self, request); break;
    case UMBP_LOG_REQUEST_CLEAN: umbp_log_clean_ended (self, request); break;
    default:
        request->status = umbp_log_status (request->job.error);
        if (request->status)
            umbp_log_fail (self, request->drive, request->status);
        umbp_log_pass ("packed");
        umbp_log_wait_disk (self, request);
    }
}

//  Returns how many jobs ended
static int s_reap (umbp_log_t *self)
{
    int count = 0;
    umbp_log_job_t *job;
    while (count < REAPED_MAX && (job = umbp_log_io_reap (self->io))) {
        s_ended (self, job->owner);
        count++;
    }
    if (count == REAPED_MAX)
        umbp_log_io_wake (self->io);    //  There may be more
    if (count > 0) {
        umbp_log_flush (self);
        umbp_log_clean (self);
        umbp_log_io_kick (self->io);
    }
    return count;
}

bool umbp_log_event (umbp_log_t *self, umbp_log_event_t *event)
{
    if (self->event_count == 0) {
        umbp_log_io_clear (self->io);
        s_reap (self);
    }
    if (self->event_count == 0)
        return false;
    *event = self->events[self->event_first];
    self->event_first = (self->event_first + 1) % self->event_room;
    self->event_count--;
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  Time

static void s_time_out (umbp_log_t *self, umbp_log_request_t *request)
{
    request->late = true;
    self->stats.timeouts++;
    request->drive->state = UMBP_EIO;
    request->drive->retry_at = self->now + UMBP_LOG_RETRY_MS;
    if (request->kind == UMBP_LOG_REQUEST_PACK)
        umbp_log_pack_late (self, (umbp_log_pack_t *) request);
    else
        umbp_log_say (self,
                      request->kind == UMBP_LOG_REQUEST_READ ? UMBP_LOG_READ : UMBP_LOG_WRITTEN,
                      UMBP_ETIMEDOUT, request->item, request->tag, 0);
}

static bool s_overdue (const umbp_log_t *self, umbp_log_request_t *request)
{
    if (request->since == 0)            //  However late this tick is
        request->since = self->now;
    return !request->late && self->now - request->since >= UMBP_LOG_DEADLINE_MS;
}

static void s_check_deadlines (umbp_log_t *self)
{
    for (unsigned index = 0; index < self->depth; index++)
        if (self->requests[index].kind && s_overdue (self, &self->requests[index]))
            s_time_out (self, &self->requests[index]);
    for (size_t index = 0; index < UMBP_LOG_PACKS; index++) {
        umbp_log_pack_t *pack = &self->packs[index];
        bool open = pack == self->pack;
        for (size_t drive = 0; drive < self->drive_count; drive++)
            open = open || pack == self->drives[drive].pack;
        if (pack->busy && !open && s_overdue (self, &pack->request))
            s_time_out (self, &pack->request);
    }
}

//  Bytes to copy: a second's worth at most are saved up
static void s_earn (umbp_log_t *self, int64_t elapsed_ms)
{
    self->budget += (int64_t) (self->clean_rate / 1000) * elapsed_ms;
    if (self->budget > (int64_t) self->clean_rate)
        self->budget = (int64_t) self->clean_rate;
}

void umbp_log_tick (umbp_log_t *self, int64_t now_ms)
{
    int64_t elapsed_ms = self->ticked ? now_ms - self->ticked : 0;
    self->ticked = self->now = now_ms;
    s_earn (self, elapsed_ms > 1000 ? 1000 : elapsed_ms);
    for (size_t index = 0; index < self->drive_count; index++) {
        umbp_log_drive_t *drive = &self->drives[index];
        if (drive->tomb_count > 0 && now_ms - drive->tombs_since >= UMBP_LOG_REMOVE_MS)
            umbp_log_flush_tombs (self, drive);
        umbp_log_settle (self, drive);
    }
    umbp_log_flush (self);
    umbp_log_clean (self);
    s_check_deadlines (self);
    umbp_log_io_kick (self->io);
}

//  ------------------------------------------------------------------------------------------------
//  What it knows of itself

umbp_log_stats_t umbp_log_stats (const umbp_log_t *self)
{
    umbp_log_stats_t stats = self->stats;
    stats.capacity = self->segment_count * self->segment_bytes;
    stats.segments = self->segment_count;
    stats.waiting = umbp_log_io_pending (self->io);
    stats.engine = umbp_log_io_name (self->io);
    stats.registered = umbp_log_io_registered (self->io);
    stats.direct = true;
    for (uint32_t index = 0; index < self->segment_count; index++) {
        const umbp_log_segment_t *segment = &self->segments[index];
        stats.records += segment->live_records;
        stats.live_bytes += segment->live_bytes;
        if (segment->state == UMBP_LOG_SEGMENT_SEALED
            || segment->state == UMBP_LOG_SEGMENT_CLEANING)
            stats.dead_bytes += self->segment_bytes - segment->live_bytes;
    }
    static const int order[] = { 0, UMBP_ENOSPC, UMBP_EDENIED, UMBP_EIO };
    size_t worst = 0;
    for (size_t index = 0; index < self->drive_count; index++) {
        const umbp_log_drive_t *drive = &self->drives[index];
        stats.free_segments += drive->free_count;
        stats.direct = stats.direct && drive->direct;
        for (size_t at = 0; at < sizeof order / sizeof *order; at++)
            if (order[at] == (drive->read_only ? UMBP_EDENIED : drive->state) && at > worst)
                worst = at;
    }
    stats.state = order[worst];
    return stats;
}

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
        request->iov = zmalloc ((UMBP_LOG_PIECES + UMBP_LOG_PIECES_MAX) * sizeof (struct iovec));
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
    free (self->events);
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
        .clean_rate = args->clean_rate, .depth = args->depth ? args->depth : 64,
        .record_free = UMBP_LOG_NONE, .now = umbp_clock_ms (), .event_room = EVENTS_ROOM,
    };
    self->events = zmalloc (EVENTS_ROOM * sizeof *self->events);
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
    self->event_count = 0;              //  Nobody asks for them any more
    poll (&item, 1, 10);
    umbp_log_io_clear (self->io);
    self->now = umbp_clock_ms ();
    s_reap (self);
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

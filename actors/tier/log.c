//  actors/tier/log.c - the segment log: its records, what it says, its time; see log.h
#include "actors/tier/log_self.h"

#include <czmq.h>
#include <errno.h>

#include "proto/error.h"

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
    slot->kept = false;
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
    if (self->hand.record == record)
        self->hand.record = slot->next;
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
        umbp_log_drive_t *drive = umbp_log_drive_of (self, slot->segment);
        if (drive->dooms++ == 0)
            drive->dooms_era = self->era;
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

void umbp_log_say (umbp_log_t *self, umbp_medium_event_type_t type, int status, uint32_t item,
                   uint64_t tag, uint64_t at)
{
    umbp_medium_event_t event = { type, status, item, tag, at };
    if (umbp_completions_add (&self->completions, &event))
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

void umbp_log_reap (umbp_log_t *self)
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
}

bool umbp_log_event (umbp_log_t *self, umbp_medium_event_t *event)
{
    if (umbp_completions_take (&self->completions, event))
        return true;
    umbp_log_io_clear (self->io);
    umbp_log_reap (self);
    return umbp_completions_take (&self->completions, event);
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
        umbp_log_say (
            self, request->kind == UMBP_LOG_REQUEST_READ ? UMBP_MEDIUM_READ : UMBP_MEDIUM_WRITTEN,
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
        if (drive->tomb_count > 0
            && (drive->tombs_wanted || now_ms - drive->tombs_since >= UMBP_LOG_REMOVE_MS))
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

umbp_medium_stats_t umbp_log_stats (const umbp_log_t *self)
{
    umbp_medium_stats_t stats = self->stats;
    stats.capacity = self->segment_count * self->segment_bytes;
    stats.room =
        stats.capacity / 100 * 85; //  A log that is full of live records can only copy them
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

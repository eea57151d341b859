//  actors/tier/log_write.c - the segment log: appending large records, opening and sealing segments, group commit
#include "actors/tier/log_self.h"

#include <czmq.h>
#include <errno.h>

#include "proto/error.h"

#define TABLE_ROOM 4096                 //  Of an open segment's table, to begin with

//  ------------------------------------------------------------------------------------------------
//  The segment that is being filled

static bool s_fits (const umbp_log_t *self, const umbp_log_open_t *open, uint64_t room,
                    uint64_t entry_bytes)
{
    uint64_t table = umbp_log_up (open->table_reserved + entry_bytes, UMBP_LOG_BLOCK);
    return open->tail + umbp_log_up (room, UMBP_LOG_BLOCK) + table + UMBP_LOG_BLOCK
           <= self->segment_bytes;
}

void umbp_log_add_entry (umbp_log_open_t *open, const umbp_log_note_t *note)
{
    size_t bytes = umbp_log_entry_bytes (note);
    while (open->table_used + bytes > open->table_room) {
        open->table_room = open->table_room ? 2 * open->table_room : TABLE_ROOM;
        open->table = realloc (open->table, open->table_room);
        assert (open->table);
    }
    umbp_log_put_entry (note, open->table + open->table_used);
    open->table_used += bytes;
    open->entries++;
}

static umbp_log_request_t *s_extra (umbp_log_drive_t *drive, umbp_log_request_kind_t kind,
                                    umbp_log_open_t *open, uint8_t *buffer, size_t bytes)
{
    umbp_log_request_t *request = zmalloc (sizeof (umbp_log_request_t));
    request->kind = kind;
    request->drive = drive;
    request->open = open;
    request->stage = buffer;
    request->iov = request->own;
    request->own[0] = (struct iovec) { buffer, bytes };
    return request;
}

static uint8_t *s_aligned (size_t bytes)
{
    uint8_t *memory = aligned_alloc (UMBP_LOG_BLOCK, bytes);
    assert (memory);
    memset (memory, 0, bytes);
    return memory;
}

//  Take a free segment, the one that was used longest ago, and write its head
static void s_open_next (umbp_log_t *self, umbp_log_drive_t *drive)
{
    uint32_t segment = drive->first;
    while (self->segments[segment].state != UMBP_LOG_SEGMENT_FREE)
        segment++;
    for (uint32_t other = segment + 1; other < drive->first + drive->count; other++)
        if (self->segments[other].state == UMBP_LOG_SEGMENT_FREE
            && self->segments[other].seq < self->segments[segment].seq)
            segment = other;
    drive->free_count--;
    self->segments[segment] = (umbp_log_segment_t) {
        .seq = drive->next_seq++, .first = UMBP_LOG_NONE, .state = UMBP_LOG_SEGMENT_OPEN,
    };
    umbp_log_open_t *open = zmalloc (sizeof (umbp_log_open_t));
    *open = (umbp_log_open_t) { .drive = drive, .segment = segment, .tail = UMBP_LOG_BLOCK };
    drive->open = open;
    uint8_t *block = s_aligned (UMBP_LOG_BLOCK);
    umbp_log_head_t head = { drive->id, self->segments[segment].seq, segment - drive->first,
                             false };
    umbp_log_put_head (&head, block);
    umbp_log_pass ("head");
    umbp_log_submit (self, s_extra (drive, UMBP_LOG_REQUEST_HEAD, open, block, UMBP_LOG_BLOCK),
                     UMBP_LOG_OP_WRITE, umbp_log_base (self, drive, segment), 1);
}

void umbp_log_close_open (umbp_log_t *self, umbp_log_drive_t *drive)
{
    if (!drive->open)
        return;
    drive->open->closing = true;
    drive->open->next = drive->closing;
    drive->closing = drive->open;
    drive->open = NULL;
    umbp_log_settle (self, drive);
}

//  Whether there is room, without taking it: 1 in the segment that is being filled, 2 in the next
static int s_has_room (const umbp_log_t *self, const umbp_log_drive_t *drive, uint64_t room,
                       uint64_t entry_bytes, bool inner)
{
    if (drive->open && s_fits (self, drive->open, room, entry_bytes)
        && (inner || drive->free_count >= 1))
        return 1;
    return drive->free_count >= (inner ? 1 : 2) ? 2 : UMBP_ENOSPC;
}

static int s_usable (const umbp_log_t *self, const umbp_log_drive_t *drive)
{
    if (drive->read_only)
        return UMBP_EDENIED;
    return drive->state && self->now < drive->retry_at ? drive->state : 0;
}

int umbp_log_reserve (umbp_log_t *self, umbp_log_drive_t *drive, uint64_t room,
                      uint64_t entry_bytes, bool inner, umbp_log_open_t **open_p, uint64_t *place_p)
{
    int status = s_usable (self, drive);
    if (status == 0)
        status = s_has_room (self, drive, room, entry_bytes, inner);
    if (status < 0)
        return status;
    if (status == 2) {
        umbp_log_close_open (self, drive);
        s_open_next (self, drive);
    }
    umbp_log_open_t *open = drive->open;
    *open_p = open;
    *place_p = open->tail;
    open->tail += umbp_log_up (room, UMBP_LOG_BLOCK);
    open->table_reserved += entry_bytes;
    open->writing++;
    return 0;
}

umbp_log_drive_t *umbp_log_choose (umbp_log_t *self, uint64_t room, uint64_t entry_bytes,
                                   int *status_p)
{
    *status_p = UMBP_ENOSPC;
    for (size_t tried = 0; tried < self->drive_count; tried++) {
        umbp_log_drive_t *drive = &self->drives[self->turn++ % self->drive_count];
        int status = s_usable (self, drive);
        if (status == 0)
            status = s_has_room (self, drive, room, entry_bytes, false);
        if (status > 0)
            return drive;
        if (*status_p == UMBP_ENOSPC)
            *status_p = status;
    }
    return NULL;
}

//  ------------------------------------------------------------------------------------------------
//  What went wrong

//  Nothing is written there for a while; then a new segment is tried
void umbp_log_fail (umbp_log_t *self, umbp_log_drive_t *drive, int status)
{
    self->stats.io_errors++;
    drive->state = status;
    drive->retry_at = self->now + UMBP_LOG_RETRY_MS;
    if (drive->open) {
        drive->open->closing = true;
        drive->open->next = drive->closing;
        drive->closing = drive->open;
        drive->open = NULL;
    }
}

//  ------------------------------------------------------------------------------------------------
//  Large records

//  Bytes from where they lie, if the disk can take them from there: whole blocks but for the tail, which is staged
static bool s_lies_well (const umbp_log_request_t *request)
{
    for (unsigned index = 0; index < request->data_count; index++) {
        const struct iovec *piece = &request->data[index];
        bool last = index + 1 == request->data_count;
        if ((uintptr_t) piece->iov_base % 512 || (!last && piece->iov_len % UMBP_LOG_BLOCK))
            return false;
    }
    return true;
}

static unsigned s_direct_pieces (umbp_log_request_t *request)
{
    unsigned count = 0;
    request->iov[count++] = (struct iovec) { request->stage, UMBP_LOG_BLOCK };
    request->tail = request->note.size % UMBP_LOG_BLOCK;
    for (unsigned index = 0; index < request->data_count; index++) {
        struct iovec piece = request->data[index];
        piece.iov_len -= piece.iov_len % UMBP_LOG_BLOCK;
        if (piece.iov_len)
            request->iov[count++] = piece;
    }
    if (request->tail) {
        uint8_t *tail = request->stage + UMBP_LOG_BLOCK;
        umbp_log_gather (request->data, request->data_count, request->note.size - request->tail,
                         tail, request->tail);
        memset (tail + request->tail, 0, UMBP_LOG_BLOCK - request->tail);
        request->iov[count++] = (struct iovec) { tail, UMBP_LOG_BLOCK };
    }
    return count;
}

//  The next part of data that has to be copied; at last the head, so that it is not there before them
static void s_bounce_next (umbp_log_t *self, umbp_log_request_t *request)
{
    uint64_t left = request->note.size - request->done;
    if (left == 0) {
        request->iov[0] = (struct iovec) { request->stage, UMBP_LOG_BLOCK };
        request->done = UINT64_MAX;
        umbp_log_submit (self, request, UMBP_LOG_OP_WRITE, request->position, 1);
        return;
    }
    size_t length = left < UMBP_LOG_BOUNCE ? left : UMBP_LOG_BOUNCE;
    size_t padded = umbp_log_up (length, UMBP_LOG_BLOCK);
    umbp_log_gather (request->data, request->data_count, request->done, request->bounce, length);
    memset (request->bounce + length, 0, padded - length);
    request->iov[0] = (struct iovec) { request->bounce, padded };
    uint64_t offset = request->position + UMBP_LOG_BLOCK + request->done;
    request->done += length;
    umbp_log_submit (self, request, UMBP_LOG_OP_WRITE, offset, 1);
}

static int s_append_large (umbp_log_t *self, umbp_log_note_t *note, const struct iovec *data,
                           unsigned count, uint32_t item, uint64_t tag)
{
    uint64_t room = umbp_log_note_room (note);
    size_t entry_bytes = umbp_log_entry_bytes (note);
    if (room + umbp_log_up (entry_bytes, UMBP_LOG_BLOCK) + 2 * UMBP_LOG_BLOCK > self->segment_bytes)
        return UMBP_ETOOBIG;
    if (!self->request_free || self->bounce_count == 0)
        return UMBP_EAGAIN;
    int status;
    umbp_log_drive_t *drive = umbp_log_choose (self, room, entry_bytes, &status);
    if (!drive)
        return status;
    uint32_t record = umbp_log_take_record (self);
    if (record == UMBP_LOG_NONE)
        return UMBP_ENOSPC;
    umbp_log_request_t *request = umbp_log_take_request (self, UMBP_LOG_REQUEST_APPEND);
    request->drive = drive;
    request->record = record;
    request->item = item;
    request->tag = tag;
    request->data_count = count;
    memcpy (request->data, data, count * sizeof *data);
    status = umbp_log_reserve (self, drive, room, entry_bytes, false, &request->open, &note->place);
    assert (status == 0);
    note->seq = self->segments[request->open->segment].seq;
    note->serial = ++self->serial;
    umbp_log_slot_t *slot = umbp_log_slot (self, record);
    slot->segment = request->segment = request->open->segment;
    slot->place8 = (uint32_t) (note->place / 8);
    memset (request->stage, 0, UMBP_LOG_BLOCK);
    umbp_log_put_note (note, drive->id, request->stage);
    request->note = *note;
    request->note.key = request->stage + UMBP_LOG_RECORD_BYTES;
    request->position = umbp_log_base (self, drive, request->segment) + note->place;
    umbp_log_pass ("append");
    if (s_lies_well (request)) {
        request->done = UINT64_MAX;
        umbp_log_submit (self, request, UMBP_LOG_OP_WRITE, request->position,
                         s_direct_pieces (request));
    } else {
        request->bounce = self->bounces[--self->bounce_count];
        s_bounce_next (self, request);
    }
    return 0;
}

int umbp_log_append (umbp_log_t *self, const umbp_medium_record_t *record, const struct iovec *data,
                     size_t count, uint32_t item, uint64_t tag)
{
    uint64_t bytes = 0;
    for (size_t index = 0; index < count; index++)
        bytes += data[index].iov_len;
    if (record->key_size == 0 || record->key_size > UMBP_MEDIUM_KEY_MAX || record->size == 0
        || record->size > UMBP_MEDIUM_SIZE_MAX || bytes != record->size
        || count > UMBP_MEDIUM_PIECES_MAX)
        return UMBP_EINVAL;
    umbp_log_note_t note = {
        .key = record->key, .key_size = (uint16_t) record->key_size, .size = record->size,
        .sum = record->sum, .depth = record->depth, .replicas = record->replicas,
        .type = record->size > UMBP_LOG_PACKED_MAX ? UMBP_LOG_TYPE_LARGE : UMBP_LOG_TYPE_PACKED,
    };
    int rc = note.type == UMBP_LOG_TYPE_LARGE
                 ? s_append_large (self, &note, data, (unsigned) count, item, tag)
                 : umbp_log_pack_block (self, &note, data, (unsigned) count, item, tag);
    umbp_log_io_kick (self->io);
    return rc;
}

void umbp_log_appended (umbp_log_t *self, umbp_log_request_t *request)
{
    if (request->job.error)
        request->status = umbp_log_status (request->job.error);
    else if (request->done != UINT64_MAX && !request->late) {
        s_bounce_next (self, request);
        return;
    }
    if (request->job.error)
        umbp_log_fail (self, request->drive, request->status);
    umbp_log_pass ("written");
    umbp_log_wait_disk (self, request);
}

//  It counts, or it failed. What failed may be on disk all the same, and must not be found.
void umbp_log_append_ended (umbp_log_t *self, umbp_log_request_t *request)
{
    umbp_log_slot_t *slot = umbp_log_slot (self, request->record);
    int status = request->late ? UMBP_ETIMEDOUT : request->status;
    uint64_t at = 0;
    if (request->status == 0 && request->done == UINT64_MAX)
        umbp_log_add_entry (request->open, &request->note);
    if (status == 0) {
        slot->item = request->item;
        slot->size = request->note.size;
        slot->key_size = request->note.key_size;
        umbp_log_link (self, request->record);
        at = umbp_log_at (self, request->record);
        self->stats.written_bytes += request->note.size;
    } else {
        umbp_log_bury (self, request->segment, slot->place8);
        umbp_log_give_record (self, request->record);
    }
    if (request->late)
        umbp_log_say (self, UMBP_MEDIUM_RELEASED, 0, request->item, request->tag, 0);
    else
        umbp_log_say (self, UMBP_MEDIUM_WRITTEN, status, request->item, request->tag, at);
    request->open->writing--;
    umbp_log_give_request (self, request);
}

//  ------------------------------------------------------------------------------------------------
//  Until it counts

static void s_want_sync (umbp_log_t *self, umbp_log_drive_t *drive)
{
    if (!drive->sync_wanted || drive->sync_started != drive->sync_ended)
        return;                         //  What comes meanwhile is in the next one, together
    drive->sync_wanted = false;
    drive->sync_started++;
    drive->sync.kind = UMBP_LOG_REQUEST_SYNC;
    drive->sync.drive = drive;
    drive->sync.iov = drive->sync.own;
    umbp_log_pass ("sync");
    umbp_log_submit (self, &drive->sync, UMBP_LOG_OP_SYNC, 0, 0);
}

//  Number of the next sync that begins after now
static uint64_t s_next_sync (umbp_log_drive_t *drive)
{
    drive->sync_wanted = true;
    return drive->sync_started + 1;
}

static bool s_syncs (const umbp_log_t *self, const umbp_log_request_t *request)
{
    if (self->strict || request->kind == UMBP_LOG_REQUEST_COPY)
        return true;                    //  A copy replaces what may have been on disk
    return request->kind == UMBP_LOG_REQUEST_PACK && ((const umbp_log_pack_t *) request)->moves;
}

void umbp_log_wait_disk (umbp_log_t *self, umbp_log_request_t *request)
{
    umbp_log_request_t **end = &request->drive->waiting;
    while (*end)
        end = &(*end)->next;
    *end = request;
    request->next = NULL;
    request->need = 0;
    umbp_log_settle (self, request->drive);
}

//  May it end? Then its status is what came of it.
static bool s_counts (umbp_log_t *self, umbp_log_request_t *request)
{
    umbp_log_drive_t *drive = request->drive;
    if (request->status)
        return true;
    if (request->open->error) {
        request->status = request->open->error;
        return true;
    }
    if (!request->open->headed)
        return false;
    if (!s_syncs (self, request))
        return true;
    if (request->need == 0)
        request->need = s_next_sync (drive);
    if (drive->sync_failed >= request->need)
        request->status = UMBP_EIO;
    return drive->sync_ended >= request->need;
}

static void s_end (umbp_log_t *self, umbp_log_request_t *request)
{
    if (request->kind == UMBP_LOG_REQUEST_APPEND)
        umbp_log_append_ended (self, request);
    else if (request->kind == UMBP_LOG_REQUEST_PACK)
        umbp_log_pack_ended (self, request);
    else
        umbp_log_copy_ended (self, request);
}

uint8_t *umbp_log_make_table (umbp_log_t *self, const umbp_log_open_t *open, size_t *bytes_p)
{
    const umbp_log_segment_t *segment = &self->segments[open->segment];
    size_t table_bytes = umbp_log_up (open->table_used, UMBP_LOG_BLOCK);
    uint8_t *memory = s_aligned (table_bytes + UMBP_LOG_BLOCK);
    if (open->table_used)
        memcpy (memory, open->table, open->table_used);
    umbp_log_trailer_t trailer = {
        .id = open->drive->id, .seq = segment->seq, .index = open->segment - open->drive->first,
        .tail = open->tail, .table_bytes = table_bytes, .count = open->entries,
        .table_sum = XXH3_64bits_withSeed (memory, table_bytes, open->drive->id),
    };
    umbp_log_put_trailer (&trailer, memory + table_bytes);
    *bytes_p = table_bytes + UMBP_LOG_BLOCK;
    return memory;
}

static void s_write_table (umbp_log_t *self, umbp_log_open_t *open)
{
    size_t bytes;
    uint8_t *memory = umbp_log_make_table (self, open, &bytes);
    uint64_t end = umbp_log_base (self, open->drive, open->segment) + self->segment_bytes;
    open->tabled = true;
    umbp_log_pass ("table");
    umbp_log_submit (self, s_extra (open->drive, UMBP_LOG_REQUEST_TABLE, open, memory, bytes),
                     UMBP_LOG_OP_WRITE, end - bytes, 1);
}

//  Nothing more is done for it
static void s_drop_open (umbp_log_t *self, umbp_log_open_t *open)
{
    umbp_log_open_t **link = &open->drive->closing;
    while (*link != open)
        link = &(*link)->next;
    *link = open->next;
    self->segments[open->segment].state = UMBP_LOG_SEGMENT_SEALED;
    free (open->table);
    free (open);
}

//  Seal what is full, once all in it is on disk
static void s_seal (umbp_log_t *self, umbp_log_drive_t *drive)
{
    umbp_log_open_t *next;
    for (umbp_log_open_t *open = drive->closing; open; open = next) {
        next = open->next;
        umbp_log_segment_t *segment = &self->segments[open->segment];
        if (open->writing || open->tabled || (!open->headed && !open->error))
            continue;
        if (open->need == 0)
            open->need = s_next_sync (drive);
        if (open->error) {
            segment->worthless = true;
            s_drop_open (self, open);
        } else if (drive->sync_failed >= open->need) {
            segment->tableless = true;
            s_drop_open (self, open);
        } else if (drive->sync_ended >= open->need)
            s_write_table (self, open);
    }
}

void umbp_log_settle (umbp_log_t *self, umbp_log_drive_t *drive)
{
    umbp_log_request_t *ready = NULL, **ready_end = &ready, **link = &drive->waiting;
    while (*link) {                     //  Those that end may ask for more, so they end afterwards
        umbp_log_request_t *request = *link;
        if (s_counts (self, request)) {
            *link = request->next;
            request->next = NULL;
            *ready_end = request;
            ready_end = &request->next;
        } else
            link = &request->next;
    }
    while (ready) {
        umbp_log_request_t *request = ready;
        ready = request->next;
        s_end (self, request);
    }
    s_seal (self, drive);
    s_want_sync (self, drive);
}

void umbp_log_headed (umbp_log_t *self, umbp_log_request_t *request)
{
    umbp_log_open_t *open = request->open;
    if (request->job.error) {
        open->error = umbp_log_status (request->job.error);
        umbp_log_fail (self, request->drive, open->error);
        if (!open->closing)
            umbp_log_close_open (self, request->drive);
    } else {
        open->headed = true;
        request->drive->state = 0;
    }
    umbp_log_drive_t *drive = request->drive;
    free (request->stage);
    free (request);
    umbp_log_settle (self, drive);
}

void umbp_log_tabled (umbp_log_t *self, umbp_log_request_t *request)
{
    umbp_log_open_t *open = request->open;
    umbp_log_drive_t *drive = request->drive;
    if (request->job.error) {
        self->segments[open->segment].tableless = true;
        umbp_log_fail (self, drive, umbp_log_status (request->job.error));
    }
    s_drop_open (self, open);
    free (request->stage);
    free (request);
    umbp_log_pass ("sealed");
    umbp_log_settle (self, drive);
}

void umbp_log_synced (umbp_log_t *self, umbp_log_request_t *request)
{
    umbp_log_drive_t *drive = request->drive;
    drive->sync_ended = drive->sync_started;
    self->stats.syncs++;
    if (request->job.error) {
        drive->sync_failed = drive->sync_ended;
        umbp_log_fail (self, drive, umbp_log_status (request->job.error));
    }
    umbp_log_pass ("synced");
    umbp_log_settle (self, drive);
}

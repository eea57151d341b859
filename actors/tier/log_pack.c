//  actors/tier/log_pack.c - the segment log: small records and tombstones, which are written together
//
//  A pack is a buffer of records one behind the other, which goes to disk as one write. New blocks of all
//  directories' share one, which gets its place when it is written: at once if nothing else is under way, else when
//  it is full or something ended. What cleaning moves, and tombstones, have a pack in each directory.
#include "actors/tier/log_self.h"

#include <czmq.h>

#include "proto/error.h"

#define TOMB_BYTES sizeof (umbp_log_tomb_t)
#define TOMBS_OF_RECORD ((UMBP_LOG_PACKED_MAX) / TOMB_BYTES)

static umbp_log_pack_t *s_take_pack (umbp_log_t *self, unsigned spare)
{
    umbp_log_pack_t *found = NULL;
    for (size_t index = 0; index < UMBP_LOG_PACKS; index++)
        if (!self->packs[index].busy) {
            if (spare == 0)
                found = &self->packs[index];
            else
                spare--;
        }
    if (!found)
        return NULL;
    found->busy = true;
    found->count = 0;
    found->used = found->entry_bytes = 0;
    found->moves = found->tombs = false;
    found->tombs_era = UINT64_MAX;
    found->request.status = 0;
    found->request.late = false;
    found->request.kind = UMBP_LOG_REQUEST_PACK;
    return found;
}

static bool s_has_room (const umbp_log_pack_t *pack, uint64_t room)
{
    return pack->count < UMBP_LOG_PACK_RECORDS && pack->used + room <= UMBP_LOG_PACK;
}

//  Add a record. The caller fills in the data, at what is returned.
static uint8_t *s_add (umbp_log_pack_t *pack, const umbp_log_note_t *note, uint32_t record,
                       uint32_t item, uint64_t tag, bool moves)
{
    umbp_log_packed_t *packed = &pack->records[pack->count++];
    *packed = (umbp_log_packed_t) { record, item, tag, moves, *note };
    packed->note.place = pack->used;
    uint8_t *head = pack->request.stage + pack->used;
    uint64_t room = umbp_log_note_room (note), data = umbp_log_note_data (note);
    memset (head + room - 8, 0, 8);     //  Padding
    if (note->key_size)
        memcpy (head + UMBP_LOG_RECORD_BYTES, note->key, note->key_size);
    packed->note.key = head + UMBP_LOG_RECORD_BYTES;
    pack->used += room;
    pack->entry_bytes += record == UMBP_LOG_NONE ? note->size / TOMB_BYTES * UMBP_LOG_ENTRY_BYTES
                                                 : umbp_log_entry_bytes (note);
    return head + data;
}

//  ------------------------------------------------------------------------------------------------
//  To disk

//  Heads get their final form now that it is known where they will be
static void s_finish (umbp_log_t *self, umbp_log_pack_t *pack, uint64_t place)
{
    umbp_log_request_t *request = &pack->request;
    for (unsigned index = 0; index < pack->count; index++) {
        umbp_log_packed_t *packed = &pack->records[index];
        uint8_t *head = request->stage + packed->note.place;
        packed->note.place += place;
        packed->note.seq = self->segments[request->segment].seq;
        if (packed->record == UMBP_LOG_NONE)
            packed->note.sum =
                XXH3_64bits (head + umbp_log_note_data (&packed->note), packed->note.size);
        umbp_log_put_note (&packed->note, request->drive->id, head);
        if (packed->record != UMBP_LOG_NONE && !packed->moves) {
            umbp_log_slot_t *slot = umbp_log_slot (self, packed->record);
            slot->segment = request->segment;
            slot->place8 = (uint32_t) (packed->note.place / 8);
        }
    }
}

//  Returns 0, or why it cannot be written
static int s_write (umbp_log_t *self, umbp_log_drive_t *drive, umbp_log_pack_t *pack, bool inner)
{
    umbp_log_request_t *request = &pack->request;
    uint64_t place;
    size_t bytes = umbp_log_up (pack->used, UMBP_LOG_BLOCK);
    int rc =
        umbp_log_reserve (self, drive, bytes, pack->entry_bytes, inner, &request->open, &place);
    if (rc < 0)
        return rc;
    request->drive = drive;
    request->segment = request->open->segment;
    request->since = 0;
    s_finish (self, pack, place);
    memset (request->stage + pack->used, 0, bytes - pack->used);
    request->iov = request->own;
    request->own[0] = (struct iovec) { request->stage, bytes };
    umbp_log_pass (inner ? "inner" : "pack");
    umbp_log_submit (self, request, UMBP_LOG_OP_WRITE,
                     umbp_log_base (self, drive, request->segment) + place, 1);
    return 0;
}

//  None of its records is on disk
static void s_refuse (umbp_log_t *self, umbp_log_pack_t *pack, int status)
{
    for (unsigned index = 0; index < pack->count; index++) {
        umbp_log_packed_t *packed = &pack->records[index];
        umbp_log_give_record (self, packed->record);
        umbp_log_say (self, UMBP_MEDIUM_WRITTEN, status, packed->item, packed->tag, 0);
    }
    pack->busy = false;
}

static void s_write_blocks (umbp_log_t *self)
{
    umbp_log_pack_t *pack = self->pack;
    int status;
    umbp_log_drive_t *drive = umbp_log_choose (self, umbp_log_up (pack->used, UMBP_LOG_BLOCK),
                                               pack->entry_bytes, &status);
    self->pack = NULL;
    if (drive)
        status = s_write (self, drive, pack, false);
    if (status < 0)
        s_refuse (self, pack, status);
}

void umbp_log_flush (umbp_log_t *self)
{
    unsigned busy = 0;
    for (size_t index = 0; index < UMBP_LOG_PACKS; index++)
        busy += self->packs[index].busy;
    if (self->pack && self->pack->count > 0 && (busy <= 2 || self->closing))
        s_write_blocks (self);
}

int umbp_log_pack_block (umbp_log_t *self, const umbp_log_note_t *note, const struct iovec *data,
                         unsigned count, uint32_t item, uint64_t tag)
{
    uint64_t room = umbp_log_note_room (note);
    if (self->pack && !s_has_room (self->pack, room))
        s_write_blocks (self);
    if (!self->pack)
        self->pack = s_take_pack (self, 2);         //  Cleaning needs some too
    if (!self->pack)
        return UMBP_EAGAIN;
    int status;
    if (!umbp_log_choose (self, umbp_log_up (self->pack->used + room, UMBP_LOG_BLOCK),
                          self->pack->entry_bytes + umbp_log_entry_bytes (note), &status))
        return status;
    uint32_t record = umbp_log_take_record (self);
    if (record == UMBP_LOG_NONE)
        return UMBP_ENOSPC;
    umbp_log_note_t own = *note;
    own.serial = ++self->serial;
    uint8_t *out = s_add (self->pack, &own, record, item, tag, false);
    umbp_log_gather (data, count, 0, out, note->size);
    umbp_log_pass ("append");
    umbp_log_flush (self);
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  What cleaning moves, and tombstones

//  See to it that the pack of a directory has room. Returns 0, or why not: then what was in it, if it could not be
//  written, waits again, and would only fail once more.
static int s_inner (umbp_log_t *self, umbp_log_drive_t *drive, uint64_t room)
{
    if (drive->pack && !s_has_room (drive->pack, room)) {
        int rc = umbp_log_flush_inner (self, drive);
        if (rc < 0)
            return rc;
    }
    if (!drive->pack)
        drive->pack = s_take_pack (self, 0);
    if (!drive->pack)
        return UMBP_EAGAIN;
    drive->pack->request.drive = drive;
    return 0;
}

int umbp_log_pack_move (umbp_log_t *self, umbp_log_drive_t *drive, const umbp_log_note_t *note,
                        const uint8_t *data, uint32_t record)
{
    int rc = s_inner (self, drive, umbp_log_note_room (note));
    if (rc < 0)
        return rc;
    memcpy (s_add (drive->pack, note, record, 0, 0, true), data, note->size);
    drive->pack->moves = true;
    return 0;
}

uint64_t umbp_log_era (umbp_log_t *self, const umbp_log_slot_t *slot)
{
    return slot->state == UMBP_LOG_RECORD_DOOMED
               ? umbp_log_drive_of (self, slot->segment)->dooms_era
               : self->era;
}

void umbp_log_bury (umbp_log_t *self, uint32_t segment, uint32_t place8)
{
    umbp_log_bury_of (self, segment, place8, self->era);
}

void umbp_log_bury_of (umbp_log_t *self, uint32_t segment, uint32_t place8, uint64_t era)
{
    umbp_log_drive_t *drive = umbp_log_drive_of (self, segment);
    if (drive->tomb_count == drive->tomb_room) {
        drive->tomb_room = drive->tomb_room ? 2 * drive->tomb_room : 1024;
        drive->tombs = realloc (drive->tombs, drive->tomb_room * TOMB_BYTES);
        assert (drive->tombs);
    }
    if (drive->tomb_count == 0)
        drive->tombs_since = self->now;
    if (drive->tomb_count == 0 || era < drive->tombs_era)
        drive->tombs_era = era;
    drive->tombs[drive->tomb_count++] = (umbp_log_tomb_t) {
        self->segments[segment].seq,
        segment - drive->first,
        place8,
    };
}

//  Those of segments that were used again since are not needed
static void s_drop_tombs (umbp_log_t *self, umbp_log_drive_t *drive)
{
    size_t kept = 0;
    for (size_t index = 0; index < drive->tomb_count; index++) {
        const umbp_log_tomb_t *tomb = &drive->tombs[index];
        const umbp_log_segment_t *segment = &self->segments[drive->first + tomb->segment];
        if (segment->seq == tomb->seq && segment->state != UMBP_LOG_SEGMENT_FREE)
            drive->tombs[kept++] = *tomb;
    }
    drive->tomb_count = kept;
}

static int s_add_tombs (umbp_log_t *self, umbp_log_drive_t *drive)
{
    while (drive->tomb_count > 0) {
        size_t count = drive->tomb_count < TOMBS_OF_RECORD ? drive->tomb_count : TOMBS_OF_RECORD;
        umbp_log_note_t note = { .type = UMBP_LOG_TYPE_TOMBS,
                                 .serial = ++self->serial,
                                 .size = (uint32_t) (count * TOMB_BYTES) };
        int rc = s_inner (self, drive, umbp_log_note_room (&note));
        if (rc < 0)
            return rc;
        umbp_log_pack_t *pack = drive->pack;
        memcpy (s_add (pack, &note, UMBP_LOG_NONE, 0, 0, false), drive->tombs, note.size);
        pack->tombs = true;
        if (drive->tombs_era < pack->tombs_era)
            pack->tombs_era = drive->tombs_era;
        drive->tomb_count -= count;
        memmove (drive->tombs, drive->tombs + count, drive->tomb_count * TOMB_BYTES);
    }
    return 0;
}

//  Moves that were packed but cannot be written stay where they are; tombstones wait
static void s_unpack (umbp_log_t *self, umbp_log_drive_t *drive, umbp_log_pack_t *pack, int status)
{
    for (unsigned index = 0; index < pack->count; index++) {
        umbp_log_packed_t *packed = &pack->records[index];
        if (packed->record != UMBP_LOG_NONE) {
            umbp_log_moved (self, packed->record, 0, 0,
                            status == UMBP_ENOSPC ? status : UMBP_EAGAIN);
            continue;
        }
        umbp_log_tomb_t tomb;
        for (size_t at = 0; at < packed->note.size; at += TOMB_BYTES) {
            memcpy (&tomb, packed->note.key + at, TOMB_BYTES);
            if (self->segments[drive->first + tomb.segment].seq == tomb.seq)
                umbp_log_bury_of (self, drive->first + tomb.segment, tomb.place8, pack->tombs_era);
        }
    }
    pack->busy = false;
}

int umbp_log_flush_inner (umbp_log_t *self, umbp_log_drive_t *drive)
{
    umbp_log_pack_t *pack = drive->pack;
    if (!pack || pack->count == 0)
        return 0;
    drive->pack = NULL;
    int rc = s_write (self, drive, pack, true);
    if (rc < 0)
        s_unpack (self, drive, pack, rc);
    return rc;
}

//  Tombstones that have waited for company long enough, or are wanted now
int umbp_log_flush_tombs (umbp_log_t *self, umbp_log_drive_t *drive)
{
    if (drive->read_only || (drive->state && self->now < drive->retry_at))
        return UMBP_EAGAIN;
    drive->tombs_wanted = false;
    s_drop_tombs (self, drive);
    int rc = s_add_tombs (self, drive);
    int written = umbp_log_flush_inner (self, drive);
    return rc < 0 ? rc : written;
}

//  Tombstones of a directory are on their way: those that come meanwhile go together, when that ended
bool umbp_log_buries (const umbp_log_t *self, const umbp_log_drive_t *drive)
{
    for (size_t index = 0; index < UMBP_LOG_PACKS; index++)
        if (self->packs[index].busy && self->packs[index].tombs
            && &self->packs[index] != drive->pack && self->packs[index].request.drive == drive)
            return true;
    return false;
}

uint64_t umbp_log_mark (umbp_log_t *self)
{
    for (size_t index = 0; index < self->drive_count; index++) {
        umbp_log_drive_t *drive = &self->drives[index];
        drive->tombs_wanted = true;
        if (!umbp_log_buries (self, drive))
            umbp_log_flush_tombs (self, drive);
    }
    umbp_log_io_kick (self->io);
    return self->era++;
}

bool umbp_log_drive_is_past (const umbp_log_t *self, const umbp_log_drive_t *drive, uint64_t mark)
{
    if ((drive->tomb_count > 0 && drive->tombs_era <= mark)
        || (drive->dooms > 0 && drive->dooms_era <= mark))
        return false;
    for (size_t index = 0; index < UMBP_LOG_PACKS; index++)
        if (self->packs[index].busy && self->packs[index].tombs_era <= mark
            && self->packs[index].request.drive == drive)
            return false;
    return true;
}

bool umbp_log_is_past (const umbp_log_t *self, uint64_t mark)
{
    bool past = true;
    for (size_t index = 0; index < self->drive_count; index++)
        past = past && umbp_log_drive_is_past (self, &self->drives[index], mark);
    return past;
}

//  ------------------------------------------------------------------------------------------------
//  It counts, or it failed

static void s_block_ended (umbp_log_t *self, umbp_log_pack_t *pack, umbp_log_packed_t *packed)
{
    umbp_log_request_t *request = &pack->request;
    umbp_log_slot_t *slot = umbp_log_slot (self, packed->record);
    int status = request->late ? UMBP_ETIMEDOUT : request->status;
    uint64_t at = 0;
    if (request->status == 0)
        umbp_log_add_entry (request->open, &packed->note);
    if (status == 0) {
        slot->item = packed->item;
        slot->size = packed->note.size;
        slot->key_size = packed->note.key_size;
        slot->packed = true;
        umbp_log_link (self, packed->record);
        at = umbp_log_at (self, packed->record);
        self->stats.written_bytes += packed->note.size;
    } else {
        umbp_log_bury (self, slot->segment, slot->place8);
        umbp_log_give_record (self, packed->record);
    }
    umbp_log_say (self, request->late ? UMBP_MEDIUM_RELEASED : UMBP_MEDIUM_WRITTEN,
                  request->late ? 0 : status, packed->item, packed->tag, at);
}

static void s_tombs_ended (umbp_log_t *self, umbp_log_pack_t *pack, umbp_log_packed_t *packed)
{
    umbp_log_request_t *request = &pack->request;
    umbp_log_drive_t *drive = request->drive;
    for (size_t at = 0; at < packed->note.size; at += TOMB_BYTES) {
        umbp_log_tomb_t tomb;
        memcpy (&tomb, packed->note.key + at, TOMB_BYTES);
        umbp_log_note_t note = { .type = UMBP_LOG_TYPE_TOMBS,
                                 .serial = tomb.seq,
                                 .size = tomb.segment, .place = tomb.place8 };
        if (request->status == 0) {
            umbp_log_add_entry (request->open, &note);
            self->segments[request->segment].tombs++;
            self->stats.tombstones++;
        } else
            umbp_log_bury_of (self, drive->first + tomb.segment, tomb.place8, pack->tombs_era);
    }
}

void umbp_log_pack_ended (umbp_log_t *self, umbp_log_request_t *request)
{
    umbp_log_pack_t *pack = (umbp_log_pack_t *) request;
    for (unsigned index = 0; index < pack->count; index++) {
        umbp_log_packed_t *packed = &pack->records[index];
        if (packed->record == UMBP_LOG_NONE)
            s_tombs_ended (self, pack, packed);
        else if (packed->moves) {
            uint64_t place = packed->note.place;
            if (request->status == 0)
                umbp_log_add_entry (request->open, &packed->note);
            else
                umbp_log_bury_of (self, request->segment, (uint32_t) (place / 8),
                                  umbp_log_era (self, umbp_log_slot (self, packed->record)));
            umbp_log_moved (self, packed->record, request->segment, place,
                            request->status ? UMBP_EAGAIN : 0);
        } else
            s_block_ended (self, pack, packed);
    }
    request->open->writing--;
    pack->busy = false;
    umbp_log_flush (self);
}

void umbp_log_pack_late (umbp_log_t *self, umbp_log_pack_t *pack)
{
    for (unsigned index = 0; index < pack->count; index++) {
        umbp_log_packed_t *packed = &pack->records[index];
        if (packed->record != UMBP_LOG_NONE && !packed->moves)
            umbp_log_say (self, UMBP_MEDIUM_WRITTEN, UMBP_ETIMEDOUT, packed->item, packed->tag, 0);
    }
}

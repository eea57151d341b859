//  actors/tier/log_clean.c - the segment log: getting room back
//
//  A directory cleans one segment at a time: the tombstones in it that are still needed are written anew, its live
//  records copied on (verified as they pass) or let go, all that is synced, and then its head is overwritten. So
//  whenever it stops, each record is found at one of its places at least, and a removed one at none, but for one case:
//  see s_stuck.
#include "actors/tier/log_self.h"

#include <czmq.h>

#include "proto/error.h"

#define EVENTS_WAITING_MAX 4096         //  With more than these, the owner comes first
#define STEPS_MAX 512                   //  Records looked at in a turn
#define LOW_SHARE 16                    //  Dead space is cleaned while less than 1/16 of the segments is free
#define GAIN_SHARE 8                    //  ... where at least 1/8 of a segment is dead; 1/20 when hardly any is free
#define GAIN_SHARE_LOW 20
#define GIVEN_UP_MS 200                 //  Until the next try, if there was no room to copy to

void umbp_log_set_keep (umbp_log_t *self, umbp_medium_keep_fn *keep, void *arg)
{
    self->keep = keep;
    self->keep_arg = arg;
}

void umbp_log_evict (umbp_log_t *self, uint64_t bytes)
{
    uint64_t total = self->segment_count * self->segment_bytes;
    self->evict_left = bytes < total - self->evict_left ? self->evict_left + bytes : total;
    self->evict_rounds = 2 * (uint64_t) self->segment_count;
    umbp_log_clean (self);
    umbp_log_io_kick (self->io);
}

uint64_t umbp_log_evicting (const umbp_log_t *self)
{
    return self->evict_left;
}

//  ------------------------------------------------------------------------------------------------
//  Which segment

static bool s_cleanable (const umbp_log_segment_t *segment)
{
    return segment->state == UMBP_LOG_SEGMENT_SEALED && (!segment->tableless || segment->worthless);
}

static uint32_t s_oldest (const umbp_log_t *self, const umbp_log_drive_t *drive)
{
    uint32_t best = UMBP_LOG_NONE;
    for (uint32_t index = drive->first; index < drive->first + drive->count; index++)
        if (s_cleanable (&self->segments[index])
            && (best == UMBP_LOG_NONE || self->segments[index].seq < self->segments[best].seq))
            best = index;
    return best;
}

//  Bytes that have to be written anew if it is cleaned, at most; a few tombstones do not count. Those of the oldest one
//  speak of segments that are gone.
static uint64_t s_cost (const umbp_log_t *self, uint32_t index, uint32_t oldest)
{
    const umbp_log_segment_t *segment = &self->segments[index];
    uint64_t tombs = sizeof (umbp_log_tomb_t) + UMBP_LOG_ENTRY_BYTES;
    tombs *= index == oldest ? 0 : segment->tombs;
    bool few = segment->live_bytes == 0 && tombs <= self->segment_bytes / GAIN_SHARE;
    return few ? 0 : segment->live_bytes + tombs;
}

//  The one with the fewest bytes to be written anew, if it is worth it
static uint32_t s_cheapest (const umbp_log_t *self, const umbp_log_drive_t *drive)
{
    uint32_t best = UMBP_LOG_NONE, oldest = s_oldest (self, drive);
    uint64_t least = UINT64_MAX;
    for (uint32_t index = drive->first; index < drive->first + drive->count; index++) {
        uint64_t cost =
            s_cleanable (&self->segments[index]) ? s_cost (self, index, oldest) : UINT64_MAX;
        if (cost < least) {
            best = index;
            least = cost;
        }
    }
    if (least == 0 || best == UMBP_LOG_NONE)
        return best;
    uint32_t low = drive->count / LOW_SHARE + 2;
    uint64_t share = drive->free_count <= 1 ? GAIN_SHARE_LOW : GAIN_SHARE;
    bool gains = least + self->segment_bytes / share <= self->segment_bytes;
    return drive->free_count < low && gains ? best : UMBP_LOG_NONE;
}

//  Is it this directory's turn to evict? One at a time, the fullest.
static bool s_evicts (const umbp_log_t *self, const umbp_log_drive_t *drive)
{
    if (self->evict_left == 0)
        return false;
    for (size_t index = 0; index < self->drive_count; index++) {
        const umbp_log_drive_t *other = &self->drives[index];
        if ((other->phase != UMBP_LOG_CLEAN_IDLE && other->evicts)
            || (other != drive && !other->read_only && !other->state
                && other->free_count < drive->free_count))
            return false;
    }
    return true;
}

static void s_begin (umbp_log_t *self, umbp_log_drive_t *drive)
{
    bool evicts = s_evicts (self, drive);
    drive->clean_mark = 0;
    uint32_t victim = s_cheapest (self, drive);
    if (evicts && (victim == UMBP_LOG_NONE || self->segments[victim].live_bytes > 0))
        victim = s_oldest (self, drive);
    if (evicts && !drive->closing && (self->evict_rounds == 0 || --self->evict_rounds == 0))
        self->evict_left = 0;
    if (victim == UMBP_LOG_NONE) {
        drive->clean_at = self->now + 1;            //  At the next tick
        //  All there is may be in the segment that is being filled
        if (evicts && drive->open && drive->open->tail > UMBP_LOG_BLOCK && !drive->closing)
            umbp_log_close_open (self, drive);
        return;
    }
    umbp_log_segment_t *segment = &self->segments[victim];
    drive->victim = victim;
    drive->evicts = evicts;
    segment->state = UMBP_LOG_SEGMENT_CLEANING;
    if (evicts) {
        uint64_t dead = self->segment_bytes - segment->live_bytes;
        self->evict_left -= dead < self->evict_left ? dead : self->evict_left;
    }
    umbp_log_pass ("clean");
    if (segment->worthless) {
        drive->phase = UMBP_LOG_CLEAN_COPY;
        return;
    }
    drive->phase = UMBP_LOG_CLEAN_TABLE;
    drive->clean.kind = UMBP_LOG_REQUEST_CLEAN;
    drive->clean.drive = drive;
    drive->clean.stage = aligned_alloc (UMBP_LOG_BLOCK, UMBP_LOG_BLOCK);
    assert (drive->clean.stage);
    drive->clean.iov = drive->clean.own;
    drive->clean.own[0] = (struct iovec) { drive->clean.stage, UMBP_LOG_BLOCK };
    drive->clean.length = UMBP_LOG_BLOCK;
    uint64_t end = umbp_log_base (self, drive, victim) + self->segment_bytes;
    umbp_log_submit (self, &drive->clean, UMBP_LOG_OP_READ, end - UMBP_LOG_BLOCK, 1);
}

//  ------------------------------------------------------------------------------------------------
//  Its tombstones

static void s_found (void *arg, const umbp_log_note_t *note)
{
    (void) arg;
    (void) note;
}

typedef struct {
    umbp_log_t *self;
    umbp_log_drive_t *drive;
} tombs_t;

//  Needed as long as the segment that it speaks of has not been used again
static void s_carry_tomb (void *arg, const umbp_log_tomb_t *tomb)
{
    tombs_t *tombs = arg;
    umbp_log_drive_t *drive = tombs->drive;
    if (tomb->segment >= drive->count || tomb->segment == drive->victim - drive->first)
        return;
    const umbp_log_segment_t *segment = &tombs->self->segments[drive->first + tomb->segment];
    if (segment->seq == tomb->seq && segment->state != UMBP_LOG_SEGMENT_FREE)
        umbp_log_bury (tombs->self, drive->first + tomb->segment, tomb->place8);
}

static void s_stop (umbp_log_t *self, umbp_log_drive_t *drive)
{
    self->segments[drive->victim].state = UMBP_LOG_SEGMENT_SEALED;
    drive->phase = UMBP_LOG_CLEAN_IDLE;
}

//  First the trailer came, then the table with it
static void s_table_read (umbp_log_t *self, umbp_log_drive_t *drive)
{
    umbp_log_request_t *request = &drive->clean;
    uint64_t end = umbp_log_base (self, drive, drive->victim) + self->segment_bytes;
    umbp_log_trailer_t trailer;
    uint8_t *block = request->stage + request->length - UMBP_LOG_BLOCK;
    umbp_log_segment_t *segment = &self->segments[drive->victim];
    bool good = !request->job.error
                && umbp_log_get_trailer (&trailer, block, drive->id, self->segment_bytes)
                && trailer.seq == segment->seq;
    if (good && request->length == UMBP_LOG_BLOCK && trailer.table_bytes > 0) {
        free (request->stage);
        request->length = trailer.table_bytes + UMBP_LOG_BLOCK;
        request->stage = aligned_alloc (UMBP_LOG_BLOCK, request->length);
        assert (request->stage);
        request->own[0] = (struct iovec) { request->stage, request->length };
        umbp_log_submit (self, request, UMBP_LOG_OP_READ, end - request->length, 1);
        return;
    }
    tombs_t tombs = { self, drive };
    good = good
           && umbp_log_walk_table (&trailer, request->stage, self->segment_bytes, s_found,
                                   s_carry_tomb, &tombs);
    free (request->stage);
    request->stage = NULL;
    drive->phase = UMBP_LOG_CLEAN_COPY;
    if (!good) {                        //  What it said of others is lost; a restart scans it
        self->stats.bad_headers++;
        segment->tableless = true;
        s_stop (self, drive);
    } else
        umbp_log_flush_tombs (self, drive);         //  Before copies take the room
}

//  ------------------------------------------------------------------------------------------------
//  Its records

static void s_let_go (umbp_log_t *self, uint32_t record, int status)
{
    umbp_log_slot_t *slot = umbp_log_slot (self, record);
    umbp_log_drive_t *drive = umbp_log_drive_of (self, slot->segment);
    uint64_t room = umbp_log_room (slot);
    umbp_log_say (self, UMBP_MEDIUM_LEFT, status, slot->item, 0, umbp_log_at (self, record));
    umbp_log_bury (self, slot->segment, slot->place8);
    umbp_log_unlink (self, record);
    umbp_log_give_record (self, record);
    if (drive->evicts)
        self->evict_left -= room < self->evict_left ? room : self->evict_left;
}

static umbp_log_request_t *s_free_copy (umbp_log_t *self)
{
    for (size_t index = 0; index < UMBP_LOG_COPIES; index++)
        if (self->copies[index].kind == UMBP_LOG_REQUEST_NONE)
            return &self->copies[index];
    return NULL;
}

static void s_read_part (umbp_log_t *self, umbp_log_request_t *copy)
{
    uint64_t first = copy->position + copy->done;
    uint64_t start = first / UMBP_LOG_BLOCK * UMBP_LOG_BLOCK;
    uint64_t end = umbp_log_up (copy->position + copy->length, UMBP_LOG_BLOCK);
    size_t length = end - start < UMBP_LOG_COPY ? end - start : UMBP_LOG_COPY;
    copy->tag = 0;                      //  Reading
    copy->iov[0] = (struct iovec) { copy->stage, length };
    umbp_log_submit (self, copy, UMBP_LOG_OP_READ, start, 1);
}

static void s_begin_copy (umbp_log_t *self, umbp_log_drive_t *drive, uint32_t record,
                          umbp_log_request_t *copy)
{
    umbp_log_slot_t *slot = umbp_log_slot (self, record);
    umbp_log_unlink (self, record);
    self->segments[slot->segment].live_bytes += umbp_log_room (slot);        //  It still counts
    self->segments[slot->segment].live_records++;
    slot->state = UMBP_LOG_RECORD_COPYING;
    copy->kind = UMBP_LOG_REQUEST_COPY;
    copy->drive = drive;
    copy->record = record;
    copy->status = 0;
    copy->placed = copy->late = false;
    copy->done = 0;
    copy->length = umbp_log_room (slot);
    copy->position = umbp_log_base (self, drive, slot->segment) + slot->place8 * UINT64_C (8);
    copy->segment = slot->segment;
    copy->since = self->now;
    drive->copies++;
    self->segments[slot->segment].readers++;
    self->budget -= (int64_t) copy->length;
    self->stats.cleaned_bytes += copy->length;
    XXH3_64bits_reset (copy->sum);
    s_read_part (self, copy);
}

//  The copy counts, or not. Of a packed one this comes when the pack is on disk.
void umbp_log_moved (umbp_log_t *self, uint32_t record, uint32_t segment, uint64_t place,
                     int status)
{
    umbp_log_slot_t *slot = umbp_log_slot (self, record);
    umbp_log_drive_t *drive = umbp_log_drive_of (self, slot->segment);
    umbp_log_segment_t *from = &self->segments[slot->segment];
    bool doomed = slot->state == UMBP_LOG_RECORD_DOOMED;
    uint64_t era = umbp_log_era (self, slot);
    from->live_bytes -= umbp_log_room (slot);
    from->live_records--;
    drive->copies--;
    if (status == 0) {                  //  Gone from the old place, and if need be from the new one
        umbp_log_bury_of (self, slot->segment, slot->place8, era);
        slot->segment = segment;
        slot->place8 = (uint32_t) (place / 8);
        slot->kept = false;
    }
    if (doomed) {
        umbp_log_bury_of (self, slot->segment, slot->place8, era);
        drive->dooms--;
        umbp_log_give_record (self, record);
        return;
    }
    umbp_log_link (self, record);
    if (status == 0)
        umbp_log_say (self, UMBP_MEDIUM_MOVED, 0, slot->item, 0, umbp_log_at (self, record));
    else if (status == UMBP_ECHECKSUM || status == UMBP_EIO)
        s_let_go (self, record, status);
    else if (status == UMBP_ENOSPC && drive->evicts && !self->closing)
        s_let_go (self, record, 0);
    else
        drive->clean_mark = UINT64_MAX;             //  Give this segment up for now
}

static void s_end_copy (umbp_log_t *self, umbp_log_request_t *copy, int status)
{
    self->segments[copy->segment].readers--;
    uint64_t place = copy->placed ? copy->note.place : 0;
    uint32_t segment = copy->placed ? copy->open->segment : 0;
    if (copy->placed && status == 0)
        umbp_log_add_entry (copy->open, &copy->note);
    else if (copy->placed)              //  It may be there all the same
        umbp_log_bury_of (self, segment, (uint32_t) (place / 8),
                          umbp_log_era (self, umbp_log_slot (self, copy->record)));
    if (copy->placed)
        copy->open->writing--;
    copy->kind = UMBP_LOG_REQUEST_NONE;
    umbp_log_moved (self, copy->record, segment, place, status);
}

void umbp_log_copy_ended (umbp_log_t *self, umbp_log_request_t *copy)
{
    s_end_copy (self, copy, copy->status ? UMBP_EAGAIN : 0);
}

//  The head that was read, and a place for the copy. 0, or what is wrong.
static int s_place (umbp_log_t *self, umbp_log_request_t *copy)
{
    umbp_log_slot_t *slot = umbp_log_slot (self, copy->record);
    size_t lead = copy->position % UMBP_LOG_BLOCK;
    if (!umbp_log_get_note (&copy->note, copy->stage + lead, copy->own[0].iov_len - lead,
                            copy->drive->id, self->segments[slot->segment].seq,
                            slot->place8 * UINT64_C (8), self->segment_bytes)
        || copy->note.size != slot->size) {
        self->stats.bad_headers++;
        return UMBP_ECHECKSUM;
    }
    if (slot->packed)
        return 0;
    memcpy (copy->own + 1, &(struct iovec) { copy->stage + UMBP_LOG_COPY, UMBP_LOG_BLOCK },
            sizeof (struct iovec));
    umbp_log_note_t note = copy->note;
    int rc = umbp_log_reserve (self, copy->drive, umbp_log_note_room (&note),
                               umbp_log_entry_bytes (&note), true, &copy->open, &note.place);
    if (rc < 0)                         //  That nothing can be written says nothing of what was read
        return rc == UMBP_ENOSPC ? rc : UMBP_EAGAIN;
    copy->placed = true;
    note.seq = self->segments[copy->open->segment].seq;
    uint8_t *head = copy->own[1].iov_base;
    memset (head, 0, UMBP_LOG_BLOCK);
    umbp_log_put_note (&note, copy->drive->id, head);
    copy->note = note;
    copy->note.key = head + UMBP_LOG_RECORD_BYTES;
    return 0;
}

//  A small one goes into a pack, whole
static void s_pack (umbp_log_t *self, umbp_log_request_t *copy)
{
    const uint8_t *data =
        copy->stage + copy->position % UMBP_LOG_BLOCK + umbp_log_note_data (&copy->note);
    int status = UMBP_ECHECKSUM;
    if (XXH3_64bits (data, copy->note.size) == copy->note.sum) {
        int rc = umbp_log_pack_move (self, copy->drive, &copy->note, data, copy->record);
        if (rc == 0) {
            self->segments[copy->segment].readers--;
            copy->kind = UMBP_LOG_REQUEST_NONE;
            return;
        }
        status = rc == UMBP_ENOSPC ? rc : UMBP_EAGAIN;
    }
    s_end_copy (self, copy, status);
}

//  A part was read: sum it, and write it to its place, but for the head, which comes last
static void s_write_part (umbp_log_t *self, umbp_log_request_t *copy)
{
    size_t skip = copy->done == 0 ? UMBP_LOG_BLOCK : 0, length = copy->own[0].iov_len;
    uint64_t base = umbp_log_base (self, copy->drive, copy->open->segment) + copy->note.place;
    uint64_t data_done = copy->done + skip - UMBP_LOG_BLOCK, left = copy->note.size - data_done;
    XXH3_64bits_update (copy->sum, copy->stage + skip, left < length - skip ? left : length - skip);
    copy->tag = 1;                      //  Writing
    uint64_t offset = base + copy->done + skip;
    copy->done += length;
    copy->iov[0] = (struct iovec) { copy->stage + skip, length - skip };
    umbp_log_pass ("copy");
    umbp_log_submit (self, copy, UMBP_LOG_OP_WRITE, offset, 1);
}

static void s_write_last (umbp_log_t *self, umbp_log_request_t *copy)
{
    uint64_t base = umbp_log_base (self, copy->drive, copy->open->segment) + copy->note.place;
    copy->tag = 2;
    copy->iov[0] =
        (struct iovec){ (uint8_t *) copy->note.key - UMBP_LOG_RECORD_BYTES, UMBP_LOG_BLOCK };
    umbp_log_pass ("copied");
    umbp_log_submit (self, copy, UMBP_LOG_OP_WRITE, base, 1);
}

void umbp_log_copied (umbp_log_t *self, umbp_log_request_t *copy)
{
    int status = umbp_log_status (copy->job.error);
    if (copy->job.error && copy->tag == 0)
        self->stats.io_errors++;
    else if (copy->job.error) {         //  The old one is as good as before
        umbp_log_fail (self, copy->drive, status);
        status = UMBP_EAGAIN;
    }
    copy->own[0].iov_len =
        copy->tag == 0 ? umbp_log_up (copy->position + copy->length, UMBP_LOG_BLOCK)
                             - (copy->position + copy->done) / UMBP_LOG_BLOCK * UMBP_LOG_BLOCK
                       : 0;
    if (copy->own[0].iov_len > UMBP_LOG_COPY)
        copy->own[0].iov_len = UMBP_LOG_COPY;       //  As it was asked for
    copy->own[0].iov_base = copy->stage;
    if (status == 0 && copy->tag == 0 && copy->done == 0)
        status = s_place (self, copy);
    if (status < 0)
        s_end_copy (self, copy, status);
    else if (copy->tag == 0 && umbp_log_slot (self, copy->record)->packed)
        s_pack (self, copy);
    else if (copy->tag == 0)
        s_write_part (self, copy);
    else if (copy->tag == 2)
        umbp_log_wait_disk (self, copy);
    else if (copy->done < copy->length)
        s_read_part (self, copy);
    else if (XXH3_64bits_digest (copy->sum) != copy->note.sum)
        s_end_copy (self, copy, UMBP_ECHECKSUM);
    else
        s_write_last (self, copy);
}

//  ------------------------------------------------------------------------------------------------
//  Step by step

static void s_empty (umbp_log_t *self, umbp_log_drive_t *drive)
{
    umbp_log_segment_t *segment = &self->segments[drive->victim];
    umbp_log_request_t *copy;
    for (int steps = 0;
         steps < STEPS_MAX && segment->first != UMBP_LOG_NONE
         && self->completions.count < EVENTS_WAITING_MAX && drive->clean_mark != UINT64_MAX;
         steps++) {
        uint32_t record = segment->first;
        umbp_log_slot_t *slot = umbp_log_slot (self, record);
        bool evicts = drive->evicts && !self->closing;      //  When it closes, nobody would hear of it
        if (evicts && !slot->kept)
            slot->kept = self->keep && self->keep (self->keep_arg, slot->item);
        if (evicts && !slot->kept)
            s_let_go (self, record, 0);
        else if ((self->clean_rate && self->budget <= 0) || !(copy = s_free_copy (self))
                 || (drive->state && self->now < drive->retry_at))
            break;
        else
            s_begin_copy (self, drive, record, copy);
    }
    if (drive->copies > 0 && segment->first == UMBP_LOG_NONE)
        umbp_log_flush_inner (self, drive);         //  No more will come to those that are packed
    if (drive->copies > 0)
        return;
    if (drive->clean_mark == UINT64_MAX) {
        drive->clean_mark = 0;
        drive->clean_at = self->now + GIVEN_UP_MS;
        s_stop (self, drive);
    } else if (segment->live_records == 0) {
        drive->phase = UMBP_LOG_CLEAN_SETTLE;
        drive->clean_mark = self->era++;            //  What comes later is not waited for
        umbp_log_flush_tombs (self, drive);
    }
}

static void s_overwrite (umbp_log_t *self, umbp_log_drive_t *drive)
{
    umbp_log_request_t *request = &drive->clean;
    request->kind = UMBP_LOG_REQUEST_CLEAN;
    request->drive = drive;
    request->iov = request->own;
    request->stage = aligned_alloc (UMBP_LOG_BLOCK, UMBP_LOG_BLOCK);
    assert (request->stage);
    umbp_log_head_t head = { drive->id, self->segments[drive->victim].seq,
                             drive->victim - drive->first, true };
    umbp_log_put_head (&head, request->stage);
    request->own[0] = (struct iovec) { request->stage, UMBP_LOG_BLOCK };
    drive->phase = UMBP_LOG_CLEAN_FREE;
    umbp_log_pass ("free");
    umbp_log_submit (self, request, UMBP_LOG_OP_WRITE, umbp_log_base (self, drive, drive->victim),
                     1);
}

static void s_want (umbp_log_t *self, umbp_log_drive_t *drive)
{
    drive->sync_wanted = true;
    drive->clean_need = drive->sync_started + 1;
    umbp_log_settle (self, drive);
}

static bool s_synced (umbp_log_t *self, umbp_log_drive_t *drive)
{
    if (drive->sync_failed >= drive->clean_need) {
        if (self->now >= drive->retry_at)
            s_want (self, drive);
        return false;
    }
    return drive->sync_ended >= drive->clean_need;
}

//  No room for tombstones but what this segment will give: they are written as soon as it does, and to wait would be for
//  ever. Until then those that it had are in memory only: if we die in that moment, what they are of is back, though it
//  was said to be past. They are written before anything is copied; so this needs a directory that had no room to
//  begin with, as after more was removed at once than a segment has room for the tombstones of.
static bool s_stuck (umbp_log_t *self, umbp_log_drive_t *drive)
{
    return umbp_log_flush_tombs (self, drive) == UMBP_ENOSPC && !umbp_log_buries (self, drive);
}

static void s_step (umbp_log_t *self, umbp_log_drive_t *drive)
{
    umbp_log_segment_t *segment = &self->segments[drive->victim];
    switch (drive->phase) {
    case UMBP_LOG_CLEAN_IDLE:
        if ((drive->state == 0 || self->now >= drive->retry_at)
            && (self->evict_left > 0 || self->now >= drive->clean_at))
            s_begin (self, drive);
        break;
    case UMBP_LOG_CLEAN_COPY: s_empty (self, drive); break;
    case UMBP_LOG_CLEAN_SETTLE:
        if (umbp_log_drive_is_past (self, drive, drive->clean_mark) || s_stuck (self, drive)) {
            drive->phase = UMBP_LOG_CLEAN_SYNC;
            s_want (self, drive);
        }
        break;
    case UMBP_LOG_CLEAN_SYNC:
        if (segment->readers == 0 && s_synced (self, drive))
            s_overwrite (self, drive);
        break;
    case UMBP_LOG_CLEAN_FREED:
        if (s_synced (self, drive)) {
            segment->state = UMBP_LOG_SEGMENT_FREE;
            segment->tableless = segment->worthless = false;
            drive->free_count++;
            drive->phase = UMBP_LOG_CLEAN_IDLE;
            umbp_log_pass ("freed");
            umbp_log_io_wake (self->io);            //  Who waited for room may try
        }
        break;
    default: break; //  Its job will end
    }
}

void umbp_log_clean (umbp_log_t *self)
{
    if (self->recovering)
        return;
    for (size_t index = 0; index < self->drive_count; index++) {
        umbp_log_drive_t *drive = &self->drives[index];
        bool idle = drive->phase == UMBP_LOG_CLEAN_IDLE;
        if (drive->read_only || (self->closing && (idle || drive->tomb_count == 0)))
            continue;                   //  At the end, for the room that tombstones need
        umbp_log_clean_phase_t before = drive->phase;
        s_step (self, drive);
        if (drive->phase != before && !self->closing)
            s_step (self, drive);
    }
}

void umbp_log_clean_ended (umbp_log_t *self, umbp_log_request_t *request)
{
    umbp_log_drive_t *drive = request->drive;
    if (drive->phase == UMBP_LOG_CLEAN_TABLE) {
        s_table_read (self, drive);
        return;
    }
    free (request->stage);
    request->stage = NULL;
    if (request->job.error) {           //  Once more, later
        umbp_log_fail (self, drive, umbp_log_status (request->job.error));
        drive->phase = UMBP_LOG_CLEAN_SYNC;
    } else
        drive->phase = UMBP_LOG_CLEAN_FREED;
    s_want (self, drive);
}

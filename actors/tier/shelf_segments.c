//  actors/tier/shelf_segments.c - a shelf's records and segments: what is there, what is removed, what leaves; see shelf.h
#include "actors/tier/shelf_self.h"

#include <czmq.h>
#include <errno.h>

#include "proto/error.h"

#define LOOKS_MAX 16384                 //  In vain, for one who wants room: segments, and records of theirs

//  ------------------------------------------------------------------------------------------------
//  Records

uint64_t umbp_shelf_at (const umbp_shelf_t *self, uint32_t record)
{
    return (uint64_t) umbp_shelf_slot (self, record)->turn << 32 | (record + 1);
}

static uint64_t s_room (uint32_t size, uint16_t key_size)
{
    umbp_log_note_t note = { .type = size > UMBP_LOG_PACKED_MAX ? UMBP_LOG_TYPE_LARGE
                                                                : UMBP_LOG_TYPE_PACKED,
                             .size = size, .key_size = key_size };
    return umbp_log_note_room (&note);
}

umbp_shelf_slot_t *umbp_shelf_find (const umbp_shelf_t *self, uint64_t at)
{
    uint32_t record = (uint32_t) at - 1;
    if (record / UMBP_SHELF_CHUNK >= self->chunk_count)
        return NULL;
    umbp_shelf_slot_t *slot = umbp_shelf_slot (self, record);
    return slot->used && slot->turn == at >> 32 ? slot : NULL;
}

static bool s_more_records (umbp_shelf_t *self)
{
    if (self->chunk_count == UMBP_SHELF_RECORDS_MAX / UMBP_SHELF_CHUNK)
        return false;
    uint32_t first = self->chunk_count * UMBP_SHELF_CHUNK;
    self->chunks[self->chunk_count++] = zmalloc (UMBP_SHELF_CHUNK * sizeof (umbp_shelf_slot_t));
    for (uint32_t index = UMBP_SHELF_CHUNK; index-- > 0;) {
        umbp_shelf_slot (self, first + index)->next = self->record_free;
        self->record_free = first + index;
    }
    return true;
}

//  So many records, and their bytes, came to a segment
static void s_count (umbp_shelf_t *self, const umbp_shelf_segment_t *home, int records,
                     int64_t bytes)
{
    uint64_t *count_p = home->owner ? &self->foreign_count : &self->record_count;
    uint64_t *bytes_p = home->owner ? &self->foreign_bytes : &self->live_bytes;
    *count_p += (uint64_t) records;
    *bytes_p += (uint64_t) bytes;
}

uint64_t umbp_shelf_add_record (umbp_shelf_t *self, uint32_t segment, const umbp_log_note_t *note,
                                uint32_t item)
{
    if (self->record_free == UMBP_SHELF_NONE && !s_more_records (self))
        return UINT64_MAX;
    uint32_t record = self->record_free;
    umbp_shelf_slot_t *slot = umbp_shelf_slot (self, record);
    umbp_shelf_segment_t *home = &self->segments[segment];
    self->record_free = slot->next;
    *slot = (umbp_shelf_slot_t){ .segment = segment,
                                 .prev = UMBP_SHELF_NONE,
                                 .next = home->first,
                                  .item = item, .place8 = (uint32_t) (note->place / 8),
                                  .size = note->size, .turn = slot->turn,
                                  .key_size = note->key_size, .used = true };
    if (home->first != UMBP_SHELF_NONE)
        umbp_shelf_slot (self, home->first)->prev = record;
    home->first = record;
    home->live++;
    home->live_bytes += s_room (note->size, note->key_size);
    s_count (self, home, 1, (int64_t) s_room (note->size, note->key_size));
    return umbp_shelf_at (self, record);
}

void umbp_shelf_drop_record (umbp_shelf_t *self, uint32_t record)
{
    umbp_shelf_slot_t *slot = umbp_shelf_slot (self, record);
    umbp_shelf_segment_t *home = &self->segments[slot->segment];
    if (slot->next != UMBP_SHELF_NONE)
        umbp_shelf_slot (self, slot->next)->prev = slot->prev;
    if (slot->prev != UMBP_SHELF_NONE)
        umbp_shelf_slot (self, slot->prev)->next = slot->next;
    else
        home->first = slot->next;
    home->live--;
    home->live_bytes -= s_room (slot->size, slot->key_size);
    s_count (self, home, -1, -(int64_t) s_room (slot->size, slot->key_size));
    slot->used = false;
    slot->turn++;
    slot->next = self->record_free;
    self->record_free = record;
}

void umbp_shelf_set_item (umbp_shelf_t *self, uint64_t at, uint32_t item)
{
    umbp_shelf_slot_t *slot = umbp_shelf_find (self, at);
    if (slot)
        slot->item = item;
}

bool umbp_shelf_where (const umbp_shelf_t *self, uint64_t at, umbp_shelf_where_t *where)
{
    const umbp_shelf_slot_t *slot = umbp_shelf_find (self, at);
    if (!slot)
        return false;
    const umbp_shelf_segment_t *segment = &self->segments[slot->segment];
    *where = (umbp_shelf_where_t){ .epoch = segment->epoch,
                                   .counter = segment->counter,
                                    .place = (uint64_t) slot->place8 * 8 };
    snprintf (where->node, sizeof where->node, "%s",
              segment->owner ? self->others[segment->owner] : self->node);
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  Segments

//  To the end of its chain: of ours the last one to leave
static void s_chain (umbp_shelf_t *self, uint32_t number)
{
    umbp_shelf_segment_t *segment = &self->segments[number];
    uint32_t *last = segment->owner ? &self->foreign : &self->newest;
    segment->newer = UMBP_SHELF_NONE;
    segment->older = *last;
    if (*last != UMBP_SHELF_NONE)
        self->segments[*last].newer = number;
    else if (segment->owner == 0)
        self->oldest = number;
    *last = number;
}

//  One of ours, as the first one to leave
static void s_chain_first (umbp_shelf_t *self, uint32_t number)
{
    umbp_shelf_segment_t *segment = &self->segments[number];
    segment->older = UMBP_SHELF_NONE;
    segment->newer = self->oldest;
    if (self->oldest != UMBP_SHELF_NONE)
        self->segments[self->oldest].older = number;
    else
        self->newest = number;
    self->oldest = number;
}

uint32_t umbp_shelf_add_segment (umbp_shelf_t *self, const umbp_shelf_segment_t *as)
{
    uint32_t number = self->segment_free;
    if (number != UMBP_SHELF_NONE)
        self->segment_free = self->segments[number].older;
    else {
        if (self->segment_count == self->segment_room) {
            self->segment_room = self->segment_room ? 2 * self->segment_room : 256;
            self->segments = realloc (self->segments, self->segment_room * sizeof *self->segments);
            assert (self->segments);
        }
        number = self->segment_count++;
    }
    umbp_shelf_segment_t *segment = &self->segments[number];
    *segment = *as;
    segment->first = UMBP_SHELF_NONE;
    s_chain (self, number);
    if (segment->owner == 0) {
        self->used_bytes += segment->bytes;
        self->stats.segments++;
    }
    return number;
}

uint32_t umbp_shelf_after (const umbp_shelf_t *self, uint32_t number)
{
    const umbp_shelf_segment_t *segment = &self->segments[number];
    if (segment->owner)
        return segment->older;
    return segment->newer == UMBP_SHELF_NONE ? self->foreign : segment->newer;
}

static uint32_t s_first (const umbp_shelf_t *self)
{
    return self->oldest == UMBP_SHELF_NONE ? self->foreign : self->oldest;
}

static void s_unchain (umbp_shelf_t *self, uint32_t number)
{
    umbp_shelf_segment_t *segment = &self->segments[number];
    if (segment->owner) {
        if (segment->newer != UMBP_SHELF_NONE)
            self->segments[segment->newer].older = segment->older;
        else
            self->foreign = segment->older;
        if (segment->older != UMBP_SHELF_NONE)
            self->segments[segment->older].newer = segment->newer;
        return;
    }
    if (segment->newer != UMBP_SHELF_NONE)
        self->segments[segment->newer].older = segment->older;
    else
        self->newest = segment->older;
    if (segment->older != UMBP_SHELF_NONE)
        self->segments[segment->older].newer = segment->newer;
    else
        self->oldest = segment->newer;
}

void umbp_shelf_rank (umbp_shelf_t *self, uint32_t number)
{
    umbp_shelf_segment_t *segment = &self->segments[number];
    if (segment->owner || segment->sparse || segment->gone_count == 0
        || segment->live_bytes * 4 >= segment->bytes)
        return;
    segment->sparse = true;
    s_unchain (self, number);
    s_chain_first (self, number);
}

//  When removals from it began to wait for the disk; 0: none do
static void s_set_dirty (umbp_shelf_t *self, umbp_shelf_segment_t *segment, int64_t since)
{
    self->dirty += (since != 0) - (segment->dirty_since != 0);
    segment->dirty_since = since;
}

//  What was removed from it before the last file about that was begun does not come back
static void s_set_safe (umbp_shelf_t *self, umbp_shelf_segment_t *segment)
{
    self->unsafe -= segment->unsafe != 0 && segment->unsafe_next == 0;
    segment->unsafe = segment->unsafe_next;
    segment->unsafe_next = 0;
}

char *umbp_shelf_name_of (const umbp_shelf_t *self, const umbp_shelf_segment_t *segment,
                          const char *suffix)
{
    char name[UMBP_SHELF_NAME_MAX];
    umbp_shelf_name (name, segment->owner ? self->others[segment->owner] : self->node,
                     segment->epoch, segment->counter, suffix);
    return strdup (name);
}

static void s_run_unlink (umbp_task_t *task)
{
    umbp_shelf_work_t *work = (umbp_shelf_work_t *) task;
    char gone[UMBP_SHELF_NAME_MAX];
    snprintf (gone, sizeof gone, "%.*s.gone", (int) (strlen (work->name) - 4), work->name);
    work->error = umbp_shelf_unlink (work->folder, work->name);
    if (work->error == 0)               //  Else what was removed is back when the power is lost
        work->error = umbp_shelf_settle_names (work->folder, work->mode);
    if (work->error == 0)               //  Not the other way round: its removals would come back
        umbp_shelf_unlink (work->folder, gone);
}

static void s_give_unlink (umbp_shelf_t *self, uint32_t number)
{
    umbp_shelf_work_t *work = umbp_shelf_work_new (UMBP_SHELF_UNLINK, 0);
    work->task.run = s_run_unlink;
    work->mode = self->args.mode;
    work->segment = number;
    work->name = umbp_shelf_name_of (self, &self->segments[number], "seg");
    umbp_shelf_give (self, work);
}

//  As many as may be; the others wait, so that readers and writers need not wait for all of them
static void s_delete_some (umbp_shelf_t *self)
{
    while (self->doomed != UMBP_SHELF_NONE && self->deletings < UMBP_SHELF_CHORES_MAX
           && !self->failed) {
        uint32_t number = self->doomed;
        self->doomed = self->segments[number].older;
        self->deletings++;
        s_give_unlink (self, number);
    }
}

static void s_doom (umbp_shelf_t *self, uint32_t number)
{
    self->segments[number].older = UMBP_SHELF_NONE;
    if (self->doomed == UMBP_SHELF_NONE)
        self->doomed = number;
    else
        self->segments[self->doomed_last].older = number;
    self->doomed_last = number;
}

//  A segment of which nothing is left for us: its number may be used again
static void s_forget (umbp_shelf_t *self, uint32_t number)
{
    free (self->segments[number].gone);
    self->segments[number] = (umbp_shelf_segment_t) { .older = self->segment_free };
    self->segment_free = number;
}

void umbp_shelf_settle (umbp_shelf_t *self, uint32_t number)
{
    umbp_shelf_segment_t *segment = &self->segments[number];
    if (segment->live > 0 || segment->deleting)
        return;
    if (segment->owner) {               //  Of another node: all there is to do is to say what was removed
        if (segment->readers == 0 && !segment->telling && segment->dirty_since == 0
            && !self->scan_segments) {  //  Else more of its records may come
            s_unchain (self, number);
            s_forget (self, number);
        }
        return;
    }
    if (!segment->going) {
        s_unchain (self, number);
        s_set_dirty (self, segment, 0);
        self->going_bytes += segment->bytes;
        self->going_count++;
        segment->going = true;
    }
    if (segment->readers > 0 || segment->telling)
        return;
    segment->deleting = true;
    s_doom (self, number);
    s_delete_some (self);
}

void umbp_shelf_delete_again (umbp_shelf_t *self)
{
    while (!self->failed && self->now >= self->again_at && self->again != UMBP_SHELF_NONE) {
        uint32_t number = self->again;
        self->again = self->segments[number].older;
        s_doom (self, number);
    }
    s_delete_some (self);
}

void umbp_shelf_deleted (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    umbp_shelf_segment_t *segment = &self->segments[work->segment];
    self->deletings--;
    umbp_shelf_heed (self, work);
    if (work->error) {
        segment->older = self->again;
        self->again = work->segment;
        self->again_at = self->now + self->args.deadline_ms;
    } else {
        s_set_safe (self, segment);
        self->used_bytes -= segment->bytes;
        self->going_bytes -= segment->bytes;
        self->going_count--;
        self->stats.segments--;
        s_forget (self, work->segment);
    }
    s_delete_some (self);
}

//  ------------------------------------------------------------------------------------------------
//  Removal

static int s_compare (const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *) one, b = *(const uint32_t *) other;
    return a < b ? -1 : a > b;
}

static void s_run_gone (umbp_task_t *task)
{
    umbp_shelf_work_t *work = (umbp_shelf_work_t *) task;
    work->error =
        umbp_shelf_put_file (work->folder, work->name, work->stage, work->stage_bytes, work->mode);
}

//  All that was removed from a segment goes to disk
static void s_tell (umbp_shelf_t *self, uint32_t number)
{
    umbp_shelf_segment_t *segment = &self->segments[number];
    qsort (segment->gone, segment->gone_count, sizeof *segment->gone, s_compare);
    umbp_shelf_work_t *work = umbp_shelf_work_new (UMBP_SHELF_GONE, 0);
    work->task.run = s_run_gone;
    work->segment = number;
    work->mode = self->args.mode;
    char suffix[17] = "gone";
    if (segment->owner) {
        char folder[UMBP_SHELF_PATH_MAX];
        snprintf (folder, sizeof folder, "%.820s/%.255s", self->directory,
                  self->others[segment->owner]);
        work->folder = work->path = strdup (folder);
        umbp_shelf_gone_suffix (suffix, self->node);
    }
    work->name = umbp_shelf_name_of (self, segment, suffix);
    work->stage =
        umbp_shelf_put_gone (segment->id, segment->gone, segment->gone_count, &work->stage_bytes);
    assert (work->stage);
    segment->telling = true;
    self->tellings++;
    s_set_dirty (self, segment, 0);
    self->stats.tombstones += segment->gone_count;
    umbp_shelf_give (self, work);
}

//  Of those whose time has come as many as may be, from where the last time ended
static void s_tell_some (umbp_shelf_t *self, int64_t now)
{
    uint32_t left = self->dirty > 0 && !self->failed ? self->segment_count : 0;
    for (; left > 0 && self->tellings < UMBP_SHELF_CHORES_MAX; left--) {
        uint32_t number = self->tell_next < self->segment_count ? self->tell_next : 0;
        const umbp_shelf_segment_t *segment = &self->segments[number];
        self->tell_next = number + 1;
        if (segment->dirty_since != 0 && !segment->telling
            && now - segment->dirty_since >= UMBP_LOG_REMOVE_MS)
            s_tell (self, number);
    }
    self->tell_more = left > 0;
}

void umbp_shelf_told (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    umbp_shelf_segment_t *segment = &self->segments[work->segment];
    self->tellings--;
    umbp_shelf_heed (self, work);
    segment->telling = false;
    if (segment->owner && work->error == ENOENT)
        work->error = 0;                //  Its folder is no more, and so is what was removed
    if (work->error == 0)
        s_set_safe (self, segment);
    segment->unsafe_next = 0;
    if (work->error && !segment->going && segment->dirty_since == 0)
        s_set_dirty (self, segment, self->now + self->args.deadline_ms);       //  Once more, later
    umbp_shelf_settle (self, work->segment);
    if (self->tell_more)
        s_tell_some (self, self->now);
}

bool umbp_shelf_tell_all (umbp_shelf_t *self, int64_t now)
{
    bool all = self->dirty == 0;
    s_tell_some (self, now);
    return all;
}

bool umbp_shelf_flush (umbp_shelf_t *self)
{
    return umbp_shelf_tell_all (self, self->now + UMBP_LOG_REMOVE_MS + self->args.deadline_ms);
}

int umbp_shelf_remove (umbp_shelf_t *self, uint64_t at)
{
    umbp_shelf_slot_t *slot = umbp_shelf_find (self, at);
    if (!slot)
        return UMBP_ENOENT;
    uint32_t number = slot->segment;
    umbp_shelf_segment_t *segment = &self->segments[number];
    if (segment->gone_count == segment->gone_room) {
        segment->gone_room = segment->gone_room ? 2 * segment->gone_room : 8;
        segment->gone = realloc (segment->gone, segment->gone_room * sizeof *segment->gone);
        assert (segment->gone);
    }
    segment->gone[segment->gone_count++] = slot->place8;
    self->removals++;
    if (segment->unsafe == 0)
        self->unsafe++, segment->unsafe = self->removals;
    else if (segment->telling && segment->unsafe_next == 0)
        segment->unsafe_next = self->removals;
    umbp_shelf_drop_record (self, (uint32_t) at - 1);
    if (segment->dirty_since == 0)
        s_set_dirty (self, segment, self->now ? self->now : 1);
    umbp_shelf_rank (self, number);
    umbp_shelf_settle (self, number);
    return 0;
}

uint64_t umbp_shelf_mark (umbp_shelf_t *self)
{
    for (uint32_t number = s_first (self); self->dirty > 0 && number != UMBP_SHELF_NONE;
         number = umbp_shelf_after (self, number)) {
        umbp_shelf_segment_t *segment = &self->segments[number];
        if (segment->dirty_since > 0 && segment->dirty_since <= self->now)
            segment->dirty_since = 1;   //  With the next tick; what failed keeps its time
    }
    return self->unsafe > 0 ? self->removals : 0;
}

bool umbp_shelf_is_past (const umbp_shelf_t *self, uint64_t mark)
{
    for (uint32_t number = 0; self->unsafe > 0 && number < self->segment_count; number++)
        if (self->segments[number].unsafe && self->segments[number].unsafe <= mark)
            return false;
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  Eviction

void umbp_shelf_set_keep (umbp_shelf_t *self, umbp_medium_keep_fn *keep, void *arg)
{
    self->keep = keep;
    self->keep_arg = arg;
}

//  Is anything of it wanted? What that cost is taken from looks.
static bool s_is_kept (const umbp_shelf_t *self, const umbp_shelf_segment_t *segment,
                       uint32_t *looks_p)
{
    bool kept = false;
    uint32_t looks = 1;
    for (uint32_t record = segment->first; self->keep && !kept && record != UMBP_SHELF_NONE;
         record = umbp_shelf_slot (self, record)->next, looks++)
        kept = self->keep (self->keep_arg, umbp_shelf_slot (self, record)->item);
    if (kept)
        *looks_p -= looks < *looks_p ? looks : *looks_p;
    return kept;
}

//  The first one, if little is left of it or nobody wants any of it. Who asks makes the next answer no: so one that is
//  wanted goes to the end, and is not asked again before all others were. If all are wanted, or there were too many
//  looks in vain, the first one as well.
static uint32_t s_victim (umbp_shelf_t *self, uint32_t *looks_p)
{
    for (uint64_t left = self->stats.segments - self->going_count; left > 0 && *looks_p > 0;
         left--) {
        uint32_t number = self->oldest;
        const umbp_shelf_segment_t *segment = &self->segments[number];
        if (segment->sparse || !s_is_kept (self, segment, looks_p))
            break;
        s_unchain (self, number);
        s_chain (self, number);
    }
    return self->oldest;
}

//  A segment and all of its blocks leave. Returns the bytes of these.
static uint64_t s_let_go (umbp_shelf_t *self, uint32_t number)
{
    uint64_t bytes = self->segments[number].live_bytes;
    while (self->segments[number].first != UMBP_SHELF_NONE) {
        uint32_t record = self->segments[number].first;
        uint64_t at = umbp_shelf_at (self, record);
        uint32_t item = umbp_shelf_slot (self, record)->item;
        umbp_shelf_drop_record (self, record);
        if (item != UMBP_SHELF_NONE)
            umbp_shelf_say (self, UMBP_MEDIUM_LEFT, 0, item, 0, at);
    }
    umbp_shelf_settle (self, number);
    return bytes;
}

//  While the file system is full of what others have, nothing is won by letting go of ours
void umbp_shelf_evict (umbp_shelf_t *self, uint64_t bytes)
{
    uint64_t left = 0;
    uint32_t looks = LOOKS_MAX;
    if (self->failed || self->now < self->full_until)
        return;
    while (left < bytes && self->oldest != UMBP_SHELF_NONE)
        left += s_let_go (self, s_victim (self, &looks));
}

uint64_t umbp_shelf_evicting (const umbp_shelf_t *self)
{
    (void) self;
    return 0;
}

void umbp_shelf_make_room (umbp_shelf_t *self, uint64_t bytes)
{
    uint32_t looks = LOOKS_MAX;
    while ((self->used_bytes - self->going_bytes + bytes > self->args.capacity_bytes
            || self->stats.segments - self->going_count >= umbp_shelf_segments_most (self))
           && self->oldest != UMBP_SHELF_NONE)
        s_let_go (self, s_victim (self, &looks));
}

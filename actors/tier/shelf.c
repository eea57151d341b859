//  actors/tier/shelf.c - a shelf: its records and segments, what leaves, its time; see shelf.h
#include "actors/tier/shelf_self.h"

#include <czmq.h>
#include <errno.h>

#include "proto/error.h"

#define ENDED_MAX 256                   //  Tasks in a turn

//  ------------------------------------------------------------------------------------------------
//  Records

static uint64_t s_at (const umbp_shelf_t *self, uint32_t record)
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
    self->live_bytes += s_room (note->size, note->key_size);
    self->record_count++;
    return s_at (self, record);
}

static void s_drop_record (umbp_shelf_t *self, uint32_t record)
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
    self->live_bytes -= s_room (slot->size, slot->key_size);
    slot->used = false;
    slot->turn++;
    slot->next = self->record_free;
    self->record_free = record;
    self->record_count--;
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
    snprintf (where->node, sizeof where->node, "%s", self->node);
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  Segments

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
    segment->first = segment->newer = UMBP_SHELF_NONE;
    segment->older = self->newest;
    if (self->newest != UMBP_SHELF_NONE)
        self->segments[self->newest].newer = number;
    else
        self->oldest = number;
    self->newest = number;
    self->used_bytes += segment->bytes;
    self->stats.segments++;
    return number;
}

static void s_unchain (umbp_shelf_t *self, uint32_t number)
{
    umbp_shelf_segment_t *segment = &self->segments[number];
    if (segment->newer != UMBP_SHELF_NONE)
        self->segments[segment->newer].older = segment->older;
    else
        self->newest = segment->older;
    if (segment->older != UMBP_SHELF_NONE)
        self->segments[segment->older].newer = segment->newer;
    else
        self->oldest = segment->newer;
}

//  When removals from it began to wait for the disk; 0: none do
static void s_set_dirty (umbp_shelf_t *self, umbp_shelf_segment_t *segment, int64_t since)
{
    self->dirty += (since != 0) - (segment->dirty_since != 0);
    segment->dirty_since = since;
}

static char *s_name_of (const umbp_shelf_t *self, const umbp_shelf_segment_t *segment,
                        const char *suffix)
{
    char name[UMBP_SHELF_NAME_MAX];
    umbp_shelf_name (name, self->node, segment->epoch, segment->counter, suffix);
    return strdup (name);
}

static void s_run_unlink (umbp_task_t *task)
{
    umbp_shelf_work_t *work = (umbp_shelf_work_t *) task;
    char gone[UMBP_SHELF_NAME_MAX];
    snprintf (gone, sizeof gone, "%.*s.gone", (int) (strlen (work->name) - 4), work->name);
    work->error = umbp_shelf_unlink (work->folder, work->name);
    if (work->error == 0)               //  Not the other way round: its removals would come back
        umbp_shelf_unlink (work->folder, gone);
}

static void s_delete (umbp_shelf_t *self, uint32_t number)
{
    umbp_shelf_work_t *work = umbp_shelf_work_new (UMBP_SHELF_UNLINK, 0);
    work->task.run = s_run_unlink;
    work->segment = number;
    work->name = s_name_of (self, &self->segments[number], "seg");
    umbp_shelf_give (self, work);
}

void umbp_shelf_settle (umbp_shelf_t *self, uint32_t number)
{
    umbp_shelf_segment_t *segment = &self->segments[number];
    if (segment->live > 0 || segment->deleting)
        return;
    if (!segment->going) {
        s_unchain (self, number);
        s_set_dirty (self, segment, 0);
        self->going_bytes += segment->bytes;
        segment->going = true;
    }
    if (segment->readers > 0 || segment->telling)
        return;
    segment->deleting = true;
    s_delete (self, number);
}

//  What could not be deleted is tried again: its blocks would come back with the next start
static void s_delete_again (umbp_shelf_t *self)
{
    if (self->failed || self->now < self->again_at)
        return;
    uint32_t number = self->again;
    self->again = UMBP_SHELF_NONE;
    while (number != UMBP_SHELF_NONE) {
        uint32_t next = self->segments[number].older;
        s_delete (self, number);
        number = next;
    }
}

static void s_deleted (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    umbp_shelf_segment_t *segment = &self->segments[work->segment];
    umbp_shelf_heed (self, work->error);
    if (work->error) {
        segment->older = self->again;
        self->again = work->segment;
        self->again_at = self->now + UMBP_SHELF_RETRY_MS;
        return;
    }
    self->used_bytes -= segment->bytes;
    self->going_bytes -= segment->bytes;
    self->stats.segments--;
    free (segment->gone);
    *segment = (umbp_shelf_segment_t) { .older = self->segment_free };
    self->segment_free = work->segment;
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
    work->name = s_name_of (self, segment, "gone");
    work->stage =
        umbp_shelf_put_gone (segment->id, segment->gone, segment->gone_count, &work->stage_bytes);
    assert (work->stage);
    segment->telling = true;
    s_set_dirty (self, segment, 0);
    self->stats.tombstones += segment->gone_count;
    umbp_shelf_give (self, work);
}

static void s_told (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    umbp_shelf_segment_t *segment = &self->segments[work->segment];
    umbp_shelf_heed (self, work->error);
    segment->telling = false;
    if (work->error && !segment->going && segment->dirty_since == 0)
        s_set_dirty (self, segment, self->now + UMBP_SHELF_RETRY_MS);       //  Once more, later
    umbp_shelf_settle (self, work->segment);
}

//  Those whose time has come. Returns true if nothing was left over.
static bool s_tell_all (umbp_shelf_t *self, int64_t now)
{
    bool all = self->dirty == 0;
    for (uint32_t number = self->oldest; !all && number != UMBP_SHELF_NONE && !self->failed;
         number = self->segments[number].newer) {
        umbp_shelf_segment_t *segment = &self->segments[number];
        if (segment->dirty_since == 0)
            continue;
        if (!segment->telling && now - segment->dirty_since >= UMBP_LOG_REMOVE_MS)
            s_tell (self, number);
    }
    return all;
}

bool umbp_shelf_flush (umbp_shelf_t *self)
{
    return s_tell_all (self, self->now + UMBP_LOG_REMOVE_MS + UMBP_SHELF_RETRY_MS);
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
    s_drop_record (self, (uint32_t) at - 1);
    if (segment->dirty_since == 0)
        s_set_dirty (self, segment, self->now ? self->now : 1);
    umbp_shelf_settle (self, number);
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  Eviction

void umbp_shelf_set_keep (umbp_shelf_t *self, umbp_log_keep_fn *keep, void *arg)
{
    self->keep = keep;
    self->keep_arg = arg;
}

static bool s_is_kept (const umbp_shelf_t *self, const umbp_shelf_segment_t *segment)
{
    for (uint32_t record = segment->first; self->keep && record != UMBP_SHELF_NONE;
         record = umbp_shelf_slot (self, record)->next)
        if (self->keep (self->keep_arg, umbp_shelf_slot (self, record)->item))
            return true;
    return false;
}

//  The oldest of which less than a quarter is left; else the oldest of which nobody wants anything; else the oldest
static uint32_t s_victim (const umbp_shelf_t *self)
{
    uint32_t best = UMBP_SHELF_NONE;
    for (uint32_t number = self->oldest; number != UMBP_SHELF_NONE;
         number = self->segments[number].newer) {
        const umbp_shelf_segment_t *segment = &self->segments[number];
        if (segment->live_bytes * 4 < segment->bytes && segment->gone_count > 0)
            return number;
        if (best == UMBP_SHELF_NONE && !s_is_kept (self, segment))
            best = number;
    }
    return best != UMBP_SHELF_NONE ? best : self->oldest;
}

//  A segment and all of its blocks leave. Returns the bytes of these.
static uint64_t s_let_go (umbp_shelf_t *self, uint32_t number)
{
    uint64_t bytes = self->segments[number].live_bytes;
    while (self->segments[number].first != UMBP_SHELF_NONE) {
        uint32_t record = self->segments[number].first;
        uint64_t at = s_at (self, record);
        uint32_t item = umbp_shelf_slot (self, record)->item;
        s_drop_record (self, record);
        if (item != UMBP_SHELF_NONE)
            umbp_shelf_say (self, UMBP_LOG_LEFT, 0, item, 0, at);
    }
    umbp_shelf_settle (self, number);
    return bytes;
}

//  While the file system is full of what others have, nothing is won by letting go of ours
void umbp_shelf_evict (umbp_shelf_t *self, uint64_t bytes)
{
    uint64_t left = 0;
    if (self->failed || self->now < self->full_until)
        return;
    while (left < bytes && self->oldest != UMBP_SHELF_NONE)
        left += s_let_go (self, s_victim (self));
}

void umbp_shelf_make_room (umbp_shelf_t *self, uint64_t bytes)
{
    while (self->used_bytes - self->going_bytes + bytes > self->args.capacity_bytes
           && self->oldest != UMBP_SHELF_NONE)
        s_let_go (self, s_victim (self));
}

//  ------------------------------------------------------------------------------------------------
//  Tasks

umbp_shelf_work_t *umbp_shelf_work_new (umbp_shelf_kind_t kind, unsigned iov_count)
{
    umbp_shelf_work_t *work =
        zmalloc (sizeof (umbp_shelf_work_t) + iov_count * sizeof (struct iovec));
    work->kind = kind;
    work->count = iov_count;
    return work;
}

void umbp_shelf_work_free (umbp_shelf_work_t *work)
{
    free (work->stage);
    free (work->path);
    free (work->name);
    free (work);
}

void umbp_shelf_give (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    work->folder = self->folder;
    work->given = true;
    self->works++;
    umbp_hands_give (self->hands, &work->task);
}

static void s_run_probe (umbp_task_t *task)
{
    umbp_shelf_work_t *work = (umbp_shelf_work_t *) task;
    work->error = umbp_shelf_probe (work->folder);
}

static void s_probe (umbp_shelf_t *self)
{
    if (!self->failed || self->probing || self->now - self->probed_at < UMBP_SHELF_RETRY_MS)
        return;
    umbp_shelf_work_t *work = umbp_shelf_work_new (UMBP_SHELF_PROBE, 0);
    work->task.run = s_run_probe;
    self->probing = true;
    self->probed_at = self->now;
    umbp_shelf_give (self, work);
}

static void s_probed (umbp_shelf_t *self, const umbp_shelf_work_t *work)
{
    self->probing = false;
    if (work->error == 0)
        self->failed = false;
}

//  A task is back
static void s_ended (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    self->works--;
    work->given = false;
    work->ended = true;
    switch (work->kind) {
    case UMBP_SHELF_OPEN:
    case UMBP_SHELF_WRITE:
    case UMBP_SHELF_PUBLISH:
    case UMBP_SHELF_DISCARD: umbp_shelf_wrote (self, work); return;
    case UMBP_SHELF_READ:
    case UMBP_SHELF_LIST: umbp_shelf_read_ended (self, work); return;
    case UMBP_SHELF_GONE: s_told (self, work); break;
    case UMBP_SHELF_UNLINK: s_deleted (self, work); break;
    case UMBP_SHELF_PROBE: s_probed (self, work); break;
    }
    umbp_shelf_work_free (work);
}

//  Its time is over. One that no thread had is ours again; the others come back, or never.
static void s_late (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    self->stats.timeouts++;
    if (work->task.begun && !self->failed) {
        self->failed = true;
        self->failed_at = self->probed_at = self->now;
    }
    switch (work->kind) {
    case UMBP_SHELF_OPEN:
    case UMBP_SHELF_WRITE:
    case UMBP_SHELF_PUBLISH: umbp_shelf_write_late (self, work); break;
    case UMBP_SHELF_READ:
    case UMBP_SHELF_LIST: umbp_shelf_read_late (self, work); break;
    default: break;
    }
    if (!work->task.begun) {
        work->error = work->error ? work->error : ETIMEDOUT;
        s_ended (self, work);
    }
}

static void s_reap (umbp_shelf_t *self)
{
    umbp_task_t *task;
    int count = 0;
    for (; count < ENDED_MAX && (task = umbp_hands_take (self->hands)); count++)
        s_ended (self, (umbp_shelf_work_t *) task);
    if (count == ENDED_MAX)
        umbp_hands_wake (self->hands);  //  There may be more
}

void umbp_shelf_tick (umbp_shelf_t *self, int64_t now_ms)
{
    self->now = now_ms;
    umbp_task_t *task;
    while ((task = umbp_hands_overdue (self->hands, now_ms, self->args.deadline_ms)))
        s_late (self, (umbp_shelf_work_t *) task);
    if (self->open && now_ms - self->open->since >= UMBP_SHELF_CLOSE_MS)
        umbp_shelf_close_batch (self);
    s_tell_all (self, now_ms);
    umbp_shelf_go_on_all (self);
    s_delete_again (self);
    s_probe (self);
}

//  ------------------------------------------------------------------------------------------------
//  Events, and what it knows of itself

void umbp_shelf_say (umbp_shelf_t *self, umbp_log_event_type_t type, int status, uint32_t item,
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
        umbp_hands_wake (self->hands);
}

int umbp_shelf_fd (umbp_shelf_t *self)
{
    return umbp_hands_fd (self->hands);
}

bool umbp_shelf_event (umbp_shelf_t *self, umbp_log_event_t *event)
{
    if (self->event_count == 0) {
        umbp_hands_clear (self->hands);
        s_reap (self);
    }
    if (self->event_count == 0)
        return false;
    *event = self->events[self->event_first];
    self->event_first = (self->event_first + 1) % self->event_room;
    self->event_count--;
    return true;
}

int umbp_shelf_status (int error)
{
    switch (error) {
    case 0: return 0;
    case EBADMSG: return UMBP_ECHECKSUM;
    case ENOENT: return UMBP_ENOENT;
    case ESTALE: return UMBP_ESTALE;
    case ETIMEDOUT: return UMBP_EUNREACH;            //  Of a soft mount
    case EINVAL: return UMBP_EINVAL;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return UMBP_ENOSPC;
    case EROFS:
    case EACCES:
    case EPERM: return UMBP_EDENIED;
    default: return UMBP_EIO;
    }
}

void umbp_shelf_heed (umbp_shelf_t *self, int error)
{
    int status = umbp_shelf_status (error);
    if (status == 0 || status == UMBP_ECHECKSUM || status == UMBP_ENOENT)
        return;
    self->stats.io_errors++;
    if (status == UMBP_ENOSPC)
        self->full_until = self->now + UMBP_SHELF_FULL_MS;
    else {
        self->bad_until = self->now + UMBP_SHELF_RETRY_MS;
        self->bad_state = status == UMBP_EDENIED ? status : UMBP_EIO;
    }
}

int umbp_shelf_state (const umbp_shelf_t *self)
{
    return self->failed                        ? UMBP_EIO
           : self->now < self->bad_until       ? self->bad_state
           : self->now < self->full_until      ? UMBP_ENOSPC
                                          : 0;
}

umbp_log_stats_t umbp_shelf_stats (const umbp_shelf_t *self)
{
    umbp_log_stats_t stats = self->stats;
    stats.capacity = self->args.capacity_bytes;
    stats.records = self->record_count;
    stats.live_bytes = self->live_bytes;
    stats.dead_bytes = self->used_bytes - self->live_bytes;
    stats.waiting = self->works;
    stats.engine = "files";
    stats.state = umbp_shelf_state (self);
    return stats;
}

const char *umbp_shelf_mount (const umbp_shelf_t *self)
{
    return self->mount;
}

unsigned umbp_shelf_hanging (const umbp_shelf_t *self)
{
    return umbp_hands_lost (self->hands);
}

//  actors/tier/log_recover.c - the segment log at start: what is there, and where to go on
//
//  A sealed segment is known by its table. One without (the last ones before a crash) is read whole, and only what
//  matches its sums counts; then it gets a table. What tombstones name is left out, and of one key the newest record
//  counts; older ones get tombstones, so that they stay away when the newest goes. Last, the newest segment with room
//  left is taken up again: its trailer is wiped first, so that a crash has it read whole.
#include "actors/tier/log_self.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "proto/error.h"

#define THREADS 8
#define WINDOW (4 << 20)                //  Of a scan
#define GOES_ON_SHARE 16                //  A segment is taken up again if 1/16 of it is left

//  What was read of one segment
typedef struct {
    bool used, bad, scanned, damaged;   //  damaged: its head or trailer is not what it was
    uint64_t seq, tail, entries, torn;
    uint8_t *table;
    size_t table_used, table_room;
    umbp_log_tomb_t *tombs;
    size_t tomb_count, tomb_room;
} loaded_t;

typedef struct {
    umbp_log_t *self;
    loaded_t *loaded;                   //  Of all segments
    atomic_uint next;
} loader_t;

//  A window on a segment, for scans
typedef struct {
    int file;
    uint64_t base, segment_bytes;
    uint8_t *bytes;
    uint64_t first;
    size_t length;
    loaded_t *loaded;
} window_t;

static bool s_read (int file, uint8_t *out, size_t bytes, uint64_t offset)
{
    while (bytes > 0) {
        ssize_t got = pread (file, out, bytes, (off_t) offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || got % 512)
            return false;
        out += got;
        offset += (uint64_t) got;
        bytes -= (size_t) got;
    }
    return true;
}

static uint8_t *s_aligned (size_t bytes)
{
    uint8_t *memory =
        aligned_alloc (UMBP_LOG_BLOCK, umbp_log_up (bytes ? bytes : 1, UMBP_LOG_BLOCK));
    assert (memory);
    return memory;
}

static bool s_all_zero (const uint8_t *bytes, size_t size)
{
    for (size_t index = 0; index < size; index++)
        if (bytes[index])
            return false;
    return true;
}

bool umbp_log_read_super (int file, umbp_log_super_t *super, bool *blank_p)
{
    uint8_t *blocks = s_aligned (UMBP_LOG_SUPER_BYTES);
    memset (blocks, 0, UMBP_LOG_SUPER_BYTES);
    bool there = s_read (file, blocks, UMBP_LOG_SUPER_BYTES, 0);
    bool empty = lseek (file, 0, SEEK_END) == 0;
    bool found = there
                 && (umbp_log_get_super (super, blocks)
                     || umbp_log_get_super (super, blocks + UMBP_LOG_BLOCK));
    *blank_p = empty || (there && s_all_zero (blocks, UMBP_LOG_SUPER_BYTES));
    free (blocks);
    return found;
}

//  ------------------------------------------------------------------------------------------------
//  One segment

static void s_keep_note (void *arg, const umbp_log_note_t *note)
{
    loaded_t *loaded = ((window_t *) arg)->loaded;
    size_t bytes = umbp_log_entry_bytes (note);
    while (loaded->table_used + bytes > loaded->table_room) {
        loaded->table_room = loaded->table_room ? 2 * loaded->table_room : 4096;
        loaded->table = realloc (loaded->table, loaded->table_room);
        assert (loaded->table);
    }
    umbp_log_put_entry (note, loaded->table + loaded->table_used);
    loaded->table_used += bytes;
    loaded->entries++;
}

static void s_keep_tomb (void *arg, const umbp_log_tomb_t *tomb)
{
    loaded_t *loaded = ((window_t *) arg)->loaded;
    umbp_log_note_t note = { .type = UMBP_LOG_TYPE_TOMBS,
                             .serial = tomb->seq,
                             .size = tomb->segment,
                             .place = tomb->place8 };
    if (loaded->tomb_count == loaded->tomb_room) {
        loaded->tomb_room = loaded->tomb_room ? 2 * loaded->tomb_room : 256;
        loaded->tombs = realloc (loaded->tombs, loaded->tomb_room * sizeof *tomb);
        assert (loaded->tombs);
    }
    loaded->tombs[loaded->tomb_count++] = *tomb;
    s_keep_note (arg, &note);
}

static const uint8_t *s_fetch (void *arg, uint64_t offset, size_t length, size_t *got_p)
{
    window_t *window = arg;
    if (offset < window->first || offset >= window->first + window->length) {
        window->first = offset / UMBP_LOG_BLOCK * UMBP_LOG_BLOCK;
        uint64_t left = window->segment_bytes - window->first;
        window->length = left < WINDOW ? left : WINDOW;
        if (!s_read (window->file, window->bytes, window->length, window->base + window->first)) {
            window->length = UMBP_LOG_BLOCK;        //  As far as it can be read
            if (!s_read (window->file, window->bytes, window->length,
                         window->base + window->first)) {
                window->length = 0;
                return NULL;
            }
        }
    }
    size_t got = window->first + window->length - offset;
    *got_p = got < length ? got : length;
    return window->bytes + (offset - window->first);
}

static void s_scan (window_t *window, uint64_t id)
{
    loaded_t *loaded = window->loaded;
    window->bytes = s_aligned (WINDOW);
    window->length = 0;
    loaded->scanned = true;
    loaded->table_used = loaded->entries = loaded->tomb_count = 0;
    loaded->tail = umbp_log_scan (id, loaded->seq, window->segment_bytes, s_fetch, s_keep_note,
                                  s_keep_tomb, window, &loaded->torn);
    free (window->bytes);
}

//  The head is damaged and there is no trailer: the newest use that any block speaks of
static uint64_t s_newest_seq (window_t *window, uint64_t id)
{
    uint64_t newest = 0;
    window->bytes = s_aligned (WINDOW);
    window->length = 0;
    for (uint64_t at = UMBP_LOG_BLOCK; at + UMBP_LOG_BLOCK <= window->segment_bytes;
         at += UMBP_LOG_BLOCK) {
        size_t got;
        const uint8_t *bytes = s_fetch (window, at, UMBP_LOG_BLOCK, &got);
        umbp_log_note_t note;
        uint64_t seq;
        if (!bytes)
            continue;
        memcpy (&seq, bytes + 8, sizeof seq);       //  It is believed if the head's sum matches
        if (seq > newest
            && umbp_log_get_note (&note, bytes, got, id, seq, at, window->segment_bytes))
            newest = seq;
    }
    free (window->bytes);
    return newest;
}

static bool s_load_table (window_t *window, const umbp_log_trailer_t *trailer)
{
    uint8_t *table = s_aligned (trailer->table_bytes);
    uint64_t end = window->base + window->segment_bytes - UMBP_LOG_BLOCK;
    bool good = s_read (window->file, table, trailer->table_bytes, end - trailer->table_bytes)
                && umbp_log_walk_table (trailer, table, window->segment_bytes, s_keep_note,
                                        s_keep_tomb, window);
    free (table);
    window->loaded->tail = trailer->tail;
    return good;
}

static void s_load (loader_t *loader, uint32_t index)
{
    umbp_log_t *self = loader->self;
    umbp_log_drive_t *drive = umbp_log_drive_of (self, index);
    loaded_t *loaded = &loader->loaded[index];
    window_t window = { .file = drive->file,
                        .base = umbp_log_base (self, drive, index),
                        .segment_bytes = self->segment_bytes, .loaded = loaded };
    uint8_t *blocks = s_aligned (2 * UMBP_LOG_BLOCK);
    bool has_head = s_read (drive->file, blocks, UMBP_LOG_BLOCK, window.base);
    bool has_end = s_read (drive->file, blocks + UMBP_LOG_BLOCK, UMBP_LOG_BLOCK,
                           window.base + self->segment_bytes - UMBP_LOG_BLOCK);
    bool blank = has_head && s_all_zero (blocks, UMBP_LOG_BLOCK);
    umbp_log_head_t head;
    umbp_log_trailer_t trailer;
    bool headed = has_head && umbp_log_get_head (&head, blocks, drive->id)
                  && head.index == index - drive->first;
    bool sealed =
        has_end
        && umbp_log_get_trailer (&trailer, blocks + UMBP_LOG_BLOCK, drive->id, self->segment_bytes)
        && trailer.index == index - drive->first;
    free (blocks);
    if (headed) {
        loaded->seq = head.seq;
        loaded->used = !head.free;
        sealed = sealed && trailer.seq == head.seq;
    } else if (!blank) {                //  Read all of it, rather than lose it
        loaded->damaged = true;
        loaded->seq = s_newest_seq (&window, drive->id);
        if (loaded->seq == 0 && sealed)
            loaded->seq = trailer.seq;
        sealed = false;
        loaded->used = loaded->seq != 0;
        loaded->bad = !has_head;
    }
    if (!loaded->used)
        return;
    if (sealed && s_load_table (&window, &trailer))
        return;
    loaded->damaged = loaded->damaged || sealed;
    s_scan (&window, drive->id);
}

static void *s_thread (void *arg)
{
    loader_t *loader = arg;
    for (;;) {
        uint32_t index = atomic_fetch_add (&loader->next, 1);
        if (index >= loader->self->segment_count)
            return NULL;
        s_load (loader, index);
    }
}

static void s_load_all (loader_t *loader)
{
    pthread_t threads[THREADS];
    size_t count = 0;
    size_t wanted = loader->self->segment_count < THREADS ? loader->self->segment_count : THREADS;
    while (count + 1 < wanted && pthread_create (&threads[count], NULL, s_thread, loader) == 0)
        count++;
    s_thread (loader);
    for (size_t index = 0; index < count; index++)
        pthread_join (threads[index], NULL);
}

//  ------------------------------------------------------------------------------------------------
//  What counts

typedef struct {
    uint64_t seq;
    uint32_t segment, place8;           //  Of the log's segments
} grave_t;

typedef struct {
    XXH128_hash_t key;
    uint64_t serial;
    const uint8_t *entry;               //  NULL: none
    uint32_t segment;
} winner_t;

typedef struct {
    umbp_log_t *self;
    grave_t *graves;
    size_t grave_count, grave_mask;
    winner_t *winners;
    size_t winner_count, winner_mask;
} merge_t;

static size_t s_power (size_t least)
{
    size_t power = 16;
    while (power < least)
        power *= 2;
    return power;
}

static size_t s_grave_hash (uint32_t segment, uint32_t place8, uint64_t seq)
{
    const uint64_t words[] = { (uint64_t) segment << 32 | place8, seq };
    return XXH3_64bits (words, sizeof words);
}

static bool s_buried (const merge_t *merge, uint32_t segment, uint32_t place8, uint64_t seq)
{
    size_t at = s_grave_hash (segment, place8, seq) & merge->grave_mask;
    for (; merge->graves[at].seq; at = (at + 1) & merge->grave_mask)
        if (merge->graves[at].seq == seq && merge->graves[at].segment == segment
            && merge->graves[at].place8 == place8)
            return true;
    return false;
}

static void s_collect_graves (merge_t *merge, const loaded_t *loaded)
{
    umbp_log_t *self = merge->self;
    size_t count = 0;
    for (uint32_t index = 0; index < self->segment_count; index++)
        count += loaded[index].tomb_count;
    merge->grave_mask = s_power (2 * count) - 1;
    merge->graves = zmalloc ((merge->grave_mask + 1) * sizeof (grave_t));
    for (uint32_t index = 0; index < self->segment_count; index++) {
        umbp_log_drive_t *drive = umbp_log_drive_of (self, index);
        for (size_t one = 0; one < loaded[index].tomb_count; one++) {
            const umbp_log_tomb_t *tomb = &loaded[index].tombs[one];
            uint32_t segment = drive->first + tomb->segment;
            if (tomb->segment >= drive->count || tomb->seq == 0 || loaded[segment].seq != tomb->seq
                || s_buried (merge, segment, tomb->place8, tomb->seq))
                continue;
            size_t at = s_grave_hash (segment, tomb->place8, tomb->seq) & merge->grave_mask;
            while (merge->graves[at].seq)
                at = (at + 1) & merge->grave_mask;
            merge->graves[at] = (grave_t) { tomb->seq, segment, tomb->place8 };
        }
    }
}

//  An entry of ours: it is sound, for it was walked, or written by us
static void s_entry (umbp_log_note_t *note, const uint8_t *entry)
{
    memcpy (&note->place, entry, 8);
    memcpy (&note->serial, entry + 8, 8);
    memcpy (&note->sum, entry + 16, 8);
    memcpy (&note->size, entry + 24, 4);
    memcpy (&note->key_size, entry + 28, 2);
    memcpy (&note->depth, entry + 30, 2);
    note->type = entry[32];
    note->replicas = entry[33];
    note->key = entry + UMBP_LOG_ENTRY_BYTES;
}

//  Of two records of a key the newer one wins, and the other one gets a tombstone
static void s_enter (merge_t *merge, uint32_t segment, const uint8_t *entry)
{
    umbp_log_note_t note;
    s_entry (&note, entry);
    winner_t own = { XXH3_128bits (note.key, note.key_size), note.serial, entry, segment };
    size_t at = own.key.low64 & merge->winner_mask;
    for (; merge->winners[at].entry; at = (at + 1) & merge->winner_mask)
        if (XXH128_isEqual (merge->winners[at].key, own.key)) {
            winner_t loser = own;
            if (own.serial > merge->winners[at].serial) {
                loser = merge->winners[at];
                merge->winners[at] = own;
            }
            s_entry (&note, loser.entry);
            umbp_log_bury (merge->self, loser.segment, (uint32_t) (note.place / 8));
            return;
        }
    merge->winners[at] = own;
    merge->winner_count++;
}

static void s_elect (merge_t *merge, const loaded_t *loaded)
{
    umbp_log_t *self = merge->self;
    uint64_t entries = 0;
    for (uint32_t index = 0; index < self->segment_count; index++)
        entries += loaded[index].entries;
    merge->winner_mask = s_power (2 * entries) - 1;
    merge->winners = zmalloc ((merge->winner_mask + 1) * sizeof (winner_t));
    for (uint32_t index = 0; index < self->segment_count; index++) {
        const uint8_t *entry = loaded[index].table;
        for (uint64_t one = 0; one < loaded[index].entries; one++) {
            umbp_log_note_t note;
            s_entry (&note, entry);
            if (note.type != UMBP_LOG_TYPE_TOMBS) {
                if (note.serial > self->serial)
                    self->serial = note.serial;
                if (!s_buried (merge, index, (uint32_t) (note.place / 8), loaded[index].seq))
                    s_enter (merge, index, entry);
            }
            entry += umbp_log_entry_bytes (&note);
        }
    }
}

static int s_by_serial (const void *first, const void *second)
{
    const umbp_log_found_t *one = first, *other = second;
    return one->serial < other->serial ? -1 : one->serial > other->serial;
}

static void s_make_records (merge_t *merge)
{
    umbp_log_t *self = merge->self;
    self->found = zmalloc ((merge->winner_count + 1) * sizeof (umbp_log_found_t));
    for (size_t at = 0; at <= merge->winner_mask; at++) {
        const winner_t *winner = &merge->winners[at];
        uint32_t record = winner->entry ? umbp_log_take_record (self) : UMBP_LOG_NONE;
        if (record == UMBP_LOG_NONE)
            continue;
        umbp_log_note_t note;
        s_entry (&note, winner->entry);
        umbp_log_slot_t *slot = umbp_log_slot (self, record);
        slot->segment = winner->segment;
        slot->place8 = (uint32_t) (note.place / 8);
        slot->size = note.size;
        slot->key_size = note.key_size;
        slot->packed = note.type == UMBP_LOG_TYPE_PACKED;
        umbp_log_link (self, record);
        self->found[self->found_count++] = (umbp_log_found_t) {
            .serial = winner->serial, .record = record, .entry = winner->entry,
        };
    }
    qsort (self->found, self->found_count, sizeof *self->found, s_by_serial);
    self->stats.recovered = self->found_count;
}

bool umbp_log_recovered (umbp_log_t *self, umbp_medium_record_t *record, uint64_t *at_p)
{
    while (self->found_next < self->found_count) {
        const umbp_log_found_t *found = &self->found[self->found_next++];
        umbp_log_note_t note;
        s_entry (&note, found->entry);
        *record = (umbp_medium_record_t) {
            .key = note.key, .key_size = note.key_size, .size = note.size, .sum = note.sum,
            .depth = note.depth, .replicas = note.replicas,
        };
        *at_p = umbp_log_at (self, found->record);
        return true;
    }
    umbp_log_forget_tables (self);
    self->recovering = false;
    return false;
}

void umbp_log_forget_tables (umbp_log_t *self)
{
    for (uint32_t index = 0; self->tables && index < self->segment_count; index++)
        free (self->tables[index]);
    free (self->tables);
    free (self->found);
    self->tables = NULL;
    self->found = NULL;
    self->found_count = self->found_next = 0;
}

//  ------------------------------------------------------------------------------------------------
//  Where to go on

static umbp_log_open_t *s_open (umbp_log_drive_t *drive, uint32_t index, const loaded_t *loaded)
{
    umbp_log_open_t *open = zmalloc (sizeof (umbp_log_open_t));
    *open = (umbp_log_open_t) {
        .drive = drive, .segment = index, .tail = loaded->tail, .table_used = loaded->table_used,
        .table_room = loaded->table_used, .table_reserved = loaded->table_used,
        .entries = loaded->entries, .headed = true,
    };
    if (loaded->table_used) {
        open->table = malloc (loaded->table_used);
        assert (open->table);
        memcpy (open->table, loaded->table, loaded->table_used);
    }
    return open;
}

static void s_free_open (umbp_log_open_t *open)
{
    free (open->table);
    free (open);
}

static bool s_has_room_for_table (const umbp_log_t *self, const loaded_t *loaded)
{
    return loaded->tail + umbp_log_up (loaded->table_used, UMBP_LOG_BLOCK) + UMBP_LOG_BLOCK
           <= self->segment_bytes;
}

//  A table for one that had to be read whole, and a head if that was damaged
static bool s_seal (umbp_log_t *self, umbp_log_drive_t *drive, uint32_t index,
                    const loaded_t *loaded)
{
    if (!s_has_room_for_table (self, loaded))
        return false;
    uint64_t base = umbp_log_base (self, drive, index);
    size_t bytes;
    umbp_log_open_t *open = s_open (drive, index, loaded);
    uint8_t *table = umbp_log_make_table (self, open, &bytes);
    uint8_t *block = s_aligned (UMBP_LOG_BLOCK);
    umbp_log_head_t head = { drive->id, loaded->seq, index - drive->first, false };
    umbp_log_put_head (&head, block);
    umbp_log_pass ("reseal");
    bool sealed =
        fdatasync (drive->file) == 0
        && pwrite (drive->file, table, bytes, (off_t) (base + self->segment_bytes - bytes))
               == (ssize_t) bytes
        && (!loaded->damaged
            || pwrite (drive->file, block, UMBP_LOG_BLOCK, (off_t) base) == UMBP_LOG_BLOCK);
    s_free_open (open);
    free (table);
    free (block);
    return sealed;
}

//  Go on in this one: from now on it has no trailer
static bool s_take_up (umbp_log_t *self, umbp_log_drive_t *drive, uint32_t index,
                       const loaded_t *loaded)
{
    uint64_t end = umbp_log_base (self, drive, index) + self->segment_bytes;
    uint8_t *block = s_aligned (UMBP_LOG_BLOCK);
    memset (block, 0, UMBP_LOG_BLOCK);
    umbp_log_pass ("reopen");
    bool done = pwrite (drive->file, block, UMBP_LOG_BLOCK, (off_t) (end - UMBP_LOG_BLOCK))
                    == UMBP_LOG_BLOCK
                && fdatasync (drive->file) == 0;
    free (block);
    if (done) {
        self->segments[index].state = UMBP_LOG_SEGMENT_OPEN;
        drive->open = s_open (drive, index, loaded);
    }
    return done;
}

//  The newest one, if there is room left in it
static uint32_t s_last (const umbp_log_t *self, const umbp_log_drive_t *drive,
                        const loaded_t *loaded)
{
    uint32_t last = UMBP_LOG_NONE;
    for (uint32_t index = drive->first; index < drive->first + drive->count; index++)
        if (loaded[index].used && !loaded[index].damaged
            && (last == UMBP_LOG_NONE || loaded[index].seq > loaded[last].seq))
            last = index;
    if (last == UMBP_LOG_NONE || !s_has_room_for_table (self, &loaded[last]))
        return UMBP_LOG_NONE;
    uint64_t used = loaded[last].tail + loaded[last].table_used + UMBP_LOG_BLOCK;
    uint64_t left = used < self->segment_bytes ? self->segment_bytes - used : 0;
    return left >= self->segment_bytes / GOES_ON_SHARE ? last : UMBP_LOG_NONE;
}

//  Nothing was found in it, but its head is not that of a free one
static void s_clear_head (umbp_log_t *self, umbp_log_drive_t *drive, uint32_t index)
{
    uint8_t *block = s_aligned (UMBP_LOG_BLOCK);
    memset (block, 0, UMBP_LOG_BLOCK);
    if (pwrite (drive->file, block, UMBP_LOG_BLOCK, (off_t) umbp_log_base (self, drive, index)) < 0)
        drive->state = umbp_log_status (errno);
    free (block);
}

static void s_begin_drive (umbp_log_t *self, umbp_log_drive_t *drive, const loaded_t *loaded)
{
    uint32_t last = drive->read_only ? UMBP_LOG_NONE : s_last (self, drive, loaded);
    for (uint32_t index = drive->first; index < drive->first + drive->count; index++) {
        umbp_log_segment_t *segment = &self->segments[index];
        const loaded_t *one = &loaded[index];
        drive->free_count += segment->state == UMBP_LOG_SEGMENT_FREE;
        if (one->seq >= drive->next_seq)
            drive->next_seq = one->seq + 1;
        self->stats.torn += one->torn;
        self->stats.bad_headers += one->damaged;
        if (one->damaged && !one->used && !one->bad && !drive->read_only)
            s_clear_head (self, drive, index);
        if (!one->used)
            continue;
        if (index == last && s_take_up (self, drive, index, one))
            continue;
        if (one->scanned && (drive->read_only || !s_seal (self, drive, index, one)))
            segment->tableless = true;
    }
    if (!drive->read_only && fdatasync (drive->file) != 0)
        drive->state = umbp_log_status (errno);
}

void umbp_log_recover (umbp_log_t *self)
{
    loader_t loader = { .self = self };
    loader.loaded = zmalloc (self->segment_count * sizeof (loaded_t));
    s_load_all (&loader);
    self->tables = zmalloc (self->segment_count * sizeof *self->tables);
    for (uint32_t index = 0; index < self->segment_count; index++) {
        loaded_t *loaded = &loader.loaded[index];
        self->tables[index] = loaded->table;
        self->segments[index] = (umbp_log_segment_t) {
            .seq = loaded->seq, .first = UMBP_LOG_NONE, .tombs = (uint32_t) loaded->tomb_count,
            .state = loaded->bad    ? UMBP_LOG_SEGMENT_BAD
                     : loaded->used ? UMBP_LOG_SEGMENT_SEALED
                                    : UMBP_LOG_SEGMENT_FREE,
        };
    }
    merge_t merge = { .self = self };
    s_collect_graves (&merge, loader.loaded);
    s_elect (&merge, loader.loaded);
    s_make_records (&merge);
    for (size_t index = 0; index < self->drive_count; index++)
        s_begin_drive (self, &self->drives[index], loader.loaded);
    for (uint32_t index = 0; index < self->segment_count; index++)
        free (loader.loaded[index].tombs);
    free (merge.graves);
    free (merge.winners);
    free (loader.loaded);
}

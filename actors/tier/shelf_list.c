//  actors/tier/shelf_list.c - what a node has on a shelf. See shelf_list.h.
#include "actors/tier/shelf_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (1 << 20)
#define TABLE_MAX (UINT64_C (1) << 30)

//  A segment while it is read
typedef struct {
    umbp_shelf_list_t *list;
    int file, error;
    bool hidden;                        //  What was removed from it cannot be read
    uint64_t bytes, at;                 //  Of the file; what the chunk begins with
    size_t got;
    uint8_t *chunk;
    umbp_task_t *task;
} reading_t;

//  Room for one more
static bool s_grow (void **items, size_t count, size_t *room, size_t size, size_t most)
{
    if (count < *room)
        return true;
    size_t more = *room ? 2 * *room : 64;
    void *grown = count < most ? realloc (*items, more * size) : NULL;
    if (!grown)
        return false;
    *items = grown;
    *room = more;
    return true;
}

static int s_compare_places (const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *) one, b = *(const uint32_t *) other;
    return a < b ? -1 : a > b;
}

static int s_compare_segments (const void *one, const void *other)
{
    const umbp_shelf_segment_found_t *a = one, *b = other;
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    return a->counter < b->counter ? -1 : a->counter > b->counter;
}

//  ------------------------------------------------------------------------------------------------
//  A segment

static void s_on_record (void *arg, const umbp_log_note_t *note)
{
    umbp_shelf_list_t *list = ((reading_t *) arg)->list;
    const umbp_shelf_segment_found_t *segment = &list->segments[list->segment_count];
    uint32_t place8 = (uint32_t) (note->place / 8);
    if (segment->gone_count > 0
        && bsearch (&place8, segment->gone, segment->gone_count, sizeof place8, s_compare_places))
        return;
    while (list->key_bytes + note->key_size > list->key_room) {
        size_t more = list->key_room ? 2 * list->key_room : 65536;
        uint8_t *grown = realloc (list->keys, more);
        if (!grown)
            return;
        list->keys = grown;
        list->key_room = more;
    }
    if (!s_grow ((void **) &list->records, list->record_count, &list->record_room,
                 sizeof *list->records, UMBP_SHELF_RECORDS_MAX))
        return;
    memcpy (list->keys + list->key_bytes, note->key, note->key_size);
    umbp_shelf_record_found_t *record = &list->records[list->record_count++];
    *record = (umbp_shelf_record_found_t) { (uint32_t) list->segment_count, *note, list->key_bytes };
    record->note.key = NULL;
    list->key_bytes += note->key_size;
    if (note->serial > list->serial)
        list->serial = note->serial;
}

static void s_on_tomb (void *arg, const umbp_log_tomb_t *tomb)
{
    (void) arg;                         //  A shelf has none of these
    (void) tomb;
}

static int s_pread (reading_t *self, uint8_t *out, size_t size, uint64_t at)
{
    for (size_t done = 0; done < size;) {
        ssize_t went = pread (self->file, out + done, size - done, (off_t) (at + done));
        if (went < 0 && errno == EINTR)
            continue;
        if (went <= 0)
            return went < 0 ? errno : EBADMSG;
        done += (size_t) went;
        umbp_task_beat (self->task);
    }
    return 0;
}

static const uint8_t *s_fetch (void *arg, uint64_t offset, size_t length, size_t *got_p)
{
    reading_t *self = arg;
    if (offset >= self->bytes)
        return NULL;
    if (offset < self->at || offset >= self->at + self->got) {
        self->at = offset;
        self->got = self->bytes - offset < CHUNK ? (size_t) (self->bytes - offset) : CHUNK;
        int error = s_pread (self, self->chunk, self->got, self->at);
        if (error) {
            self->error = error;
            self->got = 0;
            return NULL;
        }
    }
    size_t there = self->got - (size_t) (offset - self->at);
    *got_p = length < there ? length : there;
    return self->chunk + (offset - self->at);
}

//  By its table. False: it has none that is sound.
static bool s_by_table (reading_t *self, uint64_t id)
{
    umbp_log_trailer_t trailer;
    uint8_t block[UMBP_LOG_BLOCK];
    if (self->bytes < 3 * UMBP_LOG_BLOCK
        || s_pread (self, block, sizeof block, self->bytes - sizeof block) != 0
        || !umbp_log_get_trailer (&trailer, block, id, self->bytes)
        || trailer.table_bytes > TABLE_MAX)
        return false;
    uint8_t *table = malloc (trailer.table_bytes);
    bool fine = table
                && s_pread (self, table, trailer.table_bytes,
                            self->bytes - sizeof block - trailer.table_bytes)
                       == 0
                && umbp_log_walk_table (&trailer, table, self->bytes, s_on_record, s_on_tomb, self);
    free (table);
    return fine;
}

//  What one file says was removed from it. An errno: nobody knows what.
static int s_add_gone (umbp_shelf_segment_found_t *segment, const umbp_shelf_list_args_t *args,
                       const char *suffix)
{
    char name[UMBP_SHELF_NAME_MAX], path[UMBP_SHELF_PATH_MAX];
    umbp_shelf_name (name, args->node, segment->epoch, segment->counter, suffix);
    snprintf (path, sizeof path, "%.1100s/%s", args->folder, name);
    uint8_t *bytes = NULL;
    size_t size, count;
    const uint32_t *places;
    int error = umbp_shelf_get_file (path, &bytes, &size);
    if (error == ESTALE)                //  It was replaced while it was opened
        error = umbp_shelf_get_file (path, &bytes, &size);
    if (error)
        return error == ENOENT ? 0 : error;
    if (!umbp_shelf_get_gone (segment->id, bytes, size, &places, &count))
        error = EBADMSG;
    else if (count > 0) {
        uint32_t *gone = realloc (segment->gone, (segment->gone_count + count) * sizeof *places);
        if (gone) {
            memcpy (gone + segment->gone_count, places, count * sizeof *places);
            segment->gone = gone;
            segment->gone_count += count;
        } else
            error = ENOMEM;
    }
    free (bytes);
    return error;
}

//  Its node says it, and whoever served it meanwhile. Returns 0 or an errno.
static int s_read_gone (umbp_shelf_segment_found_t *segment, const umbp_shelf_list_args_t *args,
                        const umbp_shelf_list_t *list)
{
    int error = s_add_gone (segment, args, "gone");
    for (size_t index = 0; error == 0 && index < list->gone_count; index++)
        if (list->gones[index].epoch == segment->epoch
            && list->gones[index].counter == segment->counter)
            error = s_add_gone (segment, args, list->gones[index].suffix);
    if (segment->gone_count > 1)
        qsort (segment->gone, segment->gone_count, sizeof *segment->gone, s_compare_places);
    return error;
}

//  Its records are in the list then; what has none, and can be read, is nothing
static void s_read_records (reading_t *self, const umbp_shelf_list_args_t *args)
{
    umbp_shelf_list_t *list = self->list;
    umbp_shelf_segment_found_t *segment = &list->segments[list->segment_count];
    uint8_t block[UMBP_LOG_BLOCK];
    umbp_log_head_t head;
    self->error = s_pread (self, block, sizeof block, 0);
    if (self->error)
        return;
    memcpy (&segment->id, block + 8, sizeof segment->id);
    if (!umbp_log_get_head (&head, block, segment->id) || head.seq != segment->counter
        || head.index != segment->epoch) {
        self->error = EBADMSG;
        return;
    }
    self->error = s_read_gone (segment, args, list);
    self->hidden = self->error != 0;
    if (self->hidden || s_by_table (self, segment->id))
        return;
    list->bad++;
    umbp_log_scan (segment->id, head.seq, self->bytes, s_fetch, s_on_record, s_on_tomb, self,
                   &list->torn);
}

static void s_read_segment (umbp_shelf_list_t *list, const umbp_shelf_list_args_t *args,
                            const umbp_shelf_segment_found_t *found)
{
    char name[UMBP_SHELF_NAME_MAX], path[UMBP_SHELF_PATH_MAX];
    umbp_shelf_name (name, args->node, found->epoch, found->counter, "seg");
    snprintf (path, sizeof path, "%.1100s/%s", args->folder, name);
    reading_t self = { .list = list, .task = args->task, .file = -1 };
    umbp_shelf_segment_found_t *segment = &list->segments[list->segment_count];
    *segment = *found;
    size_t before = list->record_count;
    struct stat stat;
    self.error = umbp_shelf_ill ("open", path);
    if (self.error == 0 && (self.file = open (path, O_RDONLY | O_CLOEXEC)) == -1)
        self.error = errno;
    if (self.error == 0 && fstat (self.file, &stat) != 0)
        self.error = errno;
    if (self.error == 0) {
        self.bytes = segment->bytes = (uint64_t) stat.st_size;
        self.chunk = malloc (CHUNK);
        s_read_records (&self, args);
        free (self.chunk);
    }
    if (self.file != -1)
        close (self.file);
    umbp_task_beat (args->task);
    if (list->record_count > before)
        list->segment_count++;
    else {
        free (segment->gone);
        list->bad += self.error != 0;
        if (args->own && !self.hidden && (self.error == 0 || self.error == EBADMSG)) {
            umbp_shelf_unlink (args->folder, name);
            list->swept++;
        }
    }
}

//  ------------------------------------------------------------------------------------------------
//  A folder

static bool s_is_old (const char *folder, const char *name)
{
    char path[UMBP_SHELF_PATH_MAX];
    struct stat stat;
    snprintf (path, sizeof path, "%.1100s/%.383s", folder, name);
    return lstat (path, &stat) == 0 && time (NULL) - stat.st_mtime > UMBP_SHELF_SWEEP_S;
}

static void s_sweep (umbp_shelf_list_t *list, const umbp_shelf_list_args_t *args, const char *name)
{
    if (umbp_shelf_unlink (args->folder, name) == 0)
        list->swept++;
}

//  Is it a segment? What is left over of former lives goes.
static bool s_look (umbp_shelf_list_t *list, const umbp_shelf_list_args_t *args, const char *name,
                    umbp_shelf_segment_found_t *found)
{
    *found = (umbp_shelf_segment_found_t) { 0 };
    const char *suffix = umbp_shelf_parse (name, args->node, &found->epoch, &found->counter);
    if (!suffix)
        return false;
    if (strcmp (suffix, "seg") == 0)
        return true;
    bool gone = strncmp (suffix, "gone-", 5) == 0 && !strchr (suffix, '.');
    bool tmp =
        strcmp (suffix, "tmp") == 0
        || (strncmp (suffix, "gone", 4) == 0 && strcmp (strrchr (suffix, '.') ?: "", ".tmp") == 0);
    char segment[UMBP_SHELF_NAME_MAX], path[UMBP_SHELF_PATH_MAX];
    umbp_shelf_name (segment, args->node, found->epoch, found->counter, "seg");
    snprintf (path, sizeof path, "%.1100s/%s", args->folder, segment);
    bool over =
        tmp ? found->epoch != args->epoch && s_is_old (args->folder, name)
            : (gone || strcmp (suffix, "gone") == 0) && access (path, F_OK) != 0 && errno == ENOENT;
    if (gone && !over
        && s_grow ((void **) &list->gones, list->gone_count, &list->gone_room, sizeof *list->gones,
                   UMBP_SHELF_SEGMENTS_MAX)) {
        umbp_shelf_gone_found_t *at = &list->gones[list->gone_count++];
        *at = (umbp_shelf_gone_found_t) { .epoch = found->epoch, .counter = found->counter };
        snprintf (at->suffix, sizeof at->suffix, "%s", suffix);
    }
    if (args->own && over)
        s_sweep (list, args, name);
    return false;
}

int umbp_shelf_list (umbp_shelf_list_t *list, const umbp_shelf_list_args_t *args)
{
    *list = (umbp_shelf_list_t) { 0 };
    int error = umbp_shelf_ill ("list", args->folder);
    if (error)
        return error;
    DIR *folder = opendir (args->folder);
    if (!folder)
        return errno;
    umbp_shelf_segment_found_t *names = NULL, found;
    size_t count = 0, room = 0;
    for (struct dirent *entry; (entry = umbp_shelf_next (folder, args->folder, &error));) {
        umbp_task_beat (args->task);
        if (s_look (list, args, entry->d_name, &found)
            && s_grow ((void **) &names, count, &room, sizeof *names, UMBP_SHELF_SEGMENTS_MAX))
            names[count++] = found;
    }
    closedir (folder);
    if (error) {                        //  What it does not name would count as never removed
        free (names);
        return error;
    }
    if (count > 0)
        qsort (names, count, sizeof *names, s_compare_segments);
    for (size_t index = 0; index < count; index++)
        if (s_grow ((void **) &list->segments, list->segment_count, &list->segment_room,
                    sizeof *list->segments, UMBP_SHELF_SEGMENTS_MAX))
            s_read_segment (list, args, &names[index]);
    free (names);
    return 0;
}

void umbp_shelf_list_free (umbp_shelf_list_t *list)
{
    for (size_t index = 0; index < list->segment_count; index++)
        free (list->segments[index].gone);
    free (list->segments);
    free (list->gones);
    free (list->records);
    free (list->keys);
    *list = (umbp_shelf_list_t) { 0 };
}

//  actors/tier/shelf_others.c - what other nodes have on a shelf, and how some of it becomes ours to read; see shelf.h
//
//  A segment of another node is in a chain of its own: it is never written, evicted or deleted, and does not count for our
//  capacity. Its records are named, read and removed as ours are.
#include "actors/tier/shelf_self.h"

#include <czmq.h>
#include <errno.h>

#include "proto/error.h"

//  ------------------------------------------------------------------------------------------------
//  Folders

static int s_list_folders (umbp_shelf_work_t *work)
{
    int error = umbp_shelf_ill ("list", work->path);
    DIR *directory = error ? NULL : opendir (work->path);
    if (!directory)
        return error ? error : errno;
    size_t room = 0;
    unsigned count = 0;
    for (struct dirent *entry; count < UMBP_SHELF_OTHERS_MAX
                               && (entry = umbp_shelf_next (directory, work->path, &error));) {
        size_t size = strlen (entry->d_name) + 1;
        umbp_task_beat (&work->task);
        if (entry->d_name[0] == '.' || (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN))
            continue;
        if (work->stage_bytes + size > room) {
            room = room ? 2 * room : 4096;
            work->stage = realloc (work->stage, room);
            assert (work->stage);
        }
        memcpy (work->stage + work->stage_bytes, entry->d_name, size);
        work->stage_bytes += size;
        count++;
    }
    closedir (directory);
    return error;
}

static void s_run_folders (umbp_task_t *task)
{
    umbp_shelf_work_t *work = (umbp_shelf_work_t *) task;
    work->error = s_list_folders (work);
}

int umbp_shelf_look (umbp_shelf_t *self)
{
    if (self->failed || self->looking || self->works >= UMBP_SHELF_WORKS_MAX)
        return UMBP_EAGAIN;
    umbp_shelf_work_t *work = umbp_shelf_work_new (UMBP_SHELF_FOLDERS, 0);
    work->task.run = s_run_folders;
    work->path = strdup (self->directory);
    self->looking = true;
    umbp_shelf_give (self, work);
    return 0;
}

//  What could not be listed is as it was
void umbp_shelf_listed (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    self->looking = false;
    if (work->error)
        return;
    free (self->names);
    self->names = (char *) work->stage;
    self->names_bytes = work->stage_bytes;
    work->stage = NULL;
}

bool umbp_shelf_looking (const umbp_shelf_t *self)
{
    return self->looking;
}

const char *umbp_shelf_folder (const umbp_shelf_t *self, const char *folder)
{
    const char *next = folder ? folder + strlen (folder) + 1 : self->names;
    return self->names && next < self->names + self->names_bytes ? next : NULL;
}

void umbp_shelf_others_free (umbp_shelf_t *self)
{
    free (self->names);
    for (size_t owner = 1; owner <= UMBP_SHELF_OTHERS_MAX; owner++)
        free (self->others[owner]);
}

//  ------------------------------------------------------------------------------------------------
//  Adoption

//  Its place among the others; 0: there are too many
static uint32_t s_owner (umbp_shelf_t *self, const char *node)
{
    uint32_t owner = 1;
    while (owner <= UMBP_SHELF_OTHERS_MAX && self->others[owner]
           && strcmp (self->others[owner], node) != 0)
        owner++;
    if (owner > UMBP_SHELF_OTHERS_MAX)
        return 0;
    if (!self->others[owner])
        self->others[owner] = strdup (node);
    return owner;
}

//  Ours of a segment that the scan found. UMBP_SHELF_NONE: it cannot be.
static uint32_t s_segment (umbp_shelf_t *self, uint32_t number)
{
    if (!self->scan_segments) {
        size_t bytes = (self->scan.segment_count + 1) * sizeof *self->scan_segments;
        self->scan_segments = zmalloc (bytes);
        memset (self->scan_segments, 0xff, bytes);
    }
    if (self->scan_segments[number] != UMBP_SHELF_NONE)
        return self->scan_segments[number];
    umbp_shelf_segment_found_t *found = &self->scan.segments[number];
    umbp_shelf_segment_t as = { .epoch = found->epoch,
                                .counter = found->counter,
                                .id = found->id, .bytes = found->bytes, .gone = found->gone,
                                .gone_count = (uint32_t) found->gone_count,
                                .gone_room = (uint32_t) found->gone_count,
                                .owner = s_owner (self, self->scan_node) };
    if (as.owner == 0)
        return UMBP_SHELF_NONE;
    found->gone = NULL;
    return self->scan_segments[number] = umbp_shelf_add_segment (self, &as);
}

//  No more of what the scan found is wanted
static void s_end_scan (umbp_shelf_t *self)
{
    umbp_shelf_list_free (&self->scan);
    self->scan_next = 0;
    freen (self->scan_segments);
    for (uint32_t number = self->foreign, next; number != UMBP_SHELF_NONE; number = next) {
        next = umbp_shelf_after (self, number);
        umbp_shelf_settle (self, number);
    }
}

bool umbp_shelf_adopted (umbp_shelf_t *self, umbp_medium_record_t *record, uint64_t *at_p)
{
    umbp_shelf_where_t where;
    while (self->scan_next > 0 && self->foreign_count < UMBP_SHELF_ADOPTED_MAX) {
        const umbp_shelf_record_found_t *found = &self->scan.records[self->scan_next - 1];
        uint32_t segment = s_segment (self, found->segment);
        bool fine = umbp_shelf_scanned (self, record, &where) && segment != UMBP_SHELF_NONE;
        *at_p = fine ? umbp_shelf_add_record (self, segment, &found->note, UMBP_SHELF_NONE)
                     : UINT64_MAX;
        if (*at_p != UINT64_MAX)
            return true;
    }
    s_end_scan (self);
    return false;
}

void umbp_shelf_forget (umbp_shelf_t *self, uint64_t at)
{
    const umbp_shelf_slot_t *slot = umbp_shelf_find (self, at);
    if (!slot)
        return;
    uint32_t segment = slot->segment, item = slot->item;
    umbp_shelf_drop_record (self, (uint32_t) at - 1);
    if (item != UMBP_SHELF_NONE)
        umbp_shelf_say (self, UMBP_MEDIUM_LEFT, UMBP_ENOENT, item, 0, at);
    umbp_shelf_settle (self, segment);
}

void umbp_shelf_disown (umbp_shelf_t *self, const char *node)
{
    if (self->scan_node && strcmp (self->scan_node, node) == 0)
        s_end_scan (self);
    for (uint32_t number = self->foreign, next; number != UMBP_SHELF_NONE; number = next) {
        next = umbp_shelf_after (self, number);
        if (strcmp (self->others[self->segments[number].owner], node) != 0)
            continue;
        uint32_t left = self->segments[number].live;     //  With the last one the segment goes
        for (; left > 0; left--)
            umbp_shelf_forget (self, umbp_shelf_at (self, self->segments[number].first));
    }
}

uint64_t umbp_shelf_adopted_count (const umbp_shelf_t *self, uint64_t *bytes_p)
{
    *bytes_p = self->foreign_bytes;
    return self->foreign_count;
}

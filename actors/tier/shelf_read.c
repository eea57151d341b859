//  actors/tier/shelf_read.c - blocks of a shelf that are read, ours and those of others; what another node has there; see
//  shelf.h
#include "actors/tier/shelf_self.h"

#include <czmq.h>
#include <errno.h>

#include "proto/error.h"

static void s_run_read (umbp_task_t *task)
{
    umbp_shelf_work_t *work = (umbp_shelf_work_t *) task;
    work->error = umbp_shelf_read_file (&work->ask);
}

//  A read of length bytes from offset of a record. Nothing of it is given to a mount that hangs.
static umbp_shelf_work_t *s_read_new (const umbp_shelf_t *self, const umbp_shelf_where_t *where,
                                      const struct iovec *data, size_t count, uint64_t tag)
{
    umbp_shelf_work_t *work = umbp_shelf_work_new (UMBP_SHELF_READ, (unsigned) count);
    char name[UMBP_SHELF_NAME_MAX], path[UMBP_SHELF_PATH_MAX];
    umbp_shelf_name (name, where->node, where->epoch, where->counter, "seg");
    snprintf (path, sizeof path, "%.820s/%.255s/%s", self->directory, where->node, name);
    memcpy (work->iov, data, count * sizeof *data);
    work->task.run = s_run_read;
    work->path = strdup (path);
    work->tag = tag;
    work->segment = UMBP_SHELF_NONE;
    work->ask = (umbp_shelf_ask_t){ .path = work->path,
                                    .place = where->place,
                                    .data = work->iov,
                                     .count = (unsigned) count };
    return work;
}

static uint64_t s_bytes (const struct iovec *data, size_t count)
{
    uint64_t bytes = 0;
    for (size_t index = 0; index < count; index++)
        bytes += data[index].iov_len;
    return bytes;
}

int umbp_shelf_read (umbp_shelf_t *self, uint64_t at, uint32_t offset, uint32_t length,
                     const struct iovec *data, size_t count, uint64_t tag)
{
    const umbp_shelf_slot_t *slot = umbp_shelf_find (self, at);
    if (!slot)
        return UMBP_ENOENT;
    if (length == 0 || offset > slot->size || length > slot->size - offset || count == 0
        || count > UMBP_MEDIUM_PIECES_MAX || s_bytes (data, count) < length)
        return UMBP_EINVAL;
    if (self->failed)
        return UMBP_EUNREACH;           //  Others may have it, who wait less long
    if (self->works >= UMBP_SHELF_WORKS_MAX)
        return UMBP_EAGAIN;
    umbp_shelf_where_t where;
    umbp_shelf_where (self, at, &where);
    umbp_shelf_work_t *work = s_read_new (self, &where, data, count, tag);
    umbp_shelf_segment_t *segment = &self->segments[slot->segment];
    work->segment = slot->segment;
    segment->readers++;                 //  It stays until then
    work->ask.id = segment->id;
    work->ask.seq = segment->counter;
    work->ask.size = slot->size;
    work->ask.key_size = slot->key_size;
    work->ask.offset = offset;
    work->ask.length = length;
    umbp_shelf_give (self, work);
    return 0;
}

int umbp_shelf_fetch (umbp_shelf_t *self, const umbp_shelf_where_t *where,
                      const umbp_medium_record_t *record, const struct iovec *data, size_t count,
                      uint64_t tag)
{
    if (record->key_size == 0 || record->key_size > UMBP_MEDIUM_KEY_MAX || record->size == 0
        || count == 0 || count > UMBP_MEDIUM_PIECES_MAX || s_bytes (data, count) < record->size
        || strchr (where->node, '/') || *where->node == '.' || *where->node == '\0')
        return UMBP_EINVAL;
    if (self->failed)
        return UMBP_EUNREACH;           //  Others may have it, who wait less long
    if (self->works >= UMBP_SHELF_WORKS_MAX)
        return UMBP_EAGAIN;
    umbp_shelf_work_t *work = s_read_new (self, where, data, count, tag);
    work->ask.size = work->ask.length = record->size;
    work->ask.key_size = (uint16_t) record->key_size;
    work->ask.patient = true;
    work->stage = zmalloc (record->key_size);
    memcpy (work->stage, record->key, record->key_size);
    work->ask.key = work->stage;
    umbp_shelf_give (self, work);
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  What another node has

static void s_run_list (umbp_task_t *task)
{
    umbp_shelf_work_t *work = (umbp_shelf_work_t *) task;
    work->error = umbp_shelf_list (&work->list, &work->list_args);
}

int umbp_shelf_scan (umbp_shelf_t *self, const char *node, uint64_t tag)
{
    if (self->failed || self->scanning || self->works >= UMBP_SHELF_WORKS_MAX)
        return UMBP_EAGAIN;
    if (strchr (node, '/') || *node == '.' || strlen (node) > 255)
        return UMBP_EINVAL;
    char folder[UMBP_SHELF_PATH_MAX];
    snprintf (folder, sizeof folder, "%.820s/%s", self->directory, node);
    umbp_shelf_work_t *work = umbp_shelf_work_new (UMBP_SHELF_LIST, 0);
    work->task.run = s_run_list;
    work->tag = tag;
    work->path = strdup (folder);
    work->name = strdup (node);
    work->list_args = (umbp_shelf_list_args_t){ .folder = work->path,
                                                .node = work->name,
                                                 .task = &work->task };
    work->silent = tag == UMBP_SHELF_SILENT;
    self->scanning = true;
    self->scan_status = 1;
    umbp_shelf_give (self, work);
    return 0;
}

int umbp_shelf_scan_status (const umbp_shelf_t *self)
{
    return self->scan_status;
}

static void s_scanned (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    self->scanning = false;
    if (work->told) {
        umbp_shelf_list_free (&work->list);
        return;
    }
    umbp_shelf_list_free (&self->scan);
    free (self->scan_node);
    freen (self->scan_segments);
    self->scan_status = umbp_shelf_status (work->error);
    self->scan = work->list;
    self->scan_node = strdup (work->name);
    self->scan_next = self->scan.record_count;
}

bool umbp_shelf_scanned (umbp_shelf_t *self, umbp_medium_record_t *record,
                         umbp_shelf_where_t *where)
{
    if (self->scan_next == 0) {
        umbp_shelf_list_free (&self->scan);
        return false;
    }
    const umbp_shelf_record_found_t *found = &self->scan.records[--self->scan_next];
    const umbp_shelf_segment_found_t *segment = &self->scan.segments[found->segment];
    *record = (umbp_medium_record_t) { .key = self->scan.keys + found->key,
                                    .key_size = found->note.key_size, .size = found->note.size,
                                    .sum = found->note.sum, .depth = found->note.depth,
                                    .replicas = found->note.replicas };
    *where = (umbp_shelf_where_t){ .epoch = segment->epoch,
                                   .counter = segment->counter,
                                    .place = found->note.place };
    snprintf (where->node, sizeof where->node, "%s", self->scan_node);
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  What came of it

void umbp_shelf_read_ended (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    int status = umbp_shelf_status (work->error);
    if (status == UMBP_EIO || status == UMBP_ESTALE)
        status = UMBP_EUNREACH;         //  Of the mount, and not of the block: that is not lost
    if (work->kind == UMBP_SHELF_LIST)
        s_scanned (self, work);
    else
        umbp_shelf_heed (self, work);
    if (work->overdue)
        umbp_shelf_say (self, UMBP_MEDIUM_RELEASED, 0, UMBP_SHELF_NONE, work->tag, 0);
    else if (!work->told && !work->silent)
        umbp_shelf_say (self, UMBP_MEDIUM_READ, status, UMBP_SHELF_NONE, work->tag, 0);
    self->stats.read_bytes += work->error == 0 ? work->ask.length : 0;
    if (work->segment != UMBP_SHELF_NONE && work->kind == UMBP_SHELF_READ) {
        self->segments[work->segment].readers--;
        umbp_shelf_settle (self, work->segment);
    }
    umbp_shelf_work_free (work);
}

//  One that no thread had ends at once, and its memory is free: RELEASED follows
void umbp_shelf_read_late (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    if (work->kind == UMBP_SHELF_LIST)
        self->scan_status = UMBP_ETIMEDOUT;
    if (!work->silent)
        umbp_shelf_say (self, UMBP_MEDIUM_READ, UMBP_ETIMEDOUT, UMBP_SHELF_NONE, work->tag, 0);
    work->told = true;
    work->overdue = work->kind == UMBP_SHELF_READ;
}

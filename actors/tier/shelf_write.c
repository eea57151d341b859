//  actors/tier/shelf_write.c - segments of a shelf that are being written; see shelf.h
//
//  A batch is a segment until it has its name. Its records are written as they come, by as many threads as there are; the
//  last step, publishing, is one task. A batch of which one task is overdue is given up whole: what came of it is not
//  known, so nothing of it is said to be there, and what there is of it is deleted once the mount answers.
#include "actors/tier/shelf_self.h"

#include <czmq.h>
#include <errno.h>
#include <sys/random.h>
#include <xxhash.h>

#include "proto/error.h"

#define OVERHEAD (3 * UMBP_LOG_BLOCK)   //  Head, a block of the table, trailer

static void s_go_on (umbp_shelf_t *self, umbp_shelf_batch_t *batch);

static void s_path (const umbp_shelf_batch_t *batch, const char *suffix,
                    char path[UMBP_SHELF_PATH_MAX])
{
    char name[UMBP_SHELF_NAME_MAX];
    umbp_shelf_name (name, batch->node, batch->epoch, batch->counter, suffix);
    snprintf (path, UMBP_SHELF_PATH_MAX, "%.1100s/%s", batch->folder, name);
}

//  ------------------------------------------------------------------------------------------------
//  In threads

static void s_run_open (umbp_task_t *task)
{
    umbp_shelf_work_t *work = (umbp_shelf_work_t *) task;
    umbp_shelf_batch_t *batch = work->batch;
    umbp_log_head_t head = { .id = batch->id, .seq = batch->counter, .index = batch->epoch };
    char path[UMBP_SHELF_PATH_MAX];
    s_path (batch, "tmp", path);
    work->error = umbp_shelf_create (path, &head, batch->mode == UMBP_SHELF_STRICT, &batch->file);
}

static void s_run_write (umbp_task_t *task)
{
    umbp_shelf_work_t *work = (umbp_shelf_work_t *) task;
    char path[UMBP_SHELF_PATH_MAX];
    s_path (work->batch, "tmp", path);
    work->error =
        umbp_shelf_write (work->batch->file, path, work->iov, work->count, work->note.place);
}

static void s_run_publish (umbp_task_t *task)
{
    umbp_shelf_work_t *work = (umbp_shelf_work_t *) task;
    umbp_shelf_batch_t *batch = work->batch;
    char tmp[UMBP_SHELF_NAME_MAX], name[UMBP_SHELF_NAME_MAX];
    umbp_shelf_name (tmp, batch->node, batch->epoch, batch->counter, "tmp");
    umbp_shelf_name (name, batch->node, batch->epoch, batch->counter, "seg");
    umbp_shelf_publish_t how = { .folder = batch->folder,
                                 .tmp = tmp,
                                 .name = name,
                                 .file = batch->file, .mode = batch->mode, .table = batch->table,
                                 .table_bytes = batch->table_bytes, .table_at = batch->tail };
    work->error = umbp_shelf_publish (&how);
    batch->file = -1;
}

static void s_run_discard (umbp_task_t *task)
{
    umbp_shelf_work_t *work = (umbp_shelf_work_t *) task;
    umbp_shelf_batch_t *batch = work->batch;
    char name[UMBP_SHELF_NAME_MAX];
    if (batch->file != -1)
        close (batch->file);
    batch->file = -1;
    umbp_shelf_name (name, batch->node, batch->epoch, batch->counter, "tmp");
    work->error = umbp_shelf_unlink (batch->folder, name);
    umbp_shelf_name (name, batch->node, batch->epoch, batch->counter, "seg");
    if (umbp_shelf_unlink (batch->folder, name) != 0)
        work->error = EIO;
    int error = umbp_shelf_settle_names (batch->folder, batch->mode);
    work->error = work->error ? work->error : error;
}

//  ------------------------------------------------------------------------------------------------
//  Batches

static void s_give (umbp_shelf_t *self, umbp_shelf_batch_t *batch, umbp_shelf_work_t *work)
{
    batch->tasks++;
    umbp_shelf_give (self, work);
}

static void s_give_new (umbp_shelf_t *self, umbp_shelf_batch_t *batch, umbp_shelf_kind_t kind,
                        void (*run) (umbp_task_t *task))
{
    umbp_shelf_work_t *work = umbp_shelf_work_new (kind, 0);
    work->task.run = run;
    work->batch = batch;
    s_give (self, batch, work);
}

static umbp_shelf_batch_t *s_batch_new (umbp_shelf_t *self)
{
    umbp_shelf_batch_t *batch = zmalloc (sizeof (umbp_shelf_batch_t));
    *batch = (umbp_shelf_batch_t){ .counter = ++self->counter,
                                   .tail = UMBP_LOG_BLOCK,
                                    .folder = self->folder, .node = self->node,
                                    .epoch = self->args.epoch, .mode = self->args.mode,
                                    .file = -1, .since = self->now, .end = &batch->first,
                                    .next = self->batches };
    while (batch->id == 0)
        if (getrandom (&batch->id, sizeof batch->id, 0) != sizeof batch->id)
            batch->id = 0;
    self->batches = batch;
    self->batch_count++;
    s_give_new (self, batch, UMBP_SHELF_OPEN, s_run_open);
    return batch;
}

//  No thread has anything of it, and it has no file
static void s_batch_free (umbp_shelf_t *self, umbp_shelf_batch_t *batch)
{
    umbp_shelf_batch_t **at = &self->batches;
    while (*at != batch)
        at = &(*at)->next;
    *at = batch->next;
    self->batch_count--;
    while (batch->first) {
        umbp_shelf_work_t *work = batch->first;
        batch->first = work->next;
        self->records_under_way--;
        umbp_shelf_work_free (work);
    }
    free (batch->table);
    free (batch);
}

//  What became of a record, once
static void s_tell (umbp_shelf_t *self, umbp_shelf_work_t *work, int status, uint64_t at)
{
    if (!work->told)
        umbp_shelf_say (self, UMBP_MEDIUM_WRITTEN, status, work->item, work->tag, at);
    work->told = true;
}

static void s_tell_all (umbp_shelf_t *self, umbp_shelf_batch_t *batch, int status)
{
    for (umbp_shelf_work_t *work = batch->first; work; work = work->next)
        s_tell (self, work, status, 0);
}

void umbp_shelf_close_batch (umbp_shelf_t *self)
{
    umbp_shelf_batch_t *batch = self->open;
    self->open = NULL;
    if (batch) {
        batch->closing = true;
        s_go_on (self, batch);
    }
}

//  Table and trailer of what was written
static bool s_make_table (umbp_shelf_batch_t *batch)
{
    size_t used = 0, room = umbp_log_up (batch->entry_bytes, UMBP_LOG_BLOCK);
    batch->tail = umbp_log_up (batch->tail, UMBP_LOG_BLOCK);
    batch->table = zmalloc (room + UMBP_LOG_BLOCK);
    umbp_log_trailer_t trailer = { .id = batch->id,
                                   .seq = batch->counter,
                                   .index = batch->epoch,
                                   .tail = batch->tail };
    for (const umbp_shelf_work_t *work = batch->first; work; work = work->next)
        if (work->error == 0) {
            used += umbp_log_put_entry (&work->note, batch->table + used);
            trailer.count++;
        }
    trailer.table_bytes = umbp_log_up (used, UMBP_LOG_BLOCK);
    trailer.table_sum = XXH3_64bits_withSeed (batch->table, trailer.table_bytes, batch->id);
    umbp_log_put_trailer (&trailer, batch->table + trailer.table_bytes);
    batch->table_bytes = trailer.table_bytes + UMBP_LOG_BLOCK;
    return trailer.count > 0;
}

//  A batch that has no more to wait for takes its next step
static void s_go_on (umbp_shelf_t *self, umbp_shelf_batch_t *batch)
{
    if (batch->tasks > 0 || !batch->closing || batch->publishing || self->failed)
        return;
    batch->publishing = true;
    if (!batch->dead && s_make_table (batch))
        s_give_new (self, batch, UMBP_SHELF_PUBLISH, s_run_publish);
    else
        s_give_new (self, batch, UMBP_SHELF_DISCARD, s_run_discard);
}

//  ------------------------------------------------------------------------------------------------
//  What came of tasks

//  It has its name, and is safe: only now it is spoken of
static void s_published (umbp_shelf_t *self, umbp_shelf_batch_t *batch)
{
    umbp_shelf_segment_t as = { .epoch = batch->epoch,
                                .counter = batch->counter,
                                .id = batch->id,
                                .bytes = batch->tail + batch->table_bytes };
    uint32_t segment = umbp_shelf_add_segment (self, &as);
    for (umbp_shelf_work_t *work = batch->first; work; work = work->next) {
        if (work->error)
            continue;
        uint64_t at = umbp_shelf_add_record (self, segment, &work->note, work->item);
        s_tell (self, work, at == UINT64_MAX ? UMBP_ENOSPC : 0, at);
    }
    self->stats.written_bytes += as.bytes;
    self->stats.syncs += batch->mode != UMBP_SHELF_RELAXED;
    umbp_shelf_settle (self, segment);
    umbp_shelf_pass ("told");
}

static void s_opened (umbp_shelf_t *self, umbp_shelf_batch_t *batch, int error)
{
    batch->opened = error == 0;
    if (error) {
        batch->dead = true;
        if (self->open == batch)
            self->open = NULL;
        batch->closing = true;
        s_tell_all (self, batch, umbp_shelf_status (error));
        return;
    }
    for (umbp_shelf_work_t *work = batch->first; work; work = work->next)
        if (!work->given && !work->told)
            s_give (self, batch, work);
}

static void s_written (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    umbp_shelf_batch_t *batch = work->batch;
    batch->writing--;
    if (work->overdue)
        umbp_shelf_say (self, UMBP_MEDIUM_RELEASED, 0, work->item, work->tag, 0);
    else if (work->error) {
        s_tell (self, work, umbp_shelf_status (work->error), 0);
        if (self->open == batch)
            umbp_shelf_close_batch (self);
    }
}

void umbp_shelf_wrote (umbp_shelf_t *self, umbp_shelf_work_t *work)
{
    umbp_shelf_batch_t *batch = work->batch;
    umbp_shelf_kind_t kind = work->kind;
    int error = work->error;
    bool begun = work->task.begun;
    batch->tasks--;
    umbp_shelf_heed (self, work);
    if (kind == UMBP_SHELF_WRITE)
        s_written (self, work);
    else
        umbp_shelf_work_free (work);
    if (kind == UMBP_SHELF_OPEN && !batch->dead)
        s_opened (self, batch, error);
    bool ends = kind == UMBP_SHELF_DISCARD ? begun : kind == UMBP_SHELF_PUBLISH && !batch->dead;
    if (ends) {
        if (kind == UMBP_SHELF_PUBLISH && error == 0)
            s_published (self, batch);
        s_tell_all (self, batch, error ? umbp_shelf_status (error) : UMBP_EIO);
        s_batch_free (self, batch);
        return;
    }
    if (kind == UMBP_SHELF_PUBLISH || kind == UMBP_SHELF_DISCARD)
        batch->publishing =
            false; //  It ended after all, and nobody waits for it; or it never began
    s_go_on (self, batch);
}

void umbp_shelf_go_on_all (umbp_shelf_t *self)
{
    for (umbp_shelf_batch_t *batch = self->batches; batch; batch = batch->next)
        s_go_on (self, batch);
}

void umbp_shelf_batches_free (umbp_shelf_t *self)
{
    while (self->batches) {
        if (self->batches->file != -1)
            close (self->batches->file);
        s_batch_free (self, self->batches);
    }
}

//  One of its tasks is overdue: all of its records are as if they had never been
void umbp_shelf_write_late (umbp_shelf_t *self, umbp_shelf_work_t *late)
{
    umbp_shelf_batch_t *batch = late->batch;
    batch->dead = batch->closing = true;
    if (self->open == batch)
        self->open = NULL;
    for (umbp_shelf_work_t *work = batch->first; work; work = work->next) {
        bool busy = work->given && !(work == late && !late->task.begun);
        if (!work->told)
            work->overdue = busy;
        s_tell (self, work, busy ? UMBP_ETIMEDOUT : UMBP_EIO, 0);
    }
}

//  ------------------------------------------------------------------------------------------------
//  Appending

static bool s_is_sound (const umbp_medium_record_t *record, const struct iovec *data, size_t count)
{
    uint64_t bytes = 0;
    for (size_t index = 0; index < count; index++)
        bytes += data[index].iov_len;
    return record->key_size > 0 && record->key_size <= UMBP_MEDIUM_KEY_MAX && record->size > 0
           && count > 0 && count <= UMBP_MEDIUM_PIECES_MAX && bytes == record->size;
}

//  A record as it goes to disk; its data stay where they are
static umbp_shelf_work_t *s_work_new (umbp_shelf_t *self, umbp_shelf_batch_t *batch,
                                      const umbp_medium_record_t *record, const struct iovec *data,
                                      size_t count)
{
    umbp_shelf_work_t *work = umbp_shelf_work_new (UMBP_SHELF_WRITE, (unsigned) count + 1);
    umbp_log_note_t *note = &work->note;
    bool large = record->size > UMBP_LOG_PACKED_MAX;
    *note = (umbp_log_note_t) {
        .seq = batch->counter, .place = umbp_log_up (batch->tail, large ? UMBP_LOG_BLOCK : 8),
        .serial = ++self->serial, .sum = record->sum, .size = record->size,
        .key_size = (uint16_t) record->key_size, .depth = record->depth,
        .type = large ? UMBP_LOG_TYPE_LARGE : UMBP_LOG_TYPE_PACKED, .replicas = record->replicas,
        .key = record->key,
    };
    work->stage_bytes = umbp_log_note_data (note);
    work->stage = zmalloc (work->stage_bytes);
    umbp_log_put_note (note, batch->id, work->stage);
    note->key = work->stage + UMBP_LOG_RECORD_BYTES;
    work->iov[0] = (struct iovec) { work->stage, work->stage_bytes };
    memcpy (work->iov + 1, data, count * sizeof *data);
    work->task.run = s_run_write;
    work->batch = batch;
    return work;
}

static uint64_t s_need (const umbp_medium_record_t *record)
{
    umbp_log_note_t note = { .type = record->size > UMBP_LOG_PACKED_MAX ? UMBP_LOG_TYPE_LARGE
                                                                        : UMBP_LOG_TYPE_PACKED,
                             .size = record->size, .key_size = (uint16_t) record->key_size };
    return umbp_log_note_room (&note) + umbp_log_entry_bytes (&note) + UMBP_LOG_BLOCK;
}

//  Bytes of what is being written
static uint64_t s_under_way (const umbp_shelf_t *self)
{
    uint64_t bytes = 0;
    for (const umbp_shelf_batch_t *batch = self->batches; batch; batch = batch->next)
        bytes += batch->tail + batch->entry_bytes + OVERHEAD;
    return bytes;
}

//  Is there room for it, in the batch that is open or another? 0, or why not.
static int s_look (umbp_shelf_t *self, uint64_t need)
{
    int state = umbp_shelf_state (self);
    uint64_t going = s_under_way (self) + need + OVERHEAD;
    if (state)
        return state;
    if (self->works >= UMBP_SHELF_WORKS_MAX || self->records_under_way >= UMBP_SHELF_WORKS_MAX)
        return UMBP_EAGAIN;
    if (need + 2 * OVERHEAD > self->args.capacity_bytes
        || self->record_count
               >= UMBP_SHELF_RECORDS_MAX - UMBP_SHELF_WORKS_MAX - self->foreign_count)
        return UMBP_ENOSPC;
    if (self->used_bytes + going > self->args.capacity_bytes) {
        umbp_shelf_make_room (self, going);
        return UMBP_EAGAIN;
    }
    if (self->open && self->open->tail + self->open->entry_bytes + need > self->args.segment_bytes)
        umbp_shelf_close_batch (self);
    unsigned most =
        self->args.mode == UMBP_SHELF_STRICT ? UMBP_SHELF_BATCHES_STRICT : UMBP_SHELF_BATCHES_MAX;
    if (self->open)
        return 0;
    if (self->stats.segments >= umbp_shelf_segments_most (self)) {
        umbp_shelf_make_room (self, going);
        return UMBP_EAGAIN;
    }
    return self->batch_count >= most ? UMBP_EAGAIN : 0;
}

int umbp_shelf_append (umbp_shelf_t *self, const umbp_medium_record_t *record,
                       const struct iovec *data, size_t count, uint32_t item, uint64_t tag)
{
    if (!s_is_sound (record, data, count))
        return UMBP_EINVAL;
    if (record->size > UMBP_MEDIUM_SIZE_MAX)
        return UMBP_ETOOBIG;
    int rc = s_look (self, s_need (record));
    if (rc < 0)
        return rc;
    if (!self->open)
        self->open = s_batch_new (self);
    umbp_shelf_batch_t *batch = self->open;
    umbp_shelf_work_t *work = s_work_new (self, batch, record, data, count);
    work->item = item;
    work->tag = tag;
    batch->tail = work->note.place + umbp_log_note_room (&work->note);
    batch->entry_bytes += umbp_log_entry_bytes (&work->note);
    batch->writing++;
    self->records_under_way++;
    *batch->end = work;
    batch->end = &work->next;
    if (batch->opened)
        s_give (self, batch, work);
    if (self->args.mode == UMBP_SHELF_STRICT)
        umbp_shelf_close_batch (self);
    return 0;
}

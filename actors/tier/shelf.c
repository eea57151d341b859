//  actors/tier/shelf.c - a shelf: its tasks, its time and its state; see shelf.h
#include "actors/tier/shelf_self.h"

#include <czmq.h>
#include <errno.h>

#include "proto/error.h"

#define ENDED_MAX 256                   //  Tasks in a turn

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
    if (!work->folder)
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
    if (!self->failed || self->probing || self->now - self->probed_at < self->args.deadline_ms)
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
    case UMBP_SHELF_FOLDERS: umbp_shelf_listed (self, work); break;
    case UMBP_SHELF_GONE: umbp_shelf_told (self, work); break;
    case UMBP_SHELF_UNLINK: umbp_shelf_deleted (self, work); break;
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
    umbp_shelf_tell_all (self, now_ms);
    umbp_shelf_go_on_all (self);
    umbp_shelf_delete_again (self);
    s_probe (self);
}

//  ------------------------------------------------------------------------------------------------
//  Events, and what it knows of itself

void umbp_shelf_say (umbp_shelf_t *self, umbp_medium_event_type_t type, int status, uint32_t item,
                     uint64_t tag, uint64_t at)
{
    umbp_medium_event_t event = { type, status, item, tag, at };
    if (umbp_completions_add (&self->completions, &event))
        umbp_hands_wake (self->hands);
}

int umbp_shelf_fd (umbp_shelf_t *self)
{
    return umbp_hands_fd (self->hands);
}

bool umbp_shelf_event (umbp_shelf_t *self, umbp_medium_event_t *event)
{
    if (umbp_completions_take (&self->completions, event))
        return true;
    umbp_hands_clear (self->hands);
    s_reap (self);
    return umbp_completions_take (&self->completions, event);
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

void umbp_shelf_heed (umbp_shelf_t *self, const umbp_shelf_work_t *work)
{
    int status = umbp_shelf_status (work->error);
    if (!work->task.begun || status == 0 || status == UMBP_ECHECKSUM || status == UMBP_ENOENT)
        return;
    self->stats.io_errors++;
    if (status == UMBP_ENOSPC)
        self->full_until = self->now + UMBP_SHELF_FULL_MS;
    else {
        self->bad_until = self->now + self->args.deadline_ms;
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

umbp_medium_stats_t umbp_shelf_stats (const umbp_shelf_t *self)
{
    umbp_medium_stats_t stats = self->stats;
    stats.capacity = self->args.capacity_bytes;
    stats.room = stats.capacity / 100 * 95;          //  Heads, tables, and the segment that is being written
    stats.records = self->record_count;
    stats.live_bytes = self->live_bytes;
    stats.dead_bytes = self->used_bytes - self->live_bytes;
    stats.waiting = self->works;
    stats.engine = "files";
    stats.state = self->failed ? UMBP_ETIMEDOUT : umbp_shelf_state (self);
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

//  actors/worker/rows.c - the life of a worker: devices first, then its process; at its end the
//  process first, then the devices. umbp_worker_step goes as far as it can now and is called again when
//  something happened: nothing here waits.
#include "actors/worker/self.h"

#include "actors/worker/proc.h"

#define TURNS_MAX 8                     //  Of a turn within itself
#define PAUSE_MS 1000                   //  So long nobody asks who could not take a partition back

umbp_worker_row_t *umbp_worker_find (umbp_worker_t *self, const char *uid)
{
    for (size_t index = 0; index < UMBP_WORKERS_MAX; index++)
        if (self->rows[index].record.json && streq (self->rows[index].record.uid, uid))
            return &self->rows[index];
    return NULL;
}

//  Only forward
static void s_advance (umbp_worker_t *self, umbp_worker_row_t *row, umbp_worker_state_t state)
{
    if (row->record.state >= state)
        return;
    row->record.state = state;
    self->dirty = true;
    umbp_worker_say (self, UMBP_WORKER_STATE, row, umbp_worker_state_name (state));
    zsys_info ("worker: %s is %s", row->record.uid, umbp_worker_state_name (state));
}

void umbp_worker_refuse (umbp_worker_t *self, umbp_worker_row_t *row, int status, const char *why)
{
    if (row->asked)
        umbp_post_refuse (self->post, &row->asker, status, row->record.uid, why);
    row->asked = row->settled = false;
}

//  ------------------------------------------------------------------------------------------------
//  Processes

static int s_on_end (zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void) loop;
    (void) item;
    umbp_worker_turn (arg);
    return 0;
}

static void s_watch (umbp_worker_t *self, umbp_worker_row_t *row)
{
    zmq_pollitem_t item = { .fd = umbp_process_fd (row->process), .events = ZMQ_POLLIN };
    row->fd = item.fd;
    if (item.fd != -1)
        zloop_poller (self->loop, &item, s_on_end, self);
}

static void s_unwatch (umbp_worker_t *self, umbp_worker_row_t *row)
{
    zmq_pollitem_t item = { .fd = row->fd, .events = ZMQ_POLLIN };
    if (row->fd != -1)
        zloop_poller_end (self->loop, &item);
    row->fd = -1;
}

static void s_note_process (umbp_worker_t *self, umbp_worker_row_t *row)
{
    umbp_worker_record_t *record = &row->record;
    record->pid = umbp_process_pid (row->process);
    record->start_ticks = umbp_process_ticks (row->process);
    snprintf (record->boot, sizeof record->boot, "%s", record->pid ? self->boot : "");
    self->dirty = true;
}

static void s_look (umbp_worker_t *self, umbp_worker_row_t *row, int64_t now)
{
    char text[64];
    int number = umbp_process_pid (row->process);
    if (!umbp_process_look (row->process, now))
        return;
    s_unwatch (self, row);
    row->record.exit_code = umbp_process_code (row->process);
    s_note_process (self, row);
    self->counts.exits++;
    snprintf (text, sizeof text, "pid %d ended, status %d", number, (int) row->record.exit_code);
    umbp_worker_say (self, UMBP_WORKER_ENDED, row, text);
    zsys_info ("worker: %s: %s", row->record.uid, text);
}

static void s_start (umbp_worker_t *self, umbp_worker_row_t *row, int64_t now)
{
    bool again = row->record.restarts > 0 || umbp_process_exits (row->process) > 0
                 || row->record.exit_code != 0;
    row->record.restarts += again;
    int rc = umbp_worker_launch (self, row, now, row->reason, sizeof row->reason);
    s_note_process (self, row);
    if (rc < 0) {
        self->counts.failed++;
        row->record.exit_code = umbp_process_code (row->process);
        umbp_worker_say (self, UMBP_WORKER_FAILED, row, row->reason);
        zsys_warning ("worker: %s: cannot start: %s; tried again in %" PRId64 " ms",
                      row->record.uid, row->reason, umbp_process_next (row->process) - now);
        return;
    }
    row->reason[0] = 0;
    self->counts.started++;
    s_watch (self, row);
    umbp_worker_say (self, UMBP_WORKER_STARTED, row, "");
    zsys_info ("worker: %s runs as pid %d", row->record.uid, umbp_process_pid (row->process));
}

//  The process that the file speaks of, if it is still that one. Its start tells, in the same run of
//  the kernel; a file that does not know it has to do with the worker's name in its environment.
static bool s_adopt_known (umbp_worker_t *self, umbp_worker_row_t *row)
{
    const umbp_worker_record_t *record = &row->record;
    uint64_t ticks = record->start_ticks;
    char uid[UMBP_NAME_MAX + 2];
    umbp_proc_stat_t stat;
    if (record->pid <= 0 || record->pid > INT32_MAX)
        return false;
    pid_t pid = (pid_t) record->pid;
    if (ticks && strneq (record->boot, self->boot))
        return false;
    if (!ticks) {
        if (umbp_proc_stat (UMBP_WORKER_PROC, pid, &stat) < 0
            || !umbp_proc_environ (UMBP_WORKER_PROC, pid, UMBP_WORKER_ID, uid, sizeof uid)
            || strneq (uid, record->uid))
            return false;
        ticks = stat.start_ticks;
    }
    return umbp_process_adopt (row->process, pid, ticks, zclock_mono ()) == 0;
}

//  One that we started and did not come to write down
static bool s_adopt_unknown (umbp_worker_t *self, umbp_worker_row_t *row)
{
    umbp_proc_stat_t stat;
    pid_t pid = self->starting ? umbp_proc_find (UMBP_WORKER_PROC, UMBP_WORKER_ID, row->record.uid,
                                                 UMBP_WORKER_HOME, self->folder)
                               : 0;
    return pid && umbp_proc_stat (UMBP_WORKER_PROC, pid, &stat) == 0
           && umbp_process_adopt (row->process, pid, stat.start_ticks, zclock_mono ()) == 0;
}

static void s_adopt (umbp_worker_t *self, umbp_worker_row_t *row)
{
    int64_t before = row->record.pid;
    if (!umbp_worker_has_process (&row->record))
        return;
    if (s_adopt_known (self, row) || s_adopt_unknown (self, row)) {
        self->counts.adopted++;
        s_watch (self, row);
        umbp_worker_say (self, UMBP_WORKER_ADOPTED, row, "");
        zsys_info ("worker: %s: took over pid %d", row->record.uid,
                   umbp_process_pid (row->process));
    } else if (before)
        zsys_info ("worker: %s: pid %" PRId64 " is gone", row->record.uid, before);
    s_note_process (self, row);
}

//  ------------------------------------------------------------------------------------------------
//  Rows

umbp_worker_row_t *umbp_worker_add (umbp_worker_t *self, const umbp_worker_record_t *record)
{
    umbp_worker_row_t *row = self->rows;
    while (row < self->rows + UMBP_WORKERS_MAX && row->record.json)
        row++;
    if (row == self->rows + UMBP_WORKERS_MAX)
        return NULL;
    *row = (umbp_worker_row_t){ .record = *record,
                                .fd = -1,
                                .seen = true,
                                .keeps = record->state == UMBP_WORKER_RUNNING
                                         || record->part_count > 0,
                                .over = record->state == UMBP_WORKER_TERMINATED };
    row->process = umbp_process_new (&self->times, UMBP_WORKER_PROC);
    self->counts.added++;
    umbp_worker_say (self, UMBP_WORKER_ADDED, row, "");
    s_adopt (self, row);
    return row;
}

//  If its record came back meanwhile it begins anew: what that says of partitions is over
static void s_remove (umbp_worker_t *self, umbp_worker_row_t *row)
{
    umbp_worker_record_t next = row->next;
    self->counts.removed++;
    umbp_worker_say (self, UMBP_WORKER_REMOVED, row, "");
    zsys_info ("worker: %s is no more", row->record.uid);
    umbp_worker_refuse (self, row, UMBP_ENOENT, "it was removed");
    s_unwatch (self, row);
    umbp_process_destroy (&row->process);
    umbp_worker_record_end (&row->record);
    *row = (umbp_worker_row_t){ .fd = -1 };
    if (!next.json)
        return;
    next.part_count = 0;
    umbp_worker_add (self, &next);
    self->again = self->dirty = true;
}

//  What the file says from now on, with what is ours
static void s_take_next (umbp_worker_row_t *row)
{
    umbp_worker_record_t *old = &row->record, *next = &row->next;
    next->state = old->state;
    next->pid = old->pid;
    next->start_ticks = old->start_ticks;
    memcpy (next->boot, old->boot, sizeof next->boot);
    next->restarts = old->restarts;
    next->exit_code = old->exit_code;
    next->port = old->port;
    next->stopped = old->stopped;
    next->part_count = old->part_count;
    memcpy (next->parts, old->parts, sizeof next->parts);
    bool same = umbp_worker_record_same_process (old, next);
    umbp_worker_record_end (old);
    *old = *next;
    *next = (umbp_worker_record_t){ .json = NULL };
    row->retry_at = 0;
    if (!same)
        umbp_process_forgive (row->process);
}

//  ------------------------------------------------------------------------------------------------
//  Devices

//  Before a partition is taken back it has to be known that no worker has it; and that it is there, which
//  no discovery shows. Returns whether the provider knows all that.
static bool s_tell_uses (umbp_worker_t *self)
{
    uint64_t changes = umbp_allocator_changes (self->allocator);
    if (!self->has_provider || !self->provider.hold || self->uses_said == changes)
        return true;
    umbp_device_use_t *uses = zmalloc (UMBP_DEVICE_ROWS_MAX * sizeof *uses);
    size_t count = umbp_allocator_uses (self->allocator, uses);
    if (self->provider.hold (self->provider.self, uses, count) == 0)
        self->uses_said = changes;
    free (uses);
    return self->uses_said == changes;
}

static void s_ask_provider (umbp_worker_t *self)
{
    const umbp_worker_provider_t *provider = &self->provider;
    umbp_device_job_t job;
    s_tell_uses (self);
    while (zclock_mono () >= self->ask_at && umbp_allocator_next (self->allocator, &job)) {
        int rc = UMBP_ENOTSUP;
        if (self->has_provider)
            rc = job.join ? provider->join (provider->self, job.ticket, job.partition)
                          : provider->split (provider->self, job.ticket, job.device, job.template);
        if (rc < 0)
            umbp_worker_done (self, job.ticket, rc, NULL);
    }
}

static void s_fail (umbp_worker_t *self, umbp_worker_row_t *row, int err, const char *why)
{
    bool news = strneq (row->reason, why);
    snprintf (row->reason, sizeof row->reason, "%s", why);
    row->retry_at = zclock_mono () + UMBP_WORKER_RETRY_MS;
    umbp_worker_refuse (self, row, err, row->reason);
    row->waits = true;
    row->gone |= row->made;
    self->again |= row->made;
    self->counts.failed++;
    if (!news)
        return;
    umbp_worker_say (self, UMBP_WORKER_FAILED, row, row->reason);
    zsys_warning ("worker: %s: no devices: %s", row->record.uid, row->reason);
}

static const char *s_partition_error (int err)
{
    switch (err) {
    case UMBP_ENOENT: return "its driver knows no such kind, or no such device";
    case UMBP_EEXIST: return "its driver gave it the name of another one";
    case UMBP_ENOSPC: return "its device has no room left";
    case UMBP_EAGAIN: return "its device is not well, or is in use: see umbp-console devices";
    case UMBP_EUNREACH:
    case UMBP_ETIMEDOUT: return "its driver did not answer in time: see umbp-console devices";
    default: return umbp_strerror (err);
    }
}

void umbp_worker_done (umbp_worker_sink_t *self, uint64_t ticket, int status, const char *partition)
{
    char uid[UMBP_NAME_MAX + 1], why[128];
    int err = 0;
    partition = partition ? partition : "";
    if (umbp_allocator_done (self->allocator, ticket, status, partition, uid, &err) < 0)
        return;
    umbp_worker_row_t *row = umbp_worker_find (self, uid);
    snprintf (why, sizeof why, "a partition could not be made: %s", s_partition_error (err));
    bool undoes = umbp_allocator_state (self->allocator, uid) == UMBP_HOLD_UNDOING;
    if (row && err && row->retry_at <= zclock_mono ())
        s_fail (self, row, err, why);
    else if (status < 0 && status != UMBP_ENOENT)
        zsys_warning ("worker: %s: a partition could not be taken back%s: %s", uid,
                      undoes ? ", tried again" : "", s_partition_error (status));
    if (status == UMBP_EAGAIN || status == UMBP_EUNREACH || status == UMBP_ETIMEDOUT)
        self->ask_at = zclock_mono () + PAUSE_MS;
    umbp_worker_turn (self);
}

static int s_ask_allocator (umbp_worker_t *self, const umbp_worker_row_t *row, char *why,
                            size_t size)
{
    const umbp_worker_record_t *record = &row->record;
    umbp_claim_t claim = { .uid = record->uid,
                           .devices = record->devices,
                           .count = record->device_count,
                           .mode = record->mode, .template = record->template,
                           .parts = record->parts, .part_count = record->part_count,
                           .keeps = row->keeps };
    return umbp_allocator_claim (self->allocator, &claim, why, size);
}

//  Nobody knows yet what there is. That is said, and who asks for an allocation is told, if it may take
//  long.
static void s_wait (umbp_worker_t *self, umbp_worker_row_t *row)
{
    if (!*self->wait)
        return;
    if (row->made)
        s_fail (self, row, UMBP_EAGAIN, self->wait);
    else if (umbp_process_pid (row->process) == 0)
        row->waits = snprintf (row->reason, sizeof row->reason, "%s", self->wait) > 0;
}

//  Claim partitions from before we started, so that they can be taken back. Returns false if that cannot
//  be done now: it is tried again in a while, or when the devices are others.
static bool s_reclaim (umbp_worker_t *self, umbp_worker_row_t *row)
{
    char why[UMBP_TEXT_MAX] = "no accelerator library is in use", text[UMBP_TEXT_MAX];
    if (zclock_mono () < row->retry_at)
        return false;
    if (!self->silent && s_ask_allocator (self, row, why, sizeof why) >= 0) {
        row->waits = false;
        row->reason[0] = 0;
        return true;
    }
    row->retry_at = zclock_mono () + UMBP_WORKER_RETRY_MS;
    row->waits = true;
    snprintf (text, sizeof text, "its partitions cannot be taken back yet: %.200s", why);
    if (strneq (row->reason, text))
        zsys_warning ("worker: %s: %s", row->record.uid, text);
    snprintf (row->reason, sizeof row->reason, "%s", text);
    return false;
}

//  Returns whether all its devices are free; then its record may still name partitions, which cannot be
//  taken back for now.
static bool s_free (umbp_worker_t *self, umbp_worker_row_t *row)
{
    umbp_worker_record_t *record = &row->record;
    bool held = umbp_allocator_state (self->allocator, record->uid) != UMBP_HOLD_NONE;
    if (record->part_count && !held && !row->freeing) {
        if (self->has_provider && !self->listed) {
            s_wait (self, row);
            return false;
        }
        held = s_reclaim (self, row);
        if (!held)
            return true;
    }
    if (!row->freeing && !s_tell_uses (self))
        return false;
    row->freeing = true;
    umbp_allocator_release (self->allocator, record->uid);
    s_ask_provider (self);
    if (umbp_allocator_state (self->allocator, record->uid) != UMBP_HOLD_NONE)
        return false;
    row->freeing = row->lost = row->keeps = row->splits = false;
    for (size_t other = 0; held && other < UMBP_WORKERS_MAX; other++)
        self->rows[other].retry_at = 0; //  Somebody may wait for just these
    self->again |= held;
    self->dirty |= record->part_count > 0;
    record->part_count = 0;
    return true;
}

static void s_claim (umbp_worker_t *self, umbp_worker_row_t *row)
{
    char why[UMBP_TEXT_MAX] = "";
    s_advance (self, row, UMBP_WORKER_ALLOCATING);
    int rc = s_ask_allocator (self, row, why, sizeof why);
    if (rc < 0)
        s_fail (self, row, rc, why);
    else
        s_ask_provider (self);
}

//  What was made for it is written down before it has all, so that nothing is forgotten if we are killed
static void s_note_parts (umbp_worker_t *self, umbp_worker_row_t *row)
{
    umbp_worker_record_t *record = &row->record;
    umbp_worker_part_t parts[UMBP_WORKER_DEVICES_MAX];
    bool splits = umbp_allocator_state (self->allocator, record->uid) != UMBP_HOLD_NONE;
    if (!splits && !row->splits)
        return;                         //  Those from before we started stay until it has its devices
    row->splits = splits;
    size_t count = umbp_allocator_parts (self->allocator, record->uid, parts);
    if (count != record->part_count || memcmp (parts, record->parts, count * sizeof *parts) != 0) {
        memcpy (record->parts, parts, count * sizeof *parts);
        record->part_count = count;
        self->dirty = true;
    }
}

//  Whether a device of it is gone or failed. What runs goes on: it has the device, and nobody else gets
//  it; but nothing is started there.
static void s_look_at_devices (umbp_worker_t *self, umbp_worker_row_t *row)
{
    char why[UMBP_TEXT_MAX] = "";
    bool lost = umbp_allocator_lost (self->allocator, row->record.uid, why, sizeof why);
    if (lost != row->lost) {
        umbp_worker_say (self, lost ? UMBP_WORKER_LOST : UMBP_WORKER_RETURNED, row,
                         lost ? why : "its devices are there again");
        if (lost)
            zsys_warning ("worker: %s: %s; its process is left alone, and not started again",
                          row->record.uid, why);
        else
            zsys_info ("worker: %s: its devices are there again", row->record.uid);
        self->counts.lost += lost;
    }
    if (lost || row->lost)
        snprintf (row->reason, sizeof row->reason, "%s", why);
    row->lost = lost;
}

//  It has its devices: so it runs, as far as we are concerned
static void s_hold (umbp_worker_t *self, umbp_worker_row_t *row)
{
    if (row->waits)
        row->reason[0] = 0;
    row->waits = false;
    s_look_at_devices (self, row);
    s_advance (self, row, UMBP_WORKER_RUNNING);
    row->made = false;
    row->settled |= row->asked && row->asker.type == UMBP_MSG_worker_allocate;
}

//  ------------------------------------------------------------------------------------------------
//  Steps

//  Devices, then the process
static void s_go_on (umbp_worker_t *self, umbp_worker_row_t *row, int64_t now)
{
    if (self->has_provider && !self->listed) {
        s_wait (self, row);
        return;
    }
    if (umbp_allocator_state (self->allocator, row->record.uid) == UMBP_HOLD_NONE
        && now >= row->retry_at)
        s_claim (self, row);
    else
        s_ask_provider (self);
    s_note_parts (self, row);
    if (umbp_allocator_state (self->allocator, row->record.uid) != UMBP_HOLD_HELD)
        return;
    s_hold (self, row);
    if (umbp_worker_has_process (&row->record) && !row->record.stopped && !row->lost
        && umbp_process_pid (row->process) == 0 && now >= umbp_process_next (row->process))
        s_start (self, row, now);
}

static void s_step (umbp_worker_t *self, umbp_worker_row_t *row, int64_t now)
{
    const umbp_worker_record_t *record = &row->record, *next = &row->next;
    s_look (self, row, now);
    bool leaves = row->gone || row->over || record->deleted || (next->json && next->deleted);
    bool devices = next->json && !umbp_worker_record_same_devices (record, next);
    bool process = next->json && !umbp_worker_record_same_process (record, next);
    if (umbp_process_pid (row->process) && (leaves || devices || process || record->stopped)) {
        umbp_process_stop (row->process, now);
        return;
    }
    if ((leaves || devices) && !s_free (self, row))
        return;
    if ((row->gone || devices) && record->part_count)
        return;                         //  Nobody else would know their names
    if (row->gone) {
        s_remove (self, row);
        return;
    }
    if (next->json)
        s_take_next (row);
    if (leaves)
        s_advance (self, row, UMBP_WORKER_TERMINATED);
    row->settled |= row->asked
                    && (row->record.state == UMBP_WORKER_TERMINATED
                        || (row->asker.type == UMBP_MSG_worker_stop && row->record.stopped));
    if (row->record.state < UMBP_WORKER_TERMINATED)
        s_go_on (self, row, now);
}

//  Those that run already keep their devices before others get any
static void s_step_those (umbp_worker_t *self, bool running)
{
    int64_t now = zclock_mono ();
    for (size_t index = 0; index < UMBP_WORKERS_MAX; index++)
        if (self->rows[index].record.json
            && (self->rows[index].record.state == UMBP_WORKER_RUNNING) == running)
            s_step (self, &self->rows[index], now);
}

void umbp_worker_turn (umbp_worker_t *self)
{
    self->again = true;
    if (self->turning)                  //  Who did that goes round once more
        return;
    self->turning = true;
    for (unsigned turn = 0; turn < TURNS_MAX && self->again; turn++) {
        self->again = false;
        s_step_those (self, true);
        s_step_those (self, false);
    }
    self->turning = false;
    s_tell_uses (self);
    if (self->dirty)
        umbp_worker_write (self);
    for (size_t index = 0; index < UMBP_WORKERS_MAX; index++)
        if (self->rows[index].settled)
            umbp_worker_answer (self, &self->rows[index]);
    umbp_worker_tell (self, zclock_mono ());
}

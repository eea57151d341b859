//  actors/worker.c - the processes that use this host's accelerators: messages and the loop. See
//  worker.h for the contract and worker/self.h for who does what.
#include "actors/worker.h"

#include "actors/worker/proc.h"
#include "actors/worker/self.h"

#define TICK_MS 100                     //  Starts, ends and listeners are as late as this, at most
#define LIST_MS 500                     //  How often devices are asked for
#define ENV_MAX 8                       //  Variables in an answer
#define ENV_VALUE_MAX 2048

//  Columns of texts, in one piece
typedef struct {
    uint8_t *bytes;
    uint16_t *sizes;
    size_t room, most;
    umbp_column_t column;
} texts_t;

static texts_t s_texts (size_t most, size_t longest)
{
    return (texts_t){ .bytes = zmalloc (most * longest + 1),
                      .sizes = zmalloc ((most + 1) * sizeof (uint16_t)),
                      .room = most * longest, .most = most };
}

//  What is too long is cut, at a letter
static void s_add (texts_t *texts, const char *text)
{
    size_t size = strlen (text), longest = texts->room / texts->most;
    size = size < longest ? size : longest;
    while (size > 0 && (text[size] & 0xc0) == 0x80)
        size--;
    assert (texts->column.count < texts->most);
    memcpy (texts->bytes + texts->column.size, text, size);
    texts->sizes[texts->column.count++] = (uint16_t) size;
    texts->column.size += (uint32_t) size;
}

static umbp_column_t s_column (const texts_t *texts)
{
    umbp_column_t column = texts->column;
    column.bytes = texts->bytes;
    column.sizes = texts->sizes;
    return column;
}

static void s_end (texts_t *texts)
{
    free (texts->bytes);
    free (texts->sizes);
}

//  ------------------------------------------------------------------------------------------------
//  Which workers there are

typedef struct {
    texts_t uids, names, spaces, pods, reasons, devices, partitions;
    uint8_t states[UMBP_WORKERS_MAX], modes[UMBP_WORKERS_MAX], qoses[UMBP_WORKERS_MAX],
        stops[UMBP_WORKERS_MAX], device_counts[UMBP_WORKERS_MAX], losts[UMBP_WORKERS_MAX];
    uint8_t frozens[UMBP_WORKERS_MAX];
    uint32_t pids[UMBP_WORKERS_MAX], inner_pids[UMBP_WORKERS_MAX], waits_ms[UMBP_WORKERS_MAX];
    uint64_t restarts[UMBP_WORKERS_MAX];
    uint16_t codes[UMBP_WORKERS_MAX];
    uint32_t count;
} list_t;

//  "" for a device of which it has no part
static const char *s_part_of (const umbp_worker_record_t *record, const char *device)
{
    for (size_t index = 0; index < record->part_count; index++)
        if (streq (record->parts[index].device, device))
            return record->parts[index].partition;
    return "";
}

static void s_list_row (list_t *list, const umbp_worker_row_t *row, int64_t now)
{
    const umbp_worker_record_t *record = &row->record;
    uint32_t at = list->count++;
    pid_t pid = umbp_process_pid (row->process);
    umbp_proc_map_t map = { .inner_pid = 0 };
    if (pid)
        umbp_proc_map (UMBP_WORKER_PROC, pid, &map);
    s_add (&list->uids, record->uid);
    s_add (&list->names, umbp_record_text (record->json, "WorkerName"));
    s_add (&list->spaces, umbp_record_text (record->json, "Namespace"));
    s_add (&list->pods, *map.pod ? map.pod : map.pod_uid);
    s_add (&list->reasons, row->reason);
    list->states[at] = (uint8_t) record->state;
    list->modes[at] = (uint8_t) record->mode;
    list->qoses[at] = (uint8_t) record->qos;
    list->losts[at] = row->lost;
    list->frozens[at] = umbp_process_is_frozen (row->process);
    list->stops[at] = record->stopped || umbp_process_is_stopping (row->process);
    list->pids[at] = (uint32_t) pid;
    list->inner_pids[at] = (uint32_t) map.inner_pid;
    list->restarts[at] = record->restarts;
    list->codes[at] = record->exit_code < 0 || record->exit_code > 255
                          ? UINT16_MAX
                          : (uint16_t) record->exit_code;
    int64_t wait =
        pid || !umbp_worker_has_process (record) ? 0 : umbp_process_next (row->process) - now;
    list->waits_ms[at] = wait > 0 ? (uint32_t) wait : 0;
    list->device_counts[at] = (uint8_t) record->device_count;
    for (size_t index = 0; index < record->device_count; index++) {
        s_add (&list->devices, record->devices[index]);
        s_add (&list->partitions, s_part_of (record, record->devices[index]));
    }
}

static void s_answer_list (umbp_worker_t *self, const umbp_origin_t *origin, const list_t *list)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_workers_ok, 0);
    umbp_msg_workers_ok_t *ok = &msg.workers_ok;
    uint32_t count = list->count;
    char folder[UMBP_TEXT_MAX + 1];
    snprintf (folder, sizeof folder, "%.*s", UMBP_TEXT_MAX, self->folder);
    ok->folder = umbp_text (folder);
    ok->bad = umbp_state_is_bad (self->state, UMBP_STATE_WORKERS)
              + umbp_state_is_bad (self->state, UMBP_STATE_DEVICES);
    ok->uids = s_column (&list->uids);
    ok->names = s_column (&list->names);
    ok->spaces = s_column (&list->spaces);
    ok->states = (umbp_u8s_t){ list->states, count };
    ok->losts = (umbp_u8s_t){ list->losts, count };
    ok->frozens = (umbp_u8s_t){ list->frozens, count };
    ok->modes = (umbp_u8s_t){ list->modes, count };
    ok->qoses = (umbp_u8s_t){ list->qoses, count };
    ok->pids = (umbp_u32s_t){ list->pids, count };
    ok->inner_pids = (umbp_u32s_t){ list->inner_pids, count };
    ok->pods = s_column (&list->pods);
    ok->restarts = (umbp_u64s_t){ list->restarts, count };
    ok->codes = (umbp_u16s_t){ list->codes, count };
    ok->waits_ms = (umbp_u32s_t){ list->waits_ms, count };
    ok->stops = (umbp_u8s_t){ list->stops, count };
    ok->reasons = s_column (&list->reasons);
    ok->device_counts = (umbp_u8s_t){ list->device_counts, count };
    ok->devices = s_column (&list->devices);
    ok->partitions = s_column (&list->partitions);
    umbp_post_answer (self->post, origin, &msg, NULL, 0);
}

//  As many as a column has room for: 4096 devices are 256 workers of 16
static void s_workers (void *owner, const umbp_mail_t *mail)
{
    umbp_worker_t *self = owner;
    umbp_text_t uid = mail->msg->workers.uid;
    list_t *list = zmalloc (sizeof (list_t));
    int64_t now = zclock_mono ();
    list->uids = s_texts (UMBP_WORKERS_MAX, UMBP_NAME_MAX);
    list->names = s_texts (UMBP_WORKERS_MAX, UMBP_NAME_MAX);
    list->spaces = s_texts (UMBP_WORKERS_MAX, UMBP_NAME_MAX);
    list->pods = s_texts (UMBP_WORKERS_MAX, UMBP_TEXT_MAX);
    list->reasons = s_texts (UMBP_WORKERS_MAX, UMBP_TEXT_MAX);
    list->devices = s_texts (UMBP_WORKERS_MAX * UMBP_WORKER_DEVICES_MAX, UMBP_NAME_MAX);
    list->partitions = s_texts (UMBP_WORKERS_MAX * UMBP_WORKER_DEVICES_MAX, UMBP_NAME_MAX);
    for (size_t index = 0; index < UMBP_WORKERS_MAX; index++)
        if (self->rows[index].record.json
            && (uid.size == 0 || umbp_text_is (uid, self->rows[index].record.uid)))
            s_list_row (list, &self->rows[index], now);
    if (uid.size && list->count == 0)
        umbp_post_refuse (self->post, mail->origin, UMBP_ENOENT, "uid", "no such worker");
    else
        s_answer_list (self, mail->origin, list);
    s_end (&list->uids);
    s_end (&list->names);
    s_end (&list->spaces);
    s_end (&list->pods);
    s_end (&list->reasons);
    s_end (&list->devices);
    s_end (&list->partitions);
    free (list);
}

//  ------------------------------------------------------------------------------------------------
//  Requests about one worker

static void s_add_variable (void *arg, const char *name, const char *value)
{
    texts_t *both = arg;
    s_add (&both[0], name);
    s_add (&both[1], value);
}

static void s_answer_allocated (umbp_worker_t *self, const umbp_worker_row_t *row)
{
    const umbp_worker_record_t *record = &row->record;
    texts_t devices = s_texts (UMBP_WORKER_DEVICES_MAX, UMBP_NAME_MAX),
            parts = s_texts (UMBP_WORKER_DEVICES_MAX, UMBP_NAME_MAX),
            env[] = { s_texts (ENV_MAX, UMBP_NAME_MAX), s_texts (ENV_MAX, ENV_VALUE_MAX) };
    for (size_t index = 0; index < record->device_count; index++) {
        s_add (&devices, record->devices[index]);
        s_add (&parts, s_part_of (record, record->devices[index]));
    }
    umbp_allocator_env (self->allocator, record, s_add_variable, env);
    s_add_variable (env, UMBP_WORKER_ID, record->uid);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_worker_allocate_ok, 0);
    msg.worker_allocate_ok.devices = s_column (&devices);
    msg.worker_allocate_ok.partitions = s_column (&parts);
    msg.worker_allocate_ok.env_names = s_column (&env[0]);
    msg.worker_allocate_ok.env_values = s_column (&env[1]);
    umbp_post_answer (self->post, &row->asker, &msg, NULL, 0);
    s_end (&devices);
    s_end (&parts);
    s_end (&env[0]);
    s_end (&env[1]);
}

void umbp_worker_answer (umbp_worker_t *self, umbp_worker_row_t *row)
{
    bool allocate = row->asker.type == UMBP_MSG_worker_allocate;
    if (allocate && row->record.state == UMBP_WORKER_RUNNING)
        s_answer_allocated (self, row);
    else
        umbp_post_answer_status (self->post, &row->asker, allocate ? UMBP_ESTALE : UMBP_OK);
    row->asked = row->settled = false;
}

//  Note who waits for this row: one at a time, until his time is over
static bool s_file (umbp_worker_t *self, umbp_worker_row_t *row, const umbp_mail_t *mail)
{
    if (row->asked && zclock_mono () < row->ask_until) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EAGAIN, "uid",
                          "somebody else waits for this worker: try again");
        return false;
    }
    umbp_worker_refuse (self, row, UMBP_ETIMEDOUT, "too late");
    row->asker = *mail->origin;
    row->ask_until = mail->expires;
    row->asked = true;
    return true;
}

//  The row of a request, or NULL and it is refused
static umbp_worker_row_t *s_row_of (umbp_worker_t *self, const umbp_mail_t *mail, umbp_text_t uid)
{
    char name[UMBP_NAME_MAX + 1];
    umbp_worker_row_t *row = umbp_worker_find (self, umbp_text_copy (uid, name, sizeof name));
    if (row && !row->gone)
        return row;
    umbp_post_refuse (self->post, mail->origin, UMBP_ENOENT, "uid",
                      "no such worker: see workers.json");
    return NULL;
}

//  A record as the message wants it. Returns 0, or UMBP_EINVAL with why.
static int s_wanted (const umbp_msg_worker_allocate_t *ask, umbp_worker_record_t *record, char *why,
                     size_t size)
{
    char uid[UMBP_NAME_MAX + 1], template[UMBP_NAME_MAX + 1],
        devices[UMBP_WORKER_DEVICES_MAX][UMBP_NAME_MAX + 1];
    const char *list[UMBP_WORKER_DEVICES_MAX];
    size_t offset = 0, count = ask->devices.count;
    if (count < 1 || count > UMBP_WORKER_DEVICES_MAX) {
        snprintf (why, size, "devices: allowed are 1 to %d", UMBP_WORKER_DEVICES_MAX);
        return UMBP_EINVAL;
    }
    for (size_t index = 0; index < count; index++) {
        umbp_bytes_t device = umbp_column_next (&ask->devices, index, &offset);
        umbp_text_t text = { (const char *) device.data, device.size };
        list[index] = umbp_text_copy (text, devices[index], sizeof devices[index]);
    }
    json_t *json = umbp_worker_record_make (
        umbp_text_copy (ask->uid, uid, sizeof uid), (umbp_isolation_t) ask->mode,
        umbp_text_copy (ask->template, template, sizeof template), list, count);
    int rc = json ? umbp_worker_record_read (record, json, why, size) : UMBP_EINVAL;
    if (!json)
        snprintf (why, size, "devices: not all of them are UTF-8");
    json_decref (json);
    return rc;
}

//  A worker of which only a message knows as yet
static umbp_worker_row_t *s_make (umbp_worker_t *self, const umbp_worker_record_t *wanted)
{
    umbp_worker_row_t *row = umbp_worker_add (self, wanted);
    if (row)
        row->made = row->fresh = true;
    return row;
}

static void s_allocate (void *owner, const umbp_mail_t *mail)
{
    umbp_worker_t *self = owner;
    umbp_worker_record_t wanted;
    char why[UMBP_TEXT_MAX] = "";
    int rc = s_wanted (&mail->msg->worker_allocate, &wanted, why, sizeof why);
    if (rc < 0) {
        umbp_post_refuse (self->post, mail->origin, rc, "allocate", why);
        return;
    }
    umbp_worker_row_t *row = umbp_worker_find (self, wanted.uid);
    if (row && (row->gone || row->over || row->record.state == UMBP_WORKER_TERMINATED))
        umbp_post_refuse (
            self->post, mail->origin, UMBP_ESTALE, "uid",
            "this worker is terminated: take another uid, or remove its record first");
    else if (row && !umbp_worker_record_same_devices (&row->record, &wanted))
        umbp_post_refuse (self->post, mail->origin, UMBP_EEXIST, "uid",
                          "it has other devices, or another mode: release it first");
    else if (row) {
        if (s_file (self, row, mail))
            row->retry_at = 0;
    } else if ((row = s_make (self, &wanted))) {
        s_file (self, row, mail);
        wanted.json = NULL;             //  Its reference is the row's
    } else
        umbp_post_refuse (self->post, mail->origin, UMBP_ENOSPC, "uid",
                          "too many workers: remove records of such that are terminated");
    umbp_worker_record_end (&wanted);
    umbp_worker_turn (self);
}

static void s_release (void *owner, const umbp_mail_t *mail)
{
    umbp_worker_t *self = owner;
    umbp_worker_row_t *row = s_row_of (self, mail, mail->msg->worker_release.uid);
    if (!row || !s_file (self, row, mail))
        return;
    row->over = true;
    umbp_worker_turn (self);
}

static void s_set_stopped (umbp_worker_t *self, umbp_worker_row_t *row, bool stopped)
{
    if (row->record.stopped == stopped)
        return;
    row->record.stopped = stopped;
    self->dirty = true;
}

//  Returns false, and has refused, unless the worker has a process to be started or stopped
static bool s_has_process (umbp_worker_t *self, const umbp_worker_row_t *row,
                           const umbp_mail_t *mail)
{
    bool over = row->over || row->record.state == UMBP_WORKER_TERMINATED;
    if (!over && umbp_worker_has_process (&row->record))
        return true;
    umbp_post_refuse (self->post, mail->origin, over ? UMBP_ESTALE : UMBP_EINVAL, "uid",
                      over ? "this worker is terminated"
                           : "its record names no executable, so it has no process");
    return false;
}

static void s_start_process (void *owner, const umbp_mail_t *mail)
{
    umbp_worker_t *self = owner;
    umbp_worker_row_t *row = s_row_of (self, mail, mail->msg->worker_start.uid);
    if (!row || !s_has_process (self, row, mail))
        return;
    s_set_stopped (self, row, false);
    if (row->asked && row->asker.type == UMBP_MSG_worker_stop)
        umbp_worker_refuse (self, row, UMBP_EAGAIN, "it is started again meanwhile");
    umbp_process_forgive (row->process);
    row->retry_at = 0;
    umbp_worker_turn (self);
    umbp_post_answer_status (self->post, mail->origin, UMBP_OK);
}

static void s_stop_process (void *owner, const umbp_mail_t *mail)
{
    umbp_worker_t *self = owner;
    umbp_worker_row_t *row = s_row_of (self, mail, mail->msg->worker_stop.uid);
    if (!row || !s_has_process (self, row, mail) || !s_file (self, row, mail))
        return;
    s_set_stopped (self, row, true);
    umbp_worker_turn (self);
}

static void s_freeze (void *owner, const umbp_mail_t *mail)
{
    umbp_worker_t *self = owner;
    bool frozen = mail->msg->worker_freeze.frozen;
    umbp_worker_row_t *row = s_row_of (self, mail, mail->msg->worker_freeze.uid);
    if (!row)
        return;
    bool was = umbp_process_is_frozen (row->process);
    if (umbp_process_is_stopping (row->process) || umbp_process_freeze (row->process, frozen) < 0) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EINVAL, "uid", "no process of it runs");
        return;
    }
    if (was != frozen)
        umbp_worker_say (self, frozen ? UMBP_WORKER_FROZEN : UMBP_WORKER_THAWED, row, "");
    umbp_post_answer_status (self->post, mail->origin, UMBP_OK);
    umbp_worker_turn (self);
}

static void s_events (void *owner, const umbp_mail_t *mail)
{
    umbp_worker_listen (owner, mail);
}

static const umbp_op_t s_ops[] = {
    { UMBP_MSG_workers, s_workers },
    { UMBP_MSG_worker_allocate, s_allocate },
    { UMBP_MSG_worker_release, s_release },
    { UMBP_MSG_worker_start, s_start_process },
    { UMBP_MSG_worker_stop, s_stop_process },
    { UMBP_MSG_worker_freeze, s_freeze },
    { UMBP_MSG_worker_events, s_events },
    { 0, NULL },
};

//  ------------------------------------------------------------------------------------------------
//  Devices, from whoever knows them

void umbp_worker_found (umbp_worker_sink_t *self, const umbp_device_record_t *rows, size_t count)
{
    self->silent = !rows;
    self->found_count = !rows ? 0 : count < UMBP_DEVICE_ROWS_MAX ? count : UMBP_DEVICE_ROWS_MAX;
    if (rows)
        memcpy (self->found, rows, self->found_count * sizeof *rows);
    self->listed = true;
    self->wait[0] = 0;
    umbp_worker_set_devices (self);
    if (!self->silent)
        umbp_worker_write_devices (self);
    umbp_worker_turn (self);
}

void umbp_worker_wait (umbp_worker_sink_t *self, const char *why)
{
    if (self->listed || streq (self->wait, why))
        return;
    snprintf (self->wait, sizeof self->wait, "%s", why);
    umbp_worker_turn (self);
}

//  ------------------------------------------------------------------------------------------------
//  Life

static void s_look (umbp_worker_t *self)
{
    umbp_worker_read (self);
    umbp_worker_turn (self);
}

static int s_on_change (zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void) loop;
    (void) item;
    umbp_worker_t *self = arg;
    umbp_state_drain (self->state);
    s_look (self);
    return 0;
}

static void s_tick (void *owner)
{
    umbp_worker_t *self = owner;
    int64_t now = zclock_mono ();
    if (self->has_provider && now >= self->list_at) {
        self->list_at = now + LIST_MS;
        self->provider.list (self->provider.self);
    }
    if (now >= self->look_at) {
        self->look_at = now + self->poll_ms;
        umbp_worker_read (self);
    }
    umbp_worker_turn (self);
}

static void s_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    umbp_worker_t *self = owner;
    self->post = post;
    self->loop = loop;
    self->starting = true;
    if (self->has_provider)
        self->provider.start (self->provider.self, post, self);
    zmq_pollitem_t item = { .fd = umbp_state_fd (self->state), .events = ZMQ_POLLIN };
    if (item.fd != -1)
        zloop_poller (loop, &item, s_on_change, self);
    else
        zsys_warning ("worker: nothing tells of changes in %s: looked at every %u ms", self->folder,
                      self->poll_ms);
    s_look (self);
    self->starting = false;
}

static void s_stat (void *owner, umbp_gauges_t *stats)
{
    const umbp_worker_t *self = owner;
    uint64_t workers = 0, states[UMBP_WORKER_STATES] = { 0 }, processes = 0, lost = 0;
    for (size_t index = 0; index < UMBP_WORKERS_MAX; index++)
        if (self->rows[index].record.json) {
            workers++;
            states[self->rows[index].record.state]++;
            processes += umbp_process_pid (self->rows[index].process) != 0;
            lost += self->rows[index].lost;
        }
    umbp_gauges_add (stats, "workers", workers);
    umbp_gauges_add (stats, "pending", states[UMBP_WORKER_PENDING]);
    umbp_gauges_add (stats, "allocating", states[UMBP_WORKER_ALLOCATING]);
    umbp_gauges_add (stats, "running", states[UMBP_WORKER_RUNNING]);
    umbp_gauges_add (stats, "terminated", states[UMBP_WORKER_TERMINATED]);
    umbp_gauges_add (stats, "processes", processes);
    umbp_gauges_add (stats, "devices", umbp_allocator_devices (self->allocator));
    umbp_gauges_add (stats, "holds", umbp_allocator_holds (self->allocator));
    umbp_gauges_add (stats, "devices_lost", lost);
    umbp_gauges_add (stats, "files_bad",
                     umbp_state_is_bad (self->state, UMBP_STATE_WORKERS)
                         + umbp_state_is_bad (self->state, UMBP_STATE_DEVICES));
    umbp_gauges_add (stats, "added", self->counts.added);
    umbp_gauges_add (stats, "removed", self->counts.removed);
    umbp_gauges_add (stats, "updated", self->counts.updated);
    umbp_gauges_add (stats, "started", self->counts.started);
    umbp_gauges_add (stats, "adopted", self->counts.adopted);
    umbp_gauges_add (stats, "exits", self->counts.exits);
    umbp_gauges_add (stats, "failed", self->counts.failed);
    umbp_gauges_add (stats, "losses", self->counts.lost);
    umbp_gauges_add (stats, "partitions_leaked", umbp_allocator_leaked (self->allocator));
    umbp_gauges_add (stats, "refused_moves", self->counts.refused_moves);
    umbp_gauges_add (stats, "rereads", self->counts.rereads);
    umbp_gauges_add (stats, "bad_files", self->counts.bad_files);
    umbp_gauges_add (stats, "bad_records", self->counts.bad_records);
    umbp_gauges_add (stats, "saves", self->counts.saves);
    umbp_gauges_add (stats, "merges", self->counts.merges);
    umbp_gauges_add (stats, "save_failures", self->counts.save_failures);
}

static void s_destroy (void **self_p)
{
    umbp_worker_t *self = *self_p;
    for (size_t index = 0; index < UMBP_WORKERS_MAX; index++) {
        umbp_worker_record_end (&self->rows[index].record);
        umbp_worker_record_end (&self->rows[index].next);
        umbp_process_destroy (&self->rows[index].process);
    }
    if (self->has_provider && self->provider.destroy)
        self->provider.destroy (&self->provider.self);
    umbp_allocator_destroy (&self->allocator);
    umbp_state_destroy (&self->state);
    freen (*self_p);
}

zactor_t *umbp_worker_new (const umbp_worker_args_t *args)
{
    char why[512] = "";
    int err = 0, policy = umbp_isolation_of (args->policy);
    umbp_worker_t *self = zmalloc (sizeof (umbp_worker_t));
    snprintf (self->folder, sizeof self->folder, "%s", args->folder);
    snprintf (self->logs, sizeof self->logs, "%s%s", *args->logs ? args->logs : args->folder,
              *args->logs ? "" : "/logs");
    self->times = umbp_process_times (args->backoff_ms, args->grace_ms);
    self->poll_ms = args->poll_ms;
    self->has_provider = args->provider != NULL;
    if (args->provider)
        self->provider = *args->provider;
    umbp_proc_boot (UMBP_WORKER_PROC, self->boot);
    self->allocator = umbp_allocator_new (
        policy < 0 ? UMBP_ISOLATION_DYNAMIC : (umbp_isolation_t) policy, self->has_provider);
    self->state = umbp_state_new (self->folder, &err, why, sizeof why);
    if (!self->state) {
        zsys_error ("worker: %s", why);
        s_destroy ((void **) &self);
        return NULL;
    }
    umbp_actor_args_t actor = { .name = "worker",
                                .home = args->home,
                                .door = true,
                                .ops = s_ops, .self = self, .start = s_start, .stat = s_stat,
                                .tick = s_tick, .tick_ms = TICK_MS, .destroy = s_destroy };
    return umbp_actor_new (&actor);
}

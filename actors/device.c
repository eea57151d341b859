//  actors/device.c - the device actor: its library and the jobs of its worker. See device.h.
#include "actors/device_self.h"

#include "accel/layout.h"

#define TICK_MS 100
#define END_MS 2000                     //  A library has so long to shut down
#define TELL_MS 1000                    //  How full devices are is said again after so long
#define NEVER INT64_MAX

umbp_device_state_t umbp_device_state (const umbp_device_self_t *self)
{
    if (self->hangs)
        return UMBP_DEVICE_STALE;
    if (self->refused)
        return UMBP_DEVICE_REFUSED;
    if (!*self->path)
        return UMBP_DEVICE_NONE;
    return self->found_at ? UMBP_DEVICE_ANSWERS : UMBP_DEVICE_STARTS;
}

//  What is wrong, said when it starts and when it is another thing, not each time
static void s_refuse (umbp_device_self_t *self, const char *why)
{
    if (!self->refused || strneq (self->why, why))
        zsys_warning ("device: %s", why);
    self->refused = true;
    snprintf (self->why, sizeof self->why, "%s", why);
}

static void s_accept (umbp_device_self_t *self)
{
    if (self->refused)
        zsys_info ("device: %s answers again", self->path);
    self->refused = false;
    self->why[0] = 0;
}

//  --------------------------------------------------------------------------------------------------
//  Splits and joins

static void s_end_ask (umbp_device_self_t *self, umbp_device_ask_t *ask, int status,
                       const char *field, const char *why)
{
    if (status < 0)
        umbp_post_refuse (self->post, &ask->origin, status, field, why);
    else
        umbp_post_answer_status (self->post, &ask->origin, UMBP_OK);
    ask->used = false;
}

static umbp_device_ask_t *s_free_ask (umbp_device_self_t *self)
{
    for (size_t index = 0; index < UMBP_DEVICE_ASKS_MAX; index++)
        if (!self->asks[index].used)
            return &self->asks[index];
    return NULL;
}

static void s_ask (umbp_device_self_t *self, const umbp_mail_t *mail, umbp_job_kind_t kind,
                   const umbp_device_row_t *device, const char *uuid, const char *template)
{
    umbp_device_ask_t *ask = s_free_ask (self);
    if (!ask || umbp_device_state (self) != UMBP_DEVICE_ANSWERS) {
        umbp_post_refuse (self->post, mail->origin, ask ? UMBP_EUNREACH : UMBP_EAGAIN, "uuid",
                          ask ? "the accelerator library does not answer now"
                              : "too many partitions are being made");
        return;
    }
    *ask = (umbp_device_ask_t){ .used = true,
                                .kind = kind,
                                .tag = ++self->tags,
                                 .expires = mail->expires, .origin = *mail->origin };
    memcpy (ask->key, device->device.key, sizeof ask->key);
    snprintf (ask->uuid, sizeof ask->uuid, "%s", uuid);
    snprintf (ask->template, sizeof ask->template, "%s", template);
}

static const umbp_device_row_t *s_row (umbp_device_self_t *self, umbp_text_t uuid)
{
    char text[UMBP_DEVICE_UUID_MAX + 1], key[UMBP_DEVICE_UUID_MAX];
    if (uuid.size >= UMBP_DEVICE_UUID_MAX)
        return NULL;
    umbp_text_copy (uuid, text, sizeof text);
    umbp_layout_key (text, key);
    return umbp_device_table_find (self->table, key);
}

static void s_next (umbp_device_self_t *self);

static void s_on_split (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    const umbp_msg_device_split_t *split = &mail->msg->device_split;
    const umbp_device_row_t *row = s_row (self, split->uuid);
    char template[UMBP_DEVICE_UUID_MAX];
    umbp_text_copy (split->template, template, sizeof template);
    if (!row || *row->parent)
        umbp_post_refuse (self->post, mail->origin, UMBP_ENOENT, "uuid", "there is no such device");
    else if (!(row->device.caps & UMBP_DEVICE_PARTITIONING))
        umbp_post_refuse (self->post, mail->origin, UMBP_ENOTSUP, "uuid",
                          "this device has no partitions");
    else if (row->health != UMBP_HEALTH_OK)
        umbp_post_refuse (self->post, mail->origin, UMBP_EAGAIN, "uuid",
                          "this device is not well: see its health");
    else
        s_ask (self, mail, UMBP_JOB_SPLIT, row, row->device.uuid, template);
    s_next (self);
}

static void s_on_join (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    const umbp_device_row_t *row = s_row (self, mail->msg->device_join.uuid);
    int rc = row ? umbp_device_table_may_join (self->table, row->device.key) : UMBP_ENOENT;
    const umbp_device_row_t *device =
        rc == 0 ? umbp_device_table_find (self->table, row->parent) : NULL;
    if (rc < 0 || !device)
        umbp_post_refuse (self->post, mail->origin, rc < 0 ? rc : UMBP_ENOENT, "uuid",
                          rc == UMBP_EAGAIN ? "a tier or a worker has it: drain or release it first"
                                            : "there is no such partition");
    else
        s_ask (self, mail, UMBP_JOB_JOIN, device, device->device.uuid, row->device.uuid);
    s_next (self);
}

static void s_on_claim (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    const umbp_msg_device_claim_t *claim = &mail->msg->device_claim;
    const umbp_device_row_t *row = s_row (self, claim->uuid);
    int rc =
        row ? umbp_device_table_claim (self->table, row->device.key, claim->bytes, zclock_mono ())
            : UMBP_ENOENT;
    umbp_post_answer_status (self->post, mail->origin, rc);
}

static void s_on_hold (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    const umbp_msg_device_hold_t *hold = &mail->msg->device_hold;
    umbp_device_hold_t *rows = zmalloc ((hold->uuids.count + 1) * sizeof *rows);
    size_t count = 0, uuids = 0, parents = 0;
    for (size_t index = 0; index < hold->uuids.count; index++) {
        umbp_bytes_t uuid = umbp_column_next (&hold->uuids, index, &uuids);
        umbp_bytes_t parent = umbp_column_next (&hold->parents, index, &parents);
        if (uuid.size >= UMBP_DEVICE_UUID_MAX || parent.size >= UMBP_DEVICE_UUID_MAX)
            continue;                   //  We have none of such a name
        memcpy (rows[count].uuid, uuid.data, uuid.size);
        memcpy (rows[count].parent, parent.data, parent.size);
        rows[count++].workers = umbp_u32s_at (hold->workers, index);
    }
    umbp_device_table_hold (self->table, rows, count, zclock_mono ());
    umbp_post_answer_status (self->post, mail->origin, UMBP_OK);
    free (rows);
}

//  A partition was made that nobody gets: it goes back, whenever its library lets it
static void s_take_back (umbp_device_self_t *self, umbp_device_ask_t *ask, const char *uuid,
                         int status, const char *why)
{
    zsys_warning ("device: partition %s of %s was %s, and is taken back", uuid, ask->uuid, why);
    umbp_post_refuse (self->post, &ask->origin, status, "uuid", why);
    ask->kind = UMBP_JOB_JOIN;
    ask->late = true;
    ask->given = false;
    snprintf (ask->template, sizeof ask->template, "%s", uuid);
}

static void s_took_back (umbp_device_self_t *self, umbp_device_ask_t *ask, int status)
{
    self->undone += status == 0;
    if (status < 0)
        zsys_warning ("device: partition %s of %s could not be taken back: %s", ask->template,
                      ask->uuid, umbp_strerror (status));
    ask->used = false;
}

//  Of one that its driver has lost we know no more either
static int s_file_join (umbp_device_self_t *self, const umbp_device_report_t *report)
{
    char key[UMBP_DEVICE_UUID_MAX];
    int rc = UMBP_OK;
    umbp_layout_key (report->uuid, key);
    if (report->status == 0 || report->status == UMBP_ENOENT)
        rc = umbp_device_table_join (self->table, key, zclock_mono ());
    return report->status < 0 ? report->status : rc;
}

static void s_take_split (umbp_device_self_t *self, umbp_device_ask_t *ask,
                          const umbp_device_report_t *report)
{
    int rc = report->status;
    if (ask->late) {
        s_took_back (self, ask, rc);
        return;
    }
    if (rc == 0 && ask->kind == UMBP_JOB_SPLIT && zclock_mono () >= ask->expires) {
        s_take_back (self, ask, report->uuid, UMBP_ETIMEDOUT, "made too late");
        return;
    }
    if (ask->kind == UMBP_JOB_JOIN)
        rc = s_file_join (self, report);
    else if (rc == 0)
        rc = umbp_device_table_split (self->table, ask->key, report->uuid, zclock_mono ());
    //  One with the name of another is not taken back: that one would go
    if (report->status == 0 && ask->kind == UMBP_JOB_SPLIT && rc < 0 && rc != UMBP_EEXIST) {
        s_take_back (self, ask, report->uuid, rc,
                     rc == UMBP_ENOSPC ? "made beyond what the table has room for"
                                       : "made of a device that is gone");
        return;
    }
    if (rc < 0 || ask->kind == UMBP_JOB_JOIN) {
        self->joins += rc == 0;
        s_end_ask (self, ask, rc, "uuid", "the accelerator library refuses");
        return;
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_device_split_ok, 0);
    answer.device_split_ok.uuid = umbp_text (report->uuid);
    umbp_post_answer (self->post, &ask->origin, &answer, NULL, 0);
    self->splits++;
    ask->used = false;
}

//  --------------------------------------------------------------------------------------------------
//  Reports

static void s_take_open (umbp_device_self_t *self, const umbp_device_report_t *report)
{
    int64_t now = zclock_mono ();
    self->opened = report->status == 0;
    self->discover_next = self->opened ? now : now + self->discover_ms;
    if (!self->opened) {
        s_refuse (self, report->why);
        return;
    }
    self->opened_at = now;
    s_accept (self);
    zsys_info ("device: loaded library=%s", self->path);
}

static void s_take_discovery (umbp_device_self_t *self, const umbp_device_report_t *report)
{
    int64_t now = zclock_mono ();
    self->discover_next = now + self->discover_ms;
    self->discoveries++;
    self->poll_next = now;
    if (report->status < 0) {
        self->discoveries_failed++;
        umbp_device_table_failed (self->table, "discovery failed", now);
        s_refuse (self, report->why);
        return;
    }
    s_accept (self);
    if (!self->found_at || (report->generation && self->generation != report->generation))
        zsys_info ("device: found devices=%u generation=%u library=%s", report->device_count,
                   report->generation, self->path);
    if (report->left_out && self->left_out != report->left_out)
        zsys_warning ("device: %llu devices beyond %d are left out",
                      (unsigned long long) report->left_out, UMBP_DEVICES_MAX);
    self->found_at = now;
    self->generation = report->generation;
    self->left_out = report->left_out;
    self->peer_count = report->peer_count;
    memcpy (self->peers, report->peers, report->peer_count * sizeof *self->peers);
    umbp_device_table_found (self->table, report->devices, report->device_count, now);
}

//  How many devices the last discovery found, those that are left out too
static size_t s_present (const umbp_device_self_t *self)
{
    size_t present = self->left_out;
    for (size_t index = 0; index < umbp_device_table_count (self->table); index++) {
        const umbp_device_row_t *row = umbp_device_table_row (self->table, index);
        present += row->present && !*row->parent;
    }
    return present;
}

static void s_take_poll (umbp_device_self_t *self, const umbp_device_report_t *report)
{
    int64_t now = zclock_mono ();
    self->poll_next = now + self->poll_ms;
    self->polls++;
    self->polls_failed += report->status < 0;
    umbp_device_table_polled (self->table, report->metrics, report->metrics_count, now);
    if (report->processes_status == 0) {
        self->processes_at = now;
        self->process_count = report->process_count;
        memcpy (self->processes, report->processes,
                report->process_count * sizeof *self->processes);
        umbp_device_table_processes (self->table, self->processes, self->process_count,
                                     (uint32_t) getpid ());
    }
    //  One came or went: look at once, and, as long as that did not help or one is sought, each time
    bool other = report->device_total >= 0 && (size_t) report->device_total != s_present (self);
    if (other && !self->seeks)
        self->discover_next = now;
    else if ((other || umbp_device_table_seeks (self->table))
             && self->discover_next > self->poll_next)
        self->discover_next = self->poll_next;
    self->seeks = other;
    self->tell_next = now;
}

static void s_take (umbp_device_self_t *self, const umbp_device_report_t *report)
{
    if (self->hangs)
        zsys_info ("device: the call that hung came back, library=%s", self->path);
    self->hangs = false;
    if (report->kind == UMBP_JOB_OPEN)
        s_take_open (self, report);
    else if (report->kind == UMBP_JOB_DISCOVER)
        s_take_discovery (self, report);
    else if (report->kind == UMBP_JOB_POLL)
        s_take_poll (self, report);
    else
        for (size_t index = 0; index < UMBP_DEVICE_ASKS_MAX; index++)
            if (self->asks[index].used && self->asks[index].tag == report->tag)
                s_take_split (self, &self->asks[index], report);
}

//  --------------------------------------------------------------------------------------------------
//  Jobs

static bool s_give (umbp_device_self_t *self, umbp_job_kind_t kind)
{
    umbp_job_t job = { .kind = kind };
    snprintf (job.path, sizeof job.path, "%s", self->path);
    return umbp_device_worker_do (self->worker, &job) == 0;
}

static bool s_give_ask (umbp_device_self_t *self)
{
    for (size_t index = 0; index < UMBP_DEVICE_ASKS_MAX; index++) {
        umbp_device_ask_t *ask = &self->asks[index];
        if (!ask->used || ask->given)
            continue;
        umbp_job_t job = { .kind = ask->kind, .tag = ask->tag };
        memcpy (job.uuid, ask->uuid, sizeof job.uuid);
        memcpy (job.template, ask->template, sizeof job.template);
        ask->given = umbp_device_worker_do (self->worker, &job) == 0;
        return ask->given;
    }
    return false;
}

//  The next thing that is due, if the worker is free
static void s_next (umbp_device_self_t *self)
{
    int64_t now = zclock_mono ();
    if (!self->worker || umbp_device_worker_busy (self->worker))
        return;
    if (!self->opened) {
        if (now >= self->discover_next)
            s_give (self, UMBP_JOB_OPEN);
    } else if (!s_give_ask (self)) {
        if (now >= self->discover_next)
            s_give (self, UMBP_JOB_DISCOVER);
        else if (self->found_at && now >= self->poll_next)
            s_give (self, UMBP_JOB_POLL);
    }
}

//  A call that takes too long: nobody waits for it, and devices are blamed once per poll that is lost
static void s_watch (umbp_device_self_t *self, int64_t now)
{
    int64_t since;
    const char *call = umbp_device_worker_call (self->worker, &since);
    if (!umbp_device_worker_busy (self->worker) || !*call || now - since < self->patience_ms)
        return;
    if (!self->hangs) {
        self->calls_hung++;
        self->hangs = true;
        self->blame_next = now;
        snprintf (self->why, sizeof self->why, "%s has not come back for %lld ms: the driver hangs",
                  call, (long long) (now - since));
        zsys_warning ("device: %s, what is known of devices is stale, library=%s", self->why,
                      self->path);
    }
    if (now < self->blame_next)
        return;
    self->blame_next = now + self->poll_ms;
    umbp_device_table_failed (self->table, "a call to its library hangs", now);
}

static void s_expire (umbp_device_self_t *self, int64_t now)
{
    for (size_t index = 0; index < UMBP_DEVICE_ASKS_MAX; index++) {
        umbp_device_ask_t *ask = &self->asks[index];
        //  What the worker has may still succeed, and then has to be filed: only its asker is told
        if (ask->used && !ask->given && !ask->late && (now >= ask->expires || self->hangs))
            s_end_ask (self, ask, UMBP_ETIMEDOUT, "uuid", "the accelerator library is busy");
    }
}

//  After each look, and so often that who does not hear of us knows that we are gone
static void s_tell (umbp_device_self_t *self, int64_t now)
{
    if (!self->tells || !self->found_at || now < self->tell_next)
        return;
    umbp_device_tell (self, now);
    self->tell_next = now + TELL_MS;
}

static void s_tick (void *owner)
{
    umbp_device_self_t *self = owner;
    int64_t now = zclock_mono ();
    if (!self->worker)
        return;
    s_watch (self, now);
    s_expire (self, now);
    s_next (self);
    s_tell (self, now);
}

static int s_on_report (zloop_t *loop, zmq_pollitem_t *item, void *owner)
{
    (void) loop;
    (void) item;
    umbp_device_self_t *self = owner;
    const umbp_device_report_t *report = umbp_device_worker_read (self->worker);
    if (report)
        s_take (self, report);
    s_next (self);
    return 0;
}

//  --------------------------------------------------------------------------------------------------
//  Life

static void s_on_devices (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    if (mail->msg->devices.discover)
        self->discover_next = 0;
    umbp_device_on_devices (owner, mail);
    s_next (self);
}

static void s_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    umbp_device_self_t *self = owner;
    self->post = post;
    self->loop = loop;
    if (!*self->path)
        return;
    self->worker = umbp_device_worker_new ();
    if (!self->worker) {
        s_refuse (self, "no thread is left for the accelerator library");
        return;
    }
    zmq_pollitem_t item = { .fd = umbp_device_worker_fd (self->worker), .events = ZMQ_POLLIN };
    zloop_poller (loop, &item, s_on_report, self);
    s_next (self);
}

static void s_destroy (void **self_p)
{
    umbp_device_self_t *self = *self_p;
    umbp_device_worker_destroy (&self->worker, self->hangs ? 0 : END_MS);
    umbp_device_table_destroy (&self->table);
    free (self->scratch);
    freen (*self_p);
}

//  Which library; that there is none, and why, is said here
static void s_find (umbp_device_self_t *self)
{
    char why[UMBP_FIND_WHY_MAX];
    if (umbp_find_library (&self->find, self->path, why) < 0)
        s_refuse (self, why);
    else if (!*self->path) {
        snprintf (self->why, sizeof self->why, "%s", why);
        zsys_info ("device: none, so no HBM: %s", why);
    }
}

zactor_t *umbp_device_actor_new (const umbp_device_args_t *args)
{
    static const umbp_op_t ops[] = {
        { UMBP_MSG_devices, s_on_devices },
        { UMBP_MSG_device_metrics, umbp_device_on_metrics },
        { UMBP_MSG_device_processes, umbp_device_on_processes },
        { UMBP_MSG_device_topology, umbp_device_on_topology },
        { UMBP_MSG_device_events, umbp_device_on_events },
        { UMBP_MSG_device_split, s_on_split },
        { UMBP_MSG_device_join, s_on_join },
        { UMBP_MSG_device_claim, s_on_claim },
        { UMBP_MSG_device_hold, s_on_hold },
        { 0, NULL },
    };
    umbp_device_self_t *self = zmalloc (sizeof (umbp_device_self_t));
    self->find = args->find;
    snprintf (self->setting, sizeof self->setting, "%s",
              args->find.setting ? args->find.setting : "");
    snprintf (self->folder, sizeof self->folder, "%s",
              args->folder && *args->folder ? args->folder : "/tmp");
    self->find.setting = self->setting;
    self->discover_ms = args->discover_ms ? args->discover_ms : 60000;
    self->poll_ms = args->poll_ms ? args->poll_ms : 5000;
    self->patience_ms = args->patience_ms ? args->patience_ms : 5000;
    self->tells = args->tells;
    self->table = umbp_device_table_new ();
    self->scratch = zmalloc (UMBP_DEVICE_SCRATCH_BYTES);
    s_find (self);
    umbp_actor_args_t actor = { .name = "device",
                                .home = args->home,
                                .ops = ops, .self = self,
                                .start = s_start, .stat = umbp_device_stat, .tick = s_tick,
                                .tick_ms = TICK_MS, .destroy = s_destroy };
    return umbp_actor_new (&actor);
}

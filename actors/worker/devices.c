//  actors/worker/devices.c - the worker's provider, by messages to the device actor. See devices.h.
#include "actors/worker/devices.h"

#include <ctype.h>

#include "actors/device_table.h"

#define ASK_MS 5000                     //  It answers at once, of what it knows
#define EVERY_MS 60000                  //  The list is asked for so often though nothing changed

//  Of the accelerator library, as in devices_ok
enum { NONE, STARTS, ANSWERS, STALE, REFUSED };

typedef struct {
    umbp_post_t *post;
    umbp_worker_sink_t *sink;
    unsigned split_ms;
    uint64_t last;                      //  Event of the device actor that our list has in it
    uint64_t state;                     //  Of the library, when we looked last
    bool heard;                         //  Devices were known once
    bool asking;
    int64_t next;                       //  When the list is asked for in any case
} self_t;

static void s_start (void *arg, umbp_post_t *post, umbp_worker_sink_t *sink)
{
    self_t *self = arg;
    self->post = post;
    self->sink = sink;
}

//  ------------------------------------------------------------------------------------------------
//  Which devices there are

//  Columns of devices_ok, walked from their front
typedef struct {
    size_t uuids, parents, vendors, models, drivers, firmwares, nodes;
} offsets_t;

static void s_copy (const umbp_column_t *column, size_t index, size_t *offset, char *out,
                    size_t size)
{
    umbp_bytes_t item = umbp_column_next (column, index, offset);
    umbp_text_copy ((umbp_text_t){ (const char *) item.data, item.size }, out, size);
}

static void s_lower (char *text)
{
    for (; *text; text++)
        *text = (char) tolower ((unsigned char) *text);
}

static void s_set_health (umbp_device_record_t *row, uint8_t health)
{
    static const char *const ills[] = {
        [UMBP_HEALTH_UNKNOWN] = "not polled yet", [UMBP_HEALTH_OK] = "",
        [UMBP_HEALTH_SUSPECT] = "suspect",        [UMBP_HEALTH_FAILED] = "failed",
        [UMBP_HEALTH_MISSING] = "missing",
    };
    snprintf (row->ill, sizeof row->ill, "%s",
              health < sizeof ills / sizeof *ills ? ills[health] : "unwell");
    row->lost = health >= UMBP_HEALTH_FAILED;
}

//  Limits are kept by a worker's process, whatever its device can do
static void s_take_row (const umbp_msg_devices_ok_t *ok, size_t index, offsets_t *at,
                        umbp_device_record_t *row)
{
    uint64_t limits = umbp_u64s_at (ok->limits, index);
    unsigned caps = umbp_u8s_at (ok->caps, index);
    *row = (umbp_device_record_t){ .index = umbp_u32s_at (ok->indexes, index),
                                   .numa = (int32_t) umbp_u32s_at (ok->numas, index),
                                   .memory_bytes = umbp_u64s_at (ok->totals, index),
                                   .tflops = (double) umbp_u64s_at (ok->gflops, index) / 1000,
                                   .units = umbp_u64s_at (ok->units, index),
                                   .pcie_gen = umbp_u8s_at (ok->pcie_gens, index),
                                   .pcie_width = umbp_u8s_at (ok->pcie_widths, index),
                                   .limits_self = true,
                                   .known = true,
                                   .partitions = caps & UMBP_DEVICE_PARTITIONING,
                                   .soft = caps & UMBP_DEVICE_SOFT, .hard = caps & UMBP_DEVICE_HARD,
                                   .partitions_max = (unsigned) (limits & UINT32_MAX),
                                   .workers_max = (unsigned) (limits >> 32),
                                   .policy = UMBP_ISOLATION_DYNAMIC };
    s_copy (&ok->uuids, index, &at->uuids, row->name, sizeof row->name);
    s_copy (&ok->parents, index, &at->parents, row->parent, sizeof row->parent);
    s_copy (&ok->vendors, index, &at->vendors, row->vendor, sizeof row->vendor);
    s_copy (&ok->models, index, &at->models, row->model, sizeof row->model);
    s_copy (&ok->drivers, index, &at->drivers, row->driver, sizeof row->driver);
    s_copy (&ok->firmwares, index, &at->firmwares, row->firmware, sizeof row->firmware);
    s_copy (&ok->nodes, index, &at->nodes, row->file, sizeof row->file);
    memcpy (row->uuid, row->name, sizeof row->uuid);
    s_lower (row->uuid);
    s_lower (row->parent);
    s_set_health (row, umbp_u8s_at (ok->healths, index));
}

static void s_take (self_t *self, const umbp_msg_devices_ok_t *ok)
{
    umbp_device_record_t *rows = zmalloc (UMBP_DEVICE_ROWS_MAX * sizeof *rows);
    size_t count = ok->uuids.count < UMBP_DEVICE_ROWS_MAX ? ok->uuids.count : UMBP_DEVICE_ROWS_MAX;
    offsets_t at = { 0 };
    for (size_t index = 0; index < count; index++)
        s_take_row (ok, index, &at, &rows[index]);
    umbp_worker_found (self->sink, rows, count);
    free (rows);
}

//  A library that works on is heard of, also when it fails now: then its devices have failed. One that
//  never did is waited for, unless there is none. The tag is the last event when it was asked for.
static void s_on_devices (void *arg, uint64_t tag, int status, const umbp_mail_t *mail)
{
    self_t *self = arg;
    self->asking = false;
    if (status < 0 || mail->msg->type != UMBP_MSG_devices_ok)
        return;                         //  What was known stays; asked again soon
    const umbp_msg_devices_ok_t *ok = &mail->msg->devices_ok;
    char why[UMBP_TEXT_MAX + 1], text[UMBP_TEXT_MAX];
    self->next = zclock_mono () + EVERY_MS;
    self->last = tag;
    self->state = ok->state;
    self->heard |= ok->state == ANSWERS;
    if (self->heard)
        s_take (self, ok);
    else if (ok->state == NONE || ok->state == REFUSED)
        umbp_worker_found (self->sink, NULL, 0);
    else if (ok->state == STALE) {
        umbp_text_copy (ok->reason, why, sizeof why);
        snprintf (text, sizeof text, "its devices are not known yet: %.200s", why);
        umbp_worker_wait (self->sink, text);
    }
}

static void s_on_events (void *arg, uint64_t tag, int status, const umbp_mail_t *mail)
{
    (void) tag;
    self_t *self = arg;
    self->asking = false;
    if (status < 0 || mail->msg->type != UMBP_MSG_device_events_ok)
        return;
    const umbp_msg_device_events_ok_t *ok = &mail->msg->device_events_ok;
    bool news = ok->last != self->last || ok->lost || self->state != ANSWERS;
    if (!news && zclock_mono () < self->next)
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_devices, 0);
    self->asking = umbp_post_ask_for (self->post, self, "device", NULL, &msg, NULL, 0, ASK_MS,
                                      s_on_devices, ok->last)
                   == 0;
}

static void s_list (void *arg)
{
    self_t *self = arg;
    umbp_msg_t msg;
    if (self->asking)
        return;
    umbp_msg_init (&msg, UMBP_MSG_device_events, 0);
    msg.device_events.since = self->last;
    self->asking =
        umbp_post_ask_for (self->post, self, "device", NULL, &msg, NULL, 0, ASK_MS, s_on_events, 0)
        == 0;
}

//  ------------------------------------------------------------------------------------------------
//  Partitions

static umbp_msg_t s_join_of (const char *partition)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_device_join, 0);
    msg.device_join.uuid = umbp_text (partition);
    return msg;
}

//  It was made after all, and nobody wants it
static void s_on_late_split (void *arg, const char *actor, const char *node,
                             const umbp_mail_t *mail)
{
    self_t *self = arg;
    char uuid[UMBP_NAME_MAX + 1];
    if (mail->msg->type != UMBP_MSG_device_split_ok)
        return;
    umbp_msg_t msg =
        s_join_of (umbp_text_copy (mail->msg->device_split_ok.uuid, uuid, sizeof uuid));
    zsys_warning ("worker: partition %s was made too late, and is taken back", uuid);
    umbp_post_tell (self->post, actor, node, &msg);
}

static void s_on_split (void *arg, uint64_t tag, int status, const umbp_mail_t *mail)
{
    self_t *self = arg;
    char uuid[UMBP_NAME_MAX + 1] = "";
    if (status == 0)
        umbp_text_copy (mail->msg->device_split_ok.uuid, uuid, sizeof uuid);
    else if (!mail)
        umbp_post_expect_late (self->post, "device", NULL, s_on_late_split);
    umbp_worker_done (self->sink, tag, status, uuid);
}

static int s_split (void *arg, uint64_t ticket, const char *device, const char *template)
{
    self_t *self = arg;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_device_split, 0);
    msg.device_split.uuid = umbp_text (device);
    msg.device_split.template = umbp_text (template);
    return umbp_post_ask_for (self->post, self, "device", NULL, &msg, NULL, 0, self->split_ms,
                              s_on_split, ticket);
}

static void s_on_join (void *arg, uint64_t tag, int status, const umbp_mail_t *mail)
{
    (void) mail;
    self_t *self = arg;
    umbp_worker_done (self->sink, tag, status, NULL);
}

static int s_join (void *arg, uint64_t ticket, const char *partition)
{
    self_t *self = arg;
    umbp_msg_t msg = s_join_of (partition);
    return umbp_post_ask_for (self->post, self, "device", NULL, &msg, NULL, 0, self->split_ms,
                              s_on_join, ticket);
}

//  ------------------------------------------------------------------------------------------------
//  What workers have

//  A column of one text of each use
static umbp_column_t s_texts (const umbp_device_use_t *uses, size_t count, size_t member,
                              uint8_t *bytes, uint16_t *sizes)
{
    umbp_column_t column = { bytes, sizes, 0, (uint32_t) count };
    for (size_t index = 0; index < count; index++) {
        const char *text = (const char *) &uses[index] + member;
        sizes[index] = (uint16_t) strlen (text);
        memcpy (bytes + column.size, text, sizes[index]);
        column.size += sizes[index];
    }
    return column;
}

static int s_hold (void *arg, const umbp_device_use_t *uses, size_t count)
{
    self_t *self = arg;
    static const size_t room = (size_t) UMBP_DEVICE_ROWS_MAX * UMBP_DEVICE_ID_MAX;
    uint8_t *bytes = zmalloc (2 * room);
    uint16_t sizes[2][UMBP_DEVICE_ROWS_MAX];
    uint32_t workers[UMBP_DEVICE_ROWS_MAX];
    umbp_msg_t msg;
    for (size_t index = 0; index < count; index++)
        workers[index] = uses[index].workers;
    umbp_msg_init (&msg, UMBP_MSG_device_hold, 0);
    msg.device_hold.uuids =
        s_texts (uses, count, offsetof (umbp_device_use_t, name), bytes, sizes[0]);
    msg.device_hold.parents =
        s_texts (uses, count, offsetof (umbp_device_use_t, parent), bytes + room, sizes[1]);
    msg.device_hold.workers = (umbp_u32s_t){ workers, (uint32_t) count };
    int rc = umbp_post_tell (self->post, "device", NULL, &msg);
    free (bytes);
    return rc;
}

static void s_destroy (void **self_p)
{
    freen (*self_p);
}

umbp_worker_provider_t umbp_worker_devices_new (unsigned split_ms)
{
    self_t *self = zmalloc (sizeof (self_t));
    self->split_ms = split_ms;
    return (umbp_worker_provider_t){ self, s_start, s_list, s_split, s_join, s_hold, s_destroy };
}

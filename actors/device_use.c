//  actors/device_use.c - what the device actor says of how devices are used: metrics, processes, gauges;
//  all from what it heard last. See device.h.
#include <unistd.h>

#include "accel/layout.h"
#include "actors/device_scratch.h"
#include "cluster/topology.h"

#define STALE_POLLS 3                   //  Metrics older than so many polls are not fresh

//  --------------------------------------------------------------------------------------------------
//  device_metrics

//  Rows that were asked for; NULL: there is no such device
typedef struct {
    const umbp_device_row_t *rows[UMBP_DEVICE_ROWS_MAX];
    char uuids[UMBP_DEVICE_ROWS_MAX][UMBP_NAME_MAX + 1];
    size_t count;
} wanted_t;

static void s_want (const umbp_device_self_t *self, const umbp_column_t *uuids, wanted_t *wanted)
{
    size_t offset = 0;
    wanted->count = uuids->count ? uuids->count : umbp_device_table_count (self->table);
    for (size_t index = 0; index < wanted->count; index++) {
        char key[UMBP_DEVICE_UUID_MAX];
        if (uuids->count) {
            umbp_bytes_t uuid = umbp_column_next (uuids, index, &offset);
            umbp_text_copy ((umbp_text_t) { (const char *) uuid.data, uuid.size },
                            wanted->uuids[index], sizeof wanted->uuids[index]);
            umbp_layout_key (wanted->uuids[index], key);
            wanted->rows[index] = umbp_device_table_find (self->table, key);
        } else {
            wanted->rows[index] = ROW (self, index);
            snprintf (wanted->uuids[index], sizeof wanted->uuids[index], "%s",
                      ROW (self, index)->device.uuid);
        }
    }
}

static const char *s_wanted_uuid (const void *arg, size_t index)
{
    return ((const wanted_t *) arg)->uuids[index];
}

static bool s_is_recent (const umbp_device_self_t *self, const umbp_device_row_t *row, int64_t now)
{
    return row->measured_at && umbp_device_state (self) == UMBP_DEVICE_ANSWERS
           && now - row->measured_at < STALE_POLLS * self->poll_ms + self->patience_ms;
}

//  How good a row's metrics are
static int s_freshness (const umbp_device_self_t *self, const umbp_device_row_t *row)
{
    if (!row)
        return UMBP_ENOENT;
    if (!row->measured_at)
        return UMBP_EAGAIN;
    return row->bad == 0 && s_is_recent (self, row, zclock_mono ()) ? UMBP_OK : UMBP_ESTALE;
}

typedef struct {
    const umbp_device_extra_t *rows[UMBP_DEVICE_ROWS_MAX * UMBP_EXTRAS_MAX];
    size_t count;
} extras_t;

static const char *s_extra_key (const void *arg, size_t index)
{
    return ((const extras_t *) arg)->rows[index]->key;
}

static void s_say_extras (const wanted_t *wanted, umbp_scratch_t *scratch,
                          umbp_msg_device_metrics_ok_t *ok)
{
    extras_t *all = umbp_scratch_room (scratch, 1, sizeof *all);
    uint8_t *counts = umbp_scratch_room (scratch, wanted->count, 1);
    all->count = 0;
    for (size_t index = 0; index < wanted->count; index++) {
        const umbp_device_row_t *row = wanted->rows[index];
        counts[index] = row ? (uint8_t) row->metrics.extra_count : 0;
        for (size_t extra = 0; extra < counts[index]; extra++)
            all->rows[all->count++] = &row->metrics.extras[extra];
    }
    uint64_t *millis = umbp_scratch_room (scratch, all->count, sizeof *millis);
    for (size_t index = 0; index < all->count; index++) {
        double value = all->rows[index]->value * 1000;
        millis[index] = value > 0 && value < 1e18 ? (uint64_t) value : 0;
    }
    ok->extra_counts = (umbp_u8s_t) { counts, (uint32_t) wanted->count };
    ok->extra_keys = umbp_scratch_texts (scratch, all->count, s_extra_key, all);
    ok->extra_millis = (umbp_u64s_t) { millis, (uint32_t) all->count };
}

static uint64_t s_milli (double value)
{
    return value > 0 && value < 1e15 ? (uint64_t) (value * 1000 + 0.5) : 0;
}

//  Of a row that may be NULL
#define WANTED(name, type, width, expression)                                                      \
    UMBP_SCRATCH_NUMBERS (name, wanted_t, from->count,                                             \
                          const umbp_device_row_t *row = from->rows[index], type, width,           \
                          row ? (expression) : 0)

WANTED (s_wanted_ages_ms, umbp_u64s_t, uint64_t, umbp_scratch_age (row->measured_at))
WANTED (s_wanted_powers_mw, umbp_u64s_t, uint64_t, s_milli (row->metrics.power_w))
WANTED (s_wanted_temperatures_mc, umbp_u64s_t, uint64_t, s_milli (row->metrics.temperature_c))
WANTED (s_wanted_rx_bytes, umbp_u64s_t, uint64_t, row->metrics.rx_bytes)
WANTED (s_wanted_tx_bytes, umbp_u64s_t, uint64_t, row->metrics.tx_bytes)
WANTED (s_wanted_busy_percents, umbp_u8s_t, uint8_t, row->metrics.busy_percent)
WANTED (s_wanted_useds, umbp_u64s_t, uint64_t, row->metrics.memory_used_bytes)
WANTED (s_wanted_totals, umbp_u64s_t, uint64_t, row->device.memory_bytes)
WANTED (s_wanted_foreigns, umbp_u64s_t, uint64_t, umbp_device_row_foreign (row))
WANTED (s_wanted_claims, umbp_u64s_t, uint64_t, row->claimed_bytes)

static void s_say_metrics (const umbp_device_self_t *self, const wanted_t *wanted,
                           umbp_scratch_t *scratch, umbp_msg_device_metrics_ok_t *ok)
{
    int8_t *statuses = umbp_scratch_room (scratch, wanted->count, 1);
    for (size_t index = 0; index < wanted->count; index++)
        statuses[index] = (int8_t) s_freshness (self, wanted->rows[index]);
    ok->statuses = (umbp_s8s_t) { statuses, (uint32_t) wanted->count };
    ok->uuids = umbp_scratch_texts (scratch, wanted->count, s_wanted_uuid, wanted);
    ok->ages_ms = s_wanted_ages_ms (wanted, scratch);
    ok->powers_mw = s_wanted_powers_mw (wanted, scratch);
    ok->temperatures_mc = s_wanted_temperatures_mc (wanted, scratch);
    ok->rx_bytes = s_wanted_rx_bytes (wanted, scratch);
    ok->tx_bytes = s_wanted_tx_bytes (wanted, scratch);
    ok->busy_percents = s_wanted_busy_percents (wanted, scratch);
    ok->useds = s_wanted_useds (wanted, scratch);
    ok->totals = s_wanted_totals (wanted, scratch);
    ok->foreigns = s_wanted_foreigns (wanted, scratch);
    ok->claims = s_wanted_claims (wanted, scratch);
    s_say_extras (wanted, scratch, ok);
}

void umbp_device_on_metrics (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    const umbp_column_t *uuids = &mail->msg->device_metrics.uuids;
    if (uuids->count > UMBP_DEVICE_ROWS_MAX) {
        umbp_post_refuse (self->post, mail->origin, UMBP_ETOOBIG, "uuids", "ask for 128 at most");
        return;
    }
    umbp_scratch_t scratch = umbp_scratch (self);
    wanted_t *wanted = umbp_scratch_room (&scratch, 1, sizeof *wanted);
    umbp_msg_t answer;
    s_want (self, uuids, wanted);
    umbp_msg_init (&answer, UMBP_MSG_device_metrics_ok, 0);
    s_say_metrics (self, wanted, &scratch, &answer.device_metrics_ok);
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  device_processes

static const char *s_process_device (const void *arg, size_t index)
{
    const umbp_device_self_t *self = arg;
    const char *key = self->processes[index].key;
    const umbp_device_row_t *row = umbp_device_table_find (self->table, key);
    return row ? row->device.uuid : *key ? key : "?";
}

#define PROCESSES(name, type, width, expression)                                                   \
    UMBP_SCRATCH_NUMBERS (name, umbp_device_self_t, from->process_count,                           \
                          const umbp_device_process_t *process = &from->processes[index], type,    \
                          width, expression)

PROCESSES (s_process_pids, umbp_u32s_t, uint32_t, process->pid)
PROCESSES (s_process_busy_percents, umbp_u8s_t, uint8_t,
           process->busy_percent < 100 ? process->busy_percent : 100)
PROCESSES (s_process_units_active, umbp_u64s_t, uint64_t, process->units_active)
PROCESSES (s_process_units, umbp_u64s_t, uint64_t, process->units)
PROCESSES (s_process_useds, umbp_u64s_t, uint64_t, process->memory_used_bytes)
PROCESSES (s_process_reserved, umbp_u64s_t, uint64_t, process->memory_reserved_bytes)
PROCESSES (s_process_own, umbp_u8s_t, uint8_t, process->pid == (uint32_t) getpid ())

void umbp_device_on_processes (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    umbp_scratch_t scratch = umbp_scratch (self);
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_device_processes_ok, 0);
    umbp_msg_device_processes_ok_t *ok = &answer.device_processes_ok;
    ok->age_ms = umbp_scratch_age (self->processes_at);
    ok->uuids = umbp_scratch_texts (&scratch, self->process_count, s_process_device, self);
    ok->pids = s_process_pids (self, &scratch);
    ok->busy_percents = s_process_busy_percents (self, &scratch);
    ok->units_active = s_process_units_active (self, &scratch);
    ok->units = s_process_units (self, &scratch);
    ok->useds = s_process_useds (self, &scratch);
    ok->reserved = s_process_reserved (self, &scratch);
    ok->own = s_process_own (self, &scratch);
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  capacity

//  A device that is there, and did not fail: one poll that it missed is no reason to forget what it said. Partitions
//  are parts of one.
static bool s_has_said (const umbp_device_self_t *self, const umbp_device_row_t *row, int64_t now)
{
    return !*row->parent && row->present && row->health != UMBP_HEALTH_FAILED
           && row->device.memory_bytes > 0 && s_is_recent (self, row, now);
}

static double s_share (const umbp_device_row_t *row)
{
    return (double) row->metrics.memory_used_bytes / (double) row->device.memory_bytes;
}

void umbp_device_tell (umbp_device_self_t *self, int64_t now)
{
    const umbp_device_row_t *fullest = NULL;
    for (size_t index = 0; index < umbp_device_table_count (self->table); index++) {
        const umbp_device_row_t *row = ROW (self, index);
        if (s_has_said (self, row, now) && (!fullest || s_share (row) > s_share (fullest)))
            fullest = row;
    }
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_capacity, 0);
    msg.capacity.tier = UMBP_TIER_HBM;
    if (fullest) {
        msg.capacity.total = fullest->device.memory_bytes;
        msg.capacity.used = fullest->metrics.memory_used_bytes;
    }
    umbp_post_tell (self->post, "pressure", NULL, &msg);
}

//  --------------------------------------------------------------------------------------------------
//  stat

void umbp_device_stat (void *owner, umbp_gauges_t *gauges)
{
    static const char *const names[UMBP_HEALTHS] = { "devices_unknown", "devices_ok",
                                                     "devices_suspect", "devices_failed",
                                                     "devices_missing" };
    umbp_device_self_t *self = owner;
    size_t count = umbp_device_table_count (self->table);
    uint64_t healths[UMBP_HEALTHS] = { 0 }, partitions = 0, total = 0, used = 0, foreign = 0;
    uint64_t claimed = 0, held = 0, logged, hidden;
    for (size_t index = 0; index < count; index++) {
        const umbp_device_row_t *row = ROW (self, index);
        partitions += *row->parent != 0;
        healths[row->health] += *row->parent == 0;
        total += row->device.memory_bytes;
        used += row->metrics.memory_used_bytes;
        foreign += umbp_device_row_foreign (row);
        claimed += row->claimed_bytes;
        held += row->workers > 0;
    }
    umbp_gauges_add (gauges, "devices", count - partitions);
    for (size_t health = 0; health < UMBP_HEALTHS; health++)
        umbp_gauges_add (gauges, names[health], healths[health]);
    umbp_gauges_add (gauges, "partitions", partitions);
    umbp_gauges_add (gauges, "memory_total_bytes", total);
    umbp_gauges_add (gauges, "memory_used_bytes", used);
    umbp_gauges_add (gauges, "memory_foreign_bytes", foreign);
    umbp_gauges_add (gauges, "memory_claimed_bytes", claimed);
    umbp_gauges_add (gauges, "held", held);
    umbp_gauges_add (gauges, "processes", self->process_count);
    umbp_gauges_add (gauges, "library_state", umbp_device_state (self));
    umbp_gauges_add (gauges, "library_generation", self->generation);
    umbp_gauges_add (gauges, "discoveries", self->discoveries);
    umbp_gauges_add (gauges, "discoveries_failed", self->discoveries_failed);
    umbp_gauges_add (gauges, "polls", self->polls);
    umbp_gauges_add (gauges, "polls_failed", self->polls_failed);
    umbp_gauges_add (gauges, "calls_hung", self->calls_hung);
    umbp_gauges_add (gauges, "events", umbp_device_table_last (self->table));
    umbp_gauges_add (gauges, "splits", self->splits);
    umbp_gauges_add (gauges, "joins", self->joins);
    umbp_gauges_add (gauges, "splits_undone", self->undone);
    umbp_library_lines (&logged, &hidden);
    umbp_gauges_add (gauges, "library_lines", logged);
    umbp_gauges_add (gauges, "library_lines_hidden", hidden);
}

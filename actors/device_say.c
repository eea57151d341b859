//  actors/device_say.c - the answers of the device actor, all from what it heard last. See device.h.
#include "actors/device_self.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include "accel/layout.h"

#define STALE_POLLS 3                   //  Metrics older than so many polls are not fresh

//  --------------------------------------------------------------------------------------------------
//  Columns, one after the other in the scratch of the actor

typedef struct {
    uint8_t *at, *end;
} scratch_t;

static scratch_t s_scratch (umbp_device_self_t *self)
{
    return (scratch_t) { self->scratch, self->scratch + UMBP_DEVICE_SCRATCH_BYTES };
}

//  Room for so many numbers; our bounds are such that it is there
static void *s_room (scratch_t *scratch, size_t count, size_t width)
{
    uint8_t *room = (uint8_t *) (((uintptr_t) scratch->at + 7) & ~(uintptr_t) 7);
    assert ((size_t) (scratch->end - room) >= count * width);
    scratch->at = room + count * width;
    return room;
}

typedef const char *(text_fn) (const void *arg, size_t index);

static umbp_column_t s_texts (scratch_t *scratch, size_t count, text_fn *text, const void *arg)
{
    uint16_t *sizes = s_room (scratch, count, sizeof *sizes);
    uint8_t *bytes = scratch->at;
    size_t used = 0;
    for (size_t index = 0; index < count; index++) {
        const char *from = text (arg, index);
        sizes[index] = (uint16_t) strlen (from);
        assert ((size_t) (scratch->end - bytes) >= used + sizes[index]);
        for (size_t byte = 0; byte < sizes[index]; byte++)
            bytes[used++] = (uint8_t) from[byte];
    }
    scratch->at = bytes + used;
    return (umbp_column_t) { bytes, sizes, (uint32_t) used, (uint32_t) count };
}

//  A member of every row of the table, as a text or a number
#define ROW(self, index) umbp_device_table_row ((self)->table, index)
#define TEXTS(name, expression)                                                                    \
    static const char *name (const void *arg, size_t index)                                        \
    {                                                                                              \
        const umbp_device_row_t *row = umbp_device_table_row (arg, index);                         \
        return expression;                                                                         \
    }

static const char *s_parent_uuid (const umbp_device_table_t *table, const umbp_device_row_t *row)
{
    const umbp_device_row_t *parent =
        *row->parent ? umbp_device_table_find (table, row->parent) : NULL;
    return parent ? parent->device.uuid : "";
}

TEXTS (s_uuid, row->device.uuid)
TEXTS (s_parent, s_parent_uuid (arg, row))
TEXTS (s_vendor, row->device.vendor)
TEXTS (s_model, row->device.model)
TEXTS (s_driver, row->device.driver)
TEXTS (s_firmware, row->device.firmware)
TEXTS (s_node, row->device.node)

//  ... or as a number, of all rows
#define NUMBERS(name, type, width, expression)                                                     \
    static type name (const umbp_device_self_t *self, scratch_t *scratch)                          \
    {                                                                                              \
        size_t count = umbp_device_table_count (self->table);                                      \
        width *numbers = s_room (scratch, count, sizeof *numbers);                                 \
        for (size_t index = 0; index < count; index++) {                                           \
            const umbp_device_row_t *row = ROW (self, index);                                      \
            numbers[index] = (width) (expression);                                                 \
        }                                                                                          \
        return (type) { numbers, (uint32_t) count };                                               \
    }

static uint64_t s_age (int64_t at)
{
    return at ? (uint64_t) (zclock_mono () - at) : 0;
}

//  Of a device; a partition has none of its own
static size_t s_property_count (const umbp_device_row_t *row)
{
    return *row->parent ? 0 : row->device.property_count;
}

NUMBERS (s_indexes, umbp_u32s_t, uint32_t, row->device.index)
NUMBERS (s_numas, umbp_u32s_t, uint32_t, row->device.numa)
NUMBERS (s_totals, umbp_u64s_t, uint64_t, row->device.memory_bytes)
NUMBERS (s_units, umbp_u64s_t, uint64_t, row->device.units)
NUMBERS (s_gflops, umbp_u64s_t, uint64_t, row->device.gflops)
NUMBERS (s_pcie_gens, umbp_u8s_t, uint8_t, row->device.pcie_gen)
NUMBERS (s_pcie_widths, umbp_u8s_t, uint8_t,
         row->device.pcie_width < 255 ? row->device.pcie_width : 255)
NUMBERS (s_caps, umbp_u8s_t, uint8_t, row->device.caps)
NUMBERS (s_limits, umbp_u64s_t, uint64_t,
         (uint64_t) row->device.workers_max << 32 | row->device.partitions_max)
NUMBERS (s_healths, umbp_u8s_t, uint8_t, row->health)
NUMBERS (s_since_ms, umbp_u64s_t, uint64_t, s_age (row->since))
NUMBERS (s_property_counts, umbp_u8s_t, uint8_t, s_property_count (row))

//  --------------------------------------------------------------------------------------------------
//  devices

//  Pairs of a row and one of its properties, to walk all of them
typedef struct {
    const umbp_device_property_t *rows[UMBP_DEVICES_MAX * UMBP_DEVICE_PROPERTIES_MAX];
    size_t count;
} properties_t;

static const char *s_property_key (const void *arg, size_t index)
{
    return ((const properties_t *) arg)->rows[index]->key;
}

static const char *s_property_value (const void *arg, size_t index)
{
    return ((const properties_t *) arg)->rows[index]->value;
}

static void s_say_properties (umbp_device_self_t *self, scratch_t *scratch, size_t count,
                              umbp_msg_devices_ok_t *ok)
{
    properties_t *all = s_room (scratch, 1, sizeof *all);
    all->count = 0;
    for (size_t index = 0; index < count; index++)
        for (size_t row = 0; row < s_property_count (ROW (self, index)); row++)
            if (all->count < UMBP_DEVICES_MAX * UMBP_DEVICE_PROPERTIES_MAX)
                all->rows[all->count++] = &ROW (self, index)->device.properties[row];
    ok->property_counts = s_property_counts (self, scratch);
    ok->property_keys = s_texts (scratch, all->count, s_property_key, all);
    ok->property_values = s_texts (scratch, all->count, s_property_value, all);
}

static void s_say_devices (umbp_device_self_t *self, scratch_t *scratch, umbp_msg_devices_ok_t *ok)
{
    size_t count = umbp_device_table_count (self->table);
    ok->uuids = s_texts (scratch, count, s_uuid, self->table);
    ok->parents = s_texts (scratch, count, s_parent, self->table);
    ok->vendors = s_texts (scratch, count, s_vendor, self->table);
    ok->models = s_texts (scratch, count, s_model, self->table);
    ok->drivers = s_texts (scratch, count, s_driver, self->table);
    ok->firmwares = s_texts (scratch, count, s_firmware, self->table);
    ok->nodes = s_texts (scratch, count, s_node, self->table);
    ok->indexes = s_indexes (self, scratch);
    ok->numas = s_numas (self, scratch);
    ok->totals = s_totals (self, scratch);
    ok->units = s_units (self, scratch);
    ok->gflops = s_gflops (self, scratch);
    ok->pcie_gens = s_pcie_gens (self, scratch);
    ok->pcie_widths = s_pcie_widths (self, scratch);
    ok->caps = s_caps (self, scratch);
    ok->limits = s_limits (self, scratch);
    ok->healths = s_healths (self, scratch);
    ok->since_ms = s_since_ms (self, scratch);
    s_say_properties (self, scratch, count, ok);
}

void umbp_device_on_devices (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    umbp_msg_t answer;
    char why[UMBP_TEXT_MAX];
    scratch_t scratch = s_scratch (self);
    umbp_msg_init (&answer, UMBP_MSG_devices_ok, 0);
    umbp_msg_devices_ok_t *ok = &answer.devices_ok;
    snprintf (why, sizeof why, "%.255s", self->why);
    ok->library = umbp_text (self->path);
    ok->generation = self->generation;
    ok->state = umbp_device_state (self);
    ok->reason = umbp_text (why);
    ok->age_ms = s_age (self->found_at);
    s_say_devices (self, &scratch, ok);
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

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

//  How good a row's metrics are
static int s_freshness (const umbp_device_self_t *self, const umbp_device_row_t *row)
{
    if (!row)
        return UMBP_ENOENT;
    if (!row->measured_at)
        return UMBP_EAGAIN;
    bool fresh =
        umbp_device_state (self) == UMBP_DEVICE_ANSWERS && row->bad == 0
        && zclock_mono () - row->measured_at < STALE_POLLS * self->poll_ms + self->patience_ms;
    return fresh ? UMBP_OK : UMBP_ESTALE;
}

typedef struct {
    const umbp_device_extra_t *rows[UMBP_DEVICE_ROWS_MAX * UMBP_EXTRAS_MAX];
    size_t count;
} extras_t;

static const char *s_extra_key (const void *arg, size_t index)
{
    return ((const extras_t *) arg)->rows[index]->key;
}

static void s_say_extras (const wanted_t *wanted, scratch_t *scratch,
                          umbp_msg_device_metrics_ok_t *ok)
{
    extras_t *all = s_room (scratch, 1, sizeof *all);
    uint8_t *counts = s_room (scratch, wanted->count, 1);
    all->count = 0;
    for (size_t index = 0; index < wanted->count; index++) {
        const umbp_device_row_t *row = wanted->rows[index];
        counts[index] = row ? (uint8_t) row->metrics.extra_count : 0;
        for (size_t extra = 0; extra < counts[index]; extra++)
            all->rows[all->count++] = &row->metrics.extras[extra];
    }
    uint64_t *millis = s_room (scratch, all->count, sizeof *millis);
    for (size_t index = 0; index < all->count; index++) {
        double value = all->rows[index]->value * 1000;
        millis[index] = value > 0 && value < 1e18 ? (uint64_t) value : 0;
    }
    ok->extra_counts = (umbp_u8s_t) { counts, (uint32_t) wanted->count };
    ok->extra_keys = s_texts (scratch, all->count, s_extra_key, all);
    ok->extra_millis = (umbp_u64s_t) { millis, (uint32_t) all->count };
}

static uint64_t s_milli (double value)
{
    return value > 0 && value < 1e15 ? (uint64_t) (value * 1000 + 0.5) : 0;
}

//  Of a row that may be NULL
#define WANTED(name, type, width, expression)                                                      \
    static type name (const wanted_t *wanted, scratch_t *scratch)                                  \
    {                                                                                              \
        width *numbers = s_room (scratch, wanted->count, sizeof *numbers);                         \
        for (size_t index = 0; index < wanted->count; index++) {                                   \
            const umbp_device_row_t *row = wanted->rows[index];                                    \
            numbers[index] = (width) (row ? (expression) : 0);                                     \
        }                                                                                          \
        return (type) { numbers, (uint32_t) wanted->count };                                       \
    }

WANTED (s_wanted_ages_ms, umbp_u64s_t, uint64_t, s_age (row->measured_at))
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
                           scratch_t *scratch, umbp_msg_device_metrics_ok_t *ok)
{
    int8_t *statuses = s_room (scratch, wanted->count, 1);
    for (size_t index = 0; index < wanted->count; index++)
        statuses[index] = (int8_t) s_freshness (self, wanted->rows[index]);
    ok->statuses = (umbp_s8s_t) { statuses, (uint32_t) wanted->count };
    ok->uuids = s_texts (scratch, wanted->count, s_wanted_uuid, wanted);
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
    scratch_t scratch = s_scratch (self);
    wanted_t *wanted = s_room (&scratch, 1, sizeof *wanted);
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
    static type name (const umbp_device_self_t *self, scratch_t *scratch)                          \
    {                                                                                              \
        width *numbers = s_room (scratch, self->process_count, sizeof *numbers);                   \
        for (size_t index = 0; index < self->process_count; index++) {                             \
            const umbp_device_process_t *process = &self->processes[index];                        \
            numbers[index] = (width) (expression);                                                 \
        }                                                                                          \
        return (type) { numbers, self->process_count };                                            \
    }

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
    scratch_t scratch = s_scratch (self);
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_device_processes_ok, 0);
    umbp_msg_device_processes_ok_t *ok = &answer.device_processes_ok;
    ok->age_ms = s_age (self->processes_at);
    ok->uuids = s_texts (&scratch, self->process_count, s_process_device, self);
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
//  device_topology

static size_t s_row_of (const umbp_device_self_t *self, const char *key)
{
    size_t count = umbp_device_table_count (self->table), index = 0;
    while (index < count && strneq (ROW (self, index)->device.key, key))
        index++;
    return index;
}

void umbp_device_on_topology (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    scratch_t room = s_scratch (self), *scratch = &room;
    size_t count = umbp_device_table_count (self->table);
    uint8_t *ones = s_room (scratch, self->peer_count, 1);
    uint8_t *others = s_room (scratch, self->peer_count, 1);
    uint8_t *levels = s_room (scratch, self->peer_count, 1);
    uint32_t used = 0;
    for (size_t index = 0; index < self->peer_count; index++) {
        size_t one = s_row_of (self, self->peers[index].one);
        size_t other = s_row_of (self, self->peers[index].other);
        if (one == count || other == count)
            continue;                   //  Gone since
        ones[used] = (uint8_t) one;
        others[used] = (uint8_t) other;
        levels[used++] = self->peers[index].level;
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_device_topology_ok, 0);
    umbp_msg_device_topology_ok_t *ok = &answer.device_topology_ok;
    ok->uuids = s_texts (scratch, count, s_uuid, self->table);
    ok->numas = s_numas (self, scratch);
    ok->ones = (umbp_u8s_t) { ones, used };
    ok->others = (umbp_u8s_t) { others, used };
    ok->levels = (umbp_u8s_t) { levels, used };
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  device_events

typedef struct {
    umbp_device_event_t rows[UMBP_DEVICE_ROWS_MAX + UMBP_DEVICE_EVENTS_MAX];
    size_t count;
} events_t;

static const char *s_event_uuid (const void *arg, size_t index)
{
    return ((const events_t *) arg)->rows[index].uuid;
}

static const char *s_event_reason (const void *arg, size_t index)
{
    return ((const events_t *) arg)->rows[index].reason;
}

//  To who comes late: all that are there, as if they were found now, then done
static void s_replay (const umbp_device_self_t *self, events_t *events)
{
    for (size_t index = 0; index < umbp_device_table_count (self->table); index++) {
        const umbp_device_row_t *row = ROW (self, index);
        umbp_device_event_t *event = &events->rows[events->count++];
        *event = (umbp_device_event_t){ .kind = UMBP_DEVICE_ADDED,
                                        .before = row->health,
                                         .now = row->health, .reason = "is there",
                                         .at = row->since };
        memcpy (event->uuid, row->device.uuid, sizeof event->uuid);
    }
    if (self->found_at)
        events->rows[events->count++] = (umbp_device_event_t) { .kind = UMBP_DEVICE_DONE,
                                                                .reason = "discovery",
                                                                .at = self->found_at };
}

//  What the node has in all, for an answer in which a discovery is done
static void s_say_totals (umbp_device_self_t *self, scratch_t *scratch,
                          umbp_msg_device_events_ok_t *ok)
{
    struct statvfs disk;
    long pages = sysconf (_SC_PHYS_PAGES), page = sysconf (_SC_PAGESIZE);
    size_t count = umbp_device_table_count (self->table);
    ok->ram_bytes = pages > 0 && page > 0 ? (uint64_t) pages * (uint64_t) page : 0;
    if (statvfs (self->folder, &disk) == 0)
        ok->disk_bytes = (uint64_t) disk.f_blocks * disk.f_frsize;
    for (size_t index = 0; index < count; index++) {
        ok->memory_bytes += ROW (self, index)->device.memory_bytes;
        ok->gflops += ROW (self, index)->device.gflops;
    }
    ok->ids = s_texts (scratch, count, s_uuid, self->table);
}

#define EVENTS(name, type, width, expression)                                                      \
    static type name (const events_t *events, scratch_t *scratch)                                  \
    {                                                                                              \
        width *numbers = s_room (scratch, events->count, sizeof *numbers);                         \
        for (size_t index = 0; index < events->count; index++) {                                   \
            const umbp_device_event_t *event = &events->rows[index];                               \
            numbers[index] = (width) (expression);                                                 \
        }                                                                                          \
        return (type) { numbers, (uint32_t) events->count };                                       \
    }

EVENTS (s_event_kinds, umbp_u8s_t, uint8_t, event->kind)
EVENTS (s_event_olds, umbp_u8s_t, uint8_t, event->before)
EVENTS (s_event_news, umbp_u8s_t, uint8_t, event->now)
EVENTS (s_event_ages_ms, umbp_u64s_t, uint64_t, s_age (event->at))

void umbp_device_on_events (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    uint64_t since = mail->msg->device_events.since, last = umbp_device_table_last (self->table);
    uint64_t first = umbp_device_table_first (self->table);
    scratch_t scratch = s_scratch (self);
    events_t *events = s_room (&scratch, 1, sizeof *events);
    bool done = since == 0;
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_device_events_ok, 0);
    umbp_msg_device_events_ok_t *ok = &answer.device_events_ok;
    events->count = 0;
    if (since == 0)
        s_replay (self, events);
    else if (since < last && since + 1 < first)
        ok->lost = first - since - 1;
    for (uint64_t number = since + 1 > first ? since + 1 : first; since && number <= last; number++)
        events->rows[events->count++] = *umbp_device_table_event (self->table, number);
    for (size_t index = 0; index < events->count; index++)
        done = done || events->rows[index].kind == UMBP_DEVICE_DONE;
    ok->last = last;
    ok->kinds = s_event_kinds (events, &scratch);
    ok->uuids = s_texts (&scratch, events->count, s_event_uuid, events);
    ok->olds = s_event_olds (events, &scratch);
    ok->news = s_event_news (events, &scratch);
    ok->reasons = s_texts (&scratch, events->count, s_event_reason, events);
    ok->ages_ms = s_event_ages_ms (events, &scratch);
    if (done)
        s_say_totals (self, &scratch, ok);
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
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
    uint64_t claimed = 0, logged, hidden;
    for (size_t index = 0; index < count; index++) {
        const umbp_device_row_t *row = ROW (self, index);
        partitions += *row->parent != 0;
        healths[row->health] += *row->parent == 0;
        total += row->device.memory_bytes;
        used += row->metrics.memory_used_bytes;
        foreign += umbp_device_row_foreign (row);
        claimed += row->claimed_bytes;
    }
    umbp_gauges_add (gauges, "devices", count - partitions);
    for (size_t health = 0; health < UMBP_HEALTHS; health++)
        umbp_gauges_add (gauges, names[health], healths[health]);
    umbp_gauges_add (gauges, "partitions", partitions);
    umbp_gauges_add (gauges, "memory_total_bytes", total);
    umbp_gauges_add (gauges, "memory_used_bytes", used);
    umbp_gauges_add (gauges, "memory_foreign_bytes", foreign);
    umbp_gauges_add (gauges, "memory_claimed_bytes", claimed);
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
    umbp_library_lines (&logged, &hidden);
    umbp_gauges_add (gauges, "library_lines", logged);
    umbp_gauges_add (gauges, "library_lines_hidden", hidden);
}

//  actors/device_say.c - what the device actor says of which devices there are: the list, how far they
//  are from each other, what changed. See device.h; device_use.c says how they are used.
#include <sys/statvfs.h>

#include "actors/device_scratch.h"

//  A member of every row of the table, as a text or a number
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
    UMBP_SCRATCH_NUMBERS (name, umbp_device_self_t, umbp_device_table_count (from->table),         \
                          const umbp_device_row_t *row = ROW (from, index), type, width, expression)

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
NUMBERS (s_since_ms, umbp_u64s_t, uint64_t, umbp_scratch_age (row->since))
NUMBERS (s_workers, umbp_u32s_t, uint32_t, row->workers)
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

static void s_say_properties (umbp_device_self_t *self, umbp_scratch_t *scratch, size_t count,
                              umbp_msg_devices_ok_t *ok)
{
    properties_t *all = umbp_scratch_room (scratch, 1, sizeof *all);
    all->count = 0;
    for (size_t index = 0; index < count; index++)
        for (size_t row = 0; row < s_property_count (ROW (self, index)); row++)
            if (all->count < UMBP_DEVICES_MAX * UMBP_DEVICE_PROPERTIES_MAX)
                all->rows[all->count++] = &ROW (self, index)->device.properties[row];
    ok->property_counts = s_property_counts (self, scratch);
    ok->property_keys = umbp_scratch_texts (scratch, all->count, s_property_key, all);
    ok->property_values = umbp_scratch_texts (scratch, all->count, s_property_value, all);
}

static void s_say_devices (umbp_device_self_t *self, umbp_scratch_t *scratch,
                           umbp_msg_devices_ok_t *ok)
{
    size_t count = umbp_device_table_count (self->table);
    ok->uuids = umbp_scratch_texts (scratch, count, s_uuid, self->table);
    ok->parents = umbp_scratch_texts (scratch, count, s_parent, self->table);
    ok->vendors = umbp_scratch_texts (scratch, count, s_vendor, self->table);
    ok->models = umbp_scratch_texts (scratch, count, s_model, self->table);
    ok->drivers = umbp_scratch_texts (scratch, count, s_driver, self->table);
    ok->firmwares = umbp_scratch_texts (scratch, count, s_firmware, self->table);
    ok->nodes = umbp_scratch_texts (scratch, count, s_node, self->table);
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
    ok->workers = s_workers (self, scratch);
    s_say_properties (self, scratch, count, ok);
}

void umbp_device_on_devices (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    umbp_msg_t answer;
    char why[UMBP_TEXT_MAX];
    umbp_scratch_t scratch = umbp_scratch (self);
    umbp_msg_init (&answer, UMBP_MSG_devices_ok, 0);
    umbp_msg_devices_ok_t *ok = &answer.devices_ok;
    snprintf (why, sizeof why, "%.255s", self->why);
    ok->library = umbp_text (self->path);
    ok->generation = self->generation;
    ok->state = umbp_device_state (self);
    ok->reason = umbp_text (why);
    ok->age_ms = umbp_scratch_age (self->found_at);
    s_say_devices (self, &scratch, ok);
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
    umbp_scratch_t room = umbp_scratch (self), *scratch = &room;
    size_t count = umbp_device_table_count (self->table);
    uint8_t *ones = umbp_scratch_room (scratch, self->peer_count, 1);
    uint8_t *others = umbp_scratch_room (scratch, self->peer_count, 1);
    uint8_t *levels = umbp_scratch_room (scratch, self->peer_count, 1);
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
    ok->uuids = umbp_scratch_texts (scratch, count, s_uuid, self->table);
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
static void s_say_totals (umbp_device_self_t *self, umbp_scratch_t *scratch,
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
    ok->ids = umbp_scratch_texts (scratch, count, s_uuid, self->table);
}

#define EVENTS(name, type, width, expression)                                                      \
    UMBP_SCRATCH_NUMBERS (name, events_t, from->count,                                             \
                          const umbp_device_event_t *event = &from->rows[index], type, width,      \
                          expression)

EVENTS (s_event_kinds, umbp_u8s_t, uint8_t, event->kind)
EVENTS (s_event_olds, umbp_u8s_t, uint8_t, event->before)
EVENTS (s_event_news, umbp_u8s_t, uint8_t, event->now)
EVENTS (s_event_ages_ms, umbp_u64s_t, uint64_t, umbp_scratch_age (event->at))

void umbp_device_on_events (void *owner, const umbp_mail_t *mail)
{
    umbp_device_self_t *self = owner;
    uint64_t since = mail->msg->device_events.since, last = umbp_device_table_last (self->table);
    uint64_t first = umbp_device_table_first (self->table);
    umbp_scratch_t scratch = umbp_scratch (self);
    events_t *events = umbp_scratch_room (&scratch, 1, sizeof *events);
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
    ok->uuids = umbp_scratch_texts (&scratch, events->count, s_event_uuid, events);
    ok->olds = s_event_olds (events, &scratch);
    ok->news = s_event_news (events, &scratch);
    ok->reasons = umbp_scratch_texts (&scratch, events->count, s_event_reason, events);
    ok->ages_ms = s_event_ages_ms (events, &scratch);
    if (done)
        s_say_totals (self, &scratch, ok);
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

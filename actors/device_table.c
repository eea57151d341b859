//  actors/device_table.c - the accelerators of a node. See device_table.h.
#include "actors/device_table.h"

#include <czmq.h>
#include <stdio.h>

#include "accel/layout.h"
#include "proto/error.h"

struct umbp_device_table {
    size_t count;
    umbp_device_row_t rows[UMBP_DEVICE_ROWS_MAX];
    uint64_t last;
    umbp_device_event_t events[UMBP_DEVICE_EVENTS_MAX];
    bool discovered;                    //  Once at least
};

umbp_device_table_t *umbp_device_table_new (void)
{
    return zmalloc (sizeof (umbp_device_table_t));
}

void umbp_device_table_destroy (umbp_device_table_t **self_p)
{
    freen (*self_p);
}

size_t umbp_device_table_count (const umbp_device_table_t *self)
{
    return self->count;
}

const umbp_device_row_t *umbp_device_table_row (const umbp_device_table_t *self, size_t index)
{
    assert (index < self->count);
    return &self->rows[index];
}

static umbp_device_row_t *s_find (umbp_device_table_t *self, const char *key)
{
    for (size_t index = 0; index < self->count; index++)
        if (streq (self->rows[index].device.key, key))
            return &self->rows[index];
    return NULL;
}

const umbp_device_row_t *umbp_device_table_find (const umbp_device_table_t *self, const char *key)
{
    for (size_t index = 0; index < self->count; index++)
        if (streq (self->rows[index].device.key, key))
            return &self->rows[index];
    return NULL;
}

//  --------------------------------------------------------------------------------------------------
//  Events

uint64_t umbp_device_table_last (const umbp_device_table_t *self)
{
    return self->last;
}

uint64_t umbp_device_table_first (const umbp_device_table_t *self)
{
    return self->last > UMBP_DEVICE_EVENTS_MAX ? self->last - UMBP_DEVICE_EVENTS_MAX + 1 : 1;
}

const umbp_device_event_t *umbp_device_table_event (const umbp_device_table_t *self,
                                                    uint64_t number)
{
    assert (number >= umbp_device_table_first (self) && number <= self->last);
    return &self->events[number % UMBP_DEVICE_EVENTS_MAX];
}

static umbp_device_event_t *s_tell (umbp_device_table_t *self, umbp_device_kind_t kind,
                                    const umbp_device_row_t *row, const char *reason, int64_t now)
{
    umbp_device_event_t *event = &self->events[++self->last % UMBP_DEVICE_EVENTS_MAX];
    *event = (umbp_device_event_t) { .number = self->last, .kind = kind, .at = now };
    snprintf (event->reason, sizeof event->reason, "%s", reason);
    if (row) {
        event->before = event->now = row->health;
        memcpy (event->uuid, row->device.uuid, sizeof event->uuid);
    }
    return event;
}

static void s_set_health (umbp_device_table_t *self, umbp_device_row_t *row,
                          umbp_device_health_t health, const char *reason, int64_t now)
{
    umbp_device_health_t before = row->health;
    if (before == health)
        return;
    row->health = health;
    row->since = now;
    row->good = 0;
    if (health == UMBP_HEALTH_OK)
        row->bad = 0;
    if (health == UMBP_HEALTH_FAILED || health == UMBP_HEALTH_MISSING)
        row->rediscovered = false;
    s_tell (self, UMBP_DEVICE_HEALTH, row, reason, now)->before = before;
}

//  --------------------------------------------------------------------------------------------------
//  Health

static void s_bad (umbp_device_table_t *self, umbp_device_row_t *row, const char *reason,
                   int64_t now)
{
    row->good = 0;
    row->bad += row->bad < UMBP_DEVICE_PATIENCE;
    if (row->health == UMBP_HEALTH_MISSING || row->health == UMBP_HEALTH_FAILED)
        row->rediscovered = false;      //  Found, but not well
    else if (row->bad >= UMBP_DEVICE_PATIENCE)
        s_set_health (self, row, UMBP_HEALTH_FAILED, reason, now);
    else if (row->health == UMBP_HEALTH_OK)
        s_set_health (self, row, UMBP_HEALTH_SUSPECT, reason, now);
}

static void s_good (umbp_device_table_t *self, umbp_device_row_t *row, int64_t now)
{
    switch (row->health) {
    case UMBP_HEALTH_UNKNOWN:
        s_set_health (self, row, UMBP_HEALTH_OK, "first good poll", now);
        break;
    case UMBP_HEALTH_SUSPECT:
        if (++row->good >= UMBP_DEVICE_PATIENCE)
            s_set_health (self, row, UMBP_HEALTH_OK, "good polls in a row", now);
        break;
    case UMBP_HEALTH_FAILED:
    case UMBP_HEALTH_MISSING:
        if (row->rediscovered)
            s_set_health (self, row, UMBP_HEALTH_OK, "found again, and well", now);
        break;
    case UMBP_HEALTH_OK: row->bad = 0; break;
    case UMBP_HEALTHS: break;
    }
}

static double s_extra (const umbp_device_metrics_t *metrics, const char *key)
{
    for (size_t index = 0; index < metrics->extra_count; index++)
        if (streq (metrics->extras[index].key, key))
            return metrics->extras[index].value;
    return 0;
}

//  Errors that the device itself reported. Returns false if there are new ones.
static bool s_judge_errors (umbp_device_table_t *self, umbp_device_row_t *row, int64_t now)
{
    double errors = s_extra (&row->metrics, "xidErrors") + s_extra (&row->metrics, "eccErrors");
    bool more = errors > row->errors;
    row->errors = errors;
    if (s_extra (&row->metrics, "fatalErrors") > 0) {
        s_set_health (self, row, UMBP_HEALTH_FAILED, "it reports a fatal error", now);
        return false;
    }
    if (more)
        s_bad (self, row, "it reports errors", now);
    return !more;
}

static void s_measure (umbp_device_table_t *self, umbp_device_row_t *row,
                       const umbp_device_metrics_t *metrics, int64_t now)
{
    if (!metrics || !metrics->known || !row->present) {
        s_bad (self, row, row->present ? "no metrics of it" : "not found", now);
        return;
    }
    bool first = row->measured_at == 0;
    row->metrics = *metrics;
    row->measured_at = now;
    if (first)                          //  Errors before our time are no news
        row->errors = s_extra (metrics, "xidErrors") + s_extra (metrics, "eccErrors");
    if (s_judge_errors (self, row, now))
        s_good (self, row, now);
}

//  A partition is as its device is
static void s_follow_parents (umbp_device_table_t *self, int64_t now)
{
    for (size_t index = 0; index < self->count; index++) {
        umbp_device_row_t *row = &self->rows[index];
        const umbp_device_row_t *parent = *row->parent ? s_find (self, row->parent) : NULL;
        if (parent)
            s_set_health (self, row, parent->health, "as its device", now);
    }
}

void umbp_device_table_polled (umbp_device_table_t *self, const umbp_device_metrics_t *rows,
                               size_t count, int64_t now)
{
    for (size_t index = 0; index < self->count; index++) {
        umbp_device_row_t *row = &self->rows[index];
        const umbp_device_metrics_t *metrics = NULL;
        for (size_t number = 0; number < count && !metrics; number++)
            if (streq (rows[number].key, row->device.key))
                metrics = &rows[number];
        if (!*row->parent)
            s_measure (self, row, metrics, now);
    }
    s_follow_parents (self, now);
}

void umbp_device_table_failed (umbp_device_table_t *self, const char *reason, int64_t now)
{
    for (size_t index = 0; index < self->count; index++)
        if (!*self->rows[index].parent)
            s_bad (self, &self->rows[index], reason, now);
    s_follow_parents (self, now);
}

//  --------------------------------------------------------------------------------------------------
//  Who is there

//  The last row takes the place of this one
static void s_remove (umbp_device_table_t *self, umbp_device_row_t *row, const char *reason,
                      int64_t now)
{
    s_tell (self, UMBP_DEVICE_REMOVED, row, reason, now);
    umbp_device_row_t *last = &self->rows[--self->count];
    if (row != last)
        *row = *last;
}

static bool s_is_claimed (const umbp_device_table_t *self, const umbp_device_row_t *row)
{
    bool claimed = row->claimed_bytes > 0 || row->workers > 0;
    for (size_t index = 0; index < self->count; index++)
        claimed = claimed
                  || (streq (self->rows[index].parent, row->device.key)
                      && (self->rows[index].claimed_bytes > 0 || self->rows[index].workers > 0));
    return claimed;
}

//  Not found for good: with its partitions it goes, unless somebody has bytes there. Returns true if
//  rows are others now.
static bool s_give_up (umbp_device_table_t *self, umbp_device_row_t *row, int64_t now)
{
    if (s_is_claimed (self, row)) {
        s_set_health (self, row, UMBP_HEALTH_MISSING, "not found, and in use", now);
        return false;
    }
    char key[UMBP_DEVICE_UUID_MAX];
    memcpy (key, row->device.key, sizeof key);
    for (size_t index = self->count; index-- > 0;)
        if (streq (self->rows[index].parent, key))
            s_remove (self, &self->rows[index], "its device is gone", now);
    s_remove (self, s_find (self, key), "not found", now);
    return true;
}

static void s_miss (umbp_device_table_t *self, int64_t now)
{
    for (size_t index = 0; index < self->count;) {
        umbp_device_row_t *row = &self->rows[index];
        if (*row->parent || row->present) {
            index++;
            continue;
        }
        row->missed += row->missed < UMBP_DEVICE_PATIENCE;
        row->rediscovered = false;
        if (row->missed < UMBP_DEVICE_PATIENCE && row->health == UMBP_HEALTH_OK)
            s_set_health (self, row, UMBP_HEALTH_SUSPECT, "not found", now);
        if (row->missed < UMBP_DEVICE_PATIENCE || !s_give_up (self, row, now))
            index++;
        else
            index = 0;
    }
}

static void s_meet (umbp_device_table_t *self, const umbp_device_t *device, int64_t now)
{
    umbp_device_row_t *row = s_find (self, device->key);
    if (!row && self->count < UMBP_DEVICE_ROWS_MAX) {
        row = &self->rows[self->count++];
        *row = (umbp_device_row_t) { .device = *device, .since = now };
        s_tell (self, UMBP_DEVICE_ADDED, row, "found", now);
    } else if (row && memcmp (&row->device, device, sizeof *device) != 0) {
        row->device = *device;
        s_tell (self, UMBP_DEVICE_CHANGED, row, "described otherwise", now);
    }
    if (row) {
        row->present = row->rediscovered = true;
        row->missed = 0;
    }
}

void umbp_device_table_found (umbp_device_table_t *self, const umbp_device_t *devices, size_t count,
                              int64_t now)
{
    uint64_t before = self->last;
    for (size_t index = 0; index < self->count; index++)
        self->rows[index].present = *self->rows[index].parent != 0;
    for (size_t index = 0; index < count; index++)
        s_meet (self, &devices[index], now);
    s_miss (self, now);
    s_follow_parents (self, now);
    if (self->last != before || !self->discovered)
        s_tell (self, UMBP_DEVICE_DONE, NULL, "discovery", now);
    self->discovered = true;
}

bool umbp_device_table_seeks (const umbp_device_table_t *self)
{
    for (size_t index = 0; index < self->count; index++) {
        const umbp_device_row_t *row = &self->rows[index];
        if (!*row->parent && (!row->present || row->health == UMBP_HEALTH_FAILED))
            return true;
    }
    return false;
}

//  --------------------------------------------------------------------------------------------------
//  Use

void umbp_device_table_processes (umbp_device_table_t *self, const umbp_device_process_t *rows,
                                  size_t count, uint32_t own)
{
    for (size_t index = 0; index < self->count; index++)
        self->rows[index].own_bytes = 0;
    for (size_t number = 0; number < count; number++) {
        umbp_device_row_t *row = rows[number].pid == own ? s_find (self, rows[number].key) : NULL;
        if (row)
            row->own_bytes += rows[number].memory_used_bytes;
    }
}

uint64_t umbp_device_row_foreign (const umbp_device_row_t *row)
{
    uint64_t used = row->metrics.memory_used_bytes;
    uint64_t own = row->own_bytes > row->claimed_bytes ? row->own_bytes : row->claimed_bytes;
    return used > own ? used - own : 0;
}

int umbp_device_table_claim (umbp_device_table_t *self, const char *key, uint64_t bytes,
                             int64_t now)
{
    umbp_device_row_t *row = s_find (self, key);
    if (!row)
        return UMBP_ENOENT;
    row->claimed_bytes = bytes;
    umbp_device_row_t *device = *row->parent ? s_find (self, row->parent) : row;
    if (bytes == 0 && device && device->health == UMBP_HEALTH_MISSING)
        s_give_up (self, device, now);
    return 0;
}

void umbp_device_table_hold (umbp_device_table_t *self, const umbp_device_hold_t *holds,
                             size_t count, int64_t now)
{
    for (size_t index = 0; index < self->count; index++)
        self->rows[index].workers = 0;
    for (size_t index = 0; index < count; index++) {
        char key[UMBP_DEVICE_UUID_MAX], parent[UMBP_DEVICE_UUID_MAX];
        umbp_layout_key (holds[index].uuid, key);
        umbp_layout_key (holds[index].parent, parent);
        if (*parent && !s_find (self, key))
            umbp_device_table_split (self, parent, holds[index].uuid, now);
        umbp_device_row_t *row = s_find (self, key);
        if (row)
            row->workers = holds[index].workers;
    }
    for (size_t index = 0; index < self->count;) {
        umbp_device_row_t *row = &self->rows[index];
        bool gone =
            !*row->parent && row->health == UMBP_HEALTH_MISSING && s_give_up (self, row, now);
        index = gone ? 0 : index + 1;
    }
}

int umbp_device_table_split (umbp_device_table_t *self, const char *key, const char *uuid,
                             int64_t now)
{
    const umbp_device_row_t *parent = s_find (self, key);
    char own[UMBP_DEVICE_UUID_MAX];
    umbp_layout_key (uuid, own);
    if (!parent || *parent->parent)
        return UMBP_ENOENT;
    if (s_find (self, own))
        return UMBP_EEXIST;
    if (self->count == UMBP_DEVICE_ROWS_MAX)
        return UMBP_ENOSPC;
    umbp_device_row_t *row = &self->rows[self->count++];
    *row = (umbp_device_row_t){ .device = parent->device,
                                .health = parent->health,
                                .since = now,
                                 .present = true };
    row->device.memory_bytes = row->device.units = row->device.gflops = 0;      //  The driver knows
    snprintf (row->device.uuid, sizeof row->device.uuid, "%s", uuid);
    memcpy (row->device.key, own, sizeof own);
    snprintf (row->parent, sizeof row->parent, "%s", key);
    s_tell (self, UMBP_DEVICE_ADDED, row, "a partition", now);
    return 0;
}

int umbp_device_table_may_join (const umbp_device_table_t *self, const char *key)
{
    const umbp_device_row_t *row = umbp_device_table_find (self, key);
    return !row || !*row->parent                        ? UMBP_ENOENT
           : row->claimed_bytes > 0 || row->workers > 0 ? UMBP_EAGAIN
                                                        : 0;
}

int umbp_device_table_join (umbp_device_table_t *self, const char *key, int64_t now)
{
    int rc = umbp_device_table_may_join (self, key);
    if (rc == 0)
        s_remove (self, s_find (self, key), "taken back", now);
    return rc;
}

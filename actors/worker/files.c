//  actors/worker/files.c - what workers.json and devices.json say becomes rows, and the other way
//  round. Each record in the file stays as its writer left it, but for the few members that are ours.
#include "actors/worker/self.h"

#define SAVES_MAX 6                     //  Times that others come between a read and a write
#define BAD_MS 10000                    //  So long a file may be bad before we write over it
#define SAID_MS 60000                   //  What repeats is logged so often

static const char *const s_names[] = { "workers.json", "devices.json" };

//  ------------------------------------------------------------------------------------------------
//  Workers

//  What the file says of a worker that we know
static void s_compare (umbp_worker_t *self, umbp_worker_row_t *row, umbp_worker_record_t *found)
{
    const umbp_worker_record_t *known = row->next.json ? &row->next : &row->record;
    row->seen = true;
    if (found->state == UMBP_WORKER_TERMINATED)
        row->over = true;
    else if (found->state < row->record.state)
        self->counts.refused_moves++;   //  Ours is written again
    if (umbp_worker_record_same (known, found)) {
        umbp_worker_record_end (found);
        return;
    }
    umbp_worker_record_end (&row->next);
    row->next = *found;
    self->counts.updated++;
    umbp_worker_say (self, UMBP_WORKER_CHANGED, row, "");
}

static void s_take_record (umbp_worker_t *self, json_t *json, size_t number)
{
    char why[UMBP_TEXT_MAX];
    umbp_worker_record_t found;
    if (json_is_null (json))
        return;
    json_t *copy = json_deep_copy (json);
    int rc = umbp_worker_record_read (&found, copy, why, sizeof why);
    json_decref (copy);
    umbp_worker_row_t *row = rc == 0 ? umbp_worker_find (self, found.uid) : NULL;
    if (row && !row->gone)
        s_compare (self, row, &found);
    else if (row) {                     //  It comes back before it went: once it is gone
        umbp_worker_record_end (&row->next);
        row->next = found;
        row->seen = true;
    } else if (rc == 0 && !umbp_worker_add (self, &found)) {
        umbp_worker_record_end (&found);
        snprintf (why, sizeof why, "more than %d workers", UMBP_WORKERS_MAX);
        rc = UMBP_ENOSPC;
    }
    if (rc == 0)
        return;
    self->counts.bad_records++;
    zsys_warning ("worker: %s: record %zu is not heeded: %s", s_names[UMBP_STATE_WORKERS], number,
                  why);
}

static void s_take_workers (umbp_worker_t *self)
{
    const json_t *records = umbp_state_records (self->state, UMBP_STATE_WORKERS);
    json_t *json;
    size_t index;
    for (size_t row = 0; row < UMBP_WORKERS_MAX; row++)
        self->rows[row].seen = self->rows[row].fresh;
    json_array_foreach (records, index, json) s_take_record (self, json, index + 1);
    for (size_t row = 0; row < UMBP_WORKERS_MAX; row++)
        if (self->rows[row].record.json && !self->rows[row].seen) {
            self->rows[row].gone = true;
            umbp_worker_record_end (&self->rows[row].next);
        }
    for (size_t row = 0; row < UMBP_WORKERS_MAX; row++)
        self->rows[row].retry_at = 0;
    self->dirty = true;
    self->again = true;
}

//  ------------------------------------------------------------------------------------------------
//  Devices

static const umbp_device_record_t *s_found (const umbp_worker_t *self, const char *uuid)
{
    for (size_t index = 0; index < self->found_count; index++)
        if (streq (self->found[index].uuid, uuid))
            return &self->found[index];
    return NULL;
}

//  Without a provider, or one that can tell, the file is right. With one, what is there is; partitions, which it may not
//  find, stay with their device
static bool s_is_there (const umbp_worker_t *self, const umbp_device_record_t *device)
{
    return !self->has_provider || self->silent || s_found (self, device->uuid)
           || (*device->parent && s_found (self, device->parent));
}

void umbp_worker_set_devices (umbp_worker_t *self)
{
    const json_t *records = umbp_state_records (self->state, UMBP_STATE_DEVICES);
    umbp_device_record_t *rows = zmalloc (2 * UMBP_DEVICE_ROWS_MAX * sizeof *rows);
    size_t count = 0, index;
    char why[UMBP_TEXT_MAX];
    json_t *json;
    json_array_foreach (records, index, json)
    {
        umbp_device_record_t device;
        if (json_is_null (json) || count == UMBP_DEVICE_ROWS_MAX)
            continue;
        if (umbp_device_record_read (&device, json, why, sizeof why) < 0) {
            self->counts.bad_records++;
            zsys_warning ("worker: %s: record %zu is not heeded: %s", s_names[UMBP_STATE_DEVICES],
                          index + 1, why);
        } else if (s_is_there (self, &device)) {
            const umbp_device_record_t *found = s_found (self, device.uuid);
            rows[count] = found ? *found : device;
            rows[count].policy = device.policy;
            rows[count++].has_policy = device.has_policy;
        }
    }
    size_t named = count;
    for (size_t found = 0; found < self->found_count; found++) {
        bool known = false;
        for (size_t row = 0; row < named; row++)
            known |= streq (rows[row].uuid, self->found[found].uuid);
        if (!known)
            rows[count++] = self->found[found];
    }
    size_t left = umbp_allocator_set_devices (self->allocator, rows, count);
    if (left)
        zsys_warning ("worker: %zu devices are not heeded: more than %d", left,
                      UMBP_DEVICE_ROWS_MAX);
    free (rows);
    for (size_t row = 0; row < UMBP_WORKERS_MAX; row++)
        self->rows[row].retry_at = 0;
    self->again = true;
}

static bool s_put (json_t *json, const char *key, json_t *value)
{
    bool same = json_equal (json_object_get (json, key), value);
    if (!same)
        json_object_set (json, key, value);
    json_decref (value);
    return !same;
}

//  What its library says of it besides, and the file has room for
static bool s_put_description (json_t *json, const umbp_device_record_t *device)
{
    const struct {
        const char *key, *text;
        uint64_t number;
    } properties[] = { { "driverVersion", device->driver, 0 },
                       { "firmwareVersion", device->firmware, 0 },
                       { "totalComputeUnits", NULL, device->units },
                       { "pcieGen", NULL, device->pcie_gen },
                       { "pcieWidth", NULL, device->pcie_width } };
    char text[128];
    if (!*device->model)
        return false;
    bool changed = s_put (json, "Model", json_string (device->model));
    changed |= s_put (json, "NUMANode", json_integer (device->numa));
    if (*device->file)
        changed |= s_put (json, "DeviceNode", json_pack ("{s:s}", device->file, device->file));
    json_t *all = json_object_get (json, "Properties");
    if (!json_is_object (all)) {
        all = json_object ();
        json_object_set_new (json, "Properties", all);
    }
    for (size_t row = 0; row < sizeof properties / sizeof *properties; row++) {
        snprintf (text, sizeof text, "%" PRIu64, properties[row].number);
        const char *value = properties[row].text ? properties[row].text : text;
        changed |= s_put (all, properties[row].key, json_string (value));
    }
    return changed;
}

//  Into the record of a device that is there
static bool s_put_device (json_t *json, const umbp_device_record_t *device)
{
    json_t *caps = json_object_get (json, "VirtualizationCapabilities");
    if (!json_is_object (caps)) {
        caps = json_object ();
        json_object_set_new (json, "VirtualizationCapabilities", caps);
    }
    bool changed = s_put (json, "Vendor", json_string (device->vendor));
    changed |= s_put_description (json, device);
    changed |= s_put (json, "Index", json_integer (device->index));
    changed |= s_put (json, "TotalMemoryBytes", json_integer ((json_int_t) device->memory_bytes));
    if (json_number_value (json_object_get (json, "MaxTflops")) != device->tflops)
        changed |= s_put (json, "MaxTflops", json_real (device->tflops));
    changed |= s_put (json, "ParentUUID", json_string (device->parent));
    changed |= s_put (caps, "SupportsPartitioning", json_boolean (device->partitions));
    changed |= s_put (caps, "SupportsSoftIsolation", json_boolean (device->soft));
    changed |= s_put (caps, "SupportsHardIsolation", json_boolean (device->hard));
    changed |= s_put (caps, "MaxPartitions", json_integer (device->partitions_max));
    changed |= s_put (caps, "MaxWorkersPerDevice", json_integer (device->workers_max));
    return changed | s_put (json, "Healthy", json_boolean (!device->lost));
}

//  All devices that the provider found, with what others have written beside them; partitions come and
//  go with workers, whose records name them. Returns whether that differs.
static bool s_merge_devices (const umbp_worker_t *self, json_t *array)
{
    bool changed = false, *written = zmalloc (UMBP_DEVICE_ROWS_MAX * sizeof *written);
    char why[UMBP_TEXT_MAX];
    size_t index;
    json_t *json;
    json_array_foreach (array, index, json)
    {
        umbp_device_record_t device;
        if (umbp_device_record_read (&device, json, why, sizeof why) < 0)
            continue;
        const umbp_device_record_t *found = s_found (self, device.uuid);
        if (found) {
            written[found - self->found] = true;
            changed |= s_put_device (json, found);
        } else
            changed |= s_put (json, "Healthy", json_boolean (s_is_there (self, &device)));
    }
    for (size_t row = 0; row < self->found_count; row++)
        if (!written[row] && !*self->found[row].parent) {
            json = json_pack ("{s:s}", "UUID", self->found[row].uuid);
            s_put_device (json, &self->found[row]);
            json_array_append_new (array, json);
            changed = true;
        }
    free (written);
    return changed;
}

//  ------------------------------------------------------------------------------------------------
//  Reading and writing

static void s_read_file (umbp_worker_t *self, umbp_state_file_t file,
                         void (*take) (umbp_worker_t *))
{
    char why[UMBP_TEXT_MAX + 128] = "", aside[64];
    int rc = umbp_state_read (self->state, file, why, sizeof why);
    if (rc > 0) {
        self->counts.rereads++;
        take (self);
    }
    if (rc >= 0)
        return;
    self->counts.bad_files++;
    bool moved = rc == UMBP_EINVAL && self->starting
                 && umbp_state_put_aside (self->state, file, aside, sizeof aside) == 0;
    zsys_error ("worker: %s/%s%s%s", self->folder, why,
                moved ? "; kept as " : "; it is not heeded until it is right again",
                moved ? aside : "");
}

void umbp_worker_read (umbp_worker_t *self)
{
    s_read_file (self, UMBP_STATE_DEVICES, umbp_worker_set_devices);
    s_read_file (self, UMBP_STATE_WORKERS, s_take_workers);
}

//  What repeats is not said each time
static void s_complain (umbp_worker_t *self, const char *why)
{
    self->counts.save_failures++;
    if (zclock_mono () < self->said_at)
        return;
    self->said_at = zclock_mono () + SAID_MS;
    zsys_error ("worker: %s/%s; tried again, and what changed is lost if this node is killed",
                self->folder, why);
}

//  A bad file is not written over while somebody may be at it. Returns whether it may be written.
static bool s_may_write (umbp_worker_t *self, umbp_state_file_t file)
{
    char aside[64];
    int64_t now = zclock_mono ();
    if (!umbp_state_is_bad (self->state, file)) {
        self->bad_since = 0;
        return true;
    }
    self->bad_since = self->bad_since ? self->bad_since : now;
    if (now - self->bad_since < BAD_MS
        || umbp_state_put_aside (self->state, file, aside, sizeof aside) < 0)
        return false;
    zsys_error ("worker: %s/%s stayed bad; kept as %s, and written anew", self->folder,
                s_names[file], aside);
    self->bad_since = 0;
    return true;
}

//  The records of the file with ours in them. Returns whether that differs from the file.
static json_t *s_merge_workers (umbp_worker_t *self, bool *differs)
{
    json_t *array = json_deep_copy (umbp_state_records (self->state, UMBP_STATE_WORKERS)), *json;
    bool written[UMBP_WORKERS_MAX] = { false };
    size_t index;
    *differs = false;
    json_array_foreach (array, index, json)
    {
        umbp_worker_row_t *row = umbp_worker_find (self, umbp_record_text (json, "WorkerUID"));
        if (!row || row->gone || written[row - self->rows])
            continue;                   //  One that is gone is not the one that is there now
        written[row - self->rows] = true;
        *differs |= umbp_worker_record_write (&row->record, json);
    }
    for (size_t row = 0; row < UMBP_WORKERS_MAX; row++)
        if (self->rows[row].record.json && !written[row] && !self->rows[row].gone
            && !self->rows[row].made) {
            json = json_deep_copy (self->rows[row].record.json);
            umbp_worker_record_write (&self->rows[row].record, json);
            json_array_append_new (array, json);
            *differs = true;
        }
    return array;
}

void umbp_worker_write (umbp_worker_t *self)
{
    char why[UMBP_TEXT_MAX] = "";
    int rc = UMBP_ESTALE;
    for (unsigned turn = 0; turn < SAVES_MAX && rc == UMBP_ESTALE; turn++) {
        if (turn) {
            self->counts.merges++;
            umbp_worker_read (self);
        }
        if (!s_may_write (self, UMBP_STATE_WORKERS))
            return;
        bool differs;
        json_t *array = s_merge_workers (self, &differs);
        rc = differs ? umbp_state_save (self->state, UMBP_STATE_WORKERS, array, why, sizeof why)
                     : UMBP_OK;
        self->counts.saves += rc == UMBP_OK && differs;
        json_decref (array);
    }
    self->dirty = rc != UMBP_OK;
    if (rc == UMBP_EIO)
        s_complain (self, why);
    for (size_t row = 0; row < UMBP_WORKERS_MAX && rc == UMBP_OK; row++)
        self->rows[row].fresh = self->rows[row].made;
}

void umbp_worker_write_devices (umbp_worker_t *self)
{
    char why[UMBP_TEXT_MAX] = "";
    int rc = UMBP_ESTALE;
    for (unsigned turn = 0; turn < SAVES_MAX && rc == UMBP_ESTALE; turn++) {
        if (turn)
            s_read_file (self, UMBP_STATE_DEVICES, umbp_worker_set_devices);
        if (umbp_state_is_bad (self->state, UMBP_STATE_DEVICES))
            return;
        json_t *array = json_deep_copy (umbp_state_records (self->state, UMBP_STATE_DEVICES));
        rc = s_merge_devices (self, array)
                 ? umbp_state_save (self->state, UMBP_STATE_DEVICES, array, why, sizeof why)
                 : UMBP_OK;
        json_decref (array);
    }
    if (rc == UMBP_EIO)
        s_complain (self, why);
}

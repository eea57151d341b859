//  accel/library.c - loads an accelerator library and calls it. See library.h.
#include "accel/library.h"

#include <czmq.h>
#include <dlfcn.h>
#include <math.h>
#include <stdatomic.h>

#include "accel/abi.h"
#include "accel/layout.h"

#define LINES_MAX 50                    //  Shown of each window; the rest is counted
#define LINES_WINDOW_MS 10000
#define PARTITION_BYTES (64u << 10)     //  More than any generation writes

struct umbp_library {
    char path[256];
    unsigned names;                     //  The least generation that has them: 1, 2 or 3
    size_t stride;                      //  Of device records, 0: not known yet
    unsigned generation;
    umbp_abi_plain_fn *init, *shutdown;
    umbp_abi_count_fn *count;
    umbp_abi_devices_fn *devices;
    umbp_abi_metrics_fn *metrics;
    umbp_abi_processes_fn *processes;
    umbp_abi_topology_fn *topology;     //  NULL: there is none, like all below
    umbp_abi_set_log_fn *set_log;
    umbp_abi_version_fn *version;
    void *split, *join;                 //  As the generation has them
    uint8_t *buffer;                    //  UMBP_LAYOUT_BUFFER_BYTES
    umbp_abi_metrics_t rows[UMBP_DEVICES_MAX];
    umbp_abi_process_t processes_read[UMBP_PROCESSES_MAX];
};

static int s_error (int result)
{
    switch ((umbp_abi_result_t) result) {
    case UMBP_ABI_OK: return UMBP_OK;
    case UMBP_ABI_INVALID: return UMBP_EINVAL;
    case UMBP_ABI_NOT_FOUND: return UMBP_ENOENT;
    case UMBP_ABI_NOT_SUPPORTED: return UMBP_ENOTSUP;
    case UMBP_ABI_EXHAUSTED: return UMBP_ENOSPC;
    case UMBP_ABI_FAILED:
    case UMBP_ABI_INTERNAL: break;
    }
    return UMBP_EIO;
}

//  --------------------------------------------------------------------------------------------------
//  Its log. It may come from any thread of the library, and has no context: so it is of the process.

static atomic_ullong s_logged, s_hidden, s_window, s_shown;

static void s_log (const char *level, const char *message)
{
    unsigned long long window = (unsigned long long) zclock_mono () / LINES_WINDOW_MS;
    atomic_fetch_add (&s_logged, 1);
    if (atomic_exchange (&s_window, window) != window)
        atomic_store (&s_shown, 0);
    if (atomic_fetch_add (&s_shown, 1) >= LINES_MAX) {
        atomic_fetch_add (&s_hidden, 1);
        return;
    }
    char text[200];
    snprintf (text, sizeof text, "%s", message ? message : "");
    for (char *at = text; *at; at++)
        if ((unsigned char) *at < 0x20 || (unsigned char) *at > 0x7e)
            *at = '?';
    if (!level || strcasecmp (level, "DEBUG") == 0)
        zsys_debug ("accelerator: %s", text);
    else if (strncasecmp (level, "WARN", 4) == 0)
        zsys_warning ("accelerator: %s", text);
    else if (strcasecmp (level, "ERROR") == 0 || strcasecmp (level, "FATAL") == 0)
        zsys_error ("accelerator: %s", text);
    else
        zsys_info ("accelerator: %s", text);
}

void umbp_library_lines (uint64_t *logged, uint64_t *hidden)
{
    *logged = atomic_load (&s_logged);
    *hidden = atomic_load (&s_hidden);
}

//  --------------------------------------------------------------------------------------------------
//  Loading

//  "Accel" and the name, or, in older libraries, the name alone
static void *s_symbol (const umbp_library_t *self, void *handle, const char *name)
{
    char full[64];
    snprintf (full, sizeof full, "%s%s", self->names == 3 ? "Accel" : "", name);
    return dlsym (handle, full);
}

//  Init tells whose names these are. Returns false, with why, if a function that we need is not there.
static bool s_bind (umbp_library_t *self, void *handle, char why[UMBP_LIBRARY_WHY_MAX])
{
    static const char *const inits[] = { NULL, "VirtualGPUInit", "VGPUInit", "AccelInit" };
    const char *missing = NULL;
    for (self->names = 3; self->names > 0 && !self->init; self->names -= !self->init)
        self->init = (umbp_abi_plain_fn *) dlsym (handle, inits[self->names]);
    if (!self->init) {
        snprintf (why, UMBP_LIBRARY_WHY_MAX,
                  "%.200s is no accelerator library: it has neither AccelInit nor VGPUInit nor "
                  "VirtualGPUInit",
                  self->path);
        return false;
    }
    const char *shutdown = self->names == 3 ? "AccelShutdown" : "VGPUShutdown";
    self->shutdown = (umbp_abi_plain_fn *) dlsym (handle, shutdown);
    self->count = (umbp_abi_count_fn *) s_symbol (self, handle, "GetDeviceCount");
    self->devices = (umbp_abi_devices_fn *) s_symbol (self, handle, "GetAllDevices");
    self->metrics = (umbp_abi_metrics_fn *) s_symbol (self, handle, "GetDeviceMetrics");
    self->processes = (umbp_abi_processes_fn *) s_symbol (self, handle, "GetProcessInformation");
    self->topology = (umbp_abi_topology_fn *) s_symbol (self, handle, "GetAllDevicesTopology");
    self->set_log = (umbp_abi_set_log_fn *) s_symbol (self, handle, "RegisterLogCallback");
    self->version = (umbp_abi_version_fn *) s_symbol (self, handle, "GetAbiVersion");
    self->split = s_symbol (self, handle, "AssignPartition");
    self->join = s_symbol (self, handle, "RemovePartition");
    if (!self->shutdown && self->names > 1)     //  The first generation had none
        missing = shutdown;
    if (!self->count || !self->devices || !self->metrics || !self->processes)
        missing = !self->count     ? "GetDeviceCount"
                  : !self->devices ? "GetAllDevices"
                  : !self->metrics ? "GetDeviceMetrics"
                                   : "GetProcessInformation";
    if (missing)
        snprintf (why, UMBP_LIBRARY_WHY_MAX,
                  "%.200s lacks %s, without which devices cannot be watched: take another library",
                  self->path, missing);
    return !missing;
}

//  A library that says its sizes has to mean ours
static bool s_check_version (const umbp_library_t *self, char why[UMBP_LIBRARY_WHY_MAX])
{
    umbp_abi_version_t version = { 0 };
    if (!self->version)
        return true;
    int result = self->version (&version);
    bool fine = result == UMBP_ABI_OK && version.generation == UMBP_ABI_GENERATION
                && version.device_bytes == sizeof (umbp_abi_device5_t)
                && version.metrics_bytes == sizeof (umbp_abi_metrics_t)
                && version.process_bytes == sizeof (umbp_abi_process_t);
    if (!fine)
        snprintf (why, UMBP_LIBRARY_WHY_MAX,
                  "%.200s says that it is of generation %u with device records of %u bytes: "
                  "install umbp and its libraries from one build",
                  self->path, version.generation, version.device_bytes);
    return fine;
}

static bool s_start (umbp_library_t *self, void *handle, char why[UMBP_LIBRARY_WHY_MAX])
{
    if (!s_bind (self, handle, why))
        return false;
    int result = self->init ();
    if (result != UMBP_ABI_OK) {
        snprintf (why, UMBP_LIBRARY_WHY_MAX,
                  "%.200s does not start, its Init answers %d (%s): is the driver there?",
                  self->path, result, umbp_strerror (s_error (result)));
        return false;
    }
    if (self->set_log)
        self->set_log (s_log);
    if (s_check_version (self, why))
        return true;
    if (self->shutdown)
        self->shutdown ();
    return false;
}

//  Such libraries are one for the whole process, and for one thread: so one of us has one
static atomic_flag s_taken = ATOMIC_FLAG_INIT;

static umbp_library_t *s_open (const char *path, char why[UMBP_LIBRARY_WHY_MAX])
{
    void *handle = dlopen (path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        snprintf (why, UMBP_LIBRARY_WHY_MAX, "cannot load %.200s: %.250s", path, dlerror ());
        return NULL;
    }
    umbp_library_t *self = zmalloc (sizeof (umbp_library_t));
    snprintf (self->path, sizeof self->path, "%s", path);
    self->buffer = zmalloc (UMBP_LAYOUT_BUFFER_BYTES);
    if (!s_start (self, handle, why)) {
        free (self->buffer);
        freen (self);
    }
    return self;
}

umbp_library_t *umbp_library_open (const char *path, char why[UMBP_LIBRARY_WHY_MAX])
{
    why[0] = 0;
    if (atomic_flag_test_and_set (&s_taken)) {
        snprintf (why, UMBP_LIBRARY_WHY_MAX,
                  "another node of this process has an accelerator library, or had one and its "
                  "driver still hangs: %.200s is tried again later",
                  path);
        return NULL;
    }
    umbp_library_t *self = s_open (path, why);
    if (!self)
        atomic_flag_clear (&s_taken);
    return self;
}

void umbp_library_close (umbp_library_t **self_p)
{
    umbp_library_t *self = *self_p;
    if (!self)
        return;
    if (self->set_log)
        self->set_log (NULL);
    if (self->shutdown)
        self->shutdown ();
    free (self->buffer);
    freen (*self_p);
    atomic_flag_clear (&s_taken);
}

unsigned umbp_library_generation (const umbp_library_t *self)
{
    return self->generation;
}

//  --------------------------------------------------------------------------------------------------
//  Devices

int umbp_library_count (umbp_library_t *self)
{
    size_t count = 0;
    int rc = s_error (self->count (&count));
    return rc < 0 ? rc : count > INT16_MAX ? UMBP_EINVAL : (int) count;
}

static int s_ask_devices (umbp_library_t *self, size_t max, size_t *count)
{
    *count = 0;
    memset (self->buffer, UMBP_LAYOUT_BLANK, UMBP_LAYOUT_BUFFER_BYTES);
    return s_error (self->devices (self->buffer, max, count));
}

//  Ask for one device, and look how much was written
static int s_identify (umbp_library_t *self, char why[UMBP_LIBRARY_WHY_MAX])
{
    char what[UMBP_LAYOUT_WHY_MAX] = "";
    size_t count;
    int rc = s_ask_devices (self, 1, &count);
    if (rc == 0 && count != 1)
        rc = UMBP_ENOENT;               //  Gone since they were counted
    if (rc < 0) {
        snprintf (why, UMBP_LIBRARY_WHY_MAX, "GetAllDevices for one: %s", umbp_strerror (rc));
        return rc;
    }
    rc = umbp_layout_stride (self->buffer, UMBP_LAYOUT_BUFFER_BYTES, what);
    unsigned generation = rc < 0 ? 0 : umbp_layout_generation ((size_t) rc, self->names);
    if (rc < 0)
        snprintf (why, UMBP_LIBRARY_WHY_MAX, "%.200s is refused: %s", self->path, what);
    else if (generation == 0) {
        snprintf (why, UMBP_LIBRARY_WHY_MAX,
                  "%.200s is refused: records of %d bytes do not go with its names", self->path,
                  rc);
        rc = UMBP_ENOTSUP;
    } else {
        self->stride = (size_t) rc;
        self->generation = generation;
        rc = 0;
    }
    return rc;
}

static bool s_is_known (const umbp_device_t *devices, size_t count, const char *key)
{
    for (size_t index = 0; index < count; index++)
        if (streq (devices[index].key, key))
            return true;
    return false;
}

//  What lies in the buffer. Two with one uuid would be one for everybody: the first counts.
static int s_read_devices (umbp_library_t *self, size_t count, umbp_device_t *out,
                           char why[UMBP_LIBRARY_WHY_MAX])
{
    char what[UMBP_LAYOUT_WHY_MAX] = "";
    size_t written = umbp_layout_written (self->buffer, UMBP_LAYOUT_BUFFER_BYTES), used = 0;
    if (count > UMBP_DEVICES_MAX || written != count * self->stride) {
        snprintf (why, UMBP_LIBRARY_WHY_MAX,
                  "%.200s is refused: it wrote %zu bytes for %zu devices of %zu each", self->path,
                  written, count, self->stride);
        return UMBP_EINVAL;
    }
    for (size_t index = 0; index < count; index++) {
        int rc = umbp_layout_device (self->stride, self->buffer + index * self->stride, &out[used],
                                     what);
        if (rc < 0) {
            snprintf (why, UMBP_LIBRARY_WHY_MAX, "%.200s is refused: device %zu: %s", self->path,
                      index, what);
            return rc;
        }
        if (s_is_known (out, used, out[used].key))
            zsys_warning ("accelerator: two devices with the uuid %s, the second is left out",
                          out[used].uuid);
        else
            used++;
    }
    return (int) used;
}

int umbp_library_devices (umbp_library_t *self, umbp_device_t *out, size_t *left_out,
                          char why[UMBP_LIBRARY_WHY_MAX])
{
    size_t count;
    why[0] = 0;
    *left_out = 0;
    int rc = umbp_library_count (self);
    size_t there = rc > 0 ? (size_t) rc : 0;
    if (rc > 0 && !self->stride) {
        int failed = s_identify (self, why);
        if (failed < 0)
            return failed;
    }
    if (rc > 0)
        rc = s_ask_devices (self, UMBP_DEVICES_MAX, &count);
    else if (rc == 0)
        return 0;
    if (rc < 0) {
        snprintf (why, UMBP_LIBRARY_WHY_MAX, "GetAllDevices: %s", umbp_strerror (rc));
        return rc;
    }
    if (there > UMBP_DEVICES_MAX)
        *left_out = there - UMBP_DEVICES_MAX;
    return s_read_devices (self, count, out, why);
}

//  --------------------------------------------------------------------------------------------------
//  Metrics and processes: one layout in all generations

static double s_number (double value)
{
    return isfinite (value) && value > 0 ? value : 0;
}

//  Returns false if the row is not about this device
static bool s_read_metrics (const umbp_abi_metrics_t *row, const umbp_device_t *device,
                            umbp_device_metrics_t *out)
{
    char uuid[UMBP_DEVICE_UUID_MAX], key[UMBP_DEVICE_UUID_MAX];
    memset (out, 0, sizeof *out);
    memcpy (out->key, device->key, sizeof out->key);
    if (!umbp_layout_text (row->uuid, sizeof row->uuid, uuid, sizeof uuid))
        return false;
    umbp_layout_key (uuid, key);
    if (strneq (key, device->key) || row->extra_count > UMBP_ABI_EXTRAS_MAX)
        return false;
    out->known = true;
    out->power_w = s_number (row->power_w);
    out->temperature_c = s_number (row->temperature_c);
    out->rx_bytes = row->rx_bytes;
    out->tx_bytes = row->tx_bytes;
    out->busy_percent = row->busy_percent < 100 ? row->busy_percent : 100;
    out->memory_used_bytes = row->memory_used_bytes;
    for (size_t index = 0; index < row->extra_count; index++) {
        umbp_device_extra_t *extra = &out->extras[out->extra_count];
        extra->value = row->extras[index].value;
        if (isfinite (extra->value)
            && umbp_layout_text (row->extras[index].key, sizeof row->extras[index].key, extra->key,
                                 sizeof extra->key)
            && *extra->key)
            out->extra_count++;
    }
    return true;
}

//  One call for all; if that fails, one for each, so that one bad device hides no other
int umbp_library_metrics (umbp_library_t *self, const umbp_device_t *devices, size_t count,
                          umbp_device_metrics_t *out)
{
    const char *uuids[UMBP_DEVICES_MAX];
    int known = 0, rc = 0;
    assert (count <= UMBP_DEVICES_MAX);
    for (size_t index = 0; index < count; index++)
        uuids[index] = devices[index].uuid;
    memset (self->rows, 0, sizeof self->rows);
    bool all = count > 0 && s_error (self->metrics (uuids, count, self->rows)) == 0;
    for (size_t index = 0; index < count; index++) {
        int failed = 0;
        if (!all) {
            memset (&self->rows[index], 0, sizeof *self->rows);
            failed = s_error (self->metrics (uuids + index, 1, &self->rows[index]));
        }
        bool read = s_read_metrics (&self->rows[index], &devices[index], &out[index]);
        if (failed < 0 || !read)
            out[index] = (umbp_device_metrics_t) { .known = false };
        memcpy (out[index].key, devices[index].key, sizeof out[index].key);
        known += out[index].known;
        rc = failed < 0 ? failed : out[index].known ? rc : UMBP_EIO;
    }
    return known > 0 || count == 0 ? known : rc;
}

int umbp_library_processes (umbp_library_t *self, umbp_device_process_t *out)
{
    size_t count = 0;
    int used = 0;
    memset (self->processes_read, 0, sizeof self->processes_read);
    int rc = s_error (self->processes (self->processes_read, UMBP_PROCESSES_MAX, &count));
    if (rc < 0)
        return rc;
    if (count > UMBP_PROCESSES_MAX)
        return UMBP_EINVAL;
    for (size_t index = 0; index < count; index++) {
        const umbp_abi_process_t *row = &self->processes_read[index];
        umbp_device_process_t *process = &out[used];
        char pid[32], uuid[UMBP_DEVICE_UUID_MAX], *end;
        if (!umbp_layout_text (row->pid, sizeof row->pid, pid, sizeof pid)
            || !umbp_layout_text (row->uuid, sizeof row->uuid, uuid, sizeof uuid))
            continue;
        unsigned long number = strtoul (pid, &end, 10);
        if (end == pid || *end || number == 0 || number > INT32_MAX)
            continue;
        *process = (umbp_device_process_t) { .pid = (uint32_t) number,
                                             .busy_percent = s_number (row->busy_percent),
                                             .units_active = row->units_active, .units = row->units,
                                             .memory_used_bytes = row->memory_used_bytes,
                                             .memory_reserved_bytes = row->memory_reserved_bytes };
        umbp_layout_key (uuid, process->key);
        used++;
    }
    return used;
}

int umbp_library_topology (umbp_library_t *self, const umbp_device_t *devices, size_t count,
                           umbp_device_peer_t *out, char why[UMBP_LIBRARY_WHY_MAX])
{
    char what[UMBP_LAYOUT_WHY_MAX] = "";
    why[0] = 0;
    if (!self->topology)
        return UMBP_ENOTSUP;
    memset (self->buffer, UMBP_LAYOUT_BLANK, UMBP_LAYOUT_BUFFER_BYTES);
    int rc = s_error (self->topology (self->buffer));
    if (rc == 0)
        rc = umbp_layout_topology (self->buffer, UMBP_LAYOUT_BUFFER_BYTES, devices, count, out,
                                   UMBP_DEVICE_PEERS_MAX, what);
    if (rc < 0)
        snprintf (why, UMBP_LIBRARY_WHY_MAX, "%.200s: %s", self->path,
                  *what ? what : umbp_strerror (rc));
    return rc;
}

//  --------------------------------------------------------------------------------------------------
//  Partitions

int umbp_library_split (umbp_library_t *self, const char *device, const char *template,
                        char uuid[UMBP_DEVICE_UUID_MAX])
{
    int rc = self->split ? 0 : UMBP_ENOTSUP;
    const char *from = (const char *) self->buffer + offsetof (umbp_abi_partition_t, uuid);
    memset (self->buffer, 0, PARTITION_BYTES);
    if (rc == 0 && self->names == 1) {
        umbp_abi_assignment_t *assignment = (void *) self->buffer;
        snprintf (assignment->template, sizeof assignment->template, "%s", template);
        snprintf (assignment->device, sizeof assignment->device, "%s", device);
        from = assignment->uuid;
        rc = ((umbp_abi_split1_fn *) self->split) (assignment) ? 0 : UMBP_EIO;
    } else if (rc == 0)
        rc = s_error (((umbp_abi_split_fn *) self->split) (template, device, self->buffer));
    if (rc == 0
        && (!umbp_layout_text (from, UMBP_ABI_UUID_MAX, uuid, UMBP_DEVICE_UUID_MAX) || !*uuid
            || strcasecmp (uuid, device) == 0))
        rc = UMBP_EIO;                  //  A partition is not its device
    return rc;
}

int umbp_library_join (umbp_library_t *self, const char *device, const char *uuid)
{
    if (!self->join)
        return UMBP_ENOTSUP;
    if (self->names == 1)
        return ((umbp_abi_join1_fn *) self->join) (uuid, device) ? 0 : UMBP_EIO;
    return s_error (((umbp_abi_join_fn *) self->join) (uuid, device));
}

//  actors/worker/record.c - workers and devices as their files have them. See record.h.
#include "actors/worker/record.h"

#include <ctype.h>
#include <czmq.h>
#include <math.h>

#include "proto/error.h"

static const char *const s_states[] = { "Pending", "DeviceAllocating", "Running", "Terminated" };
static const char *const s_modes[] = { "shared", "soft", "hard", "partitioned" };

//  What we write into a record, and into its WorkerRunningInfo
static const char *const s_ours[] = { "Status", "Partitions", NULL };
static const char *const s_ours_running[] = { "restarts", "pid",        "isRunning",
                                              "exitCode", "startTicks", "bootId",
                                              "stopped",  "port",       NULL };
static const char *const s_process[] = { "type", "executable", "args", "env", "workingDir", NULL };

static int s_refuse (char *why, size_t size, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static int s_refuse (char *why, size_t size, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (why, size, format, args);
    va_end (args);
    return UMBP_EINVAL;
}

//  Number of a name; none for an empty one; -1 for an unknown one
static int s_number_of (const char *const *names, int count, const char *name, int none)
{
    for (int index = 0; index < count; index++)
        if (strcasecmp (names[index], name) == 0)
            return index;
    return *name ? -1 : none;
}

const char *umbp_worker_state_name (umbp_worker_state_t state)
{
    return state < UMBP_WORKER_STATES ? s_states[state] : "?";
}

const char *umbp_isolation_name (umbp_isolation_t mode)
{
    return mode < UMBP_ISOLATIONS ? s_modes[mode] : "dynamic";
}

int umbp_isolation_of (const char *name)
{
    return s_number_of (s_modes, UMBP_ISOLATIONS, name, -1);
}

const char *umbp_record_text (const json_t *json, const char *key)
{
    const char *text = json_string_value (json_object_get (json, key));
    return text ? text : "";
}

bool umbp_quantity (const char *text, double *value)
{
    static const struct {
        const char *suffix;
        double factor;
    } s_units[] = {
        { "", 1 },         { "m", 1e-3 },      { "k", 1e3 },       { "M", 1e6 },
        { "G", 1e9 },      { "T", 1e12 },      { "P", 1e15 },      { "Ki", 0x1p10 },
        { "Mi", 0x1p20 },  { "Gi", 0x1p30 },   { "Ti", 0x1p40 },   { "Pi", 0x1p50 },
    };
    if (!isdigit ((unsigned char) *text) && *text != '.')        //  Nor inf, nan or a sign
        return false;
    char number[32];
    size_t size = strspn (text, "0123456789.");
    if (size >= sizeof number)
        return false;
    snprintf (number, sizeof number, "%.*s", (int) size, text);
    char *end;
    *value = strtod (number, &end);
    for (size_t unit = 0; !*end && unit < sizeof s_units / sizeof *s_units; unit++)
        if (streq (text + size, s_units[unit].suffix)) {
            *value *= s_units[unit].factor;
            return true;
        }
    return false;
}

//  ------------------------------------------------------------------------------------------------
//  Reading

//  A text of at most size - 1 bytes; missing and null are empty
static int s_take (const json_t *json, const char *key, char *out, size_t room, char *why,
                   size_t size)
{
    const json_t *value = json_object_get (json, key);
    *out = 0;
    if (!value || json_is_null (value))
        return UMBP_OK;
    if (!json_is_string (value) || json_string_length (value) >= room)
        return s_refuse (why, size, "%s: allowed is a text of at most %zu bytes", key, room - 1);
    snprintf (out, room, "%s", json_string_value (value));
    return UMBP_OK;
}

static void s_lower (char *text)
{
    for (; *text; text++)
        *text = (char) tolower ((unsigned char) *text);
}

static int s_take_devices (umbp_worker_record_t *self, char *why, size_t size)
{
    const json_t *list = json_object_get (self->json, "AllocatedDevices");
    if (list && !json_is_null (list) && !json_is_array (list))
        return s_refuse (why, size, "AllocatedDevices: allowed is a list of texts");
    size_t count = json_array_size (list);
    if (count > UMBP_WORKER_DEVICES_MAX)
        return s_refuse (why, size, "AllocatedDevices: %zu, allowed are %d", count,
                         UMBP_WORKER_DEVICES_MAX);
    for (size_t index = 0; index < count; index++) {
        const json_t *item = json_array_get (list, index);
        size_t length = json_string_length (item);
        if (!json_is_string (item) || length < 1 || length >= UMBP_DEVICE_ID_MAX)
            return s_refuse (why, size, "AllocatedDevices: allowed are texts of 1 to %d bytes",
                             UMBP_DEVICE_ID_MAX - 1);
        char *device = self->devices[self->device_count];
        snprintf (device, UMBP_DEVICE_ID_MAX, "%s", json_string_value (item));
        s_lower (device);
        bool twice = false;
        for (size_t other = 0; other < self->device_count; other++)
            twice |= streq (self->devices[other], device);
        self->device_count += !twice;
    }
    return UMBP_OK;
}

//  {"device": "partition"}, which we have written; what is not so is not
static void s_take_parts (umbp_worker_record_t *self)
{
    const char *device;
    json_t *value;
    json_object_foreach (json_object_get (self->json, "Partitions"), device, value)
    {
        if (self->part_count == UMBP_WORKER_DEVICES_MAX || !json_is_string (value)
            || strlen (device) >= UMBP_DEVICE_ID_MAX
            || json_string_length (value) >= UMBP_DEVICE_ID_MAX)
            continue;
        umbp_worker_part_t *part = &self->parts[self->part_count++];
        snprintf (part->device, sizeof part->device, "%s", device);
        snprintf (part->partition, sizeof part->partition, "%s", json_string_value (value));
    }
}

static int s_take_limits (umbp_worker_record_t *self, char *why, size_t size)
{
    const json_t *limits = json_object_get (self->json, "Limits");
    const char *tflops = umbp_record_text (limits, "tflops"),
               *vram = umbp_record_text (limits, "vram");
    double bytes = 0;
    if ((*tflops && !umbp_quantity (tflops, &self->tflops_limit))
        || (*vram && !umbp_quantity (vram, &bytes)) || bytes > 0x1p60)
        return s_refuse (why, size, "Limits: allowed are quantities like 312, 1.5 or 24Gi");
    self->vram_limit = (uint64_t) bytes;
    return UMBP_OK;
}

static int s_take_running (umbp_worker_record_t *self, char *why, size_t size)
{
    const json_t *info = json_object_get (self->json, "WorkerRunningInfo");
    if (!info || json_is_null (info))
        return UMBP_OK;
    const json_t *args = json_object_get (info, "args"), *env = json_object_get (info, "env");
    const char *key;
    json_t *value;
    size_t index;
    bool fine = json_is_object (info) && json_array_size (args) <= UMBP_WORKER_ARGS_MAX
                && json_object_size (env) <= UMBP_WORKER_ARGS_MAX
                && (!args || json_is_null (args) || json_is_array (args))
                && (!env || json_is_null (env) || json_is_object (env));
    json_array_foreach (args, index, value) fine = fine && json_is_string (value);
    json_object_foreach ((json_t *) env, key, value) fine =
        fine && json_is_string (value) && *key && !strchr (key, '=');
    if (!fine)
        return s_refuse (why, size,
                         "WorkerRunningInfo: allowed are at most %d args, a list of texts, and "
                         "as many members of env, texts",
                         UMBP_WORKER_ARGS_MAX);
    self->pid = json_integer_value (json_object_get (info, "pid"));
    self->start_ticks = (uint64_t) json_integer_value (json_object_get (info, "startTicks"));
    self->restarts = (uint64_t) json_integer_value (json_object_get (info, "restarts"));
    self->exit_code = json_integer_value (json_object_get (info, "exitCode"));
    self->stopped = json_is_true (json_object_get (info, "stopped"));
    json_int_t port = json_integer_value (json_object_get (info, "port"));
    self->port = port > 0 && port <= UINT16_MAX ? (unsigned) port : 0;
    return s_take (info, "bootId", self->boot, sizeof self->boot, why, size);
}

static int s_take_worker (umbp_worker_record_t *self, char *why, size_t size)
{
    char text[32];
    int rc = s_take (self->json, "WorkerUID", self->uid, sizeof self->uid, why, size);
    if (rc == UMBP_OK && !*self->uid)
        rc = s_refuse (why, size, "WorkerUID: missing");
    if (rc == UMBP_OK)
        rc = s_take (self->json, "PartitionTemplateID", self->template, sizeof self->template, why,
                     size);
    if (rc == UMBP_OK)
        rc = s_take (self->json, "Status", text, sizeof text, why, size);
    if (rc != UMBP_OK)
        return rc;
    int state = s_number_of (s_states, UMBP_WORKER_STATES, text, UMBP_WORKER_PENDING);
    int mode = s_number_of (s_modes, UMBP_ISOLATIONS,
                            umbp_record_text (self->json, "IsolationMode"), UMBP_ISOLATION_SHARED);
    const char *qoses[UMBP_QOS_COUNT];
    for (unsigned row = 0; row < UMBP_QOS_COUNT; row++)
        qoses[row] = umbp_qos_name (row);
    int qos =
        s_number_of (qoses, UMBP_QOS_COUNT, umbp_record_text (self->json, "QoS"), UMBP_QOS_MEDIUM);
    if (state < 0 || mode < 0 || qos < 0)
        return s_refuse (why, size, "%s",
                         state < 0  ? "Status: allowed are Pending, DeviceAllocating, Running, "
                                      "Terminated"
                         : mode < 0 ? "IsolationMode: allowed are shared, soft, hard, partitioned"
                                    : "QoS: allowed are low, medium, high, critical");
    self->state = (umbp_worker_state_t) state;
    self->mode = (umbp_isolation_t) mode;
    self->qos = (unsigned) qos;
    self->deleted = json_integer_value (json_object_get (self->json, "DeletedAt")) != 0;
    s_take_parts (self);
    rc = s_take_devices (self, why, size);
    if (rc == UMBP_OK)
        rc = s_take_limits (self, why, size);
    return rc == UMBP_OK ? s_take_running (self, why, size) : rc;
}

int umbp_worker_record_read (umbp_worker_record_t *self, json_t *json, char *why, size_t size)
{
    *self = (umbp_worker_record_t){ .json = json };
    int rc = json_is_object (json) ? s_take_worker (self, why, size)
                                   : s_refuse (why, size, "a record is no object");
    if (rc == UMBP_OK)
        json_incref (json);
    else
        self->json = NULL;
    return rc;
}

void umbp_worker_record_end (umbp_worker_record_t *self)
{
    json_decref (self->json);
    self->json = NULL;
}

static void s_take_capabilities (umbp_device_record_t *self, const json_t *caps)
{
    self->known = json_is_object (caps);
    self->partitions = json_is_true (json_object_get (caps, "SupportsPartitioning"));
    self->soft = json_is_true (json_object_get (caps, "SupportsSoftIsolation"));
    self->hard = json_is_true (json_object_get (caps, "SupportsHardIsolation"));
    json_int_t parts = json_integer_value (json_object_get (caps, "MaxPartitions"));
    json_int_t workers = json_integer_value (json_object_get (caps, "MaxWorkersPerDevice"));
    self->partitions_max = parts > 0 && parts < UINT16_MAX ? (unsigned) parts : 0;
    self->workers_max = workers > 0 && workers < UINT16_MAX ? (unsigned) workers : 0;
}

int umbp_device_record_read (umbp_device_record_t *self, const json_t *json, char *why, size_t size)
{
    *self = (umbp_device_record_t){ .policy = UMBP_ISOLATION_DYNAMIC };
    if (!json_is_object (json))
        return s_refuse (why, size, "a record is no object");
    int rc = s_take (json, "UUID", self->name, sizeof self->name, why, size);
    if (rc == UMBP_OK && !*self->name)
        rc = s_refuse (why, size, "UUID: missing");
    if (rc == UMBP_OK)
        rc = s_take (json, "Vendor", self->vendor, sizeof self->vendor, why, size);
    if (rc == UMBP_OK)
        rc = s_take (json, "ParentUUID", self->parent, sizeof self->parent, why, size);
    if (rc != UMBP_OK)
        return rc;
    snprintf (self->uuid, sizeof self->uuid, "%s", self->name);
    s_lower (self->uuid);
    s_lower (self->parent);
    json_int_t index = json_integer_value (json_object_get (json, "Index"));
    json_int_t bytes = json_integer_value (json_object_get (json, "TotalMemoryBytes"));
    double tflops = json_number_value (json_object_get (json, "MaxTflops"));
    self->index = index > 0 && index < UINT16_MAX ? (unsigned) index : 0;
    self->memory_bytes = bytes > 0 ? (uint64_t) bytes : 0;
    self->tflops = isfinite (tflops) && tflops > 0 ? tflops : 0;
    s_take_capabilities (self, json_object_get (json, "VirtualizationCapabilities"));
    const char *policy = umbp_record_text (json, "IsolationPolicy");
    int mode = umbp_isolation_of (umbp_record_text (json, "IsolationMode"));
    self->has_policy =
        strcasecmp (policy, "Dynamic") == 0 || (strcasecmp (policy, "Static") == 0 && mode >= 0);
    if (self->has_policy && strcasecmp (policy, "Static") == 0)
        self->policy = (umbp_isolation_t) mode;
    return UMBP_OK;
}

//  ------------------------------------------------------------------------------------------------
//  Writing

static bool s_put (json_t *json, const char *key, json_t *value)
{
    bool same = json_equal (json_object_get (json, key), value);
    if (!same)
        json_object_set (json, key, value);
    json_decref (value);
    return !same;
}

static bool s_write_parts (const umbp_worker_record_t *self, json_t *json)
{
    if (self->part_count == 0)
        return json_object_get (json, "Partitions") && json_object_del (json, "Partitions") == 0;
    json_t *parts = json_object ();
    for (size_t index = 0; index < self->part_count; index++)
        json_object_set_new (parts, self->parts[index].device,
                             json_string (self->parts[index].partition));
    return s_put (json, "Partitions", parts);
}

bool umbp_worker_record_write (const umbp_worker_record_t *self, json_t *json)
{
    bool changed = s_put (json, "Status", json_string (s_states[self->state]));
    changed |= s_write_parts (self, json);
    json_t *info = json_object_get (json, "WorkerRunningInfo");
    if (!json_is_object (info))
        return changed;
    changed |= s_put (info, "restarts", json_integer ((json_int_t) self->restarts));
    changed |= s_put (info, "pid", json_integer (self->pid));
    changed |= s_put (info, "isRunning", json_boolean (self->pid != 0));
    changed |= s_put (info, "exitCode", json_integer (self->exit_code));
    changed |= s_put (info, "startTicks", json_integer ((json_int_t) self->start_ticks));
    changed |= s_put (info, "bootId", json_string (self->boot));
    if (self->port)
        changed |= s_put (info, "port", json_integer (self->port));
    if (self->stopped || json_object_get (info, "stopped"))
        changed |= s_put (info, "stopped", json_boolean (self->stopped));
    return changed;
}

static bool s_same_members (const json_t *one, const json_t *other, const char *const *keys)
{
    for (; *keys; keys++) {
        const json_t *left = json_object_get (one, *keys), *right = json_object_get (other, *keys);
        bool none_left = !left || json_is_null (left), none_right = !right || json_is_null (right);
        if (none_left != none_right || (!none_left && !json_equal (left, right)))
            return false;
    }
    return true;
}

bool umbp_worker_record_same_process (const umbp_worker_record_t *one,
                                      const umbp_worker_record_t *other)
{
    return s_same_members (json_object_get (one->json, "WorkerRunningInfo"),
                           json_object_get (other->json, "WorkerRunningInfo"), s_process);
}

bool umbp_worker_record_same_devices (const umbp_worker_record_t *one,
                                      const umbp_worker_record_t *other)
{
    if (one->device_count != other->device_count || one->mode != other->mode
        || strneq (one->template, other->template) || one->tflops_limit != other->tflops_limit
        || one->vram_limit != other->vram_limit)
        return false;
    for (size_t index = 0; index < one->device_count; index++) {
        bool found = false;
        for (size_t row = 0; row < other->device_count; row++)
            found |= streq (one->devices[index], other->devices[row]);
        if (!found)
            return false;
    }
    return true;
}

//  Without what is ours
static json_t *s_theirs (const json_t *json)
{
    json_t *copy = json_deep_copy (json);
    for (const char *const *key = s_ours; *key; key++)
        json_object_del (copy, *key);
    json_t *info = json_object_get (copy, "WorkerRunningInfo");
    for (const char *const *key = s_ours_running; *key; key++)
        json_object_del (info, *key);
    return copy;
}

bool umbp_worker_record_same (const umbp_worker_record_t *one, const umbp_worker_record_t *other)
{
    json_t *left = s_theirs (one->json), *right = s_theirs (other->json);
    bool same = json_equal (left, right);
    json_decref (left);
    json_decref (right);
    return same;
}

json_t *umbp_worker_record_make (const char *uid, umbp_isolation_t mode, const char *template,
                                 const char *const *devices, size_t count)
{
    json_t *list = json_array ();
    for (size_t index = 0; index < count; index++)
        json_array_append_new (list, json_string (devices[index]));
    return json_pack ("{s:s, s:s, s:s, s:o, s:s, s:s, s:s}", "WorkerUID", uid, "Namespace", "",
                      "WorkerName", uid, "AllocatedDevices", list, "Status", s_states[0],
                      "IsolationMode", umbp_isolation_name (mode), "PartitionTemplateID", template);
}

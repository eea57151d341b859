//  accel/providers/mock.c - devices that are not there: libaccelerator_mock.so. How many, says
//  UMBP_MOCK_GPUS (or GPU_GO_MOCK_GPUS); what becomes of them, a script, UMBP_MOCK_SCRIPT. It is
//  followed while it grows, one command a line; lines without a time are obeyed as they are read:
//
//      [at TIME] appear N              TIME after Init, like 500ms or 2s
//      [at TIME] vanish N
//      [at TIME] fill N BYTES [PID]    memory in use, by a process if there is one; 512MiB, 8GiB
//      [at TIME] model N TEXT
//      [at TIME] extra N KEY VALUE     a further metric, like xidErrors
//      [at TIME] fail CALL CODE        init, count, devices, metrics, processes, topology, split, join;
//                                      0: no more
//      [at TIME] mute N CODE           the device alone fails to report; 0: no more
//      [at TIME] hang CALL TIME        the call takes so long, once, or until the script says
//      [at TIME] release               ... this
//      #  a comment
//
//  All it knows is in the memory of its process, and it writes no file. Little stack is used.
#include <ctype.h>
#include <stdlib.h>
#include <time.h>

#include "accel/providers/provider.h"

#define DEVICE_BYTES (UINT64_C (24576) << 20)
#define DEVICES_MAX 128                 //  More than a caller takes, so that this can be tested
#define PLANS_MAX 256                   //  Commands whose time has not come
#define LINE_MAX 256

typedef enum { INIT, COUNT, DEVICES, METRICS, PROCESSES, TOPOLOGY, SPLIT, JOIN, CALLS } call_t;
static const char *const s_calls[CALLS] = { "init",      "count",    "devices", "metrics",
                                            "processes", "topology", "split",   "join" };

typedef struct {
    bool there;
    uint64_t used;
    uint32_t pid;
    int muted;
    char model[64];
    umbp_abi_extra_t extra;
} mock_t;

static struct {
    mock_t devices[DEVICES_MAX];
    int fails[CALLS];
    int64_t hangs_ms[CALLS];
    int64_t started_ms;
    long read_bytes;                    //  Of the script
    struct {
        int64_t at_ms;
        char line[LINE_MAX];
    } plans[PLANS_MAX];
    size_t plan_count;
    unsigned partitions;
    bool released;
    umbp_abi_log_fn *log;
} s_mock;

static int64_t s_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void s_say (const char *level, const char *what)
{
    if (s_mock.log)
        s_mock.log (level, what);
}

//  --------------------------------------------------------------------------------------------------
//  The script

static int64_t s_time_ms (const char *text)
{
    char *unit;
    double value = strtod (text, &unit);
    return (int64_t) (strcmp (unit, "ms") == 0 ? value : value * 1000);
}

static uint64_t s_bytes (const char *text)
{
    char *unit;
    double value = strtod (text, &unit);
    int shift = *unit == 'K' ? 10 : *unit == 'M' ? 20 : *unit == 'G' ? 30 : *unit == 'T' ? 40 : 0;
    return (uint64_t) (value * (double) (UINT64_C (1) << shift));
}

static mock_t *s_device (const char *text)
{
    int number = text ? atoi (text) : -1;
    return number >= 0 && number < DEVICES_MAX ? &s_mock.devices[number] : NULL;
}

static int s_call (const char *text)
{
    for (int call = 0; text && call < CALLS; call++)
        if (strcmp (s_calls[call], text) == 0)
            return call;
    return -1;
}

//  Words about one device. Returns false if it is no such command.
static bool s_obey_device (const char *verb, mock_t *device, const char *one, const char *two)
{
    if (strcmp (verb, "appear") == 0 && device)
        device->there = true;
    else if (strcmp (verb, "vanish") == 0 && device)
        device->there = false;
    else if (strcmp (verb, "fill") == 0 && device && one) {
        device->used = s_bytes (one);
        device->pid = two ? (uint32_t) atoi (two) : 0;
    } else if (strcmp (verb, "model") == 0 && device && one)
        snprintf (device->model, sizeof device->model, "%s", one);
    else if (strcmp (verb, "extra") == 0 && device && one && two) {
        snprintf (device->extra.key, sizeof device->extra.key, "%s", one);
        device->extra.value = strtod (two, NULL);
    } else if (strcmp (verb, "mute") == 0 && device && one)
        device->muted = atoi (one);
    else
        return false;
    return true;
}

static void s_obey (const char *line)
{
    char copy[LINE_MAX], *rest = NULL, said[LINE_MAX + 32];
    snprintf (copy, sizeof copy, "%s", line);
    char *verb = strtok_r (copy, " \t", &rest), *object = strtok_r (NULL, " \t", &rest);
    char *one = strtok_r (NULL, " \t", &rest), *two = strtok_r (NULL, " \t", &rest);
    if (!verb)
        return;
    int call = s_call (object);
    bool fine = true;
    if (strcmp (verb, "release") == 0)
        s_mock.released = true;
    else if (strcmp (verb, "fail") == 0 && call >= 0 && one)
        s_mock.fails[call] = atoi (one);
    else if (strcmp (verb, "hang") == 0 && call >= 0 && one) {
        s_mock.hangs_ms[call] = s_time_ms (one);
        s_mock.released = false;
    } else
        fine = s_obey_device (verb, s_device (object), one, two);
    snprintf (said, sizeof said, "%s: %s", fine ? "mock obeys" : "mock does not know", line);
    s_say (fine ? "INFO" : "WARN", said);
}

//  A line: now, or later
static void s_take (char *line)
{
    char *verb = line + strspn (line, " \t"), *end;
    if (*verb == '#' || !*verb)
        return;
    if (strncmp (verb, "at ", 3) != 0) {
        s_obey (verb);
        return;
    }
    char *when = verb + 3 + strspn (verb + 3, " \t");
    end = when + strcspn (when, " \t");
    if (!*end || s_mock.plan_count == PLANS_MAX) {
        s_say ("WARN", "mock: a line of the script is no command, or there are too many");
        return;
    }
    *end = 0;
    s_mock.plans[s_mock.plan_count].at_ms = s_mock.started_ms + s_time_ms (when);
    snprintf (s_mock.plans[s_mock.plan_count++].line, LINE_MAX, "%s", end + 1);
}

//  What is due, in the order of the script
static void s_obey_due (void)
{
    int64_t now = s_now_ms ();
    size_t left = 0, count = s_mock.plan_count;
    for (size_t index = 0; index < count; index++)
        if (s_mock.plans[index].at_ms <= now)
            s_obey (s_mock.plans[index].line);
        else {
            if (left != index)
                s_mock.plans[left] = s_mock.plans[index];
            left++;
        }
    s_mock.plan_count = left;
}

//  Whole lines that came since we looked last
static void s_follow (void)
{
    const char *path = getenv ("UMBP_MOCK_SCRIPT");
    FILE *script = path && *path ? fopen (path, "r") : NULL;
    char line[LINE_MAX];
    if (script && fseek (script, s_mock.read_bytes, SEEK_SET) == 0)
        while (fgets (line, sizeof line, script)) {
            size_t size = strlen (line);
            if (line[size - 1] != '\n' && size < sizeof line - 1)
                break;                  //  Somebody still writes it
            s_mock.read_bytes += (long) size;
            line[strcspn (line, "\n")] = 0;
            s_take (line);
        }
    if (script)
        fclose (script);
    s_obey_due ();
}

//  Every call begins here: returns its result unless that is for the call to say
static int s_begin (call_t call)
{
    s_follow ();
    int64_t end = s_now_ms () + s_mock.hangs_ms[call];
    bool hangs = s_mock.hangs_ms[call] > 0;
    s_mock.hangs_ms[call] = 0;
    while (hangs && s_now_ms () < end && !s_mock.released) {
        struct timespec nap = { 0, 10000000 };
        nanosleep (&nap, NULL);
        s_follow ();
    }
    return s_mock.fails[call];
}

//  --------------------------------------------------------------------------------------------------
//  Life

//  A leading number; what is none, or not above 0, is 1
static int s_wanted (void)
{
    const char *text = getenv ("UMBP_MOCK_GPUS");
    if (!text || !*text)
        text = getenv ("GPU_GO_MOCK_GPUS");
    int wanted = text ? atoi (text) : 1;
    return wanted < 1 ? 1 : wanted < DEVICES_MAX ? wanted : DEVICES_MAX;
}

int AccelInit (void)
{
    umbp_abi_log_fn *log = s_mock.log;
    memset (&s_mock, 0, sizeof s_mock);
    s_mock.log = log;
    s_mock.started_ms = s_now_ms ();
    for (int number = 0; number < s_wanted (); number++)
        s_mock.devices[number].there = true;
    for (int number = 0; number < DEVICES_MAX; number++)
        snprintf (s_mock.devices[number].model, sizeof s_mock.devices[number].model,
                  "Mock-RTX-4090");
    return s_begin (INIT);
}

int AccelShutdown (void)
{
    s_mock.log = NULL;
    return UMBP_ABI_OK;
}

int AccelRegisterLogCallback (umbp_abi_log_fn *fn)
{
    s_mock.log = fn;
    return UMBP_ABI_OK;
}

int AccelGetAbiVersion (umbp_abi_version_t *out)
{
    return provider_version (out);
}

//  --------------------------------------------------------------------------------------------------
//  Devices

static size_t s_count (void)
{
    size_t count = 0;
    for (int number = 0; number < DEVICES_MAX; number++)
        count += s_mock.devices[number].there;
    return count;
}

int AccelGetDeviceCount (size_t *count)
{
    int result = s_begin (COUNT);
    if (result == UMBP_ABI_OK)
        *count = s_count ();
    return result;
}

static void s_name (int number, char uuid[UMBP_ABI_UUID_MAX])
{
    snprintf (uuid, UMBP_ABI_UUID_MAX, "GPU-%d", number);
}

static void s_fill (int number, umbp_abi_device5_t *out)
{
    memset (out, 0, sizeof *out);
    s_name (number, out->basic.uuid);
    snprintf (out->basic.vendor, sizeof out->basic.vendor, "mock");
    snprintf (out->basic.model, sizeof out->basic.model, "%s", s_mock.devices[number].model);
    snprintf (out->basic.driver, sizeof out->basic.driver, "535.104.05");
    snprintf (out->basic.firmware, sizeof out->basic.firmware, "1.0");
    snprintf (out->basic.node, sizeof out->basic.node, "/dev/mock%d", number);
    out->basic.index = number;
    out->basic.numa = number % 2;
    out->basic.memory_bytes = DEVICE_BYTES;
    out->basic.units = 128;
    out->basic.tflops = 82.6;
    out->basic.pcie_gen = 4;
    out->basic.pcie_width = 16;
    provider_property (out, "computeCapability", "8.9");
    provider_property (out, "cudaVersion", "12.2");
    out->caps = (umbp_abi_caps_t){ .partitioning = true,
                                   .metrics = true,
                                   .partitions_max = 7,
                                    .workers_max = 16 };
}

int AccelGetAllDevices (void *out, size_t max, size_t *count)
{
    umbp_abi_device5_t *rows = out;
    if (!out || max == 0 || !count)
        return UMBP_ABI_INVALID;
    int result = s_begin (DEVICES);
    *count = 0;
    for (int number = 0; result == UMBP_ABI_OK && number < DEVICES_MAX && *count < max; number++)
        if (s_mock.devices[number].there)
            s_fill (number, &rows[(*count)++]);
    return result;
}

static int s_number (const char *uuid)
{
    char own[UMBP_ABI_UUID_MAX];
    for (int number = 0; number < DEVICES_MAX; number++) {
        s_name (number, own);
        if (s_mock.devices[number].there && strcmp (own, uuid) == 0)
            return number;
    }
    return -1;
}

int AccelGetDeviceMetrics (const char **uuids, size_t count, umbp_abi_metrics_t *out)
{
    int result = s_begin (METRICS);
    for (size_t index = 0; result == UMBP_ABI_OK && index < count; index++) {
        int number = s_number (uuids[index]);
        const mock_t *device = number < 0 ? NULL : &s_mock.devices[number];
        umbp_abi_metrics_t *row = &out[index];
        if (!device || device->muted)
            return device ? device->muted : UMBP_ABI_NOT_FOUND;
        memset (row, 0, sizeof *row);
        s_name (number, row->uuid);
        row->memory_used_bytes = device->used;
        row->busy_percent = device->used ? 50 : 0;
        row->power_w = 150 + row->busy_percent;
        row->temperature_c = 40 + number;
        row->rx_bytes = (uint64_t) (number + 1) << 30;
        row->tx_bytes = (uint64_t) (number + 1) << 29;
        if (*device->extra.key)
            provider_extra (row, device->extra.key, device->extra.value);
    }
    return result;
}

int AccelGetProcessInformation (umbp_abi_process_t *out, size_t max, size_t *count)
{
    int result = s_begin (PROCESSES);
    *count = 0;
    for (int number = 0; result == UMBP_ABI_OK && number < DEVICES_MAX && *count < max; number++) {
        const mock_t *device = &s_mock.devices[number];
        if (!device->there || !device->pid)
            continue;
        umbp_abi_process_t *row = &out[(*count)++];
        memset (row, 0, sizeof *row);
        snprintf (row->pid, sizeof row->pid, "%u", device->pid);
        s_name (number, row->uuid);
        row->busy_percent = 50;
        row->units_active = 64;
        row->units = 128;
        row->memory_used_bytes = device->used;
        row->memory_percent = 100.0 * (double) device->used / (double) DEVICE_BYTES;
    }
    return result;
}

int AccelGetAllDevicesTopology (void *out)
{
    umbp_abi_topology_t *topology = out;
    int result = s_begin (TOPOLOGY);
    if (result != UMBP_ABI_OK)
        return result;
    memset (topology, 0, sizeof *topology);
    for (int number = 0; number < DEVICES_MAX && topology->count < UMBP_ABI_DEVICES_MAX; number++) {
        umbp_abi_row_t *row = &topology->rows[topology->count];
        if (!s_mock.devices[number].there)
            continue;
        topology->count++;
        s_name (number, row->uuid);
        row->index = number;
        row->numa = number % 2;
        for (int other = 0; other < DEVICES_MAX && row->count < UMBP_ABI_PEERS_MAX; other++) {
            umbp_abi_peer_t *peer = &row->peers[row->count];
            if (!s_mock.devices[other].there)
                continue;
            row->count++;
            s_name (other, peer->uuid);
            peer->index = other;
            peer->level = other == number              ? UMBP_ABI_SELF
                          : other % 2 == number % 2    ? UMBP_ABI_NUMA
                                                    : UMBP_ABI_SYSTEM;
        }
    }
    return UMBP_ABI_OK;
}

//  --------------------------------------------------------------------------------------------------
//  Partitions, which no discovery shows: that is how drivers are

PROVIDED umbp_abi_split_fn AccelAssignPartition;
PROVIDED umbp_abi_join_fn AccelRemovePartition;

int AccelAssignPartition (const char *template, const char *device, void *partition)
{
    umbp_abi_partition_t *out = partition;
    int result = s_begin (SPLIT);
    if (result != UMBP_ABI_OK)
        return result;
    if (!*template || s_number (device) < 0)
        return UMBP_ABI_NOT_FOUND;
    memset (out, 0, sizeof *out);
    snprintf (out->uuid, sizeof out->uuid, "%.40s-partition-%u", device, s_mock.partitions++);
    snprintf (out->env[0], sizeof out->env[0], "GPU_UUID=%.60s", out->uuid);
    return UMBP_ABI_OK;
}

int AccelRemovePartition (const char *partition, const char *device)
{
    size_t size = strlen (device);
    int result = s_begin (JOIN);
    if (result != UMBP_ABI_OK)
        return result;
    return strncmp (partition, device, size) == 0 && partition[size] == '-' ? UMBP_ABI_OK
                                                                            : UMBP_ABI_NOT_FOUND;
}

//  accel/providers/nvidia.c - devices of NVIDIA through NVML, which is loaded at run time:
//  libaccelerator_nvidia.so. The declarations are ours, of the calls that are used and no more. What
//  an older driver lacks is left out: only enumeration, uuid and memory must be there.
//
//  Xid and ECC events come as further metrics, which are counts since Init: xidErrors, eccErrors, and
//  fatalErrors of Xids after which a device is lost until it is reset.
#include <dlfcn.h>
#include <stdlib.h>

#include "accel/providers/provider.h"

#define LIBRARY "libnvidia-ml.so.1"
#define NVML_SUCCESS 0
#define NVML_NOT_SUPPORTED 3
#define NVML_SMALL 7                    //  INSUFFICIENT_SIZE: more rows than room
#define EVENT_ECC_DOUBLE 2ULL
#define EVENT_XID 8ULL
#define EVENTS_MAX 64                   //  Taken in one go
#define PROCESSES_MAX 256               //  Of one device
#define NVLINKS_MAX 18

typedef struct device *device_t;
typedef struct events *events_t;

typedef struct {
    unsigned long long total, free, used;
} memory1_t;

typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} memory2_t;

typedef struct {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
} pci_t;

typedef struct {
    unsigned pid;
    unsigned long long used;            //  All ones: not told
    unsigned instance, compute_instance;
} process_t;

typedef struct {
    unsigned gpu, memory;
} rates_t;

typedef struct {
    device_t device;
    unsigned long long type, data;
    unsigned instance, compute_instance;
} event_t;

//  NAME (arguments): a pointer of that name to the function nvmlNAME
#define CALLS(CALL) \
    CALL (Init_v2, (void)) \
    CALL (Shutdown, (void)) \
    CALL (DeviceGetCount_v2, (unsigned *)) \
    CALL (DeviceGetHandleByIndex_v2, (unsigned, device_t *)) \
    CALL (DeviceGetUUID, (device_t, char *, unsigned)) \
    CALL (DeviceGetMemoryInfo, (device_t, memory1_t *)) \
    CALL (DeviceGetMemoryInfo_v2, (device_t, memory2_t *)) \
    CALL (DeviceGetName, (device_t, char *, unsigned)) \
    CALL (SystemGetDriverVersion, (char *, unsigned)) \
    CALL (DeviceGetVbiosVersion, (device_t, char *, unsigned)) \
    CALL (DeviceGetMinorNumber, (device_t, unsigned *)) \
    CALL (DeviceGetPciInfo_v3, (device_t, pci_t *)) \
    CALL (DeviceGetNumaNodeId, (device_t, unsigned *)) \
    CALL (DeviceGetMaxPcieLinkGeneration, (device_t, unsigned *)) \
    CALL (DeviceGetMaxPcieLinkWidth, (device_t, unsigned *)) \
    CALL (DeviceGetNumGpuCores, (device_t, unsigned *)) \
    CALL (DeviceGetCudaComputeCapability, (device_t, int *, int *)) \
    CALL (DeviceGetMaxClockInfo, (device_t, int, unsigned *)) \
    CALL (DeviceGetEnforcedPowerLimit, (device_t, unsigned *)) \
    CALL (DeviceGetUtilizationRates, (device_t, rates_t *)) \
    CALL (DeviceGetPowerUsage, (device_t, unsigned *)) \
    CALL (DeviceGetTemperature, (device_t, int, unsigned *)) \
    CALL (DeviceGetPcieThroughput, (device_t, int, unsigned *)) \
    CALL (DeviceGetComputeRunningProcesses_v3, (device_t, unsigned *, process_t *)) \
    CALL (DeviceGetTopologyCommonAncestor, (device_t, device_t, int *)) \
    CALL (DeviceGetNvLinkState, (device_t, unsigned, unsigned *)) \
    CALL (DeviceGetNvLinkRemotePciInfo_v2, (device_t, unsigned, pci_t *)) \
    CALL (EventSetCreate, (events_t *)) \
    CALL (EventSetFree, (events_t)) \
    CALL (EventSetWait_v2, (events_t, event_t *, unsigned)) \
    CALL (DeviceRegisterEvents, (device_t, unsigned long long, events_t))

#define MEMBER(name, arguments) int (*name) arguments;
typedef struct {
    CALLS (MEMBER)
} nvml_t;

#define LOAD(name, arguments) s_nvml.name = (int (*) arguments) dlsym (library, "nvml" #name);

typedef struct {
    device_t handle;
    unsigned long long xids, eccs, fatals;
    bool watched;                       //  Its events come to us
    char uuid[UMBP_ABI_UUID_MAX];
} known_t;

static nvml_t s_nvml;
static events_t s_events;
static known_t s_known[UMBP_ABI_DEVICES_MAX];    //  By uuid: for the counts
static size_t s_known_count;
static umbp_abi_log_fn *s_log;

//  --------------------------------------------------------------------------------------------------
//  Life

static int s_result (int code)
{
    switch (code) {
    case NVML_SUCCESS: return UMBP_ABI_OK;
    case 2: return UMBP_ABI_INVALID;
    case NVML_NOT_SUPPORTED: return UMBP_ABI_NOT_SUPPORTED;
    case 6: return UMBP_ABI_NOT_FOUND;
    case NVML_SMALL: return UMBP_ABI_EXHAUSTED;
    default: return UMBP_ABI_FAILED;
    }
}

int AccelInit (void)
{
    void *library = dlopen (LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library)
        return UMBP_ABI_NOT_FOUND;
    CALLS (LOAD)
    if (!s_nvml.Init_v2 || !s_nvml.DeviceGetCount_v2 || !s_nvml.DeviceGetHandleByIndex_v2
        || !s_nvml.DeviceGetUUID || (!s_nvml.DeviceGetMemoryInfo && !s_nvml.DeviceGetMemoryInfo_v2))
        return UMBP_ABI_NOT_SUPPORTED;
    int code = s_nvml.Init_v2 ();
    s_known_count = 0;
    s_events = NULL;
    if (code == NVML_SUCCESS && s_nvml.EventSetCreate && s_nvml.EventSetWait_v2
        && s_nvml.DeviceRegisterEvents && s_nvml.EventSetCreate (&s_events) != NVML_SUCCESS)
        s_events = NULL;
    return s_result (code);
}

int AccelShutdown (void)
{
    if (s_events && s_nvml.EventSetFree)
        s_nvml.EventSetFree (s_events);
    s_events = NULL;
    s_log = NULL;
    return s_nvml.Shutdown ? s_result (s_nvml.Shutdown ()) : UMBP_ABI_OK;
}

int AccelRegisterLogCallback (umbp_abi_log_fn *fn)
{
    s_log = fn;
    return UMBP_ABI_OK;
}

int AccelGetAbiVersion (umbp_abi_version_t *out)
{
    return provider_version (out);
}

//  --------------------------------------------------------------------------------------------------
//  Devices

//  What we count about a device. NULL for one too many.
static known_t *s_meet (device_t handle)
{
    char uuid[UMBP_ABI_UUID_MAX] = "";
    if (s_nvml.DeviceGetUUID (handle, uuid, sizeof uuid) != NVML_SUCCESS)
        return NULL;
    known_t *known = s_known;
    while (known < s_known + s_known_count && strcmp (known->uuid, uuid) != 0)
        known++;
    if (known == s_known + s_known_count) {
        if (s_known_count == UMBP_ABI_DEVICES_MAX)
            return NULL;
        *known = (known_t) { .watched = false };
        memcpy (known->uuid, uuid, sizeof known->uuid);
        s_known_count++;
    }
    if (known->handle != handle) {      //  New, or reset since
        known->handle = handle;
        known->watched =
            s_events
            && s_nvml.DeviceRegisterEvents (handle, EVENT_XID | EVENT_ECC_DOUBLE, s_events)
                   == NVML_SUCCESS;
    }
    return known;
}

int AccelGetDeviceCount (size_t *count)
{
    unsigned number = 0;
    int code = s_nvml.DeviceGetCount_v2 (&number);
    *count = number;
    return s_result (code);
}

//  A number of a call that may not be there, or fail: then the other
static unsigned s_number (int (*call) (device_t, unsigned *), device_t handle, unsigned other)
{
    unsigned value;
    return call && call (handle, &value) == NVML_SUCCESS ? value : other;
}

static bool s_memory (device_t handle, uint64_t *total, uint64_t *used)
{
    memory2_t two = { .version = sizeof (memory2_t) | 2u << 24 };
    memory1_t one;
    if (s_nvml.DeviceGetMemoryInfo_v2
        && s_nvml.DeviceGetMemoryInfo_v2 (handle, &two) == NVML_SUCCESS) {
        *total = two.total;
        *used = two.used + two.reserved;        //  The driver's share is nobody's to take either
        return true;
    }
    if (!s_nvml.DeviceGetMemoryInfo || s_nvml.DeviceGetMemoryInfo (handle, &one) != NVML_SUCCESS)
        return false;
    *total = one.total;
    *used = one.used;
    return true;
}

static bool s_pci (device_t handle, pci_t *pci)
{
    memset (pci, 0, sizeof *pci);
    return s_nvml.DeviceGetPciInfo_v3 && s_nvml.DeviceGetPciInfo_v3 (handle, pci) == NVML_SUCCESS;
}

//  The driver's word, else that of the kernel about the slot
static int32_t s_numa (device_t handle)
{
    pci_t pci;
    char path[128];
    int32_t numa = (int32_t) s_number (s_nvml.DeviceGetNumaNodeId, handle, UINT32_MAX);
    if (numa >= 0 || !s_pci (handle, &pci))
        return numa;
    snprintf (path, sizeof path, "/sys/bus/pci/devices/%04x:%02x:%02x.0/numa_node", pci.domain,
              pci.bus & 0xff, pci.device & 0x1f);
    FILE *file = fopen (path, "r");
    if (!file || fscanf (file, "%d", &numa) != 1 || numa < 0)
        numa = -1;
    if (file)
        fclose (file);
    return numa;
}

static void s_describe (device_t handle, umbp_abi_device5_t *out)
{
    static const char *const clocks[] = { "clockGraphics", "clockSM", "clockMem" };
    pci_t pci;
    int major, minor;
    provider_property (out, "chipType", "NVIDIA");
    for (int clock = 0; clock < 3; clock++) {
        unsigned mhz;
        if (s_nvml.DeviceGetMaxClockInfo
            && s_nvml.DeviceGetMaxClockInfo (handle, clock, &mhz) == NVML_SUCCESS)
            provider_property (out, clocks[clock], "%u", mhz);
    }
    if (s_nvml.DeviceGetCudaComputeCapability
        && s_nvml.DeviceGetCudaComputeCapability (handle, &major, &minor) == NVML_SUCCESS)
        provider_property (out, "computeCapability", "%d.%d", major, minor);
    if (s_pci (handle, &pci))
        provider_property (out, "pciBusId", "%.31s", pci.bus_id);
    unsigned limit_mw = s_number (s_nvml.DeviceGetEnforcedPowerLimit, handle, 0);
    if (limit_mw)
        provider_property (out, "powerLimit", "%u", limit_mw / 1000);
}

//  Returns false if it is not to be talked to
static bool s_fill (unsigned index, umbp_abi_device5_t *out)
{
    device_t handle;
    uint64_t used;
    memset (out, 0, sizeof *out);
    umbp_abi_basic5_t *basic = &out->basic;
    if (s_nvml.DeviceGetHandleByIndex_v2 (index, &handle) != NVML_SUCCESS
        || s_nvml.DeviceGetUUID (handle, basic->uuid, sizeof basic->uuid) != NVML_SUCCESS
        || !s_memory (handle, &basic->memory_bytes, &used))
        return false;
    s_meet (handle);
    snprintf (basic->vendor, sizeof basic->vendor, "NVIDIA");
    if (s_nvml.DeviceGetName)
        s_nvml.DeviceGetName (handle, basic->model, sizeof basic->model);
    if (s_nvml.SystemGetDriverVersion)
        s_nvml.SystemGetDriverVersion (basic->driver, sizeof basic->driver);
    if (s_nvml.DeviceGetVbiosVersion)
        s_nvml.DeviceGetVbiosVersion (handle, basic->firmware, sizeof basic->firmware);
    unsigned minor = s_number (s_nvml.DeviceGetMinorNumber, handle, UINT32_MAX);
    if (minor != UINT32_MAX)
        snprintf (basic->node, sizeof basic->node, "/dev/nvidia%u", minor);
    basic->index = (int32_t) index;
    basic->numa = s_numa (handle);
    basic->pcie_gen = s_number (s_nvml.DeviceGetMaxPcieLinkGeneration, handle, 0);
    basic->pcie_width = s_number (s_nvml.DeviceGetMaxPcieLinkWidth, handle, 0);
    basic->units = s_number (s_nvml.DeviceGetNumGpuCores, handle, 0);
    s_describe (handle, out);
    out->caps = (umbp_abi_caps_t) { .metrics = true };
    return true;
}

//  One that cannot be talked to is left out: it fell off the bus, and others did not
int AccelGetAllDevices (void *out, size_t max, size_t *count)
{
    umbp_abi_device5_t *rows = out;
    unsigned there = 0;
    if (!out || max == 0 || !count)
        return UMBP_ABI_INVALID;
    int code = s_nvml.DeviceGetCount_v2 (&there);
    *count = 0;
    for (unsigned index = 0; code == NVML_SUCCESS && index < there && *count < max; index++)
        if (s_fill (index, &rows[*count]))
            (*count)++;
        else
            memset (&rows[*count], 0xa5, sizeof *rows);      //  As the caller gave it
    return s_result (code);
}

//  --------------------------------------------------------------------------------------------------
//  Metrics

//  After these a device does no work until it is reset: ECC it cannot contain, off the bus, its
//  firmware gone
static bool s_is_fatal (unsigned long long xid)
{
    return xid == 48 || xid == 79 || xid == 95 || xid == 119 || xid == 120;
}

static void s_take_events (void)
{
    event_t event;
    for (int taken = 0; s_events && taken < EVENTS_MAX; taken++) {
        memset (&event, 0, sizeof event);
        if (s_nvml.EventSetWait_v2 (s_events, &event, 0) != NVML_SUCCESS)
            return;
        for (known_t *known = s_known; known < s_known + s_known_count; known++) {
            if (known->handle != event.device)
                continue;
            known->xids += event.type == EVENT_XID;
            known->eccs += event.type == EVENT_ECC_DOUBLE;
            known->fatals += event.type == EVENT_XID && s_is_fatal (event.data);
            char line[128];
            snprintf (line, sizeof line, "%s reports %s %llu", known->uuid,
                      event.type == EVENT_XID ? "Xid" : "an ECC error", event.data);
            if (s_log)
                s_log ("ERROR", line);
        }
    }
}

static device_t s_find (const char *uuid)
{
    unsigned there = 0;
    char own[UMBP_ABI_UUID_MAX];
    if (s_nvml.DeviceGetCount_v2 (&there) != NVML_SUCCESS)
        return NULL;
    for (unsigned index = 0; index < there; index++) {
        device_t handle;
        if (s_nvml.DeviceGetHandleByIndex_v2 (index, &handle) == NVML_SUCCESS
            && s_nvml.DeviceGetUUID (handle, own, sizeof own) == NVML_SUCCESS
            && strcmp (own, uuid) == 0)
            return handle;
    }
    return NULL;
}

static int s_measure (const char *uuid, umbp_abi_metrics_t *out)
{
    uint64_t total;
    rates_t rates;
    device_t handle = s_find (uuid);
    if (!handle)
        return UMBP_ABI_NOT_FOUND;
    memset (out, 0, sizeof *out);
    if (!s_memory (handle, &total, &out->memory_used_bytes))
        return UMBP_ABI_FAILED;
    snprintf (out->uuid, sizeof out->uuid, "%s", uuid);
    out->power_w = s_number (s_nvml.DeviceGetPowerUsage, handle, 0) / 1000.0;   //  From mW
    unsigned value;
    if (s_nvml.DeviceGetTemperature
        && s_nvml.DeviceGetTemperature (handle, 0, &value) == NVML_SUCCESS)
        out->temperature_c = value;
    if (s_nvml.DeviceGetUtilizationRates
        && s_nvml.DeviceGetUtilizationRates (handle, &rates) == NVML_SUCCESS) {
        out->busy_percent = rates.gpu;
        provider_extra (out, "memoryBusyPercent", rates.memory);
    }
    //  KB/s, over 20 ms: so these are rates
    if (s_nvml.DeviceGetPcieThroughput
        && s_nvml.DeviceGetPcieThroughput (handle, 0, &value) == NVML_SUCCESS)
        out->tx_bytes = (uint64_t) value * 1000;
    if (s_nvml.DeviceGetPcieThroughput
        && s_nvml.DeviceGetPcieThroughput (handle, 1, &value) == NVML_SUCCESS)
        out->rx_bytes = (uint64_t) value * 1000;
    const known_t *known = s_meet (handle);
    if (known && known->watched) {
        provider_extra (out, "xidErrors", (double) known->xids);
        provider_extra (out, "eccErrors", (double) known->eccs);
        provider_extra (out, "fatalErrors", (double) known->fatals);
    }
    return UMBP_ABI_OK;
}

int AccelGetDeviceMetrics (const char **uuids, size_t count, umbp_abi_metrics_t *out)
{
    int result = UMBP_ABI_OK;
    s_take_events ();
    for (size_t index = 0; result == UMBP_ABI_OK && index < count; index++)
        result = s_measure (uuids[index], &out[index]);
    return result;
}

static void s_add_process (const process_t *process, device_t handle, const char *uuid,
                           umbp_abi_process_t *row)
{
    uint64_t total = 0, used;
    memset (row, 0, sizeof *row);
    snprintf (row->pid, sizeof row->pid, "%u", process->pid);
    snprintf (row->uuid, sizeof row->uuid, "%s", uuid);
    row->memory_used_bytes = process->used == ~0ULL ? 0 : process->used;
    row->units = s_number (s_nvml.DeviceGetNumGpuCores, handle, 0);
    if (s_memory (handle, &total, &used) && total)
        row->memory_percent = 100.0 * (double) row->memory_used_bytes / (double) total;
}

int AccelGetProcessInformation (umbp_abi_process_t *out, size_t max, size_t *count)
{
    static process_t processes[PROCESSES_MAX];  //  One thread at a time calls us
    unsigned there = 0;
    int code = s_nvml.DeviceGetCount_v2 (&there);
    *count = 0;
    if (!s_nvml.DeviceGetComputeRunningProcesses_v3)
        return UMBP_ABI_NOT_SUPPORTED;
    for (unsigned index = 0; code == NVML_SUCCESS && index < there; index++) {
        char uuid[UMBP_ABI_UUID_MAX];
        device_t handle;
        unsigned rows = PROCESSES_MAX;
        if (s_nvml.DeviceGetHandleByIndex_v2 (index, &handle) != NVML_SUCCESS
            || s_nvml.DeviceGetUUID (handle, uuid, sizeof uuid) != NVML_SUCCESS
            || s_nvml.DeviceGetComputeRunningProcesses_v3 (handle, &rows, processes)
                   != NVML_SUCCESS)
            continue;
        for (unsigned row = 0; row < rows && row < PROCESSES_MAX && *count < max; row++)
            s_add_process (&processes[row], handle, uuid, &out[(*count)++]);
    }
    return s_result (code);
}

//  --------------------------------------------------------------------------------------------------
//  Topology

//  Do any of their NvLinks end at the other?
static bool s_linked (device_t one, device_t other)
{
    pci_t remote, pci;
    unsigned active;
    if (!s_nvml.DeviceGetNvLinkState || !s_nvml.DeviceGetNvLinkRemotePciInfo_v2
        || !s_pci (other, &pci))
        return false;
    for (unsigned link = 0; link < NVLINKS_MAX; link++)
        if (s_nvml.DeviceGetNvLinkState (one, link, &active) == NVML_SUCCESS && active
            && s_nvml.DeviceGetNvLinkRemotePciInfo_v2 (one, link, &remote) == NVML_SUCCESS
            && strcmp (remote.bus_id, pci.bus_id) == 0)
            return true;
    return false;
}

static int32_t s_level (device_t one, device_t other)
{
    int ancestor;
    if (one == other)
        return UMBP_ABI_SELF;
    if (s_linked (one, other))
        return UMBP_ABI_INTERNAL_LINK;
    if (!s_nvml.DeviceGetTopologyCommonAncestor
        || s_nvml.DeviceGetTopologyCommonAncestor (one, other, &ancestor) != NVML_SUCCESS
        || ancestor < 0 || ancestor > 50)
        return UMBP_ABI_UNKNOWN;
    return ancestor / 10;               //  0, 10, ... 50, in our order
}

int AccelGetAllDevicesTopology (void *out)
{
    umbp_abi_topology_t *topology = out;
    device_t handles[UMBP_ABI_DEVICES_MAX] = { NULL };
    unsigned there = 0;
    int code = s_nvml.DeviceGetCount_v2 (&there);
    if (code != NVML_SUCCESS)
        return s_result (code);
    memset (topology, 0, sizeof *topology);
    for (unsigned index = 0; index < there && topology->count < UMBP_ABI_DEVICES_MAX; index++) {
        umbp_abi_row_t *row = &topology->rows[topology->count];
        if (s_nvml.DeviceGetHandleByIndex_v2 (index, &handles[topology->count]) != NVML_SUCCESS
            || s_nvml.DeviceGetUUID (handles[topology->count], row->uuid, sizeof row->uuid)
                   != NVML_SUCCESS)
            continue;
        row->index = (int32_t) index;
        row->numa = s_numa (handles[topology->count++]);
    }
    for (size_t one = 0; one < topology->count; one++)
        for (size_t other = 0; other < topology->count; other++) {
            umbp_abi_peer_t *peer = &topology->rows[one].peers[topology->rows[one].count++];
            memcpy (peer->uuid, topology->rows[other].uuid, sizeof peer->uuid);
            peer->index = topology->rows[other].index;
            peer->level = s_level (handles[one], handles[other]);
        }
    return UMBP_ABI_OK;
}

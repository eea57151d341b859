//  accel/providers/amd.c - devices of AMD through AMD SMI, which is loaded at run time:
//  libaccelerator_amd.so. The structures of AMD SMI change from release to release without a sign, so
//  only calls whose arguments are plain numbers or texts are relied upon; of a structure its first
//  text or number is taken, out of far more room than any release fills. Processes and PCIe come from
//  the kernel, whose files are the same for all: /sys/class/kfd and /sys/bus/pci.
//
//  AMD SMI gives watts and degrees as they are: nothing is divided.
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>

#include "accel/providers/provider.h"

#ifndef UMBP_SYSFS
#define UMBP_SYSFS "/sys"
#endif

#define LIBRARY "libamd_smi.so"
#define AMDSMI_SUCCESS 0
#define AMDSMI_INVALID 1
#define AMDSMI_NOT_SUPPORTED 2
#define INIT_GPUS 2                     //  1 << 1
#define MEMORY_VRAM 0
#define TEMPERATURE_EDGE 0
#define TEMPERATURE_HOTSPOT 1
#define TEMPERATURE_CURRENT 0
#define LINK_XGMI 2
#define ROOM 8192                       //  For a structure of any release
#define SOCKETS_MAX 32
#define PATH_ROOM 384

typedef void *handle_t;

#define CALLS(CALL) \
    CALL (init, (uint64_t)) \
    CALL (shut_down, (void)) \
    CALL (get_socket_handles, (uint32_t *, handle_t *)) \
    CALL (get_processor_handles, (handle_t, uint32_t *, handle_t *)) \
    CALL (get_gpu_device_bdf, (handle_t, uint64_t *)) \
    CALL (get_gpu_memory_total, (handle_t, int, uint64_t *)) \
    CALL (get_gpu_memory_usage, (handle_t, int, uint64_t *)) \
    CALL (topo_get_numa_node_number, (handle_t, uint32_t *)) \
    CALL (get_temp_metric, (handle_t, int, int, int64_t *)) \
    CALL (get_gpu_activity, (handle_t, void *)) \
    CALL (get_power_info, (handle_t, void *)) \
    CALL (get_gpu_pci_throughput, (handle_t, uint64_t *, uint64_t *, uint64_t *)) \
    CALL (get_gpu_asic_info, (handle_t, void *)) \
    CALL (get_gpu_driver_info, (handle_t, void *)) \
    CALL (get_gpu_vbios_info, (handle_t, void *)) \
    CALL (topo_get_link_type, (handle_t, handle_t, uint64_t *, int *))

#define MEMBER(name, arguments) int (*name) arguments;
typedef struct {
    CALLS (MEMBER)
} amdsmi_t;

#define LOAD(name, arguments) s_smi.name = (int (*) arguments) dlsym (library, "amdsmi_" #name);

typedef struct {
    handle_t handle;
    uint64_t bdf;                       //  Domain from bit 16 on, bus 8, device 3, function 0
} card_t;

static amdsmi_t s_smi;
static card_t s_cards[UMBP_ABI_DEVICES_MAX];
static size_t s_card_count;
static union {
    uint64_t words[ROOM / 8];
    uint32_t halves[ROOM / 4];
    char text[ROOM];
} s_room;                               //  One thread at a time calls us

static int s_result (int code)
{
    switch (code) {
    case AMDSMI_SUCCESS: return UMBP_ABI_OK;
    case AMDSMI_INVALID: return UMBP_ABI_INVALID;
    case AMDSMI_NOT_SUPPORTED: return UMBP_ABI_NOT_SUPPORTED;
    default: return UMBP_ABI_FAILED;
    }
}

//  --------------------------------------------------------------------------------------------------
//  Life

int AccelInit (void)
{
    void *library = dlopen (LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library)
        return UMBP_ABI_NOT_FOUND;
    CALLS (LOAD)
    if (!s_smi.init || !s_smi.get_socket_handles || !s_smi.get_processor_handles
        || !s_smi.get_gpu_device_bdf || !s_smi.get_gpu_memory_total || !s_smi.get_gpu_memory_usage)
        return UMBP_ABI_NOT_SUPPORTED;
    return s_result (s_smi.init (INIT_GPUS));
}

int AccelShutdown (void)
{
    return s_smi.shut_down ? s_result (s_smi.shut_down ()) : UMBP_ABI_OK;
}

int AccelRegisterLogCallback (umbp_abi_log_fn *fn)
{
    (void) fn;                          //  AMD SMI has nothing to say
    return UMBP_ABI_OK;
}

int AccelGetAbiVersion (umbp_abi_version_t *out)
{
    return provider_version (out);
}

//  --------------------------------------------------------------------------------------------------
//  Devices

//  All cards of all sockets, anew
static int s_look (void)
{
    handle_t sockets[SOCKETS_MAX], cards[UMBP_ABI_DEVICES_MAX];
    uint32_t socket_count = SOCKETS_MAX;
    s_card_count = 0;
    int code = s_smi.get_socket_handles (&socket_count, sockets);
    for (uint32_t socket = 0;
         code == AMDSMI_SUCCESS && socket < socket_count && socket < SOCKETS_MAX; socket++) {
        uint32_t count = UMBP_ABI_DEVICES_MAX;
        if (s_smi.get_processor_handles (sockets[socket], &count, cards) != AMDSMI_SUCCESS)
            continue;
        for (uint32_t card = 0; card < count && s_card_count < UMBP_ABI_DEVICES_MAX; card++) {
            s_cards[s_card_count].handle = cards[card];
            if (s_smi.get_gpu_device_bdf (cards[card], &s_cards[s_card_count].bdf)
                == AMDSMI_SUCCESS)
                s_card_count++;
        }
    }
    return s_result (code);
}

//  "0000:c1:00.0", as the kernel writes it
static void s_slot (uint64_t bdf, char out[32])
{
    snprintf (out, 32, "%04x:%02x:%02x.%x", (unsigned) (bdf >> 16 & 0xffffffff),
              (unsigned) (bdf >> 8 & 0xff), (unsigned) (bdf >> 3 & 0x1f), (unsigned) (bdf & 7));
}

static void s_uuid (uint64_t bdf, char out[UMBP_ABI_UUID_MAX])
{
    char slot[32];
    s_slot (bdf, slot);
    snprintf (out, UMBP_ABI_UUID_MAX, "AMD-GPU-%s", slot);
}

//  The first line of a file of the kernel. Returns false if there is none.
static bool s_read (char *out, size_t size, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static bool s_read (char *out, size_t size, const char *format, ...)
{
    char path[PATH_ROOM];
    va_list args;
    va_start (args, format);
    vsnprintf (path, sizeof path, format, args);
    va_end (args);
    FILE *file = fopen (path, "r");
    bool fine = file && fgets (out, (int) size, file);
    if (file)
        fclose (file);
    if (fine)
        out[strcspn (out, "\n")] = 0;
    return fine;
}

//  The first text of what a call fills. What is no text stays empty.
static void s_first_text (int (*call) (handle_t, void *), handle_t handle, char *out, size_t size)
{
    memset (&s_room, 0, sizeof s_room);
    if (!call || call (handle, &s_room) != AMDSMI_SUCCESS)
        return;
    size_t length = strnlen (s_room.text, size - 1);
    memcpy (out, s_room.text, length);
    out[length] = 0;
    for (char *at = out; *at; at++)
        if (*at < 0x20 || *at > 0x7e)
            *out = 0;
}

//  "32.0 GT/s PCIe": 2.5 is generation 1, and each one more about doubles
static uint32_t s_pcie_gen (const char *slot)
{
    static const double speeds[] = { 2.5, 5, 8, 16, 32, 64, 128 };
    char text[64];
    uint32_t gen = 0;
    if (!s_read (text, sizeof text, UMBP_SYSFS "/bus/pci/devices/%s/max_link_speed", slot))
        return 0;
    double speed = strtod (text, NULL);
    while (gen < sizeof speeds / sizeof *speeds && speed >= speeds[gen])
        gen++;
    return gen;
}

//  The render node of a card: /dev/dri/renderD128
static void s_node (const char *slot, char *out, size_t size)
{
    char path[PATH_ROOM];
    struct dirent *entry;
    snprintf (path, sizeof path, UMBP_SYSFS "/bus/pci/devices/%s/drm", slot);
    DIR *folder = opendir (path);
    while (folder && (entry = readdir (folder)))
        if (strncmp (entry->d_name, "renderD", 7) == 0)
            snprintf (out, size, "/dev/dri/%.40s", entry->d_name);
    if (folder)
        closedir (folder);
}

static bool s_fill (size_t index, umbp_abi_device5_t *out)
{
    const card_t *card = &s_cards[index];
    char slot[32], text[64];
    uint32_t numa;
    memset (out, 0, sizeof *out);
    umbp_abi_basic5_t *basic = &out->basic;
    if (s_smi.get_gpu_memory_total (card->handle, MEMORY_VRAM, &basic->memory_bytes)
        != AMDSMI_SUCCESS)
        return false;
    s_slot (card->bdf, slot);
    s_uuid (card->bdf, basic->uuid);
    snprintf (basic->vendor, sizeof basic->vendor, "AMD");
    s_first_text (s_smi.get_gpu_asic_info, card->handle, basic->model, sizeof basic->model);
    s_first_text (s_smi.get_gpu_driver_info, card->handle, basic->driver, sizeof basic->driver);
    s_first_text (s_smi.get_gpu_vbios_info, card->handle, basic->firmware, sizeof basic->firmware);
    s_node (slot, basic->node, sizeof basic->node);
    basic->index = (int32_t) index;
    basic->numa = -1;
    if (s_smi.topo_get_numa_node_number
        && s_smi.topo_get_numa_node_number (card->handle, &numa) == AMDSMI_SUCCESS && numa < 1024)
        basic->numa = (int32_t) numa;
    basic->pcie_gen = s_pcie_gen (slot);
    if (s_read (text, sizeof text, UMBP_SYSFS "/bus/pci/devices/%s/max_link_width", slot))
        basic->pcie_width = (uint32_t) atoi (text);
    provider_property (out, "chipType", "AMD");
    provider_property (out, "pciBusId", "%s", slot);
    out->caps = (umbp_abi_caps_t) { .metrics = true };
    return true;
}

int AccelGetDeviceCount (size_t *count)
{
    int result = s_look ();
    *count = s_card_count;
    return result;
}

int AccelGetAllDevices (void *out, size_t max, size_t *count)
{
    umbp_abi_device5_t *rows = out;
    if (!out || max == 0 || !count)
        return UMBP_ABI_INVALID;
    int result = s_look ();
    *count = 0;
    for (size_t index = 0; result == UMBP_ABI_OK && index < s_card_count && *count < max; index++)
        if (s_fill (index, &rows[*count]))
            (*count)++;
        else
            memset (&rows[*count], 0xa5, sizeof *rows);      //  As the caller gave it
    return result;
}

//  --------------------------------------------------------------------------------------------------
//  Metrics

//  Watts. In all releases one of the first two numbers of 32 bits is a power in watts; all ones in
//  one of them: not told, it is the other. A release of 64 bits has 0 in the upper half.
static double s_power_w (handle_t handle)
{
    memset (&s_room, 0, sizeof s_room);
    if (!s_smi.get_power_info || s_smi.get_power_info (handle, &s_room) != AMDSMI_SUCCESS)
        return 0;
    uint32_t watts = s_room.halves[0];
    if (watts >= 0xffff)
        watts = s_room.halves[1];
    return watts < 0xffff ? watts : 0;
}

static double s_temperature_c (handle_t handle)
{
    int64_t degrees = 0;
    if (s_smi.get_temp_metric
        && s_smi.get_temp_metric (handle, TEMPERATURE_HOTSPOT, TEMPERATURE_CURRENT, &degrees)
               != AMDSMI_SUCCESS
        && s_smi.get_temp_metric (handle, TEMPERATURE_EDGE, TEMPERATURE_CURRENT, &degrees)
               != AMDSMI_SUCCESS)
        degrees = 0;
    return (double) degrees;
}

static int s_measure (const char *uuid, umbp_abi_metrics_t *out)
{
    uint64_t sent, received, packet;
    const card_t *card = NULL;
    memset (out, 0, sizeof *out);
    for (size_t index = 0; index < s_card_count && !card; index++) {
        s_uuid (s_cards[index].bdf, out->uuid);
        if (strcmp (out->uuid, uuid) == 0)
            card = &s_cards[index];
    }
    if (!card)
        return UMBP_ABI_NOT_FOUND;
    if (s_smi.get_gpu_memory_usage (card->handle, MEMORY_VRAM, &out->memory_used_bytes)
        != AMDSMI_SUCCESS)
        return UMBP_ABI_FAILED;
    out->power_w = s_power_w (card->handle);
    out->temperature_c = s_temperature_c (card->handle);
    memset (&s_room, 0, sizeof s_room);
    if (s_smi.get_gpu_activity && s_smi.get_gpu_activity (card->handle, &s_room) == AMDSMI_SUCCESS)
        out->busy_percent = s_room.halves[0] <= 100 ? s_room.halves[0] : 0;
    if (s_smi.get_gpu_pci_throughput
        && s_smi.get_gpu_pci_throughput (card->handle, &sent, &received, &packet)
               == AMDSMI_SUCCESS) {
        out->tx_bytes = sent * packet;  //  Packets, of so many bytes at most
        out->rx_bytes = received * packet;
    }
    return UMBP_ABI_OK;
}

int AccelGetDeviceMetrics (const char **uuids, size_t count, umbp_abi_metrics_t *out)
{
    int result = s_look ();
    for (size_t index = 0; result == UMBP_ABI_OK && index < count; index++)
        result = s_measure (uuids[index], &out[index]);
    return result;
}

//  --------------------------------------------------------------------------------------------------
//  Processes, as the kernel counts them: kfd/proc/PID/vram_GPU

//  A number of "name 123" in a node's properties
static bool s_property (unsigned node, const char *name, uint64_t *value)
{
    char path[PATH_ROOM], line[128];
    size_t size = strlen (name);
    bool found = false;
    snprintf (path, sizeof path, UMBP_SYSFS "/class/kfd/kfd/topology/nodes/%u/properties", node);
    FILE *file = fopen (path, "r");
    while (file && !found && fgets (line, sizeof line, file))
        if (strncmp (line, name, size) == 0 && line[size] == ' ') {
            *value = strtoull (line + size, NULL, 10);
            found = true;
        }
    if (file)
        fclose (file);
    return found;
}

//  What the kernel calls a card, 0: unknown
static uint64_t s_gpu_id (uint64_t bdf)
{
    for (unsigned node = 0; node < 4 * UMBP_ABI_DEVICES_MAX; node++) {
        uint64_t location, domain = 0;
        char text[32];
        if (!s_property (node, "location_id", &location))
            return 0;                   //  That was the last
        s_property (node, "domain", &domain);
        if (location == (bdf & 0xffff) && domain == bdf >> 16
            && s_read (text, sizeof text, UMBP_SYSFS "/class/kfd/kfd/topology/nodes/%u/gpu_id",
                       node))
            return strtoull (text, NULL, 10);
    }
    return 0;
}

static bool s_add_process (const char *pid, uint64_t gpu_id, uint64_t bdf, umbp_abi_process_t *row)
{
    char text[32];
    if (!s_read (text, sizeof text, UMBP_SYSFS "/class/kfd/kfd/proc/%.20s/vram_%llu", pid,
                 (unsigned long long) gpu_id))
        return false;
    memset (row, 0, sizeof *row);
    snprintf (row->pid, sizeof row->pid, "%.20s", pid);
    s_uuid (bdf, row->uuid);
    row->memory_used_bytes = strtoull (text, NULL, 10);
    return row->memory_used_bytes > 0;
}

int AccelGetProcessInformation (umbp_abi_process_t *out, size_t max, size_t *count)
{
    uint64_t ids[UMBP_ABI_DEVICES_MAX] = { 0 };
    struct dirent *entry;
    int result = s_look ();
    *count = 0;
    DIR *folder = result == UMBP_ABI_OK ? opendir (UMBP_SYSFS "/class/kfd/kfd/proc") : NULL;
    if (!folder)
        return result == UMBP_ABI_OK ? UMBP_ABI_NOT_SUPPORTED : result;
    for (size_t card = 0; card < s_card_count; card++)
        ids[card] = s_gpu_id (s_cards[card].bdf);
    while ((entry = readdir (folder)))
        for (size_t card = 0; entry->d_name[0] != '.' && card < s_card_count; card++)
            if (ids[card] && *count < max
                && s_add_process (entry->d_name, ids[card], s_cards[card].bdf, &out[*count]))
                (*count)++;
    closedir (folder);
    return UMBP_ABI_OK;
}

//  --------------------------------------------------------------------------------------------------
//  Topology

static int32_t s_level (const umbp_abi_topology_t *topology, size_t one, size_t other)
{
    uint64_t hops;
    int type;
    if (one == other)
        return UMBP_ABI_SELF;
    if (s_smi.topo_get_link_type
        && s_smi.topo_get_link_type (s_cards[one].handle, s_cards[other].handle, &hops, &type)
               == AMDSMI_SUCCESS
        && type == LINK_XGMI)
        return UMBP_ABI_INTERNAL_LINK;
    int32_t numa = topology->rows[one].numa;
    if (numa < 0 || topology->rows[other].numa < 0)
        return UMBP_ABI_UNKNOWN;
    return numa == topology->rows[other].numa ? UMBP_ABI_NUMA : UMBP_ABI_SYSTEM;
}

int AccelGetAllDevicesTopology (void *out)
{
    umbp_abi_topology_t *topology = out;
    int result = s_look ();
    if (result != UMBP_ABI_OK)
        return result;
    memset (topology, 0, sizeof *topology);
    topology->count = s_card_count;
    for (size_t card = 0; card < s_card_count; card++) {
        uint32_t numa;
        umbp_abi_row_t *row = &topology->rows[card];
        s_uuid (s_cards[card].bdf, row->uuid);
        row->index = (int32_t) card;
        row->numa = -1;
        if (s_smi.topo_get_numa_node_number
            && s_smi.topo_get_numa_node_number (s_cards[card].handle, &numa) == AMDSMI_SUCCESS
            && numa < 1024)
            row->numa = (int32_t) numa;
    }
    for (size_t one = 0; one < topology->count; one++)
        for (size_t other = 0; other < topology->count; other++) {
            umbp_abi_peer_t *peer = &topology->rows[one].peers[topology->rows[one].count++];
            memcpy (peer->uuid, topology->rows[other].uuid, sizeof peer->uuid);
            peer->index = (int32_t) other;
            peer->level = s_level (topology, one, other);
        }
    return UMBP_ABI_OK;
}

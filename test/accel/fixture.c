//  test/accel/fixture.c - an accelerator library of each generation, from one text. The Makefile
//  builds it into libfixture-NAME.so with -DFIXTURE_NAME:
//
//      gen1 ... gen5       one of each layout, with the names of its time
//      wide                generation 5, whose topology has nodes of 80 bytes
//      garbled             the same, whose topology names devices that are not there
//      strange             records of 20980 bytes: nothing that anybody knows
//      mixed               the names of generation 2 with records of generation 5
//      overrun             writes a record of its own after the ones it was asked for
//      insane              a uuid that is not printable
//      bare                lacks GetProcessInformation
//      sick                whose Init fails
//      deep                takes 1.3 MB of stack for its topology, as one in the field does
//
//  FIXTURE_COUNT says how many devices (4). Calls are noted in fixture_calls, one letter each: Init,
//  Shutdown, Count, Devices, Metrics, Processes, Topology, Log, split (a), join (r).
#include <stdlib.h>

#include "accel/abi.h"
#include "accel/providers/provider.h"

#if defined FIXTURE_gen1
#define NAME(name) name
#define INIT VirtualGPUInit
typedef umbp_abi_device1_t record_t;
#elif defined FIXTURE_gen2
#define NAME(name) name
#define INIT VGPUInit
#define SHUTDOWN VGPUShutdown
typedef umbp_abi_device2_t record_t;
#elif defined FIXTURE_gen3
typedef umbp_abi_device2_t record_t;
#elif defined FIXTURE_gen4
typedef umbp_abi_device4_t record_t;
#elif defined FIXTURE_strange
typedef struct {
    umbp_abi_basic5_t basic;
    umbp_abi_properties_t properties;
    umbp_abi_caps_t caps;
    uint32_t more;
} __attribute__ ((packed)) record_t;
_Static_assert(sizeof (record_t) == 20980, "strange");
#elif defined FIXTURE_mixed
#define NAME(name) name
#define INIT VGPUInit
#define SHUTDOWN VGPUShutdown
typedef umbp_abi_device5_t record_t;
#else
typedef umbp_abi_device5_t record_t;
#endif

#ifndef NAME
#define NAME(name) Accel##name
#define INIT AccelInit
#define SHUTDOWN AccelShutdown
#endif

#if defined FIXTURE_wide || defined FIXTURE_garbled
typedef umbp_abi_wide_topology_t topology_t;
#else
typedef umbp_abi_topology_t topology_t;
#endif

PROVIDED char fixture_calls[256];
static umbp_abi_log_fn *s_log;

static void s_note (char call)
{
    size_t size = strlen (fixture_calls);
    if (size + 1 < sizeof fixture_calls)
        fixture_calls[size] = call;
}

static size_t s_count (void)
{
    const char *text = getenv ("FIXTURE_COUNT");
    return text ? (size_t) atoi (text) : 4;
}

PROVIDED int INIT (void)
{
    s_note ('I');
#ifdef FIXTURE_sick
    return UMBP_ABI_FAILED;
#else
    return UMBP_ABI_OK;
#endif
}

#ifdef SHUTDOWN
PROVIDED int SHUTDOWN (void)
{
    s_note ('S');
    return UMBP_ABI_OK;
}
#endif

PROVIDED umbp_abi_set_log_fn NAME (RegisterLogCallback);
int NAME (RegisterLogCallback) (umbp_abi_log_fn *fn)
{
    s_note ('L');
    s_log = fn;
    if (s_log)
        s_log ("WARNING", "fixture has a tale to tell");
    return UMBP_ABI_OK;
}

PROVIDED umbp_abi_count_fn NAME (GetDeviceCount);
int NAME (GetDeviceCount) (size_t *count)
{
    s_note ('C');
    *count = s_count ();
    return UMBP_ABI_OK;
}

static void s_name (size_t number, char uuid[64])
{
    snprintf (uuid, 64, "Fixture-Device-%zu", number);
}

static void s_fill (size_t number, record_t *out)
{
    umbp_abi_device5_t words = { .properties.count = 0 };
    memset (out, 0, sizeof *out);
    s_name (number, out->basic.uuid);
#ifdef FIXTURE_insane
    out->basic.uuid[0] = 7;
#endif
    snprintf (out->basic.vendor, sizeof out->basic.vendor, "STUB");
    snprintf (out->basic.model, sizeof out->basic.model, "Fixture-Model");
    snprintf (out->basic.driver, sizeof out->basic.driver, "1.0.0-fixture");
    snprintf (out->basic.firmware, sizeof out->basic.firmware, "2.0.0-fixture");
    out->basic.index = (int32_t) number;
    out->basic.numa = (int32_t) number % 2;
    out->basic.memory_bytes = UINT64_C (16) << 30;
    out->basic.units = 108;
    out->basic.tflops = 312;
    out->basic.pcie_gen = 4;
    out->basic.pcie_width = 16;
    provider_property (&words, "clockSM", "1410");
    provider_property (&words, "chipType", "STUB");
    memcpy (&out->properties, &words.properties, sizeof words.properties);
    out->caps = (umbp_abi_caps_t) { true, true, true, false, true, false, 7, 16 };
#ifdef FIXTURE_gen4
    snprintf (out->nodes.rows[0].host, sizeof out->nodes.rows[0].host, "/dev/stub%zu", number);
    out->nodes.count = 1;
#endif
}

PROVIDED umbp_abi_devices_fn NAME (GetAllDevices);
int NAME (GetAllDevices) (void *out, size_t max, size_t *count)
{
    s_note ('D');
    if (!out || max == 0)
        return UMBP_ABI_INVALID;
    *count = s_count () < max ? s_count () : max;
    size_t more = 0;
#ifdef FIXTURE_overrun
    more = *count > 1;
#endif
    for (size_t number = 0; number < *count + more; number++) {
        record_t record;
        s_fill (number, &record);
        memcpy ((char *) out + number * sizeof record, &record, sizeof record);
    }
    return UMBP_ABI_OK;
}

PROVIDED umbp_abi_metrics_fn NAME (GetDeviceMetrics);
int NAME (GetDeviceMetrics) (const char **uuids, size_t count, umbp_abi_metrics_t *out)
{
    s_note ('M');
    for (size_t index = 0; index < count; index++) {
        memset (&out[index], 0, sizeof out[index]);
        if (strncmp (uuids[index], "Fixture-Device-", 15) != 0)
            return UMBP_ABI_NOT_FOUND;  //  Drivers look at upper and lower case
        snprintf (out[index].uuid, sizeof out[index].uuid, "%s", uuids[index]);
        out[index].memory_used_bytes = UINT64_C (4) << 30;
        out[index].power_w = 200;
        out[index].temperature_c = 45;
        out[index].rx_bytes = 1000;
        provider_extra (&out[index], "encoder", 10);
    }
    return UMBP_ABI_OK;
}

#ifndef FIXTURE_bare
PROVIDED umbp_abi_processes_fn NAME (GetProcessInformation);
int NAME (GetProcessInformation) (umbp_abi_process_t *out, size_t max, size_t *count)
{
    s_note ('P');
    *count = s_count () > 0 && max > 1 ? 2 : 0;
    for (size_t index = 0; index < *count; index++) {
        memset (&out[index], 0, sizeof out[index]);
        snprintf (out[index].pid, sizeof out[index].pid, index == 0 ? "4242" : "none");
        s_name (0, out[index].uuid);
        out[index].memory_used_bytes = UINT64_C (1) << 30;
    }
    return UMBP_ABI_OK;
}
#endif

#ifndef FIXTURE_gen1
PROVIDED umbp_abi_topology_fn NAME (GetAllDevicesTopology);
int NAME (GetAllDevicesTopology) (void *out)
{
    s_note ('T');
#ifdef FIXTURE_deep
    volatile char deep[1300000];
    for (size_t at = 0; at < sizeof deep; at += 1024)
        deep[at] = 1;
    if (deep[1024] != 1)
        return UMBP_ABI_INTERNAL;
#endif
    topology_t *topology = out;
    memset (topology, 0, sizeof *topology);
    topology->count = s_count () < 64 ? s_count () : 64;
    for (size_t row = 0; row < topology->count; row++) {
        s_name (row, topology->rows[row].uuid);
        topology->rows[row].index = (int32_t) row;
        topology->rows[row].count = topology->count;
        for (size_t peer = 0; peer < topology->count; peer++) {
            s_name (peer, topology->rows[row].peers[peer].uuid);
            topology->rows[row].peers[peer].index = (int32_t) peer;
            topology->rows[row].peers[peer].level = peer == row ? 6 : peer % 2 == row % 2 ? 4 : 5;
#if defined FIXTURE_wide || defined FIXTURE_garbled
            topology->rows[row].peers[peer].bandwidth = 25000;
#endif
        }
#ifdef FIXTURE_garbled
        snprintf (topology->rows[row].peers[0].uuid, 64, "nobody");
#endif
    }
    return UMBP_ABI_OK;
}
#endif

#if defined FIXTURE_gen1
PROVIDED umbp_abi_split1_fn AssignPartition;
bool AssignPartition (umbp_abi_assignment_t *assignment)
{
    s_note ('a');
    snprintf (assignment->uuid, sizeof assignment->uuid, "part-of-%.40s", assignment->device);
    return true;
}
PROVIDED umbp_abi_join1_fn RemovePartition;
bool RemovePartition (const char *partition, const char *device)
{
    s_note ('r');
    return strncmp (partition, "part-of-", 8) == 0 && strcmp (partition + 8, device) == 0;
}
#elif !defined FIXTURE_bare
PROVIDED umbp_abi_split_fn NAME (AssignPartition);
int NAME (AssignPartition) (const char *template, const char *device, void *out)
{
    umbp_abi_partition_t *partition = out;
    s_note ('a');
    memset (partition, 0, sizeof *partition);
    snprintf (partition->uuid, sizeof partition->uuid, "%.8s%.40s",
              strcmp (template, "same") == 0 ? "" : "part-of-", device);
    return UMBP_ABI_OK;
}
PROVIDED umbp_abi_join_fn NAME (RemovePartition);
int NAME (RemovePartition) (const char *partition, const char *device)
{
    s_note ('r');
    bool fine = strncmp (partition, "part-of-", 8) == 0 && strcmp (partition + 8, device) == 0;
    return fine ? UMBP_ABI_OK : UMBP_ABI_NOT_FOUND;
}
#endif

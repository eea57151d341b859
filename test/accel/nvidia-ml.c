//  test/accel/nvidia-ml.c - stands in for NVIDIA's driver library: two devices, joined by an NvLink,
//  whose numbers tests know. What tests change is exported as fake_*.
//  SONAME libnvidia-ml.so.1
#include <stdio.h>
#include <string.h>

typedef struct device {
    const char *uuid, *bus_id;
} device_t;

unsigned fake_count = 2, fake_power_mw = 312500, fake_calls;
unsigned long long fake_xid, fake_used = 8ULL << 30;
int fake_broken = -1;                   //  This one fell off the bus

static device_t s_devices[] = { { "GPU-Aaaa-0", "00000000:3B:00.0" },
                                { "GPU-Aaaa-1", "00000000:5E:00.0" } };
static char s_events;

int nvmlInit_v2 (void)
{
    fake_calls++;
    return 0;
}
int nvmlShutdown (void)
{
    return 0;
}
int nvmlDeviceGetCount_v2 (unsigned *count)
{
    *count = fake_count;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2 (unsigned index, device_t **out)
{
    if ((int) index == fake_broken)
        return 15;                      //  GPU_IS_LOST
    *out = &s_devices[index];
    return index < fake_count ? 0 : 2;
}

int nvmlDeviceGetUUID (device_t *device, char *out, unsigned size)
{
    snprintf (out, size, "%s", device->uuid);
    return 0;
}

int nvmlDeviceGetMemoryInfo_v2 (device_t *device, void *out)
{
    struct {
        unsigned version;
        unsigned long long total, reserved, free, used;
    } info = { .total = 80ULL << 30, .reserved = 1ULL << 30, .used = fake_used };
    (void) device;
    unsigned version;
    memcpy (&version, out, sizeof version);
    if (version != (sizeof info | 2u << 24))
        return 25;                      //  ARGUMENT_VERSION_MISMATCH
    memcpy (out, &info, sizeof info);
    return 0;
}

int nvmlDeviceGetName (device_t *device, char *out, unsigned size)
{
    (void) device;
    snprintf (out, size, "NVIDIA H100 80GB HBM3");
    return 0;
}

int nvmlSystemGetDriverVersion (char *out, unsigned size)
{
    snprintf (out, size, "550.54.15");
    return 0;
}

int nvmlDeviceGetMinorNumber (device_t *device, unsigned *out)
{
    *out = (unsigned) (device - s_devices);
    return 0;
}

int nvmlDeviceGetPciInfo_v3 (device_t *device, void *out)
{
    memset (out, 0, 68);
    snprintf ((char *) out + 36, 32, "%s", device->bus_id);
    return 0;
}

int nvmlDeviceGetNumaNodeId (device_t *device, unsigned *out)
{
    *out = (unsigned) (device - s_devices);
    return 0;
}

int nvmlDeviceGetMaxPcieLinkGeneration (device_t *device, unsigned *out)
{
    (void) device;
    *out = 5;
    return 0;
}

int nvmlDeviceGetPowerUsage (device_t *device, unsigned *out)
{
    (void) device;
    *out = fake_power_mw;
    return 0;
}

int nvmlDeviceGetTemperature (device_t *device, int sensor, unsigned *out)
{
    (void) device;
    *out = 61;
    return sensor;
}

int nvmlDeviceGetUtilizationRates (device_t *device, unsigned *out)
{
    (void) device;
    out[0] = 73;
    out[1] = 20;
    return 0;
}

int nvmlDeviceGetPcieThroughput (device_t *device, int counter, unsigned *out)
{
    (void) device;
    *out = counter == 0 ? 100 : 200;    //  KB/s
    return 0;
}

int nvmlDeviceGetComputeRunningProcesses_v3 (device_t *device, unsigned *count, void *out)
{
    struct {
        unsigned pid;
        unsigned long long used;
        unsigned instance, compute_instance;
    } rows[2] = { { 4711, 3ULL << 30, 0, 0 }, { 4712, ~0ULL, 0, 0 } };
    *count = device == s_devices ? 2 : 0;
    memcpy (out, rows, *count * sizeof *rows);
    return 0;
}

int nvmlDeviceGetNvLinkState (device_t *device, unsigned link, unsigned *active)
{
    (void) device;
    *active = link == 3;
    return 0;
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2 (device_t *device, unsigned link, void *out)
{
    (void) link;
    return nvmlDeviceGetPciInfo_v3 (device == s_devices ? s_devices + 1 : s_devices, out);
}

int nvmlEventSetCreate (char **out)
{
    *out = &s_events;
    return 0;
}
int nvmlEventSetFree (char *events)
{
    return events == &s_events ? 0 : 2;
}

int nvmlDeviceRegisterEvents (device_t *device, unsigned long long types, char *events)
{
    (void) device;
    return types == 10 && events == &s_events ? 0 : 2;
}

int nvmlEventSetWait_v2 (char *events, void *out, unsigned timeout_ms)
{
    struct {
        device_t *device;
        unsigned long long type, data;
        unsigned instance, compute_instance;
    } event = { &s_devices[1], 8, fake_xid, 0, 0 };
    (void) events;
    (void) timeout_ms;
    if (!fake_xid)
        return 10;                      //  TIMEOUT
    fake_xid = 0;
    memcpy (out, &event, sizeof event);
    return 0;
}

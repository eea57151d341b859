//  accel/providers/provider.h - what our providers share: their functions are seen from outside, and
//  fill records of the last generation.
#ifndef UMBP_PROVIDER_H
#define UMBP_PROVIDER_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "accel/abi.h"

#define PROVIDED __attribute__ ((visibility ("default")))

static inline void provider_property (umbp_abi_device5_t *device, const char *key,
                                      const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static inline void provider_property (umbp_abi_device5_t *device, const char *key,
                                      const char *format, ...)
{
    if (device->properties.count == UMBP_ABI_PROPERTIES_MAX)
        return;
    umbp_abi_property_t *row = &device->properties.rows[device->properties.count++];
    va_list args;
    va_start (args, format);
    snprintf (row->key, sizeof row->key, "%s", key);
    vsnprintf (row->value, sizeof row->value, format, args);
    va_end (args);
}

static inline void provider_extra (umbp_abi_metrics_t *metrics, const char *key, double value)
{
    if (metrics->extra_count == UMBP_ABI_EXTRAS_MAX)
        return;
    umbp_abi_extra_t *row = &metrics->extras[metrics->extra_count++];
    snprintf (row->key, sizeof row->key, "%s", key);
    row->value = value;
}

//  What AccelGetAbiVersion says
static inline int provider_version (umbp_abi_version_t *out)
{
    *out = (umbp_abi_version_t) { UMBP_ABI_GENERATION, sizeof (umbp_abi_device5_t),
                                 sizeof (umbp_abi_topology_t), sizeof (umbp_abi_metrics_t),
                                 sizeof (umbp_abi_process_t) };
    return UMBP_ABI_OK;
}

PROVIDED umbp_abi_plain_fn AccelInit, AccelShutdown;
PROVIDED umbp_abi_count_fn AccelGetDeviceCount;
PROVIDED umbp_abi_devices_fn AccelGetAllDevices;
PROVIDED umbp_abi_metrics_fn AccelGetDeviceMetrics;
PROVIDED umbp_abi_processes_fn AccelGetProcessInformation;
PROVIDED umbp_abi_topology_fn AccelGetAllDevicesTopology;
PROVIDED umbp_abi_set_log_fn AccelRegisterLogCallback;
PROVIDED umbp_abi_version_fn AccelGetAbiVersion;

#endif

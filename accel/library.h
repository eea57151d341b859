//  accel/library.h - one accelerator library, loaded at run time by the C ABI of abi.h. It is never
//  unloaded: such libraries have threads of their own. What it says reaches nobody before its
//  layout is known and every number was looked at.
//
//  Every call may block for as long as the driver likes; whoever must not wait calls from a thread
//  of its own. One thread at a time: libraries need not be safe for more. That thread should have
//  8 MiB of stack, as some put whole topologies there.
#ifndef UMBP_LIBRARY_H
#define UMBP_LIBRARY_H

#include "accel/device.h"
#include "proto/error.h"

#define UMBP_LIBRARY_WHY_MAX 512

typedef struct umbp_library umbp_library_t;

//  Load, bind and initialise it. Returns NULL, with why and what to do, if it cannot be. A process has
//  one at a time, since such libraries keep their state for all of it.
umbp_library_t *umbp_library_open (const char *path, char why[UMBP_LIBRARY_WHY_MAX]);

//  Shut it down; it stays mapped. Leaves a NULL; NULL is fine.
void umbp_library_close (umbp_library_t **self_p);

//  Of its layout: 1 to 5; 0 as long as it has shown no device
unsigned umbp_library_generation (const umbp_library_t *self);

//  How many devices there are, or an error
int umbp_library_count (umbp_library_t *self);

//  All devices, at most UMBP_DEVICES_MAX; *left_out says how many more there are. Returns how many;
//  UMBP_ENOTSUP if the layout cannot be told, UMBP_EINVAL if what came cannot be devices: then
//  nothing of it is used; or what the library answered. why is filled if it fails.
int umbp_library_devices (umbp_library_t *self, umbp_device_t *out, size_t *left_out,
                          char why[UMBP_LIBRARY_WHY_MAX]);

//  Metrics of these devices, one row each; rows of devices on which the library did not report have
//  known false. Returns how many are known, or what the library answered if it knows none.
int umbp_library_metrics (umbp_library_t *self, const umbp_device_t *devices, size_t count,
                          umbp_device_metrics_t *out);

//  All processes on all devices, at most UMBP_PROCESSES_MAX. Returns how many, or an error.
int umbp_library_processes (umbp_library_t *self, umbp_device_process_t *out);

//  How far these devices are from each other; rows are at most UMBP_DEVICE_PEERS_MAX. Returns how
//  many, UMBP_ENOTSUP if the library does not know, or UMBP_EINVAL with why.
int umbp_library_topology (umbp_library_t *self, const umbp_device_t *devices, size_t count,
                           umbp_device_peer_t *out, char why[UMBP_LIBRARY_WHY_MAX]);

//  Make a partition of a device by a template of its driver's, and take one back. Return 0 or an
//  error; UMBP_ENOTSUP if the library cannot.
int umbp_library_split (umbp_library_t *self, const char *device, const char *template,
                        char uuid[UMBP_DEVICE_UUID_MAX]);
int umbp_library_join (umbp_library_t *self, const char *device, const char *uuid);

//  Lines that libraries logged, and those of them that were too many to be shown
void umbp_library_lines (uint64_t *logged, uint64_t *hidden);

#endif

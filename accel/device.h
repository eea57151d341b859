//  accel/device.h - what is known of accelerators, whatever library said it. Plain values: all texts
//  are terminated and printable, all numbers are within what such devices can have.
#ifndef UMBP_DEVICE_H
#define UMBP_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_DEVICES_MAX 64
#define UMBP_DEVICE_UUID_MAX 64         //  With its final 0, like all of these
#define UMBP_DEVICE_PROPERTIES_MAX 64
#define UMBP_PROCESSES_MAX 1024
#define UMBP_EXTRAS_MAX 64

//  What a device can do
enum {
    UMBP_DEVICE_PARTITIONING = 1,
    UMBP_DEVICE_SOFT = 2,
    UMBP_DEVICE_HARD = 4,
    UMBP_DEVICE_SNAPSHOT = 8,
    UMBP_DEVICE_METRICS = 16,
    UMBP_DEVICE_REMOTING = 32,
};

typedef struct {
    char key[64], value[256];
} umbp_device_property_t;

typedef struct {
    char uuid[UMBP_DEVICE_UUID_MAX];    //  In the letters of its library: to call it with
    char key[UMBP_DEVICE_UUID_MAX];     //  The same in lower case: to compare with
    char vendor[32], model[128], driver[80], firmware[64], node[64];
    int32_t index, numa;                //  numa -1: unknown
    uint64_t memory_bytes, units, gflops;
    uint32_t pcie_gen, pcie_width, caps, partitions_max, workers_max;
    uint32_t property_count;
    umbp_device_property_t properties[UMBP_DEVICE_PROPERTIES_MAX];
} umbp_device_t;

typedef struct {
    char key[64];
    double value;
} umbp_device_extra_t;

typedef struct {
    char key[UMBP_DEVICE_UUID_MAX];
    bool known;                         //  False: the library did not report on this device
    double power_w, temperature_c;
    uint64_t rx_bytes, tx_bytes, memory_used_bytes;
    uint32_t busy_percent;
    uint32_t extra_count;
    umbp_device_extra_t extras[UMBP_EXTRAS_MAX];
} umbp_device_metrics_t;

typedef struct {
    uint32_t pid;
    char key[UMBP_DEVICE_UUID_MAX];     //  Of the device
    double busy_percent;
    uint64_t units_active, units, memory_used_bytes, memory_reserved_bytes;
} umbp_device_process_t;

typedef struct {
    char one[UMBP_DEVICE_UUID_MAX], other[UMBP_DEVICE_UUID_MAX];        //  Keys of devices
    uint8_t level;                      //  umbp_abi_level_t
} umbp_device_peer_t;

#define UMBP_DEVICE_PEERS_MAX (UMBP_DEVICES_MAX * UMBP_DEVICES_MAX)

#endif

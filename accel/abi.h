//  accel/abi.h - the C ABI of accelerator libraries, as such libraries are found in the field. It
//  never had a version: five layouts of a device's record were shipped under three sets of names.
//  The text is ours, the layouts are theirs (LP64, natural alignment), and each is nailed down with
//  a _Static_assert. Our own providers speak generation 5, and say so by one more function.
//
//      generation  names               device record   topology node   a library knows it by
//      1           VirtualGPUInit      20896           (other call)    Init's name and its record
//      2           VGPUInit            20912           72              the same
//      3           AccelInit           20912           72
//      4           AccelInit           53688           72
//      5           AccelInit           20976           72 or 80
//
//  Records of metrics and processes are the same in all. The caller allocates, the library fills.
#ifndef UMBP_ABI_H
#define UMBP_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_ABI_DEVICES_MAX 64
#define UMBP_ABI_PROPERTIES_MAX 64
#define UMBP_ABI_PEERS_MAX 64
#define UMBP_ABI_EXTRAS_MAX 64
#define UMBP_ABI_PROCESSES_MAX 1024
#define UMBP_ABI_UUID_MAX 64            //  With its final 0
#define UMBP_ABI_NODES_MAX 32           //  Generation 4: device nodes of one device

//  What every function returns; an int in all generations
typedef enum {
    UMBP_ABI_OK = 0,
    UMBP_ABI_INVALID = 1,
    UMBP_ABI_NOT_FOUND = 2,             //  Not fatal, nor is the next
    UMBP_ABI_NOT_SUPPORTED = 3,
    UMBP_ABI_EXHAUSTED = 4,
    UMBP_ABI_FAILED = 5,
    UMBP_ABI_INTERNAL = 6,
} umbp_abi_result_t;

//  How far two devices are from each other
typedef enum {
    UMBP_ABI_INTERNAL_LINK = 0,         //  One board, or NVLink, xGMI
    UMBP_ABI_ONE_SWITCH = 1,
    UMBP_ABI_SWITCHES = 2,
    UMBP_ABI_HOST_BRIDGE = 3,
    UMBP_ABI_NUMA = 4,
    UMBP_ABI_SYSTEM = 5,
    UMBP_ABI_SELF = 6,
    UMBP_ABI_UNKNOWN = 7,
} umbp_abi_level_t;

typedef struct {
    bool partitioning, soft, hard, snapshot, metrics, remoting;
    uint32_t partitions_max, workers_max;
} umbp_abi_caps_t;

//  The front of a device's record. driver has 64 bytes in the first generation, 80 later; node is
//  there in the last alone.
typedef struct {
    char uuid[64], vendor[32], model[128], driver[64], firmware[64];
    int32_t index, numa;
    uint64_t memory_bytes, units;
    double tflops;
    uint32_t pcie_gen, pcie_width;
} umbp_abi_basic1_t;

typedef struct {
    char uuid[64], vendor[32], model[128], driver[80], firmware[64];
    int32_t index, numa;
    uint64_t memory_bytes, units;
    double tflops;
    uint32_t pcie_gen, pcie_width;
} umbp_abi_basic2_t;

typedef struct {
    char uuid[64], vendor[32], model[128], driver[80], firmware[64], node[64];
    int32_t index, numa;                //  numa -1: unknown
    uint64_t memory_bytes, units;
    double tflops;
    uint32_t pcie_gen, pcie_width;
} umbp_abi_basic5_t;

typedef struct {
    char key[64], value[256];
} umbp_abi_property_t;

typedef struct {
    umbp_abi_property_t rows[UMBP_ABI_PROPERTIES_MAX];
    size_t count;
} umbp_abi_properties_t;

typedef struct {
    char host[512], guest[512];
} umbp_abi_mount_t;

typedef struct {
    umbp_abi_mount_t rows[UMBP_ABI_NODES_MAX];
    size_t count;
} umbp_abi_nodes_t;

typedef struct {
    umbp_abi_basic1_t basic;
    umbp_abi_properties_t properties;
    umbp_abi_caps_t caps;
} umbp_abi_device1_t;

typedef struct {
    umbp_abi_basic2_t basic;
    umbp_abi_properties_t properties;
    umbp_abi_caps_t caps;
} umbp_abi_device2_t;

typedef struct {
    umbp_abi_basic2_t basic;
    umbp_abi_properties_t properties;
    umbp_abi_caps_t caps;
    umbp_abi_nodes_t nodes;
} umbp_abi_device4_t;

typedef struct {
    umbp_abi_basic5_t basic;
    umbp_abi_properties_t properties;
    umbp_abi_caps_t caps;
} umbp_abi_device5_t;

_Static_assert(sizeof (umbp_abi_caps_t) == 16, "capabilities");
_Static_assert(sizeof (umbp_abi_basic1_t) == 392, "generation 1");
_Static_assert(sizeof (umbp_abi_basic2_t) == 408, "generation 2");
_Static_assert(sizeof (umbp_abi_basic5_t) == 472, "generation 5");
_Static_assert(sizeof (umbp_abi_properties_t) == 20488, "properties");
_Static_assert(sizeof (umbp_abi_device1_t) == 20896, "generation 1");
_Static_assert(sizeof (umbp_abi_device2_t) == 20912, "generation 2, 3");
_Static_assert(sizeof (umbp_abi_device4_t) == 53688, "generation 4");
_Static_assert(sizeof (umbp_abi_device5_t) == 20976, "generation 5");

//  Topology. Callers were seen that think a node has 80 bytes, and libraries built for them.
typedef struct {
    char uuid[64];
    int32_t index;
    int32_t level;
} umbp_abi_peer_t;

typedef struct {
    char uuid[64];
    int32_t index;
    int32_t level;
    int64_t bandwidth;
} umbp_abi_wide_peer_t;

typedef struct {
    char uuid[64];
    int32_t index, numa;
    umbp_abi_peer_t peers[UMBP_ABI_PEERS_MAX];
    size_t count;
} umbp_abi_row_t;

typedef struct {
    char uuid[64];
    int32_t index, numa;
    umbp_abi_wide_peer_t peers[UMBP_ABI_PEERS_MAX];
    size_t count;
} umbp_abi_wide_row_t;

typedef struct {
    umbp_abi_row_t rows[UMBP_ABI_DEVICES_MAX];
    size_t count;
} umbp_abi_topology_t;

typedef struct {
    umbp_abi_wide_row_t rows[UMBP_ABI_DEVICES_MAX];
    size_t count;
} umbp_abi_wide_topology_t;

_Static_assert(sizeof (umbp_abi_peer_t) == 72, "peer");
_Static_assert(sizeof (umbp_abi_wide_peer_t) == 80, "wide peer");
_Static_assert(sizeof (umbp_abi_row_t) == 4688, "row of the topology");
_Static_assert(sizeof (umbp_abi_topology_t) == 300040, "topology");
_Static_assert(sizeof (umbp_abi_wide_topology_t) == 332808, "wide topology");

typedef struct {
    char key[64];
    double value;
} umbp_abi_extra_t;

typedef struct {
    char uuid[64];
    double power_w, temperature_c;
    uint64_t rx_bytes, tx_bytes;
    uint32_t busy_percent;
    uint64_t memory_used_bytes;
    umbp_abi_extra_t extras[UMBP_ABI_EXTRAS_MAX];
    size_t extra_count;
} umbp_abi_metrics_t;

typedef struct {
    char pid[32], uuid[64];
    double busy_percent;
    uint64_t units_active, units;
    uint64_t memory_used_bytes, memory_reserved_bytes;
    double memory_percent;
} umbp_abi_process_t;

_Static_assert(sizeof (umbp_abi_metrics_t) == 4728, "metrics");
_Static_assert(sizeof (umbp_abi_process_t) == 144, "process");

//  What a partition became: its uuid is at 4 since generation 2. In the first one struct of 192
//  bytes is passed, with template, device and uuid.
typedef struct {
    int32_t type;
    char uuid[64], env[16][256], nodes[16][1026];
} umbp_abi_partition_t;

typedef struct {
    char template[64], device[64], uuid[64];
} umbp_abi_assignment_t;

_Static_assert(sizeof (umbp_abi_partition_t) == 20580, "partition");
_Static_assert(sizeof (umbp_abi_assignment_t) == 192, "assignment");

//  What our own providers export besides, as AccelGetAbiVersion (umbp_abi_version_t *)
#define UMBP_ABI_GENERATION 5
typedef struct {
    uint32_t generation, device_bytes, topology_bytes, metrics_bytes, process_bytes;
} umbp_abi_version_t;

//  The functions, by the names they have without "Accel"
typedef int (umbp_abi_plain_fn) (void);                          //  Init, Shutdown
typedef int (umbp_abi_count_fn) (size_t *count);                 //  GetDeviceCount
typedef int (umbp_abi_devices_fn) (void *out, size_t max, size_t *count);       //  GetAllDevices
typedef int (umbp_abi_metrics_fn) (const char **uuids, size_t count, umbp_abi_metrics_t *out);
typedef int (umbp_abi_processes_fn) (umbp_abi_process_t *out, size_t max, size_t *count);
typedef int (umbp_abi_topology_fn) (void *out);                  //  GetAllDevicesTopology
typedef void (umbp_abi_log_fn) (const char *level, const char *message);
typedef int (umbp_abi_set_log_fn) (umbp_abi_log_fn *fn);         //  RegisterLogCallback
typedef int (umbp_abi_split_fn) (const char *template, const char *device, void *partition);
typedef bool (umbp_abi_split1_fn) (umbp_abi_assignment_t *assignment);
typedef int (umbp_abi_join_fn) (const char *partition, const char *device);     //  RemovePartition
typedef bool (umbp_abi_join1_fn) (const char *partition, const char *device);
typedef int (umbp_abi_mounts_fn) (umbp_abi_mount_t *out, size_t max, size_t *count);
typedef int (umbp_abi_version_fn) (umbp_abi_version_t *out);     //  GetAbiVersion

#endif

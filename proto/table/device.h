//  proto/table/device.h - messages: accelerators. See proto/table.h.
#ifndef UMBP_TABLE_DEVICE_H
#define UMBP_TABLE_DEVICE_H

#define UMBP_MESSAGES_device(MESSAGE) \
    MESSAGE (130, devices, "client -> device: which accelerators has this node?") \
    MESSAGE (131, devices_ok, "device -> client: all it knows of, how they are, and whose word that is.") \
    MESSAGE (132, device_metrics, "client -> device: how busy, full and warm are these devices?") \
    MESSAGE (133, device_metrics_ok, "device -> client: what each said last, and when.") \
    MESSAGE (134, device_processes, "client -> device: who uses the devices?") \
    MESSAGE (135, device_processes_ok, "device -> client.") \
    MESSAGE (136, device_topology, "client -> device: how far are devices from each other?") \
    MESSAGE (137, device_topology_ok, "device -> client.") \
    MESSAGE (138, device_events, "client -> device: what changed since the event of that number?") \
    MESSAGE (139, device_events_ok, "device -> client.") \
    MESSAGE (140, device_split, "client -> device: make a partition of a device.") \
    MESSAGE (141, device_split_ok, "device -> client.") \
    MESSAGE (142, device_join, "client -> device: take a partition back. Answered with ok.") \
    MESSAGE (143, device_claim, \
             "tier manager -> device: so much of a device's memory is in use by me. Answered with ok.") \
    MESSAGE (180, device_hold, \
             "worker -> device: workers have these devices, and no others. Answered with ok.")

//  Accelerators (actors/device.h). A health is 0 unknown, 1 ok, 2 suspect, 3 failed, 4 missing
#define UMBP_FIELDS_devices(F, m) \
    F (m, 4, discover, BOOL, MAY, 0, 0, 1, "look for devices now; the answer does not wait for it")
#define UMBP_FIELDS_devices_ok(F, m) \
    F (m, 4, library, TEXT, MUST, 0, 0, UMBP_TEXT_MAX, "path of the accelerator library; empty: none") \
    F (m, 5, generation, U64, MAY, 0, 0, 255, "of its layout, 1 to 5; 0: not known yet") \
    F (m, 6, state, U64, MUST, 0, 0, 4, \
       "0 no library, 1 it starts, 2 it answers, 3 stale: a call hangs, 4 it was refused or fails") \
    F (m, 7, reason, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, "why it is not 2") \
    F (m, 8, age_ms, U64, MAY, 0, 0, UINT64_MAX, "since the last discovery that succeeded") \
    F (m, 9, uuids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "devices and partitions, in the vendor's letters") \
    F (m, 10, parents, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "of a partition: its device; else empty") \
    F (m, 11, vendors, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "who made each") \
    F (m, 12, models, COLUMN, MUST, 1, 0, 128, "as what") \
    F (m, 13, drivers, COLUMN, MUST, 1, 0, 128, "version of the driver") \
    F (m, 14, firmwares, COLUMN, MUST, 1, 0, 128, "version of the firmware") \
    F (m, 15, nodes, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "its file in /dev, may be empty") \
    F (m, 16, indexes, U32S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "number that the vendor gives it") \
    F (m, 17, numas, U32S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "NUMA node; 2^32 - 1: unknown") \
    F (m, 18, totals, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes of memory") \
    F (m, 19, units, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "compute units") \
    F (m, 20, gflops, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "10^9 operations a second") \
    F (m, 21, pcie_gens, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "generation of PCIe; 0: unknown") \
    F (m, 22, pcie_widths, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "lanes; 0: unknown") \
    F (m, 23, caps, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, \
       "sum of 1 partitions, 2 soft and 4 hard limits, 8 snapshots, 16 metrics, 32 remoting") \
    F (m, 24, limits, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, \
       "partitions at most in the lower 32 bits, workers in the upper") \
    F (m, 25, healths, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "how it is") \
    F (m, 26, since_ms, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "for how long") \
    F (m, 27, property_counts, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, \
       "how many rows of the next columns are its") \
    F (m, 28, property_keys, COLUMN, MAY, 2, 1, UMBP_NAME_MAX, "names, like clockSM") \
    F (m, 29, property_values, COLUMN, MAY, 2, 0, 256, "and what they are") \
    F (m, 30, workers, U32S, MAY, 1, 0, UMBP_DEVICE_ROWS_MAX, "how many workers of this node have it")
#define UMBP_FIELDS_device_metrics(F, m) \
    F (m, 4, uuids, COLUMN, MAY, 0, 1, UMBP_NAME_MAX, "of which, 128 at most; none: of all")
#define UMBP_FIELDS_device_metrics_ok(F, m) \
    F (m, 4, uuids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "as asked for") \
    F (m, 5, statuses, S8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, \
       "0 fresh, ESTALE old, EAGAIN nothing said yet, ENOENT no such device") \
    F (m, 6, ages_ms, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "since it was said") \
    F (m, 7, powers_mw, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "milliwatts") \
    F (m, 8, temperatures_mc, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "thousandths of a degree Celsius") \
    F (m, 9, rx_bytes, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes over PCIe to it, as its library counts") \
    F (m, 10, tx_bytes, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "and from it") \
    F (m, 11, busy_percents, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "of its compute units") \
    F (m, 12, useds, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes of memory in use") \
    F (m, 13, totals, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes of memory") \
    F (m, 14, foreigns, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes in use by others than this node") \
    F (m, 15, claims, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes in use by tiers of this node") \
    F (m, 16, extra_counts, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, \
       "how many rows of the next columns are its") \
    F (m, 17, extra_keys, COLUMN, MAY, 2, 1, UMBP_NAME_MAX, "what else it measures") \
    F (m, 18, extra_millis, U64S, MAY, 2, 0, UMBP_DEVICE_ROWS_MAX * 64, "times 1000")
#define UMBP_FIELDS_device_processes(F, m)
#define UMBP_FIELDS_device_processes_ok(F, m) \
    F (m, 4, age_ms, U64, MUST, 0, 0, UINT64_MAX, "since it was said") \
    F (m, 5, uuids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "of the device") \
    F (m, 6, pids, U32S, MUST, 1, 0, UMBP_BATCH_MAX, "number of the process on its host") \
    F (m, 7, busy_percents, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "of the compute units") \
    F (m, 8, units_active, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "compute units at work for it") \
    F (m, 9, units, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "of so many") \
    F (m, 10, useds, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "bytes of memory in use") \
    F (m, 11, reserved, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "bytes set aside for it") \
    F (m, 12, own, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "1: it is this node")
#define UMBP_FIELDS_device_topology(F, m)
#define UMBP_FIELDS_device_topology_ok(F, m) \
    F (m, 4, uuids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "devices") \
    F (m, 5, numas, U32S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "NUMA node; 2^32 - 1: unknown") \
    F (m, 6, ones, U8S, MUST, 2, 0, UMBP_BATCH_MAX, "pairs: row of one") \
    F (m, 7, others, U8S, MUST, 2, 0, UMBP_BATCH_MAX, "row of the other") \
    F (m, 8, levels, U8S, MUST, 2, 0, UMBP_BATCH_MAX, \
       "0 a link of their own, 1 one switch, 2 switches, 3 host bridge, 4 NUMA node, 5 system, 7 unknown")
#define UMBP_FIELDS_device_events(F, m) \
    F (m, 4, since, U64, MAY, 0, 0, UINT64_MAX, "0: all that are there as added, then done")
#define UMBP_FIELDS_device_events_ok(F, m) \
    F (m, 4, last, U64, MUST, 0, 0, UINT64_MAX, "number of the last event: ask from there the next time") \
    F (m, 5, lost, U64, MAY, 0, 0, UINT64_MAX, "events since then that are forgotten: ask from 0") \
    F (m, 6, kinds, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "1 added, 2 removed, 3 changed, 4 health, 5 done") \
    F (m, 7, uuids, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "of which device; done: empty") \
    F (m, 8, olds, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "health before") \
    F (m, 9, news, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "and from then on") \
    F (m, 10, reasons, COLUMN, MUST, 1, 0, 128, "why") \
    F (m, 11, ages_ms, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "since it happened") \
    F (m, 12, ram_bytes, U64, MAY, 0, 0, UINT64_MAX, "memory of the host") \
    F (m, 13, disk_bytes, U64, MAY, 0, 0, UINT64_MAX, "size of the file system that run_dir is on") \
    F (m, 14, memory_bytes, U64, MAY, 0, 0, UINT64_MAX, "of all devices together") \
    F (m, 15, gflops, U64, MAY, 0, 0, UINT64_MAX, "of all devices together") \
    F (m, 16, ids, COLUMN, MAY, 0, 1, UMBP_NAME_MAX, "all devices")
#define UMBP_FIELDS_device_split(F, m) \
    F (m, 4, uuid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "of the device") \
    F (m, 5, template, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "as its driver calls that kind of partition")
#define UMBP_FIELDS_device_split_ok(F, m) \
    F (m, 4, uuid, TEXT, MUST, 0, 0, UMBP_NAME_MAX, "of the partition")
#define UMBP_FIELDS_device_join(F, m) \
    F (m, 4, uuid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "of the partition")
#define UMBP_FIELDS_device_claim(F, m) \
    F (m, 4, uuid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "of the device or partition") \
    F (m, 5, bytes, U64, MUST, 0, 0, UINT64_MAX, "0: none any more")
#define UMBP_FIELDS_device_hold(F, m) \
    F (m, 4, uuids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "devices and partitions that workers have") \
    F (m, 5, parents, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, \
       "of a partition: its device, of which it is one from now on, if it was made before this node started") \
    F (m, 6, workers, U32S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "how many have it")

#endif

//  actors/device.h - the device actor: which accelerators this node has and how they are. It loads
//  an accelerator library (accel/find.h says which), looks for devices, polls them, and answers
//  devices, device_metrics, device_processes, device_topology and device_events at once from what it
//  heard last. The library is called in a thread of its own (device_worker.h): a call that hangs
//  makes answers stale and devices suspect, then failed, and never stops this actor.
//  device_split and device_join make partitions and take them back; device_claim says that a tier
//  has bytes on a device. Its address is "device".
#ifndef UMBP_DEVICE_ACTOR_H
#define UMBP_DEVICE_ACTOR_H

#include "accel/find.h"
#include "actors/actor.h"

typedef struct {
    const umbp_home_t *home;
    umbp_find_args_t find;              //  The setting is copied; root, own and env are static
    unsigned discover_ms, poll_ms;      //  0: 60000, 5000
    unsigned patience_ms;               //  A call that takes longer hangs; 0: 5000
    bool tells;                         //  Once a second it tells the actor pressure how full the fullest device is
    const char *folder;                 //  On whose file system totals are; copied; empty: /tmp
} umbp_device_args_t;

//  Returns NULL if it cannot bind. That there is no device, or no library, is no failure.
zactor_t *umbp_device_actor_new (const umbp_device_args_t *args);

#endif

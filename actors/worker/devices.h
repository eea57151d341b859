//  actors/worker/devices.h - the worker's provider where there is a device actor: all that the worker
//  knows of devices comes from "device" of this node by messages, and goes there: which there are and how
//  they are, partitions that are made and taken back, and which of them workers have.
//
//  What changed is asked for each time the worker wants a list; the list itself only if something did.
//  A partition that is made after we gave up on it is taken back. Without an accelerator library nobody
//  can tell, and devices.json is right.
#ifndef UMBP_WORKER_DEVICES_H
#define UMBP_WORKER_DEVICES_H

#include "actors/worker.h"

//  A driver may take split_ms for a partition. The worker that gets it destroys it.
umbp_worker_provider_t umbp_worker_devices_new (unsigned split_ms);

#endif

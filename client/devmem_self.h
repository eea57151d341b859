//  client/devmem_self.h - what the files of devmem.h share. Nobody else includes this.
#ifndef UMBP_DEVMEM_SELF_H
#define UMBP_DEVMEM_SELF_H

#include <stdatomic.h>

#include "client/devmem.h"
#include "client/stager.h"

struct umbp_devmem_range {
    uintptr_t base;
    size_t size;
    umbp_stager_device_t device;
    bool offered;                       //  To RDMA
    atomic_bool direct;                 //  ... which took it
    unsigned users;                     //  Pieces of calls under way; under the lock
};

//  Take a stager, or wait for one until the deadline. Returns NULL and an error: UMBP_ETIMEDOUT,
//  UMBP_ENOSPC. Give it back: no copy is under way. One that failed is replaced.
umbp_stager_t *umbp_devmem_stager (umbp_t *pool, int64_t deadline_ms, int *rc);
void umbp_devmem_give (umbp_t *pool, umbp_stager_t **stager_p);

#endif

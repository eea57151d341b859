//  accel/memory_self.h - what a kind of device memory has to do, for memory.c and the kinds. Nobody
//  else includes this. Bounds were looked at before a kind is called.
#ifndef UMBP_MEMORY_SELF_H
#define UMBP_MEMORY_SELF_H

#include "accel/memory.h"

typedef struct {
    const char *name;
    void *(*open) (int device, int *rc, char why[UMBP_MEMORY_WHY_MAX]);
    void (*close) (void *driver);
    int (*room) (void *driver, uint64_t *total, uint64_t *free_bytes);
    int (*take) (void *driver, uint64_t bytes, umbp_memory_block_t *block);
    int (*give) (void *driver, umbp_memory_block_t *block);
    int (*write) (void *driver, uint64_t address, const void *from, uint64_t bytes);
    int (*read) (void *driver, uint64_t address, void *to, uint64_t bytes);
    int (*wait) (void *driver);
    int (*lend) (void *driver, const umbp_memory_block_t *block, umbp_memory_handle_t *handle);
    int (*borrow) (void *driver, const umbp_memory_handle_t *handle, umbp_memory_block_t *block);
    //  A kind need not have these
    int (*owns) (void *driver, uint64_t address);
    int (*dmabuf) (void *driver, uint64_t address, uint64_t bytes, int *fd, uint64_t *offset);
    int (*settle) (void *driver);
    int (*pin) (void *driver, void *base, uint64_t bytes);
    void (*unpin) (void *driver, void *base);
} umbp_memory_kind_t;

extern const umbp_memory_kind_t umbp_memory_cuda, umbp_memory_hip, umbp_memory_mock;

#endif

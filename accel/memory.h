//  accel/memory.h - memory of one device: allocate, copy to and from the host, and lend to other
//  processes of this host without a copy. Three kinds behind one small table of functions: the CUDA
//  driver (libcuda.so.1), HIP (libamdhip64.so), both loaded at run time, and mock memory (a memfd).
//
//  Copies are put on the device's own queue and return at once; a host buffer must stay until
//  umbp_memory_wait said so. A call may block as long as the driver likes, and any thread may call,
//  one at a time.
#ifndef UMBP_MEMORY_H
#define UMBP_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

#define UMBP_MEMORY_WHY_MAX 256

typedef struct umbp_memory umbp_memory_t;

//  Some bytes of the device. Zeroed unless it is held; the kind knows what the fields mean.
typedef struct {
    uint64_t address;                   //  On the device; of the mock: in this process
    uint64_t bytes;
    int fd;                             //  Of the mock: its memfd
    bool imported;                      //  Another process owns it
    bool foreign;                       //  The caller owns it: umbp_memory_wrap
} umbp_memory_block_t;

//  What another process needs to map a block. For processes of this host alone; bytes of the mock
//  name its memfd by process and descriptor.
#define UMBP_MEMORY_HANDLE_MAX 64
typedef struct {
    uint8_t bytes[UMBP_MEMORY_HANDLE_MAX];
    uint64_t block_bytes;
} umbp_memory_handle_t;

//  kind is "cuda", "hip" or "mock"; device its number there. Returns NULL, with *rc and why: what is
//  missing, and what to do.
umbp_memory_t *umbp_memory_new (const char *kind, int device, int *rc,
                                char why[UMBP_MEMORY_WHY_MAX]);

//  All blocks have to be freed before. Leaves a NULL; NULL is fine.
void umbp_memory_destroy (umbp_memory_t **self_p);

const char *umbp_memory_kind (const umbp_memory_t *self);

//  Bytes of the device, and those that are free now. Returns 0 or UMBP_EIO.
int umbp_memory_room (umbp_memory_t *self, uint64_t *total, uint64_t *free_bytes);

//  Take so many bytes. Returns 0; UMBP_ENOSPC if there are not so many, UMBP_EINVAL for none.
int umbp_memory_take (umbp_memory_t *self, uint64_t bytes, umbp_memory_block_t *block);

//  Give a block back, own or imported: it is zeroed. Waits for its copies.
int umbp_memory_give (umbp_memory_t *self, umbp_memory_block_t *block);

//  Begin to copy. Returns 0; UMBP_EINVAL beyond the block; UMBP_EIO.
int umbp_memory_write (umbp_memory_t *self, const umbp_memory_block_t *block, uint64_t at,
                       const void *from, uint64_t bytes);
int umbp_memory_read (umbp_memory_t *self, const umbp_memory_block_t *block, uint64_t at, void *to,
                      uint64_t bytes);

//  Until all copies that were begun are done. Returns 0, or UMBP_EIO if one failed.
int umbp_memory_wait (umbp_memory_t *self);

//  Let other processes map an own block, and map one of another process. Return 0; UMBP_ENOTSUP if
//  the driver cannot, UMBP_ENOENT if its owner is gone, UMBP_EINVAL for an imported block or a
//  handle that is none, UMBP_EIO.
int umbp_memory_export (umbp_memory_t *self, const umbp_memory_block_t *block,
                        umbp_memory_handle_t *handle);
int umbp_memory_import (umbp_memory_t *self, const umbp_memory_handle_t *handle,
                        umbp_memory_block_t *block);

//  Name bytes of the device that somebody else in this process has taken, so that they can be copied.
//  They stay his: there is nothing to give back. Returns 0, or UMBP_EINVAL if there can be no such
//  bytes. Whether the device has them is asked by umbp_memory_owns.
int umbp_memory_wrap (umbp_memory_t *self, uint64_t address, uint64_t bytes,
                      umbp_memory_block_t *block);

//  Ask the driver whether the first and the last byte are of this device. Returns 0, also if it cannot
//  say, or UMBP_EINVAL.
int umbp_memory_owns (umbp_memory_t *self, const umbp_memory_block_t *block);

//  A dma-buf of own or wrapped bytes, by which another device of this host, a network card, reaches
//  them: a descriptor, which is the caller's to close, and where in it they begin. Returns 0;
//  UMBP_ENOTSUP if the driver or the device has none; UMBP_EINVAL for an imported block; UMBP_EIO.
int umbp_memory_dmabuf (umbp_memory_t *self, const umbp_memory_block_t *block, int *fd,
                        uint64_t *offset);

//  What other devices wrote by a dma-buf, and told us of, is seen by whatever the device does from now
//  on. Returns 0, also where the driver knows no such call, or UMBP_EIO.
int umbp_memory_settle (umbp_memory_t *self);

//  Let the driver lock memory of the host, so that copies from and to it are made by the device alone;
//  until it is unlocked. Copies work without. Returns 0, UMBP_ENOTSUP or UMBP_EIO.
int umbp_memory_pin (umbp_memory_t *self, void *base, uint64_t bytes);
void umbp_memory_unpin (umbp_memory_t *self, void *base);

#endif

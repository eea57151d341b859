//  client/stager.h - memory of the host through which bytes of devices come and go: two banks, of
//  which one is copied by the device while the other is read, written or sent. The drivers lock it
//  where they can. Knows nothing of clients. Private to client/.
//
//  For one thread at a time. Calls may block as long as a driver likes.
#ifndef UMBP_STAGER_H
#define UMBP_STAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_STAGER_BANK_BYTES ((size_t) 4 << 20)
#define UMBP_STAGER_BYTES (2 * UMBP_STAGER_BANK_BYTES)      //  From bank 0 on
#define UMBP_STAGER_DEVICES_MAX 32      //  That one stager, and so one client, may use
#define UMBP_STAGER_WHY_MAX 256

typedef struct umbp_stager umbp_stager_t;

//  A device, as accel/memory.h names it
typedef struct {
    char kind[8];
    int number;
} umbp_stager_device_t;

//  Opens nothing yet. Returns NULL if there is no memory.
umbp_stager_t *umbp_stager_new (void);

//  Waits for all copies. In a forked child, where drivers do not work, it frees memory alone.
void umbp_stager_destroy (umbp_stager_t **self_p, bool forked);

uint8_t *umbp_stager_bank (umbp_stager_t *self, unsigned number);

//  Open a device, once. Returns 0, or an error and a sentence on it: UMBP_EINVAL, UMBP_ENOENT (no such
//  driver or device), UMBP_ENOTSUP (the driver lacks something), UMBP_ENOSPC (too many), UMBP_EIO. The
//  other calls open what is not open, and return the same.
int umbp_stager_open (umbp_stager_t *self, const umbp_stager_device_t *device,
                      char why[UMBP_STAGER_WHY_MAX]);

//  Whether these are bytes of the device, as far as its driver says. Returns 0 or UMBP_EINVAL.
int umbp_stager_owns (umbp_stager_t *self, const umbp_stager_device_t *device, uint64_t address,
                      uint64_t bytes);

//  Begin to copy between an address of a device and a bank. Returns 0, or UMBP_EIO.
int umbp_stager_read (umbp_stager_t *self, const umbp_stager_device_t *device, uint64_t address,
                      void *to, size_t bytes);
int umbp_stager_write (umbp_stager_t *self, const umbp_stager_device_t *device, uint64_t address,
                       const void *from, size_t bytes);

//  Until all copies that were begun are done. Returns 0, or UMBP_EIO if one failed: then the stager is
//  of no use any more.
int umbp_stager_wait (umbp_stager_t *self);
bool umbp_stager_failed (const umbp_stager_t *self);

//  What a network card wrote to a device is what is read there from now on
int umbp_stager_settle (umbp_stager_t *self, const umbp_stager_device_t *device);

//  A dma-buf of memory of a device, as umbp_memory_dmabuf
int umbp_stager_dmabuf (umbp_stager_t *self, const umbp_stager_device_t *device, uint64_t address,
                        uint64_t bytes, int *fd, uint64_t *offset);

#endif

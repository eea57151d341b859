//  client/stager.c - staging memory for bytes of devices. See stager.h.
#include "client/stager.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "accel/memory.h"

typedef struct {
    umbp_stager_device_t device;
    umbp_memory_t *memory;
    bool pinned;                        //  By its driver, all banks
    bool busy;                          //  Copies were begun since the last wait
} user_t;

struct umbp_stager {
    uint8_t *banks;
    user_t users[UMBP_STAGER_DEVICES_MAX];
    size_t user_count;
    bool failed;
};

umbp_stager_t *umbp_stager_new (void)
{
    void *banks =
        mmap (NULL, UMBP_STAGER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    umbp_stager_t *self = banks == MAP_FAILED ? NULL : calloc (1, sizeof *self);
    if (self)
        self->banks = banks;
    else if (banks != MAP_FAILED)
        munmap (banks, UMBP_STAGER_BYTES);
    return self;
}

void umbp_stager_destroy (umbp_stager_t **self_p, bool forked)
{
    umbp_stager_t *self = *self_p;
    if (!self)
        return;
    if (!forked) {
        umbp_stager_wait (self);
        for (size_t index = 0; index < self->user_count; index++)
            if (self->users[index].pinned)
                umbp_memory_unpin (self->users[index].memory, self->banks);
        for (size_t index = 0; index < self->user_count; index++)
            umbp_memory_destroy (&self->users[index].memory);
    }
    munmap (self->banks, UMBP_STAGER_BYTES);
    free (self);
    *self_p = NULL;
}

uint8_t *umbp_stager_bank (umbp_stager_t *self, unsigned number)
{
    return self->banks + number % 2 * UMBP_STAGER_BANK_BYTES;
}

//  The user of a device, which is opened if need be; NULL and an error if it cannot be
static user_t *s_user (umbp_stager_t *self, const umbp_stager_device_t *device, int *rc,
                       char why[UMBP_STAGER_WHY_MAX])
{
    *rc = 0;
    for (size_t index = 0; index < self->user_count; index++) {
        user_t *user = &self->users[index];
        if (user->device.number == device->number && strcmp (user->device.kind, device->kind) == 0)
            return user;
    }
    if (self->user_count == UMBP_STAGER_DEVICES_MAX) {
        snprintf (why, UMBP_STAGER_WHY_MAX, "a client uses up to %d devices",
                  UMBP_STAGER_DEVICES_MAX);
        *rc = UMBP_ENOSPC;
        return NULL;
    }
    umbp_memory_t *memory = umbp_memory_new (device->kind, device->number, rc, why);
    if (!memory)
        return NULL;
    user_t *user = &self->users[self->user_count++];
    *user = (user_t) { .device = *device, .memory = memory };
    user->pinned = umbp_memory_pin (memory, self->banks, UMBP_STAGER_BYTES) == 0;
    return user;
}

//  The same, and the caller's bytes there
static user_t *s_bytes (umbp_stager_t *self, const umbp_stager_device_t *device, uint64_t address,
                        uint64_t bytes, umbp_memory_block_t *block, int *rc)
{
    char why[UMBP_STAGER_WHY_MAX];
    user_t *user = s_user (self, device, rc, why);
    if (user)
        *rc = umbp_memory_wrap (user->memory, address, bytes, block);
    return *rc == 0 ? user : NULL;
}

//  The same, of bytes that begin to move
static user_t *s_moved (umbp_stager_t *self, const umbp_stager_device_t *device, uint64_t address,
                        uint64_t bytes, umbp_memory_block_t *block, int *rc)
{
    user_t *user = s_bytes (self, device, address, bytes, block, rc);
    if (user)
        user->busy = true;
    return user;
}

int umbp_stager_open (umbp_stager_t *self, const umbp_stager_device_t *device,
                      char why[UMBP_STAGER_WHY_MAX])
{
    int rc;
    _Static_assert(UMBP_STAGER_WHY_MAX == UMBP_MEMORY_WHY_MAX, "sentences");
    s_user (self, device, &rc, why);
    return rc;
}

int umbp_stager_owns (umbp_stager_t *self, const umbp_stager_device_t *device, uint64_t address,
                      uint64_t bytes)
{
    int rc;
    umbp_memory_block_t block;
    user_t *user = s_bytes (self, device, address, bytes, &block, &rc);
    return user ? umbp_memory_owns (user->memory, &block) : rc;
}

int umbp_stager_read (umbp_stager_t *self, const umbp_stager_device_t *device, uint64_t address,
                      void *to, size_t bytes)
{
    int rc;
    umbp_memory_block_t block;
    user_t *user = s_moved (self, device, address, bytes, &block, &rc);
    return user ? umbp_memory_read (user->memory, &block, 0, to, bytes) : rc;
}

int umbp_stager_write (umbp_stager_t *self, const umbp_stager_device_t *device, uint64_t address,
                       const void *from, size_t bytes)
{
    int rc;
    umbp_memory_block_t block;
    user_t *user = s_moved (self, device, address, bytes, &block, &rc);
    return user ? umbp_memory_write (user->memory, &block, 0, from, bytes) : rc;
}

int umbp_stager_wait (umbp_stager_t *self)
{
    int rc = 0;
    for (size_t index = 0; index < self->user_count; index++) {
        user_t *user = &self->users[index];
        if (user->busy && umbp_memory_wait (user->memory) != 0)
            rc = UMBP_EIO;
        user->busy = false;
    }
    self->failed |= rc != 0;
    return rc;
}

bool umbp_stager_failed (const umbp_stager_t *self)
{
    return self->failed;
}

int umbp_stager_settle (umbp_stager_t *self, const umbp_stager_device_t *device)
{
    int rc;
    char why[UMBP_STAGER_WHY_MAX];
    user_t *user = s_user (self, device, &rc, why);
    return user ? umbp_memory_settle (user->memory) : rc;
}

int umbp_stager_dmabuf (umbp_stager_t *self, const umbp_stager_device_t *device, uint64_t address,
                        uint64_t bytes, int *fd, uint64_t *offset)
{
    int rc;
    umbp_memory_block_t block;
    user_t *user = s_bytes (self, device, address, bytes, &block, &rc);
    return user ? umbp_memory_dmabuf (user->memory, &block, fd, offset) : rc;
}

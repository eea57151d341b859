//  accel/memory.c - memory of one device: finds its kind and looks at bounds. See memory.h.
#include "accel/memory_self.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct umbp_memory {
    const umbp_memory_kind_t *kind;
    void *driver;
    size_t held;                        //  Blocks
};

umbp_memory_t *umbp_memory_new (const char *kind, int device, int *rc,
                                char why[UMBP_MEMORY_WHY_MAX])
{
    static const umbp_memory_kind_t *const kinds[] = { &umbp_memory_cuda, &umbp_memory_hip,
                                                       &umbp_memory_mock };
    why[0] = 0;
    for (size_t row = 0; row < sizeof kinds / sizeof *kinds; row++) {
        if (strcmp (kinds[row]->name, kind) != 0)
            continue;
        void *driver = kinds[row]->open (device, rc, why);
        if (!driver)
            return NULL;
        umbp_memory_t *self = calloc (1, sizeof *self);
        if (!self)
            abort ();
        *self = (umbp_memory_t) { kinds[row], driver, 0 };
        *rc = 0;
        return self;
    }
    *rc = UMBP_EINVAL;
    snprintf (why, UMBP_MEMORY_WHY_MAX, "%.40s: no such memory; there are cuda, hip and mock",
              kind);
    return NULL;
}

void umbp_memory_destroy (umbp_memory_t **self_p)
{
    umbp_memory_t *self = *self_p;
    if (!self)
        return;
    assert (self->held == 0);
    self->kind->close (self->driver);
    free (self);
    *self_p = NULL;
}

const char *umbp_memory_kind (const umbp_memory_t *self)
{
    return self->kind->name;
}

int umbp_memory_room (umbp_memory_t *self, uint64_t *total, uint64_t *free_bytes)
{
    return self->kind->room (self->driver, total, free_bytes);
}

int umbp_memory_take (umbp_memory_t *self, uint64_t bytes, umbp_memory_block_t *block)
{
    *block = (umbp_memory_block_t) { .bytes = 0 };
    int rc = bytes ? self->kind->take (self->driver, bytes, block) : UMBP_EINVAL;
    self->held += rc == 0;
    return rc;
}

int umbp_memory_give (umbp_memory_t *self, umbp_memory_block_t *block)
{
    if (block->bytes == 0 || block->foreign)
        return UMBP_EINVAL;
    int rc = self->kind->wait (self->driver), given = self->kind->give (self->driver, block);
    *block = (umbp_memory_block_t) { .bytes = 0 };
    self->held--;
    return given < 0 ? given : rc;
}

static bool s_fits (const umbp_memory_block_t *block, uint64_t at, uint64_t bytes)
{
    return at <= block->bytes && bytes <= block->bytes - at;
}

int umbp_memory_write (umbp_memory_t *self, const umbp_memory_block_t *block, uint64_t at,
                       const void *from, uint64_t bytes)
{
    if (!s_fits (block, at, bytes))
        return UMBP_EINVAL;
    return bytes ? self->kind->write (self->driver, block->address + at, from, bytes) : 0;
}

int umbp_memory_read (umbp_memory_t *self, const umbp_memory_block_t *block, uint64_t at, void *to,
                      uint64_t bytes)
{
    if (!s_fits (block, at, bytes))
        return UMBP_EINVAL;
    return bytes ? self->kind->read (self->driver, block->address + at, to, bytes) : 0;
}

int umbp_memory_wait (umbp_memory_t *self)
{
    return self->kind->wait (self->driver);
}

int umbp_memory_export (umbp_memory_t *self, const umbp_memory_block_t *block,
                        umbp_memory_handle_t *handle)
{
    *handle = (umbp_memory_handle_t) { .block_bytes = block->bytes };
    if (block->bytes == 0 || block->imported || block->foreign)
        return UMBP_EINVAL;
    return self->kind->lend (self->driver, block, handle);
}

int umbp_memory_import (umbp_memory_t *self, const umbp_memory_handle_t *handle,
                        umbp_memory_block_t *block)
{
    *block = (umbp_memory_block_t) { .bytes = 0 };
    if (handle->block_bytes == 0)
        return UMBP_EINVAL;
    int rc = self->kind->borrow (self->driver, handle, block);
    if (rc < 0)
        return rc;
    block->bytes = handle->block_bytes;
    block->imported = true;
    self->held++;
    return 0;
}

int umbp_memory_wrap (umbp_memory_t *self, uint64_t address, uint64_t bytes,
                      umbp_memory_block_t *block)
{
    (void) self;
    *block = (umbp_memory_block_t) { .bytes = 0 };
    if (address == 0 || bytes == 0 || bytes > UINT64_MAX - address)
        return UMBP_EINVAL;
    *block = (umbp_memory_block_t){ .address = address, .bytes = bytes, .fd = -1, .foreign = true };
    return 0;
}

int umbp_memory_owns (umbp_memory_t *self, const umbp_memory_block_t *block)
{
    if (!self->kind->owns || block->bytes == 0)
        return block->bytes ? 0 : UMBP_EINVAL;
    int rc = self->kind->owns (self->driver, block->address);
    return rc < 0 ? rc : self->kind->owns (self->driver, block->address + block->bytes - 1);
}

int umbp_memory_dmabuf (umbp_memory_t *self, const umbp_memory_block_t *block, int *fd,
                        uint64_t *offset)
{
    *fd = -1;
    *offset = 0;
    if (block->bytes == 0 || block->imported)
        return UMBP_EINVAL;
    return self->kind->dmabuf
               ? self->kind->dmabuf (self->driver, block->address, block->bytes, fd, offset)
               : UMBP_ENOTSUP;
}

int umbp_memory_settle (umbp_memory_t *self)
{
    return self->kind->settle ? self->kind->settle (self->driver) : 0;
}

int umbp_memory_pin (umbp_memory_t *self, void *base, uint64_t bytes)
{
    return self->kind->pin ? self->kind->pin (self->driver, base, bytes) : UMBP_ENOTSUP;
}

void umbp_memory_unpin (umbp_memory_t *self, void *base)
{
    if (self->kind->unpin)
        self->kind->unpin (self->driver, base);
}

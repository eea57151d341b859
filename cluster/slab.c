//  cluster/slab.c - memory by sizes. See slab.h.
#include "cluster/slab.h"

#include <stdint.h>
#include <stdlib.h>

#define CHUNK_BYTES ((size_t) 64 * 1024)
#define STEP 64                         //  Sizes are multiples of it
#define SIZES (UMBP_SLAB_LARGEST / STEP)

typedef struct piece {
    struct piece *next;
} piece_t;

//  What was asked of the system; pieces follow
typedef struct chunk {
    struct chunk *next;
    uint64_t unused;                    //  Keeps pieces aligned
} chunk_t;

struct umbp_slab {
    piece_t *free[SIZES];               //  Given back, by size
    chunk_t *chunks;
    uint8_t *fresh;                     //  Never used, in the newest chunk
    size_t fresh_bytes;
};

umbp_slab_t *umbp_slab_new (void)
{
    return calloc (1, sizeof (umbp_slab_t));
}

void umbp_slab_destroy (umbp_slab_t **self_p)
{
    umbp_slab_t *self = *self_p;
    if (!self)
        return;
    while (self->chunks) {
        chunk_t *chunk = self->chunks;
        self->chunks = chunk->next;
        free (chunk);
    }
    free (self);
    *self_p = NULL;
}

static size_t s_class (size_t size)
{
    return size == 0 ? 0 : (size - 1) / STEP;
}

static void s_push (umbp_slab_t *self, void *memory, size_t size_class)
{
    piece_t *piece = memory;
    piece->next = self->free[size_class];
    self->free[size_class] = piece;
}

//  A new chunk; what is left of the one before serves smaller things
static int s_grow (umbp_slab_t *self)
{
    chunk_t *chunk = malloc (CHUNK_BYTES);
    if (!chunk)
        return -1;
    if (self->fresh_bytes >= STEP)
        s_push (self, self->fresh, self->fresh_bytes / STEP - 1);
    chunk->next = self->chunks;
    self->chunks = chunk;
    self->fresh = (uint8_t *) (chunk + 1);
    self->fresh_bytes = CHUNK_BYTES - sizeof *chunk;
    return 0;
}

void *umbp_slab_take (umbp_slab_t *self, size_t size)
{
    if (size > UMBP_SLAB_LARGEST)
        return malloc (size);
    size_t size_class = s_class (size), bytes = (size_class + 1) * STEP;
    piece_t *piece = self->free[size_class];
    if (piece) {
        self->free[size_class] = piece->next;
        return piece;
    }
    if (self->fresh_bytes < bytes && s_grow (self) != 0)
        return NULL;
    void *memory = self->fresh;
    self->fresh += bytes;
    self->fresh_bytes -= bytes;
    return memory;
}

void umbp_slab_give (umbp_slab_t *self, void *memory, size_t size)
{
    if (size > UMBP_SLAB_LARGEST)
        free (memory);
    else if (memory)
        s_push (self, memory, s_class (size));
}

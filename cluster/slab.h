//  cluster/slab.h - memory for many small things of a few sizes, taken and given back all the time
//  without asking the system. What was given back serves the next of its size; the memory itself
//  stays until the end, so it is as much as was in use at most. (J. Bonwick, "The Slab Allocator: An
//  Object-Caching Kernel Memory Allocator", USENIX Summer 1994.)
//
//  A value: one owner, no lock.
#ifndef UMBP_SLAB_H
#define UMBP_SLAB_H

#include <stddef.h>

typedef struct umbp_slab umbp_slab_t;

//  Returns NULL if there is no memory
umbp_slab_t *umbp_slab_new (void);

//  Frees all that was taken, given back or not, but for what is larger than UMBP_SLAB_LARGEST
void umbp_slab_destroy (umbp_slab_t **self_p);

#define UMBP_SLAB_LARGEST 4096          //  Bytes. Larger things come from malloc, one by one

//  So many bytes, aligned to 16, of any content. Returns NULL if there is no memory.
void *umbp_slab_take (umbp_slab_t *self, size_t size);

//  Give them back; size is what it was. NULL is fine.
void umbp_slab_give (umbp_slab_t *self, void *memory, size_t size);

#endif

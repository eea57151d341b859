//  cluster/bulk/region.h - the memory of one tier: a sealed memfd and its mapping, which other
//  processes of the host may map too. It never changes its size, so nobody can be hit by SIGBUS.
//  Made and destroyed by one thread; the accessors are safe everywhere. umbp_region_new may take
//  seconds, since it lets the kernel clear every page.
#ifndef UMBP_REGION_H
#define UMBP_REGION_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct umbp_region umbp_region_t;

//  Make a region of at least so many bytes, rounded up to whole pages of its kind. The name is for
//  /proc/<pid>/maps, 1..200 bytes. huge asks for 2 MiB pages; where there are not enough of them
//  the region is made of small pages (see umbp_region_huge). prefault makes all pages exist now, so
//  that too little memory shows here and no access ever waits for a page.
//  Returns NULL if it cannot be made; *rc_p, unless it is NULL, says why: UMBP_EINVAL (name or
//  size), UMBP_ENOSPC (too little memory), UMBP_EIO (anything else).
umbp_region_t *umbp_region_new (const char *name, size_t bytes, bool huge, bool prefault,
                                int *rc_p);

//  Unmap and close it. Who else has mapped it keeps the memory alive.
void umbp_region_destroy (umbp_region_t **self_p);

//  Its descriptor, readable and writable, close-on-exec. It stays the region's.
int umbp_region_fd (const umbp_region_t *self);

//  A new descriptor that can only be read and mapped for reading, for a process that shall not be
//  able to write whatever it tries. The caller closes it. Returns it, or UMBP_EIO.
int umbp_region_open_readonly (const umbp_region_t *self);

void *umbp_region_base (const umbp_region_t *self);
size_t umbp_region_bytes (const umbp_region_t *self);

//  Give a part back to the system: it reads as zeros from then on, and takes memory again once it is
//  touched. For who has it mapped, too. Both numbers are multiples of the page of its kind, else
//  UMBP_EINVAL. Returns 0, or UMBP_EIO if the kernel cannot.
int umbp_region_punch (umbp_region_t *self, size_t at, size_t bytes);

//  Make a part exist again, now. Returns 0, or UMBP_ENOSPC if there is too little memory.
int umbp_region_fill (umbp_region_t *self, size_t at, size_t bytes);

//  True if it lies in 2 MiB pages
bool umbp_region_huge (const umbp_region_t *self);

#ifdef __cplusplus
}
#endif

#endif

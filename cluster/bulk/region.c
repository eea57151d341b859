//  cluster/bulk/region.c - the memory of one tier. See region.h.
#include "cluster/bulk/region.h"

#include "proto/error.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_BYTES ((size_t) 2 * 1024 * 1024)
#define NAME_BYTES_MAX 200              //  The kernel takes 249 and a prefix
#define STEP_BYTES ((size_t) 64 * 1024 * 1024)      //  Prefaulted at once, so signals get a turn

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23          //  Kernel 5.14; older ones answer EINVAL
#endif

struct umbp_region {
    int fd;
    void *base;
    size_t bytes;
    bool huge;
};

static int s_code (int error)
{
    switch (error) {
    case ENOMEM:
    case ENOSPC:
    case EFAULT:                        //  MADV_POPULATE_WRITE: the huge pages ran out
        return UMBP_ENOSPC;
    default: return UMBP_EIO;
    }
}

//  Make a range exist. Through the mapping, so that its page tables are filled as well; a kernel
//  that cannot do that gets the pages allocated, and the first touch then costs a small fault.
static int s_prefault_step (umbp_region_t *self, size_t at, size_t bytes)
{
    for (;;) {
        if (madvise ((char *) self->base + at, bytes, MADV_POPULATE_WRITE) == 0)
            return 0;
        if (errno == EINVAL && fallocate (self->fd, 0, at, bytes) == 0)
            return 0;
        if (errno != EINTR)
            return s_code (errno);
    }
}

static int s_prefault (umbp_region_t *self)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < self->bytes; at += STEP_BYTES) {
        size_t left = self->bytes - at;
        rc = s_prefault_step (self, at, left < STEP_BYTES ? left : STEP_BYTES);
    }
    return rc;
}

static void s_drop (umbp_region_t *self)
{
    if (self->base)
        munmap (self->base, self->bytes);
    if (self->fd != -1)
        close (self->fd);
    *self = (umbp_region_t) { .fd = -1 };
}

//  Size, seals and mapping of a memfd that was just made
static int s_shape (umbp_region_t *self)
{
    if (ftruncate (self->fd, self->bytes) == -1
        || fcntl (self->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)
        return s_code (errno);
    void *base = mmap (NULL, self->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
    if (base == MAP_FAILED)
        return s_code (errno);
    self->base = base;
    return 0;
}

//  Make it of one kind of pages. Leaves nothing behind if that fails.
static int s_make (umbp_region_t *self, const char *name, size_t bytes, bool huge, bool prefault)
{
    size_t unit = huge ? HUGE_BYTES : (size_t) sysconf (_SC_PAGESIZE);
    if (bytes == 0 || bytes > PTRDIFF_MAX - unit)
        return UMBP_EINVAL;
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
    *self = (umbp_region_t) {
        .fd = memfd_create (name, flags),
        .bytes = (bytes + unit - 1) / unit * unit,
        .huge = huge,
    };
    int rc = self->fd == -1 ? s_code (errno) : s_shape (self);
    if (rc == 0 && !huge)
        madvise (self->base, self->bytes, MADV_HUGEPAGE);    //  A wish; most hosts say no
    if (rc == 0 && prefault)
        rc = s_prefault (self);
    if (rc != 0)
        s_drop (self);
    return rc;
}

umbp_region_t *umbp_region_new (const char *name, size_t bytes, bool huge, bool prefault, int *rc_p)
{
    umbp_region_t *self = calloc (1, sizeof (umbp_region_t));
    assert (self);
    size_t length = strnlen (name, NAME_BYTES_MAX + 1);
    int rc = UMBP_EINVAL;
    if (length > 0 && length <= NAME_BYTES_MAX) {
        rc = huge ? s_make (self, name, bytes, true, prefault) : UMBP_ENOSPC;
        if (rc != 0 && rc != UMBP_EINVAL)
            rc = s_make (self, name, bytes, false, prefault);
    }
    if (rc != 0) {
        free (self);
        self = NULL;
    }
    if (rc_p)
        *rc_p = rc;
    return self;
}

static bool s_is_part (const umbp_region_t *self, size_t at, size_t bytes)
{
    size_t unit = self->huge ? HUGE_BYTES : (size_t) sysconf (_SC_PAGESIZE);
    return at % unit == 0 && bytes % unit == 0 && at <= self->bytes && bytes <= self->bytes - at;
}

int umbp_region_punch (umbp_region_t *self, size_t at, size_t bytes)
{
    if (!s_is_part (self, at, bytes))
        return UMBP_EINVAL;
    while (bytes > 0
           && fallocate (self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) at,
                         (off_t) bytes)
                  == -1)
        if (errno != EINTR)
            return UMBP_EIO;
    return 0;
}

int umbp_region_fill (umbp_region_t *self, size_t at, size_t bytes)
{
    if (!s_is_part (self, at, bytes))
        return UMBP_EINVAL;
    int rc = 0;
    for (size_t done = 0; rc == 0 && done < bytes; done += STEP_BYTES)
        rc = s_prefault_step (self, at + done,
                              bytes - done < STEP_BYTES ? bytes - done : STEP_BYTES);
    return rc;
}

void umbp_region_destroy (umbp_region_t **self_p)
{
    assert (self_p);
    if (*self_p) {
        s_drop (*self_p);
        free (*self_p);
        *self_p = NULL;
    }
}

int umbp_region_fd (const umbp_region_t *self)
{
    return self->fd;
}

int umbp_region_open_readonly (const umbp_region_t *self)
{
    char path[64];
    snprintf (path, sizeof path, "/proc/self/fd/%d", self->fd);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    return fd == -1 ? UMBP_EIO : fd;
}

void *umbp_region_base (const umbp_region_t *self)
{
    return self->base;
}

size_t umbp_region_bytes (const umbp_region_t *self)
{
    return self->bytes;
}

bool umbp_region_huge (const umbp_region_t *self)
{
    return self->huge;
}

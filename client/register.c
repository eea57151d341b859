//  client/register.c - memory that many calls will use: made present and locked, as far as the
//  system lets us, and kept in a table.
#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/devmem.h"
#include "client/rdma.h"

#define RANGES_MAX 1024

typedef struct {
    uintptr_t base;
    size_t size;
    bool locked;
} range_t;

struct umbp_ranges {
    size_t count;
    range_t ranges[RANGES_MAX];         //  By address
};

umbp_ranges_t *umbp_ranges_new (void)
{
    umbp_ranges_t *self = calloc (1, sizeof (umbp_ranges_t));
    assert (self);
    return self;
}

void umbp_ranges_destroy (umbp_ranges_t **self_p)
{
    for (size_t index = 0; index < (*self_p)->count; index++)
        if ((*self_p)->ranges[index].locked)
            munlock ((void *) (*self_p)->ranges[index].base, (*self_p)->ranges[index].size);
    free (*self_p);
    *self_p = NULL;
}

//  Index of the first range that ends after an address
static size_t s_find (const umbp_ranges_t *self, uintptr_t base)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (self->ranges[middle].base + self->ranges[middle].size <= base)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int s_add (umbp_ranges_t *self, uintptr_t base, size_t size)
{
    size_t at = s_find (self, base);
    if (at < self->count && self->ranges[at].base < base + size)
        return UMBP_EEXIST;
    if (self->count == RANGES_MAX)
        return UMBP_ENOSPC;
    for (size_t index = self->count++; index > at; index--)
        self->ranges[index] = self->ranges[index - 1];
    self->ranges[at] = (range_t) { .base = base, .size = size };
    return 0;
}

//  Fault all pages in, and lock them. Returns true if they are locked. What the kernel refuses (too
//  old, limits, memory that is read-only) is no failure: transfers work from any memory.
static bool s_make_present (uintptr_t base, size_t size)
{
    uintptr_t page = (uintptr_t) sysconf (_SC_PAGESIZE), start = base / page * page;
    size_t length = base + size - start;
#ifdef MADV_POPULATE_WRITE
    madvise ((void *) start, length, MADV_POPULATE_WRITE);
#endif
    return mlock ((void *) start, length) == 0;
}

bool umbp_ranges_overlap (umbp_t *pool, const void *base, size_t size)
{
    pthread_mutex_lock (&pool->lock);
    const umbp_ranges_t *table = pool->ranges;
    size_t at = s_find (table, (uintptr_t) base);
    bool hit = at < table->count && table->ranges[at].base < (uintptr_t) base + size;
    pthread_mutex_unlock (&pool->lock);
    return hit;
}

void umbp_ranges_announce (umbp_t *pool)
{
    for (size_t index = 0; index < pool->ranges->count; index++)
        umbp_rdma_announce (pool, (void *) pool->ranges->ranges[index].base,
                            pool->ranges->ranges[index].size);
}

void umbp_pool_note_strain (umbp_t *pool, unsigned level)
{
    pthread_mutex_lock (&pool->lock);
    bool fresh = pool->strain == 0 && level > 0;
    pool->strain = level;
    for (size_t index = 0; fresh && pool->rdma && index < pool->ranges->count; index++) {
        const range_t *range = &pool->ranges->ranges[index];
        if (umbp_rdma_forget (pool, (void *) range->base, range->size) == 0)
            umbp_rdma_announce (pool, (void *) range->base, range->size);
    }
    pthread_mutex_unlock (&pool->lock);
}

int umbp_strain (umbp_t *self)
{
    pthread_mutex_lock (&self->lock);
    int level = (int) self->strain;
    pthread_mutex_unlock (&self->lock);
    return level;
}

int umbp_register (umbp_t *self, void *base, size_t size)
{
    if (umbp_pool_is_forked (self))
        return UMBP_EFORKED;
    if (!base || size == 0 || (uintptr_t) base > UINTPTR_MAX - size)
        return UMBP_EINVAL;
    if (umbp_devmem_overlaps (self, base, size))
        return UMBP_EEXIST;
    pthread_mutex_lock (&self->lock);
    int rc = s_add (self->ranges, (uintptr_t) base, size);
    if (rc == 0)
        umbp_rdma_announce (self, base, size);
    pthread_mutex_unlock (&self->lock);
    if (rc != 0 || !s_make_present ((uintptr_t) base, size))
        return rc;
    pthread_mutex_lock (&self->lock);
    size_t at = s_find (self->ranges, (uintptr_t) base);
    if (at < self->ranges->count && self->ranges->ranges[at].base == (uintptr_t) base)
        self->ranges->ranges[at].locked = true;
    pthread_mutex_unlock (&self->lock);
    return 0;
}

int umbp_deregister (umbp_t *self, void *base)
{
    if (umbp_pool_is_forked (self))
        return UMBP_EFORKED;
    range_t gone = { 0 };
    pthread_mutex_lock (&self->lock);
    umbp_ranges_t *table = self->ranges;
    size_t at = s_find (table, (uintptr_t) base);
    int rc = UMBP_ENOENT;
    if (at < table->count && table->ranges[at].base == (uintptr_t) base)
        rc = umbp_rdma_forget (self, base, table->ranges[at].size);
    if (rc == 0) {
        gone = table->ranges[at];
        table->count--;
        for (size_t index = at; index < table->count; index++)
            table->ranges[index] = table->ranges[index + 1];
    }
    pthread_mutex_unlock (&self->lock);
    if (gone.locked)
        munlock ((void *) gone.base, gone.size);
    return rc == UMBP_ENOENT ? umbp_devmem_deregister (self, base) : rc;
}

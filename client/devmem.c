//  client/devmem.c - memory of devices that the caller registered: a table by address, and the stagers
//  that a client has. See devmem.h.
#include "client/devmem_self.h"

#include <stdlib.h>

#include "client/rdma.h"
#include "cluster/bulk/clock.h"

struct umbp_devmem {
    atomic_bool any;
    pthread_mutex_t lock;               //  All below. Held while a dma-buf is registered
    pthread_cond_t freed;               //  A stager became idle
    umbp_devmem_range_t *ranges[UMBP_DEVMEM_RANGES_MAX];    //  By address
    size_t count;
    umbp_stager_t *idle[UMBP_DEVMEM_STAGERS_MAX];
    size_t idle_count, stager_count;
    uint8_t *known[UMBP_DEVMEM_STAGERS_MAX];                //  Banks that RDMA was told of
};

umbp_devmem_t *umbp_devmem_new (void)
{
    umbp_devmem_t *self = zmalloc (sizeof (umbp_devmem_t));
    pthread_condattr_t attributes;
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->freed, &attributes);
    pthread_condattr_destroy (&attributes);
    return self;
}

void umbp_devmem_destroy (umbp_devmem_t **self_p, bool forked)
{
    umbp_devmem_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < self->idle_count; index++)
        umbp_stager_destroy (&self->idle[index], forked);
    for (size_t index = 0; index < self->count; index++)
        free (self->ranges[index]);
    if (!forked) {
        pthread_cond_destroy (&self->freed);
        pthread_mutex_destroy (&self->lock);
    }
    free (self);
    *self_p = NULL;
}

bool umbp_devmem_any (const umbp_t *pool)
{
    return atomic_load_explicit (&pool->devmem->any, memory_order_acquire);
}

//  ------------------------------------------------------------------------------------------------
//  The table, under the lock

//  Number of the first range that ends after an address
static size_t s_find (const umbp_devmem_t *self, uintptr_t base)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (self->ranges[middle]->base + self->ranges[middle]->size <= base)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

//  The range that overlaps addresses, NULL: none
static umbp_devmem_range_t *s_at (const umbp_devmem_t *self, uintptr_t base, size_t size)
{
    size_t at = s_find (self, base);
    bool hit = at < self->count && self->ranges[at]->base < base + size;
    return hit ? self->ranges[at] : NULL;
}

bool umbp_devmem_overlaps (umbp_t *pool, const void *base, size_t size)
{
    pthread_mutex_lock (&pool->devmem->lock);
    bool hit = s_at (pool->devmem, (uintptr_t) base, size) != NULL;
    pthread_mutex_unlock (&pool->devmem->lock);
    return hit;
}

int umbp_devmem_hold (umbp_t *pool, const umbp_piece_t *pieces, size_t count,
                      umbp_devmem_range_t **owners)
{
    umbp_devmem_t *self = pool->devmem;
    int found = 0;
    pthread_mutex_lock (&self->lock);
    for (size_t index = 0; index < count; index++) {
        uintptr_t base = (uintptr_t) pieces[index].base, size = pieces[index].size;
        umbp_devmem_range_t *range = size ? s_at (self, base, size) : NULL;
        owners[index] = range;
        if (!range)
            continue;
        if (base < range->base || size > range->size - (base - range->base)) {
            while (index-- > 0)
                if (owners[index])
                    owners[index]->users--;
            found = UMBP_EINVAL;
            break;
        }
        range->users++;
        found++;
    }
    pthread_mutex_unlock (&self->lock);
    return found;
}

void umbp_devmem_release (umbp_t *pool, umbp_devmem_range_t **owners, size_t count)
{
    pthread_mutex_lock (&pool->devmem->lock);
    for (size_t index = 0; index < count; index++)
        if (owners[index])
            owners[index]->users--;
    pthread_mutex_unlock (&pool->devmem->lock);
}

//  ------------------------------------------------------------------------------------------------
//  Stagers

//  Banks are sent and received where they are
static void s_tell_rdma (umbp_t *pool, uint8_t *banks)
{
    umbp_devmem_t *self = pool->devmem;
    size_t place = UMBP_DEVMEM_STAGERS_MAX;
    bool fresh = umbp_rdma_is_open (pool);
    pthread_mutex_lock (&self->lock);
    for (size_t index = 0; index < UMBP_DEVMEM_STAGERS_MAX; index++) {
        fresh = fresh && self->known[index] != banks;
        place = self->known[index] ? place : index;
    }
    fresh = fresh && place < UMBP_DEVMEM_STAGERS_MAX;
    if (fresh)
        self->known[place] = banks;
    pthread_mutex_unlock (&self->lock);
    if (fresh)
        umbp_rdma_announce (pool, banks, UMBP_STAGER_BYTES);
}

//  Before they are gone
static void s_untell_rdma (umbp_t *pool, uint8_t *banks)
{
    umbp_devmem_t *self = pool->devmem;
    bool known = false;
    pthread_mutex_lock (&self->lock);
    for (size_t index = 0; index < UMBP_DEVMEM_STAGERS_MAX; index++)
        if (self->known[index] == banks) {
            self->known[index] = NULL;
            known = true;
        }
    pthread_mutex_unlock (&self->lock);
    if (known)
        umbp_rdma_forget (pool, banks, UMBP_STAGER_BYTES);
}

umbp_stager_t *umbp_devmem_stager (umbp_t *pool, int64_t deadline_ms, int *rc)
{
    umbp_devmem_t *self = pool->devmem;
    struct timespec until = { deadline_ms / 1000, deadline_ms % 1000 * 1000000 };
    umbp_stager_t *stager = NULL;
    *rc = 0;
    pthread_mutex_lock (&self->lock);
    while (*rc == 0 && self->idle_count == 0 && self->stager_count == UMBP_DEVMEM_STAGERS_MAX)
        if (pthread_cond_timedwait (&self->freed, &self->lock, &until) != 0)
            *rc = UMBP_ETIMEDOUT;
    if (self->idle_count > 0) {
        stager = self->idle[--self->idle_count];
        *rc = 0;
    } else if (*rc == 0)
        self->stager_count++;
    pthread_mutex_unlock (&self->lock);
    if (!stager && *rc == 0) {
        stager = umbp_stager_new ();
        *rc = stager ? 0 : UMBP_ENOSPC;
        if (!stager)
            umbp_devmem_give (pool, &stager);
    }
    if (stager)
        s_tell_rdma (pool, umbp_stager_bank (stager, 0));
    return stager;
}

void umbp_devmem_give (umbp_t *pool, umbp_stager_t **stager_p)
{
    umbp_devmem_t *self = pool->devmem;
    umbp_stager_t *stager = *stager_p;
    if (stager && umbp_stager_failed (stager)) {
        s_untell_rdma (pool, umbp_stager_bank (stager, 0));
        umbp_stager_destroy (&stager, false);
    }
    pthread_mutex_lock (&self->lock);
    if (stager)
        self->idle[self->idle_count++] = stager;
    else
        self->stager_count--;
    pthread_cond_signal (&self->freed);
    pthread_mutex_unlock (&self->lock);
    *stager_p = NULL;
}

//  ------------------------------------------------------------------------------------------------
//  RDMA

//  Offer a range to the network cards. It is the driver's and the cards' to refuse.
static bool s_offer (umbp_t *pool, umbp_stager_t *stager, const umbp_devmem_range_t *range)
{
    int fd = -1;
    uint64_t offset = 0;
    if (umbp_stager_dmabuf (stager, &range->device, range->base, range->size, &fd, &offset) != 0)
        return false;
    int rc =
        pool->rdma_api->announce_dmabuf (pool->rdma, (void *) range->base, range->size, fd, offset);
    close (fd);
    return rc == 0;
}

void umbp_devmem_announce (umbp_t *pool)
{
    umbp_devmem_t *self = pool->devmem;
    int rc;
    if (!umbp_devmem_any (pool))
        return;
    umbp_stager_t *stager = umbp_devmem_stager (pool, umbp_clock_ms () + pool->timeout_ms, &rc);
    if (!stager)
        return;
    pthread_mutex_lock (&self->lock);
    for (size_t index = 0; index < self->count; index++)
        if (!self->ranges[index]->offered) {
            self->ranges[index]->direct = s_offer (pool, stager, self->ranges[index]);
            self->ranges[index]->offered = true;
        }
    pthread_mutex_unlock (&self->lock);
    umbp_devmem_give (pool, &stager);
}

bool umbp_devmem_is_direct (umbp_devmem_range_t *const *owners, size_t count)
{
    for (size_t index = 0; index < count; index++)
        if (!owners[index] || !owners[index]->direct)
            return false;
    return true;
}

int umbp_devmem_settle (umbp_lane_t *lane, umbp_devmem_range_t *const *owners, size_t count)
{
    int rc;
    umbp_stager_t *stager = umbp_devmem_stager (lane->pool, lane->deadline_ms, &rc);
    for (size_t index = 0; index < count && rc == 0; index++)
        if (index == 0 || owners[index] != owners[index - 1])
            rc = umbp_stager_settle (stager, &owners[index]->device);
    if (stager)
        umbp_devmem_give (lane->pool, &stager);
    return rc;
}

//  ------------------------------------------------------------------------------------------------
//  What callers see

//  The driver opens the device, and the first and the last byte can be read. Returns 0 or an error.
static int s_try (umbp_t *pool, const umbp_devmem_range_t *range, char why[UMBP_STAGER_WHY_MAX])
{
    int rc;
    umbp_stager_t *stager = umbp_devmem_stager (pool, umbp_clock_ms () + pool->timeout_ms, &rc);
    if (!stager) {
        snprintf (why, UMBP_STAGER_WHY_MAX, "no staging memory: %s", umbp_strerror (rc));
        return rc;
    }
    rc = umbp_stager_open (stager, &range->device, why);
    if (rc == 0) {
        uint8_t *bank = umbp_stager_bank (stager, 0);
        rc = umbp_stager_owns (stager, &range->device, range->base, range->size);
        if (rc == 0)
            rc = umbp_stager_read (stager, &range->device, range->base, bank, 1);
        if (rc == 0)
            rc = umbp_stager_read (stager, &range->device, range->base + range->size - 1, bank, 1);
        int waited = umbp_stager_wait (stager);
        rc = rc < 0 ? rc : waited;
        if (rc < 0)
            snprintf (
                why, UMBP_STAGER_WHY_MAX,
                "%s:%d cannot read %zu bytes at 0x%llx: are they this device's, and allocated?",
                range->device.kind, range->device.number, range->size,
                (unsigned long long) range->base);
    }
    umbp_devmem_give (pool, &stager);
    return rc;
}

static int s_insert (umbp_t *pool, umbp_devmem_range_t *range, char why[UMBP_STAGER_WHY_MAX])
{
    umbp_devmem_t *self = pool->devmem;
    int rc = 0;
    pthread_mutex_lock (&self->lock);
    if (s_at (self, range->base, range->size))
        rc = UMBP_EEXIST;
    else if (self->count == UMBP_DEVMEM_RANGES_MAX) {
        rc = UMBP_ENOSPC;
        snprintf (why, UMBP_STAGER_WHY_MAX, "%d registrations of device memory are the most",
                  UMBP_DEVMEM_RANGES_MAX);
    } else {
        size_t at = s_find (self, range->base);
        memmove (self->ranges + at + 1, self->ranges + at, (self->count - at) * sizeof range);
        self->ranges[at] = range;
        self->count++;
        atomic_store_explicit (&self->any, true, memory_order_release);
    }
    pthread_mutex_unlock (&self->lock);
    if (rc == UMBP_EEXIST)
        snprintf (why, UMBP_STAGER_WHY_MAX, "%zu bytes at 0x%llx overlap what is registered",
                  range->size, (unsigned long long) range->base);
    return rc;
}

int umbp_register_device (umbp_t *self, const char *kind, int device, void *base, size_t size,
                          char *why, size_t why_size)
{
    char words[UMBP_STAGER_WHY_MAX] = "";
    umbp_devmem_range_t *range = NULL;
    int rc = umbp_pool_is_forked (self) ? UMBP_EFORKED : 0;
    if (rc == 0
        && (!kind || strlen (kind) >= sizeof range->device.kind || device < 0 || !base || size == 0
            || (uintptr_t) base > UINTPTR_MAX - size)) {
        rc = UMBP_EINVAL;
        snprintf (words, sizeof words, "a kind (cuda, hip or mock), a device from 0, and bytes");
    }
    if (rc == 0) {
        range = zmalloc (sizeof *range);
        range->base = (uintptr_t) base;
        range->size = size;
        snprintf (range->device.kind, sizeof range->device.kind, "%s", kind);
        range->device.number = device;
        rc = umbp_ranges_overlap (self, base, size) ? UMBP_EEXIST : s_try (self, range, words);
    }
    if (rc == 0)
        rc = s_insert (self, range, words);
    if (rc != 0)
        free (range);
    else if (umbp_rdma_is_open (self))
        umbp_devmem_announce (self);
    if (why && why_size > 0)
        snprintf (why, why_size, "%s", rc == 0 ? "" : *words ? words : umbp_strerror (rc));
    return rc;
}

int umbp_devmem_deregister (umbp_t *pool, const void *base)
{
    umbp_devmem_t *self = pool->devmem;
    pthread_mutex_lock (&self->lock);
    size_t at = s_find (self, (uintptr_t) base);
    umbp_devmem_range_t *range = at < self->count ? self->ranges[at] : NULL;
    int rc = range && range->base == (uintptr_t) base ? 0 : UMBP_ENOENT;
    if (rc == 0 && range->users > 0)
        rc = UMBP_EAGAIN;
    if (rc == 0 && range->direct)
        rc = umbp_rdma_forget (pool, (void *) range->base, range->size);
    if (rc == 0) {
        self->count--;
        memmove (self->ranges + at, self->ranges + at + 1, (self->count - at) * sizeof range);
        free (range);
    }
    pthread_mutex_unlock (&self->lock);
    return rc;
}

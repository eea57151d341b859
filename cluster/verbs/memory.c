//  cluster/verbs/memory.c - memory that devices know: regions for peers, parts of announced buffers
//  for our own transfers. See inner.h.
#include "cluster/verbs/inner.h"
#include "proto/error.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

void umbp_mrs_drop (umbp_mrs_t *mrs)
{
    for (size_t index = 0; index < UMBP_VERBS_DEVICES_MAX; index++)
        if (mrs->mrs[index])
            ibv_dereg_mr (mrs->mrs[index]);
    *mrs = (umbp_mrs_t) { 0 };
}

int umbp_mrs_add (umbp_verbs_t *verbs, void *base, size_t bytes, int access, umbp_mrs_t *mrs)
{
    *mrs = (umbp_mrs_t) { 0 };
    for (size_t index = 0; index < verbs->device_count; index++) {
        int allowed = access;
        if (!verbs->devices[index].windows && allowed & IBV_ACCESS_MW_BIND) {
            allowed &= ~IBV_ACCESS_MW_BIND;
            if (!(allowed & (IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE)))
                continue;               //  Each part is registered while it is open, see window.c
        }
        mrs->mrs[index] = ibv_reg_mr (verbs->devices[index].pd, base, bytes, allowed);
        if (!mrs->mrs[index]) {
            int rc = errno == ENOMEM || errno == EAGAIN ? UMBP_ENOSPC : UMBP_EIO;
            umbp_mrs_drop (mrs);
            return rc;
        }
    }
    return 0;
}

static int s_cache_add (void *arg, void *base, size_t bytes, void **handle_p)
{
    umbp_mrs_t *mrs = calloc (1, sizeof (umbp_mrs_t));
    assert (mrs);
    int rc = umbp_mrs_add (arg, base, bytes, IBV_ACCESS_LOCAL_WRITE, mrs);
    if (rc != 0) {
        free (mrs);
        mrs = NULL;
    }
    *handle_p = mrs;
    return rc;
}

static void s_cache_drop (void *arg, void *handle)
{
    (void) arg;
    umbp_mrs_drop (handle);
    free (handle);
}

//  Since libibverbs 1.12 (rdma-core 34): found when it is used, so that an older one will do
typedef struct ibv_mr *(s_dmabuf_fn) (struct ibv_pd *, uint64_t, size_t, uint64_t, int, int);

static int s_cache_add_dmabuf (void *arg, void *base, size_t bytes, int fd, uint64_t offset,
                               void **handle_p)
{
    umbp_verbs_t *verbs = arg;
    s_dmabuf_fn *reg = (s_dmabuf_fn *) dlsym (RTLD_DEFAULT, "ibv_reg_dmabuf_mr");
    umbp_mrs_t *mrs = calloc (1, sizeof (umbp_mrs_t));
    assert (mrs);
    *handle_p = mrs;
    bool all = reg != NULL;
    for (size_t index = 0; index < verbs->device_count && all; index++) {
        mrs->mrs[index] = reg (verbs->devices[index].pd, offset, bytes, (uintptr_t) base, fd,
                               IBV_ACCESS_LOCAL_WRITE);
        all = mrs->mrs[index] != NULL;
    }
    if (all)
        return 0;
    s_cache_drop (arg, mrs);
    return UMBP_ENOTSUP;
}

const umbp_cache_ops_t umbp_verbs_cache_ops = { .add = s_cache_add,
                                                .drop = s_cache_drop,
                                                .add_dmabuf = s_cache_add_dmabuf };

umbp_verbs_region_t *umbp_verbs_region_new (umbp_verbs_t *verbs, void *base, size_t bytes,
                                            int rights, int *rc_p)
{
    umbp_verbs_region_t *self = calloc (1, sizeof (umbp_verbs_region_t));
    assert (self);
    *self = (umbp_verbs_region_t) { .verbs = verbs, .base = base, .bytes = bytes };
    int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND;
    if (rights & UMBP_VERBS_READ)
        access |= IBV_ACCESS_REMOTE_READ;
    if (rights & UMBP_VERBS_WRITE)
        access |= IBV_ACCESS_REMOTE_WRITE;
    int rc = umbp_mrs_add (verbs, base, bytes, access, &self->mrs);
    if (rc != 0)
        umbp_verbs_region_destroy (&self);
    if (rc_p)
        *rc_p = rc;
    return self;
}

void umbp_verbs_region_destroy (umbp_verbs_region_t **self_p)
{
    umbp_verbs_region_t *self = *self_p;
    if (!self)
        return;
    umbp_mrs_drop (&self->mrs);
    free (self);
    *self_p = NULL;
}

void umbp_verbs_region_describe (const umbp_verbs_region_t *self, umbp_verbs_memory_t *memory)
{
    *memory = (umbp_verbs_memory_t) { .base = (uintptr_t) self->base, .bytes = self->bytes };
    for (size_t index = 0; index < self->verbs->device_count; index++)
        memory->keys[index] = self->mrs.mrs[index] ? self->mrs.mrs[index]->rkey : 0;
}

int umbp_verbs_announce (umbp_verbs_t *self, void *base, size_t bytes)
{
    pthread_mutex_lock (&self->lock);
    int rc = umbp_cache_announce (self->cache, base, bytes);
    pthread_mutex_unlock (&self->lock);
    return rc;
}

int umbp_verbs_announce_dmabuf (umbp_verbs_t *self, void *base, size_t bytes, int fd,
                                uint64_t offset)
{
    pthread_mutex_lock (&self->lock);
    int rc = umbp_cache_announce_dmabuf (self->cache, base, bytes, fd, offset);
    pthread_mutex_unlock (&self->lock);
    return rc;
}

int umbp_verbs_forget (umbp_verbs_t *self, void *base, size_t bytes)
{
    pthread_mutex_lock (&self->lock);
    int rc = umbp_cache_forget (self->cache, base, bytes);
    pthread_mutex_unlock (&self->lock);
    return rc;
}

void umbp_verbs_stats (umbp_verbs_t *self, umbp_verbs_stats_t *stats)
{
    umbp_cache_stats_t cache;
    pthread_mutex_lock (&self->lock);
    umbp_cache_stats (self->cache, &cache);
    *stats = self->stats;
    pthread_mutex_unlock (&self->lock);
    stats->cache_hits = cache.hits;
    stats->cache_misses = cache.misses;
    stats->cache_evictions = cache.evictions;
    stats->cache_refusals = cache.refusals;
    stats->cache_bytes = cache.bytes;
}

//  cluster/bulk/verbs_cache.h - which parts of announced buffers are registered with the devices. A
//  part is registered when a transfer first uses it, and let go when it was not used for longest
//  and the budget is spent; never while it is in use. Buffers are announced and forgotten by their
//  owner: memory that was freed and mapped anew must not be found here. Knows nothing of RDMA, and
//  of no lock: its owner has one.
//
//  Memory of a device is announced as a dma-buf, and registered at once and as a whole: it is pinned
//  where it is in any case, so the budget does not count it, and whether it can be is known at once.
#ifndef UMBP_VERBS_CACHE_H
#define UMBP_VERBS_CACHE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UMBP_CACHE_GRAIN ((size_t) 4 * 1024 * 1024) //  A part begins and ends at multiples of this
#define UMBP_CACHE_BUFFERS_MAX 256      //  Announced at a time

typedef struct umbp_cache umbp_cache_t;

//  A registered part of a buffer; good while it is held
typedef struct {
    char *base;
    size_t bytes;
    void *handle;                       //  What add gave
} umbp_cache_part_t;

//  How to register. add returns 0 and a handle, or an error; drop undoes it.
typedef struct {
    int (*add) (void *arg, void *base, size_t bytes, void **handle_p);
    void (*drop) (void *arg, void *handle);
    void *arg;
    //  The same of bytes that begin at an offset of a dma-buf; NULL: none can be registered
    int (*add_dmabuf) (void *arg, void *base, size_t bytes, int fd, uint64_t offset,
                       void **handle_p);
} umbp_cache_ops_t;

typedef struct {
    uint64_t hits, misses, evictions, refusals, bytes;
    size_t count;
} umbp_cache_stats_t;

umbp_cache_t *umbp_cache_new (const umbp_cache_ops_t *ops, size_t count_max, uint64_t bytes_max);

//  Drops all. Nothing is held any more.
void umbp_cache_destroy (umbp_cache_t **self_p);

//  Returns 0, UMBP_EINVAL (empty, or overlaps another buffer) or UMBP_EAGAIN (too many).
int umbp_cache_announce (umbp_cache_t *self, void *base, size_t bytes);

//  Announce a part of a dma-buf under addresses of its device: register it. The descriptor stays the
//  caller's, and is of no further use here. Returns as announce does, or UMBP_ENOTSUP if it cannot be
//  registered: then it is not announced.
int umbp_cache_announce_dmabuf (umbp_cache_t *self, void *base, size_t bytes, int fd,
                                uint64_t offset);

//  Take back an announcement, and drop all its parts. Returns 0, UMBP_EINVAL if no such buffer was
//  announced, UMBP_EAGAIN if a part is held: then nothing new of it can be held, and the owner asks
//  again.
int umbp_cache_forget (umbp_cache_t *self, void *base, size_t bytes);

//  Hold the part that has this range. Returns NULL if it was not announced, or cannot be registered
//  within the budget.
const umbp_cache_part_t *umbp_cache_hold (umbp_cache_t *self, void *base, size_t bytes);
void umbp_cache_release (umbp_cache_t *self, const umbp_cache_part_t *part);

void umbp_cache_stats (const umbp_cache_t *self, umbp_cache_stats_t *stats);

#ifdef __cplusplus
}
#endif

#endif

//  actors/tier/balloon.h - how much memory a tier has, while it runs: it gives pages back to the system and takes
//  them again. Pages leave from the top of the region that holds least. Room for what lies there is made first, by
//  letting the least useful blocks go; then the pages are taken out of use, blocks in them move to others, and
//  what nobody holds any more is given back. What somebody reads or writes is waited for. Growing is the reverse:
//  the memory is made to exist, then the pages may be handed out.
//
//  Done step by step, some tens of megabytes each, since it happens in the thread of the tier manager. A value:
//  no thread, no time of its own; the store and the regions are the caller's and outlive it.
#ifndef UMBP_BALLOON_H
#define UMBP_BALLOON_H

#include "actors/tier/store.h"
#include "cluster/bulk/region.h"

typedef struct {
    umbp_store_t *store;
    umbp_region_t **regions;
    size_t region_count;
    bool pinned;                        //  Devices know the pages (RDMA): none can go
    void *owner;
    void (*drop) (void *owner, uint32_t item);      //  A live block has to go: forget it, and say so
    void (*moved) (void *owner, uint32_t item);     //  A live block lies elsewhere now
} umbp_balloon_args_t;

typedef struct umbp_balloon umbp_balloon_t;

umbp_balloon_t *umbp_balloon_new (const umbp_balloon_args_t *args);
void umbp_balloon_destroy (umbp_balloon_t **self_p);

//  Hold so many bytes from now on, rounded up to pages; more than the tier was made with is as much as that.
//  Returns 0; UMBP_EINVAL for less than a page; or UMBP_ENOTSUP, and why says so: the pages are registered with
//  RDMA devices, or are huge ones, which would not go back to the system, or smaller than the system's.
int umbp_balloon_aim (umbp_balloon_t *self, uint64_t bytes, const char **why);

//  Go on. Returns true if there is more to do.
bool umbp_balloon_step (umbp_balloon_t *self);

typedef struct {
    uint64_t made, capacity, goal;      //  Bytes: at first, now, wanted
    uint64_t returned, leaving;         //  Bytes that the system has back; that are to go, but held
    uint64_t evicted, moved_blocks, moved_bytes;
    uint64_t failed;                    //  Growths that ended since the system had no memory
} umbp_balloon_stats_t;

umbp_balloon_stats_t umbp_balloon_stats (const umbp_balloon_t *self);

#endif

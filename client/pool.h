//  client/pool.h - what a client is made of. Private to client/: programs see umbp.h.
//
//  A umbp_t is what its callers share, under one lock that is held for moments only. A lane
//  (lane.h) is what one call uses alone. Whatever several lanes need and what takes long to get,
//  the snapshot of the cluster and the mapped memory of nodes, is counted here and lent to lanes.
#ifndef UMBP_POOL_H
#define UMBP_POOL_H

#include <pthread.h>
#include <sys/types.h>

#include "client/umbp.h"
#include "cluster/bulk/shm.h"
#include "cluster/bulk/verbs.h"
#include "cluster/curve.h"
#include "cluster/silence.h"
#include "cluster/topology.h"

#define UMBP_LANES_MAX 64
#define UMBP_STREAMS_MAX 4              //  Connections of a lane to one bulk server
#define UMBP_TIMEOUT_MS 10000           //  Of a call, unless the program says otherwise

typedef struct umbp_lane umbp_lane_t;

//  The cluster as the registry told it, once. Never changes; a newer one takes its place.
typedef struct {
    umbp_topology_t *topology;
    bool here[UMBP_NODES_MAX];          //  By member: it is on this host and has doors
    unsigned users;
} umbp_cluster_t;

//  The memory of one tier of one incarnation of a node on this host. Read through the one map, so
//  that nothing here can damage a block by mistake; written through the other.
typedef struct umbp_memory {
    struct umbp_memory *next;
    char actor[UMBP_NAME_MAX + 1], node[UMBP_NAME_MAX + 1];
    uint64_t node_epoch;
    uint32_t page_size;
    umbp_shm_map_t *reads, *writes;
    umbp_shm_map_t *board_map;          //  NULL: it has no board
    const void *board;                  //  See board.h
    unsigned users;
} umbp_memory_t;

typedef struct umbp_ranges umbp_ranges_t;           //  register.c
typedef struct umbp_devmem umbp_devmem_t;           //  devmem.c
typedef struct umbp_async umbp_async_t;             //  async.c
typedef struct umbp_crew umbp_crew_t;               //  crew.c

struct umbp {
    pid_t pid;                          //  Who connected: a child of that process may not call
    void *context;                      //  ZeroMQ's, of our own; NULL: that of CZMQ, for inproc
    char endpoint[UMBP_TEXT_MAX + 1];   //  The one that answered
    char node[UMBP_NAME_MAX + 1];
    const char *certificate, *server_certificate;   //  Of the caller, while it connects
    umbp_curve_t curve;                 //  Keys for the endpoint; off: plain
    uint32_t timeout_ms;
    unsigned spin_us, lanes_max;
    bool shm, tcp, verify;
    bool rdma_wanted, paths_fine;
    unsigned streams;                   //  Bulk connections of a lane to one node, at most
    unsigned streams_here;              //  ... to one of our own host, which needs as many cores for its end
    umbp_crew_t *crew;
    char rdma_devices[256];
    int rdma_gid;

    pthread_mutex_t rdma_lock;          //  Held while devices are opened
    bool rdma_tried;
    const umbp_verbs_api_t *rdma_api;   //  Both do not change once they were tried
    umbp_verbs_t *rdma;                 //  NULL: there is none here
    bool ask_router;                    //  What exists: as the node said
    umbp_silence_t silence;             //  Of shards

    pthread_mutex_t lock;               //  All below
    pthread_cond_t freed;               //  A lane became idle
    umbp_lane_t *lanes[UMBP_LANES_MAX], *idle[UMBP_LANES_MAX];
    unsigned lane_count, idle_count;
    umbp_cluster_t *cluster;            //  The newest
    bool stale;                         //  Something did not fit it: ask again before the next call
    int64_t refreshed_ms;
    umbp_memory_t *memories;
    char (*unheard)[UMBP_NAME_MAX + 1]; //  Nodes that were given nowait puts since the last flush
    size_t unheard_count;
    bool unheard_all;                   //  ... which may be any of them
    umbp_stats_t stats;
    unsigned strain;                    //  Level of pressure on a node's memory, with the last put
    umbp_ranges_t *ranges;
    umbp_async_t *async;
    umbp_devmem_t *devmem;              //  Has a lock of its own
};

//  Begin a call: check that the process may make it and take a lane, within timeout_ms (0: the
//  default), which becomes the lane's deadline. Returns 0, UMBP_EFORKED, UMBP_ETIMEDOUT, or
//  UMBP_EIO if no socket can be made.
int umbp_pool_enter (umbp_t *self, uint32_t timeout_ms, umbp_lane_t **lane_p);

//  End it: give the lane back. Leaves a NULL.
void umbp_pool_leave (umbp_t *self, umbp_lane_t **lane_p);

//  True in a child of the process that connected
bool umbp_pool_is_forked (const umbp_t *self);

//  Borrow the newest snapshot in exchange for an older one, which may be NULL
void umbp_pool_swap_cluster (umbp_t *self, umbp_cluster_t **cluster_p);

//  A newer snapshot, which the pool owns from now on
void umbp_pool_set_cluster (umbp_t *self, umbp_topology_t *topology);

//  True if the snapshot is in doubt and it was not asked for just now; who gets this answer asks
bool umbp_pool_wants_cluster (umbp_t *self);

//  Borrow the memory of a tier of an incarnation of a node; NULL if nobody has mapped it yet
umbp_memory_t *umbp_pool_memory (umbp_t *self, const char *actor, const char *node,
                                 uint64_t node_epoch);

//  Memory that was mapped just now. Returns what is to be used, which is another one's if two lanes
//  did it at once.
umbp_memory_t *umbp_pool_add_memory (umbp_t *self, umbp_memory_t *memory);

//  Give it back; it is unmapped when nobody uses it any more. Leaves a NULL; NULL is fine.
void umbp_pool_return_memory (umbp_t *self, umbp_memory_t **memory_p);

//  A put was not waited for at a node; NULL: at one that we were not told
void umbp_pool_note_unheard (umbp_t *self, const char *node);

//  async.c: batches in the background. The end waits for those that run; in a forked child, where the
//  threads are not, it frees memory alone.
umbp_async_t *umbp_async_new (umbp_t *pool);
void umbp_async_destroy (umbp_async_t **self_p, bool forked);

//  register.c: the table of registered memory
umbp_ranges_t *umbp_ranges_new (void);
void umbp_ranges_destroy (umbp_ranges_t **self_p);
void umbp_ranges_announce (umbp_t *pool);            //  All of them, to RDMA, under the lock
bool umbp_ranges_overlap (umbp_t *pool, const void *base, size_t size);

//  A node says how short of memory it is. Once it is, devices let go of registered memory that is not in use;
//  it is registered again as it is used.
void umbp_pool_note_strain (umbp_t *pool, unsigned level);

#endif

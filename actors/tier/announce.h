//  actors/tier/announce.h - tells the index what a tier holds, and keeps telling until it knows.
//
//  One numbered stream of changes to each member of the ring, one message in flight on each. A number is said
//  again until it is acknowledged; a shard that lost count (it restarted, or there was a hole) is given a full
//  account. When the ring changes, only keys whose owners changed are said again. The tier manager is always
//  right; the index only remembers.
//
//  A value of its tier manager's thread. What it asks runs over the manager's post.
#ifndef UMBP_ANNOUNCE_H
#define UMBP_ANNOUNCE_H

#include "actors/tier/store.h"
#include "cluster/post.h"
#include "cluster/topology.h"

typedef struct umbp_announce umbp_announce_t;

//  Called when a shard has said what it thinks of an added block. primary: the first owner on the ring, whose
//  word decides between two writers. verdict: 0, UMBP_EEXIST (another node has it too), UMBP_ECHECKSUM (another
//  node has other bytes under that key).
typedef void (umbp_verdict_fn) (void *owner, uint64_t tag, bool primary, int verdict);

//  The store is borrowed. owner is that of the post and of the verdicts.
umbp_announce_t *umbp_announce_new (umbp_post_t *post, umbp_store_t *store, const char *node,
                                    uint64_t node_epoch, unsigned tier, void *owner,
                                    umbp_verdict_fn *verdict);
void umbp_announce_destroy (umbp_announce_t **self_p);

//  There is a new topology. Takes it.
void umbp_announce_topology (umbp_announce_t *self, umbp_topology_t **topology_p);

//  A live block came; tag comes back with the verdicts, 0 wants none. Returns how many shards will hear of it.
size_t umbp_announce_add (umbp_announce_t *self, const umbp_block_t *block, uint64_t tag);

//  A live block is about to leave
void umbp_announce_drop (umbp_announce_t *self, const umbp_block_t *block);

//  Go on with what is slow or has to be said again; call every few milliseconds while it returns true
bool umbp_announce_pump (umbp_announce_t *self);

//  True when every change made until now was acknowledged by all members that answer
bool umbp_announce_quiet (const umbp_announce_t *self);

typedef struct {
    uint64_t sent, acknowledged;        //  Changes
    uint64_t accounts;                  //  Full accounts begun
    uint64_t repeats;                   //  Messages said again
    uint64_t waiting;                   //  Changes not acknowledged yet
} umbp_announce_stats_t;

umbp_announce_stats_t umbp_announce_stats (const umbp_announce_t *self);

#endif

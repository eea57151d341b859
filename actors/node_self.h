//  actors/node_self.h - the state of a node, shared by the files that make it up: node.c (who it is, its actors, its life)
//  and node_tiers.c (its memory and disks, and the tier managers over them). Nobody else includes this.
#ifndef UMBP_NODE_SELF_H
#define UMBP_NODE_SELF_H

#include "actors/actor.h"
#include "actors/mover_here.h"
#include "actors/umbp_node.h"
#include "actors/verbs.h"
#include "cluster/quotas.h"

#define UMBP_NODE_ACTORS_MAX 24

typedef struct umbp_vram umbp_vram_t;   //  See tier/vram.h

struct umbp_node {
    umbp_node_options_t options;
    umbp_home_t home;
    char bound[UMBP_TEXT_MAX];          //  Where we listen, as an address: listen may name an interface
    char endpoint[UMBP_TEXT_MAX], inproc[UMBP_TEXT_MAX + UMBP_NAME_MAX], bulk[UMBP_TEXT_MAX];
    zactor_t *actors[UMBP_NODE_ACTORS_MAX];       //  In the order of their start
    size_t actor_count;
    zactor_t *tiers[UMBP_NODE_ACTORS_MAX];        //  Those of them that manage tiers
    size_t tier_count;
    zactor_t *registry, *link;          //  First and last to go
    zactor_t *gate;                     //  NULL: links are plain. Outlives the link
    void *context;                      //  Of the sockets that the gate looks after
    char gateway[UMBP_TEXT_MAX];        //  Its URL, empty: there is none
    const char *names[UMBP_NODE_ACTORS_MAX + 3];  //  Who can be asked for stat; ends with NULL
    const char *listeners[UMBP_NODE_ACTORS_MAX];  //  Who is told of the topology; ends with NULL
    const umbp_verbs_api_t *rdma_api;
    umbp_verbs_t *rdma;                 //  Devices, until their actor has them; NULL: none
    bool serves_rdma;                   //  That actor is there
    umbp_here_t here[UMBP_HERE_MAX];    //  Bulk servers of the tiers, which are theirs
    size_t here_count;
    umbp_vram_t *hbm;                   //  Memory of a device, until its tier has it
    bool has_hbm;                       //  There is such a tier
    int stop_fd;                        //  Readable once a drain wants us to end; 0: none
};

//  node.c: it goes with the others. Returns false if there is none.
bool umbp_node_add (umbp_node_t *self, zactor_t *actor);

//  node_tiers.c: take memory of the device that was asked for, before anybody is told which tiers there are. Returns
//  false if there is none of it; with auto that is fine.
bool umbp_node_open_hbm (umbp_node_t *self);

//  Start the tiers, with what tenants may use. *err is set if this fails for want of memory, a port or a
//  disk, and else stays as it is. seed: of fingerprints.
bool umbp_node_start_tiers (umbp_node_t *self, uint64_t seed, int *err);
unsigned umbp_node_tier_count (const umbp_node_t *self);

#endif

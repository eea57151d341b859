//  actors/registry.h - the registry of a node: who is in the cluster. Its address is "registry".
//  It beats to the registries of all other members, and tells the actors of its own node whenever
//  the topology changes and at each heartbeat (topology_ok, unasked). Discovery only proposes.
//
//  Takes who, topology, beat and drain, from anyone; leave, from the node itself; found and capacity, from
//  this node only.
#ifndef UMBP_REGISTRY_H
#define UMBP_REGISTRY_H

#include "actors/actor.h"

#define UMBP_REGISTRY_ACTORS_MAX 32     //  That can be told of the topology

typedef struct {
    const umbp_home_t *home;
    const char *cluster;                //  Name of the cluster
    const char *endpoint;               //  "tcp://host:port" at which others reach our link
    const char *bulk;                   //  host:port of our bulk server; may be NULL, like the next
    const char *host;                   //  Which kernel we run on
    unsigned heartbeat_ms;              //  0: 1000, as all of these have a default
    unsigned suspect_ms;                //  Silence before a member is suspect: 3000
    unsigned gone_ms;                   //  Silence before it is removed: 30000
    unsigned copies;                    //  R: 2
    unsigned vnodes;                    //  150
    bool ring_plain;
    uint64_t seed;                      //  Of fingerprints, made of the cluster's secret
    unsigned tiers;                     //  We enter the ring once so many reported; 0: at once
    int stop_fd;                        //  An eventfd, written to when the process is to end after
                                        //  a drain; stays the caller's. 0: there is none
    const char *const *actors;          //  To tell of the topology, after the link; ends with NULL
    const char *const *all;             //  Of the node, for who asks; ends with NULL. NULL: not said
} umbp_registry_args_t;

//  Returns NULL if the settings are impossible or the name is taken; the reason is logged. Destroy
//  it first of all actors: it takes leave of the others, through the link.
zactor_t *umbp_registry_new (const umbp_registry_args_t *args);

#endif

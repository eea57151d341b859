//  cluster/link.h - the link of a node: an actor that carries messages between this node, other
//  nodes and clients over tcp. It reads addresses and nothing else, keeps no question in mind, and
//  so has nothing to lose: the way back rides with each message as its origin.
//
//  Frames on tcp, a DEALER on the asking side: [address][origin][message][payload]; the answer
//  comes back with an empty address. The address is "actor" or "actor@node"; the actors of this
//  node, and nobody else, may also say "actor@tcp://host:port" while a node's name is not known.
#ifndef UMBP_LINK_H
#define UMBP_LINK_H

#include <czmq.h>

//  Whom others may speak to. A name costs a socket for good once it was asked for, so the list is
//  closed.
#define UMBP_LINK_ACTORS \
    "registry,router,index,extkv,eviction,migrator,tier:hbm,tier:dram,tier:nvme,tier:shared"

typedef struct {
    const char *instance;               //  Prefix of this node's inproc names
    const char *node;                   //  Id of this node
    const char *listen;                 //  "tcp://host:port", port may be *
    const char *actors;                 //  "name,name" as above; NULL: UMBP_LINK_ACTORS
} umbp_link_args_t;

//  Binds and starts the actor. Writes where it really listens to endpoint. Returns NULL if it
//  cannot bind. The link learns where nodes are from topology_ok messages addressed to "link".
//  Destroy it after all actors that speak through it: what they said last still goes out, for up to
//  a quarter of a second.
zactor_t *umbp_link_new (const umbp_link_args_t *args, char *endpoint, size_t size);

//  Whether the origin of a request begins at a client of some link, and not at an actor
bool umbp_link_from_client (const uint8_t *origin, size_t size);

#endif

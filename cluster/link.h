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

#include "cluster/keyring.h"

//  Whom others may speak to. A name costs a socket for good once it was asked for, so the list is
//  closed.
#define UMBP_LINK_ACTORS \
    "registry,router,index,extkv,eviction,migrator,gate,tier:hbm,tier:dram,tier:nvme,tier:shared" \
    ",etcd,gateway,device,pressure"

//  Secure links: a gate (actors/gate.h) lives in the same context, knows who may connect, and says
//  over a pair of sockets, inproc of the instance, when that changes. On the way back it hears of
//  what only the link sees.
#define UMBP_LINK_GATE "gate-keys"      //  Name of the pair, which the gate binds
#define UMBP_LINK_EVENTS "inproc://events"  //  In the context: what becomes of connections

typedef struct {
    void *context;                      //  ZeroMQ's, of this node alone. Outlives the link
    const umbp_curve_t *curve;          //  Our own keys; copied
    const umbp_keyring_t *keys;         //  Who may speak to us, to begin with; copied
} umbp_link_security_t;

typedef struct {
    uint64_t removed;                   //  Messages of keys that had been taken away
    uint64_t unnamed;                   //  Endpoints not dialled as no certificate is for them
    uint8_t removed_key[UMBP_CURVE_KEY];        //  The last of the former
} umbp_link_report_t;

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

//  The same with certificates; security NULL: nothing is encrypted, and all may connect
zactor_t *umbp_link_new_secure (const umbp_link_args_t *args, const umbp_link_security_t *security,
                                char *endpoint, size_t size);
//  Whether the origin of a request begins at a client of some link, and not at an actor
bool umbp_link_from_client (const uint8_t *origin, size_t size);

#endif

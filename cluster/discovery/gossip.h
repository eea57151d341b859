//  cluster/discovery/gossip.h - nodes found by zgossip, where broadcast is blocked. Each node
//  publishes where it is; who connects to one of them hears of all. An actor that says found to the
//  registry of its node for each, again and again: tuples of zgossip never expire, and the
//  registry finds out who still lives.
//
//  zgossip has no limits of its own and trusts its peers: bind it in a network that you trust. A
//  peer that breaks it makes us start it anew. It sends the log of the process to stdout.
#ifndef UMBP_GOSSIP_H
#define UMBP_GOSSIP_H

#include <czmq.h>

typedef struct {
    const char *instance;               //  Prefix of this node's inproc names
    const char *cluster, *node;
    const char *endpoint;               //  Our own: published, never said to our registry
    const char *bind;                   //  "tcp://host:port", port may be *; NULL or empty: nowhere
    const char *connect;                //  "tcp://host:port,..." of peers; NULL or empty: none
    unsigned repeat_ms;                 //  How often all are said again; 0: 10000
} umbp_gossip_args_t;

//  Returns NULL if it cannot bind or the list is malformed; the reason is logged. With *port_p,
//  unless NULL, the port that it bound. Destroying it may take some seconds while a name server
//  does not answer.
zactor_t *umbp_gossip_new (const umbp_gossip_args_t *args, int *port_p);

#endif

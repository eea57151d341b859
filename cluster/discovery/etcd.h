//  cluster/discovery/etcd.h - nodes found through etcd (3.4 and later), for a cluster that already runs
//  one. Says where its node is under <prefix>/<cluster>/<node>, with a lease that ends some time
//  after the node does; reads all that is there, watches it, and says found to the registry for
//  each, at once and again and again. Like every way of discovery it only proposes: a key that goes
//  is no death, and while etcd is away nothing that was found is lost.
//
//  It speaks with the JSON gateway, over HTTP. Every request has a deadline, every answer a bound;
//  what fails, or answers with anything but what was asked for, is left for the next endpoint of
//  the list, ever more slowly, at most every 5 s. What is not ours under the prefix is ignored.
//
//  A value for one thread, which an actor has (actors/etcd_actor.h); it may be made in a constructor
//  and then move. Nothing blocks but the destroying: 1 s at most while etcd does not answer, and as
//  long as a name server does not.
#ifndef UMBP_ETCD_H
#define UMBP_ETCD_H

#include <czmq.h>

#define UMBP_ETCD_ENDPOINTS_MAX 16
#define UMBP_ETCD_PREFIX_MAX 127
#define UMBP_ETCD_TTL_MIN_MS 2000
#define UMBP_ETCD_TTL_MAX_MS 3600000

typedef struct umbp_etcd umbp_etcd_t;

typedef struct {
    const char *instance;               //  Prefix of this node's inproc names
    const char *cluster, *node;
    const char *endpoint;               //  Our own: put, never said to our registry
    const char *endpoints;              //  Of etcd: "http://host:port,..." or https://
    const char *prefix;                 //  "/umbp"
    unsigned ttl_ms;                    //  Of the lease, in whole seconds: rounded up
    const char *user, *password;        //  NULL or empty: none
    const char *ca, *cert, *key;        //  Files for https; NULL or empty: the system's, none
    unsigned repeat_ms;                 //  How often all are said again; 0: 10000
} umbp_etcd_args_t;

typedef struct {
    unsigned endpoint;                  //  Which of the list works, from 1 on; 0: none
    uint64_t lease_ms;                  //  What etcd granted
    uint64_t nodes;                     //  Now under the prefix, ourselves included
    uint64_t leases, leases_lost, keepalives, puts, reads, watches, events, compactions;
    uint64_t ignored;                   //  Keys and values that are none of ours
    uint64_t failures;                  //  Requests that failed, and of these
    uint64_t refused;                   //  ... answers that were not what was asked for
} umbp_etcd_stats_t;

//  0 if there can be one of these; else UMBP_EINVAL, and *why says what is allowed
int umbp_etcd_check (const umbp_etcd_args_t *args, const char **why);

//  The arguments have to pass umbp_etcd_check
umbp_etcd_t *umbp_etcd_new (const umbp_etcd_args_t *args);

//  Gives the lease back, if etcd answers at once
void umbp_etcd_destroy (umbp_etcd_t **self_p);

//  In the thread. The loop has to outlive this.
void umbp_etcd_start (umbp_etcd_t *self, zloop_t *loop);

void umbp_etcd_stats (const umbp_etcd_t *self, umbp_etcd_stats_t *stats);

#endif

//  cluster/discovery/beacon.h - nodes found by UDP broadcast on one LAN. An actor that shouts where
//  its node is, every second, and says found to the registry of its node for each other one of the
//  same cluster that it hears. Whatever else arrives at that port is passed over.
//
//  A beacon: "UMBP", 1 byte version, 8 bytes hash of the cluster's name, then the endpoint without
//  its "tcp://".
//
//  IPv4 only, and not on loopback, which has no broadcast. The interface is a setting of the whole
//  process (zsys_set_interface): all its beacons have to name the same one, and it must not be
//  changed while one of them runs.
#ifndef UMBP_BEACON_H
#define UMBP_BEACON_H

#include <czmq.h>

#define UMBP_BEACON_VERSION 1

typedef struct {
    const char *instance;               //  Prefix of this node's inproc names
    const char *cluster;
    const char *endpoint;               //  Our own: shouted, never said to our registry
    const char *interface;              //  "eth0"; NULL or empty: the first that can broadcast
    unsigned port;                      //  UDP, the same on all nodes
    unsigned interval_ms;               //  0: 1000
} umbp_beacon_args_t;

//  Returns NULL if there is no such interface or the endpoint is too long: 242 bytes behind
//  tcp://. The reason is logged.
zactor_t *umbp_beacon_new (const umbp_beacon_args_t *args);

#endif

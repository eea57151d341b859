//  cluster/discovery/seeds.h - a list of endpoints where nodes may be. An actor that says found to
//  the registry of its node, for each of them, at once and again and again: after 1 s first, then
//  ever more rarely, at most every 10 s. Names are looked up each time, in this thread.
#ifndef UMBP_SEEDS_H
#define UMBP_SEEDS_H

#include <czmq.h>

typedef struct {
    const char *instance;               //  Prefix of this node's inproc names
    const char *endpoint;               //  Our own, never said
    const char *seeds;                  //  "tcp://host:port,tcp://host:port"
} umbp_seeds_args_t;

//  Returns NULL if the list is malformed or there is nothing in it; the reason is logged.
//  Destroying it may take some seconds while a name server does not answer.
zactor_t *umbp_seeds_new (const umbp_seeds_args_t *args);

#endif

//  actors/gateway.h - the gateway: what a node says of itself to tools that speak HTTP. /metrics is all counters and
//  gauges of all its actors, as OpenMetrics; /healthz and /readyz are for probes. It asks every actor of its node for
//  stat once a second, and what is scraped is what was said last: no scrape ever waits for an actor, nor an actor for
//  a scrape.
#ifndef UMBP_GATEWAY_H
#define UMBP_GATEWAY_H

#include "actors/actor.h"

typedef struct {
    const umbp_home_t *home;
    const char *listen;                 //  "tcp://host:port", port * for any
    const char *const
        *actors; //  Of this node, NULL at the end; the registry and the gateway go without saying
} umbp_gateway_args_t;

//  Binds and starts; writes "http://host:port" to url. Returns NULL if it cannot bind. It may be started before the
//  actors that it asks.
zactor_t *umbp_gateway_new (const umbp_gateway_args_t *args, char *url, size_t size);

#endif

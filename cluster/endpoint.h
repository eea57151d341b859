//  cluster/endpoint.h - "tcp://host:port", as nodes name each other. Texts of this kind come from
//  peers and operators: what is checked here is safe to hand to ZeroMQ. No state, any thread.
#ifndef UMBP_ENDPOINT_H
#define UMBP_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/types.h"

//  Whether somebody can connect there: tcp, a host (a name, an IPv4 address, or an IPv6 one in
//  brackets, but not 0.0.0.0 or ::, which mean any) and a port from 1 to 65535
bool umbp_endpoint_ok (umbp_text_t endpoint);

//  The same endpoint with an address in place of a name. Asks name servers, and blocks for some
//  seconds if none answers, so it belongs into an actor that nobody waits for.
//  Returns 0, or UMBP_EINVAL (no endpoint), UMBP_ENOENT (no such host), UMBP_EAGAIN (no name server
//  answered), UMBP_ETOOBIG (does not fit).
int umbp_endpoint_resolve (const char *endpoint, char *out, size_t size);

//  Whether a host, or "tcp://host:port", is of this host alone: 127.0.0.0/8, [::1], localhost, lo.
//  Names are not looked up.
bool umbp_endpoint_is_loopback (const char *where);

//  Walk a list "tcp://host:port,tcp://host:port": the next one, without spaces around it, moving
//  *list behind it. Its size is 0 if there is no more.
umbp_text_t umbp_endpoint_next (const char **list);

#endif

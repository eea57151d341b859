//  cluster/clients.h - how many requests each client has open, at one actor or at a link, and how
//  many bytes these have, so that none takes more than its share of what all have. A client is a door
//  connection, or a connection to the link; it is known by a hash of its name, in a table of fixed
//  size: two that fall together, one time in thousands, share one bound. A value for one thread;
//  nothing blocks or allocates.
#ifndef UMBP_CLIENTS_H
#define UMBP_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_CLIENT_OPEN_MAX 128        //  Requests of one client at one actor
#define UMBP_CLIENT_LINK_MAX 2048       //  ... under way through a link, and their bytes
#define UMBP_CLIENT_LINK_BYTES ((size_t) 64 << 20)

typedef struct umbp_clients umbp_clients_t;

//  Of one client at most so many requests, and so many bytes; but one request, of any size, always
umbp_clients_t *umbp_clients_new (uint32_t open_max, size_t bytes_max);
void umbp_clients_destroy (umbp_clients_t **self_p);

//  A request came. Returns true, and it is open until umbp_clients_end; or false if the client has
//  too many open already. Those that nobody ever answered are forgiven after a while.
bool umbp_clients_begin (umbp_clients_t *self, const void *name, size_t size, size_t bytes,
                         int64_t now_ms);

//  A request that was let in has been answered, with whatever. Which one is not asked: it takes the
//  mean of their bytes with it.
void umbp_clients_end (umbp_clients_t *self, const void *name, size_t size, int64_t now_ms);

#endif

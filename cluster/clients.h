//  cluster/clients.h - how many requests each client has open at one actor, so that none takes more
//  than its share of what all have. A client is a door connection, or a connection to the link; it
//  is known by a hash of its name, in a table of fixed size: two that fall together, one time in
//  thousands, share one bound. A value for one thread; nothing blocks or allocates.
#ifndef UMBP_CLIENTS_H
#define UMBP_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_CLIENT_OPEN_MAX 128        //  Requests of one client at one actor

typedef struct umbp_clients umbp_clients_t;

umbp_clients_t *umbp_clients_new (void);
void umbp_clients_destroy (umbp_clients_t **self_p);

//  A request came. Returns true, and it is open until umbp_clients_end; or false if the client has
//  too many open already. Those that nobody ever answered are forgiven after a while.
bool umbp_clients_begin (umbp_clients_t *self, const void *name, size_t size, int64_t now_ms);

//  A request that was let in has been answered, with whatever
void umbp_clients_end (umbp_clients_t *self, const void *name, size_t size, int64_t now_ms);

#endif

//  cluster/doors.h - the clients of one actor that come through its UNIX socket: one door each, which
//  carries datagrams with a message and, for answers, descriptors. Sockets and who is connected, and
//  nothing of what is said.
#ifndef UMBP_DOORS_H
#define UMBP_DOORS_H

#include <czmq.h>

#define UMBP_DOORS_MAX 256              //  Clients at a time

typedef struct umbp_doors umbp_doors_t;

//  A datagram came through the door with this number, which is never 0 and never used again. data is
//  the doors' own until the next one. A size above UMBP_SHM_DATA_MAX: it was cut off there. Returns
//  whether the client may stay.
typedef bool (umbp_doors_take_fn) (void *arg, uint64_t door, const void *data, size_t size);

//  A door was closed, by whom ever
typedef void (umbp_doors_closed_fn) (void *arg, uint64_t door);

typedef struct {
    uint64_t open, refused;             //  Now; that found no room
} umbp_doors_stats_t;

//  path is where to listen. Returns NULL if that cannot be, and logs why.
umbp_doors_t *umbp_doors_new (const char *path, umbp_doors_take_fn *take,
                              umbp_doors_closed_fn *closed, void *arg);
void umbp_doors_destroy (umbp_doors_t **self_p);

//  Let the loop call, and woken after each of its calls, so that its owner may look for more
void umbp_doors_start (umbp_doors_t *self, zloop_t *loop, void (*woken) (void *arg));

//  Take at most one datagram of each door. Returns whether there was any.
bool umbp_doors_once (umbp_doors_t *self);

//  Whether the datagram went out, with copies of the descriptors. One that is too large is the
//  caller's matter; a client that does not read loses its connection: its end tells it, and no answer
//  is ever late by more than its buffer.
bool umbp_doors_send (umbp_doors_t *self, uint64_t door, const void *data, size_t size,
                      const int *fds, size_t count);

const umbp_doors_stats_t *umbp_doors_stats (const umbp_doors_t *self);

#endif

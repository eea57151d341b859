//  cluster/link_sockets.h - the sockets of a link, with all their options. Private to link.c.
#ifndef UMBP_LINK_SOCKETS_H
#define UMBP_LINK_SOCKETS_H

#include <czmq.h>

#include "cluster/curve.h"

#define UMBP_LINK_QUEUE_MAX 20000       //  Messages that wait on one connection

//  To an actor, or another node; not connected yet
zsock_t *umbp_link_dealer (void);

//  What our actors connect to; not bound yet
zsock_t *umbp_link_local (void);

//  What clients and other nodes connect to; not bound yet. In a context, or in CZMQ's if that is
//  NULL, and to be closed with the same one. Leaves a NULL.
void *umbp_link_wire (void *context);
void umbp_link_wire_close (void *context, void **wire_p);

//  Only keys that the gate of the wire's context knows get in from here on, and it hears what becomes
//  of connections. Without a gate all get in whose keys fit ours, so the gate must be there before,
//  and outlive the wire. Returns false if this cannot be set.
bool umbp_link_guard (void *wire, const umbp_curve_t *curve);

#endif

//  cluster/discovery/finder.h - the shape all ways of discovery share: a thread with a loop, and
//  one thing to say, found, to one actor, the registry of its node. Nobody speaks to it.
#ifndef UMBP_FINDER_H
#define UMBP_FINDER_H

#include <czmq.h>

typedef struct umbp_finder umbp_finder_t;

//  endpoint is our own, which is never said. A finder belongs to one thread; it may be made in a
//  constructor and then move.
umbp_finder_t *umbp_finder_new (const char *instance, const char *endpoint);
void umbp_finder_destroy (umbp_finder_t **self_p);

//  Somebody may live there. Never blocks; what is no endpoint, or our own, is passed over.
void umbp_finder_found (umbp_finder_t *self, const char *endpoint);

//  Starts the thread. start is called in it, first thing, to add readers and timers to the loop;
//  destroy last.
zactor_t *umbp_finder_actor (void *self, void (*start) (void *self, zloop_t *loop),
                             void (*destroy) (void **self_p));

#endif

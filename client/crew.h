//  client/crew.h - a few threads of the client that help a call with large copies. Private to client/.
//
//  A call offers its work in pieces and works on them itself until none is left; helpers take pieces
//  beside it. What no helper began the caller does, so a crew that gets no core costs nothing but
//  the pieces that it has in its hands, and these alone are waited for. Several calls may offer work
//  at once: helpers go from one to the next after each piece.
//
//  Threads are made at the first work that is offered, and joined at the end. Those without work look
//  for some for a moment, as long as that pays (spin.h), and sleep. They take no signals.
#ifndef UMBP_CREW_H
#define UMBP_CREW_H

#include <stdbool.h>
#include <stddef.h>

#define UMBP_CREW_MAX 16                //  Helpers at most
#define UMBP_CREW_AUTO_MAX 3            //  ... unless the program wants more

typedef struct umbp_crew umbp_crew_t;

//  How many helpers do good in this process: one fewer than the cores that it may run on, at most
//  UMBP_CREW_AUTO_MAX
unsigned umbp_crew_fitting (void);

//  Starts no thread yet. helpers: at most UMBP_CREW_MAX; 0 is fine, then callers are alone.
umbp_crew_t *umbp_crew_new (unsigned helpers);

//  No work may be under way. In a forked child, where the threads are not, it frees memory alone.
void umbp_crew_destroy (umbp_crew_t **self_p, bool forked);

unsigned umbp_crew_helpers (const umbp_crew_t *self);

//  A caller has work that keeps a core busy. Returns whether to offer it: not if as many callers are at such work as
//  there are helpers, who would take the cores from them. umbp_crew_end follows either way. Thread-safe, as that.
bool umbp_crew_begin (umbp_crew_t *self);
void umbp_crew_end (umbp_crew_t *self);

//  One of the pieces 0 to count - 1, by whichever thread
typedef void (umbp_crew_fn) (void *arg, size_t piece);

//  Have all of them done, each once. Returns when the last one has ended. Pieces begin in their order.
//  Thread-safe.
void umbp_crew_run (umbp_crew_t *self, umbp_crew_fn *fn, void *arg, size_t count);

#endif

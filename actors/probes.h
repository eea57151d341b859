//  actors/probes.h - which endpoints to try, and when: the registry's memory of places where
//  somebody may live. A place that stays silent is tried ever more rarely, at most every 10 s; a
//  bounded number is tried at once. A value: no thread, no socket, time comes in as monotonic ms.
#ifndef UMBP_PROBES_H
#define UMBP_PROBES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_PROBES_OPEN_MAX 64         //  Tried at once
#define UMBP_PROBES_MAX 1024            //  Remembered

typedef struct umbp_probes umbp_probes_t;

//  wait_ms is the pause after the first failure; it doubles from there on
umbp_probes_t *umbp_probes_new (unsigned wait_ms);
void umbp_probes_destroy (umbp_probes_t **self_p);

//  The number of an endpoint, by which an answer finds it again
uint64_t umbp_probes_tag (const char *endpoint);

//  May it be tried now? If true it counts as being tried until one of the ends below.
bool umbp_probes_begin (umbp_probes_t *self, const char *endpoint, int64_t now);

//  Nobody answered, or the answer was a refusal: the status says which. Returns true if this is
//  news about that endpoint, so that it is logged once. Unknown tags are fine here and below.
bool umbp_probes_failed (umbp_probes_t *self, uint64_t tag, int status, int64_t now);

//  Its node spoke to us by itself: the next try need not wait longer than after the first failure
void umbp_probes_heard (umbp_probes_t *self, const char *endpoint);

//  Its node answered and lives at this very endpoint: nothing more to remember
void umbp_probes_met (umbp_probes_t *self, uint64_t tag);

//  Its node answered, but calls another endpoint its home
void umbp_probes_alias (umbp_probes_t *self, uint64_t tag, const char *node, int64_t now);

//  The node that lives behind such an endpoint, NULL if none is known. Good until the next call.
const char *umbp_probes_node (const umbp_probes_t *self, const char *endpoint);

//  A member that was at this endpoint fell silent: try it now and then until that time, for it may
//  only have been cut off
void umbp_probes_lost (umbp_probes_t *self, const char *endpoint, int64_t until, int64_t now);

//  An endpoint of those whose time has come, NULL if there is none. Starts at *cursor, 0 at first.
const char *umbp_probes_due (const umbp_probes_t *self, size_t *cursor, int64_t now);

//  How many are being tried now
size_t umbp_probes_open (const umbp_probes_t *self);

#endif

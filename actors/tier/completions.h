//  actors/tier/completions.h - the completion queue of a medium: what it has to say, in order, until its owner asks.
//
//  A ring that grows: a medium says at most one thing of each request and each record, and bounds both.
#ifndef UMBP_COMPLETIONS_H
#define UMBP_COMPLETIONS_H

#include "actors/tier/medium.h"

typedef struct {
    umbp_medium_event_t *events;
    size_t room, first, count;          //  room: a power of two; 0: none yet
} umbp_completions_t;

//  Returns true if it was empty: whoever sleeps on the medium has to be woken
bool umbp_completions_add (umbp_completions_t *self, const umbp_medium_event_t *event);

//  The next one. False: there is none
bool umbp_completions_take (umbp_completions_t *self, umbp_medium_event_t *event);

void umbp_completions_free (umbp_completions_t *self);

#endif

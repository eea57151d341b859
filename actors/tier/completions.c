//  actors/tier/completions.c - the completion queue of a medium; see completions.h
#include "actors/tier/completions.h"

#include <assert.h>
#include <stdlib.h>

#define ROOM 1024                       //  To begin with

static void s_grow (umbp_completions_t *self)
{
    size_t room = self->room ? 2 * self->room : ROOM;
    umbp_medium_event_t *events = malloc (room * sizeof *events);
    assert (events);
    for (size_t index = 0; index < self->count; index++)
        events[index] = self->events[(self->first + index) & (self->room - 1)];
    free (self->events);
    self->events = events;
    self->first = 0;
    self->room = room;
}

bool umbp_completions_add (umbp_completions_t *self, const umbp_medium_event_t *event)
{
    if (self->count == self->room)
        s_grow (self);
    self->events[(self->first + self->count) & (self->room - 1)] = *event;
    return self->count++ == 0;
}

bool umbp_completions_take (umbp_completions_t *self, umbp_medium_event_t *event)
{
    if (self->count == 0)
        return false;
    *event = self->events[self->first];
    self->first = (self->first + 1) & (self->room - 1);
    self->count--;
    return true;
}

void umbp_completions_free (umbp_completions_t *self)
{
    free (self->events);
    *self = (umbp_completions_t) { NULL, 0, 0, 0 };
}

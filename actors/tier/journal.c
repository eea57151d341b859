//  actors/tier/journal.c - what happened to the memory of a tier. See journal.h.
#include "actors/tier/journal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct umbp_journal {
    uint64_t next;                      //  Number of the next event
    umbp_journal_row_t *rows;
};

umbp_journal_t *umbp_journal_new (void)
{
    umbp_journal_t *self = calloc (1, sizeof (umbp_journal_t));
    assert (self);
    self->next = 1;
    self->rows = calloc (UMBP_JOURNAL_EVENTS, sizeof *self->rows);
    assert (self->rows);
    return self;
}

void umbp_journal_destroy (umbp_journal_t **self_p)
{
    umbp_journal_t *self = *self_p;
    if (!self)
        return;
    free (self->rows);
    free (self);
    *self_p = NULL;
}

void umbp_journal_add (umbp_journal_t *self, umbp_event_t kind,
                       const char tenant[UMBP_NAME_MAX + 1], uint64_t amount)
{
    umbp_journal_row_t *row = &self->rows[self->next++ % UMBP_JOURNAL_EVENTS];
    struct timespec now;
    clock_gettime (CLOCK_REALTIME_COARSE, &now);     //  Cheap: events of one batch share a moment
    row->time_us = (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
    row->amount = amount;
    row->kind = (uint8_t) kind;
    memcpy (row->tenant, tenant, sizeof row->tenant);
}

uint64_t umbp_journal_first (const umbp_journal_t *self)
{
    return self->next > UMBP_JOURNAL_EVENTS ? self->next - UMBP_JOURNAL_EVENTS : 1;
}

uint64_t umbp_journal_next (const umbp_journal_t *self)
{
    return self->next;
}

const umbp_journal_row_t *umbp_journal_at (const umbp_journal_t *self, uint64_t number)
{
    if (number < umbp_journal_first (self) || number >= self->next)
        return NULL;
    return &self->rows[number % UMBP_JOURNAL_EVENTS];
}

const char *umbp_event_name (unsigned kind)
{
    static const char *const names[UMBP_EVENT_KINDS] = {
        [UMBP_EVENT_ALLOC] = "mem.alloc",       [UMBP_EVENT_FREE] = "mem.free",
        [UMBP_EVENT_EVICT] = "mem.evict",       [UMBP_EVENT_FULL] = "mem.full",
        [UMBP_EVENT_SUSPEND] = "mem.suspend",   [UMBP_EVENT_RESUME] = "mem.resume",
        [UMBP_EVENT_CAPACITY] = "mem.capacity", [UMBP_EVENT_LEVEL] = "mem.level",
        [UMBP_EVENT_MOVE] = "mem.move",
    };
    return kind < UMBP_EVENT_KINDS && names[kind] ? names[kind] : "mem.?";
}

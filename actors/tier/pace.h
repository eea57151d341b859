//  actors/tier/pace.h - at most so many in so much time, over any window of it. A value of one thread, without a
//  clock of its own.
#ifndef UMBP_PACE_H
#define UMBP_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define UMBP_PACE_MAX 1024

typedef struct {
    unsigned limit;                     //  0: no bound
    int64_t window_ms;
    unsigned next;                      //  The oldest of
    int64_t taken_at[UMBP_PACE_MAX];    //  ... the last limit ones
    uint64_t taken;
} umbp_pace_t;

//  limit is at most UMBP_PACE_MAX. What was taken before is forgotten.
static inline void umbp_pace_set (umbp_pace_t *self, unsigned limit, int64_t window_ms)
{
    *self = (umbp_pace_t) { .limit = limit < UMBP_PACE_MAX ? limit : UMBP_PACE_MAX,
                            .window_ms = window_ms };
}

//  Take one now. Returns false if it is too early.
static inline bool umbp_pace_take (umbp_pace_t *self, int64_t now)
{
    if (self->limit == 0)
        return true;
    if (self->taken >= self->limit && now - self->taken_at[self->next] < self->window_ms)
        return false;
    self->taken_at[self->next] = now;
    self->next = (self->next + 1) % self->limit;
    self->taken++;
    return true;
}

#endif

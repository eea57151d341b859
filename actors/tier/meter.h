//  actors/tier/meter.h - how much of something gets done in a second while there is some to do. What was done long ago
//  counts less: half, once as much time was worked since as UMBP_METER_US. Until it worked for a while a guess counts too,
//  as much as UMBP_METER_GUESS_US of work: the first few items say more of how long one takes than of how many go.
//
//  A value: one owner, no thread, and the time is the caller's, in microseconds of a monotonic clock.
#ifndef UMBP_METER_H
#define UMBP_METER_H

#include <stdbool.h>
#include <stdint.h>

#define UMBP_METER_US 2000000
#define UMBP_METER_GUESS_US 20000

typedef struct {
    int64_t since_us;                   //  There is some to do since then; 0: there is none
    uint64_t busy_us, done;             //  Before that; what was done, in all
} umbp_meter_t;

//  So long it worked
static inline uint64_t umbp_meter_busy_us (const umbp_meter_t *self, int64_t now_us)
{
    return self->busy_us + (self->since_us ? (uint64_t) (now_us - self->since_us) : 0);
}

//  There is something to do from now on, or nothing more
static inline void umbp_meter_set (umbp_meter_t *self, bool busy, int64_t now_us)
{
    self->busy_us = umbp_meter_busy_us (self, now_us);
    self->since_us = busy ? now_us : 0;
    for (; self->busy_us > 2 * UMBP_METER_US; self->busy_us /= 2)
        self->done /= 2;
}

//  So much was done
static inline void umbp_meter_add (umbp_meter_t *self, uint64_t amount, int64_t now_us)
{
    self->done += amount;
    if (self->since_us)
        umbp_meter_set (self, true, now_us);
}

//  A second
static inline uint64_t umbp_meter_rate (const umbp_meter_t *self, uint64_t guess, int64_t now_us)
{
    double busy_us = (double) umbp_meter_busy_us (self, now_us) + UMBP_METER_GUESS_US;
    return (uint64_t) (((double) self->done * 1e6 + (double) guess * UMBP_METER_GUESS_US)
                       / busy_us);
}

#endif

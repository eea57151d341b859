//  cluster/bulk/clock.h - the clock that all deadlines here are on: milliseconds of
//  CLOCK_MONOTONIC.
#ifndef UMBP_CLOCK_H
#define UMBP_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t umbp_clock_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C (1000) + now.tv_nsec / 1000000;
}

#endif

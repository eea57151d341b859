//  actors/tier/governor.h - how much of its budget background work may have, so that readers do not wait for it. It is
//  told how long each reader waited, keeps a histogram of the last second, and looks every 100 ms: a 95th percentile
//  above the target halves the share, anything else gives 5 % of the whole back (additive increase, multiplicative
//  decrease: D. Chiu, R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer
//  Networks", Computer Networks and ISDN Systems 17(1), 1989).
//
//  Two things keep it from swinging. Fewer than UMBP_GOVERNOR_READS_MIN readers in a second say nothing. And one slow
//  moment halves once: the second that remembers it holds the share, but only a reader who was too slow within
//  the last 100 ms halves it again. It never falls below UMBP_GOVERNOR_SHARE_MIN, so nothing stands still for good.
//
//  A value: one owner, no thread, and the time is the caller's, in milliseconds of a monotonic clock. 10 KiB.
#ifndef UMBP_GOVERNOR_H
#define UMBP_GOVERNOR_H

#include <stdint.h>

#define UMBP_GOVERNOR_WHOLE 1000        //  Shares are per mille
#define UMBP_GOVERNOR_SHARE_MIN 16
#define UMBP_GOVERNOR_STEP_MS 100
#define UMBP_GOVERNOR_READS_MIN 8

typedef struct umbp_governor umbp_governor_t;

//  target_us 0: it measures, and the share is always the whole
umbp_governor_t *umbp_governor_new (uint64_t target_us, int64_t now_ms);
void umbp_governor_destroy (umbp_governor_t **self_p);

//  A reader waited so long. O(1), but for steps that are due.
void umbp_governor_read (umbp_governor_t *self, uint64_t took_us, int64_t now_ms);

//  What background work may have of its budget now
unsigned umbp_governor_share (umbp_governor_t *self, int64_t now_ms);

//  The 95th percentile of the last second, at most an eighth too low; 0: too few readers
uint64_t umbp_governor_p95_us (const umbp_governor_t *self);

//  Readers of the last second
uint32_t umbp_governor_reads (const umbp_governor_t *self);

#endif

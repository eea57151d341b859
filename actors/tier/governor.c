//  actors/tier/governor.c - see governor.h. The histogram is log-linear: eight buckets for each doubling. There is one for
//  each tenth of the last second, and their sum.
#include "actors/tier/governor.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLICES 10                       //  Of UMBP_GOVERNOR_STEP_MS each
#define SUB_BITS 3
#define BUCKETS 256                     //  Up to 2^34 microseconds
#define GROWTH (UMBP_GOVERNOR_WHOLE / 20)
#define IDLE_STEPS                                                                                 \
    (SLICES                                                                                        \
     + UMBP_GOVERNOR_WHOLE / GROWTH) //  After so many without a reader all is as at the start

struct umbp_governor {
    uint64_t target_us;
    int64_t step_at;                    //  When the next one is due
    unsigned share, slice;              //  slice: that of now
    uint32_t counts[SLICES][BUCKETS], sums[BUCKETS];
    uint32_t reads[SLICES], all;
    bool slow;                          //  A reader of this slice waited for longer than the target
};

umbp_governor_t *umbp_governor_new (uint64_t target_us, int64_t now_ms)
{
    umbp_governor_t *self = calloc (1, sizeof (umbp_governor_t));
    assert (self);
    self->target_us = target_us;
    self->share = UMBP_GOVERNOR_WHOLE;
    self->step_at = now_ms + UMBP_GOVERNOR_STEP_MS;
    return self;
}

void umbp_governor_destroy (umbp_governor_t **self_p)
{
    assert (self_p);
    free (*self_p);
    *self_p = NULL;
}

static unsigned s_bucket (uint64_t value)
{
    if (value < 1u << SUB_BITS)
        return (unsigned) value;
    unsigned shift = 63 - (unsigned) __builtin_clzll (value) - SUB_BITS;
    unsigned bucket = (shift << SUB_BITS) + (unsigned) (value >> shift);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

//  The least value of a bucket
static uint64_t s_least (unsigned bucket)
{
    if (bucket < 1u << SUB_BITS)
        return bucket;
    unsigned shift = (bucket >> SUB_BITS) - 1;
    return (uint64_t) (bucket - (shift << SUB_BITS)) << shift;
}

uint64_t umbp_governor_p95_us (const umbp_governor_t *self)
{
    uint32_t rank = self->all - self->all / 20, seen = 0;    //  Of n the ceil (0.95 n)th
    if (self->all < UMBP_GOVERNOR_READS_MIN)
        return 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        seen += self->sums[bucket];
        if (seen >= rank)
            return s_least (bucket);
    }
    return 0;
}

//  Forget what is a second old, and begin with a new tenth of it
static void s_next_slice (umbp_governor_t *self)
{
    self->slice = (self->slice + 1) % SLICES;
    uint32_t *counts = self->counts[self->slice];
    for (unsigned bucket = 0; self->reads[self->slice] && bucket < BUCKETS; bucket++)
        self->sums[bucket] -= counts[bucket];
    if (self->reads[self->slice])
        memset (counts, 0, sizeof self->counts[0]);
    self->all -= self->reads[self->slice];
    self->reads[self->slice] = 0;
    self->slow = false;
}

static void s_step (umbp_governor_t *self)
{
    bool over = self->target_us && umbp_governor_p95_us (self) > self->target_us;
    if (over && self->slow)
        self->share =
            self->share / 2 > UMBP_GOVERNOR_SHARE_MIN ? self->share / 2 : UMBP_GOVERNOR_SHARE_MIN;
    else if (!over)
        self->share =
            self->share + GROWTH < UMBP_GOVERNOR_WHOLE ? self->share + GROWTH : UMBP_GOVERNOR_WHOLE;
    s_next_slice (self);
}

static void s_catch_up (umbp_governor_t *self, int64_t now_ms)
{
    for (int steps = 0; now_ms >= self->step_at && steps < IDLE_STEPS; steps++) {
        s_step (self);
        self->step_at += UMBP_GOVERNOR_STEP_MS;
    }
    if (now_ms >= self->step_at)
        self->step_at = now_ms + UMBP_GOVERNOR_STEP_MS;
}

void umbp_governor_read (umbp_governor_t *self, uint64_t took_us, int64_t now_ms)
{
    s_catch_up (self, now_ms);
    unsigned bucket = s_bucket (took_us);
    self->counts[self->slice][bucket]++;
    self->sums[bucket]++;
    self->reads[self->slice]++;
    self->all++;
    self->slow |= took_us > self->target_us;
}

unsigned umbp_governor_share (umbp_governor_t *self, int64_t now_ms)
{
    s_catch_up (self, now_ms);
    return self->share;
}

uint32_t umbp_governor_reads (const umbp_governor_t *self)
{
    return self->all;
}

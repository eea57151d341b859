//  cluster/silence.h - who let us wait lately: asked after the others for a while, so that a node that has just died
//  delays one question, and not each of them until it is suspect.
//
//  A hint: nodes whose names have the same hash share a place. Safe to use from many threads; all zero is new.
#ifndef UMBP_SILENCE_H
#define UMBP_SILENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <xxhash.h>

#define UMBP_SILENCE_MS 3000            //  Then it is asked in its turn again
#define UMBP_SILENCE_PLACES 1024

typedef struct {
    _Atomic int64_t last;               //  When the last of them is forgotten
    _Atomic int64_t until[UMBP_SILENCE_PLACES];
} umbp_silence_t;

static inline size_t umbp_silence_place (const char *node)
{
    return XXH3_64bits (node, strlen (node)) % UMBP_SILENCE_PLACES;
}

//  It gave no answer. Times are those of one clock, in milliseconds.
static inline void umbp_silence_note (umbp_silence_t *self, const char *node, int64_t now)
{
    self->until[umbp_silence_place (node)] = now + UMBP_SILENCE_MS;
    self->last = now + UMBP_SILENCE_MS;
}

//  Whether anybody was silent lately: else there is no need to ask for each
static inline bool umbp_silence_any (const umbp_silence_t *self, int64_t now)
{
    return self->last > now;
}

static inline bool umbp_silence_is (const umbp_silence_t *self, const char *node, int64_t now)
{
    return umbp_silence_any (self, now) && self->until[umbp_silence_place (node)] > now;
}

#endif

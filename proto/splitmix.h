//  proto/splitmix.h - splitmix64, by Sebastiano Vigna: a stream of well-mixed numbers from one word
//  of state. Good for tests and, seeded from the kernel, for tokens a peer must not guess by
//  counting.
#ifndef UMBP_SPLITMIX_H
#define UMBP_SPLITMIX_H

#include <stdint.h>

static inline uint64_t umbp_splitmix (uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

#endif

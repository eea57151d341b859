//  actors/tier/ghost.h - what left lately: 64-bit fingerprints in the order in which they came. A ring of them, and an
//  open-addressed table of places in the ring. Two blocks of equal fingerprints are one to it, which costs a
//  wrong guess and nothing else. 16 bytes for each it has room for, and 8 for a note of each where these are kept.
//
//  A value: one owner, no thread safety. umbp_ghost_resize alone allocates.
#ifndef UMBP_TIER_GHOST_H
#define UMBP_TIER_GHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t *ring;                     //  0: nothing, or found again meanwhile
    uint64_t *notes;                    //  By place in the ring; NULL: none are kept
    uint32_t *table;                    //  Place in the ring + 1; 0: free
    uint32_t room, first,
        used; //  Places of the ring, a power of two; its oldest; from there to the newest
    uint32_t count;                     //  Fingerprints
    bool noted;                         //  Set before the first resize: notes are kept
} umbp_ghost_t;

//  Room for so many. Never less than before. What is there stays.
void umbp_ghost_resize (umbp_ghost_t *self, uint32_t room);
void umbp_ghost_free (umbp_ghost_t *self);

//  Remember a fingerprint as the newest; the oldest makes room if there is none. 0 counts as 1.
void umbp_ghost_add (umbp_ghost_t *self, uint64_t print, uint64_t note);

//  Whether it is remembered
bool umbp_ghost_has (const umbp_ghost_t *self, uint64_t print);

//  Forget one that is asked for. Returns whether it was there; then its note, or 0, is written.
bool umbp_ghost_take (umbp_ghost_t *self, uint64_t print, uint64_t *note);

//  Forget the oldest until there are so many at most
void umbp_ghost_trim (umbp_ghost_t *self, uint32_t count);

#endif

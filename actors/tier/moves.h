//  actors/tier/moves.h - which blocks moved between tiers lately, so that none goes to and fro: one that moved rests for
//  UMBP_MOVES_REST_MS, and one that moved three times within a minute until that is over. If it had to move once more all
//  the same, it stays where it is for another minute.
//
//  Bounded: UMBP_MOVES_MAX fingerprints in sets of four; of a set the one that moved longest ago makes room. A block
//  that is forgotten so may move once too often, and two of equal fingerprints are one to it: both cost a move
//  and nothing else.
//
//  A value: one owner, no thread, and the time is the caller's, in milliseconds of a monotonic clock.
#ifndef UMBP_MOVES_H
#define UMBP_MOVES_H

#include <stdbool.h>
#include <stdint.h>

#define UMBP_MOVES_MAX 4096
#define UMBP_MOVES_REST_MS 2000
#define UMBP_MOVES_MINUTE_MS 60000
#define UMBP_MOVES_IN_A_MINUTE 3

typedef struct umbp_moves umbp_moves_t;

umbp_moves_t *umbp_moves_new (void);
void umbp_moves_destroy (umbp_moves_t **self_p);

//  A block came from another tier, or went there. Returns true if that was once too often, and it stays for a minute.
bool umbp_moves_note (umbp_moves_t *self, uint64_t print, int64_t now_ms);

//  Whether a block should be left where it is
bool umbp_moves_rests (const umbp_moves_t *self, uint64_t print, int64_t now_ms);

#endif

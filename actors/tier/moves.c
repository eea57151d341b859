//  actors/tier/moves.c - which blocks moved lately, see moves.h
#include "actors/tier/moves.h"

#include <assert.h>
#include <stdlib.h>

#define WAYS 4
#define SETS (UMBP_MOVES_MAX / WAYS)

typedef struct {
    uint64_t print;
    uint32_t count;                     //  Moves that are remembered; 0: free
    int64_t at[UMBP_MOVES_IN_A_MINUTE]; //  The last ones, the latest first
    int64_t stays_until;
} row_t;

struct umbp_moves {
    row_t rows[SETS][WAYS];
};

umbp_moves_t *umbp_moves_new (void)
{
    umbp_moves_t *self = calloc (1, sizeof (umbp_moves_t));
    assert (self);
    return self;
}

void umbp_moves_destroy (umbp_moves_t **self_p)
{
    assert (self_p);
    free (*self_p);
    *self_p = NULL;
}

static uint32_t s_set (uint64_t print)
{
    return (uint32_t) (print * UINT64_C (0x9e3779b97f4a7c15) >> 32) % SETS;
}

//  Its row; else the one that makes room for it: a free one, or that which moved longest ago
static row_t *s_row (umbp_moves_t *self, uint64_t print)
{
    row_t *set = self->rows[s_set (print)], *oldest = set;
    for (row_t *row = set; row < set + WAYS; row++) {
        if (row->count && row->print == print)
            return row;
        if (oldest->count && (!row->count || row->at[0] < oldest->at[0]))
            oldest = row;
    }
    *oldest = (row_t) { .print = print };
    return oldest;
}

//  It moved as often in the last minute as it may
static bool s_is_often (const row_t *row, int64_t now_ms)
{
    return row->count == UMBP_MOVES_IN_A_MINUTE
           && now_ms - row->at[UMBP_MOVES_IN_A_MINUTE - 1] < UMBP_MOVES_MINUTE_MS;
}

bool umbp_moves_note (umbp_moves_t *self, uint64_t print, int64_t now_ms)
{
    row_t *row = s_row (self, print);
    bool often = s_is_often (row, now_ms);
    if (often)
        row->stays_until = now_ms + UMBP_MOVES_MINUTE_MS;
    for (uint32_t index = UMBP_MOVES_IN_A_MINUTE - 1; index > 0; index--)
        row->at[index] = row->at[index - 1];
    row->at[0] = now_ms;
    row->count += row->count < UMBP_MOVES_IN_A_MINUTE;
    return often;
}

bool umbp_moves_rests (const umbp_moves_t *self, uint64_t print, int64_t now_ms)
{
    const row_t *set = self->rows[s_set (print)];
    for (const row_t *row = set; row < set + WAYS; row++)
        if (row->count && row->print == print)
            return now_ms - row->at[0] < UMBP_MOVES_REST_MS || s_is_often (row, now_ms)
                   || now_ms < row->stays_until;
    return false;
}

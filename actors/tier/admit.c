//  actors/tier/admit.c - what is worth a place in the tier below, see admit.h
#include "actors/tier/admit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "actors/tier/ghost.h"

#define SMOOTH 16                       //  A new interval counts for so much less than the mean

typedef enum { ALL, SECOND, AUTO } rule_t;

struct umbp_admit {
    rule_t rule;
    umbp_ghost_t ghosts;
    umbp_admit_stats_t stats;
};

umbp_admit_t *umbp_admit_new (const char *rule, uint32_t ghosts)
{
    static const char *const names[] = {
        [ALL] = "all", [SECOND] = "second-touch", [AUTO] = "auto"
    };
    for (rule_t number = ALL; number <= AUTO; number++) {
        if (strcmp (names[number], rule) != 0)
            continue;
        umbp_admit_t *self = calloc (1, sizeof (umbp_admit_t));
        assert (self);
        self->rule = number;
        self->ghosts.noted = true;
        if (number != ALL)
            umbp_ghost_resize (&self->ghosts, ghosts);
        self->stats.strict = number == SECOND;
        return self;
    }
    return NULL;
}

void umbp_admit_destroy (umbp_admit_t **self_p)
{
    assert (self_p);
    if (*self_p)
        umbp_ghost_free (&(*self_p)->ghosts);
    free (*self_p);
    *self_p = NULL;
}

bool umbp_admit_came (umbp_admit_t *self, uint64_t print, int64_t now_ms)
{
    uint64_t left_at;
    if (!umbp_ghost_take (&self->ghosts, print, &left_at))
        return false;
    uint64_t took = now_ms > (int64_t) left_at ? (uint64_t) now_ms - left_at : 1;
    uint64_t mean = self->stats.again ? self->stats.reuse_ms : took;
    self->stats.reuse_ms = mean - mean / SMOOTH + took / SMOOTH;
    self->stats.again++;
    return true;
}

void umbp_admit_set_stay (umbp_admit_t *self, uint64_t stay_ms)
{
    self->stats.stay_ms = stay_ms;
}

static bool s_is_strict (const umbp_admit_t *self, bool in_debt)
{
    const umbp_admit_stats_t *is = &self->stats;
    return self->rule == SECOND
           || (self->rule == AUTO
               && (in_debt || (is->stay_ms && is->again && is->stay_ms < is->reuse_ms)));
}

static bool s_is_worth (const umbp_admit_block_t *block, bool strict)
{
    return block->keep || block->below || (!block->once && (block->touched || !strict));
}

bool umbp_admit_would (const umbp_admit_t *self, const umbp_admit_block_t *block, bool in_debt)
{
    return s_is_worth (block, s_is_strict (self, in_debt));
}

bool umbp_admit_leaves (umbp_admit_t *self, const umbp_admit_block_t *block, bool in_debt,
                        int64_t now_ms)
{
    self->stats.strict = s_is_strict (self, in_debt);
    bool fine = s_is_worth (block, self->stats.strict);
    if (!block->once)
        umbp_ghost_add (&self->ghosts, block->print, (uint64_t) now_ms);
    self->stats.refused += !fine;
    return fine;
}

umbp_admit_stats_t umbp_admit_stats (const umbp_admit_t *self)
{
    return self->stats;
}

//  cluster/bulk/spin.c - whether to spin or to sleep. See spin.h for the rules.
#include "cluster/bulk/spin.h"

void umbp_spin_init (umbp_spin_t *self, uint32_t max_us)
{
    *self = (umbp_spin_t) {
        .max_us = max_us,
        .rest_us = UMBP_SPIN_REST_MIN_US,
        .score = UMBP_SPIN_SCORE_MAX,
    };
}

static void s_score (umbp_spin_t *self, bool soon)
{
    if (soon)
        self->score = self->score + UMBP_SPIN_GAIN < UMBP_SPIN_SCORE_MAX
                          ? self->score + UMBP_SPIN_GAIN
                          : UMBP_SPIN_SCORE_MAX;
    else if (self->score > 0)
        self->score--;
    if (self->score == 0)
        self->off = true;
    else if (self->score >= UMBP_SPIN_SCORE_BACK)
        self->off = false;
}

static void s_rest (umbp_spin_t *self, int64_t now_us)
{
    self->rests++;
    self->row = 0;
    self->rest_end_us = now_us + self->rest_us;
    if (self->rest_us < UMBP_SPIN_REST_MAX_US)
        self->rest_us *= UMBP_SPIN_REST_FACTOR;
}

bool umbp_spin_begin (umbp_spin_t *self, int64_t now_us)
{
    if (self->max_us == 0)
        return false;
    self->begun_us = self->last_us = now_us;
    self->waiting = true;
    self->spinning = !self->off && now_us >= self->rest_end_us;
    return self->spinning;
}

bool umbp_spin_again (umbp_spin_t *self, int64_t now_us)
{
    int64_t look_us = now_us - self->last_us;
    self->last_us = now_us;
    if (look_us > UMBP_SPIN_LOST_US) {
        s_rest (self, now_us);
        self->spinning = false;
        return false;
    }
    self->spent_us += (uint64_t) look_us;
    if (now_us - self->begun_us <= self->max_us)
        return true;
    self->vain++;
    s_score (self, false);
    self->spinning = self->waiting = false;                  //  This wait has been judged
    return false;
}

void umbp_spin_found (umbp_spin_t *self, int64_t now_us)
{
    if (!self->waiting)
        return;
    if (self->spinning) {
        self->paid++;
        if (++self->row % UMBP_SPIN_REWARD == 0 && self->rest_us > UMBP_SPIN_REST_MIN_US)
            self->rest_us /= UMBP_SPIN_REST_FACTOR;
        s_score (self, true);
    } else
        s_score (self, now_us - self->begun_us <= (int64_t) self->max_us + UMBP_SPIN_WAKE_US);
    self->spinning = self->waiting = false;
}

//  actors/tier/budget.c - bytes that may go over an edge between two tiers, see budget.h
#include "actors/tier/budget.h"

#define REFILL_MS 5                     //  Less would be rounded away

umbp_budget_t umbp_budget (uint64_t rate, int64_t now_ms)
{
    return (umbp_budget_t) { .rate = (int64_t) rate, .share = UMBP_BUDGET_WHOLE, .at = now_ms };
}

//  Of a rate so much may be saved
static int64_t s_most (int64_t rate)
{
    return rate / 1000 * UMBP_BUDGET_BURST_MS;
}

static int64_t s_added (int64_t budget, int64_t rate, int64_t ms)
{
    int64_t all = UMBP_BUDGET_DEBT_MS + UMBP_BUDGET_BURST_MS;
    budget += rate * (ms < all ? ms : all) / 1000;
    return budget < s_most (rate) ? budget : s_most (rate);
}

static int64_t s_calm_rate (const umbp_budget_t *self)
{
    return self->rate * self->share / UMBP_BUDGET_WHOLE;
}

void umbp_budget_refill (umbp_budget_t *self, int64_t now_ms)
{
    int64_t ms = now_ms - self->at;
    if (ms < REFILL_MS)
        return;
    self->left = s_added (self->left, self->rate, ms);
    self->calm = s_added (self->calm, s_calm_rate (self), ms);
    self->at = now_ms;
}

void umbp_budget_set_share (umbp_budget_t *self, unsigned share, int64_t now_ms)
{
    umbp_budget_refill (self, now_ms);
    self->share = share;
}

bool umbp_budget_may (const umbp_budget_t *self)
{
    return self->rate == 0 || (self->left > 0 && self->calm > 0);
}

bool umbp_budget_is_full (const umbp_budget_t *self)
{
    return self->rate == 0
           || (self->left >= s_most (self->rate) && self->calm >= s_most (s_calm_rate (self)));
}

void umbp_budget_pay (umbp_budget_t *self, bool calm, uint64_t bytes)
{
    int64_t least = -(self->rate / 1000 * UMBP_BUDGET_DEBT_MS), left = self->left - (int64_t) bytes;
    self->left = left > least ? left : least;
    self->calm -= calm ? (int64_t) bytes : 0;
}

int64_t umbp_budget_debt_ms (const umbp_budget_t *self)
{
    return self->rate && self->left < 0 ? -self->left * 1000 / self->rate : 0;
}

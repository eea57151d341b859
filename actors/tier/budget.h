//  actors/tier/budget.h - bytes that may go over the edge between two tiers, one way: a token bucket (J. Turner, "New
//  Directions in Communications", IEEE Communications Magazine 24(10), 1986).
//
//  Three classes, see shift.h. What presses goes whatever was saved, but counts: all else waits until it is made up for,
//  UMBP_BUDGET_DEBT_MS of the rate at most. What is calm goes while there is something left of the rate, and of the
//  share of it that the owner sets; so does what is idle, while the bucket is full: nothing went lately.
//
//  In any time of T ms, of what does not press at most rate * (T + UMBP_BUDGET_BURST_MS) / 1000 bytes go, and one
//  block: that which used up the last token.
//
//  A value: one owner, no thread, and the time is the caller's, in milliseconds of a monotonic clock.
#ifndef UMBP_BUDGET_H
#define UMBP_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define UMBP_BUDGET_BURST_MS 100        //  So long a budget may be saved
#define UMBP_BUDGET_DEBT_MS 2000        //  ... and so much of it be owed
#define UMBP_BUDGET_WHOLE 1000          //  Shares are per mille

typedef struct {
    int64_t rate;                       //  Bytes a second; 0: no bound
    int64_t left, calm;                 //  Bytes that may go now, below 0 a debt; of what does not press
    int64_t at;                         //  Since when
    unsigned share;                     //  What does not press has so much of the rate
} umbp_budget_t;

umbp_budget_t umbp_budget (uint64_t rate, int64_t now_ms);
void umbp_budget_set_share (umbp_budget_t *self, unsigned share, int64_t now_ms);

//  What came in until now; called before the questions below
void umbp_budget_refill (umbp_budget_t *self, int64_t now_ms);

//  Whether a block that does not press may go; and whether nothing went lately, so that an idle one may
bool umbp_budget_may (const umbp_budget_t *self);
bool umbp_budget_is_full (const umbp_budget_t *self);

//  A block goes
void umbp_budget_pay (umbp_budget_t *self, bool calm, uint64_t bytes);

//  How long nothing but what presses can go, for what went already
int64_t umbp_budget_debt_ms (const umbp_budget_t *self);

#endif

//  actors/pressure/level.c - one number for how short of memory a node is. See level.h.
#include "actors/pressure/level.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

#define NEVER INT64_MIN
#define EVENT_MS 2000                   //  A counter of the kernel that moved counts for so long
#define TIERS 5
#define HBM 1

struct umbp_level {
    umbp_level_marks_t marks;
    unsigned level;
    int64_t since, stall_at;            //  stall_at: when tasks last stood still, worth level 1
    int64_t enter_since[UMBP_LEVEL_MAX + 1];    //  NEVER: what calls for it does not hold
    int64_t leave_since[UMBP_LEVEL_MAX + 1];    //  NEVER: something still speaks for it
    bool begun;
    uint64_t high, max;
    int64_t high_until, max_until;
    umbp_cause_t cause;
    char why[UMBP_LEVEL_WHY];
    uint64_t changes;
};

void umbp_level_marks_init (umbp_level_marks_t *marks)
{
    *marks = (umbp_level_marks_t) {
        .tier_enter = { 850, 900, 950, 980 },
        .tier_leave = { 800, 850, 900, 950 },
        .device_enter = { 850, 900, 950, 980 },
        .device_leave = { 800, 850, 900, 950 },
        .some = { 75, 150, 0, 0 },
        .full = { 0, 0, 50, 200 },
        .available = { 100, 70, 40, 0 },
        .margin = 10,
        .rise_ms = 1000,
        .fall_ms = 5000,
        .quiet_ms = 10000,
    };
}

int umbp_level_marks_read (const char *text, unsigned out[UMBP_LEVEL_MAX])
{
    unsigned marks[UMBP_LEVEL_MAX] = { 0 };
    size_t level = 0;
    for (const char *at = text; level < UMBP_LEVEL_MAX; level++) {
        unsigned whole = 0, tenth = 0, digits = 0;
        if (*at == '-')
            at++;
        else {
            for (; *at >= '0' && *at <= '9' && digits < 4; at++, digits++)
                whole = whole * 10 + (unsigned) (*at - '0');
            if (digits == 0 || whole > 100)
                return UMBP_EINVAL;
            if (*at == '.' && at[1] >= '0' && at[1] <= '9') {
                tenth = (unsigned) (at[1] - '0');
                at += 2;
            }
            if (whole * 10 + tenth > 1000)
                return UMBP_EINVAL;
            marks[level] = whole * 10 + tenth;
        }
        if (*at == 0) {
            memcpy (out, marks, sizeof marks);
            return 0;
        }
        if (*at++ != ',')
            return UMBP_EINVAL;
    }
    return UMBP_EINVAL;
}

//  Each mark above the one before it, or below for what is left; those that are 0 are not there
static bool s_is_sorted (const unsigned marks[UMBP_LEVEL_MAX], bool rising)
{
    unsigned last = 0;
    for (size_t level = 0; level < UMBP_LEVEL_MAX; level++) {
        if (marks[level] == 0)
            continue;
        if (last && (rising ? marks[level] < last : marks[level] > last))
            return false;
        last = marks[level];
    }
    return true;
}

//  A mark to leave for each to enter, and not above it
static bool s_are_pairs (const unsigned enter[UMBP_LEVEL_MAX], const unsigned leave[UMBP_LEVEL_MAX])
{
    bool fine = true;
    for (size_t level = 0; level < UMBP_LEVEL_MAX; level++)
        fine = fine && (enter[level] > 0) == (leave[level] > 0) && leave[level] <= enter[level];
    return fine;
}

int umbp_level_marks_check (const umbp_level_marks_t *marks, const char **why)
{
    *why = NULL;
    if (!s_are_pairs (marks->tier_enter, marks->tier_leave)
        || !s_are_pairs (marks->device_enter, marks->device_leave))
        *why = "each level has a mark to enter and one to leave, which is not higher";
    if (!s_is_sorted (marks->tier_enter, true) || !s_is_sorted (marks->tier_leave, true))
        *why = "marks of a tier must not fall from level to level";
    else if (!s_is_sorted (marks->device_enter, true) || !s_is_sorted (marks->device_leave, true))
        *why = "marks of devices must not fall from level to level";
    else if (!s_is_sorted (marks->some, true) || !s_is_sorted (marks->full, true))
        *why = "marks of stalls must not fall from level to level";
    else if (!s_is_sorted (marks->available, false))
        *why = "marks of what is available must not rise from level to level";
    return *why ? UMBP_EINVAL : 0;
}

umbp_level_t *umbp_level_new (const umbp_level_marks_t *marks)
{
    umbp_level_t *self = calloc (1, sizeof (umbp_level_t));
    assert (self);
    self->marks = *marks;
    self->stall_at = self->high_until = self->max_until = NEVER;
    for (size_t level = 0; level <= UMBP_LEVEL_MAX; level++)
        self->enter_since[level] = self->leave_since[level] = NEVER;
    return self;
}

void umbp_level_destroy (umbp_level_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

//  ------------------------------------------------------------------------------------------------
//  Signals

//  What calls for a level, and in words
typedef struct {
    umbp_cause_t cause;
    char why[UMBP_LEVEL_WHY];
} call_t;

static void s_call (call_t *call, umbp_cause_t cause, const char *what, unsigned value,
                    const char *than, unsigned mark)
{
    if (call->cause != UMBP_CAUSE_NONE)
        return;
    call->cause = cause;
    snprintf (call->why, sizeof call->why, "%s %u.%u %% %s %u.%u %%", what, value / 10, value % 10,
              than, mark / 10, mark % 10);
}

static void s_call_word (call_t *call, const char *what)
{
    if (call->cause != UMBP_CAUSE_NONE)
        return;
    call->cause = UMBP_CAUSE_HOST;
    snprintf (call->why, sizeof call->why, "%s", what);
}

//  Whether something calls for this level now
static bool s_enters (const umbp_level_t *self, unsigned level, int64_t now,
                      const umbp_signals_t *in, call_t *call)
{
    static const char *const names[TIERS] = { "", "device memory", "tier dram", "tier nvme",
                                              "tier shared" };
    const umbp_level_marks_t *marks = &self->marks;
    size_t at = level - 1;
    *call = (call_t) { .cause = UMBP_CAUSE_NONE };
    for (size_t tier = HBM + 1; tier < TIERS; tier++)
        if (marks->tier_enter[at] && in->tiers[tier] >= marks->tier_enter[at])
            s_call (call, UMBP_CAUSE_TIER, names[tier], in->tiers[tier],
                    ">=", marks->tier_enter[at]);
    if (marks->available[at] && in->available < marks->available[at])
        s_call (call, UMBP_CAUSE_HOST, "memory available", in->available, "<",
                marks->available[at]);
    if (marks->some[at] && in->some >= marks->some[at])
        s_call (call, UMBP_CAUSE_HOST, "stalls of some tasks", in->some, ">=", marks->some[at]);
    if (marks->full[at] && in->full >= marks->full[at])
        s_call (call, UMBP_CAUSE_HOST, "stalls of all tasks", in->full, ">=", marks->full[at]);
    if (level == 2 && self->high_until > now)
        s_call_word (call, "cgroup: memory.high was passed");
    //  A limit that is hit while much is left is the page cache's business
    if (level == 4 && self->max_until > now && in->available < marks->available[2])
        s_call_word (call, "cgroup: the limit was hit");
    if (level == 4 && in->failed)
        s_call_word (call, "an allocation failed");
    if (marks->device_enter[at] && in->tiers[HBM] >= marks->device_enter[at])
        s_call (call, UMBP_CAUSE_DEVICE, names[HBM], in->tiers[HBM], ">=", marks->device_enter[at]);
    return call->cause != UMBP_CAUSE_NONE;
}

//  Whether nothing speaks for a level any more: all is below the lower marks
static bool s_leaves (const umbp_level_t *self, unsigned level, int64_t now,
                      const umbp_signals_t *in)
{
    const umbp_level_marks_t *marks = &self->marks;
    size_t at = level - 1;
    call_t call;
    for (size_t tier = 1; tier < TIERS; tier++) {
        unsigned mark = tier == HBM ? marks->device_leave[at] : marks->tier_leave[at];
        if (mark && in->tiers[tier] >= mark)
            return false;
    }
    if (marks->available[at] && in->available < marks->available[at] + marks->margin)
        return false;
    if (level == 1 && self->stall_at != NEVER && now - self->stall_at < (int64_t) marks->quiet_ms)
        return false;
    return !s_enters (self, level, now, in, &call);
}

static void s_count (umbp_level_t *self, int64_t now, const umbp_signals_t *in)
{
    if (self->begun && in->high > self->high)
        self->high_until = now + EVENT_MS;
    if (self->begun && in->max > self->max)
        self->max_until = now + EVENT_MS;
    self->high = in->high;
    self->max = in->max;
    if (!self->begun)
        self->since = now;
    self->begun = true;
    const umbp_level_marks_t *marks = &self->marks;
    if ((marks->some[0] && in->some >= marks->some[0])
        || (marks->full[2] && in->full >= marks->full[2]))
        self->stall_at = now;
}

static void s_set (umbp_level_t *self, unsigned level, int64_t now)
{
    if (level == self->level)
        return;
    self->level = level;
    self->since = now;
    self->changes++;
}

unsigned umbp_level_update (umbp_level_t *self, int64_t now, const umbp_signals_t *signals)
{
    unsigned wanted = 0;
    call_t calls[UMBP_LEVEL_MAX + 1] = { { .cause = UMBP_CAUSE_NONE } };
    bool above = false;
    s_count (self, now, signals);
    for (unsigned level = UMBP_LEVEL_MAX; level > 0; level--) {
        bool enters = s_enters (self, level, now, signals, &calls[level]);
        if (above && !enters)
            calls[level] = calls[level + 1];         //  What calls for more calls for this
        above = above || enters;
        if (!above)
            self->enter_since[level] = NEVER;
        else if (self->enter_since[level] == NEVER)
            self->enter_since[level] = now;
        if (!s_leaves (self, level, now, signals) || above)
            self->leave_since[level] = NEVER;
        else if (self->leave_since[level] == NEVER)
            self->leave_since[level] = now;
        bool held = above && now - self->enter_since[level] >= (int64_t) self->marks.rise_ms;
        if (held && level > wanted)
            wanted = level;
    }
    if (wanted > self->level)
        s_set (self, wanted, now);
    else if (self->level > 0 && self->leave_since[self->level] != NEVER) {
        int64_t from = self->leave_since[self->level];
        from = from > self->since ? from : self->since;
        if (now - from >= (int64_t) self->marks.fall_ms)
            s_set (self, self->level - 1, now);
    }
    const call_t *call = &calls[self->level];
    if (self->level == 0) {
        self->cause = UMBP_CAUSE_NONE;
        self->why[0] = 0;
    } else if (call->cause != UMBP_CAUSE_NONE) {     //  Else what it was stays the reason
        self->cause = call->cause;
        memcpy (self->why, call->why, sizeof self->why);
    }
    return self->level;
}

//  ------------------------------------------------------------------------------------------------
//  What it is

unsigned umbp_level_now (const umbp_level_t *self)
{
    return self->level;
}

int64_t umbp_level_since (const umbp_level_t *self)
{
    return self->since;
}

umbp_cause_t umbp_level_cause (const umbp_level_t *self)
{
    return self->cause;
}

const char *umbp_level_why (const umbp_level_t *self)
{
    return self->why;
}

uint64_t umbp_level_changes (const umbp_level_t *self)
{
    return self->changes;
}

const char *umbp_level_name (unsigned level)
{
    static const char *const names[] = { "normal", "elevated", "high", "critical", "emergency" };
    return level <= UMBP_LEVEL_MAX ? names[level] : "?";
}

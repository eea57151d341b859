//  actors/pressure/ladder.c - what to do next about a level of pressure. See ladder.h.
#include "actors/pressure/ladder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/quotas.h"

#define NEVER INT64_MIN

typedef struct {
    char name[UMBP_NAME_MAX + 1];
} victim_t;

struct umbp_ladder {
    int64_t relaxed_at, reduced_at, victim_at;       //  NEVER: not at this height of the level
    unsigned tried;                     //  The highest step that was tried since the level was 0
    victim_t victims[UMBP_TENANTS_MAX]; //  Suspended, in the order in which they were
    size_t count;
};

umbp_ladder_t *umbp_ladder_new (void)
{
    umbp_ladder_t *self = calloc (1, sizeof (umbp_ladder_t));
    assert (self);
    self->relaxed_at = self->reduced_at = self->victim_at = NEVER;
    return self;
}

void umbp_ladder_destroy (umbp_ladder_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

static bool s_is_victim (const umbp_ladder_t *self, const char *name)
{
    for (size_t index = 0; index < self->count; index++)
        if (strcmp (self->victims[index].name, name) == 0)
            return true;
    return false;
}

//  ------------------------------------------------------------------------------------------------
//  Who is next

static uint64_t s_over (const umbp_ladder_tenant_t *who)
{
    return who->bytes > who->limit ? who->bytes - who->limit : 0;
}

static uint64_t s_gain (const umbp_ladder_tenant_t *who)
{
    return who->blocks ? who->bytes / who->blocks : 0;
}

//  Whether one goes before the other
static bool s_is_before (const umbp_ladder_tenant_t *one, const umbp_ladder_tenant_t *other)
{
    if (one->qos != other->qos)
        return one->qos < other->qos;
    if (s_over (one) != s_over (other))
        return s_over (one) > s_over (other);
    if (s_gain (one) != s_gain (other))
        return s_gain (one) > s_gain (other);
    return strcmp (one->name, other->name) < 0;
}

//  The lowest tenant for a step, NULL if there is none. To suspend: one that is not. To drop: any that
//  has blocks.
static const umbp_ladder_tenant_t *s_lowest (const umbp_ladder_t *self, umbp_step_t step,
                                             const umbp_ladder_tenant_t *tenants, size_t count)
{
    bool others = false;                //  That are not critical, and hold something
    const umbp_ladder_tenant_t *best = NULL;
    for (size_t index = 0; index < count; index++)
        others = others || (tenants[index].qos < UMBP_QOS_CRITICAL && tenants[index].bytes > 0);
    for (size_t index = 0; index < count; index++) {
        const umbp_ladder_tenant_t *who = &tenants[index];
        if (who->bytes == 0 || (others && who->qos >= UMBP_QOS_CRITICAL)
            || (step == UMBP_STEP_SUSPEND && s_is_victim (self, who->name)))
            continue;
        if (!best || s_is_before (who, best))
            best = who;
    }
    return best;
}

static bool s_take (umbp_ladder_t *self, umbp_step_t step, const umbp_ladder_tenant_t *who,
                    int64_t now, umbp_action_t *out)
{
    self->victim_at = now;
    out->step = step;
    memcpy (out->tenant, who->name, sizeof out->tenant);
    if (!s_is_victim (self, who->name) && self->count < UMBP_TENANTS_MAX)
        memcpy (self->victims[self->count++].name, who->name, sizeof who->name);
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  Steps

static bool s_is_due (int64_t last, int64_t now, int64_t pause_ms)
{
    return last == NEVER || now - last >= pause_ms;
}

static bool s_resume (umbp_ladder_t *self, int64_t now, umbp_action_t *out)
{
    if (self->count == 0 || !s_is_due (self->victim_at, now, UMBP_LADDER_VICTIM_MS))
        return false;
    self->victim_at = now;
    out->step = UMBP_STEP_RESUME;
    memcpy (out->tenant, self->victims[--self->count].name, sizeof out->tenant);
    return true;
}

//  Steps 1 and 2. Whoever was not there yet is taken at once, and again after a pause.
static bool s_gentle (umbp_ladder_t *self, int64_t now, unsigned level, umbp_action_t *out)
{
    if (level >= 1 && s_is_due (self->relaxed_at, now, UMBP_LADDER_RELAX_MS)) {
        self->relaxed_at = now;
        out->step = UMBP_STEP_RELAX;
    } else if (level >= 2 && s_is_due (self->reduced_at, now, UMBP_LADDER_REDUCE_MS)) {
        self->reduced_at = now;
        out->step = UMBP_STEP_REDUCE;
    }
    if (out->step > self->tried)
        self->tried = out->step;
    return out->step != UMBP_STEP_NONE;
}

bool umbp_ladder_next (umbp_ladder_t *self, int64_t now, unsigned level, bool failed,
                       const umbp_ladder_tenant_t *tenants, size_t count, umbp_action_t *out)
{
    *out = (umbp_action_t) { .step = UMBP_STEP_NONE };
    if (level == 0) {
        self->tried = 0;
        self->relaxed_at = self->reduced_at = NEVER;
    }
    bool skip = failed && level >= 4 && self->tried < UMBP_STEP_SUSPEND;
    if (!skip && s_gentle (self, now, level, out))
        return true;
    if (level < 3)
        return s_resume (self, now, out);
    if (!s_is_due (self->victim_at, now, UMBP_LADDER_VICTIM_MS))
        return false;
    //  At level 4 a tenant is suspended first, then dropped, so that what is dropped does not come back
    const umbp_ladder_tenant_t *who = NULL;
    if (level >= 4 && (self->tried >= UMBP_STEP_SUSPEND || skip)
        && (who = s_lowest (self, UMBP_STEP_DROP, tenants, count))) {
        self->tried = UMBP_STEP_DROP;
        return s_take (self, UMBP_STEP_DROP, who, now, out);
    }
    self->tried = UMBP_STEP_SUSPEND;    //  Tried, also if there is nobody
    who = s_lowest (self, UMBP_STEP_SUSPEND, tenants, count);
    return who && s_take (self, UMBP_STEP_SUSPEND, who, now, out);
}

size_t umbp_ladder_suspended (const umbp_ladder_t *self)
{
    return self->count;
}

const char *umbp_step_name (unsigned step)
{
    static const char *const names[] = {
        "none", "relax", "reduce", "suspend", "drop", "resume", "grow",
    };
    return step < sizeof names / sizeof *names ? names[step] : "?";
}

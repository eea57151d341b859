//  actors/pressure_act.c - what is done about pressure: the steps of the ladder, taken or only noted, and memory that is
//  taken again when all is calm.
#include "actors/pressure_self.h"

#include <inttypes.h>
#include <malloc.h>

#include "cluster/topology.h"

#define SHRINK_PART 16                  //  Of its memory a tier gives back at once, at least
#define GROW_PART 8                     //  ... and takes again at once
#define GROW_SPARE 50                   //  Per mille beyond the first mark that must be left then

//  ------------------------------------------------------------------------------------------------
//  Steps

static bool s_is_noted (const umbp_pressure_t *self, umbp_step_t step, const char *tenant)
{
    for (uint64_t back = 1; back <= UMBP_PRESSURE_STEPS_MAX && back <= self->steps[0]; back++) {
        const taken_t *taken = &self->taken[(self->steps[0] - back) % UMBP_PRESSURE_STEPS_MAX];
        if (taken->at < umbp_level_since (self->level))
            return false;
        if (taken->step == step && streq (taken->tenant, tenant))
            return true;
    }
    return false;
}

static void s_note (umbp_pressure_t *self, umbp_step_t step, const char *tenant)
{
    bool done = self->mode == UMBP_PRESSURE_ACT;
    unsigned level = umbp_level_now (self->level);
    self->steps[step]++;
    self->observed += !done;
    if (s_is_noted (self, step, tenant))
        return;                         //  Again and again at this level: counted, and said once
    taken_t *taken = &self->taken[self->steps[0]++ % UMBP_PRESSURE_STEPS_MAX];
    *taken = (taken_t) { .step = step, .at = zclock_mono (), .done = done };
    snprintf (taken->tenant, sizeof taken->tenant, "%s", tenant);
    if (step == UMBP_STEP_RELAX || step == UMBP_STEP_REDUCE || step == UMBP_STEP_GROW)
        zsys_info ("pressure: %s%s: level=%u why=\"%s\"", done ? "" : "would ",
                   umbp_step_name (step), level, umbp_level_why (self->level));
    else
        zsys_warning ("pressure: %s%s tenant=%s: level=%u why=\"%s\"", done ? "" : "would ",
                      umbp_step_name (step), *tenant ? tenant : "(default)", level,
                      umbp_level_why (self->level));
}

void umbp_pressure_tell_level (umbp_pressure_t *self, const char *actor)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_relax, 0);
    msg.relax.level = umbp_level_now (self->level);
    umbp_post_tell (self->post, actor, NULL, &msg);
}

static void s_on_heard (void *arg, uint64_t tag, int status, const umbp_mail_t *mail)
{
    (void) tag;
    (void) mail;
    umbp_pressure_t *self = arg;
    self->unheard += status < 0;
}

static void umbp_pressure_ask (umbp_pressure_t *self, const char *actor, umbp_msg_t *msg)
{
    if (umbp_post_ask (self->post, actor, NULL, msg, NULL, 0, UMBP_PRESSURE_ASK_MS, s_on_heard, 0)
        < 0)
        self->unheard++;
}

//  The tier shall hold so many bytes less, but not less than it keeps
static void s_shrink (umbp_pressure_t *self, uint64_t bytes)
{
    uint64_t least = self->tier.made / 100 * self->keep;
    uint64_t goal = self->tier.total > bytes ? self->tier.total - bytes : 0;
    goal = goal > least ? goal : least;
    if (!self->tier.known || goal >= self->tier.total || goal == 0)
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_balloon, 0);
    msg.balloon.capacity = goal;
    umbp_pressure_ask (self, UMBP_PRESSURE_TIER, &msg);
}

static void s_reduce (umbp_pressure_t *self)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = UMBP_TIER_DRAM;    //  Down to the low mark
    umbp_pressure_ask (self, "eviction", &msg);
    if (umbp_level_cause (self->host) != UMBP_CAUSE_HOST)
        return;
    unsigned wanted = self->marks.available[0] + self->marks.margin;
    uint64_t missing = umbp_memory_missing (&self->memory, wanted);
    uint64_t part = self->tier.made / SHRINK_PART;
    s_shrink (self, missing > part ? missing : part);
}

static void umbp_pressure_suspend (umbp_pressure_t *self, const char *tenant, bool on)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_suspend, 0);
    msg.suspend.tenant = umbp_text (tenant);
    msg.suspend.on = on;
    umbp_pressure_ask (self, UMBP_PRESSURE_TIER, &msg);
}

static void s_drop_more (umbp_pressure_t *self, drop_t *drop);

static void s_on_dropped (void *arg, uint64_t number, int status, const umbp_mail_t *mail)
{
    umbp_pressure_t *self = arg;
    drop_t *drop = &self->drops[number];
    bool fine = status == 0 && mail && mail->msg->type == UMBP_MSG_evict_ok;
    self->unheard += !fine;
    if (fine)
        self->dropped_blocks += mail->msg->evict_ok.blocks;
    if (fine && mail->msg->evict_ok.blocks > 0)
        s_drop_more (self, drop);
    else
        drop->used = false;             //  All that could go has gone: the rest is held by readers
}

static void s_drop_more (umbp_pressure_t *self, drop_t *drop)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = UMBP_TIER_DRAM;
    msg.evict.bytes = UINT64_MAX;
    msg.evict.own = true;
    msg.evict.tenant = umbp_text (drop->tenant);
    drop->used = umbp_post_ask (self->post, UMBP_PRESSURE_TIER, NULL, &msg, NULL, 0,
                                UMBP_PRESSURE_ASK_MS, s_on_dropped, (uint64_t) (drop - self->drops))
                 == 0;
}

static void s_drop (umbp_pressure_t *self, const char *tenant)
{
    size_t place = 0;
    while (place < UMBP_TENANTS_MAX && self->drops[place].used)
        place++;
    if (place == UMBP_TENANTS_MAX)
        return;                         //  It is chosen again, in a second
    snprintf (self->drops[place].tenant, sizeof self->drops[place].tenant, "%s", tenant);
    s_drop_more (self, &self->drops[place]);
    if (umbp_level_cause (self->host) == UMBP_CAUSE_HOST)
        s_shrink (self, self->tier.total);
}

void umbp_pressure_act (umbp_pressure_t *self, const umbp_action_t *action)
{
    s_note (self, action->step, action->tenant);
    if (self->mode != UMBP_PRESSURE_ACT)
        return;
    switch (action->step) {
    case UMBP_STEP_RELAX:
        umbp_pressure_tell_level (self, "router");  //  Which tells clients
        malloc_trim (0);
        return;
    case UMBP_STEP_REDUCE: s_reduce (self); return;
    case UMBP_STEP_DROP:
        umbp_pressure_suspend (self, action->tenant, true);
        s_drop (self, action->tenant);
        return;
    case UMBP_STEP_SUSPEND: umbp_pressure_suspend (self, action->tenant, true); return;
    case UMBP_STEP_RESUME: umbp_pressure_suspend (self, action->tenant, false); return;
    case UMBP_STEP_GROW:
    case UMBP_STEP_NONE: return;
    }
}

//  Take memory again when all has been calm for long enough, and enough would be left
void umbp_pressure_grow (umbp_pressure_t *self, int64_t now)
{
    uint64_t most =
        self->ceiling && self->ceiling < self->tier.made ? self->ceiling : self->tier.made;
    uint64_t step = self->tier.made / GROW_PART;
    if (self->mode != UMBP_PRESSURE_ACT || !self->tier.known || self->tier.total >= most
        || umbp_level_now (self->host) > 0
        || now - umbp_level_since (self->host) < (int64_t) self->calm_ms
        || now - self->grown_at < (int64_t) self->calm_ms)
        return;
    step = step < most - self->tier.total ? step : most - self->tier.total;
    umbp_memory_t then = self->memory;
    then.used += step;
    then.host_available -= step < then.host_available ? step : then.host_available;
    self->grown_at = now;
    if (umbp_memory_missing (&then, self->marks.available[0] + GROW_SPARE) > 0)
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_balloon, 0);
    msg.balloon.capacity = self->tier.total + step;
    s_note (self, UMBP_STEP_GROW, "");
    umbp_pressure_ask (self, UMBP_PRESSURE_TIER, &msg);
}

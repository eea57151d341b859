//  actors/pressure.c - the pressure actor.
//
//  State   the level and the ladder (values); what the host and the tiers said last; the last steps.
//  Rules   A step is logged and kept in mind whether it is taken or, in mode observe, would have been. What a step
//          asks others for is not waited for: the signals say whether it helped. Memory goes back to the system
//          in step 2 already when it is the host that is short, since blocks that leave free nothing there.
//          Full devices raise the level and call for step 1 alone: what the other steps free is memory of the host.
#include "actors/pressure_self.h"

#include <poll.h>

#include "cluster/bulk/clock.h"
#include "cluster/origin.h"
#include "cluster/topology.h"

#define TICK_MS 250
#define KEEP_DEFAULT 50
#define CALM_DEFAULT_MS 60000

int umbp_pressure_mode (const char *name)
{
    static const char *const names[] = { "off", "observe", "act" };
    for (int mode = 0; mode < 3; mode++)
        if (streq (name, names[mode]))
            return mode;
    return -1;
}

//  ------------------------------------------------------------------------------------------------
//  Signals

static void s_sample (umbp_pressure_t *self)
{
    uint64_t some = 0, full = 0;
    if (umbp_cgroup_read (&self->cgroup, &self->memory) == 0)
        self->signals.available = umbp_memory_available (&self->memory);
    self->signals.high = self->memory.high;
    self->signals.max = self->memory.max;
    //  No file: the kernel keeps no account, and nothing is lost that we know of
    if (umbp_psi_read (self->cgroup.psi, &some, &full) == 0)
        umbp_psi_meter_add (&self->meter, zclock_usecs (), some, full, &self->signals.some,
                            &self->signals.full);
    if (zclock_mono () - self->device_at >= UMBP_PRESSURE_DEVICE_MS)
        self->signals.tiers[UMBP_TIER_HBM] = 0;     //  Nobody says it any more
    const tier_t *tier = &self->tier;
    if (tier->known && tier->total)
        self->signals.tiers[UMBP_TIER_DRAM] =
            (unsigned) ((double) tier->used / (double) tier->total * 1000);
    //  Full, and who wanted room got none: letting blocks go does not keep up
    self->signals.failed = tier->grew_full && self->marks.tier_enter[3]
                           && self->signals.tiers[UMBP_TIER_DRAM] >= self->marks.tier_enter[3];
}

//  The level of the host alone. Returns that of the ladder: full devices call for step 1.
static unsigned s_judge_host (umbp_pressure_t *self, int64_t now)
{
    umbp_signals_t signals = self->signals;
    signals.tiers[UMBP_TIER_HBM] = 0;
    unsigned host = umbp_level_update (self->host, now, &signals);
    return host == 0 && umbp_level_now (self->level) > 0 ? 1 : host;
}

static void s_judge (umbp_pressure_t *self)
{
    int64_t now = zclock_mono ();
    s_sample (self);
    unsigned before = umbp_level_now (self->level);
    unsigned level = umbp_level_update (self->level, now, &self->signals);
    unsigned ladder = s_judge_host (self, now);
    if (level != before) {
        const char *why = umbp_level_why (self->level);
        if (level > before)
            zsys_warning ("pressure: level %u, %s: %s", level, umbp_level_name (level), why);
        else
            zsys_info ("pressure: level %u, %s", level, umbp_level_name (level));
    }
    if (level != self->told) {          //  What happened is worth knowing in any mode
        self->told = level;
        umbp_pressure_tell_level (self, UMBP_PRESSURE_TIER);
        if (self->mode == UMBP_PRESSURE_ACT)
            umbp_pressure_tell_level (self, "router");
    }
    umbp_action_t action;
    while (umbp_ladder_next (self->ladder, now, ladder, self->signals.failed, self->tier.tenants,
                             self->tier.count, &action))
        umbp_pressure_act (self, &action);
    umbp_pressure_grow (self, now);
}

static void s_on_usage (void *arg, uint64_t tag, int status, const umbp_mail_t *mail)
{
    (void) tag;
    umbp_pressure_t *self = arg;
    tier_t *tier = &self->tier;
    tier->asked = false;
    if (status < 0 || !mail || mail->msg->type != UMBP_MSG_usage_ok) {
        self->unheard++;
        return;
    }
    const umbp_msg_usage_ok_t *ok = &mail->msg->usage_ok;
    tier->grew_full = tier->known && ok->full > tier->full;
    tier->known = true;
    tier->total = ok->total;
    tier->used = ok->used;
    tier->made = ok->made;
    tier->full = ok->full;
    tier->count = 0;
    size_t offset = 0;
    for (size_t index = 0; index < ok->names.count && index < UMBP_TENANTS_MAX; index++) {
        umbp_bytes_t name = umbp_column_next (&ok->names, index, &offset);
        umbp_ladder_tenant_t *who = &tier->tenants[tier->count++];
        memset (who, 0, sizeof *who);
        umbp_text_copy ((umbp_text_t) { (const char *) name.data, name.size }, who->name,
                        sizeof who->name);
        who->qos = umbp_u8s_at (ok->qos, index);
        who->bytes = umbp_u64s_at (ok->useds, index);
        who->limit = umbp_u64s_at (ok->limits, index);
        who->blocks = umbp_u64s_at (ok->blocks, index);
    }
    s_judge (self);
}

//  Ask the tier, and judge when it has said; if it does not, by what it said before
static void s_tick (void *arg)
{
    umbp_pressure_t *self = arg;
    if (self->mode == UMBP_PRESSURE_OFF)
        return;
    if (self->tier.asked) {
        s_judge (self);
        return;
    }
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_usage, 0);
    self->tier.asked = umbp_post_ask (self->post, UMBP_PRESSURE_TIER, NULL, &msg, NULL, 0,
                                      UMBP_PRESSURE_ASK_MS, s_on_usage, 0)
                       == 0;
    if (!self->tier.asked)
        s_judge (self);
}

//  The kernel says that a mark was passed; or that the trigger is none any more, which is no sign of anything
static int s_on_trigger (zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    umbp_pressure_t *self = arg;
    short said = (short) ((item->revents & ZMQ_POLLERR ? POLLERR : 0)
                          | (item->revents & ZMQ_POLLPRI ? POLLPRI : 0));
    if (umbp_psi_event (said) == UMBP_ECLOSED) {
        zmq_pollitem_t gone = *item;
        for (size_t index = 0; index < UMBP_PRESSURE_TRIGGERS; index++)
            if (self->triggers[index] == gone.fd)
                self->triggers[index] = -1;
        zloop_poller_end (loop, &gone);
        close (gone.fd);
        self->alarms_closed++;
        zsys_warning ("pressure: the trigger at %s is gone; it is still read every %d ms",
                      self->cgroup.psi, TICK_MS);
        return 0;
    }
    self->wakeups++;
    s_judge (self);
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  Messages

static void s_on_strain (void *arg, const umbp_mail_t *mail)
{
    umbp_pressure_t *self = arg;
    static const char *const names[] = {
        "tier_permille",        "some_permille",   "full_permille",    "available_permille",
        "host_available_bytes", "cgroup_version",  "limit_bytes",      "used_bytes",
        "tier_bytes",           "tier_made_bytes", "tenants_suspended", "device_permille"
    };
    const umbp_memory_t *memory = &self->memory;
    uint64_t values[] = { self->signals.tiers[UMBP_TIER_DRAM],
                          self->signals.some,
                          self->signals.full,
                          self->signals.available,
                          memory->host_available,
                          (uint64_t) self->cgroup.version,
                          memory->limit,
                          memory->used,
                          self->tier.total,
                          self->tier.made,
                          umbp_ladder_suspended (self->ladder),
                          self->signals.tiers[UMBP_TIER_HBM] };
    uint8_t text[1024], tenants[UMBP_PRESSURE_STEPS_MAX * UMBP_NAME_MAX],
        steps[UMBP_PRESSURE_STEPS_MAX], done[UMBP_PRESSURE_STEPS_MAX];
    uint16_t sizes[sizeof names / sizeof *names], tenant_sizes[UMBP_PRESSURE_STEPS_MAX];
    uint64_t ages[UMBP_PRESSURE_STEPS_MAX];
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_strain_ok, 0);
    umbp_msg_strain_ok_t *ok = &answer.strain_ok;
    int64_t now = zclock_mono ();
    ok->level = umbp_level_now (self->level);
    ok->mode = self->mode;
    ok->since_ms = (uint64_t) (now - umbp_level_since (self->level));
    ok->why = umbp_text (umbp_level_why (self->level));
    ok->names = (umbp_column_t) { text, sizes, 0, 0 };
    for (size_t index = 0; index < sizeof names / sizeof *names; index++) {
        sizes[index] = (uint16_t) strlen (names[index]);
        memcpy (text + ok->names.size, names[index], sizes[index]);
        ok->names.size += sizes[index];
        ok->names.count++;
    }
    ok->values = (umbp_u64s_t) { values, ok->names.count };
    uint32_t count = self->steps[0] < UMBP_PRESSURE_STEPS_MAX ? (uint32_t) self->steps[0]
                                                              : UMBP_PRESSURE_STEPS_MAX;
    umbp_user_t user;
    umbp_origin_user (mail->origin, &user);
    if (user.kind == UMBP_USER_CLIENT && *user.tenant)
        count = 0;                      //  What became of others is not for one of them
    ok->tenants = (umbp_column_t) { tenants, tenant_sizes, 0, count };
    for (uint32_t index = 0; index < count; index++) {
        const taken_t *taken = &self->taken[(self->steps[0] - 1 - index) % UMBP_PRESSURE_STEPS_MAX];
        steps[index] = (uint8_t) taken->step;
        done[index] = taken->done;
        ages[index] = (uint64_t) (now - taken->at);
        tenant_sizes[index] = (uint16_t) strlen (taken->tenant);
        memcpy (tenants + ok->tenants.size, taken->tenant, tenant_sizes[index]);
        ok->tenants.size += tenant_sizes[index];
    }
    ok->steps = (umbp_u8s_t) { steps, count };
    ok->done = (umbp_u8s_t) { done, count };
    ok->ages_ms = (umbp_u64s_t) { ages, count };
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

//  From this node's own actors: how full the memory of its fullest accelerator is, with what other processes have
//  there. Said once a second; total 0: there is none, or nobody knows.
static void s_on_capacity (void *arg, const umbp_mail_t *mail)
{
    umbp_pressure_t *self = arg;
    const umbp_msg_capacity_t *said = &mail->msg->capacity;
    if (mail->origin->door || mail->origin->origin_size || said->tier != UMBP_TIER_HBM)
        return;
    self->signals.tiers[UMBP_TIER_HBM] =
        said->total ? (unsigned) ((double) said->used / (double) said->total * 1000) : 0;
    self->device_at = zclock_mono ();
}

static void s_on_relayed (void *arg, uint64_t number, int status, const umbp_mail_t *mail)
{
    umbp_pressure_t *self = arg;
    self->waits[number] = false;
    if (!mail) {
        umbp_post_answer_status (self->post, &self->pending[number], status);
        return;
    }
    umbp_msg_t answer = *mail->msg;     //  Its texts are good for as long as the mail is
    umbp_post_answer (self->post, &self->pending[number], &answer, NULL, 0);
}

//  Ask the tier what a client asks us, and give its answer back
static void s_relay (umbp_pressure_t *self, const umbp_mail_t *mail, umbp_msg_t *msg)
{
    size_t place = 0;
    while (place < UMBP_PRESSURE_PENDING_MAX && self->waits[place])
        place++;
    int64_t left = mail->expires - zclock_mono ();
    int rc = place == UMBP_PRESSURE_PENDING_MAX ? UMBP_EAGAIN : left <= 0 ? UMBP_ETIMEDOUT : 0;
    if (rc == 0) {
        self->pending[place] = *mail->origin;
        rc = umbp_post_ask (self->post, UMBP_PRESSURE_TIER, NULL, msg, NULL, 0,
                            (uint32_t) (left < UMBP_PRESSURE_ASK_MS ? left : UMBP_PRESSURE_ASK_MS),
                            s_on_relayed, place);
        self->waits[place] = rc == 0;
    }
    if (rc < 0)
        umbp_post_answer_status (self->post, mail->origin, rc);
}

static bool s_is_known (umbp_pressure_t *self, const umbp_mail_t *mail, uint64_t tier)
{
    if (tier == 0 || tier == UMBP_TIER_DRAM)
        return true;
    umbp_post_refuse (self->post, mail->origin, UMBP_ENOTSUP, "tier", "only of dram for now");
    return false;
}

//  A client of a tenant hears what its own blocks cost
static void s_on_cost (void *arg, const umbp_mail_t *mail)
{
    umbp_pressure_t *self = arg;
    umbp_user_t user;
    umbp_origin_user (mail->origin, &user);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_cost, 0);
    msg.cost = mail->msg->cost;
    if (user.kind == UMBP_USER_CLIENT && *user.tenant) {
        msg.cost.own = true;
        msg.cost.tenant = umbp_text (user.tenant);
    }
    if (s_is_known (self, mail, msg.cost.tier))
        s_relay (self, mail, &msg);
}

static void s_on_suspend (void *arg, const umbp_mail_t *mail)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_suspend, 0);
    msg.suspend = mail->msg->suspend;
    s_relay (arg, mail, &msg);
}

static void s_on_balloon (void *arg, const umbp_mail_t *mail)
{
    umbp_pressure_t *self = arg;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_balloon, 0);
    msg.balloon = mail->msg->balloon;
    if (!s_is_known (self, mail, msg.balloon.tier))
        return;
    if (msg.balloon.capacity)
        self->ceiling = msg.balloon.capacity;        //  We grow no further than that
    s_relay (self, mail, &msg);
}

//  ------------------------------------------------------------------------------------------------
//  The actor

static void s_arm (umbp_pressure_t *self, size_t index, bool full, unsigned permille)
{
    unsigned window_us = 0;
    int fd = permille ? umbp_psi_open (self->cgroup.psi, full, permille, &window_us) : UMBP_ENOENT;
    if (fd < 0) {
        if (permille)
            zsys_info ("pressure: no trigger at %s, it is read every %d ms: %s", self->cgroup.psi,
                       TICK_MS, umbp_strerror (fd));
        return;
    }
    self->triggers[index] = fd;
    zmq_pollitem_t item = { .fd = fd, .events = ZMQ_POLLPRI };
    zloop_poller (self->loop, &item, s_on_trigger, self);
    zloop_poller_set_tolerant (self->loop, &item);   //  What is wrong with it is ours to hear
}

static void s_start (void *arg, umbp_post_t *post, zloop_t *loop)
{
    umbp_pressure_t *self = arg;
    self->post = post;
    self->loop = loop;
    if (self->mode == UMBP_PRESSURE_OFF)
        return;
    s_arm (self, 0, false, self->marks.some[0]);
    s_arm (self, 1, true, self->marks.full[2]);
    s_sample (self);
}

static void s_stat (void *arg, umbp_gauges_t *gauges)
{
    umbp_pressure_t *self = arg;
    uint64_t triggers = 0;
    for (size_t index = 0; index < UMBP_PRESSURE_TRIGGERS; index++)
        triggers += self->triggers[index] >= 0;
    umbp_gauges_add (gauges, "level", umbp_level_now (self->level));
    umbp_gauges_add (gauges, "level_changes", umbp_level_changes (self->level));
    umbp_gauges_add (gauges, "tier_permille", self->signals.tiers[UMBP_TIER_DRAM]);
    umbp_gauges_add (gauges, "device_permille", self->signals.tiers[UMBP_TIER_HBM]);
    umbp_gauges_add (gauges, "some_permille", self->signals.some);
    umbp_gauges_add (gauges, "full_permille", self->signals.full);
    umbp_gauges_add (gauges, "available_permille", self->signals.available);
    umbp_gauges_add (gauges, "oom_kills", self->memory.oom_kills);
    umbp_gauges_add (gauges, "relaxes", self->steps[UMBP_STEP_RELAX]);
    umbp_gauges_add (gauges, "reductions", self->steps[UMBP_STEP_REDUCE]);
    umbp_gauges_add (gauges, "suspensions", self->steps[UMBP_STEP_SUSPEND]);
    umbp_gauges_add (gauges, "drops", self->steps[UMBP_STEP_DROP]);
    umbp_gauges_add (gauges, "dropped_blocks", self->dropped_blocks);
    umbp_gauges_add (gauges, "resumptions", self->steps[UMBP_STEP_RESUME]);
    umbp_gauges_add (gauges, "growths", self->steps[UMBP_STEP_GROW]);
    umbp_gauges_add (gauges, "observed", self->observed);
    umbp_gauges_add (gauges, "suspended", umbp_ladder_suspended (self->ladder));
    umbp_gauges_add (gauges, "triggers", triggers);
    umbp_gauges_add (gauges, "trigger_wakeups", self->wakeups);
    umbp_gauges_add (gauges, "triggers_lost", self->alarms_closed);
    umbp_gauges_add (gauges, "unheard", self->unheard);
}

static void s_destroy (void **self_p)
{
    umbp_pressure_t *self = *self_p;
    for (size_t index = 0; index < UMBP_PRESSURE_TRIGGERS; index++)
        if (self->triggers[index] >= 0)
            close (self->triggers[index]);
    umbp_level_destroy (&self->level);
    umbp_level_destroy (&self->host);
    umbp_ladder_destroy (&self->ladder);
    freen (*self_p);
}

static const umbp_op_t s_ops[] = {
    { UMBP_MSG_strain, s_on_strain },
    { UMBP_MSG_capacity, s_on_capacity },
    { UMBP_MSG_cost, s_on_cost },
    { UMBP_MSG_suspend, s_on_suspend },
    { UMBP_MSG_balloon, s_on_balloon },
    { 0, NULL },
};

zactor_t *umbp_pressure_new (const umbp_pressure_args_t *args)
{
    umbp_pressure_t *self = zmalloc (sizeof (umbp_pressure_t));
    self->mode = args->mode;
    self->marks = args->marks;
    self->keep = args->keep ? args->keep : KEEP_DEFAULT;
    self->calm_ms = args->calm_ms ? args->calm_ms : CALM_DEFAULT_MS;
    self->secure = args->home->secure;
    self->level = umbp_level_new (&args->marks);
    self->host = umbp_level_new (&args->marks);
    self->ladder = umbp_ladder_new ();
    self->signals.available = 1000;
    for (size_t index = 0; index < UMBP_PRESSURE_TRIGGERS; index++)
        self->triggers[index] = -1;
    if (umbp_cgroup_find (&self->cgroup, args->cgroup) < 0) {
        zsys_error ("pressure: %s: no folder of a memory cgroup: it has neither memory.max nor "
                    "memory.limit_in_bytes",
                    args->cgroup);
        void *value = self;
        s_destroy (&value);
        return NULL;
    }
    umbp_actor_args_t actor = {
        .name = "pressure",
        .home = args->home,
        .door = true,
        .ops = s_ops,
        .self = self,
        .start = s_start,
        .stat = s_stat,
        .tick = s_tick,
        .tick_ms = TICK_MS,
        .destroy = s_destroy,
    };
    return umbp_actor_new (&actor);
}

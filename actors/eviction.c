//  actors/eviction.c - the eviction actor.
//
//  State   what each tier should let go of (evict_plan.h); who waits for how much of it.
//  Rules   A tier is asked again and again, one step at a time, until nothing calls for more or a
//          step frees nothing. Whatever the reason was, what is freed counts for all: for the
//          marks, for reservations that failed, and for everyone who asked.
#include "actors/eviction.h"

#include "actors/evict_plan.h"
#include "actors/tier/shift.h"
#include "cluster/origin.h"
#include "cluster/topology.h"

#define HIGH_DEFAULT 90
#define LOW_DEFAULT 70
#define PATIENCE_MS 1000                //  So long a tier waits for the one below
#define BELOW_MAX 3                     //  ... and that for another, so often at most
#define STEP_MS 1000                    //  ... and has to answer after that
#define TIMER_MS 10
#define MARGIN_MS 20                    //  For our answer to reach the asker
#define WAITERS_MAX 64

//  A client that asked for an eviction
typedef struct {
    umbp_origin_t origin;
    unsigned tier;                      //  0: free
    uint64_t goal, bytes, blocks;       //  bytes and blocks were freed since it asked
    int64_t answer_by;
} waiter_t;

//  A client of a cluster with certificates: only blocks of its own tenant leave for it. Apart from the
//  plan, which is about all blocks.
typedef struct {
    umbp_origin_t origin;
    unsigned tier;                      //  0: free
    char tenant[UMBP_NAME_MAX + 1];
    uint64_t goal, bytes, blocks;
    int64_t answer_by;
} own_t;

typedef struct {
    umbp_post_t *post;
    zloop_t *loop;
    umbp_evict_plan_t *plan;
    umbp_topology_t *topology;          //  The latest, for its ring: a new one takes long to make
    waiter_t waiters[WAITERS_MAX];
    own_t owns[WAITERS_MAX];
    uint32_t step_ms;                   //  For a tier to answer
    bool secure;                        //  Clients may have tenants
    char tenant[UMBP_NAME_MAX + 1];     //  Of the programs of this node
    int timer;                          //  -1: not running
    uint64_t pressures, failed;
} self_t;

static const char *const s_names[UMBP_TIERS] = {
    [UMBP_TIER_HBM] = "tier:hbm",
    [UMBP_TIER_DRAM] = "tier:dram",
    [UMBP_TIER_NVME] = "tier:nvme",
    [UMBP_TIER_SHARED] = "tier:shared",
};

//  ------------------------------------------------------------------------------------------------
//  Who waits

//  Tell who asked for an eviction what was freed
static void s_say (self_t *self, const umbp_origin_t *origin, int status, uint64_t bytes,
                   uint64_t blocks)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict_ok, 0);
    msg.status = (int16_t) status;
    msg.evict_ok.bytes = bytes;
    msg.evict_ok.blocks = blocks;
    umbp_post_answer (self->post, origin, &msg, NULL, 0);
}

static void s_answer (self_t *self, waiter_t *waiter, int status)
{
    waiter->tier = 0;
    s_say (self, &waiter->origin, status, waiter->bytes, waiter->blocks);
}

//  Count what was freed for all who wait, and answer those who have enough
static void s_credit (self_t *self, unsigned tier, uint64_t bytes, uint64_t blocks)
{
    for (size_t index = 0; index < WAITERS_MAX; index++) {
        waiter_t *waiter = &self->waiters[index];
        if (waiter->tier != tier)
            continue;
        waiter->bytes += bytes;
        waiter->blocks += blocks;
        if (waiter->bytes >= waiter->goal)
            s_answer (self, waiter, UMBP_OK);
    }
}

static void s_give_up (self_t *self, unsigned tier, int status)
{
    for (size_t index = 0; index < WAITERS_MAX; index++)
        if (self->waiters[index].tier == tier)
            s_answer (self, &self->waiters[index], status);
}

//  Say in the plan what those who still wait need
static void s_demand (self_t *self, unsigned tier)
{
    uint64_t most = 0;
    for (size_t index = 0; index < WAITERS_MAX; index++) {
        const waiter_t *waiter = &self->waiters[index];
        if (waiter->tier == tier && waiter->goal - waiter->bytes > most)
            most = waiter->goal - waiter->bytes;
    }
    umbp_evict_plan_demand (self->plan, tier, most);
}

//  Answer those whose time is over. Returns true if others still wait.
static bool s_expire (self_t *self, int64_t now)
{
    bool any = false;
    for (size_t index = 0; index < WAITERS_MAX; index++) {
        waiter_t *waiter = &self->waiters[index];
        unsigned tier = waiter->tier;
        if (tier && waiter->answer_by <= now) {
            s_answer (self, waiter, UMBP_ETIMEDOUT);
            s_demand (self, tier);
        }
        any |= waiter->tier != 0;
    }
    return any;
}

//  ------------------------------------------------------------------------------------------------
//  Steps

static void s_step (self_t *self, unsigned tier);

static void s_on_freed (void *arg, uint64_t tier, int status, const umbp_mail_t *mail)
{
    self_t *self = arg;
    bool fine = status == UMBP_OK && mail && mail->msg->type == UMBP_MSG_evict_ok;
    uint64_t bytes = fine ? mail->msg->evict_ok.bytes : 0;
    uint64_t blocks = fine ? mail->msg->evict_ok.blocks : 0;
    self->failed += !fine;
    umbp_evict_outcome_t outcome =
        umbp_evict_plan_freed (self->plan, (unsigned) tier, bytes, blocks, zclock_mono ());
    s_credit (self, (unsigned) tier, bytes, blocks);
    if (outcome == UMBP_EVICT_FUTILE)
        s_give_up (self, (unsigned) tier, status < 0 ? status : fine ? UMBP_EAGAIN : UMBP_EPROTO);
    s_step (self, (unsigned) tier);
}

static int s_on_timer (zloop_t *loop, int timer, void *arg)
{
    self_t *self = arg;
    int64_t now = zclock_mono ();
    bool waits = s_expire (self, now);
    for (unsigned tier = 1; tier < UMBP_TIERS; tier++)
        s_step (self, tier);
    if (!waits && !umbp_evict_plan_rests (self->plan, now)) {
        zloop_timer_end (loop, timer);
        self->timer = -1;
    }
    return 0;
}

//  Run the timer while somebody waits or a tier rests
static void s_wake_later (self_t *self)
{
    if (self->timer == -1)
        self->timer = zloop_timer (self->loop, TIMER_MS, 0, s_on_timer, self);
}

//  Ask the tier for the next step, if there is one to take
static void s_step (self_t *self, unsigned tier)
{
    int64_t now = zclock_mono ();
    uint64_t bytes = umbp_evict_plan_step (self->plan, tier, now);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = tier;
    msg.evict.bytes = bytes;
    int rc = 0;
    if (bytes)
        rc = umbp_post_ask (self->post, s_names[tier], NULL, &msg, NULL, 0, self->step_ms,
                            s_on_freed, tier);
    if (rc < 0) {
        self->failed++;
        umbp_evict_plan_freed (self->plan, tier, 0, 0, now);
        s_give_up (self, tier, rc);
    }
    if (umbp_evict_plan_rests (self->plan, now))
        s_wake_later (self);
}

//  ------------------------------------------------------------------------------------------------
//  Messages

static void s_on_pressure (void *arg, const umbp_mail_t *mail)
{
    self_t *self = arg;
    const umbp_msg_pressure_t *pressure = &mail->msg->pressure;
    self->pressures++;
    umbp_evict_plan_pressure (self->plan, (unsigned) pressure->tier, pressure->total,
                              pressure->used, pressure->need, zclock_mono ());
    s_step (self, (unsigned) pressure->tier);
    umbp_post_answer_status (self->post, mail->origin, UMBP_OK);
}

//  A place for who waits, NULL if too many do
static waiter_t *s_waiter (self_t *self)
{
    for (size_t index = 0; index < WAITERS_MAX; index++)
        if (self->waiters[index].tier == 0)
            return &self->waiters[index];
    return NULL;
}

//  ------------------------------------------------------------------------------------------------
//  Blocks of one tenant

static void s_own_end (self_t *self, own_t *own, int status)
{
    own->tier = 0;
    s_say (self, &own->origin, status, own->bytes, own->blocks);
}

static void s_own_step (self_t *self, own_t *own);

static void s_on_own_freed (void *arg, uint64_t number, int status, const umbp_mail_t *mail)
{
    self_t *self = arg;
    own_t *own = &self->owns[number];
    bool fine = status == UMBP_OK && mail && mail->msg->type == UMBP_MSG_evict_ok;
    self->failed += !fine;
    if (!fine) {
        s_own_end (self, own, status < 0 ? status : UMBP_EPROTO);
        return;
    }
    own->bytes += mail->msg->evict_ok.bytes;
    own->blocks += mail->msg->evict_ok.blocks;
    if (own->bytes >= own->goal)
        s_own_end (self, own, UMBP_OK);
    else if (mail->msg->evict_ok.blocks == 0)
        s_own_end (self, own, UMBP_EAGAIN);
    else
        s_own_step (self, own);
}

static void s_own_step (self_t *self, own_t *own)
{
    int64_t left = own->answer_by - zclock_mono ();
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = own->tier;
    msg.evict.bytes = own->goal - own->bytes;
    msg.evict.own = true;
    msg.evict.tenant = umbp_text (own->tenant);
    int rc = left <= 0
                 ? UMBP_ETIMEDOUT
                 : umbp_post_ask (self->post, s_names[own->tier], NULL, &msg, NULL, 0,
                                  (uint32_t) left, s_on_own_freed, (uint64_t) (own - self->owns));
    if (rc < 0)
        s_own_end (self, own, rc);
}

static void s_evict_own (self_t *self, const umbp_mail_t *mail, const char *tenant, uint64_t goal)
{
    own_t *own = self->owns;
    while (own < self->owns + WAITERS_MAX && own->tier)
        own++;
    if (own == self->owns + WAITERS_MAX) {
        umbp_post_answer_status (self->post, mail->origin, UMBP_EAGAIN);
        return;
    }
    int64_t now = zclock_mono (), left = mail->expires - now;
    *own = (own_t){ .origin = *mail->origin,
                    .tier = (unsigned) mail->msg->evict.tier,
                     .goal = goal };
    snprintf (own->tenant, sizeof own->tenant, "%s", tenant);
    own->answer_by = now + (left / 4 > MARGIN_MS ? left - left / 4 : left - MARGIN_MS);
    if (goal == 0)
        s_own_end (self, own, UMBP_OK);
    else
        s_own_step (self, own);
}

static void s_on_evict (void *arg, const umbp_mail_t *mail)
{
    self_t *self = arg;
    unsigned tier = (unsigned) mail->msg->evict.tier;
    if (!umbp_evict_plan_knows (self->plan, tier)) {
        umbp_post_refuse (self->post, mail->origin, UMBP_ENOENT, "tier",
                          "this node has no such tier, or it did not say yet how full it is");
        return;
    }
    uint64_t bytes = mail->msg->evict.bytes;
    umbp_user_t user;
    const char *tenant = umbp_origin_tenant (mail->origin, self->tenant, &user);
    bool actor = user.kind == UMBP_USER_LOCAL && !user.link && mail->origin->door == 0;
    if (self->secure && !actor) {
        s_evict_own (self, mail, tenant, bytes ? bytes : umbp_evict_plan_excess (self->plan, tier));
        return;
    }
    waiter_t *waiter = s_waiter (self);
    if (!waiter) {
        umbp_post_answer_status (self->post, mail->origin, UMBP_EAGAIN);
        return;
    }
    int64_t now = zclock_mono (), left = mail->expires - now;
    *waiter = (waiter_t) { .origin = *mail->origin, .tier = tier };
    waiter->goal = bytes ? bytes : umbp_evict_plan_excess (self->plan, tier);
    waiter->answer_by = now + (left / 4 > MARGIN_MS ? left - left / 4 : left - MARGIN_MS);
    if (waiter->goal == 0) {
        s_answer (self, waiter, UMBP_OK);
        return;
    }
    s_demand (self, tier);
    s_step (self, tier);
    s_wake_later (self);
}

static void s_on_topology (void *arg, const umbp_mail_t *mail)
{
    self_t *self = arg;
    umbp_topology_t *topology = umbp_topology_renew (self->topology, &mail->msg->topology_ok);
    umbp_post_answer_status (self->post, mail->origin, topology ? UMBP_OK : UMBP_EINVAL);
    if (topology) {
        const umbp_member_t *own = umbp_topology_member (topology, umbp_topology_self (topology));
        for (unsigned tier = 1; tier < UMBP_TIERS; tier++)
            umbp_evict_plan_capacity (self->plan, tier, own->tiers[tier].total,
                                      own->tiers[tier].used);
        umbp_topology_destroy (&self->topology);
        self->topology = topology;
    }
}

//  ------------------------------------------------------------------------------------------------
//  The actor

static void s_start (void *arg, umbp_post_t *post, zloop_t *loop)
{
    self_t *self = arg;
    self->post = post;
    self->loop = loop;
}

static void s_stat (void *arg, umbp_gauges_t *stats)
{
    self_t *self = arg;
    umbp_evict_stats_t plan = umbp_evict_plan_stats (self->plan);
    uint64_t waiting = 0;
    for (size_t index = 0; index < WAITERS_MAX; index++)
        waiting += self->waiters[index].tier != 0;
    umbp_gauges_add (stats, "waiting", waiting);
    umbp_gauges_add (stats, "pressures", self->pressures);
    umbp_gauges_add (stats, "rounds", plan.rounds);
    umbp_gauges_add (stats, "bytes", plan.bytes);
    umbp_gauges_add (stats, "blocks", plan.blocks);
    umbp_gauges_add (stats, "futile", plan.futile);
    umbp_gauges_add (stats, "failed", self->failed);
}

static void s_destroy (void **self_p)
{
    self_t *self = *self_p;
    umbp_evict_plan_destroy (&self->plan);
    umbp_topology_destroy (&self->topology);
    freen (*self_p);
}

static const umbp_op_t s_ops[] = {
    { UMBP_MSG_pressure, s_on_pressure },
    { UMBP_MSG_evict, s_on_evict },
    { UMBP_MSG_topology_ok, s_on_topology },
    { 0, NULL },
};

zactor_t *umbp_eviction_new (const umbp_eviction_args_t *args)
{
    unsigned high = args->high ? args->high : HIGH_DEFAULT;
    unsigned low = args->low ? args->low : LOW_DEFAULT;
    unsigned disk_low = args->disk_low ? args->disk_low : low;
    umbp_evict_plan_t *plan = umbp_evict_plan_new (high, low);
    if (!plan || umbp_evict_plan_set_low (plan, UMBP_TIER_NVME, disk_low) < 0
        || umbp_evict_plan_set_low (plan, UMBP_TIER_SHARED,
                                    args->shared_low ? args->shared_low : low)
               < 0) {
        zsys_error ("eviction: marks must be 0 < low < high <= 100: high=%u low=%u disk_low=%u",
                    high, low, disk_low);
        umbp_evict_plan_destroy (&plan);
        return NULL;
    }
    self_t *self = zmalloc (sizeof (self_t));
    self->plan = plan;
    unsigned patience_ms = args->patience_ms ? args->patience_ms : PATIENCE_MS;
    self->step_ms = STEP_MS + patience_ms * BELOW_MAX * UMBP_SHIFT_TURNS;
    self->secure = args->home->secure;
    snprintf (self->tenant, sizeof self->tenant, "%s", args->home->tenant);
    self->timer = -1;
    umbp_actor_args_t actor = {
        .name = "eviction",
        .home = args->home,
        .door = true,
        .ops = s_ops,
        .self = self,
        .start = s_start,
        .stat = s_stat,
        .destroy = s_destroy,
    };
    return umbp_actor_new (&actor);
}

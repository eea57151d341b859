//  actors/registry.c - who is in the cluster. The rules are in members.c and probes.c; here is what
//  is said to whom.
#include "actors/registry.h"

#include "actors/drain.h"
#include "actors/members.h"
#include "actors/probes.h"
#include "cluster/endpoint.h"
#include "cluster/origin.h"
#include "proto/key.h"

#define PUSH_MS 5                       //  Changes within this time are told together
#define LOST_MS 3600000                 //  So long we look for a member that fell silent

//  A beat and its answer say the same, so one is read and written as the other
static_assert (sizeof (umbp_msg_beat_t) == sizeof (umbp_msg_beat_ok_t), "same fields");

typedef struct {
    umbp_post_t *post;
    zloop_t *loop;
    umbp_members_t *members;
    umbp_probes_t *probes;
    umbp_drain_t *drain;
    char cluster[UMBP_NAME_MAX + 1], node[UMBP_NAME_MAX + 1], endpoint[UMBP_TEXT_MAX + 1];
    char tenant[UMBP_NAME_MAX + 1];     //  Of the programs of this node
    char bulk[UMBP_TEXT_MAX + 1], host[UMBP_TEXT_MAX + 1], doors[UMBP_TEXT_MAX + 1];
    uint64_t node_epoch;
    unsigned spin_us, suspect_ms, ticks;
    char actors[UMBP_REGISTRY_ACTORS_MAX][UMBP_NAME_MAX + 1];
    size_t actor_count;
    uint8_t all[UMBP_COLUMN_BUILD_SIZE (UMBP_REGISTRY_ACTORS_MAX,
                                        UMBP_REGISTRY_ACTORS_MAX *UMBP_NAME_MAX)];
    umbp_column_t all_column;           //  Names of the node's actors; lies in all
    uint64_t told;                      //  Changes that the actors know of
    bool push_due;                      //  A timer is running
    uint64_t beats_sent, beats_received, probed, probes_failed, pushes, pushes_lost, gone, left;
} self_t;

//  -----------------------------------------------------------------------------------------------
//  Telling our own actors

//  The link comes first: routes are there before anybody takes them
static void s_push (self_t *self)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_topology_ok, 0);
    umbp_members_topology (self->members, &msg.topology_ok, zclock_mono ());
    self->told = umbp_members_changes (self->members);
    self->pushes++;
    self->pushes_lost += umbp_post_tell (self->post, "link", NULL, &msg) < 0;
    for (size_t index = 0; index < self->actor_count; index++)
        self->pushes_lost += umbp_post_tell (self->post, self->actors[index], NULL, &msg) < 0;
}

static int s_on_push (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    self_t *self = arg;
    self->push_due = false;
    if (self->told != umbp_members_changes (self->members))
        s_push (self);
    return 0;
}

//  To be called wherever something may have changed
static void s_check_changes (self_t *self)
{
    if (self->push_due || self->told == umbp_members_changes (self->members))
        return;
    self->push_due = true;
    zloop_timer (self->loop, PUSH_MS, 1, s_on_push, self);
}

//  -----------------------------------------------------------------------------------------------
//  Asking others

static void s_on_answer (void *owner, uint64_t tag, int status, const umbp_mail_t *mail);

static int s_beat (self_t *self, const char *where, const char *endpoint, bool with_digest)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_beat, 0);
    umbp_members_beat (self->members, &msg.beat, with_digest);
    int rc = umbp_post_ask (self->post, "registry", where, &msg, NULL, 0, self->suspect_ms,
                            s_on_answer, umbp_probes_tag (endpoint));
    self->beats_sent += rc == 0;
    return rc;
}

static void s_probe (self_t *self, const char *endpoint)
{
    int64_t now = zclock_mono ();
    if (!umbp_probes_begin (self->probes, endpoint, now))
        return;
    self->probed++;
    int rc = s_beat (self, endpoint, endpoint, true);
    if (rc < 0)
        umbp_probes_failed (self->probes, umbp_probes_tag (endpoint), rc, now);
}

//  Somebody may live there
static void s_found (self_t *self, umbp_text_t text)
{
    char endpoint[UMBP_TEXT_MAX + 1];
    if (!umbp_endpoint_ok (text))
        return;
    umbp_text_copy (text, endpoint, sizeof endpoint);
    if (umbp_members_at_endpoint (self->members, endpoint))
        return;
    const char *node = umbp_probes_node (self->probes, endpoint);
    if (!node || umbp_members_find (self->members, umbp_text (node)) < 0)
        s_probe (self, endpoint);
}

static void s_found_all (self_t *self, const umbp_column_t *known)
{
    size_t offset = 0;
    for (size_t index = 0; index < known->count; index++) {
        umbp_bytes_t item = umbp_column_next (known, index, &offset);
        s_found (self, (umbp_text_t) { (const char *) item.data, item.size });
    }
}

//  An answer from where we asked, or from a node that is at home elsewhere and is asked there
static void s_met (self_t *self, uint64_t tag, const umbp_msg_beat_t *beat)
{
    int64_t now = zclock_mono ();
    char endpoint[UMBP_TEXT_MAX + 1], node[UMBP_NAME_MAX + 1];
    umbp_text_copy (beat->endpoint, endpoint, sizeof endpoint);
    umbp_text_copy (beat->node, node, sizeof node);
    bool at_home = umbp_probes_tag (endpoint) == tag;
    int rc = at_home ? umbp_members_meet (self->members, beat, now)
                     : umbp_members_greet (self->members, beat, now);
    if (rc < 0) {
        const umbp_refusal_t *refusal = umbp_members_refusal (self->members);
        self->probes_failed++;
        if (umbp_probes_failed (self->probes, tag, rc, now))
            zsys_warning ("registry: not of us node=%s endpoint=%s: %s: %s", node, endpoint,
                          refusal->field, refusal->why);
        return;
    }
    if (at_home && rc == 0)
        umbp_probes_met (self->probes, tag);
    else
        umbp_probes_alias (self->probes, tag, node, now);
    if (!at_home)
        s_found (self, beat->endpoint);
    s_found_all (self, &beat->known);
    s_check_changes (self);
}

//  Silence needs no action: the clock of that member runs by itself
static void s_on_answer (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    self_t *self = owner;
    if (status == 0 && mail && mail->msg->type == UMBP_MSG_beat_ok) {
        umbp_msg_beat_t beat;
        memcpy (&beat, &mail->msg->beat_ok, sizeof beat);
        self->beats_received++;
        s_met (self, tag, &beat);
        return;
    }
    if (!umbp_probes_failed (self->probes, tag, status < 0 ? status : UMBP_EPROTO, zclock_mono ()))
        return;
    self->probes_failed++;
    if (mail && mail->msg->type == UMBP_MSG_refused && status != UMBP_EUNREACH)
        zsys_warning ("registry: refused by another node: %.*s",
                      (int) mail->msg->refused.reason.size, mail->msg->refused.reason.data);
}

//  -----------------------------------------------------------------------------------------------
//  Requests

//  Neither through the link nor through a door
static bool s_is_ours (const umbp_origin_t *origin)
{
    return origin->door == 0 && origin->origin_size == 0;
}

//  A certificate that is for one node cannot speak for another. Returns whether it does, and has
//  refused it.
static bool s_is_impostor (self_t *self, const umbp_mail_t *mail, umbp_text_t node)
{
    umbp_user_t user;
    umbp_origin_user (mail->origin, &user);
    if (user.kind != UMBP_USER_NODE || !user.bound || umbp_text_is (node, user.name))
        return false;
    umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "node",
                      "your certificate is for another node");
    return true;
}

static void s_do_who (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    umbp_msg_t msg;
    umbp_user_t user;
    const char *tenant = umbp_origin_tenant (mail->origin, self->tenant, &user);
    umbp_msg_init (&msg, UMBP_MSG_who_ok, 0);
    msg.who_ok = (umbp_msg_who_ok_t) {
        .cluster = umbp_text (self->cluster),
        .node = umbp_text (self->node),
        .node_epoch = self->node_epoch,
        .topo_epoch = umbp_members_epoch (self->members),
        .version = UMBP_PROTOCOL_VERSION,
        .endpoint = umbp_text (self->endpoint),
        .bulk = umbp_text (self->bulk),
        .host = umbp_text (self->host),
        .doors = umbp_text (streq (tenant, self->tenant) ? self->doors : ""),
        .spin_us = self->spin_us,
        .actors = self->all_column,
        .tenant = umbp_text (tenant),
        .ask_router = user.kind == UMBP_USER_LOCAL && *tenant,
    };
    umbp_post_answer (self->post, mail->origin, &msg, NULL, 0);
}

//  Our own actors hear of it before anybody else: whoever reads here that a node is back may ask for its blocks
static void s_do_topology (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    if (self->told != umbp_members_changes (self->members))
        s_push (self);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_topology_ok, 0);
    umbp_members_topology (self->members, &msg.topology_ok, zclock_mono ());
    //  Doors are for programs of one tenant: others shall not even try
    static const uint16_t none[UMBP_NODES_MAX];
    umbp_user_t user;
    if (strneq (umbp_origin_tenant (mail->origin, self->tenant, &user), self->tenant))
        msg.topology_ok.doors =
            (umbp_column_t){ (const uint8_t *) "", none, 0, msg.topology_ok.doors.count };
    umbp_post_answer (self->post, mail->origin, &msg, NULL, 0);
}

static void s_do_beat (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    const umbp_msg_beat_t *theirs = &mail->msg->beat;
    self->beats_received++;
    if (s_is_impostor (self, mail, theirs->node))
        return;
    int rc = umbp_members_greet (self->members, theirs, zclock_mono ());
    if (rc < 0) {
        const umbp_refusal_t *refusal = umbp_members_refusal (self->members);
        umbp_post_refuse (self->post, mail->origin, rc, refusal->field, refusal->why);
        return;
    }
    umbp_msg_t msg;
    umbp_msg_beat_t ours;
    umbp_msg_init (&msg, UMBP_MSG_beat_ok, 0);
    umbp_members_answer (self->members, &ours, theirs);
    memcpy (&msg.beat_ok, &ours, sizeof ours);
    umbp_post_answer (self->post, mail->origin, &msg, NULL, 0);

    //  A restart may be at an endpoint where a member was, so this one is asked in any case
    char endpoint[UMBP_TEXT_MAX + 1];
    if (rc == 1) {
        umbp_probes_heard (self->probes,
                           umbp_text_copy (theirs->endpoint, endpoint, sizeof endpoint));
        s_probe (self, endpoint);
    }
    s_found_all (self, &theirs->known);
    s_check_changes (self);
}

static void s_do_found (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    if (!s_is_ours (mail->origin)) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "type", "from this node only");
        return;
    }
    s_found (self, mail->msg->found.endpoint);
    umbp_post_answer_status (self->post, mail->origin, UMBP_OK);
}

static void s_do_leave (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    const umbp_msg_leave_t *leave = &mail->msg->leave;
    if (s_is_impostor (self, mail, leave->node))
        return;
    int rc = umbp_members_leave (self->members, leave->node, leave->node_epoch, zclock_mono ());
    self->left += rc == 0;
    umbp_post_answer_status (self->post, mail->origin, rc);
    s_check_changes (self);
}

static void s_do_capacity (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    if (!s_is_ours (mail->origin)) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "type", "from this node only");
        return;
    }
    int rc = umbp_members_capacity (self->members, &mail->msg->capacity);
    umbp_post_answer_status (self->post, mail->origin, rc);
    s_check_changes (self);
}

static void s_do_drain (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    int rc = umbp_drain_act (self->drain, mail->msg->drain.action);
    if (rc < 0) {
        umbp_post_refuse (self->post, mail->origin, rc, "action",
                          "this node runs inside a program, which alone can end it");
        return;
    }
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_drain_ok, 0);
    umbp_drain_fill (self->drain, &msg.drain_ok);
    umbp_post_answer (self->post, mail->origin, &msg, NULL, 0);
    s_check_changes (self);
}

static const umbp_op_t s_ops[] = {
    { UMBP_MSG_who, s_do_who },
    { UMBP_MSG_topology, s_do_topology },
    { UMBP_MSG_beat, s_do_beat },
    { UMBP_MSG_found, s_do_found },
    { UMBP_MSG_leave, s_do_leave },
    { UMBP_MSG_capacity, s_do_capacity },
    { UMBP_MSG_drain, s_do_drain },
    { 0, NULL },
};

//  -----------------------------------------------------------------------------------------------
//  Life

static void s_gone (void *arg, const umbp_member_t *member)
{
    self_t *self = arg;
    int64_t now = zclock_mono ();
    self->gone++;
    umbp_probes_lost (self->probes, member->endpoint, now + LOST_MS, now);
}

static void s_beat_all (self_t *self)
{
    for (size_t index = 0; index < umbp_members_count (self->members); index++) {
        const umbp_member_t *member = umbp_members_at (self->members, index);
        if (!umbp_members_is_self (self->members, index))
            s_beat (self, member->node, member->endpoint,
                    umbp_members_differs (self->members, index));
    }
}

static void s_tick (void *owner)
{
    self_t *self = owner;
    int64_t now = zclock_mono ();
    umbp_members_tick (self->members, now, s_gone, self);
    umbp_drain_tick (self->drain, now);
    size_t cursor = 0;
    for (const char *endpoint = umbp_probes_due (self->probes, &cursor, now); endpoint;
         endpoint = umbp_probes_due (self->probes, &cursor, now))
        s_found (self, umbp_text (endpoint));
    if (self->ticks++ % UMBP_MEMBERS_TICKS == 0) {
        s_push (self);
        s_beat_all (self);
    } else
        s_check_changes (self);
}

static void s_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    self_t *self = owner;
    self->post = post;
    self->loop = loop;
    umbp_drain_start (self->drain, post);
    s_push (self);
}

static void s_stat (void *owner, umbp_gauges_t *stats)
{
    self_t *self = owner;
    const umbp_members_t *members = self->members;
    uint64_t stalled_ms, stalls = umbp_members_stalls (members, &stalled_ms);
    umbp_gauges_add (stats, "members_alive", umbp_members_in_state (members, UMBP_MEMBER_ALIVE));
    umbp_gauges_add (stats, "members_suspect",
                     umbp_members_in_state (members, UMBP_MEMBER_SUSPECT));
    umbp_gauges_add (stats, "members_gone", self->gone);
    umbp_gauges_add (stats, "members_left", self->left);
    umbp_gauges_add (stats, "beats_sent", self->beats_sent);
    umbp_gauges_add (stats, "beats_received", self->beats_received);
    umbp_gauges_add (stats, "beat_gap_ms_max", umbp_members_gap_ms (members));
    umbp_gauges_add (stats, "members_named", umbp_members_named (members));
    umbp_gauges_add (stats, "probes", self->probed);
    umbp_gauges_add (stats, "probes_open", umbp_probes_open (self->probes));
    umbp_gauges_add (stats, "probes_failed", self->probes_failed);
    umbp_gauges_add (stats, "pushes", self->pushes);
    umbp_gauges_add (stats, "pushes_lost", self->pushes_lost);
    umbp_gauges_add (stats, "stalls", stalls);
    umbp_gauges_add (stats, "stalled_ms", stalled_ms);
    for (int kind = 0; kind < UMBP_REFUSED_KINDS; kind++) {
        const char *gauge;
        uint64_t count = umbp_members_refused (members, (umbp_refused_t) kind, &gauge);
        umbp_gauges_add (stats, gauge, count);
    }
}

//  Take leave: others need not wait for our silence
static void s_leave (self_t *self)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_leave, 0);
    msg.leave.node = umbp_text (self->node);
    msg.leave.node_epoch = self->node_epoch;
    for (size_t index = 0; index < umbp_members_count (self->members); index++)
        if (!umbp_members_is_self (self->members, index))
            umbp_post_tell (self->post, "registry", umbp_members_at (self->members, index)->node,
                            &msg);
}

static void s_destroy (void **self_p)
{
    self_t *self = *self_p;
    if (self->post)
        s_leave (self);
    umbp_drain_destroy (&self->drain);
    umbp_members_destroy (&self->members);
    umbp_probes_destroy (&self->probes);
    freen (*self_p);
}

static void s_copy (char *out, size_t size, const char *text)
{
    snprintf (out, size, "%s", text ? text : "");
}

static unsigned s_default (unsigned value, unsigned usual)
{
    return value ? value : usual;
}

//  Of the actors that we tell, some are tier managers
static umbp_drain_t *s_make_drain (const self_t *self, int stop_fd)
{
    const char *tiers[UMBP_DRAIN_TIERS_MAX];
    size_t count = 0;
    for (size_t index = 0; index < self->actor_count && count < UMBP_DRAIN_TIERS_MAX; index++)
        if (strncmp (self->actors[index], "tier:", 5) == 0)
            tiers[count++] = self->actors[index];
    return umbp_drain_new (self->members, tiers, count, stop_fd);
}

static void s_know_all (self_t *self, const char *const *names)
{
    umbp_column_build_t build;
    umbp_column_build_init (&build, self->all, sizeof self->all);
    for (; names && *names && build.count < UMBP_REGISTRY_ACTORS_MAX; names++)
        umbp_column_build_add (&build, *names, (uint16_t) strnlen (*names, UMBP_NAME_MAX));
    self->all_column = umbp_column_build_finish (&build);
}

static self_t *s_new (const umbp_registry_args_t *args, const umbp_members_args_t *settings)
{
    self_t *self = zmalloc (sizeof (self_t));
    s_copy (self->cluster, sizeof self->cluster, args->cluster);
    s_copy (self->node, sizeof self->node, args->home->node);
    s_copy (self->endpoint, sizeof self->endpoint, args->endpoint);
    s_copy (self->bulk, sizeof self->bulk, args->bulk);
    s_copy (self->host, sizeof self->host, args->host);
    s_copy (self->doors, sizeof self->doors, args->home->doors);
    s_copy (self->tenant, sizeof self->tenant, args->home->tenant);
    self->node_epoch = args->home->node_epoch;
    self->spin_us = args->home->spin_us;
    self->suspect_ms = settings->suspect_ms;
    for (const char *const *name = args->actors; name && *name; name++)
        if (self->actor_count < UMBP_REGISTRY_ACTORS_MAX)
            s_copy (self->actors[self->actor_count++], sizeof self->actors[0], *name);
    s_know_all (self, args->all);
    self->members = umbp_members_new (settings, zclock_mono ());
    self->probes = umbp_probes_new (settings->heartbeat_ms);
    self->drain = s_make_drain (self, args->stop_fd);
    return self;
}

zactor_t *umbp_registry_new (const umbp_registry_args_t *args)
{
    umbp_members_args_t settings = {
        .cluster = args->cluster,
        .node = args->home->node,
        .node_epoch = args->home->node_epoch,
        .endpoint = args->endpoint,
        .bulk = args->bulk,
        .host = args->host,
        .doors = args->home->doors,
        .heartbeat_ms = s_default (args->heartbeat_ms, 1000),
        .suspect_ms = s_default (args->suspect_ms, 3000),
        .gone_ms = s_default (args->gone_ms, 30000),
        .copies = s_default (args->copies, 2),
        .vnodes = s_default (args->vnodes, 150),
        .ring_plain = args->ring_plain,
        .seed = args->seed,
        .tiers_expected = args->tiers,
    };
    const char *why;
    if (umbp_members_check (&settings, &why) < 0) {
        zsys_error ("registry: %s", why);
        return NULL;
    }
    return umbp_actor_new (&(umbp_actor_args_t) {
        .name = "registry",
        .home = args->home,
        .door = true,
        .ops = s_ops,
        .self = s_new (args, &settings),
        .start = s_start,
        .stat = s_stat,
        .tick = s_tick,
        .tick_ms = settings.heartbeat_ms / UMBP_MEMBERS_TICKS,
        .destroy = s_destroy,
    });
}

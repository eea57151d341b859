//  actors/actor.c - the shape all actors share. See actor.h.
#include "actors/actor.h"

#include "cluster/origin.h"
#include "proto/splitmix.h"

#define STOPS "$STOPS"                  //  On the pipe

typedef struct {
    umbp_actor_args_t args;
    umbp_home_t home;
    umbp_post_t *post;
} shell_t;

void umbp_gauges_add (umbp_gauges_t *stats, const char *name, uint64_t value)
{
    assert (stats->count < UMBP_GAUGES_MAX);
    stats->names[stats->count] = name;
    stats->values[stats->count++] = value;
}

static void s_add_errors (umbp_gauges_t *stats, const umbp_post_stats_t *post)
{
    for (int code = 1; code <= -UMBP_ERR_LAST; code++)
        if (post->errors[code])
            umbp_gauges_add (stats, umbp_errname (-code), post->errors[code]);
}

//  A column of names
typedef struct {
    uint32_t used, count;
    uint16_t sizes[UMBP_MSG_LAST];
    uint8_t bytes[UMBP_MSG_LAST * UMBP_NAME_MAX];
} names_t;

static void s_add_name (names_t *names, const char *name)
{
    assert (names->count < UMBP_MSG_LAST);
    size_t size = strnlen (name, UMBP_NAME_MAX);
    memcpy (names->bytes + names->used, name, size);
    names->sizes[names->count++] = (uint16_t) size;
    names->used += (uint32_t) size;
}

static umbp_column_t s_column (const names_t *names)
{
    return (umbp_column_t) { names->bytes, names->sizes, names->used, names->count };
}

static void s_answer_stat (shell_t *shell, const umbp_mail_t *mail)
{
    const umbp_post_stats_t *post = umbp_post_stats (shell->post);
    umbp_gauges_t stats = { 0 };
    if (shell->args.stat)
        shell->args.stat (shell->args.self, &stats);
    umbp_gauges_add (&stats, "requests", post->requests);
    umbp_gauges_add (&stats, "answers", post->answers);
    umbp_gauges_add (&stats, "asked", post->asked);
    umbp_gauges_add (&stats, "timeouts", post->timeouts);
    umbp_gauges_add (&stats, "message_bytes_max", post->bytes_max);
    umbp_gauges_add (&stats, "malformed", post->malformed);
    umbp_gauges_add (&stats, "lost", post->lost);
    umbp_gauges_add (&stats, "late", post->late);
    umbp_gauges_add (&stats, "crowded", post->crowded);
    umbp_gauges_add (&stats, "doors_open", post->doors_open);
    umbp_gauges_add (&stats, "doors_refused", post->doors_refused);
    umbp_gauges_add (&stats, "spin_us", post->spin_us);
    umbp_gauges_add (&stats, "spins_paid", post->spins_paid);
    umbp_gauges_add (&stats, "spins_vain", post->spins_vain);
    umbp_gauges_add (&stats, "spin_rests", post->spin_rests);
    s_add_errors (&stats, post);

    names_t names = { 0 }, messages = { 0 }, operations = { 0 };
    uint64_t received[UMBP_MSG_LAST];
    for (size_t index = 0; index < stats.count; index++)
        s_add_name (&names, stats.names[index]);
    for (int type = 0; type < UMBP_MSG_LAST; type++)
        if (post->received[type]) {
            received[messages.count] = post->received[type];
            s_add_name (&messages, umbp_msg_name (type));
        }
    const umbp_latency_t *latency = &post->latency;
    uint32_t rows = (uint32_t) latency->count;
    for (size_t row = 0; row < rows; row++)
        s_add_name (&operations, umbp_msg_name (latency->types[row]));
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat_ok, 0);
    msg.stat_ok.names = s_column (&names);
    msg.stat_ok.values = (umbp_u64s_t) { stats.values, (uint32_t) stats.count };
    msg.stat_ok.messages = s_column (&messages);
    msg.stat_ok.received = (umbp_u64s_t) { received, messages.count };
    msg.stat_ok.operations = s_column (&operations);
    msg.stat_ok.paths = (umbp_u8s_t) { latency->paths, rows };
    msg.stat_ok.sums_us = (umbp_u64s_t) { latency->sums_us, rows };
    msg.stat_ok.buckets = (umbp_u64s_t) { latency->buckets, rows * UMBP_LATENCY_BUCKETS };
    umbp_post_answer (shell->post, mail->origin, &msg, NULL, 0);
}

//  What nodes say to each other. A client with a certificate may not; without certificates nobody
//  knows who speaks.
static bool s_is_denied (const umbp_mail_t *mail)
{
    static const uint16_t types[] = {
        UMBP_MSG_beat,        UMBP_MSG_found,  UMBP_MSG_leave,   UMBP_MSG_capacity,
        UMBP_MSG_topology_ok, UMBP_MSG_change, UMBP_MSG_reserve, UMBP_MSG_lease,
        UMBP_MSG_store,       UMBP_MSG_drop,   UMBP_MSG_wipe,    UMBP_MSG_pressure,
        UMBP_MSG_wipe_tenant,  UMBP_MSG_quotas, UMBP_MSG_device_split, UMBP_MSG_device_join,
        UMBP_MSG_device_claim, UMBP_MSG_device_hold, UMBP_MSG_relax, UMBP_MSG_pace,
    };
    umbp_user_t user;
    umbp_origin_user (mail->origin, &user);
    if (user.kind != UMBP_USER_CLIENT)
        return false;
    //  What concerns all tenants is not for one of them
    if (*user.tenant
        && (mail->msg->type == UMBP_MSG_drain || mail->msg->type == UMBP_MSG_log
            || mail->msg->type == UMBP_MSG_suspend || mail->msg->type == UMBP_MSG_balloon))
        return true;
    //  Nor is what is about processes of the host
    if (*user.tenant
        && ((mail->msg->type >= UMBP_MSG_workers && mail->msg->type <= UMBP_MSG_worker_events)
            || mail->msg->type == UMBP_MSG_worker_freeze))
        return true;
    for (size_t index = 0; index < sizeof types / sizeof *types; index++)
        if (types[index] == mail->msg->type)
            return true;
    return false;
}

static void s_request (void *owner, const umbp_mail_t *mail)
{
    shell_t *shell = owner;
    if (s_is_denied (mail)) {
        umbp_post_refuse (shell->post, mail->origin, UMBP_EDENIED, "type",
                          "for nodes, and yours is the certificate of a client");
        return;
    }
    switch (mail->msg->type) {
    case UMBP_MSG_ping: umbp_post_answer_status (shell->post, mail->origin, UMBP_OK); return;
    case UMBP_MSG_stat: s_answer_stat (shell, mail); return;
    case UMBP_MSG_log:
        umbp_post_set_log (shell->post, (unsigned) mail->msg->log.level);
        umbp_post_answer_status (shell->post, mail->origin, UMBP_OK);
        return;
    default: break;
    }
    for (const umbp_op_t *op = shell->args.ops; op->type; op++)
        if (op->type == mail->msg->type) {
            op->fn (shell->args.self, mail);
            return;
        }
    umbp_post_refuse (shell->post, mail->origin, UMBP_ENOTSUP, "type",
                      "this actor takes no such message");
}

static void s_closed (void *owner, uint64_t door)
{
    shell_t *shell = owner;
    if (shell->args.closed)
        shell->args.closed (shell->args.self, door);
}

static int s_tick (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    shell_t *shell = arg;
    shell->args.tick (shell->args.self);
    return 0;
}

static int s_pipe (zloop_t *loop, zsock_t *pipe, void *arg)
{
    (void) loop;
    shell_t *shell = arg;
    char *command = zstr_recv (pipe);
    int rc = !command || streq (command, "$TERM") ? -1 : 0;
    if (rc == 0 && streq (command, STOPS) && shell->args.stops)
        shell->args.stops (shell->args.self);
    freen (command);
    return rc;
}

void umbp_actor_stops (zactor_t *actor)
{
    zstr_send (actor, STOPS);
}

//  The post's owner is the shell, while answers to questions go to the value: see umbp_post_start
static void s_actor (zsock_t *pipe, void *arg)
{
    shell_t *shell = arg;
    zsock_signal (pipe, 0);
    zloop_t *loop = zloop_new ();
    zloop_set_nonstop (loop, true);     //  Only $TERM ends us; signals are for main
    zloop_reader (loop, pipe, s_pipe, shell);
    umbp_post_start (shell->post, loop, shell, shell->args.self, s_request, s_closed);
    if (shell->args.start)
        shell->args.start (shell->args.self, shell->post, loop);
    if (shell->args.tick)
        zloop_timer (loop, shell->args.tick_ms, 0, s_tick, shell);
    zloop_start (loop);
    if (shell->args.destroy)
        shell->args.destroy (&shell->args.self);
    umbp_post_destroy (&shell->post);
    zloop_destroy (&loop);
    free (shell);
}

//  Calls that this actor gives: the incarnation of the node and the actor above, a count below
static uint64_t s_first_call (const umbp_home_t *home, const char *name)
{
    uint64_t state = home->node_epoch;
    for (const char *at = home->node; *at; at++)
        state = state * 31 + (uint8_t) *at;
    for (; *name; name++)
        state = state * 31 + (uint8_t) *name;
    return umbp_splitmix (&state) << 32 | 1;
}

zactor_t *umbp_actor_new (const umbp_actor_args_t *args)
{
    shell_t *shell = zmalloc (sizeof (shell_t));
    shell->args = *args;
    shell->home = *args->home;
    char path[UMBP_TEXT_MAX + UMBP_NAME_MAX + 8];
    snprintf (path, sizeof path, "%s/%s.sock", shell->home.doors, args->name);
    bool door = args->door && *shell->home.doors;
    shell->post = umbp_post_new (shell->home.instance, args->name, door ? path : NULL);
    if (!shell->post) {
        if (args->destroy)
            args->destroy (&shell->args.self);
        free (shell);
        return NULL;
    }
    umbp_post_set_node (shell->post, shell->home.node);
    umbp_post_set_spin (shell->post, shell->home.spin_us);
    umbp_post_set_log (shell->post, shell->home.log_level);
    umbp_post_set_calls (shell->post, s_first_call (&shell->home, args->name));
    return zactor_new (s_actor, shell);
}

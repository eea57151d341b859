//  actors/actor.c - the shape all actors share. See actor.h.
#include "actors/actor.h"

typedef struct {
    umbp_actor_args_t args;
    umbp_home_t home;
    umbp_post_t *post;
} shell_t;

void umbp_gauges_add (umbp_gauges_t *stats, const char *name, uint64_t value)
{
    if (stats->count == UMBP_GAUGES_MAX)
        return;
    stats->names[stats->count] = name;
    stats->values[stats->count++] = value;
}

static void s_add_errors (umbp_gauges_t *stats, const umbp_post_stats_t *post)
{
    for (int code = 1; code <= -UMBP_ERR_LAST; code++)
        if (post->errors[code])
            umbp_gauges_add (stats, umbp_errname (-code), post->errors[code]);
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
    umbp_gauges_add (&stats, "malformed", post->malformed);
    umbp_gauges_add (&stats, "lost", post->lost);
    umbp_gauges_add (&stats, "late", post->late);
    umbp_gauges_add (&stats, "crowded", post->crowded);
    umbp_gauges_add (&stats, "doors_open", post->doors_open);
    umbp_gauges_add (&stats, "doors_refused", post->doors_refused);
    s_add_errors (&stats, post);

    uint8_t names[UMBP_GAUGES_MAX * UMBP_NAME_MAX];
    uint16_t sizes[UMBP_GAUGES_MAX];
    uint32_t used = 0;
    for (size_t index = 0; index < stats.count; index++) {
        sizes[index] = (uint16_t) strnlen (stats.names[index], UMBP_NAME_MAX);
        memcpy (names + used, stats.names[index], sizes[index]);
        used += sizes[index];
    }
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat_ok, 0);
    msg.stat_ok.names = (umbp_column_t) { names, sizes, used, (uint32_t) stats.count };
    msg.stat_ok.values = (umbp_u64s_t) { stats.values, (uint32_t) stats.count };
    umbp_post_answer (shell->post, mail->origin, &msg, NULL, 0);
}

static void s_request (void *owner, const umbp_mail_t *mail)
{
    shell_t *shell = owner;
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
    (void) arg;
    char *command = zstr_recv (pipe);
    int rc = !command || streq (command, "$TERM") ? -1 : 0;
    freen (command);
    return rc;
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
    return zactor_new (s_actor, shell);
}

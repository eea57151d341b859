//  actors/migrator.c - the migrator actor.
//
//  State   copies: the requests, in a queue; a few lanes, each with a worker thread and the round
//          of one copy that is under way.
//  Rules   A copy goes round by round, a bounded number of keys and bytes at a time, and after each
//          round to the end of the queue. A round leases blocks at the owner; the small ones come
//          along and are stored; for the others room is reserved here, the worker moves the bytes
//          by RDMA or the bulk servers of both ends, and what arrived whole is committed. The lease ends
//          with the move. Whatever fails, fails its keys and nothing else, and in time.
#include "actors/migrator_self.h"
#include "cluster/origin.h"
#include "proto/scope.h"

#define FLIGHT_BYTES (64u << 20)
#define BUFFER_BYTES (4u << 20)         //  Of a worker, at most
#define TIMER_MS 20

//  ------------------------------------------------------------------------------------------------
//  Copies

static void s_count (umbp_migrator_t *self, const umbp_copy_t *copy)
{
    self->bytes += copy->bytes;
    for (uint32_t index = 0; index < copy->count; index++) {
        int status = copy->statuses[index];
        self->copies += status == UMBP_OK;
        self->misses += status == UMBP_ENOENT;
        self->failures += status != UMBP_OK && status != UMBP_ENOENT && status != UMBP_EEXIST;
    }
}

//  Answer a copy and forget it. Keys that no round came to have the status rest.
static void s_answer (umbp_migrator_t *self, umbp_copy_t *copy, int rest)
{
    memset (copy->statuses + copy->done, rest, copy->count - copy->done);
    s_count (self, copy);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_copy_ok, 0);
    msg.copy_ok.statuses = (umbp_s8s_t) { copy->statuses, copy->count };
    msg.copy_ok.bytes = copy->bytes;
    umbp_post_answer (self->post, &copy->origin, &msg, NULL, 0);
    self->copy_count--;
    free (copy);
}

static void s_push (umbp_migrator_t *self, umbp_copy_t *copy)
{
    assert (self->queue_count < UMBP_MIGRATOR_COPIES_MAX);
    size_t at = (self->queue_first + self->queue_count++) % UMBP_MIGRATOR_COPIES_MAX;
    self->queue[at] = copy;
}

static umbp_copy_t *s_pop (umbp_migrator_t *self)
{
    umbp_copy_t *copy = self->queue[self->queue_first];
    self->queue_first = (self->queue_first + 1) % UMBP_MIGRATOR_COPIES_MAX;
    self->queue_count--;
    return copy;
}

//  Answer those that wait in the queue past their time
static int s_on_timer (zloop_t *loop, int timer, void *arg)
{
    umbp_migrator_t *self = arg;
    for (size_t turn = self->queue_count; turn > 0; turn--) {
        umbp_copy_t *copy = s_pop (self);
        if (umbp_copy_left_ms (copy) > 0)
            s_push (self, copy);
        else
            s_answer (self, copy, UMBP_ETIMEDOUT);
    }
    if (self->queue_count == 0) {
        zloop_timer_end (loop, timer);
        self->timer = -1;
    }
    return 0;
}

//  Give idle lanes something to do
static void s_dispatch (umbp_migrator_t *self)
{
    for (size_t index = 0; index < UMBP_LANES; index++)
        if (!self->lanes[index].copy && self->queue_count > 0)
            umbp_migrator_round (self, &self->lanes[index], s_pop (self));
    if (self->queue_count > 0 && self->timer == -1)
        self->timer = zloop_timer (self->loop, TIMER_MS, 0, s_on_timer, self);
}

void umbp_migrator_round_over (umbp_migrator_t *self, umbp_lane_t *lane, int rest)
{
    umbp_copy_t *copy = lane->copy;
    const umbp_round_t *round = &lane->round;
    memcpy (copy->statuses + copy->done, round->statuses, round->count);
    for (uint32_t index = 0; index < round->count; index++) {
        copy->done_bytes += copy->sizes[copy->done + index];
        copy->bytes += round->statuses[index] == UMBP_OK ? round->sizes[index] : 0;
    }
    copy->done += round->count;
    lane->copy = NULL;
    if (rest == UMBP_OK && umbp_copy_left_ms (copy) <= 0)
        rest = UMBP_ETIMEDOUT;
    if (copy->done == copy->count || rest < 0)
        s_answer (self, copy, rest);
    else
        s_push (self, copy);
    s_dispatch (self);
}

//  ------------------------------------------------------------------------------------------------
//  Messages

//  0 if a copy can be tried; else the error, and why
static int s_judge (const umbp_migrator_t *self, const umbp_msg_copy_t *ask, const char **why)
{
    *why = "it is this node itself, and the same tier";
    if (umbp_text_is (ask->node, self->home.node))
        return ask->tier == (ask->to ? ask->to : UMBP_TIER_DRAM) ? UMBP_EINVAL : 0;
    *why = "no such node is in the cluster";
    return self->topology && umbp_topology_find (self->topology, ask->node) < 0 ? UMBP_EUNREACH : 0;
}

//  tenant: of the keys; NULL: they have theirs in front of them
static umbp_copy_t *s_copy_new (const umbp_mail_t *mail, const char *tenant)
{
    const umbp_msg_copy_t *ask = &mail->msg->copy;
    uint32_t count = ask->keys.count;
    umbp_copy_t *copy = zmalloc (
        sizeof (umbp_copy_t) + count * (sizeof (uint16_t) + 1 + UMBP_SCOPE_MAX) + ask->keys.size);
    int64_t now = zclock_mono (), left = mail->expires - now;
    copy->origin = *mail->origin;
    copy->answer_by =
        now + left - (left / 8 > UMBP_ANSWER_MARGIN_MS ? left / 8 : UMBP_ANSWER_MARGIN_MS);
    umbp_text_copy (ask->node, copy->node, sizeof copy->node);
    copy->tier = (unsigned) ask->tier;
    copy->to = ask->to ? (unsigned) ask->to : UMBP_TIER_DRAM;
    copy->replicas = (uint8_t) ask->replicas;
    copy->calm = ask->calm;
    copy->hint = (uint8_t) ask->hint;
    copy->count = count;
    copy->sizes = (uint16_t *) (copy + 1);
    copy->statuses = (int8_t *) (copy->sizes + count);
    copy->keys = (uint8_t *) (copy->statuses + count);
    umbp_column_t keys = ask->keys;
    if (tenant)
        keys = umbp_scope_column (keys, tenant, copy->keys, copy->sizes);
    if (count && keys.bytes != copy->keys) {
        memcpy (copy->sizes, ask->keys.sizes, count * sizeof *copy->sizes);
        memcpy (copy->keys, ask->keys.bytes, ask->keys.size);
    }
    return copy;
}

static void s_on_copy (void *arg, const umbp_mail_t *mail)
{
    umbp_migrator_t *self = arg;
    const char *why, *tenant;
    int rc = s_judge (self, &mail->msg->copy, &why);
    self->requests++;
    umbp_user_t user;
    tenant = umbp_origin_tenant (mail->origin, self->home.tenant, &user);
    if (mail->msg->copy.scoped && user.kind == UMBP_USER_CLIENT) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "scoped",
                          "only nodes may name tenants");
        return;
    }
    if (rc < 0) {
        umbp_post_refuse (self->post, mail->origin, rc, "node", why);
        return;
    }
    if (self->copy_count == UMBP_MIGRATOR_COPIES_MAX) {
        self->busy++;
        umbp_post_answer_status (self->post, mail->origin, UMBP_EAGAIN);
        return;
    }
    umbp_copy_t *copy = s_copy_new (mail, mail->msg->copy.scoped ? NULL : tenant);
    self->copy_count++;
    if (copy->count == 0 || umbp_copy_left_ms (copy) <= 0) {
        s_answer (self, copy, UMBP_ETIMEDOUT);
        return;
    }
    s_push (self, copy);
    s_dispatch (self);
}

static void s_on_topology (void *arg, const umbp_mail_t *mail)
{
    umbp_migrator_t *self = arg;
    umbp_topology_t *topology = umbp_topology_renew (self->topology, &mail->msg->topology_ok);
    if (topology) {
        umbp_topology_destroy (&self->topology);
        self->topology = topology;
    }
    umbp_post_answer_status (self->post, mail->origin, topology ? UMBP_OK : UMBP_EINVAL);
}

//  ------------------------------------------------------------------------------------------------
//  The actor

//  A lane and its worker. The name is ours alone, as that of our inbox is.
static void s_lane_start (umbp_migrator_t *self, umbp_lane_t *lane)
{
    char endpoint[2 * UMBP_TEXT_MAX];
    snprintf (endpoint, sizeof endpoint, "inproc://umbp/%s/migrator/%d", self->home.instance,
              (int) (lane - self->lanes));
    lane->sock = zsock_new (ZMQ_PAIR);
    zsock_t *other = zsock_new (ZMQ_PAIR);
    int rc = zsock_bind (lane->sock, "%s", endpoint);
    assert (rc != -1);
    rc = zsock_connect (other, "%s", endpoint);
    assert (rc != -1);
    umbp_lane_new_session (lane);
    size_t buffer_bytes = self->share_bytes < BUFFER_BYTES ? self->share_bytes : BUFFER_BYTES;
    lane->worker = umbp_migrator_worker_new (&other, buffer_bytes, self->rdma_api, self->rdma,
                                             self->here, self->here_count);
    zloop_reader (self->loop, lane->sock, umbp_migrator_on_worker, self);
}

static void s_start (void *arg, umbp_post_t *post, zloop_t *loop)
{
    umbp_migrator_t *self = arg;
    self->post = post;
    self->loop = loop;
    for (size_t index = 0; index < UMBP_LANES; index++)
        s_lane_start (self, &self->lanes[index]);
}

static void s_stat (void *arg, umbp_gauges_t *stats)
{
    umbp_migrator_t *self = arg;
    umbp_gauges_add (stats, "requests_open", self->copy_count);
    umbp_gauges_add (stats, "requests_waiting", self->queue_count);
    umbp_gauges_add (stats, "copy_requests", self->requests);
    umbp_gauges_add (stats, "rounds", self->rounds);
    umbp_gauges_add (stats, "copies", self->copies);
    umbp_gauges_add (stats, "bytes", self->bytes);
    umbp_gauges_add (stats, "read_rdma_bytes", self->rdma_bytes);
    umbp_gauges_add (stats, "read_tcp_bytes", self->tcp_bytes);
    umbp_gauges_add (stats, "moved_here_bytes", self->here_bytes);
    umbp_gauges_add (stats, "misses", self->misses);
    umbp_gauges_add (stats, "failures", self->failures);
    umbp_gauges_add (stats, "busy", self->busy);
}

static void s_destroy (void **self_p)
{
    umbp_migrator_t *self = *self_p;
    for (size_t index = 0; index < UMBP_LANES; index++)
        if (self->lanes[index].worker)  //  All at once, and then wait for each
            zstr_send (self->lanes[index].worker, "$TERM");
    for (size_t index = UMBP_LANES; index-- > 0;) {
        zactor_destroy (&self->lanes[index].worker);
        zsock_destroy (&self->lanes[index].sock);
        free (self->lanes[index].copy);
    }
    while (self->queue_count > 0)
        free (s_pop (self));
    if (self->rdma)
        self->rdma_api->close (&self->rdma);
    umbp_topology_destroy (&self->topology);
    freen (*self_p);
}

static const umbp_op_t s_ops[] = {
    { UMBP_MSG_copy, s_on_copy },
    { UMBP_MSG_topology_ok, s_on_topology },
    { 0, NULL },
};

zactor_t *umbp_migrator_new (const umbp_migrator_args_t *args)
{
    size_t flight_bytes = args->flight_bytes ? args->flight_bytes : FLIGHT_BYTES;
    umbp_migrator_t *self = zmalloc (sizeof (umbp_migrator_t));
    self->home = *args->home;
    self->share_bytes = flight_bytes < UMBP_LANES ? 1 : flight_bytes / UMBP_LANES;
    self->timer = -1;
    self->rdma_api = args->rdma_api;
    self->rdma = args->rdma;
    assert (args->here_count <= UMBP_HERE_MAX);
    self->here_count = args->here_count;
    for (size_t index = 0; index < args->here_count; index++)
        self->here[index] = args->here[index];
    umbp_actor_args_t actor = {
        .name = "migrator",
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

//  actors/etcd_actor.c - the actor around cluster/discovery/etcd. See etcd_actor.h.
#include "actors/etcd_actor.h"

static void s_start (void *self, umbp_post_t *post, zloop_t *loop)
{
    (void) post;
    umbp_etcd_start (self, loop);
}

static void s_stat (void *self, umbp_gauges_t *stats)
{
    umbp_etcd_stats_t etcd;
    umbp_etcd_stats (self, &etcd);
    umbp_gauges_add (stats, "endpoint", etcd.endpoint);
    umbp_gauges_add (stats, "lease_ms", etcd.lease_ms);
    umbp_gauges_add (stats, "nodes", etcd.nodes);
    umbp_gauges_add (stats, "leases", etcd.leases);
    umbp_gauges_add (stats, "leases_lost", etcd.leases_lost);
    umbp_gauges_add (stats, "keepalives", etcd.keepalives);
    umbp_gauges_add (stats, "puts", etcd.puts);
    umbp_gauges_add (stats, "reads", etcd.reads);
    umbp_gauges_add (stats, "watches", etcd.watches);
    umbp_gauges_add (stats, "events", etcd.events);
    umbp_gauges_add (stats, "compactions", etcd.compactions);
    umbp_gauges_add (stats, "ignored", etcd.ignored);
    umbp_gauges_add (stats, "failures", etcd.failures);
    umbp_gauges_add (stats, "refused", etcd.refused);
}

static void s_destroy (void **self_p)
{
    umbp_etcd_t *self = *self_p;
    umbp_etcd_destroy (&self);
    *self_p = NULL;
}

zactor_t *umbp_etcd_actor_new (const umbp_home_t *home, const umbp_etcd_args_t *args)
{
    static const umbp_op_t ops[] = { { 0, NULL } };
    umbp_actor_args_t actor = { .name = "etcd",
                                .home = home,
                                .ops = ops,
                                .self = umbp_etcd_new (args), .start = s_start, .stat = s_stat,
                                .destroy = s_destroy };
    return umbp_actor_new (&actor);
}

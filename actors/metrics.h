//  actors/metrics.h - what the counters and gauges that actors report mean: the table behind the HELP, TYPE and UNIT
//  of /metrics, and behind doc/metrics.md. One row for each name of each actor.
#ifndef UMBP_METRICS_H
#define UMBP_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    UMBP_METRIC_COUNTER,                //  Only grows, from 0 at the start of the node
    UMBP_METRIC_GAUGE,                  //  As it is now
    UMBP_METRIC_UNKNOWN,                //  Reported by an actor, not in this table
} umbp_metric_kind_t;

typedef struct {
    const char *actor;                  //  "router"; "tier" means all tiers, "*" all actors
    const char *name;                   //  As in stat_ok
    umbp_metric_kind_t kind;
    const char *help;
} umbp_metric_t;

#define UMBP_METRIC_NAME_MAX 160

//  All rows; *count says how many
const umbp_metric_t *umbp_metrics (size_t *count);

//  The row of what an actor reports: "tier:dram" has those of "tier". NULL if there is none.
const umbp_metric_t *umbp_metric_find (const char *actor, const char *name);

//  "tier" of "tier:dram": actors of one kind share their metrics. Returns out, of UMBP_METRIC_NAME_MAX.
const char *umbp_metric_class (const char *actor, char *out);

//  The name in OpenMetrics, of an actor's class: umbp_router_puts, umbp_registry_stalled_seconds. Returns out, of
//  UMBP_METRIC_NAME_MAX. *unit is "bytes", "seconds" or "", and a value times *scale is in that unit.
const char *umbp_metric_family (const char *class, const char *name, char *out, const char **unit,
                                double *scale);

#endif

//  actors/vitals.h - what the actors of a node said of themselves last: their stat_ok, and the registry's topology.
//  Says whether the node is healthy and ready, and writes all of it as OpenMetrics. A value: no thread, no socket.
//  Its room is fixed; times are monotonic ms.
#ifndef UMBP_VITALS_H
#define UMBP_VITALS_H

#include "actors/openmetrics.h"
#include "proto/message.h"

#define UMBP_VITALS_ACTORS_MAX 32
#define UMBP_VITALS_SILENT_MS 10000     //  Who said nothing for so long is reported

typedef struct umbp_vitals umbp_vitals_t;

//  node: our name. From now on everybody has the full time to speak.
umbp_vitals_t *umbp_vitals_new (const char *node, int64_t now);
void umbp_vitals_destroy (umbp_vitals_t **self_p);

//  One more actor. Returns its number, from 0, or UMBP_ENOSPC.
int umbp_vitals_add (umbp_vitals_t *self, const char *actor);
size_t umbp_vitals_count (const umbp_vitals_t *self);
const char *umbp_vitals_actor (const umbp_vitals_t *self, size_t number);

//  What a tier said of its tenants
void umbp_vitals_tenants (umbp_vitals_t *self, size_t number, const umbp_msg_tenants_ok_t *tenants);

//  What an actor, or the registry, answered. All of it is copied.
void umbp_vitals_take (umbp_vitals_t *self, size_t number, const umbp_msg_stat_ok_t *stat,
                       int64_t now);
void umbp_vitals_topology (umbp_vitals_t *self, const umbp_msg_topology_ok_t *topology,
                           int64_t now);

//  We ourselves stood still for so long: nobody is blamed for that
void umbp_vitals_stalled (umbp_vitals_t *self, int64_t ms);

//  Whether all actors were heard lately; whether the node is in the ring and its topology settled. If not, why says
//  who is silent, or what is missing, in one line.
bool umbp_vitals_healthy (const umbp_vitals_t *self, int64_t now, char *why, size_t size);
bool umbp_vitals_ready (const umbp_vitals_t *self, int64_t now, char *why, size_t size);

//  All families, onto a page that was cleared. The caller ends it.
void umbp_vitals_write (const umbp_vitals_t *self, umbp_openmetrics_t *page, int64_t now);

#endif

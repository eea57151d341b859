//  actors/vitals_self.h - the state of the vitals, shared by vitals.c (what was said, health) and vitals_page.c
//  (writing it). Nobody else includes this.
#ifndef UMBP_VITALS_SELF_H
#define UMBP_VITALS_SELF_H

#include <czmq.h>

#include "actors/vitals.h"
#include "cluster/latency.h"
#include "cluster/topology.h"

#define UMBP_VITALS_NAMES_MAX 128       //  Gauges of an actor, and names of messages

typedef struct {
    size_t count;
    char names[UMBP_VITALS_NAMES_MAX][UMBP_NAME_MAX + 1];
    uint64_t values[UMBP_VITALS_NAMES_MAX];
} umbp_tally_t;

typedef struct {
    char operation[UMBP_NAME_MAX + 1];
    uint8_t path;                       //  umbp_path_t
    uint64_t sum_us, buckets[UMBP_LATENCY_BUCKETS];
} umbp_delay_t;

typedef struct {
    char name[UMBP_NAME_MAX + 1];
    uint64_t used, limit, blocks, refused, evicted;
} umbp_tenant_row_t;

typedef struct {
    char name[UMBP_NAME_MAX + 1];
    int64_t heard_at;
    bool heard;                         //  At all
    umbp_tally_t gauges, messages;
    size_t delay_count;
    umbp_delay_t delays[UMBP_LATENCY_ROWS];
    size_t tenant_count;                //  Of a tier
    umbp_tenant_row_t *tenants;         //  UMBP_TENANTS_MAX of them, or NULL
} umbp_patient_t;

struct umbp_vitals {
    char node[UMBP_NAME_MAX + 1];
    umbp_patient_t *patients[UMBP_VITALS_ACTORS_MAX];
    size_t count;
    bool known, in_ring, settled;       //  Of the topology; known: there is one
    int64_t topology_at;
    uint64_t alive, suspect, on_ring;   //  Members
    uint64_t copies;                    //  Of each index entry, by the settings
};

#endif

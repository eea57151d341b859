//  bin/policy_sim.h - what a cache of some size makes of a workload, under each policy of actors/tier/policy.h, by
//  the very code that the tier manager uses; and what nobody can beat. For the bench and tests; not thread-safe.
//
//  All blocks are of one size. Each request first counts the blocks from the front that are there, since only an
//  unbroken prefix is of use to an engine; then it uses every block that is there, and adds every one that is not,
//  from the last to the first.
#ifndef UMBP_POLICY_SIM_H
#define UMBP_POLICY_SIM_H

#include "actors/tier/policy.h"
#include "bin/workload.h"

typedef struct umbp_sim umbp_sim_t;

typedef struct {
    uint64_t requests, blocks;          //  Blocks asked for
    uint64_t prefix, hits;              //  Of these: in an unbroken prefix; there at all
    uint64_t evicted;
    double orphans;                     //  Share of what is there whose parent is not, mean over all requests
    umbp_policy_stats_t stats;
} umbp_sim_result_t;

//  Take a workload's requests, at most so many. NULL if there are none or one is malformed, and error says why.
umbp_sim_t *umbp_sim_new (umbp_workload_t *workload, uint64_t requests_max, char *error,
                          size_t error_size);
void umbp_sim_destroy (umbp_sim_t **self_p);

//  Different blocks there are
uint32_t umbp_sim_distinct (const umbp_sim_t *self);

//  A cache of so many blocks, at least 1. UMBP_EINVAL if there is no policy of that name.
int umbp_sim_run (const umbp_sim_t *self, const char *policy, uint32_t capacity,
                  umbp_sim_result_t *result);

//  The same if the future is known: who is used again last leaves, the deepest first (Belady)
void umbp_sim_belady (const umbp_sim_t *self, uint32_t capacity, umbp_sim_result_t *result);

//  Nanoseconds of a hit, mean over so many at random among items blocks. 0 if there is no such policy.
double umbp_sim_hit_ns (const char *policy, uint32_t items, uint64_t hits);

#endif

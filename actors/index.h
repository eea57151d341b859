//  actors/index.h - the index actor: which nodes hold which blocks, for the keys of its shards. A projection of
//  what tier managers say, in numbered changes; it keeps fingerprints, not keys, and never decides.
#ifndef UMBP_INDEX_H
#define UMBP_INDEX_H

#include "actors/actor.h"

#define UMBP_UNTOLD_MAX 8               //  Members that an answer names because it lacks their word

typedef struct {
    const umbp_home_t *home;
    uint64_t seed;                      //  Of fingerprints, the same on all nodes of a cluster
    size_t entries_max;
} umbp_index_args_t;

//  Answers lookup and change; takes topology_ok. Has a door. NULL if it cannot start.
zactor_t *umbp_index_new (const umbp_index_args_t *args);

#endif

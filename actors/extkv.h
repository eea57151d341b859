//  actors/extkv.h - the external-KV actor: which engines hold which hashes, in their own memory. It
//  is the truth on the engines attached to this node, and asks the other nodes for the rest. What a
//  node knows it keeps in memory alone: the entries of its engines die with it, by construction,
//  and no other node has a copy that could be stale.
#ifndef UMBP_EXTKV_H
#define UMBP_EXTKV_H

#include "actors/actor.h"

#define UMBP_EXTKV_MATCHES_MAX 256      //  Questions that wait for other nodes at a time

typedef struct {
    const umbp_home_t *home;
    uint64_t hashes;                    //  That this node may keep, and hit counts for as many
    uint64_t hit_ttl_ms;                //  A count is kept so long after its last hit; 0: two hours
} umbp_extkv_args_t;

//  Answers kv_report, kv_revoke, kv_revoke_all, kv_match and kv_hits; takes topology_ok. Has a
//  door. Returns NULL if the table cannot be made or the inbox not bound.
zactor_t *umbp_extkv_new (const umbp_extkv_args_t *args);

#endif

//  actors/migrator.h - the migrator actor: fetches blocks from a tier of another node and keeps
//  replicas in the memory of its own. Every byte is checked before its block can be seen.
#ifndef UMBP_MIGRATOR_H
#define UMBP_MIGRATOR_H

#include "actors/actor.h"
#include "actors/mover_here.h"
#include "cluster/bulk/verbs.h"

#define UMBP_MIGRATOR_COPIES_MAX 64     //  Requests at a time, under way or waiting

typedef struct {
    const umbp_home_t *home;
    size_t flight_bytes;                //  Room reserved here and not committed yet, at most,
                                        //  unless a single block is larger; 0: 64 MiB
    const umbp_verbs_api_t *rdma_api;   //  To read by RDMA where the other node serves that
    umbp_verbs_t *rdma;                 //  Owned from now on, in any case; NULL: over tcp alone
    const umbp_here_t
        *here; //  Bulk servers of the tiers of this node, which end after the migrator;
    size_t here_count;                  //  copied. Between them blocks move without a socket
} umbp_migrator_args_t;

//  Answers copy, by its deadline, with a status for each key: 0 it is here now, UMBP_EEXIST it was,
//  UMBP_ENOENT it is not there, UMBP_EAGAIN no room here, or why it could not be fetched. Over
//  UMBP_MIGRATOR_COPIES_MAX the whole is answered UMBP_EAGAIN. Takes topology_ok. Has a door.
//  Destroying it may take a few seconds, if a transfer hangs just then. NULL if it cannot bind.
zactor_t *umbp_migrator_new (const umbp_migrator_args_t *args);

#endif

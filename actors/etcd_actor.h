//  actors/etcd_actor.h - the actor around cluster/discovery/etcd: its thread, and its counters for
//  stat. Its address is "etcd"; it takes no messages of its own.
#ifndef UMBP_ETCD_ACTOR_H
#define UMBP_ETCD_ACTOR_H

#include "actors/actor.h"
#include "cluster/discovery/etcd.h"

//  The arguments have to pass umbp_etcd_check. Returns NULL if it cannot bind.
zactor_t *umbp_etcd_actor_new (const umbp_home_t *home, const umbp_etcd_args_t *args);

#endif

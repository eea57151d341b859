//  actors/verbs.h - the verbs actor: peers reach the memory of a tier by RDMA through it. It makes links
//  with clients and opens to them, block by block, what the tier manager gave them a lease or slot for.
//  The tier manager does not know of it: both meet at the bulk server, which holds all rights to pages.
//
//  Devices may be slow, and need not answer at all: so this has a thread of its own.
#ifndef UMBP_VERBS_ACTOR_H
#define UMBP_VERBS_ACTOR_H

#include "actors/actor.h"
#include "cluster/bulk/tcp_server.h"
#include "cluster/bulk/verbs.h"

//  The devices of this process, for the actor, and the functions to use them with. What there is, or why
//  there is nothing, is said in the log. plugin: its file, empty: libumbp-verbs.so where libraries lie;
//  devices: names by comma, "name" or "name:port", empty: all that are active; gid_index 0: chosen.
//  Returns NULL if there is no RDMA here, which is no failure: bulk bytes go over tcp then.
typedef struct {
    const char *plugin, *devices;
    unsigned gid_index;
    bool no_windows;                    //  Use none, although a device may have them
    bool quiet;                         //  Say nothing: it was said before
} umbp_verbs_how_t;
umbp_verbs_t *umbp_verbs_actor_open (const umbp_verbs_how_t *how, const umbp_verbs_api_t **api_p);

typedef struct {
    const umbp_home_t *home;
    const umbp_verbs_api_t *api;
    umbp_verbs_t *verbs;                //  Owned from now on, in any case
    const umbp_piece_t *regions;        //  The memory, which must outlive the actor
    size_t region_count;
    uint32_t page_size;
    umbp_bulk_server_t *bulk;           //  Borrowed; must outlive the actor
    unsigned idle_ms;                   //  A link without use ends after so long
} umbp_verbs_args_t;

//  Answers join, expose and conceal. Returns NULL if it cannot start, which is logged: the memory cannot be
//  locked, for one. Then too bulk bytes go over tcp.
zactor_t *umbp_verbs_actor_new (const umbp_verbs_args_t *args);

#endif

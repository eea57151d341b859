//  actors/tier/manager.h - the tier manager: the actor that owns one tier of one node, and the only truth on which
//  blocks it holds. It alone says who may touch a page: a slot lets one writer write, a lease lets readers read.
#ifndef UMBP_MANAGER_H
#define UMBP_MANAGER_H

#include "actors/actor.h"
#include "actors/tier/medium.h"
#include "cluster/bulk/region.h"
#include "cluster/bulk/tcp_server.h"
#include "cluster/quotas.h"

typedef struct umbp_vram umbp_vram_t;   //  See vram.h

typedef struct {
    const umbp_home_t *home;
    const char *name;                   //  "tier:dram"
    unsigned tier;                      //  UMBP_TIER_*
    umbp_region_t **regions;            //  Owned from now on, in any case
    size_t region_count;
    umbp_bulk_server_t *bulk;           //  Owned from now on, in any case
    const char *policy;                 //  Which blocks leave: see policy.h. NULL: lru
    const char *bulk_endpoint;          //  host:port at which others reach it
    uint32_t page_size;
    const umbp_quotas_t *quotas;        //  What tenants may use at the start; NULL: no limits. Copied
    uint64_t seed;                      //  Of fingerprints
    unsigned slot_ttl_ms, lease_ttl_ms;
    unsigned evict_high;                //  Percent in use beyond which eviction is told
    unsigned patience_ms;               //  What has to leave waits so long for the tier below; 0: 1 s
    unsigned resyncs, resync_ms;        //  Full accounts begun in so much time, at most; 0: no bound; 30 s
    bool pinned;                        //  Devices know the regions: they cannot shrink
    bool replicate_last;                //  After a loss: new copies of blocks that were put with more than one
    uint64_t replicate_rate;            //  ... so many bytes a second; 0: no bound
    unsigned below;                     //  Tier of this node to which blocks go that have to leave; 0: none
    unsigned above;                     //  ... to which those go that are read; 0: none
    unsigned fed_by;                    //  ... from which blocks come down; 0: none
    bool write_through;                 //  Down also at once
    uint64_t down_rate, up_rate;        //  Bytes a second to these that nothing presses; 0: no bound
    const char *admit;                  //  What goes below of that which has to leave: see admit.h. NULL: all
    unsigned
        target_ms; //  Readers of a tier on disk that wait longer slow that down; 0: they do not
    uint32_t flight_blocks;             //  To one of these at a time; 0: as shift.h has it
    uint64_t flight_bytes;
    uint32_t storm_blocks;              //  So many to move at once are a storm: see storm.h; 0: none is
    unsigned evict_low;                 //  Percent in use down to which eviction goes
    unsigned
        idle_percent; //  Blocks that would leave soon go below while nothing else moves: so many a second,
                                        //  of all; 0: none
    umbp_medium_t
        medium; //  Where the blocks rest, and the regions are only where they come and go; none:
                                        //  they live in the regions. Owned from now on, in any case
    umbp_vram_t *vram;                  //  The medium, if it is this one, whose blocks can be lent; NULL: another
    unsigned
        takeover_ms; //  On a shelf: what is there of a node that was not alive for so long is served by
                                        //  another one, until it is back; 0: by none
} umbp_manager_args_t;

//  Has a door. NULL if it cannot start.
zactor_t *umbp_manager_new (const umbp_manager_args_t *args);

#endif

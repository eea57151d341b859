//  cluster/topology.h - one snapshot of who is in the cluster, as a registry said it, with the ring that follows
//  from it. A value: it never changes, and whoever gets a newer one throws it away.
#ifndef UMBP_TOPOLOGY_H
#define UMBP_TOPOLOGY_H

#include "cluster/ring.h"
#include "proto/message.h"

#define UMBP_TIER_HBM 1
#define UMBP_TIER_DRAM 2
#define UMBP_TIER_NVME 3
#define UMBP_TIER_SHARED 4
#define UMBP_TIERS 5                    //  Numbers below this, 0 is none

#define UMBP_MEMBER_ALIVE 1
#define UMBP_MEMBER_SUSPECT 2

#define UMBP_COPIES_MAX 3               //  R: nodes that keep an index entry

typedef struct {
    uint64_t total, used, blocks;       //  Bytes and blocks; total 0: no such tier
} umbp_tier_room_t;

typedef struct {
    char node[UMBP_NAME_MAX + 1];
    uint64_t epoch;                     //  Incarnation
    char endpoint[UMBP_TEXT_MAX + 1], bulk[UMBP_TEXT_MAX + 1];
    char host[UMBP_TEXT_MAX + 1], doors[UMBP_TEXT_MAX + 1];
    uint8_t state;                      //  UMBP_MEMBER_*
    bool in_ring;
    bool draining;                      //  It moves its blocks away and takes no new ones
    uint16_t load;                      //  Per mille
    uint32_t silent_ms;
    uint64_t swings;                    //  How often its own topology was heard to change
    umbp_tier_room_t tiers[UMBP_TIERS];
} umbp_member_t;

typedef struct umbp_topology umbp_topology_t;

//  Build from a checked message. Returns NULL if what it says is impossible.
umbp_topology_t *umbp_topology_new (const umbp_msg_topology_ok_t *msg);

//  The same for who is told again and again: with the ring of the former one, if that is the same,
//  since to make one of 1024 nodes takes some ten ms. former may be NULL, and stays its owner's; it has to
//  be there during the call, and may end before or after the new one, in any thread.
umbp_topology_t *umbp_topology_renew (const umbp_topology_t *former,
                                      const umbp_msg_topology_ok_t *msg);

//  One more holder, in the same thread. Returns it; the last one to destroy it frees it.
umbp_topology_t *umbp_topology_hold (umbp_topology_t *self);
void umbp_topology_destroy (umbp_topology_t **self_p);

uint64_t umbp_topology_epoch (const umbp_topology_t *self);
size_t umbp_topology_count (const umbp_topology_t *self);

//  All members that are alive work with this ring, and its shards know all blocks
bool umbp_topology_settled (const umbp_topology_t *self);
unsigned umbp_topology_copies (const umbp_topology_t *self);
const umbp_ring_t *umbp_topology_ring (const umbp_topology_t *self);

//  A member by its number, 0 to count - 1, in the order of ids. Good as long as the topology.
const umbp_member_t *umbp_topology_member (const umbp_topology_t *self, size_t number);

//  Number of a member by id; -1 if there is none
int umbp_topology_find (const umbp_topology_t *self, umbp_text_t node);

//  Number of the node that sent it
size_t umbp_topology_self (const umbp_topology_t *self);

//  The R members that keep the index entry of a key at this ring position. It follows from who is in the ring
//  alone, so that all nodes agree; health only decides whom to ask. Returns how many.
size_t umbp_topology_owners (const umbp_topology_t *self, uint64_t position, uint16_t *members);

#endif

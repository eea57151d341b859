//  actors/members_self.h - the state behind members.h, shared by the files that make it up: members.c (the table, the
//  number of the topology, time), members_vet.c (who may come in), members_say.c (messages). Nobody else includes this.
#ifndef UMBP_MEMBERS_SELF_H
#define UMBP_MEMBERS_SELF_H

#include <czmq.h>

#include "actors/digest.h"
#include "actors/members.h"
#include "actors/sheet.h"

#define UMBP_LEFT_MAX 64                //  Nodes that shut down lately

//  What the number of the topology is made of: for each member the size of its id, the id, whether it
//  is ready, its incarnation; then the ring
#define UMBP_LIST_BYTES (UMBP_NODES_MAX * (UMBP_NAME_MAX + 10) + 5)

typedef struct {
    umbp_member_t seen;                 //  As others see it, silent_ms apart
    int64_t heard;
    uint64_t topo_epoch,
        told_epoch; //  The topology it sees, and the one whose shards know all its blocks
    uint64_t hash;                      //  Of its endpoint
    uint64_t members;                   //  The hash of all endpoints it knows; 0: it says none
    bool ready;
    bool disagrees;                     //  Alive and ready, but not with this topology: it is counted
} umbp_entry_t;

typedef struct {
    char node[UMBP_NAME_MAX + 1];
    uint64_t epoch;
    int64_t until;
} umbp_left_t;

struct umbp_members {
    char cluster[UMBP_NAME_MAX + 1];
    unsigned heartbeat_ms, suspect_ms, gone_ms, copies, vnodes, tiers_expected;
    bool ring_plain;
    umbp_entry_t *self;                 //  One of the entries
    unsigned tier_loads[UMBP_TIERS];
    unsigned tiers_reported;            //  A bit for each
    uint64_t tier_told[UMBP_TIERS];     //  The topology whose shards know all blocks of that tier

    umbp_entry_t *entries[UMBP_NODES_MAX];          //  By id
    size_t count, disagreeing;
    zhashx_t *by_endpoint;              //  Entries
    umbp_digest_t digest;               //  Of all endpoints
    umbp_left_t left[UMBP_LEFT_MAX];
    size_t left_next;

    uint64_t changes, epoch;
    uint64_t settings;                  //  Hash of what all nodes share
    bool away;                          //  We stay out of the ring, ready or not
    bool settled;                       //  All work with this epoch, and its shards know all
    int64_t ticked;                     //  When time went by last
    int64_t clashed;                    //  When somebody last claimed to be us
    bool clash;
    uint64_t stalls, stalled_ms, gap_ms;
    const umbp_refusal_t *refusal;
    uint64_t refused[UMBP_REFUSED_KINDS];
    umbp_sheet_t *sheet;                //  What messages made here point into, and the next
    uint16_t told[UMBP_DIGEST_MAX];
    uint64_t random;                    //  For salts, and where to begin to name
    uint64_t named;                     //  Endpoints, so far
    uint8_t list[UMBP_LIST_BYTES];
};

//  An id or cluster: 1 to 64 letters, digits, '.', '_' and '-'
bool umbp_members_name_ok (umbp_text_t name);

//  NULL if there is none of that id
umbp_entry_t *umbp_members_entry (const umbp_members_t *self, umbp_text_t node);

//  A new entry, described but for what follows from that: it is ours from now on
void umbp_members_insert (umbp_members_t *self, umbp_entry_t *entry);
void umbp_members_remove (umbp_members_t *self, size_t number);

//  An entry is about to have another endpoint, or has it now
void umbp_members_leave_endpoint (umbp_members_t *self, umbp_entry_t *entry);
void umbp_members_take_endpoint (umbp_members_t *self, umbp_entry_t *entry);

//  Who is a member, in which incarnation or state, or who is ready, has changed
void umbp_members_changed (umbp_members_t *self);

//  One entry may agree with the topology now, or no more
void umbp_members_recount (umbp_members_t *self, umbp_entry_t *entry);

//  The topology that our own tiers have told of; 0 if one of them has not
uint64_t umbp_members_told (const umbp_members_t *self);

#endif

//  actors/members.h - who is in the cluster, as one node sees it: the rules of membership. A value:
//  no thread, no socket, and time comes in as monotonic milliseconds, so a wall clock may jump.
//
//  A node becomes a member by answering at the endpoint it calls its own; what it merely says about
//  itself makes it worth asking there. It stays one for as long as it is heard, and then is suspect
//  before it is gone. Members that are ready, suspects too, are the ring.
#ifndef UMBP_MEMBERS_H
#define UMBP_MEMBERS_H

#include "cluster/topology.h"

#define UMBP_MEMBERS_TICKS 4            //  Per heartbeat: how often to call umbp_members_tick

typedef struct umbp_members umbp_members_t;

typedef struct {
    const char *cluster, *node;
    uint64_t node_epoch;
    const char *endpoint, *bulk, *host, *doors;    //  All but the first may be NULL
    unsigned heartbeat_ms, suspect_ms, gone_ms;
    unsigned copies, vnodes;            //  The same on all nodes, as are the next two: others are refused
    bool ring_plain;
    uint64_t seed;                      //  Of fingerprints
    unsigned tiers_expected;            //  In the ring once so many tiers have said what they hold
} umbp_members_args_t;

//  Why somebody was not let in
typedef enum {
    UMBP_REFUSED_CLUSTER,
    UMBP_REFUSED_VERSION,
    UMBP_REFUSED_NAME,
    UMBP_REFUSED_ID,
    UMBP_REFUSED_STALE,
    UMBP_REFUSED_ENDPOINT,
    UMBP_REFUSED_FULL,
    UMBP_REFUSED_SETTINGS,
    UMBP_REFUSED_KINDS
} umbp_refused_t;

typedef struct {
    int status;                         //  UMBP_E*
    const char *field, *why;            //  Static text
    const char *gauge;                  //  Name of its counter
} umbp_refusal_t;

//  0 if members can be made of these; else UMBP_EINVAL, and *why says what is allowed
int umbp_members_check (const umbp_members_args_t *args, const char **why);

//  We alone, from now on. The settings have to pass umbp_members_check.
umbp_members_t *umbp_members_new (const umbp_members_args_t *args, int64_t now);
void umbp_members_destroy (umbp_members_t **self_p);

//  A beat reached us. Returns 0 if it is from a member, which thereby was heard; 1 if the sender
//  has to be asked at the endpoint in it; or the status of umbp_members_refusal.
int umbp_members_greet (umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now);

//  Somebody answered at the endpoint in this beat. Returns 0 if that is a member now, maybe in
//  place of a former incarnation; 1 if it is ourselves; or the status of umbp_members_refusal.
int umbp_members_meet (umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now);

//  Why the last one was refused
const umbp_refusal_t *umbp_members_refusal (const umbp_members_t *self);

//  How often that was, and what a kind is called
uint64_t umbp_members_refused (const umbp_members_t *self, umbp_refused_t kind, const char **gauge);

//  A member shuts down in good order and goes at once. Returns 0, UMBP_ENOENT if there is none, or
//  UMBP_ESTALE for another incarnation of it. What it said before but arrives later is refused.
int umbp_members_leave (umbp_members_t *self, umbp_text_t node, uint64_t epoch, int64_t now);

//  A tier of our own says how full it is. Returns 0, or UMBP_EINVAL if there is no such tier.
int umbp_members_capacity (umbp_members_t *self, const umbp_msg_capacity_t *capacity);

//  We ourselves move our blocks away and take no new ones, or do no more
void umbp_members_drain (umbp_members_t *self, bool draining);

//  We ourselves stay out of the ring, though we are a member, or come back as soon as we are ready
void umbp_members_step_out (umbp_members_t *self, bool out);

//  All members of the ring that are alive work with this topology, and its shards know all blocks
bool umbp_members_settled (const umbp_members_t *self);

//  Called with a member that is being removed for its silence
typedef void (umbp_gone_fn) (void *arg, const umbp_member_t *member);

//  Time goes by. A call that is late by more than two ticks means that we slept, and nobody is
//  blamed for that time. gone may be NULL.
void umbp_members_tick (umbp_members_t *self, int64_t now, umbp_gone_fn *gone, void *arg);

//  Goes up with every change that others should hear of: who is a member, where, in what state
uint64_t umbp_members_changes (const umbp_members_t *self);

//  Number of the topology: it follows from who is a member, in which incarnation, who of them is
//  ready, and the settings of the ring, so that it is equal on all nodes that see the same
uint64_t umbp_members_epoch (const umbp_members_t *self);

//  All members in the order of their ids, ourselves included
size_t umbp_members_count (const umbp_members_t *self);
const umbp_member_t *umbp_members_at (const umbp_members_t *self, size_t number);
bool umbp_members_is_self (const umbp_members_t *self, size_t number);

//  True if that member saw another topology than ours when it last said so, and knew other endpoints
bool umbp_members_differs (const umbp_members_t *self, size_t number);

//  Number of a member by id, -1 if there is none
int umbp_members_find (const umbp_members_t *self, umbp_text_t node);

//  Whether a member, or we, live at this endpoint
bool umbp_members_at_endpoint (const umbp_members_t *self, const char *endpoint);

//  Members in that state, UMBP_MEMBER_*
size_t umbp_members_in_state (const umbp_members_t *self, unsigned state);

//  How often our own loop stalled, and for how long in all
uint64_t umbp_members_stalls (const umbp_members_t *self, uint64_t *stalled_ms);

//  The longest time between two signs of life of one member, our own stalls apart; of all since the start
uint64_t umbp_members_gap_ms (const umbp_members_t *self);

//  Our own record; if wanted, with a digest of the endpoints of all members, so that the answer names
//  those that we lack. Views good until the next call.
void umbp_members_beat (umbp_members_t *self, umbp_msg_beat_t *beat, bool with_digest);

//  The answer to a beat: our own record and, if the sender sees another topology, the endpoints of
//  members that it seems to lack: at most 64 in one answer, each time others; all of them for a sender of
//  former times, who understands no digest. Views good until the next call.
void umbp_members_answer (umbp_members_t *self, umbp_msg_beat_t *answer,
                          const umbp_msg_beat_t *theirs);

//  Endpoints named in answers so far
uint64_t umbp_members_named (const umbp_members_t *self);

//  The topology as a message. Views good until the next call.
void umbp_members_topology (umbp_members_t *self, umbp_msg_topology_ok_t *out, int64_t now);

#endif

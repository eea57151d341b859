//  actors/drain.h - how this node is drained, for its registry: its tiers move their blocks away; then it steps out
//  of the ring, and once the others have settled without it, it is done. A value of the registry's thread; what it
//  asks runs over the registry's post.
#ifndef UMBP_DRAIN_H
#define UMBP_DRAIN_H

#include "actors/members.h"
#include "cluster/post.h"

#define UMBP_DRAIN_TIERS_MAX (UMBP_TIERS - 1)

typedef enum {
    UMBP_DRAIN_NONE,
    UMBP_DRAIN_MOVING,
    UMBP_DRAIN_FULL,                    //  No other node has room; it goes on by itself when one has
    UMBP_DRAIN_LEAVING,
    UMBP_DRAIN_DONE,
} umbp_drain_state_t;

typedef struct umbp_drain umbp_drain_t;

//  tiers: addresses of the tier managers of this node. stop_fd: an eventfd that is written to when the process shall
//  end, 0 none; it stays the caller's.
umbp_drain_t *umbp_drain_new (umbp_members_t *members, const char *const *tiers, size_t tier_count,
                              int stop_fd);
void umbp_drain_destroy (umbp_drain_t **self_p);
void umbp_drain_start (umbp_drain_t *self, umbp_post_t *post);

//  Do what a drain message asks. Returns 0, or UMBP_ENOTSUP if a process shall end that cannot be told to.
int umbp_drain_act (umbp_drain_t *self, uint64_t action);

//  Go on; call a few times a heartbeat
void umbp_drain_tick (umbp_drain_t *self, int64_t now);

//  How far it is
void umbp_drain_fill (const umbp_drain_t *self, umbp_msg_drain_ok_t *out);

#endif

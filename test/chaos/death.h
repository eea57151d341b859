//  test/chaos/death.h - to die in the middle of a call: what the linker (--wrap) puts between the
//  client and its wire. For one program, chaos-load.
#ifndef UMBP_CHAOS_DEATH_H
#define UMBP_CHAOS_DEATH_H

#include <signal.h>
#include <string.h>

#include "client/lane.h"
#include "test/chaos/watch.h"

static struct {
    const char *when;                   //  "commit": before it; "committed": before its answer;
                                        //  "lease": before its release. NULL: not at all
    unsigned left;                      //  After so many
} s_death;

int __real_umbp_wire_send (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                           umbp_msg_t *msg, const void *payload, size_t payload_size,
                           int64_t deadline_ms);
int __wrap_umbp_wire_send (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                           umbp_msg_t *msg, const void *payload, size_t payload_size,
                           int64_t deadline_ms);
void __real_umbp_wire_tell (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                            umbp_msg_t *msg);
void __wrap_umbp_wire_tell (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                            umbp_msg_t *msg);

static bool s_dies (const char *when)
{
    return s_death.when && strcmp (s_death.when, when) == 0 && s_death.left-- == 0;
}

int __wrap_umbp_wire_send (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                           umbp_msg_t *msg, const void *payload, size_t payload_size,
                           int64_t deadline_ms)
{
    bool commit = msg->type == UMBP_MSG_commit;
    if (commit && s_dies ("commit"))
        raise (SIGKILL);
    int rc =
        __real_umbp_wire_send (lane, way, actor, node, msg, payload, payload_size, deadline_ms);
    if (commit && s_dies ("committed")) {
        chaos_sleep (msg->id % 2 ? 5 : 0);  //  ZeroMQ's thread may or may not have sent it
        raise (SIGKILL);
    }
    return rc;
}

void __wrap_umbp_wire_tell (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                            umbp_msg_t *msg)
{
    if (msg->type == UMBP_MSG_release && s_dies ("lease"))
        raise (SIGKILL);
    __real_umbp_wire_tell (lane, way, actor, node, msg);
}

#endif

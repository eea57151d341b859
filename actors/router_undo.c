//  actors/router_undo.c - giving back what a tier manager gave the router, and no client will ever hear of: an
//  attached session's leases and slots have no clock, so they would stay until its door closes.
#include "actors/router_self.h"

void umbp_router_release (umbp_router_t *self, const char *actor, const char *node, uint64_t lease)
{
    if (lease == 0)
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_release, 0);
    msg.release.leases = (umbp_u64s_t) { &lease, 1 };
    umbp_post_tell (self->post, actor, node, &msg);
}

void umbp_router_abort (umbp_router_t *self, const char *actor, const char *node, umbp_u64s_t slots)
{
    uint64_t given[UMBP_BATCH_MAX];
    uint32_t count = 0;
    for (size_t index = 0; index < slots.count && index < UMBP_BATCH_MAX; index++)
        if (umbp_u64s_at (slots, index))
            given[count++] = umbp_u64s_at (slots, index);
    if (count == 0)
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_abort, 0);
    msg.abort.slots = (umbp_u64s_t) { given, count };
    umbp_post_tell (self->post, actor, node, &msg);
}

//  lease_ok or reserve_ok, of a question that has ended
static void s_undo (void *owner, const char *actor, const char *node, const umbp_mail_t *mail)
{
    if (mail->msg->type == UMBP_MSG_lease_ok)
        umbp_router_release (owner, actor, node, mail->msg->lease_ok.lease);
    else if (mail->msg->type == UMBP_MSG_reserve_ok)
        umbp_router_abort (owner, actor, node, mail->msg->reserve_ok.slots);
}

void umbp_router_expect_late (const umbp_sub_t *sub)
{
    const umbp_member_t *member = umbp_topology_member (sub->req->view->topology, sub->member);
    umbp_post_expect_late (sub->req->router->post, umbp_router_tier_name (sub->tier), member->node,
                           s_undo);
}

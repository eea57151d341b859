//  client/get_ask.c - asking the router where blocks can be read. See get.h.
#include "client/get.h"

#include "cluster/bulk/clock.h"

//  Whether the columns of the answer fit each other
static bool s_is_whole (const umbp_msg_get_ok_t *msg, const umbp_extents_t *extents, size_t count)
{
    size_t nodes = msg->nodes.count;
    bool rows = msg->statuses.count == count && msg->sizes.count == count
                && msg->sums.count == count && (msg->refs.count == 0 || msg->refs.count == count)
                && (msg->items.count == 0 || msg->items.count == count);
    bool tables = nodes <= UMBP_NODES_MAX && msg->leases.count == nodes
                  && (msg->bulks.count == 0 || msg->bulks.count == nodes)
                  && (msg->tiers.count == 0 || msg->tiers.count == nodes)
                  && (msg->page_sizes.count == 0 || msg->page_sizes.count == nodes)
                  && (msg->ttls_ms.count == 0 || msg->ttls_ms.count == nodes);
    return rows && tables
           && (extents->counts.count == 0 || umbp_extents_are_whole (extents, count));
}

//  Looking at doors may close one, and with it those that were found open before: see s_void
static umbp_owner_t *s_owners (umbp_lane_t *lane, const umbp_msg_get_ok_t *msg)
{
    umbp_owner_t *owners = umbp_lane_take (lane, msg->nodes.count, sizeof *owners);
    for (size_t ref = 0; ref < msg->nodes.count; ref++) {
        unsigned tier = msg->tiers.count ? umbp_u8s_at (msg->tiers, ref) : UMBP_TIER_DRAM;
        umbp_owner_t *owner = &owners[ref];
        *owner = (umbp_owner_t){ .node = umbp_column_text (lane, &msg->nodes, ref),
                                 .bulk = "",
                                  .actor = umbp_tier_actor (tier),
                                  .lease = umbp_u64s_at (msg->leases, ref) };
        if (msg->bulks.count)
            owner->bulk = umbp_column_text (lane, &msg->bulks, ref);
        owner->bulk_key = umbp_lane_bulk_key (lane, msg->bulk_keys, ref);
        if (msg->page_sizes.count)
            owner->page_size = umbp_u32s_at (msg->page_sizes, ref);
        if (msg->ttls_ms.count)
            owner->ttl_ms = umbp_u32s_at (msg->ttls_ms, ref);
        owner->memory = umbp_memory_of (lane, owner->actor, owner->node);
    }
    return owners;
}

//  A door was found closed, and the lane goes on as another session: leases of the one that asked are over, or will be, and
//  what lies there may be anything. Those that are kept for us are let go of.
static int s_void (umbp_lane_t *lane, umbp_found_t *found)
{
    for (size_t ref = 0; ref < found->owner_count; ref++) {
        found->owners[ref].memory = NULL;
        umbp_get_release (lane, &found->owners[ref]);
    }
    found->owner_count = 0;
    return UMBP_ECLOSED;
}

int umbp_get_ask (umbp_lane_t *lane, umbp_way_t way, const umbp_key_t *keys, size_t stride,
                  size_t count, size_t inline_max, const umbp_column_t *avoid, umbp_found_t *found)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_get, 0);
    msg.get.session = lane->session;
    msg.get.keys = umbp_key_column (lane, keys, stride, NULL, count);
    msg.get.inline_max = inline_max;
    if (avoid)
        msg.get.avoid = *avoid;
    int rc;
    *found = (umbp_found_t) { .asked_ms = umbp_clock_ms (), .session = lane->session };
    const umbp_answer_t *answer = umbp_wire_ask (lane, way, "router", NULL, &msg, NULL, 0,
                                                 UMBP_MSG_get_ok, lane->deadline_ms, &rc);
    if (!answer) {
        umbp_lane_renew (lane);         //  It may have been given leases nevertheless
        return rc;
    }
    const umbp_msg_get_ok_t *ok = found->msg = &answer->msg.get_ok;
    found->extents = (umbp_extents_t) { ok->extent_counts, ok->regions, ok->pages, ok->page_counts,
                                       ok->generations };
    if (!s_is_whole (ok, &found->extents, count))
        return UMBP_EPROTO;
    found->payload = answer->payload;
    found->payload_size = answer->payload_size;
    found->owner_count = ok->nodes.count;
    found->owners = s_owners (lane, ok);
    for (size_t index = 0; index < found->owner_count; index++)
        found->owners[index].call = answer->msg.call;
    return lane->session == found->session ? 0 : s_void (lane, found);
}

int umbp_get_locate (umbp_lane_t *lane, const umbp_found_t *found, size_t index, size_t row,
                     umbp_piece_t **pieces_p)
{
    const umbp_owner_t *owner = &found->owners[umbp_u16s_at (found->msg->refs, index)];
    size_t rows = found->extents.counts.count ? umbp_u16s_at (found->extents.counts, index) : 0;
    if (owner->page_size != owner->memory->page_size)
        return UMBP_EPROTO;
    *pieces_p = umbp_lane_take (lane, rows, sizeof **pieces_p);
    return umbp_memory_locate (owner->memory, false, &found->extents, row, rows,
                               umbp_u32s_at (found->msg->sizes, index), *pieces_p);
}

void umbp_get_release (umbp_lane_t *lane, umbp_owner_t *owner)
{
    if (owner->lease == 0 || !owner->actor)
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_release, 0);
    msg.call = owner->call;
    msg.release.leases = (umbp_u64s_t) { &owner->lease, 1 };
    umbp_wire_tell (lane, owner->memory ? UMBP_WAY_DOOR : UMBP_WAY_ANY, owner->actor, owner->node,
                    &msg);
    owner->lease = 0;
}

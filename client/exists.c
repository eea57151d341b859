//  client/exists.c - which keys have a block, asked of the index itself. The ring tells which nodes
//  keep the entry of a key, R of them; as few as possible are asked, those of this host first, all
//  of them at once. A put is done when the first of them has heard of it, so who knows nothing of a
//  key, like who does not answer, leaves the word to the next owner. The router is asked in the
//  end, if no owner answers, or works with another ring than we do. Who let us wait is asked after the
//  others for a while: a node that has just died delays few calls, not each of them.
//
//  Before anybody is asked we look at the boards of the nodes of this host (board.h) that lend us their
//  memory: what one shows is there, whatever others say, and costs no message. Only what none of them
//  shows is asked of the index, which alone can say that there is no block. Who had to ask often has the
//  nodes of this host lend him their memory, one after the other.
#include "client/batch.h"
#include "cluster/bulk/clock.h"

#define OPEN INT8_MAX                   //  No outcome yet
#define NOBODY UINT16_MAX
#define PASSES_MAX 2                    //  With our ring, and with the one after it
#define LEND_AFTER 32                   //  Questions until one more node of this host is to lend us its memory
#define ANOTHER_MS 500                  //  Who is silent for so long is left for the next owner, or the router

//  Whom to ask first
typedef enum { UNKNOWN, SELF, NEAR, FAR, SILENT, SUSPECT, FAILED } rank_t;

typedef struct {
    uint16_t member;
    uint64_t question;                  //  0: it has ended
    uint32_t *which;
    size_t count;
} group_t;

typedef struct {
    umbp_lane_t *lane;
    const umbp_key_t *keys;             //  Of one window
    int8_t *found;
    size_t count;
    uint16_t (*owners)[UMBP_COPIES_MAX];            //  Of each key
    uint8_t *owner_counts;
    uint16_t *chosen;                   //  Whom each key is asked of in this round, NOBODY
    uint8_t *asked;                     //  Owners that were asked, a bit for each
    bool *absent;                       //  Somebody said that there is none
    uint8_t *ranks;                     //  By member
    uint16_t *loads;                    //  By member, while choosing
    bool *doubted;                      //  Absent, says a shard that works with another ring, or a new one
    int64_t began_ms;
} look_t;

//  ------------------------------------------------------------------------------------------------
//  Whom to ask

//  Owners of all keys that are open, by the ring that the lane knows now
static void s_locate (look_t *look)
{
    umbp_lane_t *lane = look->lane;
    const umbp_topology_t *topology = lane->cluster->topology;
    size_t members = umbp_topology_count (topology);
    const uint8_t **items = umbp_lane_take (lane, look->count, sizeof *items);
    uint16_t *sizes = umbp_lane_take (lane, look->count, sizeof *sizes);
    uint64_t *positions = umbp_lane_take (lane, look->count, sizeof *positions);
    for (size_t index = 0; index < look->count; index++) {
        bool open = look->found[index] == OPEN;
        items[index] = look->keys[index].key;
        sizes[index] = open ? (uint16_t) look->keys[index].key_size : 0;
    }
    umbp_ring_positions (umbp_topology_ring (topology), items, sizes, look->count, positions);
    for (size_t index = 0; index < look->count; index++)
        if (look->found[index] == OPEN)
            look->owner_counts[index] =
                (uint8_t) umbp_topology_owners (topology, positions[index], look->owners[index]);
    look->ranks = umbp_lane_take (lane, members, sizeof *look->ranks);
    look->loads = umbp_lane_take (lane, members, sizeof *look->loads);
    memset (look->ranks, UNKNOWN, members * sizeof *look->ranks);
    memset (look->loads, 0, members * sizeof *look->loads);
}

static rank_t s_rank (look_t *look, uint16_t member)
{
    if (look->ranks[member] != UNKNOWN)
        return look->ranks[member];
    const umbp_cluster_t *cluster = look->lane->cluster;
    const umbp_member_t *who = umbp_topology_member (cluster->topology, member);
    rank_t rank = FAR;
    if (member == umbp_topology_self (cluster->topology))
        rank = SELF;
    else if (who->state != UMBP_MEMBER_ALIVE)
        rank = SUSPECT;
    else if (umbp_silence_is (&look->lane->pool->silence, who->node, look->began_ms))
        rank = SILENT;
    else if (cluster->here[member]
             && umbp_door_find (look->lane, "index", who->node) != UMBP_NO_DOOR)
        rank = NEAR;
    look->ranks[member] = (uint8_t) rank;
    return rank;
}

//  Whether a key is to be asked of somebody yet. Suspects are not asked what others denied.
static bool s_is_wanted (const look_t *look, size_t index, rank_t rank)
{
    return look->found[index] == OPEN && look->chosen[index] == NOBODY
           && (rank != SUSPECT || !look->absent[index]);
}

//  The bit of a member among the owners of a key that were not asked yet; 0 if it is none
static unsigned s_owner_bit (const look_t *look, size_t index, uint16_t member)
{
    for (size_t owner = 0; owner < look->owner_counts[index]; owner++)
        if (look->owners[index][owner] == member)
            return 1u << owner & ~look->asked[index];
    return 0;
}

//  Of the members of one rank, the one that owns most of the keys nobody was chosen for; NOBODY
static uint16_t s_best (look_t *look, rank_t rank)
{
    uint16_t best = NOBODY, most = 0;
    for (size_t index = 0; index < look->count; index++) {
        if (!s_is_wanted (look, index, rank))
            continue;
        for (size_t owner = 0; owner < look->owner_counts[index]; owner++) {
            uint16_t member = look->owners[index][owner];
            if (!(look->asked[index] & 1u << owner) && s_rank (look, member) == rank
                && ++look->loads[member] > most) {
                most = look->loads[member];
                best = member;
            }
        }
    }
    for (size_t index = 0; index < look->count; index++)
        for (size_t owner = 0; owner < look->owner_counts[index]; owner++)
            look->loads[look->owners[index][owner]] = 0;
    return best;
}

//  Give a member all keys it owns that nobody was chosen for
static void s_choose (look_t *look, group_t *group, uint16_t member, rank_t rank)
{
    *group = (group_t) { .member = member,
                         .which = umbp_lane_take (look->lane, look->count, sizeof (uint32_t)) };
    for (size_t index = 0; index < look->count; index++) {
        unsigned bit = s_is_wanted (look, index, rank) ? s_owner_bit (look, index, member) : 0;
        if (bit == 0)
            continue;
        look->asked[index] |= (uint8_t) bit;
        look->chosen[index] = member;
        group->which[group->count++] = (uint32_t) index;
    }
}

//  Returns how many groups: 0 if no owner is left that could be asked
static size_t s_groups (look_t *look, group_t *groups, size_t max)
{
    size_t count = 0, left = 0;
    for (size_t index = 0; index < look->count; index++) {
        look->chosen[index] = NOBODY;
        left += look->found[index] == OPEN;
    }
    for (rank_t rank = SELF; rank <= SUSPECT && left > 0; rank++)
        for (uint16_t member;
             count < max && left > 0 && (member = s_best (look, rank)) != NOBODY;) {
            s_choose (look, &groups[count], member, rank);
            left -= groups[count++].count;
        }
    return count;
}

//  ------------------------------------------------------------------------------------------------
//  Ask

static void s_send (look_t *look, group_t *group, int64_t deadline_ms)
{
    umbp_lane_t *lane = look->lane;
    const umbp_member_t *member = umbp_topology_member (lane->cluster->topology, group->member);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lookup, 0);
    msg.lookup.keys =
        umbp_key_column (lane, look->keys, sizeof *look->keys, group->which, group->count);
    int rc = umbp_wire_send (lane, UMBP_WAY_ANY, "index", member->node, &msg, NULL, 0, deadline_ms);
    group->question = rc == 0 ? msg.id : 0;
    if (rc != 0)
        look->ranks[group->member] = FAILED;
    lane->asked += rc == 0;
}

//  What one shard said. Its absent counts only if it works with the ring that led us to it, and
//  that ring is settled.
static void s_take (look_t *look, group_t *group, const umbp_answer_t *answer)
{
    const umbp_msg_lookup_ok_t *ok = &answer->msg.lookup_ok;
    group->question = 0;
    if (answer->status != 0 || answer->msg.type != UMBP_MSG_lookup_ok
        || ok->found.count != group->count) {
        look->ranks[group->member] = FAILED;
        return;
    }
    bool same =
        ok->topo_epoch == umbp_topology_epoch (look->lane->cluster->topology) && !ok->unsettled;
    for (size_t row = 0; row < group->count; row++) {
        uint32_t index = group->which[row];
        if (umbp_u8s_at (ok->found, row) > 0)
            look->found[index] = 1;
        else {
            look->absent[index] = true;
            look->doubted[index] |= !same;
        }
    }
}

static void s_give_up (look_t *look, uint16_t member)
{
    const char *node = umbp_topology_member (look->lane->cluster->topology, member)->node;
    look->ranks[member] = FAILED;
    umbp_silence_note (&look->lane->pool->silence, node, umbp_clock_ms ());
    look->lane->stats.timeouts++;
}

//  Ask the owners of what is open, all at once. Returns false if nobody is left to be asked.
static bool s_round (look_t *look)
{
    umbp_lane_t *lane = look->lane;
    size_t max = umbp_topology_count (lane->cluster->topology);
    group_t *groups = umbp_lane_take (lane, max, sizeof *groups);
    size_t count = s_groups (look, groups, max);
    int64_t slice_ms = (umbp_lane_left (lane) + 2) / 3;
    int64_t deadline_ms = umbp_clock_ms () + (slice_ms < ANOTHER_MS ? slice_ms : ANOTHER_MS);
    for (size_t index = 0; index < count; index++)
        s_send (look, &groups[index], deadline_ms);
    while (lane->question_count > 0) {
        const umbp_answer_t *answer = umbp_wire_wait (lane, deadline_ms);
        if (!answer)
            break;
        for (size_t index = 0; index < count; index++)
            if (groups[index].question == answer->id) {
                s_take (look, &groups[index], answer);
                break;
            }
    }
    for (size_t index = 0; index < count; index++) {
        if (groups[index].question)
            s_give_up (look, groups[index].member);
        if (look->ranks[groups[index].member] == FAILED) {
            lane->stats.retries += groups[index].count;
            lane->doubts = true;
        }
    }
    return count > 0;
}

//  The router knows more ways than we do. It has the last word.
static void s_ask_router (look_t *look)
{
    umbp_lane_t *lane = look->lane;
    uint32_t *which = umbp_lane_take (lane, look->count, sizeof *which);
    size_t count = 0;
    for (size_t index = 0; index < look->count; index++)
        if (look->found[index] == OPEN)
            which[count++] = (uint32_t) index;
    if (count == 0)
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_exists, 0);
    msg.exists.keys = umbp_key_column (lane, look->keys, sizeof *look->keys, which, count);
    int rc;
    const umbp_answer_t *answer = umbp_wire_ask (lane, UMBP_WAY_ANY, "router", NULL, &msg, NULL, 0,
                                                 UMBP_MSG_exists_ok, lane->deadline_ms, &rc);
    if (answer && answer->msg.exists_ok.found.count != count) {
        answer = NULL;
        rc = UMBP_EPROTO;
    }
    for (size_t row = 0; row < count; row++) {
        int8_t said = answer ? umbp_s8s_at (answer->msg.exists_ok.found, row) : (int8_t) rc;
        look->found[which[row]] = said > 0 ? 1 : said;
    }
}

//  Keys that are open, without those that a board shows
typedef struct {
    umbp_board_probe_t *probes;
    uint32_t *which;
    size_t count;
} probes_t;

static void s_look_at_board (look_t *look, probes_t *open, const void *board)
{
    umbp_board_find (board, open->probes, open->count);
    size_t left = 0;
    for (size_t index = 0; index < open->count; index++) {
        if (open->probes[index].there) {
            look->found[open->which[index]] = 1;
            continue;
        }
        open->probes[left] = open->probes[index];
        open->which[left++] = open->which[index];
    }
    open->count = left;
}

//  Whether a door lends us the board of another node. One that does not answer may be gone with its
//  blocks; and who has to ask his router may be of another tenant.
static bool s_has_board (const umbp_lane_t *lane, const umbp_door_t *door)
{
    if (!door->memory || !door->memory->board || door->memory == lane->near)
        return false;
    const umbp_topology_t *topology = lane->cluster->topology;
    int member = umbp_topology_find (topology, umbp_text (door->node));
    return member >= 0 && !lane->pool->ask_router
           && umbp_topology_member (topology, (size_t) member)->state == UMBP_MEMBER_ALIVE;
}

//  The board of our own node first. The doors were looked at as the call began.
static void s_look_here (look_t *look)
{
    umbp_lane_t *lane = look->lane;
    umbp_mark_t mark = umbp_lane_mark (lane);
    probes_t open = { .probes = umbp_lane_take (lane, look->count, sizeof *open.probes),
                      .which = umbp_lane_take (lane, look->count, sizeof *open.which) };
    for (size_t index = 0; index < look->count; index++)
        if (look->found[index] == OPEN) {
            open.probes[open.count] =
                (umbp_board_probe_t) { .key = look->keys[index].key,
                                       .key_size = look->keys[index].key_size };
            open.which[open.count++] = (uint32_t) index;
        }
    if (lane->near && lane->near->board)
        s_look_at_board (look, &open, lane->near->board);
    for (size_t number = 0; number < lane->door_count && open.count > 0; number++)
        if (s_has_board (lane, &lane->doors[number]))
            s_look_at_board (look, &open, lane->doors[number].memory->board);
    umbp_lane_rewind (lane, mark);
}

//  Behind a call: if many had to ask, one more node of this host may lend us its memory. What is asked
//  of one may lie at any.
static void s_borrow (umbp_lane_t *lane)
{
    if (lane->asked < LEND_AFTER || lane->pool->ask_router)
        return;
    const umbp_topology_t *topology = lane->cluster->topology;
    size_t members = umbp_topology_count (topology);
    lane->asked = 0;
    for (size_t turn = 0; turn < members; turn++) {
        size_t number = lane->lender++ % members;
        const umbp_member_t *member = umbp_topology_member (topology, number);
        if (!lane->cluster->here[number] || member->state != UMBP_MEMBER_ALIVE
            || umbp_memory_of (lane, UMBP_SHARED_ACTOR, member->node))
            continue;
        umbp_memory_borrow (lane, member->node);
        return;
    }
}

static bool s_is_open (const look_t *look)
{
    return memchr (look->found, OPEN, look->count) != NULL;
}

//  What is absent by all accounts has its outcome. Returns whether any of them are doubted, and
//  stay open.
static bool s_conclude (look_t *look)
{
    bool any = false;
    for (size_t index = 0; index < look->count; index++) {
        if (look->found[index] != OPEN || !look->absent[index])
            continue;
        if (!look->doubted[index])
            look->found[index] = 0;
        any |= look->doubted[index];
        look->absent[index] = look->doubted[index] = false;
        look->asked[index] = 0;
    }
    return any;
}

static void s_look (look_t *look)
{
    umbp_lane_t *lane = look->lane;
    for (unsigned pass = 0; pass < PASSES_MAX && s_is_open (look); pass++) {
        if (lane->pool->ask_router
            || umbp_ring_node_count (umbp_topology_ring (lane->cluster->topology)) == 0)
            break;
        s_locate (look);
        while (s_is_open (look) && s_round (look))
            ;
        if (!s_conclude (look)
            || (pass + 1 < PASSES_MAX && umbp_lane_refresh (lane, umbp_lane_slice (lane, 0)) != 0))
            break;
    }
    s_ask_router (look);
}

//  One window: those that are no keys have their outcome at once
static void s_look_window (umbp_lane_t *lane, const umbp_key_t *keys, size_t count, int8_t *found)
{
    look_t look = {
        .lane = lane, .keys = keys, .found = found, .count = count, .began_ms = umbp_clock_ms (),
        .owners = umbp_lane_take (lane, count, sizeof *look.owners),
        .owner_counts = umbp_lane_take (lane, count, 1),
        .chosen = umbp_lane_take (lane, count, sizeof *look.chosen),
        .asked = umbp_lane_take (lane, count, sizeof *look.asked),
        .absent = umbp_lane_take (lane, count, sizeof *look.absent),
        .doubted = umbp_lane_take (lane, count, sizeof *look.doubted),
    };
    for (size_t index = 0; index < count; index++) {
        int rc = umbp_key_check (&keys[index], UMBP_KEY_MAX);
        found[index] = rc == 0 ? OPEN : (int8_t) rc;
        look.owner_counts[index] = look.asked[index] = 0;
        look.absent[index] = look.doubted[index] = false;
    }
    s_look_here (&look);
    s_look (&look);
}

//  ------------------------------------------------------------------------------------------------
//  What callers see

//  stop_at_gap: do not look further than the first window with an absent key. Returns how many were
//  looked for.
static size_t s_look_all (umbp_lane_t *lane, const umbp_key_t *keys, size_t count, int8_t *found,
                          bool stop_at_gap)
{
    umbp_mark_t mark = umbp_lane_mark (lane);
    size_t at = 0;
    bool gap = false;
    while (at < count && !gap) {
        size_t window = umbp_window (lane, keys + at, sizeof *keys, count - at);
        s_look_window (lane, keys + at, window, found + at);
        for (size_t index = 0; stop_at_gap && index < window; index++)
            gap |= found[at + index] != 1;
        at += window;
        umbp_lane_rewind (lane, mark);
    }
    s_borrow (lane);
    lane->stats.exists += at;
    return at;
}

int umbp_exists_batch (umbp_t *self, const umbp_key_t *keys, size_t count, int8_t *found,
                       uint32_t timeout_ms)
{
    umbp_lane_t *lane;
    if (!keys || !found)
        return count ? UMBP_EINVAL : 0;
    int rc = umbp_pool_enter (self, timeout_ms, &lane);
    if (rc != 0) {
        memset (found, rc, count);
        return rc;
    }
    s_look_all (lane, keys, count, found, false);
    umbp_pool_leave (self, &lane);
    size_t there = 0, silent = 0;
    for (size_t index = 0; index < count; index++) {
        there += found[index] == 1;
        silent += umbp_is_silence (found[index]);
    }
    return count > 0 && silent == count ? found[0] : (int) there;
}

int umbp_exists_prefix (umbp_t *self, const umbp_key_t *keys, size_t count, uint32_t timeout_ms)
{
    umbp_lane_t *lane;
    if (!keys)
        return count ? UMBP_EINVAL : 0;
    int rc = umbp_pool_enter (self, timeout_ms, &lane);
    if (rc != 0)
        return rc;
    int8_t *found = umbp_lane_take (lane, count, 1);
    size_t looked = s_look_all (lane, keys, count, found, true), prefix = 0;
    while (prefix < looked && found[prefix] == 1)
        prefix++;
    rc = prefix == 0 && looked > 0 && found[0] < 0 ? found[0] : (int) prefix;
    umbp_pool_leave (self, &lane);
    return rc;
}

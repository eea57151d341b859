//  client/memory.c - memory of nodes of this host, as their tier managers lend it. See lane.h.
//
//  A tier manager ties the bulk session of a lane to the door that it attached through: slots and
//  leases of that session are named as extents in its memory, and are void once the door closes. So
//  extents are used only while the very door is open that the memory came through, and a slot is
//  committed only through it: what another incarnation of the node says can never be taken for
//  this.
//
//  Each tier of a node has a tier manager, a door and memory of its own, and they are mapped one by
//  one, as they are first used. A lane is the same session to all of them, but each ties it to its own
//  door, so one may be gone and the others there. When a door closes the lane goes on as another
//  session and closes the others too (umbp_lane_renew): none of them is left with slots or leases of
//  a session that nobody speaks for any more.
#include "client/lane.h"

#include <poll.h>

#include "cluster/bulk/clock.h"

#define TOUCH_MS 10                     //  Not oftener is a node told what was read from its board

void umbp_memory_unmap (umbp_memory_t **self_p)
{
    umbp_memory_t *self = *self_p;
    if (!self)
        return;
    umbp_shm_map_destroy (&self->reads);
    umbp_shm_map_destroy (&self->writes);
    umbp_shm_map_destroy (&self->board_map);
    freen (*self_p);
}

//  ------------------------------------------------------------------------------------------------
//  Attach

//  Send attach and wait for the answer that brings descriptors. Returns how many there are, which
//  are the caller's to close, or an error.
static int s_ask (umbp_lane_t *lane, int fd, umbp_msg_t *msg, int *fds, int64_t deadline_ms)
{
    umbp_msg_init (msg, UMBP_MSG_attach, ++lane->last_id);
    msg->attach.session = lane->session;
    msg->attach.board = true;
    int64_t left = deadline_ms - umbp_clock_ms ();
    msg->deadline_ms = left > 0 ? (uint32_t) left : 1;
    int size = umbp_msg_encode (msg, lane->wire, UMBP_DOOR_BYTES);
    int rc = size < 0 ? size : umbp_shm_send (fd, lane->wire, (size_t) size, NULL, 0);
    if (rc != 0)
        return rc;
    size_t count = UMBP_SHM_FDS_MAX;
    left = deadline_ms - umbp_clock_ms ();
    size = umbp_shm_recv (fd, lane->datagram, UMBP_DATAGRAM_MAX, fds, &count, (int) left);
    if (size < 0)
        return size;
    rc = umbp_msg_decode (msg, lane->datagram, (size_t) size);
    if (rc > 0)
        rc = msg->status != 0 ? msg->status
             : msg->id == lane->last_id && msg->type == UMBP_MSG_attach_ok ? 0
                                                                           : UMBP_EPROTO;
    size_t wanted = msg->attach_ok.regions.count + (msg->attach_ok.board > 0);
    if (rc == 0 && (msg->attach_ok.regions.count == 0 || count != wanted))
        rc = UMBP_EPROTO;
    if (rc != 0)
        umbp_shm_close (fds, count);
    return rc != 0 ? rc : (int) count;
}

//  A board that we cannot map, or do not understand, is as none
static void s_map_board (umbp_memory_t *self, const int *fd)
{
    self->board_map = umbp_shm_map_new (fd, 1, false, NULL);
    if (self->board_map
        && umbp_board_check (umbp_shm_map_base (self->board_map, 0),
                             umbp_shm_map_bytes (self->board_map, 0)))
        self->board = umbp_shm_map_base (self->board_map, 0);
}

static umbp_memory_t *s_map (const umbp_msg_attach_ok_t *msg, const umbp_door_t *door,
                             const int *fds)
{
    size_t count = msg->regions.count;
    umbp_memory_t *self = zmalloc (sizeof (umbp_memory_t));
    snprintf (self->actor, sizeof self->actor, "%s", door->actor);
    snprintf (self->node, sizeof self->node, "%s", door->node);
    self->node_epoch = msg->node_epoch;
    self->page_size = (uint32_t) msg->page_size;
    self->reads = umbp_shm_map_new (fds, count, false, NULL);
    if (self->reads)
        self->writes = umbp_shm_map_new (fds, count, true, NULL);
    if (!self->writes) {
        umbp_memory_unmap (&self);
        return NULL;
    }
    if (msg->board > 0)
        s_map_board (self, &fds[count]);
    return self;
}

//  Pages that exist are mapped within the deadline, those to be written first
static void s_populate (umbp_memory_t *self, int64_t deadline_ms)
{
    umbp_shm_map_populate (self->writes, deadline_ms);
    umbp_shm_map_populate (self->reads, deadline_ms);
}

static umbp_memory_t *s_borrow (umbp_lane_t *lane, int number, bool populate, int64_t deadline_ms)
{
    umbp_msg_t msg;
    int fds[UMBP_SHM_FDS_MAX];
    const umbp_door_t *door = &lane->doors[number];
    int count = s_ask (lane, door->fd, &msg, fds, deadline_ms);
    if (count < 0)
        return NULL;
    umbp_memory_t *memory = NULL;
    if (umbp_text_is (msg.attach_ok.node, door->node)) {
        memory = umbp_pool_memory (lane->pool, door->actor, door->node, msg.attach_ok.node_epoch);
        if (!memory) {
            memory = s_map (&msg.attach_ok, door, fds);
            if (memory && populate)
                s_populate (memory, deadline_ms);
            if (memory)
                memory = umbp_pool_add_memory (lane->pool, memory);
        }
    }
    umbp_shm_close (fds, (size_t) count);
    return memory;
}

static void s_attach (umbp_lane_t *lane, const char *actor, const char *node, bool populate)
{
    if (umbp_memory_of (lane, actor, node))
        return;
    int number = umbp_door_open (lane, actor, node);
    if (number == UMBP_NO_DOOR)
        return;
    umbp_memory_t *memory = s_borrow (lane, number, populate, umbp_lane_slice (lane, 0));
    lane->doors[number].memory = memory;
    if (!memory)
        umbp_door_close (lane, number);
}

void umbp_memory_attach (umbp_lane_t *lane, const char *actor, const char *node)
{
    s_attach (lane, actor, node, true);
}

void umbp_memory_borrow (umbp_lane_t *lane, const char *node)
{
    s_attach (lane, UMBP_SHARED_ACTOR, node, false);
}

umbp_memory_t *umbp_memory_of (umbp_lane_t *lane, const char *actor, const char *node)
{
    int number = actor ? umbp_door_find (lane, actor, node) : UMBP_NO_DOOR;
    if (number == UMBP_NO_DOOR)
        return NULL;
    struct pollfd item = { .fd = lane->doors[number].fd, .events = POLLRDHUP };
    if (poll (&item, 1, 0) == 0)
        return lane->doors[number].memory;
    umbp_door_close (lane, number);
    return NULL;
}

umbp_memory_t *umbp_memory_near (umbp_lane_t *lane)
{
    const char *node = lane->pool->node;
    int number = umbp_door_find (lane, UMBP_SHARED_ACTOR, node);
    if (number != UMBP_NO_DOOR)
        return lane->doors[number].memory;
    umbp_memory_attach (lane, UMBP_SHARED_ACTOR, node);
    return umbp_memory_of (lane, UMBP_SHARED_ACTOR, node);
}

void umbp_memory_tidy (umbp_lane_t *lane)
{
    for (size_t index = 0; index < lane->door_count; index++) {
        umbp_door_t *door = &lane->doors[index];
        if (door->memory)
            umbp_memory_of (lane, door->actor, door->node);
        umbp_pool_return_memory (lane->pool, &door->parked);
    }
    umbp_pool_return_memory (lane->pool, &lane->kept);
}

//  ------------------------------------------------------------------------------------------------
//  Extents

bool umbp_extents_are_whole (const umbp_extents_t *self, size_t blocks)
{
    size_t rows = 0;
    if (self->regions.count != self->pages.count || self->page_counts.count != self->pages.count
        || self->counts.count != blocks)
        return false;
    for (size_t index = 0; index < blocks; index++)
        rows += umbp_u16s_at (self->counts, index);
    return rows == self->pages.count;
}

//  One extent, checked against its region. Returns false if it is outside.
static bool s_piece (const umbp_memory_t *self, bool to_write, umbp_extent_t extent,
                     umbp_piece_t *piece)
{
    const umbp_shm_map_t *map = to_write ? self->writes : self->reads;
    uint64_t offset = umbp_extent_offset (&extent, self->page_size);
    uint64_t size = umbp_extent_size (&extent, self->page_size);
    uint64_t bytes = umbp_shm_map_bytes (map, extent.region);
    if (size == 0 || offset > bytes || size > bytes - offset)
        return false;
    *piece = (umbp_piece_t) { (uint8_t *) umbp_shm_map_base (map, extent.region) + offset, size };
    return true;
}

//  Pieces that follow each other become one
static size_t s_append (umbp_piece_t *pieces, size_t count, umbp_piece_t piece)
{
    umbp_piece_t *last = count ? &pieces[count - 1] : NULL;
    if (last && (uint8_t *) last->base + last->size == piece.base) {
        last->size += piece.size;
        return count;
    }
    pieces[count] = piece;
    return count + 1;
}

int umbp_memory_locate (const umbp_memory_t *self, bool to_write, const umbp_extents_t *extents,
                        size_t row, size_t rows, uint64_t size, umbp_piece_t *pieces)
{
    uint64_t left = size;
    size_t count = 0;
    for (size_t index = row; index < row + rows; index++) {
        umbp_piece_t piece;
        umbp_extent_t extent = { .region = umbp_u16s_at (extents->regions, index),
                                 .page = umbp_u32s_at (extents->pages, index),
                                 .count = umbp_u32s_at (extents->page_counts, index) };
        if (left == 0 || !s_piece (self, to_write, extent, &piece))
            return UMBP_EPROTO;         //  None of the block would lie in it, or it is outside
        if (piece.size >= left)
            piece.size = left;
        left -= piece.size;
        count = s_append (pieces, count, piece);
    }
    return left == 0 && count > 0 ? (int) count : UMBP_EPROTO;
}

//  ------------------------------------------------------------------------------------------------
//  The board

int umbp_memory_place (const umbp_memory_t *self, const umbp_notice_t *notice, umbp_piece_t *pieces)
{
    uint64_t left = notice->size;
    size_t count = 0;
    for (size_t index = 0; index < notice->extent_count; index++) {
        umbp_piece_t piece;
        if (left == 0 || !s_piece (self, false, notice->extents[index], &piece))
            return UMBP_EPROTO;
        if (piece.size >= left)
            piece.size = left;
        left -= piece.size;
        count = s_append (pieces, count, piece);
    }
    return left == 0 && count > 0 ? (int) count : UMBP_EPROTO;
}

void umbp_memory_tell_touches (umbp_lane_t *lane)
{
    if (lane->touch_count == 0)
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_touch, 0);
    msg.touch.items = (umbp_u32s_t) { lane->touches, (uint32_t) lane->touch_count };
    umbp_wire_tell (lane, UMBP_WAY_DOOR, UMBP_SHARED_ACTOR, lane->pool->node, &msg);
    lane->touch_count = 0;
    lane->touched_ms = umbp_clock_ms ();
}

void umbp_memory_touched (umbp_lane_t *lane, uint32_t item)
{
    lane->touches[lane->touch_count++] = item;
    if (lane->touch_count == UMBP_TOUCHES_MAX || umbp_clock_ms () - lane->touched_ms >= TOUCH_MS)
        umbp_memory_tell_touches (lane);
}

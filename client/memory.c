//  client/memory.c - memory of nodes of this host, as their tier managers lend it. See lane.h.
//
//  A tier manager ties the bulk session of a lane to the door that it attached through: slots and
//  leases of that session are named as extents in its memory, and are void once the door closes. So
//  extents are used only while the very door is open that the memory came through, and a slot is
//  committed only through it: what another incarnation of the node says can never be taken for
//  this.
#include "client/lane.h"

#include <poll.h>

#include "cluster/bulk/clock.h"

void umbp_memory_destroy (umbp_memory_t **self_p)
{
    umbp_memory_t *self = *self_p;
    if (!self)
        return;
    umbp_shm_map_destroy (&self->reads);
    umbp_shm_map_destroy (&self->writes);
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
    if (rc == 0 && (count == 0 || count != msg->attach_ok.regions.count))
        rc = UMBP_EPROTO;
    if (rc != 0)
        umbp_shm_close (fds, count);
    return rc != 0 ? rc : (int) count;
}

//  Pages are put in place within the deadline, those to be written first: they may not exist yet
static umbp_memory_t *s_map (const umbp_msg_attach_ok_t *msg, const char *node, const int *fds,
                             size_t count, int64_t deadline_ms)
{
    umbp_memory_t *self = zmalloc (sizeof (umbp_memory_t));
    snprintf (self->node, sizeof self->node, "%s", node);
    self->node_epoch = msg->node_epoch;
    self->page_size = (uint32_t) msg->page_size;
    self->reads = umbp_shm_map_new (fds, count, false, NULL);
    if (self->reads)
        self->writes = umbp_shm_map_new (fds, count, true, NULL);
    if (!self->writes) {
        umbp_memory_destroy (&self);
        return NULL;
    }
    umbp_shm_map_populate (self->writes, deadline_ms);
    umbp_shm_map_populate (self->reads, deadline_ms);
    return self;
}

static umbp_memory_t *s_borrow (umbp_lane_t *lane, int number, int64_t deadline_ms)
{
    umbp_msg_t msg;
    int fds[UMBP_SHM_FDS_MAX];
    const umbp_door_t *door = &lane->doors[number];
    int count = s_ask (lane, door->fd, &msg, fds, deadline_ms);
    if (count < 0)
        return NULL;
    umbp_memory_t *memory = NULL;
    if (umbp_text_is (msg.attach_ok.node, door->node)) {
        memory = umbp_pool_memory (lane->pool, door->node, msg.attach_ok.node_epoch);
        if (!memory) {
            memory = s_map (&msg.attach_ok, door->node, fds, (size_t) count, deadline_ms);
            if (memory)
                memory = umbp_pool_add_memory (lane->pool, memory);
        }
    }
    umbp_shm_close (fds, (size_t) count);
    return memory;
}

void umbp_memory_attach (umbp_lane_t *lane, const char *node)
{
    if (umbp_memory_of (lane, node))
        return;
    int number = umbp_door_open (lane, UMBP_SHARED_ACTOR, node);
    if (number == UMBP_NO_DOOR)
        return;
    umbp_memory_t *memory = s_borrow (lane, number, umbp_lane_slice (lane, 0));
    lane->doors[number].memory = memory;
    if (!memory)
        umbp_door_close (lane, number);
}

umbp_memory_t *umbp_memory_of (umbp_lane_t *lane, const char *node)
{
    int number = umbp_door_find (lane, UMBP_SHARED_ACTOR, node);
    if (number == UMBP_NO_DOOR)
        return NULL;
    struct pollfd item = { .fd = lane->doors[number].fd, .events = POLLRDHUP };
    if (poll (&item, 1, 0) == 0)
        return lane->doors[number].memory;
    umbp_door_close (lane, number);
    return NULL;
}

void umbp_memory_tidy (umbp_lane_t *lane)
{
    for (size_t index = 0; index < lane->door_count; index++) {
        umbp_door_t *door = &lane->doors[index];
        if (door->memory)
            umbp_memory_of (lane, door->node);
        umbp_pool_return_memory (lane->pool, &door->parked);
    }
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
static bool s_piece (const umbp_memory_t *self, bool to_write, const umbp_extents_t *extents,
                     size_t row, umbp_piece_t *piece)
{
    const umbp_shm_map_t *map = to_write ? self->writes : self->reads;
    uint16_t region = umbp_u16s_at (extents->regions, row);
    uint64_t offset = (uint64_t) umbp_u32s_at (extents->pages, row) * self->page_size;
    uint64_t size = (uint64_t) umbp_u32s_at (extents->page_counts, row) * self->page_size;
    uint64_t bytes = umbp_shm_map_bytes (map, region);
    if (size == 0 || offset > bytes || size > bytes - offset)
        return false;
    *piece = (umbp_piece_t) { (uint8_t *) umbp_shm_map_base (map, region) + offset, size };
    return true;
}

int umbp_memory_locate (const umbp_memory_t *self, bool to_write, const umbp_extents_t *extents,
                        size_t row, size_t rows, uint64_t size, umbp_piece_t *pieces)
{
    uint64_t left = size;
    size_t count = 0;
    for (size_t index = row; index < row + rows; index++) {
        umbp_piece_t piece;
        if (left == 0 || !s_piece (self, to_write, extents, index, &piece))
            return UMBP_EPROTO;         //  None of the block would lie in it, or it is outside
        if (piece.size >= left)
            piece.size = left;
        left -= piece.size;
        umbp_piece_t *last = count ? &pieces[count - 1] : NULL;
        if (last && (uint8_t *) last->base + last->size == piece.base)
            last->size += piece.size;
        else
            pieces[count++] = piece;
    }
    return left == 0 && count > 0 ? (int) count : UMBP_EPROTO;
}

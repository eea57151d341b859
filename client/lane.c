//  client/lane.c - one of the connections of a client. See lane.h.
#include "client/rdma.h"
#include "client/streams.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "cluster/bulk/clock.h"
#include "cluster/bulk/tcp_auth.h"

#define CHUNK_BYTES (256u << 10)        //  Of scratch memory, unless more is asked for at once
#define QUEUE_MAX 2000                  //  Messages that wait in the socket
#define PAUSE_MAX_MS 50
#define FAIR_BYTES_MS (100 * 1000)      //  100 MB/s: what is slower is given up for another replica

struct umbp_chunk {
    umbp_chunk_t *next;
    size_t size;
    uint8_t bytes[];                    //  16 into memory that is aligned for more than that
};

uint64_t umbp_lane_draw (void)
{
    uint64_t value = 0;
    if (getrandom (&value, sizeof value, 0) != sizeof value)
        value = (uint64_t) umbp_clock_ms () << 20 ^ (uint64_t) getpid ();
    return value ? value : 1;
}

//  ------------------------------------------------------------------------------------------------
//  Life

static void s_set (void *socket, int option, int value)
{
    int rc = zmq_setsockopt (socket, option, &value, sizeof value);
    assert (rc == 0);
}

static void s_close_socket (const umbp_t *pool, void *socket)
{
    if (pool->context)
        zmq_close (socket);
    else
        zsys_close (socket, __FILE__, __LINE__);
}

static void *s_socket (const umbp_t *pool, const char *endpoint)
{
    void *socket = pool->context ? zmq_socket (pool->context, ZMQ_DEALER)
                                 : zsys_socket (ZMQ_DEALER, __FILE__, __LINE__);
    if (!socket)
        return NULL;
    s_set (socket, ZMQ_LINGER, 0);
    s_set (socket, ZMQ_SNDHWM, QUEUE_MAX);
    s_set (socket, ZMQ_RCVHWM, QUEUE_MAX);
    s_set (socket, ZMQ_IMMEDIATE, 1);   //  Nothing is queued for a node that is not there
    s_set (socket, ZMQ_RECONNECT_IVL, 50);
    s_set (socket, ZMQ_RECONNECT_IVL_MAX, 1000);
    s_set (socket, ZMQ_HEARTBEAT_IVL, 2000);                 //  A silent wire is made anew
    s_set (socket, ZMQ_HEARTBEAT_TIMEOUT, 6000);
    int64_t size_max = UMBP_MESSAGE_MAX + UMBP_INLINE_MAX;
    zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max);
    if (umbp_curve_apply (&pool->curve, socket) && zmq_connect (socket, endpoint) == 0)
        return socket;
    s_close_socket (pool, socket);
    return NULL;
}

umbp_lane_t *umbp_lane_new (umbp_t *pool, const char *endpoint)
{
    void *socket = s_socket (pool, endpoint);
    if (!socket)
        return NULL;
    umbp_lane_t *self = zmalloc (sizeof (umbp_lane_t));
    self->pool = pool;
    self->socket = socket;
    self->session = umbp_lane_draw ();
    self->random = umbp_lane_draw ();
    self->wire = malloc (UMBP_MESSAGE_MAX + UMBP_INLINE_MAX);
    self->datagram = malloc (UMBP_DATAGRAM_MAX);
    assert (self->wire && self->datagram);
    return self;
}

//  ZeroMQ dials no more once it was refused for its key. By now the node may know it.
void umbp_lane_redial (umbp_lane_t *self)
{
    void *socket = self->pool->curve.on && self->wire_open == 0
                       ? s_socket (self->pool, self->pool->endpoint)
                       : NULL;
    if (!socket)
        return;
    s_close_socket (self->pool, self->socket);
    self->socket = socket;
}

static void s_drop_bulk (umbp_bulk_t *bulk)
{
    for (size_t stream = 0; stream < UMBP_STREAMS_MAX; stream++)
        umbp_bulk_client_destroy (&bulk->clients[stream]);
}

void umbp_lane_drop_bulks (umbp_lane_t *self)
{
    for (size_t index = 0; index < UMBP_BULKS_MAX; index++)
        s_drop_bulk (&self->bulks[index]);
}

static void s_free (umbp_lane_t *self)
{
    while (self->chunks) {
        umbp_chunk_t *chunk = self->chunks;
        self->chunks = chunk->next;
        free (chunk);
    }
    free (self->wire);
    free (self->datagram);
    free (self);
}

void umbp_lane_destroy (umbp_lane_t **self_p)
{
    umbp_lane_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < self->door_count; index++)
        umbp_door_close (self, (int) index);
    umbp_memory_tidy (self);
    umbp_lane_drop_bulks (self);
    umbp_rdma_drop (self);
    umbp_rdma_forget_links (self);
    for (size_t index = 0; index < self->frame_count; index++)
        zmq_msg_close (&self->frames[index]);
    s_close_socket (self->pool, self->socket);
    s_free (self);
    *self_p = NULL;
}

//  The socket stays as it is: its threads are in our parent, and closing it here would speak to
//  them through descriptors that both processes share
void umbp_lane_forget (umbp_lane_t **self_p)
{
    umbp_lane_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < self->door_count; index++)
        if (self->doors[index].fd >= 0)
            close (self->doors[index].fd);
    umbp_lane_drop_bulks (self);
    umbp_rdma_forget_links (self);
    s_free (self);
    *self_p = NULL;
}

//  ------------------------------------------------------------------------------------------------
//  Scratch memory

umbp_mark_t umbp_lane_mark (const umbp_lane_t *self)
{
    return (umbp_mark_t) { self->chunk, self->chunk_used };
}

void umbp_lane_rewind (umbp_lane_t *self, umbp_mark_t mark)
{
    self->chunk = mark.chunk;
    self->chunk_used = mark.used;
}

//  The chunk after the current one, if it is large enough; else a new one in between
static umbp_chunk_t *s_next_chunk (umbp_lane_t *self, size_t bytes)
{
    umbp_chunk_t **link = self->chunk ? &self->chunk->next : &self->chunks;
    if (*link && (*link)->size >= bytes)
        return *link;
    size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    umbp_chunk_t *chunk = aligned_alloc (64, (sizeof (umbp_chunk_t) + size + 63) / 64 * 64);
    assert (chunk);
    chunk->size = size;
    chunk->next = *link;
    *link = chunk;
    return chunk;
}

void *umbp_lane_take (umbp_lane_t *self, size_t count, size_t size)
{
    size_t bytes = 0;
    bool fits = !__builtin_mul_overflow (count, size, &bytes) && bytes < SIZE_MAX / 2;
    assert (fits);
    bytes = (bytes + 15) / 16 * 16;
    if (!self->chunk || self->chunk->size - self->chunk_used < bytes) {
        self->chunk = s_next_chunk (self, bytes);
        self->chunk_used = 0;
    }
    void *taken = self->chunk->bytes + self->chunk_used;
    self->chunk_used += bytes;
    return taken;
}

//  ------------------------------------------------------------------------------------------------
//  Time

int64_t umbp_lane_left (const umbp_lane_t *self)
{
    int64_t left = self->deadline_ms - umbp_clock_ms ();
    return left > 0 ? left : 0;
}

int64_t umbp_lane_slice (const umbp_lane_t *self, uint64_t bytes)
{
    int64_t left = umbp_lane_left (self), slice = left / 2;
    int64_t fair = bytes / FAIR_BYTES_MS < INT32_MAX ? (int64_t) (bytes / FAIR_BYTES_MS) : left;
    if (fair > slice)
        slice = fair < left ? fair : left;
    return self->deadline_ms - left + slice;
}

uint64_t umbp_lane_random (umbp_lane_t *self)
{
    uint64_t value = self->random += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

bool umbp_lane_pause (umbp_lane_t *self, unsigned tries)
{
    int64_t pause_us = (tries < 6 ? INT64_C (1) << tries : PAUSE_MAX_MS) * 1000;
    if (pause_us > PAUSE_MAX_MS * 1000)
        pause_us = PAUSE_MAX_MS * 1000;
    pause_us = pause_us / 2 + (int64_t) (umbp_lane_random (self) % (uint64_t) (pause_us / 2));
    int64_t left_us = umbp_lane_left (self) * 1000;
    if (pause_us > left_us)
        pause_us = left_us;
    struct timespec pause = { 0, pause_us * 1000 };
    nanosleep (&pause, NULL);
    return umbp_lane_left (self) > 0;
}

//  ------------------------------------------------------------------------------------------------
//  Bulk connections

//  The one to that endpoint, else a free one, else the one that was not used for longest
static umbp_bulk_t *s_bulk_slot (umbp_lane_t *self, const char *endpoint)
{
    umbp_bulk_t *best = &self->bulks[0];
    for (size_t index = 0; index < UMBP_BULKS_MAX; index++) {
        umbp_bulk_t *bulk = &self->bulks[index];
        if (bulk->clients[0] && streq (bulk->endpoint, endpoint))
            return bulk;
        if (best->clients[0] && (!bulk->clients[0] || bulk->used < best->used))
            best = bulk;
    }
    s_drop_bulk (best);
    snprintf (best->endpoint, sizeof best->endpoint, "%s", endpoint);
    return best;
}

static int s_move_by_tcp (umbp_lane_t *self, const umbp_place_t *place, umbp_bulk_io_t *ios,
                          size_t count, int *statuses, int64_t deadline_ms)
{
    for (size_t index = 0; index < count; index++)
        statuses[index] = UMBP_EUNREACH;
    if (!*place->bulk)
        return UMBP_EUNREACH;           //  That node serves no bytes over tcp
    umbp_bulk_t *bulk = s_bulk_slot (self, place->bulk);
    const umbp_bulk_peer_t peer = { place->bulk, umbp_bulk_alias (self->session), place->bulk_key };
    bulk->used = ++self->bulk_clock;
    return umbp_streams_move (self, bulk, &peer, place->write, ios, count, statuses, deadline_ms);
}

//  Bytes of those that have a status
static uint64_t s_bytes (const umbp_bulk_io_t *ios, const int *statuses, size_t count, bool fine)
{
    uint64_t bytes = 0;
    for (size_t index = 0; index < count; index++)
        if ((statuses[index] == 0) == fine)
            bytes += umbp_piece_total (ios[index].pieces, ios[index].piece_count);
    return bytes;
}

//  What RDMA has left. Returns as umbp_lane_move does, of these.
static int s_move_rest (umbp_lane_t *self, const umbp_place_t *place, umbp_bulk_io_t *ios,
                        size_t count, int *statuses, size_t left)
{
    umbp_mark_t mark = umbp_lane_mark (self);
    umbp_bulk_io_t *rest = umbp_lane_take (self, left, sizeof *rest);
    int *ends = umbp_lane_take (self, left, sizeof *ends);
    size_t *whose = umbp_lane_take (self, left, sizeof *whose), used = 0;
    for (size_t index = 0; index < count; index++)
        if (statuses[index] != 0) {
            rest[used] = ios[index];
            whose[used++] = index;
        }
    assert (used == left);
    uint64_t bytes = s_bytes (ios, statuses, count, false);
    int rc = s_move_by_tcp (self, place, rest, left, ends, umbp_lane_slice (self, bytes));
    for (size_t index = 0; index < left; index++) {
        statuses[whose[index]] = ends[index];
        ios[whose[index]].sum = rest[index].sum;
    }
    uint64_t moved = s_bytes (rest, ends, left, true);
    *(place->write ? &self->stats.tcp_put_bytes : &self->stats.tcp_get_bytes) += moved;
    umbp_lane_rewind (self, mark);
    return rc;
}

int umbp_lane_move_plain (umbp_lane_t *self, const umbp_place_t *place, umbp_bulk_io_t *ios,
                          size_t count, int *statuses)
{
    int none = self->pool->rdma_wanted ? UMBP_EUNREACH : UMBP_ENOTSUP;
    for (size_t index = 0; index < count; index++)
        statuses[index] = none;
    int64_t until = umbp_lane_slice (self, s_bytes (ios, statuses, count, false));
    if (self->pool->tcp)                //  Leave it time
        until -= (until - umbp_clock_ms ()) / 2;
    size_t done = umbp_rdma_move (self, place, ios, count, statuses, until);
    uint64_t moved = s_bytes (ios, statuses, count, true);
    *(place->write ? &self->stats.rdma_put_bytes : &self->stats.rdma_get_bytes) += moved;
    if (done == count || !self->pool->tcp)
        return done > 0 ? (int) done : none;
    int rc = s_move_rest (self, place, ios, count, statuses, count - done);
    return rc < 0 ? rc : rc + (int) done;
}

const uint8_t *umbp_lane_bulk_key (umbp_lane_t *self, umbp_bytes_t keys, size_t row)
{
    if (keys.size < (row + 1) * UMBP_BULK_KEY_BYTES)
        return NULL;
    uint8_t *key = umbp_lane_take (self, UMBP_BULK_KEY_BYTES, 1);
    memcpy (key, keys.data + row * UMBP_BULK_KEY_BYTES, UMBP_BULK_KEY_BYTES);
    return key;
}

//  ------------------------------------------------------------------------------------------------
//  The cluster

int umbp_lane_refresh (umbp_lane_t *self, int64_t deadline_ms)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_topology, 0);
    int rc;
    umbp_answer_t *answer = umbp_wire_ask (self, UMBP_WAY_WIRE, "registry", NULL, &msg, NULL, 0,
                                           UMBP_MSG_topology_ok, deadline_ms, &rc);
    if (!answer)
        return rc;
    const umbp_topology_t *former = self->cluster ? self->cluster->topology : NULL;
    umbp_topology_t *topology = umbp_topology_renew (former, &answer->msg.topology_ok);
    if (!topology)
        return UMBP_EPROTO;
    umbp_pool_set_cluster (self->pool, topology);
    umbp_pool_swap_cluster (self->pool, &self->cluster);
    return 0;
}

//  client/lane.h - one of the connections of a client to its node, and all that one call needs:
//  a ZeroMQ socket to the node's link, doors (UNIX sockets) to actors of nodes on this host, bulk
//  connections to owners on other hosts, a bulk session, and memory to work in.
//
//  A lane belongs to one call at a time. It may change threads between calls, under the lock of the
//  pool. Private to client/.
#ifndef UMBP_LANE_H
#define UMBP_LANE_H

#include <czmq.h>

#include "client/pool.h"
#include "cluster/bulk/board.h"
#include "cluster/bulk/far.h"
#include "cluster/bulk/spin.h"
#include "cluster/bulk/tcp_client.h"
#include "proto/message.h"

#define UMBP_SHARED_ACTOR                                                                          \
    "tier:dram" //  The tier manager whose board is read, and that is asked first
#define UMBP_DOORS_MAX 64
#define UMBP_BULKS_MAX 64
#define UMBP_QUESTIONS_MAX (UMBP_NODES_MAX + 8)
#define UMBP_NO_DOOR (-1)
#define UMBP_LATE_GIFTS_MAX 64          //  Questions whose late answer is given back
#define UMBP_DOOR_BYTES UMBP_SHM_DATA_MAX           //  Of a message with payload through a door
#define UMBP_TOUCHES_MAX 1024           //  Blocks read from a board that are told of at once
#define UMBP_DATAGRAM_MAX (256u << 10)              //  Room for what comes through one

//  An actor of a node on this host
typedef struct {
    char actor[UMBP_NAME_MAX + 1], node[UMBP_NAME_MAX + 1];
    int fd;                             //  -1: closed
    int64_t retry_ms;                   //  Not to be opened again before that
    unsigned open;                      //  Questions
    umbp_memory_t *memory;              //  Lent to our session for as long as it is open; or NULL
    umbp_memory_t *parked;              //  Was lent until just now: somebody may still look at it
} umbp_door_t;

//  The bulk server of a node
typedef struct {
    char endpoint[UMBP_TEXT_MAX + 1];
    umbp_bulk_client_t *clients[UMBP_STREAMS_MAX];            //  The first one, and others for much
    uint64_t used;                      //  Higher: later
} umbp_bulk_t;

typedef struct {
    uint64_t id;
    int door;                           //  Its number, or UMBP_NO_DOOR: over ZeroMQ
    bool lost;                          //  The door closed before the answer came
    bool gift;                          //  Its answer may give us slots or leases
} umbp_question_t;

//  What ends a question
typedef struct {
    uint64_t id;
    int status;                         //  0, or why there is no answer of use
    bool by_door;
    umbp_msg_t msg;
    const uint8_t *payload;
    size_t payload_size;
} umbp_answer_t;

typedef struct umbp_chunk umbp_chunk_t;

struct umbp_lane {
    umbp_t *pool;
    umbp_cluster_t *cluster;            //  Borrowed; NULL until the client is connected
    int64_t deadline_ms;                //  Of the call under way
    umbp_stats_t stats;                 //  Of this call: the pool adds them up
    umbp_memory_t *near;                //  Of our node, as the call began; NULL: it lends none
    umbp_memory_t *kept;                //  The same, once its door has parked another one since; or NULL
    bool doubts;                        //  Something did not fit the snapshot of the cluster
    bool bereaved;                      //  A door was closed that memory had come through
    umbp_lane_t *next;

    void *socket;                       //  ZeroMQ's
    unsigned wire_open;                 //  Questions over ZeroMQ
    uint64_t last_id, session, random;
    umbp_question_t questions[UMBP_QUESTIONS_MAX];
    size_t question_count, lost_count;
    uint64_t late[UMBP_LATE_GIFTS_MAX]; //  Such questions that ended without an answer, 0: none
    size_t late_next;                   //  The oldest

    umbp_door_t doors[UMBP_DOORS_MAX];
    size_t door_count;
    umbp_bulk_t bulks[UMBP_BULKS_MAX];
    uint64_t bulk_clock;
    umbp_far_t *rdma;                   //  Links to nodes; NULL: none was made yet

    uint32_t touches[UMBP_TOUCHES_MAX]; //  Read from the board of our node, and not told of yet
    size_t touch_count;
    int64_t touched_ms;                 //  When it was told last

    unsigned asked;                     //  Questions of exists since a node was asked for its memory
    size_t lender;                      //  The member that may be asked for it next

    umbp_spin_t spin;                   //  Of whoever waits for answers
    zmq_msg_t frames[4];                //  Of the last answer over ZeroMQ
    size_t frame_count;
    uint8_t *datagram;                  //  The last answer through a door
    uint8_t *wire;                      //  Where messages are encoded
    umbp_answer_t answer;

    umbp_chunk_t *chunks, *chunk;       //  Scratch memory: all of it, and what is in use
    size_t chunk_used;
    void *view;                         //  The call that holds the lane is this view, of whichever kind
};

//  Connects to an endpoint, in the background. Returns NULL if the endpoint or the system is at
//  fault.
umbp_lane_t *umbp_lane_new (umbp_t *pool, const char *endpoint);
void umbp_lane_destroy (umbp_lane_t **self_p);

//  In a forked child: closes what a child may close, and frees
void umbp_lane_forget (umbp_lane_t **self_p);

//  Memory of this call, aligned for anything. Aborts if there is none, like zmalloc. It is handed
//  back by umbp_lane_rewind to a mark.
void *umbp_lane_take (umbp_lane_t *self, size_t count, size_t size);
typedef struct {
    umbp_chunk_t *chunk;
    size_t used;
} umbp_mark_t;
umbp_mark_t umbp_lane_mark (const umbp_lane_t *self);
void umbp_lane_rewind (umbp_lane_t *self, umbp_mark_t mark);

//  Milliseconds until the deadline, 0 if it is over
int64_t umbp_lane_left (const umbp_lane_t *self);

//  A deadline for something that others can be asked for if it fails: half of what is left, but
//  time to move so many bytes at 100 MB/s if there is
int64_t umbp_lane_slice (const umbp_lane_t *self, uint64_t bytes);

//  Wait before trying again. tries counts from 0: 1, 2, 4 .. 50 ms, half of it random. Returns
//  false if the deadline is over.
bool umbp_lane_pause (umbp_lane_t *self, unsigned tries);

//  A random number, for who need not be surprised
uint64_t umbp_lane_random (umbp_lane_t *self);

//  Read from a node, or write to it: by RDMA if both ends have that, and what is left then over its
//  bulk server, on the connection that is kept, or a new one. bulk_key: of our session there, NULL if
//  the node gave none. Each transfer gets a status, and its bytes are counted; returns how many of
//  them succeeded, or the error that ended all that were left. Messages come and go meanwhile.
typedef struct {
    const char *node, *bulk;
    const uint8_t *bulk_key;
    bool write;
    bool again;                         //  What is read now is read in parts: more of it comes
} umbp_place_t;
int umbp_lane_move (umbp_lane_t *self, const umbp_place_t *place, umbp_bulk_io_t *ios, size_t count,
                    int *statuses);

//  The same, of buffers that are memory of this host: devmem_move.c has the others
int umbp_lane_move_plain (umbp_lane_t *self, const umbp_place_t *place, umbp_bulk_io_t *ios,
                          size_t count, int *statuses);

//  The row of a column of bulk keys, NULL if that has none for it
const uint8_t *umbp_lane_bulk_key (umbp_lane_t *self, umbp_bytes_t keys, size_t row);

//  Where nodes ask for certificates: a new socket in place of one that may have been refused for
//  good. Only while nothing is asked over it.
void umbp_lane_redial (umbp_lane_t *self);

//  Close all bulk connections
void umbp_lane_drop_bulks (umbp_lane_t *self);

//  A number that nobody can guess, not 0
uint64_t umbp_lane_draw (void);

//  Go on as another session: what connections the old one had are closed, and with them end slots
//  and leases that it may have been given without our hearing of it
void umbp_lane_renew (umbp_lane_t *self);

//  Ask the registry who is in the cluster. Returns 0 or an error.
int umbp_lane_refresh (umbp_lane_t *self, int64_t deadline_ms);

//  ------------------------------------------------------------------------------------------------
//  wire.c: messages

typedef enum {
    UMBP_WAY_ANY,                       //  The door if there is one, else ZeroMQ
    UMBP_WAY_DOOR,                      //  Only the door, which is open already
    UMBP_WAY_WIRE,                      //  Only ZeroMQ
} umbp_way_t;

//  Send a question to an actor of a node, NULL for ours. Sets its id and deadline. Returns 0, or
//  UMBP_EUNREACH (nobody takes it until the deadline), UMBP_ECLOSED (no door), UMBP_ETOOBIG,
//  UMBP_EAGAIN (too many open questions).
int umbp_wire_send (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                    umbp_msg_t *msg, const void *payload, size_t payload_size, int64_t deadline_ms);

//  Wait until one of the open questions ends. Returns its answer, good until the next call here, or
//  NULL once the deadline is over; then there are no open questions any more.
umbp_answer_t *umbp_wire_wait (umbp_lane_t *lane, int64_t deadline_ms);

//  Send and wait. Returns NULL and *rc_p, or the answer, which is of type expected and has status
//  0. What fails through a door is asked once more over ZeroMQ, unless it bears our session: then
//  the caller ends that first (umbp_lane_renew), since slots or leases may have been given for it.
umbp_answer_t *umbp_wire_ask (umbp_lane_t *lane, umbp_way_t way, const char *actor,
                              const char *node, umbp_msg_t *msg, const void *payload,
                              size_t payload_size, int expected, int64_t deadline_ms, int *rc_p);

//  Say it, and expect no answer. What cannot be sent at once is not sent.
void umbp_wire_tell (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                     umbp_msg_t *msg);

//  Forget all open questions: late answers are thrown away, and what they give us is given back
void umbp_wire_abandon (umbp_lane_t *lane);

//  ------------------------------------------------------------------------------------------------
//  door.c: ways to actors of this host

//  Number of the door to an actor, opened if need be, which is tried once a second at most.
//  UMBP_NO_DOOR if there is none. That of a tier manager is found only while it lends us memory.
int umbp_door_find (umbp_lane_t *lane, const char *actor, const char *node);

//  The same for any actor: also those that are spoken to through a door only for a reason
int umbp_door_open (umbp_lane_t *lane, const char *actor, const char *node);

//  Close it. Open questions through it are lost. Memory that came through it stays in sight until
//  umbp_memory_tidy, but a session that was tied to it is over: see umbp_lane_renew.
void umbp_door_close (umbp_lane_t *lane, int number);

//  ------------------------------------------------------------------------------------------------
//  memory.c: memory of nodes of this host

//  Ask a tier manager of a node to lend us its memory, if it may and did not refuse just now
void umbp_memory_attach (umbp_lane_t *lane, const char *actor, const char *node);

//  The same for who wants the board of tier:dram: pages of blocks are put in place only once they are used
void umbp_memory_borrow (umbp_lane_t *lane, const char *node);

//  The memory that a tier manager of a node lends us now, so that extents which it named to our
//  session can be used in it; NULL if it does not, and for an actor NULL. What it lent before is
//  given back at the first sign that it is gone.
umbp_memory_t *umbp_memory_of (umbp_lane_t *lane, const char *actor, const char *node);

//  The same of tier:dram of our own node, which is asked for it if it may lend it; behind
//  umbp_memory_tidy, which has looked whether it is there
umbp_memory_t *umbp_memory_near (umbp_lane_t *lane);

void umbp_memory_unmap (umbp_memory_t **self_p);

//  Give back the memory behind doors that are closed, and close those that have nobody behind them
void umbp_memory_tidy (umbp_lane_t *lane);

//  Where a block lies that a board names: writes pieces, at most UMBP_BOARD_EXTENTS_MAX. Returns how
//  many, or UMBP_EPROTO.
int umbp_memory_place (const umbp_memory_t *self, const umbp_notice_t *notice,
                       umbp_piece_t *pieces);

//  A block was read from the board of our node, which will hear of it: now if that is long ago or
//  there are many, else later
void umbp_memory_touched (umbp_lane_t *lane, uint32_t item);
void umbp_memory_tell_touches (umbp_lane_t *lane);

//  Extents as a message names them: those of block i are the next counts[i] rows
typedef struct {
    umbp_u16s_t counts, regions;
    umbp_u32s_t pages, page_counts, generations;
} umbp_extents_t;

//  True if the columns fit each other and so many blocks
bool umbp_extents_are_whole (const umbp_extents_t *self, size_t blocks);

//  Where a block of size bytes lies in a map: writes pieces, at most rows of them. Returns how
//  many, or UMBP_EPROTO if the extents are outside the map or do not fit the size.
int umbp_memory_locate (const umbp_memory_t *self, bool to_write, const umbp_extents_t *extents,
                        size_t row, size_t rows, uint64_t size, umbp_piece_t *pieces);

#endif

//  cluster/bulk/tcp_conn.h - one connection at the server: what it says (tcp_wire.h), and the
//  moving of its bytes. Requests are served one after the other, so the socket itself is the queue
//  of those that wait, and a connection takes the same memory whatever its peer does. Used by the
//  server's thread alone; nothing here blocks or allocates.
#ifndef UMBP_TCP_CONN_H
#define UMBP_TCP_CONN_H

#include "cluster/bulk/tcp_auth.h"
#include "cluster/bulk/tcp_desk.h"

#ifdef __cplusplus
extern "C" {
#endif

//  What happened since the start, but for connections. Written by the server's thread, read by
//  others.
typedef struct {
    uint64_t connections;               //  Open now
    uint64_t strangers;                 //  Of these, without a proof yet
    uint64_t accepted;
    uint64_t turned_away;               //  Too many connections or sessions, or another version
    uint64_t reads, writes;             //  Done
    uint64_t bytes_out, bytes_in;       //  Of blocks, those of unfinished requests too
    uint64_t refused;                   //  Requests
    uint64_t malformed;                 //  Connections closed for what they sent
    uint64_t silent;                    //  Connections closed since HELLO or PROOF did not come
    uint64_t crowded;                   //  Such without a proof, closed to make room for others
    uint64_t unproven;                  //  Connections closed for a wrong proof
    uint64_t forged;                    //  Connections closed for a wrong seal
    uint64_t unused;                    //  Connections closed since they showed no valid token
    uint64_t idle;                      //  Connections closed since there was no use for them
    uint64_t stalled;                   //  Connections closed since a request made no progress
    uint64_t cut;                       //  Connections closed since a token was revoked
} umbp_bulk_stats_t;

static inline void umbp_bulk_count (uint64_t *counter, int64_t amount)
{
    __atomic_fetch_add (counter, amount, __ATOMIC_RELAXED);
}

//  What all connections share
typedef struct {
    umbp_desk_t *desk;
    umbp_bulk_stats_t *stats;
    uint64_t size_max;
    uint8_t secret[UMBP_BULK_KEY_BYTES];           //  Of which the keys of sessions are made
    int64_t now_ms;                     //  Set by the server's loop, once a round
} umbp_conn_env_t;

//  Why a turn ended
typedef enum {
    UMBP_CONN_MORE = 1,                 //  There is more to do at once, others come first
    UMBP_CONN_IN,                       //  Call again when the socket can be read
    UMBP_CONN_OUT,                      //  Call again when the socket can be written
    UMBP_CONN_END,                      //  To be closed
} umbp_conn_rc_t;

#define UMBP_CONN_INPUT_BYTES 16384     //  Read ahead: headers, and little of the bytes after them
#define UMBP_CONN_OUTPUT_BYTES 2048     //  Answers that wait to be sent together

typedef struct {
    int sock;                           //  -1: not in use
    int phase;                          //  Index of a step in tcp_conn.c
    int after;                          //  The phase that comes once all output is sent
    const umbp_conn_env_t *env;
    uint64_t session;
    bool proven;                        //  It has the key of its session
    bool entered;                       //  The desk knows of us
    bool last;                          //  To be closed once the output is out
    int64_t opened_ms;
    int64_t moved_ms;                   //  When bytes last moved
    int64_t used_ms;                    //  When it last showed a valid token, 0: never
    umbp_bulk_auth_t auth;              //  From HELLO on
    umbp_bulk_request_t request;
    umbp_card_t *card;                  //  Claimed while the request's bytes move
    umbp_cursor_t cursor;
    uint64_t skip;                      //  Bytes of a refused WRITE still to come
    uint64_t skipped;                   //  Such bytes since the last accepted request
    size_t out_at, out_size;
    size_t in_at, in_size;
    uint8_t out[UMBP_CONN_OUTPUT_BYTES];
    uint8_t in[UMBP_CONN_INPUT_BYTES];
} umbp_conn_t;

//  Take over a socket that was just accepted, non-blocking.
void umbp_conn_open (umbp_conn_t *self, int sock, const umbp_conn_env_t *env);

//  Close the socket, give back the card, leave the desk. Stops any transfer: no byte moves after
//  it.
void umbp_conn_close (umbp_conn_t *self);

//  Leave the desk so that the session's end is not told: its tokens stay, and it may come again.
//  Returns false if some are live at that time, and the connection should stay. Close it next.
bool umbp_conn_retire (umbp_conn_t *self, int64_t now_ms);

//  Move what can be moved, at most about so many bytes, so that every connection gets its turn.
umbp_conn_rc_t umbp_conn_turn (umbp_conn_t *self, size_t budget);

//  True if a block is under way with more than so many bytes to come
bool umbp_conn_is_moving (const umbp_conn_t *self, size_t size);

//  True if it is between requests
bool umbp_conn_is_idle (const umbp_conn_t *self);

#ifdef __cplusplus
}
#endif

#endif

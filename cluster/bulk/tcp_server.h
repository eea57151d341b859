//  cluster/bulk/tcp_server.h - serves the bytes of a node's regions to its peers over TCP, in a
//  thread of its own. What a peer may do is granted here by the owner of the pages, and taken back.
//  grant, revoke, key, event, fd and stats may be called from any thread and never block; new and
//  destroy are for one thread, and destroy when nobody else calls. What is said is in tcp_wire.h.
#ifndef UMBP_TCP_SERVER_H
#define UMBP_TCP_SERVER_H

#include "cluster/bulk/tcp_conn.h"      //  umbp_bulk_stats_t
#include "cluster/bulk/tcp_desk.h"      //  umbp_bulk_event_t
#include "cluster/bulk/tcp_grant.h"     //  umbp_grant_t

#ifdef __cplusplus
extern "C" {
#endif

typedef struct umbp_bulk_server umbp_bulk_server_t;

//  What is 0 gets the default in parentheses
typedef struct {
    const char *endpoint;               //  "host:port" in numbers, port 0 for any
    const umbp_piece_t *regions;        //  What extents speak of. The list is copied; the memory
    size_t region_count;                //  must outlive the server, and stay where it is
    uint32_t page_size;                 //  Of all regions, in bytes
    size_t connections_max;             //  (256)
    size_t tokens_max;                  //  (4096)
    size_t grant_bytes_max;             //  Memory of all grants together (64 MiB)
    uint64_t size_max;                  //  Bytes in one request (UMBP_BULK_SIZE_MAX)
    size_t strangers_max;               //  Connections without a proof (a quarter of all, or 32),
    size_t strangers_per_address_max;   //  ... and those from one address (a quarter of these, or
                                        //  32). One more, and the oldest of them is closed
    int hello_ms;                       //  For HELLO and PROOF to come (5000)
    int token_ms;                       //  For a connection to show a valid token (5000)
    int idle_ms;                        //  For one without use whose session has no token (60000)
    int stall_ms;                       //  For a request to make some progress (30000)
} umbp_bulk_server_config_t;

//  Start serving. Returns NULL if that cannot be; *rc_p, unless it is NULL, says why: UMBP_EINVAL
//  (endpoint or page_size), UMBP_EEXIST (endpoint is taken), UMBP_EIO (see errno).
umbp_bulk_server_t *umbp_bulk_server_new (const umbp_bulk_server_config_t *config, int *rc_p);

//  Close all connections and end the thread. When it returns no page is touched any more.
void umbp_bulk_server_destroy (umbp_bulk_server_t **self_p);

//  Where it listens, with the real port.
const char *umbp_bulk_server_endpoint (const umbp_bulk_server_t *self);

//  The key of a session, UMBP_BULK_KEY_BYTES: for the peer that the session's tokens are told, over
//  a way that nobody else can read. Any session has one; it is the same until the server ends.
void umbp_bulk_server_key (const umbp_bulk_server_t *self, uint64_t session, uint8_t *key);

//  Let a session read or write some blocks. From its return on every request finds it. It stays
//  until it is revoked, also past its deadline. Returns 0, or UMBP_EINVAL (extents outside their
//  regions or unfit for the size), UMBP_EEXIST (that token is in use), UMBP_EAGAIN (full: revoke
//  some first).
int umbp_bulk_server_grant (umbp_bulk_server_t *self, const umbp_grant_t *grant);

//  Take a grant back: the fence. Returns 0 if that is done, and no byte will ever again move under
//  the token; or the number of transfers under way, which are now cut off by closing their
//  connections, and then the same is true once the event UMBP_BULK_REVOKED was returned; or
//  UMBP_ENOENT if there is no such token, since it was fenced already or never granted. Until the
//  event is fetched a second call returns one of the latter two.
int umbp_bulk_server_revoke (umbp_bulk_server_t *self, uint64_t token);

//  Fetch what happened, in order: a token is fenced, or a session has no connection left, so its
//  process is dead or has let go. A session that came back meanwhile is not reported.
//  Returns 1 and the event, or 0 if there is none. None is ever lost; while they are not fetched,
//  their tokens and sessions count against the limits.
int umbp_bulk_server_event (umbp_bulk_server_t *self, umbp_bulk_event_t *event);

//  A descriptor to poll: it can be read while there are events. It stays the server's.
int umbp_bulk_server_fd (const umbp_bulk_server_t *self);

//  For who opens the pages to a peer by other means than a connection, RDMA windows: what is held
//  counts as a transfer under way, so it can be revoked at any time, and pages are not used again
//  before it was let go of. hold returns how many spans of addresses the item has, at most max, or
//  UMBP_ESTALE, UMBP_EDENIED, UMBP_ETOOBIG. From then on is_cut is to be asked whenever cuts_fd is
//  readable, and what is cut must end at once; whoever reads cuts_fd resets it. From any thread.
int umbp_bulk_server_hold (umbp_bulk_server_t *self, uint64_t session, uint64_t token,
                           uint32_t item, bool write, umbp_card_t **card_p, umbp_piece_t *spans,
                           size_t max);
void umbp_bulk_server_let_go (umbp_bulk_server_t *self, umbp_card_t **card_p);
bool umbp_bulk_server_is_cut (const umbp_bulk_server_t *self, const umbp_card_t *card);
int umbp_bulk_server_cuts_fd (const umbp_bulk_server_t *self);

//  Whether a session has a token that is good now
bool umbp_bulk_server_is_live (const umbp_bulk_server_t *self, uint64_t session);

void umbp_bulk_server_stats (const umbp_bulk_server_t *self, umbp_bulk_stats_t *stats);

#ifdef __cplusplus
}
#endif

#endif

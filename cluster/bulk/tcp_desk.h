//  cluster/bulk/tcp_desk.h - where the owner of the pages and the thread that moves their bytes
//  meet: grants, sessions, and the events that go back. All calls may be made from any thread; each
//  holds one lock for a moment and none waits for anything else.
//
//  A lock, and not messages, because revoking must be exact: once a token is marked under the lock
//  no new transfer can begin, and the owner learns at once whether any is still under way.
#ifndef UMBP_TCP_DESK_H
#define UMBP_TCP_DESK_H

#include "cluster/bulk/tcp_grant.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    UMBP_BULK_REVOKED = 1,              //  id is a token: the transfers under it were cut off
    UMBP_BULK_CLOSED = 2,               //  id is a session: its last connection is gone
} umbp_bulk_event_type_t;

typedef struct {
    umbp_bulk_event_type_t type;
    uint64_t id;
} umbp_bulk_event_t;

typedef struct umbp_desk umbp_desk_t;

//  Takes the grants in any case. Returns NULL if the kernel has no descriptor left. tokens_max is
//  the number that the grants were made for.
umbp_desk_t *umbp_desk_new (umbp_grants_t **grants_p, size_t tokens_max, size_t sessions_max);
void umbp_desk_destroy (umbp_desk_t **self_p);

//  For the owner. These are described in tcp_server.h.
int umbp_desk_grant (umbp_desk_t *self, const umbp_grant_t *grant);
int umbp_desk_revoke (umbp_desk_t *self, uint64_t token);
int umbp_desk_event (umbp_desk_t *self, umbp_bulk_event_t *event);
int umbp_desk_fd (const umbp_desk_t *self);

//  For the server: a connection of a session came, or went. Enter returns 0, or UMBP_EAGAIN if
//  there are too many sessions, counting those whose end was not yet fetched as an event.
int umbp_desk_enter (umbp_desk_t *self, uint64_t session);
void umbp_desk_leave (umbp_desk_t *self, uint64_t session);

//  For the server: true if enter would find room for the session
bool umbp_desk_has_room (umbp_desk_t *self, uint64_t session);

//  For the server: a connection is about to go, and it is no sign that its session is over, so no
//  event will tell. Returns false, and nothing is changed, if the session has a token that is good
//  at that time; INT64_MAX: none is.
bool umbp_desk_retire (umbp_desk_t *self, uint64_t session, int64_t now_ms);

//  For the server: begin a transfer. Returns 0, the card, and the cursor set on the bytes; or what
//  umbp_card_judge says, and UMBP_ESTALE for a token that is not here, since that was most likely
//  revoked. The card stays until it is given back, by umbp_desk_release, at the transfer's end.
int umbp_desk_claim (umbp_desk_t *self, uint64_t session, const umbp_bulk_request_t *request,
                     int64_t now_ms, umbp_card_t **card_p, umbp_cursor_t *cursor);
void umbp_desk_release (umbp_desk_t *self, umbp_card_t **card_p);

//  The same for who moves the bytes by other means than a connection: claims the card, and tells
//  where the item lies. Returns how many spans that are, or an error.
int umbp_desk_hold (umbp_desk_t *self, uint64_t session, uint64_t token, uint32_t item, bool write,
                    int64_t now_ms, umbp_card_t **card_p, umbp_piece_t *spans, size_t max);

//  True if the session has a token that is good at that time
bool umbp_desk_is_live (umbp_desk_t *self, uint64_t session, int64_t now_ms);

//  True if the transfer under a card must be cut off
bool umbp_desk_is_cut (umbp_desk_t *self, const umbp_card_t *card);

#ifdef __cplusplus
}
#endif

#endif

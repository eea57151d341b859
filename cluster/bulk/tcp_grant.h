//  cluster/bulk/tcp_grant.h - what a token allows. A grant is made by the tier manager that owns
//  the pages and names them; the table keeps it as addresses, checked once, until it is taken out.
//  The table knows nothing of sockets and threads: tcp_desk.h puts the lock around it.
#ifndef UMBP_TCP_GRANT_H
#define UMBP_TCP_GRANT_H

#include "cluster/bulk/extent.h"
#include "cluster/bulk/piece.h"
#include "cluster/bulk/tcp_wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

//  A block: its extents, end to end, and its size in bytes, which they must fit exactly
typedef struct {
    const umbp_extent_t *extents;
    uint32_t extent_count;
    uint64_t size;
} umbp_grant_item_t;

//  The right of one session to read, or to write, some blocks. The token is a secret: 64 random
//  bits, never used twice. The generations in the extents are not looked at here: whoever owns the
//  pages revokes the token before it reuses them.
typedef struct {
    uint64_t token, session;
    bool write;
    int64_t deadline_ms;                //  On the clock of clock.h; later requests are stale
    const umbp_grant_item_t *items;
    uint32_t item_count;
} umbp_grant_t;

//  A grant in the table
typedef struct umbp_card umbp_card_t;

struct umbp_card {
    umbp_card_t *next;                  //  In its bucket
    umbp_card_t *kin, **kin_at;         //  The next one of its session, and who points at us there
    uint64_t token, session;
    int64_t deadline_ms;
    bool write, revoked;
    uint32_t users;                     //  Transfers under way
    uint32_t item_count;
    size_t bytes;                       //  Of memory that the card takes
    struct {
        uint64_t size;
        size_t span;                    //  Its first one; the item's spans follow each other
    } items[];                          //  and, after the last of these, the spans
};

typedef struct umbp_grants umbp_grants_t;

//  regions: the memory that extents speak of, copied. At most cards_max grants are held at a time,
//  and all together take at most bytes_max of memory.
umbp_grants_t *umbp_grants_new (const umbp_piece_t *regions, size_t region_count,
                                uint32_t page_size, size_t cards_max, size_t bytes_max);
void umbp_grants_destroy (umbp_grants_t **self_p);

//  Returns 0, or UMBP_EINVAL (an extent outside its region, or extents that do not fit their size),
//  UMBP_EEXIST (the token is in use), UMBP_EAGAIN (full: revoke some). Takes memory of a slab, and
//  that bounded; all requests under the token then need none.
int umbp_grants_add (umbp_grants_t *self, const umbp_grant_t *grant);

//  Returns the card, or NULL.
umbp_card_t *umbp_grants_find (umbp_grants_t *self, uint64_t token);

//  True if the session has a card that is neither revoked nor past its time.
bool umbp_grants_has_live (const umbp_grants_t *self, uint64_t session, int64_t now_ms);

//  Take a card out, and free it.
void umbp_grants_remove (umbp_grants_t *self, umbp_card_t *card);

size_t umbp_grants_count (const umbp_grants_t *self);

//  Judge a request. Returns 0 and sets the cursor on the bytes, or UMBP_ESTALE (too late, or
//  revoked), UMBP_EDENIED (another session, direction or item, or outside the item).
int umbp_card_judge (const umbp_card_t *self, uint64_t session, const umbp_bulk_request_t *request,
                     int64_t now_ms, umbp_cursor_t *cursor);

//  Where an item lies, for a session that wants all of it: addresses, in order. Returns how many
//  spans, at most max, or what umbp_card_judge says, or UMBP_ETOOBIG.
int umbp_card_spans (const umbp_card_t *self, uint64_t session, uint32_t item, bool write,
                     int64_t now_ms, umbp_piece_t *spans, size_t max);

#ifdef __cplusplus
}
#endif

#endif

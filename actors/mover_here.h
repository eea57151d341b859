//  actors/mover_here.h - moves blocks to and from pages of this very process, where they lie: no socket and no buffer
//  between. What may be touched is what the bulk servers over these pages have granted, as over tcp.
//
//  The fence. A grant is held while bytes are copied under it, which counts as a transfer under way
//  (umbp_bulk_server_hold): whoever revokes it meanwhile is told to wait, and pages are given to nobody else before
//  we let go, however long this thread stood still. So a lease or slot needs no session that is attached, has its
//  clock as over tcp, and a late answer that gave us one is none of ours to undo. Nothing is held between two calls.
#ifndef UMBP_MOVER_HERE_H
#define UMBP_MOVER_HERE_H

#include "cluster/bulk/tcp_server.h"
#include "proto/types.h"

#define UMBP_HERE_MAX 5                 //  Tiers of a process, as far as these go

//  The bulk server over the pages of a tier. It outlives who uses this.
typedef struct {
    char endpoint[UMBP_TEXT_MAX + 1];   //  As its tier manager tells it with leases and slots
    umbp_bulk_server_t *server;
} umbp_here_t;

//  A block, or a part of one, under a token
typedef struct {
    umbp_bulk_server_t *server;
    uint64_t session, token;            //  session: its alias
    uint32_t item;                      //  Of a lease; 0 of a slot
} umbp_here_block_t;

//  The server with this endpoint, NULL if it is elsewhere
umbp_bulk_server_t *umbp_here_find (const umbp_here_t *here, size_t count, const char *endpoint);

//  Copy a whole block of size bytes, and sum it on the way. Returns 0, or UMBP_ESTALE, UMBP_EDENIED as
//  umbp_bulk_server_hold, UMBP_EDENIED if either is smaller, UMBP_ECHECKSUM if it has another sum: then, as with any
//  failure, of the bytes in the slot nothing is known.
int umbp_here_copy (const umbp_here_block_t *from, const umbp_here_block_t *to, uint64_t size,
                    uint64_t sum);

//  Write bytes of ours to a block, from offset on. Returns 0, or what umbp_here_copy does.
int umbp_here_write (const umbp_here_block_t *to, uint64_t offset, const void *data, size_t size);

#endif

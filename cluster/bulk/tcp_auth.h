//  cluster/bulk/tcp_auth.h - proofs and seals of a bulk connection: what tcp_wire.h says of them,
//  for both ends. Values; nothing here allocates, blocks or knows of sockets.
#ifndef UMBP_TCP_AUTH_H
#define UMBP_TCP_AUTH_H

#include "cluster/bulk/tcp_wire.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

//  What both proofs are about: HELLO, and WELCOME up to the server's proof
#define UMBP_BULK_TALK_BYTES \
    (UMBP_BULK_HELLO_BYTES + UMBP_BULK_WELCOME_BYTES - UMBP_BULK_PROOF_BYTES)

//  One direction of the stream
typedef struct {
    uint8_t key[16];
    uint64_t count;                     //  Headers that were sealed, or found sealed
} umbp_bulk_seal_t;

typedef struct {
    uint8_t server_proof[UMBP_BULK_PROOF_BYTES], client_proof[UMBP_BULK_PROOF_BYTES];
    umbp_bulk_seal_t requests, replies;
} umbp_bulk_auth_t;

//  What a session is called on bulk connections, where others may listen in: from that nobody finds
//  the session, which is what a node is asked by. Never 0, but for 0.
uint64_t umbp_bulk_alias (uint64_t session);

//  The key of a session, from the secret of a server, which has as many bytes.
void umbp_bulk_auth_key (const uint8_t *secret, uint64_t session, uint8_t *key);

//  All that follows from a key and from what was said, UMBP_BULK_TALK_BYTES of it.
void umbp_bulk_auth_set (umbp_bulk_auth_t *self, const uint8_t *key, const uint8_t *talk);

//  Compares in the same time whatever differs.
bool umbp_bulk_auth_proves (const uint8_t *proof, const uint8_t *expected);

//  Random bytes that nobody can foresee. Aborts if the system has none.
void umbp_bulk_auth_draw (uint8_t *bytes, size_t size);

//  Seal a header of so many bytes, its seal included.
void umbp_bulk_seal (umbp_bulk_seal_t *self, uint8_t *wire, size_t size);

//  True if the header bears the seal that comes next; only then it counts.
bool umbp_bulk_seal_fits (umbp_bulk_seal_t *self, const uint8_t *wire, size_t size);

#ifdef __cplusplus
}
#endif

#endif

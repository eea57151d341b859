//  cluster/bulk/tcp_auth.c - proofs and seals of a bulk connection. See tcp_auth.h.
#include "cluster/bulk/tcp_auth.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/random.h>

#define LABEL_BYTES 16
#define HEADER_MAX UMBP_BULK_REQUEST_BYTES

_Static_assert(sizeof ((umbp_bulk_seal_t *) 0)->key == crypto_shorthash_KEYBYTES, "SipHash-2-4");
_Static_assert(UMBP_BULK_SEAL_BYTES == crypto_shorthash_BYTES, "SipHash-2-4");

//  BLAKE2b of a label and some bytes, under a key. All of these have 32 bytes.
static void s_hash (uint8_t *hash, const uint8_t *key, const char *label, const uint8_t *bytes,
                    size_t size)
{
    uint8_t text[LABEL_BYTES + UMBP_BULK_TALK_BYTES];
    assert (strlen (label) == LABEL_BYTES && size <= UMBP_BULK_TALK_BYTES);
    memcpy (text, label, LABEL_BYTES);
    memcpy (text + LABEL_BYTES, bytes, size);
    int rc = crypto_generichash (hash, UMBP_BULK_PROOF_BYTES, text, LABEL_BYTES + size, key,
                                 UMBP_BULK_KEY_BYTES);
    assert (rc == 0);
}

uint64_t umbp_bulk_alias (uint64_t session)
{
    static const uint8_t nothing[UMBP_BULK_KEY_BYTES];
    uint8_t hash[UMBP_BULK_PROOF_BYTES];
    uint64_t alias = htole64 (session);
    s_hash (hash, nothing, "umbp bulk alias.", (const uint8_t *) &alias, sizeof alias);
    memcpy (&alias, hash, sizeof alias);
    alias = le64toh (alias);
    return session == 0 ? 0 : alias == 0 ? 1 : alias;
}

void umbp_bulk_auth_key (const uint8_t *secret, uint64_t session, uint8_t *key)
{
    session = htole64 (session);
    s_hash (key, secret, "umbp bulk ticket", (const uint8_t *) &session, sizeof session);
}

void umbp_bulk_auth_set (umbp_bulk_auth_t *self, const uint8_t *key, const uint8_t *talk)
{
    uint8_t stream[2 * sizeof self->requests.key];
    s_hash (self->server_proof, key, "umbp bulk server", talk, UMBP_BULK_TALK_BYTES);
    s_hash (self->client_proof, key, "umbp bulk client", talk, UMBP_BULK_TALK_BYTES);
    s_hash (stream, key, "umbp bulk stream", talk, UMBP_BULK_TALK_BYTES);
    memcpy (self->requests.key, stream, sizeof self->requests.key);
    memcpy (self->replies.key, stream + sizeof self->requests.key, sizeof self->replies.key);
    self->requests.count = self->replies.count = 0;
}

bool umbp_bulk_auth_proves (const uint8_t *proof, const uint8_t *expected)
{
    return sodium_memcmp (proof, expected, UMBP_BULK_PROOF_BYTES) == 0;
}

void umbp_bulk_auth_draw (uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = getrandom (bytes + at, size - at, 0);
        assert (got > 0 || errno == EINTR);
        at += got > 0 ? (size_t) got : 0;
    }
}

static uint64_t s_seal (const umbp_bulk_seal_t *self, const uint8_t *wire, size_t size)
{
    uint8_t text[HEADER_MAX];
    uint64_t count = htole64 (self->count), seal;
    assert (size <= sizeof text);
    memcpy (text, wire, size - sizeof count);
    memcpy (text + size - sizeof count, &count, sizeof count);
    crypto_shorthash ((uint8_t *) &seal, text, size, self->key);
    return seal;                        //  As it goes on the wire
}

void umbp_bulk_seal (umbp_bulk_seal_t *self, uint8_t *wire, size_t size)
{
    uint64_t seal = s_seal (self, wire, size);
    memcpy (wire + size - sizeof seal, &seal, sizeof seal);
    self->count++;
}

bool umbp_bulk_seal_fits (umbp_bulk_seal_t *self, const uint8_t *wire, size_t size)
{
    uint64_t seal = s_seal (self, wire, size), there;
    memcpy (&there, wire + size - sizeof seal, sizeof seal);
    bool fits = seal == there;
    self->count += fits;
    return fits;
}

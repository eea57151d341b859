//  test/unit/bulk_raw.h - bulk connections of peers that have no client library and may do as they
//  like. A connection is its socket; what seals its headers is kept beside.
#ifndef UMBP_TEST_BULK_RAW_H
#define UMBP_TEST_BULK_RAW_H

#include "cluster/bulk/clock.h"
#include "cluster/bulk/tcp_auth.h"
#include "cluster/bulk/tcp_client.h"
#include "cluster/bulk/tcp_sock.h"
#include "proto/error.h"

#include <CUnit/Basic.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RAW_MS 20000                    //  For what should take a moment

//  Of the socket of that number
static inline umbp_bulk_auth_t *raw_auth (int sock)
{
    static umbp_bulk_auth_t auths[4096];
    CU_ASSERT_FATAL (sock >= 0 && sock < 4096);
    return &auths[sock];
}

//  Read so many bytes. Returns those that came before the other end closed.
static inline size_t raw_recv (int sock, void *data, size_t size)
{
    size_t at = 0;
    while (at < size && umbp_tcp_wait (sock, POLLIN, umbp_clock_ms () + RAW_MS) > 0) {
        ssize_t rc = recv (sock, (char *) data + at, size - at, MSG_DONTWAIT);
        if (rc <= 0)
            break;
        at += (size_t) rc;
    }
    return at;
}

//  Say HELLO and hear WELCOME: talk has room for both. Returns the bytes of WELCOME that came.
static inline size_t raw_hello (int sock, uint64_t session, const uint8_t *key, uint8_t *talk)
{
    const umbp_bulk_hello_t hello = { UMBP_BULK_VERSION, session };
    umbp_bulk_hello_pack (&hello, talk);
    umbp_bulk_auth_draw (talk + UMBP_BULK_HELLO_HEAD_BYTES, UMBP_BULK_NONCE_BYTES);
    CU_ASSERT_EQUAL (send (sock, talk, UMBP_BULK_HELLO_BYTES, MSG_NOSIGNAL), UMBP_BULK_HELLO_BYTES);
    size_t size = raw_recv (sock, talk + UMBP_BULK_HELLO_BYTES, UMBP_BULK_WELCOME_BYTES);
    if (size == UMBP_BULK_WELCOME_BYTES)
        umbp_bulk_auth_set (raw_auth (sock), key, talk);
    return size;
}

static inline void raw_prove (int sock, const uint8_t *proof)
{
    CU_ASSERT_EQUAL (send (sock, proof, UMBP_BULK_PROOF_BYTES, MSG_NOSIGNAL),
                     UMBP_BULK_PROOF_BYTES);
}

//  Connect and give a proof. Returns the socket.
static inline int raw_greet (const char *endpoint, uint64_t session, const uint8_t *key)
{
    uint8_t talk[UMBP_BULK_TALK_BYTES + UMBP_BULK_PROOF_BYTES];
    int sock = umbp_tcp_connect (endpoint, umbp_clock_ms () + RAW_MS);
    CU_ASSERT_FATAL (sock >= 0);
    CU_ASSERT_EQUAL (raw_hello (sock, session, key, talk), UMBP_BULK_WELCOME_BYTES);
    const umbp_bulk_auth_t *auth = raw_auth (sock);
    CU_ASSERT (umbp_bulk_auth_proves (talk + UMBP_BULK_TALK_BYTES, auth->server_proof));
    raw_prove (sock, auth->client_proof);
    return sock;
}

//  Write a sealed request
static inline void raw_seal (int sock, const umbp_bulk_request_t *request, uint8_t *wire)
{
    umbp_bulk_request_pack (request, wire);
    umbp_bulk_seal (&raw_auth (sock)->requests, wire, UMBP_BULK_REQUEST_BYTES);
}

static inline void raw_say (int sock, const umbp_bulk_request_t *request)
{
    uint8_t wire[UMBP_BULK_REQUEST_BYTES];
    raw_seal (sock, request, wire);
    CU_ASSERT_EQUAL (send (sock, wire, sizeof wire, MSG_NOSIGNAL), (ssize_t) sizeof wire);
}

//  The next reply: its status, or ECLOSED. Its bytes are not read.
static inline int raw_hear (int sock)
{
    uint8_t wire[UMBP_BULK_REPLY_BYTES];
    umbp_bulk_reply_t reply;
    if (raw_recv (sock, wire, sizeof wire) < sizeof wire)
        return UMBP_ECLOSED;
    CU_ASSERT (umbp_bulk_seal_fits (&raw_auth (sock)->replies, wire, sizeof wire));
    CU_ASSERT_EQUAL (umbp_bulk_reply_unpack (&reply, wire), 0);
    return reply.status;
}

#endif

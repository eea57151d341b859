//  test/unit/test_bulk_client.c - the bulk client against servers that are dead, silent, or lie
#include "cluster/bulk/clock.h"
#include "cluster/bulk/tcp_auth.h"
#include "cluster/bulk/tcp_client.h"
#include "cluster/bulk/tcp_sock.h"
#include "proto/error.h"
#include "test/unit/loopback.h"

#include <CUnit/Basic.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB ((size_t) 1 << 20)
#define SHORT_MS 60                     //  When the client is expected to give up
#define PART_MS 2000                    //  ... after it took something, on a busy machine too
#define LONG_MS 20000                   //  When it is not

//  ---- A server that does what its script says, with one connection

typedef void (script_fn) (int sock);

static struct {
    int listener;
    int end[2];                         //  A pipe, hung up when the test is over
    char endpoint[64];
    script_fn *script;
    pthread_t thread;
} s_fake;

static char s_buffers[3][4 * MIB];

//  Returns false if the client closed first
static bool s_take (int sock, size_t size)
{
    char data[4096];
    while (size) {
        ssize_t rc = recv (sock, data, size < sizeof data ? size : sizeof data, 0);
        if (rc <= 0)
            return false;
        size -= rc;
    }
    return true;
}

static void s_give (int sock, const void *data, size_t size)
{
    for (ssize_t rc = 1; size && rc > 0; size -= rc > 0 ? rc : 0, data = (const char *) data + rc)
        rc = send (sock, data, size, MSG_NOSIGNAL);
}

//  Of session 1 at the server that is played here
static const uint8_t s_key[UMBP_BULK_KEY_BYTES] = "a key of so many bytes as it is";
static umbp_bulk_seal_t s_replies;      //  Of the server's thread

static umbp_bulk_client_t *s_connect (int wait_ms, int *rc_p)
{
    const umbp_bulk_peer_t peer = { s_fake.endpoint, 1, s_key };
    return umbp_bulk_client_new (&peer, umbp_clock_ms () + wait_ms, rc_p);
}

//  Say WELCOME with the proof of who has that key
static void s_welcome_with (int sock, int status, const uint8_t *key)
{
    uint8_t talk[UMBP_BULK_TALK_BYTES + UMBP_BULK_PROOF_BYTES] = { 0 };
    uint8_t *wire = talk + UMBP_BULK_HELLO_BYTES;
    umbp_bulk_auth_t auth;
    const umbp_bulk_welcome_t welcome = { UMBP_BULK_VERSION, status, UMBP_BULK_SIZE_MAX };
    if (recv (sock, talk, UMBP_BULK_HELLO_BYTES, MSG_WAITALL) != UMBP_BULK_HELLO_BYTES)
        return;
    umbp_bulk_welcome_pack (&welcome, wire);
    umbp_bulk_auth_set (&auth, key, talk);
    memcpy (talk + UMBP_BULK_TALK_BYTES, auth.server_proof, UMBP_BULK_PROOF_BYTES);
    s_give (sock, wire, status ? UMBP_BULK_WELCOME_HEAD_BYTES : UMBP_BULK_WELCOME_BYTES);
    s_replies = auth.replies;
}

//  ... and, unless that is bad news, hear the client's
static void s_welcome (int sock, int status)
{
    s_welcome_with (sock, status, s_key);
    if (status == 0)
        s_take (sock, UMBP_BULK_PROOF_BYTES);
}

static void s_reply (int sock, uint8_t op, uint32_t tag, int status, uint64_t size)
{
    uint8_t wire[UMBP_BULK_REPLY_BYTES];
    const umbp_bulk_reply_t reply = { op, tag, status, size };
    umbp_bulk_reply_pack (&reply, wire);
    umbp_bulk_seal (&s_replies, wire, sizeof wire);
    s_give (sock, wire, sizeof wire);
}

//  Wait for the client to go
static void s_linger (int sock)
{
    while (s_take (sock, 4096))
        continue;
}

static void *s_serve (void *arg)
{
    int sock = accept (s_fake.listener, NULL, NULL);
    if (sock != -1) {
        s_fake.script (sock);
        close (sock);
    }
    return arg;
}

static void s_start (script_fn *script)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    s_fake.script = script;
    s_fake.listener = umbp_tcp_listen (loopback_bulk (), 4);
    CU_ASSERT_FATAL (s_fake.listener >= 0 && pipe (s_fake.end) == 0);
    getsockname (s_fake.listener, (struct sockaddr *) &address, &size);
    umbp_tcp_endpoint (&address, s_fake.endpoint, sizeof s_fake.endpoint);
    fcntl (s_fake.listener, F_SETFL, 0);
    if (script)
        pthread_create (&s_fake.thread, NULL, s_serve, NULL);
}

static void s_stop (void)
{
    close (s_fake.end[1]);
    if (s_fake.script)
        pthread_join (s_fake.thread, NULL);
    close (s_fake.end[0]);
    close (s_fake.listener);
}

//  ---- Connecting

static void s_greets_with_garbage (int sock)
{
    s_give (sock, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    s_linger (sock);
}

static void s_greets_by_closing (int sock)
{
    s_take (sock, UMBP_BULK_HELLO_BYTES);
}

static void s_greets_in_part (int sock)
{
    s_give (sock, "UMBB\1\0", 6);
    s_linger (sock);
}

static void s_greets_with_refusal (int sock)
{
    s_welcome (sock, UMBP_EAGAIN);
}

//  Its own HELLO back, and whatever follows from it: who does not know the key can say no more
static void s_greets_with_what_it_heard (int sock)
{
    uint8_t talk[2 * UMBP_BULK_WELCOME_BYTES] = { 0 };
    uint8_t *wire = talk + UMBP_BULK_HELLO_BYTES;
    const umbp_bulk_welcome_t welcome = { UMBP_BULK_VERSION, 0, UMBP_BULK_SIZE_MAX };
    if (recv (sock, talk, UMBP_BULK_HELLO_BYTES, MSG_WAITALL) != UMBP_BULK_HELLO_BYTES)
        return;
    umbp_bulk_welcome_pack (&welcome, wire);
    memcpy (wire + UMBP_BULK_WELCOME_HEAD_BYTES, talk + UMBP_BULK_HELLO_HEAD_BYTES,
            UMBP_BULK_NONCE_BYTES);
    s_give (sock, wire, UMBP_BULK_WELCOME_BYTES);
    s_linger (sock);
}

static void s_greets_with_another_key (int sock)
{
    static const uint8_t key[UMBP_BULK_KEY_BYTES] = { 1 };
    s_welcome_with (sock, 0, key);
    s_linger (sock);
}

static void s_greets_with_another_version (int sock)
{
    s_welcome (sock, UMBP_ENOTSUP);
}

static void test_connects_only_to_a_bulk_server (void)
{
    static const struct { script_fn *script; int wait_ms, rc; } asked[] = {
        { s_greets_with_garbage, LONG_MS, UMBP_EPROTO },
        { s_greets_by_closing, LONG_MS, UMBP_ECLOSED },
        { s_greets_in_part, SHORT_MS, UMBP_ETIMEDOUT },
        { s_linger, SHORT_MS, UMBP_ETIMEDOUT },
        { s_greets_with_refusal, LONG_MS, UMBP_EAGAIN },
        { s_greets_with_another_version, LONG_MS, UMBP_ENOTSUP },
        { s_greets_with_what_it_heard, LONG_MS, UMBP_EDENIED },
        { s_greets_with_another_key, LONG_MS, UMBP_EDENIED },
    };
    int rc;
    for (size_t index = 0; index < sizeof asked / sizeof *asked; index++) {
        s_start (asked[index].script);
        umbp_bulk_client_t *client = s_connect (asked[index].wait_ms, &rc);
        CU_ASSERT (client == NULL);
        CU_ASSERT_EQUAL (rc, asked[index].rc);
        s_stop ();
    }
    s_start (NULL);
    CU_ASSERT (s_connect (SHORT_MS, &rc) == NULL);
    CU_ASSERT_EQUAL (rc, UMBP_ETIMEDOUT);           //  Nobody accepts
    s_stop ();
    CU_ASSERT (s_connect (LONG_MS, &rc) == NULL);
    CU_ASSERT_EQUAL (rc, UMBP_EUNREACH);            //  Nobody listens
    const umbp_bulk_peer_t keyless = { s_fake.endpoint, 1, NULL };
    CU_ASSERT (umbp_bulk_client_new (&keyless, umbp_clock_ms () + LONG_MS, &rc) == NULL);
    CU_ASSERT_EQUAL (rc, UMBP_ENOTSUP);             //  Nobody is asked
}

static void test_takes_addresses_in_numbers (void)
{
    static const char *const good[] = { "127.0.0.1:1", "[::1]:65535", "[fe80::1%lo]:3" };
    static const char *const bad[] = { "",
                                       ":",
                                       "127.0.0.1",
                                       "127.0.0.1:",
                                       ":80",
                                       "localhost:80",
                                       "127.0.0.1:x",
                                       "127.0.0.1:65536",
                                       "[]:1",
                                       "[::1:2",
                                       "127.0.0.1.1:5",
                                       "127.0.0.1:-1" };
    struct sockaddr_storage address;
    char endpoint[160];
    for (size_t index = 0; index < sizeof good / sizeof *good; index++) {
        CU_ASSERT (umbp_tcp_address (good[index], &address) > 0);
        CU_ASSERT (umbp_tcp_endpoint (&address, endpoint, sizeof endpoint) == 0);
        CU_ASSERT_STRING_EQUAL (endpoint, good[index]);
    }
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++)
        CU_ASSERT_EQUAL (umbp_tcp_address (bad[index], &address), UMBP_EINVAL);
    char long_one[300];
    memset (long_one, '1', sizeof long_one);
    memcpy (long_one + sizeof long_one - 3, ":1", 3);
    CU_ASSERT_EQUAL (umbp_tcp_address (long_one, &address), UMBP_EINVAL);
}

//  ---- Transfers. The client asks for three items of 2 MiB.

static void s_goes_silent (int sock)
{
    s_welcome (sock, 0);
    s_linger (sock);
}

//  That the client closed is not heard behind bytes that nobody reads
static void s_stops_reading (int sock)
{
    char byte;
    struct pollfd items[] = { { .fd = sock, .events = POLLRDHUP }, { .fd = s_fake.end[0] } };
    s_welcome (sock, 0);
    if (recv (sock, &byte, 1, MSG_PEEK) > 0)
        poll (items, 2, LONG_MS);
}

static void s_stops_in_a_body (int sock)
{
    s_welcome (sock, 0);
    s_reply (sock, UMBP_BULK_READ, 0, 0, 2 * MIB);
    s_give (sock, s_buffers[2], 2 * MIB);
    s_reply (sock, UMBP_BULK_READ, 1, 0, 2 * MIB);
    s_give (sock, s_buffers[2], MIB);
    s_linger (sock);
}

static void s_drips (int sock)
{
    s_welcome (sock, 0);
    s_reply (sock, UMBP_BULK_READ, 0, 0, 2 * MIB);
    struct pollfd poll_item = { .fd = sock, .events = POLLRDHUP };
    while (send (sock, "x", 1, MSG_NOSIGNAL) == 1 && poll (&poll_item, 1, 1) == 0)
        continue;
}

static void s_closes_in_a_body (int sock)
{
    s_welcome (sock, 0);
    s_take (sock, 3 * UMBP_BULK_REQUEST_BYTES);
    s_reply (sock, UMBP_BULK_READ, 0, 0, 2 * MIB);
    s_give (sock, s_buffers[2], 2 * MIB);
    s_reply (sock, UMBP_BULK_READ, 1, 0, 2 * MIB);
    s_give (sock, s_buffers[2], MIB);
}

static void s_half_closes (int sock)
{
    s_welcome (sock, 0);
    shutdown (sock, SHUT_WR);
    s_linger (sock);
}

static void s_closes (int sock)
{
    s_welcome (sock, 0);
}

static void s_says_garbage (int sock)
{
    s_welcome (sock, 0);
    s_give (sock, s_buffers[2], 2 * MIB);
    s_linger (sock);
}

static void s_says_another_tag (int sock)
{
    s_welcome (sock, 0);
    s_reply (sock, UMBP_BULK_READ, 1, 0, 2 * MIB);
    s_linger (sock);
}

static void s_says_another_size (int sock)
{
    s_welcome (sock, 0);
    s_reply (sock, UMBP_BULK_READ, 0, 0, 2 * MIB + 1);
    s_linger (sock);
}

static void s_forges_a_seal (int sock)
{
    s_welcome (sock, 0);
    s_replies.key[0] ^= 1;
    s_reply (sock, UMBP_BULK_WRITE, 0, 0, 0);
    s_linger (sock);
}

static void s_repeats_a_seal (int sock)
{
    s_welcome (sock, 0);
    s_reply (sock, UMBP_BULK_READ, 0, UMBP_ESTALE, 0);
    s_replies.count = 0;
    s_reply (sock, UMBP_BULK_READ, 1, UMBP_ESTALE, 0);
    s_linger (sock);
}

static void s_refuses_with_a_body (int sock)
{
    s_welcome (sock, 0);
    s_reply (sock, UMBP_BULK_READ, 0, UMBP_ESTALE, 2 * MIB);
    s_linger (sock);
}

static void s_says_another_op (int sock)
{
    s_welcome (sock, 0);
    s_reply (sock, UMBP_BULK_WRITE, 0, 0, 0);
    s_linger (sock);
}

static void s_confirms_what_it_has_not (int sock)
{
    s_welcome (sock, 0);
    s_reply (sock, UMBP_BULK_WRITE, 0, 0, 0);
    s_stops_reading (sock);
}

static void s_confirms_one_write (int sock)
{
    s_welcome (sock, 0);
    s_take (sock, UMBP_BULK_REQUEST_BYTES + 2 * MIB);
    s_reply (sock, UMBP_BULK_WRITE, 0, 0, 0);
}

static void s_refuses_early (int sock)
{
    s_welcome (sock, 0);
    for (uint32_t tag = 0; tag < 3; tag++) {
        s_take (sock, UMBP_BULK_REQUEST_BYTES);
        s_reply (sock, UMBP_BULK_WRITE, tag, UMBP_EDENIED, 0);
        s_take (sock, 2 * MIB);
    }
    s_take (sock, 3 * UMBP_BULK_REQUEST_BYTES);     //  The stream is in step: a read follows
    for (uint32_t tag = 3; tag < 6; tag++) {
        s_reply (sock, UMBP_BULK_READ, tag, tag == 4 ? UMBP_ESTALE : 0, tag == 4 ? 0 : 2 * MIB);
        if (tag != 4)
            s_give (sock, s_buffers[2], 2 * MIB);
    }
    s_linger (sock);
}

static int s_status[3];

static umbp_bulk_client_t *s_client (script_fn *script)
{
    int rc;
    s_start (script);
    umbp_bulk_client_t *client = s_connect (LONG_MS, &rc);
    CU_ASSERT_FATAL (client != NULL && rc == 0);
    return client;
}

static int s_run (umbp_bulk_client_t *client, bool write, int wait_ms)
{
    umbp_piece_t piece = { s_buffers[write], 2 * MIB };
    umbp_bulk_io_t ios[3];
    for (int index = 0; index < 3; index++)
        ios[index] = (umbp_bulk_io_t){ .token = 1,
                                       .pieces = &piece,
                                       .piece_count = 1,
                                        .want_sum = true };
    int64_t deadline_ms = umbp_clock_ms () + wait_ms;
    return write ? umbp_bulk_client_write (client, ios, 3, s_status, deadline_ms)
                 : umbp_bulk_client_read (client, ios, 3, s_status, deadline_ms);
}

static void test_survives_bad_servers (void)
{
    static const struct { script_fn *script; bool write; int wait_ms, good, rc; } asked[] = {
        { s_goes_silent, false, SHORT_MS, 0, UMBP_ETIMEDOUT },
        { s_goes_silent, true, SHORT_MS, 0, UMBP_ETIMEDOUT },
        { s_stops_reading, false, SHORT_MS, 0, UMBP_ETIMEDOUT },
        { s_stops_reading, true, SHORT_MS, 0, UMBP_ETIMEDOUT },
        { s_stops_in_a_body, false, PART_MS, 1, UMBP_ETIMEDOUT },
        { s_drips, false, SHORT_MS, 0, UMBP_ETIMEDOUT },
        { s_closes_in_a_body, false, LONG_MS, 1, UMBP_ECLOSED },
        { s_half_closes, false, LONG_MS, 0, UMBP_ECLOSED },
        { s_half_closes, true, LONG_MS, 0, UMBP_ECLOSED },
        { s_closes, false, LONG_MS, 0, UMBP_ECLOSED },
        { s_closes, true, LONG_MS, 0, UMBP_ECLOSED },
        { s_says_garbage, false, LONG_MS, 0, UMBP_EPROTO },
        { s_says_garbage, true, LONG_MS, 0, UMBP_EPROTO },
        { s_says_another_tag, false, LONG_MS, 0, UMBP_EPROTO },
        { s_says_another_size, false, LONG_MS, 0, UMBP_EPROTO },
        { s_refuses_with_a_body, false, LONG_MS, 0, UMBP_EPROTO },
        { s_says_another_op, false, LONG_MS, 0, UMBP_EPROTO },
        { s_forges_a_seal, true, LONG_MS, 0, UMBP_EPROTO },
        { s_confirms_one_write, true, LONG_MS, 1, UMBP_ECLOSED },
    };
    memset (s_buffers[2], 0x77, sizeof s_buffers[2]);
    for (size_t index = 0; index < sizeof asked / sizeof *asked; index++) {
        umbp_bulk_client_t *client = s_client (asked[index].script);
        CU_ASSERT_EQUAL (s_run (client, asked[index].write, asked[index].wait_ms), asked[index].rc);
        for (int item = 0; item < 3; item++)
            CU_ASSERT_EQUAL (s_status[item], item < asked[index].good ? 0 : asked[index].rc);
        CU_ASSERT (!umbp_bulk_client_is_open (client));
        CU_ASSERT_EQUAL (s_run (client, asked[index].write, LONG_MS), UMBP_ECLOSED);
        umbp_bulk_client_destroy (&client);
        s_stop ();
    }
}

static void test_counts_seals (void)
{
    umbp_bulk_client_t *client = s_client (s_repeats_a_seal);
    CU_ASSERT_EQUAL (s_run (client, false, LONG_MS), UMBP_EPROTO);
    CU_ASSERT (s_status[0] == UMBP_ESTALE && s_status[1] == UMBP_EPROTO);
    umbp_bulk_client_destroy (&client);
    s_stop ();
}

static void test_stays_in_step_when_refused_early (void)
{
    umbp_bulk_client_t *client = s_client (s_refuses_early);
    CU_ASSERT_EQUAL (s_run (client, true, LONG_MS), 0);
    for (int item = 0; item < 3; item++)
        CU_ASSERT_EQUAL (s_status[item], UMBP_EDENIED);
    CU_ASSERT_EQUAL (s_run (client, false, LONG_MS), 2);
    CU_ASSERT (s_status[0] == 0 && s_status[1] == UMBP_ESTALE && s_status[2] == 0);
    CU_ASSERT (memcmp (s_buffers[0], s_buffers[2], 2 * MIB) == 0);
    umbp_bulk_client_destroy (&client);
    s_stop ();
}

//  A write that is larger than what sockets hold cannot be done before it was sent
static void test_knows_what_was_not_sent (void)
{
    enum { PIECES = 16 };
    umbp_piece_t pieces[PIECES];
    for (int index = 0; index < PIECES; index++)
        pieces[index] = (umbp_piece_t) { s_buffers[0], 4 * MIB };
    umbp_bulk_io_t io = { .token = 1, .pieces = pieces, .piece_count = PIECES };
    umbp_bulk_client_t *client = s_client (s_confirms_what_it_has_not);
    int rc = umbp_bulk_client_write (client, &io, 1, s_status, umbp_clock_ms () + LONG_MS);
    CU_ASSERT_EQUAL (rc, UMBP_EPROTO);
    CU_ASSERT_EQUAL (s_status[0], UMBP_EPROTO);
    umbp_bulk_client_destroy (&client);
    s_stop ();
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bulk_client", NULL, NULL);
    CU_ADD_TEST (suite, test_connects_only_to_a_bulk_server);
    CU_ADD_TEST (suite, test_takes_addresses_in_numbers);
    CU_ADD_TEST (suite, test_survives_bad_servers);
    CU_ADD_TEST (suite, test_counts_seals);
    CU_ADD_TEST (suite, test_stays_in_step_when_refused_early);
    CU_ADD_TEST (suite, test_knows_what_was_not_sent);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

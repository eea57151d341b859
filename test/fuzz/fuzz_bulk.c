//  test/fuzz/fuzz_bulk.c - what a peer may say on a bulk connection, to the server's side of a real
//  one over loopback: the first byte is how the rest is cut into pieces, the second after which of
//  them the right to write is revoked, the third who speaks, the rest is sent. Whatever it is, only
//  granted bytes are read or written, every answer is sound, and no transfer stays open. The
//  headers' codec is tried too.
//
//  Nobody finds a proof or a seal by trying. So who speaks is a stranger, who says the rest as it
//  is and gets nothing; or one who has the key, and says HELLO and PROOF first: then the rest are
//  requests, each of which is sealed, unless the third byte says which one is not.
#include "test/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/bulk/clock.h"
#include "cluster/bulk/tcp_conn.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#define PAGE 256
#define PAGES 16
#define SESSION 1
#define READ_SIZE (2 * PAGE - 5)        //  Of item 0 under token 1, in pages 0 and 1
#define WRITE_SIZE (3 * PAGE - 1)       //  Of item 0 under token 2, in pages 5, 6 and 9
#define OUTPUT_MAX (1 << 22)            //  A READ of a few bytes asks for many; more of it is not sent
#define WAIT_MS 5000                    //  For what the kernel has from us already

static const uint8_t s_secret[UMBP_BULK_KEY_BYTES] = "whatever a server has drawn once";
static uint8_t s_memory[PAGES * PAGE], s_output[OUTPUT_MAX];
static umbp_bulk_stats_t s_stats;

static uint8_t s_pattern (size_t at)
{
    return (uint8_t) (at * 7 + at / PAGE);
}

//  ------------------------------------------------------------------------------------------------
//  Two ends of a connection

static void s_hurry (int sock)
{
    struct linger hard = { 1, 0 };      //  Or a million of them wait for their time to be over
    setsockopt (sock, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    setsockopt (sock, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof (int));
}

//  libFuzzer has a timer, whose signals are not to break a connection off while it is made
static void s_connect (int *peer, int *served)
{
    sigset_t timer, before;
    sigemptyset (&timer);
    sigaddset (&timer, SIGALRM);
    sigprocmask (SIG_BLOCK, &timer, &before);
    static int listener = -1;
    static struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    if (listener == -1) {
        address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
        listener = socket (AF_INET, SOCK_STREAM, 0);
        FUZZ_CHECK (bind (listener, (struct sockaddr *) &address, size) == 0);
        FUZZ_CHECK (listen (listener, 4) == 0);
        FUZZ_CHECK (getsockname (listener, (struct sockaddr *) &address, &size) == 0);
    }
    *peer = socket (AF_INET, SOCK_STREAM, 0);
    FUZZ_CHECK (connect (*peer, (struct sockaddr *) &address, size) == 0);
    *served = accept4 (listener, NULL, NULL, SOCK_NONBLOCK);
    FUZZ_CHECK (*served >= 0);
    s_hurry (*peer);
    s_hurry (*served);
    sigprocmask (SIG_SETMASK, &before, NULL);
}

//  ------------------------------------------------------------------------------------------------
//  The owner

static void s_grant (umbp_desk_t *desk, uint64_t token, bool write, uint64_t session,
                     int64_t deadline_ms, const umbp_grant_item_t *items, uint32_t count)
{
    umbp_grant_t grant = { .token = token,
                           .session = session,
                           .write = write,
                           .deadline_ms = deadline_ms, .items = items, .item_count = count };
    FUZZ_CHECK (umbp_desk_grant (desk, &grant) == 0);
}

static umbp_desk_t *s_desk (void)
{
    static const umbp_extent_t readable[] = { { 0, 0, 2, 1 }, { 0, 3, 1, 1 } };
    static const umbp_extent_t writable[] = { { 0, 5, 2, 1 }, { 0, 9, 1, 1 } };
    const umbp_grant_item_t reads[] = { { &readable[0], 1, READ_SIZE }, { &readable[1], 1, 10 } };
    const umbp_grant_item_t writes[] = { { writable, 2, WRITE_SIZE } };
    for (size_t at = 0; at < sizeof s_memory; at++)
        s_memory[at] = s_pattern (at);
    umbp_piece_t region = { s_memory, sizeof s_memory };
    umbp_grants_t *grants = umbp_grants_new (&region, 1, PAGE, 8, 1 << 16);
    umbp_desk_t *desk = umbp_desk_new (&grants, 8, 8);
    FUZZ_CHECK (desk);
    int64_t later = umbp_clock_ms () + 600000;
    s_grant (desk, 1, false, SESSION, later, reads, 2);
    s_grant (desk, 2, true, SESSION, later, writes, 1);
    s_grant (desk, 3, true, SESSION, 1, writes, 1);              //  Its time is over
    s_grant (desk, 4, true, SESSION + 1, later, writes, 1);
    return desk;
}

static bool s_is_writable (size_t at)
{
    return (at >= 5 * PAGE && at < 7 * PAGE) || (at >= 9 * PAGE && at < 10 * PAGE - 1);
}

static void s_check_memory (void)
{
    for (size_t at = 0; at < sizeof s_memory; at++)
        FUZZ_CHECK (s_is_writable (at) || s_memory[at] == s_pattern (at));
}

//  ------------------------------------------------------------------------------------------------
//  What came back

//  Bytes of a READ are from one of the two items that may be read: which offset it was asked for is
//  known to the input alone, so they have to be found there
static bool s_is_readable (const uint8_t *data, size_t size)
{
    static uint8_t items[2][READ_SIZE];
    for (size_t at = 0; at < READ_SIZE; at++) {
        items[0][at] = s_pattern (at);
        items[1][at] = at < 10 ? s_pattern (3 * PAGE + at) : 0;
    }
    return size == 0 || memmem (items[0], READ_SIZE, data, size)
           || memmem (items[1], 10, data, size);
}

static void s_check_output (size_t size, const umbp_bulk_auth_t *auth)
{
    umbp_bulk_welcome_t welcome;
    umbp_bulk_reply_t reply;
    if (size < UMBP_BULK_WELCOME_HEAD_BYTES)
        return;
    FUZZ_CHECK (umbp_bulk_welcome_unpack (&welcome, s_output) == 0);
    FUZZ_CHECK (welcome.version == UMBP_BULK_VERSION);
    size_t at = welcome.status ? UMBP_BULK_WELCOME_HEAD_BYTES : UMBP_BULK_WELCOME_BYTES;
    FUZZ_CHECK (auth ? size >= at : size <= at);             //  A stranger gets no further
    FUZZ_CHECK (welcome.status == 0 || size == at);
    if (!auth)
        return;
    umbp_bulk_seal_t replies = auth->replies;
    while (size - at >= UMBP_BULK_REPLY_BYTES) {
        FUZZ_CHECK (umbp_bulk_seal_fits (&replies, s_output + at, UMBP_BULK_REPLY_BYTES));
        FUZZ_CHECK (umbp_bulk_reply_unpack (&reply, s_output + at) == 0);
        at += UMBP_BULK_REPLY_BYTES;
        if (reply.status != 0 || reply.op != UMBP_BULK_READ)
            FUZZ_CHECK (reply.size == 0);
        size_t there = reply.size < size - at ? reply.size : size - at;
        FUZZ_CHECK (s_is_readable (s_output + at, there));
        at += there;
    }
}

//  ------------------------------------------------------------------------------------------------
//  The run

//  Wait for what was sent
static void s_wait (int sock)
{
    struct pollfd there = { .fd = sock, .events = POLLIN };
    int rc = 0, tries = 0;
    while ((rc = poll (&there, 1, WAIT_MS)) == -1 && errno == EINTR && tries < 100)
        tries++;
    FUZZ_CHECK (rc == 1);
}

//  Take what was answered so far
static size_t s_drain (int peer, size_t used)
{
    ssize_t got = 1;
    while (got > 0 && used < OUTPUT_MAX) {
        got = recv (peer, s_output + used, OUTPUT_MAX - used, MSG_DONTWAIT);
        used += got > 0 ? (size_t) got : 0;
    }
    return used;
}

//  Let the server's side go on until it waits for input. Returns false once it has ended.
static bool s_turn (umbp_conn_t *conn, umbp_desk_t *desk, int peer, size_t *used)
{
    umbp_conn_rc_t rc = UMBP_CONN_MORE;
    while (rc == UMBP_CONN_MORE || rc == UMBP_CONN_OUT) {
        if (conn->card && umbp_desk_is_cut (desk, conn->card))
            return false;
        rc = umbp_conn_turn (conn, (size_t) 1 << 20);
        *used = s_drain (peer, *used);
        if (*used == OUTPUT_MAX)
            return false;
    }
    return rc != UMBP_CONN_END;
}

//  Send some bytes, and let the server's side have them. Returns false if that has ended.
static bool s_send (umbp_conn_t *conn, umbp_desk_t *desk, int peer, const uint8_t *data,
                    size_t size, size_t *used)
{
    FUZZ_CHECK (send (peer, data, size, MSG_NOSIGNAL) == (ssize_t) size);
    s_wait (conn->sock);
    return s_turn (conn, desk, peer, used);
}

//  Send all of it, in pieces. Returns false if the other side ended before that.
static bool s_talk (umbp_conn_t *conn, umbp_desk_t *desk, int peer, const uint8_t *how,
                    const uint8_t *data, size_t size, size_t *used)
{
    uint64_t state = how[0];
    unsigned revoke_at = how[1], piece = 0;
    for (size_t at = 0; at < size;) {
        size_t length = how[0] ? 1 + umbp_splitmix (&state) % 100 : size;
        length = length < size - at ? length : size - at;
        if (!s_send (conn, desk, peer, data + at, length, used))
            return false;
        at += length;
        if (++piece == revoke_at)
            FUZZ_CHECK (umbp_desk_revoke (desk, 2) <= 1);
        if (piece == revoke_at && !s_turn (conn, desk, peer, used))
            return false;
    }
    return true;
}

//  Get in, as one who has the session's key
static void s_get_in (umbp_conn_t *conn, umbp_desk_t *desk, int peer, umbp_bulk_auth_t *auth,
                      size_t *used)
{
    uint8_t talk[UMBP_BULK_TALK_BYTES], key[UMBP_BULK_KEY_BYTES];
    const umbp_bulk_hello_t hello = { UMBP_BULK_VERSION, SESSION };
    umbp_bulk_hello_pack (&hello, talk);
    memset (talk + UMBP_BULK_HELLO_HEAD_BYTES, 7, UMBP_BULK_NONCE_BYTES);
    FUZZ_CHECK (s_send (conn, desk, peer, talk, UMBP_BULK_HELLO_BYTES, used));
    while (*used < UMBP_BULK_WELCOME_BYTES) {
        s_wait (peer);
        *used = s_drain (peer, *used);
    }
    memcpy (talk + UMBP_BULK_HELLO_BYTES, s_output,
            UMBP_BULK_WELCOME_BYTES - UMBP_BULK_PROOF_BYTES);
    umbp_bulk_auth_key (s_secret, SESSION, key);
    umbp_bulk_auth_set (auth, key, talk);
    FUZZ_CHECK (umbp_bulk_auth_proves (s_output + UMBP_BULK_TALK_BYTES - UMBP_BULK_HELLO_BYTES,
                                       auth->server_proof));
    FUZZ_CHECK (s_send (conn, desk, peer, auth->client_proof, UMBP_BULK_PROOF_BYTES, used));
    FUZZ_CHECK (conn->proven);
}

//  Seal the requests in a stream, as far as it goes: where each of them begins is known by those
//  before it. spare is the number of one that stays as it is, 0 for none.
static void s_seal_all (uint8_t *data, size_t size, umbp_bulk_seal_t seal, unsigned spare)
{
    unsigned number = 0;
    for (size_t at = 0; size - at >= UMBP_BULK_REQUEST_BYTES;) {
        umbp_bulk_request_t request;
        if (umbp_bulk_request_unpack (&request, data + at) != 0)
            request.op = 0;
        if (++number != spare)
            umbp_bulk_seal (&seal, data + at, UMBP_BULK_REQUEST_BYTES);
        at += UMBP_BULK_REQUEST_BYTES;
        if (request.op == UMBP_BULK_WRITE)
            at += request.size < size - at ? request.size : size - at;
    }
}

static void s_serve (const uint8_t *how, const uint8_t *data, size_t size)
{
    int peer, served;
    umbp_desk_t *desk = s_desk ();
    umbp_conn_env_t env = { .desk = desk,
                            .stats = &s_stats,
                            .size_max = 4 * PAGE, .now_ms = umbp_clock_ms () };
    memcpy (env.secret, s_secret, sizeof env.secret);
    umbp_conn_t *conn = malloc (sizeof *conn);
    uint8_t *said = malloc (size + 1);
    FUZZ_CHECK (conn && said);
    memcpy (said, data, size);
    s_connect (&peer, &served);
    umbp_conn_open (conn, served, &env);
    size_t used = 0;
    umbp_bulk_auth_t auth;
    bool stranger = how[2] == 255;
    if (!stranger) {
        s_get_in (conn, desk, peer, &auth, &used);
        s_seal_all (said, size, auth.requests, how[2]);
    }
    if (s_talk (conn, desk, peer, how, said, size, &used)) {
        shutdown (peer, SHUT_WR);
        do
            s_wait (served);
        while (s_turn (conn, desk, peer, &used));
    }
    used = s_drain (peer, used);
    FUZZ_CHECK (conn->proven == !stranger);
    umbp_conn_close (conn);
    close (peer);
    s_check_output (used, stranger ? NULL : &auth);
    s_check_memory ();
    for (uint64_t token = 1; token <= 4; token++) {
        int rc = umbp_desk_revoke (desk, token);
        FUZZ_CHECK (rc == 0 || (token == 2 && rc == UMBP_ENOENT));  //  No transfer is under way
    }
    umbp_desk_destroy (&desk);
    free (conn);
    free (said);
}

//  A header that is taken is written as it was read
static void s_headers (const uint8_t *data, size_t size)
{
    uint8_t wire[UMBP_BULK_REQUEST_BYTES];
    umbp_bulk_hello_t hello;
    umbp_bulk_welcome_t welcome;
    umbp_bulk_request_t request;
    umbp_bulk_reply_t reply;
    if (size < UMBP_BULK_REQUEST_BYTES)
        return;
    if (umbp_bulk_hello_unpack (&hello, data) == 0) {
        umbp_bulk_hello_pack (&hello, wire);
        FUZZ_CHECK (memcmp (wire, data, UMBP_BULK_HELLO_HEAD_BYTES) == 0);
    }
    if (umbp_bulk_welcome_unpack (&welcome, data) == 0) {
        umbp_bulk_welcome_pack (&welcome, wire);
        FUZZ_CHECK (memcmp (wire, data, UMBP_BULK_WELCOME_HEAD_BYTES) == 0);
    }
    if (umbp_bulk_request_unpack (&request, data) == 0) {
        umbp_bulk_request_pack (&request, wire);
        FUZZ_CHECK (memcmp (wire, data, UMBP_BULK_REQUEST_BYTES - UMBP_BULK_SEAL_BYTES) == 0);
    }
    if (umbp_bulk_reply_unpack (&reply, data) == 0) {
        umbp_bulk_reply_pack (&reply, wire);
        FUZZ_CHECK (memcmp (wire, data, UMBP_BULK_REPLY_BYTES - UMBP_BULK_SEAL_BYTES) == 0);
    }
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    s_headers (data + 3, size - 3);
    s_serve (data, data + 3, size - 3);
    return 0;
}

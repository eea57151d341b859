//  test/fuzz/fuzz_bulk.c - what a peer may say on a bulk connection, to the server's side of a real
//  one over loopback: the first byte is how the rest is cut into pieces, the second after which of
//  them the right to write is revoked, the rest is sent. Whatever it is, only granted bytes are read
//  or written, every answer is sound, and no transfer stays open. The headers' codec is tried too.
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

static void s_check_output (size_t size)
{
    umbp_bulk_welcome_t welcome;
    umbp_bulk_reply_t reply;
    if (size < UMBP_BULK_WELCOME_BYTES)
        return;
    FUZZ_CHECK (umbp_bulk_welcome_unpack (&welcome, s_output) == 0);
    FUZZ_CHECK (welcome.version == UMBP_BULK_VERSION);
    size_t at = UMBP_BULK_WELCOME_BYTES;
    FUZZ_CHECK (welcome.status == 0 || size == at);
    while (size - at >= UMBP_BULK_REPLY_BYTES) {
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
        rc = umbp_conn_turn (conn);
        *used = s_drain (peer, *used);
        if (*used == OUTPUT_MAX)
            return false;
    }
    return rc != UMBP_CONN_END;
}

//  Send all of it, in pieces. Returns false if the other side ended before that.
static bool s_talk (umbp_conn_t *conn, umbp_desk_t *desk, int peer, const uint8_t *data,
                    size_t size, size_t *used)
{
    uint64_t state = data[0];
    unsigned revoke_at = data[1], piece = 0;
    for (size_t at = 2; at < size;) {
        size_t length = data[0] ? 1 + umbp_splitmix (&state) % 100 : size;
        length = length < size - at ? length : size - at;
        FUZZ_CHECK (send (peer, data + at, length, MSG_NOSIGNAL) == (ssize_t) length);
        at += length;
        s_wait (conn->sock);
        if (!s_turn (conn, desk, peer, used))
            return false;
        if (++piece == revoke_at)
            FUZZ_CHECK (umbp_desk_revoke (desk, 2) <= 1);
        if (piece == revoke_at && !s_turn (conn, desk, peer, used))
            return false;
    }
    return true;
}

static void s_serve (const uint8_t *data, size_t size)
{
    int peer, served;
    umbp_desk_t *desk = s_desk ();
    umbp_conn_env_t env = { desk, &s_stats, 4 * PAGE, umbp_clock_ms () };
    umbp_conn_t *conn = malloc (sizeof *conn);
    FUZZ_CHECK (conn);
    s_connect (&peer, &served);
    umbp_conn_open (conn, served, &env);
    size_t used = 0;
    if (s_talk (conn, desk, peer, data, size, &used)) {
        shutdown (peer, SHUT_WR);
        do
            s_wait (served);
        while (s_turn (conn, desk, peer, &used));
    }
    used = s_drain (peer, used);
    umbp_conn_close (conn);
    close (peer);
    s_check_output (used);
    s_check_memory ();
    for (uint64_t token = 1; token <= 4; token++) {
        int rc = umbp_desk_revoke (desk, token);
        FUZZ_CHECK (rc == 0 || (token == 2 && rc == UMBP_ENOENT));  //  No transfer is under way
    }
    umbp_desk_destroy (&desk);
    free (conn);
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
        FUZZ_CHECK (memcmp (wire, data, UMBP_BULK_HELLO_BYTES) == 0);
    }
    if (umbp_bulk_welcome_unpack (&welcome, data) == 0) {
        umbp_bulk_welcome_pack (&welcome, wire);
        FUZZ_CHECK (memcmp (wire, data, UMBP_BULK_WELCOME_BYTES) == 0);
    }
    if (umbp_bulk_request_unpack (&request, data) == 0) {
        umbp_bulk_request_pack (&request, wire);
        FUZZ_CHECK (memcmp (wire, data, UMBP_BULK_REQUEST_BYTES) == 0);
    }
    if (umbp_bulk_reply_unpack (&reply, data) == 0) {
        umbp_bulk_reply_pack (&reply, wire);
        FUZZ_CHECK (memcmp (wire, data, UMBP_BULK_REPLY_BYTES) == 0);
    }
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    s_headers (data + 2, size - 2);
    s_serve (data, size);
    return 0;
}

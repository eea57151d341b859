//  test/unit/test_bulk_tcp.c - the bulk server as its clients, its owner, and strangers see it
#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"
#include "cluster/bulk/region.h"
#include "cluster/bulk/tcp_client.h"
#include "cluster/bulk/tcp_server.h"
#include "cluster/bulk/tcp_sock.h"
#include "proto/error.h"

#include <CUnit/Basic.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t) 1 << 20)
#define PAGE ((size_t) 64 << 10)
#define BLOCK_PAGES 32                  //  2 MiB
#define BLOCKS 32                       //  In each region
#define LIMIT_MS 20000                  //  For what should take a moment

static unsigned s_seed;
static umbp_region_t *s_memory[2];
static umbp_piece_t s_regions[2];
static umbp_bulk_server_t *s_server;
static char *s_buffer;                  //  64 MiB for a client

//  ---- Set-up

static void s_fill (char *base, size_t size, uint64_t seed)
{
    for (size_t at = 0; at + 8 <= size; at += 8) {
        seed = seed * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
        memcpy (base + at, &seed, 8);
    }
}

static int s_setup (void)
{
    for (int index = 0; index < 2; index++) {
        s_memory[index] = umbp_region_new ("tcp", BLOCKS * BLOCK_PAGES * PAGE, false, true, NULL);
        s_regions[index] = (umbp_piece_t) { umbp_region_base (s_memory[index]),
                                           umbp_region_bytes (s_memory[index]) };
        s_fill (s_regions[index].base, s_regions[index].size, index + 1);
    }
    s_buffer = malloc (64 * MIB);
    memset (s_buffer, 0, 64 * MIB);
    return 0;
}

static int s_teardown (void)
{
    umbp_region_destroy (&s_memory[0]);
    umbp_region_destroy (&s_memory[1]);
    free (s_buffer);
    return 0;
}

static void s_start (umbp_bulk_server_config_t config)
{
    int rc;
    config.endpoint = "127.0.0.1:0";
    config.regions = s_regions;
    config.region_count = 2;
    config.page_size = PAGE;
    s_server = umbp_bulk_server_new (&config, &rc);
    CU_ASSERT_FATAL (s_server != NULL && rc == 0);
}

static void s_stop (void)
{
    umbp_bulk_server_destroy (&s_server);
    CU_ASSERT (s_server == NULL);
}

static int64_t s_soon (void)
{
    return umbp_clock_ms () + LIMIT_MS;
}

static umbp_bulk_client_t *s_connect (uint64_t session)
{
    int rc;
    umbp_bulk_client_t *client =
        umbp_bulk_client_new (umbp_bulk_server_endpoint (s_server), session, s_soon (), &rc);
    CU_ASSERT_FATAL (client != NULL && rc == 0);
    return client;
}

//  Grant one block of a region, in one run, to session 1
static void s_grant_block (uint64_t token, bool write, int region, uint32_t block, uint64_t size)
{
    const umbp_extent_t extent = { region, block * BLOCK_PAGES, (size + PAGE - 1) / PAGE, 1 };
    const umbp_grant_item_t item = { &extent, 1, size };
    const umbp_grant_t grant = { token, 1, write, INT64_MAX, &item, 1 };
    CU_ASSERT_EQUAL_FATAL (umbp_bulk_server_grant (s_server, &grant), 0);
}

static char *s_block (int region, uint32_t block)
{
    return (char *) s_regions[region].base + (size_t) block * BLOCK_PAGES * PAGE;
}

static umbp_bulk_stats_t s_stats (void)
{
    umbp_bulk_stats_t stats;
    umbp_bulk_server_stats (s_server, &stats);
    return stats;
}

//  Wait for an event, and expect it to be this one
static void s_expect (umbp_bulk_event_type_t type, uint64_t id)
{
    umbp_bulk_event_t event = { 0 };
    CU_ASSERT (umbp_tcp_wait (umbp_bulk_server_fd (s_server), POLLIN, s_soon ()) > 0);
    CU_ASSERT_EQUAL (umbp_bulk_server_event (s_server, &event), 1);
    CU_ASSERT (event.type == type && event.id == id);
}

//  ---- A peer without a client library, which may do as it likes

static int s_raw_connect (uint64_t session)
{
    uint8_t wire[UMBP_BULK_WELCOME_BYTES];
    int sock = umbp_tcp_connect (umbp_bulk_server_endpoint (s_server), s_soon ());
    CU_ASSERT_FATAL (sock >= 0);
    const umbp_bulk_hello_t hello = { UMBP_BULK_VERSION, session };
    umbp_bulk_hello_pack (&hello, wire);
    CU_ASSERT_EQUAL (send (sock, wire, UMBP_BULK_HELLO_BYTES, MSG_NOSIGNAL), UMBP_BULK_HELLO_BYTES);
    CU_ASSERT (umbp_tcp_wait (sock, POLLIN, s_soon ()) > 0);
    CU_ASSERT_EQUAL (recv (sock, wire, sizeof wire, MSG_WAITALL), UMBP_BULK_WELCOME_BYTES);
    return sock;
}

static void s_raw_request (int sock, uint8_t op, uint64_t token, uint64_t size)
{
    uint8_t wire[UMBP_BULK_REQUEST_BYTES];
    const umbp_bulk_request_t request = { .op = op, .tag = 77, .token = token, .size = size };
    umbp_bulk_request_pack (&request, wire);
    CU_ASSERT_EQUAL (send (sock, wire, sizeof wire, MSG_NOSIGNAL), sizeof wire);
}

//  Send until all is out or the other end closed. Returns the bytes sent.
static size_t s_raw_send (int sock, const char *data, size_t size)
{
    size_t at = 0;
    while (at < size && umbp_tcp_wait (sock, POLLOUT, s_soon ()) > 0) {
        ssize_t rc = send (sock, data + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (rc <= 0)
            break;
        at += rc;
    }
    return at;
}

//  Read into s_buffer until the other end closes. Returns the bytes read; fails if it does not
//  close in time.
static size_t s_raw_drain (int sock)
{
    size_t total = 0;
    ssize_t rc = 1;
    while (rc > 0 && total < 64 * MIB) {
        CU_ASSERT_FATAL (umbp_tcp_wait (sock, POLLIN, s_soon ()) > 0);
        rc = recv (sock, s_buffer + total, 64 * MIB - total, MSG_DONTWAIT);
        total += rc > 0 ? rc : 0;
    }
    return total;
}

//  ---- Clients

//  A block in scattered extents of both regions, read and written with scattered buffers
static void test_moves_scattered_blocks (void)
{
    s_start ((umbp_bulk_server_config_t) { 0 });
    const umbp_extent_t extents[] = { { 0, 3, 2, 1 },
                                      { 0, 5, 1, 1 },
                                      { 1, 100, 7, 1 },
                                      { 0, 0, 1, 1 }, { 1, 99, 1, 1 } };
    const uint64_t size = 11 * PAGE + 12345;
    char *flat = malloc (size), *expected = malloc (size);
    const umbp_grant_item_t items[] = { { extents, 2, 2 * PAGE + 1 }, { extents, 5, size } };
    const umbp_grant_t grants[] = { { 1, 1, false, INT64_MAX, items, 2 },
                                    { 2, 1, true, INT64_MAX, items, 2 } };
    CU_ASSERT_EQUAL (umbp_bulk_server_grant (s_server, &grants[0]), 0);
    CU_ASSERT_EQUAL (umbp_bulk_server_grant (s_server, &grants[1]), 0);
    CU_ASSERT_EQUAL (umbp_bulk_server_grant (s_server, &grants[1]), UMBP_EEXIST);
    umbp_bulk_client_t *client = s_connect (1);
    for (int round = 0; round < 20; round++) {
        uint64_t offset = round ? rand_r (&s_seed) % size : 0;
        uint64_t part = round ? rand_r (&s_seed) % (size - offset + 1) : size;
        umbp_piece_t pieces[5] = { { NULL, 0 } };
        uint64_t at = 0;
        for (int index = 0; index < 5; at += pieces[index++].size) {
            uint64_t cut = rand_r (&s_seed) % (part - at + 1);
            pieces[index] = (umbp_piece_t) { flat + at, index == 4 ? part - at : cut };
        }
        int status;
        umbp_bulk_io_t io = { .token = 2,
                              .item = 1,
                              .offset = offset,
                              .pieces = pieces,
                              .piece_count = 5, .want_sum = true };
        s_fill (flat, size, rand_r (&s_seed));
        memcpy (expected, flat, part);
        CU_ASSERT_EQUAL (umbp_bulk_client_write (client, &io, 1, &status, s_soon ()), 1);
        CU_ASSERT (status == 0 && io.sum == umbp_sum (expected, part));
        memset (flat, 0, size);
        io.token = 1;
        io.sum = 0;
        CU_ASSERT_EQUAL (umbp_bulk_client_read (client, &io, 1, &status, s_soon ()), 1);
        CU_ASSERT (status == 0 && io.sum == umbp_sum (expected, part));
        CU_ASSERT (memcmp (flat, expected, part) == 0);
    }
    //  The pages themselves; revoking is what lets the owner look at them
    umbp_piece_t whole = { flat, size };
    umbp_bulk_io_t io = { .token = 2, .item = 1, .pieces = &whole, .piece_count = 1 };
    int status;
    CU_ASSERT_EQUAL (umbp_bulk_client_write (client, &io, 1, &status, s_soon ()), 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (s_server, 2), 0);
    uint64_t left = size;
    for (int index = 0, at = 0; index < 5; index++) {
        uint64_t bytes = umbp_extent_bytes (&extents[index], PAGE, left);
        CU_ASSERT (memcmp ((char *) s_regions[extents[index].region].base
                               + umbp_extent_offset (&extents[index], PAGE),
                           flat + at, bytes)
                   == 0);
        at += bytes;
        left -= bytes;
    }
    umbp_bulk_client_destroy (&client);
    umbp_bulk_client_destroy (&client);
    s_stop ();
    free (flat);
    free (expected);
}

//  Many requests at once, large, small and empty, read and written
static void test_moves_batches (void)
{
    enum { COUNT = 1000 };
    static umbp_piece_t pieces[COUNT];
    static umbp_bulk_io_t ios[COUNT];
    static int status[COUNT];
    s_start ((umbp_bulk_server_config_t) { 0 });
    s_grant_block (1, true, 0, 3, 2 * MIB);
    s_grant_block (2, false, 0, 3, 2 * MIB);
    umbp_bulk_client_t *client = s_connect (1);
    for (uint64_t token = 1; token <= 2; token++) {
        char *buffer = s_buffer + (token - 1) * 2 * MIB;
        size_t at = 0;
        for (int index = 0; index < COUNT; index++) {
            size_t size = index % 10 == 0 ? 0 : index % 100 == 1 ? 100000 : index;
            pieces[index] = (umbp_piece_t) { buffer + at, size };
            ios[index] = (umbp_bulk_io_t){ .token = token,
                                           .offset = at,
                                           .pieces = &pieces[index],
                                            .piece_count = 1, .want_sum = index % 2 };
            at += size;
        }
        CU_ASSERT_FATAL (at <= 2 * MIB);
        s_fill (buffer, 2 * MIB, token);
        int done = token == 1 ? umbp_bulk_client_write (client, ios, COUNT, status, s_soon ())
                              : umbp_bulk_client_read (client, ios, COUNT, status, s_soon ());
        CU_ASSERT_EQUAL (done, COUNT);
        CU_ASSERT (memcmp (s_buffer, buffer, at) == 0);
        for (int index = 0; index < COUNT; index++)
            CU_ASSERT (status[index] == 0
                       && (!ios[index].want_sum
                           || ios[index].sum == umbp_sum (pieces[index].base, pieces[index].size)));
    }
    CU_ASSERT_EQUAL (umbp_bulk_client_read (client, NULL, 0, NULL, s_soon ()), 0);
    umbp_bulk_client_destroy (&client);
    s_expect (UMBP_BULK_CLOSED, 1);     //  By then all is counted, but maybe not the closing
    umbp_bulk_stats_t stats = s_stats ();
    CU_ASSERT (stats.reads == COUNT && stats.writes == COUNT && stats.bytes_in == stats.bytes_out);
    CU_ASSERT (stats.accepted == 1 && stats.refused == 0 && stats.malformed == 0);
    s_stop ();
}

//  What is refused leaves its neighbours and the connection alone, and the pages too
static void test_refuses_what_was_not_granted (void)
{
    static const struct { uint64_t token; uint32_t item; uint64_t offset; int rc; } asked[] = {
        { 1, 0, 0, 0 },
        { 2, 0, 0, UMBP_EDENIED },      //  For the other direction
        { 3, 0, 0, UMBP_EDENIED },      //  Another session's
        { 1, 0, 0, 0 },
        { 4, 0, 0, UMBP_ESTALE },       //  Its time is over
        { 5, 0, 0, UMBP_ESTALE },       //  Never granted
        { 1, 1, 0, UMBP_EDENIED },      //  No such item
        { 1, 0, MIB + 1, UMBP_EDENIED },
        { 1, 0, UINT64_MAX, UMBP_EDENIED },
        { 1, 0, MIB, 0 },
    };
    enum { COUNT = sizeof asked / sizeof *asked };
    for (int write = 0; write < 2; write++) {
        s_start ((umbp_bulk_server_config_t) { .size_max = 32 * MIB });
        s_grant_block (1, write, 0, 0, 2 * MIB);
        s_grant_block (2, !write, 0, 1, 2 * MIB);
        const umbp_extent_t extent = { 0, 2 * BLOCK_PAGES, BLOCK_PAGES, 1 };
        const umbp_grant_item_t item = { &extent, 1, 2 * MIB };
        umbp_grant_t grant = { 3, 2, write, INT64_MAX, &item, 1 };
        CU_ASSERT_EQUAL (umbp_bulk_server_grant (s_server, &grant), 0);
        grant = (umbp_grant_t) { 4, 1, write, umbp_clock_ms (), &item, 1 };
        CU_ASSERT_EQUAL (umbp_bulk_server_grant (s_server, &grant), 0);
        s_fill (s_block (0, 0), 10 * MIB, 5);
        uint64_t sum = umbp_sum (s_block (0, 1), 8 * MIB);
        umbp_bulk_client_t *client = s_connect (1);
        umbp_piece_t piece = { s_buffer, MIB };
        umbp_bulk_io_t ios[COUNT];
        int status[COUNT];
        unsigned good = 0;
        for (int index = 0; index < COUNT; index++) {
            ios[index] = (umbp_bulk_io_t){ .token = asked[index].token,
                                           .item = asked[index].item,
                                            .offset = asked[index].offset, .pieces = &piece,
                                            .piece_count = 1 };
            good += asked[index].rc == 0;
        }
        int done = write ? umbp_bulk_client_write (client, ios, COUNT, status, s_soon ())
                         : umbp_bulk_client_read (client, ios, COUNT, status, s_soon ());
        CU_ASSERT_EQUAL (done, (int) good);
        for (int index = 0; index < COUNT; index++)
            CU_ASSERT_EQUAL (status[index], asked[index].rc);
        CU_ASSERT_EQUAL (s_stats ().refused, COUNT - good);
        //  One that is too big does not even leave
        piece.size = 33 * MIB;
        CU_ASSERT_EQUAL (umbp_bulk_client_write (client, ios, 1, status, s_soon ()), 0);
        CU_ASSERT_EQUAL (status[0], UMBP_ETOOBIG);
        CU_ASSERT (umbp_bulk_client_is_open (client));
        umbp_bulk_client_destroy (&client);
        s_stop ();
        CU_ASSERT_EQUAL (umbp_sum (s_block (0, 1), 8 * MIB), sum);
    }
}

//  One of the threads of the next test: 16 connections. Returns its argument if all went well. What
//  CUnit asserts is for the main thread.
static void *s_many (void *arg)
{
    enum { MINE = 16 };
    umbp_bulk_client_t *clients[MINE];
    bool good = true;
    for (int index = 0; index < MINE; index++) {
        clients[index] =
            umbp_bulk_client_new (umbp_bulk_server_endpoint (s_server), 1, s_soon (), NULL);
        good = good && clients[index];
    }
    for (int round = 0; good && round < 3 * MINE; round++) {
        int status, block = round % BLOCKS;
        umbp_piece_t piece = { arg, 2 * MIB };
        umbp_bulk_io_t io = { .token = 100 + block,
                              .pieces = &piece,
                              .piece_count = 1,
                              .want_sum = true };
        int rc = umbp_bulk_client_read (clients[round % MINE], &io, 1, &status, s_soon ());
        good = rc == 1 && io.sum == umbp_sum (s_block (0, block), 2 * MIB);
    }
    for (int index = 0; index < MINE; index++)
        umbp_bulk_client_destroy (&clients[index]);
    return good ? arg : NULL;
}

static void test_serves_64_connections (void)
{
    pthread_t threads[4];
    s_start ((umbp_bulk_server_config_t) { .connections_max = 64 });
    for (int block = 0; block < BLOCKS; block++)
        s_grant_block (100 + block, false, 0, block, 2 * MIB);
    for (int index = 0; index < 4; index++)
        pthread_create (&threads[index], NULL, s_many, s_buffer + index * 2 * MIB);
    for (int index = 0; index < 4; index++) {
        void *result = NULL;
        pthread_join (threads[index], &result);
        CU_ASSERT (result != NULL);
    }
    CU_ASSERT_EQUAL (s_stats ().accepted, 64);
    s_expect (UMBP_BULK_CLOSED, 1);
    s_stop ();
}

//  64 peers that all wait, with requests that were never read: everybody else is served
static void test_slow_readers_block_nobody (void)
{
    enum { SLOW = 63 };
    int socks[SLOW];
    s_start ((umbp_bulk_server_config_t) { .connections_max = SLOW + 1 });
    s_grant_block (1, false, 0, 0, 2 * MIB);
    for (int index = 0; index < SLOW; index++) {
        socks[index] = s_raw_connect (1);
        for (int count = 0; count < 20; count++)
            s_raw_request (socks[index], UMBP_BULK_READ, 1, 2 * MIB);
    }
    umbp_bulk_client_t *client = s_connect (1);
    for (int round = 0; round < 20; round++) {
        int status;
        umbp_piece_t piece = { s_buffer, 2 * MIB };
        umbp_bulk_io_t io = { .token = 1, .pieces = &piece, .piece_count = 1 };
        CU_ASSERT_EQUAL (umbp_bulk_client_read (client, &io, 1, &status, s_soon ()), 1);
    }
    CU_ASSERT (memcmp (s_buffer, s_block (0, 0), 2 * MIB) == 0);
    umbp_bulk_client_destroy (&client);
    //  They hold the token: revoking cuts them all, once
    int rc = umbp_bulk_server_revoke (s_server, 1);
    CU_ASSERT (rc > 0 && rc <= SLOW + 1);           //  Our last read may not be put away yet
    s_expect (UMBP_BULK_REVOKED, 1);
    CU_ASSERT (s_stats ().cut > 0 && s_stats ().cut <= SLOW);
    for (int index = 0; index < SLOW; index++)
        close (socks[index]);
    s_stop ();
}

//  ---- Revoking

static void test_revoke_cuts_a_write (void)
{
    s_start ((umbp_bulk_server_config_t) { 0 });
    s_grant_block (1, true, 0, 0, 2 * MIB);
    int sock = s_raw_connect (1);
    memset (s_buffer, 0x11, 2 * MIB);
    s_raw_request (sock, UMBP_BULK_WRITE, 1, 2 * MIB);
    CU_ASSERT_EQUAL (s_raw_send (sock, s_buffer, MIB), MIB);
    //  Once all that was sent lies in the pages, the transfer is in its middle
    int64_t deadline_ms = s_soon ();
    while (s_stats ().bytes_in < MIB && umbp_clock_ms () < deadline_ms)
        sched_yield ();
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (s_server, 1), 1);
    s_expect (UMBP_BULK_REVOKED, 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (s_server, 1), UMBP_ENOENT);
    //  From here on the pages are another block's
    s_fill (s_block (0, 0), 2 * MIB, 9);
    uint64_t sum = umbp_sum (s_block (0, 0), 2 * MIB);
    s_raw_send (sock, s_buffer, 2 * MIB);
    CU_ASSERT_EQUAL (s_raw_drain (sock), 0);        //  No reply, and closed
    close (sock);
    CU_ASSERT_EQUAL (umbp_sum (s_block (0, 0), 2 * MIB), sum);
    s_expect (UMBP_BULK_CLOSED, 1);
    CU_ASSERT_EQUAL (s_stats ().writes, 0);
    s_stop ();
}

static void test_revoke_cuts_a_read (void)
{
    s_start ((umbp_bulk_server_config_t) { 0 });
    s_grant_block (1, false, 0, 0, 32 * MIB);
    memset (s_block (0, 0), 0x22, 32 * MIB);
    int sock = s_raw_connect (1);
    s_raw_request (sock, UMBP_BULK_READ, 1, 32 * MIB);
    CU_ASSERT (umbp_tcp_wait (sock, POLLIN, s_soon ()) > 0);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (s_server, 1), 1);
    s_expect (UMBP_BULK_REVOKED, 1);
    //  The pages are another block's now, and none of its bytes may come
    memset (s_block (0, 0), 0x33, 32 * MIB);
    size_t total = s_raw_drain (sock);
    CU_ASSERT (total < 32 * MIB);
    CU_ASSERT (memchr (s_buffer, 0x33, total) == NULL);
    close (sock);
    s_stop ();
}

//  Revoke at any moment while clients write: after the fence the pages stay as the owner left them
static void *s_write_on (void *arg)
{
    umbp_bulk_client_t *client = arg;
    umbp_piece_t piece = { s_buffer + 4 * MIB, 512 * 1024 };
    int status = 0;
    while (status == 0) {
        umbp_bulk_io_t ios[4];
        int all[4];
        for (int index = 0; index < 4; index++)
            ios[index] = (umbp_bulk_io_t){ .token = 1,
                                           .offset = index * piece.size,
                                            .pieces = &piece, .piece_count = 1 };
        umbp_bulk_client_write (client, ios, 4, all, s_soon ());
        for (int index = 0; index < 4; index++)
            status = all[index] ? all[index] : status;
    }
    return status == UMBP_ESTALE || status == UMBP_ECLOSED ? client : NULL;
}

static void test_revoke_is_a_fence (void)
{
    s_start ((umbp_bulk_server_config_t) { 0 });
    int cut = 0;
    for (int round = 0; round < 30; round++) {
        s_grant_block (1, true, 0, 0, 2 * MIB);
        umbp_bulk_client_t *client = s_connect (1);
        pthread_t thread;
        void *result = NULL;
        uint64_t before = s_stats ().bytes_in;
        pthread_create (&thread, NULL, s_write_on, client);
        uint64_t moment = before + MIB + rand_r (&s_seed) % (4 * MIB);
        int64_t deadline_ms = s_soon ();
        while (s_stats ().bytes_in < moment && umbp_clock_ms () < deadline_ms)
            sched_yield ();
        int rc = umbp_bulk_server_revoke (s_server, 1);
        CU_ASSERT (rc >= 0);
        if (rc > 0)
            s_expect (UMBP_BULK_REVOKED, 1);
        cut += rc > 0;
        s_fill (s_block (0, 0), 2 * MIB, round);
        uint64_t sum = umbp_sum (s_block (0, 0), 2 * MIB);
        pthread_join (thread, &result);
        CU_ASSERT (result == client);
        CU_ASSERT_EQUAL (umbp_sum (s_block (0, 0), 2 * MIB), sum);
        umbp_bulk_client_destroy (&client);
        s_expect (UMBP_BULK_CLOSED, 1);
    }
    printf ("%d of 30 cut off ", cut);
    s_stop ();
}

//  ---- Limits

static void test_closes_who_says_nothing (void)
{
    s_start ((umbp_bulk_server_config_t) { .hello_ms = 50, .stall_ms = 50 });
    s_grant_block (1, true, 0, 0, 2 * MIB);
    int silent = umbp_tcp_connect (umbp_bulk_server_endpoint (s_server), s_soon ());
    int half_said = umbp_tcp_connect (umbp_bulk_server_endpoint (s_server), s_soon ());
    CU_ASSERT_EQUAL (send (half_said, "UMB", 3, MSG_NOSIGNAL), 3);
    int stalled = s_raw_connect (1), half_asked = s_raw_connect (1), idle = s_raw_connect (2);
    s_raw_request (stalled, UMBP_BULK_WRITE, 1, 2 * MIB);
    CU_ASSERT_EQUAL (send (half_asked, "BQ", 2, MSG_NOSIGNAL), 2);
    CU_ASSERT_EQUAL (s_raw_drain (silent), 0);
    CU_ASSERT_EQUAL (s_raw_drain (half_said), 0);
    CU_ASSERT_EQUAL (s_raw_drain (stalled), 0);
    CU_ASSERT_EQUAL (s_raw_drain (half_asked), 0);
    CU_ASSERT (s_stats ().malformed == 2 && s_stats ().stalled == 2);
    CU_ASSERT_EQUAL (s_stats ().connections, 1);    //  Who asks for nothing may stay
    s_expect (UMBP_BULK_CLOSED, 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (s_server, 1), 0);
    const int socks[] = { silent, half_said, stalled, half_asked, idle };
    for (int index = 0; index < 5; index++)
        close (socks[index]);
    s_stop ();
}

static void test_turns_away_what_is_too_much (void)
{
    int rc;
    s_start ((umbp_bulk_server_config_t) { .connections_max = 2, .size_max = MIB });
    const char *endpoint = umbp_bulk_server_endpoint (s_server);
    CU_ASSERT (umbp_bulk_server_new (
                   &(umbp_bulk_server_config_t){ /* clang-format off */
                   .endpoint = endpoint, .page_size = PAGE }, &rc) == NULL && rc == UMBP_EEXIST);
    CU_ASSERT (umbp_bulk_server_new (
                   &(umbp_bulk_server_config_t){ /* clang-format off */
                   .endpoint = "localhost:0", .page_size = PAGE }, &rc) == NULL
               && rc == UMBP_EINVAL);
    umbp_bulk_client_t *first = s_connect (1), *second = s_connect (1);
    CU_ASSERT (umbp_bulk_client_new (endpoint, 1, s_soon (), &rc) == NULL);
    CU_ASSERT_EQUAL (rc, UMBP_ECLOSED);
    CU_ASSERT_EQUAL (s_stats ().turned_away, 1);
    umbp_bulk_client_destroy (&second);
    umbp_bulk_client_destroy (&first);
    s_expect (UMBP_BULK_CLOSED, 1);
    //  Refused bytes are thrown away, but not without end
    int sock = s_raw_connect (1);
    s_raw_request (sock, UMBP_BULK_WRITE, 1, MIB);
    CU_ASSERT_EQUAL (s_raw_send (sock, s_buffer, MIB), MIB);
    s_raw_request (sock, UMBP_BULK_WRITE, 1, 1);
    CU_ASSERT_EQUAL (s_raw_drain (sock), UMBP_BULK_REPLY_BYTES);
    close (sock);
    s_expect (UMBP_BULK_CLOSED, 1);
    //  A read that is too big is only refused, a write closes the connection
    sock = s_raw_connect (1);
    s_raw_request (sock, UMBP_BULK_READ, 1, MIB + 1);
    s_raw_request (sock, UMBP_BULK_READ, 1, 1);
    s_raw_request (sock, UMBP_BULK_WRITE, 1, MIB + 1);
    CU_ASSERT_EQUAL (s_raw_drain (sock), 2 * UMBP_BULK_REPLY_BYTES);
    close (sock);
    CU_ASSERT_EQUAL (s_stats ().malformed, 2);
    s_stop ();
}

static void test_tells_another_version (void)
{
    uint8_t wire[UMBP_BULK_WELCOME_BYTES];
    s_start ((umbp_bulk_server_config_t) { 0 });
    int sock = umbp_tcp_connect (umbp_bulk_server_endpoint (s_server), s_soon ());
    const umbp_bulk_hello_t hello = { UMBP_BULK_VERSION + 1, 1 };
    umbp_bulk_hello_pack (&hello, wire);
    CU_ASSERT_EQUAL (send (sock, wire, UMBP_BULK_HELLO_BYTES, 0), UMBP_BULK_HELLO_BYTES);
    CU_ASSERT (umbp_tcp_wait (sock, POLLIN, s_soon ()) > 0);
    CU_ASSERT_EQUAL (recv (sock, wire, sizeof wire, MSG_WAITALL), sizeof wire);
    umbp_bulk_welcome_t welcome;
    CU_ASSERT_EQUAL (umbp_bulk_welcome_unpack (&welcome, wire), 0);
    CU_ASSERT (welcome.status == UMBP_ENOTSUP && welcome.version == UMBP_BULK_VERSION);
    CU_ASSERT_EQUAL (s_raw_drain (sock), 0);
    close (sock);
    s_stop ();
}

static void test_reports_closed_sessions (void)
{
    umbp_bulk_event_t event;
    s_start ((umbp_bulk_server_config_t) { 0 });
    umbp_bulk_client_t *first = s_connect (5), *second = s_connect (5), *other = s_connect (6);
    umbp_bulk_client_destroy (&first);
    umbp_bulk_client_destroy (&other);
    s_expect (UMBP_BULK_CLOSED, 6);     //  And not 5, which still has one
    CU_ASSERT_EQUAL (umbp_bulk_server_event (s_server, &event), 0);
    umbp_bulk_client_destroy (&second);
    s_expect (UMBP_BULK_CLOSED, 5);
    CU_ASSERT_EQUAL (umbp_bulk_server_event (s_server, &event), 0);
    s_stop ();
}

//  ---- Garbage

//  Send random bytes, or a good request with some of it changed, or a part of one
static size_t s_garbage (uint8_t *wire, size_t max)
{
    const umbp_bulk_request_t request = {
        .op = UMBP_BULK_READ + rand_r (&s_seed) % 2,
        .token = 1 + rand_r (&s_seed) % 3,
        .item = rand_r (&s_seed) % 2,
        .offset = rand_r (&s_seed) % (3 * MIB),
        .size = rand_r (&s_seed) % (rand_r (&s_seed) % 2 ? 300 : 3 * MIB),
    };
    size_t size = rand_r (&s_seed) % max;
    for (size_t at = 0; at < size; at++)
        wire[at] = (uint8_t) rand_r (&s_seed);
    int kind = rand_r (&s_seed) % 4;
    if (kind == 0 || size < UMBP_BULK_REQUEST_BYTES)
        return size;
    umbp_bulk_request_pack (&request, wire);
    if (kind == 1)
        wire[rand_r (&s_seed) % UMBP_BULK_REQUEST_BYTES] ^= 1 << rand_r (&s_seed) % 8;
    return kind == 2 ? (size_t) rand_r (&s_seed) % UMBP_BULK_REQUEST_BYTES : size;
}

static void test_survives_garbage (void)
{
    uint8_t wire[1024];
    s_start ((umbp_bulk_server_config_t) { .size_max = 4 * MIB });
    s_grant_block (1, true, 0, 1, 2 * MIB);
    s_grant_block (2, false, 0, 2, 2 * MIB);
    s_fill (s_regions[0].base, s_regions[0].size, 4);
    uint64_t before = umbp_sum (s_block (0, 0), 2 * MIB);
    uint64_t behind = umbp_sum (s_block (0, 2), (BLOCKS - 2) * 2 * MIB);
    for (int round = 0; round < 400; round++) {
        bool greeted = rand_r (&s_seed) % 4;
        int sock = greeted ? s_raw_connect (1)
                           : umbp_tcp_connect (umbp_bulk_server_endpoint (s_server), s_soon ());
        for (int count = rand_r (&s_seed) % 6; count > 0; count--) {
            size_t size = s_garbage (wire, sizeof wire);
            if (send (sock, wire, size, MSG_NOSIGNAL | MSG_DONTWAIT) < (ssize_t) size)
                break;
        }
        if (rand_r (&s_seed) % 2) {     //  Some wait for an answer, others just go
            shutdown (sock, SHUT_WR);
            s_raw_drain (sock);
        }
        close (sock);
    }
    umbp_bulk_client_t *client = s_connect (2);
    int64_t deadline_ms = s_soon ();
    while (s_stats ().connections > 1 && umbp_clock_ms () < deadline_ms)
        sched_yield ();
    CU_ASSERT_EQUAL (s_stats ().connections, 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (s_server, 1), 0);
    CU_ASSERT_EQUAL (umbp_sum (s_block (0, 0), 2 * MIB), before);
    CU_ASSERT_EQUAL (umbp_sum (s_block (0, 2), (BLOCKS - 2) * 2 * MIB), behind);
    printf ("%lu malformed, %lu refused ", (unsigned long) s_stats ().malformed,
            (unsigned long) s_stats ().refused);
    umbp_bulk_client_destroy (&client);
    s_stop ();
}

//  A server that is destroyed in the middle of everything
static void test_ends_at_any_time (void)
{
    for (int round = 0; round < 10; round++) {
        s_start ((umbp_bulk_server_config_t) { 0 });
        s_grant_block (1, true, 0, 0, 2 * MIB);
        umbp_bulk_client_t *client = s_connect (1);
        pthread_t thread;
        void *result = NULL;
        pthread_create (&thread, NULL, s_write_on, client);
        while (s_stats ().bytes_in < round * MIB)
            sched_yield ();
        s_stop ();
        pthread_join (thread, &result);
        CU_ASSERT (result == client && !umbp_bulk_client_is_open (client));
        umbp_bulk_client_destroy (&client);
    }
}

//  ---- Speed, printed and never judged: 32 x 2 MiB over loopback, against the plainest loops

#define SPEED_BYTES (64 * MIB)
#define RUNS 5

static int s_plain_sock;
static bool s_plain_sendfile;

static void *s_plain_sender (void *arg)
{
    (void) arg;
    const char *base = s_regions[0].base;
    off_t at = 0;
    while ((size_t) at < SPEED_BYTES) {
        size_t left = SPEED_BYTES - at, bytes = left < 2 * MIB ? left : 2 * MIB;
        if (s_plain_sendfile)
            sendfile (s_plain_sock, umbp_region_fd (s_memory[0]), &at, bytes);
        else {
            ssize_t rc = send (s_plain_sock, base + at, bytes, MSG_NOSIGNAL);
            at += rc > 0 ? rc : 0;
        }
    }
    return NULL;
}

static double s_now (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

static double s_plain (int sock, bool with_sendfile)
{
    pthread_t thread;
    s_plain_sendfile = with_sendfile;
    double start = s_now ();
    pthread_create (&thread, NULL, s_plain_sender, NULL);
    for (size_t at = 0; at < SPEED_BYTES;) {
        ssize_t rc = recv (sock, s_buffer + at, SPEED_BYTES - at, 0);
        at += rc > 0 ? rc : 0;
    }
    double seconds = s_now () - start;
    pthread_join (thread, NULL);
    return (double) SPEED_BYTES / seconds / 1e9;
}

static double s_ours (umbp_bulk_client_t *client, bool write, bool want_sum)
{
    umbp_piece_t pieces[BLOCKS];
    umbp_bulk_io_t ios[BLOCKS];
    int status[BLOCKS];
    for (int index = 0; index < BLOCKS; index++) {
        pieces[index] = (umbp_piece_t) { s_buffer + index * 2 * MIB, 2 * MIB };
        ios[index] = (umbp_bulk_io_t){ .token = write ? 2 : 1,
                                       .item = index,
                                        .pieces = &pieces[index], .piece_count = 1,
                                        .want_sum = want_sum };
    }
    double start = s_now ();
    int done = write ? umbp_bulk_client_write (client, ios, BLOCKS, status, s_soon ())
                     : umbp_bulk_client_read (client, ios, BLOCKS, status, s_soon ());
    double seconds = s_now () - start;
    CU_ASSERT_EQUAL (done, BLOCKS);
    return (double) SPEED_BYTES / seconds / 1e9;
}

static void s_plain_pair (int *near, int *far)
{
    char endpoint[64];
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int listener = umbp_tcp_listen ("127.0.0.1:0", 1);
    getsockname (listener, (struct sockaddr *) &address, &size);
    umbp_tcp_endpoint (&address, endpoint, sizeof endpoint);
    *near = umbp_tcp_connect (endpoint, s_soon ());
    umbp_tcp_wait (listener, POLLIN, s_soon ());
    *far = accept (listener, NULL, NULL);
    umbp_tcp_tune (*far);
    fcntl (*near, F_SETFL, 0);
    close (listener);
}

static int s_compare (const void *left, const void *right)
{
    double a = *(const double *) left, b = *(const double *) right;
    return (a > b) - (a < b);
}

static void test_prints_speed (void)
{
    static const char *const names[] = { "plain sendfile and recv", "plain send and recv",
                                         "bulk read", "bulk read with sums",
                                         "bulk write with sums" };
    double speeds[5][RUNS];
    umbp_extent_t extents[BLOCKS];
    umbp_grant_item_t items[BLOCKS];
    s_start ((umbp_bulk_server_config_t) { 0 });
    for (int index = 0; index < BLOCKS; index++) {
        extents[index] = (umbp_extent_t) { 0, index * BLOCK_PAGES, BLOCK_PAGES, 1 };
        items[index] = (umbp_grant_item_t) { &extents[index], 1, 2 * MIB };
    }
    for (uint64_t token = 1; token <= 2; token++) {
        const umbp_grant_t grant = { token, 1, token == 2, INT64_MAX, items, BLOCKS };
        CU_ASSERT_EQUAL (umbp_bulk_server_grant (s_server, &grant), 0);
    }
    umbp_bulk_client_t *client = s_connect (1);
    int sock;
    s_plain_pair (&sock, &s_plain_sock);
    for (int run = -1; run < RUNS; run++) {         //  The first one warms up
        int at = run < 0 ? 0 : run;
        speeds[0][at] = s_plain (sock, true);
        speeds[1][at] = s_plain (sock, false);
        speeds[2][at] = s_ours (client, false, false);
        speeds[3][at] = s_ours (client, false, true);
        speeds[4][at] = s_ours (client, true, true);
    }
    for (int row = 0; row < 5; row++) {
        qsort (speeds[row], RUNS, sizeof (double), s_compare);
        printf ("\n    %-24s %6.2f GB/s (32 x 2 MiB, loopback, cubic, median of %d)", names[row],
                speeds[row][RUNS / 2], RUNS);
    }
    printf ("\n");
    close (sock);
    close (s_plain_sock);
    umbp_bulk_client_destroy (&client);
    s_stop ();
}

int main (int argc, char **argv)
{
    alarm (120);
    s_seed = argc > 1 ? (unsigned) strtoul (argv[1], NULL, 10) : (unsigned) time (NULL);
    printf ("seed %u\n", s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bulk_tcp", s_setup, s_teardown);
    CU_ADD_TEST (suite, test_moves_scattered_blocks);
    CU_ADD_TEST (suite, test_moves_batches);
    CU_ADD_TEST (suite, test_refuses_what_was_not_granted);
    CU_ADD_TEST (suite, test_serves_64_connections);
    CU_ADD_TEST (suite, test_slow_readers_block_nobody);
    CU_ADD_TEST (suite, test_revoke_cuts_a_write);
    CU_ADD_TEST (suite, test_revoke_cuts_a_read);
    CU_ADD_TEST (suite, test_revoke_is_a_fence);
    CU_ADD_TEST (suite, test_closes_who_says_nothing);
    CU_ADD_TEST (suite, test_turns_away_what_is_too_much);
    CU_ADD_TEST (suite, test_tells_another_version);
    CU_ADD_TEST (suite, test_reports_closed_sessions);
    CU_ADD_TEST (suite, test_survives_garbage);
    CU_ADD_TEST (suite, test_ends_at_any_time);
    CU_ADD_TEST (suite, test_prints_speed);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_bulk_tcp.c - the bulk server as its clients and its owner see it
#include "test/unit/bulk.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/sendfile.h>

//  A block in scattered extents of both regions, read and written with scattered buffers
static void test_moves_scattered_blocks (void)
{
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    const umbp_extent_t extents[] = { { 0, 3, 2, 1 },
                                      { 0, 5, 1, 1 },
                                      { 1, 100, 7, 1 },
                                      { 0, 0, 1, 1 }, { 1, 99, 1, 1 } };
    const uint64_t size = 11 * PAGE + 12345;
    char *flat = malloc (size), *expected = malloc (size);
    const umbp_grant_item_t items[] = { { extents, 2, 2 * PAGE + 1 }, { extents, 5, size } };
    const umbp_grant_t grants[] = { { 1, 1, false, INT64_MAX, items, 2 },
                                    { 2, 1, true, INT64_MAX, items, 2 } };
    CU_ASSERT_EQUAL (umbp_bulk_server_grant (bulk_server, &grants[0]), 0);
    CU_ASSERT_EQUAL (umbp_bulk_server_grant (bulk_server, &grants[1]), 0);
    CU_ASSERT_EQUAL (umbp_bulk_server_grant (bulk_server, &grants[1]), UMBP_EEXIST);
    umbp_bulk_client_t *client = bulk_connect (1);
    for (int round = 0; round < 20; round++) {
        uint64_t offset = round ? umbp_splitmix (&bulk_seed) % size : 0;
        uint64_t part = round ? umbp_splitmix (&bulk_seed) % (size - offset + 1) : size;
        umbp_piece_t pieces[5] = { { NULL, 0 } };
        uint64_t at = 0;
        for (int index = 0; index < 5; at += pieces[index++].size) {
            uint64_t cut = umbp_splitmix (&bulk_seed) % (part - at + 1);
            pieces[index] = (umbp_piece_t) { flat + at, index == 4 ? part - at : cut };
        }
        int status;
        umbp_bulk_io_t io = { .token = 2,
                              .item = 1,
                              .offset = offset,
                              .pieces = pieces,
                              .piece_count = 5, .want_sum = true };
        bulk_fill (flat, size, umbp_splitmix (&bulk_seed));
        memcpy (expected, flat, part);
        CU_ASSERT_EQUAL (umbp_bulk_client_write (client, &io, 1, &status, bulk_soon ()), 1);
        CU_ASSERT (status == 0 && io.sum == umbp_sum (expected, part));
        memset (flat, 0, size);
        io.token = 1;
        io.sum = 0;
        CU_ASSERT_EQUAL (umbp_bulk_client_read (client, &io, 1, &status, bulk_soon ()), 1);
        CU_ASSERT (status == 0 && io.sum == umbp_sum (expected, part));
        CU_ASSERT (memcmp (flat, expected, part) == 0);
    }
    //  The pages themselves; revoking is what lets the owner look at them
    umbp_piece_t whole = { flat, size };
    umbp_bulk_io_t io = { .token = 2, .item = 1, .pieces = &whole, .piece_count = 1 };
    int status;
    CU_ASSERT_EQUAL (umbp_bulk_client_write (client, &io, 1, &status, bulk_soon ()), 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, 2), 0);
    uint64_t left = size;
    for (int index = 0, at = 0; index < 5; index++) {
        uint64_t bytes = umbp_extent_bytes (&extents[index], PAGE, left);
        CU_ASSERT (memcmp ((char *) bulk_regions[extents[index].region].base
                               + umbp_extent_offset (&extents[index], PAGE),
                           flat + at, bytes)
                   == 0);
        at += bytes;
        left -= bytes;
    }
    umbp_bulk_client_destroy (&client);
    umbp_bulk_client_destroy (&client);
    bulk_stop ();
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
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    bulk_grant_block (1, true, 0, 3, 2 * MIB);
    bulk_grant_block (2, false, 0, 3, 2 * MIB);
    umbp_bulk_client_t *client = bulk_connect (1);
    for (uint64_t token = 1; token <= 2; token++) {
        char *buffer = bulk_buffer + (token - 1) * 2 * MIB;
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
        bulk_fill (buffer, 2 * MIB, token);
        int done = token == 1 ? umbp_bulk_client_write (client, ios, COUNT, status, bulk_soon ())
                              : umbp_bulk_client_read (client, ios, COUNT, status, bulk_soon ());
        CU_ASSERT_EQUAL (done, COUNT);
        CU_ASSERT (memcmp (bulk_buffer, buffer, at) == 0);
        for (int index = 0; index < COUNT; index++)
            CU_ASSERT (status[index] == 0
                       && (!ios[index].want_sum
                           || ios[index].sum == umbp_sum (pieces[index].base, pieces[index].size)));
    }
    CU_ASSERT_EQUAL (umbp_bulk_client_read (client, NULL, 0, NULL, bulk_soon ()), 0);
    umbp_bulk_client_destroy (&client);
    bulk_expect (UMBP_BULK_CLOSED, 1);     //  By then all is counted, but maybe not the closing
    umbp_bulk_stats_t stats = bulk_stats ();
    CU_ASSERT (stats.reads == COUNT && stats.writes == COUNT && stats.bytes_in == stats.bytes_out);
    CU_ASSERT (stats.accepted == 1 && stats.refused == 0 && stats.malformed == 0);
    bulk_stop ();
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
        bulk_start ((umbp_bulk_server_config_t) { .size_max = 32 * MIB });
        bulk_grant_block (1, write, 0, 0, 2 * MIB);
        bulk_grant_block (2, !write, 0, 1, 2 * MIB);
        const umbp_extent_t extent = { 0, 2 * BLOCK_PAGES, BLOCK_PAGES, 1 };
        const umbp_grant_item_t item = { &extent, 1, 2 * MIB };
        umbp_grant_t grant = { 3, 2, write, INT64_MAX, &item, 1 };
        CU_ASSERT_EQUAL (umbp_bulk_server_grant (bulk_server, &grant), 0);
        grant = (umbp_grant_t) { 4, 1, write, umbp_clock_ms (), &item, 1 };
        CU_ASSERT_EQUAL (umbp_bulk_server_grant (bulk_server, &grant), 0);
        bulk_fill (bulk_block (0, 0), 10 * MIB, 5);
        uint64_t sum = umbp_sum (bulk_block (0, 1), 8 * MIB);
        umbp_bulk_client_t *client = bulk_connect (1);
        umbp_piece_t piece = { bulk_buffer, MIB };
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
        int done = write ? umbp_bulk_client_write (client, ios, COUNT, status, bulk_soon ())
                         : umbp_bulk_client_read (client, ios, COUNT, status, bulk_soon ());
        CU_ASSERT_EQUAL (done, (int) good);
        for (int index = 0; index < COUNT; index++)
            CU_ASSERT_EQUAL (status[index], asked[index].rc);
        CU_ASSERT_EQUAL (bulk_stats ().refused, COUNT - good);
        //  One that is too big does not even leave
        piece.size = 33 * MIB;
        CU_ASSERT_EQUAL (umbp_bulk_client_write (client, ios, 1, status, bulk_soon ()), 0);
        CU_ASSERT_EQUAL (status[0], UMBP_ETOOBIG);
        CU_ASSERT (umbp_bulk_client_is_open (client));
        umbp_bulk_client_destroy (&client);
        bulk_stop ();
        CU_ASSERT_EQUAL (umbp_sum (bulk_block (0, 1), 8 * MIB), sum);
    }
}

//  Small blocks in pieces of all sizes, some of them refused, in one batch: they come together, and
//  each has its own bytes
static void test_small_blocks_come_together (void)
{
    enum { COUNT = 300, ROUNDS = 10, SIZE = 9000 };
    static umbp_piece_t pieces[COUNT][3];
    static umbp_bulk_io_t ios[COUNT];
    static int status[COUNT];
    char *room = bulk_buffer + 8 * MIB, *image = bulk_buffer;
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    bulk_grant_block (1, false, 0, 0, 2 * MIB);
    bulk_grant_block (2, true, 0, 0, 2 * MIB);
    umbp_bulk_client_t *client = bulk_connect (1);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t seed = bulk_seed + round, write = round % 2, good = 0;
        memcpy (image, bulk_block (0, 0), 2 * MIB);
        bulk_fill (room, COUNT * SIZE / 8 * 8, seed);
        for (size_t index = 0; index < COUNT; index++) {
            uint64_t size = umbp_splitmix (&seed) % SIZE, wrong = umbp_splitmix (&seed) % 4 == 0;
            size_t first = size / 3, at = index * SIZE;
            pieces[index][0] = (umbp_piece_t) { room + at, first };
            pieces[index][1] = (umbp_piece_t) { room + at + first, 0 };
            pieces[index][2] = (umbp_piece_t) { room + at + first, size - first };
            ios[index] = (umbp_bulk_io_t){ .token = wrong ? 77 : 1 + write,
                                           .offset = index * (2 * MIB / COUNT),
                                           .pieces = pieces[index], .piece_count = 3,
                                           .want_sum = true };
            size = ios[index].offset + size > 2 * MIB ? 0 : size;
            if (size == 0)
                pieces[index][0].size = pieces[index][2].size = 0;
            if (write && size > 2 * MIB / COUNT)     //  They do not overlap
                pieces[index][2].size = 2 * MIB / COUNT - first;
            good += !wrong;
        }
        int done = write ? umbp_bulk_client_write (client, ios, COUNT, status, bulk_soon ())
                         : umbp_bulk_client_read (client, ios, COUNT, status, bulk_soon ());
        CU_ASSERT_EQUAL (done, (int) good);
        for (size_t index = 0; index < COUNT; index++) {
            size_t size = pieces[index][0].size + pieces[index][2].size;
            const char *there = bulk_block (0, 0) + ios[index].offset;
            bool mine = ios[index].token != 77;
            CU_ASSERT_EQUAL (status[index], mine ? 0 : UMBP_ESTALE);
            CU_ASSERT_EQUAL (
                memcmp (there, mine && write ? room + index * SIZE : image + ios[index].offset,
                        size),
                0);
            if (!mine)
                continue;
            CU_ASSERT_EQUAL (memcmp (there, room + index * SIZE, size), 0);
            CU_ASSERT_EQUAL (ios[index].sum, umbp_sum (room + index * SIZE, size));
        }
    }
    umbp_bulk_client_destroy (&client);
    bulk_stop ();
}

//  Answers that were kept back to be sent together are sent before the server waits for more, wherever
//  in the next request that is
static void test_answers_what_is_done (void)
{
    enum { SIZE = 100 };
    uint8_t wire[UMBP_BULK_REQUEST_BYTES + SIZE] = { 0 };
    const umbp_bulk_request_t request = { .op = UMBP_BULK_WRITE,
                                          .tag = 77,
                                          .token = 1,
                                          .size = SIZE };
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    bulk_grant_block (1, true, 0, 0, MIB);
    int sock = raw_connect (1);
    size_t left = 0;
    for (size_t cut = 0; cut < sizeof wire; cut += 7) {
        raw_send (sock, (const char *) wire + sizeof wire - left, left);
        for (int count = 0; count < 3; count++) {
            raw_seal (sock, &request, wire);
            raw_send (sock, (const char *) wire, sizeof wire);
        }
        raw_seal (sock, &request, wire);
        raw_send (sock, (const char *) wire, cut);
        for (int count = 0; count < (left ? 4 : 3); count++)
            CU_ASSERT_EQUAL (raw_hear (sock), 0);
        left = sizeof wire - cut;
    }
    close (sock);
    bulk_stop ();
}

//  One of the threads of the next test: 16 connections. Returns its argument if all went well. What
//  CUnit asserts is for the main thread.
static void *s_many (void *arg)
{
    enum { MINE = 16 };
    umbp_bulk_client_t *clients[MINE];
    bool good = true;
    for (int index = 0; index < MINE; index++) {
        clients[index] = bulk_client (1, NULL);
        good = good && clients[index];
    }
    for (int round = 0; good && round < 3 * MINE; round++) {
        int status, block = round % BLOCKS;
        umbp_piece_t piece = { arg, 2 * MIB };
        umbp_bulk_io_t io = { .token = 100 + block,
                              .pieces = &piece,
                              .piece_count = 1,
                              .want_sum = true };
        int rc = umbp_bulk_client_read (clients[round % MINE], &io, 1, &status, bulk_soon ());
        good = rc == 1 && io.sum == umbp_sum (bulk_block (0, block), 2 * MIB);
    }
    for (int index = 0; index < MINE; index++)
        umbp_bulk_client_destroy (&clients[index]);
    return good ? arg : NULL;
}

static void test_serves_64_connections (void)
{
    pthread_t threads[4];
    bulk_start ((umbp_bulk_server_config_t) { .connections_max = 64 });
    for (int block = 0; block < BLOCKS; block++)
        bulk_grant_block (100 + block, false, 0, block, 2 * MIB);
    for (int index = 0; index < 4; index++)
        pthread_create (&threads[index], NULL, s_many, bulk_buffer + index * 2 * MIB);
    for (int index = 0; index < 4; index++) {
        void *result = NULL;
        pthread_join (threads[index], &result);
        CU_ASSERT (result != NULL);
    }
    CU_ASSERT_EQUAL (bulk_stats ().accepted, 64);
    bulk_expect (UMBP_BULK_CLOSED, 1);
    bulk_stop ();
}

//  64 peers that all wait, with requests that were never read: everybody else is served
static void test_slow_readers_block_nobody (void)
{
    enum { SLOW = 63 };
    int socks[SLOW];
    bulk_start ((umbp_bulk_server_config_t) { .connections_max = SLOW + 1 });
    bulk_grant_block (1, false, 0, 0, 2 * MIB);
    for (int index = 0; index < SLOW; index++) {
        socks[index] = raw_connect (1);
        for (int count = 0; count < 20; count++)
            raw_request (socks[index], UMBP_BULK_READ, 1, 2 * MIB);
    }
    umbp_bulk_client_t *client = bulk_connect (1);
    for (int round = 0; round < 20; round++) {
        int status;
        umbp_piece_t piece = { bulk_buffer, 2 * MIB };
        umbp_bulk_io_t io = { .token = 1, .pieces = &piece, .piece_count = 1 };
        CU_ASSERT_EQUAL (umbp_bulk_client_read (client, &io, 1, &status, bulk_soon ()), 1);
    }
    CU_ASSERT (memcmp (bulk_buffer, bulk_block (0, 0), 2 * MIB) == 0);
    umbp_bulk_client_destroy (&client);
    //  They hold the token: revoking cuts them all, once
    int rc = umbp_bulk_server_revoke (bulk_server, 1);
    CU_ASSERT (rc > 0 && rc <= SLOW + 1);           //  Our last read may not be put away yet
    bulk_expect (UMBP_BULK_REVOKED, 1);
    CU_ASSERT (bulk_stats ().cut > 0 && bulk_stats ().cut <= SLOW);
    for (int index = 0; index < SLOW; index++)
        close (socks[index]);
    bulk_stop ();
}

static void test_reports_closed_sessions (void)
{
    umbp_bulk_event_t event;
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    umbp_bulk_client_t *first = bulk_connect (5), *second = bulk_connect (5),
                       *other = bulk_connect (6);
    umbp_bulk_client_destroy (&first);
    umbp_bulk_client_destroy (&other);
    bulk_expect (UMBP_BULK_CLOSED, 6);     //  And not 5, which still has one
    CU_ASSERT_EQUAL (umbp_bulk_server_event (bulk_server, &event), 0);
    umbp_bulk_client_destroy (&second);
    bulk_expect (UMBP_BULK_CLOSED, 5);
    CU_ASSERT_EQUAL (umbp_bulk_server_event (bulk_server, &event), 0);
    bulk_stop ();
}

//  ---- Speed, printed and never judged: 32 x 2 MiB over loopback, against the plainest loops

#define SPEED_BYTES (64 * MIB)
#define RUNS 5

static int s_plain_sock;
static bool s_plain_sendfile;

static void *s_plain_sender (void *arg)
{
    (void) arg;
    const char *base = bulk_regions[0].base;
    off_t at = 0;
    while ((size_t) at < SPEED_BYTES) {
        size_t left = SPEED_BYTES - at, bytes = left < 2 * MIB ? left : 2 * MIB;
        if (s_plain_sendfile)
            sendfile (s_plain_sock, umbp_region_fd (bulk_memory[0]), &at, bytes);
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
        ssize_t rc = recv (sock, bulk_buffer + at, SPEED_BYTES - at, 0);
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
        pieces[index] = (umbp_piece_t) { bulk_buffer + index * 2 * MIB, 2 * MIB };
        ios[index] = (umbp_bulk_io_t){ .token = write ? 2 : 1,
                                       .item = index,
                                        .pieces = &pieces[index], .piece_count = 1,
                                        .want_sum = want_sum };
    }
    double start = s_now ();
    int done = write ? umbp_bulk_client_write (client, ios, BLOCKS, status, bulk_soon ())
                     : umbp_bulk_client_read (client, ios, BLOCKS, status, bulk_soon ());
    double seconds = s_now () - start;
    CU_ASSERT_EQUAL (done, BLOCKS);
    return (double) SPEED_BYTES / seconds / 1e9;
}

static void s_plain_pair (int *near, int *far)
{
    char endpoint[64];
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int listener = umbp_tcp_listen (loopback_bulk (), 1);
    getsockname (listener, (struct sockaddr *) &address, &size);
    umbp_tcp_endpoint (&address, endpoint, sizeof endpoint);
    *near = umbp_tcp_connect (endpoint, bulk_soon ());
    umbp_tcp_wait (listener, POLLIN, bulk_soon ());
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
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    for (int index = 0; index < BLOCKS; index++) {
        extents[index] = (umbp_extent_t) { 0, index * BLOCK_PAGES, BLOCK_PAGES, 1 };
        items[index] = (umbp_grant_item_t) { &extents[index], 1, 2 * MIB };
    }
    for (uint64_t token = 1; token <= 2; token++) {
        const umbp_grant_t grant = { token, 1, token == 2, INT64_MAX, items, BLOCKS };
        CU_ASSERT_EQUAL (umbp_bulk_server_grant (bulk_server, &grant), 0);
    }
    umbp_bulk_client_t *client = bulk_connect (1);
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
    bulk_stop ();
}

int main (int argc, char **argv)
{
    alarm (280);
    bulk_set_seed (argc, argv);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bulk_tcp", bulk_setup, bulk_teardown);
    CU_ADD_TEST (suite, test_moves_scattered_blocks);
    CU_ADD_TEST (suite, test_moves_batches);
    CU_ADD_TEST (suite, test_refuses_what_was_not_granted);
    CU_ADD_TEST (suite, test_small_blocks_come_together);
    CU_ADD_TEST (suite, test_answers_what_is_done);
    CU_ADD_TEST (suite, test_serves_64_connections);
    CU_ADD_TEST (suite, test_slow_readers_block_nobody);
    CU_ADD_TEST (suite, test_reports_closed_sessions);
    CU_ADD_TEST (suite, test_prints_speed);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

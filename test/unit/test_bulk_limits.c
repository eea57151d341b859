//  test/unit/test_bulk_limits.c - what ends a connection to the bulk server: a revoked token, silence,
//  too much, nonsense, and the end of the server itself
#include "test/unit/bulk.h"

#include <pthread.h>

#define SILENT_MS 1500                  //  Nobody is silent so long because the machine is busy

//  ---- Revoking

static void test_revoke_cuts_a_write (void)
{
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    bulk_grant_block (1, true, 0, 0, 2 * MIB);
    int sock = raw_connect (1);
    memset (bulk_buffer, 0x11, 2 * MIB);
    raw_request (sock, UMBP_BULK_WRITE, 1, 2 * MIB);
    CU_ASSERT_EQUAL (raw_send (sock, bulk_buffer, MIB), MIB);
    //  Once all that was sent lies in the pages, the transfer is in its middle
    int64_t deadline_ms = bulk_soon ();
    while (bulk_stats ().bytes_in < MIB && umbp_clock_ms () < deadline_ms)
        sched_yield ();
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, 1), 1);
    bulk_expect (UMBP_BULK_REVOKED, 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, 1), UMBP_ENOENT);
    //  From here on the pages are another block's
    bulk_fill (bulk_block (0, 0), 2 * MIB, 9);
    uint64_t sum = umbp_sum (bulk_block (0, 0), 2 * MIB);
    raw_send (sock, bulk_buffer, 2 * MIB);
    CU_ASSERT_EQUAL (raw_drain (sock), 0);        //  No reply, and closed
    close (sock);
    CU_ASSERT_EQUAL (umbp_sum (bulk_block (0, 0), 2 * MIB), sum);
    bulk_expect (UMBP_BULK_CLOSED, 1);
    CU_ASSERT_EQUAL (bulk_stats ().writes, 0);
    bulk_stop ();
}

static void test_revoke_cuts_a_read (void)
{
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    bulk_grant_block (1, false, 0, 0, 32 * MIB);
    memset (bulk_block (0, 0), 0x22, 32 * MIB);
    int sock = raw_connect (1);
    raw_request (sock, UMBP_BULK_READ, 1, 32 * MIB);
    CU_ASSERT (umbp_tcp_wait (sock, POLLIN, bulk_soon ()) > 0);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, 1), 1);
    bulk_expect (UMBP_BULK_REVOKED, 1);
    //  The pages are another block's now, and none of its bytes may come
    memset (bulk_block (0, 0), 0x33, 32 * MIB);
    size_t total = raw_drain (sock);
    CU_ASSERT (total < 32 * MIB);
    CU_ASSERT_FATAL (total >= UMBP_BULK_REPLY_BYTES);                  //  A seal may be anything
    CU_ASSERT (memchr (bulk_buffer + UMBP_BULK_REPLY_BYTES, 0x33, total - UMBP_BULK_REPLY_BYTES)
               == NULL);
    close (sock);
    bulk_stop ();
}

//  Revoke at any moment while clients write: after the fence the pages stay as the owner left them
static void *s_write_on (void *arg)
{
    umbp_bulk_client_t *client = arg;
    umbp_piece_t piece = { bulk_buffer + 4 * MIB, 512 * 1024 };
    int status = 0;
    while (status == 0) {
        umbp_bulk_io_t ios[4];
        int all[4];
        for (int index = 0; index < 4; index++)
            ios[index] = (umbp_bulk_io_t){ .token = 1,
                                           .offset = index * piece.size,
                                            .pieces = &piece, .piece_count = 1 };
        umbp_bulk_client_write (client, ios, 4, all, bulk_soon ());
        for (int index = 0; index < 4; index++)
            status = all[index] ? all[index] : status;
    }
    return status == UMBP_ESTALE || status == UMBP_ECLOSED ? client : NULL;
}

static void test_revoke_is_a_fence (void)
{
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    int cut = 0;
    for (int round = 0; round < 30; round++) {
        bulk_grant_block (1, true, 0, 0, 2 * MIB);
        umbp_bulk_client_t *client = bulk_connect (1);
        pthread_t thread;
        void *result = NULL;
        uint64_t before = bulk_stats ().bytes_in;
        pthread_create (&thread, NULL, s_write_on, client);
        uint64_t moment = before + MIB + umbp_splitmix (&bulk_seed) % (4 * MIB);
        int64_t deadline_ms = bulk_soon ();
        while (bulk_stats ().bytes_in < moment && umbp_clock_ms () < deadline_ms)
            sched_yield ();
        int rc = umbp_bulk_server_revoke (bulk_server, 1);
        CU_ASSERT (rc >= 0);
        if (rc > 0)
            bulk_expect (UMBP_BULK_REVOKED, 1);
        cut += rc > 0;
        bulk_fill (bulk_block (0, 0), 2 * MIB, round);
        uint64_t sum = umbp_sum (bulk_block (0, 0), 2 * MIB);
        pthread_join (thread, &result);
        CU_ASSERT (result == client);
        CU_ASSERT_EQUAL (umbp_sum (bulk_block (0, 0), 2 * MIB), sum);
        umbp_bulk_client_destroy (&client);
        bulk_expect (UMBP_BULK_CLOSED, 1);
    }
    printf ("%d of 30 cut off ", cut);
    bulk_stop ();
}

//  ---- Limits

static void test_closes_who_says_nothing (void)
{
    bulk_start ((umbp_bulk_server_config_t) { .hello_ms = SILENT_MS, .stall_ms = SILENT_MS });
    bulk_grant_block (1, true, 0, 0, 2 * MIB);
    int silent = umbp_tcp_connect (umbp_bulk_server_endpoint (bulk_server), bulk_soon ());
    int half_said = umbp_tcp_connect (umbp_bulk_server_endpoint (bulk_server), bulk_soon ());
    CU_ASSERT_EQUAL (send (half_said, "UMB", 3, MSG_NOSIGNAL), 3);
    int stalled = raw_connect (1), half_asked = raw_connect (1), idle = raw_connect (2);
    raw_request (stalled, UMBP_BULK_WRITE, 1, 2 * MIB);
    CU_ASSERT_EQUAL (send (half_asked, "BQ", 2, MSG_NOSIGNAL), 2);
    CU_ASSERT_EQUAL (raw_drain (silent), 0);
    CU_ASSERT_EQUAL (raw_drain (half_said), 0);
    CU_ASSERT_EQUAL (raw_drain (stalled), 0);
    CU_ASSERT_EQUAL (raw_drain (half_asked), 0);
    CU_ASSERT (bulk_stats ().silent == 2 && bulk_stats ().stalled == 2);
    CU_ASSERT_EQUAL (bulk_stats ().connections, 1);    //  Who asks for nothing may stay
    bulk_expect (UMBP_BULK_CLOSED, 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, 1), 0);
    const int socks[] = { silent, half_said, stalled, half_asked, idle };
    for (int index = 0; index < 5; index++)
        close (socks[index]);
    bulk_stop ();
}

static void test_turns_away_what_is_too_much (void)
{
    int rc;
    bulk_start ((umbp_bulk_server_config_t) { .connections_max = 2, .size_max = MIB });
    const char *endpoint = umbp_bulk_server_endpoint (bulk_server);
    CU_ASSERT (umbp_bulk_server_new (
                   &(umbp_bulk_server_config_t){ /* clang-format off */
                   .endpoint = endpoint, .page_size = PAGE }, &rc) == NULL && rc == UMBP_EEXIST);
    CU_ASSERT (umbp_bulk_server_new (
                   &(umbp_bulk_server_config_t){ /* clang-format off */
                   .endpoint = "localhost:0", .page_size = PAGE }, &rc) == NULL
               && rc == UMBP_EINVAL);
    umbp_bulk_client_t *first = bulk_connect (1), *second = bulk_connect (1);
    CU_ASSERT (bulk_client (1, &rc) == NULL);
    CU_ASSERT_EQUAL (rc, UMBP_ECLOSED);
    CU_ASSERT_EQUAL (bulk_stats ().turned_away, 1);
    umbp_bulk_client_destroy (&second);
    umbp_bulk_client_destroy (&first);
    bulk_expect (UMBP_BULK_CLOSED, 1);
    //  Refused bytes are thrown away, but not without end
    int sock = raw_connect (1);
    raw_request (sock, UMBP_BULK_WRITE, 1, MIB);
    CU_ASSERT_EQUAL (raw_send (sock, bulk_buffer, MIB), MIB);
    raw_request (sock, UMBP_BULK_WRITE, 1, 1);
    CU_ASSERT_EQUAL (raw_drain (sock), UMBP_BULK_REPLY_BYTES);
    close (sock);
    bulk_expect (UMBP_BULK_CLOSED, 1);
    //  A read that is too big is only refused, a write closes the connection
    sock = raw_connect (1);
    raw_request (sock, UMBP_BULK_READ, 1, MIB + 1);
    raw_request (sock, UMBP_BULK_READ, 1, 1);
    raw_request (sock, UMBP_BULK_WRITE, 1, MIB + 1);
    CU_ASSERT_EQUAL (raw_drain (sock), 2 * UMBP_BULK_REPLY_BYTES);
    close (sock);
    CU_ASSERT_EQUAL (bulk_stats ().malformed, 2);
    bulk_stop ();
}

//  Also of the first version, whose HELLO is all of it that comes
static void s_tells_another_version (uint16_t version)
{
    uint8_t wire[UMBP_BULK_WELCOME_HEAD_BYTES];
    int sock = umbp_tcp_connect (umbp_bulk_server_endpoint (bulk_server), bulk_soon ());
    const umbp_bulk_hello_t hello = { version, 1 };
    umbp_bulk_hello_pack (&hello, wire);
    CU_ASSERT_EQUAL (send (sock, wire, UMBP_BULK_HELLO_HEAD_BYTES, 0), UMBP_BULK_HELLO_HEAD_BYTES);
    CU_ASSERT_EQUAL (raw_recv (sock, wire, sizeof wire), sizeof wire);
    umbp_bulk_welcome_t welcome;
    CU_ASSERT_EQUAL (umbp_bulk_welcome_unpack (&welcome, wire), 0);
    CU_ASSERT (welcome.status == UMBP_ENOTSUP && welcome.version == UMBP_BULK_VERSION);
    CU_ASSERT_EQUAL (raw_drain (sock), 0);
    close (sock);
}

static void test_tells_another_version (void)
{
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    s_tells_another_version (1);
    s_tells_another_version (UMBP_BULK_VERSION + 1);
    CU_ASSERT_EQUAL (bulk_stats ().turned_away, 2);
    bulk_stop ();
}

//  ---- Garbage

//  Send random bytes, or a good request with some of it changed, or a part of one
static size_t s_garbage (int sock, uint8_t *wire, size_t max)
{
    const umbp_bulk_request_t request = {
        .op = UMBP_BULK_READ + umbp_splitmix (&bulk_seed) % 2,
        .token = 1 + umbp_splitmix (&bulk_seed) % 3,
        .item = umbp_splitmix (&bulk_seed) % 2,
        .offset = umbp_splitmix (&bulk_seed) % (3 * MIB),
        .size = umbp_splitmix (&bulk_seed) % (umbp_splitmix (&bulk_seed) % 2 ? 300 : 3 * MIB),
    };
    size_t size = umbp_splitmix (&bulk_seed) % max;
    for (size_t at = 0; at < size; at++)
        wire[at] = (uint8_t) umbp_splitmix (&bulk_seed);
    int kind = umbp_splitmix (&bulk_seed) % 4;
    if (kind == 0 || size < UMBP_BULK_REQUEST_BYTES)
        return size;
    umbp_bulk_request_pack (&request, wire);
    umbp_bulk_seal (&raw_auth (sock)->requests, wire, UMBP_BULK_REQUEST_BYTES);
    if (kind == 1)
        wire[umbp_splitmix (&bulk_seed) % UMBP_BULK_REQUEST_BYTES] ^=
            1 << umbp_splitmix (&bulk_seed) % 8;
    return kind == 2 ? (size_t) umbp_splitmix (&bulk_seed) % UMBP_BULK_REQUEST_BYTES : size;
}

static void test_survives_garbage (void)
{
    uint8_t wire[1024];
    bulk_start ((umbp_bulk_server_config_t) { .size_max = 4 * MIB });
    bulk_grant_block (1, true, 0, 1, 2 * MIB);
    bulk_grant_block (2, false, 0, 2, 2 * MIB);
    bulk_fill (bulk_regions[0].base, bulk_regions[0].size, 4);
    uint64_t before = umbp_sum (bulk_block (0, 0), 2 * MIB);
    uint64_t behind = umbp_sum (bulk_block (0, 2), (BLOCKS - 2) * 2 * MIB);
    for (int round = 0; round < 400; round++) {
        bool greeted = umbp_splitmix (&bulk_seed) % 4;
        int sock = greeted
                       ? raw_connect (1)
                       : umbp_tcp_connect (umbp_bulk_server_endpoint (bulk_server), bulk_soon ());
        for (int count = umbp_splitmix (&bulk_seed) % 6; count > 0; count--) {
            size_t size = s_garbage (sock, wire, sizeof wire);
            if (send (sock, wire, size, MSG_NOSIGNAL | MSG_DONTWAIT) < (ssize_t) size)
                break;
        }
        if (umbp_splitmix (&bulk_seed) % 2) {     //  Some wait for an answer, others just go
            shutdown (sock, SHUT_WR);
            raw_drain (sock);
        }
        close (sock);
    }
    umbp_bulk_client_t *client = bulk_connect (2);
    int64_t deadline_ms = bulk_soon ();
    while (bulk_stats ().connections > 1 && umbp_clock_ms () < deadline_ms)
        sched_yield ();
    CU_ASSERT_EQUAL (bulk_stats ().connections, 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, 1), 0);
    CU_ASSERT_EQUAL (umbp_sum (bulk_block (0, 0), 2 * MIB), before);
    CU_ASSERT_EQUAL (umbp_sum (bulk_block (0, 2), (BLOCKS - 2) * 2 * MIB), behind);
    printf ("%lu malformed, %lu forged, %lu refused ", (unsigned long) bulk_stats ().malformed,
            (unsigned long) bulk_stats ().forged, (unsigned long) bulk_stats ().refused);
    umbp_bulk_client_destroy (&client);
    bulk_stop ();
}

//  A server that is destroyed in the middle of everything
static void test_ends_at_any_time (void)
{
    for (int round = 0; round < 10; round++) {
        bulk_start ((umbp_bulk_server_config_t) { 0 });
        bulk_grant_block (1, true, 0, 0, 2 * MIB);
        umbp_bulk_client_t *client = bulk_connect (1);
        pthread_t thread;
        void *result = NULL;
        pthread_create (&thread, NULL, s_write_on, client);
        int64_t deadline_ms = bulk_soon ();
        while (bulk_stats ().bytes_in < round * MIB && umbp_clock_ms () < deadline_ms)
            sched_yield ();
        bulk_stop ();
        pthread_join (thread, &result);
        CU_ASSERT (result == client && !umbp_bulk_client_is_open (client));
        umbp_bulk_client_destroy (&client);
    }
}

int main (int argc, char **argv)
{
    alarm (280);
    bulk_set_seed (argc, argv);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bulk_limits", bulk_setup, bulk_teardown);
    CU_ADD_TEST (suite, test_revoke_cuts_a_write);
    CU_ADD_TEST (suite, test_revoke_cuts_a_read);
    CU_ADD_TEST (suite, test_revoke_is_a_fence);
    CU_ADD_TEST (suite, test_closes_who_says_nothing);
    CU_ADD_TEST (suite, test_turns_away_what_is_too_much);
    CU_ADD_TEST (suite, test_tells_another_version);
    CU_ADD_TEST (suite, test_survives_garbage);
    CU_ADD_TEST (suite, test_ends_at_any_time);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

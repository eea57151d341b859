//  test/unit/test_bulk_auth.c - who gets in at the bulk server, and who stays. The peers are such
//  as know a session's number, a token, or all that was ever said, but not the session's key.
#include "test/unit/bulk.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>

#define FIRST_BYTES (UMBP_BULK_HELLO_BYTES + UMBP_BULK_PROOF_BYTES)
#define SHORT_MS 300                    //  Of limits that are to pass
#define FLOOD_SOCKS 100                 //  That one flooder has open at a time
#define FLOOD_CROWDED 400               //  Strangers that have to go before we have seen enough
#define FLOOD_READS 60                  //  ... and good reads

//  ---- The example in tcp_wire.h, whose bytes another program made

static void test_keeps_the_example (void)
{
    static const char *const proofs[] = {
        "c5fe8a0b3ea8165ebdaf43bdbc1f784483a85d1af560c977b0a9abd83e5f7ca2",
        "f8e94ae278c96cc00a3c0f7866b416e5686f2548f80573c7554e6d663580655f",
        "017d626b938404a1cf37c4c368df7be4",
        "94beb4bcd5071a51afa03f0628860322",
        "b9916c4501111e22",
    };
    uint8_t key[UMBP_BULK_KEY_BYTES], talk[UMBP_BULK_TALK_BYTES];
    for (size_t index = 0; index < sizeof key; index++)
        key[index] = (uint8_t) index;
    const umbp_bulk_hello_t hello = { 2, UINT64_C (0x1122334455667788) };
    const umbp_bulk_welcome_t welcome = { 2, 0, UINT64_C (1) << 30 };
    umbp_bulk_hello_pack (&hello, talk);
    memset (talk + 16, 0xc1, 32);
    umbp_bulk_welcome_pack (&welcome, talk + 48);
    memset (talk + 72, 0x5e, 32);
    umbp_bulk_auth_t auth;
    umbp_bulk_auth_set (&auth, key, talk);
    uint8_t wire[UMBP_BULK_REQUEST_BYTES];
    const umbp_bulk_request_t request = { .op = UMBP_BULK_READ,
                                          .tag = 7,
                                          .token = UINT64_C (0xa1b2c3d4e5f60718),
                                          .offset = 8192,
                                          .size = 4096,
                                          .item = 3 };
    umbp_bulk_request_pack (&request, wire);
    umbp_bulk_seal_t seal = auth.requests;
    umbp_bulk_seal (&seal, wire, sizeof wire);
    const uint8_t *found[] = { auth.server_proof, auth.client_proof, auth.requests.key,
                               auth.replies.key, wire + 40 };
    for (size_t index = 0; index < 5; index++)
        for (size_t at = 0; proofs[index][2 * at]; at++) {
            unsigned byte = 256;
            CU_ASSERT_EQUAL (sscanf (proofs[index] + 2 * at, "%2x", &byte), 1);
            CU_ASSERT_EQUAL (found[index][at], byte);
        }
    CU_ASSERT (umbp_bulk_seal_fits (&auth.requests, wire, sizeof wire));
    CU_ASSERT (!umbp_bulk_seal_fits (&auth.requests, wire, sizeof wire));          //  Once only
    for (size_t at = 0; at < 8 * sizeof wire; at++) {
        umbp_bulk_seal_t again = { .count = 0 };
        memcpy (again.key, auth.requests.key, sizeof again.key);
        wire[at / 8] ^= (uint8_t) (1 << at % 8);
        CU_ASSERT (!umbp_bulk_seal_fits (&again, wire, sizeof wire) && again.count == 0);
        wire[at / 8] ^= (uint8_t) (1 << at % 8);
    }
}

//  ---- Peers without the key

static int s_dial (void)
{
    int sock = umbp_tcp_connect (umbp_bulk_server_endpoint (bulk_server), bulk_soon ());
    CU_ASSERT_FATAL (sock >= 0);
    return sock;
}

static void s_key (uint64_t session, uint8_t *key)
{
    umbp_bulk_server_key (bulk_server, session, key);
}

//  The other end closes, and said nothing more
static void s_is_shut_out (int sock)
{
    CU_ASSERT_EQUAL (raw_drain (sock), 0);
    close (sock);
}

//  A READ that would be granted, to be sent at once behind whatever else
static void s_ask (int sock)
{
    uint8_t wire[UMBP_BULK_REQUEST_BYTES];
    const umbp_bulk_request_t request = { .op = UMBP_BULK_READ, .token = 1, .size = 4096 };
    raw_seal (sock, &request, wire);
    send (sock, wire, sizeof wire, MSG_NOSIGNAL);            //  It may be closed by now
}

static void test_wants_the_key (void)
{
    uint8_t talk[UMBP_BULK_TALK_BYTES + UMBP_BULK_PROOF_BYTES], key[UMBP_BULK_KEY_BYTES];
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    bulk_grant_block (1, false, 0, 0, 2 * MIB);
    s_key (2, key);
    int sock = s_dial ();               //  Session 1, with the key of session 2
    CU_ASSERT_EQUAL (raw_hello (sock, 1, key, talk), UMBP_BULK_WELCOME_BYTES);
    CU_ASSERT (!umbp_bulk_auth_proves (talk + UMBP_BULK_TALK_BYTES, raw_auth (sock)->server_proof));
    raw_prove (sock, raw_auth (sock)->client_proof);
    s_ask (sock);
    s_is_shut_out (sock);
    sock = s_dial ();                   //  The server's own proof back
    s_key (1, key);
    raw_hello (sock, 1, key, talk);
    raw_prove (sock, talk + UMBP_BULK_TALK_BYTES);
    s_ask (sock);
    s_is_shut_out (sock);
    sock = s_dial ();                   //  None at all: a request in its place
    raw_hello (sock, 1, key, talk);
    s_ask (sock);
    s_is_shut_out (sock);
    umbp_bulk_stats_t stats = bulk_stats ();
    CU_ASSERT (stats.unproven == 3 && stats.reads == 0 && stats.refused == 0);
    umbp_bulk_event_t event;            //  Nobody came, so nobody went: session 1 is as it was
    CU_ASSERT_EQUAL (umbp_bulk_server_event (bulk_server, &event), 0);
    bulk_stop ();
}

//  All that a good client said, byte for byte, on a connection of one's own
static void test_knows_a_replay (void)
{
    uint8_t said[FIRST_BYTES + UMBP_BULK_REQUEST_BYTES], key[UMBP_BULK_KEY_BYTES];
    uint8_t talk[UMBP_BULK_TALK_BYTES + UMBP_BULK_PROOF_BYTES];
    const umbp_bulk_request_t request = { .op = UMBP_BULK_READ, .token = 1, .size = 4096 };
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    bulk_grant_block (1, false, 0, 0, 2 * MIB);
    s_key (1, key);
    int good = s_dial ();
    raw_hello (good, 1, key, talk);
    raw_prove (good, raw_auth (good)->client_proof);
    memcpy (said, talk, UMBP_BULK_HELLO_BYTES);
    memcpy (said + UMBP_BULK_HELLO_BYTES, raw_auth (good)->client_proof, UMBP_BULK_PROOF_BYTES);
    raw_seal (good, &request, said + FIRST_BYTES);
    CU_ASSERT_EQUAL (send (good, said + FIRST_BYTES, UMBP_BULK_REQUEST_BYTES, MSG_NOSIGNAL),
                     UMBP_BULK_REQUEST_BYTES);
    CU_ASSERT_EQUAL (raw_hear (good), 0);
    CU_ASSERT_EQUAL (raw_recv (good, bulk_buffer, 4096), 4096);
    int bad = s_dial ();
    CU_ASSERT_EQUAL (send (bad, said, sizeof said, MSG_NOSIGNAL), (ssize_t) sizeof said);
    CU_ASSERT_EQUAL (raw_drain (bad), UMBP_BULK_WELCOME_BYTES);
    close (bad);
    CU_ASSERT_EQUAL (bulk_stats ().unproven, 1);
    //  The same request again, in the good connection: who injects it ends that, and gets nothing
    CU_ASSERT_EQUAL (send (good, said + FIRST_BYTES, UMBP_BULK_REQUEST_BYTES, MSG_NOSIGNAL),
                     UMBP_BULK_REQUEST_BYTES);
    s_is_shut_out (good);
    CU_ASSERT (bulk_stats ().forged == 1 && bulk_stats ().reads == 1);
    bulk_stop ();
}

//  A token that was seen on the wire, and a session of one's own with its key
static void test_binds_tokens_to_sessions (void)
{
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    bulk_grant_block (1, true, 0, 0, 2 * MIB);
    bulk_grant_block (2, false, 0, 1, 2 * MIB);
    uint64_t sum = umbp_sum (bulk_block (0, 0), 2 * MIB);
    int sock = raw_connect (2);
    raw_request (sock, UMBP_BULK_WRITE, 1, 4096);
    CU_ASSERT_EQUAL (raw_send (sock, bulk_buffer, 4096), 4096);
    CU_ASSERT_EQUAL (raw_hear (sock), UMBP_EDENIED);
    raw_request (sock, UMBP_BULK_READ, 2, 4096);
    CU_ASSERT_EQUAL (raw_hear (sock), UMBP_EDENIED);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, 1), 0);
    CU_ASSERT_EQUAL (umbp_sum (bulk_block (0, 0), 2 * MIB), sum);
    close (sock);
    bulk_stop ();
}

//  Say some of what a good client says first, one byte of it changed, and a request behind it.
//  change or size past its end: all as it should be.
static bool s_gets_in (size_t change, size_t size)
{
    uint8_t talk[UMBP_BULK_TALK_BYTES + UMBP_BULK_PROOF_BYTES], key[UMBP_BULK_KEY_BYTES];
    uint8_t proof[UMBP_BULK_PROOF_BYTES];
    uint64_t session = 1;
    s_key (session, key);
    int sock = s_dial ();
    const umbp_bulk_hello_t hello = { UMBP_BULK_VERSION, session };
    umbp_bulk_hello_pack (&hello, talk);
    umbp_bulk_auth_draw (talk + UMBP_BULK_HELLO_HEAD_BYTES, UMBP_BULK_NONCE_BYTES);
    uint8_t flip = (uint8_t) (1 << umbp_splitmix (&bulk_seed) % 8);
    size_t part = size < UMBP_BULK_HELLO_BYTES ? size : UMBP_BULK_HELLO_BYTES;
    if (change < UMBP_BULK_HELLO_BYTES)
        talk[change] ^= flip;
    send (sock, talk, part, MSG_NOSIGNAL);
    if (change < UMBP_BULK_HELLO_BYTES)
        talk[change] ^= flip;           //  We believe that we said it well
    size_t heard = 0;
    if (size >= UMBP_BULK_HELLO_BYTES)
        heard = raw_recv (sock, talk + UMBP_BULK_HELLO_BYTES, UMBP_BULK_WELCOME_BYTES);
    if (heard == UMBP_BULK_WELCOME_BYTES) {
        umbp_bulk_auth_set (raw_auth (sock), key, talk);
        memcpy (proof, raw_auth (sock)->client_proof, sizeof proof);
        if (change >= UMBP_BULK_HELLO_BYTES && change < FIRST_BYTES)
            proof[change - UMBP_BULK_HELLO_BYTES] ^= flip;
        part = size - UMBP_BULK_HELLO_BYTES;
        send (sock, proof, part < sizeof proof ? part : sizeof proof, MSG_NOSIGNAL);
        if (size >= FIRST_BYTES)
            s_ask (sock);
    }
    shutdown (sock, SHUT_WR);
    bool in = heard == UMBP_BULK_WELCOME_BYTES && raw_hear (sock) == 0;
    close (sock);
    return in;
}

static void test_wants_every_byte (void)
{
    bulk_start ((umbp_bulk_server_config_t) { 0 });
    bulk_grant_block (1, false, 0, 0, 2 * MIB);
    CU_ASSERT (s_gets_in (FIRST_BYTES, FIRST_BYTES));
    for (size_t at = 0; at < FIRST_BYTES; at++) {
        CU_ASSERT (!s_gets_in (at, FIRST_BYTES));
        CU_ASSERT (!s_gets_in (FIRST_BYTES, at));
    }
    CU_ASSERT (s_gets_in (FIRST_BYTES, FIRST_BYTES));
    umbp_bulk_stats_t stats = bulk_stats ();
    CU_ASSERT (stats.reads <= 2 && stats.refused == 0 && stats.accepted == 2 * FIRST_BYTES + 2);
    //  Magic and reserved, 6 bytes of HELLO; the version; session, nonce and proof
    CU_ASSERT (stats.malformed == 6 && stats.turned_away == 2 && stats.unproven == 72);
    bulk_stop ();
}

//  ---- Who takes too long

//  One who says HELLO byte by byte gains no time
static void test_waits_no_longer_for_a_trickle (void)
{
    uint8_t wire[UMBP_BULK_HELLO_BYTES];
    bulk_start ((umbp_bulk_server_config_t) { .hello_ms = SHORT_MS });
    const umbp_bulk_hello_t hello = { UMBP_BULK_VERSION, 1 };
    umbp_bulk_hello_pack (&hello, wire);
    memset (wire + UMBP_BULK_HELLO_HEAD_BYTES, 1, UMBP_BULK_NONCE_BYTES);
    int sock = s_dial ();
    size_t at = 0;
    for (; at < sizeof wire - 1 && bulk_stats ().silent == 0; at++) {
        send (sock, wire + at, 1, MSG_NOSIGNAL);
        umbp_tcp_wait (sock, POLLIN, umbp_clock_ms () + SHORT_MS / 5);
    }
    CU_ASSERT (at < sizeof wire - 1);
    close (sock);
    //  Nor does one who says it all, and then no proof
    uint8_t talk[UMBP_BULK_TALK_BYTES + UMBP_BULK_PROOF_BYTES], key[UMBP_BULK_KEY_BYTES] = { 0 };
    sock = s_dial ();
    raw_hello (sock, 1, key, talk);
    s_is_shut_out (sock);
    CU_ASSERT (bulk_stats ().silent == 2 && bulk_stats ().strangers == 0);
    bulk_stop ();
}

static int s_read_once (umbp_bulk_client_t **client_p, uint64_t token)
{
    uint8_t key[UMBP_BULK_KEY_BYTES];
    s_key (1, key);
    const umbp_bulk_peer_t peer = { umbp_bulk_server_endpoint (bulk_server), 1, key };
    umbp_piece_t piece = { bulk_buffer, 4096 };
    umbp_bulk_io_t io = { .token = token, .pieces = &piece, .piece_count = 1 };
    int status = 1;
    int rc = umbp_bulk_client_run (client_p, &peer, LIMIT_MS, umbp_bulk_client_read, &io, 1,
                                   &status, bulk_soon ());
    return rc < 0 ? rc : status;
}

//  Wait until a counter has a value
static bool s_counts (const uint64_t *counter, umbp_bulk_stats_t *stats, uint64_t value)
{
    int64_t deadline_ms = bulk_soon ();
    while (*counter < value && umbp_clock_ms () < deadline_ms) {
        poll (NULL, 0, 10);
        *stats = bulk_stats ();
    }
    return *counter == value;
}

//  A connection without a valid token goes; its session's tokens stay, and work on the next one
static void test_closes_who_shows_no_token (void)
{
    umbp_bulk_event_t event;
    umbp_bulk_stats_t stats = { 0 };
    bulk_start ((umbp_bulk_server_config_t) { .token_ms = SHORT_MS });
    bulk_grant_block (1, false, 0, 0, 2 * MIB);
    umbp_bulk_client_t *client = bulk_connect (1);
    int sock = raw_connect (1);         //  One that asks all the time, for what it has no right to
    int64_t deadline_ms = bulk_soon ();
    while (bulk_stats ().unused < 2 && umbp_clock_ms () < deadline_ms) {
        uint8_t wire[UMBP_BULK_REQUEST_BYTES];
        const umbp_bulk_request_t request = { .op = UMBP_BULK_READ, .token = 99, .size = 1 };
        raw_seal (sock, &request, wire);
        send (sock, wire, sizeof wire, MSG_NOSIGNAL);
        umbp_tcp_wait (sock, POLLIN, umbp_clock_ms () + 20);
        recv (sock, bulk_buffer, MIB, MSG_DONTWAIT);
    }
    CU_ASSERT (s_counts (&stats.unused, &stats, 2));
    close (sock);
    CU_ASSERT_EQUAL (umbp_bulk_server_event (bulk_server, &event), 0);
    CU_ASSERT_EQUAL (s_read_once (&client, 1), 0);
    CU_ASSERT_EQUAL (bulk_stats ().accepted, 3);
    umbp_bulk_client_destroy (&client);
    bulk_expect (UMBP_BULK_CLOSED, 1);  //  This time it is the session's end
    bulk_stop ();
}

//  One that has no use goes, unless its session has a token; the next call makes another
static void test_closes_who_has_no_use (void)
{
    umbp_bulk_event_t event;
    umbp_bulk_stats_t stats = { 0 };
    bulk_start ((umbp_bulk_server_config_t) { .idle_ms = SHORT_MS });
    bulk_grant_block (1, false, 0, 0, 2 * MIB);
    bulk_grant_block (2, false, 0, 1, 2 * MIB);
    umbp_bulk_client_t *client = NULL;
    CU_ASSERT_EQUAL (s_read_once (&client, 1), 0);
    CU_ASSERT (s_counts (&stats.reads, &stats, 1));          //  And now the token is not in use
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, 1), 0);
    poll (NULL, 0, 3 * SHORT_MS);       //  Nothing is to happen: there is another token
    CU_ASSERT (bulk_stats ().idle == 0 && bulk_stats ().connections == 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, 2), 0);
    CU_ASSERT (s_counts (&stats.idle, &stats, 1));
    CU_ASSERT_EQUAL (umbp_bulk_server_event (bulk_server, &event), 0);
    bulk_grant_block (3, false, 0, 0, 2 * MIB);
    CU_ASSERT_EQUAL (s_read_once (&client, 3), 0);
    CU_ASSERT (memcmp (bulk_buffer, bulk_block (0, 0), 4096) == 0);
    CU_ASSERT (bulk_stats ().accepted == 2 && bulk_stats ().refused == 0);
    umbp_bulk_client_destroy (&client);
    bulk_expect (UMBP_BULK_CLOSED, 1);
    //  A token whose time is over is no use either
    const umbp_extent_t extent = { 0, 0, 1, 1 };
    const umbp_grant_item_t item = { &extent, 1, PAGE };
    const umbp_grant_t grant = { 4, 1, false, umbp_clock_ms () + 2 * SHORT_MS, &item, 1 };
    CU_ASSERT_EQUAL_FATAL (umbp_bulk_server_grant (bulk_server, &grant), 0);
    CU_ASSERT_EQUAL (s_read_once (&client, 3), 0);
    CU_ASSERT (s_counts (&stats.reads, &stats, 3));
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, 3), 0);
    CU_ASSERT (s_counts (&stats.idle, &stats, 2));
    umbp_bulk_client_destroy (&client);
    bulk_stop ();
}

//  ---- A flood

static bool s_flood_over;

//  Connect over and over, say nothing or half of something, and hold on to what is left open. One
//  of two comes from the good client's address, the other from many others.
static void *s_flood (void *arg)
{
    int socks[FLOOD_SOCKS];
    const bool many = arg != NULL;
    struct sockaddr_in to = { .sin_family = AF_INET }, from = { .sin_family = AF_INET };
    char host[64] = "";
    int port = 0;
    sscanf (umbp_bulk_server_endpoint (bulk_server), "%63[^:]:%d", host, &port);
    inet_pton (AF_INET, host, &to.sin_addr);
    to.sin_port = htons ((uint16_t) port);
    memset (socks, -1, sizeof socks);
    for (unsigned round = 0; !__atomic_load_n (&s_flood_over, __ATOMIC_ACQUIRE); round++) {
        int *sock = &socks[round % FLOOD_SOCKS];
        if (*sock != -1)
            close (*sock);
        *sock = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        from.sin_addr.s_addr = htonl (0x7f010000 + round % 5000);
        if (many)
            (void) bind (*sock, (struct sockaddr *) &from, sizeof from);
        (void) connect (*sock, (struct sockaddr *) &to, sizeof to);
        if (round % 3 == 0)
            send (*sock, "UMBB", 4, MSG_NOSIGNAL);
        if (round % 16 == 0)
            poll (NULL, 0, 1);
    }
    for (size_t index = 0; index < FLOOD_SOCKS; index++)
        if (socks[index] != -1)
            close (socks[index]);
    return NULL;
}

//  Who has a connection reads on, and who needs one gets it, while strangers come faster than they
//  go
static void test_floods_keep_nobody_out (void)
{
    pthread_t floods[2];
    umbp_bulk_client_t *kept = NULL, *fresh = NULL;
    unsigned reads = 0, failed = 0;
    bulk_start ((umbp_bulk_server_config_t){ /* clang-format off */
        .connections_max = 64, .strangers_max = 48, .strangers_per_address_max = 32 });
    bulk_grant_block (1, false, 0, 0, 2 * MIB);
    CU_ASSERT_EQUAL (s_read_once (&kept, 1), 0);
    s_flood_over = false;
    for (uintptr_t index = 0; index < 2; index++)
        pthread_create (&floods[index], NULL, s_flood, (void *) index);
    int64_t deadline_ms = bulk_soon ();
    while ((reads < FLOOD_READS || bulk_stats ().crowded < FLOOD_CROWDED)
           && umbp_clock_ms () < deadline_ms) {
        failed += s_read_once (&kept, 1) != 0;
        failed += s_read_once (&fresh, 1) != 0;
        umbp_bulk_client_destroy (&fresh);
        reads++;
    }
    umbp_bulk_stats_t stats = bulk_stats ();
    __atomic_store_n (&s_flood_over, true, __ATOMIC_RELEASE);
    for (size_t index = 0; index < 2; index++)
        pthread_join (floods[index], NULL);
    printf ("%u rounds, %lu accepted, %lu crowded out ", reads, (unsigned long) stats.accepted,
            (unsigned long) stats.crowded);
    CU_ASSERT (reads >= FLOOD_READS && stats.crowded >= FLOOD_CROWDED && failed == 0);
    CU_ASSERT (stats.strangers <= 48 && stats.turned_away == 0);
    CU_ASSERT_EQUAL (s_read_once (&kept, 1), 0);
    umbp_bulk_client_destroy (&kept);
    bulk_stop ();
}

//  As Python's hashlib has it
static void test_aliases (void)
{
    CU_ASSERT_EQUAL (umbp_bulk_alias (UINT64_C (0x1122334455667788)),
                     UINT64_C (0x58b8d24ee5136951));
    CU_ASSERT_EQUAL (umbp_bulk_alias (0), 0);
    CU_ASSERT_NOT_EQUAL (umbp_bulk_alias (1), umbp_bulk_alias (2));
}

int main (int argc, char **argv)
{
    alarm (280);
    bulk_set_seed (argc, argv);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bulk_auth", bulk_setup, bulk_teardown);
    CU_ADD_TEST (suite, test_keeps_the_example);
    CU_ADD_TEST (suite, test_aliases);
    CU_ADD_TEST (suite, test_wants_the_key);
    CU_ADD_TEST (suite, test_knows_a_replay);
    CU_ADD_TEST (suite, test_binds_tokens_to_sessions);
    CU_ADD_TEST (suite, test_wants_every_byte);
    CU_ADD_TEST (suite, test_waits_no_longer_for_a_trickle);
    CU_ADD_TEST (suite, test_closes_who_shows_no_token);
    CU_ADD_TEST (suite, test_closes_who_has_no_use);
    CU_ADD_TEST (suite, test_floods_keep_nobody_out);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

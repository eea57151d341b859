//  test/unit/test_streams.c - a batch over several bulk connections: right bytes both ways, each item
//  with its own outcome, and a server without room for more than one connection loses nothing
#include "test/unit/bulk.h"

#include <czmq.h>

#include "client/crew.h"
#include "client/streams.h"

#define SESSION 1
#define COUNT 24

//  A lane that has nothing but connections
static umbp_t s_pool;
static umbp_lane_t *s_lane;
static umbp_bulk_t s_bulk;
static uint64_t s_tokens;               //  That were used before

static void s_open (unsigned helpers, unsigned streams)
{
    s_pool =
        (umbp_t){ .streams = streams, .streams_here = streams, .crew = umbp_crew_new (helpers) };
    s_lane = zmalloc (sizeof *s_lane);
    s_lane->pool = &s_pool;
}

static void s_close (void)
{
    for (size_t stream = 0; stream < UMBP_STREAMS_MAX; stream++)
        umbp_bulk_client_destroy (&s_bulk.clients[stream]);
    umbp_crew_destroy (&s_pool.crew, false);
    umbp_lane_forget (&s_lane);
}

//  Move blocks 0.. of a region, each under a token of its own; one more than was granted
static int s_move (bool write, int *statuses, umbp_bulk_io_t *ios)
{
    static umbp_piece_t pieces[COUNT];
    uint8_t key[UMBP_BULK_KEY_BYTES];
    umbp_bulk_server_key (bulk_server, SESSION, key);
    const umbp_bulk_peer_t peer = { umbp_bulk_server_endpoint (bulk_server), SESSION, key };
    for (size_t index = 0; index < COUNT; index++) {
        pieces[index] = (umbp_piece_t) { bulk_buffer + index * 2 * MIB, 2 * MIB - index };
        ios[index] = (umbp_bulk_io_t) { .token = s_tokens + index + 1,
                                        .pieces = &pieces[index],
                                        .piece_count = 1,
                                        .want_sum = true };
    }
    return umbp_streams_move (s_lane, &s_bulk, &peer, write, ios, COUNT, statuses, bulk_soon ());
}

static void s_grant (bool write)
{
    for (uint32_t index = 0; index < COUNT - 1; index++)
        bulk_grant_block (s_tokens + index + 1, write, 0, index, 2 * MIB);
}

static void s_check (bool write)
{
    int statuses[COUNT];
    umbp_bulk_io_t ios[COUNT];
    if (write)
        bulk_fill (bulk_buffer, COUNT * 2 * MIB, umbp_splitmix (&bulk_seed));
    else
        memset (bulk_buffer, 0xee, COUNT * 2 * MIB);
    s_tokens += COUNT;
    s_grant (write);
    CU_ASSERT_EQUAL (s_move (write, statuses, ios), COUNT - 1);
    for (size_t index = 0; index < COUNT - 1; index++) {
        const char *ours = bulk_buffer + index * 2 * MIB;
        CU_ASSERT_EQUAL (statuses[index], 0);
        CU_ASSERT (memcmp (ours, bulk_block (0, (uint32_t) index), 2 * MIB - index) == 0);
        CU_ASSERT (ios[index].sum == umbp_sum (ours, 2 * MIB - index));
    }
    CU_ASSERT_EQUAL (statuses[COUNT - 1], UMBP_ESTALE);
}

static void s_check_server (size_t connections_max, unsigned helpers, unsigned streams)
{
    bulk_start ((umbp_bulk_server_config_t) { .connections_max = connections_max });
    s_open (helpers, streams);
    for (int round = 0; round < 3; round++) {
        s_check (true);
        s_check (false);
    }
    umbp_bulk_stats_t stats = bulk_stats ();
    CU_ASSERT (stats.connections >= 1 && stats.connections <= connections_max
               && stats.connections <= streams);
    s_close ();
    bulk_stop ();
}

static void test_any_number (void)
{
    s_check_server (64, 0, 1);
    s_check_server (64, 1, 2);
    s_check_server (64, 3, 4);
    s_check_server (64, 1, 4);
}

//  Fewer where the server needs the same cores for its end
static void test_fewer_here (void)
{
    for (unsigned here = 1; here <= 3; here += 2) {
        bulk_start ((umbp_bulk_server_config_t) { .connections_max = 64 });
        s_open (3, 4);
        s_pool.streams_here = here;
        for (int round = 0; round < 3; round++)
            s_check (false);
        umbp_bulk_stats_t stats = bulk_stats ();
        CU_ASSERT (stats.connections >= 1 && stats.connections <= here);
        s_close ();
        bulk_stop ();
    }
}

static void test_no_room_for_more (void)
{
    s_check_server (1, 3, 4);
}

//  Whatever is asked then ends with the reason
static void test_a_server_that_is_gone (void)
{
    int statuses[COUNT];
    umbp_bulk_io_t ios[COUNT];
    bulk_start ((umbp_bulk_server_config_t) { .connections_max = 64 });
    s_open (3, 4);
    s_check (false);
    uint8_t key[UMBP_BULK_KEY_BYTES];
    char endpoint[128];
    snprintf (endpoint, sizeof endpoint, "%s", umbp_bulk_server_endpoint (bulk_server));
    umbp_bulk_server_key (bulk_server, SESSION, key);
    s_tokens += COUNT;                  //  Nobody granted these
    s_move (false, statuses, ios);
    for (size_t index = 0; index < COUNT; index++)
        CU_ASSERT_EQUAL (statuses[index], UMBP_ESTALE);
    bulk_stop ();
    const umbp_bulk_peer_t peer = { endpoint, SESSION, key };
    memset (statuses, 0, sizeof statuses);
    CU_ASSERT (umbp_streams_move (s_lane, &s_bulk, &peer, false, ios, COUNT, statuses, bulk_soon ())
               < 0);
    for (size_t index = 0; index < COUNT; index++)
        CU_ASSERT (statuses[index] == UMBP_ECLOSED || statuses[index] == UMBP_EUNREACH);
    s_close ();
}

int main (int argc, char **argv)
{
    alarm (200);
    bulk_set_seed (argc, argv);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("streams", bulk_setup, bulk_teardown);
    CU_ADD_TEST (suite, test_any_number);
    CU_ADD_TEST (suite, test_fewer_here);
    CU_ADD_TEST (suite, test_no_room_for_more);
    CU_ADD_TEST (suite, test_a_server_that_is_gone);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

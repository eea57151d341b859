//  test/unit/bulk.h - a bulk server of two regions in a test, and its peers: clients, and such as
//  have no client library and may do as they like
#ifndef UMBP_TEST_BULK_H
#define UMBP_TEST_BULK_H

#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"
#include "cluster/bulk/region.h"
#include "cluster/bulk/tcp_client.h"
#include "cluster/bulk/tcp_server.h"
#include "proto/error.h"
#include "proto/splitmix.h"
#include "test/unit/bulk_raw.h"
#include "test/unit/loopback.h"

#include <CUnit/Basic.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t) 1 << 20)
#define PAGE ((size_t) 64 << 10)
#define BLOCK_PAGES 32                  //  2 MiB
#define BLOCKS 32                       //  In each region
#define LIMIT_MS 20000                  //  For what should take a moment

static uint64_t bulk_seed;
static umbp_region_t *bulk_memory[2];
static umbp_piece_t bulk_regions[2];
static umbp_bulk_server_t *bulk_server;
static char *bulk_buffer;               //  64 MiB for a client

//  The seed of all that is random: the program's argument, or the time
static inline void bulk_set_seed (int argc, char **argv)
{
    bulk_seed = argc > 1 ? strtoull (argv[1], NULL, 10) : (uint64_t) time (NULL);
    printf ("seed %llu\n", (unsigned long long) bulk_seed);
}

static inline void bulk_fill (char *base, size_t size, uint64_t seed)
{
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t word = umbp_splitmix (&seed);
        memcpy (base + at, &word, 8);
    }
}

static inline int bulk_setup (void)
{
    for (int index = 0; index < 2; index++) {
        bulk_memory[index] =
            umbp_region_new ("tcp", BLOCKS * BLOCK_PAGES * PAGE, false, true, NULL);
        bulk_regions[index] = (umbp_piece_t) { umbp_region_base (bulk_memory[index]),
                                              umbp_region_bytes (bulk_memory[index]) };
        bulk_fill (bulk_regions[index].base, bulk_regions[index].size, index + 1);
    }
    bulk_buffer = malloc (64 * MIB);
    memset (bulk_buffer, 0, 64 * MIB);
    return 0;
}

static inline int bulk_teardown (void)
{
    umbp_region_destroy (&bulk_memory[0]);
    umbp_region_destroy (&bulk_memory[1]);
    free (bulk_buffer);
    return 0;
}

static inline void bulk_start (umbp_bulk_server_config_t config)
{
    int rc;
    config.endpoint = loopback_bulk ();
    config.regions = bulk_regions;
    config.region_count = 2;
    config.page_size = PAGE;
    bulk_server = umbp_bulk_server_new (&config, &rc);
    CU_ASSERT_FATAL (bulk_server != NULL && rc == 0);
}

static inline void bulk_stop (void)
{
    umbp_bulk_server_destroy (&bulk_server);
    CU_ASSERT (bulk_server == NULL);
}

static inline int64_t bulk_soon (void)
{
    return umbp_clock_ms () + LIMIT_MS;
}

//  Connect as a session that knows its key. Returns NULL and the reason if that fails.
static inline umbp_bulk_client_t *bulk_client (uint64_t session, int *rc_p)
{
    uint8_t key[UMBP_BULK_KEY_BYTES];
    umbp_bulk_server_key (bulk_server, session, key);
    const umbp_bulk_peer_t peer = { umbp_bulk_server_endpoint (bulk_server), session, key };
    return umbp_bulk_client_new (&peer, bulk_soon (), rc_p);
}

static inline umbp_bulk_client_t *bulk_connect (uint64_t session)
{
    int rc;
    umbp_bulk_client_t *client = bulk_client (session, &rc);
    CU_ASSERT_FATAL (client != NULL && rc == 0);
    return client;
}

//  Grant one block of a region, in one run, to session 1
static inline void bulk_grant_block (uint64_t token, bool write, int region, uint32_t block,
                                     uint64_t size)
{
    const umbp_extent_t extent = { region, block * BLOCK_PAGES, (size + PAGE - 1) / PAGE, 1 };
    const umbp_grant_item_t item = { &extent, 1, size };
    const umbp_grant_t grant = { token, 1, write, INT64_MAX, &item, 1 };
    CU_ASSERT_EQUAL_FATAL (umbp_bulk_server_grant (bulk_server, &grant), 0);
}

static inline char *bulk_block (int region, uint32_t block)
{
    return (char *) bulk_regions[region].base + (size_t) block * BLOCK_PAGES * PAGE;
}

static inline umbp_bulk_stats_t bulk_stats (void)
{
    umbp_bulk_stats_t stats;
    umbp_bulk_server_stats (bulk_server, &stats);
    return stats;
}

//  Wait for an event, and expect it to be this one
static inline void bulk_expect (umbp_bulk_event_type_t type, uint64_t id)
{
    umbp_bulk_event_t event = { 0 };
    CU_ASSERT (umbp_tcp_wait (umbp_bulk_server_fd (bulk_server), POLLIN, bulk_soon ()) > 0);
    CU_ASSERT_EQUAL (umbp_bulk_server_event (bulk_server, &event), 1);
    CU_ASSERT (event.type == type && event.id == id);
}

//  ---- A peer without a client library, which may do as it likes

static inline int raw_connect (uint64_t session)
{
    uint8_t key[UMBP_BULK_KEY_BYTES];
    umbp_bulk_server_key (bulk_server, session, key);
    return raw_greet (umbp_bulk_server_endpoint (bulk_server), session, key);
}

static inline void raw_request (int sock, uint8_t op, uint64_t token, uint64_t size)
{
    const umbp_bulk_request_t request = { .op = op, .tag = 77, .token = token, .size = size };
    raw_say (sock, &request);
}

//  Send until all is out or the other end closed. Returns the bytes sent.
static inline size_t raw_send (int sock, const char *data, size_t size)
{
    size_t at = 0;
    while (at < size && umbp_tcp_wait (sock, POLLOUT, bulk_soon ()) > 0) {
        ssize_t rc = send (sock, data + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (rc <= 0)
            break;
        at += rc;
    }
    return at;
}

//  Read into bulk_buffer until the other end closes. Returns the bytes read; fails if it does not
//  close in time.
static inline size_t raw_drain (int sock)
{
    size_t total = 0;
    ssize_t rc = 1;
    while (rc > 0 && total < 64 * MIB) {
        CU_ASSERT_FATAL (umbp_tcp_wait (sock, POLLIN, bulk_soon ()) > 0);
        rc = recv (sock, bulk_buffer + total, 64 * MIB - total, MSG_DONTWAIT);
        total += rc > 0 ? rc : 0;
    }
    return total;
}

#endif

//  test/unit/real_tier.h - a tier of a node, with its bulk server, for tests of actors that use one
#ifndef UMBP_TEST_REAL_TIER_H
#define UMBP_TEST_REAL_TIER_H

#include "actors/tier/manager.h"
#include "test/unit/loopback.h"

#ifndef PAGE
#define PAGE 4096u
#endif

static inline zactor_t *real_tier_new (const umbp_home_t *home, size_t bytes, unsigned evict_high)
{
    umbp_region_t **regions = zmalloc (sizeof *regions);
    regions[0] = umbp_region_new ("test-tier", bytes, false, true, NULL);
    assert (regions[0]);
    umbp_piece_t piece = { umbp_region_base (regions[0]), umbp_region_bytes (regions[0]) };
    umbp_bulk_server_config_t bulk = {
        .endpoint = loopback_bulk (),
        .regions = &piece,
        .region_count = 1,
        .page_size = PAGE,
    };
    umbp_bulk_server_t *server = umbp_bulk_server_new (&bulk, NULL);
    assert (server);
    umbp_manager_args_t args = {
        .home = home,
        .name = "tier:dram",
        .tier = UMBP_TIER_DRAM,
        .regions = regions,
        .region_count = 1,
        .bulk = server,
        .bulk_endpoint = umbp_bulk_server_endpoint (server),
        .page_size = PAGE,
        .slot_ttl_ms = 60000,
        .lease_ttl_ms = 60000,
        .evict_high = evict_high,
    };
    return umbp_manager_new (&args);
}

#endif

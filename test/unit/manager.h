//  test/unit/manager.h - a tier manager alone or with the shards of two nodes, for its own tests
#ifndef UMBP_TEST_MANAGER_H
#define UMBP_TEST_MANAGER_H

#include "test/unit/tier.h"

#define PAGE 4096
#define SESSION 5

static tier_t manager_tier;
static uint8_t manager_data[64 * PAGE];

static inline void manager_start (void)
{
    tier_start (&manager_tier, (tier_options_t) { 0 });
    tier_alone (&manager_tier);
}

//  Two nodes: each key is known to the shards of both
static inline void manager_start_two (void)
{
    static const crowd_t two[] = { CROWD ("a", 1, 0), CROWD ("b", 1, 0) };
    tier_start (&manager_tier, (tier_options_t) { 0 });
    tier_shard (&manager_tier, "b");
    tier_push (&manager_tier, two, 2, 1);
    CU_ASSERT (tier_flush (&manager_tier));
}

//  Its sum over all bytes of a block of some pages
static inline uint64_t manager_sum (uint32_t size)
{
    return umbp_sum (manager_data, size);
}

//  The next message to an actor that only listens
static inline bool manager_hears (asked_t *asked, int type)
{
    int64_t end = zclock_mono () + PEER_MS;
    while (zclock_mono () < end)
        if (asked_hear (asked, 100) && asked->msg.type == type)
            return true;
    return false;
}

//  Before the tests of a program
static inline void manager_fill (void)
{
    zsys_init ();
    for (size_t index = 0; index < sizeof manager_data; index++)
        manager_data[index] = (uint8_t) (index * 131 + index / 251);
}

#endif

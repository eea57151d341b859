//  test/unit/test_pace.c - many joins at once: of full accounts begin at most so many in any window of time, in the
//  order in which members joined, and none waits for ever; who waits hears of what is new all the same
#include "actors/tier/pace.h"
#include "proto/splitmix.h"
#include "test/unit/tier.h"

#define PAGE 64
#define BLOCKS 3000                     //  More than an account that waits for no turn

static tier_t s_tier;
static uint8_t s_data[UMBP_INLINE_MAX];

//  However time goes by, no window holds more than the limit, and a window later one may go
static void test_windows (void)
{
    static int64_t taken[100000];
    umbp_pace_t pace;
    const char *text = getenv ("UMBP_SEED");
    uint64_t random = text ? strtoull (text, NULL, 10) : (uint64_t) time (NULL);
    printf ("[pace seed=%llu] ", (unsigned long long) random);
    for (unsigned turn = 0; turn < 50; turn++) {
        unsigned limit = 1 + (unsigned) (umbp_splitmix (&random) % 20);
        int64_t window = 1 + (int64_t) (umbp_splitmix (&random) % 1000), now = 0, refused = 0;
        size_t count = 0;
        umbp_pace_set (&pace, limit, window);
        for (unsigned step = 0; step < 5000; step++) {
            now += (int64_t) (umbp_splitmix (&random) % 50);
            if (umbp_pace_take (&pace, now))
                taken[count++] = now;
            else {
                CU_ASSERT_FATAL (count >= limit);
                CU_ASSERT_FATAL (now - taken[count - limit] < window);     //  For a reason
                refused++;
            }
            if (count > limit)
                CU_ASSERT_FATAL (taken[count - 1] - taken[count - 1 - limit] >= window);
        }
        CU_ASSERT (count > 0 && (refused > 0 || window < 50 * limit));
    }
    umbp_pace_set (&pace, 0, 1000);
    for (unsigned step = 0; step < 1000; step++)
        CU_ASSERT_FATAL (umbp_pace_take (&pace, 5));
}

//  Store blocks "k<first>"..., and wait for nobody
static void s_store (size_t first, size_t count)
{
    static words_t column;
    static uint32_t sizes[UMBP_BATCH_MAX];
    static uint64_t sums[UMBP_BATCH_MAX];
    for (size_t done = 0; done < count; done += 1000) {
        uint32_t batch = count - done < 1000 ? (uint32_t) (count - done) : 1000;
        for (uint32_t index = 0; index < batch; index++) {
            sizes[index] = 16;
            sums[index] = umbp_sum (s_data + index * 16, 16);
        }
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_store, 0);
        msg.store.keys = words_numbered (&column, "k", first + done, batch);
        msg.store.sizes = (umbp_u32s_t) { sizes, batch };
        msg.store.sums = (umbp_u64s_t) { sums, batch };
        msg.store.nowait = true;
        CU_ASSERT_FATAL (tier_ask_with (&s_tier, &msg, s_data, batch * 16, PEER_MS) == 0);
    }
}

static void s_serve_until (const uint64_t *value, uint64_t wanted)
{
    int64_t end = zclock_mono () + 60000;
    while (*value < wanted && zclock_mono () < end)
        tier_serve (&s_tier, 10);
    CU_ASSERT_FATAL (*value >= wanted);
}

//  Whether the tier has told a topology's shards all it holds, by what it says to the registry
static uint64_t s_told (void)
{
    uint64_t told = UINT64_MAX;
    for (int turn = 0; turn < 100; turn++) {
        tier_serve (&s_tier, 10);
        while (asked_hear (&s_tier.registry, 0))
            if (s_tier.registry.msg.type == UMBP_MSG_capacity)
                told = s_tier.registry.msg.capacity.told_epoch;
    }
    return told;
}

//  Three join a tier that begins one account in a window, the last by name first: they have theirs in that order, and
//  as long as one waits the ring is not told. A window of a minute lets nobody in behind the first; a short one does.
static void s_join (unsigned resync_ms)
{
    static const crowd_t rows[][4] = {
        { CROWD ("a", 1, 0) },
        { CROWD ("a", 1, 0), CROWD ("c", 1, 0) },
        { CROWD ("a", 1, 0), CROWD ("b", 1, 0), CROWD ("c", 1, 0) },
        { CROWD ("0", 1, 0), CROWD ("a", 1, 0), CROWD ("b", 1, 0), CROWD ("c", 1, 0) },
    };
    tier_start (&s_tier, (tier_options_t){ .page_size = PAGE,
                                           .pages = 16384,
                                           .resyncs = 1,
                                            .resync_ms = resync_ms });
    tier_shard (&s_tier, "c");
    tier_shard (&s_tier, "b");
    tier_shard (&s_tier, "0");
    crowd_unsettled = true;
    tier_push (&s_tier, rows[0], 1, 1);
    CU_ASSERT (tier_flush (&s_tier));
    s_store (0, BLOCKS);
    CU_ASSERT (tier_flush (&s_tier) && s_tier.shards[0].held == BLOCKS);
    for (uint32_t count = 2; count <= 4; count++)
        tier_push (&s_tier, rows[count - 1], count, count);
}

static void test_turns (void)
{
    s_join (60000);
    shard_t *shards = s_tier.shards;
    s_serve_until (&shards[1].dones, 1);
    CU_ASSERT (tier_gauge (&s_tier, "accounts_waiting") == 2);
    CU_ASSERT (s_told () == 0);
    CU_ASSERT (shards[2].dones == 0 && shards[3].dones == 0 && shards[1].held > BLOCKS / 4);
    CU_ASSERT (shards[2].held == 0 && shards[3].held == 0);

    //  What is new now reaches them at once: a put needs no turn
    s_store (BLOCKS, 1000);
    uint64_t held = shards[2].held + shards[3].held;
    for (int64_t end = zclock_mono () + 60000; held < 500 && zclock_mono () < end;) {
        tier_serve (&s_tier, 10);
        held = shards[2].held + shards[3].held;
    }
    CU_ASSERT (held >= 500 && shards[2].accounts == 1 && shards[3].accounts == 1);
    CU_ASSERT (shards[2].dones == 0 && shards[3].dones == 0 && tier_drop (&s_tier, "k3500") == 0);
    CU_ASSERT (tier_gauge (&s_tier, "accounts_waiting") == 2);
    crowd_unsettled = false;
    tier_stop (&s_tier);
}

static void test_none_starves (void)
{
    s_join (50);
    shard_t *shards = s_tier.shards;
    s_serve_until (&shards[3].held, 1); //  The last one's account has begun, so all others have
    CU_ASSERT (shards[1].held > 0 && shards[2].held > 0);
    s_serve_until (&shards[3].dones, 1);
    CU_ASSERT (tier_flush (&s_tier));
    CU_ASSERT (tier_gauge (&s_tier, "accounts_waiting") == 0 && s_told () == 4);
    size_t told = 0;
    for (size_t index = 0; index < 4; index++)
        told += shards[index].held;
    CU_ASSERT (told >= 2 * BLOCKS);     //  Each key on two of the four, and where it was
    crowd_unsettled = false;
    tier_stop (&s_tier);
}

int main (void)
{
    alarm (240);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("pace", NULL, NULL);
    CU_ADD_TEST (suite, test_windows);
    CU_ADD_TEST (suite, test_turns);
    CU_ADD_TEST (suite, test_none_starves);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

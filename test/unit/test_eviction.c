//  test/unit/test_eviction.c - the plan by itself, and the eviction actor as tiers and clients see
//  it
#include "actors/evict_plan.h"
#include "actors/eviction.h"
#include "cluster/bulk/copy.h"
#include "cluster/topology.h"
#include "test/unit/peer.h"
#include "test/unit/real_tier.h"

#define DRAM UMBP_TIER_DRAM

//  ------------------------------------------------------------------------------------------------
//  The plan

static void test_marks (void)
{
    static const struct { unsigned high, low; bool fine; } cases[] = {
        { 90, 70, true }, { 100, 99, true }, { 2, 1, true },
        { 70, 70, false }, { 70, 90, false }, { 101, 70, false }, { 90, 0, false }, { 0, 0, false },
    };
    for (size_t index = 0; index < COUNT_OF (cases); index++) {
        umbp_evict_plan_t *plan = umbp_evict_plan_new (cases[index].high, cases[index].low);
        CU_ASSERT_EQUAL (plan != NULL, cases[index].fine);
        umbp_evict_plan_destroy (&plan);
        CU_ASSERT_PTR_NULL (plan);
    }
}

static void test_drains_to_the_low_mark (void)
{
    umbp_evict_plan_t *plan = umbp_evict_plan_new (90, 70);
    umbp_evict_plan_pressure (plan, DRAM, 1000, 900, 0, 0);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 0);       //  At the mark, not over it
    umbp_evict_plan_pressure (plan, DRAM, 1000, 901, 0, 0);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 201);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 0);       //  One step at a time
    CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, DRAM, 100, 5, 0), UMBP_EVICT_GOES_ON);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 101);     //  Below the high mark by now
    umbp_evict_plan_pressure (plan, DRAM, 1000, 850, 0, 0);          //  Writers are at work
    CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, DRAM, 50, 1, 0), UMBP_EVICT_GOES_ON);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 100);
    CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, DRAM, 120, 2, 0), UMBP_EVICT_DONE);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 0);
    //  What it says now may be old; a little later it counts
    umbp_evict_plan_pressure (plan, DRAM, 1000, 950, 0, UMBP_EVICT_SETTLE_MS - 1);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, UMBP_EVICT_SETTLE_MS - 1), 0);
    umbp_evict_plan_pressure (plan, DRAM, 1000, 950, 0, UMBP_EVICT_SETTLE_MS);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, UMBP_EVICT_SETTLE_MS), 250);
    umbp_evict_stats_t stats = umbp_evict_plan_stats (plan);
    CU_ASSERT (stats.rounds == 2 && stats.bytes == 270 && stats.blocks == 8 && stats.futile == 0);
    umbp_evict_plan_destroy (&plan);
}

//  A disk has a mark of its own, the other tiers keep theirs
static void test_low_of_a_tier (void)
{
    umbp_evict_plan_t *plan = umbp_evict_plan_new (90, 70);
    CU_ASSERT_EQUAL (umbp_evict_plan_set_low (plan, UMBP_TIER_NVME, 90), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_evict_plan_set_low (plan, UMBP_TIER_NVME, 0), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_evict_plan_set_low (plan, 0, 80), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_evict_plan_set_low (plan, UMBP_TIERS, 80), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_evict_plan_set_low (plan, UMBP_TIER_NVME, 88), 0);
    umbp_evict_plan_pressure (plan, UMBP_TIER_NVME, 1000, 901, 0, 0);
    umbp_evict_plan_pressure (plan, DRAM, 1000, 901, 0, 0);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, UMBP_TIER_NVME, 0), 21);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 201);
    CU_ASSERT_EQUAL (umbp_evict_plan_excess (plan, UMBP_TIER_NVME), 21);
    CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, UMBP_TIER_NVME, 21, 1, 0), UMBP_EVICT_DONE);
    umbp_evict_plan_destroy (&plan);
}

static void test_failed_reservations (void)
{
    umbp_evict_plan_t *plan = umbp_evict_plan_new (100, 70);
    umbp_evict_plan_pressure (plan, DRAM, 10000, 10000, 0, 0);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 0);       //  100: full is no reason
    umbp_evict_plan_pressure (plan, DRAM, 10000, 9990, 300, 0);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 400);     //  And 1 %
    umbp_evict_plan_pressure (plan, DRAM, 10000, 9990, 200, 0);
    umbp_evict_plan_pressure (plan, DRAM, 10000, 9990, UINT64_MAX, 0);       //  Bounded by the tier
    CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, DRAM, 100, 1, 0), UMBP_EVICT_GOES_ON);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 9900);
    CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, DRAM, UINT64_MAX, 1, 0), UMBP_EVICT_DONE);
    //  Just after a round a failure counts at once
    umbp_evict_plan_pressure (plan, DRAM, 10000, 9990, 50, 1);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 1), 150);
    umbp_evict_plan_destroy (&plan);
}

//  What failed while the tier rested is not made room for once there is some, whoever made it
static void test_room_comes_back (void)
{
    static const struct { bool pressure; uint64_t used, need, step; } cases[] = {
        { false, 10000, 300, 400 }, { false, 9601, 300, 400 }, { false, 9600, 300, 0 },
        { true, 10000, 300, 400 }, { true, 9601, 300, 400 }, { true, 9600, 300, 0 },
        { false, 0, UINT64_MAX, 0 }, { false, 1, UINT64_MAX, 10000 }, { true, 0, 10000, 0 },
    };
    for (size_t index = 0; index < COUNT_OF (cases); index++) {
        umbp_evict_plan_t *plan = umbp_evict_plan_new (100, 70);
        umbp_evict_plan_pressure (plan, DRAM, 10000, 9990, 1, 0);
        CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 101);
        CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, DRAM, 0, 0, 0), UMBP_EVICT_FUTILE);
        umbp_evict_plan_pressure (plan, DRAM, 10000, 9990, cases[index].need, 1);
        CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 1), 0);
        if (cases[index].pressure)
            umbp_evict_plan_pressure (plan, DRAM, 10000, cases[index].used, 0, 2);
        else
            umbp_evict_plan_capacity (plan, DRAM, 10000, cases[index].used);
        CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, UMBP_EVICT_REST_MS), cases[index].step);
        umbp_evict_plan_destroy (&plan);
    }
}

//  The same in the middle of a round: the step under way is the last. And what was asked for stays.
static void test_room_comes_back_in_a_round (void)
{
    umbp_evict_plan_t *plan = umbp_evict_plan_new (100, 70);
    umbp_evict_plan_pressure (plan, DRAM, 10000, 9990, 300, 0);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 400);
    umbp_evict_plan_pressure (plan, DRAM, 10000, 500, 0, 0);
    CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, DRAM, 100, 1, 0), UMBP_EVICT_DONE);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 10), 0);

    umbp_evict_plan_demand (plan, DRAM, 250);
    umbp_evict_plan_capacity (plan, DRAM, 10000, 400);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 10), 250);
    umbp_evict_plan_destroy (&plan);
}

//  A tier that was over its high mark, and was emptied by others meanwhile, fills up to it again
static void test_mark_is_left_behind (void)
{
    umbp_evict_plan_t *plan = umbp_evict_plan_new (90, 70);
    umbp_evict_plan_pressure (plan, DRAM, 1000, 950, 0, 0);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 250);
    CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, DRAM, 0, 0, 0), UMBP_EVICT_FUTILE);
    umbp_evict_plan_pressure (plan, DRAM, 1000, 950, 0, 10);
    umbp_evict_plan_capacity (plan, DRAM, 1000, 700);
    umbp_evict_plan_capacity (plan, DRAM, 1000, 850);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, UMBP_EVICT_REST_MS), 0);
    umbp_evict_plan_pressure (plan, DRAM, 1000, 901, 0, UMBP_EVICT_REST_MS);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, UMBP_EVICT_REST_MS), 201);
    umbp_evict_plan_destroy (&plan);
}

static void test_futile_steps_rest (void)
{
    umbp_evict_plan_t *plan = umbp_evict_plan_new (90, 70);
    umbp_evict_plan_pressure (plan, DRAM, 1000, 1000, 10, 0);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 300);
    CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, DRAM, 0, 0, 100), UMBP_EVICT_FUTILE);
    CU_ASSERT (umbp_evict_plan_rests (plan, 100));
    umbp_evict_plan_pressure (plan, DRAM, 1000, 1000, 10, 120);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 99 + UMBP_EVICT_REST_MS), 0);
    CU_ASSERT (!umbp_evict_plan_rests (plan, 100 + UMBP_EVICT_REST_MS));
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 100 + UMBP_EVICT_REST_MS), 300);
    CU_ASSERT_EQUAL (umbp_evict_plan_stats (plan).futile, 1);
    //  Another tier has its own rest
    umbp_evict_plan_pressure (plan, UMBP_TIER_HBM, 1000, 1000, 0, 120);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, UMBP_TIER_HBM, 120), 300);
    umbp_evict_plan_destroy (&plan);
}

static void test_demands (void)
{
    umbp_evict_plan_t *plan = umbp_evict_plan_new (90, 70);
    CU_ASSERT (!umbp_evict_plan_knows (plan, DRAM));
    umbp_evict_plan_capacity (plan, DRAM, 1000, 800);
    umbp_evict_plan_capacity (plan, 9, 1000, 800);
    CU_ASSERT (umbp_evict_plan_knows (plan, DRAM) && !umbp_evict_plan_knows (plan, 9));
    CU_ASSERT (!umbp_evict_plan_knows (plan, 0) && !umbp_evict_plan_knows (plan, UMBP_TIER_NVME));
    CU_ASSERT_EQUAL (umbp_evict_plan_excess (plan, DRAM), 100);
    umbp_evict_plan_capacity (plan, DRAM, 1000, 990);        //  Never a reason by itself
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 0);
    umbp_evict_plan_demand (plan, DRAM, 50);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, DRAM, 0), 50);
    umbp_evict_plan_capacity (plan, DRAM, 1000, 5);          //  From before: not while a round runs
    CU_ASSERT_EQUAL (umbp_evict_plan_excess (plan, DRAM), 290);
    umbp_evict_plan_demand (plan, DRAM, 20);
    CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, DRAM, 20, 1, 0), UMBP_EVICT_DONE);
    CU_ASSERT_EQUAL (umbp_evict_plan_excess (plan, DRAM), 270);
    umbp_evict_plan_demand (plan, 77, 20);
    CU_ASSERT_EQUAL (umbp_evict_plan_step (plan, 77, 0), 0);
    CU_ASSERT_EQUAL (umbp_evict_plan_freed (plan, 77, 20, 1, 0), UMBP_EVICT_DONE);
    umbp_evict_plan_destroy (&plan);
}

//  A tier of blocks, some of which are leased now and then: whatever happens, the plan never asks
//  for nothing, comes to rest, and leaves no more than the low mark if all can be freed
static void test_plan_model (void)
{
    uint64_t seed = (uint64_t) zclock_usecs (), state = seed;
    printf ("(seed %llu) ", (unsigned long long) seed);
    for (int round = 0; round < 300; round++) {
        umbp_evict_plan_t *plan = umbp_evict_plan_new (80, 50);
        uint64_t total = 1000 + umbp_splitmix (&state) % 1000, used = total, leased = 0;
        int64_t now = 0;
        if (umbp_splitmix (&state) % 2)
            leased = umbp_splitmix (&state) % total;
        umbp_evict_plan_pressure (plan, DRAM, total, used, umbp_splitmix (&state) % 100, now);
        umbp_evict_outcome_t outcome = UMBP_EVICT_GOES_ON;
        int steps = 0;
        while (outcome == UMBP_EVICT_GOES_ON && steps++ < 3000) {
            uint64_t wanted = umbp_evict_plan_step (plan, DRAM, ++now);
            CU_ASSERT (wanted > 0 && wanted <= total);
            uint64_t step = umbp_splitmix (&state) % 50 + 1, free = used - leased;
            uint64_t freed = step < wanted ? step : wanted;
            freed = freed < free ? freed : free;
            used -= freed;
            outcome = umbp_evict_plan_freed (plan, DRAM, freed, 1, now);
        }
        CU_ASSERT (outcome != UMBP_EVICT_GOES_ON);
        CU_ASSERT (outcome == UMBP_EVICT_DONE ? used <= total / 2 : used == leased);
        umbp_evict_plan_destroy (&plan);
    }
}

//  ------------------------------------------------------------------------------------------------
//  The actor, between a client and a tier that the test plays

typedef struct {
    zactor_t *actor;
    asker_t peer, other;
    asked_t tier;
} stage_t;

static void s_open (stage_t *self, const char *instance)
{
    umbp_home_t home;
    umbp_eviction_args_t args = { home_of (&home, instance, "a"), 90, 70, 0, 0, 100 };
    asked_start (&self->tier, instance, "tier:dram");
    self->actor = umbp_eviction_new (&args);
    CU_ASSERT_FATAL (self->actor != NULL);
    asker_start (&self->peer, instance, "eviction");
    asker_start (&self->other, instance, "eviction");
}

static void s_close (stage_t *self)
{
    asker_end (&self->peer);
    asker_end (&self->other);
    zactor_destroy (&self->actor);
    asked_end (&self->tier);
}

static void s_press (asker_t *peer, uint64_t total, uint64_t used, uint64_t need)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_pressure, 0);
    msg.pressure.tier = DRAM;
    msg.pressure.total = total;
    msg.pressure.used = used;
    msg.pressure.need = need;
    asker_say (peer, &msg, NULL, 0, 0);
}

//  What the tier is asked for next, 0 if nothing in this time
static uint64_t s_asked (stage_t *self, int timeout_ms)
{
    uint64_t id = asked_hear (&self->tier, timeout_ms);
    if (id == 0)
        return 0;
    CU_ASSERT_EQUAL (self->tier.msg.type, UMBP_MSG_evict);
    CU_ASSERT_EQUAL (self->tier.msg.evict.tier, DRAM);
    CU_ASSERT (id != UINT64_MAX);
    return self->tier.msg.evict.bytes;
}

static void s_freed (stage_t *self, uint64_t bytes, uint64_t blocks)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict_ok, 0);
    msg.evict_ok.bytes = bytes;
    msg.evict_ok.blocks = blocks;
    asked_answer (&self->tier, &msg, NULL, 0);
}

static uint64_t s_say_evict (asker_t *peer, uint64_t bytes, uint32_t deadline_ms)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = DRAM;
    msg.evict.bytes = bytes;
    return asker_say (peer, &msg, NULL, 0, deadline_ms);
}

static bool s_hears (asker_t *peer, uint64_t id, int status, uint64_t bytes, uint64_t blocks)
{
    return asker_hear (peer, PEER_MS) == id && peer->msg.type == UMBP_MSG_evict_ok
           && peer->msg.status == status && peer->msg.evict_ok.bytes == bytes
           && peer->msg.evict_ok.blocks == blocks;
}

static void test_round (void)
{
    stage_t stage;
    s_open (&stage, "evict-1");
    s_press (&stage.peer, 1000, 800, 0);
    s_press (&stage.peer, 1000, 950, 0);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 250);
    s_press (&stage.peer, 1000, 960, 0);             //  While a step is under way: no second one
    CU_ASSERT_NOT_EQUAL (asker_gauge (&stage.peer, "rounds"), UINT64_MAX);
    CU_ASSERT_EQUAL (s_asked (&stage, 0), 0);
    s_freed (&stage, 160, 9);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 100);
    s_freed (&stage, 100, 3);
    asker_wait (&stage.peer, "bytes", 260);
    CU_ASSERT_EQUAL (s_asked (&stage, 0), 0);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "rounds"), 1);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "blocks"), 12);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "futile"), 0);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "pressures"), 3);
    s_close (&stage);
}

//  All leased: the tier rests, however loud it complains meanwhile, and is asked again after that
static void test_all_leased (void)
{
    stage_t stage;
    s_open (&stage, "evict-2");
    s_press (&stage.peer, 1000, 1000, 100);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 300);
    int64_t start = zclock_mono ();
    s_freed (&stage, 0, 0);
    asker_wait (&stage.peer, "futile", 1);
    for (int count = 0; count < 20; count++)
        s_press (&stage.peer, 1000, 1000, 100);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 300);
    CU_ASSERT (stage.tier.came_at - start >= UMBP_EVICT_REST_MS);
    s_freed (&stage, 300, 1);
    asker_wait (&stage.peer, "bytes", 300);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "futile"), 1);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "rounds"), 2);
    s_close (&stage);
}

//  It rests, a reservation fails, and then all its blocks are removed: nothing is left to ask for
static void test_emptied_while_it_rests (void)
{
    stage_t stage;
    s_open (&stage, "evict-9");
    s_press (&stage.peer, 1000, 1000, 100);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 300);
    s_freed (&stage, 0, 0);
    asker_wait (&stage.peer, "futile", 1);
    s_press (&stage.peer, 1000, 1000, 100);
    asker_push (&stage.peer, "a", "a", NULL, 1000, 5);
    s_press (&stage.peer, 1000, 5, 0);
    asker_wait (&stage.peer, "pressures", 3);
    CU_ASSERT_EQUAL (s_asked (&stage, 3 * UMBP_EVICT_REST_MS), 0);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "rounds"), 1);
    s_close (&stage);
}

//  A tier that answers nonsense, an error, or nothing at all holds nothing up for ever
static void test_tier_fails (void)
{
    stage_t stage;
    s_open (&stage, "evict-3");
    umbp_msg_t msg;
    for (int turn = 0; turn < 3; turn++) {
        s_press (&stage.peer, 1000, 1000, 0);
        asker_wait (&stage.peer, "pressures", (uint64_t) turn + 1);      //  Before the other comes
        uint64_t id = s_say_evict (&stage.other, 10, PEER_MS);
        CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 300);
        umbp_msg_init (&msg, UMBP_MSG_ok, 0);
        msg.status = (int16_t) (turn == 1 ? UMBP_EIO : 0);
        asker_wait (&stage.peer, "waiting", 1);
        if (turn < 2)
            asked_answer (&stage.tier, &msg, NULL, 0);
        int status = turn == 0 ? UMBP_EPROTO : turn == 1 ? UMBP_EIO : UMBP_ETIMEDOUT;
        CU_ASSERT (s_hears (&stage.other, id, status, 0, 0));
    }
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "failed"), 3);
    s_press (&stage.peer, 1000, 1000, 0);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 300);
    s_close (&stage);
}

static void test_clients (void)
{
    stage_t stage;
    s_open (&stage, "evict-4");
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = DRAM;
    CU_ASSERT_EQUAL (asker_ask (&stage.peer, &msg, PEER_MS), UMBP_ENOENT);   //  Nobody heard of it
    asker_push (&stage.peer, "a b", "a", NULL, 1000, 800);
    msg.evict.tier = UMBP_TIER_NVME;
    CU_ASSERT_EQUAL (asker_ask (&stage.peer, &msg, PEER_MS), UMBP_ENOENT);
    CU_ASSERT_EQUAL (stage.peer.msg.type, UMBP_MSG_refused);

    //  Down to the low mark, in two steps; somebody else's wish is met on the way
    uint64_t id = s_say_evict (&stage.peer, 0, PEER_MS);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 100);
    uint64_t other = s_say_evict (&stage.other, 25, PEER_MS);
    asker_wait (&stage.peer, "waiting", 2);
    s_freed (&stage, 30, 2);
    CU_ASSERT (s_hears (&stage.other, other, 0, 30, 2));
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 70);
    s_freed (&stage, 75, 1);
    CU_ASSERT (s_hears (&stage.peer, id, 0, 105, 3));
    id = s_say_evict (&stage.peer, 0, PEER_MS);      //  It is there already
    CU_ASSERT (s_hears (&stage.peer, id, 0, 0, 0));

    //  More than can be had
    id = s_say_evict (&stage.peer, 500, PEER_MS);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 500);
    s_freed (&stage, 100, 4);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 400);
    s_freed (&stage, 0, 0);
    CU_ASSERT (s_hears (&stage.peer, id, UMBP_EAGAIN, 100, 4));
    s_close (&stage);
}

//  Who cannot wait is answered in time, and its wish is forgotten
static void test_client_in_a_hurry (void)
{
    stage_t stage;
    s_open (&stage, "evict-5");
    asker_push (&stage.peer, "a", "a", NULL, 1000, 800);
    int64_t start = zclock_mono ();
    uint64_t id = s_say_evict (&stage.peer, 500, 1500);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 500);
    s_freed (&stage, 10, 1);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 490);
    CU_ASSERT (s_hears (&stage.peer, id, UMBP_ETIMEDOUT, 10, 1));
    CU_ASSERT (zclock_mono () - start < 1500);
    s_freed (&stage, 10, 1);
    asker_wait (&stage.peer, "bytes", 20);
    CU_ASSERT_EQUAL (s_asked (&stage, 0), 0);
    s_close (&stage);
}

//  Who says no deadline is not in a hurry
static void test_client_without_a_deadline (void)
{
    stage_t stage;
    s_open (&stage, "evict-10");
    asker_push (&stage.peer, "a", "a", NULL, 1000, 800);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.id = ++stage.peer.last_id;
    msg.evict.tier = DRAM;
    msg.evict.bytes = 50;
    zmq_send (zsock_resolve (stage.peer.sock), "", 0, ZMQ_SNDMORE);
    mail_send (stage.peer.sock, &msg, NULL, 0);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 50);
    CU_ASSERT_EQUAL (asker_hear (&stage.peer, 100), 0);
    s_freed (&stage, 60, 2);
    CU_ASSERT (s_hears (&stage.peer, stage.peer.last_id, 0, 60, 2));
    s_close (&stage);
}

static void test_too_many_clients (void)
{
    stage_t stage;
    s_open (&stage, "evict-6");
    asker_push (&stage.peer, "a", "a", NULL, 1000, 800);
    uint64_t first = s_say_evict (&stage.peer, 100, PEER_MS);
    for (int count = 1; count < 64; count++)
        s_say_evict (&stage.peer, 100, PEER_MS);
    uint64_t late = s_say_evict (&stage.peer, 100, PEER_MS);
    CU_ASSERT_EQUAL (asker_hear (&stage.peer, PEER_MS), late);
    CU_ASSERT_EQUAL (stage.peer.msg.status, UMBP_EAGAIN);
    CU_ASSERT_EQUAL (s_asked (&stage, PEER_MS), 100);
    s_freed (&stage, 100, 1);
    for (int count = 0; count < 64; count++)         //  What is freed counts for all
        CU_ASSERT (s_hears (&stage.peer, first + (uint64_t) count, 0, 100, 1));
    s_close (&stage);
}

static void test_cannot_start (void)
{
    umbp_home_t home;
    umbp_eviction_args_t args = { home_of (&home, "evict-7", "a"), 70, 90, 0, 0, 0 };
    CU_ASSERT_PTR_NULL (umbp_eviction_new (&args));
    args = (umbp_eviction_args_t) { &home, 90, 70, 90, 0, 0 };
    CU_ASSERT_PTR_NULL (umbp_eviction_new (&args));
    args = (umbp_eviction_args_t) { &home, 0, 0, 0, 0, 0 };   //  The defaults
    zactor_t *actor = umbp_eviction_new (&args);
    CU_ASSERT_PTR_NOT_NULL (actor);
    CU_ASSERT_PTR_NULL (umbp_eviction_new (&args));
    zactor_destroy (&actor);
}

//  ------------------------------------------------------------------------------------------------
//  With a real tier: writers that fill it many times over always find room in the end, and what was
//  evicted is what was written first

#define TIER_BYTES (4u << 20)

static int s_store (asker_t *tier, size_t number)
{
    static uint8_t data[PAGE];
    static words_t keys;
    memset (data, (int) number, sizeof data);
    uint32_t size = sizeof data;
    uint64_t sum = umbp_sum (data, size);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_store, 0);
    msg.store.keys = words_numbered (&keys, "key", number, 1);
    msg.store.sizes = (umbp_u32s_t) { &size, 1 };
    msg.store.sums = (umbp_u64s_t) { &sum, 1 };
    uint64_t id = asker_say (tier, &msg, data, size, PEER_MS);
    CU_ASSERT_EQUAL_FATAL (asker_hear (tier, PEER_MS), id);
    return tier->msg.status ? tier->msg.status : umbp_s8s_at (tier->msg.store_ok.statuses, 0);
}

static void test_with_a_tier (void)
{
    umbp_home_t home;
    umbp_eviction_args_t args = { home_of (&home, "evict-8", "a"), 90, 70, 0, 0, 0 };
    zactor_t *eviction = umbp_eviction_new (&args),
             *manager = real_tier_new (&home, TIER_BYTES, 90);
    CU_ASSERT_FATAL (eviction && manager);
    asker_t tier, peer;
    asker_start (&tier, "evict-8", "tier:dram");
    asker_start (&peer, "evict-8", "eviction");
    size_t full = 0, count = 4 * TIER_BYTES / PAGE;
    for (size_t number = 0; number < count; number++) {
        int status;
        while ((status = s_store (&tier, number)) == UMBP_EAGAIN)
            full++;
        CU_ASSERT_EQUAL_FATAL (status, 0);
    }
    CU_ASSERT (asker_gauge (&tier, "used_bytes") <= TIER_BYTES);
    int64_t end = zclock_mono () + PEER_MS;          //  What left last is told a moment later
    while (asker_gauge (&peer, "blocks") != asker_gauge (&tier, "evicted") && zclock_mono () < end)
        zclock_sleep (5);
    CU_ASSERT (asker_gauge (&peer, "bytes") >= 3ull * TIER_BYTES);
    CU_ASSERT_EQUAL (asker_gauge (&peer, "blocks"), asker_gauge (&tier, "evicted"));
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = DRAM;
    msg.evict.bytes = 100 * PAGE;
    uint64_t before = asker_gauge (&tier, "used_bytes");
    CU_ASSERT_EQUAL (asker_ask (&peer, &msg, PEER_MS), 0);
    CU_ASSERT (peer.msg.evict_ok.bytes >= 100 * PAGE);
    CU_ASSERT (asker_gauge (&tier, "used_bytes") <= before - 100 * PAGE);
    printf ("(%zu of %zu stores found it full) ", full, count);
    asker_end (&tier);
    asker_end (&peer);
    zactor_destroy (&manager);
    zactor_destroy (&eviction);
}

int main (void)
{
    alarm (240);
    zsys_set_logstream (NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("eviction", NULL, NULL);
    CU_ADD_TEST (suite, test_marks);
    CU_ADD_TEST (suite, test_drains_to_the_low_mark);
    CU_ADD_TEST (suite, test_low_of_a_tier);
    CU_ADD_TEST (suite, test_failed_reservations);
    CU_ADD_TEST (suite, test_room_comes_back);
    CU_ADD_TEST (suite, test_room_comes_back_in_a_round);
    CU_ADD_TEST (suite, test_mark_is_left_behind);
    CU_ADD_TEST (suite, test_futile_steps_rest);
    CU_ADD_TEST (suite, test_demands);
    CU_ADD_TEST (suite, test_plan_model);
    CU_ADD_TEST (suite, test_round);
    CU_ADD_TEST (suite, test_all_leased);
    CU_ADD_TEST (suite, test_emptied_while_it_rests);
    CU_ADD_TEST (suite, test_tier_fails);
    CU_ADD_TEST (suite, test_clients);
    CU_ADD_TEST (suite, test_client_in_a_hurry);
    CU_ADD_TEST (suite, test_client_without_a_deadline);
    CU_ADD_TEST (suite, test_too_many_clients);
    CU_ADD_TEST (suite, test_cannot_start);
    CU_ADD_TEST (suite, test_with_a_tier);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_cost.c - what letting go of memory costs where there is a disk below: asked for, and then done. Bytes
//  that move and blocks that are lost are compared; times are only printed, since the machine may be busy.
#include "actors/tier/meter.h"
#include "actors/tier/policy.h"
#include "bin/talk.h"
#include "test/unit/moving.h"

typedef struct {
    moving_t moving;
    umbp_talk_t *talk;
} stage_t;

static void s_start (stage_t *self, const char *admit, void (*change) (umbp_node_options_t *))
{
    int err;
    umbp_node_options_t *options = moving_prepare (&self->moving, admit);
    options->migration_idle = 0;        //  Nothing goes down by itself
    options->migration_bytes = 128 * MIB;
    options->migration_blocks = 256;
    if (change)
        change (options);
    moving_run (&self->moving);
    self->talk = umbp_talk_new (disk_endpoint (&self->moving.disk), DISK_MS, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->talk);
}

static void s_stop (stage_t *self)
{
    umbp_talk_destroy (&self->talk);
    moving_stop (&self->moving);
}

static const umbp_msg_t *s_ask (stage_t *self, const char *actor, umbp_msg_t *msg)
{
    const umbp_msg_t *answer = NULL;
    int rc = umbp_talk_ask (self->talk, actor, msg, &answer);
    if (rc)
        printf ("\n    %s: %s: %s\n", actor, umbp_errname (rc), umbp_talk_reason (self->talk));
    CU_ASSERT_FATAL (rc == 0 && answer);
    return answer;
}

static umbp_msg_cost_ok_t s_cost (stage_t *self, uint64_t bytes, bool own)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_cost, 0);
    msg.cost.bytes = bytes;
    msg.cost.own = own;
    return s_ask (self, "pressure", &msg)->cost_ok;
}

//  What an eviction did
typedef struct {
    uint64_t blocks, bytes, moved_bytes, lost, known;
    int64_t us;
} did_t;

static did_t s_look (stage_t *self)
{
    const moving_t *moving = &self->moving;
    return (did_t) { .moved_bytes = moving_gauge (moving, "tier:dram", "demoted_bytes"),
                     .lost = moving_gauge (moving, "tier:dram", "evicted_without_copy")
                            + moving_gauge (moving, "tier:dram", "not_admitted"),
                     .known = moving_gauge (moving, "tier:dram", "demoted_known") };
}

static did_t s_evict (stage_t *self, uint64_t bytes)
{
    did_t before = s_look (self);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = UMBP_TIER_DRAM;
    msg.evict.bytes = bytes;
    int64_t begun = zclock_usecs ();
    umbp_msg_evict_ok_t ok = s_ask (self, "eviction", &msg)->evict_ok;
    int64_t took = zclock_usecs () - begun;
    did_t did = s_look (self);
    return (did_t) { ok.blocks,
                    ok.bytes,
                    did.moved_bytes - before.moved_bytes,
                    did.lost - before.lost,
                    did.known - before.known,
                    took };
}

static bool s_is_near (uint64_t said, uint64_t is)
{
    return said <= 2 * is && is <= 2 * said;
}

//  Ask what it costs, and do it
static umbp_msg_cost_ok_t s_try (stage_t *self, const char *what, uint64_t bytes, did_t *did)
{
    umbp_msg_cost_ok_t cost = s_cost (self, bytes, false);
    *did = s_evict (self, bytes);
    printf ("\n    %-22s blocks %" PRIu64 " of %" PRIu64 ", moved %" PRIu64 " of %" PRIu64
            " KiB, lost %" PRIu64 " of %" PRIu64 ", known %" PRIu64 "; %.1f ms, took %.1f: %s",
            what, cost.blocks, did->blocks, cost.moved_bytes >> 10, did->moved_bytes >> 10,
            cost.lost_blocks, did->lost, did->known, (double) cost.time_us / 1e3,
            (double) did->us / 1e3,
            s_is_near (cost.time_us, (uint64_t) did->us) ? "near" : "not within a factor of 2");
    CU_ASSERT (s_is_near (cost.blocks, did->blocks) && s_is_near (cost.bytes, did->bytes));
    CU_ASSERT (s_is_near (cost.moved_bytes, did->moved_bytes));
    CU_ASSERT (s_is_near (cost.lost_blocks, did->lost));
    return cost;
}

//  All go down: nothing is lost, and every byte moves
static void test_all_move (void)
{
    static const size_t blocks[] = { 10, 100, 200, 600 };
    stage_t stage;
    did_t did;
    s_start (&stage, "all", NULL);
    moving_put (&stage.moving, "all", STORM, (umbp_put_options_t) { 0 });
    for (size_t index = 0; index < sizeof blocks / sizeof *blocks; index++) {
        umbp_msg_cost_ok_t cost = s_try (&stage, "all move", blocks[index] * BLOCK, &did);
        CU_ASSERT_EQUAL (cost.blocks, blocks[index]);
        CU_ASSERT (cost.moved_bytes == blocks[index] * BLOCK && cost.lost_blocks == 0);
        CU_ASSERT_EQUAL (did.moved_bytes, cost.moved_bytes);
        CU_ASSERT_EQUAL (did.lost, 0);
    }
    s_stop (&stage);
}

//  What its writer said is read once has no place on the disk: that is lost, the rest moves
static void test_what_is_read_once_is_lost (void)
{
    enum { COUNT = 200 };
    stage_t stage;
    did_t did;
    s_start (&stage, "all", NULL);
    moving_put (&stage.moving, "keep", COUNT, (umbp_put_options_t) { 0 });
    moving_put (&stage.moving, "once", COUNT, (umbp_put_options_t) { .hint = UMBP_HINT_ONCE });
    umbp_msg_cost_ok_t part = s_try (&stage, "some are read once", COUNT * 3 / 2 * BLOCK, &did);
    CU_ASSERT (part.lost_blocks == did.lost && part.moved_bytes == did.moved_bytes);
    umbp_msg_cost_ok_t rest = s_try (&stage, "... the rest", (uint64_t) COUNT / 2 * BLOCK, &did);
    CU_ASSERT (rest.lost_blocks == did.lost && rest.moved_bytes == did.moved_bytes);
    CU_ASSERT_EQUAL (part.lost_blocks + rest.lost_blocks, COUNT);
    CU_ASSERT_EQUAL (part.moved_bytes + rest.moved_bytes, (uint64_t) COUNT * BLOCK);
    s_stop (&stage);
}

//  What came up from the disk is there still: it neither moves nor is lost
static void test_what_is_below_costs_nothing (void)
{
    enum { COUNT = 200 };
    stage_t stage;
    did_t did;
    s_start (&stage, "all", NULL);
    moving_put (&stage.moving, "up", COUNT, (umbp_put_options_t) { 0 });
    s_try (&stage, "down", (uint64_t) COUNT * BLOCK, &did);
    CU_ASSERT_EQUAL (moving_get (stage.moving.pool, "up", COUNT), COUNT);
    int64_t end =
        umbp_clock_ms () + DISK_MS; //  They rest for a while, and in a storm have to be read again
    while (moving_gauge (&stage.moving, "tier:nvme", "promoted") < COUNT
           && umbp_clock_ms () < end) {
        moving_get (stage.moving.pool, "up", COUNT);
        usleep (100000);
    }
    CU_ASSERT_FATAL (moving_until (&stage.moving, "tier:nvme", "promoted", COUNT));
    moving_put (&stage.moving, "new", COUNT, (umbp_put_options_t) { 0 });
    umbp_msg_cost_ok_t own = s_cost (&stage, UINT64_MAX, true);
    CU_ASSERT (own.moved_bytes == 0 && own.blocks == 2 * COUNT && own.lost_blocks == COUNT);
    umbp_msg_cost_ok_t cost = s_try (&stage, "half are below", (uint64_t) 2 * COUNT * BLOCK, &did);
    CU_ASSERT (cost.blocks == 2 * COUNT && cost.lost_blocks == 0 && did.lost == 0);
    CU_ASSERT_EQUAL (cost.moved_bytes, (uint64_t) COUNT * BLOCK);
    CU_ASSERT (did.moved_bytes == cost.moved_bytes && did.known == COUNT);
    CU_ASSERT_EQUAL (s_cost (&stage, UINT64_MAX, false).blocks, 0);      //  Nothing is left
    s_stop (&stage);
}

//  Once more goes down than the budget has, auto lets go of what nobody read
static void s_little (umbp_node_options_t *options)
{
    options->nvme_down_rate = MIB;
    options->migration_storm = 0;
}

static void test_budget_is_used_up (void)
{
    stage_t stage;
    did_t did;
    s_start (&stage, "auto", s_little);
    moving_put (&stage.moving, "auto", STORM, (umbp_put_options_t) { 0 });
    umbp_msg_cost_ok_t cost = s_try (&stage, "more than the budget", (uint64_t) 800 * BLOCK, &did);
    CU_ASSERT (cost.lost_blocks > 0 && cost.moved_bytes > 0);
    s_stop (&stage);
}

//  Large blocks, and as many as take a while
static void test_large_blocks (void)
{
    enum { LARGE = MIB, COUNT = 48 };
    static const size_t blocks[] = { 4, 12, 24 };
    stage_t stage;
    did_t did;
    s_start (&stage, "all", NULL);
    for (size_t first = 0; first < COUNT; first += 8)
        disk_put (stage.moving.pool, "large", first, 8, LARGE, (umbp_put_options_t) { 0 });
    for (size_t index = 0; index < sizeof blocks / sizeof *blocks; index++) {
        umbp_msg_cost_ok_t cost = s_try (&stage, "large blocks", blocks[index] * LARGE, &did);
        CU_ASSERT (cost.moved_bytes == blocks[index] * LARGE && cost.lost_blocks == 0);
        CU_ASSERT (did.moved_bytes == cost.moved_bytes && did.lost == 0);
    }
    s_stop (&stage);
}

//  --------------------------------------------------------------------------------------------------
//  Who asks what it costs changes nothing

#define ORDERED 120                     //  Blocks, of which the first 30 are read
#define ORDERED_READ 30
#define ORDERED_LATE 20                 //  ... and the last 20 come when it was asked
#define ASKED (ORDERED - ORDERED_LATE)
#define STEP 10                         //  Blocks that leave at a time

//  What a node without a disk did: what left leaves no trace
typedef struct {
    uint64_t promotions, reprieves, probation;
    unsigned left[ORDERED];             //  In which step each left; 0: not yet
} order_t;

static void s_gauges (const stage_t *self, order_t *order)
{
    order->promotions = moving_gauge (&self->moving, "tier:dram", "promotions");
    order->reprieves = moving_gauge (&self->moving, "tier:dram", "reprieves");
    order->probation = moving_gauge (&self->moving, "tier:dram", "probation_blocks");
}

static bool s_same_gauges (const order_t *left, const order_t *right)
{
    return left->promotions == right->promotions && left->reprieves == right->reprieves
           && left->probation == right->probation;
}

static const char *s_policy;

static void s_without_disk (umbp_node_options_t *options)
{
    snprintf (options->policy, sizeof options->policy, "%s", s_policy);
    *options->nvme_dirs = 0;
}

static void s_note_left (stage_t *self, unsigned step, order_t *order)
{
    for (unsigned number = 0; number < ORDERED; number++) {
        char key[32];
        snprintf (key, sizeof key, "order-%u", number);
        if (!order->left[number] && !umbp_exists (self->moving.pool, key))
            order->left[number] = step;
    }
}

static void s_put_order (stage_t *self, size_t from, size_t until)
{
    for (size_t first = from; first < until; first += STEP)
        disk_put (self->moving.pool, "order", first, STEP, BLOCK, (umbp_put_options_t) { 0 });
}

//  Until nothing is held: what is held is passed over, and that is seen in who leaves
static void s_let_go (const stage_t *self)
{
    int64_t end = umbp_clock_ms () + DISK_MS;
    while ((moving_gauge (&self->moving, "tier:dram", "leases") > 0
            || moving_gauge (&self->moving, "tier:dram", "slots") > 0)
           && umbp_clock_ms () < end)
        usleep (5000);
    CU_ASSERT (moving_gauge (&self->moving, "tier:dram", "leases") == 0);
}

static void s_play_order (const char *policy, bool asks, order_t *order)
{
    stage_t stage;
    did_t did;
    s_policy = policy;
    s_start (&stage, "all", s_without_disk);
    s_put_order (&stage, 0, ASKED);
    //  Through memory the tier would hear of reads later, and of some at once
    umbp_options_t how = { .no_shm = true, .timeout_ms = DISK_MS };
    umbp_t *reader = nodes_connect (&stage.moving.disk.nodes, 0, how);
    CU_ASSERT_PTR_NOT_NULL_FATAL (reader);
    for (size_t number = 0; number < ORDERED_READ; number++)
        CU_ASSERT (disk_get (reader, "order", number, 1, BLOCK, DISK_MS, NULL) == 1);
    umbp_close (&reader);
    s_let_go (&stage);
    order_t before;
    s_gauges (&stage, &before);
    for (int ask = 0; asks && ask < 3; ask++) {
        CU_ASSERT_EQUAL (s_cost (&stage, (uint64_t) ASKED / 2 * BLOCK, false).blocks, ASKED / 2);
        CU_ASSERT_EQUAL (s_cost (&stage, UINT64_MAX, false).blocks, ASKED);
    }
    *order = (order_t) { 0 };
    s_gauges (&stage, order);
    CU_ASSERT (s_same_gauges (&before, order));
    s_put_order (&stage, ASKED, ORDERED);
    s_let_go (&stage);
    for (unsigned step = 1; step < ORDERED / STEP; step++) {
        did = s_evict (&stage, STEP * BLOCK);
        CU_ASSERT_EQUAL (did.blocks, STEP);
        s_note_left (&stage, step, order);
    }
    s_gauges (&stage, order);
    s_stop (&stage);
}

static void test_asking_changes_nothing (void)
{
    char names[] = UMBP_POLICY_NAMES, *rest = names;
    for (char *name; (name = strtok_r (rest, "|", &rest));) {
        order_t with, without;
        s_play_order (name, false, &without);
        s_play_order (name, true, &with);
        unsigned others = 0;
        for (unsigned number = 0; number < ORDERED; number++)
            others += with.left[number] != without.left[number];
        printf ("\n    %-8s %u of %d left at another time", name, others, ORDERED);
        CU_ASSERT_EQUAL (others, 0);
        CU_ASSERT (s_same_gauges (&with, &without));
    }
}

//  --------------------------------------------------------------------------------------------------
//  How fast it goes is measured while there is something to do, and lately

static void test_meter (void)
{
    umbp_meter_t meter = { 0 };
    int64_t now = 1000;
    CU_ASSERT_EQUAL (umbp_meter_rate (&meter, 777, now), 777);           //  Nothing is known yet
    umbp_meter_set (&meter, true, now);
    umbp_meter_add (&meter, 1000, now += 500000);
    CU_ASSERT_EQUAL (umbp_meter_rate (&meter, 2000, now), 2000);
    umbp_meter_set (&meter, false, now);
    CU_ASSERT_EQUAL (umbp_meter_rate (&meter, 2000, now += 60000000), 2000);     //  Idle time is none
    umbp_meter_set (&meter, true, now);
    uint64_t half = umbp_meter_rate (&meter, 2000, now + 500000);        //  Busy, and nothing done
    CU_ASSERT (half > 990 && half < 1030);
    for (int step = 0; step < 100; step++)
        umbp_meter_add (&meter, 50, now += 500000);
    uint64_t rate = umbp_meter_rate (&meter, 100, now);
    CU_ASSERT (rate >= 95 && rate <= 105);           //  What was before is forgotten
}

int main (void)
{
    alarm (300);
    zsys_init ();
    disk_seed = (uint64_t) zclock_usecs ();
    printf ("seed %" PRIu64 "\n", disk_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("cost", NULL, NULL);
    CU_ADD_TEST (suite, test_meter);
    CU_ADD_TEST (suite, test_all_move);
    CU_ADD_TEST (suite, test_what_is_read_once_is_lost);
    CU_ADD_TEST (suite, test_what_is_below_costs_nothing);
    CU_ADD_TEST (suite, test_budget_is_used_up);
    CU_ADD_TEST (suite, test_large_blocks);
    CU_ADD_TEST (suite, test_asking_changes_nothing);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

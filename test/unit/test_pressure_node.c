//  test/unit/test_pressure_node.c - pressure on a running node, seen by its clients: what letting go costs and what
//  then happens (with a disk: test_cost.c), devices that fill, a tenant that is suspended and resumed, the events of memory, a pool that shrinks and grows while
//  it serves, and the whole ladder
#include <czmq.h>

#include "actors/pressure/ladder.h"
#include "actors/tier/journal.h"
#include "bin/talk.h"
#include "test/unit/accel.h"
#include "test/unit/nodes.h"

#define BLOCK (16 * PAGE)               //  Above what rides inside a message
#define DRAM (64u << 20)
#define BLOCKS (DRAM / BLOCK)
#define WAIT_MS 60000

static nodes_t s_nodes;
static umbp_talk_t *s_talk;
static umbp_t *s_pool;
static uint8_t s_data[BLOCK];

static void s_start (void (*change) (umbp_node_options_t *options))
{
    int err;
    s_nodes = (nodes_t) { .count = 1 };
    snprintf (s_nodes.run_dir, sizeof s_nodes.run_dir, "/tmp/umbp-test-XXXXXX");
    CU_ASSERT_FATAL (mkdtemp (s_nodes.run_dir) != NULL);
    nodes_options (&s_nodes, 0, WITH_DOORS, DRAM);
    s_nodes.options[0].pressure_rise_ms = s_nodes.options[0].pressure_fall_ms = 100;
    snprintf (s_nodes.options[0].pressure_available, sizeof s_nodes.options[0].pressure_available,
              "-");                     //  Whatever this machine is short of is not our business
    snprintf (s_nodes.options[0].pressure_some, sizeof s_nodes.options[0].pressure_some, "-");
    snprintf (s_nodes.options[0].pressure_full, sizeof s_nodes.options[0].pressure_full, "-");
    if (change)
        change (&s_nodes.options[0]);
    s_nodes.nodes[0] = nodes_new (&s_nodes.options[0]);
    CU_ASSERT_FATAL (s_nodes.nodes[0] != NULL);
    CU_ASSERT_FATAL (nodes_meet (&s_nodes));
    s_talk = umbp_talk_new (umbp_node_endpoint (s_nodes.nodes[0]), WAIT_MS, &err);
    s_pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .timeout_ms = WAIT_MS });
    CU_ASSERT_FATAL (s_talk != NULL && s_pool != NULL);
}

static void s_stop (void)
{
    umbp_close (&s_pool);
    umbp_talk_destroy (&s_talk);
    nodes_stop (&s_nodes);
}

static const umbp_msg_t *s_ask (const char *actor, umbp_msg_t *msg)
{
    const umbp_msg_t *answer = NULL;
    int rc = umbp_talk_ask (s_talk, actor, msg, &answer);
    if (rc)
        printf ("\n    %s: %s: %s\n", actor, umbp_errname (rc), umbp_talk_reason (s_talk));
    CU_ASSERT_FATAL (rc == 0 && answer);
    return answer;
}

//  Over one connection: a socket for each look would be more than there may be
static uint64_t s_gauge (const char *actor, const char *name)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    const umbp_msg_stat_ok_t *ok = &s_ask (actor, &msg)->stat_ok;
    size_t offset = 0;
    for (size_t index = 0; index < ok->names.count; index++) {
        umbp_bytes_t item = umbp_column_next (&ok->names, index, &offset);
        if (umbp_text_is ((umbp_text_t) { (const char *) item.data, item.size }, name))
            return umbp_u64s_at (ok->values, index);
    }
    return UINT64_MAX;
}

static bool s_becomes (const char *actor, const char *name, uint64_t least)
{
    int64_t end = zclock_mono () + WAIT_MS;
    uint64_t value;
    while (((value = s_gauge (actor, name)) == UINT64_MAX || value < least) && zclock_mono () < end)
        zclock_sleep (20);
    return value != UINT64_MAX && value >= least;
}

static bool s_becomes_gauge (const char *actor, const char *name, uint64_t value)
{
    int64_t end = zclock_mono () + WAIT_MS;
    while (s_gauge (actor, name) != value && zclock_mono () < end)
        zclock_sleep (20);
    return s_gauge (actor, name) == value;
}

static int s_put (unsigned number)
{
    char key[32];
    snprintf (key, sizeof key, "block-%u", number);
    nodes_fill (s_data, BLOCK, number);
    return umbp_put (s_pool, key, s_data, BLOCK);
}

//  0 and the right bytes, or what it said
static int s_get (unsigned number)
{
    char key[32];
    snprintf (key, sizeof key, "block-%u", number);
    memset (s_data, 0, sizeof s_data);
    long rc = umbp_get (s_pool, key, s_data, BLOCK);
    CU_ASSERT (rc < 0 || (rc == BLOCK && nodes_is_filled (s_data, BLOCK, number)));
    return rc < 0 ? (int) rc : 0;
}

static umbp_msg_strain_ok_t s_strain (void)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_strain, 0);
    return s_ask ("pressure", &msg)->strain_ok;
}

static bool s_becomes_level (unsigned least, unsigned most)
{
    int64_t end = zclock_mono () + WAIT_MS;
    umbp_msg_strain_ok_t strain = s_strain ();
    while ((strain.level < least || strain.level > most) && zclock_mono () < end) {
        zclock_sleep (20);
        strain = s_strain ();
    }
    return strain.level >= least && strain.level <= most;
}

static void s_suspend_at (const char *pressure, bool on)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_suspend, 0);
    msg.suspend.on = on;
    s_ask (pressure, &msg);
}

static void s_suspend (bool on)
{
    s_suspend_at ("pressure", on);
}

//  What a put without a session is answered
static int s_put_status (char *reason, size_t size)
{
    static const uint8_t key[] = "inline";
    uint16_t key_size = sizeof key;
    uint32_t bytes = 100;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_put, 0);
    msg.put.keys = (umbp_column_t) { key, &key_size, sizeof key, 1 };
    msg.put.sizes = (umbp_u32s_t) { &bytes, 1 };
    msg.put.session = 77;               //  To be written to a slot
    const umbp_msg_put_ok_t *ok = &s_ask ("router", &msg)->put_ok;
    umbp_text_copy (ok->reason, reason, size);
    uint64_t slot = ok->slots.count ? umbp_u64s_at (ok->slots, 0) : 0;
    int status = umbp_s8s_at (ok->statuses, 0);
    if (slot) {
        umbp_msg_init (&msg, UMBP_MSG_abort, 0);
        msg.abort.slots = (umbp_u64s_t) { &slot, 1 };
        s_ask ("tier:dram", &msg);
    }
    return status;
}

//  ------------------------------------------------------------------------------------------------
//  PRS-71: what it costs, and what it did cost

static void test_cost_is_as_predicted (void)
{
    enum { COUNT = 8000, ROUNDS = 6 };
    s_start (NULL);
    for (unsigned number = 0; number < COUNT; number++) {
        char key[32];
        snprintf (key, sizeof key, "small-%u", number);
        CU_ASSERT (umbp_put (s_pool, key, s_data, PAGE) == 0);
    }
    umbp_msg_t msg;
    unsigned near = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t bytes = (uint64_t) (100 + 400 * round) * PAGE - 1;
        umbp_msg_init (&msg, UMBP_MSG_cost, 0);
        msg.cost.bytes = bytes;
        umbp_msg_cost_ok_t cost = s_ask ("pressure", &msg)->cost_ok;
        umbp_msg_init (&msg, UMBP_MSG_evict, 0);
        msg.evict.tier = 2;
        msg.evict.bytes = bytes;
        int64_t begun = zclock_usecs ();
        umbp_msg_evict_ok_t did = s_ask ("eviction", &msg)->evict_ok;
        int64_t took = zclock_usecs () - begun;
        CU_ASSERT (cost.bytes >= bytes && did.bytes >= bytes);
        CU_ASSERT (cost.blocks * 2 >= did.blocks && did.blocks * 2 >= cost.blocks);
        CU_ASSERT (cost.bytes * 2 >= did.bytes && did.bytes * 2 >= cost.bytes);
        CU_ASSERT (cost.lost_blocks == cost.blocks && cost.moved_bytes == 0);
        near += (int64_t) cost.time_us <= 2 * took && took <= 2 * (int64_t) cost.time_us;
        printf ("\n    %" PRIu64 " blocks of %" PRIu64 ", %" PRIu64 " us of %" PRId64
                " with the way there and back",
                cost.blocks, did.blocks, cost.time_us, took);
    }
    printf ("\n    times within a factor of 2: %u of %d\n    ", near, (int) ROUNDS);
    //  More than there is, and of a tenant that there is not
    umbp_msg_init (&msg, UMBP_MSG_cost, 0);
    msg.cost.bytes = UINT64_MAX;
    uint64_t used = s_gauge ("tier:dram", "used_bytes");
    CU_ASSERT_EQUAL (s_ask ("pressure", &msg)->cost_ok.bytes, used);
    msg.cost.own = true;
    msg.cost.tenant = umbp_text ("nobody");
    CU_ASSERT_EQUAL (s_ask ("pressure", &msg)->cost_ok.blocks, 0);
    s_stop ();
}

//  ------------------------------------------------------------------------------------------------
//  PRS-65

static void test_suspend_loses_nothing (void)
{
    char reason[UMBP_TEXT_MAX] = "";
    s_start (NULL);
    for (unsigned number = 0; number < 100; number++)
        CU_ASSERT (s_put (number) == 0);
    CU_ASSERT_EQUAL (s_put_status (reason, sizeof reason), 0);
    CU_ASSERT_STRING_EQUAL (reason, "");
    s_suspend (true);
    CU_ASSERT_EQUAL (s_put_status (reason, sizeof reason), UMBP_EAGAIN);
    CU_ASSERT_PTR_NOT_NULL (strstr (reason, "suspended"));
    umbp_close (&s_pool);
    s_pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .timeout_ms = 300 });
    CU_ASSERT (s_put (1000) < 0);       //  No new room
    CU_ASSERT (s_put (7) == 0 || s_put (7) == UMBP_EEXIST);      //  What is there is there
    for (unsigned number = 0; number < 100; number++)
        CU_ASSERT_EQUAL (s_get (number), 0);
    CU_ASSERT (s_gauge ("tier:dram", "refused_suspended") > 0);
    CU_ASSERT_EQUAL (s_gauge ("tier:dram", "tenants_suspended"), 1);
    s_suspend (true);                   //  Twice is once
    CU_ASSERT_EQUAL (s_gauge ("tier:dram", "tenants_suspended"), 1);
    s_suspend (false);
    umbp_close (&s_pool);
    s_pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .timeout_ms = WAIT_MS });
    CU_ASSERT_EQUAL (s_put_status (reason, sizeof reason), 0);
    CU_ASSERT_EQUAL (s_put (1000), 0);
    for (unsigned number = 0; number < 100; number++)
        CU_ASSERT_EQUAL (s_get (number), 0);
    s_stop ();
}

//  With another node that has room: the blocks go there, not one is missed meanwhile, and memory is free here
#define COUNT 200

static void s_start_two (void)
{
    s_start (NULL);
    nodes_options (&s_nodes, 1, WITH_DOORS, DRAM);
    s_nodes.nodes[1] = nodes_new (&s_nodes.options[1]);
    CU_ASSERT_FATAL (s_nodes.nodes[1] != NULL);
    s_nodes.count = 2;
    CU_ASSERT_FATAL (nodes_meet (&s_nodes));
    for (unsigned number = 0; number < COUNT; number++)
        CU_ASSERT_EQUAL (s_put (number), 0);
    CU_ASSERT_EQUAL (s_gauge ("tier:dram", "blocks"), COUNT);    //  Local first
}

static void test_suspended_blocks_go_elsewhere (void)
{
    s_start_two ();
    s_suspend (true);
    int64_t end = zclock_mono () + WAIT_MS;
    while (s_gauge ("tier:dram", "blocks") > 0 && zclock_mono () < end)
        for (unsigned number = 0; number < COUNT; number++)
            CU_ASSERT_EQUAL (s_get (number), 0);
    CU_ASSERT_EQUAL (s_gauge ("tier:dram", "blocks"), 0);
    CU_ASSERT_EQUAL (s_gauge ("tier:dram", "suspended_moved"), COUNT);
    CU_ASSERT_EQUAL (s_gauge ("tier:dram@node-1", "blocks"), COUNT);
    CU_ASSERT_EQUAL (s_put (1000), 0);  //  Another node takes it
    s_suspend (false);
    for (unsigned number = 0; number < COUNT; number++)
        CU_ASSERT_EQUAL (s_get (number), 0);
    CU_ASSERT_EQUAL (s_put (1001), 0);
    CU_ASSERT_EQUAL (s_gauge ("tier:dram", "blocks"), 1);        //  Here again
    s_stop ();
}

//  Both have them while the first waits for its readers, and neither relies on the other to keep them
static void test_suspended_everywhere_loses_nothing (void)
{
    s_start_two ();
    s_suspend (true);
    CU_ASSERT (s_becomes ("tier:dram@node-1", "blocks", COUNT));
    s_suspend_at ("pressure@node-1", true);
    for (int64_t end = zclock_mono () + 2000; zclock_mono () < end;)
        for (unsigned number = 0; number < COUNT; number++)
            CU_ASSERT_EQUAL (s_get (number), 0);
    CU_ASSERT_EQUAL (s_gauge ("tier:dram@node-1", "suspended_moved"), 0);
    //  Nor when the first is resumed, gets some back, and is suspended again
    s_suspend (false);
    CU_ASSERT (s_becomes ("tier:dram", "blocks", 1));
    s_suspend (true);
    for (int64_t end = zclock_mono () + 2000; zclock_mono () < end;)
        for (unsigned number = 0; number < COUNT; number++)
            CU_ASSERT_EQUAL (s_get (number), 0);
    s_stop ();
}

//  ------------------------------------------------------------------------------------------------
//  MET-75: events from a number on, and what tenants use, over messages

typedef struct {
    uint64_t next, used, kinds[UMBP_EVENT_KINDS];
} replay_t;

static void s_replay (replay_t *replay, uint64_t until)
{
    while (replay->next < until) {
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_events, 0);
        msg.events.first = replay->next;
        const umbp_msg_events_ok_t *ok = &s_ask ("tier:dram", &msg)->events_ok;
        CU_ASSERT_FATAL (ok->first <= replay->next && ok->numbers.count > 0);
        for (size_t index = 0; index < ok->numbers.count && replay->next < until; index++) {
            unsigned kind = umbp_u8s_at (ok->kinds, index);
            CU_ASSERT (umbp_u64s_at (ok->numbers, index) == replay->next++);
            CU_ASSERT_FATAL (kind < UMBP_EVENT_KINDS);
            replay->kinds[kind]++;
            replay->used += kind == UMBP_EVENT_ALLOC  ? umbp_u64s_at (ok->amounts, index)
                            : kind == UMBP_EVENT_FREE ? -umbp_u64s_at (ok->amounts, index)
                                                      : 0;
        }
    }
}

static umbp_msg_usage_ok_t s_usage (uint64_t *used)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_usage, 0);
    umbp_msg_usage_ok_t ok = s_ask ("tier:dram", &msg)->usage_ok;
    *used = umbp_u64s_at (ok.useds, 0); //  The only tenant, the default one
    return ok;
}

static void test_events_say_who_uses_what (void)
{
    uint64_t seed = nodes_seed ("events"), used;
    s_start (NULL);
    replay_t all = { .next = 1 };
    umbp_msg_usage_ok_t usage = s_usage (&used);
    replay_t later = { .next = usage.next, .used = used };       //  From a count on
    for (unsigned step = 0; step < 3000; step++) {
        unsigned number = (unsigned) (umbp_splitmix (&seed) % 600);
        char key[32];
        snprintf (key, sizeof key, "block-%u", number);
        if (umbp_splitmix (&seed) % 3 == 0)
            umbp_remove (s_pool, key);
        else
            s_put (number);
        if (step % 300 != 299)
            continue;
        usage = s_usage (&used);
        s_replay (&all, usage.next);
        s_replay (&later, usage.next);
        CU_ASSERT_EQUAL (all.used, used);
        CU_ASSERT_EQUAL (later.used, used);
        CU_ASSERT_EQUAL (usage.used, used);
    }
    CU_ASSERT (all.kinds[UMBP_EVENT_FREE] > 100);
    printf ("(%" PRIu64 " events) ", all.next - 1);
    s_stop ();
}

//  ------------------------------------------------------------------------------------------------
//  The pool

static umbp_msg_balloon_ok_t s_balloon (uint64_t capacity)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_balloon, 0);
    msg.balloon.capacity = capacity;
    return s_ask ("pressure", &msg)->balloon_ok;
}

static bool s_becomes_pool (uint64_t capacity)
{
    int64_t end = zclock_mono () + WAIT_MS;
    umbp_msg_balloon_ok_t pool = s_balloon (0);
    while ((pool.capacity != capacity || pool.returned != pool.made - capacity)
           && zclock_mono () < end) {
        zclock_sleep (10);
        pool = s_balloon (0);
    }
    return pool.capacity == capacity;
}

//  It shrinks and grows below readers and writers, some of which map it: what they get is right
static void test_pool_changes_under_load (void)
{
    s_start (NULL);
    for (unsigned number = 0; number < BLOCKS * 8 / 10; number++)
        CU_ASSERT (s_put (number) == 0);
    unsigned found = 0, next = BLOCKS;
    for (unsigned round = 0; round < 3; round++) {
        s_balloon (DRAM / 4);
        for (unsigned step = 0; step < 300; step++) {
            found += s_get ((unsigned) (next - 1 - step) % next) == 0;
            int rc = s_put (next);
            CU_ASSERT (rc == 0 || rc == UMBP_EAGAIN);
            next += rc == 0;
        }
        CU_ASSERT (s_becomes_pool (DRAM / 4));
        CU_ASSERT (s_gauge ("tier:dram", "used_bytes") <= DRAM / 4);
        CU_ASSERT_EQUAL (s_gauge ("tier:dram", "total_bytes"), DRAM / 4);
        CU_ASSERT_EQUAL (s_gauge ("tier:dram", "returned_bytes"), DRAM / 4 * 3);
        s_balloon (DRAM);
        CU_ASSERT (s_becomes_pool (DRAM));
        for (unsigned step = 0; step < 300; step++)
            CU_ASSERT_EQUAL (s_put (next++), 0);
    }
    printf ("(%u found) ", found);
    CU_ASSERT (found > 0);
    CU_ASSERT_EQUAL (s_gauge ("tier:dram", "balloon_failed"), 0);
    s_stop ();
}

//  ------------------------------------------------------------------------------------------------
//  The ladder, taken and only said

static void s_full (umbp_node_options_t *options)
{
    options->evict_high = 100;          //  Nothing leaves by itself
    options->evict_low = 99;
}

static void s_full_act (umbp_node_options_t *options)
{
    s_full (options);
    snprintf (options->pressure_mode, sizeof options->pressure_mode, "act");
}

//  Steps of the node, the oldest first, without repetitions
static size_t s_steps (uint8_t *steps, bool *done)
{
    umbp_msg_strain_ok_t strain = s_strain ();
    size_t count = 0;
    *done = true;
    for (size_t index = strain.steps.count; index-- > 0;) {
        uint8_t step = umbp_u8s_at (strain.steps, index);
        bool known = false;
        for (size_t at = 0; at < count; at++)
            known |= steps[at] == step;
        if (!known)
            steps[count++] = step;
        *done &= umbp_u8s_at (strain.done, index) != 0;
    }
    return count;
}

static void s_fill (void)
{
    umbp_close (&s_pool);
    s_pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .timeout_ms = 1000 });
    for (unsigned number = 0; number < BLOCKS; number++)
        s_put (number);
}

static void test_ladder_for_real (void)
{
    uint8_t steps[16];
    bool done;
    char reason[UMBP_TEXT_MAX];
    s_start (s_full_act);
    s_fill ();
    int64_t hurry = zclock_mono () + WAIT_MS;
    while (umbp_strain (s_pool) == 0 && zclock_mono () < hurry)
        umbp_put_batch (s_pool,
                        &(umbp_item_t){ .key = { "one more", 8 }, .data = s_data, .size = BLOCK },
                        1, NULL, 50);
    CU_ASSERT (umbp_strain (s_pool) > 0);        //  Clients are told with their puts
    CU_ASSERT (s_becomes ("pressure", "drops", 1));
    size_t count = s_steps (steps, &done);
    CU_ASSERT_FATAL (count >= 4);
    for (uint8_t step = 0; step < 4; step++)     //  relax, reduce, suspend, drop
        CU_ASSERT_EQUAL (steps[step], step + 1);
    CU_ASSERT (done);
    CU_ASSERT (s_becomes_level (0, 2));
    int64_t end = zclock_mono () + WAIT_MS;
    while (s_put_status (reason, sizeof reason) != 0 && zclock_mono () < end)
        zclock_sleep (20);
    CU_ASSERT_EQUAL (s_put_status (reason, sizeof reason), 0);   //  Resumed
    CU_ASSERT (s_gauge ("pressure", "resumptions") >= 1);
    CU_ASSERT (s_gauge ("pressure", "dropped_blocks") > 0);
    s_stop ();
}

//  Mode observe says what it would do, and does nothing
static void test_observe_touches_nothing (void)
{
    uint8_t steps[16];
    bool done;
    char reason[UMBP_TEXT_MAX];
    s_start (s_full);
    s_fill ();
    CU_ASSERT (s_becomes_level (4, 4));
    uint64_t blocks = s_gauge ("tier:dram", "blocks");
    CU_ASSERT (s_becomes ("pressure", "drops", 2));
    size_t count = s_steps (steps, &done);
    CU_ASSERT (count >= 1 && !done);
    CU_ASSERT (s_gauge ("pressure", "observed") >= 4);
    CU_ASSERT_EQUAL (s_gauge ("tier:dram", "blocks"), blocks);
    CU_ASSERT_EQUAL (s_gauge ("tier:dram", "tenants_suspended"), 0);
    s_put_status (reason, sizeof reason);
    CU_ASSERT_STRING_EQUAL (reason, "");
    s_stop ();
}

static void s_off (umbp_node_options_t *options)
{
    s_full (options);
    snprintf (options->pressure_mode, sizeof options->pressure_mode, "off");
}

static void test_off_looks_at_nothing (void)
{
    s_start (s_off);
    s_fill ();
    umbp_msg_strain_ok_t strain = s_strain ();
    CU_ASSERT (strain.level == 0 && strain.mode == 0 && strain.steps.count == 0);
    CU_ASSERT_EQUAL (s_gauge ("pressure", "triggers"), 0);
    s_stop ();
}

//  ------------------------------------------------------------------------------------------------
//  Devices: how full the fullest one is raises the level, whoever filled it, and calls for step 1 alone. One that
//  vanishes, or whose library does not answer any more, says nothing.

static char s_orders[] = "/tmp/umbp-orders-XXXXXX";

static void s_order (const char *line)
{
    FILE *file = fopen (s_orders, "a");
    CU_ASSERT_PTR_NOT_NULL_FATAL (file);
    fprintf (file, "%s\n", line);
    fclose (file);
}

static void s_devices (umbp_node_options_t *options)
{
    snprintf (options->device_library, sizeof options->device_library, "%s", PROVIDER ("mock"));
    options->device_insecure = true;
    options->device_poll_ms = 100;
    snprintf (options->pressure_mode, sizeof options->pressure_mode, "act");
    snprintf (options->pressure_tier, sizeof options->pressure_tier, "-");
    snprintf (options->pressure_tier_leave, sizeof options->pressure_tier_leave, "-");
    snprintf (options->pressure_device, sizeof options->pressure_device, "85,90,95,98");
    snprintf (options->pressure_device_leave, sizeof options->pressure_device_leave, "80,85,90,95");
}

static bool s_why_is (const char *part)
{
    char why[UMBP_TEXT_MAX];
    umbp_text_copy (s_strain ().why, why, sizeof why);
    return strstr (why, part) != NULL;
}

static void test_devices_fill (void)
{
    uint8_t steps[16];
    bool done;
    int fd = mkstemp (s_orders);
    CU_ASSERT_FATAL (fd != -1);
    close (fd);
    setenv ("UMBP_MOCK_GPUS", "2", 1);
    setenv ("UMBP_MOCK_SCRIPT", s_orders, 1);
    s_start (s_devices);
    CU_ASSERT (s_becomes ("device", "devices_ok", 2));
    CU_ASSERT (s_put (1) == 0);
    CU_ASSERT (s_becomes_level (0, 0));
    s_order ("fill 0 4GiB 4242\nfill 1 23GiB 4242");    //  Of 24 GiB, by somebody else
    CU_ASSERT (s_becomes_level (3, 3));
    CU_ASSERT (s_why_is ("device memory 95.8 % >= 95.0 %"));
    CU_ASSERT_EQUAL (s_gauge ("pressure", "device_permille"), 958);
    CU_ASSERT (s_becomes ("pressure", "relaxes", 1));
    CU_ASSERT_EQUAL (s_steps (steps, &done), 1);     //  No other step frees anything there
    CU_ASSERT (steps[0] == UMBP_STEP_RELAX && done);
    s_order ("fill 1 22GiB 4242");      //  91.7 %: not yet below the mark to leave
    CU_ASSERT (s_becomes_gauge ("pressure", "device_permille", 916));
    CU_ASSERT_EQUAL (s_strain ().level, 3);
    s_order ("vanish 1");
    CU_ASSERT (s_becomes_level (0, 0));
    CU_ASSERT_EQUAL (s_gauge ("pressure", "device_permille"), 166);      //  The other one
    s_order ("fill 0 23.9GiB 4242");
    CU_ASSERT (s_becomes_level (4, 4));
    s_order ("hang metrics 60s");       //  Nobody knows any more
    CU_ASSERT (s_becomes_level (0, 0));
    s_order ("release");
    CU_ASSERT (s_becomes_level (4, 4));
    CU_ASSERT_EQUAL (s_gauge ("pressure", "suspensions") + s_gauge ("pressure", "drops"), 0);
    CU_ASSERT_EQUAL (s_get (1), 0);
    s_stop ();
    unlink (s_orders);
    unsetenv ("UMBP_MOCK_GPUS");
    unsetenv ("UMBP_MOCK_SCRIPT");
}

int main (void)
{
    alarm (600);
    zsys_init ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("pressure_node", NULL, NULL);
    CU_ADD_TEST (suite, test_cost_is_as_predicted);
    CU_ADD_TEST (suite, test_suspend_loses_nothing);
    CU_ADD_TEST (suite, test_suspended_blocks_go_elsewhere);
    CU_ADD_TEST (suite, test_suspended_everywhere_loses_nothing);
    CU_ADD_TEST (suite, test_events_say_who_uses_what);
    CU_ADD_TEST (suite, test_pool_changes_under_load);
    CU_ADD_TEST (suite, test_ladder_for_real);
    CU_ADD_TEST (suite, test_observe_touches_nothing);
    CU_ADD_TEST (suite, test_off_looks_at_nothing);
    CU_ADD_TEST (suite, test_devices_fill);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

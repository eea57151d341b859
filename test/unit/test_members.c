//  test/unit/test_members.c - the rules of membership, with time passed in. UMBP_SEED repeats a
//  run, UMBP_LOG shows what is logged meanwhile, thousands of lines.
#include <CUnit/Basic.h>
#include <czmq.h>

#include "actors/digest.h"
#include "actors/members.h"
#include "proto/splitmix.h"
#include "test/unit/beat.h"

#define HEARTBEAT_MS 1000
#define SUSPECT_MS 3000
#define GONE_MS 30000
#define TICK_MS (HEARTBEAT_MS / UMBP_MEMBERS_TICKS)
#define START 5000000                   //  When our clock begins; the rules must not care

static umbp_members_args_t s_settings (void)
{
    return (umbp_members_args_t) {
        .cluster = "test",
        .node = "node-m",
        .node_epoch = 100,
        .endpoint = "tcp://10.0.0.1:7710",
        .heartbeat_ms = HEARTBEAT_MS,
        .suspect_ms = SUSPECT_MS,
        .gone_ms = GONE_MS,
        .copies = 2,
        .vnodes = 150,
    };
}

static umbp_members_t *s_alone (void)
{
    umbp_members_args_t args = s_settings ();
    const char *why;
    CU_ASSERT_FATAL (umbp_members_check (&args, &why) == 0);
    return umbp_members_new (&args, START);
}

static int s_meet (umbp_members_t *members, const char *node, uint64_t epoch, const char *endpoint,
                   int64_t now)
{
    umbp_msg_beat_t beat = beat_of (node, epoch, endpoint);
    return umbp_members_meet (members, &beat, now);
}

static const umbp_member_t *s_member (const umbp_members_t *members, const char *node)
{
    int number = umbp_members_find (members, umbp_text (node));
    return number < 0 ? NULL : umbp_members_at (members, (size_t) number);
}

static umbp_topology_t *s_topology (umbp_members_t *members, int64_t now)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_topology_ok, 1);
    umbp_members_topology (members, &msg.topology_ok, now);
    CU_ASSERT (umbp_msg_check (&msg) == 0);
    umbp_topology_t *topology = umbp_topology_new (&msg.topology_ok);
    CU_ASSERT_FATAL (topology != NULL);
    return topology;
}

static size_t s_vnodes (umbp_members_t *members)
{
    umbp_topology_t *topology = s_topology (members, START);
    size_t count = umbp_ring_vnode_count (umbp_topology_ring (topology));
    umbp_topology_destroy (&topology);
    return count;
}

//  Time in steps of a tick, as the registry does
static int64_t s_pass (umbp_members_t *members, int64_t now, int64_t until, umbp_gone_fn *gone,
                       void *arg)
{
    while (now < until) {
        now = now + TICK_MS < until ? now + TICK_MS : until;
        umbp_members_tick (members, now, gone, arg);
    }
    return now;
}

static void test_settings (void)
{
    static const struct {
        unsigned heartbeat_ms, suspect_ms, gone_ms, copies, vnodes;
        int rc;
    } cases[] = {
        { 1000, 3000, 30000, 2, 150, 0 },
        { 1000, 3000, 3000, 1, 1, 0 },
        { 4, 12, 12, 3, 4096, 0 },
        { 1000, 2999, 30000, 2, 150, UMBP_EINVAL },         //  Less than three heartbeats
        { 1000, 3000, 2999, 2, 150, UMBP_EINVAL },
        { 3, 3000, 30000, 2, 150, UMBP_EINVAL },
        { 1000, 3000, 30000, 0, 150, UMBP_EINVAL },
        { 1000, 3000, 30000, 4, 150, UMBP_EINVAL },
        { 1000, 3000, 30000, 2, 0, UMBP_EINVAL },
        { 1000, 3000, 30000, 2, 4097, UMBP_EINVAL },
    };
    const char *why;
    umbp_members_args_t args;
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
        args = s_settings ();
        args.heartbeat_ms = cases[index].heartbeat_ms;
        args.suspect_ms = cases[index].suspect_ms;
        args.gone_ms = cases[index].gone_ms;
        args.copies = cases[index].copies;
        args.vnodes = cases[index].vnodes;
        CU_ASSERT (umbp_members_check (&args, &why) == cases[index].rc);
        CU_ASSERT ((why != NULL) == (cases[index].rc != 0));
    }
    static const char *const bad_nodes[] = { "", "a@b", "tcp://x", "a b", "a/b", "\xc3\xa4" };
    for (size_t index = 0; index < sizeof bad_nodes / sizeof *bad_nodes; index++) {
        args = s_settings ();
        args.node = bad_nodes[index];
        CU_ASSERT (umbp_members_check (&args, &why) == UMBP_EINVAL);
    }
    args = s_settings ();
    args.endpoint = "tcp://0.0.0.0:7710";                   //  Nobody can connect to that
    CU_ASSERT (umbp_members_check (&args, &why) == UMBP_EINVAL);
}

static void test_join_replace_leave (void)
{
    umbp_members_t *members = s_alone ();
    CU_ASSERT (umbp_members_count (members) == 1 && s_vnodes (members) == 150);
    CU_ASSERT (s_meet (members, "node-z", 1, "tcp://10.0.0.3:1", START) == 0);
    CU_ASSERT (s_meet (members, "node-a", 1, "tcp://10.0.0.2:1", START) == 0);
    CU_ASSERT (s_vnodes (members) == 450);

    //  Sorted by id, whatever the order they came in
    CU_ASSERT_STRING_EQUAL (umbp_members_at (members, 0)->node, "node-a");
    CU_ASSERT_STRING_EQUAL (umbp_members_at (members, 1)->node, "node-m");
    CU_ASSERT_STRING_EQUAL (umbp_members_at (members, 2)->node, "node-z");
    CU_ASSERT (umbp_members_is_self (members, 1) && !umbp_members_is_self (members, 0));

    //  A new one is alive and without load
    const umbp_member_t *member = s_member (members, "node-a");
    CU_ASSERT (member->state == UMBP_MEMBER_ALIVE && member->load == 0 && member->in_ring);

    //  Again changes nothing, a later incarnation takes the place of the former
    uint64_t changes = umbp_members_changes (members);
    CU_ASSERT (s_meet (members, "node-a", 1, "tcp://10.0.0.2:1", START) == 0);
    CU_ASSERT (umbp_members_changes (members) == changes && s_vnodes (members) == 450);
    umbp_msg_beat_t second = beat_of ("node-a", 2, "tcp://10.0.0.2:2");
    second.bulk = umbp_text ("10.0.0.2:9");
    CU_ASSERT (umbp_members_meet (members, &second, START) == 0);
    CU_ASSERT (umbp_members_changes (members) > changes && s_vnodes (members) == 450);
    CU_ASSERT (s_member (members, "node-a")->epoch == 2);
    CU_ASSERT_STRING_EQUAL (s_member (members, "node-a")->bulk, "10.0.0.2:9");
    CU_ASSERT (umbp_members_at_endpoint (members, "tcp://10.0.0.2:2"));
    CU_ASSERT (!umbp_members_at_endpoint (members, "tcp://10.0.0.2:1"));
    CU_ASSERT (s_meet (members, "node-a", 1, "tcp://10.0.0.2:1", START) == UMBP_ESTALE);

    //  A leave goes for one incarnation, and what was said before it comes too late
    CU_ASSERT (umbp_members_leave (members, umbp_text ("node-a"), 1, START) == UMBP_ESTALE);
    CU_ASSERT (umbp_members_leave (members, umbp_text ("nobody"), 1, START) == UMBP_ENOENT);
    CU_ASSERT (umbp_members_leave (members, umbp_text ("node-m"), 100, START) == UMBP_ENOENT);
    CU_ASSERT (umbp_members_leave (members, umbp_text ("node-a"), 2, START) == 0);
    CU_ASSERT (umbp_members_count (members) == 2 && s_vnodes (members) == 300);
    CU_ASSERT (!umbp_members_at_endpoint (members, "tcp://10.0.0.2:2"));
    umbp_msg_beat_t late = beat_of ("node-a", 2, "tcp://10.0.0.2:2");
    CU_ASSERT (umbp_members_greet (members, &late, START + 10) == UMBP_ESTALE);
    CU_ASSERT (umbp_members_meet (members, &late, START + 10) == UMBP_ESTALE);
    CU_ASSERT (s_meet (members, "node-a", 3, "tcp://10.0.0.2:2", START + 20) == 0);
    umbp_members_destroy (&members);
    CU_ASSERT_PTR_NULL (members);
}

//  Nobody comes in by saying so, only by answering where it says it is
static void test_greeting_admits_nobody (void)
{
    umbp_members_t *members = s_alone ();
    umbp_msg_beat_t beat = beat_of ("node-a", 5, "tcp://10.0.0.2:1");
    CU_ASSERT (umbp_members_greet (members, &beat, START) == 1);
    CU_ASSERT (umbp_members_count (members) == 1);
    CU_ASSERT (umbp_members_meet (members, &beat, START) == 0);
    CU_ASSERT (umbp_members_greet (members, &beat, START) == 0);
    umbp_msg_beat_t moved = beat_of ("node-a", 5, "tcp://10.0.0.9:1");
    CU_ASSERT (umbp_members_greet (members, &moved, START) == 1);
    umbp_msg_beat_t later = beat_of ("node-a", 6, "tcp://10.0.0.2:1");
    CU_ASSERT (umbp_members_greet (members, &later, START) == 1);
    CU_ASSERT_STRING_EQUAL (s_member (members, "node-a")->endpoint, "tcp://10.0.0.2:1");
    CU_ASSERT (s_member (members, "node-a")->epoch == 5);
    umbp_members_destroy (&members);
}

static void s_count_gone (void *arg, const umbp_member_t *member)
{
    CU_ASSERT_STRING_EQUAL (member->endpoint, "tcp://10.0.0.2:1");
    ++*(int *) arg;
}

//  Alive, suspect, gone: each at its time, the ring changes with the last only, and a suspect that
//  is heard again is alive
static void test_silence (void)
{
    umbp_members_t *members = s_alone ();
    int gone = 0;
    s_meet (members, "node-a", 1, "tcp://10.0.0.2:1", START);
    uint64_t epoch = umbp_members_epoch (members);
    int64_t now = s_pass (members, START, START + SUSPECT_MS - 1, s_count_gone, &gone);
    CU_ASSERT (s_member (members, "node-a")->state == UMBP_MEMBER_ALIVE);
    uint64_t changes = umbp_members_changes (members);
    now = s_pass (members, now, START + SUSPECT_MS, s_count_gone, &gone);
    CU_ASSERT (s_member (members, "node-a")->state == UMBP_MEMBER_SUSPECT);
    CU_ASSERT (umbp_members_changes (members) > changes);

    //  It still counts, it is still in the ring, and being marked is no sign of life
    CU_ASSERT (umbp_members_count (members) == 2 && s_vnodes (members) == 300);
    CU_ASSERT (umbp_members_epoch (members) == epoch);
    CU_ASSERT (umbp_members_in_state (members, UMBP_MEMBER_SUSPECT) == 1);
    CU_ASSERT (umbp_members_in_state (members, UMBP_MEMBER_ALIVE) == 1);
    umbp_topology_t *topology = s_topology (members, now);
    CU_ASSERT (umbp_topology_member (topology, 0)->silent_ms == SUSPECT_MS);
    CU_ASSERT (umbp_topology_member (topology, 1)->silent_ms == 0);
    umbp_topology_destroy (&topology);

    umbp_msg_beat_t beat = beat_of ("node-a", 1, "tcp://10.0.0.2:1");
    CU_ASSERT (umbp_members_greet (members, &beat, now) == 0);
    CU_ASSERT (s_member (members, "node-a")->state == UMBP_MEMBER_ALIVE);

    int64_t heard = now;
    now = s_pass (members, now, heard + GONE_MS - 1, s_count_gone, &gone);
    CU_ASSERT (umbp_members_count (members) == 2 && gone == 0);
    now = s_pass (members, now, heard + GONE_MS, s_count_gone, &gone);
    CU_ASSERT (umbp_members_count (members) == 1 && gone == 1);
    CU_ASSERT (umbp_members_epoch (members) != epoch && s_vnodes (members) == 150);

    //  Silence is no leave: with its old incarnation it may come back
    CU_ASSERT (umbp_members_meet (members, &beat, now) == 0);
    CU_ASSERT (umbp_members_epoch (members) == epoch);
    umbp_members_destroy (&members);
}

//  Whatever time we slept for is nobody's silence
static void test_own_stall (void)
{
    umbp_members_t *members = s_alone ();
    s_meet (members, "node-a", 1, "tcp://10.0.0.2:1", START);
    int64_t now = s_pass (members, START, START + 1000, NULL, NULL);
    uint64_t stalled_ms;
    CU_ASSERT (umbp_members_stalls (members, &stalled_ms) == 0 && stalled_ms == 0);
    now += 100000;
    umbp_members_tick (members, now, NULL, NULL);
    CU_ASSERT (s_member (members, "node-a")->state == UMBP_MEMBER_ALIVE);
    CU_ASSERT (umbp_members_stalls (members, &stalled_ms) == 1);
    CU_ASSERT (stalled_ms == 100000 - TICK_MS);

    //  1000 + TICK_MS of its silence were counted; the clock runs on from there
    s_pass (members, now, now + SUSPECT_MS - 1000 - TICK_MS - 1, NULL, NULL);
    CU_ASSERT (s_member (members, "node-a")->state == UMBP_MEMBER_ALIVE);
    s_pass (members, now + SUSPECT_MS - 1000 - TICK_MS - 1, now + SUSPECT_MS, NULL, NULL);
    CU_ASSERT (s_member (members, "node-a")->state == UMBP_MEMBER_SUSPECT);
    umbp_members_destroy (&members);
}

static void s_check_refused (umbp_members_t *members, const umbp_msg_beat_t *beat, int status,
                             const char *field)
{
    CU_ASSERT (umbp_members_meet (members, beat, START) == status);
    CU_ASSERT (umbp_members_greet (members, beat, START) == status);
    CU_ASSERT_STRING_EQUAL (umbp_members_refusal (members)->field, field);
    CU_ASSERT (umbp_members_count (members) == 1);
}

static void test_refusals (void)
{
    umbp_members_t *members = s_alone ();
    umbp_msg_beat_t beat = beat_of ("node-a", 1, "tcp://10.0.0.2:1");
    beat.cluster = umbp_text ("other");
    s_check_refused (members, &beat, UMBP_EDENIED, "cluster");
    beat = beat_of ("node-a", 1, "tcp://10.0.0.2:1");
    beat.version = UMBP_PROTOCOL_VERSION + 1;
    s_check_refused (members, &beat, UMBP_ENOTSUP, "version");
    beat = beat_of ("no@de", 1, "tcp://10.0.0.2:1");
    s_check_refused (members, &beat, UMBP_EINVAL, "node");
    beat = beat_of ("node-m", 101, "tcp://10.0.0.2:1");      //  Our own id
    s_check_refused (members, &beat, UMBP_EEXIST, "node");
    beat = beat_of ("node-m", 100, "tcp://10.0.0.2:1");
    s_check_refused (members, &beat, UMBP_EEXIST, "node");
    static const char *const endpoints[] = {
        "ipc:///tmp/x", "inproc://umbp/x/index", "tcp://*:1",     "tcp://0.0.0.0:1",
        "tcp://h:0",    "tcp://h:65536",         "tcp://h",       "tcp://:1",
        "tcp://[::]:1", "tcp://a;b:1",           "tcp://h:1;h:2", "x",
    };
    for (size_t index = 0; index < sizeof endpoints / sizeof *endpoints; index++) {
        beat = beat_of ("node-a", 1, endpoints[index]);
        s_check_refused (members, &beat, UMBP_EINVAL, "endpoint");
    }
    const char *gauge;
    CU_ASSERT (umbp_members_refused (members, UMBP_REFUSED_ID, &gauge) == 4);
    CU_ASSERT_STRING_EQUAL (gauge, "refused_id");

    beat = beat_of ("node-m", 100, "tcp://10.0.0.1:7710");   //  We ourselves, by another way
    CU_ASSERT (umbp_members_meet (members, &beat, START) == 1);
    CU_ASSERT (umbp_members_greet (members, &beat, START) == 0);
    umbp_members_destroy (&members);
}

static void test_limits (void)
{
    umbp_members_t *members = s_alone ();
    char node[32], endpoint[64];
    for (int index = 1; index < UMBP_NODES_MAX; index++) {
        snprintf (node, sizeof node, "node-%d", index);
        snprintf (endpoint, sizeof endpoint, "tcp://10.1.%d.%d:7710", index / 256, index % 256);
        CU_ASSERT_FATAL (s_meet (members, node, 1, endpoint, START) == 0);
    }
    CU_ASSERT (s_meet (members, "one-more", 1, "tcp://10.2.0.1:7710", START) == UMBP_ENOSPC);
    CU_ASSERT (s_meet (members, "node-7", 1, "tcp://10.1.0.7:7710", START) == 0);
    umbp_topology_t *topology = s_topology (members, START);
    CU_ASSERT (umbp_topology_count (topology) == UMBP_NODES_MAX);
    umbp_topology_destroy (&topology);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_beat, 1);
    umbp_members_beat (members, &msg.beat, true);
    CU_ASSERT (umbp_msg_check (&msg) == 0 && msg.beat.known.count == 0);
    CU_ASSERT (msg.beat.digest.count == UMBP_DIGEST_MAX && msg.beat.members != 0);
    uint64_t salt = msg.beat.salt;
    umbp_members_beat (members, &msg.beat, true);
    CU_ASSERT (msg.beat.salt != salt);  //  What one hid the next shows
    umbp_members_beat (members, &msg.beat, false);
    CU_ASSERT (umbp_msg_check (&msg) == 0 && msg.beat.digest.count == 0);
    umbp_members_destroy (&members);
}

static void test_load_and_room (void)
{
    umbp_members_t *members = s_alone ();
    uint8_t tiers[] = { UMBP_TIER_DRAM, 9 };
    uint64_t totals[] = { 100, 1 }, useds[] = { 10, 1 }, blocks[] = { 5, 1 };
    umbp_msg_beat_t beat = beat_of ("node-a", 1, "tcp://10.0.0.2:1");
    beat.load = 7000;
    beat.tiers = (umbp_u8s_t) { tiers, 2 };
    beat.totals = (umbp_u64s_t) { totals, 2 };
    beat.useds = (umbp_u64s_t) { useds, 2 };
    beat.blocks = (umbp_u64s_t) { blocks, 2 };
    CU_ASSERT (umbp_members_meet (members, &beat, START) == 0);
    const umbp_member_t *member = s_member (members, "node-a");
    CU_ASSERT (member->load == 1000);                       //  As much as there is
    CU_ASSERT (member->tiers[UMBP_TIER_DRAM].total == 100);
    CU_ASSERT (member->tiers[UMBP_TIER_DRAM].blocks == 5);

    //  Load and room are heard in greetings too, and alone they are no change of the topology
    uint64_t changes = umbp_members_changes (members);
    beat.load = 3;
    useds[0] = 20;
    CU_ASSERT (umbp_members_greet (members, &beat, START + 1) == 0);
    CU_ASSERT (member->load == 3 && member->tiers[UMBP_TIER_DRAM].used == 20);
    CU_ASSERT (umbp_members_changes (members) == changes);
    umbp_members_destroy (&members);
}

//  Not in the ring until all tiers are up
static void test_join_gate (void)
{
    umbp_members_args_t args = s_settings ();
    args.tiers_expected = 2;
    umbp_members_t *members = umbp_members_new (&args, START);
    uint64_t epoch = umbp_members_epoch (members);
    CU_ASSERT (s_vnodes (members) == 0);
    umbp_msg_capacity_t dram = { .tier = UMBP_TIER_DRAM, .total = 10, .used = 1, .load = 300 };
    umbp_msg_capacity_t nvme = { .tier = UMBP_TIER_NVME, .total = 20, .blocks = 2, .load = 100 };
    umbp_msg_capacity_t wrong = { .tier = UMBP_TIERS };
    CU_ASSERT (umbp_members_capacity (members, &dram) == 0);
    CU_ASSERT (umbp_members_capacity (members, &dram) == 0);
    CU_ASSERT (umbp_members_capacity (members, &wrong) == UMBP_EINVAL);
    CU_ASSERT (s_vnodes (members) == 0 && umbp_members_epoch (members) == epoch);
    CU_ASSERT (umbp_members_capacity (members, &nvme) == 0);
    CU_ASSERT (s_vnodes (members) == 150 && umbp_members_epoch (members) != epoch);
    CU_ASSERT (umbp_members_at (members, 0)->load == 300);
    umbp_msg_beat_t beat;
    umbp_members_beat (members, &beat, true);
    CU_ASSERT (beat.ready && beat.tiers.count == 2 && beat.load == 300);
    CU_ASSERT (umbp_u64s_at (beat.totals, 1) == 20);

    //  The same holds for others
    umbp_msg_beat_t other = beat_of ("node-a", 1, "tcp://10.0.0.2:1");
    other.ready = false;
    CU_ASSERT (umbp_members_meet (members, &other, START) == 0);
    CU_ASSERT (s_vnodes (members) == 150);
    other.ready = true;
    CU_ASSERT (umbp_members_greet (members, &other, START) == 0);
    CU_ASSERT (s_vnodes (members) == 300);
    umbp_members_destroy (&members);
}

//  The same nodes, the same number, for each of them and whatever the order; another ring, another
static void test_topology_number (void)
{
    static const char *const nodes[] = { "n1", "n2", "n3" };
    static const char *const endpoints[] = { "tcp://h1:1", "tcp://h2:1", "tcp://h3:1" };
    uint64_t numbers[3];
    for (size_t me = 0; me < 3; me++) {
        umbp_members_args_t args = s_settings ();
        args.node = nodes[me];
        args.node_epoch = 40 + me;
        args.endpoint = endpoints[me];
        umbp_members_t *members = umbp_members_new (&args, START);
        for (size_t step = 2; step > 0; step--)
            s_meet (members, nodes[(me + step) % 3], 40 + (me + step) % 3,
                    endpoints[(me + step) % 3], START);
        numbers[me] = umbp_members_epoch (members);
        umbp_members_destroy (&members);
    }
    CU_ASSERT (numbers[0] == numbers[1] && numbers[1] == numbers[2]);
    CU_ASSERT (numbers[0] < UINT64_C (1) << 63);
    for (int which = 0; which < 3; which++) {
        umbp_members_args_t args = s_settings ();
        args.node = "n1";
        args.copies = which == 0 ? 3 : 2;
        args.vnodes = which == 1 ? 151 : 150;
        args.ring_plain = which == 2;
        umbp_members_t *members = umbp_members_new (&args, START);
        s_meet (members, "n2", 1, "tcp://h2:1", START);
        s_meet (members, "n3", 1, "tcp://h3:1", START);
        CU_ASSERT (umbp_members_epoch (members) != numbers[0]);
        umbp_members_destroy (&members);
    }
}

//  An endpoint goes from one node to another without the first one's end closing it
static void test_shared_endpoint (void)
{
    umbp_members_t *members = s_alone ();
    s_meet (members, "old", 1, "tcp://10.0.0.2:1", START);
    s_meet (members, "new", 1, "tcp://10.0.0.2:1", START);
    CU_ASSERT (umbp_members_leave (members, umbp_text ("old"), 1, START) == 0);
    CU_ASSERT (umbp_members_at_endpoint (members, "tcp://10.0.0.2:1"));
    CU_ASSERT (umbp_members_leave (members, umbp_text ("new"), 1, START) == 0);
    CU_ASSERT (!umbp_members_at_endpoint (members, "tcp://10.0.0.2:1"));
    umbp_members_destroy (&members);
}

static void s_random_step (umbp_members_t *members, uint64_t *seed, int64_t now)
{
    char node[16], endpoint[48];
    unsigned which = (unsigned) (umbp_splitmix (seed) % 12);
    snprintf (node, sizeof node, which == 0 ? "node-m" : "n%u", which);
    snprintf (endpoint, sizeof endpoint, "tcp://10.0.0.%u:%u", which,
              (unsigned) (umbp_splitmix (seed) % 2) + 1);
    umbp_msg_beat_t beat = beat_of (node, umbp_splitmix (seed) % 4 + 1, endpoint);
    beat.ready = umbp_splitmix (seed) % 4 != 0;
    switch (umbp_splitmix (seed) % 4) {
    case 0: umbp_members_greet (members, &beat, now); break;
    case 1: umbp_members_leave (members, beat.node, beat.node_epoch, now); break;
    default: umbp_members_meet (members, &beat, now); break;
    }
}

//  The hash of all endpoints, which is kept as they come and go, is that of those that are there
static void s_check_digest (umbp_members_t *members)
{
    umbp_digest_t digest = { .sums = { 0 } };
    umbp_msg_beat_t beat;
    for (size_t index = 0; index < umbp_members_count (members); index++)
        umbp_digest_add (&digest, umbp_digest_hash (umbp_members_at (members, index)->endpoint));
    umbp_members_beat (members, &beat, false);
    CU_ASSERT (beat.members == umbp_digest_all (&digest));
}

//  After any sequence of events the table is sorted, we are in it, and a topology can be built
static void test_random_events (void)
{
    const char *given = getenv ("UMBP_SEED");
    uint64_t seed = given ? strtoull (given, NULL, 0) : (uint64_t) zclock_usecs ();
    printf ("UMBP_SEED=0x%" PRIx64 " ", seed);
    umbp_members_t *members = s_alone ();
    int64_t now = START;
    for (int round = 0; round < 5000; round++) {
        s_random_step (members, &seed, now);
        now += (int64_t) (umbp_splitmix (&seed) % (round % 100 == 0 ? 40000 : 400));
        umbp_members_tick (members, now, NULL, NULL);
        size_t self = 0;
        for (size_t index = 0; index < umbp_members_count (members); index++) {
            const umbp_member_t *member = umbp_members_at (members, index);
            self += umbp_members_is_self (members, index);
            CU_ASSERT (index == 0
                       || strcmp (umbp_members_at (members, index - 1)->node, member->node) < 0);
            CU_ASSERT (umbp_members_at_endpoint (members, member->endpoint));
            CU_ASSERT (umbp_members_find (members, umbp_text (member->node)) == (int) index);
        }
        CU_ASSERT (self == 1);
        s_check_digest (members);
        if (round % 50 == 0) {
            umbp_topology_t *topology = s_topology (members, now);
            umbp_topology_destroy (&topology);
        }
    }
    umbp_members_destroy (&members);
}

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IONBF, 0);
    zsys_set_logstream (getenv ("UMBP_LOG") ? stdout : NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("members", NULL, NULL);
    CU_ADD_TEST (suite, test_settings);
    CU_ADD_TEST (suite, test_join_replace_leave);
    CU_ADD_TEST (suite, test_greeting_admits_nobody);
    CU_ADD_TEST (suite, test_silence);
    CU_ADD_TEST (suite, test_own_stall);
    CU_ADD_TEST (suite, test_refusals);
    CU_ADD_TEST (suite, test_limits);
    CU_ADD_TEST (suite, test_load_and_room);
    CU_ADD_TEST (suite, test_join_gate);
    CU_ADD_TEST (suite, test_topology_number);
    CU_ADD_TEST (suite, test_shared_endpoint);
    CU_ADD_TEST (suite, test_random_events);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

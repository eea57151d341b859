//  test/unit/test_registry.c - membership: its rules with time passed in, and registries that meet,
//  part and refuse each other over tcp. UMBP_SEED repeats a run, UMBP_LOG shows what is logged
//  meanwhile, thousands of lines.
#include <CUnit/Basic.h>
#include <czmq.h>

#include "actors/members.h"
#include "actors/probes.h"
#include "actors/registry.h"
#include "cluster/link.h"

#define HEARTBEAT_MS 1000
#define SUSPECT_MS 3000
#define GONE_MS 30000
#define TICK_MS (HEARTBEAT_MS / UMBP_MEMBERS_TICKS)
#define START 5000000                   //  When our clock begins; the rules must not care
#define WAIT_MS 30000                   //  The machine may be slow; nothing takes so long by design

//  -----------------------------------------------------------------------------------------------
//  The rules of membership

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

static umbp_msg_beat_t s_beat (const char *node, uint64_t epoch, const char *endpoint)
{
    return (umbp_msg_beat_t) {
        .cluster = umbp_text ("test"),
        .node = umbp_text (node),
        .node_epoch = epoch,
        .version = UMBP_PROTOCOL_VERSION,
        .endpoint = umbp_text (endpoint),
        .ready = true,
    };
}

static int s_meet (umbp_members_t *members, const char *node, uint64_t epoch, const char *endpoint,
                   int64_t now)
{
    umbp_msg_beat_t beat = s_beat (node, epoch, endpoint);
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
    CU_ASSERT (s_meet (members, "node-a", 2, "tcp://10.0.0.2:2", START) == 0);
    CU_ASSERT (umbp_members_changes (members) > changes && s_vnodes (members) == 450);
    CU_ASSERT (s_member (members, "node-a")->epoch == 2);
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
    umbp_msg_beat_t late = s_beat ("node-a", 2, "tcp://10.0.0.2:2");
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
    umbp_msg_beat_t beat = s_beat ("node-a", 5, "tcp://10.0.0.2:1");
    CU_ASSERT (umbp_members_greet (members, &beat, START) == 1);
    CU_ASSERT (umbp_members_count (members) == 1);
    CU_ASSERT (umbp_members_meet (members, &beat, START) == 0);
    CU_ASSERT (umbp_members_greet (members, &beat, START) == 0);
    umbp_msg_beat_t moved = s_beat ("node-a", 5, "tcp://10.0.0.9:1");
    CU_ASSERT (umbp_members_greet (members, &moved, START) == 1);
    umbp_msg_beat_t later = s_beat ("node-a", 6, "tcp://10.0.0.2:1");
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

    umbp_msg_beat_t beat = s_beat ("node-a", 1, "tcp://10.0.0.2:1");
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
    umbp_msg_beat_t beat = s_beat ("node-a", 1, "tcp://10.0.0.2:1");
    beat.cluster = umbp_text ("other");
    s_check_refused (members, &beat, UMBP_EDENIED, "cluster");
    beat = s_beat ("node-a", 1, "tcp://10.0.0.2:1");
    beat.version = UMBP_PROTOCOL_VERSION + 1;
    s_check_refused (members, &beat, UMBP_ENOTSUP, "version");
    beat = s_beat ("no@de", 1, "tcp://10.0.0.2:1");
    s_check_refused (members, &beat, UMBP_EINVAL, "node");
    beat = s_beat ("node-m", 101, "tcp://10.0.0.2:1");      //  Our own id
    s_check_refused (members, &beat, UMBP_EEXIST, "node");
    beat = s_beat ("node-m", 100, "tcp://10.0.0.2:1");
    s_check_refused (members, &beat, UMBP_EEXIST, "node");
    static const char *const endpoints[] = {
        "ipc:///tmp/x", "inproc://umbp/x/index", "tcp://*:1",     "tcp://0.0.0.0:1",
        "tcp://h:0",    "tcp://h:65536",         "tcp://h",       "tcp://:1",
        "tcp://[::]:1", "tcp://a;b:1",           "tcp://h:1;h:2", "x",
    };
    for (size_t index = 0; index < sizeof endpoints / sizeof *endpoints; index++) {
        beat = s_beat ("node-a", 1, endpoints[index]);
        s_check_refused (members, &beat, UMBP_EINVAL, "endpoint");
    }
    const char *gauge;
    CU_ASSERT (umbp_members_refused (members, UMBP_REFUSED_ID, &gauge) == 4);
    CU_ASSERT_STRING_EQUAL (gauge, "refused_id");

    beat = s_beat ("node-m", 100, "tcp://10.0.0.1:7710");   //  We ourselves, by another way
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
    CU_ASSERT (umbp_msg_check (&msg) == 0 && msg.beat.known.count == UMBP_NODES_MAX - 1);
    umbp_members_beat (members, &msg.beat, false);
    CU_ASSERT (umbp_msg_check (&msg) == 0 && msg.beat.known.count == 0);
    umbp_members_destroy (&members);
}

static void test_load_and_room (void)
{
    umbp_members_t *members = s_alone ();
    uint8_t tiers[] = { UMBP_TIER_DRAM, 9 };
    uint64_t totals[] = { 100, 1 }, useds[] = { 10, 1 }, blocks[] = { 5, 1 };
    umbp_msg_beat_t beat = s_beat ("node-a", 1, "tcp://10.0.0.2:1");
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
    umbp_msg_beat_t other = s_beat ("node-a", 1, "tcp://10.0.0.2:1");
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

static uint64_t s_random (uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

static void s_random_step (umbp_members_t *members, uint64_t *seed, int64_t now)
{
    char node[16], endpoint[48];
    unsigned which = (unsigned) (s_random (seed) % 12);
    snprintf (node, sizeof node, which == 0 ? "node-m" : "n%u", which);
    snprintf (endpoint, sizeof endpoint, "tcp://10.0.0.%u:%u", which,
              (unsigned) (s_random (seed) % 2) + 1);
    umbp_msg_beat_t beat = s_beat (node, s_random (seed) % 4 + 1, endpoint);
    beat.ready = s_random (seed) % 4 != 0;
    switch (s_random (seed) % 4) {
    case 0: umbp_members_greet (members, &beat, now); break;
    case 1: umbp_members_leave (members, beat.node, beat.node_epoch, now); break;
    default: umbp_members_meet (members, &beat, now); break;
    }
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
        now += (int64_t) (s_random (&seed) % (round % 100 == 0 ? 40000 : 400));
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
        if (round % 50 == 0) {
            umbp_topology_t *topology = s_topology (members, now);
            umbp_topology_destroy (&topology);
        }
    }
    umbp_members_destroy (&members);
}

//  -----------------------------------------------------------------------------------------------
//  The rules of probing

static void test_probes_wait_longer (void)
{
    static const int64_t waits[] = { 1000, 2000, 4000, 8000, 10000, 10000 };
    umbp_probes_t *probes = umbp_probes_new (1000);
    const char *endpoint = "tcp://h:1";
    uint64_t tag = umbp_probes_tag (endpoint);
    int64_t now = START;
    for (size_t index = 0; index < sizeof waits / sizeof *waits; index++) {
        CU_ASSERT (umbp_probes_begin (probes, endpoint, now));
        CU_ASSERT (!umbp_probes_begin (probes, endpoint, now));
        CU_ASSERT (umbp_probes_failed (probes, tag, UMBP_EUNREACH, now) == (index == 0));
        CU_ASSERT (!umbp_probes_begin (probes, endpoint, now + waits[index] - 1));
        now += waits[index];
    }
    CU_ASSERT (umbp_probes_begin (probes, endpoint, now));
    CU_ASSERT (umbp_probes_failed (probes, tag, UMBP_EDENIED, now));        //  That is news
    CU_ASSERT (!umbp_probes_failed (probes, tag, UMBP_EDENIED, now));       //  None was under way
    umbp_probes_met (probes, tag);                          //  All is forgotten
    CU_ASSERT (umbp_probes_begin (probes, endpoint, now));
    CU_ASSERT (umbp_probes_open (probes) == 1);
    umbp_probes_alias (probes, tag, "node-a", now);
    CU_ASSERT (umbp_probes_open (probes) == 0);
    CU_ASSERT_STRING_EQUAL (umbp_probes_node (probes, endpoint), "node-a");
    CU_ASSERT_PTR_NULL (umbp_probes_node (probes, "tcp://h:2"));
    umbp_probes_destroy (&probes);
}

static void test_probes_are_bounded (void)
{
    umbp_probes_t *probes = umbp_probes_new (1000);
    char endpoint[32];
    umbp_probes_lost (probes, "tcp://kept:1", START + 100000, START);
    for (int index = 0; index < 3 * UMBP_PROBES_MAX; index++) {
        snprintf (endpoint, sizeof endpoint, "tcp://h:%d", index + 1);
        CU_ASSERT (umbp_probes_begin (probes, endpoint, START) == (index < UMBP_PROBES_OPEN_MAX));
    }
    CU_ASSERT (umbp_probes_open (probes) == UMBP_PROBES_OPEN_MAX);
    for (int index = 0; index < 3 * UMBP_PROBES_MAX; index++) {
        snprintf (endpoint, sizeof endpoint, "tcp://h:%d", index + 1);
        umbp_probes_failed (probes, umbp_probes_tag (endpoint), UMBP_EUNREACH, START);
        CU_ASSERT (umbp_probes_begin (probes, endpoint, START) == (index >= UMBP_PROBES_OPEN_MAX));
        umbp_probes_failed (probes, umbp_probes_tag (endpoint), UMBP_EUNREACH, START);
    }
    CU_ASSERT (umbp_probes_open (probes) == 0);
    size_t cursor = 0;
    CU_ASSERT_STRING_EQUAL (umbp_probes_due (probes, &cursor, START), "tcp://kept:1");
    CU_ASSERT_PTR_NULL (umbp_probes_due (probes, &cursor, START));
    cursor = 0;
    CU_ASSERT_PTR_NULL (umbp_probes_due (probes, &cursor, START + 100000));
    umbp_probes_destroy (&probes);
}

//  -----------------------------------------------------------------------------------------------
//  Registries among each other

typedef struct {
    umbp_home_t home;
    char endpoint[UMBP_TEXT_MAX + 1];
    zactor_t *link, *registry;
    zsock_t *watch;                     //  ROUTER: an actor of that node, told of the topology
    zsock_t *own;                       //  DEALER: an actor of that node, speaking to its registry
    umbp_topology_t *topology;          //  What it was told last
} node_t;

typedef struct {
    const char *cluster;                //  NULL: "test"
    unsigned suspect_ms, gone_ms;       //  0: so long that nothing here waits for it
    unsigned tiers;
    uint64_t epoch;                     //  0: 1
    const char *listen;                 //  NULL: any port
} how_t;

static unsigned s_nodes;

static void s_start (node_t *node, const char *name, how_t how)
{
    static const char *const actors[] = { "watch", NULL };
    char inproc[2 * UMBP_TEXT_MAX];
    *node = (node_t) { .home.node_epoch = how.epoch ? how.epoch : 1, .home.log_level = 2 };
    snprintf (node->home.instance, sizeof node->home.instance, "registry-%u", s_nodes++);
    snprintf (node->home.node, sizeof node->home.node, "%s", name);
    node->watch = zsock_new (ZMQ_ROUTER);
    zsock_set_rcvtimeo (node->watch, 100);
    zsock_bind (node->watch, "%s",
                umbp_post_inproc (node->home.instance, "watch", inproc, sizeof inproc));
    umbp_link_args_t link = { node->home.instance, name, how.listen, NULL };
    link.listen = how.listen ? how.listen : "tcp://127.0.0.1:*";
    node->link = umbp_link_new (&link, node->endpoint, sizeof node->endpoint);
    CU_ASSERT_FATAL (node->link != NULL);
    umbp_registry_args_t args = {
        .home = &node->home,
        .cluster = how.cluster ? how.cluster : "test",
        .endpoint = node->endpoint,
        .heartbeat_ms = 100,
        .suspect_ms = how.suspect_ms ? how.suspect_ms : 3 * WAIT_MS,
        .gone_ms = how.gone_ms ? how.gone_ms : 4 * WAIT_MS,
        .tiers = how.tiers,
        .actors = actors,
    };
    node->registry = umbp_registry_new (&args);
    CU_ASSERT_FATAL (node->registry != NULL);
    node->own = zsock_new (ZMQ_DEALER);
    zsock_set_rcvtimeo (node->own, WAIT_MS);
    zsock_connect (node->own, "%s",
                   umbp_post_inproc (node->home.instance, "registry", inproc, sizeof inproc));
}

//  In good order, the registry takes leave; otherwise it has no time for that
static void s_stop (node_t *node, bool in_order)
{
    if (!in_order)
        zactor_destroy (&node->link);
    zactor_destroy (&node->registry);
    zactor_destroy (&node->link);
    zsock_destroy (&node->watch);
    zsock_destroy (&node->own);
    umbp_topology_destroy (&node->topology);
}

static void s_tell (node_t *node, umbp_msg_t *msg)
{
    byte wire[4096];
    int size = umbp_msg_encode (msg, wire, sizeof wire);
    CU_ASSERT_FATAL (size > 0);
    zmq_send (zsock_resolve (node->own), "", 0, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (node->own), wire, (size_t) size, 0);
}

static void s_find (node_t *node, const char *endpoint)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_found, 0);
    msg.found.endpoint = umbp_text (endpoint);
    s_tell (node, &msg);
}

//  The next topology it is told, if any comes soon
static void s_listen (node_t *node)
{
    zmsg_t *parts = zmsg_recv (node->watch);
    if (!parts)
        return;
    zframe_t *frame = zmsg_last (parts);
    umbp_msg_t msg;
    CU_ASSERT (umbp_msg_decode (&msg, zframe_data (frame), zframe_size (frame)) > 0);
    if (msg.type == UMBP_MSG_topology_ok) {
        umbp_topology_destroy (&node->topology);
        node->topology = umbp_topology_new (&msg.topology_ok);
        CU_ASSERT (node->topology != NULL);
    }
    zmsg_destroy (&parts);
}

static size_t s_count_state (const umbp_topology_t *topology, unsigned state)
{
    size_t count = 0;
    for (size_t index = 0; index < umbp_topology_count (topology); index++)
        count += umbp_topology_member (topology, index)->state == state;
    return count;
}

//  Until it sees so many alive, suspect and in the ring. Returns how many ms that took, -1 if it
//  never did.
static int64_t s_wait (node_t *node, size_t alive, size_t suspect, size_t ring)
{
    int64_t start = zclock_mono ();
    while (zclock_mono () - start < WAIT_MS) {
        const umbp_topology_t *seen = node->topology;
        if (seen && s_count_state (seen, UMBP_MEMBER_ALIVE) == alive
            && s_count_state (seen, UMBP_MEMBER_SUSPECT) == suspect
            && umbp_ring_node_count (umbp_topology_ring (seen)) == ring)
            return zclock_mono () - start;
        s_listen (node);
    }
    return -1;
}

//  What it has been told before is old: wait for news only
static void s_forget (node_t *node)
{
    zsock_set_rcvtimeo (node->watch, 0);
    for (zmsg_t *msg = zmsg_recv (node->watch); msg; msg = zmsg_recv (node->watch))
        zmsg_destroy (&msg);
    zsock_set_rcvtimeo (node->watch, 100);
    umbp_topology_destroy (&node->topology);
}

//  Ask over tcp as a stranger does: the frame of the answer, decoded into msg; NULL if none came
static zframe_t *s_ask (zsock_t *peer, umbp_msg_t *msg)
{
    byte wire[4096];
    msg->id = 7;
    int size = umbp_msg_encode (msg, wire, sizeof wire);
    CU_ASSERT_FATAL (size > 0);
    zmq_send (zsock_resolve (peer), "registry", 8, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (peer), "", 0, ZMQ_SNDMORE);
    zmq_send (zsock_resolve (peer), wire, (size_t) size, 0);
    zmsg_t *parts = zmsg_recv (peer);
    CU_ASSERT (parts != NULL);
    if (!parts)
        return NULL;
    CU_ASSERT (zmsg_size (parts) == 3);
    zframe_t *frame = zframe_dup (zmsg_last (parts));
    zmsg_destroy (&parts);
    CU_ASSERT (umbp_msg_decode (msg, zframe_data (frame), zframe_size (frame)) > 0);
    return frame;
}

static zsock_t *s_stranger (const node_t *node)
{
    zsock_t *peer = zsock_new (ZMQ_DEALER);
    zsock_set_rcvtimeo (peer, WAIT_MS);
    zsock_set_linger (peer, 0);
    CU_ASSERT (zsock_connect (peer, "%s", node->endpoint) == 0);
    return peer;
}

static uint64_t s_gauge (zsock_t *peer, const char *name)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    zframe_t *frame = s_ask (peer, &msg);
    uint64_t value = UINT64_MAX;
    size_t offset = 0;
    CU_ASSERT (frame && msg.type == UMBP_MSG_stat_ok);
    for (size_t index = 0; frame && index < msg.stat_ok.names.count; index++) {
        umbp_bytes_t item = umbp_column_next (&msg.stat_ok.names, index, &offset);
        if (umbp_text_is ((umbp_text_t) { (const char *) item.data, item.size }, name))
            value = umbp_u64s_at (msg.stat_ok.values, index);
    }
    zframe_destroy (&frame);
    return value;
}

//  B is told of A alone, C of B alone; soon all know all, and call the topology by one number
static void test_three_meet (void)
{
    node_t a, b, c;
    s_start (&a, "a", (how_t) { 0 });
    s_start (&b, "b", (how_t) { 0 });
    s_start (&c, "c", (how_t) { 0 });
    CU_ASSERT (s_wait (&a, 1, 0, 1) >= 0);
    s_find (&b, a.endpoint);
    s_find (&c, b.endpoint);
    CU_ASSERT (s_wait (&a, 3, 0, 3) >= 0);
    CU_ASSERT (s_wait (&b, 3, 0, 3) >= 0);
    CU_ASSERT (s_wait (&c, 3, 0, 3) >= 0);
    CU_ASSERT (umbp_topology_epoch (a.topology) == umbp_topology_epoch (b.topology));
    CU_ASSERT (umbp_topology_epoch (a.topology) == umbp_topology_epoch (c.topology));
    CU_ASSERT (umbp_topology_self (a.topology) == 0 && umbp_topology_self (c.topology) == 2);

    //  In good order: the others do not have to wait for its silence
    s_forget (&a);
    s_stop (&b, true);
    int64_t took_ms = s_wait (&a, 2, 0, 2);
    printf ("leave seen after %d ms ", (int) took_ms);
    CU_ASSERT (took_ms >= 0 && took_ms < 1000);
    CU_ASSERT (s_wait (&c, 2, 0, 2) >= 0);
    s_stop (&c, true);
    s_stop (&a, true);
}

//  One end is gone without a word: suspect, and still in the ring; then gone. Later it is back.
static void test_silent_node (void)
{
    node_t a, b;
    how_t how = { .suspect_ms = 1000, .gone_ms = 2500 };
    s_start (&a, "a", how);
    s_start (&b, "b", how);
    s_find (&b, a.endpoint);
    CU_ASSERT (s_wait (&a, 2, 0, 2) >= 0);
    char listen[UMBP_TEXT_MAX + 1];
    snprintf (listen, sizeof listen, "%s", b.endpoint);
    s_stop (&b, false);
    CU_ASSERT (s_wait (&a, 1, 1, 2) >= 0);
    CU_ASSERT (s_wait (&a, 1, 0, 1) >= 0);

    //  At the same place, so that A finds it by itself: it looks for those that fell silent
    how.epoch = 2;
    how.listen = listen;
    s_start (&b, "b", how);
    CU_ASSERT (s_wait (&a, 2, 0, 2) >= 0);
    CU_ASSERT (umbp_topology_member (a.topology, 1)->epoch == 2);
    s_stop (&b, true);
    s_stop (&a, true);
}

//  A restart that was too quick for anybody to notice its absence
static void test_restart (void)
{
    node_t a, b;
    how_t how = { 0 };
    s_start (&a, "a", how);
    s_start (&b, "b", how);
    s_find (&b, a.endpoint);
    CU_ASSERT (s_wait (&a, 2, 0, 2) >= 0);
    s_stop (&b, false);
    how.epoch = 2;
    s_start (&b, "b", how);                                 //  At another port
    s_find (&b, a.endpoint);
    int64_t start = zclock_mono ();
    while (zclock_mono () - start < WAIT_MS && umbp_topology_member (a.topology, 1)->epoch != 2)
        s_listen (&a);
    CU_ASSERT (umbp_topology_count (a.topology) == 2);
    CU_ASSERT (umbp_topology_member (a.topology, 1)->epoch == 2);
    CU_ASSERT_STRING_EQUAL (umbp_topology_member (a.topology, 1)->endpoint, b.endpoint);
    s_stop (&b, true);
    s_stop (&a, true);
}

static void s_check_beat_refused (zsock_t *peer, const umbp_msg_beat_t *beat, int status,
                                  const char *reason)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_beat, 0);
    msg.beat = *beat;
    zframe_t *frame = s_ask (peer, &msg);
    char text[UMBP_TEXT_MAX + 1] = "";
    CU_ASSERT (msg.type == UMBP_MSG_refused && msg.status == status);
    if (msg.type == UMBP_MSG_refused)
        umbp_text_copy (msg.refused.reason, text, sizeof text);
    CU_ASSERT (strncmp (text, reason, strlen (reason)) == 0);
    zframe_destroy (&frame);
}

static void s_check_denied (zsock_t *peer, umbp_msg_t *msg)
{
    zframe_t *frame = s_ask (peer, msg);
    CU_ASSERT (msg->type == UMBP_MSG_refused && msg->status == UMBP_EDENIED);
    zframe_destroy (&frame);
}

//  What a stranger says over tcp: it is refused by name, and changes nothing
static void test_strangers (void)
{
    node_t a;
    s_start (&a, "a", (how_t) { 0 });
    zsock_t *peer = s_stranger (&a);
    umbp_msg_beat_t beat = s_beat ("b", 1, "tcp://127.0.0.1:9");
    beat.cluster = umbp_text ("other");
    s_check_beat_refused (peer, &beat, UMBP_EDENIED, "cluster: ");
    beat = s_beat ("b", 1, "tcp://127.0.0.1:9");
    beat.version = 9;
    s_check_beat_refused (peer, &beat, UMBP_ENOTSUP, "version: ");
    beat = s_beat ("a", 9, "tcp://127.0.0.1:9");
    s_check_beat_refused (peer, &beat, UMBP_EEXIST, "node: that id is taken");

    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_found, 0);
    msg.found.endpoint = umbp_text ("tcp://127.0.0.1:9");
    s_check_denied (peer, &msg);
    umbp_msg_init (&msg, UMBP_MSG_capacity, 0);
    msg.capacity.tier = UMBP_TIER_DRAM;
    s_check_denied (peer, &msg);

    //  A node that does not answer where it says it is
    umbp_msg_init (&msg, UMBP_MSG_beat, 0);
    msg.beat = s_beat ("ghost", 1, "tcp://127.0.0.1:9");
    zframe_t *frame = s_ask (peer, &msg);
    CU_ASSERT (msg.type == UMBP_MSG_beat_ok && umbp_text_is (msg.beat_ok.node, "a"));
    zframe_destroy (&frame);
    umbp_msg_init (&msg, UMBP_MSG_topology, 0);
    frame = s_ask (peer, &msg);
    CU_ASSERT (msg.type == UMBP_MSG_topology_ok && msg.topology_ok.nodes.count == 1);
    zframe_destroy (&frame);

    umbp_msg_init (&msg, UMBP_MSG_who, 0);
    frame = s_ask (peer, &msg);
    CU_ASSERT (msg.type == UMBP_MSG_who_ok && umbp_text_is (msg.who_ok.node, "a"));
    CU_ASSERT (umbp_text_is (msg.who_ok.endpoint, a.endpoint) && msg.who_ok.node_epoch == 1);
    CU_ASSERT (umbp_text_is (msg.who_ok.cluster, "test"));
    zframe_destroy (&frame);

    umbp_msg_init (&msg, UMBP_MSG_leave, 0);                //  We leave on no stranger's word
    msg.leave.node = umbp_text ("a");
    msg.leave.node_epoch = 1;
    frame = s_ask (peer, &msg);
    CU_ASSERT (msg.status == UMBP_ENOENT);
    zframe_destroy (&frame);

    CU_ASSERT (s_gauge (peer, "members_alive") == 1);
    CU_ASSERT (s_gauge (peer, "refused_cluster") == 1);
    CU_ASSERT (s_gauge (peer, "refused_version") == 1);
    CU_ASSERT (s_gauge (peer, "refused_id") == 1);
    CU_ASSERT (s_gauge (peer, "probes") == 1);
    zsock_destroy (&peer);
    s_stop (&a, true);
}

//  Two clusters find each other, and two nodes of one name do
static void test_apart (void)
{
    node_t a, b, twin;
    s_start (&a, "a", (how_t) { 0 });
    s_start (&b, "b", (how_t) { .cluster = "other" });
    s_start (&twin, "a", (how_t) { .epoch = 5 });
    zsock_t *peer = s_stranger (&a), *other = s_stranger (&b);
    s_find (&a, b.endpoint);
    s_find (&a, twin.endpoint);
    s_find (&a, a.endpoint);                                //  Ourselves: no matter
    int64_t start = zclock_mono ();
    while (s_gauge (peer, "probes_failed") < 2 && zclock_mono () - start < WAIT_MS)
        s_listen (&a);
    CU_ASSERT (s_gauge (peer, "probes_failed") >= 2);
    CU_ASSERT (s_gauge (other, "refused_cluster") >= 1);
    CU_ASSERT (s_gauge (peer, "members_alive") == 1);
    CU_ASSERT (s_gauge (other, "members_alive") == 1);
    zsock_destroy (&peer);
    zsock_destroy (&other);
    s_stop (&twin, true);
    s_stop (&b, true);
    s_stop (&a, true);
}

//  A name for a node that is at home elsewhere: it is met there, and is not asked here again
static void test_alias (void)
{
    node_t a, b;
    s_start (&a, "a", (how_t) { 0 });
    s_start (&b, "b", (how_t) { 0 });
    char alias[64];
    snprintf (alias, sizeof alias, "tcp://127.0.0.2:%s", strrchr (b.endpoint, ':') + 1);
    CU_ASSERT (s_wait (&a, 1, 0, 1) >= 0);
    s_stop (&b, true);
    snprintf (alias, sizeof alias, "tcp://localhost:%s", strrchr (a.endpoint, ':') + 1);
    s_start (&b, "b", (how_t) { 0 });
    s_find (&b, alias);
    CU_ASSERT (s_wait (&b, 2, 0, 2) >= 0);
    zsock_t *peer = s_stranger (&b);
    uint64_t probes = s_gauge (peer, "probes");
    for (int times = 0; times < 5; times++)
        s_find (&b, alias);
    snprintf (alias, sizeof alias, "tcp://localhost:%s", strrchr (b.endpoint, ':') + 1);
    for (int times = 0; times < 5; times++)
        s_find (&b, alias);                                 //  That is b itself: asked once
    s_forget (&b);
    CU_ASSERT (s_wait (&b, 2, 0, 2) >= 0);
    CU_ASSERT (s_gauge (peer, "probes") == probes + 1);
    CU_ASSERT (s_gauge (peer, "members_alive") == 2);
    zsock_destroy (&peer);
    s_stop (&b, true);
    s_stop (&a, true);
}

//  In the ring, on both nodes, once the tier manager has said what it has
static void test_gate_across (void)
{
    node_t a, b;
    s_start (&a, "a", (how_t) { 0 });
    s_start (&b, "b", (how_t) { .tiers = 1 });
    s_find (&b, a.endpoint);
    CU_ASSERT (s_wait (&a, 2, 0, 1) >= 0);
    CU_ASSERT (s_wait (&b, 2, 0, 1) >= 0);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_capacity, 0);
    msg.capacity = (umbp_msg_capacity_t) {
        .tier = UMBP_TIER_DRAM, .total = 4096, .used = 1024, .blocks = 3, .load = 250,
    };
    s_tell (&b, &msg);
    CU_ASSERT (s_wait (&b, 2, 0, 2) >= 0);
    CU_ASSERT (s_wait (&a, 2, 0, 2) >= 0);
    int64_t start = zclock_mono ();
    while (umbp_topology_member (a.topology, 1)->load != 250 && zclock_mono () - start < WAIT_MS)
        s_listen (&a);
    const umbp_member_t *member = umbp_topology_member (a.topology, 1);
    CU_ASSERT (member->load == 250 && member->tiers[UMBP_TIER_DRAM].used == 1024);
    s_stop (&b, true);
    s_stop (&a, true);
}

static void test_impossible_settings (void)
{
    umbp_home_t home = { .instance = "registry-none", .node = "a", .node_epoch = 1 };
    umbp_registry_args_t args = {
        .home = &home, .cluster = "test", .endpoint = "tcp://127.0.0.1:1", .suspect_ms = 2000,
    };
    CU_ASSERT_PTR_NULL (umbp_registry_new (&args));         //  Two heartbeats of a second
    args.suspect_ms = 0;
    zactor_t *registry = umbp_registry_new (&args);
    CU_ASSERT (registry != NULL);
    CU_ASSERT_PTR_NULL (umbp_registry_new (&args));         //  The name is taken
    zactor_destroy (&registry);
}

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IONBF, 0);
    zsys_set_logstream (getenv ("UMBP_LOG") ? stdout : NULL);
    CU_initialize_registry ();
    CU_pSuite rules = CU_add_suite ("members", NULL, NULL);
    CU_ADD_TEST (rules, test_settings);
    CU_ADD_TEST (rules, test_join_replace_leave);
    CU_ADD_TEST (rules, test_greeting_admits_nobody);
    CU_ADD_TEST (rules, test_silence);
    CU_ADD_TEST (rules, test_own_stall);
    CU_ADD_TEST (rules, test_refusals);
    CU_ADD_TEST (rules, test_limits);
    CU_ADD_TEST (rules, test_load_and_room);
    CU_ADD_TEST (rules, test_join_gate);
    CU_ADD_TEST (rules, test_topology_number);
    CU_ADD_TEST (rules, test_shared_endpoint);
    CU_pSuite probes = CU_add_suite ("probes", NULL, NULL);
    CU_ADD_TEST (probes, test_probes_wait_longer);
    CU_ADD_TEST (probes, test_probes_are_bounded);
    CU_pSuite actors = CU_add_suite ("registry", NULL, NULL);
    CU_ADD_TEST (actors, test_impossible_settings);
    CU_ADD_TEST (actors, test_three_meet);
    CU_ADD_TEST (actors, test_silent_node);
    CU_ADD_TEST (actors, test_restart);
    CU_ADD_TEST (actors, test_strangers);
    CU_ADD_TEST (actors, test_apart);
    CU_ADD_TEST (actors, test_alias);
    CU_ADD_TEST (actors, test_gate_across);
    CU_pSuite random = CU_add_suite ("random", NULL, NULL);
    CU_ADD_TEST (random, test_random_events);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  bin/bench_beats.c - the members of many nodes in one thread. See bench_beats.h.
#include "bin/bench_beats.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <czmq.h>
#include <time.h>

#include "actors/probes.h"
#include "cluster/endpoint.h"
#include "proto/splitmix.h"

#define HEARTBEAT_MS 1000
#define LOST_MS 3600000                 //  As in registry.c
#define PORT 7710
#define VNODES 150
#define TIER_BYTES (UINT64_C (64) << 30)

typedef struct {
    umbp_members_t *members;
    umbp_probes_t *probes;
    char endpoint[64];
    uint64_t epoch;
    unsigned port;                      //  Of the endpoint
    uint64_t told;                      //  The topology that its tier knows
    bool up;
} node_t;

//  Somebody is to be asked at a place
typedef struct {
    size_t node;
    char endpoint[64];
} probe_t;

struct umbp_bench_beats {
    node_t nodes[UMBP_NODES_MAX];
    size_t count;
    unsigned suspect_ms, gone_ms;
    int64_t now;
    uint64_t random;
    probe_t *queue;                     //  Of probes: at most what all nodes may have open
    size_t queue_count;
    umbp_bench_beats_tally_t tally;
    umbp_bench_beats_fn *filter;
    void *filter_arg;
    uint8_t *asked, *answered;          //  Messages on their way
};

static double s_cpu_s (void)
{
    struct timespec now;
    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

//  --------------------------------------------------------------------------------------------------
//  Nodes

//  The number of the node that is or was there, or -1
static int s_number (const umbp_bench_beats_t *self, const char *endpoint)
{
    unsigned high, low;
    if (sscanf (endpoint, "tcp://10.0.%u.%u:", &high, &low) != 2 || low > 255)
        return -1;
    size_t number = (size_t) high << 8 | low;
    return number < self->count ? (int) number : -1;
}

//  The same if it is up and there now
static int s_answerer (const umbp_bench_beats_t *self, const char *endpoint)
{
    int number = s_number (self, endpoint);
    bool there = number >= 0 && self->nodes[number].up
                 && strcmp (endpoint, self->nodes[number].endpoint) == 0;
    return there ? number : -1;
}

//  A tier says how full it is, and that its shards know all blocks in the topology of now
static void s_report (node_t *node)
{
    uint64_t epoch = umbp_members_epoch (node->members);
    if (node->told == epoch)
        return;
    umbp_msg_capacity_t capacity = { .tier = UMBP_TIER_DRAM,
                                     .total = TIER_BYTES,
                                     .used = TIER_BYTES / 2, .blocks = 100000, .load = 100,
                                     .told_epoch = epoch };
    umbp_members_capacity (node->members, &capacity);
    if (umbp_members_epoch (node->members) != epoch) {      //  The first report makes it ready
        capacity.told_epoch = umbp_members_epoch (node->members);
        umbp_members_capacity (node->members, &capacity);
    }
    node->told = umbp_members_epoch (node->members);
}

umbp_bench_beats_t *umbp_bench_beats_new (unsigned suspect, unsigned gone, uint64_t seed)
{
    umbp_bench_beats_t *self = zmalloc (sizeof (umbp_bench_beats_t));
    self->suspect_ms = suspect * HEARTBEAT_MS;
    self->gone_ms = gone * HEARTBEAT_MS;
    self->random = seed;
    self->now = HEARTBEAT_MS;
    self->queue = zmalloc (UMBP_NODES_MAX * UMBP_PROBES_OPEN_MAX * sizeof (probe_t));
    self->asked = zmalloc (UMBP_MESSAGE_MAX);
    self->answered = zmalloc (UMBP_MESSAGE_MAX);
    return self;
}

void umbp_bench_beats_destroy (umbp_bench_beats_t **self_p)
{
    assert (self_p);
    umbp_bench_beats_t *self = *self_p;
    if (!self)
        return;
    for (size_t number = 0; number < self->count; number++) {
        umbp_members_destroy (&self->nodes[number].members);
        umbp_probes_destroy (&self->nodes[number].probes);
    }
    free (self->queue);
    free (self->asked);
    free (self->answered);
    freen (*self_p);
}

//  --------------------------------------------------------------------------------------------------
//  What registry.c does

//  Somebody may live there
static void s_found (umbp_bench_beats_t *self, size_t number, umbp_text_t text)
{
    node_t *node = &self->nodes[number];
    char endpoint[UMBP_TEXT_MAX + 1];
    if (!umbp_endpoint_ok (text))
        return;
    umbp_text_copy (text, endpoint, sizeof endpoint);
    if (umbp_members_at_endpoint (node->members, endpoint)
        || !umbp_probes_begin (node->probes, endpoint, self->now))
        return;
    probe_t *probe = &self->queue[self->queue_count++];
    probe->node = number;
    snprintf (probe->endpoint, sizeof probe->endpoint, "%.63s", endpoint);
}

static void s_found_all (umbp_bench_beats_t *self, size_t number, const umbp_column_t *known)
{
    size_t offset = 0;
    for (size_t index = 0; index < known->count; index++) {
        umbp_bytes_t item = umbp_column_next (known, index, &offset);
        s_found (self, number, (umbp_text_t) { (const char *) item.data, item.size });
    }
}

static size_t s_count (umbp_bench_beats_t *self, int size)
{
    assert (size > 0);
    self->tally.messages++;
    self->tally.bytes += (uint64_t) size;
    return (size_t) size;
}

static bool s_passes (umbp_bench_beats_t *self, size_t from, int to, umbp_msg_beat_t *beat)
{
    return to >= 0 && (!self->filter || self->filter (self->filter_arg, from, (size_t) to, beat));
}

//  The other end of a beat. Returns the bytes of its answer, 0 if it refused or that is lost.
static size_t s_answer (umbp_bench_beats_t *self, size_t number, size_t from, size_t size)
{
    node_t *node = &self->nodes[number];
    umbp_msg_t msg, answer;
    umbp_msg_beat_t ours;
    int rc = umbp_msg_decode (&msg, self->asked, size);
    assert (rc > 0 && msg.type == UMBP_MSG_beat);
    rc = umbp_members_greet (node->members, &msg.beat, self->now);
    if (rc < 0)
        return 0;
    umbp_msg_init (&answer, UMBP_MSG_beat_ok, msg.id);
    umbp_members_answer (node->members, &ours, &msg.beat);
    bool passes = s_passes (self, number, (int) from, &ours);
    memcpy (&answer.beat_ok, &ours, sizeof ours);
    size_t used = s_count (self, umbp_msg_encode (&answer, self->answered, UMBP_MESSAGE_MAX));
    if (rc == 1)
        s_found (self, number, msg.beat.endpoint);
    s_found_all (self, number, &msg.beat.known);
    return passes ? used : 0;
}

//  One beat to the node at an endpoint, and its answer
static void s_beat (umbp_bench_beats_t *self, size_t from, const char *endpoint, bool with_digest)
{
    node_t *node = &self->nodes[from];
    uint64_t tag = umbp_probes_tag (endpoint);
    int to = s_answerer (self, endpoint);
    umbp_msg_t msg;
    umbp_msg_beat_t theirs;
    umbp_msg_init (&msg, UMBP_MSG_beat, 1);
    umbp_members_beat (node->members, &msg.beat, with_digest);
    bool passes = s_passes (self, from, to, &msg.beat);
    size_t size = s_count (self, umbp_msg_encode (&msg, self->asked, UMBP_MESSAGE_MAX));
    size = passes ? s_answer (self, (size_t) to, from, size) : 0;
    if (size == 0) {
        umbp_probes_failed (node->probes, tag, UMBP_EUNREACH, self->now);
        return;
    }
    int rc = umbp_msg_decode (&msg, self->answered, size);
    assert (rc > 0 && msg.type == UMBP_MSG_beat_ok);
    memcpy (&theirs, &msg.beat_ok, sizeof theirs);
    rc = umbp_members_meet (node->members, &theirs, self->now);
    if (rc < 0)
        umbp_probes_failed (node->probes, tag, rc, self->now);
    else
        umbp_probes_met (node->probes, tag);
    s_found_all (self, from, &theirs.known);
}

//  All places that somebody wants to try, and what follows from it
static void s_probe_all (umbp_bench_beats_t *self)
{
    while (self->queue_count > 0) {
        probe_t probe = self->queue[--self->queue_count];
        s_beat (self, probe.node, probe.endpoint, true);
    }
}

static void s_beat_all (umbp_bench_beats_t *self, size_t number)
{
    const umbp_members_t *members = self->nodes[number].members;
    for (size_t index = 0; index < umbp_members_count (members); index++)
        if (!umbp_members_is_self (members, index))
            s_beat (self, number, umbp_members_at (members, index)->endpoint,
                    umbp_members_differs (members, index));
}

typedef struct {
    umbp_probes_t *probes;
    int64_t now;
} gone_t;

static void s_gone (void *arg, const umbp_member_t *member)
{
    const gone_t *gone = arg;
    umbp_probes_lost (gone->probes, member->endpoint, gone->now + LOST_MS, gone->now);
}

//  One that is up, or -1
static int s_any (umbp_bench_beats_t *self)
{
    size_t up = 0, wanted;
    for (size_t number = 0; number < self->count; number++)
        up += self->nodes[number].up;
    if (up == 0)
        return -1;
    wanted = umbp_splitmix (&self->random) % up;
    size_t number = 0;
    while (!self->nodes[number].up || wanted-- > 0)
        number++;
    return (int) number;
}

//  Discovery says where nodes are, again and again: one that all have in common, and to who is alone
//  any one, so that two groups that heard of each other never do not stay two
static void s_discover (umbp_bench_beats_t *self, size_t number)
{
    size_t common = 0;
    int any = umbp_members_count (self->nodes[number].members) == 1 ? s_any (self) : -1;
    while (common < self->count && !self->nodes[common].up)
        common++;
    if (any >= 0)
        s_found (self, number, umbp_text (self->nodes[any].endpoint));
    else if (common < self->count)
        s_found (self, number, umbp_text (self->nodes[common].endpoint));
}

//  A quarter of an interval at one node; it beats in one of the four
static void s_tick (umbp_bench_beats_t *self, size_t number, bool beats)
{
    node_t *node = &self->nodes[number];
    gone_t gone = { node->probes, self->now };
    size_t cursor = 0;
    umbp_members_tick (node->members, self->now, s_gone, &gone);
    for (const char *endpoint = umbp_probes_due (node->probes, &cursor, self->now); endpoint;
         endpoint = umbp_probes_due (node->probes, &cursor, self->now))
        s_found (self, number, umbp_text (endpoint));
    if (beats) {
        s_discover (self, number);
        s_beat_all (self, number);
    }
    s_probe_all (self);
    s_report (node);
}

void umbp_bench_beats_interval (umbp_bench_beats_t *self)
{
    double start = s_cpu_s ();
    for (size_t tick = 0; tick < UMBP_MEMBERS_TICKS; tick++) {
        self->now += HEARTBEAT_MS / UMBP_MEMBERS_TICKS;
        for (size_t number = 0; number < self->count; number++)
            if (self->nodes[number].up)
                s_tick (self, number, number % UMBP_MEMBERS_TICKS == tick);
    }
    self->tally.cpu_s += s_cpu_s () - start;
}

//  --------------------------------------------------------------------------------------------------
//  Who is there

//  A node begins, or begins again, and is told of another one
static void s_begin (umbp_bench_beats_t *self, size_t number)
{
    char name[32], bulk[32];
    node_t *node = &self->nodes[number];
    snprintf (name, sizeof name, "host-%04zu-%d", number, PORT);
    snprintf (bulk, sizeof bulk, "10.0.%zu.%zu:%d", number >> 8, number & 255, PORT - 1);
    snprintf (node->endpoint, sizeof node->endpoint, "tcp://10.0.%zu.%zu:%u", number >> 8,
              number & 255, node->port);
    umbp_members_args_t args = { .cluster = "scale",
                                 .node = name,
                                 .node_epoch = node->epoch,
                                 .endpoint = node->endpoint, .bulk = bulk, .host = name,
                                 .doors = "/run/umbp", .heartbeat_ms = HEARTBEAT_MS,
                                 .suspect_ms = self->suspect_ms, .gone_ms = self->gone_ms,
                                 .copies = 2, .vnodes = VNODES, .seed = 1, .tiers_expected = 1 };
    umbp_members_destroy (&node->members);
    umbp_probes_destroy (&node->probes);
    node->members = umbp_members_new (&args, self->now);
    node->probes = umbp_probes_new (HEARTBEAT_MS);
    node->told = 0;
    s_discover (self, number);
    node->up = true;
    s_report (node);
}

size_t umbp_bench_beats_add (umbp_bench_beats_t *self)
{
    assert (self->count < UMBP_NODES_MAX);
    size_t number = self->count++;
    self->nodes[number].epoch = number + 1;
    self->nodes[number].port = PORT;
    s_begin (self, number);
    return number;
}

void umbp_bench_beats_restart (umbp_bench_beats_t *self, size_t number, bool moves)
{
    assert (number < self->count);
    node_t *node = &self->nodes[number];
    node->up = false;
    node->epoch += UMBP_NODES_MAX;
    node->port += moves;
    s_begin (self, number);
}

void umbp_bench_beats_leave (umbp_bench_beats_t *self, size_t number)
{
    assert (number < self->count);
    node_t *node = &self->nodes[number];
    char name[32];
    snprintf (name, sizeof name, "host-%04zu-%d", number, PORT);
    node->up = false;
    for (size_t other = 0; other < self->count; other++)
        if (self->nodes[other].up)
            umbp_members_leave (self->nodes[other].members, umbp_text (name), node->epoch,
                                self->now);
}

void umbp_bench_beats_filter (umbp_bench_beats_t *self, umbp_bench_beats_fn *filter, void *arg)
{
    self->filter = filter;
    self->filter_arg = arg;
}

static void s_meet_once (umbp_bench_beats_t *self)
{
    for (size_t one = 0; one < self->count; one++)
        for (size_t other = 0; other < self->count; other++) {
            umbp_msg_beat_t beat;
            if (one == other || !self->nodes[one].up || !self->nodes[other].up)
                continue;
            umbp_members_beat (self->nodes[other].members, &beat, false);
            umbp_members_meet (self->nodes[one].members, &beat, self->now);
        }
    for (size_t number = 0; number < self->count; number++)
        if (self->nodes[number].up)
            s_report (&self->nodes[number]);
}

//  Twice: first who is there, and then what they have made of it. So nobody is left to be asked.
void umbp_bench_beats_meet (umbp_bench_beats_t *self)
{
    s_meet_once (self);
    s_meet_once (self);
    for (; self->queue_count > 0; self->queue_count--) {
        const probe_t *probe = &self->queue[self->queue_count - 1];
        umbp_probes_met (self->nodes[probe->node].probes, umbp_probes_tag (probe->endpoint));
    }
}

void umbp_bench_beats_kill (umbp_bench_beats_t *self, size_t number)
{
    assert (number < self->count);
    self->nodes[number].up = false;
}

bool umbp_bench_beats_agree (const umbp_bench_beats_t *self)
{
    size_t up = 0;
    const node_t *first = NULL;
    for (size_t number = 0; number < self->count; number++)
        if (self->nodes[number].up) {
            first = first ? first : &self->nodes[number];
            up++;
        }
    for (size_t number = 0; number < self->count; number++) {
        const node_t *node = &self->nodes[number];
        if (node->up
            && (umbp_members_count (node->members) != up
                || umbp_members_in_state (node->members, UMBP_MEMBER_ALIVE) != up
                || umbp_members_epoch (node->members) != umbp_members_epoch (first->members)))
            return false;
    }
    return true;
}

umbp_bench_beats_tally_t umbp_bench_beats_tally (umbp_bench_beats_t *self)
{
    umbp_bench_beats_tally_t tally = self->tally;
    self->tally = (umbp_bench_beats_tally_t) { 0 };
    return tally;
}

const umbp_members_t *umbp_bench_beats_members (const umbp_bench_beats_t *self, size_t number)
{
    assert (number < self->count);
    return self->nodes[number].members;
}

size_t umbp_bench_beats_topology (umbp_bench_beats_t *self, size_t number, const uint8_t **wire)
{
    assert (number < self->count);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_topology_ok, 0);
    umbp_members_topology (self->nodes[number].members, &msg.topology_ok, self->now);
    int size = umbp_msg_encode (&msg, self->asked, UMBP_MESSAGE_MAX);
    assert (size > 0);
    *wire = self->asked;
    return (size_t) size;
}

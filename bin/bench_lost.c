//  bin/bench_lost.c - the loss of a node, at size. See bench_lost.h.
//
//  Three nodes, processes of their own, each with a third of the blocks, of 64 bytes, that its own client
//  put. The last is killed. A client of each other node, as if on another host, goes through all keys whose
//  blocks live elsewhere, over and over: exists for all of them, and a get, whose bytes are compared, of
//  some. All are found again once as many calls in a row as it takes to go through all keys, the first of
//  which ended after the detection, have found each of theirs.
#include "bin/bench_lost.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bin/bench_loop.h"
#include "bin/bench_nodes.h"
#include "bin/bench_tally.h"
#include "bin/workload.h"
#include "cluster/topology.h"

#define NODES 3
#define VICTIM (NODES - 1)
#define BATCH 1024
#define GET_EVERY 32                    //  Batches of exists between two of get
#define GETS 128
#define SIZE 64
#define PAGE 4096
#define RUN 11                          //  Which keys
#define TIMEOUT_MS 30000
#define LIMIT_MS 120000                 //  For all to be as before
#define BOUND_S 2.0
#define POLL_US 5000

//  What happened, in order; a time is when all who remain knew
typedef enum { KILLED, SUSPECTED, GONE, SETTLED, EVENTS } event_t;

typedef struct self self_t;

//  A client of one of the nodes that remain
typedef struct {
    self_t *self;
    size_t node;
    pthread_t thread;
    uint64_t asked, got, passes;
    uint64_t missed[EVENTS + 1],
        failed[EVENTS + 1]; //  Blocks, by what had happened when the call ended
    uint64_t wrong;
    uint64_t longest_ns;                //  Call
    uint64_t last_bad_ns;               //  When a call last ended that missed or failed; 0: never
    uint64_t clean[EVENTS];             //  Keys found in a row since then
    atomic_ullong clean_ns[EVENTS];     //  When these were all; 0: not yet
    double pass_s;                      //  The last one took so long
} reader_t;

struct self {
    uint64_t keys;                      //  Of each node
    umbp_bench_cluster_t cluster;
    umbp_talk_t *talks[NODES];          //  To those that remain
    reader_t readers[NODES];
    atomic_ullong at_ns[EVENTS];        //  0: not yet
    atomic_bool over;
    const char *why;                    //  It could not be measured
};

//  ------------------------------------------------------------------------------------------------
//  Blocks

static bool s_load_node (self_t *self, size_t node)
{
    static umbp_item_t items[BATCH];
    static char names[BATCH][UMBP_BENCH_KEY_SIZE];
    static uint8_t room[BATCH * SIZE];
    int err = 0;
    umbp_options_t how = { .endpoints = self->cluster.nodes[node].endpoint,
                           .timeout_ms = TIMEOUT_MS };
    umbp_put_options_t put = { .strategy = UMBP_STRATEGY_LOCAL, .nowait = true };
    umbp_t *pool = umbp_connect (&how, &err);
    bool fine = pool != NULL;
    for (uint64_t first = 0; first < self->keys && fine; first += BATCH) {
        size_t count = self->keys - first < BATCH ? (size_t) (self->keys - first) : BATCH;
        for (size_t index = 0; index < count; index++) {
            uint64_t seed = umbp_bench_key (RUN + node, first + index, names[index]);
            items[index] = (umbp_item_t) { .key = { names[index], UMBP_BENCH_KEY_SIZE - 1 },
                                           .data = room + index * SIZE, .size = SIZE };
            umbp_workload_fill (seed, items[index].data, SIZE);
        }
        fine = umbp_put_batch (pool, items, count, &put, TIMEOUT_MS) == (int) count;
    }
    fine = fine && umbp_flush (pool, TIMEOUT_MS) == 0;
    umbp_close (&pool);
    return fine;
}

static bool s_start (self_t *self)
{
    char flags[256];
    snprintf (flags, sizeof flags,
              "--dram-page 4KiB --dram-capacity %" PRIu64 " --dram-region 64GiB --dram-prefault=no "
              "--eviction-high 100 --eviction-low 99 --index-keys %" PRIu64
              " --cluster-suspect 2s --cluster-gone 6s",
              self->keys * PAGE * 11 / 10 + (16 << 20), self->keys * NODES + 100000);
    if (umbp_bench_cluster_start (&self->cluster, NODES, flags) != 0)
        return false;
    for (size_t node = 0; node < NODES; node++) {
        int err;
        if (node != VICTIM)
            self->talks[node] =
                umbp_talk_new (self->cluster.nodes[node].endpoint, TIMEOUT_MS, &err);
        if ((node != VICTIM && !self->talks[node]) || !s_load_node (self, node)) {
            self->why = "the blocks could not be put";
            return false;
        }
    }
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  Readers

static int s_now (const self_t *self)
{
    int event = EVENTS;
    while (event > 0 && self->at_ns[event - 1] == 0)
        event--;
    return event;                       //  0: nothing has happened yet
}

typedef struct {
    char names[BATCH][UMBP_BENCH_KEY_SIZE];
    uint64_t seeds[BATCH];
    umbp_key_t keys[BATCH];
    umbp_item_t items[BATCH];
    int8_t found[BATCH];
    uint8_t room[GETS * SIZE];
} batch_t;

static void s_count (reader_t *reader, int status, bool found)
{
    int event = s_now (reader->self);
    if (found)
        return;
    reader->missed[event] += status == 0 || status == UMBP_ENOENT;
    reader->failed[event] += status != 0 && status != UMBP_ENOENT;
}

////  Passes go through the keys in one order, so those of the last calls are different ones
static void s_count_clean (reader_t *reader, uint64_t end_ns, uint64_t keys, bool clean)
{
    for (int event = 0; event < EVENTS; event++) {
        if (reader->self->at_ns[event] == 0 || reader->clean_ns[event])
            continue;
        reader->clean[event] = clean ? reader->clean[event] + keys : 0;
        if (reader->clean[event] >= reader->self->keys)
            reader->clean_ns[event] = end_ns;
    }
}

//  Ask for some keys of another node
static void s_ask (reader_t *reader, umbp_t *pool, batch_t *batch, size_t count, bool get)
{
    uint64_t bad = 0, start_ns = umbp_bench_now_ns ();
    if (get)
        umbp_get_batch (pool, batch->items, count, TIMEOUT_MS);
    else
        umbp_exists_batch (pool, batch->keys, count, batch->found, TIMEOUT_MS);
    uint64_t end_ns = umbp_bench_now_ns (), took_ns = end_ns - start_ns;
    for (size_t index = 0; index < count; index++) {
        int status = get ? batch->items[index].status : batch->found[index];
        bool found = get ? status == 0 : status == 1;
        s_count (reader, status, found);
        bad += !found;
        if (get && found
            && !umbp_workload_verify (batch->seeds[index], batch->items[index].data, SIZE))
            reader->wrong++;
    }
    reader->asked += count;
    reader->got += get ? count : 0;
    reader->longest_ns = took_ns > reader->longest_ns ? took_ns : reader->longest_ns;
    if (bad)
        reader->last_bad_ns = end_ns;
    s_count_clean (reader, end_ns, get ? 0 : count, bad == 0);
}

////  All keys of another node that remains
static void s_pass (reader_t *reader, umbp_t *pool, batch_t *batch)
{
    const self_t *self = reader->self;
    size_t other = 1 - reader->node;    //  The victim is the last one
    uint64_t turn = 0;
    for (uint64_t first = 0; first < self->keys && !self->over; first += BATCH, turn++) {
        size_t count = self->keys - first < BATCH ? (size_t) (self->keys - first) : BATCH;
        for (size_t index = 0; index < count; index++) {
            batch->seeds[index] = umbp_bench_key (RUN + other, first + index, batch->names[index]);
            batch->keys[index] = (umbp_key_t) { batch->names[index], UMBP_BENCH_KEY_SIZE - 1 };
        }
        s_ask (reader, pool, batch, count, false);
        if (turn % GET_EVERY)
            continue;
        size_t gets = count < GETS ? count : GETS;
        for (size_t index = 0; index < gets; index++)
            batch->items[index] = (umbp_item_t) { .key = batch->keys[index],
                                                  .data = batch->room + index * SIZE,
                                                  .size = SIZE };
        s_ask (reader, pool, batch, gets, true);
    }
}

static void *s_read (void *arg)
{
    reader_t *reader = arg;
    self_t *self = reader->self;
    int err = 0;
    umbp_options_t how = { .endpoints = self->cluster.nodes[reader->node].endpoint,
                           .no_shm = true, .timeout_ms = TIMEOUT_MS };
    umbp_t *pool = umbp_connect (&how, &err);
    batch_t *batch = calloc (1, sizeof *batch);
    if (!pool || !batch)
        reader->failed[0]++;
    while (pool && batch && !self->over) {
        uint64_t start_ns = umbp_bench_now_ns ();
        s_pass (reader, pool, batch);
        if (self->over)
            break;
        reader->pass_s = (double) (umbp_bench_now_ns () - start_ns) / 1e9;
        reader->passes++;
    }
    free (batch);
    umbp_close (&pool);
    return NULL;
}

//  ------------------------------------------------------------------------------------------------
//  The loss

//  What a node that remains knows of the victim
static event_t s_seen (self_t *self, size_t node)
{
    umbp_msg_t question;
    const umbp_msg_t *answer;
    umbp_msg_init (&question, UMBP_MSG_topology, 0);
    if (umbp_talk_ask (self->talks[node], "registry", &question, &answer) != 0)
        return KILLED;
    umbp_topology_t *topology = umbp_topology_new (&answer->topology_ok);
    if (!topology)
        return KILLED;
    int number = umbp_topology_find (topology, umbp_text (self->cluster.nodes[VICTIM].id));
    event_t event = KILLED;
    if (number < 0)
        event = umbp_topology_settled (topology) ? SETTLED : GONE;
    else if (umbp_topology_member (topology, (size_t) number)->state == UMBP_MEMBER_SUSPECT)
        event = SUSPECTED;
    umbp_topology_destroy (&topology);
    return event;
}

static bool s_wait_until (const self_t *self, bool (*is_so) (const self_t *self), int limit_ms)
{
    uint64_t until_ns = umbp_bench_now_ns () + (uint64_t) limit_ms * 1000000;
    while (!is_so (self) && umbp_bench_now_ns () < until_ns)
        usleep (POLL_US);
    return is_so (self);
}

static bool s_have_begun (const self_t *self)
{
    return self->readers[0].passes > 0 && self->readers[1].passes > 0;
}

static bool s_are_through (const self_t *self)
{
    return self->readers[0].clean_ns[SETTLED] && self->readers[1].clean_ns[SETTLED];
}

//  Note when all who remain know what
static bool s_watch (self_t *self)
{
    uint64_t until_ns = umbp_bench_now_ns () + (uint64_t) LIMIT_MS * 1000000;
    while (self->at_ns[SETTLED] == 0 && umbp_bench_now_ns () < until_ns) {
        event_t least = SETTLED;
        for (size_t node = 0; node < VICTIM; node++) {
            event_t seen = s_seen (self, node);
            least = seen < least ? seen : least;
        }
        for (int event = SUSPECTED; event <= (int) least; event++)
            if (self->at_ns[event] == 0)
                self->at_ns[event] = umbp_bench_now_ns ();
        usleep (POLL_US);
    }
    return self->at_ns[SETTLED] != 0;
}

static void s_lose (self_t *self)
{
    for (size_t node = 0; node < VICTIM; node++) {
        self->readers[node] = (reader_t) { .self = self, .node = node };
        if (pthread_create (&self->readers[node].thread, NULL, s_read, &self->readers[node]) != 0)
            abort ();                   //  No thread to be had: nothing to measure
    }
    if (!s_wait_until (self, s_have_begun, LIMIT_MS))
        self->why = "the clients could not go through the keys once";
    else {
        umbp_bench_end_process (self->cluster.nodes[VICTIM].pid, SIGKILL, TIMEOUT_MS);
        self->cluster.count = VICTIM;
        self->at_ns[KILLED] = umbp_bench_now_ns ();
        if (!s_watch (self))
            self->why = "the ring was not settled again";
        else if (!s_wait_until (self, s_are_through, LIMIT_MS))
            self->why = "a client did not find all keys again";
    }
    self->over = true;
    for (size_t node = 0; node < VICTIM; node++)
        pthread_join (self->readers[node].thread, NULL);
}

//  ------------------------------------------------------------------------------------------------
//  What came of it

static double s_between (uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double) (to_ns - from_ns) / 1e9 : 0;
}

//  From the detection until the last client had found all
static double s_found_s (const self_t *self)
{
    double most = 0;
    for (size_t node = 0; node < VICTIM; node++) {
        double seconds =
            s_between (self->at_ns[SUSPECTED], self->readers[node].clean_ns[SUSPECTED]);
        most = seconds > most ? seconds : most;
    }
    return most;
}

static uint64_t s_sum (const self_t *self, bool failed, int first)
{
    uint64_t sum = 0;
    for (size_t node = 0; node < VICTIM; node++)
        for (int event = first; event <= EVENTS; event++)
            sum += failed ? self->readers[node].failed[event] : self->readers[node].missed[event];
    return sum;
}

static uint64_t s_wrong (const self_t *self)
{
    return self->readers[0].wrong + self->readers[1].wrong;
}

static void s_print (const self_t *self)
{
    static const char *const when[] = { "before", "unnoticed", "suspect", "gone", "settled" };
    printf ("loss of 1 of %d nodes, %" PRIu64 " blocks: killed -> suspect %.2f s -> gone %.2f s -> "
            "settled %.2f s\n",
            NODES, self->keys * NODES, s_between (self->at_ns[KILLED], self->at_ns[SUSPECTED]),
            s_between (self->at_ns[KILLED], self->at_ns[GONE]),
            s_between (self->at_ns[KILLED], self->at_ns[SETTLED]));
    for (size_t node = 0; node < VICTIM; node++) {
        const reader_t *reader = &self->readers[node];
        printf ("  client of %s: all %" PRIu64 " found %.2f s after suspect; a pass takes %.2f s; "
                "longest call %.2f s; last call that missed or failed %.2f s after the kill\n",
                self->cluster.nodes[node].id, self->keys,
                s_between (self->at_ns[SUSPECTED], reader->clean_ns[SUSPECTED]), reader->pass_s,
                (double) reader->longest_ns / 1e9,
                s_between (self->at_ns[KILLED], reader->last_bad_ns));
        printf ("    %" PRIu64 " asked, %" PRIu64 " got; missed/failed", reader->asked,
                reader->got);
        for (int event = 0; event <= EVENTS; event++)
            printf (" %s %" PRIu64 "/%" PRIu64, when[event], reader->missed[event],
                    reader->failed[event]);
        printf ("; wrong %" PRIu64 "\n", reader->wrong);
    }
}

static bool s_run (self_t *self, uint64_t keys)
{
    self->keys = keys / NODES ? keys / NODES : 1;
    if (s_start (self))
        s_lose (self);
    else if (!self->why)
        self->why = "the nodes did not start";
    for (size_t node = 0; node < NODES; node++)
        umbp_talk_destroy (&self->talks[node]);
    if (umbp_bench_cluster_stop (&self->cluster) != 0 && !self->why)
        self->why = "a node did not end well";
    if (!self->why)
        s_print (self);
    return !self->why;
}

int umbp_bench_lost (const umbp_bench_options_t *options)
{
    self_t *self = calloc (1, sizeof *self);
    bool fine = self && s_run (self, options->keys);
    if (self && self->why)
        fprintf (stderr, "umbp-bench: lost: %s\n", self->why);
    if (fine) {
        uint64_t missed = s_sum (self, false, 0), failed = s_sum (self, true, SUSPECTED + 1);
        printf ("missed at any time %" PRIu64 "; failed once it was suspect %" PRIu64
                "; all found again after %.2f s, at most %.0f s are wanted\n",
                missed, failed, s_found_s (self), BOUND_S);
        fine = missed == 0 && failed == 0 && s_wrong (self) == 0;
    }
    free (self);
    return fine ? 0 : 1;
}

static const umbp_bench_row_t s_rows[] = {
    { "node lost: all keys found after detection", "s", "bound of 2 s", 1, true, NULL, NULL },
    { "node lost: blocks missed meanwhile", "", NULL, 0, true, NULL, NULL },
};

void umbp_bench_lost_rows (umbp_bench_suite_t *suite)
{
    if (!umbp_bench_suite_wants (suite, s_rows[0].name)
        && !umbp_bench_suite_wants (suite, s_rows[1].name))
        return;
    self_t *self = calloc (1, sizeof *self);
    if (self && s_run (self, suite->options->keys)) {
        umbp_bench_suite_fact (suite, &s_rows[0], s_found_s (self), BOUND_S);
        umbp_bench_suite_fact (suite, &s_rows[1], (double) s_sum (self, false, 0), -1);
        suite->failed |= s_wrong (self) > 0;
    } else
        umbp_bench_suite_miss (suite, "node lost", self ? self->why : "no memory");
    free (self);
}

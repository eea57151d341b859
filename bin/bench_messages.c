//  bin/bench_messages.c - how many messages a put and a get take. See bench_messages.h.
#include "bin/bench_messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bin/bench_nodes.h"
#include "client/umbp.h"
#include "cluster/bulk/clock.h"
#include "proto/error.h"

#define ASK_MS 10000
#define SETTLE_MS 60000
#define POLL_MS 50
#define BLOCKS 200
#define COPIES_MAX 3
#define SMALL_BYTES 4096                //  Rides inside messages
#define LARGE_BYTES (256 << 10)         //  Does not

typedef struct {
    umbp_bench_cluster_t cluster;
    umbp_talk_t *talk;
    umbp_t *near, *far;                 //  Clients of the first node, where blocks are put, and the last
    umbp_bench_messages_fn *take;
    void *arg;
    char copies[32];
    uint8_t bytes[LARGE_BYTES];
    bool failed;
} self_t;

//  How many messages a request is: itself and its answer. 0 for those that come by themselves, or
//  because we count.
static uint64_t s_weight (umbp_bytes_t name)
{
    static const struct {
        const char *name;
        unsigned messages;
    } rows[] = { { "put", 2 },
                 { "get", 2 },
                 { "lookup", 2 },
                 { "reserve", 2 },
                 { "store", 2 },
                 { "commit", 2 }, { "lease", 2 }, { "release", 1 }, { "change", 2 },  { "abort", 1 } };
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++)
        if (name.size == strlen (rows[index].name)
            && memcmp (name.data, rows[index].name, name.size) == 0)
            return rows[index].messages;
    return 0;
}

//  All messages so far
static uint64_t s_count (self_t *self)
{
    static const char *const actors[] = { "router", "index", "tier:dram" };
    uint64_t total = 0;
    for (size_t node = 0; node < self->cluster.count; node++)
        for (size_t actor = 0; actor < sizeof actors / sizeof *actors; actor++) {
            char address[64];
            umbp_msg_t question;
            const umbp_msg_t *answer;
            snprintf (address, sizeof address, "%s@%s", actors[actor],
                      self->cluster.nodes[node].id);
            umbp_msg_init (&question, UMBP_MSG_stat, 0);
            int rc = umbp_talk_ask (self->talk, address, &question, &answer);
            size_t offset = 0;
            self->failed = self->failed || rc != 0;
            for (size_t index = 0; rc == 0 && index < answer->stat_ok.messages.count; index++) {
                umbp_bytes_t name = umbp_column_next (&answer->stat_ok.messages, index, &offset);
                total += s_weight (name) * umbp_u64s_at (answer->stat_ok.received, index);
            }
        }
    return total;
}

//  Wait until all nodes work with the same ring: before that more shards are asked and told
static bool s_wait_settled (self_t *self)
{
    int64_t until_ms = umbp_clock_ms () + SETTLE_MS;
    for (size_t node = 0; node < self->cluster.count;) {
        char address[64];
        uint64_t rings = 0;
        snprintf (address, sizeof address, "tier:dram@%s", self->cluster.nodes[node].id);
        if (umbp_bench_stat (self->talk, address, "rings_told", &rings) == 0 && rings == 1)
            node++;
        else if (umbp_clock_ms () >= until_ms) {
            fprintf (stderr, "umbp-bench: the nodes that were started do not agree on the ring\n");
            return false;
        } else
            nanosleep (&(struct timespec) { .tv_nsec = POLL_MS * 1000000 }, NULL);
    }
    return true;
}

//  Put or get BLOCKS blocks of a size, one by one, and say how many messages each took
static void s_measure (self_t *self, umbp_t *pool, bool puts, size_t size, const char *what)
{
    char key[64], name[96];
    bool fine = umbp_flush (self->near, 0) == 0;
    uint64_t before = s_count (self);
    for (int block = 0; block < BLOCKS && fine; block++) {
        snprintf (key, sizeof key, "messages-%zu-%d", size, block);
        fine = puts ? umbp_put (pool, key, self->bytes, size) == 0
                    : umbp_get (pool, key, self->bytes, sizeof self->bytes) == (long) size;
    }
    fine = fine && umbp_flush (self->near, 0) == 0;
    uint64_t count = s_count (self) - before;
    if (!fine)
        fprintf (stderr, "umbp-bench: %s: a block could not be put or got\n", what);
    self->failed = self->failed || !fine;
    snprintf (name, sizeof name, "%zu nodes, %s: messages of a %s", self->cluster.count,
              self->copies, what);
    if (!self->failed)
        self->take (self->arg, name, (double) count / BLOCKS);
}

static umbp_t *s_connect (const self_t *self, size_t node)
{
    return umbp_connect (&(umbp_options_t){ .endpoints = self->cluster.nodes[node].endpoint,
                                            .timeout_ms = ASK_MS, .no_shm = true },
                         NULL);
}

static void s_measure_all (self_t *self)
{
    s_measure (self, self->near, true, SMALL_BYTES, "put of 4 KiB");
    s_measure (self, self->near, false, SMALL_BYTES, "get of 4 KiB at its node");
    s_measure (self, self->far, false, SMALL_BYTES, "get of 4 KiB at another");
    s_measure (self, self->near, true, LARGE_BYTES, "put of 256 KiB");
    s_measure (self, self->near, false, LARGE_BYTES, "get of 256 KiB at its node");
    s_measure (self, self->far, false, LARGE_BYTES, "get of 256 KiB at another");
}

static void s_with_copies (self_t *self, size_t nodes, unsigned copies)
{
    char flags[128];
    int err = 0;
    snprintf (flags, sizeof flags,
              "--cluster-copies %u --dram-capacity 256MiB --blocks-strategy local", copies);
    snprintf (self->copies, sizeof self->copies, "%u index cop%s", copies,
              copies > 1 ? "ies" : "y");
    if (umbp_bench_cluster_start (&self->cluster, nodes, flags) < 0) {
        self->failed = true;
        return;
    }
    self->talk = umbp_talk_new (self->cluster.nodes[0].endpoint, ASK_MS, &err);
    self->near = s_connect (self, 0);
    self->far = s_connect (self, nodes - 1);
    if (!self->talk || !self->near || !self->far) {
        fprintf (stderr, "umbp-bench: the nodes that were started do not answer\n");
        self->failed = true;
    } else if (s_wait_settled (self))
        s_measure_all (self);
    else
        self->failed = true;
    umbp_close (&self->near);
    umbp_close (&self->far);
    umbp_talk_destroy (&self->talk);
    self->failed |= umbp_bench_cluster_stop (&self->cluster) < 0;
}

int umbp_bench_messages (const umbp_bench_options_t *options, umbp_bench_messages_fn *take,
                         void *arg)
{
    self_t *self = calloc (1, sizeof (self_t));
    if (!self)
        return -1;
    self->take = take;
    self->arg = arg;
    for (unsigned copies = 1; copies <= COPIES_MAX && !self->failed; copies++)
        s_with_copies (self, options->cluster, copies);
    int rc = self->failed ? -1 : 0;
    free (self);
    return rc;
}

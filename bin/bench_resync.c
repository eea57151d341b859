//  bin/bench_resync.c - a node is told all that another holds, at size and under load. See bench_lost.h.
//
//  One node is filled with blocks whose pages nobody ever touches (bench_blank.h). Then another node starts, becomes the
//  second owner of every key, and is told of them all. Meanwhile clients of the first put and get small
//  blocks, and get some of the many.
#include "bin/bench_lost.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bin/bench_blank.h"
#include "bin/bench_nodes.h"
#include "bin/bench_tally.h"
#include "bin/workload.h"
#include "client/umbp.h"
#include "cluster/topology.h"
#include "proto/splitmix.h"

#define PAGE 4096
#define SIZE UMBP_BENCH_BLANK_BYTES
#define GETS 32                         //  Blocks in a call
#define TIMEOUT_MS 30000
#define CALL_MS 5000                    //  Deadline of a call under load
#define QUIET_MS 3000                   //  Calls are measured for so long before
#define LIMIT_MS 480000
#define POLL_US 20000
#define KEY_MAX UMBP_BENCH_BLANK_KEY_MAX
#define SUSPECT_MS 5000                 //  As in the flags
#define OWN_MAX 4096                    //  Blocks that each client puts, gets and removes in turn

typedef struct self self_t;

typedef struct {
    self_t *self;
    uint64_t random;
    bool puts;
    pthread_t thread;
    umbp_histogram_t *calls[2];         //  ns: before, and while it is told
    uint64_t missed, failed, wrong;
    int error;                          //  The last one
} client_t;

struct self {
    uint64_t keys;
    umbp_bench_cluster_t cluster;
    umbp_talk_t *talk;
    client_t clients[2];
    atomic_int phase;                   //  0 before, 1 while it is told, 2 after
    double told_s, load_s;
    uint64_t entries, gap_ms, beats[2], bytes_max, suspects, accounts;
    const char *why;
};

static size_t s_key (char key[KEY_MAX], uint64_t number)
{
    return (size_t) snprintf (key, KEY_MAX, "many-%" PRIu64, number);
}

//  ------------------------------------------------------------------------------------------------
//  The many blocks

static bool s_load (self_t *self)
{
    uint64_t start_ns = umbp_bench_now_ns ();
    bool fine = umbp_bench_blank_make (self->talk, self->cluster.nodes[0].id, s_key, 0, self->keys);
    self->load_s = (double) (umbp_bench_now_ns () - start_ns) / 1e9;
    return fine;
}

static void s_flags (const self_t *self, char *flags, size_t size)
{
    snprintf (flags, size,
              "--dram-page 4KiB --dram-capacity %" PRIu64 " --dram-region 64GiB --dram-prefault=no "
              "--eviction-high 100 --eviction-low 99 --index-keys %" PRIu64
              " --cluster-suspect 5s --cluster-gone 15s",
              (self->keys + 4 * OWN_MAX) * PAGE, self->keys + 100000);
}

//  ------------------------------------------------------------------------------------------------
//  Load

static void s_note (client_t *client, int status)
{
    if (status == 0)
        return;
    client->missed += status == UMBP_ENOENT;
    client->failed += status != UMBP_ENOENT;
    client->error = status;
}

//  Put a block, get it, remove it: each a call
static void s_put_get (client_t *client, umbp_t *pool, umbp_histogram_t *calls, uint64_t number)
{
    char key[KEY_MAX];
    uint8_t block[1024], got[1024];
    snprintf (key, sizeof key, "own-%" PRIu64, number % OWN_MAX);
    umbp_workload_fill (number, block, sizeof block);
    for (int call = 0; call < 3; call++) {
        uint64_t start_ns = umbp_bench_now_ns ();
        long rc = call == 0   ? umbp_put (pool, key, block, sizeof block)
                  : call == 1 ? umbp_get (pool, key, got, sizeof got)
                              : umbp_remove (pool, key);
        umbp_histogram_add (calls, umbp_bench_now_ns () - start_ns);
        s_note (client, rc < 0 ? (int) rc : 0);
        client->wrong += call == 1 && rc > 0 && memcmp (block, got, sizeof block) != 0;
    }
}

//  Some of the many
static void s_get_many (client_t *client, umbp_t *pool, umbp_histogram_t *calls)
{
    char keys[GETS][KEY_MAX];
    uint8_t room[GETS * SIZE];
    umbp_item_t items[GETS];
    for (size_t index = 0; index < GETS; index++) {
        uint64_t number = umbp_splitmix (&client->random) % client->self->keys % 100000;
        items[index] = (umbp_item_t) { .key = { keys[index], s_key (keys[index], number) },
                                       .data = room + index * SIZE, .size = SIZE };
    }
    uint64_t start_ns = umbp_bench_now_ns ();
    umbp_get_batch (pool, items, GETS, CALL_MS);
    umbp_histogram_add (calls, umbp_bench_now_ns () - start_ns);
    for (size_t index = 0; index < GETS; index++)
        s_note (client, items[index].status);
}

static void *s_work (void *arg)
{
    client_t *client = arg;
    self_t *self = client->self;
    int err = 0;
    umbp_options_t how = { .endpoints = self->cluster.nodes[0].endpoint, .timeout_ms = CALL_MS };
    umbp_t *pool = umbp_connect (&how, &err);
    if (!pool)
        s_note (client, err);
    for (uint64_t number = 0; pool && self->phase < 2; number++) {
        umbp_histogram_t *calls = client->calls[self->phase == 1];
        if (client->puts)
            s_put_get (client, pool, calls, number);
        else
            s_get_many (client, pool, calls);
        usleep (500);                   //  Two cores are for all
    }
    umbp_close (&pool);
    return NULL;
}

//  ------------------------------------------------------------------------------------------------
//  Watching

static uint64_t s_gauge (self_t *self, const char *actor, size_t node, const char *name)
{
    char address[64];
    uint64_t value = 0;
    snprintf (address, sizeof address, "%s@%s", actor, self->cluster.nodes[node].id);
    if (umbp_bench_stat (self->talk, address, name, &value) != 0 && !self->why)
        self->why = "an actor did not say how it is";
    return value;
}

//  What must hold all the while, at both ends
static void s_look (self_t *self)
{
    static const char *const actors[] = { "registry", "index", "tier:dram", "router" };
    for (size_t node = 0; node < self->cluster.count; node++) {
        self->suspects += s_gauge (self, "registry", node, "members_suspect")
                          + s_gauge (self, "registry", node, "members_gone");
        uint64_t gap_ms = s_gauge (self, "registry", node, "beat_gap_ms_max");
        self->gap_ms = gap_ms > self->gap_ms ? gap_ms : self->gap_ms;
        for (size_t actor = 0; actor < sizeof actors / sizeof *actors; actor++) {
            uint64_t bytes = s_gauge (self, actors[actor], node, "message_bytes_max");
            self->bytes_max = bytes > self->bytes_max ? bytes : self->bytes_max;
        }
    }
}

static bool s_is_told (self_t *self)
{
    return s_gauge (self, "index", 1, "entries") >= self->keys
           && s_gauge (self, "index", 1, "members_untold") == 0
           && s_gauge (self, "tier:dram", 0, "accounts_waiting") == 0;
}

static void s_resync (self_t *self, const char *flags)
{
    usleep (QUIET_MS * 1000);           //  What is measured first
    uint64_t accounts = s_gauge (self, "tier:dram", 0, "accounts");
    self->phase = 1;
    uint64_t start_ns = umbp_bench_now_ns ();
    if (umbp_bench_cluster_add (&self->cluster, flags) != 0
        || umbp_bench_wait_members (self->talk, 2, TIMEOUT_MS) != 0) {
        self->why = "the second node did not start";
        return;
    }
    self->beats[0] = s_gauge (self, "registry", 0, "beats_received");
    uint64_t until_ns = start_ns + (uint64_t) LIMIT_MS * 1000000;
    while (!self->why && !s_is_told (self) && umbp_bench_now_ns () < until_ns) {
        s_look (self);
        usleep (POLL_US);
    }
    self->told_s = (double) (umbp_bench_now_ns () - start_ns) / 1e9;
    if (!self->why && !s_is_told (self))
        self->why = "the telling did not end";
    s_look (self);
    self->beats[1] = s_gauge (self, "registry", 0, "beats_received");
    self->entries = s_gauge (self, "index", 1, "entries");
    self->accounts = s_gauge (self, "tier:dram", 0, "accounts") - accounts;
}

static void s_run (self_t *self)
{
    char flags[256];
    int err;
    s_flags (self, flags, sizeof flags);
    if (umbp_bench_cluster_start (&self->cluster, 1, flags) != 0) {
        self->why = "the first node did not start";
        return;
    }
    self->talk = umbp_talk_new (self->cluster.nodes[0].endpoint, TIMEOUT_MS, &err);
    if (!self->talk || !s_load (self)) {
        self->why = "the blocks could not be made";
        return;
    }
    for (size_t index = 0; index < 2; index++) {
        client_t *client = &self->clients[index];
        *client = (client_t) { .self = self, .random = index + 1, .puts = index == 0 };
        client->calls[0] = umbp_histogram_new ();
        client->calls[1] = umbp_histogram_new ();
        if (!client->calls[0] || !client->calls[1]
            || pthread_create (&client->thread, NULL, s_work, client) != 0)
            abort ();                   //  Nothing can be measured without
    }
    s_resync (self, flags);
    self->phase = 2;
    for (size_t index = 0; index < 2; index++)
        pthread_join (self->clients[index].thread, NULL);
}

//  ------------------------------------------------------------------------------------------------
//  What came of it

static bool s_expect (bool right, const char *what)
{
    if (!right)
        fprintf (stderr, "umbp-bench: resync: WRONG: %s\n", what);
    return right;
}

static bool s_judge (const self_t *self)
{
    const client_t *puts = &self->clients[0], *gets = &self->clients[1];
    bool fine = s_expect (self->suspects == 0, "a member was suspected, or given up");
    fine = s_expect (puts->failed + gets->failed == 0, "a call failed") && fine;
    fine = s_expect (puts->missed + gets->missed == 0, "a block was missed") && fine;
    fine = s_expect (puts->wrong + gets->wrong == 0, "a byte was wrong") && fine;
    fine = s_expect (self->gap_ms < SUSPECT_MS, "heartbeats were as far apart as makes a suspect")
           && fine;
    fine = s_expect (self->bytes_max <= UMBP_MESSAGE_MAX, "a message was too large") && fine;
    return s_expect (self->beats[1] > self->beats[0], "no heartbeat came") && fine;
}

static void s_print (const self_t *self)
{
    printf ("resync of %" PRIu64 " blocks (made in %.1f s): told in %.2f s, %.0f keys/s, %" PRIu64
            " entries, %" PRIu64 " accounts begun\n",
            self->keys, self->load_s, self->told_s, (double) self->keys / self->told_s,
            self->entries, self->accounts);
    printf ("  longest time between heartbeats %" PRIu64 " ms, every 200 ms one is sent; %" PRIu64
            " came; largest message %" PRIu64 " bytes of %d\n",
            self->gap_ms, self->beats[1] - self->beats[0], self->bytes_max, UMBP_MESSAGE_MAX);
    for (size_t index = 0; index < 2; index++) {
        const client_t *client = &self->clients[index];
        printf ("  %s:", client->puts ? "put, get, remove of 1 KiB" : "get of 32 of the many");
        for (int phase = 0; phase < 2; phase++) {
            const umbp_histogram_t *calls = client->calls[phase];
            printf (" %s %" PRIu64 " calls, p50 %.2f p99 %.2f max %.2f ms;",
                    phase ? "meanwhile" : "before", umbp_histogram_count (calls),
                    (double) umbp_histogram_percentile (calls, 50) / 1e6,
                    (double) umbp_histogram_percentile (calls, 99) / 1e6,
                    (double) umbp_histogram_max (calls) / 1e6);
        }
        printf (" %" PRIu64 " missed, %" PRIu64 " failed (%d)\n", client->missed, client->failed,
                client->error);
    }
}

int umbp_bench_resync (const umbp_bench_options_t *options)
{
    self_t *self = calloc (1, sizeof *self);
    if (!self)
        return 1;
    self->keys = options->keys;
    s_run (self);
    umbp_talk_destroy (&self->talk);
    if (umbp_bench_cluster_stop (&self->cluster) != 0 && !self->why)
        self->why = "a node did not end well";
    if (self->why)
        fprintf (stderr, "umbp-bench: resync: %s\n", self->why);
    bool fine = !self->why;
    if (fine) {
        s_print (self);
        fine = s_judge (self);
    }
    for (size_t index = 0; index < 2; index++)
        for (int phase = 0; phase < 2; phase++)
            umbp_histogram_destroy (&self->clients[index].calls[phase]);
    free (self);
    return fine ? 0 : 1;
}

//  bin/bench_scale.c - the command scale of umbp-bench. See bench_scale.h.
//
//  Two parts: the members of all nodes, which beat to each other (bench_beats.h), and the ring and the index
//  tables of all nodes, filled with keys as their owners would have them.
#include "bin/bench_scale.h"

#include <czmq.h>
#include <jansson.h>

#include "actors/index_table.h"
#include "bin/bench_beats.h"
#include "bin/bench_messages.h"
#include "bin/bench_progress.h"
#include "cluster/ring.h"
#include "proto/key.h"
#include "proto/splitmix.h"

#define SUSPECT 3                       //  Intervals of silence; gone is an option
#define WAIT_MAX 40                     //  Intervals that nodes may take to agree, besides
#define COPIES 2
#define VNODES 150
#define KEY_SIZE 64
#define KEYS_AT_ONCE 256
#define REPEATS 5

typedef struct {
    const umbp_bench_options_t *options;
    json_t *rows;
    umbp_bench_progress_t progress;
    uint64_t steps;                     //  Done so far
    bool failed;
} self_t;

static double s_now_s (void)
{
    struct timespec now;
    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void s_row (self_t *self, const char *name, double value, const char *unit)
{
    json_array_append_new (
        self->rows, json_pack ("{s:s, s:f, s:s}", "name", name, "value", value, "unit", unit));
    if (!self->options->json) {
        printf ("%-52s %14.*f %s\n", name, value < 10 ? 2 : value < 1000 ? 1 : 0, value, unit);
        fflush (stdout);
    }
}

//  --------------------------------------------------------------------------------------------------
//  Members

static void s_costs (self_t *self, const char *when, umbp_bench_beats_tally_t tally, size_t nodes,
                     size_t intervals)
{
    static const struct {
        const char *what, *unit;
    } rows[] = { { "messages", "" }, { "bytes", "B" }, { "CPU", "us" } };
    double values[] = { (double) tally.messages, (double) tally.bytes, tally.cpu_s * 1e6 };
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++) {
        char name[96];
        snprintf (name, sizeof name, "%s: %s a node and interval", when, rows[index].what);
        s_row (self, name, values[index] / (double) nodes / (double) intervals, rows[index].unit);
    }
}

//  An interval of all nodes is done, or what takes as long
static void s_step (self_t *self, const char *what)
{
    umbp_bench_progress_show (&self->progress, ++self->steps, what);
}

//  Until all agree: how many intervals that took, and what it cost
static void s_agree (self_t *self, umbp_bench_beats_t *beats, const char *when, size_t nodes,
                     unsigned most)
{
    char name[96];
    unsigned intervals = 0;
    umbp_bench_beats_tally (beats);
    do {
        umbp_bench_beats_interval (beats);
        s_step (self, when);
        intervals++;
    } while (!umbp_bench_beats_agree (beats) && intervals < most);
    snprintf (name, sizeof name, "%s: intervals until all agree", when);
    s_row (self, name, intervals, "");
    s_costs (self, when, umbp_bench_beats_tally (beats), nodes, intervals);
    if (!umbp_bench_beats_agree (beats)) {
        fprintf (stderr, "umbp-bench: %s: the nodes do not agree after %u intervals\n", when, most);
        self->failed = true;
    }
}

//  What each push of the topology costs the registry, and each actor that it is told
static void s_topology (self_t *self, umbp_bench_beats_t *beats)
{
    const uint8_t *wire;
    size_t size = 0;
    double start = s_now_s (), made, used;
    for (int times = 0; times < REPEATS; times++)
        size = umbp_bench_beats_topology (beats, 0, &wire);
    made = s_now_s ();
    for (int times = 0; times < REPEATS; times++) {
        umbp_msg_t msg;
        int rc = umbp_msg_decode (&msg, wire, size);
        umbp_topology_t *topology = rc > 0 ? umbp_topology_new (&msg.topology_ok) : NULL;
        self->failed = self->failed || !topology;
        umbp_topology_destroy (&topology);
    }
    used = s_now_s ();
    umbp_msg_t msg;
    int rc = umbp_msg_decode (&msg, wire, size);
    umbp_topology_t *former = rc > 0 ? umbp_topology_new (&msg.topology_ok) : NULL;
    double start_again = s_now_s ();
    for (int times = 0; times < REPEATS && former; times++) {
        rc = umbp_msg_decode (&msg, wire, size);
        umbp_topology_t *again = rc > 0 ? umbp_topology_renew (former, &msg.topology_ok) : NULL;
        umbp_topology_destroy (&former);
        former = again;
    }
    double again_s = s_now_s () - start_again;
    self->failed = self->failed || !former;
    umbp_topology_destroy (&former);
    s_row (self, "topology: bytes to each actor", (double) size, "B");
    s_row (self, "topology: CPU to make it", (made - start) / REPEATS * 1e6, "us");
    s_row (self, "topology: CPU to take it again", again_s / REPEATS * 1e6, "us");
    s_row (self, "topology: CPU to take it, with a new ring", (used - made) / REPEATS * 1e6, "us");
}

static void s_members (self_t *self)
{
    const umbp_bench_options_t *options = self->options;
    size_t early = options->nodes - options->joins;
    unsigned gone = (unsigned) options->gone;
    umbp_bench_beats_t *beats = umbp_bench_beats_new (SUSPECT, gone, options->seed);
    for (size_t number = 0; number < early; number++)
        umbp_bench_beats_add (beats);
    umbp_bench_progress_start (&self->progress, 3 + options->intervals + gone);
    umbp_bench_beats_meet (beats);
    s_step (self, "all have met");
    umbp_bench_beats_tally (beats);
    for (uint64_t interval = 0; interval < options->intervals; interval++) {
        umbp_bench_beats_interval (beats);
        s_step (self, "quiet");
    }
    self->failed = self->failed || !umbp_bench_beats_agree (beats);
    s_costs (self, "quiet", umbp_bench_beats_tally (beats), early, options->intervals);
    s_topology (self, beats);

    if (options->joins > 0) {
        char when[48];
        snprintf (when, sizeof when, "%zu join", (size_t) options->joins);
        for (uint64_t number = 0; number < options->joins; number++)
            umbp_bench_beats_add (beats);
        s_agree (self, beats, when, options->nodes, WAIT_MAX);
    }
    umbp_bench_beats_kill (beats, options->nodes / 2);
    s_agree (self, beats, "one dies", options->nodes - 1, gone + WAIT_MAX);
    umbp_bench_progress_end (&self->progress, self->steps, "members are done");
    umbp_bench_beats_destroy (&beats);
}

//  --------------------------------------------------------------------------------------------------
//  Keys

typedef struct {
    umbp_ring_t *ring, *less;           //  Of all nodes; without the first
    umbp_index_table_t *tables[UMBP_NODES_MAX];
    uint64_t entries, moved;            //  Of the moved: other owners without the first node
    double ring_s, fill_s;
} keys_t;

//  Of the nodes from first on, as a topology makes it
static umbp_ring_t *s_ring (const self_t *self, size_t first)
{
    static char names[UMBP_NODES_MAX][32];
    const char *ids[UMBP_NODES_MAX];
    uint16_t members[UMBP_NODES_MAX];
    size_t count = 0;
    for (size_t number = first; number < self->options->nodes; number++) {
        snprintf (names[number], sizeof names[number], "host-%04u-7710", (unsigned) number);
        ids[count] = names[number];
        members[count++] = (uint16_t) number;
    }
    umbp_ring_t *ring = umbp_ring_new (UMBP_RING_MIXED, VNODES);
    int rc = umbp_ring_add_all (ring, ids, members, count);
    assert (rc == 0);
    return ring;
}

static void s_rings (self_t *self, keys_t *keys)
{
    double start = s_now_s ();
    keys->ring = s_ring (self, 0);
    keys->ring_s = s_now_s () - start;
    keys->less = s_ring (self, 1);
}

//  The owners of one key get its entry. Returns false if a table is full.
static bool s_file (keys_t *keys, const uint8_t *key, uint64_t position, uint16_t holder)
{
    uint16_t owners[COPIES], others[COPIES];
    umbp_fingerprint_t print = umbp_fingerprint (key, KEY_SIZE, 1);
    umbp_place_t place = { .node = holder, .tier = UMBP_TIER_DRAM, .size = 1 << 20, .sum = 1 };
    size_t count = umbp_ring_walk (keys->ring, position, COPIES, NULL, owners);
    size_t left = umbp_ring_walk (keys->less, position, COPIES, NULL, others);
    for (size_t index = 0; index < count; index++) {
        if (umbp_index_table_add (keys->tables[owners[index]], &print, &place) < 0)
            return false;
        keys->entries++;
    }
    for (size_t index = 0; index < left; index++) {
        bool had = false;
        for (size_t other = 0; other < count; other++)
            had = had || owners[other] == others[index];
        keys->moved += !had;
    }
    return true;
}

//  Many keys at once, as the router has them
static bool s_fill (self_t *self, keys_t *keys)
{
    uint64_t random = self->options->seed;
    uint8_t room[KEYS_AT_ONCE][KEY_SIZE + 1];
    const uint8_t *list[KEYS_AT_ONCE];
    uint16_t sizes[KEYS_AT_ONCE];
    uint64_t positions[KEYS_AT_ONCE];
    for (uint64_t done = 0; done < self->options->keys; done += KEYS_AT_ONCE) {
        uint64_t left = self->options->keys - done;
        size_t count = left < KEYS_AT_ONCE ? (size_t) left : KEYS_AT_ONCE;
        for (size_t index = 0; index < count; index++) {
            for (size_t at = 0; at < KEY_SIZE; at += 16)
                snprintf ((char *) room[index] + at, 17, "%016" PRIx64, umbp_splitmix (&random));
            list[index] = room[index];
            sizes[index] = KEY_SIZE;
        }
        double start = s_now_s ();
        umbp_ring_positions (keys->ring, list, sizes, count, positions);
        for (size_t index = 0; index < count; index++) {
            uint16_t holder = (uint16_t) (umbp_splitmix (&random) % self->options->nodes);
            if (!s_file (keys, list[index], positions[index], holder))
                return false;
        }
        keys->fill_s += s_now_s () - start;
        umbp_bench_progress_show (&self->progress, done + count, "keys");
    }
    return true;
}

static void s_say_keys (self_t *self, const keys_t *keys)
{
    double count = (double) self->options->keys, nodes = (double) self->options->nodes;
    size_t bytes = 0, least = SIZE_MAX, most = 0;
    for (uint64_t number = 0; number < self->options->nodes; number++) {
        size_t entries = umbp_index_table_count (keys->tables[number]);
        bytes += umbp_index_table_bytes (keys->tables[number]);
        least = entries < least ? entries : least;
        most = entries > most ? entries : most;
    }
    s_row (self, "ring: CPU to make it", keys->ring_s * 1e6, "us");
    s_row (self, "index: bytes a key, in the whole cluster", (double) bytes / count, "B");
    s_row (self, "index: bytes an entry", (double) bytes / (double) keys->entries, "B");
    s_row (self, "index: memory of a node, mean", (double) bytes / nodes / 1024, "KiB");
    s_row (self, "index: entries of a node, mean", (double) keys->entries / nodes, "");
    s_row (self, "index: fewest, of the mean", (double) least * nodes / (double) keys->entries, "");
    s_row (self, "index: most, of the mean", (double) most * nodes / (double) keys->entries, "");
    s_row (self, "index: CPU to place and file a key", keys->fill_s / count * 1e6, "us");
    s_row (self, "one dies: entries to be told anew, of all",
           (double) keys->moved / (double) keys->entries * 100, "%");
}

static void s_keys (self_t *self)
{
    keys_t *keys = zmalloc (sizeof (keys_t));
    bool fine = true;
    s_rings (self, keys);
    for (uint64_t number = 0; number < self->options->nodes && fine; number++) {
        keys->tables[number] = umbp_index_table_new (64 << 20);
        fine = keys->tables[number] != NULL;
    }
    umbp_bench_progress_start (&self->progress, self->options->keys);
    fine = fine && s_fill (self, keys);
    umbp_bench_progress_end (&self->progress, fine ? self->options->keys : 0, "keys are done");
    if (fine)
        s_say_keys (self, keys);
    else
        fprintf (stderr, "umbp-bench: no memory for the index: take fewer --keys\n");
    self->failed = self->failed || !fine;
    for (uint64_t number = 0; number < self->options->nodes; number++)
        umbp_index_table_destroy (&keys->tables[number]);
    umbp_ring_destroy (&keys->ring);
    umbp_ring_destroy (&keys->less);
    free (keys);
}

static void s_take (void *arg, const char *name, double value)
{
    s_row (arg, name, value, "");
}

int umbp_bench_scale (const umbp_bench_options_t *options)
{
    self_t self = { .options = options, .rows = json_array () };
    zsys_set_logstream (NULL);          //  Who joins whom, a million times
    if (!options->json)
        printf ("%zu nodes, of which %zu join; %zu keys; seed %zu\n", (size_t) options->nodes,
                (size_t) options->joins, (size_t) options->keys, (size_t) options->seed);
    s_members (&self);
    s_keys (&self);
    if (options->cluster > 0)
        self.failed |= umbp_bench_messages (options, s_take, &self) < 0;
    if (options->json) {
        json_dumpf (self.rows, stdout, JSON_INDENT (2));
        puts ("");
    }
    json_decref (self.rows);
    return self.failed ? 1 : 0;
}

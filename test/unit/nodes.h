//  test/unit/nodes.h - a small cluster inside a test: nodes of this process, found through seeds,
//  with doors in a folder of their own, and clients of them.
#ifndef UMBP_TEST_NODES_H
#define UMBP_TEST_NODES_H

#include "actors/umbp_node.h"
#include "client/pool.h"
#include "cluster/bulk/clock.h"
#include "proto/splitmix.h"
#include "test/unit/loopback.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NODES_MAX 3
#define PAGE 4096

//  Of random numbers
static inline uint64_t nodes_seed (const char *test)
{
    const char *text = getenv ("UMBP_SEED");
    uint64_t seed =
        text ? strtoull (text, NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("[%s seed=%llu] ", test, (unsigned long long) seed);
    return seed;
}

typedef struct {
    umbp_node_t *nodes[NODES_MAX];
    umbp_node_options_t options[NODES_MAX];
    size_t count;
    char run_dir[64];
} nodes_t;

typedef enum { WITH_DOORS, WITHOUT_DOORS } doors_t;

static inline void nodes_options (nodes_t *self, size_t number, doors_t doors, uint64_t dram_bytes)
{
    umbp_node_options_t *options = &self->options[number];
    umbp_node_options_init (options);
    snprintf (options->node, sizeof options->node, "node-%zu", number);
    snprintf (options->cluster, sizeof options->cluster, "test-%d", (int) getpid ());
    if (doors == WITH_DOORS)
        snprintf (options->run_dir, sizeof options->run_dir, "%s", self->run_dir);
    if (number > 0)
        snprintf (options->seeds, sizeof options->seeds, "%s", umbp_node_endpoint (self->nodes[0]));
    options->heartbeat_ms = 50;
    options->suspect_ms = 10000;        //  Nobody here falls silent but by a busy machine
    options->gone_ms = 40000;
    options->dram_bytes = dram_bytes;
    options->region_bytes = dram_bytes / 2;
    options->page_bytes = PAGE;
    options->index_keys = 100000;
    options->kv_hashes = 10000;
    options->log_level = 1;
}

//  A client of one of the nodes. inproc or tcp; NULL if it cannot connect.
static inline umbp_t *nodes_connect (const nodes_t *self, size_t number, umbp_options_t options)
{
    if (!options.endpoints)
        options.endpoints = umbp_node_endpoint_inproc (self->nodes[number]);
    return umbp_connect (&options, NULL);
}

//  How many nodes are in the ring that a client was told of
static inline size_t nodes_in_ring (const umbp_t *pool)
{
    return umbp_ring_node_count (umbp_topology_ring (pool->cluster->topology));
}

//  Wait until all nodes see each other in the ring and take blocks
static inline bool nodes_meet (const nodes_t *self)
{
    int64_t deadline_ms = umbp_clock_ms () + 60000;
    for (size_t number = 0; number < self->count && umbp_clock_ms () < deadline_ms;) {
        umbp_t *pool = nodes_connect (self, number, (umbp_options_t) { .no_shm = true });
        number += pool && nodes_in_ring (pool) == self->count
                  && umbp_put (pool, "are you there", "yes", 3) == 0
                  && umbp_remove (pool, "are you there") == 0;
        umbp_close (&pool);
    }
    return umbp_clock_ms () < deadline_ms;
}

//  A node where its options say, or where it was. Who was there may still be about to go: then we
//  look whether anybody answers, and try again.
static inline umbp_node_t *nodes_again (const umbp_node_options_t *options)
{
    umbp_options_t how = { .endpoints = options->listen, .timeout_ms = 50, .no_shm = true };
    umbp_node_t *node = umbp_node_new (options, NULL);
    for (int64_t deadline_ms = umbp_clock_ms () + 20000; !node && umbp_clock_ms () < deadline_ms;) {
        umbp_t *pool = umbp_connect (&how, NULL);
        umbp_close (&pool);
        node = umbp_node_new (options, NULL);
    }
    return node;
}

//  On a port of its own, below those that the system gives to sockets that want any
static inline umbp_node_t *nodes_new (umbp_node_options_t *options)
{
    static unsigned number;
    snprintf (options->listen, sizeof options->listen, "tcp://%s:%u", loopback_host (),
              20000 + number++);
    return nodes_again (options);
}

static inline void nodes_stop (nodes_t *self)
{
    for (size_t number = self->count; number-- > 0;)
        umbp_node_destroy (&self->nodes[number]);
    rmdir (self->run_dir);
}

//  Returns false, with nothing left running, if they do not find each other
static inline bool nodes_start (nodes_t *self, size_t count, doors_t doors, uint64_t dram_bytes)
{
    *self = (nodes_t) { .count = count };
    snprintf (self->run_dir, sizeof self->run_dir, "/tmp/umbp-test-XXXXXX");
    bool fine = mkdtemp (self->run_dir) != NULL;
    for (size_t number = 0; fine && number < count; number++) {
        nodes_options (self, number, doors, dram_bytes);
        self->nodes[number] = nodes_new (&self->options[number]);
        fine = self->nodes[number] != NULL;
    }
    fine = fine && nodes_meet (self);
    if (!fine)
        nodes_stop (self);
    return fine;
}

//  The bytes of the block under a number
static inline void nodes_fill (void *out, size_t size, uint64_t number)
{
    uint8_t *bytes = out;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = umbp_splitmix (&number);
        memcpy (bytes + at, &word, size - at < 8 ? size - at : 8);
    }
}

static inline bool nodes_is_filled (const void *data, size_t size, uint64_t number)
{
    const uint8_t *bytes = data;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = umbp_splitmix (&number);
        if (memcmp (bytes + at, &word, size - at < 8 ? size - at : 8) != 0)
            return false;
    }
    return true;
}

#endif

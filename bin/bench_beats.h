//  bin/bench_beats.h - the members of many nodes in one thread. Each node is the real value with the rules
//  of membership (actors/members.h) and the real memory of places to try (actors/probes.h); their
//  beats are real messages, encoded, checked and decoded, which are handed over in memory at once
//  instead of through sockets. What is said to whom follows actors/registry.c. Time is an interval
//  (a heartbeat) at a time, and costs nothing.
//
//  A value: no threads, nothing blocks. Memory: about 1.3 KiB for each pair of nodes.
#ifndef UMBP_BENCH_BEATS_H
#define UMBP_BENCH_BEATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actors/members.h"

typedef struct umbp_bench_beats umbp_bench_beats_t;

typedef struct {
    uint64_t messages, bytes;           //  Beats and answers, as their senders encoded them
    double cpu_s;                       //  Of all nodes
} umbp_bench_beats_tally_t;

//  No node yet. suspect and gone are in intervals, seed chooses whom a new node knows.
umbp_bench_beats_t *umbp_bench_beats_new (unsigned suspect, unsigned gone, uint64_t seed);
void umbp_bench_beats_destroy (umbp_bench_beats_t **self_p);

//  One more node, which knows one that is up, if there is any. Returns its number. At most
//  UMBP_NODES_MAX in all.
size_t umbp_bench_beats_add (umbp_bench_beats_t *self);

//  The nodes that are up meet each other, as if they had been up for long
void umbp_bench_beats_meet (umbp_bench_beats_t *self);

//  It is silent from now on
void umbp_bench_beats_kill (umbp_bench_beats_t *self, size_t number);

//  It ends and begins again, as another incarnation that knows one node that is up; if it moves, at
//  another endpoint
void umbp_bench_beats_restart (umbp_bench_beats_t *self, size_t number, bool moves);

//  It takes leave of all that are up, and is silent from now on
void umbp_bench_beats_leave (umbp_bench_beats_t *self, size_t number);

//  Sees each beat and answer before it is sent, and may change it; returns false if it is lost on its
//  way. NULL: nothing is.
typedef bool (umbp_bench_beats_fn) (void *arg, size_t from, size_t to, umbp_msg_beat_t *beat);
void umbp_bench_beats_filter (umbp_bench_beats_t *self, umbp_bench_beats_fn *filter, void *arg);

//  One interval goes by: every node that is up beats, answers, and judges
void umbp_bench_beats_interval (umbp_bench_beats_t *self);

//  Whether all nodes that are up see just these, and the same topology
bool umbp_bench_beats_agree (const umbp_bench_beats_t *self);

//  Since the last call
umbp_bench_beats_tally_t umbp_bench_beats_tally (umbp_bench_beats_t *self);

//  What one node sees, good until the next call
const umbp_members_t *umbp_bench_beats_members (const umbp_bench_beats_t *self, size_t number);

//  The topology as that node tells its actors, encoded. Returns how many bytes; good until the next
//  call.
size_t umbp_bench_beats_topology (umbp_bench_beats_t *self, size_t number, const uint8_t **wire);

#endif

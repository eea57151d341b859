//  bin/bench_lost.h - the commands lost and resync of umbp-bench: what happens to others when a node is
//  lost, and while one is told all that another holds. Both start nodes of their own.
#ifndef UMBP_BENCH_LOST_H
#define UMBP_BENCH_LOST_H

#include "bin/bench_options.h"
#include "bin/bench_suite.h"

//  Kill one of three nodes that hold options->keys blocks, while a client of each other asks for all that
//  live elsewhere. Prints what it saw. Returns the exit status: 1 if a block was missed, or could not be
//  asked for once the loss was known, or a byte was wrong.
int umbp_bench_lost (const umbp_bench_options_t *options);

//  The same as a part of the suite: bench_suite.h
void umbp_bench_lost_rows (umbp_bench_suite_t *suite);

//  A node starts anew while another has options->keys blocks to tell it of, and others put and get there.
//  Prints what it saw. Returns the exit status: 1 if a member was suspected, a call failed, a block was
//  missed, a message was too large, or the telling did not end.
int umbp_bench_resync (const umbp_bench_options_t *options);

#endif

//  bin/bench_messages.h - how many messages a put and a get take: counted by the actors of a small cluster of real
//  nodes on loopback, in which one client does one thing at a time.
#ifndef UMBP_BENCH_MESSAGES_H
#define UMBP_BENCH_MESSAGES_H

#include "bin/bench_options.h"

//  Called with each result
typedef void (umbp_bench_messages_fn) (void *arg, const char *name, double value);

//  With options->cluster nodes, once for each number of index copies from 1 to 3. Returns 0, or -1
//  after saying why not. Takes some seconds.
int umbp_bench_messages (const umbp_bench_options_t *options, umbp_bench_messages_fn *take,
                         void *arg);

#endif

//  bin/bench_progress.h - how far a long run is: on a terminal one line that is drawn again and
//  again, elsewhere a line for each tenth. Goes to stderr.
#ifndef UMBP_BENCH_PROGRESS_H
#define UMBP_BENCH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t total, start_ns, drawn_ns;
    unsigned tenth;                     //  The last that was told
    bool terminal;
} umbp_bench_progress_t;

void umbp_bench_progress_start (umbp_bench_progress_t *self, uint64_t total);

//  So much is done; note is what else there is to say, a few words. Draws only if it is time to.
void umbp_bench_progress_show (umbp_bench_progress_t *self, uint64_t done, const char *note);

//  Leave the line
void umbp_bench_progress_end (umbp_bench_progress_t *self, uint64_t done, const char *note);

#endif

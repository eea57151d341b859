//  bin/bench_progress.c - a progress bar, see bench_progress.h
#include "bin/bench_progress.h"

#include <stdio.h>
#include <unistd.h>

#include "bin/bench_tally.h"
#include "bin/view.h"

#define REDRAW_NS 100000000
#define CELLS 30

void umbp_bench_progress_start (umbp_bench_progress_t *self, uint64_t total)
{
    *self = (umbp_bench_progress_t){ .total = total ? total : 1,
                                     .start_ns = umbp_bench_now_ns (),
                                      .terminal = isatty (STDERR_FILENO) };
}

static void s_draw (const umbp_bench_progress_t *self, uint64_t done, const char *note)
{
    char bar[3 * CELLS + 1];
    double percent = umbp_view_percent (done, self->total);
    double seconds = (double) (umbp_bench_now_ns () - self->start_ns) / 1e9;
    if (self->terminal)
        fprintf (stderr, "\r\033[K  %s %3.0f %%  %.1f s  %s", umbp_view_bar (percent, CELLS, bar),
                 percent, seconds, note);
    else
        fprintf (stderr, "  %3.0f %%  %6.1f s  %s\n", percent, seconds, note);
    fflush (stderr);
}

void umbp_bench_progress_show (umbp_bench_progress_t *self, uint64_t done, const char *note)
{
    uint64_t now_ns = umbp_bench_now_ns ();
    unsigned tenth = (unsigned) (10 * done / self->total);
    bool due =
        self->terminal ? now_ns >= self->drawn_ns + REDRAW_NS : tenth > self->tenth && tenth < 10;
    if (!due)
        return;
    self->drawn_ns = now_ns;
    self->tenth = tenth;
    s_draw (self, done, note);
}

void umbp_bench_progress_end (umbp_bench_progress_t *self, uint64_t done, const char *note)
{
    s_draw (self, done, note);
    if (self->terminal)
        fputc ('\n', stderr);
}

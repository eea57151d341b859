//  bin/umbp-bench.c - measures a pool: closed loops of calls, the replay of a workload, and a suite
//  that compares with what a pool cannot beat. See umbp-bench help.
//
//  Exit status: 0, 1 if a byte was wrong or the run failed, 2 if it was asked for wrongly.
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bin/bench_log.h"
#include "bin/bench_loop.h"
#include "bin/bench_lost.h"
#include "bin/bench_options.h"
#include "bin/bench_policy.h"
#include "bin/bench_replay.h"
#include "bin/bench_scale.h"
#include "bin/bench_suite.h"

#define EXIT_USAGE 2

int main (int argc, char **argv)
{
    umbp_bench_options_t options;
    char error[256];
    const char *command = argc > 1 ? argv[1] : "help";
    if (strcmp (command, "help") == 0 || strcmp (command, "--help") == 0) {
        umbp_bench_options_help (stdout);
        return argc > 1 ? 0 : EXIT_USAGE;
    }
    if (umbp_bench_options_init (&options, command) < 0) {
        fprintf (stderr, "umbp-bench: %s: no such command; umbp-bench help tells all\n", command);
        return EXIT_USAGE;
    }
    if (umbp_bench_options_read (&options, command, argc - 2, argv + 2, error, sizeof error) < 0) {
        fprintf (stderr, "umbp-bench: %s\n", error);
        return EXIT_USAGE;
    }
    signal (SIGPIPE, SIG_IGN);
    setvbuf (stdout, NULL, _IOLBF, 0);
    if (strcmp (command, "replay") == 0)
        return umbp_bench_replay (&options);
    if (strcmp (command, "policy") == 0)
        return umbp_bench_policy (&options);
    if (strcmp (command, "scale") == 0)
        return umbp_bench_scale (&options);
    if (strcmp (command, "log") == 0)
        return umbp_bench_log (&options);
    if (strcmp (command, "lost") == 0)
        return umbp_bench_lost (&options);
    if (strcmp (command, "resync") == 0)
        return umbp_bench_resync (&options);
    if (strcmp (command, "suite") == 0)
        return umbp_bench_suite (&options);
    return umbp_bench_loop (command, &options);
}

//  test/metrics/print_metrics.c - writes doc/metrics.md from the table in actors/metrics.c. See check.sh.
#include <stdio.h>
#include <string.h>

#include "actors/metrics.h"
#include "cluster/latency.h"

static const char s_preface[] =
    "# Metrics\n"
    "\n"
    "What `/metrics` of a node says (see [operations.md](operations.md), Gateway), and `umbp-console\n"
    "stat`, under the names in the second column. test/metrics/check.sh writes this page from\n"
    "actors/metrics.c: change that, then run\n"
    "\n"
    "    test/metrics/check.sh write\n"
    "\n"
    "Counters start at 0 with the node; their samples end in `_total`. What tiers report has the label\n"
    "`tier`.\n"
    "\n"
    "## The node\n"
    "\n"
    "| metric | kind | labels | |\n"
    "|---|---|---|---|\n"
    "| `umbp_node` | info | node, protocol | which node this is |\n"
    "| `umbp_actor_up` | gauge | actor | 1: it answered within the last 10 s |\n"
    "| `umbp_actor_silence_seconds` | gauge | actor | age of what the page says of it |\n"
    "| `umbp_members` | gauge | state | members of the cluster: alive, suspect |\n"
    "| `umbp_ring_members` | gauge | | members on the ring |\n"
    "| `umbp_ring_copies` | gauge | | nodes that keep the index entries of a key |\n"
    "| `umbp_node_in_ring` | gauge | | 1: this node is on the ring |\n"
    "| `umbp_topology_settled` | gauge | | 1: all members work with the same ring |\n"
    "| `umbp_errors` | counter | actor, error | answers given with this error as a whole |\n"
    "| `umbp_messages` | counter | actor, message | messages that came and were no answers, by name |\n"
    "| `umbp_request_seconds` | histogram | actor, operation, path | from the arrival of a request at "
    "an actor to its answer |\n"
    "\n";

static const char s_paths[] =
    "A request comes by one of three paths: `door`, from a client of this host; `link`, from another\n"
    "node, or a client over TCP or inproc; `actor`, from an actor of this node. Its operation is the\n"
    "name of its message: `get`, `put`, `exists`, `remove` of the router; `lease`, `reserve`,\n"
    "`commit`, `store` of a tier; `lookup`, `change` of the index; and all others that are answered.\n";

static void s_print_actor (const char *actor, const char *title)
{
    size_t count;
    const umbp_metric_t *metrics = umbp_metrics (&count);
    printf ("\n## %s\n\n| metric | name | kind | |\n|---|---|---|---|\n", title);
    for (size_t row = 0; row < count; row++) {
        char family[UMBP_METRIC_NAME_MAX];
        const char *unit;
        double scale;
        if (strcmp (metrics[row].actor, actor) != 0)
            continue;
        umbp_metric_family (*actor == '*' ? "ACTOR" : actor, metrics[row].name, family, &unit,
                            &scale);
        printf ("| `%s` | `%s` | %s | %s |\n", family, metrics[row].name,
                metrics[row].kind == UMBP_METRIC_COUNTER ? "counter" : "gauge", metrics[row].help);
    }
}

int main (void)
{
    size_t count;
    const umbp_metric_t *metrics = umbp_metrics (&count);
    fputs (s_preface, stdout);
    fputs (s_paths, stdout);
    printf ("Its buckets end at %g us, and double up to %g s.\n",
            (double) umbp_latency_bound_us (0),
            (double) umbp_latency_bound_us (UMBP_LATENCY_BUCKETS - 2) * 1e-6);
    s_print_actor ("*", "Every actor");
    for (size_t row = 0; row < count; row++)
        if (strcmp (metrics[row].actor, "*") != 0
            && (row == 0 || strcmp (metrics[row].actor, metrics[row - 1].actor) != 0))
            s_print_actor (metrics[row].actor, metrics[row].actor);
    return fflush (stdout) != 0;
}

//  bin/bench_policy.c - a table of hit ratios by policy and size of the cache, see bench_policy.h
#include "bin/bench_policy.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "bin/policy_sim.h"
#include "bin/view.h"

#define HIT_ITEMS 100000                //  Blocks among which hits are timed
#define HITS 2000000
#define HIT_ROUNDS 5                    //  The fastest counts: others compute here too
#define BELADY "belady"

static const double s_percents[] = { 1, 2.5, 5, 10, 20, 40 };

#define SIZES (sizeof s_percents / sizeof *s_percents)

static umbp_workload_t *s_open (const umbp_bench_options_t *options, char *error, size_t size)
{
    if (*options->trace)
        return umbp_workload_new_trace (options->trace, error, size);
    umbp_talks_t talks = UMBP_TALKS_DEFAULT;
    talks.seed = options->seed;
    talks.requests = options->requests;
    talks.talks = (uint32_t) options->talks;
    return umbp_workload_new_talks (&talks, error, size);
}

static double s_percent (uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double) part / (double) whole : 0;
}

static double s_hit_ns (const char *policy)
{
    double least = 0;
    for (int round = 0; round < HIT_ROUNDS; round++) {
        double ns = umbp_sim_hit_ns (policy, HIT_ITEMS, HITS);
        least = round == 0 || ns < least ? ns : least;
    }
    return least;
}

//  What a policy makes of each size
static json_t *s_row (const umbp_sim_t *sim, const char *policy)
{
    bool belady = strcmp (policy, BELADY) == 0;
    json_t *row = json_object (), *prefix = json_array (), *blocks = json_array (),
           *orphans = json_array ();
    for (size_t size = 0; size < SIZES; size++) {
        umbp_sim_result_t result = { 0 };
        double share = s_percents[size] / 100 * umbp_sim_distinct (sim);
        uint32_t capacity = share < 1 ? 1 : (uint32_t) share;
        if (belady)
            umbp_sim_belady (sim, capacity, &result);
        else
            umbp_sim_run (sim, policy, capacity, &result);
        json_array_append_new (prefix, json_real (s_percent (result.prefix, result.blocks)));
        json_array_append_new (blocks, json_real (s_percent (result.hits, result.blocks)));
        json_array_append_new (orphans, json_real (100 * result.orphans));
    }
    json_object_set_new (row, "policy", json_string (policy));
    json_object_set_new (row, "prefix_hit_percent", prefix);
    json_object_set_new (row, "block_hit_percent", blocks);
    json_object_set_new (row, "orphan_percent", orphans);
    json_object_set_new (row, "hit_ns", belady ? json_null () : json_real (s_hit_ns (policy)));
    return row;
}

static void s_line (const json_t *row, const char *column)
{
    const json_t *values = json_object_get (row, column);
    printf ("  %-8s", json_string_value (json_object_get (row, "policy")));
    for (size_t size = 0; size < SIZES; size++)
        printf (" %7.2f", json_real_value (json_array_get (values, size)));
    putchar ('\n');
}

static void s_table (const json_t *rows, const char *what, const char *column)
{
    printf ("\n%s\n  %-8s", what, "cache");
    for (size_t size = 0; size < SIZES; size++)
        printf (" %5.3g %%", s_percents[size]);
    putchar ('\n');
    for (size_t index = 0; index < json_array_size (rows); index++)
        s_line (json_array_get (rows, index), column);
}

static void s_show (const json_t *doc)
{
    const json_t *rows = json_object_get (doc, "policies");
    printf ("%" PRId64 " requests for %" PRId64 " blocks, of which %" PRId64
            " are different; sizes of caches "
            "are shares of these\n",
            (int64_t) json_integer_value (json_object_get (doc, "requests")),
            (int64_t) json_integer_value (json_object_get (doc, "blocks")),
            (int64_t) json_integer_value (json_object_get (doc, "distinct")));
    s_table (rows, "Hits in an unbroken prefix, % of all blocks", "prefix_hit_percent");
    s_table (rows, "Hits, % of all blocks", "block_hit_percent");
    s_table (rows, "Orphans: blocks there whose parent has left, %, mean", "orphan_percent");
    printf ("\nA hit, at random among %d blocks, with the hash that picks it\n", HIT_ITEMS);
    for (size_t index = 0; index < json_array_size (rows); index++) {
        const json_t *row = json_array_get (rows, index), *ns = json_object_get (row, "hit_ns");
        if (json_is_real (ns))
            printf ("  %-8s %7.1f ns\n", json_string_value (json_object_get (row, "policy")),
                    json_real_value (ns));
    }
    puts ("\nbelady knows the future: who is used again last leaves, the deepest first");
}

int umbp_bench_policy (const umbp_bench_options_t *options)
{
    char error[256] = "";
    umbp_workload_t *workload = s_open (options, error, sizeof error);
    umbp_sim_t *sim =
        workload ? umbp_sim_new (workload, options->requests, error, sizeof error) : NULL;
    umbp_workload_destroy (&workload);
    if (!sim) {
        fprintf (stderr, "umbp-bench: workload: %s\n", error);
        return 1;
    }
    umbp_sim_result_t all;
    umbp_sim_run (sim, "lru", umbp_sim_distinct (sim), &all);
    json_t *doc = json_object (), *rows = json_array ();
    json_object_set_new (doc, "command", json_string ("policy"));
    json_object_set_new (doc, "requests", umbp_view_number (all.requests));
    json_object_set_new (doc, "blocks", umbp_view_number (all.blocks));
    json_object_set_new (doc, "distinct", umbp_view_number (umbp_sim_distinct (sim)));
    json_object_set_new (doc, "most_percent", json_real (s_percent (all.prefix, all.blocks)));
    json_t *percents = json_array ();
    for (size_t size = 0; size < SIZES; size++)
        json_array_append_new (percents, json_real (s_percents[size]));
    json_object_set_new (doc, "cache_percent", percents);
    json_object_set_new (doc, "policies", rows);
    json_array_append_new (rows, s_row (sim, BELADY));
    for (size_t number = 0; umbp_policy_name (number); number++)
        json_array_append_new (rows, s_row (sim, umbp_policy_name (number)));
    if (options->json) {
        json_dumpf (doc, stdout, JSON_INDENT (2) | JSON_REAL_PRECISION (6));
        putchar ('\n');
    } else
        s_show (doc);
    json_decref (doc);
    umbp_sim_destroy (&sim);
    return 0;
}

//  bin/bench_tally.c - what a bench counts, see bench_tally.h
#include "bin/bench_tally.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "bin/units.h"
#include "bin/view.h"

static const char *const s_ops[UMBP_BENCH_OPS] = { "put", "get", "exists" };

static const struct {
    const char *name;
    double percent;
} s_percentiles[] = { { "p50", 50 }, { "p90", 90 }, { "p99", 99 }, { "p999", 99.9 } };

#define PERCENTILES (sizeof s_percentiles / sizeof *s_percentiles)

void umbp_bench_tally_init (umbp_bench_tally_t *self)
{
    *self = (umbp_bench_tally_t) { .wrong = 0 };
    for (size_t op = 0; op < UMBP_BENCH_OPS; op++) {
        self->calls[op] = umbp_histogram_new ();
        assert (self->calls[op]);
    }
}

void umbp_bench_tally_done (umbp_bench_tally_t *self)
{
    for (size_t op = 0; op < UMBP_BENCH_OPS; op++)
        umbp_histogram_destroy (&self->calls[op]);
}

void umbp_bench_tally_merge (umbp_bench_tally_t *self, const umbp_bench_tally_t *other)
{
    for (size_t op = 0; op < UMBP_BENCH_OPS; op++) {
        umbp_histogram_merge (self->calls[op], other->calls[op]);
        self->items[op] += other->items[op];
        self->bytes[op] += other->bytes[op];
    }
    self->hits += other->hits;
    self->misses += other->misses;
    self->already += other->already;
    for (size_t place = 0; place < UMBP_BENCH_ERRORS; place++)
        self->errors[place] += other->errors[place];
    if (!self->wrong && other->wrong)
        memcpy (self->wrong_key, other->wrong_key, sizeof self->wrong_key);
    self->wrong += other->wrong;
}

void umbp_bench_tally_error (umbp_bench_tally_t *self, int status)
{
    self->errors[status < 0 && status >= UMBP_ERR_LAST ? -status : 0]++;
}

void umbp_bench_tally_wrong (umbp_bench_tally_t *self, const char *key)
{
    if (self->wrong++ == 0)
        snprintf (self->wrong_key, sizeof self->wrong_key, "%s", key);
}

uint64_t umbp_bench_tally_errors (const umbp_bench_tally_t *self)
{
    uint64_t sum = 0;
    for (size_t place = 0; place < UMBP_BENCH_ERRORS; place++)
        sum += self->errors[place];
    return sum;
}

const char *umbp_bench_tally_error_name (size_t place)
{
    return place ? umbp_errname (-(int) place) : "E?";
}

//  ------------------------------------------------------------------------------------------------
//  Show

static double s_us (const umbp_histogram_t *calls, double percent)
{
    return (double) umbp_histogram_percentile (calls, percent) / 1e3;
}

static json_t *s_op_json (const umbp_bench_tally_t *self, size_t op, double seconds)
{
    const umbp_histogram_t *calls = self->calls[op];
    json_t *doc = json_object (), *latency = json_object ();
    json_object_set_new (doc, "calls", umbp_view_number (umbp_histogram_count (calls)));
    json_object_set_new (doc, "items", umbp_view_number (self->items[op]));
    json_object_set_new (doc, "bytes", umbp_view_number (self->bytes[op]));
    json_object_set_new (doc, "keys_s", json_real ((double) self->items[op] / seconds));
    json_object_set_new (doc, "gb_s", json_real ((double) self->bytes[op] / seconds / 1e9));
    for (size_t index = 0; index < PERCENTILES; index++)
        json_object_set_new (latency, s_percentiles[index].name,
                             json_real (s_us (calls, s_percentiles[index].percent)));
    json_object_set_new (latency, "max", json_real ((double) umbp_histogram_max (calls) / 1e3));
    json_object_set_new (doc, "us", latency);
    return doc;
}

static json_t *s_errors_json (const umbp_bench_tally_t *self)
{
    json_t *doc = json_object ();
    for (size_t place = 0; place < UMBP_BENCH_ERRORS; place++)
        if (self->errors[place])
            json_object_set_new (doc, umbp_bench_tally_error_name (place),
                                 umbp_view_number (self->errors[place]));
    return doc;
}

json_t *umbp_bench_tally_json (const umbp_bench_tally_t *self, double seconds)
{
    json_t *doc = json_object ();
    json_object_set_new (doc, "seconds", json_real (seconds));
    for (size_t op = 0; op < UMBP_BENCH_OPS; op++)
        if (umbp_histogram_count (self->calls[op]))
            json_object_set_new (doc, s_ops[op], s_op_json (self, op, seconds));
    json_object_set_new (doc, "hits", umbp_view_number (self->hits));
    json_object_set_new (doc, "misses", umbp_view_number (self->misses));
    json_object_set_new (doc, "already", umbp_view_number (self->already));
    json_object_set_new (doc, "errors", s_errors_json (self));
    json_object_set_new (doc, "wrong", umbp_view_number (self->wrong));
    return doc;
}

static void s_op_print (const umbp_bench_tally_t *self, size_t op, double seconds, FILE *out)
{
    const umbp_histogram_t *calls = self->calls[op];
    char items[UMBP_UNITS_ROOM], rate[UMBP_UNITS_ROOM], gb_s[UMBP_UNITS_ROOM] = "";
    if (self->bytes[op])
        snprintf (gb_s, sizeof gb_s, "%.2f", (double) self->bytes[op] / seconds / 1e9);
    fprintf (out, "  %-7s %10s %10s %7s", s_ops[op], umbp_units_show_count (self->items[op], items),
             umbp_units_show_count ((uint64_t) ((double) self->items[op] / seconds), rate), gb_s);
    for (size_t index = 0; index < PERCENTILES; index++)
        fprintf (out, " %9.1f", s_us (calls, s_percentiles[index].percent));
    fputc ('\n', out);
}

void umbp_bench_tally_print (const umbp_bench_tally_t *self, double seconds, FILE *out)
{
    char hits[UMBP_UNITS_ROOM], misses[UMBP_UNITS_ROOM], already[UMBP_UNITS_ROOM];
    fprintf (out, "  %-7s %10s %10s %7s %9s %9s %9s %9s\n", "", "blocks", "blocks/s", "GB/s",
             "p50 us", "p90", "p99", "p99.9");
    for (size_t op = 0; op < UMBP_BENCH_OPS; op++)
        if (umbp_histogram_count (self->calls[op]))
            s_op_print (self, op, seconds, out);
    fprintf (out, "  %s hits, %s misses, %s were there when put; errors:",
             umbp_units_show_count (self->hits, hits), umbp_units_show_count (self->misses, misses),
             umbp_units_show_count (self->already, already));
    for (size_t place = 0; place < UMBP_BENCH_ERRORS; place++)
        if (self->errors[place])
            fprintf (out, " %s %" PRIu64, umbp_bench_tally_error_name (place), self->errors[place]);
    fprintf (out, "%s\n", umbp_bench_tally_errors (self) ? "" : " none");
}

json_t *umbp_bench_paths_json (const umbp_stats_t *stats)
{
    json_t *doc = json_object ();
    json_object_set_new (doc, "shm_put", umbp_view_number (stats->shm_put_bytes));
    json_object_set_new (doc, "shm_get", umbp_view_number (stats->shm_get_bytes));
    json_object_set_new (doc, "tcp_put", umbp_view_number (stats->tcp_put_bytes));
    json_object_set_new (doc, "tcp_get", umbp_view_number (stats->tcp_get_bytes));
    json_object_set_new (doc, "rdma_put", umbp_view_number (stats->rdma_put_bytes));
    json_object_set_new (doc, "rdma_get", umbp_view_number (stats->rdma_get_bytes));
    json_object_set_new (doc, "inline_put", umbp_view_number (stats->inline_put_bytes));
    json_object_set_new (doc, "inline_get", umbp_view_number (stats->inline_get_bytes));
    return doc;
}

static void s_path_print (const char *name, uint64_t put_bytes, uint64_t get_bytes, FILE *out)
{
    char put[UMBP_UNITS_ROOM], get[UMBP_UNITS_ROOM];
    fprintf (out, "  %-14s put %10s   get %10s\n", name, umbp_units_show_bytes (put_bytes, put),
             umbp_units_show_bytes (get_bytes, get));
}

void umbp_bench_paths_print (const umbp_stats_t *stats, FILE *out)
{
    s_path_print ("shared memory", stats->shm_put_bytes, stats->shm_get_bytes, out);
    s_path_print ("tcp", stats->tcp_put_bytes, stats->tcp_get_bytes, out);
    s_path_print ("rdma", stats->rdma_put_bytes, stats->rdma_get_bytes, out);
    s_path_print ("in messages", stats->inline_put_bytes, stats->inline_get_bytes, out);
}

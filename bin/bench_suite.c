//  bin/bench_suite.c - measures rows and keeps them, see bench_suite.h
#include "bin/bench_suite.h"

#include "bin/bench_lost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 101

typedef struct {
    double values[SAMPLES_MAX];
    size_t count;
    double gb, cpu_s;
} side_t;

double umbp_bench_suite_cpu (void)
{
    struct timespec used;
    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double) used.tv_sec + (double) used.tv_nsec / 1e9;
}

bool umbp_bench_suite_wants (const umbp_bench_suite_t *self, const char *name)
{
    return strstr (name, self->options->rows) != NULL;
}

bool umbp_bench_suite_wants_any (const umbp_bench_suite_t *self, const umbp_bench_row_t *rows,
                                 size_t count)
{
    bool any = false;
    for (size_t index = 0; index < count; index++)
        any |= umbp_bench_suite_wants (self, rows[index].name);
    return any;
}

void umbp_bench_suite_miss (umbp_bench_suite_t *self, const char *part, const char *why)
{
    fprintf (stderr, "umbp-bench: %s: %s\n", part, why);
    self->failed = true;
}

//  ------------------------------------------------------------------------------------------------
//  Measure

static int s_compare (const void *left, const void *right)
{
    double one = *(const double *) left, other = *(const double *) right;
    return (one > other) - (one < other);
}

static double s_median (side_t *side)
{
    qsort (side->values, side->count, sizeof *side->values, s_compare);
    size_t half = side->count / 2;
    return side->count % 2 ? side->values[half] : (side->values[half - 1] + side->values[half]) / 2;
}

static bool s_sample (side_t *side, umbp_bench_probe_fn *probe, void *arg)
{
    umbp_bench_probe_t got = probe (arg);
    side->values[side->count++] = got.value;
    side->gb += got.gb;
    side->cpu_s += got.cpu_s;
    return got.value >= 0;
}

//  ------------------------------------------------------------------------------------------------
//  Show and keep

static void s_print (const umbp_bench_row_t *row, double ours, double peer, double ratio,
                     const side_t *our_side, const side_t *peer_side)
{
    printf ("%-44s %11.6g %-9s", row->name, ours, row->unit);
    if (peer >= 0)
        printf (" %11.6g  %-38s %5.2f", peer, row->peer_name, ratio);
    else
        printf (" %11s  %-38s %5s", "-", row->peer_name ? row->peer_name : "", "-");
    if (row->floor > 0 && peer >= 0)
        printf ("  %s %.2f", ratio >= row->floor ? "ok, at least" : "MISSED, floor", row->floor);
    if (our_side && our_side->gb > 0)
        printf ("  [CPU s/GB: %.2f", our_side->cpu_s / our_side->gb);
    if (our_side && our_side->gb > 0 && peer_side->gb > 0)
        printf (" against %.2f", peer_side->cpu_s / peer_side->gb);
    printf ("%s\n", our_side && our_side->gb > 0 ? "]" : "");
}

static void s_keep (umbp_bench_suite_t *self, const umbp_bench_row_t *row, double ours, double peer,
                    const side_t *our_side, const side_t *peer_side)
{
    double ratio = peer < 0 ? 0 : row->less_is_better ? peer / ours : ours / peer;
    json_t *doc = json_object ();
    json_object_set_new (doc, "name", json_string (row->name));
    json_object_set_new (doc, "ours", json_real (ours));
    json_object_set_new (doc, "unit", json_string (row->unit));
    json_object_set_new (doc, "peer", peer < 0 ? json_null () : json_real (peer));
    json_object_set_new (doc, "peer_name",
                         row->peer_name ? json_string (row->peer_name) : json_null ());
    json_object_set_new (doc, "ratio", peer < 0 ? json_null () : json_real (ratio));
    json_object_set_new (doc, "floor", row->floor > 0 ? json_real (row->floor) : json_null ());
    if (our_side && our_side->gb > 0)
        json_object_set_new (doc, "cpu_s_gb", json_real (our_side->cpu_s / our_side->gb));
    if (peer_side && peer_side->gb > 0)
        json_object_set_new (doc, "peer_cpu_s_gb", json_real (peer_side->cpu_s / peer_side->gb));
    json_array_append_new (self->rows, doc);
    s_print (row, ours, peer, ratio, our_side, peer_side);
}

void umbp_bench_suite_fact (umbp_bench_suite_t *self, const umbp_bench_row_t *row, double ours,
                            double peer)
{
    s_keep (self, row, ours, peer, NULL, NULL);
}

void umbp_bench_suite_row (umbp_bench_suite_t *self, const umbp_bench_row_t *row, void *arg)
{
    if (!umbp_bench_suite_wants (self, row->name))
        return;
    side_t warm = { .count = 0 }, ours = { .count = 0 }, peer = { .count = 0 };
    bool fine =
        s_sample (&warm, row->ours, arg) && (!row->peer || s_sample (&warm, row->peer, arg));
    for (uint64_t turn = 0; turn < self->options->samples && fine; turn++)
        fine = s_sample (&ours, row->ours, arg) && (!row->peer || s_sample (&peer, row->peer, arg));
    if (!fine) {
        umbp_bench_suite_miss (self, row->name, "could not be measured");
        return;
    }
    double value = s_median (&ours);
    s_keep (self, row, value, row->peer ? s_median (&peer) : -1, &ours, &peer);
}

//  ------------------------------------------------------------------------------------------------
//  The suite

static void s_write (umbp_bench_suite_t *self)
{
    const char *path = self->options->out;
    if (*path && json_dump_file (self->rows, path, JSON_INDENT (2)) != 0)
        umbp_bench_suite_miss (self, path, "cannot be written");
}

int umbp_bench_suite (const umbp_bench_options_t *options)
{
    umbp_bench_suite_t self = { .options = options, .rows = json_array () };
    double load = 0;
    getloadavg (&load, 1);
    printf ("Medians of %d, in turns with what is compared; a ratio above 1 is better than that.\n",
            (int) options->samples);
    printf ("%ld cores; in the last minute %.1f others were running on them.\n\n",
            sysconf (_SC_NPROCESSORS_ONLN), load);
    umbp_bench_bulk_rows (&self);
    umbp_bench_values_rows (&self);
    umbp_bench_lanes_rows (&self);
    umbp_bench_keys_rows (&self);
    umbp_bench_lost_rows (&self);
    umbp_bench_disk_rows (&self);
    s_write (&self);
    json_decref (self.rows);
    return self.failed ? 1 : 0;
}

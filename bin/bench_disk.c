//  bin/bench_disk.c - rows of the suite about blocks on disk: what a client of the same host puts and gets there beside
//  what fio writes and reads with the same engine, depth and size, and how long a node with a full disk takes to be
//  back.
//
//  Two nodes: the first has memory alone and is there all the time; the second has a disk. Nothing is brought up to
//  memory when it was read, and its staging holds less than what is read between two times that a block is: so each
//  get is a read of the disk. Bytes are compared in the first round, which does not count.
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bin/bench_fio.h"
#include "bin/bench_loop.h"
#include "bin/bench_nodes.h"
#include "bin/bench_suite.h"
#include "bin/bench_tally.h"
#include "bin/workload.h"
#include "client/umbp.h"
#include "cluster/topology.h"

#define TIMEOUT_MS 60000
#define STOP_MS 60000
#define BLOCK ((size_t) 2 << 20)
#define BATCH 32
#define ROUND 256                       //  Blocks of a measurement: 512 MiB
#define READ_RUN 31                     //  Seeds of keys: of those that are read
#define WRITE_RUN 1000                  //  ... and from here on of those that were written, another one each time
#define FLAGS_ROOM (UMBP_BENCH_TEXT + 512)

typedef struct {
    umbp_bench_cluster_t cluster;
    char folder[UMBP_BENCH_TEXT + 32], file[UMBP_BENCH_TEXT + 32], flags[FLAGS_ROOM];
    umbp_t *pool;                       //  A client of the node with the disk
    uint8_t *room;                      //  Of a batch
    bool uring, no_fio, checked;
    uint64_t runs;                      //  Of writes so far
} self_t;

typedef struct {
    char names[BATCH][UMBP_BENCH_KEY_SIZE];
    uint64_t seeds[BATCH];
    umbp_item_t items[BATCH];
} batch_t;

//  ------------------------------------------------------------------------------------------------
//  Ours

static void s_batch (self_t *self, uint64_t run, size_t first, batch_t *batch)
{
    for (size_t index = 0; index < BATCH; index++) {
        batch->seeds[index] = umbp_bench_key (run, first + index, batch->names[index]);
        batch->items[index] =
            (umbp_item_t) { .key = { batch->names[index], UMBP_BENCH_KEY_SIZE - 1 },
                            .data = self->room + index * BLOCK,
                            .size = BLOCK };
    }
}

static double s_cpu (const self_t *self)
{
    return umbp_bench_suite_cpu () + umbp_bench_cluster_cpu (&self->cluster);
}

static umbp_bench_probe_t s_failed (const char *what)
{
    fprintf (stderr, "umbp-bench: disk: %s\n", what);
    return (umbp_bench_probe_t) { .value = -1 };
}

static umbp_bench_probe_t s_done (const self_t *self, uint64_t ns, double cpu_s)
{
    double gb = (double) (ROUND * BLOCK) / 1e9;
    return (umbp_bench_probe_t) { .value = gb / ((double) ns / 1e9),
                                  .gb = gb,
                                  .cpu_s = s_cpu (self) - cpu_s };
}

static umbp_bench_probe_t s_get_ours (void *arg)
{
    self_t *self = arg;
    batch_t batch;
    double cpu_s = s_cpu (self);
    uint64_t ns = 0;
    for (size_t first = 0; first < ROUND; first += BATCH) {
        s_batch (self, READ_RUN, first, &batch);
        uint64_t start_ns = umbp_bench_now_ns ();
        int got = umbp_get_batch (self->pool, batch.items, BATCH, TIMEOUT_MS);
        ns += umbp_bench_now_ns () - start_ns;
        if (got != BATCH)
            return s_failed ("a block could not be read");
        for (size_t index = 0; !self->checked && index < BATCH; index++)
            if (!umbp_workload_verify (batch.seeds[index], batch.items[index].data, BLOCK))
                return s_failed ("WRONG BYTES");
    }
    self->checked = true;
    return s_done (self, ns, cpu_s);
}

//  Begin to get or put half a batch, in its half of the room
static bool s_begin (self_t *self, uint64_t run, size_t first, batch_t *batch, size_t half)
{
    umbp_put_options_t how = { .strategy = UMBP_STRATEGY_LOCAL, .tier = UMBP_TIER_NVME };
    for (size_t index = 0; index < BATCH / 2; index++) {
        batch->seeds[index] = umbp_bench_key (run, first + index, batch->names[index]);
        batch->items[index] = (umbp_item_t) {
            .key = { batch->names[index], UMBP_BENCH_KEY_SIZE - 1 },
            .data = self->room + (half * BATCH / 2 + index) * BLOCK,
            .size = BLOCK
        };
    }
    int rc =
        run == READ_RUN
            ? umbp_submit_get (self->pool, batch->items, BATCH / 2, TIMEOUT_MS, batch, NULL)
            : umbp_submit_put (self->pool, batch->items, BATCH / 2, &how, TIMEOUT_MS, batch, NULL);
    return rc == 0;
}

//  As many in flight, but in two batches, one of which is on its way to or from the disk while the other is copied: as
//  engines do that ask for the next layers while they work on these
static umbp_bench_probe_t s_stream (self_t *self, uint64_t run)
{
    batch_t batches[2];
    double cpu_s = s_cpu (self);
    uint64_t start_ns = umbp_bench_now_ns ();
    size_t next = 0, done = 0;
    bool fine = true;
    for (; next < 2 && fine; next++)
        fine = s_begin (self, run, next * BATCH / 2, &batches[next], next);
    while (fine && done < 2 * ROUND / BATCH) {
        umbp_done_t ended;
        fine = umbp_drain (self->pool, &ended, 1, TIMEOUT_MS) == 1 && ended.result == BATCH / 2;
        done++;
        if (fine && next < 2 * ROUND / BATCH)
            fine = s_begin (self, run, next++ * BATCH / 2, ended.user, ended.user == &batches[1]);
    }
    uint64_t ns = umbp_bench_now_ns () - start_ns;
    return fine ? s_done (self, ns, cpu_s) : s_failed ("a block could not be read or put");
}

static umbp_bench_probe_t s_stream_ours (void *arg)
{
    return s_stream (arg, READ_RUN);
}

static umbp_bench_probe_t s_put_stream_ours (void *arg)
{
    self_t *self = arg;
    return s_stream (self, WRITE_RUN + self->runs++);
}

//  Put a round of blocks; unless they are to be read again all batches have the same bytes, so that nothing but puts
//  takes time. Returns the time that took, 0 if it failed.
static uint64_t s_put (self_t *self, uint64_t run, unsigned tier)
{
    umbp_put_options_t how = { .strategy = UMBP_STRATEGY_LOCAL, .tier = (uint8_t) tier };
    batch_t batch;
    uint64_t ns = 0;
    for (size_t first = 0; first < ROUND; first += BATCH) {
        s_batch (self, run, first, &batch);
        for (size_t index = 0; run == READ_RUN && index < BATCH; index++)
            umbp_workload_fill (batch.seeds[index], batch.items[index].data, BLOCK);
        uint64_t start_ns = umbp_bench_now_ns ();
        if (umbp_put_batch (self->pool, batch.items, BATCH, &how, TIMEOUT_MS) != BATCH)
            return 0;
        ns += umbp_bench_now_ns () - start_ns;
    }
    return ns;
}

static umbp_bench_probe_t s_put_ours (void *arg)
{
    self_t *self = arg;
    double cpu_s = s_cpu (self);
    uint64_t ns = s_put (self, WRITE_RUN + self->runs++, UMBP_TIER_NVME);
    return ns ? s_done (self, ns, cpu_s) : s_failed ("a block could not be put there");
}

//  So that memory never has to let go of anything: what leaves it in haste may leave it without a copy
static void s_remove (self_t *self, uint64_t run)
{
    for (size_t number = 0; number < ROUND; number++) {
        char name[UMBP_BENCH_KEY_SIZE];
        umbp_bench_key (run, number, name);
        umbp_remove (self->pool, name);
    }
}

//  Copies down that ended
static uint64_t s_ended (umbp_talk_t *talk, uint64_t *failed)
{
    uint64_t demoted = 0;
    umbp_bench_stat (talk, "tier:dram", "demoted", &demoted);
    umbp_bench_stat (talk, "tier:dram", "demotions_failed", failed);
    return demoted + *failed;
}

//  Puts to memory: from the first put until the copies of all are on disk too
static umbp_bench_probe_t s_through_ours (void *arg)
{
    self_t *self = arg;
    int err = 0;
    uint64_t failed = 0, failed_before = 0;
    umbp_talk_t *talk = umbp_talk_new (self->cluster.nodes[1].endpoint, TIMEOUT_MS, &err);
    if (!talk)
        return s_failed ("the node does not answer");
    double cpu_s = s_cpu (self);
    uint64_t before = s_ended (talk, &failed_before), ended = before;
    uint64_t start_ns = umbp_bench_now_ns (), put_ns;
    put_ns = s_put (self, WRITE_RUN + self->runs, UMBP_TIER_DRAM);
    uint64_t until_ns = start_ns + (uint64_t) TIMEOUT_MS * 1000000;
    while (put_ns && ended < before + ROUND && umbp_bench_now_ns () < until_ns) {
        nanosleep (&(struct timespec) { .tv_nsec = 2000000 }, NULL);
        ended = s_ended (talk, &failed);
    }
    umbp_bench_probe_t probe = s_done (self, umbp_bench_now_ns () - start_ns, cpu_s);
    umbp_talk_destroy (&talk);
    s_remove (self, WRITE_RUN + self->runs++);
    if (!put_ns || ended < before + ROUND || failed > failed_before) {
        fprintf (stderr, "umbp-bench: of %d blocks the copies of %d ended, %d of these failed\n",
                 ROUND, (int) (ended - before), (int) (failed - failed_before));
        return s_failed ("not all blocks were written through");
    }
    return probe;
}

//  ------------------------------------------------------------------------------------------------
//  fio

static umbp_bench_probe_t s_fio (self_t *self, bool reads)
{
    const umbp_bench_fio_t what = { .file = self->file,
                                    .reads = reads,
                                    .uring = self->uring,
                                    .bytes = ROUND * BLOCK,
                                    .block_bytes = BLOCK,
                                    .depth = BATCH };
    double mb = umbp_bench_fio (&what);
    if (mb <= 0)
        return s_failed ("fio failed");
    return (umbp_bench_probe_t) { .value = mb / 1e3 };
}

static umbp_bench_probe_t s_read_fio (void *arg)
{
    return s_fio (arg, true);
}

//  A new file each time: ours takes new room, too
static umbp_bench_probe_t s_write_fio (void *arg)
{
    unlink (((self_t *) arg)->file);
    return s_fio (arg, false);
}

//  ------------------------------------------------------------------------------------------------
//  The part

enum { GET, STREAM, PUT, PUT_STREAM, THROUGH };

static const umbp_bench_row_t s_rows[] = {
    [GET] = { "get 2 MiB x 32 from disk, verified", "GB/s", "fio read", 0.85, false, s_get_ours,
              s_read_fio },
    [STREAM] = { "get 2 MiB x 32 from disk, verified, as 2 x 16", "GB/s", "fio read", 0.85, false,
                 s_stream_ours, s_read_fio },
    [PUT] = { "put 2 MiB x 32 to disk", "GB/s", "fio write", 0.85, false, s_put_ours, s_write_fio },
    [PUT_STREAM] = { "put 2 MiB x 32 to disk, as 2 x 16", "GB/s", "fio write", 0.85, false,
                     s_put_stream_ours, s_write_fio },
    [THROUGH] = { "put 2 MiB x 32, written through, all on disk", "GB/s", "fio write", 0, false,
                  s_through_ours, s_write_fio },
};

static const umbp_bench_row_t s_facts[] = {
    { "restart with blocks on disk, GiB of them", "GiB", NULL, 0, false, NULL, NULL },
    { "restart with blocks on disk, until ready", "s", NULL, 0, true, NULL, NULL },
    { "restart with blocks on disk, until all found", "s", NULL, 0, true, NULL, NULL },
};

#define ROWS (sizeof s_rows / sizeof *s_rows)
#define FACTS (sizeof s_facts / sizeof *s_facts)

//  Whether a node can have io_uring
static bool s_has_uring (void)
{
    struct io_uring_params params = { .flags = 0 };
    int fd = (int) syscall (__NR_io_uring_setup, 2, &params);
    if (fd >= 0)
        close (fd);
    return fd >= 0;
}

static bool s_connect (self_t *self)
{
    int err = 0;
    umbp_options_t how = { .endpoints = self->cluster.nodes[1].endpoint, .timeout_ms = TIMEOUT_MS };
    self->pool = umbp_connect (&how, &err);
    return self->pool != NULL;
}

static bool s_await_two (self_t *self)
{
    int err = 0;
    umbp_talk_t *talk = umbp_talk_new (self->cluster.nodes[0].endpoint, TIMEOUT_MS, &err);
    bool fine = talk && umbp_bench_wait_members (talk, 2, TIMEOUT_MS) == 0;
    umbp_talk_destroy (&talk);
    return fine;
}

static bool s_start (self_t *self, const char *directory, uint64_t samples)
{
    static const char first[] = "--dram-capacity 64MiB --dram-region 64MiB";
    int pid = (int) getpid ();
    uint64_t gib = 3 + (2 * samples + 3) * ROUND * BLOCK / ((size_t) 1 << 30);
    snprintf (self->folder, sizeof self->folder, "%s/umbp-bench-%d.d", directory, pid);
    snprintf (self->file, sizeof self->file, "%s/umbp-bench-%d.fio", directory, pid);
    self->uring = s_has_uring ();
    snprintf (
        self->flags, sizeof self->flags,
        "--dram-capacity 1GiB --dram-region 1GiB --nvme-directories %s --nvme-capacity %zuGiB "
        "--nvme-staging 160MiB --nvme-up-rate 1 --nvme-down-rate 0 --nvme-write through "
        "--nvme-engine %s",
        self->folder, (size_t) gib, self->uring ? "io_uring" : "posix");
    self->room = aligned_alloc (4096, BATCH * BLOCK);
    return self->room && umbp_bench_cluster_start (&self->cluster, 1, first) == 0
           && umbp_bench_cluster_add (&self->cluster, self->flags) == 0 && s_await_two (self)
           && s_connect (self) && s_put (self, READ_RUN, UMBP_TIER_NVME);
}

//  How many of the blocks that were put there a client of the other node finds
static size_t s_find (umbp_t *other)
{
    umbp_key_t keys[BATCH];
    int8_t found[BATCH];
    char names[BATCH][UMBP_BENCH_KEY_SIZE];
    size_t all = 0;
    for (size_t first = 0; first < ROUND; first += BATCH) {
        for (size_t index = 0; index < BATCH; index++) {
            umbp_bench_key (READ_RUN, first + index, names[index]);
            keys[index] = (umbp_key_t) { names[index], UMBP_BENCH_KEY_SIZE - 1 };
        }
        memset (found, 0, sizeof found);
        umbp_exists_batch (other, keys, BATCH, found, TIMEOUT_MS);
        for (size_t index = 0; index < BATCH; index++)
            all += found[index] == 1;
    }
    return all;
}

//  End the node with the disk in good order, and start it again
static bool s_restart (self_t *self, double *gib, double *ready_s, double *found_s)
{
    int err = 0;
    uint64_t blocks = 0;
    umbp_talk_t *talk = umbp_talk_new (self->cluster.nodes[1].endpoint, TIMEOUT_MS, &err);
    bool fine = talk && umbp_bench_stat (talk, "tier:nvme", "used_bytes", &blocks) == 0;
    umbp_talk_destroy (&talk);
    *gib = (double) blocks / (double) (1 << 30);
    umbp_close (&self->pool);
    umbp_options_t how = { .endpoints = self->cluster.nodes[0].endpoint, .timeout_ms = TIMEOUT_MS };
    umbp_t *other = umbp_connect (&how, &err);
    fine =
        fine && other && umbp_bench_end_process (self->cluster.nodes[1].pid, SIGTERM, STOP_MS) == 0;
    self->cluster.count = 1;
    uint64_t start_ns = umbp_bench_now_ns ();
    fine = fine && umbp_bench_cluster_add (&self->cluster, self->flags) == 0;
    *ready_s = (double) (umbp_bench_now_ns () - start_ns) / 1e9;
    size_t found = 0;
    while (fine && found < ROUND
           && umbp_bench_now_ns () - start_ns < (uint64_t) TIMEOUT_MS * 1000000)
        found = s_find (other);
    *found_s = (double) (umbp_bench_now_ns () - start_ns) / 1e9;
    umbp_close (&other);
    return fine && found == ROUND;
}

static void s_restart_rows (self_t *self, umbp_bench_suite_t *suite)
{
    double facts[FACTS];
    if (!umbp_bench_suite_wants_any (suite, s_facts, FACTS))
        return;
    if (!s_restart (self, &facts[0], &facts[1], &facts[2])) {
        umbp_bench_suite_miss (suite, s_facts[1].name,
                               "the node did not come back with its blocks");
        return;
    }
    for (size_t index = 0; index < FACTS; index++)
        umbp_bench_suite_fact (suite, &s_facts[index], facts[index], -1);
}

static void s_clean (const self_t *self)
{
    char path[sizeof self->folder + 16];
    snprintf (path, sizeof path, "%s/umbp.log", self->folder);
    unlink (path);
    rmdir (self->folder);
    unlink (self->file);
}

void umbp_bench_disk_rows (umbp_bench_suite_t *suite)
{
    const char *directory = *suite->options->directory ? suite->options->directory : "/var/tmp";
    bool any = umbp_bench_suite_wants_any (suite, s_rows, ROWS)
               || umbp_bench_suite_wants_any (suite, s_facts, FACTS);
    self_t *self = any ? calloc (1, sizeof *self) : NULL;
    if (!self)
        return;
    bool fine = s_start (self, directory, suite->options->samples);
    if (!fine)
        umbp_bench_suite_miss (suite, "blocks on disk", "could not start");
    self->no_fio = fine && s_write_fio (self).value < 0;
    if (self->no_fio)
        printf ("No comparison with fio: it is not installed, or failed in %s\n", directory);
    for (size_t index = 0; index < ROWS && fine; index++) {
        umbp_bench_row_t row = s_rows[index];
        row.peer = self->no_fio ? NULL : row.peer;
        umbp_bench_suite_row (suite, &row, self);
    }
    if (fine)
        s_restart_rows (self, suite);
    umbp_close (&self->pool);
    if (umbp_bench_cluster_stop (&self->cluster) != 0)
        suite->failed = true;
    s_clean (self);
    free (self->room);
    free (self);
}

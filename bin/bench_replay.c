//  bin/bench_replay.c - deals requests to client processes and adds up what they did, see
//  bench_replay.h
#include "bin/bench_replay.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bin/bench_nodes.h"
#include "bin/bench_progress.h"
#include "bin/bench_worker.h"
#include "bin/units.h"
#include "bin/view.h"

#define CALL_SLACK_MS 10000             //  Beyond the deadlines of a request's calls
#define END_MS 15000                    //  For a client to end

typedef struct {
    pid_t pid;
    int fd;                             //  -1: closed
    bool busy;                          //  With a request
    uint64_t calls;                     //  That it may make for this, each within its deadline
    umbp_stats_t stats;
} client_t;

typedef struct {
    const umbp_bench_options_t *options;
    umbp_workload_t *workload;
    umbp_lru_t *lru;
    client_t clients[UMBP_BENCH_CLIENTS_MAX];
    bool dry;                           //  The workload has no more
    bool failed;
    uint64_t expected, dealt, requests;
    uint64_t blocks, said, prefix, lru_prefix, stored, full, lost;
    umbp_bench_tally_t tally;
    umbp_bench_sample_t *samples;
    umbp_bench_progress_t progress;
    double seconds;
} self_t;

static bool s_complain (self_t *self, const char *what, const char *why)
{
    fprintf (stderr, "umbp-bench: %s: %s\n", what, why);
    self->failed = true;
    return false;
}

//  ------------------------------------------------------------------------------------------------
//  Client processes

//  The other clients' sockets are closed there, or these would not see the end of their streams
static void s_be_client (self_t *self, size_t number, int fd)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (size_t index = 0; index < number; index++)
        close (self->clients[index].fd);
    _exit (umbp_bench_worker (self->options, number, fd));
}

static bool s_start_client (self_t *self, size_t number)
{
    int fds[2];
    if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == -1)
        return s_complain (self, "socketpair", strerror (errno));
    pid_t pid = fork ();
    if (pid == 0) {
        close (fds[0]);
        s_be_client (self, number, fds[1]);
    }
    close (fds[1]);
    self->clients[number] = (client_t) { .pid = pid, .fd = fds[0] };
    return pid == -1 ? s_complain (self, "fork", strerror (errno)) : true;
}

//  Let a client end; kill it if it does not
static void s_stop_client (self_t *self, client_t *client)
{
    if (client->fd >= 0)
        close (client->fd);
    if (client->pid > 0 && umbp_bench_end_process (client->pid, 0, END_MS) != 0)
        s_complain (self, "client", "did not end well");
}

//  ------------------------------------------------------------------------------------------------
//  Down

//  The next request that is one. Returns false at the end.
static bool s_next (self_t *self, umbp_request_t *request)
{
    char error[256] = "";
    if (self->dealt == self->options->requests)
        return false;
    int rc = umbp_workload_next (self->workload, request, error, sizeof error);
    return rc < 0 ? s_complain (self, "workload", error) : rc > 0;
}

//  To connect, for the first request; one exists; one get and one put for each batch at most
static uint64_t s_calls (const self_t *self, uint64_t blocks)
{
    uint64_t batch = self->options->batch;
    return 2 + 2 * ((blocks + batch - 1) / batch);
}

static void s_deal (self_t *self, client_t *client)
{
    umbp_request_t request;
    if (self->dry || !s_next (self, &request)) {
        self->dry = true;
        return;
    }
    self->dealt++;
    client->calls = s_calls (self, request.blocks);
    if (self->lru)
        self->lru_prefix += umbp_lru_request (self->lru, request.hash_ids, request.blocks);
    umbp_bench_task_t task = { request.blocks };
    if (!umbp_bench_write_all (client->fd, &task, sizeof task)
        || !umbp_bench_write_all (client->fd, request.hash_ids,
                                  request.blocks * sizeof *request.hash_ids)
        || !umbp_bench_write_all (client->fd, request.keys, request.blocks * sizeof *request.keys))
        s_complain (self, "client", "takes no more requests");
    client->busy = true;
}

//  ------------------------------------------------------------------------------------------------
//  Up

static void s_add (self_t *self, const umbp_bench_done_t *done)
{
    umbp_bench_tally_t *tally = &self->tally;
    uint64_t bytes = self->options->block_bytes;
    self->requests++;
    self->blocks += done->blocks;
    self->said += done->said;
    self->prefix += done->prefix;
    self->stored += done->stored;
    self->full += done->full;
    self->lost += done->lost;
    tally->hits += done->hits;
    tally->already += done->already;
    tally->misses += done->blocks - done->hits;
    tally->bytes[UMBP_BENCH_GET] += done->hits * bytes;
    tally->bytes[UMBP_BENCH_PUT] += done->stored * bytes;
    for (size_t place = 0; place < UMBP_BENCH_ERRORS; place++)
        tally->errors[place] += done->errors[place];
    if (done->wrong && !tally->wrong)
        memcpy (tally->wrong_key, done->wrong_key, sizeof tally->wrong_key);
    tally->wrong += done->wrong;
    for (uint32_t index = 0; index < done->samples; index++) {
        const umbp_bench_sample_t *sample = &self->samples[index];
        umbp_histogram_add (tally->calls[sample->op], sample->ns);
        tally->items[sample->op] += sample->items;
    }
}

static void s_take (self_t *self, client_t *client)
{
    umbp_bench_done_t done;
    if (!umbp_bench_read_all (client->fd, &done, sizeof done)
        || !umbp_bench_read_all (client->fd, self->samples, done.samples * sizeof *self->samples)) {
        s_complain (self, "client", "ended before its work was done");
        return;
    }
    client->busy = false;
    client->stats = done.stats;
    s_add (self, &done);
}

//  ------------------------------------------------------------------------------------------------
//  The run

static void s_note (const self_t *self, char *out, size_t size)
{
    char bytes[UMBP_UNITS_ROOM];
    const uint64_t *moved = self->tally.bytes;
    snprintf (out, size, "%" PRIu64 " requests, prefix hits %.1f %%, %s moved and verified",
              self->requests, umbp_view_percent (self->prefix, self->blocks),
              umbp_units_show_bytes (moved[UMBP_BENCH_GET] + moved[UMBP_BENCH_PUT], bytes));
}

//  How long all clients may be silent: as long as the one with most to do
static int s_limit_ms (const self_t *self)
{
    uint64_t calls = 0;
    for (size_t index = 0; index < self->options->clients; index++)
        if (self->clients[index].busy && self->clients[index].calls > calls)
            calls = self->clients[index].calls;
    uint64_t limit_ms = calls * self->options->timeout_ms + CALL_SLACK_MS;
    return limit_ms < INT_MAX ? (int) limit_ms : INT_MAX;
}

static bool s_poll (self_t *self)
{
    struct pollfd polls[UMBP_BENCH_CLIENTS_MAX];
    size_t count = self->options->clients;
    int limit_ms = s_limit_ms (self);
    for (size_t index = 0; index < count; index++)
        polls[index] = (struct pollfd) { .fd = self->clients[index].fd, .events = POLLIN };
    int ready = poll (polls, count, limit_ms);
    if (ready == 0)
        return s_complain (self, "clients", "nothing was heard of them for too long");
    for (size_t index = 0; index < count; index++)
        if (ready > 0 && polls[index].revents)
            s_take (self, &self->clients[index]);
    return !self->failed;
}

//  Deal to all that are idle: these read, so that writing to them never blocks for long. Returns
//  whether any is at work.
static bool s_deal_all (self_t *self)
{
    bool busy = false;
    for (size_t index = 0; index < self->options->clients && !self->failed; index++) {
        client_t *client = &self->clients[index];
        if (!client->busy)
            s_deal (self, client);
        busy |= client->busy;
    }
    return busy && !self->failed;
}

static void s_run (self_t *self)
{
    char note[160] = "";
    uint64_t start_ns = umbp_bench_now_ns ();
    umbp_bench_progress_start (&self->progress, self->expected);
    while (s_deal_all (self) && s_poll (self)) {
        s_note (self, note, sizeof note);
        umbp_bench_progress_show (&self->progress, self->requests, note);
    }
    s_note (self, note, sizeof note);
    umbp_bench_progress_end (&self->progress, self->requests, note);
    self->seconds = (double) (umbp_bench_now_ns () - start_ns) / 1e9;
}

//  ------------------------------------------------------------------------------------------------
//  Show

static umbp_stats_t s_stats (const self_t *self)
{
    umbp_stats_t sum = { 0 };
    for (size_t index = 0; index < self->options->clients; index++) {
        uint64_t *to = (uint64_t *) &sum;
        const uint64_t *from = (const uint64_t *) &self->clients[index].stats;
        for (size_t at = 0; at < sizeof sum / sizeof *to; at++)
            to[at] += from[at];
    }
    return sum;
}

static double s_percent (const self_t *self, uint64_t blocks)
{
    return self->blocks ? 100.0 * (double) blocks / (double) self->blocks : 0;
}

//  Blocks that were there when their request came: got, or found by put
static double s_block_rate (const self_t *self)
{
    return s_percent (self, self->tally.hits + self->tally.already);
}

static void s_show_json (const self_t *self, json_t *nodes)
{
    umbp_stats_t stats = s_stats (self);
    json_t *doc = umbp_bench_tally_json (&self->tally, self->seconds);
    json_object_set_new (doc, "command", json_string ("replay"));
    json_object_set_new (doc, "requests", umbp_view_number (self->requests));
    json_object_set_new (doc, "blocks", umbp_view_number (self->blocks));
    json_object_set_new (doc, "block_hit_percent", json_real (s_block_rate (self)));
    json_object_set_new (doc, "prefix_blocks", umbp_view_number (self->prefix));
    json_object_set_new (doc, "prefix_hit_percent", json_real (s_percent (self, self->prefix)));
    if (self->lru)
        json_object_set_new (doc, "lru_prefix_hit_percent",
                             json_real (s_percent (self, self->lru_prefix)));
    json_object_set_new (doc, "stored", umbp_view_number (self->stored));
    json_object_set_new (doc, "full", umbp_view_number (self->full));
    json_object_set_new (doc, "lost", umbp_view_number (self->lost));
    json_object_set_new (doc, "retries", umbp_view_number (stats.retries));
    json_object_set_new (doc, "paths", umbp_bench_paths_json (&stats));
    json_object_set (doc, "nodes", nodes);
    json_dumpf (doc, stdout, JSON_INDENT (2));
    putchar ('\n');
    json_decref (doc);
}

static void s_show_text (const self_t *self, json_t *nodes)
{
    static const umbp_view_column_t columns[] = {
        { "NODE", "node", UMBP_VIEW_TEXT }, { "TIER", "tier", UMBP_VIEW_TEXT },
        { "USED", "used_bytes", UMBP_VIEW_BYTES }, { "TOTAL", "total_bytes", UMBP_VIEW_BYTES },
        { "", "used_percent", UMBP_VIEW_BAR }, { "BLOCKS", "blocks", UMBP_VIEW_COUNT },
    };
    char requests[UMBP_UNITS_ROOM], blocks[UMBP_UNITS_ROOM], size[UMBP_UNITS_ROOM];
    umbp_stats_t stats = s_stats (self);
    double prefix = s_percent (self, self->prefix);
    printf ("\n%s requests, %s blocks of %s, %.1f s\n",
            umbp_units_show_count (self->requests, requests),
            umbp_units_show_count (self->blocks, blocks),
            umbp_units_show_bytes (self->options->block_bytes, size), self->seconds);
    printf ("  prefix hit rate %6.2f %%   of all blocks, those that an engine need not compute\n",
            prefix);
    printf ("  block hit rate  %6.2f %%   of all blocks, those that were there\n",
            s_block_rate (self));
    if (self->lru) {
        double lru = s_percent (self, self->lru_prefix);
        printf ("  an LRU's prefix %6.2f %%   one cache of %" PRIu64
                " blocks; ours is %+.2f points\n",
                lru, self->options->lru_blocks, prefix - lru);
    }
    printf ("\nCalls\n");
    umbp_bench_tally_print (&self->tally, self->seconds, stdout);
    printf ("  %" PRIu64 " blocks left between exists and get, %" PRIu64 " found no room\n",
            self->lost, self->full);
    printf ("\nPaths\n");
    umbp_bench_paths_print (&stats, stdout);
    printf ("\nNodes\n");
    umbp_view_table (stdout, nodes, columns, sizeof columns / sizeof *columns, false);
    printf ("\nEvery byte of %" PRIu64 " blocks was compared: %" PRIu64 " wrong\n",
            self->tally.hits + self->tally.wrong, self->tally.wrong);
}

static void s_show (self_t *self)
{
    char endpoint[UMBP_BENCH_TEXT];
    json_t *nodes = umbp_bench_tiers (
        umbp_bench_options_endpoint (self->options, 0, endpoint, sizeof endpoint));
    if (!nodes)
        nodes = json_array ();
    if (self->options->json)
        s_show_json (self, nodes);
    else
        s_show_text (self, nodes);
    json_decref (nodes);
}

//  ------------------------------------------------------------------------------------------------
//  Life

//  Lines of a trace, for the progress bar
static uint64_t s_count_lines (const char *path)
{
    static char buffer[1 << 16];
    uint64_t lines = 0;
    size_t got;
    FILE *file = fopen (path, "re");
    while (file && (got = fread (buffer, 1, sizeof buffer, file)) > 0)
        for (const char *at = buffer; (at = memchr (at, '\n', (size_t) (buffer + got - at))); at++)
            lines++;
    if (file)
        fclose (file);
    return lines;
}

static bool s_open (self_t *self)
{
    const umbp_bench_options_t *options = self->options;
    char error[256] = "";
    self->expected = options->requests;
    if (*options->trace) {
        self->workload = umbp_workload_new_trace (options->trace, error, sizeof error);
        uint64_t lines = s_count_lines (options->trace);
        if (lines < self->expected)
            self->expected = lines;
    } else {
        umbp_talks_t talks = UMBP_TALKS_DEFAULT;
        talks.seed = options->seed;
        talks.requests = options->requests;
        talks.talks = (uint32_t) options->talks;
        self->workload = umbp_workload_new_talks (&talks, error, sizeof error);
    }
    if (!self->workload)
        return s_complain (self, "workload", error);
    if (options->lru_blocks)
        self->lru = umbp_lru_new ((uint32_t) options->lru_blocks);
    self->samples = calloc (UMBP_BENCH_SAMPLES_MAX, sizeof *self->samples);
    if (!self->samples || (options->lru_blocks && !self->lru))
        return s_complain (self, "start", "out of memory");
    return true;
}

static int s_verdict (const self_t *self)
{
    if (self->tally.wrong)
        fprintf (stderr, "umbp-bench: WRONG BYTES in %" PRIu64 " block(s), the first is %s\n",
                 self->tally.wrong, self->tally.wrong_key);
    uint64_t errors = umbp_bench_tally_errors (&self->tally);
    if (errors)
        fprintf (stderr, "umbp-bench: %" PRIu64 " block(s) or call(s) failed\n", errors);
    return self->failed || self->tally.wrong || errors ? 1 : 0;
}

int umbp_bench_replay (const umbp_bench_options_t *options)
{
    self_t self = { .options = options };
    umbp_bench_tally_init (&self.tally);
    bool fine = s_open (&self);
    size_t started = 0;
    while (fine && started < options->clients)
        fine = s_start_client (&self, started++);
    if (fine)
        s_run (&self);
    for (size_t index = 0; index < started; index++)
        s_stop_client (&self, &self.clients[index]);
    if (!self.failed)
        s_show (&self);
    int status = s_verdict (&self);
    free (self.samples);
    umbp_lru_destroy (&self.lru);
    umbp_workload_destroy (&self.workload);
    umbp_bench_tally_done (&self.tally);
    return status;
}

//  bin/bench_options.c - the command line of umbp-bench, see bench_options.h
#include "bin/bench_options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "bin/bench_nodes.h"
#include "bin/units.h"
#include "client/crew.h"
#include "client/pool.h"
#include "client/umbp.h"
#include "proto/types.h"

#define KIB (UINT64_C (1) << 10)
#define MIB (UINT64_C (1) << 20)
#define GIB (UINT64_C (1) << 30)

enum {
    PUT = 1,
    GET = 2,
    EXISTS = 4,
    MIXED = 8,
    REPLAY = 16,
    SUITE = 32,
    SCALE = 64,
    LOST = 128,
    RESYNC = 256,
    POLICY = 512,
    LOG = 1024
};

#define CALLS (PUT | GET | EXISTS | MIXED)

static const struct {
    const char *name;
    unsigned bit;
    const char *help;
} s_commands[] = {
    { "put", PUT, "put blocks 0, 1, 2 .. of a run, each once" },
    { "get", GET, "put what is missing, then get blocks at random and compare every byte" },
    { "exists", EXISTS, "put what is missing, then ask for blocks at random" },
    { "mixed", MIXED, "get blocks at random and put those that are not there; or ask exists" },
    { "replay", REPLAY, "what an engine does with the requests of a trace, or of made-up talks" },
    { "policy", POLICY, "what each eviction policy makes of a trace, or of made-up talks; no nodes" },
    { "scale", SCALE, "what a cluster of many nodes costs each of them, without sockets" },
    { "lost", LOST, "kills one of three nodes of its own: who misses what, and for how long" },
    { "resync", RESYNC, "a node of its own is told all that another holds, under load" },
    { "log", LOG, "the NVMe tier's segment log beside fio, on a disk of yours" },
    { "suite", SUITE, "starts nodes of its own and compares with memcpy, sockets and other stores" },
};

typedef enum { KIND_COUNT, KIND_BYTES, KIND_MS, KIND_TEXT, KIND_FLAG } kind_t;

typedef struct {
    const char *name;
    unsigned commands;
    kind_t kind;
    size_t offset, size;                //  Of the member
    uint64_t low, high;                 //  Numbers only
    const char *help;
} row_t;

#define MEMBER(name) \
    offsetof (umbp_bench_options_t, name), sizeof (((umbp_bench_options_t *) 0)->name)

static const row_t s_rows[] = {
    { "endpoints", CALLS | REPLAY, KIND_TEXT, MEMBER (endpoints), 0, 0,
      "nodes, tcp://host:port,...; the n-th client or thread starts with the n-th" },
    { "certificate", CALLS | REPLAY, KIND_TEXT, MEMBER (certificate), 0, 0,
      "file of ours, where nodes ask for one; also UMBP_CERTIFICATE" },
    { "server-certificate", CALLS | REPLAY, KIND_TEXT, MEMBER (server_certificate), 0, 0,
      "file of the node's, or a folder of several nodes'; also UMBP_SERVER_CERTIFICATE" },
    { "timeout", CALLS | REPLAY, KIND_MS, MEMBER (timeout_ms), 1, 600000, "deadline of a call" },
    { "seed", CALLS | REPLAY | SCALE | POLICY | LOG, KIND_COUNT, MEMBER (seed), 0, UINT64_MAX,
      "equal seeds make equal keys, bytes and choices" },
    { "json", CALLS | REPLAY | SCALE | POLICY, KIND_FLAG, MEMBER (json), 0, 0, "print the result as JSON" },
    { "threads", CALLS, KIND_COUNT, MEMBER (threads), 1, UMBP_BENCH_THREADS_MAX,
      "that call side by side, each the next once the last returned" },
    { "batch", CALLS | REPLAY, KIND_COUNT, MEMBER (batch), 1, UMBP_BENCH_BATCH_MAX,
      "blocks in a call, at most" },
    { "block-bytes", CALLS | REPLAY | LOG, KIND_BYTES, MEMBER (block_bytes), 1, GIB, "size of a block" },
    { "keys", CALLS | SUITE | SCALE | LOST | RESYNC, KIND_COUNT, MEMBER (keys), 1, UINT32_MAX,
      "different blocks; suite: of the rows about exists and memory" },
    { "nodes", SCALE, KIND_COUNT, MEMBER (nodes), 2, UMBP_NODES_MAX, "how many there are in the end" },
    { "joins", SCALE, KIND_COUNT, MEMBER (joins), 0, UMBP_NODES_MAX - 2,
      "of them join the others at once" },
    { "intervals", SCALE, KIND_COUNT, MEMBER (intervals), 1, 1000, "quiet ones that are measured" },
    { "gone", SCALE, KIND_COUNT, MEMBER (gone), 4, 1000,
      "intervals of silence after which a node is gone; suspect after 3" },
    { "cluster", SCALE, KIND_COUNT, MEMBER (cluster), 0, UMBP_BENCH_NODES_MAX,
      "start so many real nodes too, and count the messages of puts and gets; 0: none" },
    { "seconds", CALLS, KIND_MS, MEMBER (seconds_ms), 1, 3600000, "end after so long, 5s" },
    { "count", CALLS, KIND_COUNT, MEMBER (count), 0, UINT64_MAX,
      "end after so many blocks, those of all threads; 0: put each key once, others only by time" },
    { "gets", MIXED, KIND_COUNT, MEMBER (gets_percent), 0, 100,
      "percent of the calls that get and put what is not there; the others ask exists" },
    { "no-shm", CALLS | REPLAY, KIND_FLAG, MEMBER (no_shm), 0, 0,
      "as if the nodes were on other hosts" },
    { "copy-threads", CALLS | REPLAY, KIND_COUNT, MEMBER (copy_threads), 0, UMBP_CREW_MAX,
      "that help each client with large blocks; without it as many as it chooses" },
    { "tcp-streams", CALLS | REPLAY, KIND_COUNT, MEMBER (tcp_streams), 1, UMBP_STREAMS_MAX,
      "connections to one node for large batches; without it as many as it chooses" },
    { "strategy", CALLS | REPLAY, KIND_TEXT, MEMBER (strategy), 0, 0,
      "which node takes a block: default, local, most_free, weighted, same" },
    { "trace", REPLAY | POLICY, KIND_TEXT, MEMBER (trace), 0, 0,
      "requests in Mooncake's JSONL format; without it they are made up" },
    { "clients", REPLAY, KIND_COUNT, MEMBER (clients), 1, UMBP_BENCH_CLIENTS_MAX,
      "processes that take requests in turn" },
    { "far-clients", REPLAY, KIND_COUNT, MEMBER (far_clients), 0, UMBP_BENCH_CLIENTS_MAX,
      "so many of them, the last ones, as if on other hosts than the nodes" },
    { "requests", REPLAY | POLICY, KIND_COUNT, MEMBER (requests), 1, UINT32_MAX,
      "how many to take, or to make" },
    { "talks", REPLAY | POLICY, KIND_COUNT, MEMBER (talks), 1, 16384, "conversations at once, made up" },
    { "lru-capacity", REPLAY, KIND_COUNT, MEMBER (lru_blocks), 0, 1 << 30,
      "compare with an LRU of so many blocks; 0: do not" },
    { "wait-full", REPLAY, KIND_FLAG, MEMBER (wait_full), 0, 0,
      "while a pool is full wait up to the deadline, not 500 ms" },
    { "out", SUITE, KIND_TEXT, MEMBER (out), 0, 0, "file for the rows as JSON; nothing: none" },
    { "samples", SUITE | LOG, KIND_COUNT, MEMBER (samples), 1, 101, "of each row; the median counts" },
    { "directory", LOG | SUITE, KIND_TEXT, MEMBER (directory), 0, 0,
      "folder on the disk; it is left empty. suite without it: /var/tmp" },
    { "bytes", LOG, KIND_BYTES, MEMBER (bytes), 64 * MIB, 1024 * GIB, "written, and read, in each turn" },
    { "depth", LOG, KIND_COUNT, MEMBER (depth), 1, 256, "requests in flight" },
    { "engine", LOG, KIND_TEXT, MEMBER (engine), 0, 0, "auto, io_uring, posix" },
    { "rows", SUITE, KIND_TEXT, MEMBER (rows), 0, 0, "only rows whose name holds this" },
};

#define ROWS (sizeof s_rows / sizeof *s_rows)

static int s_fail (char *error, size_t error_size, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static int s_fail (char *error, size_t error_size, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (error, error_size, format, args);
    va_end (args);
    return UMBP_EINVAL;
}

//  Its bit, 0 if there is none
static unsigned s_command (const char *name)
{
    for (size_t index = 0; index < sizeof s_commands / sizeof *s_commands; index++)
        if (strcmp (s_commands[index].name, name) == 0)
            return s_commands[index].bit;
    return 0;
}

int umbp_bench_options_init (umbp_bench_options_t *self, const char *command)
{
    *self = (umbp_bench_options_t) {
        .timeout_ms = 10000, .seed = 1,
        .threads = 1, .batch = 32, .block_bytes = 64 * KIB, .keys = 1000,
        .seconds_ms = 5000, .gets_percent = 50, .strategy = "default",
        .copy_threads = UMBP_BENCH_COPY_AUTO,
        .clients = 2, .requests = 1000, .talks = 32,
        .samples = 5,
        .nodes = 256, .joins = 25, .intervals = 3, .gone = 6,
    };
    unsigned bit = s_command (command);
    if (bit == REPLAY)
        self->batch = 128;
    if (bit == LOG) {
        self->block_bytes = 2 * MIB;
        self->bytes = 4 * GIB;
        self->depth = 16;
        self->samples = 3;
        strcpy (self->engine, "auto");
    }
    if (bit == SUITE || bit == SCALE || bit == LOST)
        self->keys = 1000000;
    if (bit == POLICY)
        self->requests = 20000;
    if (bit == RESYNC)
        self->keys = 5000000;
    return bit ? 0 : UMBP_EINVAL;
}

//  ------------------------------------------------------------------------------------------------
//  Values

static const char *const s_strategies[] = {
    [UMBP_STRATEGY_DEFAULT] = "default", [UMBP_STRATEGY_LOCAL] = "local",
    [UMBP_STRATEGY_MOST_FREE] = "most_free", [UMBP_STRATEGY_WEIGHTED] = "weighted",
    [UMBP_STRATEGY_SAME] = "same",
};

//  -1 if there is none of that name
static int s_strategy (const char *name)
{
    for (int number = UMBP_STRATEGY_SAME; number >= 0; number--)
        if (strcmp (s_strategies[number], name) == 0)
            return number;
    return -1;
}

int umbp_bench_options_strategy (const umbp_bench_options_t *self)
{
    return s_strategy (self->strategy);
}

static int s_read_number (const row_t *row, const char *text, uint64_t *number)
{
    if (row->kind == KIND_BYTES)
        return umbp_units_read_bytes (text, number);
    return row->kind == KIND_MS ? umbp_units_read_ms (text, number)
                                : umbp_units_read_count (text, number);
}

//  The range as one would write it
static void s_write_range (const row_t *row, char *out, size_t size)
{
    char low[UMBP_UNITS_ROOM], high[UMBP_UNITS_ROOM];
    if (row->kind == KIND_BYTES)
        snprintf (out, size, "%s to %s", umbp_units_write_bytes (row->low, low),
                  umbp_units_write_bytes (row->high, high));
    else if (row->kind == KIND_MS)
        snprintf (out, size, "%s to %s", umbp_units_write_ms (row->low, low),
                  umbp_units_write_ms (row->high, high));
    else
        snprintf (out, size, "%" PRIu64 " to %" PRIu64, row->low, row->high);
}

static int s_set (umbp_bench_options_t *self, const row_t *row, const char *text, char *error,
                  size_t error_size)
{
    char *member = (char *) self + row->offset, range[2 * UMBP_UNITS_ROOM + 8];
    if (row->kind == KIND_FLAG)
        *(bool *) member = true;
    else if (row->kind == KIND_TEXT) {
        if (strlen (text) >= row->size)
            return s_fail (error, error_size, "--%s: more than %zu bytes", row->name,
                           row->size - 1);
        memcpy (member, text, strlen (text) + 1);
    } else {
        uint64_t number = 0;
        s_write_range (row, range, sizeof range);
        if (s_read_number (row, text, &number) < 0 || number < row->low || number > row->high)
            return s_fail (error, error_size, "--%s %s: allowed are %s", row->name, text, range);
        memcpy (member, &number, sizeof number);
    }
    return 0;
}

static const row_t *s_find (const char *name, size_t length, unsigned command)
{
    for (size_t index = 0; index < ROWS; index++)
        if (s_rows[index].commands & command && strlen (s_rows[index].name) == length
            && strncmp (s_rows[index].name, name, length) == 0)
            return &s_rows[index];
    return NULL;
}

int umbp_bench_options_read (umbp_bench_options_t *self, const char *command, int argc,
                             char *const *argv, char *error, size_t error_size)
{
    for (int index = 0; index < argc; index++) {
        bool option = strncmp (argv[index], "--", 2) == 0;
        const char *name = option ? argv[index] + 2 : "", *value = NULL;
        size_t length = strcspn (name, "=");
        const row_t *row = s_find (name, length, s_command (command));
        if (!row)
            return s_fail (error, error_size,
                           "%s: %s has no such option; umbp-bench help tells all", argv[index],
                           command);
        if (name[length] == '=')
            value = name + length + 1;
        else if (row->kind != KIND_FLAG && index + 1 < argc)
            value = argv[++index];
        if ((row->kind == KIND_FLAG) != (value == NULL))
            return s_fail (error, error_size, "--%s: %s", row->name,
                           value ? "takes no value" : "needs a value");
        int rc = s_set (self, row, value, error, error_size);
        if (rc < 0)
            return rc;
    }
    uint64_t side_by_side = s_command (command) == REPLAY ? self->clients : self->threads;
    if (self->block_bytes > UMBP_BENCH_ROOM_MAX / self->batch / side_by_side)
        return s_fail (error, error_size,
                       "--block-bytes * --batch, for each thread or client: allowed are 16GiB");
    if (self->joins + 2 > self->nodes)
        return s_fail (error, error_size, "--joins: allowed are 2 less than --nodes");
    if (s_strategy (self->strategy) < 0)
        return s_fail (error, error_size,
                       "--strategy: allowed are default, local, most_free, "
                       "weighted, same");
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  The rest

void umbp_bench_options_secure (const umbp_bench_options_t *self, umbp_options_t *how)
{
    how->certificate = *self->certificate ? self->certificate : NULL;
    how->server_certificate = *self->server_certificate ? self->server_certificate : NULL;
}

void umbp_bench_options_copies (const umbp_bench_options_t *self, umbp_options_t *how)
{
    if (self->copy_threads != UMBP_BENCH_COPY_AUTO)
        how->copy_threads = self->copy_threads ? (int) self->copy_threads : UMBP_COPY_ALONE;
    how->tcp_streams = (unsigned) self->tcp_streams;
}

char *umbp_bench_options_endpoint (const umbp_bench_options_t *self, size_t number, char *out,
                                   size_t size)
{
    size_t count = 1;
    for (const char *at = self->endpoints; *at; at++)
        count += *at == ',';
    const char *start = self->endpoints;
    for (number %= count; number > 0; number--)
        start = strchr (start, ',') + 1;
    snprintf (out, size, "%.*s", (int) strcspn (start, ","), start);
    return out;
}

void umbp_bench_options_help (FILE *out)
{
    fputs ("umbp-bench COMMAND [OPTION...]\n\nCommands\n", out);
    for (size_t index = 0; index < sizeof s_commands / sizeof *s_commands; index++)
        fprintf (out, "  %-10s %s\n", s_commands[index].name, s_commands[index].help);
    fputs ("\nOptions, with the commands that take them\n", out);
    for (size_t index = 0; index < ROWS; index++) {
        fprintf (out, "  --%-14s %s\n  %17s", s_rows[index].name, s_rows[index].help, "");
        for (size_t at = 0; at < sizeof s_commands / sizeof *s_commands; at++)
            if (s_rows[index].commands & s_commands[at].bit)
                fprintf (out, "%s ", s_commands[at].name);
        fputc ('\n', out);
    }
    fputs ("\nExit status: 0, 1 if a byte was wrong or the run failed, 2 for wrong arguments\n",
           out);
}

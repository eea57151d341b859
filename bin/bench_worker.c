//  bin/bench_worker.c - a client process of the replay, see bench_worker.h
#include "bin/bench_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FULL_MS 500                     //  To wait for room, unless told to wait for long

typedef char key_text_t[UMBP_WORKLOAD_KEY_SIZE];

typedef struct {
    const umbp_bench_options_t *options;
    umbp_t *pool;
    int fd;
    uint64_t *ids;                      //  The request at hand
    key_text_t *texts;
    umbp_key_t *keys;
    bool *got;
    uint8_t *room;                      //  Of a batch of blocks
    umbp_item_t items[UMBP_BENCH_BATCH_MAX];
    uint32_t numbers[UMBP_BENCH_BATCH_MAX];         //  Of the items, in the request
    umbp_bench_done_t done;
    umbp_bench_sample_t *samples;
} self_t;

bool umbp_bench_read_all (int fd, void *data, size_t size)
{
    for (uint8_t *at = data; size > 0;) {
        ssize_t got = recv (fd, at, size, 0);
        if (got == -1 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t) got;
    }
    return true;
}

bool umbp_bench_write_all (int fd, const void *data, size_t size)
{
    for (const uint8_t *at = data; size > 0;) {
        ssize_t sent = send (fd, at, size, MSG_NOSIGNAL);
        if (sent == -1 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t) sent;
    }
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  A request

static void s_sample (self_t *self, umbp_bench_op_t op, uint64_t start_ns, size_t items)
{
    self->samples[self->done.samples++] =
        (umbp_bench_sample_t){ /* clang-format off */
        .op = op, .items = (uint32_t) items, .ns = umbp_bench_now_ns () - start_ns };
}

static void s_error (self_t *self, int status)
{
    self->done.errors[status < 0 && status >= UMBP_ERR_LAST ? -status : 0]++;
}

static void s_wrong (self_t *self, uint32_t number)
{
    if (self->done.wrong++ == 0)
        memcpy (self->done.wrong_key, self->texts[number], sizeof self->done.wrong_key);
}

//  Make a block the next item of the batch
static void s_add_item (self_t *self, size_t index, uint32_t number)
{
    uint64_t bytes = self->options->block_bytes;
    self->numbers[index] = number;
    self->items[index] =
        (umbp_item_t){ /* clang-format off */
        .key = self->keys[number], .data = self->room + index * bytes, .size = bytes,
        .depth = (uint16_t) (number < UINT16_MAX ? number : UINT16_MAX) };
}

static uint32_t s_ask_prefix (self_t *self)
{
    if (self->done.blocks == 0)
        return 0;
    uint64_t start_ns = umbp_bench_now_ns ();
    int rc = umbp_exists_prefix (self->pool, self->keys, self->done.blocks, 0);
    s_sample (self, UMBP_BENCH_EXISTS, start_ns, self->done.blocks);
    if (rc < 0)
        s_error (self, rc);
    return rc > 0 ? (uint32_t) rc : 0;
}

//  Get a batch and compare every byte with what was put
static void s_get (self_t *self, size_t count)
{
    uint64_t bytes = self->options->block_bytes, start_ns = umbp_bench_now_ns ();
    umbp_get_batch (self->pool, self->items, count, 0);
    s_sample (self, UMBP_BENCH_GET, start_ns, count);
    for (size_t index = 0; index < count; index++) {
        const umbp_item_t *item = &self->items[index];
        uint32_t number = self->numbers[index];
        self->got[number] = item->status == 0;
        if (item->status == UMBP_ENOENT)
            self->done.lost++;
        else if (item->status != 0)
            s_error (self, item->status);
        else if (item->size != bytes
                 || !umbp_workload_verify (self->ids[number], item->data, bytes))
            s_wrong (self, number);
        else
            self->done.hits++;
    }
}

static void s_put (self_t *self, size_t count)
{
    uint64_t bytes = self->options->block_bytes;
    umbp_put_options_t how = { .strategy = umbp_bench_options_strategy (self->options),
                               .full_ms = self->options->wait_full ? 0 : FULL_MS };
    for (size_t index = 0; index < count; index++)
        umbp_workload_fill (self->ids[self->numbers[index]], self->items[index].data, bytes);
    uint64_t start_ns = umbp_bench_now_ns ();
    umbp_put_batch (self->pool, self->items, count, &how, 0);
    s_sample (self, UMBP_BENCH_PUT, start_ns, count);
    for (size_t index = 0; index < count; index++) {
        int status = self->items[index].status;
        if (status == 0)
            self->done.stored++;
        else if (status == UMBP_EEXIST)
            self->done.already++;
        else if (status == UMBP_EAGAIN)
            self->done.full++;
        else
            s_error (self, status);
    }
}

//  Call with all blocks from..until that were or were not got, in batches from the last to the
//  first
static void s_in_batches (self_t *self, uint32_t from, uint32_t until, bool got,
                          void (*call) (self_t *, size_t))
{
    while (until > from) {
        size_t batch = self->options->batch, count = 0;
        uint32_t first = until - from > batch ? until - (uint32_t) batch : from;
        for (uint32_t number = first; number < until; number++)
            if (self->got[number] == got)
                s_add_item (self, count++, number);
        if (count > 0)
            call (self, count);
        until = first;
    }
}

static void s_request (self_t *self, uint32_t blocks)
{
    self->done = (umbp_bench_done_t) { .blocks = blocks };
    for (uint32_t number = 0; number < blocks; number++) {
        self->keys[number] = (umbp_key_t) { self->texts[number], UMBP_WORKLOAD_KEY_SIZE - 1 };
        self->got[number] = false;
    }
    self->done.said = s_ask_prefix (self);
    s_in_batches (self, 0, self->done.said, false, s_get);
    while (self->done.prefix < self->done.said && self->got[self->done.prefix])
        self->done.prefix++;
    s_in_batches (self, self->done.prefix, blocks, false, s_put);
    umbp_stats (self->pool, &self->done.stats);
}

//  ------------------------------------------------------------------------------------------------
//  Life

static bool s_next (self_t *self, uint32_t *blocks)
{
    umbp_bench_task_t task;
    if (!umbp_bench_read_all (self->fd, &task, sizeof task)
        || task.blocks > UMBP_WORKLOAD_BLOCKS_MAX)
        return false;
    *blocks = task.blocks;
    return umbp_bench_read_all (self->fd, self->ids, task.blocks * sizeof *self->ids)
           && umbp_bench_read_all (self->fd, self->texts, task.blocks * sizeof *self->texts);
}

static bool s_report (self_t *self)
{
    return umbp_bench_write_all (self->fd, &self->done, sizeof self->done)
           && umbp_bench_write_all (self->fd, self->samples,
                                    self->done.samples * sizeof *self->samples);
}

static bool s_make_room (self_t *self)
{
    size_t most = UMBP_WORKLOAD_BLOCKS_MAX;
    self->ids = calloc (most, sizeof *self->ids);
    self->texts = calloc (most, sizeof *self->texts);
    self->keys = calloc (most, sizeof *self->keys);
    self->got = calloc (most, sizeof *self->got);
    self->room = malloc (self->options->batch * self->options->block_bytes);
    self->samples = calloc (UMBP_BENCH_SAMPLES_MAX, sizeof *self->samples);
    return self->ids && self->texts && self->keys && self->got && self->room && self->samples;
}

static void s_free_room (self_t *self)
{
    free (self->ids);
    free (self->texts);
    free (self->keys);
    free (self->got);
    free (self->room);
    free (self->samples);
    free (self);
}

static int s_connect (self_t *self, size_t number)
{
    char endpoint[UMBP_BENCH_TEXT];
    int err = 0;
    umbp_bench_options_endpoint (self->options, number, endpoint, sizeof endpoint);
    bool far = number + self->options->far_clients >= self->options->clients;
    umbp_options_t how = { .endpoints = *endpoint ? endpoint : NULL,
                           .timeout_ms = (uint32_t) self->options->timeout_ms,
                           .no_shm = self->options->no_shm || far, .lanes = 1 };
    umbp_bench_options_secure (self->options, &how);
    umbp_bench_options_copies (self->options, &how);
    self->pool = umbp_connect (&how, &err);
    if (!self->pool)
        fprintf (stderr, "umbp-bench: client %zu: %s: %s (%s)\n", number, endpoint,
                 umbp_strerror (err), umbp_errname (err));
    return self->pool ? 0 : err;
}

int umbp_bench_worker (const umbp_bench_options_t *options, size_t number, int fd)
{
    self_t *self = calloc (1, sizeof (self_t));
    if (!self)
        return 1;
    self->options = options;
    self->fd = fd;
    bool fine = s_make_room (self) && s_connect (self, number) == 0;
    uint32_t blocks;
    while (fine && s_next (self, &blocks)) {
        s_request (self, blocks);
        fine = s_report (self);
    }
    umbp_close (&self->pool);
    s_free_room (self);
    return fine ? 0 : 1;
}

//  bin/bench_bulk.c - rows of the suite about large blocks: how much of a memcpy and of a plain
//  socket is left when the bytes go through the pool, are named, leased and verified.
//
//  Two nodes, processes of their own. Blocks of 2 MiB are drawn at random from a set of 1 GiB, far
//  more than any cache, 32 in a call; what is compared moves as many bytes between as large
//  buffers. Times are those of the calls alone. Bytes are compared with what was put in the first
//  round, which is not timed.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "bin/bench_iperf.h"
#include "bin/bench_loop.h"
#include "bin/bench_nodes.h"
#include "bin/bench_socket.h"
#include "bin/bench_suite.h"
#include "bin/bench_tally.h"
#include "bin/workload.h"
#include "client/crew.h"
#include "client/umbp.h"
#include "proto/splitmix.h"

#define BLOCK ((size_t) 2 << 20)
#define BATCH 32
#define BLOCKS 512                      //  1 GiB; nodes have room for 384 more, which are put
#define ROUNDS 4                        //  Calls in a measurement: 256 MiB
#define TIMEOUT_MS 30000
#define CONGESTION "cubic"              //  As the bulk connections have it
#define IPERF_WRITE ((size_t) 1 << 20)  //  As well
#define IPERF_GIB 1
#define IPERF_ROUNDS 16                 //  The same
#define HOT ((size_t) 1 << 20)          //  Bytes of the block that is read again and again

typedef struct {
    umbp_bench_cluster_t cluster;
    umbp_t *near;                       //  To the first node, with shared memory, one thread
    umbp_t *crew;                       //  The same, with as many threads as it chooses
    umbp_crew_t *copiers;               //  As many for memcpy
    uint8_t *there[BATCH];              //  From where, or to where
    umbp_t *far;                        //  To the first node, without; its blocks are on the second
    umbp_t *raw;                        //  The same, and it does not verify
    umbp_t *over;                       //  To the second node, without
    umbp_bench_socket_t socket;
    int file;                           //  A memfd of 1 GiB: what is compared moves its bytes
    uint8_t *map;
    uint8_t *rooms[BATCH];              //  Buffers of a batch
    umbp_item_t items[BATCH];
    char names[BATCH][UMBP_BENCH_KEY_SIZE];
    uint64_t seeds[BATCH], random, next;
    bool checked[4];                    //  Whether the bytes of near, far, raw and crew were compared
    bool no_iperf;
} self_t;

typedef struct {
    double start_cpu;
    uint64_t ns;                        //  Of the calls
    uint64_t moved;
} clock_work_t;

//  CPU time of all processes that take part
static double s_cpu (const self_t *self)
{
    return umbp_bench_suite_cpu () + umbp_bench_cluster_cpu (&self->cluster)
           + umbp_bench_cpu (self->socket.pid);
}

static umbp_bench_probe_t s_probe (const self_t *self, const clock_work_t *work)
{
    double gb = (double) work->moved / 1e9;
    double seconds = (double) work->ns / 1e9, cpu_s = s_cpu (self) - work->start_cpu;
    return (umbp_bench_probe_t) { .value = gb / seconds, .gb = gb, .cpu_s = cpu_s };
}

static umbp_bench_probe_t s_failed (const char *what, int status)
{
    fprintf (stderr, "umbp-bench: %s: %s\n", what, umbp_errname (status));
    return (umbp_bench_probe_t) { .value = -1 };
}

//  ------------------------------------------------------------------------------------------------
//  Blocks

//  Make a block, by its number, an item of the batch
static void s_set_item (self_t *self, uint64_t run, size_t index, uint64_t number)
{
    self->seeds[index] = umbp_bench_key (run, number, self->names[index]);
    self->items[index] = (umbp_item_t){ /* clang-format off */
        .key = { self->names[index], UMBP_BENCH_KEY_SIZE - 1 }, .data = self->rooms[index],
        .size = BLOCK };
}

static int s_worst (const self_t *self)
{
    for (size_t index = 0; index < BATCH; index++)
        if (self->items[index].status != 0)
            return self->items[index].status;
    return 0;
}

static int s_load (self_t *self, umbp_t *pool, uint64_t run)
{
    umbp_put_options_t how = { .strategy = UMBP_STRATEGY_LOCAL };
    for (uint64_t first = 0; first < BLOCKS; first += BATCH) {
        for (size_t index = 0; index < BATCH; index++) {
            s_set_item (self, run, index, first + index);
            umbp_workload_fill (self->seeds[index], self->rooms[index], BLOCK);
        }
        umbp_put_batch (pool, self->items, BATCH, &how, TIMEOUT_MS);
        if (s_worst (self) != 0)
            return s_worst (self);
    }
    return 0;
}

static bool s_bytes_right (const self_t *self)
{
    for (size_t index = 0; index < BATCH; index++)
        if (!umbp_workload_verify (self->seeds[index], self->rooms[index], BLOCK))
            return false;
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  Ours

static umbp_bench_probe_t s_get (self_t *self, umbp_t *pool, uint64_t run, int rounds,
                                 bool *checked)
{
    clock_work_t work = { .start_cpu = s_cpu (self) };
    for (int round = 0; round < rounds; round++) {
        uint64_t first = umbp_splitmix (&self->random);
        for (size_t index = 0; index < BATCH; index++)        //  Odd steps visit each once
            s_set_item (self, run, index, (first + index * 37) % BLOCKS);
        uint64_t start_ns = umbp_bench_now_ns ();
        umbp_get_batch (pool, self->items, BATCH, TIMEOUT_MS);
        work.ns += umbp_bench_now_ns () - start_ns;
        work.moved += BATCH * BLOCK;
        if (s_worst (self) != 0)
            return s_failed ("get", s_worst (self));
        if (!*checked && !s_bytes_right (self))
            return s_failed ("get: WRONG BYTES", UMBP_ECHECKSUM);
    }
    *checked = true;
    return s_probe (self, &work);
}

static umbp_bench_probe_t s_get_near (void *arg)
{
    self_t *self = arg;
    return s_get (self, self->near, 1, ROUNDS, &self->checked[0]);
}

static umbp_bench_probe_t s_get_crew (void *arg)
{
    self_t *self = arg;
    return s_get (self, self->crew, 1, ROUNDS, &self->checked[3]);
}

static umbp_bench_probe_t s_get_far (void *arg)
{
    self_t *self = arg;
    return s_get (self, self->far, 2, ROUNDS, &self->checked[1]);
}

//  As many bytes as iperf3 moves. Both begin after a pause: a core that halted is slow to wake
static umbp_bench_probe_t s_get_far_long (void *arg)
{
    self_t *self = arg;
    return s_get (self, self->far, 2, IPERF_ROUNDS, &self->checked[1]);
}

static umbp_bench_probe_t s_get_raw (void *arg)
{
    self_t *self = arg;
    return s_get (self, self->raw, 2, IPERF_ROUNDS, &self->checked[2]);
}

//  What iperf3 does: one buffer again and again, which stays in the caches at both ends. Nobody looks
//  at the bytes.
static umbp_bench_probe_t s_get_hot (void *arg)
{
    self_t *self = arg;
    clock_work_t work = { .start_cpu = s_cpu (self) };
    s_set_item (self, 4, 0, 0);
    for (size_t index = 0; index < BATCH; index++) {
        self->items[index] = self->items[0];
        self->items[index].size = HOT;
    }
    for (size_t moved = 0; moved < (size_t) IPERF_GIB << 30; moved += BATCH * HOT) {
        uint64_t start_ns = umbp_bench_now_ns ();
        umbp_get_batch (self->raw, self->items, BATCH, TIMEOUT_MS);
        work.ns += umbp_bench_now_ns () - start_ns;
        work.moved += BATCH * HOT;
        if (s_worst (self) != 0)
            return s_failed ("get", s_worst (self));
    }
    if (!umbp_workload_verify (self->seeds[0], self->rooms[0], HOT))
        return s_failed ("get: WRONG BYTES", UMBP_ECHECKSUM);
    return s_probe (self, &work);
}

static int s_load_hot (self_t *self)
{
    umbp_put_options_t how = { .strategy = UMBP_STRATEGY_LOCAL };
    s_set_item (self, 4, 0, 0);
    self->items[0].size = HOT;
    umbp_workload_fill (self->seeds[0], self->rooms[0], HOT);
    umbp_put_batch (self->over, self->items, 1, &how, TIMEOUT_MS);
    return self->items[0].status;
}

//  One after the other, each verified where it lies and let go: no bytes are moved
static umbp_bench_probe_t s_view_near (void *arg)
{
    self_t *self = arg;
    clock_work_t work = { .start_cpu = s_cpu (self) };
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t first = umbp_splitmix (&self->random);
        for (size_t index = 0; index < BATCH; index++)
            s_set_item (self, 1, index, (first + index * 37) % BLOCKS);
        uint64_t start_ns = umbp_bench_now_ns ();
        for (size_t index = 0; index < BATCH; index++) {
            int err = 0;
            umbp_view_t *view =
                umbp_view_get (self->near, self->items[index].key, TIMEOUT_MS, &err);
            if (!view)
                return s_failed ("view", err);
            umbp_view_release (&view);
        }
        work.ns += umbp_bench_now_ns () - start_ns;
        work.moved += BATCH * BLOCK;
    }
    return s_probe (self, &work);
}

//  New blocks, which are removed again behind the clock
static umbp_bench_probe_t s_put (self_t *self, umbp_t *pool)
{
    clock_work_t work = { .start_cpu = s_cpu (self) };
    umbp_put_options_t how = { .strategy = UMBP_STRATEGY_LOCAL };
    uint64_t first = self->next;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t index = 0; index < BATCH; index++)
            s_set_item (self, 3, index, self->next++);
        uint64_t start_ns = umbp_bench_now_ns ();
        umbp_put_batch (pool, self->items, BATCH, &how, TIMEOUT_MS);
        work.ns += umbp_bench_now_ns () - start_ns;
        work.moved += BATCH * BLOCK;
        if (s_worst (self) != 0)
            return s_failed ("put", s_worst (self));
    }
    umbp_bench_probe_t probe = s_probe (self, &work);
    for (; first < self->next; first += BATCH) {
        umbp_key_t keys[BATCH];
        for (size_t index = 0; index < BATCH; index++) {
            s_set_item (self, 3, index, first + index);
            keys[index] = self->items[index].key;
        }
        int gone = umbp_remove_batch (pool, keys, BATCH, NULL, TIMEOUT_MS);
        if (gone != BATCH)
            return s_failed ("remove", gone);
    }
    return probe;
}

static umbp_bench_probe_t s_put_near (void *arg)
{
    self_t *self = arg;
    return s_put (self, self->near);
}

static umbp_bench_probe_t s_put_crew (void *arg)
{
    self_t *self = arg;
    return s_put (self, self->crew);
}

static umbp_bench_probe_t s_put_over (void *arg)
{
    self_t *self = arg;
    return s_put (self, self->over);
}

//  ------------------------------------------------------------------------------------------------
//  What is compared

typedef void (copy_fn) (void *to, const void *from, size_t size);

static void s_plain_copy (void *to, const void *from, size_t size)
{
    memcpy (to, from, size);
}

//  Past the caches, as the fastest copy of cold bytes goes. Whole lines, aligned.
static void s_stream_copy (void *to, const void *from, size_t size)
{
#ifdef __SSE2__
    for (size_t at = 0; at < size; at += 4 * sizeof (__m128i)) {
        const __m128i *source = (const __m128i *) ((const uint8_t *) from + at);
        __m128i *target = (__m128i *) ((uint8_t *) to + at);
        __m128i one = _mm_load_si128 (source), two = _mm_load_si128 (source + 1);
        __m128i three = _mm_load_si128 (source + 2), four = _mm_load_si128 (source + 3);
        _mm_stream_si128 (target, one);
        _mm_stream_si128 (target + 1, two);
        _mm_stream_si128 (target + 2, three);
        _mm_stream_si128 (target + 3, four);
    }
    _mm_sfence ();
#else
    memcpy (to, from, size);
#endif
}

static umbp_bench_probe_t s_copy (self_t *self, bool to_file, copy_fn *copy)
{
    clock_work_t work = { .start_cpu = s_cpu (self) };
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t first = umbp_splitmix (&self->random), start_ns = umbp_bench_now_ns ();
        for (size_t index = 0; index < BATCH; index++) {
            uint8_t *there = self->map + (first + index * 37) % BLOCKS * BLOCK;
            copy (to_file ? there : self->rooms[index], to_file ? self->rooms[index] : there,
                  BLOCK);
        }
        work.ns += umbp_bench_now_ns () - start_ns;
        work.moved += BATCH * BLOCK;
    }
    return s_probe (self, &work);
}

static umbp_bench_probe_t s_memcpy_in (void *arg)
{
    return s_copy (arg, false, s_plain_copy);
}

static umbp_bench_probe_t s_memcpy_out (void *arg)
{
    return s_copy (arg, true, s_plain_copy);
}

static umbp_bench_probe_t s_stream_in (void *arg)
{
    return s_copy (arg, false, s_stream_copy);
}

static void s_copy_in (void *arg, size_t index)
{
    self_t *self = arg;
    memcpy (self->rooms[index], self->there[index], BLOCK);
}

static void s_copy_out (void *arg, size_t index)
{
    self_t *self = arg;
    memcpy (self->there[index], self->rooms[index], BLOCK);
}

//  By as many threads, each block by one of them
static umbp_bench_probe_t s_copy_together (self_t *self, umbp_crew_fn *copy)
{
    clock_work_t work = { .start_cpu = s_cpu (self) };
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t first = umbp_splitmix (&self->random), start_ns = umbp_bench_now_ns ();
        for (size_t index = 0; index < BATCH; index++)
            self->there[index] = self->map + (first + index * 37) % BLOCKS * BLOCK;
        umbp_crew_run (self->copiers, copy, self, BATCH);
        work.ns += umbp_bench_now_ns () - start_ns;
        work.moved += BATCH * BLOCK;
    }
    return s_probe (self, &work);
}

static umbp_bench_probe_t s_memcpy_in_crew (void *arg)
{
    return s_copy_together (arg, s_copy_in);
}

static umbp_bench_probe_t s_memcpy_out_crew (void *arg)
{
    return s_copy_together (arg, s_copy_out);
}

static umbp_bench_probe_t s_socket (self_t *self, umbp_bench_socket_way_t way)
{
    clock_work_t work = { .start_cpu = s_cpu (self) };
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t first = umbp_splitmix (&self->random), offsets[BATCH];
        for (size_t index = 0; index < BATCH; index++)
            offsets[index] = (first + index * 37) % BLOCKS * BLOCK;
        uint64_t start_ns = umbp_bench_now_ns ();
        if (!umbp_bench_socket_move (&self->socket, way, offsets, self->rooms, BATCH, BLOCK))
            return s_failed ("plain socket", UMBP_EIO);
        work.ns += umbp_bench_now_ns () - start_ns;
        work.moved += BATCH * BLOCK;
    }
    return s_probe (self, &work);
}

static umbp_bench_probe_t s_socket_sendfile (void *arg)
{
    return s_socket (arg, UMBP_BENCH_SENDFILE);
}

static umbp_bench_probe_t s_socket_send (void *arg)
{
    return s_socket (arg, UMBP_BENCH_SEND);
}

static umbp_bench_probe_t s_socket_receive (void *arg)
{
    return s_socket (arg, UMBP_BENCH_RECEIVE);
}

//  In writes as large as those of our bulk server
static umbp_bench_probe_t s_iperf (void *arg)
{
    self_t *self = arg;
    const char *why = "";
    umbp_bench_probe_t probe = { .gb = IPERF_GIB * 1.073741824 };
    probe.value = umbp_bench_iperf (self->cluster.folder, IPERF_GIB, IPERF_WRITE, CONGESTION,
                                    &probe.cpu_s, &why);
    if (probe.value < 0)
        fprintf (stderr, "umbp-bench: iperf3: %s\n", why);
    return probe;
}

//  ------------------------------------------------------------------------------------------------
//  The part

static const umbp_bench_row_t s_rows[] = {
    { "get 2 MiB x 32, shared memory, verified", "GB/s", "memcpy", 0.90, false, s_get_near,
      s_memcpy_in },
    { "get 2 MiB x 32, shared memory, verified, again", "GB/s", "copy past the caches", 0.85, false,
      s_get_near, s_stream_in },
    { "get 2 MiB x 32, shared memory, all cores", "GB/s", "memcpy, as many threads", 0.90, false,
      s_get_crew, s_memcpy_in_crew },
    { "put 2 MiB x 32, shared memory, all cores", "GB/s", "memcpy, as many threads", 0.85, false,
      s_put_crew, s_memcpy_out_crew },
    { "view 2 MiB x 32, shared memory, verified", "GB/s", "memcpy", 0, false, s_view_near,
      s_memcpy_in },
    { "put 2 MiB x 32, shared memory", "GB/s", "memcpy", 0.85, false, s_put_near, s_memcpy_out },
    { "get 2 MiB x 32, tcp, verified", "GB/s", "sendfile and recv", 0.70, false, s_get_far,
      s_socket_sendfile },
    { "get 2 MiB x 32, tcp, verified, again", "GB/s", "send and recv", 0, false, s_get_far,
      s_socket_send },
    { "get 2 MiB x 32, tcp, verified, once more", "GB/s", "iperf3, one stream", 0.70, false,
      s_get_far_long, s_iperf },
    { "get 2 MiB x 32, tcp, not verified", "GB/s", "iperf3, one stream", 0.90, false, s_get_raw,
      s_iperf },
    { "get one 1 MiB block x 32, tcp, not verified", "GB/s", "iperf3, one stream", 0.90, false,
      s_get_hot, s_iperf },
    { "put 2 MiB x 32, tcp", "GB/s", "send and recv", 0, false, s_put_over, s_socket_receive },
};

#define ROWS (sizeof s_rows / sizeof *s_rows)

//  The buffers, all faulted in
static bool s_make_room (self_t *self)
{
    size_t bytes = BLOCKS * BLOCK;
    self->file = memfd_create ("umbp-bench", MFD_CLOEXEC);
    if (self->file == -1 || ftruncate (self->file, (off_t) bytes) == -1)
        return false;
    self->map = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self->file, 0);
    uint8_t *room = aligned_alloc (4096, BATCH * BLOCK);
    if (self->map == MAP_FAILED || !room)
        return false;
    memset (self->map, 7, bytes);
    memset (room, 7, BATCH * BLOCK);
    for (size_t index = 0; index < BATCH; index++)
        self->rooms[index] = room + index * BLOCK;
    return true;
}

static umbp_t *s_connect (const self_t *self, size_t node, bool no_shm, bool no_verify,
                          int copy_threads)
{
    int err = 0;
    const char *endpoint = self->cluster.nodes[node].endpoint;
    umbp_options_t how = { .endpoints = endpoint,
                           .no_shm = no_shm,
                           .no_verify = no_verify,
                           .copy_threads = copy_threads,
                           .timeout_ms = TIMEOUT_MS };
    umbp_t *pool = umbp_connect (&how, &err);
    if (!pool)
        fprintf (stderr, "umbp-bench: %s: %s\n", how.endpoints, umbp_errname (err));
    return pool;
}

static bool s_start (self_t *self)
{
    static const char flags[] =
        "--dram-capacity 1792MiB --dram-region 2GiB --eviction-high 100 --eviction-low 99";
    if (!umbp_bench_socket_start (&self->socket, self->file, BLOCKS * BLOCK, CONGESTION)
        || umbp_bench_cluster_start (&self->cluster, 2, flags) != 0)
        return false;
    self->near = s_connect (self, 0, false, false, UMBP_COPY_ALONE);
    self->crew = s_connect (self, 0, false, false, 0);
    self->copiers = umbp_crew_new (umbp_crew_fitting ());
    self->far = s_connect (self, 0, true, false, 0);
    self->raw = s_connect (self, 0, true, true, 0);
    self->over = s_connect (self, 1, true, false, 0);
    return self->near && self->crew && self->far && self->raw && self->over
           && s_load (self, self->near, 1) == 0 && s_load (self, self->over, 2) == 0
           && s_load_hot (self) == 0;
}

static void s_stop (umbp_bench_suite_t *suite, self_t *self)
{
    umbp_close (&self->near);
    umbp_close (&self->crew);
    umbp_crew_destroy (&self->copiers, false);
    umbp_close (&self->far);
    umbp_close (&self->raw);
    umbp_close (&self->over);
    umbp_bench_socket_stop (&self->socket);
    if (umbp_bench_cluster_stop (&self->cluster) != 0)
        suite->failed = true;
    free (self->rooms[0]);
    if (self->map && self->map != MAP_FAILED)
        munmap (self->map, BLOCKS * BLOCK);
    if (self->file >= 0)
        close (self->file);
    free (self);
}

//  Beside iperf3 only if it works here
static void s_row (umbp_bench_suite_t *suite, umbp_bench_row_t row, self_t *self)
{
    if (row.peer == s_iperf && umbp_bench_suite_wants (suite, row.name)) {
        if (!self->no_iperf && s_iperf (self).value < 0) {
            printf ("No comparison with iperf3: there is none, or it failed\n");
            self->no_iperf = true;
        }
        row.peer = self->no_iperf ? NULL : row.peer;
    }
    umbp_bench_suite_row (suite, &row, self);
}

void umbp_bench_bulk_rows (umbp_bench_suite_t *suite)
{
    bool any = umbp_bench_suite_wants_any (suite, s_rows, ROWS);
    self_t *self = any ? calloc (1, sizeof *self) : NULL;
    if (!self)
        return;
    self->socket.sock = -1;
    if (s_make_room (self) && s_start (self))
        for (size_t index = 0; index < ROWS; index++)
            s_row (suite, s_rows[index], self);
    else
        umbp_bench_suite_miss (suite, "large blocks", "could not start");
    s_stop (suite, self);
}

//  test/chaos/load.c - one client of the chaos test: puts, gets, asks for and removes blocks of its
//  own and of those that all share, for ever, whatever becomes of its node. What it was promised
//  goes to its log, a line each, before the next call begins:
//
//      P begun ended status key        a put that was answered; status 0, or EEXIST's number
//      W key node,node                 where it is, asked after the put
//      R begun key                     a remove that begins: from now on the block may be gone
//      D ended status key              ... and what was answered
//      X ended what key                what must never be: WRONG bytes, a call that is LATE
//      N calls errors                  from time to time: how much was done
//
//  Times are CLOCK_MONOTONIC in ms. A call that is late says where it is, to stderr; one that never
//  ends ends the process by SIGALRM, and the last line of the log, "B name", says which it was. For
//  time in which this process did not run at all nobody is blamed. SIGTERM: finish the call and
//  exit with 0.
//
//      chaos-load --endpoint E --name N --seed S --log FILE [--tcp] [--fill BYTES]
//                 [--hold MS] [--timeout MS] [--pause MS]
//
//  --fill: put so many bytes of large blocks instead, and exit. --hold: keep views for so long.
#include <czmq.h>
#include <execinfo.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bin/talk.h"
#include "client/umbp.h"
#include "test/chaos/block.h"

#define BATCH 8
#define LIVE_MAX 96                     //  Own blocks; then the oldest are removed
#define SHARED 120                      //  Keys that all clients put
#define KEY_MAX 64
#define LATE_MS 6000                    //  More than the deadline: no excuse even on a busy machine
#define HANG_S 60
#define TICK_MS 100
#define FRAMES_MAX 40
#define WHERE_MS 1500

typedef struct {
    const char *endpoint, *name, *log_name;
    uint64_t seed, fill_bytes;
    unsigned timeout_ms, pause_ms, hold_ms;
    bool tcp;
} options_t;

typedef struct {
    options_t options;
    FILE *log;
    umbp_t *pool;
    umbp_talk_t *talk;
    uint64_t random, next, calls, errors;
    char live[LIVE_MAX][KEY_MAX];       //  A ring: from first, count of them
    size_t first, count;
    char keys[BATCH][KEY_MAX];          //  Of the batch under way
    char unplaced[BATCH][KEY_MAX];      //  Put, but nobody said where yet
    size_t unplaced_count;
    uint8_t *bytes[BATCH];
    umbp_item_t items[BATCH];
    int64_t begun, stalled_ms;          //  The call under way; s_stalled_ms when it began
} self_t;

static volatile sig_atomic_t s_stop;

static void s_on_term (int number)
{
    (void) number;
    s_stop = 1;
}

static int64_t s_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void s_sleep (unsigned ms);

//  How long this process has not run, though it wanted to
static _Atomic int64_t s_stalled_ms;

static void *s_tick (void *arg)
{
    (void) arg;
    for (int64_t last = s_now_ms ();; last = s_now_ms ()) {
        s_sleep (TICK_MS);
        int64_t late = s_now_ms () - last - TICK_MS;
        if (late > TICK_MS)
            atomic_fetch_add (&s_stalled_ms, late);
    }
    return NULL;
}

//  A call has passed its deadline by far: say where it is. The next alarm ends us.
static void s_on_alarm (int number)
{
    void *frames[FRAMES_MAX];
    //  NOLINTBEGIN(bugprone-signal-handler): the last word of a process that is lost anyway
    int count = backtrace (frames, FRAMES_MAX);
    backtrace_symbols_fd (frames, count, STDERR_FILENO);
    //  NOLINTEND(bugprone-signal-handler)
    signal (number, SIG_DFL);
    alarm (HANG_S);
}

static void s_sleep (unsigned ms)
{
    struct timespec pause = { ms / 1000, ms % 1000 * 1000000L };
    nanosleep (&pause, NULL);
}

static uint64_t s_draw (self_t *self, uint64_t below)
{
    return umbp_splitmix (&self->random) % below;
}

//  ------------------------------------------------------------------------------------------------
//  Calls

static void s_begin (self_t *self, const char *call)
{
    fprintf (self->log, "B %s\n", call);
    fflush (self->log);
    self->calls++;
    self->begun = s_now_ms ();
    self->stalled_ms = atomic_load (&s_stalled_ms);
    signal (SIGALRM, s_on_alarm);
    alarm ((self->options.timeout_ms + LATE_MS) / 1000 + 1);
}

static int64_t s_end (self_t *self, const char *call)
{
    int64_t now = s_now_ms (), took = now - self->begun;
    int64_t stalled = atomic_load (&s_stalled_ms) - self->stalled_ms;
    alarm (0);
    if (took - stalled > (int64_t) self->options.timeout_ms + LATE_MS)
        fprintf (self->log, "X %" PRId64 " LATE %s:%" PRId64 "ms,stalled:%" PRId64 "ms\n", now,
                 call, took, stalled);
    return now;
}

static void s_wrong (self_t *self, const char *call, const char *key)
{
    fprintf (self->log, "X %" PRId64 " WRONG %s:%s\n", s_now_ms (), call, key);
}

//  The items of a batch: buffers of their keys' sizes, filled if asked
static void s_items (self_t *self, size_t count, bool fill)
{
    for (size_t index = 0; index < count; index++) {
        const char *key = self->keys[index];
        size_t size = chaos_size (key);
        if (fill)
            chaos_fill (key, self->bytes[index], size);
        self->items[index] = (umbp_item_t) { .key = { key, strlen (key) },
                                             .data = self->bytes[index],
                                             .size = fill ? size : CHAOS_BLOCK_MAX };
    }
}

static const char *s_live (self_t *self, size_t number)
{
    return self->live[(self->first + number) % LIVE_MAX];
}

//  Keys of a batch that is to be read: own ones, or shared ones. Returns how many.
static size_t s_choose (self_t *self, bool shared)
{
    size_t count = 1 + s_draw (self, BATCH);
    if (!shared && self->count == 0)
        return 0;
    for (size_t index = 0; index < count; index++)
        if (shared)
            snprintf (self->keys[index], KEY_MAX, "shared/%" PRIu64, s_draw (self, SHARED));
        else
            snprintf (self->keys[index], KEY_MAX, "%s", s_live (self, s_draw (self, self->count)));
    return count;
}

//  ------------------------------------------------------------------------------------------------
//  Where

static void s_log_places (self_t *self, const umbp_msg_where_ok_t *where)
{
    size_t row = 0;
    for (size_t index = 0; index < where->counts.count; index++) {
        uint8_t count = umbp_u8s_at (where->counts, index);
        if (count == 0)
            continue;
        fprintf (self->log, "W %s ", self->unplaced[index]);
        for (size_t end = row + count; row < end && row < where->refs.count; row++) {
            size_t offset = 0, ref = umbp_u16s_at (where->refs, row);
            umbp_bytes_t node = { 0 };
            for (size_t number = 0; number <= ref && number < where->nodes.count; number++)
                node = umbp_column_next (&where->nodes, number, &offset);
            fprintf (self->log, "%.*s%s", (int) node.size, (const char *) node.data,
                     row + 1 < end ? "," : "\n");
        }
    }
}

//  Ask on which nodes the blocks of the last put are. An answer would be nice to have, no more.
static void s_where (self_t *self)
{
    uint8_t bytes[BATCH * KEY_MAX];
    uint16_t sizes[BATCH];
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    int err;
    if (!self->talk)
        self->talk = umbp_talk_new (self->options.endpoint, WHERE_MS, &err);
    if (!self->talk || self->unplaced_count == 0)
        return;
    umbp_msg_init (&msg, UMBP_MSG_where, 0);
    uint32_t used = 0;
    for (size_t index = 0; index < self->unplaced_count; index++) {
        sizes[index] = (uint16_t) strlen (self->unplaced[index]);
        memcpy (bytes + used, self->unplaced[index], sizes[index]);
        used += sizes[index];
    }
    msg.where.keys = (umbp_column_t) { bytes, sizes, used, (uint32_t) self->unplaced_count };
    s_begin (self, "where");
    int rc = umbp_talk_ask (self->talk, "router", &msg, &answer);
    s_end (self, "where");
    if (rc == 0 && answer->where_ok.counts.count == self->unplaced_count)
        s_log_places (self, &answer->where_ok);
    if (rc != 0)
        umbp_talk_destroy (&self->talk);
}

//  ------------------------------------------------------------------------------------------------
//  What a client does

static void s_put_batch (self_t *self, size_t count, const char *call)
{
    s_items (self, count, true);
    s_begin (self, call);
    umbp_put_batch (self->pool, self->items, count, NULL, 0);
    int64_t begun = self->begun, ended = s_end (self, call);
    self->unplaced_count = 0;
    for (size_t index = 0; index < count; index++) {
        int status = self->items[index].status;
        fprintf (self->log, "P %" PRId64 " %" PRId64 " %d %s\n", begun, ended, status,
                 self->keys[index]);
        self->errors += status != 0 && status != UMBP_EEXIST;
        if (status == 0 || status == UMBP_EEXIST)
            memcpy (self->unplaced[self->unplaced_count++], self->keys[index], KEY_MAX);
    }
    s_where (self);
}

static void s_put (self_t *self)
{
    size_t count = 1 + s_draw (self, BATCH);
    if (self->count + count > LIVE_MAX)
        count = LIVE_MAX - self->count;
    for (size_t index = 0; index < count; index++)
        snprintf (self->keys[index], KEY_MAX, "%s/%" PRIu64, self->options.name, self->next++);
    if (count == 0)
        return;
    s_put_batch (self, count, "put");
    for (size_t index = 0; index < self->unplaced_count; index++)
        memcpy (self->live[(self->first + self->count++) % LIVE_MAX], self->unplaced[index],
                KEY_MAX);
}

static void s_put_shared (self_t *self)
{
    size_t count = s_choose (self, true), kept = 0;
    for (size_t index = 0; index < count; index++) {        //  No key twice in a batch
        bool again = false;
        for (size_t other = 0; other < kept; other++)
            again |= strcmp (self->keys[index], self->keys[other]) == 0;
        if (!again && kept++ != index)
            memcpy (self->keys[kept - 1], self->keys[index], KEY_MAX);
    }
    s_put_batch (self, kept, "put shared");
}

static void s_get (self_t *self, bool shared)
{
    size_t count = s_choose (self, shared);
    if (count == 0)
        return;
    s_items (self, count, false);
    s_begin (self, "get");
    umbp_get_batch (self->pool, self->items, count, 0);
    s_end (self, "get");
    for (size_t index = 0; index < count; index++) {
        const umbp_item_t *item = &self->items[index];
        if (item->status == 0 && !chaos_is_right (self->keys[index], item->data, item->size))
            s_wrong (self, "get", self->keys[index]);
        self->errors += item->status != 0 && item->status != UMBP_ENOENT;
    }
}

//  A piece of one block
static void s_get_piece (self_t *self)
{
    if (s_choose (self, false) == 0)
        return;
    const char *key = self->keys[0];
    size_t size = chaos_size (key), offset = s_draw (self, size), piece = 1 + s_draw (self, size);
    if (piece > size - offset)
        piece = size - offset;
    umbp_range_t range = { self->bytes[0], piece, offset };
    umbp_vec_t vec = { .key = { key, strlen (key) }, .ranges = &range, .range_count = 1 };
    s_begin (self, "get piece");
    umbp_get_v (self->pool, &vec, 1, 0);
    s_end (self, "get piece");
    chaos_fill (key, self->bytes[1], size);
    if (vec.status == 0
        && (vec.size != size || memcmp (self->bytes[0], self->bytes[1] + offset, piece) != 0))
        s_wrong (self, "get piece", key);
}

//  Look at a block where it lies, for a while. It must stay as it is meanwhile.
static void s_view (self_t *self)
{
    if (s_choose (self, s_draw (self, 2)) == 0)
        return;
    const char *key = self->keys[0];
    int err;
    s_begin (self, "view");
    umbp_view_t *view = umbp_view_get (self->pool, (umbp_key_t){ key, strlen (key) }, 0, &err);
    s_end (self, "view");
    if (!view)
        return;
    s_sleep (self->options.hold_ms);
    size_t count, used = 0;
    const umbp_span_t *spans = umbp_view_spans (view, &count);
    for (size_t index = 0; index < count; index++) {
        memcpy (self->bytes[0] + used, spans[index].base, spans[index].size);
        used += spans[index].size;
    }
    if (!chaos_is_right (key, self->bytes[0], used))
        s_wrong (self, "view", key);
    umbp_view_release (&view);
}

static void s_exists (self_t *self)
{
    umbp_key_t keys[BATCH];
    int8_t found[BATCH];
    size_t count = s_choose (self, s_draw (self, 2));
    for (size_t index = 0; index < count; index++)
        keys[index] = (umbp_key_t) { self->keys[index], strlen (self->keys[index]) };
    if (count == 0)
        return;
    s_begin (self, "exists");
    umbp_exists_batch (self->pool, keys, count, found, 0);
    s_end (self, "exists");
}

//  The oldest go
static void s_remove (self_t *self)
{
    umbp_key_t keys[BATCH];
    int8_t statuses[BATCH];
    size_t count = self->count < BATCH ? self->count : BATCH;
    for (size_t index = 0; index < count; index++) {
        memcpy (self->keys[index], s_live (self, index), KEY_MAX);
        keys[index] = (umbp_key_t) { self->keys[index], strlen (self->keys[index]) };
        fprintf (self->log, "R %" PRId64 " %s\n", s_now_ms (), self->keys[index]);
    }
    if (count == 0)
        return;
    s_begin (self, "remove");
    umbp_remove_batch (self->pool, keys, count, statuses, 0);
    int64_t ended = s_end (self, "remove");
    for (size_t index = 0; index < count; index++)
        fprintf (self->log, "D %" PRId64 " %d %s\n", ended, statuses[index], self->keys[index]);
    self->first = (self->first + count) % LIVE_MAX;
    self->count -= count;
}

static void s_act (self_t *self)
{
    uint64_t dice = s_draw (self, 100);
    if (self->options.hold_ms)
        s_view (self);
    if (self->count > LIVE_MAX - BATCH)
        s_remove (self);
    else if (dice < 35)
        s_put (self);
    else if (dice < 60)
        s_get (self, false);
    else if (dice < 75)
        s_get (self, true);
    else if (dice < 83)
        s_exists (self);
    else if (dice < 89)
        s_put_shared (self);
    else if (dice < 95)
        s_get_piece (self);
    else
        s_view (self);
}

//  Large blocks, as many as asked, and all at once: the pool is full and stays so
static void s_fill (self_t *self)
{
    for (uint64_t put = 0; put < self->options.fill_bytes && !s_stop;) {
        for (size_t index = 0; index < BATCH; index++, put += CHAOS_BLOCK_MAX)
            snprintf (self->keys[index], KEY_MAX, "fill-%s/%" PRIu64, self->options.name,
                      self->next++);
        s_put_batch (self, BATCH, "fill");
    }
}

//  ------------------------------------------------------------------------------------------------
//  Life

static bool s_connect (self_t *self)
{
    umbp_options_t how = { .endpoints = self->options.endpoint,
                           .timeout_ms = self->options.timeout_ms,
                           .no_shm = self->options.tcp };
    while (!self->pool && !s_stop) {
        s_begin (self, "connect");
        self->pool = umbp_connect (&how, NULL);
        s_end (self, "connect");
        if (!self->pool)
            s_sleep (100);
    }
    return self->pool != NULL;
}

static void s_run (self_t *self)
{
    uint64_t before = 0;
    for (unsigned turn = 1; !s_stop; turn++) {
        s_act (self);
        if (turn % 64 == 0)
            fprintf (self->log, "N %" PRIu64 " %" PRIu64 "\n", self->calls, self->errors);
        fflush (self->log);
        s_sleep (self->options.pause_ms + (self->errors > before ? 50 : 0));
        before = self->errors;
    }
}

static int s_usage (void)
{
    fprintf (stderr, "chaos-load: --endpoint E --name N --seed S --log FILE [--tcp] [--fill BYTES]"
                     " [--hold MS] [--timeout MS] [--pause MS]\n");
    return 2;
}

static bool s_parse (options_t *options, int argc, char **argv)
{
    static const struct option flags[] = {
        { "endpoint", 1, NULL, 'e' }, { "name", 1, NULL, 'n' },    { "seed", 1, NULL, 's' },
        { "log", 1, NULL, 'l' },      { "tcp", 0, NULL, 't' },     { "fill", 1, NULL, 'f' },
        { "hold", 1, NULL, 'h' },     { "timeout", 1, NULL, 'o' }, { "pause", 1, NULL, 'p' },
        { NULL, 0, NULL, 0 },
    };
    *options = (options_t) { .timeout_ms = 4000, .pause_ms = 10 };
    for (int flag; (flag = getopt_long (argc, argv, "", flags, NULL)) != -1;)
        switch (flag) {
        case 'e': options->endpoint = optarg; break;
        case 'n': options->name = optarg; break;
        case 's': options->seed = strtoull (optarg, NULL, 10); break;
        case 'l': options->log_name = optarg; break;
        case 't': options->tcp = true; break;
        case 'f': options->fill_bytes = strtoull (optarg, NULL, 10); break;
        case 'h': options->hold_ms = (unsigned) strtoul (optarg, NULL, 10); break;
        case 'o': options->timeout_ms = (unsigned) strtoul (optarg, NULL, 10); break;
        case 'p': options->pause_ms = (unsigned) strtoul (optarg, NULL, 10); break;
        default: return false;
        }
    return options->endpoint && options->name && options->log_name && strlen (options->name) < 30;
}

int main (int argc, char **argv)
{
    static self_t self;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (!s_parse (&self.options, argc, argv))
        return s_usage ();
    self.log = fopen (self.options.log_name, "a");
    if (!self.log) {
        perror (self.options.log_name);
        return 2;
    }
    zsys_init ();                       //  First, as it would take the signal
    zsys_handler_set (NULL);
    signal (SIGTERM, s_on_term);
    signal (SIGPIPE, SIG_IGN);
    pthread_t ticker;
    void *frame;
    backtrace (&frame, 1);              //  The first call loads what it needs
    if (pthread_create (&ticker, NULL, s_tick, NULL) != 0)
        return 2;
    self.random = self.options.seed;
    for (size_t index = 0; index < BATCH; index++)
        self.bytes[index] = malloc (CHAOS_BLOCK_MAX);
    if (s_connect (&self))
        self.options.fill_bytes ? s_fill (&self) : s_run (&self);
    fprintf (self.log, "N %" PRIu64 " %" PRIu64 "\n", self.calls, self.errors);
    umbp_talk_destroy (&self.talk);
    umbp_close (&self.pool);
    for (size_t index = 0; index < BATCH; index++)
        free (self.bytes[index]);
    return fclose (self.log) == 0 ? 0 : 1;
}

//  test/chaos/calls.c - every call of umbp.h, each by a client and a thread of its own, again and
//  again, while something happens to a node: does each end by its deadline, also those under way?
//  Commands come on stdin, a line each:
//
//      mark        what happened has happened: answer "marked" once a call of each kind has begun
//                  and ended since
//      (end)       stop; then of each kind, on stdout,
//                      C call way longest_ms status
//                  the longest one in ms, less the time in which this process did not run at all,
//                  and what the last one returned: a number of error.h, 0 or a count
//
//      chaos-calls --endpoint E --name N [--timeout MS] [--tcp-only]
//
//  "ready" comes first. The way is shm (doors and shared memory, if the node is on this host) or
//  tcp. A call that never ends ends the process by SIGALRM, after its name went to stderr.
#include <czmq.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "client/umbp.h"
#include "test/chaos/block.h"
#include "test/chaos/watch.h"

#define KEYS 4
#define KEY_MAX 64
#define HANG_S 60
#define PAUSE_MS 10

typedef struct client client_t;
typedef long (call_fn) (client_t *self);

struct client {
    const char *call;
    call_fn *fn;
    bool tcp;
    umbp_t *pool;
    umbp_view_t *view;
    pthread_t thread;
    uint8_t *bytes;
    uint64_t count;                     //  Calls that have begun
    _Atomic uint64_t since;             //  The last that ended began in this era
    int64_t longest_ms;
    long status;
};

static const char *s_endpoint, *s_name;
static uint32_t s_timeout_ms = 1000;
static atomic_bool s_over;
static _Atomic uint64_t s_era = 1;

static umbp_options_t s_how (const client_t *self)
{
    return (umbp_options_t){ .endpoints = s_endpoint,
                             .timeout_ms = s_timeout_ms,
                              .no_shm = self->tcp, .lanes = 2 };
}

//  ------------------------------------------------------------------------------------------------
//  Calls. Each returns what the library did

static umbp_key_t s_key (char *out, const char *format, uint64_t number)
{
    int size = snprintf (out, KEY_MAX, "%s/%s/%" PRIu64, format, s_name, number);
    return (umbp_key_t) { out, (size_t) size };
}

//  So many blocks of that size
static long s_put_of (client_t *self, size_t size, const umbp_put_options_t *how)
{
    char names[KEYS][KEY_MAX];
    umbp_item_t items[KEYS];
    for (size_t index = 0; index < KEYS; index++)
        items[index] =
            (umbp_item_t){ .key = s_key (names[index], self->call, self->count % 16 * KEYS + index),
                                       .data = self->bytes, .size = size };
    return umbp_put_batch (self->pool, items, KEYS, how, s_timeout_ms);
}

static long s_put_small (client_t *self)
{
    return s_put_of (self, 100, NULL);
}

static long s_put_large (client_t *self)
{
    return s_put_of (self, CHAOS_BLOCK_MAX,
                     &(umbp_put_options_t){ .strategy = UMBP_STRATEGY_WEIGHTED });
}

static long s_put_replicas (client_t *self)
{
    return s_put_of (self, 100, &(umbp_put_options_t){ .replicas = 2 });
}

static long s_put_v (client_t *self)
{
    char name[KEY_MAX];
    umbp_range_t ranges[] = { { self->bytes, 1000, 0 }, { self->bytes, 9000, 1000 } };
    umbp_vec_t vec = { .key = s_key (name, "put_v", self->count % 16),
                       .ranges = ranges, .range_count = 2, .size = 10000 };
    return umbp_put_v (self->pool, &vec, 1, NULL, s_timeout_ms);
}

static long s_get (client_t *self)
{
    char names[KEYS][KEY_MAX];
    umbp_item_t items[KEYS];
    for (size_t index = 0; index < KEYS; index++)
        items[index] = (umbp_item_t) { .key = s_key (names[index], "first", index),
                                       .data = self->bytes + index * CHAOS_BLOCK_MAX,
                                       .size = CHAOS_BLOCK_MAX };
    return umbp_get_batch (self->pool, items, KEYS, s_timeout_ms);
}

static long s_get_v (client_t *self)
{
    char name[KEY_MAX];
    umbp_range_t range = { self->bytes, 10, 10 };
    umbp_vec_t vec = { .key = s_key (name, "first", 1), .ranges = &range, .range_count = 1 };
    return umbp_get_v (self->pool, &vec, 1, s_timeout_ms);
}

static size_t s_keys (umbp_key_t *keys, char (*names)[KEY_MAX], const char *kind)
{
    for (size_t index = 0; index < KEYS; index++)
        keys[index] = s_key (names[index], kind, index);
    return KEYS;
}

static long s_exists (client_t *self)
{
    char names[KEYS][KEY_MAX];
    umbp_key_t keys[KEYS];
    int8_t found[KEYS];
    return umbp_exists_batch (self->pool, keys, s_keys (keys, names, "first"), found, s_timeout_ms);
}

static long s_exists_prefix (client_t *self)
{
    char names[KEYS][KEY_MAX];
    umbp_key_t keys[KEYS];
    return umbp_exists_prefix (self->pool, keys, s_keys (keys, names, "first"), s_timeout_ms);
}

static long s_remove (client_t *self)
{
    char names[KEYS][KEY_MAX];
    umbp_key_t keys[KEYS];
    return umbp_remove_batch (self->pool, keys, s_keys (keys, names, "put small"), NULL,
                              s_timeout_ms);
}

static long s_view (client_t *self)
{
    char name[KEY_MAX];
    int err = 0;
    umbp_view_t *view = umbp_view_get (self->pool, s_key (name, "first", 2), s_timeout_ms, &err);
    umbp_view_release (&view);
    return err;
}

//  What it sees was taken before anything happened
static long s_view_hold (client_t *self)
{
    char name[KEY_MAX];
    int err = 0;
    if (!self->view && self->count == 1)
        self->view = umbp_view_get (self->pool, s_key (name, "first", 2), s_timeout_ms, &err);
    for (size_t count = 0, index = 0; self->view && index <= count; index++) {
        const umbp_span_t *spans = umbp_view_spans (self->view, &count);
        for (size_t at = 0; index < count && at < spans[index].size; at++)
            if (((const uint8_t *) spans[index].base)[at] != 7)
                return UMBP_ECHECKSUM;
    }
    return err;
}

static long s_view_release (client_t *self)
{
    if (self->view && atomic_load (&s_era) > 1)
        umbp_view_release (&self->view);
    return s_view_hold (self);
}

static long s_kv_report (client_t *self)
{
    char names[KEYS][KEY_MAX];
    umbp_key_t keys[KEYS];
    return umbp_kv_report (self->pool, s_name, NULL, 1, keys, s_keys (keys, names, "hash"),
                           s_timeout_ms);
}

static long s_kv_revoke (client_t *self)
{
    char names[KEYS][KEY_MAX];
    umbp_key_t keys[KEYS];
    return umbp_kv_revoke (self->pool, s_name, 1, keys, s_keys (keys, names, "hash"), s_timeout_ms);
}

static long s_kv_revoke_all (client_t *self)
{
    return umbp_kv_revoke_all (self->pool, s_name, 0, s_timeout_ms);
}

static long s_kv_match (client_t *self)
{
    char names[KEYS][KEY_MAX];
    umbp_key_t keys[KEYS];
    int err = 0;
    umbp_kv_match_t *match =
        umbp_kv_match (self->pool, keys, s_keys (keys, names, "hash"), true, s_timeout_ms, &err);
    umbp_kv_match_destroy (&match);
    return err;
}

static long s_kv_hits (client_t *self)
{
    char names[KEYS][KEY_MAX];
    umbp_key_t keys[KEYS];
    uint64_t counts[KEYS];
    return umbp_kv_hits (self->pool, keys, s_keys (keys, names, "hash"), counts, s_timeout_ms);
}

static long s_flush (client_t *self)
{
    if (self->count % 8 == 1)
        return s_put_of (self, 100, &(umbp_put_options_t){ .nowait = true });
    return umbp_flush (self->pool, s_timeout_ms);
}

//  Only when something has happened: others would find nothing
static long s_clear (client_t *self)
{
    return atomic_load (&s_era) == 1 ? 0 : umbp_clear (self->pool, false, s_timeout_ms);
}

static long s_clear_everywhere (client_t *self)
{
    return atomic_load (&s_era) == 1 ? 0 : umbp_clear (self->pool, true, s_timeout_ms);
}

static long s_register (client_t *self)
{
    int rc = umbp_register (self->pool, self->bytes, CHAOS_BLOCK_MAX);
    umbp_deregister (self->pool, self->bytes);
    return rc;
}

static long s_stats (client_t *self)
{
    umbp_stats_t stats;
    umbp_stats (self->pool, &stats);
    return umbp_node_name (self->pool) ? 0 : UMBP_EIO;
}

static long s_connect (client_t *self)
{
    umbp_options_t how = s_how (self);
    int err = 0;
    umbp_t *pool = umbp_connect (&how, &err);
    umbp_close (&pool);
    return err;
}

//  One that has slots, leases and memory open to end
static long s_close (client_t *self)
{
    umbp_options_t how = s_how (self);
    int err = 0;
    if (self->pool && atomic_load (&s_era) > 1)
        umbp_close (&self->pool);
    else if (!self->pool)
        self->pool = umbp_connect (&how, &err);
    else
        s_get (self);
    return err;
}

static const struct {
    const char *call;
    call_fn *fn;
} s_calls[] = {
    { "connect", s_connect },
    { "put small", s_put_small },
    { "put large", s_put_large },
    { "put replicas", s_put_replicas },
    { "put_v", s_put_v },
    { "get", s_get },
    { "get_v", s_get_v },
    { "exists", s_exists },
    { "exists_prefix", s_exists_prefix },
    { "remove", s_remove },
    { "view", s_view },
    { "view hold", s_view_hold },
    { "view release", s_view_release },
    { "kv_report", s_kv_report },
    { "kv_revoke", s_kv_revoke },
    { "kv_revoke_all", s_kv_revoke_all },
    { "kv_match", s_kv_match },
    { "kv_hits", s_kv_hits },
    { "flush", s_flush },
    { "clear", s_clear },
    { "clear everywhere", s_clear_everywhere },
    { "register", s_register },
    { "stats", s_stats },
    { "close", s_close },
};

#define CALLS (sizeof s_calls / sizeof *s_calls)

static client_t s_clients[2 * CALLS];

//  ------------------------------------------------------------------------------------------------
//  Threads

static void s_measure (client_t *self, call_fn *fn)
{
    uint64_t era = atomic_load (&s_era);
    int64_t stalled_ms;
    chaos_watch_t watch = chaos_watch_begin ();
    self->count++;
    self->status = fn (self);
    int64_t took_ms = chaos_watch_took (&watch, &stalled_ms) - stalled_ms;
    if (took_ms > self->longest_ms)
        self->longest_ms = took_ms;
    atomic_store (&self->since, era);
}

static long s_leave (client_t *self)
{
    umbp_view_release (&self->view);
    umbp_close (&self->pool);
    return self->status;
}

static void *s_run (void *arg)
{
    client_t *self = arg;
    while (!atomic_load (&s_over)) {
        s_measure (self, self->fn);
        chaos_sleep (PAUSE_MS);
    }
    s_measure (self, s_leave);
    return NULL;
}

//  Until each kind of call has begun in this era and ended
static bool s_wait_all (size_t count, uint64_t era)
{
    for (size_t index = 0; index < count; index++)
        for (int left = HANG_S * 1000; atomic_load (&s_clients[index].since) < era; left -= 10) {
            if (left <= 0) {
                fprintf (stderr, "chaos-calls: %s over %s does not end\n", s_clients[index].call,
                         s_clients[index].tcp ? "tcp" : "shm");
                return false;
            }
            chaos_sleep (10);
        }
    return true;
}

static bool s_prepare (client_t *self)
{
    umbp_options_t how = s_how (self);
    how.timeout_ms = HANG_S * 1000 / 2;
    self->bytes = malloc ((size_t) KEYS * CHAOS_BLOCK_MAX);
    memset (self->bytes, 7, (size_t) KEYS * CHAOS_BLOCK_MAX);
    int err;
    self->pool = self->fn == s_connect ? NULL : umbp_connect (&how, &err);
    if (!self->pool && self->fn != s_connect) {
        fprintf (stderr, "chaos-calls: %s: %s\n", s_endpoint, umbp_strerror (err));
        return false;
    }
    return true;
}

//  What is read later: large blocks, one of each node if that can be
static bool s_put_first (client_t *self)
{
    char names[KEYS][KEY_MAX];
    umbp_item_t items[KEYS];
    umbp_put_options_t how = { .strategy = UMBP_STRATEGY_WEIGHTED };
    for (size_t index = 0; index < KEYS; index++)
        items[index] = (umbp_item_t) { .key = s_key (names[index], "first", index),
                                       .data = self->bytes, .size = CHAOS_BLOCK_MAX };
    umbp_put_batch (self->pool, items, KEYS, &how, HANG_S * 1000 / 2);
    for (size_t index = 0; index < KEYS; index++)
        if (items[index].status != 0 && items[index].status != UMBP_EEXIST)
            return false;
    return true;
}

static bool s_start (size_t count)
{
    for (size_t index = 0; index < count; index++) {
        client_t *self = &s_clients[index];
        self->call = s_calls[index % CALLS].call;
        self->fn = s_calls[index % CALLS].fn;
        self->tcp = count == CALLS || index >= CALLS;
        if (!s_prepare (self) || (self->fn == s_get && !s_put_first (self)))
            return false;
    }
    for (size_t index = 0; index < count; index++)
        if (pthread_create (&s_clients[index].thread, NULL, s_run, &s_clients[index]) != 0)
            return false;
    return s_wait_all (count, 1);
}

static bool s_obey (size_t count)
{
    char line[32];
    puts ("ready");
    fflush (stdout);
    while (fgets (line, sizeof line, stdin)) {
        if (!s_wait_all (count, atomic_fetch_add (&s_era, 1) + 1))
            return false;
        puts ("marked");
        fflush (stdout);
    }
    atomic_store (&s_over, true);
    alarm (HANG_S);                     //  Their last call has begun, and ends
    for (size_t index = 0; index < count; index++)
        pthread_join (s_clients[index].thread, NULL);
    for (size_t index = 0; index < count; index++) {
        client_t *self = &s_clients[index];
        printf ("C %s %s %" PRId64 " %ld\n", self->call, self->tcp ? "tcp" : "shm",
                self->longest_ms, self->status);
        free (self->bytes);
    }
    return true;
}

int main (int argc, char **argv)
{
    static const struct option flags[] = { { "endpoint", 1, NULL, 'e' },
                                           { "name", 1, NULL, 'n' },
                                           { "timeout", 1, NULL, 'o' },
                                           { "tcp-only", 0, NULL, 't' }, { NULL, 0, NULL, 0 } };
    size_t count = 2 * CALLS;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (int flag; (flag = getopt_long (argc, argv, "", flags, NULL)) != -1;)
        switch (flag) {
        case 'e': s_endpoint = optarg; break;
        case 'n': s_name = optarg; break;
        case 'o': s_timeout_ms = (uint32_t) strtoul (optarg, NULL, 10); break;
        case 't': count = CALLS; break;
        default: return 2;
        }
    if (!s_endpoint || !s_name)
        return 2;
    zsys_init ();
    zsys_handler_set (NULL);
    signal (SIGPIPE, SIG_IGN);
    if (chaos_watch_start () != 0 || !s_start (count) || !s_obey (count))
        return 1;
    return fflush (stdout) == 0 ? 0 : 1;
}

//  test/chaos/load.h - a client of the chaos test, for load.c alone: what it knows, the batch at hand, and how a call begins and
//  ends. See load.c for what it does, and for the lines of its log.
#ifndef UMBP_CHAOS_LOAD_H
#define UMBP_CHAOS_LOAD_H

#include <execinfo.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "bin/talk.h"
#include "client/umbp.h"
#include "test/chaos/block.h"
#include "test/chaos/watch.h"

#define BATCH 8
#define LIVE_MAX 96                     //  Own blocks; then the oldest are removed, see --live
#define COMMON_KEYS 120                 //  Keys that all clients put
#define DUAL_KEYS 24                    //  ... and do not agree on the contents of
#define CALLS_MAX 32
#define KV_MAX 40                       //  Hashes that its engine has
#define KEY_MAX 64
#define HANG_S 60
#define FRAMES_MAX 40

typedef struct {
    const char *endpoint, *name, *log_name;
    uint64_t seed, fill_bytes;
    unsigned timeout_ms, pause_ms, hold_ms, live;
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
    chaos_watch_t watch;                //  The call under way
    bool flushed;                       //  ... of which that was the end
    struct {
        const char *call;
        int64_t took;
    } longest[CALLS_MAX];
    size_t longest_count;
    uint64_t kv_first, kv_next;         //  Hashes reported for sure, and not revoked
} self_t;

//  A call has passed its deadline by far: say where it is. The next alarm ends us.
static inline void s_on_alarm (int number)
{
    void *frames[FRAMES_MAX];
    //  NOLINTBEGIN(bugprone-signal-handler): the last word of a process that is lost anyway
    int count = backtrace (frames, FRAMES_MAX);
    backtrace_symbols_fd (frames, count, STDERR_FILENO);
    //  NOLINTEND(bugprone-signal-handler)
    signal (number, SIG_DFL);
    alarm (HANG_S);
}

static inline uint64_t s_draw (self_t *self, uint64_t below)
{
    return umbp_splitmix (&self->random) % below;
}

//  ------------------------------------------------------------------------------------------------
//  Calls

static inline void s_begin (self_t *self, const char *call)
{
    fprintf (self->log, "B %s\n", call);
    fflush (self->log);
    self->calls++;
    self->watch = chaos_watch_begin ();
    signal (SIGALRM, s_on_alarm);
    alarm ((self->options.timeout_ms + CHAOS_LATE_MS) / 1000 + 1);
}

//  What each call took at most is told when it took longer
static inline void s_note_longest (self_t *self, const char *call, int64_t took)
{
    size_t at = 0;
    while (at < self->longest_count && strcmp (self->longest[at].call, call) != 0)
        at++;
    if (at == CALLS_MAX)
        return;
    if (at == self->longest_count)
        self->longest[self->longest_count++].call = call;
    if (took <= self->longest[at].took)
        return;
    self->longest[at].took = took;
    fprintf (self->log, "M %" PRId64 " %s\n", took, call);
}

static inline int64_t s_end (self_t *self, const char *call)
{
    int64_t stalled, took = chaos_watch_took (&self->watch, &stalled), now = chaos_now_ms ();
    alarm (0);
    if (took - stalled > (int64_t) self->options.timeout_ms + CHAOS_LATE_MS)
        fprintf (self->log, "X %" PRId64 " LATE %s:%" PRId64 "ms,stalled:%" PRId64 "ms\n", now,
                 call, took, stalled);
    s_note_longest (self, call, took - stalled);
    return now;
}

static inline void s_wrong (self_t *self, const char *call, const char *key)
{
    fprintf (self->log, "X %" PRId64 " WRONG %s:%s\n", chaos_now_ms (), call, key);
}

//  The items of a batch: buffers of their keys' sizes, filled if asked
static inline void s_items (self_t *self, size_t count, bool fill)
{
    for (size_t index = 0; index < count; index++) {
        const char *key = self->keys[index];
        size_t size = chaos_size (key);
        unsigned variant = (unsigned) s_draw (self, chaos_variants (key));
        if (fill)
            chaos_fill_as (key, variant, self->bytes[index], size);
        self->items[index] = (umbp_item_t) { .key = { key, strlen (key) },
                                             .data = self->bytes[index],
                                             .size = fill ? size : CHAOS_BLOCK_MAX };
    }
}

static inline const char *s_live (self_t *self, size_t number)
{
    return self->live[(self->first + number) % LIVE_MAX];
}

typedef enum { OWN, COMMON, DUAL } whose_t;

//  Keys of a batch: own ones, those that all clients put, or those of two contents. Returns how
//  many.
static inline size_t s_choose (self_t *self, whose_t whose)
{
    size_t count = 1 + s_draw (self, BATCH);
    if (whose == OWN && self->count == 0)
        return 0;
    for (size_t index = 0; index < count; index++)
        if (whose == COMMON)
            snprintf (self->keys[index], KEY_MAX, "shared/%" PRIu64, s_draw (self, COMMON_KEYS));
        else if (whose == DUAL)
            snprintf (self->keys[index], KEY_MAX, "dual/%" PRIu64, s_draw (self, DUAL_KEYS));
        else
            snprintf (self->keys[index], KEY_MAX, "%s", s_live (self, s_draw (self, self->count)));
    return count;
}

#endif

//  test/chaos/load.c - one client of the chaos test: puts, gets, asks for and removes blocks of its
//  own and of those that all share, for ever, whatever becomes of its node. What it was promised
//  goes to its log, a line each, before the next call begins:
//
//      P begun ended status key        a put that was answered; status 0, or EEXIST's number
//      W key node,node                 where it is, asked after the put
//      R begun key                     a remove that begins: from now on the block may be gone
//      D ended status key              ... and what was answered
//      X ended what key                what must never be: WRONG bytes, a call that is LATE
//      M ms call                       the longest call of that name yet
//      N calls errors                  from time to time: how much was done
//
//  Times are CLOCK_MONOTONIC in ms. A call that is late says where it is, to stderr; one that never
//  ends ends the process by SIGALRM, and the last line of the log, "B name", says which it was. For
//  time in which this process did not run at all nobody is blamed. SIGTERM: finish the call and
//  exit with 0.
//
//      chaos-load --endpoint E --name N --seed S --log FILE [--tcp] [--fill BYTES]
//                 [--hold MS] [--timeout MS] [--pause MS] [--live N] [--die commit|committed|lease]
//
//  --fill: put so many bytes of large blocks instead, and exit. --hold: keep views for so long.
//  --live: have so many blocks of its own, then remove the oldest.
//  --die: end by SIGKILL before a commit, before its answer, or with a lease.
#include <czmq.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bin/talk.h"
#include "client/lane.h"
#include "client/umbp.h"
#include "test/chaos/death.h"
#include "test/chaos/load.h"

#define PIECES 3
#define WHERE_MS 1500

static volatile sig_atomic_t s_stop;

static void s_on_term (int number)
{
    (void) number;
    s_stop = 1;
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
    char why[256];
    int err;
    if (!self->talk)
        self->talk = umbp_talk_new_secure (self->options.endpoint, getenv ("UMBP_CERTIFICATE"),
                                           getenv ("UMBP_SERVER_CERTIFICATE"), WHERE_MS, &err, why,
                                           sizeof why);
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

//  In pieces, the last of which comes first
static void s_put_pieces (self_t *self, size_t count, const umbp_put_options_t *how)
{
    umbp_vec_t vecs[BATCH];
    umbp_range_t ranges[BATCH][PIECES];
    for (size_t index = 0; index < count; index++) {
        const umbp_item_t *item = &self->items[index];
        size_t end = item->size, used = 0;
        for (; end > 0; used++) {
            size_t piece = used + 1 < PIECES ? 1 + s_draw (self, end) : end;
            end -= piece;
            ranges[index][used] = (umbp_range_t) { (uint8_t *) item->data + end, piece, end };
        }
        vecs[index] = (umbp_vec_t) {
            .key = item->key, .ranges = ranges[index], .range_count = used, .size = item->size
        };
    }
    umbp_put_v (self->pool, vecs, count, how, 0);
    for (size_t index = 0; index < count; index++)
        self->items[index].status = vecs[index].status;
}

//  In any of the ways that there are. What is put without waiting counts once flush says so.
static void s_put_somehow (self_t *self, size_t count, const char *call)
{
    umbp_put_options_t how = { .strategy = (umbp_strategy_t) s_draw (self, UMBP_STRATEGY_SAME + 1),
                               .replicas = s_draw (self, 4) == 0 ? 2 + s_draw (self, 2) : 0,
                               .nowait = s_draw (self, 6) == 0 };
    s_begin (self, call);
    if (s_draw (self, 4) == 0)
        s_put_pieces (self, count, &how);
    else
        umbp_put_batch (self->pool, self->items, count, &how, 0);
    if (!how.nowait)
        return;
    s_end (self, call);
    chaos_watch_t put = self->watch;
    s_begin (self, "flush");
    int rc = umbp_flush (self->pool, 0);
    s_end (self, "flush");
    for (size_t index = 0; index < count && rc != 0; index++)
        self->items[index].status = rc;
    self->watch = put;
    self->flushed = true;
}

static void s_put_batch (self_t *self, size_t count, const char *call)
{
    s_items (self, count, true);
    self->flushed = false;
    s_put_somehow (self, count, call);
    int64_t begun = self->watch.begun_ms;
    int64_t ended = self->flushed ? chaos_now_ms () : s_end (self, call);
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
    if (self->count + count > self->options.live)
        count = self->options.live - self->count;
    for (size_t index = 0; index < count; index++)
        snprintf (self->keys[index], KEY_MAX, "%s/%" PRIu64, self->options.name, self->next++);
    if (count == 0)
        return;
    s_put_batch (self, count, "put");
    for (size_t index = 0; index < self->unplaced_count; index++)
        memcpy (self->live[(self->first + self->count++) % LIVE_MAX], self->unplaced[index],
                KEY_MAX);
}

static void s_put_common (self_t *self, whose_t whose)
{
    size_t count = s_choose (self, whose), kept = 0;
    for (size_t index = 0; index < count; index++) {        //  No key twice in a batch
        bool again = false;
        for (size_t other = 0; other < kept; other++)
            again |= strcmp (self->keys[index], self->keys[other]) == 0;
        if (!again && kept++ != index)
            memcpy (self->keys[kept - 1], self->keys[index], KEY_MAX);
    }
    s_put_batch (self, kept, whose == DUAL ? "put dual" : "put shared");
}

static void s_get (self_t *self, whose_t whose)
{
    size_t count = s_choose (self, whose);
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
    if (s_choose (self, OWN) == 0)
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
    if (s_choose (self, (whose_t) s_draw (self, DUAL + 1)) == 0)
        return;
    const char *key = self->keys[0];
    int err;
    s_begin (self, "view");
    umbp_view_t *view = umbp_view_get (self->pool, (umbp_key_t){ key, strlen (key) }, 0, &err);
    s_end (self, "view");
    if (!view)
        return;
    chaos_sleep (self->options.hold_ms);
    size_t count, used = 0;
    const umbp_span_t *spans = umbp_view_spans (view, &count);
    for (size_t index = 0; index < count; index++) {
        memcpy (self->bytes[0] + used, spans[index].base, spans[index].size);
        used += spans[index].size;
    }
    if (!chaos_is_right (key, self->bytes[0], used))
        s_wrong (self, "view", key);
    s_begin (self, "release");
    umbp_view_release (&view);
    s_end (self, "release");
}

//  The last key is one that nobody ever puts
static void s_exists (self_t *self)
{
    umbp_key_t keys[BATCH + 1];
    int8_t found[BATCH + 1];
    char ghost[KEY_MAX];
    size_t count = s_choose (self, (whose_t) s_draw (self, DUAL + 1));
    for (size_t index = 0; index < count; index++)
        keys[index] = (umbp_key_t) { self->keys[index], strlen (self->keys[index]) };
    snprintf (ghost, sizeof ghost, "ghost/%s/%" PRIu64, self->options.name, self->calls);
    keys[count] = (umbp_key_t) { ghost, strlen (ghost) };
    s_begin (self, "exists");
    umbp_exists_batch (self->pool, keys, count + 1, found, 0);
    s_end (self, "exists");
    if (found[count] > 0)
        s_wrong (self, "exists", ghost);
    s_begin (self, "exists_prefix");
    int prefix = umbp_exists_prefix (self->pool, keys, count + 1, 0);
    s_end (self, "exists_prefix");
    if (prefix > (int) count)
        s_wrong (self, "exists_prefix", ghost);
    s_begin (self, "get ghost");
    long size = umbp_get (self->pool, ghost, self->bytes[0], CHAOS_BLOCK_MAX);
    s_end (self, "get ghost");
    if (size >= 0)
        s_wrong (self, "get", ghost);
}

//  ------------------------------------------------------------------------------------------------
//  Hashes of our own engine's: whoever is found to have them can only be us

static umbp_key_t s_hash (self_t *self, size_t index, uint64_t number)
{
    snprintf (self->keys[index], KEY_MAX, "%s:%" PRIu64, self->options.name, number);
    return (umbp_key_t) { self->keys[index], strlen (self->keys[index]) };
}

//  Two that it has, if any, and two that it has no more or not yet
static void s_kv_match (self_t *self)
{
    umbp_key_t hashes[4] = { s_hash (self, 0, self->kv_first),
                             s_hash (self, 1, self->kv_next - (self->kv_next > self->kv_first)),
                             s_hash (self, 2, UINT64_MAX),
                             s_hash (self, 3, self->kv_first - (self->kv_first > 0)) };
    uint32_t none = self->kv_first > 0 ? 2 : 3;       //  Of what was revoked nobody may know
    int err;
    s_begin (self, "kv_match");
    umbp_kv_match_t *match =
        umbp_kv_match (self->pool, hashes, none == 2 ? 4 : 3, s_draw (self, 2), 0, &err);
    s_end (self, "kv_match");
    size_t count = 0;
    const umbp_kv_row_t *rows = match ? umbp_kv_match_rows (match, &count) : NULL;
    for (size_t row = 0; row < count; row++) {
        if (strcmp (rows[row].engine, self->options.name) != 0)
            s_wrong (self, "kv_match", rows[row].engine);
        for (size_t index = 0; index < rows[row].count; index++)
            if (rows[row].hashes[index] >= 2)
                s_wrong (self, "kv_match", self->keys[rows[row].hashes[index] & 3]);
    }
    umbp_kv_match_destroy (&match);
    uint64_t hits[2];
    s_begin (self, "kv_hits");
    umbp_kv_hits (self->pool, hashes, 2, hits, 0);
    s_end (self, "kv_hits");
}

//  A hash whose report or revoke met an error is not spoken of again: it may come or go late
static void s_kv (self_t *self)
{
    const char *name = self->options.name;
    if (self->kv_next - self->kv_first < KV_MAX) {
        umbp_key_t hash = s_hash (self, 0, self->kv_next);
        s_begin (self, "kv_report");
        int rc = umbp_kv_report (self->pool, name, "10.0.0.1:1", 1, &hash, 1, 0);
        s_end (self, "kv_report");
        self->kv_next++;
        if (rc != 0)
            self->kv_first = ++self->kv_next;
    } else {
        umbp_key_t hash = s_hash (self, 0, self->kv_first);
        s_begin (self, "kv_revoke");
        int rc = umbp_kv_revoke (self->pool, name, 1, &hash, 1, 0);
        s_end (self, "kv_revoke");
        self->kv_first = rc == 0 ? self->kv_first + 1 : ++self->kv_next;
    }
    s_kv_match (self);
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
        fprintf (self->log, "R %" PRId64 " %s\n", chaos_now_ms (), self->keys[index]);
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
    if (self->count > self->options.live - BATCH)
        s_remove (self);
    else if (dice < 32)
        s_put (self);
    else if (dice < 52)
        s_get (self, OWN);
    else if (dice < 63)
        s_get (self, COMMON);
    else if (dice < 66)
        s_get (self, DUAL);
    else if (dice < 74)
        s_exists (self);
    else if (dice < 80)
        s_put_common (self, COMMON);
    else if (dice < 83)
        s_put_common (self, DUAL);
    else if (dice < 89)
        s_get_piece (self);
    else if (dice < 95)
        s_view (self);
    else
        s_kv (self);
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
            chaos_sleep (100);
    }
    for (size_t index = 0; self->pool && index < BATCH; index += 2)
        umbp_register (self->pool, self->bytes[index], CHAOS_BLOCK_MAX);
    return self->pool != NULL;
}

static void s_close (self_t *self)
{
    s_begin (self, "close");
    umbp_close (&self->pool);
    s_end (self, "close");
}

static void s_run (self_t *self)
{
    uint64_t before = 0;
    for (unsigned turn = 1; !s_stop; turn++) {
        s_act (self);
        if (turn % 64 == 0)
            fprintf (self->log, "N %" PRIu64 " %" PRIu64 "\n", self->calls, self->errors);
        fflush (self->log);
        chaos_sleep (self->options.pause_ms + (self->errors > before ? 50 : 0));
        before = self->errors;
    }
}

static int s_usage (void)
{
    fprintf (stderr, "chaos-load: --endpoint E --name N --seed S --log FILE [--tcp] [--fill BYTES]"
                     " [--hold MS] [--timeout MS] [--pause MS] [--live N]"
                     " [--die commit|committed|lease]\n");
    return 2;
}

static bool s_parse (options_t *options, int argc, char **argv)
{
    static const struct option flags[] = {
        { "endpoint", 1, NULL, 'e' }, { "name", 1, NULL, 'n' },    { "seed", 1, NULL, 's' },
        { "log", 1, NULL, 'l' },      { "tcp", 0, NULL, 't' },     { "fill", 1, NULL, 'f' },
        { "live", 1, NULL, 'v' },
        { "die", 1, NULL, 'd' },     { "hold", 1, NULL, 'h' },     { "timeout", 1, NULL, 'o' }, { "pause", 1, NULL, 'p' },
        { NULL, 0, NULL, 0 },
    };
    *options = (options_t) { .timeout_ms = 4000, .pause_ms = 10, .live = LIVE_MAX };
    for (int flag; (flag = getopt_long (argc, argv, "", flags, NULL)) != -1;)
        switch (flag) {
        case 'e': options->endpoint = optarg; break;
        case 'n': options->name = optarg; break;
        case 's': options->seed = strtoull (optarg, NULL, 10); break;
        case 'l': options->log_name = optarg; break;
        case 'd': s_death.when = optarg; break;
        case 't': options->tcp = true; break;
        case 'f': options->fill_bytes = strtoull (optarg, NULL, 10); break;
        case 'h': options->hold_ms = (unsigned) strtoul (optarg, NULL, 10); break;
        case 'o': options->timeout_ms = (unsigned) strtoul (optarg, NULL, 10); break;
        case 'v': options->live = (unsigned) strtoul (optarg, NULL, 10); break;
        case 'p': options->pause_ms = (unsigned) strtoul (optarg, NULL, 10); break;
        default: return false;
        }
    return options->endpoint && options->name && options->log_name && strlen (options->name) < 30
           && options->live > BATCH && options->live <= LIVE_MAX;
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
    void *frame;
    backtrace (&frame, 1);              //  The first call loads what it needs
    if (chaos_watch_start () != 0)
        return 2;
    self.random = self.options.seed;
    s_death.left = (unsigned) (self.options.seed % 3);
    for (size_t index = 0; index < BATCH; index++)
        self.bytes[index] = malloc (CHAOS_BLOCK_MAX);
    if (s_connect (&self))
        self.options.fill_bytes ? s_fill (&self) : s_run (&self);
    fprintf (self.log, "N %" PRIu64 " %" PRIu64 "\n", self.calls, self.errors);
    umbp_talk_destroy (&self.talk);
    s_close (&self);
    for (size_t index = 0; index < BATCH; index++)
        free (self.bytes[index]);
    return fclose (self.log) == 0 ? 0 : 1;
}

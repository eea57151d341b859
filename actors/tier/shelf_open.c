//  actors/tier/shelf_open.c - a shelf is opened and closed, and says what it has from before; see shelf.h
#include "actors/tier/shelf_self.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "cluster/bulk/clock.h"
#include "proto/error.h"

//  All that opening does to files. It stays with its thread if that does not come back.
typedef struct {
    umbp_task_t task;
    char directory[821], folder[UMBP_SHELF_PATH_MAX], node[256];
    umbp_shelf_list_args_t args;
    umbp_shelf_list_t list;
    umbp_mount_t mount;
    const char *step;                   //  What failed
    int error, lock;
    atomic_bool left;                   //  By its thread, or by who waits for it: the other one frees it
} opening_t;

//  A file that only one process has locked, where locks work; *lock_p -1: they do not
static int s_lock (const char *folder, int *lock_p)
{
    char path[UMBP_SHELF_PATH_MAX];
    snprintf (path, sizeof path, "%.1100s/lock", folder);
    *lock_p = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (*lock_p == -1)
        return errno;
    if (flock (*lock_p, LOCK_EX | LOCK_NB) == 0)
        return 0;
    int error = errno;
    close (*lock_p);
    *lock_p = -1;
    return error == EWOULDBLOCK ? EBUSY : 0;
}

static int s_make_folder (const char *path)
{
    int error = umbp_shelf_ill ("mkdir", path);
    return error ? error : mkdir (path, 0750) == 0 || errno == EEXIST ? 0 : errno;
}

static void s_look_up (opening_t *self)
{
    self->step = "cannot be made";
    self->error = s_make_folder (self->directory);
    if (self->error == 0)
        self->error = s_make_folder (self->folder);
    if (self->error)
        return;
    self->step = "cannot be looked up";
    self->error = umbp_mount_of (&self->mount, self->directory);
    umbp_task_beat (&self->task);
    if (self->error)
        return;
    self->step = "cannot be locked: does another node with this name run?";
    self->error = s_lock (self->folder, &self->lock);
    if (self->error)
        return;
    self->step = "cannot be read";
    self->error = umbp_shelf_list (&self->list, &self->args);
}

static void s_opening_free (opening_t *self)
{
    umbp_shelf_list_free (&self->list);
    if (self->lock != -1)
        close (self->lock);
    free (self);
}

static void s_run_open (umbp_task_t *task)
{
    opening_t *self = (opening_t *) task;
    s_look_up (self);
    if (atomic_exchange (&self->left, true))
        s_opening_free (self);          //  Nobody waits any more
}

static opening_t *s_opening_new (const umbp_shelf_args_t *args)
{
    opening_t *self = zmalloc (sizeof (opening_t));
    snprintf (self->directory, sizeof self->directory, "%s", args->directory);
    snprintf (self->node, sizeof self->node, "%s", args->node);
    snprintf (self->folder, sizeof self->folder, "%s/%s", self->directory, self->node);
    self->args = (umbp_shelf_list_args_t){ .folder = self->folder,
                                           .node = self->node,
                                            .own = true, .epoch = args->epoch,
                                            .task = &self->task };
    self->lock = -1;
    self->task.run = s_run_open;
    return self;
}

//  Run it. False: the mount did not answer, and has it.
static bool s_opening_run (opening_t *self, umbp_hands_t *hands, unsigned deadline_ms)
{
    umbp_hands_give (hands, &self->task);
    while (!umbp_hands_take (hands)) {
        poll (&(struct pollfd) { .fd = umbp_hands_fd (hands), .events = POLLIN }, 1, 20);
        umbp_hands_clear (hands);
        if (umbp_hands_overdue (hands, umbp_clock_ms (), deadline_ms))
            return false;
    }
    return true;
}

//  What was found is ours again
static void s_adopt (umbp_shelf_t *self, opening_t *opening)
{
    self->found = opening->list;
    self->lock = opening->lock;
    opening->list = (umbp_shelf_list_t) { 0 };
    opening->lock = -1;
    self->serial = self->found.serial;
    self->stats.torn = self->found.torn;
    self->stats.bad_headers = self->found.bad;
    self->stats.recovered = self->found.record_count;
    self->found_at = zmalloc ((self->found.record_count + 1) * sizeof *self->found_at);
    self->found_next = self->found.record_count;
    size_t record = 0;
    for (size_t index = 0; index < self->found.segment_count; index++) {
        umbp_shelf_segment_found_t *found = &self->found.segments[index];
        umbp_shelf_segment_t as = { .epoch = found->epoch,
                                    .counter = found->counter,
                                    .id = found->id, .bytes = found->bytes, .gone = found->gone,
                                    .gone_count = (uint32_t) found->gone_count,
                                    .gone_room = (uint32_t) found->gone_count };
        found->gone = NULL;
        uint32_t segment = umbp_shelf_add_segment (self, &as);
        for (; record < self->found.record_count && self->found.records[record].segment == index;
             record++)
            self->found_at[record] = umbp_shelf_add_record (
                self, segment, &self->found.records[record].note, UMBP_SHELF_NONE);
        umbp_shelf_rank (self, segment);
        if (found->epoch == self->args.epoch && found->counter > self->counter)
            self->counter = found->counter;
    }
    umbp_mount_print (&opening->mount, self->mount, sizeof self->mount);
}

static umbp_shelf_t *s_new (const umbp_shelf_args_t *args, opening_t *opening, umbp_hands_t *hands)
{
    umbp_shelf_t *self = zmalloc (sizeof (umbp_shelf_t));
    self->args = *args;
    self->directory = strdup (opening->directory);
    self->folder = strdup (opening->folder);
    self->node = strdup (opening->node);
    self->args.directory = self->directory;
    self->args.node = self->node;
    self->hands = hands;
    self->record_free = self->segment_free = UMBP_SHELF_NONE;
    self->oldest = self->newest = self->again = self->foreign = UMBP_SHELF_NONE;
    self->doomed = UMBP_SHELF_NONE;
    self->chunks = zmalloc (UMBP_SHELF_RECORDS_MAX / UMBP_SHELF_CHUNK * sizeof *self->chunks);
    self->now = umbp_clock_ms ();
    s_adopt (self, opening);
    return self;
}

umbp_shelf_t *umbp_shelf_open (const umbp_shelf_args_t *args, char *why, size_t why_size)
{
    umbp_shelf_args_t own = *args;
    own.segment_bytes = own.segment_bytes ? own.segment_bytes : UMBP_LOG_SEGMENT_BYTES;
    own.segments = own.segments ? own.segments : UMBP_SHELF_SEGMENTS_MAX;
    assert (own.segments > 2 * UMBP_SHELF_BATCHES_STRICT);
    own.deadline_ms = own.deadline_ms ? own.deadline_ms : UMBP_LOG_DEADLINE_MS;
    if (strlen (args->directory) > 820 || strlen (args->node) > 255 || !*args->node) {
        snprintf (why, why_size, "%.60s: a path of at most 820 bytes, a node's name of 255",
                  args->directory);
        return NULL;
    }
    umbp_hands_t *hands = umbp_hands_new (UMBP_SHELF_THREADS);
    if (!hands) {
        snprintf (why, why_size, "no threads for files: %s", strerror (errno));
        return NULL;
    }
    opening_t *opening = s_opening_new (&own);
    int64_t since = umbp_clock_ms ();
    if (!s_opening_run (opening, hands, own.deadline_ms)) {
        snprintf (why, why_size,
                  "%s: the mount says nothing for %u ms: see whether its servers "
                  "can be reached",
                  args->directory, own.deadline_ms);
        umbp_hands_destroy (&hands, 0);
        if (atomic_exchange (&opening->left, true))
            s_opening_free (opening);   //  It came back just now
        return NULL;
    }
    umbp_shelf_t *self = NULL;
    if (opening->error) {
        snprintf (why, why_size, "%s: %s: %s", opening->folder, opening->step,
                  strerror (opening->error));
        umbp_hands_destroy (&hands, (int) own.deadline_ms);
    } else {
        self = s_new (&own, opening, hands);
        self->stats.recover_us = (uint64_t) (umbp_clock_ms () - since) * 1000;
    }
    s_opening_free (opening);
    return self;
}

bool umbp_shelf_recovered (umbp_shelf_t *self, umbp_medium_record_t *record, uint64_t *at_p)
{
    while (self->found_next > 0) {
        size_t number = --self->found_next;
        const umbp_shelf_record_found_t *found = &self->found.records[number];
        *at_p = self->found_at[number];
        if (*at_p == UINT64_MAX)
            continue;
        *record = (umbp_medium_record_t) { .key = self->found.keys + found->key,
                                        .key_size = found->note.key_size, .size = found->note.size,
                                        .sum = found->note.sum, .depth = found->note.depth,
                                        .replicas = found->note.replicas };
        return true;
    }
    umbp_shelf_list_free (&self->found);
    free (self->found_at);
    self->found_at = NULL;
    return false;
}

//  ------------------------------------------------------------------------------------------------
//  The end

//  Until nothing is under way, or the time is over
static void s_drain (umbp_shelf_t *self)
{
    int64_t until = umbp_clock_ms () + self->args.deadline_ms;
    umbp_medium_event_t event;
    umbp_shelf_close_batch (self);
    while (umbp_clock_ms () < until) {
        umbp_shelf_tick (self, umbp_clock_ms ());
        bool flushed = umbp_shelf_flush (self);
        while (umbp_shelf_event (self, &event))
            continue;
        if (self->failed || (flushed && self->works == 0 && self->batch_count == 0))
            return;
        poll (&(struct pollfd) { .fd = umbp_hands_fd (self->hands), .events = POLLIN }, 1, 5);
    }
}

static void s_free (umbp_shelf_t *self)
{
    umbp_shelf_batches_free (self);
    umbp_shelf_list_free (&self->found);
    umbp_shelf_list_free (&self->scan);
    for (uint32_t chunk = 0; chunk < self->chunk_count; chunk++)
        free (self->chunks[chunk]);
    for (uint32_t number = 0; number < self->segment_count; number++)
        free (self->segments[number].gone);
    if (self->lock != -1)
        close (self->lock);
    free (self->chunks);
    free (self->segments);
    umbp_completions_free (&self->completions);
    free (self->found_at);
    free (self->scan_node);
    free (self->scan_segments);
    umbp_shelf_others_free (self);
    free (self->directory);
    free (self->folder);
    free (self->node);
    free (self);
}

bool umbp_shelf_close (umbp_shelf_t **self_p)
{
    umbp_shelf_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return true;
    s_drain (self);
    umbp_medium_event_t event;
    bool idle = umbp_hands_lost (self->hands) == 0 && umbp_hands_pending (self->hands) == 0;
    while (umbp_shelf_event (self, &event))          //  Those that came back free what they had
        continue;
    idle = idle && self->works == 0;
    if (!idle)                          //  Threads wait for the mount, perhaps for ever, with what they were given
        return umbp_hands_destroy (&self->hands, 0) && false;
    umbp_hands_destroy (&self->hands, (int) self->args.deadline_ms);
    s_free (self);
    return true;
}

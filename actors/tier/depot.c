//  actors/tier/depot.c - blocks of a store that rest on disk. See depot.h.
#include "actors/tier/depot.h"

#include <assert.h>
#include <stdlib.h>

#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"
#include "proto/error.h"

#define NONE UINT32_MAX
#define TIGHT_MS 1000                   //  So long a block waits for others to go elsewhere

typedef enum {
    FREE,
    SAVE,
    FETCH,
    STUCK
} job_kind_t; //  STUCK: it was given up, but the disk has its pages

//  A block on its way: it waits for the medium to take it, or that has it
typedef struct {
    uint64_t tag;
    int64_t expires;                    //  The medium must have taken it by then
    uint64_t serial;                    //  Of a save
    uint32_t item, next;                //  next: in the list of free ones, or of those that wait
    uint32_t before, after;             //  In the list of saves
    uint8_t kind;
    bool saves;                         //  Also once it is stuck
} job_t;

//  Jobs that wait for the medium to take them: who reads does not wait for who writes
typedef struct {
    uint32_t head, tail;
} line_t;

struct umbp_depot {
    umbp_store_t *store;
    umbp_medium_t medium;
    void *owner;
    umbp_depot_fn *fn;
    umbp_piece_t *regions;
    size_t region_count;
    job_t *jobs;
    uint32_t free_head;
    line_t reads, writes;
    uint32_t save_head, save_tail;      //  Saves that have not ended, the oldest first
    uint64_t serial;
    bool sinks;
    bool tight;                         //  The first that is to be written found no room, since this was asked last
    umbp_depot_stats_t stats;
};

//  Since this was asked last; and it is known to have been from now on
static bool s_keep (void *arg, uint32_t item)
{
    umbp_store_t *store = ((umbp_depot_t *) arg)->store;
    umbp_block_t *block = umbp_store_block (store, item);
    block->again = block->again || block->used;
    return umbp_store_is_used (store, item);
}

uint64_t umbp_depot_room (const umbp_medium_t *medium)
{
    return medium->calls->stats (medium->self).room;
}

//  What the medium has from before
static void s_adopt (umbp_depot_t *self, uint64_t tick)
{
    umbp_medium_record_t record;
    uint64_t place;
    while (self->medium.calls->recovered (self->medium.self, &record, &place)) {
        umbp_block_t known = { .key = record.key,
                               .key_size = (uint16_t) record.key_size,
                               .size = record.size, .sum = record.sum, .depth = record.depth,
                               .replicas = record.replicas, .place = place };
        uint32_t item;
        if (umbp_store_adopt (self->store, &known, tick, &item) == 0)
            self->medium.calls->set_item (self->medium.self, place, item);
        else
            self->medium.calls->remove (self->medium.self, place);
    }
}

umbp_depot_t *umbp_depot_new (const umbp_depot_args_t *args, umbp_medium_t *medium, uint64_t tick)
{
    umbp_depot_t *self = calloc (1, sizeof (umbp_depot_t));
    assert (self);
    self->store = args->store;
    self->owner = args->owner;
    self->fn = args->fn;
    self->medium = *medium;
    *medium = (umbp_medium_t) { NULL, NULL };
    self->region_count = args->region_count;
    self->regions = malloc (args->region_count * sizeof *self->regions);
    self->jobs = calloc (UMBP_DEPOT_JOBS_MAX, sizeof (job_t));
    assert (self->regions && self->jobs);
    for (size_t index = 0; index < args->region_count; index++)
        self->regions[index] = args->regions[index];
    for (uint32_t job = 0; job < UMBP_DEPOT_JOBS_MAX; job++)
        self->jobs[job].next = job + 1 < UMBP_DEPOT_JOBS_MAX ? job + 1 : NONE;
    self->reads = self->writes = (line_t) { NONE, NONE };
    self->save_head = self->save_tail = NONE;
    self->serial = 1;
    self->medium.calls->set_keep (self->medium.self, s_keep, self);
    s_adopt (self, tick);
    return self;
}

bool umbp_depot_destroy (umbp_depot_t **self_p)
{
    umbp_depot_t *self = *self_p;
    if (!self)
        return true;
    bool clean = umbp_medium_close (&self->medium);
    free (self->jobs);
    free (self->regions);
    free (self);
    *self_p = NULL;
    return clean;
}

//  --------------------------------------------------------------------------------------------------
//  Jobs

static void s_link (umbp_depot_t *self, uint32_t number)
{
    job_t *job = &self->jobs[number];
    job->saves = true;
    job->serial = ++self->serial;
    job->before = self->save_tail;
    job->after = NONE;
    if (self->save_tail == NONE)
        self->save_head = number;
    else
        self->jobs[self->save_tail].after = number;
    self->save_tail = number;
}

static void s_unlink (umbp_depot_t *self, const job_t *job)
{
    if (job->before == NONE)
        self->save_head = job->after;
    else
        self->jobs[job->before].after = job->after;
    if (job->after == NONE)
        self->save_tail = job->before;
    else
        self->jobs[job->after].before = job->before;
}

static uint32_t s_job_new (umbp_depot_t *self, job_kind_t kind, uint32_t item, uint64_t tag)
{
    uint32_t job = self->free_head;
    if (job == NONE)
        return NONE;
    self->free_head = self->jobs[job].next;
    self->jobs[job] = (job_t){ .tag = tag,
                               .expires = umbp_clock_ms () + UMBP_DEPOT_WAIT_MS,
                               .item = item, .next = NONE, .kind = kind };
    if (kind == SAVE)
        s_link (self, job);
    self->stats.jobs++;
    umbp_store_hold (self->store, item);
    return job;
}

static void s_say (umbp_depot_t *self, const job_t *job, int status)
{
    umbp_depot_word_t word = { .what = job->kind == SAVE ? UMBP_DEPOT_SAVED : UMBP_DEPOT_FETCHED,
                               .item = job->item, .tag = job->tag, .status = status };
    self->stats.failed += status < 0;
    self->fn (self->owner, &word);
}

//  Its pages are free of the disk: let go of the block
static void s_job_free (umbp_depot_t *self, uint32_t number)
{
    job_t *job = &self->jobs[number];
    if (job->saves)
        s_unlink (self, job);
    job->kind = FREE;
    job->next = self->free_head;
    self->free_head = number;
    self->stats.jobs--;
    umbp_store_unhold (self->store, job->item);
}

static void s_job_end (umbp_depot_t *self, uint32_t number, int status)
{
    job_t job = self->jobs[number];
    s_say (self, &job, status);
    s_job_free (self, number);
}

//  The medium gave up what the disk may still work on
static void s_job_stuck (umbp_depot_t *self, uint32_t number)
{
    job_t *job = &self->jobs[number];
    self->stats.stuck++;
    s_say (self, job, UMBP_ETIMEDOUT);
    job->kind = STUCK;
}

//  The bytes of a block, where its pages are. Returns the number of vectors.
static size_t s_vectors (const umbp_depot_t *self, const umbp_block_t *block,
                         struct iovec vectors[UMBP_STORE_EXTENTS_MAX])
{
    uint32_t page_size = umbp_store_page_size (self->store);
    uint64_t left = block->size;
    for (size_t index = 0; index < block->extent_count; index++) {
        const umbp_extent_t *extent = &block->extents[index];
        uint8_t *base = self->regions[extent->region].base;
        vectors[index].iov_base = base + umbp_extent_offset (extent, page_size);
        vectors[index].iov_len = umbp_extent_bytes (extent, page_size, left);
        left -= vectors[index].iov_len;
    }
    return block->extent_count;
}

//  What is asked for again and again, until it is so, is asked of the medium once
static void s_evict (umbp_depot_t *self, uint64_t bytes)
{
    uint64_t evicting = self->medium.calls->evicting (self->medium.self);
    if (bytes > evicting && self->medium.calls->evict)
        self->medium.calls->evict (self->medium.self, bytes - evicting);
}

//  Give a job to the medium. Returns UMBP_EAGAIN if that has no room for it now.
static int s_job_start (umbp_depot_t *self, uint32_t number)
{
    const job_t *job = &self->jobs[number];
    const umbp_block_t *block = umbp_store_block (self->store, job->item);
    struct iovec vectors[UMBP_STORE_EXTENTS_MAX];
    size_t count = s_vectors (self, block, vectors);
    if (job->kind == FETCH)
        return self->medium.calls->read (self->medium.self, block->place, 0, block->size, vectors,
                                         count, number);
    umbp_medium_record_t record = { .key = block->key,
                                 .key_size = block->key_size, .size = block->size,
                                 .sum = block->sum, .depth = block->depth,
                                 .replicas = block->replicas };
    int rc =
        self->medium.calls->append (self->medium.self, &record, vectors, count, job->item, number);
    self->tight = self->tight && rc != 0;
    if (rc != UMBP_ENOSPC)
        return rc;
    uint64_t bytes = umbp_store_bytes (self->store, block->size);
    if (self->sinks && umbp_clock_ms () < job->expires - UMBP_DEPOT_WAIT_MS + TIGHT_MS) {
        self->tight = true;             //  However often it is tried
        return UMBP_EAGAIN;
    }
    s_evict (self, bytes);
    return self->medium.calls->evicting (self->medium.self) > 0 ? UMBP_EAGAIN : UMBP_ENOSPC;
}

static bool s_is_wanted (const umbp_depot_t *self, const job_t *job)
{
    return umbp_store_block (self->store, job->item)->state == UMBP_BLOCK_LIVE;
}

//  Let the medium have what waits, in its order, as long as it takes some. What nobody wants any more, and what waited for
//  too long, ends.
static void s_pump_line (umbp_depot_t *self, line_t *line, int64_t now)
{
    while (line->head != NONE) {
        uint32_t number = line->head;
        const job_t *job = &self->jobs[number];
        int rc = !s_is_wanted (self, job) ? UMBP_ENOENT : s_job_start (self, number);
        if (rc == UMBP_EAGAIN && now < job->expires)
            return;
        line->head = job->next;
        if (rc < 0 && job->kind == FETCH)
            umbp_store_block (self->store, job->item)->filling = false;
        if (rc < 0)
            s_job_end (self, number, rc == UMBP_EAGAIN ? UMBP_ETIMEDOUT : rc);
    }
}

static void s_pump (umbp_depot_t *self)
{
    int64_t now = umbp_clock_ms ();
    s_pump_line (self, &self->reads, now);
    s_pump_line (self, &self->writes, now);
}

static void s_wait (umbp_depot_t *self, line_t *line, uint32_t job)
{
    if (line->head == NONE)
        line->head = job;
    else
        self->jobs[line->tail].next = job;
    line->tail = job;
}

//  --------------------------------------------------------------------------------------------------
//  What the owner wants

int umbp_depot_save (umbp_depot_t *self, uint32_t item, uint64_t tag)
{
    uint32_t job = s_job_new (self, SAVE, item, tag);
    if (job == NONE)
        return UMBP_EAGAIN;
    s_wait (self, &self->writes, job);
    return 0;
}

int umbp_depot_fetch (umbp_depot_t *self, uint32_t item)
{
    umbp_block_t *block = umbp_store_block (self->store, item);
    if (block->filled)
        return 0;
    self->stats.shared += block->filling;
    if (block->filling)
        return 1;
    uint32_t job = NONE;
    if (umbp_store_raise (self->store, item) == 0)
        job = s_job_new (self, FETCH, item, 0);
    if (job == NONE)
        return UMBP_EAGAIN;
    umbp_store_block (self->store, item)->filling = true;
    self->stats.fetches++;
    s_wait (self, &self->reads, job);
    return 1;
}

void umbp_depot_drop (umbp_depot_t *self, uint32_t item)
{
    umbp_block_t *block = umbp_store_block (self->store, item);
    if (block->place != UMBP_STORE_NOWHERE)
        self->medium.calls->remove (self->medium.self, block->place);
    block->place = UMBP_STORE_NOWHERE;
}

bool umbp_depot_chooses (const umbp_depot_t *self)
{
    return self->medium.calls->evict != NULL;
}

bool umbp_depot_forgets (const umbp_depot_t *self)
{
    return self->medium.calls->forgets;
}

void umbp_depot_evict (umbp_depot_t *self, uint64_t bytes)
{
    s_evict (self, bytes);
    umbp_depot_work (self);
}

void umbp_depot_set_sinks (umbp_depot_t *self, bool sinks)
{
    self->sinks = sinks;
}

uint64_t umbp_depot_tight (umbp_depot_t *self)
{
    uint64_t bytes = 0;
    for (uint32_t job = self->tight ? self->writes.head : NONE; job != NONE;
         job = self->jobs[job].next)
        if (s_is_wanted (self, &self->jobs[job]))
            bytes += umbp_store_bytes (self->store,
                                       umbp_store_block (self->store, self->jobs[job].item)->size);
    self->tight = false;
    return bytes;
}

typedef struct {
    umbp_store_t *store;
    bool found;                         //  From here on blocks are read, and not passed over
} look_t;

//  One that was used stays for another round, which begins when it is passed over. Cleaning, which goes its own rounds, is
//  told so still.
static bool s_may_go (void *arg, uint32_t item)
{
    look_t *look = arg;
    umbp_block_t *block = umbp_store_block (look->store, item);
    bool may_go =
        block->state == UMBP_BLOCK_LIVE && !block->leaving && block->holds == 0 && !block->lately;
    look->found = look->found || may_go;
    if (!look->found)
        block->lately = false;
    return may_go;
}

size_t umbp_depot_victims (umbp_depot_t *self, size_t max, uint32_t *items)
{
    const umbp_medium_t *medium = &self->medium;
    look_t look = { self->store, false };
    return medium->calls->victims
               ? medium->calls->victims (medium->self, s_may_go, &look, max, items)
               : 0;
}

umbp_depot_mark_t umbp_depot_mark (umbp_depot_t *self)
{
    umbp_depot_mark_t mark = { self->serial, 0 };
    umbp_depot_is_past (self, &mark);
    return mark;
}

//  A record of what was dropped while it was written is removed when that ended
bool umbp_depot_is_past (umbp_depot_t *self, umbp_depot_mark_t *mark)
{
    if (mark->saves) {
        if (self->save_head != NONE && self->jobs[self->save_head].serial <= mark->saves)
            return false;
        mark->saves = 0;
        mark->removals = self->medium.calls->mark (self->medium.self);
    }
    return mark->removals == 0 || self->medium.calls->is_past (self->medium.self, mark->removals);
}

//  --------------------------------------------------------------------------------------------------
//  What the medium says

//  A block that was dropped while it was written: so goes its record
static void s_written (umbp_depot_t *self, const umbp_medium_event_t *event)
{
    uint32_t item = self->jobs[event->tag].item;
    bool live = umbp_store_block (self->store, item)->state == UMBP_BLOCK_LIVE;
    if (event->status == 0 && live)
        umbp_store_rest (self->store, item, event->at);
    else if (event->status == 0)
        self->medium.calls->remove (self->medium.self, event->at);
    if (event->status == UMBP_ETIMEDOUT)
        s_job_stuck (self, (uint32_t) event->tag);
    else
        s_job_end (self, (uint32_t) event->tag, event->status);
}

static bool s_is_sound (const umbp_depot_t *self, const umbp_block_t *block)
{
    struct iovec vectors[UMBP_STORE_EXTENTS_MAX];
    size_t count = s_vectors (self, block, vectors);
    umbp_sum_t sum;
    umbp_sum_init (&sum, block->size);
    for (size_t index = 0; index < count; index++)
        umbp_sum_update (&sum, vectors[index].iov_base, vectors[index].iov_len);
    return umbp_sum_final (&sum) == block->sum;
}

static void s_read (umbp_depot_t *self, const umbp_medium_event_t *event)
{
    umbp_block_t *block = umbp_store_block (self->store, self->jobs[event->tag].item);
    int status = event->status;
    if (status == UMBP_ETIMEDOUT) {     //  Nobody else may read into its pages
        s_job_stuck (self, (uint32_t) event->tag);
        return;
    }
    if (status == 0 && !s_is_sound (self, block)) {
        self->stats.rotten++;
        status = UMBP_ECHECKSUM;
    }
    block->filling = false;
    block->filled = status == 0;
    s_job_end (self, (uint32_t) event->tag, status);
}

//  The disk let go of the pages of a job that was given up
static void s_released (umbp_depot_t *self, uint32_t number)
{
    umbp_store_block (self->store, self->jobs[number].item)->filling = false;
    self->stats.stuck--;
    s_job_free (self, number);
}

//  Unless the owner dropped it meanwhile: then its number may be that of another block by now
static void s_left (umbp_depot_t *self, const umbp_medium_event_t *event)
{
    umbp_block_t *block = umbp_store_block (self->store, event->item);
    if (block->state != UMBP_BLOCK_LIVE || block->place != event->at)
        return;
    block->place = UMBP_STORE_NOWHERE;
    umbp_depot_word_t word = { UMBP_DEPOT_LEFT, event->item, 0, event->status };
    self->fn (self->owner, &word);
}

int umbp_depot_fd (umbp_depot_t *self)
{
    return self->medium.calls->fd (self->medium.self);
}

void umbp_depot_work (umbp_depot_t *self)
{
    umbp_medium_event_t event;
    while (self->medium.calls->event (self->medium.self, &event))
        switch (event.type) {
        case UMBP_MEDIUM_WRITTEN: s_written (self, &event); break;
        case UMBP_MEDIUM_READ: s_read (self, &event); break;
        case UMBP_MEDIUM_MOVED: break;     //  Its place is called as before
        case UMBP_MEDIUM_RELEASED: s_released (self, (uint32_t) event.tag); break;
        case UMBP_MEDIUM_LEFT: s_left (self, &event); break;
        }
    s_pump (self);
}

void umbp_depot_tick (umbp_depot_t *self, int64_t now_ms)
{
    self->medium.calls->tick (self->medium.self, now_ms);
    umbp_depot_work (self);
}

umbp_depot_stats_t umbp_depot_stats (const umbp_depot_t *self)
{
    umbp_depot_stats_t stats = self->stats;
    stats.medium = self->medium.calls->stats (self->medium.self);
    return stats;
}

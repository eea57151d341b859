//  actors/tier/vram.c - blocks in the memory of a device. See vram.h.
#include "actors/tier/vram.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/tier/completions.h"
#include "actors/tier/pages.h"
#include "actors/tier/vram_job.h"
#include "cluster/bulk/clock.h"
#include "cluster/slab.h"

#define NONE UINT32_MAX
#define CHUNK_STEP (UINT64_C (2) << 20) //  Chunks are multiples of what devices allocate by
#define LOOK_MS 1000
#define REST_MS 5000                    //  Nothing is written for so long after a copy failed

typedef enum {
    FREE,
    WRITING,
    LIVE,
    DOOMED,                             //  Removed, and still held
} record_state_t;

typedef struct {
    umbp_extent_t *extents;
    uint32_t serial;                    //  Of its name: how often this place was used
    uint32_t item, next;                //  next: in the list of free ones
    uint32_t size;
    uint32_t holds;                     //  Copies under way, and those it is lent to
    uint16_t extent_count;
    uint8_t state;
} record_t;

struct umbp_vram {
    umbp_vram_driver_t *driver;
    umbp_hands_t *hands;
    umbp_pages_t *pages;
    umbp_slab_t *slab;                  //  Of extents
    record_t *records;
    uint32_t record_count, record_room, record_free;
    umbp_vram_job_t *jobs;
    umbp_vram_job_t look;
    uint32_t job_free;
    bool looking;
    int64_t looked_at, rests_until;
    uint64_t total, left;               //  Of the device
    umbp_completions_t said;
    umbp_medium_stats_t stats;
    unsigned late;                      //  Copies that were given up, and did not return
    bool failing;                       //  The last copy failed
};

//  ------------------------------------------------------------------------------------------------
//  Records

static uint64_t s_at (const umbp_vram_t *self, const record_t *record)
{
    return (uint64_t) record->serial << 32 | (uint64_t) (record - self->records);
}

//  NULL: there is none of that name any more
static record_t *s_find (umbp_vram_t *self, uint64_t at)
{
    uint32_t index = (uint32_t) at;
    record_t *record = index < self->record_count ? &self->records[index] : NULL;
    return record && record->serial == at >> 32 && record->state != FREE ? record : NULL;
}

static record_t *s_record_new (umbp_vram_t *self)
{
    uint32_t index = self->record_free;
    if (index != NONE) {
        self->record_free = self->records[index].next;
        return &self->records[index];
    }
    if (self->record_count == self->record_room) {
        self->record_room = self->record_room ? self->record_room * 2 : 1024;
        self->records = realloc (self->records, self->record_room * sizeof (record_t));
        assert (self->records);
    }
    self->records[self->record_count] = (record_t) { .serial = 1 };
    return &self->records[self->record_count++];
}

static void s_record_free (umbp_vram_t *self, record_t *record)
{
    for (size_t index = 0; index < record->extent_count; index++) {
        int rc = umbp_pages_give (self->pages, &record->extents[index]);
        assert (rc == 0);               //  They are ours, by their generation
    }
    umbp_slab_give (self->slab, record->extents, record->extent_count * sizeof *record->extents);
    uint32_t serial = record->serial == UINT32_MAX - 1 ? 1 : record->serial + 1;
    *record = (record_t) { .serial = serial, .next = self->record_free };
    self->record_free = (uint32_t) (record - self->records);
    self->stats.records--;
}

static void s_unhold (umbp_vram_t *self, record_t *record)
{
    assert (record->holds > 0);
    if (--record->holds == 0 && record->state == DOOMED)
        s_record_free (self, record);
}

static void s_doom (umbp_vram_t *self, record_t *record)
{
    record->state = DOOMED;
    if (record->holds == 0)
        s_record_free (self, record);
}

//  Pages for a block. Returns 0, UMBP_EAGAIN if too few are free now, UMBP_ETOOBIG if there are never enough.
static int s_take (umbp_vram_t *self, uint32_t size, record_t **record_p)
{
    umbp_extent_t extents[UMBP_MEDIUM_PIECES_MAX];
    uint32_t pages = (uint32_t) umbp_extent_page_count (size, UMBP_VRAM_PAGE_BYTES);
    int count = umbp_pages_take (self->pages, pages, extents, UMBP_MEDIUM_PIECES_MAX);
    if (count < 0)
        return count == UMBP_EAGAIN ? UMBP_EAGAIN : UMBP_ETOOBIG;
    record_t *record = *record_p = s_record_new (self);
    record->extents = umbp_slab_take (self->slab, (size_t) count * sizeof *extents);
    assert (record->extents);
    memcpy (record->extents, extents, (size_t) count * sizeof *extents);
    record->extent_count = (uint16_t) count;
    record->size = size;
    record->holds = 0;
    record->state = WRITING;
    self->stats.records++;
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  Jobs

static umbp_vram_job_t *s_job_new (umbp_vram_t *self, umbp_vram_what_t what, const record_t *record,
                                   const struct iovec *data, size_t count)
{
    umbp_vram_job_t *job = &self->jobs[self->job_free];
    self->job_free = job->next;
    job->what = what;
    job->driver = self->driver;
    job->extents = record->extents;
    job->extent_count = record->extent_count;
    job->at = s_at (self, record);
    job->item = record->item;
    memcpy (job->data, data, count * sizeof *data);
    job->data_count = count;
    job->status = 0;
    self->stats.waiting++;
    return job;
}

static void s_job_free (umbp_vram_t *self, umbp_vram_job_t *job)
{
    job->what = UMBP_VRAM_IDLE;
    job->next = self->job_free;
    self->job_free = (uint32_t) (job - self->jobs);
    self->stats.waiting--;
}

static void s_say (umbp_vram_t *self, umbp_medium_event_type_t type, const umbp_vram_job_t *job,
                   int status)
{
    umbp_medium_event_t event = { .type = type,
                                  .status = status,
                                  .item = job->item,
                                  .tag = job->tag, .at = job->at };
    umbp_completions_add (&self->said, &event);      //  Whoever makes us see it asks for events then
}

static umbp_medium_event_type_t s_type (const umbp_vram_job_t *job)
{
    return job->what == UMBP_VRAM_WRITE ? UMBP_MEDIUM_WRITTEN : UMBP_MEDIUM_READ;
}

//  A copy fails once in a while, or the device does not work any more: it gets a rest
static void s_judge (umbp_vram_t *self, int status)
{
    self->failing = status < 0;
    self->stats.io_errors += status < 0;
    if (status < 0)
        self->rests_until = umbp_clock_ms () + REST_MS;
}

//  A copy that came back. Of one that was given up all was said, but that its memory is free.
static void s_end (umbp_vram_t *self, umbp_vram_job_t *job)
{
    record_t *record = s_find (self, job->at);
    assert (record);                    //  It is held
    bool write = job->what == UMBP_VRAM_WRITE;
    if (self->late == 0 || job->task.late)
        s_judge (self, job->status);    //  Not of what failed since another hangs
    if (job->task.late) {
        self->late--;
        s_say (self, UMBP_MEDIUM_RELEASED, job, 0);
    } else {
        *(write ? &self->stats.written_bytes : &self->stats.read_bytes) +=
            job->status == 0 ? job->bytes : 0;
        s_say (self, s_type (job), job, job->status);
    }
    if (write && record->state == WRITING)
        record->state = job->status == 0 ? LIVE : DOOMED;
    s_unhold (self, record);
    s_job_free (self, job);
}

//  The driver does not return
static void s_give_up (umbp_vram_t *self, umbp_vram_job_t *job)
{
    if (job == &self->look) {
        self->looking = job->task.begun;
        self->late += job->task.begun;
        return;
    }
    self->stats.timeouts++;
    if (!job->task.begun) {             //  And none of it is to be done
        job->task.late = false;
        job->status = UMBP_EIO;
        self->late++;                   //  It is not this one that shows how the device is
        s_end (self, job);
        self->late--;
        return;
    }
    self->late++;
    record_t *record = s_find (self, job->at);
    if (job->what == UMBP_VRAM_WRITE && record->state == WRITING)
        record->state = DOOMED;
    s_say (self, s_type (job), job, UMBP_ETIMEDOUT);
}

static void s_take_look (umbp_vram_t *self)
{
    self->looking = false;
    self->late -= self->look.task.late;
    if (self->look.status < 0)
        return;
    self->total = self->look.total;
    self->left = self->look.left;
}

static void s_reap (umbp_vram_t *self)
{
    umbp_task_t *task;
    while ((task = umbp_hands_take (self->hands)))
        if (task == &self->look.task)
            s_take_look (self);
        else
            s_end (self, (umbp_vram_job_t *) task);
}

//  ------------------------------------------------------------------------------------------------
//  The calls of a medium

//  Returns 0 if a copy may begin
static int s_may_begin (const umbp_vram_t *self)
{
    if (self->late > 0)
        return UMBP_EIO;
    return self->job_free == NONE ? UMBP_EAGAIN : 0;
}

static int s_append (void *value, const umbp_medium_record_t *wanted, const struct iovec *data,
                     size_t count, uint32_t item, uint64_t tag)
{
    umbp_vram_t *self = value;
    record_t *record;
    if (count == 0 || count > UMBP_MEDIUM_PIECES_MAX || wanted->size == 0)
        return UMBP_EINVAL;
    int rc = s_may_begin (self);
    if (rc == 0 && self->failing && umbp_clock_ms () < self->rests_until)
        rc = UMBP_EIO;
    if (rc == 0)
        rc = s_take (self, wanted->size, &record);
    if (rc < 0)
        return rc;
    record->item = item;
    record->holds++;
    umbp_vram_job_t *job = s_job_new (self, UMBP_VRAM_WRITE, record, data, count);
    job->tag = tag;
    job->offset = 0;
    job->bytes = wanted->size;
    umbp_hands_give (self->hands, &job->task);
    return 0;
}

static int s_read (void *value, uint64_t at, uint32_t offset, uint32_t length,
                   const struct iovec *data, size_t count, uint64_t tag)
{
    umbp_vram_t *self = value;
    record_t *record = s_find (self, at);
    if (!record || record->state != LIVE)
        return UMBP_ENOENT;
    if (count == 0 || count > UMBP_MEDIUM_PIECES_MAX || length == 0 || offset > record->size
        || length > record->size - offset)
        return UMBP_EINVAL;
    int rc = s_may_begin (self);
    if (rc < 0)
        return rc;
    record->holds++;
    umbp_vram_job_t *job = s_job_new (self, UMBP_VRAM_READ, record, data, count);
    job->tag = tag;
    job->offset = offset;
    job->bytes = length;
    umbp_hands_give (self->hands, &job->task);
    return 0;
}

static int s_remove (void *value, uint64_t at)
{
    umbp_vram_t *self = value;
    record_t *record = s_find (self, at);
    if (!record || record->state != LIVE)
        return UMBP_ENOENT;
    s_doom (self, record);
    return 0;
}

//  Nothing is there from before
static bool s_recovered (void *value, umbp_medium_record_t *record, uint64_t *at_p)
{
    (void) value;
    (void) record;
    (void) at_p;
    return false;
}

static void s_set_item (void *value, uint64_t at, uint32_t item)
{
    umbp_vram_t *self = value;
    record_t *record = s_find (self, at);
    if (record)
        record->item = item;
}

//  Nobody is asked: nothing leaves by itself
static void s_set_keep (void *value, umbp_medium_keep_fn *keep, void *arg)
{
    (void) value;
    (void) keep;
    (void) arg;
}

static uint64_t s_evicting (const void *value)
{
    (void) value;
    return 0;
}

//  What was removed is gone: nothing comes back
static uint64_t s_mark (void *value)
{
    (void) value;
    return 0;
}

static bool s_is_past (const void *value, uint64_t mark)
{
    (void) value;
    (void) mark;
    return true;
}

static int s_fd (void *value)
{
    return umbp_hands_fd (((umbp_vram_t *) value)->hands);
}

static bool s_event (void *value, umbp_medium_event_t *event)
{
    umbp_vram_t *self = value;
    umbp_hands_clear (self->hands);
    s_reap (self);
    return umbp_completions_take (&self->said, event);
}

static void s_tick (void *value, int64_t now_ms)
{
    umbp_vram_t *self = value;
    umbp_task_t *task;
    s_reap (self);
    while ((task = umbp_hands_overdue (self->hands, now_ms, UMBP_VRAM_DEADLINE_MS)))
        s_give_up (self, (umbp_vram_job_t *) task);
    if (self->looking || self->late > 0 || now_ms - self->looked_at < LOOK_MS)
        return;
    self->looked_at = now_ms;
    self->looking = true;
    umbp_hands_give (self->hands, &self->look.task);
}

static umbp_medium_stats_t s_stats (const void *value)
{
    const umbp_vram_t *self = value;
    umbp_medium_stats_t stats = self->stats;
    stats.capacity = stats.room =
        (uint64_t) umbp_pages_total_count (self->pages) * UMBP_VRAM_PAGE_BYTES;
    stats.live_bytes = (uint64_t) umbp_pages_used_count (self->pages) * UMBP_VRAM_PAGE_BYTES;
    stats.unit = UMBP_VRAM_PAGE_BYTES;
    stats.engine = self->driver->kind;
    stats.state = self->late > 0 ? UMBP_ETIMEDOUT : self->failing ? UMBP_EIO : 0;
    return stats;
}

//  ------------------------------------------------------------------------------------------------
//  Lending

int umbp_vram_lend (umbp_vram_t *self, uint64_t at, umbp_vram_span_t spans[UMBP_MEDIUM_PIECES_MAX])
{
    record_t *record = s_find (self, at);
    if (!record || record->state != LIVE)
        return UMBP_ENOENT;
    if (!self->driver->lends)
        return UMBP_ENOTSUP;
    if (self->late > 0)
        return UMBP_EIO;
    uint64_t left = record->size;
    for (size_t index = 0; index < record->extent_count; index++) {
        const umbp_extent_t *extent = &record->extents[index];
        spans[index].chunk = extent->region;
        spans[index].offset = umbp_extent_offset (extent, UMBP_VRAM_PAGE_BYTES);
        spans[index].bytes = umbp_extent_bytes (extent, UMBP_VRAM_PAGE_BYTES, left);
        left -= spans[index].bytes;
    }
    record->holds++;
    return record->extent_count;
}

void umbp_vram_return (umbp_vram_t *self, uint64_t at)
{
    record_t *record = s_find (self, at);
    assert (record);                    //  It is held
    s_unhold (self, record);
}

const umbp_memory_handle_t *umbp_vram_handle (const umbp_vram_t *self, uint16_t chunk)
{
    assert (chunk < self->driver->chunk_count);
    return &self->driver->handles[chunk];
}

const char *umbp_vram_kind (const umbp_vram_t *self)
{
    return self->driver->kind;
}

int umbp_vram_number (const umbp_vram_t *self)
{
    return self->driver->number;
}

void umbp_vram_room (const umbp_vram_t *self, uint64_t *total, uint64_t *free_bytes)
{
    *total = self->total;
    *free_bytes = self->left;
}

//  ------------------------------------------------------------------------------------------------
//  Life

int umbp_vram_device (const char *text, char kind[8], int *number)
{
    static const char *const kinds[] = { "cuda", "hip", "mock" };
    const char *colon = strchr (text, ':');
    char *end = NULL;
    long value = colon ? strtol (colon + 1, &end, 10) : -1;
    for (size_t row = 0; colon && row < sizeof kinds / sizeof *kinds; row++)
        if (strlen (kinds[row]) == (size_t) (colon - text)
            && strncmp (kinds[row], text, (size_t) (colon - text)) == 0 && colon[1] >= '0'
            && colon[1] <= '9' && *end == '\0' && value < 1024) {
            snprintf (kind, 8, "%s", kinds[row]);
            *number = (int) value;
            return 0;
        }
    return UMBP_EINVAL;
}

//  Cut the capacity into chunks
static void s_cut (umbp_vram_t *self, uint64_t capacity)
{
    uint32_t pages[UMBP_VRAM_CHUNKS_MAX];
    umbp_vram_driver_t *driver = self->driver;
    uint64_t chunk = capacity / (UMBP_VRAM_CHUNKS_MAX / 2);
    chunk = (chunk + CHUNK_STEP - 1) / CHUNK_STEP * CHUNK_STEP;
    capacity = capacity / UMBP_VRAM_PAGE_BYTES * UMBP_VRAM_PAGE_BYTES;
    while (capacity > 0) {
        uint64_t bytes = capacity < chunk ? capacity : chunk;
        pages[driver->chunk_count] = (uint32_t) (bytes / UMBP_VRAM_PAGE_BYTES);
        driver->chunk_bytes[driver->chunk_count++] = bytes;
        capacity -= bytes;
    }
    self->pages = umbp_pages_new (UMBP_VRAM_PAGE_BYTES, pages, driver->chunk_count);
}

//  What no thread uses
static void s_free (umbp_vram_t *self)
{
    umbp_completions_free (&self->said);
    umbp_pages_destroy (&self->pages);
    umbp_slab_destroy (&self->slab);
    free (self->records);
    if (self->driver)
        pthread_mutex_destroy (&self->driver->lock);
    free (self->driver);
    free (self->jobs);
    free (self);
}

//  Do it in the thread, and wait. Returns its status; UMBP_ETIMEDOUT: it did not return, and all it uses is its own.
static int s_do (umbp_vram_t *self, umbp_vram_what_t what, int timeout_ms)
{
    umbp_vram_job_t *job = &self->jobs[0];
    int64_t end = umbp_clock_ms () + timeout_ms;
    job->what = what;
    job->driver = self->driver;
    umbp_hands_give (self->hands, &job->task);
    for (int64_t left = timeout_ms; left > 0; left = end - umbp_clock_ms ()) {
        struct pollfd item = { .fd = umbp_hands_fd (self->hands), .events = POLLIN };
        poll (&item, 1, (int) left);
        umbp_hands_clear (self->hands);
        if (umbp_hands_take (self->hands))
            return job->status;
    }
    umbp_hands_overdue (self->hands, umbp_clock_ms (), 0);
    return UMBP_ETIMEDOUT;
}

//  Nothing is in the thread's hands, or it does not return
static bool s_close (void *value)
{
    umbp_vram_t *self = value;
    int64_t end = umbp_clock_ms () + UMBP_VRAM_DEADLINE_MS;
    s_reap (self);
    while (self->late == 0 && (self->stats.waiting > 0 || self->looking)
           && umbp_clock_ms () < end) {
        struct pollfd item = { .fd = umbp_hands_fd (self->hands), .events = POLLIN };
        poll (&item, 1, 10);
        umbp_hands_clear (self->hands);
        s_reap (self);
    }
    bool idle = self->late == 0 && self->stats.waiting == 0 && !self->looking;
    idle = idle && s_do (self, UMBP_VRAM_CLOSE, UMBP_VRAM_DEADLINE_MS) == 0;
    if (!umbp_hands_destroy (&self->hands, idle ? UMBP_VRAM_DEADLINE_MS : 0))
        return false;
    s_free (self);
    return true;
}

umbp_vram_t *umbp_vram_new (const char *device, uint64_t capacity, char why[UMBP_VRAM_WHY_MAX])
{
    umbp_vram_t *self = calloc (1, sizeof (umbp_vram_t));
    assert (self);
    self->driver = calloc (1, sizeof (umbp_vram_driver_t));
    self->jobs = calloc (UMBP_VRAM_JOBS_MAX, sizeof (umbp_vram_job_t));
    self->slab = umbp_slab_new ();
    assert (self->driver && self->jobs && self->slab);
    pthread_mutex_init (&self->driver->lock, NULL);
    self->record_free = NONE;
    for (uint32_t job = 0; job < UMBP_VRAM_JOBS_MAX; job++) {
        self->jobs[job].next = job + 1 < UMBP_VRAM_JOBS_MAX ? job + 1 : NONE;
        self->jobs[job].task.run = umbp_vram_job_run;
    }
    self->look.task.run = umbp_vram_job_run;
    self->look.what = UMBP_VRAM_LOOK;
    self->look.driver = self->driver;
    if (umbp_vram_device (device, self->driver->kind, &self->driver->number) < 0)
        snprintf (why, UMBP_VRAM_WHY_MAX,
                  "%.40s: no such device; allowed are cuda:N, hip:N and mock:N", device);
    else
        s_cut (self, capacity);
    if (self->pages && !(self->hands = umbp_hands_new (1)))
        snprintf (why, UMBP_VRAM_WHY_MAX, "%.40s: no thread can be made", device);
    if (!self->hands) {
        if (!self->pages && *self->driver->kind)
            snprintf (why, UMBP_VRAM_WHY_MAX, "%.40s: %u bytes are the least, 256 TiB the most",
                      device, UMBP_VRAM_PAGE_BYTES);
        s_free (self);
        return NULL;
    }
    int rc = s_do (self, UMBP_VRAM_OPEN, UMBP_VRAM_OPEN_MS);
    if (rc == 0)
        return self;
    if (rc == UMBP_ETIMEDOUT)
        snprintf (why, UMBP_VRAM_WHY_MAX,
                  "%.40s: the driver did not start in %d s: the device hangs, see the kernel's log",
                  device, UMBP_VRAM_OPEN_MS / 1000);
    else
        snprintf (why, UMBP_VRAM_WHY_MAX, "%s", self->jobs[0].why);
    if (umbp_hands_destroy (&self->hands, rc == UMBP_ETIMEDOUT ? 0 : UMBP_VRAM_DEADLINE_MS))
        s_free (self);
    return NULL;
}

umbp_medium_t umbp_vram_medium (umbp_vram_t *self)
{
    static const umbp_medium_calls_t calls = {
        .append = s_append, .read = s_read, .remove = s_remove, .recovered = s_recovered,
        .set_item = s_set_item, .set_keep = s_set_keep, .evicting = s_evicting, .mark = s_mark,
        .is_past = s_is_past, .fd = s_fd, .event = s_event, .tick = s_tick, .stats = s_stats,
        .close = s_close, .forgets = true,
    };
    return (umbp_medium_t) { &calls, self };
}

//  actors/tier/sleepers.c - a tier whose blocks rest on disk: requests for leases sleep until what they want is in
//  pages again, and what the depot says of blocks becomes of them.
//
//  All blocks of a request are held and fetched at once, as far as there are pages. One that gets no more since it has
//  all pages itself is answered with what it has, and UMBP_EAGAIN for the rest: its client asks again for that. So is
//  one whose time is over.
#include "actors/tier/manager_self.h"

#define PATIENCE_MS 2000                //  A request that nobody bounds more closely
#define MARGIN_MS 20                    //  For the answer to arrive

//  Of a block that a sleeper wants
enum { READY, WANTED, COMING };

//  --------------------------------------------------------------------------------------------------
//  Sleepers

//  One more look at a block. Returns what it is now, and sets the status if that is not READY for being there.
static uint8_t s_look (umbp_manager_t *self, umbp_sleeper_t *sleeper, uint32_t index)
{
    uint32_t item = sleeper->reader.items[index];
    const umbp_block_t *block = umbp_store_block (self->store, item);
    int8_t *status = &sleeper->reader.statuses[index];
    if (block->state != UMBP_BLOCK_LIVE) {           //  It left, or could not be read
        *status = UMBP_ENOENT;
        return READY;
    }
    if (sleeper->stages[index] == WANTED) {
        int rc = umbp_depot_fetch (self->depot, item);
        return rc == 0 ? READY : rc == 1 ? COMING : WANTED;
    }
    if (block->filling)
        return COMING;
    if (!block->filled)
        *status = UMBP_ETIMEDOUT;
    return READY;
}

//  Go on with all of its blocks. Returns true if it waits for nothing any more, or all it could wait for it holds itself.
static bool s_go_on (umbp_manager_t *self, umbp_sleeper_t *sleeper)
{
    uint32_t wanted = 0, coming = 0;
    for (uint32_t index = 0; index < sleeper->reader.count; index++) {
        if (sleeper->stages[index] == READY || (wanted && sleeper->stages[index] == WANTED)) {
            wanted += sleeper->stages[index] == WANTED;
            continue;
        }
        sleeper->stages[index] = s_look (self, sleeper, index);
        wanted += sleeper->stages[index] == WANTED;
        coming += sleeper->stages[index] == COMING;
    }
    return coming == 0 && (wanted == 0 || wanted < sleeper->reader.count);
}

static void s_answer (umbp_manager_t *self, umbp_sleeper_t *sleeper)
{
    umbp_reader_t *reader = &sleeper->reader;
    for (uint32_t index = 0; index < reader->count; index++)
        if (sleeper->stages[index] != READY)
            reader->statuses[index] = UMBP_EAGAIN;
    umbp_manager_answer_lease (self, reader);
    for (uint32_t index = 0; index < reader->count; index++)
        if (reader->items[index] != UMBP_STORE_NONE)
            umbp_store_unhold (self->store, reader->items[index]);
    free (reader->items);
    sleeper->used = false;
    self->asleep--;
}

static void s_go_on_all (umbp_manager_t *self, int64_t now)
{
    for (size_t place = 0; place < UMBP_SLEEPERS_MAX && self->asleep > 0; place++) {
        umbp_sleeper_t *sleeper = &self->sleepers[place];
        if (sleeper->used && (s_go_on (self, sleeper) || sleeper->expires <= now))
            s_answer (self, sleeper);
    }
}

//  A place for it, with columns of its own; NULL if too many sleep
static umbp_sleeper_t *s_sleep (umbp_manager_t *self, const umbp_reader_t *reader, int64_t expires)
{
    size_t place = 0;
    while (place < UMBP_SLEEPERS_MAX && self->sleepers[place].used)
        place++;
    if (place == UMBP_SLEEPERS_MAX)
        return NULL;
    umbp_sleeper_t *sleeper = &self->sleepers[place];
    int64_t last = zclock_mono () + PATIENCE_MS;
    *sleeper = (umbp_sleeper_t) { *reader, true, expires - MARGIN_MS, NULL };
    sleeper->expires = sleeper->expires < last ? sleeper->expires : last;
    sleeper->reader.items = zmalloc (reader->count * (sizeof *reader->items + 2));
    sleeper->reader.statuses = (int8_t *) (sleeper->reader.items + reader->count);
    sleeper->stages = (uint8_t *) sleeper->reader.statuses + reader->count;
    memcpy (sleeper->reader.items, reader->items, reader->count * sizeof *reader->items);
    memcpy (sleeper->reader.statuses, reader->statuses, reader->count);
    self->asleep++;
    for (uint32_t index = 0; index < reader->count; index++)
        if (reader->items[index] != UMBP_STORE_NONE) {
            sleeper->stages[index] = WANTED;
            umbp_store_hold (self->store, reader->items[index]);
        }
    return sleeper;
}

void umbp_manager_wake (umbp_manager_t *self, const umbp_reader_t *reader, int64_t expires)
{
    umbp_sleeper_t *sleeper = s_sleep (self, reader, expires);
    if (!sleeper) {                     //  Too many: what is not in pages is for another time
        for (uint32_t index = 0; index < reader->count; index++)
            if (reader->items[index] != UMBP_STORE_NONE
                && !umbp_store_block (self->store, reader->items[index])->filled)
                reader->statuses[index] = UMBP_EAGAIN;
        umbp_manager_answer_lease (self, reader);
    } else if (s_go_on (self, sleeper))
        s_answer (self, sleeper);
    else
        umbp_depot_work (self->depot);
}

//  --------------------------------------------------------------------------------------------------
//  What the depot says

static void s_on_depot (void *owner, const umbp_depot_word_t *word)
{
    umbp_manager_t *self = owner;
    bool live = umbp_store_block (self->store, word->item)->state == UMBP_BLOCK_LIVE;
    bool lost = word->what == UMBP_DEPOT_LEFT
                || (word->what == UMBP_DEPOT_FETCHED
                    && (word->status == UMBP_ECHECKSUM || word->status == UMBP_EIO
                        || word->status == UMBP_ENOENT
                        || (word->status == UMBP_ETIMEDOUT && umbp_depot_forgets (self->depot))));
    bool known = self->disk_state < 0 && umbp_depot_forgets (self->depot);  //  That is logged
    if (word->what == UMBP_DEPOT_FETCHED && lost && live && !known && word->status != UMBP_ENOENT)
        zsys_error ("%s: a block cannot be read back, and is given up: size=%u: %s",
                    self->args.name, umbp_store_block (self->store, word->item)->size,
                    umbp_strerror (word->status));
    if (live && word->what == UMBP_DEPOT_LEFT && word->status == 0) {
        umbp_manager_left_disk (self, word->item);
        umbp_manager_evict (self, word->item);
    } else if (live && lost) {
        umbp_manager_drop (self, word->item);
        self->dropped++;
    }
    if (word->what == UMBP_DEPOT_SAVED)
        umbp_manager_saved (self, word);
}

//  What is the matter with it, and what to do
static const char *s_illness (const umbp_manager_t *self, int state)
{
    if (self->args.vram)
        return umbp_strerror (state);
    switch (state) {
    case UMBP_ENOSPC: return "no space: free some; tried again by itself";
    case UMBP_EDENIED: return "may not be written: remount it";
    case UMBP_ETIMEDOUT:
        return "hangs: see its servers and the kernel's log; asked again by itself";
    default: return "fails: see the kernel's log; tried again by itself";
    }
}

//  Say it once when the disk fails, and when it is well again
static void s_watch_disk (umbp_manager_t *self)
{
    int state = umbp_depot_stats (self->depot).medium.state;
    if (state == self->disk_state)
        return;
    const char *what = self->args.vram ? "device" : "disk";
    self->disk_state = state;
    if (state == UMBP_ETIMEDOUT && self->args.vram)
        zsys_error (
            "%s: the device hangs, a copy did not end in %d s: until it does, its blocks are misses; see the "
            "kernel's log and the vendor's tool",
            self->args.name, UMBP_DEPOT_WAIT_MS / 1000);
    else if (state < 0)
        zsys_error ("%s: the %s: %s: blocks that are there can be read, as far as it goes",
                    self->args.name, what, s_illness (self, state));
    else
        zsys_warning ("%s: the %s is well again", self->args.name, what);
}

void umbp_manager_work_depot (umbp_manager_t *self, int64_t now)
{
    umbp_depot_tick (self->depot, now);
    s_watch_disk (self);
    s_go_on_all (self, now);
    umbp_announce_send (self->announce);
}

static int s_on_disk (zloop_t *loop, zmq_pollitem_t *item, void *owner)
{
    (void) loop;
    (void) item;
    umbp_manager_t *self = owner;
    umbp_depot_work (self->depot);
    s_go_on_all (self, zclock_mono ());
    umbp_manager_resume (self, zclock_mono ());
    umbp_announce_send (self->announce);
    return 0;
}

//  --------------------------------------------------------------------------------------------------
//  Life

void umbp_manager_make_depot (umbp_manager_t *self)
{
    umbp_piece_t *regions = zmalloc (self->args.region_count * sizeof *regions);
    for (size_t index = 0; index < self->args.region_count; index++)
        regions[index] = (umbp_piece_t) { umbp_region_base (self->args.regions[index]),
                                         umbp_region_bytes (self->args.regions[index]) };
    umbp_depot_args_t args = { .store = self->store,
                               .regions = regions, .region_count = self->args.region_count,
                               .owner = self, .fn = s_on_depot };
    umbp_store_set_unit (self->store, self->args.medium.calls->stats (self->args.medium.self).unit);
    umbp_store_set_depot (self->store, umbp_depot_room (&self->args.medium));
    self->depot = umbp_depot_new (&args, &self->args.medium, self->tick);
    free (regions);
}

void umbp_manager_start_depot (umbp_manager_t *self)
{
    zmq_pollitem_t item = { .fd = umbp_depot_fd (self->depot), .events = ZMQ_POLLIN };
    zloop_poller (self->loop, &item, s_on_disk, self);
}

void umbp_manager_stat_depot (const umbp_manager_t *self, umbp_gauges_t *gauges)
{
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    if (!self->depot)
        return;
    umbp_depot_stats_t stats = umbp_depot_stats (self->depot);
    umbp_gauges_add (gauges, "page_bytes", counts.page_bytes);
    umbp_gauges_add (gauges, "paged_bytes", counts.paged_bytes);
    umbp_gauges_add (gauges, "paged_blocks", counts.raised);
    umbp_gauges_add (gauges, "leases_waiting", self->asleep);
    umbp_gauges_add (gauges, "disk_state", (uint64_t) -stats.medium.state);
    umbp_gauges_add (gauges, "disk_jobs", stats.jobs);
    umbp_gauges_add (gauges, "disk_stuck", stats.stuck);
    umbp_gauges_add (gauges, "disk_fetches", stats.fetches);
    umbp_gauges_add (gauges, "disk_fetches_shared", stats.shared);
    umbp_gauges_add (gauges, "disk_failures", stats.failed);
    umbp_gauges_add (gauges, "disk_rotten", stats.rotten);
    umbp_gauges_add (gauges, "disk_live_bytes", stats.medium.live_bytes);
    umbp_gauges_add (gauges, "disk_dead_bytes", stats.medium.dead_bytes);
    umbp_gauges_add (gauges, "disk_written_bytes", stats.medium.written_bytes);
    umbp_gauges_add (gauges, "disk_read_bytes", stats.medium.read_bytes);
    umbp_gauges_add (gauges, "disk_cleaned_bytes", stats.medium.cleaned_bytes);
    umbp_gauges_add (gauges, "disk_segments", stats.medium.segments);
    umbp_gauges_add (gauges, "disk_free_segments", stats.medium.free_segments);
    umbp_gauges_add (gauges, "disk_torn", stats.medium.torn);
    umbp_gauges_add (gauges, "disk_errors", stats.medium.io_errors);
    umbp_gauges_add (gauges, "disk_syncs", stats.medium.syncs);
    umbp_gauges_add (gauges, "disk_recovered", stats.medium.recovered);
    umbp_gauges_add (gauges, "disk_recover_us", stats.medium.recover_us);
}

//  Regions that the disk still works on stay where they are
void umbp_manager_end_depot (umbp_manager_t *self)
{
    for (size_t place = 0; place < UMBP_SLEEPERS_MAX; place++)
        if (self->sleepers[place].used)
            free (self->sleepers[place].reader.items);
    if (!umbp_depot_destroy (&self->depot))
        self->args.region_count = 0;
    umbp_medium_close (&self->args.medium);
}

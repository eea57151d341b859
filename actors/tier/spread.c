//  actors/tier/spread.c - copies of our blocks on other nodes. See spread.h, and spread_place.c for where they go.
#include "actors/tier/spread_self.h"

#include <xxhash.h>

#include "proto/scope.h"

#define BATCH_BYTES (64u << 20)         //  In one question, unless it is one block
#define SCAN_MAX 2048                   //  Jobs looked at to fill one
#define LOOK_MS 2000
#define COPY_MS 5000                    //  While a put waits
#define MOVE_MS 30000
#define BUSY_MS 20                      //  A migrator that has no place now is asked again
#define BUSY_MAX 200                    //  ... so often
#define REPORT_MS 3000                  //  By then a member's word on its room has what we placed

#define NONE UINT32_MAX

static uint64_t s_id (const char *node)
{
    assert (node);
    return XXH3_64bits (node, strlen (node));
}

umbp_spread_t *umbp_spread_new (umbp_post_t *post, umbp_store_t *store,
                                const umbp_spread_args_t *args, void *owner, umbp_spread_fn *fn)
{
    umbp_spread_t *self = zmalloc (sizeof (umbp_spread_t));
    self->post = post;
    self->store = store;
    self->args = *args;
    self->owner = owner;
    self->fn = fn;
    snprintf (self->node, sizeof self->node, "%s", args->node);
    self->args.node = self->node;
    self->jobs = zmalloc (UMBP_SPREAD_JOBS_MAX * sizeof (umbp_spread_job_t));
    for (uint32_t number = 0; number < UMBP_SPREAD_JOBS_MAX; number++)
        self->jobs[number].next = number + 1 < UMBP_SPREAD_JOBS_MAX ? number + 1 : NONE;
    self->ready_head = self->ready_tail = NONE;
    self->budget_at = zclock_mono ();
    return self;
}

void umbp_spread_destroy (umbp_spread_t **self_p)
{
    umbp_spread_t *self = *self_p;
    if (!self)
        return;
    umbp_topology_destroy (&self->topology);
    free (self->jobs);
    freen (*self_p);
}

void umbp_spread_topology (umbp_spread_t *self, umbp_topology_t *topology)
{
    room_t before[UMBP_NODES_MAX];
    memcpy (before, self->rooms, sizeof before);
    int64_t now = zclock_mono ();
    bool same =
        self->topology && umbp_topology_epoch (self->topology) == umbp_topology_epoch (topology);
    for (size_t index = 0; index < umbp_topology_count (topology); index++) {
        const umbp_member_t *member = umbp_topology_member (topology, index);
        int was = same             ? (int) index
                  : self->topology ? umbp_topology_find (self->topology, umbp_text (member->node))
                                   : -1;
        room_t *room = &self->rooms[index];
        *room = was >= 0 ? before[was] : (room_t) { 0 };
        if (now - room->placed_at > REPORT_MS || room->placed == 0)
            *room = (room_t) { .base = member->tiers[UMBP_TIER_DRAM].used };
        self->ids[index] = s_id (member->node);
    }
    umbp_topology_destroy (&self->topology);
    self->topology = umbp_topology_hold (topology);
}

size_t umbp_spread_open (const umbp_spread_t *self, umbp_spread_why_t why)
{
    return self->open[why];
}

umbp_spread_stats_t umbp_spread_stats (const umbp_spread_t *self)
{
    return self->stats;
}

//  --------------------------------------------------------------------------------------------------
//  Jobs

static void s_ready (umbp_spread_t *self, uint32_t number, job_state_t state)
{
    self->jobs[number].state = (uint8_t) state;
    self->jobs[number].next = NONE;
    if (self->ready_tail == NONE)
        self->ready_head = number;
    else
        self->jobs[self->ready_tail].next = number;
    self->ready_tail = number;
}

bool umbp_spread_add (umbp_spread_t *self, umbp_spread_why_t why, uint32_t item, uint64_t tag)
{
    uint32_t number = self->free_head;
    if (number == NONE)
        return false;
    self->free_head = self->jobs[number].next;
    const umbp_block_t *block = umbp_store_block (self->store, item);
    unsigned wanted = block->replicas > 1 ? block->replicas - 1u : 0;
    self->jobs[number] =
        (umbp_spread_job_t){ .tag = tag,
                                  .token = block->token,
                                  .item = item,
                                  .why = (uint8_t) why,
                                  .missing = (uint8_t) (why == UMBP_SPREAD_DRAIN ? 1 : wanted) };
    self->open[why]++;
    s_ready (self, number, LOOK);
    return true;
}

static bool s_is_live (const umbp_spread_t *self, const umbp_spread_job_t *job)
{
    const umbp_block_t *block = umbp_store_block (self->store, job->item);
    return block->state == UMBP_BLOCK_LIVE && block->token == job->token;
}

static void s_end (umbp_spread_t *self, uint32_t number)
{
    umbp_spread_job_t *job = &self->jobs[number];
    bool gone = !s_is_live (self, job);
    umbp_spread_end_t end = { (umbp_spread_why_t) job->why, job->tag, job->item, job->token,
                              gone ? 0 : job->missing, job->full, gone };
    self->open[job->why]--;
    *job = (umbp_spread_job_t) { .next = self->free_head };
    self->free_head = number;
    self->fn (self->owner, &end);
}

static void s_note (uint64_t *ids, uint8_t *count, uint64_t id)
{
    if (*count < UMBP_SPREAD_NOTED_MAX && !umbp_spread_is_noted (ids, *count, id))
        ids[(*count)++] = id;
}

void umbp_spread_cancel (umbp_spread_t *self, umbp_spread_why_t why)
{
    uint32_t number = self->ready_head;
    self->ready_head = self->ready_tail = NONE;
    while (number != NONE) {
        uint32_t next = self->jobs[number].next;
        if (self->jobs[number].why != why)
            s_ready (self, number, (job_state_t) self->jobs[number].state);
        else {
            self->jobs[number].missing = 0;
            self->jobs[number].token = 0;            //  As if it had left: nothing follows from it
            s_end (self, number);
        }
        number = next;
    }
}

//  --------------------------------------------------------------------------------------------------
//  Answers

static flight_t *s_flight_of (umbp_spread_t *self, uint64_t turn)
{
    for (size_t index = 0; index < UMBP_SPREAD_FLIGHTS_MAX; index++)
        if (self->flights[index].used && self->flights[index].turn == turn)
            return &self->flights[index];
    return NULL;
}

//  The index has spoken: what is still missing, and does it matter?
static void s_looked (umbp_spread_t *self, uint32_t number)
{
    umbp_spread_job_t *job = &self->jobs[number];
    bool last = job->known_count == 0;
    if (job->why != UMBP_SPREAD_DRAIN)
        job->missing -= job->known_count < job->missing ? job->known_count : job->missing;
    if (job->why == UMBP_SPREAD_LOSS && !last)
        job->missing = 0;
    self->stats.known += job->known_count;
    if (job->missing == 0)
        s_end (self, number);
    else
        s_ready (self, number, PLACE);
}

//  Take the rows of one block; *row moves on. Who is no member any more has it no more.
static void s_take_rows (umbp_spread_job_t *job, const umbp_msg_lookup_ok_t *ok,
                         const uint64_t *ids, unsigned count, size_t *row)
{
    for (; count > 0 && *row < ok->refs.count; count--, (*row)++) {
        uint16_t ref = umbp_u16s_at (ok->refs, *row);
        if (ref < ok->nodes.count && ref < UMBP_NODES_MAX && ids[ref])
            s_note (job->known, &job->known_count, ids[ref]);
    }
}

static void s_on_looked (void *part, uint64_t turn, int status, const umbp_mail_t *mail)
{
    umbp_spread_t *self = part;
    flight_t *flight = s_flight_of (self, turn);
    assert (flight);
    flight->used = false;
    const umbp_msg_lookup_ok_t *ok = status == 0 && mail && mail->msg->type == UMBP_MSG_lookup_ok
                                             && mail->msg->lookup_ok.found.count == flight->count
                                         ? &mail->msg->lookup_ok
                                         : NULL;
    self->stats.failures += !ok;
    uint64_t ids[UMBP_NODES_MAX] = { 0 };
    size_t offset = 0, row = 0;
    for (size_t index = 0; ok && index < ok->nodes.count && index < UMBP_NODES_MAX; index++) {
        umbp_bytes_t name = umbp_column_next (&ok->nodes, index, &offset);
        umbp_text_t text = { (const char *) name.data, name.size };
        bool other = !umbp_text_is (text, self->node);
        ids[index] = other && umbp_topology_find (self->topology, text) >= 0
                         ? XXH3_64bits (name.data, name.size)
                         : 0;
    }
    for (uint32_t index = 0; index < flight->count; index++) {
        uint32_t number = flight->jobs[index];
        umbp_spread_job_t *job = &self->jobs[number];
        if (ok) {
            s_take_rows (job, ok, ids, umbp_u8s_at (ok->found, index), &row);
            s_looked (self, number);
        } else {
            job->looks++;               //  Another owner may know
            s_ready (self, number, LOOK);
        }
    }
    umbp_spread_pump (self);
}

//  One block of a copy, as the migrator there said. busy: that took none at all now.
static void s_copied (umbp_spread_t *self, uint32_t number, uint64_t id, int status, bool busy)
{
    umbp_spread_job_t *job = &self->jobs[number];
    const umbp_block_t *block = umbp_store_block (self->store, job->item);
    busy |= job->why == UMBP_SPREAD_PUT;             //  What makes room there takes a moment
    if (status == UMBP_EAGAIN && busy && ++job->busy < BUSY_MAX) {
        job->not_before = zclock_mono () + BUSY_MS;
        s_ready (self, number, PLACE);
        return;
    }
    s_note (job->tried, &job->tried_count, id);
    if (status == 0 || status == UMBP_EEXIST) {
        job->missing--;
        self->stats.copies += status == 0;
        self->stats.known += status == UMBP_EEXIST;
        self->stats.copy_bytes += status == 0 ? block->size : 0;
        s_note (job->known, &job->known_count, id);
    } else
        self->stats.failures++;
    if (job->missing == 0 || job->tried_count == UMBP_SPREAD_NOTED_MAX || !s_is_live (self, job)) {
        job->full |= status == UMBP_EAGAIN || status == UMBP_EQUOTA;
        s_end (self, number);
    } else
        s_ready (self, number, PLACE);
}

void umbp_spread_removed (umbp_spread_t *self, umbp_bytes_t key, uint64_t print)
{
    for (size_t at = 0; at < UMBP_SPREAD_FLIGHTS_MAX; at++) {
        const flight_t *flight = &self->flights[at];
        for (uint32_t index = 0; flight->used && flight->copy && index < flight->count; index++) {
            if (flight->prints[index] != print)
                continue;
            self->undo_sizes[at][index] = (uint16_t) key.size;
            memcpy (self->undo_keys[at][index], key.data, key.size);
        }
    }
}

//  Whatever was said of the copies: those of blocks that were removed meanwhile are removed there
static void s_undo (umbp_spread_t *self, const flight_t *flight)
{
    size_t at = (size_t) (flight - self->flights);
    uint32_t used = 0, count = 0;
    for (uint32_t index = 0; index < flight->count; index++) {
        uint16_t size = self->undo_sizes[at][index];
        if (size == 0)
            continue;
        memcpy (self->keys + used, self->undo_keys[at][index], size);
        self->key_sizes[count++] = size;
        used += size;
    }
    if (count == 0)
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_drop, 0);
    msg.drop.keys = (umbp_column_t) { self->keys, self->key_sizes, used, count };
    msg.drop.moved = true;
    umbp_post_tell (self->post, "tier:dram", flight->node, &msg);
    self->stats.undone += count;
}

static void s_on_copied (void *part, uint64_t turn, int status, const umbp_mail_t *mail)
{
    umbp_spread_t *self = part;
    flight_t *flight = s_flight_of (self, turn);
    assert (flight);
    flight->used = false;
    bool fine = status == 0 && mail && mail->msg->type == UMBP_MSG_copy_ok
                && mail->msg->copy_ok.statuses.count == flight->count;
    uint64_t id = s_id (flight->node);
    int none = status < 0 ? status : UMBP_EPROTO;
    s_undo (self, flight);
    for (uint32_t index = 0; index < flight->count; index++)
        s_copied (self, flight->jobs[index], id,
                  fine ? umbp_s8s_at (mail->msg->copy_ok.statuses, index) : none, !fine);
    umbp_spread_pump (self);
}

//  --------------------------------------------------------------------------------------------------
//  Questions

static void s_count_budget (umbp_spread_t *self, int64_t now)
{
    int64_t rate =
        (int64_t) (self->args.budget < INT64_MAX / 4 ? self->args.budget : INT64_MAX / 4);
    int64_t passed = now - self->budget_at < 1000 ? now - self->budget_at : 1000;
    self->budget += rate / 1000 * passed + rate % 1000 * passed / 1000;
    self->budget = self->budget < rate ? self->budget : rate;        //  A second's worth at once, at most
    self->budget_at = now;
}

static bool s_may_spend (const umbp_spread_t *self, const umbp_spread_job_t *job)
{
    return job->why != UMBP_SPREAD_LOSS || self->args.budget == 0 || self->budget > 0;
}

//  Where a job goes next: the number of a member; -1: it has to wait; -2: nowhere, it is at its end
static int s_next (umbp_spread_t *self, uint32_t number, int64_t now)
{
    umbp_spread_job_t *job = &self->jobs[number];
    if (!s_is_live (self, job))
        return -2;
    if (job->not_before > now)
        return -1;
    if (job->state == LOOK) {
        int shard = umbp_spread_shard (self, job);
        if (shard >= 0)
            return shard;
        job->state = PLACE;             //  Nobody to ask: then we know of nobody
    }
    if (!s_may_spend (self, job))
        return -1;
    int target = umbp_spread_target (self, job);
    return target >= 0 ? target : -2;
}

static void s_join (umbp_spread_t *self, flight_t *flight, uint32_t number, int member)
{
    umbp_spread_job_t *job = &self->jobs[number];
    const umbp_block_t *block = umbp_store_block (self->store, job->item);
    if (flight->copy) {
        self->rooms[member].placed += umbp_spread_taken (self, block);
        self->rooms[member].placed_at = zclock_mono ();
        if (job->why == UMBP_SPREAD_LOSS && self->args.budget)
            self->budget -= block->size;
    }
    job->state = ASKED;
    flight->prints[flight->count] = block->print.lo;
    flight->jobs[flight->count++] = number;
}

static umbp_column_t s_keys (umbp_spread_t *self, const flight_t *flight)
{
    uint32_t used = 0;
    for (uint32_t index = 0; index < flight->count; index++) {
        const umbp_block_t *block =
            umbp_store_block (self->store, self->jobs[flight->jobs[index]].item);
        memcpy (self->keys + used, block->key, block->key_size);
        self->key_sizes[index] = block->key_size;
        used += block->key_size;
    }
    return (umbp_column_t) { self->keys, self->key_sizes, used, flight->count };
}

static int s_ask (umbp_spread_t *self, flight_t *flight)
{
    const umbp_spread_job_t *first = &self->jobs[flight->jobs[0]];
    umbp_msg_t msg;
    flight->turn = ++self->turns;
    if (!flight->copy) {
        umbp_msg_init (&msg, UMBP_MSG_lookup, 0);
        msg.lookup.keys = s_keys (self, flight);
        msg.lookup.places = msg.lookup.scoped = true;
        return umbp_post_ask_for (self->post, self, "index", flight->node, &msg, NULL, 0, LOOK_MS,
                                  s_on_looked, flight->turn);
    }
    umbp_msg_init (&msg, UMBP_MSG_copy, 0);
    msg.copy.keys = s_keys (self, flight);
    msg.copy.node = umbp_text (self->node);
    msg.copy.tier = self->args.tier;
    msg.copy.scoped = true;
    msg.copy.calm = first->why != UMBP_SPREAD_PUT;
    msg.copy.replicas = umbp_store_block (self->store, first->item)->replicas;
    msg.copy.hint = first->why == UMBP_SPREAD_DRAIN ? 0 : UMBP_HINT_COPY;      //  Else ours stays
    return umbp_post_ask_for (self->post, self, "migrator", flight->node, &msg, NULL, 0,
                              first->why == UMBP_SPREAD_PUT ? COPY_MS : MOVE_MS, s_on_copied,
                              flight->turn);
}

//  Whether a job can go along with those of a flight
static bool s_goes_along (const umbp_spread_t *self, const flight_t *flight,
                          const umbp_spread_job_t *job)
{
    if (flight->count == 0)
        return true;
    const umbp_spread_job_t *first = &self->jobs[flight->jobs[0]];
    return flight->copy == (job->state == PLACE)
           && (!flight->copy
               || (first->why == job->why
                   && umbp_store_block (self->store, first->item)->replicas
                          == umbp_store_block (self->store, job->item)->replicas));
}

//  Fill a flight with jobs that go the same way, in their order; those at their end, end. Returns how many.
static uint32_t s_fill (umbp_spread_t *self, flight_t *flight, int64_t now)
{
    uint32_t number = self->ready_head, ended[UMBP_SPREAD_BATCH_MAX], ended_count = 0;
    uint32_t *link = &self->ready_head, before = NONE;
    uint64_t bytes = 0;
    int member = -1;
    *flight = (flight_t) { .used = true };
    memset (self->undo_sizes[flight - self->flights], 0, sizeof *self->undo_sizes);
    for (unsigned seen = 0;
         number != NONE && seen < SCAN_MAX && flight->count < UMBP_SPREAD_BATCH_MAX
         && ended_count < UMBP_SPREAD_BATCH_MAX && bytes < BATCH_BYTES;
         seen++) {
        umbp_spread_job_t *job = &self->jobs[number];
        uint32_t next = job->next;
        int to = s_next (self, number, now);
        bool takes = to >= 0 && (member < 0 || to == member) && s_goes_along (self, flight, job);
        if (takes && flight->count == 0) {
            member = to;
            flight->copy = job->state == PLACE;
            snprintf (flight->node, sizeof flight->node, "%s",
                      umbp_topology_member (self->topology, (size_t) to)->node);
        }
        if (takes || to == -2) {
            *link = next;
            if (self->ready_tail == number)
                self->ready_tail = before;
        } else {
            before = number;
            link = &job->next;
        }
        if (takes) {
            bytes += umbp_store_block (self->store, job->item)->size;
            s_join (self, flight, number, to);
        } else if (to == -2)
            ended[ended_count++] = number;
        number = next;
    }
    uint32_t count = flight->count;
    flight->used = count > 0;
    for (uint32_t index = 0; index < ended_count; index++)
        s_end (self, ended[index]);
    return count + ended_count;
}

void umbp_spread_pump (umbp_spread_t *self)
{
    if (!self->topology || self->pumping)
        return;
    self->pumping = true;               //  Who hears of an end may add more
    int64_t now = zclock_mono ();
    s_count_budget (self, now);
    for (size_t index = 0; index < UMBP_SPREAD_FLIGHTS_MAX && self->ready_head != NONE; index++) {
        flight_t *flight = &self->flights[index];
        if (flight->used || s_fill (self, flight, now) == 0 || !flight->used)
            continue;
        if (s_ask (self, flight) == 0)
            continue;
        flight->used = false;           //  Too many questions are open: later
        for (uint32_t at = 0; at < flight->count; at++) {
            umbp_spread_job_t *job = &self->jobs[flight->jobs[at]];
            job->not_before = now + BUSY_MS;
            s_ready (self, flight->jobs[at], flight->copy ? PLACE : LOOK);
        }
    }
    self->pumping = false;
}

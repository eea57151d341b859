//  actors/tier/shift.c - copies of our blocks in another tier of this node. See shift.h.
#include "actors/tier/shift.h"

#include "actors/move_point.h"
#include "actors/tier/budget.h"
#include "actors/tier/chain.h"
#include "actors/tier/meter.h"
#include "cluster/topology.h"
#include "proto/scope.h"

#define FLIGHTS_MAX 4                   //  Questions under way
#define BATCH_MAX 64                    //  Blocks in one
#define BATCH_BYTES (32u << 20)         //  ... and their bytes, unless it is one
#define MOVE_MS 5000
#define AGAIN_MS 10                     //  What found no room there is asked about again after so long
#define UNSURE_MS 60000                 //  A copy of which nothing was heard may be made until then
#define NONE UMBP_CHAIN_NONE
#define NOBODY UINT64_MAX

//  So long a block is asked about that finds no room there
static const int64_t s_patience_ms[UMBP_SHIFT_REASONS] = {
    [UMBP_SHIFT_PRESSED] = 800,
    [UMBP_SHIFT_COPY] = 10000,
    [UMBP_SHIFT_IDLE] = 0,
};

typedef struct {
    uint64_t token;
    int64_t since, until;               //  When it was given; it is asked about
    int64_t last;                       //  ... and while that tier takes others
    uint32_t item;
    uint32_t size;                      //  Of its block
    uint8_t why;
} job_t;

//  A batch that the migrator has. Its keys are its own: blocks may go meanwhile.
typedef struct {
    uint64_t turn;                      //  0: free
    uint32_t count, jobs[BATCH_MAX];
    uint64_t bytes;                     //  When it was sent
    uint16_t key_sizes[BATCH_MAX];
    uint64_t prints[BATCH_MAX];
    uint64_t undos[BATCH_MAX];          //  Of those removed meanwhile their numbers, or NOBODY waits; 0: not
    uint8_t *keys;
} flight_t;

typedef struct {
    umbp_chain_t jobs;
    int64_t again_at;                   //  Nothing of it is asked for before
} list_t;

struct umbp_shift {
    umbp_post_t *post;
    umbp_store_t *store;
    void *owner;
    umbp_shift_fn *fn;
    umbp_shift_args_t args;
    char node[UMBP_NAME_MAX + 1];
    job_t *jobs;
    umbp_links_t links;                 //  By job: those on their way are in no list
    umbp_chain_t free;
    list_t waiting[UMBP_SHIFT_REASONS];
    size_t open[UMBP_SHIFT_REASONS];
    uint64_t pressed_bytes;             //  Of what presses and is open
    umbp_meter_t pressed, all;          //  Work, while something presses; while anything is on its way
    flight_t flights[FLIGHTS_MAX];
    uint64_t turns;
    int64_t patience_ms[UMBP_SHIFT_REASONS];
    int64_t went_at;                    //  That tier took something last; 0: nothing yet
    int64_t unsure_until;               //  Until then there may be copies that we do not know of
    umbp_budget_t budget;
    bool pumping;
    umbp_shift_stats_t stats;
};

umbp_shift_t *umbp_shift_new (umbp_post_t *post, umbp_store_t *store, const umbp_shift_args_t *args,
                              void *owner, umbp_shift_fn *fn)
{
    umbp_shift_t *self = zmalloc (sizeof (umbp_shift_t));
    self->post = post;
    self->store = store;
    self->owner = owner;
    self->fn = fn;
    self->args = *args;
    self->budget = umbp_budget (args->budget, zclock_mono ());
    if (!args->flight_blocks)
        self->args.flight_blocks = FLIGHTS_MAX * BATCH_MAX;
    if (!args->flight_bytes)
        self->args.flight_bytes = (uint64_t) FLIGHTS_MAX * BATCH_BYTES;
    memcpy (self->patience_ms, s_patience_ms, sizeof s_patience_ms);
    snprintf (self->node, sizeof self->node, "%s", args->node);
    self->jobs = zmalloc (UMBP_SHIFT_JOBS_MAX * sizeof (job_t));
    umbp_links_resize (&self->links, UMBP_SHIFT_JOBS_MAX);
    self->free = UMBP_CHAIN_EMPTY;
    for (uint32_t number = 0; number < UMBP_SHIFT_JOBS_MAX; number++)
        umbp_chain_enter (&self->free, &self->links, number, NONE);
    for (int why = 0; why < UMBP_SHIFT_REASONS; why++)
        self->waiting[why] = (list_t) { UMBP_CHAIN_EMPTY, 0 };
    return self;
}

void umbp_shift_destroy (umbp_shift_t **self_p)
{
    umbp_shift_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < FLIGHTS_MAX; index++)
        free (self->flights[index].keys);
    umbp_links_free (&self->links);
    free (self->jobs);
    freen (*self_p);
}

void umbp_shift_set_patience (umbp_shift_t *self, unsigned pressed_ms)
{
    self->patience_ms[UMBP_SHIFT_PRESSED] = pressed_ms;
}

void umbp_shift_went (umbp_shift_t *self)
{
    self->went_at = zclock_mono ();
}

size_t umbp_shift_open (const umbp_shift_t *self, umbp_shift_why_t why)
{
    return self->open[why];
}

umbp_shift_stats_t umbp_shift_stats (const umbp_shift_t *self)
{
    return self->stats;
}

//  --------------------------------------------------------------------------------------------------
//  Jobs

static const umbp_block_t *s_block (const umbp_shift_t *self, const job_t *job)
{
    return umbp_store_block (self->store, job->item);
}

static bool s_is_live (const umbp_shift_t *self, const job_t *job)
{
    return s_block (self, job)->state == UMBP_BLOCK_LIVE
           && s_block (self, job)->token == job->token;
}

//  Where a block has the number of its job: a tier between two others has one for each way
static uint32_t *s_number (const umbp_shift_t *self, uint32_t item)
{
    umbp_block_t *block = umbp_store_block (self->store, item);
    return self->args.to > self->args.from ? &block->sinking : &block->rising;
}

static void s_push (umbp_shift_t *self, uint32_t number)
{
    umbp_chain_enter (&self->waiting[self->jobs[number].why].jobs, &self->links, number, NONE);
}

//  It is in the list of its reason, and is not afterwards
static void s_take (umbp_shift_t *self, uint32_t number)
{
    umbp_chain_leave (&self->waiting[self->jobs[number].why].jobs, &self->links, number);
}

//  A job is open as one of its reason from now on, or not any more
static void s_open (umbp_shift_t *self, const job_t *job, int by)
{
    self->open[job->why] += (size_t) by;
    if (job->why != UMBP_SHIFT_PRESSED)
        return;
    self->pressed_bytes += by > 0 ? job->size : -(uint64_t) job->size;
    bool busy = self->open[UMBP_SHIFT_PRESSED] > 0;
    if (busy != (self->pressed.since_us > 0))
        umbp_meter_set (&self->pressed, busy, zclock_usecs ());
}

//  What a job that ends has done
static void s_meter (umbp_shift_t *self, const job_t *job, int status)
{
    if (status != 0 && status != UMBP_EEXIST)
        return;
    uint64_t work = UMBP_SHIFT_ASK_BYTES + (status == 0 ? job->size : 0);
    umbp_meter_add (&self->all, work, zclock_usecs ());
    if (job->why == UMBP_SHIFT_PRESSED)
        umbp_meter_add (&self->pressed, work, zclock_usecs ());
}

uint64_t umbp_shift_pace (const umbp_shift_t *self, uint64_t guess)
{
    const umbp_meter_t *meter = self->pressed.done ? &self->pressed : &self->all;
    return umbp_meter_rate (meter, guess, zclock_usecs ());
}

uint64_t umbp_shift_backlog (const umbp_shift_t *self)
{
    return self->pressed_bytes + self->open[UMBP_SHIFT_PRESSED] * UMBP_SHIFT_ASK_BYTES;
}

static void s_end (umbp_shift_t *self, uint32_t number, int status)
{
    job_t *job = &self->jobs[number];
    umbp_shift_end_t end = { job->why, job->item, job->token, status };
    if (s_is_live (self, job))
        *s_number (self, job->item) = 0;
    s_meter (self, job, status);
    s_open (self, job, -1);
    umbp_chain_enter (&self->free, &self->links, number, self->free.oldest);
    self->fn (self->owner, &end);
}

//  From now on it presses as much as that says
static void s_set_patience (umbp_shift_t *self, job_t *job, umbp_shift_why_t why, int64_t now)
{
    job->why = (uint8_t) why;
    job->until = now + self->patience_ms[why];
    job->last = now + self->patience_ms[why] * UMBP_SHIFT_TURNS;
}

//  What has a job already gets no second one, but may be more pressing now than it was
static void s_raise (umbp_shift_t *self, uint32_t number, umbp_shift_why_t why)
{
    job_t *job = &self->jobs[number];
    if (why >= job->why)
        return;
    bool waits = umbp_links_has (&self->links, number);
    if (waits)
        s_take (self, number);
    s_open (self, job, -1);
    int64_t now = zclock_mono ();
    if (job->why == UMBP_SHIFT_IDLE) {  //  Nobody waited for it before
        self->stats.asked++;
        job->since = now;
    }
    s_set_patience (self, job, why, now);
    s_open (self, job, 1);
    if (waits)
        s_push (self, number);
}

bool umbp_shift_add (umbp_shift_t *self, umbp_shift_why_t why, uint32_t item)
{
    const umbp_block_t *block = umbp_store_block (self->store, item);
    uint32_t *known = s_number (self, item);
    if (*known) {
        s_raise (self, *known - 1, why);
        return true;
    }
    uint32_t number = self->free.oldest;
    if (number == NONE)
        return false;
    umbp_chain_leave (&self->free, &self->links, number);
    int64_t now = zclock_mono ();
    self->jobs[number] =
        (job_t) { .token = block->token, .since = now, .item = item, .size = block->size };
    s_set_patience (self, &self->jobs[number], why, now);
    *known = number + 1;
    s_open (self, &self->jobs[number], 1);
    self->stats.asked += why != UMBP_SHIFT_IDLE;
    s_push (self, number);
    umbp_move_pass ("planned");
    return true;
}

size_t umbp_shift_cancel (umbp_shift_t *self)
{
    size_t count = 0;
    for (; self->waiting[UMBP_SHIFT_IDLE].jobs.oldest != NONE; count++) {
        uint32_t number = self->waiting[UMBP_SHIFT_IDLE].jobs.oldest;
        s_take (self, number);
        s_end (self, number, UMBP_EAGAIN);
    }
    self->stats.cancelled += count;
    return count;
}

static void s_remove (umbp_shift_t *self, flight_t *flight, uint32_t index, umbp_undo_span_t *span)
{
    uint64_t number = flight->undos[index];
    if (number == 0)
        number = umbp_undos_plan (self->args.undos, span);
    else if (number == NOBODY)
        span->unsafe = true;
    else
        umbp_undos_join (span, number);
    flight->undos[index] = number ? number : NOBODY;
}

void umbp_shift_removed (umbp_shift_t *self, uint64_t print, umbp_undo_span_t *span)
{
    for (size_t at = 0; at < FLIGHTS_MAX; at++) {
        flight_t *flight = &self->flights[at];
        for (uint32_t index = 0; flight->turn && index < flight->count; index++)
            if (flight->prints[index] == print)
                s_remove (self, flight, index, span);
    }
}

void umbp_shift_wiped (umbp_shift_t *self, umbp_text_t tenant, umbp_undo_span_t *span)
{
    for (size_t at = 0; at < FLIGHTS_MAX; at++) {
        flight_t *flight = &self->flights[at];
        const uint8_t *key = flight->keys;
        for (uint32_t index = 0; flight->turn && index < flight->count;
             key += flight->key_sizes[index++]) {
            umbp_text_t whose = umbp_scope_tenant (key, flight->key_sizes[index]);
            if (whose.size == tenant.size && memcmp (whose.data, tenant.data, tenant.size) == 0)
                s_remove (self, flight, index, span);
        }
    }
}

bool umbp_shift_is_unsure (const umbp_shift_t *self)
{
    return zclock_mono () < self->unsure_until;
}

size_t umbp_shift_waiting (const umbp_shift_t *self, umbp_shift_why_t why, size_t max,
                           uint32_t *items)
{
    size_t count = 0;
    for (uint32_t number = self->waiting[why].jobs.oldest; number != NONE && count < max;
         number = self->links.at[number].next)
        items[count++] = self->jobs[number].item;
    return count;
}

//  --------------------------------------------------------------------------------------------------
//  Batches

//  Whatever was said of the copies: those of blocks that were removed meanwhile are removed there
static void s_undo (umbp_shift_t *self, const flight_t *flight)
{
    const uint8_t *key = flight->keys;
    for (uint32_t index = 0; index < flight->count; key += flight->key_sizes[index++]) {
        uint16_t size = flight->key_sizes[index];
        umbp_column_t keys = { key, &size, size, 1 };
        if (flight->undos[index])
            umbp_undos_send (self->args.undos, flight->undos[index], self->args.to, &keys);
    }
}

static void s_count (umbp_shift_t *self, const job_t *job, int status)
{
    self->stats.copies += status == 0;
    self->stats.copy_bytes += status == 0 ? s_block (self, job)->size : 0;
    if (job->why == UMBP_SHIFT_IDLE && status == 0) {
        self->stats.idle++;
        self->stats.idle_bytes += s_block (self, job)->size;
    }
    self->stats.known += status == UMBP_EEXIST;
    self->stats.full += status == UMBP_EAGAIN || status == UMBP_EQUOTA;
    self->stats.failures += status < 0 && status != UMBP_EEXIST && status != UMBP_EAGAIN
                            && status != UMBP_EQUOTA && status != UMBP_ENOENT;
}

//  Whether a job that ended so is to be tried once more. What presses is waited for as long as that tier takes others: it
//  is slow then, and so may its answer be.
static bool s_is_worth_it (const umbp_shift_t *self, const job_t *job, int status, int64_t now)
{
    bool pressed = job->why == UMBP_SHIFT_PRESSED;
    if (status != UMBP_EAGAIN && !(pressed && status == UMBP_ETIMEDOUT))
        return false;
    return now < job->until
           || (pressed && now < job->last
               && now < self->went_at + self->patience_ms[UMBP_SHIFT_PRESSED]);
}

//  What makes room there takes a moment
static void s_again (umbp_shift_t *self, uint32_t number)
{
    s_push (self, number);
    self->waiting[self->jobs[number].why].again_at = zclock_mono () + AGAIN_MS;
}

//  Whether what was said of a copy leaves no doubt that it is there, or will never be
static bool s_is_known (int said)
{
    return said == 0 || said == UMBP_EEXIST || said == UMBP_ENOENT || said == UMBP_EAGAIN
           || said == UMBP_EQUOTA || said == UMBP_ENOSPC;
}

static void s_on_copied (void *part, uint64_t turn, int status, const umbp_mail_t *mail)
{
    umbp_shift_t *self = part;
    flight_t *flight = self->flights;
    while (flight->turn != turn)
        flight++;
    const umbp_msg_copy_ok_t *ok = status == 0 && mail && mail->msg->type == UMBP_MSG_copy_ok
                                           && mail->msg->copy_ok.statuses.count == flight->count
                                       ? &mail->msg->copy_ok
                                       : NULL;
    int64_t now = zclock_mono ();
    umbp_move_pass ("answered");
    s_undo (self, flight);
    self->stats.flying -= flight->count;
    self->stats.flying_bytes -= flight->bytes;
    for (uint32_t index = 0; index < flight->count; index++) {
        uint32_t number = flight->jobs[index];
        int said = ok ? umbp_s8s_at (ok->statuses, index) : status < 0 ? status : UMBP_EPROTO;
        if (!s_is_known (said))
            self->unsure_until = now + UNSURE_MS;
        if (!s_is_live (self, &self->jobs[number]))
            said = UMBP_ENOENT;
        if (s_is_worth_it (self, &self->jobs[number], said, now))
            s_again (self, number);
        else {
            s_count (self, &self->jobs[number], said);
            s_end (self, number, said);
        }
    }
    if (self->stats.flying == 0)
        umbp_meter_set (&self->all, false, zclock_usecs ());
    freen (flight->keys);
    flight->turn = 0;
    umbp_shift_pump (self);
}

void umbp_shift_set_share (umbp_shift_t *self, unsigned share)
{
    umbp_budget_set_share (&self->budget, share, zclock_mono ());
}

int64_t umbp_shift_debt_ms (umbp_shift_t *self)
{
    umbp_budget_refill (&self->budget, zclock_mono ());
    return umbp_budget_debt_ms (&self->budget);
}

int64_t umbp_shift_credit (umbp_shift_t *self)
{
    umbp_budget_refill (&self->budget, zclock_mono ());
    return self->args.budget ? self->budget.left : INT64_MAX;
}

bool umbp_shift_in_debt (umbp_shift_t *self)
{
    umbp_budget_refill (&self->budget, zclock_mono ());
    return self->args.budget && self->budget.left < 0;
}

bool umbp_shift_is_idle (umbp_shift_t *self)
{
    umbp_budget_refill (&self->budget, zclock_mono ());
    return self->open[UMBP_SHIFT_PRESSED] == 0 && self->open[UMBP_SHIFT_COPY] == 0
           && umbp_budget_is_full (&self->budget);
}

//  Whether one more block may be on its way, beside those of the batch that is filled
static bool s_may_fly (const umbp_shift_t *self, bool calm, uint32_t count, uint64_t bytes,
                       uint32_t size)
{
    uint64_t blocks = self->args.flight_blocks, most = self->args.flight_bytes;
    if (calm && self->args.to > self->args.from) {   //  The rest is for what presses
        blocks -= blocks / 4;
        most -= most / 4;
    }
    uint64_t flying = self->stats.flying + count, flying_bytes = self->stats.flying_bytes + bytes;
    return flying == 0 || (flying < blocks && flying_bytes + size <= most);
}

//  Whether a job that waits may be the next one of a batch
static bool s_may_go (const umbp_shift_t *self, const job_t *job, uint32_t count, uint64_t bytes)
{
    bool calm = job->why != UMBP_SHIFT_PRESSED;
    uint32_t size = s_block (self, job)->size;
    if (bytes && bytes + size > BATCH_BYTES)
        return false;
    return (!calm || umbp_budget_may (&self->budget)) && s_may_fly (self, calm, count, bytes, size);
}

//  What is idle waits for all others, also for those that are on their way
static bool s_is_turn (const umbp_shift_t *self, int why, int64_t now)
{
    if (self->waiting[why].jobs.oldest == NONE || self->waiting[why].again_at > now)
        return false;
    return why != UMBP_SHIFT_IDLE
           || (self->open[UMBP_SHIFT_PRESSED] == 0 && self->open[UMBP_SHIFT_COPY] == 0);
}

//  Blocks for a batch, the pressing ones first. One whose block left meanwhile ends here.
static uint32_t s_fill (umbp_shift_t *self, flight_t *flight)
{
    uint64_t bytes = 0;
    int64_t now = zclock_mono ();
    flight->count = 0;
    for (int why = 0; why < UMBP_SHIFT_REASONS; why++)
        while (flight->count < BATCH_MAX && s_is_turn (self, why, now)) {
            uint32_t number = self->waiting[why].jobs.oldest;
            const job_t *job = &self->jobs[number];
            bool live = s_is_live (self, job);
            if (live && !s_may_go (self, job, flight->count, bytes))
                break;
            s_take (self, number);
            if (!live) {
                s_end (self, number, UMBP_ENOENT);
                continue;
            }
            uint32_t size = s_block (self, job)->size;
            umbp_budget_pay (&self->budget, why != UMBP_SHIFT_PRESSED, size);
            if (self->args.sent && why != UMBP_SHIFT_IDLE)
                self->args.sent (self->owner, now - job->since);
            bytes += size;
            flight->prints[flight->count] = s_block (self, job)->print.lo;
            flight->undos[flight->count] = 0;
            flight->jobs[flight->count++] = number;
        }
    flight->bytes = bytes;
    return flight->count;
}

static void s_fly (umbp_shift_t *self, const flight_t *flight)
{
    umbp_shift_stats_t *stats = &self->stats;
    if (stats->flying == 0)
        umbp_meter_set (&self->all, true, zclock_usecs ());
    stats->flying += flight->count;
    stats->flying_bytes += flight->bytes;
    stats->most = stats->flying > stats->most ? stats->flying : stats->most;
    stats->most_bytes =
        stats->flying_bytes > stats->most_bytes ? stats->flying_bytes : stats->most_bytes;
}

static int s_send (umbp_shift_t *self, flight_t *flight)
{
    uint32_t bytes = 0;
    for (uint32_t index = 0; index < flight->count; index++)
        bytes += flight->key_sizes[index] =
            s_block (self, &self->jobs[flight->jobs[index]])->key_size;
    assert (bytes > 0);                 //  A key has a byte at least
    uint8_t *to = flight->keys = zmalloc (bytes);
    for (uint32_t index = 0; index < flight->count; to += flight->key_sizes[index++])
        memcpy (to, s_block (self, &self->jobs[flight->jobs[index]])->key,
                flight->key_sizes[index]);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_copy, 0);
    msg.copy.keys = (umbp_column_t) { flight->keys, flight->key_sizes, bytes, flight->count };
    msg.copy.node = umbp_text (self->node);
    msg.copy.tier = self->args.from;
    msg.copy.to = self->args.to;
    msg.copy.scoped = true;
    msg.copy.calm = self->jobs[flight->jobs[0]].why == UMBP_SHIFT_IDLE;      //  Nothing leaves for it
    flight->turn = ++self->turns;
    return umbp_post_ask_for (self->post, self, "migrator", NULL, &msg, NULL, 0, MOVE_MS,
                              s_on_copied, flight->turn);
}

//  The migrator could not be asked
static void s_refused (umbp_shift_t *self, const flight_t *flight, int status)
{
    int64_t now = zclock_mono ();
    for (uint32_t index = 0; index < flight->count; index++) {
        uint32_t number = flight->jobs[index];
        if (s_is_worth_it (self, &self->jobs[number], status, now))
            s_again (self, number);
        else
            s_end (self, number, status);
    }
}

void umbp_shift_pump (umbp_shift_t *self)
{
    if (self->pumping)                  //  An end of a job, which adds others
        return;
    self->pumping = true;
    umbp_budget_refill (&self->budget, zclock_mono ());
    for (size_t index = 0; index < FLIGHTS_MAX; index++) {
        flight_t *flight = &self->flights[index];
        if (flight->turn || s_fill (self, flight) == 0)
            continue;
        int rc = s_send (self, flight);
        if (rc == 0) {
            s_fly (self, flight);
            umbp_move_pass ("sent");
            continue;
        }
        s_refused (self, flight, rc);
        freen (flight->keys);
        flight->turn = 0;
    }
    self->pumping = false;
}

//  actors/tier/shift.c - copies of our blocks in another tier of this node. See shift.h.
#include "actors/tier/shift.h"

#include "cluster/topology.h"
#include "proto/scope.h"

#define FLIGHTS_MAX 4                   //  Questions under way
#define BATCH_MAX 64                    //  Blocks in one
#define BATCH_BYTES (32u << 20)         //  ... and their bytes, unless it is one
#define MOVE_MS 5000
#define BURST_MS 100                    //  So long a budget may be saved
#define AGAIN_MS 10                     //  What found no room there is asked about again after so long
#define NONE UINT32_MAX

//  So long a block is asked about that finds no room there
static const int64_t s_patience_ms[UMBP_SHIFT_REASONS] = {
    [UMBP_SHIFT_PRESSED] = 800,
    [UMBP_SHIFT_COPY] = 10000,
};

typedef struct {
    uint64_t token;
    int64_t until;                      //  It is asked about
    uint32_t item, next;
    uint8_t why;
} job_t;

//  A batch that the migrator has. Its keys are its own: blocks may go meanwhile.
typedef struct {
    uint64_t turn;                      //  0: free
    uint32_t count, jobs[BATCH_MAX];
    uint16_t key_sizes[BATCH_MAX];
    bool removed[BATCH_MAX];
    uint8_t *keys;
} flight_t;

typedef struct {
    uint32_t head, tail;
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
    uint32_t free_head;
    list_t waiting[UMBP_SHIFT_REASONS];
    size_t open[UMBP_SHIFT_REASONS];
    flight_t flights[FLIGHTS_MAX];
    uint64_t turns;
    size_t undoing;
    int64_t budget, budget_at;          //  Bytes that may be sent now, below 0 a debt; since when
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
    snprintf (self->node, sizeof self->node, "%s", args->node);
    self->jobs = zmalloc (UMBP_SHIFT_JOBS_MAX * sizeof (job_t));
    for (uint32_t number = 0; number < UMBP_SHIFT_JOBS_MAX; number++)
        self->jobs[number].next = number + 1 < UMBP_SHIFT_JOBS_MAX ? number + 1 : NONE;
    for (int why = 0; why < UMBP_SHIFT_REASONS; why++)
        self->waiting[why] = (list_t) { NONE, NONE, 0 };
    self->budget_at = zclock_mono ();
    return self;
}

void umbp_shift_destroy (umbp_shift_t **self_p)
{
    umbp_shift_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < FLIGHTS_MAX; index++)
        free (self->flights[index].keys);
    free (self->jobs);
    freen (*self_p);
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

static void s_push (umbp_shift_t *self, uint32_t number)
{
    list_t *list = &self->waiting[self->jobs[number].why];
    self->jobs[number].next = NONE;
    if (list->head == NONE)
        list->head = number;
    else
        self->jobs[list->tail].next = number;
    list->tail = number;
}

static uint32_t s_pop (umbp_shift_t *self, umbp_shift_why_t why)
{
    list_t *list = &self->waiting[why];
    uint32_t number = list->head;
    if (number != NONE)
        list->head = self->jobs[number].next;
    return number;
}

static void s_end (umbp_shift_t *self, uint32_t number, int status)
{
    job_t *job = &self->jobs[number];
    umbp_shift_end_t end = { job->why, job->item, job->token, status };
    if (s_is_live (self, job))
        umbp_store_block (self->store, job->item)->shifting = 0;
    self->open[job->why]--;
    job->next = self->free_head;
    self->free_head = number;
    self->fn (self->owner, &end);
}

bool umbp_shift_add (umbp_shift_t *self, umbp_shift_why_t why, uint32_t item)
{
    umbp_block_t *block = umbp_store_block (self->store, item);
    if (block->shifting) {
        job_t *job = &self->jobs[block->shifting - 1];
        if (why == UMBP_SHIFT_PRESSED && job->why != why) {
            self->open[job->why]--;     //  In a list of the others still, but it is one of these now
            self->open[why]++;
            job->why = (uint8_t) why;
            job->until = zclock_mono () + s_patience_ms[why];
        }
        return true;
    }
    uint32_t number = self->free_head;
    if (number == NONE)
        return false;
    self->free_head = self->jobs[number].next;
    self->jobs[number] =
        (job_t) { block->token, zclock_mono () + s_patience_ms[why], item, NONE, (uint8_t) why };
    block->shifting = number + 1;
    self->open[why]++;
    s_push (self, number);
    return true;
}

bool umbp_shift_removed (umbp_shift_t *self, uint32_t item)
{
    uint32_t shifting = umbp_store_block (self->store, item)->shifting;
    size_t before = self->undoing;
    for (size_t at = 0; shifting && at < FLIGHTS_MAX; at++) {
        flight_t *flight = &self->flights[at];
        for (uint32_t index = 0; flight->turn && index < flight->count; index++)
            if (flight->jobs[index] == shifting - 1 && !flight->removed[index]) {
                flight->removed[index] = true;
                self->undoing++;
            }
    }
    return self->undoing > before;
}

size_t umbp_shift_undoing (const umbp_shift_t *self)
{
    return self->undoing;
}

//  --------------------------------------------------------------------------------------------------
//  Batches

static void s_on_undone (void *part, uint64_t tag, int status, const umbp_mail_t *mail)
{
    (void) tag;
    (void) status;
    (void) mail;
    ((umbp_shift_t *) part)->undoing--;
}

//  Whatever was said of the copies: those of blocks that were removed meanwhile are removed there
static void s_undo (umbp_shift_t *self, const flight_t *flight)
{
    static const char *const tiers[UMBP_TIERS] = {
        [UMBP_TIER_HBM] = "tier:hbm",
        [UMBP_TIER_DRAM] = "tier:dram",
        [UMBP_TIER_NVME] = "tier:nvme",
        [UMBP_TIER_SHARED] = "tier:shared",
    };
    const uint8_t *key = flight->keys;
    for (uint32_t index = 0; index < flight->count; key += flight->key_sizes[index++]) {
        if (!flight->removed[index])
            continue;
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_drop, 0);
        uint16_t size = flight->key_sizes[index];
        msg.drop.keys = (umbp_column_t) { key, &size, size, 1 };
        if (umbp_post_ask_for (self->post, self, tiers[self->args.to], NULL, &msg, NULL, 0, MOVE_MS,
                               s_on_undone, 0)
            < 0)
            self->undoing--;
        self->stats.undone++;
    }
}

static void s_count (umbp_shift_t *self, const job_t *job, int status)
{
    self->stats.copies += status == 0;
    self->stats.copy_bytes += status == 0 ? s_block (self, job)->size : 0;
    self->stats.known += status == UMBP_EEXIST;
    self->stats.full += status == UMBP_EAGAIN || status == UMBP_EQUOTA;
    self->stats.failures += status < 0 && status != UMBP_EEXIST && status != UMBP_EAGAIN
                            && status != UMBP_EQUOTA && status != UMBP_ENOENT;
}

//  What makes room there takes a moment
static void s_again (umbp_shift_t *self, uint32_t number)
{
    s_push (self, number);
    self->waiting[self->jobs[number].why].again_at = zclock_mono () + AGAIN_MS;
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
    s_undo (self, flight);
    for (uint32_t index = 0; index < flight->count; index++) {
        uint32_t number = flight->jobs[index];
        int said = ok ? umbp_s8s_at (ok->statuses, index) : status < 0 ? status : UMBP_EPROTO;
        if (!s_is_live (self, &self->jobs[number]))
            said = UMBP_ENOENT;
        if (said == UMBP_EAGAIN && zclock_mono () < self->jobs[number].until)
            s_again (self, number);
        else {
            s_count (self, &self->jobs[number], said);
            s_end (self, number, said);
        }
    }
    freen (flight->keys);
    flight->turn = 0;
    umbp_shift_pump (self);
}

static void s_refill (umbp_shift_t *self)
{
    int64_t now = zclock_mono (), rate = (int64_t) self->args.budget;
    int64_t most = rate / 1000 * BURST_MS;
    self->budget += rate / 1000 * (now - self->budget_at);
    self->budget = self->budget < most ? self->budget : most;
    self->budget_at = now;
}

//  Blocks for a batch, the pressing ones first. One whose block left meanwhile ends here.
static uint32_t s_fill (umbp_shift_t *self, flight_t *flight)
{
    uint64_t bytes = 0;
    int64_t now = zclock_mono ();
    flight->count = 0;
    for (int why = 0; why < UMBP_SHIFT_REASONS; why++)
        while (flight->count < BATCH_MAX && self->waiting[why].head != NONE
               && self->waiting[why].again_at <= now) {
            uint32_t number = self->waiting[why].head;
            const job_t *job = &self->jobs[number];
            bool live = s_is_live (self, job);
            uint32_t size = live ? s_block (self, job)->size : 0;
            if (bytes && bytes + size > BATCH_BYTES)
                return flight->count;
            if (live && job->why == UMBP_SHIFT_COPY && self->args.budget && self->budget <= 0)
                break;
            s_pop (self, (umbp_shift_why_t) why);
            if (!live) {
                s_end (self, number, UMBP_ENOENT);
                continue;
            }
            self->budget -= job->why == UMBP_SHIFT_COPY ? size : 0;
            bytes += size;
            flight->removed[flight->count] = false;
            flight->jobs[flight->count++] = number;
        }
    return flight->count;
}

static int s_send (umbp_shift_t *self, flight_t *flight)
{
    uint32_t bytes = 0;
    for (uint32_t index = 0; index < flight->count; index++)
        bytes += flight->key_sizes[index] =
            s_block (self, &self->jobs[flight->jobs[index]])->key_size;
    uint8_t *to = flight->keys = zmalloc (bytes + 1);     //  Never 0
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
    flight->turn = ++self->turns;
    return umbp_post_ask_for (self->post, self, "migrator", NULL, &msg, NULL, 0, MOVE_MS,
                              s_on_copied, flight->turn);
}

void umbp_shift_pump (umbp_shift_t *self)
{
    if (self->pumping)                  //  An end of a job, which adds others
        return;
    self->pumping = true;
    s_refill (self);
    for (size_t index = 0; index < FLIGHTS_MAX; index++) {
        flight_t *flight = &self->flights[index];
        if (flight->turn || s_fill (self, flight) == 0)
            continue;
        int rc = s_send (self, flight);
        if (rc == 0)
            continue;
        for (uint32_t job = 0; job < flight->count; job++)
            s_end (self, flight->jobs[job], rc);
        freen (flight->keys);
        flight->turn = 0;
    }
    self->pumping = false;
}

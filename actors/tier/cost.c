//  actors/tier/cost.c - what it would cost a tier to let go of so many bytes: which blocks would leave, which of these the
//  tier below would get, which are lost, and how long that takes. Part of the tier manager.
//
//  An eviction is played through, with blocks in the order in which they would leave and in steps as transit.c takes
//  them: what just moved goes last; what a step sends down counts against the budget of the next ones, and may begin a
//  storm, both of which are reasons to admit less. Nothing is changed by it, nor by asking for the order. Who chooses its blocks by the segment has its own order (depot.h).
#include "actors/tier/squeeze.h"

#include "actors/tier/budget.h"

#define WALK_MAX 65536                  //  Blocks that are looked at; beyond that the average counts
#define STEP_BLOCKS 256                 //  In one eviction message, see manager.c and transit.c
#define PASSED_MAX 256                  //  Blocks that just moved and are passed over, before they go after all
#define PACE_GUESS                                                                                 \
    (UINT64_C (256)                                                                                \
     << 20) //  Of a way down, until something went there: no budget bounds what presses

typedef struct {
    uint64_t bytes, blocks, moved_bytes, lost;
    double time_us;
} sum_t;

typedef struct {
    umbp_manager_t *self;
    sum_t sum;
    int64_t now;
    bool way, known;                    //  To the tier below; it may have some of ours
    double pace;                        //  Of it, work a microsecond
    double credit, most,
        refill; //  Of its budget: bytes, the most that is saved, and each microsecond
    bool bound, storm;
    double block_us, pause_us;
    uint64_t step_blocks, step_down, step_bytes,
        step_work; //  Of this step: those that go down, their bytes, their work
} play_t;

static bool s_is_below (umbp_manager_t *self, uint32_t item)
{
    return umbp_store_block (self->store, item)->below || umbp_manager_came_up (self, item);
}

static play_t s_begin (umbp_manager_t *self, bool own)
{
    umbp_transit_t *transit = &self->transit;
    uint64_t block_ns, pause_ns;
    umbp_manager_evict_pace (self, &block_ns, &pause_ns);
    play_t play = { .self = self,
                    .now = zclock_mono (),
                    .known = transit->down != NULL,
                    .block_us = (double) block_ns / 1000, .pause_us = (double) pause_ns / 1000 };
    play.way = transit->down && !own && play.now >= transit->alone_until;
    if (!play.way)
        return play;
    uint64_t rate = self->args.down_rate;
    play.pace = (double) (umbp_shift_pace (transit->down, PACE_GUESS) + 1) / 1e6;
    play.bound = rate > 0;
    play.refill = (double) rate / 1e6;
    play.most = (double) rate / 1000 * UMBP_BUDGET_BURST_MS;
    play.credit = (double) umbp_shift_credit (transit->down);
    play.storm = umbp_manager_in_storm (self);
    play.step_work = umbp_shift_backlog (transit->down);    //  That goes first
    return play;
}

//  How long the way has for what a step sends down: that is answered in a tick, and the next step begins there. The
//  first one begins in the middle of one, for what we know.
static double s_way_us (const play_t *play)
{
    const double tick_us = UMBP_MANAGER_TICK_MS * 1000;
    double us = (double) play->step_work / play->pace;
    if (play->step_down == 0)
        return us;
    if (play->sum.blocks > STEP_BLOCKS)
        return tick_us * (double) (uint64_t) (us / tick_us + 1);
    return us < tick_us / 2 ? tick_us : us + tick_us / 2;
}

//  Whether a look at the way in the first tick of a step sees a storm
static bool s_storms (const play_t *play)
{
    uint32_t blocks = play->self->args.storm_blocks;
    double us = (double) play->step_work / play->pace, tick_us = UMBP_MANAGER_TICK_MS * 1000;
    double left = us > tick_us ? (double) play->step_down * (1 - tick_us / us) : 0;
    return blocks && left >= blocks;
}

static void s_end_step (play_t *play)
{
    double us = (double) play->step_blocks * play->block_us + play->pause_us;
    if (play->way) {
        us += s_way_us (play);
        play->storm = play->storm || s_storms (play);
        if (play->bound) {
            double owed = play->refill * 1000 * UMBP_BUDGET_DEBT_MS;
            play->credit -= (double) play->step_bytes;
            play->credit = play->credit > -owed ? play->credit : -owed;
            play->credit += play->refill * us;
            play->credit = play->credit < play->most ? play->credit : play->most;
        }
    }
    play->sum.time_us += us;
    play->step_blocks = play->step_down = play->step_bytes = play->step_work = 0;
}

static void s_take (play_t *play, uint32_t item)
{
    const umbp_block_t *block = umbp_store_block (play->self->store, item);
    bool owes = play->storm || (play->bound && play->credit < 0);
    bool below = play->known && s_is_below (play->self, item);
    bool goes = play->way && umbp_manager_would_admit_if (play->self, item, owes);
    play->sum.bytes += umbp_store_bytes (play->self->store, block->size);
    play->sum.blocks++;
    play->sum.moved_bytes += goes && !below ? block->size : 0;
    play->sum.lost += !goes && !below && block->replicas < 2;
    play->step_down += goes;
    play->step_bytes += goes ? block->size : 0;
    play->step_work += goes ? UMBP_SHIFT_ASK_BYTES + (below ? 0 : block->size) : 0;
    if (++play->step_blocks == STEP_BLOCKS)
        s_end_step (play);
}

//  It just moved, or is on its way down: others go first
static bool s_is_passed (const play_t *play, uint32_t item)
{
    const umbp_block_t *block = umbp_store_block (play->self->store, item);
    return play->way
           && (block->sinking
               || umbp_moves_rests (play->self->transit.moves, block->print.lo, play->now));
}

//  Those that may leave, in their order, until so many bytes are free
static void s_play (play_t *play, const uint32_t *items, size_t count, uint64_t bytes)
{
    uint32_t passed[PASSED_MAX];
    size_t passes = 0;
    for (size_t index = 0; index < count && play->sum.bytes < bytes; index++) {
        if (!s_is_passed (play, items[index])) {
            s_take (play, items[index]);
            continue;
        }
        passed[passes++] = items[index];
        if (passes < PASSED_MAX && index + 1 < count)
            continue;
        for (size_t place = 0; place < passes && play->sum.bytes < bytes; place++)
            s_take (play, passed[place]);
        passes = 0;
    }
    for (size_t place = 0; place < passes && play->sum.bytes < bytes; place++)
        s_take (play, passed[place]);
    if (play->step_blocks > 0)
        s_end_step (play);
}

//  What was played is a part of it
static void s_extend (sum_t *sum, double more)
{
    sum->bytes = (uint64_t) ((double) sum->bytes * more);
    sum->blocks = (uint64_t) ((double) sum->blocks * more);
    sum->moved_bytes = (uint64_t) ((double) sum->moved_bytes * more);
    sum->lost = (uint64_t) ((double) sum->lost * more);
    sum->time_us *= more;
}

static sum_t s_count (umbp_manager_t *self, const umbp_msg_cost_t *ask, uint16_t row)
{
    uint32_t *items = malloc (WALK_MAX * sizeof *items);
    assert (items);
    size_t count = ask->own ? umbp_store_own_victims (self->store, row, WALK_MAX, items)
                            : umbp_manager_peek (self, WALK_MAX, items);
    play_t play = s_begin (self, ask->own);
    s_play (&play, items, count, ask->bytes);
    free (items);
    if (count < WALK_MAX || play.sum.bytes >= ask->bytes)
        return play.sum;
    umbp_store_counts_t all = umbp_store_counts (self->store);
    const umbp_tenant_t *who =
        ask->own ? umbp_tenants_at (umbp_store_tenants (self->store), row) : NULL;
    uint64_t most = who ? who->bytes : all.used_bytes;
    s_extend (&play.sum,
              (double) (most < ask->bytes ? most : ask->bytes) / (double) play.sum.bytes);
    return play.sum;
}

void umbp_manager_on_cost (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_cost_t *ask = &mail->msg->cost;
    umbp_sight_t sight = umbp_manager_sight (self, mail->origin);
    uint16_t row = umbp_tenants_find (umbp_store_tenants (self->store), ask->tenant);
    if (!sight.all && (!ask->own || row != sight.row)) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "tenant",
                          "yours is the certificate of another: ask about your own");
        return;
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_cost_ok, 0);
    sum_t sum = { 0 };
    if (!ask->own || row != UMBP_TENANT_NONE)
        sum = s_count (self, ask, row);
    answer.cost_ok.time_us = (uint64_t) sum.time_us;
    answer.cost_ok.bytes = sum.bytes;
    answer.cost_ok.moved_bytes = sum.moved_bytes;
    answer.cost_ok.blocks = sum.blocks;
    answer.cost_ok.lost_blocks = sum.lost;
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

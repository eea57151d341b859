//  actors/tier/govern.c - what bounds the moves of this tier's blocks to others of the same node: how long its readers wait
//  (governor.h), what is worth a place below (admit.h), and what moved lately (moves.h).
//
//  A tier on disk measures its readers, since it is the disk for which everybody queues. It slows what it sends up by
//  itself, and tells the tier above, which slows what it sends down: the disk is the same.
//
//  While more shall move than can, here or in the tier above or below (storm.h), nothing idle moves, a block comes up at
//  its second read, and auto admits what was asked for twice.
#include "actors/tier/manager_self.h"

#include "cluster/origin.h"

#define GHOSTS_MIN 65536
#define GHOSTS_MAX (1u << 20)
#define STAY_SMOOTH 64                  //  One block counts for so much less than the mean
#define TELL_MS 1000                    //  The tier above is told again after so long, whatever changed
#define TOOK_MS 40                      //  ... and not oftener that blocks go down: patience is 100 at least

//  --------------------------------------------------------------------------------------------------
//  Blocks

bool umbp_manager_is_actor (const umbp_origin_t *origin)
{
    umbp_user_t user;
    umbp_origin_user (origin, &user);
    return user.kind == UMBP_USER_LOCAL && !user.link && origin->door == 0;
}

void umbp_manager_moved (umbp_manager_t *self, uint32_t item)
{
    uint64_t print = umbp_store_block (self->store, item)->print.lo;
    if (self->transit.moves)
        self->transit.held += umbp_moves_note (self->transit.moves, print, zclock_mono ());
}

void umbp_manager_came (umbp_manager_t *self, uint32_t item, const umbp_origin_t *origin, bool kept)
{
    umbp_block_t *block = umbp_store_block (self->store, item);
    umbp_transit_t *transit = &self->transit;
    block->brought = kept && umbp_manager_is_actor (origin);
    if (!transit->moves)
        return;
    block->since = zclock_mono ();
    if (transit->admit)
        block->again = umbp_admit_came (transit->admit, block->print.lo, block->since);
    if (block->brought)
        umbp_manager_moved (self, item);
}

void umbp_manager_left_disk (umbp_manager_t *self, uint32_t item)
{
    int64_t since = umbp_store_block (self->store, item)->since;
    if (since == 0)
        return;
    uint64_t stayed = (uint64_t) (zclock_mono () - since) + 1, mean = self->transit.stay_ms;
    mean = mean ? mean : stayed;
    self->transit.stay_ms = mean + stayed / STAY_SMOOTH - mean / STAY_SMOOTH;
}

bool umbp_manager_rests (umbp_manager_t *self, uint32_t item, int64_t now)
{
    bool rests = self->transit.moves
                 && umbp_moves_rests (self->transit.moves,
                                      umbp_store_block (self->store, item)->print.lo, now);
    self->transit.rested += rests;
    return rests;
}

//  What was brought to a tier that others go down to came from above
bool umbp_manager_came_up (const umbp_manager_t *self, uint32_t item)
{
    return umbp_store_block (self->store, item)->brought && !self->args.fed_by;
}

static umbp_admit_block_t s_judged (umbp_manager_t *self, uint32_t item)
{
    const umbp_block_t *is = umbp_store_block (self->store, item);
    return (umbp_admit_block_t) { .print = is->print.lo,
                                  .keep = is->hint == UMBP_POLICY_HINT_KEEP,
                                  .once = is->hint == UMBP_POLICY_HINT_ONCE,
                                  .below = umbp_manager_came_up (self, item) || is->below,
                                  .touched = is->used || is->again };
}

static bool s_is_short (umbp_manager_t *self)
{
    return umbp_shift_in_debt (self->transit.down) || umbp_manager_in_storm (self);
}

//  What is written through is below already, or on its way
bool umbp_manager_admits (umbp_manager_t *self, uint32_t item, int64_t now)
{
    umbp_admit_block_t block = s_judged (self, item);
    return self->args.write_through
           || umbp_admit_leaves (self->transit.admit, &block, s_is_short (self), now);
}

bool umbp_manager_would_admit_if (umbp_manager_t *self, uint32_t item, bool is_short)
{
    umbp_admit_block_t block = s_judged (self, item);
    return self->args.write_through || umbp_admit_would (self->transit.admit, &block, is_short);
}

bool umbp_manager_would_admit (umbp_manager_t *self, uint32_t item)
{
    return umbp_manager_would_admit_if (self, item, s_is_short (self));
}

//  --------------------------------------------------------------------------------------------------
//  Readers

int64_t umbp_manager_clock_us (const umbp_manager_t *self)
{
    return self->transit.governor ? zclock_usecs () : 0;
}

void umbp_manager_waited (umbp_manager_t *self, const umbp_reader_t *reader)
{
    int64_t took = zclock_usecs () - reader->began_us;
    umbp_governor_read (self->transit.governor, took > 0 ? (uint64_t) took : 0, zclock_mono ());
}

//  The tier whose blocks go down to this one
static unsigned s_feeder (const umbp_manager_t *self)
{
    return self->args.fed_by ? self->args.fed_by : self->args.above;
}

//  What the tier below can take; and whether there is a storm there, or above
void umbp_manager_on_pace (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_pace_t *say = &mail->msg->pace;
    bool above = say->tier && say->tier == s_feeder (self);
    bool below = self->transit.down && (!say->tier || say->tier == self->args.below);
    if (!umbp_manager_is_actor (mail->origin) || !(above ? self->transit.up != NULL : below)) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "pace",
                          "only the tiers above and below say that");
        return;
    }
    if (above) {
        self->transit.storm_above = say->storm;
        return;
    }
    self->transit.storm_below = say->storm;
    self->transit.heard_share = (unsigned) say->share;
    self->transit.heard_reads = say->reads;
    umbp_shift_set_share (self->transit.down, self->transit.heard_share);
    umbp_admit_set_stay (self->transit.admit, say->stay);
    if (say->took != self->transit.heard_took)
        umbp_manager_went (self);
    self->transit.heard_took = say->took;
}

static void s_tell (umbp_manager_t *self, unsigned to, unsigned share, uint64_t reads)
{
    static const char *const names[UMBP_TIERS] = {
        [UMBP_TIER_HBM] = "tier:hbm",
        [UMBP_TIER_DRAM] = "tier:dram",
        [UMBP_TIER_NVME] = "tier:nvme",
        [UMBP_TIER_SHARED] = "tier:shared",
    };
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_pace, 0);
    msg.pace.share = share;
    msg.pace.stay = self->transit.stay_ms;
    msg.pace.reads = reads;
    msg.pace.storm = self->transit.own_storm;
    msg.pace.tier = self->args.tier;
    msg.pace.took = self->transit.took;
    if (to)
        umbp_post_tell (self->post, names[to], NULL, &msg);
}

//  Both sides are told what changed, and all once a second: above, what a tier on disk can take, and memory takes all;
//  below, whether there is a storm
static void s_tell_both (umbp_manager_t *self, unsigned share, uint64_t reads, int64_t now)
{
    umbp_transit_t *transit = &self->transit;
    bool same = transit->own_storm == transit->told_own;
    if (transit->governor)
        same = same && share == transit->told_share && !reads == !transit->told_reads;
    if (same && now - transit->told_at < TELL_MS)
        return;
    transit->told_own = transit->own_storm;
    transit->told_at = now;
    if (transit->governor) {
        transit->told_share = share;
        transit->told_reads = reads;
    }
    s_tell (self, s_feeder (self), share, reads);
    s_tell (self, self->args.below, UMBP_GOVERNOR_WHOLE, 0);
}

void umbp_manager_took (umbp_manager_t *self)
{
    self->transit.took++;
}

//  Whose blocks wait for us hears that others get down meanwhile
static void s_tell_took (umbp_manager_t *self, unsigned share, uint64_t reads, int64_t now)
{
    umbp_transit_t *transit = &self->transit;
    if (transit->took == transit->told_took || now - transit->told_took_at < TOOK_MS)
        return;
    transit->told_took = transit->took;
    transit->told_took_at = now;
    s_tell (self, s_feeder (self), share, reads);
}

//  --------------------------------------------------------------------------------------------------
//  Storms

bool umbp_manager_in_storm (const umbp_manager_t *self)
{
    const umbp_transit_t *transit = &self->transit;
    return transit->own_storm || transit->storm_above || transit->storm_below;
}

void umbp_manager_on_sent (void *owner, int64_t waited_ms)
{
    umbp_manager_t *self = owner;
    umbp_storm_sent (self->transit.storm, waited_ms, zclock_mono ());
}

//  Of both ways: jobs that are not idle, ever and now; and the longer debt
typedef struct {
    uint64_t asked, open;
    int64_t debt_ms;
} demand_t;

static void s_add_demand (demand_t *sum, umbp_shift_t *way)
{
    if (!way)
        return;
    int64_t debt_ms = umbp_shift_debt_ms (way);
    sum->asked += umbp_shift_stats (way).asked;
    sum->open += umbp_shift_open (way, UMBP_SHIFT_PRESSED) + umbp_shift_open (way, UMBP_SHIFT_COPY);
    sum->debt_ms = debt_ms > sum->debt_ms ? debt_ms : sum->debt_ms;
}

static void s_watch_storm (umbp_manager_t *self, int64_t now)
{
    umbp_transit_t *transit = &self->transit;
    demand_t demand = { 0, 0, 0 };
    s_add_demand (&demand, transit->down);
    s_add_demand (&demand, transit->up);
    if (demand.asked > transit->asked)
        umbp_storm_ask (transit->storm, (uint32_t) (demand.asked - transit->asked), now);
    transit->asked = demand.asked;
    bool storm = umbp_storm_look (transit->storm, demand.open, demand.debt_ms, now);
    if (storm == transit->own_storm)
        return;
    transit->own_storm = storm;
    umbp_storm_stats_t is = umbp_storm_stats (transit->storm);
    if (storm) {
        transit->storm_since = now;
        zsys_warning (
            "%s: a storm of moves: why=%s asked=%" PRIu64 " open=%" PRIu64 " wait_p95_ms=%" PRIu64
            " debt_ms=%" PRId64 ": nothing idle moves, and blocks come up at their second read",
            self->args.name, is.why, is.lately, demand.open, is.wait_p95_ms, demand.debt_ms);
    } else
        zsys_info ("%s: the storm of moves is over: ms=%" PRId64, self->args.name,
                   now - transit->storm_since);
}

//  --------------------------------------------------------------------------------------------------
//  Life

void umbp_manager_start_govern (umbp_manager_t *self)
{
    const umbp_manager_args_t *args = &self->args;
    umbp_transit_t *transit = &self->transit;
    if (args->above || args->below) {
        transit->moves = umbp_moves_new ();
        transit->storm = umbp_storm_new (args->storm_blocks, zclock_mono ());
    }
    if (args->above && self->depot)
        transit->governor = umbp_governor_new ((uint64_t) args->target_ms * 1000, zclock_mono ());
    if (!args->below)
        return;
    transit->heard_share = UMBP_GOVERNOR_WHOLE;      //  Until it says something else
    uint64_t pages = umbp_store_counts (self->store).page_bytes / args->page_size;
    uint32_t ghosts = pages < GHOSTS_MIN   ? GHOSTS_MIN
                      : pages < GHOSTS_MAX ? (uint32_t) pages
                                           : GHOSTS_MAX;
    transit->admit = umbp_admit_new (args->admit && *args->admit ? args->admit : "all", ghosts);
    assert (transit->admit);            //  Its name was checked with the options
}

void umbp_manager_govern (umbp_manager_t *self, int64_t now)
{
    umbp_transit_t *transit = &self->transit;
    unsigned share = UMBP_GOVERNOR_WHOLE;
    uint64_t reads = 0;
    if (!transit->moves)
        return;
    s_watch_storm (self, now);
    if (transit->governor) {
        share = umbp_governor_share (transit->governor, now);
        reads = umbp_governor_reads (transit->governor);
        umbp_shift_set_share (transit->up, share);
    }
    s_tell_both (self, share, reads, now);
    s_tell_took (self, share, reads, now);
}

static void s_stat_way (umbp_gauges_t *gauges, const umbp_shift_t *way, const char *const names[5])
{
    umbp_shift_stats_t stats = umbp_shift_stats (way);
    umbp_gauges_add (gauges, names[0],
                     umbp_shift_open (way, UMBP_SHIFT_PRESSED)
                         + umbp_shift_open (way, UMBP_SHIFT_COPY));
    umbp_gauges_add (gauges, names[1], stats.flying);
    umbp_gauges_add (gauges, names[2], stats.flying_bytes);
    umbp_gauges_add (gauges, names[3], stats.most);
    umbp_gauges_add (gauges, names[4], stats.most_bytes);
}

void umbp_manager_stat_govern (const umbp_manager_t *self, umbp_gauges_t *gauges)
{
    static const char *const down[] = { "demotions_open", "demoting_blocks", "demoting_bytes",
                                        "demoting_blocks_most", "demoting_bytes_most" };
    static const char *const up[] = { "promotions_open", "promoting_blocks", "promoting_bytes",
                                      "promoting_blocks_most", "promoting_bytes_most" };
    const umbp_transit_t *transit = &self->transit;
    if (!transit->moves)
        return;
    if (transit->down) {
        s_stat_way (gauges, transit->down, down);
        umbp_gauges_add (gauges, "demotions_pressed",
                         umbp_shift_open (transit->down, UMBP_SHIFT_PRESSED));
        umbp_gauges_add (gauges, "down_rate", self->args.down_rate);
    }
    if (transit->up) {
        s_stat_way (gauges, transit->up, up);
        umbp_gauges_add (gauges, "up_rate", self->args.up_rate);
    }
    umbp_gauges_add (gauges, "moves_rested", transit->rested);
    umbp_gauges_add (gauges, "moves_held", transit->held);
    if (transit->admit) {
        umbp_admit_stats_t admit = umbp_admit_stats (transit->admit);
        umbp_gauges_add (gauges, "not_admitted", admit.refused);
        umbp_gauges_add (gauges, "admits_strictly", admit.strict);
        umbp_gauges_add (gauges, "reuse_ms", admit.reuse_ms);
    }
    if (transit->governor) {
        umbp_gauges_add (gauges, "stay_ms", transit->stay_ms);
        umbp_gauges_add (gauges, "reads_p95_us", umbp_governor_p95_us (transit->governor));
    }
    umbp_gauges_add (gauges, "migration_share",
                     transit->governor ? transit->told_share : transit->heard_share);
    umbp_gauges_add (gauges, "reads_lately",
                     transit->governor ? transit->told_reads : transit->heard_reads);
    umbp_storm_stats_t storm = umbp_storm_stats (transit->storm);
    umbp_gauges_add (gauges, "storm", umbp_manager_in_storm (self));
    umbp_gauges_add (gauges, "storms", storm.storms);
    umbp_gauges_add (gauges, "moves_asked", storm.asked);
    umbp_gauges_add (gauges, "moves_wait_p95_ms", storm.wait_p95_ms);
    umbp_gauges_add (gauges, "promotions_put_off", transit->put_off);
}

void umbp_manager_end_govern (umbp_manager_t *self)
{
    umbp_governor_destroy (&self->transit.governor);
    umbp_admit_destroy (&self->transit.admit);
    umbp_moves_destroy (&self->transit.moves);
    umbp_storm_destroy (&self->transit.storm);
}

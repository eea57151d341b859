//  actors/tier/govern.c - what bounds the moves of this tier's blocks to others of the same node: how long its readers wait
//  (governor.h), what is worth a place below (admit.h), and what moved lately (moves.h).
//
//  A tier on disk measures its readers, since it is the disk for which everybody queues. It slows what it sends up by
//  itself, and tells the tier above, which slows what it sends down: the disk is the same.
#include "actors/tier/manager_self.h"

#include "cluster/origin.h"

#define GHOSTS_MIN 65536
#define GHOSTS_MAX (1u << 20)
#define STAY_SMOOTH 64                  //  One block counts for so much less than the mean
#define TELL_MS 1000                    //  The tier above is told again after so long, whatever changed

//  --------------------------------------------------------------------------------------------------
//  Blocks

static bool s_is_actor (const umbp_origin_t *origin)
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
    if (!transit->moves)
        return;
    block->since = zclock_mono ();
    block->brought = kept && s_is_actor (origin);
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

//  What is written through is below already, or on its way
bool umbp_manager_admits (umbp_manager_t *self, uint32_t item, int64_t now)
{
    const umbp_block_t *is = umbp_store_block (self->store, item);
    umbp_transit_t *transit = &self->transit;
    umbp_admit_block_t block = { .print = is->print.lo,
                                 .keep = is->hint == UMBP_POLICY_HINT_KEEP,
                                 .once = is->hint == UMBP_POLICY_HINT_ONCE,
                                 .below = is->brought, .touched = is->used || is->again };
    return self->args.write_through
           || umbp_admit_leaves (transit->admit, &block, umbp_shift_in_debt (transit->down), now);
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

//  What the tier below can take
void umbp_manager_on_pace (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    if (!s_is_actor (mail->origin) || !self->transit.down) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "pace",
                          "only the tier below says that");
        return;
    }
    self->transit.told_share = (unsigned) mail->msg->pace.share;
    umbp_shift_set_share (self->transit.down, self->transit.told_share);
    umbp_admit_set_stay (self->transit.admit, mail->msg->pace.stay);
}

static void s_tell (umbp_manager_t *self, unsigned share, int64_t now)
{
    umbp_transit_t *transit = &self->transit;
    if (share == transit->told_share && now - transit->told_at < TELL_MS)
        return;
    transit->told_share = share;
    transit->told_at = now;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_pace, 0);
    msg.pace.share = share;
    msg.pace.stay = transit->stay_ms;
    umbp_post_tell (self->post, "tier:dram", NULL, &msg);
}

//  --------------------------------------------------------------------------------------------------
//  Life

void umbp_manager_start_govern (umbp_manager_t *self)
{
    const umbp_manager_args_t *args = &self->args;
    umbp_transit_t *transit = &self->transit;
    if (args->above || args->below)
        transit->moves = umbp_moves_new ();
    if (args->above && self->depot)
        transit->governor = umbp_governor_new ((uint64_t) args->target_ms * 1000, zclock_mono ());
    if (!args->below)
        return;
    transit->told_share = UMBP_GOVERNOR_WHOLE;       //  Until it says something else
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
    if (!transit->governor)
        return;
    unsigned share = umbp_governor_share (transit->governor, now);
    umbp_shift_set_share (transit->up, share);
    s_tell (self, share, now);
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
    if (transit->down)
        s_stat_way (gauges, transit->down, down);
    if (transit->up)
        s_stat_way (gauges, transit->up, up);
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
    umbp_gauges_add (gauges, "migration_share", transit->told_share);
}

void umbp_manager_end_govern (umbp_manager_t *self)
{
    umbp_governor_destroy (&self->transit.governor);
    umbp_admit_destroy (&self->transit.admit);
    umbp_moves_destroy (&self->transit.moves);
}

//  client/kv.c - the external index: which engine holds which hash in its own memory. The node's
//  extkv actor keeps what its engines say, and asks the other nodes for us.
#include <stdlib.h>

#include "client/batch.h"

#define WINDOW 1024                     //  Hashes in a message

static int s_check (const umbp_key_t *hashes, size_t count)
{
    int rc = hashes || count == 0 ? 0 : UMBP_EINVAL;
    for (size_t index = 0; index < count && rc == 0; index++)
        rc = umbp_key_check (&hashes[index], UMBP_HASH_MAX);
    return rc;
}

static bool s_is_engine (const char *engine, unsigned tier_low, unsigned tier)
{
    size_t size = engine ? strlen (engine) : 0;
    return size >= 1 && size <= UMBP_NAME_MAX && tier >= tier_low && tier <= 8;
}

static const umbp_answer_t *s_ask (umbp_lane_t *lane, umbp_msg_t *msg, int expected, int *rc_p)
{
    return umbp_wire_ask (lane, UMBP_WAY_WIRE, "extkv", NULL, msg, NULL, 0, expected,
                          lane->deadline_ms, rc_p);
}

//  ------------------------------------------------------------------------------------------------
//  Report and revoke

typedef struct {
    umbp_msg_type_t type;               //  kv_report or kv_revoke
    const char *engine, *address;
    unsigned tier;
} claim_t;

static int s_claim_window (umbp_lane_t *lane, const claim_t *claim, const umbp_key_t *hashes,
                           size_t count)
{
    umbp_column_t column = umbp_key_column (lane, hashes, sizeof *hashes, NULL, count);
    umbp_msg_t msg;
    umbp_msg_init (&msg, claim->type, 0);
    if (claim->type == UMBP_MSG_kv_report) {
        msg.kv_report.engine = umbp_text (claim->engine);
        msg.kv_report.address = umbp_text (claim->address);
        msg.kv_report.tier = claim->tier;
        msg.kv_report.hashes = column;
    } else {
        msg.kv_revoke.engine = umbp_text (claim->engine);
        msg.kv_revoke.tier = claim->tier;
        msg.kv_revoke.hashes = column;
    }
    int rc;
    s_ask (lane, &msg, UMBP_MSG_ok, &rc);
    return rc;
}

static int s_claim (umbp_t *self, const claim_t *claim, const umbp_key_t *hashes, size_t count,
                    uint32_t timeout_ms)
{
    if (!s_is_engine (claim->engine, 1, claim->tier) || s_check (hashes, count) != 0
        || (claim->address && strlen (claim->address) > 128))
        return UMBP_EINVAL;
    umbp_lane_t *lane;
    int rc = umbp_pool_enter (self, timeout_ms, &lane);
    if (rc != 0)
        return rc;
    umbp_mark_t mark = umbp_lane_mark (lane);
    for (size_t at = 0; at < count && rc == 0; at += WINDOW) {
        size_t window = count - at < WINDOW ? count - at : WINDOW;
        rc = s_claim_window (lane, claim, hashes + at, window);
        umbp_lane_rewind (lane, mark);
    }
    umbp_pool_leave (self, &lane);
    return rc;
}

int umbp_kv_report (umbp_t *self, const char *engine, const char *address, unsigned tier,
                    const umbp_key_t *hashes, size_t count, uint32_t timeout_ms)
{
    const claim_t claim = { UMBP_MSG_kv_report, engine, address, tier };
    return s_claim (self, &claim, hashes, count, timeout_ms);
}

int umbp_kv_revoke (umbp_t *self, const char *engine, unsigned tier, const umbp_key_t *hashes,
                    size_t count, uint32_t timeout_ms)
{
    const claim_t claim = { UMBP_MSG_kv_revoke, engine, NULL, tier };
    return s_claim (self, &claim, hashes, count, timeout_ms);
}

long umbp_kv_revoke_all (umbp_t *self, const char *engine, unsigned tier, uint32_t timeout_ms)
{
    if (!s_is_engine (engine, 0, tier))
        return UMBP_EINVAL;
    umbp_lane_t *lane;
    int rc = umbp_pool_enter (self, timeout_ms, &lane);
    if (rc != 0)
        return rc;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_revoke_all, 0);
    msg.kv_revoke_all.engine = umbp_text (engine);
    msg.kv_revoke_all.tier = tier;
    const umbp_answer_t *answer = s_ask (lane, &msg, UMBP_MSG_kv_revoke_all_ok, &rc);
    long held = answer ? (long) answer->msg.kv_revoke_all_ok.count : rc;
    umbp_pool_leave (self, &lane);
    return held;
}

//  ------------------------------------------------------------------------------------------------
//  Match

struct umbp_kv_match {
    umbp_kv_row_t *rows;
    size_t count, room;
    unsigned silent;
};

void umbp_kv_match_destroy (umbp_kv_match_t **match_p)
{
    assert (match_p);
    umbp_kv_match_t *self = *match_p;
    if (!self)
        return;
    for (size_t index = 0; index < self->count; index++)
        free ((void *) self->rows[index].hashes);
    free (self->rows);
    freen (*match_p);
}

//  The row of an engine and tier, made if there is none
static umbp_kv_row_t *s_row (umbp_kv_match_t *self, umbp_text_t engine, umbp_text_t address,
                             unsigned tier)
{
    for (size_t index = 0; index < self->count; index++)
        if (self->rows[index].tier == tier && umbp_text_is (engine, self->rows[index].engine))
            return &self->rows[index];
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 16;
        self->rows = realloc (self->rows, self->room * sizeof *self->rows);
        assert (self->rows);
    }
    umbp_kv_row_t *row = &self->rows[self->count++];
    *row = (umbp_kv_row_t) { .tier = tier };
    umbp_text_copy (engine, row->engine, sizeof row->engine);
    umbp_text_copy (address, row->address, sizeof row->address);
    return row;
}

//  Add hashes, whose numbers in this message start at those of the question's base
static void s_add_hashes (umbp_kv_row_t *row, const umbp_u16s_t *matches, size_t at, size_t count,
                          size_t base)
{
    uint32_t *hashes = realloc ((void *) row->hashes, (row->count + count) * sizeof *hashes);
    assert (hashes || row->count + count == 0);
    for (size_t index = 0; index < count; index++)
        hashes[row->count++] = (uint32_t) (base + umbp_u16s_at (*matches, at + index));
    row->hashes = hashes;
}

//  Whether the rows of an answer stay inside its columns and our question
static bool s_is_whole (const umbp_msg_kv_match_ok_t *ok, size_t window)
{
    size_t total = 0;
    for (size_t index = 0; index < ok->refs.count; index++) {
        total += umbp_u32s_at (ok->counts, index);
        if (umbp_u16s_at (ok->refs, index) >= ok->engines.count || total > ok->matches.count)
            return false;
    }
    for (size_t index = 0; index < ok->matches.count; index++)
        if (umbp_u16s_at (ok->matches, index) >= window)
            return false;
    return ok->engines.count == ok->addresses.count;
}

static umbp_text_t s_text (const uint8_t *const *items, const uint16_t *sizes, size_t index)
{
    return (umbp_text_t) { (const char *) items[index], sizes[index] };
}

static void s_take (umbp_lane_t *lane, umbp_kv_match_t *self, const umbp_msg_kv_match_ok_t *ok,
                    size_t base)
{
    size_t engines = ok->engines.count, at = 0;
    const uint8_t **ids = umbp_lane_take (lane, engines, sizeof *ids);
    const uint8_t **addresses = umbp_lane_take (lane, engines, sizeof *addresses);
    uint16_t *id_sizes = umbp_lane_take (lane, engines, sizeof *id_sizes);
    uint16_t *address_sizes = umbp_lane_take (lane, engines, sizeof *address_sizes);
    umbp_column_split (&ok->engines, ids, id_sizes);
    umbp_column_split (&ok->addresses, addresses, address_sizes);
    for (size_t index = 0; index < ok->refs.count; index++) {
        size_t ref = umbp_u16s_at (ok->refs, index), count = umbp_u32s_at (ok->counts, index);
        umbp_kv_row_t *row =
            s_row (self, s_text (ids, id_sizes, ref), s_text (addresses, address_sizes, ref),
                   umbp_u8s_at (ok->tiers, index));
        s_add_hashes (row, &ok->matches, at, count, base);
        at += count;
    }
    if (ok->nodes_silent > self->silent)
        self->silent = (unsigned) ok->nodes_silent;
}

static int s_match_window (umbp_lane_t *lane, umbp_kv_match_t *self, const umbp_key_t *hashes,
                           size_t base, size_t window, bool count_as_hit)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_match, 0);
    msg.kv_match.hashes = umbp_key_column (lane, hashes + base, sizeof *hashes, NULL, window);
    msg.kv_match.count_as_hit = count_as_hit;
    int rc;
    const umbp_answer_t *answer = s_ask (lane, &msg, UMBP_MSG_kv_match_ok, &rc);
    if (!answer)
        return rc;
    if (!s_is_whole (&answer->msg.kv_match_ok, window))
        return UMBP_EPROTO;
    s_take (lane, self, &answer->msg.kv_match_ok, base);
    return 0;
}

umbp_kv_match_t *umbp_kv_match (umbp_t *self, const umbp_key_t *hashes, size_t count,
                                bool count_as_hit, uint32_t timeout_ms, int *err)
{
    umbp_lane_t *lane = NULL;
    umbp_kv_match_t *match = NULL;
    int rc = count <= UINT32_MAX ? s_check (hashes, count) : UMBP_ETOOBIG;
    if (rc == 0)
        rc = umbp_pool_enter (self, timeout_ms, &lane);
    if (rc == 0) {
        match = zmalloc (sizeof (umbp_kv_match_t));
        umbp_mark_t mark = umbp_lane_mark (lane);
        for (size_t at = 0; at < count && rc == 0; at += WINDOW) {
            size_t window = count - at < WINDOW ? count - at : WINDOW;
            rc = s_match_window (lane, match, hashes, at, window, count_as_hit);
            umbp_lane_rewind (lane, mark);
        }
        umbp_pool_leave (self, &lane);
    }
    if (rc != 0)
        umbp_kv_match_destroy (&match);
    if (err)
        *err = rc;
    return match;
}

const umbp_kv_row_t *umbp_kv_match_rows (const umbp_kv_match_t *match, size_t *count)
{
    *count = match->count;
    return match->rows;
}

unsigned umbp_kv_match_silent (const umbp_kv_match_t *match)
{
    return match->silent;
}

//  ------------------------------------------------------------------------------------------------
//  Hits

static int s_hits_window (umbp_lane_t *lane, const umbp_key_t *hashes, size_t count,
                          uint64_t *counts)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_kv_hits, 0);
    msg.kv_hits.hashes = umbp_key_column (lane, hashes, sizeof *hashes, NULL, count);
    int rc;
    const umbp_answer_t *answer = s_ask (lane, &msg, UMBP_MSG_kv_hits_ok, &rc);
    if (!answer)
        return rc;
    if (answer->msg.kv_hits_ok.counts.count != count)
        return UMBP_EPROTO;
    for (size_t index = 0; index < count; index++)
        counts[index] = umbp_u64s_at (answer->msg.kv_hits_ok.counts, index);
    return 0;
}

int umbp_kv_hits (umbp_t *self, const umbp_key_t *hashes, size_t count, uint64_t *counts,
                  uint32_t timeout_ms)
{
    umbp_lane_t *lane;
    int rc = s_check (hashes, count);
    if (rc == 0)
        rc = umbp_pool_enter (self, timeout_ms, &lane);
    if (rc != 0)
        return rc;
    umbp_mark_t mark = umbp_lane_mark (lane);
    for (size_t at = 0; at < count && rc == 0; at += WINDOW) {
        size_t window = count - at < WINDOW ? count - at : WINDOW;
        rc = s_hits_window (lane, hashes + at, window, counts + at);
        umbp_lane_rewind (lane, mark);
    }
    umbp_pool_leave (self, &lane);
    return rc;
}

//  client/block.c - calls about one block, as batches of one; removing blocks, and saying what will become of them.
#include "client/batch.h"

int umbp_put (umbp_t *self, const char *key, const void *data, size_t size)
{
    umbp_key_t one = { key, key ? strlen (key) : 0 };
    umbp_item_t item = { .key = one, .data = (void *) data, .size = size };
    umbp_put_batch (self, &item, 1, NULL, 0);
    return item.status == UMBP_EEXIST ? 0 : item.status;
}

long umbp_get (umbp_t *self, const char *key, void *buffer, size_t size)
{
    umbp_item_t item = { .key = { key, key ? strlen (key) : 0 }, .data = buffer, .size = size };
    umbp_get_batch (self, &item, 1, 0);
    return item.status == 0 ? (long) item.size : item.status;
}

int umbp_exists (umbp_t *self, const char *key)
{
    umbp_key_t one = { key, key ? strlen (key) : 0 };
    int8_t found = 0;
    int rc = umbp_exists_batch (self, &one, 1, &found, 0);
    return rc < 0 ? rc : found;
}

int umbp_remove (umbp_t *self, const char *key)
{
    umbp_key_t one = { key, key ? strlen (key) : 0 };
    int8_t status = 0;
    int rc = umbp_remove_batch (self, &one, 1, &status, 0);
    return rc < 0 ? rc : status;
}

//  ------------------------------------------------------------------------------------------------
//  Remove, advise

//  One message, which removes, or advises if there is an advice. Keys that are no keys were left out.
static void s_tell (umbp_lane_t *lane, const umbp_key_t *keys, const uint32_t *which, size_t count,
                    unsigned advice, int8_t *statuses)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, advice ? UMBP_MSG_where : UMBP_MSG_remove, 0);
    umbp_column_t column = umbp_key_column (lane, keys, sizeof *keys, which, count);
    if (advice) {
        msg.where.keys = column;
        msg.where.advice = advice;
    } else
        msg.remove.keys = column;
    int rc;
    const umbp_answer_t *answer =
        umbp_wire_ask (lane, UMBP_WAY_ANY, "router", NULL, &msg, NULL, 0,
                       advice ? UMBP_MSG_where_ok : UMBP_MSG_remove_ok, lane->deadline_ms, &rc);
    umbp_s8s_t said = { 0 };
    if (answer)
        said = advice ? answer->msg.where_ok.statuses : answer->msg.remove_ok.statuses;
    if (answer && said.count != count) {
        answer = NULL;
        rc = UMBP_EPROTO;
    }
    for (size_t index = 0; index < count; index++)
        statuses[which[index]] = answer ? umbp_s8s_at (said, index) : (int8_t) rc;
}

//  The keys of a window, less those that are none
static size_t s_choose (const umbp_key_t *keys, size_t count, uint32_t *which, int8_t *statuses)
{
    size_t used = 0;
    for (size_t index = 0; index < count; index++) {
        statuses[index] = (int8_t) umbp_key_check (&keys[index], UMBP_KEY_MAX);
        if (statuses[index] == 0)
            which[used++] = (uint32_t) index;
    }
    return used;
}

//  Returns of how many of a window it is done. silent_p counts those that nobody was asked about.
static size_t s_tell_window (umbp_lane_t *lane, const umbp_key_t *keys, size_t count,
                             unsigned advice, int8_t *statuses, size_t *silent_p)
{
    uint32_t *which = umbp_lane_take (lane, count, sizeof *which);
    size_t used = s_choose (keys, count, which, statuses), done = 0;
    if (used > 0)
        s_tell (lane, keys, which, used, advice, statuses);
    for (size_t index = 0; index < count; index++) {
        done += statuses[index] == 0;
        *silent_p += umbp_is_silence (statuses[index]);
    }
    return done;
}

static int s_tell_all (umbp_t *self, const umbp_key_t *keys, size_t count, unsigned advice,
                       int8_t *statuses, uint32_t timeout_ms)
{
    umbp_lane_t *lane;
    if (!keys)
        return count ? UMBP_EINVAL : 0;
    int rc = umbp_pool_enter (self, timeout_ms, &lane);
    if (rc != 0) {
        if (statuses)
            memset (statuses, rc, count);
        return rc;
    }
    umbp_mark_t mark = umbp_lane_mark (lane);
    size_t done = 0, silent = 0;
    int8_t last = 0;
    for (size_t at = 0; at < count;) {
        size_t window = umbp_window (lane, keys + at, sizeof *keys, count - at);
        int8_t *part = statuses ? statuses + at : umbp_lane_take (lane, window, 1);
        done += s_tell_window (lane, keys + at, window, advice, part, &silent);
        last = part[window - 1];
        at += window;
        umbp_lane_rewind (lane, mark);
    }
    lane->stats.removes += advice ? 0 : count;
    umbp_pool_leave (self, &lane);
    return count > 0 && silent == count ? last : (int) done;
}

int umbp_remove_batch (umbp_t *self, const umbp_key_t *keys, size_t count, int8_t *statuses,
                       uint32_t timeout_ms)
{
    return s_tell_all (self, keys, count, 0, statuses, timeout_ms);
}

int umbp_advise (umbp_t *self, const umbp_key_t *keys, size_t count, umbp_advice_t advice,
                 int8_t *statuses, uint32_t timeout_ms)
{
    bool known = advice == UMBP_ADVISE_NEED || advice == UMBP_ADVISE_COLD;
    if (!known && statuses && count)
        memset (statuses, UMBP_EINVAL, count);
    return known ? s_tell_all (self, keys, count, advice, statuses, timeout_ms) : UMBP_EINVAL;
}

//  ------------------------------------------------------------------------------------------------
//  Clear

long umbp_clear (umbp_t *self, bool everywhere, uint32_t timeout_ms)
{
    umbp_lane_t *lane;
    int rc = umbp_pool_enter (self, timeout_ms, &lane);
    if (rc != 0)
        return rc;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_clear, 0);
    msg.clear.everywhere = everywhere;
    const umbp_answer_t *answer = umbp_wire_ask (lane, UMBP_WAY_ANY, "router", NULL, &msg, NULL, 0,
                                                 UMBP_MSG_clear_ok, lane->deadline_ms, &rc);
    long blocks = answer ? (long) answer->msg.clear_ok.blocks : rc;
    umbp_pool_leave (self, &lane);
    return blocks;
}

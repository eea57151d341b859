//  actors/tier/log_medium.c - a segment log as the medium of a depot; see log.h and medium.h
#include "actors/tier/log.h"

static int s_append (void *self, const umbp_medium_record_t *record, const struct iovec *data,
                     size_t count, uint32_t item, uint64_t tag)
{
    return umbp_log_append (self, record, data, count, item, tag);
}

static int s_read (void *self, uint64_t at, uint32_t offset, uint32_t length,
                   const struct iovec *data, size_t count, uint64_t tag)
{
    return umbp_log_read (self, at, offset, length, data, count, tag);
}

static int s_remove (void *self, uint64_t at)
{
    return umbp_log_remove (self, at);
}

static bool s_recovered (void *self, umbp_medium_record_t *record, uint64_t *at_p)
{
    return umbp_log_recovered (self, record, at_p);
}

static void s_set_item (void *self, uint64_t at, uint32_t item)
{
    umbp_log_set_item (self, at, item);
}

static void s_set_keep (void *self, umbp_medium_keep_fn *keep, void *arg)
{
    umbp_log_set_keep (self, keep, arg);
}

static void s_evict (void *self, uint64_t bytes)
{
    umbp_log_evict (self, bytes);
}

static size_t s_victims (void *self, umbp_medium_keep_fn *may_go, void *arg, size_t max,
                         uint32_t *items)
{
    return umbp_log_victims (self, may_go, arg, max, items);
}

static uint64_t s_evicting (const void *self)
{
    return umbp_log_evicting (self);
}

static uint64_t s_mark (void *self)
{
    return umbp_log_mark (self);
}

static bool s_is_past (const void *self, uint64_t mark)
{
    return umbp_log_is_past (self, mark);
}

static int s_fd (void *self)
{
    return umbp_log_fd (self);
}

static bool s_event (void *self, umbp_medium_event_t *event)
{
    return umbp_log_event (self, event);
}

static void s_tick (void *self, int64_t now_ms)
{
    umbp_log_tick (self, now_ms);
}

static umbp_medium_stats_t s_stats (const void *self)
{
    return umbp_log_stats (self);
}

static bool s_close (void *self)
{
    umbp_log_t *log = self;
    return umbp_log_close (&log);
}

umbp_medium_t umbp_log_medium (umbp_log_t **self_p)
{
    static const umbp_medium_calls_t calls = {
        .append = s_append, .read = s_read, .remove = s_remove, .recovered = s_recovered,
        .set_item = s_set_item, .set_keep = s_set_keep, .evict = s_evict, .evicting = s_evicting,
        .victims = s_victims,
        .mark = s_mark, .is_past = s_is_past, .fd = s_fd, .event = s_event, .tick = s_tick,
        .stats = s_stats, .close = s_close,
    };
    umbp_medium_t medium = { &calls, *self_p };
    *self_p = NULL;
    return medium;
}

//  actors/tier/shelf_medium.c - a shelf as the medium of a depot; see shelf.h and medium.h
#include "actors/tier/shelf.h"

static int s_append (void *self, const umbp_medium_record_t *record, const struct iovec *data,
                     size_t count, uint32_t item, uint64_t tag)
{
    return umbp_shelf_append (self, record, data, count, item, tag);
}

static int s_read (void *self, uint64_t at, uint32_t offset, uint32_t length,
                   const struct iovec *data, size_t count, uint64_t tag)
{
    return umbp_shelf_read (self, at, offset, length, data, count, tag);
}

static int s_remove (void *self, uint64_t at)
{
    return umbp_shelf_remove (self, at);
}

static bool s_recovered (void *self, umbp_medium_record_t *record, uint64_t *at_p)
{
    return umbp_shelf_recovered (self, record, at_p);
}

static void s_set_item (void *self, uint64_t at, uint32_t item)
{
    umbp_shelf_set_item (self, at, item);
}

static void s_set_keep (void *self, umbp_medium_keep_fn *keep, void *arg)
{
    umbp_shelf_set_keep (self, keep, arg);
}

static void s_evict (void *self, uint64_t bytes)
{
    umbp_shelf_evict (self, bytes);
}

static uint64_t s_evicting (const void *self)
{
    return umbp_shelf_evicting (self);
}

static uint64_t s_mark (void *self)
{
    return umbp_shelf_mark (self);
}

static bool s_is_past (const void *self, uint64_t mark)
{
    return umbp_shelf_is_past (self, mark);
}

static int s_fd (void *self)
{
    return umbp_shelf_fd (self);
}

static bool s_event (void *self, umbp_medium_event_t *event)
{
    return umbp_shelf_event (self, event);
}

static void s_tick (void *self, int64_t now_ms)
{
    umbp_shelf_tick (self, now_ms);
}

static umbp_medium_stats_t s_stats (const void *self)
{
    return umbp_shelf_stats (self);
}

static bool s_close (void *self)
{
    umbp_shelf_t *shelf = self;
    return umbp_shelf_close (&shelf);
}

static const umbp_medium_calls_t s_calls = {
    .append = s_append, .read = s_read, .remove = s_remove, .recovered = s_recovered,
    .set_item = s_set_item, .set_keep = s_set_keep, .evict = s_evict, .evicting = s_evicting,
    .mark = s_mark, .is_past = s_is_past, .fd = s_fd, .event = s_event, .tick = s_tick,
    .stats = s_stats, .close = s_close,
};

umbp_medium_t umbp_shelf_medium (umbp_shelf_t **self_p)
{
    umbp_medium_t medium = { &s_calls, *self_p };
    *self_p = NULL;
    return medium;
}

umbp_shelf_t *umbp_shelf_of (const umbp_medium_t *medium)
{
    return medium->calls == &s_calls ? medium->self : NULL;
}

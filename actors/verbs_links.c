//  actors/verbs_links.c - the owner's end of RDMA. See verbs_links.h.
#include "actors/verbs_links.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/bulk/clock.h"
#include "cluster/bulk/tcp_auth.h"
#include "proto/error.h"

//  A block that is open to a link
typedef struct opening {
    struct opening *next;
    uint64_t token;
    uint32_t item;
    bool write;
    bool marked;                        //  To be ended
    int rc;                             //  While it is opened
    size_t first;                       //  Its first part, then
    umbp_card_t *card;                  //  Held at the bulk server until all is closed
    size_t count;
    umbp_verbs_window_t *windows[];
} opening_t;

typedef struct {
    uint64_t number, session;           //  number 0: free
    char user[UMBP_NAME_MAX + 4];
    umbp_verbs_link_t *link;
    size_t queues, windows;
    opening_t *openings;
    int64_t used_ms;
} seat_t;

struct umbp_verbs_links {
    umbp_verbs_links_args_t args;
    umbp_piece_t memory[UMBP_REGIONS_MAX];
    umbp_verbs_region_t *regions[UMBP_REGIONS_MAX];
    seat_t seats[UMBP_VERBS_LINKS_MAX];
    umbp_verbs_window_t *closing[UMBP_VERBS_WINDOWS_MAX];
    umbp_verbs_part_t parts[UMBP_WINDOWS_MAX];     //  Of a message
    size_t part_count;
    opening_t *asked[UMBP_BATCH_MAX];   //  By block; NULL: it was refused
    umbp_verbs_links_stats_t stats;
};

//  --------------------------------------------------------------------------------------------------
//  Closing

//  Close the windows of all blocks of a list. Returns false if the device did not say that it did: then
//  only the end of the link is a fence.
static bool s_close (umbp_verbs_links_t *self, seat_t *seat, opening_t *list)
{
    umbp_verbs_window_t **windows = self->closing;
    size_t count = 0;
    for (opening_t *opening = list; opening; opening = opening->next) {
        assert (count + opening->count <= UMBP_VERBS_WINDOWS_MAX);
        memcpy (windows + count, opening->windows, opening->count * sizeof *windows);
        count += opening->count;
        opening->count = 0;
    }
    seat->windows -= count;
    self->stats.windows -= count;
    return count == 0 || self->args.api->windows_destroy (windows, count) == 0;
}

static void s_free (umbp_verbs_links_t *self, opening_t *list)
{
    while (list) {
        opening_t *opening = list;
        list = opening->next;
        umbp_bulk_server_let_go (self->args.bulk, &opening->card);
        free (opening);
    }
}

//  The fence: windows, then the link, and only then what is held is let go of
static void s_end (umbp_verbs_links_t *self, seat_t *seat)
{
    s_close (self, seat, seat->openings);
    self->args.api->link_destroy (&seat->link);
    s_free (self, seat->openings);
    self->stats.links--;
    *seat = (seat_t) { 0 };
}

static bool s_is_whole (umbp_verbs_links_t *self, seat_t *seat)
{
    return self->args.api->link_alive (seat->link) == seat->queues;
}

//  Close what is marked, or end the link where only that is a fence. Returns false if the link is gone.
static bool s_end_marked (umbp_verbs_links_t *self, seat_t *seat, bool clean)
{
    opening_t *ended = NULL;
    bool fence = false;
    clean = clean && s_is_whole (self, seat);
    for (opening_t *opening = seat->openings; opening; opening = opening->next)
        fence |= opening->marked && opening->write && !clean;
    if (fence) {
        self->stats.fenced++;
        s_end (self, seat);
        return false;
    }
    for (opening_t **at = &seat->openings; *at;) {
        opening_t *opening = *at;
        if (!opening->marked) {
            at = &opening->next;
            continue;
        }
        *at = opening->next;
        opening->next = ended;
        ended = opening;
    }
    bool closed = s_close (self, seat, ended);
    if (!closed) {
        self->stats.fenced++;
        s_end (self, seat);
    }
    s_free (self, ended);
    return closed;
}

void umbp_verbs_links_cut (umbp_verbs_links_t *self)
{
    for (size_t index = 0; index < UMBP_VERBS_LINKS_MAX; index++) {
        seat_t *seat = &self->seats[index];
        size_t cut = 0;
        for (opening_t *opening = seat->openings; opening; opening = opening->next) {
            opening->marked = umbp_bulk_server_is_cut (self->args.bulk, opening->card);
            cut += opening->marked;
        }
        self->stats.revoked += cut;
        if (cut)
            s_end_marked (self, seat, false);
    }
}

void umbp_verbs_links_tidy (umbp_verbs_links_t *self)
{
    int64_t now_ms = umbp_clock_ms ();
    for (size_t index = 0; index < UMBP_VERBS_LINKS_MAX; index++) {
        seat_t *seat = &self->seats[index];
        if (seat->number == 0)
            continue;
        bool broken = self->args.api->link_alive (seat->link) == 0;
        bool idle = !seat->openings && now_ms - seat->used_ms >= self->args.idle_ms;
        self->stats.broken += broken;
        self->stats.idle += idle && !broken;
        if (broken || idle)
            s_end (self, seat);
    }
}

//  --------------------------------------------------------------------------------------------------
//  Links

static seat_t *s_find (const umbp_verbs_links_t *self, uint64_t number, const char *user)
{
    for (size_t index = 0; number && index < UMBP_VERBS_LINKS_MAX; index++) {
        const seat_t *seat = &self->seats[index];
        if (seat->number == number && strcmp (seat->user, user) == 0)
            return (seat_t *) seat;
    }
    return NULL;
}

//  The link that the session has, which ends; else a free place; else that of the link which nothing is
//  open to for longest. NULL if all are in use.
static seat_t *s_place (umbp_verbs_links_t *self, uint64_t session)
{
    seat_t *best = NULL;
    for (size_t index = 0; index < UMBP_VERBS_LINKS_MAX; index++) {
        seat_t *seat = &self->seats[index];
        if (seat->number && seat->session == session) {
            best = seat;
            break;
        }
        if (!seat->openings && (!best || seat->used_ms < best->used_ms))
            best = seat;                //  A free one was never used
    }
    if (best && best->number)
        s_end (self, best);
    return best;
}

int umbp_verbs_links_join (umbp_verbs_links_t *self, uint64_t session, const char *user,
                           const umbp_verbs_description_t *peer, uint64_t *number_p,
                           umbp_verbs_description_t *own)
{
    const umbp_verbs_api_t *api = self->args.api;
    if (!umbp_bulk_server_is_live (self->args.bulk, session))
        return UMBP_ESTALE;
    seat_t *seat = s_place (self, session);
    if (!seat)
        return UMBP_EAGAIN;
    int rc = 0;
    umbp_verbs_link_t *link = api->link_new (
        self->args.verbs, peer->count, UMBP_VERBS_READ | UMBP_VERBS_WRITE | UMBP_VERBS_ALONE, &rc);
    if (!link)
        return rc;
    rc = api->link_connect (link, peer);
    if (rc != 0) {
        api->link_destroy (&link);
        return rc;
    }
    *seat = (seat_t){ .session = session,
                      .link = link,
                      .queues = peer->count,
                       .used_ms = umbp_clock_ms () };
    while (seat->number == 0)
        umbp_bulk_auth_draw ((uint8_t *) &seat->number, sizeof seat->number);
    snprintf (seat->user, sizeof seat->user, "%s", user);
    api->link_describe (link, own);
    self->stats.links++;
    self->stats.joined++;
    *number_p = seat->number;
    return 0;
}

void umbp_verbs_links_leave (umbp_verbs_links_t *self, uint64_t number, const char *user)
{
    seat_t *seat = s_find (self, number, user);
    if (seat)
        s_end (self, seat);
}

size_t umbp_verbs_links_queues (const umbp_verbs_links_t *self, uint64_t number, const char *user)
{
    const seat_t *seat = s_find (self, number, user);
    return seat ? seat->queues : 0;
}

//  --------------------------------------------------------------------------------------------------
//  Blocks

//  Which region a span lies in
static size_t s_region (const umbp_verbs_links_t *self, const umbp_piece_t *span)
{
    size_t index = 0;
    while ((const char *) span->base < (const char *) self->memory[index].base
           || (const char *) span->base
                  >= (const char *) self->memory[index].base + self->memory[index].size)
        index++;
    assert (index < self->args.region_count);
    return index;
}

static bool s_is_open (const seat_t *seat, uint64_t token, uint32_t item)
{
    const opening_t *opening = seat->openings;
    while (opening && (opening->token != token || opening->item != item))
        opening = opening->next;
    return opening != NULL;
}

//  Hold a block, and list its parts. Returns 0 or an error.
static int s_hold (umbp_verbs_links_t *self, seat_t *seat, uint64_t token, uint32_t item,
                   bool write, size_t max, opening_t **opening_p)
{
    umbp_piece_t spans[UMBP_VERBS_SPANS_MAX];
    umbp_card_t *card = NULL;
    size_t room = UMBP_VERBS_WINDOWS_MAX - seat->windows - self->part_count;
    room = room < max - self->part_count ? room : max - self->part_count;
    if (s_is_open (seat, token, item))
        return UMBP_EAGAIN;
    int count =
        umbp_bulk_server_hold (self->args.bulk, seat->session, token, item, write, &card, spans,
                               room < UMBP_VERBS_SPANS_MAX ? room : UMBP_VERBS_SPANS_MAX);
    if (count < 0)
        return count == UMBP_ETOOBIG ? UMBP_EAGAIN : count;
    opening_t *opening = calloc (1, sizeof *opening + (size_t) count * sizeof *opening->windows);
    assert (opening);
    *opening = (opening_t) { .next = seat->openings,
                             .token = token,
                             .item = item,
                             .write = write,
                             .first = self->part_count,
                             .card = card };
    seat->openings = *opening_p = opening;
    for (int index = 0; index < count; index++) {
        size_t region = s_region (self, &spans[index]);
        self->parts[self->part_count++] = (umbp_verbs_part_t) {
            .region = self->regions[region],
            .offset = (uint64_t) ((const char *) spans[index].base
                                  - (const char *) self->memory[region].base),
            .bytes = spans[index].size,
            .right = write ? UMBP_VERBS_WRITE : UMBP_VERBS_READ,
        };
        opening->count++;
    }
    return 0;
}

//  Take the windows that were made; one that lacks some is to be ended
static void s_take (umbp_verbs_links_t *self, seat_t *seat, opening_t *opening)
{
    size_t count = opening->count;
    opening->count = 0;
    for (size_t index = opening->first; index < opening->first + count; index++) {
        const umbp_verbs_part_t *part = &self->parts[index];
        if (part->window) {
            opening->windows[opening->count++] = part->window;
            self->stats.exposed_bytes += part->bytes;
        } else
            opening->rc = part->rc;
    }
    seat->windows += opening->count;
    self->stats.windows += opening->count;
    opening->marked = opening->rc != 0;
}

static void s_row (umbp_verbs_links_t *self, const opening_t *opening, size_t index,
                   umbp_verbs_row_t *row)
{
    const umbp_verbs_part_t *part = &self->parts[opening->first + index];
    umbp_verbs_memory_t memory;
    size_t region = 0;
    while (self->regions[region] != part->region)
        region++;
    self->args.api->window_describe (part->window, &memory);
    row->extent = (umbp_extent_t) {
        .region = (uint16_t) region,
        .page = (uint32_t) (part->offset / self->args.page_size),
        .count = (uint32_t) (part->bytes / self->args.page_size),
    };
    memcpy (row->keys, memory.keys, sizeof row->keys);
}

//  Windows for all that is held. Returns false if the link is gone with that.
static bool s_open (umbp_verbs_links_t *self, seat_t *seat, int8_t *statuses, size_t count)
{
    bool whole = true;
    self->args.api->windows_new (seat->link, self->parts, self->part_count);
    for (size_t index = 0; index < count; index++) {
        opening_t *opening = self->asked[index];
        if (!opening)
            continue;
        s_take (self, seat, opening);
        statuses[index] = (int8_t) opening->rc;
        if (opening->rc != 0)
            self->asked[index] = NULL;
        whole &= opening->rc == 0;
    }
    return whole || s_end_marked (self, seat, true);         //  Nobody was told their keys
}

int umbp_verbs_links_expose (umbp_verbs_links_t *self, uint64_t number, const char *user,
                             const umbp_verbs_ask_t *ask, umbp_verbs_row_t *rows, size_t max,
                             int8_t *statuses, uint16_t *counts)
{
    seat_t *seat = s_find (self, number, user);
    size_t count = ask->tokens.count;
    int used = 0;
    if (!seat)
        return UMBP_ENOENT;
    assert (count <= UMBP_BATCH_MAX && max <= UMBP_WINDOWS_MAX);
    seat->used_ms = umbp_clock_ms ();
    self->part_count = 0;
    for (size_t index = 0; index < count; index++) {
        self->asked[index] = NULL;
        statuses[index] = (int8_t) s_hold (self, seat, umbp_u64s_at (ask->tokens, index),
                                           umbp_u32s_at (ask->items, index), ask->write, max,
                                           &self->asked[index]);
    }
    bool there = s_open (self, seat, statuses, count);
    for (size_t index = 0; index < count; index++) {
        const opening_t *opening = there ? self->asked[index] : NULL;
        if (!there && statuses[index] == 0)
            statuses[index] = UMBP_ECLOSED;
        counts[index] = opening ? (uint16_t) opening->count : 0;
        for (size_t row = 0; row < counts[index]; row++)
            s_row (self, opening, row, &rows[used++]);
        self->stats.exposed += opening != NULL;
        self->stats.refused += opening == NULL;
    }
    return used;
}

void umbp_verbs_links_conceal (umbp_verbs_links_t *self, uint64_t number, const char *user,
                               uint64_t token, bool clean)
{
    seat_t *seat = s_find (self, number, user);
    size_t count = 0;
    for (opening_t *opening = seat ? seat->openings : NULL; opening; opening = opening->next) {
        opening->marked = opening->token == token;
        count += opening->marked;
    }
    if (count)
        s_end_marked (self, seat, clean);
}

//  --------------------------------------------------------------------------------------------------
//  Life

umbp_verbs_links_t *umbp_verbs_links_new (const umbp_verbs_links_args_t *args, int *rc_p)
{
    assert (args->region_count <= UMBP_REGIONS_MAX);
    umbp_verbs_links_t *self = calloc (1, sizeof *self);
    assert (self);
    self->args = *args;
    self->args.regions = NULL;
    *rc_p = 0;
    for (size_t index = 0; index < args->region_count && *rc_p == 0; index++) {
        self->memory[index] = args->regions[index];
        self->regions[index] =
            args->api->region_new (args->verbs, args->regions[index].base,
                                   args->regions[index].size, UMBP_VERBS_KEEP, rc_p);
    }
    if (*rc_p != 0)
        umbp_verbs_links_destroy (&self);
    return self;
}

void umbp_verbs_links_destroy (umbp_verbs_links_t **self_p)
{
    umbp_verbs_links_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < UMBP_VERBS_LINKS_MAX; index++)
        if (self->seats[index].number)
            s_end (self, &self->seats[index]);
    for (size_t index = 0; index < UMBP_REGIONS_MAX; index++)
        if (self->regions[index])
            self->args.api->region_destroy (&self->regions[index]);
    self->args.api->close (&self->args.verbs);
    free (self);
    *self_p = NULL;
}

size_t umbp_verbs_links_regions (const umbp_verbs_links_t *self, uint64_t *bases, uint64_t *sizes)
{
    for (size_t index = 0; index < self->args.region_count; index++) {
        bases[index] = (uintptr_t) self->memory[index].base;
        sizes[index] = self->memory[index].size;
    }
    return self->args.region_count;
}

umbp_verbs_links_stats_t umbp_verbs_links_stats (const umbp_verbs_links_t *self)
{
    return self->stats;
}

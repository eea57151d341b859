//  cluster/bulk/tcp_grant.c - what a token allows. See tcp_grant.h.
#include "cluster/bulk/tcp_grant.h"

#include "cluster/slab.h"
#include "proto/error.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct umbp_grants {
    umbp_slab_t *slab;                  //  Of cards
    umbp_card_t **buckets;
    umbp_card_t **kin;                  //  The same cards, by their sessions
    size_t bucket_count;                //  A power of two, of both
    size_t count, cards_max;
    size_t bytes, bytes_max;
    uint32_t page_size;
    size_t region_count;
    umbp_piece_t regions[];
};

umbp_grants_t *umbp_grants_new (const umbp_piece_t *regions, size_t region_count,
                                uint32_t page_size, size_t cards_max, size_t bytes_max)
{
    assert (page_size > 0 && cards_max > 0);
    umbp_grants_t *self = calloc (1, sizeof *self + region_count * sizeof *regions);
    assert (self);
    self->bucket_count = 64;
    while (self->bucket_count < cards_max * 2)
        self->bucket_count *= 2;
    self->buckets = calloc (self->bucket_count, sizeof *self->buckets);
    self->kin = calloc (self->bucket_count, sizeof *self->kin);
    self->slab = umbp_slab_new ();
    assert (self->buckets && self->kin && self->slab);
    self->cards_max = cards_max;
    self->bytes_max = bytes_max;
    self->page_size = page_size;
    self->region_count = region_count;
    for (size_t index = 0; index < region_count; index++)
        self->regions[index] = regions[index];
    return self;
}

void umbp_grants_destroy (umbp_grants_t **self_p)
{
    assert (self_p);
    umbp_grants_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < self->bucket_count; index++)
        for (umbp_card_t *card = self->buckets[index], *next; card; card = next) {
            next = card->next;
            umbp_slab_give (self->slab, card, card->bytes);
        }
    umbp_slab_destroy (&self->slab);
    free (self->buckets);
    free (self->kin);
    free (self);
    *self_p = NULL;
}

static size_t s_place (const umbp_grants_t *self, uint64_t number)
{
    number *= UINT64_C (0x9e3779b97f4a7c15);
    return (number >> 32) & (self->bucket_count - 1);
}

static umbp_card_t **s_bucket (umbp_grants_t *self, uint64_t token)
{
    return &self->buckets[s_place (self, token)];
}

umbp_card_t *umbp_grants_find (umbp_grants_t *self, uint64_t token)
{
    umbp_card_t *card = *s_bucket (self, token);
    while (card && card->token != token)
        card = card->next;
    return card;
}

bool umbp_grants_has_live (const umbp_grants_t *self, uint64_t session, int64_t now_ms)
{
    const umbp_card_t *card = self->kin[s_place (self, session)];
    while (card && (card->session != session || card->revoked || now_ms >= card->deadline_ms))
        card = card->kin;
    return card != NULL;
}

static void s_join_kin (umbp_grants_t *self, umbp_card_t *card)
{
    card->kin_at = &self->kin[s_place (self, card->session)];
    card->kin = *card->kin_at;
    if (card->kin)
        card->kin->kin_at = &card->kin;
    *card->kin_at = card;
}

static void s_leave_kin (umbp_card_t *card)
{
    *card->kin_at = card->kin;
    if (card->kin)
        card->kin->kin_at = card->kin_at;
}

static bool s_extent_is_inside (const umbp_grants_t *self, const umbp_extent_t *extent)
{
    if (extent->region >= self->region_count || extent->count == 0)
        return false;
    uint64_t room = self->regions[extent->region].size;
    uint64_t offset = umbp_extent_offset (extent, self->page_size);
    return offset <= room && umbp_extent_size (extent, self->page_size) <= room - offset;
}

//  Count the extents of a grant. Returns 0, or UMBP_EINVAL if one of them is wrong.
static int s_check (const umbp_grants_t *self, const umbp_grant_t *grant, size_t *extents_p)
{
    *extents_p = 0;
    for (uint32_t index = 0; index < grant->item_count; index++) {
        const umbp_grant_item_t *item = &grant->items[index];
        for (uint32_t at = 0; at < item->extent_count; at++)
            if (!s_extent_is_inside (self, &item->extents[at]))
                return UMBP_EINVAL;
        if (!umbp_extents_fit (item->extents, item->extent_count, self->page_size, item->size))
            return UMBP_EINVAL;
        *extents_p += item->extent_count;
    }
    return grant->item_count > 0 ? 0 : UMBP_EINVAL;
}

static umbp_piece_t *s_spans (const umbp_card_t *card)
{
    return (umbp_piece_t *) &card->items[card->item_count];
}

//  Write an item's extents as spans of addresses; extents that touch become one. Returns the spans.
static size_t s_lay_out (const umbp_grants_t *self, const umbp_grant_item_t *item,
                         umbp_piece_t *spans)
{
    size_t count = 0;
    for (uint32_t index = 0; index < item->extent_count; index++) {
        const umbp_extent_t *extent = &item->extents[index];
        char *base = (char *) self->regions[extent->region].base
                     + umbp_extent_offset (extent, self->page_size);
        size_t size = umbp_extent_size (extent, self->page_size);
        if (count && (char *) spans[count - 1].base + spans[count - 1].size == base)
            spans[count - 1].size += size;
        else
            spans[count++] = (umbp_piece_t) { base, size };
    }
    return count;
}

int umbp_grants_add (umbp_grants_t *self, const umbp_grant_t *grant)
{
    size_t extents;
    if (s_check (self, grant, &extents) != 0)
        return UMBP_EINVAL;
    if (umbp_grants_find (self, grant->token))
        return UMBP_EEXIST;
    umbp_card_t *card = NULL;
    size_t bytes =
        sizeof *card + grant->item_count * sizeof *card->items + extents * sizeof (umbp_piece_t);
    if (self->count == self->cards_max || bytes > self->bytes_max - self->bytes)
        return UMBP_EAGAIN;
    card = umbp_slab_take (self->slab, bytes);
    if (!card)
        return UMBP_EAGAIN;
    umbp_card_t **bucket = s_bucket (self, grant->token);
    *card = (umbp_card_t) {
        .next = *bucket,
        .token = grant->token,
        .session = grant->session,
        .deadline_ms = grant->deadline_ms,
        .write = grant->write,
        .item_count = grant->item_count,
        .bytes = bytes,
    };
    size_t span = 0;
    for (uint32_t index = 0; index < grant->item_count; index++) {
        card->items[index].size = grant->items[index].size;
        card->items[index].span = span;
        span += s_lay_out (self, &grant->items[index], s_spans (card) + span);
    }
    *bucket = card;
    s_join_kin (self, card);
    self->count++;
    self->bytes += bytes;
    return 0;
}

void umbp_grants_remove (umbp_grants_t *self, umbp_card_t *card)
{
    umbp_card_t **at = s_bucket (self, card->token);
    while (*at != card)
        at = &(*at)->next;
    *at = card->next;
    s_leave_kin (card);
    self->count--;
    self->bytes -= card->bytes;
    umbp_slab_give (self->slab, card, card->bytes);
}

size_t umbp_grants_count (const umbp_grants_t *self)
{
    return self->count;
}

int umbp_card_judge (const umbp_card_t *self, uint64_t session, const umbp_bulk_request_t *request,
                     int64_t now_ms, umbp_cursor_t *cursor)
{
    if (self->session != session || self->write != (request->op == UMBP_BULK_WRITE)
        || request->item >= self->item_count)
        return UMBP_EDENIED;
    uint64_t size = self->items[request->item].size;
    if (request->offset > size || request->size > size - request->offset)
        return UMBP_EDENIED;
    if (self->revoked || now_ms >= self->deadline_ms)
        return UMBP_ESTALE;
    umbp_cursor_set (cursor, s_spans (self) + self->items[request->item].span, request->offset,
                     request->size);
    return 0;
}

int umbp_card_spans (const umbp_card_t *self, uint64_t session, uint32_t item, bool write,
                     int64_t now_ms, umbp_piece_t *spans, size_t max)
{
    umbp_bulk_request_t request = { .op = write ? UMBP_BULK_WRITE : UMBP_BULK_READ, .item = item };
    umbp_cursor_t cursor;
    int rc = umbp_card_judge (self, session, &request, now_ms, &cursor);
    if (rc != 0)
        return rc;
    const umbp_piece_t *from = s_spans (self) + self->items[item].span;
    size_t count = 0;
    for (uint64_t size = 0; size < self->items[item].size; count++) {
        if (count == max)
            return UMBP_ETOOBIG;
        spans[count] = from[count];
        size += from[count].size;
    }
    return (int) count;
}

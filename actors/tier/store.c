//  actors/tier/store.c - the blocks of one memory tier.
#include "actors/tier/store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "actors/tier/order.h"
#include "actors/tier/pages.h"
#include "cluster/slab.h"
#include "proto/error.h"
#include "proto/key.h"
#include "proto/scope.h"
#include "proto/splitmix.h"

#define NONE UMBP_STORE_NONE
#define ITEMS_MIN 1024

struct umbp_store {
    umbp_pages_t *pages;
    umbp_order_t *order;
    umbp_tenants_t *tenants;
    umbp_block_t *blocks;
    umbp_slab_t *slab;                  //  Of their keys and extents
    uint32_t capacity, reach;           //  Items there is room for, items ever used
    uint32_t free_head, slot_head;
    uint32_t *buckets;                  //  First item by fingerprint
    uint32_t bucket_mask;
    umbp_journal_t *journal;            //  NULL: none
    umbp_board_t *board;                //  NULL: none
    char home[UMBP_NAME_MAX + 1];       //  The tenant whose blocks it shows
    uint64_t seed, token_state;
    uint64_t live, slots, doomed;
};

umbp_store_t *umbp_store_new (uint32_t page_size, const uint32_t *pages_per_region, size_t regions,
                              uint64_t seed)
{
    umbp_store_t *self = calloc (1, sizeof (umbp_store_t));
    assert (self);
    self->pages = umbp_pages_new (page_size, pages_per_region, regions);
    if (!self->pages) {
        free (self);
        return NULL;
    }
    self->seed = seed;
    self->tenants = umbp_tenants_new ();
    self->free_head = self->slot_head = NONE;
    uint32_t buckets = ITEMS_MIN;
    while (buckets < umbp_pages_total_count (self->pages) && buckets < 1u << 31)
        buckets *= 2;
    self->bucket_mask = buckets - 1;
    self->buckets = malloc (buckets * sizeof (uint32_t));
    self->order = umbp_order_new (0);
    self->slab = umbp_slab_new ();
    assert (self->buckets && self->order && self->slab);
    memset (self->buckets, 0xff, buckets * sizeof (uint32_t));
    if (getrandom (&self->token_state, sizeof self->token_state, 0) != sizeof self->token_state)
        self->token_state = (uint64_t) (uintptr_t) self;
    return self;
}

//  Key and extents lie together
static void s_give_names (umbp_store_t *self, const umbp_block_t *block)
{
    umbp_slab_give (self->slab, block->extents,
                    block->extent_count * sizeof *block->extents + block->key_size);
}

void umbp_store_destroy (umbp_store_t **self_p)
{
    umbp_store_t *self = *self_p;
    if (!self)
        return;
    for (uint32_t item = 0; item < self->reach; item++)
        s_give_names (self, &self->blocks[item]);
    umbp_slab_destroy (&self->slab);
    free (self->blocks);
    free (self->buckets);
    umbp_order_destroy (&self->order);
    umbp_tenants_destroy (&self->tenants);
    umbp_pages_destroy (&self->pages);
    free (self);
    *self_p = NULL;
}

void umbp_store_set_board (umbp_store_t *self, umbp_board_t *board, const char *home)
{
    self->board = board;
    snprintf (self->home, sizeof self->home, "%s", home);
}

//  --------------------------------------------------------------------------------------------------
//  Items

static uint32_t s_item_new (umbp_store_t *self)
{
    uint32_t item = self->free_head;
    if (item != NONE) {
        self->free_head = self->blocks[item].next;
        return item;
    }
    if (self->reach == self->capacity) {
        self->capacity = self->capacity ? self->capacity * 2 : ITEMS_MIN;
        self->blocks = realloc (self->blocks, self->capacity * sizeof (umbp_block_t));
        assert (self->blocks);
        umbp_order_resize (self->order, self->capacity);
    }
    return self->reach++;
}

//  Tokens are secrets: 32 bits nobody can guess over the item's number. Never 0.
static uint64_t s_token (umbp_store_t *self, uint32_t item)
{
    return umbp_splitmix (&self->token_state) << 32 | (item + 1);
}

static uint32_t *s_bucket (const umbp_store_t *self, const umbp_fingerprint_t *print)
{
    return &self->buckets[print->lo & self->bucket_mask];
}

static void s_slot_link (umbp_store_t *self, uint32_t item)
{
    umbp_block_t *block = &self->blocks[item];
    block->slot_before = NONE;
    block->slot_after = self->slot_head;
    if (self->slot_head != NONE)
        self->blocks[self->slot_head].slot_before = item;
    self->slot_head = item;
    self->slots++;
}

static void s_slot_unlink (umbp_store_t *self, uint32_t item)
{
    umbp_block_t *block = &self->blocks[item];
    if (block->slot_before != NONE)
        self->blocks[block->slot_before].slot_after = block->slot_after;
    else
        self->slot_head = block->slot_after;
    if (block->slot_after != NONE)
        self->blocks[block->slot_after].slot_before = block->slot_before;
    self->slots--;
}

static void s_unlink_key (umbp_store_t *self, uint32_t item)
{
    uint32_t *link = s_bucket (self, &self->blocks[item].print);
    while (*link != item)
        link = &self->blocks[*link].next;
    *link = self->blocks[item].next;
}

static void s_write_down (umbp_store_t *self, umbp_event_t kind, uint16_t tenant, uint64_t bytes)
{
    if (self->journal)
        umbp_journal_add (self->journal, kind, umbp_tenants_at (self->tenants, tenant)->name,
                          bytes);
}

//  Give the pages back; the item may be used again
static void s_free (umbp_store_t *self, uint32_t item)
{
    umbp_block_t *block = &self->blocks[item];
    umbp_tenants_refund (self->tenants, block->tenant, umbp_store_bytes (self, block->size));
    s_write_down (self, UMBP_EVENT_FREE, block->tenant, umbp_store_bytes (self, block->size));
    for (size_t index = 0; index < block->extent_count; index++) {
        int rc = umbp_pages_give (self->pages, &block->extents[index]);
        assert (rc == 0);               //  They are ours, by their generation
    }
    s_give_names (self, block);
    *block = (umbp_block_t) { .next = self->free_head };
    self->free_head = item;
}

//  --------------------------------------------------------------------------------------------------
//  The life of a block

static uint32_t s_find (const umbp_store_t *self, const umbp_fingerprint_t *print, const void *key,
                        size_t key_size)
{
    for (uint32_t item = *s_bucket (self, print); item != NONE; item = self->blocks[item].next) {
        const umbp_block_t *block = &self->blocks[item];
        if (block->print.lo == print->lo && block->print.hi == print->hi
            && block->key_size == key_size && memcmp (block->key, key, key_size) == 0)
            return item;
    }
    return NONE;
}

uint32_t umbp_store_find (const umbp_store_t *self, const void *key, size_t key_size)
{
    umbp_fingerprint_t print = umbp_fingerprint (key, key_size, self->seed);
    return s_find (self, &print, key, key_size);
}

int umbp_store_reserve (umbp_store_t *self, const void *key, size_t key_size, uint32_t size,
                        uint16_t depth, uint32_t *item_p)
{
    if (size == 0)
        return UMBP_EINVAL;
    umbp_fingerprint_t print = umbp_fingerprint (key, key_size, self->seed);
    uint32_t known = s_find (self, &print, key, key_size);
    if (known != NONE) {
        *item_p = known;
        return UMBP_EEXIST;
    }
    umbp_extent_t extents[UMBP_STORE_EXTENTS_MAX];
    uint64_t pages = umbp_extent_page_count (size, umbp_pages_page_size (self->pages));
    if (pages > umbp_pages_total_count (self->pages))
        return UMBP_ENOSPC;
    uint64_t bytes = umbp_store_bytes (self, size);
    uint16_t tenant = umbp_tenants_row (self->tenants, umbp_scope_tenant (key, key_size));
    if (tenant == UMBP_TENANT_NONE || umbp_tenants_excess (self->tenants, tenant, bytes) > 0)
        return UMBP_EQUOTA;
    int count = umbp_pages_take (self->pages, (uint32_t) pages, extents, UMBP_STORE_EXTENTS_MAX);
    if (count < 0)
        return count;
    umbp_tenants_charge (self->tenants, tenant, bytes);
    s_write_down (self, UMBP_EVENT_ALLOC, tenant, bytes);

    uint32_t item = s_item_new (self);
    umbp_block_t *block = &self->blocks[item];
    size_t extent_bytes = (size_t) count * sizeof *extents;
    uint8_t *memory = umbp_slab_take (self->slab, extent_bytes + key_size);
    assert (memory);
    memcpy (memory, extents, extent_bytes);
    memcpy (memory + extent_bytes, key, key_size);
    *block = (umbp_block_t){ .key = memory + extent_bytes,
                             .extents = (umbp_extent_t *) memory,
                              .extent_count = (uint16_t) count, .key_size = (uint16_t) key_size,
                              .print = print, .size = size, .depth = depth, .next = NONE,
                              .tenant = tenant,
                              .token = s_token (self, item), .state = UMBP_BLOCK_SLOT };
    s_slot_link (self, item);
    *item_p = item;
    return 0;
}

uint32_t umbp_store_slot (const umbp_store_t *self, uint64_t token)
{
    uint32_t item = (uint32_t) token - 1;
    bool there = item < self->reach && self->blocks[item].state == UMBP_BLOCK_SLOT
                 && self->blocks[item].token == token;
    return there ? item : NONE;
}

uint32_t umbp_store_slots (const umbp_store_t *self)
{
    return self->slot_head;
}

//  The board is for clients at the doors, who are all of one tenant
static bool s_is_shown (const umbp_store_t *self, const umbp_block_t *block)
{
    return self->board
           && umbp_text_is (umbp_scope_tenant (block->key, block->key_size), self->home);
}

//  Readers of this host may see a live block
static void s_show (umbp_store_t *self, uint32_t item)
{
    const umbp_block_t *block = &self->blocks[item];
    if (!s_is_shown (self, block) || block->extent_count > UMBP_BOARD_EXTENTS_MAX)
        return;
    umbp_notice_t notice = { .item = item,
                             .size = block->size, .sum = block->sum,
                             .extent_count = block->extent_count };
    memcpy (notice.extents, block->extents, block->extent_count * sizeof *block->extents);
    umbp_bytes_t key = umbp_scope_bare (block->key, block->key_size);
    umbp_board_add (self->board, key.data, key.size, &notice);
}

int umbp_store_commit (umbp_store_t *self, uint32_t item, uint64_t sum, uint64_t tick)
{
    umbp_block_t *block = &self->blocks[item];
    assert (block->state == UMBP_BLOCK_SLOT);
    if (s_find (self, &block->print, block->key, block->key_size) != NONE) {
        umbp_store_drop (self, item);
        return UMBP_EEXIST;
    }
    s_slot_unlink (self, item);
    uint32_t *bucket = s_bucket (self, &block->print);
    block->next = *bucket;
    *bucket = item;
    block->sum = sum;
    block->state = UMBP_BLOCK_LIVE;
    self->live++;
    umbp_order_touch (self->order, item, block->depth, tick);
    umbp_tenants_touch (self->tenants, block->tenant, item, block->depth, tick);
    s_show (self, item);
    return 0;
}

bool umbp_store_drop (umbp_store_t *self, uint32_t item)
{
    umbp_block_t *block = &self->blocks[item];
    assert (block->state == UMBP_BLOCK_SLOT || block->state == UMBP_BLOCK_LIVE);
    if (block->state == UMBP_BLOCK_SLOT)
        s_slot_unlink (self, item);
    else {
        umbp_bytes_t key = umbp_scope_bare (block->key, block->key_size);
        if (s_is_shown (self, block))
            umbp_board_drop (self->board, key.data, key.size);
        s_unlink_key (self, item);
        umbp_order_remove (self->order, item);
        umbp_tenants_leave (self->tenants, block->tenant, item);
        self->live--;
    }
    block->state = UMBP_BLOCK_DOOMED;
    if (block->holds > 0) {
        umbp_tenants_at (self->tenants, block->tenant)->doomed +=
            umbp_store_bytes (self, block->size);
        self->doomed++;
        return false;
    }
    s_free (self, item);
    return true;
}

void umbp_store_hold (umbp_store_t *self, uint32_t item)
{
    assert (self->blocks[item].state != UMBP_BLOCK_FREE);
    self->blocks[item].holds++;
}

bool umbp_store_unhold (umbp_store_t *self, uint32_t item)
{
    umbp_block_t *block = &self->blocks[item];
    assert (block->holds > 0);
    if (--block->holds > 0 || block->state != UMBP_BLOCK_DOOMED)
        return false;
    umbp_tenants_at (self->tenants, block->tenant)->doomed -= umbp_store_bytes (self, block->size);
    self->doomed--;
    s_free (self, item);
    return true;
}

//  --------------------------------------------------------------------------------------------------
//  Use

void umbp_store_touch (umbp_store_t *self, uint32_t item, uint64_t tick)
{
    const umbp_block_t *block = &self->blocks[item];
    if (block->state != UMBP_BLOCK_LIVE)
        return;
    umbp_order_touch (self->order, item, block->depth, tick);
    umbp_tenants_touch (self->tenants, block->tenant, item, block->depth, tick);
}

int umbp_store_move (umbp_store_t *self, uint32_t item, umbp_store_copy_fn *copy, void *arg)
{
    umbp_block_t *block = &self->blocks[item];
    assert (block->state == UMBP_BLOCK_LIVE);
    umbp_extent_t extents[UMBP_STORE_EXTENTS_MAX], *former = block->extents;
    uint32_t pages = umbp_extent_page_count (block->size, umbp_pages_page_size (self->pages));
    int count = UMBP_EAGAIN;
    if (block->holds == 0)
        count = umbp_pages_take (self->pages, pages, extents, UMBP_STORE_EXTENTS_MAX);
    if (count < 0)
        return UMBP_EAGAIN;
    copy (arg, block, extents, (size_t) count);
    umbp_bytes_t key = umbp_scope_bare (block->key, block->key_size);
    if (s_is_shown (self, block))       //  Nobody goes on with what is there now
        umbp_board_drop (self->board, key.data, key.size);
    size_t extent_bytes = (size_t) count * sizeof *extents;
    uint8_t *memory = umbp_slab_take (self->slab, extent_bytes + block->key_size);
    assert (memory);
    memcpy (memory, extents, extent_bytes);
    memcpy (memory + extent_bytes, block->key, block->key_size);
    for (size_t index = 0; index < block->extent_count; index++) {
        int rc = umbp_pages_give (self->pages, &former[index]);
        assert (rc == 0);
    }
    s_give_names (self, block);
    block->extents = (umbp_extent_t *) memory;
    block->key = memory + extent_bytes;
    block->extent_count = (uint16_t) count;
    s_show (self, item);
    return 0;
}

static bool s_may_go (void *arg, uint32_t item)
{
    return ((umbp_store_t *) arg)->blocks[item].holds == 0;
}

size_t umbp_store_victims (umbp_store_t *self, size_t max, uint32_t *items)
{
    return umbp_order_victims (self->order, max, s_may_go, self, items);
}

//  ... and of one tenant, while it is looked for
typedef struct {
    umbp_store_t *store;
    uint16_t tenant;
} own_t;

static bool s_may_go_of (void *arg, uint32_t item)
{
    const own_t *own = arg;
    const umbp_block_t *block = &own->store->blocks[item];
    return block->holds == 0 && block->tenant == own->tenant;
}

//  A tenant without a list of its own is sought in that of all: from the oldest on, until a call finds
//  nothing where it began
size_t umbp_store_own_victims (umbp_store_t *self, uint16_t tenant, size_t max, uint32_t *items)
{
    size_t count = 0;
    if (!umbp_tenants_is_listed (self->tenants, tenant)) {
        own_t own = { self, tenant };
        size_t looks = 1 + umbp_order_count (self->order) / UMBP_ORDER_REFUSED_MAX;
        while (count == 0 && looks-- > 0)
            count = umbp_order_victims (self->order, max, s_may_go_of, &own, items);
        return count;
    }
    uint32_t item = umbp_tenants_oldest (self->tenants, tenant);
    for (; item != NONE && count < max; item = umbp_tenants_after (self->tenants, item))
        if (self->blocks[item].holds == 0)
            items[count++] = item;
    return count;
}

umbp_tenants_t *umbp_store_tenants (umbp_store_t *self)
{
    return self->tenants;
}

umbp_pages_t *umbp_store_pages (umbp_store_t *self)
{
    return self->pages;
}

void umbp_store_set_journal (umbp_store_t *self, umbp_journal_t *journal)
{
    self->journal = journal;
}

uint64_t umbp_store_bytes (const umbp_store_t *self, uint32_t size)
{
    uint32_t page = umbp_pages_page_size (self->pages);
    return (uint64_t) umbp_extent_page_count (size, page) * page;
}

void umbp_store_set_quotas (umbp_store_t *self, umbp_quotas_t **quotas_p, unsigned tier)
{
    if (!umbp_tenants_set_quotas (self->tenants, quotas_p, tier))
        return;
    size_t count = umbp_order_count (self->order);
    uint32_t *items = malloc ((count + 1) * sizeof *items);
    assert (items);
    umbp_order_victims (self->order, count, NULL, NULL, items);     //  To the end: the next one begins
    count = umbp_order_victims (self->order, count, NULL, NULL, items);     //  ... with the oldest
    for (size_t index = 0; index < count; index++) {
        const umbp_block_t *block = &self->blocks[items[index]];
        umbp_tenants_enter (self->tenants, block->tenant, items[index], block->depth);
    }
    free (items);
}

umbp_block_t *umbp_store_block (umbp_store_t *self, uint32_t item)
{
    return &self->blocks[item];
}

uint32_t umbp_store_reach (const umbp_store_t *self)
{
    return self->reach;
}

umbp_store_counts_t umbp_store_counts (const umbp_store_t *self)
{
    uint64_t page = umbp_pages_page_size (self->pages);
    uint32_t there = umbp_pages_total_count (self->pages) - umbp_pages_out_count (self->pages);
    return (umbp_store_counts_t){ /* clang-format off */
        .total_bytes = there * page,
        .used_bytes = umbp_pages_used_count (self->pages) * page,
        .live = self->live, .slots = self->slots, .doomed = self->doomed };
}

uint32_t umbp_store_page_size (const umbp_store_t *self)
{
    return umbp_pages_page_size (self->pages);
}

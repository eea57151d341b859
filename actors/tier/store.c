//  actors/tier/store.c - the blocks of one memory tier: how they come, stay and go. See store_facts.c for what is told and asked
//  of all of them.
#include "actors/tier/store_self.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "proto/error.h"
#include "proto/key.h"
#include "proto/scope.h"
#include "proto/splitmix.h"

#define NONE UMBP_STORE_NONE
#define ITEMS_MIN 1024
#define VICTIMS_MAX 256                 //  More of them are not sorted by whether they are copies

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
    self->policy = umbp_policy_new ("lru");
    self->slab = umbp_slab_new ();
    assert (self->buckets && self->policy && self->slab);
    memset (self->buckets, 0xff, buckets * sizeof (uint32_t));
    if (getrandom (&self->token_state, sizeof self->token_state, 0) != sizeof self->token_state)
        self->token_state = (uint64_t) (uintptr_t) self;
    return self;
}

//  Key and extents lie together
static void s_take_names (umbp_store_t *self, umbp_block_t *block, const void *key, size_t key_size,
                          const umbp_extent_t *extents, size_t count)
{
    size_t extent_bytes = count * sizeof *extents;
    uint8_t *memory = umbp_slab_take (self->slab, extent_bytes + key_size);
    assert (memory);
    if (count)
        memcpy (memory, extents, extent_bytes);
    memcpy (memory + extent_bytes, key, key_size);
    block->extents = (umbp_extent_t *) memory;
    block->extent_count = (uint16_t) count;
    block->key = memory + extent_bytes;
    block->key_size = (uint16_t) key_size;
}

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
    umbp_policy_destroy (&self->policy);
    umbp_order_destroy (&self->raised);
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
        int rc = umbp_policy_resize (self->policy, self->capacity);
        assert (rc == 0);
        if (self->raised)
            umbp_order_resize (self->raised, self->capacity);
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

static void s_give_pages (umbp_store_t *self, const umbp_block_t *block)
{
    for (size_t index = 0; index < block->extent_count; index++) {
        int rc = umbp_pages_give (self->pages, &block->extents[index]);
        assert (rc == 0);               //  They are ours, by their generation
    }
}

//  Give the pages back; the item may be used again
static void s_free (umbp_store_t *self, uint32_t item)
{
    umbp_block_t *block = &self->blocks[item];
    if (!block->foreign) {
        umbp_tenants_refund (self->tenants, block->tenant, umbp_store_bytes (self, block->size));
        self->used -= umbp_store_bytes (self, block->size);
        s_write_down (self, UMBP_EVENT_FREE, block->tenant, umbp_store_bytes (self, block->size));
    } else
        umbp_tenants_at (self->tenants, block->tenant)->guests--;
    s_give_pages (self, block);
    s_give_names (self, block);
    self->copies -= block->copy;
    *block = (umbp_block_t) { .next = self->free_head };
    self->free_head = item;
}

//  --------------------------------------------------------------------------------------------------
//  Pages

static bool s_may_go (void *arg, uint32_t item)
{
    const umbp_block_t *block = &((umbp_store_t *) arg)->blocks[item];
    return block->holds == 0 && !block->leaving;
}

static uint64_t s_page_count (const umbp_store_t *self, uint32_t size)
{
    return umbp_extent_page_count (size, umbp_pages_page_size (self->pages));
}

//  A block at rest does without its pages
static void s_lower (umbp_store_t *self, uint32_t item)
{
    umbp_block_t *block = &self->blocks[item], before = *block;
    s_give_pages (self, block);
    s_take_names (self, block, before.key, before.key_size, NULL, 0);
    s_give_names (self, &before);
    block->filled = false;
    umbp_order_remove (self->raised, item);
}

//  Pages for so many bytes, if need be those of blocks that rest. Returns the number of extents, or an error.
static int s_take_pages (umbp_store_t *self, uint32_t size, umbp_extent_t *extents)
{
    uint32_t pages = (uint32_t) s_page_count (self, size), item;
    int count;
    while ((count = umbp_pages_take (self->pages, pages, extents, UMBP_STORE_EXTENTS_MAX))
               == UMBP_EAGAIN
           && self->raised && umbp_order_victims (self->raised, 1, s_may_go, self, &item) == 1)
        s_lower (self, item);
    return count;
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

uint64_t umbp_store_print (const umbp_store_t *self, const void *key, size_t key_size)
{
    return umbp_fingerprint (key, key_size, self->seed).lo;
}

uint32_t umbp_store_find (const umbp_store_t *self, const void *key, size_t key_size)
{
    umbp_fingerprint_t print = umbp_fingerprint (key, key_size, self->seed);
    return s_find (self, &print, key, key_size);
}

//  Whether a new block may take so much. Returns 0 and its tenant's row.
static int s_admit (umbp_store_t *self, const void *key, size_t key_size, uint32_t size,
                    uint16_t *tenant_p)
{
    uint64_t bytes = umbp_store_bytes (self, size);
    *tenant_p = UMBP_TENANT_NONE;
    if (s_page_count (self, size) > umbp_pages_total_count (self->pages)
        || (self->raised && bytes > self->room))
        return UMBP_ENOSPC;
    *tenant_p = umbp_tenants_row (self->tenants, umbp_scope_tenant (key, key_size));
    if (*tenant_p == UMBP_TENANT_NONE || umbp_tenants_excess (self->tenants, *tenant_p, bytes) > 0)
        return UMBP_EQUOTA;
    return self->raised && self->used + bytes > self->room ? UMBP_EAGAIN : 0;
}

//  What its tenant pays for it
static uint64_t s_charge_of (const umbp_store_t *self, const umbp_block_t *block)
{
    return block->foreign ? 0 : umbp_store_bytes (self, block->size);
}

static void s_charge (umbp_store_t *self, const umbp_block_t *block)
{
    uint64_t bytes = umbp_store_bytes (self, block->size);
    umbp_tenants_charge (self->tenants, block->tenant, bytes);
    s_write_down (self, UMBP_EVENT_ALLOC, block->tenant, bytes);
    self->used += bytes;
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
    uint16_t tenant;
    int rc = s_admit (self, key, key_size, size, &tenant);
    if (rc < 0)
        return rc;
    int count = s_take_pages (self, size, extents);
    if (count < 0)
        return count;
    uint32_t item = s_item_new (self);
    umbp_block_t *block = &self->blocks[item];
    *block = (umbp_block_t){ .print = print,
                             .size = size,
                             .depth = depth,
                             .next = NONE,
                             .tenant = tenant, .place = UMBP_STORE_NOWHERE, .filled = true,
                             .token = s_token (self, item), .state = UMBP_BLOCK_SLOT };
    s_take_names (self, block, key, key_size, extents, (size_t) count);
    s_charge (self, block);
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

//  A block that everybody may find from now on, as the newest
static void s_enter (umbp_store_t *self, uint32_t item, uint64_t tick)
{
    umbp_block_t *block = &self->blocks[item];
    uint32_t *bucket = s_bucket (self, &block->print);
    block->next = *bucket;
    *bucket = item;
    block->state = UMBP_BLOCK_LIVE;
    self->live++;
    if (block->foreign)
        return;
    umbp_policy_add (self->policy, item, block->print.lo, block->depth, tick,
                     (umbp_policy_hint_t) block->hint);
    umbp_tenants_touch (self->tenants, block->tenant, item, block->depth, tick);
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
    block->sum = sum;
    s_enter (self, item, tick);
    s_show (self, item);
    return 0;
}

//  Forget it; ghost: its fingerprint, if it left for want of room
static bool s_drop (umbp_store_t *self, uint32_t item, const uint64_t *ghost)
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
        if (self->raised)
            umbp_order_remove (self->raised, item);
        if (!block->foreign) {
            umbp_policy_remove (self->policy, item, ghost);
            umbp_tenants_leave (self->tenants, block->tenant, item);
        }
        self->live--;
    }
    block->state = UMBP_BLOCK_DOOMED;
    if (block->holds > 0) {
        umbp_tenants_at (self->tenants, block->tenant)->doomed += s_charge_of (self, block);
        self->doomed++;
        return false;
    }
    s_free (self, item);
    return true;
}

bool umbp_store_drop (umbp_store_t *self, uint32_t item)
{
    return s_drop (self, item, NULL);
}

bool umbp_store_evict (umbp_store_t *self, uint32_t item)
{
    uint64_t ghost = self->blocks[item].print.lo;
    return s_drop (self, item, &ghost);
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
    umbp_tenants_at (self->tenants, block->tenant)->doomed -= s_charge_of (self, block);
    self->doomed--;
    s_free (self, item);
    return true;
}

//  --------------------------------------------------------------------------------------------------
//  The depot

void umbp_store_set_depot (umbp_store_t *self, uint64_t bytes)
{
    assert (self->reach == 0);
    self->raised = umbp_order_new (0);
    self->room = bytes;
    self->head = self->unit ? 0 : UMBP_STORE_REST_BYTES;
    self->unit = self->unit ? self->unit : UMBP_STORE_REST_BYTES;
    uint64_t blocks = bytes / umbp_store_bytes (self, umbp_pages_page_size (self->pages));
    uint32_t buckets = self->bucket_mask + 1;
    while (buckets < blocks && buckets < 1u << 31)
        buckets *= 2;
    self->bucket_mask = buckets - 1;
    self->buckets = realloc (self->buckets, buckets * sizeof (uint32_t));
    assert (self->raised && self->buckets);
    memset (self->buckets, 0xff, buckets * sizeof (uint32_t));
}

void umbp_store_set_unit (umbp_store_t *self, uint32_t unit)
{
    assert (!self->raised);
    self->unit = unit;
}

static void s_touch_raised (umbp_store_t *self, uint32_t item, uint64_t tick)
{
    const umbp_block_t *block = &self->blocks[item];
    if (self->raised && block->extent_count > 0 && block->place != UMBP_STORE_NOWHERE)
        umbp_order_touch (self->raised, item, block->depth, tick);
}

void umbp_store_rest (umbp_store_t *self, uint32_t item, uint64_t place)
{
    assert (self->blocks[item].state == UMBP_BLOCK_LIVE);
    self->blocks[item].place = place;
    s_touch_raised (self, item, 0);
}

int umbp_store_raise (umbp_store_t *self, uint32_t item)
{
    umbp_block_t before = self->blocks[item];
    umbp_extent_t extents[UMBP_STORE_EXTENTS_MAX];
    if (before.extent_count > 0)
        return 0;
    assert (before.state == UMBP_BLOCK_LIVE);
    int count = s_take_pages (self, before.size, extents);
    if (count < 0)
        return count;
    s_take_names (self, &self->blocks[item], before.key, before.key_size, extents, (size_t) count);
    s_give_names (self, &before);
    s_touch_raised (self, item, 0);
    return 0;
}

int umbp_store_adopt (umbp_store_t *self, const umbp_block_t *known, uint64_t tick,
                      uint32_t *item_p)
{
    umbp_fingerprint_t print = umbp_fingerprint (known->key, known->key_size, self->seed);
    if (s_find (self, &print, known->key, known->key_size) != NONE)
        return UMBP_EEXIST;
    uint16_t tenant;
    int rc = s_admit (self, known->key, known->key_size, known->size, &tenant);
    if (rc < 0 && !(known->foreign && tenant != UMBP_TENANT_NONE && rc != UMBP_ENOSPC))
        return rc;
    uint32_t item = *item_p = s_item_new (self);
    umbp_block_t *block = &self->blocks[item];
    *block = (umbp_block_t){ .print = print,
                             .sum = known->sum,
                             .size = known->size,
                             .depth = known->depth, .replicas = known->replicas,
                             .place = known->place, .next = NONE, .tenant = tenant,
                             .token = s_token (self, item), .foreign = known->foreign };
    s_take_names (self, block, known->key, known->key_size, NULL, 0);
    if (known->foreign)
        umbp_tenants_at (self->tenants, tenant)->guests++;
    else
        s_charge (self, block);
    s_enter (self, item, tick);
    return 0;
}

//  --------------------------------------------------------------------------------------------------
//  Use

void umbp_store_touch (umbp_store_t *self, uint32_t item, uint64_t tick)
{
    const umbp_block_t *block = &self->blocks[item];
    if (block->state != UMBP_BLOCK_LIVE)
        return;
    if (!block->foreign) {
        umbp_policy_hit (self->policy, item, tick);
        umbp_tenants_touch (self->tenants, block->tenant, item, block->depth, tick);
    }
    s_touch_raised (self, item, tick);
    self->blocks[item].used = self->blocks[item].lately = true;
    self->blocks[item].cold = false;
}

void umbp_store_freshen (umbp_store_t *self, uint32_t item, uint64_t tick)
{
    bool used = self->blocks[item].used;
    umbp_store_touch (self, item, tick);
    self->blocks[item].used = used;
    self->blocks[item].fresh = true;
}

int umbp_store_move (umbp_store_t *self, uint32_t item, umbp_store_copy_fn *copy, void *arg)
{
    umbp_block_t *block = &self->blocks[item];
    assert (block->state == UMBP_BLOCK_LIVE);
    umbp_extent_t extents[UMBP_STORE_EXTENTS_MAX];
    uint32_t pages = umbp_extent_page_count (block->size, umbp_pages_page_size (self->pages));
    int count = UMBP_EAGAIN;
    if (block->holds == 0 && block->extent_count > 0)
        count = umbp_pages_take (self->pages, pages, extents, UMBP_STORE_EXTENTS_MAX);
    if (count < 0)
        return UMBP_EAGAIN;
    copy (arg, block, extents, (size_t) count);
    umbp_bytes_t key = umbp_scope_bare (block->key, block->key_size);
    if (s_is_shown (self, block))       //  Nobody goes on with what is there now
        umbp_board_drop (self->board, key.data, key.size);
    umbp_block_t before = *block;
    s_take_names (self, block, before.key, before.key_size, extents, (size_t) count);
    s_give_pages (self, &before);
    s_give_names (self, &before);
    s_show (self, item);
    return 0;
}

bool umbp_store_is_used (umbp_store_t *self, uint32_t item)
{
    umbp_block_t *block = &self->blocks[item];
    bool used = block->used || block->fresh || block->holds > 0;
    block->used = block->fresh = block->lately = false;
    return used;
}

//  Of what should leave the copies of blocks that another node has go first
static size_t s_copies_first (const umbp_store_t *self, uint32_t *items, size_t count, size_t max)
{
    uint32_t others[2 * VICTIMS_MAX];
    size_t copies = 0, kept = 0;
    for (size_t index = 0; index < count; index++)
        if (self->blocks[items[index]].copy)
            items[copies++] = items[index];
        else
            others[kept++] = items[index];
    for (size_t index = 0; index < kept && copies + index < max; index++)
        items[copies + index] = others[index];
    return count < max ? count : max;
}

size_t umbp_store_victims (umbp_store_t *self, size_t max, uint32_t *items)
{
    uint32_t more[2 * VICTIMS_MAX];
    if (self->copies == 0 || max > VICTIMS_MAX)
        return umbp_policy_victims (self->policy, max, s_may_go, self, items);
    size_t count = umbp_policy_victims (self->policy, 2 * max, s_may_go, self, more);
    count = s_copies_first (self, more, count, max);
    memcpy (items, more, count * sizeof *items);
    return count;
}

size_t umbp_store_peek (umbp_store_t *self, size_t max, uint32_t *items)
{
    return umbp_policy_peek (self->policy, max, s_may_go, self, items);
}

uint32_t umbp_store_next (const umbp_store_t *self, uint32_t item)
{
    return umbp_policy_next (self->policy, item);
}

//  A tenant without a list of its own is sought in that of all
size_t umbp_store_own_victims (umbp_store_t *self, uint16_t tenant, size_t max, uint32_t *items)
{
    bool listed = umbp_tenants_is_listed (self->tenants, tenant);
    uint32_t item = listed ? umbp_tenants_oldest (self->tenants, tenant)
                           : umbp_policy_next (self->policy, NONE);
    size_t count = 0;
    while (item != NONE && count < max) {
        if (self->blocks[item].holds == 0 && self->blocks[item].tenant == tenant)
            items[count++] = item;
        item = listed ? umbp_tenants_after (self->tenants, item)
                      : umbp_policy_next (self->policy, item);
    }
    return count;
}

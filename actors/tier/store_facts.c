//  actors/tier/store_facts.c - what a store is told of all its blocks, at the start or by an operator, and what it says of them:
//  quotas, the policy, hints, counts.
#include "actors/tier/store_self.h"

#include <assert.h>

#include "proto/error.h"

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
    uint64_t unit = self->raised ? self->unit : umbp_pages_page_size (self->pages);
    return umbp_extent_page_count (size, (uint32_t) unit) * unit + self->head;
}

void umbp_store_set_quotas (umbp_store_t *self, umbp_quotas_t **quotas_p, unsigned tier)
{
    if (!umbp_tenants_set_quotas (self->tenants, quotas_p, tier))
        return;
    uint32_t item = UMBP_STORE_NONE;
    while ((item = umbp_policy_next (self->policy, item)) != UMBP_STORE_NONE) {
        const umbp_block_t *block = &self->blocks[item];
        umbp_tenants_enter (self->tenants, block->tenant, item, block->depth);
    }
}

int umbp_store_set_policy (umbp_store_t *self, const char *name)
{
    umbp_policy_t *policy = umbp_policy_new (name);
    if (!policy || self->reach > 0) {
        umbp_policy_destroy (&policy);
        return UMBP_EINVAL;
    }
    umbp_policy_destroy (&self->policy);
    self->policy = policy;
    return 0;
}

umbp_policy_stats_t umbp_store_policy_stats (const umbp_store_t *self)
{
    return umbp_policy_stats (self->policy);
}

void umbp_store_set_hints (umbp_store_t *self, uint32_t item, umbp_policy_hint_t hint, bool copy)
{
    umbp_block_t *block = &self->blocks[item];
    assert (block->state == UMBP_BLOCK_SLOT);
    block->hint = hint < UMBP_POLICY_HINTS ? (uint8_t) hint : UMBP_POLICY_HINT_NONE;
    self->copies += copy && !block->copy;
    block->copy = block->copy || copy;
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
    uint64_t page_bytes = there * page;
    uint64_t paged_bytes = umbp_pages_used_count (self->pages) * page;
    return (umbp_store_counts_t){ /* clang-format off */
        .total_bytes = self->raised ? self->room : page_bytes,
        .used_bytes = self->raised ? self->used : paged_bytes,
        .live = self->live, .slots = self->slots, .doomed = self->doomed,
        .raised = self->raised ? umbp_order_count (self->raised) : self->live,
        .page_bytes = page_bytes, .paged_bytes = paged_bytes };
}

uint32_t umbp_store_page_size (const umbp_store_t *self)
{
    return umbp_pages_page_size (self->pages);
}

bool umbp_store_is_stored (const umbp_store_t *self, uint32_t item)
{
    const umbp_block_t *block = &self->blocks[item];
    return block->state == UMBP_BLOCK_LIVE && (!self->raised || block->place != UMBP_STORE_NOWHERE);
}

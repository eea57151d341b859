//  actors/tier/tenants.c - who uses how much of a tier. See tenants.h.
#include "actors/tier/tenants.h"

#include <czmq.h>

#define NONE UMBP_CHAIN_NONE
#define LINKS_MIN 1024

struct umbp_tenants {
    unsigned tier;
    umbp_quotas_t *quotas;
    umbp_links_t links;                 //  By item; none until a tenant has a limit
    uint16_t last;                      //  The row that was asked for last
    umbp_tenant_t rows[UMBP_TENANTS_MAX];
};

static void s_begin (umbp_tenants_t *self, uint16_t row, umbp_text_t name)
{
    umbp_tenant_t *tenant = &self->rows[row];
    *tenant = (umbp_tenant_t) { .used = true, .blocks_by_age = UMBP_CHAIN_EMPTY, .group = NONE };
    umbp_text_copy (name, tenant->name, sizeof tenant->name);
    tenant->limit = umbp_quotas_limit (self->quotas, name, self->tier);
    tenant->qos = (uint8_t) umbp_quotas_qos (self->quotas, name);
}

umbp_tenants_t *umbp_tenants_new (void)
{
    umbp_tenants_t *self = zmalloc (sizeof (umbp_tenants_t));
    self->quotas = umbp_quotas_new ();
    s_begin (self, 0, umbp_text (""));
    return self;
}

void umbp_tenants_destroy (umbp_tenants_t **self_p)
{
    umbp_tenants_t *self = *self_p;
    if (!self)
        return;
    umbp_quotas_destroy (&self->quotas);
    umbp_links_free (&self->links);
    freen (*self_p);
}

//  ------------------------------------------------------------------------------------------------
//  Rows

uint16_t umbp_tenants_find (const umbp_tenants_t *self, umbp_text_t name)
{
    if (name.size == 0)
        return 0;
    if (self->rows[self->last].used && umbp_text_is (name, self->rows[self->last].name))
        return self->last;
    for (uint16_t row = 1; row < UMBP_TENANTS_MAX; row++)
        if (self->rows[row].used && umbp_text_is (name, self->rows[row].name))
            return row;
    return UMBP_TENANT_NONE;
}

uint16_t umbp_tenants_row (umbp_tenants_t *self, umbp_text_t name)
{
    uint16_t row = umbp_tenants_find (self, name), idle = UMBP_TENANT_NONE;
    if (row == UMBP_TENANT_NONE) {
        for (uint16_t at = 1; at < UMBP_TENANTS_MAX && row == UMBP_TENANT_NONE; at++) {
            if (!self->rows[at].used)
                row = at;
            else if (self->rows[at].blocks == 0 && self->rows[at].guests == 0)
                idle = at;
        }
        row = row == UMBP_TENANT_NONE ? idle : row;
        if (row == UMBP_TENANT_NONE)
            return row;
        s_begin (self, row, name);
    }
    self->last = row;
    return row;
}

umbp_tenant_t *umbp_tenants_at (umbp_tenants_t *self, uint16_t row)
{
    return &self->rows[row];
}

uint64_t umbp_tenants_excess (const umbp_tenants_t *self, uint16_t row, uint64_t bytes)
{
    const umbp_tenant_t *tenant = &self->rows[row];
    uint64_t left = tenant->bytes < tenant->limit ? tenant->limit - tenant->bytes : 0;
    if (tenant->limit == UMBP_QUOTA_NONE)
        return 0;
    if (tenant->bytes > tenant->limit)
        return tenant->bytes - tenant->limit + bytes;
    return bytes > left ? bytes - left : 0;
}

void umbp_tenants_charge (umbp_tenants_t *self, uint16_t row, uint64_t bytes)
{
    self->rows[row].bytes += bytes;
    self->rows[row].blocks++;
}

void umbp_tenants_refund (umbp_tenants_t *self, uint16_t row, uint64_t bytes)
{
    umbp_tenant_t *tenant = &self->rows[row];
    assert (tenant->bytes >= bytes && tenant->blocks > 0);
    tenant->bytes -= bytes;
    tenant->blocks--;
}

//  ------------------------------------------------------------------------------------------------
//  Lists

bool umbp_tenants_is_listed (const umbp_tenants_t *self, uint16_t row)
{
    return self->rows[row].limit != UMBP_QUOTA_NONE;
}

static void s_grow (umbp_tenants_t *self, uint32_t item)
{
    uint32_t capacity = self->links.capacity ? self->links.capacity : LINKS_MIN;
    while (capacity <= item)
        capacity *= 2;
    int rc = umbp_links_resize (&self->links, capacity);
    assert (rc == 0);
}

void umbp_tenants_leave (umbp_tenants_t *self, uint16_t row, uint32_t item)
{
    umbp_tenant_t *tenant = &self->rows[row];
    if (!umbp_links_has (&self->links, item))
        return;
    if (tenant->group == item)
        tenant->group = self->links.at[item].next;
    umbp_chain_leave (&tenant->blocks_by_age, &self->links, item);
}

//  The item that one of this depth comes right before, in the newest tick; NONE: behind all
static uint32_t s_place (const umbp_tenants_t *self, const umbp_tenant_t *tenant, uint16_t depth)
{
    const umbp_link_t *items = self->links.at;
    uint32_t at = tenant->blocks_by_age.newest;
    if (tenant->group == NONE || items[at].depth >= depth)
        return NONE;
    if (items[tenant->group].depth < depth)
        return tenant->group;
    for (int steps = 0; steps < UMBP_TENANTS_SEARCH_MAX && at != tenant->group; steps++) {
        if (items[at].depth >= depth)
            break;
        at = items[at].prev;
    }
    return items[at].next;
}

void umbp_tenants_touch (umbp_tenants_t *self, uint16_t row, uint32_t item, uint16_t depth,
                         uint64_t tick)
{
    umbp_tenant_t *tenant = &self->rows[row];
    if (tenant->limit == UMBP_QUOTA_NONE)
        return;
    s_grow (self, item);
    umbp_tenants_leave (self, row, item);
    if (tick > tenant->tick || tenant->group == NONE) {
        tenant->tick = tick > tenant->tick ? tick : tenant->tick;
        tenant->group = NONE;
    }
    uint32_t next = s_place (self, tenant, depth);
    umbp_chain_enter (&tenant->blocks_by_age, &self->links, item, next);
    self->links.at[item].depth = depth;
    if (tenant->group == NONE || tenant->group == next)
        tenant->group = item;
}

void umbp_tenants_enter (umbp_tenants_t *self, uint16_t row, uint32_t item, uint16_t depth)
{
    if (umbp_links_has (&self->links, item))
        return;
    self->rows[row].group = NONE;
    umbp_tenants_touch (self, row, item, depth, 0);
    self->rows[row].group = NONE;
}

uint32_t umbp_tenants_oldest (const umbp_tenants_t *self, uint16_t row)
{
    return self->rows[row].blocks_by_age.oldest;
}

uint32_t umbp_tenants_after (const umbp_tenants_t *self, uint32_t item)
{
    return self->links.at[item].next;
}

bool umbp_tenants_set_quotas (umbp_tenants_t *self, umbp_quotas_t **quotas_p, unsigned tier)
{
    bool fresh = false;
    umbp_quotas_destroy (&self->quotas);
    self->quotas = *quotas_p;
    self->tier = tier;
    *quotas_p = NULL;
    for (uint16_t row = 0; row < UMBP_TENANTS_MAX; row++) {
        umbp_tenant_t *tenant = &self->rows[row];
        uint64_t limit =
            tenant->used ? umbp_quotas_limit (self->quotas, umbp_text (tenant->name), self->tier)
                         : UMBP_QUOTA_NONE;
        if (tenant->limit == UMBP_QUOTA_NONE && limit != UMBP_QUOTA_NONE)
            fresh = true;
        while (limit == UMBP_QUOTA_NONE && tenant->used && tenant->blocks_by_age.oldest != NONE)
            umbp_tenants_leave (self, row, tenant->blocks_by_age.oldest);
        tenant->limit = limit;
        tenant->qos = (uint8_t) umbp_quotas_qos (self->quotas, umbp_text (tenant->name));
    }
    return fresh;
}

//  actors/sheet.c - members as columns. See sheet.h.
#include "actors/sheet.h"

#include <czmq.h>

#define ROWS_MAX (UMBP_NODES_MAX * (UMBP_TIERS - 1))

//  A column of texts
typedef struct {
    uint32_t used, count;
    uint16_t sizes[UMBP_NODES_MAX];
    uint8_t bytes[UMBP_NODES_MAX * UMBP_TEXT_MAX];
} texts_t;

struct umbp_sheet {
    texts_t nodes, endpoints, bulks, hosts, doors;
    uint64_t epochs[UMBP_NODES_MAX], swings[UMBP_NODES_MAX];
    uint8_t states[UMBP_NODES_MAX], rings[UMBP_NODES_MAX], tier_counts[UMBP_NODES_MAX];
    uint8_t drains[UMBP_NODES_MAX];
    uint16_t loads[UMBP_NODES_MAX];
    uint32_t silent_ms[UMBP_NODES_MAX];
    uint32_t rows;                      //  Of the next, one for each tier of each member
    uint8_t tiers[ROWS_MAX];
    uint64_t totals[ROWS_MAX], useds[ROWS_MAX], blocks[ROWS_MAX];
};

umbp_sheet_t *umbp_sheet_new (void)
{
    return zmalloc (sizeof (umbp_sheet_t));
}

void umbp_sheet_destroy (umbp_sheet_t **self_p)
{
    assert (self_p);
    freen (*self_p);
}

void umbp_sheet_clear (umbp_sheet_t *self)
{
    texts_t *all[] = { &self->nodes, &self->endpoints, &self->bulks, &self->hosts, &self->doors };
    for (size_t index = 0; index < sizeof all / sizeof *all; index++)
        all[index]->used = all[index]->count = 0;
    self->rows = 0;
}

static void s_add (texts_t *texts, const char *text)
{
    size_t size = strlen (text);
    assert (texts->count < UMBP_NODES_MAX && size <= UMBP_TEXT_MAX);
    memcpy (texts->bytes + texts->used, text, size);
    texts->sizes[texts->count++] = (uint16_t) size;
    texts->used += (uint32_t) size;
}

void umbp_sheet_add_endpoint (umbp_sheet_t *self, const umbp_member_t *member)
{
    s_add (&self->endpoints, member->endpoint);
}

void umbp_sheet_add_tiers (umbp_sheet_t *self, const umbp_member_t *member)
{
    for (unsigned tier = 1; tier < UMBP_TIERS; tier++) {
        const umbp_tier_room_t *room = &member->tiers[tier];
        if (room->total == 0)
            continue;
        assert (self->rows < ROWS_MAX);
        self->tiers[self->rows] = (uint8_t) tier;
        self->totals[self->rows] = room->total;
        self->useds[self->rows] = room->used;
        self->blocks[self->rows] = room->blocks;
        self->rows++;
    }
}

void umbp_sheet_add (umbp_sheet_t *self, const umbp_member_t *member, int64_t silent_ms)
{
    size_t index = self->nodes.count;
    uint32_t rows = self->rows;
    s_add (&self->nodes, member->node);
    s_add (&self->endpoints, member->endpoint);
    s_add (&self->bulks, member->bulk);
    s_add (&self->hosts, member->host);
    s_add (&self->doors, member->doors);
    umbp_sheet_add_tiers (self, member);
    self->tier_counts[index] = (uint8_t) (self->rows - rows);
    self->epochs[index] = member->epoch;
    self->swings[index] = member->swings;
    self->states[index] = member->state;
    self->rings[index] = member->in_ring;
    self->drains[index] = member->draining;
    self->loads[index] = member->load;
    silent_ms = silent_ms < 0 ? 0 : silent_ms;
    self->silent_ms[index] = (uint32_t) (silent_ms < UINT32_MAX ? silent_ms : UINT32_MAX);
}

static umbp_column_t s_column (const texts_t *texts)
{
    return (umbp_column_t) { texts->bytes, texts->sizes, texts->used, texts->count };
}

void umbp_sheet_topology (const umbp_sheet_t *self, umbp_msg_topology_ok_t *out)
{
    uint32_t count = self->nodes.count;
    out->nodes = s_column (&self->nodes);
    out->endpoints = s_column (&self->endpoints);
    out->bulks = s_column (&self->bulks);
    out->hosts = s_column (&self->hosts);
    out->doors = s_column (&self->doors);
    out->epochs = (umbp_u64s_t) { self->epochs, count };
    out->swings = (umbp_u64s_t) { self->swings, count };
    out->states = (umbp_u8s_t) { self->states, count };
    out->rings = (umbp_u8s_t) { self->rings, count };
    out->drains = (umbp_u8s_t) { self->drains, count };
    out->loads = (umbp_u16s_t) { self->loads, count };
    out->silent_ms = (umbp_u32s_t) { self->silent_ms, count };
    out->tier_counts = (umbp_u8s_t) { self->tier_counts, count };
    out->tiers = (umbp_u8s_t) { self->tiers, self->rows };
    out->totals = (umbp_u64s_t) { self->totals, self->rows };
    out->useds = (umbp_u64s_t) { self->useds, self->rows };
    out->blocks = (umbp_u64s_t) { self->blocks, self->rows };
}

void umbp_sheet_beat (const umbp_sheet_t *self, umbp_msg_beat_t *out)
{
    out->tiers = (umbp_u8s_t) { self->tiers, self->rows };
    out->totals = (umbp_u64s_t) { self->totals, self->rows };
    out->useds = (umbp_u64s_t) { self->useds, self->rows };
    out->blocks = (umbp_u64s_t) { self->blocks, self->rows };
    out->known = s_column (&self->endpoints);
}

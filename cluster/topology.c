//  cluster/topology.c - a snapshot of the cluster and its ring.
#include "cluster/topology.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

//  A ring never changes once it is here, and may be that of several topologies. The threads of a
//  client let go of theirs whenever they like, so holders are counted atomically.
typedef struct {
    atomic_uint holders;
    umbp_ring_hash_t hash;
    unsigned vnodes;
    umbp_ring_t *ring;
} shared_t;

struct umbp_topology {
    unsigned holders;
    uint64_t epoch;
    bool settled;
    size_t count, self;
    unsigned copies;
    shared_t *shared;
    umbp_member_t *members;
};

void umbp_topology_destroy (umbp_topology_t **self_p)
{
    umbp_topology_t *self = *self_p;
    *self_p = NULL;
    if (!self || --self->holders > 0)
        return;
    if (self->shared && atomic_fetch_sub (&self->shared->holders, 1) == 1) {
        umbp_ring_destroy (&self->shared->ring);
        free (self->shared);
    }
    free (self->members);
    free (self);
}

umbp_topology_t *umbp_topology_hold (umbp_topology_t *self)
{
    self->holders++;
    return self;
}

//  The next item of a column of texts
static void s_text (const umbp_column_t *column, size_t index, size_t *offset, char *out,
                    size_t size)
{
    umbp_bytes_t item = umbp_column_next (column, index, offset);
    umbp_text_copy ((umbp_text_t) { (const char *) item.data, item.size }, out, size);
}

static void s_read_texts (umbp_topology_t *self, const umbp_msg_topology_ok_t *msg)
{
    size_t at[5] = { 0 };
    for (size_t index = 0; index < self->count; index++) {
        umbp_member_t *member = &self->members[index];
        s_text (&msg->nodes, index, &at[0], member->node, sizeof member->node);
        s_text (&msg->endpoints, index, &at[1], member->endpoint, sizeof member->endpoint);
        s_text (&msg->bulks, index, &at[2], member->bulk, sizeof member->bulk);
        s_text (&msg->hosts, index, &at[3], member->host, sizeof member->host);
        s_text (&msg->doors, index, &at[4], member->doors, sizeof member->doors);
    }
}

//  Returns false if the rows of tiers do not match their counts
static bool s_read_numbers (umbp_topology_t *self, const umbp_msg_topology_ok_t *msg)
{
    size_t row = 0;
    for (size_t index = 0; index < self->count; index++) {
        umbp_member_t *member = &self->members[index];
        member->epoch = umbp_u64s_at (msg->epochs, index);
        member->state = umbp_u8s_at (msg->states, index);
        member->in_ring = umbp_u8s_at (msg->rings, index) != 0;
        member->draining = msg->drains.count && umbp_u8s_at (msg->drains, index) != 0;
        member->load = umbp_u16s_at (msg->loads, index);
        member->silent_ms = umbp_u32s_at (msg->silent_ms, index);
        member->swings = msg->swings.count > index ? umbp_u64s_at (msg->swings, index) : 0;
        for (unsigned left = umbp_u8s_at (msg->tier_counts, index); left > 0; left--, row++) {
            if (row == msg->tiers.count || umbp_u8s_at (msg->tiers, row) >= UMBP_TIERS)
                return false;
            member->tiers[umbp_u8s_at (msg->tiers, row)] =
                (umbp_tier_room_t) { umbp_u64s_at (msg->totals, row), umbp_u64s_at (msg->useds, row),
                                    umbp_u64s_at (msg->blocks, row) };
        }
    }
    return row == msg->tiers.count;
}

//  Whether its ring is the one that we need: the same members in it, by id and number
static bool s_same_ring (const umbp_topology_t *self, const umbp_topology_t *former,
                         umbp_ring_hash_t hash, unsigned vnodes)
{
    if (former->shared->hash != hash || former->shared->vnodes != vnodes
        || former->count != self->count)
        return false;
    for (size_t index = 0; index < self->count; index++)
        if (self->members[index].in_ring != former->members[index].in_ring
            || strcmp (self->members[index].node, former->members[index].node) != 0)
            return false;
    return true;
}

//  Members come in the order of their ids; from whom they do not, one by one
static bool s_fill_ring (umbp_topology_t *self)
{
    const char *ids[UMBP_NODES_MAX] = { NULL };
    uint16_t numbers[UMBP_NODES_MAX] = { 0 };
    size_t count = 0;
    for (size_t index = 0; index < self->count; index++)
        if (self->members[index].in_ring) {
            ids[count] = self->members[index].node;
            numbers[count++] = (uint16_t) index;
        }
    int rc = umbp_ring_add_all (self->shared->ring, ids, numbers, count);
    if (rc == UMBP_EINVAL) {
        rc = 0;
        for (size_t index = 0; index < count && rc == 0; index++)
            rc = umbp_ring_add (self->shared->ring, ids[index], 100, numbers[index]);
    }
    return rc == 0;
}

//  The former ring, or one of our own. Returns false if there can be none.
static bool s_take_ring (umbp_topology_t *self, const umbp_topology_t *former,
                         umbp_ring_hash_t hash, unsigned vnodes)
{
    if (former && s_same_ring (self, former, hash, vnodes)) {
        self->shared = former->shared;
        atomic_fetch_add (&self->shared->holders, 1);
        return true;
    }
    umbp_ring_t *ring = umbp_ring_new (hash, vnodes);
    self->shared = ring ? calloc (1, sizeof (shared_t)) : NULL;
    if (!self->shared) {
        umbp_ring_destroy (&ring);
        return false;
    }
    atomic_init (&self->shared->holders, 1);
    self->shared->hash = hash;
    self->shared->vnodes = vnodes;
    self->shared->ring = ring;
    return s_fill_ring (self);
}

umbp_topology_t *umbp_topology_new (const umbp_msg_topology_ok_t *msg)
{
    return umbp_topology_renew (NULL, msg);
}

umbp_topology_t *umbp_topology_renew (const umbp_topology_t *former,
                                      const umbp_msg_topology_ok_t *msg)
{
    umbp_topology_t *self = calloc (1, sizeof (umbp_topology_t));
    if (!self || msg->nodes.count == 0 || msg->nodes.count > UMBP_NODES_MAX) {
        free (self);
        return NULL;
    }
    self->holders = 1;
    self->epoch = msg->topo_epoch;
    self->settled = msg->settled;
    self->copies = (unsigned) msg->copies;
    self->count = msg->nodes.count;
    self->members = calloc (self->count, sizeof (umbp_member_t));
    bool fine = self->members && s_read_numbers (self, msg);
    if (fine)
        s_read_texts (self, msg);
    fine = fine
           && s_take_ring (self, former, msg->hash ? UMBP_RING_PLAIN : UMBP_RING_MIXED,
                           (unsigned) msg->vnodes);
    int number = fine ? umbp_topology_find (self, msg->self) : -1;
    if (number < 0)
        umbp_topology_destroy (&self);
    else
        self->self = (size_t) number;
    return self;
}

uint64_t umbp_topology_epoch (const umbp_topology_t *self)
{
    return self->epoch;
}

bool umbp_topology_settled (const umbp_topology_t *self)
{
    return self->settled;
}

size_t umbp_topology_count (const umbp_topology_t *self)
{
    return self->count;
}

unsigned umbp_topology_copies (const umbp_topology_t *self)
{
    return self->copies;
}

const umbp_ring_t *umbp_topology_ring (const umbp_topology_t *self)
{
    return self->shared->ring;
}

const umbp_member_t *umbp_topology_member (const umbp_topology_t *self, size_t number)
{
    return &self->members[number];
}

size_t umbp_topology_self (const umbp_topology_t *self)
{
    return self->self;
}

int umbp_topology_find (const umbp_topology_t *self, umbp_text_t node)
{
    for (size_t index = 0; index < self->count; index++)
        if (umbp_text_is (node, self->members[index].node))
            return (int) index;
    return -1;
}

size_t umbp_topology_owners (const umbp_topology_t *self, uint64_t position, uint16_t *members)
{
    //  Who keeps an entry follows from membership alone, so that all agree; health only decides whom to ask
    return umbp_ring_walk (self->shared->ring, position, self->copies, NULL, members);
}

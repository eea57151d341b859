//  cluster/ring.c - consistent-hash ring. A table over the top bits of the hash says where in the
//  sorted array to look, with one entry per virtual node or more, so that a lookup is O(1) when the
//  hashes are spread and a binary search in the worst case.
#include "cluster/ring.h"
#include "proto/error.h"

#include <czmq.h>

#define FNV_OFFSET 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull
#define LANES 4                         //  Multiply and xor take 4 cycles, one can start per cycle
#define LINEAR_MAX 8                    //  Shorter stretches are scanned, not halved
#define NEAR_MEMBERS 8                  //  Up to so many members are told apart by comparing them
#define NEAR_VNODES 32                  //  ... within so many virtual nodes
#define MEMBERS_MAX 65536
#define WEIGHT_MAX 400

typedef struct {
    uint64_t hash;
    uint16_t member;
    uint16_t number;                    //  The part after # in what was hashed
} vnode_t;

struct umbp_ring {
    umbp_ring_hash_t hash;
    unsigned replicas;                  //  Virtual nodes of a node of weight 100
    vnode_t *vnodes;                    //  Sorted by s_compare
    size_t vnode_count;
    uint32_t *starts;                   //  Index of the first vnode with hash >> shift >= entry
    unsigned shift;
    char **ids;                         //  By member number, NULL where there is none
    size_t member_limit;                //  Entries in ids
    size_t node_count;
};

static uint64_t s_fnv1a_more (uint64_t hash, const uint8_t *data, size_t size)
{
    for (size_t index = 0; index < size; index++)
        hash = (hash ^ data[index]) * FNV_PRIME;
    return hash;
}

uint64_t umbp_ring_fnv1a (const void *data, size_t size)
{
    return s_fnv1a_more (FNV_OFFSET, data, size);
}

uint64_t umbp_ring_mix (uint64_t hash)
{
    hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdull;
    hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53ull;
    return hash ^ (hash >> 33);
}

static uint64_t s_place (const umbp_ring_t *self, uint64_t fnv)
{
    return self->hash == UMBP_RING_MIXED ? umbp_ring_mix (fnv) : fnv;
}

uint64_t umbp_ring_position (const umbp_ring_t *self, const void *key, size_t size)
{
    return s_place (self, s_fnv1a_more (FNV_OFFSET, key, size));
}

//  A key on its way through the hash
typedef struct {
    const uint8_t *data;
    size_t left;
    uint64_t hash;
    size_t index;                       //  Where its position goes
} lane_t;

static size_t s_least_left (const lane_t *lanes)
{
    size_t least = lanes[0].left;
    for (size_t lane = 1; lane < LANES; lane++)
        if (lanes[lane].left < least)
            least = lanes[lane].left;
    return least;
}

//  Hash so many bytes in every lane. Written out, because the compiler must keep the four chains
//  in registers.
static void s_advance (lane_t *lanes, size_t size)
{
    const uint8_t *data0 = lanes[0].data, *data1 = lanes[1].data;
    const uint8_t *data2 = lanes[2].data, *data3 = lanes[3].data;
    uint64_t hash0 = lanes[0].hash, hash1 = lanes[1].hash;
    uint64_t hash2 = lanes[2].hash, hash3 = lanes[3].hash;
    for (size_t index = 0; index < size; index++) {
        hash0 = (hash0 ^ data0[index]) * FNV_PRIME;
        hash1 = (hash1 ^ data1[index]) * FNV_PRIME;
        hash2 = (hash2 ^ data2[index]) * FNV_PRIME;
        hash3 = (hash3 ^ data3[index]) * FNV_PRIME;
    }
    const uint64_t hashes[LANES] = { hash0, hash1, hash2, hash3 };
    for (size_t lane = 0; size && lane < LANES; lane++) {
        lanes[lane].hash = hashes[lane];
        lanes[lane].data += size;
        lanes[lane].left -= size;
    }
}

void umbp_ring_positions (const umbp_ring_t *self, const uint8_t *const *keys,
                          const uint16_t *sizes, size_t count, uint64_t *out)
{
    lane_t lanes[LANES];
    size_t next = 0, live = 0;
    for (; live < LANES && next < count; live++, next++)
        lanes[live] = (lane_t) { keys[next], sizes[next], FNV_OFFSET, next };
    while (live == LANES) {
        s_advance (lanes, s_least_left (lanes));
        for (size_t lane = 0; lane < live;) {
            if (lanes[lane].left) {
                lane++;
                continue;
            }
            out[lanes[lane].index] = s_place (self, lanes[lane].hash);
            if (next < count) {
                lanes[lane++] = (lane_t) { keys[next], sizes[next], FNV_OFFSET, next };
                next++;
            } else
                lanes[lane] = lanes[--live];
        }
    }
    for (size_t lane = 0; lane < live; lane++)
        out[lanes[lane].index] =
            s_place (self, s_fnv1a_more (lanes[lane].hash, lanes[lane].data, lanes[lane].left));
}

umbp_ring_t *umbp_ring_new (umbp_ring_hash_t hash, unsigned vnodes)
{
    if ((hash != UMBP_RING_MIXED && hash != UMBP_RING_PLAIN) || vnodes > UMBP_RING_REPLICAS_MAX)
        return NULL;
    umbp_ring_t *self = zmalloc (sizeof (umbp_ring_t));
    self->hash = hash;
    self->replicas = vnodes ? vnodes : 1;
    return self;
}

void umbp_ring_destroy (umbp_ring_t **self_p)
{
    assert (self_p);
    umbp_ring_t *self = *self_p;
    if (!self)
        return;
    for (size_t member = 0; member < self->member_limit; member++)
        free (self->ids[member]);
    free (self->ids);
    free (self->vnodes);
    free (self->starts);
    freen (*self_p);
}

//  Fill the table of starts anew
static void s_index (umbp_ring_t *self)
{
    unsigned bits = 1;
    while (((size_t) 1 << bits) < self->vnode_count)
        bits++;
    size_t buckets = (size_t) 1 << bits;
    free (self->starts);
    self->starts = zmalloc ((buckets + 1) * sizeof (uint32_t));
    self->shift = 64 - bits;
    size_t index = 0;
    for (size_t bucket = 0; bucket <= buckets; bucket++) {
        while (index < self->vnode_count && self->vnodes[index].hash >> self->shift < bucket)
            index++;
        self->starts[bucket] = (uint32_t) index;
    }
}

static int s_compare (const void *left_p, const void *right_p, void *arg)
{
    const umbp_ring_t *self = arg;
    const vnode_t *left = left_p, *right = right_p;
    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    if (left->member != right->member)
        return strcmp (self->ids[left->member], self->ids[right->member]);
    return (int) left->number - (int) right->number;
}

//  Write the virtual nodes of one node, not sorted
static void s_write (const umbp_ring_t *self, uint16_t member, size_t count, vnode_t *made)
{
    const char *id = self->ids[member];
    uint64_t stem = s_fnv1a_more (umbp_ring_fnv1a (id, strlen (id)), (const uint8_t *) "#", 1);
    for (size_t number = 0; number < count; number++) {
        char digits[24];
        int size = snprintf (digits, sizeof digits, "%zu", number);
        uint64_t fnv = s_fnv1a_more (stem, (const uint8_t *) digits, (size_t) size);
        made[number] = (vnode_t) { s_place (self, fnv), member, (uint16_t) number };
    }
}

//  The virtual nodes of one node, sorted
static vnode_t *s_make (umbp_ring_t *self, uint16_t member, size_t count)
{
    vnode_t *made = zmalloc (count * sizeof (vnode_t));
    s_write (self, member, count, made);
    qsort_r (made, count, sizeof (vnode_t), s_compare, self);
    return made;
}

//  Merge sorted virtual nodes into the ring's own
static void s_merge (umbp_ring_t *self, const vnode_t *made, size_t count)
{
    size_t total = self->vnode_count + count;
    vnode_t *merged = zmalloc (total * sizeof (vnode_t));
    size_t old = 0, fresh = 0;
    for (size_t index = 0; index < total; index++) {
        if (fresh == count
            || (old < self->vnode_count && s_compare (&self->vnodes[old], &made[fresh], self) < 0))
            merged[index] = self->vnodes[old++];
        else
            merged[index] = made[fresh++];
    }
    free (self->vnodes);
    self->vnodes = merged;
    self->vnode_count = total;
}

//  Make room for a member number
static void s_reach (umbp_ring_t *self, uint16_t member)
{
    if (member < self->member_limit)
        return;
    size_t limit = (size_t) member + 1;
    char **ids = zmalloc (limit * sizeof (char *));
    if (self->member_limit)
        memcpy (ids, self->ids, self->member_limit * sizeof (char *));
    free (self->ids);
    self->ids = ids;
    self->member_limit = limit;
}

//  The member number of an id, or member_limit if it is not on the ring
static size_t s_member (const umbp_ring_t *self, const char *id)
{
    size_t member = 0;
    while (member < self->member_limit
           && (!self->ids[member] || strcmp (self->ids[member], id) != 0))
        member++;
    return member;
}

int umbp_ring_add (umbp_ring_t *self, const char *id, unsigned weight_percent, uint16_t member)
{
    if (!id || !*id || strnlen (id, UMBP_RING_ID_MAX + 1) > UMBP_RING_ID_MAX || weight_percent < 1
        || weight_percent > WEIGHT_MAX)
        return UMBP_EINVAL;
    if (s_member (self, id) < self->member_limit
        || (member < self->member_limit && self->ids[member]))
        return UMBP_EEXIST;
    size_t count = (size_t) self->replicas * weight_percent / 100;
    if (count == 0)
        count = 1;
    if (count > UMBP_RING_VNODES_MAX - self->vnode_count)
        return UMBP_ENOSPC;

    s_reach (self, member);
    self->ids[member] = strdup (id);
    assert (self->ids[member]);         //  As zmalloc: without memory there is no going on
    vnode_t *made = s_make (self, member, count);
    s_merge (self, made, count);
    free (made);
    self->node_count++;
    s_index (self);
    return 0;
}

static bool s_id_ok (const char *id)
{
    return id && *id && strnlen (id, UMBP_RING_ID_MAX + 1) <= UMBP_RING_ID_MAX;
}

int umbp_ring_add_all (umbp_ring_t *self, const char *const *ids, const uint16_t *members,
                       size_t count)
{
    if (self->node_count > 0)
        return UMBP_EEXIST;
    for (size_t index = 0; index < count; index++)
        if (!s_id_ok (ids[index])
            || (index > 0
                && (members[index] <= members[index - 1]
                    || strcmp (ids[index], ids[index - 1]) <= 0)))
            return UMBP_EINVAL;
    if (count > UMBP_RING_VNODES_MAX / self->replicas)
        return UMBP_ENOSPC;
    if (count == 0)
        return 0;
    s_reach (self, members[count - 1]);
    free (self->vnodes);
    self->vnodes = zmalloc (count * self->replicas * sizeof (vnode_t));
    for (size_t index = 0; index < count; index++) {
        self->ids[members[index]] = strdup (ids[index]);
        assert (self->ids[members[index]]);
        s_write (self, members[index], self->replicas, self->vnodes + index * self->replicas);
    }
    self->vnode_count = count * self->replicas;
    self->node_count = count;
    qsort_r (self->vnodes, self->vnode_count, sizeof (vnode_t), s_compare, self);
    s_index (self);
    return 0;
}

int umbp_ring_remove (umbp_ring_t *self, const char *id)
{
    size_t member = id ? s_member (self, id) : self->member_limit;
    if (member == self->member_limit)
        return 0;
    size_t kept = 0;
    for (size_t index = 0; index < self->vnode_count; index++)
        if (self->vnodes[index].member != member)
            self->vnodes[kept++] = self->vnodes[index];
    self->vnode_count = kept;
    self->node_count--;
    freen (self->ids[member]);
    s_index (self);
    return 0;
}

size_t umbp_ring_node_count (const umbp_ring_t *self)
{
    return self->node_count;
}

size_t umbp_ring_vnode_count (const umbp_ring_t *self)
{
    return self->vnode_count;
}

size_t umbp_ring_find (const umbp_ring_t *self, uint64_t position)
{
    if (self->vnode_count == 0)
        return 0;
    size_t bucket = position >> self->shift;
    size_t low = self->starts[bucket], high = self->starts[bucket + 1];
    while (high - low > LINEAR_MAX) {
        size_t middle = low + (high - low) / 2;
        if (self->vnodes[middle].hash < position)
            low = middle + 1;
        else
            high = middle;
    }
    while (low < high && self->vnodes[low].hash < position)
        low++;
    return low < self->vnode_count ? low : 0;
}

//  The usual case: few members, found close by. Returns how many, which is fewer than n if it
//  gave up.
static size_t s_walk_near (const umbp_ring_t *self, size_t index, size_t n, const bool *healthy,
                           uint16_t *out)
{
    size_t found = 0;
    for (size_t steps = 0; steps < NEAR_VNODES && found < n; steps++) {
        uint16_t member = self->vnodes[index].member;
        size_t seen = 0;
        while (seen < found && out[seen] != member)
            seen++;
        if (seen == found && (!healthy || healthy[member]))
            out[found++] = member;
        if (++index == self->vnode_count)
            index = 0;
    }
    return found;
}

//  The general case: a bit for each member seen, healthy or not, so that it ends once all were
static size_t s_walk_far (const umbp_ring_t *self, size_t index, size_t n, const bool *healthy,
                          uint16_t *out)
{
    uint64_t seen[MEMBERS_MAX / 64];
    memset (seen, 0, (self->member_limit + 63) / 64 * sizeof (uint64_t));
    size_t found = 0;
    for (size_t nodes = 0; nodes < self->node_count && found < n;) {
        uint16_t member = self->vnodes[index].member;
        uint64_t bit = 1ull << member % 64;
        if (!(seen[member / 64] & bit)) {
            seen[member / 64] |= bit;
            nodes++;
            if (!healthy || healthy[member])
                out[found++] = member;
        }
        if (++index == self->vnode_count)
            index = 0;
    }
    return found;
}

size_t umbp_ring_walk (const umbp_ring_t *self, uint64_t position, size_t n, const bool *healthy,
                       uint16_t *members_out)
{
    if (n > self->node_count)
        n = self->node_count;
    if (n == 0)
        return 0;
    size_t index = umbp_ring_find (self, position);
    if (n <= NEAR_MEMBERS && s_walk_near (self, index, n, healthy, members_out) == n)
        return n;
    return s_walk_far (self, index, n, healthy, members_out);
}

int umbp_ring_vnode (const umbp_ring_t *self, size_t index, uint64_t *hash, uint16_t *member)
{
    if (index >= self->vnode_count)
        return UMBP_EINVAL;
    *hash = self->vnodes[index].hash;
    *member = self->vnodes[index].member;
    return 0;
}

double umbp_ring_share (const umbp_ring_t *self, uint16_t member)
{
    const double circle = 18446744073709551616.0;       //  2^64
    double sum = 0;
    for (size_t index = 0; index < self->vnode_count; index++) {
        if (self->vnodes[index].member != member)
            continue;
        size_t before = (index ? index : self->vnode_count) - 1;
        uint64_t arc = self->vnodes[index].hash - self->vnodes[before].hash;
        //  The first one follows the last: no distance means that all hashes are equal
        sum += index == 0 && arc == 0 ? circle : (double) arc;
    }
    return sum / circle;
}

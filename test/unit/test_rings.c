//  test/unit/test_rings.c - rings one after the other: whoever writes by the rules of rings.h and whoever reads by
//  them meet at some owner, however far apart the two are on the way from one ring to the next
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cluster/rings.h"
#include "proto/splitmix.h"
#include "test/unit/crowd.h"

#define KEYS 200
#define POOL 6                          //  Nodes that come and go
#define STEPS 40                        //  Rings in a row

static const char *const s_names[POOL] = { "a", "b", "c", "d", "e", "f" };

//  A ring of the nodes in this set; "a" is always there and is the one who sees it
static umbp_topology_t *s_ring (unsigned set, uint64_t epoch, bool settled)
{
    crowd_t rows[POOL];
    uint32_t count = 0;
    for (unsigned node = 0; node < POOL; node++)
        if (set & 1u << node)
            rows[count++] = (crowd_t) { .node = s_names[node], .epoch = 1, .total = 1 };
    crowd_unsettled = !settled;
    return crowd_new (rows, count, "a", epoch);
}

static void s_take (umbp_rings_t *rings, unsigned set, uint64_t epoch, bool settled)
{
    umbp_topology_t *topology = s_ring (set, epoch, settled);
    umbp_rings_take (rings, &topology);
    CU_ASSERT_PTR_NULL (topology);
}

static const char *s_name (const umbp_rings_t *rings, umbp_owner_t owner)
{
    return umbp_topology_member (rings->now, owner.member)->node;
}

static bool s_asks (const umbp_rings_t *rings, uint64_t position, const char *node)
{
    umbp_owner_t owners[UMBP_OWNERS_MAX];
    size_t count = umbp_rings_owners (rings, position, owners);
    for (size_t index = 0; index < count; index++)
        if (strcmp (s_name (rings, owners[index]), node) == 0)
            return true;
    return false;
}

//  Who has heard of a put that is done: one owner in each ring that the writer needs, and nobody else
static size_t s_heard_by (const umbp_rings_t *rings, uint64_t position, const char **nodes)
{
    uint8_t needed = umbp_rings_needed (rings);
    umbp_owner_t owners[UMBP_OWNERS_MAX];
    size_t count = umbp_rings_owners (rings, position, owners), used = 0;
    for (size_t index = count; index > 0; index--)
        if (owners[index - 1].in & needed) {
            needed &= (uint8_t) ~owners[index - 1].in;
            nodes[used++] = s_name (rings, owners[index - 1]);
        }
    return used;
}

//  Whether all owners in the ring of the one behind have left, as the other one sees it: then nobody could know
static bool s_is_lost (const umbp_rings_t *writer, const umbp_rings_t *reader, bool reader_behind,
                       uint64_t position)
{
    const umbp_topology_t *behind = reader_behind ? reader->now : writer->now;
    const umbp_topology_t *ahead = reader_behind ? writer->now : reader->now;
    uint16_t walk[UMBP_COPIES_MAX];
    size_t count = umbp_topology_owners (behind, position, walk), left = 0;
    for (size_t index = 0; index < count; index++)
        left +=
            umbp_topology_find (ahead, umbp_text (umbp_topology_member (behind, walk[index])->node))
            < 0;
    return reader_behind ? left == count
                         : left > 0; //  Of a writer's owners one may be all who heard
}

static void test_one (void)
{
    umbp_rings_t rings = { 0 };
    umbp_owner_t owners[UMBP_OWNERS_MAX];
    umbp_topology_t *topology = s_ring (7, 1, true);
    CU_ASSERT (umbp_rings_take (&rings, &topology));
    topology = s_ring (7, 1, true);
    CU_ASSERT (!umbp_rings_take (&rings, &topology) && rings.past_count == 0);
    uint16_t walk[UMBP_COPIES_MAX];
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t position = umbp_ring_mix (key);
        CU_ASSERT (umbp_rings_owners (&rings, position, owners) == CROWD_COPIES);
        CU_ASSERT (umbp_topology_owners (rings.now, position, walk) == CROWD_COPIES);
        for (size_t index = 0; index < CROWD_COPIES; index++)
            CU_ASSERT (owners[index].member == walk[index] && owners[index].in == UMBP_IN_NOW);
    }
    umbp_rings_clear (&rings);
    umbp_rings_clear (&rings);
}

//  Owners now come first, in their order; then those before, the latest first; each once, with all it is
static void test_order (void)
{
    umbp_rings_t rings = { 0 };
    s_take (&rings, 7, 1, true);
    s_take (&rings, 15, 2, false);
    s_take (&rings, 63, 3, false);
    CU_ASSERT (rings.past_count == 2 && rings.base == 0);
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t position = umbp_ring_mix (key);
        umbp_owner_t owners[UMBP_OWNERS_MAX];
        size_t count = umbp_rings_owners (&rings, position, owners);
        unsigned last = 0;
        for (size_t index = 0; index < count; index++) {
            unsigned in = owners[index].in;
            unsigned rank = in & UMBP_IN_NOW ? 0 : in & UMBP_IN_PAST (1) ? 1 : 2;
            CU_ASSERT (rank >= last && in != 0);
            last = rank;
            for (size_t other = 0; other < index; other++)
                CU_ASSERT (owners[other].member != owners[index].member);
        }
        uint16_t walk[UMBP_COPIES_MAX];
        umbp_topology_owners (rings.now, position, walk);
        CU_ASSERT (owners[0].member == walk[0] && owners[1].member == walk[1]);
    }
    s_take (&rings, 63, 3, true);       //  Now it is settled; a change makes it the base
    s_take (&rings, 31, 4, false);
    CU_ASSERT (rings.past_count == 3 && rings.base == 2);
    umbp_rings_forget (&rings);
    CU_ASSERT (rings.past_count == 0 && rings.now);
    umbp_rings_clear (&rings);
}

//  Former owners that left the cluster are nobody
static void test_gone (void)
{
    umbp_rings_t rings = { 0 };
    s_take (&rings, 63, 1, true);
    s_take (&rings, 1, 2, false);
    for (uint64_t key = 0; key < KEYS; key++) {
        umbp_owner_t owners[UMBP_OWNERS_MAX];
        CU_ASSERT (umbp_rings_owners (&rings, umbp_ring_mix (key), owners) == 1);
        CU_ASSERT (owners[0].member == 0 && owners[0].in & UMBP_IN_NOW);
        CU_ASSERT (umbp_rings_bereft (&rings, umbp_ring_mix (key)));
    }
    umbp_rings_forget (&rings);
    CU_ASSERT (!umbp_rings_bereft (&rings, 1));
    s_take (&rings, 63, 3, true);
    CU_ASSERT (!umbp_rings_bereft (&rings, 1));
    umbp_rings_clear (&rings);
}

//  There is a bound, and the base outlives it
static void test_many (void)
{
    umbp_rings_t rings = { 0 }, copy = { 0 };
    s_take (&rings, 1, 1, true);
    for (uint64_t turn = 0; turn < 20; turn++) {
        s_take (&rings, 1 | (turn % 31) << 1, 2 + turn, false);
        CU_ASSERT (rings.past_count <= UMBP_PAST_MAX && rings.base == 0);
        CU_ASSERT (umbp_topology_epoch (rings.past[0]) == 1);
        CU_ASSERT (rings.lost == (turn >= UMBP_PAST_MAX));
        umbp_rings_copy (&rings, &copy);
        for (uint64_t key = 0; key < 20; key++) {
            umbp_owner_t one[UMBP_OWNERS_MAX], other[UMBP_OWNERS_MAX];
            uint64_t position = umbp_ring_mix (key);
            size_t count = umbp_rings_owners (&rings, position, one);
            CU_ASSERT (umbp_rings_owners (&copy, position, other) == count);
            for (size_t index = 0; index < count; index++)
                CU_ASSERT (one[index].member == other[index].member
                           && one[index].in == other[index].in);
        }
        umbp_rings_clear (&copy);
    }
    umbp_rings_forget (&rings);
    CU_ASSERT (!rings.lost);
    umbp_rings_clear (&rings);
}

//  A history of rings that two nodes see one after the other, each at its own pace. A ring is settled for both as
//  soon as both have seen it, but each hears of that later, or never.
static void test_meet (void)
{
    uint64_t seed = (uint64_t) time (NULL) << 16 ^ (uint64_t) getpid (), state = seed;
    printf ("(seed %llu) ", (unsigned long long) seed);
    size_t lost = 0;
    for (int round = 0; round < 30; round++) {
        unsigned sets[STEPS];
        for (unsigned step = 0; step < STEPS; step++)
            sets[step] = 1 | (unsigned) (umbp_splitmix (&state) & 62);
        umbp_rings_t writer = { 0 }, reader = { 0 };
        unsigned at[2] = { 0, 0 }, low = 0;
        umbp_rings_t *both[2] = { &writer, &reader };
        s_take (&writer, sets[0], 1, true);
        s_take (&reader, sets[0], 1, true);
        while (at[0] < STEPS - 1 || at[1] < STEPS - 1) {
            uint64_t drawn = umbp_splitmix (&state);
            unsigned who = drawn & 1;
            if (at[0] == at[1] && drawn & 2)                 //  It hears that the other one is here too
                s_take (both[who], sets[at[who]], 1 + at[who], true);
            else if (at[who] < STEPS - 1 && at[who] < low + UMBP_PAST_MAX - 1) {
                at[who]++;
                s_take (both[who], sets[at[who]], 1 + at[who], false);
            }
            low = at[0] < at[1] ? at[0] : at[1];
            if (who == 1 && umbp_topology_settled (reader.now))
                umbp_rings_forget (&reader);
            if (who == 0 && umbp_topology_settled (writer.now) && drawn & 4)
                umbp_rings_forget (&writer);                 //  Later than it could
            for (uint64_t key = 0; key < 20; key++) {
                uint64_t position = umbp_splitmix (&state);
                const char *nodes[UMBP_OWNERS_MAX];
                size_t count = s_heard_by (&writer, position, nodes);
                bool met = false;
                for (size_t index = 0; index < count; index++)
                    met |= s_asks (&reader, position, nodes[index]);
                CU_ASSERT (met || s_is_lost (&writer, &reader, at[1] <= at[0], position));
                lost += !met;
            }
        }
        umbp_rings_clear (&writer);
        umbp_rings_clear (&reader);
    }
    printf ("(%zu lost with nodes that left) ", lost);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("rings", NULL, NULL);
    CU_ADD_TEST (suite, test_one);
    CU_ADD_TEST (suite, test_order);
    CU_ADD_TEST (suite, test_gone);
    CU_ADD_TEST (suite, test_many);
    CU_ADD_TEST (suite, test_meet);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

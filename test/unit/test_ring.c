//  test/unit/test_ring.c - the ring against published vectors, its limits, and how fair it is.
//  With the argument bench it measures instead.
#include "cluster/ring.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof (array) / sizeof *(array))

static const char *const s_abc[] = { "node-a", "node-b", "node-c" };

static umbp_ring_t *s_ring (umbp_ring_hash_t hash, unsigned vnodes)
{
    umbp_ring_t *ring = umbp_ring_new (hash, vnodes);
    for (uint16_t member = 0; member < COUNT (s_abc); member++)
        CU_ASSERT (umbp_ring_add (ring, s_abc[member], 100, member) == 0);
    return ring;
}

//  A ring of node-0, node-1 ...
static umbp_ring_t *s_numbered (umbp_ring_hash_t hash, unsigned nodes)
{
    umbp_ring_t *ring = umbp_ring_new (hash, 150);
    for (unsigned member = 0; member < nodes; member++) {
        char id[32];
        snprintf (id, sizeof id, "node-%u", member);
        CU_ASSERT_FATAL (umbp_ring_add (ring, id, 100, (uint16_t) member) == 0);
    }
    return ring;
}

static uint64_t s_position (const umbp_ring_t *ring, const char *key)
{
    return umbp_ring_position (ring, key, strlen (key));
}

//  Members from a key on as letters, a for member 0
static const char *s_walk (const umbp_ring_t *ring, const char *key, size_t n, const bool *healthy)
{
    static char letters[32];
    uint16_t members[16];
    size_t found = umbp_ring_walk (ring, s_position (ring, key), n, healthy, members);
    CU_ASSERT_FATAL (found <= n && found < sizeof letters);
    for (size_t index = 0; index < found; index++)
        letters[index] = (char) ('a' + members[index]);
    letters[found] = 0;
    return letters;
}

static uint64_t s_seed (void)
{
    struct timespec now;
    clock_gettime (CLOCK_REALTIME, &now);
    const char *given = getenv ("SEED");
    uint64_t seed =
        given ? strtoull (given, NULL, 0) : (uint64_t) now.tv_nsec ^ ((uint64_t) now.tv_sec << 30);
    printf (" seed=%" PRIu64 " ", seed);
    return seed;
}

static void test_hash_vectors (void)
{
    static const struct { const char *input; uint64_t plain, mixed; } vectors[] = {
        { "", 0xcbf29ce484222325, 0xefd01f60ba992926 },
        { "a", 0xaf63dc4c8601ec8c, 0x82a2a958a9bece5b },
        { "foo", 0xdcb27518fed9d577, 0xaf85ea5569581d4c },
        { "bar", 0x003934191339461a, 0xfe5ba5b707e030ed },
        { "foobar", 0x85944171f73967e8, 0x2c22194922d1672b },
        { "hello", 0xa430d84680aabd0b, 0xe9c562c0fdb23244 },
        { "node-0", 0xe696ebc220787810, 0x74bd04f6e09fed6d },
        { "node-1", 0xe696ecc2207879c3, 0x91dd3f4c04e1eb05 },
        { "node-0#0", 0x013a67d2f6465dfb, 0xf489257a27d62d0a },
        { "node-a#0", 0xa996aed3e69d0020, 0xac321ecac8794ee8 },
        { "node-a#1", 0xa996afd3e69d01d3, 0 },
        { "node-a#9", 0xa996b7d3e69d0f6b, 0 },
        { "node-a#10", 0xc80ea810dcca34b9, 0 },
        { "node-a#99", 0xc829af10dce10856, 0 },
        { "node-a#100", 0xbb1c1da72b9744cb, 0 },
        { "node-a#149", 0xbb2a1ca72ba38074, 0x8c7224a7dd119133 },
        { "node-b#0", 0xb246f5d3eb8ac51d, 0xfcf6ea2b6191947d },
        { "node-c#0", 0xba1d9cd3efbf897a, 0xd1828c5ccd4e3ef5 },
    };
    for (size_t index = 0; index < COUNT (vectors); index++) {
        const char *input = vectors[index].input;
        uint64_t plain = umbp_ring_fnv1a (input, strlen (input));
        CU_ASSERT (plain == vectors[index].plain);
        if (vectors[index].mixed)
            CU_ASSERT (umbp_ring_mix (plain) == vectors[index].mixed);
    }
    CU_ASSERT (umbp_ring_fnv1a (NULL, 0) == 14695981039346656037ull);
    CU_ASSERT (umbp_ring_fnv1a ("hello", 5) == 11831194018420276491ull);
    CU_ASSERT (umbp_ring_fnv1a ("node-0#0", 8) == 88497298459745787ull);
}

static const struct {
    const char *key, *plain, *plain_b_ill, *mixed;
    size_t index;
    uint64_t vnode;
} s_walks[] = {
    { "", "bca", "c", "cab", 310, 0xf5fa2ee24b209510 },
    { "hello", "abc", "a", "cab", 140, 0xa996aed3e69d0020 },
    { "foo", "bca", "c", "acb", 310, 0xf5fa2ee24b209510 },
    { "alpha", "abc", "a", "bca", 140, 0xa996aed3e69d0020 },
    { "beta", "bac", "a", "bca", 50, 0x793a4c193cb30ba0 },
    { "gamma", "cba", "c", "cab", 0, 0x400fd10754361126 },
    { "block:0", "abc", "a", "bca", 140, 0xa996aed3e69d0020 },
    { "request-1", "bca", "c", "bac", 310, 0xf5fa2ee24b209510 },
    { "my-request-key", "bac", "a", "cba", 50, 0x793a4c193cb30ba0 },
    { "key-0", "bac", "a", "acb", 50, 0x793a4c193cb30ba0 },
    { "w40500", "cba", "c", NULL, 0, 0x400fd10754361126 },
};

static void test_walk_vectors (void)
{
    static const bool b_ill[] = { true, false, true };
    umbp_ring_t *plain = s_ring (UMBP_RING_PLAIN, 150), *mixed = s_ring (UMBP_RING_MIXED, 150);
    for (size_t index = 0; index < COUNT (s_walks); index++) {
        const char *key = s_walks[index].key;
        size_t at = umbp_ring_find (plain, s_position (plain, key));
        uint64_t hash = 0;
        uint16_t member = 99;
        CU_ASSERT (at == s_walks[index].index);
        CU_ASSERT (umbp_ring_vnode (plain, at, &hash, &member) == 0);
        CU_ASSERT (hash == s_walks[index].vnode && member == s_walks[index].plain[0] - 'a');
        CU_ASSERT_STRING_EQUAL (s_walk (plain, key, 3, NULL), s_walks[index].plain);
        CU_ASSERT_STRING_EQUAL (s_walk (plain, key, 1, b_ill), s_walks[index].plain_b_ill);
        if (s_walks[index].mixed)
            CU_ASSERT_STRING_EQUAL (s_walk (mixed, key, 3, NULL), s_walks[index].mixed);
    }
    CU_ASSERT (s_position (plain, "w40500") == 0xfffaa87d0a66713d);
    umbp_ring_destroy (&plain);
    umbp_ring_destroy (&mixed);
    CU_ASSERT_PTR_NULL (mixed);
}

static void s_expect_vnode (const umbp_ring_t *ring, size_t index, uint64_t hash, uint16_t member)
{
    uint64_t is_hash = 0;
    uint16_t is_member = 0;
    CU_ASSERT (umbp_ring_vnode (ring, index, &is_hash, &is_member) == 0);
    CU_ASSERT (is_hash == hash && is_member == member);
}

static void test_vnode_vectors (void)
{
    umbp_ring_t *plain = s_ring (UMBP_RING_PLAIN, 150), *mixed = s_ring (UMBP_RING_MIXED, 150);
    s_expect_vnode (plain, 0, 0x400fd10754361126, 2);
    s_expect_vnode (plain, 1, 0x400fd207543612d9, 2);
    s_expect_vnode (plain, 449, 0xffde4e20627965ad, 2);
    s_expect_vnode (mixed, 0, 0x0028a99a50ce7c69, 2);
    s_expect_vnode (mixed, 449, 0xfe7169a8c83b0b44, 0);
    uint64_t last = 0;
    for (size_t index = 0; index < 450; index++) {
        uint64_t hash = 0;
        uint16_t member;
        CU_ASSERT (umbp_ring_vnode (mixed, index, &hash, &member) == 0 && hash > last);
        CU_ASSERT (umbp_ring_find (mixed, hash) == index);
        CU_ASSERT (umbp_ring_find (mixed, hash + 1) == (index + 1) % 450);
        CU_ASSERT (umbp_ring_find (mixed, last + 1) == index);
        last = hash;
        CU_ASSERT (umbp_ring_vnode (plain, index, &hash, &member) == 0);
        CU_ASSERT (umbp_ring_find (plain, hash) == index);
    }
    uint64_t hash;
    uint16_t member;
    CU_ASSERT (umbp_ring_vnode (mixed, 450, &hash, &member) == UMBP_EINVAL);
    CU_ASSERT (umbp_ring_find (mixed, 0) == 0);
    CU_ASSERT (umbp_ring_find (mixed, UINT64_MAX) == 0);
    umbp_ring_destroy (&plain);
    umbp_ring_destroy (&mixed);
}

static void test_counts (void)
{
    umbp_ring_t *ring = umbp_ring_new (UMBP_RING_MIXED, 50);
    uint16_t members[4] = { 7, 7, 7, 7 };
    CU_ASSERT (umbp_ring_node_count (ring) == 0 && umbp_ring_vnode_count (ring) == 0);
    CU_ASSERT (umbp_ring_walk (ring, 1, 3, NULL, members) == 0);
    CU_ASSERT (umbp_ring_find (ring, 1) == 0);
    CU_ASSERT (umbp_ring_remove (ring, "nobody") == 0);
    for (uint16_t member = 0; member < 3; member++) {
        CU_ASSERT (umbp_ring_add (ring, s_abc[member], 100, member) == 0);
        CU_ASSERT (umbp_ring_node_count (ring) == member + 1u);
        CU_ASSERT (umbp_ring_vnode_count (ring) == 50 * (member + 1u));
    }
    for (size_t n = 0; n <= 4; n++)
        CU_ASSERT (strlen (s_walk (ring, "hello", n, NULL)) == (n < 3 ? n : 3));
    umbp_ring_destroy (&ring);

    ring = umbp_ring_new (UMBP_RING_MIXED, 0);
    CU_ASSERT (umbp_ring_add (ring, "alone", 1, 4) == 0);
    CU_ASSERT (umbp_ring_vnode_count (ring) == 1);
    CU_ASSERT_DOUBLE_EQUAL (umbp_ring_share (ring, 4), 1, 0);
    CU_ASSERT_DOUBLE_EQUAL (umbp_ring_share (ring, 3), 0, 0);
    static const char *const keys[] = { "a", "b", "c", "hello", "world", "12345" };
    for (size_t index = 0; index < COUNT (keys); index++) {
        CU_ASSERT (umbp_ring_walk (ring, s_position (ring, keys[index]), 3, NULL, members) == 1);
        CU_ASSERT (members[0] == 4 && members[1] == 7);
    }
    umbp_ring_destroy (&ring);
    umbp_ring_destroy (&ring);
}

static void test_refuses (void)
{
    CU_ASSERT_PTR_NULL (umbp_ring_new (UMBP_RING_MIXED, UMBP_RING_REPLICAS_MAX + 1));
    CU_ASSERT_PTR_NULL (umbp_ring_new ((umbp_ring_hash_t) 2, 150));
    umbp_ring_t *ring = umbp_ring_new (UMBP_RING_PLAIN, UMBP_RING_REPLICAS_MAX);
    char id[UMBP_RING_ID_MAX + 2];
    memset (id, 'x', sizeof id);
    id[UMBP_RING_ID_MAX + 1] = 0;
    CU_ASSERT (umbp_ring_add (ring, id, 100, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_ring_add (ring, "", 100, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_ring_add (ring, NULL, 100, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_ring_add (ring, "a", 0, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_ring_add (ring, "a", 401, 0) == UMBP_EINVAL);
    id[UMBP_RING_ID_MAX] = 0;
    CU_ASSERT (umbp_ring_add (ring, id, 1, 0) == 0);
    CU_ASSERT (umbp_ring_add (ring, id, 1, 1) == UMBP_EEXIST);
    CU_ASSERT (umbp_ring_add (ring, "other", 1, 0) == UMBP_EEXIST);
    CU_ASSERT (umbp_ring_node_count (ring) == 1);
    CU_ASSERT (umbp_ring_remove (ring, NULL) == 0);
    CU_ASSERT (umbp_ring_remove (ring, id) == 0);
    CU_ASSERT (umbp_ring_node_count (ring) == 0 && umbp_ring_vnode_count (ring) == 0);
    CU_ASSERT (umbp_ring_add (ring, "last", 1, UINT16_MAX) == 0);
    uint16_t member = 0;
    CU_ASSERT (umbp_ring_walk (ring, 5, 1, NULL, &member) == 1 && member == UINT16_MAX);
    umbp_ring_destroy (&ring);
}

static void test_refuses_when_full (void)
{
    const unsigned fits = UMBP_RING_VNODES_MAX / (4 * UMBP_RING_REPLICAS_MAX);
    umbp_ring_t *ring = umbp_ring_new (UMBP_RING_MIXED, UMBP_RING_REPLICAS_MAX);
    char id[32];
    for (unsigned member = 0; member < fits; member++) {
        snprintf (id, sizeof id, "node-%u", member);
        CU_ASSERT (umbp_ring_add (ring, id, 400, (uint16_t) member) == 0);
    }
    CU_ASSERT (umbp_ring_vnode_count (ring) == UMBP_RING_VNODES_MAX);
    CU_ASSERT (umbp_ring_add (ring, "late", 1, 9999) == UMBP_ENOSPC);
    CU_ASSERT (umbp_ring_node_count (ring) == fits);
    CU_ASSERT (umbp_ring_remove (ring, id) == 0);
    CU_ASSERT (umbp_ring_add (ring, "late", 1, 9999) == 0);
    umbp_ring_destroy (&ring);
}

//  These two ids have the same FNV-1a, so each virtual node of one has the hash of one of the other
static void test_ties_go_by_id_and_number (void)
{
    static const char first[] = "pu07US6fn64-OP", second[] = "wZ06YWQ-6C5jB_";
    CU_ASSERT_FATAL (umbp_ring_fnv1a (first, 14) == umbp_ring_fnv1a (second, 14));
    for (int swapped = 0; swapped < 2; swapped++) {
        umbp_ring_t *ring = umbp_ring_new (UMBP_RING_MIXED, 150);
        CU_ASSERT (umbp_ring_add (ring, swapped ? second : first, 100, swapped ? 5 : 9) == 0);
        CU_ASSERT (umbp_ring_add (ring, swapped ? first : second, 100, swapped ? 9 : 5) == 0);
        CU_ASSERT (umbp_ring_vnode_count (ring) == 300);
        uint16_t members[2], member;
        uint64_t hash = 0, next;
        for (size_t index = 0; index < 300; index++) {
            CU_ASSERT (umbp_ring_vnode (ring, index, &next, &member) == 0);
            CU_ASSERT (index % 2 ? member == 5 && next == hash : member == 9);
            CU_ASSERT (umbp_ring_find (ring, next) == index / 2 * 2);
            hash = next;
        }
        CU_ASSERT (umbp_ring_walk (ring, hash, 2, NULL, members) == 2);
        CU_ASSERT (members[0] == 9 && members[1] == 5);
        CU_ASSERT_DOUBLE_EQUAL (umbp_ring_share (ring, 9), 1, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL (umbp_ring_share (ring, 5), 0, 0);
        CU_ASSERT (umbp_ring_remove (ring, first) == 0);
        CU_ASSERT_DOUBLE_EQUAL (umbp_ring_share (ring, 5), 1, 1e-9);
        umbp_ring_destroy (&ring);

        //  All virtual nodes there are in one place
        ring = umbp_ring_new (UMBP_RING_PLAIN, 1);
        CU_ASSERT (umbp_ring_add (ring, swapped ? second : first, 100, swapped ? 5 : 9) == 0);
        CU_ASSERT (umbp_ring_add (ring, swapped ? first : second, 100, swapped ? 9 : 5) == 0);
        CU_ASSERT_DOUBLE_EQUAL (umbp_ring_share (ring, 9), 1, 0);
        CU_ASSERT_DOUBLE_EQUAL (umbp_ring_share (ring, 5), 0, 0);
        umbp_ring_destroy (&ring);
    }
}

static void test_weights (void)
{
    static const struct { unsigned weight; size_t vnodes; } asked[] = {
        { 100, 150 }, { 50, 75 }, { 1, 1 }, { 200, 300 }, { 400, 600 }, { 33, 49 },
    };
    for (size_t index = 0; index < COUNT (asked); index++) {
        umbp_ring_t *ring = umbp_ring_new (UMBP_RING_MIXED, 150);
        CU_ASSERT (umbp_ring_add (ring, "node-a", asked[index].weight, 0) == 0);
        CU_ASSERT (umbp_ring_vnode_count (ring) == asked[index].vnodes);
        umbp_ring_destroy (&ring);
    }
    umbp_ring_t *ring = umbp_ring_new (UMBP_RING_MIXED, 1000);
    CU_ASSERT (umbp_ring_add (ring, "one", 100, 0) == 0);
    CU_ASSERT (umbp_ring_add (ring, "three", 300, 1) == 0);
    CU_ASSERT_DOUBLE_EQUAL (umbp_ring_share (ring, 1), 0.75, 0.04);
    CU_ASSERT_DOUBLE_EQUAL (umbp_ring_share (ring, 0) + umbp_ring_share (ring, 1), 1, 1e-9);
    umbp_ring_destroy (&ring);
}

//  The largest arc relative to a fair one, and the smallest
static void s_spread (umbp_ring_hash_t hash, unsigned nodes, double *max, double *min)
{
    umbp_ring_t *ring = s_numbered (hash, nodes);
    double sum = 0;
    *max = 0;
    *min = nodes;
    for (unsigned member = 0; member < nodes; member++) {
        double share = umbp_ring_share (ring, (uint16_t) member);
        sum += share;
        *max = share * nodes > *max ? share * nodes : *max;
        *min = share * nodes < *min ? share * nodes : *min;
    }
    CU_ASSERT_DOUBLE_EQUAL (sum, 1, 1e-9);
    umbp_ring_destroy (&ring);
}

static void test_spread (void)
{
    static const struct {
        unsigned nodes;
        double plain_max, plain_min, mixed_max, mixed_min;
    } vectors[] = {
        { 2, 1.37, 0.63, 1.04, 0.96 },   { 3, 1.54, 0.64, 1.10, 0.91 },
        { 8, 1.50, 0.44, 1.11, 0.87 },   { 16, 2.22, 0.36, 1.18, 0.81 },
        { 64, 2.54, 0.14, 1.22, 0.79 },  { 256, 3.53, 0.15, 1.23, 0.77 },
    };
    double max, min;
    for (size_t index = 0; index < COUNT (vectors); index++) {
        s_spread (UMBP_RING_PLAIN, vectors[index].nodes, &max, &min);
        CU_ASSERT_DOUBLE_EQUAL (max, vectors[index].plain_max, 0.006);
        CU_ASSERT_DOUBLE_EQUAL (min, vectors[index].plain_min, 0.006);
        s_spread (UMBP_RING_MIXED, vectors[index].nodes, &max, &min);
        CU_ASSERT_DOUBLE_EQUAL (max, vectors[index].mixed_max, 0.006);
        CU_ASSERT_DOUBLE_EQUAL (min, vectors[index].mixed_min, 0.006);
        CU_ASSERT (max <= 1.25);
    }
}

static void test_newcomer_disrupts_little (void)
{
    enum { KEYS = 20000 };
    umbp_ring_t *ring = s_numbered (UMBP_RING_MIXED, 8);
    uint16_t *before = malloc (KEYS * sizeof *before), after, moved_to = 8;
    char key[32];
    for (int index = 0; index < KEYS; index++) {
        snprintf (key, sizeof key, "req-%d", index);
        umbp_ring_walk (ring, s_position (ring, key), 1, NULL, &before[index]);
    }
    CU_ASSERT (umbp_ring_add (ring, "node-8", 100, 8) == 0);
    int moved = 0;
    for (int index = 0; index < KEYS; index++) {
        snprintf (key, sizeof key, "req-%d", index);
        umbp_ring_walk (ring, s_position (ring, key), 1, NULL, &after);
        if (after != before[index]) {
            moved++;
            CU_ASSERT (after == moved_to);
        }
    }
    CU_ASSERT (moved > KEYS / 20 && moved <= KEYS * 15 / 100);
    CU_ASSERT (umbp_ring_remove (ring, "node-8") == 0);
    for (int index = 0; index < KEYS; index++) {
        snprintf (key, sizeof key, "req-%d", index);
        umbp_ring_walk (ring, s_position (ring, key), 1, NULL, &after);
        CU_ASSERT (after == before[index]);
    }
    free (before);
    umbp_ring_destroy (&ring);
}

//  Rings are equal whatever happened before
static void test_same_in_any_order (void)
{
    umbp_ring_t *forth = s_numbered (UMBP_RING_MIXED, 20);
    umbp_ring_t *back = umbp_ring_new (UMBP_RING_MIXED, 150);
    for (int member = 25; member >= 0; member--) {
        char id[32];
        snprintf (id, sizeof id, "node-%d", member);
        CU_ASSERT (umbp_ring_add (back, id, 100, (uint16_t) member) == 0);
    }
    for (int member = 20; member <= 25; member++) {
        char id[32];
        snprintf (id, sizeof id, "node-%d", member);
        CU_ASSERT (umbp_ring_remove (back, id) == 0);
    }
    CU_ASSERT (umbp_ring_vnode_count (forth) == umbp_ring_vnode_count (back));
    for (size_t index = 0; index < umbp_ring_vnode_count (forth); index++) {
        uint64_t hash = 0;
        uint16_t member = 0;
        CU_ASSERT (umbp_ring_vnode (forth, index, &hash, &member) == 0);
        s_expect_vnode (back, index, hash, member);
    }
    umbp_ring_destroy (&forth);
    umbp_ring_destroy (&back);
}

//  Many at once are the same ring as one by one; and what is refused leaves it empty
static void test_all_at_once (void)
{
    enum { NODES = 300 };
    static char ids[NODES][32];
    const char *list[NODES];
    uint16_t members[NODES];
    umbp_ring_t *one_by_one = umbp_ring_new (UMBP_RING_MIXED, 150);
    for (int index = 0; index < NODES; index++) {
        snprintf (ids[index], sizeof ids[index], "node-%03d", index);
        list[index] = ids[index];
        members[index] = (uint16_t) (2 * index + 3);
        CU_ASSERT (umbp_ring_add (one_by_one, ids[index], 100, members[index]) == 0);
    }
    umbp_ring_t *at_once = umbp_ring_new (UMBP_RING_MIXED, 150);
    members[7] = members[6];
    CU_ASSERT (umbp_ring_add_all (at_once, list, members, NODES) == UMBP_EINVAL);
    members[7] = 17;
    list[7] = list[6];
    CU_ASSERT (umbp_ring_add_all (at_once, list, members, NODES) == UMBP_EINVAL);
    list[7] = "";
    CU_ASSERT (umbp_ring_add_all (at_once, list, members, NODES) == UMBP_EINVAL);
    list[7] = ids[7];
    CU_ASSERT (umbp_ring_add_all (at_once, list, members, 0) == 0);
    CU_ASSERT (umbp_ring_vnode_count (at_once) == 0);
    CU_ASSERT (umbp_ring_add_all (at_once, list, members, NODES) == 0);
    CU_ASSERT (umbp_ring_add_all (at_once, list, members, NODES) == UMBP_EEXIST);
    CU_ASSERT (umbp_ring_node_count (at_once) == NODES);
    CU_ASSERT (umbp_ring_vnode_count (at_once) == umbp_ring_vnode_count (one_by_one));
    for (size_t index = 0; index < umbp_ring_vnode_count (one_by_one); index++) {
        uint64_t hash = 0;
        uint16_t member = 0;
        CU_ASSERT (umbp_ring_vnode (one_by_one, index, &hash, &member) == 0);
        s_expect_vnode (at_once, index, hash, member);
    }
    CU_ASSERT (umbp_ring_remove (at_once, "node-100") == 0);
    CU_ASSERT (umbp_ring_add (at_once, "node-100", 100, 203) == 0);
    umbp_ring_destroy (&one_by_one);
    umbp_ring_destroy (&at_once);
}

//  The walk as its definition has it, step by step
static size_t s_naive (const umbp_ring_t *ring, uint64_t position, size_t n, const bool *healthy,
                       uint16_t *out)
{
    size_t count = umbp_ring_vnode_count (ring), start = 0, found = 0;
    uint64_t hash = 0;
    uint16_t member = 0;
    while (start < count && umbp_ring_vnode (ring, start, &hash, &member) == 0 && hash < position)
        start++;
    for (size_t step = 0; step < count && found < n; step++) {
        umbp_ring_vnode (ring, (start + step) % count, &hash, &member);
        size_t seen = 0;
        while (seen < found && out[seen] != member)
            seen++;
        if (seen == found && (!healthy || healthy[member]))
            out[found++] = member;
    }
    return found;
}

static void test_walk_by_definition (void)
{
    uint64_t state = s_seed ();
    for (int round = 0; round < 60; round++) {
        unsigned nodes = 1 + (unsigned) (umbp_splitmix (&state) % 40);
        umbp_ring_t *ring = s_numbered (round % 2 ? UMBP_RING_PLAIN : UMBP_RING_MIXED, nodes);
        bool healthy[40];
        uint64_t mask = umbp_splitmix (&state) & umbp_splitmix (&state);
        for (unsigned member = 0; member < 40; member++)
            healthy[member] = mask >> member & 1;
        for (int step = 0; step < 20; step++) {
            uint64_t hash = umbp_splitmix (&state);
            uint16_t member, expected[44], got[44];
            if (step % 2)               //  Right on a virtual node, or next to it
                umbp_ring_vnode (ring, hash % umbp_ring_vnode_count (ring), &hash, &member);
            hash += step % 3 - 1;
            size_t n = umbp_splitmix (&state) % 44;
            const bool *filter = step % 4 < 2 ? healthy : NULL;
            size_t count = s_naive (ring, hash, n, filter, expected);
            CU_ASSERT_FATAL (umbp_ring_walk (ring, hash, n, filter, got) == count);
            CU_ASSERT (memcmp (expected, got, count * sizeof *got) == 0);
        }
        umbp_ring_destroy (&ring);
    }
}

static void test_positions_equal_position (void)
{
    uint64_t state = s_seed ();
    umbp_ring_t *rings[] = { s_ring (UMBP_RING_PLAIN, 1), s_ring (UMBP_RING_MIXED, 1) };
    enum { BYTES = 600, COUNT_MAX = 40 };
    uint8_t bytes[BYTES];
    for (size_t index = 0; index < BYTES; index++)
        bytes[index] = (uint8_t) umbp_splitmix (&state);
    for (int round = 0; round < 2000; round++) {
        const umbp_ring_t *ring = rings[round % 2];
        const uint8_t *keys[COUNT_MAX];
        uint16_t sizes[COUNT_MAX];
        uint64_t out[COUNT_MAX + 1];
        size_t count = umbp_splitmix (&state) % (COUNT_MAX + 1);
        unsigned longest = round % 3 ? 512 : 3;     //  Many empty keys, too
        for (size_t index = 0; index < count; index++) {
            sizes[index] = (uint16_t) (round % 5 ? umbp_splitmix (&state) % (longest + 1) : 40);
            keys[index] =
                sizes[index] ? bytes + umbp_splitmix (&state) % (BYTES - sizes[index]) : NULL;
        }
        out[count] = 77;
        umbp_ring_positions (ring, keys, sizes, count, out);
        for (size_t index = 0; index < count; index++)
            CU_ASSERT (out[index] == umbp_ring_position (ring, keys[index], sizes[index]));
        CU_ASSERT (out[count] == 77);
    }
    umbp_ring_destroy (&rings[0]);
    umbp_ring_destroy (&rings[1]);
}

static double s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

static void s_bench_positions (unsigned bytes)
{
    enum { KEYS = 1024, ROUNDS = 400 };
    umbp_ring_t *ring = s_ring (UMBP_RING_MIXED, 150);
    uint8_t *data = calloc (KEYS, bytes);
    static const uint8_t *keys[KEYS];
    static uint16_t sizes[KEYS];
    static uint64_t out[KEYS];
    for (size_t index = 0; index < KEYS; index++) {
        keys[index] = data + index * bytes;
        sizes[index] = (uint16_t) bytes;
    }
    double start = s_now_ns ();
    for (int round = 0; round < ROUNDS; round++)
        for (size_t index = 0; index < KEYS; index++)
            out[index] = umbp_ring_position (ring, keys[index], sizes[index]);
    double middle = s_now_ns ();
    for (int round = 0; round < ROUNDS; round++)
        umbp_ring_positions (ring, keys, sizes, KEYS, out);
    double end = s_now_ns ();
    printf ("position bytes=%u one_ns=%.1f four_ns=%.1f\n", bytes, (middle - start) / KEYS / ROUNDS,
            (end - middle) / KEYS / ROUNDS);
    free (data);
    umbp_ring_destroy (&ring);
}

static void s_bench_walk (umbp_ring_hash_t hash, unsigned nodes)
{
    enum { LOOKUPS = 2000000 };
    double start = s_now_ns ();
    umbp_ring_t *ring = s_numbered (hash, nodes);
    double built = s_now_ns ();
    uint64_t state = 1, sum = 0;
    uint16_t members[3];
    double walked[2];
    for (size_t n = 2; n <= 3; n++) {
        double from = s_now_ns ();
        for (int lookup = 0; lookup < LOOKUPS; lookup++) {
            umbp_ring_walk (ring, umbp_splitmix (&state), n, NULL, members);
            sum += members[1];
        }
        walked[n - 2] = (s_now_ns () - from) / LOOKUPS;
    }
    bool healthy[1024] = { [1] = true };
    double from = s_now_ns ();
    for (int lookup = 0; lookup < LOOKUPS / 100; lookup++)
        sum += umbp_ring_walk (ring, umbp_splitmix (&state), 2, healthy, members);
    double lonely = (s_now_ns () - from) / (LOOKUPS / 100);
    printf ("walk %s nodes=%u vnodes=%zu build_ms=%.1f n2_ns=%.1f n3_ns=%.1f one_healthy_ns=%.0f "
            "sum=%" PRIu64 "\n",
            hash == UMBP_RING_MIXED ? "mixed" : "plain", nodes, umbp_ring_vnode_count (ring),
            (built - start) / 1e6, walked[0], walked[1], lonely, sum);
    umbp_ring_destroy (&ring);
}

static void s_bench (void)
{
    s_bench_positions (32);
    s_bench_positions (64);
    s_bench_positions (512);
    s_bench_walk (UMBP_RING_MIXED, 3);
    s_bench_walk (UMBP_RING_MIXED, 64);
    s_bench_walk (UMBP_RING_MIXED, 256);
    s_bench_walk (UMBP_RING_PLAIN, 256);
}

int main (int argc, char **argv)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("ring", NULL, NULL);
    if (argc > 1 && strcmp (argv[1], "bench") == 0) {
        CU_ADD_TEST (suite, s_bench);
        CU_basic_run_tests ();
        return CU_get_number_of_failures () > 0;
    }
    CU_ADD_TEST (suite, test_hash_vectors);
    CU_ADD_TEST (suite, test_walk_vectors);
    CU_ADD_TEST (suite, test_vnode_vectors);
    CU_ADD_TEST (suite, test_counts);
    CU_ADD_TEST (suite, test_refuses);
    CU_ADD_TEST (suite, test_refuses_when_full);
    CU_ADD_TEST (suite, test_ties_go_by_id_and_number);
    CU_ADD_TEST (suite, test_weights);
    CU_ADD_TEST (suite, test_spread);
    CU_ADD_TEST (suite, test_newcomer_disrupts_little);
    CU_ADD_TEST (suite, test_same_in_any_order);
    CU_ADD_TEST (suite, test_all_at_once);
    CU_ADD_TEST (suite, test_walk_by_definition);
    CU_ADD_TEST (suite, test_positions_equal_position);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

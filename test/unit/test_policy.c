//  test/unit/test_policy.c - eviction policies: golden decisions on a trace of 40 steps, prefixes, hints, what is
//  remembered, and a long random run of each next to a model. With the argument bench it measures instead.
#include "actors/tier/policy.h"
#include "actors/tier/reuse.h"
#include "bin/policy_sim.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NONE UMBP_POLICY_NONE

static umbp_policy_t *s_policy (const char *name, uint32_t capacity)
{
    umbp_policy_t *policy = umbp_policy_new (name);
    CU_ASSERT_PTR_NOT_NULL_FATAL (policy);
    CU_ASSERT_FATAL (umbp_policy_resize (policy, capacity) == 0);
    return policy;
}

static void test_names (void)
{
    char names[128] = "";
    for (size_t number = 0; umbp_policy_name (number); number++) {
        size_t used = strlen (names);
        snprintf (names + used, sizeof names - used, "%s%s", number ? "|" : "",
                  umbp_policy_name (number));
        umbp_policy_t *policy = s_policy (umbp_policy_name (number), 4);
        CU_ASSERT (umbp_policy_resize (policy, 3) == UMBP_EINVAL);
        CU_ASSERT (umbp_policy_resize (policy, UMBP_POLICY_CAPACITY_MAX + 1) == UMBP_EINVAL);
        CU_ASSERT (umbp_policy_next (policy, NONE) == NONE);
        CU_ASSERT (umbp_policy_count (policy) == 0);
        uint32_t out;
        CU_ASSERT (umbp_policy_victims (policy, 1, NULL, NULL, &out) == 0);
        umbp_policy_remove (policy, 2, NULL);            //  Not there: nothing happens
        umbp_policy_destroy (&policy);
        CU_ASSERT_PTR_NULL (policy);
    }
    CU_ASSERT_STRING_EQUAL (names, UMBP_POLICY_NAMES);
    CU_ASSERT_PTR_NULL (umbp_policy_new ("mru"));
}

//  ------------------------------------------------------------------------------------------------
//  Golden decisions

//  Each letter is a use of that block in a cache of six; written is who leaves. The answers are those of a
//  few lines of Python written from the papers, apart from this code.
#define STEPS "abcdabefgahibcjaklbmanoabcpqardebsfgatba"
#define CACHE 6

static void s_play (const char *name, const char *expected)
{
    umbp_policy_t *policy = s_policy (name, 26);
    bool here[26] = { false };
    char left[sizeof STEPS] = "";
    size_t count = 0, gone = 0;
    for (size_t step = 0; step < sizeof STEPS - 1; step++) {
        uint32_t item = (uint32_t) (STEPS[step] - 'a'), victim;
        if (here[item]) {
            umbp_policy_hit (policy, item, step + 1);
            continue;
        }
        if (count == CACHE) {
            CU_ASSERT_FATAL (umbp_policy_victims (policy, 1, NULL, NULL, &victim) == 1);
            uint64_t print = victim + 1;
            umbp_policy_remove (policy, victim, &print);
            here[victim] = false;
            left[gone++] = (char) ('a' + victim);
            count--;
        }
        umbp_policy_add (policy, item, item + 1, 0, step + 1, UMBP_POLICY_HINT_NONE);
        here[item] = true;
        count++;
    }
    if (strcmp (left, expected) != 0)
        printf ("\n%s: %s left, expected was %s\n", name, left, expected);
    CU_ASSERT_STRING_EQUAL (left, expected);
    CU_ASSERT (umbp_policy_count (policy) == CACHE);
    umbp_policy_destroy (&policy);
}

static void test_golden (void)
{
    CU_ASSERT (strlen (STEPS) == 40);
    s_play ("lru", "cdbefghicjklmnobcpqarde");
    s_play ("clock", "cdefghicjklmnocpqrde");
    s_play ("s3fifo", "cdefghijklmnopqrdes");
    s_play ("arc", "cdefghicjklmnocpqrde");
    s_play ("reuse", "cdefghijklmnopqrsde");
}

//  ------------------------------------------------------------------------------------------------
//  Prefixes

//  A chain of eight that came in one tick leaves from its end, whichever way it came
static void s_chain (const char *name, bool root_first, bool used)
{
    umbp_policy_t *policy = s_policy (name, 8);
    for (uint32_t index = 0; index < 8; index++) {
        uint32_t item = root_first ? index : 7 - index;
        umbp_policy_add (policy, item, item + 1, item, 1, UMBP_POLICY_HINT_NONE);
    }
    for (uint32_t index = 0; used && index < 8; index++)
        umbp_policy_hit (policy, 7 - index, 2);          //  Readers are told of from the last to the first
    uint32_t out[8];
    CU_ASSERT_FATAL (umbp_policy_victims (policy, 8, NULL, NULL, out) == 8);
    for (uint32_t index = 0; index < 8; index++)
        CU_ASSERT (out[index] == 7 - index);
    umbp_policy_destroy (&policy);
}

static void test_tail_first (void)
{
    for (size_t number = 0; umbp_policy_name (number); number++)
        for (unsigned way = 0; way < 4; way++)
            s_chain (umbp_policy_name (number), way & 1, way & 2);
}

//  ------------------------------------------------------------------------------------------------
//  Hints and memory

//  Items 0 to 9, of which 5 has the hint; all but 0 and 1 are used once, 5 too
static umbp_policy_t *s_hinted (const char *name, umbp_policy_hint_t hint, bool used)
{
    umbp_policy_t *policy = s_policy (name, 16);
    for (uint32_t item = 0; item < 10; item++)
        umbp_policy_add (policy, item, item + 1, 0, item + 1,
                         item == 5 ? hint : UMBP_POLICY_HINT_NONE);
    if (used)
        umbp_policy_hit (policy, 5, 20);
    return policy;
}

static uint32_t s_first (umbp_policy_t *policy)
{
    uint32_t out = NONE;
    CU_ASSERT (umbp_policy_victims (policy, 1, NULL, NULL, &out) == 1);
    return out;
}

static void test_once (void)
{
    for (size_t number = 0; umbp_policy_name (number); number++) {
        const char *name = umbp_policy_name (number);
        umbp_policy_t *policy = s_hinted (name, UMBP_POLICY_HINT_ONCE, false);
        CU_ASSERT (s_first (policy) == 0);               //  Not read yet: when it is its turn
        umbp_policy_hit (policy, 5, 20);
        CU_ASSERT (s_first (policy) == 5);
        uint64_t print = 6;
        umbp_policy_remove (policy, 5, &print);
        CU_ASSERT (umbp_policy_stats (policy).ghosts == 0);
        umbp_policy_destroy (&policy);
        policy = s_hinted (name, UMBP_POLICY_HINT_NONE, true);
        CU_ASSERT (s_first (policy) == 0);
        umbp_policy_destroy (&policy);
    }
}

//  It outlives all that came with it
static void test_keep (void)
{
    for (size_t number = 0; umbp_policy_name (number); number++) {
        const char *name = umbp_policy_name (number);
        bool forgets =
            strcmp (name, "lru") == 0; //  Where nothing is on probation it changes nothing
        umbp_policy_t *policy = s_hinted (name, UMBP_POLICY_HINT_KEEP, false);
        uint32_t out[10];
        CU_ASSERT (umbp_policy_victims (policy, 10, NULL, NULL, out) == 10);
        for (uint32_t index = 0; index < 5; index++)
            CU_ASSERT (out[index] == index);
        CU_ASSERT (forgets ? out[5] == 5 : out[5] == 6);
        umbp_policy_destroy (&policy);
    }
}

//  What was evicted is remembered, what was dropped is not
static void test_ghosts (void)
{
    static const char *const names[] = { "s3fifo", "arc", "reuse" };
    for (size_t index = 0; index < 3; index++) {
        umbp_policy_t *policy = s_policy (names[index], 16);
        for (uint32_t item = 0; item < 10; item++)
            umbp_policy_add (policy, item, item + 100, 0, item + 1, UMBP_POLICY_HINT_NONE);
        uint64_t print = 100;
        umbp_policy_remove (policy, 0, &print);
        umbp_policy_remove (policy, 1, NULL);
        CU_ASSERT (umbp_policy_stats (policy).ghosts == 1);
        umbp_policy_add (policy, 11, 101, 0, 30, UMBP_POLICY_HINT_NONE);
        CU_ASSERT (umbp_policy_stats (policy).ghost_hits == 0);
        umbp_policy_add (policy, 12, 100, 0, 31, UMBP_POLICY_HINT_NONE);
        CU_ASSERT (umbp_policy_stats (policy).ghost_hits == 1);
        CU_ASSERT (umbp_policy_stats (policy).ghosts == 0);
        umbp_policy_destroy (&policy);
    }
}

//  ------------------------------------------------------------------------------------------------
//  What reuse learns

//  Of blocks used once every second is used again after about 1000 uses, and never else: one of that age less a
//  little is worth most, a new one less, one that is past it nothing
static void test_worth (void)
{
    umbp_reuse_t *reuse = umbp_reuse_new ();
    umbp_reuse_scale (reuse, 2000);
    uint64_t now = 0;
    for (int use = 0; use < 60000; use++) {
        now = umbp_reuse_tick (reuse);
        umbp_reuse_begin (reuse, 0);
        if (now > 1000 && now % 2)
            umbp_reuse_end (reuse, 0, now - 1000);
    }
    double fresh = umbp_reuse_worth (reuse, 0, umbp_reuse_slot (reuse, now));
    double due = umbp_reuse_worth (reuse, 0, umbp_reuse_slot (reuse, now - 800));
    double past = umbp_reuse_worth (reuse, 0, umbp_reuse_slot (reuse, now - 3000));
    CU_ASSERT (due > 2 * fresh && fresh > 0);
    CU_ASSERT (past == 0);
    CU_ASSERT (umbp_reuse_worth (reuse, 1, umbp_reuse_slot (reuse, now)) == 0);
    CU_ASSERT (umbp_reuse_slot (reuse, 1) == umbp_reuse_first_slot (reuse));
    umbp_reuse_destroy (&reuse);
}

//  ------------------------------------------------------------------------------------------------
//  A long random run

#define ITEMS 1200
#define ROUNDS 4000

typedef struct {
    umbp_policy_t *policy;
    uint64_t random;
    bool here[ITEMS];
    uint8_t held[ITEMS];
    uint32_t count, capacity;
    bool peeks;                         //  It is asked who would leave, now and then
    uint64_t trail;                     //  A sum of who left
} model_t;

static uint32_t s_below (model_t *model, uint32_t limit)
{
    return (uint32_t) (umbp_splitmix (&model->random) % limit);
}

static bool s_may_go (void *arg, uint32_t item)
{
    return !((const model_t *) arg)->held[item];
}

static void s_use (model_t *model, uint64_t tick)
{
    uint32_t first = s_below (model, model->capacity), depth = s_below (model, 40);
    uint32_t length = 1 + s_below (model, 30);
    for (uint32_t index = 0; index < length; index++) {
        uint32_t item = (first + index) % model->capacity;
        if (model->here[item]) {
            umbp_policy_hit (model->policy, item, tick);
            continue;
        }
        umbp_policy_hint_t hint =
            s_below (model, 8) ? UMBP_POLICY_HINT_NONE : (umbp_policy_hint_t) s_below (model, 3);
        umbp_policy_add (model->policy, item, item % 700, depth + index, tick, hint);
        model->here[item] = true;
        model->held[item] = s_below (model, 4) == 0;
        model->count++;
    }
}

static void s_same_stats (const umbp_policy_stats_t *left, const umbp_policy_stats_t *right)
{
    CU_ASSERT (left->ghosts == right->ghosts && left->ghost_hits == right->ghost_hits);
    CU_ASSERT (left->promotions == right->promotions && left->reprieves == right->reprieves);
    CU_ASSERT (left->small == right->small);
}

//  Ask who would leave, of all and of so many. Returns how many the latter are: the next victims are these.
static size_t s_peek (model_t *model, size_t max, uint32_t *out)
{
    static uint32_t all[ITEMS];
    umbp_policy_stats_t before = umbp_policy_stats (model->policy);
    CU_ASSERT (umbp_policy_peek (model->policy, ITEMS, s_may_go, model, all) <= model->count);
    size_t found = umbp_policy_peek (model->policy, max, s_may_go, model, out);
    umbp_policy_stats_t after = umbp_policy_stats (model->policy);
    s_same_stats (&before, &after);
    return found;
}

//  Each victim is there, may go, and is named once; and if any may go some are found, however many may not: within
//  as many calls as it takes to refuse all
static void s_evict (model_t *model)
{
    uint32_t out[64], said[64], max = 1 + s_below (model, 64), free = 0;
    size_t expected = model->peeks ? s_peek (model, max, said) : 0;
    for (uint32_t item = 0; item < model->capacity; item++)
        free += model->here[item] && !model->held[item];
    size_t found = 0, calls = 2 + 2 * model->count / UMBP_POLICY_REFUSED_MAX;
    for (size_t call = 0; found == 0 && call < calls; call++) {
        found = umbp_policy_victims (model->policy, max, s_may_go, model, out);
        if (model->peeks && call == 0)
            CU_ASSERT (found == expected && !memcmp (out, said, found * sizeof *out));
    }
    if ((free > 0) != (found > 0))
        printf ("\n%s: %u may go of %u, found %zu", model->policy->ops->name, free, model->count,
                found);
    CU_ASSERT (found <= max);
    CU_ASSERT (free == 0 ? found == 0 : found > 0);
    for (size_t index = 0; index < found; index++) {
        uint64_t print = out[index] % 700;
        CU_ASSERT_FATAL (out[index] < model->capacity);
        CU_ASSERT (!model->held[out[index]]);
        CU_ASSERT (model->here[out[index]]);
        model->here[out[index]] = false;
        model->trail = (model->trail ^ out[index]) * UINT64_C (0x100000001b3);
        model->count--;
        umbp_policy_remove (model->policy, out[index], s_below (model, 5) ? &print : NULL);
    }
}

//  A walk meets each item once
static void s_walk (const model_t *model)
{
    bool met[ITEMS] = { false };
    uint32_t count = 0;
    for (uint32_t item = umbp_policy_next (model->policy, NONE); item != NONE && count <= ITEMS;
         item = umbp_policy_next (model->policy, item), count++) {
        CU_ASSERT_FATAL (item < model->capacity);
        CU_ASSERT (model->here[item] && !met[item]);
        met[item] = true;
    }
    CU_ASSERT (count == model->count);
    CU_ASSERT (umbp_policy_count (model->policy) == model->count);
}

//  Returns a sum of who left, in which order
static uint64_t s_random (const char *name, uint64_t seed, bool peeks, umbp_policy_stats_t *stats)
{
    model_t model = { .policy = s_policy (name, 100),
                      .random = seed,
                      .capacity = 100,
                      .peeks = peeks };
    uint64_t tick = 1;
    for (int round = 0; round < ROUNDS; round++) {
        tick += s_below (&model, 3) > 0;
        if (round == ROUNDS / 4 || round == ROUNDS / 2) {
            model.capacity = round == ROUNDS / 4 ? 300 : ITEMS;
            CU_ASSERT (umbp_policy_resize (model.policy, model.capacity) == 0);
        }
        s_use (&model, tick);
        uint32_t item = s_below (&model, model.capacity);
        model.held[item] = !model.held[item];
        if (s_below (&model, 50) == 0)                   //  All at once are held, or nobody is
            memset (model.held, s_below (&model, 2), sizeof model.held);
        if (model.count * 3 > model.capacity * 2 || s_below (&model, 9) == 0)
            s_evict (&model);
        if (round % 16 == 0)
            s_walk (&model);
    }
    memset (model.held, 0, sizeof model.held);
    while (model.count > 0)
        s_evict (&model);
    s_walk (&model);
    *stats = umbp_policy_stats (model.policy);
    umbp_policy_destroy (&model.policy);
    return model.trail;
}

//  Who asks what would leave changes nothing of it
static void test_random (void)
{
    const char *said = getenv ("UMBP_SEED");
    uint64_t seed = said ? strtoull (said, NULL, 0) : (uint64_t) time (NULL);
    printf ("seed %" PRIu64 " ", seed);
    for (size_t number = 0; umbp_policy_name (number); number++) {
        const char *name = umbp_policy_name (number);
        umbp_policy_stats_t stats, peeked;
        uint64_t trail = s_random (name, seed + number, false, &stats);
        CU_ASSERT (s_random (name, seed + number, true, &peeked) == trail);
        s_same_stats (&stats, &peeked);
    }
}

//  ------------------------------------------------------------------------------------------------

static void s_bench (void)
{
    for (size_t number = 0; umbp_policy_name (number); number++) {
        const char *name = umbp_policy_name (number);
        printf ("%-8s %6.1f ns a hit among 100000, %6.1f among 4000000\n", name,
                umbp_sim_hit_ns (name, 100000, 5000000), umbp_sim_hit_ns (name, 4000000, 5000000));
    }
}

int main (int argc, char **argv)
{
    alarm (120);
    if (argc > 1 && strcmp (argv[1], "bench") == 0) {
        s_bench ();
        return 0;
    }
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("policy", NULL, NULL);
    CU_ADD_TEST (suite, test_names);
    CU_ADD_TEST (suite, test_golden);
    CU_ADD_TEST (suite, test_tail_first);
    CU_ADD_TEST (suite, test_once);
    CU_ADD_TEST (suite, test_keep);
    CU_ADD_TEST (suite, test_ghosts);
    CU_ADD_TEST (suite, test_worth);
    CU_ADD_TEST (suite, test_random);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_verbs_cache.c - registrations as they come and go, with counted ones in place of
//  a device's
#include "cluster/bulk/verbs_cache.h"
#include "proto/error.h"

#include <CUnit/Basic.h>
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define GRAIN UMBP_CACHE_GRAIN
#define AREA ((char *) (64 * GRAIN))    //  Never touched
#define HELD 32
#define STEPS 200000

//  What a device would know
typedef struct {
    char *base;
    size_t bytes;
} s_known_t;

static struct {
    size_t count, adds, refuse;         //  refuse: so many calls from now on
    uint64_t bytes;
    int fd;                             //  Of the last dma-buf
    uint64_t offset;
} s_device;
static unsigned long s_seed;

static int s_add (void *arg, void *base, size_t bytes, void **handle_p)
{
    CU_ASSERT (arg == &s_device);
    s_device.adds++;
    if (s_device.refuse) {
        s_device.refuse--;
        return UMBP_ENOSPC;
    }
    s_known_t *known = malloc (sizeof *known);
    assert (known);
    *known = (s_known_t) { base, bytes };
    s_device.count++;
    s_device.bytes += bytes;
    *handle_p = known;
    return 0;
}

static int s_add_dmabuf (void *arg, void *base, size_t bytes, int fd, uint64_t offset,
                         void **handle_p)
{
    s_device.fd = fd;
    s_device.offset = offset;
    return s_add (arg, base, bytes, handle_p);
}

static void s_drop (void *arg, void *handle)
{
    (void) arg;
    s_known_t *known = handle;
    s_device.count--;
    s_device.bytes -= known->bytes;
    known->bytes = 0;
    free (known);
}

static umbp_cache_t *s_new (size_t count_max, uint64_t bytes_max)
{
    s_device.adds = s_device.refuse = 0;
    umbp_cache_ops_t ops = {
        .add = s_add, .drop = s_drop, .arg = &s_device, .add_dmabuf = s_add_dmabuf
    };
    return umbp_cache_new (&ops, count_max, bytes_max);
}

static void s_end (umbp_cache_t *cache)
{
    umbp_cache_destroy (&cache);
    CU_ASSERT (!cache && s_device.count == 0 && s_device.bytes == 0);
}

static bool s_use (umbp_cache_t *cache, char *base, size_t bytes)
{
    const umbp_cache_part_t *part = umbp_cache_hold (cache, base, bytes);
    if (part)
        umbp_cache_release (cache, part);
    return part != NULL;
}

static void test_registers_what_was_announced (void)
{
    umbp_cache_t *cache = s_new (8, 100 * GRAIN);
    CU_ASSERT (!umbp_cache_hold (cache, AREA, 100));
    CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA + 100, 3 * GRAIN), 0);
    CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA, 101), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA, 0), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA, 100), 0);
    CU_ASSERT (!umbp_cache_hold (cache, AREA + 99, 2));      //  Two buffers, never in one part
    const umbp_cache_part_t *part = umbp_cache_hold (cache, AREA + 200, 10);
    CU_ASSERT_FATAL (part != NULL);
    CU_ASSERT (part->base == AREA + 100 && part->bytes == GRAIN - 100);
    umbp_cache_release (cache, part);
    CU_ASSERT (s_use (cache, AREA + 100, GRAIN - 100));
    CU_ASSERT_EQUAL (s_device.adds, 1);
    CU_ASSERT (s_use (cache, AREA + GRAIN - 1, 2));          //  Over an edge: a larger part
    CU_ASSERT (s_use (cache, AREA + 3 * GRAIN + 99, 1));     //  The last byte
    CU_ASSERT (!umbp_cache_hold (cache, AREA + 3 * GRAIN + 99, 2));
    CU_ASSERT_EQUAL (s_device.adds, 3);
    CU_ASSERT_EQUAL (s_device.count, 2);                     //  The first is inside the second
    s_end (cache);
}

static void test_lets_go_of_the_oldest (void)
{
    umbp_cache_t *cache = s_new (8, 3 * GRAIN);
    CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA, 10 * GRAIN), 0);
    for (size_t part = 0; part < 3; part++)
        CU_ASSERT (s_use (cache, AREA + part * GRAIN, 1));
    CU_ASSERT (s_use (cache, AREA, 1));
    CU_ASSERT (s_use (cache, AREA + 3 * GRAIN, 1));          //  In place of the second
    CU_ASSERT (s_use (cache, AREA, 1) && s_use (cache, AREA + 2 * GRAIN, 1));
    CU_ASSERT_EQUAL (s_device.adds, 4);
    CU_ASSERT (s_use (cache, AREA + GRAIN, 1));
    CU_ASSERT_EQUAL (s_device.adds, 5);
    CU_ASSERT (!s_use (cache, AREA, 4 * GRAIN));             //  More than the budget
    umbp_cache_stats_t stats;
    umbp_cache_stats (cache, &stats);
    CU_ASSERT (stats.hits == 3 && stats.misses == 6 && stats.evictions == 2);
    CU_ASSERT (stats.refusals == 1 && stats.bytes == 3 * GRAIN && stats.count == 3);
    s_end (cache);
}

static void test_keeps_what_is_in_use (void)
{
    umbp_cache_t *cache = s_new (2, 100 * GRAIN);
    CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA, 10 * GRAIN), 0);
    const umbp_cache_part_t *one = umbp_cache_hold (cache, AREA, 1);
    const umbp_cache_part_t *two = umbp_cache_hold (cache, AREA + GRAIN, 1);
    CU_ASSERT_FATAL (one && two);
    CU_ASSERT (!umbp_cache_hold (cache, AREA + 2 * GRAIN, 1));
    CU_ASSERT_EQUAL (umbp_cache_forget (cache, AREA, 10 * GRAIN), UMBP_EAGAIN);
    CU_ASSERT (!umbp_cache_hold (cache, AREA, 1));           //  On its way out
    umbp_cache_release (cache, one);
    CU_ASSERT_EQUAL (umbp_cache_forget (cache, AREA, 10 * GRAIN), UMBP_EAGAIN);
    CU_ASSERT_EQUAL (s_device.count, 1);
    umbp_cache_release (cache, two);
    CU_ASSERT_EQUAL (umbp_cache_forget (cache, AREA, 10 * GRAIN), 0);
    CU_ASSERT_EQUAL (umbp_cache_forget (cache, AREA, 10 * GRAIN), UMBP_EINVAL);
    CU_ASSERT_EQUAL (s_device.count, 0);
    s_end (cache);
}

//  Memory that was freed and mapped again is not what was registered before
static void test_forgets_what_it_knew (void)
{
    umbp_cache_t *cache = s_new (8, 100 * GRAIN);
    for (size_t round = 1; round <= 3; round++) {
        CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA, GRAIN), 0);
        CU_ASSERT (s_use (cache, AREA, 1));
        CU_ASSERT_EQUAL (s_device.adds, round);
        CU_ASSERT_EQUAL (umbp_cache_forget (cache, AREA, GRAIN), 0);
        CU_ASSERT (!s_use (cache, AREA, 1));
    }
    s_end (cache);
}

static void test_a_part_outgrown_in_use_still_counts (void)
{
    umbp_cache_t *cache = s_new (8, 100 * GRAIN);
    CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA, 4 * GRAIN), 0);
    const umbp_cache_part_t *small = umbp_cache_hold (cache, AREA, 1);
    CU_ASSERT_FATAL (small && s_use (cache, AREA, 2 * GRAIN));
    CU_ASSERT_EQUAL (s_device.count, 2);
    CU_ASSERT_EQUAL (umbp_cache_forget (cache, AREA, 4 * GRAIN), UMBP_EAGAIN);
    umbp_cache_release (cache, small);
    CU_ASSERT_EQUAL (umbp_cache_forget (cache, AREA, 4 * GRAIN), 0);
    s_end (cache);
}

static void test_a_device_that_refuses_gets_room (void)
{
    umbp_cache_t *cache = s_new (8, 100 * GRAIN);
    CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA, 20 * GRAIN), 0);
    for (size_t part = 0; part < 4; part++)
        CU_ASSERT (s_use (cache, AREA + part * GRAIN, 1));
    s_device.refuse = 1;
    CU_ASSERT (s_use (cache, AREA + 8 * GRAIN, 1));
    CU_ASSERT_EQUAL (s_device.count, 3);                     //  Two went, one came
    s_device.refuse = 2;
    CU_ASSERT (!s_use (cache, AREA + 9 * GRAIN, 1));         //  Then it is for staging
    s_end (cache);
}

//  Whatever the order: what is held stays registered and covers what was asked for, and the budget
//  holds
static void test_random_uses (void)
{
    umbp_cache_t *cache = s_new (6, 9 * GRAIN);
    const umbp_cache_part_t *held[HELD] = { NULL };
    CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA + 5, 12 * GRAIN), 0);
    size_t bad = 0, got = 0;
    for (size_t step = 0; step < STEPS; step++) {
        const umbp_cache_part_t **one = &held[random () % HELD];
        if (*one) {
            const s_known_t *known = (*one)->handle;
            bad += known->base != (*one)->base || known->bytes != (*one)->bytes;
            umbp_cache_release (cache, *one);
            *one = NULL;
            continue;
        }
        if (step % 1000 < 500 && random () % 4)
            continue;                   //  Few are held in these times, many in the others
        size_t at = (size_t) random () % (12 * GRAIN), bytes = 1 + (size_t) random () % (2 * GRAIN);
        *one = umbp_cache_hold (cache, AREA + 5 + at, bytes);
        if (!*one)
            continue;
        got++;
        bad += (*one)->base > AREA + 5 + at || (*one)->base + (*one)->bytes < AREA + 5 + at + bytes
               || at + bytes > 12 * GRAIN;
        bad += s_device.bytes > 9 * GRAIN;
    }
    CU_ASSERT_EQUAL (bad, 0);
    CU_ASSERT (got > STEPS / 100);
    for (size_t index = 0; index < HELD; index++)
        if (held[index])
            umbp_cache_release (cache, held[index]);
    CU_ASSERT_EQUAL (umbp_cache_forget (cache, AREA + 5, 12 * GRAIN), 0);
    s_end (cache);
}

//  A dma-buf is registered as a whole, once, beside the budget; or refused at once
static void test_dmabufs (void)
{
    umbp_cache_t *cache = s_new (2, 2 * GRAIN);
    umbp_cache_stats_t stats;
    CU_ASSERT_EQUAL (umbp_cache_announce_dmabuf (cache, AREA + 7, 9 * GRAIN, 55, 4711), 0);
    CU_ASSERT (s_device.fd == 55 && s_device.offset == 4711 && s_device.adds == 1);
    CU_ASSERT_EQUAL (umbp_cache_announce_dmabuf (cache, AREA + 8, 1, 56, 0), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA, 100), UMBP_EINVAL);
    const umbp_cache_part_t *part = umbp_cache_hold (cache, AREA + 5 * GRAIN, 3 * GRAIN);
    CU_ASSERT_FATAL (part != NULL);
    CU_ASSERT (part->base == AREA + 7 && part->bytes == 9 * GRAIN && s_device.adds == 1);
    CU_ASSERT (!umbp_cache_hold (cache, AREA, 100));
    CU_ASSERT (!umbp_cache_hold (cache, AREA + 9 * GRAIN, 8));           //  Over its end
    //  It takes nothing from the others, and is never let go of for them
    CU_ASSERT_EQUAL (umbp_cache_announce (cache, AREA + 20 * GRAIN, 8 * GRAIN), 0);
    for (size_t grain = 0; grain < 8; grain++)
        CU_ASSERT (s_use (cache, AREA + (20 + grain) * GRAIN, GRAIN));
    umbp_cache_stats (cache, &stats);
    CU_ASSERT (stats.bytes == 2 * GRAIN && stats.count == 3 && stats.evictions == 6);
    CU_ASSERT_EQUAL (umbp_cache_forget (cache, AREA + 7, 9 * GRAIN), UMBP_EAGAIN);
    CU_ASSERT (!umbp_cache_hold (cache, AREA + 5 * GRAIN, 1));
    umbp_cache_release (cache, part);
    CU_ASSERT_EQUAL (umbp_cache_forget (cache, AREA + 7, 9 * GRAIN), 0);
    CU_ASSERT_EQUAL (s_device.count, 2);
    s_device.refuse = 1;
    CU_ASSERT_EQUAL (umbp_cache_announce_dmabuf (cache, AREA + 7, 9 * GRAIN, 57, 0), UMBP_ENOTSUP);
    CU_ASSERT (!umbp_cache_hold (cache, AREA + 5 * GRAIN, 1));
    CU_ASSERT_EQUAL (umbp_cache_announce_dmabuf (cache, AREA + 7, 9 * GRAIN, 58, 0), 0);
    CU_ASSERT (s_use (cache, AREA + 7, 9 * GRAIN));
    s_end (cache);
}

int main (int argc, char **argv)
{
    alarm (60);
    s_seed = argc > 1 ? strtoul (argv[1], NULL, 10) : (unsigned long) time (NULL);
    printf ("seed %lu\n", s_seed);
    srandom ((unsigned) s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("verbs_cache", NULL, NULL);
    CU_ADD_TEST (suite, test_registers_what_was_announced);
    CU_ADD_TEST (suite, test_lets_go_of_the_oldest);
    CU_ADD_TEST (suite, test_keeps_what_is_in_use);
    CU_ADD_TEST (suite, test_forgets_what_it_knew);
    CU_ADD_TEST (suite, test_a_part_outgrown_in_use_still_counts);
    CU_ADD_TEST (suite, test_a_device_that_refuses_gets_room);
    CU_ADD_TEST (suite, test_dmabufs);
    CU_ADD_TEST (suite, test_random_uses);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

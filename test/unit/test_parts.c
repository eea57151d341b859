//  test/unit/test_parts.c - XXH3 in parts, against the library: every length, any cut, any order,
//  odd addresses, and a source that changes while it is read
#include "cluster/bulk/copy.h"
#include "cluster/bulk/parts.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define BYTES_MAX ((size_t) 3 << 20)
#define PARTS_MAX (BYTES_MAX / UMBP_PART_BYTES)
#define GUARD 64

static uint64_t s_seed;
static uint8_t *s_from, *s_to;
static umbp_part_t *s_parts;

static size_t s_random (size_t limit)
{
    return umbp_splitmix (&s_seed) % limit;
}

static int s_setup (void)
{
    s_from = malloc (BYTES_MAX + 4 * GUARD);
    s_to = malloc (BYTES_MAX + 4 * GUARD);
    s_parts = malloc (PARTS_MAX * sizeof *s_parts);
    for (size_t at = 0; at < BYTES_MAX + 4 * GUARD; at++)
        s_from[at] = (uint8_t) umbp_splitmix (&s_seed);
    return 0;
}

static int s_teardown (void)
{
    free (s_from);
    free (s_to);
    free (s_parts);
    return 0;
}

//  In runs of random lengths, the last one first; joined at once or in steps
static uint64_t s_sum_apart (uint8_t *to, const uint8_t *from, size_t size, bool stream)
{
    size_t count = umbp_parts_count (size);
    for (size_t end = count; end > 0;) {
        size_t run = 1 + s_random (end), at = end - run;
        umbp_parts_take (s_parts + at, to ? to + at * UMBP_PART_BYTES : NULL,
                         from + at * UMBP_PART_BYTES, run, stream);
        end = at;
    }
    umbp_part_t sum;
    umbp_parts_begin (&sum);
    for (size_t at = 0; at < count;) {
        size_t run = 1 + s_random (count - at);
        umbp_parts_join (&sum, s_parts + at, run);
        at += run;
    }
    if (to)
        memcpy (to + count * UMBP_PART_BYTES, from + count * UMBP_PART_BYTES,
                size - count * UMBP_PART_BYTES);
    return umbp_parts_end (&sum, from + size - UMBP_PARTS_LAST, size);
}

static uint64_t s_sum_in_order (uint8_t *to, const uint8_t *from, size_t size, bool stream)
{
    size_t count = umbp_parts_count (size), first = s_random (count);
    umbp_part_t sum;
    umbp_parts_begin (&sum);
    umbp_parts_chain (&sum, to, from, first, stream);
    umbp_parts_chain (&sum, to ? to + first * UMBP_PART_BYTES : NULL,
                      from + first * UMBP_PART_BYTES, count - first, stream);
    if (to)
        memcpy (to + count * UMBP_PART_BYTES, from + count * UMBP_PART_BYTES,
                size - count * UMBP_PART_BYTES);
    return umbp_parts_end (&sum, from + size - UMBP_PARTS_LAST, size);
}

static void s_check (size_t size, size_t from_at, size_t to_at, bool stream)
{
    uint8_t *from = s_from + from_at, *to = s_to + GUARD + to_at;
    uint64_t sum = XXH3_64bits (from, size);
    memset (to - GUARD, 0xa5, GUARD);
    memset (to + size, 0xa5, GUARD);
    for (int turn = 0; turn < 2; turn++) {
        memset (to, 0, size);
        CU_ASSERT_EQUAL_FATAL ((turn ? s_sum_apart : s_sum_in_order) (to, from, size, stream), sum);
        CU_ASSERT_FATAL (memcmp (to, from, size) == 0);
        CU_ASSERT_EQUAL_FATAL ((turn ? s_sum_apart : s_sum_in_order) (NULL, from, size, stream),
                               sum);
    }
    for (size_t at = 0; at < GUARD; at++)
        CU_ASSERT_FATAL (to[(ptrdiff_t) at - GUARD] == 0xa5 && to[size + at] == 0xa5);
}

static void test_every_length (void)
{
    for (size_t size = UMBP_PARTS_MIN; size < UMBP_PARTS_MIN + 2 * UMBP_PART_BYTES; size++)
        s_check (size, s_random (GUARD), s_random (GUARD), size % 2);
}

static void test_any_cut (void)
{
    for (int round = 0; round < 60; round++) {
        size_t size = UMBP_PARTS_MIN + s_random (BYTES_MAX - UMBP_PARTS_MIN);
        s_check (size, s_random (GUARD), round % 3 ? s_random (GUARD) : 0, round % 2);
    }
    s_check (BYTES_MAX, 0, 0, true);
}

//  What is copied is what is summed, though the source never stands still
static atomic_bool s_stop;

static void *s_change (void *arg)
{
    volatile uint8_t *bytes = arg;
    for (uint64_t seed = 1; !atomic_load (&s_stop);)
        bytes[umbp_splitmix (&seed) % UMBP_COPY_STREAM_MIN]++;
    return NULL;
}

static void test_a_source_that_changes (void)
{
#ifdef __SANITIZE_THREAD__
    return;                             //  The race is what is tested
#endif
    if (!umbp_parts_are_fast ())
        return;                         //  Then a block is summed first and copied after
    pthread_t thread;
    size_t size = UMBP_COPY_STREAM_MIN, wrong = 0;
    atomic_store (&s_stop, false);
    CU_ASSERT_FATAL (pthread_create (&thread, NULL, s_change, s_from) == 0);
    for (int round = 0; round < 2000; round++)
        wrong += umbp_copy_sum (s_to, s_from, size, round % 2) != XXH3_64bits (s_to, size);
    atomic_store (&s_stop, true);
    pthread_join (thread, NULL);
    CU_ASSERT_EQUAL (wrong, 0);
}

int main (void)
{
    alarm (120);
    s_seed = (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("seed %llu\n", (unsigned long long) s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("parts", s_setup, s_teardown);
    CU_ADD_TEST (suite, test_every_length);
    CU_ADD_TEST (suite, test_any_cut);
    CU_ADD_TEST (suite, test_a_source_that_changes);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_key.c - fingerprints and the column builder. UMBP_SEED repeats a run.
#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "proto/key.h"
#include "proto/message.h"
#include "proto/splitmix.h"

static uint64_t s_seed, s_state;

static uint64_t s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

static bool s_is (umbp_fingerprint_t print, uint64_t hi, uint64_t lo)
{
    return print.hi == hi && print.lo == lo;
}

//  What xxhsum -H2 and other implementations say: all nodes of a cluster have to agree
static void test_vectors (void)
{
    CU_ASSERT (s_is (umbp_fingerprint ("", 0, 0), 0x99aa06d3014798d8, 0x6001c324468d497f));
    CU_ASSERT (s_is (umbp_fingerprint ("abc", 3, 0), 0x06b05ab6733a6185, 0x78af5f94892f3950));
    CU_ASSERT (umbp_key_seed (NULL) == 0x2d06800538d394c2);
    CU_ASSERT (umbp_key_seed ("") == 0x2d06800538d394c2);
    CU_ASSERT (umbp_key_seed ("abc") == 0x78af5f94892f3950);
}

//  Every size gives what the library's own object code gives, the fast path too
static void test_sizes (void)
{
    uint8_t key[UMBP_KEY_MAX];
    for (size_t size = 0; size <= sizeof key; size++) {
        for (size_t at = 0; at < size; at++)
            key[at] = (uint8_t) umbp_splitmix (&s_state);
        uint64_t seed = umbp_splitmix (&s_state);
        XXH128_hash_t hash = XXH3_128bits_withSeed (key, size, seed);
        CU_ASSERT (s_is (umbp_fingerprint (key, size, seed), hash.high64, hash.low64));
        umbp_fingerprint_t other = umbp_fingerprint (key, size, seed + 1);
        CU_ASSERT (!s_is (other, hash.high64, hash.low64));
    }
}

static void test_builds (void)
{
    uint8_t buffer[64];
    umbp_column_build_t build;
    umbp_column_build_init (&build, buffer, UMBP_COLUMN_BUILD_SIZE (4, 6));
    CU_ASSERT (umbp_column_build_add (&build, "a", 1) == 0);
    CU_ASSERT (umbp_column_build_add (&build, "bcd", 3) == 0);
    CU_ASSERT (umbp_column_build_add (&build, NULL, 0) == 0);
    CU_ASSERT (umbp_column_build_add (&build, "xyz", 3) == UMBP_ETOOBIG);
    CU_ASSERT (umbp_column_build_add (&build, "ef", 2) == 0);
    CU_ASSERT (umbp_column_build_add (&build, NULL, 0) == UMBP_ETOOBIG);
    umbp_column_t column = umbp_column_build_finish (&build);
    CU_ASSERT (column.count == 4 && column.size == 6);
    CU_ASSERT (memcmp (column.bytes, "abcdef", 6) == 0);
    static const uint16_t sizes[] = { 1, 3, 0, 2 };
    CU_ASSERT (memcmp (column.sizes, sizes, sizeof sizes) == 0);
    CU_ASSERT (umbp_column_build_add (&build, "a", 1) == UMBP_ETOOBIG);
}

static void test_empty (void)
{
    umbp_column_build_t build;
    umbp_column_build_init (&build, NULL, 0);
    CU_ASSERT (umbp_column_build_add (&build, "a", 1) == UMBP_ETOOBIG);
    CU_ASSERT (umbp_column_build_add (&build, "", 0) == UMBP_ETOOBIG);
    umbp_column_t column = umbp_column_build_finish (&build);
    CU_ASSERT (column.count == 0 && column.size == 0);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_exists, 1);
    msg.exists.keys = column;
    CU_ASSERT (umbp_msg_check (&msg) == 0);
}

static void test_batch_max (void)
{
    static uint8_t buffer[UMBP_COLUMN_BUILD_SIZE (UMBP_BATCH_MAX + 1, UMBP_BATCH_MAX + 1)];
    umbp_column_build_t build;
    umbp_column_build_init (&build, buffer, sizeof buffer);
    for (size_t index = 0; index < UMBP_BATCH_MAX; index++)
        CU_ASSERT (umbp_column_build_add (&build, "k", 1) == 0);
    CU_ASSERT (umbp_column_build_add (&build, "k", 1) == UMBP_ETOOBIG);
    CU_ASSERT (umbp_column_build_finish (&build).count == UMBP_BATCH_MAX);
}

//  Random items in a buffer that ends where it says, then through the codec and back
static void test_random (void)
{
    static uint8_t source[UMBP_KEY_MAX];
    for (size_t at = 0; at < sizeof source; at++)
        source[at] = (uint8_t) umbp_splitmix (&s_state);
    for (int round = 0; round < 2000; round++) {
        size_t size = umbp_splitmix (&s_state) % 20000, count = 0;
        uint16_t sizes[UMBP_BATCH_MAX];
        uint8_t *buffer = malloc (size + 1), *wire = malloc (size + 64);
        umbp_column_build_t build;
        umbp_column_build_init (&build, buffer + 1, size);   //  Odd: nothing has to be aligned
        do
            sizes[count] =
                (uint16_t) (1 + umbp_splitmix (&s_state) % (round % 2 ? 16 : UMBP_KEY_MAX));
        while (umbp_column_build_add (&build, source, sizes[count]) == 0 && ++count);
        umbp_msg_t msg, back;
        umbp_msg_init (&msg, UMBP_MSG_exists, 1);
        msg.exists.keys = umbp_column_build_finish (&build);
        int bytes = umbp_msg_encode (&msg, wire, size + 64);
        CU_ASSERT_FATAL (umbp_msg_decode (&back, wire, (size_t) bytes) == bytes);
        CU_ASSERT_FATAL (back.exists.keys.count == count);
        for (size_t index = 0, offset = 0; index < count; index++) {
            umbp_bytes_t item = umbp_column_next (&back.exists.keys, index, &offset);
            if (item.size != sizes[index] || memcmp (item.data, source, item.size) != 0)
                CU_FAIL ("an item came back as another");
        }
        free (buffer);
        free (wire);
    }
}

static void test_bench (void)
{
    enum { ROUNDS = 1000000 };
    uint8_t key[UMBP_KEY_MAX] = { 0 };
    static const size_t sizes[] = { 16, 63, 64, 65, UMBP_KEY_MAX };
    printf ("\n   ");
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        uint64_t start = s_now_ns (), sum = 0;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            memcpy (key, &round, sizeof round);
            sum += umbp_fingerprint (key, sizes[index], s_seed).lo;
        }
        printf (" %zu bytes: %.1f ns,", sizes[index], (double) (s_now_ns () - start) / ROUNDS);
        CU_ASSERT (sum != 0);
    }
    printf ("\n");
}

int main (void)
{
    alarm (60);
    const char *seed = getenv ("UMBP_SEED");
    s_seed = seed && *seed ? strtoull (seed, NULL, 0) : s_now_ns () ^ (uint64_t) getpid () << 40;
    s_state = s_seed;
    printf ("UMBP_SEED=%" PRIu64 "\n", s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("key", NULL, NULL);
    CU_ADD_TEST (suite, test_vectors);
    CU_ADD_TEST (suite, test_sizes);
    CU_ADD_TEST (suite, test_builds);
    CU_ADD_TEST (suite, test_empty);
    CU_ADD_TEST (suite, test_batch_max);
    CU_ADD_TEST (suite, test_random);
    CU_ADD_TEST (suite, test_bench);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

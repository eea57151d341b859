//  test/unit/test_digest.c - sets of places in a few numbers: equal sets look equal, others do not, and who is told
//  which buckets differ finds each difference in them. UMBP_SEED repeats a run.
#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "actors/digest.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#define PLACES 1024

static uint64_t s_seed;

static uint64_t s_hash (unsigned number)
{
    char place[48];
    snprintf (place, sizeof place, "tcp://10.0.%u.%u:7710", number >> 8, number & 255);
    return umbp_digest_hash (place);
}

static umbp_digest_t s_of (unsigned first, unsigned count)
{
    umbp_digest_t digest = { .sums = { 0 } };
    for (unsigned number = first; number < first + count; number++)
        umbp_digest_add (&digest, s_hash (number));
    return digest;
}

//  Compare as a message brings it, column and all
static int s_compare (const umbp_digest_t *ours, const umbp_digest_t *theirs, size_t places,
                      umbp_digest_diff_t *diff)
{
    uint16_t told[UMBP_DIGEST_MAX];
    uint64_t salt = umbp_splitmix (&s_seed);
    size_t count = umbp_digest_write (theirs, places, salt, told);
    CU_ASSERT_FATAL (count <= UMBP_DIGEST_MAX);
    return umbp_digest_compare (ours, (umbp_u16s_t) { told, (uint32_t) count }, salt, diff);
}

static void test_equal (void)
{
    umbp_digest_diff_t diff;
    umbp_digest_t none = s_of (0, 0), forth = s_of (0, PLACES), back = s_of (0, 0);
    CU_ASSERT (umbp_digest_all (&none) != 0);
    for (unsigned number = PLACES; number-- > 0;)
        umbp_digest_add (&back, s_hash (number));
    CU_ASSERT (umbp_digest_all (&forth) == umbp_digest_all (&back));
    CU_ASSERT (umbp_digest_all (&forth) != umbp_digest_all (&none));
    for (size_t places = 1; places <= PLACES; places *= 2)
        CU_ASSERT (s_compare (&forth, &back, places, &diff) == 0);
    for (unsigned number = 0; number < PLACES; number++)
        umbp_digest_remove (&back, s_hash (number));
    CU_ASSERT (umbp_digest_all (&back) == umbp_digest_all (&none));

    umbp_digest_add (&back, s_hash (1));                    //  Twice is not none, and not once
    umbp_digest_add (&back, s_hash (1));
    umbp_digest_t once = s_of (1, 1);
    CU_ASSERT (umbp_digest_all (&back) != umbp_digest_all (&none));
    CU_ASSERT (umbp_digest_all (&back) != umbp_digest_all (&once));
}

//  Each place that one of two has and the other lacks, in tables of all sizes
static void test_one_differs (void)
{
    for (size_t places = 1; places <= PLACES; places *= 4) {
        unsigned hidden = 0, suspected = 0;
        umbp_digest_t all = s_of (0, PLACES);
        for (unsigned number = 0; number < PLACES; number++) {
            umbp_digest_diff_t diff;
            umbp_digest_t less = all;
            umbp_digest_remove (&less, s_hash (number));
            CU_ASSERT (umbp_digest_all (&less) != umbp_digest_all (&all));
            int count = s_compare (&all, &less, places, &diff);
            CU_ASSERT (count <= 1);
            hidden += count == 0 || !umbp_digest_differs (&diff, s_hash (number));
            for (unsigned other = 0; count && other < PLACES; other++)
                suspected += umbp_digest_differs (&diff, s_hash (other));
        }
        size_t buckets = places / 2 > 16 ? places / 2 : 16;
        buckets = buckets < UMBP_DIGEST_MAX ? buckets : UMBP_DIGEST_MAX;
        CU_ASSERT (hidden <= 2);        //  0.016 are to be expected
        CU_ASSERT (suspected <= PLACES * (PLACES / buckets) * 2);
    }
}

//  How many buckets differ, with this salt
static int s_salted (const umbp_digest_t *ours, const umbp_digest_t *theirs, uint64_t salt)
{
    umbp_digest_diff_t diff;
    uint16_t told[UMBP_DIGEST_MAX];
    size_t count = umbp_digest_write (theirs, 1, salt, told);
    return umbp_digest_compare (ours, (umbp_u16s_t) { told, (uint32_t) count }, salt, &diff);
}

//  Sets that look the same once in a while, and never for long
static void test_salt (void)
{
    unsigned hidden = 0;
    umbp_digest_t none = s_of (0, 0);
    for (int times = 0; times < 400000; times++) {
        umbp_digest_t one = none;
        umbp_digest_add (&one, umbp_splitmix (&s_seed));
        uint64_t salt = umbp_splitmix (&s_seed);
        if (s_salted (&one, &none, salt) > 0)
            continue;
        hidden++;
        CU_ASSERT (s_salted (&one, &none, salt) == 0);
        CU_ASSERT (s_salted (&one, &none, salt + 1) + s_salted (&one, &none, ~salt) > 0);
    }
    printf ("%u hidden ", hidden);
    CU_ASSERT (hidden < 40);            //  6 are to be expected
}

static void test_odd_tables (void)
{
    static const uint16_t told[2 * UMBP_DIGEST_MAX] = { 0 };
    static const uint32_t bad[] = { 0, 3, 17, 255, 257, 2 * UMBP_DIGEST_MAX };
    umbp_digest_t digest = s_of (0, 10);
    umbp_digest_diff_t diff;
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++)
        CU_ASSERT (umbp_digest_compare (&digest, (umbp_u16s_t) { told, bad[index] }, 0, &diff)
                   == UMBP_EINVAL);
    for (uint32_t count = 1; count <= UMBP_DIGEST_MAX; count *= 2)
        CU_ASSERT (umbp_digest_compare (&digest, (umbp_u16s_t) { told, count }, 0, &diff) >= 0);
}

int main (void)
{
    alarm (120);
    setvbuf (stdout, NULL, _IONBF, 0);
    const char *given = getenv ("UMBP_SEED");
    s_seed =
        given ? strtoull (given, NULL, 0) : (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("UMBP_SEED=0x%" PRIx64 " ", s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("digest", NULL, NULL);
    CU_ADD_TEST (suite, test_equal);
    CU_ADD_TEST (suite, test_one_differs);
    CU_ADD_TEST (suite, test_salt);
    CU_ADD_TEST (suite, test_odd_tables);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_bulk_copy.c - copies, checksums and cursors, against plain memory functions and
//  the library's own XXH3
#include "cluster/bulk/copy.h"
#include "cluster/bulk/piece.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define BYTES_MAX ((size_t) 3 << 20)
#define GUARD 64

static uint64_t s_seed;
static unsigned char *s_from, *s_to;    //  BYTES_MAX and room for guards and odd addresses

static size_t s_random (size_t limit)
{
    return umbp_splitmix (&s_seed) % limit;
}

static int s_setup (void)
{
    s_from = malloc (BYTES_MAX + 4 * GUARD);
    s_to = malloc (BYTES_MAX + 4 * GUARD);
    for (size_t at = 0; at < BYTES_MAX + 4 * GUARD; at++)
        s_from[at] = (unsigned char) umbp_splitmix (&s_seed);
    return 0;
}

static int s_teardown (void)
{
    free (s_from);
    free (s_to);
    return 0;
}

//  Copy size bytes between odd addresses; nothing beside the target may change
static void s_check_copy_past (size_t size, size_t from_at, size_t to_at, bool past)
{
    unsigned char *to = s_to + GUARD + to_at, *from = s_from + from_at;
    memset (to - GUARD, 0xa5, GUARD);
    memset (to, 0, size);
    memset (to + size, 0xa5, GUARD);
    uint64_t sum = umbp_copy_sum (to, from, size, past);
    CU_ASSERT_EQUAL (sum, XXH3_64bits (from, size));
    CU_ASSERT_EQUAL (sum, umbp_sum (from, size));
    CU_ASSERT (memcmp (to, from, size) == 0);
    for (size_t at = 0; at < GUARD; at++)
        CU_ASSERT_FATAL (to[(ptrdiff_t) at - GUARD] == 0xa5 && to[size + at] == 0xa5);
}

static void s_check_copy (size_t size, size_t from_at, size_t to_at)
{
    s_check_copy_past (size, from_at, to_at, false);
    s_check_copy_past (size, from_at, to_at, true);
}

static void test_copies_and_sums_every_size (void)
{
    static const size_t sizes[] = { 4095,
                                    4096,
                                    4097,
                                    8191,
                                    8192,
                                    8193,
                                    16385,
                                    65535,
                                    65536,
                                    65537,
                                    131071,
                                    UMBP_COPY_STREAM_MIN - 1,
                                    UMBP_COPY_STREAM_MIN,
                                    UMBP_COPY_STREAM_MIN + 1,
                                    2 << 20,
                                    BYTES_MAX };
    CU_ASSERT_EQUAL (umbp_copy_sum (NULL, NULL, 0, true), XXH3_64bits (NULL, 0));
    for (size_t size = 0; size < 600; size++)
        s_check_copy (size, size % 7, size % 5);
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++)
        s_check_copy (sizes[index], 0, 0);
    for (int round = 0; round < 200; round++)
        s_check_copy (s_random (round % 4 ? 70000 : BYTES_MAX), s_random (GUARD), s_random (GUARD));
}

static void test_sums_pieces_as_one (void)
{
    for (int round = 0; round < 200; round++) {
        size_t size = s_random (round % 4 ? 100000 : BYTES_MAX), piece_max = 1 + s_random (300000);
        umbp_sum_t sum;
        umbp_sum_init (&sum, round % 2 ? size : 0);
        memset (s_to, 0, size);
        for (size_t at = 0; at < size;) {
            size_t piece = s_random (piece_max + 1);
            if (piece > size - at)
                piece = size - at;
            if (s_random (2)) {
                umbp_sum_copy (&sum, s_to + at, s_from + at, piece);
                CU_ASSERT_FATAL (memcmp (s_to + at, s_from + at, piece) == 0);
            } else
                umbp_sum_update (&sum, s_from + at, piece);
            at += piece;
            if (s_random (16) == 0)
                CU_ASSERT_EQUAL_FATAL (umbp_sum_final (&sum), XXH3_64bits (s_from, at));
        }
        CU_ASSERT_EQUAL_FATAL (umbp_sum_final (&sum), XXH3_64bits (s_from, size));
    }
}

//  Cut memory into pieces with gaps between them, some empty. Returns their bytes.
static size_t s_cut (umbp_piece_t *pieces, size_t count, unsigned char *memory)
{
    size_t total = 0;
    for (size_t index = 0; index < count; index++) {
        pieces[index] = (umbp_piece_t) { memory, s_random (5) ? s_random (200) : 0 };
        memory += pieces[index].size + s_random (3);
        total += pieces[index].size;
    }
    CU_ASSERT_EQUAL (umbp_piece_total (pieces, count), total);
    return total;
}

static void test_cursor_walks_pieces (void)
{
    for (int round = 0; round < 500; round++) {
        umbp_piece_t pieces[20];
        size_t total = s_cut (pieces, 20, s_from);
        unsigned char flat[4096], seen[4096];
        for (size_t index = 0, at = 0; index < 20; at += pieces[index++].size)
            memcpy (flat + at, pieces[index].base, pieces[index].size);
        size_t offset = s_random (total + 1), size = s_random (total - offset + 1), got = 0;
        umbp_cursor_t cursor;
        umbp_cursor_set (&cursor, pieces, offset, size);
        while (cursor.left) {
            struct iovec vectors[4];
            size_t bytes, sum = 0, bytes_max = 1 + s_random (300);
            size_t count = umbp_cursor_vectors (&cursor, vectors, 4, bytes_max, &bytes);
            CU_ASSERT_FATAL (count > 0 && bytes > 0 && bytes <= bytes_max);
            for (size_t index = 0; index < count; index++) {
                memcpy (seen + got + sum, vectors[index].iov_base, vectors[index].iov_len);
                sum += vectors[index].iov_len;
            }
            CU_ASSERT_EQUAL_FATAL (sum, bytes);
            size_t step = 1 + s_random (bytes);     //  A socket may take less than it is offered
            umbp_cursor_skip (&cursor, step);
            got += step;
        }
        CU_ASSERT (got == size && memcmp (seen, flat + offset, size) == 0);
    }
}

static void test_cursor_puts_bytes (void)
{
    for (int round = 0; round < 500; round++) {
        umbp_piece_t pieces[20];
        size_t total = s_cut (pieces, 20, s_to);
        umbp_cursor_t cursor;
        umbp_cursor_set (&cursor, pieces, 0, total);
        size_t done = 0;
        while (cursor.left)
            done += umbp_cursor_put (&cursor, s_from + done, 1 + s_random (100));
        CU_ASSERT_EQUAL (umbp_cursor_put (&cursor, s_from, 10), 0);
        CU_ASSERT_EQUAL (done, total);
        size_t at = 0;
        for (size_t index = 0; index < 20; at += pieces[index++].size)
            CU_ASSERT (memcmp (pieces[index].base, s_from + at, pieces[index].size) == 0);
    }
    const umbp_piece_t huge[] = { { s_to, SIZE_MAX }, { s_to, SIZE_MAX } };
    CU_ASSERT_EQUAL (umbp_piece_total (huge, 2), UINT64_MAX);
}

//  ---- Speed, printed and never judged

#define SPEED_BYTES ((size_t) 64 << 20)
#define BLOCK_BYTES ((size_t) 2 << 20)
#define RUNS 5

static double s_now (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

static int s_compare (const void *left, const void *right)
{
    double a = *(const double *) left, b = *(const double *) right;
    return (a > b) - (a < b);
}

typedef void (job_fn) (char *to, const char *from, size_t size);

static uint64_t s_sink;                 //  Keeps sums from being optimised away

static void s_job_memcpy (char *to, const char *from, size_t size)
{
    memcpy (to, from, size);
}

static void s_job_memcpy_sum (char *to, const char *from, size_t size)
{
    memcpy (to, from, size);
    s_sink ^= umbp_sum (from, size);
}

static void s_job_copy_sum (char *to, const char *from, size_t size)
{
    s_sink ^= umbp_copy_sum (to, from, size, true);
}

static void s_job_sum (char *to, const char *from, size_t size)
{
    (void) to;
    s_sink ^= umbp_sum (from, size);
}

static void test_prints_speed (void)
{
    static const struct { const char *name; job_fn *job; } jobs[] = {
        { "memcpy", s_job_memcpy },
        { "memcpy, then sum", s_job_memcpy_sum },
        { "umbp_copy_sum", s_job_copy_sum },
        { "umbp_sum", s_job_sum },
    };
    enum { JOBS = sizeof jobs / sizeof *jobs };
    double speeds[JOBS][RUNS];
    char *memory =
        mmap (NULL, 2 * SPEED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL (memory != MAP_FAILED);
    memset (memory, 1, 2 * SPEED_BYTES);
    for (int run = 0; run < RUNS; run++)
        for (int job = 0; job < JOBS; job++) {
            double start = s_now ();
            for (size_t at = 0; at < SPEED_BYTES; at += BLOCK_BYTES)
                jobs[job].job (memory + at, memory + SPEED_BYTES + at, BLOCK_BYTES);
            speeds[job][run] = (double) SPEED_BYTES / (s_now () - start) / 1e9;
        }
    for (int job = 0; job < JOBS; job++) {
        qsort (speeds[job], RUNS, sizeof (double), s_compare);
        printf ("\n    %-17s %6.2f GB/s (64 MiB in 2 MiB blocks, median of %d)", jobs[job].name,
                speeds[job][RUNS / 2], RUNS);
    }
    printf ("\n");
    munmap (memory, 2 * SPEED_BYTES);
}

int main (int argc, char **argv)
{
    alarm (60);
    s_seed = argc > 1 ? strtoull (argv[1], NULL, 10) : (uint64_t) time (NULL);
    printf ("seed %llu\n", (unsigned long long) s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bulk_copy", s_setup, s_teardown);
    CU_ADD_TEST (suite, test_copies_and_sums_every_size);
    CU_ADD_TEST (suite, test_sums_pieces_as_one);
    CU_ADD_TEST (suite, test_cursor_walks_pieces);
    CU_ADD_TEST (suite, test_cursor_puts_bytes);
    CU_ADD_TEST (suite, test_prints_speed);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

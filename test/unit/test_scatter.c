//  test/unit/test_scatter.c - tiling and copying between lists of pieces, against a naive model
#include "client/scatter.h"
#include "cluster/bulk/copy.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SIZE 100000
#define PIECES 40

static uint64_t s_stream;

static uint64_t s_random (uint64_t below)
{
    return umbp_splitmix (&s_stream) % below;
}

static void s_seed (void)
{
    const char *text = getenv ("UMBP_SEED");
    s_stream =
        text ? strtoull (text, NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("[seed=%llu] ", (unsigned long long) s_stream);
}

//  Cut a buffer at random places, empty pieces included. Returns how many.
static size_t s_cut (uint8_t *base, size_t size, umbp_piece_t *pieces)
{
    size_t count = 1 + s_random (PIECES), at = 0;
    for (size_t index = 0; index < count; index++) {
        size_t left = size - at;
        size_t here = index + 1 == count ? left : s_random (4) == 0 ? 0 : s_random (left + 1);
        pieces[index] = (umbp_piece_t) { base + at, here };
        at += here;
    }
    return count;
}

static void test_copies (void)
{
    s_seed ();
    static uint8_t from[SIZE], to[SIZE];
    umbp_piece_t in[PIECES], out[PIECES];
    for (int round = 0; round < 300; round++) {
        size_t size = 1 + s_random (SIZE), room = size + s_random (SIZE + 1 - size);
        for (size_t at = 0; at < size; at++)
            from[at] = (uint8_t) s_random (256);
        memset (to, 0, sizeof to);
        size_t in_count = s_cut (from, size, in), out_count = s_cut (to, room, out);
        uint64_t sum = umbp_scatter_copy (out, out_count, in, in_count, size, s_random (2));
        CU_ASSERT (memcmp (from, to, size) == 0 && (room == size || to[size] == 0));
        CU_ASSERT (sum == umbp_sum (from, size));
        CU_ASSERT (umbp_scatter_sum (in, in_count, size) == sum);
        CU_ASSERT (umbp_scatter_sum (out, out_count, size) == sum);

        uint64_t offset = s_random (size);
        umbp_range_t range = { to, s_random (size - offset + 1), offset };
        memset (to, 0xee, sizeof to);
        umbp_scatter_read (in, &range);
        CU_ASSERT (memcmp (to, from + offset, range.size) == 0);
        CU_ASSERT (range.size == SIZE || to[range.size] == 0xee);
    }
}

static void test_tiles (void)
{
    s_seed ();
    static uint8_t block[SIZE];
    umbp_piece_t cut[PIECES], tiles[PIECES + 1];
    umbp_range_t ranges[PIECES + 1];
    for (int round = 0; round < 300; round++) {
        size_t size = 1 + s_random (SIZE), count = s_cut (block, size, cut), large = 0;
        for (size_t index = 0; index < count; index++)
            ranges[index] = (umbp_range_t) { cut[index].base, cut[index].size,
                                            (uint64_t) ((uint8_t *) cut[index].base - block) };
        for (size_t index = count; index > 1; index--) {     //  In any order
            size_t other = s_random (index);
            umbp_range_t swap = ranges[index - 1];
            ranges[index - 1] = ranges[other];
            ranges[other] = swap;
        }
        CU_ASSERT (umbp_scatter_tiles (ranges, count, size, tiles));
        uint8_t *at = block;
        for (size_t index = 0; index < count; index++) {
            CU_ASSERT (tiles[index].base == at);
            at += tiles[index].size;
            large = ranges[index].size > ranges[large].size ? index : large;
        }
        CU_ASSERT (at == block + size);
        CU_ASSERT (!umbp_scatter_tiles (ranges, count, size + 1, tiles));
        CU_ASSERT (!umbp_scatter_tiles (ranges, count, size - 1, tiles));
        ranges[count] = ranges[large];
        CU_ASSERT (!umbp_scatter_tiles (ranges, count + 1, size, tiles));
        ranges[large].size--;
        CU_ASSERT (!umbp_scatter_tiles (ranges, count, size, tiles));
        ranges[large].size += 2;
        CU_ASSERT (!umbp_scatter_tiles (ranges, count, size, tiles));
        ranges[large].size = SIZE_MAX;
        CU_ASSERT (!umbp_scatter_tiles (ranges, count, size, tiles));
        ranges[large].offset = UINT64_MAX - 3;
        CU_ASSERT (!umbp_scatter_tiles (ranges, count, size, tiles));
    }
    CU_ASSERT (umbp_scatter_tiles (NULL, 0, 0, tiles) && !umbp_scatter_tiles (NULL, 0, 1, tiles));
    CU_ASSERT (!umbp_scatter_tiles (ranges, UMBP_RANGES_MAX + 1, 1, tiles));
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("scatter", NULL, NULL);
    CU_ADD_TEST (suite, test_copies);
    CU_ADD_TEST (suite, test_tiles);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_pages.c - the page allocator: its order of preference, its refusals, and a long
//  random run next to a naive model. With the argument bench it measures instead.
#include "actors/tier/pages.h"
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
#define PAGE 4096

static umbp_pages_t *s_one_region (uint32_t pages)
{
    return umbp_pages_new (PAGE, &pages, 1);
}

//  Take all pages one by one, then give back those named, of region 0
static void s_leave_free (umbp_pages_t *pages, const uint32_t *names, size_t count)
{
    umbp_extent_t taken[256], extent;
    uint32_t total = umbp_pages_total_count (pages);
    for (uint32_t index = 0; index < total; index++) {
        CU_ASSERT_FATAL (umbp_pages_take (pages, 1, &extent, 1) == 1);
        if (extent.region == 0)
            taken[extent.page] = extent;
    }
    CU_ASSERT (umbp_pages_free_count (pages) == 0);
    for (size_t index = 0; index < count; index++)
        CU_ASSERT (umbp_pages_give (pages, &taken[names[index]]) == 0);
    CU_ASSERT (umbp_pages_free_count (pages) == count);
}

static void test_new (void)
{
    const uint32_t none = 0, some = 5, many[] = { UINT32_MAX, UINT32_MAX };
    CU_ASSERT_PTR_NULL (umbp_pages_new (0, &some, 1));
    CU_ASSERT_PTR_NULL (umbp_pages_new (PAGE, &some, 0));
    CU_ASSERT_PTR_NULL (umbp_pages_new (PAGE, many, 2));
    umbp_pages_t *pages = umbp_pages_new (PAGE, &none, 1);
    umbp_extent_t extent = { 0, 0, 1, 1 };
    CU_ASSERT (umbp_pages_total_count (pages) == 0);
    CU_ASSERT (umbp_pages_take (pages, 1, &extent, 1) == UMBP_ENOSPC);
    CU_ASSERT (umbp_pages_check (pages, &extent) == UMBP_EINVAL);
    umbp_pages_destroy (&pages);
    CU_ASSERT_PTR_NULL (pages);
    umbp_pages_destroy (&pages);
    pages = s_one_region (5);
    CU_ASSERT (umbp_pages_page_size (pages) == PAGE);
    CU_ASSERT (umbp_pages_total_count (pages) == 5);
    CU_ASSERT (umbp_pages_free_count (pages) == 5);
    CU_ASSERT (umbp_pages_used_count (pages) == 0);
    umbp_pages_destroy (&pages);
}

static void test_contiguous_first (void)
{
    //  Free: 1, 3, 5, 6, 7, 9 of 12
    static const uint32_t free_pages[] = { 1, 3, 5, 6, 7, 9 };
    umbp_pages_t *pages = s_one_region (12);
    s_leave_free (pages, free_pages, COUNT (free_pages));
    umbp_extent_t out[4];
    CU_ASSERT (umbp_pages_take (pages, 3, out, 4) == 1);
    CU_ASSERT (out[0].page == 5 && out[0].count == 3 && out[0].region == 0);
    CU_ASSERT (out[0].generation == 13);
    CU_ASSERT (umbp_pages_used_count (pages) == 9);
    umbp_pages_destroy (&pages);
}

static void test_short_run_before_long_one (void)
{
    static const uint32_t free_pages[] = { 0, 1, 2, 3, 6, 7, 9 };
    umbp_pages_t *pages = s_one_region (12);
    s_leave_free (pages, free_pages, COUNT (free_pages));
    umbp_extent_t out[4];
    CU_ASSERT (umbp_pages_take (pages, 2, out, 4) == 1 && out[0].page == 6);
    CU_ASSERT (umbp_pages_take (pages, 4, out, 4) == 1 && out[0].page == 0);
    umbp_pages_destroy (&pages);
}

static void test_scattered_longest_first (void)
{
    static const uint32_t free_pages[] = { 1, 3, 4, 6, 8, 9, 10 };
    umbp_pages_t *pages = s_one_region (12);
    s_leave_free (pages, free_pages, COUNT (free_pages));
    umbp_extent_t out[4];
    CU_ASSERT (umbp_pages_take (pages, 5, out, 1) == UMBP_EAGAIN);
    CU_ASSERT (umbp_pages_free_count (pages) == 7);
    CU_ASSERT (umbp_pages_take (pages, 5, out, 2) == 2);
    CU_ASSERT (out[0].page == 8 && out[0].count == 3 && out[1].page == 3 && out[1].count == 2);
    CU_ASSERT (out[0].generation == out[1].generation);
    CU_ASSERT (umbp_pages_take (pages, 2, out, 4) == 2);
    CU_ASSERT (out[0].count == 1 && out[1].count == 1);
    CU_ASSERT (umbp_pages_free_count (pages) == 0);
    umbp_pages_destroy (&pages);
}

//  The last piece of a scattered block comes from the run that fits it
static void test_scattered_spares_long_runs (void)
{
    static const uint32_t free_pages[] = { 0, 1, 2, 4, 5, 6, 8 };
    umbp_pages_t *pages = s_one_region (12);
    s_leave_free (pages, free_pages, COUNT (free_pages));
    umbp_extent_t out[4];
    CU_ASSERT (umbp_pages_take (pages, 4, out, 4) == 2);
    CU_ASSERT (out[0].count == 3 && out[1].page == 8 && out[1].count == 1);
    CU_ASSERT (umbp_pages_take (pages, 3, out, 4) == 1);
    umbp_pages_destroy (&pages);
}

//  Runs of 64 and of 65 pages are listed together: the longer is found behind the shorter
static void test_finds_among_similar_lengths (void)
{
    umbp_pages_t *pages = s_one_region (200);
    umbp_extent_t longer, wall, shorter, rest, out[2];
    CU_ASSERT (umbp_pages_take (pages, 65, &longer, 1) == 1);
    CU_ASSERT (umbp_pages_take (pages, 1, &wall, 1) == 1);
    CU_ASSERT (umbp_pages_take (pages, 64, &shorter, 1) == 1);
    CU_ASSERT (umbp_pages_take (pages, 70, &rest, 1) == 1);
    CU_ASSERT (umbp_pages_give (pages, &longer) == 0);
    CU_ASSERT (umbp_pages_give (pages, &shorter) == 0);
    CU_ASSERT (umbp_pages_take (pages, 65, out, 2) == 1 && out[0].page == longer.page);
    CU_ASSERT (umbp_pages_take (pages, 65, out, 2) == UMBP_EAGAIN);
    CU_ASSERT (umbp_pages_take (pages, 64, out, 2) == 1 && out[0].page == shorter.page);
    umbp_pages_destroy (&pages);
}

static void test_one_region_before_several (void)
{
    //  Region 0 keeps a run of 3 free and nothing else, region 1 two runs of 2
    static const uint32_t sizes[] = { 3, 6 };
    umbp_pages_t *pages = umbp_pages_new (PAGE, sizes, COUNT (sizes));
    umbp_extent_t singles[6], out[8];
    CU_ASSERT (umbp_pages_take (pages, 3, out, 1) == 1 && out[0].region == 0);
    for (size_t index = 0; index < 6; index++)
        CU_ASSERT (umbp_pages_take (pages, 1, &singles[index], 1) == 1 && singles[index].region == 1
                   && singles[index].page == index);
    CU_ASSERT (umbp_pages_give (pages, &out[0]) == 0);
    static const size_t given[] = { 0, 1, 3, 4 };
    for (size_t index = 0; index < COUNT (given); index++)
        CU_ASSERT (umbp_pages_give (pages, &singles[given[index]]) == 0);

    CU_ASSERT (umbp_pages_take (pages, 4, out, 8) == 2);        //  Not 3 + 1 of both
    CU_ASSERT (out[0].region == 1 && out[1].region == 1);
    CU_ASSERT (umbp_pages_take (pages, 3, out, 8) == 1 && out[0].region == 0);
    umbp_pages_destroy (&pages);
}

static void test_across_regions_all_or_nothing (void)
{
    static const uint32_t sizes[] = { 4, 0, 6, 2 };
    umbp_pages_t *pages = umbp_pages_new (PAGE, sizes, COUNT (sizes));
    umbp_extent_t out[4], more[4];
    CU_ASSERT (umbp_pages_take (pages, 11, out, 4) == 3);
    CU_ASSERT (out[0].region == 2 && out[0].count == 6 && out[1].region == 0 && out[1].count == 4);
    CU_ASSERT (out[2].region == 3 && out[2].count == 1);
    CU_ASSERT (umbp_pages_take (pages, 2, more, 4) == UMBP_EAGAIN);
    CU_ASSERT (umbp_pages_free_count (pages) == 1);
    CU_ASSERT (umbp_pages_take (pages, 1, more, 4) == 1);
    CU_ASSERT (umbp_pages_take (pages, 1, more, 4) == UMBP_EAGAIN);
    for (size_t index = 0; index < 3; index++)
        CU_ASSERT (umbp_pages_give (pages, &out[index]) == 0);
    CU_ASSERT (umbp_pages_take (pages, 11, out, 4) == 3);       //  Success after exhaustion
    umbp_pages_destroy (&pages);
}

static void test_never_fits (void)
{
    static const uint32_t sizes[] = { 4, 6 };
    umbp_pages_t *pages = umbp_pages_new (PAGE, sizes, COUNT (sizes));
    umbp_extent_t out[4];
    CU_ASSERT (umbp_pages_take (pages, 0, out, 4) == UMBP_EINVAL);
    CU_ASSERT (umbp_pages_take (pages, 1, out, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_pages_take (pages, 11, out, 4) == UMBP_ENOSPC);
    CU_ASSERT (umbp_pages_take (pages, UINT32_MAX, out, 4) == UMBP_ENOSPC);
    CU_ASSERT (umbp_pages_take (pages, 7, out, 1) == UMBP_ENOSPC);
    CU_ASSERT (umbp_pages_take (pages, 6, out, 1) == 1);
    CU_ASSERT (umbp_pages_take (pages, 6, out, 1) == UMBP_EAGAIN);
    umbp_pages_destroy (&pages);
}

static void test_give_is_idempotent (void)
{
    umbp_pages_t *pages = s_one_region (200);
    umbp_extent_t old, young;
    CU_ASSERT (umbp_pages_take (pages, 130, &old, 1) == 1);
    CU_ASSERT (umbp_pages_check (pages, &old) == 0);
    CU_ASSERT (umbp_pages_give (pages, &old) == 0);
    CU_ASSERT (umbp_pages_check (pages, &old) == UMBP_ESTALE);
    CU_ASSERT (umbp_pages_give (pages, &old) == UMBP_ESTALE);
    CU_ASSERT (umbp_pages_free_count (pages) == 200);
    CU_ASSERT (umbp_pages_take (pages, 130, &young, 1) == 1);
    CU_ASSERT (young.page == old.page && young.generation > old.generation);
    CU_ASSERT (umbp_pages_give (pages, &old) == UMBP_ESTALE);
    CU_ASSERT (umbp_pages_check (pages, &young) == 0);
    young.generation = 0;
    CU_ASSERT (umbp_pages_give (pages, &young) == UMBP_ESTALE);
    CU_ASSERT (umbp_pages_used_count (pages) == 130);
    umbp_pages_destroy (&pages);
}

//  A free page keeps its run's length where a used one has its generation: never mistake them
static void test_length_is_no_generation (void)
{
    umbp_pages_t *pages = s_one_region (10);
    for (uint32_t generation = 0; generation <= 10; generation++)
        for (uint32_t page = 0; page < 10; page++) {
            umbp_extent_t guess = { 0, page, 1, generation };
            CU_ASSERT (umbp_pages_give (pages, &guess) == UMBP_ESTALE);
        }
    CU_ASSERT (umbp_pages_free_count (pages) == 10);
    umbp_pages_destroy (&pages);
}

static void test_out_of_range (void)
{
    static const umbp_extent_t outside[] = {
        { 1, 0, 1, 1 }, { UINT16_MAX, 0, 1, 1 }, { 0, 10, 1, 1 }, { 0, 0, 11, 1 }, { 0, 9, 2, 1 },
        { 0, 0, 0, 1 }, { 0, UINT32_MAX, 1, 1 }, { 0, 1, UINT32_MAX, 1 },
        { 0, UINT32_MAX, UINT32_MAX, 1 },
    };
    umbp_pages_t *pages = s_one_region (10);
    umbp_extent_t all;
    CU_ASSERT (umbp_pages_take (pages, 10, &all, 1) == 1 && all.generation == 1);
    for (size_t index = 0; index < COUNT (outside); index++) {
        CU_ASSERT (umbp_pages_check (pages, &outside[index]) == UMBP_EINVAL);
        CU_ASSERT (umbp_pages_give (pages, &outside[index]) == UMBP_EINVAL);
    }
    CU_ASSERT (umbp_pages_used_count (pages) == 10);
    umbp_pages_destroy (&pages);
}

static void test_gives_a_part (void)
{
    umbp_pages_t *pages = s_one_region (10);
    umbp_extent_t all, part;
    CU_ASSERT (umbp_pages_take (pages, 10, &all, 1) == 1);
    part = (umbp_extent_t) { 0, 4, 2, all.generation };
    CU_ASSERT (umbp_pages_give (pages, &part) == 0);
    CU_ASSERT (umbp_pages_check (pages, &all) == UMBP_ESTALE);
    CU_ASSERT (umbp_pages_give (pages, &all) == UMBP_ESTALE);
    CU_ASSERT (umbp_pages_used_count (pages) == 8);
    umbp_pages_destroy (&pages);
}

static void test_extent_arithmetic (void)
{
    const umbp_extent_t extents[] = { { 0, 7, 2, 1 }, { 1, UINT32_MAX - 1, 1, 1 } };
    const uint32_t huge = 2u << 20;
    CU_ASSERT (umbp_extent_offset (&extents[0], PAGE) == 7 * PAGE);
    CU_ASSERT (umbp_extent_offset (&extents[1], huge) == (uint64_t) (UINT32_MAX - 1) * huge);
    CU_ASSERT (umbp_extent_size (&extents[0], PAGE) == 2 * PAGE);
    CU_ASSERT (umbp_extent_bytes (&extents[0], PAGE, 2 * PAGE + 1) == 2 * PAGE);
    CU_ASSERT (umbp_extent_bytes (&extents[1], PAGE, 1) == 1);
    CU_ASSERT (umbp_extent_page_count (0, PAGE) == 0);
    CU_ASSERT (umbp_extent_page_count (1, PAGE) == 1);
    CU_ASSERT (umbp_extent_page_count (PAGE, PAGE) == 1);
    CU_ASSERT (umbp_extent_page_count (PAGE + 1, PAGE) == 2);
    CU_ASSERT (umbp_extent_page_count (UINT64_MAX, 1) == UINT64_MAX);
    CU_ASSERT (umbp_extent_page_count (UINT64_MAX, 2) == 1ull << 63);
    CU_ASSERT (!umbp_extents_fit (extents, 2, PAGE, 2 * PAGE));
    CU_ASSERT (umbp_extents_fit (extents, 2, PAGE, 2 * PAGE + 1));
    CU_ASSERT (umbp_extents_fit (extents, 2, PAGE, 3 * PAGE));
    CU_ASSERT (!umbp_extents_fit (extents, 2, PAGE, 3 * PAGE + 1));
    CU_ASSERT (!umbp_extents_fit (extents, 0, PAGE, 0));
}

//  The model: who owns each page, and the blocks
enum { REGIONS = 3, MODEL_PAGES = 700, BLOCKS = 256, EXTENTS = 12, STEPS = 100000 };

typedef struct {
    umbp_extent_t extents[EXTENTS];
    int count;                          //  Of extents, 0 if the block is gone
} block_t;

typedef struct {
    umbp_pages_t *pages;
    uint32_t sizes[REGIONS];
    uint32_t owners[REGIONS][MODEL_PAGES];      //  Generation, 0 if free
    uint32_t used, generation;
    block_t blocks[BLOCKS];
} model_t;

//  Fewest free runs that hold so many pages, of some regions, and their longest run; UINT32_MAX
//  if none
static uint32_t s_fewest (const model_t *self, size_t first, size_t last, uint32_t count,
                          uint32_t *longest)
{
    uint32_t lengths[MODEL_PAGES + 1] = { 0 }, runs = 0;
    *longest = 0;
    for (size_t region = first; region < last; region++)
        for (uint32_t page = 0, length = 0; page < self->sizes[region]; page++) {
            length = self->owners[region][page] ? 0 : length + 1;
            bool ends = page + 1 == self->sizes[region] || self->owners[region][page + 1];
            if (length && ends)
                lengths[length]++;
            *longest = length > *longest ? length : *longest;
        }
    for (uint32_t length = MODEL_PAGES; length && count; length--)
        for (uint32_t left = lengths[length]; left && count; left--, runs++)
            count -= length < count ? length : count;
    return count ? UINT32_MAX : runs;
}

//  Whether what take said, a number of extents or an error, is what it should
static void s_judge (const model_t *self, uint32_t count, size_t out_max, int rc,
                     const umbp_extent_t *extents)
{
    uint32_t longest, fewest = s_fewest (self, 0, REGIONS, count, &longest);
    if (rc < 0) {
        CU_ASSERT (fewest > out_max);
        return;
    }
    CU_ASSERT (rc > 0 && (size_t) rc <= out_max);
    CU_ASSERT ((rc == 1) == (longest >= count));
    bool one_region = true, could = false;
    for (int index = 1; index < rc; index++)
        one_region &= extents[index].region == extents[0].region;
    for (size_t region = 0; region < REGIONS; region++)
        could |= s_fewest (self, region, region + 1, count, &longest) <= out_max;
    CU_ASSERT (one_region == could);
    if (one_region)
        fewest = s_fewest (self, extents[0].region, extents[0].region + 1u, count, &longest);
    CU_ASSERT ((uint32_t) rc == fewest);
}

static void s_take (model_t *self, block_t *block, uint32_t count, size_t out_max)
{
    int rc = umbp_pages_take (self->pages, count, block->extents, out_max);
    if (count < 64)                     //  Lengths are told apart exactly
        s_judge (self, count, out_max, rc, block->extents);
    if (rc < 0) {
        CU_ASSERT (rc == UMBP_EAGAIN || rc == UMBP_ENOSPC);
        return;
    }
    block->count = rc;
    self->generation++;
    for (int index = 0; index < rc; index++) {
        const umbp_extent_t *extent = &block->extents[index];
        CU_ASSERT (extent->generation == self->generation);
        CU_ASSERT_FATAL (extent->region < REGIONS && extent->count <= count
                         && extent->page + extent->count <= self->sizes[extent->region]);
        count -= extent->count;
        self->used += extent->count;
        for (uint32_t page = 0; page < extent->count; page++) {
            CU_ASSERT (self->owners[extent->region][extent->page + page] == 0);
            self->owners[extent->region][extent->page + page] = extent->generation;
        }
    }
    CU_ASSERT (count == 0);
}

static void s_give (model_t *self, block_t *block)
{
    for (int index = 0; index < block->count; index++) {
        const umbp_extent_t *extent = &block->extents[index];
        CU_ASSERT (umbp_pages_give (self->pages, extent) == 0);
        self->used -= extent->count;
        for (uint32_t page = 0; page < extent->count; page++)
            self->owners[extent->region][extent->page + page] = 0;
    }
    block->count = 0;
}

//  Any name at all: the answer is what the owners say
static void s_probe (model_t *self, uint64_t random)
{
    umbp_extent_t extent = { random % (REGIONS + 1), random >> 8 & 1023, 1 + (random >> 18 & 7),
                             1 + (random >> 24) % (self->generation + 1) };
    int expected = 0;
    if (extent.region >= REGIONS || extent.page + extent.count > self->sizes[extent.region])
        expected = UMBP_EINVAL;
    else {
        if (random >> 63 && self->owners[extent.region][extent.page])
            extent.generation = self->owners[extent.region][extent.page];
        for (uint32_t page = 0; page < extent.count; page++)
            if (self->owners[extent.region][extent.page + page] != extent.generation)
                expected = UMBP_ESTALE;
    }
    CU_ASSERT (umbp_pages_check (self->pages, &extent) == expected);
    if (expected)
        CU_ASSERT (umbp_pages_give (self->pages, &extent) == expected);
}

static void test_random_steps (void)
{
    struct timespec now;
    clock_gettime (CLOCK_REALTIME, &now);
    const char *given = getenv ("SEED");
    uint64_t seed =
        given ? strtoull (given, NULL, 0) : (uint64_t) now.tv_nsec ^ ((uint64_t) now.tv_sec << 30);
    printf (" seed=%" PRIu64 " ", seed);

    model_t *model = calloc (1, sizeof *model);
    for (size_t region = 0; region < REGIONS; region++)
        model->sizes[region] = 1 + umbp_splitmix (&seed) % MODEL_PAGES;
    model->pages = umbp_pages_new (PAGE, model->sizes, REGIONS);
    uint32_t total = umbp_pages_total_count (model->pages);
    for (int step = 0; step < STEPS; step++) {
        uint64_t random = umbp_splitmix (&seed);
        block_t *block = &model->blocks[random % BLOCKS];
        //  Long phases of more taking than giving keep it near full, then near empty
        if (block->count && (random >> 8) % 100 < (step / 5000 % 2 ? 70 : 35))
            s_give (model, block);
        else if (!block->count) {
            uint32_t most = random >> 16 & 7 ? 12 : random >> 19 & 7 ? 63 : total + 5;
            s_take (model, block, 1 + (uint32_t) (umbp_splitmix (&seed) % most),
                    1 + (random >> 24) % EXTENTS);
        }
        s_probe (model, umbp_splitmix (&seed));
        CU_ASSERT (umbp_pages_used_count (model->pages) == model->used);
        CU_ASSERT (umbp_pages_free_count (model->pages) == total - model->used);
    }
    for (size_t index = 0; index < BLOCKS; index++)
        s_give (model, &model->blocks[index]);
    CU_ASSERT (umbp_pages_free_count (model->pages) == total);
    umbp_extent_t out[REGIONS];         //  All has grown together again
    CU_ASSERT (umbp_pages_take (model->pages, total, out, REGIONS) == REGIONS);
    umbp_pages_destroy (&model->pages);
    free (model);
}

static double s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

static int s_compare (const void *left, const void *right)
{
    return *(const uint32_t *) left < *(const uint32_t *) right ? -1 : 1;
}

typedef struct {
    umbp_extent_t extents[64];
    int count;
} bench_block_t;

//  Blocks of 1 to most pages at 90 % use: each round gives a random one and takes a new one
static void s_bench_size (uint32_t most, uint32_t regions)
{
    enum { TOTAL = 1 << 20, ROUNDS = 400000 };
    uint32_t sizes[16];
    for (uint32_t region = 0; region < regions; region++)
        sizes[region] = TOTAL / regions;
    umbp_pages_t *pages = umbp_pages_new (PAGE, sizes, regions);
    size_t blocks = 0, extents = 0, refused = 0, samples = 0;
    bench_block_t *block = calloc (TOTAL, sizeof *block);
    uint32_t *times = calloc (ROUNDS * 2, sizeof *times);
    uint64_t state = 7;
    double take_ns = 0, give_ns = 0;
    while (umbp_pages_used_count (pages) < TOTAL / 10 * 9) {
        uint32_t count = 1 + (uint32_t) (umbp_splitmix (&state) % most);
        block[blocks].count = umbp_pages_take (pages, count, block[blocks].extents, 64);
        blocks++;
    }
    for (int round = 0; round < ROUNDS; round++) {
        bench_block_t *victim = &block[umbp_splitmix (&state) % blocks];
        double start = s_now_ns ();
        for (int index = 0; index < victim->count; index++)
            umbp_pages_give (pages, &victim->extents[index]);
        double middle = s_now_ns ();
        *victim = block[--blocks];
        give_ns += middle - start;
        while (umbp_pages_used_count (pages) < TOTAL / 10 * 9) {
            uint32_t count = 1 + (uint32_t) (umbp_splitmix (&state) % most);
            bench_block_t *fresh = &block[blocks];
            start = s_now_ns ();
            fresh->count = umbp_pages_take (pages, count, fresh->extents, 64);
            double spent = s_now_ns () - start;
            take_ns += spent;
            if (samples < ROUNDS * 2)
                times[samples++] = (uint32_t) spent;
            refused += fresh->count < 0;
            extents += fresh->count > 0 ? (size_t) fresh->count : 0;
            blocks += fresh->count > 0;
        }
    }
    qsort (times, samples, sizeof *times, s_compare);
    printf ("pages 1..%u regions=%u takes=%zu take_ns=%.0f p99_ns=%u max_ns=%u give_ns=%.0f "
            "extents_per_take=%.3f refused=%zu\n",
            most, regions, samples, take_ns / samples, times[samples * 99 / 100],
            times[samples - 1], give_ns / ROUNDS, (double) extents / samples, refused);
    free (times);
    free (block);
    umbp_pages_destroy (&pages);
}

//  The worst there is: only single pages are free, in 8 regions; blocks of 16
static void s_bench_scattered (void)
{
    enum { TOTAL = 1 << 20, REGION = TOTAL / 8, TAKES = TOTAL / 10 / 16 };
    const uint32_t sizes[] = { REGION, REGION, REGION, REGION, REGION, REGION, REGION, REGION };
    umbp_pages_t *pages = umbp_pages_new (PAGE, sizes, COUNT (sizes));
    umbp_extent_t *singles = calloc (TOTAL, sizeof *singles), out[16];
    for (size_t index = 0; index < TOTAL; index++)
        umbp_pages_take (pages, 1, &singles[index], 1);
    for (size_t index = 0; index < TOTAL; index += 10)
        umbp_pages_give (pages, &singles[index]);
    double start = s_now_ns ();
    for (int take = 0; take < TAKES; take++)
        CU_ASSERT (umbp_pages_take (pages, 16, out, 15) == UMBP_EAGAIN);
    double middle = s_now_ns ();
    for (int take = 0; take < TAKES; take++)
        CU_ASSERT (umbp_pages_take (pages, 16, out, 16) == 16);
    printf ("pages 16 singles regions=8 refusal_ns=%.0f take_ns=%.0f\n", (middle - start) / TAKES,
            (s_now_ns () - middle) / TAKES);
    free (singles);
    umbp_pages_destroy (&pages);
}

static void s_bench (void)
{
    double start = s_now_ns ();
    for (int call = 0; call < 1000000; call++)
        s_now_ns ();
    printf ("\nclock_ns=%.0f (in each figure)\n", (s_now_ns () - start) / 1e6);
    s_bench_size (1, 1);
    s_bench_size (16, 1);
    s_bench_size (16, 8);
    s_bench_size (64, 1);
    s_bench_size (512, 1);
    s_bench_size (512, 8);
    s_bench_scattered ();
}

int main (int argc, char **argv)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("pages", NULL, NULL);
    if (argc > 1 && strcmp (argv[1], "bench") == 0) {
        CU_ADD_TEST (suite, s_bench);
        CU_basic_run_tests ();
        return CU_get_number_of_failures () > 0;
    }
    CU_ADD_TEST (suite, test_new);
    CU_ADD_TEST (suite, test_contiguous_first);
    CU_ADD_TEST (suite, test_short_run_before_long_one);
    CU_ADD_TEST (suite, test_scattered_longest_first);
    CU_ADD_TEST (suite, test_scattered_spares_long_runs);
    CU_ADD_TEST (suite, test_finds_among_similar_lengths);
    CU_ADD_TEST (suite, test_one_region_before_several);
    CU_ADD_TEST (suite, test_across_regions_all_or_nothing);
    CU_ADD_TEST (suite, test_never_fits);
    CU_ADD_TEST (suite, test_give_is_idempotent);
    CU_ADD_TEST (suite, test_length_is_no_generation);
    CU_ADD_TEST (suite, test_out_of_range);
    CU_ADD_TEST (suite, test_gives_a_part);
    CU_ADD_TEST (suite, test_extent_arithmetic);
    CU_ADD_TEST (suite, test_random_steps);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  actors/tier/pages.c - page allocator. A bitmap in 64-bit words says which pages are used.
//  Scanning it for a run costs more the fuller the tier is, so free runs are also listed by
//  length: the first and the last page of a run know how long it is, which finds both neighbours
//  of a page that comes back, and the first is linked into the list of its bin. Nothing is ever
//  searched page by page.
#include "actors/tier/pages.h"
#include "proto/error.h"

#include <czmq.h>

#define NONE UINT32_MAX
#define SUB_BITS 5                      //  A power of two has 32 bins: exact up to 63, then to 1/32
#define SUBS (1u << SUB_BITS)
#define BINS ((32 - SUB_BITS + 1) * SUBS)
#define BIN_WORDS (BINS / 64)
#define PROBES_MAX 32                   //  Runs looked at in a bin that also has some too short
#define REGIONS_MAX 65536

typedef struct {
    uint32_t tag;                       //  Used: generation, 0 if out. Ends of a free run: its length.
    uint32_t next, prev;                //  First page of a free run: its neighbours in the bin
} page_t;

typedef struct {
    uint32_t page_count, free_count;
    uint32_t out_count, leaving_count;  //  Closed pages: nobody's, still somebody's
    uint64_t *used;                     //  A bit per page; set for those that are out, too
    uint64_t *closed;                   //  A bit per page that is out, or will be when it comes back
    page_t *pages;
    uint64_t filled[BIN_WORDS];         //  A bit per bin that has runs
    uint32_t heads[BINS];               //  First page of the first run, or NONE
} region_t;

struct umbp_pages {
    uint32_t page_size, total_count, free_count;
    uint32_t out_count, leaving_count;
    uint32_t generation;                //  Of the last take
    region_t *regions;
    size_t region_count;
    uint64_t *room;                     //  Pages in the largest region, in the two largest, ...
};

static unsigned s_bin (uint32_t length)
{
    if (length < SUBS)
        return length;
    unsigned power = 31 - (unsigned) __builtin_clz (length);
    return (power - SUB_BITS + 1) * SUBS + ((length >> (power - SUB_BITS)) & (SUBS - 1));
}

//  The lowest bin with runs from this one on, or BINS
static unsigned s_bin_from (const region_t *self, unsigned bin)
{
    uint64_t mask = ~0ull << bin % 64;
    for (unsigned word = bin / 64; word < BIN_WORDS; word++, mask = ~0ull)
        if (self->filled[word] & mask)
            return word * 64 + (unsigned) __builtin_ctzll (self->filled[word] & mask);
    return BINS;
}

//  The highest bin with runs below this one, or 0, which never has any
static unsigned s_bin_below (const region_t *self, unsigned bin)
{
    for (unsigned word = BIN_WORDS; word-- > 0;) {
        if (word * 64 >= bin)
            continue;
        uint64_t bits = self->filled[word];
        if (bin - word * 64 < 64)
            bits &= (1ull << (bin - word * 64)) - 1;
        if (bits)
            return word * 64 + 63 - (unsigned) __builtin_clzll (bits);
    }
    return 0;
}

static void s_link (region_t *self, uint32_t page, uint32_t length)
{
    unsigned bin = s_bin (length);
    uint32_t head = self->heads[bin];
    self->pages[page] = (page_t) { length, head, NONE };
    self->pages[page + length - 1].tag = length;
    if (head != NONE)
        self->pages[head].prev = page;
    self->heads[bin] = page;
    self->filled[bin / 64] |= 1ull << bin % 64;
}

static void s_unlink (region_t *self, uint32_t page)
{
    const page_t *run = &self->pages[page];
    if (run->next != NONE)
        self->pages[run->next].prev = run->prev;
    if (run->prev != NONE) {
        self->pages[run->prev].next = run->next;
        return;
    }
    unsigned bin = s_bin (run->tag);
    self->heads[bin] = run->next;
    if (run->next == NONE)
        self->filled[bin / 64] &= ~(1ull << bin % 64);
}

//  The bits of one word that belong to a run of pages; *span is how many they are
static uint64_t s_mask (uint32_t page, uint32_t count, uint32_t *span)
{
    uint32_t bit = page % 64;
    *span = count < 64 - bit ? count : 64 - bit;
    return (~0ull >> (64 - *span)) << bit;
}

static void s_mark (region_t *self, uint32_t page, uint32_t count, bool used)
{
    for (uint32_t span; count; page += span, count -= span) {
        uint64_t mask = s_mask (page, count, &span);
        if (used)
            self->used[page / 64] |= mask;
        else
            self->used[page / 64] &= ~mask;
    }
}

static bool s_all_used (const region_t *self, uint32_t page, uint32_t count)
{
    for (uint32_t span; count; page += span, count -= span) {
        uint64_t mask = s_mask (page, count, &span);
        if ((self->used[page / 64] & mask) != mask)
            return false;
    }
    return true;
}

static bool s_is_free (const region_t *self, uint32_t page)
{
    return !(self->used[page / 64] >> page % 64 & 1);
}

static void s_region_init (region_t *self, uint32_t page_count)
{
    self->page_count = self->free_count = page_count;
    self->used = zmalloc (((size_t) page_count / 64 + 1) * sizeof (uint64_t));
    self->closed = zmalloc (((size_t) page_count / 64 + 1) * sizeof (uint64_t));
    self->pages = zmalloc (((size_t) page_count + 1) * sizeof (page_t));
    for (size_t bin = 0; bin < BINS; bin++)
        self->heads[bin] = NONE;
    if (page_count)
        s_link (self, 0, page_count);
}

static int s_larger_first (const void *left_p, const void *right_p)
{
    uint64_t left = *(const uint64_t *) left_p, right = *(const uint64_t *) right_p;
    return left < right ? 1 : left > right ? -1 : 0;
}

umbp_pages_t *umbp_pages_new (uint32_t page_size, const uint32_t *pages_per_region, size_t regions)
{
    if (page_size == 0 || regions == 0 || regions > REGIONS_MAX)
        return NULL;
    uint64_t total = 0;
    for (size_t region = 0; region < regions; region++)
        total += pages_per_region[region];
    if (total >= NONE)
        return NULL;

    umbp_pages_t *self = zmalloc (sizeof (umbp_pages_t));
    self->page_size = page_size;
    self->total_count = self->free_count = (uint32_t) total;
    self->region_count = regions;
    self->regions = zmalloc (regions * sizeof (region_t));
    self->room = zmalloc (regions * sizeof (uint64_t));
    for (size_t region = 0; region < regions; region++) {
        s_region_init (&self->regions[region], pages_per_region[region]);
        self->room[region] = pages_per_region[region];
    }
    qsort (self->room, regions, sizeof (uint64_t), s_larger_first);
    for (size_t region = 1; region < regions; region++)
        self->room[region] += self->room[region - 1];
    return self;
}

void umbp_pages_destroy (umbp_pages_t **self_p)
{
    assert (self_p);
    umbp_pages_t *self = *self_p;
    if (!self)
        return;
    for (size_t region = 0; region < self->region_count; region++) {
        free (self->regions[region].used);
        free (self->regions[region].closed);
        free (self->regions[region].pages);
    }
    free (self->regions);
    free (self->room);
    freen (*self_p);
}

//  A free run of at least so many pages, as short as can be, or NONE
static uint32_t s_find (const region_t *self, uint32_t count)
{
    unsigned bin = s_bin (count);
    uint32_t run = self->heads[bin];
    for (int probes = 0; run != NONE && probes < PROBES_MAX; probes++) {
        if (self->pages[run].tag >= count)
            return run;
        run = self->pages[run].next;
    }
    bin = s_bin_from (self, bin + 1);
    return bin < BINS ? self->heads[bin] : NONE;
}

//  One run in one region. Returns the number of extents, 1 or 0, and changes nothing.
static size_t s_plan_contiguous (const umbp_pages_t *self, uint32_t count, umbp_extent_t *out)
{
    for (size_t region = 0; region < self->region_count; region++) {
        uint32_t run = s_find (&self->regions[region], count);
        if (run == NONE)
            continue;
        *out = (umbp_extent_t) { (uint16_t) region, run, count, 0 };
        return 1;
    }
    return 0;
}

//  The highest bin with runs below this one, of some regions
static unsigned s_next_bin (const umbp_pages_t *self, size_t first, size_t last, unsigned bin)
{
    unsigned highest = 0;
    for (size_t region = first; region < last; region++) {
        unsigned found = s_bin_below (&self->regions[region], bin);
        if (found > highest)
            highest = found;
    }
    return highest;
}

//  The longest runs of the regions from first to before last. Returns the number of extents, or 0
//  if out_max of them do not suffice, and changes nothing.
static size_t s_plan_scattered (const umbp_pages_t *self, size_t first, size_t last, uint32_t count,
                                umbp_extent_t *out, size_t out_max)
{
    size_t planned = 0;
    for (unsigned bin = s_next_bin (self, first, last, BINS); bin;
         bin = s_next_bin (self, first, last, bin)) {
        for (size_t index = first; index < last; index++) {
            const region_t *region = &self->regions[index];
            uint32_t next;
            for (uint32_t run = region->heads[bin]; run != NONE; run = next) {
                next = region->pages[run].next;
                uint32_t length = region->pages[run].tag;
                if (planned == out_max)
                    return 0;
                if (length >= count) {
                    //  The rest fits: spare this run if a bin not yet visited has a shorter one
                    uint32_t fit = s_find (region, count);
                    if (fit != NONE && s_bin (region->pages[fit].tag) < bin)
                        run = fit;
                    length = count;
                }
                out[planned++] = (umbp_extent_t) { (uint16_t) index, run, length, 0 };
                count -= length;
                if (count == 0)
                    return planned;
            }
        }
    }
    return 0;
}

static size_t s_plan (const umbp_pages_t *self, uint32_t count, umbp_extent_t *out, size_t out_max)
{
    size_t planned = s_plan_contiguous (self, count, out);
    for (size_t region = 0; planned == 0 && region < self->region_count; region++)
        if (self->regions[region].free_count >= count)
            planned = s_plan_scattered (self, region, region + 1, count, out, out_max);
    if (planned == 0 && self->region_count > 1)
        planned = s_plan_scattered (self, 0, self->region_count, count, out, out_max);
    return planned;
}

//  Take the front of a free run
static void s_carve (region_t *self, const umbp_extent_t *extent)
{
    uint32_t length = self->pages[extent->page].tag;
    s_unlink (self, extent->page);
    if (length > extent->count)
        s_link (self, extent->page + extent->count, length - extent->count);
    s_mark (self, extent->page, extent->count, true);
    for (uint32_t page = 0; page < extent->count; page++)
        self->pages[extent->page + page].tag = extent->generation;
    self->free_count -= extent->count;
}

int umbp_pages_take (umbp_pages_t *self, uint32_t count, umbp_extent_t *out, size_t out_max)
{
    if (count == 0 || out_max == 0)
        return UMBP_EINVAL;
    if (out_max > INT_MAX)
        out_max = INT_MAX;
    size_t most = out_max < self->region_count ? out_max : self->region_count;
    if (count > self->room[most - 1])
        return UMBP_ENOSPC;
    if (count > self->free_count)
        return UMBP_EAGAIN;
    size_t planned = s_plan (self, count, out, out_max);
    if (planned == 0)
        return UMBP_EAGAIN;

    if (++self->generation == 0)        //  Comes round after four thousand million takes
        self->generation = 1;
    for (size_t index = 0; index < planned; index++) {
        out[index].generation = self->generation;
        s_carve (&self->regions[out[index].region], &out[index]);
    }
    self->free_count -= count;
    return (int) planned;
}

int umbp_pages_check (const umbp_pages_t *self, const umbp_extent_t *extent)
{
    if (extent->region >= self->region_count)
        return UMBP_EINVAL;
    const region_t *region = &self->regions[extent->region];
    if (extent->count == 0 || extent->page >= region->page_count
        || extent->count > region->page_count - extent->page)
        return UMBP_EINVAL;
    if (extent->generation == 0 || !s_all_used (region, extent->page, extent->count))
        return UMBP_ESTALE;
    for (uint32_t page = 0; page < extent->count; page++)
        if (region->pages[extent->page + page].tag != extent->generation)
            return UMBP_ESTALE;
    return 0;
}

//  Pages that nobody holds are free: one run with the free neighbours on both sides
static void s_open (umbp_pages_t *self, region_t *region, uint32_t first, uint32_t count)
{
    uint32_t end = first + count;
    s_mark (region, first, count, false);
    region->free_count += count;
    self->free_count += count;
    if (first > 0 && s_is_free (region, first - 1)) {
        first -= region->pages[first - 1].tag;
        s_unlink (region, first);
    }
    if (end < region->page_count && s_is_free (region, end)) {
        uint32_t length = region->pages[end].tag;
        s_unlink (region, end);
        end += length;
    }
    s_link (region, first, end - first);
}

//  Pages whose bit is set are nobody's from now on
static void s_put_out (umbp_pages_t *self, region_t *region, uint32_t page, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++)
        region->pages[page + index].tag = 0;
    region->out_count += count;
    self->out_count += count;
}

static bool s_is_closed (const region_t *self, uint32_t page)
{
    return self->closed[page / 64] >> page % 64 & 1;
}

int umbp_pages_give (umbp_pages_t *self, const umbp_extent_t *extent)
{
    int rc = umbp_pages_check (self, extent);
    if (rc)
        return rc;
    region_t *region = &self->regions[extent->region];
    uint32_t page = extent->page, end = extent->page + extent->count;
    if (region->leaving_count == 0) {
        s_open (self, region, page, extent->count);
        return 0;
    }
    while (page < end) {                //  Parts of it may be on their way out
        bool closed = s_is_closed (region, page);
        uint32_t count = 1;
        while (page + count < end && s_is_closed (region, page + count) == closed)
            count++;
        if (closed) {
            region->leaving_count -= count;
            self->leaving_count -= count;
            s_put_out (self, region, page, count);
        } else
            s_open (self, region, page, count);
        page += count;
    }
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  Pages that leave, and come back

static region_t *s_range (umbp_pages_t *self, uint16_t region, uint32_t page, uint32_t count)
{
    if (region >= self->region_count)
        return NULL;
    region_t *found = &self->regions[region];
    return page <= found->page_count && count <= found->page_count - page ? found : NULL;
}

//  Take a part out of the free run that it lies in; what is left on both sides stays free
static void s_cut (umbp_pages_t *self, region_t *region, uint32_t run, uint32_t page,
                   uint32_t count)
{
    uint32_t end = run + region->pages[run].tag;
    s_unlink (region, run);
    if (page > run)
        s_link (region, run, page - run);
    if (end > page + count)
        s_link (region, page + count, end - page - count);
    s_mark (region, page, count, true);
    region->free_count -= count;
    self->free_count -= count;
    s_put_out (self, region, page, count);
}

//  The first page of the free run that a free page lies in: the nearest one whose predecessor is used
static uint32_t s_run_of (const region_t *self, uint32_t page)
{
    while (page > 0 && s_is_free (self, page - 1))
        page -= page % 64 == 0 && self->used[page / 64 - 1] == 0 ? 64 : 1;
    return page;
}

int64_t umbp_pages_retire (umbp_pages_t *self, uint16_t number, uint32_t page, uint32_t count)
{
    region_t *region = s_range (self, number, page, count);
    if (!region)
        return UMBP_EINVAL;
    uint32_t before = self->out_count, end = page + count;
    while (page < end) {
        if (!s_is_free (region, page)) {
            if (!s_is_closed (region, page)) {
                region->leaving_count++;
                self->leaving_count++;
                region->closed[page / 64] |= 1ull << page % 64;
            }
            page++;
            continue;
        }
        uint32_t run = s_run_of (region, page), last = run + region->pages[run].tag;
        uint32_t part = (last < end ? last : end) - page;
        s_cut (self, region, run, page, part);
        for (uint32_t index = page; index < page + part; index++)
            region->closed[index / 64] |= 1ull << index % 64;
        page += part;
    }
    return self->out_count - before;
}

int64_t umbp_pages_restore (umbp_pages_t *self, uint16_t number, uint32_t page, uint32_t count)
{
    region_t *region = s_range (self, number, page, count);
    if (!region)
        return UMBP_EINVAL;
    uint32_t before = self->free_count, end = page + count;
    while (page < end) {
        uint32_t first = page;
        while (page < end && s_is_closed (region, page) && region->pages[page].tag == 0) {
            region->closed[page / 64] &= ~(1ull << page % 64);
            page++;
        }
        if (page > first) {
            region->out_count -= page - first;
            self->out_count -= page - first;
            s_open (self, region, first, page - first);
            continue;
        }
        if (s_is_closed (region, page)) {
            region->closed[page / 64] &= ~(1ull << page % 64);
            region->leaving_count--;
            self->leaving_count--;
        }
        page++;
    }
    return self->free_count - before;
}

bool umbp_pages_is_closed (const umbp_pages_t *self, uint16_t region, uint32_t page)
{
    return s_is_closed (&self->regions[region], page);
}

bool umbp_pages_is_out (const umbp_pages_t *self, uint16_t region, uint32_t page)
{
    return s_is_closed (&self->regions[region], page) && self->regions[region].pages[page].tag == 0;
}

uint32_t umbp_pages_out_count (const umbp_pages_t *self)
{
    return self->out_count;
}

uint32_t umbp_pages_leaving_count (const umbp_pages_t *self)
{
    return self->leaving_count;
}

uint32_t umbp_pages_region_count (const umbp_pages_t *self, uint16_t region)
{
    return self->regions[region].page_count;
}

uint32_t umbp_pages_region_used (const umbp_pages_t *self, uint16_t region)
{
    const region_t *found = &self->regions[region];
    return found->page_count - found->free_count - found->out_count;
}

size_t umbp_pages_regions (const umbp_pages_t *self)
{
    return self->region_count;
}

uint32_t umbp_pages_page_size (const umbp_pages_t *self)
{
    return self->page_size;
}

uint32_t umbp_pages_total_count (const umbp_pages_t *self)
{
    return self->total_count;
}

uint32_t umbp_pages_free_count (const umbp_pages_t *self)
{
    return self->free_count;
}

uint32_t umbp_pages_used_count (const umbp_pages_t *self)
{
    return self->total_count - self->free_count - self->out_count;
}

//  actors/tier/balloon.c - how much memory a tier has, while it runs. See balloon.h.
#include "actors/tier/balloon.h"

#include <czmq.h>

#include "proto/error.h"

#define STEP_BYTES (UINT64_C (32) << 20)    //  Given back, moved or made in one step
#define EVICT_MAX 256                   //  Blocks that leave in one step
#define WALK_MAX 4096                   //  Items looked at in one step
#define SCAN_MAX 65536                  //  Pages looked at in one step

struct umbp_balloon {
    umbp_balloon_args_t args;
    umbp_pages_t *pages;
    uint32_t page_size, step_pages;
    uint32_t *limits;                   //  Of each region: the first page that is closed
    uint8_t **holes;                    //  ... a bit for each page that the system has back
    uint32_t hole_count;
    uint32_t goal;                      //  Pages that shall be closed
    uint32_t cursor;                    //  Item at which the walk goes on
    uint16_t scan_region;
    uint32_t scan_page;                 //  Where the search for pages to give back goes on
    umbp_balloon_stats_t stats;
};

umbp_balloon_t *umbp_balloon_new (const umbp_balloon_args_t *args)
{
    umbp_balloon_t *self = zmalloc (sizeof (umbp_balloon_t));
    self->args = *args;
    self->pages = umbp_store_pages (args->store);
    self->page_size = umbp_store_page_size (args->store);
    self->step_pages = (uint32_t) (STEP_BYTES / self->page_size);
    self->step_pages += self->step_pages == 0;
    self->limits = zmalloc (args->region_count * sizeof *self->limits);
    self->holes = zmalloc (args->region_count * sizeof *self->holes);
    for (size_t region = 0; region < args->region_count; region++) {
        self->limits[region] = umbp_pages_region_count (self->pages, (uint16_t) region);
        self->holes[region] = zmalloc (self->limits[region] / 8 + 1);
    }
    return self;
}

void umbp_balloon_destroy (umbp_balloon_t **self_p)
{
    umbp_balloon_t *self = *self_p;
    if (!self)
        return;
    for (size_t region = 0; region < self->args.region_count; region++)
        free (self->holes[region]);
    free (self->holes);
    free (self->limits);
    freen (*self_p);
}

int umbp_balloon_aim (umbp_balloon_t *self, uint64_t bytes, const char **why)
{
    uint32_t total = umbp_pages_total_count (self->pages);
    uint64_t pages = bytes / self->page_size + (bytes % self->page_size > 0);
    *why = "";
    if (pages == 0) {
        *why = "less than a page";
        return UMBP_EINVAL;
    }
    if (self->args.pinned)
        *why = "the memory is registered with RDMA devices: only with rdma/use = off can it shrink";
    for (size_t region = 0; region < self->args.region_count; region++)
        if (umbp_region_huge (self->args.regions[region]))
            *why = "huge pages would go back to their own pool, not to the system";
    if (self->page_size % (uint32_t) sysconf (_SC_PAGESIZE))
        *why = "dram/page is no multiple of the system's page";
    if (**why)
        return UMBP_ENOTSUP;
    self->goal = pages < total ? total - (uint32_t) pages : 0;
    return 0;
}

static uint32_t s_closed (const umbp_balloon_t *self)
{
    return umbp_pages_out_count (self->pages) + umbp_pages_leaving_count (self->pages);
}

static bool s_is_hole (const umbp_balloon_t *self, uint16_t region, uint32_t page)
{
    return self->holes[region][page / 8] >> page % 8 & 1;
}

static void s_set_holes (umbp_balloon_t *self, uint16_t region, uint32_t page, uint32_t count,
                         bool hole)
{
    for (uint32_t at = page; at < page + count; at++) {
        if (hole)
            self->holes[region][at / 8] |= (uint8_t) (1u << at % 8);
        else
            self->holes[region][at / 8] &= (uint8_t) ~(1u << at % 8);
    }
    self->hole_count += hole ? count : -count;
}

//  ------------------------------------------------------------------------------------------------
//  Shrinking

//  Let the least useful blocks go until so many pages are free. Returns how many are.
static uint32_t s_make_room (umbp_balloon_t *self, uint32_t pages)
{
    uint32_t victims[EVICT_MAX];
    if (umbp_pages_free_count (self->pages) >= pages)
        return pages;
    size_t count = umbp_store_victims (self->args.store, EVICT_MAX, victims);
    for (size_t index = 0; index < count && umbp_pages_free_count (self->pages) < pages; index++) {
        self->args.drop (self->args.owner, victims[index]);
        self->stats.evicted++;
    }
    uint32_t free = umbp_pages_free_count (self->pages);
    return free < pages ? free : pages;
}

//  The region that holds least, among those with pages left. Of two of these the one that is closed in part.
static int s_emptiest (const umbp_balloon_t *self)
{
    int best = -1;
    uint32_t least = UINT32_MAX;
    for (size_t region = 0; region < self->args.region_count; region++) {
        uint32_t used = umbp_pages_region_used (self->pages, (uint16_t) region);
        bool fresh =
            self->limits[region] == umbp_pages_region_count (self->pages, (uint16_t) region);
        if (self->limits[region] == 0)
            continue;
        if (best < 0 || used < least || (used == least && !fresh)) {
            best = (int) region;
            least = used;
        }
    }
    return best;
}

//  Close some pages. Not more than are free, so that what lies in them has somewhere to go.
static bool s_close (umbp_balloon_t *self)
{
    uint32_t wanted = self->goal - s_closed (self);
    wanted = s_make_room (self, wanted < self->step_pages ? wanted : self->step_pages);
    int region = wanted ? s_emptiest (self) : -1;
    if (region < 0)
        return false;                   //  All that is left is held; it will not be for ever
    uint32_t count = wanted < self->limits[region] ? wanted : self->limits[region];
    self->limits[region] -= count;
    umbp_pages_retire (self->pages, (uint16_t) region, self->limits[region], count);
    return true;
}

static void s_copy (void *arg, const umbp_block_t *from, const umbp_extent_t *to, size_t count)
{
    umbp_balloon_t *self = arg;
    uint64_t left = from->size, source_at = 0;
    size_t source = 0;
    for (size_t index = 0; index < count; index++) {
        uint64_t room = umbp_extent_bytes (&to[index], self->page_size, left), done = 0;
        uint8_t *out = (uint8_t *) umbp_region_base (self->args.regions[to[index].region])
                       + umbp_extent_offset (&to[index], self->page_size);
        while (done < room) {
            const umbp_extent_t *part = &from->extents[source];
            uint64_t size = umbp_extent_size (part, self->page_size) - source_at;
            size = size < room - done ? size : room - done;
            memcpy (out + done,
                    (uint8_t *) umbp_region_base (self->args.regions[part->region])
                        + umbp_extent_offset (part, self->page_size) + source_at,
                    size);
            done += size;
            source_at += size;
            if (source_at == umbp_extent_size (part, self->page_size)) {
                source++;
                source_at = 0;
            }
        }
        left -= room;
    }
}

static bool s_is_in_the_way (const umbp_balloon_t *self, const umbp_block_t *block)
{
    for (size_t index = 0; index < block->extent_count; index++)
        if (block->extents[index].page + block->extents[index].count
            > self->limits[block->extents[index].region])
            return true;
    return false;
}

//  Find blocks that lie in pages that are to go, and move them. One that finds no other place goes.
static void s_clear (umbp_balloon_t *self)
{
    uint32_t reach = umbp_store_reach (self->args.store);
    uint64_t bytes = 0;
    for (uint32_t looked = 0; looked < WALK_MAX && looked < reach && bytes < STEP_BYTES; looked++) {
        if (self->cursor >= reach)
            self->cursor = 0;
        uint32_t item = self->cursor++;
        const umbp_block_t *block = umbp_store_block (self->args.store, item);
        if (block->state != UMBP_BLOCK_LIVE || block->holds > 0 || !s_is_in_the_way (self, block))
            continue;
        if (umbp_store_move (self->args.store, item, s_copy, self) == 0) {
            self->stats.moved_blocks++;
            self->stats.moved_bytes += block->size;
            bytes += block->size;
            self->args.moved (self->args.owner, item);
        } else {
            self->stats.evicted++;
            self->args.drop (self->args.owner, item);
        }
    }
}

//  A run of pages that nobody has any more, and the system not yet, from a page on. Returns its length.
static uint32_t s_run_out (const umbp_balloon_t *self, uint16_t region, uint32_t page,
                           uint32_t most)
{
    uint32_t count = 0, end = umbp_pages_region_count (self->pages, region);
    while (page + count < end && count < most
           && umbp_pages_is_out (self->pages, region, page + count)
           && !s_is_hole (self, region, page + count))
        count++;
    return count;
}

static void s_give_back (umbp_balloon_t *self)
{
    uint32_t budget = self->step_pages;
    for (uint32_t looked = 0;
         looked < SCAN_MAX && budget > 0 && self->hole_count < umbp_pages_out_count (self->pages);
         looked++) {
        uint16_t region = self->scan_region;
        if (self->scan_page < self->limits[region])
            self->scan_page = self->limits[region];
        if (self->scan_page >= umbp_pages_region_count (self->pages, region)) {
            self->scan_region = (uint16_t) ((region + 1u) % self->args.region_count);
            self->scan_page = 0;
            continue;
        }
        uint32_t count = s_run_out (self, region, self->scan_page, budget);
        int rc = count ? umbp_region_punch (self->args.regions[region],
                                            (size_t) self->scan_page * self->page_size,
                                            (size_t) count * self->page_size)
                       : 0;
        if (rc < 0) {                   //  They stay out of use; the kernel cannot, so do not ask again
            zsys_error ("balloon: memory cannot be given back: pages=%u: %s", count,
                        umbp_strerror (rc));
            self->goal = 0;
            return;
        }
        s_set_holes (self, region, self->scan_page, count, true);
        budget -= count;
        self->scan_page += count ? count : 1;
    }
}

//  ------------------------------------------------------------------------------------------------
//  Growing

//  Make the memory of a run of pages exist. Returns 0 or UMBP_ENOSPC.
static int s_fill (umbp_balloon_t *self, uint16_t region, uint32_t page, uint32_t count)
{
    for (uint32_t at = page; at < page + count; at++) {
        uint32_t end = at;
        while (end < page + count && s_is_hole (self, region, end))
            end++;
        if (end == at)
            continue;
        int rc = umbp_region_fill (self->args.regions[region], (size_t) at * self->page_size,
                                   (size_t) (end - at) * self->page_size);
        if (rc < 0)
            return rc;
        s_set_holes (self, region, at, end - at, false);
        at = end - 1;
    }
    return 0;
}

static bool s_open (umbp_balloon_t *self)
{
    uint32_t wanted = s_closed (self) - self->goal;
    wanted = wanted < self->step_pages ? wanted : self->step_pages;
    for (size_t at = 0; at < self->args.region_count; at++) {
        uint16_t region = (uint16_t) at;
        uint32_t left = umbp_pages_region_count (self->pages, region) - self->limits[region];
        if (left == 0)
            continue;
        uint32_t count = wanted < left ? wanted : left;
        if (s_fill (self, region, self->limits[region], count) < 0) {
            zsys_warning ("balloon: the system has no memory to grow again, it stays as it is: "
                          "bytes=%" PRIu64,
                          (uint64_t) count * self->page_size);
            self->stats.failed++;
            self->goal = s_closed (self);
            return false;
        }
        umbp_pages_restore (self->pages, region, self->limits[region], count);
        self->limits[region] += count;
        return true;
    }
    return false;
}

//  ------------------------------------------------------------------------------------------------
//  Both

bool umbp_balloon_step (umbp_balloon_t *self)
{
    if (s_closed (self) < self->goal)
        s_close (self);
    else if (s_closed (self) > self->goal)
        s_open (self);
    if (umbp_pages_leaving_count (self->pages) > 0)
        s_clear (self);
    if (self->hole_count < umbp_pages_out_count (self->pages))
        s_give_back (self);
    return s_closed (self) != self->goal || self->hole_count < self->goal;
}

umbp_balloon_stats_t umbp_balloon_stats (const umbp_balloon_t *self)
{
    umbp_balloon_stats_t stats = self->stats;
    uint64_t page = self->page_size, total = umbp_pages_total_count (self->pages);
    stats.made = total * page;
    stats.capacity = (total - umbp_pages_out_count (self->pages)) * page;
    stats.goal = (total - self->goal) * page;
    stats.returned = self->hole_count * page;
    stats.leaving = umbp_pages_leaving_count (self->pages) * page;
    return stats;
}

//  actors/tier/pages.h - who holds which page of a memory tier. Hands out runs of pages over one or
//  more regions and takes them back; knows page numbers only, never the memory.
//
//  A block gets one run inside one region if there is one, else the longest runs of one region,
//  else the longest of all; all or nothing. Each take stamps its pages with a new generation, so
//  that a name that outlived its pages is found out. A value: one owner, no thread safety, never
//  blocks; allocates in umbp_pages_new alone. Take and give cost O(extents + pages), whatever the
//  fill.
#ifndef UMBP_PAGES_H
#define UMBP_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "cluster/bulk/extent.h"

typedef struct umbp_pages umbp_pages_t;

//  Pages of page_size bytes; pages_per_region has an entry for each region, 0 being allowed. What
//  a region holds beyond its last whole page is the caller's loss. Returns NULL if page_size or
//  regions is 0, if there are more than 65536 regions, or pages beyond 32 bits. Uses 12 bytes and
//  two bits each.
umbp_pages_t *umbp_pages_new (uint32_t page_size, const uint32_t *pages_per_region, size_t regions);
void umbp_pages_destroy (umbp_pages_t **self_p);

//  Take pages, all or none. Returns the number of extents written to out. UMBP_EINVAL if count or
//  out_max is 0; UMBP_ENOSPC if so many pages would not fit into out_max extents if all were free;
//  UMBP_EAGAIN if they do not now, because too few are free or the free ones are too scattered.
//  Longest first and one run before several are exact for runs up to 63 pages, and beyond that good
//  to a 32nd of their length.
int umbp_pages_take (umbp_pages_t *self, uint32_t count, umbp_extent_t *out, size_t out_max);

//  Whether an extent's pages are still those that were taken under its name. Returns 0, UMBP_ESTALE
//  if one is free or of another generation, UMBP_EINVAL if it is empty or outside of its region.
int umbp_pages_check (const umbp_pages_t *self, const umbp_extent_t *extent);

//  Take an extent, or a part of one, back. Returns what umbp_pages_check says of it; nothing
//  changes unless that is 0, so that giving twice does no harm.
int umbp_pages_give (umbp_pages_t *self, const umbp_extent_t *extent);

//  Take a range out of use: nobody is given its pages any more. Free ones are out at once, one that is
//  in use when it comes back, from whoever holds it; until then it counts as used. Returns how many
//  are out now that were not before, UMBP_EINVAL for a range outside of its region.
int64_t umbp_pages_retire (umbp_pages_t *self, uint16_t region, uint32_t page, uint32_t count);

//  Put a range back into use, whatever parts of it were out. Returns how many pages are free again,
//  or UMBP_EINVAL. Pages that were given back to the system are to exist again before.
int64_t umbp_pages_restore (umbp_pages_t *self, uint16_t region, uint32_t page, uint32_t count);

//  Of a page that is to leave: whether it is out of use. And whether it is out, or will be.
bool umbp_pages_is_out (const umbp_pages_t *self, uint16_t region, uint32_t page);
bool umbp_pages_is_closed (const umbp_pages_t *self, uint16_t region, uint32_t page);

//  Of all regions: pages that are out; those that will be when their holders let go
uint32_t umbp_pages_out_count (const umbp_pages_t *self);
uint32_t umbp_pages_leaving_count (const umbp_pages_t *self);

//  Of one region: its pages, and those of them that somebody holds
uint32_t umbp_pages_region_count (const umbp_pages_t *self, uint16_t region);
uint32_t umbp_pages_region_used (const umbp_pages_t *self, uint16_t region);
size_t umbp_pages_regions (const umbp_pages_t *self);

uint32_t umbp_pages_page_size (const umbp_pages_t *self);
//  All pages, in use, free or out: what the tier was made with
uint32_t umbp_pages_total_count (const umbp_pages_t *self);
uint32_t umbp_pages_free_count (const umbp_pages_t *self);
uint32_t umbp_pages_used_count (const umbp_pages_t *self);

#endif

//  cluster/bulk/extent.h - a run of pages in one region, and the arithmetic that owner and peer
//  must agree on. A block is its extents end to end and a size known apart from them: all pages
//  are full except the last, which holds at least one byte, so (N - 1) * page_size < size <= N *
//  page_size. Nothing here trusts an extent: an owner checks it with umbp_pages_check before it
//  touches memory.
#ifndef UMBP_EXTENT_H
#define UMBP_EXTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint16_t region;
    uint32_t page;                      //  The first one
    uint32_t count;                     //  Pages
    uint32_t generation;                //  Of the take that these pages belong to, never 0
} umbp_extent_t;

//  Bytes from the start of the region to the extent
static inline uint64_t umbp_extent_offset (const umbp_extent_t *self, uint32_t page_size)
{
    return (uint64_t) self->page * page_size;
}

//  Bytes that the extent has room for
static inline uint64_t umbp_extent_size (const umbp_extent_t *self, uint32_t page_size)
{
    return (uint64_t) self->count * page_size;
}

//  Bytes of a block that lie in the extent, when so many of the block are left from its start on
static inline uint64_t umbp_extent_bytes (const umbp_extent_t *self, uint32_t page_size,
                                          uint64_t left)
{
    uint64_t size = umbp_extent_size (self, page_size);
    return left < size ? left : size;
}

//  Pages that a block of a size takes; page_size is not 0
static inline uint64_t umbp_extent_page_count (uint64_t size, uint32_t page_size)
{
    return size / page_size + (size % page_size != 0);
}

//  Whether these extents are exactly right for a block: no page missing, none to spare
static inline bool umbp_extents_fit (const umbp_extent_t *extents, size_t count, uint32_t page_size,
                                     uint64_t size)
{
    uint64_t pages = 0;
    for (size_t index = 0; index < count; index++)
        pages += extents[index].count;
    return size > 0 && pages == umbp_extent_page_count (size, page_size);
}

#endif

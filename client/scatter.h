//  client/scatter.h - blocks and the caller's scattered buffers: do ranges tile a block, and copies
//  between lists of pieces with the checksum taken on the way. Pure: no state, nothing blocks.
//  Private to client/.
#ifndef UMBP_SCATTER_H
#define UMBP_SCATTER_H

#include "client/umbp.h"
#include "cluster/bulk/parts.h"
#include "cluster/bulk/piece.h"

#define UMBP_RANGES_MAX 4096            //  Of one block
#define UMBP_BLOCK_MAX ((uint64_t) 1 << 30)          //  Bytes in a block

//  Whether ranges cover bytes 0 to size without gap or overlap. If so, pieces receives their
//  buffers in the order of the block, as many as there are ranges.
bool umbp_scatter_tiles (const umbp_range_t *ranges, size_t count, uint64_t size,
                         umbp_piece_t *pieces);

//  Copy size bytes, from one list of pieces to another; both hold so many. past: large ones go past
//  the caches, see cluster/bulk/copy.h. Returns their checksum.
uint64_t umbp_scatter_copy (const umbp_piece_t *to, size_t to_count, const umbp_piece_t *from,
                            size_t from_count, uint64_t size, bool past);

//  A part of such a copy: count parts of UMBP_PART_BYTES (parts.h) from an offset on, summed apart.
//  Several threads may do others at the same time. And its end, behind all parts: sum is what they
//  were joined to. Returns the checksum.
void umbp_scatter_take (const umbp_piece_t *to, const umbp_piece_t *from, uint64_t offset,
                        umbp_part_t *parts, size_t count, bool past);
uint64_t umbp_scatter_end (const umbp_piece_t *to, const umbp_piece_t *from, uint64_t size,
                           const umbp_part_t *sum);

//  The checksum of the first size bytes of pieces
uint64_t umbp_scatter_sum (const umbp_piece_t *pieces, size_t count, uint64_t size);

//  Copy a part of a block out of its pieces. The range lies inside the block.
void umbp_scatter_read (const umbp_piece_t *pieces, const umbp_range_t *range);

#endif

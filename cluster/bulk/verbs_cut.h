//  cluster/bulk/verbs_cut.h - cuts a transfer into requests: each names one run of remote bytes and
//  the local pieces for it. A walk belongs to one thread; nothing here blocks or allocates.
#ifndef UMBP_VERBS_CUT_H
#define UMBP_VERBS_CUT_H

#include "cluster/bulk/extent.h"
#include "cluster/bulk/piece.h"

#ifdef __cplusplus
extern "C" {
#endif

#define UMBP_CUT_VECTORS_MAX 30         //  Pieces in one request

typedef struct {
    umbp_cursor_t local;
    const umbp_extent_t *extent;        //  Where we are in the block
    uint64_t at;                        //  Bytes of this extent that are behind us
    uint32_t page_size;
} umbp_cut_t;

typedef struct {
    uint16_t region;
    uint64_t offset;                    //  From the region's base
    uint32_t bytes;
    uint32_t vector_count;
    struct iovec vectors[UMBP_CUT_VECTORS_MAX];
} umbp_chunk_t;

//  Begin. All lists are borrowed until the walk is over. Returns 0, or UMBP_EINVAL if the extents
//  end before the pieces do, or page_size is 0.
int umbp_cut_init (umbp_cut_t *self, const umbp_extent_t *extents, size_t extent_count,
                   uint32_t page_size, uint64_t offset, const umbp_piece_t *pieces,
                   size_t piece_count);

//  Cut off the next request, of at most so many bytes. Returns false if none is left.
bool umbp_cut_next (umbp_cut_t *self, uint32_t bytes_max, umbp_chunk_t *chunk);

#ifdef __cplusplus
}
#endif

#endif

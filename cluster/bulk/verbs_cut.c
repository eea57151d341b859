//  cluster/bulk/verbs_cut.c - transfers into requests. See verbs_cut.h.
#include "cluster/bulk/verbs_cut.h"

#include "proto/error.h"

int umbp_cut_init (umbp_cut_t *self, const umbp_extent_t *extents, size_t extent_count,
                   uint32_t page_size, uint64_t offset, const umbp_piece_t *pieces,
                   size_t piece_count)
{
    uint64_t room = 0, size = umbp_piece_total (pieces, piece_count);
    for (size_t index = 0; index < extent_count; index++)
        room += umbp_extent_size (&extents[index], page_size);
    if (page_size == 0 || offset > room || size > room - offset)
        return UMBP_EINVAL;
    *self = (umbp_cut_t) { .extent = extents, .at = offset, .page_size = page_size };
    umbp_cursor_set (&self->local, pieces, 0, size);
    return 0;
}

bool umbp_cut_next (umbp_cut_t *self, uint32_t bytes_max, umbp_chunk_t *chunk)
{
    if (self->local.left == 0 || bytes_max == 0)
        return false;
    uint64_t size;
    while (self->at >= (size = umbp_extent_size (self->extent, self->page_size))) {
        self->at -= size;
        self->extent++;
    }
    size_t bytes = 0, room = size - self->at < bytes_max ? size - self->at : bytes_max;
    chunk->region = self->extent->region;
    chunk->offset = umbp_extent_offset (self->extent, self->page_size) + self->at;
    chunk->vector_count = (uint32_t) umbp_cursor_vectors (&self->local, chunk->vectors,
                                                          UMBP_CUT_VECTORS_MAX, room, &bytes);
    chunk->bytes = (uint32_t) bytes;
    umbp_cursor_skip (&self->local, bytes);
    self->at += bytes;
    return true;
}

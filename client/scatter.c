//  client/scatter.c - blocks and scattered buffers. See scatter.h.
#include "client/scatter.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/bulk/copy.h"

#define VECTORS 16                      //  Looked up at once

//  One copies bytes from one list to the other. Both tell how far they are, so that the shorter of
//  the two current pieces is copied each time.
typedef struct {
    const umbp_piece_t *piece;
    size_t at;
} walk_t;

static size_t s_rest (walk_t *walk)
{
    while (walk->at == walk->piece->size) {
        walk->piece++;
        walk->at = 0;
    }
    return walk->piece->size - walk->at;
}

uint64_t umbp_scatter_copy (const umbp_piece_t *to, size_t to_count, const umbp_piece_t *from,
                            size_t from_count, uint64_t size)
{
    if (to_count == 1 && from_count == 1)
        return umbp_copy_sum (to->base, from->base, size);
    umbp_sum_t sum;
    umbp_sum_init (&sum, size);
    walk_t in = { from, 0 }, out = { to, 0 };
    while (size > 0) {
        size_t bytes = s_rest (&in), room = s_rest (&out);
        bytes = bytes < room ? bytes : room;
        bytes = bytes < size ? bytes : (size_t) size;
        umbp_sum_copy (&sum, (uint8_t *) out.piece->base + out.at,
                       (const uint8_t *) in.piece->base + in.at, bytes);
        in.at += bytes;
        out.at += bytes;
        size -= bytes;
    }
    return umbp_sum_final (&sum);
}

uint64_t umbp_scatter_sum (const umbp_piece_t *pieces, size_t count, uint64_t size)
{
    if (count == 1)
        return umbp_sum (pieces->base, size);
    umbp_sum_t sum;
    umbp_sum_init (&sum, size);
    for (; size > 0; pieces++) {
        size_t bytes = pieces->size < size ? pieces->size : (size_t) size;
        umbp_sum_update (&sum, pieces->base, bytes);
        size -= bytes;
    }
    return umbp_sum_final (&sum);
}

void umbp_scatter_read (const umbp_piece_t *pieces, const umbp_range_t *range)
{
    umbp_cursor_t cursor;
    uint8_t *out = range->base;
    umbp_cursor_set (&cursor, pieces, range->offset, range->size);
    while (cursor.left > 0) {
        struct iovec vectors[VECTORS];
        size_t bytes;
        size_t count = umbp_cursor_vectors (&cursor, vectors, VECTORS, range->size, &bytes);
        for (size_t index = 0; index < count; index++) {
            memcpy (out, vectors[index].iov_base, vectors[index].iov_len);
            out += vectors[index].iov_len;
        }
        umbp_cursor_skip (&cursor, bytes);
    }
}

//  By offset; an empty one before the one that begins at the same place
static int s_by_offset (const void *left, const void *right)
{
    const umbp_range_t *one = *(umbp_range_t *const *) left;
    const umbp_range_t *other = *(umbp_range_t *const *) right;
    if (one->offset != other->offset)
        return one->offset < other->offset ? -1 : 1;
    return (one->size > other->size) - (one->size < other->size);
}

bool umbp_scatter_tiles (const umbp_range_t *ranges, size_t count, uint64_t size,
                         umbp_piece_t *pieces)
{
    const umbp_range_t *sorted[UMBP_RANGES_MAX];
    bool in_order = true;
    if (count > UMBP_RANGES_MAX)
        return false;
    for (size_t index = 0; index < count; index++) {
        sorted[index] = &ranges[index];
        in_order &= index == 0 || s_by_offset (&sorted[index - 1], &sorted[index]) <= 0;
    }
    if (!in_order)
        qsort (sorted, count, sizeof *sorted, s_by_offset);
    uint64_t at = 0;
    for (size_t index = 0; index < count; index++) {
        if (sorted[index]->offset != at || sorted[index]->size > size - at)
            return false;
        at += sorted[index]->size;
        pieces[index] = (umbp_piece_t) { sorted[index]->base, sorted[index]->size };
    }
    return at == size;
}

//  client/scatter.c - blocks and scattered buffers. See scatter.h.
#include "client/scatter.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/bulk/copy.h"

#define VECTORS 16                      //  Looked up at once
#define PARTS 64                        //  Taken at once

//  Bytes that lie in one run where the cursor stands
static size_t s_run (const umbp_cursor_t *cursor)
{
    size_t run = cursor->piece->size - cursor->at;
    return run < cursor->left ? run : (size_t) cursor->left;
}

static uint8_t *s_here (const umbp_cursor_t *cursor)
{
    return (uint8_t *) cursor->piece->base + cursor->at;
}

//  Copy bytes out of pieces, and pass over them
static void s_gather (umbp_cursor_t *cursor, uint8_t *out, size_t size)
{
    while (size > 0) {
        size_t run = s_run (cursor), bytes = run < size ? run : size;
        memcpy (out, s_here (cursor), bytes);
        umbp_cursor_skip (cursor, bytes);
        out += bytes;
        size -= bytes;
    }
}

//  A part that does not lie in one run goes through a buffer
static void s_take_one (umbp_cursor_t *in, umbp_cursor_t *out, umbp_part_t *part)
{
    uint8_t bytes[UMBP_PART_BYTES];
    s_gather (in, bytes, sizeof bytes);
    umbp_parts_take (part, NULL, bytes, 1, false);
    umbp_cursor_put (out, bytes, sizeof bytes);
}

void umbp_scatter_take (const umbp_piece_t *to, const umbp_piece_t *from, uint64_t offset,
                        umbp_part_t *parts, size_t count, bool past)
{
    umbp_cursor_t in, out;
    umbp_cursor_set (&in, from, offset, count * UMBP_PART_BYTES);
    umbp_cursor_set (&out, to, offset, count * UMBP_PART_BYTES);
    for (size_t done = 0; done < count;) {
        size_t here = s_run (&in), room = s_run (&out);
        size_t run = (here < room ? here : room) / UMBP_PART_BYTES;
        if (run == 0)
            s_take_one (&in, &out, &parts[done++]);
        else {
            umbp_parts_take (&parts[done], s_here (&out), s_here (&in), run, past);
            umbp_cursor_skip (&in, run * UMBP_PART_BYTES);
            umbp_cursor_skip (&out, run * UMBP_PART_BYTES);
            done += run;
        }
    }
}

uint64_t umbp_scatter_end (const umbp_piece_t *to, const umbp_piece_t *from, uint64_t size,
                           const umbp_part_t *sum)
{
    uint8_t last[UMBP_PARTS_LAST];
    size_t rest = (size_t) (size - umbp_parts_count (size) * UMBP_PART_BYTES);
    umbp_cursor_t in, out;
    umbp_cursor_set (&in, from, size - sizeof last, sizeof last);
    s_gather (&in, last, sizeof last);
    umbp_cursor_set (&out, to, size - rest, rest);
    umbp_cursor_put (&out, last + sizeof last - rest, rest);
    return umbp_parts_end (sum, last, size);
}

static uint64_t s_copy_long (const umbp_piece_t *to, const umbp_piece_t *from, uint64_t size,
                             bool past)
{
    umbp_part_t sum, parts[PARTS];
    umbp_parts_begin (&sum);
    for (size_t count = umbp_parts_count (size), at = 0; at < count;) {
        size_t run = count - at < PARTS ? count - at : PARTS;
        umbp_scatter_take (to, from, at * UMBP_PART_BYTES, parts, run, past);
        umbp_parts_join (&sum, parts, run);
        at += run;
    }
    return umbp_scatter_end (to, from, size, &sum);
}

uint64_t umbp_scatter_copy (const umbp_piece_t *to, size_t to_count, const umbp_piece_t *from,
                            size_t from_count, uint64_t size, bool past)
{
    if (to_count == 1 && from_count == 1)
        return umbp_copy_sum (to->base, from->base, size, past);
    if (size >= UMBP_COPY_STREAM_MIN && umbp_parts_are_fast ())
        return s_copy_long (to, from, size, past);
    umbp_sum_t sum;
    umbp_sum_init (&sum, past ? size : 0);
    umbp_cursor_t in, out;
    umbp_cursor_set (&in, from, 0, size);
    umbp_cursor_set (&out, to, 0, size);
    while (in.left > 0) {
        size_t here = s_run (&in), room = s_run (&out), bytes = here < room ? here : room;
        umbp_sum_copy (&sum, s_here (&out), s_here (&in), bytes);
        umbp_cursor_skip (&in, bytes);
        umbp_cursor_skip (&out, bytes);
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

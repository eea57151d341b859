//  cluster/bulk/piece.c - bytes that do not lie in one run. See piece.h.
#include "cluster/bulk/piece.h"

#include <assert.h>
#include <string.h>

uint64_t umbp_piece_total (const umbp_piece_t *pieces, size_t count)
{
    uint64_t total = 0;
    for (size_t index = 0; index < count; index++)
        if (__builtin_add_overflow (total, pieces[index].size, &total))
            return UINT64_MAX;
    return total;
}

//  Leave every piece that is used up, so that *piece has bytes whenever any are left
static void s_settle (umbp_cursor_t *self)
{
    while (self->left && self->at == self->piece->size) {
        self->piece++;
        self->at = 0;
    }
}

void umbp_cursor_set (umbp_cursor_t *self, const umbp_piece_t *pieces, uint64_t offset,
                      uint64_t size)
{
    *self = (umbp_cursor_t) { .piece = pieces, .left = size };
    if (size == 0)
        return;
    while (offset >= self->piece->size)
        offset -= self->piece++->size;
    self->at = offset;
}

size_t umbp_cursor_vectors (const umbp_cursor_t *self, struct iovec *vectors, size_t max,
                            size_t bytes_max, size_t *bytes_p)
{
    umbp_cursor_t walk = *self;
    if (walk.left > bytes_max)
        walk.left = bytes_max;
    size_t count = 0, bytes = 0;
    while (walk.left && count < max) {
        s_settle (&walk);
        size_t size = walk.piece->size - walk.at;
        if (size > walk.left)
            size = walk.left;
        vectors[count++] = (struct iovec) { (char *) walk.piece->base + walk.at, size };
        bytes += size;
        umbp_cursor_skip (&walk, size);
    }
    if (bytes_p)
        *bytes_p = bytes;
    return count;
}

void umbp_cursor_skip (umbp_cursor_t *self, size_t size)
{
    assert (size <= self->left);
    self->left -= size;
    while (size) {
        size_t here = self->piece->size - self->at;
        if (size < here)
            here = size;
        self->at += here;
        size -= here;
        if (size) {
            self->piece++;
            self->at = 0;
        }
    }
    s_settle (self);
}

size_t umbp_cursor_put (umbp_cursor_t *self, const void *data, size_t size)
{
    if (size > self->left)
        size = self->left;
    for (size_t done = 0; done < size;) {
        struct iovec vector = { 0 };
        size_t bytes = 0;
        if (umbp_cursor_vectors (self, &vector, 1, size - done, &bytes) == 0 || !vector.iov_base)
            return done;
        memcpy (vector.iov_base, (const char *) data + done, bytes);
        umbp_cursor_skip (self, bytes);
        done += bytes;
    }
    return size;
}

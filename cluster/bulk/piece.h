//  cluster/bulk/piece.h - bytes that do not lie in one run: lists of pieces, and a cursor that
//  walks one. A block in pages and a caller's scattered buffers are both read and written through
//  this. A cursor belongs to one thread; nothing here blocks or allocates.
#ifndef UMBP_PIECE_H
#define UMBP_PIECE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    void *base;
    size_t size;                        //  Bytes; 0 is allowed, such a piece is passed over
} umbp_piece_t;

//  A place in a list of pieces, and the bytes still to go from there. The list is borrowed and must
//  stay as it is while the cursor is in use.
typedef struct {
    const umbp_piece_t *piece;
    size_t at;                          //  Bytes of *piece that are behind us
    uint64_t left;
} umbp_cursor_t;

//  The bytes of all pieces, UINT64_MAX if they do not fit a number.
uint64_t umbp_piece_total (const umbp_piece_t *pieces, size_t count);

//  Put the cursor at an offset, to walk size bytes. The caller has checked that they are there.
void umbp_cursor_set (umbp_cursor_t *self, const umbp_piece_t *pieces, uint64_t offset,
                      uint64_t size);

//  Name the next bytes, at most bytes_max of them in at most max vectors. Returns the vectors used;
//  the cursor does not move. bytes_p receives how many bytes they hold, unless it is NULL.
size_t umbp_cursor_vectors (const umbp_cursor_t *self, struct iovec *vectors, size_t max,
                            size_t bytes_max, size_t *bytes_p);

//  Pass over size bytes, no more than are left.
void umbp_cursor_skip (umbp_cursor_t *self, size_t size);

//  Copy up to size bytes to where the cursor stands, and pass over them. Returns how many fitted.
size_t umbp_cursor_put (umbp_cursor_t *self, const void *data, size_t size);

#ifdef __cplusplus
}
#endif

#endif

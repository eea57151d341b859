//  cluster/bulk/copy.h - copies and checksums. The checksum is XXH3-64 with no seed, whatever the
//  processor and however the bytes were cut up: the value that is stored with every block.
//  Thread-safe: state lies in the caller's object alone. Nothing here blocks or allocates.
#ifndef UMBP_COPY_H
#define UMBP_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

//  Copy size bytes and return their checksum. Each byte is fetched from memory once: it is summed
//  and copied while in cache. past: from UMBP_COPY_STREAM_MIN bytes on the copy goes past the caches,
//  out of which it would only push other data; else it stays in them for who reads it next. The two
//  areas do not overlap. dst and src may be NULL if size is 0.
uint64_t umbp_copy_sum (void *dst, const void *src, size_t size, bool past);

//  The checksum of size bytes.
uint64_t umbp_sum (const void *data, size_t size);

#define UMBP_COPY_STREAM_MIN ((size_t) 256 * 1024)

//  One checksum over several pieces, in order. Its content is private; copy.c checks the size.
typedef struct {
#ifdef __cplusplus
    alignas (64)
#else
    _Alignas(64)
#endif
        unsigned char state[640];
} umbp_sum_t;

//  Start anew. total is how many bytes will come, 0 if that is not known or if they are wanted in the
//  caches: from UMBP_COPY_STREAM_MIN on umbp_sum_copy goes past these.
void umbp_sum_init (umbp_sum_t *self, uint64_t total);

//  Add a piece.
void umbp_sum_update (umbp_sum_t *self, const void *data, size_t size);

//  Add a piece and copy it to dst.
void umbp_sum_copy (umbp_sum_t *self, void *dst, const void *src, size_t size);

//  The checksum of all pieces since umbp_sum_init. May be asked at any time, and goes on after it.
uint64_t umbp_sum_final (const umbp_sum_t *self);

#ifdef __cplusplus
}
#endif

#endif

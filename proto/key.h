//  proto/key.h - keys: their fingerprints, and columns of them for messages. Nothing here blocks,
//  allocates or has state of its own; a builder belongs to one thread at a time.
#ifndef UMBP_KEY_H
#define UMBP_KEY_H

#include "proto/error.h"
#include "proto/fingerprint.h"
#include "proto/types.h"

#ifdef __cplusplus
extern "C" {
#endif

//  XXH3-128 of a key of any size, keyed with a seed that all nodes of a cluster share
umbp_fingerprint_t umbp_fingerprint (const void *key, size_t size, uint64_t seed);

//  The seed that goes with a cluster's secret. NULL is the same as an empty one.
uint64_t umbp_key_seed (const char *cluster_secret);

//  A column of byte strings while it grows, in a buffer that its user lends. Bytes fill the buffer
//  from its front, their sizes from its end.
typedef struct {
    uint8_t *buffer;
    size_t size;                        //  Of the buffer, in bytes
    uint32_t used;                      //  Bytes of items so far
    uint32_t count;                     //  Items so far
} umbp_column_build_t;

//  How large a buffer has to be for so many items that have so many bytes in all
#define UMBP_COLUMN_BUILD_SIZE(count, bytes) ((bytes) + 2 * (size_t) (count))

//  An empty column. The buffer need not be aligned, and is the caller's.
void umbp_column_build_init (umbp_column_build_t *self, void *buffer, size_t size);

//  Add a copy of an item. Returns 0, or UMBP_ETOOBIG if the buffer is full or the column has
//  UMBP_BATCH_MAX items; then nothing has changed, and shorter items may still fit. Item sizes are
//  not judged: each field of the message table has its own limits.
int umbp_column_build_add (umbp_column_build_t *self, const void *data, uint16_t size);

//  The column, which lies in the buffer and is good for as long as that is. The builder is empty
//  from now on: umbp_column_build_init makes it ready for another column.
umbp_column_t umbp_column_build_finish (umbp_column_build_t *self);

#ifdef __cplusplus
}
#endif

#endif

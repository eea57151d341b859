//  proto/types.h - what a message field looks like in C. All are views: they own nothing and point
//  into the frame that was decoded or into the memory of whoever encodes. Numbers in columns are
//  little-endian and need not be aligned, so they are read and written with the functions below.
#ifndef UMBP_TYPES_H
#define UMBP_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "columns are little-endian in memory: this machine needs a byte swap here"
#endif

#define UMBP_KEY_MAX 512                //  Bytes in a key
#define UMBP_NAME_MAX 64                //  Bytes in the name of a node, an actor or an engine
#define UMBP_SCOPE_MAX (9 + UMBP_NAME_MAX)  //  Bytes in front of a tenant's key, see scope.h
#define UMBP_TEXT_MAX 256               //  Bytes in an endpoint, a path or a reason
#define UMBP_SCOPED_KEY_MAX (UMBP_KEY_MAX + UMBP_SCOPE_MAX)
#define UMBP_BATCH_MAX 4096             //  Keys in a batch
#define UMBP_EXTENTS_MAX 16384          //  Extents in a message
#define UMBP_TENANTS_MAX 256            //  Tenants that a tier tells apart
#define UMBP_REPLICAS_MAX 4             //  Wanted copies of a block
#define UMBP_HINT_COPY 3                //  Of a block that another node keeps too: no hint of a writer
#define UMBP_ADVICE_NEED 1              //  Of a block: somebody will read it soon
#define UMBP_ADVICE_COLD 2              //  ... nobody will
#define UMBP_NODES_MAX 1024             //  Nodes in a topology
#define UMBP_REGIONS_MAX 64             //  Memory of a tier, in pieces
#define UMBP_QUEUE_PAIRS_MAX 16         //  Of an RDMA link
#define UMBP_WINDOWS_MAX 1024           //  Into memory, opened with one message
#define UMBP_LENT_MAX 256               //  Blocks of a lease in device memory
#define UMBP_DEVICE_ROWS_MAX 128        //  Accelerators of a node, and partitions of them
#define UMBP_DIGEST_MAX 256             //  Numbers in the digest of a beat
#define UMBP_WORKERS_MAX 256            //  Workers of a node, and events about them
#define UMBP_MESSAGE_MAX (4u << 20)     //  Bytes in the CBOR item of a message
#define UMBP_INLINE_MAX (64u << 10)     //  Bytes of values that ride behind a message
#define UMBP_NO_REF UINT16_MAX          //  In a column of references: refers to nothing

typedef struct {
    const char *data;                   //  Not terminated
    uint32_t size;
} umbp_text_t;

typedef struct {
    const uint8_t *data;
    uint32_t size;
} umbp_bytes_t;

//  A typed array (RFC 8746) of count numbers. One struct for all widths; the name of the type says
//  which.
typedef struct {
    const void *data;
    uint32_t count;
} umbp_array_t;

typedef umbp_array_t umbp_u8s_t;
typedef umbp_array_t umbp_s8s_t;
typedef umbp_array_t umbp_u16s_t;
typedef umbp_array_t umbp_u32s_t;
typedef umbp_array_t umbp_u64s_t;

//  A column of byte strings: all bytes, one behind the other, and the size of each
typedef struct {
    const uint8_t *bytes;
    const void *sizes;                  //  count times u16
    uint32_t size;                      //  Of all bytes
    uint32_t count;
} umbp_column_t;

static inline uint8_t umbp_u8s_at (umbp_u8s_t array, size_t index)
{
    return ((const uint8_t *) array.data)[index];
}

static inline int8_t umbp_s8s_at (umbp_s8s_t array, size_t index)
{
    return ((const int8_t *) array.data)[index];
}

static inline uint16_t umbp_u16s_at (umbp_u16s_t array, size_t index)
{
    uint16_t value;
    memcpy (&value, (const uint8_t *) array.data + index * sizeof value, sizeof value);
    return value;
}

static inline uint32_t umbp_u32s_at (umbp_u32s_t array, size_t index)
{
    uint32_t value;
    memcpy (&value, (const uint8_t *) array.data + index * sizeof value, sizeof value);
    return value;
}

static inline uint64_t umbp_u64s_at (umbp_u64s_t array, size_t index)
{
    uint64_t value;
    memcpy (&value, (const uint8_t *) array.data + index * sizeof value, sizeof value);
    return value;
}

static inline uint16_t umbp_column_size_at (const umbp_column_t *column, size_t index)
{
    return umbp_u16s_at ((umbp_u16s_t) { column->sizes, column->count }, index);
}

//  Walk a column from its front: start with *offset = 0 and index = 0, and go on by one
static inline umbp_bytes_t umbp_column_next (const umbp_column_t *column, size_t index,
                                             size_t *offset)
{
    umbp_bytes_t item = { column->bytes + *offset, umbp_column_size_at (column, index) };
    *offset += item.size;
    return item;
}

//  Where each item starts and how long it is, for those who need them in another order
static inline void umbp_column_split (const umbp_column_t *column, const uint8_t **items,
                                      uint16_t *sizes)
{
    size_t offset = 0;
    for (size_t index = 0; index < column->count; index++) {
        umbp_bytes_t item = umbp_column_next (column, index, &offset);
        items[index] = item.data;
        sizes[index] = (uint16_t) item.size;
    }
}

static inline umbp_text_t umbp_text (const char *string)
{
    return (umbp_text_t) { string, string ? (uint32_t) strlen (string) : 0 };
}

static inline bool umbp_text_is (umbp_text_t text, const char *string)
{
    return text.size == strlen (string) && memcmp (text.data, string, text.size) == 0;
}

//  Copy to a terminated string of size bytes, cut short if it has to be. Returns out.
static inline char *umbp_text_copy (umbp_text_t text, char *out, size_t size)
{
    size_t used = text.size < size - 1 ? text.size : size - 1;
    if (used)
        memcpy (out, text.data, used);
    out[used] = 0;
    return out;
}

#endif

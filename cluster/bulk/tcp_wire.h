//  cluster/bulk/tcp_wire.h - what is said on a bulk connection. A client in any language can be
//  written from this page. Bytes of blocks travel here and nothing else; who may read or write what
//  was settled before, in messages, and is named here by a token.
//
//  All numbers are little-endian, all headers have a fixed size, all reserved fields are 0.
//
//  1. The client connects (TCP) and sends one HELLO, within 5 seconds:
//
//      offset  type  field
//           0  u32   magic     0x424d4255, the characters "UBMB"
//           4  u16   version   1
//           6  u16   reserved
//           8  u64   session   the number that the node knows this client by
//
//  2. The server answers one WELCOME. Any status but 0 means that it closes the connection next:
//     ENOTSUP, it speaks another version (the one in the field); EAGAIN, it has no room for another
//     session. Where it has no room for another connection it closes it without a word.
//     The client need not wait for WELCOME before it sends requests.
//
//           0  u32   magic
//           4  u16   version   the server's
//           6  u16   reserved
//           8  i32   status    0 or a negative number of proto/error.h
//          12  u32   reserved
//          16  u64   size_max  the largest size that a request may have, in bytes
//
//  3. The client sends any number of requests, without waiting for replies. A WRITE is followed at
//     once by size bytes.
//
//           0  u16   mark      0x5142, the characters "BQ"
//           2  u8    op        1 READ, 2 WRITE
//           3  u8    reserved
//           4  u32   tag       the client's own, comes back in the reply
//           8  u64   token     the right to read or to write these items
//          16  u64   offset    in the item, in bytes
//          24  u64   size      in bytes, 0 is allowed
//          32  u32   item      which of the token's items, from 0
//          36  u32   reserved
//
//  4. Each request gets one reply, in the order of the requests. A READ that succeeded is followed
//     at once by size bytes; in all other cases size is 0. A WRITE is answered when all its bytes
//     lie in the pages.
//
//           0  u16   mark      0x5242, the characters "BR"
//           2  u8    op        that of the request
//           3  u8    reserved
//           4  u32   tag       that of the request
//           8  i32   status    0 or a negative number of proto/error.h
//          12  u32   reserved
//          16  u64   size      bytes that follow
//
//  Status of a request:
//      0         done
//      ESTALE    the token is not, or no longer, known, or its time is over: look the key up again
//      EDENIED   the token is another session's, or is not for this op, item, or range
//      ETOOBIG   a READ of more than size_max bytes
//
//  A refused request leaves the connection in use: the bytes of a refused WRITE are taken and
//  thrown away. The connection is closed on: a malformed header, a WRITE of more than size_max
//  bytes, more than size_max bytes thrown away with no accepted request between, a request that
//  makes no progress for long, and when a token is revoked while bytes move under it. Who sees it
//  close must take every request without a reply as not done, whatever part of its bytes has moved.
//
//  The bytes carry no checksum here: the reader knows the block's from the message that gave it the
//  token, and compares. Nothing is encrypted: a token is a secret to whom it was given, and the
//  network between the hosts must be trusted as far as its contents go.
#ifndef UMBP_TCP_WIRE_H
#define UMBP_TCP_WIRE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UMBP_BULK_MAGIC UINT32_C (0x424d4255)
#define UMBP_BULK_VERSION 1
#define UMBP_BULK_MARK_REQUEST 0x5142
#define UMBP_BULK_MARK_REPLY 0x5242
#define UMBP_BULK_READ 1
#define UMBP_BULK_WRITE 2

#define UMBP_BULK_SIZE_MAX (UINT64_C (1) << 30)     //  What size_max is unless configured smaller

//  Bytes of each header on the wire
#define UMBP_BULK_HELLO_BYTES 16
#define UMBP_BULK_WELCOME_BYTES 24
#define UMBP_BULK_REQUEST_BYTES 40
#define UMBP_BULK_REPLY_BYTES 24

typedef struct {
    uint16_t version;
    uint64_t session;
} umbp_bulk_hello_t;

typedef struct {
    uint16_t version;
    int32_t status;
    uint64_t size_max;
} umbp_bulk_welcome_t;

typedef struct {
    uint8_t op;
    uint32_t tag, item;
    uint64_t token, offset, size;
} umbp_bulk_request_t;

typedef struct {
    uint8_t op;
    uint32_t tag;
    int32_t status;
    uint64_t size;
} umbp_bulk_reply_t;

//  To and from the wire, in buffers of at least the sizes above. The second kind returns 0, or
//  UMBP_EPROTO if a mark, an op or a reserved field is wrong. A version is not judged here.
void umbp_bulk_hello_pack (const umbp_bulk_hello_t *self, uint8_t *wire);
int umbp_bulk_hello_unpack (umbp_bulk_hello_t *self, const uint8_t *wire);
void umbp_bulk_welcome_pack (const umbp_bulk_welcome_t *self, uint8_t *wire);
int umbp_bulk_welcome_unpack (umbp_bulk_welcome_t *self, const uint8_t *wire);
void umbp_bulk_request_pack (const umbp_bulk_request_t *self, uint8_t *wire);
int umbp_bulk_request_unpack (umbp_bulk_request_t *self, const uint8_t *wire);
void umbp_bulk_reply_pack (const umbp_bulk_reply_t *self, uint8_t *wire);
int umbp_bulk_reply_unpack (umbp_bulk_reply_t *self, const uint8_t *wire);

#ifdef __cplusplus
}
#endif

#endif

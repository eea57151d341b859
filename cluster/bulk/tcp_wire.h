//  cluster/bulk/tcp_wire.h - what is said on a bulk connection. A client in any language can be
//  written from this page. Bytes of blocks travel here and nothing else; who may read or write what
//  was settled before, in messages, and is named here by a token.
//
//  All numbers are little-endian, all headers have a fixed size, all reserved fields are 0.
//
//  A connection begins with proofs: each end shows the other that it knows a key of 32 bytes, which
//  the node gave together with the session's slots and leases (bulk_key, bulk_keys in
//  proto/umbp.cddl). It is the key of this session at this node in this incarnation. All this is
//  said in one round trip, and requests may follow at once.
//
//  1. The client connects (TCP) and sends one HELLO. HELLO and PROOF must have come 5 seconds after
//     that.
//
//      offset  type  field
//           0  u32   magic     0x424d4255, the characters "UBMB"
//           4  u16   version   2
//           6  u16   reserved
//           8  u64   session   what this client's session is called here: the first 8 bytes of
//                              BLAKE2b-256 of the 16 characters "umbp bulk alias." and the
//                              session, under a key of 32 zeros. Who listens in finds no session
//                              in it that he could ask a node by
//          16  32    nonce     random bytes, never used before
//
//  2. The server answers one WELCOME. Any status but 0 means that it ends after 24 bytes and the
//     connection is closed next: ENOTSUP, it speaks another version (the one in the field); EAGAIN,
//     it has no room for another session. Where it has no room for another connection, or needs the
//     room of one without a proof, it closes it without a word: then try again.
//
//           0  u32   magic
//           4  u16   version   the server's
//           6  u16   reserved
//           8  i32   status    0 or a negative number of proto/error.h
//          12  u32   reserved
//          16  u64   size_max  the largest size that a request may have, in bytes
//          24  32    nonce     random bytes, never used before
//          56  32    proof     the server's. If it is wrong, nothing may be said to this server: it
//                              is another one, or was started again and gives other keys
//
//  3. The client sends its PROOF, and right behind it whatever it likes of 4. A wrong one ends the
//     connection, without a word.
//
//           0  32    proof     the client's
//
//     With H (label) as BLAKE2b of 32 bytes (RFC 7693), under the session's key, of the 16
//     characters of the label, the 48 bytes of HELLO and the first 56 of WELCOME:
//
//          the server's proof is    H ("umbp bulk server")
//          the client's proof is    H ("umbp bulk client")
//          keys of the stream are   H ("umbp bulk stream"), 16 bytes for requests, then 16 for
//                                   replies
//
//  4. The client sends any number of requests, without waiting for replies. A WRITE is followed at
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
//          40  u64   seal
//
//     The seal is SipHash-2-4, under the key of its direction, of the header before it and of how
//     many headers went that way before, as a u64: nobody else can add, leave out, change, repeat
//     or reorder a header. A wrong one closes the connection.
//
//  5. Each request gets one reply, in the order of the requests. A READ that succeeded is followed
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
//          24  u64   seal
//
//  Status of a request:
//      0         done
//      ESTALE    the token is not, or no longer, known, or its time is over: look the key up again
//      EDENIED   the token is another session's, or is not for this op, item, or range
//      ETOOBIG   a READ of more than size_max bytes
//
//  A refused request leaves the connection in use: the bytes of a refused WRITE are taken and
//  thrown away. The connection is closed on: a malformed header, a wrong seal, a WRITE of more than
//  size_max bytes, more than size_max bytes thrown away with no accepted request between, a request
//  that makes no progress for long, and when a token is revoked while bytes move under it. Who sees
//  it close must take every request without a reply as not done, whatever part of its bytes has
//  moved.
//
//  It is closed, too, if no request was accepted within 5 seconds, and after a minute without one
//  while the session holds no slot and no lease that is good over tcp. That ends no slot and no
//  lease: connect again when there is something to ask for.
//
//  The bytes carry no checksum here: the reader knows the block's from the message that gave it the
//  token, and compares. Nothing is encrypted: who listens in sees the bytes of blocks. Session and
//  token are of no use to him, since he cannot seal a request.
//
//  An example, for who writes a client. With the session key 00 01 02 .. 1f, session
//  0x1122334455667788, the client's nonce 32 times 0xc1, the server's 32 times 0x5e and a size_max
//  of 1 GiB:
//      server's proof   c5fe8a0b3ea8165ebdaf43bdbc1f784483a85d1af560c977b0a9abd83e5f7ca2
//      client's proof   f8e94ae278c96cc00a3c0f7866b416e5686f2548f80573c7554e6d663580655f
//      key of requests  017d626b938404a1cf37c4c368df7be4
//      key of replies   94beb4bcd5071a51afa03f0628860322
//  and the first request, READ of 4096 bytes from 8192 on of item 3 under token 0xa1b2c3d4e5f60718,
//  with tag 7, has the seal bytes b9916c4501111e22.
#ifndef UMBP_TCP_WIRE_H
#define UMBP_TCP_WIRE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UMBP_BULK_MAGIC UINT32_C (0x424d4255)
#define UMBP_BULK_VERSION 2
#define UMBP_BULK_MARK_REQUEST 0x5142
#define UMBP_BULK_MARK_REPLY 0x5242
#define UMBP_BULK_READ 1
#define UMBP_BULK_WRITE 2

#define UMBP_BULK_SIZE_MAX (UINT64_C (1) << 30)     //  What size_max is unless configured smaller

#define UMBP_BULK_KEY_BYTES 32
#define UMBP_BULK_NONCE_BYTES 32
#define UMBP_BULK_PROOF_BYTES 32
#define UMBP_BULK_SEAL_BYTES 8

//  Bytes of each header on the wire
#define UMBP_BULK_HELLO_HEAD_BYTES 16               //  What of HELLO is the same in all versions
#define UMBP_BULK_HELLO_BYTES (UMBP_BULK_HELLO_HEAD_BYTES + UMBP_BULK_NONCE_BYTES)
#define UMBP_BULK_WELCOME_HEAD_BYTES 24             //  The same, and all of it if status is not 0
#define UMBP_BULK_WELCOME_BYTES \
    (UMBP_BULK_WELCOME_HEAD_BYTES + UMBP_BULK_NONCE_BYTES + UMBP_BULK_PROOF_BYTES)
#define UMBP_BULK_REQUEST_BYTES (40 + UMBP_BULK_SEAL_BYTES)
#define UMBP_BULK_REPLY_BYTES (24 + UMBP_BULK_SEAL_BYTES)

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

//  To and from the wire, in buffers of at least the sizes above: of HELLO and WELCOME the head only
//  and never a seal, see tcp_auth.h. The second kind returns 0, or UMBP_EPROTO if a mark, an op or
//  a reserved field is wrong. A version is not judged here.
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

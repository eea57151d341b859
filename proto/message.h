//  proto/message.h - one message in C: a head, and the fields that the message table gives its
//  type. Decoding allocates nothing: all fields are views into the frame, good for as long as the
//  frame is. Contract: whatever the bytes, decode gives a message that keeps every limit of the
//  table, or an error, with what was wrong in message->fault, and never reads past the frame.
//  A message belongs to one thread at a time; nothing here blocks or has state of its own.
#ifndef UMBP_MESSAGE_H
#define UMBP_MESSAGE_H

#include "proto/error.h"
#include "proto/table.h"
#include "proto/types.h"

#define UMBP_PROTOCOL_VERSION 1

//  What a field of each kind is in C
#define UMBP_CTYPE_U64 uint64_t
#define UMBP_CTYPE_BOOL bool
#define UMBP_CTYPE_TEXT umbp_text_t
#define UMBP_CTYPE_BYTES umbp_bytes_t
#define UMBP_CTYPE_COLUMN umbp_column_t
#define UMBP_CTYPE_U8S umbp_u8s_t
#define UMBP_CTYPE_S8S umbp_s8s_t
#define UMBP_CTYPE_U16S umbp_u16s_t
#define UMBP_CTYPE_U32S umbp_u32s_t
#define UMBP_CTYPE_U64S umbp_u64s_t

//  umbp_msg_put_t, umbp_msg_get_t, ...: one struct per message, one member per field
#define UMBP_TABLE_MEMBER(m, key, name, kind, need, group, low, high, doc) UMBP_CTYPE_##kind name;
#define UMBP_TABLE_STRUCT(number, name, doc)                                                       \
    typedef struct {                                                                               \
        UMBP_FIELDS_##name (UMBP_TABLE_MEMBER, name) char end;                                     \
    } umbp_msg_##name##_t;
UMBP_MESSAGES (UMBP_TABLE_STRUCT)

//  UMBP_MSG_put, UMBP_MSG_get, ...: the numbers
#define UMBP_TABLE_NUMBER(number, name, doc) UMBP_MSG_##name = number,
typedef enum { UMBP_MESSAGES (UMBP_TABLE_NUMBER) UMBP_MSG_LAST = 192 } umbp_msg_type_t;

typedef struct {
    uint16_t type;                      //  UMBP_MSG_*
    int16_t status;                     //  In answers: 0, or an error about the whole message
    uint32_t deadline_ms;               //  In requests: how long the asker waits from now on
    uint64_t id;                        //  Chosen by the asker, comes back in the answer; 0: none
    uint64_t call;                      //  Of which client request this is a part, for logs; 0: none
    const char *fault;                  //  After a failed decode: what was wrong, static text
    const char *fault_field;            //  ... and with which field, static text
#define UMBP_TABLE_UNION(number, name, doc) umbp_msg_##name##_t name;
    union {
        UMBP_MESSAGES (UMBP_TABLE_UNION)
    };
} umbp_msg_t;

//  An empty message of a type: all fields zero
void umbp_msg_init (umbp_msg_t *msg, umbp_msg_type_t type, uint64_t id);

//  Write the message as one CBOR item. Returns its size, or UMBP_ETOOBIG if it does not fit, or
//  UMBP_EINVAL for a type that is not in the table. Trusts the fields: use umbp_msg_check where
//  they are not ours.
int umbp_msg_encode (const umbp_msg_t *msg, void *out, size_t size);

//  Read one CBOR item from the front of a frame. Returns how many bytes it took (payload may
//  follow), or UMBP_EPROTO if it is malformed, UMBP_EINVAL or UMBP_ETOOBIG if a limit is broken,
//  UMBP_ENOTSUP if the type is unknown. Then the head is filled as far as it could be read, so that
//  the sender can be answered, the fields are empty, and fault and fault_field say why.
int umbp_msg_decode (umbp_msg_t *msg, const void *data, size_t size);

//  0 if the message keeps every limit of the table; else as decode
int umbp_msg_check (umbp_msg_t *msg);

//  Write the message for people, cut short to size. Returns the length without the final 0.
size_t umbp_msg_print (const umbp_msg_t *msg, char *out, size_t size);

//  Fill with random fields within the limits, favouring the edges. The state is the seed and moves
//  on; columns live in arena, which bounds their size. Returns 0, or UMBP_ENOTSUP for an unknown
//  type, or UMBP_ETOOBIG where not even the smallest message fits: 64 bytes per field are always
//  enough.
int umbp_msg_random (umbp_msg_t *msg, int type, uint64_t *state, void *arena, size_t arena_size);

//  True if both say the same
bool umbp_msg_equal (const umbp_msg_t *one, const umbp_msg_t *other);

//  The name of a type as in the table, NULL if there is none
const char *umbp_msg_name (int type);

#endif

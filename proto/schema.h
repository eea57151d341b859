//  proto/schema.h - the message table as data, for the code that walks it: codec, check, print,
//  random, CDDL.
#ifndef UMBP_SCHEMA_H
#define UMBP_SCHEMA_H

#include "proto/message.h"

typedef enum {
    UMBP_KIND_U64,
    UMBP_KIND_BOOL,
    UMBP_KIND_TEXT,
    UMBP_KIND_BYTES,
    UMBP_KIND_COLUMN,
    UMBP_KIND_U8S,
    UMBP_KIND_S8S,
    UMBP_KIND_U16S,
    UMBP_KIND_U32S,
    UMBP_KIND_U64S,
} umbp_kind_t;

#define UMBP_GROUPS_MAX 4               //  Groups in a message are below this, 0 means none

typedef struct {
    const char *name;
    const char *doc;
    uint64_t low, high;
    uint16_t offset;                    //  Of the member in its struct
    uint8_t key;
    uint8_t kind;
    uint8_t group;                      //  0: none
    bool must;
} umbp_field_t;

typedef struct {
    const char *name;
    const char *doc;
    const umbp_field_t *fields;
    size_t field_count;
} umbp_schema_t;

//  Row of a type, NULL if there is none
const umbp_schema_t *umbp_schema (int type);

//  For the array kinds: the RFC 8746 tag and the size of an element; 0 for the others
unsigned umbp_kind_tag (umbp_kind_t kind);
size_t umbp_kind_width (umbp_kind_t kind);

//  Where a field's member lies. All array members begin with their data pointer and then their
//  count.
static inline void *umbp_field_of (umbp_msg_t *msg, const umbp_field_t *field)
{
    return (uint8_t *) &msg->ok + field->offset;
}

static inline const void *umbp_field_in (const umbp_msg_t *msg, const umbp_field_t *field)
{
    return (const uint8_t *) &msg->ok + field->offset;
}

//  How many elements a column or array has, and how many bytes a text or byte string
uint32_t umbp_field_count (const umbp_msg_t *msg, const umbp_field_t *field);

//  Note in a message what was wrong with it and return the error
static inline int umbp_msg_fault (umbp_msg_t *msg, int err, const char *field, const char *fault)
{
    msg->fault = fault;
    msg->fault_field = field;
    return err;
}

//  True if the field would be left out: a MAY field with nothing in it
bool umbp_field_absent (const umbp_msg_t *msg, const umbp_field_t *field);

#endif

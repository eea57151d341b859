//  proto/schema.c - the message table as data.
#include "proto/schema.h"

#define NEED_MUST true
#define NEED_MAY false

#define FIELD(m, key_, name_, kind_, need_, group_, low_, high_, doc_)                             \
    { .name = #name_, .doc = doc_, .low = (low_), .high = (high_),                                 \
      .offset = offsetof (umbp_msg_##m##_t, name_), .key = (key_), .kind = UMBP_KIND_##kind_,      \
      .group = (group_), .must = NEED_##need_ },
#define FIELDS(number, name_, doc_)                                                                \
    static const umbp_field_t s_##name_##_fields[] = {                                             \
        UMBP_FIELDS_##name_ (FIELD, name_) { .name = NULL } };
UMBP_MESSAGES (FIELDS)

#define SCHEMA(number, name_, doc_)                                                                \
    [number] = { #name_, doc_, s_##name_##_fields,                                                 \
                 sizeof s_##name_##_fields / sizeof (umbp_field_t) - 1 },
static const umbp_schema_t s_schemas[UMBP_MSG_LAST] = { UMBP_MESSAGES (SCHEMA) };

const umbp_schema_t *umbp_schema (int type)
{
    return type > 0 && type < UMBP_MSG_LAST && s_schemas[type].name ? &s_schemas[type] : NULL;
}

const char *umbp_msg_name (int type)
{
    const umbp_schema_t *schema = umbp_schema (type);
    return schema ? schema->name : NULL;
}

static const struct {
    uint8_t tag, width;
} s_kinds[] = {
    [UMBP_KIND_U8S] = { 64, 1 },
    [UMBP_KIND_S8S] = { 72, 1 },
    [UMBP_KIND_U16S] = { 69, 2 },
    [UMBP_KIND_U32S] = { 70, 4 },
    [UMBP_KIND_U64S] = { 71, 8 },
};

unsigned umbp_kind_tag (umbp_kind_t kind)
{
    return s_kinds[kind].tag;
}

size_t umbp_kind_width (umbp_kind_t kind)
{
    return s_kinds[kind].width;
}

uint32_t umbp_field_count (const umbp_msg_t *msg, const umbp_field_t *field)
{
    const void *at = umbp_field_in (msg, field);
    switch ((umbp_kind_t) field->kind) {
    case UMBP_KIND_U64:
    case UMBP_KIND_BOOL: return 0;
    case UMBP_KIND_TEXT: return ((const umbp_text_t *) at)->size;
    case UMBP_KIND_BYTES: return ((const umbp_bytes_t *) at)->size;
    case UMBP_KIND_COLUMN: return ((const umbp_column_t *) at)->count;
    case UMBP_KIND_U8S:
    case UMBP_KIND_S8S:
    case UMBP_KIND_U16S:
    case UMBP_KIND_U32S:
    case UMBP_KIND_U64S: return ((const umbp_array_t *) at)->count;
    }
    return 0;
}

bool umbp_field_absent (const umbp_msg_t *msg, const umbp_field_t *field)
{
    if (field->must)
        return false;
    const void *at = umbp_field_in (msg, field);
    if (field->kind == UMBP_KIND_U64)
        return *(const uint64_t *) at == 0;
    if (field->kind == UMBP_KIND_BOOL)
        return !*(const bool *) at;
    return umbp_field_count (msg, field) == 0;
}

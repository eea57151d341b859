//  proto/check.c - does a message keep the limits of the message table?
#include "proto/message.h"
#include "proto/schema.h"

//  Sizes of the items: each within the limits, all together what the bytes are
static int s_check_column (umbp_msg_t *msg, const umbp_field_t *field, const umbp_column_t *column)
{
    if (column->count > UMBP_BATCH_MAX)
        return umbp_msg_fault (msg, UMBP_ETOOBIG, field->name,
                               "has more items than a batch may have");
    uint32_t sum = 0;                   //  Cannot overflow: 4096 times 65535 at most
    uint16_t shortest = UINT16_MAX, longest = 0;
    for (size_t index = 0; index < column->count; index++) {
        uint16_t size = umbp_column_size_at (column, index);
        sum += size;
        shortest = size < shortest ? size : shortest;
        longest = size > longest ? size : longest;
    }
    if (sum != column->size)
        return umbp_msg_fault (msg, UMBP_EINVAL, field->name,
                               "sizes of the items do not add up to its bytes");
    if (longest > field->high)
        return umbp_msg_fault (msg, UMBP_ETOOBIG, field->name, "an item is longer than it may be");
    if (column->count > 0 && shortest < field->low)
        return umbp_msg_fault (msg, UMBP_EINVAL, field->name, "an item is shorter than it may be");
    return 0;
}

//  How many bytes the character at data takes, 0 if it is none: UTF-8 as in RFC 3629, without NUL,
//  which would end a string in C
static size_t s_character (const uint8_t *data, size_t left)
{
    static const uint32_t lowest[] = { 0, 1, 0x80, 0x800, 0x10000 };
    size_t size = data[0] < 0x80   ? 1
                  : data[0] < 0xc0 ? 0
                  : data[0] < 0xe0 ? 2
                  : data[0] < 0xf0 ? 3
                  : data[0] < 0xf8 ? 4
                                   : 0;
    if (size == 0 || size > left)
        return 0;
    uint32_t code = size == 1 ? data[0] : data[0] & (0x7fu >> size);
    for (size_t index = 1; index < size; index++) {
        if ((data[index] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (data[index] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < lowest[size] || code > 0x10ffff || surrogate ? 0 : size;
}

static bool s_is_text (umbp_text_t text)
{
    const uint8_t *data = (const uint8_t *) text.data;
    for (size_t at = 0, size = 0; at < text.size; at += size) {
        size = s_character (data + at, text.size - at);
        if (size == 0)
            return false;
    }
    return true;
}

static int s_check_field (umbp_msg_t *msg, const umbp_field_t *field)
{
    const void *at = umbp_field_in (msg, field);
    if (field->kind == UMBP_KIND_COLUMN)
        return s_check_column (msg, field, at);
    if (umbp_field_absent (msg, field) || field->kind == UMBP_KIND_BOOL)
        return 0;
    uint64_t value =
        field->kind == UMBP_KIND_U64 ? *(const uint64_t *) at : umbp_field_count (msg, field);
    if (value > field->high)
        return umbp_msg_fault (msg, field->kind == UMBP_KIND_U64 ? UMBP_EINVAL : UMBP_ETOOBIG,
                               field->name, "is larger than it may be");
    if (value < field->low)
        return umbp_msg_fault (msg, UMBP_EINVAL, field->name, "is smaller than it may be");
    if (field->kind == UMBP_KIND_TEXT && !s_is_text (*(const umbp_text_t *) at))
        return umbp_msg_fault (msg, UMBP_EINVAL, field->name, "is not UTF-8, or has a NUL in it");
    return 0;
}

int umbp_msg_check (umbp_msg_t *msg)
{
    const umbp_schema_t *schema = umbp_schema (msg->type);
    if (!schema)
        return umbp_msg_fault (msg, UMBP_ENOTSUP, "type", "unknown number");
    int64_t counts[UMBP_GROUPS_MAX] = { -1, -1, -1, -1 };    //  By group, -1 not known yet
    for (size_t index = 0; index < schema->field_count; index++) {
        const umbp_field_t *field = &schema->fields[index];
        int rc = s_check_field (msg, field);
        if (rc < 0)
            return rc;
        if (field->group == 0 || umbp_field_absent (msg, field))
            continue;
        uint32_t count = umbp_field_count (msg, field);
        if (counts[field->group] >= 0 && counts[field->group] != count)
            return umbp_msg_fault (msg, UMBP_EINVAL, field->name,
                                   "its count is not that of its fellow columns");
        counts[field->group] = count;
    }
    return 0;
}

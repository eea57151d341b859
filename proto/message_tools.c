//  proto/message_tools.c - print, compare and make up messages, driven by the message table.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "proto/message.h"
#include "proto/schema.h"
#include "proto/splitmix.h"

//  -----------------------------------------------------------------------------------------------
//  Print

#define SHOWN_MAX 8                     //  Elements of a column that people see

typedef struct {
    char *out;
    size_t used, size;
} printer_t;

static void s_say (printer_t *to, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
static void s_say (printer_t *to, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    int wrote = vsnprintf (to->out + to->used, to->size - to->used, format, args);
    va_end (args);
    if (wrote > 0)
        to->used += (size_t) wrote < to->size - to->used ? (size_t) wrote : to->size - to->used - 1;
}

//  Whether people can read it between quotes
static bool s_is_plain (uint8_t character)
{
    return character >= ' ' && character < 127 && character != '"' && character != '\\';
}

static void s_say_bytes (printer_t *to, const uint8_t *data, size_t size)
{
    s_say (to, "\"");
    for (size_t index = 0; index < size && index < UMBP_NAME_MAX; index++)
        s_say (to, s_is_plain (data[index]) ? "%c" : "\\x%02x", data[index]);
    s_say (to, size > UMBP_NAME_MAX ? "...\"" : "\"");
}

static uint64_t s_element (umbp_kind_t kind, const void *data, size_t index)
{
    uint64_t value = 0;
    size_t width = umbp_kind_width (kind);
    memcpy (&value, (const uint8_t *) data + index * width, width);
    return value;
}

static void s_say_array (printer_t *to, umbp_kind_t kind, const umbp_array_t *array)
{
    s_say (to, "[%u:", array->count);
    for (size_t index = 0; index < array->count && index < SHOWN_MAX; index++) {
        uint64_t value = s_element (kind, array->data, index);
        if (kind == UMBP_KIND_S8S)
            s_say (to, " %d", (int8_t) value);
        else
            s_say (to, " %" PRIu64, value);
    }
    s_say (to, array->count > SHOWN_MAX ? " ...]" : "]");
}

static void s_say_column (printer_t *to, const umbp_column_t *column)
{
    s_say (to, "[%u:", column->count);
    size_t offset = 0;
    for (size_t index = 0; index < column->count && index < SHOWN_MAX; index++) {
        umbp_bytes_t item = umbp_column_next (column, index, &offset);
        s_say (to, " ");
        s_say_bytes (to, item.data, item.size);
    }
    s_say (to, column->count > SHOWN_MAX ? " ...]" : "]");
}

static void s_say_field (printer_t *to, const umbp_field_t *field, const void *at)
{
    s_say (to, " %s=", field->name);
    switch ((umbp_kind_t) field->kind) {
    case UMBP_KIND_U64: s_say (to, "%" PRIu64, *(const uint64_t *) at); return;
    case UMBP_KIND_BOOL: s_say (to, "%s", *(const bool *) at ? "true" : "false"); return;
    case UMBP_KIND_TEXT: {
        const umbp_text_t *text = at;
        s_say_bytes (to, (const uint8_t *) text->data, text->size);
        return;
    }
    case UMBP_KIND_BYTES: {
        const umbp_bytes_t *bytes = at;
        s_say_bytes (to, bytes->data, bytes->size);
        return;
    }
    case UMBP_KIND_COLUMN: s_say_column (to, at); return;
    case UMBP_KIND_U8S:
    case UMBP_KIND_S8S:
    case UMBP_KIND_U16S:
    case UMBP_KIND_U32S:
    case UMBP_KIND_U64S: s_say_array (to, (umbp_kind_t) field->kind, at); return;
    }
}

size_t umbp_msg_print (const umbp_msg_t *msg, char *out, size_t size)
{
    if (size == 0)
        return 0;
    printer_t to = { out, 0, size };
    const umbp_schema_t *schema = umbp_schema (msg->type);
    s_say (&to, "%s id=%" PRIu64, schema ? schema->name : "unknown", msg->id);
    if (msg->call)
        s_say (&to, " call=%016" PRIx64, msg->call);
    if (msg->deadline_ms)
        s_say (&to, " deadline_ms=%u", msg->deadline_ms);
    if (msg->status)
        s_say (&to, " status=%s", umbp_errname (msg->status));
    for (size_t index = 0; schema && index < schema->field_count; index++)
        if (!umbp_field_absent (msg, &schema->fields[index]))
            s_say_field (&to, &schema->fields[index], umbp_field_in (msg, &schema->fields[index]));
    return to.used;
}

//  -----------------------------------------------------------------------------------------------
//  Compare

static bool s_same (const void *one, const void *other, size_t size)
{
    return size == 0 || memcmp (one, other, size) == 0;
}

static bool s_field_equal (const umbp_field_t *field, const void *one, const void *other)
{
    switch ((umbp_kind_t) field->kind) {
    case UMBP_KIND_U64: return *(const uint64_t *) one == *(const uint64_t *) other;
    case UMBP_KIND_BOOL: return *(const bool *) one == *(const bool *) other;
    case UMBP_KIND_COLUMN: {
        const umbp_column_t *x = one, *y = other;
        return x->count == y->count && x->size == y->size && s_same (x->bytes, y->bytes, x->size)
               && s_same (x->sizes, y->sizes, (size_t) x->count * 2);
    }
    case UMBP_KIND_TEXT: {
        const umbp_text_t *x = one, *y = other;
        return x->size == y->size && s_same (x->data, y->data, x->size);
    }
    case UMBP_KIND_BYTES: {
        const umbp_bytes_t *x = one, *y = other;
        return x->size == y->size && s_same (x->data, y->data, x->size);
    }
    case UMBP_KIND_U8S:
    case UMBP_KIND_S8S:
    case UMBP_KIND_U16S:
    case UMBP_KIND_U32S:
    case UMBP_KIND_U64S: {
        const umbp_array_t *x = one, *y = other;
        return x->count == y->count
               && s_same (x->data, y->data, x->count * umbp_kind_width ((umbp_kind_t) field->kind));
    }
    }
    return false;
}

bool umbp_msg_equal (const umbp_msg_t *one, const umbp_msg_t *other)
{
    const umbp_schema_t *schema = umbp_schema (one->type);
    if (!schema || one->type != other->type || one->id != other->id || one->status != other->status
        || one->deadline_ms != other->deadline_ms || one->call != other->call)
        return false;
    for (size_t index = 0; index < schema->field_count; index++)
        if (!s_field_equal (&schema->fields[index], umbp_field_in (one, &schema->fields[index]),
                            umbp_field_in (other, &schema->fields[index])))
            return false;
    return true;
}

//  -----------------------------------------------------------------------------------------------
//  Make up

typedef struct {
    uint64_t *state;
    uint8_t *at, *end;                  //  What is left of the arena
} maker_t;

static uint64_t s_random (maker_t *from)
{
    return umbp_splitmix (from->state);
}

//  Between low and high: now and then just at an edge, mostly small, sometimes anything
static uint64_t s_between (maker_t *from, uint64_t low, uint64_t high)
{
    uint64_t span = high - low, kind = s_random (from) % 8;
    if (span == 0 || kind == 0)
        return low;
    if (kind == 1)
        return high;
    uint64_t reach = kind < 6 && span > 16 ? 16 : span;
    return low + s_random (from) % (reach == UINT64_MAX ? reach : reach + 1);
}

static size_t s_room (const maker_t *from)
{
    return (size_t) (from->end - from->at);
}

//  Random bytes from the arena, which has room for them
static uint8_t *s_bytes (maker_t *from, size_t size)
{
    uint8_t *start = from->at;
    while (size > 0) {
        uint64_t value = s_random (from);
        size_t part = size < sizeof value ? size : sizeof value;
        memcpy (from->at, &value, part);
        from->at += part;
        size -= part;
    }
    return start;
}

static void s_make_text (maker_t *from, const umbp_field_t *field, size_t share, umbp_text_t *text)
{
    size_t size = s_between (from, field->low, field->high);
    size = size <= share ? size : field->low;
    uint8_t *bytes = s_bytes (from, size);
    for (size_t index = 0; index < size; index++)
        bytes[index] = 'a' + bytes[index] % 26;              //  Text has to be UTF-8
    *text = (umbp_text_t) { (const char *) bytes, (uint32_t) size };
}

//  A column that takes share bytes at most; there is room for count of the shortest items
static void s_make_column (maker_t *from, const umbp_field_t *field, size_t share, size_t count,
                           umbp_column_t *column)
{
    uint8_t *sizes = s_bytes (from, count * sizeof (uint16_t));
    *column = (umbp_column_t) { .bytes = from->at, .sizes = sizes, .count = (uint32_t) count };
    share -= count * sizeof (uint16_t);
    for (size_t index = 0; index < count; index++) {
        uint16_t size = (uint16_t) s_between (from, field->low, field->high);
        if (share < size + (count - index - 1) * field->low)
            size = (uint16_t) field->low;
        memcpy (sizes + index * sizeof size, &size, sizeof size);
        s_bytes (from, size);
        column->size += size;
        share -= size;
    }
}

static void s_make_field (maker_t *from, const umbp_field_t *field, size_t share, size_t count,
                          void *at)
{
    switch ((umbp_kind_t) field->kind) {
    case UMBP_KIND_U64: *(uint64_t *) at = s_between (from, field->low, field->high); return;
    case UMBP_KIND_BOOL: *(bool *) at = s_random (from) & 1; return;
    case UMBP_KIND_TEXT: s_make_text (from, field, share, at); return;
    case UMBP_KIND_BYTES: {
        umbp_bytes_t *bytes = at;
        *bytes = (umbp_bytes_t) { s_bytes (from, count), (uint32_t) count };
        return;
    }
    case UMBP_KIND_COLUMN: s_make_column (from, field, share, count, at); return;
    case UMBP_KIND_U8S:
    case UMBP_KIND_S8S:
    case UMBP_KIND_U16S:
    case UMBP_KIND_U32S:
    case UMBP_KIND_U64S: {
        umbp_array_t *array = at;
        array->data = s_bytes (from, count * umbp_kind_width ((umbp_kind_t) field->kind));
        array->count = (uint32_t) count;
        return;
    }
    }
}

//  Bytes that count elements of a field need at least
static size_t s_least (const umbp_field_t *field, size_t count)
{
    switch ((umbp_kind_t) field->kind) {
    case UMBP_KIND_U64:
    case UMBP_KIND_BOOL: return 0;
    case UMBP_KIND_TEXT: return field->low;
    case UMBP_KIND_BYTES: return count;
    case UMBP_KIND_COLUMN: return count * (sizeof (uint16_t) + field->low);
    case UMBP_KIND_U8S:
    case UMBP_KIND_S8S:
    case UMBP_KIND_U16S:
    case UMBP_KIND_U32S:
    case UMBP_KIND_U64S: return count * umbp_kind_width ((umbp_kind_t) field->kind);
    }
    return 0;
}

static uint64_t s_count_low (const umbp_field_t *field)
{
    return field->kind == UMBP_KIND_COLUMN ? 0 : field->low;
}

static uint64_t s_count_high (const umbp_field_t *field)
{
    return field->kind == UMBP_KIND_COLUMN ? UMBP_BATCH_MAX : field->high;
}

//  How many elements a field gets. Its fellows will get as many, so all of them have to be allowed
//  so many, and to have room for them in such a share of the arena.
static uint64_t s_draw_count (maker_t *from, const umbp_schema_t *schema, const umbp_field_t *of,
                              size_t share)
{
    uint64_t high = s_count_high (of);
    for (size_t index = 0; index < schema->field_count; index++) {
        const umbp_field_t *field = &schema->fields[index];
        if (field != of && (of->group == 0 || field->group != of->group))
            continue;
        high = s_count_high (field) < high ? s_count_high (field) : high;
        size_t each = s_least (field, 1);
        if (each > 0 && share / each < high)
            high = share / each;
    }
    uint64_t low = s_count_low (of);
    return s_between (from, low, low < high ? high : low);
}

//  A field and its share of the arena. Since none takes more, what is left for the others is never
//  less than this share: what fits into it now will fit later.
static int s_make (maker_t *from, const umbp_schema_t *schema, umbp_msg_t *msg, size_t index,
                   int64_t counts[UMBP_GROUPS_MAX])
{
    const umbp_field_t *field = &schema->fields[index];
    size_t share = s_room (from) / (schema->field_count - index);
    if (!field->must && s_random (from) % 4 == 0)
        return 0;
    int64_t *count = &counts[field->group];
    bool counted = field->kind != UMBP_KIND_U64 && field->kind != UMBP_KIND_BOOL
                   && field->kind != UMBP_KIND_TEXT;
    if (counted && (field->group == 0 || *count < 0))
        *count = (int64_t) s_draw_count (from, schema, field, share);
    if (s_least (field, counted ? (size_t) *count : 1) > share)
        return UMBP_ETOOBIG;
    s_make_field (from, field, share, counted ? (size_t) *count : 0, umbp_field_of (msg, field));
    return 0;
}

int umbp_msg_random (umbp_msg_t *msg, int type, uint64_t *state, void *arena, size_t arena_size)
{
    const umbp_schema_t *schema = umbp_schema (type);
    if (!schema)
        return UMBP_ENOTSUP;
    maker_t from = { state, arena, (uint8_t *) arena + arena_size };
    uint64_t id = s_random (&from);
    umbp_msg_init (msg, (umbp_msg_type_t) type, id >> s_random (&from) % 64);
    msg->deadline_ms = (uint32_t) s_between (&from, 0, UINT32_MAX);
    msg->status = (int16_t) -(int) s_between (&from, 0, -UMBP_ERR_LAST);
    msg->call = s_random (&from) % 2 ? s_random (&from) : 0;
    int64_t counts[UMBP_GROUPS_MAX] = { -1, -1, -1, -1 };         //  By group, -1 not drawn yet
    for (size_t index = 0; index < schema->field_count; index++) {
        int rc = s_make (&from, schema, msg, index, counts);
        if (rc < 0)
            return rc;
    }
    return 0;
}

//  proto/message.c - encode and decode, driven by the message table.
#include <cbor.h>

#include "proto/message.h"
#include "proto/schema.h"

#define HEAD_TYPE 0
#define HEAD_ID 1
#define HEAD_DEADLINE 2
#define HEAD_STATUS 3
#define HEAD_CALL 31                    //  Added later, when 4 and up were the fields'
#define KEY_MAX 32                      //  Field keys are below this
#define PAIRS_MAX 64                    //  In a message, those we do not know included
#define SKIP_MAX 4096                   //  Items inside one value that we do not know

void umbp_msg_init (umbp_msg_t *msg, umbp_msg_type_t type, uint64_t id)
{
    memset (msg, 0, sizeof *msg);
    msg->type = (uint16_t) type;
    msg->id = id;
}

//  -----------------------------------------------------------------------------------------------
//  Encode

typedef struct {
    uint8_t *at, *end;
    bool full;
} writer_t;

static void s_wrote (writer_t *out, size_t size)
{
    out->full |= size == 0;             //  libcbor writes nothing where there is no room
    out->at += size;
}

static void s_put_uint (writer_t *out, uint64_t value)
{
    s_wrote (out, cbor_encode_uint (value, out->at, (size_t) (out->end - out->at)));
}

static void s_put_int (writer_t *out, int64_t value)
{
    if (value >= 0)
        s_put_uint (out, (uint64_t) value);
    else
        s_wrote (out, cbor_encode_negint ((uint64_t) (-1 - value), out->at,
                                          (size_t) (out->end - out->at)));
}

static void s_put_raw (writer_t *out, const void *data, size_t size)
{
    if ((size_t) (out->end - out->at) < size) {
        out->full = true;
        return;
    }
    if (size)
        memcpy (out->at, data, size);
    out->at += size;
}

static void s_put_bytes (writer_t *out, const void *data, size_t size)
{
    s_wrote (out, cbor_encode_bytestring_start (size, out->at, (size_t) (out->end - out->at)));
    s_put_raw (out, data, size);
}

static void s_put_array (writer_t *out, umbp_kind_t kind, const void *data, size_t count)
{
    s_wrote (out, cbor_encode_tag (umbp_kind_tag (kind), out->at, (size_t) (out->end - out->at)));
    s_put_bytes (out, data, count * umbp_kind_width (kind));
}

static void s_put_field (writer_t *out, const umbp_field_t *field, const void *at)
{
    switch ((umbp_kind_t) field->kind) {
    case UMBP_KIND_U64: s_put_uint (out, *(const uint64_t *) at); return;
    case UMBP_KIND_BOOL:
        s_wrote (out,
                 cbor_encode_bool (*(const bool *) at, out->at, (size_t) (out->end - out->at)));
        return;
    case UMBP_KIND_TEXT: {
        const umbp_text_t *text = at;
        s_wrote (out,
                 cbor_encode_string_start (text->size, out->at, (size_t) (out->end - out->at)));
        s_put_raw (out, text->data, text->size);
        return;
    }
    case UMBP_KIND_BYTES: {
        const umbp_bytes_t *bytes = at;
        s_put_bytes (out, bytes->data, bytes->size);
        return;
    }
    case UMBP_KIND_COLUMN: {
        const umbp_column_t *column = at;
        s_wrote (out, cbor_encode_array_start (2, out->at, (size_t) (out->end - out->at)));
        s_put_bytes (out, column->bytes, column->size);
        s_put_array (out, UMBP_KIND_U16S, column->sizes, column->count);
        return;
    }
    case UMBP_KIND_U8S:
    case UMBP_KIND_S8S:
    case UMBP_KIND_U16S:
    case UMBP_KIND_U32S:
    case UMBP_KIND_U64S: {
        const umbp_array_t *array = at;
        s_put_array (out, (umbp_kind_t) field->kind, array->data, array->count);
        return;
    }
    }
}

int umbp_msg_encode (const umbp_msg_t *msg, void *data, size_t size)
{
    const umbp_schema_t *schema = umbp_schema (msg->type);
    if (!schema)
        return UMBP_EINVAL;
    size_t pairs = 2 + (msg->deadline_ms != 0) + (msg->status != 0) + (msg->call != 0);
    for (size_t index = 0; index < schema->field_count; index++)
        pairs += !umbp_field_absent (msg, &schema->fields[index]);

    if (size > UMBP_MESSAGE_MAX)
        size = UMBP_MESSAGE_MAX;
    writer_t out = { data, (uint8_t *) data + size, false };
    s_wrote (&out, cbor_encode_map_start (pairs, out.at, size));
    s_put_uint (&out, HEAD_TYPE);
    s_put_uint (&out, msg->type);
    s_put_uint (&out, HEAD_ID);
    s_put_uint (&out, msg->id);
    if (msg->deadline_ms) {
        s_put_uint (&out, HEAD_DEADLINE);
        s_put_uint (&out, msg->deadline_ms);
    }
    if (msg->status) {
        s_put_uint (&out, HEAD_STATUS);
        s_put_int (&out, msg->status);
    }
    for (size_t index = 0; index < schema->field_count; index++) {
        const umbp_field_t *field = &schema->fields[index];
        if (umbp_field_absent (msg, field))
            continue;
        s_put_uint (&out, field->key);
        s_put_field (&out, field, umbp_field_in (msg, field));
    }
    if (msg->call) {
        s_put_uint (&out, HEAD_CALL);
        s_put_uint (&out, msg->call);
    }
    return out.full ? UMBP_ETOOBIG : (int) (out.at - (uint8_t *) data);
}

//  -----------------------------------------------------------------------------------------------
//  Decode. libcbor's streaming decoder hands over one head at a time; strings with their bytes.

typedef enum {
    ITEM_UINT,
    ITEM_NEGINT,
    ITEM_BYTES,
    ITEM_TEXT,
    ITEM_ARRAY,
    ITEM_MAP,
    ITEM_TAG,
    ITEM_BOOL,
    ITEM_OTHER,                         //  Floats, null, undefined: skipped where unknown
    ITEM_ENDLESS,                       //  Indefinite lengths and breaks: always refused
} item_kind_t;

typedef struct {
    item_kind_t kind;
    uint64_t value;                     //  Number, size, count or tag
    const uint8_t *data;                //  Of strings
} item_t;

typedef struct {
    const uint8_t *at, *end;
} reader_t;

static void s_item (void *context, item_kind_t kind, uint64_t value, const uint8_t *data)
{
    *(item_t *) context = (item_t) { kind, value, data };
}

#define ON(name, parameter, kind, value, data)                                                     \
    static void s_on_##name (void *context, parameter)                                             \
    {                                                                                              \
        s_item (context, kind, value, data);                                                       \
    }
ON (u8, uint8_t value, ITEM_UINT, value, NULL)
ON (u16, uint16_t value, ITEM_UINT, value, NULL)
ON (u32, uint32_t value, ITEM_UINT, value, NULL)
ON (u64, uint64_t value, ITEM_UINT, value, NULL)
ON (n8, uint8_t value, ITEM_NEGINT, value, NULL)
ON (n16, uint16_t value, ITEM_NEGINT, value, NULL)
ON (n32, uint32_t value, ITEM_NEGINT, value, NULL)
ON (n64, uint64_t value, ITEM_NEGINT, value, NULL)
ON (array, size_t count, ITEM_ARRAY, count, NULL)
ON (map, size_t count, ITEM_MAP, count, NULL)
ON (tag, uint64_t value, ITEM_TAG, value, NULL)
ON (bool, bool value, ITEM_BOOL, value, NULL)

//  These have more parameters, or fewer, or some that we have no use for
static void s_on_bytes (void *context, cbor_data data, size_t size)
{
    s_item (context, ITEM_BYTES, size, data);
}

static void s_on_text (void *context, cbor_data data, size_t size)
{
    s_item (context, ITEM_TEXT, size, data);
}

static void s_on_float (void *context, float value)
{
    (void) value;
    s_item (context, ITEM_OTHER, 0, NULL);
}

static void s_on_double (void *context, double value)
{
    (void) value;
    s_item (context, ITEM_OTHER, 0, NULL);
}

static void s_on_none (void *context)
{
    s_item (context, ITEM_OTHER, 0, NULL);
}

static void s_on_endless (void *context)
{
    s_item (context, ITEM_ENDLESS, 0, NULL);
}

static const struct cbor_callbacks s_callbacks = {
    .uint8 = s_on_u8, .uint16 = s_on_u16, .uint32 = s_on_u32, .uint64 = s_on_u64,
    .negint8 = s_on_n8, .negint16 = s_on_n16, .negint32 = s_on_n32, .negint64 = s_on_n64,
    .byte_string = s_on_bytes, .byte_string_start = s_on_endless,
    .string = s_on_text, .string_start = s_on_endless,
    .array_start = s_on_array, .indef_array_start = s_on_endless,
    .map_start = s_on_map, .indef_map_start = s_on_endless,
    .tag = s_on_tag, .boolean = s_on_bool,
    .float2 = s_on_float, .float4 = s_on_float, .float8 = s_on_double,
    .null = s_on_none, .undefined = s_on_none, .indef_break = s_on_endless,
};

//  Heads that libcbor need not see, since they are the most frequent ones: numbers below 24, which
//  all our keys are; or must not see, since 0.8 takes them for malformed: tags 6 to 20, and simple
//  values without a meaning. Returns their size, or 0 for all others.
static size_t s_plain_head (const reader_t *in, item_t *item)
{
    size_t left = (size_t) (in->end - in->at);
    uint8_t first = left > 0 ? in->at[0] : 0xff;
    *item = (item_t) { ITEM_OTHER, 0, NULL };
    if (first < 24)
        *item = (item_t) { ITEM_UINT, first, NULL };
    else if (first >= 0xc6 && first <= 0xd4)
        *item = (item_t) { ITEM_TAG, first - 0xc0u, NULL };
    else if (first == 0xf8 && left > 1 && in->at[1] >= 32)
        return 2;
    else if (first < 0xe0 || first > 0xf3)
        return 0;
    return 1;
}

//  The next head, with its bytes if it is a string. Returns false where there is none.
static bool s_next (reader_t *in, item_t *item)
{
    size_t size = s_plain_head (in, item);
    if (size > 0) {
        in->at += size;
        return true;
    }
    struct cbor_decoder_result result =
        cbor_stream_decode (in->at, (size_t) (in->end - in->at), &s_callbacks, item);
    if (result.status != CBOR_DECODER_FINISHED || item->kind == ITEM_ENDLESS)
        return false;
    in->at += result.read;
    return true;
}

//  Pass over one value of any kind. Bounded by SKIP_MAX, however it is nested.
static bool s_skip (reader_t *in)
{
    uint64_t pending = 1;
    for (int count = 0; pending > 0; count++) {
        item_t item;
        if (count == SKIP_MAX || !s_next (in, &item))
            return false;
        pending--;
        if (item.kind == ITEM_TAG)
            pending++;
        if (item.kind == ITEM_ARRAY || item.kind == ITEM_MAP) {
            if (item.value > SKIP_MAX)
                return false;
            pending += item.kind == ITEM_MAP ? 2 * item.value : item.value;
        }
        if (pending > SKIP_MAX)
            return false;
    }
    return true;
}

static bool s_read_array (reader_t *in, umbp_kind_t kind, const void **data, uint32_t *count)
{
    item_t item;
    if (!s_next (in, &item) || item.kind != ITEM_TAG || item.value != umbp_kind_tag (kind)
        || !s_next (in, &item) || item.kind != ITEM_BYTES || item.value > UMBP_MESSAGE_MAX
        || item.value % umbp_kind_width (kind) != 0)
        return false;
    *data = item.data;
    *count = (uint32_t) (item.value / umbp_kind_width (kind));
    return true;
}

static bool s_read_column (reader_t *in, umbp_column_t *column)
{
    item_t item;
    if (!s_next (in, &item) || item.kind != ITEM_ARRAY || item.value != 2 || !s_next (in, &item)
        || item.kind != ITEM_BYTES || item.value > UMBP_MESSAGE_MAX)
        return false;
    column->bytes = item.data;
    column->size = (uint32_t) item.value;
    return s_read_array (in, UMBP_KIND_U16S, &column->sizes, &column->count);
}

static bool s_read_string (reader_t *in, item_kind_t kind, item_t *item)
{
    return s_next (in, item) && item->kind == kind && item->value <= UMBP_MESSAGE_MAX;
}

//  The value of a field, by its kind. Returns false if it is another kind or malformed.
static bool s_read_field (reader_t *in, const umbp_field_t *field, void *at)
{
    item_t item;
    switch ((umbp_kind_t) field->kind) {
    case UMBP_KIND_U64:
        if (!s_next (in, &item) || item.kind != ITEM_UINT)
            return false;
        *(uint64_t *) at = item.value;
        return true;
    case UMBP_KIND_BOOL:
        if (!s_next (in, &item) || item.kind != ITEM_BOOL)
            return false;
        *(bool *) at = item.value != 0;
        return true;
    case UMBP_KIND_TEXT: {
        if (!s_read_string (in, ITEM_TEXT, &item))
            return false;
        *(umbp_text_t *) at = (umbp_text_t) { (const char *) item.data, (uint32_t) item.value };
        return true;
    }
    case UMBP_KIND_BYTES: {
        if (!s_read_string (in, ITEM_BYTES, &item))
            return false;
        *(umbp_bytes_t *) at = (umbp_bytes_t) { item.data, (uint32_t) item.value };
        return true;
    }
    case UMBP_KIND_COLUMN: return s_read_column (in, at);
    case UMBP_KIND_U8S:
    case UMBP_KIND_S8S:
    case UMBP_KIND_U16S:
    case UMBP_KIND_U32S:
    case UMBP_KIND_U64S: {
        umbp_array_t *array = at;
        return s_read_array (in, (umbp_kind_t) field->kind, &array->data, &array->count);
    }
    }
    return false;
}

static const char *const s_head_names[] = {
    [HEAD_TYPE] = "type",
    [HEAD_ID] = "id",
    [HEAD_DEADLINE] = "deadline_ms",
    [HEAD_STATUS] = "status",
    [HEAD_CALL] = "call",
};

static bool s_is_head (uint64_t key)
{
    return key <= HEAD_STATUS || key == HEAD_CALL;
}

//  The value of one key of the head. Returns 0 or an error.
static int s_read_head (umbp_msg_t *msg, reader_t *in, uint64_t key)
{
    item_t item;
    if (!s_next (in, &item))
        return umbp_msg_fault (msg, UMBP_EPROTO, s_head_names[key], "is malformed");
    if (key == HEAD_STATUS) {
        if ((item.kind != ITEM_UINT && item.kind != ITEM_NEGINT) || item.value > INT16_MAX - 1)
            return umbp_msg_fault (msg, UMBP_EPROTO, "status", "is not a small number");
        msg->status = (int16_t) (item.kind == ITEM_UINT ? (int) item.value : -1 - (int) item.value);
        return 0;
    }
    if (item.kind != ITEM_UINT)
        return umbp_msg_fault (msg, UMBP_EPROTO, s_head_names[key], "is not a number");
    if (key == HEAD_ID)
        msg->id = item.value;
    else if (key == HEAD_CALL)
        msg->call = item.value;
    else if (key == HEAD_DEADLINE)
        msg->deadline_ms = item.value > UINT32_MAX ? UINT32_MAX : (uint32_t) item.value;
    else {
        if (item.value >= UMBP_MSG_LAST)
            return umbp_msg_fault (msg, UMBP_ENOTSUP, "type", "unknown number");
        msg->type = (uint16_t) item.value;
    }
    return 0;
}

//  The next key. Keys that are not small numbers are read too, but none of ours is like that.
static int s_next_key (umbp_msg_t *msg, reader_t *in, uint64_t *key)
{
    item_t item;
    if (!s_next (in, &item)
        || (item.kind != ITEM_UINT && item.kind != ITEM_NEGINT && item.kind != ITEM_TEXT
            && item.kind != ITEM_BYTES))
        return umbp_msg_fault (msg, UMBP_EPROTO, "map", "a key is missing or of a wrong type");
    *key = item.kind == ITEM_UINT && item.value < KEY_MAX ? item.value : KEY_MAX;
    return 0;
}

//  Pass over the value of a key that we do not know
static int s_skip_value (umbp_msg_t *msg, reader_t *in)
{
    if (s_skip (in))
        return 0;
    return umbp_msg_fault (msg, UMBP_EPROTO, "map", "a value is malformed, endless or too deep");
}

//  The type says what the fields are, but keys may come in any order: look for it on a pass of its
//  own. In a message that starts with its type, as ours do, that is one pair.
static int s_find_type (umbp_msg_t *msg, reader_t in, uint64_t pairs)
{
    for (; pairs > 0; pairs--) {
        uint64_t key;
        int rc = s_next_key (msg, &in, &key);
        if (rc == 0 && key == HEAD_TYPE)
            return s_read_head (msg, &in, key);
        if (rc == 0)
            rc = s_skip_value (msg, &in);
        if (rc < 0)
            return rc;
    }
    return umbp_msg_fault (msg, UMBP_EPROTO, "type", "is missing");
}

//  What can be read of the head of a message that is refused, so that its sender can be answered
static void s_salvage_head (umbp_msg_t *msg, reader_t in, uint64_t pairs)
{
    const char *field = msg->fault_field, *fault = msg->fault;
    uint64_t key;
    for (; pairs > 0 && s_next_key (msg, &in, &key) == 0; pairs--) {
        reader_t value = in;
        if (s_is_head (key))
            s_read_head (msg, &value, key);
        if (!s_skip (&in))
            break;
    }
    msg->fault_field = field;
    msg->fault = fault;
}

static const umbp_field_t *s_field (const umbp_schema_t *schema, uint64_t key)
{
    for (size_t index = 0; index < schema->field_count; index++)
        if (schema->fields[index].key == key)
            return &schema->fields[index];
    return NULL;
}

//  One pair: of the head, a field, or unknown. seen[key] says which came before.
static int s_decode_pair (umbp_msg_t *msg, const umbp_schema_t *schema, reader_t *in,
                          bool seen[KEY_MAX + 1])
{
    uint64_t key;
    int rc = s_next_key (msg, in, &key);
    if (rc < 0)
        return rc;
    const umbp_field_t *field = s_is_head (key) ? NULL : s_field (schema, key);
    if (!s_is_head (key) && !field)
        return s_skip_value (msg, in);
    if (seen[key])
        return umbp_msg_fault (msg, UMBP_EPROTO, field ? field->name : s_head_names[key],
                               "comes twice");
    seen[key] = true;
    if (!field)
        return s_read_head (msg, in, key);
    if (!s_read_field (in, field, umbp_field_of (msg, field)))
        return umbp_msg_fault (msg, UMBP_EPROTO, field->name, "is malformed or of another kind");
    return 0;
}

//  All pairs, on a second pass. Every field that must be there has to come.
static int s_decode_pairs (umbp_msg_t *msg, const umbp_schema_t *schema, reader_t *in,
                           uint64_t pairs)
{
    bool seen[KEY_MAX + 1] = { false };
    for (; pairs > 0; pairs--) {
        int rc = s_decode_pair (msg, schema, in, seen);
        if (rc < 0)
            return rc;
    }
    for (size_t index = 0; index < schema->field_count; index++)
        if (schema->fields[index].must && !seen[schema->fields[index].key])
            return umbp_msg_fault (msg, UMBP_EPROTO, schema->fields[index].name, "is missing");
    return 0;
}

static int s_decode_map (umbp_msg_t *msg, reader_t *in, uint64_t pairs)
{
    int rc = s_find_type (msg, *in, pairs);
    if (rc < 0)
        return rc;
    const umbp_schema_t *schema = umbp_schema (msg->type);
    if (!schema)
        return umbp_msg_fault (msg, UMBP_ENOTSUP, "type", "unknown number");
    const uint8_t *start = in->at;
    rc = s_decode_pairs (msg, schema, in, pairs);
    if (rc == 0 && in->at - start > UMBP_MESSAGE_MAX)
        return umbp_msg_fault (msg, UMBP_ETOOBIG, "message", "larger than any message may be");
    return rc < 0 ? rc : umbp_msg_check (msg);
}

//  A message that is refused keeps its head and the fault, and shows none of its fields: they may
//  break a limit that others rely on
static void s_clear_fields (umbp_msg_t *msg)
{
    memset ((uint8_t *) msg + offsetof (umbp_msg_t, ok), 0,
            sizeof *msg - offsetof (umbp_msg_t, ok));
}

int umbp_msg_decode (umbp_msg_t *msg, const void *data, size_t size)
{
    memset (msg, 0, sizeof *msg);
    if (size > UMBP_MESSAGE_MAX + UMBP_INLINE_MAX)
        return umbp_msg_fault (msg, UMBP_ETOOBIG, "message", "larger than any message may be");
    reader_t in = { data, (const uint8_t *) data + size };
    item_t map;
    if (!s_next (&in, &map) || map.kind != ITEM_MAP || map.value > PAIRS_MAX)
        return umbp_msg_fault (msg, UMBP_EPROTO, "message", "is not a small map of known length");
    reader_t pairs = in;
    int rc = s_decode_map (msg, &in, map.value);
    if (rc == 0)
        return (int) (in.at - (const uint8_t *) data);
    s_salvage_head (msg, pairs, map.value);
    s_clear_fields (msg);
    return rc;
}

//  test/unit/test_message_hostile.c - the codec against frames that were made to hurt it: each is
//  refused with the error and the field that say why, and nothing beyond its end is looked at.
#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/message.h"

#define DEPTH 10000
#define ROOM (1u << 20)                 //  For the frames that are made here

static uint8_t s_frame[ROOM], s_again[ROOM];

//  Refused in words, and with no field left that could be misread
static bool s_is_refusal (const umbp_msg_t *msg, int rc)
{
    static const umbp_msg_t none;
    const size_t fields = offsetof (umbp_msg_t, ok);
    return (rc == UMBP_EPROTO || rc == UMBP_EINVAL || rc == UMBP_ETOOBIG || rc == UMBP_ENOTSUP)
           && msg->fault && msg->fault[0] && msg->fault_field && msg->fault_field[0]
           && memcmp ((const uint8_t *) msg + fields, (const uint8_t *) &none + fields,
                      sizeof none - fields)
                  == 0;
}

//  {0: 34, 1: 7, 4: [h'61', 69(h'0100')]} is a sound exists with the key "a".

#define SOUND "04824161d845420100"

static const struct {
    const char *what, *hex;
    int err;
    const char *field;
    uint64_t id;                        //  Of those, that could be read
} s_hostile[] = {
    { "nothing", "", UMBP_EPROTO, "message", 0 },
    { "no map", "80", UMBP_EPROTO, "message", 0 },
    { "map without end", "bf00182201" "07" SOUND "ff", UMBP_EPROTO, "message", 0 },
    { "giant map", "bbffffffffffffffff", UMBP_EPROTO, "message", 0 },
    { "map of 65 pairs", "b8410018220107", UMBP_EPROTO, "message", 0 },
    { "reserved length", "bc0018220107", UMBP_EPROTO, "message", 0 },
    { "empty map", "a0", UMBP_EPROTO, "type", 0 },
    { "no type", "a10107", UMBP_EPROTO, "type", 7 },
    { "type is text", "a20061610107", UMBP_EPROTO, "type", 7 },
    { "type is negative", "a200200107", UMBP_EPROTO, "type", 7 },
    { "type not used yet", "a200187f0107", UMBP_ENOTSUP, "type", 7 },
    { "type above all", "a200188001" "07", UMBP_ENOTSUP, "type", 7 },
    { "giant type", "a2001bffffffffffffffff0107", UMBP_ENOTSUP, "type", 7 },
    { "type twice", "a300030107" "0003", UMBP_EPROTO, "type", 7 },
    { "id twice", "a300030107" "0107", UMBP_EPROTO, "id", 7 },
    { "status twice, all of the head seen", "a500030107020103000300", UMBP_EPROTO, "status", 7 },
    { "id is negative", "a200030120", UMBP_EPROTO, "id", 0 },
    { "id is an array", "a2000301811807", UMBP_EPROTO, "id", 0 },
    { "id is missing its value", "a2000301", UMBP_EPROTO, "id", 0 },
    { "deadline is text", "a300030107026161", UMBP_EPROTO, "deadline_ms", 7 },
    { "status is a float", "a30003010703f93c00", UMBP_EPROTO, "status", 7 },
    { "status too large", "a30003010703197fff", UMBP_EPROTO, "status", 7 },
    { "status too small", "a30003010703397fff", UMBP_EPROTO, "status", 7 },
    { "must is missing", "a20018220107", UMBP_EPROTO, "keys", 7 },
    { "field twice", "a40018220107" SOUND SOUND, UMBP_EPROTO, "keys", 7 },
    { "giant bytes", "a3001822010704825b7fffffffffffffff61", UMBP_EPROTO, "keys", 7 },
    { "giant sizes", "a3001822010704824161d8455affffffff0100", UMBP_EPROTO, "keys", 7 },
    { "giant column", "a30018220107049bffffffffffffffff", UMBP_EPROTO, "keys", 7 },
    { "column of 3", "a3001822010704834161d84542010000", UMBP_EPROTO, "keys", 7 },
    { "column of 1", "a30018220107048141610000000000", UMBP_EPROTO, "keys", 7 },
    { "column without end", "a30018220107049f4161d845420100ff", UMBP_EPROTO, "keys", 7 },
    { "bytes without end", "a3001822010704825f4161ffd845420100", UMBP_EPROTO, "keys", 7 },
    { "bytes are text", "a3001822010704826161d845420100", UMBP_EPROTO, "keys", 7 },
    { "column is a number", "a3001822010704187b", UMBP_EPROTO, "keys", 7 },
    { "sizes of another width", "a3001822010704824161d846420100", UMBP_EPROTO, "keys", 7 },
    { "sizes big-endian", "a3001822010704824161d841420001", UMBP_EPROTO, "keys", 7 },
    { "sizes without tag", "a3001822010704824161420100", UMBP_EPROTO, "keys", 7 },
    { "sizes of half an element", "a3001822010704824161d8454101", UMBP_EPROTO, "keys", 7 },
    { "sizes beyond the bytes", "a3001822010704824161d845420200", UMBP_EINVAL, "keys", 7 },
    { "sizes that leave bytes", "a300182201070482426161d845420100", UMBP_EINVAL, "keys", 7 },
    { "sizes that overflow", "a3001822010704824161d84544ffff0200", UMBP_EINVAL, "keys", 7 },
    { "empty key", "a3001822010704824161d8454401000000", UMBP_EINVAL, "keys", 7 },
    { "unknown giant array", "a300030107" "18639bffffffffffffffff", UMBP_EPROTO, "map", 7 },
    { "unknown giant map", "a300030107" "1863bb8000000000000000", UMBP_EPROTO, "map", 7 },
    { "unknown giant text", "a300030107" "18637b7fffffffffffffff", UMBP_EPROTO, "map", 7 },
    { "unknown array without end", "a300030107" "18639f01ff", UMBP_EPROTO, "map", 7 },
    { "unknown map without end", "a300030107" "1863bf0102ff", UMBP_EPROTO, "map", 7 },
    { "unknown text without end", "a300030107" "18637f6161ff", UMBP_EPROTO, "map", 7 },
    { "a break", "a300030107" "1863ff", UMBP_EPROTO, "map", 7 },
    { "reserved head", "a300030107" "18631c", UMBP_EPROTO, "map", 7 },
    { "key is a float", "a300030107" "f93c0000", UMBP_EPROTO, "map", 7 },
    { "key is an array", "a300030107" "800100", UMBP_EPROTO, "map", 7 },
    { "key is missing", "a400030107" "186300", UMBP_EPROTO, "map", 7 },
    { "value is missing", "a300030107" "1863", UMBP_EPROTO, "map", 7 },
    { "malformed before the type", "a318639f01ff" "00030107", UMBP_EPROTO, "map", 0 },
    { "number out of range", "a3000601070404", UMBP_EINVAL, "level", 7 },
    { "number is negative", "a3000601070420", UMBP_EPROTO, "level", 7 },
    { "number is tagged", "a30006010704c101", UMBP_EPROTO, "level", 7 },
    { "number is a bignum", "a30006010704c24101", UMBP_EPROTO, "level", 7 },
    { "truth is a number", "a300182801070401", UMBP_EPROTO, "everywhere", 7 },
    { "truth is null", "a3001828010704f6", UMBP_EPROTO, "everywhere", 7 },
    { "text is bytes", "a3000e010704426161", UMBP_EPROTO, "endpoint", 7 },
    { "text is empty", "a3000e01070460", UMBP_EINVAL, "endpoint", 7 },
    { "text without end", "a3000e0107047f6161ff", UMBP_EPROTO, "endpoint", 7 },
    { "text is no UTF-8", "a3000e01070461ff", UMBP_EINVAL, "endpoint", 7 },
    { "text goes on too far", "a3000e01070462c320", UMBP_EINVAL, "endpoint", 7 },
    { "text ends in a character", "a3000e01070462e282", UMBP_EINVAL, "endpoint", 7 },
    { "text longer than it need be", "a3000e01070462c0af", UMBP_EINVAL, "endpoint", 7 },
    { "text has half a pair", "a3000e01070463eda080", UMBP_EINVAL, "endpoint", 7 },
    { "text beyond Unicode", "a3000e01070464f4908080", UMBP_EINVAL, "endpoint", 7 },
    { "text has a NUL", "a3000e01070463610061", UMBP_EINVAL, "endpoint", 7 },
};

static uint8_t s_digit (char digit)
{
    return (uint8_t) (digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

//  Decode a copy that ends where the frame ends. True if it is refused just so.
static bool s_refused (const uint8_t *data, size_t size, int err, const char *field, uint64_t id)
{
    umbp_msg_t msg;
    uint8_t *frame = malloc (size + !size);
    memcpy (frame, data, size);
    int rc = umbp_msg_decode (&msg, frame, size);
    free (frame);
    bool right = rc == err && s_is_refusal (&msg, rc) && strcmp (msg.fault_field, field) == 0
                 && msg.id == id;
    if (!right)
        printf ("\n%d %s %s id=%" PRIu64, rc, msg.fault_field, msg.fault, msg.id);
    return right;
}

static void test_hostile (void)
{
    for (size_t index = 0; index < sizeof s_hostile / sizeof *s_hostile; index++) {
        const char *hex = s_hostile[index].hex;
        size_t size = strlen (hex) / 2;
        for (size_t at = 0; at < size; at++)
            s_frame[at] = (uint8_t) (s_digit (hex[2 * at]) << 4 | s_digit (hex[2 * at + 1]));
        bool refused = s_refused (s_frame, size, s_hostile[index].err, s_hostile[index].field,
                                  s_hostile[index].id);
        if (!refused)
            printf (": %s\n", s_hostile[index].what);
        CU_ASSERT (refused);
    }
}

//  An unknown value as deep as can be: arrays, maps under a key, tags, or arrays side by side
static void test_deep (void)
{
    static const struct {
        uint8_t step[2];
        size_t size;
    } deep[] = { { { 0x81 }, 1 }, { { 0xa1, 0x00 }, 2 }, { { 0xc1 }, 1 }, { { 0x82, 0x00 }, 2 } };
    static const uint8_t start[] = { 0xa3, 0x00, 0x03, 0x01, 0x07, 0x18, 0x63 };
    for (size_t index = 0; index < sizeof deep / sizeof *deep; index++) {
        memcpy (s_frame, start, sizeof start);
        size_t size = sizeof start;
        for (int level = 0; level < DEPTH; level++) {
            memcpy (s_frame + size, deep[index].step, deep[index].size);
            size += deep[index].size;
        }
        s_frame[size++] = 0x00;
        CU_ASSERT (s_refused (s_frame, size, UMBP_EPROTO, "map", 7));
    }
}

//  Messages that our own encoder writes if it is told to
static void s_refused_as (const umbp_msg_t *msg, int err, const char *field)
{
    int size = umbp_msg_encode (msg, s_again, sizeof s_again);
    CU_ASSERT_FATAL (size > 0);
    CU_ASSERT (s_refused (s_again, (size_t) size, err, field, msg->id));
}

static void test_limits (void)
{
    static const uint8_t bytes[UMBP_BATCH_MAX * 2 + 2];
    uint16_t sizes[UMBP_BATCH_MAX + 1] = { UMBP_KEY_MAX };
    umbp_msg_t msg, back;
    umbp_msg_init (&msg, UMBP_MSG_exists, 9);
    msg.exists.keys = (umbp_column_t) { bytes, sizes, UMBP_KEY_MAX, 1 };
    int size = umbp_msg_encode (&msg, s_frame, sizeof s_frame);
    CU_ASSERT (umbp_msg_decode (&back, s_frame, (size_t) size) == size);
    sizes[0] = (uint16_t) ++msg.exists.keys.size;
    s_refused_as (&msg, UMBP_ETOOBIG, "keys");
    sizes[0] = 0;
    msg.exists.keys.size = 0;
    s_refused_as (&msg, UMBP_EINVAL, "keys");

    for (size_t index = 0; index <= UMBP_BATCH_MAX; index++)
        sizes[index] = 1;
    msg.exists.keys = (umbp_column_t) { bytes, sizes, UMBP_BATCH_MAX + 1, UMBP_BATCH_MAX + 1 };
    s_refused_as (&msg, UMBP_ETOOBIG, "keys");
    memset (sizes, 0xff, sizeof sizes);                      //  4096 times 65535
    msg.exists.keys = (umbp_column_t) { bytes, sizes, 0, UMBP_BATCH_MAX };
    s_refused_as (&msg, UMBP_EINVAL, "keys");

    umbp_msg_init (&msg, UMBP_MSG_put, 9);
    sizes[0] = sizes[1] = 1;
    msg.put.keys = (umbp_column_t) { bytes, sizes, 2, 2 };
    msg.put.sizes = (umbp_u32s_t) { bytes, 3 };
    s_refused_as (&msg, UMBP_EINVAL, "sizes");
    msg.put.sizes.count = 2;
    msg.put.depths = (umbp_u16s_t) { bytes, 1 };
    s_refused_as (&msg, UMBP_EINVAL, "depths");
    msg.put.depths.count = 0;                                //  May be left out, though
    size = umbp_msg_encode (&msg, s_frame, sizeof s_frame);
    CU_ASSERT (umbp_msg_decode (&back, s_frame, (size_t) size) == size);

    umbp_msg_init (&msg, UMBP_MSG_abort, 9);
    static const uint64_t slots[UMBP_BATCH_MAX + 1];
    msg.abort.slots = (umbp_u64s_t) { slots, UMBP_BATCH_MAX + 1 };
    s_refused_as (&msg, UMBP_ETOOBIG, "slots");
    umbp_msg_init (&msg, UMBP_MSG_leave, 9);
    msg.leave.node = (umbp_text_t) { (const char *) memset (s_frame, 'n', 65), 65 };
    msg.leave.node_epoch = 1;
    s_refused_as (&msg, UMBP_ETOOBIG, "node");
    msg.leave.node.size--;
    msg.leave.node_epoch = 0;
    s_refused_as (&msg, UMBP_EINVAL, "node_epoch");
    msg.type = 127;
    CU_ASSERT (umbp_msg_encode (&msg, s_frame, sizeof s_frame) == UMBP_EINVAL);
    CU_ASSERT (umbp_msg_check (&msg) == UMBP_ENOTSUP);
}

//  A ping with so many bytes under a key that it does not know; returns its size
static size_t s_stuffed_ping (uint8_t *frame, uint32_t stuffing)
{
    static const uint8_t start[] = { 0xa3, 0x00, 0x03, 0x01, 0x07, 0x18, 0x63, 0x5a };
    memcpy (frame, start, sizeof start);
    for (size_t index = 0; index < sizeof stuffing; index++)
        frame[sizeof start + index] = (uint8_t) (stuffing >> 8 * (3 - index));
    return sizeof start + sizeof stuffing + stuffing;
}

static void test_too_large (void)
{
    const size_t most = UMBP_MESSAGE_MAX + UMBP_INLINE_MAX, head = 12;
    uint8_t *frame = calloc (1, most + 1);
    umbp_msg_t msg;
    CU_ASSERT (s_stuffed_ping (frame, UMBP_MESSAGE_MAX - (uint32_t) head) == UMBP_MESSAGE_MAX);
    CU_ASSERT (umbp_msg_decode (&msg, frame, most) == UMBP_MESSAGE_MAX);     //  Rest is payload
    CU_ASSERT (umbp_msg_decode (&msg, frame, most + 1) == UMBP_ETOOBIG);
    CU_ASSERT_STRING_EQUAL (msg.fault_field, "message");
    size_t size = s_stuffed_ping (frame, UMBP_MESSAGE_MAX);
    CU_ASSERT (s_refused (frame, size, UMBP_ETOOBIG, "message", 7));
    free (frame);

    umbp_msg_init (&msg, UMBP_MSG_change, 9);                //  Not even where there is room
    msg.change.prints = (umbp_bytes_t) { calloc (1, most), (uint32_t) most };
    uint8_t *out = malloc (2 * most);
    CU_ASSERT (umbp_msg_encode (&msg, out, 2 * most) == UMBP_ETOOBIG);
    free ((void *) msg.change.prints.data);
    free (out);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("message_hostile", NULL, NULL);
    CU_ADD_TEST (suite, test_hostile);
    CU_ADD_TEST (suite, test_deep);
    CU_ADD_TEST (suite, test_limits);
    CU_ADD_TEST (suite, test_too_large);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

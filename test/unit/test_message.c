//  test/unit/test_message.c - the codec: what is encoded comes back, what is strange is passed
//  over, what is damaged does no harm. UMBP_SEED repeats a run, UMBP_ROUNDS says how many messages
//  of each type are made up.
#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "proto/message.h"
#include "proto/schema.h"
#include "proto/splitmix.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

#ifdef SANITIZED
#define ROUNDS 10000                    //  Messages of each type
#else
#define ROUNDS 100000
#endif
#define BUSY_NS 100000000000u           //  After so long a tenth must do: the machine is busy
#define LARGE_EVERY 1000                //  One in so many may be of megabytes
#define ARENA_MIN (64 * 24)             //  Enough for any type
#define ARENA_SMALL 4096
#define ARENA_LARGE (2u << 20)
#define GOLDEN_MAX 400                  //  Bytes in a golden message

static uint64_t s_seed, s_rounds;
static uint8_t s_arena[ARENA_LARGE], s_frame[UMBP_MESSAGE_MAX], s_again[UMBP_MESSAGE_MAX];

static uint64_t s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

//  The type after this one, the first one after 0; 0 after the last one
static int s_next_type (int type)
{
    while (++type < UMBP_MSG_LAST)
        if (umbp_schema (type))
            return type;
    return 0;
}

//  -----------------------------------------------------------------------------------------------
//  The table itself

static void s_check_group (const umbp_schema_t *schema, const umbp_field_t *field)
{
    bool counted = umbp_kind_width ((umbp_kind_t) field->kind) > 0;
    CU_ASSERT (field->group < UMBP_GROUPS_MAX);
    if (field->group > 0)
        CU_ASSERT (counted || field->kind == UMBP_KIND_COLUMN);
    CU_ASSERT (!counted || field->low == 0);
    CU_ASSERT (schema->field_count > 0);
}

static void test_table (void)
{
    int count = 0;
    for (int type = s_next_type (0); type; type = s_next_type (type), count++) {
        const umbp_schema_t *schema = umbp_schema (type);
        CU_ASSERT_PTR_EQUAL (umbp_msg_name (type), schema->name);
        int key = 3;
        for (size_t index = 0; index < schema->field_count; index++) {
            const umbp_field_t *field = &schema->fields[index];
            CU_ASSERT (field->key > key && field->key < 32);
            CU_ASSERT (field->low <= field->high);
            s_check_group (schema, field);
            key = field->key;
        }
    }
    CU_ASSERT (count > 50);
    CU_ASSERT_PTR_NULL (umbp_schema (0));
    CU_ASSERT_PTR_NULL (umbp_schema (-1));
    CU_ASSERT_PTR_NULL (umbp_schema (UMBP_MSG_LAST));
    CU_ASSERT_PTR_NULL (umbp_msg_name (UMBP_MSG_LAST));
}

//  -----------------------------------------------------------------------------------------------
//  There and back

//  One made-up message. Returns what went wrong, NULL if nothing did.
static const char *s_round (int type, uint64_t *state, size_t arena_size)
{
    umbp_msg_t msg, back;
    if (umbp_msg_random (&msg, type, state, s_arena, arena_size) != 0)
        return "cannot be made up";
    if (umbp_msg_check (&msg) != 0)
        return "breaks a limit";
    int size = umbp_msg_encode (&msg, s_frame, sizeof s_frame);
    if (size <= 0)
        return "is not encoded";
    if (umbp_msg_decode (&back, s_frame, (size_t) size) != size)
        return "is not decoded";
    if (!umbp_msg_equal (&msg, &back) || !umbp_msg_equal (&back, &msg))
        return "came back as another";
    if (umbp_msg_encode (&back, s_again, (size_t) size) != size)
        return "has another size the second time";
    if (memcmp (s_frame, s_again, (size_t) size) != 0)
        return "has other bytes the second time";
    if (size > 1 && umbp_msg_encode (&back, s_again, (size_t) size - 1) != UMBP_ETOOBIG)
        return "was written where it does not fit";
    return NULL;
}

static void test_there_and_back (void)
{
    uint64_t start = s_now_ns ();
    for (int type = s_next_type (0); type; type = s_next_type (type)) {
        uint64_t state = s_seed + (uint64_t) type;
        uint64_t rounds = s_now_ns () - start < BUSY_NS ? s_rounds : s_rounds / 10;
        const char *wrong = NULL;
        for (uint64_t round = 0; round < rounds && !wrong; round++) {
            uint64_t limit = round % LARGE_EVERY == 0 ? ARENA_LARGE : ARENA_SMALL;
            wrong = s_round (type, &state,
                             ARENA_MIN + umbp_splitmix (&state) % (limit - ARENA_MIN + 1));
            if (wrong)
                printf ("\n%s of round %" PRIu64 " %s\n", umbp_msg_name (type), round, wrong);
        }
        CU_ASSERT_PTR_NULL (wrong);
    }
}

//  The arena bounds what is made up, however small it is
static void test_arena (void)
{
    uint64_t state = s_seed;
    for (int type = s_next_type (0); type; type = s_next_type (type))
        for (size_t size = 0; size < 300; size++) {
            uint8_t *arena = malloc (size + 1);
            umbp_msg_t msg;
            int rc = umbp_msg_random (&msg, type, &state, arena + 1, size);
            CU_ASSERT (rc == 0 ? umbp_msg_check (&msg) == 0 : rc == UMBP_ETOOBIG);
            free (arena);
        }
    umbp_msg_t msg;
    CU_ASSERT (umbp_msg_random (&msg, UMBP_MSG_LAST, &state, s_arena, 64) == UMBP_ENOTSUP);
}

//  -----------------------------------------------------------------------------------------------
//  What a newer peer may send: keys that we do not know, in any order

//  How long a well-formed item is. Not the codec's own way to find out.
static size_t s_item_size (const uint8_t *at)
{
    unsigned major = at[0] >> 5, minor = at[0] & 31;
    size_t size = 1 + (minor < 24 ? 0 : (size_t) 1 << (minor - 24));
    uint64_t value = minor < 24 ? minor : 0;
    for (size_t index = 1; index < size; index++)
        value = value << 8 | at[index];
    if (major == 2 || major == 3)
        return size + value;
    uint64_t parts = major == 4 ? value : major == 5 ? 2 * value : major == 6;
    for (; parts > 0; parts--)
        size += s_item_size (at + size);
    return size;
}

//  A head, often longer than it need be
static size_t s_put_head (uint8_t *out, unsigned major, uint64_t value, uint64_t *state)
{
    unsigned least = value < 24 ? 0
                     : value <= UINT8_MAX ? 1
                     : value <= UINT16_MAX ? 2
                     : value <= UINT32_MAX               ? 3
                                           : 4;
    unsigned width = least + (unsigned) (umbp_splitmix (state) % (5 - least));
    if (width == 0) {
        out[0] = (uint8_t) (major << 5 | value);
        return 1;
    }
    size_t size = (size_t) 1 << (width - 1);
    out[0] = (uint8_t) (major << 5 | (23 + width));
    for (size_t index = 0; index < size; index++)
        out[1 + index] = (uint8_t) (value >> 8 * (size - 1 - index));
    return 1 + size;
}

//  Any value at all, of up to 4 levels
static size_t s_put_any (uint8_t *out, int depth, uint64_t *state)
{
    unsigned major = (unsigned) (umbp_splitmix (state) % (depth < 4 ? 8 : 4));
    uint64_t value = umbp_splitmix (state) >> umbp_splitmix (state) % 64;
    if (major == 7) {
        unsigned width = (unsigned) (umbp_splitmix (state) % 5);  //  Half, float, double, or simple
        if (width == 3) {
            out[0] = 0xf8;
            out[1] = (uint8_t) (32 + value % 224);
            return 2;
        }
        if (width == 4) {
            out[0] = (uint8_t) (0xe0 + value % 24);          //  false, true, null, undefined too
            return 1;
        }
        out[0] = (uint8_t) (0xf9 + width);
        memcpy (out + 1, &value, (size_t) 2 << width);
        return 1 + ((size_t) 2 << width);
    }
    if (major >= 2 && major < 6)
        value %= major < 4 ? 30 : 4;
    size_t size = s_put_head (out, major, value, state);
    if (major == 2 || major == 3) {
        memset (out + size, 'x', value);
        return size + value;
    }
    uint64_t parts = major == 4 ? value : major == 5 ? 2 * value : major == 6;
    for (; parts > 0; parts--)
        size += s_put_any (out + size, depth + 1, state);
    return size;
}

static size_t s_put_unknown (uint8_t *out, uint64_t *state)
{
    static const uint8_t majors[] = { 0, 1, 2, 3 };
    unsigned major = majors[umbp_splitmix (state) % sizeof majors];
    uint64_t value = umbp_splitmix (state) >> umbp_splitmix (state) % 64;
    if (major == 0 && value < 32)
        value = 32;                     //  No type has this one, and 31 is the head's
    if (major > 1)
        value %= 40;
    size_t size = s_put_head (out, major, value, state);
    if (major > 1) {
        memset (out + size, 'k', value);
        size += value;
    }
    return size + s_put_any (out + size, 0, state);
}

typedef struct {
    const uint8_t *data;
    size_t size;
} pair_t;

//  Split a map into its pairs, those of the head first; returns how many
static size_t s_split (const uint8_t *frame, pair_t *pairs)
{
    size_t count = frame[0] == 0xb8 ? frame[1] : frame[0] & 31;
    const uint8_t *at = frame + (frame[0] == 0xb8 ? 2 : 1);
    for (size_t index = 0; index < count; index++) {
        size_t key = s_item_size (at);
        pairs[index] = (pair_t) { at, key + s_item_size (at + key) };
        at += pairs[index].size;
    }
    return count;
}

static void s_shuffle (pair_t *pairs, size_t count, uint64_t *state)
{
    for (size_t index = count; index > 1; index--) {
        size_t other = umbp_splitmix (state) % index;
        pair_t pair = pairs[index - 1];
        pairs[index - 1] = pairs[other];
        pairs[other] = pair;
    }
}

//  Write the message in frame anew to out, with unknown pairs, and its head at the end if asked to
static size_t s_disguise (const uint8_t *frame, uint8_t *out, bool head_last, uint64_t *state)
{
    static uint8_t unknown[1 << 18];
    pair_t pairs[64];
    size_t count = s_split (frame, pairs), heads = 0, used = 0;
    while (heads < count && pairs[heads].data[0] < 4)
        heads++;
    for (size_t extra = umbp_splitmix (state) % 20; extra > 0; extra--) {
        size_t size = s_put_unknown (unknown + used, state);
        pairs[count++] = (pair_t) { unknown + used, size };
        used += size;
    }
    if (head_last) {
        pair_t head[4];
        memcpy (head, pairs, heads * sizeof *pairs);
        memmove (pairs, pairs + heads, (count - heads) * sizeof *pairs);
        memcpy (pairs + count - heads, head, heads * sizeof *pairs);
    }
    s_shuffle (pairs, head_last ? count - heads : count, state);
    size_t size = s_put_head (out, 5, count, state);
    for (size_t index = 0; index < count; index++) {
        memcpy (out + size, pairs[index].data, pairs[index].size);
        size += pairs[index].size;
    }
    return size;
}

static void test_unknown_keys (void)
{
    uint64_t state = s_seed;
    for (int type = s_next_type (0); type; type = s_next_type (type))
        for (uint64_t round = 0; round < 500; round++) {
            umbp_msg_t msg, back;
            umbp_msg_random (&msg, type, &state, s_arena, ARENA_SMALL);
            CU_ASSERT_FATAL (umbp_msg_encode (&msg, s_frame, sizeof s_frame) > 0);
            size_t size = s_disguise (s_frame, s_again, round & 1, &state);
            uint8_t *frame = malloc (size);
            memcpy (frame, s_again, size);
            CU_ASSERT (umbp_msg_decode (&back, frame, size) == (int) size);
            CU_ASSERT (umbp_msg_equal (&msg, &back));
            free (frame);
        }
}

//  -----------------------------------------------------------------------------------------------
//  Damage

//  Some message of a type that is always the same: the largest of 64 that is not too large
static size_t s_golden (int type, uint8_t *frame)
{
    uint64_t state = (uint64_t) type;
    size_t best = 0;
    for (int round = 0; round < 64; round++) {
        umbp_msg_t msg;
        umbp_msg_random (&msg, type, &state, s_arena, GOLDEN_MAX);
        int size = umbp_msg_encode (&msg, s_frame, GOLDEN_MAX);
        if (size > (int) best) {
            best = (size_t) size;
            memcpy (frame, s_frame, best);
        }
    }
    return best;
}

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

//  Decode what may be damaged: it is refused by name, or it is a message as good as any other
static bool s_survives (const uint8_t *frame, size_t size)
{
    umbp_msg_t msg, back;
    int rc = umbp_msg_decode (&msg, frame, size);
    if (rc < 0)
        return s_is_refusal (&msg, rc);
    if (rc > (int) size || umbp_msg_check (&msg) != 0)
        return false;
    int again = umbp_msg_encode (&msg, s_again, sizeof s_again);
    return again > 0 && umbp_msg_decode (&back, s_again, (size_t) again) == again
           && umbp_msg_equal (&msg, &back);
}

static void test_cut_short (void)
{
    for (int type = s_next_type (0); type; type = s_next_type (type)) {
        uint8_t golden[GOLDEN_MAX];
        size_t full = s_golden (type, golden);
        CU_ASSERT_FATAL (full > 0);
        for (size_t size = 0; size < full; size++) {
            umbp_msg_t msg;
            uint8_t *frame = malloc (size + !size);
            memcpy (frame, golden, size);
            int rc = umbp_msg_decode (&msg, frame, size);
            CU_ASSERT (rc == UMBP_EPROTO && s_is_refusal (&msg, rc));
            free (frame);
        }
        memset (s_frame, 0xff, GOLDEN_MAX + 8);              //  And what follows is not its own
        memcpy (s_frame, golden, full);
        umbp_msg_t msg;
        CU_ASSERT (umbp_msg_decode (&msg, s_frame, full + 8) == (int) full);
    }
}

static void test_one_byte_changed (void)
{
    for (int type = s_next_type (0); type; type = s_next_type (type)) {
        uint8_t golden[GOLDEN_MAX];
        size_t size = s_golden (type, golden);
        uint8_t *frame = malloc (size);
        memcpy (frame, golden, size);
        bool survived = true;
        for (size_t at = 0; at < size; at++) {
            for (unsigned change = 1; change < 256; change++) {
                frame[at] = golden[at] ^ (uint8_t) change;
                survived &= s_survives (frame, size);
            }
            frame[at] = golden[at];
        }
        CU_ASSERT (survived);
        free (frame);
    }
}

//  -----------------------------------------------------------------------------------------------
//  Print

static void test_print (void)
{
    for (int type = s_next_type (0); type; type = s_next_type (type)) {
        uint8_t golden[GOLDEN_MAX];
        static char whole[1 << 16];
        umbp_msg_t msg;
        CU_ASSERT (umbp_msg_decode (&msg, golden, s_golden (type, golden)) > 0);
        size_t full = umbp_msg_print (&msg, whole, sizeof whole);
        CU_ASSERT (full > 0 && full == strlen (whole));
        CU_ASSERT (strncmp (whole, umbp_msg_name (type), strlen (umbp_msg_name (type))) == 0);
        CU_ASSERT (umbp_msg_print (&msg, NULL, 0) == 0);
        for (size_t size = 1; size < full + 3; size++) {
            char *out = malloc (size);
            size_t used = umbp_msg_print (&msg, out, size);
            CU_ASSERT (used == (full < size ? full : size - 1));
            CU_ASSERT (out[used] == 0 && memcmp (out, whole, used) == 0);
            free (out);
        }
    }
    umbp_msg_t msg;
    char out[64];
    umbp_msg_init (&msg, (umbp_msg_type_t) 127, 5);
    umbp_msg_print (&msg, out, sizeof out);
    CU_ASSERT_STRING_EQUAL (out, "unknown id=5");
    umbp_msg_init (&msg, UMBP_MSG_found, 5);
    msg.found.endpoint = umbp_text ("a\"b\\c\n");
    umbp_msg_print (&msg, out, sizeof out);
    CU_ASSERT_STRING_EQUAL (out, "found id=5 endpoint=\"a\\x22b\\x5cc\\x0a\"");
}

//  -----------------------------------------------------------------------------------------------
//  Bench

#define ROWS 128
#define BENCH_ROUNDS 20000

static void s_measure (const umbp_msg_t *msg, const char *what)
{
    umbp_msg_t back;
    uint64_t start = s_now_ns ();
    int size = 0;
    for (int round = 0; round < BENCH_ROUNDS; round++)
        size = umbp_msg_encode (msg, s_frame, sizeof s_frame);
    uint64_t middle = s_now_ns ();
    int took = 0;
    for (int round = 0; round < BENCH_ROUNDS; round++)
        took = umbp_msg_decode (&back, s_frame, (size_t) size);
    uint64_t end = s_now_ns ();
    CU_ASSERT (size > 0 && took == size && umbp_msg_equal (msg, &back));
    printf ("\n    %s: %d bytes, encode %" PRIu64 " ns, decode %" PRIu64 " ns", what, size,
            (middle - start) / BENCH_ROUNDS, (end - middle) / BENCH_ROUNDS);
}

static void test_bench (void)
{
    static const uint8_t zeros[ROWS * 64];
    uint16_t sizes[ROWS];
    for (size_t index = 0; index < ROWS; index++)
        sizes[index] = 64;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_exists, 1);
    msg.deadline_ms = 1000;
    msg.exists.keys = (umbp_column_t) { zeros, sizes, ROWS * 64, ROWS };
    s_measure (&msg, "exists of 128 keys of 64 bytes");

    umbp_msg_init (&msg, UMBP_MSG_put_ok, 1);
    umbp_array_t rows = { zeros, ROWS }, nodes = { zeros, 1 };
    msg.put_ok = (umbp_msg_put_ok_t) {
        .statuses = rows, .refs = rows, .slots = rows, .extent_counts = rows, .regions = rows,
        .pages = rows, .page_counts = rows, .generations = rows, .tiers = nodes,
        .page_sizes = nodes, .ttls_ms = nodes, .nodes = { zeros, sizes, 64, 1 },
        .bulks = { zeros, sizes, 64, 1 },
    };
    s_measure (&msg, "put_ok of 128 rows");
    printf ("\n");
}

static uint64_t s_setting (const char *name, uint64_t otherwise)
{
    const char *value = getenv (name);
    return value && *value ? strtoull (value, NULL, 0) : otherwise;
}

int main (void)
{
    alarm (290);
    s_seed = s_setting ("UMBP_SEED", s_now_ns () ^ (uint64_t) getpid () << 40);
    s_rounds = s_setting ("UMBP_ROUNDS", ROUNDS);
    printf ("UMBP_SEED=%" PRIu64 " UMBP_ROUNDS=%" PRIu64 "\n", s_seed, s_rounds);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("message", NULL, NULL);
    CU_ADD_TEST (suite, test_table);
    CU_ADD_TEST (suite, test_there_and_back);
    CU_ADD_TEST (suite, test_arena);
    CU_ADD_TEST (suite, test_unknown_keys);
    CU_ADD_TEST (suite, test_cut_short);
    CU_ADD_TEST (suite, test_one_byte_changed);
    CU_ADD_TEST (suite, test_print);
    CU_ADD_TEST (suite, test_bench);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_workload.c - traces, made-up conversations, block contents and the LRU
#include "bin/workload.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t s_stream;               //  Of random numbers

static uint64_t s_random (void)
{
    return umbp_splitmix (&s_stream);
}

//  Seed from UMBP_SEED or the clock, printed, so that a failure can be run again
static void s_seed (const char *test)
{
    const char *text = getenv ("UMBP_SEED");
    uint64_t clock = (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    s_stream = text ? strtoull (text, NULL, 10) : clock;
    printf ("[%s seed=%llu] ", test, (unsigned long long) s_stream);
}

static double s_now (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

//  --- Traces ----------------------------------------------------------------------------------

static char s_path[] = "/tmp/umbp-workload-XXXXXX";
static char s_error[256];

//  A trace of this text, its file already removed
static umbp_workload_t *s_trace (const char *text, size_t size)
{
    strcpy (s_path + sizeof s_path - 7, "XXXXXX");
    int handle = mkstemp (s_path);
    CU_ASSERT_FATAL (handle >= 0);
    CU_ASSERT (write (handle, text, size) == (ssize_t) size);
    close (handle);
    umbp_workload_t *trace = umbp_workload_new_trace (s_path, s_error, sizeof s_error);
    unlink (s_path);
    CU_ASSERT_FATAL (trace != NULL);
    return trace;
}

static void test_trace_is_read (void)
{
    static const char text[] =
        "{\"timestamp\": 5, \"input_length\": 6, \"output_length\": 7, \"hash_ids\": [0, 1]}\r\n"
        "\n\r\n"
        "{\"hash_ids\": [], \"output_length\": 0, \"more\": null, \"input_length\": 4294967295, "
        "\"timestamp\": 9223372036854775807}";
    umbp_workload_t *trace = s_trace (text, strlen (text));
    umbp_request_t request;
    CU_ASSERT_FATAL (umbp_workload_next (trace, &request, s_error, sizeof s_error) == 1);
    CU_ASSERT (request.time_ms == 5 && request.input_tokens == 6 && request.output_tokens == 7);
    CU_ASSERT (request.blocks == 2 && request.hash_ids[0] == 0 && request.hash_ids[1] == 1);
    CU_ASSERT_STRING_EQUAL (request.keys[0],           //  Of eight zero bytes
                            "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc");
    CU_ASSERT (strlen (request.keys[1]) == 64 && strcmp (request.keys[0], request.keys[1]) != 0);
    CU_ASSERT_FATAL (umbp_workload_next (trace, &request, s_error, sizeof s_error) == 1);
    CU_ASSERT (request.blocks == 0 && request.input_tokens == UINT32_MAX);
    CU_ASSERT (request.time_ms == INT64_MAX);
    CU_ASSERT (umbp_workload_next (trace, &request, s_error, sizeof s_error) == 0);
    CU_ASSERT (umbp_workload_next (trace, &request, s_error, sizeof s_error) == 0);
    umbp_workload_destroy (&trace);
    CU_ASSERT (trace == NULL);
    umbp_workload_destroy (&trace);
    CU_ASSERT (umbp_workload_new_trace ("/nonexistent/trace", s_error, sizeof s_error) == NULL);
    CU_ASSERT (strstr (s_error, "/nonexistent/trace: No such file") != NULL);
    trace = umbp_workload_new_trace ("/tmp", s_error, sizeof s_error);
    if (trace)                          //  A directory opens, but cannot be read
        CU_ASSERT (umbp_workload_next (trace, &request, s_error, sizeof s_error) == UMBP_EIO);
    umbp_workload_destroy (&trace);
}

//  Each bad line is told with its number and its fault, and the good line after it is read
static void test_trace_malformed (void)
{
    static const struct { const char *line, *fault; size_t size; } bad[] = {
        { "{", "expected", 0 },
        { "[]", "not an object", 0 },
        { "\0\0\0", "expected", 3 },
        { "{\"timestamp\": 1}", "input_length", 0 },
        { "{\"timestamp\": -1}", "timestamp", 0 },
        { "{\"timestamp\": 1.5}", "timestamp", 0 },
        { "{\"timestamp\": 99999999999999999999}", "too big", 0 },
        { "{\"timestamp\": 1, \"timestamp\": 1}", "duplicate", 0 },
        { "{\"timestamp\": 1, \"input_length\": 4294967296}", "input_length", 0 },
        { "{\"timestamp\": 1, \"input_length\": 1, \"output_length\": \"1\"}", "output_length", 0 },
        { "{\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": 1}",
          "hash_ids is not", 0 },
        { "{\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [1, -1]}",
          "hash_ids has an item", 0 },
        { "{\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [1]} x",
          "end of file", 0 },
        { "\xff\xfe", "decode", 0 },
    };
    static const char good[] =
        "\n{\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [3]}\n";
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
        char text[512], place[64];
        size_t size = bad[index].size ? bad[index].size : strlen (bad[index].line);
        text[0] = '\n';                 //  So that it is line 2
        memcpy (text + 1, bad[index].line, size);
        memcpy (text + 1 + size, good, sizeof good);
        umbp_workload_t *trace = s_trace (text, size + sizeof good);
        umbp_request_t request;
        snprintf (place, sizeof place, "%s:2: ", s_path);
        CU_ASSERT (umbp_workload_next (trace, &request, s_error, sizeof s_error) == UMBP_EPROTO);
        CU_ASSERT (!strncmp (s_error, place, strlen (place)));
        CU_ASSERT (strstr (s_error, bad[index].fault) != NULL);
        CU_ASSERT (umbp_workload_next (trace, &request, NULL, 0) == 1);
        CU_ASSERT (request.blocks == 1 && request.hash_ids[0] == 3);
        CU_ASSERT (umbp_workload_next (trace, &request, s_error, sizeof s_error) == 0);
        umbp_workload_destroy (&trace);
    }
}

//  A line of so many ids, padded to so many bytes; returns its size with its end
static size_t s_long_line (char *text, size_t ids, size_t size)
{
    size_t at = sprintf (text, "{\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1, "
                               "\"hash_ids\": [7");
    for (size_t index = 1; index < ids; index++, at += 2)
        memcpy (text + at, ",7", 2);
    text[at++] = ']';
    text[at++] = '}';
    for (; at < size; at++)
        text[at] = ' ';
    text[at++] = '\n';
    return at;
}

static void test_trace_limits (void)
{
    static const struct { size_t ids, size; int rc; } lines[] = {
        { UMBP_WORKLOAD_BLOCKS_MAX, 0, 1 },
        { UMBP_WORKLOAD_BLOCKS_MAX + 1, 0, UMBP_EPROTO },
        { 1, UMBP_WORKLOAD_LINE_MAX, 1 },
        { 1, UMBP_WORKLOAD_LINE_MAX + 1, UMBP_EPROTO },
        { 1, 3 * UMBP_WORKLOAD_LINE_MAX, UMBP_EPROTO },
        { 5, 0, 1 },
    };
    enum { LINES = sizeof lines / sizeof *lines };
    char *text = malloc (8 * UMBP_WORKLOAD_LINE_MAX);
    size_t size = 0;
    for (size_t index = 0; index < LINES; index++)
        size += s_long_line (text + size, lines[index].ids, lines[index].size);
    umbp_workload_t *trace = s_trace (text, size);
    umbp_request_t request;
    for (size_t index = 0; index < LINES; index++) {
        int rc = umbp_workload_next (trace, &request, s_error, sizeof s_error);
        CU_ASSERT (rc == lines[index].rc);
        CU_ASSERT (rc != 1 || request.blocks == lines[index].ids);
    }
    CU_ASSERT (request.blocks == 5);
    CU_ASSERT (umbp_workload_next (trace, &request, s_error, sizeof s_error) == 0);
    umbp_workload_destroy (&trace);
    free (text);
}

//  --- Conversations ---------------------------------------------------------------------------

static void test_page_keys (void)
{
    static const uint32_t tokens[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    static const char *const keys[] = {
        "cf97adeedb59e05bfd73a2b4c2a8885708c4f4f70c84c64b27120e72ab733b72",
        "4ebfa8a1f3c341517621838c6e1b9aa350307e3f00b3cbd1a07ef740f54396d6",
    };
    unsigned char digest[32];
    for (size_t page = 0; page < 2; page++) {
        char text[65];
        umbp_workload_page (page ? digest : NULL, tokens + page * 4, 4, digest);
        for (size_t index = 0; index < 32; index++)
            sprintf (text + index * 2, "%02x", digest[index]);
        CU_ASSERT_STRING_EQUAL (text, keys[page]);
    }
}

//  Sums up all that a generator gives, so that two runs can be compared
static uint64_t s_digest (const umbp_talks_t *talks)
{
    umbp_workload_t *source = umbp_workload_new_talks (talks, s_error, sizeof s_error);
    CU_ASSERT_FATAL (source != NULL);
    umbp_request_t request;
    uint64_t sum = 0;
    while (umbp_workload_next (source, &request, s_error, sizeof s_error) == 1) {
        sum = (sum ^ request.time_ms) * 31 + request.input_tokens;
        sum = (sum ^ request.output_tokens) * 31;
        for (uint32_t index = 0; index < request.blocks; index++)
            sum = (sum ^ request.hash_ids[index]) * 31 + request.keys[index][5];
    }
    umbp_workload_destroy (&source);
    return sum;
}

static void test_talks_follow_their_seed (void)
{
    umbp_talks_t talks = UMBP_TALKS_DEFAULT;
    uint64_t first = s_digest (&talks);
    CU_ASSERT (first == s_digest (&talks));
    CU_ASSERT (first == UINT64_C (0x0d9fc0f888e406f0));          //  On every machine
    talks.seed = 2;
    CU_ASSERT (first != s_digest (&talks));
}

//  What a cache without a limit would hit, with what must hold for each request
static void test_talks_have_the_shape (void)
{
    s_seed ("talks");
    umbp_talks_t talks = UMBP_TALKS_DEFAULT;
    talks.seed = s_random ();
    talks.requests = 3000;
    umbp_workload_t *source = umbp_workload_new_talks (&talks, s_error, sizeof s_error);
    umbp_lru_t *all = umbp_lru_new (1 << 24), *small = umbp_lru_new (500);
    umbp_request_t request;
    uint64_t time_ms = 0, blocks = 0, hits = 0, small_hits = 0, made = 0;
    double start = s_now ();
    while (umbp_workload_next (source, &request, s_error, sizeof s_error) == 1) {
        CU_ASSERT (request.time_ms >= time_ms);
        CU_ASSERT (request.input_tokens <= talks.context_tokens && request.output_tokens > 0);
        CU_ASSERT (request.blocks == request.input_tokens / talks.page_tokens);
        time_ms = request.time_ms;
        blocks += request.blocks;
        hits += umbp_lru_request (all, request.hash_ids, request.blocks);
        small_hits += umbp_lru_request (small, request.hash_ids, request.blocks);
        made++;
    }
    CU_ASSERT (made == talks.requests);
    CU_ASSERT (umbp_lru_count (small) == 500);
    CU_ASSERT (hits + umbp_lru_count (all) == blocks);           //  A prefix chain: no other hits
    CU_ASSERT (small_hits < hits);
    CU_ASSERT (hits > blocks / 2 && hits < blocks);
    printf ("[hits %.1f %% of %.1f blocks per request, %.2f M blocks/s] ",
            100.0 * (double) hits / (double) blocks, (double) blocks / (double) made,
            (double) blocks / (s_now () - start) / 1e6);
    umbp_lru_destroy (&all);
    umbp_lru_destroy (&small);
    umbp_workload_destroy (&source);
}

//  Whether a generator can be made; if it can, some requests are taken
static bool s_possible (const umbp_talks_t *talks)
{
    umbp_workload_t *source = umbp_workload_new_talks (talks, s_error, sizeof s_error);
    if (!source)
        return false;
    umbp_request_t request;
    for (int turn = 0; turn < 20; turn++)
        CU_ASSERT (umbp_workload_next (source, &request, s_error, sizeof s_error) >= 0);
    umbp_workload_destroy (&source);
    return true;
}

static void test_talks_settings (void)
{
    const umbp_talks_t base = UMBP_TALKS_DEFAULT;
    umbp_talks_t talks = base;
    CU_ASSERT (s_possible (&talks));
    talks = base, talks.talks = 0;
    CU_ASSERT (!s_possible (&talks) && strstr (s_error, "talks"));
    talks = base, talks.talks = UMBP_WORKLOAD_TALKS_MAX + 1;
    CU_ASSERT (!s_possible (&talks));
    talks = base, talks.talks = UMBP_WORKLOAD_TALKS_MAX, talks.context_tokens = 8192;
    CU_ASSERT (s_possible (&talks));
    talks.context_tokens = 1 << 20, talks.page_tokens = 16;
    CU_ASSERT (!s_possible (&talks) && strstr (s_error, "together"));
    talks = base, talks.prompts = 0;
    CU_ASSERT (!s_possible (&talks));
    talks = base, talks.prompts = UMBP_WORKLOAD_PROMPTS_MAX;
    CU_ASSERT (s_possible (&talks));
    talks = base, talks.page_tokens = 0;
    CU_ASSERT (!s_possible (&talks));
    talks = base, talks.page_tokens = 65536;
    CU_ASSERT (s_possible (&talks));    //  A page longer than any prompt: no blocks
    talks = base, talks.question_tokens = UINT32_MAX;
    CU_ASSERT (!s_possible (&talks) && strstr (s_error, "context_tokens"));
    talks = base, talks.turns = 0;
    CU_ASSERT (!s_possible (&talks));
    talks = base, talks.answer_tokens = UINT32_MAX;
    CU_ASSERT (!s_possible (&talks));
    talks = base, talks.answer_tokens = UINT32_MAX / 4, talks.turns = UINT32_MAX / 4;
    CU_ASSERT (s_possible (&talks));
    talks = base, talks.think_ms = 0, talks.requests = 3;
    CU_ASSERT (s_possible (&talks));
    talks = base, talks.context_tokens = UINT32_MAX;
    CU_ASSERT (!s_possible (&talks));
}

//  --- Contents --------------------------------------------------------------------------------

static void test_contents (void)
{
    s_seed ("contents");
    enum { SIZE = 1000 };
    unsigned char *one = malloc (SIZE + 8), *two = malloc (SIZE + 8);
    for (size_t size = 0; size <= SIZE; size++) {
        uint64_t seed = s_random ();
        unsigned char *at = one + size % 8;      //  At any address
        at[size] = 0x5a;
        umbp_workload_fill (seed, at, size);
        CU_ASSERT (at[size] == 0x5a);
        CU_ASSERT (umbp_workload_verify (seed, at, size));
        umbp_workload_fill (seed, two, size);
        CU_ASSERT (size == 0 || !memcmp (at, two, size));
        CU_ASSERT (size < 16 || !umbp_workload_verify (seed + 1, at, size));
        if (size > 0) {
            at[s_random () % size] ^= 1 << s_random () % 8;
            CU_ASSERT (!umbp_workload_verify (seed, at, size));
        }
    }
    free (one);
    free (two);
}

//  Neighbouring seeds, and the places within a block, differ: an exchanged page is seen
static void test_contents_differ (void)
{
    enum { SIZE = 65536, PAGE = 4096 };
    unsigned char *block = malloc (SIZE), *other = malloc (SIZE);
    umbp_workload_fill (1, block, SIZE);
    for (size_t page = PAGE; page < SIZE; page += PAGE)
        CU_ASSERT (memcmp (block, block + page, PAGE) != 0);
    for (uint64_t seed = 2; seed < 100; seed++) {
        size_t equal = 0;
        umbp_workload_fill (seed, other, SIZE);
        for (size_t index = 0; index < SIZE; index++)
            equal += block[index] == other[index];
        CU_ASSERT (equal < SIZE / 128);          //  1 of 256 by chance
    }
    free (block);
    free (other);
}

//  Best of some runs, as the machine is shared
static void test_contents_speed (void)
{
    enum { SIZE = 1 << 20, ROUNDS = 500, RUNS = 5 };
    unsigned char *block = malloc (SIZE);
    double fill = 0, verify = 0;
    for (int run = 0; run < RUNS; run++) {
        double start = s_now ();
        for (uint64_t round = 0; round < ROUNDS; round++)
            umbp_workload_fill (round, block, SIZE);
        double filled = s_now ();
        for (uint64_t round = 0; round < ROUNDS; round++)
            CU_ASSERT (umbp_workload_verify (ROUNDS - 1, block, SIZE));
        double verified = s_now ();
        double bytes = (double) SIZE * ROUNDS / 1e9;
        fill = bytes / (filled - start) > fill ? bytes / (filled - start) : fill;
        verify = bytes / (verified - filled) > verify ? bytes / (verified - filled) : verify;
    }
    printf ("[fill %.1f GB/s, verify %.1f GB/s] ", fill, verify);
    free (block);
}

//  --- LRU -------------------------------------------------------------------------------------

static void test_lru_by_hand (void)
{
    static const uint64_t a[] = { 1, 2, 3 }, b[] = { 1, 4 }, c[] = { 1, 2, 3 }, d[] = { 9, 9 };
    CU_ASSERT (umbp_lru_new (0) == NULL);
    CU_ASSERT (umbp_lru_new (UINT32_MAX) == NULL);
    umbp_lru_t *lru = umbp_lru_new (3);
    CU_ASSERT (umbp_lru_request (lru, a, 3) == 0);
    CU_ASSERT (umbp_lru_request (lru, a, 3) == 3);
    CU_ASSERT (umbp_lru_request (lru, b, 2) == 1);               //  3, the oldest, leaves
    CU_ASSERT (umbp_lru_count (lru) == 3);
    CU_ASSERT (umbp_lru_request (lru, c, 3) == 2);
    CU_ASSERT (umbp_lru_request (lru, d, 2) == 0);
    CU_ASSERT (umbp_lru_request (lru, d, 2) == 2);
    CU_ASSERT (umbp_lru_request (lru, d, 0) == 0);
    umbp_lru_destroy (&lru);
    CU_ASSERT (lru == NULL);
    umbp_lru_destroy (&lru);
}

//  Against a list that is searched from end to end
static void test_lru_random (void)
{
    enum { CAPACITY = 50 };
    s_seed ("lru");
    umbp_lru_t *lru = umbp_lru_new (CAPACITY);
    uint64_t list[CAPACITY + 1];                 //  Newest first
    size_t count = 0;
    for (int step = 0; step < 20000; step++) {
        uint64_t ids[8];
        uint32_t blocks = s_random () % 9, usable = 0;
        for (uint32_t index = 0; index < blocks; index++)
            ids[index] = s_random () % 80;
        for (bool present = true; usable < blocks && present; usable += present) {
            present = false;
            for (size_t at = 0; at < count; at++)
                present |= list[at] == ids[usable];
        }
        CU_ASSERT (umbp_lru_request (lru, ids, blocks) == usable);
        for (uint32_t index = blocks; index > 0; index--) {
            size_t at = 0;
            while (at < count && list[at] != ids[index - 1])
                at++;
            count += at == count;
            memmove (list + 1, list, at * sizeof *list);
            list[0] = ids[index - 1];
            count -= count > CAPACITY;
        }
        CU_ASSERT (umbp_lru_count (lru) == count);
    }
    umbp_lru_destroy (&lru);
}

//  The usable share of all blocks, in percent, for a cache of so many
static double s_hit_percent (const char *path, uint32_t capacity)
{
    umbp_workload_t *trace = umbp_workload_new_trace (path, s_error, sizeof s_error);
    umbp_lru_t *lru = umbp_lru_new (capacity);
    umbp_request_t request;
    uint64_t hits = 0, blocks = 0;
    while (umbp_workload_next (trace, &request, s_error, sizeof s_error) == 1) {
        hits += umbp_lru_request (lru, request.hash_ids, request.blocks);
        blocks += request.blocks;
    }
    CU_ASSERT (blocks == 288500);
    umbp_lru_destroy (&lru);
    umbp_workload_destroy (&trace);
    return 100.0 * (double) hits / (double) blocks;
}

//  What an independent simulator got for the conversation trace of Mooncake's FAST'25 release
static void test_lru_on_the_trace (void)
{
    static const struct { double size, hits; } wanted[] = {
        { 0.01, 5.25 }, { 0.025, 9.94 }, { 0.05, 19.58 }, { 0.1, 27.89 }, { 0.2, 34.53 },
        { 0.4, 36.04 },
    };
    const char *path = getenv ("UMBP_TRACE");
    if (!path)
        path = "../shared/data/conversation_trace.jsonl";
    if (access (path, R_OK) != 0) {
        printf ("[skipped: no trace at %s, UMBP_TRACE names one] ", path);
        return;
    }
    for (size_t index = 0; index < sizeof wanted / sizeof *wanted; index++) {
        double hits = s_hit_percent (path, (uint32_t) (wanted[index].size * 182790));
        printf ("[%g %%: %.2f %%] ", wanted[index].size * 100, hits);
        CU_ASSERT (hits > wanted[index].hits - 0.1 && hits < wanted[index].hits + 0.1);
    }
}

int main (void)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("workload", NULL, NULL);
    CU_ADD_TEST (suite, test_trace_is_read);
    CU_ADD_TEST (suite, test_trace_malformed);
    CU_ADD_TEST (suite, test_trace_limits);
    CU_ADD_TEST (suite, test_page_keys);
    CU_ADD_TEST (suite, test_talks_follow_their_seed);
    CU_ADD_TEST (suite, test_talks_have_the_shape);
    CU_ADD_TEST (suite, test_talks_settings);
    CU_ADD_TEST (suite, test_contents);
    CU_ADD_TEST (suite, test_contents_differ);
    CU_ADD_TEST (suite, test_contents_speed);
    CU_ADD_TEST (suite, test_lru_by_hand);
    CU_ADD_TEST (suite, test_lru_random);
    CU_ADD_TEST (suite, test_lru_on_the_trace);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_view.c - documents as people see them
#include <CUnit/Basic.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bin/view.h"
#include "proto/splitmix.h"

static uint64_t s_stream;               //  Of random numbers

//  The text that stands for these bytes
static void s_check_text (const void *data, size_t size, const char *wanted)
{
    json_t *text = umbp_view_text (data, size);
    CU_ASSERT_STRING_EQUAL (json_string_value (text), wanted);
    json_decref (text);
}

static void test_text_is_harmless (void)
{
    s_check_text ("plain", 5, "plain");
    s_check_text ("", 0, "");
    s_check_text ("gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f");
    s_check_text ("a\x1b[2Jb\n", 7, "a\\x1b[2Jb\\x0a");
    s_check_text ("\0\x7f", 2, "\\x00\\x7f");
    s_check_text ("\xc2\x9b"
                  "1m",
                  4, "\\xc2\\x9b1m"); // A control sequence in 8 bits
    s_check_text ("\xff\xfe", 2, "\\xff\\xfe");
    s_check_text ("\xc3", 1, "\\xc3");                         //  Cut short
    s_check_text ("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");       //  Half a surrogate
    s_check_text ("\xc0\x80", 2, "\\xc0\\x80");                //  Longer than it should be
}

//  Whatever the bytes, the result is JSON and has no control character in it
static void test_any_text_is_harmless (void)
{
    for (int round = 0; round < 20000; round++) {
        char data[32];
        size_t size = umbp_splitmix (&s_stream) % sizeof data;
        for (size_t index = 0; index < size; index++)
            data[index] = (char) umbp_splitmix (&s_stream);
        json_t *text = umbp_view_text (data, size);
        CU_ASSERT (json_is_string (text));
        for (const char *at = json_string_value (text); *at; at++)
            CU_ASSERT ((unsigned char) *at >= 0x20 && *at != 0x7f);
        json_decref (text);
    }
}

static void test_numbers (void)
{
    json_t *large = umbp_view_number (UINT64_MAX), *small = umbp_view_number (7);
    CU_ASSERT (json_integer_value (large) == INT64_MAX && json_integer_value (small) == 7);
    json_decref (large);
    json_decref (small);
    CU_ASSERT (umbp_view_percent (1, 0) == 0);
    CU_ASSERT (umbp_view_percent (1, 3) == 33.3);
    CU_ASSERT (umbp_view_percent (UINT64_MAX, UINT64_MAX) == 100);
}

static void test_bar (void)
{
    char bar[3 * 4 + 1];
    CU_ASSERT_STRING_EQUAL (umbp_view_bar (0, 4, bar), "░░░░");
    CU_ASSERT_STRING_EQUAL (umbp_view_bar (37.5, 4, bar), "█▌░░");
    CU_ASSERT_STRING_EQUAL (umbp_view_bar (100, 4, bar), "████");
    CU_ASSERT_STRING_EQUAL (umbp_view_bar (250, 4, bar), "████");
}

static void test_table (void)
{
    static const umbp_view_column_t columns[] = {
        { "NODE", "node", UMBP_VIEW_TEXT }, { "STATE", "state", UMBP_VIEW_STATE },
        { "USED", "used", UMBP_VIEW_BYTES }, { "BLOCKS", "blocks", UMBP_VIEW_COUNT },
        { "RING", "ring", UMBP_VIEW_BOOL }, { "SHARE", "share", UMBP_VIEW_PERCENT },
    };
    static const char wanted[] =
        "NODE         STATE        USED  BLOCKS  RING   SHARE\n"
        "a            alive    1.00 KiB   1,234  yes   12.3 %\n"
        "gr\xc3\xbc\xc3\x9f-node-1  suspect      12 B                      \n";
    json_t *rows =
        json_pack ("[{s:s, s:s, s:i, s:i, s:b, s:f}, {s:s, s:s, s:i, s:b}]", "node", "a", "state",
                   "alive", "used", 1024, "blocks", 1234, "ring", 1, "share", 12.34, "node",
                   "gr\xc3\xbc\xc3\x9f-node-1", "state", "suspect", "used", 12, "ring", 0);
    for (int colour = 0; colour < 2; colour++) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream (&text, &size);
        umbp_view_table (out, rows, columns, sizeof columns / sizeof *columns, colour);
        fclose (out);
        if (!colour)
            CU_ASSERT_STRING_EQUAL (text, wanted);
        CU_ASSERT ((strstr (text, "\033[33msuspect\033[0m") != NULL) == (colour != 0));
        free (text);
    }
    json_decref (rows);
}

int main (void)
{
    alarm (30);
    setlocale (LC_CTYPE, "C.UTF-8");
    const char *given = getenv ("UMBP_SEED");
    s_stream = given ? strtoull (given, NULL, 10) : (uint64_t) getpid ();
    printf ("seed %llu (UMBP_SEED)\n", (unsigned long long) s_stream);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("view", NULL, NULL);
    CU_ADD_TEST (suite, test_text_is_harmless);
    CU_ADD_TEST (suite, test_any_text_is_harmless);
    CU_ADD_TEST (suite, test_numbers);
    CU_ADD_TEST (suite, test_bar);
    CU_ADD_TEST (suite, test_table);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_config.c - the settings of a program: what is read, and what is refused
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/umbp_node.h"
#include "bin/config.h"
#include "bin/node_settings.h"
#include "bin/suggest.h"
#include "bin/units.h"
#include "proto/error.h"

typedef struct {
    char name[17], listen[64], peers[128], order[8], note[40];
    unsigned level, wait_ms, spin_us, percent, port;
    bool fast;
    uint64_t bytes;
    uint32_t count;
} set_t;

static const set_t s_defaults = {
    .name = "one", .listen = "tcp://127.0.0.1:7710", .order = "first", .level = 1, .wait_ms = 500,
    .spin_us = 50, .percent = 90, .bytes = 1 << 30, .count = 7,
};

#define MEMBER(name) #name, offsetof(set_t, name), sizeof(((set_t *) 0)->name)

static const umbp_setting_t s_table[] = {
    { "node/name", UMBP_SETTING_ID, MEMBER (name), 1, 16, NULL, "who" },
    { "node/listen", UMBP_SETTING_LISTEN, MEMBER (listen), 1, 63, NULL, "where" },
    { "node/peers", UMBP_SETTING_ENDPOINTS, MEMBER (peers), 0, 127, NULL, "others" },
    { "node/note", UMBP_SETTING_TEXT, MEMBER (note), 0, 39, NULL, "free text" },
    { "node/level", UMBP_SETTING_LEVEL, MEMBER (level), 0, 2, "low|middle|high", "how loud" },
    { "dram/capacity", UMBP_SETTING_BYTES, MEMBER (bytes), 1 << 20, UINT64_C (16) << 40, NULL,
      "memory" },
    { "dram/huge_pages", UMBP_SETTING_BOOL, MEMBER (fast), 0, 1, NULL, "large ones" },
    { "dram/order", UMBP_SETTING_NAME, MEMBER (order), 0, 7, "first|best", "which" },
    { "time/wait", UMBP_SETTING_MS, MEMBER (wait_ms), 10, 60000, NULL, "until" },
    { "time/spin", UMBP_SETTING_US, MEMBER (spin_us), 0, 1000, NULL, "before sleep" },
    { "mark/high", UMBP_SETTING_PERCENT, MEMBER (percent), 1, 100, NULL, "full" },
    { "mark/count", UMBP_SETTING_COUNT, MEMBER (count), 1, 4096, NULL, "how many" },
    { "mark/port", UMBP_SETTING_PORT, MEMBER (port), 0, 65535, NULL, "door" },
};
#define SETTINGS (sizeof s_table / sizeof *s_table)

static bool s_same (const set_t *one, const set_t *other)
{
    return !strcmp (one->name, other->name) && !strcmp (one->listen, other->listen)
           && !strcmp (one->peers, other->peers) && !strcmp (one->order, other->order)
           && !strcmp (one->note, other->note) && one->level == other->level
           && one->wait_ms == other->wait_ms && one->spin_us == other->spin_us
           && one->percent == other->percent && one->port == other->port && one->fast == other->fast
           && one->bytes == other->bytes && one->count == other->count;
}

static unsigned s_seed;
static char *s_no_env[] = { NULL };

//  Read a text as a file over the defaults. Returns what the call did; error gets what it said.
static int s_read_text (const char *text, size_t size, set_t *set, char *error)
{
    *set = s_defaults;
    umbp_config_t *config = umbp_config_new ("umbp-test", s_table, SETTINGS, set);
    int rc = umbp_config_read_text (config, "test.conf", text, size);
    strcpy (error, umbp_config_error (config));
    umbp_config_destroy (&config);
    CU_ASSERT (config == NULL);
    return rc;
}

//  Write a temporary file. Returns its name, to be freed and removed by s_forget.
static char *s_file (const char *text)
{
    char *name = strdup ("/tmp/umbp-test-config-XXXXXX");
    int fd = mkstemp (name);
    CU_ASSERT_FATAL (fd != -1 && write (fd, text, strlen (text)) == (ssize_t) strlen (text));
    close (fd);
    return name;
}

static void s_forget (char *name)
{
    unlink (name);
    free (name);
}

static void test_units (void)
{
    static const struct { const char *text; uint64_t value; } fine[] = {
        { "0", 0 }, { "1", 1 }, { "64KiB", 65536 }, { "64 kib", 65536 }, { "64k", 65536 },
        { "1.5GiB", UINT64_C (3) << 29 }, { "3M", 3 << 20 }, { "16TiB", UINT64_C (1) << 44 },
        { "18446744073709551615", UINT64_MAX }, { "7 B", 7 }, { "0.5k", 512 },
    };
    static const char *const bad[] = {
        "",
        " 1",
        "1 2",
        "4Gb",
        "4GB",
        "-1",
        "+1",
        "1e3",
        "1.GiB",
        ".5k",
        "1.3B",
        "0x10",
        "KiB",
        "18446744073709551616",
        "16777216TiB",
        "1,5k",
        "1 KiB x",
        "0.12345678901k",
    };
    uint64_t value;
    for (size_t index = 0; index < sizeof fine / sizeof *fine; index++) {
        CU_ASSERT (umbp_units_read_bytes (fine[index].text, &value) == 0);
        CU_ASSERT (value == fine[index].value);
    }
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++)
        CU_ASSERT (umbp_units_read_bytes (bad[index], &value) == UMBP_EINVAL);
    CU_ASSERT (umbp_units_read_ms ("2m", &value) == 0 && value == 120000);
    CU_ASSERT (umbp_units_read_ms ("0.25s", &value) == 0 && value == 250);
    CU_ASSERT (umbp_units_read_ms ("5us", &value) == UMBP_EINVAL);
    CU_ASSERT (umbp_units_read_us ("1.5ms", &value) == 0 && value == 1500);
    CU_ASSERT (umbp_units_read_count ("12", &value) == 0 && value == 12);
    CU_ASSERT (umbp_units_read_count ("12k", &value) == UMBP_EINVAL);
}

static void test_units_come_back (void)
{
    char text[UMBP_UNITS_ROOM];
    uint64_t value;
    for (int round = 0; round < 20000; round++) {
        uint64_t number =
            ((uint64_t) (unsigned) rand () << 32 | (unsigned) rand ()) >> rand () % 64;
        number = number << rand () % 20 >> rand () % 20;
        CU_ASSERT (umbp_units_read_bytes (umbp_units_write_bytes (number, text), &value) == 0);
        CU_ASSERT (value == number);
        CU_ASSERT (umbp_units_read_ms (umbp_units_write_ms (number, text), &value) == 0);
        CU_ASSERT (value == number);
        CU_ASSERT (umbp_units_read_us (umbp_units_write_us (number, text), &value) == 0);
        CU_ASSERT (value == number);
    }
}

static void test_units_for_people (void)
{
    char text[UMBP_UNITS_ROOM];
    CU_ASSERT_STRING_EQUAL (umbp_units_show_bytes (0, text), "0 B");
    CU_ASSERT_STRING_EQUAL (umbp_units_show_bytes (1023, text), "1023 B");
    CU_ASSERT_STRING_EQUAL (umbp_units_show_bytes (1536, text), "1.50 KiB");
    CU_ASSERT_STRING_EQUAL (umbp_units_show_bytes (1048575, text), "1.00 MiB");
    CU_ASSERT_STRING_EQUAL (umbp_units_show_bytes (UINT64_C (123) << 30, text), "123 GiB");
    CU_ASSERT_STRING_EQUAL (umbp_units_show_bytes (UINT64_MAX, text), "16.0 EiB");
    CU_ASSERT_STRING_EQUAL (umbp_units_show_count (7, text), "7");
    CU_ASSERT_STRING_EQUAL (umbp_units_show_count (1000, text), "1,000");
    CU_ASSERT_STRING_EQUAL (umbp_units_show_count (UINT64_MAX, text), "18,446,744,073,709,551,615");
    CU_ASSERT_STRING_EQUAL (umbp_units_show_ms (999, text), "999 ms");
    CU_ASSERT_STRING_EQUAL (umbp_units_show_ms (1250, text), "1.2 s");
    CU_ASSERT_STRING_EQUAL (umbp_units_show_ms (61000, text), "1 m 01 s");
}

static void test_suggest (void)
{
    CU_ASSERT (umbp_suggest_distance ("status", "status") == 0);
    CU_ASSERT (umbp_suggest_distance ("stauts", "status") == 2);
    CU_ASSERT (umbp_suggest_distance ("dram/capcity", "dram/capacity") == 1);
    CU_ASSERT (umbp_suggest_distance ("", "a") == 1);
    CU_ASSERT (umbp_suggest_distance ("xyz", "status") == SIZE_MAX);
    char long_word[200];
    memset (long_word, 'a', sizeof long_word);
    long_word[sizeof long_word - 1] = 0;
    CU_ASSERT (umbp_suggest_distance (long_word, long_word) == SIZE_MAX);
}

static void test_reads_a_file (void)
{
    static const char text[] = "#  A comment\n"
                               "\n"
                               "node                            #  and another\r\n"
                               "    name = node-1\r\n"
                               "    listen = tcp://*:*          #  any\n"
                               "    peers = \"tcp://a:1,tcp://[::1]:2\"\n"
                               "    note = 'say \"x # y\"'  # quoted\n"
                               "    level = HIGH\n"
                               "dram\n"
                               "    capacity = 1.5GiB\n"
                               "    huge_pages = on\n"
                               "#\n"
                               "    order = Best\n"
                               "time\n"
                               "    wait = 2s\n"
                               "    spin = 0\n"
                               "mark\n"
                               "    high = 75%\n"
                               "    count = 12\n"
                               "    port = 80";
    set_t set;
    char error[1024];
    CU_ASSERT (s_read_text (text, sizeof text - 1, &set, error) == 0);
    CU_ASSERT_STRING_EQUAL (error, "");
    CU_ASSERT_STRING_EQUAL (set.name, "node-1");
    CU_ASSERT_STRING_EQUAL (set.listen, "tcp://*:*");
    CU_ASSERT_STRING_EQUAL (set.peers, "tcp://a:1,tcp://[::1]:2");
    CU_ASSERT_STRING_EQUAL (set.note, "say \"x # y\"");
    CU_ASSERT_STRING_EQUAL (set.order, "best");
    CU_ASSERT (set.level == 2 && set.bytes == UINT64_C (3) << 29 && set.fast);
    CU_ASSERT (set.wait_ms == 2000 && set.spin_us == 0 && set.percent == 75);
    CU_ASSERT (set.count == 12 && set.port == 80);
    CU_ASSERT (s_read_text ("", 0, &set, error) == 0);
    CU_ASSERT (s_same (&set, &s_defaults));
}

//  What is refused in a file, and how
static const struct { const char *text, *error; } s_refused[] = {
    { "dram\n    capacity = 4Gb\n",
      "test.conf:2: dram/capacity = 4Gb: not a size; allowed: 1MiB..16TiB, like 512MiB or 4GiB" },
    { "dram\n    capacity = 1k\n",
      "test.conf:2: dram/capacity = 1k: too small; allowed: 1MiB..16TiB, like 512MiB or 4GiB" },
    { "dram\n    capacity = 17TiB\n",
      "test.conf:2: dram/capacity = 17TiB: too large; allowed: 1MiB..16TiB, like 512MiB or 4GiB" },
    { "dram\n    capacity =\n",
      "test.conf:2: dram/capacity = : not a size; allowed: 1MiB..16TiB, like 512MiB or 4GiB" },
    { "\n#\ndram\n\n    capcity = 4GiB\n",
      "test.conf:5: dram/capcity: unknown key, did you mean dram/capacity?" },
    { "dram\n    zzz = 1\n",
      "test.conf:2: dram/zzz: unknown key; allowed in dram: capacity, huge_pages, order" },
    { "drum\n", "test.conf:1: drum: unknown section, did you mean dram?; "
                "allowed: node, dram, time, mark" },
    { "other\n", "test.conf:1: other: unknown section; allowed: node, dram, time, mark" },
    { "dram = 5\n", "test.conf:1: dram: a section has no value; its keys follow on lines of their "
                    "own, indented by 4 spaces" },
    { "dram\n    order = best\ntime\ndram\n    order = first\n",
      "test.conf:5: dram/order: stands here for the second time, first on line 2; remove one" },
    { "dram\n    order = worst\n",
      "test.conf:2: dram/order = worst: not one of the choices; allowed: first, best" },
    { "dram\n    huge_pages = maybe\n",
      "test.conf:2: dram/huge_pages = maybe: not yes or no; allowed: yes or no" },
    { "node\n    name = a b\n",
      "test.conf:2: node/name = a b: not a name; allowed: 1..16 of A-Z a-z 0-9 . _ -" },
    { "node\n    name = \"\"\n",
      "test.conf:2: node/name = : nothing; allowed: 1..16 of A-Z a-z 0-9 . _ -" },
    { "node\n    name = abcdefghijklmnopq\n",
      "test.conf:2: node/name = abcdefghijklmnopq: too long; "
      "allowed: 1..16 of A-Z a-z 0-9 . _ -" },
    { "node\n    peers = tcp://a:1,,tcp://b:2\n",
      "test.conf:2: node/peers = tcp://a:1,,tcp://b:2: not a list of endpoints; "
      "allowed: tcp://HOST:PORT,..., or nothing" },
    { "node\n    listen = tcp://a:70000\n",
      "test.conf:2: node/listen = tcp://a:70000: not an endpoint; "
      "allowed: tcp://HOST:PORT, where * as PORT takes any free one" },
    { "node\n    peers = tcp://a:*\n",
      "test.conf:2: node/peers = tcp://a:*: not a list of endpoints; "
      "allowed: tcp://HOST:PORT,..., or nothing" },
    { "mark\n    high = 101\n",
      "test.conf:2: mark/high = 101: too large; allowed: 1%..100%, like 90%" },
    { "time\n    wait = 5\n",
      "test.conf:2: time/wait = 5: too small; allowed: 10ms..1m, like 250ms, 5s or 2m" },
    { "mark\n    count = 1k\n", "test.conf:2: mark/count = 1k: not a count; allowed: 1..4096" },
    { "    name = a\n", "test.conf:1: name = a: a key before the first section" },
    { "node\n  name = a\n", "test.conf:2: name = a: indented by other than 4 spaces" },
    { "node\n        name = a\n",
      "test.conf:2: name = a: indented too deep; allowed: 4 spaces below a section" },
    { "node\n\tname = a\n", "test.conf:2: \tname = a: a tab; allowed: 4 spaces" },
    { "node\n    name = \"a\n", "test.conf:2: name = \"a: a quote is not closed" },
    { "node\n    name = \"a\" b\n", "test.conf:2: name = \"a\" b: text after a quoted value; "
                                    "allowed: a comment after #" },
    { "node\n    name a\n", "test.conf:2: name a: text after a name; "
                            "allowed: KEY = VALUE, or a comment after #" },
    { "node\n    name = # a\n", "test.conf:2: name = # a: no value; "
                                "allowed: KEY = VALUE, where \"\" is an empty one" },
    { "node\n    = a\n", "test.conf:2: = a: not a line of ZPL; "
                         "allowed: SECTION, or below one KEY = VALUE after 4 spaces" },
    { "node\n    name =\r\"a\n", "test.conf:2: name =\r\"a: a control character" },
    { "node/\n", "test.conf:1: node/: a name begins and ends with a letter or digit" },
};

static void test_refuses (void)
{
    for (size_t index = 0; index < sizeof s_refused / sizeof *s_refused; index++) {
        set_t set;
        char error[1024];
        const char *text = s_refused[index].text;
        CU_ASSERT (s_read_text (text, strlen (text), &set, error) == UMBP_EINVAL);
        CU_ASSERT_STRING_EQUAL (error, s_refused[index].error);
        if (strcmp (error, s_refused[index].error) != 0)
            printf ("\n%s\n", error);
    }
}

static void test_refuses_what_is_no_text (void)
{
    set_t set;
    char error[1024], line[2000];
    CU_ASSERT (s_read_text ("node\n    na\0me = a\n", 20, &set, error) == UMBP_EINVAL);
    CU_ASSERT_STRING_EQUAL (error, "test.conf:2: a NUL byte, this is no text file");
    memset (line, '#', sizeof line);
    CU_ASSERT (s_read_text (line, 1024, &set, error) == 0);
    CU_ASSERT (s_read_text (line, 1025, &set, error) == UMBP_EINVAL);
    CU_ASSERT_STRING_EQUAL (error, "test.conf:1: more than 1024 bytes in a line");
}

//  Whatever the bytes: an error with a reason, or settings within their ranges
static void test_survives_any_bytes (void)
{
    static const char *const pieces[] = {
        "node", "dram", " ", "\n", " = ", "name", "capacity",
        "1GiB", "\"", "'", "#", "\t", "=", "listen",
        "tcp://a:1", ",", "peers", "order", "best", "/", "99999999999999999999",
        "\r",
    };
    for (int round = 0; round < 20000; round++) {
        char text[400], error[1024];
        size_t size = 0;
        for (int left = rand () % 20; left > 0; left--) {
            const char *piece = pieces[(size_t) rand () % (sizeof pieces / sizeof *pieces)];
            char byte[2] = { (char) rand (), 0 };
            if (rand () % 10 == 0)
                piece = byte;
            while (*piece)
                text[size++] = *piece++;
        }
        set_t set;
        int rc = s_read_text (text, size, &set, error);
        CU_ASSERT (rc == 0 ? !*error : rc == UMBP_EINVAL && *error);
        CU_ASSERT (rc != 0 || (set.bytes >= 1 << 20 && *set.name && *set.listen));
    }
}

static void test_flag_before_env_before_file (void)
{
    char *name = s_file ("node\n    name = file\ndram\n    capacity = 2MiB\nmark\n    count = 2\n");
    char config_flag[128];
    snprintf (config_flag, sizeof config_flag, "--config=%s", name);
    char *argv[] = { "umbp-test", config_flag, "--mark-count", "4", "--dram-huge-pages",
                     "--node-name=arg", NULL };
    char *env[] = { "PATH=/bin", "UMBP_DRAM_CAPACITY=3MiB", "UMBP_MARK_COUNT=3", "UMBP_BUILD=x",
                    NULL };
    set_t set = s_defaults;
    umbp_config_t *config = umbp_config_new ("umbp-test", s_table, SETTINGS, &set);
    CU_ASSERT (umbp_config_read (config, 6, argv, env) == 0);
    CU_ASSERT (umbp_config_todo (config) == UMBP_TODO_RUN);
    CU_ASSERT_STRING_EQUAL (set.name, "arg");
    CU_ASSERT (set.bytes == 3 << 20 && set.count == 4 && set.fast && set.wait_ms == 500);
    umbp_config_destroy (&config);

    char variable[128];
    snprintf (variable, sizeof variable, "UMBP_CONFIG=%s", name);
    char *config_env[] = { variable, NULL };
    set = s_defaults;
    config = umbp_config_new ("umbp-test", s_table, SETTINGS, &set);
    CU_ASSERT (umbp_config_read (config, 1, argv, config_env) == 0);
    CU_ASSERT (set.count == 2);
    umbp_config_destroy (&config);
    s_forget (name);
}

//  What print writes, read back, is the same again
static void test_print_comes_back (void)
{
    char *argv[] = { "umbp-test",
                     "--print-config",
                     "--node-note",
                     "it's # \t",
                     "--node-peers",
                     "tcp://host-number-one:7710,tcp://host-number-two:7710",
                     "--time-wait=90s",
                     "--dram-order=best",
                     NULL };
    char *env[] = { "UMBP_NODE_LEVEL=high", NULL };
    set_t set = s_defaults, back;
    umbp_config_t *config = umbp_config_new ("umbp-test", s_table, SETTINGS, &set);
    CU_ASSERT (umbp_config_read (config, 8, argv, env) == UMBP_EINVAL);     //  A tab
    argv[3] = "it's # it";
    argv[6] = "--time-wait=45s";
    umbp_config_destroy (&config);
    set = s_defaults;
    config = umbp_config_new ("umbp-test", s_table, SETTINGS, &set);
    CU_ASSERT (umbp_config_read (config, 8, argv, env) == 0);
    CU_ASSERT (umbp_config_todo (config) == UMBP_TODO_PRINT);

    char *text = NULL, error[1024];
    size_t size = 0;
    FILE *out = open_memstream (&text, &size);
    umbp_config_print (config, out);
    fclose (out);
    CU_ASSERT (s_read_text (text, size, &back, error) == 0);
    CU_ASSERT (s_same (&set, &back));
    CU_ASSERT (strstr (text, "    note           = \"it's # it\"") != NULL);
    CU_ASSERT (strstr (text, "#  --node-note\n") != NULL);
    CU_ASSERT (strstr (text, "    #  --node-peers\n") != NULL);
    CU_ASSERT (strstr (text, "#  UMBP_NODE_LEVEL\n") != NULL);
    CU_ASSERT (strstr (text, "#  default\n") != NULL);
    free (text);
    umbp_config_destroy (&config);
}

static void test_refuses_arguments (void)
{
    static const struct { const char *flag, *value, *error; } refused[] = {
        { "--dram-capcity", "4GiB", "--dram-capcity: unknown flag, did you mean --dram-capacity?; "
          "umbp-test --help lists them" },
        { "--zz", NULL, "--zz: unknown flag; umbp-test --help lists them" },
        { "node", NULL, "node: not a flag; umbp-test --help lists them" },
        { "-x", NULL, "-x: not a flag; umbp-test --help lists them" },
        { "--dram-capacity", NULL, "--dram-capacity: its value is missing" },
        { "--config", NULL, "--config: its value is missing" },
        { "--help=yes", NULL, "--help: takes no value" },
        { "--dram-huge-pages=2", NULL,
          "--dram-huge-pages 2: not yes or no; allowed: yes or no" },
        { "--config", "/no/such/file",
          "/no/such/file: cannot be read: No such file or directory" },
        { "--config", "/tmp", "/tmp: cannot be read: Is a directory" },
    };
    for (size_t index = 0; index < sizeof refused / sizeof *refused; index++) {
        char *argv[] = { "umbp-test", (char *) refused[index].flag, (char *) refused[index].value,
                         NULL };
        set_t set = s_defaults;
        umbp_config_t *config = umbp_config_new ("umbp-test", s_table, SETTINGS, &set);
        CU_ASSERT (umbp_config_read (config, argv[2] ? 3 : 2, argv, s_no_env) < 0);
        CU_ASSERT_STRING_EQUAL (umbp_config_error (config), refused[index].error);
        umbp_config_destroy (&config);
    }
}

static void test_refuses_environment (void)
{
    static const struct { const char *variable, *error; } refused[] = {
        { "UMBP_DRAM_CAPACTY=1GiB", "UMBP_DRAM_CAPACTY in the environment: unknown, "
                                    "did you mean UMBP_DRAM_CAPACITY?" },
        { "UMBP_MARK_PORT=x",
          "UMBP_MARK_PORT=x in the environment: not a port; allowed: 0..65535" },
        { "UMBP_NODE_NOTE=a\nb", "UMBP_NODE_NOTE=a\nb in the environment: not a text; "
                                 "allowed: 0..39 bytes, not both kinds of quotes" },
    };
    for (size_t index = 0; index < sizeof refused / sizeof *refused; index++) {
        char *argv[] = { "umbp-test", NULL }, *env[] = { (char *) refused[index].variable, NULL };
        set_t set = s_defaults;
        umbp_config_t *config = umbp_config_new ("umbp-test", s_table, SETTINGS, &set);
        CU_ASSERT (umbp_config_read (config, 1, argv, env) == UMBP_EINVAL);
        CU_ASSERT_STRING_EQUAL (umbp_config_error (config), refused[index].error);
        umbp_config_destroy (&config);
    }
}

static void test_help_and_version (void)
{
    static const struct { const char *flag; umbp_config_todo_t todo; } asked[] = {
        { "--help", UMBP_TODO_HELP }, { "--version", UMBP_TODO_VERSION },
        { "--check-config", UMBP_TODO_CHECK }, { "--print-config", UMBP_TODO_PRINT },
    };
    for (size_t index = 0; index < sizeof asked / sizeof *asked; index++) {
        char *argv[] = { "umbp-test", (char *) asked[index].flag, NULL };
        set_t set = s_defaults;
        umbp_config_t *config = umbp_config_new ("umbp-test", s_table, SETTINGS, &set);
        CU_ASSERT (umbp_config_read (config, 2, argv, s_no_env) == 0);
        CU_ASSERT (umbp_config_todo (config) == asked[index].todo);
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream (&text, &size);
        umbp_config_help (config, out);
        fclose (out);
        CU_ASSERT (strstr (text, "  --dram-capacity SIZE\n        memory\n"
                                 "        1MiB..16TiB, like 512MiB or 4GiB [1GiB]\n")
                   != NULL);
        CU_ASSERT (strstr (text, "  --mark-port PORT\n") != NULL);
        free (text);
        umbp_config_destroy (&config);
    }
}

//  What only all settings together show is put down to the first that is named
static void test_blames (void)
{
    static const char text[] = "node\n    name = a\ntime\n    wait = 5s\n";
    set_t set = s_defaults;
    umbp_config_t *config = umbp_config_new ("umbp-test", s_table, SETTINGS, &set);
    CU_ASSERT (umbp_config_read_text (config, "test.conf", text, sizeof text - 1) == 0);
    CU_ASSERT_STRING_EQUAL (umbp_config_blame (config, "wait_ms, level: too much"),
                            "test.conf:4: time/wait: too much");
    CU_ASSERT_STRING_EQUAL (umbp_config_blame (config, "count: too many"),
                            "default: mark/count: too many");
    CU_ASSERT_STRING_EQUAL (umbp_config_blame (config, "nobody: is wrong"), "nobody: is wrong");
    umbp_config_destroy (&config);
}

//  Every member of a node's options has one setting, of its size; what is left over is padding
static void test_node_settings_are_complete (void)
{
    size_t count;
    const umbp_setting_t *settings = umbp_node_settings (&count);
    unsigned char used[sizeof (umbp_node_options_t)] = { 0 };
    for (size_t index = 0; index < count; index++) {
        CU_ASSERT_FATAL (settings[index].offset + settings[index].size <= sizeof used);
        for (size_t at = 0; at < settings[index].size; at++)
            CU_ASSERT (used[settings[index].offset + at]++ == 0);
        bool text = settings[index].kind <= UMBP_SETTING_NAME;
        CU_ASSERT (!text || settings[index].high < settings[index].size);
    }
    size_t gap = 0;
    for (size_t at = 0; at < sizeof used; at++) {
        gap = used[at] ? 0 : gap + 1;
        CU_ASSERT (gap < sizeof (uint64_t));
    }
}

//  The text that a configuration prints, without where it comes from; to be freed
static char *s_print (const umbp_config_t *config)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream (&text, &size);
    umbp_config_print (config, out);
    fclose (out);
    char *to = text;
    for (const char *from = text; *from;)
        if (*from == '#')
            from += strcspn (from, "\n");
        else
            *to++ = *from++;
    *to = 0;
    return text;
}

//  The defaults are settings like any other: printed and read back, they are what they were
static void test_node_defaults (void)
{
    umbp_node_options_t options, back;
    umbp_node_options_init (&options);
    memset (&back, 0, sizeof back);
    size_t count;
    const umbp_setting_t *settings = umbp_node_settings (&count);
    umbp_config_t *config = umbp_config_new ("umbp-node", settings, count, &options);
    umbp_config_t *other = umbp_config_new ("umbp-node", settings, count, &back);
    char *text = s_print (config);
    CU_ASSERT (umbp_config_read_text (other, "defaults", text, strlen (text)) == 0);
    CU_ASSERT_STRING_EQUAL (umbp_config_error (other), "");
    char *again = s_print (other);
    CU_ASSERT_STRING_EQUAL (text, again);
    free (text);
    free (again);
    umbp_config_destroy (&config);
    umbp_config_destroy (&other);
}

//  What --check-config says of a node's file: "" if it is fine
static void s_check_node (const char *text, char *error, size_t size)
{
    umbp_node_options_t options;
    umbp_node_options_init (&options);
    size_t count;
    const umbp_setting_t *settings = umbp_node_settings (&count);
    umbp_config_t *config = umbp_config_new ("umbp-node", settings, count, &options);
    char why[512] = "";
    if (umbp_config_read_text (config, "node.conf", text, strlen (text)) == 0
        && umbp_node_options_check (&options, why, sizeof why) < 0)
        umbp_config_blame (config, why);
    snprintf (error, size, "%s", umbp_config_error (config));
    umbp_config_destroy (&config);
}

//  What would keep a node from starting is refused before, with the line and what is allowed
static void test_node_limits (void)
{
    static const struct { const char *text, *place, *allowed; } cases[] = {
        { "extkv\n    hashes = 268435456\n", NULL, NULL },
        { "extkv\n    hashes = 268435457\n", "node.conf:2: extkv/hashes", "268435456" },
        { "extkv\n    hashes = 4294967295\n", "node.conf:2: extkv/hashes", "268435456" },
        { "extkv\n    hashes = 0\n", "node.conf:2: extkv/hashes", "allowed: 1.." },
        { "index\n    keys = 4294967295\n", NULL, NULL },
        { "index\n    keys = 4294967296\n", "node.conf:2: index/keys", "4294967295" },
        { "dram\n    capacity = 8TiB\n    region = 1TiB\n    page = 4KiB\n", NULL, NULL },
        { "dram\n    capacity = 16TiB\n    region = 1TiB\n    page = 4KiB\n",
          "node.conf:4: dram/page", "4294901760 pages" },
        { "dram\n    capacity = 16TiB\n", "default: dram/region", "64 regions" },
        { "cluster\n    seeds = tcp://a:7710,tcp://*:7710\n", "node.conf:2: cluster/seeds",
          "tcp://host:port" },
        { "gossip\n    connect = tcp://0.0.0.0:7710\n", "node.conf:2: gossip/connect",
          "tcp://host:port" },
        { "node\n    id = a\n    run_dir = /tmp/a-folder-whose-name-is-longer-than-26-bytes\n",
          NULL, NULL },
    };
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
        char error[1024];
        s_check_node (cases[index].text, error, sizeof error);
        if (cases[index].place) {
            CU_ASSERT (strncmp (error, cases[index].place, strlen (cases[index].place)) == 0);
            CU_ASSERT (strstr (error, cases[index].allowed) != NULL);
        } else
            CU_ASSERT_STRING_EQUAL (error, "");
    }
}

int main (void)
{
    alarm (60);
    const char *given = getenv ("UMBP_SEED");
    s_seed = given ? (unsigned) strtoul (given, NULL, 10) : (unsigned) getpid ();
    printf ("seed %u (UMBP_SEED)\n", s_seed);
    srand (s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("config", NULL, NULL);
    CU_ADD_TEST (suite, test_units);
    CU_ADD_TEST (suite, test_units_come_back);
    CU_ADD_TEST (suite, test_units_for_people);
    CU_ADD_TEST (suite, test_suggest);
    CU_ADD_TEST (suite, test_reads_a_file);
    CU_ADD_TEST (suite, test_refuses);
    CU_ADD_TEST (suite, test_refuses_what_is_no_text);
    CU_ADD_TEST (suite, test_survives_any_bytes);
    CU_ADD_TEST (suite, test_flag_before_env_before_file);
    CU_ADD_TEST (suite, test_print_comes_back);
    CU_ADD_TEST (suite, test_refuses_arguments);
    CU_ADD_TEST (suite, test_refuses_environment);
    CU_ADD_TEST (suite, test_help_and_version);
    CU_ADD_TEST (suite, test_blames);
    CU_ADD_TEST (suite, test_node_settings_are_complete);
    CU_ADD_TEST (suite, test_node_defaults);
    CU_ADD_TEST (suite, test_node_limits);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_bench_options.c - the command line of umbp-bench
#include <CUnit/Basic.h>
#include <string.h>
#include <unistd.h>

#include "bin/bench_options.h"
#include "client/umbp.h"

#define ROOM 256

static int s_read (umbp_bench_options_t *options, const char *command, int argc, const char *one,
                   const char *two, char *error)
{
    char *argv[] = { (char *) one, (char *) two };
    CU_ASSERT_FATAL (umbp_bench_options_init (options, command) == 0);
    return umbp_bench_options_read (options, command, argc, argv, error, ROOM);
}

static void test_commands (void)
{
    static const char *const commands[] = { "put", "get", "exists", "mixed", "replay", "suite" };
    umbp_bench_options_t options;
    char error[ROOM];
    for (size_t index = 0; index < sizeof commands / sizeof *commands; index++)
        CU_ASSERT (s_read (&options, commands[index], 0, NULL, NULL, error) == 0);
    CU_ASSERT (umbp_bench_options_init (&options, "puts") == UMBP_EINVAL);
    CU_ASSERT (umbp_bench_options_init (&options, "") == UMBP_EINVAL);
}

static void test_values (void)
{
    umbp_bench_options_t options;
    char error[ROOM];
    CU_ASSERT (s_read (&options, "get", 2, "--block-bytes", "2MiB", error) == 0);
    CU_ASSERT (options.block_bytes == 2 << 20);
    CU_ASSERT (s_read (&options, "get", 1, "--seconds=250ms", NULL, error) == 0);
    CU_ASSERT (options.seconds_ms == 250);
    CU_ASSERT (s_read (&options, "get", 2, "--json", "--no-shm", error) == 0);
    CU_ASSERT (options.json && options.no_shm);
    CU_ASSERT (s_read (&options, "put", 2, "--strategy", "most_free", error) == 0);
    CU_ASSERT (umbp_bench_options_strategy (&options) == UMBP_STRATEGY_MOST_FREE);
    CU_ASSERT (s_read (&options, "replay", 2, "--trace", "a=b", error) == 0);
    CU_ASSERT_STRING_EQUAL (options.trace, "a=b");
    umbp_options_t how = { 0 };
    umbp_bench_options_copies (&options, &how);
    CU_ASSERT (how.copy_threads == 0 && how.tcp_streams == 0);
    CU_ASSERT (s_read (&options, "get", 2, "--copy-threads=0", "--tcp-streams=3", error) == 0);
    umbp_bench_options_copies (&options, &how);
    CU_ASSERT (how.copy_threads == UMBP_COPY_ALONE && how.tcp_streams == 3);
    CU_ASSERT (s_read (&options, "get", 2, "--copy-threads", "5", error) == 0);
    umbp_bench_options_copies (&options, &how);
    CU_ASSERT (how.copy_threads == 5 && how.tcp_streams == 0);
    CU_ASSERT (s_read (&options, "suite", 1, "--keys=5", NULL, error) == 0);
    CU_ASSERT (options.keys == 5);
}

//  Each is refused with its name
static void test_refused (void)
{
    static const struct {
        const char *command, *one, *two, *names;
    } rows[] = {
        { "get", "--batch", "0", "--batch" },
        { "get", "--batch", "1025", "1 to 1024" },
        { "get", "--batch", "many", "many" },
        { "get", "--batch", "-1", "--batch" },
        { "get", "--copy-threads", "17", "0 to 16" },
        { "get", "--tcp-streams", "0", "1 to 4" },
        { "get", "--block-bytes", "2GiB", "1GiB" },
        { "get", "--block-bytes=1GiB", "--batch=1024", "16GiB" },
        { "get", "--seconds", "2h", "--seconds" },
        { "get", "--json=yes", NULL, "takes no value" },
        { "get", "--batch", NULL, "needs a value" },
        { "get", "--clients", "3", "--clients" },
        { "get", "batch", "3", "batch" },
        { "get", "-", "3", "-" },
        { "get", "--", "3", "--" },
        { "get", "", "3", "no such option" },
        { "get", "--bat", "3", "--bat" },
        { "replay", "--threads", "3", "--threads" },
        { "replay", "--strategy", "best", "most_free" },
        { "suite", "--json", NULL, "--json" },
    };
    umbp_bench_options_t options;
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++) {
        char error[ROOM] = "";
        int argc = rows[index].two ? 2 : 1;
        CU_ASSERT (
            s_read (&options, rows[index].command, argc, rows[index].one, rows[index].two, error)
            == UMBP_EINVAL);
        CU_ASSERT (strstr (error, rows[index].names) != NULL);
    }
    char error[ROOM], text[UMBP_BENCH_TEXT + 1];
    memset (text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    CU_ASSERT (s_read (&options, "get", 2, "--endpoints", text, error) == UMBP_EINVAL);
    CU_ASSERT (s_read (&options, "get", 2, "--endpoints", text + 1, error) == 0);
}

static void test_endpoints (void)
{
    umbp_bench_options_t options;
    char error[ROOM], out[64];
    CU_ASSERT (s_read (&options, "get", 1, "--endpoints=a,b,c", NULL, error) == 0);
    static const char *const wanted[] = { "a", "b", "c", "a", "b" };
    for (size_t number = 0; number < sizeof wanted / sizeof *wanted; number++)
        CU_ASSERT_STRING_EQUAL (umbp_bench_options_endpoint (&options, number, out, sizeof out),
                                wanted[number]);
    CU_ASSERT (s_read (&options, "get", 0, NULL, NULL, error) == 0);
    CU_ASSERT_STRING_EQUAL (umbp_bench_options_endpoint (&options, 7, out, sizeof out), "");
}

int main (void)
{
    alarm (30);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bench_options", NULL, NULL);
    CU_ADD_TEST (suite, test_commands);
    CU_ADD_TEST (suite, test_values);
    CU_ADD_TEST (suite, test_refused);
    CU_ADD_TEST (suite, test_endpoints);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

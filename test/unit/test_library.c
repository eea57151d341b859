//  test/unit/test_library.c - accelerator libraries of all generations, and what must be refused.
//  The libraries are real ones, of test/accel/fixture.c.
#include "accel/library.h"

#include <czmq.h>
#include <pthread.h>

#include "accel/abi.h"
#include "accel/layout.h"
#include "test/unit/accel.h"

static umbp_device_t s_devices[UMBP_DEVICES_MAX];
static umbp_device_metrics_t s_metrics[UMBP_DEVICES_MAX];
static umbp_device_process_t s_processes[UMBP_PROCESSES_MAX];
static umbp_device_peer_t s_peers[UMBP_DEVICE_PEERS_MAX];
static char s_why[UMBP_LIBRARY_WHY_MAX];
static size_t s_left_out;

static umbp_library_t *s_open (const char *name)
{
    umbp_library_t *library = umbp_library_open (FIXTURE (name), s_why);
    if (!library)
        printf ("%s: %s\n", name, s_why);
    CU_ASSERT_PTR_NOT_NULL_FATAL (library);
    return library;
}

static int s_look (umbp_library_t *library)
{
    return umbp_library_devices (library, s_devices, &s_left_out, s_why);
}

//  ABI-06, ABI-03: one library per layout, with the names of its time, read alike
static void test_generations_are_alike (void)
{
    static const struct {
        const char *name;
        unsigned generation;
    } rows[] = { { "gen1", 1 }, { "gen2", 2 }, { "gen3", 3 }, { "gen4", 4 }, { "gen5", 5 } };
    umbp_device_t first = { .index = 0 };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        umbp_library_t *library = s_open (rows[row].name);
        CU_ASSERT (umbp_library_generation (library) == 0);      //  Nothing was asked yet
        CU_ASSERT (s_look (library) == 4);
        CU_ASSERT (umbp_library_generation (library) == rows[row].generation);
        if (row == 0)
            first = s_devices[1];
        CU_ASSERT (memcmp (&first, &s_devices[1], sizeof first) == 0);
        CU_ASSERT (umbp_library_metrics (library, s_devices, 4, s_metrics) == 4);
        CU_ASSERT (s_metrics[3].known && s_metrics[3].memory_used_bytes == UINT64_C (4) << 30);
        CU_ASSERT (s_metrics[3].extra_count == 1);
        CU_ASSERT (umbp_library_processes (library, s_processes) == 1);
        CU_ASSERT (s_processes[0].pid == 4242);
        CU_ASSERT_STRING_EQUAL (s_processes[0].key, s_devices[0].key);
        umbp_library_close (&library);
    }
    CU_ASSERT_STRING_EQUAL (first.uuid, "Fixture-Device-1");
    CU_ASSERT_STRING_EQUAL (first.key, "fixture-device-1");
    CU_ASSERT_STRING_EQUAL (first.driver, "1.0.0-fixture");
    CU_ASSERT_STRING_EQUAL (first.firmware, "2.0.0-fixture");
    CU_ASSERT (first.numa == 1 && first.index == 1 && first.memory_bytes == UINT64_C (16) << 30);
    CU_ASSERT (first.units == 108 && first.gflops == 312000 && first.pcie_gen == 4);
    CU_ASSERT (first.caps == (1 | 2 | 4 | 16));
    CU_ASSERT (first.partitions_max == 7 && first.workers_max == 16);
    CU_ASSERT (first.property_count == 2);
    CU_ASSERT_STRING_EQUAL (first.properties[1].value, "STUB");
}

//  ABI-05
static void test_counts (void)
{
    static const struct {
        const char *count;
        int found;
        size_t left_out;
    } rows[] = { { "0", 0, 0 }, { "1", 1, 0 }, { "4", 4, 0 }, { "64", 64, 0 }, { "65", 64, 1 } };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        umbp_library_t *library = s_open ("gen5");
        setenv ("FIXTURE_COUNT", rows[row].count, 1);
        CU_ASSERT (s_look (library) == rows[row].found);
        CU_ASSERT (s_left_out == rows[row].left_out);
        umbp_library_close (&library);
    }
    //  Identified once the first appears
    umbp_library_t *library = s_open ("gen4");
    setenv ("FIXTURE_COUNT", "0", 1);
    CU_ASSERT (s_look (library) == 0 && umbp_library_generation (library) == 0);
    setenv ("FIXTURE_COUNT", "3", 1);
    CU_ASSERT (s_look (library) == 3 && umbp_library_generation (library) == 4);
    umbp_library_close (&library);
    unsetenv ("FIXTURE_COUNT");
}

//  ABI-07
static void test_what_is_strange_is_refused (void)
{
    static const struct {
        const char *name;
        int rc;
        const char *says;
    } rows[] = {
        { "strange", UMBP_ENOTSUP, "it wrote 20980 bytes for one device" },
        { "mixed", UMBP_ENOTSUP, "20976 bytes do not go with its names" },
        { "overrun", UMBP_EINVAL, "it wrote 104880 bytes for 4 devices of 20976 each" },
        { "insane", UMBP_EINVAL, "uuid is empty, too long or not printable" },
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        umbp_library_t *library = s_open (rows[row].name);
        CU_ASSERT (s_look (library) == rows[row].rc);
        if (!strstr (s_why, rows[row].says))
            printf ("%s says: %s\n", rows[row].name, s_why);
        CU_ASSERT_PTR_NOT_NULL (strstr (s_why, rows[row].says));
        CU_ASSERT_PTR_NOT_NULL (strstr (s_why, rows[row].name));         //  Which library
        umbp_library_close (&library);
    }
}

static void test_what_cannot_be_used (void)
{
    CU_ASSERT_PTR_NULL (umbp_library_open (FIXTURE ("bare"), s_why));
    CU_ASSERT_PTR_NOT_NULL (strstr (s_why, "lacks GetProcessInformation"));
    CU_ASSERT_PTR_NULL (umbp_library_open (FIXTURE ("sick"), s_why));
    CU_ASSERT_PTR_NOT_NULL (strstr (s_why, "its Init answers 5"));
    CU_ASSERT_PTR_NULL (umbp_library_open (VENDOR ("cuda"), s_why));
    CU_ASSERT_PTR_NOT_NULL (strstr (s_why, "is no accelerator library"));
    CU_ASSERT_PTR_NULL (umbp_library_open ("/nowhere/lib.so", s_why));
    CU_ASSERT_PTR_NOT_NULL (strstr (s_why, "/nowhere/lib.so"));
}

//  ABI-07, defect 13: nodes of 72 and of 80 bytes are told apart, and what is neither is dropped
static void test_topologies (void)
{
    static const char *const names[] = { "gen2", "gen3", "gen4", "gen5", "wide" };
    for (size_t row = 0; row < sizeof names / sizeof *names; row++) {
        umbp_library_t *library = s_open (names[row]);
        CU_ASSERT (s_look (library) == 4);
        int peers = umbp_library_topology (library, s_devices, 4, s_peers, s_why);
        CU_ASSERT (peers == 12);
        for (int peer = 0; peer < peers; peer++) {
            int one = s_peers[peer].one[15] - '0', other = s_peers[peer].other[15] - '0';
            CU_ASSERT (s_peers[peer].level == (one % 2 == other % 2 ? 4 : 5));
        }
        umbp_library_close (&library);
    }
    umbp_library_t *library = s_open ("garbled");
    CU_ASSERT (s_look (library) == 4);
    CU_ASSERT (umbp_library_topology (library, s_devices, 4, s_peers, s_why) == UMBP_EINVAL);
    CU_ASSERT (s_look (library) == 4);  //  And the devices stay
    umbp_library_close (&library);
    library = s_open ("gen1");
    CU_ASSERT (s_look (library) == 4);
    CU_ASSERT (umbp_library_topology (library, s_devices, 4, s_peers, s_why) == UMBP_ENOTSUP);
    umbp_library_close (&library);
}

//  Whatever bytes lie there: a topology is read or dropped, and what is read names devices we have
static void test_random_topologies (void)
{
    unsigned seed = (unsigned) time (NULL) ^ (unsigned) getpid ();
    static uint8_t buffer[400000];
    printf ("[seed=%u] ", seed);
    srandom (seed);
    umbp_library_t *library = s_open ("gen5");
    int devices = s_look (library);
    for (int round = 0; round < 200; round++) {
        size_t size = round % 2 ? sizeof (umbp_abi_topology_t) : sizeof (umbp_abi_wide_topology_t);
        memset (buffer, UMBP_LAYOUT_BLANK, sizeof buffer);
        memset (buffer, 0, size);
        for (int at = 0; at < 64; at++)
            buffer[(size_t) random () % size] = (uint8_t) random ();
        if (round % 3 == 0)
            memcpy (buffer, s_devices[0].uuid, 64);
        size_t count = (size_t) random () % 4;
        memcpy (buffer + size - 8, &count, 8);
        char why[UMBP_LAYOUT_WHY_MAX];
        int peers = umbp_layout_topology (buffer, sizeof buffer, s_devices, (size_t) devices,
                                          s_peers, UMBP_DEVICE_PEERS_MAX, why);
        for (int peer = 0; peer < peers; peer++)
            CU_ASSERT (strncmp (s_peers[peer].one, "fixture-device-", 15) == 0
                       && strncmp (s_peers[peer].other, "fixture-device-", 15) == 0);
    }
    umbp_library_close (&library);
}

//  Each check of a record fails on its own
static void test_insane_records (void)
{
    static umbp_abi_device5_t good, bad;
    umbp_device_t device;
    char why[UMBP_LAYOUT_WHY_MAX];
    snprintf (good.basic.uuid, 64, "one");
    good.basic.memory_bytes = 1 << 20;
    CU_ASSERT (umbp_layout_device (sizeof good, &good, &device, why) == 0);
#define INSANE(change)                                                                             \
    bad = good;                                                                                    \
    bad.change;                                                                                    \
    CU_ASSERT (umbp_layout_device (sizeof bad, &bad, &device, why) == UMBP_EINVAL)
    INSANE (basic.uuid[0] = 0);
    INSANE (basic.vendor[3] = (char) 0xff;
            bad.basic.vendor[0] = bad.basic.vendor[1] = bad.basic.vendor[2] = 'v');
    INSANE (basic.numa = -2);
    INSANE (basic.numa = 1024);
    INSANE (basic.memory_bytes = (1 << 20) - 1);
    INSANE (basic.memory_bytes = (UINT64_C (64) << 40) + 1);
    INSANE (basic.pcie_gen = 9);
    INSANE (basic.tflops = -1);
    INSANE (basic.tflops = 0.0 / (bad.basic.index + 0.0));
    INSANE (properties.count = 65);
    memset (&bad, 'x', sizeof bad);     //  No text ends anywhere
    CU_ASSERT (umbp_layout_device (sizeof bad, &bad, &device, why) == UMBP_EINVAL);
}

//  ABI-04: Init first, Shutdown last; what it logs is ours to see
static void test_order_of_calls (void)
{
    uint64_t before, after, hidden;
    void *handle = accel_load (FIXTURE ("gen3"));
    char *calls = dlsym (handle, "fixture_calls");
    memset (calls, 0, 256);
    umbp_library_lines (&before, &hidden);
    umbp_library_t *library = s_open ("gen3");
    s_look (library);
    umbp_library_close (&library);
    umbp_library_lines (&after, &hidden);
    CU_ASSERT_STRING_EQUAL (calls, "ILCDDLS");
    CU_ASSERT (after == before + 1);
}

//  ABI-04: a library that chatters is cut short
static void test_chatter (void)
{
    uint64_t before, after, hidden_before, hidden_after;
    umbp_library_lines (&before, &hidden_before);
    int64_t start = zclock_mono ();
    for (int round = 0; round < 300; round++) {
        umbp_library_t *library = s_open ("gen5");
        umbp_library_close (&library);
    }
    umbp_library_lines (&after, &hidden_after);
    CU_ASSERT (after - before == 300);
    //  50 in each 10 s that we touched, however slow we are
    uint64_t windows = (uint64_t) (zclock_mono () - start) / 10000 + 2;
    CU_ASSERT (300 - (hidden_after - hidden_before) <= 50 * windows);
}

//  ABI-23: a hundred times, and it is never unmapped
static void test_open_and_close (void)
{
    void *handle = accel_load (FIXTURE ("wide"));
    void *symbol = dlsym (handle, "AccelInit");
    for (int round = 0; round < 100; round++) {
        umbp_library_t *library = s_open ("wide");
        CU_ASSERT (s_look (library) == 4);
        umbp_library_close (&library);
        CU_ASSERT_PTR_NULL (library);
    }
    dlclose (handle);
    Dl_info info;
    CU_ASSERT (dladdr (symbol, &info) != 0);
}

//  One in a process at a time
static void test_one_at_a_time (void)
{
    umbp_library_t *library = s_open ("gen5");
    CU_ASSERT_PTR_NULL (umbp_library_open (FIXTURE ("gen4"), s_why));
    CU_ASSERT_PTR_NOT_NULL (strstr (s_why, "another node of this process"));
    umbp_library_close (&library);
    library = s_open ("gen4");
    umbp_library_close (&library);
}

static void test_partitions (void)
{
    static const char *const names[] = { "gen1", "gen2", "gen4", "gen5" };
    char uuid[UMBP_DEVICE_UUID_MAX];
    for (size_t row = 0; row < sizeof names / sizeof *names; row++) {
        umbp_library_t *library = s_open (names[row]);
        CU_ASSERT (umbp_library_split (library, "Fixture-Device-2", "1g.10gb", uuid) == 0);
        CU_ASSERT_STRING_EQUAL (uuid, "part-of-Fixture-Device-2");
        CU_ASSERT (umbp_library_join (library, "Fixture-Device-1", uuid) < 0);
        CU_ASSERT (umbp_library_join (library, "Fixture-Device-2", uuid) == 0);
        umbp_library_close (&library);
    }
    umbp_library_t *library = s_open ("gen5");          //  A partition that is its device is none
    CU_ASSERT (umbp_library_split (library, "Fixture-Device-2", "same", uuid) == UMBP_EIO);
    umbp_library_close (&library);
}

static void *s_everything (void *arg)
{
    umbp_library_t *library = umbp_library_open (arg, s_why);
    int found = library ? s_look (library) : -1;
    if (found > 0) {
        umbp_library_metrics (library, s_devices, (size_t) found, s_metrics);
        umbp_library_processes (library, s_processes);
        umbp_library_topology (library, s_devices, (size_t) found, s_peers, s_why);
    }
    umbp_library_close (&library);
    return found > 0 ? arg : NULL;
}

//  ABI-40: our mock is fine with 1 MiB of stack; 8 MiB, as its thread has, are enough for the one in
//  the field that takes 1.3
static void test_stack (void)
{
    const char *const paths[] = { PROVIDER ("mock"), FIXTURE ("deep") };
    const size_t stacks[] = { 1 << 20, 8 << 20 };
    for (int row = 0; row < 2; row++) {
        pthread_attr_t attr;
        pthread_t thread;
        void *done = NULL;
        pthread_attr_init (&attr);
        pthread_attr_setstacksize (&attr, stacks[row]);
        CU_ASSERT_FATAL (pthread_create (&thread, &attr, s_everything, (void *) paths[row]) == 0);
        pthread_join (thread, &done);
        pthread_attr_destroy (&attr);
        CU_ASSERT_PTR_NOT_NULL (done);
    }
}

int main (void)
{
    alarm (120);
    zsys_init ();
    zsys_set_logstream (NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("library", NULL, NULL);
    CU_ADD_TEST (suite, test_generations_are_alike);
    CU_ADD_TEST (suite, test_counts);
    CU_ADD_TEST (suite, test_what_is_strange_is_refused);
    CU_ADD_TEST (suite, test_what_cannot_be_used);
    CU_ADD_TEST (suite, test_topologies);
    CU_ADD_TEST (suite, test_random_topologies);
    CU_ADD_TEST (suite, test_insane_records);
    CU_ADD_TEST (suite, test_order_of_calls);
    CU_ADD_TEST (suite, test_chatter);
    CU_ADD_TEST (suite, test_open_and_close);
    CU_ADD_TEST (suite, test_one_at_a_time);
    CU_ADD_TEST (suite, test_partitions);
    CU_ADD_TEST (suite, test_stack);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

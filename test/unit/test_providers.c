//  test/unit/test_providers.c - our own accelerator libraries, as the loader sees them: for NVIDIA and
//  AMD over libraries that stand in for their drivers (test/accel/), and the mock.
#include <czmq.h>

#include "accel/abi.h"
#include "accel/library.h"
#include "test/unit/accel.h"

static umbp_device_t s_devices[UMBP_DEVICES_MAX];
static umbp_device_metrics_t s_metrics[UMBP_DEVICES_MAX];
static umbp_device_process_t s_processes[UMBP_PROCESSES_MAX];
static umbp_device_peer_t s_peers[UMBP_DEVICE_PEERS_MAX];
static char s_why[UMBP_LIBRARY_WHY_MAX];

static umbp_library_t *s_open (const char *path)
{
    umbp_library_t *library = umbp_library_open (path, s_why);
    if (!library)
        printf ("%s\n", s_why);
    CU_ASSERT_PTR_NOT_NULL_FATAL (library);
    return library;
}

static int s_look (umbp_library_t *library)
{
    size_t left_out;
    return umbp_library_devices (library, s_devices, &left_out, s_why);
}

static double s_extra (size_t device, const char *key)
{
    for (size_t row = 0; row < s_metrics[device].extra_count; row++)
        if (streq (s_metrics[device].extras[row].key, key))
            return s_metrics[device].extras[row].value;
    return -1;
}

//  Without their driver they say so, and harm nothing. Before the stand-ins are loaded.
static void test_no_driver (void)
{
    static const char *const names[] = { "nvidia", "amd" };
    for (size_t row = 0; row < 2; row++) {
        umbp_library_t *library = umbp_library_open (PROVIDER (names[row]), s_why);
        if (library)                    //  A host with such a device: it serves
            umbp_library_close (&library);
        else
            CU_ASSERT_PTR_NOT_NULL (strstr (s_why, "is the driver there?"));
    }
}

static void test_nvidia (void)
{
    void *nvml = accel_load (VENDOR ("nvidia-ml"));
    umbp_library_t *library = s_open (PROVIDER ("nvidia"));
    CU_ASSERT_FATAL (s_look (library) == 2);
    CU_ASSERT (umbp_library_generation (library) == 5);
    const umbp_device_t *device = &s_devices[1];
    CU_ASSERT_STRING_EQUAL (device->uuid, "GPU-Aaaa-1");
    CU_ASSERT_STRING_EQUAL (device->vendor, "NVIDIA");
    CU_ASSERT_STRING_EQUAL (device->model, "NVIDIA H100 80GB HBM3");
    CU_ASSERT_STRING_EQUAL (device->driver, "550.54.15");
    CU_ASSERT_STRING_EQUAL (device->node, "/dev/nvidia1");
    CU_ASSERT (device->memory_bytes == UINT64_C (80) << 30 && device->numa == 1);
    CU_ASSERT (device->pcie_gen == 5 && device->pcie_width == 0);        //  One is told, one is not
    CU_ASSERT (umbp_library_metrics (library, s_devices, 2, s_metrics) == 2);
    CU_ASSERT (s_metrics[0].memory_used_bytes == UINT64_C (9) << 30);    //  With what is reserved
    CU_ASSERT (s_metrics[0].power_w == 312.5 && s_metrics[0].temperature_c == 61);
    CU_ASSERT (s_metrics[0].tx_bytes == 100000 && s_metrics[0].rx_bytes == 200000);
    CU_ASSERT (s_metrics[0].busy_percent == 73);
    CU_ASSERT (umbp_library_processes (library, s_processes) == 2);
    CU_ASSERT (s_processes[0].pid == 4711
               && s_processes[0].memory_used_bytes == UINT64_C (3) << 30);
    CU_ASSERT (s_processes[1].memory_used_bytes == 0);   //  Not told
    CU_ASSERT (umbp_library_topology (library, s_devices, 2, s_peers, s_why) == 2);
    CU_ASSERT (s_peers[0].level == UMBP_ABI_INTERNAL_LINK);      //  NvLink

    //  Xid: 31 is an error, 79 the end
    CU_ASSERT (s_extra (1, "xidErrors") == 0 && s_extra (1, "fatalErrors") == 0);
    ACCEL_VARIABLE (nvml, unsigned long long, "fake_xid") = 31;
    umbp_library_metrics (library, s_devices, 2, s_metrics);
    CU_ASSERT (s_extra (1, "xidErrors") == 1 && s_extra (1, "fatalErrors") == 0);
    CU_ASSERT (s_extra (0, "xidErrors") == 0);
    ACCEL_VARIABLE (nvml, unsigned long long, "fake_xid") = 79;
    umbp_library_metrics (library, s_devices, 2, s_metrics);
    CU_ASSERT (s_extra (1, "xidErrors") == 2 && s_extra (1, "fatalErrors") == 1);

    //  One fell off the bus: the other is still seen
    ACCEL_VARIABLE (nvml, int, "fake_broken") = 0;
    CU_ASSERT (umbp_library_count (library) == 2);
    CU_ASSERT (umbp_library_metrics (library, s_devices, 2, s_metrics) == 1);
    CU_ASSERT (!s_metrics[0].known && s_metrics[1].known);
    CU_ASSERT (s_look (library) == 1);
    CU_ASSERT_STRING_EQUAL (s_devices[0].uuid, "GPU-Aaaa-1");
    ACCEL_VARIABLE (nvml, int, "fake_broken") = -1;
    umbp_library_close (&library);
}

//  Defect 14: watts and degrees as they are, whatever release; PCIe as the kernel says
static void test_amd (void)
{
    void *smi = accel_load (VENDOR ("amd_smi"));
    umbp_library_t *library = s_open (accel_path ("test/accel/libaccelerator_%s.so", "amd"));
    CU_ASSERT_FATAL (s_look (library) == 2);
    CU_ASSERT_STRING_EQUAL (s_devices[0].uuid, "AMD-GPU-0000:c1:00.0");
    CU_ASSERT_STRING_EQUAL (s_devices[1].uuid, "AMD-GPU-0001:e2:01.0");
    CU_ASSERT_STRING_EQUAL (s_devices[0].model, "AMD Instinct MI300X");
    CU_ASSERT_STRING_EQUAL (s_devices[0].driver, "6.8.5");
    CU_ASSERT_STRING_EQUAL (s_devices[0].node, "/dev/dri/renderD128");
    CU_ASSERT (s_devices[0].pcie_gen == 5 && s_devices[0].pcie_width == 16);
    CU_ASSERT (s_devices[1].pcie_gen == 0 && s_devices[1].numa == 3);
    CU_ASSERT (s_devices[0].memory_bytes == UINT64_C (192) << 30);
    for (int release = 6; release <= 7; release++) {
        ACCEL_VARIABLE (smi, int, "fake_release") = release;
        CU_ASSERT (umbp_library_metrics (library, s_devices, 2, s_metrics) == 2);
        CU_ASSERT (s_metrics[0].power_w == 407 && s_metrics[0].temperature_c == 57);
        CU_ASSERT (s_metrics[0].busy_percent == 88);
        CU_ASSERT (s_metrics[0].memory_used_bytes == UINT64_C (5) << 30);
        CU_ASSERT (s_metrics[0].tx_bytes == 2560 && s_metrics[0].rx_bytes == 5120);
    }
    int count = umbp_library_processes (library, s_processes);
    CU_ASSERT (count == 2);
    for (int row = 0; row < count; row++) {
        bool first = s_processes[row].pid == 900;
        CU_ASSERT (first || s_processes[row].pid == 901);
        CU_ASSERT_STRING_EQUAL (s_processes[row].key, s_devices[first ? 0 : 1].key);
        CU_ASSERT (s_processes[row].memory_used_bytes == UINT64_C (1) << (first ? 31 : 30));
    }
    CU_ASSERT (umbp_library_topology (library, s_devices, 2, s_peers, s_why) == 2);
    CU_ASSERT (s_peers[0].level == UMBP_ABI_INTERNAL_LINK);
    ACCEL_VARIABLE (smi, int, "fake_gone") = 1;
    CU_ASSERT (s_look (library) == 1);
    umbp_library_close (&library);
}

//  MOCK-41
static void test_mock_counts (void)
{
    static const struct {
        const char *text;
        int count;
    } rows[] = { { "2", 2 }, { "3x", 3 }, { "abc", 1 }, { "0", 1 }, { "-1", 1 } };
    static const char *const names[] = { "UMBP_MOCK_GPUS", "GPU_GO_MOCK_GPUS" };
    for (size_t name = 0; name < 2; name++)
        for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
            unsetenv ("UMBP_MOCK_GPUS");
            setenv (names[name], rows[row].text, 1);
            umbp_library_t *library = s_open (PROVIDER ("mock"));
            CU_ASSERT (s_look (library) == rows[row].count);
            CU_ASSERT (s_devices[0].memory_bytes >> 20 == 24576);
            umbp_library_close (&library);
        }
    unsetenv ("GPU_GO_MOCK_GPUS");
}

static void s_say (const char *script, const char *line)
{
    FILE *file = fopen (script, "a");
    CU_ASSERT_PTR_NOT_NULL_FATAL (file);
    fprintf (file, "%s\n", line);
    fclose (file);
}

//  Everything that a script can do; and nothing is written into the folder we are in
static void test_mock_script (void)
{
    char script[] = "/tmp/umbp-mock-XXXXXX";
    int fd = mkstemp (script);
    CU_ASSERT_FATAL (fd != -1);
    close (fd);
    setenv ("UMBP_MOCK_GPUS", "2", 1);
    setenv ("UMBP_MOCK_SCRIPT", script, 1);
    umbp_library_t *library = s_open (PROVIDER ("mock"));
    CU_ASSERT (s_look (library) == 2);
    s_say (script, "appear 5\nvanish 0\n#  nothing\nmodel 1 Other\nnonsense 1");
    CU_ASSERT (s_look (library) == 2);
    CU_ASSERT_STRING_EQUAL (s_devices[0].uuid, "GPU-1");
    CU_ASSERT_STRING_EQUAL (s_devices[0].model, "Other");
    CU_ASSERT_STRING_EQUAL (s_devices[1].uuid, "GPU-5");
    s_say (script, "fill 1 512MiB 77\nextra 1 xidErrors 3\nmute 5 5");
    CU_ASSERT (umbp_library_metrics (library, s_devices, 2, s_metrics) == 1);    //  DEV-33
    CU_ASSERT (s_metrics[0].memory_used_bytes == 512 << 20 && s_extra (0, "xidErrors") == 3);
    CU_ASSERT (!s_metrics[1].known);
    CU_ASSERT (umbp_library_processes (library, s_processes) == 1 && s_processes[0].pid == 77);
    s_say (script, "fail processes 5\nfail topology 3");
    CU_ASSERT (umbp_library_processes (library, s_processes) == UMBP_EIO);
    CU_ASSERT (umbp_library_topology (library, s_devices, 2, s_peers, s_why) == UMBP_ENOTSUP);
    s_say (script, "fail processes 0\nhang count 60s\nat 0.2s release");
    CU_ASSERT (umbp_library_count (library) == 2);       //  It came back
    CU_ASSERT (umbp_library_processes (library, s_processes) == 1);
    umbp_library_close (&library);
    unsetenv ("UMBP_MOCK_SCRIPT");
    unlink (script);
}

int main (void)
{
    alarm (60);
    zsys_init ();
    zsys_set_logstream (NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("providers", NULL, NULL);
    CU_ADD_TEST (suite, test_no_driver);
    CU_ADD_TEST (suite, test_nvidia);
    CU_ADD_TEST (suite, test_amd);
    CU_ADD_TEST (suite, test_mock_counts);
    CU_ADD_TEST (suite, test_mock_script);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

//  test/unit/test_device_memory.c - memory of devices: the mock's, lent to another process, and CUDA's
//  and HIP's over libraries that stand in for them (test/accel/).
#include "accel/memory.h"

#include <sys/wait.h>
#include <unistd.h>

#include "test/unit/accel.h"

#define MIB (UINT64_C (1) << 20)

static char s_why[UMBP_MEMORY_WHY_MAX];
static uint8_t s_from[3 * 65536 + 7], s_to[sizeof s_from];

static void s_fill (void)
{
    for (size_t at = 0; at < sizeof s_from; at++)
        s_from[at] = (uint8_t) (at * 7 + at / 251);
    memset (s_to, 0, sizeof s_to);
}

static umbp_memory_t *s_open (const char *kind, int device)
{
    int rc = 1;
    umbp_memory_t *memory = umbp_memory_new (kind, device, &rc, s_why);
    if (!memory)
        printf ("%s: %s\n", kind, s_why);
    CU_ASSERT_PTR_NOT_NULL_FATAL (memory);
    CU_ASSERT (rc == 0);
    return memory;
}

//  What all kinds do alike, on 64 MiB
static void s_use (umbp_memory_t *memory)
{
    umbp_memory_block_t block, large, none;
    umbp_memory_handle_t handle;
    uint64_t total, left;
    s_fill ();
    CU_ASSERT (umbp_memory_room (memory, &total, &left) == 0);
    CU_ASSERT (total == 64 * MIB && left == total);
    CU_ASSERT (umbp_memory_take (memory, sizeof s_from, &block) == 0);
    CU_ASSERT (block.bytes == sizeof s_from && block.address != 0);
    CU_ASSERT (umbp_memory_take (memory, 64 * MIB, &large) == UMBP_ENOSPC);
    CU_ASSERT (large.bytes == 0);
    CU_ASSERT (umbp_memory_take (memory, 0, &none) == UMBP_EINVAL);
    CU_ASSERT (umbp_memory_room (memory, &total, &left) == 0);
    CU_ASSERT (left == total - sizeof s_from);

    CU_ASSERT (umbp_memory_write (memory, &block, 0, s_from, sizeof s_from) == 0);
    CU_ASSERT (umbp_memory_wait (memory) == 0);
    CU_ASSERT (umbp_memory_read (memory, &block, 65536, s_to + 65536, 65536) == 0);
    CU_ASSERT (umbp_memory_read (memory, &block, 0, s_to, 65536) == 0);
    CU_ASSERT (umbp_memory_read (memory, &block, 131072, s_to + 131072, 65543) == 0);
    CU_ASSERT (umbp_memory_wait (memory) == 0);
    CU_ASSERT (memcmp (s_from, s_to, sizeof s_from) == 0);

    //  Never beyond a block
    CU_ASSERT (umbp_memory_write (memory, &block, sizeof s_from, s_from, 1) == UMBP_EINVAL);
    CU_ASSERT (umbp_memory_write (memory, &block, 1, s_from, sizeof s_from) == UMBP_EINVAL);
    CU_ASSERT (umbp_memory_read (memory, &block, UINT64_MAX, s_to, 2) == UMBP_EINVAL);
    CU_ASSERT (umbp_memory_read (memory, &block, sizeof s_from, s_to, 0) == 0);

    CU_ASSERT (umbp_memory_export (memory, &block, &handle) == 0);
    CU_ASSERT (handle.block_bytes == sizeof s_from);
    CU_ASSERT (umbp_memory_import (memory, &handle, &large) == 0);
    memset (s_to, 0, sizeof s_to);
    CU_ASSERT (umbp_memory_read (memory, &large, 0, s_to, sizeof s_to) == 0);
    CU_ASSERT (umbp_memory_wait (memory) == 0);
    CU_ASSERT (memcmp (s_from, s_to, sizeof s_from) == 0);
    CU_ASSERT (umbp_memory_export (memory, &large, &handle) == UMBP_EINVAL);     //  Not ours to lend
    CU_ASSERT (umbp_memory_give (memory, &large) == 0);
    CU_ASSERT (umbp_memory_give (memory, &large) == UMBP_EINVAL);
    CU_ASSERT (umbp_memory_give (memory, &block) == 0);
    memset (&handle, 0, sizeof handle);
    CU_ASSERT (umbp_memory_import (memory, &handle, &large) == UMBP_EINVAL);
    handle.block_bytes = 4096;          //  Nobody's
    CU_ASSERT (umbp_memory_import (memory, &handle, &large) < 0);
    CU_ASSERT (umbp_memory_room (memory, &total, &left) == 0 && left == total);
}

//  Bytes that somebody else took, and what a network card needs for them
static void s_use_foreign (umbp_memory_t *memory, void *library, int dmabuf)
{
    umbp_memory_block_t own, block;
    uint64_t offset = 1;
    int fd = 0;
    uint8_t bank[4096], sign = 77;
    CU_ASSERT (umbp_memory_take (memory, 65536, &own) == 0);
    CU_ASSERT (umbp_memory_wrap (memory, own.address + 5000, 3000, &block) == 0);
    CU_ASSERT (umbp_memory_write (memory, &block, 2999, &sign, 1) == 0);
    CU_ASSERT (umbp_memory_write (memory, &block, 3000, &sign, 1) == UMBP_EINVAL);
    CU_ASSERT (umbp_memory_wait (memory) == 0);
    CU_ASSERT (umbp_memory_read (memory, &own, 7999, bank, 1) == 0);
    CU_ASSERT (umbp_memory_wait (memory) == 0);
    CU_ASSERT (bank[0] == 77);
    umbp_memory_handle_t handle;
    CU_ASSERT (umbp_memory_export (memory, &block, &handle) == UMBP_EINVAL);
    CU_ASSERT (umbp_memory_give (memory, &block) == UMBP_EINVAL);    //  Not ours
    CU_ASSERT (umbp_memory_owns (memory, &block) == 0);
    umbp_memory_block_t host;
    CU_ASSERT (umbp_memory_wrap (memory, (uintptr_t) bank, sizeof bank, &host) == 0);
    CU_ASSERT (umbp_memory_owns (memory, &host) == (library ? UMBP_EINVAL : 0));
    CU_ASSERT (umbp_memory_dmabuf (memory, &block, &fd, &offset) == dmabuf);
    CU_ASSERT (dmabuf < 0 ? fd == -1 : fd >= 0 && offset > 0);
    if (fd >= 0)
        close (fd);
    CU_ASSERT (umbp_memory_settle (memory) == 0);
    CU_ASSERT (umbp_memory_pin (memory, bank, sizeof bank) == (library ? 0 : UMBP_ENOTSUP));
    if (library) {
        CU_ASSERT (ACCEL_VARIABLE (library, int, "fake_pinned") == 1);
        umbp_memory_unpin (memory, bank);
        CU_ASSERT (ACCEL_VARIABLE (library, int, "fake_pinned") == 0);
    }
    CU_ASSERT (umbp_memory_wrap (memory, 0, 1, &block) == UMBP_EINVAL);
    CU_ASSERT (umbp_memory_wrap (memory, own.address, 0, &block) == UMBP_EINVAL);
    CU_ASSERT (umbp_memory_wrap (memory, 2, UINT64_MAX, &block) == UMBP_EINVAL);
    CU_ASSERT (umbp_memory_give (memory, &own) == 0);
}

static void test_mock (void)
{
    setenv ("UMBP_MOCK_HBM_BYTES", "67108864", 1);
    umbp_memory_t *memory = s_open ("mock", 0);
    CU_ASSERT_STRING_EQUAL (umbp_memory_kind (memory), "mock");
    s_use (memory);
    s_use_foreign (memory, NULL, UMBP_ENOTSUP);
    umbp_memory_destroy (&memory);
    CU_ASSERT_PTR_NULL (memory);
    int rc;
    setenv ("UMBP_MOCK_HBM_BYTES", "much", 1);
    CU_ASSERT_PTR_NULL (umbp_memory_new ("mock", 0, &rc, s_why));
    CU_ASSERT (rc == UMBP_EINVAL && strstr (s_why, "UMBP_MOCK_HBM_BYTES=much"));
    unsetenv ("UMBP_MOCK_HBM_BYTES");
    memory = s_open ("mock", 0);        //  As large as the mock's devices
    uint64_t total, left;
    umbp_memory_room (memory, &total, &left);
    CU_ASSERT (total == 24576 * MIB);
    umbp_memory_destroy (&memory);
    CU_ASSERT_PTR_NULL (umbp_memory_new ("punch cards", 0, &rc, s_why));
    CU_ASSERT (rc == UMBP_EINVAL && strstr (s_why, "there are cuda, hip and mock"));
}

//  Of the child: bytes of the block it maps are as they should be, and it writes one. 0 if so.
static int s_child (const umbp_memory_handle_t *handle)
{
    int rc;
    umbp_memory_block_t block;
    umbp_memory_t *memory = umbp_memory_new ("mock", 0, &rc, s_why);
    if (!memory || umbp_memory_import (memory, handle, &block) < 0)
        return 1;
    memset (s_to, 0, sizeof s_to);
    umbp_memory_read (memory, &block, 0, s_to, sizeof s_to);
    uint8_t sign = 99;
    umbp_memory_write (memory, &block, 5, &sign, 1);
    return memcmp (s_from, s_to, sizeof s_from) == 0 ? 0 : 2;
}

//  Another process maps a block without a copy; once its owner is gone nobody does
static void test_mock_between_processes (void)
{
    umbp_memory_t *memory = s_open ("mock", 0);
    umbp_memory_block_t block, other;
    umbp_memory_handle_t handle;
    int status = 1, pipe_fds[2];
    s_fill ();
    CU_ASSERT (umbp_memory_take (memory, sizeof s_from, &block) == 0);
    umbp_memory_write (memory, &block, 0, s_from, sizeof s_from);
    CU_ASSERT (umbp_memory_export (memory, &block, &handle) == 0);
    pid_t child = fork ();
    if (child == 0)
        _exit (s_child (&handle));
    waitpid (child, &status, 0);
    CU_ASSERT (WIFEXITED (status) && WEXITSTATUS (status) == 0);
    umbp_memory_read (memory, &block, 5, s_to, 1);
    CU_ASSERT (s_to[0] == 99);          //  The same memory, not a copy

    CU_ASSERT (umbp_memory_give (memory, &block) == 0);
    CU_ASSERT (umbp_memory_import (memory, &handle, &other) == UMBP_ENOENT);

    //  A descriptor of that number is another file's by now
    CU_ASSERT (umbp_memory_take (memory, sizeof s_from, &block) == 0);
    CU_ASSERT (umbp_memory_import (memory, &handle, &other) == UMBP_ENOENT);
    CU_ASSERT (umbp_memory_give (memory, &block) == 0);

    CU_ASSERT_FATAL (pipe (pipe_fds) == 0);
    child = fork ();                    //  One that lends, and dies
    if (child == 0) {
        umbp_memory_take (memory, 4096, &block);
        umbp_memory_export (memory, &block, &handle);
        _exit (write (pipe_fds[1], &handle, sizeof handle) == sizeof handle ? 0 : 1);
    }
    CU_ASSERT (read (pipe_fds[0], &handle, sizeof handle) == sizeof handle);
    waitpid (child, &status, 0);
    CU_ASSERT (umbp_memory_import (memory, &handle, &other) == UMBP_ENOENT);
    close (pipe_fds[0]);
    close (pipe_fds[1]);
    umbp_memory_destroy (&memory);
}

//  Without a driver: what is missing is said. Before the stand-ins are loaded.
static void test_no_driver (void)
{
    static const char *const kinds[] = { "cuda", "hip" };
    for (size_t row = 0; row < 2; row++) {
        int rc = 1;
        umbp_memory_t *memory = umbp_memory_new (kinds[row], 0, &rc, s_why);
        CU_ASSERT (memory || (rc < 0 && *s_why));
        umbp_memory_destroy (&memory);
    }
}

static void test_cuda (void)
{
    void *cuda = accel_load (VENDOR ("cuda"));
    int rc;
    CU_ASSERT_PTR_NULL (umbp_memory_new ("cuda", 2, &rc, s_why));
    CU_ASSERT (rc == UMBP_ENOENT && strstr (s_why, "cuDeviceGet answers 101"));
    umbp_memory_t *memory = s_open ("cuda", 1);
    CU_ASSERT (ACCEL_VARIABLE (cuda, int, "fake_retained") == 1);
    s_use (memory);
    CU_ASSERT (ACCEL_VARIABLE (cuda, int, "fake_depth") == 0);   //  The thread's context is its own
    s_use_foreign (memory, cuda, UMBP_ENOTSUP);
    ACCEL_VARIABLE (cuda, int, "fake_has_dmabuf") = 1;
    s_use_foreign (memory, cuda, 0);
    CU_ASSERT (ACCEL_VARIABLE (cuda, int, "fake_flushes") == 2);
    CU_ASSERT (ACCEL_VARIABLE (cuda, int, "fake_dmabufs") == 1);
    umbp_memory_block_t block;
    ACCEL_VARIABLE (cuda, int, "fake_fails") = 700;      //  ILLEGAL_ADDRESS
    CU_ASSERT (umbp_memory_take (memory, 4096, &block) == UMBP_EIO);
    CU_ASSERT (umbp_memory_take (memory, 4096, &block) == 0);
    ACCEL_VARIABLE (cuda, int, "fake_fails") = 719;      //  LAUNCH_FAILED
    CU_ASSERT (umbp_memory_wait (memory) == UMBP_EIO);
    umbp_memory_handle_t handle;
    ACCEL_VARIABLE (cuda, int, "fake_fails") = 801;
    CU_ASSERT (umbp_memory_export (memory, &block, &handle) == UMBP_ENOTSUP);
    CU_ASSERT (ACCEL_VARIABLE (cuda, int, "fake_depth") == 0);
    CU_ASSERT (umbp_memory_give (memory, &block) == 0);
    umbp_memory_destroy (&memory);
    CU_ASSERT (ACCEL_VARIABLE (cuda, int, "fake_retained") == 0);
    CU_ASSERT (ACCEL_VARIABLE (cuda, size_t, "fake_blocks") == 0);
}

static void test_hip (void)
{
    void *hip = accel_load (VENDOR ("amdhip64")), *hsa = accel_load (VENDOR ("hsa-runtime64"));
    int rc;
    CU_ASSERT_PTR_NULL (umbp_memory_new ("hip", 3, &rc, s_why));
    CU_ASSERT (rc == UMBP_ENOENT);
    ACCEL_VARIABLE (hip, int, "fake_device") = 7;
    umbp_memory_t *memory = s_open ("hip", 1);
    s_use (memory);
    CU_ASSERT (ACCEL_VARIABLE (hip, int, "fake_device") == 7);   //  The thread's device is its own
    s_use_foreign (memory, hip, 0);     //  HIP has none, the runtime below it has
    ACCEL_VARIABLE (hsa, int, "fake_fails") = 1;
    s_use_foreign (memory, hip, UMBP_ENOTSUP);
    ACCEL_VARIABLE (hip, int, "fake_has_dmabuf") = 1;
    s_use_foreign (memory, hip, 0);
    CU_ASSERT (ACCEL_VARIABLE (hip, int, "fake_dmabufs") == 1);
    umbp_memory_block_t block;
    ACCEL_VARIABLE (hip, int, "fake_fails") = 700;
    CU_ASSERT (umbp_memory_take (memory, 4096, &block) == UMBP_EIO);
    umbp_memory_destroy (&memory);
    CU_ASSERT (ACCEL_VARIABLE (hip, size_t, "fake_blocks") == 0);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("device_memory", NULL, NULL);
    CU_ADD_TEST (suite, test_no_driver);
    CU_ADD_TEST (suite, test_mock);
    CU_ADD_TEST (suite, test_mock_between_processes);
    CU_ADD_TEST (suite, test_cuda);
    CU_ADD_TEST (suite, test_hip);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

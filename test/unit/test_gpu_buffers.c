//  test/unit/test_gpu_buffers.c - buffers of the caller in the memory of a real GPU: the first device of CUDA,
//  else of HIP, or that of $UMBP_GPU (KIND:NUMBER). Skipped where there is none. All else about them
//  is in test_devmem.c.
#include "accel/memory.h"
#include "actors/umbp_node.h"
#include "client/umbp.h"
#include "proto/splitmix.h"
#include "test/unit/loopback.h"

#include <CUnit/Basic.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB ((size_t) 1 << 20)
#define AREA (64 * MIB)                 //  Puts come from the first half, gets go to the other one
#define SKIPPED 77

static char s_kind[8] = "cuda";
static int s_number;
static umbp_memory_t *s_memory;
static umbp_memory_block_t s_block;
static umbp_node_t *s_node;
static char s_run_dir[64] = "/tmp/umbp-test-XXXXXX";
static uint8_t s_bytes[AREA / 2], s_back[AREA / 2];

static umbp_t *s_connect (const char *paths)
{
    umbp_options_t how = { .endpoints = umbp_node_endpoint (s_node),
                           .paths = paths, .timeout_ms = 60000 };
    umbp_t *pool = umbp_connect (&how, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    char why[256] = "";
    int rc = umbp_register_device (pool, s_kind, s_number, (void *) (uintptr_t) s_block.address,
                                   AREA, why, sizeof why);
    if (rc != 0)
        printf ("%s\n", why);
    CU_ASSERT_EQUAL_FATAL (rc, 0);
    return pool;
}

static void s_fill (size_t size, uint64_t seed)
{
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t word = umbp_splitmix (&seed);
        memcpy (s_bytes + at, &word, 8);
    }
}

//  Blocks of many sizes, at odd places
static void s_carry (const char *paths)
{
    static const size_t sizes[] = { 1, 4095, 65537, 3 * MIB + 1, 29 * MIB + 13 };
    umbp_t *pool = s_connect (paths);
    uint64_t total = 0;
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        size_t size = sizes[index], at = 77 * index;
        char key[64];
        snprintf (key, sizeof key, "gpu-%s-%zu", paths, size);
        s_fill (size, index + 1);
        CU_ASSERT (umbp_memory_write (s_memory, &s_block, at, s_bytes, size) == 0);
        CU_ASSERT (umbp_memory_wait (s_memory) == 0);
        uint8_t *base = (uint8_t *) (uintptr_t) s_block.address;
        CU_ASSERT_EQUAL (umbp_put (pool, key, base + at, size), 0);
        CU_ASSERT_EQUAL (umbp_get (pool, key, s_back, size), (long) size);
        CU_ASSERT (memcmp (s_bytes, s_back, size) == 0);
        memset (s_back, 0, size);
        CU_ASSERT_EQUAL (umbp_get (pool, key, base + AREA / 2 + at, size), (long) size);
        CU_ASSERT (umbp_memory_read (s_memory, &s_block, AREA / 2 + at, s_back, size) == 0);
        CU_ASSERT (umbp_memory_wait (s_memory) == 0);
        CU_ASSERT (memcmp (s_bytes, s_back, size) == 0);
        CU_ASSERT_EQUAL (umbp_remove (pool, key), 0);
        total += size;
    }
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    CU_ASSERT_EQUAL (stats.device_put_bytes + stats.device_direct_put_bytes, total);
    CU_ASSERT_EQUAL (stats.device_get_bytes + stats.device_direct_get_bytes, total);
    CU_ASSERT_EQUAL (stats.checksum_errors, 0);
    umbp_close (&pool);
}

static void test_whole_blocks (void)
{
    s_carry ("shm");
    s_carry ("tcp");
}

//  What is no memory of the device is refused, by the driver itself
static void test_what_is_no_memory_of_it (void)
{
    char why[256];
    umbp_t *pool = s_connect ("tcp");
    void *nowhere = (void *) (uintptr_t) 0x1000;
    int rc = umbp_register_device (pool, s_kind, s_number, nowhere, 4096, why, sizeof why);
    printf ("%s: %s ", umbp_strerror (rc), why);
    CU_ASSERT_EQUAL (rc, UMBP_EINVAL);
    umbp_close (&pool);
}

static int s_stop (void)
{
    umbp_node_destroy (&s_node);
    umbp_memory_give (s_memory, &s_block);
    umbp_memory_destroy (&s_memory);
    return rmdir (s_run_dir) != 0;
}

static int s_start (void)
{
    umbp_node_options_t options;
    umbp_node_options_init (&options);
    snprintf (options.node, sizeof options.node, "gpu");
    snprintf (options.cluster, sizeof options.cluster, "test-%d", (int) getpid ());
    if (!mkdtemp (s_run_dir) || umbp_memory_take (s_memory, AREA, &s_block) != 0)
        return 1;
    snprintf (options.run_dir, sizeof options.run_dir, "%s", s_run_dir);
    snprintf (options.listen, sizeof options.listen, "tcp://%s:20000", loopback_host ());
    options.dram_bytes = 128 * MIB;
    options.index_keys = 1000;
    options.log_level = 1;
    s_node = umbp_node_new (&options, NULL);
    return s_node ? 0 : 1;
}

//  Returns whether there is one
static bool s_find (void)
{
    char why[UMBP_MEMORY_WHY_MAX] = "", other[UMBP_MEMORY_WHY_MAX] = "";
    const char *wanted = getenv ("UMBP_GPU");
    int rc;
    if (wanted && sscanf (wanted, "%7[a-z]:%d", s_kind, &s_number) != 2)
        snprintf (why, sizeof why, "UMBP_GPU=%.40s is not KIND:NUMBER", wanted);
    else
        s_memory = umbp_memory_new (s_kind, s_number, &rc, why);
    if (!s_memory && !wanted) {
        strcpy (s_kind, "hip");
        s_memory = umbp_memory_new (s_kind, s_number, &rc, other);
    }
    if (!s_memory)
        printf ("no GPU: %s%s%s\n", why, *other ? "; " : "", other);
    return s_memory != NULL;
}

int main (void)
{
    alarm (240);
    unsetenv ("UMBP_PATHS");
    if (!s_find ())
        return SKIPPED;
    printf ("on %s:%d\n", s_kind, s_number);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("gpu_buffers", s_start, s_stop);
    CU_ADD_TEST (suite, test_whole_blocks);
    CU_ADD_TEST (suite, test_what_is_no_memory_of_it);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0 || CU_get_number_of_suites_failed () > 0;
}

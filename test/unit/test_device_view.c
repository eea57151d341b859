//  test/unit/test_device_view.c - an engine beside a node, in a process of its own: it maps the node's device memory and
//  reads blocks where they lie, while they are removed, after its time is over, when the node dies. The engine is this
//  process; the node is this program once more.
#include <CUnit/Basic.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "accel/memory.h"
#include "actors/umbp_node.h"
#include "client/umbp.h"
#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"
#include "proto/splitmix.h"
#include "test/unit/loopback.h"

#define MIB (1u << 20)
#define WAIT_MS 60000
#define LONG_MS 600000

static uint64_t s_seed;

typedef struct {
    pid_t pid;
    int in, out;                        //  Closing in ends it
    char folder[64], endpoint[256];
    umbp_t *pool;
    umbp_memory_t *memory;              //  The engine's own
} pair_t;

//  ------------------------------------------------------------------------------------------------
//  The node

//  Arguments: "node", folder, device, capacity, milliseconds of a lease. Says its endpoint, and ends when stdin does.
static int s_node (char **argv)
{
    umbp_node_options_t options;
    umbp_node_options_init (&options);
    snprintf (options.node, sizeof options.node, "device-view");
    snprintf (options.cluster, sizeof options.cluster, "view-%d", (int) getpid ());
    snprintf (options.run_dir, sizeof options.run_dir, "%s", argv[2]);
    snprintf (options.hbm_device, sizeof options.hbm_device, "%s", argv[3]);
    snprintf (options.listen, sizeof options.listen, "tcp://%s:*", loopback_host ());
    options.hbm_bytes = strtoull (argv[4], NULL, 10);
    options.hbm_staging_bytes = 16 * MIB;
    options.dram_bytes = options.region_bytes = 32 * MIB;
    options.page_bytes = 4096;
    options.lease_ttl_ms = (unsigned) strtoul (argv[5], NULL, 10);
    options.log_level = 1;
    umbp_node_t *node = umbp_node_new (&options, NULL);
    char byte;
    if (!node)
        return 1;
    printf ("%s\n", umbp_node_endpoint (node));
    fflush (stdout);
    while (read (0, &byte, 1) > 0)
        continue;
    umbp_node_destroy (&node);
    return 0;
}

static bool s_spawn (pair_t *self, const char *device, uint64_t capacity, unsigned ttl_ms)
{
    int in[2], out[2];
    char bytes[32], ttl[32];
    snprintf (bytes, sizeof bytes, "%llu", (unsigned long long) capacity);
    snprintf (ttl, sizeof ttl, "%u", ttl_ms);
    if (pipe2 (in, O_CLOEXEC) != 0 || pipe2 (out, O_CLOEXEC) != 0)
        return false;
    self->pid = fork ();
    if (self->pid == 0) {
        dup2 (in[0], 0);
        dup2 (out[1], 1);
        execl ("/proc/self/exe", "node", "node", self->folder, device, bytes, ttl, NULL);
        _exit (127);
    }
    close (in[0]);
    close (out[1]);
    self->in = in[1];
    self->out = out[0];
    FILE *said = fdopen (dup (self->out), "r");
    bool fine = said != NULL;
    do                                  //  Lines of its log may come first
        fine = fine && fgets (self->endpoint, sizeof self->endpoint, said) != NULL;
    while (fine && strncmp (self->endpoint, "tcp://", 6) != 0);
    if (said)
        fclose (said);
    self->endpoint[strcspn (self->endpoint, "\n")] = '\0';
    return fine;
}

static void s_start (pair_t *self, const char *device, uint64_t capacity, unsigned ttl_ms)
{
    int rc;
    char why[UMBP_MEMORY_WHY_MAX];
    memset (self, 0, sizeof *self);
    snprintf (self->folder, sizeof self->folder, "/tmp/umbp-view-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->folder));
    CU_ASSERT_FATAL (s_spawn (self, device, capacity, ttl_ms));
    umbp_options_t options = { .endpoints = self->endpoint, .timeout_ms = WAIT_MS };
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (!self->pool && umbp_clock_ms () < end) {          //  Until it is in the ring
        self->pool = umbp_connect (&options, NULL);
        if (self->pool && umbp_put (self->pool, "ready", "yes", 3) != 0)
            umbp_close (&self->pool);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->pool);
    self->memory = umbp_memory_new ("mock", 0, &rc, why);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->memory);
}

static void s_stop (pair_t *self)
{
    int status = 0;
    umbp_close (&self->pool);
    umbp_memory_destroy (&self->memory);
    close (self->in);
    close (self->out);
    if (self->pid) {
        CU_ASSERT (waitpid (self->pid, &status, 0) == self->pid);
        CU_ASSERT (WIFEXITED (status) && WEXITSTATUS (status) == 0);
    }
    rmdir (self->folder);
}

static void s_kill (pair_t *self)
{
    char command[128];
    kill (self->pid, SIGKILL);
    waitpid (self->pid, NULL, 0);
    self->pid = 0;
    snprintf (command, sizeof command, "/bin/rm -r -- '%s/device-view'", self->folder);
    CU_ASSERT (system (command) == 0);
}

//  ------------------------------------------------------------------------------------------------
//  The engine

static void s_fill (uint8_t *bytes, size_t size, uint64_t number)
{
    number += s_seed;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = umbp_splitmix (&number);
        memcpy (bytes + at, &word, size - at < 8 ? size - at : 8);
    }
}

//  Put a block on the device; what finds no room is tried again
static bool s_put (pair_t *self, const char *key, size_t size, uint64_t number)
{
    uint8_t *bytes = malloc (size);
    umbp_put_options_t how = { .tier = 1 };
    umbp_item_t item = { .key = { key, strlen (key) }, .data = bytes, .size = size };
    int64_t end = umbp_clock_ms () + WAIT_MS;
    s_fill (bytes, size, number);
    while (umbp_put_batch (self->pool, &item, 1, &how, WAIT_MS) != 1 && umbp_clock_ms () < end)
        continue;
    free (bytes);
    return item.status == 0;
}

static umbp_device_view_t *s_view (pair_t *self, const char *key, int *rc)
{
    umbp_key_t one = { key, strlen (key) };
    return umbp_device_view_get (self->pool, &one, 1, WAIT_MS, rc);
}

//  Whether a block of a view has these bytes, as the engine reads them from the device
static bool s_sees (pair_t *self, const umbp_device_view_t *view, size_t index, size_t size,
                    uint64_t number)
{
    const umbp_device_info_t *info = umbp_device_view_info (view);
    const umbp_device_block_t *block = &info->blocks[index];
    uint8_t *bytes = malloc (size), *wanted = malloc (size);
    size_t at = 0;
    bool fine = strcmp (info->kind, "mock") == 0 && block->status == 0 && block->size == size;
    for (size_t row = 0; fine && row < block->span_count; row++) {
        const umbp_device_span_t *span = &block->spans[row];
        umbp_memory_handle_t handle;
        umbp_memory_block_t chunk;
        memcpy (handle.bytes, info->handles[span->handle].bytes, sizeof handle.bytes);
        handle.block_bytes = info->handles[span->handle].block_bytes;
        fine =
            umbp_memory_import (self->memory, &handle, &chunk) == 0
            && umbp_memory_read (self->memory, &chunk, span->offset, bytes + at, span->bytes) == 0
            && umbp_memory_wait (self->memory) == 0;
        at += span->bytes;
        if (chunk.bytes)
            umbp_memory_give (self->memory, &chunk);
    }
    s_fill (wanted, size, number);
    fine = fine && at == size && memcmp (bytes, wanted, size) == 0
           && umbp_sum (bytes, size) == block->sum;
    free (bytes);
    free (wanted);
    return fine;
}

static void test_reads_there (void)
{
    static const size_t sizes[] = { 1, 70000, 300000, 65536, 5 * MIB };
    pair_t pair;
    char keys[5][16];
    umbp_key_t wanted[6] = { { "nobody", 6 } };
    int rc = 1;
    s_start (&pair, "mock:0", 32 * MIB, LONG_MS);
    for (size_t index = 0; index < 5; index++) {
        snprintf (keys[index], sizeof keys[index], "block-%zu", index);
        CU_ASSERT (s_put (&pair, keys[index], sizes[index], index));
        wanted[index + 1] = (umbp_key_t) { keys[index], strlen (keys[index]) };
    }
    umbp_stats_t before, after;
    umbp_stats (pair.pool, &before);
    umbp_device_view_t *view = umbp_device_view_get (pair.pool, wanted, 6, WAIT_MS, &rc);
    CU_ASSERT_FATAL (view != NULL && rc == 0);
    const umbp_device_info_t *info = umbp_device_view_info (view);
    CU_ASSERT (info->count == 6 && info->device == 0 && info->ttl_ms == LONG_MS);
    CU_ASSERT (info->blocks[0].status == UMBP_ENOENT && info->blocks[0].span_count == 0);
    for (size_t index = 0; index < 5; index++)
        CU_ASSERT (s_sees (&pair, view, index + 1, sizes[index], index));
    umbp_stats (pair.pool, &after);     //  No byte came by another way
    CU_ASSERT (after.shm_get_bytes == before.shm_get_bytes);
    CU_ASSERT (after.tcp_get_bytes == before.tcp_get_bytes);

    //  It stays as it is while others look, and though it is removed
    umbp_device_view_t *other = s_view (&pair, "block-2", &rc);
    CU_ASSERT_FATAL (other != NULL);
    CU_ASSERT (umbp_remove (pair.pool, "block-2") == 0);
    CU_ASSERT_PTR_NULL (s_view (&pair, "block-2", &rc));
    CU_ASSERT (rc == UMBP_ENOENT);
    CU_ASSERT (umbp_device_view_check (view) == 0 && umbp_device_view_release (&view) == 0);
    CU_ASSERT_PTR_NULL (view);
    for (uint64_t number = 100; number < 140; number++) {    //  More than fits
        char key[16];
        snprintf (key, sizeof key, "more-%d", (int) number);
        CU_ASSERT (s_put (&pair, key, MIB, number));
    }
    CU_ASSERT (s_sees (&pair, other, 0, sizes[2], 2));
    CU_ASSERT (umbp_device_view_check (other) == 0);
    CU_ASSERT (umbp_device_view_release (&other) == 0 && umbp_device_view_release (&other) == 0);
    s_stop (&pair);
}

//  The time of a view ends while its reader reads: it is told, and other blocks are there by then
static void test_expires (void)
{
    pair_t pair;
    int rc = 1;
    s_start (&pair, "mock:1", 8 * MIB, 400);
    CU_ASSERT (s_put (&pair, "first", 4 * MIB, 1));
    umbp_device_view_t *view = s_view (&pair, "first", &rc), *again = NULL;
    CU_ASSERT_FATAL (view != NULL);
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (umbp_device_view_check (view) == 0 && umbp_clock_ms () < end)
        usleep (10000);
    CU_ASSERT (umbp_device_view_check (view) == UMBP_ESTALE);
    CU_ASSERT (umbp_remove (pair.pool, "first") == 0);
    CU_ASSERT (s_put (&pair, "second", 4 * MIB, 2));
    CU_ASSERT (s_put (&pair, "third", 4 * MIB, 3));          //  Both fit: nobody holds the first
    CU_ASSERT (!s_sees (&pair, view, 0, 4 * MIB, 1));
    CU_ASSERT (umbp_device_view_release (&view) == UMBP_ESTALE);
    while (!again && umbp_clock_ms () < end)
        again = s_view (&pair, "third", &rc);
    CU_ASSERT_FATAL (again != NULL);
    CU_ASSERT (s_sees (&pair, again, 0, 4 * MIB, 3));
    umbp_device_view_release (&again);  //  In time or not, as busy as the machine is
    s_stop (&pair);
}

//  The node dies under a view
static void test_node_dies (void)
{
    pair_t pair;
    int rc = 1;
    s_start (&pair, "mock:0", 8 * MIB, LONG_MS);
    CU_ASSERT (s_put (&pair, "block", MIB, 1));
    umbp_device_view_t *view = s_view (&pair, "block", &rc);
    CU_ASSERT_FATAL (view != NULL && umbp_device_view_check (view) == 0);
    s_kill (&pair);
    CU_ASSERT (umbp_device_view_check (view) == UMBP_ESTALE);
    CU_ASSERT (!s_sees (&pair, view, 0, MIB, 1));            //  Nobody maps it any more
    CU_ASSERT (umbp_device_view_release (&view) == UMBP_ESTALE);
    s_stop (&pair);
}

//  A client that ends with views it did not let go; and one that asks for what cannot be
static void test_odd (void)
{
    pair_t pair;
    int rc = 1;
    static umbp_key_t many[UMBP_DEVICE_VIEW_MAX + 1];
    for (size_t index = 0; index <= UMBP_DEVICE_VIEW_MAX; index++)
        many[index] = (umbp_key_t) { "block", 5 };
    s_start (&pair, "mock:0", 8 * MIB, LONG_MS);
    CU_ASSERT (s_put (&pair, "block", MIB, 1));
    CU_ASSERT_PTR_NULL (umbp_device_view_get (pair.pool, many, 0, WAIT_MS, &rc));
    CU_ASSERT (rc == UMBP_EINVAL);
    CU_ASSERT_PTR_NULL (
        umbp_device_view_get (pair.pool, many, UMBP_DEVICE_VIEW_MAX + 1, WAIT_MS, &rc));
    CU_ASSERT (rc == UMBP_ETOOBIG);
    umbp_device_view_t *view =
        umbp_device_view_get (pair.pool, many, UMBP_DEVICE_VIEW_MAX, WAIT_MS, &rc);
    CU_ASSERT_FATAL (view != NULL);
    CU_ASSERT (umbp_device_view_info (view)->handle_count == 1);
    CU_ASSERT (s_sees (&pair, view, UMBP_DEVICE_VIEW_MAX - 1, MIB, 1));
    umbp_options_t options = { .endpoints = pair.endpoint, .timeout_ms = WAIT_MS };
    umbp_close (&pair.pool);            //  With the view
    pair.pool = umbp_connect (&options, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (pair.pool);
    CU_ASSERT (umbp_remove (pair.pool, "block") == 0);
    for (uint64_t number = 0; number < 8; number++) {        //  All of the device: nothing is held
        char key[16];
        snprintf (key, sizeof key, "next-%d", (int) number);
        CU_ASSERT (s_put (&pair, key, MIB, number));
    }
    umbp_options_t plain = { .endpoints = pair.endpoint, .timeout_ms = WAIT_MS, .no_shm = true };
    umbp_t *far = umbp_connect (&plain, NULL);
    CU_ASSERT_PTR_NULL (umbp_device_view_get (far, many, 1, WAIT_MS, &rc));      //  No doors
    CU_ASSERT (rc == UMBP_ENOTSUP);
    umbp_close (&far);
    s_stop (&pair);
    s_start (&pair, "", 8 * MIB, LONG_MS);           //  No device
    CU_ASSERT_PTR_NULL (umbp_device_view_get (pair.pool, many, 1, WAIT_MS, &rc));
    CU_ASSERT (rc == UMBP_ENOTSUP);
    s_stop (&pair);
}

int main (int argc, char **argv)
{
    if (argc == 6 && strcmp (argv[1], "node") == 0)
        return s_node (argv);
    alarm (300);
    const char *seed = getenv ("UMBP_SEED");
    s_seed = seed ? strtoull (seed, NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("[device_view seed=%llu] ", (unsigned long long) s_seed);
    fflush (stdout);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("device_view", NULL, NULL);
    CU_ADD_TEST (suite, test_reads_there);
    CU_ADD_TEST (suite, test_expires);
    CU_ADD_TEST (suite, test_node_dies);
    CU_ADD_TEST (suite, test_odd);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

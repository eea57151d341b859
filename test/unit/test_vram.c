//  test/unit/test_vram.c - blocks in device memory, without a tier around them: what is written comes back whatever was
//  written and removed before, no page is lost to fragmentation, what is lent stays as it is; a device that fails, or
//  hangs, is told so. On mock memory, on libraries that stand in for CUDA and HIP, and on a real GPU where there is one.
#include "actors/tier/vram.h"

#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "cluster/bulk/clock.h"
#include "proto/splitmix.h"
#include "test/unit/accel.h"

#define MIB (UINT64_C (1) << 20)
#define PAGE UMBP_VRAM_PAGE_BYTES
#define WAIT_MS 60000
#define BLOCKS 400
#define SIZE_MAX_BYTES (11 * PAGE)

typedef struct {
    umbp_vram_t *vram;
    umbp_medium_t medium;
    umbp_medium_event_t last;           //  The event that came last
    unsigned released;
} device_t;

static char s_why[UMBP_VRAM_WHY_MAX];
static uint64_t s_seed;

static void s_fill (uint8_t *bytes, size_t size, uint64_t number)
{
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = umbp_splitmix (&number);
        memcpy (bytes + at, &word, size - at < 8 ? size - at : 8);
    }
}

static bool s_open (device_t *self, const char *name, uint64_t bytes)
{
    *self = (device_t) { .vram = umbp_vram_new (name, bytes, s_why) };
    self->medium = umbp_vram_medium (self->vram);
    return self->vram != NULL;
}

static void s_close (device_t *self)
{
    CU_ASSERT (umbp_medium_close (&self->medium));
}

static umbp_medium_stats_t s_stats (const device_t *self)
{
    return self->medium.calls->stats (self->medium.self);
}

//  Until something is said of a tag. Returns its status, 1 if nothing was.
static int s_await (device_t *self, uint64_t tag)
{
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (umbp_clock_ms () < end) {
        while (self->medium.calls->event (self->medium.self, &self->last)) {
            if (self->last.type == UMBP_MEDIUM_RELEASED)
                self->released++;
            else if (self->last.tag == tag)
                return self->last.status;
        }
        struct pollfd item = { .fd = self->medium.calls->fd (self->medium.self), .events = POLLIN };
        poll (&item, 1, 20);
        self->medium.calls->tick (self->medium.self, umbp_clock_ms ());
    }
    CU_FAIL ("nothing was said");
    return 1;
}

static int s_begin_write (device_t *self, const uint8_t *bytes, uint32_t size, uint64_t tag)
{
    umbp_medium_record_t record = { .key = "k", .key_size = 1, .size = size };
    uint32_t half = size / 2;           //  In two pieces
    struct iovec data[] = { { (void *) bytes, half }, { (void *) (bytes + half), size - half } };
    bool whole = half == 0;
    return self->medium.calls->append (self->medium.self, &record, data + whole, 2 - whole, 7, tag);
}

//  Returns 0 and where it is, or an error
static int s_write (device_t *self, const uint8_t *bytes, uint32_t size, uint64_t *at)
{
    int rc = s_begin_write (self, bytes, size, 1);
    rc = rc == 0 ? s_await (self, 1) : rc;
    *at = self->last.at;
    return rc;
}

static int s_read (device_t *self, uint64_t at, uint32_t offset, uint8_t *bytes, uint32_t size)
{
    struct iovec data = { bytes, size };
    int rc = self->medium.calls->read (self->medium.self, at, offset, size, &data, 1, 2);
    return rc == 0 ? s_await (self, 2) : rc;
}

typedef struct {
    uint64_t at, number;
    uint32_t size;                      //  0: none
} block_t;

//  Blocks come and go at random. One that is refused must lack pages: of those that are free none is out of reach.
static void s_churn (device_t *self, uint64_t capacity, unsigned steps)
{
    static block_t blocks[BLOCKS];
    uint8_t *bytes = malloc (SIZE_MAX_BYTES), *back = calloc (1, SIZE_MAX_BYTES);
    uint64_t random = s_seed, used = 0, refused = 0, wrong = 0, compared = 0;
    memset (blocks, 0, sizeof blocks);
    for (unsigned step = 0; step < steps; step++) {
        block_t *block = &blocks[umbp_splitmix (&random) % BLOCKS];
        if (block->size > 0) {
            uint32_t offset = (uint32_t) (umbp_splitmix (&random) % block->size);
            s_fill (bytes, block->size, block->number);
            CU_ASSERT (s_read (self, block->at, offset, back, block->size - offset) == 0);
            wrong += memcmp (bytes + offset, back, block->size - offset) != 0;
            compared++;
            CU_ASSERT (self->medium.calls->remove (self->medium.self, block->at) == 0);
            used -= (block->size + PAGE - 1) / PAGE;
            block->size = 0;
            continue;
        }
        uint32_t size = (uint32_t) (umbp_splitmix (&random) % SIZE_MAX_BYTES) + 1;
        uint64_t pages = (size + PAGE - 1) / PAGE;
        block->number = umbp_splitmix (&random);
        s_fill (bytes, size, block->number);
        int rc = s_write (self, bytes, size, &block->at);
        bool fits = used + pages <= capacity / PAGE;
        CU_ASSERT (rc == (fits ? 0 : UMBP_EAGAIN));
        refused += rc != 0;
        block->size = rc == 0 ? size : 0;
        used += rc == 0 ? pages : 0;
        CU_ASSERT (s_stats (self).live_bytes == used * PAGE);
    }
    printf ("(%u steps, %u compared, %u refused for want of pages) ", steps, (unsigned) compared,
            (unsigned) refused);
    CU_ASSERT (wrong == 0 && compared > steps / 4 && refused > 0);
    for (size_t index = 0; index < BLOCKS; index++)
        if (blocks[index].size > 0)
            CU_ASSERT (self->medium.calls->remove (self->medium.self, blocks[index].at) == 0);
    CU_ASSERT (s_stats (self).live_bytes == 0 && s_stats (self).records == 0);
    free (bytes);
    free (back);
}

static void test_fragmentation (void)
{
    device_t device;
    CU_ASSERT_FATAL (s_open (&device, "mock:0", 65 * MIB));  //  17 chunks, the last one smaller
    CU_ASSERT (s_stats (&device).room == 65 * MIB);
    s_churn (&device, 65 * MIB, 6000);
    s_close (&device);
}

//  A name that was used before is nobody's
static void test_names (void)
{
    device_t device;
    uint8_t bytes[100], back[100];
    uint64_t first, second;
    CU_ASSERT_FATAL (s_open (&device, "mock:3", MIB));
    CU_ASSERT (umbp_vram_number (device.vram) == 3);
    s_fill (bytes, sizeof bytes, 1);
    CU_ASSERT (s_write (&device, bytes, sizeof bytes, &first) == 0);
    CU_ASSERT (device.last.item == 7 && device.last.type == UMBP_MEDIUM_WRITTEN);
    CU_ASSERT (s_read (&device, first, 50, back, 51) == UMBP_EINVAL);
    CU_ASSERT (s_read (&device, first, 101, back, 1) == UMBP_EINVAL);
    CU_ASSERT (device.medium.calls->remove (device.medium.self, first) == 0);
    CU_ASSERT (device.medium.calls->remove (device.medium.self, first) == UMBP_ENOENT);
    CU_ASSERT (s_write (&device, bytes, sizeof bytes, &second) == 0);
    CU_ASSERT (second != first && (uint32_t) second == (uint32_t) first);
    CU_ASSERT (s_read (&device, first, 0, back, 100) == UMBP_ENOENT);
    CU_ASSERT (s_read (&device, UINT64_MAX, 0, back, 100) == UMBP_ENOENT);
    CU_ASSERT (s_begin_write (&device, bytes, 17 * PAGE, 1) == UMBP_ETOOBIG);
    s_close (&device);
}

//  What is lent keeps its pages, though it is removed
static void test_lend (void)
{
    device_t device;
    umbp_vram_span_t spans[UMBP_MEDIUM_PIECES_MAX];
    uint8_t *bytes = malloc (8 * PAGE);
    uint64_t at, other;
    CU_ASSERT_FATAL (s_open (&device, "mock:0", 16 * PAGE));
    s_fill (bytes, 8 * PAGE, 1);
    CU_ASSERT (s_write (&device, bytes, 8 * PAGE - 5, &at) == 0);
    int count = umbp_vram_lend (device.vram, at, spans);
    CU_ASSERT (count == 1 && spans[0].bytes == 8 * PAGE - 5);
    CU_ASSERT (umbp_vram_lend (device.vram, at + 1, spans) == UMBP_ENOENT);
    CU_ASSERT (device.medium.calls->remove (device.medium.self, at) == 0);
    CU_ASSERT (umbp_vram_lend (device.vram, at, spans) == UMBP_ENOENT);
    CU_ASSERT (s_write (&device, bytes, 8 * PAGE, &other) == 0);
    CU_ASSERT (s_begin_write (&device, bytes, PAGE, 1) == UMBP_EAGAIN);

    int rc;                             //  As another process would see it
    umbp_memory_t *memory = umbp_memory_new ("mock", 0, &rc, s_why);
    umbp_memory_block_t chunk;
    CU_ASSERT_FATAL (
        umbp_memory_import (memory, umbp_vram_handle (device.vram, spans[0].chunk), &chunk) == 0);
    uint8_t *back = malloc (8 * PAGE);
    CU_ASSERT (umbp_memory_read (memory, &chunk, spans[0].offset, back, spans[0].bytes) == 0);
    CU_ASSERT (memcmp (back, bytes, 8 * PAGE - 5) == 0);
    CU_ASSERT (umbp_memory_give (memory, &chunk) == 0);
    umbp_memory_destroy (&memory);

    umbp_vram_return (device.vram, at);
    CU_ASSERT (s_write (&device, bytes, 8 * PAGE, &other) == 0);
    s_close (&device);
    free (bytes);
    free (back);
}

//  ------------------------------------------------------------------------------------------------
//  Devices that fail

static char s_script[] = "/tmp/umbp-vram-XXXXXX";

static void s_say (const char *word)
{
    int file = open (s_script, O_WRONLY | O_TRUNC);
    CU_ASSERT_FATAL (file != -1 && write (file, word, strlen (word)) == (ssize_t) strlen (word));
    close (file);
}

static void test_fails (void)
{
    device_t device;
    uint8_t bytes[100] = "a", back[100];
    uint64_t at, other;
    s_say (".");
    CU_ASSERT_FATAL (s_open (&device, "mock:0", MIB));
    CU_ASSERT (s_write (&device, bytes, sizeof bytes, &at) == 0);
    s_say ("fail");
    CU_ASSERT (s_write (&device, bytes, sizeof bytes, &other) == UMBP_EIO);
    CU_ASSERT (s_stats (&device).state == UMBP_EIO && s_stats (&device).io_errors == 1);
    CU_ASSERT (s_stats (&device).live_bytes == PAGE);        //  Nothing leaks
    s_say (".");
    CU_ASSERT (s_begin_write (&device, bytes, 1, 1) == UMBP_EIO);        //  It has a rest
    CU_ASSERT (s_read (&device, at, 0, back, 100) == 0);     //  What is there can be read
    CU_ASSERT (s_stats (&device).state == 0 && memcmp (bytes, back, 100) == 0);
    CU_ASSERT (s_write (&device, bytes, sizeof bytes, &other) == 0);     //  Well again
    s_say ("rot");
    CU_ASSERT (s_read (&device, at, 0, back, 100) == 0 && memcmp (bytes, back, 100) != 0);
    s_close (&device);
}

//  The copy that hangs ends with its time, the others at once; the pages it uses are nobody's until it returns
static void test_hangs (void)
{
    device_t device;
    uint8_t bytes[100] = "a", back[100];
    umbp_vram_span_t spans[UMBP_MEDIUM_PIECES_MAX];
    uint64_t at, other;
    s_say (".");
    CU_ASSERT_FATAL (s_open (&device, "mock:0", 2 * PAGE));
    CU_ASSERT (s_write (&device, bytes, sizeof bytes, &at) == 0);
    s_say ("hang");
    CU_ASSERT (s_begin_write (&device, bytes, 100, 5) == 0);
    struct iovec data = { back, 100 };
    CU_ASSERT (device.medium.calls->read (device.medium.self, at, 0, 100, &data, 1, 6) == 0);
    CU_ASSERT (s_await (&device, 5) == UMBP_ETIMEDOUT);
    CU_ASSERT (s_stats (&device).state == UMBP_ETIMEDOUT);
    CU_ASSERT (s_await (&device, 6) == UMBP_EIO);
    CU_ASSERT (s_begin_write (&device, bytes, 100, 7) == UMBP_EIO);
    CU_ASSERT (s_read (&device, at, 0, back, 100) == UMBP_EIO);
    CU_ASSERT (umbp_vram_lend (device.vram, at, spans) == UMBP_EIO);
    CU_ASSERT (s_stats (&device).live_bytes == 2 * PAGE && device.released == 0);
    s_say (".");
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (device.released == 0 && umbp_clock_ms () < end) {
        while (device.medium.calls->event (device.medium.self, &device.last))
            device.released += device.last.type == UMBP_MEDIUM_RELEASED && device.last.tag == 5;
        device.medium.calls->tick (device.medium.self, umbp_clock_ms ());
        usleep (1000);
    }
    CU_ASSERT (device.released == 1 && s_stats (&device).live_bytes == PAGE);
    CU_ASSERT (s_stats (&device).state == 0);
    CU_ASSERT (s_read (&device, at, 0, back, 100) == 0 && memcmp (bytes, back, 100) == 0);
    CU_ASSERT (s_write (&device, bytes, 100, &other) == 0);
    s_close (&device);
}

//  No more copies at a time than there are jobs; each of those that began ends
static void test_bound (void)
{
    device_t device;
    static uint8_t bytes[100];
    s_say (".");
    CU_ASSERT_FATAL (s_open (&device, "mock:0", 300 * PAGE));
    s_say ("hang");
    for (unsigned tag = 0; tag < UMBP_VRAM_JOBS_MAX; tag++)
        CU_ASSERT (s_begin_write (&device, bytes, 100, tag) == 0);
    CU_ASSERT (s_begin_write (&device, bytes, 100, 999) == UMBP_EAGAIN);
    s_say (".");
    CU_ASSERT (s_await (&device, UMBP_VRAM_JOBS_MAX - 1) == 0);
    CU_ASSERT (s_stats (&device).records == UMBP_VRAM_JOBS_MAX && s_stats (&device).waiting == 0);
    CU_ASSERT (s_begin_write (&device, bytes, 100, 999) == 0 && s_await (&device, 999) == 0);
    s_close (&device);
}

//  What is refused says what to do
static void test_refused (void)
{
    CU_ASSERT_PTR_NULL (umbp_vram_new ("punch:0", MIB, s_why));
    CU_ASSERT (strstr (s_why, "punch:0: no such device; allowed are cuda:N, hip:N and mock:N")
               != NULL);
    CU_ASSERT_PTR_NULL (umbp_vram_new ("mock:", MIB, s_why));
    CU_ASSERT_PTR_NULL (umbp_vram_new ("mock:0x", MIB, s_why));
    CU_ASSERT_PTR_NULL (umbp_vram_new ("mock:0", 100, s_why));
    CU_ASSERT (strstr (s_why, "65536 bytes are the least") != NULL);
    setenv ("UMBP_MOCK_HBM_BYTES", "67108864", 1);
    CU_ASSERT_PTR_NULL (umbp_vram_new ("mock:0", 65 * MIB, s_why));
    CU_ASSERT (strstr (s_why, "of 64 MiB are free") && strstr (s_why, "lower hbm/capacity"));
    unsetenv ("UMBP_MOCK_HBM_BYTES");
}

//  ------------------------------------------------------------------------------------------------
//  Drivers

//  A GPU that is there is used as it is; before the stand-ins are loaded
static void test_real (void)
{
    static const char *const names[] = { "cuda:0", "hip:0" };
    unsigned found = 0;
    for (size_t row = 0; row < 2; row++) {
        device_t device;
        if (!s_open (&device, names[row], 64 * MIB)) {
            printf ("\n    skipped, no real device %s: %s", names[row], s_why);
            continue;
        }
        found++;
        printf ("\n    %s: ", names[row]);
        s_churn (&device, 64 * MIB, 3000);
        s_close (&device);
    }
    if (found == 0)
        printf ("\n  ");
}

static void s_stand_in (const char *name, const char *library, const char *blocks)
{
    void *handle = accel_load (library);
    device_t device;
    if (!s_open (&device, name, 60 * MIB))
        printf ("%s: %s\n", name, s_why);
    CU_ASSERT_PTR_NOT_NULL_FATAL (device.vram);
    s_churn (&device, 60 * MIB, 3000);
    s_close (&device);
    CU_ASSERT (*(size_t *) dlsym (handle, blocks) == 0);     //  All was given back
}

static void test_cuda (void)
{
    s_stand_in ("cuda:1", VENDOR ("cuda"), "fake_blocks");
}

static void test_hip (void)
{
    s_stand_in ("hip:1", VENDOR ("amdhip64"), "fake_blocks");
}

int main (void)
{
    alarm (240);
    const char *seed = getenv ("UMBP_SEED");
    s_seed = seed ? strtoull (seed, NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("[vram seed=%llu] ", (unsigned long long) s_seed);
    int file = mkstemp (s_script);
    setenv ("UMBP_MOCK_HBM_SCRIPT", s_script, 1);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("vram", NULL, NULL);
    CU_ADD_TEST (suite, test_fragmentation);
    CU_ADD_TEST (suite, test_names);
    CU_ADD_TEST (suite, test_lend);
    CU_ADD_TEST (suite, test_fails);
    CU_ADD_TEST (suite, test_hangs);
    CU_ADD_TEST (suite, test_bound);
    CU_ADD_TEST (suite, test_refused);
    CU_ADD_TEST (suite, test_real);
    CU_ADD_TEST (suite, test_cuda);
    CU_ADD_TEST (suite, test_hip);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    close (file);
    unlink (s_script);
    return CU_get_number_of_failures () > 0;
}

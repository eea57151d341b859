//  test/unit/log.h - what tests of the segment log share: a folder of their own, blocks that can be told from all
//  others by their bytes, and waiting for events.
#ifndef UMBP_TEST_LOG_H
#define UMBP_TEST_LOG_H

#include <CUnit/Basic.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "actors/tier/log.h"
#include "actors/tier/log_format.h"
#include "actors/tier/log_io.h"
#include "cluster/bulk/clock.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#define MIB (UINT64_C (1) << 20)
#define WAIT_MS 60000
#define SIZE_MOST (3 * MIB)

//  A folder for the directories of a test; those of a file system with O_DIRECT, so not /dev/shm
static inline void test_log_folder (char *folder, size_t size)
{
    const char *base = getenv ("UMBP_LOG_DIRECTORY");
    snprintf (folder, size, "%s/umbp-log-XXXXXX", base ? base : "/var/tmp");
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (folder));
}

static inline void test_log_remove (const char *folder)
{
    char path[512];
    for (int index = 0; index < UMBP_LOG_DIRECTORIES_MAX; index++) {
        snprintf (path, sizeof path, "%s/%d/umbp.log", folder, index);
        unlink (path);
        *strrchr (path, '/') = '\0';
        rmdir (path);
    }
    rmdir (folder);
}

//  Bytes of a block: no two blocks have the same
static inline void test_log_fill (uint8_t *out, size_t size, uint64_t seed)
{
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = umbp_splitmix (&seed);
        memcpy (out + at, &word, size - at < 8 ? size - at : 8);
    }
}

typedef struct {
    const char *engine;
    size_t directories;
    uint64_t capacity, segment_bytes, clean_rate;
    unsigned depth;
    bool strict;
    const struct iovec *buffer;
} test_log_how_t;

static inline umbp_log_t *test_log_open (const char *folder, const test_log_how_t *how, char *why,
                                         size_t why_size)
{
    static char paths[UMBP_LOG_DIRECTORIES_MAX][512];
    const char *names[UMBP_LOG_DIRECTORIES_MAX];
    for (size_t index = 0; index < how->directories; index++) {
        snprintf (paths[index], sizeof paths[index], "%s/%zu", folder, index);
        names[index] = paths[index];
    }
    umbp_log_args_t args = {
        .directories = names, .directory_count = how->directories, .capacity_bytes = how->capacity,
        .segment_bytes = how->segment_bytes, .depth = how->depth, .strict = how->strict,
        .engine = how->engine, .clean_rate = how->clean_rate, .buffers = how->buffer,
        .buffer_count = how->buffer ? 1 : 0,
    };
    return umbp_log_open (&args, why, why_size);
}

//  Next event; false: none came in time, which no test can have
static inline bool test_log_wait (umbp_log_t *log, umbp_medium_event_t *event)
{
    int64_t until = umbp_clock_ms () + WAIT_MS;
    while (!umbp_log_event (log, event)) {
        if (umbp_clock_ms () > until)
            return false;
        poll (&(struct pollfd) { .fd = umbp_log_fd (log), .events = POLLIN }, 1, 20);
        umbp_log_tick (log, umbp_clock_ms ());
    }
    return true;
}

static inline void *test_log_memory (size_t bytes)
{
    void *memory = aligned_alloc (4096, umbp_log_up (bytes, 4096));
    if (!memory)
        abort ();                       //  Also asked for before any test runs
    return memory;
}

//  A log, for tests that are nothing without it
static inline umbp_log_t *test_log_begin (const char *folder, const test_log_how_t *how)
{
    char why[256] = "";
    umbp_log_t *log = test_log_open (folder, how, why, sizeof why);
    if (!log)
        printf ("%s\n", why);
    CU_ASSERT_PTR_NOT_NULL_FATAL (log);
    return log;
}

#endif

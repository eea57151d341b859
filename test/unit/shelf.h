//  test/unit/shelf.h - what tests of the shelf share: a directory of their own, blocks that can be told from all others by
//  their bytes, and waiting for events.
#ifndef UMBP_TEST_SHELF_H
#define UMBP_TEST_SHELF_H

#include <dirent.h>

#include "actors/tier/shelf.h"
#include "actors/tier/shelf_list.h"
#include "test/unit/log.h"

//  In memory, where syncs cost nothing; if there is room for that
static inline void test_shelf_folder (char *folder, size_t size)
{
    snprintf (folder, size, "/dev/shm/umbp-shelf-XXXXXX");
    if (!mkdtemp (folder))
        test_log_folder (folder, size);
}

//  Removes a directory of folders of files
static inline void test_shelf_remove (const char *directory)
{
    DIR *dir = opendir (directory);
    char path[1024];
    for (struct dirent *entry; dir && (entry = readdir (dir));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf (path, sizeof path, "%.700s/%s", directory, entry->d_name);
        if (unlink (path) != 0)
            test_shelf_remove (path);
    }
    if (dir)
        closedir (dir);
    rmdir (directory);
}

//  Files of a node whose names end so
static inline size_t test_shelf_files (const char *directory, const char *node, const char *suffix)
{
    char path[512];
    size_t count = 0, size = strlen (suffix);
    snprintf (path, sizeof path, "%s/%s", directory, node);
    DIR *dir = opendir (path);
    for (struct dirent *entry; dir && (entry = readdir (dir));) {
        size_t length = strlen (entry->d_name);
        count += length > size && strcmp (entry->d_name + length - size, suffix) == 0;
    }
    if (dir)
        closedir (dir);
    return count;
}

static inline umbp_shelf_t *test_shelf_open (const char *directory, const char *node,
                                             uint64_t epoch, umbp_shelf_mode_t mode)
{
    char why[512] = "";
    umbp_shelf_args_t args = { .directory = directory,
                               .node = node,
                               .epoch = epoch,
                               .capacity_bytes = 64 * MIB, .segment_bytes = 4 * MIB, .mode = mode };
    umbp_shelf_t *shelf = umbp_shelf_open (&args, why, sizeof why);
    if (!shelf)
        printf ("%s\n", why);
    return shelf;
}

//  The next event, while the clock is ahead by so much; its status is 1 if none came in time
static inline umbp_medium_event_t test_shelf_event (umbp_shelf_t *shelf, int64_t ahead_ms)
{
    umbp_medium_event_t event = { .status = 1 };
    int64_t until = umbp_clock_ms () + WAIT_MS;
    while (!umbp_shelf_event (shelf, &event) && umbp_clock_ms () < until) {
        poll (&(struct pollfd) { .fd = umbp_shelf_fd (shelf), .events = POLLIN }, 1, 10);
        umbp_shelf_tick (shelf, umbp_clock_ms () + ahead_ms);
    }
    return event;
}

static inline int test_shelf_append (umbp_shelf_t *shelf, uint8_t *memory, uint32_t number,
                                     uint32_t size, uint64_t seed)
{
    char key[32];
    snprintf (key, sizeof key, "key %u", number);
    test_log_fill (memory, size, seed);
    umbp_medium_record_t record = { .key = key,
                                 .key_size = strlen (key),
                                 .size = size,
                                 .sum = XXH3_64bits (memory, size), .depth = 7, .replicas = 2 };
    return umbp_shelf_append (shelf, &record, &(struct iovec) { memory, size }, 1, number, number);
}

static inline uint32_t test_shelf_number (const umbp_medium_record_t *record)
{
    char key[32] = "";
    memcpy (key, record->key, record->key_size < 31 ? record->key_size : 31);
    return strncmp (key, "key ", 4) == 0 ? (uint32_t) strtoul (key + 4, NULL, 10) : UINT32_MAX;
}

#endif

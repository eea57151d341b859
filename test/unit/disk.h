//  test/unit/disk.h - a node of one's own with a tier on disk, and blocks for it. The disk is a folder in memory where
//  there is room for it, and what has to leave the node's memory may wait for it for as long as a test does: so nothing
//  is lost since a machine is busy, and a test can want all of it back.
#ifndef UMBP_TEST_DISK_H
#define UMBP_TEST_DISK_H

#include <dirent.h>
#include <sys/statvfs.h>

#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

#define MIB (1 << 20)
#define DISK_MS 60000                   //  For anything that has to come true
#define DISK_ROOM ((uint64_t) 1 << 30)  //  Less is left to others

typedef struct {
    nodes_t nodes;                      //  One
    char disk[64];
} disk_t;

static uint64_t disk_seed;              //  Of the bytes of all blocks: another one, other bytes

//  The folder, and the files in it
static inline void disk_erase (const char *folder)
{
    DIR *dir = opendir (folder);
    char path[512];
    for (struct dirent *entry; dir && (entry = readdir (dir));) {
        snprintf (path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink (path);
    }
    if (dir)
        closedir (dir);
    rmdir (folder);
}

static inline void disk_folder (char *folder, size_t size)
{
    struct statvfs is;
    bool room = statvfs ("/dev/shm", &is) == 0 && access ("/dev/shm", W_OK) == 0
                && (uint64_t) is.f_bavail * is.f_frsize > DISK_ROOM;
    snprintf (folder, size, "%s/umbp-disk-XXXXXX", room ? "/dev/shm" : "/tmp");
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (folder));
}

//  Its options, for a test to change before it runs: 128 MiB of disk, with 8 of staging
static inline umbp_node_options_t *disk_prepare (disk_t *self, doors_t doors, uint64_t dram_bytes)
{
    memset (self, 0, sizeof *self);
    snprintf (self->nodes.run_dir, sizeof self->nodes.run_dir, "/tmp/umbp-test-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->nodes.run_dir));
    disk_folder (self->disk, sizeof self->disk);
    nodes_options (&self->nodes, 0, doors, dram_bytes);
    umbp_node_options_t *options = &self->nodes.options[0];
    snprintf (options->nvme_dirs, sizeof options->nvme_dirs, "%s", self->disk);
    options->nvme_bytes = 128 * MIB;
    options->nvme_segment_bytes = 4 * MIB;
    options->nvme_staging_bytes = 8 * MIB;
    options->migration_patience_ms = DISK_MS;
    return options;
}

static inline void disk_run (disk_t *self)
{
    self->nodes.nodes[0] = nodes_new (&self->nodes.options[0]);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[0]);
    self->nodes.count = 1;
    CU_ASSERT_FATAL (nodes_meet (&self->nodes));
}

//  It ends, and starts again with the disk that its options name
static inline void disk_again (disk_t *self)
{
    umbp_node_destroy (&self->nodes.nodes[0]);
    self->nodes.nodes[0] = nodes_again (&self->nodes.options[0]);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[0]);
    CU_ASSERT_FATAL (nodes_meet (&self->nodes));
}

static inline void disk_stop (disk_t *self)
{
    nodes_stop (&self->nodes);
    disk_erase (self->disk);
}

static inline const char *disk_endpoint (const disk_t *self)
{
    return umbp_node_endpoint (self->nodes.nodes[0]);
}

static inline uint64_t disk_gauge (const disk_t *self, const char *tier, const char *name)
{
    return gauge (disk_endpoint (self), tier, name);
}

//  Wait until a gauge is at least this
static inline bool disk_until (const disk_t *self, const char *tier, const char *name,
                               uint64_t least)
{
    int64_t end = umbp_clock_ms () + DISK_MS;
    uint64_t is = disk_gauge (self, tier, name);
    for (; is < least && umbp_clock_ms () < end; is = disk_gauge (self, tier, name))
        usleep (20000);
    if (is < least)
        printf ("\n    %s: %s is %llu of %llu\n", tier, name, (unsigned long long) is,
                (unsigned long long) least);
    return is >= least;
}

//  --------------------------------------------------------------------------------------------------
//  Blocks: name-number, of one size, filled from the number and the first letter of the name

typedef struct {
    size_t count;
    char (*keys)[32];
    umbp_item_t *items;
    uint8_t *bytes;
} batch_t;

static inline uint64_t disk_number (const char *name, size_t number)
{
    return disk_seed + ((uint64_t) (unsigned char) *name << 32) + number;
}

static inline batch_t batch_new (const char *name, size_t first, size_t count, size_t block)
{
    batch_t self = { count, calloc (count, sizeof *self.keys), calloc (count, sizeof *self.items),
                     calloc (count, block) };
    assert (self.keys && self.items && self.bytes);
    for (size_t index = 0; index < count; index++) {
        snprintf (self.keys[index], sizeof self.keys[index], "%s-%zu", name, first + index);
        self.items[index] = (umbp_item_t){ .key = { self.keys[index], strlen (self.keys[index]) },
                                           .data = self.bytes + index * block, .size = block };
    }
    return self;
}

static inline void batch_destroy (batch_t *self)
{
    free (self->keys);
    free (self->items);
    free (self->bytes);
}

//  Put so many; who finds no room tries again
static inline void disk_put (umbp_t *pool, const char *name, size_t first, size_t count,
                             size_t block, umbp_put_options_t how)
{
    batch_t batch = batch_new (name, first, count, block);
    for (size_t index = 0; index < count; index++)
        nodes_fill (batch.items[index].data, block, disk_number (name, first + index));
    int64_t end = umbp_clock_ms () + DISK_MS;
    int done = 0;
    while (done < (int) count && umbp_clock_ms () < end)
        done = umbp_put_batch (pool, batch.items, count, &how, DISK_MS);
    CU_ASSERT (done == (int) count);
    batch_destroy (&batch);
}

//  Get so many in one call. Returns how many are there; those have the right bytes, and all others are misses, or were
//  not there in time if failed_p is not NULL.
static inline size_t disk_get (umbp_t *pool, const char *name, size_t first, size_t count,
                               size_t block, uint32_t timeout_ms, size_t *failed_p)
{
    batch_t batch = batch_new (name, first, count, block);
    size_t found = 0, wrong = 0, failed = 0;
    umbp_get_batch (pool, batch.items, count, timeout_ms);
    for (size_t index = 0; index < count; index++) {
        int status = batch.items[index].status;
        found += status == 0;
        failed += status != 0 && status != UMBP_ENOENT;
        if (!failed_p && status != 0 && status != UMBP_ENOENT)
            printf ("\n    %s: %s\n", batch.keys[index], umbp_strerror (status));
        wrong +=
            status == 0
            && !nodes_is_filled (batch.items[index].data, block, disk_number (name, first + index));
    }
    CU_ASSERT (wrong == 0);
    CU_ASSERT (failed == 0 || failed_p);
    if (failed_p)
        *failed_p = failed;
    batch_destroy (&batch);
    return found;
}

#endif

//  actors/tier/vram_job.c - what the thread of a vram does. See vram_job.h.
#include "actors/tier/vram_job.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

//  Walks the pieces of host memory of a job
typedef struct {
    const struct iovec *piece;
    size_t at;                          //  In it
} cursor_t;

//  Begin to copy bytes of a chunk from or to where the cursor is. Returns 0 or an error.
static int s_copy (const umbp_vram_job_t *job, cursor_t *cursor, const umbp_memory_block_t *chunk,
                   uint64_t from, uint64_t bytes)
{
    umbp_memory_t *memory = job->driver->memory;
    int rc = 0;
    while (bytes > 0 && rc == 0) {
        uint64_t some = cursor->piece->iov_len - cursor->at;
        some = some < bytes ? some : bytes;
        uint8_t *host = (uint8_t *) cursor->piece->iov_base + cursor->at;
        rc = job->what == UMBP_VRAM_WRITE ? umbp_memory_write (memory, chunk, from, host, some)
                                          : umbp_memory_read (memory, chunk, from, host, some);
        from += some;
        bytes -= some;
        cursor->at += some;
        if (cursor->at == cursor->piece->iov_len)
            *cursor = (cursor_t) { cursor->piece + 1, 0 };
    }
    return rc;
}

//  All of a job's bytes. Returns 0, or UMBP_EIO: then any of them may be there or not, and none is on its way.
static int s_move (const umbp_vram_job_t *job)
{
    cursor_t cursor = { job->data, 0 };
    uint64_t skip = job->offset, left = job->bytes;
    int rc = 0;
    for (size_t index = 0; index < job->extent_count && left > 0 && rc == 0; index++) {
        const umbp_extent_t *extent = &job->extents[index];
        uint64_t size = umbp_extent_size (extent, UMBP_VRAM_PAGE_BYTES);
        if (skip >= size) {
            skip -= size;
            continue;
        }
        uint64_t bytes = size - skip < left ? size - skip : left;
        rc = s_copy (job, &cursor, &job->driver->chunks[extent->region],
                     umbp_extent_offset (extent, UMBP_VRAM_PAGE_BYTES) + skip, bytes);
        left -= bytes;
        skip = 0;
    }
    int waited = umbp_memory_wait (job->driver->memory);
    return rc < 0 || waited < 0 ? UMBP_EIO : 0;
}

static void s_give_all (umbp_vram_driver_t *driver)
{
    for (size_t index = 0; index < driver->chunk_count; index++)
        if (driver->chunks[index].bytes)
            umbp_memory_give (driver->memory, &driver->chunks[index]);
    umbp_memory_destroy (&driver->memory);
}

//  Returns 0, or an error with why
static int s_take_all (umbp_vram_job_t *job)
{
    umbp_vram_driver_t *driver = job->driver;
    uint64_t total = 0, left = 0, wanted = 0;
    char reason[128] = "lower hbm/capacity, or have others free some";
    int rc = umbp_memory_room (driver->memory, &total, &left);
    driver->lends = true;
    for (size_t index = 0; index < driver->chunk_count; index++)
        wanted += driver->chunk_bytes[index];
    for (size_t index = 0; index < driver->chunk_count && rc == 0; index++) {
        rc = umbp_memory_take (driver->memory, driver->chunk_bytes[index], &driver->chunks[index]);
        driver->lends =
            driver->lends && rc == 0
            && umbp_memory_export (driver->memory, &driver->chunks[index], &driver->handles[index])
                   == 0;
    }
    if (rc < 0 && rc != UMBP_ENOSPC)
        snprintf (reason, sizeof reason, "%s", umbp_strerror (rc));
    if (rc < 0)
        snprintf (job->why, sizeof job->why,
                  "%s:%d: cannot take %" PRIu64 " MiB, %" PRIu64 " of %" PRIu64 " MiB are free: %s",
                  driver->kind, driver->number, wanted >> 20, left >> 20, total >> 20, reason);
    return rc;
}

static int s_open (umbp_vram_job_t *job)
{
    umbp_vram_driver_t *driver = job->driver;
    char why[UMBP_MEMORY_WHY_MAX];
    int rc = 0;
    driver->memory = umbp_memory_new (driver->kind, driver->number, &rc, why);
    if (!driver->memory) {
        snprintf (job->why, sizeof job->why, "%s:%d: %s", driver->kind, driver->number, why);
        return rc;
    }
    rc = s_take_all (job);
    if (rc < 0)
        s_give_all (driver);
    return rc;
}

void umbp_vram_job_run (umbp_task_t *task)
{
    umbp_vram_job_t *job = (umbp_vram_job_t *) task;
    if (pthread_mutex_trylock (&job->driver->lock) != 0) {
        job->status = UMBP_EIO;         //  A call of another thread does not return
        return;
    }
    switch (job->what) {
    case UMBP_VRAM_IDLE: break;
    case UMBP_VRAM_OPEN: job->status = s_open (job); break;
    case UMBP_VRAM_WRITE:
    case UMBP_VRAM_READ: job->status = s_move (job); break;
    case UMBP_VRAM_LOOK:
        job->status = umbp_memory_room (job->driver->memory, &job->total, &job->left);
        break;
    case UMBP_VRAM_CLOSE: s_give_all (job->driver); break;
    }
    pthread_mutex_unlock (&job->driver->lock);
}

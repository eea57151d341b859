//  test/unit/shared.h - what tests of the shared tier have in common: nodes of this process and one that is a process of its
//  own, with one directory; blocks of theirs; and a mount that can be made ill, for the nodes of this process.
#ifndef UMBP_TEST_SHARED_H
#define UMBP_TEST_SHARED_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>

#include "cluster/bulk/clock.h"
#include "proto/error.h"
#include "test/unit/gauge.h"
#include "test/unit/spawn.h"

#define MIB (1 << 20)
#define BLOCK 65536
#define BATCH 20
#define WAIT_MS 60000

static uint64_t shared_seed;
static unsigned shared_deadline_ms;          //  Of the mount, in the next nodes

typedef struct {
    nodes_t nodes;
    char directory[64];
    pid_t pid;                          //  Of the node that is killed
    char listen[64];
} shared_t;

//  ------------------------------------------------------------------------------------------------
//  Faults, in the nodes of this process

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    const char *call;
    int error;                          //  -1: it hangs
} shared_ill = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0 };

int umbp_shelf_fault (const char *call, const char *path)
{
    (void) path;
    int error = 0;
    pthread_mutex_lock (&shared_ill.lock);
    while (shared_ill.call && shared_ill.error == -1)
        pthread_cond_wait (&shared_ill.more, &shared_ill.lock);
    if (shared_ill.call && strcmp (call, shared_ill.call) == 0)
        error = shared_ill.error;
    pthread_mutex_unlock (&shared_ill.lock);
    return error;
}

//  call NULL: well again; error -1: every call hangs
static inline void shared_set_ill (const char *call, int error)
{
    pthread_mutex_lock (&shared_ill.lock);
    shared_ill.call = call;
    shared_ill.error = error;
    pthread_cond_broadcast (&shared_ill.more);
    pthread_mutex_unlock (&shared_ill.lock);
}

//  ------------------------------------------------------------------------------------------------
//  Nodes

static inline void shared_options (shared_t *self, umbp_node_options_t *options)
{
    snprintf (options->shared_dir, sizeof options->shared_dir, "%s", self->directory);
    options->shared_bytes = 64 * MIB;
    options->shared_segment_bytes = 2 * MIB;
    options->shared_staging_bytes = 8 * MIB;
    options->shared_takeover_ms = 500;
    options->shared_deadline_ms = shared_deadline_ms;
    options->suspect_ms = 3000;
    options->gone_ms = 5000;
}

//  Nodes of this process, with the tier
static inline void shared_start (shared_t *self, size_t count)
{
    memset (self, 0, sizeof *self);
    shared_deadline_ms = shared_deadline_ms ? shared_deadline_ms : 10000;
    snprintf (self->nodes.run_dir, sizeof self->nodes.run_dir, "/tmp/umbp-shared-XXXXXX");
    snprintf (self->directory, sizeof self->directory, "/dev/shm/umbp-shared-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->nodes.run_dir));
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (self->directory));
    for (size_t number = 0; number < count; number++) {
        nodes_options (&self->nodes, number, WITHOUT_DOORS, 8 * MIB);
        shared_options (self, &self->nodes.options[number]);
        self->nodes.nodes[number] = nodes_new (&self->nodes.options[number]);
        CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[number]);
        self->nodes.count = number + 1;
    }
    CU_ASSERT_FATAL (nodes_meet (&self->nodes));
    shared_deadline_ms = 0;
}

//  Another one, as a process: the writer
static inline void shared_spawn (shared_t *self)
{
    static unsigned port = 21500;
    if (!*self->listen)
        snprintf (self->listen, sizeof self->listen, "tcp://%s:%u", loopback_host (), port++);
    char *const flags[] = { "--dram-capacity",
                            "8MiB",
                            "--dram-region",
                            "4MiB",
                            "--shared-directory",
                            self->directory,
                            "--shared-capacity",
                            "64MiB",
                            "--shared-segment",
                            "2MiB",
                            "--shared-staging",
                            "8MiB",
                            "--shared-takeover",
                            "500ms",
                            "--shared-deadline",
                            "10s",
                            NULL };
    self->pid = spawn_node (&self->nodes, "writer", self->listen, flags);
    CU_ASSERT_FATAL (self->pid > 0);
}

static inline umbp_t *shared_connect (const char *endpoint)
{
    umbp_options_t how = { .endpoints = endpoint, .timeout_ms = 500 };
    umbp_t *pool = NULL;
    for (int64_t end = umbp_clock_ms () + WAIT_MS; !pool && umbp_clock_ms () < end;)
        pool = umbp_connect (&how, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    return pool;
}

//  A client of a node that sees so many in the ring
static inline umbp_t *shared_meet (const char *endpoint, size_t count)
{
    umbp_t *pool = shared_connect (endpoint);
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (nodes_in_ring (pool) != count && umbp_clock_ms () < end) {
        umbp_close (&pool);
        usleep (20000);
        pool = shared_connect (endpoint);
    }
    CU_ASSERT_FATAL (nodes_in_ring (pool) == count);
    return pool;
}

static inline int shared_erase (const char *path, const struct stat *stat, int type,
                                struct FTW *ftw)
{
    (void) stat;
    (void) type;
    (void) ftw;
    return remove (path);
}

static inline void shared_stop (shared_t *self)
{
    spawn_kill (&self->pid);
    nodes_stop (&self->nodes);
    nftw (self->directory, shared_erase, 8, FTW_DEPTH | FTW_PHYS);
}

static inline uint64_t shared_gauge (const shared_t *self, size_t number, const char *tier,
                                     const char *name)
{
    return gauge (umbp_node_endpoint (self->nodes.nodes[number]), tier, name);
}

//  Of all nodes of this process
static inline uint64_t shared_sum (const shared_t *self, const char *name)
{
    uint64_t sum = 0;
    for (size_t number = 0; number < self->nodes.count; number++)
        sum += shared_gauge (self, number, "tier:shared", name);
    return sum;
}

static inline bool shared_until (const shared_t *self, const char *name, uint64_t value)
{
    int64_t end = umbp_clock_ms () + WAIT_MS;
    uint64_t is = shared_sum (self, name);
    for (; is != value && umbp_clock_ms () < end; is = shared_sum (self, name))
        usleep (20000);
    if (is != value)
        printf ("\n    %s is %llu, and not %llu\n", name, (unsigned long long) is,
                (unsigned long long) value);
    return is == value;
}

//  ------------------------------------------------------------------------------------------------
//  Blocks

typedef struct {
    char keys[BATCH][32];
    umbp_item_t items[BATCH];
    uint8_t *bytes;
} batch_t;

static inline size_t shared_batch (batch_t *batch, const char *name, size_t first, size_t end)
{
    size_t count = end - first < BATCH ? end - first : BATCH;
    for (size_t index = 0; index < count; index++) {
        snprintf (batch->keys[index], sizeof batch->keys[index], "%s-%zu", name, first + index);
        batch->items[index] =
            (umbp_item_t){ .key = { batch->keys[index], strlen (batch->keys[index]) },
                           .data = batch->bytes + index * BLOCK, .size = BLOCK };
    }
    return count;
}

//  Returns how many were put
static inline size_t shared_put (umbp_t *pool, const char *name, size_t count, unsigned tier)
{
    umbp_put_options_t how = { .tier = (uint8_t) tier };
    batch_t batch = { .bytes = malloc ((size_t) BATCH * BLOCK) };
    size_t put = 0;
    for (size_t first = 0; first < count; first += BATCH) {
        size_t some = shared_batch (&batch, name, first, count);
        for (size_t index = 0; index < some; index++)
            nodes_fill (batch.items[index].data, BLOCK, shared_seed + first + index);
        int done = umbp_put_batch (pool, batch.items, some, &how, WAIT_MS);
        put += done > 0 ? (size_t) done : 0;
    }
    free (batch.bytes);
    return put;
}

//  Returns how many are there, and right. others: how many were neither, nor misses
static inline size_t shared_get (umbp_t *pool, const char *name, size_t count, uint32_t timeout_ms,
                                 size_t *others)
{
    batch_t batch = { .bytes = malloc ((size_t) BATCH * BLOCK) };
    size_t found = 0, wrong = 0;
    *others = 0;
    for (size_t first = 0; first < count; first += BATCH) {
        size_t some = shared_batch (&batch, name, first, count);
        memset (batch.bytes, 0, (size_t) BATCH * BLOCK);
        umbp_get_batch (pool, batch.items, some, timeout_ms);
        for (size_t index = 0; index < some; index++) {
            int status = batch.items[index].status;
            found += status == 0;
            *others += status != 0 && status != UMBP_ENOENT;
            wrong +=
                status == 0
                && !nodes_is_filled (batch.items[index].data, BLOCK, shared_seed + first + index);
        }
    }
    CU_ASSERT (wrong == 0);
    free (batch.bytes);
    return found;
}

//  All of them, whatever is in the middle of changing
static inline bool shared_get_all (umbp_t *pool, const char *name, size_t count)
{
    size_t others, found = 0;
    int64_t end = umbp_clock_ms () + WAIT_MS;
    while (found < count && umbp_clock_ms () < end)
        found = shared_get (pool, name, count, WAIT_MS, &others);
    if (found < count)
        printf ("\n    %s: %zu of %zu\n", name, found, count);
    return found == count;
}

static inline size_t shared_remove (umbp_t *pool, const char *name, size_t count)
{
    size_t removed = 0;
    for (size_t index = 0; index < count; index++) {
        char key[32];
        snprintf (key, sizeof key, "%s-%zu", name, index);
        int64_t end = umbp_clock_ms () + WAIT_MS;
        int rc = umbp_remove (pool, key);
        bool unsure = false;            //  The answer was late: it may be gone all the same
        while ((rc == UMBP_ETIMEDOUT || rc == UMBP_EUNREACH) && umbp_clock_ms () < end) {
            unsure = true;
            rc = umbp_remove (pool, key);
        }
        bool gone = rc == 0 || (unsure && rc == UMBP_ENOENT);
        if (!gone)
            printf ("\n    remove of %s: %s\n", key, umbp_strerror (rc));
        removed += gone;
    }
    return removed;
}

static inline void shared_restart (shared_t *self, size_t number)
{
    umbp_node_destroy (&self->nodes.nodes[number]);
    self->nodes.nodes[number] = nodes_again (&self->nodes.options[number]);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->nodes.nodes[number]);
    CU_ASSERT_FATAL (nodes_meet (&self->nodes));
}

#endif

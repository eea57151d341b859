//  test/unit/test_failover.c - a node is killed in the middle of a batch get: all keys of which another node has a
//  replica are read all the same, within the deadline of that call. The nodes are processes, and die by SIGKILL.
#include "test/unit/forked.h"

#include <pthread.h>

#define OWNERS 4                        //  One after the other is killed
#define BLOCKS 48
#define SIZE (1 << 20)
#define DEADLINE_MS 60000
#define MIB (1 << 20)

static uint64_t s_seed;
static char s_folder[64];
static forked_t s_processes[1 + OWNERS];            //  The first is the one that we ask

static void s_set (umbp_node_options_t *options, int number)
{
    snprintf (options->node, sizeof options->node, "node-%d", number);
    snprintf (options->cluster, sizeof options->cluster, "failover-%d", getppid ());
    snprintf (options->run_dir, sizeof options->run_dir, "%s", s_folder);
    options->heartbeat_ms = 200;
    options->suspect_ms = 2000;         //  Death is found out by those who ask the dead
    options->gone_ms = 8000;
    options->dram_bytes = 256 * MIB;
    options->region_bytes = 256 * MIB;
    options->prefault = false;
    options->index_keys = 10000;
    options->kv_hashes = 1000;
    options->log_level = 1;
}

//  A client of a node that sees so many in the ring
static umbp_t *s_connect (int number, size_t ring, bool no_shm)
{
    umbp_options_t how = { .endpoints = s_processes[number].endpoint,
                           .timeout_ms = DEADLINE_MS,
                           .no_shm = no_shm };
    umbp_t *pool = NULL;
    int64_t end = umbp_clock_ms () + DEADLINE_MS;
    do {
        umbp_close (&pool);
        pool = umbp_connect (&how, NULL);
    } while (umbp_clock_ms () < end && (!pool || nodes_in_ring (pool) != ring));
    return pool && nodes_in_ring (pool) == ring ? pool : NULL;
}

typedef struct {
    umbp_t *pool;
    char keys[BLOCKS][32];
    umbp_item_t items[BLOCKS];
} batch_t;

static batch_t *s_batch (umbp_t *pool, int round)
{
    batch_t *batch = calloc (1, sizeof *batch);
    batch->pool = pool;
    for (size_t index = 0; index < BLOCKS; index++) {
        snprintf (batch->keys[index], sizeof batch->keys[index], "round-%d-%zu", round, index);
        batch->items[index] =
            (umbp_item_t){ /* clang-format off */
            .key = { batch->keys[index], strlen (batch->keys[index]) },
            .data = malloc (SIZE), .size = index % 4 ? SIZE : 1000 };
        nodes_fill (batch->items[index].data, batch->items[index].size, s_seed + index);
    }
    return batch;
}

static void s_batch_free (batch_t **batch_p)
{
    for (size_t index = 0; index < BLOCKS; index++)
        free ((*batch_p)->items[index].data);
    free (*batch_p);
    *batch_p = NULL;
}

static void *s_get (void *arg)
{
    batch_t *batch = arg;
    for (size_t index = 0; index < BLOCKS; index++) {
        memset (batch->items[index].data, 0, SIZE);
        batch->items[index].size = SIZE;
        batch->items[index].status = 1;
    }
    umbp_get_batch (batch->pool, batch->items, BLOCKS, DEADLINE_MS);
    return NULL;
}

static size_t s_wrong (const batch_t *batch)
{
    size_t wrong = 0;
    for (size_t index = 0; index < BLOCKS; index++) {
        const umbp_item_t *item = &batch->items[index];
        size_t size = index % 4 ? SIZE : 1000;
        bool right = item->status == 0 && item->size == size
                     && nodes_is_filled (item->data, size, s_seed + index);
        if (!right)
            printf ("\n    %s: status=%d\n", batch->keys[index], item->status);
        wrong += !right;
    }
    return wrong;
}

//  Kill an owner while a get of all its blocks is under way. Through doors and over tcp in turn; two replicas each,
//  of which one is at the owner.
static void s_round (int victim, size_t ring)
{
    uint64_t random = s_seed + (uint64_t) victim;
    bool no_shm = victim % 2;
    umbp_t *writer = s_connect (victim, ring, false), *reader = s_connect (0, ring, no_shm);
    CU_ASSERT_FATAL (writer && reader);
    batch_t *batch = s_batch (writer, victim);
    umbp_put_options_t options = { .replicas = 2 };
    CU_ASSERT (umbp_put_batch (writer, batch->items, BLOCKS, &options, DEADLINE_MS) == BLOCKS);
    umbp_stats_t stats;
    umbp_stats (writer, &stats);
    CU_ASSERT (stats.replicas_missing == 0);
    umbp_close (&writer);
    batch->pool = reader;
    pthread_t thread;
    pthread_create (&thread, NULL, s_get, batch);
    usleep (
        (useconds_t) (umbp_splitmix (&random) % 20000)); //  Somewhere in it, or before, or after
    forked_kill (&s_processes[victim]);
    pthread_join (thread, NULL);
    CU_ASSERT (s_wrong (batch) == 0);
    s_get (batch);                      //  And now that it is surely gone
    CU_ASSERT (s_wrong (batch) == 0);
    s_batch_free (&batch);
    umbp_close (&reader);
}

static void test_killed_owner (void)
{
    for (int number = 0; number <= OWNERS; number++)
        CU_ASSERT_FATAL (forked_start (&s_processes[number], s_processes[0].endpoint));
    for (int victim = 1; victim < OWNERS; victim++)  //  Two are left in the end
        s_round (victim, (size_t) (OWNERS + 2 - victim));
}

int main (void)
{
    alarm (280);
    signal (SIGPIPE, SIG_IGN);
    s_seed = nodes_seed ("failover");
    fflush (stdout);
    snprintf (s_folder, sizeof s_folder, "/tmp/umbp-test-XXXXXX");
    bool fine = mkdtemp (s_folder) != NULL;
    for (int number = 0; fine && number <= OWNERS; number++)
        fine = forked_new (s_processes, number, s_set);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("failover", NULL, NULL);
    CU_ADD_TEST (suite, test_killed_owner);
    if (fine)
        CU_basic_run_tests ();
    for (int number = 0; number <= OWNERS; number++)
        forked_kill (&s_processes[number]);
    char command[128];
    snprintf (command, sizeof command, "rm -rf %s", s_folder);
    fine = system (command) == 0 && fine;            //  Doors of the dead
    return !fine || CU_get_number_of_failures () > 0;
}

//  test/unit/test_failover.c - a node is killed in the middle of a batch get: all keys of which another node has a
//  replica are read all the same, within the deadline of that call. The nodes are processes, and die by SIGKILL.
//
//  Each is forked before this process has any thread, and waits for its orders on a pipe; it answers with its
//  endpoint, or is never started.
#include "test/unit/nodes.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define OWNERS 4                        //  One after the other is killed
#define BLOCKS 48
#define SIZE (1 << 20)
#define DEADLINE_MS 60000
#define MIB (1 << 20)

typedef struct {
    pid_t pid;
    int orders, says;                   //  Our ends of its pipes
    char endpoint[256];
} process_t;

static uint64_t s_seed;
static char s_folder[64];
static process_t s_processes[1 + OWNERS];            //  The first is the one that we ask

//  A node, until somebody kills it
static void s_be_node (int number, int orders, int says)
{
    char seeds[1024];
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    ssize_t size = read (orders, seeds, sizeof seeds);
    if (size <= 0)
        _exit (0);                      //  Not needed
    umbp_node_options_t options;
    umbp_node_options_init (&options);
    snprintf (options.node, sizeof options.node, "node-%d", number);
    snprintf (options.cluster, sizeof options.cluster, "failover-%d", getppid ());
    snprintf (options.listen, sizeof options.listen, "%s", loopback_tcp ());
    snprintf (options.seeds, sizeof options.seeds, "%s", seeds);
    snprintf (options.run_dir, sizeof options.run_dir, "%s", s_folder);
    options.heartbeat_ms = 200;
    options.suspect_ms = 2000;          //  Death is found out by those who ask the dead
    options.gone_ms = 8000;
    options.dram_bytes = 256 * MIB;
    options.region_bytes = 256 * MIB;
    options.prefault = false;
    options.index_keys = 10000;
    options.kv_hashes = 1000;
    options.log_level = 1;
    umbp_node_t *node = umbp_node_new (&options, NULL);
    const char *endpoint = node ? umbp_node_endpoint (node) : "";
    if (write (says, endpoint, strlen (endpoint) + 1) < 1)
        _exit (1);
    while (read (orders, seeds, sizeof seeds) > 0)
        ;
    _exit (0);
}

static bool s_fork (int number)
{
    int orders[2], says[2];
    if (pipe (orders) == -1 || pipe (says) == -1)
        return false;
    process_t *process = &s_processes[number];
    process->pid = fork ();
    if (process->pid == 0) {
        for (int other = 0; other < number; other++) {
            close (s_processes[other].orders);
            close (s_processes[other].says);
        }
        close (orders[1]);
        close (says[0]);
        s_be_node (number, orders[0], says[1]);
    }
    close (orders[0]);
    close (says[1]);
    process->orders = orders[1];
    process->says = says[0];
    return process->pid > 0;
}

static bool s_start (int number)
{
    process_t *process = &s_processes[number];
    const char *seeds = s_processes[0].endpoint;     //  Empty for the first
    return write (process->orders, seeds, strlen (seeds) + 1) > 0
           && read (process->says, process->endpoint, sizeof process->endpoint) > 1;
}

static void s_kill (int number)
{
    process_t *process = &s_processes[number];
    if (process->pid <= 0)
        return;
    kill (process->pid, SIGKILL);
    waitpid (process->pid, NULL, 0);
    process->pid = 0;
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
    s_kill (victim);
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
        CU_ASSERT_FATAL (s_start (number));
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
        fine = s_fork (number);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("failover", NULL, NULL);
    CU_ADD_TEST (suite, test_killed_owner);
    if (fine)
        CU_basic_run_tests ();
    for (int number = 0; number <= OWNERS; number++)
        s_kill (number);
    char command[128];
    snprintf (command, sizeof command, "rm -rf %s", s_folder);
    fine = system (command) == 0 && fine;            //  Doors of the dead
    return !fine || CU_get_number_of_failures () > 0;
}

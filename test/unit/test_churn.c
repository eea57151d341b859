//  test/unit/test_churn.c - nodes come, leave and die while others read and write: a block that is there all the time
//  is found every time, by every client, and so is one whose put has just returned.
//
//  UMBP_CHURN_SECONDS: so long one joins and one leaves every 5 seconds
#include <pthread.h>
#include <stdatomic.h>

#include "test/unit/spawn.h"

#define STABLE 3                        //  Nodes that stay
#define KEYS 1500                       //  Blocks that stay
#define BLOCK 512
#define SUSPECT_MS 1500
#define GONE_MS 4000

static nodes_t s_nodes;
static atomic_bool s_over;
static atomic_ullong s_reads, s_writes, s_missed, s_errors;

typedef struct {
    size_t number;                      //  The node it is a client of
    uint64_t state;                     //  Of random numbers
    bool writes;
    pthread_t thread;
} worker_t;

static void s_key (char *key, size_t size, const char *kind, uint64_t number)
{
    snprintf (key, size, "%s-%llu", kind, (unsigned long long) number);
}

static void s_count (const char *what, const char *key, int rc)
{
    if (rc == 0)
        return;
    printf ("\n    %s %s: %d", what, key, rc);
    if (rc == UMBP_ENOENT)
        s_missed++;
    else
        s_errors++;
}

//  With one copy of each index entry a block may be out of sight for a moment: so long it is looked for
#define REMOVE_MS 30000

static int64_t s_patience_ms;

static bool s_again (int rc, int64_t began_ms)
{
    return (rc == UMBP_ENOENT || rc == UMBP_EUNREACH)
           && umbp_clock_ms () - began_ms < s_patience_ms;
}

static int s_get (umbp_t *pool, const char *key, uint64_t number)
{
    uint8_t got[BLOCK], wanted[BLOCK];
    nodes_fill (wanted, sizeof wanted, number);
    long rc = umbp_get (pool, key, got, sizeof got);
    if (rc < 0)
        return (int) rc;
    return rc == BLOCK && memcmp (got, wanted, BLOCK) == 0 ? 0 : UMBP_ECHECKSUM;
}

//  Any of the blocks that stay
static void s_read (worker_t *self, umbp_t *pool)
{
    char key[32];
    uint64_t drawn = umbp_splitmix (&self->state), number = drawn % KEYS;
    int64_t began_ms = umbp_clock_ms ();
    bool exists = drawn >> 32 & 1;
    int rc;
    s_key (key, sizeof key, "stays", number);
    do
        rc = !exists ? s_get (pool, key, number) : umbp_exists (pool, key) == 1 ? 0 : UMBP_ENOENT;
    while (s_again (rc, began_ms));
    s_count (exists ? "exists" : "get", key, rc);
    s_reads++;
}

//  Put here, got at the next node at once
static void s_write (worker_t *self, umbp_t *pool, umbp_t *other)
{
    char key[32];
    uint8_t block[BLOCK];
    uint64_t number = self->state++;
    s_key (key, sizeof key, "new", number);
    nodes_fill (block, sizeof block, number);
    int64_t began_ms = umbp_clock_ms ();
    int rc;
    s_count ("put", key, umbp_put (pool, key, block, sizeof block));
    do
        rc = s_get (other, key, number);
    while (s_again (rc, began_ms));
    s_count ("get at once", key, rc);
    rc = umbp_remove (other, key);
    //  A node that died just now may have a copy, for all we know: tried again until it is given up
    while (s_again (rc, began_ms)
           || (rc == UMBP_EUNREACH && umbp_clock_ms () - began_ms < REMOVE_MS)) {
        rc = umbp_remove (other, key);
        rc = rc == UMBP_ENOENT ? 0 : rc;    //  It was gone the first time, and only the answer was not
    }
    s_count ("remove", key, rc);
    s_writes++;
}

static umbp_t *s_connect (size_t number)
{
    return nodes_connect (&s_nodes, number,
                          (umbp_options_t) { .no_shm = true, .timeout_ms = 20000 });
}

static void *s_work (void *arg)
{
    worker_t *self = arg;
    umbp_t *pool = s_connect (self->number), *other = s_connect ((self->number + 1) % STABLE);
    if (!pool || !other)
        s_errors++;
    while (pool && other && !s_over) {
        if (self->writes)
            s_write (self, pool, other);
        else
            s_read (self, pool);
    }
    umbp_close (&pool);
    umbp_close (&other);
    return NULL;
}

//  Wait until the first node sees so many in the ring
static bool s_in_ring (size_t count)
{
    int64_t deadline_ms = umbp_clock_ms () + 60000;
    bool seen = false;
    while (!seen && umbp_clock_ms () < deadline_ms) {
        umbp_t *pool = s_connect (0);
        seen = pool && nodes_in_ring (pool) == count;
        umbp_close (&pool);
    }
    return seen;
}

static bool s_come_and_leave (uint64_t turn)
{
    umbp_node_options_t options = s_nodes.options[1];
    s_key (options.node, sizeof options.node, "comes", turn % 2);        //  Some come back
    snprintf (options.listen, sizeof options.listen, "%s", loopback_tcp ());
    umbp_node_t *node = umbp_node_new (&options, NULL);
    if (!node || !s_in_ring (STABLE + 1)) {
        umbp_node_destroy (&node);
        return false;
    }
    int64_t until = umbp_clock_ms () + (turn % 2 ? 1500 : 100);
    while (umbp_clock_ms () < until)
        usleep (10000);
    umbp_node_destroy (&node);
    return s_in_ring (STABLE);
}

static bool s_come_and_die (uint64_t turn)
{
    char node[32];
    char *const flags[] = { "--dram-capacity", "4MiB", NULL };
    s_key (node, sizeof node, "dies", turn);
    pid_t pid = spawn_node (&s_nodes, node, loopback_tcp (), flags);
    bool came = pid > 0 && s_in_ring (STABLE + 1);
    spawn_kill (&pid);
    return came && s_in_ring (STABLE);
}

static void s_fill_pool (void)
{
    for (size_t node = 0; node < STABLE; node++) {
        umbp_t *pool = s_connect (node);
        CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
        for (uint64_t number = node; number < KEYS; number += STABLE) {
            char key[32];
            uint8_t block[BLOCK];
            s_key (key, sizeof key, "stays", number);
            nodes_fill (block, sizeof block, number);
            CU_ASSERT (umbp_put (pool, key, block, sizeof block) == 0);
        }
        umbp_close (&pool);
    }
}

static worker_t s_workers[] = { { .number = 0 }, { .number = 2 }, { .number = 1, .writes = true } };

#define WORKERS (sizeof s_workers / sizeof *s_workers)

static void s_begin (const char *name)
{
    uint64_t state = nodes_seed (name);
    s_over = false;
    s_reads = s_writes = s_missed = s_errors = 0;
    s_fill_pool ();
    for (size_t index = 0; index < WORKERS; index++) {
        s_workers[index].state = umbp_splitmix (&state);
        CU_ASSERT_FATAL (pthread_create (&s_workers[index].thread, NULL, s_work, &s_workers[index])
                         == 0);
    }
}

static void s_end (void)
{
    s_over = true;
    for (size_t index = 0; index < WORKERS; index++)
        pthread_join (s_workers[index].thread, NULL);
    printf ("(%llu reads, %llu writes) ", s_reads, s_writes);
    CU_ASSERT (s_missed == 0 && s_errors == 0);
    CU_ASSERT (s_reads > 100 && s_writes > 10);
}

//  Nodes come and go while three workers are at it
static void s_churn (const char *name, uint64_t leaves, uint64_t kills)
{
    s_begin (name);
    for (uint64_t turn = 0; turn < leaves; turn++)
        CU_ASSERT (s_come_and_leave (turn));
    for (uint64_t turn = 0; turn < kills; turn++)
        CU_ASSERT (s_come_and_die (turn));
    s_end ();
}

//  Every 5 seconds a node joins, and the one that joined before leaves
static void s_join_and_leave (uint64_t seconds)
{
    umbp_node_t *guests[2] = { NULL };
    int64_t began_ms = umbp_clock_ms ();
    for (uint64_t turn = 0; turn * 5 < seconds; turn++) {
        umbp_node_options_t options = s_nodes.options[1];
        s_key (options.node, sizeof options.node, "guest", turn % 3);    //  Names come back
        snprintf (options.listen, sizeof options.listen, "%s", loopback_tcp ());
        guests[turn % 2] = umbp_node_new (&options, NULL);
        CU_ASSERT (guests[turn % 2] != NULL);
        umbp_node_destroy (&guests[1 - turn % 2]);
        while (umbp_clock_ms () < began_ms + (int64_t) (turn + 1) * 5000)
            usleep (10000);
    }
    umbp_node_destroy (&guests[0]);
    umbp_node_destroy (&guests[1]);
    CU_ASSERT (s_in_ring (STABLE));
}

static bool s_start (unsigned copies)
{
    bool fine = true;
    s_nodes = (nodes_t) { .count = STABLE };
    for (size_t number = 0; number < STABLE; number++) {
        nodes_options (&s_nodes, number, WITHOUT_DOORS, 16 << 20);
        s_nodes.options[number].suspect_ms = SUSPECT_MS;
        s_nodes.options[number].gone_ms = GONE_MS;
        s_nodes.options[number].copies = copies;
        s_nodes.nodes[number] = nodes_new (&s_nodes.options[number]);
        fine = fine && s_nodes.nodes[number];
    }
    return fine && nodes_meet (&s_nodes);
}

static void test_two_copies (void)
{
    s_patience_ms = 0;
    CU_ASSERT_FATAL (s_start (2));
    s_churn ("two copies", 4, 2);
    nodes_stop (&s_nodes);
}

//  In good order, as fast as people ask for it
static void test_every_five_seconds (void)
{
    const char *text = getenv ("UMBP_CHURN_SECONDS");
    s_patience_ms = 0;
    CU_ASSERT_FATAL (s_start (2));
    s_begin ("every 5 s");
    s_join_and_leave (text ? strtoull (text, NULL, 10) : 10);
    s_end ();
    nodes_stop (&s_nodes);
}

//  Nobody else has the entries of a node that leaves: they are told anew
static void test_one_copy (void)
{
    s_patience_ms = 20000;
    CU_ASSERT_FATAL (s_start (1));
    s_churn ("one copy", 8, 0);
    nodes_stop (&s_nodes);
}

int main (void)
{
    alarm (getenv ("UMBP_CHURN_SECONDS") ? 1000 : 280);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("churn", NULL, NULL);
    CU_ADD_TEST (suite, test_two_copies);
    CU_ADD_TEST (suite, test_every_five_seconds);
    CU_ADD_TEST (suite, test_one_copy);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

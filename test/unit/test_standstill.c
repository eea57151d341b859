//  test/unit/test_standstill.c - a node stands still, and every call of every client ends all the
//  same: what is here is served, what is there is no miss, what was half done can be done again. And
//  how copies of a block, and what engines reported, live on their own node alone.
//
//  The node that stands still is a process, forked before this one has any thread.
#include "test/unit/forked.h"
#include "test/unit/gauge.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>

#include "bin/talk.h"

#define MIB ((size_t) 1 << 20)
#define SHORT_MS 1000                   //  For what cannot be done
#define LONG_MS 30000                   //  For what can
#define ASKED 120
#define MEDIUM_MS 8000                  //  For what can after somebody was asked in vain

static nodes_t s_nodes;
static forked_t s_processes[3];

//  ------------------------------------------------------------------------------------------------
//  The other process

static void s_set (umbp_node_options_t *options, int number)
{
    (void) number;
    snprintf (options->node, sizeof options->node, "other-%d", (int) getpid ());
    snprintf (options->cluster, sizeof options->cluster, "test-%d", (int) getppid ());
    options->heartbeat_ms = 50;
    options->suspect_ms = 10000;
    options->gone_ms = 600000;
    options->dram_bytes = options->region_bytes = 64 * MIB;  //  The emptiest of all
    options->page_bytes = PAGE;
    options->index_keys = 100000;
    options->kv_hashes = 10000;
    options->log_level = 1;
}

//  A client of the node there, once both see each other. NULL if that takes too long.
static umbp_t *s_join (forked_t *process, const umbp_t *here)
{
    if (!forked_start (process, umbp_node_endpoint (s_nodes.nodes[0])))
        return NULL;
    umbp_options_t how = { .endpoints = process->endpoint, .timeout_ms = MEDIUM_MS / 2 };
    int64_t end = umbp_clock_ms () + 60000;
    while (umbp_clock_ms () < end) {
        umbp_t *pool = umbp_connect (&how, NULL);
        bool met = pool && nodes_in_ring (pool) >= 2 && umbp_put (pool, "there?", "yes", 3) == 0
                   && umbp_exists ((umbp_t *) here, "there?") == 1
                   && umbp_remove (pool, "there?") == 0;
        if (met)
            return pool;
        umbp_close (&pool);
    }
    return NULL;
}

//  ------------------------------------------------------------------------------------------------
//  Standing still

static int s_put (umbp_t *pool, const char *key, umbp_strategy_t strategy, uint32_t timeout_ms)
{
    umbp_item_t item = { .key = { key, strlen (key) }, .data = (void *) key, .size = strlen (key) };
    umbp_put_options_t options = { .strategy = strategy };
    int done = umbp_put_batch (pool, &item, 1, &options, timeout_ms);
    return done == 1 ? 0 : item.status ? item.status : done;
}

static int s_get (umbp_t *pool, const char *key, uint32_t timeout_ms)
{
    char back[64];
    umbp_item_t item = { .key = { key, strlen (key) }, .data = back, .size = sizeof back };
    int done = umbp_get_batch (pool, &item, 1, timeout_ms);
    if (done != 1)
        return item.status ? item.status : done;
    return item.size == strlen (key) && memcmp (back, key, item.size) == 0 ? 0 : UMBP_ECHECKSUM;
}

static int s_remove (umbp_t *pool, const char *key)
{
    umbp_key_t name = { key, strlen (key) };
    return umbp_remove_batch (pool, &name, 1, NULL, SHORT_MS);
}

//  Of the engine "e" that holds "hash". silent: nodes that did not answer; -1 on failure
static size_t s_rows (umbp_t *pool, uint32_t timeout_ms, int *silent)
{
    int err = 0;
    size_t count = 0;
    umbp_key_t hash = { "hash", 4 };
    umbp_kv_match_t *match = umbp_kv_match (pool, &hash, 1, false, timeout_ms, &err);
    *silent = match ? (int) umbp_kv_match_silent (match) : -1;
    const umbp_kv_row_t *rows = match ? umbp_kv_match_rows (match, &count) : NULL;
    CU_ASSERT (count == 0 || strcmp (rows[0].engine, "e") == 0);
    umbp_kv_match_destroy (&match);
    return count;
}

//  Its neighbour: own blocks as ever, the other's are unreachable and no miss, new ones go elsewhere
static void s_check_neighbour (umbp_t *here)
{
    int silent;
    CU_ASSERT (s_get (here, "mine", LONG_MS) == 0);
    int err = s_get (here, "theirs", SHORT_MS);
    CU_ASSERT (err < 0 && err != UMBP_ENOENT);
    CU_ASSERT (s_put (here, "new", UMBP_STRATEGY_MOST_FREE, MEDIUM_MS) == 0);
    CU_ASSERT (s_get (here, "new", LONG_MS) == 0);
    CU_ASSERT (s_remove (here, "theirs") <= 0);
    CU_ASSERT (s_rows (here, SHORT_MS, &silent) == 1 && silent == 1);
    CU_ASSERT (umbp_clear (here, true, SHORT_MS) < 0);       //  Not everywhere: that is said
    CU_ASSERT (s_get (here, "mine", SHORT_MS) < 0);
    CU_ASSERT (s_put (here, "after", UMBP_STRATEGY_LOCAL, LONG_MS) == 0);
    CU_ASSERT (s_get (here, "after", LONG_MS) == 0);
}

//  Its own clients: nothing works, and everything ends
static void s_check_client (umbp_t *there, const char *endpoint)
{
    int silent, err = 0;
    CU_ASSERT (s_get (there, "mine", SHORT_MS) < 0);
    CU_ASSERT (s_put (there, "lost", UMBP_STRATEGY_LOCAL, SHORT_MS) < 0);
    CU_ASSERT (s_remove (there, "mine") <= 0);
    CU_ASSERT (s_rows (there, SHORT_MS, &silent) == 0 && silent == -1);
    CU_ASSERT (umbp_clear (there, false, SHORT_MS) < 0);
    umbp_options_t how = { .endpoints = endpoint, .timeout_ms = SHORT_MS };
    CU_ASSERT (umbp_connect (&how, &err) == NULL && err < 0);
}

//  Sooner or later
static bool s_becomes (umbp_t *pool, const char *key, int wanted)
{
    int64_t end = umbp_clock_ms () + 60000;
    while (s_get (pool, key, 2 * SHORT_MS) != wanted)
        if (umbp_clock_ms () > end)
            return false;
    return true;
}

static void test_halted (void)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITHOUT_DOORS, 16 * MIB));
    umbp_t *here = nodes_connect (&s_nodes, 0, (umbp_options_t) { .timeout_ms = LONG_MS });
    umbp_key_t hash = { "hash", 4 };
    int silent;
    CU_ASSERT (umbp_kv_report (here, "e", NULL, 1, &hash, 1, LONG_MS)
               == 0); //  Nobody else is there
    umbp_t *there = s_join (&s_processes[0], here);
    CU_ASSERT_FATAL (here && there);
    CU_ASSERT (s_rows (there, LONG_MS, &silent) == 1 && silent == 0);
    CU_ASSERT (s_put (here, "mine", UMBP_STRATEGY_LOCAL, LONG_MS) == 0);
    CU_ASSERT (s_put (there, "theirs", UMBP_STRATEGY_LOCAL, LONG_MS) == 0);
    CU_ASSERT (umbp_flush (there, LONG_MS) == 0);            //  All shards know of it
    CU_ASSERT (s_get (here, "theirs", LONG_MS) == 0 && s_get (there, "mine", LONG_MS) == 0);

    forked_halt (&s_processes[0]);
    s_check_neighbour (here);
    s_check_client (there, s_processes[0].endpoint);
    kill (s_processes[0].pid, SIGCONT);

    CU_ASSERT (s_becomes (there, "after", 0) && s_becomes (there, "mine", UMBP_ENOENT));
    CU_ASSERT (s_put (there, "again", UMBP_STRATEGY_LOCAL, LONG_MS) == 0);
    CU_ASSERT (s_becomes (here, "again", 0));
    CU_ASSERT (umbp_clear (here, true, LONG_MS) >= 0);
    CU_ASSERT (s_becomes (here, "again", UMBP_ENOENT) && s_becomes (there, "after", UMBP_ENOENT));
    umbp_close (&there);

    //  It is killed, and a new one finds what was reported before its time
    forked_kill (&s_processes[0]);
    CU_ASSERT (s_put (here, "mine", UMBP_STRATEGY_LOCAL, LONG_MS) == 0);
    there = s_join (&s_processes[1], here);
    CU_ASSERT_FATAL (there != NULL);
    size_t rows = 0;
    for (int64_t end = umbp_clock_ms () + 60000; rows == 0 && umbp_clock_ms () < end;)
        rows = s_rows (there, SHORT_MS, &silent);            //  Who was killed is silent as well
    CU_ASSERT (rows == 1);
    CU_ASSERT (s_becomes (there, "mine", 0));
    umbp_close (&there);
    umbp_close (&here);
    forked_kill (&s_processes[1]);
    nodes_stop (&s_nodes);
}

//  Questions that ended without an answer: of a client to shards, of the router to shards
static uint64_t s_waits (umbp_t *pool)
{
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    return stats.timeouts + gauge (umbp_node_endpoint (s_nodes.nodes[0]), "router", "unheard");
}

//  A client of the first node that knows of three
static umbp_t *s_connect_three (void)
{
    for (int64_t end = umbp_clock_ms () + 60000; umbp_clock_ms () < end;) {
        umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .timeout_ms = LONG_MS });
        if (pool && nodes_in_ring (pool) == 3)
            return pool;
        umbp_close (&pool);
    }
    return NULL;
}

//  A shard stands still, and nobody has noticed yet: one call waits for it, and then others are asked first
static void test_one_wait (void)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 2, WITHOUT_DOORS, 16 * MIB));
    umbp_t *near = nodes_connect (&s_nodes, 1, (umbp_options_t) { .timeout_ms = LONG_MS });
    umbp_t *there = near ? s_join (&s_processes[2], near) : NULL, *here = s_connect_three ();
    CU_ASSERT_FATAL (near && there && here);
    char keys[ASKED][16];
    for (int number = 0; number < ASKED; number++) {
        snprintf (keys[number], sizeof keys[number], "key-%d", number);
        CU_ASSERT (s_put (near, keys[number], UMBP_STRATEGY_LOCAL, LONG_MS) == 0);
    }
    CU_ASSERT (umbp_flush (near, LONG_MS) == 0);
    umbp_close (&there);

    forked_halt (&s_processes[2]);
    uint64_t before = s_waits (here);
    int64_t began = umbp_clock_ms ();
    for (int number = 0; number < ASKED; number++)
        CU_ASSERT (umbp_exists (here, keys[number]) == 1);
    uint64_t between = s_waits (here);
    for (int number = 0; number < ASKED; number++)
        CU_ASSERT (s_get (here, keys[number], LONG_MS) == 0);
    uint64_t after = s_waits (here), seconds = (uint64_t) (umbp_clock_ms () - began) / 1000;
    printf (" waits: %u, %u in %u s ", (unsigned) (between - before), (unsigned) (after - between),
            (unsigned) seconds);
    CU_ASSERT (between - before <= 1 + seconds && after - between <= 1 + seconds);
    kill (s_processes[2].pid, SIGCONT);
    umbp_close (&near);
    umbp_close (&here);
    forked_kill (&s_processes[2]);
    nodes_stop (&s_nodes);
}

//  ------------------------------------------------------------------------------------------------
//  Copies

#define HOT 30

static bool s_get_all (umbp_t *pool, const char *kind)
{
    char key[32];
    bool fine = true;
    for (int number = 0; number < HOT; number++) {
        snprintf (key, sizeof key, "%s-%d", kind, number);
        fine = s_get (pool, key, LONG_MS) == 0 && fine;
    }
    return fine;
}

static void s_put_all (umbp_t *pool, const char *kind, unsigned replicas)
{
    umbp_put_options_t options = { .replicas = replicas };
    for (int number = 0; number < HOT; number++) {
        char key[32];
        snprintf (key, sizeof key, "%s-%d", kind, number);
        umbp_item_t item = { .key = { key, strlen (key) }, .data = key, .size = strlen (key) };
        CU_ASSERT (umbp_put_batch (pool, &item, 1, &options, LONG_MS) == 1);
    }
}

//  Until the first node knows that the other one has room for copies
static bool s_copies_go (umbp_t *pool)
{
    umbp_put_options_t options = { .replicas = 2 };
    int64_t end = umbp_clock_ms () + 60000;
    umbp_stats_t before, after;
    do {
        char key[32];
        snprintf (key, sizeof key, "room %lld", (long long) umbp_clock_ms ());
        umbp_item_t item = { .key = { key, strlen (key) }, .data = key, .size = strlen (key) };
        umbp_stats (pool, &before);
        if (umbp_put_batch (pool, &item, 1, &options, LONG_MS) != 1)
            return false;
        umbp_stats (pool, &after);
        umbp_remove (pool, key);
    } while (after.replicas_missing > before.replicas_missing && umbp_clock_ms () < end);
    return after.replicas_missing == before.replicas_missing;
}

//  A copy that is read all the time does not keep the other one, which nobody reads; and that is
//  evicted at its node alone
static void test_hot_copy (void)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 2, WITHOUT_DOORS, 16 * MIB));
    umbp_t *cold = nodes_connect (&s_nodes, 0, (umbp_options_t) { .timeout_ms = LONG_MS });
    umbp_t *hot = nodes_connect (&s_nodes, 1, (umbp_options_t) { .timeout_ms = LONG_MS });
    int err;
    umbp_talk_t *talk = umbp_talk_new (umbp_node_endpoint (s_nodes.nodes[0]), LONG_MS, &err);
    CU_ASSERT_FATAL (cold && hot && talk);
    CU_ASSERT (s_copies_go (cold));
    umbp_stats_t before, after;
    umbp_stats (cold, &before);
    s_put_all (cold, "both", 2);
    umbp_stats (cold, &after);
    CU_ASSERT (after.replicas_missing == before.replicas_missing);
    s_put_all (cold, "one", 1);         //  Newer, and the only copies
    for (int turn = 0; turn < 3; turn++)
        CU_ASSERT (s_get_all (hot, "both"));

    umbp_msg_t question;
    const umbp_msg_t *answer;
    umbp_msg_init (&question, UMBP_MSG_evict, 0);
    question.evict.tier = UMBP_TIER_DRAM;
    question.evict.bytes = HOT * PAGE;
    CU_ASSERT_FATAL (umbp_talk_ask (talk, "eviction", &question, &answer) == 0);
    CU_ASSERT (answer->evict_ok.blocks == HOT);
    CU_ASSERT (s_get_all (cold, "one") && s_get_all (hot, "one"));
    CU_ASSERT (s_get_all (cold, "both") && s_get_all (hot, "both"));
    umbp_talk_destroy (&talk);
    umbp_close (&cold);
    umbp_close (&hot);
    nodes_stop (&s_nodes);
}

//  ------------------------------------------------------------------------------------------------
//  Threads

static atomic_bool s_counting;

static size_t s_threads (void)
{
    size_t count = 0;
    DIR *tasks = opendir ("/proc/self/task");
    for (struct dirent *entry = tasks ? readdir (tasks) : NULL; entry; entry = readdir (tasks))
        count += *entry->d_name != '.';
    if (tasks)
        closedir (tasks);
    return count;
}

//  The most that there were
static void *s_count (void *most)
{
    while (atomic_load (&s_counting)) {
        size_t count = s_threads ();
        if (count > *(size_t *) most)
            *(size_t *) most = count;
    }
    return NULL;
}

//  No call starts a thread, however many blocks and bytes it moves
static void test_threads (void)
{
    enum { COUNT = 64, SIZE = 200000 };
    static uint8_t data[COUNT][SIZE];
    static char names[COUNT][16];
    umbp_item_t items[COUNT];
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 2, WITH_DOORS, 32 * MIB));
    umbp_options_t shm = { .timeout_ms = LONG_MS }, tcp = { .timeout_ms = LONG_MS, .no_shm = true };
    umbp_t *pools[2] = { nodes_connect (&s_nodes, 0, shm), nodes_connect (&s_nodes, 1, tcp) };
    CU_ASSERT_FATAL (pools[0] && pools[1]);
    pthread_t counter;
    size_t most = 0, before = 0;
    atomic_store (&s_counting, true);
    for (int turn = 0; turn < 6; turn++) {                   //  The first is to open what stays open
        for (size_t index = 0; index < COUNT; index++) {
            snprintf (names[index], sizeof names[index], "t-%zu", index);
            nodes_fill (data[index], SIZE, index);
            items[index] = (umbp_item_t) { .key = { names[index], strlen (names[index]) },
                                           .data = data[index], .size = SIZE };
        }
        if (turn == 1) {
            before = s_threads ();
            CU_ASSERT_FATAL (pthread_create (&counter, NULL, s_count, &most) == 0);
        }
        CU_ASSERT (umbp_put_batch (pools[0], items, COUNT, NULL, LONG_MS) == COUNT);
        CU_ASSERT (umbp_get_batch (pools[turn % 2], items, COUNT, LONG_MS) == COUNT);
        CU_ASSERT (umbp_get_batch (pools[1 - turn % 2], items, COUNT, LONG_MS) == COUNT);
        CU_ASSERT (nodes_is_filled (data[turn], SIZE, (uint64_t) turn));
        CU_ASSERT (umbp_clear (pools[0], true, LONG_MS) >= 0);
    }
    atomic_store (&s_counting, false);
    pthread_join (counter, NULL);
    CU_ASSERT (most == before + 1);     //  The one that counts
    umbp_close (&pools[0]);
    umbp_close (&pools[1]);
    nodes_stop (&s_nodes);
}

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IOLBF, 0);
    if (!forked_new (s_processes, 0, s_set) || !forked_new (s_processes, 1, s_set)
        || !forked_new (s_processes, 2, s_set))
        return 1;
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("standstill", NULL, NULL);
    CU_ADD_TEST (suite, test_halted);
    CU_ADD_TEST (suite, test_one_wait);
    CU_ADD_TEST (suite, test_hot_copy);
    CU_ADD_TEST (suite, test_threads);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

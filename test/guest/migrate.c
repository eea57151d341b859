//  test/guest/migrate.c - what nodes read from each other goes by RDMA, in the guest of guest.sh: a third node
//  at the other end of the cable copies blocks, and is drained.
#include "test/guest/nodes.h"

#include <pthread.h>

#define C 2                             //  The third node

static void *s_pull_soon (void *arg)
{
    poll (NULL, 0, *(int *) arg);
    int rc = system ("cable 0 down");
    CU_ASSERT_EQUAL (rc, 0);
    return NULL;
}

static uint64_t s_read (umbp_t *pool, const char *node, bool by_rdma)
{
    return nodes_gauge_of (pool, "migrator", node, by_rdma ? "read_rdma_bytes" : "read_tcp_bytes");
}

//  Have node c copy a set from node a: all of it arrives
static void s_copy (umbp_t *pool, set_t *set)
{
    uint8_t bytes[BLOCKS * 32];
    uint16_t sizes[BLOCKS];
    uint32_t used = 0;
    for (size_t index = 0; index < BLOCKS; index++) {
        sizes[index] = (uint16_t) strlen (set->keys[index]);
        memcpy (bytes + used, set->keys[index], sizes[index]);
        used += sizes[index];
    }
    umbp_lane_t *lane;
    umbp_msg_t msg;
    int rc = umbp_pool_enter (pool, 0, &lane);
    assert (rc == 0);
    umbp_msg_init (&msg, UMBP_MSG_copy, 0);
    msg.copy.keys = (umbp_column_t) { bytes, sizes, used, BLOCKS };
    msg.copy.node = (umbp_text_t) { "a", 1 };
    msg.copy.tier = 2;
    const umbp_answer_t *answer = umbp_wire_ask (lane, UMBP_WAY_WIRE, "migrator", "c", &msg, NULL,
                                                 0, UMBP_MSG_copy_ok, lane->deadline_ms, &rc);
    CU_ASSERT_EQUAL (rc, 0);
    CU_ASSERT_FATAL (answer != NULL && answer->msg.copy_ok.statuses.count == BLOCKS);
    for (size_t index = 0; index < BLOCKS; index++)
        CU_ASSERT_EQUAL (umbp_s8s_at (answer->msg.copy_ok.statuses, index), 0);
    umbp_pool_leave (pool, &lane);
}

static void test_copies (void)
{
    set_t set;
    set_make (&set, "copies", 0);
    umbp_t *writer = nodes_connect (0, "tcp"), *reader = nodes_connect (C, "tcp");
    set_put (writer, &set, UMBP_STRATEGY_LOCAL);
    s_copy (writer, &set);
    CU_ASSERT_EQUAL (s_read (reader, "c", true), set.total);
    CU_ASSERT_EQUAL (s_read (reader, "c", false), 0);
    CU_ASSERT (nodes_gauge (reader, "a", "exposed") >= BLOCKS);
    set_get (reader, &set);             //  From its own pages: it is asked first
    CU_ASSERT_EQUAL (nodes_gauge (reader, "a", "links_fenced"), 0);
    set_remove (writer, &set);
    umbp_close (&writer);
    umbp_close (&reader);
    set_free (&set);
}

//  The cable goes before or while a copy is under way: it ends well all the same, over tcp
static void test_falls_back (void)
{
    umbp_t *pool = nodes_connect (0, "tcp"), *reader = nodes_connect (C, "tcp");
    for (int round = 0; round < 3; round++) {
        set_t set;
        char name[32];
        snprintf (name, sizeof name, "falls-%d", round);
        set_make (&set, name, BLOCK_MAX);
        set_put (pool, &set, UMBP_STRATEGY_LOCAL);
        uint64_t rdma = s_read (pool, "c", true), tcp = s_read (pool, "c", false);
        int delay_ms = round == 0 ? 0 : (int) guest_random (250);
        pthread_t puller;
        pthread_create (&puller, NULL, s_pull_soon, &delay_ms);
        if (round == 0)
            pthread_join (puller, NULL);
        s_copy (pool, &set);
        if (round != 0)
            pthread_join (puller, NULL);
        rdma = s_read (pool, "c", true) - rdma;
        tcp = s_read (pool, "c", false) - tcp;
        printf ("\n    pulled after %d ms: %.1f MB by RDMA, %.1f MB over tcp", delay_ms,
                (double) rdma / 1e6, (double) tcp / 1e6);
        CU_ASSERT (rdma + tcp >= set.total);
        CU_ASSERT (round != 0 || tcp >= set.total);
        set_get (reader, &set);
        CU_ASSERT_EQUAL (system ("cable 0 up"), 0);
        set_remove (pool, &set);
        set_free (&set);
        //  After a while it goes by RDMA again
        rdma = s_read (pool, "c", true);
        int64_t end_ms = umbp_clock_ms () + LONG_MS;
        for (int turn = 0; s_read (pool, "c", true) == rdma && umbp_clock_ms () < end_ms; turn++) {
            snprintf (name, sizeof name, "again-%d-%d", round, turn);
            set_make (&set, name, 100000);
            set_put (pool, &set, UMBP_STRATEGY_LOCAL);
            s_copy (pool, &set);
            set_remove (pool, &set);
            set_free (&set);
            poll (NULL, 0, 300);
        }
        CU_ASSERT (s_read (pool, "c", true) > rdma);
    }
    umbp_close (&pool);
    umbp_close (&reader);
}

//  The last test: all of c goes to a and b, by RDMA, and c ends
static void test_drains (void)
{
    set_t set;
    set_make (&set, "drains", 0);
    umbp_t *pool = nodes_connect (C, "tcp"), *reader = nodes_connect (0, "tcp");
    set_put (pool, &set, UMBP_STRATEGY_LOCAL);
    uint64_t rdma = s_read (reader, "a", true) + s_read (reader, "b", true);
    umbp_lane_t *lane;
    umbp_msg_t msg;
    int rc = umbp_pool_enter (pool, 0, &lane);
    assert (rc == 0);
    umbp_msg_init (&msg, UMBP_MSG_drain, 0);
    msg.drain.action = 1;
    umbp_wire_ask (lane, UMBP_WAY_WIRE, "registry", "c", &msg, NULL, 0, UMBP_MSG_drain_ok,
                   lane->deadline_ms, &rc);
    CU_ASSERT_EQUAL (rc, 0);
    umbp_pool_leave (pool, &lane);
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    uint64_t state = 1;
    while (state != 4 && umbp_clock_ms () < end_ms) {
        poll (NULL, 0, 200);
        rc = umbp_pool_enter (reader, 0, &lane);
        assert (rc == 0);
        umbp_msg_init (&msg, UMBP_MSG_drain, 0);
        const umbp_answer_t *answer =
            umbp_wire_ask (lane, UMBP_WAY_WIRE, "registry", "c", &msg, NULL, 0, UMBP_MSG_drain_ok,
                           lane->deadline_ms, &rc);
        state = answer ? answer->msg.drain_ok.state : state;
        umbp_pool_leave (reader, &lane);
    }
    CU_ASSERT_EQUAL (state, 4);
    rdma = s_read (reader, "a", true) + s_read (reader, "b", true) - rdma;
    printf ("\n    %.1f MB of %.1f by RDMA", (double) rdma / 1e6, (double) set.total / 1e6);
    CU_ASSERT (rdma > 0);
    umbp_close (&pool);
    kill (nodes_pids[C], SIGTERM);
    int status = 1;
    waitpid (nodes_pids[C], &status, 0);
    CU_ASSERT_EQUAL (status, 0);
    nodes_pids[C] = 0;
    set_get (reader, &set);
    umbp_close (&reader);
    set_free (&set);
}

static int s_open (void)
{
    nodes_ttl = "20s";                  //  What is measured here is not their end
    nodes_open ();
    nodes_start (C, "rxa");
    nodes_wait (C, NODES + 1);
    return 0;
}

static int s_close (void)
{
    int status = 0;
    if (nodes_pids[C]) {
        kill (nodes_pids[C], SIGTERM);
        waitpid (nodes_pids[C], &status, 0);
    }
    return nodes_close () + (status != 0);
}

static const guest_test_t s_tests[] = {
    TEST (copies),
    TEST (falls_back),
    TEST (drains),
};

int main (int argc, char **argv)
{
    if (!nodes_load (argc, argv))
        return 2;
    return guest_run (argc, argv, "migrate", s_tests, sizeof s_tests / sizeof *s_tests, s_open,
                      s_close);
}

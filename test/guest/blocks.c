//  test/guest/blocks.c - put and get by RDMA, in the guest of guest.sh: two umbp-node at one end of a
//  cable, clients at the other. What is over when leases and slots are is in leases.c, what nodes do among
//  themselves in moves.c. `blocks PLUGIN bench put|get BYTES COUNT` prints MB/s of the public calls.
#include "test/guest/nodes.h"

#include <pthread.h>

//  ---- Tests

static void test_forced (void)
{
    set_t set;
    set_make (&set, "forced", 0);
    umbp_t *writer = nodes_connect (0, "rdma"), *reader = nodes_connect (1, "rdma");
    set_put (writer, &set, UMBP_STRATEGY_LOCAL);
    umbp_stats_t stats = nodes_stats (writer);
    CU_ASSERT_EQUAL (stats.rdma_put_bytes, set.total);
    CU_ASSERT_EQUAL (stats.tcp_put_bytes, 0);
    set_get (reader, &set);
    stats = nodes_stats (reader);
    CU_ASSERT_EQUAL (stats.rdma_get_bytes, set.total);
    CU_ASSERT_EQUAL (stats.tcp_get_bytes, 0);
    CU_ASSERT_EQUAL (stats.checksum_errors, 0);
    CU_ASSERT (umbp_register (reader, set.memory, BLOCKS * BLOCK_MAX) == 0);   //  In place
    set_get (reader, &set);
    CU_ASSERT_EQUAL (nodes_stats (reader).rdma_get_bytes, 2 * set.total);
    CU_ASSERT (umbp_deregister (reader, set.memory) == 0);
    //  All that was open is closed again
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    while (nodes_gauge (reader, "a", "windows") > 0 && umbp_clock_ms () < end_ms)
        poll (NULL, 0, 20);
    CU_ASSERT_EQUAL (nodes_gauge (reader, "a", "windows"), 0);
    CU_ASSERT (nodes_gauge (reader, "a", "exposed") >= 3 * BLOCKS);
    CU_ASSERT_EQUAL (nodes_gauge (reader, "a", "links_fenced"), 0);
    set_remove (writer, &set);
    umbp_close (&writer);
    umbp_close (&reader);
    set_free (&set);
}

//  Parts of blocks, in buffers of all sizes, with the checksum and without
static void test_parts (void)
{
    set_t set;
    set_make (&set, "parts", 0);
    umbp_t *writer = nodes_connect (0, "rdma");
    set_put (writer, &set, UMBP_STRATEGY_MOST_FREE);
    for (int plain = 0; plain < 2; plain++) {
        umbp_t *reader = nodes_connect_by (0, "rdma", "rxa", plain);
        for (size_t index = 0; index < BLOCKS; index++) {
            size_t size = set.items[index].size, at = guest_random (size), most = size - at;
            unsigned char *buffer = malloc (2 * size);
            assert (buffer);
            umbp_range_t ranges[] = { { buffer, 1 + guest_random (most), at },
                                      { buffer + size, size, 0 } };
            umbp_vec_t vec = { .key = set.items[index].key, .ranges = ranges, .range_count = 2 };
            CU_ASSERT_EQUAL (umbp_get_v (reader, &vec, 1, LONG_MS), 1);
            CU_ASSERT (set_is_right (buffer + size, size, set.seeds[index]));
            CU_ASSERT (memcmp (buffer, buffer + size + at, ranges[0].size) == 0);
            free (buffer);
        }
        CU_ASSERT (nodes_stats (reader).rdma_get_bytes > 0);
        CU_ASSERT_EQUAL (nodes_stats (reader).tcp_get_bytes, 0);
        umbp_close (&reader);
    }
    set_remove (writer, &set);
    umbp_close (&writer);
    set_free (&set);
}

//  Without a word the devices are taken if there are some, else tcp
static void test_automatic (void)
{
    set_t set;
    set_make (&set, "auto", 0);
    umbp_t *with = nodes_connect (0, NULL), *without = nodes_connect_by (1, "auto", "none0", false);
    umbp_t *only = nodes_connect_by (1, "rdma", "none0", false);
    set_put (with, &set, UMBP_STRATEGY_LOCAL);
    set_get (with, &set);
    set_get (without, &set);
    umbp_stats_t stats = nodes_stats (with);
    CU_ASSERT_EQUAL (stats.rdma_put_bytes, set.total);
    CU_ASSERT_EQUAL (stats.rdma_get_bytes, set.total);
    CU_ASSERT_EQUAL (stats.tcp_put_bytes + stats.tcp_get_bytes, 0);
    stats = nodes_stats (without);
    CU_ASSERT_EQUAL (stats.tcp_get_bytes, set.total);
    CU_ASSERT_EQUAL (stats.rdma_get_bytes, 0);
    CU_ASSERT (umbp_get_batch (only, set.items, 1, 2000) < 0);         //  Forced, and not there
    CU_ASSERT (set.items[0].status == UMBP_EUNREACH);
    set_remove (with, &set);
    umbp_close (&with);
    umbp_close (&without);
    umbp_close (&only);
    set_free (&set);
}

//  An operator sees which way it would be: this host has devices, and its nodes have no doors
static void test_where_says_the_way (void)
{
    set_t set;
    set_make (&set, "where", 0);
    umbp_t *pool = nodes_connect (0, "rdma");
    set_put (pool, &set, UMBP_STRATEGY_LOCAL);
    CU_ASSERT_EQUAL (umbp_put (pool, "small", "1", 1), 0);
    CU_ASSERT_EQUAL (
        system ("umbp-console --endpoint tcp://127.0.0.1:7710 where where-0 >/tmp/where "
                "&& cat /tmp/where && grep -qE '^a +dram +.* rdma +rdma *$' /tmp/where"),
        0);
    CU_ASSERT_EQUAL (system ("umbp-console --endpoint tcp://127.0.0.1:7710 where small "
                             "| grep -qE '^a +dram +1 B +message +message *$'"),
                     0);
    umbp_remove (pool, "small");
    set_remove (pool, &set);
    umbp_close (&pool);
    set_free (&set);
}

static void *s_pull_soon (void *arg)
{
    poll (NULL, 0, *(int *) arg);
    int rc = system ("cable 0 down");
    CU_ASSERT_EQUAL (rc, 0);
    return NULL;
}

//  The cable goes while bytes are under way: each call ends well, by tcp
static void test_cut (void)
{
    set_t set, other;
    set_make (&set, "cut", BLOCK_MAX);
    umbp_t *pool = nodes_connect (0, "auto");
    set_put (pool, &set, UMBP_STRATEGY_LOCAL);
    for (int write = 0; write < 2; write++) {
        umbp_stats_t before = nodes_stats (pool), now = before;
        int delay_ms = 100 + (int) guest_random (400);
        pthread_t puller;
        pthread_create (&puller, NULL, s_pull_soon, &delay_ms);
        int64_t end_ms = umbp_clock_ms () + LONG_MS;
        for (int turn = 0; umbp_clock_ms () < end_ms; turn++) {
            char name[32];
            snprintf (name, sizeof name, "cut%d-%d", write, turn);
            if (write) {
                set_make (&other, name, BLOCK_MAX);
                set_put (pool, &other, UMBP_STRATEGY_LOCAL);
                set_get (pool, &other);
                set_remove (pool, &other);
                set_free (&other);
            } else
                set_get (pool, &set);
            now = nodes_stats (pool);
            if (now.tcp_get_bytes + now.tcp_put_bytes > before.tcp_get_bytes + before.tcp_put_bytes)
                break;
        }
        pthread_join (puller, NULL);
        CU_ASSERT (now.tcp_get_bytes + now.tcp_put_bytes
                   > before.tcp_get_bytes + before.tcp_put_bytes);
        CU_ASSERT_EQUAL (now.checksum_errors, 0);
        CU_ASSERT_EQUAL (system ("cable 0 up"), 0);
        //  After a while the link is made anew
        before = nodes_stats (pool);
        while (nodes_stats (pool).rdma_get_bytes == before.rdma_get_bytes
               && umbp_clock_ms () < end_ms) {
            set_get (pool, &set);
            poll (NULL, 0, 200);
        }
        CU_ASSERT (nodes_stats (pool).rdma_get_bytes > before.rdma_get_bytes);
    }
    set_remove (pool, &set);
    umbp_close (&pool);
    set_free (&set);
}

//  ---- Speed

//  $GUEST_PLAIN: a get compares no checksums, to see what these cost
static int s_bench (const char *what, size_t bytes, size_t count)
{
    umbp_t *pool = nodes_connect_by (0, "rdma", "rxa", getenv ("GUEST_PLAIN") != NULL);
    umbp_item_t *items = calloc (count, sizeof *items);
    char (*keys)[32] = calloc (count, sizeof *keys);
    unsigned char *memory = aligned_alloc (4096, bytes * count);
    assert (items && keys && memory);
    owner_fill (memory, bytes * count, 9);
    int rc = umbp_register (pool, memory, bytes * count);
    assert (rc == 0);
    for (size_t index = 0; index < count; index++) {
        snprintf (keys[index], sizeof *keys, "bench-%zu", index);
        items[index] = (umbp_item_t) { .key = { keys[index], strlen (keys[index]) },
                                       .data = memory + index * bytes, .size = bytes };
    }
    bool put = strcmp (what, "put") == 0;
    double best_mb = 0;
    rc = (int) count;
    for (int round = 0; round < 4 && rc == (int) count; round++) {    //  The first one makes the link
        int64_t start_ms = umbp_clock_ms ();
        if (put || round == 0)
            rc = umbp_put_batch (pool, items, count, NULL, LONG_MS);
        if (!put && rc == (int) count) {
            start_ms = umbp_clock_ms ();
            rc = umbp_get_batch (pool, items, count, LONG_MS);
        }
        int64_t took_ms = umbp_clock_ms () - start_ms;
        double mb = (double) (bytes * count) / 1000.0 / (double) (took_ms ? took_ms : 1);
        best_mb = round > 0 && mb > best_mb ? mb : best_mb;
        for (size_t index = 0; put && index < count; index++)
            umbp_remove (pool, keys[index]);
    }
    printf ("%.1f\n", best_mb);
    bool fine = rc == (int) count
                && nodes_stats (pool).tcp_get_bytes + nodes_stats (pool).tcp_put_bytes == 0;
    umbp_close (&pool);
    free (items);
    free (keys);
    free (memory);
    return fine ? 0 : 1;
}

static const guest_test_t s_tests[] = {
    TEST (forced), TEST (parts), TEST (automatic), TEST (where_says_the_way), TEST (cut),
};

int main (int argc, char **argv)
{
    if (!nodes_load (argc, argv))
        return 2;
    if (argc == 6 && strcmp (argv[2], "bench") == 0) {
        nodes_ttl = "20s";              //  Speed is asked for, not how slow it may be
        nodes_start (0, "rxb");
        int rc = s_bench (argv[3], strtoul (argv[4], NULL, 10), strtoul (argv[5], NULL, 10));
        kill (nodes_pids[0], SIGTERM);
        waitpid (nodes_pids[0], NULL, 0);
        return rc;
    }
    return guest_run (argc, argv, "blocks", s_tests, sizeof s_tests / sizeof *s_tests, nodes_open,
                      nodes_close);
}

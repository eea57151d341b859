//  test/unit/test_board_nodes.c - gets and exists by the board, with a real node: nobody is asked, what was removed is
//  gone at once, what is used stays, and readers beside a full pool never take other bytes.
#include <pthread.h>
#include <stdatomic.h>

#include "test/unit/nodes.h"

#define POOL_BYTES (4u << 20)
#define BLOCK_MAX 20000

static nodes_t s_nodes;

static int s_setup (void)
{
    return nodes_start (&s_nodes, 1, WITH_DOORS, POOL_BYTES) ? 0 : -1;
}

static int s_teardown (void)
{
    nodes_stop (&s_nodes);
    return 0;
}

static umbp_key_t s_key (char *room, uint64_t number)
{
    int size = sprintf (room, "block-%llu", (unsigned long long) number);
    return (umbp_key_t) { room, (size_t) size };
}

//  From less than a page to several
static size_t s_size (uint64_t number)
{
    return 1 + (size_t) (number * 2654435761u % BLOCK_MAX);
}

static int s_put (umbp_t *pool, uint64_t number)
{
    char room[32];
    uint8_t data[BLOCK_MAX];
    umbp_key_t key = s_key (room, number);
    nodes_fill (data, s_size (number), number);
    umbp_item_t item = { .key = key, .data = data, .size = s_size (number) };
    umbp_put_batch (pool, &item, 1, NULL, 20000);
    return item.status;
}

//  Returns 0 for the right bytes, 1 for others, or the status
static int s_get (umbp_t *pool, uint64_t number)
{
    char room[32];
    uint8_t data[BLOCK_MAX];
    umbp_key_t key = s_key (room, number);
    umbp_item_t item = { .key = key, .data = data, .size = sizeof data };
    umbp_get_batch (pool, &item, 1, 20000);
    if (item.status != 0)
        return item.status;
    return item.size == s_size (number) && nodes_is_filled (data, item.size, number) ? 0 : 1;
}

static uint64_t s_board_hits (umbp_t *pool)
{
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    return stats.board_hits;
}

static umbp_t *s_client (void)
{
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    return pool;
}

static void test_nobody_is_asked (void)
{
    enum { BLOCKS = 50 };
    umbp_t *writer = s_client (), *reader = s_client ();
    for (uint64_t number = 0; number < BLOCKS; number++)
        CU_ASSERT_EQUAL (s_put (writer, number), 0);
    umbp_key_t keys[BLOCKS];
    char rooms[BLOCKS][32];
    int8_t found[BLOCKS];
    for (uint64_t number = 0; number < BLOCKS; number++) {
        CU_ASSERT_EQUAL (s_get (reader, number), 0);
        keys[number] = s_key (rooms[number], number);
    }
    CU_ASSERT_EQUAL (s_board_hits (reader), BLOCKS);
    CU_ASSERT_EQUAL (umbp_exists_batch (reader, keys, BLOCKS, found, 0), BLOCKS);
    for (uint64_t number = 0; number < BLOCKS; number++) {
        CU_ASSERT_EQUAL (umbp_remove_batch (writer, &keys[number], 1, NULL, 0), 1);
        CU_ASSERT_EQUAL (s_get (reader, number), UMBP_ENOENT);
        CU_ASSERT_EQUAL (umbp_exists_batch (reader, &keys[number], 1, found, 0), 0);
    }
    CU_ASSERT_EQUAL (s_board_hits (reader), BLOCKS);
    umbp_close (&reader);
    umbp_close (&writer);
}

//  Sizes and parts as by any other way
static void test_room_and_ranges (void)
{
    umbp_t *pool = s_client ();
    char room[32];
    uint8_t whole[BLOCK_MAX], part[BLOCK_MAX];
    uint64_t number = 7;
    CU_ASSERT_EQUAL (s_put (pool, number), 0);
    size_t size = s_size (number);
    nodes_fill (whole, size, number);
    umbp_item_t small = { .key = s_key (room, number), .data = part, .size = size - 1 };
    umbp_get_batch (pool, &small, 1, 0);
    CU_ASSERT_EQUAL (small.status, UMBP_ETOOBIG);
    CU_ASSERT_EQUAL (small.size, size);
    umbp_range_t ranges[] = { { part, 100, size - 100 }, { part + 100, 50, 1 } };
    umbp_vec_t vec = { .key = s_key (room, number), .ranges = ranges, .range_count = 2 };
    CU_ASSERT_EQUAL (umbp_get_v (pool, &vec, 1, 0), 1);
    CU_ASSERT_EQUAL (memcmp (part, whole + size - 100, 100), 0);
    CU_ASSERT_EQUAL (memcmp (part + 100, whole + 1, 50), 0);
    ranges[0].offset = size - 99;
    umbp_get_v (pool, &vec, 1, 0);
    CU_ASSERT_EQUAL (vec.status, UMBP_EINVAL);
    CU_ASSERT_EQUAL (s_board_hits (pool), 1);
    umbp_clear (pool, false, 0);
    umbp_close (&pool);
}

//  ------------------------------------------------------------------------------------------------
//  Readers beside a writer that has the pool evict all the time

typedef struct {
    atomic_bool *over;
    uint64_t seed, wrong, hits, misses, errors, board_hits;
} reader_t;

static void *s_reader (void *arg)
{
    reader_t *self = arg;
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { 0 });
    while (pool && !atomic_load (self->over)) {
        int rc = s_get (pool, umbp_splitmix (&self->seed) % 1000);
        self->wrong += rc == 1;
        self->hits += rc == 0;
        self->misses += rc == UMBP_ENOENT;
        self->errors += rc != 0 && rc != 1 && rc != UMBP_ENOENT;
    }
    self->board_hits = pool ? s_board_hits (pool) : 0;
    umbp_close (&pool);
    return NULL;
}

static void test_readers_beside_eviction (void)
{
    enum { READERS = 3, PUTS = 6000 };
    uint64_t seed = nodes_seed ("eviction"), state = seed;
    atomic_bool over = false;
    reader_t readers[READERS];
    pthread_t threads[READERS];
    umbp_t *pool = s_client ();
    for (size_t index = 0; index < READERS; index++) {
        readers[index] = (reader_t) { .over = &over, .seed = seed + index + 1 };
        pthread_create (&threads[index], NULL, s_reader, &readers[index]);
    }
    size_t failed = 0;
    for (size_t turn = 0; turn < PUTS; turn++) {
        uint64_t number = umbp_splitmix (&state) % 1000;
        char room[32];
        umbp_key_t key = s_key (room, number);
        if (turn % 4 == 0)
            umbp_remove_batch (pool, &key, 1, NULL, 0);
        int rc = s_put (pool, number);
        failed += rc != 0 && rc != UMBP_EEXIST && rc != UMBP_EAGAIN;
    }
    atomic_store (&over, true);
    CU_ASSERT_EQUAL (failed, 0);
    uint64_t hits = 0, board_hits = 0;
    for (size_t index = 0; index < READERS; index++) {
        pthread_join (threads[index], NULL);
        CU_ASSERT_EQUAL (readers[index].wrong, 0);
        CU_ASSERT_EQUAL (readers[index].errors, 0);
        hits += readers[index].hits;
        board_hits += readers[index].board_hits;
    }
    printf ("%llu hits, %llu by the board ", (unsigned long long) hits,
            (unsigned long long) board_hits);
    CU_ASSERT_TRUE (board_hits > 0);
    umbp_clear (pool, false, 0);
    umbp_close (&pool);
}

//  A block that is read from the board all the time outlives others that nobody reads
static void test_what_is_used_stays (void)
{
    umbp_t *pool = s_client ();
    CU_ASSERT_EQUAL (s_put (pool, 0), 0);
    size_t lost = 0;
    for (uint64_t number = 1; number < 2000; number++) {
        int rc = s_put (pool, number);
        CU_ASSERT_TRUE (rc == 0 || rc == UMBP_EAGAIN);
        lost += s_get (pool, 0) != 0;
        if (number % 20 == 0)
            usleep (11000);             //  Touches are told every 10 ms
    }
    CU_ASSERT_EQUAL (lost, 0);
    CU_ASSERT_EQUAL (s_get (pool, 1), UMBP_ENOENT);
    CU_ASSERT_TRUE (s_board_hits (pool) >= 1999);
    umbp_clear (pool, false, 0);
    umbp_close (&pool);
}

//  What a node showed is void when it has gone, though its memory is mapped still
static void test_the_board_ends_with_its_node (void)
{
    umbp_t *pool = s_client ();
    CU_ASSERT_EQUAL (s_put (pool, 0), 0);
    CU_ASSERT_EQUAL (s_get (pool, 0), 0);
    CU_ASSERT_EQUAL (s_board_hits (pool), 1);
    umbp_close (&pool);
    umbp_options_t how = { .endpoints = umbp_node_endpoint (s_nodes.nodes[0]) };
    pool = umbp_connect (&how, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    CU_ASSERT_EQUAL (s_get (pool, 0), 0);
    umbp_node_destroy (&s_nodes.nodes[0]);
    char room[32];
    uint8_t data[BLOCK_MAX];
    umbp_item_t item = { .key = s_key (room, 0), .data = data, .size = sizeof data };
    umbp_get_batch (pool, &item, 1, 300);
    CU_ASSERT_TRUE (item.status < 0);
    s_nodes.nodes[0] = nodes_again (&s_nodes.options[0]);
    CU_ASSERT_PTR_NOT_NULL_FATAL (s_nodes.nodes[0]);
    CU_ASSERT_TRUE (nodes_meet (&s_nodes));
    CU_ASSERT_EQUAL (s_get (pool, 0), UMBP_ENOENT);
    CU_ASSERT_EQUAL (s_board_hits (pool), 1);
    umbp_close (&pool);
}

int main (void)
{
    alarm (240);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("board_nodes", s_setup, s_teardown);
    CU_ADD_TEST (suite, test_nobody_is_asked);
    CU_ADD_TEST (suite, test_room_and_ranges);
    CU_ADD_TEST (suite, test_readers_beside_eviction);
    CU_ADD_TEST (suite, test_what_is_used_stays);
    CU_ADD_TEST (suite, test_the_board_ends_with_its_node);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

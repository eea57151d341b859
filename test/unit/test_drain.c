//  test/unit/test_drain.c - a node of three is drained while others read what it holds: no read misses, no bytes are
//  wrong, and in the end the node is empty and out of the ring. It can be taken back, and says when there is no room.
#include "test/unit/drain.h"
#include "test/unit/gauge.h"

#include <pthread.h>

#define BLOCKS 300
#define SIZE_MAX_OF_BLOCK (96 << 10)
#define MIB (1 << 20)

static uint64_t s_seed;

static size_t s_size (uint64_t number)
{
    uint64_t state = s_seed + number;
    return 1 + umbp_splitmix (&state) % SIZE_MAX_OF_BLOCK;
}

static void s_name (char *out, size_t size, uint64_t number)
{
    snprintf (out, size, "block-%llu", (unsigned long long) number);
}

static void s_put_all (umbp_t *pool, uint64_t first, size_t count)
{
    static uint8_t data[SIZE_MAX_OF_BLOCK];
    for (uint64_t number = first; number < first + count; number++) {
        char key[32];
        s_name (key, sizeof key, number);
        nodes_fill (data, s_size (number), s_seed + number);
        CU_ASSERT_FATAL (umbp_put (pool, key, data, s_size (number)) == 0);
    }
}

//  Get some blocks in one call. Returns how many are not there, or not what they should be.
static size_t s_wrong (umbp_t *pool, uint64_t *random, size_t count)
{
    char keys[16][32];
    uint64_t numbers[16];
    umbp_item_t items[16];
    uint8_t *room = malloc (16 * SIZE_MAX_OF_BLOCK);
    size_t wrong = 0;
    for (size_t index = 0; index < count; index++) {
        numbers[index] = umbp_splitmix (random) % BLOCKS;
        s_name (keys[index], sizeof keys[index], numbers[index]);
        items[index] = (umbp_item_t) { .key = { keys[index], strlen (keys[index]) },
                                       .data = room + index * SIZE_MAX_OF_BLOCK,
                                       .size = SIZE_MAX_OF_BLOCK };
    }
    umbp_get_batch (pool, items, count, 60000);
    for (size_t index = 0; index < count; index++) {
        bool right =
            items[index].status == 0 && items[index].size == s_size (numbers[index])
            && nodes_is_filled (items[index].data, items[index].size, s_seed + numbers[index]);
        if (!right)
            printf ("\n    %s: status=%d size=%zu\n", keys[index], items[index].status,
                    items[index].size);
        wrong += !right;
    }
    free (room);
    return wrong;
}

typedef struct {
    umbp_t *pool;
    uint64_t random;
    atomic_bool *over;
    size_t calls, wrong;
} reader_t;

static void *s_read (void *arg)
{
    reader_t *reader = arg;
    for (bool last = false; !last; reader->calls++) {
        last = atomic_load (reader->over);
        reader->wrong += s_wrong (reader->pool, &reader->random, 1 + reader->calls % 16);
    }
    return NULL;
}

//  --------------------------------------------------------------------------------------------------

static void test_moves (doors_t doors)
{
    nodes_t nodes;
    CU_ASSERT_FATAL (nodes_start (&nodes, 3, doors, 64 * MIB));
    umbp_t *here = nodes_connect (&nodes, 0, (umbp_options_t) { 0 });
    s_put_all (here, 0, BLOCKS);
    drain_t drain;
    drain_open (&drain, &nodes, 1);
    CU_ASSERT (drain_blocks (&drain, "node-0") == BLOCKS);

    atomic_bool over = false;
    pthread_t threads[3];
    reader_t readers[3];
    for (size_t index = 0; index < 3; index++) {
        umbp_options_t how = { .no_shm = index == 2 };
        readers[index] = (reader_t){ .pool = nodes_connect (&nodes, index, how),
                                     .random = s_seed + index, .over = &over };
        CU_ASSERT_FATAL (readers[index].pool != NULL);
        pthread_create (&threads[index], NULL, s_read, &readers[index]);
    }
    umbp_msg_drain_ok_t at = { 0 };
    CU_ASSERT (drain_ask (&drain, "node-0", 1, &at) == 0);
    CU_ASSERT (drain_until (&drain, "node-0", DRAIN_DONE, &at));
    CU_ASSERT (at.blocks == 0 && at.moved_blocks == BLOCKS && !at.stop);
    atomic_store (&over, true);
    for (size_t index = 0; index < 3; index++) {
        pthread_join (threads[index], NULL);
        CU_ASSERT (readers[index].wrong == 0 && readers[index].calls > 0);
        umbp_close (&readers[index].pool);
    }
    CU_ASSERT (drain_blocks (&drain, "node-0") == 0 && !drain_in_ring (&drain, "node-0"));
    CU_ASSERT (drain_blocks (&drain, "node-1") + drain_blocks (&drain, "node-2") == BLOCKS);

    //  A client of the drained node still puts and gets, elsewhere
    CU_ASSERT (umbp_put (here, "later", "yes", 3) == 0 && umbp_exists (here, "later") == 1);
    CU_ASSERT (drain_blocks (&drain, "node-0") == 0);

    //  And back
    CU_ASSERT (drain_ask (&drain, "node-0", 3, &at) == 0 && at.state == 0);
    CU_ASSERT (drain_until_ring (&drain, "node-0"));
    uint64_t random = s_seed;
    CU_ASSERT (s_wrong (here, &random, 16) == 0);
    drain_close (&drain);
    umbp_close (&here);
    nodes_stop (&nodes);
}

static void test_moves_with_doors (void)
{
    test_moves (WITH_DOORS);
}

static void test_moves_over_tcp (void)
{
    test_moves (WITHOUT_DOORS);
}

//  Both others are too full: it says so, keeps all blocks, goes on when there is room, and can be taken back
static void test_no_room (void)
{
    nodes_t nodes;
    CU_ASSERT_FATAL (nodes_start (&nodes, 2, WITHOUT_DOORS, 16 * MIB));
    umbp_t *here = nodes_connect (&nodes, 0, (umbp_options_t) { 0 });
    umbp_t *there = nodes_connect (&nodes, 1, (umbp_options_t) { 0 });
    uint8_t *data = calloc (1, MIB);
    char key[32];
    for (int number = 0; number < 12; number++) {
        snprintf (key, sizeof key, "there-%d", number);
        CU_ASSERT_FATAL (umbp_put (there, key, data, MIB) == 0);
    }
    for (int number = 0; number < 8; number++) {
        snprintf (key, sizeof key, "here-%d", number);
        CU_ASSERT_FATAL (umbp_put (here, key, data, MIB) == 0);
    }
    free (data);
    drain_t drain;
    drain_open (&drain, &nodes, 1);
    CU_ASSERT (drain_until_blocks (&drain, "node-1", 12));
    drain_close (&drain);
    drain_open (&drain, &nodes, 0);     //  Who is drained has to know how full the other one is
    CU_ASSERT (drain_until_blocks (&drain, "node-1", 12));
    umbp_msg_drain_ok_t at = { 0 };
    CU_ASSERT (drain_ask (&drain, "node-0", 1, &at) == 0);
    CU_ASSERT (drain_until (&drain, "node-0", DRAIN_FULL, &at));
    CU_ASSERT (at.blocks > 0 && at.blocks + at.moved_blocks == 8
               && drain_in_ring (&drain, "node-0"));

    CU_ASSERT (drain_ask (&drain, "node-0", 3, &at) == 0 && at.state == 0);
    CU_ASSERT (drain_until (&drain, "node-0", DRAIN_NONE, &at));
    CU_ASSERT (umbp_put (here, "one more", "yes", 3) == 0);
    for (int number = 0; number < 8; number++) {
        snprintf (key, sizeof key, "here-%d", number);
        CU_ASSERT (umbp_exists (there, key) == 1);
    }

    CU_ASSERT (drain_ask (&drain, "node-0", 1, &at) == 0);
    CU_ASSERT (drain_until (&drain, "node-0", DRAIN_FULL, &at));
    for (int number = 0; number < 12; number++) {
        snprintf (key, sizeof key, "there-%d", number);
        CU_ASSERT (umbp_remove (there, key) == 0);
    }
    CU_ASSERT (drain_until (&drain, "node-0", DRAIN_DONE, &at) && at.blocks == 0);
    for (int number = 0; number < 8; number++) {
        snprintf (key, sizeof key, "here-%d", number);
        CU_ASSERT (umbp_exists (there, key) == 1);
    }
    drain_close (&drain);
    umbp_close (&here);
    umbp_close (&there);
    nodes_stop (&nodes);
}

//  What is removed while it moves is gone, though its node leaves with the drain
static void test_removed_meanwhile (void)
{
    enum { MOVED = 60, SIZE = 100000 };
    nodes_t nodes;
    CU_ASSERT_FATAL (nodes_start (&nodes, 2, WITHOUT_DOORS, 32 * MIB));
    umbp_t *here = nodes_connect (&nodes, 0, (umbp_options_t) { 0 });
    umbp_t *there = nodes_connect (&nodes, 1, (umbp_options_t) { 0 });
    uint8_t *data = calloc (1, SIZE);
    for (unsigned turn = 0; turn < 4; turn++) {
        char key[32];
        for (int number = 0; number < MOVED; number++) {
            snprintf (key, sizeof key, "moves-%d", number);
            CU_ASSERT_FATAL (umbp_put (here, key, data, SIZE) == 0);
        }
        drain_t drain;
        drain_open (&drain, &nodes, 0);
        umbp_msg_drain_ok_t at = { 0 };
        CU_ASSERT (drain_ask (&drain, "node-0", 1, &at) == 0);
        for (int number = 0; number < MOVED; number++) {
            snprintf (key, sizeof key, "moves-%d", number);
            CU_ASSERT (umbp_remove (turn % 2 ? here : there, key) == 0);
        }
        CU_ASSERT (drain_until (&drain, "node-0", DRAIN_DONE, &at) && at.blocks == 0);
        CU_ASSERT (gauge_becomes (umbp_node_endpoint (nodes.nodes[1]), "tier:dram", "blocks", 0));
        CU_ASSERT (drain_ask (&drain, "node-0", 3, &at) == 0);
        CU_ASSERT (drain_until (&drain, "node-0", DRAIN_NONE, &at));
        drain_close (&drain);
    }
    free (data);
    umbp_close (&here);
    umbp_close (&there);
    nodes_stop (&nodes);
}

//  Two at once: neither takes the other's blocks, nor relies on its copies
static void test_two_at_once (void)
{
    nodes_t nodes;
    CU_ASSERT_FATAL (nodes_start (&nodes, 3, WITHOUT_DOORS, 64 * MIB));
    umbp_t *pools[2] = { nodes_connect (&nodes, 0, (umbp_options_t) { 0 }),
                         nodes_connect (&nodes, 1, (umbp_options_t) { 0 }) };
    s_put_all (pools[0], 0, BLOCKS / 2);
    s_put_all (pools[1], BLOCKS / 2, BLOCKS / 2);
    drain_t drain;
    drain_open (&drain, &nodes, 2);
    for (uint64_t number = 0; number < 50; number++) {
        char key[32];
        s_name (key, sizeof key, number);
        CU_ASSERT (drain_copy (&drain, key, "node-0", "node-1") == 0);
    }
    umbp_msg_drain_ok_t at = { 0 };
    CU_ASSERT (drain_ask (&drain, "node-0", 1, &at) == 0);
    CU_ASSERT (drain_ask (&drain, "node-1", 1, &at) == 0);
    CU_ASSERT (drain_until (&drain, "node-0", DRAIN_DONE, &at));
    CU_ASSERT (drain_until (&drain, "node-1", DRAIN_DONE, &at));
    CU_ASSERT (drain_until_blocks (&drain, "node-2", BLOCKS));
    umbp_t *third = nodes_connect (&nodes, 2, (umbp_options_t) { 0 });
    uint64_t random = s_seed;
    for (int turn = 0; turn < 20; turn++)
        CU_ASSERT (s_wrong (third, &random, 16) == 0);
    umbp_close (&third);
    drain_close (&drain);
    for (int index = 0; index < 2; index++)
        umbp_close (&pools[index]);
    nodes_stop (&nodes);
}

//  Who is not asked to end its process cannot be told to
static void test_refusals (void)
{
    nodes_t nodes;
    CU_ASSERT_FATAL (nodes_start (&nodes, 1, WITHOUT_DOORS, 16 * MIB));
    drain_t drain;
    umbp_msg_drain_ok_t at = { 0 };
    drain_open (&drain, &nodes, 0);
    CU_ASSERT (drain_ask (&drain, "node-0", 2, &at) == UMBP_ENOTSUP);
    CU_ASSERT (drain_ask (&drain, "node-0", 0, &at) == 0 && at.state == DRAIN_NONE);
    CU_ASSERT (umbp_node_stop_fd (nodes.nodes[0]) == -1);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_drain, 0);
    msg.drain.action = 1;
    const umbp_msg_t *answer;
    CU_ASSERT (umbp_talk_ask (drain.talk, "tier:dram@node-0", &msg, &answer) == UMBP_EDENIED);
    drain_close (&drain);
    nodes_stop (&nodes);
}

int main (void)
{
    alarm (280);
    s_seed = nodes_seed ("drain");
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("drain", NULL, NULL);
    CU_ADD_TEST (suite, test_refusals);
    CU_ADD_TEST (suite, test_moves_with_doors);
    CU_ADD_TEST (suite, test_moves_over_tcp);
    CU_ADD_TEST (suite, test_no_room);
    CU_ADD_TEST (suite, test_removed_meanwhile);
    CU_ADD_TEST (suite, test_two_at_once);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

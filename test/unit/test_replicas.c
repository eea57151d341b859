//  test/unit/test_replicas.c - put with replicas: as many nodes have each block when it returns, or it says how many
//  copies are missing; and what becomes of last copies when a node is lost
#include "test/unit/drain.h"

#define BLOCKS 60
#define MIB (1 << 20)

static uint64_t s_seed;

static size_t s_size (uint64_t number)
{
    return number % 3 == 0 ? 100 : number % 3 == 1 ? 5000 : 200000;
}

//  Put blocks in one batch. Returns how many copies are missing, by the client's count.
static uint64_t s_put (umbp_t *pool, const char *name, size_t count, umbp_put_options_t options)
{
    static char keys[BLOCKS][32];
    static umbp_item_t items[BLOCKS];
    umbp_stats_t before, after;
    for (size_t index = 0; index < count; index++) {
        snprintf (keys[index], sizeof keys[index], "%s-%zu", name, index);
        items[index] = (umbp_item_t) { .key = { keys[index], strlen (keys[index]) },
                                       .data = malloc (s_size (index)), .size = s_size (index) };
        nodes_fill (items[index].data, s_size (index), s_seed + index);
    }
    umbp_stats (pool, &before);
    CU_ASSERT (umbp_put_batch (pool, items, count, &options, 60000) == (int) count);
    umbp_stats (pool, &after);
    for (size_t index = 0; index < count; index++) {
        CU_ASSERT (items[index].status == 0);
        free (items[index].data);
    }
    return after.replicas_missing - before.replicas_missing;
}

//  Blocks that are on so many nodes
static size_t s_on (drain_t *drain, const char *name, size_t count, size_t copies)
{
    size_t found = 0;
    for (size_t index = 0; index < count; index++) {
        char key[32];
        snprintf (key, sizeof key, "%s-%zu", name, index);
        found += drain_copies (drain, key) == copies;
    }
    return found;
}

static bool s_until_on (drain_t *drain, const char *name, size_t count, size_t copies)
{
    int64_t end = umbp_clock_ms () + DRAIN_MS;
    while (umbp_clock_ms () < end && s_on (drain, name, count, copies) < count)
        usleep (20000);
    return s_on (drain, name, count, copies) == count;
}

//  Every node has the right bytes of a block it holds, or gets them
static size_t s_wrong (umbp_t *pool, const char *name, size_t count)
{
    uint8_t *room = malloc (MIB);
    size_t wrong = 0;
    for (size_t index = 0; index < count; index++) {
        char key[32];
        snprintf (key, sizeof key, "%s-%zu", name, index);
        long size = umbp_get (pool, key, room, MIB);
        wrong += size != (long) s_size (index)
                 || !nodes_is_filled (room, s_size (index), s_seed + index);
    }
    free (room);
    return wrong;
}

static void test_put (doors_t doors)
{
    nodes_t nodes;
    drain_t drain;
    CU_ASSERT_FATAL (nodes_start (&nodes, 3, doors, 64 * MIB));
    umbp_t *pool = nodes_connect (&nodes, 0, (umbp_options_t) { 0 });
    drain_open (&drain, &nodes, 1);
    CU_ASSERT (s_put (pool, "one", BLOCKS, (umbp_put_options_t) { 0 }) == 0);
    CU_ASSERT (s_on (&drain, "one", BLOCKS, 1) == BLOCKS);
    CU_ASSERT (s_put (pool, "uno", BLOCKS, (umbp_put_options_t) { .replicas = 1 }) == 0);
    CU_ASSERT (s_on (&drain, "uno", BLOCKS, 1) == BLOCKS);

    //  At the return all are there, on any node, whatever its size
    CU_ASSERT (s_put (pool, "two", BLOCKS, (umbp_put_options_t) { .replicas = 2 }) == 0);
    CU_ASSERT (s_on (&drain, "two", BLOCKS, 2) == BLOCKS);
    CU_ASSERT (s_put (pool, "three", BLOCKS, (umbp_put_options_t) { .replicas = 3 }) == 0);
    CU_ASSERT (s_on (&drain, "three", BLOCKS, 3) == BLOCKS);
    CU_ASSERT (s_wrong (pool, "two", BLOCKS) == 0);
    umbp_t *other = nodes_connect (&nodes, 2, (umbp_options_t) { .no_shm = true });
    CU_ASSERT (s_wrong (other, "three", BLOCKS) == 0);

    //  One more than there are nodes: stored, and said. What small ones and large ones say adds up.
    CU_ASSERT (s_put (pool, "four", BLOCKS, (umbp_put_options_t) { .replicas = 4 }) == BLOCKS);
    CU_ASSERT (s_on (&drain, "four", BLOCKS, 3) == BLOCKS);
    CU_ASSERT (drain_gauge (&drain, "tier:dram@node-0", "replicas_missing")
                   + drain_gauge (&drain, "tier:dram@node-1", "replicas_missing")
                   + drain_gauge (&drain, "tier:dram@node-2", "replicas_missing")
               == BLOCKS);
    umbp_item_t item = { .key = { "bad", 3 }, .data = &drain, .size = 8 };
    CU_ASSERT (umbp_put_batch (pool, &item, 1, &(umbp_put_options_t) { .replicas = 5 }, 0)
               == UMBP_EINVAL);

    //  Later, if nobody waits
    CU_ASSERT (s_put (pool, "later", BLOCKS, (umbp_put_options_t) { .replicas = 2, .nowait = true })
               == 0);
    CU_ASSERT (s_until_on (&drain, "later", BLOCKS, 2));

    //  All copies go with a remove
    CU_ASSERT (umbp_remove (pool, "three-0") == 0 && umbp_exists (other, "three-0") == 0);
    umbp_close (&other);
    drain_close (&drain);
    umbp_close (&pool);
    nodes_stop (&nodes);
}

//  Removed as soon as they are put, at any moment of being copied: nothing comes back
static void test_remove_at_once (void)
{
    nodes_t nodes;
    drain_t drain;
    uint64_t state = s_seed;
    CU_ASSERT_FATAL (nodes_start (&nodes, 3, WITH_DOORS, 64 * MIB));
    umbp_t *pools[] = { nodes_connect (&nodes, 0, (umbp_options_t) { 0 }),
                        nodes_connect (&nodes, 1, (umbp_options_t) { 0 }) };
    drain_open (&drain, &nodes, 2);
    for (int round = 0; round < 60; round++) {
        char name[16], keys[6][32];
        umbp_key_t batch[6];
        int8_t statuses[6];
        snprintf (name, sizeof name, "gone-%d", round);
        s_put (pools[0], name, 6,
               (umbp_put_options_t){ .replicas = 2 + round % 2, .nowait = true });
        for (size_t index = 0; index < 6; index++) {
            snprintf (keys[index], sizeof keys[index], "%s-%zu", name, index);
            batch[index] = (umbp_key_t) { keys[index], strlen (keys[index]) };
        }
        CU_ASSERT (umbp_flush (pools[0], 30000) == 0);
        usleep ((useconds_t) (umbp_splitmix (&state) % 3000));
        CU_ASSERT (umbp_remove_batch (pools[round / 2 % 2], batch, 6, statuses, 30000) == 6);
    }
    for (size_t node = 0; node < 3; node++) {
        char label[32];
        snprintf (label, sizeof label, "node-%zu", node);
        int64_t end = umbp_clock_ms () + DRAIN_MS;
        while (umbp_clock_ms () < end && drain_blocks (&drain, label) > 0)
            usleep (20000);
        CU_ASSERT (drain_blocks (&drain, label) == 0);
    }
    drain_close (&drain);
    umbp_close (&pools[0]);
    umbp_close (&pools[1]);
    nodes_stop (&nodes);
}

static void test_put_with_doors (void)
{
    test_put (WITH_DOORS);
}

static void test_put_over_tcp (void)
{
    test_put (WITHOUT_DOORS);
}

//  A node alone has nobody to copy to, and says so at once
static void test_alone (void)
{
    nodes_t nodes;
    CU_ASSERT_FATAL (nodes_start (&nodes, 1, WITHOUT_DOORS, 32 * MIB));
    umbp_t *pool = nodes_connect (&nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT (s_put (pool, "two", BLOCKS, (umbp_put_options_t) { .replicas = 2 }) == BLOCKS);
    CU_ASSERT (s_wrong (pool, "two", BLOCKS) == 0);
    umbp_close (&pool);
    nodes_stop (&nodes);
}

//  Two writers who both want two copies: two there are, and both are told that it is fine
static void test_same_key (void)
{
    nodes_t nodes;
    drain_t drain;
    CU_ASSERT_FATAL (nodes_start (&nodes, 3, WITHOUT_DOORS, 32 * MIB));
    umbp_t *pools[2] = { nodes_connect (&nodes, 0, (umbp_options_t) { 0 }),
                         nodes_connect (&nodes, 1, (umbp_options_t) { 0 }) };
    drain_open (&drain, &nodes, 2);
    char data[100] = "the same";
    for (int turn = 0; turn < 2; turn++) {
        umbp_item_t item = { .key = { "same", 4 }, .data = data, .size = sizeof data };
        CU_ASSERT (umbp_put_batch (pools[turn], &item, 1, &(umbp_put_options_t) { .replicas = 2 }, 0)
                   == 1);
        CU_ASSERT (item.status == (turn == 0 ? 0 : UMBP_EEXIST));
    }
    CU_ASSERT (drain_copies (&drain, "same") == 2);
    drain_close (&drain);
    for (int turn = 0; turn < 2; turn++)
        umbp_close (&pools[turn]);
    nodes_stop (&nodes);
}

//  --------------------------------------------------------------------------------------------------
//  Losses

static bool s_start_for_loss (nodes_t *self, const char *replicate, uint64_t rate)
{
    *self = (nodes_t) { .count = 3 };
    bool fine = true;
    for (size_t number = 0; fine && number < 3; number++) {
        nodes_options (self, number, WITHOUT_DOORS, 64 * MIB);
        snprintf (self->options[number].replicate, sizeof self->options[number].replicate, "%s",
                  replicate);
        self->options[number].replicate_rate = rate;
        self->nodes[number] = nodes_new (&self->options[number]);
        fine = self->nodes[number] != NULL;
    }
    return fine && nodes_meet (self);
}

static void s_put_for_loss (nodes_t *nodes)
{
    umbp_t *pool = nodes_connect (nodes, 2, (umbp_options_t) { 0 });
    CU_ASSERT (s_put (pool, "two", BLOCKS, (umbp_put_options_t) { .replicas = 2 }) == 0);
    CU_ASSERT (s_put (pool, "three", BLOCKS, (umbp_put_options_t) { .replicas = 3 }) == 0);
    umbp_t *other = nodes_connect (nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT (s_put (other, "one", BLOCKS, (umbp_put_options_t) { 0 }) == 0);
    umbp_close (&other);
    umbp_close (&pool);
}

//  The node that holds a copy of all blocks goes: those of two have two again, which the copies made by others
//  remembered. Those of three have two left and stay so, and those of one stay alone.
static void test_loss (void)
{
    nodes_t nodes;
    drain_t drain;
    CU_ASSERT_FATAL (s_start_for_loss (&nodes, "last", 0));
    s_put_for_loss (&nodes);
    drain_open (&drain, &nodes, 0);
    CU_ASSERT (drain_blocks (&drain, "node-2") == 2 * BLOCKS);
    umbp_node_destroy (&nodes.nodes[2]);
    CU_ASSERT (s_until_on (&drain, "two", BLOCKS, 2));
    CU_ASSERT (s_on (&drain, "three", BLOCKS, 2) == BLOCKS);
    CU_ASSERT (s_on (&drain, "one", BLOCKS, 1) == BLOCKS);
    CU_ASSERT (drain_gauge (&drain, "tier:dram@node-0", "replicas_made")
                   + drain_gauge (&drain, "tier:dram@node-1", "replicas_made")
               == BLOCKS);
    umbp_t *pool = nodes_connect (&nodes, 1, (umbp_options_t) { 0 });
    CU_ASSERT (s_wrong (pool, "two", BLOCKS) == 0 && s_wrong (pool, "three", BLOCKS) == 0);
    umbp_close (&pool);
    drain_close (&drain);
    nodes_stop (&nodes);
}

//  So many bytes a second and no more: what takes a second and a half at the least
static void test_loss_budget (void)
{
    nodes_t nodes;
    drain_t drain;
    uint64_t bytes = 0;
    for (size_t index = 0; index < BLOCKS; index++)
        bytes += s_size (index);
    CU_ASSERT_FATAL (s_start_for_loss (&nodes, "last", bytes / 6));
    s_put_for_loss (&nodes);
    drain_open (&drain, &nodes, 0);
    int64_t begin = umbp_clock_ms ();
    umbp_node_destroy (&nodes.nodes[2]);
    CU_ASSERT (s_until_on (&drain, "two", BLOCKS, 2));
    CU_ASSERT (umbp_clock_ms () - begin > 1500);     //  Two nodes, each with a second's worth at once
    drain_close (&drain);
    nodes_stop (&nodes);
}

static void test_loss_off (void)
{
    nodes_t nodes;
    drain_t drain;
    CU_ASSERT_FATAL (s_start_for_loss (&nodes, "off", 0));
    s_put_for_loss (&nodes);
    drain_open (&drain, &nodes, 0);
    umbp_node_destroy (&nodes.nodes[2]);
    while (drain_gauge (&drain, "tier:dram@node-0", "members_lost") != 1
           || drain_gauge (&drain, "tier:dram@node-1", "members_lost") != 1
           || drain_gauge (&drain, "tier:dram@node-0", "rings_told") != 1)
        usleep (20000);
    CU_ASSERT (s_on (&drain, "two", BLOCKS, 1) == BLOCKS);
    CU_ASSERT (drain_gauge (&drain, "tier:dram@node-0", "replicas_made") == 0);
    drain_close (&drain);
    nodes_stop (&nodes);
}

int main (void)
{
    alarm (280);
    s_seed = nodes_seed ("replicas");
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("replicas", NULL, NULL);
    CU_ADD_TEST (suite, test_put_with_doors);
    CU_ADD_TEST (suite, test_put_over_tcp);
    CU_ADD_TEST (suite, test_remove_at_once);
    CU_ADD_TEST (suite, test_alone);
    CU_ADD_TEST (suite, test_same_key);
    CU_ADD_TEST (suite, test_loss);
    CU_ADD_TEST (suite, test_loss_budget);
    CU_ADD_TEST (suite, test_loss_off);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

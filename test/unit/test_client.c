//  test/unit/test_client.c - the client library against nodes of this process, as programs use it
#include "test/unit/nodes.h"

#include <signal.h>
#include <sys/wait.h>

#define MIB ((size_t) 1 << 20)

static const size_t s_sizes[] = { 1,        7,         PAGE - 1,      PAGE,
                                  PAGE + 1, 64 * 1024, 64 * 1024 + 1, 3 * MIB + 1 };
#define SIZES (sizeof s_sizes / sizeof *s_sizes)

//  Ways to the same bytes
static const struct {
    const char *name;
    size_t nodes;
    doors_t doors;
    bool no_shm, tcp;
    int copy_threads;                   //  As in the options; 0: what fits the machine
} s_ways[] = {
    { "one node, shared memory, one thread", 1, WITH_DOORS, false, false, UMBP_COPY_ALONE },
    { "one node, shared memory, four threads", 1, WITH_DOORS, false, false, 3 },
    { "one node, bulk tcp, one thread", 1, WITHOUT_DOORS, false, true, UMBP_COPY_ALONE },
    { "one node, no doors wanted", 1, WITH_DOORS, true, false, 3 },
    { "three nodes, shared memory", 3, WITH_DOORS, false, true, 0 },
    { "three nodes, bulk tcp", 3, WITHOUT_DOORS, false, false, 0 },
};
#define WAYS (sizeof s_ways / sizeof *s_ways)

static nodes_t s_nodes;
static size_t s_way;

static umbp_t *s_connect (size_t number)
{
    umbp_options_t options = { .no_shm = s_ways[s_way].no_shm,
                               .copy_threads = s_ways[s_way].copy_threads };
    if (s_ways[s_way].tcp)
        options.endpoints = umbp_node_endpoint (s_nodes.nodes[number]);
    return nodes_connect (&s_nodes, number, options);
}

static void s_put_sizes (umbp_t *pool)
{
    uint8_t *data = malloc (4 * MIB);
    for (size_t index = 0; index < SIZES; index++) {
        char key[32];
        snprintf (key, sizeof key, "size-%zu", s_sizes[index]);
        nodes_fill (data, s_sizes[index], index);
        CU_ASSERT (umbp_put (pool, key, data, s_sizes[index]) == 0);
        CU_ASSERT (umbp_put (pool, key, data, s_sizes[index]) == 0);
    }
    free (data);
}

static void s_get_sizes (umbp_t *pool)
{
    uint8_t *data = malloc (4 * MIB);
    for (size_t index = 0; index < SIZES; index++) {
        char key[32];
        snprintf (key, sizeof key, "size-%zu", s_sizes[index]);
        memset (data, 0xee, 4 * MIB);
        CU_ASSERT (umbp_exists (pool, key) == 1);
        CU_ASSERT (umbp_get (pool, key, data, 4 * MIB) == (long) s_sizes[index]);
        CU_ASSERT (nodes_is_filled (data, s_sizes[index], index));
        CU_ASSERT (data[s_sizes[index]] == 0xee);
        CU_ASSERT (umbp_get (pool, key, data, s_sizes[index]) == (long) s_sizes[index]);
        CU_ASSERT (umbp_get (pool, key, data, s_sizes[index] - 1) == UMBP_ETOOBIG);
    }
    free (data);
}

//  The index hears of it a moment after a block is gone
static bool s_is_soon_absent (umbp_t *pool, const umbp_key_t *keys, size_t count)
{
    static int8_t found[1000];
    int there = 1;
    for (int64_t deadline_ms = umbp_clock_ms () + 20000;
         there != 0 && umbp_clock_ms () < deadline_ms;)
        there = umbp_exists_batch (pool, keys, count, found, 0);
    return there == 0;
}

static void s_remove_sizes (umbp_t *pool)
{
    for (size_t index = 0; index < SIZES; index++) {
        char key[32], byte;
        snprintf (key, sizeof key, "size-%zu", s_sizes[index]);
        CU_ASSERT (umbp_remove (pool, key) == 0);
        CU_ASSERT (umbp_get (pool, key, &byte, 1) == UMBP_ENOENT);
        CU_ASSERT (s_is_soon_absent (pool, &(umbp_key_t) { key, strlen (key) }, 1));
        CU_ASSERT (umbp_exists (pool, key) == 0);
        CU_ASSERT (umbp_remove (pool, key) == UMBP_ENOENT);
    }
}

static void test_sizes (void)
{
    umbp_t *first = s_connect (0), *last = s_connect (s_nodes.count - 1);
    CU_ASSERT_FATAL (first && last);
    s_put_sizes (first);
    s_get_sizes (first);
    s_get_sizes (last);
    s_get_sizes (last);                 //  Ways found the first time are used the second
    s_remove_sizes (last);
    umbp_stats_t stats;
    umbp_stats (first, &stats);
    CU_ASSERT (stats.puts == 2 * SIZES && stats.already == SIZES && stats.hits == 2 * SIZES);
    CU_ASSERT (stats.checksum_errors == 0);
    bool shared = s_ways[s_way].doors == WITH_DOORS && !s_ways[s_way].no_shm;
    CU_ASSERT ((stats.shm_put_bytes > 3 * MIB) == shared && (stats.tcp_put_bytes == 0) == shared);
    CU_ASSERT (stats.inline_put_bytes > 0 && (stats.inline_get_bytes == 0) == shared);
    CU_ASSERT ((stats.board_hits == stats.hits) == shared);
    umbp_close (&first);
    umbp_close (&last);
}

//  ------------------------------------------------------------------------------------------------
//  Batches

#define BATCH 700

static void test_batch (void)
{
    umbp_t *pool = s_connect (0), *other = s_connect (s_nodes.count - 1);
    umbp_item_t items[BATCH];
    umbp_key_t keys[BATCH];
    static char names[BATCH][16];
    static uint8_t data[BATCH][PAGE], back[BATCH][PAGE];
    int8_t found[BATCH];
    for (size_t index = 0; index < BATCH; index++) {
        snprintf (names[index], sizeof names[index], "batch-%zu", index);
        keys[index] = (umbp_key_t) { names[index], strlen (names[index]) };
        nodes_fill (data[index], PAGE, index);
        items[index] = (umbp_item_t){ .key = keys[index],
                                      .data = data[index],
                                       .size = 1 + index * 5 % PAGE, .depth = (uint16_t) index,
                                       .status = 77 };
    }
    items[3].key.key_size = 0;
    items[4].key.key_size = 513;
    items[5].size = 0;
    items[6].size = ((size_t) 1 << 30) + 1;
    items[7].data = NULL;
    CU_ASSERT (umbp_put_batch (pool, items, BATCH, NULL, 0) == BATCH - 5);
    for (size_t index = 0; index < BATCH; index++) {
        int expected = index == 6 ? UMBP_ETOOBIG : index >= 3 && index <= 7 ? UMBP_EINVAL : 0;
        CU_ASSERT (items[index].status == expected);
    }
    CU_ASSERT (umbp_put_batch (pool, items, BATCH, NULL, 0) == BATCH - 5);
    CU_ASSERT (items[0].status == UMBP_EEXIST && items[3].status == UMBP_EINVAL);

    CU_ASSERT (umbp_exists_batch (other, keys, BATCH, found, 0) == BATCH - 5);
    for (size_t index = 0; index < BATCH; index++)
        CU_ASSERT (found[index] == (index < 3 || index > 7));
    CU_ASSERT (umbp_exists_prefix (other, keys, BATCH, 0) == 3);
    CU_ASSERT (umbp_exists_prefix (other, keys + 8, BATCH - 8, 0) == BATCH - 8);

    for (size_t index = 0; index < BATCH; index++)
        items[index] = (umbp_item_t) { .key = keys[index], .data = back[index], .size = PAGE };
    CU_ASSERT (umbp_get_batch (other, items, BATCH, 0) == BATCH - 5);
    for (size_t index = 0; index < BATCH; index++) {
        bool there = index < 3 || index > 7;
        CU_ASSERT (items[index].status == (there ? 0 : UMBP_ENOENT));
        CU_ASSERT (items[index].size == (there ? 1 + index * 5 % PAGE : PAGE));
        CU_ASSERT (!there || memcmp (back[index], data[index], items[index].size) == 0);
    }
    int8_t statuses[BATCH];
    CU_ASSERT (umbp_remove_batch (other, keys, BATCH, statuses, 0) == BATCH - 5);
    CU_ASSERT (statuses[0] == 0 && statuses[5] == UMBP_ENOENT);
    CU_ASSERT (s_is_soon_absent (pool, keys, BATCH));
    CU_ASSERT (umbp_put_batch (pool, NULL, 0, NULL, 0) == 0);
    CU_ASSERT (umbp_get_batch (pool, NULL, 0, 0) == 0);
    CU_ASSERT (umbp_exists_batch (pool, NULL, 0, NULL, 0) == 0);
    CU_ASSERT (umbp_exists_prefix (pool, NULL, 0, 0) == 0);
    umbp_put_options_t odd = { .tier = 9 };
    CU_ASSERT (umbp_put_batch (pool, items, 1, &odd, 0) == UMBP_EINVAL);
    umbp_close (&pool);
    umbp_close (&other);
}

//  Long keys make several messages of a batch
static void test_long_keys (void)
{
    umbp_t *pool = s_connect (0);
    enum { COUNT = 300, KEY = 512 };
    static char names[COUNT][KEY];
    umbp_item_t items[COUNT];
    umbp_key_t keys[COUNT];
    static uint32_t data[COUNT];
    for (uint32_t index = 0; index < COUNT; index++) {
        memset (names[index], 'k', KEY);
        memcpy (names[index] + 100, &index, sizeof index);
        data[index] = index;
        keys[index] = (umbp_key_t) { names[index], KEY };
        items[index] = (umbp_item_t) { .key = keys[index], .data = &data[index], .size = 4 };
    }
    int8_t found[COUNT];
    CU_ASSERT (umbp_put_batch (pool, items, COUNT, NULL, 0) == COUNT);
    memset (data, 0, sizeof data);
    CU_ASSERT (umbp_exists_batch (pool, keys, COUNT, found, 0) == COUNT);
    CU_ASSERT (umbp_get_batch (pool, items, COUNT, 0) == COUNT);
    for (uint32_t index = 0; index < COUNT; index++)
        CU_ASSERT (data[index] == index);
    CU_ASSERT (umbp_remove_batch (pool, keys, COUNT, NULL, 0) == COUNT);
    umbp_close (&pool);
}

//  ------------------------------------------------------------------------------------------------
//  Ranges

static void test_ranges (void)
{
    umbp_t *pool = s_connect (0), *other = s_connect (s_nodes.count - 1);
    enum { SIZE = 5 * PAGE + 100 };
    static uint8_t data[SIZE], back[2 * SIZE];
    nodes_fill (data, SIZE, 42);
    umbp_range_t pieces[] = {
        { data + 3 * PAGE, 2 * PAGE + 100, 3 * PAGE },
        { data, 10, 0 },
        { data + 10, 0, 10 },
        { data + 10, 3 * PAGE - 10, 10 },
    };
    umbp_vec_t item = { .key = { "ranges", 6 }, .ranges = pieces, .range_count = 4, .size = SIZE };
    pieces[1].size = 9;
    CU_ASSERT (umbp_put_v (pool, &item, 1, NULL, 0) == 0 && item.status == UMBP_EINVAL);
    pieces[1].size = 11;
    CU_ASSERT (umbp_put_v (pool, &item, 1, NULL, 0) == 0 && item.status == UMBP_EINVAL);
    pieces[1].size = 10;
    item.size = SIZE + 1;
    CU_ASSERT (umbp_put_v (pool, &item, 1, NULL, 0) == 0 && item.status == UMBP_EINVAL);
    item.size = SIZE;
    CU_ASSERT (umbp_put_v (pool, &item, 1, NULL, 0) == 1 && item.status == 0);
    CU_ASSERT (umbp_get (other, "ranges", back, sizeof back) == SIZE);
    CU_ASSERT (memcmp (back, data, SIZE) == 0);

    umbp_range_t all[] = { { back + SIZE / 2, SIZE - SIZE / 2, SIZE / 2 }, { back, SIZE / 2, 0 } };
    item = (umbp_vec_t) { .key = { "ranges", 6 }, .ranges = all, .range_count = 2 };
    memset (back, 0, sizeof back);
    CU_ASSERT (umbp_get_v (other, &item, 1, 0) == 1 && item.status == 0 && item.size == SIZE);
    CU_ASSERT (memcmp (back, data, SIZE) == 0);

    umbp_range_t some[] = { { back, 100, PAGE - 50 },
                            { back + 100, 200, PAGE - 60 },
                            { back + 300, 1, SIZE - 1 }, { back + 301, 0, SIZE } };
    item = (umbp_vec_t) { .key = { "ranges", 6 }, .ranges = some, .range_count = 4 };
    memset (back, 0, sizeof back);
    CU_ASSERT (umbp_get_v (other, &item, 1, 0) == 1 && item.size == SIZE);
    CU_ASSERT (memcmp (back, data + PAGE - 50, 100) == 0);
    CU_ASSERT (memcmp (back + 100, data + PAGE - 60, 200) == 0);
    CU_ASSERT (back[300] == data[SIZE - 1] && back[301] == 0);
    some[2].offset = SIZE;
    CU_ASSERT (umbp_get_v (other, &item, 1, 0) == 0 && item.status == UMBP_EINVAL);
    some[2] = (umbp_range_t) { back, 2, UINT64_MAX };
    CU_ASSERT (umbp_get_v (other, &item, 1, 0) == 0 && item.status == UMBP_EINVAL);
    item.range_count = 4097;
    CU_ASSERT (umbp_get_v (other, &item, 1, 0) == 0 && item.status == UMBP_EINVAL);
    CU_ASSERT (umbp_remove (pool, "ranges") == 0);
    umbp_close (&pool);
    umbp_close (&other);
}

//  ------------------------------------------------------------------------------------------------
//  Views

//  True if writing there kills a process
static bool s_is_read_only (const void *base)
{
    fflush (stdout);
    pid_t child = fork ();
    if (child == 0) {
        signal (SIGSEGV, SIG_DFL);      //  Sanitizers would explain it
        *(volatile uint8_t *) base = 1;
        _exit (0);
    }
    int status;
    return waitpid (child, &status, 0) == child && WIFSIGNALED (status);
}

static void test_views (void)
{
    umbp_t *pool = s_connect (0);
    enum { SIZE = 2 * 1024 * 1024 + 5 };
    uint8_t *data = malloc (SIZE);
    nodes_fill (data, SIZE, 9);
    int err = 77;
    CU_ASSERT (umbp_view_get (pool, (umbp_key_t){ "view", 4 }, 0, &err) == NULL
               && err == UMBP_ENOENT);
    CU_ASSERT (umbp_put (pool, "view", data, SIZE) == 0);
    umbp_view_t *view = umbp_view_get (pool, (umbp_key_t) { "view", 4 }, 0, &err);
    if (s_ways[s_way].doors == WITHOUT_DOORS || s_ways[s_way].no_shm) {
        CU_ASSERT (view == NULL && err == UMBP_ENOTSUP);
    } else {
        CU_ASSERT_FATAL (view && err == 0);
        CU_ASSERT (umbp_view_size (view) == SIZE);
        CU_ASSERT (umbp_remove (pool, "view") == 0);         //  Its bytes stay nevertheless
        CU_ASSERT (umbp_put (pool, "after", data, SIZE) == 0);
        size_t count, at = 0;
        const umbp_span_t *spans = umbp_view_spans (view, &count);
        for (size_t index = 0; index < count; at += spans[index++].size)
            CU_ASSERT (memcmp (spans[index].base, data + at, spans[index].size) == 0);
        CU_ASSERT (at == SIZE && s_is_read_only (spans[0].base));
        umbp_view_release (&view);
        CU_ASSERT (view == NULL);
        CU_ASSERT (umbp_remove (pool, "after") == 0);
        CU_ASSERT (umbp_put (pool, "left", data, SIZE) == 0);
        view = umbp_view_get (pool, (umbp_key_t) { "left", 4 }, 0, NULL);
        CU_ASSERT (view != NULL);       //  umbp_close ends it
        CU_ASSERT (umbp_remove (pool, "left") == 0);
    }
    umbp_remove (pool, "view");
    free (data);
    umbp_close (&pool);
}

//  ------------------------------------------------------------------------------------------------
//  The rest

static void test_nowait_and_flush (void)
{
    umbp_t *pool = s_connect (0), *other = s_connect (s_nodes.count - 1);
    umbp_put_options_t options = { .nowait = true };
    static uint8_t data[100000];
    umbp_item_t items[] = {
        { .key = { "small", 5 }, .data = data, .size = 10 },
        { .key = { "large", 5 }, .data = data, .size = sizeof data },
    };
    CU_ASSERT (umbp_flush (pool, 0) == 0);
    CU_ASSERT (umbp_put_batch (pool, items, 1, &options, 0) == 1);
    CU_ASSERT (umbp_put_batch (pool, items + 1, 1, &options, 0) == 1);
    CU_ASSERT (umbp_flush (pool, 0) == 0);
    CU_ASSERT (umbp_exists (other, "small") == 1);
    CU_ASSERT (umbp_exists (other, "large") == 1);
    CU_ASSERT (umbp_clear (pool, true, 0) == 2);
    CU_ASSERT (s_is_soon_absent (other, &items[1].key, 1));
    CU_ASSERT (umbp_clear (pool, false, 0) == 0);
    umbp_close (&pool);
    umbp_close (&other);
}

static void test_external_index (void)
{
    umbp_t *pool = s_connect (0), *other = s_connect (s_nodes.count - 1);
    enum { COUNT = 1500 };
    static char names[COUNT][16];
    umbp_key_t hashes[COUNT];
    for (size_t index = 0; index < COUNT; index++) {
        snprintf (names[index], sizeof names[index], "hash-%zu", index);
        hashes[index] = (umbp_key_t) { names[index], strlen (names[index]) };
    }
    CU_ASSERT (umbp_kv_report (pool, "", NULL, 1, hashes, 1, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_kv_report (pool, "engine", NULL, 9, hashes, 1, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_kv_report (pool, "engine", "tcp://a:1", 1, hashes, 1200, 0) == 0);
    CU_ASSERT (umbp_kv_report (pool, "engine", "tcp://a:1", 2, hashes + 1100, 10, 0) == 0);
    CU_ASSERT (umbp_kv_revoke (pool, "engine", 1, hashes, 100, 0) == 0);
    int err;
    umbp_kv_match_t *match = umbp_kv_match (other, hashes, COUNT, true, 0, &err);
    CU_ASSERT_FATAL (match && err == 0);
    size_t count, held = 0;
    const umbp_kv_row_t *rows = umbp_kv_match_rows (match, &count);
    CU_ASSERT (count == 2 && umbp_kv_match_silent (match) == 0);
    for (size_t row = 0; row < count; row++) {
        CU_ASSERT_STRING_EQUAL (rows[row].engine, "engine");
        CU_ASSERT_STRING_EQUAL (rows[row].address, "tcp://a:1");
        CU_ASSERT (rows[row].count == (rows[row].tier == 1 ? 1100u : 10u));
        for (size_t index = 0; index < rows[row].count; index++) {
            uint32_t hash = rows[row].hashes[index];
            held += rows[row].tier == 1 ? hash >= 100 && hash < 1200 : hash >= 1100 && hash < 1110;
        }
    }
    CU_ASSERT (held == 1110);
    umbp_kv_match_destroy (&match);
    static uint64_t counts[COUNT];
    CU_ASSERT (umbp_kv_hits (other, hashes, COUNT, counts, 0) == 0);
    CU_ASSERT (counts[0] == 0 && counts[100] == 1 && counts[1199] == 1 && counts[1200] == 0);
    CU_ASSERT (umbp_kv_revoke_all (pool, "engine", 2, 0) == 10);
    CU_ASSERT (umbp_kv_revoke_all (pool, "engine", 0, 0) == 1100);
    match = umbp_kv_match (other, hashes, COUNT, false, 0, &err);
    CU_ASSERT_FATAL (match != NULL);
    umbp_kv_match_rows (match, &count);
    CU_ASSERT (count == 0);
    umbp_kv_match_destroy (&match);
    CU_ASSERT (umbp_kv_match (other, NULL, 1, false, 0, &err) == NULL && err == UMBP_EINVAL);
    umbp_close (&pool);
    umbp_close (&other);
}

static void test_registered_memory (void)
{
    umbp_t *pool = s_connect (0);
    static uint8_t memory[1100 * 16];
    CU_ASSERT (umbp_register (pool, memory + 100, 100) == 0);
    CU_ASSERT (umbp_register (pool, memory + 100, 100) == UMBP_EEXIST);
    CU_ASSERT (umbp_register (pool, memory, 101) == UMBP_EEXIST);
    CU_ASSERT (umbp_register (pool, memory + 199, 1) == UMBP_EEXIST);
    CU_ASSERT (umbp_register (pool, memory + 50, 500) == UMBP_EEXIST);
    CU_ASSERT (umbp_register (pool, memory, 100) == 0
               && umbp_register (pool, memory + 200, 1) == 0);
    CU_ASSERT (umbp_register (pool, NULL, 1) == UMBP_EINVAL);
    CU_ASSERT (umbp_register (pool, memory, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_register (pool, memory, SIZE_MAX) == UMBP_EINVAL);
    CU_ASSERT (umbp_deregister (pool, memory + 1) == UMBP_ENOENT);
    CU_ASSERT (umbp_deregister (pool, memory + 100) == 0);
    CU_ASSERT (umbp_deregister (pool, memory + 100) == UMBP_ENOENT);
    CU_ASSERT (umbp_deregister (pool, memory) == 0 && umbp_deregister (pool, memory + 200) == 0);
    for (size_t index = 0; index < 1024; index++)
        CU_ASSERT (umbp_register (pool, memory + 16 * index, 8) == 0);
    CU_ASSERT (umbp_register (pool, memory + 16 * 1024, 8) == UMBP_ENOSPC);
    umbp_close (&pool);
}

static int s_start (void)
{
    return !nodes_start (&s_nodes, s_ways[s_way].nodes, s_ways[s_way].doors, 32 * MIB);
}

static int s_stop (void)
{
    nodes_stop (&s_nodes);
    s_way++;
    return 0;
}

int main (void)
{
    alarm (280);
    CU_initialize_registry ();
    for (size_t way = 0; way < WAYS; way++) {
        CU_pSuite suite = CU_add_suite (s_ways[way].name, s_start, s_stop);
        CU_ADD_TEST (suite, test_sizes);
        CU_ADD_TEST (suite, test_batch);
        CU_ADD_TEST (suite, test_long_keys);
        CU_ADD_TEST (suite, test_ranges);
        CU_ADD_TEST (suite, test_views);
        CU_ADD_TEST (suite, test_nowait_and_flush);
        CU_ADD_TEST (suite, test_external_index);
        CU_ADD_TEST (suite, test_registered_memory);
    }
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

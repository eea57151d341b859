//  test/unit/test_copies.c - large blocks moved by several threads: the bytes are right, in whatever
//  pieces they lie; one that is wrong is found, and it alone; and a node that dies while several
//  connections bring its blocks leaves no block without its outcome
#include "test/unit/forked.h"
#include "test/unit/gauge.h"

#include <pthread.h>

#include "client/copies.h"
#include "cluster/bulk/copy.h"

#define MIB ((size_t) 1 << 20)
#define LONG_MS 60000
#define MANY 24
#define ROUNDS 4

static nodes_t s_nodes;
static forked_t s_processes[ROUNDS];
static uint64_t s_random;
static uint8_t *s_room;                 //  MANY MiB and more

static size_t s_below (size_t limit)
{
    return umbp_splitmix (&s_random) % limit;
}

static umbp_t *s_connect (int copy_threads, bool no_shm)
{
    return nodes_connect (&s_nodes, 0,
                          (umbp_options_t){ .copy_threads = copy_threads,
                                            .tcp_streams = 4,
                                            .no_shm = no_shm,
                                            .timeout_ms = LONG_MS });
}

static umbp_item_t s_item (char *name, size_t number, void *data, size_t size)
{
    snprintf (name, 32, "copies-%zu", number);
    return (umbp_item_t) { .key = { name, strlen (name) }, .data = data, .size = size };
}

//  ------------------------------------------------------------------------------------------------
//  Copies alone

#define LIST_MAX 64

//  Cut a buffer at random into pieces, empty ones too
static size_t s_cut (uint8_t *base, size_t size, umbp_piece_t *pieces)
{
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        size_t left = size - at, most = s_below (2) ? left : left / 4 + 1;
        size_t bytes = count == LIST_MAX - 1 ? left : s_below (most + 1);
        pieces[count++] = (umbp_piece_t) { base + at, bytes };
        at += bytes;
    }
    return count;
}

static void test_any_pieces (void)
{
    enum { COPIES = 40 };
    static umbp_piece_t to[COPIES][LIST_MAX], from[COPIES][LIST_MAX];
    umbp_copy_t copies[COPIES];
    umbp_t *pool = s_connect (3, false);
    umbp_lane_t *lane = NULL;
    CU_ASSERT_FATAL (pool && umbp_pool_enter (pool, 0, &lane) == 0);
    uint8_t *source = malloc (12 * MIB), *target = malloc (12 * MIB);
    nodes_fill (source, 12 * MIB, s_random);
    for (int round = 0; round < 30; round++) {
        size_t count = 1 + s_below (round % 2 ? COPIES : 3), each = 12 * MIB / count;
        bool simple = round % 3 == 0;
        memset (target, 0xee, 12 * MIB);
        for (size_t index = 0; index < count; index++) {
            size_t size = each - s_below (each / 2), at = index * each;
            copies[index] = (umbp_copy_t) { .to = to[index], .from = from[index], .size = size };
            copies[index].to_count = simple ? 1 : s_cut (target + at, size, to[index]);
            copies[index].from_count = simple ? 1 : s_cut (source + at, size, from[index]);
            if (simple) {
                to[index][0] = (umbp_piece_t) { target + at, size };
                from[index][0] = (umbp_piece_t) { source + at, size };
            }
        }
        umbp_copies_run (lane, copies, count);
        for (size_t index = 0; index < count; index++) {
            size_t size = copies[index].size, at = index * each;
            CU_ASSERT (copies[index].sum == umbp_sum (source + at, size));
            CU_ASSERT (memcmp (target + at, source + at, size) == 0);
            for (size_t gap = at + size; gap < at + each; gap += 97)
                CU_ASSERT_FATAL (target[gap] == 0xee);
        }
    }
    free (source);
    free (target);
    umbp_pool_leave (pool, &lane);
    umbp_close (&pool);
}

//  ------------------------------------------------------------------------------------------------
//  Blocks of this host

static bool s_put (umbp_t *pool, size_t count, size_t size)
{
    char names[MANY][32];
    umbp_item_t items[MANY];
    for (size_t index = 0; index < count; index++) {
        items[index] = s_item (names[index], index, s_room + index * size, size);
        nodes_fill (items[index].data, size, index);
    }
    return umbp_put_batch (pool, items, count, NULL, 0) == (int) count;
}

//  Each has the status that is expected of it, and the bytes if that is 0
static void s_get (umbp_t *pool, size_t count, size_t size, size_t wrong)
{
    char names[MANY][32];
    umbp_item_t items[MANY];
    memset (s_room, 0xee, count * size);
    for (size_t index = 0; index < count; index++)
        items[index] = s_item (names[index], index, s_room + index * size, size);
    int fine = umbp_get_batch (pool, items, count, 0);
    CU_ASSERT_EQUAL (fine, (int) count - (wrong < count));
    for (size_t index = 0; index < count; index++) {
        CU_ASSERT_EQUAL (items[index].status, index == wrong ? UMBP_ECHECKSUM : 0);
        if (index != wrong)
            CU_ASSERT (nodes_is_filled (items[index].data, size, index));
    }
}

//  Where a block lies in the node's memory, by its first bytes
static uint8_t *s_find (const umbp_t *pool, size_t number)
{
    uint8_t first[256];
    nodes_fill (first, sizeof first, number);
    const umbp_shm_map_t *map = pool->memories->writes;
    for (size_t region = 0; region < umbp_shm_map_count (map); region++) {
        uint8_t *base = umbp_shm_map_base (map, region);
        for (size_t at = 0; at < umbp_shm_map_bytes (map, region); at += PAGE)
            if (memcmp (base + at, first, sizeof first) == 0)
                return base + at;
    }
    return NULL;
}

//  A few large ones, which are cut up, and many, which are not: one byte changes, wherever
static void s_check_damage (int copy_threads, size_t count, size_t size)
{
    umbp_t *pool = s_connect (copy_threads, false), *far = s_connect (copy_threads, true);
    CU_ASSERT_FATAL (pool && far && s_put (pool, count, size));
    s_get (pool, count, size, SIZE_MAX);
    s_get (far, count, size, SIZE_MAX);
    for (int round = 0; round < 4; round++) {
        size_t wrong = s_below (count);
        size_t at = round == 0 ? 0 : round == 1 ? size - 1 : s_below (size);
        uint8_t *bytes = s_find (pool, wrong);
        CU_ASSERT_FATAL (bytes != NULL);
        bytes[at] ^= 0x10;
        s_get (pool, count, size, wrong);
        s_get (far, count, size, wrong);
        bytes[at] ^= 0x10;
    }
    s_get (pool, count, size, SIZE_MAX);
    umbp_stats_t stats;
    umbp_stats (far, &stats);
    CU_ASSERT (stats.tcp_get_bytes > 0 && stats.shm_get_bytes == 0);
    umbp_stats (pool, &stats);
    CU_ASSERT (stats.tcp_get_bytes == 0 && stats.board_hits > 0);
    CU_ASSERT (umbp_clear (pool, false, 0) >= (long) count);
    umbp_close (&pool);
    umbp_close (&far);
}

static void test_damage_is_found (void)
{
    static const int threads[] = { UMBP_COPY_ALONE, 3 };
    for (size_t index = 0; index < 2; index++) {
        s_check_damage (threads[index], 1, 2 * MIB);
        s_check_damage (threads[index], 2, 11 * MIB - 5);
        s_check_damage (threads[index], MANY, MIB + 1);
    }
}

//  ------------------------------------------------------------------------------------------------
//  Several connections

//  More than one is made, sooner or later, and no more than are allowed; puts go over them too
static void test_streams (void)
{
    const char *endpoint = umbp_node_endpoint (s_nodes.nodes[0]);
    umbp_t *pool = nodes_connect (&s_nodes, 0,
                                  (umbp_options_t){ .copy_threads = 3,
                                                    .tcp_streams = 4,
                                                    .lanes = 1,
                                                    .no_shm = true,
                                                    .timeout_ms = LONG_MS });
    CU_ASSERT_FATAL (pool != NULL);
    uint64_t most = 0;
    for (int64_t end = umbp_clock_ms () + LONG_MS; most < 2 && umbp_clock_ms () < end;) {
        CU_ASSERT (s_put (pool, MANY, MIB));
        s_get (pool, MANY, MIB, SIZE_MAX);
        most = gauge (endpoint, "tier:dram", "bulk_connections");
        CU_ASSERT (umbp_clear (pool, false, 0) >= 0);
    }
    CU_ASSERT (most >= 2 && most <= 4);
    umbp_close (&pool);
}

//  ------------------------------------------------------------------------------------------------
//  A node that dies

static void s_set (umbp_node_options_t *options, int number)
{
    snprintf (options->node, sizeof options->node, "other-%d", number);
    snprintf (options->cluster, sizeof options->cluster, "test-%d", (int) getppid ());
    options->heartbeat_ms = 50;
    options->suspect_ms = 10000;
    options->gone_ms = 600000;
    options->dram_bytes = options->region_bytes = 64 * MIB;
    options->page_bytes = PAGE;
    options->index_keys = 100000;
    options->kv_hashes = 10000;
    options->log_level = 1;
}

//  Its blocks, put at itself
static bool s_load_other (const char *endpoint)
{
    umbp_options_t how = { .endpoints = endpoint, .no_shm = true, .timeout_ms = LONG_MS };
    umbp_put_options_t local = { .strategy = UMBP_STRATEGY_LOCAL };
    umbp_t *pool = umbp_connect (&how, NULL);
    bool fine = pool != NULL;
    for (size_t index = 0; fine && index < MANY; index++) {
        char name[32];
        umbp_item_t item = s_item (name, index, s_room, MIB);
        nodes_fill (s_room, MIB, index);
        fine = umbp_put_batch (pool, &item, 1, &local, 0) == 1;
    }
    umbp_close (&pool);
    return fine;
}

typedef struct {
    forked_t *process;
    useconds_t after_us;
} death_t;

static void *s_kill (void *arg)
{
    death_t *death = arg;
    usleep (death->after_us);
    kill (death->process->pid, SIGKILL);
    return NULL;
}

static void s_die_while_read (forked_t *process)
{
    CU_ASSERT_FATAL (forked_start (process, umbp_node_endpoint (s_nodes.nodes[0])));
    umbp_t *pool = NULL;                //  Once both nodes see each other
    for (int64_t end = umbp_clock_ms () + LONG_MS; umbp_clock_ms () < end;) {
        pool = nodes_connect (&s_nodes, 0,
                              (umbp_options_t){ .copy_threads = 3,
                                                .tcp_streams = 4,
                                                .no_shm = true,
                                                .timeout_ms = 4000 });
        if (pool && nodes_in_ring (pool) >= 2)
            break;
        umbp_close (&pool);
    }
    CU_ASSERT_FATAL (pool != NULL && s_load_other (process->endpoint));
    char names[MANY][32];
    umbp_item_t items[MANY];
    for (int turn = 0; turn < 2; turn++) {                //  The second one with connections made
        death_t death = { process, (useconds_t) s_below (8000) };
        pthread_t thread;
        memset (s_room, 0xee, MANY * MIB);
        for (size_t index = 0; index < MANY; index++)
            items[index] = s_item (names[index], index, s_room + index * MIB, MIB);
        CU_ASSERT_FATAL (!turn || pthread_create (&thread, NULL, s_kill, &death) == 0);
        int64_t begun_ms = umbp_clock_ms ();
        umbp_get_batch (pool, items, MANY, 0);
        CU_ASSERT (umbp_clock_ms () - begun_ms < 4000 + LONG_MS / 4);
        for (size_t index = 0; index < MANY; index++) {
            int status = items[index].status;
            CU_ASSERT (status == 0 || (turn == 1 && status < 0 && *umbp_errname (status)));
            CU_ASSERT (status != 0 || nodes_is_filled (items[index].data, MIB, index));
        }
        if (turn)
            pthread_join (thread, NULL);
    }
    forked_kill (process);
    umbp_close (&pool);
}

static void test_a_node_dies (void)
{
    for (int round = 0; round < ROUNDS; round++) {
        s_die_while_read (&s_processes[round]);
        nodes_stop (&s_nodes);          //  A cluster that does not know who is gone
        CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITH_DOORS, 64 * MIB));
    }
}

static int s_start (void)
{
    s_room = malloc (MANY * (MIB + 1) + 64);
    return !nodes_start (&s_nodes, 1, WITH_DOORS, 64 * MIB);
}

static int s_stop (void)
{
    nodes_stop (&s_nodes);
    free (s_room);
    return 0;
}

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IOLBF, 0);
    for (int number = 0; number < ROUNDS; number++)
        if (!forked_new (s_processes, number, s_set))
            return 1;
    s_random = nodes_seed ("copies");
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("copies", s_start, s_stop);
    CU_ADD_TEST (suite, test_any_pieces);
    CU_ADD_TEST (suite, test_damage_is_found);
    CU_ADD_TEST (suite, test_streams);
    CU_ADD_TEST (suite, test_a_node_dies);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}

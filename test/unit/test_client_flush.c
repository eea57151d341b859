//  test/unit/test_client_flush.c - a flush waits for every node that nowait puts went to: also for one, or a tier of one,
//  that the client had not heard of when it connected
#include <dlfcn.h>
#include <errno.h>

#include "test/unit/disk.h"

#define SIZE 200000                     //  More than what rides in a message

static nodes_t s_nodes;
static uint8_t s_data[SIZE];

//  ------------------------------------------------------------------------------------------------
//  What this thread sends over ZeroMQ

static _Thread_local char s_watched[64];             //  An address, of which frames are counted
static _Thread_local unsigned s_count;
static _Thread_local bool s_cut;        //  Nothing can be sent to a registry

static int (*s_send) (void *, const void *, size_t, int);     //  ZeroMQ's own, looked up by main

int zmq_send (void *socket, const void *data, size_t size, int flags)
{
    if (s_cut && size == 8 && memcmp (data, "registry", 8) == 0) {
        errno = ENOTSOCK;
        return -1;
    }
    s_count += size > 0 && size == strlen (s_watched) && memcmp (data, s_watched, size) == 0;
    return s_send (socket, data, size, flags);
}

//  Flush, and count the questions to an address
static int s_flush (umbp_t *pool, const char *address, unsigned *count)
{
    snprintf (s_watched, sizeof s_watched, "%s", address);
    s_count = 0;
    int rc = umbp_flush (pool, DISK_MS);
    *s_watched = 0;
    *count = s_count;
    return rc;
}

//  ------------------------------------------------------------------------------------------------

static umbp_t *s_connect (size_t number)
{
    umbp_t *pool = nodes_connect (&s_nodes, number, (umbp_options_t) { .no_shm = true });
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    return pool;
}

//  Puts that are not waited for, until a gauge of node-1 says that one went there
static void s_put_there (umbp_t *pool, size_t size, unsigned tier, const char *actor)
{
    const char *node = umbp_node_endpoint (s_nodes.nodes[1]);
    const umbp_put_options_t how = { .strategy = UMBP_STRATEGY_MOST_FREE,
                                     .nowait = true, .tier = (uint8_t) tier };
    uint64_t before = gauge (node, actor, "blocks");
    int64_t end = umbp_clock_ms () + DISK_MS;
    static unsigned number;
    char key[32];
    do {
        umbp_item_t item = { .key = { key, 0 }, .data = s_data, .size = size };
        item.key.key_size = (size_t) snprintf (key, sizeof key, "block-%u", number++);
        umbp_put_batch (pool, &item, 1, &how, DISK_MS);
    } while (gauge (node, actor, "blocks") == before && umbp_clock_ms () < end);
    CU_ASSERT (umbp_clock_ms () < end);
}

//  A node that joined since: what went there by name, and what went anywhere
static void s_joined (size_t size)
{
    unsigned count;
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITHOUT_DOORS, 4 * MIB));
    umbp_t *pool = s_connect (0);
    nodes_options (&s_nodes, 1, WITHOUT_DOORS, 64 * MIB);
    s_nodes.nodes[s_nodes.count++] = nodes_new (&s_nodes.options[1]);
    CU_ASSERT_FATAL (s_nodes.nodes[1] && nodes_meet (&s_nodes));
    CU_ASSERT_EQUAL (nodes_in_ring (pool), 1);
    s_put_there (pool, size, UMBP_TIER_DRAM, "tier:dram");
    CU_ASSERT_EQUAL (nodes_in_ring (pool), 1);               //  It still knows no better
    s_cut = true;                       //  Who is there cannot be asked: what was put stays noted
    CU_ASSERT (s_flush (pool, "tier:dram@node-1", &count) == UMBP_EUNREACH && count == 0);
    s_cut = false;
    CU_ASSERT (s_flush (pool, "tier:dram@node-1", &count) == 0 && count == 1);
    s_cut = true;
    CU_ASSERT (s_flush (pool, "tier:dram@node-1", &count) == 0 && count == 0);
    s_cut = false;
    umbp_close (&pool);
    nodes_stop (&s_nodes);
}

static void test_joined (void)
{
    s_joined (SIZE);
    s_joined (100);
}

//  A node that has a disk since it was started anew
static void test_tier (void)
{
    char folder[64];
    unsigned count;
    disk_folder (folder, sizeof folder);
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 2, WITHOUT_DOORS, 16 * MIB));
    umbp_t *pool = s_connect (0);
    umbp_node_destroy (&s_nodes.nodes[1]);
    umbp_node_options_t *options = &s_nodes.options[1];
    snprintf (options->nvme_dirs, sizeof options->nvme_dirs, "%s", folder);
    options->nvme_bytes = 64 * MIB;
    options->nvme_segment_bytes = 4 * MIB;
    options->nvme_staging_bytes = 8 * MIB;
    s_nodes.nodes[1] = nodes_again (options);
    CU_ASSERT_FATAL (s_nodes.nodes[1] && nodes_meet (&s_nodes));
    s_put_there (pool, SIZE, UMBP_TIER_NVME, "tier:nvme");
    int member = umbp_topology_find (pool->cluster->topology, umbp_text ("node-1"));
    CU_ASSERT_FATAL (member >= 0);
    CU_ASSERT (
        umbp_topology_member (pool->cluster->topology, (size_t) member)->tiers[UMBP_TIER_NVME].total
        == 0);
    CU_ASSERT (s_flush (pool, "tier:nvme@node-1", &count) == 0 && count == 1);
    umbp_close (&pool);
    nodes_stop (&s_nodes);
    disk_erase (folder);
}

int main (void)
{
    alarm (280);
    *(void **) &s_send = dlsym (RTLD_NEXT, "zmq_send");      //  Before there are other threads
    CU_initialize_registry ();
    disk_seed = nodes_seed ("client_flush");
    nodes_fill (s_data, SIZE, disk_seed);
    CU_pSuite suite = CU_add_suite ("client, flush", NULL, NULL);
    CU_ADD_TEST (suite, test_joined);
    CU_ADD_TEST (suite, test_tier);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}

//  test/unit/test_bulk_nodes.c - ways to a node's memory: bulk connections of its clients, as they
//  come and go, and doors, that are for one user alone
#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

#include "cluster/bulk/shm.h"

#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MIB ((size_t) 1 << 20)
#define SIZE (300 * 1024)               //  Too large for a message
#define ROUNDS 4
#define IDLE_MS 100

static nodes_t s_nodes;
static const char *s_endpoint;
static uint8_t s_data[SIZE], s_back[SIZE];

static bool s_counts (const char *name, uint64_t value)
{
    return gauge_becomes (s_endpoint, "tier:dram", name, value);
}

//  A connection that the node closed for want of use is made anew inside the next call, which never
//  knows: nothing fails, nothing is asked twice
static void test_idle_connections_come_again (void)
{
    umbp_options_t how = { .endpoints = s_endpoint, .no_shm = true, .lanes = 1 };
    umbp_t *pool = umbp_connect (&how, NULL);
    CU_ASSERT_FATAL (pool != NULL);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        char key[32];
        snprintf (key, sizeof key, "block-%u", (unsigned) round);
        nodes_fill (s_data, sizeof s_data, round);
        if (round % 2) {                //  A write in one round, a read in the next
            CU_ASSERT_EQUAL (umbp_put (pool, key, s_data, sizeof s_data), 0);
        } else {
            CU_ASSERT_EQUAL (umbp_get (pool, "block-1", s_back, sizeof s_back), SIZE);
            CU_ASSERT (nodes_is_filled (s_back, SIZE, 1));
        }
        CU_ASSERT (s_counts ("bulk_connections", 0));
        CU_ASSERT (s_counts ("bulk_idle", round));
    }
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    CU_ASSERT (stats.retries == 0 && stats.stale == 0 && stats.timeouts == 0);
    CU_ASSERT (stats.tcp_put_bytes == ROUNDS / 2 * SIZE
               && stats.tcp_get_bytes == ROUNDS / 2 * SIZE);
    CU_ASSERT (s_counts ("bulk_accepted", ROUNDS));
    static const char *const none[] = { "bulk_refused", "bulk_unproven", "bulk_forged",
                                        "bulk_malformed", "bulk_crowded" };
    for (size_t index = 0; index < sizeof none / sizeof *none; index++)
        CU_ASSERT_EQUAL (gauge (s_endpoint, "tier:dram", none[index]), 0);
    umbp_close (&pool);
}

//  ------------------------------------------------------------------------------------------------
//  Doors

#define NOBODY 65534
enum { OPENED = 0, KEPT_OUT = 1, LET_IN = 2, STRANGE = 3 };

//  Knock at a door as a user that owns nothing. Returns what came of it.
static int s_knock_as_nobody (const char *path)
{
    pid_t child = fork ();
    if (child == 0) {
        alarm (60);
        if (setgid (NOBODY) == -1 || setuid (NOBODY) == -1)
            _exit (STRANGE);
        int sock = umbp_shm_connect (path, 10000, NULL);
        if (sock < 0)
            _exit (KEPT_OUT);
        struct pollfd there = { .fd = sock, .events = POLLIN };
        char byte;
        //  A node that let us in would wait for a message, and one that does not closes
        if (poll (&there, 1, 30000) != 1)
            _exit (LET_IN);
        ssize_t rc = recv (sock, &byte, 1, 0);
        _exit (rc > 0 ? LET_IN : OPENED);
    }
    int status = 0;
    waitpid (child, &status, 0);
    return WIFEXITED (status) ? WEXITSTATUS (status) : STRANGE;
}

//  Each door of the node: its mode, and what another user finds, first as it is and then with all
//  modes undone
static void test_doors_are_for_one_user (void)
{
    if (geteuid () != 0) {
        printf ("skipped: not root, cannot be another user ");
        return;
    }
    char path[512], room[256];
    struct stat status;
    unsigned doors = 0;
    snprintf (room, sizeof room, "%s/%s", s_nodes.run_dir, s_nodes.options[0].node);
    DIR *folder = opendir (room);
    CU_ASSERT_FATAL (folder && chmod (s_nodes.run_dir, 0755) == 0 && chmod (room, 0755) == 0);
    for (struct dirent *entry; (entry = readdir (folder));) {
        snprintf (path, sizeof path, "%s/%s", room, entry->d_name);
        if (lstat (path, &status) == -1 || !S_ISSOCK (status.st_mode))
            continue;
        doors++;
        CU_ASSERT_EQUAL (status.st_mode & 07777, 0600);
        CU_ASSERT_EQUAL (s_knock_as_nobody (path), KEPT_OUT);
        CU_ASSERT_EQUAL (chmod (path, 0666), 0);
        CU_ASSERT_EQUAL (s_knock_as_nobody (path), OPENED);
    }
    closedir (folder);
    CU_ASSERT (doors >= 3);             //  Of the router, the tier and others
    printf ("%u doors ", doors);
}

int main (void)
{
    alarm (200);
    s_nodes.count = 1;
    CU_initialize_registry ();
    snprintf (s_nodes.run_dir, sizeof s_nodes.run_dir, "/tmp/umbp-test-XXXXXX");
    if (!mkdtemp (s_nodes.run_dir))
        return 1;
    nodes_options (&s_nodes, 0, WITH_DOORS, 16 * MIB);
    s_nodes.options[0].bulk_idle_ms = IDLE_MS;
    s_nodes.nodes[0] = nodes_new (&s_nodes.options[0]);
    if (!s_nodes.nodes[0] || !nodes_meet (&s_nodes))
        return 1;
    s_endpoint = umbp_node_endpoint (s_nodes.nodes[0]);
    CU_pSuite suite = CU_add_suite ("bulk_nodes", NULL, NULL);
    CU_ADD_TEST (suite, test_idle_connections_come_again);
    CU_ADD_TEST (suite, test_doors_are_for_one_user);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    nodes_stop (&s_nodes);
    return CU_get_number_of_failures () > 0;
}
